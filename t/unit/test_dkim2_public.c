/* DKIM2 suites that may not be copied into the tree: run where HOPSEAL_VECTORS says. The tree has rows of its own for their rules. */
#include "arena.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>

#include "auth/dkim2/custody.h"
#include "auth/dkim2/recipe.h"
#include "base/b64.h"
#include "dkim2_suite.h"

static void public_05(void **state)
{
	(void)state;
	run_levels("dkim2-spec05-public");
}

static json_t *list_of(const char *file)
{
	char folder[500];
	json_t *list;

	assert_true(vector_folder("dkim2-spec06-custody", folder, sizeof(folder)));
	list = vector_json(folder, file);
	assert_true(json_array_size(list) > 0);
	return list;
}

/* ---- custody ---- */

static struct slice b64_of(const json_t *text)
{
	return b64_text(&arena, vector_text(text));
}

static struct slice envelope_tags(const json_t *seal)
{
	struct slice mf = b64_of(json_object_get(seal, "mail_from")), rt = SLICE_NONE, one;
	const json_t *to = json_object_get(seal, "recipients");

	if (json_object_get(seal, "next_domain"))
		return arena_printf(&arena, "nd=%s", json_string_value(json_object_get(seal, "next_domain")));
	for (size_t i = 0; i < json_array_size(to); i++) {
		one = b64_of(json_array_get(to, i));
		rt = arena_printf(&arena, "%.*s%s%.*s", SLICE_FMT(rt), i ? "," : "", SLICE_FMT(one));
	}
	return arena_printf(&arena, "mf=%.*s; rt=%.*s", SLICE_FMT(mf), SLICE_FMT(rt));
}

/* The header fields that a case describes. */
static struct slice fields_of(const json_t *seals)
{
	static const char hash[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
	struct slice text = SLICE_NONE, tags;
	json_int_t instances = 0;

	for (size_t i = 0; i < json_array_size(seals); i++) {
		const json_t *seal = json_array_get(seals, i);
		json_int_t m = json_integer_value(json_object_get(seal, "instance"));

		tags = envelope_tags(seal);
		text = arena_printf(&arena, "%.*sDKIM2-Signature: i=%" JSON_INTEGER_FORMAT "; m=%" JSON_INTEGER_FORMAT "; t=1; d=%s; %.*s; s=a:b:AAAA;\r\n",
		    SLICE_FMT(text), json_integer_value(json_object_get(seal, "sequence")), m,
		    json_string_value(json_object_get(seal, "domain")), SLICE_FMT(tags));
		instances = m > instances ? m : instances;
	}
	for (json_int_t m = 1; m <= instances; m++)
		text = arena_printf(&arena, "%.*sMessage-Instance: m=%" JSON_INTEGER_FORMAT "; h=sha256:%s:%s;\r\n", SLICE_FMT(text), m, hash, hash);
	return text;
}

static void custody_06(void **state)
{
	json_t *list = list_of("INDEX.json");

	(void)state;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *row = json_array_get(list, i);
		const char *status = json_string_value(json_object_get(row, "want_status"));
		const char *error = json_string_value(json_object_get(row, "want_error"));
		const char *got = "ordinary_complete";
		struct header h;
		struct chain chain;
		struct fault f = { 0 };

		assert_true(header_parse(&arena, fields_of(json_object_get(row, "signatures")), 100, &h, &f));
		assert_true(chain_read(&arena, draft_of(6), &h, false, &chain));
		if (chain.broken)
			fail_msg("%s: %.*s", case_name(row), SLICE_FMT(chain.reason.words));
		if (chain.seals[chain.n - 1].has_nd)
			got = "terminal_next_domain";
		for (size_t k = 0; k < chain.n; k++)
			if (custody_break(&arena, &chain, k).words.n)
				got = "custody_mismatch";
		if (strcmp(got, status ? status : error) != 0)
			fail_msg("%s: %s", case_name(row), got);
	}
	json_decref(list);
}

/* ---- keys ---- */

/* A modulus of so many bits that is no product of two primes anybody knows: nothing but its size is asked of it. */
static struct slice rsa_key(int bits, unsigned exponent)
{
	BIGNUM *n = BN_new(), *e = BN_new();
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	EVP_PKEY *pkey = NULL;
	OSSL_PARAM *params;
	unsigned char *der = NULL;
	struct slice out;
	int octets;

