/* All mechanisms on one message: what one of them alone cannot show. */
#include "dkim_sender.h"

#include "auth/engines.h"

enum { NOW = 1000000 };

#define MESSAGE S("From: u@a.test\r\nSubject: s\r\n\r\nbody\r\n")
#define TAGS "v=1; a=ed25519-sha256; c=relaxed/relaxed; d=m.a.test; s=s; h=from:subject"

static struct answers *zone;

/* The author's policy refuses, and only the signature of a domain beside it aligns, which takes a walk of its own. */
static int fresh(void **state)
{
	fresh_arena(state);
	zone = zone_new(arena_string(&arena, arena_printf(&arena,
	    "{\"s._domainkey.m.a.test\": {\"TXT\": [\"%.*s\"]}, \"_dmarc.a.test\": {\"TXT\": [\"v=DMARC1; p=reject\"]}, "
	    "\"a.test\": {\"TXT\": [\"v=spf1 -all\"]}}",
	    SLICE_FMT(keyrec_text(&arena, sender_ed)))));
	return 0;
}

static int drop(void **state)
{
	answers_free(&zone);
	return drop_arena(state);
}

/* NULL: no memory. What it found lives in `a`. */
static const struct findings *judged(struct arena *a, const struct header *h, struct slice body, unsigned run)
{
	static const struct slice from[] = { { (const unsigned char *)"a.test", 6 } };
	struct engines_terms terms = { .run = run, .now = NOW, .draft = 9, .future_s = 300, .signatures_max = 10, .client_known = true,
		.client = { [10] = 0xff, [11] = 0xff, 192, 0, 2, 1 }, .helo = S("mx.b.test"), .mail_from = S("u@a.test"), .from = from,
		.from_count = 1, .from_single = true };
	struct engines *e = engines_new(a, h, &terms);
	const struct findings *f = NULL;

	if (!e)
		return NULL;
	engines_body(e, body);
	engines_body_end(e);
	while (!engines_step(e))
		assert_true(zone_answer(zone, &arena, engines_asks(e)) > 0);
	f = engines_findings(e);
	engines_release(e);
	return f;
}

static void want_no_wrong_word(const struct findings *f, size_t ceiling)
{
	if (f->dkim && f->dkim->state != DKIM_PASS && f->dkim->state != DKIM_TEMPERROR)
		fail_msg("%zu octets: dkim=%s", ceiling, dkim_state_name(f->dkim->state));
	if (f->dmarc && f->dmarc->state != DMARC_PASS && f->dmarc->state != DMARC_TEMPERROR)
		fail_msg("%zu octets: dmarc=%s", ceiling, dmarc_state_name(f->dmarc->state));
	if (f->arc && f->arc->state != ARC_NONE)
		fail_msg("%zu octets: arc=%s", ceiling, arc_state_name(f->arc->state));
	if (f->spf && f->spf->state != SPF_FAIL && f->spf->state != SPF_TEMPERROR)
		fail_msg("%zu octets: spf=%s", ceiling, spf_state_name(f->spf->state));
}

/* Whatever there is room for, and whichever of them run. */
static void no_memory_is_no_fault_of_the_message(void **state)
{
	static const unsigned runs[] = { ENGINE_DKIM2, ENGINE_DKIM, ENGINE_ARC, ENGINE_SPF, ENGINE_DMARC, ENGINE_DMARC | ENGINE_ARC, ENGINES_ALL };
	struct slice message = sign_with(MESSAGE, TAGS), block, body;
	struct fault fault = { 0 };
	struct header h;

	(void)state;
	split(message, &block, &body);
	assert_true(header_parse(&arena, block, 99, &h, &fault));
	for (size_t i = 0; i < sizeof(runs) / sizeof(*runs); i++) {
		bool lost = false, whole = false;

		for (size_t ceiling = 64; ceiling < 1 << 18 && !whole; ceiling += 16) {
			const struct findings *f;
			struct arena small;

			arena_init(&small, ceiling);
			f = judged(&small, &h, body, runs[i]);
			if (f)
				want_no_wrong_word(f, ceiling);
			lost |= !f;
			whole = f && !arena_failed(&small);
			arena_clear(&small);
		}
		assert_true(lost && whole);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh, drop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(no_memory_is_no_fault_of_the_message),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, sender_start, sender_end);
}
