/*
 * past.h - the message as it was at an earlier instance, and what each instance changed, for those who look at it. Pure.
 * Source: spec sections 6 and 10.8
 */
#ifndef AUTH_DKIM2_PAST_H
#define AUTH_DKIM2_PAST_H

#include "auth/dkim2/dkim2.h"
#include "auth/dkim2/undo.h"

/* A message that is put together when it is written out. */
struct past_message {
	const struct header *header;
	const struct slice *body; /* runs, one behind the other */
	size_t runs;
};

enum past_result {
	PAST_DONE,
	PAST_BAD,   /* *reason_out says why */
	PAST_MEMORY
};

/*
 * past_message - the message as it was at instance m
 * In:    as received; m 0: the instance before the newest. ceiling_octets: of the bodies that are undone together
 * Out:   borrowed from the arena and the message. DKIM2 fields that came after instance m are gone, other fields outside
 *        the header hash stay. Of the newest instance the header is h itself. The hashes of every instance from the newest
 *        to m have been held against it; signatures, times and envelopes have not.
 */
enum past_result past_message(struct arena *a, unsigned draft, const struct header *h, struct slice body, uint64_t m,
    uint64_t ceiling_octets, struct past_message *out, struct slice *reason_out);

/* The states of a message, held against nothing. */
struct past {
	struct undo *undo;                    /* NULL: no recipe that can be applied */
	const struct recipe *const *recipes;  /* [k]: from state k to k + 1; NULL: the same content */
	size_t n;                             /* of these: those that can be read, from the newest on */
	uint64_t newest;                      /* m= of state 0; 0: no instance, or fields that are no chain */
};

/* False: no memory. past_release() in any case. */
bool past_read(struct arena *a, unsigned draft, const struct header *h, uint64_t ceiling_octets, struct past *out) HS_MUST_USE;
void past_release(struct past *p);

#endif
