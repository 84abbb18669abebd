/*
 * judge.c - the judge stage of a transaction: facts of the header, the engines, the rules; then what this hop adds.
 */
#include <stdio.h>

#include "auth/authres.h"
#include "base/limits.h"
#include "mail/domain.h"
#include "mail/from.h"
#include "out/log.h"
#include "relay/accept.h"
#include "relay/each.h"
#include "relay/trace.h"
#include "relay/verdict.h"
#include "relay/view.h"

static void event(struct tx *t, const char *name, const struct fault *f)
{
	struct log_line l = log_begin(LOG_LEVEL_WARNING, name);

	log_str(&l, "tx", t->name);
	view_log(t->pair, &l);
	if (f)
		log_fault(&l, f);
	log_end(&l);
}

bool judge_rules(struct tx *t, const struct tx_command *c, bool last, struct fault *f_out)
{
	const struct policy *policy = t->pair->listener->conf->policy;
	struct ruling r;

	if (!policy) {
		t->ruling = (struct ruling){ .kind = last ? RULING_ACCEPT : RULING_NONE, .rule = "none" };
		return false;
	}
	r = policy_rule(policy, &t->facts, last);
	if (r.kind == RULING_NONE)
		return false;
	/* What is said of one recipient holds for that recipient. */
	if (last || !c || c == t->commands)
		t->ruling = r;
	if (r.kind != RULING_REFUSE && r.kind != RULING_DEFER)
		return false;
	if (!t->unshadowed) {
		struct log_line l = log_begin(LOG_LEVEL_INFO, "shadow_ruling");

		log_str(&l, "tx", t->name);
		log_str(&l, "rule", r.rule);
		log_fault(&l, &r.fault);
		log_end(&l);
		return false;
	}
	*f_out = r.fault;
	return true;
}

static void read_from(struct tx *t)
{
	size_t first = header_find(&t->header, S("From"), 0);
	bool readable = from_domains(&t->pair->arena, &t->header, &t->from, &t->from_count);

	if (readable)
		facts_set(&t->facts, FACT_FROM_DOMAIN, t->from[0]);
	else
		t->from_count = 0;
	t->from_single = readable && header_find(&t->header, S("From"), first + 1) >= t->header.n;
	if (t->from_count != 1 || !t->from_single)
		event(t, "msg_from_ambiguous", NULL);
}

/* Faults of the header that are told at the end of the content, where the client can hear them. */
static void inspect(struct tx *t)
{
	size_t received = 0;

	for (size_t i = header_find(&t->header, S("Received"), 0); i < t->header.n; i = header_find(&t->header, S("Received"), i + 1))
		received++;
	if (received > LIMIT_RECEIVED) {
		fault_note(&t->found, FAULT_MAIL_LOOP, 0, "%zu Received fields", received);
		event(t, "mail_loop", &t->found);
		return;
	}
	if (t->pair->listener->conf->service == SERVICE_PASS)
		return;
	for (size_t i = 0; i < t->header.n && t->found.code == FAULT_NONE; i++)
		if (t->header.fields[i].blank_name)
			fault_set(&t->found, FAULT_NAME_SPACE, (size_t)(t->header.fields[i].raw.at - t->header.raw.at));
	if (t->header.malformed)
		fault_set(&t->found, FAULT_MALFORMED, 0);
	if (t->found.code != FAULT_NONE)
		event(t, "msg_malformed", &t->found);
}

/* The mailbox of MAIL FROM as SPF and results name it; empty: the null path. */
static struct slice mailbox(struct arena *a, const struct path *p)
{
	return p->domain.n ? arena_printf(a, "%.*s@%.*s", SLICE_FMT(p->local), SLICE_FMT(p->domain)) : p->local;
}

/* Is what DKIM signs our own? Its hash runs with the others then. */
static bool signs_dkim(const struct tx *t)
{
	const struct conf_listener *l = t->pair->listener->conf;

	return l->dkim && t->from_count && plan_domain(t->pair->relay->conf, t->from, t->from_count, SLICE_NONE);
}

