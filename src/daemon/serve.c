#include "daemon/serve.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "out/log.h"

struct serve_packet {
	struct serve_packet *next;
	size_t n;
	unsigned char octets[];
};

struct serve {
	struct loop *loop;
	int boss_fd;
	struct loop_io boss;
	struct loop_later later;
	struct serve_client *clients, *doomed;
	const struct serve_ops *ops;
	void *arg;
	unsigned char *received; /* LIMIT_IPC octets */
};

/* the process */

static void keep_descriptors(int one, int other)
{
	int low = one < other ? one : other, high = one < other ? other : one;
	unsigned from = 3;

	if (low >= 3) {
		if (low > 3)
			close_range(from, (unsigned)low - 1, 0);
		from = (unsigned)low + 1;
	}
	if (high >= (int)from) {
		if (high > (int)from)
			close_range(from, (unsigned)high - 1, 0);
		from = (unsigned)high + 1;
	}
	close_range(from, ~0U, 0);
}

void serve_settle(void)
{
	prctl(PR_SET_DUMPABLE, 0);
}

void serve_start(const struct child_args *args, const char *role)
{
	static const int ignored[] = { SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGPIPE };
	struct rlimit none = { 0, 0 };
	sigset_t all;

	/* The supervisor gets them with the whole group, and leaves in its own order: the boss's end tells. */
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	setrlimit(RLIMIT_CORE, &none);
	serve_settle();
	log_start(args->conf, role, args->index);
	keep_descriptors(args->boss_fd, log_fd());
}

/* clients */

static void sweep(struct serve *s)
{
	while (s->doomed != NULL) {
		struct serve_client *c = s->doomed;

		s->doomed = c->next;
		if (s->ops->gone != NULL)
			s->ops->gone(s->arg, c);
		while (c->unsent != NULL) {
			struct serve_packet *p = c->unsent;

			c->unsent = p->next;
			free(p);
		}
		buf_release(&c->out);
		free(c);
	}
}

static void on_later(void *arg)
{
	struct serve *s = arg;

	for (struct serve_client *c = s->clients, *next; c != NULL; c = next) {
		next = c->next;
		serve_flush(c);
	}
	sweep(s);
}

static void doom(struct serve_client *c)
{
	struct serve *s = c->serve;

	if (c->fd < 0)
		return;
	loop_io_stop(&c->io);
	close(c->fd);
	c->fd = -1;
	*(c->prev != NULL ? &c->prev->next : &s->clients) = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	c->next = s->doomed;
	s->doomed = c;
	loop_later(s->loop, &s->later, on_later, s);
}

static void on_client(void *arg, unsigned what);

static void want(struct serve_client *c)
{
	unsigned wants = (c->paused ? 0 : LOOP_READ) | (c->unsent != NULL ? LOOP_WRITE : 0);

	if (c->fd >= 0 && !loop_io_want(c->serve->loop, &c->io, c->fd, wants, on_client, c))
		doom(c);
}

