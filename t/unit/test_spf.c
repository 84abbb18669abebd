/* SPF (RFC 7208): what the case lists of t/data do not hold, and what a record may cost. */
#include "test.h"

#include "arena.h"
#include "auth/spf/macro.h"
#include "auth/spf/record.h"
#include "spf_run.h"
#include "zone.h"

static struct dnsrec *from_zone(const void *zone, struct arena *a, enum dnsrec_type type, struct slice name)
{
	return answers_rec(zone, a, name, type);
}

/* A record that JSON cannot hold, for whatever is asked. */
static struct dnsrec *from_texts(const void *texts, struct arena *a, enum dnsrec_type type, struct slice name)
{
	const struct slice *text = texts;

	(void)a, (void)name;
	return type == DNSREC_TXT ? dnsrec_new(type, DNS_OK, text, text[1].n ? 2 : 1, false) : dnsrec_new(type, DNS_NXDOMAIN, NULL, 0, false);
}

static struct spf_terms terms_of(const char *client, const char *helo, const char *mail_from)
{
	struct spf_terms terms = { .helo = slice_str(helo), .mail_from = slice_str(mail_from), .hostname = S("mx.example.net"),
		.now = 1700000000, .explain = true };

	spf_client(&terms, client);
	return terms;
}

/* In each order; the questions are those of all at once. The verdict lives until the test ends. */
static struct spf_run run_terms(const char *what, const struct spf_terms *terms, spf_answer *answer, const void *zone)
{
	struct spf_run first = { 0 };

	for (int order = 0; order < SPF_ORDERS; order++) {
		struct asks *q = asks_new(&arena, 250);
		struct spf_run run = spf_run(&arena, q, terms, (enum spf_order)order, answer, zone);

		if (order == 0)
			first = run;
		spf_same(what, first.verdict, run.verdict);
		asks_release(q);
	}
	return first;
}

static struct spf_run run_zone(const char *what, const struct spf_terms *terms, const char *json)
{
	struct answers *zone = zone_new(json);
	struct spf_run run = run_terms(what, terms, from_zone, zone);

	answers_free(&zone);
	return run;
}

static void want_text(const char *what, struct slice got, const char *want)
{
	if (!slice_eq(got, slice_str(want)))
		fail_msg("%s: wanted \"%s\", got \"%.*s\"", what, want, SLICE_FMT(got));
}

static void want_printable(struct slice s, size_t most)
{
	assert_true(s.n <= most);
	for (size_t i = 0; i < s.n; i++)
		assert_true(s.at[i] >= 0x20 && s.at[i] <= 0x7e);
}

struct row {
	const char *what;
	const char *zone; /* of a.test: what stands in its TXT; or, with a brace, the whole */
	enum spf_state state;
	const char *mechanism, *reason;
};

static void want_rows(const struct row *rows, size_t n, const char *more)
{
	for (size_t i = 0; i < n; i++) {
		struct spf_terms terms = terms_of("192.0.2.1", "mail.a.test", "local.part@a.test");
		struct slice json = rows[i].zone[0] == '{' ? slice_str(rows[i].zone)
		                                           : arena_printf(&arena, "{\"a.test\": {\"TXT\": [\"%s\"]}, %s}", rows[i].zone, more);
		const struct spf_verdict *v = run_zone(rows[i].what, &terms, arena_string(&arena, json)).verdict;

		if (v->state != rows[i].state)
			fail_msg("%s: wanted %s, got %s (%.*s)", rows[i].what, spf_state_name(rows[i].state), spf_state_name(v->state),
			    SLICE_FMT(v->reason));
		want_text(rows[i].what, v->mechanism, rows[i].mechanism);
		want_text(rows[i].what, v->reason, rows[i].reason);
	}
}

#define WANT_ROWS(rows, more) want_rows((rows), sizeof(rows) / sizeof((rows)[0]), (more))

