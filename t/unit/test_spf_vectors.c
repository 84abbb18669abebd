/* The case lists of t/data/spf-rfc7208 and t/data/spf-mail-auth. */
#include <jansson.h>

#include "test.h"

#include "arena.h"
#include "spf_run.h"

/* Where a suite and the RFC differ, or a case lost what it needs. */
static const struct {
	const char *name, *result;
	const char *why;
} deviations[] = {
	{ "all/All test/0", "permerror", "RFC 7208 4.6: \"ip:10.0.0.1\" is no term, and an error anywhere in a record is one" },
	{ "ip/IPv6 match/3", "fail", "RFC 7208 5: an IPv4 client is looked for by ip4 and a alone, also where ip6 holds a mapped address" },
	{ "examples/Simple Examples/11", "none", "of the records only the last is left, the one of example.com is not there" },
	{ "examples/Simple Examples/12", "none", "likewise" },
};

static json_t *load(const char *suite)
{
	const char *dir = getenv("SRCDIR");
	json_error_t e;
	char path[4096];
	json_t *list;

	snprintf(path, sizeof(path), "%s/t/data/%s/INDEX.json", dir ? dir : ".", suite);
	list = json_load_file(path, JSON_ALLOW_NUL, &e);
	if (!list)
		fail_msg("%s: %s", path, e.text);
	return list;
}

static struct slice text_of(const json_t *object, const char *key)
{
	const json_t *j = json_object_get(object, key);

	return json_is_string(j) ? slice_of(json_string_value(j), json_string_length(j)) : SLICE_NONE;
}

/* The records of a name, as answers hold them. */
struct rrset {
	struct slice records[64];
	size_t n;
	enum dns_status status; /* other than OK: what a record says that stands for an error */
	bool name_exists;
};

static void add(struct rrset *set, struct arena *a, struct slice record)
{
	assert_true(set->n < 64);
	set->records[set->n++] = arena_copy(a, record);
}

static void add_name(struct rrset *set, struct arena *a, const unsigned char *head, size_t head_octets, struct slice name)
{
	unsigned char wire[2 + DNS_NAME_OCTETS + 2], octets[DNS_NAME_OCTETS];
	struct slice normal = SLICE_NONE;

	if (name.n && !dns_name_normal(name, octets, &normal))
		fail_msg("%.*s is no name", SLICE_FMT(name));
	if (head_octets)
		memcpy(wire, head, head_octets);
	add(set, a, slice_of(wire, head_octets + dns_name_wire(normal, wire + head_octets)));
}

static void add_address(struct rrset *set, struct arena *a, struct slice text)
{
	unsigned char octets[16];

	if (!ip_parse(text, octets))
		fail_msg("%.*s is no address", SLICE_FMT(text));
	add(set, a, ip_is_v4(octets) ? slice_of(octets + 12, 4) : slice_of(octets, 16));
}

static struct dnsrec *rec_of(const struct rrset *set, enum dnsrec_type type)
{
	if (set->n)
		return dnsrec_new(type, DNS_OK, set->records, set->n, false);
	return dnsrec_new(type, set->status ? set->status : set->name_exists ? DNS_NODATA : DNS_NXDOMAIN, NULL, 0, false);
}

static bool same_name(struct slice a, struct slice b)
{
	if (slice_ends(a, S(".")))
		a.n--;
	if (slice_ends(b, S(".")))
		b.n--;
	return slice_ieq(a, b);
}

/* spf-rfc7208: a zone is a list of records. */

/* A string of one record, joined. Each character up to U+00FF is one octet. */
static struct slice joined(struct arena *a, const json_t *strings)
{
	unsigned char *out = arena_take(a, 4096);
	size_t n = 0, i;
	const json_t *one;

	assert_non_null(out);
	json_array_foreach(strings, i, one) {
		struct slice s = slice_of(json_string_value(one), json_string_length(one));

		assert_true(s.n < 4096 - n);
		for (size_t k = 0; k < s.n; k++) {
			if (s.at[k] < 0x80) {
				out[n++] = s.at[k];
				continue;
			}
			assert_true(s.at[k] <= 0xc3 && k + 1 < s.n);
			out[n++] = (unsigned char)((s.at[k] & 3) << 6 | (s.at[k + 1] & 0x3f));
			k++;
		}
	}
	return slice_of(out, n);
}

static void add_record(struct rrset *set, struct arena *a, enum dnsrec_type type, const json_t *r)
{
	unsigned preference = (unsigned)json_integer_value(json_object_get(r, "preference"));

	switch (type) {
	case DNSREC_TXT:
		add(set, a, joined(a, json_object_get(r, "strings")));
		return;
	case DNSREC_MX:
		add_name(set, a, (unsigned char[]){ (unsigned char)(preference >> 8), (unsigned char)preference }, 2, text_of(r, "target"));
		return;
	case DNSREC_PTR:
		add_name(set, a, NULL, 0, text_of(r, "value"));
		return;
	default:
		add_address(set, a, text_of(r, "value"));
		return;
	}
}

