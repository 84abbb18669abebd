/*
 * sign.h, with verify: signatures over a 32-octet SHA-256 digest. RSASSA-PKCS1-v1_5 for RSA, PureEdDSA whose message
 * is the digest for Ed25519 (RFC 8463; spec section 5.3). And ML-DSA-44, over the octets themselves. libcrypto only.
 */
#ifndef CRYPT_SIGN_H
#define CRYPT_SIGN_H

#include "crypt/key.h"

enum {
	SIGNATURE_OCTETS = 1024,  /* RSA-8192 */
	SIGN_RSA_BITS_MIN = 2048, /* of a key that is to sign mail; verifiers take less (spec 20.13) */
};

/* Octets written, or 0: libcrypto refused. */
size_t sign_sha256(const struct key *k, const unsigned char digest[32], unsigned char out[SIGNATURE_OCTETS]);
/*
 * In:    no_memory_out: set when it is false for want of memory, which says nothing of the signature; else as it was. NULL: nobody asks
 */
bool verify_sha256(const struct key *k, const unsigned char digest[32], struct slice signature, bool *no_memory_out);
/* Pure ML-DSA-44 with a context of 0..255 octets (FIPS 204 section 5.3). A key of another type: false. */
bool verify_mldsa44(const struct key *k, struct slice octets, struct slice context, struct slice signature, bool *no_memory_out);

#endif
