#include "auth/dkim2/past.h"
#include "auth/dkim2/walk.h"

/* ---- at an instance ---- */

/* The newest instance that was found to be worse than `state`, if there is one. */
static enum past_result found(const struct walk *w, enum dkim2_state state, struct slice *reason_out)
{
	for (size_t index = w->chain->m; index-- > w->lowest;)
		if (w->found[index].state > state) {
			*reason_out = w->found[index].reason.words;
			return PAST_BAD;
		}
	return PAST_DONE;
}

/* Has every state down to the lowest its hashes? */
static enum past_result held(struct walk *w, struct slice body, struct slice *reason_out)
{
	if (found(w, DKIM2_FAIL, reason_out) != PAST_DONE)
		return PAST_BAD; /* a recipe that is none, hash names unknown: nothing was undone */
	if (!walk_whole(w, body))
		return PAST_MEMORY;
	return found(w, DKIM2_PASS, reason_out);
}

/* Is the field one of the two, and above instance m? */
static bool later(const struct chain *all, const struct field *f, uint64_t m)
{
	for (size_t i = 0; i < all->m; i++)
		if (all->instances[i].field == f)
			return all->seen[i].m > m;
	for (size_t i = 0; i < all->n; i++)
		if (all->seals[i].field == f)
			return all->hops[i].m > m;
	return false;
}

static bool is_dkim2(struct slice name)
{
	return slice_ieq(name, S("Message-Instance")) || slice_ieq(name, S("DKIM2-Signature"));
}

/* Undone is h with every field of the two in its place: without those above instance m. NULL: no memory. */
static const struct header *without_later(struct arena *a, const struct chain *all, const struct header *h,
    const struct header *undone, uint64_t m)
{
	struct header *out = ARENA_NEW(a, struct header);
	size_t at = 0;

	if (!out)
		return NULL;
	*out = *undone;
	out->n = 0;
	out->fields = ARENA_ARRAY(a, undone->n, struct field);
	if (!out->fields)
		return NULL;
	for (size_t i = 0; i < undone->n; i++) {
		if (is_dkim2(undone->fields[i].name)) {
			while (!is_dkim2(h->fields[at].name))
				at++;
			if (later(all, &h->fields[at++], m))
				continue;
		}
		out->fields[out->n++] = undone->fields[i];
	}
	return out;
}

static enum past_result put_together(struct arena *a, struct walk *w, struct slice body, struct past_message *out,
    struct slice *reason_out)
{
	size_t state = w->chain->m - 1 - w->lowest;
	const struct header *undone = w->undo ? undo_header(w->undo, state) : w->header;
	struct slice *runs = ARENA_NEW(a, struct slice);
	size_t n = 1;

	if (!undone || !runs)
		return PAST_MEMORY;
	*runs = body;
	if (w->undo) {
		switch (undo_runs(w->undo, state, body, &runs, &n)) {
		case UNDO_DONE:
			break;
		case UNDO_LOST:
			*reason_out = S("its body cannot be had, a recipe says");
			return PAST_BAD;
		case UNDO_BAD:
		case UNDO_LIMIT:
		case UNDO_MEMORY:
			return PAST_MEMORY;
		}
	}
	out->header = state == 0 ? w->header : without_later(a, w->chain, w->header, undone, w->lowest + 1);
	out->body = runs;
	out->runs = n;
	return out->header ? PAST_DONE : PAST_MEMORY;
}

enum past_result past_message(struct arena *a, unsigned draft, const struct header *h, struct slice body, uint64_t m,
    uint64_t ceiling_octets, struct past_message *out, struct slice *reason_out)
{
	struct chain all;
	enum past_result result;
	struct walk w;

	*reason_out = SLICE_NONE;
	if (!chain_read(a, draft_of(draft), h, false, &all))
		return PAST_MEMORY;
	if (!all.instance_fields)
		*reason_out = S("no Message-Instance, so there is nothing to undo");
	else if (!all.seal_fields)
		*reason_out = S("no DKIM2-Signature, so its Message-Instance fields are no chain");
	else if (all.broken)
		*reason_out = all.reason.words;
	else if (m == 0 && all.m == 1)
		*reason_out = S("there is no instance before m=1");
	else if (m > all.m)
		*reason_out = arena_printf(a, "there is no instance m=%llu, the newest is m=%zu", (unsigned long long)m, all.m);
	if (reason_out->n)
		return PAST_BAD;
	if (m == 0)
		m = all.m - 1;
	walk_start(&w, a, &all, h, (size_t)m - 1, ceiling_octets);
	result = w.memory_lost ? PAST_MEMORY : held(&w, body, reason_out);
	if (result == PAST_DONE)
		result = put_together(a, &w, body, out, reason_out);
	walk_release(&w);
	return result;
}

/* ---- all there are ---- */

bool past_read(struct arena *a, unsigned draft, const struct header *h, uint64_t ceiling_octets, struct past *out)
{
	const struct dkim2_draft *rules = draft_of(draft);
	const struct recipe **recipes;
	struct chain c;
	unsigned *algs;
	bool any = false;

	*out = (struct past){ .n = 0 };
	if (!chain_read(a, rules, h, false, &c))
		return false;
	if (c.broken || c.m == 0)
		return true;
	out->newest = c.m;
	recipes = ARENA_ARRAY(a, c.m, const struct recipe *);
	algs = ARENA_ARRAY(a, c.m, unsigned);
	if (!recipes || !algs)
		return false;
	while (out->n + 1 < c.m) {
		const struct instance *in = &c.instances[c.m - 1 - out->n];
		struct recipe *r = in->seen->recipe ? ARENA_NEW(a, struct recipe) : NULL;
		const char *why;

		if (in->seen->recipe && (!r || recipe_parse(a, rules, in->recipe, r, &why) != RECIPE_OK))
			break;
		any |= r != NULL;
		recipes[out->n++] = r;
	}
	out->recipes = recipes;
	if (any)
		out->undo = undo_new(a, rules, h, recipes, algs, out->n, ceiling_octets);
	return !arena_failed(a) && (!any || out->undo);
}

void past_release(struct past *p)
{
	undo_release(p->undo);
	p->undo = NULL;
}
