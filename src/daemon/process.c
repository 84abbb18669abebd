#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/generation.h"
#include "daemon/sandbox.h"
#include "out/log.h"

enum { STOP_GRACE_MS = 3000 };

const char *role_name(enum role role)
{
	static const char *const names[] = {
		[ROLE_KEEPER] = "keeper", [ROLE_RESOLVER] = "resolver", [ROLE_QUEUE] = "queue", [ROLE_WORKER] = "worker",
		[ROLE_CONTROL] = "control"
	};

	return names[role];
}

void process_init(struct process *p, enum role role, struct generation *g, unsigned index)
{
	*p = (struct process){ .role = role, .generation = g, .index = index, .boss_fd = -1 };
}

static bool pair_new(int ends_out[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends_out) == 0;
}

static void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Keeper, resolver and queue are helpers: their clients get a new pair to each that is started. */
static bool is_helper(const struct process *p)
{
	return p->role == ROLE_KEEPER || p->role == ROLE_RESOLVER || p->role == ROLE_QUEUE;
}

/* The queue process is told of mail by workers of every generation that put theirs into the same spool. */
static bool is_client(const struct process *p, const struct process *helper)
{
	if (helper->role != ROLE_QUEUE)
		return p->generation == helper->generation && (p->role == ROLE_WORKER || p->role == ROLE_QUEUE);
	return p->role == ROLE_CONTROL || (p->role == ROLE_WORKER && p->generation->queue && p->generation->spool == helper->generation->spool);
}

/*
 * The client's end of a new pair to a helper; -1: it does not run, its start will hand one in. A helper that does not take what the
 * supervisor sends is stuck: its successor gets new pairs to everybody.
 */
static int helper_pair(struct process *helper, const struct process *client)
{
	int ends[2];

	if (!helper || helper->pid == 0 || !is_client(client, helper) || !pair_new(ends))
		return -1;
	if (!boss_send(helper->boss_fd, client->role == ROLE_CONTROL ? BOSS_CONTROL : BOSS_CLIENT, client->index, NULL, ends[1]))
		process_kill(helper);
	close(ends[1]);
	return ends[0];
}

static void helper_introduce(struct process *helper, struct process *client)
{
	static const enum boss_kind kinds[] = { [ROLE_KEEPER] = BOSS_KEEPER, [ROLE_RESOLVER] = BOSS_RESOLVER, [ROLE_QUEUE] = BOSS_QUEUE };
	int fd;

	/* One without its end of the boss's pair is ending, and only not buried yet. */
	if (client->pid == 0 || client->boss_fd < 0 || !is_client(client, helper))
		return;
	fd = helper_pair(helper, client);
	if (fd < 0 || (!boss_send(client->boss_fd, kinds[helper->role], 0, NULL, fd) && errno != EPIPE && errno != ECONNRESET))
		log_note(LOG_LEVEL_ERROR, "pair_lost", "%s %u gets no channel to the new %s: %s", role_name(client->role), client->index,
		    role_name(helper->role), strerror(errno));
	fd_close(&fd);
}

static void helper_introduce_all(const struct nursery *n, struct process *helper)
{
	for (struct generation *g = *n->newest; g; g = g->next)
		for (size_t i = 0; i < g->process_count; i++)
			helper_introduce(helper, &g->processes[i]);
	helper_introduce(helper, n->control);
}

struct process *process_queue(const struct nursery *n)
{
	for (struct generation *g = *n->newest; g; g = g->next)
		if (g->queue && g->queue->pid)
			return g->queue;
	return NULL;
}

