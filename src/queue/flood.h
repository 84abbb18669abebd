/*
 * flood.h - no more of our reports go to one address, or to one domain, in a time than it can be asked to take. Knows no files, sockets or
 * clock: the time is handed in (monotonic, milliseconds).
 *
 * None is dropped for there being many, since what it tells nobody else will: it is put into the spool at once, durable as any other, so
 * that the recipients it tells of can be marked, and its first attempt waits for its turn, behind those to that address and to all of
 * its domain. One that would have to wait for a day is not written: by then that address has tens of thousands before it, and reads none
 * of them.
 *
 * What keeps reports from begetting reports is not here: they come from <>, and nobody hears what becomes of them (bounce.h).
 */
#ifndef QUEUE_FLOOD_H
#define QUEUE_FLOOD_H

#include "base/slice.h"

struct flood;

struct flood *flood_new(const uint64_t seed[2]); /* NULL: no memory */
void flood_free(struct flood **f);

/*
 * flood_full - would one more report to that path have to wait longer than LIMIT_REPORTS_AHEAD_S? To be asked before it is written; nothing
 * is counted.
 * In:    bracketed path, the recipient of the report
 */
bool flood_full(struct flood *f, struct slice path, int64_t now_ms);

/*
 * flood_due_ms - counts one more report to that path, and tells when it may be tried first: now_ms, or its turn
 * To be called for each report that comes into the schedule, also for those found in the spool at the start: nothing is remembered
 * from one run to the next, and the order they are found in is their turn.
 * Out:   at most LIMIT_REPORTS_AHEAD_S from now
 * The table is bounded: who is nearest to being forgiven makes room for others.
 */
int64_t flood_due_ms(struct flood *f, struct slice path, int64_t now_ms);

#endif
