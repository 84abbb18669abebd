/* The client side of SMTP: what a next hop says, in any pieces, and what is sent to it. */
#include "test.h"

#include "smtp/body.h"
#include "smtp/cli.h"

/*
 * A dialogue: each turn is what the next hop says, then what we do:
 * M mail, R rcpt, D data, C content, S rset, Q quit. Each letter is done before the next turn.
 */
static const struct row {
	const char *name;
	const char *hop[8], *we[8]; /* NULL: no more */
	const char *sent;           /* all we sent, '$' for CRLF */
	const char *events;         /* a word each */
	const char *fault;
} rows[] = {
	{ "a message in pieces", { "220 up ESMTP\r\n", "250-up.test\r\n250 SIZE 10\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n", "250 2.0.0 done\r\n" },
	    { "", "MRD", "", "", "C", "Q" }, "EHLO me.test$MAIL FROM:<s@a.test>$RCPT TO:<r@c.test>$DATA$x$.$QUIT$",
	    "ready mail=250 rcpt=250 data=354 content=250 ", "" },
	{ "a message pipelined", { "220 up\r\n", "250-up.test\r\n250-PIPELINING\r\n250 SIZE\r\n", "250 ok\r\n251 ok\r\n354 go\r\n", "550-5.7.1 no\r\n550 5.7.1 no\r\n" },
	    { "", "MRD", "C", "S" }, "EHLO me.test$MAIL FROM:<s@a.test>$RCPT TO:<r@c.test>$DATA$x$.$RSET$",
	    "ready mail=250 rcpt=251 data=354 content=550 ", "" },
	{ "refusals are answers", { "220 up\r\n", "250 up.test\r\n", "550 5.1.0 no\r\n", "450 later\r\n", "503 what\r\n" }, { "", "MRD", "", "", "S" },
	    "EHLO me.test$MAIL FROM:<s@a.test>$RCPT TO:<r@c.test>$DATA$RSET$", "ready mail=550 rcpt=450 data=503 ", "" },
	{ "HELO where EHLO is not known", { "220 up\r\n", "500 what\r\n", "250 up\r\n" }, { "", "", "M" }, "EHLO me.test$HELO me.test$MAIL FROM:<s@a.test>$",
	    "ready ", "" },
	{ "neither is known", { "220 up\r\n", "500 what\r\n", "550 no\r\n" }, { "" }, "EHLO me.test$HELO me.test$", "lost ", "next_hop_down" },
	{ "a greeting of more than one line", { "220-up\r\n220-is\r\n220 ready\r\n", "250 up\r\n" }, { "" }, "EHLO me.test$", "ready ", "" },
	{ "greeting refuses", { "554 not you\r\n" }, { "" }, "", "lost ", "next_hop_down" },
	{ "greeting is 421", { "421 busy\r\n" }, { "" }, "", "lost ", "next_hop_421" },
	{ "greeting is 354", { "354 what\r\n" }, { "" }, "", "lost ", "next_hop_reply" },
	{ "EHLO put off", { "220 up\r\n", "450 wait\r\n" }, { "" }, "EHLO me.test$", "lost ", "next_hop_down" },
	{ "EHLO is 421", { "220 up\r\n", "421 bye\r\n" }, { "" }, "EHLO me.test$", "lost ", "next_hop_421" },
	{ "421 to MAIL", { "220 up\r\n", "250 up\r\n", "421 bye\r\n" }, { "", "M" }, "EHLO me.test$MAIL FROM:<s@a.test>$", "ready lost ", "next_hop_421" },
	{ "421 while idle", { "220 up\r\n", "250 up\r\n", "421 bye\r\n" }, { "", "" }, "EHLO me.test$", "ready lost ", "next_hop_421" },
	{ "421 in content", { "220 up\r\n", "250 up\r\n", "354 go\r\n", "421 bye\r\n" }, { "", "D", "" }, "EHLO me.test$DATA$", "ready data=354 lost ", "next_hop_421" },
	{ "421 after content", { "220 up\r\n", "250 up\r\n", "354 go\r\n", "421 bye\r\n" }, { "", "D", "C" }, "EHLO me.test$DATA$x$.$", "ready data=354 lost ", "next_hop_421" },
	{ "unasked octets while idle", { "220 up\r\n", "250 up\r\n", "250 ok\r\n" }, { "", "" }, "EHLO me.test$", "ready lost ", "next_hop_desync" },
	{ "two answers to EHLO", { "220 up\r\n", "250 up\r\n250 up\r\n" }, { "" }, "EHLO me.test$", "ready lost ", "next_hop_desync" },
	{ "half an unasked answer before MAIL", { "220 up\r\n", "250 up\r\n2", "50 ok\r\n250 ok\r\n" }, { "", "M" }, "EHLO me.test$MAIL FROM:<s@a.test>$", "ready lost ",
	    "next_hop_desync" },
	{ "two answers to MAIL, one by one", { "220 up\r\n", "250 up\r\n", "250 ok\r\n250 ok\r\n" }, { "", "M" }, "EHLO me.test$MAIL FROM:<s@a.test>$",
	    "ready mail=250 lost ", "next_hop_desync" },
	{ "two answers to MAIL, pipelined", { "220 up\r\n", "250-up\r\n250 PIPELINING\r\n", "250 ok\r\n250 ok\r\n250 ok\r\n" }, { "", "MRD" },
	    "EHLO me.test$MAIL FROM:<s@a.test>$RCPT TO:<r@c.test>$DATA$", "ready mail=250 rcpt=250 lost ", "next_hop_reply" },
	{ "354 to MAIL", { "220 up\r\n", "250 up\r\n", "354 go\r\n" }, { "", "M" }, "EHLO me.test$MAIL FROM:<s@a.test>$", "ready lost ", "next_hop_reply" },
	{ "221 to RCPT", { "220 up\r\n", "250 up\r\n", "221 bye\r\n" }, { "", "R" }, "EHLO me.test$RCPT TO:<r@c.test>$", "ready lost ", "next_hop_reply" },
	{ "250 to DATA", { "220 up\r\n", "250 up\r\n", "250 ok\r\n" }, { "", "D" }, "EHLO me.test$DATA$", "ready lost ", "next_hop_reply" },
	{ "354 to content", { "220 up\r\n", "250 up\r\n", "354 go\r\n", "354 go\r\n" }, { "", "D", "C" }, "EHLO me.test$DATA$x$.$", "ready data=354 lost ", "next_hop_reply" },
	{ "250 before the dot", { "220 up\r\n", "250 up\r\n", "354 go\r\n250 done\r\n" }, { "", "D" }, "EHLO me.test$DATA$", "ready data=354 lost ", "next_hop_reply" },
	{ "mixed codes", { "220 up\r\n", "250 up\r\n", "250-ok\r\n550 no\r\n" }, { "", "R" }, "EHLO me.test$RCPT TO:<r@c.test>$", "ready lost ", "next_hop_reply" },
	{ "RSET gives it back", { "220 up\r\n", "250 up\r\n", "250 ok\r\n", "250 ok\r\n" }, { "", "M", "S" }, "EHLO me.test$MAIL FROM:<s@a.test>$RSET$",
	    "ready mail=250 ready ", "" },
	{ "RSET refused", { "220 up\r\n", "250 up\r\n", "500 no\r\n" }, { "", "S" }, "EHLO me.test$RSET$", "ready lost ", "next_hop_reply" },
	{ "QUIT answered", { "220 up\r\n", "250 up\r\n", "221 bye\r\n" }, { "", "Q" }, "EHLO me.test$QUIT$", "ready lost ", "none" },
	{ "QUIT before the greeting", { "", "220 up\r\n", "221 bye\r\n" }, { "Q" }, "QUIT$", "lost ", "none" },
	{ "QUIT behind DATA does not become content", { "220 up\r\n", "250 up\r\n", "354 go\r\n" }, { "", "DQ", "" }, "EHLO me.test$DATA$", "ready data=354 ", "" },
	{ "QUIT in content is not written", { "220 up\r\n", "250 up\r\n", "354 go\r\n" }, { "", "D", "Q" }, "EHLO me.test$DATA$", "ready data=354 ", "" },
};

