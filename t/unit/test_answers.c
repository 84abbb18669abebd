/* The offline DNS file: what names answer, and what a mistake in it is called. */
#include "test.h"

#include "config/answers.h"

static void want_error(const char *json, const char *want)
{
	struct buf error;
	struct answers *a;

	buf_init(&error, 65536);
	a = answers_new(slice_str(json), &error);
	if (a || !slice_eq(buf_get(&error), slice_str(want)))
		fail_msg("%s\nwanted: %s\n   got: %.*s", json, want, SLICE_FMT(buf_get(&error)));
	buf_release(&error);
}

static void mistakes(void **state)
{
#define KINDS "expected TXT, MX, A, AAAA, PTR, CNAME, TLSA, error or secure\n"
	static const struct {
		const char *json, *want;
	} rows[] = {
		{ "[]", "line 1: no object, expected {\"name\": [\"text\"], ...}\n" },
		{ "{\n\"a.test\": [\n", "line 3: ']' expected near end of file\n" },
		{ "{\"a.test\": [],\n \"a.test\": []}", "line 2: duplicate object key near '\"a.test\"'\n" },
		{ "{\"a.test\": [], \"A.test\": []}",
		    "name \"A.test\": the same name again in another case or with a final dot, expected it once\n" },
		{ "{\"a.test\": [], \"a.test.\": []}",
		    "name \"a.test.\": the same name again in another case or with a final dot, expected it once\n" },
		{ "{\"a.test\": \"x\"}", "name \"a.test\": records that are no list, expected a list of strings\n" },
		{ "{\"a.test\": [1]}", "name \"a.test\": a record that is no string, expected a list of strings\n" },
		{ "{\"a.test\": {\"TXT\": \"x\"}}", "name \"a.test\": records that are no list, expected a list of strings\n" },
		{ "{\"a.test\": {\"txt\": []}}", "name \"a.test\": unknown \"txt\", " KINDS },
		{ "{\"a.test\": {\"A\": [\"1.2.3\"]}}", "name \"a.test\": \"1.2.3\" in A, expected an IPv4 address\n" },
		{ "{\"a.test\": {\"A\": [\"::1\"]}}", "name \"a.test\": \"::1\" in A, expected an IPv4 address\n" },
		{ "{\"a.test\": {\"AAAA\": [\"1.2.3.4\"]}}", "name \"a.test\": \"1.2.3.4\" in AAAA, expected an IPv6 address\n" },
		{ "{\"a.test\": {\"MX\": [\"mx.test\"]}}", "name \"a.test\": \"mx.test\" in MX, expected \"10 mx.example.net\"\n" },
		{ "{\"a.test\": {\"MX\": [\"70000 mx.test\"]}}",
		    "name \"a.test\": \"70000 mx.test\" in MX, expected \"10 mx.example.net\"\n" },
		{ "{\"a.test\": {\"PTR\": [\"a b\"]}}", "name \"a.test\": \"a b\" in PTR, expected a name\n" },
		{ "{\"a.test\": {\"TLSA\": [\"3 1 1 abc\"]}}", "name \"a.test\": \"3 1 1 abc\" in TLSA, expected \"3 1 1 hexadecimal\"\n" },
		{ "{\"a.test\": {\"CNAME\": [\"b.test\"]}}", "name \"a.test\": a record that is no string, expected a list of strings\n" },
		{ "{\"a.test\": {\"CNAME\": \"b.test\", \"TXT\": [\"x\"]}}",
		    "name \"a.test\": a CNAME beside other records, expected it alone\n" },
		{ "{\"a.test\": {\"error\": \"nxdomain\"}}",
		    "name \"a.test\": unknown error, expected \"timeout\" or \"servfail\"\n" },
		{ "{\"a.test\": {\"error\": 1}}", "name \"a.test\": unknown error, expected \"timeout\" or \"servfail\"\n" },
		{ "{\"a.test\": {\"error\": \"timeout\", \"TXT\": [\"x\"]}}",
		    "name \"a.test\": an error beside records, expected one of them\n" },
		{ "{\"a.test\": {\"secure\": 1}}", "name \"a.test\": \"secure\" is no boolean, expected true or false\n" },
		{ "{\"a..test\": []}", "name \"a..test\": no name DNS could hold, expected labels of 1..63 octets, 253 in all\n" },
		{ "{\"\": []}", "name \"\": no name DNS could hold, expected labels of 1..63 octets, 253 in all\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		want_error(rows[i].json, rows[i].want);
}

static const char zone[] =
    "{\"s._domainkey.A.test\": [\"v=DKIM1; p=one\", \"two\"], \"empty.test\": [], \"nothing.test\": {},\n"
    " \"a.test\": {\"MX\": [\"10 mx.a.test\", \"0 .\"], \"A\": [\"192.0.2.1\"], \"AAAA\": [\"2001:db8::1\"], \"PTR\": [\"a.test.\"],\n"
    "             \"TLSA\": [\"3 1 1 00ff\"], \"TXT\": []},\n"
    " \"sure.test\": {\"TXT\": [\"x\"], \"secure\": true}, \"slow.test\": {\"error\": \"timeout\"},\n"
    " \"broken.test\": {\"error\": \"servfail\", \"TXT\": []}, \"foo:bar/baz.test\": [\"odd\"],\n"
    " \"alias.test\": {\"CNAME\": \"Sure.test.\"}, \"sure-alias.test\": {\"CNAME\": \"sure.test\", \"secure\": true},\n"
    " \"slow-alias.test\": {\"CNAME\": \"slow.test\"}, \"lost.test\": {\"CNAME\": \"nowhere.test\"},\n"
    " \"round.test\": {\"CNAME\": \"round.test\"},\n"
    " \"c0.test\": {\"CNAME\": \"c1.test\"}, \"c1.test\": {\"CNAME\": \"c2.test\"}, \"c2.test\": {\"CNAME\": \"c3.test\"},\n"
    " \"c3.test\": {\"CNAME\": \"c4.test\"}, \"c4.test\": {\"CNAME\": \"c5.test\"}, \"c5.test\": {\"CNAME\": \"c6.test\"},\n"
    " \"c6.test\": {\"CNAME\": \"c7.test\"}, \"c7.test\": {\"CNAME\": \"sure.test\"}, \"c.test\": {\"CNAME\": \"c0.test\"}}";

static void names(void **state)
{
	static const struct {
		const char *title, *name;
		enum answers_type type;
		enum dns_status status;
		size_t n;
		const char *first;
		bool secure;
	} rows[] = {
		{ "a list is TXT", "s._domainkey.a.test", ANSWERS_TXT, DNS_OK, 2, "v=DKIM1; p=one", false },
		{ "in any case, with a final dot", "S._DOMAINKEY.a.TEST.", ANSWERS_TXT, DNS_OK, 2, "v=DKIM1; p=one", false },
		{ "a name not there", "b.test", ANSWERS_TXT, DNS_NXDOMAIN, 0, NULL, false },
		{ "an empty list", "empty.test", ANSWERS_TXT, DNS_NXDOMAIN, 0, NULL, false },
		{ "an empty object", "nothing.test", ANSWERS_TXT, DNS_NXDOMAIN, 0, NULL, false },
		{ "a name with other records", "a.test", ANSWERS_TXT, DNS_NODATA, 0, NULL, false },
		{ "MX", "a.test", ANSWERS_MX, DNS_OK, 2, "10 mx.a.test", false },
		{ "A", "a.test", ANSWERS_A, DNS_OK, 1, "192.0.2.1", false },
		{ "AAAA", "a.test", ANSWERS_AAAA, DNS_OK, 1, "2001:db8::1", false },
		{ "PTR", "a.test", ANSWERS_PTR, DNS_OK, 1, "a.test.", false },
		{ "TLSA", "a.test", ANSWERS_TLSA, DNS_OK, 1, "3 1 1 00ff", false },
		{ "validated", "sure.test", ANSWERS_TXT, DNS_OK, 1, "x", true },
		{ "a time-out", "slow.test", ANSWERS_TXT, DNS_TIMEOUT, 0, NULL, false },
		{ "a failure", "broken.test", ANSWERS_TXT, DNS_SERVFAIL, 0, NULL, false },
		{ "odd octets in a name", "foo:bar/baz.test", ANSWERS_TXT, DNS_OK, 1, "odd", false },
		{ "an alias without validation", "alias.test", ANSWERS_TXT, DNS_OK, 1, "x", false },
		{ "an alias with it", "sure-alias.test", ANSWERS_TXT, DNS_OK, 1, "x", true },
		{ "an alias is an answer itself", "alias.test", ANSWERS_CNAME, DNS_OK, 1, "Sure.test.", false },
		{ "an alias of what fails", "slow-alias.test", ANSWERS_TXT, DNS_TIMEOUT, 0, NULL, false },
		{ "an alias of nothing", "lost.test", ANSWERS_TXT, DNS_NXDOMAIN, 0, NULL, false },
		{ "an alias of itself", "round.test", ANSWERS_TXT, DNS_SERVFAIL, 0, NULL, false },
		{ "eight aliases", "c0.test", ANSWERS_TXT, DNS_OK, 1, "x", false },
		{ "nine aliases", "c.test", ANSWERS_TXT, DNS_SERVFAIL, 0, NULL, false },
		{ "no name", "a..test", ANSWERS_TXT, DNS_NXDOMAIN, 0, NULL, false },
	};
	struct buf error;
	struct answers *a;

	(void)state;
	buf_init(&error, 4096);
	a = answers_new(slice_str(zone), &error);
	WANT_SLICE(buf_get(&error), S(""));
	assert_non_null(a);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct slice *records;
		bool secure;
		size_t n;
		enum dns_status status = answers_find(a, slice_str(rows[i].name), rows[i].type, &records, &n, &secure);

		if (status != rows[i].status || n != rows[i].n || secure != rows[i].secure)
			fail_msg("%s: status %d, %zu records, secure %d", rows[i].title, (int)status, n, secure);
		if (n)
			WANT_SLICE(records[0], slice_str(rows[i].first));
	}
	answers_free(&a);
	assert_null(a);
	answers_free(&a);
	buf_release(&error);
}

static void cut_at_every_octet(void **state)
{
	struct buf error;

	(void)state;
	buf_init(&error, 4096);
	for (size_t n = 0; n < sizeof(zone) - 1; n++) {
		struct answers *a = answers_new(slice_of(zone, n), &error);

		assert_null(a);
		assert_true(error.n > 0);
		buf_clear(&error);
	}
	buf_release(&error);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mistakes),
		cmocka_unit_test(names),
		cmocka_unit_test(cut_at_every_octet),
	};

	return RUN_TESTS(tests);
}
