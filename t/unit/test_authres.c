/* Authentication-Results: which fields are forged in our name, and what ours says. */
#include "test.h"

#include "arena.h"
#include "auth/authres.h"
#include "base/limits.h"
#include "mail/utf8.h"
#include "vectors.h"

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

static void fields_in_our_name(void **state)
{
	static const struct {
		const char *name, *value;
		bool ours;
	} rows[] = {
		{ "plain", " mx.c.test; dmarc=pass", true },
		{ "nothing behind", "mx.c.test", true },
		{ "none", "mx.c.test; none", true },
		{ "case", " MX.c.TEST; dmarc=pass", true },
		{ "final dot", "mx.c.test.; dmarc=pass", true },
		{ "folded", "\r\n mx.c.test 1; dkim2=pass", true },
		{ "version glued to nothing", "mx.c.test\t1 ;dkim2=pass", true },
		{ "comment before", "(c)mx.c.test; arc=pass", true },
		{ "comment behind", "mx.c.test (x) ; dmarc=pass", true },
		{ "nested comments and folds", " (x\r\n (y) \\) z) mx.c.test(a)1(b);", true },
		{ "quoted", "\"mx.c.test\"; dmarc=pass", true },
		{ "quoted pair", "\"m\\x.c.test\"; dmarc=pass", true },
		{ "no semicolon", "mx.c.test dmarc=pass", true },
		{ "slash", "mx.c.test/x; dmarc=pass", true },
		{ "two words", "evil mx.c.test; dmarc=pass", true },
		{ "half quoted", "\"mx.c\".test; dmarc=pass", true },
		{ "comment in the middle", "mx.(x)c.test; dmarc=pass", true },
		{ "comment without end", "mx.c.test (; dmarc=pass", true },
		{ "quote without end", "\"mx.c.test; dmarc=pass", true },
		{ "bare LF", "\nmx.c.test; dmarc=pass", true },
		{ "backspace", "m\bx.c.test; dmarc=pass", true },
		{ "bad version", "mx.c.test 1x; dmarc=pass", true },
		{ "encoded word", "=?utf-8?q?mx=2Ec=2Etest?=; dmarc=pass", true },
		{ "encoded word, base64", "=?us-ascii?b?bXguYy50ZXN0?= ; dmarc=pass", true },
		{ "encoded word in quotes", "\"=?us-ascii?b?bXguYy50ZXN0?=\"; dmarc=pass", true },
		{ "Latin-1 blank before", "\xa0mx.c.test; dmarc=pass", true },
		{ "Latin-1 blank inside, no semicolon", "mx.\xa0" "c.test dmarc=pass", true },
		{ "no-break space behind", "mx.c.test\xc2\xa0; dmarc=pass", true },
		{ "soft hyphen", "mx.c\xc2\xad.test; dmarc=pass", true },
		{ "wide letters and dots", "\xef\xbd\x8d\xef\xbd\x98\xe3\x80\x82" "c\xe3\x80\x82test; dmarc=pass", true },
		{ "another, 8-bit", "mx.\xa0" "b.test; dmarc=pass", false },
		{ "another", "mx.b.test; dmarc=pass", false },
		{ "another that mentions us", "mx.b.test; spf=pass smtp.helo=mx.c.test", false },
		{ "another with us in a comment", "mx.b.test (mx.c.test); dmarc=pass", false },
		{ "a longer name", "x.mx.c.test; dmarc=pass", false },
		{ "a longer name behind", "mx.c.test.evil.test; dmarc=pass", false },
		{ "a shorter name", "c.test; dmarc=pass", false },
		{ "no name", "; dmarc=pass", false },
		{ "empty", "", false },
		{ "another, broken", "mx.b.test (; dmarc=pass", false },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		if (authres_is_ours(&arena, slice_str(rows[i].value), S("mx.c.test")) != rows[i].ours)
			fail_msg("%s", rows[i].name);
	assert_true(authres_is_ours(&arena, S("m\0x.c.test; dmarc=pass"), S("mx.c.test")));
	assert_true(authres_is_ours(&arena, S("b\xc3\xbc" "cher.example; none"), S("xn--bcher-kva.example")));
	assert_true(authres_is_ours(&arena, S("XN--bcher-kva.example; none"), S("b\xc3\xbc" "cher.example")));
	assert_true(authres_is_ours(&arena, S("(b\xc3\x9c" "cher.example; none"), S("xn--bcher-kva.example")));
	assert_false(authres_is_ours(&arena, S("b\xc3\xbc" "cher.example; none"), S("bucher.example")));
	assert_true(authres_is_ours(&arena, S("relay-7; none"), S("relay-7")));
}

/* A forged field of any size is found. */
static void long_fields_in_our_name(void **state)
{
	enum { MAX = 60000 };
	char *text = arena_take(&arena, MAX + 64);

	(void)state;
	text[0] = '(';
	memset(text + 1, 'x', MAX);
	memcpy(text + MAX, ")mx.c.test; dmarc=pass", 22);
	assert_true(authres_is_ours(&arena, slice_of(text, MAX + 22), S("mx.c.test")));
	text[MAX] = 'x';
	assert_true(authres_is_ours(&arena, slice_of(text, MAX + 22), S("mx.c.test")));
	text[MAX + 1] = 'y';
	assert_false(authres_is_ours(&arena, slice_of(text, MAX + 22), S("mx.c.test")));
}

static struct dkim2_hop hop(uint64_t i, const char *d, enum dkim2_state state)
{
	return (struct dkim2_hop){ .i = i, .d = slice_str(d), .d_normal = slice_str(d), .state = state };
}

static struct slice dkim2_value(struct slice id, const struct dkim2_verdict *v)
{
	struct authres_result result = authres_dkim2(&arena, v);

	return authres_value(&arena, id, &result, 1);
}

static struct slice dkim2_field(struct slice id, const struct dkim2_verdict *v)
{
	struct authres_result result = authres_dkim2(&arena, v);

	return authres_field(&arena, S("Authentication-Results"), id, &result, 1);
}

static void values_say_what_was_found(void **state)
{
	struct dkim2_hop two[2] = { hop(1, "a.example", DKIM2_PASS), hop(2, "l.example", DKIM2_PASS) };
	struct dkim2_verdict v = { .state = DKIM2_PASS, .hops = two, .hop_count = 2, .draft = 9 };

	(void)state;
	WANT_SLICE(dkim2_value(S("mx.example.net"), &v),
	    S("mx.example.net; dkim2=pass (i=1 a.example pass, i=2 l.example pass) header.d=a.example"));
	v.level = DKIM2_PROVISIONAL;
	WANT_SLICE(dkim2_value(S("mx.example.net"), &v),
	    S("mx.example.net; dkim2=pass (i=1 a.example pass, i=2 l.example pass; provisional)"));
	v.level = DKIM2_NO_ENVELOPE;
	WANT_SLICE(dkim2_value(S("mx.example.net"), &v),
	    S("mx.example.net; dkim2=pass (i=1 a.example pass, i=2 l.example pass; envelope not checked) header.d=a.example"));
	two[1].state = DKIM2_FAIL;
	v.state = DKIM2_FAIL;
	v.blamed = 2;
	v.reason = S("DKIM2-Signature i=2 RCPT TO <bob@c.test> did not match");
	WANT_SLICE(dkim2_value(S("mx.example.net"), &v),
	    S("mx.example.net; dkim2=fail (i=1 a.example pass, i=2 l.example fail; FAIL: DKIM2-Signature i=2 RCPT TO <bob@c.test> did not match) header.d=a.example header.i=2"));
	v.blamed = 0;
	v.hop_count = 0;
	v.state = DKIM2_PERMERROR;
	v.reason = S("DKIM2-Signature i=? syntax error");
	WANT_SLICE(dkim2_value(S("mx.example.net"), &v),
	    S("mx.example.net; dkim2=permerror (PERMERROR: DKIM2-Signature i=? syntax error)"));
	v = (struct dkim2_verdict){ .state = DKIM2_NONE };
	WANT_SLICE(dkim2_value(S("mx.example.net"), &v), S("mx.example.net; dkim2=none"));
	WANT_SLICE(dkim2_value(S("a \"b"), &v), S("\"a \\\"b\"; dkim2=none"));
	WANT_SLICE(dkim2_field(S("mx.example.net"), &v), S("Authentication-Results: mx.example.net;\r\n dkim2=none\r\n"));
}

/* What a peer chose cannot end the comment, the field or the line. */
static void values_are_escaped(void **state)
{
	static const struct {
		const char *name, *value, *written;
	} rows[] = {
		{ "parentheses", "<a)b(c@d.test>", "<a\\)b\\(c@d.test>" },
		{ "backslash", "<\"a\\\"b\"@d.test>", "<\"a\\\\\"b\"@d.test>" },
		{ "injection", "<\"x); dmarc=pass (\"@a.test>", "<\"x\\); dmarc=pass \\(\"@a.test>" },
		{ "line end", "<a\r\nX: y@d.test>", "<aX: y@d.test>" },
		{ "UTF-8", "<d\xc3\xb6rte@d.test>", "<d\xc3\xb6rte@d.test>" },
		{ "Latin-1", "<d\xf6rte@d.test>", "<d?rte@d.test>" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct dkim2_verdict v = { .state = DKIM2_FAIL, .reason = slice_str(rows[i].value) };

		WANT_SLICE(dkim2_value(S("m"), &v), arena_printf(&arena, "m; dkim2=fail (FAIL: %s)", rows[i].written));
	}
}

/* A line of blanks only is taken by some for the end of the header, and what follows it for content. */
static void no_fold_leaves_a_line_of_blanks(void **state)
{
	char reason[1200];

	(void)state;
	for (size_t before = 1; before < 160; before++) {
		for (size_t blanks = 2; blanks < 90; blanks += 29) {
			struct dkim2_verdict v = { .state = DKIM2_FAIL };
			struct slice line;

			memset(reason, 'x', 300);
			memset(reason + before, ' ', blanks);
			v.reason = slice_of(reason, 300);
			for (struct slice rest = dkim2_field(S("mx.example.net"), &v); rest.n;) {
				slice_cut(&rest, '\n', &line);
				if (slice_trim(line).n == 0)
					fail_msg("%zu octets, %zu blanks", before, blanks);
			}
		}
	}
}

static void fields_are_folded_and_bounded(void **state)
{
	static char name[254];
	struct dkim2_hop many[50];
	struct dkim2_verdict v = { .state = DKIM2_FAIL, .hops = many, .hop_count = 50, .blamed = 50 };
	struct slice field, line;
	char reason[2000];

	(void)state;
	memset(name, 'd', 253);
	for (size_t k = 0; k < 50; k++)
		many[k] = hop(k + 1, name, DKIM2_SKIPPED);
	memset(reason, '(', sizeof(reason));
	v.reason = slice_of(reason, sizeof(reason));
	field = dkim2_field(S("mx.example.net"), &v);
	assert_true(field.n > 0 && field.n < 5000);
	assert_true(slice_ends(field, S(" header.i=50\r\n")));
	assert_non_null(memmem(field.at, field.n, ", ...;", 6));
	for (struct slice rest = slice_sub(field, 0, field.n - 1); rest.n;) {
		slice_cut(&rest, '\n', &line);
		assert_true(line.n <= 998);
	}
	/* unfolded it is the value */
	v.hop_count = 8;
	v.reason = S("x");
	for (size_t k = 0; k < 50; k++)
		many[k] = hop(k + 1, "a.example", DKIM2_PASS);
	field = dkim2_field(S("mx.example.net"), &v);
	{
		struct slice value = dkim2_value(S("mx.example.net"), &v);
		unsigned char *p = arena_take(&arena, field.n);
		size_t n = 0;

		for (size_t i = 0; i < field.n; i++)
			if (field.at[i] != '\r' && field.at[i] != '\n')
				p[n++] = field.at[i];
		WANT_SLICE(slice_of(p, n), arena_printf(&arena, "Authentication-Results: %.*s", SLICE_FMT(value)));
	}
	for (struct slice rest = field; rest.n;) {
		slice_cut(&rest, '\n', &line);
		assert_true(line.n <= 79);
	}
}

/* ---- any results: written ---- */

static struct slice one_value(const char *value)
{
	struct authres_prop prop = { S("smtp"), S("mailfrom"), slice_str(value) };
	struct authres_result r = { .method = S("spf"), .result = S("pass"), .props = &prop, .prop_count = 1 };

	return authres_value(&arena, S("mx.c.test"), &r, 1);
}

static void values_are_words_or_quoted(void **state)
{
	static const struct {
		const char *name, *value, *written;
	} rows[] = {
		{ "domain", "a.test", "a.test" },
		{ "address", "s.x+y_z-1@a.test", "s.x+y_z-1@a.test" },
		{ "address of a forwarder", "SRS0=ab=cd=a.test=s@b.test", "SRS0=ab=cd=a.test=s@b.test" },
		{ "no local part", "@a.test", "@a.test" },
		{ "empty", "", "\"\"" },
		{ "8-bit address", "d\xc3\xb6rte@b\xc3\xbc" "cher.test", "d\xc3\xb6rte@b\xc3\xbc" "cher.test" },
		{ "8-bit address with what reads as a result", "x\xc2\xa0" "dmarc=pass@a.test", "\"x\xc2\xa0" "dmarc=pass@a.test\"" },
		{ "Latin-1 address", "d\xf6rte@a.test", "\"d?rte@a.test\"" },
		{ "one label", "root@localhost", "\"root@localhost\"" },
		{ "address literal", "s@[192.0.2.1]", "\"s@[192.0.2.1]\"" },
		{ "two at signs", "a@b.test@c.test", "\"a@b.test@c.test\"" },
		{ "dot at the end of the local part", "a.@b.test", "\"a.@b.test\"" },
		{ "hyphen at the end of a label", "a@b-.test", "\"a@b-.test\"" },
		{ "quoted local part", "\"x; dmarc=pass\"@a.test", "\"\\\"x; dmarc=pass\\\"@a.test\"" },
		{ "semicolon", "a.test; dmarc=pass", "\"a.test; dmarc=pass\"" },
		{ "comment", "a.test(x", "\"a.test(x\"" },
		{ "backslash", "a\\", "\"a\\\\\"" },
		{ "quote", "legit.example'a.attack.example", "\"legit.example'a.attack.example\"" },
		{ "base64", "ab/c+d==", "\"ab/c+d==\"" },
		{ "control octets", "a\r\n\t\x7f.test", "a.test" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct slice got = one_value(rows[i].value), want = arena_printf(&arena, "mx.c.test; spf=pass smtp.mailfrom=%s", rows[i].written);

		if (!slice_eq(got, want))
			fail_msg("%s: %.*s", rows[i].name, SLICE_FMT(got));
	}
}

static void results_stand_in_their_order(void **state)
{
	const struct authres_prop props[2] = { { S("header"), S("d"), S("a.test") }, { S("header"), S("s"), S("s1") } };
	const struct authres_result rows[] = {
		{ .method = S("dkim"), .result = S("fail"), .comment = S("a (b)"), .reason = S("no key"), .props = props, .prop_count = 2 },
		{ .method = S("no keyword"), .result = S("pass") },
		{ .method = S("spf"), .result = S("pass; dmarc=pass") },
		{ .method = S("spf"), .result = S("none") },
	};
	const struct authres_prop bad[2] = { { S("he.ader"), S("d"), S("x") }, { S("header"), S("d=x b"), S("x") } };
	const struct authres_result odd = { .method = S("dkim"), .result = S("pass"), .props = bad, .prop_count = 2 };

	(void)state;
	WANT_SLICE(authres_value(&arena, S("mx.c.test"), rows, 4), S("mx.c.test; dkim=fail (a \\(b\\)) reason=\"no key\" header.d=a.test header.s=s1; spf=none"));
	WANT_SLICE(authres_field(&arena, S("ARC-Authentication-Results"), S("mx.c.test"), rows, 4),
	    S("ARC-Authentication-Results: mx.c.test;\r\n dkim=fail (a \\(b\\)) reason=\"no key\" header.d=a.test header.s=s1;\r\n spf=none\r\n"));
	WANT_SLICE(authres_value(&arena, S("mx.c.test"), &odd, 1), S("mx.c.test; dkim=pass"));
	WANT_SLICE(authres_value(&arena, S("mx.c.test"), NULL, 0), S("mx.c.test; none"));
	WANT_SLICE(authres_field(&arena, S("Authentication-Results"), S("mx.c.test"), rows + 1, 1), S("Authentication-Results: mx.c.test; none\r\n"));
}

/* ---- any results: read ---- */

/* "method=result reason:text ptype.property:value", a blank between any two. */
static void put_results(struct buf *b, const struct authres_result *results, size_t n)
{
	for (size_t k = 0; k < n; k++) {
		const struct authres_result *r = &results[k];

		buf_printf(b, "%s%.*s=%.*s", k ? " " : "", SLICE_FMT(r->method), SLICE_FMT(r->result));
		if (r->reason.n)
			buf_printf(b, " reason:%.*s", SLICE_FMT(r->reason));
		for (size_t p = 0; p < r->prop_count; p++)
			buf_printf(b, " %.*s.%.*s:%.*s", SLICE_FMT(r->props[p].ptype), SLICE_FMT(r->props[p].property), SLICE_FMT(r->props[p].value));
	}
}

static void fields_that_are_read(void **state)
{
	static const struct {
		const char *name, *value, *results; /* NULL: not read */
	} rows[] = {
		{ "none", "a.test; none", "" },
		{ "none, and comments", "(x)a.test(y)1(z);(;)NONE(none)", "" },
		{ "none is no result among others", "a.test; none; spf=pass", NULL },
		{ "nor twice", "a.test; none; none", NULL },
		{ "a method of that name", "a.test; none=pass", "none=pass" },
		{ "id alone", "a.test", NULL },
		{ "nothing behind the semicolon", "a.test;", NULL },
		{ "a semicolon behind the last", "a.test; spf=pass ;(x) ", "spf=pass" },
		{ "two of them", "a.test; spf=pass;;", NULL },
		{ "one too many between", "a.test; spf=pass;; dkim=pass", NULL },
		{ "version 1", "a.test 1; spf=pass", "spf=pass" },
		{ "version 01", "a.test 01; spf=pass", "spf=pass" },
		{ "version 2", "a.test 2; spf=pass", NULL },
		{ "version 1x", "a.test 1x; spf=pass", NULL },
		{ "a version glued to a quoted id", "\"a.test\"1; spf=pass", NULL },
		{ "quoted id", "\"a.test\" 1; spf=pass", "spf=pass" },
		{ "method version", "a.test; spf / 1 = pass; dkim/2=pass; dmarc=fail", "spf=pass dmarc=fail" },
		{ "method version without digits", "a.test; spf/=pass", NULL },
		{ "no result", "a.test; spf=", NULL },
		{ "no method", "a.test; =pass", NULL },
		{ "underscore in a method", "a.test; x_y=pass", NULL },
		{ "hyphen", "a.test; dkim-atps=pass", "dkim-atps=pass" },
		{ "hyphen at its end", "a.test; dkim-=pass", NULL },
		{ "reason and properties", "a.test; x=fail reason=\"a;b\" p.q=1 p.r=2", "x=fail reason:a;b p.q:1 p.r:2" },
		{ "reason behind a property", "a.test; x=fail p.q=1 reason=a", NULL },
		{ "reason twice", "a.test; x=fail reason=a reason=b", NULL },
		{ "reason as a property type", "a.test; x=fail reason.q=1", "x=fail reason.q:1" },
		{ "reason is no address", "a.test; x=fail reason=a@b.test", NULL },
		{ "no blank in front of it", "a.test; x=fail\"\"", NULL },
		{ "none behind a quote", "a.test; x=fail p.q=\"1\"p.r=2", "x=fail p.q:1 p.r:2" },
		{ "comments around each sign", "a.test; x=fail p(1).(2)q(3)=(4)y(5)", "x=fail p.q:y" },
		{ "address", "a.test; x=fail p.q=s/x=y@a.test p.r=@a.test", "x=fail p.q:s/x=y@a.test p.r:@a.test" },
		{ "quoted local part", "a.test; x=fail p.q=\"s x\"@a.test", "x=fail p.q:\"s x\"@a.test" },
		{ "local part with a fold", "a.test; x=fail p.q=\"s\r\n x\"@a.test", "x=fail p.q:\"s x\"@a.test" },
		{ "8-bit address", "a.test; x=fail p.q=\xc3\xb6@\xc3\xbc.test", "x=fail p.q:\xc3\xb6@\xc3\xbc.test" },
		{ "no UTF-8", "a.test; x=fail p.q=\xf6", NULL },
		{ "two dots in a local part", "a.test; x=fail p.q=a..b@a.test", NULL },
		{ "no domain", "a.test; x=fail p.q=a@", NULL },
		{ "value without quotes that needs some", "a.test; x=fail p.q=a/b", NULL },
		{ "no value", "a.test; x=fail p.q=", NULL },
		{ "empty value in quotes", "a.test; x=fail p.q=\"\"", "x=fail p.q:" },
		{ "no property", "a.test; x=fail p.=1", NULL },
		{ "a property alone", "a.test; x=fail p", NULL },
		{ "quoted pairs", "a.test; x=fail p.q=\"\\a\\\"\\\\\"", "x=fail p.q:a\"\\" },
		{ "folds in a quoted string", "a.test; x=fail p.q=\"a\r\n  b\"", "x=fail p.q:a  b" },
		{ "bare LF in it", "a.test; x=fail p.q=\"a\n b\"", NULL },
		{ "no end of it", "a.test; x=fail p.q=\"a\\\"", NULL },
		{ "no end of a comment", "a.test; x=fail (a (b) p.q=1", NULL },
		{ "bare CR", "a.test; x=fail\r p.q=1", NULL },
		{ "fold without a blank", "a.test;\r\nx=fail", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		const struct authres_result *results;
		struct slice id;
		struct buf b;
		size_t n;

		buf_init(&b, 4096);
		if (authres_parse(&arena, slice_str(rows[i].value), &id, &results, &n) != (rows[i].results != NULL))
			fail_msg("%s", rows[i].name);
		if (rows[i].results)
			put_results(&b, results, n);
		if (rows[i].results && !slice_eq(buf_get(&b), slice_str(rows[i].results)))
			fail_msg("%s: %.*s", rows[i].name, SLICE_FMT(buf_get(&b)));
		buf_release(&b);
	}
	{
		const struct authres_result *results;
		struct slice id;
		size_t n;

		assert_false(authres_parse(&arena, S("a.test; x=fail p.q=a\0b"), &id, &results, &n));
		assert_false(authres_parse(&arena, S("a.test; x=fail p.q=\"a\0b\""), &id, &results, &n));
	}
}

static void reading_is_bounded(void **state)
{
	const struct authres_result *results;
	struct slice id;
	struct buf b;
	size_t n;

	(void)state;
	for (int over = 0; over < 2; over++) {
		buf_init(&b, 1 << 20);
		buf_str(&b, "a.test");
		for (int i = 0; i < LIMIT_AUTHRES_RESULTS + over; i++)
			buf_str(&b, "; spf=pass");
		assert_int_equal(authres_parse(&arena, buf_get(&b), &id, &results, &n), !over);
		buf_clear(&b);
		buf_str(&b, "a.test; spf=pass");
		for (int i = 0; i < LIMIT_AUTHRES_PROPS + over; i++)
			buf_str(&b, " a.b=c");
		assert_int_equal(authres_parse(&arena, buf_get(&b), &id, &results, &n), !over);
		buf_release(&b);
	}
	/* many quoted strings take no more memory than they are long */
	buf_init(&b, 1 << 22);
	buf_str(&b, "a.test");
	for (int i = 0; i < LIMIT_AUTHRES_RESULTS; i++) {
		buf_str(&b, "; x=y a.b=\"");
		for (int k = 0; k < 10000; k++)
			buf_octet(&b, 'x');
		buf_octet(&b, '"');
	}
	assert_true(authres_parse(&arena, buf_get(&b), &id, &results, &n));
	assert_true(arena.held < 4 * b.n);
	buf_release(&b);
}

/* ---- and round ---- */

struct dice {
	uint64_t seed;
};

static size_t roll(struct dice *d, size_t sides)
{
	d->seed = d->seed * 6364136223846793005U + 1442695040888963407U;
	return (size_t)(d->seed >> 33) % sides;
}

static struct slice hostile(struct dice *d)
{
	static const char *const pieces[] = {
		"a", "b.test", "@", "\"", "\\", ";", "; dmarc=pass", "(", ")", "\r\n", "\r\n ", "\n", " ", "  ", "\t", "=", "/", "'", ".", "..", ",", "<", ">", "[", "?",
		"\xc3\xb6", "\xc2\xa0", "\xe3\x80\x80", "\xf6", "\xf0\x9f\x93\xa7", "\x01", "\x7f", "NUL", "none", "1", "reason=x", "header.from=b.test",
	};
	unsigned char *p = arena_take(&arena, 1024);
	size_t n = 0;

	for (size_t left = roll(d, 12) * (roll(d, 9) ? 1 : 4); left > 0; left--) {
		struct slice piece = slice_str(pieces[roll(d, ROWS(pieces))]);

		if (slice_eq(piece, S("NUL")))
			piece = S("\0");
		memcpy(p + n, piece.at, piece.n);
		n += piece.n;
	}
	return slice_of(p, n);
}

/* What is to be left of it. */
static struct slice kept(struct slice s)
{
	bool utf8 = utf8_valid(s);
	unsigned char *p;
	size_t n = 0;

	s = utf8_head(s, LIMIT_AUTHRES_VALUE);
	p = arena_take(&arena, s.n);
	for (size_t i = 0; i < s.n; i++)
		if (s.at[i] >= 0x20 && s.at[i] != 0x7f)
			p[n++] = s.at[i] >= 0x80 && !utf8 ? '?' : s.at[i];
	return slice_of(p, n);
}

static void what_is_written_is_read(void **state)
{
	static const char *const words[] = { "dkim", "spf", "dmarc", "none", "reason", "x-y", "1", "pass" };

	(void)state;
	for (uint64_t seed = 1; seed <= 4000; seed++) {
		struct dice d = { seed * 977 };
		struct authres_prop props[6][4];
		struct authres_result wrote[6];
		const struct authres_result *read;
		struct slice field, id, line, rest;
		size_t n = roll(&d, 7), m;
		struct header h;
		struct fault f = { 0 };

		for (size_t i = 0; i < n; i++) {
			wrote[i] = (struct authres_result){ .method = slice_str(words[roll(&d, ROWS(words))]), .result = slice_str(words[roll(&d, ROWS(words))]),
				.comment = hostile(&d), .reason = hostile(&d), .props = props[i], .prop_count = roll(&d, 5) };
			for (size_t k = 0; k < wrote[i].prop_count; k++)
				props[i][k] = (struct authres_prop){ slice_str(words[roll(&d, ROWS(words))]), slice_str(words[roll(&d, ROWS(words))]), hostile(&d) };
		}
		field = authres_field(&arena, S("Authentication-Results"), S("mx.c.test"), wrote, n);
		assert_true(header_parse(&arena, field, 1, &h, &f) && !h.malformed && h.n == 1);
		for (rest = field; rest.n;) {
			assert_true(slice_cut(&rest, '\n', &line));
			assert_true(line.n <= 998 && slice_trim(line).n > 0);
		}
		if (!authres_parse(&arena, h.fields[0].value, &id, &read, &m))
			fail_msg("%.*s", SLICE_FMT(field));
		WANT_SLICE(id, S("mx.c.test"));
		assert_int_equal(m, n);
		for (size_t i = 0; i < n; i++) {
			WANT_SLICE(read[i].method, wrote[i].method);
			WANT_SLICE(read[i].result, wrote[i].result);
			WANT_SLICE(read[i].reason, kept(wrote[i].reason));
			assert_int_equal(read[i].prop_count, wrote[i].prop_count);
			for (size_t k = 0; k < read[i].prop_count; k++) {
				WANT_SLICE(read[i].props[k].ptype, props[i][k].ptype);
				WANT_SLICE(read[i].props[k].property, props[i][k].property);
				WANT_SLICE(read[i].props[k].value, kept(props[i][k].value));
			}
		}
		arena_clear(&arena);
	}
}

/* However much there is to say, each result is there, and no line too long. */
static void writing_is_bounded(void **state)
{
	struct authres_prop props[30];
	struct authres_result results[120];
	const struct authres_result *read;
	struct slice field, id, line, rest;
	char value[3000];
	size_t n;

	(void)state;
	memset(value, '"', sizeof(value));
	for (size_t i = 0; i < 30; i++)
		props[i] = (struct authres_prop){ S("header"), S("d"), slice_of(value, sizeof(value)) };
	for (size_t i = 0; i < 120; i++)
		results[i] = (struct authres_result){ .method = S("dkim"), .result = S("fail"), .comment = slice_of(value, sizeof(value)),
			.reason = slice_of(value, sizeof(value)), .props = props, .prop_count = 30 };
	field = authres_field(&arena, S("Authentication-Results"), S("mx.c.test"), results, 120);
	assert_true(field.n > 0 && field.n < 65536);
	for (rest = field; rest.n;) {
		slice_cut(&rest, '\n', &line);
		assert_true(line.n <= 999);
	}
	assert_true(authres_parse(&arena, slice_trim(slice_sub(field, 23, SIZE_MAX)), &id, &read, &n));
	assert_int_equal(n, LIMIT_AUTHRES_RESULTS);
	assert_int_equal(read[0].prop_count, LIMIT_AUTHRES_PROPS);
	assert_int_equal(read[0].reason.n, LIMIT_AUTHRES_VALUE);
	assert_int_equal(read[n - 1].prop_count, 0);
}

static const struct authres_prop *prop_named(const struct authres_result *r, const char *name)
{
	struct slice want = slice_str(name), ptype;

	slice_cut(&want, '.', &ptype);
	for (size_t i = 0; i < r->prop_count; i++)
		if (slice_ieq(r->props[i].ptype, ptype) && slice_ieq(r->props[i].property, want))
			return &r->props[i];
	return NULL;
}

static void want_case(const json_t *one)
{
	const char *name = json_string_value(json_object_get(one, "name")), *prop;
	const json_t *valid = json_object_get(one, "valid"), *want = json_object_get(one, "results");
	const struct authres_result *results;
	struct slice id;
	size_t n;
	bool is = authres_parse(&arena, vector_text(json_object_get(one, "value")), &id, &results, &n);

	if (json_is_boolean(valid) && is != json_is_true(valid))
		fail_msg("%s: %s", name, is ? "read" : "not read");
	if (!json_is_true(valid))
		return;
	WANT_SLICE(id, vector_text(json_object_get(one, "authserv_id")));
	if (n != json_array_size(want))
		fail_msg("%s: %zu results", name, n);
	for (size_t i = 0; i < n; i++) {
		json_t *r = json_array_get(want, i), *props = json_object_get(r, "props"), *value;

		assert_true(slice_ieq(results[i].method, vector_text(json_object_get(r, "method"))));
		assert_true(slice_ieq(results[i].result, vector_text(json_object_get(r, "result"))));
		WANT_SLICE(results[i].reason, vector_text(json_object_get(r, "reason")));
		assert_int_equal(results[i].prop_count, json_object_size(props));
		json_object_foreach(props, prop, value) {
			const struct authres_prop *got = prop_named(&results[i], prop);

			if (!got)
				fail_msg("%s: no %s", name, prop);
			WANT_SLICE(got->value, vector_text(value));
		}
	}
}

static void what_others_write_is_gleaned(void **state)
{
	static const struct {
		const char *name, *value, *results; /* NULL: nothing can be read */
	} rows[] = {
		{ "no property", "a.test; dmarc=pass action=none header.from=b.test", "dmarc=pass header.from:b.test" },
		{ "a value that wants quotes", "a.test; dkim=pass header.b=Ab/d+E==; spf=none", "dkim=pass header.b:Ab/d+E== spf=none" },
		{ "a result that cannot be read", "a.test; dkim; spf=none; x=fail p.q; y=pass", "spf=none y=pass" },
		{ "a sign in a comment", "a.test; dkim=pass (x; dmarc=pass) header.d=a; spf=none", "dkim=pass header.d:a spf=none" },
		{ "a sign in quotes", "a.test; dkim=fail reason=\"x; dmarc=pass\"; spf=none", "dkim=fail reason:x; dmarc=pass spf=none" },
		{ "a comment without end takes all that follows", "a.test; spf=none; dkim=pass (x; dmarc=pass", "spf=none" },
		{ "quotes without end too", "a.test; spf=none; dkim=fail reason=\"x; dmarc=pass", "spf=none" },
		{ "an escaped quote ends none", "a.test; dkim=fail reason=\"x\\\"; dmarc=pass\"; spf=none", "dkim=fail reason:x\"; dmarc=pass spf=none" },
		{ "no name", "; dmarc=pass", NULL },
		{ "another version", "a.test 2; dmarc=pass", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		const struct authres_result *results;
		struct slice id;
		struct buf b;
		size_t n;

		buf_init(&b, 4096);
		if (authres_glean(&arena, slice_str(rows[i].value), &id, &results, &n) != (rows[i].results != NULL))
			fail_msg("%s", rows[i].name);
		if (rows[i].results) {
			put_results(&b, results, n);
			WANT_SLICE(buf_get(&b), slice_str(rows[i].results));
		}
		buf_release(&b);
	}
}

static void public_cases(void **state)
{
	char folder[400];
	json_t *suite;
	size_t n;

	(void)state;
	assert_true(vector_folder("authres", folder, sizeof(folder)));
	suite = vector_json(folder, "INDEX.json");
	n = json_array_size(suite);
	for (size_t i = 0; i < n; i++)
		want_case(json_array_get(suite, i));
	json_decref(suite);
	assert_int_equal(n, 19);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh_arena, drop_arena)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(fields_in_our_name),
		TEST(long_fields_in_our_name),
		TEST(values_say_what_was_found),
		TEST(values_are_escaped),
		TEST(no_fold_leaves_a_line_of_blanks),
		TEST(fields_are_folded_and_bounded),
		TEST(values_are_words_or_quoted),
		TEST(results_stand_in_their_order),
		TEST(fields_that_are_read),
		TEST(reading_is_bounded),
		TEST(what_is_written_is_read),
		TEST(writing_is_bounded),
		TEST(what_others_write_is_gleaned),
		TEST(public_cases),
	};

	return RUN_TESTS(tests);
}