struct run {
	struct cli *cli;
	struct buf sent, events;
	struct fault fault;
	bool lost;
};

static void feed(struct run *r, struct slice piece)
{
	static const char *const what[] = { [CLI_MAIL] = "mail", [CLI_RCPT] = "rcpt", [CLI_DATA] = "data", [CLI_CONTENT] = "content" };
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
			assert_int_equal(ev.tag, ev.what + 7);
			buf_printf(&r->events, "%s=%d ", what[ev.what], ev.reply.code);
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

static void act(struct run *r, const char *letters)
{
	struct body_writer w;
	struct fault f = { 0 };
	struct slice run, content = S("x\r\n");

	for (; *letters && !r->lost; letters++) {
		switch (*letters) {
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

static void take_sent(struct run *r)
{
	struct slice out = buf_get(cli_out(r->cli));

	for (size_t i = 0; i < out.n; i++)
		if (out.at[i] != '\r')
			buf_octet(&r->sent, out.at[i] == '\n' ? '$' : out.at[i]);
	buf_release(cli_out(r->cli));
}

/* `piece`: 0 whole, else the turn is fed in pieces of so many octets. */
static void dialogue(const struct row *row, enum cli_tls tls, size_t piece, size_t cut)
{
	char name[FAULT_NAME_OCTETS] = "";
	struct run r = { .cli = cli_new(S("me.test")) };

	assert_non_null(r.cli);
	cli_tls(r.cli, tls);
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

static void dialogues_at_every_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t piece = 0; piece < 4; piece++)
			dialogue(&rows[i], CLI_TLS_NONE, piece, SIZE_MAX);
		for (size_t cut = 0; cut < 40; cut++)
			dialogue(&rows[i], CLI_TLS_NONE, 0, cut);
	}
}

static struct cli *ready_cli(const char *ehlo)
{
	struct cli *c = cli_new(S("me.test"));
	struct slice in = S("220 up\r\n");
	struct cli_event ev;

	assert_non_null(c);
	assert_int_equal(cli_deadline_s(c), 300);
	assert_false(cli_idle(c));
	assert_int_equal(cli_feed(c, &in, &ev), CLI_EV_MORE);
	in = slice_str(ehlo);
	assert_int_equal(cli_feed(c, &in, &ev), CLI_EV_READY);
	buf_release(cli_out(c));
	assert_true(cli_idle(c));
	assert_int_equal(cli_deadline_s(c), 0);
	return c;
}

static void parameters_go_where_they_are_known(void **state)
{
	const struct srv_params all = { .body_8bit = true, .body_named = true, .smtputf8 = true, .size_named = true, .size_octets = 77,
		.ret = S("HDRS"), .envid = S("e1"), .notify = S("NEVER"), .orcpt = S("rfc822;r@c") };
	struct srv_params soft = all;
	struct fault f = { 0 };
	struct cli *c = ready_cli("250-up\r\n250-SIZE\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-PIPELINING\r\n250 DSN\r\n");

	(void)state;
	assert_true(cli_mail(c, 1, S("<s@a.test>"), &all, &f));
	assert_true(cli_rcpt(c, 2, S("<r@c.test>"), &all, &f));
	WANT_SLICE(buf_get(cli_out(c)), S("MAIL FROM:<s@a.test> SIZE=77 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=e1\r\n"
	    "RCPT TO:<r@c.test> NOTIFY=NEVER ORCPT=rfc822;r@c\r\n"));
	assert_false(cli_idle(c));
	cli_free(&c);

	c = ready_cli("250 up\r\n");
	assert_false(cli_mail(c, 1, S("<s@a.test>"), &all, &f));
	assert_int_equal(f.code, FAULT_NEXT_HOP_LACKS);
	assert_string_equal(f.enhanced, "5.6.3");
	memset(&f, 0, sizeof(f));
	soft.body_8bit = false;
	assert_false(cli_mail(c, 1, S("<s@a.test>"), &soft, &f));
	assert_string_equal(f.enhanced, "5.6.7");
	assert_true(cli_idle(c));
	memset(&f, 0, sizeof(f));
	soft.smtputf8 = false;
	assert_true(cli_mail(c, 1, S("<s@a.test>"), &soft, &f));
	assert_true(cli_rcpt(c, 2, S("<r@c.test>"), &soft, &f)); /* waits: no PIPELINING */
	WANT_SLICE(buf_get(cli_out(c)), S("MAIL FROM:<s@a.test>\r\n"));
	cli_free(&c);
}

static void nothing_breaks_a_command_line(void **state)
{
	struct fault f = { 0 };
	struct cli *c = ready_cli("250 up\r\n");

	(void)state;
	assert_false(cli_rcpt(c, 1, S("<r@c.test>\r\nDATA"), NULL, &f));
	assert_int_equal(f.code, FAULT_INTERNAL);
	assert_int_equal(cli_out(c)->n, 0);
	cli_free(&c);
}

static void many_recipients_one_by_one(void **state)
{
	struct fault f = { 0 };
	struct cli *c = ready_cli("250 up\r\n");
	struct cli_event ev;

	(void)state;
	for (uint32_t i = 0; i < 1000; i++)
		assert_true(cli_rcpt(c, i, S("<r@c.test>"), NULL, &f));
	for (uint32_t i = 0; i < 1000; i++) {
		struct slice in = i % 3 ? S("250 ok\r\n") : S("550 5.1.1 no\r\n");

		WANT_SLICE(buf_get(cli_out(c)), S("RCPT TO:<r@c.test>\r\n"));
		buf_release(cli_out(c));
		assert_int_equal(cli_feed(c, &in, &ev), CLI_EV_REPLY);
		assert_int_equal(ev.tag, i);
		assert_int_equal(ev.reply.code, i % 3 ? 250 : 550);
		assert_string_equal(ev.reply.enhanced, i % 3 ? "" : "5.1.1");
	}
	assert_true(cli_idle(c));
	cli_free(&c);
}

static void an_open_transaction_is_not_idle(void **state)
{
	struct fault f = { 0 };
	struct cli *c = ready_cli("250 up\r\n");
	struct slice in = S("250 ok\r\n");
	struct cli_event ev;

	(void)state;
	assert_true(cli_mail(c, 1, S("<>"), NULL, &f));
	assert_int_equal(cli_feed(c, &in, &ev), CLI_EV_REPLY);
	assert_false(cli_idle(c));
	cli_rset(c);
	in = S("250 ok\r\n");
	assert_int_equal(cli_feed(c, &in, &ev), CLI_EV_READY);
	assert_true(cli_idle(c));
	in = S("4");
	assert_int_equal(cli_feed(c, &in, &ev), CLI_EV_MORE);
	assert_false(cli_idle(c)); /* something has come that nobody asked for */
	cli_free(&c);
}

static void deadlines(void **state)
{
	struct cli *c = ready_cli("250 up\r\n");
	struct slice in = S("354 go\r\n");
	struct cli_event ev;

	(void)state;
	cli_data(c, 1);
	assert_int_equal(cli_deadline_s(c), 120);
	assert_int_equal(cli_feed(c, &in, &ev), CLI_EV_REPLY);
	assert_int_equal(cli_deadline_s(c), 180);
	cli_content_sent(c, 2);
	assert_int_equal(cli_deadline_s(c), 600);
	cli_free(&c);
}

#define OFFERS "250-up\r\n250 STARTTLS\r\n"

static const struct tls_row {
	enum cli_tls tls;
	struct row row;
} tls_rows[] = {
	{ CLI_TLS_NONE, { "offered and not wanted", { "220 up\r\n", OFFERS, "250 ok\r\n" }, { "", "M" }, "EHLO me.test$MAIL FROM:<s@a.test>$", "ready mail=250 ", "" } },
	{ CLI_TLS_MAY, { "done", { "220 up\r\n", OFFERS, "220 go\r\n", "250 up\r\n", "250 ok\r\n" }, { "", "", "", "M" },
	    "EHLO me.test$STARTTLS$EHLO me.test$MAIL FROM:<s@a.test>$", "starttls ready mail=250 ", "" } },
	{ CLI_TLS_REQUIRE, { "not done twice", { "220 up\r\n", OFFERS, "220 go\r\n", OFFERS, "250 ok\r\n" }, { "", "", "", "M" },
	    "EHLO me.test$STARTTLS$EHLO me.test$MAIL FROM:<s@a.test>$", "starttls ready mail=250 ", "" } },
	{ CLI_TLS_REQUIRE, { "what was announced before it is forgotten",
	    { "220 up\r\n", "250-up\r\n250-PIPELINING\r\n250 STARTTLS\r\n", "220 go\r\n", "250 up\r\n" }, { "", "", "", "MR" },
	    "EHLO me.test$STARTTLS$EHLO me.test$MAIL FROM:<s@a.test>$", "starttls ready ", "" } },
	{ CLI_TLS_REQUIRE, { "HELO inside it", { "220 up\r\n", OFFERS, "220 go\r\n", "500 what\r\n", "250 up\r\n" }, { "" },
	    "EHLO me.test$STARTTLS$EHLO me.test$HELO me.test$", "starttls ready ", "" } },
	{ CLI_TLS_MAY, { "not offered", { "220 up\r\n", "250-up\r\n250 XXXXXXXA\r\n" }, { "", "M" }, "EHLO me.test$MAIL FROM:<s@a.test>$", "ready ", "" } },
	{ CLI_TLS_MAY, { "refused", { "220 up\r\n", OFFERS, "454 no\r\n" }, { "", "", "M" }, "EHLO me.test$STARTTLS$MAIL FROM:<s@a.test>$", "ready ", "" } },
	{ CLI_TLS_MAY, { "no EHLO, no TLS", { "220 up\r\n", "500 what\r\n", "250 up\r\n" }, { "", "", "M" },
	    "EHLO me.test$HELO me.test$MAIL FROM:<s@a.test>$", "ready ", "" } },
	{ CLI_TLS_REQUIRE, { "required and not offered", { "220 up\r\n", "250-up\r\n250 XXXXXXXA\r\n" }, { "" }, "EHLO me.test$", "lost ", "next_hop_tls" } },
	{ CLI_TLS_REQUIRE, { "required and refused", { "220 up\r\n", OFFERS, "454 no\r\n" }, { "" }, "EHLO me.test$STARTTLS$", "lost ", "next_hop_tls" } },
	{ CLI_TLS_REQUIRE, { "required and no EHLO", { "220 up\r\n", "500 what\r\n", "250 up\r\n" }, { "" }, "EHLO me.test$HELO me.test$", "lost ",
	    "next_hop_tls" } },
	{ CLI_TLS_MAY, { "another word than 220", { "220 up\r\n", OFFERS, "250 go\r\n" }, { "" }, "EHLO me.test$STARTTLS$", "lost ", "next_hop_reply" } },
	{ CLI_TLS_MAY, { "421 to it", { "220 up\r\n", OFFERS, "421 bye\r\n" }, { "" }, "EHLO me.test$STARTTLS$", "lost ", "next_hop_421" } },
};

static void starttls_at_every_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(tls_rows) / sizeof(tls_rows[0]); i++) {
		for (size_t piece = 0; piece < 4; piece++)
			dialogue(&tls_rows[i].row, tls_rows[i].tls, piece, SIZE_MAX);
		for (size_t cut = 0; cut < 40; cut++)
			dialogue(&tls_rows[i].row, tls_rows[i].tls, 0, cut);
	}
}

