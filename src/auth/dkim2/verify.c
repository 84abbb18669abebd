#include "auth/dkim2/custody.h"
#include "auth/dkim2/signatures.h"
#include "auth/dkim2/walk.h"
#include "base/limits.h"

struct dkim2_verify {
	struct arena *arena;
	const struct dkim2_draft *draft;
	const struct header *header;
	const struct dkim2_envelope *envelope;
	struct dkim2_clock clock;
	struct chain chain;
	struct signatures signatures;
	struct walk walk; /* down the instances */
	struct slice bodies[DIGEST_ALGS];
	bool memory_lost; /* the verdict is a temperror */
	bool finished;
	struct dkim2_verdict verdict;
};

const char *dkim2_state_name(enum dkim2_state state)
{
	static const char *const names[] = { "none", "pass", "temperror", "fail", "permerror", "skipped" };

	return names[state];
}

const char *dkim2_level_name(enum dkim2_level level)
{
	static const char *const names[] = { "full", "provisional", "no-envelope" };

	return names[level];
}

/* ---- findings: of all, the worst counts, of equals the first (spec 10.1) ---- */

static void note(struct dkim2_verify *v, enum dkim2_state state, struct reason reason, uint64_t hop)
{
	if (state > v->verdict.state) {
		v->verdict.state = state;
		v->verdict.reason = reason.words;
		v->verdict.about = reason.words.n ? draft_kind(reason.text) : DKIM2_ABOUT_NOTHING;
		v->verdict.detail = reason.detail;
		v->verdict.blamed = hop;
	}
}

static void note_hop(struct dkim2_verify *v, size_t index, enum dkim2_state state, struct reason reason)
{
	struct dkim2_hop *hop = &v->chain.hops[index];

	if (hop->state == DKIM2_SKIPPED || state > hop->state) {
		hop->state = state;
		hop->reason = reason.words;
	}
	if (state != DKIM2_PASS)
		note(v, state, reason, hop->i);
}

/* What the provisional check is about (13.2): the newest hop by itself, its instance and the envelope. */
static void note_newest(struct dkim2_verify *v, enum dkim2_state state)
{
	if (state > v->verdict.newest)
		v->verdict.newest = state;
}

/* ---- what needs neither key nor body ---- */

static void judge_time(struct dkim2_verify *v, size_t index)
{
	struct reason late;

	if (v->clock.now < 0)
		return;
	late = chain_time(v->arena, &v->chain.hops[index], (uint64_t)v->clock.now, v->clock.future_s);
	if (!late.words.n)
		return;
	note_hop(v, index, v->draft->time, late);
	if (index == v->chain.n - 1)
		note_newest(v, v->draft->time);
}

static void judge_custody(struct dkim2_verify *v, size_t index)
{
	struct reason broken = custody_break(v->arena, &v->chain, index);

	if (broken.words.n)
		note_hop(v, index, v->draft->custody, broken);
	if (broken.words.n && index == v->chain.n - 1 && broken.text == TEXT_SEAL_MF_D)
		note_newest(v, v->draft->custody);
}

static void judge_envelope(struct dkim2_verify *v)
{
	size_t top = v->chain.n - 1;
	struct reason broken = { 0 };

	if (v->chain.seals[top].has_nd) {
		broken = draft_reason(v->arena, TEXT_SEAL_ND_UNEXPECTED, v->chain.hops[top].i, 0, SLICE_NONE, SLICE_NONE);
		note_hop(v, top, DKIM2_PERMERROR, broken);
		note_newest(v, DKIM2_PERMERROR);
		return;
	}
	if (v->envelope)
		broken = custody_envelope(v->arena, &v->chain.seals[top], v->envelope);
	if (broken.words.n) {
		note_hop(v, top, v->draft->envelope, broken);
		note_newest(v, v->draft->envelope);
	}
}

/* ---- keys ---- */

static void plan_keys(struct dkim2_verify *v, size_t index)
{
	struct reason hopeless = signatures_want(&v->signatures, index);

	if (hopeless.words.n)
		note_hop(v, index, DKIM2_PERMERROR, hopeless);
}

/* ---- instances ---- */

static void note_instance(struct dkim2_verify *v, size_t index)
{
	const struct walk_finding *found = &v->walk.found[index];
	struct dkim2_instance *seen = v->chain.instances[index].seen;

	if (found->state == DKIM2_NONE)
		return;
	seen->state = found->state;
	seen->reason = found->reason.words;
	if (found->state != DKIM2_PASS)
		note(v, found->state, found->reason, chain_hop_of(&v->chain, seen->m));
}

static void judge_from(struct dkim2_verify *v)
{
	size_t hop = walk_from(&v->walk);

	if (hop < v->chain.n)
		note_hop(v, hop, v->draft->from, draft_reason(v->arena, TEXT_FROM, 0, 0, v->chain.hops[hop].d, SLICE_NONE));
}

/* ---- the interface ---- */

static void read_flags(struct dkim2_verify *v)
{
	for (size_t k = 0; k < v->chain.n; k++) {
		v->verdict.exploded |= chain_flag(v->chain.hops[k].flags, S("exploded"));
		v->verdict.feedback |= chain_flag(v->chain.hops[k].flags, S("feedback"));
	}
}

