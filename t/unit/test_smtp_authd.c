/* Lines of Dovecot's authentication service, and ours to it. */
#include "test.h"

#include "base/limits.h"
#include "smtp/authd.h"

static const char *const kinds[] = { "itself", "done", "cont", "ok", "fail", "bad" };

static void want(const char *name, struct authd *d, struct slice line, const char *expected)
{
	struct authd_line out;
	struct arena a;
	struct buf got;

	arena_init(&a, 65536);
	buf_init(&got, 65536);
	buf_str(&got, kinds[authd_read(d, &a, line, &out)]);
	assert_int_equal(got.n, strlen(kinds[out.kind]));
	if (out.kind == AUTHD_CONT || out.kind == AUTHD_OK || out.kind == AUTHD_FAIL)
		buf_printf(&got, " %lu ", (unsigned long)out.id);
	if (out.kind == AUTHD_CONT)
		buf_slice(&got, out.octets);
	if (out.kind == AUTHD_OK)
		buf_slice(&got, out.user);
	if (out.kind == AUTHD_FAIL)
		buf_printf(&got, "%s%s", out.temporary ? "later, " : "", out.why);
	if (!slice_eq(buf_get(&got), slice_str(expected))) {
		print_error("%s: wanted \"%s\", got \"%.*s\"\n", name, expected, SLICE_FMT(buf_get(&got)));
		fail();
	}
	buf_release(&got);
	arena_clear(&a);
}

static void what_it_says_of_itself(void **state)
{
	struct authd d = { .version = false };

	(void)state;
	want("version", &d, S("VERSION\t1\t2"), "itself");
	want("mechanisms", &d, S("MECH\tPLAIN\tplaintext"), "itself");
	want("one we have not", &d, S("MECH\tLOGIN\tplaintext"), "itself");
	want("one we have", &d, S("MECH\tSCRAM-SHA-256\tmutual-auth"), "itself");
	want("a variant of it", &d, S("MECH\tSCRAM-SHA-256-PLUS"), "itself");
	want("more", &d, S("SPID\t7"), "itself");
	want("and more", &d, S("COOKIE\t00112233"), "itself");
	want("an answer before its time", &d, S("OK\t1\tuser=ann"), "itself");
	assert_false(d.done);
	want("all", &d, S("DONE"), "done");
	assert_true(d.done);
	assert_int_equal(d.mechs, 1U << AUTH_PLAIN | 1U << AUTH_SCRAM_SHA_256);
	want("what comes later", &d, S("MECH\tPLAIN"), "itself");
	want("what nobody knows", &d, S("NEWS\t1"), "itself");

	d = (struct authd){ .version = false };
	want("another version", &d, S("VERSION\t2\t0"), "bad");
	want("no number", &d, S("VERSION\tx"), "bad");
	want("no version", &d, S("DONE"), "bad");
	assert_false(d.done);
}

