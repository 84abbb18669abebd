/*
 * How to get from one instance to the one before: the JSON of r=, read and written.
 *
 * test_recipe --tell prints each recipe that is written, and each of the rows with what it comes to, for recipe_schema.py.
 */
#include "test.h"

#include "auth/dkim2/recipe.h"
#include "base/limits.h"
#include "vectors.h"

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

static struct arena arena;
static bool telling;

/* A line: "recipe", why it is refused ("read": it is not, "written": by us), its octets. */
static void tell(const char *what, struct slice json)
{
	if (!telling)
		return;
	printf("recipe\t%s\t", what);
	for (size_t i = 0; i < json.n; i++)
		printf("%02x", json.at[i]);
	putchar('\n');
}

static int fresh_arena(void **state)
{
	(void)state;
	arena_init(&arena, 1 << 26);
	return 0;
}

static int drop_arena(void **state)
{
	(void)state;
	arena_clear(&arena);
	return 0;
}

static enum recipe_state parse(unsigned level, struct slice json, struct recipe *out, const char **why)
{
	*why = "";
	return recipe_parse(&arena, draft_of(level), json, out, why);
}

/* Octets that hold a NUL or what else a C string cannot; S() of a literal counts them. */
struct shape {
	const char *name;
	struct slice json;
	unsigned levels; /* a digit each, 6 to 9: where it is fine */
};

enum { L6 = 1, L7 = 2, L8 = 4, L9 = 8, NONE = 0, OLD = L6 | L7 | L8, NEW = L7 | L8 | L9, ALL = L6 | NEW };

static void want_shapes(const struct shape *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (unsigned level = DRAFT_OLDEST; level <= DRAFT_NEWEST; level++) {
			bool want = rows[i].levels >> (level - DRAFT_OLDEST) & 1;
			struct recipe r = { .field_count = 77 };
			const char *why;
			enum recipe_state got = parse(level, rows[i].json, &r, &why);

			if (got != (want ? RECIPE_OK : RECIPE_BAD))
				fail_msg("%s: level %u gives %d \"%s\"", rows[i].name, level, (int)got, why);
			if (want ? *why != '\0' : *why == '\0' || r.field_count != 77)
				fail_msg("%s: level %u: outputs", rows[i].name, level);
			if (level == DRAFT_NEWEST)
				tell(want ? "read" : why, rows[i].json);
		}
}

#define ROW(name, text, levels) { name, { (const unsigned char *)(text), sizeof(text) - 1 }, levels }

static void shape_rows(void **state)
{
	static const struct shape rows[] = {
		ROW("a body", "{\"b\":[{\"c\":[1,1]}]}", ALL),
		ROW("a header", "{\"h\":{\"subject\":[{\"d\":[\"x\"]}]}}", ALL),
		ROW("both, with blanks", " { \"b\" : [ { \"c\" : [ 1 , 2 ] } ] ,\r\n\t\"h\" : { \"a\" : [ ] } } ", ALL),
		ROW("no steps: an empty body", "{\"b\":[]}", ALL),
		ROW("no steps: the field goes", "{\"h\":{\"x\":[]}}", ALL),
		ROW("an empty text", "{\"b\":[{\"d\":[\"\"]}]}", ALL),
		ROW("empty object", "{}", NONE),
		ROW("neither h nor b", "{\"x\":[]}", NONE),
		ROW("h without a name", "{\"h\":{}}", NONE),
		ROW("h without a name beside b", "{\"h\":{},\"b\":[]}", NONE),
		ROW("h null", "{\"h\":null}", NONE),
		ROW("h an array", "{\"h\":[]}", NONE),
		ROW("b null", "{\"b\":null}", OLD),
		ROW("b an object", "{\"b\":{}}", NONE),
		ROW("b a string", "{\"b\":\"x\"}", NONE),
		ROW("b true", "{\"b\":true}", NONE),
		ROW("an array", "[{\"b\":[]}]", NONE),
		ROW("a string", "\"b\"", NONE),
		ROW("null", "null", NONE),
		ROW("steps of a field null", "{\"h\":{\"a\":null}}", NONE),
		ROW("steps of a field one step", "{\"h\":{\"a\":{\"c\":[1,1]}}}", NONE),
		ROW("a step with two keys", "{\"b\":[{\"c\":[1,1],\"d\":[\"x\"]}]}", NONE),
		ROW("an empty step", "{\"b\":[{}]}", NONE),
		ROW("a step that is a string", "{\"b\":[\"x\"]}", NONE),
		ROW("a step that is an array", "{\"b\":[[1,1]]}", NONE),
		ROW("a step that is null", "{\"b\":[null]}", NONE),
		ROW("unknown step z", "{\"b\":[{\"z\":true}]}", NONE),
		ROW("unknown step of no letter", "{\"b\":[{\"\":[\"x\"]}]}", NONE),
		ROW("unknown step of two letters", "{\"b\":[{\"dd\":[\"x\"]}]}", NONE),
		ROW("b is what u became", "{\"b\":[{\"b\":[\"/w==\"]}]}", L6),
		ROW("u since -07", "{\"b\":[{\"u\":[\"/w==\"]}]}", NEW),
		ROW("d without a text", "{\"b\":[{\"d\":[]}]}", NONE),
		ROW("u without a text", "{\"b\":[{\"u\":[]}]}", NONE),
		ROW("d a string", "{\"b\":[{\"d\":\"x\"}]}", NONE),
		ROW("d an object", "{\"b\":[{\"d\":{}}]}", NONE),
		ROW("d of a number", "{\"b\":[{\"d\":[1]}]}", NONE),
		ROW("d of null", "{\"b\":[{\"d\":[\"x\",null]}]}", NONE),
		ROW("unknown parts are ignored", "{\"x\":[1.5,{\"y\":null}],\"b\":[],\"hh\":{}}", ALL),
		ROW("h in upper case", "{\"H\":{\"a\":[]}}", NEW),
		ROW("b in upper case", "{\"B\":[]}", NEW),
		ROW("a step in upper case", "{\"b\":[{\"C\":[1,1]},{\"D\":[\"x\"]}]}", NEW),
		ROW("u in upper case", "{\"b\":[{\"U\":[\"/w==\"]}]}", NEW),
		ROW("a field name in upper case", "{\"h\":{\"Subject\":[]}}", NEW),
		ROW("an unknown part in upper case", "{\"X\":1,\"b\":[]}", ALL),
		ROW("an unsigned name in upper case", "{\"h\":{\"X-Foo\":[]}}", NEW),
		ROW("the syntax of unsigned names counts", "{\"h\":{\"x-foo\":[{\"z\":1}]}}", NONE),
		ROW("the order of unsigned names counts", "{\"h\":{\"received\":[{\"c\":[2,2]},{\"c\":[1,1]}]}}", NONE),
	};

	(void)state;
	want_shapes(rows, ROWS(rows));
}

