/* DKIM: what a verifier says of one signature and of many, and what a signer makes. */
#include "dkim_sender.h"

#include "auth/dkim1/dkim.h"
#include "base/limits.h"

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

#define NOW 1000000
#define TAGS "v=1; a=rsa-sha256; c=relaxed/relaxed; d=a.test; s=s1; t=999000; h=From:To:Subject"
#define HEADER "From: a@a.test\r\nTo: b@b.test\r\nSubject:  one \r\n two\r\n"
#define BODY "Hello,\r\n  some  text \r\n\r\n"
#define MESSAGE S(HEADER "\r\n" BODY)

static struct answers *zone;

static const char *key_text(const struct key *k)
{
	return arena_string(&arena, keyrec_text(&arena, k));
}

static int fresh(void **state)
{
	const char *rsa, *ed;
	struct slice p;

	fresh_arena(state);
	rsa = key_text(sender_rsa);
	ed = key_text(sender_ed);
	p = slice_sub(slice_str(rsa), 16, SIZE_MAX); /* "p=..." */
	zone = zone_new(arena_string(&arena, arena_printf(&arena,
	    "{\"s1._domainkey.a.test\": [\"%s\"], \"ed._domainkey.a.test\": [\"%s\"], \"s1._domainkey.xn--mnchen-3ya.test\": [\"%s\"],"
	    "\"bare._domainkey.a.test\": [\"%.*s\"], \"testing._domainkey.a.test\": [\"t=y; %.*s\"], \"exact._domainkey.a.test\": [\"t=s; %.*s\"],"
	    "\"sha1._domainkey.a.test\": [\"h=sha1; %.*s\"], \"both._domainkey.a.test\": [\"h=sha1:sha256; %.*s\"],"
	    "\"tls._domainkey.a.test\": [\"s=tlsrpt; %.*s\"], \"email._domainkey.a.test\": [\"s=x:email; g=nobody; n=a note; %.*s\"],"
	    "\"gone._domainkey.a.test\": [\"v=DKIM1; p=\"], \"other._domainkey.a.test\": [\"k=foo; p=AAAA\"], \"junk._domainkey.a.test\": [\"junk\"],"
	    "\"two._domainkey.a.test\": [\"%s\", \"%s\"], \"slow._domainkey.a.test\": {\"error\": \"timeout\"},"
	    "\"broken._domainkey.a.test\": {\"error\": \"servfail\"},"
	    "\"r512._domainkey.a.test\": [\"p=MEgCQQD/////////////////////////////////////////////////////////////////////////////////////"
	    "AgMBAAE=\"]}",
	    rsa, ed, rsa, SLICE_FMT(p), SLICE_FMT(p), SLICE_FMT(p), SLICE_FMT(p), SLICE_FMT(p), SLICE_FMT(p), SLICE_FMT(p), rsa, ed)));
	return 0;
}

static int drop(void **state)
{
	answers_free(&zone);
	return drop_arena(state);
}

static const struct dkim_verdict *judged_at(struct slice message, int64_t now)
{
	struct dkim_terms terms = dkim_usual_terms(now);

	return dkim_judge(&arena, message, &terms, zone, NULL);
}

static const struct dkim_verdict *judged(struct slice message)
{
	return judged_at(message, NOW);
}

static void want_one(const char *name, const struct dkim_verdict *v, enum dkim_state state, enum dkim_kind about)
{
	const struct dkim_signature *s = v->signatures;

	if (v->n != 1 || v->state != state || s->state != state || s->about != about || (s->reason.n == 0) != (state == DKIM_PASS))
		fail_msg("%s: %s, about %d, \"%.*s\"", name, v->n ? dkim_state_name(s->state) : "none", v->n ? (int)s->about : -1,
		    SLICE_FMT(v->n ? s->reason : SLICE_NONE));
}

/* ---- one signature ---- */

#define PASS DKIM_PASS
#define FAIL DKIM_FAIL
#define PERM DKIM_PERMERROR
#define SYNTAX DKIM_ABOUT_SYNTAX