static struct dnsrec *zone_list_answer(const void *arg, struct arena *a, enum dnsrec_type type, struct slice name)
{
	static const char *const types[DNSREC_TYPES] = { "TXT", "TXT", "A", "AAAA", "MX", "PTR" };

	/* At most so many aliases; the suite has one that points at itself. */
	for (unsigned aliases = 0; aliases < 8; aliases++) {
		struct rrset set = { 0 };
		struct slice alias = SLICE_NONE;
		bool any_fails = false;
		const json_t *r;
		size_t i;

		json_array_foreach((const json_t *)arg, i, r) {
			struct slice own = text_of(r, "type");

			if (!same_name(text_of(r, "name"), name))
				continue;
			set.name_exists = true;
			if (slice_eq(own, S("CNAME")))
				alias = text_of(r, "value");
			else if (slice_eq(own, S("*")))
				any_fails = true;
			else if (!slice_eq(own, slice_str(types[type])))
				continue;
			else if (text_of(r, "error").n)
				set.status = DNS_TIMEOUT;
			else
				add_record(&set, a, type, r);
		}
		if (any_fails && !set.n)
			set.status = DNS_TIMEOUT;
		if (!alias.n)
			return rec_of(&set, type);
		name = alias;
	}
	return dnsrec_new(type, DNS_SERVFAIL, NULL, 0, false);
}

/* spf-mail-auth: "type name value, value". */

static struct slice word(struct slice *rest)
{
	struct slice w;

	*rest = slice_trim(*rest);
	(void)slice_cut(rest, ' ', &w);
	*rest = slice_trim(*rest);
	return w;
}

/* The address that a name of "x.y.in-addr.arpa" or "x.y.ip6.arpa" is about, compared by what SPF would ask. */
static bool reverse_of(struct slice address, struct slice name)
{
	unsigned char octets[16];
	char text[80];
	size_t n = 0;

	assert_true(ip_parse(address, octets));
	if (ip_is_v4(octets)) {
		snprintf(text, sizeof(text), "%u.%u.%u.%u.in-addr.arpa", octets[15], octets[14], octets[13], octets[12]);
		return slice_ieq(slice_str(text), name);
	}
	for (size_t i = 16; i-- > 0;)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%x.%x.", octets[i] & 15, octets[i] >> 4);
	snprintf(text + n, sizeof(text) - n, "ip6.arpa");
	return slice_ieq(slice_str(text), name);
}

/* "mx1.a.test": of which name the first, and the how manieth? 0: of none. */
static size_t mx_host(struct slice owner, struct slice name)
{
	struct slice head;
	uint64_t n;

	if (!slice_istarts(name, S("mx")) || !slice_cut(&name, '.', &head) || !same_name(name, owner) || !slice_u64(slice_sub(head, 2, 9), 64, &n))
		return 0;
	return (size_t)n;
}

/* The hosts of an mx line have no names there, only addresses: mx1.NAME is the first. */
static void add_mx(struct rrset *set, struct arena *a, enum dnsrec_type type, struct slice owner, struct slice values, struct slice name)
{
	size_t wanted = mx_host(owner, name);
	bool more = true;

	if (type == DNSREC_MX ? !same_name(owner, name) : !wanted || type == DNSREC_TXT)
		return;
	set->name_exists = true;
	for (size_t n = 1; more; n++) {
		struct slice one, host;

		more = slice_cut(&values, ',', &one);
		one = slice_trim(one);
		host = arena_printf(a, "mx%zu.%.*s", n, SLICE_FMT(owner));
		if (type == DNSREC_MX)
			add_name(set, a, (unsigned char[]){ 0, (unsigned char)n }, 2, host);
		else if (n == wanted && (slice_find(one, ':') == one.n) == (type == DNSREC_A))
			add_address(set, a, one);
	}
}

static void add_line(struct rrset *set, struct arena *a, enum dnsrec_type type, struct slice kind, struct slice line, struct slice name)
{
	struct slice owner = word(&line), one;
	bool text = slice_eq(kind, S("spf")) || slice_eq(kind, S("exp")), more = true;

	if (slice_eq(kind, S("mx"))) {
		add_mx(set, a, type, owner, line, name);
		return;
	}
	if (slice_eq(kind, S("ptr")) ? !reverse_of(owner, name) : !same_name(owner, name))
		return;
	set->name_exists = true;
	if (text && type == DNSREC_TXT)
		add(set, a, line);
	if (text)
		return;
	while (more) {
		more = slice_cut(&line, ',', &one);
		one = slice_trim(one);
		if (slice_eq(kind, S("ptr")) && type == DNSREC_PTR)
			add_name(set, a, NULL, 0, one);
		else if ((slice_eq(kind, S("a")) && type == DNSREC_A) || (slice_eq(kind, S("aaaa")) && type == DNSREC_AAAA))
			add_address(set, a, one);
	}
}

static struct dnsrec *case_answer(const void *arg, struct arena *a, enum dnsrec_type type, struct slice name)
{
	static const char *const own[] = { "a", "ptr", "spf" };
	struct rrset set = { 0 };
	const json_t *line;
	size_t i;

