/* What SCRAM-SHA-256 computes, and verifiers as text. */
#include "test.h"

#include "base/b64.h"
#include "base/limits.h"
#include "crypt/scram.h"

/* RFC 7677 section 3: user "user", password "pencil". */
static const char example[] = "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
static const char messages[] =
    "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

static void want_keys(const char *password, const struct scram_verifier *v, uint32_t part, bool same)
{
	struct scram_stretch *s = scram_stretch_new(slice_str(password), slice_of(v->salt, v->salt_n), v->iterations);
	unsigned char stored[SCRAM_KEY], server[SCRAM_KEY];
	uint32_t parts = 1;

	assert_non_null(s);
	while (!scram_stretch_run(s, part))
		parts++;
	assert_int_equal(parts, part >= v->iterations ? 1 : (v->iterations - 1 + part - 1) / part);
	assert_true(scram_stretch_keys(s, stored, server));
	assert_int_equal(scram_same_key(stored, v->stored_key), same);
	assert_int_equal(scram_same_key(server, v->server_key), same);
	scram_stretch_free(&s);
	assert_null(s);
}

static struct scram_verifier verifier(const char *text)
{
	struct scram_verifier v;
	const char *why = "";

	if (!scram_read(slice_str(text), &v, &why)) {
		print_error("%s: %s\n", text, why);
		fail();
	}
	return v;
}

static void a_password_becomes_the_published_keys_in_any_parts(void **state)
{
	struct scram_verifier v = verifier(example);

	(void)state;
	want_keys("pencil", &v, UINT32_MAX, true);
	want_keys("pencil", &v, 4095, true);
	want_keys("pencil", &v, 1000, true);
	want_keys("pencil", &v, 1, true);
	want_keys("Pencil", &v, 1000, false);
	want_keys("", &v, 1000, false);
}

