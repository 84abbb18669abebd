/*
 * tx.c - one mail transaction from MAIL to its last word. The order of things is DESIGN.md section 5's: envelope, judge, send.
 */
#include <stdio.h>
#include <time.h>

#include "base/bug.h"
#include "base/limits.h"
#include "mail/domain.h"
#include "out/log.h"
#include "relay/accept.h"
#include "relay/each.h"
#include "relay/login.h"
#include "relay/rates.h"
#include "relay/view.h"

static const unsigned moves[] = { /* a bit a state that may follow */
	[TX_ENVELOPE] = 1u << TX_CONTENT,
	[TX_CONTENT] = 1u << TX_JUDGE,
	[TX_JUDGE] = 1u << TX_SEAL | 1u << TX_OPEN | 1u << TX_STORE,
	[TX_SEAL] = 1u << TX_OPEN,
	[TX_OPEN] = 1u << TX_DATA,
	[TX_DATA] = 1u << TX_SEND | 1u << TX_OPEN,
	[TX_SEND] = 1u << TX_FINAL,
	[TX_FINAL] = 0,
	[TX_STORE] = 0,
};

void tx_enter(struct tx *t, enum tx_state to)
{
	BUG_ON(!(moves[t->state] & 1u << to));
	t->state = to;
}

int64_t tx_now_s(const struct tx *t)
{
	return relay_unix_s(t->pair->relay);
}

static void release(struct tx *t, bool clean)
{
	struct pair *p = t->pair;

	store_unput(&t->put);
	copy_free(&t->copy);
	checks_free(&t->checks);
	hold_free(&t->hold);
	if (t->up)
		upstream_give(&t->up, clean);
	upstream_unwait(&t->wait);
	p->tx = NULL;
	view_forget(p);
	arena_clear(&p->arena);
}

static void log_rcpts(struct log_line *l, const struct tx *t)
{
	/* Recipients of a copy of their own are not to stand beside others anywhere (`accepted` tells of each). */
	bool named = t->pair->listener->conf->mode == MODE_PROXY;
	struct buf b;
	size_t n = 0;

	buf_init(&b, 1024);
	for (size_t i = 1; i < t->command_count && n < 10 && named; i++)
		if (t->commands[i].code / 100 == 2) {
			if (n++)
				buf_octet(&b, ',');
			buf_slice(&b, t->commands[i].path.raw);
		}
	if (named)
		log_text(l, "rcpt_to", buf_get(&b));
	buf_release(&b);
	log_u64(l, "rcpts", t->accepted);
	if (srv_rcpt_over(t->pair->srv))
		log_u64(l, "rcpts_over", srv_rcpt_over(t->pair->srv));
	if (t->each.refused)
		log_u64(l, "rcpts_refused", t->each.refused);
	if (t->each.deferred)
		log_u64(l, "rcpts_deferred", t->each.deferred);
}

static void log_tls(struct log_line *l, const char *key, const struct tls *tls)
{
	char text[64];

	if (!tls)
		return;
	snprintf(text, sizeof(text), "%s/%s", tls_version(tls), tls_cipher(tls));
	log_str(l, key, text);
}

