#include "auth/dkim2/combine.h"
#include "auth/dkim2/walk.h"
#include "base/limits.h"
#include "mail/domain.h"
#include "mail/from.h"

static bool left_out(struct slice name, const void *draft)
{
	return draft_unsigned(draft, name);
}

static size_t state_of(const struct walk *w, size_t index)
{
	return w->chain->m - 1 - index;
}

static void find(struct walk *w, size_t index, enum dkim2_state state, struct reason reason)
{
	if (state > w->found[index].state)
		w->found[index] = (struct walk_finding){ state, reason };
}

static struct reason say(struct walk *w, enum draft_text text, size_t index, struct slice value)
{
	return draft_reason(w->arena, text, w->chain->instances[index].seen->m, 0, value, SLICE_NONE);
}

/*
 * The reason why no group of an instance can pass whatever the content is: an unknown hash name in each (2.4). No
 * words: one might pass.
 */
static struct reason hopeless(struct walk *w, size_t index)
{
	const struct instance *in = &w->chain->instances[index];
	const struct hash_set *unknown = NULL;
	bool alive = false, group_alive = true;

	for (size_t k = 0; k < in->set_count; k++) {
		if (k && in->sets[k].group != in->sets[k - 1].group) {
			alive |= group_alive;
			group_alive = true;
		}
		if (in->sets[k].alg != DIGEST_ALGS) {
			alive |= w->chain->draft->unknown_ignored;
			continue;
		}
		group_alive = false;
		if (!unknown)
			unknown = &in->sets[k];
	}
	if (alive || group_alive)
		return (struct reason){ 0 };
	return say(w, TEXT_INSTANCE_HASH_UNKNOWN, index, unknown->name);
}

/* NULL: none to apply; one that is wrong is found. A recipe of the first instance is read and not applied (20.8). */
static const struct recipe *read_recipe(struct walk *w, size_t index)
{
	const struct instance *in = &w->chain->instances[index];
	struct recipe *r;
	const char *why = NULL;
	struct reason reason;
	enum recipe_state state;

	if (!in->seen->recipe || w->steps > LIMIT_RECIPES_STEPS)
		return NULL;
	r = ARENA_NEW(w->arena, struct recipe);
	state = r ? recipe_parse(w->arena, w->chain->draft, in->recipe, r, &why) : RECIPE_MEMORY;
	if (state == RECIPE_MEMORY) {
		w->memory_lost = true;
		return NULL;
	}
	if (state != RECIPE_OK) {
		reason = say(w, TEXT_INSTANCE_RECIPE, index, SLICE_NONE);
		reason.detail = slice_str(why);
		find(w, index, DKIM2_PERMERROR, reason);
		return NULL;
	}
	w->steps += recipe_size(r);
	if (w->steps > LIMIT_RECIPES_STEPS) {
		reason = say(w, TEXT_INSTANCE_WORK, index, SLICE_NONE);
		reason.detail = S("recipes of more steps than are held for a message");
		find(w, index, DKIM2_PERMERROR, reason);
		return NULL;
	}
	w->lost |= index > 0 && r->body_lost;
	return index > 0 ? r : NULL;
}

static unsigned algorithms(const struct instance *in)
{
	unsigned bits = 0;

	for (size_t k = 0; k < in->set_count; k++)
		if (in->sets[k].alg != DIGEST_ALGS)
			bits |= 1U << in->sets[k].alg;
	return bits;
}

