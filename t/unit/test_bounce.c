/* Bounces of sealed messages: what is believed, and by which rule what is not (spec sections 15.2, 20.20, 20.22). */
#include "test.h"

#include "bounce_world.h"

/* ---- one report, one thing about it changed ---- */

struct row {
	const char *name;
	struct hop author, list;                /* what is changed of the two hops */
	const char *returned_find, *returned_put;
	const char *report_find, *report_put;
	const char *seal_find, *seal_put;       /* of the sealed report */
	const char *d, *mf, *to;                /* of the report: c.test, <>, the sender of the list */
	int64_t t, now;                         /* of the report, and when it came: NOW + 60, NOW + 120 */
	const char *zone_name, *zone_error;     /* a key that is not to be had; no error: it does not exist */
	const char *ours;                       /* default list.test */
	bool unlinked_is_fine, no_envelope;
	enum bounce_state state;
	enum bounce_rule rule;
	const char *reason;
};

static struct slice returned_of(const struct row *row)
{
	struct hop author = row->author, list = row->list;
	struct slice message;

	if (!author.d)
		author.d = "a.test";
	if (!author.rt && !author.nd)
		author.rt = "<l@list.test>";
	if (!list.d)
		list.d = "list.test";
	if (!list.rt && !list.nd)
		list.rt = "<hidden@c.test>";
	message = add_hop(forge_instance(slice_str(base_message), 1), 1, &author);
	message = add_hop(message, 2, &list);
	return row->returned_find ? replaced(message, row->returned_find, slice_str(row->returned_put)) : message;
}

static void judge_row(const struct row *row)
{
	struct slice to = slice_str(row->to ? row->to : "<s@list.test>"), message;
	struct world w = { .ours = row->ours ? row->ours : "list.test", .now = row->now ? row->now : NOW + 120, .link = !row->unlinked_is_fine,
		.no_envelope = row->no_envelope };
	const struct bounce_finding *f;
	json_t *kept = NULL;

	message = report_text(returned_of(row), row->d ? row->d : "c.test", "message/rfc822");
	if (row->report_find)
		message = replaced(message, row->report_find, slice_str(row->report_put));
	message = sealed_report(message, row->d ? row->d : "c.test", row->mf ? row->mf : "<>", to, row->t ? row->t : NOW + 60);
	if (row->seal_find)
		message = replaced(message, row->seal_find, slice_str(row->seal_put));
	if (row->zone_name) {
		kept = json_incref(json_object_get(zone, row->zone_name));
		json_object_set_new(zone, row->zone_name, row->zone_error ? json_pack("{ss}", "error", row->zone_error) : json_array());
	}
	w.mail_from = slice_str(row->mf ? row->mf : "<>");
	f = arrived(&w, message, to);
	if (f->state != row->state || f->rule != row->rule || !slice_eq(f->reason, slice_str(row->reason)))
		fail_msg("%s: state %d, rule %d, \"%.*s\"", row->name, f->state, f->rule, SLICE_FMT(f->reason));
	left(&w);
	if (kept)
		json_object_set_new(zone, row->zone_name, kept);
}

#define NO BOUNCE_NOT_BELIEVED
#define YES BOUNCE_BELIEVED
#define DAY 86400

