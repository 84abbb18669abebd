/*
 * Both SMTP machines without memory: each allocation of a dialogue fails once, alone or with all that follow. What is said then is
 * still whole replies, and the end of the session if nothing else can be said.
 */
#include "test.h"

#include "base/limits.h"
#include "smtp/body.h"
#include "smtp/cli.h"

static struct {
	bool armed, all;  /* inside a machine; every one fails from then on */
	unsigned seen, at; /* allocations so far; the one that fails, counted from 0 */
} ration;

static bool refused(void)
{
	unsigned n;

	if (!ration.armed)
		return false;
	n = ration.seen++;
	return n == ration.at || (ration.all && n > ration.at);
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t each);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t each);
void *__wrap_realloc(void *p, size_t n);

void *__wrap_malloc(size_t n)
{
	return refused() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t count, size_t each)
{
	return refused() ? NULL : __real_calloc(count, each);
}

void *__wrap_realloc(void *p, size_t n)
{
	return refused() ? NULL : __real_realloc(p, n);
}

static void want_lines(struct slice replies)
{
	struct slice line;

	while (replies.n) {
		assert_true(slice_cut(&replies, '\n', &line));
		assert_true(line.n >= 4 && line.at[line.n - 1] == '\r');
		assert_true(line.at[0] >= '2' && line.at[0] <= '5' && ascii_digit(line.at[1]) && ascii_digit(line.at[2]));
	}
}

/* ---- the server machine ---- */

/* What a client sends, turn by turn, each ended by NUL. */
static const char *const dialogues[] = {
	"EHLO t\r\n\0MAIL FROM:<s@a.test> SIZE=10\r\nRCPT TO:<r@c.test>\r\nRCPT TO:<r2@c.test>\r\n\0DATA\r\n\0A: b\r\n\r\nx\r\n.\r\n\0QUIT\r\n\0",
	"EHLO t\r\n\0MAIL FROM:<s@a.test>\r\nRCPT TO:<r@c.test>\r\nNOOP\r\n\0BDAT 3\r\nabc\0BDAT 5 LAST\r\nde\r\nf\0QUIT\r\n\0",
	"EHLO t\r\n\0MAIL FROM:<s@a.test>\r\n\0RCPT TO:<r@c.test>\r\n\0DATA\r\n\0a\nb\r\n.\r\n\0",
	"HELO t\r\n\0NO\0OP\r\n\0XCLIENT ADDR=192.0.2.7 HELO=x\r\n\0EHLO y\r\n\0MAIL FROM:<>\r\n\0BDAT 2 LAST\r\nab\0RSET\r\nQUIT\r\n\0",
};

struct session {
	struct srv *srv;
	struct arena tx;
	struct buf replies;
	bool closed;
};

static void answer(struct session *s, const struct srv_event *ev)
{
	static const struct reply yes = { .code = 250, .text = { (const unsigned char *)"2.0.0 yes", 9 } };

	if (ev->kind == SRV_EV_DATA)
		srv_data_go(s->srv, ev->seq);
	else
		srv_answer(s->srv, ev->seq, &yes);
}

static void feed(struct session *s, struct slice in)
{
	enum srv_event_kind kind;
	unsigned turns = 0;

	do {
		struct srv_event ev = { 0 };

		ration.armed = true;
		kind = srv_feed(s->srv, &in, &s->tx, &ev);
		ev.kind = kind;
		if (kind == SRV_EV_MAIL || kind == SRV_EV_RCPT || kind == SRV_EV_DATA || kind == SRV_EV_END)
			answer(s, &ev);
		ration.armed = false;
		if (!buf_failed(srv_out(s->srv))) {
			buf_slice(&s->replies, buf_get(srv_out(s->srv)));
			buf_release(srv_out(s->srv));
		}
		s->closed = kind == SRV_EV_CLOSE || srv_state(s->srv) == SRV_GONE;
		assert_true(++turns < 1000);
	} while (!s->closed && kind != SRV_EV_MORE && kind != SRV_EV_WAIT);
}

