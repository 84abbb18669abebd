/*
 * dkim2_suite.h - runs every message of a DKIM2 suite with its envelope, clock and zone, judged by a level of the draft.
 *
 * What a suite expects was written for its own draft. t/data/dkim2-levels.json lists each case that a level judges
 * otherwise, and by which rule: a case that stands there and does not differ is as wrong as one that differs and does not
 * stand there.
 */
#ifndef DKIM2_SUITE_H
#define DKIM2_SUITE_H

#include "vectors.h"

static inline enum dkim2_state state_of(const char *name)
{
	for (enum dkim2_state s = DKIM2_NONE; s <= DKIM2_PERMERROR; s++)
		if (strcmp(dkim2_state_name(s), name) == 0)
			return s;
	fail_msg("no state %s", name);
	return DKIM2_NONE;
}

/* What the cases of a suite are called: by name where they have one, for some share their message. */
static inline const char *case_name(const json_t *row)
{
	const char *name = json_string_value(json_object_get(row, "name"));

	return name ? name : json_string_value(json_object_get(row, "file"));
}

/* The level a case names. */
static inline unsigned case_level(const json_t *row)
{
	unsigned level = 0;

	assert_int_equal(sscanf(json_string_value(json_object_get(row, "draft")), "spec-%u", &level), 1);
	return level;
}

static inline bool holds_text(const json_t *list, const char *text)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (strcmp(json_string_value(json_array_get(list, i)), text) == 0)
			return true;
	return false;
}

static inline bool holds_number(const json_t *list, unsigned number)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (json_integer_value(json_array_get(list, i)) == number)
			return true;
	return false;
}

/* The row that says what becomes of the case at that level, NULL: what its suite says. */
static inline const json_t *changed(const json_t *table, const char *suite, const char *name, unsigned draft)
{
	const json_t *found = NULL;

	for (size_t i = 0; i < json_array_size(table); i++) {
		const json_t *row = json_array_get(table, i);

		if (strcmp(json_string_value(json_object_get(row, "suite")), suite) != 0 ||
		    !holds_number(json_object_get(row, "levels"), draft) || !holds_text(json_object_get(row, "cases"), name))
			continue;
		if (found)
			fail_msg("%s: %s stands twice in the table", suite, name);
		found = row;
	}
	return found;
}

/* As it is said: an `expect`, or at least that it is no pass; a pass is of the whole chain unless a `depth` says otherwise. */
static inline bool as_said(const json_t *row, const struct dkim2_verdict *v)
{
	const char *expect = json_string_value(json_object_get(row, "expect"));
	const char *depth = json_string_value(json_object_get(row, "depth"));

	if (!expect)
		return v->state > DKIM2_PASS;
	return v->state == state_of(expect) && (v->state != DKIM2_PASS || strcmp(dkim2_level_name(v->level), depth ? depth : "full") == 0);
}

/* The verdict on the message of a case, its body cut as told. In the arena. */
static inline const struct dkim2_verdict *case_verify(struct arena *a, const char *folder, const json_t *row, unsigned draft,
    const json_t *zone, struct vector_cut cut)
{
	const json_t *rcpt = json_object_get(row, "rcpt_to"), *now = json_object_get(row, "now");
	struct dkim2_envelope envelope = { 0 };
	struct slice rcpts[64], message;
	char path[600];

	snprintf(path, sizeof(path), "%s/%s", folder, json_string_value(json_object_get(row, "file")));
	message = vector_file(a, path);
	assert_true(message.n > 0);
	assert_in_range(json_array_size(rcpt), 0, 64);
	for (size_t i = 0; i < json_array_size(rcpt); i++)
		rcpts[i] = vector_text(json_array_get(rcpt, i));
	envelope.mail_from = vector_text(json_object_get(row, "mail_from"));
	envelope.rcpt_to = rcpts;
	envelope.rcpt_count = json_array_size(rcpt);
	return vector_verify_cut(a, message, envelope.mail_from.n ? &envelope : NULL,
	    json_is_integer(now) ? json_integer_value(now) : -1, draft, zone, cut);
}

