/* Verifying what was sealed: by field, envelope, time, key and draft level. */
#include "test.h"

#include "auth/dkim2/chain.h"
#include "auth/dkim2/combine.h"
#include "base/limits.h"
#include "dkim2_world.h"

static void what_is_cut_or_added_is_noticed(void **state)
{
	static const struct {
		const char *name, *top, *end;
		enum dkim2_state state;
		const char *reason;
	} rows[] = {
		{ "nothing", "", "", DKIM2_PASS, "" },
		{ "empty lines at the end", "", "\r\n\r\n", DKIM2_PASS, "" },
		{ "unsigned fields", "X-A: 1\r\nReceived-SPF: pass\r\nARC-Seal: i=1\r\nDKIM-Signature: v=1\r\n", "", DKIM2_PASS, "" },
		{ "a line", "", "x\r\n", DKIM2_FAIL, "Message Instance m=1 body hash sha256 mismatch" },
		{ "a blank line of blanks", "", " \r\n", DKIM2_FAIL, "Message Instance m=1 body hash sha256 mismatch" },
		{ "Reply-To", "Reply-To: x@evil.example\r\n", "", DKIM2_FAIL, "Message Instance m=1 header hash sha256 mismatch" },
		{ "ARC-Foo is signed", "ARC-Foo: 1\r\n", "", DKIM2_FAIL, "Message Instance m=1 header hash sha256 mismatch" },
		{ "Auto-Submitted is signed", "Auto-Submitted: no\r\n", "", DKIM2_FAIL, "Message Instance m=1 header hash sha256 mismatch" },
		{ "a second From", "From: ceo@elsewhere.example\r\n", "", DKIM2_FAIL, "Message Instance m=1 header hash sha256 mismatch" },
		{ "a line without colon", "junk\r\n", "", DKIM2_PERMERROR, "header holds a line that is no field" },
		{ "a junk seal", "DKIM2-Signature: junk\r\n", "", DKIM2_PERMERROR, "DKIM2-Signature i=? syntax error" },
		{ "a seal without i=", "DKIM2-Signature: m=1;\r\n", "", DKIM2_PERMERROR, "DKIM2-Signature i=? tag=i missing" },
		{ "the seal again", "DKIM2-Signature: i=1; m=1; t=0; d=a.example; nd=b.example; s=a:b:AAAA;\r\n", "", DKIM2_PERMERROR, "DKIM2-Signature i=1 syntax error" },
		{ "a gap", "DKIM2-Signature: i=3; m=1; t=0; d=a.example; nd=b.example; s=a:b:AAAA;\r\n", "", DKIM2_PERMERROR, "DKIM2-Signature i=2 missing" },
		{ "a leading zero", "DKIM2-Signature: i=02; m=1; t=0; d=a.example; nd=b.example; s=a:b:AAAA;\r\n", "", DKIM2_PERMERROR, "DKIM2-Signature i=? syntax error" },
		{ "zero", "DKIM2-Signature: i=0; m=1; t=0; d=a.example; nd=b.example; s=a:b:AAAA;\r\n", "", DKIM2_PERMERROR, "DKIM2-Signature i=? syntax error" },
		{ "an instance nobody signed", "Message-Instance: m=2; h=x:AAAA:AAAA;\r\n", "", DKIM2_PERMERROR, "Message-Instance m=2 is not signed" },
		{ "an instance that is not there", "DKIM2-Signature: i=2; m=2; t=0; d=a.example; nd=b.example; s=a:b:AAAA;\r\n", "", DKIM2_PERMERROR, "Message-Instance m=2 missing" },
		{ "25 digits", "DKIM2-Signature: i=2; m=1; t=9999999999999999999999999; d=a.example; nd=b.example; s=a:b:AAAA;\r\n", "", DKIM2_PERMERROR, "DKIM2-Signature i=2 syntax error" },
		{ "mf= and nd=", "DKIM2-Signature: i=2; m=1; t=1; d=a.example; nd=b.example; mf=PD4=; s=a:b:AAAA;\r\n", "", DKIM2_PERMERROR, "DKIM2-Signature i=2 tag=mf was unexpected" },
		{ "rt= and nd=", "DKIM2-Signature: i=2; m=1; t=1; d=a.example; nd=b.example; rt=PD4=; s=a:b:AAAA;\r\n", "", DKIM2_PERMERROR, "DKIM2-Signature i=2 tag=rt was unexpected" },
		{ "mf= without rt=", "DKIM2-Signature: i=2; m=1; t=1; d=a.example; mf=PD4=; s=a:b:AAAA;\r\n", "", DKIM2_PERMERROR, "DKIM2-Signature i=2 tag=rt missing" },
		{ "neither", "DKIM2-Signature: i=2; m=1; t=1; d=a.example; s=a:b:AAAA;\r\n", "", DKIM2_PERMERROR, "DKIM2-Signature i=2 tag=mf missing" },
		{ "no s=", "DKIM2-Signature: i=2; m=1; t=1; d=a.example; mf=PD4=;\r\n", "", DKIM2_PERMERROR, "DKIM2-Signature i=2 tag=s missing" },
		{ "<> in rt=", "DKIM2-Signature: i=2; m=1; t=1; d=a.example; mf=PD4=; rt=PGFAYi5jPg==,PD4=; s=a:b:AAAA;\r\n", "", DKIM2_PERMERROR, "DKIM2-Signature i=2 syntax error" },
		{ "quote in d=", "DKIM2-Signature: i=2; m=1; t=1; d=legit.example'a.evil.example; nd=b.example; s=a:b:AAAA;\r\n", "", DKIM2_PERMERROR, "DKIM2-Signature i=2 syntax error" },
		{ "selector with a slash", "DKIM2-Signature: i=2; m=1; t=1; d=a.example; nd=b.example; s=a/b:b:AAAA;\r\n", "", DKIM2_PERMERROR, "DKIM2-Signature i=2 syntax error" },
		{ "selector twice, other case", "DKIM2-Signature: i=2; m=1; t=1; d=a.example; nd=b.example; s=a:b:AAAA,A:c:AAAA;\r\n", "", DKIM2_PERMERROR, "DKIM2-Signature i=2 has a duplicate selector" },
		{ "nine sets", "DKIM2-Signature: i=2; m=1; t=1; d=a.example; nd=b.example; s=a:x:AAAA,b:x:AAAA,c:x:AAAA,d:x:AAAA,e:x:AAAA,f:x:AAAA,g:x:AAAA,h:x:AAAA,i:x:AAAA;\r\n", "", DKIM2_PERMERROR, "DKIM2-Signature i=2 has more selectors than allowed" },
		{ "parameters behind a path", "DKIM2-Signature: i=2; m=1; t=1; d=a.example; mf=PHNAYS50ZXN0PiBOT1RJRlk9TkVWRVI=; rt=PGFAYi5jPg==; s=a:b:AAAA;\r\n", "", DKIM2_PERMERROR, "DKIM2-Signature i=2 syntax error" },
		{ "pad bits set", "DKIM2-Signature: i=2; m=1; t=1; d=a.example; mf=PHNAYS50ZXN0Ph==; rt=PGFAYi5jPg==; s=a:b:AAAA;\r\n", "", DKIM2_PERMERROR, "DKIM2-Signature i=2 syntax error" },
		{ "hash of 31 octets", "Message-Instance: m=2; h=sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==:AAAA;\r\n", "", DKIM2_PERMERROR, "Message-Instance m=2 syntax error" },
		{ "hash name twice", "Message-Instance: m=2; h=x:AAAA:AAAA,X:AAAA:AAAA;\r\n", "", DKIM2_PERMERROR, "Message-Instance m=2 has a duplicate hash algorithm" },
		{ "no h=", "Message-Instance: m=2; r=e30=;\r\n", "", DKIM2_PERMERROR, "Message-Instance m=2 tag=h missing" },
		{ "no m=", "Message-Instance: h=x:AAAA:AAAA;\r\n", "", DKIM2_PERMERROR, "Message-Instance m=? tag=m missing" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct slice rcpt;
		struct dkim2_seal_conf conf = alice(&rcpt);
		struct slice message = join(slice_str(rows[i].top), seal(slice_str(lunch), NULL, &conf), slice_str(rows[i].end));
		const struct dkim2_verdict *v = arrive(message, &conf);

		if (v->state != rows[i].state || !slice_eq(v->reason, slice_str(rows[i].reason)))
			fail_msg("%s: %s \"%.*s\"", rows[i].name, dkim2_state_name(v->state), SLICE_FMT(v->reason));
	}
}

/*
 * Chains in which every hash and signature is right and one rule is broken; and their twins in which none is.
 * alice@example.com -> lists.example.org -> elsewhere.example -> ...
 */
#define MF_ALICE "mf=PGFsaWNlQGV4YW1wbGUuY29tPg=="
#define RT_LIST "rt=PGxpc3RAbGlzdHMuZXhhbXBsZS5vcmc+"
#define T "t=1795255200"
static void chains_with_one_rule_broken(void **state)
{
	static const struct {
		const char *name, *from;
		struct {
			const char *tags, *selector;
		} hops[3];
		enum dkim2_state state;
		const char *reason;
	} rows[] = {
		{ "right", "alice@example.com", { { "m=1; " T "; d=example.com; " MF_ALICE "; " RT_LIST, "s1" },
		  { "m=1; " T "; d=lists.example.org; mf=PGJAbGlzdHMuZXhhbXBsZS5vcmc+; rt=PGJAZWxzZXdoZXJlLmV4YW1wbGU+", "l1" } }, DKIM2_PASS, "" },
		{ "sender below the recipient's domain", "alice@example.com", { { "m=1; " T "; d=example.com; " MF_ALICE "; " RT_LIST, "s1" },
		  { "m=1; " T "; d=lists.example.org; mf=PGJAeC5saXN0cy5leGFtcGxlLm9yZz4=; rt=PGJAZWxzZXdoZXJlLmV4YW1wbGU+", "l1" } }, DKIM2_PASS, "" },
		{ "custody gap", "alice@example.com", { { "m=1; " T "; d=example.com; " MF_ALICE "; " RT_LIST, "s1" },
		  { "m=1; " T "; d=elsewhere.example; mf=PGJAZWxzZXdoZXJlLmV4YW1wbGU+; rt=PGJAZWxzZXdoZXJlLmV4YW1wbGU+", "e1" } }, DKIM2_FAIL,
		  "DKIM2-Signature i=2 MAIL FROM does not match RCPT TO of i=1" },
		{ "custody gap, null sender", "alice@example.com", { { "m=1; " T "; d=example.com; " MF_ALICE "; " RT_LIST, "s1" },
		  { "m=1; " T "; d=elsewhere.example; mf=PD4=; rt=PGJAZWxzZXdoZXJlLmV4YW1wbGU+", "e1" } }, DKIM2_FAIL,
		  "DKIM2-Signature i=2 d= does not match RCPT TO of i=1" },
		{ "null sender by the recipient's domain", "alice@example.com", { { "m=1; " T "; d=example.com; " MF_ALICE "; " RT_LIST, "s1" },
		  { "m=1; " T "; d=lists.example.org; mf=PD4=; rt=PGJAZWxzZXdoZXJlLmV4YW1wbGU+", "l1" } }, DKIM2_PASS, "" },
		{ "nd= hop by a third domain", "alice@example.com", { { "m=1; " T "; d=example.com; " MF_ALICE "; " RT_LIST, "s1" },
		  { "m=1; " T "; d=elsewhere.example; nd=lists.example.org", "e1" },
		  { "m=1; " T "; d=lists.example.org; mf=PGJAbGlzdHMuZXhhbXBsZS5vcmc+; rt=PGJAZWxzZXdoZXJlLmV4YW1wbGU+", "l1" } }, DKIM2_FAIL,
		  "DKIM2-Signature i=2 d= does not match RCPT TO of i=1" },
		{ "nd= names another", "alice@example.com", { { "m=1; " T "; d=example.com; " MF_ALICE "; " RT_LIST, "s1" },
		  { "m=1; " T "; d=lists.example.org; nd=other.example", "l1" },
		  { "m=1; " T "; d=elsewhere.example; mf=PGJAZWxzZXdoZXJlLmV4YW1wbGU+; rt=PGJAZWxzZXdoZXJlLmV4YW1wbGU+", "e1" } }, DKIM2_FAIL,
		  "DKIM2-Signature i=3 MAIL nd= does not match" },
		{ "nd= is no relaxed match", "alice@example.com", { { "m=1; " T "; d=example.com; " MF_ALICE "; " RT_LIST, "s1" },
		  { "m=1; " T "; d=lists.example.org; nd=x.elsewhere.example", "l1" },
		  { "m=1; " T "; d=elsewhere.example; mf=PGJAZWxzZXdoZXJlLmV4YW1wbGU+; rt=PGJAZWxzZXdoZXJlLmV4YW1wbGU+", "e1" } }, DKIM2_FAIL,
		  "DKIM2-Signature i=3 MAIL nd= does not match" },
		{ "nd= in capitals", "alice@example.com", { { "m=1; " T "; d=example.com; " MF_ALICE "; " RT_LIST, "s1" },
		  { "m=1; " T "; d=lists.example.org; nd=ELSEWHERE.example", "l1" },
		  { "m=1; " T "; d=elsewhere.example; mf=PGJAZWxzZXdoZXJlLmV4YW1wbGU+; rt=PGJAZWxzZXdoZXJlLmV4YW1wbGU+", "e1" } }, DKIM2_PASS, "" },
		{ "mf= is not of d=", "alice@example.com", { { "m=1; " T "; d=example.com; mf=PGJAZWxzZXdoZXJlLmV4YW1wbGU+; " RT_LIST, "s1" } }, DKIM2_FAIL,
		  "DKIM2-Signature i=1 MAIL FROM and d= do not match" },
		{ "From of a later hop", "x@lists.example.org", { { "m=1; " T "; d=example.com; " MF_ALICE "; " RT_LIST, "s1" },
		  { "m=1; " T "; d=lists.example.org; mf=PGJAbGlzdHMuZXhhbXBsZS5vcmc+; rt=PGJAZWxzZXdoZXJlLmV4YW1wbGU+", "l1" } }, DKIM2_FAIL,
		  "From header field is not Authentic for d=example.com" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct slice message = forge_instance(arena_printf(&arena, "From: %s\r\nSubject: x\r\n\r\nbody\r\n", rows[i].from), 1);
		const struct dkim2_verdict *v;
		unsigned hop;

		for (hop = 0; hop < 3 && rows[i].hops[hop].tags; hop++)
			message = forge_seal(message, hop + 1, rows[i].hops[hop].tags, rows[i].hops[hop].selector);
		v = vector_verify(&arena, message, NULL, NOW, 9, zone);
		if (v->state != rows[i].state || !slice_eq(v->reason, slice_str(rows[i].reason)))
			fail_msg("%s: %s \"%.*s\"", rows[i].name, dkim2_state_name(v->state), SLICE_FMT(v->reason));
		assert_int_equal(v->hop_count, hop);
	}
}

/* Instances without recipe: their hashes decide (spec 20.26), and their numbers never fall along the hops. */
static void instances_without_recipe(void **state)
{
	struct slice one = forge_instance(S("From: a@example.com\r\n\r\nbody\r\n"), 1), two, other;
	const char *first = "m=1; " T "; d=example.com; mf=PGFAZXhhbXBsZS5jb20+; rt=PGFAZXhhbXBsZS5jb20+";
	const char *second = "m=2; " T "; d=example.com; mf=PGFAZXhhbXBsZS5jb20+; rt=PGFAZXhhbXBsZS5jb20+";
	const struct dkim2_verdict *v;

	(void)state;
	two = forge_instance(one, 2);
	v = vector_verify(&arena, forge_seal(forge_seal(two, 1, first, "s1"), 2, second, "s1"), NULL, NOW, 9, zone);
	want_verdict(v, DKIM2_PASS, "");
	assert_int_equal(v->instances[0].state, DKIM2_PASS);
	v = vector_verify(&arena, forge_seal(two, 1, second, "s1"), NULL, NOW, 9, zone);
	want_verdict(v, DKIM2_PASS, "");
	other = join(slice_str("Subject: new\r\n"), one, SLICE_NONE);
	v = vector_verify(&arena, forge_seal(forge_seal(forge_instance(other, 2), 1, first, "s1"), 2, second, "s1"), NULL, NOW, 9, zone);
	want_verdict(v, DKIM2_FAIL, "Message Instance m=1 header hash sha256 mismatch");
	assert_int_equal(v->instances[1].state, DKIM2_PASS);
	assert_int_equal(v->blamed, 1);
	v = vector_verify(&arena, forge_seal(forge_instance(other, 2), 1, second, "s1"), NULL, NOW, 9, zone);
	want_verdict(v, DKIM2_FAIL, "Message Instance m=1 header hash sha256 mismatch");
	assert_int_equal(v->blamed, 1); /* it signed m=2, and brought m=1 all the same */
	v = vector_verify(&arena, forge_seal(forge_seal(forge_seal(two, 1, second, "s1"), 2, first, "s1"), 3, second, "s1"), NULL, NOW, 9, zone);
	want_verdict(v, DKIM2_PERMERROR, "DKIM2-Signature i=2 syntax error");
}

/* Of two findings that weigh the same the one told is the one looked for first (spec 10.2): a time, of any hop. */
static void times_come_before_custody(void **state)
{
	struct slice message = forge_instance(S("From: a@example.com\r\n\r\nbody\r\n"), 1);

	(void)state;
	/* <a@b.co> is nobody of example.com */
	message = forge_seal(message, 1, "m=1; " T "; d=example.com; mf=PGFAYi5jbz4=; rt=PGFAZXhhbXBsZS5jb20+", "s1");
	want_verdict(vector_verify(&arena, message, NULL, NOW, 9, zone), DKIM2_FAIL, "DKIM2-Signature i=1 MAIL FROM and d= do not match");
	message = forge_seal(message, 2, "m=1; t=1; d=example.com; mf=PGFAZXhhbXBsZS5jb20+; rt=PGFAZXhhbXBsZS5jb20+", "s1");
	want_verdict(vector_verify(&arena, message, NULL, NOW, 9, zone), DKIM2_FAIL, "DKIM2-Signature i=2 signature expired");
}

/* ---- envelope, time, level ---- */

static void envelope_rows(void **state)
{
	static const struct {
		const char *name, *mail_from, *rcpts[3], *reason;
	} rows[] = {
		{ "as sealed", "<alice@example.com>", { "<r1@lists.example.org>", "<r2@lists.example.org>" }, "" },
		{ "one of two", "<alice@example.com>", { "<r2@lists.example.org>" }, "" },
		{ "domain in capitals", "<alice@EXAMPLE.com>", { "<r1@LISTS.example.ORG>" }, "" },
		{ "local part in capitals", "<alice@example.com>", { "<R1@lists.example.org>" }, "DKIM2-Signature i=1 RCPT TO <R1@lists.example.org> did not match" },
		{ "another one too", "<alice@example.com>", { "<r1@lists.example.org>", "<r2@lists.example.org>", "<r3@lists.example.org>" }, "DKIM2-Signature i=1 RCPT TO <r3@lists.example.org> did not match" },
		{ "subdomain", "<alice@example.com>", { "<r1@x.lists.example.org>" }, "DKIM2-Signature i=1 RCPT TO <r1@x.lists.example.org> did not match" },
		{ "another sender", "<mallory@example.com>", { "<r1@lists.example.org>" }, "DKIM2-Signature i=1 MAIL FROM <mallory@example.com> did not match" },
		{ "null sender", "<>", { "<r1@lists.example.org>" }, "DKIM2-Signature i=1 MAIL FROM <> did not match" },
		{ "needless quotes", "<\"alice\"@example.com>", { "<r1@lists.example.org>" }, "" },
		{ "route", "<@a.example:alice@example.com>", { "<r1@lists.example.org>" }, "" },
	};
	struct slice sealed[2] = { S("<r1@lists.example.org>"), S("<r2@lists.example.org>") }, rcpt, message;
	struct dkim2_seal_conf conf = alice(&rcpt);

	(void)state;
	conf.rcpt_to = sealed;
	conf.rcpt_count = 2;
	message = seal(slice_str(lunch), NULL, &conf);
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct slice rcpts[3];
		struct dkim2_envelope e = { slice_str(rows[i].mail_from), rcpts, 0 };
		const struct dkim2_verdict *v;
		struct header h;
		struct slice body;
		struct fault f = { 0 };

		for (size_t k = 0; k < 3 && rows[i].rcpts[k]; k++)
			rcpts[e.rcpt_count++] = slice_str(rows[i].rcpts[k]);
		for (unsigned draft = 6; draft <= 9; draft++) {
			v = vector_verify(&arena, message, &e, NOW, draft, zone);
			if (!slice_eq(v->reason, slice_str(rows[i].reason)) ||
			    v->state != (!rows[i].reason[0] ? DKIM2_PASS : draft < 8 ? DKIM2_PERMERROR : DKIM2_FAIL) ||
			    v->blamed != (rows[i].reason[0] ? 1 : 0))
				fail_msg("%s at %u: %.*s", rows[i].name, draft, SLICE_FMT(v->reason));
		}
		/* enforcement says the same of the copy about to leave */
		split(message, &h, &body);
		assert_int_equal(dkim2_enforce(&arena, &h, &e, &f), !rows[i].reason[0]);
		if (rows[i].reason[0]) {
			assert_int_equal(f.code, FAULT_CUSTODY_GAP);
			assert_string_equal(f.text, rows[i].reason);
		}
	}
	{
		const struct dkim2_verdict *v = vector_verify(&arena, message, NULL, NOW, 9, zone);

		want_verdict(v, DKIM2_PASS, "");
		assert_int_equal(v->level, DKIM2_NO_ENVELOPE);
		assert_false(dkim2_fully_verified(v));
	}
}

static void time_rows(void **state)
{
	static const struct {
		const char *name;
		int64_t now, future_s;
		const char *reason;
	} rows[] = {
		{ "14 days", NOW + 1209600, 300, "" },
		{ "14 days and a second", NOW + 1209601, 300, "DKIM2-Signature i=1 signature expired" },
		{ "300 s ahead", NOW - 300, 300, "" },
		{ "301 s ahead", NOW - 301, 300, "DKIM2-Signature i=1 signature timestamp is in the future" },
		{ "no tolerance", NOW - 1, 0, "DKIM2-Signature i=1 signature timestamp is in the future" },
		{ "checks off", -1, 300, "" },
	};
	struct slice rcpt, body, message;
	struct dkim2_seal_conf conf = alice(&rcpt);
	struct dkim2_envelope e = { conf.mail_from, &rcpt, 1 };

	(void)state;
	message = seal(slice_str(lunch), NULL, &conf);
	for (size_t i = 0; i < ROWS(rows); i++) {
		for (unsigned draft = 6; draft <= 9; draft++) {
			struct header h;
			struct dkim2_verify *v;
			const struct dkim2_verdict *got;
			const struct slice *names;
			bool fault = rows[i].reason[0] != '\0';

			split(message, &h, &body);
			v = dkim2_verify_new(&arena, &h, &e, (struct dkim2_clock){ rows[i].now, rows[i].future_s }, draft);
			/* a permerror needs no key any more */
			assert_int_equal(dkim2_verify_asks(v, &names), fault && draft < 8 ? 0 : 1);
			if (fault) {
				got = dkim2_verify_verdict(v);
				assert_int_equal(got->state, draft < 8 ? DKIM2_PERMERROR : DKIM2_FAIL);
				if (!slice_eq(got->reason, slice_str(rows[i].reason)))
					fail_msg("%s: %.*s", rows[i].name, SLICE_FMT(got->reason));
			}
			dkim2_verify_release(v);
		}
	}
}

/* ---- keys ---- */

static void keys_are_asked_for_once_and_within_bounds(void **state)
{
	static const struct {
		const char *name, *sets;
		size_t asks;
		const char *reason; /* when there is nothing to ask */
	} rows[] = {
		{ "one", "a:rsa-sha256:AAAA", 1, "" },
		{ "two", "a:rsa-sha256:AAAA,b:ed25519-sha256:AAAA", 2, "" },
		{ "an alternative", "a:rsa-sha256:AAAA|b:rsa-sha256:AAAA", 2, "" },
		{ "only unknown", "a:future:AAAA", 0, "DKIM2-Signature i=1 a unknown algorithm" },
		{ "unknown in the group", "a:rsa-sha256:AAAA,b:future:AAAA", 0, "DKIM2-Signature i=1 b unknown algorithm" },
		{ "unknown as alternative", "a:rsa-sha256:AAAA|b:future:AAAA", 1, "" },
		{ "a dead group is not asked for", "a:rsa-sha256:AAAA,b:future:AAAA|c:rsa-sha256:AAAA", 1, "" },
		{ "algorithm in capitals", "a:RSA-SHA256:AAAA", 0, "DKIM2-Signature i=1 a unknown algorithm" },
		{ "four", "a:rsa-sha256:AAAA,b:rsa-sha256:AAAA,c:rsa-sha256:AAAA,d:rsa-sha256:AAAA", 4, "" },
		{ "five", "a:rsa-sha256:AAAA,b:rsa-sha256:AAAA,c:rsa-sha256:AAAA,d:rsa-sha256:AAAA,e:rsa-sha256:AAAA", 0, "DKIM2-Signature i=1 has more selectors than allowed" },
		{ "eight unknown ones and nobody is asked", "a:x:AAAA,b:x:AAAA,c:x:AAAA,d:x:AAAA,e:x:AAAA,f:x:AAAA,g:x:AAAA,h:x:AAAA", 0, "DKIM2-Signature i=1 a unknown algorithm" },
	};
	const struct slice *names;
	struct header h;
	struct fault f = { 0 };

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct slice block = arena_printf(&arena, "DKIM2-Signature: i=1; m=1; t=%d; d=Example.com; mf=PGFsaWNlQGV4YW1wbGUuY29tPg==; "
		    "rt=PGxpc3RAbGlzdHMuZXhhbXBsZS5vcmc+; s=%s;\r\n%s\r\nFrom: a@example.com\r\n", NOW, rows[i].sets, golden_instance);
		struct dkim2_verify *v;
		size_t n;

		assert_true(header_parse(&arena, block, 99, &h, &f));
		v = dkim2_verify_new(&arena, &h, NULL, (struct dkim2_clock){ NOW, 300 }, 9);
		n = dkim2_verify_asks(v, &names);
		if (n != rows[i].asks)
			fail_msg("%s: %zu", rows[i].name, n);
		if (n)
			assert_true(slice_ends(names[0], S("._domainkey.example.com")));
		else
			want_verdict(dkim2_verify_verdict(v), DKIM2_PERMERROR, rows[i].reason);
		assert_int_equal(dkim2_verify_digests(v), n ? 1U << DIGEST_SHA256 : 0);
		dkim2_verify_release(v);
	}
}

