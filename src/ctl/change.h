/*
 * change.h - what an instance changed, for people: fields with their values before and after, and the lines of the body
 * as blocks that are the same or differ.
 */
#ifndef CTL_CHANGE_H
#define CTL_CHANGE_H

#include "auth/dkim2/past.h"

/* Those of a name that differ, top to bottom, on one line each, without the white space around them. */
struct change_field {
	struct slice name;            /* as the message writes it */
	const struct slice *before, *after;
	size_t before_n, after_n;
};

/* Lines that follow each other, without CRLF; empty ones at the end of a body are not there. */
struct change_block {
	bool same;                    /* then before and after are equal */
	uint64_t before_at, after_at; /* number of the first line */
	const struct slice *before, *after;
	size_t before_n, after_n;
};

struct change {
	const char *why_not;          /* NULL: all of it is here; else what cannot be shown */
	const struct change_field *fields;
	size_t field_n;
	const struct change_block *blocks; /* none: the body is the same */
	size_t block_n;
	uint64_t removed, added;      /* lines of the body */
};

/*
 * change_read - what instance p->newest - state changed, state below p->n
 * In:    header and body as received
 * Out:   in the arena, and borrowed from the message
 */
void change_read(struct arena *a, const struct past *p, const struct header *h, struct slice body, size_t state, struct change *out);

#endif
