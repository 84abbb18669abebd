#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/b64.h"
#include "base/limits.h"
#include "crypt/digest.h"
#include "crypt/scram.h"

/* ---- HMAC (RFC 2104), with both ends of a key hashed once ---- */

enum { BLOCK = 64 };

struct hmac {
	EVP_MD_CTX *inner, *outer, *work;
};

static void hmac_end(struct hmac *h)
{
	EVP_MD_CTX_free(h->inner);
	EVP_MD_CTX_free(h->outer);
	EVP_MD_CTX_free(h->work);
	*h = (struct hmac){ 0 };
}

static bool pad(EVP_MD_CTX *ctx, const unsigned char key[BLOCK], unsigned char with)
{
	unsigned char block[BLOCK];
	bool good;

	for (size_t i = 0; i < BLOCK; i++)
		block[i] = key[i] ^ with;
	good = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) && EVP_DigestUpdate(ctx, block, BLOCK);
	OPENSSL_cleanse(block, BLOCK);
	return good;
}

static bool hmac_begin(struct hmac *h, struct slice key)
{
	unsigned char block[BLOCK] = { 0 }, hash[DIGEST_OCTETS];
	bool good = true;

	*h = (struct hmac){ EVP_MD_CTX_new(), EVP_MD_CTX_new(), EVP_MD_CTX_new() };
	if (key.n > BLOCK) {
		good = digest_once(DIGEST_SHA256, key, hash) != 0;
		memcpy(block, hash, SCRAM_KEY);
		OPENSSL_cleanse(hash, sizeof(hash));
	} else if (key.n) {
		memcpy(block, key.at, key.n);
	}
	good = good && pad(h->inner, block, 0x36) && pad(h->outer, block, 0x5c) && h->work;
	OPENSSL_cleanse(block, BLOCK);
	if (!good) {
		ERR_clear_error();
		hmac_end(h);
	}
	return good;
}

/* Of two pieces, one behind the other. out may be either of them. */
static bool hmac_of(struct hmac *h, struct slice x, struct slice y, unsigned char out[SCRAM_KEY])
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	bool good = EVP_MD_CTX_copy_ex(h->work, h->inner) && (!x.n || EVP_DigestUpdate(h->work, x.at, x.n)) &&
	    (!y.n || EVP_DigestUpdate(h->work, y.at, y.n)) && EVP_DigestFinal_ex(h->work, hash, NULL) &&
	    EVP_MD_CTX_copy_ex(h->work, h->outer) && EVP_DigestUpdate(h->work, hash, SCRAM_KEY) && EVP_DigestFinal_ex(h->work, hash, NULL);

	if (good)
		memcpy(out, hash, SCRAM_KEY);
	else
		ERR_clear_error();
	return good;
}

static bool hmac_once(struct slice key, struct slice x, struct slice y, unsigned char out[SCRAM_KEY])
{
	struct hmac h;
	bool good = hmac_begin(&h, key) && hmac_of(&h, x, y, out);

	hmac_end(&h);
	return good;
}

static struct slice key_slice(const unsigned char key[SCRAM_KEY])
{
	return slice_of(key, SCRAM_KEY);
}

/* ---- as text ---- */

static const char scheme[] = "{SCRAM-SHA-256}";

/* The next of the parts, in base64 where octets are meant; at most `room` of them. */
static bool part(struct slice *rest, unsigned char *out, size_t room, size_t *n_out)
{
	unsigned char text[(SCRAM_SALT + 2) / 3 * 4];
	struct slice word;
	size_t n;

	(void)slice_cut(rest, ',', &word);
	if (word.n == 0 || word.n > sizeof(text))
		return false;
	memcpy(text, word.at, word.n);
	if (!b64_decode_over(text, word.n, &n) || n == 0 || n > room)
		return false;
	memcpy(out, text, n);
	*n_out = n;
	return true;
}

static bool wrong(const char **why_out, const char *why)
{
	*why_out = why;
	return false;
}

bool scram_read(struct slice text, struct scram_verifier *out, const char **why_out)
{
	struct scram_verifier v = { .iterations = 0 };
	struct slice rest = text, word;
	uint64_t iterations;
	size_t stored, server;

	if (!slice_starts(text, slice_str(scheme)))
		return wrong(why_out, "another scheme than {SCRAM-SHA-256}");
	rest = slice_sub(text, sizeof(scheme) - 1, SIZE_MAX);
	(void)slice_cut(&rest, ',', &word);
	if (!slice_u64(word, UINT32_MAX, &iterations))
		return wrong(why_out, "no number of iterations");
	if (iterations < LIMIT_SCRAM_LEAST)
		return wrong(why_out, "fewer iterations than 4096");
	if (iterations > LIMIT_SCRAM_MOST)
		return wrong(why_out, "more iterations than 1000000");
	v.iterations = (uint32_t)iterations;
	if (!part(&rest, v.salt, sizeof(v.salt), &v.salt_n))
		return wrong(why_out, "no salt of 1 to 64 octets in base64");
	if (!part(&rest, v.stored_key, sizeof(v.stored_key), &stored) || stored != SCRAM_KEY)
		return wrong(why_out, "no StoredKey of 32 octets in base64");
	if (!part(&rest, v.server_key, sizeof(v.server_key), &server) || server != SCRAM_KEY)
		return wrong(why_out, "no ServerKey of 32 octets in base64");
	if (rest.n)
		return wrong(why_out, "text behind its ServerKey");
	*out = v;
	return true;
}

