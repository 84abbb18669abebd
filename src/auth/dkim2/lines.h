/*
 * lines.h - a body in runs of octets, seen as canonical lines: CRLF ends one, empty ones at the end are not there, and
 * the last one is ended whether it came so or not (spec sections 5.1 and 6.3). Pure, allocates nothing but for the index.
 */
#ifndef AUTH_DKIM2_LINES_H
#define AUTH_DKIM2_LINES_H

#include "base/arena.h"

struct lines {
	const struct slice *runs; /* borrowed; one may end inside a line, or between CR and LF */
	uint64_t given;           /* octets of them that count, without the last CRLF */
	uint64_t octets;          /* with it; 0: no line */
};

struct lines lines_of(const struct slice *runs, size_t n);

/* Lines that both begin with, or both end with; `octets` of them, line ends included. */
struct lines_common {
	uint64_t octets, lines;
};
struct lines_common lines_head(const struct lines *x, const struct lines *y);
/* Of what is left when the first `head` octets, whole lines, are taken off both. */
struct lines_common lines_tail(const struct lines *x, const struct lines *y, uint64_t head);

/* Lines in the octets from `from` up to `to`, both ends of lines. */
uint64_t lines_count(const struct lines *x, uint64_t from, uint64_t to);

/*
 * lines_within - do the lines of x in `octets` octets behind `from` stand in y, one behind the other, from `y_from` on?
 * Out:   how many lines of y behind y_from are above them
 * Cost:  linear: it gives up, with false, when octets equal in vain are several times those of y
 */
bool lines_within(const struct lines *x, uint64_t from, uint64_t octets, const struct lines *y, uint64_t y_from, uint64_t *above_out);

/*
 * lines_index - n lines from octet `from` on, without CRLF
 * Out:   borrowed from the runs; what stands in two of them is copied to the arena. NULL: no memory.
 */
const struct slice *lines_index(struct arena *list, struct arena *copies, const struct lines *x, uint64_t from, size_t n);

#endif
