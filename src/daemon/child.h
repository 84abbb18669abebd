/*
 * child.h - what the supervisor hands to each process it starts.
 *
 * Every child holds one end of a SOCK_SEQPACKET pair to the supervisor ("boss"). Over it come struct boss_message, some with a
 * descriptor (SCM_RIGHTS). A child whose boss end closes leaves at once.
 *
 * A child starts with SIGHUP, SIGINT, SIGTERM, SIGUSR1 and SIGPIPE ignored (a terminal or a service manager signals the
 * whole group; what they mean comes over the boss end), with no descriptor but 0, 1, 2, the log and those of its
 * child_args, and, but for the keeper, which has keys to read first, already as args->uid.
 */
#ifndef DAEMON_CHILD_H
#define DAEMON_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "config/conf.h"
#include "out/count.h"

enum boss_kind {
	BOSS_RESOLVER = 1, /* to a worker, to queue: fd of a new pair to the resolver */
	BOSS_KEEPER,       /* to a worker, to queue: fd of a new pair to the keeper */
	BOSS_QUEUE,        /* to a worker, to control: fd of a new pair to the queue process */
	BOSS_CLIENT,       /* to keeper, resolver, queue: fd of a new pair to a worker (value: its index) */
	BOSS_CONTROL,      /* to queue: fd of a new pair to control */
	BOSS_DRAIN,        /* to a worker: take no new sessions, end idle ones after value seconds; later ones replace earlier */
	                   /* to queue: begin no delivery, leave once none is under way, or after value seconds */
	BOSS_STOP,         /* leave now */
	BOSS_REOPEN,       /* reopen the log (fd: the new log file, if it is one) */
	BOSS_RELOAD,       /* from control: reload; to control: the outcome (value 0 or 1, text) */
	BOSS_STATUS,       /* from control: what runs? to control: a piece of the JSON text (value 1: more follows) */
	BOSS_READY,        /* from a child: it serves */
	BOSS_DRAINING,     /* from a worker: it takes no new sessions any more */
	BOSS_FAILED,       /* from a child that leaves with an error: the last one it logged; sent for it */
};

struct boss_message {
	uint32_t kind;
	uint32_t value;
	char text[2040];
};

struct child_args {
	const struct conf *conf;
	int boss_fd;
	const int *listen_fds;     /* one an address of conf->listeners, in order; workers only */
	size_t listen_count;
	int resolver_fd, keeper_fd; /* workers and queue: their ends; else -1 */
	int queue_fd;              /* workers and control: their end, if a queue process runs; else -1 */
	int spool_fd;              /* workers and queue: the spool directory; holding it holds its lock; else -1 */
	unsigned index;            /* of the worker in its generation */
	unsigned generation;
	unsigned slot;             /* of a worker or queue in the counters: no other living one has it */
	uid_t uid;                 /* to become; (uid_t)-1: stay */
	gid_t gid;
	struct count_page *counts; /* shared; a worker or queue writes slots[slot] */
	int control_fd;            /* control only */
};

/* Each runs until told to leave and returns the exit code. */
int worker_main(const struct child_args *args);
int keeper_main(const struct child_args *args);
int resolver_main(const struct child_args *args);
int queue_main(const struct child_args *args);
int control_main(const struct child_args *args);

/*
 * setgroups, setgid, setuid to args->uid; false: errno tells. Changes nothing when uid is (uid_t)-1 or already the
 * process's own. Also asks the kernel to end this process with its parent.
 */
bool child_drop(const struct child_args *args);

/* Never blocks. text may be NULL and is cut at the room there is; pass_fd stays the caller's. False: not sent. */
bool boss_send(int fd, enum boss_kind kind, uint32_t value, const char *text, int pass_fd);
/* 1: a message (fd_out -1 when none came with it, else owned by the caller), 0: nothing yet, -1: the other end is gone. */
int boss_receive(int fd, struct boss_message *message_out, int *fd_out);

#endif
