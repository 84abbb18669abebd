/* ARC: what is a chain, what it says, and sets of ours. */
#include "test.h"

#include "arc_world.h"
#include "base/buf.h"

static const char *const domains[] = { "a.test", "b.test", "c.test", "d.test", "e.test", "evil.test" };

static int set_up(void **state)
{
	fresh_arena(state);
	zone_holds(domains, ROWS(domains));
	return 0;
}

static void want_chain(const char *what, const struct arc_verdict *v, enum arc_state state, enum arc_kind about)
{
	if (v->state != state || v->about != about || (v->reason.n > 0) != (state > ARC_PASS))
		fail_msg("%s: wanted %s about %d, got %s about %d: %.*s", what, arc_state_name(state), (int)about, arc_state_name(v->state),
		    (int)v->about, SLICE_FMT(v->reason));
}

/* ---- structure: said without one question ---- */

struct set_row {
	const char *name;
	struct forged sets[3]; /* from the first on; i NULL and cv NULL: no more */
	enum arc_kind about;
};

static struct slice forged_chain(const struct forged *sets)
{
	struct slice message = slice_str(post);

	for (size_t k = 0; k < 3 && (sets[k].i || sets[k].cv); k++)
		message = forge(message, &sets[k]);
	return message;
}

static void no_chain_is_told_without_a_question(void **state)
{
	static const struct set_row rows[] = {
		{ "sets 1 and 3", { { .i = "1", .cv = "none" }, { .i = "3", .cv = "pass" } }, ARC_ABOUT_STRUCTURE },
		{ "two sets 1", { { .i = "1", .cv = "none" }, { .i = "1", .cv = "none", .d = "b.test" } }, ARC_ABOUT_STRUCTURE },
		{ "the same number in two spellings", { { .i = "1", .cv = "none" }, { .i = "01", .cv = "none" } }, ARC_ABOUT_STRUCTURE },
		{ "set 0", { { .i = "0", .cv = "none" } }, ARC_ABOUT_STRUCTURE },
		{ "set 00", { { .i = "00", .cv = "none" } }, ARC_ABOUT_STRUCTURE },
		{ "set 51", { { .i = "51", .cv = "pass" } }, ARC_ABOUT_STRUCTURE },
		{ "set 1 and set 51", { { .i = "1", .cv = "none" }, { .i = "51", .cv = "pass" } }, ARC_ABOUT_STRUCTURE },
		{ "a number that is 1 in 32 bits", { { .i = "4294967297", .cv = "none" } }, ARC_ABOUT_STRUCTURE },
		{ "three digits", { { .i = "001", .cv = "none" } }, ARC_ABOUT_STRUCTURE },
		{ "a sign", { { .i = "+1", .cv = "none" } }, ARC_ABOUT_STRUCTURE },
		{ "no number", { { .i = "one", .cv = "none" } }, ARC_ABOUT_STRUCTURE },
		{ "no i=", { { .cv = "none" } }, ARC_ABOUT_STRUCTURE },
		{ "only set 2", { { .i = "2", .cv = "pass" } }, ARC_ABOUT_STRUCTURE },
		{ "no seal", { { .i = "1", .cv = "none", .drop = "ARC-Seal" } }, ARC_ABOUT_STRUCTURE },
		{ "no message signature", { { .i = "1", .cv = "none", .drop = "ARC-Message-Signature" } }, ARC_ABOUT_STRUCTURE },
		{ "no results", { { .i = "1", .cv = "none", .drop = "ARC-Authentication-Results" } }, ARC_ABOUT_STRUCTURE },
		{ "the second without its seal", { { .i = "1", .cv = "none" }, { .i = "2", .cv = "pass", .drop = "ARC-Seal" } }, ARC_ABOUT_STRUCTURE },
		{ "results of another set", { { .i = "1", .cv = "none", .aar = "i=2; mx.a.test; spf=none" } }, ARC_ABOUT_STRUCTURE },
		{ "results with i= behind", { { .i = "1", .cv = "none", .aar = "mx.a.test; i=1; spf=none" } }, ARC_ABOUT_STRUCTURE },
		{ "results with I=", { { .i = "1", .cv = "none", .aar = "I=1; mx.a.test; spf=none" } }, ARC_ABOUT_STRUCTURE },
		{ "results with a comment that has no end", { { .i = "1", .cv = "none", .aar = "(i=1; mx.a.test; spf=none" } }, ARC_ABOUT_STRUCTURE },
		{ "i= twice", { { .i = "1", .cv = "none", .seal_tags = "i=1; " } }, ARC_ABOUT_SYNTAX },
		{ "no tag list", { { .i = "1", .cv = "none", .ams_tags = "what; " } }, ARC_ABOUT_SYNTAX },
		/* RFC 8617 5.2 steps 2 and 3.3 */
		{ "first says pass", { { .i = "1", .cv = "pass", .d = "evil.test" } }, ARC_ABOUT_CV },
		{ "first says fail", { { .i = "1", .cv = "fail" } }, ARC_ABOUT_CV },
		{ "first says Fail", { { .i = "1", .cv = "Fail" } }, ARC_ABOUT_CV },
		{ "second says none", { { .i = "1", .cv = "none" }, { .i = "2", .cv = "none" } }, ARC_ABOUT_CV },
		{ "second says fail", { { .i = "1", .cv = "none" }, { .i = "2", .cv = "fail" } }, ARC_ABOUT_CV },
		{ "a fail below a pass", { { .i = "1", .cv = "none" }, { .i = "2", .cv = "fail" }, { .i = "3", .cv = "pass" } }, ARC_ABOUT_CV },
		{ "a fail on top of a gap", { { .i = "1", .cv = "none" }, { .i = "3", .cv = "fail" } }, ARC_ABOUT_CV },
		{ "says something else", { { .i = "1", .cv = "maybe" } }, ARC_ABOUT_CV },
		{ "says nothing", { { .i = "1" } }, ARC_ABOUT_SYNTAX },
		/* RFC 8617 4.1.2, 4.1.3 */
		{ "seal with h=", { { .i = "1", .cv = "none", .seal_tags = "h=from; " } }, ARC_ABOUT_SYNTAX },
		{ "first seal with h=, under a good one",
		    { { .i = "1", .cv = "none", .seal_tags = "h=from; " }, { .i = "2", .cv = "pass" } }, ARC_ABOUT_SYNTAX },
		{ "seal with bh=", { { .i = "1", .cv = "none", .seal_tags = "bh=AAAA; " } }, ARC_ABOUT_SYNTAX },
		{ "message signature over a seal",
		    { { .i = "1", .cv = "none" }, { .i = "2", .cv = "pass", .ams_h = "From:arc-seal" } }, ARC_ABOUT_SYNTAX },
		{ "message signature over ARC-Seal, the first", { { .i = "1", .cv = "none", .ams_h = "From:ARC-Seal" } }, ARC_ABOUT_SYNTAX },
		{ "message signature without From", { { .i = "1", .cv = "none", .ams_h = "To:Subject" } }, ARC_ABOUT_SYNTAX },
		/* tags twice, and what RFC 6376 3.5 has about them */
		{ "d= twice", { { .i = "1", .cv = "none", .seal_tags = "d=evil.test; " } }, ARC_ABOUT_SYNTAX },
		{ "no canonical form", { { .i = "1", .cv = "none", .ams_c = "relaxed/none" } }, ARC_ABOUT_SYNTAX },
		{ "t= is no number", { { .i = "1", .cv = "none", .seal_tags = "t=yesterday; " } }, ARC_ABOUT_SYNTAX },
		{ "t= is too long", { { .i = "1", .cv = "none", .ams_tags = "t=1234567890123; " } }, ARC_ABOUT_SYNTAX },
		{ "x= before t=", { { .i = "1", .cv = "none", .ams_tags = "t=20; x=10; " } }, ARC_ABOUT_SYNTAX },
		{ "l= is no number", { { .i = "1", .cv = "none", .ams_tags = "l=-1; " } }, ARC_ABOUT_SYNTAX },
		{ "a key from elsewhere", { { .i = "1", .cv = "none", .ams_tags = "q=http; " } }, ARC_ABOUT_SYNTAX },
		{ "a domain that is none", { { .i = "1", .cv = "none", .d = "a..test" } }, ARC_ABOUT_SYNTAX },
		{ "a domain with a final dot", { { .i = "1", .cv = "none", .d = "a.test." } }, ARC_ABOUT_SYNTAX },
		{ "an address as domain", { { .i = "1", .cv = "none", .d = "[192.0.2.1]" } }, ARC_ABOUT_SYNTAX },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct judged j = judge_cut(forged_chain(rows[i].sets), NOW, 0);

		want_chain(rows[i].name, j.v, ARC_FAIL, rows[i].about);
		if (j.questions)
			fail_msg("%s: %zu questions", rows[i].name, j.questions);
	}
}

