/* The questions of a message, and what answers look like. */
#include "test.h"

#include "arena.h"
#include "zone.h"

static const char zone_text[] =
    "{\"a.test\": {\"TXT\": [\"v=spf1 -all\", \"other\"], \"MX\": [\"10 MX.a.test\", \"0 .\"], \"A\": [\"192.0.2.1\"], \"AAAA\": [\"2001:db8::1\"]},"
    " \"1.2.0.192.in-addr.arpa\": {\"PTR\": [\"Host.A.test.\"]},"
    " \"slow.test\": {\"error\": \"timeout\"}, \"alias.test\": {\"CNAME\": \"a.test\", \"secure\": true}}";

static void one_question_a_name_and_type(void **state)
{
	struct asks *q;
	size_t index;
	enum dnsrec_type type;
	struct slice name;

	(void)state;
	q = asks_new(&arena, 10);
	assert_null(asks_get(q, DNSREC_TXT, S("A.Test.")));
	asks_want(q, DNSREC_TXT, S("a.test"));
	assert_null(asks_get(q, DNSREC_KEY, S("a.test")));
	assert_int_equal(asks_count(q), 2);
	assert_true(asks_next(q, &index, &type, &name));
	assert_int_equal(type, DNSREC_TXT);
	WANT_SLICE(name, S("a.test"));
	assert_true(asks_next(q, &index, &type, &name));
	assert_int_equal(type, DNSREC_KEY);
	assert_false(asks_next(q, &index, &type, &name));
	assert_int_equal(asks_open(q), 2);
	asks_release(q);
}

static void names_that_are_none_are_not_asked(void **state)
{
	static const struct {
		const char *what;
		struct slice name;
	} rows[] = {
#define ROW(what, text) { what, { (const unsigned char *)text, sizeof(text) - 1 } }
		ROW("empty", ""), ROW("root", "."), ROW("empty label", "a..test"), ROW("dot in front", ".a.test"), ROW("two dots behind", "a.test.."),
		ROW("NUL", "a\0.test"), ROW("tab", "a\t.test"), ROW("8-bit", "\xc3\xa4.test"), ROW("backslash", "a\\046b.test"),
		ROW("label of 64", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.test"),
#define L50 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa."
		ROW("254 octets", L50 L50 L50 L50 L50 "test"),
	};
	struct asks *q;

	(void)state;
	q = asks_new(&arena, 10);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct dnsrec *rec = asks_get(q, DNSREC_A, rows[i].name), *key = asks_get(q, DNSREC_KEY, rows[i].name);

		if (!rec || rec->status != DNS_NXDOMAIN || !key || key->key->state != KEYREC_ABSENT)
			fail_msg("%s: not simply absent", rows[i].what);
	}
	assert_int_equal(asks_count(q), 0);
	assert_null(asks_get(q, DNSREC_A, S(L50 L50 L50 L50 L50 "tes"))); /* 253 */
	assert_null(asks_get(q, DNSREC_A, S("a b.test")));
	asks_release(q);
}

static void above_the_cap_all_is_silence(void **state)
{
	struct asks *q;

	(void)state;
	q = asks_new(&arena, 1);
	asks_want(q, DNSREC_A, S("a.test"));
	assert_false(asks_too_many(q));
	assert_int_equal(asks_get(q, DNSREC_A, S("b.test"))->status, DNS_TIMEOUT);
	assert_int_equal(asks_get(q, DNSREC_KEY, S("b.test"))->key->state, KEYREC_UNREACHABLE);
	assert_true(asks_too_many(q));
	asks_release(q);
}

static void when_time_is_over_what_came_is_kept(void **state)
{
	struct answers *zone = zone_new(zone_text);
	struct asks *q;

	(void)state;
	q = asks_new(&arena, 10);
	asks_want(q, DNSREC_TXT, S("a.test"));
	assert_int_equal(zone_answer(zone, &arena, q), 1);
	asks_want(q, DNSREC_TXT, S("b.test"));
	asks_give_up(q);
	assert_int_equal(asks_open(q), 0);
	assert_int_equal(asks_get(q, DNSREC_TXT, S("a.test"))->status, DNS_OK);
	assert_int_equal(asks_get(q, DNSREC_TXT, S("b.test"))->status, DNS_TIMEOUT);
	assert_int_equal(asks_get(q, DNSREC_TXT, S("c.test"))->status, DNS_TIMEOUT);
	assert_int_equal(zone_answer(zone, &arena, q), 0);
	asks_release(q);
	answers_free(&zone);
}

