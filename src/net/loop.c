/*
 * loop.c - thin over libevent_core.
 *
 * Reading and writing are two events, the second allocated only while writing is wanted: most descriptors are idle and only
 * read. Turning writing on or off then is one EPOLL_CTL_MOD. libevent's change list would merge more, but it deletes after
 * the caller closed, and a descriptor shared with another process then stays in the epoll set for good.
 *
 * Timers are a heap of the callers' own structs with one libevent timer for its top, armed once a turn: an event of libevent
 * costs 128 octets, and a session's deadline moves with every command.
 */
#include "net/loop.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include "base/bug.h"
#include "out/log.h"

struct loop_signal {
	struct loop_signal *next;
	struct event *event;
	void (*on)(void *arg, int signal);
	void *arg;
};

struct loop {
	struct event_base *base;
	struct loop_later *later;    /* for the end of this turn, oldest first */
	struct loop_later *later_last;
	struct loop_later *draining; /* being called now */
	struct loop_signal *signals;
	struct loop_timer **heap;    /* earliest armed_ms first */
	size_t heap_n, heap_room;
	struct event *alarm;         /* for the top of the heap */
	int64_t alarm_ms;            /* what it is set to; 0: not set */
	int64_t now_ms;              /* 0: not read in this turn */
	int64_t still_ms;            /* where loop_clock_advance() put it; 0: it runs */
	struct loop_timer log;       /* while lines of the log wait */
	bool stopped;
};

static void alarm_fires(evutil_socket_t fd, short what, void *arg);

static int64_t clock_ms(const struct loop *l)
{
	struct timespec t;

	if (l->still_ms != 0)
		return l->still_ms;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct loop *loop_new(void)
{
	struct loop *l = calloc(1, sizeof(*l));
	struct event_config *config = event_config_new();

	if (l != NULL && config != NULL && event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV) == 0)
		l->base = event_base_new_with_config(config);
	if (config != NULL)
		event_config_free(config);
	if (l != NULL && l->base != NULL)
		l->alarm = event_new(l->base, -1, 0, alarm_fires, l);
	if (l != NULL && l->alarm == NULL)
		loop_free(&l);
	return l;
}

void loop_free(struct loop **lp)
{
	struct loop *l = *lp;

	if (l == NULL)
		return;
	*lp = NULL;
	while (l->signals != NULL) {
		struct loop_signal *s = l->signals;

		l->signals = s->next;
		event_free(s->event);
		free(s);
	}
	for (size_t i = 0; i < l->heap_n; i++)
		l->heap[i]->slot = 0;
	free(l->heap);
	if (l->alarm != NULL)
		event_free(l->alarm);
	if (l->base != NULL)
		event_base_free(l->base);
	free(l);
}

void loop_forget(struct loop **l)
{
	/* Without it event_base_free() would take the descriptors out of the epoll set the parent still uses. */
	if (*l != NULL)
		event_reinit((*l)->base);
	loop_free(l);
}

struct event_base *loop_base(struct loop *l)
{
	return l->base;
}

int64_t loop_now_ms(struct loop *l)
{
	if (l->now_ms == 0)
		l->now_ms = clock_ms(l);
	return l->now_ms;
}

void loop_clock_advance(struct loop *l, int64_t ms)
{
	l->still_ms = clock_ms(l) + ms;
	l->now_ms = 0;
	if (l->alarm_ms != 0) {
		event_del(l->alarm);
		l->alarm_ms = 0;
	}
}

/* descriptors */

static void io_reads(evutil_socket_t fd, short what, void *arg)
{
	struct loop_io *io = arg;

	(void)fd;
	(void)what;
	io->on(io->arg, LOOP_READ);
}

static void io_writes(evutil_socket_t fd, short what, void *arg)
{
	struct loop_io *io = arg;

	(void)fd;
	(void)what;
	io->on(io->arg, LOOP_WRITE);
}

