/*
 * crowd - thousands of SMTP sessions at once, and the next hop they go to, with a ledger at both ends.
 *
 *	crowd sink BODY                                         listens on 127.0.0.1 until its input ends
 *	crowd clients PORT COUNT clear|starttls|implicit BODY   COUNT sessions, each with one message of about BODY octets; 0: none
 *
 * clients says "phase NAME" when all sessions have come so far, and goes on when it reads a line: "idle" (EHLO answered), "content"
 * (all of the message is sent but its last line), "answered". Then "accepted N failed N". The sink says "port N", and at the end
 * "whole N double N wrong N": messages that came as they were sent, came again, came otherwise. A message is made from its number.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	CONNECTING_MAX = 128, /* sessions on their way to "idle" at a time */
	SOURCES = 50,         /* 127.0.1.x */
	LINES = 16384,        /* octets of replies or commands that are not whole */
	EVENTS = 512,
	DEADLINE_MS = 120000, /* without anything happening */
	COUNT_MAX = 100000,
	BODY_MAX = 1 << 20,
};

static int poll_fd;

static void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void fail(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fprintf(stderr, ": %s\n", strerror(errno));
	exit(1);
}

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	fflush(stdout);
}

static void files_raise(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
}

static void watch(int fd, void *arg, unsigned events, bool fresh)
{
	struct epoll_event ev = { .events = events, .data.ptr = arg };

	if (epoll_ctl(poll_fd, fresh ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &ev) != 0)
		fail("epoll_ctl");
}

/* The message of a number: no line of it begins with a dot, and no two messages are alike. */
static char *message_make(unsigned number, size_t octets, size_t *n_out)
{
	char *text = malloc(octets + 400);
	size_t n;

	if (!text)
		fail("malloc");
	n = (size_t)sprintf(text,
	    "From: s%u@a.test\r\nTo: r@c.test\r\nSubject: %u\r\nDate: Thu, 01 Oct 2026 00:00:00 +0000\r\nMessage-ID: <%u@a.test>\r\n\r\n",
	    number, number, number);
	while (n < octets)
		n += (size_t)sprintf(text + n, "%08u %08zu a line of what is told to whom it may concern, and no more\r\n", number, n);
	*n_out = n;
	return text;
}

/* ---- the next hop ---- */

struct hop {
	int fd;
	bool content;
	size_t n, room;
	char *in;
};

static struct {
	unsigned char *seen; /* by number */
	unsigned whole, twice, wrong;
	size_t body;
} ledger;

static void note(const struct hop *h, size_t n)
{
	const char *from = n > 7 ? memmem(h->in, n, "From: s", 7) : NULL;
	unsigned number = from ? (unsigned)strtoul(from + 7, NULL, 10) : COUNT_MAX;
	size_t wanted;
	char *text;

	if (number >= COUNT_MAX) {
		ledger.wrong++;
		return;
	}
	/* what a hop adds stands on top */
	text = message_make(number, ledger.body, &wanted);
	if (wanted > n || memcmp(h->in + n - wanted, text, wanted) != 0)
		ledger.wrong++;
	else if (ledger.seen[number]++)
		ledger.twice++;
	else
		ledger.whole++;
	free(text);
}

static void hop_say(struct hop *h, const char *text)
{
	if (send(h->fd, text, strlen(text), MSG_NOSIGNAL) != (ssize_t)strlen(text))
		shutdown(h->fd, SHUT_RDWR);
}

static void hop_drop(struct hop *h, size_t n)
{
	memmove(h->in, h->in + n, h->n - n);
	h->n -= n;
	if (h->n == 0) {
		free(h->in);
		h->in = NULL;
		h->room = 0;
	}
}

/* One command or one message; false: it is not whole. */
static bool hop_step(struct hop *h)
{
	char *end;

	if (h->n == 0)
		return false;
	if (h->content) {
		end = memmem(h->in, h->n, "\r\n.\r\n", 5);
		if (!end)
			return false;
		note(h, (size_t)(end - h->in) + 2);
		hop_drop(h, (size_t)(end - h->in) + 5);
		h->content = false;
		hop_say(h, "250 2.0.0 taken\r\n");
		return true;
	}
	end = memmem(h->in, h->n, "\r\n", 2);
	if (!end)
		return false;
	if (strncasecmp(h->in, "EHLO", 4) == 0)
		hop_say(h, "250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 0\r\n");
	else if (strncasecmp(h->in, "DATA", 4) == 0)
		hop_say(h, "354 go on\r\n");
	else if (strncasecmp(h->in, "QUIT", 4) == 0)
		hop_say(h, "221 2.0.0 bye\r\n");
	else
		hop_say(h, "250 2.0.0 ok\r\n");
	h->content = strncasecmp(h->in, "DATA", 4) == 0;
	hop_drop(h, (size_t)(end - h->in) + 2);
	return true;
}