static void rules(void **state)
{
	static const struct row rows[] = {
		{ .name = "as it should be", .state = YES },
		/* what it is */
		{ .name = "no report", .report_find = "multipart/report", .report_put = "multipart/mixed", .state = BOUNCE_NOT_APPLICABLE,
		    .rule = BOUNCE_RULE_REPORT, .reason = "not a delivery status notification" },
		{ .name = "malformed report", .report_find = "Action: failed", .report_put = "Action: lost", .state = NO, .rule = BOUNCE_RULE_FORM,
		    .reason = "malformed report: no Action that is known" },
		{ .name = "message without a chain", .returned_find = "DKIM2-Signature: i=2", .returned_put = "X-Seal: i=2",
		    .report_find = "DKIM2-Signature: i=1", .report_put = "X-Seal: i=1", .state = BOUNCE_NOT_APPLICABLE, .rule = BOUNCE_RULE_SEALED,
		    .reason = "returned message has no DKIM2-Signature" },
		/* the report itself */
		{ .name = "report without a seal", .seal_find = "DKIM2-Signature: i=1; m=1; t=1795255260", .seal_put = "X-Seal: i=1; m=1; t=1795255260",
		    .state = NO, .rule = BOUNCE_RULE_VERIFIED, .reason = "report has no DKIM2-Signature" },
		{ .name = "report changed on its way", .seal_find = "delivery failed", .seal_put = "delivery faked", .state = NO,
		    .rule = BOUNCE_RULE_VERIFIED, .reason = "Message Instance m=1 body hash sha256 mismatch" },
		{ .name = "report whose key is not to be had", .zone_name = "e._domainkey.c.test", .zone_error = "timeout", .state = BOUNCE_TEMPORARY,
		    .rule = BOUNCE_RULE_VERIFIED, .reason = "DKIM2-Signature i=1 public key e could not be fetched" },
		{ .name = "report with a sender", .mf = "<x@c.test>", .state = NO, .rule = BOUNCE_RULE_VERIFIED, .reason = "report does not come from <>" },
		{ .name = "report whose envelope is not known", .no_envelope = true, .state = NO, .rule = BOUNCE_RULE_VERIFIED, .reason = "report is not Fully Verified" },
		{ .name = "From is not Authentic", .report_find = "mailer-daemon@c.test", .report_put = "mailer-daemon@b.test", .state = NO,
		    .rule = BOUNCE_RULE_VERIFIED, .reason = "From header field is not Authentic for d=c.test" },
		/* the chain that comes back */
		{ .name = "a hop is missing", .returned_find = "DKIM2-Signature: i=1", .returned_put = "X-Seal: i=1", .state = NO,
		    .rule = BOUNCE_RULE_CHAIN, .reason = "DKIM2-Signature i=1 missing" },
		{ .name = "no instance", .returned_find = "Message-Instance", .returned_put = "X-Instance", .state = NO,
		    .rule = BOUNCE_RULE_CHAIN, .reason = "Message-Instance m=1 missing" },
		{ .name = "newest hop has no envelope", .list = { .nd = "b.test" }, .state = NO, .rule = BOUNCE_RULE_ADDRESS,
		    .reason = "DKIM2-Signature i=2 unexpected nd= tag" },
		{ .name = "to another address of ours", .to = "<other@list.test>", .state = NO, .rule = BOUNCE_RULE_ADDRESS,
		    .reason = "DKIM2-Signature i=2 MAIL FROM is not where the report came to" },
		{ .name = "another case of the local part", .to = "<S@list.test>", .state = NO, .rule = BOUNCE_RULE_ADDRESS,
		    .reason = "DKIM2-Signature i=2 MAIL FROM is not where the report came to" },
		{ .name = "another case of the domain", .to = "<s@LIST.test>", .state = YES },
		{ .name = "mf= does not follow d=", .list = { .mf = "<s@b.test>" }, .to = "<s@b.test>", .state = NO, .rule = BOUNCE_RULE_ADDRESS,
		    .reason = "DKIM2-Signature i=2 MAIL FROM and d= do not match" },
		{ .name = "mf= below d=", .list = { .mf = "<s@x.list.test>" }, .to = "<s@x.list.test>", .state = YES },
		/* time, as its maker saw it */
		{ .name = "fourteen days old when reported", .list = { .t = NOW }, .t = NOW + 14 * DAY, .now = NOW + 14 * DAY, .state = YES },
		{ .name = "older", .list = { .t = NOW }, .t = NOW + 14 * DAY + 1, .now = NOW + 14 * DAY + 1, .state = NO, .rule = BOUNCE_RULE_TIME,
		    .reason = "DKIM2-Signature i=2 signature expired" },
		{ .name = "expired by now only", .list = { .t = NOW }, .t = NOW + 13 * DAY, .now = NOW + 20 * DAY, .state = YES },
		{ .name = "clocks that differ", .list = { .t = NOW + 360 }, .t = NOW + 60, .state = YES },
		{ .name = "sealed after it was reported", .list = { .t = NOW + 361 }, .t = NOW + 60, .state = NO, .rule = BOUNCE_RULE_TIME,
		    .reason = "DKIM2-Signature i=2 signature timestamp is in the future" },
		/* content */
		{ .name = "a header field changed", .returned_find = "Subject: t", .returned_put = "Subject: u", .state = NO,
		    .rule = BOUNCE_RULE_HASH, .reason = "Message Instance m=1 header hash sha256 mismatch" },
		{ .name = "a field added", .returned_find = "Subject: t", .returned_put = "Sender: x\r\nSubject: t", .state = NO,
		    .rule = BOUNCE_RULE_HASH, .reason = "Message Instance m=1 header hash sha256 mismatch" },
		{ .name = "a trace field added", .returned_find = "Subject: t", .returned_put = "Received: x\r\nSubject: t", .state = YES },
		{ .name = "the body changed", .returned_find = "hello", .returned_put = "hullo", .state = NO,
		    .rule = BOUNCE_RULE_HASH, .reason = "Message Instance m=1 body hash sha256 mismatch" },
		/* signature */
		{ .name = "signature of another", .returned_find = "ed25519-sha256:", .returned_put = "ed25519-sha256:AAAA", .state = NO,
		    .rule = BOUNCE_RULE_SIGNATURE, .reason = "DKIM2-Signature i=2 e incorrect signature" },
		{ .name = "recipients of another", .returned_find = "rt=PGhpZGRlbkBjLnRlc3Q+", .returned_put = "rt=PHgxZGRlbkBjLnRlc3Q+", .unlinked_is_fine = true,
		    .state = NO, .rule = BOUNCE_RULE_SIGNATURE, .reason = "DKIM2-Signature i=2 e incorrect signature" },
		{ .name = "our key is not to be had", .zone_name = "e._domainkey.list.test", .zone_error = "servfail", .state = BOUNCE_TEMPORARY,
		    .rule = BOUNCE_RULE_SIGNATURE, .reason = "DKIM2-Signature i=2 public key e could not be fetched" },
		{ .name = "our key is gone", .zone_name = "e._domainkey.list.test", .state = NO, .rule = BOUNCE_RULE_SIGNATURE,
		    .reason = "DKIM2-Signature i=2 public key e does not exist" },
		{ .name = "the key of an older hop is gone", .zone_name = "e._domainkey.a.test", .state = YES },
		{ .name = "two signatures", .list = { .s = "e:ed25519-sha256:*,r2048:rsa-sha256:*" }, .state = YES },
		{ .name = "an algorithm that is not known", .list = { .s = "e:future:*" }, .state = NO, .rule = BOUNCE_RULE_SIGNATURE,
		    .reason = "DKIM2-Signature i=2 e unknown algorithm" },
		/* whose it is */
		{ .name = "not ours", .ours = "b.test", .state = NO, .rule = BOUNCE_RULE_OURS, .reason = "DKIM2-Signature i=2 d= is none of ours" },
		{ .name = "a domain below ours", .ours = "test", .state = NO, .rule = BOUNCE_RULE_OURS, .reason = "DKIM2-Signature i=2 d= is none of ours" },
		{ .name = "a domain above ours", .ours = "x.list.test", .state = NO, .rule = BOUNCE_RULE_OURS, .reason = "DKIM2-Signature i=2 d= is none of ours" },
		{ .name = "not ours, and no key at hand", .ours = "b.test", .zone_name = "e._domainkey.list.test", .zone_error = "timeout", .state = NO,
		    .rule = BOUNCE_RULE_OURS, .reason = "DKIM2-Signature i=2 d= is none of ours" },
		/* who reports */
		{ .name = "reported by another", .d = "b.test", .state = NO, .rule = BOUNCE_RULE_ALIGNED,
		    .reason = "d= of the report does not match RCPT TO of i=2" },
		{ .name = "reported from above", .list = { .rt = "<hidden@mx.c.test>" }, .report_find = "hidden@c.test", .report_put = "hidden@mx.c.test", .state = YES },
		{ .name = "reported from below", .d = "sub.c.test", .state = NO, .rule = BOUNCE_RULE_ALIGNED,
		    .reason = "d= of the report does not match RCPT TO of i=2" },
		{ .name = "one of two recipients", .list = { .rt = "<x@b.test>,<hidden@c.test>" }, .state = YES },
		/* about whom */
		{ .name = "about another", .report_find = "hidden@c.test", .report_put = "other@c.test", .state = NO, .rule = BOUNCE_RULE_LINKED,
		    .reason = "report is not about RCPT TO of i=2" },
		{ .name = "about another, and that is fine", .report_find = "hidden@c.test", .report_put = "other@c.test", .unlinked_is_fine = true, .state = YES },
		{ .name = "about an alias of it", .report_find = "Final-Recipient: rfc822; hidden@c.test",
		    .report_put = "Original-Recipient: rfc822; hidden@c.test\r\nFinal-Recipient: rfc822; other@b.test", .state = YES },
		{ .name = "about it in another case", .report_find = "hidden@c.test", .report_put = "hidden@C.Test", .state = YES },
		{ .name = "about it with another local part", .report_find = "hidden@c.test", .report_put = "Hidden@c.test", .state = NO,
		    .rule = BOUNCE_RULE_LINKED, .reason = "report is not about RCPT TO of i=2" },
		{ .name = "about it in UTF-8", .report_find = "rfc822; hidden@c.test", .report_put = "utf-8; h\\x{69}dden@c.test", .state = YES },
		{ .name = "about an address of another kind", .report_find = "rfc822; hidden@c.test", .report_put = "x400; hidden@c.test", .state = NO,
		    .rule = BOUNCE_RULE_LINKED, .reason = "report is not about RCPT TO of i=2" },
	};

	(void)state;
	for (size_t k = 0; k < ROWS(rows); k++) {
		judge_row(&rows[k]);
		arena_clear(&arena);
	}
}

