#include "auth/dkim2/chain.h"
#include "auth/dkim2/combine.h"
#include "auth/dkim2/custody.h"
#include "auth/dkim2/input.h"
#include "auth/dkim2/walk.h"
#include "base/limits.h"
#include "crypt/sign.h"

enum {
	NO_ASK = -1,
	NO_NAME = -2, /* longer than DNS has: absent, and nobody is asked */
};

/* A set of a seal, as the verifier sees it: in step with seal.sets. */
struct check {
	int ask; /* index into asks, NO_NAME, or NO_ASK: its result does not depend on a key */
};

struct dkim2_verify {
	struct arena *arena;
	const struct dkim2_draft *draft;
	const struct header *header;
	const struct dkim2_envelope *envelope;
	struct dkim2_clock clock;
	struct chain chain;
	struct check **checks; /* [hop][set] */
	struct slice *asks;
	struct keyrec **answers;
	size_t ask_count;
	struct walk walk;   /* down the instances */
	struct slice bodies[DIGEST_ALGS];
	bool memory_lost;   /* the verdict is a temperror */
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
	const struct dkim2_hop *hop = &v->chain.hops[index];
	enum draft_text text;
	uint64_t now;

	if (v->clock.now < 0)
		return;
	now = (uint64_t)v->clock.now;
	if (hop->t < now && now - hop->t > DRAFT_AGE_S)
		text = TEXT_SEAL_EXPIRED;
	else if (hop->t > now && hop->t - now > (uint64_t)(v->clock.future_s < 0 ? 0 : v->clock.future_s))
		text = TEXT_SEAL_FUTURE;
	else
		return;
	note_hop(v, index, v->draft->time, draft_reason(v->arena, text, hop->i, 0, SLICE_NONE, SLICE_NONE));
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

static struct slice key_name(struct arena *a, const struct seal_set *set, struct slice d)
{
	static const struct slice middle = { (const unsigned char *)"._domainkey.", 12 };
	size_t n = set->selector.n + middle.n + d.n;
	unsigned char *p = arena_take(a, n);