/* A key longer than a block of SHA-256 is hashed first (RFC 2104 2). Values of Python's hashlib. */
static void long_passwords(void **state)
{
	static const struct {
		size_t n;
		const char *text;
	} rows[] = {
		{ 64, "{SCRAM-SHA-256}4096,c2FsdA==,TOKy8tyTLMuv0M7D73hegH2sobEp3oltg7Ti8ioIvrg=,/wFPlq8UN0AJT0g4uBkxhRF8b3Lxw9EuBnU4g0Qdt0c=" },
		{ 65, "{SCRAM-SHA-256}4096,c2FsdA==,RexSAIcFF78Y3YeXqcBvpiR/jpXb0ch7NXWT7NHygQg=,H4ZFwQzAhLYpmEavDrBal0akJCzKjp9fpuB+AYShF2A=" },
		{ 200, "{SCRAM-SHA-256}4096,c2FsdA==,aK0qQFU/w8hE/mXU21lnJalNexIIIu7UeY3BNQ/lpeA=,x61AOg5LVnpYSJMflaylUVaciGJyFRTpboWLbnPf6UY=" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct scram_verifier v = verifier(rows[i].text);
		char password[256];

		memset(password, 'x', rows[i].n);
		password[rows[i].n] = '\0';
		want_keys(password, &v, 4096, true);
		password[rows[i].n - 1] = '\0';
		want_keys(password, &v, 4096, false);
	}
}

static struct slice octets(struct arena *a, const char *text)
{
	struct slice out = SLICE_NONE;

	assert_true(b64_decode(a, slice_str(text), false, &out));
	return out;
}

static void the_published_exchange(void **state)
{
	struct scram_verifier v = verifier(example);
	unsigned char signature[SCRAM_KEY], flipped[SCRAM_KEY];
	struct slice proof;
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	proof = octets(&a, "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
	assert_true(scram_proves(&v, slice_str(messages), proof));
	assert_false(scram_proves(&v, slice_sub(slice_str(messages), 0, sizeof(messages) - 2), proof));
	assert_false(scram_proves(&v, slice_str(messages), slice_sub(proof, 0, 31)));
	assert_false(scram_proves(&v, slice_str(messages), SLICE_NONE));
	for (size_t i = 0; i < SCRAM_KEY; i++) {
		memcpy(flipped, proof.at, SCRAM_KEY);
		flipped[i] ^= 1;
		assert_false(scram_proves(&v, slice_str(messages), slice_of(flipped, SCRAM_KEY)));
	}
	assert_true(scram_signature(&v, slice_str(messages), signature));
	WANT_SLICE(slice_of(signature, SCRAM_KEY), octets(&a, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
	arena_clear(&a);
}

#define KEY "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="

static void verifiers_that_are_none(void **state)
{
	static const struct {
		const char *name, *text, *why;
	} rows[] = {
		{ "empty", "", "scheme" },
		{ "a password in clear", "{PLAIN}pencil", "scheme" },
		{ "an older scheme", "{SCRAM-SHA-1}4096,c2FsdA==," KEY "," KEY, "scheme" },
		{ "no iterations", "{SCRAM-SHA-256},c2FsdA==," KEY "," KEY, "number" },
		{ "signed iterations", "{SCRAM-SHA-256}+4096,c2FsdA==," KEY "," KEY, "number" },
		{ "iterations beyond 32 bits", "{SCRAM-SHA-256}4294967296,c2FsdA==," KEY "," KEY, "number" },
		{ "one too few", "{SCRAM-SHA-256}4095,c2FsdA==," KEY "," KEY, "fewer" },
		{ "one too many", "{SCRAM-SHA-256}1000001,c2FsdA==," KEY "," KEY, "more" },
		{ "no salt", "{SCRAM-SHA-256}4096,," KEY "," KEY, "salt" },
		{ "salt without padding", "{SCRAM-SHA-256}4096,c2FsdA," KEY "," KEY, "salt" },
		{ "65 octets of salt", "{SCRAM-SHA-256}4096,MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ=," KEY "," KEY, "salt" },
		{ "a key of 31 octets", "{SCRAM-SHA-256}4096,c2FsdA==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4g==," KEY, "StoredKey" },
		{ "one key", "{SCRAM-SHA-256}4096,c2FsdA==," KEY, "ServerKey" },
		{ "three keys", "{SCRAM-SHA-256}4096,c2FsdA==," KEY "," KEY "," KEY, "behind" },
		{ "a blank at its end", "{SCRAM-SHA-256}4096,c2FsdA==," KEY "," KEY " ", "ServerKey" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct scram_verifier v = { .iterations = 7 };
		const char *why = "";

		if (scram_read(slice_str(rows[i].text), &v, &why) || !strstr(why, rows[i].why) || v.iterations != 7) {
			print_error("%s: got \"%s\"\n", rows[i].name, why);
			fail();
		}
	}
}

static void verifiers_go_round(void **state)
{
	struct scram_verifier v = verifier(example);
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	scram_write(&b, &v);
	WANT_SLICE(buf_get(&b), slice_str(example));
	buf_release(&b);
	v = verifier("{SCRAM-SHA-256}1000000,MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMw==," KEY "," KEY);
	assert_int_equal(v.salt_n, 64);
}

static void who_is_unknown_looks_like_anybody(void **state)
{
	struct scram_verifier like = verifier(example), x, again, y, z;
	struct slice secret = S("0123456789abcdef0123456789abcdef");

	(void)state;
	assert_true(scram_unknown(secret, S("nobody"), &like, &x));
	assert_true(scram_unknown(secret, S("nobody"), &like, &again));
	assert_true(scram_unknown(secret, S("somebody"), &like, &y));
	assert_true(scram_unknown(S("another"), S("nobody"), &like, &z));
	assert_int_equal(x.iterations, like.iterations);
	assert_int_equal(x.salt_n, like.salt_n);
	assert_memory_equal(&x, &again, sizeof(x));
	assert_memory_not_equal(x.salt, y.salt, x.salt_n);
	assert_memory_not_equal(x.salt, z.salt, x.salt_n);
	assert_memory_not_equal(x.stored_key, y.stored_key, SCRAM_KEY);
	want_keys("pencil", &x, 4096, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_password_becomes_the_published_keys_in_any_parts),
		cmocka_unit_test(long_passwords),
		cmocka_unit_test(the_published_exchange),
		cmocka_unit_test(verifiers_that_are_none),
		cmocka_unit_test(verifiers_go_round),
		cmocka_unit_test(who_is_unknown_looks_like_anybody),
	};

	return RUN_TESTS(tests);
}
