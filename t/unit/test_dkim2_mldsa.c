/*
 * ML-DSA-44 in a seal, signed here by libcrypto itself. Where that has it not (before OpenSSL 3.5), the same rows hold
 * that its group is of an unknown algorithm, and that no key is asked for.
 */
#include "test.h"

#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/pem.h>

#include "dkim2_world.h"

enum { SEAL_OCTETS = 2420, KEY_MLDSA_OCTETS = 1312 };

static EVP_PKEY *pkey; /* NULL: libcrypto has it not */
static unsigned char mldsa_public[KEY_MLDSA_OCTETS + 1];

/* What a row's q1 set signs, and how. */
enum how {
	RIGHT,
	OTHER_CONTEXT, /* DKIM instead of DKIM2 */
	NO_CONTEXT,
	THE_DIGEST,    /* as all others do */
	ONE_SHORT,
	ONE_MORE,
	FLIPPED
};

/* What q1._domainkey holds. */
enum record { OURS, SHORT_KEY, LONG_KEY, ED25519_KEY, ABSENT };

static size_t sign_mldsa(struct slice octets, struct slice context, unsigned char out[SEAL_OCTETS])
{
	OSSL_PARAM params[] = { OSSL_PARAM_octet_string("context-string", (void *)(uintptr_t)context.at, context.n), OSSL_PARAM_END };
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t n = SEAL_OCTETS;

	assert_int_equal(EVP_DigestSignInit_ex(ctx, NULL, NULL, NULL, NULL, pkey, params), 1);
	assert_int_equal(EVP_DigestSign(ctx, out, &n, octets.at, octets.n), 1);
	EVP_MD_CTX_free(ctx);
	return n;
}

static struct slice sign_how(struct slice octets, enum how how)
{
	unsigned char out[SEAL_OCTETS + 1] = { 0 }, digest[DIGEST_OCTETS];
	size_t n = SEAL_OCTETS;

	if (pkey && how == THE_DIGEST)
		n = sign_mldsa(slice_of(digest, digest_once(DIGEST_SHA256, octets, digest)), S("DKIM2"), out);
	else if (pkey)
		n = sign_mldsa(octets, how == OTHER_CONTEXT ? S("DKIM") : how == NO_CONTEXT ? S("") : S("DKIM2"), out);
	assert_int_equal(n, SEAL_OCTETS);
	if (how == FLIPPED)
		out[700] ^= 1;
	return b64_text(&arena, slice_of(out, how == ONE_SHORT ? n - 1 : how == ONE_MORE ? n + 1 : n));
}

static struct slice key_record(enum record record)
{
	size_t n = record == SHORT_KEY ? KEY_MLDSA_OCTETS - 1 : record == LONG_KEY ? KEY_MLDSA_OCTETS + 1 : KEY_MLDSA_OCTETS;
	struct slice text = b64_text(&arena, slice_of(mldsa_public, n));

	return record == ED25519_KEY ? keyrec_text(&arena, keys[0]) : arena_printf(&arena, "v=DKIM1; k=mldsa44; p=%.*s", SLICE_FMT(text));
}

/*
 * A hop whose s= is `sets`, where 'Q' stands for the set of q1 (ML-DSA-44), 'S' for the one of s1 (Ed25519), each signed
 * over the same input.
 */
static struct slice forge_sets(struct slice message, const char *sets, enum how how)
{
	static const char tags[] = "DKIM2-Signature: i=1; m=1; t=1795255200; d=example.com; mf=PGFsaWNlQGV4YW1wbGUuY29tPg==; "
	                           "rt=PGxpc3RAbGlzdHMuZXhhbXBsZS5vcmc+; s=";
	struct slice blank = slice_str(tags), whole = slice_str(tags), body, octets;
	unsigned char digest[32], out[SIGNATURE_OCTETS];
	struct header h;
	struct chain chain;
	struct input input;

