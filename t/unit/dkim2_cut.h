/*
 * dkim2_cut.h - the messages of a suite, their bodies whole, octet by octet and in pieces of any size: the verdict is the
 * same in all it says.
 */
#ifndef DKIM2_CUT_H
#define DKIM2_CUT_H

#include "dkim2_suite.h"

static inline bool same_reason(const char *name, enum dkim2_state whole, struct slice whole_reason, enum dkim2_state cut,
    struct slice cut_reason)
{
	if (whole == cut && slice_eq(whole_reason, cut_reason))
		return true;
	print_error("%s: whole %s: %.*s, in pieces %s: %.*s\n", name, dkim2_state_name(whole), SLICE_FMT(whole_reason),
	    dkim2_state_name(cut), SLICE_FMT(cut_reason));
	return false;
}

static inline bool same_verdict(const char *name, const struct dkim2_verdict *whole, const struct dkim2_verdict *cut)
{
	bool same = whole->level == cut->level && whole->hop_count == cut->hop_count &&
	    whole->instance_count == cut->instance_count && same_reason(name, whole->state, whole->reason, cut->state, cut->reason);

	for (size_t k = 0; same && k < whole->hop_count; k++)
		same = same_reason(name, whole->hops[k].state, whole->hops[k].reason, cut->hops[k].state, cut->hops[k].reason);
	for (size_t k = 0; same && k < whole->instance_count; k++) {
		const struct dkim2_instance *x = &whole->instances[k], *y = &cut->instances[k];

		same = same_reason(name, x->state, x->reason, y->state, y->reason) && x->changed_count == y->changed_count &&
		    x->body_lines == y->body_lines;
	}
	if (!same)
		print_error("%s: another verdict when it comes in pieces\n", name);
	return same;
}

/* How many pieces make a difference. The draft 0: the one a row names. */
static inline size_t cut_cases(const char *folder, const json_t *index, unsigned draft)
{
	static const struct vector_cut cuts[] = { { 1, 0 }, { 7, 1 }, { 500, 2 }, { 40000, 3 } };
	const char *zone_name = "";
	json_t *zone = NULL;
	size_t wrong = 0;

	for (size_t i = 0; i < json_array_size(index); i++) {
		const json_t *row = json_array_get(index, i);
		const struct dkim2_verdict *whole;
		unsigned level = draft;
		struct arena a;

		if (strcmp(zone_name, json_string_value(json_object_get(row, "dns"))) != 0) {
			json_decref(zone);
			zone_name = json_string_value(json_object_get(row, "dns"));
			zone = vector_json(folder, zone_name);
		}
		if (!level)
			level = case_level(row);
		arena_init(&a, 1 << 27);
		whole = case_verify(&a, folder, row, level, zone, (struct vector_cut){ 0 });
		for (size_t k = 0; k < sizeof(cuts) / sizeof(cuts[0]); k++) {
			struct vector_cut cut = { cuts[k].most, cuts[k].seed ? cuts[k].seed + i : 0 };

			wrong += !same_verdict(case_name(row), whole, case_verify(&a, folder, row, level, zone, cut));
		}
		arena_clear(&a);
	}
	json_decref(zone);
	return wrong;
}

static inline void cut_suite(const char *suite, unsigned draft)
{
	char folder[500];
	json_t *index;

	assert_true(vector_folder(suite, folder, sizeof(folder)));
	index = vector_json(folder, "INDEX.json");
	assert_true(json_array_size(index) > 0);
	assert_int_equal(cut_cases(folder, index, draft), 0);
	json_decref(index);
}

#endif
