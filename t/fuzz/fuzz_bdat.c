/*
 * Chunks. The octets in front say how the stream is cut and how long the chunks are, in which the rest is sent as one message. What
 * comes out is what went in, or it is refused where the reader of whole content refuses it; each chunk has one answer, and the
 * command behind the last one is read as a command.
 */
#include "base/buf.h"
#include "base/limits.h"
#include "fuzz.h"
#include "smtp/body.h"
#include "smtp/srv.h"

struct talk {
	struct srv *srv;
	struct arena tx;
	struct buf content, replies;
	unsigned data, bad, ends;
	bool crlf_added;
};

static void feed(struct talk *t, struct slice in)
{
	static const struct reply yes = { .code = 250, .text = { (const unsigned char *)"2.0.0 yes", 9 } };

	for (;;) {
		struct srv_event ev;
		enum srv_event_kind kind = srv_feed(t->srv, &in, &t->tx, &ev);

		buf_slice(&t->replies, buf_get(srv_out(t->srv)));
		buf_release(srv_out(t->srv));
		switch (kind) {
		case SRV_EV_MORE:
			WANT(in.n == 0);
			return;
		case SRV_EV_MAIL:
		case SRV_EV_RCPT:
			srv_answer(t->srv, ev.seq, &yes);
			break;
		case SRV_EV_DATA:
			t->data++;
			srv_data_go(t->srv, ev.seq);
			break;
		case SRV_EV_CONTENT:
			WANT(!t->bad && ev.content.n);
			buf_slice(&t->content, ev.content);
			break;
		case SRV_EV_END:
			t->ends++;
			t->crlf_added = ev.crlf_added;
			srv_answer(t->srv, ev.seq, &yes);
			break;
		case SRV_EV_BAD:
			WANT(t->bad++ == 0);
			break;
		default:
			WANT(kind == SRV_EV_MORE); /* nothing else was asked for */
		}
	}
}

/* Command and octets of each chunk, then a command that must be one. */
static unsigned frame(struct slice sizes, struct slice content, struct buf *out)
{
	unsigned chunks = 0;

	for (;;) {
		struct slice octet, piece;
		bool more = slice_take(&sizes, 1, &octet);
		size_t n = more && octet.at[0] < content.n ? octet.at[0] : content.n;

		(void)slice_take(&content, n, &piece);
		buf_printf(out, "BDAT %zu%s\r\n", piece.n, more ? "" : " LAST");
		buf_slice(out, piece);
		chunks++;
		if (!more)
			break;
	}
	buf_str(out, "NOOP\r\n");
	return chunks;
}

static void talk(struct slice stream, size_t piece, struct talk *t)
{
	static const struct srv_conf conf = { .hostname = { (const unsigned char *)"mx.c.test", 9 }, .rcpt_max = 3 };
	const struct ext offer = ext_offer(0, NULL);
	struct slice part;

	*t = (struct talk){ .srv = srv_new(&conf) };
	WANT(t->srv);
	arena_init(&t->tx, LIMIT_TX_ARENA);
	buf_init(&t->content, SIZE_MAX / 2);
	buf_init(&t->replies, SIZE_MAX / 2);
	srv_offer(t->srv, &offer);
	srv_greet(t->srv, NULL);
	feed(t, S("EHLO t\r\nMAIL FROM:<s@a.test>\r\nRCPT TO:<r@c.test>\r\n"));
	buf_clear(&t->replies);
	while (stream.n) {
		(void)slice_take(&stream, piece < stream.n ? piece : stream.n, &part);
		feed(t, part);
	}
}

/* What the reader says to all of it at once. */
static enum fault_code judged(struct slice content)
{
	struct body_reader r;
	struct slice run;

	body_reader_init_framed(&r);
	while (body_read(&r, &content, &run) == BODY_RUN)
		;
	while (body_read_end(&r, &run) == BODY_RUN)
		;
	return r.fault.code;
}

/* 250 to each chunk that was taken, 550 to the one that was not, 503 to those behind it; 250 to NOOP. */
static void want_answers(struct slice replies, unsigned chunks, bool refused)
{
	unsigned n = 0, yes = 0, no = 0;
	struct slice line;

	while (slice_cut(&replies, '\n', &line)) {
		n++;
		if (slice_starts(line, S("250 2."))) {
			yes++;
			WANT(no == 0 || n == chunks + 1);
		} else {
			WANT(n <= chunks && slice_starts(line, no++ ? S("503 5.5.1") : S("550 5.6.0")));
		}
	}
	WANT(n == chunks + 1 && (no > 0) == refused && yes + no == n);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	struct slice rest = slice_of(at, n), head, sizes, content;
	struct talk whole, cut;
	struct buf stream;
	unsigned chunks;
	bool refused;

	if (!slice_take(&rest, 2, &head) || !slice_take(&rest, head.at[1] & 15, &sizes))
		return 0;
	content = rest;
	buf_init(&stream, SIZE_MAX / 2);
	chunks = frame(sizes, content, &stream);
	refused = judged(content) != FAULT_NONE;
	talk(buf_get(&stream), SIZE_MAX, &whole);
	talk(buf_get(&stream), head.at[0] ? head.at[0] : 1, &cut);
	WANT(slice_eq(buf_get(&whole.replies), buf_get(&cut.replies)));
	want_answers(buf_get(&whole.replies), chunks, refused);
	WANT(whole.data == 1 && cut.data == 1 && whole.bad == cut.bad && whole.ends == cut.ends);
	WANT(whole.bad == refused && whole.ends == !refused);
	WANT(srv_state(whole.srv) == SRV_IDLE && srv_state(cut.srv) == SRV_IDLE);
	if (!refused) {
		bool lacks = content.n && !slice_ends(content, S("\r\n"));

		WANT(slice_eq(buf_get(&whole.content), buf_get(&cut.content)));
		WANT(slice_starts(buf_get(&whole.content), content) && whole.content.n == content.n + (lacks ? 2 : 0));
		WANT(whole.crlf_added == lacks && cut.crlf_added == lacks);
	}
	for (int i = 0; i < 2; i++) {
		struct talk *t = i ? &cut : &whole;

		srv_free(&t->srv);
		arena_clear(&t->tx);
		buf_release(&t->content);
		buf_release(&t->replies);
	}
	buf_release(&stream);
	return 0;
}