	for (const char *p = sets; *p; p++)
		blank = join(blank, *p == 'Q' ? S("q1:mldsa44:AAAA") : *p == 'S' ? S("s1:ed25519-sha256:AAAA") : slice_of(p, 1), SLICE_NONE);
	split(join(blank, S(";\r\n"), message), &h, &body);
	assert_true(chain_read(&arena, draft_of(9), &h, false, &chain) && !chain.broken);
	input_init(&input, &chain);
	assert_true(input_digest(&input, 0, digest));
	assert_true(input_octets(&input, 0, &octets));
	for (const char *p = sets; *p; p++) {
		if (*p == 'Q')
			whole = join(whole, S("q1:mldsa44:"), sign_how(octets, how));
		else if (*p == 'S')
			whole = join(whole, S("s1:ed25519-sha256:"),
			    b64_text(&arena, slice_of(out, sign_sha256(keys[0], digest, out))));
		else
			whole = join(whole, slice_of(p, 1), SLICE_NONE);
	}
	input_release(&input);
	return join(whole, S(";\r\n"), message);
}

static const struct dkim2_verdict *judge(struct slice message, unsigned draft)
{
	static const struct slice rcpt = { (const unsigned char *)"<list@lists.example.org>", 24 };
	struct dkim2_envelope e = { S("<alice@example.com>"), &rcpt, 1 };

	return vector_verify(&arena, message, &e, NOW + 30, draft, zone);
}

/* How many keys are asked for. */
static size_t asked(struct slice message, unsigned draft)
{
	struct dkim2_verify *v;
	const struct slice *names;
	struct header *h = ARENA_NEW(&arena, struct header);
	struct slice body;
	size_t n;

	split(message, h, &body);
	v = dkim2_verify_new(&arena, h, NULL, (struct dkim2_clock){ NOW, 300 }, draft);
	assert_non_null(v);
	n = dkim2_verify_asks(v, &names);
	dkim2_verify_release(v);
	return n;
}

#define WRONG "DKIM2-Signature i=1 q1 incorrect signature"
#define UNKNOWN "DKIM2-Signature i=1 q1 unknown algorithm"
#define BAD_KEY "DKIM2-Signature i=1 public key q1 has a syntax error"
#define OTHER_KEY "DKIM2-Signature i=1 public key q1 algorithm mismatch"
#define NO_KEY "DKIM2-Signature i=1 public key q1 does not exist"

