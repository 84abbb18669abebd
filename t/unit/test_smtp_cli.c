/* The client side of SMTP: what a next hop says, in any pieces, and what is sent to it. */
#include "cli_talk.h"

static const struct row rows[] = {
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

static void dialogues_at_every_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		dialogue_at_every_cut(&rows[i], CLI_TLS_NONE, false);
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
	for (size_t i = 0; i < sizeof(tls_rows) / sizeof(tls_rows[0]); i++)
		dialogue_at_every_cut(&tls_rows[i].row, tls_rows[i].tls, false);
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