void scram_write(struct buf *b, const struct scram_verifier *v)
{
	buf_printf(b, "%s%lu,", scheme, (unsigned long)v->iterations);
	b64_encode(b, slice_of(v->salt, v->salt_n));
	buf_octet(b, ',');
	b64_encode(b, key_slice(v->stored_key));
	buf_octet(b, ',');
	b64_encode(b, key_slice(v->server_key));
}

bool scram_unknown(struct slice secret, struct slice name, const struct scram_verifier *like, struct scram_verifier *out)
{
	struct scram_verifier v = { .iterations = like->iterations, .salt_n = like->salt_n };

	/* A key that nobody knows the origin of is that of no password. */
	if (!hmac_once(secret, S("salt"), name, v.salt) || !hmac_once(secret, S("more salt"), name, v.salt + SCRAM_KEY) ||
	    !hmac_once(secret, S("stored"), name, v.stored_key) || !hmac_once(secret, S("server"), name, v.server_key))
		return false;
	*out = v;
	return true;
}

/* ---- from a password to keys: Hi() of RFC 5802 2.2, which is PBKDF2 (RFC 8018 5.2) with one block ---- */

struct scram_stretch {
	struct hmac hmac;
	unsigned char u[SCRAM_KEY], salted[SCRAM_KEY];
	uint32_t left;
	bool failed;
};

struct scram_stretch *scram_stretch_new(struct slice password, struct slice salt, uint32_t iterations)
{
	static const unsigned char one[4] = { 0, 0, 0, 1 };
	struct scram_stretch *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	if (!hmac_begin(&s->hmac, password) || !hmac_of(&s->hmac, salt, slice_of(one, sizeof(one)), s->u)) {
		scram_stretch_free(&s);
		return NULL;
	}
	memcpy(s->salted, s->u, SCRAM_KEY);
	s->left = iterations - 1;
	return s;
}

void scram_stretch_free(struct scram_stretch **s)
{
	if (!*s)
		return;
	hmac_end(&(*s)->hmac);
	OPENSSL_cleanse(*s, sizeof(**s));
	free(*s);
	*s = NULL;
}

bool scram_stretch_run(struct scram_stretch *s, uint32_t iterations)
{
	for (; iterations && s->left; iterations--, s->left--) {
		if (!hmac_of(&s->hmac, key_slice(s->u), SLICE_NONE, s->u)) {
			s->failed = true;
			s->left = 0;
			return true;
		}
		for (size_t i = 0; i < SCRAM_KEY; i++)
			s->salted[i] ^= s->u[i];
	}
	return s->left == 0;
}

/* H(key), with H that of SCRAM-SHA-256. */
static bool hash_key(const unsigned char key[SCRAM_KEY], unsigned char out[SCRAM_KEY])
{
	unsigned char hash[DIGEST_OCTETS];
	bool good = digest_once(DIGEST_SHA256, key_slice(key), hash) != 0;

	if (good)
		memcpy(out, hash, SCRAM_KEY);
	OPENSSL_cleanse(hash, sizeof(hash));
	return good;
}

bool scram_stretch_keys(struct scram_stretch *s, unsigned char stored_key_out[SCRAM_KEY], unsigned char server_key_out[SCRAM_KEY])
{
	unsigned char client_key[SCRAM_KEY];
	bool good = !s->failed && hmac_once(key_slice(s->salted), S("Client Key"), SLICE_NONE, client_key) &&
	    hash_key(client_key, stored_key_out) && hmac_once(key_slice(s->salted), S("Server Key"), SLICE_NONE, server_key_out);

	OPENSSL_cleanse(client_key, sizeof(client_key));
	return good;
}

/* ---- the exchange ---- */

bool scram_same_key(const unsigned char x[SCRAM_KEY], const unsigned char y[SCRAM_KEY])
{
	return CRYPTO_memcmp(x, y, SCRAM_KEY) == 0;
}

bool scram_proves(const struct scram_verifier *v, struct slice messages, struct slice proof)
{
	unsigned char signature[SCRAM_KEY], client_key[SCRAM_KEY], stored_key[SCRAM_KEY];
	bool good;

	if (proof.n != SCRAM_KEY || !hmac_once(key_slice(v->stored_key), messages, SLICE_NONE, signature))
		return false;
	for (size_t i = 0; i < SCRAM_KEY; i++)
		client_key[i] = proof.at[i] ^ signature[i];
	good = hash_key(client_key, stored_key) && scram_same_key(stored_key, v->stored_key);
	OPENSSL_cleanse(client_key, sizeof(client_key));
	return good;
}

bool scram_signature(const struct scram_verifier *v, struct slice messages, unsigned char out[SCRAM_KEY])
{
	return hmac_once(key_slice(v->server_key), messages, SLICE_NONE, out);
}
