/*
 * The control process: answers the requests of proto/control on run.dir/control.sock. What runs and the outcome of a reload it
 * asks of the supervisor; several clients share one question. What waits to be delivered it asks of the queue process, a question for
 * each client, and answers by itself when that one is not there or says nothing.
 */
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/limits.h"
#include "daemon/child.h"
#include "daemon/parcel.h"
#include "daemon/sandbox.h"
#include "out/log.h"

enum {
	CLIENTS = 16,            /* above: who idles longest gives way */
	REQUEST_OCTETS = 8192,   /* a line: more is an unknown request */
	ANSWER_OCTETS = LIMIT_PARCEL + 1, /* status of all there may be; what the queue process says, and the line end */
	CLIENT_MS = 10000,       /* to send a request, to take an answer */
	QUEUE_MS = 10000,        /* for the queue process to answer a client */
	STANDING_MS = 1000,      /* and to add its part to a status */
};

enum topic { TOPIC_STATUS, TOPIC_RELOAD, TOPICS, TOPIC_QUEUE = TOPICS };

enum client_state {
	CLIENT_FREE,
	CLIENT_READS,  /* awaits its request */
	CLIENT_WAITS,  /* for an answer on its topic */
	CLIENT_WRITES, /* takes its answer */
};

struct client {
	enum client_state state;
	int fd;
	enum topic topic;
	bool asked; /* its question is the one under way */
	uint32_t ticket; /* of its question to the queue process */
	char line[REQUEST_OCTETS];
	size_t line_n;
	struct buf out;
	int64_t due_ms;
};

struct control {
	const struct child_args *args;
	struct client clients[CLIENTS];
	bool open[TOPICS]; /* a question is under way */
	struct buf status; /* its pieces so far */
	json_t *whole;     /* all of them; waits for what the queue process adds */
	struct parcel queue;
	uint32_t tickets;  /* given so far */
	struct {
		uint32_t ticket; /* 0: nothing is awaited */
		int64_t due_ms;
		json_t *part;
	} standing;        /* what the queue process adds to a status */
};

static int64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void client_end(struct client *c)
{
	close(c->fd);
	buf_release(&c->out);
	*c = (struct client){ .state = CLIENT_FREE };
}

static void client_reads(struct client *c)
{
	c->state = CLIENT_READS;
	c->due_ms = clock_ms() + CLIENT_MS;
}

static void client_write(struct client *c)
{
	while (c->out.n) {
		ssize_t n = send(c->fd, c->out.at, c->out.n, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			client_end(c);
			return;
		}
		buf_drop(&c->out, (size_t)n);
	}
	client_reads(c);
}

static void client_say(struct client *c, struct slice line)
{
	buf_init(&c->out, ANSWER_OCTETS);
	buf_slice(&c->out, line);
	buf_octet(&c->out, '\n');
	if (buf_failed(&c->out)) {
		client_end(c);
		return;
	}
	c->state = CLIENT_WRITES;
	c->due_ms = clock_ms() + CLIENT_MS;
	client_write(c);
}

/* Takes the object. */
static void client_answer(struct client *c, json_t *take_answer)
{
	char *text = take_answer ? json_dumps(take_answer, JSON_COMPACT) : NULL;

	json_decref(take_answer);
	client_say(c, text ? slice_str(text) : SLICE_NONE);
	free(text);
}

static json_t *refusal(const char *why)
{
	return json_pack("{s:b, s:s}", "ok", 0, "error", why);
}

/* A question to the queue process; 0: it is not there, or takes none. */
static uint32_t queue_ask(struct control *k, struct slice request)
{
	uint32_t ticket = ++k->tickets ? k->tickets : ++k->tickets;

	return parcel_send(&k->queue, ticket, request) ? ticket : 0;
}

static void client_request(struct control *k, struct client *c)
{
	struct slice request = slice_str(c->line), verb = S("queue ");

	c->asked = false;
	if (strcmp(c->line, "status") == 0) {
		c->topic = TOPIC_STATUS;
	} else if (strcmp(c->line, "reload") == 0) {
		c->topic = TOPIC_RELOAD;
	} else if (slice_starts(request, verb)) {
		c->topic = TOPIC_QUEUE;
		c->ticket = queue_ask(k, slice_of(request.at + verb.n, request.n - verb.n));
		if (!c->ticket) {
			client_answer(c, refusal("no queue process runs now"));
			return;
		}
		c->due_ms = clock_ms() + QUEUE_MS;
	} else {
		client_answer(c, refusal("unknown request; known are: status, reload, queue"));
		return;
	}
	c->state = CLIENT_WAITS;
}

static void client_read(struct control *k, struct client *c)
{
	ssize_t n = recv(c->fd, c->line + c->line_n, sizeof(c->line) - c->line_n, MSG_DONTWAIT);
	char *end;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_end(c);
		return;
	}
	c->line_n += (size_t)n;
	end = memchr(c->line, '\n', c->line_n);
	if (!end && c->line_n < sizeof(c->line))
		return;
	if (end) {
		*end = '\0';
		if (end > c->line && end[-1] == '\r')
			end[-1] = '\0';
	} else {
		c->line[0] = '\0';
	}
	c->line_n = 0;
	client_request(k, c);
}

