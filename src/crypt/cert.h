/*
 * cert.h - certificates for TLS as files hold them: are they fit to be used? libcrypto only. What uses them is net/tls.
 */
#ifndef CRYPT_CERT_H
#define CRYPT_CERT_H

#include "base/arena.h"

/*
 * cert_chain_wrong - does the file hold certificates, the first of a strength that peers accept? NULL: it does; else what it holds
 * instead, as the end of a sentence: "no certificate".
 * In: PEM
 */
const char *cert_chain_wrong(struct slice certificate);
/* Is it a private key (PEM, no passphrase), and the one of the first certificate of the chain? NULL: it is; else as above. */
const char *cert_key_wrong(struct slice key, struct slice certificate);
/* Does the file hold trusted certificates? As above. */
const char *cert_trust_wrong(struct slice certificates);

/* What is to be known of the first certificate of a chain. */
struct cert_facts {
	const char **names;     /* dNSNames of its subjectAltName (RFC 6125 6.4): lower case, "*.domain" for one label in front of it */
	size_t name_count;
	const char *key;        /* "RSA", "EC", ...: a listener has one certificate a name and kind */
	int64_t before_s, after_s; /* valid from and to, seconds since 1970 */
};
/* In: PEM that cert_chain_wrong() has nothing against. Out: in the arena. False: it cannot be read, or no memory. */
bool cert_facts(struct arena *a, struct slice certificate, struct cert_facts *out) HS_MUST_USE;

/*
 * How well does a name of a certificate fit the one that is asked for? CERT_WILD: by its "*", which stands for exactly one label.
 * In: pattern as cert_facts() gives it; name in any letter case, a final dot does not count
 */
enum cert_fit { CERT_UNFIT, CERT_WILD, CERT_EXACT };
enum cert_fit cert_name_fits(const char *pattern, struct slice name);

/* Of a certificate: SHA-256 of its DER in lower-case hexadecimal, with NUL. */
enum { CERT_FINGERPRINT = 65 };
/* In: 64 hexadecimal digits in any letter case, or with a colon after each pair but the last. */
bool cert_fingerprint_parse(struct slice text, char out[CERT_FINGERPRINT]) HS_MUST_USE;

/*
 * cert_fingerprints - of every certificate of a file, in its order
 * In:    PEM that cert_trust_wrong() has nothing against
 * Out:   in the arena; how many. 0: none, or no memory (arena_failed())
 */
size_t cert_fingerprints(struct arena *a, struct slice certificates, const char ***out);

#endif