/* A name longer than DNS has cannot exist: nobody is asked, and it is no temporary error (RFC 1035 2.3.4). */
static void names_longer_than_dns_has_are_absent(void **state)
{
	static const size_t octets[] = { 253, 254 };

	(void)state;
	for (size_t i = 0; i < ROWS(octets); i++) {
		size_t n = octets[i] - strlen("._domainkey.example.com");
		char *selector = arena_take(&arena, n + 1);
		const struct slice *names;
		struct dkim2_verify *v;
		struct header h;
		struct fault f = { 0 };

		for (size_t k = 0; k < n; k++)
			selector[k] = k % 60 == 10 ? '.' : 'a';
		assert_true(header_parse(&arena, arena_printf(&arena, "DKIM2-Signature: i=1; m=1; t=%d; d=example.com; mf=PD4=; "
		    "rt=PGxpc3RAbGlzdHMuZXhhbXBsZS5vcmc+; s=%s:rsa-sha256:AAAA;\r\n%s\r\nFrom: a@example.com\r\n", NOW, selector, golden_instance), 99, &h, &f));
		v = dkim2_verify_new(&arena, &h, NULL, (struct dkim2_clock){ NOW, 300 }, 9);
		assert_int_equal(dkim2_verify_asks(v, &names), octets[i] != 254);
		if (octets[i] == 254)
			assert_true(slice_ends(dkim2_verify_verdict(v)->reason, S("does not exist")));
		dkim2_verify_release(v);
	}
}