static void a_set_of_it_is_judged_where_libcrypto_can(void **state)
{
	static const struct {
		const char *name, *sets;
		enum how how;
		enum record record;
		unsigned draft;
		enum dkim2_state with; /* an OpenSSL that has it */
		const char *reason;
		enum dkim2_state without;
		const char *reason_without;
		size_t asks, asks_without;
	} rows[] = {
		{ "by itself", "Q", RIGHT, OURS, 9, DKIM2_PASS, "", DKIM2_PERMERROR, UNKNOWN, 1, 0 },
		{ "at -08 too", "Q", RIGHT, OURS, 8, DKIM2_PASS, "", DKIM2_PERMERROR, UNKNOWN, 1, 0 },
		{ "another context", "Q", OTHER_CONTEXT, OURS, 9, DKIM2_FAIL, WRONG, DKIM2_PERMERROR, UNKNOWN, 1, 0 },
		{ "no context", "Q", NO_CONTEXT, OURS, 9, DKIM2_FAIL, WRONG, DKIM2_PERMERROR, UNKNOWN, 1, 0 },
		{ "the digest, not the input", "Q", THE_DIGEST, OURS, 9, DKIM2_FAIL, WRONG, DKIM2_PERMERROR, UNKNOWN, 1, 0 },
		{ "2419 octets", "Q", ONE_SHORT, OURS, 9, DKIM2_FAIL, WRONG, DKIM2_PERMERROR, UNKNOWN, 1, 0 },
		{ "2421 octets", "Q", ONE_MORE, OURS, 9, DKIM2_FAIL, WRONG, DKIM2_PERMERROR, UNKNOWN, 1, 0 },
		{ "one bit", "Q", FLIPPED, OURS, 9, DKIM2_FAIL, WRONG, DKIM2_PERMERROR, UNKNOWN, 1, 0 },
		{ "a key of 1311 octets", "Q", RIGHT, SHORT_KEY, 9, DKIM2_PERMERROR, BAD_KEY, DKIM2_PERMERROR, UNKNOWN, 1, 0 },
		{ "a key of 1313 octets", "Q", RIGHT, LONG_KEY, 9, DKIM2_PERMERROR, BAD_KEY, DKIM2_PERMERROR, UNKNOWN, 1, 0 },
		{ "a key of another type", "Q", RIGHT, ED25519_KEY, 9, DKIM2_PERMERROR, OTHER_KEY, DKIM2_PERMERROR, UNKNOWN, 1, 0 },
		{ "no key", "Q", RIGHT, ABSENT, 9, DKIM2_PERMERROR, NO_KEY, DKIM2_PERMERROR, UNKNOWN, 1, 0 },
		{ "an alternative to Ed25519", "S|Q", RIGHT, OURS, 9, DKIM2_PASS, "", DKIM2_PASS, "", 2, 1 },
		{ "a wrong alternative", "Q|S", FLIPPED, OURS, 9, DKIM2_PASS, "", DKIM2_PASS, "", 2, 1 },
		{ "an alternative without key", "S|Q", RIGHT, ABSENT, 9, DKIM2_PASS, "", DKIM2_PASS, "", 2, 1 },
		{ "and Ed25519", "S,Q", RIGHT, OURS, 9, DKIM2_PASS, "", DKIM2_PERMERROR, UNKNOWN, 2, 0 },
		{ "and Ed25519, wrong", "S,Q", FLIPPED, OURS, 9, DKIM2_FAIL, WRONG, DKIM2_PERMERROR, UNKNOWN, 2, 0 },
		/* no such name before -08: passed over beside a known one, and a fail by itself (2.4) */
		{ "at -07", "Q", RIGHT, OURS, 7, DKIM2_FAIL, UNKNOWN, DKIM2_FAIL, UNKNOWN, 0, 0 },
		{ "at -07 and Ed25519", "S,Q", FLIPPED, OURS, 7, DKIM2_PASS, "", DKIM2_PASS, "", 1, 1 },
		{ "at -06 and Ed25519", "S,Q", FLIPPED, OURS, 6, DKIM2_PASS, "", DKIM2_PASS, "", 1, 1 },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct slice message = forge_sets(forge_instance(slice_str(lunch), 1), rows[i].sets, rows[i].how);
		enum dkim2_state want = pkey ? rows[i].with : rows[i].without;
		const char *reason = pkey ? rows[i].reason : rows[i].reason_without;
		size_t asks = pkey ? rows[i].asks : rows[i].asks_without;
		const struct dkim2_verdict *v;

		if (rows[i].record != ABSENT) {
			struct slice text = key_record(rows[i].record);

			json_object_set_new(zone, "q1._domainkey.example.com", json_pack("[s%]", text.at, text.n));
		} else {
			json_object_del(zone, "q1._domainkey.example.com");
		}
		v = judge(message, rows[i].draft);
		if (v->state != want || !slice_eq(v->reason, slice_str(reason)))
			fail_msg("%s: wanted %s \"%s\", got %s \"%.*s\"", rows[i].name, dkim2_state_name(want), reason,
			    dkim2_state_name(v->state), SLICE_FMT(v->reason));
		if (asked(message, rows[i].draft) != asks)
			fail_msg("%s: %zu keys asked for", rows[i].name, asked(message, rows[i].draft));
		arena_clear(&arena);
	}
}

/* The octets of an input are those its digest is of: two hops, two instances, folds and odd case. */
static void the_octets_are_what_the_digest_is_of(void **state)
{
	static const char text[] =
	    "DKIM2-Signature: I=2; m=2; t=2; d=b.example; nd=c.example;\r\n s = x:a:AA\r\n\tAA | y:b: BBBB ,z:c:CCCC;\r\n"
	    "Message-Instance: m=2; h=x:AAAA:AAAA; r=e30=\r\n"
	    "dkim2-signature : i=1;m=1; t=1; d=a.example; nd=b.example; s=x:a:AAAA;\r\n"
	    "MESSAGE-INSTANCE: m=1; h=x:AAAA:\r\n AAAA;\r\n\r\n";
	static const char first[] = "message-instance:m=1;h=x:AAAA:AAAA;\r\n"
	                            "dkim2-signature:i=1;m=1;t=1;d=a.example;nd=b.example;s=x:a:;\r\n";
	static const char second[] = "message-instance:m=1;h=x:AAAA:AAAA;\r\n"
	                             "message-instance:m=2;h=x:AAAA:AAAA;r=e30=\r\n"
	                             "dkim2-signature:i=1;m=1;t=1;d=a.example;nd=b.example;s=x:a:AAAA;\r\n"
	                             "dkim2-signature:I=2;m=2;t=2;d=b.example;nd=c.example;s=x:a:|y:b:,z:c:;\r\n";
	unsigned char digest[32], again[DIGEST_OCTETS];
	struct slice octets, body;
	struct header h;
	struct chain chain;
	struct input input;

	(void)state;
	split(slice_str(text), &h, &body);
	assert_true(chain_read(&arena, draft_of(9), &h, false, &chain) && !chain.broken);
	input_init(&input, &chain);
	for (size_t k = 2; k-- > 0;) { /* newest first: order is of no matter here */
		assert_true(input_octets(&input, k, &octets));
		WANT_SLICE(octets, slice_str(k ? second : first));
	}
	for (size_t k = 0; k < 2; k++) {
		assert_true(input_digest(&input, k, digest));
		assert_true(input_octets(&input, k, &octets));
		digest_once(DIGEST_SHA256, octets, again);
		assert_memory_equal(digest, again, 32);
	}
	input_release(&input);
}

