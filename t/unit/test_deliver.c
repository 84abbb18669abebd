/* A copy on its way to next hops that the test plays: what each says, and what comes of each recipient. */
#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "relay/deliver.h"

enum { HOPS = 3, CONNECTIONS = 8, STEPS = 24, RCPTS = 4, TURNS_MAX = 20000 };

/*
 * What goes on on one connection: in turn what the next hop says and what it must hear then, word for word. NULL: no more; CLOSE and RESET
 * instead of what it says, NOTHING for silence from then on.
 */
#define CLOSE "\1"
#define RESET "\2"
#define NOTHING "\3"

struct talk {
	unsigned hop;
	const char *steps[STEPS];
};

struct row {
	const char *name;
	unsigned hops;             /* 0: one */
	const char *content;       /* NULL: `message` */
	unsigned rcpts;            /* 0: one */
	struct srv_params params;
	bool lmtp, null_path, by_mx;
	unsigned down;             /* a bit each: next hops that nobody listens at */
	struct talk talks[CONNECTIONS];
	const char *want;          /* a word for each recipient, then what else came of it */
};

static struct world {
	struct loop *loop;
	struct ask *ask;
	struct count_page *counts;
	struct conf conf;
	struct conf_listener listener;
	struct conf_next_hop to[HOPS];
	struct next_hop *hops[HOPS];
	int doors[HOPS];
	struct arena arena;
	struct deliver_rcpt rcpts[RCPTS];
	struct deliver *deliver;
	struct buf told;           /* what came of it; empty: nothing yet */
	struct far {
		const struct talk *talk;
		size_t step;
		int fd;            /* -1: closed by the test */
		bool ended;        /* by us */
		struct buf got;
	} fars[CONNECTIONS];
	size_t far_count;
	const struct row *row;
	struct slice runs[3];
	size_t expected_talk;
} w;

static const char message[] = "Subject: t\r\n\r\nhello\r\n";

/* ---- the next hops ---- */

static int listening(struct sockaddr_in *at, bool down)
{
	socklen_t n = sizeof(*at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), small = 65536;

	*at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	assert_true(fd >= 0 && bind(fd, (struct sockaddr *)at, n) == 0 && (down || listen(fd, 16) == 0));
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)at, &n), 0);
	return fd;
}

static void stop(void *arg)
{
	loop_stop(arg);
}