/* 50 hops with one key are one question; one hop more is a permerror that asks nobody. */
static void long_chains_stay_within_bounds(void **state)
{
	(void)state;
	for (size_t hops = LIMIT_HOPS; hops <= LIMIT_HOPS + 1; hops++) {
		char *text = arena_take(&arena, 300 * hops + 400);
		const struct slice *names;
		struct dkim2_verify *v;
		struct header h;
		struct fault f = { 0 };
		size_t n = 0;

		for (size_t i = 1; i <= hops; i++)
			n += (size_t)sprintf(text + n, "DKIM2-Signature: i=%zu; m=1; t=%d; d=example.com; mf=PGFsaWNlQGV4YW1wbGUuY29tPg==; "
			    "rt=PGFsaWNlQGV4YW1wbGUuY29tPg==; s=S%d:rsa-sha256:AAAA;\r\n", i, NOW, (int)(i % 2));
		n += (size_t)sprintf(text + n, "%s\r\nFrom: a@example.com\r\n", golden_instance);
		assert_true(header_parse(&arena, slice_of(text, n), 999, &h, &f));
		v = dkim2_verify_new(&arena, &h, NULL, (struct dkim2_clock){ NOW, 300 }, 9);
		assert_int_equal(dkim2_verify_asks(v, &names), hops <= LIMIT_HOPS ? 2 : 0);
		if (hops > LIMIT_HOPS)
			want_verdict(dkim2_verify_verdict(v), DKIM2_PERMERROR, "DKIM2-Signature i=51 syntax error");
		else
			WANT_SLICE(names[0], S("s1._domainkey.example.com"));
		dkim2_verify_release(v);
	}
}

