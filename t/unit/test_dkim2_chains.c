/* The chains that t/chains/generate made, in the folder that CHAINS names: judged as constructed, to the word. */
#include "test.h"

#include "dkim2_cut.h"

static const char *folder;
static json_t *index_of, *zone;

static int open_chains(void **state)
{
	(void)state;
	folder = getenv("CHAINS");
	assert_non_null(folder);
	index_of = vector_json(folder, "INDEX.json");
	zone = vector_json(folder, "dns.json");
	return json_array_size(index_of) > 0 ? 0 : -1;
}

static int close_chains(void **state)
{
	(void)state;
	json_decref(index_of);
	json_decref(zone);
	return 0;
}

/* `detail` is the exact reason, null where the draft has no words. A body that is lost, up to -08, leaves a pass provisional. */
static bool as_constructed(const json_t *row)
{
	const char *expect = json_string_value(json_object_get(row, "expect")), *fault = json_string_value(json_object_get(row, "fault"));
	struct slice reason = vector_text(json_object_get(row, "detail"));
	enum dkim2_level level = fault && strcmp(fault, "body-said-to-be-lost") == 0 ? DKIM2_PROVISIONAL : DKIM2_FULL;
	const struct dkim2_verdict *v;
	struct arena a;
	bool ok;

	arena_init(&a, 1 << 26);
	v = case_verify(&a, folder, row, case_level(row), zone, (struct vector_cut){ 0 });
	ok = v->state == state_of(expect) && v->draft == case_level(row);
	ok &= v->state == DKIM2_PASS ? v->level == level && v->reason.n == 0 : v->state == DKIM2_NONE || v->reason.n > 0;
	ok &= !reason.n || slice_eq(reason, v->reason);
	if (!ok)
		print_error("%s: wanted %s: %.*s, got %s (%s): %.*s\n", case_name(row), expect, SLICE_FMT(reason),
		    dkim2_state_name(v->state), dkim2_level_name(v->level), SLICE_FMT(v->reason));
	arena_clear(&a);
	return ok;
}

static void judged_as_constructed(void **state)
{
	size_t wrong = 0;

	(void)state;
	for (size_t i = 0; i < json_array_size(index_of); i++)
		wrong += !as_constructed(json_array_get(index_of, i));
	assert_int_equal(wrong, 0);
}

static void however_they_arrive(void **state)
{
	(void)state;
	assert_int_equal(cut_cases(folder, index_of, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(judged_as_constructed),
		cmocka_unit_test(however_they_arrive),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, open_chains, close_chains);
}
