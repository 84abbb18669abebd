/* Extensions that both machines must agree on: LMTP and PRDR (one answer a recipient), REQUIRETLS, SMTPUTF8 outside MAIL. */
#include "cli_talk.h"
#include "smtp_talk.h"

#define UP "220 up\r\n"
#define PRDR "250-up\r\n250 PRDR\r\n"
#define PIPED "250-up\r\n250-PIPELINING\r\n250 PRDR\r\n"
#define OK "250 ok\r\n"
#define SAID "MAIL FROM:<s@a.test> PRDR$RCPT TO:<r@c.test>$RCPT TO:<r@c.test>$DATA$x$.$"

static const struct row prdr_rows[] = {
	{ "one answer a recipient, then one for all", { UP, PIPED, OK OK OK "354 go\r\n", "353 go\r\n250 1\r\n550 2\r\n250 done\r\n" }, { "", "PRRD", "C", "Q" },
	    "EHLO me.test$" SAID "QUIT$", "ready mail=250 rcpt=250 rcpt=250 data=354 each=250 each=550 content=250 ", "" },
	{ "one by one", { UP, PRDR, OK, OK, OK, "354 go\r\n", "353-go\r\n353 on\r\n450-1\r\n450 1\r\n", "250 2\r\n451 no\r\n" }, { "", "PRRD", "", "", "", "C", "", "S" },
	    "EHLO me.test$" SAID "RSET$", "ready mail=250 rcpt=250 rcpt=250 data=354 each=450 each=250 content=451 ", "" },
	{ "one answer for all is an answer", { UP, PIPED, OK OK OK "354 go\r\n", "550 no\r\n" }, { "", "PRRD", "C", "Q" }, "EHLO me.test$" SAID "QUIT$",
	    "ready mail=250 rcpt=250 rcpt=250 data=354 content=550 ", "" },
	{ "those refused before have had theirs", { UP, PIPED, OK "550 no\r\n" OK "354 go\r\n", "353 go\r\n250 2\r\n250 done\r\n" }, { "", "PRRD", "C" },
	    "EHLO me.test$" SAID, "ready mail=250 rcpt=550 rcpt=250 data=354 each=250 content=250 ", "" },
	{ "one too many", { UP, PIPED, OK OK OK "354 go\r\n", "353 go\r\n250 1\r\n250 2\r\n250 done\r\n250 3\r\n" }, { "", "PRRD", "C" }, "EHLO me.test$" SAID,
	    "ready mail=250 rcpt=250 rcpt=250 data=354 each=250 each=250 content=250 lost ", "next_hop_desync" },
	{ "353 twice", { UP, PIPED, OK OK OK "354 go\r\n", "353 go\r\n353 go\r\n" }, { "", "PRRD", "C" }, "EHLO me.test$" SAID,
	    "ready mail=250 rcpt=250 rcpt=250 data=354 lost ", "next_hop_reply" },
	{ "353 where the last word is due", { UP, PIPED, OK OK OK "354 go\r\n", "353 go\r\n250 1\r\n250 2\r\n353 go\r\n" }, { "", "PRRD", "C" }, "EHLO me.test$" SAID,
	    "ready mail=250 rcpt=250 rcpt=250 data=354 each=250 each=250 lost ", "next_hop_reply" },
	{ "421 half way through", { UP, PIPED, OK OK OK "354 go\r\n", "353 go\r\n250 1\r\n421 bye\r\n" }, { "", "PRRD", "C" }, "EHLO me.test$" SAID,
	    "ready mail=250 rcpt=250 rcpt=250 data=354 each=250 lost ", "next_hop_421" },
	{ "353 that nobody asked for", { UP, PIPED, OK OK OK "354 go\r\n", "353 go\r\n250 1\r\n" }, { "", "MRRD", "C" },
	    "EHLO me.test$MAIL FROM:<s@a.test>$RCPT TO:<r@c.test>$RCPT TO:<r@c.test>$DATA$x$.$", "ready mail=250 rcpt=250 rcpt=250 data=354 lost ", "next_hop_reply" },
	{ "not offered, not said", { UP, "250 up\r\n", OK, OK, "354 go\r\n", "353 go\r\n" }, { "", "PRD", "", "", "C" },
	    "EHLO me.test$MAIL FROM:<s@a.test>$RCPT TO:<r@c.test>$DATA$x$.$", "ready mail=250 rcpt=250 data=354 lost ", "next_hop_reply" },
	{ "a second message is its own", { UP, PIPED, OK OK OK "354 go\r\n", "353 go\r\n250 1\r\n250 2\r\n250 done\r\n", OK OK "354 go\r\n", "250 done\r\n" },
	    { "", "PRRD", "C", "MRD", "C", "Q" }, "EHLO me.test$" SAID "MAIL FROM:<s@a.test>$RCPT TO:<r@c.test>$DATA$x$.$QUIT$",
	    "ready mail=250 rcpt=250 rcpt=250 data=354 each=250 each=250 content=250 mail=250 rcpt=250 data=354 content=250 ", "" },
};

