#include <stdlib.h>

#include "auth/dkim2/bounce_in.h"
#include "auth/dkim2/custody.h"
#include "base/limits.h"
#include "mail/addr.h"
#include "mail/domain.h"

/* ---- findings: the first that is final decides, before any that may pass later ---- */

static void note(struct bounce *b, enum bounce_state state, enum bounce_rule rule, struct slice reason)
{
	struct bounce_finding *f = &b->finding;

	if (f->rule != BOUNCE_RULE_NONE && (f->state != BOUNCE_TEMPORARY || state == BOUNCE_TEMPORARY))
		return;
	f->state = state;
	f->rule = rule;
	f->reason = reason;
}

static void disbelieve(struct bounce *b, enum bounce_rule rule, struct slice reason)
{
	note(b, BOUNCE_NOT_BELIEVED, rule, reason);
}

static const struct dkim2_hop *newest_hop(const struct bounce *b)
{
	return &b->chain.hops[b->chain.n - 1];
}

static const struct seal *newest_seal(const struct bounce *b)
{
	return &b->chain.seals[b->chain.n - 1];
}

/* ---- the report itself ---- */

/* False: it is not worth looking at the rest. */
static bool judge_report(struct bounce *b)
{
	const struct dkim2_verdict *v = b->conf->verdict;

	if (!v || v->state == DKIM2_NONE) {
		disbelieve(b, BOUNCE_RULE_VERIFIED, S("report has no DKIM2-Signature"));
	} else if (v->state == DKIM2_TEMPERROR) {
		note(b, BOUNCE_TEMPORARY, BOUNCE_RULE_VERIFIED, v->reason);
	} else if (!dkim2_fully_verified(v)) {
		disbelieve(b, BOUNCE_RULE_VERIFIED, v->reason.n ? v->reason : S("report is not Fully Verified"));
	} else if (!slice_eq(v->hops[v->hop_count - 1].mf, S("<>"))) {
		disbelieve(b, BOUNCE_RULE_VERIFIED, S("report does not come from <>"));
	} else {
		return true;
	}
	return false;
}

/* ---- the returned message ---- */

static void judge_address(struct bounce *b)
{
	const struct dkim2_hop *hop = newest_hop(b);
	const struct seal *s = newest_seal(b);
	bool met = false;

	if (s->has_nd) {
		disbelieve(b, BOUNCE_RULE_ADDRESS,
		    draft_reason(b->arena, TEXT_SEAL_ND_UNEXPECTED, hop->i, 0, SLICE_NONE, SLICE_NONE).words);
		return;
	}
	for (size_t k = 0; k < b->conf->rcpt_count && !met; k++)
		met = path_same(b->arena, hop->mf, b->conf->rcpt_to[k]);
	if (!met || s->mf_null)
		disbelieve(b, BOUNCE_RULE_ADDRESS,
		    arena_printf(b->arena, "DKIM2-Signature i=%llu MAIL FROM is not where the report came to", (unsigned long long)hop->i));
	else if (!domain_follows(s->mf_domain, hop->d_normal))
		disbelieve(b, BOUNCE_RULE_ADDRESS,
		    draft_reason(b->arena, TEXT_SEAL_MF_D, hop->i, 0, SLICE_NONE, SLICE_NONE).words);
}

/* Of a hop of ours as the maker of the report saw it, whatever the time is now. */
static struct reason out_of_time(struct bounce *b, const struct dkim2_hop *hop)
{
	return chain_time(b->arena, hop, b->conf->verdict->hops[0].t, b->conf->future_s);
}

/* The instance that the hop before ours sent; the newest where none is, or none is ours. */
static size_t lowest_instance(const struct bounce *b)
{
	size_t run = b->finding.run;

	return run == 0 || run == b->chain.n ? b->chain.m - 1 : (size_t)b->chain.hops[b->chain.n - 1 - run].m - 1;
}

/* False: no memory. */
static bool judge_content(struct bounce *b)
{
	const struct walk_finding *found;
	size_t top = b->chain.m - 1, lowest = lowest_instance(b);

	walk_start(&b->walk, b->arena, &b->chain, &b->report.header, lowest, b->conf->undo_octets);
	b->walk.header_only = b->report.header_only;
	found = b->walk.found;
	for (size_t k = top + 1; !b->walk.memory_lost && k-- > lowest;)
		if (found[k].state == DKIM2_PERMERROR) {
			disbelieve(b, BOUNCE_RULE_CHAIN, found[k].reason.words);
			return true;
		}
	if (b->walk.memory_lost || !walk_whole(&b->walk, b->report.body))
		return false;
	if (b->walk.reached == 0)
		disbelieve(b, BOUNCE_RULE_HASH, found[top].reason.words);
	return true;
}

