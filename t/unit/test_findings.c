/* What all mechanisms found, as results of one field. */
#include "test.h"

#include "arena.h"
#include "auth/findings.h"

static void want(const struct findings *f, const char *text)
{
	struct authres_result *results;
	const struct authres_result *read;
	struct slice value, id;
	size_t n, m;

	assert_true(findings_results(&arena, f, &results, &n));
	value = authres_value(&arena, S("mx"), results, n);
	WANT_SLICE(value, arena_printf(&arena, "mx; %s", text));
	assert_true(authres_parse(&arena, value, &id, &read, &m));
	assert_int_equal(m, n);
}

static void nothing_looked_at(void **state)
{
	(void)state;
	want(&(struct findings){ 0 }, "none");
}

static void all_in_their_order(void **state)
{
	struct dkim2_hop hop = { .i = 1, .d = S("a.test"), .d_normal = S("a.test"), .state = DKIM2_PASS };
	const struct dkim2_verdict dkim2 = { .state = DKIM2_PASS, .hops = &hop, .hop_count = 1 };
	const struct dkim_signature signature = { .d = S("a.test"), .s = S("s1"), .a = S("rsa-sha256"), .b = S("AbCdEfGhIjKl"), .state = DKIM_PASS, .key_bits = 2048 };
	const struct dkim_verdict dkim = { .state = DKIM_PASS, .signatures = &signature, .n = 1 };
	const struct arc_verdict arc = { .state = ARC_PASS, .instances = 2 };
	const struct spf_verdict spf = { .state = SPF_PASS, .scope = SPF_MFROM, .domain = S("a.test"), .mechanism = S("mx") };
	const struct spf_verdict helo = { .state = SPF_NONE, .scope = SPF_HELO, .domain = S("mta.a.test") };
	const struct dmarc_verdict dmarc = { .state = DMARC_PASS, .author = S("a.test"), .tag = "p", .policy = DMARC_POLICY_REJECT };
	struct findings f = { .dkim2 = &dkim2, .dkim = &dkim, .arc = &arc, .spf = &spf, .spf_helo = &helo, .dmarc = &dmarc,
		.mail_from = S("s@a.test"), .helo = S("mta.a.test"), .client = S("192.0.2.1") };

	(void)state;
	want(&f, "dkim2=pass (i=1 a.test pass) header.d=a.test; "
	    "dkim=pass (2048-bit key) header.d=a.test header.s=s1 header.a=rsa-sha256 header.b=AbCdEfGh; "
	    "arc=pass (i=2) header.oldest-pass=0 smtp.remote-ip=192.0.2.1; "
	    "spf=pass (mx) smtp.mailfrom=s@a.test; spf=none smtp.helo=mta.a.test; "
	    "dmarc=pass (p=reject dis=none) header.from=a.test policy.dmarc=none");
}

static void signatures(void **state)
{
	struct dkim_signature s[12];
	struct dkim_verdict v = { .signatures = s };
	struct findings f = { .dkim = &v };
	struct authres_result *results;
	size_t n;

	(void)state;
	want(&f, "dkim=none");
	s[0] = (struct dkim_signature){ .d = S("a.test"), .i = S("\"; spf=pass\"@a.test"), .b = S("AAAAAAAAAB"), .state = DKIM_FAIL,
		.reason = S("body hash did not verify"), .testing = true, .l_present = true, .l = 7 };
	s[1] = (struct dkim_signature){ .d = S("legit.example'a.attack.example"), .b = S("AAAAAAAAAC"), .state = DKIM_PERMERROR, .reason = S("d= is no domain") };
	s[2] = (struct dkim_signature){ .state = DKIM_PERMERROR, .reason = S("no d=") };
	v.n = 3;
	want(&f, "dkim=fail (testing, l=7) reason=\"body hash did not verify\" header.d=a.test header.i=\"\\\"; spf=pass\\\"@a.test\" header.b=AAAAAAAAAB; "
	    "dkim=permerror reason=\"d= is no domain\" header.d=\"legit.example'a.attack.example\" header.b=AAAAAAAAAC; "
	    "dkim=permerror reason=\"no d=\"");
	s[0] = (struct dkim_signature){ .d = S("a.test"), .b = S("AAAAAAAAAB"), .state = DKIM_PASS, .key_bits = 2048, .from_unsigned = true };
	v.n = 1;
	want(&f, "dkim=pass (2048-bit key, a From is not signed) header.d=a.test header.b=AAAAAAAA");
	for (size_t i = 0; i < 12; i++)
		s[i] = (struct dkim_signature){ .d = S("a.test"), .b = S("AAAAAAAAAA"), .state = DKIM_PASS };
	v.n = 12;
	assert_true(findings_results(&arena, &f, &results, &n));
	assert_int_equal(n, 10);
	assert_int_equal(results[8].comment.n, 0);
	WANT_SLICE(results[9].comment, S("too many signatures: 2 more not shown"));
	WANT_SLICE(results[9].props[1].value, S("AAAAAAAA")); /* a copy tells no more of itself */
}