/* A record of that type is usable or of an unknown type, and never anything else because of it. */
static void its_key_record(void **state)
{
	struct slice text = key_record(OURS), again;
	struct keyrec *rec = keyrec_new(DNS_OK, &text, 1, false);

	(void)state;
	assert_int_equal(key_type_known(KEY_MLDSA44), pkey != NULL);
	assert_true(key_type_known(KEY_RSA) && key_type_known(KEY_ED25519) && !key_type_known(KEY_NONE));
	assert_int_equal(rec->state, pkey ? KEYREC_OK : KEYREC_TYPE);
	if (pkey) {
		unsigned char digest[32] = { 0 }, out[SIGNATURE_OCTETS];

		again = keyrec_text(&arena, rec->key);
		WANT_SLICE(again, text);
		assert_int_equal(key_type(rec->key), KEY_MLDSA44);
		assert_int_equal(key_bits(rec->key), KEY_MLDSA_OCTETS * 8);
		/* it is no key for a digest, and an Ed25519 key none for octets */
		assert_false(verify_sha256(rec->key, digest, S("x"), NULL));
		assert_int_equal(sign_sha256(rec->key, digest, out), 0);
	}
	assert_false(verify_mldsa44(keys[0], S("x"), S("DKIM2"), S("x"), NULL));
	keyrec_drop(&rec);
}

/* Nothing here signs with it. */
static void no_seal_is_made_with_it(void **state)
{
	static const struct dkim2_seal_set set = { .selector = { (const unsigned char *)"q1", 2 }, .type = KEY_MLDSA44 };
	struct slice rcpt, instance, signature;
	struct dkim2_seal_conf conf = alice(&rcpt);
	struct fault f = { 0 };

	(void)state;
	conf.sets = &set;
	assert_int_equal(seal_with(slice_str(lunch), NULL, &conf, &instance, &signature, &f).n, 0);
	assert_int_equal(f.code, FAULT_INTERNAL);
	if (pkey) {
		struct buf pem;
		struct key *k;
		BIO *bio = BIO_new(BIO_s_mem());
		char *at;
		long n;

		assert_true(bio && PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL));
		n = BIO_get_mem_data(bio, &at);
		buf_init(&pem, 65536);
		buf_add(&pem, at, (size_t)n);
		BIO_free(bio);
		k = key_private(buf_get(&pem));
		assert_null(k);
		buf_release(&pem);
	}
}

static int make_mldsa_world(void **state)
{
	size_t n = KEY_MLDSA_OCTETS;

	pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ML-DSA-44");
	print_message("# ML-DSA-44: %s\n", pkey ? "signed with and verified" : "not in this libcrypto, so of unknown type");
	if (pkey && (!EVP_PKEY_get_raw_public_key(pkey, mldsa_public, &n) || n != KEY_MLDSA_OCTETS))
		return -1;
	return make_world(state);
}

static int end_mldsa_world(void **state)
{
	EVP_PKEY_free(pkey);
	return end_world(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(a_set_of_it_is_judged_where_libcrypto_can, fresh_arena),
		cmocka_unit_test_teardown(the_octets_are_what_the_digest_is_of, fresh_arena),
		cmocka_unit_test_teardown(its_key_record, fresh_arena),
		cmocka_unit_test_teardown(no_seal_is_made_with_it, fresh_arena),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make_mldsa_world, end_mldsa_world);
}
