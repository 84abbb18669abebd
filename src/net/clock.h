/*
 * clock.h - tells when the clock of the machine is set anew: what waits goes by another one, but times in seals and in the log do not.
 */
#ifndef NET_CLOCK_H
#define NET_CLOCK_H

#include "net/loop.h"

struct clock_watch {
	struct loop *loop;
	struct loop_timer timer;
	int64_t apart_ms; /* of the machine's clock from the monotonic one */
};

/* Looks once a second from now on; a jump of CLOCK_JUMP_MS or more is a `clock_jump` line. False: no memory. */
enum { CLOCK_JUMP_MS = 5000 };
bool clock_watch(struct loop *l, struct clock_watch *w);
void clock_watch_stop(struct clock_watch *w);

#endif
