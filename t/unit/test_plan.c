/* What a sealing listener does to a copy: the table of DESIGN.md section 4, row by row; and the Received field. */
#include "test.h"

#include "relay/plan.h"
#include "relay/trace.h"

static struct conf_key keys[] = {
	{ .domain = "a.test", .selector = "r", .active = true, .type = KEY_RSA },
	{ .domain = "mail.a.test", .selector = "e", .active = true, .type = KEY_ED25519 },
	{ .domain = "old.test", .selector = "o", .active = false, .type = KEY_RSA },
	{ .domain = "b.test", .selector = "b", .active = true, .type = KEY_ED25519 },
};
static const struct conf conf = { .keys = keys, .key_count = 4 };

enum chain { NONE, FULL, FULL_ND, PROVISIONAL, FAILED, UNKNOWN };

static void plan_rows(void **state)
{
	static const struct {
		const char *name;
		enum chain chain;
		const char *from, *from2, *sender; /* domains; sender NULL: null sender */
		bool stranger, always, refuse_unsealed, twice, any; /* twice: in two From fields */
		enum plan_kind kind;
		const char *d;
		bool enforce;
		short code;
		const char *rt, *bridge;           /* domain of the last rt=, default b.test; of the nd= hop */
		bool changed, munged, later;       /* content; From too; the second hop accounts for it */
		bool arranged, may_pass, bound, several, exploded;
	} rows[] = {
		{ "ours and ours originates", NONE, "a.test", NULL, "a.test", .kind = PLAN_ORIGINATE, .d = "a.test", .enforce = true },
		{ "a null sender does too", NONE, "a.test", NULL, NULL, .kind = PLAN_ORIGINATE, .d = "a.test", .enforce = true },
		{ "the longest domain that fits both", NONE, "x.mail.a.test", NULL, "mail.a.test", .kind = PLAN_ORIGINATE, .d = "mail.a.test", .enforce = true },
		{ "a subdomain sender is under the parent's key", NONE, "a.test", NULL, "bounce.a.test", .kind = PLAN_ORIGINATE, .d = "a.test", .enforce = true },
		{ "a foreign sender is not sealed", NONE, "a.test", NULL, "c.test", .kind = PLAN_NOTHING },
		{ "or refused", NONE, "a.test", NULL, "c.test", .refuse_unsealed = true, .kind = PLAN_REFUSE, .code = 550 },
		{ "two domains of ours, no key for both: never unsealed", NONE, "a.test", NULL, "b.test", .kind = PLAN_REFUSE, .code = 550 },
		{ "nor under a sender's subdomain", NONE, "a.test", NULL, "x.b.test", .kind = PLAN_REFUSE, .code = 550 },
		{ "a foreign From is left alone", NONE, "c.test", NULL, "a.test", .kind = PLAN_NOTHING },
		{ "a foreign From is left alone, refuse or not", NONE, "c.test", NULL, "c.test", .refuse_unsealed = true, .kind = PLAN_NOTHING },
		{ "one foreign address in From makes it foreign", NONE, "a.test", "c.test", "a.test", .kind = PLAN_NOTHING },
		{ "no From that can be read is nobody's word", NONE, NULL, NULL, "a.test", .kind = PLAN_REFUSE, .code = 550 },
		{ "nor are two of them", NONE, "a.test", "a.test", "a.test", .twice = true, .kind = PLAN_REFUSE, .code = 550 },
		{ "also from elsewhere", NONE, "c.test", "c.test", "c.test", .twice = true, .kind = PLAN_REFUSE, .code = 550 },
		{ "no From is not ours, where any is taken", NONE, NULL, NULL, "a.test", .any = true, .kind = PLAN_NOTHING },
		{ "two of ours are, where any is taken", NONE, "a.test", "a.test", "a.test", .twice = true, .any = true, .kind = PLAN_ORIGINATE, .d = "a.test", .enforce = true },
		{ "two authors in one From are read", NONE, "a.test", "a.test", "a.test", .kind = PLAN_ORIGINATE, .d = "a.test", .enforce = true },
		{ "a chain speaks for itself", FULL, NULL, NULL, "c.test", .kind = PLAN_NOTHING, .enforce = true },
		{ "a retired key makes no domain ours", NONE, "old.test", NULL, "old.test", .kind = PLAN_NOTHING },
		{ "a shared suffix is no label", NONE, "nota.test", NULL, "nota.test", .kind = PLAN_NOTHING },
		{ "a stranger does not get our seal", NONE, "a.test", NULL, "a.test", .stranger = true, .kind = PLAN_REFUSE, .code = 550 },
		{ "a full chain unchanged gets nothing", FULL, "c.test", NULL, "c.test", .kind = PLAN_NOTHING, .enforce = true },
		{ "unless always", FULL, "c.test", NULL, "b.test", .always = true, .kind = PLAN_EXTEND, .d = "b.test", .enforce = true },
		{ "always without a key is refused", FULL, "c.test", NULL, "c.test", .always = true, .kind = PLAN_REFUSE, .code = 550 },
		{ "nd= of the hop before names the key", FULL_ND, "c.test", NULL, "mail.a.test", .always = true, .kind = PLAN_EXTEND, .d = "a.test", .enforce = true },
		{ "and where that does not fit the sender, it makes an nd= hop itself", FULL_ND, "c.test", NULL, "b.test", .always = true, .kind = PLAN_EXTEND, .d = "b.test", .bridge = "a.test", .enforce = true },
		{ "of a null sender it signs alone", FULL_ND, "c.test", NULL, NULL, .always = true, .kind = PLAN_EXTEND, .d = "a.test", .enforce = true },
		{ "changed content extends", FULL, "c.test", NULL, "b.test", .changed = true, .kind = PLAN_EXTEND, .d = "b.test", .enforce = true },
		{ "but not for a stranger", FULL, "c.test", NULL, "b.test", .changed = true, .stranger = true, .kind = PLAN_REFUSE, .code = 550 },
		{ "a sender below the recipient's domain follows", FULL, "c.test", NULL, "x.b.test", .changed = true, .kind = PLAN_EXTEND, .d = "b.test", .enforce = true },
		{ "one above it does not: bridged by the key that fits", FULL, "c.test", NULL, "a.test", .rt = "x.mail.a.test", .changed = true, .kind = PLAN_EXTEND, .d = "a.test", .bridge = "mail.a.test", .enforce = true },
		{ "or by the same key, which is above both", FULL, "c.test", NULL, "a.test", .rt = "x.a.test", .changed = true, .kind = PLAN_EXTEND, .d = "a.test", .bridge = "a.test", .enforce = true },
		{ "another sender domain: nd= first", FULL, "c.test", NULL, "b.test", .rt = "a.test", .changed = true, .kind = PLAN_EXTEND, .d = "b.test", .bridge = "mail.a.test", .enforce = true },
		{ "no key for the recipient's domain: refused", FULL, "c.test", NULL, "b.test", .rt = "c.test", .changed = true, .kind = PLAN_REFUSE, .code = 550 },
		{ "an old key is none", FULL, "c.test", NULL, "b.test", .rt = "old.test", .changed = true, .kind = PLAN_REFUSE, .code = 550 },
		{ "a null sender is under a key for the recipient", FULL, "c.test", NULL, NULL, .rt = "c.mail.a.test", .changed = true, .kind = PLAN_EXTEND, .d = "mail.a.test", .enforce = true },
		{ "and nothing joins it to another", FULL, "c.test", NULL, NULL, .rt = "c.test", .changed = true, .kind = PLAN_REFUSE, .code = 550 },
		{ "a new From must fit the signer too", FULL, "a.test", NULL, "x.mail.a.test", .rt = "mail.a.test", .changed = true, .munged = true, .kind = PLAN_EXTEND, .d = "a.test", .enforce = true },
		{ "or nobody signs", FULL, "c.test", NULL, "b.test", .changed = true, .munged = true, .kind = PLAN_REFUSE, .code = 550 },
		{ "of two hops the first, if it can", FULL, "a.test", NULL, "b.test", .rt = "a.test", .changed = true, .munged = true, .kind = PLAN_EXTEND, .d = "b.test", .bridge = "a.test", .enforce = true },
		{ "else the second accounts for From", FULL, "b.test", NULL, "b.test", .rt = "a.test", .changed = true, .munged = true, .later = true, .kind = PLAN_EXTEND, .d = "b.test", .bridge = "mail.a.test", .enforce = true },
		{ "several recipients are told", NONE, "a.test", NULL, "a.test", .several = true, .exploded = true, .kind = PLAN_ORIGINATE, .d = "a.test", .enforce = true },
		{ "of a chain too", FULL, "c.test", NULL, "b.test", .always = true, .several = true, .exploded = true, .kind = PLAN_EXTEND, .d = "b.test", .enforce = true },
		{ "a broken chain is extended by arrangement", FAILED, "c.test", NULL, "b.test", .arranged = true, .may_pass = true, .kind = PLAN_EXTEND, .d = "b.test", .enforce = true },
		{ "that is not silent for now", UNKNOWN, "c.test", NULL, "b.test", .arranged = true, .refuse_unsealed = true, .kind = PLAN_EXTEND, .d = "b.test", .enforce = true },
		{ "without a key it goes the way of others", FAILED, "c.test", NULL, "c.test", .arranged = true, .kind = PLAN_NOTHING },
		{ "refused or not", FAILED, "c.test", NULL, "c.test", .arranged = true, .refuse_unsealed = true, .kind = PLAN_REFUSE, .code = 550 },
		{ "a whole chain needs no arrangement", FULL, "c.test", NULL, "c.test", .arranged = true, .kind = PLAN_NOTHING, .enforce = true },
		{ "a chain whose earlier body cannot be had is not extended", PROVISIONAL, "c.test", NULL, "b.test", .always = true, .kind = PLAN_NOTHING },
		{ "a broken chain passes unsealed", FAILED, "c.test", NULL, "a.test", .kind = PLAN_NOTHING },
		{ "also from us by another's sender", FAILED, "a.test", NULL, "c.test", .kind = PLAN_NOTHING },
		{ "but with From and sender ours only bound to its envelope", FAILED, "a.test", NULL, "a.test", .kind = PLAN_NOTHING, .enforce = true },
		{ "a null sender likewise", FAILED, "a.test", NULL, NULL, .kind = PLAN_NOTHING, .enforce = true },
		{ "and one that cannot be checked now", UNKNOWN, "a.test", NULL, "mail.a.test", .kind = PLAN_NOTHING, .enforce = true },
		{ "nor does it speak for a From that cannot be read", FAILED, NULL, NULL, "a.test", .kind = PLAN_REFUSE, .code = 550 },
		{ "or for two of them", FAILED, "a.test", "c.test", "c.test", .twice = true, .kind = PLAN_REFUSE, .code = 550 },
		{ "unless any is taken", FAILED, NULL, NULL, "a.test", .any = true, .kind = PLAN_NOTHING },
		{ "by arrangement what is ours passes bound too", FAILED, "a.test", NULL, "b.test", .arranged = true, .may_pass = true, .bound = true, .kind = PLAN_EXTEND, .d = "b.test", .enforce = true },
		{ "or is refused", FAILED, "a.test", NULL, "a.test", .refuse_unsealed = true, .kind = PLAN_REFUSE, .code = 550 },
		{ "a chain that cannot be checked now waits", UNKNOWN, "a.test", NULL, "a.test", .refuse_unsealed = true, .kind = PLAN_REFUSE, .code = 451 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct slice rt = slice_str(rows[i].rt ? rows[i].rt : "b.test");
		bool nd = rows[i].chain == FULL_ND;
		struct dkim2_hop hop = { .i = 1, .m = 1, .nd = nd ? S("A.test") : SLICE_NONE, .nd_normal = nd ? S("a.test") : SLICE_NONE,
			.rt_domains = &rt, .rt_count = !nd };
		struct dkim2_verdict v = { .hops = &hop, .hop_count = rows[i].chain != NONE, .instance_count = rows[i].chain != NONE,
			.level = rows[i].chain == PROVISIONAL ? DKIM2_PROVISIONAL : DKIM2_FULL,
			.state = rows[i].chain == NONE ? DKIM2_NONE : rows[i].chain == FAILED ? DKIM2_FAIL : rows[i].chain == UNKNOWN ? DKIM2_TEMPERROR : DKIM2_PASS };
		struct conf_listener l = { .seal = rows[i].always ? SEAL_ALWAYS : SEAL_NEEDED, .unsealed = rows[i].refuse_unsealed ? UNSEALED_REFUSE : UNSEALED_PASS,
			.from = rows[i].any ? FROM_ANY : FROM_READABLE };
		struct slice from[2] = { slice_str(rows[i].from), slice_str(rows[i].from2) };
		struct plan_facts f = { .conf = &conf, .listener = &l, .came = &v, .mail_from_domain = slice_str(rows[i].sender),
			.mail_from_null = !rows[i].sender, .from = from, .from_count = rows[i].from2 ? 2 : rows[i].from ? 1 : 0,
			.from_single = rows[i].from && !rows[i].twice, .known_client = !rows[i].stranger, .arranged = rows[i].arranged,
			.changed = rows[i].changed, .from_changed = rows[i].munged, .wanted = rows[i].several ? 2 : 1 };
		struct plan p = plan_make(&f);

		if (p.content_later != rows[i].later || p.arranged != (rows[i].arranged && p.kind == PLAN_EXTEND) || p.may_pass != rows[i].may_pass || (p.may_pass && p.bound != rows[i].bound) ||
		    p.exploded != rows[i].exploded || !p.bridge != !rows[i].bridge || (p.bridge && strcmp(p.bridge, rows[i].bridge) != 0))
			fail_msg("%s: bridge %s, later %d, arranged %d, may pass %d, exploded %d", rows[i].name, p.bridge ? p.bridge : "-",
			    p.content_later, p.arranged, p.may_pass, p.exploded);
		if (p.kind != rows[i].kind || p.enforce != rows[i].enforce || (rows[i].d && (!p.d || strcmp(p.d, rows[i].d) != 0)) ||
		    p.fault.basic != rows[i].code)
			fail_msg("%s: kind %d, d %s, enforce %d, code %d", rows[i].name, (int)p.kind, p.d ? p.d : "-", p.enforce, p.fault.basic);
	}
}

static void received_names_one_recipient_and_escapes_helo(void **state)
{
	struct trace t = { .helo = S("ev(il) \"x\";\r\nX: y"), .client = "192.0.2.1", .hostname = "mx.c.test", .with = "ESMTP",
		.id = S("1a2b"), .rcpt = S("<r@c.test>"), .unix_s = 1795255200 };
	struct arena a;
	char path[990];

	(void)state;
	arena_init(&a, 1 << 16);
	WANT_SLICE(trace_received(&a, &t), S("Received: from ev?il???x????X:?y ([192.0.2.1])\r\n"
	    "\tby mx.c.test (hopseal) with ESMTP id 1a2b\r\n\tfor <r@c.test>;\r\n\tSat, 21 Nov 2026 10:00:00 +0000\r\n"));
	t = (struct trace){ .client = "2001:db8::1", .client_v6 = true, .hostname = "mx.c.test", .with = "SMTP", .id = S("1"), .unix_s = 0 };
	WANT_SLICE(trace_received(&a, &t), S("Received: from unknown ([IPv6:2001:db8::1])\r\n"
	    "\tby mx.c.test (hopseal) with SMTP id 1;\r\n\tThu, 01 Jan 1970 00:00:00 +0000\r\n"));
	/* a recipient whose line would pass 998 octets is left out */
	memset(path, 'x', sizeof(path));
	t.rcpt = slice_of((const unsigned char *)path, sizeof(path));
	WANT_SLICE(trace_received(&a, &t), S("Received: from unknown ([IPv6:2001:db8::1])\r\n"
	    "\tby mx.c.test (hopseal) with SMTP id 1;\r\n\tThu, 01 Jan 1970 00:00:00 +0000\r\n"));
	arena_clear(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plan_rows),
		cmocka_unit_test(received_names_one_recipient_and_escapes_helo),
	};

	return RUN_TESTS(tests);
}
