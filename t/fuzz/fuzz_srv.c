/*
 * What a client may send. The first octet says how it is cut, the second how its commands are answered
 * and whether it may say XCLIENT or AUTH. Replies are whole lines of
 * three digits; without DATA (what stands behind it may be early) any cut gives the same ones.
 */
#include "base/buf.h"
#include "base/limits.h"
#include "fuzz.h"
#include "smtp/srv.h"

struct session {
	struct srv *srv;
	struct arena tx;
	struct buf replies;
	unsigned answers;    /* bit n%8: is the n-th event refused */
	unsigned count;
	bool closed, content_bad;
	bool each;           /* MAIL said PRDR */
};

static void answer(struct session *s, const struct srv_event *ev)
{
	bool no = s->answers >> (s->count++ & 7) & 1;
	const struct reply yes_reply = { .code = 250, .text = S("2.0.0 yes") }, no_reply = { .code = 550, .text = S("5.0.0 no\nno") };

	if (ev->kind == SRV_EV_MAIL)
		s->each = ev->params.prdr;
	if (ev->kind == SRV_EV_END && s->each) {
		srv_answer_rcpt(s->srv, ev->seq, no ? &no_reply : &yes_reply, NULL);
		srv_answer_rcpt(s->srv, ev->seq, &no_reply, NULL);
	}
	if (ev->kind == SRV_EV_DATA && !no)
		srv_data_go(s->srv, ev->seq);
	else
		srv_answer(s->srv, ev->seq, no ? &no_reply : &yes_reply);
}

static void auth(struct session *s, const struct srv_event *ev)
{
	struct fault f = { 0 };

	fault_set(&f, FAULT_AUTH_FAILED, 0);
	if (s->answers >> (s->count++ & 7) & 1)
		srv_auth_end(s->srv, &f);
	else if (ev->first)
		srv_auth_ask(s->srv, slice_sub(ev->content, 0, 64));
	else
		srv_auth_end(s->srv, NULL);
}

static void take_replies(struct session *s)
{
	struct buf *out = srv_out(s->srv);

	WANT(!buf_failed(out));
	buf_slice(&s->replies, buf_get(out));
	buf_release(out);
}

static void feed(struct session *s, struct slice in)
{
	while (!s->closed) {
		struct srv_event ev;

		switch (srv_feed(s->srv, &in, &s->tx, &ev)) {
		case SRV_EV_MAIL:
		case SRV_EV_RCPT:
			WANT(ev.path.raw.n >= 2 && ev.path.raw.at[0] == '<');
			for (size_t i = 0; i < ev.path.raw.n; i++)
				WANT(ev.path.raw.at[i] >= 0x20 && ev.path.raw.at[i] != 0x7f);
			answer(s, &ev);
			break;
		case SRV_EV_DATA:
		case SRV_EV_END:
			answer(s, &ev);
			break;
		case SRV_EV_CONTENT:
			WANT(ev.content.n && !memchr(ev.content.at, '\0', ev.content.n));
			break;
		case SRV_EV_STARTTLS:
			srv_secured(s->srv);
			break;
		case SRV_EV_AUTH:
			WANT(!srv_authenticated(s->srv));
			auth(s, &ev);
			break;
		case SRV_EV_BAD:
		case SRV_EV_REFUSED:
			WANT(ev.fault.code != FAULT_NONE);
			break;
		case SRV_EV_RESET:
			break;
		case SRV_EV_XCLIENT:
		case SRV_EV_XFORWARD:
			WANT(ev.who->said && (ev.who->known & ~ev.who->said) == 0);
			break;
		case SRV_EV_CLOSE:
			WANT(srv_state(s->srv) == SRV_GONE);
			s->closed = true;
			break;
		case SRV_EV_WAIT:
			WANT(srv_pending(s->srv) > 0); /* all were given */
			break;
		case SRV_EV_MORE:
			WANT(in.n == 0);
			take_replies(s);
			return;
		}
		take_replies(s);
	}
}

static void talk(struct slice in, size_t piece, unsigned answers, struct buf *replies_out)
{
	static const struct srv_conf conf = { .hostname = { (const unsigned char *)"mx.c.test", 9 }, .rcpt_max = 3 };
	const struct ext hop = { .bits = EXT_8BITMIME | EXT_SMTPUTF8 | EXT_DSN | EXT_PRDR };
	const struct ext offer = ext_offer(1000, &hop);
	struct session s = { .srv = srv_new(&conf), .answers = answers };
	struct slice part;

	WANT(s.srv);
	arena_init(&s.tx, LIMIT_TX_ARENA);
	buf_init(&s.replies, SIZE_MAX / 2);
	srv_offer(s.srv, &offer);
	if (answers & 1)
		srv_trust(s.srv);
	if (answers & 2)
		srv_tls(s.srv, SRV_TLS_ON);
	srv_auth(s.srv, 1U << AUTH_PLAIN | 1U << AUTH_SCRAM_SHA_256);
	srv_greet(s.srv, NULL);
	feed(&s, S("EHLO t\r\n"));
	while (in.n && !s.closed) {
		(void)slice_take(&in, piece < in.n ? piece : in.n, &part);
		feed(&s, part);
	}
	srv_free(&s.srv);
	arena_clear(&s.tx);
	*replies_out = s.replies;
}

static void want_lines(struct slice replies)
{
	struct slice line;

	while (replies.n) {
		WANT(slice_cut(&replies, '\n', &line));
		WANT(line.n >= 4 && line.n < 512 && line.at[line.n - 1] == '\r');
		WANT(line.at[0] >= '2' && line.at[0] <= '5' && ascii_digit(line.at[1]) && ascii_digit(line.at[2]));
		for (size_t i = 3; i < line.n - 1; i++)
			WANT(line.at[i] >= 0x20 && line.at[i] < 0x7f);
	}
}

static bool holds_data(struct slice s)
{
	for (size_t i = 0; i + 4 <= s.n; i++)
		if (slice_ieq(slice_sub(s, i, 4), S("DATA")))
			return true;
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	struct buf whole, cut;
	struct slice in;

	if (n < 3)
		return 0;
	in = slice_of(at + 2, n - 2);
	talk(in, SIZE_MAX, at[1], &whole);
	talk(in, at[0] ? at[0] : 1, at[1], &cut);
	want_lines(buf_get(&whole));
	want_lines(buf_get(&cut));
	if (!holds_data(in))
		WANT(slice_eq(buf_get(&whole), buf_get(&cut)));
	buf_release(&whole);
	buf_release(&cut);
	return 0;
}