static void what_is_allowed_passes(void **state)
{
	static const struct {
		const char *name;
		struct forged sets[3];
	} rows[] = {
		{ "one", { { .i = "1", .cv = "none" } } },
		{ "RSA", { { .i = "1", .cv = "none", .which = RSA } } },
		{ "three of several kinds", { { .i = "1", .cv = "none" }, { .i = "2", .cv = "pass", .which = RSA, .d = "b.test" }, { .i = "3", .cv = "pass" } } },
		{ "a leading zero", { { .i = "01", .cv = "none", .aar = "i=1; mx.a.test; none" } } },
		{ "blanks and comments in the results", { { .i = "1", .cv = "none", .aar = "(first) i\r\n = 1 (of 1) ; mx.a.test; none" } } },
		{ "PASS in capitals, as ABNF has words", { { .i = "1", .cv = "None" }, { .i = "2", .cv = "PASS" } } },
		{ "domain in capitals", { { .i = "1", .cv = "none", .d = "A.Test" } } },
		{ "another domain in the message signature", { { .i = "1", .cv = "none", .ams_d = "b.test" } } },
		{ "tags nobody knows, v= among them", { { .i = "1", .cv = "none", .seal_tags = "v=9; zz=1; ", .ams_tags = "v=9; zz=1; " } } },
		{ "results in the message signature", { { .i = "1", .cv = "none" }, { .i = "2", .cv = "pass", .ams_h = "From:ARC-Authentication-Results:ARC-Message-Signature" } } },
		{ "a field that is not there", { { .i = "1", .cv = "none", .ams_h = "From:X-Not:From" } } },
		{ "l= of the whole body", { { .i = "1", .cv = "none", .ams_l = "20" } } },
		{ "time in the past", { { .i = "1", .cv = "none", .ams_tags = "t=1; x=1795255200; ", .seal_tags = "t=1; " } } },
		{ "a clock that is ahead", { { .i = "1", .cv = "none", .ams_tags = "t=1795255500; " } } },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct slice message = forged_chain(rows[i].sets);
		const struct arc_verdict *v = judge(message);

		want_chain(rows[i].name, v, ARC_PASS, ARC_ABOUT_NOTHING);
		assert_int_equal(v->n, v->instances);
		assert_int_equal(v->oldest_pass, 0);
		for (size_t k = 0; k < v->n; k++) {
			assert_int_equal(v->sets[k].i, k + 1);
			assert_int_equal(v->sets[k].ams, ARC_PASS);
			assert_int_equal(v->sets[k].seal, ARC_PASS);
		}
		for (size_t most = 1; most < 24; most++)
			want_chain(rows[i].name, judge_cut(message, NOW, most).v, ARC_PASS, ARC_ABOUT_NOTHING);
	}
}

