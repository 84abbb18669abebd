/*
 * process.h - one process of the daemon as the supervisor sees it. It belongs to a generation, but for the control process.
 */
#ifndef DAEMON_PROCESS_H
#define DAEMON_PROCESS_H

#include "daemon/child.h"

enum role { ROLE_KEEPER, ROLE_RESOLVER, ROLE_QUEUE, ROLE_WORKER, ROLE_CONTROL };
const char *role_name(enum role role); /* "keeper" */

struct generation;

struct process {
	enum role role;
	struct generation *generation; /* NULL: control */
	unsigned index;                /* of a worker in its generation */
	unsigned slot;                 /* of a worker or queue in the counters */
	pid_t pid;                     /* 0: does not run */
	int boss_fd;                   /* our end; -1: none */
	bool ready;
	bool draining;                 /* a worker that takes no new sessions; a queue that was told to drain */
	bool told;                     /* to stop */
	int64_t started_ms;
	int64_t restart_ms;            /* when to start it again; 0: not at all */
	int64_t kill_ms;               /* when it is killed; 0: not at all */
	unsigned delay_ms;             /* before the next restart */
	unsigned deaths;               /* that were not asked for */
	char why[200];                 /* what it said last about its end; empty: nothing */
};

/* What every process is started with. */
struct nursery {
	struct count_page *counts;
	int control_fd;
	struct generation *const *newest; /* of all living ones: what the others know is not for a child of one of them */
	struct process *control;
	const struct conf *control_conf; /* what it is started from, and as whom */
	uid_t control_uid;
	gid_t control_gid;
	bool (*slot_take)(void *arg, unsigned *slot_out); /* one that no living process has; false: none */
	void *arg;
};

void process_init(struct process *p, enum role role, struct generation *g, unsigned index);

/* Starts it, with new pairs between it and whom it speaks to; false: errno tells. */
bool process_start(const struct nursery *n, struct process *p, int64_t now_ms);
/* The queue process that runs; NULL: none. There is one at a time, whatever generation it is of. */
struct process *process_queue(const struct nursery *n);
/* Tells it to leave now; kill_ms says when it is to be killed if it has not. */
void process_stop(struct process *p, int64_t now_ms);
void process_kill(struct process *p);

#endif
