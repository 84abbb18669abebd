/*
 * The cases of t/data/attacks.yaml, area dkim, that the engine can judge by itself: each test carries the case's name, and the
 * catalogue is compared with them at the end.
 */
#include "dkim_sender.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "base/limits.h"
#include "vectors.h"

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

#define NOW 1000000
#define TAGS "v=1; a=rsa-sha256; c=relaxed/relaxed; d=a.test; s=k; h=from:to:subject"
#define MESSAGE S("From: a@a.test\r\nTo: b@b.test\r\nSubject: one\r\n\r\nHello,\r\nyou\r\n")

#define PASS DKIM_PASS
#define FAIL DKIM_FAIL
#define PERM DKIM_PERMERROR
#define POLICY DKIM_POLICY

/* The message judged with one record at k._domainkey.a.test; everybody else has none. */
static const struct dkim_verdict *judged_by(struct slice message, struct slice record, size_t *questions)
{
	struct slice json = join3(S("{\"k._domainkey.a.test\": [\""), record, S("\"]}"));
	struct dkim_terms terms = dkim_usual_terms(NOW);
	const struct dkim_verdict *v;
	struct dkim_way way = { 0 };
	struct answers *zone;

	zone = zone_new(arena_string(&arena, json));
	v = dkim_judge(&arena, message, &terms, zone, &way);
	answers_free(&zone);
	if (questions)
		*questions = way.questions;
	return v;
}

static const struct dkim_verdict *judged(struct slice message)
{
	return judged_by(message, keyrec_text(&arena, sender_rsa), NULL);
}

static void want(const char *name, const struct dkim_verdict *v, enum dkim_state state, enum dkim_kind about)
{
	if (v->n == 0 || v->signatures->state != state || v->signatures->about != about)
		fail_msg("%s: %s, about %d, \"%.*s\"", name, v->n ? dkim_state_name(v->signatures->state) : "none",
		    v->n ? (int)v->signatures->about : -1, SLICE_FMT(v->n ? v->signatures->reason : SLICE_NONE));
}

/* ---- what is signed ---- */

static void dkim_l_append(void **state)
{
	struct slice message = sign_with(MESSAGE, TAGS "; l=7");

	(void)state;
	message = join3(S("Content-Type: text/html\r\n"), message, S("<b>pay here</b>\r\n"));
	want("more body", judged(message), POLICY, DKIM_ABOUT_PARTIAL);
}

static void dkim_l_number(void **state)
{
	static const char *const numbers[] = { "1000", "-1", "", "9999999999999999999999999999999999999999999999999999999999999999999999999999",
		"99999999999999999999999999999999999999999999999999999999999999999999999999999", "18446744073709551616", "9223372036854775808", "0x7",
		"7.0", "7 7" };

	(void)state;
	for (size_t i = 0; i < ROWS(numbers); i++) {
		struct slice tags = arena_printf(&arena, TAGS "; l=%s", numbers[i]), message = sign_with(MESSAGE, TAGS);

		want(numbers[i], judged(edited(message, S(TAGS), tags)), PERM, DKIM_ABOUT_SYNTAX);
	}
}

static void dkim_extra_from(void **state)
{
	struct slice message = join3(S("From: ceo@b.test\r\n"), sign_with(MESSAGE, "v=1; a=rsa-sha256; d=a.test; s=k; h=from:subject"), SLICE_NONE);
	const struct dkim_verdict *v = judged(message);

	(void)state;
	assert_int_equal(v->state, PASS);
	assert_true(v->signatures[0].from_unsigned);
}

static void dkim_oversign(void **state)
{
	struct slice message = sign_with(MESSAGE, "v=1; a=rsa-sha256; d=a.test; s=k; h=from:from:reply-to");

	(void)state;
	want("as it was", judged(message), PASS, DKIM_ABOUT_NOTHING);
	want("Reply-To", judged(join3(S("Reply-To: x@evil.test\r\n"), message, SLICE_NONE)), FAIL, DKIM_ABOUT_SIGNATURE);
	want("From", judged(join3(S("From: x@evil.test\r\n"), message, SLICE_NONE)), FAIL, DKIM_ABOUT_SIGNATURE);
}

