/*
 * DKIM messages of others. What a suite expects was right in its day: t/data/dkim-rules.json lists each case that RFC 6376 as it stands
 * now judges otherwise, and by which rule. A case that stands there and does not differ is as wrong as one that differs and does not
 * stand there.
 */
#include "arena.h"

#include "dkim_world.h"
#include "vectors.h"

/* The row for a case, NULL: what its suite says. */
static const json_t *changed(const json_t *table, const char *suite, const char *name)
{
	const json_t *found = NULL;

	for (size_t i = 0; i < json_array_size(table); i++) {
		const json_t *row = json_array_get(table, i), *cases = json_object_get(row, "cases");

		if (strcmp(json_string_value(json_object_get(row, "suite")), suite) != 0)
			continue;
		for (size_t k = 0; k < json_array_size(cases); k++) {
			if (strcmp(json_string_value(json_array_get(cases, k)), name) != 0)
				continue;
			if (found)
				fail_msg("%s stands twice in the table", name);
			found = row;
		}
	}
	return found;
}

/* Reasons of all its signatures, for a message of failure. */
static struct slice reasons(const struct dkim_verdict *v)
{
	struct slice text = SLICE_NONE;

	for (size_t i = 0; i < v->n; i++)
		text = arena_printf(&arena, "%.*s%s: %.*s; ", SLICE_FMT(text), dkim_state_name(v->signatures[i].state),
		    SLICE_FMT(v->signatures[i].reason));
	return text;
}

static struct answers *zone_file(const char *folder, const char *name)
{
	char path[600];
	struct slice text;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	text = vector_file(&arena, path);
	return zone_new(arena_string(&arena, text));
}

static void run_suite(const char *suite)
{
	char folder[500], path[700];
	json_t *index, *table = vector_json(getenv("SRCDIR"), "t/data/dkim-rules.json");
	size_t wrong = 0;

	assert_true(vector_folder(suite, folder, sizeof(folder)));
	index = vector_json(folder, "INDEX.json");
	assert_true(json_array_size(index) > 0);
	for (size_t i = 0; i < json_array_size(index); i++) {
		const json_t *row = json_array_get(index, i);
		const char *file = json_string_value(json_object_get(row, "file")), *said = json_string_value(json_object_get(row, "expect"));
		const json_t *other = changed(table, suite, file), *now = json_object_get(row, "now");
		const char *want = other ? json_string_value(json_object_get(other, "expect")) : said;
		struct dkim_terms terms = dkim_usual_terms(json_is_integer(now) ? json_integer_value(now) : -1);
		struct answers *zone = zone_file(folder, json_string_value(json_object_get(row, "dns")));
		const struct dkim_verdict *v;
		struct slice message;

		snprintf(path, sizeof(path), "%s/%s", folder, file);
		message = vector_file(&arena, path);
		assert_true(message.n > 0);
		v = dkim_judge(&arena, message, &terms, zone, NULL);
		if (other && said && strcmp(want, said) == 0)
			fail_msg("%s: stands in the table and does not differ", file);
		assert_non_null(want);
		if (strcmp(dkim_state_name(v->state), want) != 0) {
			struct slice why = reasons(v);

			print_error("%s: wanted %s, got %s (%.*s)\n", file, want, dkim_state_name(v->state), SLICE_FMT(why));
			wrong++;
		}
		answers_free(&zone);
	}
	json_decref(index);
	json_decref(table);
	assert_int_equal(wrong, 0);
}

static void mail_dkim(void **state)
{
	(void)state;
	run_suite("dkim1-mail-dkim");
}

static void mail_auth(void **state)
{
	(void)state;
	run_suite("dkim1-mail-auth");
}

static void dkimpy(void **state)
{
	(void)state;
	run_suite("dkim1-dkimpy");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh_arena, drop_arena)

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(mail_dkim), TEST(mail_auth), TEST(dkimpy) };

	return RUN_TESTS(tests);
}