static void twice_rows(void **state)
{
	static const struct shape rows[] = {
		ROW("b twice", "{\"b\":[],\"b\":[]}", NONE),
		ROW("b in both cases", "{\"b\":[],\"B\":[]}", NONE),
		ROW("h in both cases", "{\"h\":{\"a\":[]},\"H\":{\"a\":[]}}", NONE),
		ROW("a name twice", "{\"h\":{\"subject\":[],\"subject\":[{\"c\":[1,1]}]}}", NONE),
		ROW("a name in both cases", "{\"h\":{\"subject\":[],\"Subject\":[{\"c\":[1,1]}]}}", NONE),
		ROW("a name by an escape", "{\"h\":{\"subject\":[],\"\\u0073ubject\":[]}}", NONE),
		ROW("a name by an escape in upper case", "{\"h\":{\"subject\":[],\"\\u0053ubject\":[{\"c\":[1,1]}]}}", NONE),
		ROW("names that stand apart", "{\"h\":{\"to\":[],\"b\":[],\"c\":[],\"d\":[],\"TO\":[]}}", NONE),
		ROW("a step key twice", "{\"b\":[{\"c\":[1,1],\"c\":[2,2]}]}", NONE),
		ROW("a step key in both cases", "{\"b\":[{\"c\":[1,1],\"C\":[2,2]}]}", NONE),
		ROW("unknown parts twice", "{\"x\":1,\"x\":1,\"b\":[]}", NONE),
		ROW("unknown parts in both cases", "{\"x\":1,\"X\":1,\"b\":[]}", L6),
		ROW("inside an unknown part", "{\"x\":{\"y\":1,\"y\":2},\"b\":[]}", NONE),
		ROW("inside an unknown part, in both cases", "{\"x\":[{\"y\":1,\"Y\":2}],\"b\":[]}", L6),
		ROW("deep inside, by an escape", "{\"x\":[[[{\"yY\":1,\"\\u0059y\":2}]]],\"b\":[]}", L6),
		ROW("a part of another name", "{\"h\":{\"h\":[],\"b\":[]},\"b\":[{\"d\":[\"b\",\"b\"]}]}", ALL),
	};

	(void)state;
	want_shapes(rows, ROWS(rows));
}

