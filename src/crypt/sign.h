/*
 * sign.h, with verify: signatures over a 32-octet SHA-256 digest. RSASSA-PKCS1-v1_5 for RSA, PureEdDSA whose message
 * is the digest for Ed25519 (RFC 8463; spec section 5.3). libcrypto only.
 */
#ifndef CRYPT_SIGN_H
#define CRYPT_SIGN_H

#include "crypt/key.h"

enum { SIGNATURE_OCTETS = 1024 }; /* RSA-8192 */

/* Octets written, or 0: libcrypto refused. */
size_t sign_sha256(const struct key *k, const unsigned char digest[32], unsigned char out[SIGNATURE_OCTETS]);
bool verify_sha256(const struct key *k, const unsigned char digest[32], struct slice signature);

#endif
