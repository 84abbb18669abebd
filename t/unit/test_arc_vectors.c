/* The ARC suites of t/data: validation, sealing, and a message by another implementation. What RFCs decide otherwise stands in arc-deviations.json. */
#include "test.h"

#include "vectors.h"

#include "arc_world.h"
#include "auth/taglist.h"

static bool holds_text(const json_t *list, const char *text)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (strcmp(json_string_value(json_array_get(list, i)), text) == 0)
			return true;
	return false;
}

/* What is expected by an RFC; NULL: what the suite says. */
static const char *deviation(const json_t *table, const char *suite, const char *name)
{
	for (size_t i = 0; i < json_array_size(table); i++) {
		const json_t *row = json_array_get(table, i);

		if (strcmp(json_string_value(json_object_get(row, "suite")), suite) == 0 && holds_text(json_object_get(row, "cases"), name)) {
			assert_true(json_string_length(json_object_get(row, "rule")) > 0);
			return json_string_value(json_object_get(row, "expect"));
		}
	}
	return NULL;
}

static const json_t *text_of(const json_t *row, const char *key)
{
	return json_object_get(row, key);
}

/* The suite has LF and no folds: the value as a field would have it. */
static struct slice in_one_line(struct slice text)
{
	unsigned char *p = arena_take(&arena, text.n);

	for (size_t i = 0; i < text.n; i++)
		p[i] = text.at[i] == '\n' ? ' ' : text.at[i];
	return slice_trim(slice_of(p, text.n));
}

/* name -> TXT as the offline DNS file has it; some are written in several lines, which a record has not */
static void zone_of_records(const json_t *records)
{
	json_t *all = json_object(), *value;
	const char *name;
	char *dump;

	json_object_foreach((json_t *)(uintptr_t)records, name, value) {
		struct slice text = in_one_line(vector_text(value));

		json_object_set_new(all, name, json_is_array(value) ? json_deep_copy(value) : json_pack("[s%]", text.at, text.n));
	}
	dump = json_dumps(all, 0);
	json_decref(all);
	answers_free(&zone);
	zone = zone_new(dump);
	free(dump);
}

/* The folder, in the arena. */
static const char *suite(const char *name, json_t **index, json_t **table)
{
	char *folder = arena_take(&arena, 600);

	if (!vector_folder(name, folder, 600))
		fail_msg("no suite %s", name);
	*index = vector_json(folder, "INDEX.json");
	*table = vector_json(arena_string(&arena, arena_printf(&arena, "%s/t/data", getenv("SRCDIR"))), "arc-deviations.json");
	return folder;
}

static void each_case_is_judged_as_its_suite_says(void **state)
{
	json_t *index, *table;
	size_t cases = 0, wrong = 0;

	(void)state;
	suite("arc-validation", &index, &table);
	for (size_t i = 0; i < json_array_size(index); i++) {
		const json_t *scenario = json_array_get(index, i), *tests = json_object_get(scenario, "tests");

		zone_of_records(json_object_get(scenario, "txt_records"));
		for (size_t k = 0; k < json_array_size(tests); k++, cases++) {
			const json_t *row = json_array_get(tests, k);
			const char *name = json_string_value(text_of(row, "name")), *said = json_string_value(text_of(row, "expect")),
			           *other = deviation(table, "arc-validation", name), *want = other ? other : said;
			struct slice message = vector_text(text_of(row, "message"));
			struct judged whole = judge_cut(message, -1, 0), cut = judge_cut(message, -1, 1);
			const struct arc_verdict *v = whole.v;

			if (getenv("HOPSEAL_SHOW"))
				print_message("%s: %s %d %.*s\n", name, arc_state_name(v->state), (int)v->about, SLICE_FMT(v->reason));
			if (strcmp(arc_state_name(v->state), want) == 0 && v->state == cut.v->state && (!other || strcmp(other, said) != 0) &&
			    (v->reason.n > 0) == (v->state > ARC_PASS) && (v->about != ARC_ABOUT_NOTHING) == (v->state > ARC_PASS) && whole.questions <= 2)
				continue;
			print_error("%s: wanted %s (suite %s), got %s, octet by octet %s: %.*s\n", name, want, said, arc_state_name(v->state),
			    arc_state_name(cut.v->state), SLICE_FMT(v->reason));
			wrong++;
		}
		arena_clear(&arena);
	}
	assert_int_equal(cases, 107);
	assert_int_equal(wrong, 0);
	json_decref(index);
	json_decref(table);
}

/* ---- sealing ---- */

/* A tag of a field value in one line, without white space inside; what a suite and we write is compared by these. */
static struct slice tag_of(struct slice value, const char *name)
{
	struct taglist tags;
	const struct tag *tag;
	unsigned char *p;
	size_t n = 0;

	if (!taglist_parse(&arena, value, TAGLIST_UTF8, &tags) || !(tag = taglist_find(&tags, TAGLIST_UTF8, slice_str(name))))
		return SLICE_NONE;
	p = arena_take(&arena, tag->value.n);
	for (size_t i = 0; i < tag->value.n; i++)
		if (!blank_octet(tag->value.at[i]))
			p[n++] = tag->value.at[i];
	return slice_of(p, n);
}

static struct slice value_in(const struct header *h, const char *name)
{
	return h->fields[header_find(h, slice_str(name), 0)].value;
}

