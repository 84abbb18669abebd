/*
 * queue.c - the queue process: its loop, workers that tell it of mail, control that asks, the boss. What is done with mail is
 * queue/queue's.
 */
#include "queue/queue.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/limits.h"
#include "daemon/child.h"
#include "daemon/parcel.h"
#include "daemon/request.h"
#include "daemon/sandbox.h"
#include "net/clock.h"
#include "out/log.h"

enum { PACKETS = 32 /* of one worker in a loop turn */ };

struct teller;

struct front {
	const struct child_args *args;
	struct loop *loop;
	struct loop_io boss;
	struct ask *ask;
	struct queue *queue;
	struct clock_watch clock;
	struct teller *tellers;
	struct loop_later sweep;
	struct parcel control;
	struct loop_io control_io;
};

/* A worker that tells of files. */
struct teller {
	struct front *front;
	struct teller *next;
	int fd; /* -1: gone, freed at the end of the turn */
	struct loop_io io;
	bool warned;
};

/* --- workers --- */

static void sweep(void *arg)
{
	struct front *p = arg;
	struct teller **at = &p->tellers;

	while (*at) {
		struct teller *t = *at;

		if (t->fd >= 0) {
			at = &t->next;
			continue;
		}
		*at = t->next;
		free(t);
	}
}

static void teller_doom(struct teller *t)
{
	loop_io_stop(&t->io);
	close(t->fd);
	t->fd = -1;
	loop_later(t->front->loop, &t->front->sweep, sweep, t->front);
}

static void on_teller(void *arg, unsigned what)
{
	unsigned char packet[SPOOL_NOTICE];
	struct teller *t = arg;

	(void)what;
	for (unsigned i = 0; i < PACKETS; i++) {
		ssize_t n = recv(t->fd, packet, sizeof(packet), MSG_DONTWAIT | MSG_TRUNC);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			teller_doom(t);
			return;
		}
		if ((size_t)n <= sizeof(packet)) {
			queue_notice(t->front->queue, slice_of(packet, (size_t)n));
		} else if (!t->warned) {
			log_note(LOG_LEVEL_WARNING, "ipc_malformed", "notice of %zd octets dropped", n);
			t->warned = true;
		}
	}
}

static void teller_add(struct front *p, int fd)
{
	struct teller *t = calloc(1, sizeof(*t));

	/* Without it the worker's files are found when the folder is looked at next. */
	if (!t || !loop_io_want(p->loop, &t->io, fd, LOOP_READ, on_teller, t)) {
		log_note(LOG_LEVEL_ERROR, "oom", "no memory for a channel");
		free(t);
		close(fd);
		return;
	}
	t->front = p;
	t->fd = fd;
	t->next = p->tellers;
	p->tellers = t;
}

/* --- control --- */

static void control_set(struct front *p, int fd);
static void control_go_on(struct front *p);

/* A page that is too long to be sent is made shorter. */
static bool page_shorten(json_t *request)
{
	const char *verb = json_string_value(json_object_get(request, "do"));
	json_int_t limit = json_integer_value(json_object_get(request, "limit"));

	return limit > 1 && (strcmp(verb, "list") == 0 || strcmp(verb, "show") == 0) &&
	    json_object_set_new(request, "limit", json_integer(limit / 4 ? limit / 4 : 1)) == 0;
}

static char *control_do(struct front *p, struct slice asked)
{
	const char *why = "no memory";
	json_t *request = request_read(asked, &why), *answer;
	char *text;

	do {
		answer = request ? queue_command(p->queue, request) : NULL;
		if (!answer)
			answer = json_pack("{s:s}", "error", why);
		text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
		json_decref(answer);
		if (!text || strlen(text) <= LIMIT_PARCEL)
			break;
		free(text);
		text = strdup("{\"error\":\"the answer is too long\"}");
		if (!page_shorten(request))
			break;
		free(text);
	} while (true);
	json_decref(request);
	return text;
}

static void control_answer(struct front *p, uint32_t ticket, struct slice asked)
{
	char *text = control_do(p, asked);

	/* What cannot be sent is missed at its time. */
	(void)!parcel_send(&p->control, ticket, text ? slice_str(text) : S("{\"error\":\"no memory\"}"));
	free(text);
}

