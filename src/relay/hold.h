/*
 * hold.h - the content of a message while it is judged: memory, then an unlinked file (DESIGN.md section 3).
 *
 * Header and body are one run of octets as received, dots unstuffed; the one header/body boundary is found here. A worker's holds
 * share a budget: what does not fit into it, or into what one message may have, goes to a file in the spool directory,
 * which is mapped read-only once the content is whole, a part at a time in memory.
 */
#ifndef RELAY_HOLD_H
#define RELAY_HOLD_H

#include "base/fault.h"
#include "config/conf.h"
#include "out/count.h"

enum { HOLD_SPARES = 8, HOLD_SPARE_OCTETS = 8 << 20 };

struct hold_budget {
	const struct conf *conf;
	int spool_fd;             /* directory */
	uint64_t body_octets;     /* above this much held, bodies go to files */
	uint64_t ceiling_octets;  /* this worker's share of limits.memory: above it 452 4.3.1 */
	uint64_t held_octets;
	struct count_page *counts;
	unsigned slot;
	/* Body files for the next ones: their pages and blocks are there already. Each is of HOLD_SPARE_OCTETS at most. */
	int spare[HOLD_SPARES];
	size_t spare_count;
};
/* Closes the spare files; after a full disk, and when nobody is there to need them. */
void hold_spares_drop(struct hold_budget *b);

struct hold;

/*
 * hold_new - of a message that its client said to be of so many octets (0: not said). Its body may have body_memory_octets in memory;
 * one of known size as much as that, up to HOLD_SAID times the amount, since a file costs about as much again.
 * NULL: no memory
 */
enum { HOLD_SAID = 16 };
struct hold *hold_new(struct hold_budget *b, uint64_t said_octets);
void hold_free(struct hold **h);

/*
 * hold_add - the next octets
 * Out:   *body_out: those of them that belong to the body (for the hashes), borrowed from `octets` or from the hold until the next call
 * Fault: TOO_BIG, HEADER_TOO_BIG, NO_DISK, NO_MEMORY
 */
bool hold_add(struct hold *h, struct slice octets, struct slice *body_out, struct fault *f) HS_MUST_USE;
/* The header block, whole as soon as hold_add() saw its end; *done_out. */
struct slice hold_header(const struct hold *h, bool *done_out);
/* Nothing more comes: a header that was not ended is the whole content. False: the file could not be mapped. */
bool hold_end(struct hold *h, struct fault *f) HS_MUST_USE;
/*
 * After the end: the empty line (if there is one) and the body, in runs; false past the last. `at` counts from 0. Of a body in a file
 * only the run given last and the one before it need stay in memory.
 */
bool hold_run(struct hold *h, size_t at, struct slice *run_out);
uint64_t hold_octets(const struct hold *h);
bool hold_in_file(const struct hold *h);

#endif
