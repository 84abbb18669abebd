/*
 * loop.h - one event loop a process: descriptors, timers, signals, deferred calls. The only thing libevent is used for.
 */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop;

struct loop *loop_new(void); /* NULL: libevent refused */
void loop_free(struct loop **l);
/* Runs until loop_stop(). */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);
/* libevent's base, for libunbound's event API in daemon/resolver alone. */
struct event_base *loop_base(struct loop *l);

/* Milliseconds of the monotonic clock, read once a loop turn. */
int64_t loop_now_ms(struct loop *l);

enum { LOOP_READ = 1, LOOP_WRITE = 2 };

/* A watched descriptor: caller's storage, zeroed before the first use. */
struct loop_io {
	struct event *event;
	void (*on)(void *arg, unsigned what);
	void *arg;
	struct loop *loop;
	int fd;
	unsigned wants;
};
/* Sets what is wanted (LOOP_READ | LOOP_WRITE, 0: nothing); false: no memory. */
bool loop_io_want(struct loop *l, struct loop_io *io, int fd, unsigned wants, void (*on)(void *arg, unsigned what), void *arg);
/* Forgets the descriptor; it is the caller's to close afterwards. */
void loop_io_stop(struct loop_io *io);

/* A timer: caller's storage, zeroed. One of them fires once; set again moves it. Cheap to move: the kernel is not asked. */
struct loop_timer {
	struct event *event;
	void (*on)(void *arg);
	void *arg;
	struct loop *loop;
	int64_t due_ms; /* 0: not set */
	int64_t armed_ms;
};
bool loop_timer_set(struct loop *l, struct loop_timer *t, int64_t after_ms, void (*on)(void *arg), void *arg);
void loop_timer_stop(struct loop_timer *t);
/* Stops and frees what loop_timer_set() allocated. */
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
