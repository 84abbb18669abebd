/*
 * deliver.c - one copy to the first of its next hops that serves.
 *
 * What a next hop says of MAIL, unless it is a 4yz, and all that it says later is an answer. What goes wrong before the first octet of
 * content leads to the next one of the list, but for a connection of the pool that was dead already: then to the same one, once. A
 * recipient that was refused for good by one is not named to the next.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/bug.h"
#include "out/log.h"
#include "relay/content.h"
#include "relay/deliver.h"

enum deliver_state {      /* only enter() writes it */
	DELIVER_ROOM,     /* no connection; one will be taken when there is room */
	DELIVER_OPEN,     /* the connection is in the making */
	DELIVER_ENVELOPE, /* MAIL and RCPT said, answers awaited */
	DELIVER_DATA,     /* DATA said, 354 awaited */
	DELIVER_SEND,     /* content on its way */
	DELIVER_FINAL,    /* final dot said, answer awaited */
	DELIVER_OVER      /* every recipient has its outcome */
};

#define TO(state) (1u << (state))
static const unsigned moves[] = {
	[DELIVER_ROOM] = TO(DELIVER_ROOM) | TO(DELIVER_OPEN) | TO(DELIVER_OVER),
	[DELIVER_OPEN] = TO(DELIVER_ROOM) | TO(DELIVER_ENVELOPE) | TO(DELIVER_OVER),
	[DELIVER_ENVELOPE] = TO(DELIVER_ROOM) | TO(DELIVER_DATA) | TO(DELIVER_OVER),
	[DELIVER_DATA] = TO(DELIVER_ROOM) | TO(DELIVER_SEND) | TO(DELIVER_OVER),
	[DELIVER_SEND] = TO(DELIVER_FINAL) | TO(DELIVER_OVER),
	[DELIVER_FINAL] = TO(DELIVER_OVER),
	[DELIVER_OVER] = 0,
};

enum { TAG_MAIL, TAG_RCPT, TAG_DATA = UINT32_MAX - 1, TAG_CONTENT = UINT32_MAX - 2 };

/* Of a recipient, on the connection there is now. */
enum mark {
	MARK_OPEN,     /* to be said, or not answered yet */
	MARK_ACCEPTED,
	MARK_PUT_OFF,
	MARK_SETTLED   /* whatever comes: it has its outcome */
};

struct deliver {
	struct deliver_job job;
	struct next_hop *hops[LIMIT_MX_HOSTS];
	void (*on)(void *arg, const struct deliver_end *end);
	void *arg;
	struct deliver_end end;
	enum deliver_state state;
	size_t at;                 /* of the next hop that is tried */
	uint32_t tried;            /* a bit each: not to be tried again */
	unsigned failed;           /* how many of them */
	int64_t until_ms;          /* no other one is tried later than this */
	struct upstream *up;
	struct upstream_wait wait;
	bool fresh;                /* no connection of the pool: it was dead */
	bool answered;             /* MAIL was, on the connection there is now */
	size_t sent, awaited;      /* recipients said, answers due to MAIL and RCPT */
	size_t accepted;
	size_t each;               /* recipient whose own answer to the content comes next, or after those that were not accepted */
	unsigned char *marks;      /* of each recipient */
	struct content content;
	size_t run_at;
	struct loop_later over;
	bool clean;                /* no transaction is open on the connection it had */
};

static void enter(struct deliver *d, enum deliver_state to)
{
	BUG_ON(!(moves[d->state] & TO(to)));
	d->state = to;
}

static struct next_hop *hop(const struct deliver *d)
{
	return d->hops[d->at];
}

/* ---- outcomes ---- */

/* The connection goes on last: who takes it next says nothing before it is written down what became of this one. */
static void on_over(void *arg)
{
	struct deliver *d = arg;
	struct next_hop *h = d->up ? hop(d) : NULL;
	struct upstream *up = d->up;
	bool clean = d->clean;

	d->up = NULL;
	if (h)
		next_hop_hold(h);
	d->on(d->arg, &d->end);
	upstream_give(&up, clean);
	if (h)
		next_hop_let_go(h);
}