static void what_is_signed_has_to_be_right(void **state)
{
	static const struct forged future[3] = { { .i = "1", .cv = "none", .ams_tags = "t=1795255501; " } };
	static const struct {
		const char *name;
		struct forged sets[3];
		enum arc_kind about;
	} rows[] = {
		{ "relaxed only, said to be simple", { { .i = "1", .cv = "none", .ams_c = "simple/relaxed" } }, ARC_ABOUT_SIGNATURE },
		{ "relaxed body, said to be simple", { { .i = "1", .cv = "none", .ams_c = "relaxed/simple" } }, ARC_ABOUT_BODY },
		{ "l= of nothing", { { .i = "1", .cv = "none", .ams_l = "0" } }, ARC_ABOUT_BODY },
		{ "l= of a part", { { .i = "1", .cv = "none", .ams_l = "19" } }, ARC_ABOUT_BODY },
		{ "l= of more than there is", { { .i = "1", .cv = "none", .ams_tags = "l=21; " } }, ARC_ABOUT_BODY },
		{ "l= of a part, and the hash of all", { { .i = "1", .cv = "none", .ams_tags = "l=19; " } }, ARC_ABOUT_BODY },
		{ "expired", { { .i = "1", .cv = "none", .ams_tags = "t=1; x=1795255199; " } }, ARC_ABOUT_SIGNATURE },
		{ "a domain without a key", { { .i = "1", .cv = "none", .d = "nokey.test" } }, ARC_ABOUT_KEY },
		{ "the seal's without a key", { { .i = "1", .cv = "none", .d = "nokey.test", .ams_d = "a.test" } }, ARC_ABOUT_KEY },
		{ "the first seal's", { { .i = "1", .cv = "none", .d = "nokey.test" }, { .i = "2", .cv = "pass" } }, ARC_ABOUT_KEY },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		want_chain(rows[i].name, judge(forged_chain(rows[i].sets)), ARC_FAIL, rows[i].about);
	/* and not by the clock of somebody who has none */
	want_chain("no clock", judge_cut(forged_chain(rows[6].sets), -1, 0).v, ARC_PASS, ARC_ABOUT_NOTHING);
	want_chain("from the future", judge(forged_chain(future)), ARC_PASS, ARC_ABOUT_NOTHING);
}

/* ---- what the DNS says ---- */

static void what_a_key_record_says_counts(void **state)
{
	struct slice message, ed = keyrec_text(&arena, keys[ED]), rsa = keyrec_text(&arena, keys[RSA]), p = slice_sub(ed, sizeof("v=DKIM1; k=ed25519; ") - 1, SIZE_MAX);
	const struct {
		const char *name;
		struct slice record; /* of ed._domainkey.b.test, whose seal is the first */
		enum arc_state state, seal;
	} rows[] = {
		{ "it is there", arena_printf(&arena, "[\"%.*s\"]", SLICE_FMT(ed)), ARC_PASS, ARC_PASS },
		{ "for tests", arena_printf(&arena, "[\"%.*s; t=y\"]", SLICE_FMT(ed)), ARC_PASS, ARC_PASS },
		{ "not there", S("[]"), ARC_FAIL, ARC_PERMERROR },
		{ "server does not answer", S("{\"error\": \"timeout\"}"), ARC_TEMPERROR, ARC_TEMPERROR },
		{ "server fails", S("{\"error\": \"servfail\"}"), ARC_TEMPERROR, ARC_TEMPERROR },
		{ "two records", arena_printf(&arena, "[\"%.*s\", \"%.*s\"]", SLICE_FMT(ed), SLICE_FMT(ed)), ARC_FAIL, ARC_PERMERROR },
		{ "revoked", S("[\"v=DKIM1; k=ed25519; p=\"]"), ARC_FAIL, ARC_PERMERROR },
		{ "another type", arena_printf(&arena, "[\"%.*s\"]", SLICE_FMT(rsa)), ARC_FAIL, ARC_PERMERROR },
		{ "a type nobody knows", arena_printf(&arena, "[\"v=DKIM1; k=rot13; %.*s\"]", SLICE_FMT(p)), ARC_FAIL, ARC_PERMERROR },
		{ "not for mail", arena_printf(&arena, "[\"%.*s; s=tlsrpt\"]", SLICE_FMT(ed)), ARC_FAIL, ARC_PERMERROR },
		{ "not for SHA-256", arena_printf(&arena, "[\"%.*s; h=sha1\"]", SLICE_FMT(ed)), ARC_FAIL, ARC_PERMERROR },
		{ "no record", S("[\"hello\"]"), ARC_FAIL, ARC_PERMERROR },
		{ "somebody else's", S("[\"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\"]"), ARC_FAIL, ARC_FAIL },
	};

	(void)state;
	message = forge(slice_str(post), &(struct forged){ .i = "1", .cv = "none", .d = "b.test", .ams_d = "a.test" });
	message = forge(message, &(struct forged){ .i = "2", .cv = "pass" });
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct slice json = arena_printf(&arena, "{\"ed._domainkey.a.test\": [\"%.*s\"], \"ed._domainkey.b.test\": %.*s}", SLICE_FMT(ed),
		    SLICE_FMT(rows[i].record));
		const struct arc_verdict *v;

		answers_free(&zone);
		zone = zone_new(arena_string(&arena, json));
		v = judge(message);
		want_chain(rows[i].name, v, rows[i].state,
		    rows[i].seal == ARC_PASS ? ARC_ABOUT_NOTHING : rows[i].seal == ARC_FAIL ? ARC_ABOUT_SIGNATURE : ARC_ABOUT_KEY);
		assert_int_equal(v->sets[0].seal, rows[i].seal);
		assert_int_equal(v->sets[1].seal, ARC_PASS);
	}
}

