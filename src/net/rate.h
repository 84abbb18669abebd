/*
 * rate.h - how often a client connects, all workers together (limits.connects-per-client): one table in the shared page, without locks.
 */
#ifndef NET_RATE_H
#define NET_RATE_H

#include "out/count.h"

/*
 * rate_take - one more connection of the client, at now_ms of the monotonic clock
 * In:    key as clients_key() makes it; per_minute: so many at once, and as many a minute from then on; 0: no limit
 * Out:   false: above it, and not counted. *told_out: how many of the client's were refused since it was told of last, once
 *        a minute; else 0
 * The table is bounded: who would be let in anyway makes room for others. Two workers that write one place at a time may lose a
 * count, no more.
 */
bool rate_take(struct count_page *page, const unsigned char key[16], int64_t now_ms, unsigned per_minute, uint32_t *told_out);

#endif
