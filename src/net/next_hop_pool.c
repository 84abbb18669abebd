/*
 * next_hop_pool.c - how many connections a next hop may have of this worker, and who waits for one of them.
 */
#include "net/upstream_in.h"

/* Is there one for somebody, or may there be one more? An idle one that began for another client makes room for him. */
static bool room(const struct next_hop *h)
{
	return h->pooled || (h->open < h->conf->pool.max && h->opening < LIMIT_OPENING);
}

bool upstream_must_wait(const struct next_hop *h, bool woken)
{
	return !room(h) || (h->waiting && !woken);
}

static void unlink_wait(struct upstream_wait *w)
{
	struct next_hop *h = w->hop;

	*w->at = w->next;
	if (w->next)
		w->next->at = w->at;
	else
		h->waiting_end = w->at;
	w->hop = NULL;
	loop_timer_release(&w->timer);
}

static void on_late(void *arg)
{
	struct upstream_wait *w = arg;

	unlink_wait(w);
	w->on(w->arg, false);
}

void upstream_wait(struct next_hop *h, struct upstream_wait *w, int64_t ms, void (*on)(void *arg, bool room), void *arg)
{
	*w = (struct upstream_wait){ .hop = h, .at = h->waiting ? h->waiting_end : &h->waiting, .on = on, .arg = arg };
	*w->at = w;
	h->waiting_end = &w->next;
	/* Without memory for a timer it waits until there is room. */
	loop_timer_set(h->loop, &w->timer, ms, on_late, w);
	trouble_comes(&h->full, "next_hop_full", slice_str(next_hop_name(h)), NULL, loop_now_ms(h->loop));
}

void upstream_unwait(struct upstream_wait *w)
{
	if (w->hop)
		unlink_wait(w);
}

static void on_wake(void *arg)
{
	struct next_hop *h = arg;

	while (h->waiting && room(h)) {
		struct upstream_wait *w = h->waiting;

		unlink_wait(w);
		w->on(w->arg, true);
	}
}

void next_hop_wake(struct next_hop *h)
{
	if (h->waiting)
		loop_later(h->loop, &h->wake, on_wake, h);
}
