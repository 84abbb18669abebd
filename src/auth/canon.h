/*
 * canon.h - canonical forms (spec sections 4 and 5). Pure, streaming where the input is.
 */
#ifndef AUTH_CANON_H
#define AUTH_CANON_H

#include "base/buf.h"
#include "crypt/digest.h"
#include "mail/header.h"

/* RFC 6376 3.4. What DKIM2 has of a body is the simple form (spec 5.1), of a header what canon_header() says. */
enum canon_form { CANON_SIMPLE, CANON_RELAXED };
enum { CANON_FORMS = CANON_RELAXED + 1 };

/* "relaxed/simple", as c= has it: of the header, then of the body, simple where that is left out (RFC 6376 3.5). False: unknown. */
bool canon_forms(struct slice text, enum canon_form *header_out, enum canon_form *body_out) HS_MUST_USE;

/*
 * Body hashes while octets arrive, all that anybody wants in one pass; each distinct one is made once. Any split of the input
 * gives the same result. Only CRLF ends a line: a bare CR or LF is an ordinary octet.
 *
 * Simple (3.4.3): empty lines at the end are dropped, one CRLF ends it, also an empty body. Relaxed (3.4.4): runs of SP and
 * HTAB are made one SP, none at the end of a line, then empty lines at the end are dropped, one CRLF ends it, but of a body
 * without anything else nothing is left.
 */
struct canon_body;
/* `algs` is a set of bits 1u << enum digest_alg: the simple form of the whole body. NULL: no memory. */
struct canon_body *canon_body_new(unsigned algs);
void canon_body_free(struct canon_body **c);

/*
 * canon_body_want - one more hash, before the first octet
 * In:    octets: of the canonical form, from its start (l=, RFC 6376 3.5); CANON_WHOLE: all
 * Out:   a handle; the same for the same want
 * Fault: CANON_LIMIT above LIMIT_BODY_CUTS different ones with octets; CANON_NO_MEMORY
 */
#define CANON_WHOLE UINT64_MAX
enum { CANON_LIMIT = -1, CANON_NO_MEMORY = -2 };
int canon_body_want(struct canon_body *c, enum canon_form form, enum digest_alg alg, uint64_t octets) HS_MUST_USE;

void canon_body_add(struct canon_body *c, struct slice octets);
void canon_body_end(struct canon_body *c);

/*
 * After the end: the digest for a handle. Empty: the handle is a fault, the body has fewer octets than were wanted, or no memory.
 * Borrowed.
 */
struct slice canon_body_got(const struct canon_body *c, int handle);
/* After the end: octets of that form in all; 0 unless something was wanted of it. */
uint64_t canon_body_octets(const struct canon_body *c, enum canon_form form);
/* After the end: the digest of the whole body in simple form, empty if it was not wanted. Borrowed. */
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

/* One field as the header hash of DKIM and ARC sees it: as it stands, or canon_relaxed(). RFC 6376 3.4.1, 3.4.2 */
void canon_field(struct canon_sink *s, enum canon_form form, const struct field *f);
/*
 * The same for the field that holds the signature: without `hole` (a slice of f->value; empty: none), and without the CRLF at
 * its end. RFC 6376 3.7
 */
void canon_signature(struct canon_sink *s, enum canon_form form, const struct field *f, struct slice hole);

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