/* What is wrong for good is said even while an answer is missing; and the verdict is the same in whatever order they come. */
static void a_missing_answer_hides_no_failure(void **state)
{
	struct slice ed = keyrec_text(&arena, keys[ED]), message;
	const struct arc_verdict *v;

	(void)state;
	message = forge(slice_str(post), &(struct forged){ .i = "1", .cv = "none", .d = "nokey.test" });
	message = forge(message, &(struct forged){ .i = "2", .cv = "pass", .d = "slow.test", .ams_d = "a.test" });
	answers_free(&zone);
	zone = zone_new(arena_string(&arena, arena_printf(&arena,
	    "{\"ed._domainkey.a.test\": [\"%.*s\"], \"ed._domainkey.slow.test\": {\"error\": \"timeout\"}}", SLICE_FMT(ed))));
	v = judge(message);
	want_chain("slow on top, absent below", v, ARC_FAIL, ARC_ABOUT_KEY);
	WANT_SLICE(v->reason, S("ARC-Seal i=1: there is no key"));
	assert_int_equal(v->sets[1].seal, ARC_TEMPERROR);
}

/* ---- what the message went through ---- */

static struct slice replaced(struct slice message, struct slice what, struct slice by)
{
	for (size_t at = 0; at + what.n <= message.n; at++)
		if (slice_eq(slice_sub(message, at, what.n), what))
			return join(slice_sub(message, 0, at), by, slice_sub(message, at + what.n, SIZE_MAX));
	fail_msg("not there");
	return SLICE_NONE;
}

static void changes_before_a_seal_show_in_oldest_pass(void **state)
{
	struct slice message;
	const struct arc_verdict *v;

	(void)state;
	message = seal(slice_str(post), "a.test", ED);
	message = seal(message, "b.test", ED);
	message = replaced(message, S("Subject: Lunch"), S("Subject: [list] Lunch"));
	/* b.test's own signature is broken by that, so nobody seals it */
	want_chain("changed", judge(message), ARC_FAIL, ARC_ABOUT_SIGNATURE);
	message = seal(slice_str(post), "a.test", ED);
	message = replaced(message, S("Subject: Lunch"), S("Subject: [list] Lunch"));
	message = forge(message, &(struct forged){ .i = "2", .cv = "pass", .d = "b.test" });
	message = seal(message, "c.test", RSA);
	v = judge(message);
	want_chain("a list changed the subject", v, ARC_PASS, ARC_ABOUT_NOTHING);
	assert_int_equal(v->oldest_pass, 2);
	assert_int_equal(v->sets[0].ams, ARC_FAIL);
	assert_int_equal(v->sets[0].seal, ARC_PASS);
	assert_int_equal(v->sets[1].ams, ARC_PASS);
	/* a message signature that nobody can read is one that fails, and no more */
	message = forge(slice_str(post), &(struct forged){ .i = "1", .cv = "none", .ams_c = "none/none" });
	message = forge(message, &(struct forged){ .i = "2", .cv = "pass" });
	v = judge(message);
	want_chain("an old one that cannot be read", v, ARC_PASS, ARC_ABOUT_NOTHING);
	assert_int_equal(v->oldest_pass, 2);
}

static void changes_after_the_newest_seal_fail(void **state)
{
	struct slice message = seal(slice_str(post), "a.test", ED);

	(void)state;
	want_chain("as it was", judge(message), ARC_PASS, ARC_ABOUT_NOTHING);
	want_chain("one line more", judge(join(message, S("x\r\n"), SLICE_NONE)), ARC_FAIL, ARC_ABOUT_BODY);
	want_chain("an empty line more", judge(join(message, S("\r\n"), SLICE_NONE)), ARC_PASS, ARC_ABOUT_NOTHING);
	want_chain("From added", judge(join(S("From: ceo@b.test\r\n"), message, SLICE_NONE)), ARC_FAIL, ARC_ABOUT_SIGNATURE);
	want_chain("Subject added", judge(join(S("Subject: Hi\r\n"), message, SLICE_NONE)), ARC_FAIL, ARC_ABOUT_SIGNATURE);
	want_chain("Reply-To added, where there was none", judge(join(S("Reply-To: ceo@b.test\r\n"), message, SLICE_NONE)), ARC_FAIL, ARC_ABOUT_SIGNATURE);
	want_chain("Received added", judge(join(S("Received: from a\r\n"), message, SLICE_NONE)), ARC_PASS, ARC_ABOUT_NOTHING);
	want_chain("results added", judge(join(S("Authentication-Results: mx; none\r\n"), message, SLICE_NONE)), ARC_PASS, ARC_ABOUT_NOTHING);
	want_chain("results of the set changed", judge(replaced(message, S("spf=pass"), S("spf=fail"))), ARC_FAIL, ARC_ABOUT_SIGNATURE);
}