/* ---- whose it is and what it is about ---- */

/* Hops of ours, from the newest downwards. */
static size_t count_run(const struct bounce *b)
{
	const struct bounce_domains *domains = b->conf->domains;
	size_t n = 0;

	while (n < b->chain.n && domains->ours(b->chain.hops[b->chain.n - 1 - n].d_normal, domains->arg))
		n++;
	return n;
}

static bool covers_recipient(const struct bounce *b)
{
	const struct dkim2_hop *hop = newest_hop(b);
	struct slice d = b->conf->verdict->hops[0].d_normal;

	for (size_t k = 0; k < hop->rt_count; k++)
		if (domain_follows(hop->rt_domains[k], d))
			return true;
	return false;
}

static int by_octets(const void *x, const void *y)
{
	return slice_cmp(*(const struct slice *)x, *(const struct slice *)y);
}

static bool among(struct bounce *b, const struct slice *keys, size_t n, struct dsn_typed address)
{
	struct slice path = dsn_path(b->arena, address), key;

	if (path.n == 0)
		return false;
	key = path_key(b->arena, path);
	return key.n && bsearch(&key, keys, n, sizeof(*keys), by_octets);
}

/* Which of the reported recipients is one of rt=? n log n of both lists. */
static bool find_recipient(struct bounce *b)
{
	const struct dkim2_hop *hop = newest_hop(b);
	struct slice *keys = ARENA_ARRAY(b->arena, hop->rt_count, struct slice);
	const struct dsn_recipient *best = NULL;
	unsigned best_points = 0;

	if (!keys)
		return false;
	for (size_t k = 0; k < hop->rt_count; k++)
		keys[k] = path_key(b->arena, hop->rt[k]);
	qsort(keys, hop->rt_count, sizeof(*keys), by_octets);
	for (size_t k = 0; k < b->report.n; k++) {
		const struct dsn_recipient *to = &b->report.recipients[k];
		bool linked = among(b, keys, hop->rt_count, to->final) || among(b, keys, hop->rt_count, to->original);
		unsigned points = 1U + (linked ? 2U : 0U) + (to->action == DSN_FAILED ? 1U : 0U);

		if (points > best_points) {
			best = to;
			best_points = points;
		}
		b->finding.linked |= linked;
	}
	b->finding.recipient = best;
	return !arena_failed(b->arena);
}

static void judge_custody(struct bounce *b)
{
	const struct dkim2_hop *hop = newest_hop(b);
	unsigned long long i = (unsigned long long)hop->i;

	if (!b->finding.ours)
		disbelieve(b, BOUNCE_RULE_OURS, arena_printf(b->arena, "DKIM2-Signature i=%llu d= is none of ours", i));
	else if (!b->finding.aligned)
		disbelieve(b, BOUNCE_RULE_ALIGNED, arena_printf(b->arena, "d= of the report does not match RCPT TO of i=%llu", i));
	else if (!b->finding.linked && b->conf->link)
		disbelieve(b, BOUNCE_RULE_LINKED, arena_printf(b->arena, "report is not about RCPT TO of i=%llu", i));
}

/* ---- signatures ---- */

static bool want_keys(struct bounce *b)
{
	size_t hops = b->finding.run ? b->finding.run : 1;

	b->wanted = ARENA_ARRAY(b->arena, b->chain.n, struct reason);
	if (!b->wanted || !signatures_init(&b->signatures, b->arena, &b->chain))
		return false;
	for (size_t k = 0; k < hops; k++) {
		size_t at = b->chain.n - 1 - k;

		b->wanted[at] = signatures_want(&b->signatures, at);
	}
	return true;
}

static enum dkim2_state judge_signature(struct bounce *b, size_t at, struct reason *reason)
{
	*reason = b->wanted[at];
	return reason->words.n ? DKIM2_PERMERROR : signatures_judge(&b->signatures, at, reason);
}