	assert_true(n && e && build && ctx && BN_set_bit(n, bits - 1) && BN_set_bit(n, 0) && BN_set_word(e, exponent));
	assert_true(OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e));
	params = OSSL_PARAM_BLD_to_param(build);
	assert_true(EVP_PKEY_fromdata_init(ctx) == 1 && EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) == 1);
	octets = i2d_PUBKEY(pkey, &der);
	assert_true(octets > 0);
	out = arena_copy(&arena, slice_of(der, (size_t)octets));
	OPENSSL_free(der);
	EVP_PKEY_free(pkey);
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	BN_free(e);
	BN_free(n);
	return out;
}

static void rsa_boundaries_06(void **state)
{
	json_t *list = list_of("rsa-boundaries.json");

	(void)state;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *row = json_array_get(list, i);
		int bits = (int)json_integer_value(json_object_get(row, "bits"));
		struct slice text = b64_text(&arena, rsa_key(bits, (unsigned)json_integer_value(json_object_get(row, "exponent"))));
		struct keyrec *rec;

		text = arena_printf(&arena, "v=DKIM1; k=rsa; p=%.*s", SLICE_FMT(text));
		rec = keyrec_new(DNS_OK, &text, 1, false);
		if (rec->state != (json_is_true(json_object_get(row, "valid")) ? KEYREC_OK : KEYREC_SYNTAX))
			fail_msg("%s: %d", case_name(row), (int)rec->state);
		if (rec->key)
			assert_int_equal(key_bits(rec->key), bits);
		keyrec_drop(&rec);
	}
	json_decref(list);
}

/*
 * `strict` there is t=s, which speaks of an i= that DKIM2 has not got and is ignored (spec section 7); what is called strict
 * here is f=strict.
 */
static void key_records_00(void **state)
{
	json_t *list = list_of("key-records.json");

	(void)state;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *row = json_array_get(list, i);
		struct slice text = vector_text(json_object_get(row, "txt"));
		struct keyrec *rec = keyrec_new(DNS_OK, &text, 1, false);

		if (rec->state != KEYREC_OK || rec->testing != json_is_true(json_object_get(row, "testing")) || rec->strict)
			fail_msg("%s: %d", case_name(row), (int)rec->state);
		assert_string_equal(json_string_value(json_object_get(row, "key_type")), "rsa");
		assert_int_equal(key_type(rec->key), KEY_RSA);
		keyrec_drop(&rec);
	}
	json_decref(list);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh_arena, drop_arena)

/* ---- recipes ---- */

/* What others wrote is read, and written again octet for octet. False: it is no recipe. */
static bool same_again(unsigned level, const char *name, struct slice json)
{
	struct arena a;
	struct buf b;
	struct recipe r;
	const char *why;
	enum recipe_state state;

	arena_init(&a, 1 << 20);
	buf_init(&b, 1 << 20);
	state = recipe_parse(&a, draft_of(level), json, &r, &why);
	if (state == RECIPE_OK) {
		recipe_write(&r, &b);
		/* names outside the header hash are left out */
		if (!slice_eq(buf_get(&b), json) && !(slice_starts(json, S("{\"h\":{\"x-")) && r.field_count == 0))
			fail_msg("%s: %.*s", name, (int)b.n, b.at);
	}
	buf_release(&b);
	arena_clear(&a);
	return state == RECIPE_OK;
}

/* Of -06, where a body may be lost. */
static void recipes_06(void **state)
{
	char folder[500];
	json_t *index;
	size_t seen = 0;

	(void)state;
	assert_true(vector_folder("dkim2-spec06-recipes", folder, sizeof(folder)));
	index = vector_json(folder, "INDEX.json");
	for (size_t i = 0; i < json_array_size(index); i++) {
		const json_t *row = json_array_get(index, i);
		const char *name = json_string_value(json_object_get(row, "name"));
		struct slice json = vector_text(json_object_get(row, "recipe_json"));

		if (!json.n)
			continue;
		seen++;
		if (!same_again(6, name, json) || same_again(9, name, json) != !slice_ends(json, S("\"b\":null}")))
			fail_msg("%s", name);
	}
	assert_int_equal(seen, 6);
	json_decref(index);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(public_05),
		TEST(custody_06),
		TEST(rsa_boundaries_06),
		TEST(key_records_00),
		TEST(recipes_06),
	};
	static const char *const suites[] = { "dkim2-spec05-public", "dkim2-spec06-custody", "dkim2-spec06-recipes" };
	char folder[500];

	for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++) {
		if (!vector_folder(suites[i], folder, sizeof(folder))) {
			printf("1..0 # SKIP HOPSEAL_VECTORS names no folder that holds %s\n", suites[i]);
			return 0;
		}
	}
	return RUN_TESTS(tests);
}