static void judge_chain(struct dkim2_verify *v)
{
	for (size_t k = 0; k < v->chain.n; k++) /* in the order of spec 10.2 */
		judge_time(v, k);
	for (size_t k = 0; k < v->chain.n; k++)
		judge_custody(v, k);
	judge_envelope(v);
	walk_start(&v->walk, v->arena, &v->chain, v->header, 0, LIMIT_UNDO);
	for (size_t k = v->chain.m; k-- > 0 && v->walk.found;)
		note_instance(v, k);
	v->memory_lost |= v->walk.memory_lost;
	if (v->walk.lost)
		v->verdict.level = DKIM2_PROVISIONAL;
	if (!signatures_init(&v->signatures, v->arena, &v->chain))
		return;
	for (size_t k = 0; k < v->chain.n; k++)
		plan_keys(v, k);
}

struct dkim2_verify *dkim2_verify_new(struct arena *a, const struct header *h, const struct dkim2_envelope *envelope,
    struct dkim2_clock clock, unsigned draft)
{
	struct dkim2_verify *v = ARENA_NEW(a, struct dkim2_verify);

	if (!v)
		return NULL;
	v->arena = a;
	v->draft = draft_of(draft);
	v->header = h;
	v->envelope = envelope;
	v->clock = clock;
	v->verdict.draft = v->draft->level;
	v->verdict.state = DKIM2_NONE;
	if (!chain_read(a, v->draft, h, false, &v->chain))
		return NULL;
	if (v->chain.broken) {
		note(v, DKIM2_PERMERROR, v->chain.reason, v->chain.blamed);
		note_newest(v, DKIM2_PERMERROR);
	} else if (v->chain.n) {
		judge_chain(v);
	}
	if (!envelope)
		v->verdict.level = DKIM2_NO_ENVELOPE;
	v->verdict.hops = v->chain.hops;
	v->verdict.hop_count = v->chain.n;
	v->verdict.instances = v->chain.seen;
	v->verdict.instance_count = v->chain.m;
	read_flags(v);
	if (v->chain.n == 0 || v->verdict.state == DKIM2_PERMERROR) {
		v->signatures.ask_count = 0;
		v->finished = true;
	}
	if (!arena_failed(a))
		return v;
	dkim2_verify_release(v);
	return NULL;
}

size_t dkim2_verify_asks(const struct dkim2_verify *v, const struct slice **names_out)
{
	*names_out = v->signatures.asks;
	return v->signatures.ask_count;
}

void dkim2_verify_answer(struct dkim2_verify *v, size_t ask, struct keyrec *rec)
{
	signatures_answer(&v->signatures, ask, rec);
}

unsigned dkim2_verify_digests(const struct dkim2_verify *v)
{
	return v->finished ? 0 : v->walk.digests;
}

void dkim2_verify_ceiling(struct dkim2_verify *v, uint64_t undone_octets)
{
	walk_ceiling(&v->walk, undone_octets);
}

void dkim2_verify_octets(struct dkim2_verify *v, struct slice octets)
{
	if (!v->finished)
		walk_body(&v->walk, octets);
}

bool dkim2_verify_changes(struct dkim2_verify *v)
{
	return walk_changes(&v->walk);
}

void dkim2_verify_body(struct dkim2_verify *v, const struct canon_body *digests)
{
	for (unsigned alg = 0; alg < DIGEST_ALGS; alg++)
		if (v->walk.digests & 1U << alg)
			v->bodies[alg] = arena_copy(v->arena, canon_body_digest(digests, (enum digest_alg)alg));
}

/* In the order of spec 10.2: the newest instance, signatures from the newest on, the walk down, From. */
static void judge_found(struct dkim2_verify *v, const struct walk_finding *seals)
{
	note_instance(v, v->chain.m - 1);
	note_newest(v, v->walk.reached ? DKIM2_PASS : v->walk.found[v->chain.m - 1].state); /* whether its recipe fits is not asked there */
	note_newest(v, seals[v->chain.n - 1].state);
	for (size_t k = v->chain.n; k-- > 0;)
		note_hop(v, k, seals[k].state, seals[k].reason);
	for (size_t k = v->chain.m - 1; k-- > 0;)
		note_instance(v, k);
	if (v->draft->from_judged)
		judge_from(v);
}

const struct dkim2_verdict *dkim2_verify_verdict(struct dkim2_verify *v)
{
	const struct dkim2_verdict before = v->verdict;
	struct walk_finding *seals;

	if (v->finished)
		return &v->verdict;
	v->finished = true;
	seals = ARENA_ARRAY(v->arena, v->chain.n, struct walk_finding);
	walk_end(&v->walk, v->bodies);
	for (size_t k = 0; k < v->chain.n && seals; k++) /* ascending: what two hops share is hashed once */
		seals[k].state = signatures_judge(&v->signatures, k, &seals[k].reason);
	v->memory_lost |= v->walk.memory_lost || v->signatures.memory_lost;
	v->verdict.testing = v->signatures.testing;
	v->verdict.strict = v->signatures.strict;
	if (!arena_failed(v->arena) && !v->memory_lost)
		judge_found(v, seals);
	if (v->memory_lost || v->walk.memory_lost || arena_failed(v->arena)) {
		v->verdict = before; /* a hash or a signature may look wrong because there was no room for it */
		note(v, DKIM2_TEMPERROR, (struct reason){ .words = S("no memory") }, 0);
	} else {
		note(v, DKIM2_PASS, (struct reason){ 0 }, 0);
	}
	return &v->verdict;
}

void dkim2_verify_release(struct dkim2_verify *v)
{
	if (!v)
		return;
	walk_release(&v->walk);
	signatures_release(&v->signatures);
}
