#include <time.h>

#include "net/clock.h"
#include "out/log.h"

enum { LOOK_MS = 1000 };

/* Both clocks as they are now, not as they were when the turn began. */
static int64_t apart_ms(void)
{
	struct timespec wall, steady;

	clock_gettime(CLOCK_REALTIME, &wall);
	clock_gettime(CLOCK_MONOTONIC, &steady);
	return ((int64_t)wall.tv_sec - steady.tv_sec) * 1000 + (wall.tv_nsec - steady.tv_nsec) / 1000000;
}

static void on_look(void *arg)
{
	struct clock_watch *w = arg;
	int64_t now_ms = apart_ms(), by_ms = now_ms - w->apart_ms;

	w->apart_ms = now_ms;
	if (by_ms >= CLOCK_JUMP_MS || by_ms <= -CLOCK_JUMP_MS) {
		struct log_line l = log_begin(LOG_LEVEL_WARNING, "clock_jump");

		log_i64(&l, "by_s", by_ms / 1000);
		log_end(&l);
	}
	loop_timer_set(w->loop, &w->timer, LOOK_MS, on_look, w);
}

bool clock_watch(struct loop *l, struct clock_watch *w)
{
	w->loop = l;
	w->apart_ms = apart_ms();
	return loop_timer_set(l, &w->timer, LOOK_MS, on_look, w);
}

void clock_watch_stop(struct clock_watch *w)
{
	loop_timer_release(&w->timer);
}