/* Every recipient has its outcome; whoever waits is told at the end of the turn, when nothing of ours is at work any more. */
static void finish_giving(struct deliver *d, bool clean)
{
	enter(d, DELIVER_OVER);
	d->clean = clean;
	loop_later(d->job.loop, &d->over, on_over, d);
}

static void finish(struct deliver *d)
{
	upstream_drop(&d->up);
	finish_giving(d, false);
}

/* The words of an answer, lines joined, less what no text has; none without memory. */
static struct slice words(struct deliver *d, const struct reply *r)
{
	size_t n = r->text.n < LIMIT_REPLY_TEXT ? r->text.n : LIMIT_REPLY_TEXT;
	unsigned char *out = arena_take(d->job.arena, n);

	if (!out)
		return SLICE_NONE;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = r->text.at[i];

		out[i] = c == '\n' || c == '\t' ? ' ' : c < 0x20 || c == 0x7f ? '?' : c;
	}
	return slice_of(out, n);
}

static void answer(struct deliver *d, size_t i, const struct reply *r, struct slice text)
{
	struct deliver_rcpt *to = &d->job.rcpts[i];

	to->outcome = r->code / 100 == 2 ? DELIVER_TAKEN : r->code / 100 == 5 ? DELIVER_NEVER : DELIVER_LATER;
	to->code = r->code;
	memcpy(to->enhanced, r->enhanced, sizeof(to->enhanced));
	to->text = text;
	to->why = (struct fault){ 0 };
	to->relayed = to->outcome == DELIVER_TAKEN && !(cli_ext(upstream_cli(d->up))->bits & EXT_DSN);
}

/* For those that the next hop took so far, or for all that are not settled. */
static void answer_all(struct deliver *d, const struct reply *r, bool accepted)
{
	struct slice text = words(d, r);

	for (size_t i = 0; i < d->job.rcpt_count; i++)
		if (accepted ? d->marks[i] == MARK_ACCEPTED : d->marks[i] != MARK_SETTLED)
			answer(d, i, r, text);
}

static void fail(struct deliver *d, size_t i, const struct fault *f)
{
	struct deliver_rcpt *to = &d->job.rcpts[i];

	to->outcome = f->basic / 100 == 5 ? DELIVER_NEVER : DELIVER_LATER;
	to->code = 0;
	to->enhanced[0] = '\0';
	to->text = SLICE_NONE;
	to->why = *f;
}

/* Nobody is left who could say something. What one did say before tells more than that the last one could not be reached. */
static void finish_fault(struct deliver *d, const struct fault *f)
{
	for (size_t i = 0; i < d->job.rcpt_count; i++)
		if (d->marks[i] != MARK_SETTLED && (d->job.rcpts[i].code == 0 || d->job.rcpts[i].outcome != DELIVER_LATER))
			fail(d, i, f);
	finish(d);
}

/* ---- which next hop ---- */

static unsigned needs(const struct deliver *d)
{
	const struct srv_params *p = &d->job.params;

	return (p->body_8bit ? EXT_8BITMIME : 0u) | (p->smtputf8 ? EXT_SMTPUTF8 : 0u) |
	    (p->requiretls && !slice_eq(d->job.mail_from, S("<>")) ? EXT_REQUIRETLS : 0u);
}

static bool has_room(const struct deliver *d, const struct ext *e)
{
	return !(e->bits & EXT_SIZE) || !e->size_octets || e->size_octets >= d->job.octets;
}

static bool suits(const struct deliver *d, const struct ext *e)
{
	return (e->bits & needs(d)) == needs(d) && has_room(d, e);
}

/* The lower the sooner; one is as good as another that is not known to be worse (RFC 5321 5.1: their order is the domain's will). */
enum { RANK_GOOD, RANK_DOWN, RANK_LACKS, RANK_TRIED };

static unsigned rank(const struct deliver *d, size_t at)
{
	const struct ext *e = next_hop_ext(d->hops[at]);

	if (d->tried & 1u << at)
		return RANK_TRIED;
	if (!e)
		return next_hop_state(d->hops[at]) == NEXT_HOP_DOWN ? RANK_DOWN : RANK_GOOD;
	return suits(d, e) ? RANK_GOOD : RANK_LACKS;
}

