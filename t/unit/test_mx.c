/* What an MX answer comes to: which hosts, in which order, or which answer the sender gets (RFC 5321 5.1, RFC 7505). */
#include "arena.h"
#include "test.h"

#include "auth/dnsrec.h"
#include "base/limits.h"
#include "route/mx.h"

#define ROWS(list) (sizeof(list) / sizeof((list)[0]))

static const struct slice self[] = { { (const unsigned char *)"mx.ours.test", 12 }, { (const unsigned char *)"mx2.ours.test", 13 } };

/* "10 a.test, 20 b.test" as struct dnsrec has it; "10 ." is the root. */
static size_t records_of(const char *text, struct slice **records_out)
{
	struct slice rest = slice_str(text), one, number;
	size_t n = 0;
	bool more = rest.n > 0;

	*records_out = ARENA_ARRAY(&arena, 1000, struct slice);
	while (more) {
		uint64_t preference;
		unsigned char *p;

		more = slice_cut(&rest, ',', &one);
		one = slice_trim(one);
		(void)slice_cut(&one, ' ', &number);
		assert_true(slice_u64(number, UINT16_MAX, &preference));
		if (slice_eq(one, S(".")))
			one = SLICE_NONE;
		p = arena_take(&arena, 2 + one.n);
		p[0] = (unsigned char)(preference >> 8);
		p[1] = (unsigned char)preference;
		if (one.n)
			memcpy(p + 2, one.at, one.n);
		(*records_out)[n++] = slice_of(p, 2 + one.n);
	}
	return n;
}

static struct slice joined(const struct mx_hosts *hosts)
{
	struct slice all = hosts->implicit ? S("implicit") : S("");

	for (size_t i = 0; i < hosts->n; i++)
		all = arena_printf(&arena, "%.*s%s%.*s", SLICE_FMT(all), all.n ? " " : "", SLICE_FMT(hosts->hosts[i]));
	return all;
}

