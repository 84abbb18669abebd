/* Our report on a sealed message, sealed itself, at the hop it goes back to: that hop believes it (draft-ietf-dkim-dkim2-spec-09 16.3). */
#include "test.h"

#include "bounce_world.h"
#include "queue/bounce.h"

#define RECEIVED "Received: from a.test\r\n\tby mx.c.test (hopseal) with ESMTP id 1a2b;\r\n\tThu, 01 Oct 2026 00:00:01 +0000\r\n"

static struct conf_key c_keys[] = { { .domain = "c.test", .selector = "e", .active = true }, { .domain = "b.test", .selector = "e", .active = true } };
static const struct conf c_conf = { .hostname = "mx.b.test", .keys = c_keys, .key_count = 2 };
static const struct conf b_conf = { .hostname = "mx.b.test", .keys = c_keys + 1, .key_count = 1 };

/* On a message that a.test sent to <r1@c.test>, from which it went on to <x@b.test>, or was to. */
static struct bounce_report report_on(struct slice kept, const struct dkim2_verdict *came, const struct conf *conf, const char *ret)
{
	struct spool_rcpt to = { .path = S("<x@b.test>"), .orcpt = S("rfc822;r1@c.test") };
	struct spool_envelope e = { .id = S("1a2b"), .listener = S("forward"), .mail_from = S("<s@a.test>"), .report_to = S("<s@a.test>"),
		.ret = slice_str(ret), .rcpts = &to, .rcpt_count = 1 };
	struct bounce_rcpt end = { .rcpt = &to, .action = DSN_FAILED, .code = 550, .enhanced = "5.1.1", .text = S("5.1.1 no"), .next_hop = "mx.b.test" };
	struct bounce_terms terms = { .conf = conf, .envelope = &e, .came = came, .now_s = NOW + 60, .id = S("r1"), .boundary_seed = S("x") };
	struct bounce_report r = { .rcpts = 0 };
	struct header h;
	const char *why = "";

	split(kept, &h, &terms.body);
	terms.header = h.raw;
	if (bounce_write(&arena, &terms, &end, 1, &r, &why) != BOUNCE_MADE)
		fail_msg("not made: %s", why);
	return r;
}

static struct slice text_of(const struct bounce_report *r)
{
	struct bounce_message m = { .message = { .header = r->header, .body = r->body, .runs = r->runs } };

	return whole(&m);
}

static void at_the_hop_before(void **state)
{
	static const struct {
		const char *name, *ret;
		bool sent;    /* what is returned bears our hop on top */
		bool keyless; /* no key for the domain it came for */
		bool plain;   /* there is no chain */
		enum bounce_state state;
		enum bounce_rule rule;
	} rows[] = {
		{ "as it is kept", "", false, false, false, BOUNCE_BELIEVED, BOUNCE_RULE_NONE },
		{ "whole", "FULL", false, false, false, BOUNCE_BELIEVED, BOUNCE_RULE_NONE },
		{ "its header", "HDRS", false, false, false, BOUNCE_BELIEVED, BOUNCE_RULE_NONE },
		{ "as it was sent: that hop is none of its own", "", true, false, false, BOUNCE_NOT_BELIEVED, BOUNCE_RULE_ADDRESS },
		{ "sealed for the host", "", false, true, false, BOUNCE_NOT_BELIEVED, BOUNCE_RULE_ALIGNED },
		{ "what nobody sealed", "", false, false, true, BOUNCE_NOT_APPLICABLE, BOUNCE_RULE_SEALED },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct slice message = rows[i].plain ? slice_str(base_message) : plain_hop(), kept = join(S(RECEIVED), message, SLICE_NONE);
		const struct dkim2_verdict *came = judged(kept, "<s@a.test>", "<r1@c.test>", NOW + 10, 9);
		struct hop ours = { .d = "c.test", .mf = "<f@c.test>", .rt = "<x@b.test>" };
		struct bounce_report r = report_on(rows[i].sent ? add_hop(kept, 2, &ours) : kept, came, rows[i].keyless ? &b_conf : &c_conf, rows[i].ret);
		struct world w = { .ours = "a.test", .now = NOW + 70, .link = true, .mail_from = S("<>") };
		const struct bounce_finding *f;

		assert_int_equal(r.aligned, !rows[i].keyless || rows[i].plain);
		f = arrived(&w, sealed_report(text_of(&r), arena_string(&arena, r.d), "<>", r.envelope.rcpts[0].path, NOW + 60), r.envelope.rcpts[0].path);
		if (f->state != rows[i].state || f->rule != rows[i].rule)
			fail_msg("%s: %d by %d, %.*s", rows[i].name, (int)f->state, (int)f->rule, SLICE_FMT(f->reason));
		if (f->state == BOUNCE_BELIEVED)
			WANT_SLICE(f->recipient->original.text, S("r1@c.test"));
		left(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(at_the_hop_before, make_bounce_world, end_domains),
	};

	return RUN_TESTS(tests);
}
