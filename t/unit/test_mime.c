/* Content types and the parts of a multipart (RFC 2045, 2046). */
#include "arena.h"

#include "base/limits.h"
#include "mail/mime.h"

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))
#define X70 "0123456789012345678901234567890123456789012345678901234567890123456789"

static void content_types(void **state)
{
	static const struct {
		const char *name, *value;
		bool valid;
		const char *boundary; /* what is read of it */
	} rows[] = {
		{ "a token", " multipart/report; report-type=delivery-status; boundary=dsn-boundary", true, "dsn-boundary" },
		{ "quoted", "multipart/report; boundary=\"a b\"", true, "a b" },
		{ "quoted pair", "multipart/report; boundary=\"a\\bc\"", true, "abc" },
		{ "folded", "multipart/report;\r\n\tboundary=\"x\"", true, "x" },
		{ "folded inside the quotes", "multipart/report; boundary=\"x\r\n y\"", true, "x y" },
		{ "comments everywhere", "(a) multipart (b) / (c(d)) report ; (\\)) boundary (e) = (f) x (g)", true, "x" },
		{ "any case", "Multipart/Report; BOUNDARY=x", true, "x" },
		{ "semicolon in quotes", "multipart/report; a=\"; boundary=y\"; boundary=x", true, "x" },
		{ "one semicolon at the end", "multipart/report; boundary=x;", true, "x" },
		{ "two semicolons", "multipart/report;; boundary=x", false, "" },
		{ "no subtype", "multipart; boundary=x", false, "" },
		{ "empty subtype", "multipart/; boundary=x", false, "" },
		{ "nothing at all", "", false, "" },
		{ "comment without end", "multipart/report (; boundary=x", false, "" },
		{ "quote without end", "multipart/report; boundary=\"x", false, "" },
		{ "quote that ends in a backslash", "multipart/report; boundary=\"x\\", false, "" },
		{ "no value", "multipart/report; boundary=", false, "" },
		{ "no name", "multipart/report; =x", false, "" },
		{ "special octet without quotes", "multipart/report; boundary=a=b", false, "" },
		{ "two words without quotes", "multipart/report; boundary=a b", false, "" },
		{ "text behind the quotes", "multipart/report; boundary=\"a\"b", false, "" },
		{ "bare LF", "multipart/report;\nboundary=x", false, "" },
		{ "bare CR in quotes", "multipart/report; boundary=\"a\rb\"", false, "" },
		{ "fold without a blank", "multipart/report;\r\nboundary=x", false, "" },
		{ "8 bits in a token", "multipart/report; boundary=\xfc", false, "" },
		{ "there twice", "multipart/report; boundary=x; Boundary=y", true, "" },
		{ "there twice with one value", "multipart/report; boundary=x; boundary=x", true, "" },
		{ "beside a continuation", "multipart/report; boundary=x; boundary*0=y", true, "" },
		{ "beside an extended one", "multipart/report; boundary*=us-ascii''y; boundary=x", true, "" },
		{ "continuations only", "multipart/report; boundary*0=x; boundary*1=y", true, "" },
		{ "extended only", "multipart/report; boundary*=us-ascii''x", true, "" },
		{ "continuation of another", "multipart/report; name*0=a; name*1=b; boundary=x", true, "x" },
		{ "empty in quotes", "multipart/report; boundary=\"\"", true, "" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct mime_type t;
		bool valid = mime_type_parse(&arena, slice_str(rows[i].value), &t);

		if (valid != rows[i].valid)
			fail_msg("%s: %d", rows[i].name, valid);
		if (!valid)
			continue;
		if (!mime_is(&t, S("multipart"), S("report")) || !mime_is(&t, S("MULTIPART"), SLICE_NONE) || mime_is(&t, S("text"), SLICE_NONE) ||
		    mime_is(&t, S("multipart"), S("mixed")))
			fail_msg("%s: type", rows[i].name);
		if (!slice_eq(mime_param(&t, S("boundary")), slice_str(rows[i].boundary)))
			fail_msg("%s: \"%.*s\"", rows[i].name, SLICE_FMT(mime_param(&t, S("boundary"))));
	}
}

static void as_many_parameters_as_allowed(void **state)
{
	(void)state;
	for (unsigned n = LIMIT_MIME_PARAMS; n <= LIMIT_MIME_PARAMS + 1; n++) {
		char value[2048];
		int at = snprintf(value, sizeof(value), "text/plain");
		struct mime_type t;

		for (unsigned k = 0; k < n; k++)
			at += snprintf(value + at, sizeof(value) - (size_t)at, "; p%u=v", k);
		assert_int_equal(mime_type_parse(&arena, slice_str(value), &t), n == LIMIT_MIME_PARAMS);
	}
}

static void boundaries(void **state)
{
	(void)state;
	assert_true(mime_boundary(S("a'()+_,-./:=?b")));
	assert_true(mime_boundary(S(" a")));
	assert_true(mime_boundary(S(X70)));
	assert_false(mime_boundary(S(X70 "0")));
	assert_false(mime_boundary(S("a ")));
	assert_false(mime_boundary(SLICE_NONE));
	assert_false(mime_boundary(S("a\"")));
	assert_false(mime_boundary(slice_of("a\0b", 3)));
	assert_false(mime_boundary(S("\xc3\xbc")));
}

static void parts(void **state)
{
	static const struct {
		const char *name, *body;
		size_t n; /* 0: refused */
		const char *part[3];
	} rows[] = {
		{ "three", "--b\r\none\r\n--b\r\n\r\ntwo\r\n\r\n--b\r\nthree\r\n--b--\r\n", 3, { "one", "\r\ntwo\r\n", "three" } },
		{ "preamble and epilogue", "pre\r\n--b\r\none\r\n--b--\r\nepi\r\n--b\r\nno\r\n--b--", 1, { "one", NULL, NULL } },
		{ "closed by the end", "--b\r\none\r\n--b--", 1, { "one", NULL, NULL } },
		{ "blanks behind delimiters", "--b \t\r\none\r\n--b-- \r\n", 1, { "one", NULL, NULL } },
		{ "empty part", "--b\r\n\r\n--b--", 1, { "", NULL, NULL } },
		{ "boundary inside a line", "--b\r\none --b\r\n--b--", 1, { "one --b", NULL, NULL } },
		{ "bare LF in front", "--b\r\none\n--b\r\n--b--", 1, { "one\n--b", NULL, NULL } },
		{ "bare CR in front", "--b\r\none\r--b\r\n--b--", 1, { "one\r--b", NULL, NULL } },
		{ "other boundary", "--b\r\n--c\r\n--b--", 1, { "--c", NULL, NULL } },
		{ "never closed", "--b\r\none\r\n--b\r\ntwo\r\n", 0, { NULL, NULL, NULL } },
		{ "closed at once", "--b--\r\n", 0, { NULL, NULL, NULL } },
		{ "no delimiter", "text\r\n", 0, { NULL, NULL, NULL } },
		{ "nothing", "", 0, { NULL, NULL, NULL } },
		{ "longer boundary", "--b\r\none\r\n--bb\r\ntwo\r\n--b--", 0, { NULL, NULL, NULL } },
		{ "text behind the closing one", "--b\r\none\r\n--b--x\r\n", 0, { NULL, NULL, NULL } },
		{ "half a closing one", "--b\r\none\r\n--b-\r\n--b--", 0, { NULL, NULL, NULL } },
		{ "delimiter ended by LF", "--b\r\none\r\n--b\ntwo\r\n--b--", 0, { NULL, NULL, NULL } },
		{ "nothing between two", "--b\r\n--b\r\none\r\n--b--", 0, { NULL, NULL, NULL } },
		{ "four", "--b\r\n1\r\n--b\r\n2\r\n--b\r\n3\r\n--b\r\n4\r\n--b--", 0, { NULL, NULL, NULL } },
		{ "in the preamble a longer one", "--bb\r\n--b\r\none\r\n--b--", 0, { NULL, NULL, NULL } },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct slice got[3];
		size_t n = 0;
		bool split = mime_split(slice_str(rows[i].body), S("b"), got, 3, &n);

		if (split != (rows[i].n > 0) || n != rows[i].n)
			fail_msg("%s: %d, %zu parts", rows[i].name, split, n);
		for (size_t k = 0; k < n; k++)
			if (!slice_eq(got[k], slice_str(rows[i].part[k])))
				fail_msg("%s: part %zu is \"%.*s\"", rows[i].name, k, SLICE_FMT(got[k]));
	}
}

static void one_part(void **state)
{
	struct mime_part p;

	(void)state;
	assert_true(mime_part_parse(&arena, S("Content-Type: message/rfc822\r\n\r\nA: b\r\n\r\nc"), 10, &p));
	assert_true(mime_is(&p.type, S("message"), S("rfc822")) && p.encoding == MIME_PLAIN);
	WANT_SLICE(p.body, S("A: b\r\n\r\nc"));
	assert_true(mime_part_parse(&arena, S("\r\ntext"), 10, &p));
	assert_true(mime_is(&p.type, S("text"), S("plain")) && p.header.n == 0);
	WANT_SLICE(p.body, S("text"));
	assert_true(mime_part_parse(&arena, S("Content-Type: text/html"), 10, &p)); /* the CRLF was the delimiter's */
	assert_true(mime_is(&p.type, S("text"), S("html")) && p.body.n == 0);
	assert_true(mime_part_parse(&arena, SLICE_NONE, 10, &p));
	assert_true(mime_part_parse(&arena, S("Content-Transfer-Encoding: 8BIT (yes)\r\n\r\n"), 10, &p));
	assert_int_equal(p.encoding, MIME_PLAIN);
	assert_true(mime_part_parse(&arena, S("Content-Transfer-Encoding: base64\r\n\r\n"), 10, &p));
	assert_int_equal(p.encoding, MIME_ENCODED);
	assert_false(mime_part_parse(&arena, S("Content-Transfer-Encoding: 7bit base64\r\n\r\n"), 10, &p));
	assert_false(mime_part_parse(&arena, S("Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"), 10, &p));
	assert_false(mime_part_parse(&arena, S("Content-Type: text/html\r\ncontent-type: text/html\r\n\r\n"), 10, &p));
	assert_false(mime_part_parse(&arena, S("no field\r\n\r\n"), 10, &p));
	assert_false(mime_part_parse(&arena, S("A: 1\r\nB: 2\r\n\r\n"), 1, &p));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(content_types, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(as_many_parameters_as_allowed, fresh_arena, drop_arena),
		cmocka_unit_test(boundaries),
		cmocka_unit_test(parts),
		cmocka_unit_test_setup_teardown(one_part, fresh_arena, drop_arena),
	};

	return RUN_TESTS(tests);
}