/* The one line that says what became of it. */
static void log_transaction(struct tx *t, const char *outcome, short code, const char *enhanced, const char *text, const struct fault *f)
{
	struct pair *p = t->pair;
	const struct dkim2_verdict *v = t->checks ? checks_findings(t->checks)->dkim2 : NULL;
	struct log_line l = log_begin(LOG_LEVEL_INFO, "transaction");

	log_str(&l, "tx", t->name);
	log_str(&l, "session", p->name);
	log_str(&l, "listener", p->listener->conf->name);
	log_str(&l, "mode", p->listener->conf->mode == MODE_QUEUE ? "queue" : "proxy");
	view_log(p, &l);
	log_tls(&l, "tls", p->conn.tls);
	view_log_certificate(p, &l);
	login_log(p, &l);
	log_text(&l, "helo", srv_helo(p->srv));
	log_text(&l, "mail_from", t->commands[0].path.raw);
	log_rcpts(&l, t);
	log_str(&l, "outcome", outcome);
	if (code) {
		log_u64(&l, "code", (uint64_t)code);
		log_str(&l, "enhanced", enhanced && enhanced[0] ? enhanced : NULL);
	}
	if (text)
		log_str(&l, "text", text);
	if (f && f->note[0])
		log_str(&l, "note", f->note);
	log_str(&l, "next_hop", t->hop ? next_hop_name(t->hop) : NULL);
	log_tls(&l, "next_hop_tls", t->up ? upstream_tls(t->up) : NULL);
	if (t->hold)
		log_u64(&l, "octets", hold_octets(t->hold));
	if (v) {
		log_str(&l, "dkim2", dkim2_state_name(v->state));
		if (v->state != DKIM2_NONE) {
			log_str(&l, "depth", dkim2_level_name(v->level));
			log_u64(&l, "draft", v->draft);
			if (v->testing || v->strict)
				log_str(&l, "key_flags", !v->strict ? "testing" : v->testing ? "testing,strict" : "strict");
		}
		if (v->reason.n)
			log_text(&l, "reason", v->reason);
	}
	if (t->ruling.kind != RULING_NONE) {
		log_str(&l, "ruling", t->ruling.kind == RULING_ACCEPT ? "accept" : t->ruling.kind == RULING_BYPASS ? "bypass" :
		    t->ruling.kind == RULING_REFUSE ? "refuse" : "defer");
		log_str(&l, "rule", t->ruling.rule);
	}
	if (p->listener->conf->sealing)
		log_str(&l, "plan", t->plan.why);
	if (p->listener->conf->sealing && p->listener->conf->mode == MODE_PROXY) {
		log_u64(&l, "seals", t->copy ? copy_seals(t->copy) : 0);
		log_u64(&l, "dkim_signatures", t->copy ? copy_dkim(t->copy) : 0);
	}
	if (t->copy && copy_arc(t->copy))
		log_u64(&l, "arc_sets", copy_arc(t->copy));
	if (!t->unshadowed)
		log_str(&l, "shadow", "yes");
	if (t->lost_final)
		log_str(&l, "duplicate", "possible");
	log_i64(&l, "held_ms", loop_now_ms(p->relay->loop) - t->begin_ms);
	log_end(&l);
}

static void count_end(struct tx *t, short code)
{
	struct relay *r = t->pair->relay;

	count_add(r->counts, r->slot, COUNT_TRANSACTIONS, 1);
	count_add(r->counts, r->slot, code / 100 == 2 ? COUNT_ACCEPTED : code / 100 == 5 ? COUNT_REFUSED : COUNT_DEFERRED, 1);
	if (t->copy && code / 100 == 2)
		count_add(r->counts, r->slot, COUNT_SEALED, copy_seals(t->copy));
}

static const char *outcome(short code)
{
	return code / 100 == 2 ? "accepted" : code / 100 == 5 ? "refused" : "deferred";
}

static void log_reply(struct tx *t, const struct reply *r)
{
	char text[160];

	snprintf(text, sizeof(text), "%.*s", r->text.n > 150 ? 150 : (int)r->text.n, r->text.n ? (const char *)r->text.at : "");
	count_end(t, r->code);
	log_transaction(t, outcome(r->code), r->code, r->enhanced, text, NULL);
}

static void log_end_fault(struct tx *t, const struct fault *f)
{
	if (f->code == FAULT_NO_MEMORY)
		log_note(LOG_LEVEL_ERROR, "oom", "tx=%s %s", t->name, f->note);
	count_end(t, f->basic);
	log_transaction(t, outcome(f->basic), f->basic, f->enhanced, f->text, f);
}

void tx_end_mail(struct tx *t, const struct reply *r)
{
	log_reply(t, r);
	release(t, true);
}

void tx_end_reply(struct tx *t, const struct reply *r)
{
	struct pair *p = t->pair;

	log_reply(t, r);
	srv_answer(p->srv, t->end_seq, r);
	/* The answer to the content ends the transaction there, the answer to DATA does not. */
	release(t, t->state == TX_FINAL);
	pair_deadline(p);
	pair_go_on(p);
}

void tx_end_fault(struct tx *t, const struct fault *f)
{
	struct pair *p = t->pair;

	if (t->each.on) {
		each_fault(t, f);
		return;
	}
	log_end_fault(t, f);
	srv_answer_fault(p->srv, t->end_seq, f);
	release(t, false);
	pair_deadline(p);
	pair_go_on(p);
}

void tx_abort(struct pair *p, const char *why)
{
	struct tx *t = p->tx;
	bool clean;

	if (!t)
		return;
	clean = t->up && !t->mail_open && t->commands[0].code;
	t->lost_final = t->state == TX_FINAL || t->state == TX_STORE; /* the answer comes when nobody listens any more */
	log_transaction(t, "aborted", 0, NULL, why, NULL);
	release(t, clean);
}