/* False: not as it should be, and why is said. */
static inline bool judge_case(const char *folder, const json_t *row, const json_t *by_level, unsigned draft)
{
	const json_t *reason = json_object_get(by_level, "reason");
	json_t *zone = vector_json(folder, json_string_value(json_object_get(row, "dns")));
	const struct dkim2_verdict *v;
	struct arena a;
	const char *wrong = NULL;

	arena_init(&a, 1 << 26);
	v = case_verify(&a, folder, row, draft, zone, (struct vector_cut){ 0 });
	if (by_level && as_said(row, v))
		wrong = "stands in dkim2-levels.json and is as its suite says";
	else if (!as_said(by_level ? by_level : row, v))
		wrong = by_level ? "is neither as its suite nor as dkim2-levels.json says" : "is not as its suite says";
	else if (reason && !slice_eq(v->reason, vector_text(reason)))
		wrong = "gives another reason than dkim2-levels.json";
	else if (v->state > DKIM2_PASS && v->reason.n == 0)
		wrong = "gives no reason";
	else if (v->draft != draft)
		wrong = "names another level";
	if (wrong)
		print_error("%s %s: %s: %s (%s): %.*s\n", strrchr(folder, '/') + 1, case_name(row), wrong, dkim2_state_name(v->state),
		    dkim2_level_name(v->level), SLICE_FMT(v->reason));
	else if (getenv("HOPSEAL_SHOW"))
		print_message("# %s: %s: %.*s\n", case_name(row), dkim2_state_name(v->state), SLICE_FMT(v->reason));
	json_decref(zone);
	arena_clear(&a);
	return !wrong;
}

/* Each name that the table has for the suite is one of its cases. */
static inline void want_cases(const json_t *table, const char *suite, const json_t *index)
{
	for (size_t i = 0; i < json_array_size(table); i++) {
		const json_t *row = json_array_get(table, i), *cases = json_object_get(row, "cases");

		if (strcmp(json_string_value(json_object_get(row, "suite")), suite) != 0)
			continue;
		assert_true(json_string_length(json_object_get(row, "rule")) > 0 && json_array_size(cases) > 0);
		for (size_t k = 0; k < json_array_size(cases); k++) {
			size_t at = 0;

			while (at < json_array_size(index) &&
			       strcmp(case_name(json_array_get(index, at)), json_string_value(json_array_get(cases, k))) != 0)
				at++;
			if (at == json_array_size(index))
				fail_msg("%s: dkim2-levels.json has a case %s", suite, json_string_value(json_array_get(cases, k)));
		}
	}
}

/* How many cases are wrong; each is told. */
static inline size_t run_suite(const char *suite, unsigned draft)
{
	char folder[500], tables[500];
	size_t wrong = 0, other = 0;
	json_t *index, *table;

	assert_true(vector_folder(suite, folder, sizeof(folder)));
	index = vector_json(folder, "INDEX.json");
	snprintf(tables, sizeof(tables), "%s/t/data", getenv("SRCDIR"));
	table = vector_json(tables, "dkim2-levels.json");
	assert_true(json_array_size(index) > 0);
	want_cases(table, suite, index);
	for (size_t i = 0; i < json_array_size(index); i++) {
		const json_t *row = json_array_get(index, i), *by_level = changed(table, suite, case_name(row), draft);

		wrong += !judge_case(folder, row, by_level, draft);
		other += by_level != NULL;
	}
	print_message("# %s at %02u: %zu cases, %zu by a rule of that level, %zu wrong\n", suite, draft, json_array_size(index), other,
	    wrong);
	json_decref(table);
	json_decref(index);
	return wrong;
}

/* At every level there is. */
static inline void run_levels(const char *suite)
{
	size_t wrong = 0;

	for (unsigned draft = 6; draft <= 9; draft++)
		wrong += run_suite(suite, draft);
	assert_int_equal(wrong, 0);
}

#endif
