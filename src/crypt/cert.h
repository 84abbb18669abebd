/*
 * cert.h - certificates for TLS as files hold them: are they fit to be used? libcrypto only. What uses them is net/tls.
 */
#ifndef CRYPT_CERT_H
#define CRYPT_CERT_H

#include "base/slice.h"

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

#endif
