/*
 * rate.h - how often somebody does something, all workers together: one table in the shared page, without locks.
 */
#ifndef NET_RATE_H
#define NET_RATE_H

#include "base/slice.h"
#include "out/count.h"

/* What is counted, each for itself, and whose it is. */
enum rate {
	RATE_CONNECTS, /* connections of a client: clients_key() */
	RATE_AUTH,     /* its attempts to authenticate */
	RATE_CLIENT,   /* its messages, unless it has authenticated */
	RATE_USER,     /* messages of a user: the name */
	RATE_SENDER,   /* messages of a sender's domain: that, normal */
	RATE_RECIPIENT /* recipients of a domain: likewise */
};

/*
 * rate_take - once more, at now_ms of the monotonic clock
 * In:    key: its first 255 octets count; per_minute: so many at once, and as many a minute from then on; 0: no limit
 * Out:   false: above it, and not counted. *told_out: how many were refused since it was told of last, once a minute; else 0
 * The table is bounded: who would be let in anyway makes room for others. Two workers that write one place at a time may lose a
 * count, no more.
 */
bool rate_take(struct count_page *page, enum rate what, struct slice key, int64_t now_ms, unsigned per_minute, uint32_t *told_out);

#endif
