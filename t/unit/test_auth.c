/* What the mechanisms share: tag lists, canonical forms, key records. */
#include "arena.h"

#include "auth/canon.h"
#include "auth/keyrec.h"
#include "auth/taglist.h"
#include "base/b64.h"

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

static void taglist_rows(void **state)
{
	static const struct {
		const char *name, *text, *out; /* "name=value|..."; NULL: refused */
	} rows[] = {
		{ "plain", "i=1; m=2;", "i=1|m=2" },
		{ "no final semicolon", "i=1; m=2", "i=1|m=2" },
		{ "empty fragments", ";;i=1;; ;m=2; ;", "i=1|m=2" },
		{ "nothing", "", "" },
		{ "blanks around", "\r\n\ti \r\n = \t1 ; m=2 ", "i=1|m=2" },
		{ "fold inside a value", "r=ab\r\n cd;", "r=ab\r\n cd" },
		{ "equal signs in a value", "mf=PD4=;", "mf=PD4=" },
		{ "empty value", "p=; k=rsa", "p=|k=rsa" },
		{ "no equal sign", "i=1; junk; m=2", NULL },
		{ "no name", "=1", NULL },
		{ "name starts with a digit", "1a=1", NULL },
		{ "name with a hyphen", "a-b=1", NULL },
		{ "name with a blank", "a b=1", NULL },
		{ "name with an underscore", "a_1=1", "a_1=1" },
		{ "twice", "i=1; i=1", NULL },
		{ "twice in another case", "i=1; I=1", NULL },
		{ "8-bit", "i=\xc3\xbc", NULL },
		{ "DEL", "i=\x7f", NULL },
		{ "control", "i=\x01", NULL },
		{ "bare CR", "i=1\r;", NULL },
		{ "bare LF", "i=1\n ;", NULL },
		{ "CRLF without blank", "i=1;\r\nm=2", NULL },
	};
	struct taglist list;
	char many[600] = "";

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		char got[256] = "";
		bool ok = taglist_parse(&arena, slice_str(rows[i].text), TAGLIST_ANY_CASE, &list);

		if (ok != (rows[i].out != NULL))
			fail_msg("%s", rows[i].name);
		if (!ok)
			continue;
		for (size_t k = 0; k < list.n; k++) {
			size_t used = strlen(got);

			snprintf(got + used, sizeof(got) - used, "%s%.*s=%.*s", k ? "|" : "", SLICE_FMT(list.tags[k].name),
			    SLICE_FMT(list.tags[k].value));
		}
		WANT_SLICE(slice_str(got), slice_str(rows[i].out));
	}
	assert_false(taglist_parse(&arena, S("i=1\0"), TAGLIST_ANY_CASE, &list));
	assert_false(taglist_parse(&arena, S("d=m\303\274.example"), TAGLIST_EXACT, &list));
	assert_true(taglist_parse(&arena, S("d=m\303\274.example; D=1"), TAGLIST_UTF8, &list));
	assert_false(taglist_parse(&arena, S("\303\274=1"), TAGLIST_UTF8, &list));
	assert_false(taglist_parse(&arena, S("d=\177"), TAGLIST_UTF8, &list));
	assert_true(taglist_parse(&arena, S("k=1; K=2"), TAGLIST_EXACT, &list));
	WANT_SLICE(taglist_find(&list, TAGLIST_EXACT, S("K"))->value, S("2"));
	WANT_SLICE(taglist_find(&list, TAGLIST_ANY_CASE, S("K"))->value, S("1"));
	assert_null(taglist_find(&list, TAGLIST_EXACT, S("x")));
	for (int i = 0; i < 64; i++)
		snprintf(many + 5 * i, 6, "a%02d=;", i);
	assert_true(taglist_parse(&arena, slice_str(many), TAGLIST_EXACT, &list));
	assert_int_equal(list.n, 64);
	memcpy(many + 320, "b=", 3);
	assert_false(taglist_parse(&arena, slice_str(many), TAGLIST_EXACT, &list));
	assert_true(taglist_solid(S("rsa-sha256")));
	assert_false(taglist_solid(S("rsa- sha256")));
	assert_false(taglist_solid(S("")));
}

static struct slice body_digest(struct slice text, size_t first, size_t second, enum digest_alg alg)
{
	struct canon_body *c = canon_body_new(1U << DIGEST_SHA256 | 1U << DIGEST_SHA512);
	struct slice out;