static void forms_of_answers(void **state)
{
	static const struct {
		enum dnsrec_type type;
		const char *name;
		enum dns_status status;
		struct slice first;
		size_t count;
	} rows[] = {
#define OCTETS(text) { (const unsigned char *)text, sizeof(text) - 1 }
		{ DNSREC_TXT, "a.test", DNS_OK, OCTETS("v=spf1 -all"), 2 },
		{ DNSREC_MX, "a.test", DNS_OK, OCTETS("\0\012mx.a.test"), 2 },
		{ DNSREC_A, "alias.test", DNS_OK, OCTETS("\0\0\0\0\0\0\0\0\0\0\xff\xff\300\0\2\1"), 1 },
		{ DNSREC_AAAA, "a.test", DNS_OK, OCTETS("\040\001\015\270\0\0\0\0\0\0\0\0\0\0\0\1"), 1 },
		{ DNSREC_PTR, "1.2.0.192.in-addr.arpa", DNS_OK, OCTETS("host.a.test"), 1 },
		{ DNSREC_PTR, "a.test", DNS_NODATA, OCTETS(""), 0 },
		{ DNSREC_TXT, "b.test", DNS_NXDOMAIN, OCTETS(""), 0 },
		{ DNSREC_MX, "slow.test", DNS_TIMEOUT, OCTETS(""), 0 },
	};
	struct answers *zone = zone_new(zone_text);
	struct asks *q;

	(void)state;
	q = asks_new(&arena, 10);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		asks_want(q, rows[i].type, slice_str(rows[i].name));
	zone_answer(zone, &arena, q);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct dnsrec *rec = asks_get(q, rows[i].type, slice_str(rows[i].name));

		assert_int_equal(rec->status, rows[i].status);
		assert_int_equal(rec->count, rows[i].count);
		if (rec->count)
			WANT_SLICE(rec->records[0], rows[i].first);
	}
	asks_release(q);
	answers_free(&zone);
}

/* What a resolver hands in is of a peer's making. */
static void records_on_the_wire(void **state)
{
	static const struct {
		const char *what;
		enum dnsrec_type type;
		struct slice data;
		enum dns_status status;
	} rows[] = {
		{ "an address of 3 octets", DNSREC_A, OCTETS("\1\2\3"), DNS_SERVFAIL },
		{ "an address of 15 octets", DNSREC_AAAA, OCTETS("123456789012345"), DNS_SERVFAIL },
		{ "no preference", DNSREC_MX, OCTETS("\0"), DNS_SERVFAIL },
		{ "a name without its end", DNSREC_MX, OCTETS("\0\1\1a"), DNS_SERVFAIL },
		{ "a label beyond the end", DNSREC_PTR, OCTETS("\5abc"), DNS_SERVFAIL },
		{ "a label of 64", DNSREC_PTR, OCTETS("\100aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\0"), DNS_SERVFAIL },
		{ "a dot in a label", DNSREC_PTR, OCTETS("\3a.b\0"), DNS_SERVFAIL },
		{ "octets behind the name", DNSREC_PTR, OCTETS("\1a\0x"), DNS_SERVFAIL },
		{ "the root is no host", DNSREC_PTR, OCTETS("\0"), DNS_SERVFAIL },
		{ "the root is no mail", DNSREC_MX, OCTETS("\0\0\0"), DNS_OK },
		{ "a text of no octets", DNSREC_TXT, OCTETS(""), DNS_OK },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct dnsrec *rec = dnsrec_new(rows[i].type, DNS_OK, &rows[i].data, 1, false);

		assert_non_null(rec);
		if (rec->status != rows[i].status)
			fail_msg("%s: wanted status %d, got %d", rows[i].what, rows[i].status, rec->status);
		dnsrec_drop(&rec);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh_arena, drop_arena)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_question_a_name_and_type),
		TEST(names_that_are_none_are_not_asked),
		TEST(above_the_cap_all_is_silence),
		TEST(when_time_is_over_what_came_is_kept),
		TEST(forms_of_answers),
		TEST(records_on_the_wire),
	};

	return RUN_TESTS(tests);
}