static void json_rows(void **state)
{
	static const struct shape rows[] = {
		ROW("nothing", "", NONE),
		ROW("a blank", " ", NONE),
		ROW("BOM", "\xef\xbb\xbf{\"b\":[]}", NONE),
		ROW("text behind it", "{\"b\":[]}x", NONE),
		ROW("another behind it", "{\"b\":[]}{}", NONE),
		ROW("a bracket behind it", "{\"b\":[]}]", NONE),
		ROW("a bracket before it", "]{\"b\":[]}", NONE),
		ROW("NUL behind it", "{\"b\":[]}\0", NONE),
		ROW("NUL behind a number", "{\"b\":[{\"c\":[1\0,1]}]}", NONE),
		ROW("NUL behind a word", "{\"x\":null\0,\"b\":[]}", NONE),
		ROW("NUL in a text", "{\"b\":[{\"d\":[\"a\0\"]}]}", NONE),
		ROW("NUL in a text, escaped", "{\"b\":[{\"d\":[\"a\\u0000\"]}]}", NONE),
		ROW("NUL in a name", "{\"h\":{\"a\\u0000b\":[]}}", NONE),
		ROW("NUL in a name, raw", "{\"h\":{\"a\0b\":[]}}", NONE),
		ROW("NUL in an unknown part", "{\"x\":\"\\u0000\",\"b\":[]}", NONE),
		ROW("form feed between", "{\f\"b\":[]}", NONE),
		ROW("NaN", "{\"x\":NaN,\"b\":[]}", NONE),
		ROW("Infinity", "{\"x\":Infinity,\"b\":[]}", NONE),
		ROW("True", "{\"x\":True,\"b\":[]}", NONE),
		ROW("single quotes", "{'b':[]}", NONE),
		ROW("no quotes", "{b:[]}", NONE),
		ROW("a comment", "{/**/\"b\":[]}", NONE),
		ROW("a comment to the end of the line", "{\"b\":[]}//\n", NONE),
		ROW("a comma at the end", "{\"b\":[],}", NONE),
		ROW("a comma at the end of an array", "{\"b\":[{\"c\":[1,1]},]}", NONE),
		ROW("no comma", "{\"b\":[{\"c\":[1 1]}]}", NONE),
		ROW("brackets that do not match", "{\"b\":[}]", NONE),
		ROW("cut in a string", "{\"b", NONE),
		ROW("cut behind a backslash", "{\"b\\", NONE),
		ROW("cut in an array", "{\"b\":[", NONE),
		ROW("Latin-1", "{\"b\":[{\"d\":[\"\xfc\"]}]}", NONE),
		ROW("overlong", "{\"b\":[{\"d\":[\"\xc0\xaf\"]}]}", NONE),
		ROW("a surrogate in UTF-8", "{\"b\":[{\"d\":[\"\xed\xa0\x80\"]}]}", NONE),
		ROW("Latin-1 in an unknown part", "{\"\xfc\":1,\"b\":[]}", NONE),
		ROW("UTF-8", "{\"b\":[{\"d\":[\"\xc3\xbc\"]}]}", ALL),
		ROW("a pair of surrogates", "{\"b\":[{\"d\":[\"\\ud83d\\ude00\"]}]}", ALL),
		ROW("a high surrogate alone", "{\"b\":[{\"d\":[\"\\ud83d\"]}]}", NONE),
		ROW("a high surrogate and no low one", "{\"b\":[{\"d\":[\"\\ud83d\\u0041\"]}]}", NONE),
		ROW("a high surrogate twice", "{\"b\":[{\"d\":[\"\\ud83d\\ud83d\\ude00\"]}]}", NONE),
		ROW("a low surrogate alone", "{\"b\":[{\"d\":[\"\\ude00\"]}]}", NONE),
		ROW("surrogates the wrong way round", "{\"b\":[{\"d\":[\"\\ude00\\ud83d\"]}]}", NONE),
		ROW("an unknown escape", "{\"b\":[{\"d\":[\"\\x41\"]}]}", NONE),
		ROW("a short escape", "{\"b\":[{\"d\":[\"\\u41\"]}]}", NONE),
		ROW("all escapes but those of line ends", "{\"b\":[{\"d\":[\"\\\"\\\\\\/\\b\\f\\t\\u0001\"]}]}", ALL),
		ROW("a raw tab", "{\"b\":[{\"d\":[\"a\tb\"]}]}", NONE),
	};

	(void)state;
	want_shapes(rows, ROWS(rows));
}

static void copy_rows(void **state)
{
#define COPY(name, range, levels) ROW(name, "{\"b\":[{\"c\":" range "}]}", levels)
	static const struct shape rows[] = {
		COPY("one line", "[1,1]", ALL),
		COPY("up to 2^63-1", "[1,9223372036854775807]", ALL),
		COPY("from 2^63-1", "[9223372036854775807,9223372036854775807]", ALL),
		COPY("up to 2^63", "[1,9223372036854775808]", NONE),
		COPY("up to 2^64", "[1,18446744073709551616]", NONE),
		COPY("up to 2^64+1", "[18446744073709551617,18446744073709551617]", NONE),
		COPY("zero", "[0,1]", NONE),
		COPY("zero both", "[0,0]", NONE),
		COPY("negative", "[-1,1]", NONE),
		COPY("minus zero", "[-0,1]", NONE),
		COPY("start above end", "[5,2]", NONE),
		COPY("a fraction", "[1.5,2]", NONE),
		COPY("1.0", "[1.0,2]", NONE),
		COPY("1e0", "[1e0,2]", NONE),
		COPY("1E0 at the end", "[1,1E0]", NONE),
		COPY("1e400", "[1e400,2]", NONE),
		COPY("a leading zero", "[01,2]", NONE),
		COPY("a plus", "[+1,2]", NONE),
		COPY("hexadecimal", "[0x1,2]", NONE),
		COPY("a string", "[\"1\",2]", NONE),
		COPY("null", "[1,null]", NONE),
		COPY("true", "[true,true]", NONE),
		COPY("no members", "[]", NONE),
		COPY("one member", "[1]", NONE),
		COPY("three members", "[1,2,3]", NONE),
		COPY("a number", "1", NONE),
		COPY("an object", "{\"1\":1}", NONE),
		ROW("they ascend", "{\"b\":[{\"c\":[1,2]},{\"c\":[3,3]},{\"d\":[\"x\"]},{\"c\":[9,10]}]}", ALL),
		ROW("they overlap", "{\"b\":[{\"c\":[1,3]},{\"c\":[2,3]}]}", NONE),
		ROW("they touch", "{\"b\":[{\"c\":[1,3]},{\"c\":[3,4]}]}", NONE),
		ROW("the same again", "{\"b\":[{\"c\":[1,1]},{\"c\":[1,1]}]}", NONE),
		ROW("they descend over a literal", "{\"b\":[{\"c\":[3,3]},{\"d\":[\"x\"]},{\"c\":[1,1]}]}", NONE),
		ROW("they overlap behind 2^63-1", "{\"b\":[{\"c\":[1,9223372036854775807]},{\"c\":[1,1]}]}", NONE),
		ROW("fields overlap", "{\"h\":{\"a\":[{\"c\":[1,2]},{\"c\":[2,2]}]}}", NONE),
		ROW("each name and the body count for themselves",
		    "{\"h\":{\"a\":[{\"c\":[2,2]}],\"b\":[{\"c\":[1,1]}]},\"b\":[{\"c\":[1,1]}]}", ALL),
	};

	(void)state;
	want_shapes(rows, ROWS(rows));
}

