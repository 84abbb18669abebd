/*
 * b64.h - canonical base64 (RFC 4648 section 4): standard alphabet, padded,
 * unused bits zero. Pure.
 */
#ifndef BASE_B64_H
#define BASE_B64_H

#include "base/arena.h"
#include "base/buf.h"

/*
 * b64_decode - text to octets, strict
 * In:    text; SP, HTAB, CR and LF anywhere in it are skipped when `blanks`,
 *        else refused
 * Out:   octets in the arena; an empty text gives none
 * Fault: false for any other octet, missing or surplus padding, pad bits that
 *        are not zero, or no memory (arena_failed())
 */
bool b64_decode(struct arena *a, struct slice text, bool blanks, struct slice *octets_out) HS_MUST_USE;

/* The same without blanks, over the text itself, which is longer; takes no memory. */
bool b64_decode_over(unsigned char *text, size_t n, size_t *octets_out) HS_MUST_USE;

/* Appends the text for `octets`, unfolded. */
void b64_encode(struct buf *b, struct slice octets);
struct slice b64_text(struct arena *a, struct slice octets);

#endif