	assert_non_null(c);
	canon_body_add(c, slice_sub(text, 0, first));
	canon_body_add(c, slice_sub(text, first, second - first));
	canon_body_add(c, slice_sub(text, second, SIZE_MAX));
	canon_body_end(c);
	canon_body_end(c);
	out = arena_copy(&arena, canon_body_digest(c, alg));
	canon_body_free(&c);
	assert_null(c);
	return out;
}

/* Each row, cut in three at every pair of places, hashes like the canonical text written by hand. */
static void body_is_the_same_at_every_cut(void **state)
{
	static const struct {
		const char *name, *text, *canonical;
	} rows[] = {
		{ "empty", "", "\r\n" },
		{ "only empty lines", "\r\n\r\n\r\n", "\r\n" },
		{ "one line", "Hi\r\n", "Hi\r\n" },
		{ "no line end", "Hi", "Hi\r\n" },
		{ "empty lines at the end", "Hi\r\n\r\n\r\n", "Hi\r\n" },
		{ "empty lines inside", "\r\n\r\nHi\r\n\r\n\r\nHo\r\n\r\n", "\r\n\r\nHi\r\n\r\n\r\nHo\r\n" },
		{ "a line of blanks is not empty", "Hi\r\n \r\n\r\n", "Hi\r\n \r\n" },
		{ "bare CR at the end", "Hi\r\n\r", "Hi\r\n\r\r\n" },
		{ "two bare CR at the end", "Hi\r\r", "Hi\r\r\r\n" },
		{ "CR CRLF", "Hi\r\r\n\r\n", "Hi\r\r\n" },
		{ "bare LF", "Hi\n\n", "Hi\n\n\r\n" },
		{ "LF first", "\nHi\r\n\n\r\n", "\nHi\r\n\n\r\n" },
		{ "only CR", "\r", "\r\r\n" },
		{ "many empty lines inside", "a\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n"
		  "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\nb",
		  "a\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n"
		  "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\nb\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct slice text = slice_str(rows[i].text);

		for (size_t alg = 0; alg < DIGEST_ALGS; alg++) {
			unsigned char want[DIGEST_OCTETS];
			size_t n = digest_once((enum digest_alg)alg, slice_str(rows[i].canonical), want);

			for (size_t first = 0; first <= text.n; first++) {
				for (size_t second = first; second <= text.n; second++) {
					struct slice got = body_digest(text, first, second, (enum digest_alg)alg);

					if (!slice_eq(got, slice_of(want, n)))
						fail_msg("%s, cut at %zu and %zu", rows[i].name, first, second);
				}
			}
		}
	}
}

/* Values of spec section 5.1. */
static void body_digests_are_the_published_ones(void **state)
{
	struct canon_body *c = canon_body_new(1U << DIGEST_SHA256);

	(void)state;
	WANT_SLICE(b64_text(&arena, body_digest(S("Hi"), 0, 0, DIGEST_SHA256)), S("j+uJ1+KwQjMpdNiCngwvlv2FTzZnzkokoCYASnN36NE="));
	WANT_SLICE(b64_text(&arena, body_digest(S(""), 0, 0, DIGEST_SHA256)), S("frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY="));
	WANT_SLICE(b64_text(&arena, body_digest(S("\r\n"), 0, 0, DIGEST_SHA512)), S("GzAqLx5iSl+1rZTdxOX4v9dNJvo3US0OX6zjA9jEDu4ND/o2SfXaQ/Q5kU0SgWbLbEd0p8qjsXTXU1RR62l7XQ=="));
	canon_body_end(c);
	WANT_SLICE(canon_body_digest(c, DIGEST_SHA512), SLICE_NONE);
	canon_body_free(&c);
}

static bool no_trace(struct slice name, const void *arg)
{
	(void)arg;
	return slice_ieq(name, S("received")) || slice_ieq(name, S("x-foo"));
}

static bool keep_all(struct slice name, const void *arg)
{
	(void)name;
	(void)arg;
	return false;
}

/* The worked example of spec section 4. */
static void header_digest_is_the_published_one(void **state)
{
	struct header h;
	struct fault f = { 0 };
	unsigned char out[DIGEST_ALGS][DIGEST_OCTETS];

	(void)state;
	assert_true(header_parse(&arena,
	    S("Received: from a by b;\r\n\tSat, 21 Nov 2026 10:00:00 +0000\r\nX-Foo: bar\r\nComments: upper\r\nSUBject:  Hello\r\n"
	      "\t  World  \r\nFrom : a@example.com\r\nTo:\r\n b@example.net\r\nComments:\tlower\r\n"),
	    99, &h, &f));
	assert_true(canon_header(&arena, &h, no_trace, NULL, 1U << DIGEST_SHA256, out));
	WANT_SLICE(b64_text(&arena, slice_of(out[DIGEST_SHA256], 32)), S("samTo4RR8Jh7KrZYI9LFJcB4kmDHX7RMzn9CAYnLTws="));
}

static void header_forms(void **state)
{
	static const struct {
		const char *name, *block, *hashed;
	} rows[] = {
		{ "no field", "", "" },
		{ "empty value", "A:\r\n", "a:\r\n" },
		{ "blank value", "A: \r\n \t\r\n", "a:\r\n" },
		{ "fold right behind the colon", "A:\r\n  b\r\n", "a:b\r\n" },
		{ "fold in blanks", "A: b \r\n\t c\r\n", "a:b c\r\n" },
		{ "bare CR stays", "A: b\rc\r\n", "a:b\rc\r\n" },
		{ "bare LF stays", "A: b\n c\r\n", "a:b\n c\r\n" },
		{ "8-bit stays", "A: \xfc\xc3\xbc\r\n", "a:\xfc\xc3\xbc\r\n" },
		{ "bottom-up for one name", "B: 1\r\nA: x\r\nb: 2\r\nB: 3\r\n", "a:x\r\nb:3\r\nb:2\r\nb:1\r\n" },
		{ "a name before a longer one", "ab: 1\r\na-: 2\r\na: 3\r\n", "a:3\r\na-:2\r\nab:1\r\n" },
		{ "no final CRLF", "A: 1", "a:1\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct header h;
		struct fault f = { 0 };
		unsigned char out[DIGEST_ALGS][DIGEST_OCTETS], want[DIGEST_OCTETS];
		size_t n = digest_once(DIGEST_SHA512, slice_str(rows[i].hashed), want);

		assert_true(header_parse(&arena, slice_str(rows[i].block), 99, &h, &f));
		assert_true(canon_header(&arena, &h, keep_all, NULL, 1U << DIGEST_SHA512, out));
		if (memcmp(out[DIGEST_SHA512], want, n) != 0)
			fail_msg("%s", rows[i].name);
	}
}

/* Longer than the sink at every place: nothing is lost where it is handed on. */
static void header_digest_of_long_fields(void **state)
{
	enum { MAX = 3 * CANON_SINK_OCTETS };
	char *block = arena_take(&arena, 2 * MAX + 64);

	(void)state;
	for (size_t n = 1; n < MAX; n += 61) {
		struct header h;
		struct fault f = { 0 };
		unsigned char out[DIGEST_ALGS][DIGEST_OCTETS], want[DIGEST_OCTETS];
		size_t at = 0;

		memset(block, 'n', n);
		block[n] = ':';
		for (at = n + 1; at < 2 * n + 1; at++)
			block[at] = (char)('a' + at % 26);
		memcpy(block + at, "\r\n", 2);
		assert_true(header_parse(&arena, slice_of(block, at + 2), 99, &h, &f));
		assert_true(canon_header(&arena, &h, keep_all, NULL, 1U << DIGEST_SHA256, out));
		digest_once(DIGEST_SHA256, slice_of(block, at + 2), want);
		assert_memory_equal(out[DIGEST_SHA256], want, 32);
	}
}

/* Spec 5.2: blanks go, what is blanked goes, separators and the final semicolon stay. */
static void bare_form_leaves_holes_out(void **state)
{
	struct header h;
	struct fault f = { 0 };
	struct slice value, holes[2];
	struct digest *to[DIGEST_ALGS] = { digest_new(DIGEST_SHA256), NULL };
	struct canon_sink sink;
	unsigned char out[DIGEST_OCTETS], want[DIGEST_OCTETS];

	(void)state;
	assert_true(header_parse(&arena, S("DKIM2-Signature :\r\n I=1; s=a:x:QU\r\n JD , b:y:\r\n\tRA== ;\r\n"), 9, &h, &f));
	value = h.fields[0].value;
	holes[0] = slice_sub(value, slice_find(value, 'Q'), 7);
	WANT_SLICE(holes[0], S("QU\r\n JD"));
	holes[1] = slice_sub(value, slice_find(value, 'R'), 4);
	canon_sink_init(&sink, to);
	canon_bare(&sink, &h.fields[0], holes, 2);
	canon_sink_flush(&sink);
	digest_end(to[0], out);
	digest_once(DIGEST_SHA256, S("dkim2-signature:I=1;s=a:x:,b:y:;\r\n"), want);
	assert_memory_equal(out, want, 32);
	digest_free(&to[0]);
}

/* RSAPublicKey, not SubjectPublicKeyInfo; a modulus of ones */
#define ONES "/////////////////////////////////////////////////////////////////////////////////////"
#define RSA_1024 "MIGJAoGBAP" ONES ONES "AgMBAAE="
#define ED "ebVWLo/mVPlAeLES6KmLp5AfhTrmlb7X4OORC60ElmQ="

static void keyrec_rows(void **state)
{
	static const struct {
		const char *name, *text;
		enum keyrec_state want;
	} rows[] = {
		{ "usual", "v=DKIM1; k=ed25519; p=" ED, KEYREC_OK },
		{ "final semicolon and blanks", " v = DKIM1 ; k = ed25519 ; p = " ED " ; ", KEYREC_OK },
		{ "no version", "p=" ED "; k=ed25519", KEYREC_OK },
		{ "blanks in the key", "k=ed25519; p=ebVWLo/mVPlAeLES6K mLp5AfhTrmlb7X4OORC60ElmQ=", KEYREC_OK },
		{ "unknown tags", "v=DKIM1; k=ed25519; z=1; n=a note; p=" ED, KEYREC_OK },
		{ "retired h=", "v=DKIM1; k=ed25519; h=sha1; p=" ED, KEYREC_OK },
		{ "retired s=", "v=DKIM1; k=ed25519; s=other; p=" ED, KEYREC_OK },
		{ "V= is another tag", "v=DKIM1; V=x; k=ed25519; p=" ED, KEYREC_OK },
		{ "an unknown tag without value", "v=DKIM1; k=ed25519; z=; p=" ED, KEYREC_OK },
		{ "a name that begins with a digit", "v=DKIM1; k=ed25519; 1z=x; p=" ED, KEYREC_SYNTAX },
		{ "a name with a dash", "v=DKIM1; k=ed25519; z-z=x; p=" ED, KEYREC_SYNTAX },
		{ "RSA is what there is without k=", "v=DKIM1; p=" RSA_1024, KEYREC_OK },
		{ "RSA by name", "k=rsa; p=" RSA_1024, KEYREC_OK },
		{ "RSA as Ed25519", "k=ed25519; p=" RSA_1024, KEYREC_SYNTAX },
		{ "empty k=", "k=; p=" RSA_1024, KEYREC_TYPE },
		{ "version twice", "v=DKIM1; v=DKIM1; k=ed25519; p=" ED, KEYREC_SYNTAX },
		{ "DEL", "v=DKIM1; k=ed25519; n=\177; p=" ED, KEYREC_SYNTAX },
		{ "version late", "k=ed25519; v=DKIM1; p=" ED, KEYREC_SYNTAX },
		{ "another version", "v=DKIM2; k=ed25519; p=" ED, KEYREC_SYNTAX },
		{ "version in lower case", "v=dkim1; k=ed25519; p=" ED, KEYREC_SYNTAX },
		{ "p= twice, the first empty", "v=DKIM1; p=; p=" ED, KEYREC_SYNTAX },
		{ "p= twice, the last empty", "v=DKIM1; k=ed25519; p=" ED "; p=", KEYREC_SYNTAX },
		{ "k= twice", "v=DKIM1; k=ed25519; k=ed25519; p=" ED, KEYREC_SYNTAX },
		{ "an unknown tag twice", "v=DKIM1; k=ed25519; z=1; z=1; p=" ED, KEYREC_SYNTAX },
		{ "P= is another tag", "v=DKIM1; k=ed25519; P=x; p=" ED, KEYREC_OK },
		{ "junk", "v=DKIM1; k=ed25519; junk; p=" ED, KEYREC_SYNTAX },
		{ "no key", "v=DKIM1; k=ed25519", KEYREC_SYNTAX },
		{ "revoked", "v=DKIM1; k=ed25519; p=", KEYREC_REVOKED },
		{ "revoked, blanks", "v=DKIM1; p= ;", KEYREC_REVOKED },
		{ "unknown type", "v=DKIM1; k=mldsa44-ed25519-sha512; p=" ED, KEYREC_TYPE },
		{ "type in upper case", "v=DKIM1; k=ED25519; p=" ED, KEYREC_TYPE },
		{ "Ed25519 octets as RSA", "v=DKIM1; p=" ED, KEYREC_SYNTAX },
		{ "short key", "v=DKIM1; k=ed25519; p=AAAA", KEYREC_SYNTAX },
		{ "no base64", "v=DKIM1; k=ed25519; p=!" ED, KEYREC_SYNTAX },
		{ "base64 without padding", "v=DKIM1; k=ed25519; p=ebVWLo/mVPlAeLES6KmLp5AfhTrmlb7X4OORC60ElmQ", KEYREC_SYNTAX },
		{ "pad bits set", "v=DKIM1; k=ed25519; p=ebVWLo/mVPlAeLES6KmLp5AfhTrmlb7X4OORC60ElmR=", KEYREC_SYNTAX },
		{ "8-bit", "v=DKIM1; k=ed25519; n=\xc3\xbc; p=" ED, KEYREC_SYNTAX },
		{ "another record", "v=spf1 -all", KEYREC_SYNTAX },
		{ "empty record", "", KEYREC_SYNTAX },
	};
	struct slice two[2] = { S("v=DKIM1; k=ed25519; p=" ED), S("v=DKIM1; k=ed25519; p=" ED) };
	struct keyrec *k, *other;

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct slice text = slice_str(rows[i].text);

		k = keyrec_new(DNS_OK, &text, 1, true);
		assert_non_null(k);
		if (k->state != rows[i].want || (k->key != NULL) != (k->state == KEYREC_OK))
			fail_msg("%s: %d", rows[i].name, (int)k->state);
		assert_true(k->secure);
		assert_false(k->testing);
		keyrec_drop(&k);
		assert_null(k);
	}
	k = keyrec_new(DNS_OK, two, 2, false);
	assert_int_equal(k->state, KEYREC_MULTIPLE);
	keyrec_drop(&k);
	k = keyrec_new(DNS_OK, two, 0, false);
	assert_int_equal(k->state, KEYREC_ABSENT);
	keyrec_drop(&k);
	two[0] = S("v=DKIM1; k=ed25519; t=s : y; f=strict; p=" ED);
	k = keyrec_new(DNS_OK, two, 1, false);
	assert_int_equal(k->state, KEYREC_OK);
	assert_true(k->testing && k->strict);
	other = keyrec_hold(k);
	keyrec_drop(&k);
	assert_int_equal(key_type(other->key), KEY_ED25519);
	WANT_SLICE(keyrec_text(&arena, other->key), S("v=DKIM1; k=ed25519; p=" ED));
	keyrec_drop(&other);
	keyrec_drop(&other);
}

static void keyrec_tells_absent_from_unreachable(void **state)
{
	static const struct {
		enum dns_status status;
		enum keyrec_state want;
	} rows[] = {
		{ DNS_NXDOMAIN, KEYREC_ABSENT },
		{ DNS_NODATA, KEYREC_ABSENT },
		{ DNS_TIMEOUT, KEYREC_UNREACHABLE },
		{ DNS_SERVFAIL, KEYREC_UNREACHABLE },
		{ DNS_BOGUS, KEYREC_UNREACHABLE },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct keyrec *k = keyrec_new(rows[i].status, NULL, 0, false);

		assert_int_equal(k->state, rows[i].want);
		keyrec_drop(&k);
	}
}

/* What DKIM and ARC ask of a record, beside what DKIM2 sees of it. */
static void keyrec_rows_of_dkim(void **state)
{
	static const struct {
		const char *name, *text;
		enum keyrec_state want;
		const char *flags; /* k: a key; o: of another exponent; r: refused; 2, e, s: no_sha256, no_email, same_domain */
		unsigned bits;
	} rows[] = {
		{ "RSA", "p=" RSA_1024, KEYREC_OK, "k", 1024 },
		{ "Ed25519", "k=ed25519; p=" ED, KEYREC_OK, "k", 0 },
		{ "h= with sha256", "h=sha1 : sha256; p=" RSA_1024, KEYREC_OK, "k", 1024 },
		{ "h= without", "h=sha1; p=" RSA_1024, KEYREC_OK, "k2", 1024 },
		{ "h= empty", "h=; p=" RSA_1024, KEYREC_OK, "k2", 1024 },
		{ "h= in upper case", "h=SHA256; p=" RSA_1024, KEYREC_OK, "k2", 1024 },
		{ "s=*", "s=other:*; p=" RSA_1024, KEYREC_OK, "k", 1024 },
		{ "s=email", "s=email; p=" RSA_1024, KEYREC_OK, "k", 1024 },
		{ "s= of another service", "s=tlsrpt; p=" RSA_1024, KEYREC_OK, "ke", 1024 },
		{ "t=s", "t=y:s; p=" RSA_1024, KEYREC_OK, "ks", 1024 },
		{ "g= is a note", "g=nobody; p=" RSA_1024, KEYREC_OK, "k", 1024 },
		{ "e=3", "p=MIGHAoGBAP" ONES ONES "AgED", KEYREC_SYNTAX, "ko", 1024 },
		{ "e=1", "p=MIGHAoGBAP" ONES ONES "AgEB", KEYREC_SYNTAX, "r", 1024 },
		{ "e=2", "p=MIGHAoGBAP" ONES ONES "AgEC", KEYREC_SYNTAX, "r", 1024 },
		{ "e of 64 bits", "p=MIGPAoGBAP" ONES ONES "AgkA//////////8=", KEYREC_SYNTAX, "ko", 1024 },
		{ "e of 65 bits", "p=MIGPAoGBAP" ONES ONES "AgkBAAAAAAAAAAE=", KEYREC_SYNTAX, "r", 1024 },
		{ "n even", "p=MIGJAoGBAP" ONES "////////////////////////////////////////////////////////////////////////////////////" "+AgMBAAE=", KEYREC_SYNTAX, "r", 1024 },
		{ "512 bits", "p=MEgCQQD" ONES "AgMBAAE=", KEYREC_SYNTAX, "r", 512 },
		{ "no RSA key", "p=" ED, KEYREC_SYNTAX, "", 0 },
		{ "revoked", "t=s; p=", KEYREC_REVOKED, "s", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct slice text = slice_str(rows[i].text);
		struct keyrec *k = keyrec_new(DNS_OK, &text, 1, false);
		char flags[8] = "";

		if (keyrec_dkim(k))
			strcat(flags, "k");
		if (k->odd)
			strcat(flags, "o");
		if (keyrec_refused(k))
			strcat(flags, "r");
		if (k->no_sha256)
			strcat(flags, "2");
		if (k->no_email)
			strcat(flags, "e");
		if (k->same_domain)
			strcat(flags, "s");
		if (strcmp(flags, rows[i].flags) != 0 || k->bits != rows[i].bits || k->state != rows[i].want)
			fail_msg("%s: %d \"%s\" %u", rows[i].name, (int)k->state, flags, k->bits);
		keyrec_drop(&k);
	}
}

static void keyrec_text_is_read_back(void **state)
{
	struct key *k = key_generate(KEY_RSA, 1024);
	struct slice text = keyrec_text(&arena, k);
	struct keyrec *rec = keyrec_new(DNS_OK, &text, 1, false);

	(void)state;
	assert_true(slice_starts(text, S("v=DKIM1; k=rsa; p=MIGf")));
	assert_int_equal(rec->state, KEYREC_OK);
	assert_int_equal(key_bits(rec->key), 1024);
	keyrec_drop(&rec);
	key_drop(&k);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh_arena, drop_arena)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(taglist_rows),
		TEST(body_is_the_same_at_every_cut),
		TEST(body_digests_are_the_published_ones),
		TEST(header_digest_is_the_published_one),
		TEST(header_forms),
		TEST(header_digest_of_long_fields),
		TEST(bare_form_leaves_holes_out),
		TEST(keyrec_rows),
		TEST(keyrec_tells_absent_from_unreachable),
		TEST(keyrec_rows_of_dkim),
		TEST(keyrec_text_is_read_back),
	};

	return RUN_TESTS(tests);
}
