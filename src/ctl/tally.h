/*
 * tally.h - what many messages came to: results, reasons, domains. Bounded whatever the messages say: what is told apart
 * has a limit, the rest is counted together.
 */
#ifndef CTL_TALLY_H
#define CTL_TALLY_H

#include "auth/engines.h"
#include "base/map.h"
#include "ctl/ctl.h"

enum { TALLY_ROWS = 10000 };
enum { TALLY_RESULTS = 8 };
#define TALLY_STATES DKIM2_SKIPPED /* those of a message */

struct tally_row {
	struct slice name;               /* of a domain, or the reason */
	enum dkim2_state state;          /* of a reason */
	struct slice example;            /* the first message with this reason */
	uint64_t messages;
	uint64_t by_state[TALLY_STATES]; /* of a domain */
};

struct tally_table {
	struct map rows;
	size_t n;
	struct tally_row *all[TALLY_ROWS];
	uint64_t others;                 /* messages (of domains: signings) beyond the rows */
};

struct tally {
	struct arena arena;
	uint64_t messages;               /* that were judged */
	uint64_t by_state[TALLY_STATES];
	uint64_t others[ENGINES][TALLY_RESULTS]; /* of the other mechanisms, each by its own states */
	uint64_t lf;                     /* had LF line ends */
	uint64_t unreadable;             /* files and messages that could not be judged */
	uint64_t passed_over;            /* a Maildir's own files and folders */
	struct tally_table reasons, domains;
};

/* NULL: no memory. */
struct tally *tally_new(void);
void tally_free(struct tally **t);

void tally_add(struct tally *t, const struct findings *f, struct slice where);
/* Most messages first; then nothing more is added. */
void tally_sort(struct tally *t);

/* Tables on stdout. */
void tally_print(const struct tally *t);
json_t *tally_json(struct arena *a, const struct tally *t);

#endif