static bool io_turn(struct loop_io *io, struct event **event, bool on, short what, event_callback_fn call)
{
	if (on == (*event != NULL))
		return true;
	if (!on) {
		event_free(*event);
		*event = NULL;
		return true;
	}
	*event = event_new(io->loop->base, io->fd, (short)(what | EV_PERSIST), call, io);
	if (*event != NULL && event_add(*event, NULL) != 0) {
		event_free(*event);
		*event = NULL;
	}
	return *event != NULL;
}

bool loop_io_want(struct loop *l, struct loop_io *io, int fd, unsigned wants, void (*on)(void *arg, unsigned what), void *arg)
{
	if (io->wants != 0 && (io->fd != fd || io->loop != l))
		loop_io_stop(io);
	io->loop = l;
	io->fd = fd;
	io->on = on;
	io->arg = arg;
	if (io->wants == wants)
		return true;
	io->wants = 0;
	if (!io_turn(io, &io->event, (wants & LOOP_READ) != 0, EV_READ, io_reads) ||
	    !io_turn(io, &io->event_write, (wants & LOOP_WRITE) != 0, EV_WRITE, io_writes)) {
		loop_io_stop(io);
		return false;
	}
	io->wants = wants;
	return true;
}

void loop_io_stop(struct loop_io *io)
{
	if (io->event != NULL)
		event_free(io->event);
	if (io->event_write != NULL)
		event_free(io->event_write);
	io->event = io->event_write = NULL;
	io->wants = 0;
}

/* timers */

static void heap_put(struct loop *l, size_t i, struct loop_timer *t)
{
	l->heap[i] = t;
	t->slot = i + 1;
}