static void any_octet_counts(void **state)
{
	struct slice message = seal(seal(slice_str(post), "a.test", ED), "b.test", ED);
	unsigned char *octets = malloc(message.n);
	size_t n = message.n;

	(void)state;
	memcpy(octets, message.at, n);
	want_chain("as it was", judge(slice_of(octets, n)), ARC_PASS, ARC_ABOUT_NOTHING);
	for (size_t i = 0; i < n; i++) {
		arena_clear(&arena);
		octets[i] ^= 1;
		if (judge(slice_of(octets, n))->state != ARC_FAIL)
			fail_msg("octet %zu of %zu may be changed: %.*s", i, n, (int)(n - i < 40 ? n - i : 40), (const char *)octets + i);
		octets[i] ^= 1;
	}
	free(octets);
}

/* What we say of a chain is what its sets say; who may be believed is somebody else's question (RFC 8617 9.4). */
static void sets_are_shown_as_they_are(void **state)
{
	struct slice message = forge(slice_str(post),
	    &(struct forged){ .i = "1", .cv = "none", .d = "Evil.Test", .aar = "i=1; mx.evil.test; dmarc=pass header.from=b.test" });
	const struct arc_verdict *v = judge(message);

	(void)state;
	want_chain("a stranger's", v, ARC_PASS, ARC_ABOUT_NOTHING);
	assert_int_equal(v->n, 1);
	assert_int_equal(v->instances, 1);
	WANT_SLICE(v->sets[0].d, S("Evil.Test"));
	WANT_SLICE(v->sets[0].d_normal, S("evil.test"));
	WANT_SLICE(v->sets[0].s, S("ed"));
	WANT_SLICE(v->sets[0].cv, S("none"));
	WANT_SLICE(v->sets[0].aar, S("mx.evil.test; dmarc=pass header.from=b.test"));
	/* also of what is no chain, as far as it can be read */
	message = forge(message, &(struct forged){ .i = "3", .cv = "pass", .d = "b.test" });
	v = judge(message);
	want_chain("a gap", v, ARC_FAIL, ARC_ABOUT_STRUCTURE);
	assert_int_equal(v->n, 2);
	assert_int_equal(v->instances, 3);
	assert_int_equal(v->sets[1].i, 3);
	WANT_SLICE(v->sets[1].d, S("b.test"));
	assert_int_equal(v->sets[1].ams, ARC_NONE);
	/* and the same octets mean the same to whoever they are sent again */
	v = judge(slice_str(post));
	want_chain("none", v, ARC_NONE, ARC_ABOUT_NOTHING);
	assert_int_equal(v->n, 0);
	assert_int_equal(v->instances, 0);
}

/* ---- as many as there may be ---- */

static void fifty_sets_of_a_hundred_domains(void **state)
{
	const char *names[2 * LIMIT_ARC_SETS];
	struct slice message = slice_str(post), fields, more;
	struct arc_seal_conf conf = { .d = S("a.test"), .selector = S("ed"), .type = KEY_ED25519, .authres = S("mx.a.test; none"), .now = NOW };
	struct fault f = { 0 };
	struct judged j;

	(void)state;
	for (size_t k = 0; k < ROWS(names); k++)
		names[k] = arena_string(&arena, arena_printf(&arena, "d%zu.evil.test", k));
	zone_holds(names, ROWS(names));
	for (size_t k = 0; k < LIMIT_ARC_SETS; k++)
		message = forge(message, &(struct forged){ .i = arena_string(&arena, arena_printf(&arena, "%zu", k + 1)), .cv = k ? "pass" : "none",
		                             .d = names[2 * k], .ams_d = names[2 * k + 1] });
	j = judge_cut(message, NOW, 0);
	want_chain("fifty", j.v, ARC_PASS, ARC_ABOUT_NOTHING);
	assert_int_equal(j.v->instances, LIMIT_ARC_SETS);
	assert_int_equal(j.v->oldest_pass, 0);
	/* all in one go, so that slow servers are waited for once */
	assert_int_equal(j.questions, 100);
	assert_int_equal(j.rounds, 1);
	assert_int_equal(seal_with(message, j.v, &conf, keys[ED], &fields, &f).n, 0);
	assert_int_equal(f.code, FAULT_UNSEALED);
	more = forge(message, &(struct forged){ .i = "51", .cv = "pass" });
	j = judge_cut(more, NOW, 0);
	want_chain("fifty-one", j.v, ARC_FAIL, ARC_ABOUT_STRUCTURE);
	assert_int_equal(j.questions, 0);
	/* nobody answers at all */
	answers_free(&zone);
	zone = zone_new("{}");
	want_chain("no keys", judge(message), ARC_FAIL, ARC_ABOUT_KEY);
}

static size_t hashed; /* octets, by any digest */

void __real_digest_add(struct digest *d, struct slice octets);
void __wrap_digest_add(struct digest *d, struct slice octets);

void __wrap_digest_add(struct digest *d, struct slice octets)
{
	hashed += octets.n;
	__real_digest_add(d, octets);
}

