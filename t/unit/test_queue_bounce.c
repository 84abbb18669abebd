/*
 * Reports on mail that was not delivered, or was delayed, or delivered where that was asked for (RFC 3461 to 3464, 6522, 6533). Each one
 * made here is read back. With --tell it shows them to queue_bounce_read.py.
 */
#include "arena.h"

#include "base/b64.h"
#include "base/limits.h"
#include "mail/domain.h"
#include "mail/from.h"
#include "queue/bounce.h"
#include "relay/plan.h"

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

enum { NOW = 1795255200 };

static bool telling;

/* ---- memory that fails ---- */

static struct {
	bool armed;
	unsigned seen, at; /* allocations so far; the one that fails, counted from 0 */
} ration;

static bool refused(void)
{
	return ration.armed && ration.seen++ == ration.at;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t each);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t each);
void *__wrap_realloc(void *p, size_t n);

void *__wrap_malloc(size_t n)
{
	return refused() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t count, size_t each)
{
	return refused() ? NULL : __real_calloc(count, each);
}

void *__wrap_realloc(void *p, size_t n)
{
	return refused() ? NULL : __real_realloc(p, n);
}

/* ---- a message, and what became of it ---- */

#define HEADER "From: Ann <s@a.test>\r\nTo: r@c.test\r\nSubject: s\r\n"
#define BODY "body\r\n"

static struct conf_key keys[] = {
	{ .domain = "a.test", .selector = "a", .active = true, .type = KEY_RSA },
	{ .domain = "hopseal.test", .selector = "h", .active = true, .type = KEY_RSA },
	{ .domain = "old.test", .selector = "o", .active = false, .type = KEY_RSA },
	{ .domain = "b.test", .selector = "b", .active = true, .type = KEY_ED25519 },
};
static const struct conf conf = { .hostname = "mx.hopseal.test", .keys = keys, .key_count = ROWS(keys) };
static const struct conf keyless = { .hostname = "mx.keyless.test", .keys = keys, .key_count = ROWS(keys) };

struct world {
	struct spool_rcpt rcpts[4];
	struct spool_envelope envelope;
	struct bounce_rcpt ends[4];
	size_t n;
	struct bounce_terms terms;
	/* what came of it */
	enum bounce_made made;
	struct bounce_report report;
	const char *why;
	struct slice text;
	struct header header;
	struct dsn dsn;
};

/* One recipient that a next hop has refused, reported to a client that is known. */
static struct world *refusal(void)
{
	struct world *w = ARENA_NEW(&arena, struct world);

	assert_non_null(w);
	w->rcpts[0] = (struct spool_rcpt){ .path = S("<r@c.test>") };
	w->envelope = (struct spool_envelope){ .id = S("1a2b"),
		.listener = S("smarthost"),
		.arrived_s = NOW - 3600,
		.mail_from = S("<s@a.test>"),
		.report_to = S("<s@a.test>"),
		.known_client = true,
		.rcpts = w->rcpts,
		.rcpt_count = 1 };
	w->ends[0] = (struct bounce_rcpt){ .rcpt = &w->rcpts[0],
		.action = DSN_FAILED,
		.code = 550,
		.enhanced = "5.1.1",
		.text = S("5.1.1 no such user"),
		.next_hop = "mx.c.test:25",
		.last_attempt_s = NOW - 1 };
	w->n = 1;
	w->terms = (struct bounce_terms){ .conf = &conf,
		.envelope = &w->envelope,
		.header = S(HEADER),
		.body = S(BODY),
		.now_s = NOW,
		.id = S("9z8y"),
		.boundary_seed = S("anything") };
	return w;
}

/* A further one. */
static struct bounce_rcpt *also(struct world *w, const char *path, enum dsn_action action, const char *notify)
{
	struct spool_rcpt *r = &w->rcpts[w->n];

	*r = (struct spool_rcpt){ .path = slice_str(path), .notify = slice_str(notify) };
	w->ends[w->n] = (struct bounce_rcpt){ .rcpt = r, .action = action };
	w->envelope.rcpt_count++;
	return &w->ends[w->n++];
}

static struct slice whole(const struct bounce_report *r)
{
	struct buf b;
	struct slice out;

	buf_init(&b, 1 << 25);
	buf_slice(&b, r->header);
	buf_str(&b, "\r\n");
	for (size_t k = 0; k < r->runs; k++)
		buf_slice(&b, r->body[k]);
	assert_false(buf_failed(&b));
	out = arena_copy(&arena, buf_get(&b));
	buf_release(&b);
	return out;
}

/* What holds of each message we send: lines of CRLF, none above 998 octets where all are ours, no control octets, 7bit unless it says so. */
static void want_well_formed(const struct world *w)
{
	struct slice rest = w->text, line;
	bool dotted = false, eight_bit = false;

	while (rest.n) {
		assert_true(slice_cut(&rest, '\n', &line));
		assert_true(line.n && line.at[line.n - 1] == '\r');
		line.n--;
		dotted |= slice_starts(line, S("."));
		assert_true(line.n <= 998);
		for (size_t i = 0; i < line.n; i++) {
			assert_true(line.at[i] >= ' ' || line.at[i] == '\t');
			eight_bit |= line.at[i] >= 0x80;
		}
	}
	assert_true(w->report.envelope.dots || !dotted);
	assert_int_equal(eight_bit, w->report.envelope.body_8bit);
}

static void read_back(struct world *w)
{
	size_t seen = 0, block, body;
	struct fault f = { 0 };
	const char *why = "";

	w->text = whole(&w->report);
	want_well_formed(w);
	assert_true(header_end(w->text, &seen, &block, &body));
	assert_true(header_parse(&arena, slice_sub(w->text, 0, block), 100, &w->header, &f));
	if (dsn_read(&arena, &w->header, slice_sub(w->text, body, SIZE_MAX), 10000, &w->dsn, &why) != DSN_READ)
		fail_msg("not read back: %s\n%.*s", why, SLICE_FMT(w->text));
	assert_int_equal(w->dsn.n, w->report.rcpts);
}

static void tell(const char *what, const struct world *w)
{
	if (!telling || !what)
		return;
	printf("report\t%s\t%zu\t%s\t", what, w->report.rcpts, w->dsn.header_only ? "header" : "whole");
	for (size_t i = 0; i < w->text.n; i++)
		printf("%02x", w->text.at[i]);
	printf("\n");
}