static void literal_rows(void **state)
{
#define TEXT(name, text, levels) ROW(name, "{\"h\":{\"subject\":[{\"d\":[\"" text "\"]}]}}", levels)
#define OCTETS(name, text, levels) ROW(name, "{\"b\":[{\"u\":[\"" text "\"]}]}", levels)
#define NAME(name, field, levels) ROW(name, "{\"h\":{\"" field "\":[]}}", levels)
	static const struct shape rows[] = {
		TEXT("CRLF, escaped", "x\\r\\nBcc: e@evil.test", NONE),
		TEXT("CR, escaped", "x\\r", NONE),
		TEXT("LF, escaped", "x\\n", NONE),
		TEXT("LF by its number", "x\\u000a", NONE),
		TEXT("CR by its number", "\\u000D", NONE),
		TEXT("CRLF, raw", "x\r\nBcc: e@evil.test", NONE),
		TEXT("LF in the body of texts", "a\",\"b\",\"c\\n", NONE),
		TEXT("NEL and the line separators are text", "\\u0085\\u2028\\u2029", ALL),
		OCTETS("canonical", "/w==", NEW),
		OCTETS("canonical, three", "////", NEW),
		OCTETS("nothing", "", NEW),
		OCTETS("UTF-8 in it", "eA==", NEW),
		OCTETS("NUL in it", "AA==", NEW),
		OCTETS("CRLF in it", "DQo=", NONE),
		OCTETS("CR in it", "YQ1i", NONE),
		OCTETS("no padding", "eA", NONE),
		OCTETS("half the padding", "eA=", NONE),
		OCTETS("too much padding", "eA===", NONE),
		OCTETS("pad bits", "eB==", NONE),
		OCTETS("a blank", "e A==", NONE),
		OCTETS("a line end", "eA==\\n", NONE),
		OCTETS("the other alphabet", "_w==", NONE),
		OCTETS("two in one", "eA==eA==", NONE),
		NAME("all a name may hold", "!#$%&'*+-.^_`|~0az\\\"\\\\()<>@,;/[]?={}", ALL),
		NAME("empty", "", NONE),
		NAME("a colon", "a:b", NONE),
		NAME("a colon at the end", "subject:", NONE),
		NAME("a blank", "a b", NONE),
		NAME("a blank at the end", "subject ", NONE),
		NAME("a tab", "a\\tb", NONE),
		NAME("a field in it", "from: x\\r\\nto", NONE),
		NAME("LF", "a\\n", NONE),
		NAME("DEL", "a\x7f", NONE),
		NAME("8-bit", "\xc3\xbc", NONE),
		NAME("8-bit, escaped", "\\u00fc", NONE),
		NAME("an unsigned one with a blank", "x- ", NONE),
	};

	(void)state;
	want_shapes(rows, ROWS(rows));
}

static void what_is_read(void **state)
{
	struct recipe r;
	const char *why;

	(void)state;
	assert_int_equal(parse(9,
	    S("{\"B\":[{\"c\":[2,4]},{\"u\":[\"/w==\",\"\"]},{\"c\":[7,7]}],\"x\":[-0.5e+7,\"\\u0001\",{}],"
	      "\"h\":{\"Subject\":[{\"d\":[\"\\u00FC\\u20ac\\ud83d\\uDE00\\u007f\\/\\t\",\"\"]},{\"c\":[1,1]}],\"X-Foo\":[{\"d\":[\"y\"]}],\"to\":[],"
	      "\"DKIM2-Signature\":[],\"message-instance\":[],\"received\":[],\"Authentication-Results\":[]}}"), &r, &why), RECIPE_OK);
	assert_true(r.has_body && !r.body_lost);
	assert_int_equal(r.body.n, 3);
	assert_true(!r.body.steps[0].texts && r.body.steps[0].from == 2 && r.body.steps[0].count == 3);
	assert_true(r.body.steps[1].texts && r.body.steps[1].count == 2);
	WANT_SLICE(r.body.steps[1].texts[0], S("\xff"));
	WANT_SLICE(r.body.steps[1].texts[1], S(""));
	assert_true(!r.body.steps[2].texts && r.body.steps[2].from == 7 && r.body.steps[2].count == 1);
	assert_int_equal(r.field_count, 2);
	WANT_SLICE(r.fields[0].name, S("subject"));
	assert_int_equal(r.fields[0].steps.n, 2);
	WANT_SLICE(r.fields[0].steps.steps[0].texts[0], S("\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80\x7f/\t"));
	WANT_SLICE(r.fields[0].steps.steps[0].texts[1], S(""));
	assert_true(r.fields[0].steps.steps[1].from == 1 && r.fields[0].steps.steps[1].count == 1);
	WANT_SLICE(r.fields[1].name, S("to"));
	assert_int_equal(r.fields[1].steps.n, 0);

	assert_int_equal(parse(9, S("{\"h\":{\"received\":[]}}"), &r, &why), RECIPE_OK);
	assert_true(r.field_count == 0 && !r.has_body);
	/* signed since -08 */
	assert_int_equal(parse(9, S("{\"h\":{\"auto-submitted\":[]}}"), &r, &why), RECIPE_OK);
	assert_int_equal(r.field_count, 1);
	assert_int_equal(parse(7, S("{\"h\":{\"auto-submitted\":[]}}"), &r, &why), RECIPE_OK);
	assert_int_equal(r.field_count, 0);
	/* up to -08 */
	assert_int_equal(parse(8, S("{\"b\":null,\"h\":{\"a\":[]}}"), &r, &why), RECIPE_OK);
	assert_true(r.has_body && r.body_lost && r.field_count == 1);
}

