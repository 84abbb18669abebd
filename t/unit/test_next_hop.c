/* A next hop by its name: the test is the resolver and the server. */
#include "test.h"

#include <arpa/inet.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "net/ipc.h"
#include "net/upstream.h"

struct world {
	struct loop *loop;
	struct ask *ask;
	struct count_page *counts;
	struct conf conf;
	struct conf_listener listener;
	struct conf_next_hop to;
	struct next_hop *hop;
	int resolver, door; /* the far end of the one, where the other listens */
	uint64_t tickets[2]; /* of the questions for A and AAAA */
};

struct user {
	struct upstream *up;
	struct loop_io io;
	int event;
	unsigned lost;
};

static void stop(void *arg)
{
	loop_stop(arg);
}

static void turns(struct world *w, unsigned n)
{
	while (n--) {
		struct loop_later last = { 0 };

		loop_later(w->loop, &last, stop, w->loop);
		loop_run(w->loop);
	}
}

/* Takes the two questions for addresses. */
static void asked(struct world *w)
{
	static unsigned char octets[LIMIT_IPC];
	struct ipc_question q;
	struct ipc_in in;
	ssize_t n;

	turns(w, 2);
	n = recv(w->resolver, octets, sizeof(octets), 0);
	assert_true(n > 0 && ipc_open(slice_of(octets, (size_t)n), IPC_QUESTIONS, &in));
	for (size_t i = 0; i < 2; i++) {
		assert_true(ipc_next_question(&in, &q));
		WANT_SLICE(q.name, S("mx.test"));
		assert_int_equal(q.qtype, i ? IPC_TYPE_AAAA : IPC_TYPE_A);
		w->tickets[i] = q.ticket;
	}
}

/* 127.0.0.1, and nothing for IPv6. */
static void answered(struct world *w)
{
	static const unsigned char here[4] = { 127, 0, 0, 1 };
	struct slice record = slice_of(here, sizeof(here));
	struct buf out;

	buf_init(&out, LIMIT_IPC);
	ipc_begin(&out, IPC_ANSWERS);
	assert_true(ipc_add_answer(&out, &(struct ipc_answer){ .ticket = w->tickets[0], .qtype = IPC_TYPE_A, .status = DNS_OK, .ttl_s = 60,
	    .records = &record, .record_count = 1 }));
	assert_true(ipc_add_answer(&out, &(struct ipc_answer){ .ticket = w->tickets[1], .qtype = IPC_TYPE_AAAA, .status = DNS_NODATA,
	    .ttl_s = 60 }));
	assert_int_equal(send(w->resolver, out.at, out.n, 0), (ssize_t)out.n);
	buf_release(&out);
}

/* How many came to the door. */
static unsigned came(struct world *w)
{
	unsigned n = 0;
	int fd;

	turns(w, 10);
	while ((fd = accept4(w->door, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		close(fd);
		n++;
	}
	return n;
}

static void on_event(void *arg, const struct cli_event *ev)
{
	(void)arg;
	(void)ev;
}

static void on_lost(void *arg, const struct fault *f)
{
	struct user *u = arg;

	(void)f;
	u->up = NULL;
	u->lost++;
}

static const struct upstream_user user = { .event = on_event, .lost = on_lost };

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);
	int fds[2];

	assert_non_null(w);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	w->resolver = fds[1];
	w->door = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(w->door >= 0 && bind(w->door, (struct sockaddr *)&at, n) == 0 && listen(w->door, 16) == 0);
	assert_int_equal(getsockname(w->door, (struct sockaddr *)&at, &n), 0);
	w->loop = loop_new();
	w->counts = count_page_new();
	assert_true(w->loop && w->counts);
	w->ask = ask_new(w->loop, fds[0], -1, 25000, 3);
	assert_non_null(w->ask);
	w->to = (struct conf_next_hop){ .address = { .text = "mx.test" }, .host = "mx.test", .port = ntohs(at.sin_port) };
	w->listener = (struct conf_listener){ .name = "main", .next_hops = &w->to, .next_hop_count = 1 };
	w->conf = (struct conf){ .hostname = "mx.c.test", .pool = { .idle_ms = 10000, .idle_max = 100, .max = 10000, .connect_ms = 30000 } };
	w->hop = next_hop_new(w->loop, w->ask, &w->conf, &w->listener, &w->to, w->counts, 0);
	assert_non_null(w->hop);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	next_hop_free(&w->hop);
	assert_int_equal(count_sum(w->counts, COUNT_NEXT_HOP_OPEN), 0);
	ask_free(&w->ask);
	loop_free(&w->loop);
	munmap(w->counts, sizeof(*w->counts));
	close(w->resolver);
	close(w->door);
	free(w);
	return 0;
}

static void whoever_waits_for_the_name_is_connected(void **state)
{
	struct world *w = *state;
	struct user u = { .up = upstream_take(w->hop, true, SLICE_NONE, &user, &u) };

	asked(w);
	answered(w);
	assert_int_equal(came(w), 2); /* the probe and he */
	upstream_drop(&u.up);
}

static void leave(void *arg, unsigned what)
{
	struct user *u = arg;

	(void)what;
	upstream_drop(&u->up);
	loop_io_stop(&u->io);
}

/* Both in one turn of the loop: the answer is told at its end, when he is gone and not freed yet. */
static void who_left_as_the_answer_came_is_not_connected(void **state)
{
	struct world *w = *state;
	struct user u = { .up = upstream_take(w->hop, true, SLICE_NONE, &user, &u), .event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };

	asked(w);
	assert_true(loop_io_want(w->loop, &u.io, u.event, LOOP_READ, leave, &u));
	answered(w);
	assert_int_equal(eventfd_write(u.event, 1), 0);
	assert_int_equal(came(w), 1); /* the probe */
	assert_null(u.up);
	close(u.event);
}

static void on_room(void *arg, bool room)
{
	*(int *)arg = room;
}

/* Those in the making are limited, so one that is made lets another begin. */
static void a_connection_that_is_ready_makes_room_for_one_in_the_making(void **state)
{
	struct world *w = *state;
	struct user *all = calloc(LIMIT_OPENING, sizeof(*all));
	struct upstream_wait wait = { 0 };
	struct rlimit was, more;
	int room = -1, first;

	assert_non_null(all);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	more = (struct rlimit){ was.rlim_max, was.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &more), 0);
	for (size_t i = 1; i < LIMIT_OPENING; i++) { /* the probe is one */
		assert_false(upstream_must_wait(w->hop, false));
		all[i].up = upstream_take(w->hop, true, SLICE_NONE, &user, &all[i]);
	}
	assert_true(upstream_must_wait(w->hop, false));
	upstream_wait(w->hop, &wait, 10000, on_room, &room);
	asked(w);
	answered(w);
	turns(w, 10);
	first = accept4(w->door, NULL, NULL, SOCK_CLOEXEC);
	assert_true(first >= 0);
	assert_int_equal(send(first, "220 x\r\n", 7, 0), 7);
	turns(w, 10);
	assert_int_equal(room, -1);
	assert_int_equal(send(first, "250 x\r\n", 7, 0), 7);
	turns(w, 10);
	assert_int_equal(room, true);
	for (size_t i = 1; i < LIMIT_OPENING; i++)
		upstream_drop(&all[i].up);
	turns(w, 2);
	close(first);
	free(all);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		ROW(whoever_waits_for_the_name_is_connected),
		ROW(who_left_as_the_answer_came_is_not_connected),
		ROW(a_connection_that_is_ready_makes_room_for_one_in_the_making),
	};

	return RUN_TESTS(tests);
}