/* A seal covers all below it, and is not hashed from the start again for each. */
static void hashing_is_linear(void **state)
{
	enum { RESULTS = 4000 };
	unsigned char *filler = arena_take(&arena, RESULTS);
	struct slice message = slice_str(post);

	(void)state;
	memset(filler, 'x', RESULTS);
	for (size_t k = 0; k < LIMIT_ARC_SETS; k++) {
		struct slice aar = arena_printf(&arena, "i=%zu; mx.a.test; ", k + 1);

		message = forge(message, &(struct forged){ .i = arena_string(&arena, arena_printf(&arena, "%zu", k + 1)), .cv = k ? "pass" : "none",
		                             .aar = arena_string(&arena, join(aar, slice_of(filler, RESULTS), SLICE_NONE)) });
	}
	hashed = 0;
	want_chain("long results", judge(message), ARC_PASS, ARC_ABOUT_NOTHING);
	assert_in_range(hashed, LIMIT_ARC_SETS * RESULTS, LIMIT_ARC_SETS * RESULTS * 2);
}

/* Of a large header no more is hashed than LIMIT_ARC_HEADERS: what is left tells that it is not known. */
static void a_large_header_is_not_hashed_fifty_times(void **state)
{
	size_t n = LIMIT_ARC_HEADERS / 20;
	unsigned char *filler = arena_take(&arena, n);
	struct slice message;
	const struct arc_verdict *v;

	(void)state;
	memset(filler, 'x', n);
	message = join(S("X-Large: "), slice_of(filler, n), join(S("\r\n"), slice_str(post), SLICE_NONE));
	for (size_t k = 0; k < 24; k++)
		message = forge(message, &(struct forged){ .i = arena_string(&arena, arena_printf(&arena, "%zu", k + 1)), .cv = k ? "pass" : "none" });
	v = judge(message);
	want_chain("large", v, ARC_PASS, ARC_ABOUT_NOTHING);
	/* the newest and 19 of the others */
	assert_int_equal(v->oldest_pass, 5);
	assert_int_equal(v->sets[3].ams, ARC_NONE);
	assert_int_equal(v->sets[4].ams, ARC_PASS);
	assert_int_equal(v->sets[0].seal, ARC_PASS);
}

/* Each part of a body that somebody wants hashed costs a hash: the newest set has its own, and what is beyond the limit is not verified. */
static void body_hashes_have_a_limit(void **state)
{
	struct slice message = slice_str(post);
	const struct arc_verdict *v;

	(void)state;
	for (size_t k = 0; k < LIMIT_BODY_CUTS + 2; k++)
		message = forge(message, &(struct forged){ .i = arena_string(&arena, arena_printf(&arena, "%zu", k + 1)), .cv = k ? "pass" : "none",
		                             .ams_l = arena_string(&arena, arena_printf(&arena, "%zu", k < LIMIT_BODY_CUTS + 1 ? k + 1 : 20)) });
	v = judge(message);
	want_chain("the newest", v, ARC_PASS, ARC_ABOUT_NOTHING);
	assert_int_equal(v->oldest_pass, LIMIT_BODY_CUTS + 2);
}

/* ---- sets of ours ---- */

static void our_sets_verify(void **state)
{
	static const struct {
		const char *name;
		size_t sets, rsa; /* rsa: a bit for each set that has such a key */
	} rows[] = {
		{ "Ed25519", 1, 0 },
		{ "RSA", 1, 1 },
		{ "two", 2, 2 },
		{ "three", 3, 5 },
		{ "four", 4, 0 },
		{ "five, both kinds", 5, 10 },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct slice message = slice_str(post);
		const struct arc_verdict *v;

		for (size_t k = 0; k < rows[i].sets; k++)
			message = seal(message, domains[k], rows[i].rsa >> k & 1 ? RSA : ED);
		v = judge(message);
		want_chain(rows[i].name, v, ARC_PASS, ARC_ABOUT_NOTHING);
		assert_int_equal(v->n, rows[i].sets);
		assert_int_equal(v->oldest_pass, 0);
		for (size_t k = 0; k < v->n; k++) {
			WANT_SLICE(v->sets[k].d, slice_str(domains[k]));
			WANT_SLICE(v->sets[k].cv, k ? S("pass") : S("none"));
		}
	}
}

/* Where lines end behind the signature depends on how long it is; what is signed must not. */
static void a_signature_of_any_length_fits(void **state)
{
	static const unsigned bits[] = { 1024, 3072 };
	struct key *usual = keys[RSA];

	(void)state;
	for (size_t i = 0; i < ROWS(bits); i++) {
		keys[RSA] = key_generate(KEY_RSA, bits[i]);
		assert_non_null(keys[RSA]);
		zone_holds(domains, ROWS(domains));
		want_chain("one", judge(seal(slice_str(post), "a.test", RSA)), ARC_PASS, ARC_ABOUT_NOTHING);
		want_chain("two", judge(seal(seal(slice_str(post), "a.test", RSA), "b.test", RSA)), ARC_PASS, ARC_ABOUT_NOTHING);
		key_drop(&keys[RSA]);
	}
	keys[RSA] = usual;
}