/* head, then n times `each` with a comma between, a # in it being which one it is, then tail. On the heap. */
static struct slice many(const char *head, const char *each, size_t n, const char *tail)
{
	struct buf b;

	buf_init(&b, 1 << 26);
	buf_str(&b, head);
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_octet(&b, ',');
		for (const char *p = each; *p; p++) {
			if (*p == '#')
				buf_u64(&b, i + 1);
			else
				buf_octet(&b, (unsigned char)*p);
		}
	}
	buf_str(&b, tail);
	assert_false(buf_failed(&b));
	return buf_get(&b);
}

static void limit_rows(void **state)
{
#define SEVEN "[[[[[[["
#define SIXTY SEVEN SEVEN SEVEN SEVEN SEVEN SEVEN SEVEN SEVEN SEVEN
	static const struct {
		const char *name, *head, *each, *tail;
		size_t n; /* the most that is fine */
		size_t more;
	} rows[] = {
		{ "names", "{\"h\":{", "\"n#\":[]", "}}", LIMIT_RECIPE_NAMES, 1 },
		{ "names by the thousand", "{\"h\":{", "\"n#\":[]", "}}", LIMIT_RECIPE_NAMES, 59000 },
		{ "unknown parts", "{\"b\":[],", "\"n#\":[]", "}", LIMIT_RECIPE_NAMES - 1, 1 },
		{ "members of an unknown part", "{\"b\":[],\"x\":[{", "\"n#\":0", "}]}", LIMIT_RECIPE_NAMES, 1 },
		{ "copies", "{\"b\":[", "{\"c\":[#,9223372036854775807]}", "]}", 1, 0 },
		{ "literals", "{\"b\":[{\"d\":[", "\"\"", "]}]}", LIMIT_RECIPE_STEPS - 1, 1 },
		{ "literals of a field", "{\"h\":{\"a\":[{\"u\":[", "\"\"", "]}]}}", LIMIT_RECIPE_STEPS - 1, 1 },
		{ "steps with a literal each", "{\"b\":[", "{\"d\":[\"x\"]}", "]}", LIMIT_RECIPE_STEPS / 2, 1 },
		{ "depth", "{\"b\":[],\"x\":[[[[", "1", "]]]]}", 1, 0 },
	};
	static const struct {
		const char *name;
		struct slice json;
	} deep[] = {
		{ "one too deep", S("{\"b\":[],\"x\":[[[[[1]]]]]}") },
		{ "one too deep, in objects", S("{\"b\":[],\"x\":{\"x\":{\"x\":{\"x\":{\"x\":{}}}}}}") },
		{ "never closed", S("{\"x\":" SIXTY SIXTY) },
		{ "it is not even JSON", S("{\"x\":[{\"x\":[{\"x\":[{[{") },
	};
	struct recipe r;
	const char *why;

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		for (size_t more = 0; more <= rows[i].more; more += rows[i].more ? rows[i].more : 1) {
			struct slice json = many(rows[i].head, rows[i].each, rows[i].n + more, rows[i].tail);
			enum recipe_state got = parse(9, json, &r, &why);

			if (got != (more ? RECIPE_BIG : RECIPE_OK) || (more && !*why))
				fail_msg("%s, %zu of them: %d \"%s\"", rows[i].name, rows[i].n + more, (int)got, why);
			arena_clear(&arena);
			free((void *)(uintptr_t)json.at);
		}
	for (size_t i = 0; i < ROWS(deep); i++)
		if (parse(9, deep[i].json, &r, &why) != RECIPE_BIG || !*why)
			fail_msg("%s", deep[i].name);
}