static bool choose(struct deliver *d)
{
	unsigned best = RANK_TRIED;

	for (size_t i = 0; i < d->job.hop_count; i++)
		if (rank(d, i) < best) {
			best = rank(d, i);
			d->at = i;
		}
	d->fresh = false;
	return best < RANK_TRIED;
}

/* Is it a fault of how a next hop stands, which an operator should hear of, and not just of its being away? */
static bool lasting(enum fault_code code)
{
	return code == FAULT_NEXT_HOP_TLS || code == FAULT_NEXT_HOP_CERT || code == FAULT_NEXT_HOP_EARLY || code == FAULT_NEXT_HOP_DNS ||
	    code == FAULT_MAIL_LOOP;
}

static void log_failover(const struct deliver *d, const struct next_hop *from, const struct fault *f)
{
	struct log_line l = log_begin(LOG_LEVEL_WARNING, "next_hop_failover");
	char name[FAULT_NAME_OCTETS];

	fault_name(f->code, name);
	log_str(&l, "tx", d->job.name);
	log_str(&l, "listener", d->job.listener);
	log_str(&l, "next_hop", next_hop_name(from));
	log_str(&l, "fault", name);
	log_str(&l, "note", f->note[0] ? f->note : NULL);
	log_str(&l, "to", next_hop_name(hop(d)));
	log_end(&l);
}

static void take(struct deliver *d, bool woken);

/* Those that the one tried last took or put off are to be said to the next one; whom it refused is not. */
static void reopen(struct deliver *d)
{
	for (size_t i = 0; i < d->job.rcpt_count; i++)
		if (d->marks[i] != MARK_SETTLED)
			d->marks[i] = MARK_OPEN;
}

/* Nothing comes of the next hop that was tried: on to another, or the end. */
static void leave(struct deliver *d, const struct fault *f)
{
	struct next_hop *from = hop(d);

	d->tried |= 1u << d->at;
	/* Whom those behind us would hand it to is us (RFC 5321 5.1). */
	for (size_t i = d->at; i < d->job.hop_count && next_hop_by_mx(from) && f->code == FAULT_MAIL_LOOP; i++)
		d->tried |= 1u << i;
	if (++d->failed == 1) {
		d->end.why = *f;
	} else if ((d->end.why.basic / 100 != 5 || f->basic / 100 != 5) && (d->end.why.code != f->code || !lasting(f->code))) {
		d->end.why = (struct fault){ 0 };
		fault_note(&d->end.why, FAULT_NEXT_HOP_DOWN, 0, "%u next hops failed", d->failed);
	}
	if (loop_now_ms(d->job.loop) >= d->until_ms || !choose(d)) {
		finish_fault(d, &d->end.why);
		return;
	}
	log_failover(d, from, f);
	take(d, false);
}

/* ---- connection and envelope ---- */

/* There is a connection for it, or there was none in time. */
static void on_room(void *arg, bool room)
{
	struct deliver *d = arg;
	struct fault f = { 0 };

	if (room) {
		take(d, true);
		return;
	}
	d->end.busy = true;
	fault_note(&f, FAULT_NEXT_HOP_BUSY, 0, "pool.max");
	leave(d, &f);
}

static const struct upstream_user user;

static void on_ready(struct deliver *d);

static void take(struct deliver *d, bool woken)
{
	int64_t left_ms = d->until_ms - loop_now_ms(d->job.loop);
	unsigned char head[UPSTREAM_HEAD];
	struct fault f = { 0 };

	enter(d, DELIVER_ROOM);
	reopen(d);
	d->answered = false;
	d->accepted = d->sent = d->awaited = 0;
	d->end.next_hop = next_hop_name(hop(d));
	d->end.address[0] = '\0';
	d->end.tls_version = d->end.tls_cipher = NULL;
	left_ms = left_ms < 1 ? 1 : left_ms;
	if (upstream_must_wait(hop(d), woken)) {
		upstream_wait(hop(d), &d->wait, left_ms < LIMIT_ROOM_WAIT_S * 1000 ? left_ms : LIMIT_ROOM_WAIT_S * 1000, on_room, d);
		return;
	}
	d->up = upstream_take(hop(d), d->fresh, next_hop_head(hop(d), head), &user, d);
	if (!d->up) {
		fault_note(&f, FAULT_INTERNAL, 0, "no connection to the next hop could be made");
		finish_fault(d, &f);
		return;
	}
	d->end.reused = upstream_reused(d->up);
	enter(d, DELIVER_OPEN);
	if (cli_ready(upstream_cli(d->up)))
		on_ready(d);
	else
		upstream_within(d->up, left_ms);
}