static int ascending(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

/* Closes every descriptor that is not in the list. */
static void close_others(int *keep, size_t n)
{
	unsigned from = 0;

	qsort(keep, n, sizeof(*keep), ascending);
	for (size_t i = 0; i < n; i++) {
		unsigned fd = (unsigned)keep[i];

		if (keep[i] < 0 || fd < from)
			continue;
		if (fd > from)
			close_range(from, fd - 1, 0);
		from = fd + 1;
	}
	close_range(from, ~0U, 0);
}

static void signals_for_child(void)
{
	static const int ignored[] = { SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGPIPE };
	sigset_t none;

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Does it do a worker's work: with the spool, with questions, with TLS, and counts it? */
static bool is_working(const struct process *p)
{
	return p->role == ROLE_WORKER || p->role == ROLE_QUEUE;
}

static int child_run(const struct process *p, struct child_args *args, pid_t parent)
{
	static const char *const titles[] = { /* 15 octets are the kernel's limit */
		[ROLE_KEEPER] = "hopseal:keeper", [ROLE_RESOLVER] = "hopseal:resolve", [ROLE_QUEUE] = "hopseal:queue",
		[ROLE_WORKER] = "hopseal:worker",
		[ROLE_CONTROL] = "hopseal:control"
	};
	const int own[] = { STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, log_fd(), args->boss_fd, args->resolver_fd, args->keeper_fd,
		args->queue_fd, args->spool_fd, args->control_fd };
	const size_t own_count = sizeof(own) / sizeof(own[0]);
	int *keep = calloc(own_count + args->listen_count, sizeof(*keep));

	if (!keep)
		return 71;
	memcpy(keep, own, sizeof(own));
	if (args->listen_count)
		memcpy(keep + own_count, args->listen_fds, args->listen_count * sizeof(*keep));
	close_others(keep, own_count + args->listen_count);
	free(keep);
	signals_for_child();
	prctl(PR_SET_NAME, titles[p->role]);
	log_start(args->conf, role_name(p->role), p->index);
	if (is_working(p))
		sandbox_root(p->role == ROLE_QUEUE ? SANDBOX_QUEUE : SANDBOX_WORKER, args->conf, args->uid, args->spool_fd);
	if (p->role == ROLE_KEEPER) {
		/* Drops by itself once it has read the keys. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	} else if (!child_drop(args)) {
		log_note(LOG_LEVEL_ERROR, "privileges_kept", "cannot become user %s: %s", args->conf->user, strerror(errno));
		return 71;
	}
	if (getppid() != parent)
		return 0; /* it died before the kernel was asked to tell us */
	switch (p->role) {
	case ROLE_KEEPER:
		return keeper_main(args);
	case ROLE_RESOLVER:
		return resolver_main(args);
	case ROLE_QUEUE:
		return queue_main(args);
	case ROLE_WORKER:
		return worker_main(args);
	case ROLE_CONTROL:
		break;
	}
	return control_main(args);
}

/*
 * TLS keys and passwords that came with the fork. Who works needs his own keys, and forgets their texts himself; clients give their
 * passwords to workers.
 */
static void forget_keys(const struct nursery *n, const struct process *p, const struct child_args *args)
{
	for (const struct generation *g = *n->newest; g; g = g->next) {
		if (!is_working(p) || g->conf != args->conf)
			conf_forget_tls(g->conf);
		if (p->role != ROLE_WORKER || g->conf != args->conf)
			conf_forget_passwords(g->conf);
	}
}

static void args_fill(const struct nursery *n, const struct process *p, struct child_args *args)
{
	const struct generation *g = p->generation;

	*args = (struct child_args){
		.conf = g ? g->conf : n->control_conf,
		.resolver_fd = -1,
		.keeper_fd = -1,
		.queue_fd = -1,
		.spool_fd = is_working(p) ? g->spool->fd : -1,
		.index = p->index,
		.generation = g ? g->number : 0,
		.slot = p->slot,
		.uid = g ? g->uid : n->control_uid,
		.gid = g ? g->gid : n->control_gid,
		.counts = n->counts,
		.control_fd = p->role == ROLE_CONTROL ? n->control_fd : -1,
	};
	if (p->role == ROLE_WORKER) {
		args->listen_fds = g->listen_fds;
		args->listen_count = g->listen_count;
	}
}

bool process_start(const struct nursery *n, struct process *p, int64_t now_ms)
{
	struct child_args args;
	int boss[2];
	pid_t parent = getpid();

	if (is_working(p) && !n->slot_take(n->arg, &p->slot)) {
		errno = EAGAIN;
		return false;
	}
	if (!pair_new(boss))
		return false;
	args_fill(n, p, &args);
	args.boss_fd = boss[1];
	if (is_working(p)) {
		args.keeper_fd = helper_pair(p->generation->keeper, p);
		args.resolver_fd = helper_pair(p->generation->resolver, p);
	}
	if (!is_helper(p))
		args.queue_fd = helper_pair(process_queue(n), p);
	p->started_ms = now_ms;
	p->restart_ms = p->kill_ms = 0;
	p->ready = p->draining = p->told = false;
	p->why[0] = '\0';
	p->pid = fork();
	if (p->pid == 0) {
		int code;

		forget_keys(n, p, &args);
		code = child_run(p, &args, parent);

		if (code)
			boss_send(args.boss_fd, BOSS_FAILED, 0, log_last_error(), -1);
		log_flush();
		_exit(code);
	}
	close(boss[1]);
	fd_close(&args.keeper_fd);
	fd_close(&args.resolver_fd);
	fd_close(&args.queue_fd);
	if (p->pid < 0) {
		int error = errno;

		p->pid = 0;
		close(boss[0]);
		errno = error;
		return false;
	}
	p->boss_fd = boss[0];
	if (is_helper(p))
		helper_introduce_all(n, p);
	return true;
}

void process_stop(struct process *p, int64_t now_ms)
{
	p->restart_ms = 0;
	if (p->pid == 0 || p->told)
		return;
	p->told = true;
	p->kill_ms = now_ms + STOP_GRACE_MS;
	boss_send(p->boss_fd, BOSS_STOP, 0, NULL, -1);
}

void process_kill(struct process *p)
{
	if (p->pid > 0)
		kill(p->pid, SIGKILL);
}
