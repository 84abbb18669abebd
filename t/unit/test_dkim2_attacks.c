/*
 * The cases of t/data/attacks.yaml, area dkim2, that a verifier, a sealer and enforcement can judge by themselves. Each test carries
 * the case's name; which others wait for what is checked against the catalogue at the end.
 */
#include "test.h"

#include "base/limits.h"
#include "dkim2_hops.h"

/* ---- the cases ---- */

static void dkim2_sequence_gaps(void **state)
{
	static const struct {
		const char *name, *find, *put, *reason;
	} numbers[] = {
		{ "0", "i=1;", "i=0;", "DKIM2-Signature i=? syntax error" },
		{ "01", "i=1;", "i=01;", "DKIM2-Signature i=? syntax error" },
		{ "2^32+1", "i=1;", "i=4294967297;", "DKIM2-Signature i=? syntax error" },
		{ "30 digits", "i=1;", "i=100000000000000000000000000001;", "DKIM2-Signature i=? syntax error" },
		{ "a sign", "i=1;", "i=+1;", "DKIM2-Signature i=? syntax error" },
		{ "a blank inside", "i=1;", "i=1 1;", "DKIM2-Signature i=? syntax error" },
		{ "nothing", "i=1;", "i=;", "DKIM2-Signature i=? syntax error" },
		{ "m=0", "m=1;", "m=0;", SYNTAX_1 },
		{ "above 9999", "i=1;", "i=10000;", "DKIM2-Signature i=? syntax error" },
	};
	const struct hop three[] = { { .d = "a.test", .rt = "<x@b.test>" }, { .d = "b.test", .rt = "<x@c.test>" }, { .d = "c.test", .rt = "<r1@c.test>" } };
	struct slice one = forge_instance(slice_str(base_message), 1), two = hops(one, three, 2);

	(void)state;
	want("the second is missing", add_hop(hops(one, three, 1), 3, &three[2]), PERM, "DKIM2-Signature i=2 missing");
	want("the first is missing", add_hop(one, 2, &three[1]), PERM, "DKIM2-Signature i=1 missing");
	want("two with one number", add_hop(two, 2, &three[1]), PERM, "DKIM2-Signature i=2 syntax error");
	want("instances 1 and 3", add_hop(forge_instance(one, 3), 1, &(struct hop){ .d = "a.test", .rt = "<r1@c.test>", .m = 3 }), PERM,
	    "Message-Instance m=2 missing");
	want("two instances 1", add_hop(forge_instance(one, 1), 1, &three[0]), PERM, "Message-Instance m=1 syntax error");
	for (size_t i = 0; i < ROWS(numbers); i++)
		want(numbers[i].name, one_hop((struct hop){ .d = "a.test", .find = numbers[i].find, .put = numbers[i].put }), PERM, numbers[i].reason);
}

static void dkim2_instance_unsigned(void **state)
{
	static const char top[] = "Message-Instance: m=2; h=sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=;\r\n";
	const struct dkim2_verdict *v;

	(void)state;
	want("an instance above", join(slice_str(top), plain_hop(), SLICE_NONE), PERM, "Message-Instance m=2 is not signed");
	want("an instance above, and right", forge_instance(plain_hop(), 2), PERM, "Message-Instance m=2 is not signed");
	want("an instance that is not there", one_hop((struct hop){ .d = "a.test", .m = 2 }), PERM, "Message-Instance m=2 missing");
	want("no instance at all", add_hop(slice_str(base_message), 1, &(struct hop){ .d = "a.test", .rt = "<r1@c.test>" }), PERM,
	    "Message-Instance m=1 missing");
	v = judged(join(slice_str(top), slice_str(base_message), SLICE_NONE), "<s@a.test>", "<r1@c.test>", NOW, 9);
	assert_int_equal(v->state, DKIM2_NONE);
	assert_int_equal(v->instance_count, 0);
}

static void dkim2_tag_syntax(void **state)
{
	static const struct {
		const char *name, *find, *put;
		enum dkim2_state state;
		const char *reason;
	} rows[] = {
		{ "I= beside i=", "m=1;", "m=1; I=1;", PERM, SYNTAX_1 },
		{ "D= beside d=", "m=1;", "m=1; D=evil.test;", PERM, SYNTAX_1 },
		{ "an unknown tag twice", "m=1;", "m=1; zz=1; ZZ=2;", PERM, SYNTAX_1 },
		{ "a fragment without =", "m=1;", "m=1; zz;", PERM, SYNTAX_1 },
		{ "a tag name that starts with a digit", "m=1;", "m=1; 1a=x;", PERM, SYNTAX_1 },
		{ "8-bit", "m=1;", "m=1; zz=\xc3\xbc;", PERM, SYNTAX_1 },
		{ "DEL", "m=1;", "m=1; zz=\x7f;", PERM, SYNTAX_1 },
		{ "a bare CR", "m=1;", "m=1; zz=a\rb;", PERM, SYNTAX_1 },
		{ "a bare LF", "m=1;", "m=1; zz=a\nb;", PERM, SYNTAX_1 },
		{ "blank in a selector", "s=e:", "s=e 2:", PERM, SYNTAX_1 },
		{ "fold in a selector", "s=e:", "s=e\r\n 2:", PERM, SYNTAX_1 },
		{ "blank in an algorithm", "ed25519-sha256", "ed25519- sha256", PERM, SYNTAX_1 },
		{ "blank in a domain", "d=a.test", "d=a. test", PERM, SYNTAX_1 },
		{ "blank in a number", "t=179", "t=17 9", PERM, SYNTAX_1 },
		{ "nonce of 65", "m=1;", "m=1; n=0123456789012345678901234567890123456789012345678901234567890123X;", PERM, SYNTAX_1 },
		{ "nonce with a blank", "m=1;", "m=1; n=a b;", PERM, SYNTAX_1 },
		{ "nonce of 64", "m=1;", "m=1; n=0123456789012345678901234567890123456789012345678901234567890123;", DKIM2_PASS, "" },
		{ "empty nonce", "m=1;", "m=1; n=;", DKIM2_PASS, "" },
		{ "no last semicolon", ":*;", ":*", DKIM2_PASS, "" },
		{ "empty fragments", "m=1;", ";; m=1 ;\r\n\t; ;", DKIM2_PASS, "" },
		{ "upper case names", "m=1; t=", "M=1; T=", DKIM2_PASS, "" },
		{ "an unknown tag", "m=1;", "m=1; zz=a = b:c, d | e;", DKIM2_PASS, "" },
		{ "blanks and folds where they may stand", "s=e:ed25519-sha256:*", "s\r\n =\t e : ed25519-sha256 \r\n\t: *", DKIM2_PASS, "" },
	};
	struct slice message;
	unsigned char *nul;

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		want(rows[i].name, one_hop((struct hop){ .d = "a.test", .find = rows[i].find, .put = rows[i].put }), rows[i].state, rows[i].reason);
	message = one_hop((struct hop){ .d = "a.test", .extra = "zz=Q; " });
	nul = arena_take(&arena, message.n);
	memcpy(nul, message.at, message.n);
	*(unsigned char *)memchr(nul, 'Q', message.n) = '\0';
	want("NUL", slice_of(nul, message.n), PERM, SYNTAX_1);
	/* signed as received */
	message = plain_hop();
	want("a semicolon less", replaced(message, "=;\r\n", S("=\r\n")), DKIM2_FAIL, "DKIM2-Signature i=1 e incorrect signature");
	want("a semicolon more", replaced(message, "=;\r\n", S("=;;\r\n")), DKIM2_FAIL, "DKIM2-Signature i=1 e incorrect signature");
	want("a tag in capitals", replaced(message, "; m=1;", S("; M=1;")), DKIM2_FAIL, "DKIM2-Signature i=1 e incorrect signature");
	want("folded anew", replaced(message, "; m=1;", S(";\r\n \t m = 1 ;")), DKIM2_PASS, "");
}