void judge_header(struct tx *t)
{
	static const unsigned char unknown[16] = { [10] = 0xff, [11] = 0xff }; /* 0.0.0.0 */
	struct pair *p = t->pair;
	const struct conf *conf = p->relay->conf;
	const struct conf_listener *l = p->listener->conf;
	struct engines_terms terms = {
		.run = l->verify,
		.now = tx_now_s(t),
		.envelope = &t->envelope,
		.draft = conf->dkim2.draft,
		.future_s = conf->dkim2.future_s,
		.undo_octets = conf->dkim2.undo_octets,
		.signatures_max = conf->dkim.signatures_max,
		.trust_l = conf->dkim.trust_l,
		.client_known = memcmp(p->client, unknown, sizeof(unknown)) != 0,
		.helo = srv_helo(p->srv),
		.mail_from = mailbox(&p->arena, &t->commands[0].path),
		.hostname = slice_str(conf->hostname),
		.explain = true,
		.also_simple = l->sealing ? 1U << DIGEST_SHA256 : 0,
	};
	bool done;

	t->header_seen = true;
	if (!header_parse(&p->arena, hold_header(t->hold, &done), conf->limits.header_fields, &t->header, &t->found))
		return;
	inspect(t);
	if (t->found.code != FAULT_NONE || l->service == SERVICE_PASS)
		return;
	/* A bypass spares the judging, not the sealing. */
	if (t->ruling.kind == RULING_BYPASS && !l->sealing)
		return;
	read_from(t);
	terms.from = t->from;
	terms.from_count = t->from_count;
	terms.from_single = t->from_single;
	terms.also_relaxed = l->arc_seal || signs_dkim(t);
	memcpy(terms.client, p->client, sizeof(terms.client));
	t->checks = checks_new(&p->arena, p->relay->loop, p->relay->ask, &t->header, &terms, conf->dns.timeout_ms);
	if (!t->checks)
		fault_set(&t->found, FAULT_NO_MEMORY, 0);
}

/* Results that claim to be ours but came from outside are gone before ours are put on top (RFC 8601 section 5). */
static void strip_results(struct tx *t)
{
	struct pair *p = t->pair;
	struct slice id = slice_str(p->listener->conf->authserv_id);
	size_t n = 0;

	for (size_t i = header_find(&t->header, S("Authentication-Results"), 0); i < t->header.n;
	     i = header_find(&t->header, S("Authentication-Results"), i + 1))
		if (authres_is_ours(&p->arena, t->header.fields[i].value, id)) {
			edit_remove(t->edit, i);
			n++;
		}
	if (n) {
		struct log_line l = log_begin(LOG_LEVEL_INFO, "ar_forged_removed");

		log_str(&l, "tx", t->name);
		view_log(p, &l);
		log_u64(&l, "fields", n);
		log_end(&l);
	}
}

static void annotate(struct tx *t)
{
	struct arena *a = &t->pair->arena;
	struct slice id = slice_str(t->pair->listener->conf->authserv_id);
	struct authres_result *results;
	size_t n;

	strip_results(t);
	if (t->checks && findings_results(a, &t->findings, &results, &n))
		edit_prepend(t->edit, authres_field(a, S("Authentication-Results"), id, results, n));
}

/* RFC 3848, 6531 4.3; there is no word for HELO inside TLS, and nobody authenticates in clear. */
static const char *with(const struct tx *t)
{
	bool tls = t->pair->conn.tls != NULL, user = t->pair->user != NULL;

	if (t->commands[0].params.smtputf8)
		return user ? "UTF8SMTPSA" : tls ? "UTF8SMTPS" : "UTF8SMTP";
	return !srv_esmtp(t->pair->srv) ? "SMTP" : user ? "ESMTPSA" : tls ? "ESMTPS" : "ESMTP";
}

static void add_received(struct tx *t)
{
	struct pair *p = t->pair;
	const struct tls *tls = p->conn.tls;
	struct trace trace = {
		.helo = srv_helo(p->srv),
		.client = p->client_text,
		.client_v6 = strchr(p->client_text, ':') != NULL,
		.hostname = p->relay->conf->hostname,
		.with = with(t),
		.tls_version = tls ? tls_version(tls) : NULL,
		.tls_cipher = tls ? tls_cipher(tls) : NULL,
		.id = slice_str(t->name),
		.rcpt = t->envelope.rcpt_count == 1 ? t->envelope.rcpt_to[0] : SLICE_NONE,
		.unix_s = tx_now_s(t),
	};

	edit_prepend(t->edit, trace_received(&p->arena, &trace));
}

static bool is_from(struct slice name)
{
	return slice_ieq(name, S("From"));
}

/* What a sealing service does to the copy, if what is to be changed in it is, or has been. */
static struct plan make_plan(struct tx *t, const struct dkim2_verdict *v, bool changed)
{
	struct pair *p = t->pair;
	struct slice domain = t->commands[0].path.domain;
	struct plan_facts facts = {
		.conf = p->relay->conf,
		.listener = p->listener->conf,
		.came = v,
		.mail_from_null = t->commands[0].path.null,
		.from = t->from,
		.from_count = t->from_count,
		.from_single = t->from_single,
		.known_client = p->known_client,
		.arranged = verdict_arranged(t),
		.changed = changed || edit_touches(t->edit, dkim2_covers),
		.from_changed = edit_touches(t->edit, is_from),
		.wanted = t->envelope.rcpt_count + t->told_split,
	};