/*
 * The next hop cannot have the message as it stands. One that may is tried first; where one that could not be reached may, it is too
 * early to give up.
 */
static void lacking(struct deliver *d, struct fault *f)
{
	bool maybe = false;

	upstream_give(&d->up, true);
	d->tried |= 1u << d->at;
	for (size_t i = 0; i < d->job.hop_count; i++) {
		const struct ext *e = next_hop_ext(d->hops[i]);

		maybe = maybe || (i != d->at && (!e || suits(d, e)));
	}
	if (maybe) {
		f->basic = 451;
		f->enhanced[0] = '4';
		leave(d, f);
	} else {
		d->end.why = *f;
		finish_fault(d, f);
	}
}

/* Beyond what cli_mail() finds. */
static bool too_big(const struct deliver *d, const struct ext *e, struct fault *f)
{
	if (has_room(d, e))
		return false;
	fault_note(f, FAULT_NEXT_HOP_LACKS, 0, "SIZE %llu", (unsigned long long)e->size_octets);
	fault_text(f, S("message is too big for the next hop"));
	f->basic = 552;
	snprintf(f->enhanced, sizeof(f->enhanced), "5.3.4");
	return true;
}

/* What the next hop says is too many for it in one transaction (RFC 9422 4.1) waits for another one. */
static void put_off(struct deliver *d, size_t i, uint32_t most)
{
	struct fault f = { 0 };

	fault_note(&f, FAULT_TOO_MANY_RCPT, 0, "RCPTMAX=%u", (unsigned)most);
	fail(d, i, &f);
	d->job.rcpts[i].code = f.basic;
	memcpy(d->job.rcpts[i].enhanced, f.enhanced, sizeof(f.enhanced));
	d->marks[i] = MARK_PUT_OFF;
}

static bool say_envelope(struct deliver *d, struct fault *f)
{
	struct cli *cli = upstream_cli(d->up);
	uint32_t most = cli_ext(cli)->rcpt_max;

	if (!cli_mail(cli, TAG_MAIL, d->job.mail_from, &d->job.params, f))
		return false;
	d->awaited = 1;
	for (size_t i = 0; i < d->job.rcpt_count; i++) {
		if (d->marks[i] != MARK_OPEN)
			continue;
		if (most && d->sent == most) {
			put_off(d, i, most);
			continue;
		}
		if (!cli_rcpt(cli, (uint32_t)(TAG_RCPT + i), d->job.rcpts[i].path, &d->job.rcpts[i].params, f))
			return false;
		d->sent++;
		d->awaited++;
	}
	return true;
}

static void on_ready(struct deliver *d)
{
	struct fault f = { 0 };
	const struct tls *tls = upstream_tls(d->up);

	d->end.reached = true;
	upstream_address(d->up, d->end.address);
	if (tls) {
		d->end.tls_version = tls_version(tls);
		d->end.tls_cipher = tls_cipher(tls);
	}
	if (!too_big(d, cli_ext(upstream_cli(d->up)), &f) && say_envelope(d, &f)) {
		enter(d, DELIVER_ENVELOPE);
		upstream_push(d->up);
	} else if (f.code == FAULT_NEXT_HOP_LACKS) {
		lacking(d, &f);
	} else {
		finish_fault(d, &f);
	}
}

/* ---- answers ---- */

static void on_mail_reply(struct deliver *d, const struct reply *r)
{
	struct fault f = { 0 };

	d->answered = true;
	d->awaited--;
	if (r->code / 100 == 2) {
		d->end.busy = false;
		return;
	}
	answer_all(d, r, false);
	if (r->code / 100 == 5) {
		finish_giving(d, false);
		return;
	}
	upstream_give(&d->up, false);
	fault_note(&f, FAULT_NEXT_HOP_DOWN, 0, "%d to MAIL", r->code);
	leave(d, &f);
}

