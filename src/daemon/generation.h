/*
 * generation.h - keeper, resolver, workers and queue process that are started from one configuration, and the sockets and spool they borrow.
 */
#ifndef DAEMON_GENERATION_H
#define DAEMON_GENERATION_H

#include "daemon/bind.h"
#include "daemon/process.h"

enum generation_state {
	GENERATION_HELPERS,  /* keeper and resolver were started, awaits their READY */
	GENERATION_WORKERS,  /* workers too, awaits all of theirs */
	GENERATION_SERVING,
	GENERATION_DRAINING, /* workers take nothing new, awaits their end, and the end of its queue process */
	GENERATION_ENDING,   /* all were told to stop, awaits their end */
};
const char *generation_state_name(enum generation_state state);

struct generation {
	struct generation *next; /* older */
	enum generation_state state;
	unsigned number;
	int64_t deadline_ms;     /* of the state; 0: none */
	int64_t begun_ms;
	bool hurried;            /* a reload waits for its sessions to end */
	struct conf *conf;       /* owned */
	uid_t uid;               /* whom its processes become; -1: nobody else */
	gid_t gid;
	struct process *processes; /* all of them */
	size_t process_count;
	struct process *keeper, *resolver; /* of these */
	struct process *queue;   /* NULL: no listener has mode queue; runs only while no other one does */
	struct process *workers;
	size_t worker_count;
	int *listen_fds;         /* borrowed, in the order of conf's addresses */
	size_t listen_count;
	const struct spool_row *spool; /* borrowed */
};

/* What the daemon holds, whatever generation uses it. */
struct held {
	struct socket_row {
		struct socket_row *next;
		struct sockaddr_storage sa;
		int fd;
	} *sockets; /* that listen */
	struct spool_row {
		struct spool_row *next;
		dev_t dev;
		ino_t ino;
		int fd;
	} *spools;  /* locked */
};

/* Whom the processes become; -1 where nothing is to be dropped. False: there is no such user. */
bool generation_user(const struct conf *conf, uid_t *uid_out, gid_t *gid_out);

/*
 * generation_new - one that has its sockets and its spool, those held or new ones, but no process yet
 * In:    take_conf: owned from now on, whatever happens; number: the first one waits a moment for a spool that another daemon holds
 * Fault: NULL; *code_out is 71 or 78, error_out says why; what nobody uses may be left (generation_sweep)
 */
struct generation *generation_new(struct conf *take_conf, unsigned number, struct held *held, int *code_out,
    char error_out[BIND_ERROR]);
void generation_free(struct generation **g);

/* Closes the sockets that no starting or serving generation of the list uses, and the spools that none uses at all. */
void generation_sweep(const struct generation *newest, struct held *held);

/* Does its spool hold messages? */
bool generation_mail(const struct generation *g);
/* Workers all READY; workers all gone; and the queue process too; nothing of it runs. */
bool generation_ready(const struct generation *g);
bool generation_idle(const struct generation *g);
bool generation_drained(const struct generation *g);
bool generation_gone(const struct generation *g);

#endif
