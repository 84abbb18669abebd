#include <stdio.h>
#include <stdlib.h>

#include "auth/dkim2/bounce.h"
#include "base/ip.h"
#include "base/limits.h"
#include "mail/domain.h"
#include "out/log.h"
#include "relay/accept.h"
#include "relay/verdict.h"
#include "rewrite/group.h"

bool accept_here(const struct tx *t)
{
	return t->pair->listener->conf->mode == MODE_QUEUE;
}

/* ---- the envelope ---- */

bool accept_mail(struct tx *t, struct fault *f_out)
{
	const struct srv_params *p = &t->commands[0].params;

	return store_room(t->pair->relay->store, p->size_named ? p->size_octets : 0, f_out);
}

bool accept_always(const struct pair *p, struct arena *a, const struct path *rcpt)
{
	struct slice domain;

	if (p->listener->conf->mode != MODE_QUEUE || !slice_ieq(rcpt->local, S("postmaster")))
		return false;
	return rcpt->domain.n == 0 ||
	    (domain_normal(a, rcpt->domain, &domain) && slice_eq(domain, slice_str(p->relay->conf->hostname)));
}

/* RFC 5321 4.1.3: "[192.0.2.1]", "[IPv6:2001:db8::1]"; normal. */
static bool address_literal(struct slice domain)
{
	unsigned char address[16];

	if (!slice_starts(domain, S("[")) || !slice_ends(domain, S("]")))
		return false;
	domain = slice_sub(domain, 1, domain.n - 2);
	return ip_parse(slice_istarts(domain, S("IPv6:")) ? slice_sub(domain, 5, SIZE_MAX) : domain, address);
}

bool accept_route(struct tx *t, const struct path *rcpt, struct fault *f_out)
{
	const struct conf_listener *l = t->pair->listener->conf;
	struct slice domain;
	size_t route;

	if (accept_always(t->pair, &t->pair->arena, rcpt))
		return true;
	if (!domain_normal(&t->pair->arena, rcpt->domain, &domain))
		domain = rcpt->domain;
	if (l->table ? table_find(l->table, domain, &route) : !l->route_mx || domain_valid(domain) || address_literal(domain))
		return true;
	return fault_set(f_out, FAULT_NO_ROUTE, 0);
}

void accept_answer(struct tx *t, struct tx_command *c)
{
	bool mail = c == t->commands;

	c->code = 250;
	if (!mail)
		t->accepted++;
	srv_answer(t->pair->srv, c->seq, &(struct reply){ .code = 250, .text = mail ? S("2.1.0 sender ok") : S("2.1.5 recipient ok") });
	pair_go_on(t->pair);
}

struct named {
	struct slice key;
	size_t index; /* in t->commands */
};

static int compare(const void *x, const void *y)
{
	const struct named *p = x, *q = y;
	int c = slice_cmp(p->key, q->key);

	return c ? c : (p->index > q->index) - (p->index < q->index);
}

bool accept_distinct(struct tx *t, struct fault *f_out)
{
	struct named *all = ARENA_ARRAY(&t->pair->arena, t->command_count, struct named);
	size_t n = 0;

	for (size_t i = 1; all && i < t->command_count; i++)
		if (t->commands[i].code / 100 == 2)
			all[n++] = (struct named){ path_key(&t->pair->arena, t->commands[i].path.raw), i };
	if (arena_failed(&t->pair->arena))
		return fault_set(f_out, FAULT_NO_MEMORY, 0);
	if (n)
		qsort(all, n, sizeof(all[0]), compare);
	for (size_t i = 1; i < n; i++)
		if (slice_eq(all[i].key, all[i - 1].key)) {
			t->commands[all[i].index].code = 0;
			t->accepted--;
		}
	return true;
}

/* ---- what is kept with the message ---- */

/*
 * Who hears that it cannot be delivered: who answers for the newest hop of a chain that had verified, else who sent it, if that is one
 * we know. A stranger's sender address is nobody's word, and a report to it would be one more piece of junk.
 */
static void fill_report(const struct tx *t, struct spool_envelope *e)
{
	struct slice newest = SLICE_NONE;
	enum bounce_due due = bounce_due(t->findings.dkim2, &newest);
	struct path path;

	if (t->commands[0].path.null || due == BOUNCE_NOBODY)
		e->report_why = S("null_path");
	else if (due == BOUNCE_DUE && path_parse(newest, &path) && !path.null)
		e->report_to = path.raw;
	else if (due == BOUNCE_DUE) /* of an nd= hop there is none */
		e->report_why = S("no_path");
	else if (due == BOUNCE_UNVERIFIED)
		e->report_why = S("unverified");
	else if (t->pair->known_client)
		e->report_to = t->commands[0].path.raw;
	else
		e->report_why = S("unknown_client");
}

