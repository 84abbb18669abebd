/* Policy: what a condition means, which rule rules, what the client is told, and what a mistake is called. */
#include "test.h"

#include "base/ip.h"
#include "policy/rule.h"

static struct arena arena;

static int setup(void **state)
{
	(void)state;
	arena_init(&arena, 1 << 22);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_clear(&arena);
	return 0;
}

static void networks(void **state)
{
	static const struct {
		const char *title, *net, *address;
		int want; /* 1 holds, 0 does not, -1 no network */
	} rows[] = {
		{ "a network holds its last address", "192.0.2.0/24", "192.0.2.255", 1 },
		{ "and not the next one", "192.0.2.0/24", "192.0.3.0", 0 },
		{ "an odd width", "10.0.0.8/29", "10.0.0.15", 1 },
		{ "an odd width ends", "10.0.0.8/29", "10.0.0.16", 0 },
		{ "a single address", "192.0.2.1", "192.0.2.1", 1 },
		{ "everything in IPv4", "0.0.0.0/0", "203.0.113.9", 1 },
		{ "IPv4 is not all of IPv6", "0.0.0.0/0", "2001:db8::1", 0 },
		{ "everything", "::/0", "203.0.113.9", 1 },
		{ "IPv6", "2001:db8::/32", "2001:db8:ffff::1", 1 },
		{ "IPv6 ends", "2001:db8::/32", "2001:db9::1", 0 },
		{ "a mapped address is the IPv4 one", "192.0.2.0/24", "::ffff:192.0.2.7", 1 },
		{ "host bits are a mistake", "192.0.2.1/24", NULL, -1 },
		{ "host bits in the odd octet", "10.0.0.9/29", NULL, -1 },
		{ "too wide", "192.0.2.0/33", NULL, -1 },
		{ "IPv6 too wide", "::/129", NULL, -1 },
		{ "no width", "192.0.2.0/", NULL, -1 },
		{ "a leading zero", "192.0.0.0/08", NULL, -1 },
		{ "a name", "localhost", NULL, -1 },
		{ "octal", "0192.0.2.1", NULL, -1 },
		{ "brackets", "[::1]", NULL, -1 },
		{ "empty", "", NULL, -1 },
		{ "too long", "1111:1111:1111:1111:1111:1111:1111:1111:1111:1111", NULL, -1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unsigned char a[16];
		struct cidr c;
		bool good = cidr_parse(slice_str(rows[i].net), &c);
		int got = -1;

		if (good && rows[i].address) {
			assert_true(ip_parse(slice_str(rows[i].address), a));
			got = cidr_holds(&c, a);
		} else if (good) {
			got = 2;
		}
		if (got != rows[i].want)
			fail_msg("%s: wanted %d, got %d", rows[i].title, rows[i].want, got);
	}
}

static struct policy *one_rule(const char *when, const char *then, const char **error)
{
	const char **w = ARENA_ARRAY(&arena, 1, const char *);
	struct rule_text *r = ARENA_NEW(&arena, struct rule_text);
	size_t rule;

	*w = when;
	*r = (struct rule_text){ .name = "r", .when = w, .when_count = when ? 1 : 0, .then = then };
	return policy_new(&arena, "p", r, 1, "accept", error, &rule);
}

#define HEX63 "0112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define HEX64 "0" HEX63

static void conditions(void **state)
{
	static const struct {
		const char *title, *when, *value;
		enum fact fact;
		bool want;
	} rows[] = {
		{ "a certificate", "client-certificate = " HEX64, HEX64, FACT_CLIENT_CERTIFICATE, true },
		{ "a certificate as openssl(1) shows it",
		    "client-certificate in none, 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF",
		    HEX64, FACT_CLIENT_CERTIFICATE, true },
		{ "another certificate", "client-certificate = " HEX64, "a" HEX63, FACT_CLIENT_CERTIFICATE, false },
		{ "no certificate", "client-certificate = none", "none", FACT_CLIENT_CERTIFICATE, true },
		{ "no certificate is not one", "client-certificate = " HEX64, "none", FACT_CLIENT_CERTIFICATE, false },
		{ "some certificate", "client-certificate != none", HEX64, FACT_CLIENT_CERTIFICATE, true },
		{ "a version of TLS", "tls in TLSv1.2 TLSv1.3", "TLSv1.3", FACT_TLS, true },
		{ "in clear", "tls = none", "none", FACT_TLS, true },
		{ "a word is equal", "dkim2 = fail", "fail", FACT_DKIM2, true },
		{ "a word is another", "dkim2 = fail", "pass", FACT_DKIM2, false },
		{ "blanks around = are free", " dkim2=fail ", "fail", FACT_DKIM2, true },
		{ "a word differs", "dkim2 != pass", "none", FACT_DKIM2, true },
		{ "a word does not differ", "dkim2 != pass", "pass", FACT_DKIM2, false },
		{ "in a list with commas", "dkim2 in fail, permerror", "permerror", FACT_DKIM2, true },
		{ "in a list with blanks", "dkim2 in fail permerror", "fail", FACT_DKIM2, true },
		{ "not in the list", "dkim2 in fail permerror", "temperror", FACT_DKIM2, false },
		{ "a network", "client in 192.0.2.0/24 2001:db8::/32", "2001:db8::5", FACT_CLIENT, true },
		{ "outside", "client in 192.0.2.0/24 2001:db8::/32", "198.51.100.1", FACT_CLIENT, false },
		{ "no address is in no network", "client in 0.0.0.0/0", "unknown", FACT_CLIENT, false },
		{ "one address", "client = 192.0.2.9", "192.0.2.9", FACT_CLIENT, true },
		{ "a domain without case", "mail-from.domain = Example.NET", "eXample.net", FACT_MAIL_FROM_DOMAIN, true },
		{ "a U-label is its A-label", "from.domain = b\xc3\xbc"
					      "cher.example",
		    "xn--bcher-kva.example", FACT_FROM_DOMAIN, true },
		{ "a domain is not below itself", "mail-from.domain = .example.net", "example.net", FACT_MAIL_FROM_DOMAIN,
		    false },
		{ "a domain below", "mail-from.domain = .example.net", "a.b.example.net", FACT_MAIL_FROM_DOMAIN, true },
		{ "a shared suffix is no label", "mail-from.domain = .example.net", "notexample.net",
		    FACT_MAIL_FROM_DOMAIN, false },
		{ "no domain equals none", "mail-from.domain = example.net", "", FACT_MAIL_FROM_DOMAIN, false },
		{ "the null path", "mail-from = <>", "<>", FACT_MAIL_FROM, true },
		{ "an address is not the null path", "mail-from = <>", "<a@b.test>", FACT_MAIL_FROM, false },
		{ "a path without brackets", "rcpt = a@B.test", "<a@b.TEST>", FACT_RCPT, true },
		{ "local parts keep their case", "rcpt = a@b.test", "<A@b.test>", FACT_RCPT, false },
		{ "a number", "dkim2.hops = 3", "3", FACT_DKIM2_HOPS, true },
		{ "a range", "dkim2.hops in 1 5..9", "7", FACT_DKIM2_HOPS, true },
		{ "below the range", "dkim2.hops in 1 5..9", "4", FACT_DKIM2_HOPS, false },
		{ "a flag", "dkim2.exploded = yes", "yes", FACT_DKIM2_EXPLODED, true },
		{ "a text with blanks", "dkim2.reason = body hash mismatch", "body hash mismatch", FACT_DKIM2_REASON, true },
		{ "a text is whole", "dkim2.reason = body hash", "body hash mismatch", FACT_DKIM2_REASON, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct facts f = { .known = { false } };
		const char *error = NULL;
		struct policy *p = one_rule(rows[i].when, "refuse", &error);
		struct ruling r;

		if (!p)
			fail_msg("%s: %s", rows[i].title, error);
		r = policy_rule(p, &f, false);
		if (r.kind != RULING_NONE)
			fail_msg("%s: ruled before the fact was known", rows[i].title);
		facts_set(&f, rows[i].fact, slice_str(rows[i].value));
		r = policy_rule(p, &f, false);
		if ((r.kind == RULING_REFUSE) != rows[i].want)
			fail_msg("%s: got %s", rows[i].title, ruling_name(r.kind));
	}
}

static void mistakes(void **state)
{
#define FACTS                                                                                                       \
	"listener, service, client, helo, tls, client-certificate, client-certificate.verified, auth.user, mail-from, " \
	"mail-from.domain, rcpt, rcpt.domain, from.domain, dkim2, "                                                 \
	"dkim2.reason, dkim2.level, dkim2.domain, dkim2.sealer, dkim2.hops, dkim2.exploded, dkim2.testing, dkim, "   \
	"dkim.domain, dkim.signatures, dkim.aligned, dkim.testing, arc, arc.sealer, arc.instances, arc.trusted, "    \
	"arc.vouches, spf, spf.domain, spf.aligned, spf.explanation, spf.helo, dmarc, dmarc.domain, dmarc.policy, "  \
	"dmarc.disposition, dmarc.reason"
#define SHAPE "expected FACT = VALUE, FACT != VALUE or FACT in LIST"
	static const struct {
		const char *when, *then, *want;
	} rows[] = {
		{ "dkm2 = fail", "accept", "unknown fact \"dkm2\", expected one of " FACTS },
		{ "client-certificate = 00:11", "accept",
		    "\"00:11\" is no value of client-certificate, expected a SHA-256 fingerprint of 64 hexadecimal digits, or none" },
		{ "client-certificate in " HEX64 " " HEX63, "accept",
		    "\"" HEX63 "\" is no value of client-certificate, expected a SHA-256 fingerprint of 64 hexadecimal digits, or none" },
		{ "dkim2 fail", "accept", "condition \"dkim2 fail\" has no operator, " SHAPE },
		{ "dkim2 infail", "accept", "condition \"dkim2 infail\" has no operator, " SHAPE },
		{ "", "accept", "condition \"\" has no operator, " SHAPE },
		{ "dkim2 =", "accept", "condition \"dkim2 =\" has no value, " SHAPE },
		{ "dkim2 == fail", "accept", "condition \"dkim2 == fail\" has no value, " SHAPE },
		{ "dkim2 in ,", "accept", "condition \"dkim2 in ,\" has no value, " SHAPE },
		{ "dkim2 = failed", "accept",
		    "\"failed\" is no value of dkim2, expected one of pass fail permerror temperror none" },
		{ "dkim2 = fail permerror", "accept",
		    "\"fail permerror\" is no value of dkim2, expected one of pass fail permerror temperror none" },
		{ "client in 192.0.2.1/24", "accept",
		    "\"192.0.2.1/24\" is no value of client, expected an IP address or a network without host bits" },
		{ "rcpt.domain = a..b", "accept",
		    "\"a..b\" is no value of rcpt.domain, expected a domain, or .domain for all below it" },
		{ "rcpt = <a@b.test", "accept",
		    "\"<a@b.test\" is no value of rcpt, expected an address, or <> for the null path" },
		{ "dkim2.hops = many", "accept", "\"many\" is no value of dkim2.hops, expected a number" },
		{ "dkim2.hops in 9..5", "accept", "\"9..5\" is no value of dkim2.hops, expected numbers or N..M" },
		{ "dkim2.exploded = true", "accept", "\"true\" is no value of dkim2.exploded, expected one of yes no" },
		{ "dkim2.reason in a b", "accept", "dkim2.reason in a list, expected = or != and one text" },
		{ NULL, "", "unknown ruling \"\", expected accept, bypass, refuse or defer" },
		{ NULL, "reject 550 5.7.1 no", "unknown ruling \"reject\", expected accept, bypass, refuse or defer" },
		{ NULL, "accept 250", "\"250\" behind accept, expected nothing" },
		{ NULL, "refuse 451 4.7.1 later", "reply code \"451\", expected 500..559 but not 521" },
		{ NULL, "refuse 521 5.7.1 no", "reply code \"521\", expected 500..559 but not 521" },
		{ NULL, "refuse no", "reply code \"no\", expected 500..559 but not 521" },
		{ NULL, "refuse 5500 5.7.1 no", "reply code \"5500\", expected 500..559 but not 521" },
		{ NULL, "defer 550 5.7.1 no", "reply code \"550\", expected 400..459 but not 421" },
		{ NULL, "defer 421 4.7.1 no", "reply code \"421\", expected 400..459 but not 421" },
		{ NULL, "refuse 550 4.7.1 no", "enhanced code \"4.7.1\" behind 550, expected 5.x.x" },
		{ NULL, "refuse 550 not here", "enhanced code \"not\" behind 550, expected 5.x.x" },
		{ NULL, "refuse 550 5.07.1 no", "enhanced code \"5.07.1\" behind 550, expected 5.x.x" },
		{ NULL, "refuse 550 5.7 no", "enhanced code \"5.7\" behind 550, expected 5.x.x" },
		{ NULL, "refuse 550 5.7.1.1 no", "enhanced code \"5.7.1.1\" behind 550, expected 5.x.x" },
		{ NULL, "refuse 550", "enhanced code \"\" behind 550, expected 5.x.x" },
		{ NULL, "refuse 550 5.7.1 a\tb", "octet 0x09 in a reply, expected printable ASCII" },
		{ NULL, "refuse 550 5.7.1 a\r\n250 b", "octet 0x0d in a reply, expected printable ASCII" },
		{ NULL, "refuse 550 5.7.1 n\xc3\xb6", "octet 0xc3 in a reply, expected printable ASCII" },
		{ NULL, "refuse 550 5.7.1 {dkm}", "unknown fact \"{dkm}\", expected one of " FACTS },
		{ NULL, "refuse 550 5.7.1 a {dkim2", "a brace without its other half in \"a {dkim2\", expected {fact}" },
		{ NULL, "refuse 550 5.7.1 a} {dkim2}", "a brace without its other half in \"a} {dkim2}\", expected {fact}" },
		{ NULL, "refuse 550 5.7.1 {dkim2} }", "a brace without its other half in \"{dkim2} }\", expected {fact}" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *error = "no mistake found";
		struct policy *p = one_rule(rows[i].when, rows[i].then, &error);

		if (p || strcmp(error, rows[i].want) != 0)
			fail_msg("%s / %s\nwanted: %s\n   got: %s", rows[i].when ? rows[i].when : "-", rows[i].then,
			    rows[i].want, error);
	}
}

static void a_mistake_names_its_rule(void **state)
{
	static const char *const good[] = { "dkim2 = fail" }, *const bad[] = { "dkim2 = fail", "x = y" };
	const struct rule_text rules[] = { { "a", good, 1, "accept" }, { "b", bad, 2, "accept" } };
	const char *error;
	size_t rule = 9;

	(void)state;
	assert_null(policy_new(&arena, "p", rules, 2, NULL, &error, &rule));
	assert_int_equal(rule, 1);
	assert_null(policy_new(&arena, "p", rules, 1, "maybe", &error, &rule));
	assert_int_equal(rule, 1);
	assert_string_equal(error, "unknown ruling \"maybe\", expected accept, bypass, refuse or defer");
}

/* The rules of INTERFACE.md section 3, one of them with two conditions. */
static struct policy *example(void)
{
	static const char *const partner[] = { "client in 192.0.2.0/24" };
	static const char *const broken[] = { "dkim2 = fail", "mail-from.domain != lists.test" };
	static const struct rule_text rules[] = {
		{ "partner", partner, 1, "bypass" },
		{ "broken chain", broken, 2, "refuse 550 5.7.1 {dkim2.reason}" },
	};
	const char *error;
	size_t rule;
	struct policy *p = policy_new(&arena, "inbound", rules, 2, "accept", &error, &rule);

	assert_non_null(p);
	return p;
}

static void rules_run_in_order_and_as_early_as_they_can(void **state)
{
	struct policy *p = example();
	struct facts f = { .known = { false } };
	struct ruling r;

	(void)state;
	/* the partner is let through before anything else is known */
	assert_int_equal(policy_rule(p, &f, false).kind, RULING_NONE);
	facts_set(&f, FACT_CLIENT, S("192.0.2.7"));
	r = policy_rule(p, &f, false);
	assert_int_equal(r.kind, RULING_BYPASS);
	assert_string_equal(r.rule, "partner");
	/* another client waits for the verdict, unless one condition already failed */
	facts_set(&f, FACT_CLIENT, S("198.51.100.7"));
	assert_int_equal(policy_rule(p, &f, false).kind, RULING_NONE);
	facts_set(&f, FACT_MAIL_FROM_DOMAIN, S("lists.test"));
	r = policy_rule(p, &f, false);
	assert_int_equal(r.kind, RULING_ACCEPT);
	assert_string_equal(r.rule, "otherwise");
	facts_set(&f, FACT_MAIL_FROM_DOMAIN, S("a.test"));
	facts_set(&f, FACT_DKIM2, S("fail"));
	/* the reply needs the reason, a fact of the rule too */
	assert_int_equal(policy_rule(p, &f, false).kind, RULING_NONE);
	facts_set(&f, FACT_DKIM2_REASON, S("body hash mismatch"));
	r = policy_rule(p, &f, false);
	assert_int_equal(r.kind, RULING_REFUSE);
	assert_string_equal(r.rule, "broken chain");
	assert_int_equal(r.fault.code, FAULT_POLICY);
	assert_int_equal(r.fault.basic, 550);
	assert_string_equal(r.fault.enhanced, "5.7.1");
	assert_string_equal(r.fault.text, "body hash mismatch");
}

static void at_the_end_there_is_a_ruling(void **state)
{
	struct policy *p = example();
	struct facts f = { .known = { false } };
	struct ruling r = policy_rule(p, &f, true);

	(void)state;
	assert_int_equal(r.kind, RULING_ACCEPT);
	facts_set(&f, FACT_DKIM2, S("fail"));
	facts_set(&f, FACT_MAIL_FROM_DOMAIN, SLICE_NONE);
	r = policy_rule(p, &f, true);
	assert_int_equal(r.kind, RULING_REFUSE);
	assert_string_equal(r.fault.text, "unknown");
	assert_int_equal(policy_rule(NULL, &f, false).kind, RULING_ACCEPT);
}

static void an_unknown_fact_fails_its_condition_even_negated(void **state)
{
	const char *error;
	struct policy *p = one_rule("mail-from.domain != a.test", "refuse", &error);
	struct facts f = { .known = { false } };

	(void)state;
	assert_int_equal(policy_rule(p, &f, true).kind, RULING_ACCEPT);
}

static void reply_text(void **state)
{
	char filler[2000], all[201], wanted_all[201];
	struct facts f = { .known = { false } };
	const struct {
		const char *title, *then;
		struct slice reason;
		const char *want;
	} rows[] = {
		{ "no text has a default", "refuse 550 5.7.1", S("x"), "refused by policy" },
		{ "no code has a default", "refuse", S("x"), "refused by policy" },
		{ "defer says so", "defer", S("x"), "deferred by policy" },
		{ "an empty fact leaves the default", "defer 451 4.7.5 {dkim2.reason}", SLICE_NONE, "deferred by policy" },
		{ "twice in one text", "refuse 550 5.7.1 [{dkim2.reason}] {dkim2.reason}!", S("r"), "[r] r!" },
		{ "no second reply line", "refuse 550 5.7.1 {dkim2.reason}", S("a\r\n250 ok"), "a??250 ok" },
		{ "no octet above 126", "refuse 550 5.7.1 {dkim2.reason}", S("\xc3\xbc\x7f\x1b"), "????" },
		{ "a brace in a value is only that", "refuse 550 5.7.1 {dkim2.reason}", S("{dkim2}"), "{dkim2}" },
		{ "a long value is cut", "refuse 550 5.7.1 {dkim2.reason}", slice_of(filler, sizeof(filler)), wanted_all },
	};

	(void)state;
	memset(filler, 'x', sizeof(filler));
	memset(wanted_all, 'x', 200);
	wanted_all[200] = '\0';
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *error = NULL;
		struct policy *p = one_rule(NULL, rows[i].then, &error);
		struct ruling r;

		if (!p)
			fail_msg("%s: %s", rows[i].title, error);
		facts_set(&f, FACT_DKIM2_REASON, rows[i].reason);
		r = policy_rule(p, &f, true);
		if (strcmp(r.fault.text, rows[i].want) != 0)
			fail_msg("%s\nwanted: %s\n   got: %s", rows[i].title, rows[i].want, r.fault.text);
	}
	/* the longest text with the longest values still ends in its room */
	memset(all, 'y', sizeof(all));
	memcpy(all, "refuse 550 5.7.1 {dkim2.reason}{dkim2.reason}", 45);
	all[200] = '\0';
	{
		const char *error = NULL;
		struct policy *p = one_rule(NULL, all, &error);
		struct ruling r = policy_rule(p, &f, true);

		assert_int_equal(strlen(r.fault.text), sizeof(r.fault.text) - 1);
	}
}

static void wants_tells_what_may_still_be_asked(void **state)
{
	const char *error;

	(void)state;
	assert_true(policy_wants(one_rule("dkim2 = fail", "refuse", &error), STAGE_JUDGE));
	assert_true(policy_wants(one_rule("client = 192.0.2.1", "refuse 550 5.7.1 {dkim2}", &error), STAGE_JUDGE));
	assert_false(policy_wants(one_rule("rcpt = a@b.test", "refuse", &error), STAGE_JUDGE));
	assert_true(policy_wants(one_rule("rcpt = a@b.test", "refuse", &error), STAGE_RCPT));
	assert_false(policy_wants(one_rule(NULL, "accept", &error), STAGE_CONNECT));
	assert_false(policy_wants(NULL, STAGE_CONNECT));
	assert_true(policy_wants(policy_built_in(&arena), STAGE_JUDGE));
}

static void the_built_in_rules(void **state)
{
	static const struct {
		const char *dkim2, *dmarc, *disposition;
		enum ruling_kind kind;
		int basic;
		const char *enhanced, *rule;
	} rows[] = {
		{ "pass", "pass", "none", RULING_ACCEPT, 0, "", "otherwise" },
		{ "none", "none", "none", RULING_ACCEPT, 0, "", "otherwise" },
		{ "none", "fail", "none", RULING_ACCEPT, 0, "", "otherwise" },
		{ "none", "fail", "quarantine", RULING_ACCEPT, 0, "", "otherwise" },
		{ "none", "temperror", "none", RULING_ACCEPT, 0, "", "otherwise" },
		{ "fail", "pass", "none", RULING_REFUSE, 550, "5.7.1", "broken chain" },
		{ "permerror", "pass", "none", RULING_REFUSE, 550, "5.7.1", "bad chain" },
		{ "temperror", "pass", "none", RULING_DEFER, 451, "4.7.5", "key unreachable" },
		{ "none", "permerror", "none", RULING_REFUSE, 550, "5.6.0", "no author" },
		{ "none", "fail", "reject", RULING_REFUSE, 550, "5.7.1", "author refuses" },
		{ "none", "temperror", "temperror", RULING_DEFER, 451, "4.7.5", "author unreachable" },
		{ "fail", "temperror", "temperror", RULING_REFUSE, 550, "5.7.1", "broken chain" },
	};
	struct policy *p = policy_built_in(&arena);
	const struct rule_text *texts;
	const char *otherwise;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct facts f = { .known = { false } };
		struct ruling r;

		facts_set(&f, FACT_DKIM2, slice_str(rows[i].dkim2));
		facts_set(&f, FACT_DKIM2_REASON, S("why"));
		facts_set(&f, FACT_DMARC, slice_str(rows[i].dmarc));
		facts_set(&f, FACT_DMARC_REASON, S("why"));
		facts_set(&f, FACT_DMARC_DISPOSITION, slice_str(rows[i].disposition));
		facts_set(&f, FACT_FROM_DOMAIN, S("a.test"));
		r = policy_rule(p, &f, false);
		assert_int_equal(r.kind, rows[i].kind);
		assert_int_equal(r.fault.basic, rows[i].basic);
		assert_string_equal(r.fault.enhanced, rows[i].enhanced);
		assert_string_equal(r.rule, rows[i].rule);
	}
	assert_string_equal(policy_name(p), "built-in");
	assert_int_equal(policy_text(p, &texts, &otherwise), 6);
	assert_string_equal(otherwise, "accept");
	assert_string_equal(texts[2].then, "defer 451 4.7.5 {dkim2.reason}");
}

/* What was not verified is no fact, and then its rules do not count. */
static void the_built_in_rules_without_dmarc(void **state)
{
	struct policy *p = policy_built_in(&arena);
	struct facts f = { .known = { false } };

	(void)state;
	facts_set(&f, FACT_DKIM2, S("none"));
	assert_int_equal(policy_rule(p, &f, false).kind, RULING_NONE);
	assert_int_equal(policy_rule(p, &f, true).kind, RULING_ACCEPT);
}

static void what_a_policy_looks_at(void **state)
{
	static const struct {
		const char *when, *then, *name;
		bool want;
	} rows[] = {
		{ "dkim = fail", "accept", "dkim", true },
		{ "dkim.domain = a.test", "accept", "dkim", true },
		{ "dkim2 = fail", "accept", "dkim", false },
		{ "dkim = fail", "accept", "dkim2", false },
		{ "spf != pass", "accept", "spf", true },
		{ "spf != pass", "accept", "dmarc", false },
		{ "client = 192.0.2.1", "refuse 550 5.7.1 {dmarc.reason}", "dmarc", true },
		{ "client = 192.0.2.1", "refuse 550 5.7.1 no {client}", "dmarc", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct rule_text rule = { .name = "r", .when = &rows[i].when, .when_count = 1, .then = rows[i].then };
		const char *error;
		size_t at;
		struct policy *p = policy_new(&arena, "p", &rule, 1, NULL, &error, &at);

		assert_non_null(p);
		if (policy_looks_at(p, slice_str(rows[i].name)) != rows[i].want)
			fail_msg("%s, %s: %s", rows[i].when, rows[i].then, rows[i].name);
	}
	assert_false(policy_looks_at(NULL, S("dkim")));
}

static void a_long_list_of_addresses_needs_no_more_memory(void **state)
{
	char when[80000] = "rcpt in";
	struct facts f = { .known = { false } };
	const char *error = NULL;
	struct policy *p;
	size_t n = strlen(when);

	(void)state;
	for (int i = 0; i < 900; i++)
		n += (size_t)snprintf(when + n, sizeof(when) - n, " \"%050d\"@b.test", i);
	p = one_rule(when, "refuse", &error);
	assert_non_null(p);
	facts_set(&f, FACT_RCPT, S("<\"00000000000000000000000000000000000000000000000899\"@B.test>"));
	assert_int_equal(policy_rule(p, &f, false).kind, RULING_REFUSE);
	facts_set(&f, FACT_RCPT, S("<\"00000000000000000000000000000000000000000000000900\"@B.test>"));
	assert_int_equal(policy_rule(p, &f, false).kind, RULING_ACCEPT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(networks),
		cmocka_unit_test_setup_teardown(conditions, setup, teardown),
		cmocka_unit_test_setup_teardown(mistakes, setup, teardown),
		cmocka_unit_test_setup_teardown(a_mistake_names_its_rule, setup, teardown),
		cmocka_unit_test_setup_teardown(rules_run_in_order_and_as_early_as_they_can, setup, teardown),
		cmocka_unit_test_setup_teardown(at_the_end_there_is_a_ruling, setup, teardown),
		cmocka_unit_test_setup_teardown(an_unknown_fact_fails_its_condition_even_negated, setup, teardown),
		cmocka_unit_test_setup_teardown(reply_text, setup, teardown),
		cmocka_unit_test_setup_teardown(wants_tells_what_may_still_be_asked, setup, teardown),
		cmocka_unit_test_setup_teardown(the_built_in_rules, setup, teardown),
		cmocka_unit_test_setup_teardown(the_built_in_rules_without_dmarc, setup, teardown),
		cmocka_unit_test_setup_teardown(what_a_policy_looks_at, setup, teardown),
		cmocka_unit_test_setup_teardown(a_long_list_of_addresses_needs_no_more_memory, setup, teardown),
	};

	return RUN_TESTS(tests);
}