static void dkim_empty_h(void **state)
{
	static const char *const lists[] = { "h=", "h=:", "h=to:subject", "zh=from", "h= " };

	(void)state;
	for (size_t i = 0; i < ROWS(lists); i++) {
		struct slice tags = edited(S(TAGS), S("h=from:to:subject"), slice_str(lists[i]));

		want(lists[i], judged(sign_under(MESSAGE, tags, NULL)), PERM, DKIM_ABOUT_SYNTAX);
	}
	want("no bh=", judged(edited(sign_with(MESSAGE, TAGS), S(" bh="), S(" zz="))), PERM, DKIM_ABOUT_SYNTAX);
	want("bh= empty", judged(edited(sign_with(MESSAGE, TAGS), S(" bh="), S(" bh=; zz="))), PERM, DKIM_ABOUT_SYNTAX);
}

static void dkim_times(void **state)
{
	static const struct {
		const char *tags;
		enum dkim_state state;
		enum dkim_kind about;
	} rows[] = {
		{ "t=1; x=2", FAIL, DKIM_ABOUT_TIME },
		{ "t=32536000", FAIL, DKIM_ABOUT_TIME },
		{ "t=5; x=4", PERM, DKIM_ABOUT_TIME },
		{ "t=18446744073709551617", PERM, DKIM_ABOUT_SYNTAX },
		{ "x=18446744073709551617", PERM, DKIM_ABOUT_SYNTAX },
		{ "t=999999999999", FAIL, DKIM_ABOUT_TIME },
		{ "t=1086400", FAIL, DKIM_ABOUT_TIME },
		{ "t=913600", PASS, DKIM_ABOUT_NOTHING },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		want(rows[i].tags, judged(sign_under(MESSAGE, arena_printf(&arena, TAGS "; %s", rows[i].tags), NULL)), rows[i].state, rows[i].about);
}

static void dkim_unknown_algorithm(void **state)
{
	static const char *const names[] = { "rsa-md5", "rsa-sha512", "RSA-SHA256", "none", "rsa-sha1", "ed25519-sha512", "rsa", "sha256" };

	(void)state;
	for (size_t i = 0; i < ROWS(names); i++) {
		struct slice message = sign_under(MESSAGE, edited(S(TAGS), S("rsa-sha256"), slice_str(names[i])), NULL);
		size_t questions;

		want(names[i], judged_by(message, keyrec_text(&arena, sender_rsa), &questions), PERM, DKIM_ABOUT_ALGORITHM);
		assert_int_equal(questions, 0);
	}
}

static void dkim_chunk_invariance(void **state)
{
	struct slice body = join3(MESSAGE, S("a \t \r\n \r\n\t\r\n\r\n"), SLICE_NONE), message = sign_with(body, TAGS), record, json;
	struct dkim_terms terms = dkim_usual_terms(NOW);
	struct answers *zone;

	(void)state;
	record = keyrec_text(&arena, sender_rsa);
	json = join3(S("{\"k._domainkey.a.test\": [\""), record, S("\"]}"));
	zone = zone_new(arena_string(&arena, json));
	for (size_t piece = 1; piece < 60; piece++) {
		struct dkim_way way = { .piece = piece };

		want("pieces", dkim_judge(&arena, message, &terms, zone, &way), PASS, DKIM_ABOUT_NOTHING);
	}
	answers_free(&zone);
}

/* ---- how much of it ---- */

static void dkim_signature_flood(void **state)
{
	struct dkim_terms terms = dkim_usual_terms(NOW);
	struct dkim_way way = { 0 };
	struct answers *zone;
	const struct dkim_verdict *v;
	struct buf text;

	(void)state;
	buf_init(&text, SIZE_MAX / 2);
	for (unsigned i = 1; i <= 300; i++)
		buf_printf(&text, "DKIM-Signature: v=1; a=rsa-sha256; d=evil.test; s=k%u; h=from; bh=%s; b=AAAA\r\n", i,
		    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
	buf_slice(&text, MESSAGE);
	zone = zone_new("{\"k1._domainkey.evil.test\": {\"error\": \"timeout\"}}");
	v = dkim_judge(&arena, buf_get(&text), &terms, zone, &way);
	assert_int_equal(way.questions, 10);
	assert_int_equal(v->n, LIMIT_DKIM_SHOWN);
	assert_int_equal(v->state, DKIM_TEMPERROR);
	for (size_t i = 0; i < v->n; i++)
		assert_int_equal(v->signatures[i].about, i < 10 ? DKIM_ABOUT_KEY : DKIM_ABOUT_LIMIT);
	assert_int_equal(v->signatures[10].state, POLICY);
	WANT_SLICE(v->signatures[10].s, S("k11"));
	answers_free(&zone);
	buf_release(&text);
}

static void dkim_body_hash_combinations(void **state)
{
	struct slice message = MESSAGE;
	const struct dkim_verdict *v;
	size_t questions;

	(void)state;
	message = sign_with(message, TAGS "; l=3");
	for (unsigned i = 1; i <= 6; i++)
		message = sign_under(message, arena_printf(&arena, "v=1; a=rsa-sha256; d=a.test; s=k; h=from; l=%u", i % 2 ? i : 2), NULL);
	v = judged_by(message, keyrec_text(&arena, sender_rsa), &questions);
	assert_int_equal(v->n, 7);
	assert_int_equal(questions, 1);
	/* 2, 5, 2, 3, 2, 1 of the simple form are four; then 3 of the relaxed one */
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(v->signatures[i].about, DKIM_ABOUT_PARTIAL);
	assert_int_equal(v->signatures[6].state, POLICY);
	assert_int_equal(v->signatures[6].about, DKIM_ABOUT_LIMIT);
}

static void dkim_z_and_long_tags(void **state)
{
	struct buf z, b, tags;

	(void)state;
	buf_init(&z, SIZE_MAX / 2);
	buf_init(&b, SIZE_MAX / 2);
	buf_init(&tags, SIZE_MAX / 2);
	buf_str(&z, TAGS "; z=");
	for (unsigned i = 0; i < 60000; i++)
		buf_octet(&z, (unsigned char)('a' + i % 26));
	want("z= of 60 KB", judged(sign_under(MESSAGE, buf_get(&z), NULL)), PASS, DKIM_ABOUT_NOTHING);
	buf_str(&b, "DKIM-Signature: " TAGS "; bh=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=; b=");
	for (unsigned i = 0; i < 1000000; i++)
		buf_octet(&b, i % 1000 ? 'A' : '*');
	buf_str(&b, "\r\n");
	buf_slice(&b, MESSAGE);
	want("b= of 1 MB that is no base64", judged(buf_get(&b)), PERM, DKIM_ABOUT_SYNTAX);
	buf_clear(&b);
	buf_str(&b, "DKIM-Signature: " TAGS "; bh=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=; b=");
	for (unsigned i = 0; i < 1000000; i++)
		buf_octet(&b, 'A');
	buf_str(&b, "\r\n");
	buf_slice(&b, MESSAGE);
	want("b= of 1 MB", judged(buf_get(&b)), PERM, DKIM_ABOUT_SYNTAX);
	buf_str(&tags, TAGS);
	for (unsigned i = 0; i < 5000; i++)
		buf_printf(&tags, "; a%u=1", i);
	want("5000 tags", judged(sign_under(MESSAGE, buf_get(&tags), NULL)), PERM, DKIM_ABOUT_SYNTAX);
	want("a tag twice", judged(sign_with(MESSAGE, TAGS "; z=a; z=b")), PERM, DKIM_ABOUT_SYNTAX);
	want("v=2", judged(sign_under(MESSAGE, edited(S(TAGS), S("v=1"), S("v=2")), NULL)), PERM, DKIM_ABOUT_SYNTAX);
	buf_release(&tags);
	buf_release(&b);
	buf_release(&z);
}

/* ---- keys ---- */

static EVP_PKEY *rsa_made(unsigned bits, unsigned long exponent)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	BIGNUM *e = BN_new();
	EVP_PKEY *pkey = NULL;

	assert_true(ctx && e && BN_set_word(e, exponent) && EVP_PKEY_keygen_init(ctx) == 1);
	assert_true(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, (int)bits) == 1 && EVP_PKEY_CTX_set1_rsa_keygen_pubexp(ctx, e) == 1);
	assert_int_equal(EVP_PKEY_generate(ctx, &pkey), 1);
	EVP_PKEY_CTX_free(ctx);
	BN_free(e);
	return pkey;
}

