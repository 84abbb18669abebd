/* Digests, keys and signatures against published values and against each other. */
#include "certs.h"

#include <time.h>

#include "base/b64.h"
#include "crypt/cert.h"
#include "crypt/digest.h"
#include "crypt/key.h"
#include "crypt/sign.h"

static struct slice hex(struct arena *a, const char *text)
{
	size_t n = strlen(text) / 2;
	unsigned char *p = arena_take(a, n);

	for (size_t i = 0; i < n; i++) {
		unsigned v;

		assert_int_equal(sscanf(text + 2 * i, "%2x", &v), 1);
		p[i] = (unsigned char)v;
	}
	return slice_of(p, n);
}

/* FIPS 180-4 examples */
static void digests_are_sha2(void **state)
{
	unsigned char out[DIGEST_OCTETS];
	struct arena a;
	struct digest *d, *fork;

	(void)state;
	arena_init(&a, 1 << 20);
	WANT_SLICE(slice_of(out, digest_once(DIGEST_SHA256, S("abc"), out)),
	    hex(&a, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
	WANT_SLICE(slice_of(out, digest_once(DIGEST_SHA512, S("abc"), out)),
	    hex(&a, "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"));
	WANT_SLICE(slice_of(out, digest_once(DIGEST_SHA256, S(""), out)),
	    hex(&a, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
	d = digest_new(DIGEST_SHA256);
	digest_add(d, S("a"));
	digest_add(d, S(""));
	fork = digest_fork(d);
	digest_add(d, S("X"));
	digest_add(fork, S("bc"));
	WANT_SLICE(slice_of(out, digest_end(fork, out)),
	    hex(&a, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
	digest_end(d, out);
	digest_reset(d);
	digest_add(d, S("abc"));
	WANT_SLICE(slice_of(out, digest_end(d, out)),
	    hex(&a, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
	digest_free(&d);
	digest_free(&fork);
	assert_null(d);
	arena_clear(&a);
}

static void every_key_signs_what_it_verifies(void **state)
{
	static const struct {
		enum key_type type;
		unsigned bits;
		size_t octets;
	} rows[] = { { KEY_ED25519, 0, 64 }, { KEY_RSA, 2048, 256 }, { KEY_RSA, 1024, 128 } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct key *k = key_generate(rows[i].type, rows[i].bits), *again, *pub;
		unsigned char digest[32] = { 1, 2, 3 }, sig[SIGNATURE_OCTETS], sig2[SIGNATURE_OCTETS];
		struct slice octets;
		struct arena a;
		struct buf pem;
		size_t n;

		arena_init(&a, 1 << 20);
		buf_init(&pem, 65536);
		assert_non_null(k);
		assert_int_equal(key_type(k), rows[i].type);
		assert_int_equal(key_bits(k), rows[i].bits ? rows[i].bits : 256);
		n = sign_sha256(k, digest, sig);
		assert_int_equal(n, rows[i].octets);
		assert_true(key_pem(k, &pem));
		again = key_private(buf_get(&pem));
		assert_non_null(again);
		/* both algorithms are deterministic */
		assert_int_equal(sign_sha256(again, digest, sig2), n);
		assert_memory_equal(sig, sig2, n);
		assert_true(key_public_octets(&a, k, &octets));
		pub = rows[i].type == KEY_RSA ? key_rsa_public(octets) : key_ed25519_public(octets);
		assert_non_null(pub);
		assert_true(verify_sha256(pub, digest, slice_of(sig, n), NULL));
		assert_false(verify_sha256(pub, digest, slice_of(sig, n - 1), NULL));
		assert_false(verify_sha256(pub, digest, slice_of(sig, 0), NULL));
		for (size_t at = 0; at < n; at += 7) {
			sig[at] ^= 1;
			assert_false(verify_sha256(pub, digest, slice_of(sig, n), NULL));
			sig[at] ^= 1;
		}
		digest[31] ^= 1;
		assert_false(verify_sha256(pub, digest, slice_of(sig, n), NULL));
		key_drop(&pub);
		key_drop(&again);
		key_hold(k);
		again = k;
		key_drop(&k);
		assert_null(k);
		assert_int_equal(sign_sha256(again, digest, sig), n);
		key_drop(&again);
		buf_release(&pem);
		arena_clear(&a);
	}
	assert_null(key_generate(KEY_RSA, 512));
	assert_null(key_generate(KEY_NONE, 0));
}

/* Tag and length in shortest form, written backwards: returns where it starts. */
static size_t der_head(unsigned char *p, size_t at, unsigned char tag, size_t n)
{
	if (n < 0x80) {
		p[--at] = (unsigned char)n;
	} else {
		p[--at] = (unsigned char)n;
		if (n > 0xff)
			p[--at] = (unsigned char)(n >> 8);
		p[--at] = n > 0xff ? 0x82 : 0x81;
	}
	p[--at] = tag;
	return at;
}

/* A modulus of that many octets, top octet `first`, and exponent e: RSAPublicKey or SubjectPublicKeyInfo. */
static struct slice rsa_der(struct arena *a, size_t modulus, unsigned char first, const char *e, bool spki)
{
	static const unsigned char algorithm[] = { 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01,
		0x01, 0x05, 0x00 };
	struct slice exponent = hex(a, e);
	size_t room = modulus + 64, at = room - exponent.n;
	unsigned char *p = arena_take(a, room);

	memcpy(p + at, exponent.at, exponent.n);
	at = der_head(p, at, 0x02, exponent.n) - modulus;
	memset(p + at, 0x5b, modulus);
	p[at] = first;
	if (first & 0x80)
		p[--at] = 0;
	at = der_head(p, at, 0x02, modulus + (first & 0x80 ? 1 : 0));
	at = der_head(p, at, 0x30, room - at);
	if (spki) {
		p[--at] = 0;
		at = der_head(p, at, 0x03, room - at) - sizeof(algorithm);
		memcpy(p + at, algorithm, sizeof(algorithm));
		at = der_head(p, at, 0x30, room - at);
	}
	return slice_of(p + at, room - at);
}

static void rsa_public_rows(void **state)
{
	static const struct {
		const char *name;
		size_t modulus;
		unsigned char first;
		const char *e;
		bool taken;
	} rows[] = {
		{ "2048 bits", 256, 0x80, "010001", true },
		{ "8192 bits", 1024, 0x80, "010001", true },
		{ "8193 bits", 1025, 0x01, "010001", false },
		{ "2041 bits", 256, 0x01, "010001", true },
		{ "1024 bits", 128, 0x80, "010001", true },
		{ "1023 bits", 128, 0x7f, "010001", false },
		{ "768 bits", 96, 0x80, "010001", false },
		{ "exponent 3", 256, 0x80, "03", false },
		{ "exponent with a needless zero", 256, 0x80, "00010001", false },
		{ "exponent 65539", 256, 0x80, "010003", false },
	};
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (int spki = 0; spki < 2; spki++) {
			struct slice der = rsa_der(&a, rows[i].modulus, rows[i].first, rows[i].e, spki);
			struct key *k = key_rsa_public(der);
			unsigned char *extra = arena_take(&a, der.n + 1);

			if ((k != NULL) != rows[i].taken)
				fail_msg("%s%s", rows[i].name, spki ? ", SPKI" : "");
			key_drop(&k);
			/* no cut of it and nothing behind it is taken */
			for (size_t n = 0; n < der.n; n += 3)
				assert_null(key_rsa_public(slice_sub(der, 0, n)));
			memcpy(extra, der.at, der.n);
			assert_null(key_rsa_public(slice_of(extra, der.n + 1)));
		}
	}
	{
		/* a length written longer than it need be is BER, not DER */
		struct slice der = rsa_der(&a, 128, 0x80, "010001", false);
		unsigned char *p = arena_take(&a, der.n + 1);
		struct key *k = key_rsa_public(der);

		assert_non_null(k);
		key_drop(&k);
		assert_int_equal(der.at[1], 0x81);
		memcpy(p + 4, der.at + 3, der.n - 3);
		memcpy(p, (const unsigned char[]){ 0x30, 0x82, 0x00, der.at[2] }, 4);
		assert_null(key_rsa_public(slice_of(p, der.n + 1)));
	}
	assert_null(key_rsa_public(SLICE_NONE));
	assert_null(key_ed25519_public(slice_of("0123456789abcdef0123456789abcde", 31)));
	assert_null(key_ed25519_public(slice_of("0123456789abcdef0123456789abcdefg", 33)));
	arena_clear(&a);
}

/* RFC 8463 A.2: seed and public key of an Ed25519 pair, as PKCS#8 DER. */
static void private_keys_of_other_makers(void **state)
{
	struct arena a;
	struct slice der, pub;
	struct key *k;

	(void)state;
	arena_init(&a, 1 << 20);
	der = hex(&a, "302e020100300506032b6570042204209d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
	k = key_private(der);
	assert_non_null(k);
	assert_true(key_public_octets(&a, k, &pub));
	WANT_SLICE(b64_text(&a, pub), S("11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="));
	key_drop(&k);
	assert_null(key_private(S("")));
	assert_null(key_private(S("not a key")));
	assert_null(key_private(S("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")));
	/* a P-256 key is a key, but none of ours */
	assert_null(key_private(hex(&a, "308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721a1440342000460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb67903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299")));
	arena_clear(&a);
}

static void names_of_a_certificate(void **state)
{
	static const char *const want[] = { "mx.a.test", "*.b.test", "_x.c.test", "one" };
	struct made m = made_valid("P-256", "DNS:MX.a.test,IP:192.0.2.1,DNS:*.B.test,DNS:m*.a.test,DNS:a.*.test,DNS:*,DNS:.a.test,DNS:a..test,DNS:a b,"
					    "email:u@a.test,DNS:_x.c.test,DNS:one,DNS:x.");
	struct cert_facts f;
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 20);
	assert_true(cert_facts(&a, made_octets(m.cert_pem), &f));
	assert_int_equal(f.name_count, 4);
	for (size_t i = 0; i < 4; i++)
		assert_string_equal(f.names[i], want[i]);
	assert_string_equal(f.key, "EC");
	assert_int_equal(f.after_s - f.before_s, 90 * 86400 + 60);
	assert_in_range(time(NULL) - f.before_s, 60, 600);
	made_free(&m);
	assert_false(cert_facts(&a, S("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), &f));
	arena_clear(&a);
}

static void names_that_are_asked_for(void **state)
{
	static const struct {
		const char *title, *pattern, *name;
		enum cert_fit want;
	} rows[] = {
		{ "the same", "mx.a.test", "mx.a.test", CERT_EXACT },
		{ "in any case", "mx.a.test", "MX.A.test", CERT_EXACT },
		{ "a final dot", "mx.a.test", "mx.a.test.", CERT_EXACT },
		{ "another", "mx.a.test", "my.a.test", CERT_UNFIT },
		{ "above", "mx.a.test", "a.test", CERT_UNFIT },
		{ "below", "a.test", "mx.a.test", CERT_UNFIT },
		{ "one label for a star", "*.a.test", "mx.a.test", CERT_WILD },
		{ "and no two", "*.a.test", "x.mx.a.test", CERT_UNFIT },
		{ "and not none", "*.a.test", "a.test", CERT_UNFIT },
		{ "and not an empty one", "*.a.test", ".a.test", CERT_UNFIT },
		{ "a star itself", "*.a.test", "*.a.test", CERT_EXACT },
		{ "nothing", "mx.a.test", "", CERT_UNFIT },
		{ "a dot", "mx.a.test", ".", CERT_UNFIT },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (cert_name_fits(rows[i].pattern, slice_str(rows[i].name)) != rows[i].want)
			fail_msg("%s", rows[i].title);
}

#define HEX32 "00112233445566778899aabbccddeeff"

static void fingerprints(void **state)
{
	static const char colons[] = "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff";
	static const char *const bad[] = { "", "00", HEX32, HEX32 HEX32 "0", HEX32 "00112233445566778899aabbccddeefg",
		"00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee-ff",
		"0:011:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff",
		"00112233445566778899aabbccddeeff 00112233445566778899aabbccddeef" };
	char out[CERT_FINGERPRINT];

	(void)state;
	assert_true(cert_fingerprint_parse(slice_str(colons), out));
	assert_string_equal(out, HEX32 HEX32);
	assert_true(cert_fingerprint_parse(S("00112233445566778899AABBCCDDEEFF" HEX32), out));
	assert_string_equal(out, HEX32 HEX32);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (cert_fingerprint_parse(slice_str(bad[i]), out))
			fail_msg("%s", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(digests_are_sha2),
		cmocka_unit_test(every_key_signs_what_it_verifies),
		cmocka_unit_test(rsa_public_rows),
		cmocka_unit_test(private_keys_of_other_makers),
		cmocka_unit_test(names_of_a_certificate),
		cmocka_unit_test(names_that_are_asked_for),
		cmocka_unit_test(fingerprints),
	};

	return RUN_TESTS(tests);
}