static void hop_read(struct hop *h)
{
	ssize_t n;

	if (h->room - h->n < 16384) {
		h->room = h->n + 32768;
		h->in = realloc(h->in, h->room);
		if (!h->in)
			fail("realloc");
	}
	n = recv(h->fd, h->in + h->n, h->room - h->n, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close(h->fd);
		free(h->in);
		free(h);
		return;
	}
	h->n += (size_t)n;
	while (hop_step(h))
		;
}

static int listen_any(unsigned *port_out)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, 4096) != 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &n) != 0)
		fail("listen");
	*port_out = ntohs(at.sin_port);
	return fd;
}

static int sink(void)
{
	static char listening, input;
	struct epoll_event events[EVENTS];
	unsigned port;
	int fd = listen_any(&port);

	ledger.seen = calloc(COUNT_MAX, 1);
	watch(fd, &listening, EPOLLIN, true);
	watch(STDIN_FILENO, &input, EPOLLIN, true);
	say("port %u\n", port);
	for (;;) {
		int n = epoll_wait(poll_fd, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			char octets[16];

			if (events[i].data.ptr == &listening) {
				int one = 1, client = accept(fd, NULL, NULL);
				struct hop *h = client < 0 ? NULL : calloc(1, sizeof(*h));

				if (!h)
					continue;
				setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
				h->fd = client;
				watch(client, h, EPOLLIN, true);
				hop_say(h, "220 sink.test ESMTP\r\n");
			} else if (events[i].data.ptr != &input) {
				hop_read(events[i].data.ptr);
			} else if (read(STDIN_FILENO, octets, sizeof(octets)) <= 0) {
				say("whole %u double %u wrong %u\n", ledger.whole, ledger.twice, ledger.wrong);
				return 0;
			}
		}
	}
}

/* ---- the clients ---- */

enum step {
	STEP_CONNECT,
	STEP_SHAKE,
	STEP_BANNER,   /* awaits 220, and so on */
	STEP_EHLO,
	STEP_STARTTLS,
	STEP_IDLE,
	STEP_MAIL,
	STEP_RCPT,
	STEP_DATA,
	STEP_CONTENT,  /* being sent */
	STEP_HELD,     /* all but the last line is sent */
	STEP_ANSWER,
	STEP_DONE,
	STEP_FAILED,
};

struct client {
	unsigned number;
	int fd;
	SSL *ssl;
	enum step step;
	bool secured;
	size_t n, sent, out_n; /* octets of in; of out that went, and are */
	char *out;
	char in[1024];
};

static struct {
	unsigned port, count;
	bool starttls, implicit;
	size_t body;
	SSL_CTX *tls;
	struct client *all;
	unsigned begun, idle, held, done, failed, accepted;
} crowd;

static const char *const step_names[] = { "connect", "handshake", "banner", "EHLO", "STARTTLS", "idle", "MAIL", "RCPT", "DATA", "content",
	"held", "answer", "done", "failed" };

static void client_lost(struct client *c, const char *why)
{
	if (c->step >= STEP_DONE)
		return;
	if (crowd.failed++ < 10)
		fprintf(stderr, "session %u at %s: %s %.*s\n", c->number, step_names[c->step], why, (int)c->n, c->in);
	c->step = STEP_FAILED;
	SSL_free(c->ssl);
	c->ssl = NULL;
	close(c->fd);
	c->fd = -1;
	free(c->out);
	c->out = NULL;
}

static void client_want(struct client *c, bool writes)
{
	watch(c->fd, c, EPOLLIN | (writes ? EPOLLOUT : 0), false);
}

static void client_push(struct client *c)
{
	while (c->sent < c->out_n) {
		size_t left = c->out_n - c->sent, n = 0;

		if (c->ssl) {
			ERR_clear_error();
			if (SSL_write_ex(c->ssl, c->out + c->sent, left, &n) != 1) {
				int error = SSL_get_error(c->ssl, 0);

				if (error != SSL_ERROR_WANT_WRITE && error != SSL_ERROR_WANT_READ) {
					client_lost(c, "TLS write");
					return;
				}
				n = 0;
			}
		} else {
			ssize_t got = send(c->fd, c->out + c->sent, left, MSG_NOSIGNAL);

			if (got < 0 && errno != EAGAIN) {
				client_lost(c, strerror(errno));
				return;
			}
			n = got < 0 ? 0 : (size_t)got;
		}
		if (n == 0) {
			client_want(c, true);
			return;
		}
		c->sent += n;
	}
	if (!c->out)
		return;
	free(c->out);
	c->out = NULL;
	client_want(c, false);
	if (c->step == STEP_CONTENT) {
		c->step = STEP_HELD;
		crowd.held++;
	}
}

