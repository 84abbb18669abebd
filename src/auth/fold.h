/*
 * fold.h - writes a signature field within 78 columns. Pure. For this room only.
 *
 * A line is broken only where DKIM2, DKIM and ARC allow white space and no reader is known to mind: behind ';' and ',', around
 * base64 and inside it, never inside a domain, selector, algorithm or hash name (spec section 9.7). Unfolding by
 * deleting CRLF in front of a blank gives the field as one line.
 */
#ifndef AUTH_FOLD_H
#define AUTH_FOLD_H

#include "base/buf.h"

struct fold {
	struct buf *out;
	size_t column; /* octets in the line at hand */
};

/* "Name:" */
void fold_start(struct fold *f, struct buf *out, struct slice name);
/* A blank, then text that stays whole: how a tag begins. */
void fold_tag(struct fold *f, struct slice text);
/* Text that stays whole, in front of which a line may end. */
void fold_whole(struct fold *f, struct slice text);
/* Octets as base64, broken anywhere; `tail` stays with the last octet. */
void fold_b64(struct fold *f, struct slice octets, struct slice tail);
/* CRLF */
void fold_end(struct fold *f);

#endif