static void dkim2_base64_strictness(void **state)
{
	static const struct {
		const char *name, *find, *put;
	} rows[] = {
		{ "pad bits set in mf=", "mf=PHNAYS50ZXN0Pg==", "mf=PHNAYS50ZXN0Ph==" },
		{ "no padding in mf=", "mf=PHNAYS50ZXN0Pg==", "mf=PHNAYS50ZXN0Pg" },
		{ "half the padding in mf=", "mf=PHNAYS50ZXN0Pg==", "mf=PHNAYS50ZXN0Pg=" },
		{ "inner padding in mf=", "mf=PHNAYS50ZXN0Pg==", "mf=PHNAYQ==50ZXN0Pg==" },
		{ "a letter behind the padding in mf=", "mf=PHNAYS50ZXN0Pg==", "mf=PHNAYS50ZXN0P=g=" },
		{ "URL-safe in mf=", "mf=PHNAYS50ZXN0Pg==", "mf=PD8_QGEudGVzdD4=" },
		{ "foreign octet in mf=", "mf=PHNAYS50ZXN0Pg==", "mf=PHNAYS50.ZXN0Pg==" },
		{ "too much padding in rt=", "rt=PHIxQGMudGVzdD4=", "rt=PHIxQGMudGVzdD4==" },
		{ "pad bits set in rt=", "rt=PHIxQGMudGVzdD4=", "rt=PHIxQGMudGVzdD5=" },
		{ "empty entry in rt=", "rt=PHIxQGMudGVzdD4=", "rt=PHIxQGMudGVzdD4=," },
		{ "one letter in rt=", "rt=PHIxQGMudGVzdD4=", "rt=PHIxQGMudGVzdD4=,P" },
		{ "no signature", ":*;", ":;" },
		{ "only padding", ":*;", ":==;" },
		{ "pad bits set in s=", ":*;", ":AAB=;" },
		{ "a star in s=", ":*;", ":A.AA;" },
	};
	static const struct {
		const char *name, *h;
	} hashes[] = {
		{ "pad bits set in h=", "sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=:" OCTETS_32 },
		{ "no padding in h=", "sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA:" OCTETS_32 },
		{ "too much padding in h=", "sha256:" OCTETS_32 ":AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==" },
		{ "URL-safe in h=", "sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA-_A=:" OCTETS_32 },
		{ "no base64 in r=", "%s; r=e3=0=" },
		{ "pad bits set in r=", "%s; r=e31=" },
		{ "URL-safe in r=", "%s; r=e-_-" },
		{ "empty r=", "%s; r=" },
	};
	static const char path[] = "PHNAYS50ZXN0Pg==";

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		want(rows[i].name, one_hop((struct hop){ .d = "a.test", .find = rows[i].find, .put = rows[i].put }), PERM, SYNTAX_1);
	for (size_t i = 0; i < ROWS(hashes); i++)
		want(hashes[i].name, hashed_as(hashes[i].h), PERM, "Message-Instance m=1 syntax error");
	for (size_t at = 0; at <= strlen(path); at++) {
		char put[64];

		snprintf(put, sizeof(put), "mf=%.*s\r\n %s", (int)at, path, path + at);
		want("folded", one_hop((struct hop){ .d = "a.test", .find = "mf=PHNAYS50ZXN0Pg==", .put = put }), DKIM2_PASS, "");
	}
}

