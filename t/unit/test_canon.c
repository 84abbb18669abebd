/* Canonical bodies in both forms, and the header hash of DKIM and ARC. */
#include "arena.h"

#include "auth/fieldhash.h"
#include "base/buf.h"
#include "base/limits.h"

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

static struct canon_body *body_new(void)
{
	struct canon_body *c = canon_body_new(0);

	assert_non_null(c);
	return c;
}

static int want(struct canon_body *c, enum canon_form form, uint64_t octets)
{
	int handle = canon_body_want(c, form, DIGEST_SHA256, octets);

	assert_true(handle >= 0);
	return handle;
}

static void want_sha256(const char *name, struct slice got, struct slice text)
{
	unsigned char octets[DIGEST_OCTETS];
	size_t n = digest_once(DIGEST_SHA256, text, octets);

	if (!slice_eq(got, slice_of(octets, n)))
		fail_msg("%s: \"%.*s\" is not what was hashed", name, SLICE_FMT(text));
}

/* ---- bodies ---- */

static const struct {
	const char *name, *text, *simple, *relaxed;
} bodies[] = {
	{ "empty", "", "\r\n", "" },
	{ "empty lines only", "\r\n\r\n", "\r\n", "" },
	{ "blanks only", " \t\r\n \r\n\t\r\n", " \t\r\n \r\n\t\r\n", "" },
	{ "blanks without line end", " \t ", " \t \r\n", "" },
	{ "the example of RFC 6376 3.4.5", " C \r\nD \t E\r\n\r\n\r\n", " C \r\nD \t E\r\n", " C\r\nD E\r\n" },
	{ "no line end", "a b", "a b\r\n", "a b\r\n" },
	{ "blank in front of no line end", "a \t", "a \t\r\n", "a\r\n" },
	{ "one SP stays", "a b c d e f g h i j k l m n o p q r s t\r\n", "a b c d e f g h i j k l m n o p q r s t\r\n",
	  "a b c d e f g h i j k l m n o p q r s t\r\n" },
	{ "a tab is made a SP", "a\tb\r\n", "a\tb\r\n", "a b\r\n" },
	{ "runs are made one SP", "a  b \t c\t\td\r\n", "a  b \t c\t\td\r\n", "a b c d\r\n" },
	{ "a line may begin with one", " a\r\n\tb\r\n  c\r\n", " a\r\n\tb\r\n  c\r\n", " a\r\n b\r\n c\r\n" },
	{ "none in front of a line end", "a \r\nb\t\r\nc \t \r\n", "a \r\nb\t\r\nc \t \r\n", "a\r\nb\r\nc\r\n" },
	{ "empty lines inside stay", "a\r\n\r\n \r\nb\r\n\t\r\n\r\n", "a\r\n\r\n \r\nb\r\n\t\r\n", "a\r\n\r\n\r\nb\r\n" },
	{ "the first line empty", "\r\n \r\na\r\n", "\r\n \r\na\r\n", "\r\n\r\na\r\n" },
	{ "bare CR is text", "a \rb\r \r\n\r", "a \rb\r \r\n\r\r\n", "a \rb\r\r\n\r\r\n" },
	{ "bare LF is text", "a \n b\n\n", "a \n b\n\n\r\n", "a \n b\n\n\r\n" },
	{ "CR CRLF", "a\r\r\n\r\r\n", "a\r\r\n\r\r\n", "a\r\r\n\r\r\n" },
	{ "CR at the end", "a  \r", "a  \r\r\n", "a \r\r\n" },
	{ "only CR", "\r", "\r\r\n", "\r\r\n" },
	{ "other white space is text", "a\v\f\302\240b\r\n", "a\v\f\302\240b\r\n", "a\v\f\302\240b\r\n" },
	{ "breaks at every place of sixteen", "0123456789abcde \r\n0123456789abcdef \r\n0123456789abcd  e0123456789abcdef\tx\r\n",
	  "0123456789abcde \r\n0123456789abcdef \r\n0123456789abcd  e0123456789abcdef\tx\r\n",
	  "0123456789abcde\r\n0123456789abcdef\r\n0123456789abcd e0123456789abcdef x\r\n" },
};