/* A string may hold anything that looks like structure. */
static void structure_in_strings(void **state)
{
	struct slice rows[] = {
		many("{\"b\":[{\"d\":[\"", "{[", 1000, "\"]}]}"),
		many("{\"b\":[{\"d\":[\"\\\"", "]}", 1000, "\"]}]}"),
		many("{\"b\":[{\"d\":[\"\\\\\\\"", "[\\\"", 1000, "\"]}]}"),
		many("{\"b\":[{\"d\":[\"", ":", 5000, "\"]}]}"),
	};
	struct recipe r;
	const char *why;

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		if (parse(9, rows[i], &r, &why) != RECIPE_OK)
			fail_msg("row %zu: %s", i, why);
		free((void *)(uintptr_t)rows[i].at);
	}
}

/* --- what it costs --- */

static struct {
	size_t calls, octets; /* allocations, and what they asked for */
	size_t fail_at;       /* the call that fails, from 1 */
} heap;

/* The linker puts these in the place of those of the C library. */
void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__real_realloc(void *at, size_t n);
void *__wrap_realloc(void *at, size_t n);

static bool fails(size_t n)
{
	heap.octets += n;
	return ++heap.calls == heap.fail_at;
}

void *__wrap_malloc(size_t n)
{
	return fails(n) ? NULL : __real_malloc(n);
}

void *__wrap_realloc(void *at, size_t n)
{
	return fails(n) ? NULL : __real_realloc(at, n);
}

/* As much of it as 192 KiB hold, the most an r= can say, and a half and a quarter of that. */
static void cost_is_linear(void **state)
{
	static const struct {
		const char *name, *head, *each, *tail;
		enum recipe_state state;
	} rows[] = {
		{ "literals", "{\"b\":[{\"d\":[", "\"\"", "]}]}", RECIPE_OK },
		{ "octets", "{\"b\":[{\"u\":[", "\"/w==\"", "]}]}", RECIPE_OK },
		{ "steps", "{\"b\":[", "{\"d\":[\"\"]}", "]}", RECIPE_OK },
		{ "copies", "{\"b\":[", "{\"c\":[#,#]}", "]}", RECIPE_OK },
		{ "copies of one line", "{\"b\":[", "{\"c\":[1,1]}", "]}", RECIPE_BAD },
		{ "empty objects", "{\"b\":[],\"x\":[", "{}", "]}", RECIPE_OK },
		{ "empty arrays", "{\"b\":[],\"x\":[", "[]", "]}", RECIPE_OK },
		{ "numbers", "{\"b\":[],\"x\":[", "1", "]}", RECIPE_OK },
		{ "a long text", "{\"b\":[{\"d\":[\"", "x", "\"]}]}", RECIPE_OK },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		size_t calls[3] = { 0 }, octets[3] = { 0 };

		for (size_t k = 0; k < 3; k++) {
			struct slice one = many("", rows[i].each, 10000, ""), json;
			struct recipe r;
			const char *why;

			json = many(rows[i].head, rows[i].each, (size_t)(48 << 10 << k) * 10000 / one.n, rows[i].tail);
			arena_clear(&arena);
			heap.calls = heap.octets = 0;
			assert_int_equal(parse(9, json, &r, &why), rows[i].state);
			calls[k] = heap.calls;
			octets[k] = heap.octets;
			free((void *)(uintptr_t)one.at);
			free((void *)(uintptr_t)json.at);
		}
		/* blocks and lists grow twofold, so they ask for between once and twice what is needed */
		if (calls[2] > 2 * calls[1] + 10 || calls[1] > 2 * calls[0] + 10)
			fail_msg("%s: %zu, %zu, %zu allocations", rows[i].name, calls[0], calls[1], calls[2]);
		if (octets[2] > 4 * octets[1] + 65536 || octets[2] > 8 << 20)
			fail_msg("%s: %zu, %zu, %zu octets", rows[i].name, octets[0], octets[1], octets[2]);
	}
}

static void no_memory(void **state)
{
	struct slice json = S("{\"h\":{\"a\":[{\"d\":[\"x\"]},{\"c\":[1,1]}]},\"b\":[{\"u\":[\"/w==\"]}]}");
	struct recipe r = { .field_count = 77 };
	size_t calls;
	const char *why;

	(void)state;
	arena.ceiling = 64;
	assert_int_equal(parse(9, json, &r, &why), RECIPE_MEMORY);
	assert_true(r.field_count == 77 && *why);
	arena_clear(&arena);
	arena.ceiling = 1 << 16;
	heap.calls = 0;
	assert_int_equal(parse(9, json, &r, &why), RECIPE_OK);
	calls = heap.calls;
	assert_true(calls >= 5);
	for (heap.fail_at = 1; heap.fail_at <= calls; heap.fail_at++) {
		enum recipe_state got;

		arena_clear(&arena);
		heap.calls = 0;
		got = parse(9, json, &r, &why);
		if (got != RECIPE_MEMORY || !*why)
			fail_msg("allocation %zu: %d \"%s\"", heap.fail_at, (int)got, why);
	}
	heap.fail_at = 0;
}

/* --- written --- */

static struct slice written(const struct recipe *r)
{
	struct buf b;
	struct slice json;

	buf_init(&b, 1 << 24);
	recipe_write(r, &b);
	assert_false(buf_failed(&b));
	json = arena_copy(&arena, buf_get(&b));
	buf_release(&b);
	if (!r->body_lost)
		tell("written", json);
	return json;
}

