/* The JSON of r=. What is read keeps what recipe.h promises, and is the same once written and read again. */
#include "auth/dkim2/recipe.h"
#include "base/limits.h"
#include "fuzz.h"
#include "mail/utf8.h"

static void want_literal(struct slice text)
{
	WANT(slice_find(text, '\r') == text.n && slice_find(text, '\n') == text.n);
}

static void want_list(struct recipe_steps list)
{
	uint64_t last = 0;

	WANT(list.n <= LIMIT_RECIPE_STEPS);
	for (size_t i = 0; i < list.n; i++) {
		const struct recipe_step *step = &list.steps[i];

		WANT(step->count > 0);
		if (!step->texts) {
			WANT(step->from > last && step->count <= (uint64_t)INT64_MAX - step->from + 1);
			last = step->from + step->count - 1;
		}
		for (uint64_t k = 0; step->texts && k < step->count; k++)
			want_literal(step->texts[k]);
	}
}

static void want_kept(const struct dkim2_draft *draft, const struct recipe *r)
{
	WANT(r->field_count <= LIMIT_RECIPE_NAMES);
	for (size_t i = 0; i < r->field_count; i++) {
		struct slice name = r->fields[i].name;

		WANT(name.n > 0 && !draft_unsigned(draft, name));
		for (size_t k = 0; k < name.n; k++)
			WANT(name.at[k] > ' ' && name.at[k] < 0x7f && name.at[k] != ':' && ascii_lower(name.at[k]) == name.at[k]);
		for (size_t k = 0; k < i && i < 50; k++)
			WANT(!slice_eq(r->fields[k].name, name));
		want_list(r->fields[i].steps);
	}
	WANT(r->has_body || (!r->body_lost && r->body.n == 0));
	WANT(!r->body_lost || (draft->body_lost && r->body.n == 0));
	want_list(r->body);
}

/* The next text of a list or the next copy, however texts are shared out among its steps. */
struct walk {
	struct recipe_steps list;
	size_t step;
	uint64_t text;
};

static bool next(struct walk *w, struct slice *text_out, const struct recipe_step **copy_out)
{
	const struct recipe_step *step = w->step < w->list.n ? &w->list.steps[w->step] : NULL;

	if (!step)
		return false;
	*copy_out = step->texts ? NULL : step;
	if (step->texts) {
		*text_out = step->texts[w->text++];
		if (w->text < step->count)
			return true;
		w->text = 0;
	}
	w->step++;
	return true;
}

static void want_same_list(struct recipe_steps a, struct recipe_steps b)
{
	struct walk wa = { .list = a }, wb = { .list = b };
	const struct recipe_step *ca = NULL, *cb = NULL;
	struct slice ta = SLICE_NONE, tb = SLICE_NONE;

	while (next(&wa, &ta, &ca)) {
		WANT(next(&wb, &tb, &cb) && !ca == !cb);
		if (ca)
			WANT(ca->from == cb->from && ca->count == cb->count);
		else
			WANT(slice_eq(ta, tb));
	}
	WANT(!next(&wb, &tb, &cb));
}

static void want_same(const struct recipe *a, const struct recipe *b)
{
	WANT(a->field_count == b->field_count && a->has_body == b->has_body && a->body_lost == b->body_lost);
	for (size_t i = 0; i < a->field_count; i++) {
		WANT(slice_eq(a->fields[i].name, b->fields[i].name));
		want_same_list(a->fields[i].steps, b->fields[i].steps);
	}
	want_same_list(a->body, b->body);
}

/* Draft -06 has another word for u: what it reads is read again as of -08, where no field is signed that it leaves out. */
static void want_round_trip(struct arena *a, unsigned level, const struct recipe *r)
{
	unsigned again = level == 6 ? 7 : level;
	struct buf first, second;
	struct recipe same;
	const char *why;

	if (!r->has_body && !r->field_count)
		return;
	buf_init(&first, SIZE_MAX);
	buf_init(&second, SIZE_MAX);
	recipe_write(r, &first);
	WANT(!buf_failed(&first) && utf8_valid(buf_get(&first)));
	WANT(recipe_parse(a, draft_of(again), buf_get(&first), &same, &why) == RECIPE_OK);
	want_same(r, &same);
	recipe_write(&same, &second);
	WANT(slice_eq(buf_get(&first), buf_get(&second)));
	buf_release(&first);
	buf_release(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	enum recipe_state states[DRAFT_NEWEST + 1];
	struct recipe r[DRAFT_NEWEST + 1];
	struct arena a;

	arena_init(&a, SIZE_MAX / 2);
	for (unsigned level = DRAFT_OLDEST; level <= DRAFT_NEWEST; level++) {
		const char *why = NULL;

		states[level] = recipe_parse(&a, draft_of(level), slice_of(at, n), &r[level], &why);
		WANT(states[level] != RECIPE_MEMORY && (states[level] == RECIPE_OK) == (why == NULL));
		if (states[level] != RECIPE_OK)
			continue;
		want_kept(draft_of(level), &r[level]);
		want_round_trip(&a, level, &r[level]);
	}
	/* what is big is so at every level, and -09 took one thing away */
	WANT((states[9] == RECIPE_BIG) == (states[6] == RECIPE_BIG) && (states[9] == RECIPE_BIG) == (states[7] == RECIPE_BIG));
	WANT(states[8] == states[7] && states[9] == (states[8] == RECIPE_OK && r[8].body_lost ? RECIPE_BAD : states[8]));
	if (states[9] == RECIPE_OK)
		want_same(&r[8], &r[9]);
	arena_clear(&a);
	return 0;
}
