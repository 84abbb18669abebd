/* What a DMARC failure comes to where a chain explains it, and when an answer is missing. */
#include "arena.h"

#include "auth/outcome.h"

static const char *const trusted[] = { "trusted.test" };

static struct arc_set set_of(const char *d, const char *aar)
{
	return (struct arc_set){ .i = 1, .d = slice_str(d), .d_normal = slice_str(d), .aar = slice_str(aar) };
}

#define PASS_A "mx.trusted.test; dmarc=pass header.from=a.test"

static void rows_of_arc(void **state)
{
	static const struct {
		const char *what;
		enum arc_state arc;
		const char *d0, *aar0, *d1, *aar1; /* d1 NULL: one set */
		enum dmarc_state dmarc;
		bool trusted, vouches, temporary;
		enum dmarc_policy disposition;
		bool several;
	} rows[] = {
		{ "a trusted sealer vouches", ARC_PASS, "trusted.test", PASS_A, NULL, NULL, DMARC_FAIL, true, true, false, DMARC_POLICY_NONE, false },
		{ "below a trusted domain", ARC_PASS, "mx.trusted.test", PASS_A, NULL, NULL, DMARC_FAIL, true, true, false, DMARC_POLICY_NONE, false },
		{ "another domain with the same end", ARC_PASS, "nottrusted.test", PASS_A, NULL, NULL, DMARC_FAIL, false, false, false,
		    DMARC_POLICY_REJECT, false },
		{ "it says fail", ARC_PASS, "trusted.test", "mx; dmarc=fail header.from=a.test", NULL, NULL, DMARC_FAIL, true, false, false,
		    DMARC_POLICY_REJECT, false },
		{ "it speaks of somebody else", ARC_PASS, "trusted.test", "mx; dmarc=pass header.from=b.test", NULL, NULL, DMARC_FAIL, true, false,
		    false, DMARC_POLICY_REJECT, false },
		{ "it names no author", ARC_PASS, "trusted.test", "mx; dmarc=pass", NULL, NULL, DMARC_FAIL, true, false, false, DMARC_POLICY_REJECT, false },
		{ "what cannot be read says nothing", ARC_PASS, "trusted.test", "mx dmarc=pass header.from=a.test", NULL, NULL, DMARC_FAIL, true,
		    false, false, DMARC_POLICY_REJECT, false },
		{ "as one large provider writes it", ARC_PASS, "trusted.test",
		    "mx.trusted.test 1; spf=pass (sender ip is 192.0.2.1) smtp.rcpttodomain=b.test smtp.mailfrom=a.test; dmarc=pass (p=reject sp=none "
		    "pct=100) action=none header.from=a.test; dkim=pass (signature was verified) header.d=a.test; arc=none", NULL, NULL, DMARC_FAIL, true,
		    true, false, DMARC_POLICY_NONE, false },
		{ "and as another one does", ARC_PASS, "trusted.test",
		    "mx.trusted.test; dkim=pass header.i=@a.test header.s=s1 header.b=Ab/d+E==; spf=pass (domain of s@a.test designates 192.0.2.1 as permitted "
		    "sender) smtp.mailfrom=s@a.test; dmarc=pass (p=REJECT sp=REJECT dis=NONE) header.from=a.test", NULL, NULL, DMARC_FAIL, true, true, false,
		    DMARC_POLICY_NONE, false },
		{ "a quoted string says nothing", ARC_PASS, "trusted.test", "mx; spf=none reason=\"x; dmarc=pass header.from=a.test\"", NULL, NULL,
		    DMARC_FAIL, true, false, false, DMARC_POLICY_REJECT, false },
		{ "a comment says nothing", ARC_PASS, "trusted.test", "mx; spf=none (dmarc=pass header.from=a.test)", NULL, NULL, DMARC_FAIL, true,
		    false, false, DMARC_POLICY_REJECT, false },
		{ "a chain that fails", ARC_FAIL, "trusted.test", PASS_A, NULL, NULL, DMARC_FAIL, false, false, false, DMARC_POLICY_REJECT, false },
		{ "below a trusted set", ARC_PASS, "trusted.test", PASS_A, "trusted.test", "mx; dmarc=fail header.from=a.test", DMARC_FAIL, true, true,
		    false, DMARC_POLICY_NONE, false },
		{ "a stranger's set under a trusted one", ARC_PASS, "evil.test", PASS_A, "trusted.test", "mx; dmarc=fail header.from=a.test",
		    DMARC_FAIL, true, false, false, DMARC_POLICY_REJECT, false },
		{ "a trusted set under a stranger's", ARC_PASS, "trusted.test", PASS_A, "evil.test", "mx; dmarc=fail header.from=a.test", DMARC_FAIL,
		    false, false, false, DMARC_POLICY_REJECT, false },
		{ "a chain that cannot be told yet", ARC_TEMPERROR, "trusted.test", PASS_A, NULL, NULL, DMARC_FAIL, false, false, true,
		    DMARC_POLICY_NONE, false },
		{ "nor would it matter", ARC_TEMPERROR, "evil.test", PASS_A, NULL, NULL, DMARC_FAIL, false, false, false, DMARC_POLICY_REJECT, false },
		{ "for one author of several", ARC_PASS, "trusted.test", PASS_A, NULL, NULL, DMARC_FAIL, true, false, false, DMARC_POLICY_REJECT, true },
		{ "DMARC passes", ARC_FAIL, "evil.test", PASS_A, NULL, NULL, DMARC_PASS, false, false, false, DMARC_POLICY_NONE, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct arc_set sets[2] = { set_of(rows[i].d0, rows[i].aar0) };
		struct arc_verdict arc = { .state = rows[i].arc, .sets = sets, .n = 1 };
		struct dmarc_verdict dmarc = { .state = rows[i].dmarc, .author = S("a.test"), .several = rows[i].several,
			.domain = S("a.test"), .policy = DMARC_POLICY_REJECT, .disposition = rows[i].dmarc == DMARC_PASS ? DMARC_POLICY_NONE : DMARC_POLICY_REJECT };
		struct findings f = { .arc = &arc, .dmarc = &dmarc };
		struct outcome o;

		if (rows[i].d1)
			sets[arc.n++] = set_of(rows[i].d1, rows[i].aar1);
		o = outcome_make(&arena, &f, trusted, 1);
		if (o.arc_trusted != rows[i].trusted || o.arc_vouches != rows[i].vouches || o.temporary != rows[i].temporary ||
		    o.disposition != rows[i].disposition || (o.override == OVERRIDE_ARC) != rows[i].vouches)
			fail_msg("%s: trusted %d vouches %d temporary %d disposition %d override %d", rows[i].what, o.arc_trusted, o.arc_vouches,
			    o.temporary, o.disposition, o.override);
	}
}

static void rows_of_answers_that_are_missing(void **state)
{
	static const struct {
		const char *what;
		enum dmarc_state dmarc;
		const char *domain;
		enum dmarc_policy asks;
		enum dkim2_state dkim2;
		enum dkim2_level level;
		bool temporary;
		enum dmarc_policy disposition;
		enum outcome_override override;
	} rows[] = {
		{ "the policy itself", DMARC_TEMPERROR, "", DMARC_POLICY_NONE, DKIM2_NONE, DKIM2_FULL, true, DMARC_POLICY_NONE, OVERRIDE_NONE },
		{ "a key, and the policy is reject", DMARC_TEMPERROR, "a.test", DMARC_POLICY_REJECT, DKIM2_NONE, DKIM2_FULL, true, DMARC_POLICY_NONE,
		    OVERRIDE_NONE },
		{ "a key, and the policy is none", DMARC_TEMPERROR, "a.test", DMARC_POLICY_NONE, DKIM2_NONE, DKIM2_FULL, false, DMARC_POLICY_NONE,
		    OVERRIDE_NONE },
		{ "a key, and the policy is quarantine", DMARC_TEMPERROR, "a.test", DMARC_POLICY_QUARANTINE, DKIM2_NONE, DKIM2_FULL, false,
		    DMARC_POLICY_NONE, OVERRIDE_NONE },
		{ "a chain that passes decides", DMARC_TEMPERROR, "", DMARC_POLICY_NONE, DKIM2_PASS, DKIM2_FULL, false, DMARC_POLICY_NONE,
		    OVERRIDE_DKIM2 },
		{ "a chain that passes, DMARC fails", DMARC_FAIL, "a.test", DMARC_POLICY_REJECT, DKIM2_PASS, DKIM2_FULL, false, DMARC_POLICY_NONE,
		    OVERRIDE_DKIM2 },
		{ "a provisional pass is not enough", DMARC_FAIL, "a.test", DMARC_POLICY_REJECT, DKIM2_PASS, DKIM2_PROVISIONAL, false,
		    DMARC_POLICY_REJECT, OVERRIDE_NONE },
		{ "the chain's key", DMARC_FAIL, "a.test", DMARC_POLICY_REJECT, DKIM2_TEMPERROR, DKIM2_FULL, true, DMARC_POLICY_NONE, OVERRIDE_NONE },
		{ "the chain's key, quarantine", DMARC_FAIL, "a.test", DMARC_POLICY_QUARANTINE, DKIM2_TEMPERROR, DKIM2_FULL, false,
		    DMARC_POLICY_QUARANTINE, OVERRIDE_NONE },
		{ "nothing is missing", DMARC_FAIL, "a.test", DMARC_POLICY_REJECT, DKIM2_FAIL, DKIM2_FULL, false, DMARC_POLICY_REJECT, OVERRIDE_NONE },
		{ "no record", DMARC_NONE, "", DMARC_POLICY_NONE, DKIM2_TEMPERROR, DKIM2_FULL, false, DMARC_POLICY_NONE, OVERRIDE_NONE },
		{ "no author", DMARC_PERMERROR, "", DMARC_POLICY_NONE, DKIM2_NONE, DKIM2_FULL, false, DMARC_POLICY_NONE, OVERRIDE_NONE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct dkim2_verdict dkim2 = { .state = rows[i].dkim2, .level = rows[i].level };
		struct dmarc_verdict dmarc = { .state = rows[i].dmarc, .author = S("a.test"), .domain = slice_str(rows[i].domain),
			.policy = rows[i].asks, .disposition = rows[i].asks };
		struct findings f = { .dkim2 = &dkim2, .dmarc = &dmarc };
		struct outcome o = outcome_make(&arena, &f, NULL, 0);

		if (o.temporary != rows[i].temporary || o.disposition != rows[i].disposition || o.override != rows[i].override)
			fail_msg("%s: temporary %d disposition %d override %d", rows[i].what, o.temporary, o.disposition, o.override);
	}
}

static void nothing_was_looked_for(void **state)
{
	struct findings f = { .mail_from = SLICE_NONE };
	struct outcome o = outcome_make(&arena, &f, trusted, 1);

	(void)state;
	assert_false(o.temporary);
	assert_int_equal(o.disposition, DMARC_POLICY_NONE);
	assert_string_equal(outcome_override_name(o.override), "none");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh_arena, drop_arena)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(rows_of_arc),
		TEST(rows_of_answers_that_are_missing),
		TEST(nothing_was_looked_for),
	};

	return RUN_TESTS(tests);
}