static enum dkim2_state state_letter(char c)
{
	return c == 'p' ? DKIM2_PASS : c == 't' ? DKIM2_TEMPERROR : c == 'f' ? DKIM2_FAIL : DKIM2_PERMERROR;
}

/* Spec 2.4, 20.2, 20.3: members of a group, then the groups. */
static void groups_combine(void **state)
{
	static const struct {
		const char *name, *text; /* of states, ',' and '|' */
		char want;
	} rows[] = {
		{ "one", "p", 'p' },
		{ "all of a group", "p,p", 'p' },
		{ "one bad of a group", "p,f", 'f' },
		{ "worst of a group", "f,t,e", 'e' },
		{ "fail over temperror in a group", "t,f", 'f' },
		{ "one group of two", "f|p", 'p' },
		{ "one group of two, first", "p|e", 'p' },
		{ "half a group is no group", "p,f|f,p", 'f' },
		{ "a retry may pass", "f|t|e", 't' },
		{ "fail before permerror", "e|f", 'f' },
		{ "only permerror", "e|e", 'e' },
		{ "a group hides its temperror", "t,e|f", 'f' },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct combine c = { 0 };
		struct reason reason;
		unsigned group = 0;

		for (const char *p = rows[i].text; *p; p++) {
			if (*p == '|')
				group++;
			else if (*p != ',')
				combine_add(&c, group, state_letter(*p), (struct reason){ .words = *p == 'p' ? SLICE_NONE : slice_of(p, 1) });
		}
		if (combine_end(&c, &reason) != state_letter(rows[i].want))
			fail_msg("%s", rows[i].name);
		assert_int_equal(reason.words.n, rows[i].want == 'p' ? 0 : 1);
	}
}

