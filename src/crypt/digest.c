#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/bug.h"
#include "crypt/digest.h"

struct digest {
	EVP_MD_CTX *ctx;
	enum digest_alg alg;
};

/*
 * The one thing in the pure rooms that outlives a call: EVP_MD_fetch() costs more than a small digest, what it gives is
 * constant, and no threads share it. Fetched when first wanted, kept until the process ends.
 */
static const EVP_MD *algorithm(enum digest_alg alg)
{
	static const char *const names[DIGEST_ALGS] = { "SHA256", "SHA512" };
	static EVP_MD *fetched[DIGEST_ALGS];

	if (!fetched[alg])
		fetched[alg] = EVP_MD_fetch(NULL, names[alg], NULL);
	return fetched[alg];
}

struct digest *digest_new(enum digest_alg alg)
{
	const EVP_MD *md = algorithm(alg);
	struct digest *d = md ? calloc(1, sizeof(*d)) : NULL;

	if (!d)
		return NULL;
	d->alg = alg;
	d->ctx = EVP_MD_CTX_new();
	if (!d->ctx || !EVP_DigestInit_ex(d->ctx, md, NULL)) {
		ERR_clear_error();
		digest_free(&d);
	}
	return d;
}

void digest_free(struct digest **d)
{
	if (!*d)
		return;
	EVP_MD_CTX_free((*d)->ctx);
	free(*d);
	*d = NULL;
}

void digest_add(struct digest *d, struct slice octets)
{
	/* SHA-2 refuses only after 2^61 octets or after its end */
	if (octets.n)
		BUG_ON(!EVP_DigestUpdate(d->ctx, octets.at, octets.n));
}

struct digest *digest_fork(const struct digest *d)
{
	struct digest *fork = calloc(1, sizeof(*fork));

	if (!fork)
		return NULL;
	fork->alg = d->alg;
	fork->ctx = EVP_MD_CTX_new();
	if (!fork->ctx || !EVP_MD_CTX_copy_ex(fork->ctx, d->ctx)) {
		ERR_clear_error();
		digest_free(&fork);
	}
	return fork;
}

size_t digest_end(struct digest *d, unsigned char out[DIGEST_OCTETS])
{
	unsigned n = 0;

	BUG_ON(!EVP_DigestFinal_ex(d->ctx, out, &n));
	return n;
}

size_t digest_once(enum digest_alg alg, struct slice octets, unsigned char out[DIGEST_OCTETS])
{
	const EVP_MD *md = algorithm(alg);
	unsigned n = 0;

	if (!md || !EVP_Digest(octets.n ? octets.at : (const unsigned char *)"", octets.n, out, &n, md, NULL)) {
		ERR_clear_error();
		return 0;
	}
	return n;
}

void digest_reset(struct digest *d)
{
	BUG_ON(!EVP_DigestInit_ex(d->ctx, algorithm(d->alg), NULL));
}