static void our_fields_as_they_stand(void **state)
{
	struct arc_seal_conf conf = { .d = S("A.test"), .selector = S("ed"), .type = KEY_ED25519, .now = NOW,
		.authres = S("mx.a.test; dkim=pass (good signature, 2048 bit) header.d=a.test;\r\n\tspf=pass\r\nX: y  smtp.mailfrom=alice@a.test; dmarc=pass header.from=a.test") };
	struct slice fields, again, line;
	struct fault f = { 0 };
	bool more = true;

	(void)state;
	assert_true(seal_with(slice_str(post), judge(slice_str(post)), &conf, keys[ED], &fields, &f).n > 0);
	for (struct slice rest = fields; rest.n && more;) {
		more = slice_cut(&rest, '\n', &line);
		assert_true(more && line.n >= 2 && line.n <= 79);
	}
	/* Ed25519 signs the same octets alike, so each octet is known */
	WANT_SLICE(fields,
	    S("ARC-Seal: a=ed25519-sha256; b=O8NKFzeEl/zAvc64oFepRM24tJUwrkDSkwqARJpsFf28dE9O\r\n"
	      " s/6C1z1QD69ESyaiALS7pjvB4Pk6+icdmUgTAA==; cv=none; d=a.test; i=1; s=ed;\r\n"
	      " t=1795255200\r\n"
	      "ARC-Message-Signature: a=ed25519-sha256; b=pwOqANVK1OsphbHGFlDE0O4uEDCPFsVoFoT\r\n"
	      " Fd6rS9iMEI999FlcYTrai4+a7YfDUv7HPpP8l0EXXkY9ENhkuDw==;\r\n"
	      " bh=lWOBwCW7kqGemYdRb0poIPWviiDdE+gSOikKbDYV340=; c=relaxed/relaxed; d=a.test;\r\n"
	      " h=From:From:Reply-To:To:To:Cc:Subject:Subject:Date:Date:Message-ID:\r\n"
	      " Message-ID:In-Reply-To:References:MIME-Version:Content-Type:\r\n"
	      " Content-Transfer-Encoding:DKIM-Signature; i=1; s=ed; t=1795255200\r\n"
	      "ARC-Authentication-Results: i=1; mx.a.test; dkim=pass (good signature, 2048\r\n"
	      " bit) header.d=a.test; spf=pass X: y smtp.mailfrom=alice@a.test; dmarc=pass\r\n"
	      " header.from=a.test\r\n"));
	assert_true(seal_with(slice_str(post), judge(slice_str(post)), &conf, keys[ED], &again, &f).n > 0);
	WANT_SLICE(again, fields);
}

static void what_may_not_be_sealed(void **state)
{
	struct slice fields, good = seal(slice_str(post), "a.test", ED), bad = join(good, S("x\r\n"), SLICE_NONE);
	struct slice none = forge(slice_str(post), &(struct forged){ .i = "1", .cv = "fail" });
	struct slice slow = forge(slice_str(post), &(struct forged){ .i = "1", .cv = "none", .d = "slow.test" });
	struct slice plain = slice_str(post), blank = join(S(" x\r\n"), plain, SLICE_NONE), gap = replaced(good, S("ARC-Seal:"), S("ARC-Sale:"));
	struct arc_seal_conf usual = { .d = S("b.test"), .selector = S("ed"), .type = KEY_ED25519, .authres = S("mx.b.test; none"), .now = NOW };
	struct arc_seal_conf arc = usual, own = usual, nameless = usual, typeless = usual, results = usual, control = usual;
	const struct {
		const char *name;
		struct slice came, goes;
		const struct arc_seal_conf *conf;
		enum fault_code code;
		const char *words;
	} rows[] = {
		{ "a chain that failed", bad, bad, &usual, FAULT_UNSEALED, "ARC chain is fail: ARC-Message-Signature i=1: body hash is wrong" },
		{ "one that says so itself", none, none, &usual, FAULT_UNSEALED, "ARC chain is fail: the newest seal, i=1, says cv=fail" },
		{ "one that is not known yet", slow, slow, &usual, FAULT_UNSEALED, "ARC chain is temperror: ARC-Message-Signature i=1: no answer yet for the key" },
		{ "sets that came from nowhere", plain, good, &usual, FAULT_UNSEALED, "ARC chain is not the one that came" },
		{ "sets that went away", good, plain, &usual, FAULT_UNSEALED, "ARC chain is not the one that came" },
		{ "a field of a set that went away", good, gap, &usual, FAULT_UNSEALED, "ARC chain is not the one that came" },
		{ "a header that goes on from nowhere", blank, blank, &usual, FAULT_UNSEALED, "header begins with a blank" },
		{ "a list with ARC-Seal", plain, plain, &arc, FAULT_INTERNAL, NULL },
		{ "a list with results", plain, plain, &results, FAULT_INTERNAL, NULL },
		{ "a list without From", plain, plain, &own, FAULT_INTERNAL, NULL },
		{ "no domain", plain, plain, &nameless, FAULT_INTERNAL, NULL },
		{ "no type", plain, plain, &typeless, FAULT_INTERNAL, NULL },
		{ "NUL in the results", plain, plain, &control, FAULT_INTERNAL, NULL },
		{ "what is fine", good, good, &usual, FAULT_NONE, NULL },
	};
	struct slice ed = keyrec_text(&arena, keys[ED]);

	(void)state;
	arc.h = S("From:ARC-Seal");
	results.h = S("From:authentication-results");
	own.h = S("To:Subject");
	nameless.d = S("[192.0.2.1]");
	typeless.type = KEY_MLDSA44;
	control.authres = S("mx.b.test; \0none");
	answers_free(&zone);
	zone = zone_new(arena_string(&arena, arena_printf(&arena,
	    "{\"ed._domainkey.a.test\": [\"%.*s\"], \"ed._domainkey.slow.test\": {\"error\": \"timeout\"}}", SLICE_FMT(ed))));
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct fault f = { 0 };
		struct slice out = seal_with(rows[i].goes, judge(rows[i].came), rows[i].conf, keys[ED], &fields, &f);

		if ((out.n > 0) != (rows[i].code == FAULT_NONE) || f.code != rows[i].code || (rows[i].words && strcmp(f.text, rows[i].words) != 0))
			fail_msg("%s: %d %s", rows[i].name, (int)f.code, f.text);
	}
}