#define STEPS(...) { (const struct recipe_step[]){ __VA_ARGS__ }, sizeof((const struct recipe_step[]){ __VA_ARGS__ }) / sizeof(struct recipe_step) }
#define COPIES(first, n) { .from = (first), .count = (n) }
#define TEXTS(...) { .texts = (const struct slice[]){ __VA_ARGS__ }, .count = sizeof((const struct slice[]){ __VA_ARGS__ }) / sizeof(struct slice) }

static void write_rows(void **state)
{
	const struct recipe_field two[] = {
		{ S("subject"), STEPS(TEXTS(S(" old"))) },
		{ S("a\"\\z"), { NULL, 0 } },
	};
	const struct {
		const char *name;
		struct recipe recipe;
		struct slice json;
	} rows[] = {
		{ "a copy", { .has_body = true, .body = STEPS(COPIES(1, 10)) }, S("{\"b\":[{\"c\":[1,10]}]}") },
		{ "a copy of one line", { .has_body = true, .body = STEPS(COPIES(7, 1)) }, S("{\"b\":[{\"c\":[7,7]}]}") },
		{ "an empty body", { .has_body = true }, S("{\"b\":[]}") },
		{ "a body that is lost", { .has_body = true, .body_lost = true }, S("{\"b\":null}") },
		{ "fields", { .fields = two, .field_count = 2 }, S("{\"h\":{\"subject\":[{\"d\":[\" old\"]}],\"a\\\"\\\\z\":[]}}") },
		{ "both", { .fields = two, .field_count = 1, .has_body = true, .body = STEPS(COPIES(1, 1), TEXTS(S("x")), COPIES(2, 2)) },
		    S("{\"h\":{\"subject\":[{\"d\":[\" old\"]}]},\"b\":[{\"c\":[1,1]},{\"d\":[\"x\"]},{\"c\":[2,3]}]}") },
		{ "texts", { .has_body = true, .body = STEPS(TEXTS(S("a"), S(""), S("b\t\x01\x7f/"))) },
		    S("{\"b\":[{\"d\":[\"a\",\"\",\"b\\t\\u0001\x7f/\"]}]}") },
		{ "UTF-8 as it is", { .has_body = true, .body = STEPS(TEXTS(S("\xc3\xbc\xf0\x9f\x98\x80"))) },
		    S("{\"b\":[{\"d\":[\"\xc3\xbc\xf0\x9f\x98\x80\"]}]}") },
		{ "what is not UTF-8", { .has_body = true, .body = STEPS(TEXTS(S("\xff"), S("\xfc" "b"))) },
		    S("{\"b\":[{\"u\":[\"/w==\",\"/GI=\"]}]}") },
		{ "NUL", { .has_body = true, .body = STEPS(TEXTS({ (const unsigned char *)"a\0", 2 })) }, S("{\"b\":[{\"u\":[\"YQA=\"]}]}") },
		{ "kinds in turn", { .has_body = true, .body = STEPS(TEXTS(S("a"), S("\xff"), S("\xff"), S("b"), S("c"), S("\xff"))) },
		    S("{\"b\":[{\"d\":[\"a\"]},{\"u\":[\"/w==\",\"/w==\"]},{\"d\":[\"b\",\"c\"]},{\"u\":[\"/w==\"]}]}") },
		{ "steps are not merged", { .has_body = true, .body = STEPS(TEXTS(S("a")), TEXTS(S("b"))) },
		    S("{\"b\":[{\"d\":[\"a\"]},{\"d\":[\"b\"]}]}") },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct slice json = written(&rows[i].recipe);
		struct recipe r;
		const char *why;

		if (!slice_eq(json, rows[i].json))
			fail_msg("%s: %.*s", rows[i].name, SLICE_FMT(json));
		if (parse(rows[i].recipe.body_lost ? 8 : 9, json, &r, &why) != RECIPE_OK)
			fail_msg("%s: %s", rows[i].name, why);
		WANT_SLICE(written(&r), json);
	}
}

/* What does not fit is told, and is not written in part by a buf that goes on. */
static void write_too_much(void **state)
{
	const struct recipe r = { .has_body = true, .body = STEPS(TEXTS(S("aaaaaaaaaaaaaaaaaaaa"), S("b"))) };
	struct buf b;

	(void)state;
	for (size_t room = 0; room < written(&r).n; room++) {
		buf_init(&b, room);
		recipe_write(&r, &b);
		assert_true(buf_failed(&b));
		buf_release(&b);
	}
	buf_init(&b, written(&r).n);
	recipe_write(&r, &b);
	assert_false(buf_failed(&b));
	buf_release(&b);
}

static void want_steps(struct recipe_steps got, struct recipe_steps want)
{
	assert_int_equal(got.n, want.n);
	for (size_t i = 0; i < got.n; i++) {
		const struct recipe_step *g = &got.steps[i], *w = &want.steps[i];

		assert_true(!g->texts == !w->texts && g->count == w->count);
		if (!g->texts)
			assert_int_equal(g->from, w->from);
		for (uint64_t k = 0; g->texts && k < g->count; k++)
			WANT_SLICE(g->texts[k], w->texts[k]);
	}
}

static uint64_t dice;

/* 0 to n - 1, the same on every run */
static size_t roll(size_t n)
{
	dice = dice * 6364136223846793005U + 1442695040888963407U;
	return (size_t)(dice >> 33) % n;
}

