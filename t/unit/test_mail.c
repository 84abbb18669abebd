/* What a message is: domains, paths, address lists, header blocks, the edit log, dates. */
#include "arena.h"

#include "base/buf.h"
#include "base/limits.h"
#include "mail/addr.h"
#include "mail/date.h"
#include "mail/domain.h"
#include "mail/edit.h"
#include "mail/header.h"
#include "mail/utf8.h"

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

static void utf8_rows(void **state)
{
	static const struct {
		const char *name;
		struct slice text;
		bool valid;
	} rows[] = {
		{ "empty", { NULL, 0 }, true },
		{ "ASCII", { (const unsigned char *)"a\0b", 3 }, true },
		{ "two, three, four octets", { (const unsigned char *)"\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80", 9 }, true },
		{ "overlong slash", { (const unsigned char *)"\xc0\xaf", 2 }, false },
		{ "overlong in three", { (const unsigned char *)"\xe0\x80\xaf", 3 }, false },
		{ "surrogate", { (const unsigned char *)"\xed\xa0\x80", 3 }, false },
		{ "above U+10FFFF", { (const unsigned char *)"\xf4\x90\x80\x80", 4 }, false },
		{ "cut short", { (const unsigned char *)"\xe2\x82", 2 }, false },
		{ "lone continuation", { (const unsigned char *)"\x80", 1 }, false },
		{ "Latin-1", { (const unsigned char *)"\xfc" "ber", 4 }, false },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		if (utf8_valid(rows[i].text) != rows[i].valid)
			fail_msg("%s", rows[i].name);
	WANT_SLICE(utf8_head(S("a\xe2\x82\xac"), 3), S("a"));
	WANT_SLICE(utf8_head(S("a\xe2\x82\xac"), 4), S("a\xe2\x82\xac"));
	WANT_SLICE(utf8_head(S("abc"), 2), S("ab"));
}

#define X63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void domain_normal_rows(void **state)
{
	static const struct {
		const char *name, *in, *out; /* NULL: refused */
	} rows[] = {
		{ "lower case stays", "a.example", "a.example" },
		{ "case", "A.ExAmple", "a.example" },
		{ "one final dot", "a.example.", "a.example" },
		{ "two final dots", "a.example..", NULL },
		{ "only a dot", ".", NULL },
		{ "empty", "", NULL },
		{ "empty label", "a..example", NULL },
		{ "leading dot", ".example", NULL },
		{ "U-label", "b\xc3\xbc" "cher.example", "xn--bcher-kva.example" },
		{ "upper U-label", "B\xc3\x9c" "CHER.Example", "xn--bcher-kva.example" },
		{ "U-label not in NFC", "bu\xcc\x88" "cher.example", "xn--bcher-kva.example" },
		{ "A-label", "XN--bcher-KVA.example", "xn--bcher-kva.example" },
		{ "Latin-1", "b\xfc" "cher.example", NULL },
		{ "ideographic full stop", "a\xe3\x80\x82" "example", "a.example" },
		{ "underscore", "_dmarc.a.example", "_dmarc.a.example" },
		{ "quote", "legit.example'a.attack.example", NULL },
		{ "parenthesis", "legit.example(a.example", NULL },
		{ "blank", "a example", NULL },
		{ "label of 63", X63 ".example", X63 ".example" },
		{ "label of 64", X63 "a.example", NULL },
		{ "name of 253", X63 "." X63 "." X63 ".aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", X63 "." X63 "." X63 ".aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" },
		{ "name of 254", X63 "." X63 "." X63 ".aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL },
		{ "literal", "[IPv6:2001:DB8::1]", "[ipv6:2001:db8::1]" },
		{ "literal without end", "[192.0.2.1", NULL },
		{ "empty literal", "[]", NULL },
		{ "literal in a literal", "[a[b]]", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct slice out = S("?");
		bool ok = domain_normal(&arena, slice_str(rows[i].in), &out);

		if (ok != (rows[i].out != NULL))
			fail_msg("%s", rows[i].name);
		if (ok)
			WANT_SLICE(out, slice_str(rows[i].out));
	}
	assert_false(domain_normal(&arena, S("a\0b.example"), &(struct slice){ 0 }));
	assert_false(domain_normal(&arena, S("\xc3\xbc\0b.example"), &(struct slice){ 0 }));
}

static void domain_follows_rows(void **state)
{
	static const struct {
		const char *name, *x, *y;
		bool follows;
	} rows[] = {
		{ "the same", "a.example", "a.example", true },
		{ "bounce subdomain follows", "b7.list.example", "list.example", true },
		{ "two labels dropped", "c.b.list.example", "list.example", true },
		{ "labels never drop off y", "list.example", "b7.list.example", false },
		{ "a shared suffix is no label", "notlist.example", "list.example", false },
		{ "empty follows nothing", "", "list.example", false },
		{ "nothing follows empty", "list.example", "", false },
		{ "empty and empty", "", "", false },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		if (domain_follows(slice_str(rows[i].x), slice_str(rows[i].y)) != rows[i].follows)
			fail_msg("%s", rows[i].name);
}

static void path_parse_rows(void **state)
{
	static const struct {
		const char *name, *in, *local, *domain; /* local NULL: refused */
	} rows[] = {
		{ "plain", "<a@b.example>", "a", "b.example" },
		{ "null", "<>", "", "" },
		{ "postmaster", "<Postmaster>", "Postmaster", "" },
		{ "another name without domain", "<root>", NULL, NULL },
		{ "postmaster in quotes", "<\"postmaster\">", NULL, NULL },
		{ "dots", "<a.b+c=d@b.example>", "a.b+c=d", "b.example" },
		{ "double dot", "<a..b@b.example>", NULL, NULL },
		{ "leading dot", "<.a@b.example>", NULL, NULL },
		{ "final dot of local", "<a.@b.example>", NULL, NULL },
		{ "quoted", "<\"a b\"@b.example>", "\"a b\"", "b.example" },
		{ "quoted at sign", "<\"a@x\"@b.example>", "\"a@x\"", "b.example" },
		{ "quoted pair", "<\"a\\\"b\"@b.example>", "\"a\\\"b\"", "b.example" },
		{ "quote without end", "<\"a@b.example>", NULL, NULL },
		{ "quoted pair at the end", "<\"a\\@b.example>", NULL, NULL },
		{ "control in quotes", "<\"a\x01\"@b.example>", NULL, NULL },
		{ "text behind quotes", "<\"a\"b@b.example>", NULL, NULL },
		{ "two at signs", "<a@b@c.example>", NULL, NULL },
		{ "quote and two at signs", "<any@legit.example'@any.attack.example>", NULL, NULL },
		{ "comment opener", "<(any@legit.example>", NULL, NULL },
		{ "comment opener in domain", "<any@legit.example(a.attack.example>", NULL, NULL },
		{ "route", "<@x.example,@y.example:a@b.example>", "a", "b.example" },
		{ "route of one", "<@x.example:a@b.example>", "a", "b.example" },
		{ "route with a quote", "<@legit.example,@any.example:'any@attack.example>", "'any", "attack.example" },
		{ "route without address", "<@x.example:>", NULL, NULL },
		{ "route without at", "<x.example:a@b.example>", NULL, NULL },
		{ "route without colon", "<@x.example>", NULL, NULL },
		{ "no brackets", "a@b.example", NULL, NULL },
		{ "left bracket only", "<a@b.example", NULL, NULL },
		{ "parameter behind", "<a@b.example> NOTIFY=NEVER", NULL, NULL },
		{ "bracket inside", "<a>b@b.example>", NULL, NULL },
		{ "blank", "<a @b.example>", NULL, NULL },
		{ "blank in domain", "<a@b. example>", NULL, NULL },
		{ "no domain", "<a@>", NULL, NULL },
		{ "no local", "<@>", NULL, NULL },
		{ "final dot", "<a@b.example.>", NULL, NULL },
		{ "empty label", "<a@b..example>", NULL, NULL },
		{ "IPv4 literal", "<a@[192.0.2.1]>", "a", "[192.0.2.1]" },
		{ "IPv4 literal out of range", "<a@[192.0.2.256]>", NULL, NULL },
		{ "IPv6 literal", "<a@[IPv6:2001:db8::1]>", "a", "[IPv6:2001:db8::1]" },
		{ "IPv6 literal, no hex", "<a@[IPv6:xyz]>", NULL, NULL },
		{ "general literal", "<a@[x400:foo]>", "a", "[x400:foo]" },
		{ "literal without tag", "<a@[foo]>", NULL, NULL },
		{ "UTF-8", "<d\xc3\xb6rte@b\xc3\xbc" "cher.example>", "d\xc3\xb6rte", "b\xc3\xbc" "cher.example" },
		{ "Latin-1", "<d\xf6rte@b.example>", NULL, NULL },
		{ "empty", "", NULL, NULL },
		{ "one bracket", "<", NULL, NULL },
	};
	char big[1100];
	struct path p;

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		bool ok = path_parse(slice_str(rows[i].in), &p);

		if (ok != (rows[i].local != NULL))
			fail_msg("%s", rows[i].name);
		if (!ok)
			continue;
		WANT_SLICE(p.raw, slice_str(rows[i].in));
		WANT_SLICE(p.local, slice_str(rows[i].local));
		WANT_SLICE(p.domain, slice_str(rows[i].domain));
		assert_int_equal(p.null, strcmp(rows[i].in, "<>") == 0);
	}
	assert_true(path_parse(S("<\xc3\xb6@b.example>"), &p) && p.utf8);
	assert_true(path_parse(S("<o@b.example>"), &p) && !p.utf8);
	assert_false(path_parse(S("<a\0@b.example>"), &p));
	assert_false(path_parse(S("<\"a\r\n\"@b.example>"), &p));
	memset(big, 'a', sizeof(big));
	big[0] = '<';
	memcpy(big + 1010, "@b.example.xx>", 14);
	assert_true(path_parse(slice_of(big, 1024), &p));
	memcpy(big + 1011, "@b.example.xx>", 14);
	big[1010] = 'a';
	assert_false(path_parse(slice_of(big, 1025), &p));
}

static void path_same_rows(void **state)
{
	static const struct {
		const char *name, *x, *y;
		bool same;
	} rows[] = {
		{ "equal", "<a@b.example>", "<a@b.example>", true },
		{ "case of the domain", "<a@b.example>", "<a@B.EXAMPLE>", true },
		{ "case of the local part", "<a@b.example>", "<A@b.example>", false },
		{ "needless quotes", "<\"a\"@b.example>", "<a@b.example>", true },
		{ "needless quoted pair", "<\"\\a\"@b.example>", "<a@b.example>", true },
		{ "quotes that matter", "<\"a b\"@b.example>", "<\"ab\"@b.example>", false },
		{ "quotes kept on both sides", "<\"a b\"@b.example>", "<\"a\\ b\"@B.example>", true },
		{ "U-label and A-label", "<a@b\xc3\xbc" "cher.example>", "<a@xn--bcher-kva.example>", true },
		{ "route dropped", "<@x.example:a@b.example>", "<a@b.example>", true },
		{ "null", "<>", "<>", true },
		{ "null and some", "<>", "<a@b.example>", false },
		{ "subdomain", "<a@b.example>", "<a@x.b.example>", false },
		{ "postmaster as is", "<postmaster>", "<postmaster>", true },
		{ "postmaster and a domain", "<postmaster>", "<postmaster@b.example>", false },
		{ "no path, same octets", "<a..b@b.example>", "<a..b@b.example>", true },
		{ "no path, other case", "<a..b@b.example>", "<a..b@B.example>", false },
		{ "quoted brackets are no path", "<\"<a..b@b.example>\"@c.example>", "<a..b@b.example>", false },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		if (path_same(&arena, slice_str(rows[i].x), slice_str(rows[i].y)) != rows[i].same ||
		    path_same(&arena, slice_str(rows[i].y), slice_str(rows[i].x)) != rows[i].same)
			fail_msg("%s", rows[i].name);
	}
}

static void addr_list_rows(void **state)
{
	static const struct {
		const char *name, *in, *out; /* "local domain|..."; NULL: refused */
	} rows[] = {
		{ "bare", "a@b.example", "a b.example" },
		{ "display name", "Alice Doe <a@B.example>", "a b.example" },
		{ "no display name", "<a@b.example>", "a b.example" },
		{ "folded", " Alice\r\n <a@b.example>", "a b.example" },
		{ "dot in the name", "John Q. Public <j@b.example>", "j b.example" },
		{ "quoted name", "\"Doe, Alice\" <a@b.example>", "a b.example" },
		{ "name looks like an address", "\"ceo@legit.example\" <x@evil.example>", "x evil.example" },
		{ "comment looks like an address", "x@evil.example (ceo@legit.example)", "x evil.example" },
		{ "comment before", "(ceo@legit.example) x@evil.example", "x evil.example" },
		{ "nested comment", "(a (b <c@d.example>) \\) e) x@evil.example", "x evil.example" },
		{ "comment inside an address", "x(a)@(b)evil(c).(d)example", "x evil.example" },
		{ "comment without end", "x@evil.example (ceo", NULL },
		{ "comment end too much", "x@evil.example )", NULL },
		{ "encoded word", "=?utf-8?q?=3Cceo=40b.test=3E?= <x@evil.test>", "x evil.test" },
		{ "two", "a@b.example, c@d.example", "a b.example|c d.example" },
		{ "two with a comment between", "<ceo@b.test>(x), \"s@a.test\" <x@evil.test>", "ceo b.test|x evil.test" },
		{ "bare, then angle", "admin@legit.example,<second@attack.example>", "admin legit.example|second attack.example" },
		{ "empty elements", ",a@b.example,, c@d.example ,", "a b.example|c d.example" },
		{ "group", "g:ceo@b.test;", "ceo b.test" },
		{ "group of two, one more behind", "g: a@b.example, C <c@d.example>;, e@f.example", "a b.example|c d.example|e f.example" },
		{ "group named like an address", "\"admin@legit.example\": <x@attack.example>;", "x attack.example" },
		{ "group with a bare address as name", "admin@legit.example:;", NULL },
		{ "empty group", "undisclosed:;", NULL },
		{ "group in a group", "g: h: a@b.example;;", NULL },
		{ "group without end", "g: a@b.example", NULL },
		{ "group without name", ": a@b.example;", NULL },
		{ "text after a group", "g: a@b.example; x", NULL },
		{ "route", "<@b.test:x@evil.test>", "x evil.test" },
		{ "longer route", "A <@b.test, @c.test,:x@evil.test>", "x evil.test" },
		{ "route without colon", "<@b.test x@evil.test>", NULL },
		{ "text after the angle", "<any@attack.example>admin@legit.example", NULL },
		{ "word after the angle", "<any@attack.example> admin", NULL },
		{ "two angles", "<a@b.example><c@d.example>", NULL },
		{ "two at signs", "a@b.example@c.example", NULL },
		{ "address as bare name", "ceo@legit.example <x@evil.example>", NULL },
		{ "two words before the at", "a b@c.example", NULL },
		{ "obsolete blanks around dots", "a . b @ c . example", "a.b c.example" },
		{ "quoted local", "\"a b\"@c.example", "\"a b\" c.example" },
		{ "quoted part of a local", "a.\"b c\".d@e.example", "a.\"b c\".d e.example" },
		{ "quotes without end", "\"a@b.example", NULL },
		{ "U-label", "x@b\xc3\xbc" "cher.example", "x xn--bcher-kva.example" },
		{ "Latin-1 domain", "x@b\xfc" "cher.example", NULL },
		{ "literal", "x@[192.0.2.1]", "x [192.0.2.1]" },
		{ "no domain", "Alice", NULL },
		{ "empty angle", "Alice <>", NULL },
		{ "angle without domain", "Alice <a>", NULL },
		{ "angle without end", "Alice <a@b.example", NULL },
		{ "empty", "", NULL },
		{ "only blanks", " \r\n ", NULL },
		{ "bare LF", "a@b.example\n", NULL },
		{ "CRLF without blank", "a@b.example\r\nx", NULL },
		{ "backslash", "a\\@b.example", NULL },
		{ "quote in a domain", "a@legit.example'x.evil.example", NULL },
		{ "final dot of a domain", "a@b.example.", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct addr *list;
		size_t n;
		char got[512] = "";
		bool ok = addr_list(&arena, slice_str(rows[i].in), &list, &n);

		if (ok != (rows[i].out != NULL))
			fail_msg("%s", rows[i].name);
		if (!ok)
			continue;
		for (size_t k = 0; k < n; k++) {
			size_t used = strlen(got);

			snprintf(got + used, sizeof(got) - used, "%s%.*s %.*s", k ? "|" : "", SLICE_FMT(list[k].local),
			    SLICE_FMT(list[k].domain));
		}
		WANT_SLICE(slice_str(got), slice_str(rows[i].out));
	}
	assert_false(addr_list(&arena, S("ceo@b.test\0@evil.test"), &(struct addr *){ 0 }, &(size_t){ 0 }));
	assert_false(addr_list(&arena, S("a@b.test\0"), &(struct addr *){ 0 }, &(size_t){ 0 }));
}

static void header_parse_rows(void **state)
{
	static const struct {
		const char *name, *block;
		size_t n;
		const char *names; /* joined by '|' */
		bool malformed;
	} rows[] = {
		{ "empty", "", 0, "", false },
		{ "two", "A: 1\r\nB: 2\r\n", 2, "A|B", false },
		{ "fold", "A: 1\r\n 2\r\n\t3\r\nB:\r\n", 2, "A|B", false },
		{ "blank before the colon", "A : 1\r\n", 1, "A", false },
		{ "no final CRLF", "A: 1\r\nB: 2", 2, "A|B", false },
		{ "bare LF is an octet", "A: 1\nB: 2\r\nC: 3\r\n", 2, "A|C", false },
		{ "bare CR is an octet", "A: 1\rB: 2\r\nC: 3\r\n", 2, "A|C", false },
		{ "no colon", "A: 1\r\nnot a header\r\nB: 2\r\n", 3, "A||B", true },
		{ "mbox line", "From x@y Sat Nov 21 10:00:00 2026\r\nA: 1\r\n", 2, "|A", true },
		{ "first line folded", " x: 1\r\nA: 1\r\n", 2, "|A", true },
		{ "no name", ": 1\r\n", 1, "", true },
		{ "8-bit name", "A\xc3\xbc: 1\r\n", 1, "", true },
		{ "fold before the colon", "A\r\n : 1\r\n", 1, "", true },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct slice block = slice_str(rows[i].block);
		struct header h;
		struct fault f = { 0 };
		char names[64] = "";
		size_t octets = 0;

		assert_true(header_parse(&arena, block, 100, &h, &f));
		for (size_t k = 0; k < h.n; k++) {
			size_t used = strlen(names);

			snprintf(names + used, sizeof(names) - used, "%s%.*s", k ? "|" : "", SLICE_FMT(h.fields[k].name));
			assert_ptr_equal(h.fields[k].raw.at, block.at + octets);
			octets += h.fields[k].raw.n;
		}
		if (h.n != rows[i].n || strcmp(names, rows[i].names) != 0 || h.malformed != rows[i].malformed)
			fail_msg("%s: %s", rows[i].name, names);
		assert_int_equal(octets, block.n); /* no octet is lost */
	}
}

static void header_fields_are_split(void **state)
{
	struct header h;
	struct fault f = { 0 };

	(void)state;
	assert_true(header_parse(&arena, S("Aa \t: 1\r\n 2\r\nbB:\r\nAA:x"), 3, &h, &f));
	WANT_SLICE(h.fields[0].name, S("Aa"));
	WANT_SLICE(h.fields[0].value, S(" 1\r\n 2"));
	WANT_SLICE(h.fields[0].raw, S("Aa \t: 1\r\n 2\r\n"));
	assert_true(h.fields[0].blank_name);
	WANT_SLICE(h.fields[1].value, S(""));
	assert_false(h.fields[1].blank_name);
	WANT_SLICE(h.fields[2].value, S("x"));
	assert_int_equal(header_find(&h, S("aa"), 0), 0);
	assert_int_equal(header_find(&h, S("aa"), 1), 2);
	assert_int_equal(header_find(&h, S("cc"), 0), 3);
	assert_int_equal(header_find(&h, S("aa"), 9), 3);
	assert_false(header_parse(&arena, S("A:1\r\nB:2\r\n"), 1, &h, &f));
	assert_int_equal(f.code, FAULT_HEADER_TOO_BIG);
	assert_int_equal(f.at, 5);
}

static void header_end_is_the_same_at_every_cut(void **state)
{
	static const struct {
		const char *name, *text;
		size_t block, body; /* 0, 0: no end */
	} rows[] = {
		{ "plain", "A: 1\r\nB: 2\r\n\r\nbody\r\n\r\n", 12, 14 },
		{ "empty header", "\r\nbody\r\n\r\n", 0, 2 },
		{ "no end", "A: 1\r\nB: 2\r\n", 0, 0 },
		{ "LF CRLF is no end", "A: 1\n\r\nB: 2\r\n\r\n", 13, 15 },
		{ "CR CRLF CRLF", "A: 1\r\r\n\r\nx", 7, 9 },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct slice all = slice_str(rows[i].text);

		for (size_t cut = 0; cut <= all.n; cut++) {
			size_t seen = 0, block = 99, body = 99;
			bool done = header_end(slice_sub(all, 0, cut), &seen, &block, &body);

			assert_int_equal(done, rows[i].body && cut >= rows[i].body);
			if (!done)
				done = header_end(all, &seen, &block, &body);
			assert_int_equal(done, rows[i].body != 0);
			if (done) {
				assert_int_equal(block, rows[i].block);
				assert_int_equal(body, rows[i].body);
			}
		}
		for (size_t n = 0, seen = 0; n <= all.n; n++) {
			size_t block, body;

			if (header_end(slice_sub(all, 0, n), &seen, &block, &body)) {
				assert_int_equal(n, rows[i].body);
				break;
			}
			assert_true(n < all.n || rows[i].body == 0);
		}
	}
}

/* What header_fits() says of it in pieces of `step` octets. */
static bool fits(struct slice all, size_t step, size_t field_max)
{
	struct header_count count = { 0 };
	struct fault f = { 0 };

	for (size_t n = 0; n < all.n;) {
		n = step < all.n - n ? n + step : all.n;
		if (!header_fits(&count, slice_sub(all, 0, n), field_max, &f)) {
			assert_int_equal(f.code, FAULT_HEADER_TOO_BIG);
			return false;
		}
	}
	return true;
}

static void a_header_too_big_is_seen_as_it_comes(void **state)
{
	static const struct {
		const char *name, *text;
		size_t fields;
	} rows[] = {
		{ "plain", "A: 1\r\nB: 2\r\n\r\n", 2 },
		{ "folds are no fields", "A: 1\r\n 2\r\n\t3\r\nB: 2\r\n\r\n", 2 },
		{ "the body is none of it", "A: 1\r\n\r\nB: 2\r\nC: 3\r\n", 1 },
		{ "a fold in front of all is a field", " 1\r\nB: 2\r\n\r\n", 2 },
		{ "LF alone ends no line", "A: 1\nB: 2\r\nC: 3\r\n\r\n", 2 },
		{ "nor does CR", "A: 1\r\r\n\r\n", 1 },
		{ "a line of CR is a field", "A: 1\r\n\rx\r\n\r\n", 2 },
		{ "no end", "A: 1\r\nB: 2", 2 },
		{ "empty", "\r\nA: 1\r\nB: 2\r\n", 0 },
	};
	enum { LONG = LIMIT_HEADER_LINE };
	struct buf b;

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		for (size_t step = 1; step < 30; step++) {
			struct slice all = slice_str(rows[i].text);

			assert_true(fits(all, step, rows[i].fields));
			assert_true(rows[i].fields == 0 || !fits(all, step, rows[i].fields - 1));
		}
	buf_init(&b, LONG * 2);
	buf_str(&b, "A: 1\r\n");
	for (buf_str(&b, "B: 1\r\n xyz\r\n"); b.n < 6 + LONG;)
		buf_str(&b, " x\r\n");
	assert_int_equal(b.n, 6 + LONG); /* a field of just as many octets as it may have */
	for (size_t step = 1000; step <= 64000; step *= 64) {
		assert_true(fits(buf_get(&b), step, 9));
		buf_str(&b, "\r\nbody");
		assert_true(fits(buf_get(&b), step, 9));
		b.at[6 + LONG] = '\t'; /* it goes on */
		assert_false(fits(slice_sub(buf_get(&b), 0, 6 + LONG + 1), step, 9));
		b.n = 6 + LONG;
	}
	memset(b.at, 'A', b.n); /* one line that does not end */
	assert_true(fits(slice_sub(buf_get(&b), 0, LONG), 1000, 9));
	assert_false(fits(slice_sub(buf_get(&b), 0, LONG + 1), 1000, 9));
	buf_release(&b);
}

static struct slice written(struct edit *e)
{
	struct slice *runs;
	size_t n, used = 0;
	unsigned char *p;

	assert_true(edit_list(e, &runs, &n));
	p = arena_take(&arena, edit_octets(e));
	assert_non_null(p);
	for (size_t i = 0; i < n; i++) {
		memcpy(p + used, runs[i].at, runs[i].n);
		used += runs[i].n;
	}
	assert_int_equal(used, edit_octets(e));
	return slice_of(p, used);
}

static void edit_changes_only_what_it_was_told(void **state)
{
	struct slice block = S("A: 1\r\nB: 2\r\n x\r\nC: 3\r\nA: 4\r\n");
	struct header h;
	struct fault f = { 0 };
	struct edit *e;
	struct slice *runs;
	size_t n;

	(void)state;
	assert_true(header_parse(&arena, block, 9, &h, &f));
	e = edit_new(&arena, &h);
	assert_non_null(e);
	WANT_SLICE(written(e), block);
	assert_true(edit_list(e, &runs, &n));
	assert_int_equal(n, 1);
	edit_remove(e, 1);
	edit_remove(e, 1);
	edit_remove(e, 77);
	edit_prepend(e, S("X: low\r\n"));
	edit_prepend(e, S("Y: top\r\n more\r\n"));
	WANT_SLICE(written(e), S("Y: top\r\n more\r\nX: low\r\nA: 1\r\nC: 3\r\nA: 4\r\n"));
	assert_true(edit_list(e, &runs, &n));
	assert_int_equal(n, 4);
	WANT_SLICE(runs[3], S("C: 3\r\nA: 4\r\n"));
	assert_int_equal(edit_header(e)->n, 5);
	WANT_SLICE(edit_header(e)->fields[0].name, S("Y"));
	edit_remove(e, 0);
	edit_remove(e, 2);
	edit_remove(e, 3);
	WANT_SLICE(written(e), S("Y: top\r\n more\r\nX: low\r\n"));
	WANT_SLICE(block, S("A: 1\r\nB: 2\r\n x\r\nC: 3\r\nA: 4\r\n"));
}

/* What would end the header or smuggle a second field in is never written. */
static void edit_refuses_what_is_no_field(void **state)
{
	static const char *const rows[] = { "X: 1", "X: 1\n", "X: 1\r\nY: 2\r\n", "\r\n", "X: 1\r\n\r\n", "x\r\n", "" };

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct header h = { 0 };
		struct edit *e = edit_new(&arena, &h);

		edit_prepend(e, slice_str(rows[i]));
		if (edit_header(e))
			fail_msg("%s", rows[i]);
	}
}

static void date_rows(void **state)
{
	static const struct {
		int64_t s;
		const char *text;
	} rows[] = {
		{ 0, "Thu, 01 Jan 1970 00:00:00 +0000" },
		{ 951782399, "Mon, 28 Feb 2000 23:59:59 +0000" },
		{ 951782400, "Tue, 29 Feb 2000 00:00:00 +0000" },
		{ 951868800, "Wed, 01 Mar 2000 00:00:00 +0000" },
		{ 1795255200, "Sat, 21 Nov 2026 10:00:00 +0000" },
		{ 1798761599, "Thu, 31 Dec 2026 23:59:59 +0000" },
		{ 4107542400, "Mon, 01 Mar 2100 00:00:00 +0000" },
		{ 253402300799, "Fri, 31 Dec 9999 23:59:59 +0000" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		char out[DATE_OCTETS];
		size_t n = date_format(rows[i].s, out);

		WANT_SLICE(slice_of(out, n), slice_str(rows[i].text));
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh_arena, drop_arena)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(utf8_rows),
		TEST(domain_normal_rows),
		TEST(domain_follows_rows),
		TEST(path_parse_rows),
		TEST(path_same_rows),
		TEST(addr_list_rows),
		TEST(header_parse_rows),
		TEST(header_fields_are_split),
		TEST(header_end_is_the_same_at_every_cut),
		TEST(a_header_too_big_is_seen_as_it_comes),
		TEST(edit_changes_only_what_it_was_told),
		TEST(edit_refuses_what_is_no_field),
		TEST(date_rows),
	};

	return RUN_TESTS(tests);
}