static void terms_and_modifiers(void **state)
{
	static const struct row rows[] = {
		{ "qualifier as written", "v=spf1 +ip4:192.0.2.0/24 -all", SPF_PASS, "+ip4:192.0.2.0/24", "" },
		{ "names in any case", "v=spf1 IP4:192.0.2.1 -ALL", SPF_PASS, "IP4:192.0.2.1", "" },
		{ "the last bit of a network counts", "v=spf1 ip4:192.0.2.0/32 ?ip4:192.0.2.0/31 -all", SPF_NEUTRAL, "?ip4:192.0.2.0/31", "" },
		{ "nothing matches", "v=spf1 ip4:192.0.2.2", SPF_NEUTRAL, "", "" },
		{ "an unknown modifier is ignored", "v=spf1 ra=postmaster rr=%{l}%{t} -all", SPF_FAIL, "-all", "" },
		{ "an unknown modifier is still a macro-string", "v=spf1 rr=%{l -all", SPF_PERMERROR, "", "syntax error in the SPF record of a.test: rr=%{l" },
		{ "redirect stands aside for all", "v=spf1 redirect=b.test ~all", SPF_SOFTFAIL, "~all", "" },
		{ "redirect comes last, wherever it stands", "v=spf1 redirect=b.test ip4:192.0.2.1", SPF_PASS, "ip4:192.0.2.1", "" },
		{ "redirect brings its own mechanism", "v=spf1 redirect=b.test", SPF_FAIL, "-a:here.test", "" },
		{ "redirect to nothing", "v=spf1 redirect=c.test", SPF_PERMERROR, "", "no SPF record: c.test" },
		{ "redirect to other texts", "v=spf1 redirect=other.test", SPF_PERMERROR, "", "no SPF record: other.test" },
		{ "include of nothing", "v=spf1 include:c.test -all", SPF_PERMERROR, "", "no SPF record: c.test" },
		{ "include of a single label is not asked for", "v=spf1 include:%{o1} -all", SPF_PERMERROR, "", "no SPF record: test" },
		{ "an error far behind", "v=spf1 ip4:192.0.2.1 -all ip6:2001:db8::/129", SPF_PERMERROR, "",
		    "syntax error in the SPF record of a.test: ip6:2001:db8::/129" },
		{ "include blames its own record", "v=spf1 include:bad.test -all", SPF_PERMERROR, "", "syntax error in the SPF record of bad.test: moo" },
		{ "tab is no blank", "v=spf1\\tall", SPF_NONE, "", "" },
		{ "tab between terms", "v=spf1 a\\tall", SPF_PERMERROR, "", "syntax error in the SPF record of a.test: a?all" },
		{ "parts of zero", "v=spf1 exists:%{d0}.x.test -all", SPF_PERMERROR, "", "syntax error in the SPF record of a.test: exists:%{d0}.x.test" },
		{ "two lengths of one kind", "v=spf1 a/24/24 -all", SPF_PERMERROR, "", "syntax error in the SPF record of a.test: a/24/24" },
		{ "length of three digits", "v=spf1 a/024 -all", SPF_PERMERROR, "", "syntax error in the SPF record of a.test: a/024" },
		{ "no length behind the slash", "v=spf1 ip4:192.0.2.1/ -all", SPF_PERMERROR, "", "syntax error in the SPF record of a.test: ip4:192.0.2.1/" },
		{ "ptr takes no length", "v=spf1 ptr/24 -all", SPF_PERMERROR, "", "syntax error in the SPF record of a.test: ptr/24" },
		{ "both lengths, names with slash and colon", "v=spf1 a:x/y:z.b.test/31//64 -all", SPF_FAIL, "-all", "" },
		{ "a macro at the end takes lengths", "v=spf1 a:here.%{o1}/31//64 -all", SPF_PASS, "a:here.%{o1}/31//64", "" },
		{ "an include that fails goes on", "v=spf1 include:b.test ?all", SPF_NEUTRAL, "?all", "" },
		{ "an include that passes", "v=spf1 -include:pass.test ?all", SPF_FAIL, "-include:pass.test", "" },
	};

	(void)state;
	WANT_ROWS(rows, "\"b.test\": {\"TXT\": [\"v=spf1 -a:here.test\"]}, \"here.test\": {\"A\": [\"192.0.2.1\"]}, \"other.test\": {\"TXT\": [\"x\"]},"
	                " \"bad.test\": {\"TXT\": [\"v=spf1 moo\"]}, \"pass.test\": {\"TXT\": [\"v=spf1 a:here.test\"]}");
}

static void errors_of_the_dns(void **state)
{
	static const struct row rows[] = {
		{ "the record itself", "{\"a.test\": {\"error\": \"servfail\"}}", SPF_TEMPERROR, "", "no answer: a.test" },
		{ "a", "v=spf1 a:slow.test -all", SPF_TEMPERROR, "", "no answer: slow.test" },
		{ "mx", "v=spf1 mx:slow.test -all", SPF_TEMPERROR, "", "no answer: slow.test" },
		{ "a host of mx", "v=spf1 mx:mx.test -all", SPF_TEMPERROR, "", "no answer: slow.test" },
		{ "a host of mx before it matches", "v=spf1 mx:mx2.test -all", SPF_PASS, "mx:mx2.test", "" },
		{ "exists", "v=spf1 exists:slow.test -all", SPF_TEMPERROR, "", "no answer: slow.test" },
		{ "include", "v=spf1 include:slow.test -all", SPF_TEMPERROR, "", "no answer: slow.test" },
		{ "redirect", "v=spf1 redirect=slow.test", SPF_TEMPERROR, "", "no answer: slow.test" },
		{ "ptr only does not match", "v=spf1 ptr:b.test -all", SPF_FAIL, "-all", "" },
		{ "a match before it", "v=spf1 ip4:192.0.2.1 a:slow.test -all", SPF_PASS, "ip4:192.0.2.1", "" },
		{ "exp is nothing then", "v=spf1 -all exp=slow.test", SPF_FAIL, "-all", "" },
	};

	(void)state;
	WANT_ROWS(rows, "\"slow.test\": {\"error\": \"timeout\"}, \"1.2.0.192.in-addr.arpa\": {\"error\": \"servfail\"},"
	                " \"mx.test\": {\"MX\": [\"1 slow.test\", \"2 here.test\"]}, \"here.test\": {\"A\": [\"192.0.2.1\"]},"
	                " \"mx2.test\": {\"MX\": [\"2 here.test\", \"1 slow.test\"]}");
}

