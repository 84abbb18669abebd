/* Recipes that may not be copied into the tree, applied: run where HOPSEAL_VECTORS says. */
#include "auth/dkim2/undo.h"
#include "base/b64.h"
#include "test.h"

#include "vectors.h"

static struct slice decoded(struct arena *a, const json_t *j, const char *member)
{
	struct slice out = SLICE_NONE;

	assert_true(b64_decode(a, vector_text(json_object_get(j, member)), false, &out));
	return out;
}

static bool left_out(struct slice name, const void *arg)
{
	return draft_unsigned(arg, name);
}

static void split(struct arena *a, struct slice message, struct header *h, struct slice *body)
{
	size_t seen = 0, block = message.n, at = message.n;
	struct fault f = { 0 };

	header_end(message, &seen, &block, &at);
	assert_true(header_parse(a, slice_sub(message, 0, block), 1000, h, &f));
	*body = slice_sub(message, at, SIZE_MAX);
}

static void run_case(const json_t *j)
{
	const struct dkim2_draft *draft = draft_of(6);
	const char *name = json_string_value(json_object_get(j, "name")), *why;
	bool apply = strncmp(name, "apply/", 6) == 0;
	const unsigned algs[2] = { 0, 1U << DIGEST_SHA256 };
	unsigned char header_hash[DIGEST_OCTETS], want[DIGEST_ALGS][DIGEST_OCTETS];
	struct slice json = vector_text(json_object_get(j, "recipe_json")), body, body_hash, want_body;
	struct canon_body *whole = canon_body_new(1U << DIGEST_SHA256);
	struct header h, before;
	enum undo_result result;
	struct recipe recipe;
	const struct recipe *recipes[1] = { json.n ? &recipe : NULL };
	struct arena a;
	struct undo *u;

	arena_init(&a, 1 << 20);
	split(&a, decoded(&a, j, apply ? "message_base64" : "current_base64"), &h, &body);
	if (apply)
		split(&a, decoded(&a, j, "expect_headers_base64"), &before, &want_body);
	if (json.n && recipe_parse(&a, draft, json, &recipe, &why) != RECIPE_OK)
		fail_msg("%s: %s", name, why);
	u = undo_new(&a, draft, &h, recipes, algs, 1, UINT64_MAX);
	assert_non_null(u);
	undo_body(u, body);
	undo_end(u);
	assert_int_equal(undo_header_hash(u, 1, DIGEST_SHA256, header_hash), UNDO_DONE);
	if (apply)
		assert_true(canon_header(&a, &before, left_out, draft, 1U << DIGEST_SHA256, want));
	else
		memcpy(want[DIGEST_SHA256], decoded(&a, j, "previous_header_sha256").at, 32);
	WANT_SLICE(slice_of(header_hash, 32), slice_of(want[DIGEST_SHA256], 32));
	result = undo_body_hash(u, 1, DIGEST_SHA256, &body_hash);
	if (recipes[0] && recipe.body_lost) {
		assert_int_equal(result, UNDO_LOST);
	} else {
		assert_int_equal(result, UNDO_DONE);
		canon_body_add(whole, apply ? decoded(&a, j, "expect_body_base64") : body);
		canon_body_end(whole);
		want_body = apply ? canon_body_digest(whole, DIGEST_SHA256) : decoded(&a, j, "previous_body_sha256");
		WANT_SLICE(body_hash.n ? body_hash : canon_body_digest(whole, DIGEST_SHA256), want_body);
	}
	canon_body_free(&whole);
	undo_release(u);
	arena_clear(&a);
}

static void apply_06(void **state)
{
	char folder[500];
	json_t *index, *j;
	size_t i;

	(void)state;
	assert_true(vector_folder("dkim2-spec06-recipes", folder, sizeof(folder)));
	index = vector_json(folder, "INDEX.json");
	assert_true(json_array_size(index) > 0);
	json_array_foreach(index, i, j)
		run_case(j);
	json_decref(index);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(apply_06),
	};
	char folder[500];

	if (!vector_folder("dkim2-spec06-recipes", folder, sizeof(folder))) {
		printf("1..0 # SKIP HOPSEAL_VECTORS names no folder that holds dkim2-spec06-recipes\n");
		return 0;
	}
	return RUN_TESTS(tests);
}
