/*
 * count.h - counters that every process may read: one shared page, one writer a slot.
 */
#ifndef OUT_COUNT_H
#define OUT_COUNT_H

#include <stddef.h>
#include <stdint.h>

enum { COUNT_SLOTS = 256 }; /* worker slots, all living generations together */

enum count {
#define COUNT(id, name, kind, help) COUNT_##id,
#include "out/count.def"
#undef COUNT
	COUNTS
};

struct count_page {
	struct count_slot {
		uint64_t value[COUNTS];
	} slots[COUNT_SLOTS];
};

/* Anonymous shared memory, zeroed, inherited by children; NULL: no memory. */
struct count_page *count_page_new(void);
void count_add(struct count_page *p, unsigned slot, enum count what, int64_t by);
uint64_t count_sum(const struct count_page *p, enum count what);
const char *count_name(enum count what);

#endif