static void chains(void **state)
{
	struct arc_verdict v = { .state = ARC_NONE };
	struct findings f = { .arc = &v };

	(void)state;
	want(&f, "arc=none");
	v = (struct arc_verdict){ .state = ARC_FAIL, .instances = 3, .oldest_pass = 2, .reason = S("seal 2 did not verify") };
	f.client = S("2001:db8::1");
	want(&f, "arc=fail (i=3) reason=\"seal 2 did not verify\" smtp.remote-ip=\"2001:db8::1\"");
}

static void senders(void **state)
{
	struct spf_verdict v = { .state = SPF_TEMPERROR, .scope = SPF_MFROM, .domain = S("a.test"), .reason = S("a.test did not answer") }, helo;
	struct findings f = { .spf = &v, .mail_from = S("\"x; dmarc=pass header.from=b.test\"@a.test"), .helo = S("[IPv6:::1]") };

	(void)state;
	want(&f, "spf=temperror reason=\"a.test did not answer\" smtp.mailfrom=\"\\\"x; dmarc=pass header.from=b.test\\\"@a.test\"");
	f.mail_from = S("d\xc3\xb6rte@b\xc3\xbc" "cher.test");
	v = (struct spf_verdict){ .state = SPF_SOFTFAIL, .scope = SPF_MFROM, .mechanism = S("~all") };
	want(&f, "spf=softfail (~all) smtp.mailfrom=d\xc3\xb6rte@b\xc3\xbc" "cher.test");
	/* a null path: HELO was checked, and is not told twice */
	f.mail_from = SLICE_NONE;
	v = helo = (struct spf_verdict){ .state = SPF_NONE, .scope = SPF_HELO };
	f.spf_helo = &helo;
	want(&f, "spf=none smtp.helo=\"[IPv6:::1]\"");
}

static void policies(void **state)
{
	struct dmarc_verdict v = { .state = DMARC_FAIL, .author = S("x.a.test"), .tag = "sp", .policy = DMARC_POLICY_REJECT,
		.disposition = DMARC_POLICY_QUARANTINE, .testing = true, .reason = S("neither DKIM nor SPF aligns") };
	struct findings f = { .dmarc = &v };

	(void)state;
	want(&f, "dmarc=fail (sp=reject dis=quarantine t=y) header.from=x.a.test policy.dmarc=quarantine");
	v = (struct dmarc_verdict){ .state = DMARC_TEMPERROR, .author = S("a.test"), .tag = "p", .policy = DMARC_POLICY_REJECT, .reason = S("no answer") };
	want(&f, "dmarc=temperror (p=reject) reason=\"no answer\" header.from=a.test");
	v = (struct dmarc_verdict){ .state = DMARC_NONE, .author = S("a.test"), .tag = "", .reason = S("no policy record") };
	want(&f, "dmarc=none header.from=a.test");
	v = (struct dmarc_verdict){ .state = DMARC_PERMERROR, .tag = "", .reason = S("several") };
	want(&f, "dmarc=permerror reason=several");
	f.from_domain = S("b.test");
	want(&f, "dmarc=permerror reason=several header.from=b.test");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh_arena, drop_arena)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_looked_at),
		TEST(all_in_their_order),
		TEST(signatures),
		TEST(chains),
		TEST(senders),
		TEST(policies),
	};

	return RUN_TESTS(tests);
}