/* ---- negative twins ---- */

/* Not one octet of what is returned may be another, whether its body came or not. */
static void flip_all(const char *type, bool body)
{
	struct row row = { .name = "" };
	struct slice good = returned_of(&row);
	unsigned char *octets;
	size_t n = body ? good.n : (size_t)((const unsigned char *)memmem(good.at, good.n, "\r\n\r\n", 4) - good.at) + 2, seen = 0, block, at;

	assert_true(header_end(good, &seen, &block, &at));
	octets = malloc(n);
	assert_non_null(octets);
	memcpy(octets, good.at, n);
	for (size_t k = 0; k <= n; k++) {
		struct world w = { .ours = "list.test", .now = NOW + 120, .link = true };
		const struct bounce_finding *f;
		struct slice message;

		arena_clear(&arena);
		if (k < n)
			octets[k] ^= 1;
		message = sealed_report(report_text(slice_of(octets, n), "c.test", type), "c.test", "<>", S("<s@list.test>"), NOW + 60);
		w.mail_from = S("<>");
		f = arrived(&w, message, S("<s@list.test>"));
		if (k < n && f->state != NO)
			fail_msg("octet %zu of %zu: state %d \"%.*s\"", k, n, f->state, SLICE_FMT(f->reason));
		if (k == n && f->state != YES)
			fail_msg("with all octets right: \"%.*s\"", SLICE_FMT(f->reason));
		left(&w);
		if (k < n)
			octets[k] ^= 1;
	}
	free(octets);
}