static void fill_verdict(struct tx *t, struct spool_envelope *e)
{
	const struct engines *engines = checks_engines(t->checks);
	const struct dkim2_verdict *v = t->findings.dkim2;
	struct arena *a = &t->pair->arena;
	struct authres_result *results;
	size_t n;

	e->judged = true;
	if (v) {
		e->chain_state = v->state;
		e->chain_newest = v->newest;
		e->chain_level = v->level;
		e->hop_count = (uint32_t)v->hop_count;
		e->instance_count = (uint32_t)v->instance_count;
		e->chain_exploded = v->exploded;
	}
	if (t->findings.arc) {
		e->arc_state = t->findings.arc->state;
		e->arc_instances = (uint32_t)t->findings.arc->instances;
	}
	if (findings_results(a, &t->findings, &results, &n))
		e->authres = authres_value(a, slice_str(t->pair->listener->conf->authserv_id), results, n);
	e->body_sha256 = engines_simple(engines, DIGEST_SHA256);
	e->body_sha512 = engines_simple(engines, DIGEST_SHA512);
	e->body_relaxed_sha256 = engines_relaxed_sha256(engines);
}

/* Copies are as the seals of a service that seals would have it, on every service: a reload may make it one before they leave. */
static bool fill_rcpts(struct tx *t, struct spool_envelope *e)
{
	struct arena *a = &t->pair->arena;
	size_t n = t->envelope.rcpt_count;
	uint32_t *groups = ARENA_ARRAY(a, n, uint32_t);
	bool *again = ARENA_ARRAY(a, n, bool);

	e->rcpts = ARENA_ARRAY(a, n, struct spool_rcpt);
	if (!groups || !again || !e->rcpts || group_make(a, &t->header, t->envelope.rcpt_to, n, true, LIMIT_RT, groups, again) == 0)
		return false;
	for (size_t i = 1; i < t->command_count; i++) {
		const struct tx_command *c = &t->commands[i];

		if (c->code / 100 != 2)
			continue;
		e->rcpts[e->rcpt_count] = (struct spool_rcpt){ .path = c->path.raw, .notify = c->params.notify, .orcpt = c->params.orcpt,
			.group = groups[e->rcpt_count] };
		e->rcpt_count++;
	}
	return true;
}

static bool fill(struct tx *t, struct spool_envelope *e)
{
	const struct tx_command *mail = &t->commands[0];

	*e = (struct spool_envelope){
		.id = slice_str(t->name),
		.listener = slice_str(t->pair->listener->conf->name),
		.arrived_s = tx_now_s(t),
		.mail_from = mail->path.raw,
		.body_8bit = mail->params.body_8bit,
		.smtputf8 = mail->params.smtputf8,
		.requiretls = mail->params.requiretls,
		.ret = mail->params.ret,
		.envid = mail->params.envid,
		.client = slice_str(t->pair->client_text),
		.known_client = t->pair->known_client,
		.arranged = verdict_arranged(t),
		.dots = t->dots,
		.wanted = (uint32_t)t->envelope.rcpt_count,
	};
	fill_report(t, e);
	if (t->checks)
		fill_verdict(t, e);
	return fill_rcpts(t, e) && !arena_failed(&t->pair->arena);
}

/* ---- the spool ---- */

/* A line each: who is not to know of another must not stand beside him. */
static void log_accepted(const struct tx *t)
{
	for (size_t i = 0; i < t->kept->rcpt_count; i++) {
		struct log_line l = log_begin(LOG_LEVEL_INFO, "accepted");

		log_str(&l, "id", t->name);
		log_u64(&l, "copy", t->kept->rcpts[i].group);
		log_text(&l, "mail_from", t->kept->mail_from);
		log_text(&l, "rcpt_to", t->kept->rcpts[i].path);
		log_end(&l);
	}
}

static void on_stored(void *arg, const struct fault *f)
{
	struct tx *t = arg;
	struct reply r = { .code = 250, .enhanced = "2.0.0" };
	char text[64];
	int n;

	if (f) {
		tx_end_fault(t, f);
		return;
	}
	log_accepted(t);
	n = snprintf(text, sizeof(text), "2.0.0 queued as %s", t->name);
	r.text = slice_of(text, n > 0 ? (size_t)n : 0);
	tx_end_reply(t, &r);
}

static bool on_more(void *arg, size_t at, struct slice *run_out)
{
	struct tx *t = arg;

	return hold_run(t->hold, at, run_out);
}

void accept_message(struct tx *t)
{
	struct store_message m = { .header_octets = 0, .more = on_more, .more_arg = t };
	struct fault f = { 0 };
	struct slice *runs = NULL;

	t->kept = ARENA_NEW(&t->pair->arena, struct spool_envelope);
	if (!t->kept || !fill(t, t->kept) || !edit_list(t->edit, &runs, &m.run_count)) {
		fault_set(&f, FAULT_NO_MEMORY, 0);
		tx_end_fault(t, &f);
		return;
	}
	m.envelope = t->kept;
	m.runs = runs;
	m.header_octets = (uint32_t)edit_octets(t->edit);
	tx_enter(t, TX_STORE);
	if (!store_put(t->pair->relay->store, &t->put, &m, on_stored, t, &f))
		tx_end_fault(t, &f);
}
