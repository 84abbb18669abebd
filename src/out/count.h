/*
 * count.h - counters that every process may read: one shared page, a slot a living worker.
 */
#ifndef OUT_COUNT_H
#define OUT_COUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { COUNT_SLOTS = 256 }; /* worker slots, all living generations together */

enum count {
#define COUNT(id, name, kind, help) COUNT_##id,
#include "out/count.def"
#undef COUNT
	COUNTS
};

/* Sessions by client address, a table a worker; kept by net/clients. */
enum { COUNT_CLIENTS = 8192 };
struct count_client {
	unsigned char address[16];
	uint32_t sessions;
};

/* Connections by client address, one table for all workers; kept by net/rate. */
enum { COUNT_RATES = 65536 };
struct count_rate {
	uint64_t tag;    /* of the address; 0: nobody's */
	uint64_t due_us; /* when all that was taken is forgiven; monotonic */
	uint64_t told;   /* the minute in which its refusals were told last, and how many since */
};

struct count_page {
	uint64_t seed[2]; /* of the places of client addresses: nobody chooses whose he shares */
	struct count_rate rates[COUNT_RATES];
	struct count_slot {
		uint64_t value[COUNTS];
	} slots[COUNT_SLOTS];
	struct count_client clients[COUNT_SLOTS][COUNT_CLIENTS]; /* untouched pages cost nothing */
};

/* Anonymous shared memory, zeroed, inherited by children; NULL: no memory. */
struct count_page *count_page_new(void);
void count_add(struct count_page *p, unsigned slot, enum count what, int64_t by);
uint64_t count_of(const struct count_page *p, unsigned slot, enum count what);
uint64_t count_sum(const struct count_page *p, enum count what);
/* As in count.def, for status and metrics. */
const char *count_name(enum count what);
bool count_is_gauge(enum count what);
/*
 * The worker that had the slot is gone: its gauges and client table are emptied, its counters stay, so that sums never
 * fall. Only the supervisor calls it.
 */
void count_slot_left(struct count_page *p, unsigned slot);

#endif