static void on_control(void *arg, unsigned what)
{
	struct front *p = arg;
	struct slice text;
	uint32_t ticket;
	int got = 0;

	/* One request a turn: mail goes on beside them. */
	if (what == LOOP_READ && (got = parcel_read(&p->control, &ticket, &text)) > 0)
		control_answer(p, ticket, text);
	if (got < 0)
		control_set(p, -1);
	else
		control_go_on(p);
}

static void control_set(struct front *p, int fd)
{
	loop_io_stop(&p->control_io);
	parcel_set(&p->control, fd);
	if (fd >= 0)
		control_go_on(p);
}

static void control_go_on(struct front *p)
{
	if (!parcel_write(&p->control) ||
	    !loop_io_want(p->loop, &p->control_io, p->control.fd, parcel_waits(&p->control) ? LOOP_READ | LOOP_WRITE : LOOP_READ,
		on_control, p))
		control_set(p, -1);
}

/* --- the boss --- */

static void on_drained(void *arg)
{
	struct front *p = arg;

	loop_stop(p->loop);
}

static void on_boss(void *arg, unsigned what)
{
	struct front *p = arg;
	struct boss_message m;
	int fd = -1, got;

	(void)what;
	while ((got = boss_receive(p->args->boss_fd, &m, &fd)) > 0) {
		if (fd >= 0 && m.kind == BOSS_CLIENT)
			teller_add(p, fd);
		else if (fd >= 0 && m.kind == BOSS_CONTROL)
			control_set(p, fd);
		else if (fd >= 0 && m.kind == BOSS_RESOLVER)
			ask_set_resolver(p->ask, fd);
		else if (fd >= 0 && m.kind == BOSS_KEEPER)
			ask_set_keeper(p->ask, fd);
		else if (m.kind == BOSS_REOPEN)
			log_reopen(fd);
		else if (fd >= 0)
			close(fd);
		else if (m.kind == BOSS_DRAIN)
			queue_drain(p->queue, m.value, on_drained, p);
		else if (m.kind == BOSS_STOP)
			loop_stop(p->loop);
	}
	if (got < 0)
		loop_stop(p->loop);
}

static void on_ready(void *arg)
{
	struct front *p = arg;

	boss_send(p->args->boss_fd, BOSS_READY, 0, NULL, -1);
}

static void end(struct front *p)
{
	queue_free(&p->queue);
	for (struct teller *t = p->tellers; t; t = t->next)
		if (t->fd >= 0)
			teller_doom(t);
	sweep(p);
	loop_later_cancel(p->loop, &p->sweep);
	loop_io_stop(&p->control_io);
	parcel_release(&p->control);
	loop_io_stop(&p->boss);
	ask_free(&p->ask);
	loop_free(&p->loop);
}

int queue_main(const struct child_args *args)
{
	struct front p = { .args = args };
	const struct conf *conf = args->conf;
	char error[256] = "no memory";

	signal(SIGPIPE, SIG_IGN);
	json_object_seed(0);
	parcel_init(&p.control);
	p.loop = loop_new();
	if (p.loop)
		p.ask = ask_new(p.loop, args->resolver_fd, args->keeper_fd, conf->dns.timeout_ms, conf->dns.cache_max);
	if (p.ask) {
		ask_counts(p.ask, args->counts, args->slot);
		p.queue = queue_new(p.loop, conf, p.ask, args->counts, args->slot, args->spool_fd, error);
	}
	conf_forget_tls(conf); /* the contexts of next hops have what is needed */
	if (!p.queue || !loop_io_want(p.loop, &p.boss, args->boss_fd, LOOP_READ, on_boss, &p) || !clock_watch(p.loop, &p.clock)) {
		log_note(LOG_LEVEL_ERROR, "start_failed", "%s", error);
		return EX_OSERR;
	}
	if (!sandbox_enter(SANDBOX_QUEUE, conf, args->spool_fd, NULL)) {
		log_note(LOG_LEVEL_ERROR, "start_failed", "sandbox: %s", strerror(errno));
		return EX_OSERR;
	}
	queue_on_ready(p.queue, on_ready, &p);
	loop_run(p.loop);
	end(&p);
	return EX_OK;
}
