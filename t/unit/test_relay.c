/* A worker's relay between a client and a next hop that the test plays, on a clock that it moves: who waits how long for whom. */
#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "out/log.h"
#include "relay/relay.h"

enum { TURNS_MAX = 200000, PEERS = 128, FARS_MAX = 3 };

struct peer {
	int fd;         /* -1: closed by the test */
	bool ended;     /* by the relay */
	struct buf got; /* not looked at yet */
};

static struct world {
	struct loop *loop;
	struct ask *ask;
	struct conf conf;
	struct conf_listener listener;
	struct conf_address address;
	struct conf_next_hop next_hops[FARS_MAX];
	struct conf_route route;
	size_t route_hops[FARS_MAX];
	struct count_page *counts;
	struct relay *relay;
	int door, far_doors[FARS_MAX]; /* where clients connect; where the next hops listen */
	struct sockaddr_in at;
	int log;
	struct peer client[PEERS], far[PEERS]; /* the far ones in the order they were opened; the first are the probes */
	size_t clients, fars;
} w;

static int listening(struct sockaddr_in *at)
{
	socklen_t n = sizeof(*at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), small = 65536;

	*at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	assert_true(fd >= 0 && bind(fd, (struct sockaddr *)at, n) == 0 && listen(fd, PEERS) == 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)at, &n), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	return fd;
}

static void stop(void *arg)
{
	loop_stop(arg);
}

static void pump(struct peer *p)
{
	char octets[4096];
	ssize_t n;

	while (p->fd >= 0 && (n = recv(p->fd, octets, sizeof(octets), MSG_DONTWAIT)) >= 0) {
		if (n == 0) {
			p->ended = true;
			return;
		}
		buf_add(&p->got, octets, (size_t)n);
	}
	p->ended = p->ended || (p->fd >= 0 && errno != EAGAIN);
}

static void turn(void)
{
	struct loop_later last = { 0 };
	int fd;

	loop_later(w.loop, &last, stop, w.loop);
	loop_run(w.loop);
	for (size_t i = 0; i < w.listener.next_hop_count; i++)
		while (w.fars < PEERS && (fd = accept4(w.far_doors[i], NULL, NULL, SOCK_CLOEXEC)) >= 0) {
			int one = 1;

			assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), 0);
			w.far[w.fars] = (struct peer){ .fd = fd };
			buf_init(&w.far[w.fars++].got, 1 << 24);
		}
	for (size_t i = 0; i < w.fars; i++)
		pump(&w.far[i]);
}

/* Nothing more comes of what was said. */
static void settle(void)
{
	for (int i = 0; i < 200; i++) {
		turn();
		sched_yield();
	}
}

static void later(int seconds)
{
	settle();
	loop_clock_advance(w.loop, (int64_t)seconds * 1000);
	settle();
}

static void said(struct peer *p, const char *text)
{
	ssize_t n = send(p->fd, text, strlen(text), MSG_NOSIGNAL);

	assert_int_equal(n, (ssize_t)strlen(text));
}

/* Waits for `text` and forgets what came up to its end. */
#define WANT(p, text) want((p), (text), __LINE__)
static void want(struct peer *p, const char *text, int line)
{
	size_t n = strlen(text);

	for (int i = 0; i < TURNS_MAX; i++) {
		const unsigned char *found;

		turn();
		pump(p);
		found = p->got.n ? memmem(p->got.at, p->got.n, text, n) : NULL;
		if (found) {
			buf_drop(&p->got, (size_t)(found - p->got.at) + n);
			return;
		}
		if (p->ended)
			break;
		sched_yield();
	}
	fail_msg("line %d: wanted \"%s\", got \"%.*s\"%s", line, text, SLICE_FMT(buf_get(&p->got)), p->ended ? " and the end" : "");
}

#define WANT_END(p) want_end((p), __LINE__)
static void want_end(struct peer *p, int line)
{
	for (int i = 0; i < TURNS_MAX && !p->ended; i++) {
		turn();
		pump(p);
		sched_yield();
	}
	if (!p->ended)
		fail_msg("line %d: not closed", line);
}

static void want_silence(struct peer *p)
{
	settle();
	pump(p);
	WANT_SLICE(buf_get(&p->got), SLICE_NONE);
	assert_false(p->ended);
}

static struct peer *far_peer(size_t i)
{
	for (int n = 0; n < TURNS_MAX && w.fars <= i; n++)
		turn();
	assert_true(w.fars > i);
	return &w.far[i];
}

static void greet(struct peer *p)
{
	said(p, "220 far.test\r\n");
	WANT(p, "EHLO mx.c.test\r\n");
	said(p, "250-far.test\r\n250 PIPELINING\r\n");
}