static void write_it(struct world *w)
{
	w->why = NULL;
	w->made = bounce_write(&arena, &w->terms, w->ends, w->n, &w->report, &w->why);
}

/* what NULL: not shown */
static void report(struct world *w, const char *what)
{
	write_it(w);
	if (w->made != BOUNCE_MADE || w->why)
		fail_msg("%s: %d, %s", what ? what : "-", (int)w->made, w->why ? w->why : "-");
	read_back(w);
	tell(what, w);
}

static struct slice field(const struct world *w, struct slice name)
{
	size_t i = header_find(&w->header, name, 0);

	assert_int_equal(header_find(&w->header, name, i + 1), w->header.n);
	return i < w->header.n ? slice_trim(w->header.fields[i].value) : SLICE_NONE;
}

static bool holds(struct slice text, struct slice what)
{
	return memmem(text.at, text.n, what.at, what.n) != NULL;
}

/* ---- rows ---- */

static void who_wants_to_hear(void **state)
{
	static const struct {
		const char *name, *notify;
		bool failed, delayed, delivered, relayed;
	} rows[] = {
		{ "not said: failures and delays", NULL, true, true, false, false },
		{ "never", "NEVER", false, false, false, false },
		{ "never in any case", "never", false, false, false, false },
		{ "never beside another is never", "NEVER,FAILURE", false, false, false, false },
		{ "failure", "FAILURE", true, false, false, false },
		{ "delay", "Delay", false, true, false, false },
		{ "success", "SUCCESS", false, false, true, true },
		{ "all", "SUCCESS,FAILURE,DELAY", true, true, true, true },
		{ "a word within a word", "FAILURES,XDELAY", false, false, false, false },
		{ "an empty list", ",", false, false, false, false },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct spool_rcpt r = { .path = S("<r@c.test>"), .notify = slice_str(rows[i].notify) };

		if (bounce_wanted(&r, DSN_FAILED) != rows[i].failed || bounce_wanted(&r, DSN_DELAYED) != rows[i].delayed ||
		    bounce_wanted(&r, DSN_DELIVERED) != rows[i].delivered || bounce_wanted(&r, DSN_RELAYED) != rows[i].relayed)
			fail_msg("%s", rows[i].name);
	}
}