static void bodies_are_the_same_at_every_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(bodies); i++) {
		struct slice text = slice_str(bodies[i].text);

		for (size_t first = 0; first <= text.n; first++) {
			for (size_t second = first; second <= text.n; second++) {
				struct canon_body *c = body_new();
				int simple = want(c, CANON_SIMPLE, CANON_WHOLE), relaxed = want(c, CANON_RELAXED, CANON_WHOLE);

				canon_body_add(c, slice_sub(text, 0, first));
				canon_body_add(c, slice_sub(text, first, second - first));
				canon_body_add(c, slice_sub(text, second, SIZE_MAX));
				canon_body_end(c);
				want_sha256(bodies[i].name, canon_body_got(c, simple), slice_str(bodies[i].simple));
				want_sha256(bodies[i].name, canon_body_got(c, relaxed), slice_str(bodies[i].relaxed));
				assert_int_equal(canon_body_octets(c, CANON_SIMPLE), strlen(bodies[i].simple));
				assert_int_equal(canon_body_octets(c, CANON_RELAXED), strlen(bodies[i].relaxed));
				canon_body_free(&c);
			}
		}
	}
}

/* Each number of octets from none to one too many, some at a time since there is a limit; and the body octet by octet. */
static void parts_are_those_of_the_canonical_form(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(bodies); i++) {
		struct slice canonical[CANON_FORMS] = { slice_str(bodies[i].simple), slice_str(bodies[i].relaxed) };

		for (size_t form = 0; form < CANON_FORMS; form++) {
			for (size_t l = 0; l <= canonical[form].n + 1; l += LIMIT_BODY_CUTS) {
				struct canon_body *c = body_new();
				struct slice text = slice_str(bodies[i].text);
				int handles[LIMIT_BODY_CUTS];

				for (size_t k = LIMIT_BODY_CUTS; k-- > 0;)
					handles[k] = want(c, (enum canon_form)form, l + k);
				for (; text.n; text = slice_sub(text, 1, SIZE_MAX))
					canon_body_add(c, slice_sub(text, 0, 1));
				canon_body_end(c);
				for (size_t k = 0; k < LIMIT_BODY_CUTS; k++) {
					if (l + k > canonical[form].n)
						assert_int_equal(canon_body_got(c, handles[k]).n, 0);
					else
						want_sha256(bodies[i].name, canon_body_got(c, handles[k]), slice_sub(canonical[form], 0, l + k));
				}
				assert_int_equal(canon_body_octets(c, (enum canon_form)form), canonical[form].n);
				canon_body_free(&c);
			}
		}
	}
}

/* RFC 6376 3.4.4, an octet at a time. */
static void plain_relaxed(struct slice text, struct buf *out)
{
	size_t kept = 0;
	bool blank = false;

	for (size_t i = 0; i < text.n; i++) {
		bool line_end = text.at[i] == '\r' && i + 1 < text.n && text.at[i + 1] == '\n';

		if (text.at[i] == ' ' || text.at[i] == '\t') {
			blank = true;
			continue;
		}
		if (blank && !line_end)
			buf_octet(out, ' ');
		blank = false;
		buf_octet(out, text.at[i]);
		if (line_end) {
			buf_octet(out, text.at[++i]);
			continue;
		}
		kept = out->n;
	}
	out->n = kept;
	if (kept)
		buf_str(out, "\r\n");
}