/* 1: gone out, 0: not now, -1: the client is gone. */
static int push(struct serve_client *c, const void *at, size_t n)
{
	ssize_t sent;

	do
		sent = send(c->fd, at, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return 1;
	if (errno == EAGAIN || errno == ENOBUFS)
		return 0;
	doom(c);
	return -1;
}

void serve_flush(struct serve_client *c)
{
	struct serve_packet *p;
	int done = 0;

	if (c->fd < 0 || ipc_count(&c->out) == 0)
		return;
	if (c->unsent == NULL)
		done = push(c, c->out.at, c->out.n);
	if (done == 0 && c->unsent_octets + c->out.n <= LIMIT_IPC_UNSENT && (p = malloc(sizeof(*p) + c->out.n)) != NULL) {
		p->next = NULL;
		p->n = c->out.n;
		memcpy(p->octets, c->out.at, p->n);
		if (c->unsent == NULL)
			c->unsent_end = &c->unsent;
		*c->unsent_end = p;
		c->unsent_end = &p->next;
		c->unsent_octets += p->n;
		want(c);
	}
	buf_clear(&c->out);
}

struct buf *serve_out(struct serve_client *c)
{
	if (c->out.n == 0)
		ipc_begin(&c->out, c->serve->ops->out_kind);
	if (buf_failed(&c->out)) {
		buf_clear(&c->out);
		return NULL;
	}
	loop_later(c->serve->loop, &c->serve->later, on_later, c->serve);
	return &c->out;
}

static void on_client(void *arg, unsigned what)
{
	struct serve_client *c = arg;
	struct serve *s = c->serve;
	ssize_t n;

	if (what == LOOP_WRITE) {
		while (c->unsent != NULL && push(c, c->unsent->octets, c->unsent->n) == 1) {
			struct serve_packet *p = c->unsent;

			c->unsent = p->next;
			c->unsent_octets -= p->n;
			free(p);
		}
		want(c);
		return;
	}
	if (c->paused) { /* only now: a pause is mostly over before anything more comes */
		want(c);
		return;
	}
	n = recv(c->fd, s->received, LIMIT_IPC, MSG_DONTWAIT | MSG_TRUNC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		doom(c);
	else if (n > LIMIT_IPC)
		serve_garbage(c, slice_of(s->received, LIMIT_IPC));
	else
		s->ops->packet(s->arg, c, slice_of(s->received, (size_t)n));
}

void serve_pause(struct serve_client *c)
{
	c->paused = true;
}

void serve_resume(struct serve_client *c)
{
	c->paused = false;
	want(c);
}

void serve_garbage(struct serve_client *c, struct slice packet)
{
	if (!c->warned)
		log_note(LOG_LEVEL_WARNING, "ipc_malformed", "message of %zu octets dropped", packet.n);
	c->warned = true;
}

struct serve_client *serve_first(struct serve *s)
{
	return s->clients;
}

static void add_client(struct serve *s, int fd)
{
	struct serve_client *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		close(fd);
		return;
	}
	c->serve = s;
	c->fd = fd;
	buf_init(&c->out, LIMIT_IPC);
	c->next = s->clients;
	if (s->clients != NULL)
		s->clients->prev = c;
	s->clients = c;
	if (s->ops->came != NULL && !s->ops->came(s->arg, c))
		doom(c);
	want(c);
}

/* the boss */

static void on_boss(void *arg, unsigned what)
{
	struct serve *s = arg;
	struct boss_message m;
	int fd = -1, got;

	(void)what;
	while ((got = boss_receive(s->boss_fd, &m, &fd)) > 0) {
		switch (m.kind) {
		case BOSS_CLIENT:
			if (fd >= 0)
				add_client(s, fd);
			break;
		case BOSS_REOPEN:
			log_reopen(fd);
			break;
		default:
			if (m.kind == BOSS_STOP)
				loop_stop(s->loop);
			if (fd >= 0)
				close(fd);
			break;
		}
		fd = -1;
	}
	if (got < 0) {
		loop_io_stop(&s->boss);
		loop_stop(s->loop);
	}
}

struct serve *serve_new(struct loop *l, const struct child_args *args, const struct serve_ops *ops, void *arg)
{
	struct serve *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->loop = l;
	s->boss_fd = args->boss_fd;
	s->ops = ops;
	s->arg = arg;
	s->received = malloc(LIMIT_IPC);
	if (s->received == NULL || !loop_io_want(l, &s->boss, s->boss_fd, LOOP_READ, on_boss, s))
		serve_free(&s);
	return s;
}

void serve_free(struct serve **sp)
{
	struct serve *s = *sp;

	if (s == NULL)
		return;
	*sp = NULL;
	while (s->clients != NULL)
		doom(s->clients);
	sweep(s);
	loop_later_cancel(s->loop, &s->later);
	loop_io_stop(&s->boss);
	free(s->received);
	free(s);
}

void serve_run(struct serve *s)
{
	if (boss_send(s->boss_fd, BOSS_READY, 0, NULL, -1))
		loop_run(s->loop);
}
