#include "auth/dkim2/combine.h"
#include "auth/dkim2/seal_in.h"
#include "auth/dkim2/undo.h"
#include "base/limits.h"

/* What is left of a field for r= behind its other tags, as base64 in lines of 77 octets and their ends. */
enum { RECIPE_OCTETS = (LIMIT_DKIM2_FIELD_OUT - 512) / 4 * 3 / 80 * 77 };

static const char too_long[] = "what changed needs a longer recipe than peers are sure to take";
static const char no_words[] = "no recipe has words for what changed";
static const char no_way_back[] = "message as it came is not what its newest Message-Instance says";

static unsigned algorithms(const struct instance *in)
{
	unsigned algs = 0;

	for (size_t k = 0; k < in->set_count; k++)
		if (in->sets[k].alg != DIGEST_ALGS)
			algs |= 1U << in->sets[k].alg;
	return algs;
}

static bool make(struct dkim2_seal *s, const struct content *now, bool body_same, struct recipe *out, struct fault *f)
{
	const struct content *before = s->conf->before;
	struct make_work work = { 0 };
	enum make_state state;

	*out = (struct recipe){ .field_count = 0 };
	if (body_same)
		state = make_header(s->arena, s->chain.draft, before->header, now->header, &out->fields, &out->field_count, &work);
	else
		state = make_recipe(s->arena, s->chain.draft, before, now, RECIPE_OCTETS, out);
	switch (state) {
	case MAKE_DONE:
		return true;
	case MAKE_SAME:
		return seal_refuse(f, FAULT_UNSEALED, slice_str(no_way_back));
	case MAKE_BIG:
		return seal_refuse(f, FAULT_UNSEALED, slice_str(too_long));
	case MAKE_NEVER:
		return seal_refuse(f, FAULT_UNSEALED, slice_str(no_words));
	case MAKE_MEMORY:
		break;
	}
	return fault_set(f, FAULT_NO_MEMORY, 0);
}

static bool write_json(struct dkim2_seal *s, const struct recipe *r, struct fault *f)
{
	struct buf json;
	bool full;

	buf_init(&json, RECIPE_OCTETS);
	recipe_write(r, &json);
	full = buf_full(&json);
	s->recipe = buf_failed(&json) ? SLICE_NONE : arena_copy(s->arena, buf_get(&json));
	buf_release(&json);
	if (full)
		return seal_refuse(f, FAULT_UNSEALED, slice_str(too_long));
	return s->recipe.n > 0 || fault_set(f, FAULT_NO_MEMORY, 0);
}

/* Both hashes of one set of the instance before; the body is that which leaves where no recipe touches it. */
static bool set_matches(const struct dkim2_seal *s, struct undo *u, const struct hash_set *set)
{
	unsigned char header[DIGEST_OCTETS];
	struct slice body;

	if (set->alg == DIGEST_ALGS || undo_header_hash(u, 1, set->alg, header) != UNDO_DONE ||
	    !slice_eq(slice_of(header, set->header.n), set->header) || undo_body_hash(u, 1, set->alg, &body) != UNDO_DONE)
		return false;
	return slice_eq(body.n ? body : s->body[set->alg], set->body);
}

/* Does the JSON, as a verifier will read it, make of what leaves what came? */
static bool restores(struct dkim2_seal *s, const struct header *now, struct fault *f)
{
	const struct instance *newest = &s->chain.instances[s->chain.m - 1];
	unsigned algs[2] = { 0, algorithms(newest) };
	const struct recipe *recipes[1];
	struct combine all = { 0 };
	struct reason ignored;
	struct recipe *again = ARENA_NEW(s->arena, struct recipe);
	const char *why;
	struct undo *u;
	bool same;

	if (!again)
		return fault_set(f, FAULT_NO_MEMORY, 0);
	if (recipe_parse(s->arena, s->chain.draft, s->recipe, again, &why) != RECIPE_OK)
		return arena_failed(s->arena) ? fault_set(f, FAULT_NO_MEMORY, 0) : seal_refuse(f, FAULT_UNSEALED, slice_str(no_words));
	recipes[0] = again;
	u = undo_new(s->arena, s->chain.draft, now, recipes, algs, 1, LIMIT_UNDO_BODY);
	if (!u)
		return fault_set(f, FAULT_NO_MEMORY, 0);
	if (again->has_body) {
		for (size_t k = 0; k < s->conf->body_runs; k++)
			undo_body(u, s->conf->body[k]);
		undo_end(u);
	}
	for (size_t k = 0; k < newest->set_count; k++)
		combine_add(&all, newest->sets[k].group, set_matches(s, u, &newest->sets[k]) ? DKIM2_PASS : DKIM2_FAIL, (struct reason){ 0 });
	same = combine_end(&all, &ignored) == DKIM2_PASS;
	undo_release(u);
	if (arena_failed(s->arena))
		return fault_set(f, FAULT_NO_MEMORY, 0);
	return same || seal_refuse(f, FAULT_UNSEALED, slice_str(no_way_back));
}

bool seal_recipe(struct dkim2_seal *s, const struct header *now, bool body_same, bool *from_out, struct fault *f)
{
	struct content leaves = { .header = now, .body = s->conf->body, .runs = s->conf->body_runs };
	struct recipe r;

	if (!make(s, &leaves, body_same, &r, f) || !write_json(s, &r, f) || !restores(s, now, f))
		return false;
	*from_out = false;
	for (size_t k = 0; k < r.field_count; k++)
		*from_out |= slice_eq(r.fields[k].name, S("from"));
	return true;
}