/* Long random texts of the octets that matter, in random pieces. */
static void relaxed_is_what_a_plain_reading_gives(void **state)
{
	static const char *const alphabets[] = { "\r\n \t", "\r\n a", " a", "a\t ", "abcdefghijklmnopqrstuvwxyz \r\n",
		"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz " };
	enum { MOST = 6000 };
	unsigned char *text = arena_take(&arena, MOST);
	uint64_t random = 1;

	(void)state;
	for (size_t round = 0; round < 600; round++) {
		const char *alphabet = alphabets[round % ROWS(alphabets)];
		size_t n = round * 10, letters = strlen(alphabet), at = 0;
		struct canon_body *c = body_new();
		int whole = want(c, CANON_RELAXED, CANON_WHOLE), part = want(c, CANON_RELAXED, n / 2);
		struct slice canonical;
		struct buf plain;

		for (size_t i = 0; i < n; i++) {
			random = random * 6364136223846793005U + 1442695040888963407U;
			text[i] = (unsigned char)alphabet[(random >> 33) % letters];
			if (text[i] == '\n' && i && random >> 63)
				text[i - 1] = '\r';
		}
		while (at < n) {
			size_t piece = (size_t)(random >> 40) % 700;

			canon_body_add(c, slice_sub(slice_of(text, n), at, piece));
			at += piece;
			random = random * 6364136223846793005U + 1442695040888963407U;
		}
		canon_body_end(c);
		buf_init(&plain, MOST + 2);
		plain_relaxed(slice_of(text, n), &plain);
		canonical = buf_get(&plain);
		want_sha256(alphabet, canon_body_got(c, whole), canonical);
		if (canonical.n >= n / 2)
			want_sha256(alphabet, canon_body_got(c, part), slice_sub(canonical, 0, n / 2));
		buf_release(&plain);
		canon_body_free(&c);
	}
}

static void wants_are_made_once(void **state)
{
	struct canon_body *c = canon_body_new(1U << DIGEST_SHA256);
	int simple = want(c, CANON_SIMPLE, CANON_WHOLE), part;

	(void)state;
	assert_int_equal(want(c, CANON_SIMPLE, CANON_WHOLE), simple);
	for (int i = 0; i < LIMIT_BODY_CUTS; i++)
		part = want(c, CANON_RELAXED, (uint64_t)i);
	assert_int_equal(want(c, CANON_RELAXED, LIMIT_BODY_CUTS - 1), part);
	assert_int_equal(canon_body_want(c, CANON_RELAXED, DIGEST_SHA256, 99), CANON_LIMIT);
	assert_int_equal(canon_body_want(c, CANON_SIMPLE, DIGEST_SHA256, 1), CANON_LIMIT);
	assert_true(canon_body_want(c, CANON_RELAXED, DIGEST_SHA512, CANON_WHOLE) >= 0);
	canon_body_add(c, S("ab"));
	canon_body_end(c);
	canon_body_end(c);
	WANT_SLICE(canon_body_got(c, simple), canon_body_digest(c, DIGEST_SHA256));
	want_sha256("whole", canon_body_got(c, simple), S("ab\r\n"));
	want_sha256("two octets", canon_body_got(c, want(c, CANON_RELAXED, 2)), S("ab"));
	assert_int_equal(canon_body_got(c, CANON_LIMIT).n, 0);
	assert_int_equal(canon_body_got(c, 1000).n, 0);
	canon_body_free(&c);
}

/* Nothing is hashed of a form that nobody wants, and no further than anybody wants: seen by its octets. */
static void octets_are_of_wanted_forms(void **state)
{
	struct canon_body *c = body_new();

	(void)state;
	want(c, CANON_RELAXED, 1);
	canon_body_add(c, S("abc  d"));
	canon_body_end(c);
	assert_int_equal(canon_body_octets(c, CANON_SIMPLE), 0);
	assert_int_equal(canon_body_octets(c, CANON_RELAXED), 7);
	canon_body_free(&c);
}

/* ---- headers ---- */

static struct header parsed(struct slice block)
{
	struct header h;
	struct fault f = { 0 };

	assert_true(header_parse(&arena, block, 20000, &h, &f));
	return h;
}

static const struct field *signature_of(const struct header *h)
{
	return &h->fields[header_find(h, S("DKIM-Signature"), 0)];
}