/* Each signed again after the edit, so nothing but the rule is broken. */
static void rows_of_tags(void **state)
{
	static const struct {
		const char *name, *find, *put;
		enum dkim_state state;
		enum dkim_kind about;
		size_t questions;
	} rows[] = {
		{ "usual", "", "", PASS, 0, 1 },
		{ "final semicolon is another's matter", "v=1;", "v = 1 ;", PASS, 0, 1 },
		{ "folded", " t=", "\r\n\tt=", PASS, 0, 1 },
		{ "v= at the end", "v=1; ", "x=1000001; v=1; ", PASS, 0, 1 },
		{ "unknown tag", "v=1;", "v=1; zz=1;", PASS, 0, 1 },
		{ "unknown tag without value", "v=1;", "v=1; zz=;", PASS, 0, 1 },
		{ "z= is passed over", "v=1;", "v=1; z=From:a|To:b;", PASS, 0, 1 },
		{ "v=2", "v=1", "v=2", PERM, SYNTAX, 0 },
		{ "v=1.0", "v=1", "v=1.0", PERM, SYNTAX, 0 },
		{ "no v=", "v=1; ", "", PERM, SYNTAX, 0 },
		{ "V= is another tag", "v=1", "V=1", PERM, SYNTAX, 0 },
		{ "v= empty", "v=1", "v=", PERM, SYNTAX, 0 },
		{ "tag twice", "v=1;", "v=1; v=1;", PERM, SYNTAX, 0 },
		{ "unknown tag twice", "v=1;", "v=1; q1=a; q1=a;", PERM, SYNTAX, 0 },
		{ "no tag list", "v=1;", "v=1; what;", PERM, SYNTAX, 0 },
		{ "no a=", "a=rsa-sha256; ", "", PERM, SYNTAX, 0 },
		{ "rsa-sha1", "rsa-sha256", "rsa-sha1", PERM, DKIM_ABOUT_ALGORITHM, 0 },
		{ "rsa-sha512", "rsa-sha256", "rsa-sha512", PERM, DKIM_ABOUT_ALGORITHM, 0 },
		{ "algorithm in upper case", "rsa-sha256", "RSA-SHA256", PERM, DKIM_ABOUT_ALGORITHM, 0 },
		{ "a blank in a=", "rsa-sha256", "rsa- sha256", PERM, DKIM_ABOUT_ALGORITHM, 0 },
		{ "key of another type", "a=rsa-sha256; c=relaxed/relaxed; d=a.test; s=s1", "a=ed25519-sha256; c=relaxed/relaxed; d=a.test; s=s1", PERM,
		  DKIM_ABOUT_KEY, 1 },
		{ "Ed25519", "a=rsa-sha256; c=relaxed/relaxed; d=a.test; s=s1", "a=ed25519-sha256; c=relaxed/relaxed; d=a.test; s=ed", PASS, 0, 1 },
		{ "simple/simple", "relaxed/relaxed", "simple/simple", PASS, 0, 1 },
		{ "simple/relaxed", "relaxed/relaxed", "simple/relaxed", PASS, 0, 1 },
		{ "relaxed", "relaxed/relaxed", "relaxed", PASS, 0, 1 },
		{ "no c=", "c=relaxed/relaxed; ", "", PASS, 0, 1 },
		{ "c= unknown", "relaxed/relaxed", "relaxed/nofws", PERM, SYNTAX, 0 },
		{ "c= half", "relaxed/relaxed", "relaxed/", PERM, SYNTAX, 0 },
		{ "c= empty", "relaxed/relaxed", "", PERM, SYNTAX, 0 },
		{ "c= of three", "relaxed/relaxed", "relaxed/relaxed/relaxed", PERM, SYNTAX, 0 },
		{ "no d=", "d=a.test; ", "", PERM, SYNTAX, 0 },
		{ "d= in upper case", "d=a.test", "d=A.Test", PASS, 0, 1 },
		{ "d= in U-labels", "d=a.test", "d=M\303\274nchen.test", PASS, 0, 1 },
		{ "d= in A-labels", "d=a.test", "d=xn--mnchen-3ya.test", PASS, 0, 1 },
		{ "d= in Latin-1", "d=a.test", "d=M\374nchen.test", PERM, SYNTAX, 0 },
		{ "d= a literal", "d=a.test", "d=[192.0.2.1]", PERM, SYNTAX, 0 },
		{ "d= one label", "d=a.test", "d=test", PERM, SYNTAX, 0 },
		{ "d= with a final dot", "d=a.test", "d=a.test.", PERM, SYNTAX, 0 },
		{ "d= with an empty label", "d=a.test", "d=a..test", PERM, SYNTAX, 0 },
		{ "d= with a blank", "d=a.test", "d=a .test", PERM, SYNTAX, 0 },
		{ "no s=", "s=s1; ", "", PERM, SYNTAX, 0 },
		{ "s= in upper case", "s=s1", "s=S1", PASS, 0, 1 },
		{ "s= with a final dot", "s=s1", "s=s1.", PERM, SYNTAX, 0 },
		{ "s= of dots", "s=s1", "s=..", PERM, SYNTAX, 0 },
		{ "s= with an octet no name has", "s=s1", "s=s1/x", PERM, SYNTAX, 0 },
		{ "no h=", "; h=From:To:Subject", "", PERM, SYNTAX, 0 },
		{ "h= empty", "h=From:To:Subject", "h=", PERM, SYNTAX, 0 },
		{ "h= without From", "h=From:To:Subject", "h=To:Subject", PERM, SYNTAX, 0 },
		{ "h= with something like From", "h=From:To:Subject", "h=From-x:To", PERM, SYNTAX, 0 },
		{ "h= with an empty name", "h=From:To", "h=From::To", PERM, SYNTAX, 0 },
		{ "h= with blanks", "h=From:To", "h= from :\r\n\tTO", PASS, 0, 1 },
		{ "h= names what is not there", "h=From:To", "h=From:x-none:To", PASS, 0, 1 },
		{ "i= of d=", "v=1;", "v=1; i=joe@a.test;", PASS, 0, 1 },
		{ "i= without local part", "v=1;", "v=1; i=@A.TEST;", PASS, 0, 1 },
		{ "i= below d=", "v=1;", "v=1; i=joe@x.y.a.test;", PASS, 0, 1 },
		{ "i= quoted and folded", "v=1;", "v=1; i=j=6Fe=20=\r\n 40x@a.test;", PASS, 0, 1 },
		{ "i= with the domain quoted", "v=1;", "v=1; i=joe=40a.test;", PASS, 0, 1 },
		{ "i= of another domain", "v=1;", "v=1; i=joe@b.test;", PERM, SYNTAX, 0 },
		{ "i= above d=", "v=1;", "v=1; i=joe@test;", PERM, SYNTAX, 0 },
		{ "i= only ends like d=", "v=1;", "v=1; i=joe@xa.test;", PERM, SYNTAX, 0 },
		{ "i= of d=, then of another", "v=1;", "v=1; i=joe@a.test@b.test;", PERM, SYNTAX, 0 },
		{ "i= without a domain", "v=1;", "v=1; i=a.test;", PERM, SYNTAX, 0 },
		{ "i= empty", "v=1;", "v=1; i=;", PERM, SYNTAX, 0 },
		{ "i= with a bad escape", "v=1;", "v=1; i=j=6@a.test;", PERM, SYNTAX, 0 },
		{ "q=dns/txt", "v=1;", "v=1; q=dns/txt;", PASS, 0, 1 },
		{ "q= of which one is known", "v=1;", "v=1; q=http/x : dns/txt;", PASS, 0, 1 },
		{ "q= unknown", "v=1;", "v=1; q=http;", PERM, SYNTAX, 0 },
		{ "q=dns", "v=1;", "v=1; q=dns;", PERM, SYNTAX, 0 },
		{ "q= empty", "v=1;", "v=1; q=;", PERM, SYNTAX, 0 },
		{ "l= empty", "v=1;", "v=1; l=;", PERM, SYNTAX, 0 },
		{ "l= negative", "v=1;", "v=1; l=-1;", PERM, SYNTAX, 0 },
		{ "l= with a sign", "v=1;", "v=1; l=+1;", PERM, SYNTAX, 0 },
		{ "l= of 77 digits", "v=1;", "v=1; l=00000000000000000000000000000000000000000000000000000000000000000000000000001;", PERM, SYNTAX, 0 },
		{ "l= of 76 digits", "v=1;", "v=1; l=0000000000000000000000000000000000000000000000000000000000000000000000000001;", DKIM_POLICY,
		  DKIM_ABOUT_PARTIAL, 1 },
		{ "l= of 2^64", "v=1;", "v=1; l=18446744073709551616;", PERM, SYNTAX, 0 },
		{ "l= of 2^64-1", "v=1;", "v=1; l=18446744073709551615;", PERM, SYNTAX, 0 },
		{ "t= empty", "t=999000", "t=", PERM, SYNTAX, 0 },
		{ "t= no number", "t=999000", "t=99x", PERM, SYNTAX, 0 },
		{ "t= of 13 digits", "t=999000", "t=0000000999000", PERM, SYNTAX, 0 },
		{ "no t=", "t=999000; ", "", PASS, 0, 1 },
		{ "t= a little ahead", "t=999000", "t=1000300", PASS, 0, 1 },
		{ "t= too far ahead", "t=999000", "t=1000301", FAIL, DKIM_ABOUT_TIME, 0 },
		{ "x= now", "v=1;", "v=1; x=1000000;", PASS, 0, 1 },
		{ "x= a second ago", "v=1;", "v=1; x=999999;", FAIL, DKIM_ABOUT_TIME, 0 },
		{ "x= with t=", "v=1;", "v=1; x=999000;", PERM, DKIM_ABOUT_TIME, 0 },
		{ "x= before t=", "v=1;", "v=1; x=998999;", PERM, DKIM_ABOUT_TIME, 0 },
		{ "x= of 12 digits", "v=1;", "v=1; x=999999999999;", PASS, 0, 1 },
		{ "x= of 20 digits", "v=1;", "v=1; x=99999999999999999999;", PERM, SYNTAX, 0 },
		{ "bh= twice", "v=1;", "v=1; bh=AAAA;", PERM, SYNTAX, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct slice tags = edited(S(TAGS), slice_str(rows[i].find), slice_str(rows[i].put));
		struct dkim_terms terms = dkim_usual_terms(NOW);
		struct dkim_way way = { 0 };

		want_one(rows[i].name, dkim_judge(&arena, sign_under(MESSAGE, tags, NULL), &terms, zone, &way), rows[i].state, rows[i].about);
		if (way.questions != rows[i].questions)
			fail_msg("%s: %zu questions", rows[i].name, way.questions);
	}
}

/* What the signer here would make right. */
static void rows_of_signatures(void **state)
{
	static const struct {
		const char *name, *find, *put;
		enum dkim_state state;
		enum dkim_kind about;
	} rows[] = {
		{ "b= with blanks in it", " b=", " b= \r\n\t", PASS, 0 },
		{ "bh= with blanks in it breaks the header", " bh=", " bh= ", FAIL, DKIM_ABOUT_SIGNATURE },
		{ "no b=", " b=", " zb=", PERM, SYNTAX },
		{ "no bh=", " bh=", " zh=", PERM, SYNTAX },
		{ "b= no base64", " b=", " b=*", PERM, SYNTAX },
		{ "bh= of another length", " bh=", " bh=AAAA", PERM, SYNTAX },
		{ "b= of another", " b=", " b=AAAA", FAIL, DKIM_ABOUT_SIGNATURE },
		{ "another body", "Hello", "Hallo", FAIL, DKIM_ABOUT_BODY },
		{ "more body", "text \r\n", "text \r\nmore\r\n", FAIL, DKIM_ABOUT_BODY },
		{ "body with other blanks", "  some  text \r\n", "\tsome text\r\n\r\n", PASS, 0 },
		{ "another subject", "Subject:  one", "Subject:  ont", FAIL, DKIM_ABOUT_SIGNATURE },
		{ "subject folded otherwise", "  one \r\n two", " one two", PASS, 0 },
		{ "name in another case", "Subject:", "SUBJECT :", PASS, 0 },
		{ "without a field", "To: b@b.test\r\n", "", FAIL, DKIM_ABOUT_SIGNATURE },
		{ "a field more", "From: ", "X: y\r\nFrom: ", PASS, 0 },
		{ "a second subject above", "From: ", "Subject: x\r\nFrom: ", PASS, 0 },
		{ "a second subject below", "\r\n\r\n", "\r\nSubject: x\r\n\r\n", FAIL, DKIM_ABOUT_SIGNATURE },
		{ "another time", "t=999000", "t=999001", FAIL, DKIM_ABOUT_SIGNATURE },
		{ "another selector of the same key", "s=s1", "s=bare", FAIL, DKIM_ABOUT_SIGNATURE },
		{ "a tag more", " b=", " zz=1; b=", FAIL, DKIM_ABOUT_SIGNATURE },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct slice message = edited(sign_with(MESSAGE, TAGS), slice_str(rows[i].find), slice_str(rows[i].put));

		want_one(rows[i].name, judged(message), rows[i].state, rows[i].about);
	}
}

static void rows_of_keys(void **state)
{
	static const struct {
		const char *selector;
		enum dkim_state state;
		enum dkim_kind about;
	} rows[] = {
		{ "s1", PASS, 0 },
		{ "bare", PASS, 0 },
		{ "testing", PASS, 0 },
		{ "exact", PASS, 0 },
		{ "both", PASS, 0 },
		{ "email", PASS, 0 },
		{ "none", PERM, DKIM_ABOUT_KEY },
		{ "gone", PERM, DKIM_ABOUT_KEY },
		{ "other", PERM, DKIM_ABOUT_KEY },
		{ "sha1", PERM, DKIM_ABOUT_KEY },
		{ "tls", PERM, DKIM_ABOUT_KEY },
		{ "ed", PERM, DKIM_ABOUT_KEY },
		{ "junk", PERM, DKIM_ABOUT_KEY_SYNTAX },
		{ "two", PERM, DKIM_ABOUT_KEY_SYNTAX },
		{ "r512", PERM, DKIM_ABOUT_KEY_REFUSED },
		{ "slow", DKIM_TEMPERROR, DKIM_ABOUT_KEY },
		{ "broken", DKIM_TEMPERROR, DKIM_ABOUT_KEY },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct slice tags = edited(S(TAGS), S("s=s1"), arena_printf(&arena, "s=%s", rows[i].selector));
		struct slice message = sign_under(MESSAGE, tags, NULL);
		const struct dkim_verdict *v = judged(message);

		want_one(rows[i].selector, v, rows[i].state, rows[i].about);
		assert_int_equal(v->signatures->testing, strcmp(rows[i].selector, "testing") == 0);
		/* the key is looked at before the body is (RFC 6376 6.1) */
		v = judged(edited(message, S("Hello"), S("Hallo")));
		want_one(rows[i].selector, v, rows[i].state == PASS ? FAIL : rows[i].state, rows[i].state == PASS ? DKIM_ABOUT_BODY : rows[i].about);
	}
	want_one("t=s and i= below", judged(sign_with(MESSAGE, "v=1; a=rsa-sha256; d=a.test; s=exact; i=@x.a.test; h=from")), PERM, DKIM_ABOUT_KEY);
	want_one("t=s and i= of d=", judged(sign_with(MESSAGE, "v=1; a=rsa-sha256; d=a.test; s=exact; i=x@A.test; h=from")), PASS, 0);
}

static void what_a_signature_shows(void **state)
{
	const struct dkim_signature *s;
	struct slice message;

	(void)state;
	message = sign_with(edited(MESSAGE, S("From"), S("X: y\r\nFrom")),
	    "v=1; a=rsa-sha256; d=M\303\274nchen.test; s=S1; l=5; i=joe=20\r\n x@b.m\303\274nchen.test; h=from");
	s = judged(message)->signatures;
	WANT_SLICE(s->d, S("M\303\274nchen.test"));
	WANT_SLICE(s->d_normal, S("xn--mnchen-3ya.test"));
	WANT_SLICE(s->s, S("S1"));
	WANT_SLICE(s->a, S("rsa-sha256"));
	WANT_SLICE(s->i, S("joe=20x@b.m\303\274nchen.test"));
	assert_int_equal(s->b.n, 72);
	assert_true(s->l_present);
	assert_int_equal(s->l, 5);
	assert_int_equal(s->key_bits, 1024);
	assert_int_equal(s->field, 0);
	assert_int_equal(s->state, DKIM_POLICY);
	message = S("A: b\r\nDKIM-Signature: a=rsa\r\n -sha256; d=a.test.; s=x; b=A B\r\n C\tD\r\n\r\n");
	s = judged(message)->signatures;
	assert_int_equal(s->field, 1);
	assert_int_equal(s->d.n + s->d_normal.n + s->a.n + s->i.n, 0);
	WANT_SLICE(s->s, S("x"));
	WANT_SLICE(s->b, S("ABCD"));
	WANT_SLICE(s->reason, S("no v="));
}

static void parts_of_the_body(void **state)
{
	static const struct {
		const char *name, *l, *more;
		enum dkim_state strict, trusting;
		enum dkim_kind about;
	} rows[] = {
		{ "all of it", "23", "", PASS, PASS, 0 },
		{ "some of it", "22", "", DKIM_POLICY, PASS, DKIM_ABOUT_PARTIAL },
		{ "none of it", "0", "", DKIM_POLICY, PASS, DKIM_ABOUT_PARTIAL },
		{ "all and more comes", "23", "pay here\r\n", DKIM_POLICY, PASS, DKIM_ABOUT_PARTIAL },
		{ "only empty lines come", "23", "\r\n\r\n", PASS, PASS, 0 },
		{ "more than there is", "24", "", PERM, PERM, SYNTAX },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct slice tags = arena_printf(&arena, "v=1; a=rsa-sha256; c=simple/simple; l=%s; d=a.test; s=s1; h=from", rows[i].l);
		struct slice message = join3(sign_under(MESSAGE, tags, NULL), slice_str(rows[i].more), SLICE_NONE);
		struct dkim_terms terms = dkim_usual_terms(NOW);

		/* "Hello,\r\n  some  text \r\n" and no CRLF more */
		want_one(rows[i].name, dkim_judge(&arena, message, &terms, zone, NULL), rows[i].strict, rows[i].about);
		terms.trust_l = true;
		want_one(rows[i].name, dkim_judge(&arena, message, &terms, zone, NULL), rows[i].trusting, rows[i].trusting == PERM ? SYNTAX : 0);
		if (rows[i].strict == PERM || strcmp(rows[i].l, "0") == 0)
			continue;
		message = edited(message, S("Hello"), S("Hallo"));
		want_one(rows[i].name, dkim_judge(&arena, message, &terms, zone, NULL), FAIL, DKIM_ABOUT_BODY);
	}
}

/* RFC 6376 5.4.2 and 8.15 */
static void from_fields_that_are_not_signed(void **state)
{
	static const char once[] = "v=1; a=rsa-sha256; d=a.test; s=s1; h=from", twice[] = "v=1; a=rsa-sha256; d=a.test; s=s1; h=from:from:reply-to";
	struct slice message = sign_with(MESSAGE, once);
	const struct dkim_verdict *v = judged(message);

	(void)state;
	assert_int_equal(v->state, PASS);
	assert_false(v->signatures[0].from_unsigned);
	v = judged(join3(S("From: ceo@b.test\r\n"), message, SLICE_NONE));
	assert_int_equal(v->state, PASS);
	assert_true(v->signatures[0].from_unsigned);
	message = sign_with(MESSAGE, twice);
	want_one("oversigned", judged(message), PASS, 0);
	want_one("a second From", judged(join3(S("from: ceo@b.test\r\n"), message, SLICE_NONE)), FAIL, DKIM_ABOUT_SIGNATURE);
	want_one("a Reply-To", judged(join3(S("Reply-To: x@b.test\r\n"), message, SLICE_NONE)), FAIL, DKIM_ABOUT_SIGNATURE);
}

/* ---- more than one ---- */

static void the_most_hopeful_counts(void **state)
{
	static const struct {
		const char *name;
		const char *tags[2];
		enum dkim_state want;
	} rows[] = {
		{ "pass over temperror", { TAGS, "v=1; a=rsa-sha256; d=a.test; s=slow; h=from" }, PASS },
		{ "temperror over fail", { "v=1; a=rsa-sha256; d=a.test; s=slow; h=from", "v=1; a=rsa-sha256; x=1; d=a.test; s=s1; h=from" }, DKIM_TEMPERROR },
		{ "fail over policy", { "v=1; a=rsa-sha256; l=1; d=a.test; s=s1; h=from", "v=1; a=rsa-sha256; x=1; d=a.test; s=s1; h=from" }, FAIL },
		{ "policy over permerror", { "v=1; a=rsa-sha256; l=1; d=a.test; s=s1; h=from", "v=1; a=rsa-sha256; d=a.test; s=none; h=from" }, DKIM_POLICY },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		for (size_t first = 0; first < 2; first++) {
			const struct dkim_verdict *v = judged(sign_with(sign_with(MESSAGE, rows[i].tags[first]), rows[i].tags[!first]));

			if (v->n != 2 || v->state != rows[i].want)
				fail_msg("%s: %s", rows[i].name, dkim_state_name(v->state));
		}
	}
	assert_int_equal(judged(MESSAGE)->state, DKIM_NONE);
	assert_int_equal(judged(MESSAGE)->n, 0);
	assert_int_equal(judged(S("\r\n"))->state, DKIM_NONE);
}

static void keys_are_asked_for_at_once(void **state)
{
	struct slice message = MESSAGE, block, body;
	struct dkim_terms terms = dkim_usual_terms(NOW);
	struct asks *asks = asks_new(&arena, 60);
	struct canon_body *c = canon_body_new(0);
	struct fault f = { 0 };
	struct header h;
	struct dkim *d;

	(void)state;
	message = sign_with(sign_with(sign_with(MESSAGE, TAGS), TAGS), "v=1; a=ed25519-sha256; d=a.test; s=ed; h=from");
	split(message, &block, &body);
	assert_true(header_parse(&arena, block, 99, &h, &f));
	d = dkim_new(&arena, asks, &h, field_index_new(&arena, &h), &terms);
	assert_int_equal(asks_count(asks), 2);
	dkim_body_wants(d, c);
	canon_body_add(c, body);
	canon_body_end(c);
	assert_false(dkim_step(d, c));
	assert_false(dkim_step(d, c));
	assert_int_equal(zone_answer(zone, &arena, asks), 2);
	assert_true(dkim_step(d, c));
	assert_true(dkim_step(d, c));
	assert_int_equal(dkim_verdict(d)->n, 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(dkim_verdict(d)->signatures[i].state, PASS);
	dkim_release(d);
	canon_body_free(&c);
	asks_release(asks);
}

static void time_is_over_for_keys(void **state)
{
	struct slice message = sign_with(MESSAGE, TAGS), block, body;
	struct dkim_terms terms = dkim_usual_terms(-1);
	struct asks *asks = asks_new(&arena, 60);
	struct canon_body *c = canon_body_new(0);
	struct fault f = { 0 };
	struct header h;
	struct dkim *d;

	(void)state;
	split(message, &block, &body);
	assert_true(header_parse(&arena, block, 99, &h, &f));
	d = dkim_new(&arena, asks, &h, field_index_new(&arena, &h), &terms);
	dkim_body_wants(d, c);
	canon_body_add(c, body);
	canon_body_end(c);
	assert_false(dkim_step(d, c));
	asks_give_up(asks);
	assert_true(dkim_step(d, c));
	assert_int_equal(dkim_verdict(d)->state, DKIM_TEMPERROR);
	canon_body_free(&c);
	asks_release(asks);
}

static void a_body_may_come_in_any_pieces(void **state)
{
	struct slice message = sign_with(edited(MESSAGE, S("text"), S("a \t \r\n \r\n\t\r\n\r\nb")), TAGS);

	(void)state;
	for (size_t piece = 1; piece < 40; piece++) {
		struct dkim_terms terms = dkim_usual_terms(NOW);
		struct dkim_way way = { .piece = piece };

		want_one("pieces", dkim_judge(&arena, message, &terms, zone, &way), PASS, 0);
	}
}

/* Whatever there is room for: what is right is never called wrong. */
static void no_memory_is_no_fault_of_the_message(void **state)
{
	struct slice message, block, body;
	struct dkim_terms terms = dkim_usual_terms(NOW);
	bool passed = false, lost = false;
	unsigned char z[20000];
	struct fault f = { 0 };
	struct header h;

	(void)state;
	memset(z, 'z', sizeof(z));
	message = sign_under(MESSAGE, join3(S(TAGS "; i=x@a.test; z="), slice_of(z, sizeof(z)), SLICE_NONE), NULL);
	split(message, &block, &body);
	assert_true(header_parse(&arena, block, 99, &h, &f));
	for (size_t ceiling = 1024; ceiling < 1 << 18; ceiling += 1024) {
		struct canon_body *c = canon_body_new(0);
		struct field_index *index;
		struct asks *asks;
		struct arena small;
		struct dkim *d = NULL;

		arena_init(&small, ceiling);
		index = field_index_new(&small, &h);
		asks = asks_new(&small, 60);
		if (index && asks)
			d = dkim_new(&small, asks, &h, index, &terms);
		lost |= !d;
		if (d) {
			dkim_body_wants(d, c);
			canon_body_add(c, body);
			canon_body_end(c);
			while (!dkim_step(d, c))
				zone_answer(zone, &arena, asks);
			if (dkim_verdict(d)->state != PASS && dkim_verdict(d)->state != DKIM_TEMPERROR)
				fail_msg("%zu octets: %s", ceiling, dkim_state_name(dkim_verdict(d)->state));
			passed |= dkim_verdict(d)->state == PASS;
		}
		asks_release(asks);
		canon_body_free(&c);
		arena_clear(&small);
	}
	assert_true(passed && lost);
}

/* One octet is another: never a pass, for all that stands in the message is signed octet by octet. */
static void a_flipped_octet_never_passes(void **state)
{
	struct slice signed_one = sign_with(MESSAGE, "v=1; a=ed25519-sha256; c=simple/simple; d=a.test; s=ed; t=999000; h=from:to:subject");
	static const unsigned char flips[] = { 0x01, 0x20, 0x80 };
	unsigned char *text = arena_take(&arena, signed_one.n);
	struct arena keep;

	(void)state;
	want_one("as it was", judged(signed_one), PASS, 0);
	keep = arena;
	for (size_t i = 0; i < signed_one.n; i++) {
		for (size_t k = 0; k < ROWS(flips); k++) {
			const struct dkim_verdict *v;

			arena_init(&arena, 1 << 22);
			memcpy(text, signed_one.at, signed_one.n);
			text[i] ^= flips[k];
			v = judged(slice_of(text, signed_one.n));
			if (v->state == PASS)
				fail_msg("octet %zu with %02x", i, flips[k]);
			arena_clear(&arena);
		}
	}
	arena = keep;
}

/* ---- sign ---- */

static struct slice made(struct slice message, const struct dkim_sign_conf *conf, const struct key *key)
{
	unsigned char signature[SIGNATURE_OCTETS];
	struct header *h = ARENA_NEW(&arena, struct header);
	struct slice block, body;
	struct dkim_sign *s;
	struct fault f = { 0 };

	split(message, &block, &body);
	assert_true(header_parse(&arena, block, 20000, h, &f));
	s = dkim_sign_new(&arena, h, field_index_new(&arena, h), conf, &f);
	if (!s) {
		assert_int_equal(f.code, FAULT_UNSEALED);
		return SLICE_NONE;
	}
	return dkim_sign_field(s, slice_of(signature, sign_sha256(key, dkim_sign_digest(s), signature)));
}

static struct slice relaxed_sha256(struct slice message)
{
	struct canon_body *c = canon_body_new(0);
	struct slice block, body, out;
	int handle = canon_body_want(c, CANON_RELAXED, DIGEST_SHA256, CANON_WHOLE);

	split(message, &block, &body);
	canon_body_add(c, body);
	canon_body_end(c);
	out = arena_copy(&arena, canon_body_got(c, handle));
	canon_body_free(&c);
	return out;
}

static void want_lines(struct slice field)
{
	struct slice line;

	assert_true(slice_ends(field, S("\r\n")));
	while (field.n) {
		slice_cut(&field, '\n', &line);
		if (line.n > 79 || !slice_ends(line, S("\r")))
			fail_msg("line of %zu octets", line.n);
	}
}

static void what_is_signed_passes(void **state)
{
	static const char many[] = "From: a@a.test\r\nfrom: b@a.test\r\nList-Id: <x>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n"
	                           "Resent-To: c@d.test\r\nReferences: <1@x>\r\n <2@x>\r\nReceived: x\r\n";
	static const char *const headers[] = { HEADER, "From: a@a.test\r\n", "", many };
	static const char *const bodies[] = { "", "\r\n", BODY, "no end" };

	(void)state;
	for (size_t i = 0; i < ROWS(headers) * ROWS(bodies); i++) {
		struct slice message = arena_printf(&arena, "%s\r\n%s", headers[i / ROWS(bodies)], bodies[i % ROWS(bodies)]), field;
		struct dkim_sign_conf conf = { .d = S("a.test"), .selector = S("s1"), .type = KEY_RSA, .now = NOW, .body_sha256 = relaxed_sha256(message) };
		const struct dkim_verdict *v;

		field = made(message, &conf, sender_rsa);
		want_lines(field);
		WANT_SLICE(made(message, &conf, sender_rsa), field);
		v = judged(join3(field, message, SLICE_NONE));
		want_one(headers[i / ROWS(bodies)], v, PASS, 0);
		assert_false(v->signatures[0].from_unsigned);
		conf.selector = S("ed");
		conf.type = KEY_ED25519;
		conf.expire_s = 3600;
		message = join3(made(message, &conf, sender_ed), join3(field, message, SLICE_NONE), SLICE_NONE);
		v = judged(message);
		assert_true(v->n == 2 && v->signatures[0].state == PASS && v->signatures[1].state == PASS);
		assert_int_equal(judged_at(message, NOW + 3601)->signatures[0].about, DKIM_ABOUT_TIME);
	}
}

static void what_is_added_breaks_it(void **state)
{
	static const char *const added[] = { "From: x@x.test", "To: x", "Cc: x", "Subject: x", "Date: x", "Reply-To: x", "Message-ID: <x>",
		"MIME-Version: 1.0", "Content-Type: text/html", "Content-Transfer-Encoding: 8bit", "In-Reply-To: x", "References: x" };
	struct dkim_sign_conf conf = { .d = S("a.test"), .selector = S("s1"), .type = KEY_RSA, .now = NOW, .body_sha256 = relaxed_sha256(MESSAGE) };
	struct slice field = made(MESSAGE, &conf, sender_rsa);

	(void)state;
	for (size_t i = 0; i < ROWS(added); i++) {
		struct slice message = join3(arena_printf(&arena, "%s\r\n", added[i]), field, MESSAGE);

		want_one(added[i], judged(message), FAIL, DKIM_ABOUT_SIGNATURE);
	}
	want_one("trace fields do not", judged(join3(S("Received: x\r\nX-A: b\r\n"), field, MESSAGE)), PASS, 0);
}

/* Octet by octet, under the first key of RFC 8032 7.1. */
static void the_field_as_it_looks(void **state)
{
	struct dkim_sign_conf conf = { .d = S("a.test"), .selector = S("s1"), .type = KEY_ED25519, .now = 1000000, .expire_s = 86400,
		.body_sha256 = relaxed_sha256(MESSAGE) };
	struct key *key = key_private(S("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
	                                "-----END PRIVATE KEY-----\n"));

	(void)state;
	assert_non_null(key);
	WANT_SLICE(made(MESSAGE, &conf, key), S(
	    "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; d=a.test; s=s1;\r\n"
	    " t=1000000; x=1086400; h=From:From:Reply-To:To:To:Cc:Subject:Subject:Date:\r\n"
	    " Message-ID:In-Reply-To:References:MIME-Version:Content-Type:\r\n"
	    " Content-Transfer-Encoding; bh=lcIHbwR85f22/qL8Ljy3yY4pHZapGNE10RlhO4PkMRY=;\r\n"
	    " b=T36AILgxh0aib3vdBcsidZSQy6vV1IsBdrnX5BLoWn/IUrFcvc7GMjq0PzQOo/EQNSUcsiymLgs\r\n"
	    " SYBXkO7ldBg==\r\n"));
	key_drop(&key);
}

/* What took no memory is not signed as if it were nothing. */
static void no_hash_of_the_body(void **state)
{
	struct dkim_sign_conf conf = { .d = S("a.test"), .selector = S("s1"), .type = KEY_RSA, .now = NOW };
	struct fault f = { 0 };
	struct header h;

	(void)state;
	assert_true(header_parse(&arena, S("From: x@a.test\r\n"), 9, &h, &f));
	assert_null(dkim_sign_new(&arena, &h, field_index_new(&arena, &h), &conf, &f));
	assert_int_equal(f.code, FAULT_NO_MEMORY);
}

static void a_field_that_would_be_too_long(void **state)
{
	struct dkim_sign_conf conf = { .d = S("a.test"), .selector = S("s1"), .type = KEY_RSA, .now = NOW, .body_sha256 = relaxed_sha256(MESSAGE) };
	struct buf text;

	(void)state;
	buf_init(&text, SIZE_MAX / 2);
	for (size_t i = 0; i < 10000; i++)
		buf_str(&text, "Subject: x\r\n");
	buf_str(&text, "\r\n");
	assert_int_equal(made(buf_get(&text), &conf, sender_rsa).n, 0);
	buf_release(&text);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh, drop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(rows_of_tags),
		TEST(rows_of_signatures),
		TEST(rows_of_keys),
		TEST(what_a_signature_shows),
		TEST(parts_of_the_body),
		TEST(from_fields_that_are_not_signed),
		TEST(the_most_hopeful_counts),
		TEST(keys_are_asked_for_at_once),
		TEST(time_is_over_for_keys),
		TEST(a_body_may_come_in_any_pieces),
		TEST(no_memory_is_no_fault_of_the_message),
		TEST(a_flipped_octet_never_passes),
		TEST(what_is_signed_passes),
		TEST(what_is_added_breaks_it),
		TEST(the_field_as_it_looks),
		TEST(no_hash_of_the_body),
		TEST(a_field_that_would_be_too_long),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, sender_start, sender_end);
}