void walk_start(struct walk *w, struct arena *a, const struct chain *c, const struct header *h, size_t lowest,
    uint64_t ceiling_octets)
{
	const struct recipe **recipes = ARENA_ARRAY(a, c->m, const struct recipe *);
	unsigned *algs = ARENA_ARRAY(a, c->m, unsigned);
	bool any = false, body = false, wrong = false;

	*w = (struct walk){ .arena = a, .chain = c, .header = h, .lowest = lowest, .found = ARENA_ARRAY(a, c->m, struct walk_finding) };
	if (!recipes || !algs || !w->found) {
		w->memory_lost = true;
		return;
	}
	for (size_t index = c->m; index-- > lowest;) {
		size_t state = state_of(w, index);
		const struct reason unknown = hopeless(w, index);

		if (unknown.words.n)
			find(w, index, c->draft->unknown_ignored ? DKIM2_FAIL : DKIM2_PERMERROR, unknown);
		algs[state] = algorithms(&c->instances[index]);
		if (!body)
			w->digests |= algs[state];
		recipes[state] = index > lowest || index == 0 ? read_recipe(w, index) : NULL;
		any |= recipes[state] != NULL;
		body |= recipes[state] && recipes[state]->has_body;
		wrong |= w->found[index].state == DKIM2_PERMERROR;
	}
	if (wrong || w->memory_lost)
		return; /* nothing the content says can change that */
	if (any)
		w->undo = undo_new(a, c->draft, h, recipes, algs, c->m - 1 - lowest, ceiling_octets);
	if (any ? !w->undo : w->digests && !canon_header(a, h, left_out, c->draft, w->digests, w->headers))
		w->memory_lost = true;
}

void walk_ceiling(struct walk *w, uint64_t octets)
{
	if (w->undo)
		undo_ceiling(w->undo, octets);
}

void walk_release(struct walk *w)
{
	undo_release(w->undo);
	w->undo = NULL;
}

void walk_body(struct walk *w, struct slice octets)
{
	if (w->undo)
		undo_body(w->undo, octets);
}

/* ---- a state against its instance ---- */

/* What an instance is held against: in step with enum digest_alg. */
struct content_hashes {
	unsigned char header[DIGEST_OCTETS];
	struct slice body; /* empty: cannot be had */
};

static enum undo_result state_hashes(struct walk *w, size_t state, enum digest_alg alg, const struct slice bodies[DIGEST_ALGS],
    struct content_hashes *out)
{
	enum undo_result result;

	out->body = w->header_only ? SLICE_NONE : bodies[alg];
	if (!w->undo) {
		memcpy(out->header, w->headers[alg], DIGEST_OCTETS);
		return UNDO_DONE;
	}
	result = undo_header_hash(w->undo, state, alg, out->header);
	if (result != UNDO_DONE || state == 0 || w->header_only)
		return result;
	result = undo_body_hash(w->undo, state, alg, &out->body);
	if (result == UNDO_LOST) {
		out->body = SLICE_NONE;
		return UNDO_DONE;
	}
	if (result == UNDO_DONE && out->body.n == 0)
		out->body = bodies[alg];
	return result;
}

static enum dkim2_state hold(struct walk *w, size_t index, const struct hash_set *set, const struct content_hashes *have,
    struct reason *reason)
{
	enum draft_text text;

	if (!slice_eq(slice_of(have->header, set->header.n), set->header))
		text = TEXT_HEADER_HASH;
	else if (have->body.n && !slice_eq(have->body, set->body))
		text = TEXT_BODY_HASH;
	else
		return DKIM2_PASS;
	*reason = say(w, text, index, set->name);
	return DKIM2_FAIL;
}

/* UNDO_DONE: judged, for better or worse. */
static enum undo_result judge_state(struct walk *w, size_t index, const struct slice bodies[DIGEST_ALGS])
{
	const struct instance *in = &w->chain->instances[index];
	bool skip_unknown = w->chain->draft->unknown_ignored && algorithms(in); /* up to -07 it does not count beside others (2.4) */
	struct content_hashes have[DIGEST_ALGS];
	struct combine all = { 0 };
	struct reason reason;
	unsigned had = 0;

	for (size_t k = 0; k < in->set_count; k++) {
		const struct hash_set *set = &in->sets[k];
		enum dkim2_state state = w->chain->draft->unknown_ignored ? DKIM2_FAIL : DKIM2_PERMERROR;

		reason = (struct reason){ 0 };
		if (set->alg == DIGEST_ALGS) {
			if (skip_unknown)
				continue;
			reason = say(w, TEXT_INSTANCE_HASH_UNKNOWN, index, set->name);
		} else {
			if (!(had & 1U << set->alg)) {
				enum undo_result result = state_hashes(w, state_of(w, index), set->alg, bodies, &have[set->alg]);

				if (result != UNDO_DONE)
					return result;
				had |= 1U << set->alg;
			}
			state = hold(w, index, set, &have[set->alg], &reason);
		}
		combine_add(&all, set->group, state, reason);
	}
	find(w, index, combine_end(&all, &reason), reason);
	return UNDO_DONE;
}