/* ---- what differs by level: one row of the suite each ---- */

static void levels_differ_where_the_drafts_do(void **state)
{
	static const struct {
		const char *file;
		enum dkim2_state at[4]; /* 06 07 08 09 */
	} rows[] = {
		{ "env-mf", { DKIM2_PERMERROR, DKIM2_PERMERROR, DKIM2_FAIL, DKIM2_FAIL } },
		{ "now-future", { DKIM2_PERMERROR, DKIM2_PERMERROR, DKIM2_FAIL, DKIM2_FAIL } },
		{ "hop-custody-near", { DKIM2_PERMERROR, DKIM2_PERMERROR, DKIM2_FAIL, DKIM2_FAIL } },
		{ "hop-mf-parent", { DKIM2_PERMERROR, DKIM2_PERMERROR, DKIM2_FAIL, DKIM2_FAIL } },
		{ "hop-nd-mismatch", { DKIM2_PERMERROR, DKIM2_PERMERROR, DKIM2_FAIL, DKIM2_FAIL } },
		{ "from-none", { DKIM2_PASS, DKIM2_FAIL, DKIM2_FAIL, DKIM2_FAIL } },
		{ "raw-auto-submitted-added", { DKIM2_PASS, DKIM2_PASS, DKIM2_FAIL, DKIM2_FAIL } },
		{ "hop-good-or-bad", { DKIM2_PERMERROR, DKIM2_PERMERROR, DKIM2_PASS, DKIM2_PASS } },
		{ "hop-unknown-alg", { DKIM2_FAIL, DKIM2_FAIL, DKIM2_PERMERROR, DKIM2_PERMERROR } },
		{ "hop-bad-and-good", { DKIM2_FAIL, DKIM2_FAIL, DKIM2_FAIL, DKIM2_FAIL } },
	};
	char folder[500], path[600];
	json_t *index, *names;

	(void)state;
	assert_true(vector_folder("dkim2-generated09", folder, sizeof(folder)));
	index = vector_json(folder, "INDEX.json");
	names = vector_json(folder, "dns.json");
	for (size_t i = 0; i < ROWS(rows); i++) {
		for (size_t k = 0; k < json_array_size(index); k++) {
			json_t *row = json_array_get(index, k), *rcpt = json_object_get(row, "rcpt_to");
			struct slice rcpts[64], message;
			struct dkim2_envelope e = { vector_text(json_object_get(row, "mail_from")), rcpts, json_array_size(rcpt) };

			if (strcmp(json_string_value(json_object_get(row, "name")), rows[i].file) != 0)
				continue;
			for (size_t r = 0; r < e.rcpt_count; r++)
				rcpts[r] = vector_text(json_array_get(rcpt, r));
			snprintf(path, sizeof(path), "%s/messages/%s.eml", folder, rows[i].file);
			message = vector_file(&arena, path);
			for (unsigned draft = 6; draft <= 9; draft++) {
				const struct dkim2_verdict *v = vector_verify(&arena, message, &e,
				    json_integer_value(json_object_get(row, "now")), draft, names);

				if (v->state != rows[i].at[draft - 6])
					fail_msg("%s at %u: %s %.*s", rows[i].file, draft, dkim2_state_name(v->state), SLICE_FMT(v->reason));
			}
		}
	}
	json_decref(names);
	json_decref(index);
}

