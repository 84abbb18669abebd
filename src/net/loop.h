/*
 * loop.h - one event loop a process: descriptors, timers, signals, deferred calls. The only thing libevent is used for.
 */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;

struct loop *loop_new(void); /* NULL: libevent refused */
/* After every loop_io_stop() and loop_timer_release(): neither may be called once the loop is gone. */
void loop_free(struct loop **l);
/*
 * In a child after fork: gives the parent's loop up without touching the kernel objects both share; the parent's go on. Its
 * storage that watched descriptors or timers is the parent's business and is not to be stopped or released here.
 */
void loop_forget(struct loop **l);
/* Runs until loop_stop(), or until nothing is left that could ever call. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);
/* libevent's base, for libunbound's event API in daemon/resolver alone. */
struct event_base *loop_base(struct loop *l);

/* Milliseconds of the monotonic clock, read once a loop turn, or what a test put there. */
int64_t loop_now_ms(struct loop *l);
/* For tests: the clock goes `ms` further and stands still from now on; timers due by then fire in the next turn. */
void loop_clock_advance(struct loop *l, int64_t ms);

enum { LOOP_READ = 1, LOOP_WRITE = 2 };

/* A watched descriptor: caller's storage, zeroed before the first use. */
struct loop_io {
	struct event *event;
	struct event *event_write; /* only while LOOP_WRITE is wanted */
	void (*on)(void *arg, unsigned what);
	void *arg;
	struct loop *loop;
	int fd;
	unsigned wants;
};
/*
 * Sets what is wanted (LOOP_READ | LOOP_WRITE, 0: nothing); false: no memory. The kernel is asked only for what changed. `what`
 * is LOOP_READ or LOOP_WRITE, one a call. A callback may change, stop and re-use its own or any other loop_io.
 */
bool loop_io_want(struct loop *l, struct loop_io *io, int fd, unsigned wants, void (*on)(void *arg, unsigned what), void *arg);
/* Forgets the descriptor and frees what was allocated; it is the caller's to close afterwards. Zeroed storage is fine. */
void loop_io_stop(struct loop_io *io);

/* A timer: caller's storage, zeroed. Fires once; set again moves it. Moving it later costs an assignment. Never fires early. */
struct loop_timer {
	void (*on)(void *arg);
	void *arg;
	struct loop *loop;
	int64_t due_ms;   /* 0: not set */
	int64_t armed_ms; /* when it is looked at: due_ms or earlier */
	size_t slot;      /* in the loop's heap, counted from 1; 0: not there */
};
/* after_ms below 0 counts as 0; the call comes from the loop, never from here. False: no memory, not set. */
bool loop_timer_set(struct loop *l, struct loop_timer *t, int64_t after_ms, void (*on)(void *arg), void *arg);
void loop_timer_stop(struct loop_timer *t); /* zeroed storage is fine */
/* The last thing done to it before its storage goes. */
void loop_timer_release(struct loop_timer *t);

/* Calls `on` once at the end of this loop turn, after every ready descriptor was served. Caller's storage; setting it twice is once. */
struct loop_later {
	struct loop_later *next;
	void (*on)(void *arg);
	void *arg;
	bool set;
};
void loop_later(struct loop *l, struct loop_later *later, void (*on)(void *arg), void *arg);
void loop_later_cancel(struct loop *l, struct loop_later *later);

/* Signals are delivered as calls of the loop. */
bool loop_signal(struct loop *l, int signal, void (*on)(void *arg, int signal), void *arg);

#endif