static void reset(struct peer *p)
{
	struct linger now = { 1, 0 };

	assert_int_equal(setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	close(p->fd);
	p->fd = -1;
}

static bool logged(const char *text)
{
	struct slice all;
	off_t n = lseek(w.log, 0, SEEK_END);
	bool found = false;
	void *map;

	if (n == 0)
		return false;
	map = mmap(NULL, (size_t)n, PROT_READ, MAP_PRIVATE, w.log, 0);
	assert_true(map != MAP_FAILED);
	all = slice_of(map, (size_t)n);
	found = memmem(all.at, all.n, text, strlen(text)) != NULL;
	munmap(map, (size_t)n);
	return found;
}

/* room: octets the socket takes for it, 0: many. */
static struct peer *connected_with(int room)
{
	struct peer *p = &w.client[w.clients++];

	*p = (struct peer){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	buf_init(&p->got, 1 << 24);
	if (room)
		assert_int_equal(setsockopt(p->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)), 0);
	assert_int_equal(connect(p->fd, (struct sockaddr *)&w.at, sizeof(w.at)), 0);
	return p;
}

static struct peer *connected(void)
{
	return connected_with(0);
}

/* Greeted, and said who it is. */
static struct peer *client(void)
{
	struct peer *p = connected();

	WANT(p, "220 mx.c.test ESMTP\r\n");
	said(p, "EHLO t.a.test\r\n");
	WANT(p, "250 ");
	WANT(p, "\r\n");
	return p;
}

static void next_hop(size_t i)
{
	static const char *const names[FARS_MAX] = { "far", "further", "furthest" };
	struct sockaddr_in at;

	w.far_doors[i] = listening(&at);
	w.next_hops[i] = (struct conf_next_hop){ .address = { .sa_len = sizeof(at), .text = names[i] } };
	memcpy(&w.next_hops[i].address.sa, &at, sizeof(at));
	w.route_hops[i] = i;
}

/* MUTE: they have not greeted their probes. ROUND: the next hop is where clients connect. */
enum next_hops { GREETED, MUTE, ROUND };

static int set_up_with(size_t next_hops, enum next_hops how)
{
	char log_name[32];

	w = (struct world){ .loop = loop_new() };
	w.door = listening(&w.at);
	w.log = memfd_create("log", MFD_CLOEXEC);
	w.counts = count_page_new();
	assert_true(w.loop && w.counts && w.log >= 0);
	loop_clock_advance(w.loop, 0); /* and no time passes but what a test says */
	snprintf(log_name, sizeof(log_name), "/proc/self/fd/%d", w.log);
	w.ask = ask_new(w.loop, -1, -1, 1000, 10);
	w.listener = (struct conf_listener){ .name = "main", .service = SERVICE_PASS, .address_count = 1 };
	w.address = (struct conf_address){ .sa_len = sizeof(w.at), .text = "door" };
	memcpy(&w.address.sa, &w.at, sizeof(w.at));
	w.listener.addresses = &w.address;
	for (size_t i = 0; i < next_hops; i++)
		next_hop(i);
	if (how == ROUND)
		memcpy(&w.next_hops[0].address.sa, &w.at, sizeof(w.at));
	w.listener.next_hops = w.next_hops;
	w.listener.next_hop_count = next_hops;
	w.listener.routes = &w.route;
	w.listener.route_count = 1;
	w.route = (struct conf_route){ w.route_hops, next_hops };
	w.conf = (struct conf){ .hostname = "mx.c.test", .workers = 1, .listeners = &w.listener, .listener_count = 1,
		.limits = { .message_octets = 1 << 20, .header_octets = 65536, .header_fields = 100, .sessions = 1000,
		    .sessions_per_client = 1000, .memory_octets = 1 << 24, .body_memory_octets = 1 << 20 },
		.timeouts = { .command_ms = 300000, .content_ms = 180000, .crowded_ms = 10000 }, .dkim2 = { .draft = 9, .now = -1 },
		.pool = { .idle_ms = next_hops > 1 ? 3600000 : 10000, .idle_max = 100, .max = 1000, .connect_ms = 30000 } };
	w.conf.log.to = LOG_FILE;
	w.conf.log.file = log_name;
	assert_true(log_open(&w.conf, false));
	log_start(&w.conf, "worker", 0);
	w.relay = relay_new(w.loop, &w.conf, w.ask, w.counts, 0, &w.door, 1, open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	assert_non_null(w.relay);
	for (size_t i = 0; i < next_hops && how == GREETED; i++)
		greet(far_peer(i));
	settle();
	return 0;
}

static int set_up(void **state)
{
	(void)state;
	return set_up_with(1, GREETED);
}

static int set_up_round(void **state)
{
	(void)state;
	return set_up_with(1, ROUND);
}

static int set_up_three(void **state)
{
	(void)state;
	return set_up_with(3, GREETED);
}

static int set_up_mute(void **state)
{
	(void)state;
	return set_up_with(2, MUTE);
}

static void done(void *arg)
{
	*(bool *)arg = true;
}

/* Every session ends, and nothing is left behind. */
static int tear_down(void **state)
{
	bool empty = false;

	(void)state;
	for (size_t i = 0; i < w.clients; i++)
		if (w.client[i].fd >= 0)
			reset(&w.client[i]);
	settle();
	for (size_t i = 0; i < w.fars; i++)
		if (w.far[i].fd >= 0)
			reset(&w.far[i]);
	settle();
	relay_drain(w.relay, 0, done, &empty);
	settle();
	assert_true(empty);
	assert_int_equal(count_sum(w.counts, COUNT_SESSIONS_OPEN), 0);
	assert_int_equal(count_sum(w.counts, COUNT_BODY_MEMORY), 0);
	assert_int_equal(w.relay->budget.held_octets, 0);
	for (size_t i = 0; i < w.listener.next_hop_count; i++)
		next_hop_free(&w.relay->listeners[0].next_hops[i]);
	free(w.relay->listeners[0].next_hops);
	assert_int_equal(count_sum(w.counts, COUNT_NEXT_HOP_OPEN), 0);
	for (size_t i = 0; i < w.clients; i++)
		buf_release(&w.client[i].got);
	for (size_t i = 0; i < w.fars; i++)
		buf_release(&w.far[i].got);
	close(w.relay->budget.spool_fd);
	loop_timer_release(&w.relay->drain);
	loop_timer_release(&w.relay->probes);
	free(w.relay->listeners[0].sockets);
	free(w.relay->listeners);
	free(w.relay);
	ask_free(&w.ask);
	loop_free(&w.loop);
	munmap(w.counts, sizeof(*w.counts));
	for (size_t i = 0; i < w.listener.next_hop_count; i++)
		close(w.far_doors[i]);
	close(w.log);
	return 0;
}

/* A transaction up to its 354; the next hop has the envelope. */
static void to_data(struct peer *c, struct peer *far)
{
	said(c, "MAIL FROM:<s@a.test>\r\n");
	WANT(far, "MAIL FROM:<s@a.test>\r\n");
	said(far, "250 2.1.0 ok\r\n");
	WANT(c, "250 2.1.0 ok\r\n");
	said(c, "RCPT TO:<r1@c.test>\r\n");
	WANT(far, "RCPT TO:<r1@c.test>\r\n");
	said(far, "250 2.1.5 ok\r\n");
	WANT(c, "250 2.1.5 ok\r\n");
	said(c, "DATA\r\n");
	WANT(c, "354 ");
	WANT(c, "\r\n");
}

static const char message[] = "Subject: t\r\n\r\nhello\r\n.\r\n";

/* The next hop has all of it. */
static void to_final(struct peer *c, struct peer *far)
{
	to_data(c, far);
	said(c, message);
	WANT(far, "DATA\r\n");
	said(far, "354 go on\r\n");
	WANT(far, message);
}

static void each_command_gets_five_minutes(void **state)
{
	struct peer *c = client();

	(void)state;
	later(290);
	said(c, "NOOP\r\n");
	WANT(c, "250 2.0.0 ok\r\n");
	later(290);
	said(c, "RSET\r\n");
	WANT(c, "250 2.0.0 ok\r\n");
	later(299);
	want_silence(c);
	later(2);
	WANT(c, "421 4.4.2 ");
	WANT_END(c);
	assert_true(logged("client_timeout"));
}

static void the_refused_do_not_fill_the_log(void **state)
{
	(void)state;
	(void)client();
	w.conf.limits.sessions = 1;
	for (int i = 0; i < 5; i++) {
		struct peer *c = connected();

		WANT(c, "421 4.7.0 ");
		WANT_END(c);
		assert_true(i == 0 || !logged("count=2"));
	}
	assert_true(logged("session_limit"));
	later(1);
	WANT_END(connected());
	assert_true(logged("count=5"));
}

static void a_proxy_header_gets_five_seconds(void **state)
{
	struct cidr here = { .octets = { [10] = 0xff, 0xff, 127 }, .bits = 104 };
	struct peer *c;

	(void)state;
	w.listener.proxy_from = &here;
	w.listener.proxy_from_count = 1;
	c = connected();
	later(2);
	said(c, "PROXY TCP4 ");
	later(2);
	want_silence(c);
	later(2);
	WANT_END(c);
	WANT_SLICE(buf_get(&c->got), SLICE_NONE);
	assert_true(logged("proxy_header_bad"));
	assert_int_equal(count_sum(w.counts, COUNT_SESSIONS_OPEN), 0);
}

/* MAIL from a client, on a new connection to a next hop that wants to know the client. */
static struct peer *introduced(struct peer *c, size_t far)
{
	struct peer *hop;

	said(c, "MAIL FROM:<s@a.test>\r\n");
	hop = far_peer(far);
	said(hop, "220 far.test\r\n");
	WANT(hop, "EHLO mx.c.test\r\n");
	said(hop, "250-far.test\r\n250 XCLIENT ADDR\r\n");
	WANT(hop, "XCLIENT ADDR=127.0.0.1\r\n");
	return hop;
}

static void who_leaves_while_the_next_hop_hears_of_him_leaves_no_connection(void **state)
{
	struct peer *c, *far;

	(void)state;
	w.listener.next_hop_client = NEXT_HOP_CLIENT_XCLIENT;
	reset(far_peer(0));
	settle();
	c = client();
	far = introduced(c, 1);
	reset(c);
	WANT_END(far);
}

static void a_connection_that_hears_of_one_client_only_is_not_given_another(void **state)
{
	struct peer *c, *far;

	(void)state;
	w.listener.next_hop_client = NEXT_HOP_CLIENT_XCLIENT;
	reset(far_peer(0));
	settle();
	c = client();
	far = introduced(c, 1);
	said(far, "220 far.test\r\n");
	WANT(far, "EHLO t.a.test\r\n");
	said(far, "250 far.test\r\n");
	WANT(far, "MAIL FROM:<s@a.test>\r\n");
	said(far, "250 2.1.0 ok\r\n");
	WANT(c, "250 2.1.0 ok\r\n");
	for (int i = 0; i < 2; i++) { /* the same one may have it again */
		said(c, "RSET\r\n");
		WANT(c, "250 2.0.0 ok\r\n");
		WANT(far, "RSET\r\n");
		said(far, "250 2.0.0 ok\r\n");
		settle();
		if (i)
			break;
		said(c, "MAIL FROM:<s@a.test>\r\n");
		WANT(far, "MAIL FROM:<s@a.test>\r\n");
		said(far, "250 2.1.0 ok\r\n");
		WANT(c, "250 2.1.0 ok\r\n");
	}
	said(c, "EHLO u.a.test\r\n");
	WANT(c, "250 ");
	WANT(c, "\r\n");
	(void)introduced(c, 2);
	WANT_END(far);
}

static void a_command_in_pieces_gets_no_more(void **state)
{
	struct peer *c = client();

	(void)state;
	later(200);
	said(c, "MAIL FR");
	later(99);
	said(c, "OM:");
	want_silence(c);
	later(2);
	WANT(c, "421 4.4.2 ");
	WANT_END(c);
}

/* Cut off in the middle of what it says. */
static struct peer *cut_off(void)
{
	struct peer *c = client();

	for (int i = 0; i < LIMIT_BAD_COMMANDS + 1; i++)
		said(c, "XYZZY\r\n");
	WANT(c, "421 4.7.0 ");
	WANT_END(c);
	return c;
}

/* Sends until the relay has closed; the octets it took. */
static size_t talk_on(struct peer *c, size_t most)
{
	static const char junk[65536];
	size_t n = 0;

	while (n < most) {
		ssize_t some = send(c->fd, junk, sizeof(junk), MSG_NOSIGNAL | MSG_DONTWAIT);

		if (some < 0 && errno != EAGAIN)
			break;
		n += some > 0 ? (size_t)some : 0;
		turn();
	}
	settle();
	return n;
}

static void the_last_word_is_not_taken_by_a_reset(void **state)
{
	struct peer *c = cut_off();
	int error = -1;
	socklen_t n = sizeof(error);

	(void)state;
	assert_int_equal(w.relay->pair_count, 1);
	assert_int_equal(w.relay->lingering, 1);
	assert_int_equal(count_sum(w.counts, COUNT_SESSIONS_OPEN), 0); /* its place is free */
	assert_int_equal(talk_on(c, 1 << 20), 1 << 20);
	assert_int_equal(getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n), 0);
	assert_int_equal(error, 0);
	assert_int_equal(w.relay->pair_count, 1);
	close(c->fd);
	c->fd = -1;
	settle();
	assert_int_equal(w.relay->pair_count, 0);
	assert_int_equal(w.relay->lingering, 0);
}

static void nobody_lingers_for_long(void **state)
{
	struct peer *c = cut_off();

	(void)state;
	(void)talk_on(c, LIMIT_LINGER_OCTETS * 4);
	assert_int_equal(w.relay->pair_count, 0);
	(void)cut_off();
	assert_int_equal(w.relay->lingering, 1);
	later(LIMIT_LINGER_S);
	assert_int_equal(w.relay->pair_count, 0);
	assert_int_equal(w.relay->lingering, 0);
	/* nor after a QUIT that was all */
	c = client();
	said(c, "QUIT\r\n");
	WANT(c, "221 ");
	WANT_END(c);
	settle();
	assert_int_equal(w.relay->pair_count, 0);
	c = client();
	said(c, "QUIT\r\nNOOP\r\n");
	WANT(c, "221 ");
	WANT_END(c);
	assert_int_equal(w.relay->lingering, 1);
}

static void content_in_drops_is_too_slow(void **state)
{
	struct peer *c = client();

	(void)state;
	to_data(c, far_peer(0));
	later(100);
	said(c, "Subject: t\r\n");
	later(79);
	said(c, "X: y\r\n");
	want_silence(c);
	later(2);
	WANT(c, "421 4.4.2 ");
	WANT_END(c);
	assert_true(logged("client_too_slow"));
	WANT(far_peer(0), "RSET\r\n");
}

/* A chunk now and then is no more than an octet now and then. */
static void chunks_in_drops_are_too_slow(void **state)
{
	struct peer *c = client(), *far = far_peer(0);

	(void)state;
	said(c, "MAIL FROM:<s@a.test>\r\n");
	WANT(far, "MAIL FROM:<s@a.test>\r\n");
	said(far, "250 2.1.0 ok\r\n");
	WANT(c, "250 2.1.0 ");
	said(c, "RCPT TO:<r@c.test>\r\n");
	WANT(far, "RCPT TO:<r@c.test>\r\n");
	said(far, "250 2.1.5 ok\r\n");
	WANT(c, "250 2.1.5 ");
	said(c, "BDAT 1\r\nx");
	WANT(c, "250 2.0.0 ");
	later(100);
	said(c, "BDAT 1\r\nx");
	WANT(c, "250 2.0.0 ");
	later(70);
	said(c, "BDAT 1\r\nx");
	WANT(c, "250 2.0.0 ");
	later(12);
	WANT(c, "421 4.4.2 ");
	WANT_END(c);
	assert_true(logged("client_too_slow"));
}

/* What is refused takes as long to come as what is not, and its client is to hear why. */
static void refused_content_has_its_time(void **state)
{
	static char block[65536 + 1];
	struct peer *c = client();

	(void)state;
	memset(block, 'x', sizeof(block) - 1);
	to_data(c, far_peer(0));
	said(c, "Subject: t\r\n\r\n");
	for (int i = 0; i < 20; i++) { /* above message-size after sixteen */
		said(c, block);
		later(150);
	}
	said(c, "\r\n.\r\n");
	WANT(c, "552 5.3.4 ");
	said(c, "NOOP\r\n");
	WANT(c, "250 ");
}

static void a_crowd_has_less_time(void **state)
{
	struct peer *old = client(), *c = NULL;

	(void)state;
	w.relay->crowd = 3;
	later(50);
	c = client();
	later(50);
	want_silence(old);
	(void)client();
	later(8);
	want_silence(old);
	said(c, "NOOP\r\n"); /* who speaks may go on */
	WANT(c, "250 2.0.0 ok\r\n");
	later(4);
	WANT(old, "421 4.4.2 ");
	want_silence(c);
}

static void a_next_hop_silent_at_mail_is_asked_once(void **state)
{
	struct peer *c = client();

	(void)state;
	said(c, "MAIL FROM:<s@a.test>\r\n");
	WANT(far_peer(0), "MAIL FROM:<s@a.test>\r\n");
	later(200);
	/* asking for more gives it no more time */
	said(c, "RCPT TO:<r1@c.test>\r\n");
	WANT(far_peer(0), "RCPT TO:<r1@c.test>\r\n");
	later(99);
	want_silence(c);
	later(2);
	WANT(c, "451 4.4.2 ");
	WANT(c, "503 5.5.1 ");
	assert_int_equal(w.fars, 1);
	assert_true(logged("up_timeout"));
	said(c, "NOOP\r\n");
	WANT(c, "250 2.0.0 ok\r\n");
}

static void ours_before_the_dot_is_cut(void **state)
{
	struct peer *c = client(), *again;

	(void)state;
	to_data(c, far_peer(0));
	reset(far_peer(0));
	settle();
	said(c, message);
	again = far_peer(1);
	greet(again);
	WANT(again, "MAIL FROM:<s@a.test>\r\n");
	later(119);
	want_silence(c);
	later(2);
	WANT(c, "451 4.4.2 ");
	WANT_END(again);
	assert_true(logged("final_slow"));
	assert_false(logged("duplicate=possible"));
	later(299);
	said(c, "NOOP\r\n");
	WANT(c, "250 2.0.0 ok\r\n");
}

static void an_answer_after_nine_minutes_is_in_time(void **state)
{
	struct peer *c = client();

	(void)state;
	to_final(c, far_peer(0));
	later(540);
	said(far_peer(0), "250 2.0.0 taken\r\n");
	WANT(c, "250 2.0.0 taken\r\n");
	later(299);
	said(c, "NOOP\r\n");
	WANT(c, "250 2.0.0 ok\r\n");
}

static void a_final_answer_too_late_may_be_a_duplicate(void **state)
{
	struct peer *c = client();

	(void)state;
	to_final(c, far_peer(0));
	later(569);
	want_silence(c);
	later(2);
	WANT(c, "451 4.4.2 ");
	assert_true(logged("final_slow"));
	assert_true(logged("duplicate=possible"));
	WANT_END(far_peer(0));
}

static void content_for_a_client_that_left_is_not_awaited(void **state)
{
	struct peer *c = client();

	(void)state;
	to_data(c, far_peer(0));
	said(c, message);
	WANT(far_peer(0), "DATA\r\n");
	reset(c);
	settle();
	said(far_peer(0), "354 go on\r\n");
	WANT_END(far_peer(0));
}

static void the_answer_after_the_client_left_is_logged(void **state)
{
	struct peer *c = client();

	(void)state;
	to_final(c, far_peer(0));
	reset(c);
	settle();
	assert_true(logged("client_gone_after_dot"));
	assert_false(logged(" transaction "));
	assert_int_equal(count_sum(w.counts, COUNT_SESSIONS_OPEN), 1);
	said(far_peer(0), "250 2.0.0 taken\r\n");
	settle();
	assert_true(logged("outcome=accepted"));
	assert_int_equal(count_sum(w.counts, COUNT_SESSIONS_OPEN), 0);
}

static void a_black_hole_holds_few_connections(void **state)
{
	(void)state;
	reset(far_peer(0));
	settle();
	for (size_t i = 0; i < 100; i++) {
		struct peer *c = client();

		said(c, "MAIL FROM:<s@a.test>\r\n");
		far_peer(i + 1);
		reset(c);
		settle();
	}
	assert_int_equal(w.fars, 101);
	assert_true(count_sum(w.counts, COUNT_NEXT_HOP_OPEN) <= 33);
	later(31);
	assert_true(count_sum(w.counts, COUNT_NEXT_HOP_OPEN) <= 1);
}

static void replies_not_read_stop_reading_and_start_it_again(void **state)
{
	enum { RCPTS = 900 };
	struct peer *c = connected_with(65536), *far = far_peer(0);
	size_t answered = 0;
	bool stopped = false;
	char told[1500] = "", line[64];

	(void)state;
	WANT(c, "220 mx.c.test ESMTP\r\n");
	said(c, "EHLO t.a.test\r\nMAIL FROM:<s@a.test>\r\n");
	WANT(far, "MAIL FROM:<s@a.test>\r\n");
	said(far, "250 2.1.0 ok\r\n");
	memset(told, 'x', sizeof(told) - 1);
	for (size_t k = 0; k + 100 < sizeof(told) - 1; k += 100)
		memcpy(told + k, "\r\n250-", 6);
	memcpy(told, "250-", 4);
	memcpy(told + sizeof(told) - 9, "\r\n250 x", 7);
	memcpy(told + sizeof(told) - 3, "\r\n", 3);
	WANT(c, "250 2.1.0 ok\r\n");
	/* The client says all it can and reads nothing, until nothing moves; then it reads. The next hop answers what reaches it. */
	for (size_t i = 0, still = 0, asked = 0; i < TURNS_MAX && answered < RCPTS; i++, still++) {
		struct slice got;
		int n = snprintf(line, sizeof(line), "RCPT TO:<r%zu@c.test>\r\n", asked);

		if (asked < RCPTS && send(c->fd, line, (size_t)n, MSG_DONTWAIT) == n)
			asked++;
		turn();
		if (still > 20000) {
			stopped = true;
			pump(c);
		}
		got = buf_get(&far->got);
		snprintf(line, sizeof(line), "RCPT TO:<r%zu@c.test>\r\n", answered);
		if (got.n && memmem(got.at, got.n, line, strlen(line))) {
			said(far, told);
			answered++;
			still = stopped ? still : 0;
		}
	}
	assert_true(stopped);
	assert_int_equal(answered, RCPTS);
	said(c, "VRFY x\r\n");
	WANT(c, "252 2.5.2 ");
}

/* The 220 to STARTTLS is stuck behind other answers that the client does not take. */
static void who_does_not_take_the_word_to_begin_tls_is_left(void **state)
{
	enum { HELLOS = LIMIT_IDLE_COMMANDS - 10 };
	struct peer *c;
	int small = 2048;

	(void)state;
	w.listener.tls.mode = TLS_MAY;
	w.listener.tls.timeout_ms = 30000;
	c = connected_with(small);
	WANT(c, "220 mx.c.test ESMTP\r\n");
	assert_int_equal(setsockopt(w.relay->pairs->conn.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	for (int i = 0; i < HELLOS; i++)
		said(c, "EHLO t.a.test\r\n");
	said(c, "STARTTLS\r\n");
	settle();
	assert_true(w.relay->pairs->shaking && !w.relay->pairs->conn.tls);
	later(31);
	assert_true(logged("client_not_reading"));
	later(31);
	assert_int_equal(w.relay->pair_count, 0);
}

static void no_descriptor_costs_a_message_not_a_session(void **state)
{
	struct peer *c = client(), *waiting;
	struct rlimit was, none;
	char line[1000];
	int next;

	(void)state;
	w.conf.limits.body_memory_octets = 4096;
	to_data(c, far_peer(0));
	waiting = connected();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = was;
	next = dup(w.door);
	assert_true(next >= 0);
	close(next);
	none.rlim_cur = (rlim_t)next;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	memset(line, 'x', sizeof(line) - 3);
	memcpy(line + sizeof(line) - 3, "\r\n", 3);
	said(c, "Subject: t\r\n\r\n");
	for (int i = 0; i < 10; i++)
		said(c, line);
	said(c, ".\r\n");
	WANT(c, "451 4.3.0 ");
	want_silence(waiting);
	assert_true(logged("fd_limit level=warning name=accept"));
	assert_true(logged("fd_limit level=warning tx="));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	later(1);
	WANT(waiting, "220 mx.c.test ESMTP\r\n");
	said(c, "NOOP\r\n");
	WANT(c, "250 2.0.0 ok\r\n");
}

static void the_last_descriptors_are_for_sessions_under_way(void **state)
{
	struct peer *c = client(), *late;

	(void)state;
	w.relay->fd_max = w.relay->pairs->conn.fd;
	late = connected();
	WANT(late, "421 4.7.0 ");
	WANT_END(late);
	assert_true(logged("fd_limit"));
	to_final(c, far_peer(0));
	said(far_peer(0), "250 2.0.0 taken\r\n");
	WANT(c, "250 2.0.0 taken\r\n");
}

static void one_silent_at_mail_is_left_while_there_is_another(void **state)
{
	struct peer *c = client();

	(void)state;
	said(c, "MAIL FROM:<s@a.test>\r\n");
	WANT(far_peer(0), "MAIL FROM:<s@a.test>\r\n");
	later(LIMIT_MAIL_WAIT_S - 1);
	want_silence(c);
	later(2);
	WANT(far_peer(1), "MAIL FROM:<s@a.test>\r\n");
	WANT_END(far_peer(0));
	said(far_peer(1), "250 2.1.0 ok\r\n");
	WANT(c, "250 2.1.0 ok\r\n");
	assert_true(logged("next_hop_failover"));
	/* from now on it has the time that the protocol gives it */
	said(c, "RCPT TO:<r1@c.test>\r\n");
	WANT(far_peer(1), "RCPT TO:<r1@c.test>\r\n");
	later(200);
	want_silence(c);
	said(far_peer(1), "250 2.1.5 ok\r\n");
	WANT(c, "250 2.1.5 ok\r\n");
}

/* However long a connection may take. */
static void one_silent_from_the_start_is_left_while_there_is_another(void **state)
{
	struct peer *c = client();

	(void)state;
	w.conf.pool.connect_ms = 300000;
	reset(far_peer(0));
	settle();
	said(c, "MAIL FROM:<s@a.test>\r\n");
	(void)far_peer(3);
	later(LIMIT_MAIL_WAIT_S - 1);
	want_silence(c);
	later(2);
	WANT(far_peer(1), "MAIL FROM:<s@a.test>\r\n");
	said(far_peer(1), "250 2.1.0 ok\r\n");
	WANT(c, "250 2.1.0 ok\r\n");
}

static void all_of_them_together_have_a_minute(void **state)
{
	struct peer *c = client();

	(void)state;
	said(c, "MAIL FROM:<s@a.test>\r\n");
	for (size_t i = 0; i < 2; i++) {
		WANT(far_peer(i), "MAIL FROM:<s@a.test>\r\n");
		later(LIMIT_MAIL_WAIT_S + 1);
	}
	WANT(c, "451 4.4.1 ");
	assert_true(logged("2 next hops failed"));
}

/* Silent at MAIL it is down, with a probe a second later, and another twice as long after that. */
static void one_that_failed_is_probed_with_growing_pauses(void **state)
{
	struct peer *c = client();
	size_t before;

	(void)state;
	said(c, "MAIL FROM:<s@a.test>\r\n");
	WANT(far_peer(0), "MAIL FROM:<s@a.test>\r\n");
	reset(far_peer(0));
	reset(far_peer(3)); /* a new one, in the place of one that may just have been old */
	WANT(far_peer(1), "MAIL FROM:<s@a.test>\r\n");
	said(far_peer(1), "250 2.1.0 ok\r\n");
	WANT(c, "250 2.1.0 ok\r\n");
	for (int pause = 1; pause <= 32; pause *= 2) {
		before = w.fars;
		later(pause > 30 ? 29 : pause - 1);
		assert_int_equal(w.fars, before);
		later(1);
		reset(far_peer(before));
	}
	before = w.fars;
	later(30);
	greet(far_peer(before));
	settle();
	assert_true(logged("next_hop_up"));
	said(c, "RSET\r\n");
	WANT(c, "250 ");
	said(c, "MAIL FROM:<s2@a.test>\r\n");
	WANT(far_peer(before), "MAIL FROM:<s2@a.test>\r\n");
}

static void a_connection_is_waited_for(void **state)
{
	struct peer *c[3];

	(void)state;
	w.conf.pool.max = 1;
	for (size_t i = 0; i < 3; i++) {
		c[i] = client();
		said(c[i], "MAIL FROM:<s@a.test>\r\n");
		if (i == 0)
			WANT(far_peer(0), "MAIL FROM:<s@a.test>\r\n");
	}
	said(c[1], "RCPT TO:<r@c.test>\r\n"); /* pipelined: it waits with its MAIL */
	want_silence(c[1]);
	want_silence(c[2]);
	assert_int_equal(w.fars, 1);
	assert_true(logged("next_hop_full"));
	said(far_peer(0), "250 2.1.0 ok\r\n");
	WANT(c[0], "250 2.1.0 ok\r\n");
	said(c[0], "QUIT\r\n");
	WANT(far_peer(0), "RSET\r\n");
	said(far_peer(0), "250 2.0.0 ok\r\n");
	/* the first to come has it, the other goes on waiting */
	WANT(far_peer(0), "MAIL FROM:<s@a.test>\r\nRCPT TO:<r@c.test>\r\n");
	want_silence(c[2]);
	/* one that is lost makes room as well; its transaction comes behind those that wait */
	reset(c[1]);
	reset(far_peer(0));
	greet(far_peer(1));
	WANT(far_peer(1), "MAIL FROM:<s@a.test>\r\n");
	said(far_peer(1), "250 2.1.0 ok\r\n");
	WANT(c[2], "250 2.1.0 ok\r\n");
	assert_int_equal(w.fars, 2);
}

static void who_waits_too_long_for_one_is_told(void **state)
{
	struct peer *c = client(), *other = client(), *gone = client();

	(void)state;
	w.conf.pool.max = 1;
	said(c, "MAIL FROM:<s@a.test>\r\n");
	WANT(far_peer(0), "MAIL FROM:<s@a.test>\r\n");
	said(other, "MAIL FROM:<s@a.test>\r\n");
	said(gone, "MAIL FROM:<s@a.test>\r\n");
	want_silence(other);
	reset(gone);
	later(LIMIT_ROOM_WAIT_S - 1);
	want_silence(other);
	later(2);
	WANT(other, "451 4.3.2 ");
	assert_int_equal(w.fars, 1);
}

/* However long a connection may take: the supervisor gives up workers that are not ready within half a minute. */
static void a_next_hop_that_says_nothing_does_not_keep_the_others_from_their_mail(void **state)
{
	bool ready = false;

	(void)state;
	relay_on_ready(w.relay, done, &ready);
	greet(far_peer(0));
	later(9);
	assert_false(ready);
	later(2);
	assert_true(ready);
	ready = false; /* said once */
	greet(far_peer(1));
	settle();
	assert_false(ready);
}

static void it_is_ready_when_all_next_hops_are_probed(void **state)
{
	bool ready = false;

	(void)state;
	relay_on_ready(w.relay, done, &ready);
	greet(far_peer(0));
	settle();
	assert_false(ready);
	reset(far_peer(1));
	settle();
	assert_true(ready);
	ready = false;
	later(60);
	assert_false(ready);
}

/* An address that nobody could know to be ours before it was connected to. */
static void the_listener_is_no_next_hop_of_its_own(void **state)
{
	struct peer *c = client();

	(void)state;
	said(c, "MAIL FROM:<s@a.test>\r\n");
	WANT(c, "554 5.4.6 mail loop detected\r\n");
	assert_true(logged("route_refused") && logged("mail_loop"));
}

int main(void)
{
#define ROW3(name) cmocka_unit_test_setup_teardown(name, set_up_three, tear_down)
#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		ROW(a_proxy_header_gets_five_seconds),
		ROW(who_leaves_while_the_next_hop_hears_of_him_leaves_no_connection),
		ROW(a_connection_that_hears_of_one_client_only_is_not_given_another),
		ROW(the_refused_do_not_fill_the_log),
		ROW(each_command_gets_five_minutes),
		ROW(a_command_in_pieces_gets_no_more),
		ROW(the_last_word_is_not_taken_by_a_reset),
		ROW(nobody_lingers_for_long),
		ROW(content_in_drops_is_too_slow),
		ROW(chunks_in_drops_are_too_slow),
		ROW(refused_content_has_its_time),
		ROW(a_crowd_has_less_time),
		ROW(a_next_hop_silent_at_mail_is_asked_once),
		ROW(ours_before_the_dot_is_cut),
		ROW(an_answer_after_nine_minutes_is_in_time),
		ROW(a_final_answer_too_late_may_be_a_duplicate),
		ROW(content_for_a_client_that_left_is_not_awaited),
		ROW(the_answer_after_the_client_left_is_logged),
		ROW(a_black_hole_holds_few_connections),
		ROW(replies_not_read_stop_reading_and_start_it_again),
		ROW(who_does_not_take_the_word_to_begin_tls_is_left),
		ROW(no_descriptor_costs_a_message_not_a_session),
		ROW(the_last_descriptors_are_for_sessions_under_way),
		ROW(a_connection_is_waited_for),
		ROW(who_waits_too_long_for_one_is_told),
		cmocka_unit_test_setup_teardown(a_next_hop_that_says_nothing_does_not_keep_the_others_from_their_mail, set_up_mute, tear_down),
		cmocka_unit_test_setup_teardown(it_is_ready_when_all_next_hops_are_probed, set_up_mute, tear_down),
		cmocka_unit_test_setup_teardown(the_listener_is_no_next_hop_of_its_own, set_up_round, tear_down),
		ROW3(one_silent_at_mail_is_left_while_there_is_another),
		ROW3(one_silent_from_the_start_is_left_while_there_is_another),
		ROW3(all_of_them_together_have_a_minute),
		ROW3(one_that_failed_is_probed_with_growing_pauses),
	};

	return RUN_TESTS(tests);
}
