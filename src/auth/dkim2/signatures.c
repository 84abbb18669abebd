#include "auth/dkim2/signatures.h"
#include "auth/dkim2/combine.h"
#include "base/limits.h"
#include "crypt/sign.h"

enum {
	NO_ASK = -1,
	NO_NAME = -2, /* longer than DNS has: absent, and nobody is asked */
};

/* A set of a seal: in step with seal.sets. */
struct signature_check {
	int ask; /* index into asks, NO_NAME, or NO_ASK: its result does not depend on a key */
};

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
static bool group_dead(const struct signatures *v, const struct seal *s, unsigned group)
{
	for (size_t k = 0; k < s->set_count; k++)
		if (s->sets[k].group == group && s->sets[k].type == KEY_NONE)
			return !v->chain->draft->unknown_ignored;
	return false;
}

/* Index of the question, NO_NAME, or NO_ASK: too many. */
static int ask_for(struct signatures *v, struct slice name)
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

struct reason signatures_want(struct signatures *v, size_t index)
{
	const struct seal *s = &v->chain->seals[index];
	struct signature_check *checks = ARENA_ARRAY(v->arena, s->set_count, struct signature_check);
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
		if (checks[k].ask == NO_ASK)
			return draft_reason(v->arena, TEXT_SEAL_TOO_MANY_SELECTORS, s->hop->i, 0, SLICE_NONE, SLICE_NONE);
	}
	if (!alive && checks) {
		const struct seal_set *set = s->sets;

		while (set->type != KEY_NONE)
			set++;
		return draft_reason(v->arena, TEXT_SEAL_ALGORITHM_UNKNOWN, s->hop->i, 0, set->selector, SLICE_NONE);
	}
	return (struct reason){ 0 };
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
static bool verify_set(struct signatures *v, const struct key *key, struct signed_input *in, struct slice signature)
{
	if (key_type(key) != KEY_MLDSA44)
		return verify_sha256(key, in->digest, signature, &v->memory_lost);
	if (in->octets.n == 0 && !input_octets(in->input, in->index, &in->octets)) {
		v->memory_lost = true;
		return false;
	}
	return verify_mldsa44(key, in->octets, S("DKIM2"), signature, &v->memory_lost);
}

static struct set_result judge_set(struct signatures *v, const struct seal_set *set, const struct signature_check *check,
    struct signed_input *in)
{
	struct set_result r = { DKIM2_PERMERROR, TEXT_SEAL_ALGORITHM_UNKNOWN };
	const struct keyrec *rec;

	if (set->type == KEY_NONE) {
		if (v->chain->draft->unknown_ignored)
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
	v->testing |= rec->testing;
	v->strict |= rec->strict;
	if (!verify_set(v, rec->key, in, set->signature))
		r = (struct set_result){ DKIM2_FAIL, TEXT_SIGNATURE_WRONG };
	return r;
}

/* May the set be passed over? Up to -07 unknown ones beside known ones, absent keys beside a set that verified. */
static bool passed_over(const struct signatures *v, const struct set_result *r, bool known, bool passed)
{
	return (v->chain->draft->unknown_ignored && known && r->text == TEXT_SEAL_ALGORITHM_UNKNOWN && r->state != DKIM2_PASS) ||
	    (v->chain->draft->absent_ignored && passed && r->text == TEXT_KEY_ABSENT && r->state != DKIM2_PASS);
}

enum dkim2_state signatures_judge(struct signatures *v, size_t index, struct reason *reason_out)
{
	const struct seal *s = &v->chain->seals[index];
	struct set_result results[LIMIT_SIG_SETS];
	const struct seal_set *good = NULL, *bad = NULL;
	struct combine all = { 0 };
	struct reason reason;
	struct signed_input in = { .input = &v->input, .index = index };
	enum dkim2_state state;
	bool known = false;

	*reason_out = (struct reason){ 0 };
	if (!input_digest(&v->input, index, in.digest)) {
		v->memory_lost = true;
		return DKIM2_TEMPERROR;
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
	state = combine_end(&all, &reason);
	if (state == DKIM2_FAIL && good && bad) {
		struct reason mixed = draft_reason(v->arena, TEXT_SIGNATURE_MIXED, s->hop->i, 0, good->selector, bad->selector);

		if (v->chain->draft->mixed_text)
			reason.words = mixed.words;
		else
			reason.detail = mixed.words;
		reason.text = TEXT_SIGNATURE_MIXED;
	}
	*reason_out = reason;
	return state;
}

/* ---- the interface ---- */

bool signatures_init(struct signatures *v, struct arena *a, const struct chain *c)
{
	*v = (struct signatures){ .arena = a, .chain = c };
	v->checks = ARENA_ARRAY(a, c->n, struct signature_check *);
	v->asks = ARENA_ARRAY(a, LIMIT_KEYS, struct slice);
	v->answers = ARENA_ARRAY(a, LIMIT_KEYS, struct keyrec *);
	input_init(&v->input, c);
	return !arena_failed(a);
}

void signatures_release(struct signatures *v)
{
	for (size_t k = 0; v->answers && k < LIMIT_KEYS; k++)
		keyrec_drop(&v->answers[k]);
	if (v->chain)
		input_release(&v->input);
}

void signatures_answer(struct signatures *v, size_t ask, struct keyrec *rec)
{
	if (ask < v->ask_count && !v->answers[ask] && rec)
		v->answers[ask] = keyrec_hold(rec);
}