	if (!p)
		return SLICE_NONE;
	for (size_t i = 0; i < set->selector.n; i++)
		p[i] = ascii_lower(set->selector.at[i]);
	memcpy(p + set->selector.n, middle.at, middle.n);
	memcpy(p + set->selector.n + middle.n, d.at, d.n);
	return slice_of(p, n);
}

/* A group with an unknown algorithm cannot pass, whatever its keys say (2.4). */
static bool group_dead(const struct dkim2_verify *v, const struct seal *s, unsigned group)
{
	for (size_t k = 0; k < s->set_count; k++)
		if (s->sets[k].group == group && s->sets[k].type == KEY_NONE)
			return !v->draft->unknown_ignored;
	return false;
}

/* Index of the question, NO_NAME, or NO_ASK: too many. */
static int ask_for(struct dkim2_verify *v, struct slice name)
{
	if (name.n > LIMIT_DOMAIN - 2)
		return NO_NAME;
	for (size_t k = 0; k < v->ask_count; k++)
		if (slice_eq(v->asks[k], name))
			return (int)k;
	if (v->ask_count == LIMIT_KEYS)
		return NO_ASK;
	v->asks[v->ask_count] = name;
	return (int)v->ask_count++;
}

static void plan_keys(struct dkim2_verify *v, size_t index)
{
	const struct seal *s = &v->chain.seals[index];
	struct check *checks = ARENA_ARRAY(v->arena, s->set_count, struct check);
	size_t wanted = 0;
	bool alive = false;

	v->checks[index] = checks;
	for (size_t k = 0; checks && k < s->set_count; k++) {
		bool dead = group_dead(v, s, s->sets[k].group);

		checks[k].ask = NO_ASK;
		alive |= !dead;
		if (dead || s->sets[k].type == KEY_NONE)
			continue;
		if (++wanted <= LIMIT_KEYS_HOP)
			checks[k].ask = ask_for(v, key_name(v->arena, &s->sets[k], s->hop->d_normal));
		if (checks[k].ask == NO_ASK) {
			note_hop(v, index, DKIM2_PERMERROR,
			    draft_reason(v->arena, TEXT_SEAL_TOO_MANY_SELECTORS, s->hop->i, 0, SLICE_NONE, SLICE_NONE));
			return;
		}
	}
	if (!alive && checks) {
		const struct seal_set *set = s->sets;

		while (set->type != KEY_NONE)
			set++;
		note_hop(v, index, DKIM2_PERMERROR,
		    draft_reason(v->arena, TEXT_SEAL_ALGORITHM_UNKNOWN, s->hop->i, 0, set->selector, SLICE_NONE));
	}
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

/* ---- signatures ---- */

static enum dkim2_state key_state(const struct keyrec *rec, enum key_type type, enum draft_text *text)
{
	switch (rec ? rec->state : KEYREC_UNREACHABLE) {
	case KEYREC_OK:
		if (key_type(rec->key) == type)
			return DKIM2_PASS;
		*text = TEXT_KEY_ALGORITHM;
		return DKIM2_PERMERROR;
	case KEYREC_ABSENT:
		*text = TEXT_KEY_ABSENT;
		return DKIM2_PERMERROR;
	case KEYREC_MULTIPLE:
		*text = TEXT_KEY_MULTIPLE;
		return DKIM2_PERMERROR;
	case KEYREC_SYNTAX:
		*text = TEXT_KEY_SYNTAX;
		return DKIM2_PERMERROR;
	case KEYREC_TYPE:
		*text = TEXT_KEY_ALGORITHM;
		return DKIM2_PERMERROR;
	case KEYREC_REVOKED:
		*text = TEXT_KEY_REVOKED;
		return DKIM2_PERMERROR;
	case KEYREC_UNREACHABLE:
		break;
	}
	*text = TEXT_KEY_UNREACHABLE;
	return DKIM2_TEMPERROR;
}

struct set_result {
	enum dkim2_state state;
	enum draft_text text;
};

/* What a seal signs: the digest is needed of each, the octets by few. */
struct signed_input {
	struct input *input;
	size_t index;
	unsigned char digest[32];
	struct slice octets; /* empty: not made yet */
};

/* Pure ML-DSA-44 with the context of section 3.4 of the draft signs the input, all others its digest (spec 5.3). */
static bool verify_set(struct dkim2_verify *v, const struct key *key, struct signed_input *in, struct slice signature)
{
	if (key_type(key) != KEY_MLDSA44)
		return verify_sha256(key, in->digest, signature);
	if (in->octets.n == 0 && !input_octets(in->input, in->index, &in->octets)) {
		v->memory_lost = true;
		return false;
	}
	return verify_mldsa44(key, in->octets, S("DKIM2"), signature);
}

static struct set_result judge_set(struct dkim2_verify *v, const struct seal_set *set, const struct check *check,
    struct signed_input *in)
{
	struct set_result r = { DKIM2_PERMERROR, TEXT_SEAL_ALGORITHM_UNKNOWN };
	const struct keyrec *rec;

	if (set->type == KEY_NONE) {
		if (v->draft->unknown_ignored)
			r.state = DKIM2_FAIL;
		return r;
	}
	if (check->ask == NO_NAME)
		return (struct set_result){ DKIM2_PERMERROR, TEXT_KEY_ABSENT };
	if (check->ask == NO_ASK)
		return r; /* in a group that cannot pass: the unknown member of it is told */
	rec = v->answers[check->ask];
	r.state = key_state(rec, set->type, &r.text);
	if (r.state != DKIM2_PASS)
		return r;
	v->verdict.testing |= rec->testing;
	v->verdict.strict |= rec->strict;
	if (!verify_set(v, rec->key, in, set->signature))
		r = (struct set_result){ DKIM2_FAIL, TEXT_SIGNATURE_WRONG };
	return r;
}

/* May the set be passed over? Up to -07 unknown ones beside known ones, absent keys beside a set that verified. */
static bool passed_over(const struct dkim2_verify *v, const struct set_result *r, bool known, bool passed)
{
	return (v->draft->unknown_ignored && known && r->text == TEXT_SEAL_ALGORITHM_UNKNOWN && r->state != DKIM2_PASS) ||
	    (v->draft->absent_ignored && passed && r->text == TEXT_KEY_ABSENT && r->state != DKIM2_PASS);
}

static struct walk_finding judge_seal(struct dkim2_verify *v, struct input *input, size_t index)
{
	const struct seal *s = &v->chain.seals[index];
	struct set_result results[LIMIT_SIG_SETS];
	const struct seal_set *good = NULL, *bad = NULL;
	struct combine all = { 0 };
	struct walk_finding found = { .state = DKIM2_NONE };
	struct reason reason;
	struct signed_input in = { .input = input, .index = index };
	bool known = false;

	if (!input_digest(input, index, in.digest)) {
		v->memory_lost = true;
		return found;
	}
	for (size_t k = 0; k < s->set_count; k++) {
		results[k] = judge_set(v, &s->sets[k], &v->checks[index][k], &in);
		known |= s->sets[k].type != KEY_NONE;
		if (results[k].state == DKIM2_PASS)
			good = &s->sets[k];
		else if (results[k].text == TEXT_SIGNATURE_WRONG && !bad)
			bad = &s->sets[k];
	}
	for (size_t k = 0; k < s->set_count; k++) {
		if (passed_over(v, &results[k], known, good != NULL))
			continue;
		reason = (struct reason){ 0 };
		if (results[k].state != DKIM2_PASS && s->sets[k].type != KEY_NONE && v->checks[index][k].ask == NO_ASK)
			continue; /* the unknown algorithm of its group speaks for it */
		if (results[k].state != DKIM2_PASS)
			reason = draft_reason(v->arena, results[k].text, s->hop->i, 0, s->sets[k].selector, SLICE_NONE);
		combine_add(&all, s->sets[k].group, results[k].state, reason);
	}
	found.state = combine_end(&all, &found.reason);
	if (found.state == DKIM2_FAIL && good && bad) {
		struct reason mixed = draft_reason(v->arena, TEXT_SIGNATURE_MIXED, s->hop->i, 0, good->selector, bad->selector);

		if (v->draft->mixed_text)
			found.reason.words = mixed.words;
		else
			found.reason.detail = mixed.words;
		found.reason.text = TEXT_SIGNATURE_MIXED;
	}
	return found;
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
	for (size_t k = 0; k < v->chain.n; k++) {
		judge_time(v, k);
		judge_custody(v, k);
	}
	judge_envelope(v);
	walk_start(&v->walk, v->arena, &v->chain, v->header, LIMIT_UNDO);
	for (size_t k = v->chain.m; k-- > 0 && v->walk.found;)
		note_instance(v, k);
	v->memory_lost |= v->walk.memory_lost;
	if (v->walk.lost)
		v->verdict.level = DKIM2_PROVISIONAL;
	v->checks = ARENA_ARRAY(v->arena, v->chain.n, struct check *);
	v->asks = ARENA_ARRAY(v->arena, LIMIT_KEYS, struct slice);
	v->answers = ARENA_ARRAY(v->arena, LIMIT_KEYS, struct keyrec *);
	if (arena_failed(v->arena))
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
		v->ask_count = 0;
		v->finished = true;
	}
	if (!arena_failed(a))
		return v;
	dkim2_verify_release(v);
	return NULL;
}

size_t dkim2_verify_asks(const struct dkim2_verify *v, const struct slice **names_out)
{
	*names_out = v->asks;
	return v->ask_count;
}

void dkim2_verify_answer(struct dkim2_verify *v, size_t ask, struct keyrec *rec)
{
	if (ask < v->ask_count && !v->answers[ask] && rec)
		v->answers[ask] = keyrec_hold(rec);
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
	struct input input;

	if (v->finished)
		return &v->verdict;
	v->finished = true;
	seals = ARENA_ARRAY(v->arena, v->chain.n, struct walk_finding);
	walk_end(&v->walk, v->bodies);
	input_init(&input, &v->chain);
	for (size_t k = 0; k < v->chain.n && seals; k++) /* ascending: what two hops share is hashed once */
		seals[k] = judge_seal(v, &input, k);
	input_release(&input);
	v->memory_lost |= v->walk.memory_lost;
	if (!arena_failed(v->arena) && !v->memory_lost)
		judge_found(v, seals);
	if (v->memory_lost || arena_failed(v->arena)) {
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
	for (size_t k = 0; v->answers && k < LIMIT_KEYS; k++)
		keyrec_drop(&v->answers[k]);
}
