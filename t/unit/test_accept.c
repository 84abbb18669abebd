/* Mode queue, what is answered to RCPT: who is the postmaster, where mail can go at all, and who was named before. */
#include "test.h"

#include "relay/accept.h"

static struct arena arena;
static const struct conf conf = { .hostname = "mx.c.test" };
static struct relay relay = { .conf = &conf };
static struct conf_listener settings;
static struct relay_listener listener = { .relay = &relay, .conf = &settings };
static struct pair pair = { .relay = &relay, .listener = &listener };

static int setup(void **state)
{
	(void)state;
	arena_init(&arena, 1 << 24);
	arena_init(&pair.arena, 1 << 24);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_clear(&arena);
	arena_clear(&pair.arena);
	return 0;
}

static struct path path_of(const char *text)
{
	struct path path;

	assert_true(path_parse(slice_str(text), &path));
	return path;
}

static void the_postmaster(void **state)
{
	static const struct {
		const char *name, *path;
		bool want;
	} rows[] = {
		{ "without a domain", "<postmaster>", true },
		{ "in any case", "<PostMaster>", true },
		{ "of this host", "<postmaster@mx.c.test>", true },
		{ "of this host, in any case", "<POSTMASTER@MX.C.Test>", true },
		{ "of the domain above", "<postmaster@c.test>", false },
		{ "of one below", "<postmaster@x.mx.c.test>", false },
		{ "somebody else here", "<postmaster1@mx.c.test>", false },
		{ "with a tag", "<postmaster+x@mx.c.test>", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct path path = path_of(rows[i].path);

		settings = (struct conf_listener){ .mode = MODE_QUEUE };
		if (accept_always(&pair, &arena, &path) != rows[i].want)
			fail_msg("%s", rows[i].name);
		settings.mode = MODE_PROXY;
		if (accept_always(&pair, &arena, &path))
			fail_msg("%s, where the next hop is asked", rows[i].name);
	}
}

static void on_mistake(void *arg, unsigned line, struct slice word, const char *what)
{
	(void)arg;
	fail_msg("line %u, \"%.*s\" %s", line, SLICE_FMT(word), what);
}

static void where_it_could_go(void **state)
{
	static const struct {
		const char *name;
		const char *table; /* NULL: none */
		bool mx;
		const char *path;
		bool want;
	} rows[] = {
		{ "to one server", NULL, false, "<r@c.test>", true },
		{ "a literal, to one server", NULL, false, "<r@[192.0.2.1]>", true },
		{ "by MX", NULL, true, "<r@c.test>", true },
		{ "by MX, a U-label", NULL, true, "<r@b\xc3\xbc"
					       "cher.test>",
		    true },
		{ "a literal, to that address", NULL, true, "<r@[192.0.2.1]>", true },
		{ "a literal of IPv6", NULL, true, "<r@[IPv6:2001:db8::1]>", true },
		{ "a literal of nobody knows what", NULL, true, "<r@[x400:c=de]>", false },
		{ "by MX, to the postmaster", NULL, true, "<postmaster>", true },
		{ "by a line", "c.test a.test:25\n", false, "<r@C.Test>", true },
		{ "by no line", "c.test a.test:25\n", false, "<r@d.test>", false },
		{ "below one", ".c.test a.test:25\n", false, "<r@x.c.test>", true },
		{ "a literal by no line", "c.test a.test:25\n", false, "<r@[192.0.2.1]>", false },
		{ "a literal by the last one", "* a.test:25\n", false, "<r@[192.0.2.1]>", true },
		{ "to the postmaster by no line", "c.test a.test:25\n", false, "<postmaster@mx.c.test>", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tx t = { .pair = &pair };
		struct path path = path_of(rows[i].path);
		struct fault f = { 0 };

		settings = (struct conf_listener){ .mode = MODE_QUEUE, .route_mx = rows[i].mx,
			.table = rows[i].table ? table_new(&arena, slice_str(rows[i].table), on_mistake, NULL) : NULL };
		if (accept_route(&t, &path, &f) != rows[i].want || (f.code == FAULT_NONE) != rows[i].want)
			fail_msg("%s", rows[i].name);
		if (!rows[i].want)
			assert_int_equal(f.code, FAULT_NO_ROUTE);
	}
	settings.table = NULL;
}

/* MAIL and so many recipients, with their answers; what is left of them. */
static size_t distinct(const char *const *paths, const short *codes, size_t n, struct tx *t)
{
	struct fault f = { 0 };
	size_t left = 0;

	*t = (struct tx){ .pair = &pair, .command_count = n + 1 };
	t->commands = ARENA_ARRAY(&arena, n + 1, struct tx_command);
	assert_non_null(t->commands);
	for (size_t i = 0; i < n; i++) {
		t->commands[i + 1].path = path_of(paths[i]);
		t->commands[i + 1].code = codes ? codes[i] : 250;
		t->accepted += t->commands[i + 1].code == 250;
	}
	assert_true(accept_distinct(t, &f));
	for (size_t i = 1; i <= n; i++)
		left += t->commands[i].code == 250;
	assert_int_equal(left, t->accepted);
	return left;
}

static void named_twice(void **state)
{
	static const char *const same[] = { "<r@c.test>", "<r@C.TEST>", "<\"r\"@c.test>", "<@x.test:r@c.test>", "<r@c.test>" };
	static const char *const other[] = { "<r@c.test>", "<R@c.test>", "<r@x.c.test>", "<r+1@c.test>", "<postmaster>", "<postmaster@mx.c.test>" };
	static const char *const refused[] = { "<r@c.test>", "<r@c.test>", "<r@c.test>" };
	static const short codes[] = { 550, 250, 250 };
	struct tx t;

	(void)state;
	settings = (struct conf_listener){ .mode = MODE_QUEUE };
	assert_int_equal(distinct(same, NULL, 5, &t), 1);
	assert_int_equal(t.commands[1].code, 250); /* the first, with what it asked for */
	assert_int_equal(distinct(other, NULL, 6, &t), 6);
	assert_int_equal(distinct(refused, codes, 3, &t), 1);
	assert_int_equal(t.commands[1].code, 550);
	assert_int_equal(t.commands[2].code, 250);
	assert_int_equal(distinct(NULL, NULL, 0, &t), 0);
}

static void many_of_them(void **state)
{
	const char *paths[LIMIT_RCPT];
	struct tx t;

	(void)state;
	for (size_t i = 0; i < LIMIT_RCPT; i++)
		paths[i] = arena_string(&arena, arena_printf(&arena, "<r%zu@c%zu.test>", i % 100, i % 5));
	assert_int_equal(distinct(paths, NULL, LIMIT_RCPT, &t), 100);
	for (size_t i = 1; i <= 100; i++)
		assert_int_equal(t.commands[i].code, 250);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_postmaster, setup, teardown),
		cmocka_unit_test_setup_teardown(where_it_could_go, setup, teardown),
		cmocka_unit_test_setup_teardown(named_twice, setup, teardown),
		cmocka_unit_test_setup_teardown(many_of_them, setup, teardown),
	};

	return cmocka_set_message_output(CM_OUTPUT_TAP), cmocka_run_group_tests(tests, NULL, NULL);
}
