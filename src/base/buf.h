/*
 * buf.h - octets that grow, up to a ceiling set at the start. Pure.
 *
 * Fails stickily: append as often as needed, ask buf_failed() once. After a
 * failure the content is what it was before the append that did not fit.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>

#include "base/slice.h"

struct buf {
	unsigned char *at;
	size_t n;       /* octets held */
	size_t room;    /* octets allocated */
	size_t ceiling; /* octets it may ever hold */
	bool failed;
	bool no_memory; /* why it failed; else it would have been longer than its ceiling */
};

/* Allocates nothing yet. */
void buf_init(struct buf *b, size_t ceiling_octets);
/* Frees the octets; the struct may be initialised again. */
void buf_release(struct buf *b);
/* Empty and no longer failed; keeps the allocation. */
void buf_clear(struct buf *b);

void buf_add(struct buf *b, const void *at, size_t n);
void buf_slice(struct buf *b, struct slice s);
void buf_str(struct buf *b, const char *text);
void buf_octet(struct buf *b, unsigned char c);
void buf_printf(struct buf *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void buf_u64(struct buf *b, uint64_t v);
/* A character field of a log, an escape per octet outside 0x21..0x7e, quote and backslash. */
void buf_escaped(struct buf *b, struct slice s);

/* Makes room for n more octets and returns where they go (NULL: failed); buf_grew() says how many came. */
unsigned char *buf_room(struct buf *b, size_t n);
void buf_grew(struct buf *b, size_t n);

/* Gives back the room that is not used. */
void buf_fit(struct buf *b);

/* Drops n octets from the front; n is at most b->n. */
void buf_drop(struct buf *b, size_t n);

static inline bool buf_failed(const struct buf *b)
{
	return b->failed;
}

/* Failed, and no memory would help: what is in it has no room below its ceiling. */
static inline bool buf_full(const struct buf *b)
{
	return b->failed && !b->no_memory;
}

/* Borrowed until the next change of the buf. */
static inline struct slice buf_get(const struct buf *b)
{
	return slice_of(b->at, b->n);
}

#endif