static void to_the_octet(void **state)
{
	struct world *w = refusal();

	(void)state;
	report(w, "refused");
	assert_true(slice_starts(w->text, S("From: Mail Delivery System <postmaster@hopseal.test>\r\nTo: <s@a.test>\r\n"
	    "Subject: Undelivered mail returned to sender\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <9z8y@mx.hopseal.test>\r\n"
	    "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"=_")));
	assert_true(holds(w->text, S("This is the mail system of mx.hopseal.test.\r\n\r\nYour message could not be delivered to:\r\n\r\n"
	    "    r@c.test\r\n        550 5.1.1 no such user\r\n\r\nThe message is returned below.\r\n")));
	assert_true(holds(w->text, S("Reporting-MTA: dns; mx.hopseal.test\r\nArrival-Date: Sat, 21 Nov 2026 09:00:00 +0000\r\n\r\n"
	    "Final-Recipient: rfc822; r@c.test\r\nAction: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; mx.c.test\r\n"
	    "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\nLast-Attempt-Date: Sat, 21 Nov 2026 09:59:59 +0000\r\n")));
	assert_true(holds(w->text, S("Content-Type: message/rfc822\r\n\r\n" HEADER "\r\n" BODY)));
}

static void its_envelope(void **state)
{
	struct world *w = refusal();
	const struct spool_envelope *e = &w->report.envelope;

	(void)state;
	w->envelope.requiretls = true;
	report(w, "its envelope");
	WANT_SLICE(e->id, S("9z8y"));
	WANT_SLICE(e->listener, S("smarthost"));
	WANT_SLICE(e->mail_from, S("<>"));
	WANT_SLICE(e->report_why, S("null_path"));
	assert_int_equal(e->arrived_s, NOW);
	assert_int_equal(e->rcpt_count, 1);
	WANT_SLICE(e->rcpts[0].path, S("<s@a.test>"));
	WANT_SLICE(e->rcpts[0].notify, S("NEVER"));
	assert_int_equal(e->rcpts[0].group, 0);
	assert_int_equal(e->wanted, 1);
	assert_true(e->report && e->known_client && e->judged && e->requiretls);
	assert_false(e->arranged || e->body_8bit || e->smtputf8 || e->dots);
	assert_int_equal(e->report_to.n + e->ret.n + e->envid.n + e->client.n + e->authres.n + e->body_sha256.n, 0);
	assert_int_equal(e->chain_state, DKIM2_NONE);
	assert_int_equal(e->arc_state, ARC_NONE);
	WANT_SLICE(field(w, S("To")), S("<s@a.test>"));
	WANT_SLICE(field(w, S("Auto-Submitted")), S("auto-replied"));
	assert_int_equal(field(w, S("Precedence")).n, 0);
}

static void what_happened(void **state)
{
	static const struct {
		const char *name;
		enum dsn_action action;
		short code;
		const char *enhanced, *text, *next_hop;
		const char *status, *diagnostic, *remote, *people;
	} rows[] = {
		{ "a code of its own", DSN_FAILED, 550, "5.1.1", "5.1.1 no", "mx.c.test", "5.1.1", "550 5.1.1 no", "mx.c.test", "550 5.1.1 no" },
		{ "by the reply", DSN_FAILED, 554, "", "no", "mx.c.test", "5.0.0", "554 no", "mx.c.test", "554 no" },
		{ "put off until it was too old", DSN_FAILED, 452, "4.2.2", "4.2.2 full", "mx.c.test", "4.2.2", "452 4.2.2 full", "mx.c.test", "452 4.2.2 full" },
		{ "likewise by the reply", DSN_FAILED, 421, NULL, "busy", "mx.c.test", "4.0.0", "421 busy", "mx.c.test", "421 busy" },
		{ "no words", DSN_FAILED, 550, "", "", "mx.c.test", "5.0.0", "550", "mx.c.test", "550" },
		{ "success is no failure", DSN_FAILED, 550, "2.1.5", "2.1.5 no", "mx.c.test", "5.0.0", "550 2.1.5 no", "mx.c.test", "550 2.1.5 no" },
		{ "nor is what is no code", DSN_FAILED, 550, "5.1", "no", "mx.c.test", "5.0.0", "550 no", "mx.c.test", "550 no" },
		{ "ours", DSN_FAILED, 0, "5.4.4", "no route", NULL, "5.4.4", "", "", "no route" },
		{ "ours about a next hop", DSN_FAILED, 0, "4.4.1", "next hop not reachable", "mx.c.test", "4.4.1", "", "", "next hop not reachable" },
		{ "ours without a word", DSN_FAILED, 0, "", "", NULL, "5.0.0", "", "", "5.0.0" },
		{ "delayed", DSN_DELAYED, 451, "4.7.1", "4.7.1 later", "mx.c.test", "4.7.1", "451 4.7.1 later", "mx.c.test", "451 4.7.1 later" },
		{ "what is delayed has not failed", DSN_DELAYED, 451, "5.7.1", "5.7.1 later", "mx.c.test", "4.0.0", "451 5.7.1 later", "mx.c.test", "451 5.7.1 later" },
		{ "delayed, nobody reached", DSN_DELAYED, 0, "", "", NULL, "4.0.0", "", "", "4.0.0" },
		{ "passed on", DSN_RELAYED, 250, "2.0.0", "2.0.0 queued", "mx.c.test", "2.0.0", "250 2.0.0 queued", "mx.c.test", "250 2.0.0 queued" },
		{ "delivered", DSN_DELIVERED, 250, "2.1.5", "2.1.5 ok", "lmtp:127.0.0.1:24", "2.1.5", "250 2.1.5 ok", "[127.0.0.1]", "250 2.1.5 ok" },
		{ "delivered, no code", DSN_DELIVERED, 250, "", "ok", "mx.c.test", "2.0.0", "250 ok", "mx.c.test", "250 ok" },
		{ "lines of an answer", DSN_FAILED, 550, "5.7.1", "5.7.1 a\n5.7.1 b\r\nc", "mx.c.test", "5.7.1", "550 5.7.1 a 5.7.1 b c", "mx.c.test", "550 5.7.1 a 5.7.1 b c" },
		{ "an address", DSN_FAILED, 550, "", "no", "192.0.2.1:25", "5.0.0", "550 no", "[192.0.2.1]", "550 no" },
		{ "an address alone", DSN_FAILED, 550, "", "no", "192.0.2.1", "5.0.0", "550 no", "[192.0.2.1]", "550 no" },
		{ "an address of the other kind", DSN_FAILED, 550, "", "no", "[2001:db8::1]:25", "5.0.0", "550 no", "[IPv6:2001:db8::1]", "550 no" },
		{ "that alone", DSN_FAILED, 550, "", "no", "2001:db8::1", "5.0.0", "550 no", "[IPv6:2001:db8::1]", "550 no" },
		{ "LMTP of that kind", DSN_FAILED, 550, "", "no", "LMTP:[::1]:24", "5.0.0", "550 no", "[IPv6:::1]", "550 no" },
		{ "a literal", DSN_FAILED, 550, "", "no", "[IPv6:::1]:24", "5.0.0", "550 no", "[IPv6:::1]", "550 no" },
		{ "a name that is none", DSN_FAILED, 550, "", "no", ":25", "5.0.0", "550 no", "", "550 no" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct world *w = refusal();
		const struct dsn_recipient *to;
		struct slice people = arena_printf(&arena, "\r\n    r@c.test\r\n        %s\r\n", rows[i].people);

		w->rcpts[0].notify = S("SUCCESS,FAILURE,DELAY");
		w->ends[0] = (struct bounce_rcpt){ &w->rcpts[0], rows[i].action, rows[i].code, rows[i].enhanced, slice_str(rows[i].text), rows[i].next_hop, 0 };
		report(w, rows[i].name);
		to = &w->dsn.recipients[0];
		if (to->action != rows[i].action || !slice_eq(to->status, slice_str(rows[i].status)) || !slice_eq(to->diagnostic.text, slice_str(rows[i].diagnostic)) ||
		    !slice_eq(to->diagnostic.type, *rows[i].diagnostic ? S("smtp") : SLICE_NONE) || !slice_eq(to->remote_mta.text, slice_str(rows[i].remote)) ||
		    !slice_eq(to->remote_mta.type, *rows[i].remote ? S("dns") : SLICE_NONE) || to->last_attempt.n || !holds(w->text, people))
			fail_msg("%s: %.*s", rows[i].name, SLICE_FMT(w->text));
	}
}

static void dates_of_a_delay(void **state)
{
	struct world *w = refusal();

	(void)state;
	w->terms.retry_until_s = NOW + 86400;
	report(w, "a failure is not retried");
	assert_int_equal(w->dsn.recipients[0].retry_until.n, 0);
	w->ends[0].action = DSN_DELAYED;
	report(w, "delayed with dates");
	WANT_SLICE(w->dsn.recipients[0].retry_until, S("Sun, 22 Nov 2026 10:00:00 +0000"));
	WANT_SLICE(w->dsn.recipients[0].last_attempt, S("Sat, 21 Nov 2026 09:59:59 +0000"));
	WANT_SLICE(w->dsn.arrival, S("Sat, 21 Nov 2026 09:00:00 +0000"));
	w->envelope.arrived_s = w->terms.retry_until_s = w->ends[0].last_attempt_s = 0;
	report(w, "delayed without dates");
	assert_int_equal(w->dsn.recipients[0].retry_until.n + w->dsn.recipients[0].last_attempt.n + w->dsn.arrival.n, 0);
}

static void of_several_those_that_are_wanted(void **state)
{
	struct world *w = refusal();

	(void)state;
	also(w, "<never@c.test>", DSN_FAILED, "NEVER");
	also(w, "<late@c.test>", DSN_DELAYED, NULL);
	also(w, "<done@c.test>", DSN_RELAYED, NULL);
	report(w, "a failure and a delay");
	assert_int_equal(w->dsn.n, 2);
	WANT_SLICE(w->dsn.recipients[0].final.text, S("r@c.test"));
	WANT_SLICE(w->dsn.recipients[1].final.text, S("late@c.test"));
	WANT_SLICE(field(w, S("Subject")), S("Undelivered mail returned to sender"));
	assert_false(w->dsn.header_only);
	w->rcpts[0].notify = S("DELAY");
	report(w, "a delay");
	assert_int_equal(w->dsn.n, 1);
	WANT_SLICE(field(w, S("Subject")), S("Mail not delivered yet, still being tried"));
	assert_true(w->dsn.header_only);
	w->rcpts[2].notify = S("FAILURE");
	w->rcpts[3].notify = S("SUCCESS");
	report(w, "passed on");
	WANT_SLICE(field(w, S("Subject")), S("Mail passed on"));
	w->ends[3].action = DSN_DELIVERED;
	report(w, "delivered");
	WANT_SLICE(field(w, S("Subject")), S("Mail delivered"));
	w->rcpts[3].notify = S("NEVER");
	w->report.rcpts = 77;
	write_it(w);
	assert_int_equal(w->made, BOUNCE_NOT_WANTED);
	assert_int_equal(w->report.rcpts, 77);
	assert_null(w->why);
}

static void what_is_returned(void **state)
{
	static const struct {
		const char *name, *ret;
		enum dsn_action action;
		size_t octets;
		bool eight_bit, said_8bit, requiretls;
		bool whole;
		const char *enhanced;
	} rows[] = {
		{ "a small message", "", DSN_FAILED, 100, .whole = true },
		{ "one of just that size", "", DSN_FAILED, LIMIT_REPORT_RETURNED - (sizeof(HEADER) - 1), .whole = true },
		{ "one above it", "", DSN_FAILED, LIMIT_REPORT_RETURNED - (sizeof(HEADER) - 1) + 1, .whole = false },
		{ "or far above it", "", DSN_FAILED, LIMIT_REPORT_RETURNED + 1, .whole = false },
		{ "that is wanted", "FULL", DSN_FAILED, LIMIT_REPORT_RETURNED + 1, .whole = true },
		{ "in any case", "full", DSN_FAILED, LIMIT_REPORT_RETURNED + 1, .whole = true },
		{ "header wanted", "HDRS", DSN_FAILED, 100, .whole = false },
		{ "in any case", "hdrs", DSN_FAILED, 100, .whole = false },
		{ "a delay", "", DSN_DELAYED, 100, .whole = false },
		{ "a delay, whatever is wanted", "FULL", DSN_DELAYED, 100, .whole = false },
		{ "a success likewise", "FULL", DSN_RELAYED, 100, .whole = false },
		{ "8-bit where nobody said so", "", DSN_FAILED, 100, .eight_bit = true },
		{ "8-bit where the sender did", "", DSN_FAILED, 100, .eight_bit = true, .said_8bit = true, .whole = true },
		{ "8-bit that is wanted", "FULL", DSN_FAILED, 100, .eight_bit = true, .whole = true },
		{ "8-bit that a next hop does not take", "", DSN_FAILED, 100, .eight_bit = true, .said_8bit = true, .enhanced = "5.6.3" },
		{ "what is too big for one", "", DSN_FAILED, 100, .enhanced = "5.3.4" },
		{ "that is wanted", "FULL", DSN_FAILED, 100, .whole = true, .enhanced = "5.3.4" },
		{ "what needs TLS is not repeated", "FULL", DSN_FAILED, 100, .requiretls = true },
		{ "nor unasked", "", DSN_FAILED, 100, .requiretls = true },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct world *w = refusal();
		unsigned char *body = arena_take(&arena, rows[i].octets);

		memset(body, 'x', rows[i].octets);
		for (size_t k = 70; k < rows[i].octets; k += 72)
			memcpy(body + k - 2, "\r\n", 2);
		memcpy(body + rows[i].octets - 2, "\r\n", 2);
		if (rows[i].eight_bit)
			body[0] = 0xfc;
		w->rcpts[0].notify = S("SUCCESS,FAILURE,DELAY");
		w->ends[0].action = rows[i].action;
		if (rows[i].enhanced)
			w->ends[0].enhanced = rows[i].enhanced;
		w->terms.body = slice_of(body, rows[i].octets);
		w->envelope.ret = slice_str(rows[i].ret);
		w->envelope.body_8bit = rows[i].said_8bit;
		w->envelope.requiretls = rows[i].requiretls;
		report(w, rows[i].name);
		if (w->dsn.header_only == rows[i].whole || w->report.envelope.requiretls != rows[i].requiretls || w->report.envelope.smtputf8)
			fail_msg("%s: header only %d", rows[i].name, w->dsn.header_only);
		WANT_SLICE(w->dsn.header.raw, S(HEADER));
		WANT_SLICE(w->dsn.body, rows[i].whole ? w->terms.body : SLICE_NONE);
	}
}

static void names_of_before(void **state)
{
	static const struct {
		const char *name, *orcpt, *type, *text;
	} rows[] = {
		{ "none", "", "", "" },
		{ "plain", "rfc822;o@x.test", "rfc822", "o@x.test" },
		{ "encoded", "rfc822;o+2Btag+3Dx@x.test", "rfc822", "o+tag=x@x.test" },
		{ "another kind", "x400;+2FC+3Dus", "x400", "/C=us" },
		{ "UTF-8 as it is", "utf-8;\xc3\xbc@x.test", "utf-8", "\xc3\xbc@x.test" },
		{ "UTF-8 in its own escape", "utf-8;\\x{FC}@x.test", "utf-8", "\\x{FC}@x.test" },
		{ "UTF-8 said to be rfc822", "rfc822;+C3+BC@x.test", "utf-8", "\xc3\xbc@x.test" },
		{ "octets that are no UTF-8 stay encoded", "rfc822;+FC+2B@x.test", "rfc822", "+FC+@x.test" },
		{ "no UTF-8, and not encoded", "utf-8;\xfc@x.test", "", "" },
		{ "a line end", "rfc822;o+0D+0AX: y", "", "" },
		{ "one that was not encoded", "rfc822;o\r\nX: y", "", "" },
		{ "NUL", "rfc822;o+00", "", "" },
		{ "half an octet", "rfc822;o+2", "", "" },
		{ "lower case", "rfc822;o+2b", "", "" },
		{ "no type", "o@x.test", "", "" },
		{ "an empty one", ";o@x.test", "", "" },
		{ "nothing behind it", "rfc822;", "", "" },
		{ "blanks", "rfc822;+20+20", "", "" },
		{ "a type with a blank", "rfc 822;o@x.test", "", "" },
		{ "a type longer than any", "x123456789012345678901234567890123456789012345678901234567890123456789;o@x.test", "", "" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct world *w = refusal();

		w->rcpts[0].orcpt = slice_str(rows[i].orcpt);
		report(w, rows[i].name);
		if (!slice_eq(w->dsn.recipients[0].original.type, slice_str(rows[i].type)) || !slice_eq(w->dsn.recipients[0].original.text, slice_str(rows[i].text)))
			fail_msg("%s: %.*s", rows[i].name, SLICE_FMT(w->text));
	}
}

static void envelope_ids(void **state)
{
	static const struct {
		const char *name, *envid, *value;
	} rows[] = {
		{ "none", "", "" },
		{ "plain", "QQ314159", "QQ314159" },
		{ "encoded", "a+2Bb+3Dc+20d", "a+b=c d" },
		{ "a line end", "a+0D+0AX: y", "" },
		{ "8-bit stays encoded", "a+FC", "a+FC" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct world *w = refusal();

		w->envelope.envid = slice_str(rows[i].envid);
		report(w, rows[i].name);
		WANT_SLICE(w->dsn.envelope_id, slice_str(rows[i].value));
	}
}

static void utf8(void **state)
{
	struct world *w = refusal();

	(void)state;
	w->rcpts[0].path = S("<\xc3\xbc@c.test>");
	w->envelope.smtputf8 = true;
	w->ends[0].text = S("5.1.1 n\xc3\xbc");
	report(w, "a recipient in UTF-8");
	WANT_SLICE(w->dsn.recipients[0].final.type, S("utf-8"));
	WANT_SLICE(w->dsn.recipients[0].final.text, S("\xc3\xbc@c.test"));
	WANT_SLICE(w->dsn.recipients[0].diagnostic.text, S("550 5.1.1 n\xc3\xbc"));
	assert_true(w->report.envelope.smtputf8 && w->report.envelope.body_8bit && w->dsn.utf8);

	w = refusal();
	w->envelope.smtputf8 = true;
	w->envelope.report_to = w->envelope.mail_from = S("<\xc3\xa4@a.test>");
	report(w, "a sender in UTF-8");
	assert_true(w->report.envelope.smtputf8);
	WANT_SLICE(w->report.envelope.rcpts[0].path, S("<\xc3\xa4@a.test>"));

	w = refusal();
	w->terms.header = S("From: s@a.test\r\nSubject: \xc3\xbc\r\n");
	report(w, "a header in UTF-8 that came without a word");
	assert_true(w->report.envelope.body_8bit && !w->report.envelope.smtputf8);
	w->envelope.smtputf8 = true;
	report(w, "a header in UTF-8");
	assert_true(w->report.envelope.body_8bit && w->report.envelope.smtputf8);
	assert_true(holds(w->text, S("Content-Type: message/global\r\n")));

	w = refusal();
	w->ends[0].text = S("n\xc3\xbc");
	report(w, "words in UTF-8 for one that cannot read them");
	WANT_SLICE(w->dsn.recipients[0].diagnostic.text, S("550 n?" "?"));
	assert_false(w->report.envelope.body_8bit);
}

static void nobody_hears(void **state)
{
	static const struct {
		const char *name, *mail_from, *report_to, *report_why;
		bool report;
		enum dsn_action action;
		enum bounce_made made;
		const char *why;
	} rows[] = {
		{ "a null path", "<>", "", "null_path", false, DSN_FAILED, BOUNCE_SUPPRESSED, "null_path" },
		{ "whatever else its envelope says", "<>", "<s@a.test>", "", false, DSN_FAILED, BOUNCE_SUPPRESSED, "null_path" },
		{ "nor is <> written to", "<s@a.test>", "<>", "", false, DSN_FAILED, BOUNCE_SUPPRESSED, "null_path" },
		{ "a client nobody knows", "<s@a.test>", "", "unknown_client", false, DSN_FAILED, BOUNCE_SUPPRESSED, "unknown_client" },
		{ "a chain that did not verify", "<s@a.test>", "", "unverified", false, DSN_DELAYED, BOUNCE_SUPPRESSED, "unverified" },
		{ "no word for it", "<s@a.test>", "", "", false, DSN_FAILED, BOUNCE_SUPPRESSED, "nobody" },
		{ "a report that failed", "<>", "", "null_path", true, DSN_FAILED, BOUNCE_SUPPRESSED, "null_path" },
		{ "is one by that word alone", "<s@a.test>", "<s@a.test>", "", true, DSN_FAILED, BOUNCE_SUPPRESSED, "null_path" },
		{ "a report that is late", "<>", "", "null_path", true, DSN_DELAYED, BOUNCE_NOT_WANTED, NULL },
		{ "an address for a report that is none", "<s@a.test>", "<s@a test>", "", false, DSN_FAILED, BOUNCE_CANNOT, "address" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct world *w = refusal();

		w->envelope.mail_from = slice_str(rows[i].mail_from);
		w->envelope.report_to = slice_str(rows[i].report_to);
		w->envelope.report_why = slice_str(rows[i].report_why);
		w->envelope.report = rows[i].report;
		if (rows[i].report)
			w->rcpts[0].notify = S("NEVER");
		w->ends[0].action = rows[i].action;
		write_it(w);
		if (w->made != rows[i].made || (w->why == NULL) != (rows[i].why == NULL) || (w->why && strcmp(w->why, rows[i].why) != 0) ||
		    w->report.rcpts != (rows[i].made != BOUNCE_NOT_WANTED))
			fail_msg("%s: %d, %s, %zu", rows[i].name, (int)w->made, w->why ? w->why : "-", w->report.rcpts);
	}
}

/* A report on a report, as it is written, on and on: there is none. */
static void no_report_on_a_report(void **state)
{
	struct world *w = refusal(), *again = refusal();
	struct spool_envelope first;

	(void)state;
	report(w, "the only one");
	first = w->report.envelope;
	again->terms.envelope = &first;
	again->ends[0].rcpt = &first.rcpts[0];
	write_it(again);
	assert_int_equal(again->made, BOUNCE_SUPPRESSED);
	assert_string_equal(again->why, "null_path");
	first.report = false; /* by its path alone it wants nothing */
	write_it(again);
	assert_int_equal(again->made, BOUNCE_NOT_WANTED);
}

static void lines_too_long(void **state)
{
	struct world *w = refusal();
	char *path = arena_take(&arena, LIMIT_PATH);

	(void)state;
	memset(path, 'x', LIMIT_PATH);
	path[0] = '<';
	memcpy(path + LIMIT_REPORT_VALUE - 8, "@c.test>", 8);
	w->rcpts[0].path = slice_of(path, LIMIT_REPORT_VALUE);
	report(w, "an address as long as may be");
	memset(path + LIMIT_REPORT_VALUE - 8, 'x', 8);
	memcpy(path + LIMIT_PATH - 8, "@c.test>", 8);
	w->rcpts[0].path = slice_of(path, LIMIT_PATH);
	also(w, "<short@c.test>", DSN_FAILED, NULL);
	report(w, "others are told of");
	assert_int_equal(w->dsn.n, 1);
	WANT_SLICE(w->dsn.recipients[0].final.text, S("short@c.test"));
	w->n = 1;
	write_it(w);
	assert_int_equal(w->made, BOUNCE_CANNOT);
	assert_string_equal(w->why, "address");
	w->rcpts[0].path = S("<r@c.test>");
	w->envelope.report_to = slice_of(path, LIMIT_PATH);
	write_it(w);
	assert_int_equal(w->made, BOUNCE_CANNOT);
	assert_string_equal(w->why, "address");
}

static void a_boundary_that_stands_in_it(void **state)
{
	struct world *w = refusal();
	struct slice first;

	(void)state;
	report(w, "a boundary");
	first = slice_sub(w->report.body[0], 2, 34);
	assert_true(slice_starts(first, S("=_")));
	w->terms.body = arena_printf(&arena, "--%.*s--\r\n", SLICE_FMT(first));
	report(w, "another one");
	WANT_SLICE(w->dsn.body, w->terms.body);
	w->terms.body = S(BODY);
	w->terms.boundary_seed = S("anything else");
	report(w, "another seed");
	assert_false(slice_eq(slice_sub(w->report.body[0], 2, 34), first));
}

static void dots_are_told_of(void **state)
{
	struct world *w = refusal();

	(void)state;
	w->terms.body = S("x\r\n.\r\n");
	report(w, "a dot");
	assert_true(w->report.envelope.dots);
	w->terms.body = S(".x\r\n");
	report(w, "a dot in front");
	assert_true(w->report.envelope.dots);
	w->terms.body = S("x.\r\n");
	report(w, "a dot elsewhere");
	assert_false(w->report.envelope.dots);
	w->terms.header = S(".x: y\r\n" HEADER);
	report(w, "a dot in a name");
	assert_true(w->report.envelope.dots);
}

/* ---- who seals it ---- */

/* What the copy of the report comes to, by the facts that are gathered of any message. */
static struct plan planned(struct world *w)
{
	static const struct conf_listener listener = { .service = SERVICE_OUTBOUND, .sealing = true };
	static const struct dkim2_verdict none = { .state = DKIM2_NONE };
	const struct spool_envelope *e = &w->report.envelope;
	struct plan_facts facts = { .conf = w->terms.conf,
		.listener = &listener,
		.came = &none,
		.mail_from_null = slice_eq(e->mail_from, S("<>")),
		.known_client = e->known_client,
		.arranged = e->arranged,
		.wanted = e->wanted };
	struct slice *from = NULL;

	assert_true(from_domains(&arena, &w->header, &from, &facts.from_count));
	facts.from = from;
	facts.from_single = header_find(&w->header, S("From"), header_find(&w->header, S("From"), 0) + 1) >= w->header.n;
	return plan_make(&facts);
}

static void the_key_that_fits(void **state)
{
	static const struct {
		const char *name;
		const char *mf, *rt, *rt2; /* of the newest hop; mf NULL: there is no chain */
		const char *rcpt;
		const char *d, *from;      /* d NULL: nobody */
		bool aligned, keyless;
	} rows[] = {
		{ "the recipient's domain", "<s@a.test>", "<r@b.test>", NULL, "<r@b.test>", "b.test", "b.test", .aligned = true },
		{ "one above it", "<s@a.test>", "<r@x.b.test>", NULL, "<r@x.b.test>", "b.test", "b.test", .aligned = true },
		{ "another of the hop", "<s@a.test>", "<q@c.test>", "<r@b.test>", "<q@c.test>", "b.test", "b.test", .aligned = true },
		{ "the hop's, wherever it was sent", "<s@a.test>", "<r@b.test>", NULL, "<x@else.test>", "b.test", "b.test", .aligned = true },
		{ "of two that fit the failed one's", "<s@x.test>", "<q@b.test>", "<r@a.test>", "<r@a.test>", "a.test", "a.test", .aligned = true },
		{ "none: our host's", "<s@a.test>", "<r@c.test>", NULL, "<r@c.test>", "hopseal.test", "hopseal.test", .aligned = false },
		{ "an old key is none", "<s@a.test>", "<r@old.test>", NULL, "<r@old.test>", "hopseal.test", "hopseal.test", .aligned = false },
		{ "a suffix is no domain", "<s@a.test>", "<r@notb.test>", NULL, "<r@notb.test>", "hopseal.test", "hopseal.test", .aligned = false },
		{ "a chain of somebody else says nothing", "<other@x.test>", "<r@b.test>", NULL, "<r@c.test>", "hopseal.test", "hopseal.test", .aligned = false },
		{ "no chain", NULL, NULL, NULL, "<r@c.test>", "hopseal.test", "hopseal.test", .aligned = false },
		{ "no chain, a recipient of ours", NULL, NULL, NULL, "<r@b.test>", "b.test", "b.test", .aligned = true },
		{ "no key at all", "<s@a.test>", "<r@c.test>", NULL, "<r@c.test>", NULL, "mx.keyless.test", .keyless = true },
		{ "nor for the host", "<s@a.test>", "<r@b.test>", NULL, "<r@b.test>", "b.test", "b.test", .aligned = true, .keyless = true },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct world *w = refusal();
		struct slice rt[2] = { slice_str(rows[i].rt), slice_str(rows[i].rt2) };
		struct dkim2_hop hops[2] = { { .i = 1, .mf = S("<first@b.test>"), .rt = rt, .rt_count = 1 },
			{ .i = 2, .mf = slice_str(rows[i].mf), .rt = rt, .rt_count = rows[i].rt2 ? 2 : 1 } };
		struct dkim2_verdict came = { .state = DKIM2_PASS, .newest = DKIM2_PASS, .hops = hops, .hop_count = 2 };
		struct slice from = arena_printf(&arena, "Mail Delivery System <postmaster@%s>", rows[i].from);
		struct plan p;

		if (rows[i].mf)
			w->terms.came = &came;
		if (rows[i].mf && strcmp(rows[i].mf, "<other@x.test>") != 0)
			w->envelope.report_to = slice_str(rows[i].mf);
		if (rows[i].keyless)
			w->terms.conf = &keyless;
		w->rcpts[0].path = slice_str(rows[i].rcpt);
		report(w, rows[i].name);
		p = planned(w);
		if (!slice_eq(w->report.d, slice_str(rows[i].d)) || w->report.aligned != rows[i].aligned || !slice_eq(field(w, S("From")), from))
			fail_msg("%s: d=%.*s, aligned %d, %.*s", rows[i].name, SLICE_FMT(w->report.d), w->report.aligned, SLICE_FMT(field(w, S("From"))));
		if (rows[i].d ? p.kind != PLAN_ORIGINATE || strcmp(p.d, rows[i].d) != 0 || !p.enforce || p.exploded : p.kind != PLAN_NOTHING || p.enforce)
			fail_msg("%s: plan %d, %s, %s", rows[i].name, (int)p.kind, p.why, p.d ? p.d : "-");
	}
}

static void the_key_for_one_that_failed(void **state)
{
	struct world *w = refusal();

	(void)state;
	w->rcpts[0].path = S("<late@a.test>");
	w->ends[0].action = DSN_DELAYED;
	also(w, "<never@b.test>", DSN_FAILED, NULL);
	report(w, "a delay and a failure");
	WANT_SLICE(w->report.d, S("b.test"));
	w->ends[1].action = DSN_DELAYED;
	report(w, "two delays");
	WANT_SLICE(w->report.d, S("a.test"));
}

/* ---- what a stranger can say ---- */

static uint32_t dice;

static uint32_t roll(uint32_t below)
{
	dice ^= dice << 13;
	dice ^= dice >> 17;
	dice ^= dice << 5;
	return dice % below;
}

static void hostile_words(void **state)
{
	static const char *const pieces[] = { "\r\n", "\n", "\r", "\r\n\r\n", "--", "\r\n--=_b--\r\n", "Final-Recipient: rfc822; evil@c.test", "\xff", "\xc3",
		"\xc3\xbc", "\xe2\x80\xae", "\t", "\x1b[2J", "\x7f", "5.1.1 ", "=?utf-8?q?x?=", ".", "\r\n.\r\n", "%s%n", "Status: 2.0.0\r\n" };
	unsigned char octets[8000];

	(void)state;
	dice = 20261121;
	for (unsigned round = 0; round < 1000; round++) {
		struct world *w = refusal();
		size_t n = 0, wanted = roll(round % 10 ? 200 : sizeof(octets) - 64);

		while (n < wanted) {
			const char *piece = pieces[roll(ROWS(pieces))];

			if (roll(2)) {
				octets[n++] = (unsigned char)roll(256);
			} else {
				memcpy(octets + n, piece, strlen(piece));
				n += strlen(piece);
			}
		}
		w->ends[0].text = slice_of(octets, n);
		w->ends[0].code = roll(4) ? 550 : 0;
		report(w, round % 10 ? NULL : "hostile words");
		assert_int_equal(w->dsn.n, 1);
		WANT_SLICE(w->dsn.recipients[0].final.text, S("r@c.test"));
		WANT_SLICE(w->dsn.recipients[0].status, S("5.1.1"));
		WANT_SLICE(w->dsn.returned, S(HEADER "\r\n" BODY));
		assert_false(w->report.envelope.body_8bit);
		(void)drop_arena(NULL);
	}
}

/* ---- nobody else is named ---- */

enum { PEOPLE = 12, NAME = 10 };

/* All that base64, quoted-printable and xtext may hide: each is undone wherever its octets may stand, and what comes out is looked through. */
static bool anywhere(struct slice text, const char *name)
{
	struct slice wanted = slice_of(name, NAME);
	unsigned char *plain = arena_take(&arena, text.n);

	if (holds(text, wanted))
		return true;
	for (const char *escape = "=+%"; *escape; escape++) {
		size_t n = 0;

		for (size_t i = 0; i < text.n; i++) {
			char hex[3] = { 0 };

			if (text.at[i] == (unsigned char)*escape && text.n - i > 2) {
				memcpy(hex, text.at + i + 1, 2);
				if (strspn(hex, "0123456789abcdefABCDEF") == 2) {
					plain[n++] = (unsigned char)strtoul(hex, NULL, 16);
					i += 2;
					continue;
				}
				if (text.at[i + 1] == '\r' && text.at[i + 2] == '\n') {
					i += 2;
					continue;
				}
			}
			plain[n++] = text.at[i];
		}
		if (holds(slice_of(plain, n), wanted))
			return true;
	}
	for (size_t shift = 0; shift < 3; shift++) { /* a name that begins anywhere in a group of three octets */
		unsigned char octets[NAME + 2] = { 0 };
		struct buf b;
		struct slice code;
		bool met;

		memcpy(octets + shift, name, NAME);
		buf_init(&b, 64);
		b64_encode(&b, slice_of(octets, NAME + shift));
		/* the signs that hold octets of the name alone */
		code = slice_sub(buf_get(&b), shift ? 4 : 0, (NAME + shift) / 3 * 4 - (shift ? 4 : 0));
		met = holds(text, code);
		buf_release(&b);
		if (met)
			return true;
	}
	return false;
}

static void finds_what_is_hidden(void **state)
{
	static const char *const texts[] = { "xx abcdefghij", "YWJjZGVmZ2hpag==", "eGFiY2RlZmdoaWo=", "eHhhYmNkZWZnaGlq", "=61bcdefghij", "abcde=\r\nfghij", "abcdefghi+6A" };

	(void)state;
	for (size_t i = 0; i < ROWS(texts); i++)
		if (!anywhere(slice_str(texts[i]), "abcdefghij"))
			fail_msg("%s", texts[i]);
	assert_false(anywhere(S("abcdefghi j YWJjZGVm"), "abcdefghij"));
}

/* A message for several copies, some of its recipients hidden; a report on one copy. */
static void names_nobody_else(void **state)
{
	(void)state;
	dice = 19951121;
	for (unsigned round = 0; round < 1000; round++) {
		struct world *w = refusal();
		char names[PEOPLE][NAME + 1];
		struct spool_rcpt rcpts[PEOPLE];
		struct bounce_rcpt ends[PEOPLE];
		bool visible[PEOPLE], told[PEOPLE] = { false };
		size_t people = 2 + roll(PEOPLE - 1), n = 0;
		uint32_t copy = 0;
		struct slice to = S("To: undisclosed-recipients:;\r\n");

		for (size_t k = 0; k < people; k++) {
			for (size_t i = 0; i < NAME; i++)
				names[k][i] = (char)('a' + roll(26));
			names[k][NAME] = '\0';
			visible[k] = roll(2);
			rcpts[k] = (struct spool_rcpt){ .path = arena_printf(&arena, roll(8) ? "<%s@c.test>" : "<\"%s=+\"@c.test>", names[k]), .group = visible[k] ? 0 : ++copy };
			if (roll(2))
				rcpts[k].orcpt = arena_printf(&arena, "rfc822;o+2B%s@c.test", names[k]);
			if (roll(3) == 0)
				rcpts[k].notify = roll(2) ? S("NEVER") : S("SUCCESS,FAILURE");
			if (visible[k])
				to = arena_printf(&arena, "%.*sCc: %s@c.test\r\n", SLICE_FMT(to), names[k]);
		}
		copy = roll(copy + 1);
		for (size_t k = 0; k < people; k++) {
			if (rcpts[k].group != copy)
				continue;
			ends[n] = (struct bounce_rcpt){ .rcpt = &rcpts[k], .action = roll(3) ? DSN_FAILED : roll(2) ? DSN_DELAYED : DSN_RELAYED, .code = (short)(roll(2) ? 550 : 0), .text = S("no") };
			told[k] = bounce_wanted(ends[n].rcpt, ends[n].action);
			n++;
		}
		w->envelope.rcpts = rcpts;
		w->envelope.rcpt_count = people;
		w->envelope.ret = roll(2) ? S("FULL") : SLICE_NONE;
		w->terms.header = arena_printf(&arena, "From: s@a.test\r\n%.*s", SLICE_FMT(to));
		if (n && bounce_write(&arena, &w->terms, ends, n, &w->report, &w->why) == BOUNCE_MADE) {
			read_back(w);
			tell(round % 10 ? NULL : "one copy of several", w);
			for (size_t k = 0; k < people; k++)
				if (anywhere(w->text, names[k]) != (told[k] || visible[k]))
					fail_msg("round %u, recipient %zu: told %d, visible %d\n%.*s", round, k, told[k], visible[k], SLICE_FMT(w->text));
		}
		(void)drop_arena(NULL);
	}
}

/* ---- memory ---- */

static void without_memory(void **state)
{
	struct slice rt = S("<r@b.test>");
	struct dkim2_hop hop = { .i = 1, .mf = S("<s@a.test>"), .rt = &rt, .rt_count = 1 };
	struct dkim2_verdict came = { .state = DKIM2_PASS, .newest = DKIM2_PASS, .hops = &hop, .hop_count = 1 };
	unsigned failed = 0;

	(void)state;
	for (unsigned at = 0;; at++) {
		struct world *w = refusal();
		struct arena little;
		bool more;

		w->terms.came = &came;
		w->rcpts[0].orcpt = S("rfc822;o+2Bx@c.test");
		w->envelope.envid = S("x+2By");
		w->ends[0].next_hop = "192.0.2.1:25";
		also(w, "<q@c.test>", DSN_DELAYED, NULL)->text = S("later");
		for (size_t k = 2; k < 4; k++)
			also(w, "<another.rather.long.address@c.test>", DSN_FAILED, NULL)->text = S("never");
		arena_init(&little, 1 << 20);
		ration.seen = 0;
		ration.at = at;
		ration.armed = true;
		w->made = bounce_write(&little, &w->terms, w->ends, w->n, &w->report, &w->why);
		ration.armed = false;
		more = ration.seen > at;
		if (more) {
			assert_int_equal(w->made, BOUNCE_CANNOT);
			assert_string_equal(w->why, "memory");
			assert_int_equal(w->report.rcpts, 4);
			failed++;
		} else {
			assert_int_equal(w->made, BOUNCE_MADE);
			read_back(w);
		}
		arena_clear(&little);
		(void)drop_arena(NULL);
		if (!more)
			break;
	}
	assert_true(failed >= 5);
	/* and an arena that ends anywhere */
	for (size_t room = 0;; room += 16) {
		struct world *w = refusal();
		struct arena little;
		enum bounce_made made;

		w->terms.came = &came;
		arena_init(&little, room);
		made = bounce_write(&little, &w->terms, w->ends, w->n, &w->report, &w->why);
		assert_true(made == BOUNCE_MADE || (made == BOUNCE_CANNOT && strcmp(w->why, "memory") == 0));
		arena_clear(&little);
		(void)drop_arena(NULL);
		if (made == BOUNCE_MADE)
			break;
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_wants_to_hear),
		cmocka_unit_test_setup_teardown(to_the_octet, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(its_envelope, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(what_happened, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(dates_of_a_delay, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(of_several_those_that_are_wanted, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(what_is_returned, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(names_of_before, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(envelope_ids, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(utf8, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(nobody_hears, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(no_report_on_a_report, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(lines_too_long, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(a_boundary_that_stands_in_it, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(dots_are_told_of, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(the_key_that_fits, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(the_key_for_one_that_failed, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(hostile_words, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(finds_what_is_hidden, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(names_nobody_else, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(without_memory, fresh_arena, drop_arena),
	};

	telling = argc == 2 && strcmp(argv[1], "--tell") == 0;
	return RUN_TESTS(tests);
}
