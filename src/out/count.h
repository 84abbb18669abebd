/*
 * count.h - counters that every process may read: one shared page, a slot a living worker.
 */
#ifndef OUT_COUNT_H
#define OUT_COUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { COUNT_SLOTS = 260 }; /* of workers, for all generations that may live at a time, and of the queue process */

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

/* Connections and the like by whose they are, one table for all workers; kept by net/rate. */
enum { COUNT_RATES = 65536 };
struct count_rate {
	uint64_t tag;    /* of whose it is, and of what; 0: nobody's */
	uint64_t due_us; /* when all that was taken is forgiven; monotonic */
	uint64_t told;   /* the minute in which its refusals were told last, and how many since */
};

/* What a worker finds of each next hop: in the order of the configuration's listeners, and of the servers each of them names. */
enum { COUNT_HOPS = 1024 };
enum count_hop_state { COUNT_HOP_NONE, COUNT_HOP_NEW, COUNT_HOP_UP, COUNT_HOP_DOWN };
struct count_hop {
	uint32_t state;
	uint32_t open, idle;   /* connections, and those of them nobody uses */
};

struct count_page {
	uint64_t seed[2]; /* of the places of client addresses: nobody chooses whose he shares */
	struct count_rate rates[COUNT_RATES];
	struct count_slot {
		uint64_t value[COUNTS];
	} slots[COUNT_SLOTS];
	struct count_client clients[COUNT_SLOTS][COUNT_CLIENTS]; /* untouched pages cost nothing */
	struct count_hop hops[COUNT_SLOTS][COUNT_HOPS]; /* NONE: of mode queue, with which workers do not speak, and behind the last */
};

/* Anonymous shared memory, zeroed, inherited by children; NULL: no memory. */
struct count_page *count_page_new(void);
void count_add(struct count_page *p, unsigned slot, enum count what, int64_t by);
uint64_t count_of(const struct count_page *p, unsigned slot, enum count what);
uint64_t count_sum(const struct count_page *p, enum count what);
/* As in count.def, for status and metrics. */
const char *count_name(enum count what);
bool count_is_gauge(enum count what);
/* The place of a worker's next hop; NULL: there are too many to be shown. */
struct count_hop *count_hop(struct count_page *p, unsigned slot, size_t hop);
/* Writes it, and reads it: each number by itself, nobody waits for the other side. */
void count_hop_set(struct count_hop *h, enum count_hop_state state, size_t open, size_t idle);
struct count_hop count_hop_get(const struct count_page *p, unsigned slot, size_t hop);
/*
 * The worker that had the slot is gone: its gauges, client table and next hops are emptied, its counters stay, so that sums never
 * fall. Only the supervisor calls it.
 */
void count_slot_left(struct count_page *p, unsigned slot);

#endif
