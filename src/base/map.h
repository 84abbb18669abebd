/*
 * map.h - octet string to pointer, hashed with a key so that a peer cannot
 * choose collisions (SipHash-2-4). Pure; seed it from outside.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/slice.h"

struct map_entry;

struct map {
	struct map_entry **slots;
	size_t slot_count; /* a power of two, 0 before the first put */
	size_t n;          /* entries */
	uint64_t seed[2];
};

void map_init(struct map *m, const uint64_t seed[2]);
/* Frees entries and their keys; `drop` (may be NULL) is called with each value. */
void map_release(struct map *m, void (*drop)(void *value));
/* NULL when there is none. */
void *map_get(const struct map *m, struct slice key);
/*
 * Stores value (not NULL) under a copy of key. *old_out (may be NULL) gets the value that stood
 * there, or NULL. False: no memory, nothing changed.
 */
bool map_put(struct map *m, struct slice key, void *value, void **old_out) HS_MUST_USE;
/* Removes and returns the value, or NULL. */
void *map_take(struct map *m, struct slice key);
/* Calls `each` for every entry until it returns false; it must not change the map. */
void map_walk(const struct map *m, bool (*each)(struct slice key, void *value, void *arg), void *arg);

uint64_t map_hash(const uint64_t seed[2], struct slice key);

#endif