/* Takes the octets. */
static void client_send(struct client *c, char *take_out, size_t n)
{
	c->out = take_out;
	c->out_n = n;
	c->sent = 0;
	client_push(c);
}

static void client_say(struct client *c, enum step step, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void client_say(struct client *c, enum step step, const char *format, ...)
{
	char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vasprintf(&text, format, ap);
	va_end(ap);
	if (n < 0)
		fail("vasprintf");
	c->step = step;
	client_send(c, text, (size_t)n);
}

static void client_shake(struct client *c)
{
	int result;

	if (!c->ssl) {
		c->ssl = SSL_new(crowd.tls);
		if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1)
			fail("SSL_new");
		SSL_set_connect_state(c->ssl);
		c->step = STEP_SHAKE;
	}
	ERR_clear_error();
	result = SSL_do_handshake(c->ssl);
	if (result == 1) {
		c->secured = true;
		client_want(c, false);
		if (crowd.starttls)
			client_say(c, STEP_EHLO, "EHLO t.a.test\r\n");
		else
			c->step = STEP_BANNER;
		return;
	}
	switch (SSL_get_error(c->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		client_want(c, false);
		break;
	case SSL_ERROR_WANT_WRITE:
		client_want(c, true);
		break;
	default:
		client_lost(c, "handshake");
	}
}

static void client_content(struct client *c)
{
	size_t n;
	char *text = message_make(c->number, crowd.body, &n);

	c->step = STEP_CONTENT;
	client_send(c, text, n);
}

/* A whole reply. */
static void client_heard(struct client *c, int code)
{
	static const int wanted[] = { [STEP_BANNER] = 220, [STEP_EHLO] = 250, [STEP_STARTTLS] = 220, [STEP_MAIL] = 250, [STEP_RCPT] = 250,
		[STEP_DATA] = 354, [STEP_ANSWER] = 250 };

	if (c->step > STEP_ANSWER || wanted[c->step] != code) {
		client_lost(c, "said");
		return;
	}
	switch (c->step) {
	case STEP_BANNER:
		client_say(c, STEP_EHLO, "EHLO t.a.test\r\n");
		break;
	case STEP_EHLO:
		if (crowd.starttls && !c->secured) {
			client_say(c, STEP_STARTTLS, "STARTTLS\r\n");
		} else {
			c->step = STEP_IDLE;
			crowd.idle++;
		}
		break;
	case STEP_STARTTLS:
		client_shake(c);
		break;
	case STEP_MAIL:
		client_say(c, STEP_RCPT, "RCPT TO:<r@c.test>\r\n");
		break;
	case STEP_RCPT:
		client_say(c, STEP_DATA, "DATA\r\n");
		break;
	case STEP_DATA:
		client_content(c);
		break;
	default:
		c->step = STEP_DONE;
		(void)epoll_ctl(poll_fd, EPOLL_CTL_DEL, c->fd, NULL);
		crowd.done++;
		crowd.accepted++;
		break;
	}
}

static void client_read(struct client *c)
{
	for (;;) {
		size_t room = sizeof(c->in) - 1 - c->n, n = 0;
		char *end;

		if (c->ssl) {
			ERR_clear_error();
			if (SSL_read_ex(c->ssl, c->in + c->n, room, &n) != 1) {
				int error = SSL_get_error(c->ssl, 0);

				if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
					client_lost(c, "TLS end");
				return;
			}
		} else {
			ssize_t got = recv(c->fd, c->in + c->n, room, 0);

			if (got < 0 && errno == EAGAIN)
				return;
			if (got <= 0) {
				client_lost(c, "end");
				return;
			}
			n = (size_t)got;
		}
		c->n += n;
		c->in[c->n] = '\0';
		while ((end = memmem(c->in, c->n, "\r\n", 2))) {
			size_t line = (size_t)(end - c->in) + 2;
			bool last = line > 5 && c->in[3] == ' ';
			int code = atoi(c->in);

			memmove(c->in, c->in + line, c->n + 1 - line);
			c->n -= line;
			if (last)
				client_heard(c, code);
			if (c->step >= STEP_FAILED || c->step == STEP_SHAKE)
				return;
		}
		if (c->n == sizeof(c->in) - 1) {
			client_lost(c, "too long a line");
			return;
		}
	}
}

static void client_begin(struct client *c, unsigned number)
{
	struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000101 + number % SOURCES) };
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)crowd.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int one = 1;

	c->number = number;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (c->fd < 0)
		fail("socket %u", number);
	setsockopt(c->fd, IPPROTO_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */, &one, sizeof(one));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (bind(c->fd, (struct sockaddr *)&from, sizeof(from)) != 0)
		fail("bind");
	if (connect(c->fd, (struct sockaddr *)&to, sizeof(to)) != 0 && errno != EINPROGRESS)
		fail("connect");
	watch(c->fd, c, EPOLLIN | EPOLLOUT, true);
}