/* In each block the DKIM-Signature that counts is the first; its b= is X with blanks around. */
static void header_hash_rows(void **state)
{
#define SIGNATURE "DKIM-Signature: a=b; b= X\r\n ; c=d\r\n"
	static const struct {
		const char *name, *list, *block, *simple, *relaxed;
	} rows[] = {
		{ "in the order of the list", "b:a", SIGNATURE "A: 1\r\nB:  2 \r\n", "B:  2 \r\nA: 1\r\nDKIM-Signature: a=b; b=; c=d",
		  "b:2\r\na:1\r\ndkim-signature:a=b; b=; c=d" },
		{ "no field of that name", "x:a", SIGNATURE "A: 1\r\n", "A: 1\r\nDKIM-Signature: a=b; b=; c=d", "a:1\r\ndkim-signature:a=b; b=; c=d" },
		{ "the lowest first", "a:a", SIGNATURE "A: 1\r\na: 2\r\nA: 3\r\n", "A: 3\r\na: 2\r\nDKIM-Signature: a=b; b=; c=d",
		  "a:3\r\na:2\r\ndkim-signature:a=b; b=; c=d" },
		{ "named more often than it is there", "a:a:a:a", SIGNATURE "A: 1\r\nA: 2\r\n", "A: 2\r\nA: 1\r\nDKIM-Signature: a=b; b=; c=d",
		  "a:2\r\na:1\r\ndkim-signature:a=b; b=; c=d" },
		{ "names apart", "a:b:A:B", SIGNATURE "a: 1\r\nB: 2\r\nA: 3\r\nb: 4\r\n", "A: 3\r\nb: 4\r\na: 1\r\nB: 2\r\nDKIM-Signature: a=b; b=; c=d",
		  "a:3\r\nb:4\r\na:1\r\nb:2\r\ndkim-signature:a=b; b=; c=d" },
		{ "never the signature itself", "dkim-signature:dkim-signature", SIGNATURE "DKIM-Signature: x\r\n",
		  "DKIM-Signature: x\r\nDKIM-Signature: a=b; b=; c=d", "dkim-signature:x\r\ndkim-signature:a=b; b=; c=d" },
		{ "the signature below others of its name", "dkim-signature", "A: 1\r\n" SIGNATURE, "DKIM-Signature: a=b; b=; c=d",
		  "dkim-signature:a=b; b=; c=d" },
		{ "folded, blanks at the colon", "a", SIGNATURE "A \t: x\r\n\t y\t\r\n", "A \t: x\r\n\t y\t\r\nDKIM-Signature: a=b; b=; c=d",
		  "a:x y\r\ndkim-signature:a=b; b=; c=d" },
		{ "b= in the middle of a line", "a", "DKIM-Signature: b =\tX;\r\n\tc = d \r\n", "DKIM-Signature: b =;\r\n\tc = d ", "dkim-signature:b =; c = d" },
		{ "b= at the end", "a", "DKIM-Signature: a=b;\r\n b=\r\n X \r\n", "DKIM-Signature: a=b;\r\n b=", "dkim-signature:a=b; b=" },
		{ "right behind the colon", "a", "DKIM-Signature:X\r\n", "DKIM-Signature:", "dkim-signature:" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct header h = parsed(slice_str(rows[i].block));
		const struct field *signature = signature_of(&h);
		struct slice value = slice_sub(signature->value, slice_find(signature->value, 'X'), 1);
		struct field_index *index = field_index_new(&arena, &h);
		struct field_list list;
		unsigned char out[32];

		assert_true(field_list_parse(&arena, slice_str(rows[i].list), &list));
		assert_true(field_hash(&arena, index, &list, CANON_SIMPLE, signature, field_hole(signature, value), out));
		want_sha256(rows[i].name, slice_of(out, 32), slice_str(rows[i].simple));
		assert_true(field_hash(&arena, index, &list, CANON_RELAXED, signature, field_hole(signature, value), out));
		want_sha256(rows[i].name, slice_of(out, 32), slice_str(rows[i].relaxed));
	}
}

static void field_list_rows(void **state)
{
	static const struct {
		const char *name, *text, *out; /* NULL: refused */
	} rows[] = {
		{ "one", "From", "From" },
		{ "some", "From:to:Subject", "From|to|Subject" },
		{ "blanks and folds around", " from :\r\n\tto\t: \r\n subject ", "from|to|subject" },
		{ "any ftext", "X!\"#$%&'()*+,-./<=>?@[]^_`{|}~:x", "X!\"#$%&'()*+,-./<=>?@[]^_`{|}~|x" },
		{ "nothing", "", NULL },
		{ "blanks", " \t", NULL },
		{ "an empty one", "a::b", NULL },
		{ "an empty one first", ":b", NULL },
		{ "an empty one last", "b: ", NULL },
		{ "a blank inside", "a b", NULL },
		{ "8-bit", "a\303\274", NULL },
		{ "DEL", "a\177", NULL },
		{ "semicolon", "a;b", NULL },
	};
	struct field_list list;
	char *many = arena_take(&arena, 2 * LIMIT_SIGNED_NAMES + 2);

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct buf got;

		buf_init(&got, 1000);
		if (field_list_parse(&arena, slice_str(rows[i].text), &list) != (rows[i].out != NULL))
			fail_msg("%s", rows[i].name);
		for (size_t k = 0; rows[i].out && k < list.n; k++) {
			buf_str(&got, k ? "|" : "");
			buf_slice(&got, list.names[k]);
		}
		WANT_SLICE(buf_get(&got), slice_str(rows[i].out));
		buf_release(&got);
	}
	for (size_t i = 0; i <= LIMIT_SIGNED_NAMES; i++)
		memcpy(many + 2 * i, ":a", 2);
	assert_true(field_list_parse(&arena, slice_of(many + 1, 2 * LIMIT_SIGNED_NAMES - 1), &list));
	assert_int_equal(list.n, LIMIT_SIGNED_NAMES);
	assert_int_equal(field_listed(&list, S("A")), LIMIT_SIGNED_NAMES);
	assert_false(field_list_parse(&arena, slice_of(many + 1, 2 * LIMIT_SIGNED_NAMES + 1), &list));
}

