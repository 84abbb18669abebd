/*
 * key.h - keys: private ones for the keeper and hopsealctl, public ones from DNS. libcrypto only.
 */
#ifndef CRYPT_KEY_H
#define CRYPT_KEY_H

#include "base/arena.h"
#include "base/buf.h"

enum key_type {
	KEY_NONE,
	KEY_RSA,
	KEY_ED25519,
	KEY_MLDSA44, /* public only */
};

struct key; /* counted: key_hold(), key_drop() */

struct key *key_hold(struct key *k);
void key_drop(struct key **k); /* private octets are wiped with the last one */
enum key_type key_type(const struct key *k);
/* RSA modulus, 256 for Ed25519, those of the public key for ML-DSA-44. */
unsigned key_bits(const struct key *k);

/* Has the installed libcrypto got it? ML-DSA-44 came with OpenSSL 3.5: looked for at run time, once. */
bool key_type_known(enum key_type type);

/* PEM or DER private key (PKCS#8 or traditional); RSA or Ed25519 without passphrase. NULL: none of these. */
struct key *key_private(struct slice file);
/* New key; bits only for RSA. NULL: libcrypto refused. */
struct key *key_generate(enum key_type type, unsigned bits);
/* PKCS#8 PEM. */
bool key_pem(const struct key *k, struct buf *pem_out) HS_MUST_USE;
/* What p= of a key record holds: SubjectPublicKeyInfo for RSA, the raw octets (32, 1312) for the others. */
bool key_public_octets(struct arena *a, const struct key *k, struct slice *octets_out) HS_MUST_USE;

/*
 * key_rsa_public - SubjectPublicKeyInfo or RSAPublicKey, by minimal DER (d2i_PUBKEY costs 25 times as much)
 * NULL: not such a key, modulus outside 1024..8192 bits, exponent not 65537 (spec section 5.3)
 */
struct key *key_rsa_public(struct slice der);
/*
 * key_rsa_public_odd - the same with any odd exponent from 3 to 2^64-1, or of more than 4096 bits to 2^24-1, as DKIM keys may have
 *        (RFC 6376 3.3 names none)
 * Out:   bits_out: of the modulus, 0 if it is no such key at all. NULL and not 0: refused for its size, for its exponent, or no
 *        memory; size and exponent are looked at before anything is computed.
 */
struct key *key_rsa_public_odd(struct slice der, unsigned *bits_out);
/* 32 raw octets. */
struct key *key_ed25519_public(struct slice octets);
/* 1312 raw octets (FIPS 204). NULL as well where key_type_known() says no. */
struct key *key_mldsa44_public(struct slice octets);

#endif