static void no_octet_of_the_message(void **state)
{
	(void)state;
	flip_all("message/rfc822", true);
}

static void no_octet_of_the_header(void **state)
{
	(void)state;
	flip_all("text/rfc822-headers", false);
}

/* ---- who is told of a failure (15.1) ---- */

static void who_is_told(void **state)
{
	static const struct {
		const char *name;
		struct hop author;
		const char *find, *put; /* on the way */
		const char *mail_from, *rcpt;
		int64_t now;
		const char *zone_name, *zone_error;
		enum bounce_due due;
	} rows[] = {
		{ .name = "the sender of a verified hop", .due = BOUNCE_DUE },
		{ .name = "nobody, of a report", .author = { .mf = "<>" }, .mail_from = "<>", .due = BOUNCE_NOBODY },
		{ .name = "nobody without a chain", .find = "DKIM2-Signature", .put = "X-Seal", .due = BOUNCE_UNSEALED },
		{ .name = "nobody, content changed", .find = "hello", .put = "hullo", .due = BOUNCE_UNVERIFIED },
		{ .name = "nobody, header changed", .find = "Subject: t", .put = "Subject: u", .due = BOUNCE_UNVERIFIED },
		{ .name = "nobody, other envelope", .mail_from = "<x@a.test>", .due = BOUNCE_UNVERIFIED },
		{ .name = "nobody, other recipient", .rcpt = "<x@c.test>", .due = BOUNCE_UNVERIFIED },
		{ .name = "nobody, expired", .now = NOW + 20 * DAY, .due = BOUNCE_UNVERIFIED },
		{ .name = "nobody, key not at hand", .zone_name = "e._domainkey.a.test", .zone_error = "timeout", .due = BOUNCE_UNVERIFIED },
		{ .name = "nobody, key gone", .zone_name = "e._domainkey.a.test", .due = BOUNCE_UNVERIFIED },
		{ .name = "nobody, not readable", .find = "m=1; t=", .put = "m=x; t=", .due = BOUNCE_UNVERIFIED },
		{ .name = "the sender, though its author is not Authentic", .author = { .d = "b.test" }, .mail_from = "<s@b.test>", .due = BOUNCE_DUE },
	};

	(void)state;
	for (size_t k = 0; k < ROWS(rows); k++) {
		const char *from = rows[k].mail_from ? rows[k].mail_from : "<s@a.test>";
		struct hop author = rows[k].author;
		struct slice message, to = SLICE_NONE;
		json_t *kept = NULL;
		enum bounce_due due;

		if (!author.d)
			author.d = "a.test";
		author.rt = "<l@list.test>";
		message = add_hop(forge_instance(slice_str(base_message), 1), 1, &author);
		if (rows[k].find)
			message = replaced(message, rows[k].find, slice_str(rows[k].put));
		if (rows[k].zone_name) {
			kept = json_incref(json_object_get(zone, rows[k].zone_name));
			json_object_set_new(zone, rows[k].zone_name, rows[k].zone_error ? json_pack("{ss}", "error", rows[k].zone_error) : json_array());
		}
		due = bounce_due(judged(message, from, rows[k].rcpt ? rows[k].rcpt : "<l@list.test>", rows[k].now ? rows[k].now : NOW + 10, 9), &to);
		if (kept)
			json_object_set_new(zone, rows[k].zone_name, kept);
		if (due != rows[k].due || !slice_eq(to, due == BOUNCE_DUE ? slice_str(from) : SLICE_NONE))
			fail_msg("%s: %d, \"%.*s\"", rows[k].name, due, SLICE_FMT(to));
		arena_clear(&arena);
	}
	assert_int_equal(bounce_due(NULL, &(struct slice){ NULL, 0 }), BOUNCE_UNSEALED);
	assert_int_equal(bounce_due(judged(plain_hop(), "<s@a.test>", NULL, NOW + 10, 9), &(struct slice){ NULL, 0 }), BOUNCE_UNVERIFIED);
}