static void fields_are_covered_or_not(void **state)
{
	static const struct {
		const char *name, *list, *block;
		bool covered;
	} rows[] = {
		{ "one", "to:FROM", "From: a\r\n", true },
		{ "of two one", "from:to", "From: a\r\nFROM: b\r\n", false },
		{ "both", "from:to:from", "From: a\r\nFROM: b\r\n", true },
		{ "oversigned", "from:from", "From: a\r\n", true },
		{ "not named", "to", "From: a\r\n", false },
		{ "not there", "to", "To: a\r\n", true },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct header h = parsed(slice_str(rows[i].block));
		struct field_index *index = field_index_new(&arena, &h);
		struct field_list list;

		assert_true(field_list_parse(&arena, slice_str(rows[i].list), &list));
		if (field_covered(&list, index, S("From")) != rows[i].covered)
			fail_msg("%s", rows[i].name);
	}
}

/* Ten thousand fields and as many names: done at once, and the same as by hand. */
static void many_fields_and_names(void **state)
{
	enum { MANY = LIMIT_SIGNED_NAMES };
	struct buf block, names, plain;
	struct field_index *index;
	struct field_list list;
	struct header h;
	unsigned char out[32];

	(void)state;
	buf_init(&block, SIZE_MAX / 2);
	buf_init(&names, SIZE_MAX / 2);
	buf_init(&plain, SIZE_MAX / 2);
	for (unsigned i = 0; i < MANY; i++) {
		buf_printf(&block, "X-%u: %u\r\n", i % 5000, i);
		buf_printf(&names, "%sx-%u", i ? ":" : "", i % 5000);
	}
	for (unsigned i = 0; i < MANY; i++)
		buf_printf(&plain, "x-%u:%u\r\n", i % 5000, i < 5000 ? i + 5000 : i - 5000);
	buf_str(&block, "DKIM-Signature: X\r\n");
	buf_str(&plain, "dkim-signature:");
	h = parsed(buf_get(&block));
	index = field_index_new(&arena, &h);
	assert_true(field_list_parse(&arena, buf_get(&names), &list));
	assert_true(field_hash(&arena, index, &list, CANON_RELAXED, signature_of(&h), slice_sub(signature_of(&h)->value, 1, 1), out));
	want_sha256("many", slice_of(out, 32), buf_get(&plain));
	assert_int_equal(field_count(index, S("x-4999")), 2);
	assert_int_equal(field_count(index, S("x-5000")), 0);
	buf_release(&plain);
	buf_release(&names);
	buf_release(&block);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh_arena, drop_arena)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(bodies_are_the_same_at_every_cut),
		TEST(parts_are_those_of_the_canonical_form),
		TEST(relaxed_is_what_a_plain_reading_gives),
		TEST(wants_are_made_once),
		TEST(octets_are_of_wanted_forms),
		TEST(header_hash_rows),
		TEST(field_list_rows),
		TEST(fields_are_covered_or_not),
		TEST(many_fields_and_names),
	};

	return RUN_TESTS(tests);
}