/* The same for this house to sign with: what it takes to verify is another matter. */
static struct key *as_private(const EVP_PKEY *pkey)
{
	unsigned char *der = NULL;
	int n = i2d_PrivateKey(pkey, &der);
	struct key *k;

	assert_true(n > 0);
	k = key_private(slice_of(der, (size_t)n));
	OPENSSL_free(der);
	assert_non_null(k);
	return k;
}

static struct slice spki_text(const EVP_PKEY *pkey)
{
	unsigned char *der = NULL;
	int n = i2d_PUBKEY(pkey, &der);
	struct slice out;

	assert_true(n > 0);
	out = b64_text(&arena, slice_of(der, (size_t)n));
	OPENSSL_free(der);
	return out;
}

static struct slice record_of(struct slice p)
{
	return join3(S("v=DKIM1; k=rsa; p="), p, SLICE_NONE);
}

static void dkim_weak_key(void **state)
{
	static const unsigned sizes[] = { 512, 768, 1016 };

	(void)state;
	for (size_t i = 0; i < ROWS(sizes); i++) {
		EVP_PKEY *pkey = rsa_made(sizes[i], 65537);
		struct key *k = as_private(pkey);
		const struct dkim_verdict *v = judged_by(sign_under(MESSAGE, S(TAGS), k), record_of(spki_text(pkey)), NULL);

		want("too short", v, PERM, DKIM_ABOUT_KEY_REFUSED);
		assert_int_equal(v->signatures->key_bits, sizes[i]);
		key_drop(&k);
		EVP_PKEY_free(pkey);
	}
	want("rsa-sha1", judged(sign_under(MESSAGE, edited(S(TAGS), S("rsa-sha256"), S("rsa-sha1")), NULL)), PERM, DKIM_ABOUT_ALGORITHM);
}