	if (slice_istarts(name, S("_dns_error.")))
		return dnsrec_new(type, DNS_SERVFAIL, NULL, 0, false);
	json_array_foreach(json_object_get(arg, "records"), i, line) {
		struct slice rest = slice_str(json_string_value(line)), kind = word(&rest);

		add_line(&set, a, type, kind, rest, name);
	}
	for (i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (json_object_get(arg, own[i]))
			add_line(&set, a, type, slice_str(own[i]), text_of(arg, own[i]), name);
	return rec_of(&set, type);
}

/* What became of a suite: all its cases are run, and all that are wrong shown. */
struct tally {
	size_t cases, preferred, deviating, wrong;
};

static void want(struct tally *tally, const char *name, const struct spf_verdict *got, const json_t *expected, struct slice explanation)
{
	const char *result = spf_state_name(got->state);
	size_t i, n = sizeof(deviations) / sizeof(deviations[0]), found = json_array_size(expected);

	tally->cases++;
	for (i = 0; i < n && strcmp(deviations[i].name, name) != 0;)
		i++;
	if (i < n) {
		tally->deviating++;
		if (strcmp(deviations[i].result, result) != 0) {
			print_error("%s: wanted %s, got %s\n", name, deviations[i].result, result);
			tally->wrong++;
		}
		return;
	}
	for (i = json_array_size(expected); i-- > 0;)
		if (strcmp(json_string_value(json_array_get(expected, i)), result) == 0)
			found = i;
	tally->preferred += found == 0;
	if (found == json_array_size(expected)) {
		print_error("%s: wanted %s, got %s (%.*s)\n", name, json_string_value(json_array_get(expected, 0)), result,
		    SLICE_FMT(got->reason));
		tally->wrong++;
	} else if (explanation.n && !slice_eq(got->explanation, slice_eq(explanation, S("DEFAULT")) ? SLICE_NONE : explanation)) {
		print_error("%s: wanted \"%.*s\", got \"%.*s\"\n", name, SLICE_FMT(explanation), SLICE_FMT(got->explanation));
		tally->wrong++;
	}
}

/* One case, answered in each order. */
static void run_case(struct tally *tally, const char *name, const struct spf_terms *terms, spf_answer *answer, const void *zone,
    const json_t *expected, struct slice explanation)
{
	struct spf_verdict first = { 0 };

	for (int order = 0; order < SPF_ORDERS; order++) {
		struct asks *q = asks_new(&arena, 200);
		struct spf_run run = spf_run(&arena, q, terms, (enum spf_order)order, answer, zone);

		if (order == 0)
			first = *run.verdict;
		spf_same(name, &first, run.verdict);
		asks_release(q);
	}
	want(tally, name, &first, expected, explanation);
	arena_clear(&arena);
}

static void rfc7208(void **state)
{
	json_t *list = load("spf-rfc7208");
	const json_t *scenario, *test;
	struct tally tally = { 0 };
	size_t i, k;

	(void)state;
	json_array_foreach(list, i, scenario) {
		json_array_foreach(json_object_get(scenario, "tests"), k, test) {
			struct spf_terms terms = { .helo = text_of(test, "helo"), .mail_from = text_of(test, "mail_from"),
				.hostname = S("mx.example.net"), .now = 1700000000, .explain = true };

			spf_client(&terms, json_string_value(json_object_get(test, "ip")));
			run_case(&tally, json_string_value(json_object_get(test, "name")), &terms, zone_list_answer,
			    json_object_get(scenario, "zone"), json_object_get(test, "expect"), text_of(test, "explanation"));
		}
	}
	assert_int_equal(tally.wrong, 0);
	assert_int_equal(tally.cases, 131);
	assert_int_equal(tally.preferred, 131);
	json_decref(list);
}

static void mail_auth(void **state)
{
	json_t *list = load("spf-mail-auth");
	const json_t *test;
	struct tally tally = { 0 };
	size_t i;

	(void)state;
	json_array_foreach(list, i, test) {
		struct slice expect = text_of(test, "expect"), result;
		struct spf_terms terms = { .helo = S("example.com"), .mail_from = S("user@example.com"), .hostname = S("localdomain.org"),
			.explain = true };
		json_t *expected;

		if (!expect.n) /* sets what those behind it leave out */
			continue;
		if (json_object_get(test, "domain"))
			terms.helo = text_of(test, "domain");
		if (json_object_get(test, "domain"))
			terms.mail_from = text_of(test, "sender");
		spf_client(&terms, json_string_value(json_object_get(test, "ip")));
		slice_cut(&expect, ' ', &result);
		expected = json_pack("[s%]", result.at, result.n);
		run_case(&tally, json_string_value(json_object_get(test, "name")), &terms, case_answer, test, expected, expect);
		json_decref(expected);
	}
	assert_int_equal(tally.wrong, 0);
	assert_int_equal(tally.cases, 94);
	assert_int_equal(tally.cases, tally.preferred + tally.deviating);
	json_decref(list);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh_arena, drop_arena)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(rfc7208),
		TEST(mail_auth),
	};

	return RUN_TESTS(tests);
}
