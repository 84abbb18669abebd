/*
 * canon.h - canonical forms (spec sections 4 and 5). Pure, streaming where the input is.
 */
#ifndef AUTH_CANON_H
#define AUTH_CANON_H

#include "crypt/digest.h"
#include "mail/header.h"

/*
 * Body hashes while octets arrive, all wanted algorithms in one pass: empty lines at the end are dropped, one CRLF ends
 * it (spec 5.1; RFC 6376 3.4.3 differs only for the empty body, which is CRLF there too). Any split of the input gives
 * the same result.
 */
struct canon_body;
/* `algs` is a set of bits 1u << enum digest_alg. NULL: no memory. */
struct canon_body *canon_body_new(unsigned algs);
void canon_body_free(struct canon_body **c);
void canon_body_add(struct canon_body *c, struct slice octets);
void canon_body_end(struct canon_body *c);
/* After the end: the digest of one algorithm, empty if it was not wanted. Borrowed. */
struct slice canon_body_digest(const struct canon_body *c, enum digest_alg alg);

#endif
