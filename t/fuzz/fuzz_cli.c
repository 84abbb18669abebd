/*
 * What a next hop may answer. The first octet says how it is cut, and by its top bits whether it is one of LMTP, and whether PRDR and
 * REQUIRETLS are said to it; a transaction is tried as soon as it is ready. Any cut gives the
 * same events, and a reply passed on is whole lines of printable text.
 */
#include "base/buf.h"
#include "fuzz.h"
#include "smtp/body.h"
#include "smtp/cli.h"

enum { LMTP = 0x80, EACH = 0x40 };

static void act(struct cli *c, unsigned mode, const struct cli_event *ev)
{
	const struct srv_params p = { .size_named = true, .size_octets = 3, .notify = S("NEVER"), .ret = S("FULL"), .prdr = mode & EACH,
		.requiretls = mode & EACH };
	struct slice content = S(".\r\n"), run;
	struct body_writer w;
	struct fault f = { 0 };

	if (ev->kind == CLI_EV_READY) {
		if (!cli_mail(c, 1, S("<s@a.test>"), &p, &f)) {
			WANT(p.requiretls && f.code == FAULT_NEXT_HOP_LACKS && !(cli_ext(c)->bits & EXT_REQUIRETLS));
			WANT(cli_mail(c, 1, S("<>"), &p, &f));
		}
		WANT(cli_rcpt(c, 2, S("<r@c.test>"), &p, &f));
		WANT(cli_rcpt(c, 3, S("<s@c.test>"), &p, &f));
		cli_data(c, 4);
	} else if (ev->what == CLI_DATA && ev->reply.code == 354) {
		body_writer_init(&w);
		while (body_write(&w, &content, &run))
			buf_slice(cli_out(c), run);
		buf_slice(cli_out(c), body_finish(&w));
		cli_content_sent(c, 5);
	} else if (ev->what == CLI_DATA || ev->what == CLI_CONTENT || (ev->what == CLI_EACH && ev->last)) {
		if (ev->reply.code == 250)
			cli_quit(c);
		else
			cli_rset(c);
	}
}

static void want_reply(const struct reply *r, struct buf *log)
{
	size_t from = log->n;
	bool last = false;

	WANT(r->code >= 200 && r->code <= 599);
	reply_write(log, r, false);
	for (size_t i = from; i < log->n; i++)
		WANT((log->at[i] >= 0x20 && log->at[i] < 0x7f) || log->at[i] == '\t' || log->at[i] == '\r' || log->at[i] == '\n');
	for (size_t at = from; at < log->n;) {
		size_t end = at + slice_find(slice_sub(buf_get(log), at, SIZE_MAX), '\n');

		WANT(!last && end < log->n && end - at >= 4 && log->at[end - 1] == '\r');
		last = log->at[at + 3] != '-';
		at = end + 1;
	}
	WANT(last);
}

static void talk(struct slice in, unsigned mode, size_t piece, struct buf *log)
{
	struct cli *c = cli_new(S("me.test"));
	bool lost = false;
	struct slice part;

	WANT(c);
	if (mode & LMTP)
		cli_lmtp(c);
	while (in.n && !lost) {
		struct cli_event ev;

		(void)slice_take(&in, piece < in.n ? piece : in.n, &part);
		while (!lost && cli_feed(c, &part, &ev) != CLI_EV_MORE) {
			buf_printf(log, "%d %d %u %d\n", (int)ev.kind, (int)ev.what, (unsigned)ev.tag, (int)ev.fault.code);
			if (ev.reply.code)
				want_reply(&ev.reply, log);
			lost = ev.kind == CLI_EV_LOST;
			if (!lost)
				act(c, mode, &ev);
			buf_slice(log, buf_get(cli_out(c)));
			buf_release(cli_out(c));
		}
		WANT(lost || part.n == 0);
	}
	cli_free(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	struct buf whole, cut;
	struct slice in;

	if (n < 2)
		return 0;
	in = slice_of(at + 1, n - 1);
	buf_init(&whole, SIZE_MAX / 2);
	buf_init(&cut, SIZE_MAX / 2);
	talk(in, at[0], SIZE_MAX, &whole);
	talk(in, at[0], at[0] & 0x3f ? at[0] & 0x3f : 1, &cut);
	WANT(slice_eq(buf_get(&whole), buf_get(&cut)));
	buf_release(&whole);
	buf_release(&cut);
	return 0;
}
