/*
 * worker.c - a worker process: one loop, the relay, a line to the supervisor.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "daemon/child.h"
#include "daemon/sandbox.h"
#include "net/ask.h"
#include "net/clock.h"
#include "out/log.h"
#include "relay/relay.h"

enum { TRIM_OCTETS = 8 << 20 };

struct worker {
	const struct child_args *args;
	struct loop *loop;
	struct loop_io boss;
	struct ask *ask;
	struct relay *relay;
	struct clock_watch clock;
};

static void on_empty(void *arg)
{
	struct worker *w = arg;

	loop_stop(w->loop);
}

static void on_boss(void *arg, unsigned what)
{
	struct worker *w = arg;
	struct boss_message m;
	int fd = -1, got;

	(void)what;
	while ((got = boss_receive(w->args->boss_fd, &m, &fd)) > 0) {
		switch (m.kind) {
		case BOSS_RESOLVER:
			ask_set_resolver(w->ask, fd);
			continue;
		case BOSS_KEEPER:
			ask_set_keeper(w->ask, fd);
			continue;
		case BOSS_QUEUE:
			relay_set_queue(w->relay, fd);
			continue;
		case BOSS_DRAIN:
			relay_drain(w->relay, m.value, on_empty, w);
			boss_send(w->args->boss_fd, BOSS_DRAINING, 0, NULL, -1);
			break;
		case BOSS_REOPEN:
			if (fd >= 0 && log_reopen(fd))
				continue;
			break;
		case BOSS_STOP:
			loop_stop(w->loop);
			break;
		default:
			break;
		}
		if (fd >= 0)
			close(fd);
	}
	if (got < 0) /* the supervisor is gone, and the listening sockets with it */
		loop_stop(w->loop);
}

static void on_ready(void *arg)
{
	struct worker *w = arg;

	boss_send(w->args->boss_fd, BOSS_READY, 0, NULL, -1);
}

int worker_main(const struct child_args *args)
{
	struct worker w = { .args = args };
	const struct conf *conf = args->conf;

	if (!child_drop(args)) {
		log_note(LOG_LEVEL_ERROR, "start_failed", "dropping privileges: %s", strerror(errno));
		return EX_OSERR;
	}
	signal(SIGPIPE, SIG_IGN);
	/* Content comes and goes in blocks: giving the top of the heap back after each message costs more than the message. */
	mallopt(M_TRIM_THRESHOLD, TRIM_OCTETS);
	mallopt(M_MMAP_THRESHOLD, TRIM_OCTETS);
	json_object_seed(0);
	w.loop = loop_new();
	if (w.loop)
		w.ask = ask_new(w.loop, args->resolver_fd, args->keeper_fd, conf->dns.timeout_ms, conf->dns.cache_max);
	if (w.ask)
		ask_counts(w.ask, args->counts, args->slot);
	if (w.ask)
		w.relay = relay_new(w.loop, conf, w.ask, args->counts, args->slot, args->listen_fds, args->listen_count, args->spool_fd);
	if (!w.relay || !loop_io_want(w.loop, &w.boss, args->boss_fd, LOOP_READ, on_boss, &w) || !clock_watch(w.loop, &w.clock))
		return EX_OSERR;
	if (!sandbox_enter(SANDBOX_WORKER, conf, args->spool_fd, NULL)) {
		log_note(LOG_LEVEL_ERROR, "start_failed", "sandbox: %s", strerror(errno));
		return EX_OSERR;
	}
	if (args->queue_fd >= 0)
		relay_set_queue(w.relay, args->queue_fd);
	relay_on_ready(w.relay, on_ready, &w);
	loop_run(w.loop);
	return EX_OK;
}