static void dkim2_path_form(void **state)
{
	static const struct {
		const char *name, *mf, *rt;
	} rows[] = {
		{ "no brackets in mf=", "s@a.test", "<r1@c.test>" },
		{ "no brackets in rt=", "<s@a.test>", "r1@c.test" },
		{ "parameters in mf=", "<s@a.test> SIZE=1", "<r1@c.test>" },
		{ "parameters in rt=", "<s@a.test>", "<r1@c.test> NOTIFY=NEVER" },
		{ "CRLF in mf=", "<s@a.test\r\n>", "<r1@c.test>" },
		{ "LF in rt=", "<s@a.test>", "<r1@c.test>\n" },
		{ "two paths in mf=", "<s@a.test><t@a.test>", "<r1@c.test>" },
		{ "a path in a path", "<s@a.test>", "<<r1@c.test>>" },
		{ "a blank before", " <s@a.test>", "<r1@c.test>" },
		{ "null path in rt=", "<s@a.test>", "<>" },
		{ "null path among others", "<s@a.test>", "<r1@c.test>,<>" },
		{ "only a bracket", "<", "<r1@c.test>" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		want(rows[i].name, one_hop((struct hop){ .d = "a.test", .mf = rows[i].mf, .rt = rows[i].rt }), PERM, SYNTAX_1);
	want("empty mf=", one_hop((struct hop){ .d = "a.test", .find = "mf=PHNAYS50ZXN0Pg==", .put = "mf=" }), PERM, SYNTAX_1);
	want("empty rt=", one_hop((struct hop){ .d = "a.test", .find = "rt=PHIxQGMudGVzdD4=", .put = "rt=" }), PERM, SYNTAX_1);
}

static void dkim2_domain_suffix(void **state)
{
	static const struct {
		const char *name, *d, *mf;
		bool fits;
	} rows[] = {
		{ "same", "a.test", "<s@a.test>", true },
		{ "below", "a.test", "<s@sub.a.test>", true },
		{ "upper case mf=", "a.test", "<s@A.TEST>", true },
		{ "upper case d=", "A.Test", "<s@a.test>", true },
		{ "a final dot", "a.test", "<s@a.test.>", true },
		{ "a final dot of d=", "a.test.", "<s@a.test>", true },
		{ "no label border", "a.test", "<s@evila.test>", false },
		{ "above", "a.test", "<s@test>", false },
		{ "two final dots", "a.test", "<s@a.test..>", false },
		{ "as local part", "a.test", "<s@a.test@evil.test>", false },
		{ "quoted", "a.test", "<\"s@a.test\"@evil.test>", false },
		{ "as route", "a.test", "<@a.test:s@evil.test>", false },
		{ "with a NUL-like escape", "a.test", "<s@evil.test\\.a.test>", false },
		{ "literal", "a.test", "<s@[a.test]>", false },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		for (unsigned draft = 7; draft <= 9; draft++)
			want_at(rows[i].name, one_hop((struct hop){ .d = rows[i].d, .mf = rows[i].mf }), NULL, NULL, draft,
			    rows[i].fits ? DKIM2_PASS : draft < 8 ? PERM : DKIM2_FAIL);
}

static void dkim2_envelope_mismatch(void **state)
{
	static const struct {
		const char *name, *mail_from, *rcpts, *rt;
		bool fits;
	} rows[] = {
		{ "as sealed", "<s@a.test>", "<r1@c.test>", "<r1@c.test>", true },
		{ "another recipient", "<s@a.test>", "<r2@c.test>", "<r1@c.test>", false },
		{ "another case of the local part", "<s@a.test>", "<R1@c.test>", "<r1@c.test>", false },
		{ "another case of the domain", "<s@a.test>", "<r1@C.TEST>", "<r1@c.test>", true },
		{ "another sender", "<t@a.test>", "<r1@c.test>", "<r1@c.test>", false },
		{ "no sender", "<>", "<r1@c.test>", "<r1@c.test>", false },
		{ "sender below", "<s@x.a.test>", "<r1@c.test>", "<r1@c.test>", false },
		{ "one of two", "<s@a.test>", "<r1@c.test>", "<r1@c.test>,<r2@c.test>", true },
		{ "route", "<s@a.test>", "<@evil.test:r1@c.test>", "<r1@c.test>", true },
		{ "route that hides another", "<s@a.test>", "<@c.test:r1@evil.test>", "<r1@c.test>", false },
		{ "needless quotes", "<s@a.test>", "<\"r\\1\"@c.test>", "<r1@c.test>", true },
		{ "quotes that hide another", "<s@a.test>", "<\"r1@c.test\"@evil.test>", "<r1@c.test>", false },
		{ "postmaster", "<s@a.test>", "<postmaster>", "<postmaster>", true },
		{ "postmaster of another", "<s@a.test>", "<postmaster@evil.test>", "<postmaster>", false },
		{ "U-label for A-label", "<s@a.test>", "<r1@b\xc3\xbc" "cher.test>", "<r1@xn--bcher-kva.test>", true },
		{ "look-alike", "<s@a.test>", "<r1@\xd1\x81.test>", "<r1@c.test>", false },
		{ "UTF-8 local part", "<s@a.test>", "<d\xc3\xb6@c.test>", "<d\xc3\xb6@c.test>", true },
		{ "UTF-8 local part not in NFC", "<s@a.test>", "<do\xcc\x88@c.test>", "<d\xc3\xb6@c.test>", false },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		for (unsigned draft = 7; draft <= 9; draft++)
			want_at(rows[i].name, one_hop((struct hop){ .d = "a.test", .rt = rows[i].rt }), rows[i].mail_from, rows[i].rcpts, draft,
			    rows[i].fits ? DKIM2_PASS : draft < 8 ? PERM : DKIM2_FAIL);
}

static void dkim2_envelope_confusion_multi(void **state)
{
	const struct hop each[] = { { .d = "a.test", .rt = "<r1@c.test>" }, { .d = "c.test", .rt = "<r2@c.test>" } };
	struct slice two = one_hop((struct hop){ .d = "a.test", .rt = "<r1@c.test>,<r2@c.test>" });
	struct slice chain = hops(forge_instance(slice_str(base_message), 1), each, 2);

	(void)state;
	want_at("both", two, "<s@a.test>", "<r1@c.test>,<r2@c.test>", 9, DKIM2_PASS);
	want_at("a third", two, "<s@a.test>", "<r1@c.test>,<r2@c.test>,<r3@b.test>", 9, DKIM2_FAIL);
	want_at("a third first", two, "<s@a.test>", "<r3@b.test>,<r1@c.test>,<r2@c.test>", 7, PERM);
	want_at("one by each hop", chain, "<s@c.test>", "<r1@c.test>,<r2@c.test>", 9, DKIM2_FAIL);
	want_at("the newest decides", chain, "<s@c.test>", "<r2@c.test>", 9, DKIM2_PASS);
	want_at("not an older one", chain, "<s@a.test>", "<r1@c.test>", 9, DKIM2_FAIL);
}

static void dkim2_custody_break(void **state)
{
	const struct hop evil[] = { { .d = "a.test", .rt = "<l@list.test>" }, { .d = "evil.test", .mf = "<x@evil.test>", .rt = "<r1@c.test>" } };
	const struct hop right[] = { { .d = "a.test", .rt = "<l@list.test>" }, { .d = "list.test", .rt = "<r1@c.test>" } };
	const struct hop swapped[] = { { .d = "list.test", .rt = "<r1@c.test>" }, { .d = "a.test", .rt = "<l@list.test>" } };
	struct slice one = forge_instance(slice_str(base_message), 1), message, other;
	size_t end;

	(void)state;
	for (unsigned draft = 7; draft <= 9; draft++)
		want_at("a stranger goes on", hops(one, evil, 2), "<x@evil.test>", "<r1@c.test>", draft, draft < 8 ? PERM : DKIM2_FAIL);
	want_at("right", hops(one, right, 2), "<s@list.test>", "<r1@c.test>", 9, DKIM2_PASS);
	want_at("swapped", hops(one, swapped, 2), "<s@a.test>", "<l@list.test>", 9, DKIM2_FAIL);
	/* the second hop of another message on top of the first of this one */
	other = hops(forge_instance(S("From: s@a.test\r\nSubject: other\r\n\r\nhello\r\n"), 1), right, 2);
	end = (size_t)((const unsigned char *)memmem(other.at, other.n, "\r\n", 2) - other.at) + 2;
	message = join(slice_sub(other, 0, end), hops(one, right, 1), SLICE_NONE);
	want_at("copied", message, "<s@list.test>", "<r1@c.test>", 9, DKIM2_FAIL);
}

static void dkim2_nd_abuse(void **state)
{
	const struct hop other[] = { { .d = "a.test", .rt = "<x@b.test>" }, { .d = "b.test", .nd = "c.test" },
		{ .d = "evil.test", .mf = "<e@evil.test>", .rt = "<r1@c.test>" } };
	const struct hop named[] = { { .d = "a.test", .rt = "<x@b.test>" }, { .d = "b.test", .nd = "c.test" }, { .d = "c.test", .rt = "<r1@c.test>" } };
	struct slice one = forge_instance(slice_str(base_message), 1), long_chain;
	const struct dkim2_verdict *v;

	(void)state;
	want_at("another signs next", hops(one, other, 3), "<e@evil.test>", "<r1@c.test>", 9, DKIM2_FAIL);
	want_at("the named one signs", hops(one, named, 3), "<s@c.test>", "<r1@c.test>", 9, DKIM2_PASS);
	want("on top", hops(one, other, 2), PERM, "DKIM2-Signature i=2 unexpected nd= tag");
	want("beside mf=", one_hop((struct hop){ .d = "a.test", .extra = "nd=b.test; ", .find = "rt=PHIxQGMudGVzdD4=; ", .put = "" }), PERM,
	    "DKIM2-Signature i=1 tag=mf was unexpected");
	want("beside rt=", one_hop((struct hop){ .d = "a.test", .extra = "nd=b.test; ", .find = "mf=PHNAYS50ZXN0Pg==; ", .put = "" }), PERM,
	    "DKIM2-Signature i=1 tag=rt was unexpected");
	want("a literal", one_hop((struct hop){ .d = "a.test", .nd = "[192.0.2.1]" }), PERM, SYNTAX_1);
	/* forty hops of one domain that name itself: as good as that domain's word, and one question */
	long_chain = add_hop(one, 1, &(struct hop){ .d = "a.test", .rt = "<x@evil.test>" });
	for (unsigned i = 2; i <= 41; i++)
		long_chain = add_hop(long_chain, i, &(struct hop){ .d = "evil.test", .nd = i < 41 ? "evil.test" : "c.test" });
	v = judged(add_hop(long_chain, 42, &(struct hop){ .d = "c.test", .rt = "<r1@c.test>" }), "<s@c.test>", "<r1@c.test>", NOW, 9);
	assert_int_equal(v->state, DKIM2_PASS);
	assert_int_equal(asks, 3);
	assert_int_equal(v->hop_count, 42);
	/* they name b.test, which did not sign */
	v = judged(add_hop(long_chain, 42, &(struct hop){ .d = "b.test", .rt = "<r1@c.test>" }), "<s@b.test>", "<r1@c.test>", NOW, 9);
	assert_int_equal(v->state, DKIM2_FAIL);
}

static void dkim2_forged_middle(void **state)
{
	const struct hop forged[] = { { .d = "a.test", .rt = "<x@b.test>" }, { .d = "b.test", .rt = "<x@evil.test>", .s = "forged:ed25519-sha256:*" },
		{ .d = "evil.test", .rt = "<r1@c.test>" } };
	struct slice message;
	const struct dkim2_verdict *v;
	struct slice key = keyrec_text(&arena, domain_keys[1]);

	(void)state;
	json_object_set_new(zone, "forged._domainkey.b.test", json_pack("[s%]", key.at, key.n));
	message = hops(forge_instance(slice_str(base_message), 1), forged, 3);
	v = judged(message, "<s@evil.test>", "<r1@c.test>", NOW, 9);
	want_verdict(v, DKIM2_FAIL, "DKIM2-Signature i=2 forged incorrect signature");
	assert_int_equal(v->blamed, 2);
	assert_int_equal(v->hops[2].state, DKIM2_PASS);
	assert_false(dkim2_fully_verified(v));
}

static void dkim2_chain_transplant(void **state)
{
	struct slice message = plain_hop(), other = S("From: s@a.test\r\nSubject: other\r\n\r\nhello\r\n"), h, body;
	size_t seen = 0, block, at;

	(void)state;
	want("the same", message, DKIM2_PASS, "");
	want("more body", join(message, S("other text\r\n"), SLICE_NONE), DKIM2_FAIL, "Message Instance m=1 body hash sha256 mismatch");
	want("less body", slice_sub(message, 0, message.n - 7), DKIM2_FAIL, "Message Instance m=1 body hash sha256 mismatch");
	assert_true(header_end(message, &seen, &block, &at));
	h = slice_sub(message, 0, block - strlen(base_message) + 7 + 2); /* the two fields of the chain */
	body = slice_sub(h, 0, (size_t)((const unsigned char *)memmem(h.at, h.n, "From:", 5) - h.at));
	want("the pair on another message", join(body, other, SLICE_NONE), DKIM2_FAIL, "Message Instance m=1 header hash sha256 mismatch");
}

static void dkim2_header_added(void **state)
{
	static const struct {
		const char *name, *find, *put;
		enum dkim2_state state;
	} rows[] = {
		{ "added", "From:", "Reply-To: x@evil.test\r\nFrom:", DKIM2_FAIL },
		{ "added below", "\r\n\r\n", "\r\nReply-To: x@evil.test\r\n\r\n", DKIM2_FAIL },
		{ "removed", "Subject: t\r\n", "", DKIM2_FAIL },
		{ "changed", "Subject: t", "Subject: T", DKIM2_FAIL },
		{ "emptied", "Subject: t", "Subject:", DKIM2_FAIL },
		{ "a second Subject", "Subject: t\r\n", "Subject: t\r\nSubject: t\r\n", DKIM2_FAIL },
		{ "joined", "Subject: t\r\nDate:", "Subject: t\r\n Date:", DKIM2_FAIL },
		{ "renamed", "Subject:", "Subjects:", DKIM2_FAIL },
		{ "another order of names", "To: r1@c.test\r\nSubject: t\r\n", "Subject: t\r\nTo: r1@c.test\r\n", DKIM2_PASS },
		{ "folded", "Subject: t", "SUBJECT:\r\n \t t ", DKIM2_PASS },
	};
	struct slice twice = S("Comments: upper\r\nComments: lower\r\nFrom: s@a.test\r\n\r\nhello\r\n");
	struct slice message = add_hop(forge_instance(twice, 1), 1, &(struct hop){ .d = "a.test", .rt = "<r1@c.test>" });

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		want(rows[i].name, replaced(plain_hop(), rows[i].find, slice_str(rows[i].put)), rows[i].state,
		    rows[i].state == DKIM2_PASS ? "" : "Message Instance m=1 header hash sha256 mismatch");
	want("one name in order", message, DKIM2_PASS, "");
	want("one name in another order", replaced(message, "Comments: upper\r\nComments: lower", S("Comments: lower\r\nComments: upper")), DKIM2_FAIL,
	    "Message Instance m=1 header hash sha256 mismatch");
}

static void dkim2_unsigned_headers(void **state)
{
	static const char *const left_out[] = { "X-Spam-Status: No", "X-Trusted: yes", "Received-SPF: pass", "Received: by x", "Return-Path: <x@evil.test>",
		"Delivered-To: x", "Authentication-Results: mx.c.test; dkim2=pass", "DKIM-Signature: v=1", "ARC-Seal: i=1", "ARC-Message-Signature: i=1",
		"ARC-Authentication-Results: i=1" };
	static const char *const hashed[] = { "ARC-Foo: 1", "Bcc: x@evil.test", "Auto-Submitted: no", "Authentication-Results-Original: x", "X: 1", "Xx-Foo: 1",
		"DomainKey-Signature: x", "Resent-From: x@evil.test", "Content-Type: text/html" };

	(void)state;
	for (size_t i = 0; i < ROWS(left_out); i++)
		want(left_out[i], join(slice_str(left_out[i]), S("\r\n"), plain_hop()), DKIM2_PASS, "");
	for (size_t i = 0; i < ROWS(hashed); i++)
		want(hashed[i], join(slice_str(hashed[i]), S("\r\n"), plain_hop()), DKIM2_FAIL, "Message Instance m=1 header hash sha256 mismatch");
}

#define WRONG_512 "sha512:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==" \
	":AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="
static void dkim2_hash_list(void **state)
{
	static const struct {
		const char *name, *h;
		enum dkim2_state state;
		const char *reason;
	} rows[] = {
		{ "right", "%s", DKIM2_PASS, "" },
		{ "a name twice", "%s,sha256:" OCTETS_32 ":" OCTETS_32, PERM, "Message-Instance m=1 has a duplicate hash algorithm" },
		{ "a name twice, other case", "%s,SHA256:AAAA:AAAA", PERM, "Message-Instance m=1 has a duplicate hash algorithm" },
		{ "a name twice in two groups", "sha256:" OCTETS_32 ":" OCTETS_32 "|%s", PERM, "Message-Instance m=1 has a duplicate hash algorithm" },
		{ "right and wrong", "%s," WRONG_512, DKIM2_FAIL, "Message Instance m=1 header hash sha512 mismatch" },
		{ "right or wrong", "%s|" WRONG_512, DKIM2_PASS, "" },
		{ "wrong or right", WRONG_512 "|%s", DKIM2_PASS, "" },
		{ "only unknown", "md5:AAAA:AAAA", PERM, "Message-Instance m=1 unknown hash algorithm md5" },
		{ "capitals are unknown", "SHA256:" OCTETS_32 ":" OCTETS_32, PERM, "Message-Instance m=1 unknown hash algorithm SHA256" },
		{ "right and unknown", "%s,md5:AAAA:AAAA", PERM, "Message-Instance m=1 unknown hash algorithm md5" },
		{ "right or unknown", "%s|md5:AAAA:AAAA", DKIM2_PASS, "" },
		{ "31 octets", "sha256:" OCTETS_31 ":" OCTETS_32, PERM, "Message-Instance m=1 syntax error" },
		{ "65 octets", "sha512:" OCTETS_32 ":AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", PERM, "Message-Instance m=1 syntax error" },
		{ "empty", "", PERM, "Message-Instance m=1 syntax error" },
		{ "empty set", "%s,", PERM, "Message-Instance m=1 syntax error" },
		{ "empty group", "|%s", PERM, "Message-Instance m=1 syntax error" },
		{ "four parts", "%s:AAAA", PERM, "Message-Instance m=1 syntax error" },
		{ "two parts", "sha256:" OCTETS_32, PERM, "Message-Instance m=1 syntax error" },
		{ "no hash", "sha256::", PERM, "Message-Instance m=1 syntax error" },
	};
	char many[8 * 500 + 16] = "%s";

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		want(rows[i].name, hashed_as(rows[i].h), rows[i].state, rows[i].reason);
	for (size_t i = 0; i < 500; i++)
		strcat(many, "|x:AA:AA");
	want("501 sets", hashed_as(many), PERM, "Message-Instance m=1 syntax error");
}

static void dkim2_selector_list(void **state)
{
	char many[20 * 200] = "k1:foo-sha256:*";

	(void)state;
	want("twice", one_hop((struct hop){ .d = "a.test", .s = "e:ed25519-sha256:*,e:rsa-sha256:*" }), PERM, "DKIM2-Signature i=1 has a duplicate selector");
	want("twice, other case", one_hop((struct hop){ .d = "a.test", .s = "e:ed25519-sha256:*|E:rsa-sha256:*" }), PERM,
	    "DKIM2-Signature i=1 has a duplicate selector");
	for (int i = 2; i <= 200; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many), ",k%d:foo-sha256:*", i);
	want("200 unknown", one_hop((struct hop){ .d = "a.test", .s = many }), PERM, "DKIM2-Signature i=1 has more selectors than allowed");
	for (int draft = 6; draft <= 9; draft++)
		want_at("three of one algorithm", one_hop((struct hop){ .d = "a.test", .s = "r2048:rsa-sha256:*,x:rsa-sha256:*,y:rsa-sha256:*" }), "<s@a.test>",
		    "<r1@c.test>", (unsigned)draft, PERM);
	/* from -08 they are judged: here by their keys, of which two are not there */
	want("three of one algorithm, newest draft", one_hop((struct hop){ .d = "a.test", .s = "r2048:rsa-sha256:*,x:rsa-sha256:*,y:rsa-sha256:*" }), PERM,
	    "DKIM2-Signature i=1 public key x does not exist");
	want("three alternatives of one algorithm", one_hop((struct hop){ .d = "a.test", .s = "r2048:rsa-sha256:*|x:rsa-sha256:*|y:rsa-sha256:*" }), DKIM2_PASS, "");
	want("selector in capitals", one_hop((struct hop){ .d = "a.test", .s = "E:ed25519-sha256:*" }), DKIM2_PASS, "");
}

static void dkim2_one_good_one_bad(void **state)
{
	struct slice bad_second = one_hop((struct hop){ .d = "a.test", .s = "r2048:rsa-sha256:*,e:ed25519-sha256:*" });
	struct slice bad_first = one_hop((struct hop){ .d = "a.test", .s = "e:ed25519-sha256:*,r2048:rsa-sha256:*" });
	struct slice either = one_hop((struct hop){ .d = "a.test", .s = "e:ed25519-sha256:*|r2048:rsa-sha256:*" });
	struct slice short_one = S("ed25519-sha256:AAAA");
	const struct dkim2_verdict *v;

	(void)state;
	want("both", bad_second, DKIM2_PASS, "");
	/* altered: the first four letters of the Ed25519 value */
	bad_second = replaced(bad_second, "ed25519-sha256:", short_one);
	bad_first = replaced(bad_first, "ed25519-sha256:", short_one);
	either = replaced(either, "ed25519-sha256:", short_one);
	want("the second is wrong", bad_second, DKIM2_FAIL, "DKIM2-Signature i=1 e incorrect signature");
	want("the first is wrong", bad_first, DKIM2_FAIL, "DKIM2-Signature i=1 e incorrect signature");
	want("an alternative is wrong", either, DKIM2_PASS, "");
	v = judged(bad_first, "<s@a.test>", "<r1@c.test>", NOW, 7);
	want_verdict(v, DKIM2_FAIL, "DKIM2-Signature i=1 r2048 signature passed, e signature failed");
}

static void dkim2_algorithm_confusion(void **state)
{
	static const struct {
		const char *name, *s, *record, *reason;
	} rows[] = {
		{ "RSA claimed, Ed25519 key", "e:rsa-sha256:*", NULL, "DKIM2-Signature i=1 public key e algorithm mismatch" },
		{ "Ed25519 claimed, RSA key", "r2048:ed25519-sha256:*", NULL, "DKIM2-Signature i=1 public key r2048 algorithm mismatch" },
		{ "capitals", "r2048:RSA-SHA256:*", NULL, "DKIM2-Signature i=1 r2048 unknown algorithm" },
		{ "rsa-sha1", "r2048:rsa-sha1:*", NULL, "DKIM2-Signature i=1 r2048 unknown algorithm" },
		{ "unknown", "r2048:rsa-sha257:*", NULL, "DKIM2-Signature i=1 r2048 unknown algorithm" },
		{ "512 bits", "w:rsa-sha256:*", "v=DKIM1; p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAJ5lL/p84+vGr+7vaS7vA9WGyXrOLqu24RDt3BadsovCww4aPkrZBI+FMS0IVGR/M/l4uZp7K6BAm1xqefMGIK8CAwEAAQ==",
		  "DKIM2-Signature i=1 public key w has a syntax error" },
		{ "768 bits", "w:rsa-sha256:*", "v=DKIM1; p=MHwwDQYJKoZIhvcNAQEBBQADawAwaAJhAOLMXsqnz9kjr6MJq8qyr5F4/yPZ2IKbWMqWZUPdL2XM7FkADay6jmPSlzPyorq/29RNGtIAIToQENX73/ap3gZmIM9380JZpn3AG/CwQ25ChAy/IieAQeOkxdPsumn9EwIDAQAB",
		  "DKIM2-Signature i=1 public key w has a syntax error" },
		{ "unknown key type", "w:rsa-sha256:*", "v=DKIM1; k=unknown; p=AAAA", "DKIM2-Signature i=1 public key w algorithm mismatch" },
		{ "key type in capitals", "w:rsa-sha256:*", "v=DKIM1; k=RSA; p=AAAA", "DKIM2-Signature i=1 public key w algorithm mismatch" },
	};
	struct key *large = key_generate(KEY_RSA, 5120);
	struct slice text = keyrec_text(&arena, large);

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		if (rows[i].record)
			json_object_set_new(zone, "w._domainkey.a.test", json_pack("[s]", rows[i].record));
		want(rows[i].name, one_hop((struct hop){ .d = "a.test", .s = rows[i].s }), PERM, rows[i].reason);
	}
	json_object_set_new(zone, "w._domainkey.a.test", json_pack("[s%]", text.at, text.n));
	{
		struct key *small = keys[2];

		keys[2] = large;
		want("5120 bits", one_hop((struct hop){ .d = "a.test", .s = "w:rsa-sha256:*" }), DKIM2_PASS, "");
		keys[2] = small;
	}
	key_drop(&large);
}

static void dkim2_key_states(void **state)
{
	static const struct {
		const char *name, *records, *reason;
		enum dkim2_state state;
	} rows[] = {
		{ "absent", "[]", "DKIM2-Signature i=1 public key k does not exist", PERM },
		{ "revoked", "[\"v=DKIM1; p=\"]", "DKIM2-Signature i=1 public key k has been revoked", PERM },
		{ "two", "[\"v=DKIM1; p=AAAA\", \"v=DKIM1; p=AAAA\"]", "DKIM2-Signature i=1 public key k has multiple records", PERM },
		{ "key beside another text", "[\"v=spf1 -all\", \"v=DKIM1; p=AAAA\"]", "DKIM2-Signature i=1 public key k has multiple records", PERM },
		{ "syntax", "[\"v=DKIM1; p=; p=AAAA\"]", "DKIM2-Signature i=1 public key k has a syntax error", PERM },
		{ "no p=", "[\"v=DKIM1; k=ed25519\"]", "DKIM2-Signature i=1 public key k has a syntax error", PERM },
		{ "v= not first", "[\"k=ed25519; v=DKIM1; p=AAAA\"]", "DKIM2-Signature i=1 public key k has a syntax error", PERM },
		{ "SERVFAIL", "{\"error\": \"servfail\"}", "DKIM2-Signature i=1 public key k could not be fetched", DKIM2_TEMPERROR },
		{ "time-out", "{\"error\": \"timeout\"}", "DKIM2-Signature i=1 public key k could not be fetched", DKIM2_TEMPERROR },
	};
	const struct hop both[] = { { .d = "a.test", .rt = "<x@b.test>", .s = "k:ed25519-sha256:*" }, { .d = "b.test", .rt = "<r1@c.test>", .s = "k:ed25519-sha256:*" } };
	struct slice one = forge_instance(slice_str(base_message), 1);
	const struct dkim2_verdict *v;

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		json_object_set_new(zone, "k._domainkey.a.test", json_loads(rows[i].records, 0, NULL));
		want(rows[i].name, one_hop((struct hop){ .d = "a.test", .s = "k:ed25519-sha256:*" }), rows[i].state, rows[i].reason);
	}
	/* one cannot be reached and one is not there */
	json_object_set_new(zone, "k._domainkey.b.test", json_loads("[]", 0, NULL));
	v = judged(hops(one, both, 2), "<s@b.test>", "<r1@c.test>", NOW, 9);
	want_verdict(v, PERM, "DKIM2-Signature i=2 public key k does not exist");
	/* a bad signature is no reason to wait for a key */
	v = judged(join(hops(one, both, 1), S("x\r\n"), SLICE_NONE), "<s@a.test>", "<x@b.test>", NOW, 9);
	want_verdict(v, DKIM2_FAIL, "Message Instance m=1 body hash sha256 mismatch");
}

static void dkim2_timestamps(void **state)
{
	static const struct {
		const char *name;
		int64_t t;
		enum dkim2_state state;
	} rows[] = {
		{ "14 days", NOW + 10 - 1209600, DKIM2_PASS },
		{ "14 days and a second", NOW + 10 - 1209601, DKIM2_FAIL },
		{ "300 s ahead", NOW + 310, DKIM2_PASS },
		{ "301 s ahead", NOW + 311, DKIM2_FAIL },
		{ "two days ahead", NOW + 172800, DKIM2_FAIL },
		{ "10^12", 1000000000000, DKIM2_FAIL },
		{ "2^63-1", INT64_MAX, DKIM2_FAIL },
	};
	static const struct {
		const char *name, *put;
		enum dkim2_state state;
	} texts[] = {
		{ "0", "t=0;", DKIM2_FAIL },
		{ "2^64-1", "t=18446744073709551615;", DKIM2_FAIL },
		{ "2^64", "t=18446744073709551616;", PERM },
		{ "25 digits", "t=9999999999999999999999999;", PERM },
		{ "a leading zero", "t=01795255200;", PERM },
		{ "a sign", "t=-1;", PERM },
		{ "a fraction", "t=1795255200.0;", PERM },
		{ "nothing", "t=;", PERM },
	};
	const struct hop falling[] = { { .d = "a.test", .rt = "<x@b.test>", .t = NOW }, { .d = "b.test", .rt = "<r1@c.test>", .t = NOW - 4000 } };

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		for (unsigned draft = 7; draft <= 9; draft++)
			want_at(rows[i].name, one_hop((struct hop){ .d = "a.test", .t = rows[i].t }), "<s@a.test>", "<r1@c.test>", draft,
			    rows[i].state == DKIM2_FAIL && draft < 8 ? PERM : rows[i].state);
	for (size_t i = 0; i < ROWS(texts); i++)
		want_at(texts[i].name, one_hop((struct hop){ .d = "a.test", .find = "t=1795255200;", .put = texts[i].put }), "<s@a.test>", "<r1@c.test>", 9,
		    texts[i].state);
	want_at("it falls along the chain", hops(forge_instance(slice_str(base_message), 1), falling, 2), "<s@b.test>", "<r1@c.test>", 9, DKIM2_PASS);
	/* the syntax is judged even if the time is not */
	assert_int_equal(judged(one_hop((struct hop){ .d = "a.test", .find = "t=1795255200;", .put = "t=x;" }), "<s@a.test>", "<r1@c.test>", -1, 9)->state, PERM);
	assert_int_equal(judged(one_hop((struct hop){ .d = "a.test", .t = 1 }), "<s@a.test>", "<r1@c.test>", -1, 9)->state, DKIM2_PASS);
}

/* Old and unknown flags do nothing, and many of them neither. */
static void dkim2_old_flags(void **state)
{
	const struct hop two[] = { { .d = "a.test", .rt = "<x@b.test>", .extra = "f=donotmodify,donotexplode,zzz; " },
		{ .d = "b.test", .rt = "<r1@c.test>", .extra = "f=exploded; " } };
	char many[2 * 1000 + 16] = "f=a";
	const struct dkim2_verdict *v;

	(void)state;
	v = judged(hops(forge_instance(slice_str(base_message), 1), two, 2), "<s@b.test>", "<r1@c.test>", NOW, 9);
	want_verdict(v, DKIM2_PASS, "");
	assert_true(v->exploded);
	for (size_t i = 1; i < 1000; i++)
		strcat(many, ",a");
	strcat(many, ";");
	want("1000 flags", one_hop((struct hop){ .d = "a.test", .extra = many }), DKIM2_PASS, "");
	want("a flag in capitals is unknown", one_hop((struct hop){ .d = "a.test", .extra = "f=EXPLODED;" }), DKIM2_PASS, "");
	assert_false(judged(one_hop((struct hop){ .d = "a.test", .extra = "f=EXPLODED;" }), "<s@a.test>", "<r1@c.test>", NOW, 9)->exploded);
	want("an empty flag", one_hop((struct hop){ .d = "a.test", .extra = "f=a,,b;" }), PERM, SYNTAX_1);
}

static const struct dkim2_seal_set set_e[] = { { .selector = { (const unsigned char *)"e", 1 }, .type = KEY_ED25519 } };

/* What a sealer says to a message as it came; the fault's text, or "" when it would seal. */
static const char *seals(struct slice message, const struct dkim2_verdict *came, const char *d, const char *mail_from, const char *rcpt)
{
	static struct fault f;
	struct slice to = slice_str(rcpt), body;
	struct dkim2_seal_conf *conf = ARENA_NEW(&arena, struct dkim2_seal_conf);
	struct header h;

	*conf = (struct dkim2_seal_conf){ .d = slice_str(d), .mail_from = slice_str(mail_from), .rcpt_to = &to, .rcpt_count = 1, .sets = set_e, .set_count = 1, .now = NOW };
	f = (struct fault){ 0 };
	split(message, &h, &body);
	return dkim2_seal_new(&arena, &h, body_hash(body, DIGEST_SHA256), came, conf, &f) ? "" : f.text;
}

static void dkim2_sign_broken_chain(void **state)
{
	struct slice message = one_hop((struct hop){ .d = "a.test", .rt = "<x@b.test>" }), changed = join(message, S("x\r\n"), SLICE_NONE);
	const struct dkim2_verdict *v = judged(message, "<s@a.test>", "<x@b.test>", NOW, 9);

	(void)state;
	assert_string_equal(seals(message, v, "b.test", "<x@b.test>", "<r1@c.test>"), "");
	v = judged(changed, "<s@a.test>", "<x@b.test>", NOW, 9);
	assert_string_equal(seals(changed, v, "b.test", "<x@b.test>", "<r1@c.test>"), "Message Instance m=1 body hash sha256 mismatch");
	v = judged(message, "<s@a.test>", "<y@b.test>", NOW, 9);
	assert_string_equal(seals(message, v, "b.test", "<x@b.test>", "<r1@c.test>"), "DKIM2-Signature i=1 RCPT TO <y@b.test> did not match");
	json_object_set_new(zone, "k._domainkey.a.test", json_loads("{\"error\": \"servfail\"}", 0, NULL));
	message = one_hop((struct hop){ .d = "a.test", .rt = "<x@b.test>", .s = "k:ed25519-sha256:*" });
	v = judged(message, "<s@a.test>", "<x@b.test>", NOW, 9);
	assert_string_equal(seals(message, v, "b.test", "<x@b.test>", "<r1@c.test>"), "DKIM2-Signature i=1 public key k could not be fetched");
}

/* A body that cannot be had again, as up to -08: only the newest hop is known, and that is never enough to go on from. */
static void a_provisional_chain_is_never_extended(void **state)
{
	struct slice one = forge_instance(slice_str(base_message), 1), message;
	const struct dkim2_verdict *v;

	(void)state;
	message = add_hop(one, 1, &(struct hop){ .d = "a.test", .rt = "<x@b.test>" });
	message = replaced(forge_instance(join(message, S("footer\r\n"), SLICE_NONE), 2), "m=2;", S("m=2; r=eyJiIjpudWxsfQ==;"));
	message = add_hop(message, 2, &(struct hop){ .d = "b.test", .rt = "<x@c.test>", .m = 2 });
	v = judged(message, "<s@b.test>", "<x@c.test>", NOW, 8);
	assert_int_equal(v->state, DKIM2_PASS);
	assert_int_equal(v->level, DKIM2_PROVISIONAL);
	assert_false(dkim2_fully_verified(v));
	assert_true(seals(message, v, "c.test", "<x@c.test>", "<r1@c.test>")[0] != '\0');
	v = judged(message, NULL, NULL, NOW, 8);
	assert_int_equal(v->level, DKIM2_NO_ENVELOPE);
	assert_true(seals(message, v, "c.test", "<x@c.test>", "<r1@c.test>")[0] != '\0');
	v = judged(message, "<s@b.test>", "<x@c.test>", NOW, 9);
	assert_int_equal(v->state, DKIM2_PERMERROR);
	assert_int_equal(v->about, DKIM2_ABOUT_RECIPE);
}

static void dkim2_field_name_tricks(void **state)
{
	static const struct {
		const char *name, *top;
		enum dkim2_state state;
		const char *reason;
	} rows[] = {
		{ "instance, blank before the colon", "message-INSTANCE : m=2; h=sha256:AA==:AA==;\r\n", PERM, "Message-Instance m=2 syntax error" },
		{ "instance, odd case", "mEsSaGe-InStAnCe:m=2; h=sha256:AA==:AA==;\r\n", PERM, "Message-Instance m=2 syntax error" },
		{ "instance, folded right behind the colon", "Message-Instance:\r\n m=2; h=x:AA==:AA==;\r\n", PERM, "Message-Instance m=2 is not signed" },
		{ "seal, tab before the colon", "DKIM2-SIGNATURE\t: junk\r\n", PERM, "DKIM2-Signature i=? syntax error" },
		{ "seal, folded right behind the colon", "dkim2-signature:\r\n\ti=2;\r\n", PERM, "DKIM2-Signature i=2 tag=m missing" },
		{ "seal, folded before the colon", "DKIM2-Signature\r\n : i=2;\r\n", PERM, "header holds a line that is no field" },
		{ "8-bit look-alike", "DKIM2-Signatur\xd0\xb5: i=2;\r\n", PERM, "header holds a line that is no field" },
		{ "encoded word", "=?us-ascii?q?DKIM2-Signature?=: i=2;\r\n", DKIM2_FAIL, "Message Instance m=1 header hash sha256 mismatch" },
		{ "a longer name", "DKIM2-Signatures: i=2;\r\n", DKIM2_FAIL, "Message Instance m=1 header hash sha256 mismatch" },
		{ "a line that begins with a blank", " DKIM2-Signature: i=2;\r\n", PERM, "header holds a line that is no field" },
		{ "hidden in a fold", "X-A: b\r\n DKIM2-Signature: i=2;\r\n", DKIM2_PASS, "" },
		{ "behind a bare LF", "X-A: b\nDKIM2-Signature: i=2;\r\n", DKIM2_PASS, "" },
	};
	static const char part[] = "DKIM2-Signature: i=2; m=1; t=1; d=evil.test; nd=c.test; s=e:ed25519-sha256:AAAA;\r\n";
	struct slice message;

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		want(rows[i].name, join(slice_str(rows[i].top), plain_hop(), SLICE_NONE), rows[i].state, rows[i].reason);
	/* below the empty line it is body, whatever it looks like */
	message = join(slice_str(base_message), slice_str(part), S("--b\r\n"));
	want("in the body", add_hop(forge_instance(message, 1), 1, &(struct hop){ .d = "a.test", .rt = "<r1@c.test>" }), DKIM2_PASS, "");
	assert_int_equal(judged(message, "<s@a.test>", "<r1@c.test>", NOW, 9)->state, DKIM2_NONE);
}

static void dkim2_author_domain(void **state)
{
	static const struct {
		const char *name, *from;
	} rows[] = {
		{ "another's", "From: ceo@b.test" },
		{ "one of two", "From: e@evil.test, ceo@b.test" },
		{ "two fields", "From: e@evil.test\r\nFrom: ceo@b.test" },
		{ "in front of the angle", "From: <ceo@b.test>(x), \"s@a.test\" <x@evil.test>" },
		{ "in a group", "From: g:ceo@b.test;" },
		{ "NUL-like", "From: ceo@b.test\\@evil.test" },
		{ "two words", "From: ceo@b.test <x@evil.test>" },
		{ "no address", "From: ceo" },
		{ "comment without end", "From: x@evil.test (ceo@b.test" },
		{ "bare LF", "From: x@evil.test\n" },
		{ "none", "To: x@evil.test" },
		{ "blank before the colon", "From : ceo@b.test" },
		{ "folded right behind the colon", "From:\r\n ceo@b.test" },
		{ "odd case", "fROM:ceo@b.test" },
		{ "suffix without label border", "From: ceo@notevil.test" },
		{ "the domain above", "From: ceo@test" },
		{ "look-alike", "From: ceo@evi\xd4\x8f.test" },
	};
	static const char *const fine[] = { "From: =?utf-8?q?=3Cceo=40b.test=3E?= <x@evil.test>", "From: <@b.test:x@evil.test>", "From: \"ceo@b.test\" <x@sub.evil.test>",
		"From: x@evil.test (ceo@b.test)" };

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct slice message = forge_instance(join(slice_str(rows[i].from), S("\r\n\r\nhello\r\n"), SLICE_NONE), 1);
		const struct dkim2_verdict *v;

		message = add_hop(message, 1, &(struct hop){ .d = "evil.test", .rt = "<r1@c.test>" });
		v = judged(message, "<s@evil.test>", "<r1@c.test>", NOW, 9);
		if (v->state != DKIM2_FAIL || !slice_eq(v->reason, S("From header field is not Authentic for d=evil.test")))
			fail_msg("%s: %s %.*s", rows[i].name, dkim2_state_name(v->state), SLICE_FMT(v->reason));
	}
	for (size_t i = 0; i < ROWS(fine); i++) {
		struct slice message = forge_instance(join(slice_str(fine[i]), S("\r\n\r\nhello\r\n"), SLICE_NONE), 1);

		message = add_hop(message, 1, &(struct hop){ .d = "evil.test", .rt = "<r1@c.test>" });
		if (!dkim2_fully_verified(judged(message, "<s@evil.test>", "<r1@c.test>", NOW, 9)))
			fail_msg("%s", fine[i]);
	}
}

