/* What may be asked of the queue process: shapes that go through, and everything else that does not. */
#include "test.h"

#include "base/limits.h"
#include "daemon/request.h"

static const struct row {
	const char *name, *text;
	bool good;
} rows[] = {
	{ "a list",                          "{\"do\": \"list\"}", true },
	{ "a page of it",                    "{\"do\": \"list\", \"after\": \"x7\", \"limit\": 1}", true },
	{ "the biggest page",                "{\"do\": \"list\", \"limit\": 100}", true },
	{ "a page above it",                 "{\"do\": \"list\", \"limit\": 101}", false },
	{ "an empty page",                   "{\"do\": \"list\", \"limit\": 0}", false },
	{ "a page of minus one",             "{\"do\": \"list\", \"limit\": -1}", false },
	{ "a limit that is a text",          "{\"do\": \"list\", \"limit\": \"1\"}", false },
	{ "a limit with a fraction",         "{\"do\": \"list\", \"limit\": 1.5}", false },
	{ "a list of one message",           "{\"do\": \"list\", \"id\": \"a1\"}", false },
	{ "a cursor of 64 octets",           "{\"do\": \"list\", \"after\": \"0123456789012345678901234567890123456789012345678901234567890123\"}", true },
	{ "a cursor of 65",                  "{\"do\": \"list\", \"after\": \"01234567890123456789012345678901234567890123456789012345678901234\"}", false },
	{ "an empty cursor",                 "{\"do\": \"list\", \"after\": \"\"}", false },
	{ "a message",                       "{\"do\": \"show\", \"id\": \"0az9\"}", true },
	{ "its further recipients",          "{\"do\": \"show\", \"id\": \"0az9\", \"after\": \"100\"}", true },
	{ "an id of 32",                     "{\"do\": \"show\", \"id\": \"0123456789abcdef0123456789abcdef\"}", true },
	{ "an id of 33",                     "{\"do\": \"show\", \"id\": \"0123456789abcdef0123456789abcdef0\"}", false },
	{ "an id with a capital",            "{\"do\": \"show\", \"id\": \"A1\"}", false },
	{ "an id with a slash",              "{\"do\": \"show\", \"id\": \"../mail\"}", false },
	{ "an id with NUL",                  "{\"do\": \"show\", \"id\": \"a\\u0000\"}", false },
	{ "an empty id",                     "{\"do\": \"show\", \"id\": \"\"}", false },
	{ "no message",                      "{\"do\": \"show\"}", false },
	{ "content",                         "{\"do\": \"content\", \"id\": \"a\"}", true },
	{ "content from there on",           "{\"do\": \"content\", \"id\": \"a\", \"at\": 65536}", true },
	{ "content before it",               "{\"do\": \"content\", \"id\": \"a\", \"at\": -1}", false },
	{ "content at a text",               "{\"do\": \"content\", \"id\": \"a\", \"at\": \"0\"}", false },
	{ "content without a message",       "{\"do\": \"content\", \"at\": 0}", false },
	{ "flush all",                       "{\"do\": \"flush\", \"all\": true}", true },
	{ "flush some",                      "{\"do\": \"flush\", \"ids\": [\"a\", \"b\"]}", true },
	{ "flush a destination",             "{\"do\": \"flush\", \"destination\": \"[::1]:25\"}", true },
	{ "flush an empty destination",      "{\"do\": \"flush\", \"destination\": \"\"}", false },
	{ "flush a page",                    "{\"do\": \"flush\", \"all\": true, \"limit\": 1}", false },
	{ "flush nothing",                   "{\"do\": \"flush\"}", false },
	{ "flush two things",                "{\"do\": \"flush\", \"all\": true, \"destination\": \"b.test\"}", false },
	{ "hold all",                        "{\"do\": \"hold\", \"all\": true, \"after\": \"x\"}", true },
	{ "hold not all",                    "{\"do\": \"hold\", \"all\": false}", false },
	{ "hold all and some",               "{\"do\": \"hold\", \"all\": true, \"ids\": [\"a\"]}", false },
	{ "hold nothing",                    "{\"do\": \"hold\"}", false },
	{ "hold none",                       "{\"do\": \"hold\", \"ids\": []}", false },
	{ "hold what is no id",              "{\"do\": \"hold\", \"ids\": [\"a\", 1]}", false },
	{ "hold a text",                     "{\"do\": \"hold\", \"ids\": \"a\"}", false },
	{ "hold a destination",              "{\"do\": \"hold\", \"destination\": \"b.test\"}", false },
	{ "release",                         "{\"do\": \"release\", \"ids\": [\"a\"]}", true },
	{ "remove",                          "{\"do\": \"remove\", \"ids\": [\"a\"]}", true },
	{ "remove in silence",               "{\"do\": \"remove\"}", false },
	{ "destinations",                    "{\"do\": \"destinations\"}", true },
	{ "destinations behind others",      "{\"do\": \"destinations\", \"after\": \"x\"}", false },
	{ "no verb",                         "{}", false },
	{ "a verb that is no text",          "{\"do\": [\"list\"]}", false },
	{ "a verb nobody knows",             "{\"do\": \"frob\"}", false },
	{ "a member nobody knows",           "{\"do\": \"list\", \"x\": 1}", false },
	{ "a member twice",                  "{\"do\": \"list\", \"limit\": 1, \"limit\": 2}", false },
	{ "a list that is none",             "[\"do\", \"list\"]", false },
	{ "a text",                          "\"list\"", false },
	{ "nothing",                         "", false },
	{ "half of it",                      "{\"do\": \"li", false },
	{ "more behind it",                  "{\"do\": \"list\"} {}", false },
};

static void shapes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *why = NULL;
		json_t *request = request_read(slice_str(rows[i].text), &why);

		if ((request != NULL) != rows[i].good || (why != NULL) == rows[i].good)
			fail_msg("%s: wanted %s, got %s", rows[i].name, rows[i].good ? "a request" : "none", why ? why : "one");
		json_decref(request);
	}
}

static void ids_at_most(void **state)
{
	(void)state;
	for (int n = LIMIT_QUEUE_PAGE; n <= LIMIT_QUEUE_PAGE + 1; n++) {
		json_t *ids = json_array(), *request;
		const char *why;
		char *text;

		for (int i = 0; i < n; i++)
			json_array_append_new(ids, json_string("a"));
		request = json_pack("{s:s, s:o}", "do", "remove", "ids", ids);
		text = json_dumps(request, 0);
		json_decref(request);
		request = request_read(slice_str(text), &why);
		assert_int_equal(request != NULL, n == LIMIT_QUEUE_PAGE);
		json_decref(request);
		free(text);
	}
}

static void limit_is_filled_in(void **state)
{
	const char *why;
	json_t *list = request_read(S("{\"do\": \"list\"}"), &why), *flush = request_read(S("{\"do\": \"flush\", \"all\": true}"), &why);

	(void)state;
	assert_int_equal(json_integer_value(json_object_get(list, "limit")), LIMIT_QUEUE_PAGE);
	assert_null(json_object_get(flush, "limit"));
	json_decref(list);
	json_decref(flush);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shapes),
		cmocka_unit_test(ids_at_most),
		cmocka_unit_test(limit_is_filled_in),
	};

	return RUN_TESTS(tests);
}