static void hang_up(struct far *p, bool reset)
{
	struct linger now = { 1, 0 };

	if (reset)
		assert_int_equal(setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	close(p->fd);
	p->fd = -1;
	buf_release(&p->got);
}

static void hear(struct far *p)
{
	char octets[65536];
	ssize_t n;

	while (p->fd >= 0 && !p->ended && (n = recv(p->fd, octets, sizeof(octets), MSG_DONTWAIT)) >= 0) {
		if (n == 0)
			p->ended = true;
		buf_add(&p->got, octets, (size_t)n);
	}
	p->ended = p->ended || (p->fd >= 0 && errno != EAGAIN);
}

/* Says and hears what is next on this connection, as far as it goes. */
static void play(struct far *p)
{
	hear(p);
	while (p->fd >= 0 && p->step < STEPS && p->talk->steps[p->step]) {
		const char *text = p->talk->steps[p->step];
		size_t n = strlen(text);

		if (p->step % 2 == 0) {
			if (*text == *NOTHING)
				return;
			p->step++;
			if (*text == *CLOSE || *text == *RESET)
				hang_up(p, *text == *RESET);
			else
				assert_int_equal(send(p->fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
			continue;
		}
		if (p->got.n < n && memcmp(p->got.at ? p->got.at : (const unsigned char *)"", text, p->got.n) == 0)
			return;
		WANT_SLICE(slice_sub(buf_get(&p->got), 0, n), slice_of(text, n));
		buf_drop(&p->got, n);
		p->step++;
	}
}

static void come(unsigned hop, int fd)
{
	int one = 1;
	struct far *p = &w.fars[w.far_count];

	if (w.far_count == CONNECTIONS || !w.row->talks[w.far_count].steps[0] || w.row->talks[w.far_count].hop != hop)
		fail_msg("%s: connection %zu leads to next hop %u", w.row->name, w.far_count, hop);
	assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), 0);
	*p = (struct far){ .talk = &w.row->talks[w.far_count++], .fd = fd };
	buf_init(&p->got, 1 << 25);
}

static void turn(void)
{
	struct loop_later last = { 0 };
	int fd;

	loop_later(w.loop, &last, stop, w.loop);
	loop_run(w.loop);
	for (unsigned i = 0; i < HOPS; i++)
		while ((fd = accept4(w.doors[i], NULL, NULL, SOCK_CLOEXEC)) >= 0)
			come(i, fd);
	for (size_t i = 0; i < w.far_count; i++)
		play(&w.fars[i]);
}

static void settle(void)
{
	for (int i = 0; i < 60; i++) {
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

/* ---- the copy ---- */

static void tell_rcpt(const struct deliver_rcpt *r)
{
	static const char *const outcomes[] = { [DELIVER_TAKEN] = "taken", [DELIVER_LATER] = "later", [DELIVER_NEVER] = "never" };
	char name[FAULT_NAME_OCTETS];

	buf_str(&w.told, outcomes[r->outcome]);
	if (r->code)
		buf_printf(&w.told, "=%d", r->code);
	if (r->enhanced[0])
		buf_printf(&w.told, "/%s", r->enhanced);
	if (r->text.n)
		buf_printf(&w.told, "\"%.*s\"", SLICE_FMT(r->text));
	if (r->why.code) {
		fault_name(r->why.code, name);
		buf_printf(&w.told, "(%s %d %s)", name, r->why.basic, r->why.enhanced);
	}
	if (r->relayed)
		buf_str(&w.told, "~");
	buf_str(&w.told, " ");
}

static void on_end(void *arg, const struct deliver_end *end)
{
	char name[FAULT_NAME_OCTETS];

	assert_ptr_equal(arg, &w);
	assert_int_equal(w.told.n, 0);
	for (size_t i = 0; i < (w.row->rcpts ? w.row->rcpts : 1); i++)
		tell_rcpt(&w.rcpts[i]);
	buf_printf(&w.told, "by %s", end->next_hop);
	buf_str(&w.told, end->reached ? " reached" : "");
	buf_str(&w.told, end->busy ? " busy" : "");
	buf_str(&w.told, end->reused ? " reused" : "");
	buf_str(&w.told, end->lost_final ? " lost_final" : "");
	if (!end->reached) {
		fault_name(end->why.code, name);
		buf_printf(&w.told, " %s", name);
	}
	if (end->reached || w.far_count)
		assert_string_equal(end->address, "127.0.0.1");
	assert_null(end->tls_version);
	assert_false(deliver_dot_said(w.deliver));
}

static void start(void)
{
	static const char *const paths[RCPTS] = { "<r1@c.test>", "<r2@c.test>", "<r3@c.test>", "<r4@c.test>" };
	struct slice content = slice_str(w.row->content ? w.row->content : message);
	struct deliver_job job = { .loop = w.loop, .arena = &w.arena, .hops = w.hops, .hop_count = w.row->hops ? w.row->hops : 1,
		.mail_from = slice_str(w.row->null_path ? "<>" : "<s@a.test>"), .params = w.row->params, .rcpts = w.rcpts,
		.rcpt_count = w.row->rcpts ? w.row->rcpts : 1, .runs = w.runs, .run_count = 3, .dots = true, .octets = content.n,
		.listener = "main", .name = "t" };

	for (size_t i = 0; i < RCPTS; i++)
		w.rcpts[i].path = slice_str(paths[i]);
	/* A run may end anywhere, before a dot for instance. */
	w.runs[0] = slice_sub(content, 0, content.n / 3);
	w.runs[1] = slice_sub(content, content.n / 3, content.n / 3);
	w.runs[2] = slice_sub(content, content.n / 3 * 2, SIZE_MAX);
	buf_init(&w.told, 65536);
	w.deliver = deliver_start(&job, on_end, &w);
	assert_non_null(w.deliver);
	assert_int_equal(w.told.n, 0);
}

static void ended(void)
{
	for (int i = 0; i < TURNS_MAX && w.told.n == 0; i++) {
		turn();
		sched_yield();
	}
	settle();
	if (!slice_eq(buf_get(&w.told), slice_str(w.row->want)))
		print_error("%s:\n", w.row->name);
	WANT_SLICE(buf_get(&w.told), slice_str(w.row->want));
	buf_release(&w.told);
	deliver_free(&w.deliver);
}

static void begin(const struct row *row)
{
	w = (struct world){ .loop = loop_new(), .counts = count_page_new(), .row = row };
	assert_true(w.loop && w.counts);
	loop_clock_advance(w.loop, 0);
	arena_init(&w.arena, 1 << 20);
	w.ask = ask_new(w.loop, -1, -1, 1000, 10);
	w.listener = (struct conf_listener){ .name = "main" };
	w.conf = (struct conf){ .hostname = "me.test", .listeners = &w.listener, .listener_count = 1,
		.pool = { .idle_ms = 10000, .idle_max = 100, .max = 1000, .connect_ms = 30000 } };
	for (unsigned i = 0; i < HOPS; i++) {
		static const char *const names[HOPS] = { "one", "two", "three" };
		struct sockaddr_in at;

		w.doors[i] = listening(&at, row->down & 1u << i);
		w.to[i] = (struct conf_next_hop){ .address = { .sa_len = sizeof(at), .text = names[i] }, .lmtp = row->lmtp, .by_mx = row->by_mx };
		memcpy(&w.to[i].address.sa, &at, sizeof(at));
		w.hops[i] = next_hop_new_quiet(w.loop, w.ask, &w.conf, &w.listener, &w.to[i], NULL, w.counts, 0);
		assert_non_null(w.hops[i]);
		assert_int_equal(next_hop_state(w.hops[i]), NEXT_HOP_NEW);
		assert_true(next_hop_unused(w.hops[i]));
	}
}

/* Every connection said all that was to be said on it, and nothing else was heard. */
static void over(void)
{
	size_t n = 0;

	while (n < CONNECTIONS && w.row->talks[n].steps[0])
		n++;
	if (w.far_count != n)
		fail_msg("%s: %zu connections, not %zu", w.row->name, w.far_count, n);
	for (size_t i = 0; i < n; i++) {
		struct far *p = &w.fars[i];

		if (p->step < STEPS && p->talk->steps[p->step] && *p->talk->steps[p->step] != *NOTHING)
			fail_msg("%s: connection %zu stands before \"%s\"", w.row->name, i, p->talk->steps[p->step]);
		if (p->got.n)
			fail_msg("%s: connection %zu heard \"%.*s\"", w.row->name, i, SLICE_FMT(buf_get(&p->got)));
	}
}

static void end(void)
{
	deliver_free(&w.deliver);
	for (unsigned i = 0; i < HOPS; i++) {
		next_hop_free(&w.hops[i]);
		close(w.doors[i]);
	}
	assert_int_equal(count_sum(w.counts, COUNT_NEXT_HOP_OPEN), 0);
	for (size_t i = 0; i < w.far_count; i++) {
		if (w.fars[i].fd >= 0)
			close(w.fars[i].fd);
		buf_release(&w.fars[i].got);
	}
	buf_release(&w.told);
	arena_clear(&w.arena);
	ask_free(&w.ask);
	loop_free(&w.loop);
	munmap(w.counts, sizeof(*w.counts));
}

static void run(const struct row *row)
{
	begin(row);
	start();
	ended();
	over();
	end();
}

#define HELLO "220 far.test\r\n", "EHLO me.test\r\n"
#define LHLO "220 far.test\r\n", "LHLO me.test\r\n"
#define MAIL "MAIL FROM:<s@a.test>\r\n"
#define R1 "RCPT TO:<r1@c.test>\r\n"
#define R2 "RCPT TO:<r2@c.test>\r\n"
#define R3 "RCPT TO:<r3@c.test>\r\n"
#define PIPED "250-far.test\r\n250-DSN\r\n250 PIPELINING\r\n"
#define OK "250 2.0.0 ok\r\n"
#define SENT "Subject: t\r\n\r\nhello\r\n.\r\n"
#define QUIT "QUIT\r\n"

static const struct row rows[] = {
	{ "one recipient, no extension", .talks = { { 0, { HELLO, "250 far.test\r\n", MAIL, OK, R1, OK, "DATA\r\n", "354 go\r\n", SENT,
	    "250 2.0.0 queued\r\n" } } }, .want = "taken=250/2.0.0\"2.0.0 queued\"~ by one reached" },
	{ "HELO, where EHLO is not known", .talks = { { 0, { HELLO, "500 what\r\n", "HELO me.test\r\n", "250 x\r\n", MAIL, OK, R1, OK, "DATA\r\n",
	    "354 go\r\n", SENT, OK } } }, .want = "taken=250/2.0.0\"2.0.0 ok\"~ by one reached" },
	{ "the envelope is pipelined, DATA is not", .rcpts = 3, .talks = { { 0, { HELLO, PIPED, MAIL R1 R2 R3, OK OK OK OK, "DATA\r\n", "354 go\r\n",
	    SENT, "250 done\r\n" } } }, .want = "taken=250\"done\" taken=250\"done\" taken=250\"done\" by one reached" },
	{ "SIZE is said where it is known", .talks = { { 0, { HELLO, "250-x\r\n250 SIZE 1000\r\n", "MAIL FROM:<s@a.test> SIZE=21\r\n", OK, R1, OK,
	    "DATA\r\n", "354 go\r\n", SENT, "250 done\r\n" } } }, .want = "taken=250\"done\"~ by one reached" },
	{ "an answer of many lines is one of many words", .talks = { { 0, { HELLO, PIPED, MAIL R1, OK OK, "DATA\r\n", "354 go\r\n", SENT,
	    "550-5.7.1 no\r\n550 5.7.1 ne\1ver\r\n" } } }, .want = "never=550/5.7.1\"5.7.1 no 5.7.1 ne?ver\" by one reached" },

	{ "dots are doubled, whatever run they begin", .content = ".\r\n..\r\n.x\r\n\r\n.\r\n", .talks = { { 0, { HELLO, PIPED, MAIL R1, OK OK, "DATA\r\n",
	    "354 go\r\n", "..\r\n...\r\n..x\r\n\r\n..\r\n.\r\n", "250 done\r\n" } } }, .want = "taken=250\"done\" by one reached" },
	{ "a line end that is missing is added", .content = "a: b\r\n\r\nx", .talks = { { 0, { HELLO, PIPED, MAIL R1, OK OK, "DATA\r\n", "354 go\r\n",
	    "a: b\r\n\r\nx\r\n.\r\n", "250 done\r\n" } } }, .want = "taken=250\"done\" by one reached" },

	{ "some are refused, the others have it", .rcpts = 3, .talks = { { 0, { HELLO, PIPED, MAIL R1 R2 R3, OK "550 5.1.1 who\r\n" OK "451 4.7.1 wait\r\n",
	    "DATA\r\n", "354 go\r\n", SENT, "250 done\r\n" } } },
	    .want = "never=550/5.1.1\"5.1.1 who\" taken=250\"done\" later=451/4.7.1\"4.7.1 wait\" by one reached" },
	{ "all are refused: no DATA, and RSET", .rcpts = 2, .talks = { { 0, { HELLO, PIPED, MAIL R1 R2, OK "550 5.1.1 who\r\n" "450 4.2.1 busy\r\n", "RSET\r\n",
	    OK } } }, .want = "never=550/5.1.1\"5.1.1 who\" later=450/4.2.1\"4.2.1 busy\" by one reached" },
	{ "all are refused, one by one", .rcpts = 2, .talks = { { 0, { HELLO, "250 x\r\n", MAIL, OK, R1, "550 who\r\n", R2, "550 whoever\r\n", "RSET\r\n", OK } } },
	    .want = "never=550\"who\" never=550\"whoever\" by one reached" },
	{ "452 puts off who is too many", .rcpts = 3, .talks = { { 0, { HELLO, PIPED, MAIL R1 R2 R3, OK OK "452 4.5.3 enough\r\n452 4.5.3 enough\r\n",
	    "DATA\r\n", "354 go\r\n", SENT, "250 done\r\n" } } },
	    .want = "taken=250\"done\" later=452/4.5.3\"4.5.3 enough\" later=452/4.5.3\"4.5.3 enough\" by one reached" },
	{ "552 behind one that was taken is 452 in old words", .rcpts = 2, .talks = { { 0, { HELLO, PIPED, MAIL R1 R2, OK OK "552 enough\r\n",
	    "DATA\r\n", "354 go\r\n", SENT, "250 done\r\n" } } }, .want = "taken=250\"done\" later=552\"enough\" by one reached" },
	{ "552 for a full mailbox is not", .rcpts = 2, .talks = { { 0, { HELLO, PIPED, MAIL R1 R2, OK OK "552 5.2.2 full\r\n", "DATA\r\n", "354 go\r\n", SENT,
	    "250 done\r\n" } } }, .want = "taken=250\"done\" never=552/5.2.2\"5.2.2 full\" by one reached" },
	{ "RCPTMAX is kept to", .rcpts = 3, .talks = { { 0, { HELLO, "250-x\r\n250-PIPELINING\r\n250 LIMITS RCPTMAX=2\r\n", MAIL R1 R2, OK OK OK, "DATA\r\n",
	    "354 go\r\n", SENT, "250 done\r\n" } } },
	    .want = "taken=250\"done\"~ taken=250\"done\"~ later=452/4.5.3(too_many_rcpt 452 4.5.3) by one reached" },

	{ "5yz to MAIL is for all of them, and for good", .hops = 2, .rcpts = 2, .talks = { { 0, { HELLO, PIPED, MAIL R1 R2, "550 5.7.1 no\r\n503 x\r\n503 x\r\n",
	    "RSET\r\n", OK } } }, .want = "never=550/5.7.1\"5.7.1 no\" never=550/5.7.1\"5.7.1 no\" by one reached" },
	{ "4yz to MAIL: the next one", .hops = 2, .talks = { { 0, { HELLO, PIPED, MAIL R1, "451 4.7.1 later\r\n503 x\r\n", "RSET\r\n", OK } },
	    { 1, { HELLO, PIPED, MAIL R1, OK OK, "DATA\r\n", "354 go\r\n", SENT, "250 done\r\n" } } }, .want = "taken=250\"done\" by two reached" },
	{ "4yz to MAIL, and nobody else", .talks = { { 0, { HELLO, PIPED, MAIL R1, "451 4.7.1 later\r\n503 x\r\n", "RSET\r\n", OK } } },
	    .want = "later=451/4.7.1\"4.7.1 later\" by one reached" },
	{ "4yz to MAIL tells more than that the next is down", .hops = 2, .down = 2, .talks = { { 0, { HELLO, PIPED, MAIL R1, "451 4.7.1 later\r\n503 x\r\n",
	    "RSET\r\n", OK } } }, .want = "later=451/4.7.1\"4.7.1 later\" by two reached" },
	{ "5yz to DATA is for those that were taken", .rcpts = 2, .talks = { { 0, { HELLO, PIPED, MAIL R1 R2, OK OK "550 5.1.1 who\r\n", "DATA\r\n",
	    "554 5.6.0 no\r\n", "RSET\r\n", OK } } }, .want = "never=554/5.6.0\"5.6.0 no\" never=550/5.1.1\"5.1.1 who\" by one reached" },
	{ "4yz to DATA: later, and no other one", .hops = 2, .talks = { { 0, { HELLO, PIPED, MAIL R1, OK OK, "DATA\r\n", "451 4.3.0 wait\r\n", "RSET\r\n",
	    OK } } }, .want = "later=451/4.3.0\"4.3.0 wait\" by one reached" },
	{ "4yz to the content", .hops = 2, .talks = { { 0, { HELLO, PIPED, MAIL R1, OK OK, "DATA\r\n", "354 go\r\n", SENT, "451 4.3.0 wait\r\n" } } },
	    .want = "later=451/4.3.0\"4.3.0 wait\" by one reached" },

	{ "nobody listens: the next one", .hops = 2, .down = 1, .talks = { { 1, { HELLO, PIPED, MAIL R1, OK OK, "DATA\r\n", "354 go\r\n", SENT,
	    "250 done\r\n" } } }, .want = "taken=250\"done\" by two reached" },
	{ "nobody listens anywhere", .hops = 3, .down = 7, .want = "later(next_hop_down 451 4.4.1) by three next_hop_down" },
	{ "554 as a greeting: the next one", .hops = 2, .talks = { { 0, { "554 5.7.1 not you\r\n" } }, { 1, { HELLO, PIPED, MAIL R1, OK OK, "DATA\r\n",
	    "354 go\r\n", SENT, "250 done\r\n" } } }, .want = "taken=250\"done\" by two reached" },
	{ "554 as the only greeting: later, in its words", .talks = { { 0, { "554 5.7.1 not you\r\n" } } },
	    .want = "later=554/5.7.1\"5.7.1 not you\" by one next_hop_down" },
	{ "421 as a greeting: busy", .talks = { { 0, { "421 4.7.0 too many\r\n" } } }, .want = "later=421/4.7.0\"4.7.0 too many\" by one busy next_hop_421" },
	{ "closed in the greeting: the next one", .hops = 2, .talks = { { 0, { CLOSE } }, { 1, { HELLO, PIPED, MAIL R1, OK OK, "DATA\r\n", "354 go\r\n",
	    SENT, "250 done\r\n" } } }, .want = "taken=250\"done\" by two reached" },
	{ "EHLO and HELO are refused: the next one", .hops = 2, .talks = { { 0, { HELLO, "550 no\r\n", "HELO me.test\r\n", "550 no\r\n" } },
	    { 1, { HELLO, PIPED, MAIL R1, OK OK, "DATA\r\n", "354 go\r\n", SENT, "250 done\r\n" } } }, .want = "taken=250\"done\" by two reached" },
	{ "421 to MAIL: the next one", .hops = 2, .talks = { { 0, { HELLO, PIPED, MAIL R1, "421 4.3.2 bye\r\n" } }, { 1, { HELLO, PIPED, MAIL R1, OK OK,
	    "DATA\r\n", "354 go\r\n", SENT, "250 done\r\n" } } }, .want = "taken=250\"done\" by two reached" },
	{ "421 to RCPT: the next one, which hears nothing of whom the first refused", .hops = 2, .rcpts = 3, .talks = { { 0, { HELLO, PIPED, MAIL R1 R2 R3,
	    OK "550 who\r\n" OK "421 4.3.2 bye\r\n" } }, { 1, { HELLO, PIPED, MAIL R2 R3, OK OK OK, "DATA\r\n", "354 go\r\n", SENT, "250 done\r\n" } } },
	    .want = "never=550\"who\" taken=250\"done\" taken=250\"done\" by two reached" },
	{ "421 to RCPT, and nobody else", .rcpts = 2, .talks = { { 0, { HELLO, PIPED, MAIL R1 R2, OK OK "421 4.3.2 bye\r\n" } } },
	    .want = "later=421/4.3.2\"4.3.2 bye\" later=421/4.3.2\"4.3.2 bye\" by one reached busy" },
	{ "421 to DATA: the next one", .hops = 2, .talks = { { 0, { HELLO, PIPED, MAIL R1, OK OK, "DATA\r\n", "421 4.3.2 bye\r\n" } }, { 1, { HELLO, PIPED,
	    MAIL R1, OK OK, "DATA\r\n", "354 go\r\n", SENT, "250 done\r\n" } } }, .want = "taken=250\"done\" by two reached" },
	{ "lost behind RCPT: the next one, and nobody was taken before", .hops = 2, .down = 2, .talks = { { 0, { HELLO, PIPED, MAIL R1, OK OK, "DATA\r\n",
	    CLOSE } } }, .want = "later(next_hop_down 451 4.4.1) by two reached" },
	{ "lost behind the dot: later, and it may be there", .hops = 2, .talks = { { 0, { HELLO, PIPED, MAIL R1, OK OK, "DATA\r\n", "354 go\r\n", SENT, CLOSE } } },
	    .want = "later(next_hop_lost 451 4.4.2) by one reached lost_final" },
	{ "421 to the content is an answer", .talks = { { 0, { HELLO, PIPED, MAIL R1, OK OK, "DATA\r\n", "354 go\r\n", SENT, "421 4.3.2 bye\r\n" } } },
	    .want = "later=421/4.3.2\"4.3.2 bye\" by one reached busy" },
	{ "an answer out of protocol is none", .talks = { { 0, { HELLO, PIPED, MAIL R1, OK OK, "DATA\r\n", "354 go\r\n", SENT, "354 more\r\n" } } },
	    .want = "later(next_hop_reply 451 4.5.0) by one reached lost_final" },

	{ "no 8BITMIME", .params = { .body_8bit = true, .body_named = true }, .talks = { { 0, { HELLO, PIPED, NOTHING } } },
	    .want = "never(next_hop_lacks 555 5.6.3) by one reached" },
	{ "no SMTPUTF8", .params = { .smtputf8 = true }, .talks = { { 0, { HELLO, PIPED, NOTHING } } },
	    .want = "never(next_hop_lacks 555 5.6.7) by one reached" },
	{ "no REQUIRETLS", .params = { .requiretls = true }, .talks = { { 0, { HELLO, PIPED, NOTHING } } },
	    .want = "never(next_hop_lacks 550 5.7.30) by one reached" },
	{ "a bounce does without REQUIRETLS", .params = { .requiretls = true }, .null_path = true, .talks = { { 0, { HELLO, PIPED, "MAIL FROM:<>\r\n" R1,
	    OK OK, "DATA\r\n", "354 go\r\n", SENT, "250 done\r\n" } } }, .want = "taken=250\"done\" by one reached" },
	{ "too big", .talks = { { 0, { HELLO, "250-x\r\n250 SIZE 20\r\n", NOTHING } } }, .want = "never(next_hop_lacks 552 5.3.4) by one reached" },
	{ "SIZE that just fits, and DSN", .params = { .ret = { (const unsigned char *)"HDRS", 4 } }, .talks = { { 0, { HELLO,
	    "250-x\r\n250-DSN\r\n250 SIZE 21\r\n", "MAIL FROM:<s@a.test> SIZE=21 RET=HDRS\r\n", OK, R1, OK, "DATA\r\n", "354 go\r\n", SENT, "250 done\r\n" } } },
	    .want = "taken=250\"done\" by one reached" },
	{ "one that may have it is asked, too", .hops = 2, .params = { .smtputf8 = true }, .talks = { { 0, { HELLO, PIPED, NOTHING } }, { 1, { HELLO,
	    "250-x\r\n250-DSN\r\n250 SMTPUTF8\r\n", "MAIL FROM:<s@a.test> SMTPUTF8\r\n", OK, R1, OK, "DATA\r\n", "354 go\r\n", SENT, "250 done\r\n" } } },
	    .want = "taken=250\"done\" by two reached" },
	{ "none of them has it", .hops = 2, .params = { .smtputf8 = true }, .talks = { { 0, { HELLO, PIPED, NOTHING } }, { 1, { HELLO, PIPED, NOTHING } } },
	    .want = "never(next_hop_lacks 555 5.6.7) by two reached" },
	{ "one that is down may have it: later", .hops = 2, .down = 2, .params = { .smtputf8 = true }, .talks = { { 0, { HELLO, PIPED, NOTHING } } },
	    .want = "later(next_hop_down 451 4.4.1) by two reached" },
	{ "the first is down, the second lacks it: later", .hops = 2, .down = 1, .params = { .smtputf8 = true }, .talks = { { 1, { HELLO, PIPED, NOTHING } } },
	    .want = "later(next_hop_down 451 4.4.1) by two reached" },

	{ "LMTP: an answer each", .lmtp = true, .rcpts = 3, .talks = { { 0, { LHLO, PIPED, MAIL R1 R2 R3, OK OK "550 5.1.1 who\r\n" OK, "DATA\r\n",
	    "354 go\r\n", SENT, "250 first\r\n452 4.2.2 full\r\n" } } },
	    .want = "taken=250\"first\" never=550/5.1.1\"5.1.1 who\" later=452/4.2.2\"4.2.2 full\" by one reached" },
	{ "LMTP: lost between the answers", .lmtp = true, .rcpts = 3, .talks = { { 0, { LHLO, PIPED, MAIL R1 R2 R3, OK OK OK OK, "DATA\r\n", "354 go\r\n", SENT,
	    "250 first\r\n550 never\r\n", "", CLOSE } } },
	    .want = "taken=250\"first\" never=550\"never\" later(next_hop_lost 451 4.4.2) by one reached lost_final" },
};

static void each_row(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		run(&rows[i]);
}

/* ---- more than one delivery ---- */

static void a_second_copy_goes_on_the_same_connection(void **state)
{
	static const struct row row = { "pool", .talks = { { 0, { HELLO, PIPED, MAIL R1, OK OK, "DATA\r\n", "354 go\r\n", SENT, "250 done\r\n", MAIL R1, OK OK,
	    "DATA\r\n", "354 go\r\n", SENT, "250 done\r\n", QUIT } } }, .want = "taken=250\"done\" by one reached" };
	struct row again = row;

	(void)state;
	begin(&row);
	start();
	ended();
	again.want = "taken=250\"done\" by one reached reused";
	memcpy(again.talks, row.talks, sizeof(row.talks));
	w.row = &again;
	start();
	ended();
	assert_false(next_hop_unused(w.hops[0]));
	later(11);
	assert_true(w.fars[0].ended);
	assert_true(next_hop_unused(w.hops[0]));
	assert_int_equal(next_hop_state(w.hops[0]), NEXT_HOP_UP);
	over();
	end();
}

/* Two in a row on next hop 0: the second finds the connection of the first. */
static void twice(const struct row *row, const char *want)
{
	struct row second = *row;

	begin(row);
	start();
	ended();
	second.want = want;
	w.row = &second;
	start();
	ended();
	over();
	end();
}

static void a_connection_that_died_in_the_pool_is_made_anew(void **state)
{
	static const char *const lasts[] = { CLOSE, RESET, "421 4.4.2 idle\r\n", "250 unasked\r\n250 x\r\n250 x\r\n250 x\r\n" };

	(void)state;
	for (size_t i = 0; i < sizeof(lasts) / sizeof(lasts[0]); i++) {
		struct row row = { "stale", .hops = 2, .talks = { { 0, { HELLO, PIPED, MAIL R1, OK OK, "DATA\r\n", "354 go\r\n", SENT, "250 done\r\n", MAIL R1,
		    lasts[i] } }, { 0, { HELLO, PIPED, MAIL R1, OK OK, "DATA\r\n", "354 go\r\n", SENT, "250 done\r\n" } } },
		    .want = "taken=250\"done\" by one reached" };

		if (i == 3)
			row.talks[0].steps[10] = "354 unasked\r\n";
		twice(&row, "taken=250\"done\" by one reached");
	}
}

static void what_is_lost_behind_an_answer_is_not_taken_for_stale(void **state)
{
	static const struct row row = { "lost", .hops = 2, .talks = { { 0, { HELLO, PIPED, MAIL R1, OK OK, "DATA\r\n", "354 go\r\n", SENT, "250 done\r\n",
	    MAIL R1, OK "421 bye\r\n" } }, { 1, { HELLO, PIPED, MAIL R1, OK OK, "DATA\r\n", "354 go\r\n", SENT, "250 done\r\n" } } },
	    .want = "taken=250\"done\" by one reached" };

	(void)state;
	twice(&row, "taken=250\"done\" by two reached");
}

static void one_that_was_down_comes_last_for_a_minute(void **state)
{
	static const struct row row = { "down", .hops = 2, .talks = { { 0, { CLOSE } }, { 1, { HELLO, PIPED, MAIL R1, OK OK, "DATA\r\n", "354 go\r\n",
	    SENT, "250 done\r\n", MAIL R1, OK OK, "DATA\r\n", "354 go\r\n", SENT, "250 done\r\n", QUIT } }, { 0, { HELLO, PIPED, MAIL R1, OK OK,
	    "DATA\r\n", "354 go\r\n", SENT, "250 done\r\n" } } }, .want = "taken=250\"done\" by two reached" };
	struct row second = row;

	(void)state;
	begin(&row);
	start();
	ended();
	assert_int_equal(next_hop_state(w.hops[0]), NEXT_HOP_DOWN);
	second.want = "taken=250\"done\" by two reached reused";
	w.row = &second;
	start();
	ended();
	later(61);
	assert_int_equal(next_hop_state(w.hops[0]), NEXT_HOP_NEW);
	second.want = "taken=250\"done\" by one reached";
	start();
	ended();
	over();
	end();
}

/* A host that is one of our listeners has those behind it from MX only to hand the message to us (RFC 5321 5.1). */
static void by_mx_none_is_tried_behind_ourselves(void **state)
{
	static const struct row ahead = { "ahead", .hops = 3, .by_mx = true, .down = 1, .talks = { { 1, { NOTHING } } },
		.want = "later(next_hop_down 451 4.4.1) by two next_hop_down" };
	static const struct row first = { "first", .hops = 2, .by_mx = true, .talks = { { 0, { NOTHING } } },
		.want = "never(mail_loop 554 5.4.6) by one mail_loop" };
	static const struct row named = { "named", .hops = 2, .talks = { { 0, { NOTHING } }, { 1, { HELLO, PIPED, MAIL R1, OK OK, "DATA\r\n", "354 go\r\n",
	    SENT, "250 done\r\n" } } }, .want = "taken=250\"done\" by two reached" };
	static const struct row another = { "another", .talks = { { 0, { HELLO, PIPED, MAIL R1, OK OK, "DATA\r\n", "354 go\r\n", SENT, "250 done\r\n" } } },
		.want = "taken=250\"done\" by one reached" };
	static const struct {
		const struct row *row;
		unsigned self, listener;
	} all[] = { { &ahead, 1, 1 }, { &first, 0, 1 }, { &named, 0, 0 }, { &another, 0, 1 } };

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct conf_listener both[2];

		begin(all[i].row);
		both[0] = both[1] = w.listener;
		both[all[i].listener].addresses = &w.to[all[i].self].address;
		both[all[i].listener].address_count = 1;
		w.listener = both[0];
		w.conf.listeners = both;
		w.conf.listener_count = 2;
		start();
		ended();
		over();
		end();
	}
}

/* ---- waiting ---- */

static void it_waits_for_room(void **state)
{
	static const struct row row = { "room", .talks = { { 0, { HELLO, PIPED, MAIL R1, OK OK, "DATA\r\n", "354 go\r\n", SENT, NOTHING } } },
		.want = "later(next_hop_busy 451 4.3.2) by one busy next_hop_busy" };
	struct deliver *first;

	(void)state;
	begin(&row);
	w.conf.pool.max = 1;
	start();
	settle();
	assert_true(deliver_dot_said(w.deliver));
	first = w.deliver;
	w.far_count = 0; /* no address is known of a connection that is not made */
	start();
	later(LIMIT_ROOM_WAIT_S - 1);
	assert_int_equal(w.told.n, 0);
	later(2);
	ended();
	w.far_count = 1;
	deliver_free(&first);
	settle();
	over();
	end();
}

static void there_may_be_room_in_time(void **state)
{
	static const struct row row = { "room", .talks = { { 0, { HELLO, PIPED, MAIL R1, OK OK, "DATA\r\n", "354 go\r\n", SENT, NOTHING } }, { 0, { HELLO,
	    PIPED, MAIL R1, OK OK, "DATA\r\n", "354 go\r\n", SENT, "250 done\r\n" } } }, .want = "taken=250\"done\" by one reached" };
	struct deliver *first;

	(void)state;
	begin(&row);
	w.conf.pool.max = 1;
	start();
	settle();
	first = w.deliver;
	start();
	later(LIMIT_ROOM_WAIT_S - 1);
	deliver_free(&first);
	ended();
	over();
	end();
}

static void a_host_has_five_minutes_to_greet_and_its_list_has_ten(void **state)
{
	static const struct row row = { "slow", .hops = 3, .talks = { { 0, { NOTHING } }, { 1, { NOTHING } } },
		.want = "later(next_hop_down 451 4.4.1) by two next_hop_down" };

	(void)state;
	begin(&row);
	start();
	later(LIMIT_GREETING_S - 1);
	assert_int_equal(w.far_count, 1);
	later(2);
	assert_int_equal(w.far_count, 2);
	later(LIMIT_HOSTS_S - LIMIT_GREETING_S - 2);
	assert_int_equal(w.told.n, 0);
	later(2);
	ended();
	over();
	end();
}

static void mail_has_five_minutes(void **state)
{
	static const struct row row = { "silent", .talks = { { 0, { HELLO, PIPED, MAIL R1, NOTHING } } },
		.want = "later(next_hop_silent 451 4.4.2) by one reached" };

	(void)state;
	begin(&row);
	start();
	later(299);
	assert_int_equal(w.told.n, 0);
	later(2);
	ended();
	over();
	end();
}

/* ---- stopped ---- */

static void it_can_be_stopped_at_every_step(void **state)
{
	static const struct row whole = { "stopped", .hops = 2, .talks = { { 0, { HELLO, PIPED, MAIL R1, "421 bye\r\n" } }, { 1, { HELLO, "250 x\r\n", MAIL, OK,
	    R1, OK, "DATA\r\n", "354 go\r\n", SENT, "250 done\r\n" } } } };

	(void)state;
	for (size_t talk = 0; talk < 2; talk++)
		for (size_t step = 0; step < 12; step += 2) {
			struct row row = whole;

			if (!whole.talks[talk].steps[step])
				continue;
			row.talks[talk].steps[step] = NOTHING;
			if (talk == 0)
				row.talks[1].steps[0] = NULL;
			begin(&row);
			start();
			settle();
			assert_int_equal(w.told.n, 0);
			assert_true(deliver_dot_said(w.deliver) == (talk == 1 && step == 10));
			deliver_free(&w.deliver);
			settle();
			assert_int_equal(w.told.n, 0);
			assert_true(w.fars[talk].ended);
			assert_true(next_hop_unused(w.hops[talk]));
			over();
			end();
		}
}

static void it_can_be_stopped_at_once_and_at_last(void **state)
{
	static const struct row row = { "stopped", .down = 1 };

	(void)state;
	begin(&row);
	start();
	deliver_free(&w.deliver);
	settle();
	assert_int_equal(w.told.n, 0);
	start();
	for (int i = 0; i < TURNS_MAX && w.told.n == 0; i++)
		turn();
	deliver_free(&w.deliver);
	assert_true(next_hop_unused(w.hops[0]));
	end();
}

/* ---- big ones ---- */

/* More than sockets hold. `sent_out`: NULL, or what is to be heard of it. Both end in NUL. */
static void make_big(struct buf *content_out, struct buf *sent_out)
{
	enum { LINES = 1600000 };

	buf_init(content_out, 1 << 25);
	buf_init(sent_out, 1 << 25);
	for (unsigned i = 0; i < LINES; i++) {
		const char *dot = i % 7 == 0 ? "." : "";

		buf_printf(content_out, "%s%u\r\n", dot, i);
		buf_printf(sent_out, "%s%s%u\r\n", dot, dot, i);
	}
	buf_str(sent_out, ".\r\n");
	buf_octet(content_out, '\0');
	buf_octet(sent_out, '\0');
	assert_false(buf_failed(content_out) || buf_failed(sent_out));
}

static void a_big_one_arrives_to_the_octet(void **state)
{
	struct row big = { "big", .talks = { { 0, { HELLO, PIPED, MAIL R1, OK OK, "DATA\r\n", "354 go\r\n" } } },
		.want = "taken=250\"done\" by one reached" };
	struct buf content, sent;

	(void)state;
	make_big(&content, &sent);
	big.content = (const char *)content.at;
	big.talks[0].steps[7] = (const char *)sent.at;
	big.talks[0].steps[8] = "250 done\r\n";
	run(&big);
	buf_release(&content);
	buf_release(&sent);
}

/* Part of it has gone: nobody else is asked, and nothing can have been taken before the dot. */
static void lost_in_the_content_is_for_later(void **state)
{
	static const struct {
		const char *last, *want;
	} losses[] = {
		{ RESET, "later(next_hop_lost 451 4.4.2) by one reached" },
		{ "421 4.3.2 bye\r\n", "later=421/4.3.2\"4.3.2 bye\" by one reached busy" },
		{ "552 5.3.4 too big\r\n", "later=552/5.3.4\"5.3.4 too big\" by one reached" },
		{ "250 what?\r\n", "later(next_hop_reply 451 4.5.0) by one reached" },
	};
	struct row big = { "lost", .hops = 2, .talks = { { 0, { HELLO, PIPED, MAIL R1, OK OK, "DATA\r\n", "354 go\r\n", "..0\r\n1\r\n" } } } };
	struct buf content, sent;

	(void)state;
	make_big(&content, &sent);
	big.content = (const char *)content.at;
	for (size_t i = 0; i < sizeof(losses) / sizeof(losses[0]); i++) {
		big.talks[0].steps[8] = losses[i].last;
		big.want = losses[i].want;
		begin(&big);
		start();
		ended();
		buf_release(&w.fars[0].got); /* however much of it came */
		over();
		end();
	}
	buf_release(&content);
	buf_release(&sent);
}

static void it_can_be_stopped_in_the_content(void **state)
{
	struct row big = { "stopped", .talks = { { 0, { HELLO, PIPED, MAIL R1, OK OK, "DATA\r\n", "354 go\r\n", "..0\r\n1\r\n", NOTHING } } } };
	struct buf content, sent;

	(void)state;
	make_big(&content, &sent);
	big.content = (const char *)content.at;
	begin(&big);
	start();
	while (!w.far_count || w.fars[0].step < 8)
		turn();
	assert_false(deliver_dot_said(w.deliver));
	deliver_free(&w.deliver);
	settle();
	assert_true(w.fars[0].ended);
	buf_release(&w.fars[0].got);
	over();
	end();
	buf_release(&content);
	buf_release(&sent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_row),
		cmocka_unit_test(a_second_copy_goes_on_the_same_connection),
		cmocka_unit_test(a_connection_that_died_in_the_pool_is_made_anew),
		cmocka_unit_test(what_is_lost_behind_an_answer_is_not_taken_for_stale),
		cmocka_unit_test(one_that_was_down_comes_last_for_a_minute),
		cmocka_unit_test(by_mx_none_is_tried_behind_ourselves),
		cmocka_unit_test(it_waits_for_room),
		cmocka_unit_test(there_may_be_room_in_time),
		cmocka_unit_test(a_host_has_five_minutes_to_greet_and_its_list_has_ten),
		cmocka_unit_test(mail_has_five_minutes),
		cmocka_unit_test(it_can_be_stopped_at_every_step),
		cmocka_unit_test(it_can_be_stopped_at_once_and_at_last),
		cmocka_unit_test(a_big_one_arrives_to_the_octet),
		cmocka_unit_test(lost_in_the_content_is_for_later),
		cmocka_unit_test(it_can_be_stopped_in_the_content),
	};

	return RUN_TESTS(tests);
}
