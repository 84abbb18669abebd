/* Tables of next hops: which line a domain finds, and every mistake by its line. */
#include "test.h"

#include "base/buf.h"
#include "route/table.h"

struct told {
	struct arena *arena;
	struct slice all; /* "line: word what\n"... */
};

static void on_mistake(void *arg, unsigned line, struct slice word, const char *what)
{
	struct told *t = arg;

	t->all = arena_printf(t->arena, "%.*s%u: \"%.*s\" %s\n", SLICE_FMT(t->all), line, SLICE_FMT(word), what);
}

static struct table *read_table(struct arena *a, const char *text, struct told *told)
{
	*told = (struct told){ .arena = a };
	return table_new(a, slice_str(text), on_mistake, told);
}

static const char some[] =
    "# who has what\n"
    "\n"
    "a.test\t10.0.0.1:25\n"
    "  .a.test   10.0.0.2:25 , lmtp:127.0.0.1:24  # and what is below it\r\n"
    ".b.a.test 10.0.0.3:25\n"
    "B\xc3\xbc" "cher.test 10.0.0.2:25,lmtp:127.0.0.1:24\n"
    "c.test [2001:db8::1]:25,mx.c.test:25\n"
    "a.c.test 10.0.0.1:25";

static void the_longest_name_decides(void **state)
{
	static const struct {
		const char *domain, *first; /* NULL: none */
	} rows[] = {
		{ "a.test", "10.0.0.1:25" },           { "x.a.test", "10.0.0.2:25" },       { "x.y.a.test", "10.0.0.2:25" },
		{ "b.a.test", "10.0.0.2:25" },         { "x.b.a.test", "10.0.0.3:25" },     { "xa.test", NULL },
		{ "test", NULL },                      { "", NULL },                        { "xn--bcher-kva.test", "10.0.0.2:25" },
		{ "c.test", "[2001:db8::1]:25" },      { "x.c.test", NULL },                { "a.c.test", "10.0.0.1:25" },
		{ ".a.test", NULL },                   { "[127.0.0.1]", NULL },             { "*", NULL },
		{ "a.test.", NULL },                   { "..a.test", NULL },
	};
	struct told told;
	struct arena a;
	struct table *t;
	size_t list;

	(void)state;
	arena_init(&a, 1 << 20);
	t = read_table(&a, some, &told);
	WANT_SLICE(told.all, S(""));
	assert_non_null(t);
	assert_int_equal(table_list_count(t), 4);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool found = table_find(t, slice_str(rows[i].domain), &list);

		if (found != (rows[i].first != NULL))
			fail_msg("%s: %s", rows[i].domain, found ? "found" : "not found");
		if (found)
			WANT_SLICE(table_list(t, list)->hops[0], slice_str(rows[i].first));
	}
	assert_true(table_find(t, S("x.a.test"), &list));
	assert_int_equal(table_list(t, list)->hop_count, 2);
	assert_int_equal(table_list(t, list)->line, 4);
	WANT_SLICE(table_list(t, list)->hops[1], S("lmtp:127.0.0.1:24"));
	arena_clear(&a);
}

static void the_star_has_the_rest(void **state)
{
	struct told told;
	struct arena a;
	struct table *t;
	size_t list;

	(void)state;
	arena_init(&a, 1 << 20);
	t = read_table(&a, "* 10.0.0.9:25\na.test 10.0.0.1:25\n", &told);
	assert_non_null(t);
	assert_true(table_find(t, S("a.test"), &list));
	WANT_SLICE(table_list(t, list)->hops[0], S("10.0.0.1:25"));
	assert_true(table_find(t, S("b.test"), &list));
	WANT_SLICE(table_list(t, list)->hops[0], S("10.0.0.9:25"));
	assert_true(table_find(t, S("[127.0.0.1]"), &list));
	WANT_SLICE(table_list(t, list)->hops[0], S("10.0.0.9:25"));
	assert_true(table_find(t, S(""), &list));
	arena_clear(&a);
}

#define EXPECTED ", expected next hops with commas between them"
#define NO_DOMAIN "is no domain, expected a domain, .domain for what is below it, or *\n"

