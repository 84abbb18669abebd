/*
 * The JSON of r=. What is read keeps what recipe.h promises, is what jansson reads, and is the same once written and read
 * again; what is no JSON is none to jansson.
 */
#include <jansson.h>

#include "auth/dkim2/recipe.h"
#include "base/b64.h"
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

static struct slice text_of(const json_t *value)
{
	return slice_of(json_string_value(value), json_string_length(value));
}

static void want_list_of(struct arena *a, const json_t *list, struct recipe_steps got)
{
	WANT(json_is_array(list) && json_array_size(list) == got.n);
	for (size_t i = 0; i < got.n; i++) {
		json_t *step = json_array_get(list, i);
		void *member = json_object_iter(step);
		const json_t *value = json_object_iter_value(member);
		unsigned char key = ascii_lower((unsigned char)*json_object_iter_key(member));

		WANT(json_object_size(step) == 1 && json_object_iter_key_len(member) == 1 && (key == 'c') == !got.steps[i].texts);
		if (key == 'c') {
			WANT(json_array_size(value) == 2 && (uint64_t)json_integer_value(json_array_get(value, 0)) == got.steps[i].from);
			WANT((uint64_t)json_integer_value(json_array_get(value, 1)) == got.steps[i].from + got.steps[i].count - 1);
			continue;
		}
		WANT(json_array_size(value) == got.steps[i].count);
		for (size_t k = 0; k < json_array_size(value); k++) {
			struct slice text = text_of(json_array_get(value, k));

			WANT(json_is_string(json_array_get(value, k)) && (key == 'd' || b64_decode(a, text, false, &text)));
			WANT(slice_eq(text, got.steps[i].texts[k]));
		}
	}
}

/* As jansson reads it; not what it cannot say: a number in a part that is ignored may be too large for it. */
static void want_as_jansson(struct arena *a, const struct dkim2_draft *draft, struct slice json, enum recipe_state state, const char *why,
    const struct recipe *r)
{
	json_error_t error;
	json_t *root = json_loadb(json.n ? (const char *)json.at : "", json.n, JSON_REJECT_DUPLICATES, &error);
	size_t field = 0;

	if (!root) {
		WANT(state != RECIPE_OK || json_error_code(&error) == json_error_numeric_overflow);
		return;
	}
	/* it forgets a NUL */
	WANT(state == RECIPE_OK || strcmp(why, "not JSON") != 0 || slice_find(json, 0) < json.n);
	for (void *m = state == RECIPE_OK ? json_object_iter(root) : NULL; m; m = json_object_iter_next(root, m)) {
		json_t *value = json_object_iter_value(m);
		struct slice key = slice_str(json_object_iter_key(m));

		if (slice_ieq(key, S("b")) && json_is_null(value))
			WANT(r->body_lost);
		else if (slice_ieq(key, S("b")))
			want_list_of(a, value, r->body);
		for (void *f = slice_ieq(key, S("h")) ? json_object_iter(value) : NULL; f; f = json_object_iter_next(value, f)) {
			struct slice name = slice_str(json_object_iter_key(f));

			if (draft_unsigned(draft, name))
				continue;
			WANT(field < r->field_count && slice_ieq(r->fields[field].name, name));
			want_list_of(a, json_object_iter_value(f), r->fields[field++].steps);
		}
	}
	WANT(state != RECIPE_OK || field == r->field_count);
	json_decref(root);
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
		want_as_jansson(&a, draft_of(level), slice_of(at, n), states[level], why, &r[level]);
		if (states[level] != RECIPE_OK)
			continue;
		want_kept(draft_of(level), &r[level]);
		want_round_trip(&a, level, &r[level]);
	}
	/* -09 took one thing away */
	WANT(states[8] == states[7] && (states[9] == states[8] || states[9] == RECIPE_BAD));
	WANT(states[8] != RECIPE_OK || states[9] == (r[8].body_lost ? RECIPE_BAD : RECIPE_OK));
	if (states[9] == RECIPE_OK)
		want_same(&r[8], &r[9]);
	arena_clear(&a);
	return 0;
}