#define LSAID "LHLO me.test$MAIL FROM:<s@a.test>$RCPT TO:<r@c.test>$RCPT TO:<r@c.test>$DATA$x$.$"

static const struct row lmtp_rows[] = {
	{ "an answer a recipient, and none for all", { UP, PIPED, OK OK OK "354 go\r\n", "250 1\r\n550 2\r\n" }, { "", "PRRD", "C", "Q" }, LSAID "QUIT$",
	    "ready mail=250 rcpt=250 rcpt=250 data=354 each=250 each=550! ", "" },
	{ "one recipient, one answer", { UP, PIPED, OK OK "354 go\r\n", "452-4.2.2 full\r\n452 4.2.2 it is\r\n" }, { "", "MRD", "C", "S" },
	    "LHLO me.test$MAIL FROM:<s@a.test>$RCPT TO:<r@c.test>$DATA$x$.$RSET$", "ready mail=250 rcpt=250 data=354 each=452! ", "" },
	{ "those refused before have none", { UP, PIPED, OK "550 no\r\n" OK "354 go\r\n", "250 2\r\n" }, { "", "MRRD", "C", "Q" }, LSAID "QUIT$",
	    "ready mail=250 rcpt=550 rcpt=250 data=354 each=250! ", "" },
	{ "one too many", { UP, PIPED, OK OK OK "354 go\r\n", "250 1\r\n250 2\r\n250 3\r\n" }, { "", "MRRD", "C" }, LSAID,
	    "ready mail=250 rcpt=250 rcpt=250 data=354 each=250 each=250! lost ", "next_hop_desync" },
	{ "353 is none of it", { UP, PIPED, OK OK OK "354 go\r\n", "353 go\r\n250 1\r\n" }, { "", "PRRD", "C" }, LSAID,
	    "ready mail=250 rcpt=250 rcpt=250 data=354 lost ", "next_hop_reply" },
	{ "421 half way through", { UP, PIPED, OK OK OK "354 go\r\n", "250 1\r\n421 bye\r\n" }, { "", "PRRD", "C" }, LSAID,
	    "ready mail=250 rcpt=250 rcpt=250 data=354 each=250 lost ", "next_hop_421" },
	{ "no HELO behind a LHLO", { UP, "500 what\r\n" }, { "" }, "LHLO me.test$", "lost ", "next_hop_down" },
	{ "a second message counts anew", { UP, PIPED, OK OK OK "354 go\r\n", "250 1\r\n250 2\r\n", OK OK "354 go\r\n", "250 3\r\n" },
	    { "", "MRRD", "C", "MRD", "C", "Q" }, LSAID "MAIL FROM:<s@a.test>$RCPT TO:<r@c.test>$DATA$x$.$QUIT$",
	    "ready mail=250 rcpt=250 rcpt=250 data=354 each=250 each=250! mail=250 rcpt=250 data=354 each=250! ", "" },
};

#define OFFERS "250-up\r\n250-REQUIRETLS\r\n250 STARTTLS\r\n"
#define INSIDE "250-up\r\n250 REQUIRETLS\r\n"