/* RSAPublicKey of these numbers, in base64. */
static struct slice numbers_text(const BIGNUM *n, const BIGNUM *e)
{
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	EVP_PKEY *pkey = NULL;
	OSSL_PARAM *params;
	struct slice out;

	assert_true(build && ctx && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e));
	params = OSSL_PARAM_BLD_to_param(build);
	assert_true(EVP_PKEY_fromdata_init(ctx) == 1 && EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) == 1);
	out = spki_text(pkey);
	EVP_PKEY_free(pkey);
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	return out;
}

/* A modulus of so many bits that nobody has the primes of. */
static struct slice made_up(int bits, int exponent_bits)
{
	BIGNUM *n = BN_new(), *e = BN_new();
	struct slice out;

	assert_true(n && e && BN_set_bit(n, bits - 1) && BN_set_bit(n, 0) && BN_set_bit(e, exponent_bits - 1) && BN_set_bit(e, 0));
	out = numbers_text(n, e);
	BN_free(n);
	BN_free(e);
	return out;
}

static void dkim_huge_key(void **state)
{
	static const struct {
		const char *name;
		int bits, exponent_bits;
		enum dkim_state state;
		enum dkim_kind about;
	} rows[] = {
		{ "8193", 8193, 17, PERM, DKIM_ABOUT_KEY_REFUSED },
		{ "16384", 16384, 17, PERM, DKIM_ABOUT_KEY_REFUSED },
		{ "8192 and an exponent of 4096", 8192, 4096, PERM, DKIM_ABOUT_KEY_REFUSED },
		{ "8192 and an exponent of 65", 8192, 65, PERM, DKIM_ABOUT_KEY_REFUSED },
		{ "8192 and an exponent of 64", 8192, 64, PERM, DKIM_ABOUT_KEY_REFUSED },
		{ "4097 and an exponent of 25", 4097, 25, PERM, DKIM_ABOUT_KEY_REFUSED },
		{ "8192", 8192, 17, FAIL, DKIM_ABOUT_SIGNATURE },
		{ "4096 and an exponent of 64", 4096, 64, FAIL, DKIM_ABOUT_SIGNATURE },
		{ "2048 and an exponent of 64", 2048, 64, FAIL, DKIM_ABOUT_SIGNATURE },
	};
	struct slice message = MESSAGE;
	const struct dkim_verdict *v;

	(void)state;
	for (size_t i = 0; i < 30; i++)
		message = sign_with(message, TAGS);
	for (size_t i = 0; i < ROWS(rows); i++) {
		v = judged_by(message, record_of(made_up(rows[i].bits, rows[i].exponent_bits)), NULL);
		want(rows[i].name, v, rows[i].state, rows[i].about);
		assert_int_equal(v->signatures->key_bits, rows[i].bits);
		assert_int_equal(v->n, 30);
	}
	/* 65536 bits make more than a record of 8 KiB, not more than DNS carries */
	v = judged_by(message, record_of(made_up(65536, 17)), NULL);
	want("65536", v, PERM, DKIM_ABOUT_KEY_REFUSED);
}