/* 552 behind others that were accepted was RFC 821's word for 452, and is to be taken for it (RFC 5321 4.5.3.1.10). */
static bool too_many(const struct deliver *d, const struct reply *r)
{
	return r->code == 552 && d->accepted > 0 && (!r->enhanced[0] || strcmp(r->enhanced, "5.5.3") == 0);
}

static void on_rcpt_reply(struct deliver *d, size_t i, const struct reply *r)
{
	d->awaited--;
	answer(d, i, r, words(d, r));
	if (too_many(d, r))
		d->job.rcpts[i].outcome = DELIVER_LATER;
	d->marks[i] = d->job.rcpts[i].outcome == DELIVER_TAKEN ? MARK_ACCEPTED :
	    d->job.rcpts[i].outcome == DELIVER_NEVER ? MARK_SETTLED : MARK_PUT_OFF;
	d->accepted += d->marks[i] == MARK_ACCEPTED;
	if (d->awaited)
		return;
	if (d->accepted) {
		enter(d, DELIVER_DATA);
		cli_data(upstream_cli(d->up), TAG_DATA);
		upstream_push(d->up);
	} else {
		finish_giving(d, false);
	}
}

static bool next_run(void *arg, struct slice *run_out, bool *dots_out)
{
	struct deliver *d = arg;

	*dots_out = d->job.dots;
	if (d->run_at == d->job.run_count)
		return false;
	*run_out = d->job.runs[d->run_at++];
	return true;
}

static void on_data_reply(struct deliver *d, const struct reply *r)
{
	if (r->code == 354) {
		enter(d, DELIVER_SEND);
		content_begin(&d->content, next_run, d);
		upstream_content(d->up);
	} else {
		answer_all(d, r, true);
		finish_giving(d, false);
	}
}

/* LMTP: each recipient that was accepted has an answer of its own, in their order (RFC 2033 4.2). */
static void on_each_reply(struct deliver *d, const struct reply *r, bool last)
{
	while (d->each < d->job.rcpt_count && d->marks[d->each] != MARK_ACCEPTED)
		d->each++;
	BUG_ON(d->each == d->job.rcpt_count);
	answer(d, d->each, r, words(d, r));
	d->marks[d->each] = MARK_SETTLED;
	if (last)
		finish_giving(d, true);
}

static void log_odd(const struct deliver *d)
{
	struct log_line l = log_begin(LOG_LEVEL_WARNING, "up_reply_sanitized");

	log_str(&l, "tx", d->job.name);
	log_str(&l, "next_hop", next_hop_name(hop(d)));
	log_end(&l);
}

static void on_event(void *arg, const struct cli_event *ev)
{
	struct deliver *d = arg;

	if (d->state == DELIVER_OVER)
		return;
	if (ev->reply.odd)
		log_odd(d);
	if (ev->kind == CLI_EV_READY) {
		on_ready(d);
		return;
	}
	switch (ev->what) {
	case CLI_MAIL:
		on_mail_reply(d, &ev->reply);
		break;
	case CLI_RCPT:
		on_rcpt_reply(d, ev->tag - TAG_RCPT, &ev->reply);
		break;
	case CLI_DATA:
		on_data_reply(d, &ev->reply);
		break;
	case CLI_EACH:
		on_each_reply(d, &ev->reply, ev->last);
		break;
	case CLI_CONTENT:
		answer_all(d, &ev->reply, true);
		finish_giving(d, true);
		break;
	}
}

static size_t on_content(void *arg, struct iovec *iov, size_t max)
{
	struct deliver *d = arg;

	return d->state == DELIVER_SEND ? content_out(&d->content, iov, max) : 0;
}

static void on_wrote(void *arg, size_t n)
{
	struct deliver *d = arg;

	if (content_wrote(&d->content, n) && d->state == DELIVER_SEND) {
		enter(d, DELIVER_FINAL);
		cli_content_sent(upstream_cli(d->up), TAG_CONTENT);
		upstream_push(d->up);
	}
}

/* ---- loss ---- */

/* Its words are better than ours for whoever is not answered otherwise, but whatever they are they are not the last. */
static void on_refused(void *arg, const struct reply *r)
{
	struct deliver *d = arg;
	bool content = d->state == DELIVER_SEND || d->state == DELIVER_FINAL;

	if (!content && d->end.reused && !d->answered)
		return; /* it was meant for who had the connection before */
	answer_all(d, r, content);
	for (size_t i = 0; i < d->job.rcpt_count; i++)
		if (content ? d->marks[i] == MARK_ACCEPTED : d->marks[i] != MARK_SETTLED)
			d->job.rcpts[i].outcome = DELIVER_LATER;
}

