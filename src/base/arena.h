/*
 * arena.h - memory that dies together: one per pair, one per tx. Pure.
 *
 * Has a ceiling; above it, or when the system has none, arena_take() gives
 * NULL and the arena stays failed until cleared, so a parser may check once.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/slice.h"

struct arena_block;

struct arena {
	struct arena_block *head; /* newest first */
	size_t left;              /* octets free in head */
	size_t held;              /* octets in all blocks */
	size_t ceiling;
	bool failed;
};

/* Allocates nothing yet. */
void arena_init(struct arena *a, size_t ceiling_octets);
/* Frees every block. The struct may be used again, empty and not failed. */
void arena_clear(struct arena *a);

/* n octets, zeroed, aligned for any type; NULL: failed. n = 0 gives a valid pointer. */
void *arena_take(struct arena *a, size_t n);
/* count * each, checked for overflow. */
void *arena_array(struct arena *a, size_t count, size_t each);
/* A copy that lives as long as the arena; empty slice when failed (ask arena_failed()). */
struct slice arena_copy(struct arena *a, struct slice s);
/* The same with a NUL behind it, for C interfaces; octets are not checked for NUL. */
char *arena_string(struct arena *a, struct slice s);
struct slice arena_printf(struct arena *a, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static inline bool arena_failed(const struct arena *a)
{
	return a->failed;
}

#define ARENA_NEW(a, type) ((type *)arena_take((a), sizeof(type)))
#define ARENA_ARRAY(a, count, type) ((type *)arena_array((a), (count), sizeof(type)))

#endif