/* What the results of the suite's own server come to: RFC 8617 4.1.1, one value of all its fields. */
static struct slice results(struct slice message, struct slice id)
{
	struct header *h = ARENA_NEW(&arena, struct header);
	struct slice body, out = id;

	split(message, h, &body);
	for (size_t k = 0; k < h->n; k++) {
		struct slice value = slice_trim(h->fields[k].value), own;

		if (slice_ieq(h->fields[k].name, S("Authentication-Results")) && slice_cut(&value, ';', &own) && slice_eq(own, id))
			out = join(out, S("; "), slice_trim(value));
	}
	return out;
}

static const char *const ams_tags[] = { "a", "b", "bh", "c", "d", "h", "i", "s", "t" };
/* Not b=: that of the suite covers the message signature in one line, ours covers it as it is folded. */
static const char *const seal_tags[] = { "a", "cv", "d", "i", "s", "t" };

static void want_fields(const json_t *row, struct slice fields)
{
	struct slice ams = in_one_line(vector_text(text_of(row, "AMS"))), as = in_one_line(vector_text(text_of(row, "AS"))),
	             aar = in_one_line(vector_text(text_of(row, "AAR")));
	struct header *h = ARENA_NEW(&arena, struct header);
	struct slice body;

	split(fields, h, &body);
	assert_int_equal(h->n, 3);
	for (size_t k = 0; k < ROWS(ams_tags); k++)
		WANT_SLICE(tag_of(value_in(h, "ARC-Message-Signature"), ams_tags[k]), tag_of(ams, ams_tags[k]));
	for (size_t k = 0; k < ROWS(seal_tags); k++)
		WANT_SLICE(tag_of(value_in(h, "ARC-Seal"), seal_tags[k]), tag_of(as, seal_tags[k]));
	WANT_SLICE(relaxed(h->fields[2].raw), relaxed(join(S("ARC-Authentication-Results: "), aar, S("\r\n"))));
}

static void what_the_suite_seals_is_sealed_alike(void **state)
{
	json_t *index, *table;
	size_t sealed = 0, refused = 0;

	(void)state;
	suite("arc-sign", &index, &table);
	for (size_t i = 0; i < json_array_size(index); i++) {
		const json_t *scenario = json_array_get(index, i), *tests = json_object_get(scenario, "tests");
		struct key *key = key_private(vector_text(text_of(scenario, "privatekey")));

		assert_non_null(key);
		zone_of_records(json_object_get(scenario, "txt_records"));
		for (size_t k = 0; k < json_array_size(tests); k++) {
			const json_t *row = json_array_get(tests, k);
			const char *name = json_string_value(text_of(row, "name"));
			bool unsealed = deviation(table, "arc-sign", name) || json_string_length(text_of(row, "AS")) == 0;
			struct slice message = vector_text(text_of(row, "message")), fields, out;
			struct arc_seal_conf conf = { .d = vector_text(text_of(scenario, "domain")), .selector = vector_text(text_of(scenario, "sel")),
				.type = KEY_RSA, .authres = results(message, vector_text(text_of(row, "srv-id"))),
				.h = vector_text(text_of(row, "sig-headers")), .now = json_integer_value(text_of(row, "t")) };
			struct fault f = { 0 };
			const struct arc_verdict *v;

			out = seal_with(message, judge_cut(message, -1, 0).v, &conf, key, &fields, &f);
			if ((out.n == 0) != unsealed)
				fail_msg("%s: %s", name, out.n ? "sealed" : f.text);
			if (unsealed) {
				assert_int_equal(f.code, FAULT_UNSEALED);
				refused++;
				continue;
			}
			want_fields(row, fields);
			v = judge_cut(out, -1, 0).v;
			if (v->state != ARC_PASS)
				fail_msg("%s: %.*s", name, SLICE_FMT(v->reason));
			sealed++;
		}
		key_drop(&key);
	}
	assert_int_equal(sealed, 6);
	assert_int_equal(refused, 3);
	json_decref(index);
	json_decref(table);
}

static void a_message_of_another_implementation(void **state)
{
	const char *folder;
	json_t *index, *table, *dns;
	const json_t *row;
	struct slice message;
	const struct arc_verdict *v;

	(void)state;
	folder = suite("arc-messages", &index, &table);
	row = json_array_get(index, 0);
	dns = vector_json(folder, json_string_value(text_of(row, "dns")));
	message = vector_file(&arena, arena_string(&arena, arena_printf(&arena, "%s/%s", folder, json_string_value(text_of(row, "file")))));
	assert_true(message.n > 0);
	zone_of_records(dns);
	v = judge_cut(message, json_integer_value(json_object_get(row, "now")), 0).v;
	if (v->state != ARC_PASS)
		fail_msg("%s: %.*s", arc_state_name(v->state), SLICE_FMT(v->reason));
	assert_int_equal(v->n, 2);
	assert_int_equal(v->oldest_pass, 0);
	WANT_SLICE(v->sets[0].d, S("scamorza.org"));
	assert_int_equal(v->sets[0].seal, ARC_PASS);
	assert_int_equal(v->sets[0].ams, ARC_PASS);
	json_decref(dns);
	json_decref(index);
	json_decref(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_case_is_judged_as_its_suite_says, fresh_arena, end_test),
		cmocka_unit_test_setup_teardown(what_the_suite_seals_is_sealed_alike, fresh_arena, end_test),
		cmocka_unit_test_setup_teardown(a_message_of_another_implementation, fresh_arena, end_test),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make_world, end_world);
}