static const struct tls_row {
	enum cli_tls tls;
	struct row row;
} requiretls_rows[] = {
	{ CLI_TLS_VERIFY, { "verified and announced inside", { UP, OFFERS, "220 go\r\n", INSIDE, OK }, { "", "", "", "T" },
	    "EHLO me.test$STARTTLS$EHLO me.test$MAIL FROM:<s@a.test> REQUIRETLS$", "starttls ready mail=250 ", "" } },
	{ CLI_TLS_VERIFIED, { "verified from the first octet", { UP, INSIDE, OK }, { "", "T" }, "EHLO me.test$MAIL FROM:<s@a.test> REQUIRETLS$",
	    "ready mail=250 ", "" } },
	{ CLI_TLS_NONE, { "in TLS that is not verified, from the first octet", { UP, INSIDE }, { "", "T" }, "EHLO me.test$", "ready next_hop_lacks ", "" } },
	{ CLI_TLS_REQUIRE, { "not verified", { UP, OFFERS, "220 go\r\n", INSIDE }, { "", "", "", "T" }, "EHLO me.test$STARTTLS$EHLO me.test$",
	    "starttls ready next_hop_lacks ", "" } },
	{ CLI_TLS_VERIFY, { "announced in clear only", { UP, OFFERS, "220 go\r\n", "250 up\r\n" }, { "", "", "", "T" }, "EHLO me.test$STARTTLS$EHLO me.test$",
	    "starttls ready next_hop_lacks ", "" } },
	{ CLI_TLS_NONE, { "in clear", { UP, OFFERS }, { "", "T" }, "EHLO me.test$", "ready next_hop_lacks ", "" } },
	{ CLI_TLS_MAY, { "TLS refused", { UP, OFFERS, "454 no\r\n" }, { "", "", "T" }, "EHLO me.test$STARTTLS$", "ready next_hop_lacks ", "" } },
	{ CLI_TLS_NONE, { "a bounce goes without", { UP, OFFERS, OK }, { "", "N" }, "EHLO me.test$MAIL FROM:<>$", "ready mail=250 ", "" } },
	{ CLI_TLS_VERIFY, { "a bounce goes with it where it can", { UP, OFFERS, "220 go\r\n", INSIDE, OK }, { "", "", "", "N" },
	    "EHLO me.test$STARTTLS$EHLO me.test$MAIL FROM:<> REQUIRETLS$", "starttls ready mail=250 ", "" } },
	{ CLI_TLS_VERIFY, { "STARTTLS refused", { UP, OFFERS, "454 no\r\n" }, { "" }, "EHLO me.test$STARTTLS$", "lost ", "next_hop_tls" } },
};

static void the_next_hop_answers_for_each(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(prdr_rows) / sizeof(prdr_rows[0]); i++)
		dialogue_at_every_cut(&prdr_rows[i], CLI_TLS_NONE, false);
	for (size_t i = 0; i < sizeof(lmtp_rows) / sizeof(lmtp_rows[0]); i++)
		dialogue_at_every_cut(&lmtp_rows[i], CLI_TLS_NONE, true);
}

static void requiretls_goes_where_it_is_kept(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(requiretls_rows) / sizeof(requiretls_rows[0]); i++)
		dialogue_at_every_cut(&requiretls_rows[i].row, requiretls_rows[i].tls, false);
}

static void a_next_hop_has_its_fill_of_mail(void **state)
{
	struct run r = { .cli = cli_new(S("me.test")) };

	(void)state;
	buf_init(&r.sent, 65536);
	buf_init(&r.events, 65536);
	feed(&r, S(UP "250-up\r\n250 LIMITS MAILMAX=2\r\n"));
	assert_false(cli_spent(r.cli));
	act(&r, "M");
	feed(&r, S(OK));
	act(&r, "S");
	feed(&r, S(OK));
	assert_false(cli_spent(r.cli));
	act(&r, "M");
	feed(&r, S("550 no\r\n"));
	assert_true(cli_spent(r.cli)); /* refused or not */
	buf_release(&r.sent);
	buf_release(&r.events);
	cli_free(&r.cli);
}

/* ---- the server side ---- */

static void offer(struct talk *t, unsigned bits)
{
	struct ext e = ext_offer(1000000, &(const struct ext){ .bits = bits });

	srv_offer(t->srv, &e);
}