bool tx_dot_said(const struct pair *p)
{
	return p->tx && p->tx->state == TX_FINAL;
}

/*
 * A client waits ten minutes for the answer to its content (RFC 5321 4.5.3.2.6), and what it does not hear it sends again. Until the
 * final dot goes out that costs nothing, so what is done before must leave the next hop its time.
 */
enum { OURS_S = 120, WHOLE_S = 570 };

unsigned tx_late_s(const struct pair *p)
{
	const struct tx *t = p->tx;
	int64_t gone_s = t ? (loop_now_ms(p->relay->loop) - t->whole_ms) / 1000 : 0;

	return gone_s < OURS_S ? (unsigned)(OURS_S - gone_s) : gone_s < WHOLE_S ? (unsigned)(WHOLE_S - gone_s) : 1;
}

void tx_late(struct pair *p)
{
	struct tx *t = p->tx;
	bool sending = t->state == TX_SEND || t->state == TX_FINAL || t->state == TX_STORE;
	struct fault f = { 0 };
	struct log_line l;

	if (sending && loop_now_ms(p->relay->loop) - t->whole_ms < WHOLE_S * 1000) {
		pair_deadline(p);
		return;
	}
	fault_note(&f, FAULT_TOO_SLOW, 0, "after %lld s", (long long)((loop_now_ms(p->relay->loop) - t->whole_ms) / 1000));
	l = log_begin(LOG_LEVEL_WARNING, "final_slow");
	log_str(&l, "tx", t->name);
	log_str(&l, "next_hop", t->hop ? next_hop_name(t->hop) : NULL);
	log_str(&l, "note", f.note);
	log_end(&l);
	t->lost_final = t->state == TX_FINAL || t->state == TX_STORE;
	if (t->up)
		upstream_drop(&t->up);
	tx_end_fault(t, &f);
}

static struct tx_command *add_command(struct tx *t, const struct srv_event *ev)
{
	struct tx_command *c;

	if (t->command_count == t->command_room) {
		size_t room = t->command_room ? t->command_room * 4 : 4;
		struct tx_command *more = ARENA_ARRAY(&t->pair->arena, room, struct tx_command);

		if (!more)
			return NULL;
		if (t->command_count)
			memcpy(more, t->commands, t->command_count * sizeof(*more));
		t->commands = more;
		t->command_room = room;
	}
	c = &t->commands[t->command_count++];
	*c = (struct tx_command){ .path = ev->path, .params = ev->params, .seq = ev->seq };
	return c;
}

static struct slice normal_domain(struct arena *a, struct slice domain)
{
	struct slice normal = SLICE_NONE;

	if (domain.n && !domain_normal(a, domain, &normal))
		normal = domain;
	return normal;
}

static void first_facts(struct tx *t)
{
	struct pair *p = t->pair;
	const struct conf_listener *l = p->listener->conf;
	static const char *const services[] = { "pass", "inbound", "outbound", "forward", "list-in", "list-out" };

	facts_set(&t->facts, FACT_LISTENER, slice_str(l->name));
	facts_set(&t->facts, FACT_SERVICE, slice_str(services[l->service]));
	facts_set(&t->facts, FACT_CLIENT, slice_str(p->client_text));
	facts_set(&t->facts, FACT_HELO, srv_helo(p->srv));
	view_facts(p, &t->facts);
	login_facts(p, &t->facts);
	facts_set(&t->facts, FACT_MAIL_FROM, t->commands[0].path.raw);
	facts_set(&t->facts, FACT_MAIL_FROM_DOMAIN, normal_domain(&p->arena, t->commands[0].path.domain));
}