/* Any octets but CR and LF; not UTF-8 when `octets`, and then no step of it is cut in two. */
static struct slice any_text(bool octets)
{
	size_t n = roll(20);
	unsigned char *p = arena_take(&arena, n + 1);

	for (size_t i = 0; i < n; i++) {
		p[i] = (unsigned char)(octets ? roll(256) : 1 + roll(127));
		if (p[i] == '\r' || p[i] == '\n')
			p[i] = '"';
	}
	if (octets)
		p[n++] = 0xff;
	return slice_of(p, n);
}

static struct recipe_steps any_steps(void)
{
	size_t n = roll(6);
	struct recipe_step *steps = ARENA_ARRAY(&arena, n, struct recipe_step);
	uint64_t last = 0;

	for (size_t i = 0; i < n; i++) {
		bool octets = roll(2);
		struct slice *texts;

		if (roll(2)) {
			steps[i].from = last + 1 + roll(5);
			steps[i].count = 1 + roll(roll(4) ? 5 : 1 << 30);
			last = steps[i].from + steps[i].count - 1;
			continue;
		}
		steps[i].count = 1 + roll(4);
		texts = ARENA_ARRAY(&arena, steps[i].count, struct slice);
		for (uint64_t k = 0; k < steps[i].count; k++)
			texts[k] = any_text(octets);
		steps[i].texts = texts;
	}
	return (struct recipe_steps){ steps, n };
}

/* Whatever is written is read the same. */
static void round_trip(void **state)
{
	(void)state;
	for (dice = 1; dice < 2000;) {
		uint64_t seed = dice;
		struct recipe_field fields[4];
		struct recipe r = { .fields = fields, .field_count = roll(4), .has_body = roll(2) }, again;
		const char *why;

		for (size_t i = 0; i < r.field_count; i++)
			fields[i] = (struct recipe_field){ arena_printf(&arena, "n%zu\"\\", i), any_steps() };
		if (r.has_body)
			r.body = any_steps();
		if (r.has_body || r.field_count) {
			if (parse(9, written(&r), &again, &why) != RECIPE_OK)
				fail_msg("%s", why);
			assert_int_equal(again.field_count, r.field_count);
			for (size_t i = 0; i < r.field_count; i++) {
				WANT_SLICE(again.fields[i].name, r.fields[i].name);
				want_steps(again.fields[i].steps, r.fields[i].steps);
			}
			assert_int_equal(again.has_body, r.has_body);
			want_steps(again.body, r.body);
		}
		arena_clear(&arena);
		dice = seed + 1;
	}
}

/* A suite of -02, and still the same but for the one that says nothing. */
static void recipes_of_others(void **state)
{
	char folder[500];
	json_t *rows;

	(void)state;
	assert_true(vector_folder("dkim2-spec02", folder, sizeof(folder)));
	rows = vector_json(folder, "recipes.json");
	assert_int_equal(json_array_size(rows), 6);
	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		json_t *recipe = json_object_get(row, "recipe"), *want = json_object_get(row, "want");
		json_t *whole = recipe ? json_incref(recipe) : json_object_get(want, "b") ? json_incref(want) : json_pack("{s:O}", "h", want);
		char *text = json_dumps(whole, JSON_COMPACT);
		bool says = json_object_size(whole) > 0;
		struct recipe r;
		const char *why;

		if (parse(9, slice_str(text), &r, &why) != (says ? RECIPE_OK : RECIPE_BAD))
			fail_msg("%s: %s", json_string_value(json_object_get(row, "name")), why);
		if (says)
			WANT_SLICE(written(&r), slice_str(text));
		free(text);
		json_decref(whole);
	}
	json_decref(rows);
}

/* Literals of base64 are decoded where they stand: each takes the slice that says where, and no more. */
static void short_octets_take_little_room(void **state)
{
	struct recipe r;
	struct arena a;
	struct buf json;
	const char *why;

	(void)state;
	buf_init(&json, 1 << 20);
	buf_str(&json, "{\"b\":[{\"u\":[\"/w==\"");
	for (size_t i = 1; i < 20000; i++)
		buf_str(&json, i % 2 ? ",\"\"" : ",\"/w==\"");
	buf_str(&json, "]}]}");
	arena_init(&a, json.n + 20000 * sizeof(struct slice) + 8192);
	assert_int_equal(recipe_parse(&a, draft_of(9), buf_get(&json), &r, &why), RECIPE_OK);
	for (size_t i = 0; i < 20000; i++)
		assert_int_equal(r.body.steps[0].texts[i].n, i % 2 ? 0 : 1);
	assert_int_equal(r.body.steps[0].texts[19998].at[0], 0xff);
	arena_clear(&a);
	buf_release(&json);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(short_octets_take_little_room),
		cmocka_unit_test_setup_teardown(shape_rows, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(twice_rows, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(json_rows, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(copy_rows, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(literal_rows, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(what_is_read, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(limit_rows, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(structure_in_strings, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(cost_is_linear, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(no_memory, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(write_rows, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(write_too_much, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(round_trip, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(recipes_of_others, fresh_arena, drop_arena),
	};

	telling = argc == 2 && strcmp(argv[1], "--tell") == 0;
	return RUN_TESTS(tests);
}
