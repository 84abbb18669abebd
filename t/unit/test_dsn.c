/* Delivery status notifications: what is read, what is refused, what is written (RFC 3464, 6522, 6533). */
#include "arena.h"

#include "base/buf.h"
#include "base/limits.h"
#include "mail/dsn.h"

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

#define TOP "From: m@x.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
#define TEXT "--b\r\n\r\nfailed\r\n"
#define STATUS_TYPE "--b\r\nContent-Type: message/delivery-status\r\n\r\n"
#define GROUP_1 "Reporting-MTA: dns; x.test\r\n\r\n"
#define GROUP_2 "Final-Recipient: rfc822; r@x.test\r\nAction: failed\r\nStatus: 5.1.1\r\n"
#define STATUS STATUS_TYPE GROUP_1 GROUP_2
#define MESSAGE "\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: s\r\n\r\nbody\r\n\r\n--b--\r\n"
#define WHOLE TOP TEXT STATUS MESSAGE

static enum dsn_state read_text(struct slice text, struct dsn *out, const char **why)
{
	size_t seen = 0, block, body;
	struct header *h = ARENA_NEW(&arena, struct header);
	struct fault f = { 0 };

	assert_true(header_end(text, &seen, &block, &body));
	assert_true(header_parse(&arena, slice_sub(text, 0, block), 100, h, &f));
	*why = "";
	return dsn_read(&arena, h, slice_sub(text, body, SIZE_MAX), 100, out, why);
}

static void reads_all_of_it(void **state)
{
	struct dsn d;
	const char *why;

	(void)state;
	assert_int_equal(read_text(S(TOP TEXT STATUS_TYPE
	    "Original-Envelope-Id: QQ\r\nReporting-MTA: dns; x.test\r\nArrival-Date: Sat, 21 Nov 2026 10:00:00 +0000\r\n\r\n\r\n"
	    "Original-Recipient: rfc822;o@y.test\r\nFinal-Recipient: RFC822 ; r@x.test \r\naction: Failed (for good)\r\n"
	    "Status: 5.1.1 (no\r\n such)\r\nRemote-MTA: dns; z.test\r\nDiagnostic-Code: smtp; 550 5.1.1\r\n\tno such user\r\n"
	    "Last-Attempt-Date: then\r\nX-Other: 1\r\nX-Other: 2\r\n\r\n"
	    "Final-Recipient: rfc822; q@x.test\r\nAction: delayed\r\nStatus: 4.4.1\r\nWill-Retry-Until: later\r\n\r\n" MESSAGE), &d, &why), DSN_READ);
	WANT_SLICE(d.envelope_id, S("QQ"));
	WANT_SLICE(d.reporting_mta.type, S("dns"));
	WANT_SLICE(d.reporting_mta.text, S("x.test"));
	WANT_SLICE(d.arrival, S("Sat, 21 Nov 2026 10:00:00 +0000"));
	assert_int_equal(d.n, 2);
	WANT_SLICE(d.recipients[0].original.text, S("o@y.test"));
	WANT_SLICE(d.recipients[0].final.type, S("RFC822"));
	WANT_SLICE(d.recipients[0].final.text, S("r@x.test"));
	assert_int_equal(d.recipients[0].action, DSN_FAILED);
	WANT_SLICE(d.recipients[0].status, S("5.1.1"));
	WANT_SLICE(d.recipients[0].remote_mta.text, S("z.test"));
	WANT_SLICE(d.recipients[0].diagnostic.text, S("550 5.1.1\tno such user"));
	WANT_SLICE(d.recipients[0].last_attempt, S("then"));
	assert_int_equal(d.recipients[1].action, DSN_DELAYED);
	assert_int_equal(d.recipients[1].original.text.n, 0);
	WANT_SLICE(d.recipients[1].retry_until, S("later"));
	WANT_SLICE(d.returned, S("Subject: s\r\n\r\nbody\r\n"));
	WANT_SLICE(d.body, S("body\r\n"));
	assert_int_equal(d.header.n, 1);
	assert_false(d.header_only || d.utf8);
}

