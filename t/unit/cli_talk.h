/*
 * cli_talk.h - drives the client machine through a dialogue with a next hop, and writes down what was said and what came.
 *
 * Each turn is what the next hop says, then what we do, a letter each, done before the next turn:
 * M mail, P mail with PRDR, T mail with REQUIRETLS, N the same with the null path, R rcpt, D data, C content, S rset, Q quit.
 */
#ifndef CLI_TALK_H
#define CLI_TALK_H

#include "test.h"

#include "smtp/body.h"
#include "smtp/cli.h"

struct row {
	const char *name;
	const char *hop[8], *we[8]; /* NULL: no more */
	const char *sent;           /* all we sent, '$' for CRLF */
	const char *events;         /* a word each */
	const char *fault;
};

struct run {
	struct cli *cli;
	struct buf sent, events;
	struct fault fault;
	bool lost;
};

static inline void feed(struct run *r, struct slice piece)
{
	static const char *const what[] = { [CLI_MAIL] = "mail", [CLI_RCPT] = "rcpt", [CLI_DATA] = "data", [CLI_EACH] = "each",
		[CLI_CONTENT] = "content" };
	struct cli_event ev;

	while (!r->lost && cli_feed(r->cli, &piece, &ev) != CLI_EV_MORE) {
		switch (ev.kind) {
		case CLI_EV_READY:
			assert_true(cli_ready(r->cli));
			buf_str(&r->events, "ready ");
			break;
		case CLI_EV_STARTTLS: /* the handshake takes no time here */
			assert_int_equal(piece.n, 0);
			assert_false(cli_ready(r->cli));
			buf_str(&r->events, "starttls ");
			cli_secured(r->cli);
			break;
		case CLI_EV_REPLY:
			assert_int_equal(ev.tag, (ev.what == CLI_EACH ? CLI_CONTENT : ev.what) + 7);
			buf_printf(&r->events, "%s=%d%s ", what[ev.what], ev.reply.code, ev.last ? "!" : "");
			break;
		case CLI_EV_LOST:
			buf_str(&r->events, "lost ");
			r->fault = ev.fault;
			r->lost = true;
			break;
		case CLI_EV_MORE:
			break;
		}
	}
	if (!r->lost)
		assert_int_equal(piece.n, 0);
}

static inline void act(struct run *r, const char *letters)
{
	struct body_writer w;
	struct fault f = { 0 };
	struct slice run, content = S("x\r\n");
	struct srv_params p = { 0 };
	char name[FAULT_NAME_OCTETS];

	for (; *letters && !r->lost; letters++) {
		switch (*letters) {
		case 'P':
		case 'T':
		case 'N':
			p = (struct srv_params){ .prdr = *letters == 'P', .requiretls = *letters != 'P' };
			if (!cli_mail(r->cli, CLI_MAIL + 7, *letters == 'N' ? S("<>") : S("<s@a.test>"), &p, &f)) {
				fault_name(f.code, name);
				buf_printf(&r->events, "%s ", name);
			}
			break;
		case 'M':
			assert_true(cli_mail(r->cli, CLI_MAIL + 7, S("<s@a.test>"), NULL, &f));
			break;
		case 'R':
			assert_true(cli_rcpt(r->cli, CLI_RCPT + 7, S("<r@c.test>"), NULL, &f));
			break;
		case 'D':
			cli_data(r->cli, CLI_DATA + 7);
			break;
		case 'C':
			body_writer_init(&w);
			while (body_write(&w, &content, &run))
				buf_slice(cli_out(r->cli), run);
			buf_slice(cli_out(r->cli), body_finish(&w));
			cli_content_sent(r->cli, CLI_CONTENT + 7);
			break;
		case 'S':
			cli_rset(r->cli);
			break;
		default:
			cli_quit(r->cli);
		}
	}
}

static inline void take_sent(struct run *r)
{
	struct slice out = buf_get(cli_out(r->cli));

	for (size_t i = 0; i < out.n; i++)
		if (out.at[i] != '\r')
			buf_octet(&r->sent, out.at[i] == '\n' ? '$' : out.at[i]);
	buf_release(cli_out(r->cli));
}

/* `piece`: 0 whole, else the turn is fed in pieces of so many octets. */
static inline void dialogue(const struct row *row, enum cli_tls tls, bool lmtp, size_t piece, size_t cut)
{
	char name[FAULT_NAME_OCTETS] = "";
	struct run r = { .cli = cli_new(S("me.test")) };

	assert_non_null(r.cli);
	cli_tls(r.cli, tls);
	if (lmtp)
		cli_lmtp(r.cli);
	buf_init(&r.sent, 65536);
	buf_init(&r.events, 65536);
	for (size_t t = 0; t < 8 && row->hop[t]; t++) {
		struct slice turn = slice_str(row->hop[t]);
		size_t first = piece ? piece : cut < turn.n ? cut : turn.n;

		feed(&r, slice_sub(turn, 0, first));
		for (size_t at = first; at < turn.n; at += piece ? piece : turn.n)
			feed(&r, slice_sub(turn, at, piece ? piece : SIZE_MAX));
		if (row->we[t])
			act(&r, row->we[t]);
		take_sent(&r);
	}
	if (r.lost)
		fault_name(r.fault.code, name);
	if (!slice_eq(buf_get(&r.events), slice_str(row->events)) || !slice_eq(buf_get(&r.sent), slice_str(row->sent)) ||
	    strcmp(name, row->fault) != 0)
		print_error("%s: piece %zu cut %zu\n", row->name, piece, cut);
	WANT_SLICE(buf_get(&r.events), slice_str(row->events));
	WANT_SLICE(buf_get(&r.sent), slice_str(row->sent));
	assert_string_equal(name, row->fault);
	buf_release(&r.sent);
	buf_release(&r.events);
	cli_free(&r.cli);
}

static inline void dialogue_at_every_cut(const struct row *row, enum cli_tls tls, bool lmtp)
{
	for (size_t piece = 0; piece < 4; piece++)
		dialogue(row, tls, lmtp, piece, SIZE_MAX);
	for (size_t cut = 0; cut < 40; cut++)
		dialogue(row, tls, lmtp, 0, cut);
}

#endif
