/* How to get from one instance to the one before: the JSON of r=, read and written. */
#include "test.h"

#include <jansson.h>

#include "auth/dkim2/recipe.h"
#include "base/limits.h"

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

static struct arena arena;

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
	    S("{\"B\":[{\"c\":[2,4]},{\"u\":[\"/w==\",\"\"]},{\"c\":[7,7]}],\"x\":0,"
	      "\"h\":{\"Subject\":[{\"d\":[\"\\u00fc\",\"\"]},{\"c\":[1,1]}],\"X-Foo\":[{\"d\":[\"y\"]}],\"to\":[],"
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
	WANT_SLICE(r.fields[0].steps.steps[0].texts[0], S("\xc3\xbc"));
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(shape_rows, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(twice_rows, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(json_rows, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(copy_rows, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(literal_rows, fresh_arena, drop_arena),
		cmocka_unit_test_setup_teardown(what_is_read, fresh_arena, drop_arena),
	};

	return RUN_TESTS(tests);
}