/* A place for one more: a free one, or that of who idles longest. NULL: all wait for the supervisor. */
static struct client *client_place(struct control *k)
{
	struct client *idle = NULL;

	for (size_t i = 0; i < CLIENTS; i++) {
		struct client *c = &k->clients[i];

		if (c->state == CLIENT_FREE)
			return c;
		if (c->state != CLIENT_WAITS && (!idle || c->due_ms < idle->due_ms))
			idle = c;
	}
	return idle;
}

static void client_accept(struct control *k)
{
	struct client *c = client_place(k);
	int fd = c ? accept4(k->args->control_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC) : -1;

	if (fd < 0)
		return;
	if (c->state != CLIENT_FREE)
		client_end(c);
	c->fd = fd;
	client_reads(c);
}

/* --- the supervisor --- */

/* One question a topic is under way; who comes later waits for the next, since the answer may be older than his wish. */
static void topics_ask(struct control *k)
{
	static const enum boss_kind kinds[TOPICS] = { [TOPIC_STATUS] = BOSS_STATUS, [TOPIC_RELOAD] = BOSS_RELOAD };

	for (enum topic t = 0; t < TOPICS; t++) {
		bool wanted = false;

		for (size_t i = 0; i < CLIENTS && !k->open[t]; i++) {
			struct client *c = &k->clients[i];

			if (c->state == CLIENT_WAITS && c->topic == t)
				c->asked = wanted = true;
		}
		if (wanted)
			k->open[t] = boss_send(k->args->boss_fd, kinds[t], 0, NULL, -1);
		if (wanted && k->open[t] && t == TOPIC_STATUS) {
			k->standing.ticket = queue_ask(k, S("{\"do\":\"destinations\"}"));
			k->standing.due_ms = clock_ms() + STANDING_MS;
		}
	}
}

static void topic_answer(struct control *k, enum topic t, json_t *take_answer)
{
	k->open[t] = false;
	for (size_t i = 0; i < CLIENTS; i++) {
		struct client *c = &k->clients[i];

		if (c->state == CLIENT_WAITS && c->topic == t && c->asked)
			client_answer(c, json_incref(take_answer));
	}
	json_decref(take_answer);
}

static json_t *counters(const struct count_page *page)
{
	json_t *all = json_object();

	for (enum count i = 0; i < COUNTS; i++) {
		int64_t sum = (int64_t)count_sum(page, i);

		/* A gauge is summed while its parts move. */
		json_object_set_new(all, count_name(i), json_integer(count_is_gauge(i) && sum < 0 ? 0 : sum));
	}
	return all;
}

/* Both parts are there, or the queue process has had its time. */
static void status_go_on(struct control *k)
{
	json_t *status = k->whole;

	if (!status || k->standing.ticket)
		return;
	if (!json_object_get(status, "error"))
		json_object_set_new(status, "queue", k->standing.part ? json_incref(k->standing.part) : json_null());
	json_decref(k->standing.part);
	k->standing.part = NULL;
	k->whole = NULL;
	topic_answer(k, TOPIC_STATUS, status);
}

static void status_piece(struct control *k, const struct boss_message *m)
{
	json_t *status;

	buf_str(&k->status, m->text);
	if (m->value)
		return;
	status = buf_failed(&k->status) ? NULL : json_loadb((const char *)k->status.at, k->status.n, 0, NULL);
	buf_clear(&k->status);
	if (status)
		json_object_set_new(status, "counters", counters(k->args->counts));
	json_decref(k->whole);
	k->whole = status ? status : refusal("no memory");
	status_go_on(k);
}

/* --- the queue process --- */

static void standing_end(struct control *k, json_t *take_part)
{
	json_decref(k->standing.part);
	k->standing.part = take_part;
	k->standing.ticket = 0;
	status_go_on(k);
}

/* A text is a line: JSON without a line end in it. */
static void queue_said(struct control *k, uint32_t ticket, struct slice text)
{
	if (ticket == k->standing.ticket) {
		json_t *part = json_loadb((const char *)text.at, text.n, 0, NULL);

		if (json_object_get(part, "error")) {
			json_decref(part);
			part = NULL;
		}
		standing_end(k, part);
		return;
	}
	for (size_t i = 0; i < CLIENTS; i++) {
		struct client *c = &k->clients[i];

		if (c->state == CLIENT_WAITS && c->topic == TOPIC_QUEUE && c->ticket == ticket)
			client_say(c, text);
	}
}

/* Another channel, or none; what was asked over this one has no answer. */
static void queue_set(struct control *k, int fd)
{
	parcel_set(&k->queue, fd);
	for (size_t i = 0; i < CLIENTS; i++) {
		struct client *c = &k->clients[i];

		if (c->state == CLIENT_WAITS && c->topic == TOPIC_QUEUE)
			client_answer(c, refusal("the queue process has ended; ask again"));
	}
	if (k->standing.ticket)
		standing_end(k, NULL);
}