/* False: the dialogue needs no more allocations than there were. */
static bool serve(const char *text, unsigned at, bool all)
{
	static const struct srv_conf conf = { .hostname = { (const unsigned char *)"mx.c.test", 9 }, .rcpt_max = 5 };
	const struct ext offer = ext_offer(1000, NULL);
	struct session s = { 0 };

	ration.all = all;
	ration.at = at;
	ration.seen = 0;
	ration.armed = true;
	s.srv = srv_new(&conf);
	ration.armed = false;
	if (!s.srv)
		return true;
	arena_init(&s.tx, LIMIT_TX_ARENA);
	buf_init(&s.replies, 1 << 20);
	ration.armed = true;
	srv_offer(s.srv, &offer);
	srv_trust(s.srv);
	srv_greet(s.srv, NULL);
	ration.armed = false;
	for (; *text && !s.closed; text += strlen(text) + 1)
		feed(&s, slice_str(text));
	want_lines(buf_get(&s.replies));
	if (ration.seen <= at)
		assert_true(slice_starts(buf_get(&s.replies), S("220 ")));
	srv_free(&s.srv);
	arena_clear(&s.tx);
	buf_release(&s.replies);
	return ration.seen > at;
}

static void a_server_without_memory_says_so(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++)
		for (int all = 0; all < 2; all++) {
			unsigned at = 0;

			while (serve(dialogues[i], at, all))
				assert_true(++at < 1000);
			assert_true(at > 5);
		}
}

/* ---- the client machine ---- */

static const char *const hop_says[] = { "220 c.test\r\n", "250-c.test\r\n250-PIPELINING\r\n250-XCLIENT ADDR HELO\r\n250 DSN\r\n",
	"220 c.test\r\n", "250-c.test\r\n250-XCLIENT ADDR\r\n250 PIPELINING\r\n", "25", "0-a\r\n250 b\r\n250 ok\r\n354 go\r\n", "250 taken\r\n", "250 reset\r\n",
	"221 bye\r\n" };

static void hop_heard(struct cli *c, const struct cli_event *ev, unsigned *ready)
{
	static const struct xclient who = { .said = XCLIENT_ADDR, .known = XCLIENT_ADDR, .address = { [10] = 0xff, 0xff, 192, 0, 2, 7 } };
	struct srv_params none = { 0 };
	struct fault f = { 0 };

	if (ev->kind == CLI_EV_READY && ++*ready == 1) {
		cli_xclient(c, &who);
	} else if (ev->kind == CLI_EV_READY && *ready == 2) {
		(void)!cli_mail(c, 1, S("<s@a.test>"), &none, &f);
		(void)!cli_rcpt(c, 2, S("<r@c.test>"), &none, &f);
		cli_data(c, 3);
	} else if (ev->kind == CLI_EV_READY) {
		cli_quit(c);
	} else if (ev->kind == CLI_EV_REPLY && ev->what == CLI_DATA && ev->reply.code == 354) {
		buf_str(cli_out(c), ".\r\n");
		cli_content_sent(c, 4);
	} else if (ev->kind == CLI_EV_REPLY && ev->what == CLI_CONTENT) {
		cli_rset(c);
	}
}

static bool talk(unsigned at, bool all, bool *bye_out)
{
	struct cli_event ev = { 0 };
	unsigned ready = 0;
	struct cli *c;

	ration.all = all;
	ration.at = at;
	ration.seen = 0;
	ration.armed = true;
	c = cli_new(S("me.test"));
	for (size_t i = 0; c && i < sizeof(hop_says) / sizeof(hop_says[0]) && ev.kind != CLI_EV_LOST; i++) {
		struct slice in = slice_str(hop_says[i]);

		while (cli_feed(c, &in, &ev) != CLI_EV_MORE && ev.kind != CLI_EV_LOST)
			hop_heard(c, &ev, &ready);
		buf_clear(cli_out(c));
	}
	ration.armed = false;
	*bye_out = c && ev.kind == CLI_EV_LOST && ev.fault.code == FAULT_NONE;
	cli_free(&c);
	return ration.seen > at;
}

static void a_client_without_memory_is_lost(void **state)
{
	(void)state;
	for (int all = 0; all < 2; all++) {
		unsigned at = 0;
		bool bye;

		while (talk(at, all, &bye))
			assert_true(++at < 1000);
		assert_true(at > 5 && bye);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_server_without_memory_says_so),
		cmocka_unit_test(a_client_without_memory_is_lost),
	};

	return RUN_TESTS(tests);
}