/* The seal is of the envelope as it leaves; where d= does not cover it there is none. */
static void dkim2_rewrite_envelope(void **state)
{
	struct slice message = one_hop((struct hop){ .d = "a.test", .rt = "<l@list.test>" });
	const struct dkim2_verdict *v = judged(message, "<s@a.test>", "<l@list.test>", NOW, 9);

	(void)state;
	assert_string_equal(seals(message, v, "list.test", "<bounce+x@list.test>", "<r9@b.test>"), "");
	assert_string_equal(seals(message, v, "list.test", "<s@a.test>", "<r9@b.test>"), "DKIM2-Signature i=2 MAIL FROM and d= do not match");
	assert_string_equal(seals(message, v, "a.test", "<s@a.test>", "<r9@b.test>"), "DKIM2-Signature i=2 MAIL FROM does not match RCPT TO of i=1");
	assert_string_equal(seals(slice_str(base_message), NULL, "a.test", "<bounce+x@list.test>", "<r9@b.test>"), "DKIM2-Signature i=1 MAIL FROM and d= do not match");
}

/* ---- the catalogue ---- */

#define RECIPES "t/system/attacks_recipes.py"

static const struct {
	const char *id, *where; /* NULL: above */
} catalogue[] = {
	{ "dkim2-sequence-gaps", NULL },
	{ "dkim2-instance-unsigned", NULL },
	{ "dkim2-tag-syntax", NULL },
	{ "dkim2-base64-strictness", NULL },
	{ "dkim2-path-form", NULL },
	{ "dkim2-domain-suffix", NULL },
	{ "dkim2-envelope-mismatch", NULL },
	{ "dkim2-envelope-confusion-multi", NULL },
	{ "dkim2-custody-break", NULL },
	{ "dkim2-nd-abuse", NULL },
	{ "dkim2-forged-middle", NULL },
	{ "dkim2-chain-transplant", NULL },
	{ "dkim2-header-added", NULL },
	{ "dkim2-unsigned-headers", NULL },
	{ "dkim2-recipe-copy-range", RECIPES },
	{ "dkim2-recipe-overlap", RECIPES },
	{ "dkim2-recipe-history-bomb", RECIPES },
	{ "dkim2-recipe-line-bomb", RECIPES },
	{ "dkim2-json-depth", RECIPES },
	{ "dkim2-json-ambiguity", RECIPES },
	{ "dkim2-json-collisions", RECIPES },
	{ "dkim2-recipe-shapes", RECIPES },
	{ "dkim2-recipe-crlf", RECIPES },
	{ "dkim2-recipe-own-fields", RECIPES },
	{ "dkim2-recipe-wrong-undo", RECIPES },
	{ "dkim2-base64-bomb", "t/system/test_attacks.py: its answer is the header limit's" },
	{ "dkim2-hash-list", NULL },
	{ "dkim2-selector-list", NULL },
	{ "dkim2-one-good-one-bad", NULL },
	{ "dkim2-algorithm-confusion", NULL },
	{ "dkim2-key-states", NULL },
	{ "dkim2-timestamps", NULL },
	{ "dkim2-replay-first-copy", "waits for the replay store" },
	{ "dkim2-replay-retry", "waits for the replay store" },
	{ "dkim2-old-flags", "above, and for the change between its hops " RECIPES },
	{ "dkim2-sign-broken-chain", NULL },
	{ "dkim2-bcc-leak", "waits for the queue" },
	{ "dkim2-bcc-sync-refused", "t/system/test_attacks.py: one recipient a transaction" },
	{ "dkim2-rewrite-envelope", NULL },
	{ "dkim2-own-verify", "test_dkim2_property, test_dkim2_changes, and other implementations t/system/test_own_verify.py" },
	{ "dkim2-charset-lines", "test_dkim2_changes and " RECIPES },
	{ "dkim2-forged-dsn", "waits for reports of failure" },
	{ "dkim2-dsn-target", "waits for the queue" },
	{ "dkim2-field-name-tricks", NULL },
	{ "dkim2-author-domain", "above, and for the hop that replaces From " RECIPES },
};

