/*
 * serve.h - what keeper and resolver share: packets from and to the workers, the boss's messages, the end.
 *
 * A worker's descriptor comes by BOSS_CLIENT. What goes to it is collected in one packet until serve_flush() or the end of the
 * loop turn; above LIMIT_IPC_UNSENT octets that it does not read, packets are dropped.
 */
#ifndef DAEMON_SERVE_H
#define DAEMON_SERVE_H

#include "base/buf.h"
#include "daemon/child.h"
#include "net/ipc.h"
#include "net/loop.h"

struct serve;

struct serve_client {
	struct serve *serve;
	struct serve_client *prev, *next;
	int fd;
	struct loop_io io;
	struct buf out;             /* the packet being collected */
	struct serve_packet *unsent, **unsent_end;
	size_t unsent_octets;
	bool paused, warned;
	void *own;                  /* the process's */
};

struct serve_ops {
	enum ipc_kind out_kind;
	/* A packet, borrowed for the call; it may send and pause, not end the client. */
	void (*packet)(void *arg, struct serve_client *c, struct slice packet);
	/* A new client; false: no memory, it is closed. May be NULL. */
	bool (*came)(void *arg, struct serve_client *c);
	/* Its descriptor is closed, it is freed after this, at the end of the turn. May be NULL. */
	void (*gone)(void *arg, struct serve_client *c);
};

/*
 * serve_start - first thing in the process: closes every descriptor but its own, standard ones and the log, ignores the signals
 * that are meant for the supervisor, no core files, no tracing by others. `role` names it in the log.
 */
void serve_start(const struct child_args *args, const char *role);
/* The same again after child_drop(), which undoes part of it. */
void serve_settle(void);

struct serve *serve_new(struct loop *l, const struct child_args *args, const struct serve_ops *ops, void *arg);
void serve_free(struct serve **s);
/* Says BOSS_READY and serves until the boss stops it or is gone. */
void serve_run(struct serve *s);

/* The packet being collected, begun; NULL: no memory. Flushed at the end of the turn. */
struct buf *serve_out(struct serve_client *c);
void serve_flush(struct serve_client *c);
/* Takes no more packets from it until serve_resume(); what it sends stays in the kernel. */
void serve_pause(struct serve_client *c);
void serve_resume(struct serve_client *c);
/* One log line the first time a client sends what is no message. */
void serve_garbage(struct serve_client *c, struct slice packet);
/* NULL: none. */
struct serve_client *serve_first(struct serve *s);

#endif