static void answers(void **state)
{
	static const struct {
		const char *name;
		struct slice line;
		const char *want;
	} rows[] = {
		{ "a user", { (const unsigned char *)"OK\t7\tuser=ann\tresp=", 18 }, "ok 7 ann" },
		{ "behind other words", { (const unsigned char *)"OK\t7\toriginal_user=x\tuser=ann", 29 }, "ok 7 ann" },
		{ "UTF-8", { (const unsigned char *)"OK\t7\tuser=\xc3\xa4", 12 }, "ok 7 \xc3\xa4" },
		{ "an escape that is none", { (const unsigned char *)"OK\t7\tuser=a\001nn", 14 }, "ok 7 ann" },
		{ "an escaped TAB", { (const unsigned char *)"OK\t7\tuser=a\001tn", 14 }, "bad" },
		{ "an escaped NUL", { (const unsigned char *)"OK\t7\tuser=a\0010n", 14 }, "bad" },
		{ "an escape of nothing", { (const unsigned char *)"OK\t7\tuser=a\001", 12 }, "bad" },
		{ "NUL", { (const unsigned char *)"OK\t7\tuser=a\0", 12 }, "bad" },
		{ "no UTF-8", { (const unsigned char *)"OK\t7\tuser=\xff", 11 }, "bad" },
		{ "nobody", { (const unsigned char *)"OK\t7\tuser=", 10 }, "bad" },
		{ "no user", { (const unsigned char *)"OK\t7", 4 }, "bad" },
		{ "no number", { (const unsigned char *)"OK\tuser=ann", 11 }, "bad" },
		{ "a number beyond 32 bits", { (const unsigned char *)"OK\t4294967296\tuser=ann", 22 }, "bad" },
		{ "no", { (const unsigned char *)"FAIL\t7\tuser=ann", 15 }, "fail 7 wrong user or password" },
		{ "no, without words", { (const unsigned char *)"FAIL\t7", 6 }, "fail 7 wrong user or password" },
		{ "later", { (const unsigned char *)"FAIL\t7\tuser=ann\ttemp", 20 }, "fail 7 later, temporary failure of the service" },
		{ "later, as since 2.3", { (const unsigned char *)"FAIL\t7\tuser=ann\ttemp\tcode=temp_fail", 35 },
		    "fail 7 later, temporary failure of the service" },
		{ "a reason that only looks like it", { (const unsigned char *)"FAIL\t7\treason=temp", 18 }, "fail 7 wrong user or password" },
		{ "disabled", { (const unsigned char *)"FAIL\t7\tuser=ann\tuser_disabled", 29 }, "fail 7 user disabled" },
		{ "expired", { (const unsigned char *)"FAIL\t7\tcode=pass_expired", 24 }, "fail 7 password expired" },
		{ "no for nobody", { (const unsigned char *)"FAIL", 4 }, "bad" },
		{ "a challenge", { (const unsigned char *)"CONT\t7\tcj1hYmM=", 15 }, "cont 7 r=abc" },
		{ "an empty one", { (const unsigned char *)"CONT\t7\t", 7 }, "cont 7 " },
		{ "none", { (const unsigned char *)"CONT\t7", 6 }, "cont 7 " },
		{ "no base64", { (const unsigned char *)"CONT\t7\t!", 8 }, "bad" },
		{ "nothing", { (const unsigned char *)"", 0 }, "itself" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct authd d = { .version = true, .done = true };

		want(rows[i].name, &d, rows[i].line, rows[i].want);
	}
}

static void limits_of_a_line(void **state)
{
	struct authd d = { .version = true, .done = true };
	struct buf line;

	(void)state;
	buf_init(&line, 65536);
	buf_str(&line, "OK\t1\tuser=");
	for (size_t i = 0; i < LIMIT_AUTH_NAME + 1; i++)
		buf_octet(&line, 'a');
	want("a long name", &d, buf_get(&line), "bad");
	buf_clear(&line);
	buf_str(&line, "CONT\t1\t");
	for (size_t i = 0; i < LIMIT_AUTHD_CHALLENGE / 3 * 4 + 4; i++)
		buf_octet(&line, 'A');
	want("a long challenge", &d, buf_get(&line), "bad");
	buf_release(&line);
}

static void what_we_say(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	authd_hello(&b, 42);
	authd_begin(&b, 7, AUTH_PLAIN, "192.0.2.1", "::1", S("\0ann\0x"));
	authd_begin(&b, 8, AUTH_SCRAM_SHA_256, "192.0.2.1", "::1", SLICE_NONE);
	authd_go_on(&b, 8, S("c=biws"));
	authd_go_on(&b, 8, SLICE_NONE);
	authd_cancel(&b, 8);
	WANT_SLICE(buf_get(&b), S("VERSION\t1\t1\nCPID\t42\n"
				  "AUTH\t7\tPLAIN\tservice=smtp\tnologin\tlip=::1\trip=192.0.2.1\tsecured\tresp=AGFubgB4\n"
				  "AUTH\t8\tSCRAM-SHA-256\tservice=smtp\tnologin\tlip=::1\trip=192.0.2.1\tsecured\tresp=\n"
				  "CONT\t8\tYz1iaXdz\nCONT\t8\t\nCANCEL\t8\n"));
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_it_says_of_itself),
		cmocka_unit_test(answers),
		cmocka_unit_test(limits_of_a_line),
		cmocka_unit_test(what_we_say),
	};

	return RUN_TESTS(tests);
}