	if (domain.n && !domain_normal(&p->arena, domain, &facts.mail_from_domain))
		facts.mail_from_domain = domain;
	return plan_make(&facts);
}

/*
 * REQUIRETLS by a field of the message, as Postfix 3.11 tells its content filters and takes from them. One that says so already is
 * enough; others are no concern of the field's readers. A chain gets it only where the envelope cannot say it, and if a hop of ours
 * accounts for it. False: nothing can say it.
 */
static bool add_require_tls(struct tx *t, const struct dkim2_verdict *v)
{
	static const struct slice name = { (const unsigned char *)"Require-TLS-ESMTP", 17 };

	if (!t->commands[0].params.requiretls || !relay_by_field(t->pair->listener))
		return true;
	for (size_t i = header_find(&t->header, name, 0); i < t->header.n; i = header_find(&t->header, name, i + 1))
		if (slice_ieq(slice_trim(t->header.fields[i].value), S("yes")))
			return true;
	if (t->pair->listener->conf->sealing && v && plan_chain(v) && (!t->by_field || make_plan(t, v, true).kind != PLAN_EXTEND)) {
		t->no_field = true;
		return !t->by_field || t->commands[0].path.null;
	}
	edit_prepend(t->edit, S("Require-TLS-ESMTP: yes\r\n"));
	return true;
}

/* Signed by arrangement, or not for all that. */
static void log_arranged(const struct tx *t)
{
	const struct dkim2_verdict *v = checks_findings(t->checks)->dkim2;

	if (v && plan_chain(v) && !dkim2_fully_verified(v) && verdict_arranged(t))
		verdict_chain_event(t, copy_seals(t->copy) ? "dkim2_out_of_band" : "dkim2_not_signed", v);
}

static void on_sealed(void *arg)
{
	struct tx *t = arg;
	struct fault f = { 0 };

	enum copy_state state = copy_result(t->copy, &f);

	log_arranged(t);
	if (copy_no_arc(t->copy))
		event(t, "arc_not_sealed", copy_no_arc(t->copy));
	if (state == COPY_REFUSED)
		tx_end_fault(t, &f);
	else
		send_start(t);
}

/* What was found, as an ARC set tells it; empty: nothing, or no memory, which the arena tells. */
static struct slice results_value(struct tx *t)
{
	struct arena *a = &t->pair->arena;
	struct authres_result *results;
	size_t n;

	if (!findings_results(a, &t->findings, &results, &n))
		return SLICE_NONE;
	return authres_value(a, slice_str(t->pair->listener->conf->authserv_id), results, n);
}

/* What this hop adds with keys of its own: seals and a DKIM signature of a service that seals, an ARC set of any. */
static void sign(struct tx *t)
{
	struct pair *p = t->pair;
	const struct conf_listener *l = p->listener->conf;
	const struct engines *engines = checks_engines(t->checks);
	const struct findings *found = &t->findings;
	struct copy_job job = {
		.arena = &p->arena,
		.ask = p->relay->ask,
		.conf = p->relay->conf,
		.came = &t->header,
		.edit = t->edit,
		.plan = { .kind = PLAN_NOTHING, .why = "none" },
		.verdict = found->dkim2,
		.body_sha256 = engines_simple(engines, DIGEST_SHA256),
		.body_sha512 = engines_simple(engines, DIGEST_SHA512),
		.body_relaxed_sha256 = engines_relaxed_sha256(engines),
		.arc = l->arc_seal,
		.arc_came = found->arc,
		.flags = l->flags,
		.envelope = t->envelope,
		.now = tx_now_s(t),
	};
	struct fault f = { 0 };

	if (l->arc_seal)
		job.authres = results_value(t);
	if (l->sealing)
		t->plan = job.plan = make_plan(t, found->dkim2, false);
	if (!t->unshadowed) { /* what it would have done is in the log */
		send_start(t);
		return;
	}
	t->copy = copy_start(&job, on_sealed, t);
	if (!t->copy) {
		fault_set(&f, FAULT_NO_MEMORY, 0);
		tx_end_fault(t, &f);
		return;
	}
	if (copy_result(t->copy, &f) == COPY_WAIT)
		tx_enter(t, TX_SEAL);
	else
		on_sealed(t);
}

/* What is known already of a copy that cannot leave is told while the client hears it; sealed it is when it leaves. */
static bool may_leave(struct tx *t, struct fault *f)
{
	const struct header *h;

	t->plan = make_plan(t, t->findings.dkim2, false);
	if (!t->unshadowed)
		return true;
	if (t->plan.kind == PLAN_REFUSE) {
		*f = t->plan.fault;
		return false;
	}
	if (t->plan.kind == PLAN_ORIGINATE)
		copy_hide(t->edit, &t->header);
	if (t->plan.kind != PLAN_NOTHING || !t->plan.enforce)
		return true;
	h = edit_header(t->edit);
	return h ? dkim2_enforce(&t->pair->arena, h, &t->envelope, f) : fault_set(f, FAULT_NO_MEMORY, 0);
}

