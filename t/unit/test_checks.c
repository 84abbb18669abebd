/* How long the questions of a message may take: the test is the resolver, on a clock that it moves. */
#include "arena.h"

#include <sys/socket.h>
#include <unistd.h>

#include "net/ipc.h"
#include "relay/checks.h"

enum { TIMEOUT_MS = 25000 };

struct world {
	struct loop *loop;
	struct ask *ask;
	int resolver; /* the far end */
	struct header header;
	struct checks *checks;
	unsigned calls; /* of on_found() */
	unsigned asked; /* questions seen */
	bool silent;
};

static void stop(void *arg)
{
	loop_stop(arg);
}

static void turn(struct world *w)
{
	struct loop_later last = { 0 };

	loop_later(w->loop, &last, stop, w->loop);
	loop_run(w->loop);
}

/* Answers what is asked, as a zone with nothing but this policy and this sender would. */
static void answer_one(struct world *w, struct buf *out, const struct ipc_question *q)
{
	struct ipc_answer a = { .ticket = q->ticket, .qtype = q->qtype, .status = DNS_NXDOMAIN, .ttl_s = 60, .record_count = 1 };
	struct slice policy = S("v=DMARC1; p=reject"), sender = S("v=spf1 +all");

	w->asked++;
	if (slice_eq(q->name, S("_dmarc.a.test")))
		a.records = &policy;
	else if (slice_eq(q->name, S("bounce.a.test")))
		a.records = &sender;
	a.status = a.records ? DNS_OK : DNS_NXDOMAIN;
	a.record_count = a.records ? 1 : 0;
	assert_true(ipc_add_answer(out, &a));
}

static void answer(struct world *w)
{
	unsigned char octets[LIMIT_IPC];
	struct ipc_question q;
	struct ipc_in in;
	ssize_t n;

	while ((n = recv(w->resolver, octets, sizeof(octets), MSG_DONTWAIT)) > 0) {
		struct buf out;

		buf_init(&out, LIMIT_IPC);
		ipc_begin(&out, IPC_ANSWERS);
		assert_true(ipc_open(slice_of(octets, (size_t)n), IPC_QUESTIONS, &in));
		while (ipc_next_question(&in, &q))
			answer_one(w, &out, &q);
		if (!w->silent)
			assert_int_equal(send(w->resolver, out.at, out.n, 0), (ssize_t)out.n);
		buf_release(&out);
	}
}

static void turns(struct world *w)
{
	for (int i = 0; i < 12; i++) {
		turn(w);
		answer(w);
	}
}

static void on_found(void *arg)
{
	struct world *w = arg;

	w->calls++;
}

static int start(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	int fds[2], keeper[2];

	assert_non_null(w);
	fresh_arena(state);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, keeper), 0);
	close(keeper[1]);
	w->resolver = fds[1];
	w->loop = loop_new();
	assert_non_null(w->loop);
	w->ask = ask_new(w->loop, fds[0], keeper[0], TIMEOUT_MS, 100);
	assert_non_null(w->ask);
	*state = w;
	return 0;
}

static int end(void **state)
{
	struct world *w = *state;

	checks_free(&w->checks);
	assert_int_equal(ask_open(w->ask), 0);
	ask_free(&w->ask);
	loop_free(&w->loop);
	close(w->resolver);
	free(w);
	return drop_arena(state);
}

/* Mail whose sender is of a domain beside the author's: whether it aligns takes a walk that begins at the end of the body. */
static void begin(struct world *w)
{
	static const struct slice from[] = { { (const unsigned char *)"a.test", 6 } };
	struct engines_terms terms = { .run = ENGINE_DMARC, .now = 1000000, .signatures_max = 10, .client_known = true,
		.client = { [10] = 0xff, [11] = 0xff, 192, 0, 2, 1 }, .helo = S("mx.a.test"), .mail_from = S("u@bounce.a.test"), .from = from,
		.from_count = 1, .from_single = true };
	struct fault f = { 0 };

	assert_true(header_parse(&arena, S("From: u@a.test\r\n"), 9, &w->header, &f));
	w->checks = checks_new(&arena, w->loop, w->ask, &w->header, &terms, TIMEOUT_MS);
	assert_non_null(w->checks);
}

static enum dmarc_state dmarc(const struct world *w)
{
	return checks_findings(w->checks)->dmarc->state;
}

static void a_body_may_take_longer_than_the_dns(void **state)
{
	struct world *w = *state;
	unsigned before;

	begin(w);
	turns(w);
	for (int i = 0; i < 4; i++) {
		loop_clock_advance(w->loop, TIMEOUT_MS);
		turns(w);
		checks_body(w->checks, S("x\r\n"));
	}
	before = w->asked;
	assert_false(checks_end(w->checks, on_found, w));
	turns(w);
	assert_true(w->asked > before);
	assert_int_equal(w->calls, 1);
	assert_int_equal(dmarc(w), DMARC_PASS);
}

static void what_is_silent_for_too_long_is_a_time_out(void **state)
{
	struct world *w = *state;

	begin(w);
	turns(w);
	w->silent = true;
	assert_false(checks_end(w->checks, on_found, w));
	turns(w);
	loop_clock_advance(w->loop, TIMEOUT_MS - 1000);
	turns(w);
	assert_int_equal(w->calls, 0);
	loop_clock_advance(w->loop, 1000);
	turns(w);
	assert_int_equal(w->calls, 1);
	assert_int_equal(dmarc(w), DMARC_TEMPERROR);
	/* late answers find nobody */
	w->silent = false;
	turns(w);
	assert_int_equal(w->calls, 1);
}

static void one_that_is_given_up_waits_for_nothing(void **state)
{
	struct world *w = *state;

	w->silent = true;
	begin(w);
	turns(w);
	checks_free(&w->checks);
	assert_int_equal(ask_open(w->ask), 0);
	loop_clock_advance(w->loop, 2 * TIMEOUT_MS);
	turns(w);
	assert_int_equal(w->calls, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_body_may_take_longer_than_the_dns),
		TEST(what_is_silent_for_too_long_is_a_time_out),
		TEST(one_that_is_given_up_waits_for_nothing),
	};

	return RUN_TESTS(tests);
}