void walk_end(struct walk *w, const struct slice bodies[DIGEST_ALGS])
{
	if (w->undo)
		undo_end(w->undo);
	for (size_t index = w->chain->m; index-- > w->lowest;) {
		switch (judge_state(w, index, bodies)) {
		case UNDO_DONE:
			if (w->found[index].state != DKIM2_PASS)
				return;
			w->reached++;
			continue;
		case UNDO_BAD: /* the instance above is what it says it is, but its recipe does not fit it */
			w->found[index + 1] = (struct walk_finding){ DKIM2_PERMERROR, say(w, TEXT_INSTANCE_RECIPE, index + 1, SLICE_NONE) };
			w->found[index + 1].reason.detail = S("copies what is not there");
			return;
		case UNDO_LIMIT:
			w->found[index + 1] = (struct walk_finding){ DKIM2_PERMERROR, say(w, TEXT_INSTANCE_WORK, index + 1, SLICE_NONE) };
			w->found[index + 1].reason.detail = S("undoing it is more work than is done for a message");
			return;
		case UNDO_LOST:
		case UNDO_MEMORY:
			w->memory_lost = true;
			return;
		}
	}
}

bool walk_whole(struct walk *w, struct slice body)
{
	struct canon_body *digests = canon_body_new(w->digests);
	struct slice bodies[DIGEST_ALGS];

	if (!digests)
		return false;
	canon_body_add(digests, body);
	canon_body_end(digests);
	for (unsigned alg = 0; alg < DIGEST_ALGS; alg++)
		bodies[alg] = canon_body_digest(digests, (enum digest_alg)alg);
	if (!w->header_only)
		walk_body(w, body);
	walk_end(w, bodies);
	canon_body_free(&digests);
	return !w->memory_lost;
}

/* ---- From ---- */

/* The lists of addresses are for now only: each state may have one that takes thirty times its octets. */
static bool authentic(struct walk *w, size_t state, struct slice d)
{
	struct header from = { 0 };
	const struct field *const *fields;
	struct arena scratch;
	bool is;

	if (w->undo && undo_fields(w->undo, state, S("from"), &fields, &from.n) != UNDO_DONE)
		return false;
	arena_init(&scratch, LIMIT_TX_ARENA);
	if (w->undo) {
		from.fields = ARENA_ARRAY(&scratch, from.n, struct field);
		for (size_t k = 0; from.fields && k < from.n; k++)
			from.fields[k] = *fields[k];
	}
	is = !arena_failed(&scratch) && dkim2_from_authentic(&scratch, w->undo ? &from : w->header, d);
	w->memory_lost |= arena_failed(&scratch);
	arena_clear(&scratch);
	return is;
}

size_t walk_from(struct walk *w)
{
	const struct chain *c = w->chain;

	for (size_t state = 0; state < w->reached; state++) {
		size_t hop = 0;

		/*
		 * It is who brought it that answers for it, so the lowest of those that have the same; where the walk ended
		 * early nobody knows who that is.
		 */
		if (state + 1 < w->reached ? !w->undo || undo_same(w->undo, state + 1, S("from")) : w->reached < c->m)
			continue;
		while (hop + 1 < c->n && c->hops[hop].m < c->instances[c->m - 1 - state].seen->m)
			hop++;
		if (!authentic(w, state, c->hops[hop].d_normal))
			return hop;
	}
	return c->n;
}

bool walk_changes(struct walk *w)
{
	for (size_t state = 0; w->undo && state + 1 < w->reached; state++) {
		struct dkim2_instance *seen = w->chain->instances[w->chain->m - 1 - state].seen;

		if (!undo_changed(w->undo, state + 1, &seen->changed, &seen->changed_count))
			return false;
		seen->body_lines = undo_lines_changed(w->undo, state + 1);
	}
	return true;
}