static void every_mistake_has_its_line(void **state)
{
	static const struct {
		const char *name, *text, *want;
	} rows[] = {
		{ "nothing", "", "1: \"\" names no domain at all, expected a line or more\n" },
		{ "nothing but comments", "# a.test 10.0.0.1:25\n\n", "1: \"\" names no domain at all, expected a line or more\n" },
		{ "a domain alone", "a.test 10.0.0.1:25\nb.test\n", "2: \"b.test\" has no next hop behind it" EXPECTED "\n" },
		{ "a domain and a comment", "a.test # 10.0.0.1:25\n", "1: \"a.test\" has no next hop behind it" EXPECTED "\n" },
		{ "no domains", "a..test 10.0.0.1:25\n. 10.0.0.1:25\n..a 10.0.0.1:25\n*.a 10.0.0.1:25\n[127.0.0.1] 10.0.0.1:25\n",
		    "1: \"a..test\" " NO_DOMAIN "2: \".\" " NO_DOMAIN "3: \"..a\" " NO_DOMAIN "4: \"*.a\" " NO_DOMAIN
		    "5: \"[127.0.0.1]\" " NO_DOMAIN },
		{ "an address", "r@a.test 10.0.0.1:25\n", "1: \"r@a.test\" " NO_DOMAIN },
		{ "next hops without commas", "a.test 10.0.0.1:25 10.0.0.2:25\n",
		    "1: \"10.0.0.1:25 10.0.0.2:25\" is no next hop" EXPECTED "\n" },
		{ "commas without next hops", "a.test 10.0.0.1:25,\nb.test ,10.0.0.1:25\nc.test ,\n",
		    "1: \"\" stands where a next hop is expected\n2: \"\" stands where a next hop is expected\n"
		    "3: \"\" stands where a next hop is expected\n" },
		{ "a domain twice", "a.test 10.0.0.1:25\nb.test 10.0.0.1:25\nA.test 10.0.0.2:25\n",
		    "3: \"a.test\" stands in a line above it already, expected each domain once\n" },
		{ "seventeen next hops", "a.test a:1,a:2,a:3,a:4,a:5,a:6,a:7,a:8,a:9,a:10,a:11,a:12,a:13,a:14,a:15,a:16,a:17\n",
		    "1: \"a:17\" is one next hop too many, expected at most 16\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct told told;
		struct arena a;

		arena_init(&a, 1 << 20);
		if (!read_table(&a, rows[i].text, &told) || !slice_eq(told.all, slice_str(rows[i].want)))
			fail_msg("%s: got \"%.*s\"", rows[i].name, SLICE_FMT(told.all));
		arena_clear(&a);
	}
}

static void count_mistake(void *arg, unsigned line, struct slice word, const char *what)
{
	(void)line;
	(void)word;
	(void)what;
	++*(size_t *)arg;
}

static void what_is_no_table_is_given_up(void **state)
{
	struct buf b;
	struct arena a;
	size_t n = 0;

	(void)state;
	buf_init(&b, 1 << 20);
	arena_init(&a, 1 << 24);
	for (int i = 0; i < 10000; i++)
		buf_str(&b, "=\n");
	assert_non_null(table_new(&a, buf_get(&b), count_mistake, &n));
	assert_int_equal(n, 100);
	arena_clear(&a);
	buf_release(&b);
}

/* A hundred thousand domains are found as fast as one: nothing here takes longer than the file. */
static void many_lines(void **state)
{
	struct arena a, names;
	struct buf b;
	struct table *t;
	size_t n = 0, list;

	(void)state;
	buf_init(&b, 1 << 24);
	arena_init(&a, 1 << 26);
	arena_init(&names, 1 << 26);
	for (int i = 0; i < 100000; i++)
		buf_printf(&b, "d%d.test 10.%d.%d.%d:25\n", i, i >> 16, i >> 8 & 255, i & 255);
	t = table_new(&a, buf_get(&b), count_mistake, &n);
	assert_non_null(t);
	assert_int_equal(table_list_count(t), 100000);
	for (int i = 0; i < 100000; i += 99) {
		assert_true(table_find(t, arena_printf(&names, "d%d.test", i), &list));
		assert_int_equal(table_list(t, list)->line, i + 1);
	}
	arena_clear(&names);
	arena_clear(&a);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_longest_name_decides),
		cmocka_unit_test(the_star_has_the_rest),
		cmocka_unit_test(every_mistake_has_its_line),
		cmocka_unit_test(what_is_no_table_is_given_up),
		cmocka_unit_test(many_lines),
	};

	return RUN_TESTS(tests);
}