static void whose_domain(void **state)
{
	static const struct {
		const char *what, *helo, *mail_from;
		enum spf_scope scope;
		const char *domain;
		enum spf_scope got;
		size_t questions;
	} rows[] = {
		{ "the sender", "mail.a.test", "x@b.test", SPF_MFROM, "b.test", SPF_MFROM, 1 },
		{ "null path", "Mail.A.test", "", SPF_MFROM, "mail.a.test", SPF_HELO, 1 },
		{ "HELO asked for", "mail.a.test.", "x@b.test", SPF_HELO, "mail.a.test", SPF_HELO, 1 },
		{ "HELO is a literal", "[192.0.2.1]", "", SPF_MFROM, "", SPF_HELO, 0 },
		{ "HELO is an address", "192.0.2.1", "", SPF_MFROM, "", SPF_HELO, 0 },
		{ "HELO is a single label", "localhost", "", SPF_MFROM, "", SPF_HELO, 0 },
		{ "HELO is a single label with a dot", "localhost.", "", SPF_MFROM, "", SPF_HELO, 0 },
		{ "HELO is empty", "", "", SPF_MFROM, "", SPF_HELO, 0 },
		{ "HELO is no name", "a b.test", "", SPF_HELO, "", SPF_HELO, 0 },
		{ "no local part", "mail.a.test", "@b.test", SPF_MFROM, "b.test", SPF_MFROM, 1 },
		{ "a quoted at sign", "mail.a.test", "\"a@c.test\"@b.test", SPF_MFROM, "b.test", SPF_MFROM, 1 },
		{ "U-labels", "mail.a.test", "x@B\xc3\xbc" "cher.test", SPF_MFROM, "xn--bcher-kva.test", SPF_MFROM, 1 },
		{ "no U-labels", "mail.a.test", "x@b\xc3.test", SPF_MFROM, "", SPF_MFROM, 0 },
		{ "empty label", "mail.a.test", "x@b..test", SPF_MFROM, "", SPF_MFROM, 0 },
		{ "sender at a literal", "mail.a.test", "x@[192.0.2.1]", SPF_MFROM, "", SPF_MFROM, 0 },
		{ "label of 64", "mail.a.test", "x@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.test", SPF_MFROM, "", SPF_MFROM, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct spf_terms terms = terms_of("192.0.2.1", rows[i].helo, rows[i].mail_from);
		struct spf_run run;

		terms.scope = rows[i].scope;
		run = run_zone(rows[i].what, &terms, "{}");
		assert_int_equal(run.verdict->state, SPF_NONE);
		want_text(rows[i].what, run.verdict->domain, rows[i].domain);
		if (run.verdict->scope != rows[i].got || run.questions != rows[i].questions)
			fail_msg("%s: scope %d, %zu questions", rows[i].what, run.verdict->scope, run.questions);
	}
}

/* RFC 7208 7.4, and what its text says beyond. */
static void macros(void **state)
{
	static const struct {
		const char *text, *v4, *v6; /* NULL: as v4 */
	} rows[] = {
		{ "%{s}", "strong-bad@email.example.com", NULL },
		{ "%{o}", "email.example.com", NULL },
		{ "%{d4}", "email.example.com", NULL },
		{ "%{d3}", "email.example.com", NULL },
		{ "%{d2}", "example.com", NULL },
		{ "%{d1}", "com", NULL },
		{ "%{dr}", "com.example.email", NULL },
		{ "%{d2r}", "example.email", NULL },
		{ "%{D2R}", "example.email", NULL },
		{ "%{l}", "strong-bad", NULL },
		{ "%{l-}", "strong.bad", NULL },
		{ "%{lr}", "strong-bad", NULL },
		{ "%{lr-}", "bad.strong", NULL },
		{ "%{l1r-}", "strong", NULL },
		{ "%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com",
		    "1.0.B.C.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.B.D.0.1.0.0.2.ip6._spf.example.com" },
		{ "%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com", NULL },
		{ "%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net", NULL },
		{ "%{d999999999999999999999}", "email.example.com", NULL },
		{ "%{d127}.", "email.example.com", NULL },
		{ "%{S}", "strong-bad%40email.example.com", NULL },
		{ "%%{d}", "%{d}", NULL },
		{ "%%%{d1}", "%com", NULL },
		{ "%%%%{d1}", "%%{d1}", NULL },
		{ "x}%{d1}}{d1}", "x}com}{d1}", NULL },
		{ "a%_b%-c_-", "a b%20c_-", NULL },
		{ "%{h}.x", "a..b.x", NULL },
		{ "%{hr}.x", "b..a.x", NULL },
		{ "%{h1r}.x", "a.x", NULL },
		{ "%{h2}.x", ".b.x", NULL },
		{ "%{l.-+,/_=}", "strong.bad", NULL },
	};
	unsigned char room[300], out[DNS_NAME_OCTETS];

	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct macro_values values = { .room = room };

		values.of['s' - 'a'] = S("strong-bad@email.example.com");
		values.of['l' - 'a'] = S("strong-bad");
		values.of['o' - 'a'] = values.of['d' - 'a'] = S("email.example.com");
		values.of['h' - 'a'] = S("a..b");
		values.of['v' - 'a'] = v6 ? S("ip6") : S("in-addr");
		values.of['i' - 'a'] = v6 ? S("2.0.0.1.0.D.B.8.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.C.B.0.1") : S("192.0.2.3");
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			const char *want = v6 && rows[i].v6 ? rows[i].v6 : rows[i].v4;
			struct slice text = slice_str(rows[i].text);

			assert_true(macro_valid(text, MACRO_NAME));
			want_text(rows[i].text, macro_name(text, &values, out), want);
		}
	}
}

