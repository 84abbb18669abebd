/*
 * digest.h - SHA-256 and SHA-512 as octets arrive. Links libcrypto only. Algorithms are fetched once a process
 * when first wanted, since a fetch costs more than a small digest.
 */
#ifndef CRYPT_DIGEST_H
#define CRYPT_DIGEST_H

#include "base/slice.h"

enum digest_alg {
	DIGEST_SHA256,
	DIGEST_SHA512,
	DIGEST_ALGS
};

enum { DIGEST_OCTETS = 64 }; /* room for any of them */

struct digest;

struct digest *digest_new(enum digest_alg alg); /* NULL: no memory */
void digest_free(struct digest **d);
void digest_add(struct digest *d, struct slice octets);
/* A copy that goes on by itself: for running prefixes. NULL: no memory. */
struct digest *digest_fork(const struct digest *d);
/* Ends it; returns the octets written, 32 or 64. The digest may only be freed afterwards. */
size_t digest_end(struct digest *d, unsigned char out[DIGEST_OCTETS]);
/* 0: no memory. */
size_t digest_once(enum digest_alg alg, struct slice octets, unsigned char out[DIGEST_OCTETS]);
/* Empty, ready for use again. */
void digest_reset(struct digest *d);

#endif