static const struct srv_row {
	const char *name;
	enum srv_tls tls;
	unsigned bits;      /* of the next hop */
	const char *send;
	const char *codes;
	const char *fault;
} srv_rows[] = {
	{ "PRDR", SRV_TLS_NONE, EXT_PRDR, "EHLO t\r\nMAIL FROM:<s@a.test> PRDR\r\n", "250 250", "" },
	{ "PRDR in lower case, with others", SRV_TLS_NONE, EXT_PRDR, "EHLO t\r\nMAIL FROM:<s@a.test> SIZE=1 prdr\r\n", "250 250", "" },
	{ "PRDR with a value", SRV_TLS_NONE, EXT_PRDR, "EHLO t\r\nMAIL FROM:<s@a.test> PRDR=1\r\n", "250 501", "bad_param" },
	{ "PRDR twice", SRV_TLS_NONE, EXT_PRDR, "EHLO t\r\nMAIL FROM:<s@a.test> PRDR PRDR\r\n", "250 501", "bad_param" },
	{ "PRDR not offered", SRV_TLS_NONE, 0, "EHLO t\r\nMAIL FROM:<s@a.test> PRDR\r\n", "250 555", "param_unknown" },
	{ "PRDR to RCPT", SRV_TLS_NONE, EXT_PRDR, "EHLO t\r\nMAIL FROM:<s@a.test>\r\nRCPT TO:<r@c.test> PRDR\r\n", "250 250 555", "param_unknown" },
	{ "PRDR after HELO", SRV_TLS_NONE, EXT_PRDR, "HELO t\r\nMAIL FROM:<s@a.test> PRDR\r\n", "250 555", "param_unknown" },
	{ "REQUIRETLS inside TLS", SRV_TLS_ON, EXT_REQUIRETLS, "EHLO t\r\nMAIL FROM:<s@a.test> REQUIRETLS\r\n", "250 250", "" },
	{ "REQUIRETLS with a value", SRV_TLS_ON, EXT_REQUIRETLS, "EHLO t\r\nMAIL FROM:<s@a.test> REQUIRETLS=yes\r\n", "250 501", "bad_param" },
	{ "REQUIRETLS that the way does not keep", SRV_TLS_ON, 0, "EHLO t\r\nMAIL FROM:<s@a.test> REQUIRETLS\r\n", "250 550", "requiretls" },
	{ "REQUIRETLS in clear, TLS at hand", SRV_TLS_MAY, EXT_REQUIRETLS, "EHLO t\r\nMAIL FROM:<s@a.test> REQUIRETLS\r\n", "250 530", "tls_needed" },
	{ "REQUIRETLS in clear, no TLS here", SRV_TLS_NONE, EXT_REQUIRETLS, "EHLO t\r\nMAIL FROM:<s@a.test> REQUIRETLS\r\n", "250 555", "param_unknown" },
	{ "REQUIRETLS after HELO inside TLS", SRV_TLS_ON, EXT_REQUIRETLS, "HELO t\r\nMAIL FROM:<s@a.test> REQUIRETLS\r\n", "250 555", "param_unknown" },
	{ "REQUIRETLS offered after STARTTLS", SRV_TLS_MAY, EXT_REQUIRETLS, "EHLO t\r\nSTARTTLS\r\n|EHLO t\r\nMAIL FROM:<s@a.test> REQUIRETLS\r\n", "250 220 250 250",
	    "" },
	{ "REQUIRETLS offered before STARTTLS counts no more", SRV_TLS_MAY, EXT_REQUIRETLS, "EHLO t\r\nSTARTTLS\r\n|MAIL FROM:<s@a.test> REQUIRETLS\r\n",
	    "250 220 503", "bad_sequence" },
	{ "VRFY in UTF-8", SRV_TLS_NONE, EXT_SMTPUTF8, "EHLO t\r\nVRFY \xc3\xbc SMTPUTF8\r\nVRFY u smtputf8\r\nVRFY SMTPUTF8\r\n", "250 252 252 252", "" },
	{ "VRFY in UTF-8 without the word", SRV_TLS_NONE, EXT_SMTPUTF8, "EHLO t\r\nVRFY \xc3\xbc\r\n", "250 553", "needs_smtputf8" },
	{ "VRFY in UTF-8, not offered", SRV_TLS_NONE, 0, "EHLO t\r\nVRFY \xc3\xbc SMTPUTF8\r\n", "250 553", "needs_smtputf8" },
	{ "VRFY in Latin-1", SRV_TLS_NONE, EXT_SMTPUTF8, "EHLO t\r\nVRFY \xfc SMTPUTF8\r\n", "250 501", "command_syntax" },
	{ "VRFY of nobody", SRV_TLS_NONE, EXT_SMTPUTF8, "EHLO t\r\nVRFY \r\n", "250 501", "command_syntax" },
};