static void macros_that_are_none(void **state)
{
	static const char *const names[] = { "", "%", "a.%", "%{}", "%{d", "%{d}%{", "%(d).test", "%{x}.test", "%{dr2}.test", "%{d2!}.test", "%{c}.test",
		"%{d}com", "museum", "museum.", "a.1", "a.-b", "a.b-", "a. b", "%{d}.", "a.b..", "a.%{d.}b", "a.t%%st" };
	static const char *const valid[] = { "%{d}", "a.b", ".b", "a.b.", "a.b-c", "a.1b", "a.%%", "a%_", "a.%-", "x..y.z", "%{L999r.-}" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (macro_domain_spec(slice_str(names[i])))
			fail_msg("%s is taken for a domain-spec", names[i]);
	for (size_t i = 0; i < sizeof(valid) / sizeof(valid[0]); i++)
		if (!macro_domain_spec(slice_str(valid[i])))
			fail_msg("%s is not taken for a domain-spec", valid[i]);
	assert_false(macro_valid(S("a b"), MACRO_TERM));
	assert_true(macro_valid(S("a b %{c} %{r} %{t}"), MACRO_EXPLAIN));
	assert_false(macro_valid(S("a\r\nb"), MACRO_EXPLAIN));
	assert_false(macro_valid(S("a\0b"), MACRO_EXPLAIN));
	assert_false(macro_valid(S("\xc3\xa4"), MACRO_EXPLAIN));
}

static void long_names_lose_labels_on_the_left(void **state)
{
	unsigned char room[600], local[600], out[DNS_NAME_OCTETS];
	struct macro_values values = { .room = room };

	(void)state;
	for (size_t i = 0; i < sizeof(local); i++)
		local[i] = i % 10 == 9 ? '.' : (unsigned char)('a' + i / 10 % 26);
	/* Each number of octets in front of a name that just fits, does not, and loses one label and another. */
	for (size_t n = 1; n < sizeof(local); n++) {
		struct slice name, whole = slice_of(local + sizeof(local) - n, n);

		values.of['l' - 'a'] = whole;
		name = macro_name(S("%{l}x.test."), &values, out);
		assert_true(name.n <= DNS_NAME_OCTETS && slice_ends(name, S(".x.test")));
		if (n + 6 <= DNS_NAME_OCTETS)
			assert_int_equal(name.n, n + 6);
		else
			assert_true(name.n + 10 > DNS_NAME_OCTETS && name.at[9] == '.' && name.at[0] == name.at[8]);
	}
	memset(local, 'a', sizeof(local));
	values.of['l' - 'a'] = slice_of(local, 300);
	assert_int_equal(macro_name(S("%{l}"), &values, out).n, 0);
	WANT_SLICE(macro_name(S("%{l}.test"), &values, out), S("test"));
}

static void explanations(void **state)
{
	static const struct {
		const char *what, *text, *want;
	} rows[] = {
		{ "our name, the time, the client", "%{c} seen by %{r} at %{t}: %{i} %{v}", "192.0.2.1 seen by mx.example.net at 1700000000: 192.0.2.1 in-addr" },
		{ "no line of its own", "no\\r\\n250 ok", "" },
		{ "no 8-bit octets", "na\xc3\xafve", "" },
		{ "an unknown letter", "see %{x}", "" },
		{ "a half macro", "100%", "" },
		{ "what a local part brings in", "you are <%{s}>, %{L}", "you are <q\?\?\"@a.test>, q%C3%A4%22" },
		{ "no name of the client", "%{p}", "unknown" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct spf_terms terms = terms_of("192.0.2.1", "mail.a.test", "q\xc3\xa4\"@a.test");
		struct slice json = arena_printf(&arena, "{\"a.test\": {\"TXT\": [\"v=spf1 -all exp=e.%%{d}\"]}, \"e.a.test\": {\"TXT\": [\"%s\"]}}", rows[i].text);
		const struct spf_verdict *v = run_zone(rows[i].what, &terms, arena_string(&arena, json)).verdict;

		assert_int_equal(v->state, SPF_FAIL);
		want_text(rows[i].what, v->explanation, rows[i].want);
		terms.explain = false;
		assert_int_equal(run_zone(rows[i].what, &terms, arena_string(&arena, json)).questions, 1);
	}
}

static void an_explanation_is_cut(void **state)
{
	struct slice texts[2] = { { 0 } };
	struct macro_values values = { 0 };
	unsigned char long_text[2000];

	(void)state;
	memset(long_text, 'a', sizeof(long_text));
	texts[0] = slice_of(long_text, sizeof(long_text));
	assert_int_equal(macro_explain(&arena, texts[0], &values).n, LIMIT_SPF_EXPLANATION);
	values.of['l' - 'a'] = S("\xff");
	memset(long_text, ' ', LIMIT_SPF_EXPLANATION - 2);
	memcpy(long_text + LIMIT_SPF_EXPLANATION - 2, "%{L}", 4); /* no half of an escape */
	assert_int_equal(macro_explain(&arena, texts[0], &values).n, LIMIT_SPF_EXPLANATION - 2);
}

static void octets_that_no_record_may_have(void **state)
{
	static const struct {
		const char *what;
		struct slice texts[2];
		enum spf_state state;
	} rows[] = {
#define OCTETS(text) { (const unsigned char *)text, sizeof(text) - 1 }
		{ "NUL in a name", { OCTETS("v=spf1 a:x\0.test -all") }, SPF_PERMERROR },
		{ "NUL behind the last term", { OCTETS("v=spf1 -all\0") }, SPF_PERMERROR },
		{ "NUL behind the version is another version", { OCTETS("v=spf1\0 -all") }, SPF_NONE },
		{ "8-bit in a name", { OCTETS("v=spf1 a:\xc3\xa4.test -all") }, SPF_PERMERROR },
		{ "8-bit in a modifier nobody knows", { OCTETS("v=spf1 x=\xff -all") }, SPF_PERMERROR },
		{ "CRLF", { OCTETS("v=spf1 -all\r\n") }, SPF_PERMERROR },
		{ "two records", { OCTETS("v=spf1 -all"), OCTETS("V=SPF1 +all") }, SPF_PERMERROR },
		{ "another text beside it", { OCTETS("v=spf1 -all"), OCTETS("v=spf10 \xff\0") }, SPF_FAIL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct spf_terms terms = terms_of("192.0.2.1", "mail.a.test", "x@a.test");
		const struct spf_verdict *v = run_terms(rows[i].what, &terms, from_texts, rows[i].texts).verdict;

		if (v->state != rows[i].state)
			fail_msg("%s: wanted %s, got %s", rows[i].what, spf_state_name(rows[i].state), spf_state_name(v->state));
		want_printable(v->mechanism, LIMIT_REASON);
		want_printable(v->explanation, LIMIT_SPF_EXPLANATION);
		want_printable(v->reason, 3 * LIMIT_REASON);
	}
}

/* auth-spf-lookup-limit */
static void too_many_lookups(void **state)
{
	static const char zone[] =
	    "{\"loop.test\": {\"TXT\": [\"v=spf1 include:loop.test -all\"]}, \"void.test\": {\"TXT\": [\"v=spf1 a:1.test a:2.test a:3.test -all\"]},"
	    " \"void2.test\": {\"TXT\": [\"v=spf1 a:1.test mx:2.test -all\"]}, \"again.test\": {\"TXT\": [\"v=spf1 redirect=again.test\"]},"
	    " \"wide.test\": {\"TXT\": [\"v=spf1 include:w1.test include:w2.test include:w3.test include:w4.test -all\"]},"
	    " \"w1.test\": {\"TXT\": [\"v=spf1 a:h1.test a:h2.test a:h3.test ?all\"]}, \"w2.test\": {\"TXT\": [\"v=spf1 a:h4.test a:h5.test a:h6.test ?all\"]},"
	    " \"w3.test\": {\"TXT\": [\"v=spf1 a:h7.test a:h8.test a:h9.test ?all\"]}, \"w4.test\": {\"TXT\": [\"v=spf1 a:h1.test ?all\"]},"
	    " \"vain.test\": {\"TXT\": [\"v=spf1 include:s2.a.test a:h1.test a:h2.test a:h3.test a:h4.test a:h5.test a:h6.test a:h7.test a:h8.test a:h9.test\"]},"
	    " \"h1.test\": {\"A\": [\"192.0.2.9\"]}, \"h2.test\": {\"A\": [\"192.0.2.9\"]}, \"h3.test\": {\"A\": [\"192.0.2.9\"]},"
	    " \"h4.test\": {\"A\": [\"192.0.2.9\"]}, \"h5.test\": {\"A\": [\"192.0.2.9\"]}, \"h6.test\": {\"A\": [\"192.0.2.9\"]},"
	    " \"h7.test\": {\"A\": [\"192.0.2.9\"]}, \"h8.test\": {\"A\": [\"192.0.2.9\"]}, \"h9.test\": {\"A\": [\"192.0.2.9\"]},"
	    " \"a.test\": {\"TXT\": [\"v=spf1 include:s0.a.test -all\"]}, \"s0.a.test\": {\"TXT\": [\"v=spf1 include:s1.a.test -all\"]},"
	    " \"s1.a.test\": {\"TXT\": [\"v=spf1 include:s2.a.test -all\"]}, \"s2.a.test\": {\"TXT\": [\"v=spf1 include:s3.a.test -all\"]},"
	    " \"s3.a.test\": {\"TXT\": [\"v=spf1 include:s4.a.test -all\"]}, \"s4.a.test\": {\"TXT\": [\"v=spf1 include:s5.a.test -all\"]},"
	    " \"s5.a.test\": {\"TXT\": [\"v=spf1 include:s6.a.test -all\"]}, \"s6.a.test\": {\"TXT\": [\"v=spf1 include:s7.a.test -all\"]},"
	    " \"s7.a.test\": {\"TXT\": [\"v=spf1 include:s8.a.test -all\"]}, \"s8.a.test\": {\"TXT\": [\"v=spf1 include:s9.a.test -all\"]},"
	    " \"s9.a.test\": {\"TXT\": [\"v=spf1 include:s10.a.test -all\"]}, \"s10.a.test\": {\"TXT\": [\"v=spf1 -all\"]}}";
	static const struct {
		const char *what, *from;
		enum spf_state state;
		unsigned lookups, voids;
		size_t questions;
		const char *reason;
	} rows[] = {
		{ "eleven includes", "x@a.test", SPF_PERMERROR, 10, 0, 11, "too many lookups: s9.a.test" },
		{ "ten includes", "x@s0.a.test", SPF_FAIL, 10, 0, 11, "" },
		{ "an include of itself", "x@loop.test", SPF_PERMERROR, 10, 0, 1, "too many lookups: loop.test" },
		{ "a redirect to itself", "x@again.test", SPF_PERMERROR, 10, 0, 1, "too many lookups: again.test" },
		{ "three void lookups", "x@void.test", SPF_PERMERROR, 3, 2, 4, "too many void lookups: 3.test" },
		{ "two void lookups", "x@void2.test", SPF_FAIL, 2, 2, 3, "" },
		{ "a tree of fourteen", "x@wide.test", SPF_PERMERROR, 10, 0, 12, "too many lookups: w3.test" },
		{ "hosts behind includes that use all lookups up", "x@vain.test", SPF_PERMERROR, 10, 0, 19, "too many lookups: vain.test" },
	};
	struct spf_terms terms = terms_of("192.0.2.1", "mail.a.test", "");

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct spf_run run;

		terms.mail_from = slice_str(rows[i].from);
		run = run_zone(rows[i].what, &terms, zone);
		if (run.verdict->state != rows[i].state || run.verdict->lookups != rows[i].lookups || run.verdict->voids != rows[i].voids)
			fail_msg("%s: %s after %u lookups and %u void ones", rows[i].what, spf_state_name(run.verdict->state), run.verdict->lookups,
			    run.verdict->voids);
		want_text(rows[i].what, run.verdict->reason, rows[i].reason);
		if (run.questions != rows[i].questions)
			fail_msg("%s: %zu questions", rows[i].what, run.questions);
	}
}

/* "v3.a.test" includes v4.a.test, and has nine hosts of its own behind it. */
static struct dnsrec *from_deep(const void *arg, struct arena *a, enum dnsrec_type type, struct slice name)
{
	struct slice text = S("\300\000\002\011"), number;
	uint64_t n = 0;

	(void)arg;
	if (type != DNSREC_TXT)
		return dnsrec_new(type, DNS_OK, &text, 1, false);
	slice_cut(&name, '.', &number);
	assert_true(slice_u64(slice_sub(number, 1, 9), 1000, &n));
	text = arena_printf(a, "v=spf1 include:v%u.a.test", (unsigned)n + 1);
	for (unsigned i = 0; i < 9; i++)
		text = arena_printf(a, "%.*s a:h%u.v%u.a.test", SLICE_FMT(text), i, (unsigned)n);
	return dnsrec_new(type, DNS_OK, &text, 1, false);
}

/* Lookups are used up at the bottom, and each record on the way has hosts that are never looked at: nine of them are asked for. */
static void questions_in_vain_are_few(void **state)
{
	struct spf_terms terms = terms_of("192.0.2.1", "mail.a.test", "x@v0.a.test");
	struct spf_run run = run_terms("deep", &terms, from_deep, NULL);

	(void)state;
	assert_int_equal(run.verdict->state, SPF_PERMERROR);
	assert_int_equal(run.questions, 20);
}

static void questions_travel_together(void **state)
{
	static const struct {
		const char *what, *record;
		size_t questions, waits;
	} rows[] = {
		{ "one after another is for those that must", "v=spf1 a:1.test mx:2.test ptr exists:%{l}.3.test include:i.test include:j.test redirect=r.test", 8, 2 },
		{ "nothing behind what matches anyway", "v=spf1 a:1.test ip4:192.0.2.1 a:2.test include:i.test -all", 2, 2 },
		{ "all behind what nobody can answer but the DNS", "v=spf1 include:i.test include:j.test a:1.test -all", 4, 2 },
		{ "no more than ten terms", "v=spf1 a:1.test a:1.test a:1.test a:1.test a:1.test a:1.test a:1.test a:1.test a:1.test a:1.test a:2.test a:3.test", 2, 2 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct spf_terms terms = terms_of("192.0.2.1", "mail.a.test", "x@a.test");
		struct slice json = arena_printf(&arena, "{\"a.test\": {\"TXT\": [\"%s\"]}, \"i.test\": {\"TXT\": [\"v=spf1\"]}, \"j.test\": {\"TXT\": [\"v=spf1\"]},"
		    " \"r.test\": {\"TXT\": [\"v=spf1 -all\"]}, \"1.test\": {\"A\": [\"192.0.2.9\"]}, \"2.test\": {\"MX\": [\"0 .\"]},"
		    " \"x.3.test\": {\"A\": [\"127.0.0.2\"]}}", rows[i].record);
		struct spf_run run = run_zone(rows[i].what, &terms, arena_string(&arena, json));

		if (run.questions != rows[i].questions || run.waits != rows[i].waits)
			fail_msg("%s: %zu questions, %zu waits", rows[i].what, run.questions, run.waits);
	}
}

/* auth-spf-ptr-mx-fanout, and its parts. */
struct fan {
	const char *record;
	size_t hosts, names;
};

static struct dnsrec *from_fan(const void *arg, struct arena *a, enum dnsrec_type type, struct slice name)
{
	const struct fan *fan = arg;
	size_t n = type == DNSREC_MX ? fan->hosts : type == DNSREC_PTR ? fan->names : 0;
	struct slice *records = ARENA_ARRAY(a, n + 1, struct slice), text = slice_str(fan->record);

	assert_non_null(records);
	if (type == DNSREC_TXT)
		return dnsrec_new(type, DNS_OK, &text, 1, false);
	for (size_t i = 0; i < n; i++) {
		unsigned char wire[2 + DNS_NAME_OCTETS + 2] = { 0 };
		struct slice host = arena_printf(a, "h%zu.a.test", i);
		size_t head = type == DNSREC_MX ? 2 : 0;

		records[i] = arena_copy(a, slice_of(wire, head + dns_name_wire(host, wire + head)));
	}
	if (n)
		return dnsrec_new(type, DNS_OK, records, n, false);
	/* h9 is the client, and so is h10. */
	text = slice_istarts(name, S("h9.")) || slice_istarts(name, S("h10.")) ? S("\300\000\002\001") : S("\300\000\002\011");
	return type == DNSREC_A && name.at[0] == 'h' ? dnsrec_new(type, DNS_OK, &text, 1, false) : dnsrec_new(type, DNS_NXDOMAIN, NULL, 0, false);
}

static void hosts_and_names_fan_out(void **state)
{
	static const struct {
		const char *what, *client;
		struct fan fan;
		enum spf_state state;
		size_t questions;
	} rows[] = {
		{ "mx of ten, the last matches", "192.0.2.1", { "v=spf1 mx -all", 10, 0 }, SPF_PASS, 12 },
		{ "mx of ten, none matches", "192.0.2.2", { "v=spf1 mx -all", 10, 0 }, SPF_FAIL, 12 },
		{ "mx of eleven, the tenth matches", "192.0.2.1", { "v=spf1 mx -all", 11, 0 }, SPF_PASS, 12 },
		{ "mx of 200, none of ten matches", "192.0.2.2", { "v=spf1 mx -all", 200, 0 }, SPF_PERMERROR, 12 },
		{ "ptr of ten", "192.0.2.1", { "v=spf1 ptr -all", 0, 10 }, SPF_PASS, 12 },
		{ "ptr of 1000, none of ten leads back", "192.0.2.2", { "v=spf1 ptr -all", 0, 1000 }, SPF_FAIL, 12 },
		{ "ptr of names elsewhere", "192.0.2.1", { "v=spf1 ptr:b.test -all", 0, 1000 }, SPF_FAIL, 2 },
		{ "%{p} of 1000", "192.0.2.1", { "v=spf1 exists:x.%{p}.b.test -all", 0, 1000 }, SPF_FAIL, 13 },
		{ "all of it", "192.0.2.2", { "v=spf1 mx ptr exists:%{l1r-}.%{l}.%{ir}.a.test -all", 200, 1000 }, SPF_PERMERROR, 14 },
	};
	char from[300];

	(void)state;
	memset(from, 'l', 250);
	memcpy(from + 250, "@a.test", sizeof("@a.test"));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct spf_terms terms = terms_of(rows[i].client, "mail.a.test", from);
		struct spf_run run = run_terms(rows[i].what, &terms, from_fan, &rows[i].fan);

		if (run.verdict->state != rows[i].state || run.questions != rows[i].questions)
			fail_msg("%s: wanted %s and %zu questions, got %s and %zu", rows[i].what, spf_state_name(rows[i].state), rows[i].questions,
			    spf_state_name(run.verdict->state), run.questions);
	}
}

static void nobody_waits_for_what_changes_nothing(void **state)
{
	static const struct fan ptr = { "v=spf1 ptr -all", 0, 10 }, mx = { "v=spf1 mx -all", 10, 0 };
	struct spf_terms terms = terms_of("192.0.2.1", "mail.a.test", "x@a.test");
	struct asks *q = asks_new(&arena, 50);

	(void)state;
	/* The newest question is about h9, which is the client: enough for a name, while a host before it could be a temperror. */
	assert_int_equal(spf_run(&arena, q, &terms, SPF_NEWEST_FIRST, from_fan, &ptr).waits, 3);
	asks_release(q);
	q = asks_new(&arena, 50);
	assert_int_equal(spf_run(&arena, q, &terms, SPF_NEWEST_FIRST, from_fan, &mx).waits, 12);
	asks_release(q);
}

/* What a record of 64 KiB is made of; its end decides. */
static void records_of_64_kib(void **state)
{
	static const struct {
		const char *what, *unit, *end;
		enum spf_state state;
	} rows[] = {
		{ "blanks", " ", "-all", SPF_FAIL },
		{ "networks", "ip4:192.0.2.0/32 ", "-all", SPF_FAIL },
		{ "modifiers", "x=%{l} ", "-all", SPF_FAIL },
		{ "an error at the very end", "ip6:2001:db8::/32 ", "-all -al", SPF_PERMERROR },
		{ "terms that ask", "a ", "-all", SPF_PERMERROR },
		{ "macros that grow", "%{l4r-}", ".x.test", SPF_NEUTRAL },
		{ "macros that vanish", "%{h}", ".x.test", SPF_NEUTRAL },
		{ "percents", "%%", ".x.test", SPF_NEUTRAL },
		{ "braces", "{}", ".x.test", SPF_NEUTRAL },
	};
	unsigned char text[65535], local[1000];

	(void)state;
	for (size_t i = 0; i < sizeof(local); i++)
		local[i] = i % 2 ? '-' : 'l';
	memcpy(local + sizeof(local) - 7, "@a.test", 7);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t unit = strlen(rows[i].unit), end = strlen(rows[i].end), n = 7;
		struct spf_terms terms = terms_of("192.0.2.1", "", "");
		struct slice texts[2] = { { 0 } };
		const struct spf_verdict *v;

		memcpy(text, "v=spf1 ", 7);
		if (rows[i].end[0] == '.') {
			memcpy(text + n, "exists:", 7);
			n += 7;
		}
		for (; n + unit + end <= sizeof(text); n += unit)
			memcpy(text + n, rows[i].unit, unit);
		memcpy(text + n, rows[i].end, end);
		texts[0] = slice_of(text, n + end);
		terms.mail_from = slice_of(local, sizeof(local));
		v = run_terms(rows[i].what, &terms, from_texts, texts).verdict;
		if (v->state != rows[i].state)
			fail_msg("%s: wanted %s, got %s (%.*s)", rows[i].what, spf_state_name(rows[i].state), spf_state_name(v->state), SLICE_FMT(v->reason));
	}
}

static void memory_that_is_not_there(void **state)
{
	struct answers *zone = zone_new("{\"a.test\": {\"TXT\": [\"v=spf1 include:%{l}.b.test -all exp=e.test\"]}, \"x.b.test\": {\"TXT\": [\"v=spf1\"]},"
	                                " \"e.test\": {\"TXT\": [\"see %{l}\"]}}");
	size_t failed = 0;

	(void)state;
	for (size_t octets = 0; octets < 60000; octets += 500) {
		struct spf_terms terms = terms_of("192.0.2.1", "mail.a.test", "x@a.test");
		struct asks *q = asks_new(&arena, 20);
		struct arena small;
		struct spf *s;

		arena_init(&small, octets);
		s = spf_new(&small, q, &terms);
		while (s && !spf_step(s))
			assert_true(zone_answer(zone, &arena, q) > 0);
		if (s && spf_verdict(s)->state == SPF_TEMPERROR) {
			WANT_SLICE(spf_verdict(s)->reason, S("out of memory"));
			failed++;
		} else if (s) {
			assert_int_equal(spf_verdict(s)->state, SPF_FAIL);
			WANT_SLICE(spf_verdict(s)->explanation, S("see x"));
		}
		asks_release(q);
		arena_clear(&small);
	}
	assert_true(failed > 0);
	answers_free(&zone);
}

static void time_is_over(void **state)
{
	struct answers *zone = zone_new("{\"a.test\": {\"TXT\": [\"v=spf1 a:b.test -all\"]}}");
	struct spf_terms terms = terms_of("192.0.2.1", "mail.a.test", "x@a.test");
	struct asks *q = asks_new(&arena, 20);
	struct spf *s = spf_new(&arena, q, &terms);

	(void)state;
	assert_false(spf_step(s));
	zone_answer(zone, &arena, q);
	assert_false(spf_step(s));
	asks_give_up(q);
	assert_true(spf_step(s));
	assert_int_equal(spf_verdict(s)->state, SPF_TEMPERROR);
	WANT_SLICE(spf_verdict(s)->reason, S("no answer: b.test"));
	asks_release(q);
	answers_free(&zone);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh_arena, drop_arena)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(terms_and_modifiers),
		TEST(errors_of_the_dns),
		TEST(whose_domain),
		TEST(macros),
		TEST(macros_that_are_none),
		TEST(long_names_lose_labels_on_the_left),
		TEST(explanations),
		TEST(an_explanation_is_cut),
		TEST(octets_that_no_record_may_have),
		TEST(too_many_lookups),
		TEST(questions_in_vain_are_few),
		TEST(questions_travel_together),
		TEST(hosts_and_names_fan_out),
		TEST(nobody_waits_for_what_changes_nothing),
		TEST(records_of_64_kib),
		TEST(memory_that_is_not_there),
		TEST(time_is_over),
	};

	return RUN_TESTS(tests);
}