/* Every case of the catalogue stands in the table, and the other way round. */
static void the_catalogue_is_complete(void **state)
{
	struct slice text, rest, line;
	char path[600];
	size_t found = 0;

	(void)state;
	assert_non_null(getenv("SRCDIR"));
	snprintf(path, sizeof(path), "%s/t/data/attacks.yaml", getenv("SRCDIR"));
	text = vector_file(&arena, path);
	assert_true(text.n > 0);
	for (rest = text; rest.n;) {
		bool known = false;

		slice_cut(&rest, '\n', &line);
		if (!slice_starts(line, S("- id: dkim2-")))
			continue;
		line = slice_trim(slice_sub(line, 6, SIZE_MAX));
		for (size_t i = 0; i < ROWS(catalogue) && !known; i++)
			known = slice_eq(line, slice_str(catalogue[i].id));
		if (!known)
			fail_msg("no row for %.*s", SLICE_FMT(line));
		found++;
	}
	assert_int_equal(found, ROWS(catalogue));
	for (size_t i = 0; i < ROWS(catalogue); i++)
		if (catalogue[i].where)
			printf("# %s: %s\n", catalogue[i].id, catalogue[i].where);
}

#define TEST(f) cmocka_unit_test_setup(f, fresh_arena)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(dkim2_sequence_gaps),
		TEST(dkim2_instance_unsigned),
		TEST(dkim2_tag_syntax),
		TEST(dkim2_base64_strictness),
		TEST(dkim2_path_form),
		TEST(dkim2_domain_suffix),
		TEST(dkim2_envelope_mismatch),
		TEST(dkim2_envelope_confusion_multi),
		TEST(dkim2_custody_break),
		TEST(dkim2_nd_abuse),
		TEST(dkim2_forged_middle),
		TEST(dkim2_chain_transplant),
		TEST(dkim2_header_added),
		TEST(dkim2_unsigned_headers),
		TEST(dkim2_hash_list),
		TEST(dkim2_selector_list),
		TEST(dkim2_one_good_one_bad),
		TEST(dkim2_algorithm_confusion),
		TEST(dkim2_key_states),
		TEST(dkim2_timestamps),
		TEST(dkim2_old_flags),
		TEST(dkim2_sign_broken_chain),
		TEST(a_provisional_chain_is_never_extended),
		TEST(dkim2_field_name_tricks),
		TEST(dkim2_author_domain),
		TEST(dkim2_rewrite_envelope),
		TEST(the_catalogue_is_complete),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make_domains, end_domains);
}