/* A header whose list of names would fill a field is not sealed; one that is large otherwise is. */
static void a_list_of_names_has_a_limit(void **state)
{
	struct arc_seal_conf conf = { .d = S("b.test"), .selector = S("ed"), .type = KEY_ED25519, .authres = S("mx.b.test; none"), .now = NOW };
	struct slice fields, message;
	struct fault f = { 0 };
	struct buf many;

	(void)state;
	buf_init(&many, 1 << 20);
	for (size_t k = 0; k < 9000; k++)
		buf_str(&many, "Subject: x\r\n");
	buf_str(&many, post);
	message = arena_copy(&arena, buf_get(&many));
	buf_release(&many);
	assert_int_equal(seal_with(message, judge(message), &conf, keys[ED], &fields, &f).n, 0);
	assert_int_equal(f.code, FAULT_UNSEALED);
	message = slice_sub(message, 8900 * 12, SIZE_MAX);
	f = (struct fault){ 0 };
	message = seal_with(message, judge(message), &conf, keys[ED], &fields, &f);
	want_chain("a hundred subjects", judge(message), ARC_PASS, ARC_ABOUT_NOTHING);
}

/* ---- memory ---- */

static void no_memory_is_no_verdict(void **state)
{
	struct slice message = seal(seal(slice_str(post), "a.test", ED), "b.test", ED), body;
	struct header *h = ARENA_NEW(&arena, struct header);
	bool passed = false;

	(void)state;
	split(message, h, &body);
	for (size_t ceiling = 1024; !passed; ceiling += 256) {
		struct canon_body *c = canon_body_new(0);
		struct asks *asks = asks_new(&arena, 300);
		struct arena small;
		struct arc *arc;

		arena_init(&small, ceiling);
		arc = arc_new(&small, asks, h, field_index_new(&small, h), NOW);
		if (arc) {
			arc_body_wants(arc, c);
			canon_body_add(c, body);
			canon_body_end(c);
			while (!arc_step(arc, c))
				assert_true(zone_answer(zone, &arena, asks) > 0);
			passed = arc_verdict(arc)->state == ARC_PASS;
			if (!passed)
				assert_int_equal(arc_verdict(arc)->state, ARC_TEMPERROR);
			arc_release(arc);
		}
		arena_clear(&small);
		asks_release(asks);
		canon_body_free(&c);
		assert_true(ceiling < 1 << 22);
	}
}

static void no_memory_is_no_seal(void **state)
{
	struct slice message = seal(slice_str(post), "a.test", ED), body;
	const struct arc_verdict *came = judge(message);
	struct header *h = ARENA_NEW(&arena, struct header);
	struct arc_seal_conf conf = { .d = S("b.test"), .selector = S("ed"), .type = KEY_ED25519, .authres = S("mx.b.test; none"), .now = NOW };
	bool sealed = false;

	(void)state;
	split(message, h, &body);
	conf.body_sha256 = body_hash(body, CANON_WHOLE);
	for (size_t ceiling = 1024; !sealed; ceiling += 256) {
		unsigned char out[SIGNATURE_OCTETS];
		struct fault f = { 0 };
		struct arc_seal *s;
		struct arena small;

		arena_init(&small, ceiling);
		s = arc_seal_new(&small, h, field_index_new(&small, h), came, &conf, &f);
		if (!s && f.code != FAULT_NO_MEMORY)
			fail_msg("%zu octets: %d %s", ceiling, (int)f.code, f.text);
		while (s && arc_seal_digest(s) && arc_seal_answer(s, slice_of(out, sign_sha256(keys[ED], arc_seal_digest(s), out))))
			;
		if (s && !arc_seal_digest(s) && arc_seal_fields(s).n) {
			want_chain("sealed", judge(join(arc_seal_fields(s), message, SLICE_NONE)), ARC_PASS, ARC_ABOUT_NOTHING);
			sealed = true;
		}
		arena_clear(&small);
		assert_true(ceiling < 1 << 22);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, end_test)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(no_chain_is_told_without_a_question),
		TEST(what_is_allowed_passes),
		TEST(what_is_signed_has_to_be_right),
		TEST(what_a_key_record_says_counts),
		TEST(a_missing_answer_hides_no_failure),
		TEST(changes_before_a_seal_show_in_oldest_pass),
		TEST(changes_after_the_newest_seal_fail),
		TEST(any_octet_counts),
		TEST(sets_are_shown_as_they_are),
		TEST(fifty_sets_of_a_hundred_domains),
		TEST(hashing_is_linear),
		TEST(a_large_header_is_not_hashed_fifty_times),
		TEST(body_hashes_have_a_limit),
		TEST(our_sets_verify),
		TEST(a_signature_of_any_length_fits),
		TEST(our_fields_as_they_stand),
		TEST(what_may_not_be_sealed),
		TEST(a_list_of_names_has_a_limit),
		TEST(no_memory_is_no_verdict),
		TEST(no_memory_is_no_seal),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make_world, end_world);
}