static void queue_hear(struct control *k)
{
	struct slice text;
	uint32_t ticket;
	int got;

	if (k->queue.fd < 0)
		return;
	while ((got = parcel_read(&k->queue, &ticket, &text)) > 0)
		queue_said(k, ticket, text);
	if (got < 0 || !parcel_write(&k->queue))
		queue_set(k, -1);
	if (k->standing.ticket && clock_ms() >= k->standing.due_ms)
		standing_end(k, NULL);
}

/* --- the loop --- */

/* False: leave. */
static bool boss_hear(struct control *k)
{
	struct boss_message m;
	int fd, said;

	while ((said = boss_receive(k->args->boss_fd, &m, &fd)) > 0) {
		switch ((enum boss_kind)m.kind) {
		case BOSS_STOP:
			return false;
		case BOSS_REOPEN:
			log_reopen(fd);
			fd = -1;
			break;
		case BOSS_STATUS:
			status_piece(k, &m);
			break;
		case BOSS_RELOAD:
			topic_answer(k, TOPIC_RELOAD, m.value ? json_pack("{s:b}", "ok", 1) : refusal(m.text));
			break;
		case BOSS_QUEUE:
			queue_set(k, fd);
			fd = -1;
			break;
		default:
			break;
		}
		if (fd >= 0)
			close(fd);
	}
	return said == 0;
}

static void clients_serve(struct control *k, const struct pollfd *fds)
{
	int64_t now_ms = clock_ms();

	for (size_t i = 0; i < CLIENTS; i++) {
		struct client *c = &k->clients[i];

		if (c->state == CLIENT_FREE)
			continue;
		if (c->state == CLIENT_WAITS) {
			if (fds[i].revents & (POLLHUP | POLLERR))
				client_end(c);
			else if (c->topic == TOPIC_QUEUE && now_ms >= c->due_ms)
				client_answer(c, refusal("the queue process does not answer"));
			continue;
		}
		if (fds[i].revents && c->state == CLIENT_READS)
			client_read(k, c);
		else if (fds[i].revents)
			client_write(c);
		else if (now_ms >= c->due_ms)
			client_end(c);
	}
}

static int fds_fill(const struct control *k, struct pollfd *fds)
{
	bool room = false;
	int64_t next = 0;

	for (size_t i = 0; i < CLIENTS; i++) {
		const struct client *c = &k->clients[i];

		fds[i] = (struct pollfd){ .fd = c->state == CLIENT_FREE ? -1 : c->fd,
			.events = c->state == CLIENT_READS ? POLLIN : c->state == CLIENT_WRITES ? POLLOUT : 0 };
		room |= c->state != CLIENT_WAITS;
		if (c->state != CLIENT_FREE && (c->state != CLIENT_WAITS || c->topic == TOPIC_QUEUE) && (next == 0 || c->due_ms < next))
			next = c->due_ms;
	}
	fds[CLIENTS] = (struct pollfd){ .fd = k->args->boss_fd, .events = POLLIN };
	fds[CLIENTS + 1] = (struct pollfd){ .fd = room ? k->args->control_fd : -1, .events = POLLIN };
	fds[CLIENTS + 2] = (struct pollfd){ .fd = k->queue.fd, .events = parcel_waits(&k->queue) ? POLLIN | POLLOUT : POLLIN };
	if (k->standing.ticket && (next == 0 || k->standing.due_ms < next))
		next = k->standing.due_ms;
	if (log_pending() && (next == 0 || clock_ms() + LOG_FLUSH_MS < next))
		next = clock_ms() + LOG_FLUSH_MS;
	if (next == 0)
		return -1;
	next -= clock_ms();
	return next < 0 ? 0 : (int)next;
}

int control_main(const struct child_args *args)
{
	struct control k = { .args = args };
	struct pollfd fds[CLIENTS + 3];
	bool stay;

	buf_init(&k.status, ANSWER_OCTETS);
	parcel_init(&k.queue);
	parcel_set(&k.queue, args->queue_fd);
	if (!sandbox_enter(SANDBOX_CONTROL, args->conf, -1, NULL)) {
		log_note(LOG_LEVEL_ERROR, "start_failed", "sandbox: %s", strerror(errno));
		return EX_OSERR;
	}
	stay = boss_send(args->boss_fd, BOSS_READY, 0, NULL, -1);
	while (stay) {
		if (poll(fds, CLIENTS + 3, fds_fill(&k, fds)) < 0 && errno != EINTR)
			break;
		if (log_pending())
			log_flush();
		stay = boss_hear(&k);
		clients_serve(&k, fds);
		if (fds[CLIENTS + 1].revents)
			client_accept(&k);
		topics_ask(&k);
		/* What was asked in this turn goes out in it. */
		queue_hear(&k);
	}
	for (size_t i = 0; i < CLIENTS; i++)
		if (k.clients[i].state != CLIENT_FREE)
			client_end(&k.clients[i]);
	buf_release(&k.status);
	json_decref(k.whole);
	json_decref(k.standing.part);
	parcel_release(&k.queue);
	return 0;
}