/* The largest s with s^3 <= x, by bisection. */
static void cube_root(BIGNUM *s, const BIGNUM *x, BN_CTX *ctx)
{
	BIGNUM *cube = BN_new();

	BN_zero(s);
	for (int bit = BN_num_bits(x) / 3 + 1; bit-- > 0;) {
		BN_set_bit(s, bit);
		assert_true(cube && BN_sqr(cube, s, ctx) && BN_mul(cube, cube, s, ctx));
		if (BN_cmp(cube, x) > 0)
			BN_clear_bit(s, bit);
	}
	BN_free(cube);
}

/* The digest that the made-up signature has to stand for. */
static void signed_digest(struct slice message, unsigned char out[32])
{
	struct slice block, body, value;
	struct field_list names;
	struct header h;
	struct fault f = { 0 };
	const struct field *own;
	size_t b;

	split(message, &block, &body);
	assert_true(header_parse(&arena, block, 99, &h, &f));
	own = &h.fields[0];
	b = own->value.n;
	while (!slice_starts(slice_sub(own->value, b, SIZE_MAX), S(" b=")))
		b--;
	value = slice_sub(own->value, b + 3, SIZE_MAX);
	assert_true(field_list_parse(&arena, S("from:to:subject"), &names));
	assert_true(field_hash(&arena, field_index_new(&arena, &h), &names, CANON_RELAXED, own, field_hole(own, value), out));
}

static void dkim_e3_forgery(void **state)
{
	static const unsigned char info[] = { 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
		0x04, 0x20 };
	enum { OCTETS = 384, PADDED = 11 };
	unsigned char wanted[OCTETS], got[OCTETS];
	struct slice message = sign_with(MESSAGE, TAGS), before, b64;
	BIGNUM *x, *s = BN_new(), *n = BN_new(), *e = BN_new(), *cube = BN_new();
	BN_CTX *ctx = BN_CTX_new();
	EVP_PKEY *pkey;
	struct key *k;

	(void)state;
	/* 00 01 FF..FF 00, the right digest behind it, and as much garbage as is needed to make it a cube */
	memset(wanted, 0xff, sizeof(wanted));
	wanted[0] = 0;
	wanted[1] = 1;
	wanted[PADDED - 1] = 0;
	memcpy(wanted + PADDED, info, sizeof(info));
	signed_digest(message, wanted + PADDED + sizeof(info));
	x = BN_bin2bn(wanted, OCTETS, NULL);
	assert_true(x && s && n && e && cube && ctx);
	cube_root(s, x, ctx);
	assert_true(BN_sqr(cube, s, ctx) && BN_mul(cube, cube, s, ctx) && BN_bn2binpad(cube, got, OCTETS) == OCTETS);
	assert_memory_equal(got, wanted, PADDED + sizeof(info) + 32);
	assert_true(BN_set_bit(n, OCTETS * 8 - 1) && BN_set_bit(n, 0) && BN_set_word(e, 3));
	assert_true(BN_bn2binpad(s, got, OCTETS) == OCTETS);
	b64 = b64_text(&arena, slice_of(got, OCTETS));
	for (before = message; !slice_ends(before, S(" b="));)
		before.n--;
	message = join3(before, b64, S("\r\n"));
	message = join3(message, MESSAGE, SLICE_NONE);
	want("a cube", judged_by(message, record_of(numbers_text(n, e)), NULL), FAIL, DKIM_ABOUT_SIGNATURE);
	/* under e=1 the signature is what it stands for */
	assert_true(BN_set_word(e, 1));
	want("e=1", judged_by(message, record_of(numbers_text(n, e)), NULL), PERM, DKIM_ABOUT_KEY_REFUSED);
	pkey = rsa_made(1024, 3);
	k = as_private(pkey);
	want("an honest one", judged_by(sign_under(MESSAGE, S(TAGS), k), record_of(spki_text(pkey)), NULL), PASS, DKIM_ABOUT_NOTHING);
	key_drop(&k);
	EVP_PKEY_free(pkey);
	BN_free(x);
	BN_free(s);
	BN_free(n);
	BN_free(e);
	BN_free(cube);
	BN_CTX_free(ctx);
}