static void unsigned_field_rows(void **state)
{
	static const struct {
		const char *name;
		bool at_07, at_08;
	} rows[] = {
		{ "Received", true, true },
		{ "rEceived-sPf", true, true },
		{ "Receive", false, false },
		{ "X-", true, true },
		{ "X", false, false },
		{ "X400-Trace", true, true },
		{ "X400-Foo", false, false },
		{ "ARC-Seal", true, true },
		{ "ARC-Foo", false, false },
		{ "Auto-Submitted", true, false },
		{ "VBR-Info", true, false },
		{ "Bcc", false, false },
		{ "DomainKey-Signature", false, false },
		{ "Authentication-Results-Original", false, false },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		for (unsigned draft = 6; draft <= 9; draft++)
			if (draft_unsigned(draft_of(draft), slice_str(rows[i].name)) != (draft < 8 ? rows[i].at_07 : rows[i].at_08))
				fail_msg("%s at %u", rows[i].name, draft);
}

/* A peer's octets in a reason: bounded, one line, no half of a UTF-8 sequence. */
static void reasons_are_bounded_and_printable(void **state)
{
	char value[400];
	struct slice text;

	(void)state;
	memset(value, 'a', sizeof(value));
	memcpy(value + LIMIT_REASON - 1, "\xc3\xbc", 2);
	text = draft_reason(&arena, TEXT_SEAL_MAIL_FROM, 3, 0, slice_of(value, sizeof(value)), SLICE_NONE).words;
	assert_int_equal(text.n, strlen("DKIM2-Signature i=3 MAIL FROM  did not match") + LIMIT_REASON - 1);
	WANT_SLICE(draft_reason(&arena, TEXT_SIGNATURE_MIXED, 1, 0, S("a\r\nb"), S("c\x7f")).words,
	    S("DKIM2-Signature i=1 a??b signature passed, c? signature failed"));
}

/* Whoever adds a text says what it is about, or the log would not tell of it. */
static void every_text_is_about_something(void **state)
{
	(void)state;
	for (int text = 0; text < DRAFT_TEXTS; text++)
		if (draft_kind((enum draft_text)text) == DKIM2_ABOUT_NOTHING)
			fail_msg("text %d", text);
}

#define TEST(f) cmocka_unit_test_setup(f, fresh_arena)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_text_is_about_something),
		TEST(what_is_cut_or_added_is_noticed),
		TEST(chains_with_one_rule_broken),
		TEST(instances_without_recipe),
		TEST(times_come_before_custody),
		TEST(envelope_rows),
		TEST(time_rows),
		TEST(keys_are_asked_for_once_and_within_bounds),
		TEST(names_longer_than_dns_has_are_absent),
		TEST(long_chains_stay_within_bounds),
		TEST(groups_combine),
		TEST(levels_differ_where_the_drafts_do),
		TEST(unsigned_field_rows),
		TEST(reasons_are_bounded_and_printable),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make_world, end_world);
}
