/*
 * canon.h - canonical forms (spec sections 4 and 5). Pure, streaming where the input is.
 */
#ifndef AUTH_CANON_H
#define AUTH_CANON_H

#include "base/buf.h"
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

/*
 * Canonical octets on their way into digests: collected, so that a digest sees runs and not single octets. On the
 * caller's stack; allocates nothing. Set `keep` after init to have the octets themselves as well.
 */
enum { CANON_SINK_OCTETS = 2048 };
struct canon_sink {
	struct digest *to[DIGEST_ALGS]; /* NULL: not wanted; borrowed */
	struct buf *keep;               /* NULL: not wanted; borrowed */
	size_t n;
	unsigned char held[CANON_SINK_OCTETS];
};
void canon_sink_init(struct canon_sink *s, struct digest *const to[DIGEST_ALGS]);
/* Hands on what is collected; before a digest is forked or ended. */
void canon_sink_flush(struct canon_sink *s);

/*
 * canon_relaxed - one field as the header hash sees it (spec section 4; RFC 6376 3.4.2): name in lower case, unfolded,
 * runs of white space made one SP, none at the end and around the colon, CRLF behind
 */
void canon_relaxed(struct canon_sink *s, const struct field *f);
/* The same into memory, at most name and value and CANON_MORE octets. Returns how many. */
enum { CANON_MORE = 3 };
size_t canon_relaxed_text(const struct field *f, unsigned char *out);

/*
 * canon_bare - one field as the signature input sees it (spec section 5.2): name in lower case, unfolded, every SP and
 * HTAB gone, CRLF behind. Octets inside `holes` (slices of f->value, ascending) are left out.
 */
void canon_bare(struct canon_sink *s, const struct field *f, const struct slice *holes, size_t hole_count);

/*
 * canon_header - the header hash (spec section 4): fields sorted by name, those of one name bottom-up
 * In:    algs as in canon_body_new; left_out says which names are not hashed
 * Out:   out[alg] for each wanted one
 * Fault: false: no memory
 */
bool canon_header(struct arena *a, const struct header *h, bool (*left_out)(struct slice name, const void *arg),
    const void *arg, unsigned algs, unsigned char out[DIGEST_ALGS][DIGEST_OCTETS]) HS_MUST_USE;

#endif