static void dkim_key_record_malformed(void **state)
{
	static const char ed[] = "v=1; a=ed25519-sha256; c=relaxed/relaxed; d=a.test; s=k; h=from:to:subject";
	struct slice good = keyrec_text(&arena, sender_ed), rsa = keyrec_text(&arena, sender_rsa), p, octets, spki;
	EVP_PKEY *ec = EVP_EC_gen("P-256");
	const struct {
		const char *name;
		struct slice record;
		enum dkim_kind about;
	} rows[] = {
		{ "pasted twice", join3(good, good, SLICE_NONE), DKIM_ABOUT_KEY_SYNTAX },
		{ "p= twice", join3(good, slice_sub(good, slice_find(good, ';'), SIZE_MAX), SLICE_NONE), DKIM_ABOUT_KEY_SYNTAX },
		{ "31 octets", S("k=ed25519; p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="), DKIM_ABOUT_KEY_SYNTAX },
		{ "64 octets", S("k=ed25519; p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="), DKIM_ABOUT_KEY_SYNTAX },
		{ "no padding", slice_sub(good, 0, good.n - 1), DKIM_ABOUT_KEY_SYNTAX },
		{ "h=sha1", join3(S("h=sha1; "), slice_sub(good, 9, SIZE_MAX), SLICE_NONE), DKIM_ABOUT_KEY },
		{ "s=other", join3(S("s=other; "), slice_sub(good, 9, SIZE_MAX), SLICE_NONE), DKIM_ABOUT_KEY },
	};

	(void)state;
	want("as it was", judged_by(sign_with(MESSAGE, ed), good, NULL), PASS, DKIM_ABOUT_NOTHING);
	for (size_t i = 0; i < ROWS(rows); i++)
		want(rows[i].name, judged_by(sign_with(MESSAGE, ed), rows[i].record, NULL), PERM, rows[i].about);
	want("EC as RSA", judged_by(sign_with(MESSAGE, TAGS), record_of(spki_text(ec)), NULL), PERM, DKIM_ABOUT_KEY_SYNTAX);
	p = slice_sub(rsa, 18, SIZE_MAX);
	assert_true(b64_decode(&arena, p, false, &octets));
	spki = b64_text(&arena, join3(octets, S("\0"), SLICE_NONE));
	want("an octet behind the DER", judged_by(sign_with(MESSAGE, TAGS), record_of(spki), NULL), PERM, DKIM_ABOUT_KEY_SYNTAX);
	EVP_PKEY_free(ec);
}