static void on_client(struct client *c, unsigned events)
{
	if (c->step >= STEP_DONE)
		return;
	if (c->step == STEP_CONNECT) {
		int error = 0;
		socklen_t n = sizeof(error);

		getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n);
		if (error) {
			client_lost(c, strerror(error));
			return;
		}
		c->step = STEP_BANNER;
		client_want(c, false);
		if (crowd.implicit)
			client_shake(c);
		return;
	}
	if (c->step == STEP_SHAKE) {
		client_shake(c);
		if (c->step == STEP_SHAKE || c->step == STEP_FAILED)
			return;
	}
	if (events & EPOLLOUT)
		client_push(c);
	if (c->step < STEP_DONE)
		client_read(c);
}

/* One round of what happened; nothing for long is the end. */
static void turn(void)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(poll_fd, events, EVENTS, DEADLINE_MS);

	if (n == 0) {
		errno = ETIMEDOUT;
		fail("%u begun, %u idle, %u held, %u done, %u failed", crowd.begun, crowd.idle, crowd.held, crowd.done, crowd.failed);
	}
	for (int i = 0; i < n; i++)
		on_client(events[i].data.ptr, events[i].events);
}

static bool phase(const char *name)
{
	char line[64];

	say("phase %s\n", name);
	return fgets(line, sizeof(line), stdin) != NULL;
}

static int clients(void)
{
	crowd.all = calloc(crowd.count, sizeof(*crowd.all));
	crowd.tls = SSL_CTX_new(TLS_client_method());
	if (!crowd.all || !crowd.tls)
		fail("no memory");
	SSL_CTX_set_mode(crowd.tls, SSL_MODE_RELEASE_BUFFERS);
	while (crowd.idle + crowd.failed < crowd.count) {
		while (crowd.begun < crowd.count && crowd.begun - crowd.idle - crowd.failed < CONNECTING_MAX) {
			client_begin(&crowd.all[crowd.begun], crowd.begun);
			crowd.begun++;
		}
		turn();
	}
	if (!phase("idle") || crowd.body == 0)
		goto out;
	for (unsigned i = 0; i < crowd.count; i++)
		if (crowd.all[i].step == STEP_IDLE)
			client_say(&crowd.all[i], STEP_MAIL, "MAIL FROM:<s%u@a.test>\r\n", crowd.all[i].number);
	while (crowd.held + crowd.failed < crowd.count)
		turn();
	if (!phase("content"))
		goto out;
	for (unsigned i = 0; i < crowd.count; i++)
		if (crowd.all[i].step == STEP_HELD)
			client_say(&crowd.all[i], STEP_ANSWER, ".\r\n");
	while (crowd.done + crowd.failed < crowd.count)
		turn();
	phase("answered");
out:
	say("accepted %u failed %u\n", crowd.accepted, crowd.failed);
	return 0;
}

int main(int argc, char **argv)
{
	files_raise();
	poll_fd = epoll_create1(0);
	if (argc == 3 && strcmp(argv[1], "sink") == 0) {
		ledger.body = (size_t)strtoul(argv[2], NULL, 10);
		return ledger.body <= BODY_MAX ? sink() : 64;
	}
	if (argc == 6 && strcmp(argv[1], "clients") == 0) {
		crowd.port = (unsigned)strtoul(argv[2], NULL, 10);
		crowd.count = (unsigned)strtoul(argv[3], NULL, 10);
		crowd.starttls = strcmp(argv[4], "starttls") == 0;
		crowd.implicit = strcmp(argv[4], "implicit") == 0;
		crowd.body = (size_t)strtoul(argv[5], NULL, 10);
		if (crowd.count < COUNT_MAX && crowd.body <= BODY_MAX)
			return clients();
	}
	fputs("usage: crowd sink BODY | crowd clients PORT COUNT clear|starttls|implicit BODY\n", stderr);
	return 64;
}