void tx_mail(struct pair *p, const struct srv_event *ev)
{
	struct relay *r = p->relay;
	struct tx *t;
	struct tx_command *c;
	struct fault f = { 0 };

	BUG_ON(p->tx);
	/* Before there is anything to tell of: who sends too much does not fill the log either. */
	if (!rates_mail(p, &ev->path, &f)) {
		srv_answer_fault(p->srv, ev->seq, &f);
		arena_clear(&p->arena);
		return;
	}
	t = ARENA_NEW(&p->arena, struct tx);
	if (t)
		t->pair = p;
	c = t ? add_command(t, ev) : NULL;
	if (!c) {
		fault_set(&f, FAULT_NO_MEMORY, 0);
		srv_answer_fault(p->srv, ev->seq, &f);
		arena_clear(&p->arena);
		return;
	}
	p->tx = t;
	t->begin_ms = loop_now_ms(r->loop);
	t->unshadowed = !p->listener->conf->shadow;
	snprintf(t->name, sizeof(t->name), "%011llx%02x%x", (unsigned long long)r->start_ms, r->slot, ++r->tx_count);
	if (!accept_here(t))
		hop_first(t);
	first_facts(t);
	if (judge_rules(t, c, false, &f) || (accept_here(t) && !accept_mail(t, &f))) {
		t->end_seq = ev->seq;
		tx_end_fault(t, &f);
		return;
	}
	if (accept_here(t)) {
		accept_answer(t, c);
		return;
	}
	if (t->hop) {
		send_envelope(t);
		return;
	}
	/* Its first recipient says where it goes; what the next hop says of the sender is then the answer to that one. */
	t->mail_ours = true;
	c->code = 250;
	srv_answer(p->srv, ev->seq, &(struct reply){ .code = 250, .text = S("2.1.0 sender noted") });
	pair_go_on(p);
}

/* What was answered here is not kept: the next hop never hears of it. */
static void answer_fault(struct tx *t, struct tx_command *c, const struct fault *f)
{
	srv_answer_fault(t->pair->srv, c->seq, f);
	t->command_count--;
}

static bool may_send_to(const struct pair *p, struct arena *a, const struct path *rcpt)
{
	const struct conf_listener *l = p->listener->conf;

	return !conf_guards(l) || p->known_client || conf_takes(l, normal_domain(a, rcpt->domain)) || accept_always(p, a, rcpt);
}

/* The client sends the rest again: one line a transaction, however many they are. */
static void log_split(struct tx *t, const struct fault *f)
{
	struct log_line l;

	if (t->told_split)
		return;
	t->told_split = true;
	l = log_begin(LOG_LEVEL_INFO, "rcpt_deferred_split");
	log_str(&l, "tx", t->name);
	log_str(&l, "listener", t->pair->listener->conf->name);
	view_log(t->pair, &l);
	log_fault(&l, f);
	log_end(&l);
}

/* One answer for the content cannot say what LMTP says of several. */
static bool one_answer(const struct tx *t)
{
	const struct conf_route *route = t->hops.route;

	for (size_t i = 0; route && i < route->hop_count; i++)
		if (next_hop_lmtp(t->pair->listener->next_hops[route->hops[i]]))
			return !t->commands[0].params.prdr;
	return false;
}

/* One seal names every recipient of its copy. */
static bool one_name(const struct tx *t)
{
	const struct conf_listener *l = t->pair->listener->conf;

	return l->mode == MODE_PROXY && l->sealing && !l->share_all && t->unshadowed;
}

void tx_rcpt(struct pair *p, const struct srv_event *ev)
{
	struct tx *t = p->tx;
	struct tx_command *c;
	struct fault f = { 0 };

	if (!t) { /* MAIL was refused while this was on its way */
		fault_set(&f, FAULT_BAD_SEQUENCE, 0);
		srv_answer_fault(p->srv, ev->seq, &f);
		return;
	}
	c = add_command(t, ev);
	if (!c) {
		fault_set(&f, FAULT_NO_MEMORY, 0);
		srv_answer_fault(p->srv, ev->seq, &f);
		return;
	}
	facts_set(&t->facts, FACT_RCPT, c->path.raw);
	facts_set(&t->facts, FACT_RCPT_DOMAIN, normal_domain(&p->arena, c->path.domain));
	if (t->broken.code != FAULT_NONE)
		f = t->broken;
	else if (!may_send_to(p, &p->arena, &c->path))
		fault_set(&f, login_wanted(p), 0);
	else if (!judge_rules(t, c, false, &f) && t->command_count - 2 > t->refused && (one_name(t) || one_answer(t))) {
		/* This one goes in a transaction of its own. */
		fault_set(&f, FAULT_ONE_RCPT, 0);
	}
	if (f.code == FAULT_NONE && rates_rcpt(p, &c->path, &f) && accept_here(t))
		(void)accept_route(t, &c->path, &f);
	else if (f.code == FAULT_NONE)
		(void)hop_for(t, &c->path, &f);
	if (f.code == FAULT_ONE_RCPT || f.code == FAULT_OTHER_NEXT_HOP)
		log_split(t, &f);
	if (f.code != FAULT_NONE)
		answer_fault(t, c, &f);
	else if (accept_here(t))
		accept_answer(t, c);
	else
		send_envelope(t);
}