static void dkim_key_injection(void **state)
{
	static const char label64[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	const struct {
		const char *name;
		struct slice find, put;
	} rows[] = {
		{ "NUL in d=", S("d=a.test"), S("d=a.test\0.evil.test") },
		{ "parenthesis in d=", S("d=a.test"), S("d=a.test(.evil.test") },
		{ "d= with a final dot", S("d=a.test"), S("d=a.test.") },
		{ "8-bit in d=", S("d=a.test"), S("d=\xff.test") },
		{ "half a character in d=", S("d=a.test"), S("d=a\xc3.test") },
		{ "control in d=", S("d=a.test"), S("d=a\001.test") },
		{ "DEL in d=", S("d=a.test"), S("d=a\177.test") },
		{ "backslash in d=", S("d=a.test"), S("d=a\\.test") },
		{ "# in s=", S("s=k"), S("s=x.y._domainkey.evil.test.#") },
		{ "dots for s=", S("s=k"), S("s=..") },
		{ "NUL in s=", S("s=k"), S("s=k\0") },
		{ "label of 64", S("d=a.test"), arena_printf(&arena, "d=%s.test", label64) },
		{ "selector of 64", S("s=k"), arena_printf(&arena, "s=%s", label64) },
		{ "name of 256", S("s=k"), arena_printf(&arena, "s=%.60s.%.60s.%.60s.%.55s", label64, label64, label64, label64) },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct slice message = edited(sign_with(MESSAGE, TAGS), rows[i].find, rows[i].put);
		const struct dkim_verdict *v;
		size_t questions;

		v = judged_by(message, keyrec_text(&arena, sender_rsa), &questions);
		want(rows[i].name, v, PERM, DKIM_ABOUT_SYNTAX);
		if (questions)
			fail_msg("%s: somebody is asked", rows[i].name);
		assert_true(v->signatures->d.n == 0 || slice_eq(v->signatures->d, v->signatures->d_normal));
	}
}

static void dkim_huge_txt(void **state)
{
	struct dkim_terms terms = dkim_usual_terms(NOW);
	struct answers *zone;
	struct buf json;

	(void)state;
	buf_init(&json, SIZE_MAX / 2);
	buf_str(&json, "{\"k._domainkey.a.test\": [\"");
	for (unsigned i = 0; i < 8131; i++)
		buf_octet(&json, 'a');
	buf_str(&json, "\", \"");
	for (unsigned i = 0; i < 8192; i++)
		buf_octet(&json, 'b');
	buf_str(&json, "\"]}");
	buf_octet(&json, 0);
	zone = zone_new((const char *)json.at);
	want("two records", dkim_judge(&arena, sign_with(MESSAGE, TAGS), &terms, zone, NULL), PERM, DKIM_ABOUT_KEY_SYNTAX);
	answers_free(&zone);
	buf_release(&json);
}

/* ---- all of them ---- */

static const char *const catalogue[] = { "dkim-l-append", "dkim-l-number", "dkim-extra-from", "dkim-oversign", "dkim-empty-h",
	"dkim-signature-flood", "dkim-weak-key", "dkim-huge-key", "dkim-e3-forgery", "dkim-key-record-malformed", "dkim-key-injection",
	"dkim-huge-txt", "dkim-z-and-long-tags", "dkim-times", "dkim-chunk-invariance", "dkim-unknown-algorithm", "dkim-body-hash-combinations" };

/* Every case of the catalogue has its test above. */
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
		if (!slice_starts(line, S("- id: dkim-")))
			continue;
		line = slice_trim(slice_sub(line, 6, SIZE_MAX));
		for (size_t i = 0; i < ROWS(catalogue) && !known; i++)
			known = slice_eq(line, slice_str(catalogue[i]));
		if (!known)
			fail_msg("no row for %.*s", SLICE_FMT(line));
		found++;
	}
	assert_int_equal(found, ROWS(catalogue));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh_arena, drop_arena)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(dkim_l_append),
		TEST(dkim_l_number),
		TEST(dkim_extra_from),
		TEST(dkim_oversign),
		TEST(dkim_empty_h),
		TEST(dkim_signature_flood),
		TEST(dkim_weak_key),
		TEST(dkim_huge_key),
		TEST(dkim_e3_forgery),
		TEST(dkim_key_record_malformed),
		TEST(dkim_key_injection),
		TEST(dkim_huge_txt),
		TEST(dkim_z_and_long_tags),
		TEST(dkim_times),
		TEST(dkim_chunk_invariance),
		TEST(dkim_unknown_algorithm),
		TEST(dkim_body_hash_combinations),
		TEST(the_catalogue_is_complete),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, sender_start, sender_end);
}