static void log_final(const struct deliver *d, const struct fault *f)
{
	struct log_line l = log_begin(LOG_LEVEL_WARNING, "up_final_lost");

	log_str(&l, "tx", d->job.name);
	log_str(&l, "next_hop", next_hop_name(hop(d)));
	log_str(&l, "note", f->note[0] ? f->note : NULL);
	log_end(&l);
}

/* Part of the content is there, or all of it. */
static void lost_content(struct deliver *d, const struct fault *f)
{
	d->end.lost_final = d->state == DELIVER_FINAL && f->code != FAULT_NEXT_HOP_421;
	if (d->end.lost_final)
		log_final(d, f);
	d->end.why = *f;
	for (size_t i = 0; i < d->job.rcpt_count; i++)
		if (d->marks[i] == MARK_ACCEPTED && d->job.rcpts[i].code / 100 == 2)
			fail(d, i, f);
	finish(d);
}

static void on_lost(void *arg, const struct fault *f)
{
	struct deliver *d = arg;
	bool opened = d->state != DELIVER_OPEN;

	if (!opened)
		upstream_address(d->up, d->end.address);
	d->up = NULL;
	if (d->state == DELIVER_OVER)
		return;
	d->end.busy |= f->code == FAULT_NEXT_HOP_421;
	if (d->state == DELIVER_SEND || d->state == DELIVER_FINAL) {
		lost_content(d, f);
		return;
	}
	/* It died in the pool, and we had not heard. */
	if (d->end.reused && !d->answered && !d->fresh && f->code != FAULT_NO_MEMORY) {
		d->end.busy = false;
		d->fresh = true;
		take(d, false);
		return;
	}
	if (f->code == FAULT_NO_MEMORY || f->code == FAULT_INTERNAL) {
		finish_fault(d, f);
		return;
	}
	if (opened && d->job.hop_count > 1)
		next_hop_bad(hop(d), f);
	leave(d, f);
}

static const struct upstream_user user = { .event = on_event, .content = on_content, .wrote = on_wrote, .lost = on_lost,
	.refused = on_refused };

/* ---- from outside ---- */

struct deliver *deliver_start(const struct deliver_job *job, void (*on)(void *arg, const struct deliver_end *end), void *arg)
{
	struct deliver *d = calloc(1, sizeof(*d));

	BUG_ON(!job->hop_count || job->hop_count > LIMIT_MX_HOSTS || !job->rcpt_count);
	if (!d)
		return NULL;
	d->marks = calloc(job->rcpt_count, sizeof(*d->marks));
	if (!d->marks) {
		free(d);
		return NULL;
	}
	d->job = *job;
	d->on = on;
	d->arg = arg;
	memcpy(d->hops, job->hops, job->hop_count * sizeof(*d->hops));
	d->job.hops = d->hops;
	d->job.params.size_named = true;
	d->job.params.size_octets = job->octets;
	d->job.params.prdr = false;
	d->until_ms = loop_now_ms(job->loop) + LIMIT_HOSTS_S * 1000;
	for (size_t i = 0; i < job->rcpt_count; i++) {
		struct deliver_rcpt *to = &job->rcpts[i];

		*to = (struct deliver_rcpt){ .path = to->path, .params = to->params, .outcome = DELIVER_LATER };
	}
	for (size_t i = 0; i < job->hop_count; i++)
		next_hop_hold(d->hops[i]);
	(void)choose(d);
	take(d, false);
	return d;
}

void deliver_free(struct deliver **dp)
{
	struct deliver *d = *dp;

	*dp = NULL;
	if (!d)
		return;
	upstream_unwait(&d->wait);
	upstream_drop(&d->up);
	loop_later_cancel(d->job.loop, &d->over);
	for (size_t i = 0; i < d->job.hop_count; i++)
		next_hop_let_go(d->hops[i]);
	free(d->marks);
	free(d);
}

bool deliver_dot_said(const struct deliver *d)
{
	return d->state == DELIVER_FINAL;
}