static void sealed_with_what_fits(void **state)
{
	static const struct {
		const char *name, *keys, *rt, *failed, *d; /* no d: the fallback */
	} rows[] = {
		{ "the domain of the recipient", "c.test", "<x@c.test>", "x@c.test", "c.test" },
		{ "one above it", "c.test", "<x@mx.c.test>", "x@mx.c.test", "c.test" },
		{ "the nearest above it", "c.test mx.c.test", "<x@in.mx.c.test>", "x@in.mx.c.test", "mx.c.test" },
		{ "never one below it", "mx.c.test", "<x@c.test>", "x@c.test", NULL },
		{ "that of the failed one of two", "b.test c.test", "<x@b.test>,<y@c.test>", "y@c.test", "c.test" },
		{ "that of the other if need be", "b.test", "<x@b.test>,<y@c.test>", "y@c.test", "b.test" },
		{ "not that of somebody else", "evil.test c.test", "<x@c.test>", "z@evil.test", "c.test" },
		{ "none at all", "a.test", "<x@c.test>", "x@c.test", NULL },
		{ "in any case", "c.test", "<x@C.Test>", "x@c.test", "c.test" },
		{ "not a name that only ends like it", "test.test", "<x@mytest.test>", "x@mytest.test", NULL },
	};

	(void)state;
	for (size_t k = 0; k < ROWS(rows); k++) {
		struct hop hop = { .d = "a.test", .rt = rows[k].rt };
		struct slice message = one_hop(hop), runs[1] = { message };
		const struct dkim2_verdict *came = judged(message, "<s@a.test>", rows[k].rt, NOW + 10, 9);
		struct bounce_domains keyed = { named, named, rows[k].keys, S("host.test") };
		struct bounce_form form = { S("mx.host.test"), S("<1@mx.host.test>"), S("=_b"), NOW + 60 };
		struct dsn_recipient failed = { .final = { S("rfc822"), slice_str(rows[k].failed) }, .action = DSN_FAILED, .status = S("5.1.1") };
		struct bounce_message m = { .aligned = true };
		struct slice d = slice_str(rows[k].d ? rows[k].d : "host.test"), text;

		assert_int_equal(bounce_make(&arena, &came->hops[0], &keyed, &form, &failed, 1, runs, 1, message.n, true, &m), DSN_WRITTEN);
		text = whole(&m);
		if (!slice_eq(m.d, d) || m.aligned != (rows[k].d != NULL) || !slice_eq(m.rcpt_to, S("<s@a.test>")))
			fail_msg("%s: d=%.*s, aligned %d", rows[k].name, SLICE_FMT(m.d), m.aligned);
		if (!holds(text, (const char *)arena_string(&arena, arena_printf(&arena, "<mailer-daemon@%.*s>\r\nTo: <s@a.test>\r\n", SLICE_FMT(d)))))
			fail_msg("%s: \"%.*s\"", rows[k].name, SLICE_FMT(text));
		arena_clear(&arena);
	}
}

