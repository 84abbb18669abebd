/*
 * dkim2_suite.h - runs every message of a DKIM2 suite with its envelope, clock and zone.
 */
#ifndef DKIM2_SUITE_H
#define DKIM2_SUITE_H

#include "vectors.h"

struct tally {
	unsigned exact, wrong;
};

static inline enum dkim2_state state_of(const char *name)
{
	for (enum dkim2_state s = DKIM2_NONE; s <= DKIM2_PERMERROR; s++)
		if (strcmp(dkim2_state_name(s), name) == 0)
			return s;
	fail_msg("no state %s", name);
	return DKIM2_NONE;
}

/* Messages without any DKIM2-Signature: `none` here (spec 10.2, 20.31), where the source has no such answer. */
static inline const char *wanted(const char *file, const char *expect)
{
	if (strcmp(file, "messages/missing_protocol.eml") == 0 || strcmp(file, "messages/malformed_message.eml") == 0)
		return "none";
	return expect;
}

static inline void judge(struct tally *tally, const char *folder, const json_t *row, unsigned draft)
{
	const char *file = json_string_value(json_object_get(row, "file"));
	const char *expect = wanted(file, json_string_value(json_object_get(row, "expect")));
	const json_t *rcpt = json_object_get(row, "rcpt_to"), *now = json_object_get(row, "now");
	json_t *zone = vector_json(folder, json_string_value(json_object_get(row, "dns")));
	const struct dkim2_verdict *v;
	struct dkim2_envelope envelope = { 0 };
	struct slice rcpts[64], message;
	struct arena a;
	char path[600];
	bool ok;

	arena_init(&a, 1 << 26);
	snprintf(path, sizeof(path), "%s/%s", folder, file);
	message = vector_file(&a, path);
	assert_true(message.n > 0);
	for (size_t i = 0; i < json_array_size(rcpt); i++)
		rcpts[i] = vector_text(json_array_get(rcpt, i));
	envelope.mail_from = vector_text(json_object_get(row, "mail_from"));
	envelope.rcpt_to = rcpts;
	envelope.rcpt_count = json_array_size(rcpt);
	v = vector_verify(&a, message, envelope.mail_from.n ? &envelope : NULL,
	    json_is_integer(now) ? json_integer_value(now) : -1, draft, zone);
	ok = expect ? v->state == state_of(expect) : v->state > DKIM2_PASS;
	/* A body that cannot be had again leaves the newest hop to vouch; that was allowed up to -08. */
	if (v->state == DKIM2_PASS && v->level != DKIM2_FULL && (v->level != DKIM2_PROVISIONAL || draft > 8))
		ok = false;
	if (v->state > DKIM2_PASS && v->reason.n == 0)
		ok = false;
	tally->exact += ok;
	if (!ok) {
		tally->wrong++;
		print_error("%s: wanted %s, got %s: %.*s\n", file, expect ? expect : "no pass", dkim2_state_name(v->state),
		    SLICE_FMT(v->reason));
	} else if (getenv("HOPSEAL_SHOW")) {
		print_message("# %s: %s: %.*s\n", file, dkim2_state_name(v->state), SLICE_FMT(v->reason));
	}
	json_decref(zone);
	arena_clear(&a);
}

static inline void run_suite(const char *suite, unsigned draft)
{
	struct tally tally = { 0 };
	char folder[500];
	json_t *index;

	assert_true(vector_folder(suite, folder, sizeof(folder)));
	index = vector_json(folder, "INDEX.json");
	assert_true(json_array_size(index) > 0);
	for (size_t i = 0; i < json_array_size(index); i++)
		judge(&tally, folder, json_array_get(index, i), draft);
	print_message("# %s: %u as expected, %u wrong\n", suite, tally.exact, tally.wrong);
	json_decref(index);
	assert_int_equal(tally.wrong, 0);
}

#endif