static void heap_up(struct loop *l, size_t i)
{
	struct loop_timer *t = l->heap[i];

	while (i > 0 && l->heap[(i - 1) / 2]->armed_ms > t->armed_ms) {
		heap_put(l, i, l->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_put(l, i, t);
}

static void heap_down(struct loop *l, size_t i)
{
	struct loop_timer *t = l->heap[i];

	for (;;) {
		size_t child = 2 * i + 1;

		if (child + 1 < l->heap_n && l->heap[child + 1]->armed_ms < l->heap[child]->armed_ms)
			child++;
		if (child >= l->heap_n || l->heap[child]->armed_ms >= t->armed_ms)
			break;
		heap_put(l, i, l->heap[child]);
		i = child;
	}
	heap_put(l, i, t);
}

static void heap_remove(struct loop *l, struct loop_timer *t)
{
	size_t i = t->slot - 1;
	struct loop_timer *last = l->heap[--l->heap_n];

	t->slot = 0;
	if (last == t)
		return;
	heap_put(l, i, last);
	heap_up(l, i);
	heap_down(l, last->slot - 1);
}

bool loop_timer_set(struct loop *l, struct loop_timer *t, int64_t after_ms, void (*on)(void *arg), void *arg)
{
	int64_t due_ms = loop_now_ms(l) + (after_ms > 0 ? after_ms : 0);

	t->on = on;
	t->arg = arg;
	if (t->slot != 0) {
		BUG_ON(t->loop != l);
		t->due_ms = due_ms;
		if (due_ms < t->armed_ms) {
			t->armed_ms = due_ms;
			heap_up(l, t->slot - 1);
		}
		return true;
	}
	if (l->heap_n == l->heap_room) {
		size_t room = l->heap_room != 0 ? l->heap_room * 2 : 64;
		struct loop_timer **heap = reallocarray(l->heap, room, sizeof(struct loop_timer *));

		if (heap == NULL)
			return false;
		l->heap = heap;
		l->heap_room = room;
	}
	t->loop = l;
	t->due_ms = t->armed_ms = due_ms;
	heap_put(l, l->heap_n++, t);
	heap_up(l, t->slot - 1);
	return true;
}

void loop_timer_stop(struct loop_timer *t)
{
	if (t->slot != 0)
		heap_remove(t->loop, t);
	t->due_ms = 0;
}

void loop_timer_release(struct loop_timer *t)
{
	loop_timer_stop(t);
}

static void alarm_fires(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;

	(void)fd;
	(void)what;
	l->alarm_ms = 0;
	/* Bounded: a timer that its own call sets to "at once" waits for the next turn. */
	for (size_t n = l->heap_n; n > 0 && l->heap_n > 0; n--) {
		struct loop_timer *t = l->heap[0];

		if (t->armed_ms > loop_now_ms(l))
			break;
		if (t->due_ms > t->armed_ms) {
			t->armed_ms = t->due_ms;
			heap_down(l, 0);
			continue;
		}
		heap_remove(l, t);
		t->due_ms = 0;
		t->on(t->arg);
	}
}

static void alarm_set(struct loop *l)
{
	int64_t want_ms = l->heap_n > 0 ? l->heap[0]->armed_ms : 0, wait_ms;
	struct timeval tv;

	/* One that is set too early fires for nothing, which is cheaper than moving it every turn. */
	if (want_ms == 0 || (l->alarm_ms != 0 && l->alarm_ms <= want_ms))
		return;
	wait_ms = want_ms - clock_ms(l);
	if (wait_ms < 0)
		wait_ms = 0;
	tv.tv_sec = (time_t)(wait_ms / 1000);
	tv.tv_usec = (suseconds_t)(wait_ms % 1000) * 1000;
	if (event_add(l->alarm, &tv) == 0)
		l->alarm_ms = want_ms;
}

/* the end of the turn */

void loop_later(struct loop *l, struct loop_later *later, void (*on)(void *arg), void *arg)
{
	later->on = on;
	later->arg = arg;
	if (later->set)
		return;
	later->set = true;
	later->next = NULL;
	if (l->later == NULL)
		l->later = later;
	else
		l->later_last->next = later;
	l->later_last = later;
}

void loop_later_cancel(struct loop *l, struct loop_later *later)
{
	struct loop_later *before = NULL;

	if (!later->set)
		return;
	later->set = false;
	for (struct loop_later *at = l->draining; at != NULL; before = at, at = at->next) {
		if (at != later)
			continue;
		if (before == NULL)
			l->draining = later->next;
		else
			before->next = later->next;
		return;
	}
	before = NULL;
	for (struct loop_later *at = l->later; at != NULL && at != later; at = at->next)
		before = at;
	if (before == NULL)
		l->later = later->next;
	else
		before->next = later->next;
	if (l->later_last == later)
		l->later_last = before;
}

static void later_drain(struct loop *l)
{
	l->draining = l->later;
	l->later = l->later_last = NULL;
	while (l->draining != NULL) {
		struct loop_later *later = l->draining;

		l->draining = later->next;
		later->set = false;
		later->on(later->arg);
	}
}

/* Set anew at the end of the turn, if there is still something to write. */
static void on_log(void *arg)
{
	(void)arg;
	log_flush();
}

void loop_run(struct loop *l)
{
	while (!l->stopped) {
		int got;

		alarm_set(l);
		l->now_ms = 0;
		got = event_base_loop(l->base, EVLOOP_ONCE | (l->later != NULL ? EVLOOP_NONBLOCK : 0));
		BUG_ON(got < 0);
		if (got == 1 && l->later == NULL && l->heap_n == 0)
			break;
		later_drain(l);
		if (log_pending() && l->log.due_ms == 0)
			loop_timer_set(l, &l->log, LOG_FLUSH_MS, on_log, l);
	}
	l->stopped = false;
}

void loop_stop(struct loop *l)
{
	l->stopped = true;
}

/* signals */

static void signal_fires(evutil_socket_t signal, short what, void *arg)
{
	struct loop_signal *s = arg;

	(void)what;
	s->on(s->arg, (int)signal);
}

bool loop_signal(struct loop *l, int signal, void (*on)(void *arg, int signal), void *arg)
{
	struct loop_signal *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return false;
	s->on = on;
	s->arg = arg;
	s->event = event_new(l->base, signal, EV_SIGNAL | EV_PERSIST, signal_fires, s);
	if (s->event == NULL || event_add(s->event, NULL) != 0) {
		if (s->event != NULL)
			event_free(s->event);
		free(s);
		return false;
	}
	s->next = l->signals;
	l->signals = s;
	return true;
}