void tx_data(struct pair *p, const struct srv_event *ev)
{
	struct tx *t = p->tx;
	struct fault f = { 0 };

	if (!t) {
		fault_set(&f, FAULT_BAD_SEQUENCE, 0);
		srv_answer_fault(p->srv, ev->seq, &f);
		return;
	}
	t->end_seq = ev->seq;
	if (t->broken.code != FAULT_NONE) {
		tx_end_fault(t, &t->broken);
		return;
	}
	if (accept_here(t) && !accept_distinct(t, &f)) {
		tx_end_fault(t, &f);
		return;
	}
	t->rcpts = ARENA_ARRAY(&p->arena, t->accepted, struct slice);
	t->hold = hold_new(&p->relay->budget, t->commands[0].params.size_named ? t->commands[0].params.size_octets : 0);
	if (!t->rcpts || !t->hold) {
		fault_set(&f, FAULT_NO_MEMORY, 0);
		tx_end_fault(t, &f);
		return;
	}
	t->envelope.mail_from = t->commands[0].path.raw;
	t->envelope.rcpt_to = t->rcpts;
	for (size_t i = 1; i < t->command_count; i++)
		if (t->commands[i].code / 100 == 2)
			t->rcpts[t->envelope.rcpt_count++] = t->commands[i].path.raw;
	tx_enter(t, TX_CONTENT);
	srv_data_go(p->srv, ev->seq);
}

/* What is left of the content is swallowed and answered by the server machine; nothing of it is kept. */
void tx_bad(struct pair *p, const struct fault *f)
{
	struct tx *t = p->tx;

	if (!t)
		return;
	log_end_fault(t, f);
	release(t, false);
}

/* Faults of the content that have an event of their own. */
static void log_content_fault(const struct tx *t, const struct fault *f)
{
	const char *event = f->code == FAULT_HEADER_TOO_BIG ? "smtp_header_limit" : f->code == FAULT_NO_DISK ? "spool_full" :
	    f->code == FAULT_INTERNAL ? "fd_limit" : NULL;
	struct log_line l;

	if (!event)
		return;
	l = log_begin(LOG_LEVEL_WARNING, event);
	log_str(&l, "tx", t->name);
	log_fault(&l, f);
	log_end(&l);
}

static void refuse_content(struct tx *t, const struct fault *why)
{
	struct pair *p = t->pair;
	const struct fault told = *why;

	log_content_fault(t, &told);
	tx_bad(p, &told);
	srv_refuse_content(p->srv, &told);
}

void tx_content(struct pair *p, struct slice octets)
{
	struct tx *t = p->tx;
	struct slice body;
	struct fault f = { 0 };
	bool done = false;

	if (!t)
		return;
	if (!hold_add(t->hold, octets, &body, &f)) {
		refuse_content(t, &f);
		return;
	}
	if (!t->header_seen) {
		(void)hold_header(t->hold, &done);
		if (!done)
			return;
		judge_header(t);
		/* Too many fields or no memory: nothing is gained by taking the rest in. */
		if (t->found.code == FAULT_HEADER_TOO_BIG || t->found.code == FAULT_NO_MEMORY) {
			refuse_content(t, &t->found);
			return;
		}
	}
	if (t->checks && body.n)
		checks_body(t->checks, body);
}

void tx_whole(struct pair *p, const struct srv_event *ev)
{
	struct tx *t = p->tx;
	struct fault f = { 0 };

	if (!t) {
		fault_set(&f, FAULT_INTERNAL, 0);
		srv_answer_fault(p->srv, ev->seq, &f);
		return;
	}
	t->end_seq = ev->seq;
	t->dots = ev->dots;
	t->whole_ms = loop_now_ms(p->relay->loop);
	if (!hold_end(t->hold, &f)) {
		tx_end_fault(t, &f);
		return;
	}
	if (!t->header_seen) {
		judge_header(t);
		if (t->found.code == FAULT_HEADER_TOO_BIG)
			log_content_fault(t, &t->found);
	}
	tx_enter(t, TX_JUDGE);
	judge_whole(t);
}
