/*
 * scram.h - what SCRAM-SHA-256 computes (RFC 5802 section 3, RFC 7677), and what is kept of a password for it. libcrypto only.
 *
 * A verifier is text as Dovecot writes and reads it: {SCRAM-SHA-256}iterations,salt,StoredKey,ServerKey, the last three in base64.
 * Turning a password into keys costs as many iterations as the verifier says, by intent: it is done in parts, so that whoever has other
 * things to do can do them between two of these.
 */
#ifndef CRYPT_SCRAM_H
#define CRYPT_SCRAM_H

#include "base/buf.h"

enum { SCRAM_KEY = 32, SCRAM_SALT = 64 };

struct scram_verifier {
	uint32_t iterations; /* LIMIT_SCRAM_LEAST..LIMIT_SCRAM_MOST */
	unsigned char salt[SCRAM_SALT];
	size_t salt_n;       /* 1..SCRAM_SALT */
	unsigned char stored_key[SCRAM_KEY], server_key[SCRAM_KEY];
};

/*
 * scram_read - a verifier from its text
 * Out:   *why_out, when it is none: what it holds instead, as the end of a sentence: "no base64 for its salt"
 */
bool scram_read(struct slice text, struct scram_verifier *out, const char **why_out) HS_MUST_USE;
/* Appends the text. */
void scram_write(struct buf *b, const struct scram_verifier *v);

/*
 * scram_unknown - what stands for the verifier of somebody who is not known, so that he cannot be told from others
 * In:    secret: of our own, and the same each time; like: whose iterations and length of salt it has
 * Out:   the same for the same name. No password fits. False: no memory
 */
bool scram_unknown(struct slice secret, struct slice name, const struct scram_verifier *like, struct scram_verifier *out) HS_MUST_USE;

/* A password on its way to keys. NULL: no memory. */
struct scram_stretch;
struct scram_stretch *scram_stretch_new(struct slice password, struct slice salt, uint32_t iterations);
/* Wipes it. */
void scram_stretch_free(struct scram_stretch **s);
/* At most so many iterations more; true: that was the last. */
bool scram_stretch_run(struct scram_stretch *s, uint32_t iterations);
/* Once it is done. False: no memory. */
bool scram_stretch_keys(struct scram_stretch *s, unsigned char stored_key_out[SCRAM_KEY], unsigned char server_key_out[SCRAM_KEY]) HS_MUST_USE;

/* Both take as long whatever differs. proof: ClientProof of the exchange `messages` (AuthMessage). */
bool scram_proves(const struct scram_verifier *v, struct slice messages, struct slice proof);
bool scram_same_key(const unsigned char x[SCRAM_KEY], const unsigned char y[SCRAM_KEY]);
/* ServerSignature. False: no memory. */
bool scram_signature(const struct scram_verifier *v, struct slice messages, unsigned char out[SCRAM_KEY]) HS_MUST_USE;

#endif