/* The newest hop, and those of ours below it. */
static void judge_signatures(struct bounce *b)
{
	size_t top = b->chain.n - 1, hops = b->finding.run ? b->finding.run : 1;
	struct reason reason;
	enum dkim2_state state = DKIM2_PASS;

	for (size_t at = top + 1 - hops; at <= top; at++) { /* ascending, as input.h asks for */
		state = judge_signature(b, at, &reason);
		if (at == top)
			break;
		if (state == DKIM2_TEMPERROR)
			note(b, BOUNCE_TEMPORARY, BOUNCE_RULE_SIGNATURE, reason.words);
		else if (state != DKIM2_PASS)
			b->run_broken = true;
		b->run_broken |= custody_break(b->arena, &b->chain, at).words.n || out_of_time(b, &b->chain.hops[at]).words.n;
	}
	if (state == DKIM2_TEMPERROR)
		note(b, BOUNCE_TEMPORARY, BOUNCE_RULE_SIGNATURE, reason.words);
	else if (state != DKIM2_PASS)
		disbelieve(b, BOUNCE_RULE_SIGNATURE, reason.words);
	if (state == DKIM2_PASS && (b->finding.rule == BOUNCE_RULE_NONE || b->finding.state == BOUNCE_TEMPORARY))
		b->finding.verified = true;
}

/* ---- the interface ---- */

/* False: no memory. */
static bool judge(struct bounce *b, const struct header *h, struct slice body)
{
	const char *why;
	struct reason late;

	switch (dsn_read(b->arena, h, body, b->conf->field_max, &b->report, &why)) {
	case DSN_MEMORY:
		return false;
	case DSN_NONE:
		note(b, BOUNCE_NOT_APPLICABLE, BOUNCE_RULE_REPORT, S("not a delivery status notification"));
		return true;
	case DSN_BAD:
		disbelieve(b, BOUNCE_RULE_FORM, arena_printf(b->arena, "malformed report: %s", why));
		return true;
	case DSN_READ:
		break;
	}
	b->finding.report = &b->report;
	if (!chain_read(b->arena, b->draft, &b->report.header, false, &b->chain))
		return false;
	if (b->chain.seal_fields == 0) {
		note(b, BOUNCE_NOT_APPLICABLE, BOUNCE_RULE_SEALED, S("returned message has no DKIM2-Signature"));
		return true;
	}
	if (!judge_report(b))
		return true;
	if (b->chain.broken) {
		disbelieve(b, BOUNCE_RULE_CHAIN, b->chain.reason.words);
		return true;
	}
	b->finding.hop = newest_hop(b)->i;
	b->finding.run = count_run(b);
	b->finding.ours = b->finding.run > 0;
	b->finding.aligned = covers_recipient(b);
	judge_address(b);
	late = out_of_time(b, newest_hop(b));
	if (late.words.n)
		disbelieve(b, BOUNCE_RULE_TIME, late.words);
	return judge_content(b) && find_recipient(b) && want_keys(b);
}

struct bounce *bounce_new(struct arena *a, const struct header *h, struct slice body, const struct bounce_conf *conf)
{
	struct bounce *b = ARENA_NEW(a, struct bounce);

	if (!b)
		return NULL;
	b->arena = a;
	b->conf = conf;
	b->draft = draft_of(conf->draft);
	if (judge(b, h, body) && !arena_failed(a))
		return b;
	bounce_release(b);
	return NULL;
}

size_t bounce_asks(const struct bounce *b, const struct slice **names_out)
{
	*names_out = b->signatures.asks;
	return b->signatures.ask_count;
}

void bounce_answer(struct bounce *b, size_t ask, struct keyrec *rec)
{
	if (b->wanted)
		signatures_answer(&b->signatures, ask, rec);
}

const struct bounce_finding *bounce_finding(struct bounce *b)
{
	if (b->judged)
		return &b->finding;
	b->judged = true;
	if (b->wanted) {
		judge_signatures(b);
		judge_custody(b);
	}
	if (arena_failed(b->arena) || b->signatures.memory_lost) {
		b->finding.state = BOUNCE_TEMPORARY;
		b->finding.rule = BOUNCE_RULE_MEMORY;
		b->finding.reason = S("no memory");
	} else if (b->finding.rule == BOUNCE_RULE_NONE) {
		b->finding.state = BOUNCE_BELIEVED;
	}
	return &b->finding;
}

void bounce_release(struct bounce *b)
{
	if (!b)
		return;
	signatures_release(&b->signatures);
	walk_release(&b->walk);
}