static void third_parts(void **state)
{
	static const struct {
		const char *name, *part;
		enum dsn_state state;
		bool header_only, utf8;
		const char *body;
	} rows[] = {
		{ "a message", "Content-Type: message/rfc822\r\n\r\nA: b\r\n\r\nc\r\n", DSN_READ, false, false, "c\r\n" },
		{ "a message without a body", "Content-Type: message/rfc822\r\n\r\nA: b\r\n", DSN_READ, false, false, "" },
		{ "a header", "Content-Type: text/rfc822-headers\r\n\r\nA: b\r\n", DSN_READ, true, false, "" },
		{ "a header and an empty line", "Content-Type: text/rfc822-headers\r\n\r\nA: b\r\n\r\n", DSN_READ, true, false, "" },
		{ "a header whose CRLF is the delimiter's", "Content-Type: text/rfc822-headers\r\n\r\nA: b", DSN_READ, true, false, "" },
		{ "a header that is more", "Content-Type: text/rfc822-headers\r\n\r\nA: b\r\n\r\nc", DSN_BAD, true, false, "" },
		{ "a message in UTF-8", "Content-Type: message/global\r\n\r\nA: \xc3\xbc\r\n\r\nc", DSN_READ, false, true, "c" },
		{ "a header in UTF-8", "Content-Type: message/global-headers\r\n\r\nA: \xc3\xbc\r\n", DSN_READ, true, true, "" },
		{ "8bit", "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\nA: b\r\n\r\nc", DSN_READ, false, false, "c" },
		{ "base64", "Content-Type: message/global\r\nContent-Transfer-Encoding: base64\r\n\r\nQTog\r\n", DSN_BAD, false, false, "" },
		{ "no message", "Content-Type: text/plain\r\n\r\nA: b\r\n", DSN_BAD, false, false, "" },
		{ "no type", "\r\nA: b\r\n", DSN_BAD, false, false, "" },
		{ "no header in it", "Content-Type: message/rfc822\r\n\r\nthis is no field\r\n", DSN_BAD, false, false, "" },
		{ "nothing in it", "Content-Type: message/rfc822\r\n\r\n", DSN_READ, false, false, "" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct slice text = arena_printf(&arena, "%s\r\n--b\r\n%s\r\n--b--\r\n", TOP TEXT STATUS, rows[i].part);
		struct dsn d;
		const char *why;
		enum dsn_state got = read_text(text, &d, &why);

		if (got != rows[i].state)
			fail_msg("%s: %d, %s", rows[i].name, got, why);
		if (got == DSN_READ && (d.header_only != rows[i].header_only || d.utf8 != rows[i].utf8 || !slice_eq(d.body, slice_str(rows[i].body))))
			fail_msg("%s: header only %d, UTF-8 %d, body \"%.*s\"", rows[i].name, d.header_only, d.utf8, SLICE_FMT(d.body));
	}
}

static void refused(void **state)
{
	static const struct {
		const char *name, *text;
		enum dsn_state state;
		const char *why;
	} rows[] = {
		{ "as it should be", WHOLE, DSN_READ, "" },
		{ "plain text", "Subject: s\r\n\r\n", DSN_NONE, "" },
		{ "another multipart", "Content-Type: multipart/mixed; boundary=b\r\n\r\n" TEXT STATUS MESSAGE, DSN_NONE, "" },
		{ "another report", "Content-Type: multipart/report; report-type=disposition-notification; boundary=b\r\n\r\n" TEXT STATUS MESSAGE, DSN_NONE, "" },
		{ "report of no type", "Content-Type: multipart/report; boundary=b\r\n\r\n" TEXT STATUS MESSAGE, DSN_NONE, "" },
		{ "two types", "Content-Type: multipart/report; report-type=delivery-status; report-type=x; boundary=b\r\n\r\n" TEXT STATUS MESSAGE, DSN_NONE, "" },
		{ "two Content-Type fields", "Content-Type: text/plain\r\n" TOP TEXT STATUS MESSAGE, DSN_NONE, "" },
		{ "encoded as a whole", "Content-Transfer-Encoding: base64\r\n" TOP TEXT STATUS MESSAGE, DSN_BAD, "multipart is encoded" },
		{ "no boundary", "Content-Type: multipart/report; report-type=delivery-status\r\n\r\n" TEXT STATUS MESSAGE, DSN_BAD, "no boundary" },
		{ "boundary of two readings", "Content-Type: multipart/report; report-type=delivery-status; boundary=b; boundary*0=b\r\n\r\n" TEXT STATUS MESSAGE, DSN_BAD, "no boundary" },
		{ "two parts", TOP TEXT STATUS "\r\n--b--\r\n", DSN_BAD, "not three parts" },
		{ "four parts", TOP TEXT TEXT STATUS MESSAGE, DSN_BAD, "not three parts" },
		{ "wrong order", TOP STATUS "\r\n" TEXT MESSAGE, DSN_BAD, "second part is no delivery status" },
		{ "status encoded", TOP TEXT "--b\r\nContent-Type: message/delivery-status\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" GROUP_1 GROUP_2 MESSAGE, DSN_BAD, "second part is encoded" },
		{ "no recipient", TOP TEXT STATUS_TYPE GROUP_1 MESSAGE, DSN_BAD, "status part without a recipient" },
		{ "recipient only", TOP TEXT STATUS_TYPE GROUP_2 MESSAGE, DSN_BAD, "status part without a recipient" },
		{ "recipients only", TOP TEXT STATUS_TYPE GROUP_2 "\r\n" GROUP_2 MESSAGE, DSN_BAD, "no Reporting-MTA" },
		{ "no final recipient", TOP TEXT STATUS_TYPE GROUP_1 "Action: failed\r\nStatus: 5.1.1\r\n" MESSAGE, DSN_BAD, "no Final-Recipient" },
		{ "no action", TOP TEXT STATUS_TYPE GROUP_1 "Final-Recipient: rfc822; r@x.test\r\nStatus: 5.1.1\r\n" MESSAGE, DSN_BAD, "no Action that is known" },
		{ "unknown action", TOP TEXT STATUS_TYPE GROUP_1 "Final-Recipient: rfc822; r@x.test\r\nAction: lost\r\nStatus: 5.1.1\r\n" MESSAGE, DSN_BAD, "no Action that is known" },
		{ "two actions in one", TOP TEXT STATUS_TYPE GROUP_1 "Final-Recipient: rfc822; r@x.test\r\nAction: failed delivered\r\nStatus: 5.1.1\r\n" MESSAGE, DSN_BAD, "no Action that is known" },
		{ "two actions", TOP TEXT STATUS "Action: delivered\r\n" MESSAGE, DSN_BAD, "field of the status part twice" },
		{ "two recipients in a group", TOP TEXT STATUS "Final-Recipient: rfc822; q@x.test\r\n" MESSAGE, DSN_BAD, "field of the status part twice" },
		{ "no status", TOP TEXT STATUS_TYPE GROUP_1 "Final-Recipient: rfc822; r@x.test\r\nAction: failed\r\n" MESSAGE, DSN_BAD, "no Status" },
		{ "status of another class", TOP TEXT STATUS_TYPE GROUP_1 "Final-Recipient: rfc822; r@x.test\r\nAction: failed\r\nStatus: 3.1.1\r\n" MESSAGE, DSN_BAD, "no Status" },
		{ "status too long", TOP TEXT STATUS_TYPE GROUP_1 "Final-Recipient: rfc822; r@x.test\r\nAction: failed\r\nStatus: 5.1.1000\r\n" MESSAGE, DSN_BAD, "no Status" },
		{ "no address type", TOP TEXT STATUS_TYPE GROUP_1 "Final-Recipient: r@x.test\r\nAction: failed\r\nStatus: 5.1.1\r\n" MESSAGE, DSN_BAD, "field of the status part without type" },
		{ "no field", TOP TEXT STATUS_TYPE "Reporting-MTA\r\n\r\n" GROUP_2 MESSAGE, DSN_BAD, "line of the status part that is no field" },
		{ "bare LF", TOP TEXT STATUS_TYPE GROUP_1 "Final-Recipient: rfc822; r@x.test\nAction: failed\r\nStatus: 5.1.1\r\n" MESSAGE, DSN_BAD, "line end in the status part" },
		{ "never closed", TOP TEXT STATUS "\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nA: b\r\n", DSN_BAD, "not three parts" },
		{ "part with a broken header", TOP "--b\r\nno field\r\n\r\n" STATUS MESSAGE, DSN_BAD, "part with a broken header" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct dsn d;
		const char *why;
		enum dsn_state got = read_text(slice_str(rows[i].text), &d, &why);

		if (got != rows[i].state || strcmp(why, rows[i].why) != 0)
			fail_msg("%s: %d, %s", rows[i].name, got, why);
	}
}

static void limits(void **state)
{
	struct slice text = S(TOP TEXT STATUS_TYPE GROUP_1), recipient = S(GROUP_2 "\r\n");
	struct dsn d;
	const char *why;

	(void)state;
	for (unsigned more = 0; more < 2; more++) {
		struct buf b;

		buf_init(&b, 1 << 24);
		buf_slice(&b, text);
		for (size_t k = 0; k < LIMIT_RCPT + more; k++)
			buf_slice(&b, recipient);
		buf_slice(&b, S(MESSAGE));
		assert_int_equal(read_text(buf_get(&b), &d, &why), more ? DSN_BAD : DSN_READ);
		assert_string_equal(why, more ? "status part too big" : "");
		buf_clear(&b);
		buf_slice(&b, text);
		buf_slice(&b, S(GROUP_2));
		for (size_t k = 3; k < LIMIT_REPORT_FIELDS + more; k++)
			buf_slice(&b, S("X: y\r\n"));
		buf_slice(&b, S(MESSAGE));
		assert_int_equal(read_text(buf_get(&b), &d, &why), more ? DSN_BAD : DSN_READ);
		buf_release(&b);
	}
}

static void addresses(void **state)
{
	static const struct {
		const char *type, *text, *path;
	} rows[] = {
		{ "rfc822", "a@b.test", "<a@b.test>" },
		{ "RFC822", "<a@b.test>", "<a@b.test>" },
		{ "utf-8", "\xc3\xbc@b.test", "<\xc3\xbc@b.test>" },
		{ "utf-8", "\\x{FC}@b.test", "<\xc3\xbc@b.test>" },
		{ "utf-8", "\\x{20AC}\\x{1F600}@b.test", "<\xe2\x82\xac\xf0\x9f\x98\x80@b.test>" },
		{ "utf-8", "\\x{2B}@b.test", "<+@b.test>" },
		{ "utf-8", "\\x{D800}@b.test", "" },
		{ "utf-8", "\\x{110000}@b.test", "" },
		{ "utf-8", "\\x{FC@b.test", "" },
		{ "utf-8", "\\x{}@b.test", "" },
		{ "rfc822", "\\x{FC}@b.test", "" },
		{ "x400", "a@b.test", "" },
		{ "rfc822", "a b@b.test", "" },
		{ "rfc822", "a@b.test> <c@d.test", "" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		WANT_SLICE(dsn_path(&arena, (struct dsn_typed){ slice_str(rows[i].type), slice_str(rows[i].text) }), slice_str(rows[i].path));
	WANT_SLICE(dsn_address(S("<a@b.test>")).text, S("a@b.test"));
	WANT_SLICE(dsn_address(S("<a@b.test>")).type, S("rfc822"));
	WANT_SLICE(dsn_address(S("<\xc3\xbc@b.test>")).type, S("utf-8"));
}

/* ---- written ---- */

static struct dsn_recipient one_recipient(void)
{
	return (struct dsn_recipient){ .final = { S("rfc822"), S("bob@c.test") },
		.action = DSN_FAILED,
		.status = S("5.1.1"),
		.remote_mta = { S("dns"), S("mx.c.test") },
		.diagnostic = { S("smtp"), S("550 5.1.1 no such user") } };
}

static struct dsn_report report(const struct dsn_recipient *to, const struct slice *runs, size_t n, size_t header_octets)
{
	return (struct dsn_report){ .from = S("Mail System <mailer-daemon@c.test>"),
		.to = S("<s@a.test>"),
		.subject = S("Undelivered"),
		.message_id = S("<1@c.test>"),
		.date = 1795255200,
		.boundary = S("=_b"),
		.reporting_mta = { S("dns"), S("mx.hopseal.test") },
		.recipients = to,
		.n = 1,
		.runs = runs,
		.run_count = n,
		.header_octets = header_octets };
}

static struct slice whole(const struct dsn_message *m)
{
	struct buf b;
	struct slice out;

	buf_init(&b, 1 << 24);
	buf_slice(&b, m->header);
	buf_str(&b, "\r\n");
	for (size_t k = 0; k < m->runs; k++)
		buf_slice(&b, m->body[k]);
	out = arena_copy(&arena, buf_get(&b));
	buf_release(&b);
	return out;
}

static void written_to_the_octet(void **state)
{
	struct slice runs[2] = { S("Subject: s\r\n\r\n"), S("body\r\n") };
	struct dsn_recipient to = one_recipient();
	struct dsn_report r = report(&to, runs, 2, 12);
	struct dsn_message m;

	(void)state;
	assert_int_equal(dsn_write(&arena, &r, &m), DSN_WRITTEN);
	assert_false(m.eight_bit || m.utf8);
	WANT_SLICE(whole(&m), S("From: Mail System <mailer-daemon@c.test>\r\nTo: <s@a.test>\r\nSubject: Undelivered\r\n"
	    "Date: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@c.test>\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
	    "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"=_b\"\r\n\r\n"
	    "--=_b\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
	    "This is the mail system of mx.hopseal.test.\r\n\r\nYour message could not be delivered to:\r\n\r\n"
	    "    bob@c.test\r\n        550 5.1.1 no such user\r\n\r\nThe message is returned below.\r\n\r\n"
	    "--=_b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.hopseal.test\r\n\r\n"
	    "Final-Recipient: rfc822; bob@c.test\r\nAction: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; mx.c.test\r\n"
	    "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n\r\n"
	    "--=_b\r\nContent-Type: message/rfc822\r\n\r\nSubject: s\r\n\r\nbody\r\n\r\n--=_b--\r\n"));
}

static void goes_round(void **state)
{
	static const struct {
		const char *name, *header, *body, *address, *diagnostic;
		bool header_only, eight_bit, utf8;
		const char *type;
	} rows[] = {
		{ "plain", "A: b\r\n", "c\r\n", "r@c.test", "550 no", false, false, false, "message/rfc822" },
		{ "header only", "A: b\r\n", NULL, "r@c.test", "550 no", true, false, false, "text/rfc822-headers" },
		{ "8-bit body", "A: b\r\n", "\xfc\r\n", "r@c.test", "550 no", false, true, false, "message/rfc822" },
		{ "Latin-1 header", "A: \xfc\r\n", "c\r\n", "r@c.test", "550 no", false, true, false, "message/rfc822" },
		{ "UTF-8 header", "A: \xc3\xbc\r\n", "c\r\n", "r@c.test", "550 no", false, true, true, "message/global" },
		{ "UTF-8 header only", "A: \xc3\xbc\r\n", NULL, "r@c.test", "550 no", true, true, true, "message/global-headers" },
		{ "UTF-8 address", "A: b\r\n", "c", "\xc3\xbc@c.test", "550 n\xc3\xbc", false, true, true, "message/global-delivery-status" },
		{ "UTF-8 diagnostic, ASCII address", "A: b\r\n", "c", "r@c.test", "550 n?" "?", false, false, false, "message/delivery-status" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct slice runs[3] = { slice_str(rows[i].header), S("\r\n"), slice_str(rows[i].body) };
		struct dsn_recipient to = one_recipient();
		struct dsn_report r = report(&to, runs, rows[i].body ? 3 : 1, runs[0].n);
		struct dsn_message m;
		struct dsn d;
		struct slice text;
		const char *why;

		to.final = dsn_address(arena_printf(&arena, "<%s>", rows[i].address));
		to.diagnostic.text = strchr(rows[i].diagnostic, '?') ? S("550 n\xc3\xbc") : slice_str(rows[i].diagnostic);
		r.header_only = rows[i].header_only;
		assert_int_equal(dsn_write(&arena, &r, &m), DSN_WRITTEN);
		if (m.eight_bit != rows[i].eight_bit || m.utf8 != rows[i].utf8)
			fail_msg("%s: 8-bit %d, UTF-8 %d", rows[i].name, m.eight_bit, m.utf8);
		text = whole(&m);
		if (!memmem(text.at, text.n, rows[i].type, strlen(rows[i].type)))
			fail_msg("%s: no %s", rows[i].name, rows[i].type);
		if (read_text(text, &d, &why) != DSN_READ)
			fail_msg("%s: %s", rows[i].name, why);
		if (!slice_eq(d.recipients[0].final.text, slice_str(rows[i].address)) || !slice_eq(d.recipients[0].diagnostic.text, slice_str(rows[i].diagnostic)) ||
		    !slice_eq(d.body, slice_str(rows[i].body)) || !slice_eq(d.header.raw, slice_str(rows[i].header)) || d.header_only != rows[i].header_only)
			fail_msg("%s: \"%.*s\"", rows[i].name, SLICE_FMT(text));
	}
}

static void a_boundary_that_is_taken(void **state)
{
	struct dsn_recipient to = one_recipient();
	struct slice text = S("A: b\r\n\r\nx\r\n--=_b\r\ny\r\n");
	struct dsn_message m;

	(void)state;
	for (size_t cut = 0; cut <= text.n; cut++)
		for (size_t again = cut; again <= text.n; again++) { /* wherever the runs end */
			struct slice runs[3] = { slice_sub(text, 0, cut), slice_sub(text, cut, again - cut), slice_sub(text, again, SIZE_MAX) };
			struct dsn_report r = report(&to, runs, 3, 6);

			assert_int_equal(dsn_write(&arena, &r, &m), DSN_WRITE_BOUNDARY);
			r.boundary = S("=_b1");
			assert_int_equal(dsn_write(&arena, &r, &m), DSN_WRITTEN);
			arena_clear(&arena);
		}
}

static void no_line_is_broken(void **state)
{
	struct slice runs[1] = { S("A: b\r\n") };
	struct dsn_recipient to = one_recipient();
	struct dsn_report r = report(&to, runs, 1, 6);
	struct dsn_message m;
	struct dsn d;
	const char *why;
	char long_text[2000];

	(void)state;
	memset(long_text, 'x', sizeof(long_text));
	to.diagnostic.text = S("550 no\r\n--=_b--\r\nFinal-Recipient: rfc822; evil@c.test\tand \x7f\0 more");
	assert_int_equal(dsn_write(&arena, &r, &m), DSN_WRITTEN);
	assert_int_equal(read_text(whole(&m), &d, &why), DSN_READ);
	WANT_SLICE(d.recipients[0].diagnostic.text, S("550 no?" "?--=_b--?" "?Final-Recipient: rfc822; evil@c.test?and ?" "? more"));
	to.diagnostic.text = slice_of(long_text, sizeof(long_text));
	assert_int_equal(dsn_write(&arena, &r, &m), DSN_WRITTEN);
	assert_int_equal(read_text(whole(&m), &d, &why), DSN_READ);
	WANT_SLICE(d.recipients[0].diagnostic.text, slice_of(long_text, LIMIT_REPORT_VALUE));
	to.final.text = slice_of(long_text, LIMIT_REPORT_VALUE + 1);
	assert_int_equal(dsn_write(&arena, &r, &m), DSN_WRITE_BAD);
	to.final.text = S("a\r\nb");
	assert_int_equal(dsn_write(&arena, &r, &m), DSN_WRITE_BAD);
	to = one_recipient();
	to.status = S("5.1");
	assert_int_equal(dsn_write(&arena, &r, &m), DSN_WRITE_BAD);
	to = one_recipient();
	r.to = S("<>");
	assert_int_equal(dsn_write(&arena, &r, &m), DSN_WRITE_BAD);
	r.to = S("<s@a.test>");
	r.subject = S("a\r\nBcc: evil@c.test");
	assert_int_equal(dsn_write(&arena, &r, &m), DSN_WRITE_BAD);
	r.subject = SLICE_NONE;
	assert_int_equal(dsn_write(&arena, &r, &m), DSN_WRITTEN);
	r.boundary = S("a\"b");
	assert_int_equal(dsn_write(&arena, &r, &m), DSN_WRITE_BAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(reads_all_of_it, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(third_parts, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(refused, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(limits, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(addresses, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(written_to_the_octet, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(goes_round, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(a_boundary_that_is_taken, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(no_line_is_broken, fresh_arena, drop_arena),
	};

	return RUN_TESTS(tests);
}