static void each_answer_comes_to_something(void **state)
{
	static const struct {
		const char *what, *domain;
		enum dns_status status;
		const char *records;
		enum fault_code fault;
		const char *hosts;
	} rows[] = {
		{ "ascending preference", "a.test", DNS_OK, "30 c.test, 10 a.test, 20 b.test", FAULT_NONE, "a.test b.test c.test" },
		{ "preference is a number of 16 bits", "a.test", DNS_OK, "65535 d.test, 256 c.test, 255 b.test, 0 a.test", FAULT_NONE, "a.test b.test c.test d.test" },
		{ "a name twice counts once, as its better one", "a.test", DNS_OK, "10 a.test, 20 b.test, 5 b.test, 10 a.test", FAULT_NONE, "b.test a.test" },
		{ "no MX: the domain itself", "a.test", DNS_NODATA, "", FAULT_NONE, "implicit a.test" },
		{ "no MX, and the domain is ours", "mx.ours.test", DNS_NODATA, "", FAULT_MAIL_LOOP, NULL },
		{ "no MX, and the domain is no host", "1.2.3.4", DNS_NODATA, "", FAULT_NO_ROUTE, NULL },
		{ "no domain: never the domain itself", "a.test", DNS_NXDOMAIN, "", FAULT_NO_DOMAIN, NULL },
		{ "a time-out is no answer", "a.test", DNS_TIMEOUT, "", FAULT_NEXT_HOP_DNS, NULL },
		{ "nor is a server's failure", "a.test", DNS_SERVFAIL, "", FAULT_NEXT_HOP_DNS, NULL },
		{ "nor is what does not validate", "a.test", DNS_BOGUS, "", FAULT_NEXT_HOP_DNS, NULL },
		{ "nor is an empty one", "a.test", DNS_OK, "", FAULT_NEXT_HOP_DNS, NULL },
		{ "null MX", "a.test", DNS_OK, "0 .", FAULT_NULL_MX, NULL },
		{ "null MX, whatever its preference", "a.test", DNS_OK, "10 .", FAULT_NULL_MX, NULL },
		{ "null MX twice", "a.test", DNS_OK, "0 ., 10 .", FAULT_NULL_MX, NULL },
		{ "the root beside others is no host", "a.test", DNS_OK, "0 ., 10 a.test", FAULT_NONE, "a.test" },
		{ "the root beside what is no host either", "a.test", DNS_OK, "0 ., 10 192.0.2.1", FAULT_NO_ROUTE, NULL },
		{ "the root beside ours", "a.test", DNS_OK, "0 ., 10 mx.ours.test", FAULT_MAIL_LOOP, NULL },
		{ "ours is left out, and what is no better", "a.test", DNS_OK, "10 a.test, 20 mx.ours.test, 20 b.test, 30 c.test", FAULT_NONE, "a.test" },
		{ "the best of ours counts", "a.test", DNS_OK, "10 a.test, 40 mx.ours.test, 20 mx2.ours.test, 30 c.test", FAULT_NONE, "a.test" },
		{ "a host that is also no better is better", "a.test", DNS_OK, "10 a.test, 20 mx.ours.test, 30 a.test", FAULT_NONE, "a.test" },
		{ "we are the best", "a.test", DNS_OK, "10 mx.ours.test, 20 b.test", FAULT_MAIL_LOOP, NULL },
		{ "we are one of the best", "a.test", DNS_OK, "10 mx.ours.test, 10 b.test", FAULT_MAIL_LOOP, NULL },
		{ "we are the only one", "ours.test", DNS_OK, "10 mx.ours.test", FAULT_MAIL_LOOP, NULL },
		{ "a name below ours is another", "a.test", DNS_OK, "10 x.mx.ours.test, 20 ours.test", FAULT_NONE, "x.mx.ours.test ours.test" },
		{ "localhost is ours everywhere", "a.test", DNS_OK, "10 localhost", FAULT_MAIL_LOOP, NULL },
		{ "and what is below it", "a.test", DNS_OK, "10 a.test, 20 x.localhost, 30 b.test", FAULT_NONE, "a.test" },
		{ "another name that ends so is not", "a.test", DNS_OK, "10 xlocalhost", FAULT_NONE, "xlocalhost" },
		{ "an address is no host", "a.test", DNS_OK, "10 192.0.2.1, 20 b.test", FAULT_NONE, "b.test" },
		{ "an address alone", "a.test", DNS_OK, "10 192.0.2.1", FAULT_NO_ROUTE, NULL },
		{ "nor one of IPv6", "a.test", DNS_OK, "10 2001:db8::1, 20 [192.0.2.1]", FAULT_NO_ROUTE, NULL },
		{ "nor a number", "a.test", DNS_OK, "10 a.7, 20 3221225985", FAULT_NO_ROUTE, NULL },
		{ "a digit more or less is a name", "a.test", DNS_OK, "10 1.2.3.4a", FAULT_NONE, "1.2.3.4a" },
		{ "an underscore passes", "a.test", DNS_OK, "10 _mx_.a_b.test", FAULT_NONE, "_mx_.a_b.test" },
		{ "hyphens at the end of a label do not", "a.test", DNS_OK, "10 -a.test, 20 a-.test, 30 a.-test, 40 a.test-, 50 a-b.test", FAULT_NONE, "a-b.test" },
		{ "blanks and others neither", "a.test", DNS_OK, "10 a b.test, 20 a/b.test, 30 *.a.test, 40 a@b.test", FAULT_NO_ROUTE, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		for (uint64_t seed = 0; seed < 5; seed++) {
			struct slice *records;
			size_t n = records_of(rows[i].records, &records);
			struct mx_hosts hosts = { .n = 77 };
			struct fault f = { 0 };
			bool good = mx_order(&arena, slice_str(rows[i].domain), rows[i].status, records, n, self, ROWS(self), seed, &hosts, &f);

			if (good != (rows[i].fault == FAULT_NONE) || f.code != rows[i].fault)
				fail_msg("%s: fault %d", rows[i].what, (int)f.code);
			if (good && !slice_eq(joined(&hosts), slice_str(rows[i].hosts)))
				fail_msg("%s: %.*s", rows[i].what, SLICE_FMT(joined(&hosts)));
			if (!good)
				assert_int_equal(hosts.n, 77);
		}
}

static void faults_say_what_the_documents_say(void **state)
{
	static const struct {
		enum dns_status status;
		const char *records;
		short basic;
		const char *enhanced;
	} rows[] = {
		{ DNS_OK, "0 .", 556, "5.1.10" },  { DNS_NXDOMAIN, "", 550, "5.1.2" }, { DNS_OK, "1 mx.ours.test", 554, "5.4.6" },
		{ DNS_TIMEOUT, "", 451, "4.4.3" }, { DNS_OK, "1 1.2.3.4", 550, "5.1.2" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct slice *records;
		size_t n = records_of(rows[i].records, &records);
		struct mx_hosts hosts;
		struct fault f = { 0 };

		assert_false(mx_order(&arena, S("a.test"), rows[i].status, records, n, self, ROWS(self), 1, &hosts, &f));
		assert_int_equal(f.basic, rows[i].basic);
		assert_string_equal(f.enhanced, rows[i].enhanced);
	}
}

/* One that is cut short, which struct dnsrec never has, is left out. */
static void a_short_record_is_none(void **state)
{
	const struct slice records[] = { slice_of("\0", 1), SLICE_NONE, slice_of("\0\1a.test", 8) };
	struct mx_hosts hosts = { 0 };
	struct fault f = { 0 };

	(void)state;
	assert_true(mx_order(&arena, S("d.test"), DNS_OK, records, 3, NULL, 0, 0, &hosts, &f));
	WANT_SLICE(joined(&hosts), S("a.test"));
	assert_false(mx_order(&arena, S("d.test"), DNS_OK, records, 2, NULL, 0, 0, &hosts, &f));
	assert_int_equal(f.code, FAULT_NO_ROUTE);
}

/* As they come from the wire, through what the resolver's answers are kept in. */
static void from_the_wire(void **state)
{
	const struct slice wire[] = { slice_of("\0\24\2MX\1B\4test\0", 13), slice_of("\0\12\2mx\1a\4test\0", 13), slice_of("\0\1\3a.b\4test\0", 12) };
	const struct slice null_mx = slice_of("\0\0\0", 3);
	struct mx_hosts hosts = { 0 };
	struct fault f = { 0 };
	struct dnsrec *r = dnsrec_new(DNSREC_MX, DNS_OK, wire, 3, false);

	(void)state;
	assert_non_null(r);
	assert_true(mx_order(&arena, S("d.test"), r->status, r->records, r->count, NULL, 0, 0, &hosts, &f));
	WANT_SLICE(joined(&hosts), S("mx.a.test mx.b.test"));
	dnsrec_drop(&r);
	WANT_SLICE(joined(&hosts), S("mx.a.test mx.b.test"));
	r = dnsrec_new(DNSREC_MX, DNS_OK, &null_mx, 1, false);
	assert_non_null(r);
	assert_false(mx_order(&arena, S("d.test"), r->status, r->records, r->count, NULL, 0, 0, &hosts, &f));
	assert_int_equal(f.code, FAULT_NULL_MX);
	dnsrec_drop(&r);
}

enum { MANY = 500 };

static struct slice *many(unsigned preference)
{
	struct slice *records = ARENA_ARRAY(&arena, MANY, struct slice);

	for (unsigned i = 0; i < MANY; i++)
		records[i] = arena_printf(&arena, "%c%c" "mx%u.a.test", 1 + (int)(preference >> 8), 1 + (int)(preference & 255), i);
	return records;
}

static unsigned number_of(struct slice host)
{
	uint64_t n;

	assert_true(slice_starts(host, S("mx")));
	assert_true(slice_u64(slice_sub(host, 2, slice_find(host, '.') - 2), MANY - 1, &n));
	return (unsigned)n;
}

/* Of five hundred that are equal, sixteen, other ones each time: each has its share. */
static void equal_ones_share(void **state)
{
	struct slice *records = many(10);
	unsigned first[MANY] = { 0 }, among[MANY] = { 0 }, most_first = 0, never = 0;
	const unsigned rounds = 5000;

	(void)state;
	for (uint64_t seed = 0; seed < rounds; seed++) {
		struct arena a;
		struct mx_hosts hosts = { 0 };
		struct fault f = { 0 };

		arena_init(&a, 1 << 20);
		assert_true(mx_order(&a, S("a.test"), DNS_OK, records, MANY, self, ROWS(self), seed, &hosts, &f));
		assert_int_equal(hosts.n, LIMIT_MX_HOSTS);
		first[number_of(hosts.hosts[0])]++;
		for (size_t i = 0; i < hosts.n; i++) {
			among[number_of(hosts.hosts[i])]++;
			for (size_t k = 0; k < i; k++)
				assert_false(slice_eq(hosts.hosts[i], hosts.hosts[k]));
		}
		arena_clear(&a);
	}
	for (size_t i = 0; i < MANY; i++) {
		most_first = first[i] > most_first ? first[i] : most_first;
		never += among[i] < rounds * LIMIT_MX_HOSTS / MANY / 2; /* 160 expected */
	}
	assert_true(most_first < 40); /* 10 expected */
	assert_int_equal(never, 0);
}

/* The seed decides, not the order in which the answer came, which resolvers turn about. */
static void the_order_of_the_answer_is_nothing(void **state)
{
	struct slice *records = many(10), *turned = ARENA_ARRAY(&arena, MANY, struct slice);
	struct mx_hosts one = { 0 }, two = { 0 };
	struct fault f = { 0 };

	(void)state;
	for (size_t i = 0; i < MANY; i++)
		turned[(i * 7 + 3) % MANY] = records[i];
	assert_true(mx_order(&arena, S("a.test"), DNS_OK, records, MANY, self, ROWS(self), 5, &one, &f));
	assert_true(mx_order(&arena, S("a.test"), DNS_OK, turned, MANY, self, ROWS(self), 5, &two, &f));
	WANT_SLICE(joined(&one), joined(&two));
}

/* Ours behind five hundred others is found all the same, and the best one is never shuffled away. */
static void all_of_them_are_looked_at(void **state)
{
	struct slice *records = many(10);
	struct mx_hosts hosts = { 0 };
	struct fault f = { 0 };

	(void)state;
	records[MANY - 1] = slice_of("\1\12best.test", 11);
	assert_true(mx_order(&arena, S("a.test"), DNS_OK, records, MANY, self, ROWS(self), 1, &hosts, &f));
	assert_int_equal(hosts.n, LIMIT_MX_HOSTS);
	WANT_SLICE(hosts.hosts[0], S("best.test"));
	records[MANY - 2] = slice_of("\1\13mx.ours.test", 14);
	assert_true(mx_order(&arena, S("a.test"), DNS_OK, records, MANY, self, ROWS(self), 1, &hosts, &f));
	WANT_SLICE(joined(&hosts), S("best.test"));
}

static void no_memory_is_said(void **state)
{
	struct slice *records = many(10);
	size_t good = 0;

	(void)state;
	for (size_t room = 0; room < 100000; room += 500) {
		struct arena a;
		struct mx_hosts hosts = { 0 };
		struct fault f = { 0 };

		arena_init(&a, room);
		if (mx_order(&a, S("a.test"), DNS_OK, records, MANY, NULL, 0, 1, &hosts, &f))
			good++;
		else
			assert_int_equal(f.code, FAULT_NO_MEMORY);
		arena_clear(&a);
		arena_init(&a, 0);
		f = (struct fault){ 0 };
		assert_false(mx_order(&a, S("a.test"), DNS_NODATA, NULL, 0, NULL, 0, 1, &hosts, &f));
		assert_int_equal(f.code, FAULT_NO_MEMORY);
		arena_clear(&a);
	}
	assert_true(good > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh_arena, drop_arena)
		TEST(each_answer_comes_to_something),
		TEST(faults_say_what_the_documents_say),
		TEST(a_short_record_is_none),
		TEST(from_the_wire),
		TEST(equal_ones_share),
		TEST(the_order_of_the_answer_is_nothing),
		TEST(all_of_them_are_looked_at),
		TEST(no_memory_is_said),
#undef TEST
	};

	return RUN_TESTS(tests);
}
