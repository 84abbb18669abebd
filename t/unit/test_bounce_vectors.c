/*
 * The suite of received bounces, where HOPSEAL_VECTORS names it: each stage of the result, and that what may go on
 * can be made. Its keys and messages may not be copied; t/unit/test_bounce.c covers the same rules.
 */
#include "test.h"

#include "auth/dkim2/bounce.h"
#include "base/limits.h"
#include "vectors.h"

static struct arena arena;
static const json_t *local_domains;

static bool is_local(struct slice d, const void *arg)
{
	(void)arg;
	for (size_t k = 0; k < json_array_size(local_domains); k++)
		if (slice_eq(d, vector_text(json_array_get(local_domains, k))))
			return true;
	return false;
}

static struct bounce_domains domains = { is_local, is_local, NULL, { NULL, 0 } };

static void want(const char *name, const char *stage, const json_t *expected, const char *got)
{
	const char *wanted = json_string_value(json_object_get(expected, stage));

	if (strcmp(wanted, got) != 0)
		fail_msg("%s: %s: wanted \"%s\", got \"%s\"", name, stage, wanted, got);
}

/* A stage is not evaluated once one before it has ended the matter. */
static void want_stages(const char *name, const json_t *expected, struct bounce *b)
{
	const struct bounce_finding *f = bounce_finding(b);
	const struct bounce_form form = { S("mx.local.example"), S("<1@mx.local.example>"), S("=_made"), 1700000060 };
	struct bounce_message made;
	enum dsn_write_state write;
	const bool malformed = f->rule == BOUNCE_RULE_FORM, absent = f->rule == BOUNCE_RULE_SEALED;
	const bool local = f->verified && f->ours, aligned = local && f->aligned, linked = aligned && f->linked;
	static const char *const onward[] = { "eligible", "not_evaluated", "not_failure", "terminal_origin", "forbidden_null_previous_sender",
		"unsupported_chain", "not_reconstructable", "not_reconstructable", "not_written" };

	want(name, "structure", expected, malformed ? "malformed" : "valid");
	want(name, "embedded", expected,
	    malformed ? "" : absent ? "absent" : !f->verified ? "unverified" : f->report->header_only ? "verified_headers_only" : "verified");
	want(name, "local_hop", expected, !f->verified ? "not_evaluated" : local ? "local" : "not_local");
	want(name, "outer_alignment", expected, !local ? "not_evaluated" : aligned ? "aligned" : "misaligned");
	want(name, "recipient_linkage", expected, !aligned ? "not_evaluated" : linked ? "linked" : "unlinked");
	want(name, "propagation", expected,
	    absent ? "not_applicable" : onward[bounce_onward(b, SLICE_NONE, &form, &made, &write)]);
	want(name, "original_form", expected, !f->report ? "" : f->report->header_only ? "headers_only" : "complete");
	assert_int_equal(json_integer_value(json_object_get(expected, "completion_sequence")), f->verified ? f->hop : 0);
	assert_int_equal(json_integer_value(json_object_get(expected, "run_length")), f->verified ? f->run : 0);
}

static void run_case(const json_t *c, const char *folder, const json_t *zone, unsigned draft)
{
	const char *name = json_string_value(json_object_get(c, "name"));
	struct slice rcpt = vector_text(json_array_get(json_object_get(c, "rcpt_to"), 0));
	struct dkim2_envelope e = { vector_text(json_object_get(c, "mail_from")), &rcpt, 1 };
	int64_t now = json_integer_value(json_object_get(c, "now"));
	struct bounce_conf conf = { .rcpt_to = &rcpt, .rcpt_count = 1, .domains = &domains, .link = true, .future_s = 300, .draft = draft, .field_max = 1000,
		.undo_octets = LIMIT_UNDO };
	size_t seen = 0, block, body, n;
	const struct slice *names;
	struct fault f = { 0 };
	struct slice message;
	struct header h;
	struct bounce *b;
	char path[700];

	arena_init(&arena, 1 << 26);
	snprintf(path, sizeof(path), "%s/%s", folder, json_string_value(json_object_get(c, "file")));
	message = vector_file(&arena, path);
	local_domains = json_object_get(c, "local_domains");
	conf.verdict = vector_verify(&arena, message, &e, now, draft, zone);
	assert_true(header_end(message, &seen, &block, &body));
	assert_true(header_parse(&arena, slice_sub(message, 0, block), 1000, &h, &f));
	b = bounce_new(&arena, &h, slice_sub(message, body, SIZE_MAX), &conf);
	assert_non_null(b);
	n = bounce_asks(b, &names);
	for (size_t k = 0; k < n; k++) {
		struct keyrec *rec = vector_keyrec(&arena, zone, names[k]);

		bounce_answer(b, k, rec);
		keyrec_drop(&rec);
	}
	want_stages(name, json_object_get(c, "expected_dsn"), b);
	bounce_release(b);
	arena_clear(&arena);
}

static void received_dsn_06(void **state)
{
	char folder[512];
	json_t *index, *zone;

	(void)state;
	assert_true(vector_folder("dkim2-spec06-received-dsn", folder, sizeof(folder)));
	index = vector_json(folder, "INDEX.json");
	zone = vector_json(folder, "dns.json");
	assert_int_equal(json_array_size(index), 15);
	for (unsigned draft = 6; draft <= 9; draft++)
		for (size_t k = 0; k < json_array_size(index); k++)
			run_case(json_array_get(index, k), folder, zone, draft);
	json_decref(index);
	json_decref(zone);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(received_dsn_06),
	};
	char folder[512];

	if (!vector_folder("dkim2-spec06-received-dsn", folder, sizeof(folder))) {
		printf("1..0 # SKIP HOPSEAL_VECTORS names no folder that holds dkim2-spec06-received-dsn\n");
		return 0;
	}
	return RUN_TESTS(tests);
}