static void want_srv_row(const struct srv_row *row, size_t piece)
{
	char name[FAULT_NAME_OCTETS] = "";
	struct slice rest = slice_str(row->send), turn;
	struct buf codes;
	struct talk t;
	size_t from;

	talk_init(&t, AT_ONCE);
	buf_init(&codes, 65536);
	srv_tls(t.srv, row->tls);
	offer(&t, row->bits);
	talk_replies(&t);
	from = t.replies.n;
	while (rest.n) {
		(void)slice_cut(&rest, '|', &turn);
		talk_turn(&t, turn, piece);
	}
	talk_codes(&t, from, &codes);
	if (t.last.code)
		fault_name(t.last.code, name);
	if (strcmp((char *)codes.at, row->codes) != 0 || strcmp(name, row->fault) != 0) {
		print_error("%s (pieces of %zu): wanted %s %s, got %s %s\n", row->name, piece, row->codes, row->fault, (char *)codes.at, name);
		fail();
	}
	buf_release(&codes);
	talk_release(&t);
}

static void parameters_are_taken_where_they_are_offered(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(srv_rows) / sizeof(srv_rows[0]); i++)
		for (size_t piece = 0; piece <= strlen(srv_rows[i].send); piece++)
			want_srv_row(&srv_rows[i], piece);
}

/* RFC 8689 2: not in clear, whatever the next hop has. */
static void requiretls_is_announced_inside_tls(void **state)
{
	struct talk t;

	(void)state;
	talk_init(&t, AT_ONCE);
	srv_tls(t.srv, SRV_TLS_MAY);
	offer(&t, EXT_REQUIRETLS);
	talk_replies(&t);
	buf_clear(&t.replies);
	talk_turn(&t, S("EHLO t\r\n"), 0);
	assert_null(memmem(t.replies.at, t.replies.n, "REQUIRETLS", 10));
	talk_turn(&t, S("STARTTLS\r\n"), 0);
	talk_turn(&t, S("EHLO t\r\n"), 0);
	assert_non_null(memmem(t.replies.at, t.replies.n, "250-REQUIRETLS\r\n", 16));
	talk_release(&t);
}

/* A session with PRDR whose content has come, by DATA or BDAT; the seq of its end. */
static uint32_t to_the_end(struct talk *t, bool chunks, size_t rcpt_max)
{
	struct slice in = chunks ? S("BDAT 3 LAST\r\nx\r\n") : S("x\r\n.\r\n");
	struct srv_event ev;

	talk_init_for(t, AT_ONCE, rcpt_max);
	offer(t, EXT_PRDR | EXT_SMTPUTF8);
	talk_turn(t, S("EHLO t\r\nMAIL FROM:<s@a.test> PRDR SMTPUTF8\r\nRCPT TO:<1@c.test>\r\nRCPT TO:<2@c.test>\r\n"), 0);
	if (!chunks)
		talk_turn(t, S("DATA\r\n"), 0);
	while (srv_feed(t->srv, &in, &t->tx, &ev) != SRV_EV_END) {
		assert_true(ev.kind == SRV_EV_DATA || ev.kind == SRV_EV_CONTENT);
		if (ev.kind == SRV_EV_DATA)
			srv_data_go(t->srv, ev.seq);
	}
	buf_release(srv_out(t->srv));
	return ev.seq;
}