/* They are not taken for an answer inside TLS, be it one octet or a whole EHLO. */
static void octets_behind_the_220_are_early(void **state)
{
	static const char said[] = "220 go\r\n250-up.test\r\n250 AUTH PLAIN\r\n";

	(void)state;
	for (size_t n = 9; n < sizeof(said); n++)
		for (size_t cut = 0; cut < 8; cut++) {
			struct cli *c = cli_new(S("me.test"));
			struct slice in = S("220 up\r\n");
			struct cli_event ev;

			cli_tls(c, CLI_TLS_MAY);
			assert_int_equal(cli_feed(c, &in, &ev), CLI_EV_MORE);
			in = S(OFFERS);
			assert_int_equal(cli_feed(c, &in, &ev), CLI_EV_MORE);
			in = slice_of(said, cut);
			assert_int_equal(cli_feed(c, &in, &ev), CLI_EV_MORE);
			in = slice_of(said + cut, n - cut);
			assert_int_equal(cli_feed(c, &in, &ev), CLI_EV_LOST);
			assert_int_equal(ev.fault.code, FAULT_NEXT_HOP_EARLY);
			assert_false(cli_ready(c));
			cli_free(&c);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dialogues_at_every_cut),
		cmocka_unit_test(parameters_go_where_they_are_known),
		cmocka_unit_test(nothing_breaks_a_command_line),
		cmocka_unit_test(many_recipients_one_by_one),
		cmocka_unit_test(an_open_transaction_is_not_idle),
		cmocka_unit_test(deadlines),
		cmocka_unit_test(starttls_at_every_cut),
		cmocka_unit_test(octets_behind_the_220_are_early),
	};

	return RUN_TESTS(tests);
}
