/*
 * edit.h - the edit log of a transaction: what hopseal itself changes in a header. Pure.
 *
 * The message is never rewritten; the log lists what is left out and what is put on top, and edit_list() gives the
 * header as it leaves as slices of the original and of the added text.
 */
#ifndef MAIL_EDIT_H
#define MAIL_EDIT_H

#include "mail/header.h"

struct edit;

/* NULL: no memory. Borrows h. */
struct edit *edit_new(struct arena *a, const struct header *h);
/* Leaves field `index` of the original out. */
void edit_remove(struct edit *e, size_t index);
/* Puts a whole field, CRLF included, above everything; the last one put stands topmost. Borrowed. */
void edit_prepend(struct edit *e, struct slice field);
/*
 * Header fields as they leave, top to bottom, as one parsed header, good until the next change. Its `raw` is empty
 * once anything was changed, since the octets stand in several runs. NULL: no memory, or a prepended text is no field.
 */
const struct header *edit_header(struct edit *e);
/* The same as runs of octets, neighbours merged, without the empty line. False as edit_header() gives NULL. */
bool edit_list(struct edit *e, struct slice **runs_out, size_t *n_out) HS_MUST_USE;
/* Is a field that was put on top or left out one that counts? */
bool edit_touches(const struct edit *e, bool (*counts)(struct slice name));
/* Octets in all runs. */
size_t edit_octets(const struct edit *e);

#endif