/* A report about one of two recipients has no word of the other but in what its sender wrote. */
static void tells_of_no_other(void **state)
{
	struct slice message = one_hop((struct hop){ .d = "a.test", .rt = "<x@c.test>,<bcc@c.test>" }), runs[1] = { message }, text;
	const struct dkim2_verdict *came = judged(message, "<s@a.test>", "<x@c.test>,<bcc@c.test>", NOW + 10, 9);
	struct bounce_domains keyed = { named, named, "c.test", S("host.test") };
	struct bounce_form form = { S("mx.c.test"), S("<1@mx.c.test>"), S("=_b"), NOW + 60 };
	struct dsn_recipient failed = { .final = { S("rfc822"), S("x@c.test") }, .action = DSN_FAILED, .status = S("5.1.1") };
	struct bounce_message m;

	(void)state;
	assert_int_equal(bounce_make(&arena, &came->hops[0], &keyed, &form, &failed, 1, runs, 1, message.n, false, &m), DSN_WRITTEN);
	text = whole(&m);
	assert_false(holds(text, "bcc@c.test"));
	assert_true(holds(text, "x@c.test"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rules, make_bounce_world, end_domains),
		cmocka_unit_test_setup_teardown(no_octet_of_the_message, make_bounce_world, end_domains),
		cmocka_unit_test_setup_teardown(no_octet_of_the_header, make_bounce_world, end_domains),
		cmocka_unit_test_setup_teardown(who_is_told, make_bounce_world, end_domains),
		cmocka_unit_test_setup_teardown(sealed_with_what_fits, make_bounce_world, end_domains),
		cmocka_unit_test_setup_teardown(tells_of_no_other, make_bounce_world, end_domains),
	};

	return RUN_TESTS(tests);
}
