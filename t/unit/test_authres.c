/* Authentication-Results: which fields are forged in our name, and what ours says. */
#include "test.h"

#include "auth/authres.h"

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

static struct arena arena;

static int fresh_arena(void **state)
{
	(void)state;
	arena_clear(&arena);
	arena_init(&arena, 1 << 24);
	return 0;
}

static int drop_arena(void **state)
{
	(void)state;
	arena_clear(&arena);
	return 0;
}

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

static void values_say_what_was_found(void **state)
{
	struct dkim2_hop two[2] = { hop(1, "a.example", DKIM2_PASS), hop(2, "l.example", DKIM2_PASS) };
	struct dkim2_verdict v = { .state = DKIM2_PASS, .hops = two, .hop_count = 2, .draft = 9 };

	(void)state;
	WANT_SLICE(authres_value(&arena, S("mx.example.net"), &v),
	    S("mx.example.net; dkim2=pass (i=1 a.example pass, i=2 l.example pass) header.d=a.example"));
	v.level = DKIM2_PROVISIONAL;
	WANT_SLICE(authres_value(&arena, S("mx.example.net"), &v),
	    S("mx.example.net; dkim2=pass (i=1 a.example pass, i=2 l.example pass; provisional)"));
	v.level = DKIM2_NO_ENVELOPE;
	WANT_SLICE(authres_value(&arena, S("mx.example.net"), &v),
	    S("mx.example.net; dkim2=pass (i=1 a.example pass, i=2 l.example pass; envelope not checked) header.d=a.example"));
	two[1].state = DKIM2_FAIL;
	v.state = DKIM2_FAIL;
	v.blamed = 2;
	v.reason = S("DKIM2-Signature i=2 RCPT TO <bob@c.test> did not match");
	WANT_SLICE(authres_value(&arena, S("mx.example.net"), &v),
	    S("mx.example.net; dkim2=fail (i=1 a.example pass, i=2 l.example fail; FAIL: DKIM2-Signature i=2 RCPT TO <bob@c.test> did not match) header.d=a.example header.i=2"));
	v.blamed = 0;
	v.hop_count = 0;
	v.state = DKIM2_PERMERROR;
	v.reason = S("DKIM2-Signature i=? syntax error");
	WANT_SLICE(authres_value(&arena, S("mx.example.net"), &v),
	    S("mx.example.net; dkim2=permerror (PERMERROR: DKIM2-Signature i=? syntax error)"));
	v = (struct dkim2_verdict){ .state = DKIM2_NONE };
	WANT_SLICE(authres_value(&arena, S("mx.example.net"), &v), S("mx.example.net; dkim2=none"));
	WANT_SLICE(authres_value(&arena, S("a \"b"), &v), S("\"a \\\"b\"; dkim2=none"));
	WANT_SLICE(authres_field(&arena, S("mx.example.net"), &v), S("Authentication-Results: mx.example.net;\r\n dkim2=none\r\n"));
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

		WANT_SLICE(authres_value(&arena, S("m"), &v), arena_printf(&arena, "m; dkim2=fail (FAIL: %s)", rows[i].written));
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
			for (struct slice rest = authres_field(&arena, S("mx.example.net"), &v); rest.n;) {
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
	field = authres_field(&arena, S("mx.example.net"), &v);
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
	field = authres_field(&arena, S("mx.example.net"), &v);
	{
		struct slice value = authres_value(&arena, S("mx.example.net"), &v);
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
	};

	return RUN_TESTS(tests);
}
