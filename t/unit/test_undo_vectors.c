/* Recipes that other implementations published, applied: what comes out must be the message before. */
#include "auth/canon.h"
#include "base/buf.h"
#include "undo_text.h"

#include "vectors.h"

static bool left_out(struct slice name, const void *arg)
{
	return draft_unsigned(arg, name);
}

/* Lines with LF, the last perhaps without, as lines with CRLF. */
static struct slice crlf(struct arena *a, struct slice text)
{
	unsigned char *out = arena_take(a, 2 * text.n + 2);
	struct slice line;
	size_t n = 0;

	while (text.n) {
		(void)slice_cut(&text, '\n', &line);
		if (line.n)
			memcpy(out + n, line.at, line.n);
		memcpy(out + n + line.n, "\r\n", 2);
		n += line.n + 2;
	}
	return slice_of(out, n);
}

/* The lines of an array. */
static struct slice lines_of(struct arena *a, const json_t *array)
{
	struct slice *runs = ARENA_ARRAY(a, 2 * json_array_size(array), struct slice);

	for (size_t i = 0; i < json_array_size(array); i++) {
		runs[2 * i] = vector_text(json_array_get(array, i));
		runs[2 * i + 1] = S("\r\n");
	}
	return join(a, runs, 2 * json_array_size(array));
}

static struct slice dumped(struct arena *a, json_t *j)
{
	char *text = json_dumps(j, JSON_COMPACT);
	struct slice out = arena_copy(a, slice_str(text));

	free(text);
	json_decref(j);
	return out;
}

/* The recipe turns the header and body `now` into `before`. */
static void want_undone(const char *name, struct slice json, struct slice header_now, struct slice body_now, struct slice header_before,
    struct slice body_before)
{
	const struct dkim2_draft *draft = draft_of(9);
	const unsigned algs[2] = { 0, 1U << DIGEST_SHA256 };
	unsigned char got[DIGEST_OCTETS], want[DIGEST_ALGS][DIGEST_OCTETS];
	struct header now, before;
	struct recipe recipe;
	const struct recipe *recipes[1] = { json.n ? &recipe : NULL };
	const char *why = "";
	struct slice *runs;
	struct fault f = { 0 };
	struct arena a;
	struct undo *u;
	size_t n;

	print_message("# %s\n", name);
	arena_init(&a, 1 << 20);
	assert_true(header_parse(&a, header_now, 100, &now, &f) && header_parse(&a, header_before, 100, &before, &f));
	if (json.n && recipe_parse(&a, draft, json, &recipe, &why) != RECIPE_OK)
		fail_msg("%s: %s", name, why);
	u = undo_new(&a, draft, &now, recipes, algs, 1, UINT64_MAX);
	assert_non_null(u);
	assert_int_equal(undo_header_hash(u, 1, DIGEST_SHA256, got), UNDO_DONE);
	assert_true(canon_header(&a, &before, left_out, draft, 1U << DIGEST_SHA256, want));
	WANT_SLICE(slice_of(got, 32), slice_of(want[DIGEST_SHA256], 32));
	assert_int_equal(undo_runs(u, 1, body_now, &runs, &n), UNDO_DONE);
	WANT_SLICE(join(&a, runs, n), body_before);
	undo_release(u);
	arena_clear(&a);
}

static void test_draft_02(void **state)
{
	char folder[500];
	json_t *cases, *c;
	struct arena a;
	size_t i;

	(void)state;
	arena_init(&a, 1 << 22);
	assert_true(vector_folder("dkim2-spec02", folder, sizeof(folder)));
	cases = vector_json(folder, "recipes.json");
	json_array_foreach(cases, i, c) {
		const char *name = json_string_value(json_object_get(c, "name"));
		struct slice kind = vector_text(json_object_get(c, "kind"));
		struct slice before = crlf(&a, vector_text(json_object_get(c, "old"))), now = crlf(&a, vector_text(json_object_get(c, "new")));
		json_t *want = json_object_get(c, "want"), *recipe = json_object_get(c, "recipe");

		if (slice_eq(kind, S("header-recipe"))) /* {} was a recipe then, and is none since */
			want_undone(name, json_object_size(recipe) ? dumped(&a, json_deep_copy(recipe)) : SLICE_NONE,
			    crlf(&a, vector_text(json_object_get(c, "input"))), SLICE_NONE, crlf(&a, vector_text(want)), SLICE_NONE);
		else if (slice_eq(kind, S("header-diff")))
			want_undone(name, dumped(&a, json_pack("{s:O}", "h", want)), now, SLICE_NONE, before, SLICE_NONE);
		else
			want_undone(name, dumped(&a, json_deep_copy(want)), SLICE_NONE, now, SLICE_NONE, before);
	}
	assert_int_equal(i, 6);
	json_decref(cases);
	arena_clear(&a);
}

/* [from, to] is a copy, a string a literal. */
static struct slice recipe_from(struct arena *a, const json_t *expect)
{
	json_t *steps = json_array();

	for (size_t i = 0; i < json_array_size(expect); i++) {
		json_t *e = json_array_get(expect, i);

		json_array_append_new(steps, json_is_string(e) ? json_pack("{s:[O]}", "d", e) : json_pack("{s:O}", "c", e));
	}
	return dumped(a, json_pack("{s:o}", "b", steps));
}

static void test_body_diff(void **state)
{
	char folder[500];
	json_t *cases, *c;
	struct arena a;
	size_t i;

	(void)state;
	arena_init(&a, 1 << 22);
	assert_true(vector_folder("dkim2-spec06-body-diff", folder, sizeof(folder)));
	cases = vector_json(folder, "INDEX.json");
	json_array_foreach(cases, i, c) {
		const json_t *expect = json_object_get(c, "expect");

		want_undone(json_string_value(json_object_get(c, "name")), json_is_array(expect) ? recipe_from(&a, expect) : SLICE_NONE, SLICE_NONE,
		    lines_of(&a, json_object_get(c, "cur")), SLICE_NONE, lines_of(&a, json_object_get(c, "prev")));
	}
	assert_int_equal(i, 7);
	json_decref(cases);
	arena_clear(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_draft_02),
		cmocka_unit_test(test_body_diff),
	};

	return RUN_TESTS(tests);
}