static void each_recipient_is_answered_behind_353(void **state)
{
	const struct reply one = { .code = 250, .text = S("2.0.0 one \xc3\xbc") }, two = { .code = 550, .text = S("5.7.1 two\n5.7.1 again") };
	const struct reply all = { .code = 250, .text = S("2.0.0 all") };
	struct fault f = { 0 };
	struct talk t;

	(void)state;
	fault_set(&f, FAULT_POLICY, 0);
	for (int chunks = 0; chunks < 2; chunks++) {
		uint32_t seq = to_the_end(&t, chunks, 2);

		srv_answer_rcpt(t.srv, seq, &one, NULL);
		srv_answer_rcpt(t.srv, seq + 1, &one, NULL); /* nobody's */
		WANT_SLICE(buf_get(srv_out(t.srv)), S("353 answers for each recipient follow\r\n250 2.0.0 one \xc3\xbc\r\n"));
		assert_int_equal(srv_state(t.srv), SRV_JUDGE);
		assert_int_equal(srv_pending(t.srv), 1);
		srv_answer_rcpt(t.srv, seq, &two, NULL);
		srv_answer_rcpt(t.srv, seq, NULL, &f);
		srv_answer(t.srv, seq, &all);
		srv_answer_rcpt(t.srv, seq, &one, NULL); /* too late */
		WANT_SLICE(buf_get(srv_out(t.srv)), S("353 answers for each recipient follow\r\n250 2.0.0 one \xc3\xbc\r\n550-5.7.1 two\r\n"
		    "550 5.7.1 again\r\n550 5.7.1 refused by policy\r\n250 2.0.0 all\r\n"));
		assert_int_equal(srv_state(t.srv), SRV_IDLE);
		assert_int_equal(srv_pending(t.srv), 0);
		buf_release(srv_out(t.srv));
		buf_clear(&t.log);
		talk_turn(&t, S("MAIL FROM:<s@a.test>\r\nRCPT TO:<r@c.test>\r\n"), 0);
		WANT_SLICE(buf_get(&t.log), S("mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\n"));
		talk_release(&t);
	}
}

/* A client that takes none of them loses none of them, however long they are. */
static void everybody_has_room(void **state)
{
	enum { LINES = 100 };
	unsigned char text[LIMIT_REPLY_TEXT];
	const struct reply r = { .code = 250, .text = slice_of(text, sizeof(text)) };
	struct talk t;
	uint32_t seq = to_the_end(&t, false, LIMIT_RCPT);
	size_t one;

	(void)state;
	memset(text, 'x', sizeof(text));
	for (size_t i = 0; i < LINES; i++)
		text[i * sizeof(text) / LINES] = '\n';
	srv_answer_rcpt(t.srv, seq, &r, NULL);
	one = srv_out(t.srv)->n;
	srv_answer_rcpt(t.srv, seq, &r, NULL);
	one = srv_out(t.srv)->n - one;
	for (size_t i = 2; i < LIMIT_RCPT; i++)
		srv_answer_rcpt(t.srv, seq, &r, NULL);
	assert_false(buf_failed(srv_out(t.srv)));
	assert_true(one > sizeof(text) && srv_out(t.srv)->n > one * LIMIT_RCPT); /* and the 353 */
	srv_answer(t.srv, seq, &(struct reply){ .code = 250, .text = S("2.0.0 all") });
	assert_false(buf_failed(srv_out(t.srv)));
	talk_release(&t);
}

static void or_all_of_them_at_once(void **state)
{
	struct fault f = { 0 };
	struct talk t;
	uint32_t seq = to_the_end(&t, false, 2);

	(void)state;
	fault_set(&f, FAULT_NEXT_HOP_LOST, 0);
	srv_answer_fault(t.srv, seq, &f);
	WANT_SLICE(buf_get(srv_out(t.srv)), S("451 4.4.2 connection to next hop lost\r\n"));
	talk_release(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_next_hop_answers_for_each),
		cmocka_unit_test(requiretls_goes_where_it_is_kept),
		cmocka_unit_test(a_next_hop_has_its_fill_of_mail),
		cmocka_unit_test(parameters_are_taken_where_they_are_offered),
		cmocka_unit_test(requiretls_is_announced_inside_tls),
		cmocka_unit_test(each_recipient_is_answered_behind_353),
		cmocka_unit_test(everybody_has_room),
		cmocka_unit_test(or_all_of_them_at_once),
	};

	return RUN_TESTS(tests);
}