static void keep(struct tx *t)
{
	struct fault f = { 0 };

	if (t->checks && t->pair->listener->conf->sealing && !may_leave(t, &f))
		tx_end_fault(t, &f);
	else
		accept_message(t);
}

/* This recipient does not get it, others may. */
static bool rule_out(struct tx *t, struct tx_command *c, const struct fault *f, struct fault *f_out)
{
	c->ruled = ARENA_NEW(&t->pair->arena, struct fault);
	if (!c->ruled)
		return fault_set(f_out, FAULT_NO_MEMORY, 0);
	*c->ruled = *f;
	c->code = f->basic;
	return true;
}

/* Those who are left: the envelope is theirs. */
static void take_out(struct tx *t)
{
	t->envelope.rcpt_count = 0;
	for (size_t i = 1; i < t->command_count; i++)
		if (t->commands[i].code / 100 == 2)
			t->rcpts[t->envelope.rcpt_count++] = t->commands[i].path.raw;
	if (t->envelope.rcpt_count == t->accepted)
		return;
	t->accepted = t->envelope.rcpt_count;
	if (t->accepted)
		send_again(t);
}

/* Every accepted recipient's rules; without PRDR the first refusal is the answer, since there is one answer for all. */
static bool ruled_out(struct tx *t, struct fault *f_out)
{
	bool each = t->commands[0].params.prdr && each_count(t) > 1;
	struct ruling others = t->ruling;

	for (size_t i = 1; i < t->command_count; i++) {
		struct tx_command *c = &t->commands[i];
		struct slice domain = c->path.domain;
		struct fault f = { 0 };

		if (c->code / 100 != 2)
			continue;
		if (domain.n && !domain_normal(&t->pair->arena, domain, &domain))
			domain = c->path.domain;
		facts_set(&t->facts, FACT_RCPT, c->path.raw);
		facts_set(&t->facts, FACT_RCPT_DOMAIN, domain);
		if (!judge_rules(t, c, true, &f)) {
			others = t->ruling;
			continue;
		}
		if (!each) {
			*f_out = f;
			return true;
		}
		if (!rule_out(t, c, &f, f_out))
			return true;
	}
	if (each) {
		take_out(t);
		t->ruling = t->accepted ? others : t->ruling;
	}
	return false;
}

static void judged(void *arg)
{
	struct tx *t = arg;
	const struct conf_listener *l = t->pair->listener->conf;
	struct fault f = { 0 };
	bool out;

	if (t->checks)
		verdict_take(t);
	/* whatever was left out then, it is no reason to refuse for good */
	if (arena_failed(&t->pair->arena)) {
		fault_set(&f, FAULT_NO_MEMORY, 0);
		tx_end_fault(t, &f);
		return;
	}
	out = t->ruling.kind != RULING_BYPASS && ruled_out(t, &f);
	if (t->checks)
		verdict_report(t);
	if (out) {
		tx_end_fault(t, &f);
		return;
	}
	if (t->accepted == 0) {
		each_ruled(t);
		return;
	}
	t->edit = edit_new(&t->pair->arena, &t->header);
	if (!t->edit) {
		fault_set(&f, FAULT_NO_MEMORY, 0);
		tx_end_fault(t, &f);
		return;
	}
	if (l->service == SERVICE_INBOUND)
		annotate(t);
	if (!add_require_tls(t, t->checks ? checks_findings(t->checks)->dkim2 : NULL)) {
		fault_note(&f, FAULT_REQUIRETLS, 0, "no hop of ours can account for a field in a sealed message");
		tx_end_fault(t, &f);
		return;
	}
	/* Who answers for a message owes it a Received field (RFC 5321 4.4), and without one nobody sees it go round. */
	if ((l->service != SERVICE_PASS && t->unshadowed) || accept_here(t))
		add_received(t);
	if (accept_here(t))
		keep(t);
	else if (t->checks && (l->sealing || l->arc_seal))
		sign(t);
	else
		send_start(t);
}

void judge_whole(struct tx *t)
{
	/* Shadow forgives what a rule forbids, not what could not be read or would go round for ever. */
	bool forgiven = !t->unshadowed && (t->found.code == FAULT_MALFORMED || t->found.code == FAULT_NAME_SPACE);

	if (t->found.code != FAULT_NONE && !forgiven)
		tx_end_fault(t, &t->found);
	else if (!t->checks || checks_end(t->checks, judged, t))
		judged(t);
}
