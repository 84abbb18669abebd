/*
 * ticket.h - numbers that stand for an object until it is taken back: what waits on another party holds one, not a pointer, and
 * an answer that comes too late finds no owner. A number is not given twice in 2^32 uses of its place. Pure.
 */
#ifndef NET_TICKET_H
#define NET_TICKET_H

#include <stddef.h>
#include <stdint.h>

struct ticket_place {
	void *object; /* NULL: free */
	uint32_t generation;
	uint32_t next_free; /* counted from 1, 0: none */
};

struct tickets {
	struct ticket_place *places;
	size_t n, room; /* places ever used; allocated */
	size_t open;
	uint32_t free;
};

/* Zeroed storage is an empty table. */
void tickets_release(struct tickets *t);
/* A number, never 0, for object (not NULL). 0: no memory. */
uint64_t ticket_new(struct tickets *t, void *object);
/* NULL: never given or taken back. */
void *ticket_get(const struct tickets *t, uint64_t ticket);
/* Takes the number back; NULL as above. */
void *ticket_take(struct tickets *t, uint64_t ticket);

#endif
