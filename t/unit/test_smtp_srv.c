/* The server side of SMTP: what a client says, in any pieces, and what it is told. */
#include <malloc.h>

#include "smtp_talk.h"

/* One turn of a session that has said EHLO and, for names that begin with a state, gone that far. */
static const struct row {
	const char *name;
	const char *before; /* turns in front, ended by '|' */
	const char *send;
	const char *codes;
	const char *fault;  /* of the last refusal, "" for none */
	bool closed;
} rows[] = {
	{ "a whole envelope in one turn", "", "MAIL FROM:<s@a.test>\r\nRCPT TO:<r@c.test>\r\nDATA\r\n", "250 250 354", "", false },
	{ "verbs in any case", "", "mAiL fRoM:<s@a.test>\r\nrcpt to:<r@c.test>\r\ndAtA\r\n", "250 250 354", "", false },
	{ "null sender", "", "MAIL FROM:<>\r\n", "250", "", false },
	{ "space behind the colon", "", "MAIL FROM: <s@a.test>\r\n", "250", "", false },
	{ "no brackets", "", "MAIL FROM:s@a.test\r\n", "501", "bad_sender", false },
	{ "text behind the path", "", "MAIL FROM:<s@a.test>x@evil.test>\r\n", "501", "bad_sender", false },
	{ "a bracket in a quoted local part", "", "MAIL FROM:<\"a>b\"@a.test>\r\n", "250", "", false },
	{ "an @ in a quoted local part", "", "MAIL FROM:<\"ceo@a.test\"@evil.test>\r\n", "250", "", false },
	{ "shell syntax without a domain", "", "MAIL FROM:<;for i in 0 1;do read r;done;sh;exit 0;>\r\n", "501", "bad_sender", false },
	{ "postmaster sends nothing", "", "MAIL FROM:<postmaster>\r\n", "501", "bad_sender", false },
	{ "postmaster without domain receives", "MAIL FROM:<s@a.test>\r\n|", "RCPT TO:<Postmaster>\r\n", "250", "", false },
	{ "null recipient", "MAIL FROM:<s@a.test>\r\n|", "RCPT TO:<>\r\n", "501", "bad_recipient", false },
	{ "CR in a path", "", "MAIL FROM:<\"a\rRCPT TO:<x@evil.test>\"@a.test>\r\n", "501", "bad_sender", false },
	{ "LF in a path ends no line", "MAIL FROM:<s@a.test>\r\n|", "RCPT TO:<\"a\nDATA\"@c.test>\r\n", "501", "bad_recipient", false },
	{ "CR between two commands", "", "MAIL FROM:<a@a.test>\rRCPT TO:<u@c.test>\r\n", "501", "bad_sender", false },
	{ "LF in a command without a path", "", "NOOP\nMAIL FROM:<s@a.test>\r\n", "500", "bare_lf", false },
	{ "CR in a command without a path", "", "RSET\rNOOP\r\n", "500", "bare_cr", false },
	{ "RCPT before MAIL", "", "RCPT TO:<r@c.test>\r\n", "503", "bad_sequence", false },
	{ "MAIL twice", "MAIL FROM:<s@a.test>\r\n|", "MAIL FROM:<t@a.test>\r\n", "503", "bad_sequence", false },
	{ "MAIL twice in one turn", "", "MAIL FROM:<s@a.test>\r\nMAIL FROM:<t@a.test>\r\n", "250 503", "bad_sequence", false },
	{ "DATA before MAIL", "", "DATA\r\n", "503", "bad_sequence", false },
	{ "DATA before RCPT", "MAIL FROM:<s@a.test>\r\n|", "DATA\r\n", "503", "bad_sequence", false },
	{ "DATA after refused recipients only", "MAIL FROM:<s@a.test>\r\n|", "RCPT TO:<no@c.test>\r\nRCPT TO:<later@c.test>\r\nDATA\r\n", "550 451 554",
	    "no_rcpt", false },
	{ "RCPT behind a refused MAIL", "", "MAIL FROM:<refuse@a.test>\r\nRCPT TO:<r@c.test>\r\nDATA\r\n", "550 503 503", "bad_sequence", false },
	{ "content behind DATA", "MAIL FROM:<s@a.test>\r\nRCPT TO:<r@c.test>\r\n|", "DATA\r\nSubject: s\r\n\r\nx\r\n.\r\nNOOP\r\n", "554", "early_talk",
	    true },
	{ "text behind a DATA that is refused", "", "DATA\r\nSubject: s\r\n\r\nx\r\n.\r\n", "503", "bad_sequence", true },
	{ "text behind a DATA without recipients", "MAIL FROM:<s@a.test>\r\nRCPT TO:<no@c.test>\r\n|", "DATA\r\nRSET\r\n.\r\n", "554", "no_rcpt", true },
	{ "EHLO drops the transaction", "MAIL FROM:<s@a.test>\r\n|", "EHLO t.a.test\r\nRCPT TO:<r@c.test>\r\n", "250 503", "bad_sequence", false },
	{ "RSET drops the transaction", "MAIL FROM:<s@a.test>\r\nRCPT TO:<r@c.test>\r\n|", "RSET\r\nDATA\r\n", "250 503", "bad_sequence", false },
	{ "a message, and QUIT behind its dot", "MAIL FROM:<s@a.test>\r\nRCPT TO:<r@c.test>\r\nDATA\r\n|", "a: b\r\n\r\nx\r\n.\r\nQUIT\r\n", "250 221",
	    "none", true },
	{ "state is clean behind a message", "MAIL FROM:<s@a.test>\r\nRCPT TO:<r@c.test>\r\nDATA\r\n|", ".\r\nRCPT TO:<r@c.test>\r\nDATA\r\n",
	    "250 503 503", "bad_sequence", false },
	{ "LF . LF is content", "MAIL FROM:<s@a.test>\r\nRCPT TO:<r@c.test>\r\nDATA\r\n|", "x\n.\nMAIL FROM:<ceo@a.test>\r\n.\r\n", "550", "bare_lf", true },
	{ "CR . CR is content", "MAIL FROM:<s@a.test>\r\nRCPT TO:<r@c.test>\r\nDATA\r\n|", "x\r.\rMAIL FROM:<ceo@a.test>\rDATA\r\r\n.\r\n", "550", "bare_cr",
	    true },
	{ "a tab behind the dot is content", "MAIL FROM:<s@a.test>\r\nRCPT TO:<r@c.test>\r\nDATA\r\n|", "x\r\n.\t\r\n.\r\n", "250", "", false },
	{ "unknown verb", "", "XYZZY\r\n", "500", "command_unknown", false },
	{ "empty line", "", "\r\n", "500", "command_unknown", false },
	{ "VRFY, HELP, NOOP, RSET", "", "VRFY u\r\nHELP\r\nNOOP x\r\nRSET\r\n", "252 214 250 250", "", false },
	{ "EXPN", "", "EXPN l\r\n", "502", "command_later", false },
	{ "STARTTLS is not offered", "", "STARTTLS\r\n", "502", "command_later", false },
	{ "STARTTLS takes no argument", "", "STARTTLS now\r\n", "501", "command_syntax", false },
	{ "XCLIENT from a stranger", "", "XCLIENT ADDR=10.0.0.1 NAME=mx.a.test\r\nXFORWARD ADDR=10.0.0.1\r\n", "550 550", "xclient_refused", false },
	{ "a web client", "", "POST / HTTP/1.1\r\nHost: x\r\n\r\nMAIL FROM:<a@a.test>\r\n", "554", "not_smtp", true },
	{ "EHLO without a name", "", "EHLO \r\n", "501", "bad_helo", false },
	{ "EHLO with a tab and a bracket", "", "EHLO a.test\tby=evil\x0b(x\r\n", "501", "bad_helo", false },
	{ "EHLO with half a literal", "", "EHLO [127.0.0.1\r\n", "501", "bad_helo", false },
	{ "EHLO as real clients write it", "", "EHLO my_pc\r\nEHLO [IPv6:::1]\r\nEHLO [192.0.2.1]\r\nHELO localhost.\r\n", "250 250 250 250", "", false },
	{ "all MAIL parameters", "", "MAIL FROM:<s@a.test> SIZE=1000 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb\r\n", "250", "", false },
	{ "all RCPT parameters", "MAIL FROM:<s@a.test>\r\n|", "RCPT TO:<r@c.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;r+2B@c.test\r\n", "250", "", false },
	{ "parameter nobody offered", "", "MAIL FROM:<s@a.test> FOO=bar\r\n", "555", "param_unknown", false },
	{ "parameter of the other command", "", "MAIL FROM:<s@a.test> NOTIFY=NEVER\r\n", "555", "param_unknown", false },
	{ "a quote where a keyword stands", "", "MAIL FROM:<s@a.test> \"AUTH=\r\n", "501", "bad_param", false },
	{ "a lone equals sign", "", "MAIL FROM:<s@a.test> =\r\n", "501", "bad_param", false },
	{ "SIZE twice", "", "MAIL FROM:<s@a.test> SIZE=1 SIZE=2\r\n", "501", "bad_param", false },
	{ "SIZE of no number", "", "MAIL FROM:<s@a.test> SIZE=-1\r\n", "501", "bad_param", false },
	{ "SIZE beyond 64 bits", "", "MAIL FROM:<s@a.test> SIZE=99999999999999999999\r\n", "552", "too_big", false },
	{ "SIZE above the offer", "", "MAIL FROM:<s@a.test> SIZE=1000001\r\n", "552", "too_big", false },
	{ "SIZE at the offer", "", "MAIL FROM:<s@a.test> SIZE=1000000\r\n", "250", "", false },
	{ "BODY=BINARYMIME", "", "MAIL FROM:<s@a.test> BODY=BINARYMIME\r\n", "501", "bad_param", false },
	{ "SMTPUTF8 with a value", "", "MAIL FROM:<s@a.test> SMTPUTF8=yes\r\n", "501", "bad_param", false },
	{ "newline in ENVID", "", "MAIL FROM:<s@a.test> ENVID=x+0Ay\r\n", "501", "bad_param", false },
	{ "NUL and newline in ORCPT", "MAIL FROM:<s@a.test>\r\n|", "RCPT TO:<r@c.test> ORCPT=rfc822;r1+00+0D+0AX@c.test\r\n", "501", "bad_param", false },
	{ "UTF-8 encoded in ORCPT, as Postfix does", "MAIL FROM:<s@a.test>\r\n|", "RCPT TO:<r@c.test> ORCPT=rfc822;r+C3+BC@c.test\r\n", "250", "", false },
	{ "ENVID is US-ASCII, encoded or not", "", "MAIL FROM:<s@a.test> ENVID=r+C3+BC\r\n", "501", "bad_param", false },
	{ "DEL in ORCPT", "MAIL FROM:<s@a.test>\r\n|", "RCPT TO:<r@c.test> ORCPT=rfc822;r+7F@c.test\r\n", "501", "bad_param", false },
	{ "no hexadecimal in ORCPT", "MAIL FROM:<s@a.test>\r\n|", "RCPT TO:<r@c.test> ORCPT=rfc822;r+CG@c.test\r\n", "501", "bad_param", false },
	{ "ORCPT without a type", "MAIL FROM:<s@a.test>\r\n|", "RCPT TO:<r@c.test> ORCPT=r@c.test\r\n", "501", "bad_param", false },
	{ "NEVER with others", "MAIL FROM:<s@a.test>\r\n|", "RCPT TO:<r@c.test> NOTIFY=NEVER,DELAY\r\n", "501", "bad_param", false },
	{ "HELO has no extensions", "HELO t\r\n|", "MAIL FROM:<s@a.test> BODY=8BITMIME\r\n", "555", "param_unknown", false },
	{ "UTF-8 path without SMTPUTF8", "", "MAIL FROM:<\xc3\xbc@a.test>\r\n", "553", "needs_smtputf8", false },
	{ "UTF-8 path with SMTPUTF8", "", "MAIL FROM:<\xc3\xbc@a.test> SMTPUTF8\r\n", "250", "", false },
	{ "UTF-8 recipient needs it at MAIL", "MAIL FROM:<s@a.test>\r\n|", "RCPT TO:<\xc3\xbc@c.test>\r\n", "553", "needs_smtputf8", false },
	{ "a bad MAIL leaves the open one alone", "MAIL FROM:<s@a.test>\r\nRCPT TO:<r@c.test>\r\n|", "MAIL FROM:<\xc3(@a.test> SMTPUTF8\r\nDATA\r\n",
	    "503 354", "bad_sequence", false },
	{ "recipients above the limit", "MAIL FROM:<s@a.test>\r\n|",
	    "RCPT TO:<a@c.test>\r\nRCPT TO:<b@c.test>\r\nRCPT TO:<no@c.test>\r\nRCPT TO:<d@c.test>\r\nRCPT TO:<e@c.test>\r\nRCPT TO:<f@c.test>\r\n"
	    "RCPT TO:<g@c.test>\r\nRCPT TO:<h@c.test>\r\n", "250 250 550 250 250 250 452 452", "too_many_rcpt", false },
};

static void before(struct talk *t, const char *turns, size_t piece)
{
	struct slice rest = slice_str(turns), turn;

	talk_turn(t, S("EHLO t.a.test\r\n"), piece);
	while (rest.n) {
		(void)slice_cut(&rest, '|', &turn);
		talk_turn(t, turn, piece);
	}
	t->last.code = FAULT_NONE;
}

static void want_row(const struct row *r, size_t cut, enum talk_answers answers)
{
	char name[FAULT_NAME_OCTETS] = "";
	struct buf codes;
	struct talk t;
	size_t from;

	buf_init(&codes, 65536);
	talk_init(&t, answers);
	before(&t, r->before, 0);
	from = t.replies.n;
	if (cut == SIZE_MAX)
		talk_turn(&t, slice_str(r->send), 1);
	else
		talk_cut(&t, slice_str(r->send), cut);
	talk_codes(&t, from, &codes);
	if (t.last.code || t.closed)
		fault_name(t.last.code, name);
	if (strcmp((char *)codes.at, r->codes) != 0 || strcmp(name, r->fault) != 0 || t.closed != r->closed) {
		print_error("%s (cut %zu, answers %d): wanted %s %s %d, got %s %s %d\n", r->name, cut, (int)answers, r->codes, r->fault,
		    r->closed, (char *)codes.at, name, t.closed);
		fail();
	}
	talk_release(&t);
	buf_release(&codes);
}

static void rows_hold_at_every_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *data = strstr(rows[i].send, "DATA\r\n");
		size_t n = strlen(rows[i].send), safe = n;

		/* text behind DATA is early only when it comes with it */
		if (data && data[6])
			safe = (size_t)(data - rows[i].send) + 5;
		for (size_t cut = 0; cut <= safe; cut++)
			want_row(&rows[i], cut, AT_ONCE);
		want_row(&rows[i], 0, WHEN_ASKED);
		want_row(&rows[i], 0, NEWEST_FIRST);
		if (safe == n)
			want_row(&rows[i], SIZE_MAX, AT_ONCE);
	}
}

static void the_words_are_these(void **state)
{
	struct talk t;

	(void)state;
	talk_init(&t, AT_ONCE);
	talk_turn(&t, S("EHLO t\r\nHELP\r\nVRFY x\r\nNOOP\r\nBOGUS\r\nQUIT\r\n"), 0);
	WANT_SLICE(buf_get(&t.replies), S("220 mx.c.test ESMTP\r\n"
	    "250-mx.c.test\r\n250-PIPELINING\r\n250-SIZE 1000000\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250-SMTPUTF8\r\n250-DSN\r\n"
	    "250-CHUNKING\r\n250 LIMITS RCPTMAX=5\r\n"
	    "214 2.0.0 see RFC 5321\r\n252 2.5.2 cannot VRFY, send mail and it will be tried\r\n250 2.0.0 ok\r\n"
	    "500 5.5.1 command not recognized\r\n221 2.0.0 bye\r\n"));
	talk_release(&t);
}

static void what_was_said_reaches_the_caller(void **state)
{
	struct talk t;

	(void)state;
	talk_init(&t, AT_ONCE);
	talk_turn(&t, S("EHLO t\r\nMAIL FROM:<s@a.test> SIZE=7 BODY=7BIT RET=full ENVID=e1\r\n"
	    "RCPT TO:<r@c.test> NOTIFY=NEVER ORCPT=rfc822;r@x\r\nDATA\r\n"), 3);
	talk_turn(&t, S("..a\r\nb\r\n.\r\n"), 3);
	WANT_SLICE(buf_get(&t.log), S("mail <s@a.test> size=7 7bit ret=full envid=e1\nrcpt <r@c.test> notify=NEVER orcpt=rfc822;r@x\ndata\n"
	    "end .a\\x0d\\x0ab\\x0d\\x0a\n"));
	WANT_SLICE(srv_helo(t.srv), S("t"));
	assert_true(srv_esmtp(t.srv));
	talk_turn(&t, S("HELO u\r\n"), 0);
	assert_false(srv_esmtp(t.srv));
	talk_release(&t);
}

static void nothing_before_a_greeting(void **state)
{
	struct talk t;

	(void)state;
	talk_init(&t, AT_ONCE);
	talk_turn(&t, S("NOOP\r\nMAIL FROM:<s@a.test>\r\nRCPT TO:<r@c.test>\r\nDATA\r\n"), 0);
	WANT_SLICE(buf_get(&t.replies), S("220 mx.c.test ESMTP\r\n250 2.0.0 ok\r\n503 5.5.1 bad sequence of commands\r\n"
	    "503 5.5.1 bad sequence of commands\r\n503 5.5.1 bad sequence of commands\r\n"));
	talk_release(&t);
}

static void a_dropped_transaction_is_told(void **state)
{
	static const char *const words[] = { "RSET\r\n", "EHLO u\r\n", "HELO u\r\n" };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct talk t;

		talk_init(&t, AT_ONCE);
		talk_turn(&t, S("EHLO t\r\n"), 0);
		talk_turn(&t, slice_str(words[i]), 0);
		WANT_SLICE(buf_get(&t.log), S(""));
		talk_turn(&t, S("MAIL FROM:<s@a.test>\r\n"), 0);
		buf_clear(&t.log);
		talk_turn(&t, slice_str(words[i]), 0);
		WANT_SLICE(buf_get(&t.log), S("reset\n"));
		talk_release(&t);
	}
}

/* A second RCPT is refused here while the first waits for the next hop; the third is answered before the first. */
static void answers_go_out_in_the_order_of_the_commands(void **state)
{
	struct slice in = S("MAIL FROM:<s@a.test>\r\nRCPT TO:<1@c.test>\r\nRCPT TO:<bad\r\nRCPT TO:<3@c.test>\r\nNOOP\r\n");
	const struct reply one = { .code = 250, .text = S("one") }, three = { .code = 251, .text = S("three") }, mail = { .code = 250, .text = S("mail") };
	struct srv_event ev;
	struct talk t;

	(void)state;
	talk_init(&t, AT_ONCE);
	talk_turn(&t, S("EHLO t\r\n"), 0);
	assert_int_equal(srv_feed(t.srv, &in, &t.tx, &ev), SRV_EV_MAIL);
	assert_int_equal(ev.seq, 1);
	assert_int_equal(srv_feed(t.srv, &in, &t.tx, &ev), SRV_EV_RCPT);
	assert_int_equal(ev.seq, 2);
	assert_int_equal(srv_feed(t.srv, &in, &t.tx, &ev), SRV_EV_REFUSED);
	assert_int_equal(srv_feed(t.srv, &in, &t.tx, &ev), SRV_EV_RCPT);
	assert_int_equal(srv_feed(t.srv, &in, &t.tx, &ev), SRV_EV_WAIT);
	WANT_SLICE(in, S("NOOP\r\n"));
	assert_int_equal(srv_pending(t.srv), 3);
	assert_int_equal(srv_awaits(t.srv), SRV_AWAITS_NOTHING);
	srv_answer(t.srv, 4, &three);
	assert_int_equal(srv_out(t.srv)->n, 0);
	srv_answer(t.srv, 1, &mail);
	WANT_SLICE(buf_get(srv_out(t.srv)), S("250 mail\r\n"));
	assert_int_equal(srv_feed(t.srv, &in, &t.tx, &ev), SRV_EV_WAIT);
	srv_answer(t.srv, 2, &one);
	srv_answer(t.srv, 2, &three); /* there is nothing to answer any more */
	srv_answer(t.srv, 77, &three);
	WANT_SLICE(buf_get(srv_out(t.srv)), S("250 mail\r\n250 one\r\n501 5.1.3 bad recipient address syntax\r\n251 three\r\n"));
	assert_int_equal(srv_state(t.srv), SRV_RCPT);
	assert_int_equal(srv_awaits(t.srv), SRV_AWAITS_COMMAND);
	assert_int_equal(srv_feed(t.srv, &in, &t.tx, &ev), SRV_EV_MORE);
	talk_release(&t);
}

static void a_refused_mail_takes_its_recipients_along(void **state)
{
	struct slice in = S("MAIL FROM:<s@a.test>\r\nRCPT TO:<1@c.test>\r\nRCPT TO:<2@c.test>\r\n");
	const struct reply yes = { .code = 250, .text = S("yes") }, no = { .code = 550, .text = S("no") };
	struct srv_event ev;
	struct talk t;

	(void)state;
	talk_init(&t, AT_ONCE);
	talk_turn(&t, S("EHLO t\r\n"), 0);
	for (int i = 0; i < 3; i++)
		srv_feed(t.srv, &in, &t.tx, &ev);
	srv_answer(t.srv, 2, &yes);
	srv_answer(t.srv, 1, &no);
	srv_answer(t.srv, 3, &yes);
	WANT_SLICE(buf_get(srv_out(t.srv)), S("550 no\r\n503 5.5.1 bad sequence of commands\r\n503 5.5.1 bad sequence of commands\r\n"));
	assert_int_equal(srv_state(t.srv), SRV_IDLE);
	assert_int_equal(srv_pending(t.srv), 0);
	buf_release(srv_out(t.srv));
	talk_turn(&t, S("DATA\r\n"), 0);
	assert_int_equal(t.last.code, FAULT_BAD_SEQUENCE);
	talk_release(&t);
}

static void pipelining_has_a_ceiling(void **state)
{
	struct srv_event ev;
	struct talk t;
	struct buf b;
	struct slice in;
	size_t events = 0;

	(void)state;
	talk_init(&t, AT_ONCE);
	t.conf.rcpt_max = LIMIT_RCPT;
	talk_turn(&t, S("EHLO t\r\n"), 0);
	buf_init(&b, 1 << 20);
	buf_str(&b, "MAIL FROM:<s@a.test>\r\n");
	for (int i = 0; i < 200; i++)
		buf_printf(&b, "RCPT TO:<%d@c.test>\r\n", i);
	in = buf_get(&b);
	while (srv_feed(t.srv, &in, &t.tx, &ev) != SRV_EV_WAIT)
		events++;
	assert_int_equal(events, LIMIT_PIPELINED);
	assert_int_equal(srv_pending(t.srv), LIMIT_PIPELINED);
	buf_release(&b);
	talk_release(&t);
}

static const struct limit_row {
	const char *name, *of;
	size_t times;       /* answered as usual */
	const char *code, *fault;
	size_t over;        /* the code comes at this one */
} limits[] = {
	{ "unknown commands", "BOGUS\r\n", LIMIT_BAD_COMMANDS, "421", "too_many_errors", 1 },
	{ "RSET without end", "RSET\r\n", LIMIT_IDLE_COMMANDS - 1, "421", "too_many_commands", 1 },
	{ "NOOP without end", "NOOP\r\n", LIMIT_IDLE_COMMANDS - 1, "421", "too_many_commands", 1 },
	{ "EHLO without end", "EHLO t\r\n", LIMIT_IDLE_COMMANDS - 1, "421", "too_many_commands", 1 },
};

static void junk_is_cut_off(void **state)
{
	struct buf codes, all;

	(void)state;
	buf_init(&codes, 65536);
	buf_init(&all, 65536);
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		char name[FAULT_NAME_OCTETS];
		struct talk t;

		talk_init(&t, AT_ONCE);
		buf_clear(&all);
		for (size_t k = 0; k < limits[i].times + 50; k++)
			buf_str(&all, limits[i].of);
		talk_turn(&t, S("EHLO t\r\n"), 0);
		talk_turn(&t, buf_get(&all), 0);
		talk_codes(&t, 0, &codes);
		fault_name(t.last.code, name);
		assert_true(t.closed);
		assert_string_equal(name, limits[i].fault);
		assert_int_equal(codes.n, 4 * (limits[i].times + 3) - 1);
		WANT_SLICE(slice_sub(buf_get(&codes), codes.n - 3, 3), slice_str(limits[i].code));
		talk_release(&t);
	}
	buf_release(&codes);
	buf_release(&all);
}

static void an_accepted_message_wipes_the_slate(void **state)
{
	struct talk t;

	(void)state;
	talk_init(&t, AT_ONCE);
	talk_turn(&t, S("EHLO t\r\n"), 0);
	for (int i = 0; i < 10 * LIMIT_BAD_COMMANDS; i++) {
		talk_turn(&t, S("RSET\r\nBOGUS\r\nMAIL FROM:<s@a.test>\r\nRCPT TO:<no@c.test>\r\nRCPT TO:<r@c.test>\r\nDATA\r\n"), 0);
		talk_turn(&t, S("x\r\n.\r\n"), 0);
	}
	assert_false(t.closed);
	assert_int_equal(t.messages, 10 * LIMIT_BAD_COMMANDS);
	talk_release(&t);
}

static void recipients_refused_by_the_next_hop_are_counted(void **state)
{
	struct buf all;
	struct talk t;

	(void)state;
	talk_init(&t, AT_ONCE);
	buf_init(&all, 1 << 20);
	buf_str(&all, "EHLO t\r\nMAIL FROM:<s@a.test>\r\n");
	for (int i = 0; i < LIMIT_BAD_RCPT + 5; i++)
		buf_str(&all, "RCPT TO:<no@c.test>\r\n");
	talk_turn(&t, buf_get(&all), 0);
	assert_true(t.closed);
	assert_int_equal(t.last.code, FAULT_TOO_MANY_ERRORS);
	buf_release(&all);
	talk_release(&t);
}

static void a_source_route_is_forgotten(void **state)
{
	struct talk t;

	(void)state;
	talk_init(&t, AT_ONCE);
	talk_turn(&t, S("EHLO t\r\nMAIL FROM:<@a.test,@evil.test:x@evil.test> SIZE=1\r\nRCPT TO:<@a.test:\"u@v\"@c.test> NOTIFY=NEVER\r\n"
	    "RCPT TO:<@a.test:postmaster>\r\nRCPT TO:<@:x@c.test>\r\n"), 0);
	WANT_SLICE(buf_get(&t.log), S("mail <x@evil.test> size=1 ret= envid=\nrcpt <\"u@v\"@c.test> notify=NEVER orcpt=\n"
	    "rcpt <postmaster> notify= orcpt=\nrefused bad_recipient\n"));
	talk_release(&t);
}

static size_t times(struct slice s, struct slice what)
{
	size_t n = 0;

	for (const unsigned char *p = s.at; (p = memmem(p, s.n - (size_t)(p - s.at), what.at, what.n)); p += what.n)
		n++;
	return n;
}

static void a_flood_of_recipients_ends_and_is_told_once(void **state)
{
	struct buf all;

	(void)state;
	buf_init(&all, 1 << 20);
	buf_str(&all, "EHLO t\r\nMAIL FROM:<s@a.test>\r\n");
	for (int i = 0; i < LIMIT_RCPT_TRIES + 100; i++)
		buf_printf(&all, "RCPT TO:<u%d@c.test>\r\n", i);
	for (int answers = AT_ONCE; answers <= NEWEST_FIRST; answers++) {
		struct slice said;
		struct talk t;

		talk_init(&t, (enum talk_answers)answers);
		talk_turn(&t, buf_get(&all), 1000);
		said = buf_get(&t.replies);
		assert_true(t.closed);
		assert_int_equal(t.last.code, FAULT_TOO_MANY_ERRORS);
		assert_int_equal(times(said, S("250 2.1.0 ")), 6);
		assert_int_equal(times(said, S("452 4.5.3 ")), LIMIT_RCPT_TRIES - 5);
		assert_int_equal(times(said, S("421 4.7.0 ")), 1);
		assert_int_equal(times(buf_get(&t.log), S("refused ")), 1);
		assert_int_equal(srv_rcpt_over(t.srv), LIMIT_RCPT_TRIES - 5);
		talk_release(&t);
	}
	buf_release(&all);
}

static void each_transaction_may_try_anew(void **state)
{
	struct talk t;

	(void)state;
	talk_init(&t, AT_ONCE);
	talk_turn(&t, S("EHLO t\r\n"), 0);
	for (int i = 0; i < 3; i++) {
		talk_turn(&t, S("MAIL FROM:<s@a.test>\r\n"), 0);
		for (int k = 0; k < LIMIT_RCPT_TRIES; k++)
			talk_turn(&t, S("RCPT TO:<r@c.test>\r\n"), 0);
		assert_int_equal(srv_rcpt_over(t.srv), LIMIT_RCPT_TRIES - 5);
		talk_turn(&t, S("RSET\r\n"), 0);
	}
	assert_false(t.closed);
	assert_int_equal(times(buf_get(&t.log), S("refused ")), 3);
	talk_release(&t);
}

static void senders_refused_by_the_next_hop_are_counted(void **state)
{
	struct talk t;

	(void)state;
	talk_init(&t, AT_ONCE);
	talk_turn(&t, S("EHLO t\r\n"), 0);
	for (int i = 0; i < LIMIT_BAD_RCPT; i++)
		talk_turn(&t, S("MAIL FROM:<refuse@a.test>\r\n"), 0);
	assert_false(t.closed);
	talk_turn(&t, S("MAIL FROM:<s@a.test>\r\n"), 0);
	assert_true(t.closed);
	assert_int_equal(t.last.code, FAULT_TOO_MANY_ERRORS);
	talk_release(&t);
}

static void long_lines_are_dropped(void **state)
{
	static const size_t pieces[] = { 0, 1, 1000, 4095, 4096, 4097, 65536 };
	struct buf line, codes;

	(void)state;
	buf_init(&line, 1 << 20);
	buf_init(&codes, 65536);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		static const struct {
			size_t octets; /* with CRLF */
			const char *codes;
			bool closed;
			const char *command;
		} lines[] = {
			{ LIMIT_COMMAND_LINE, "220 250 250 250", false, "NOOP " },
			{ LIMIT_COMMAND_LINE + 1, "220 250 500 250", false, "NOOP " },
			{ LIMIT_COMMAND_LINE + LIMIT_LINE_DROP, "220 250 500 250", false, "NOOP " },
			{ LIMIT_COMMAND_LINE + LIMIT_LINE_DROP + 1, "220 250 500", true, "NOOP " },
			{ 500000, "220 250 500", true, "NOOP " },
			/* whatever follows is a chunk of nobody knows how many octets */
			{ LIMIT_COMMAND_LINE + 1, "220 250 500", true, "BDAT 5 " },
			{ LIMIT_COMMAND_LINE + LIMIT_LINE_DROP, "220 250 500", true, "bdat\t5 " },
			{ LIMIT_COMMAND_LINE + 1, "220 250 250 500", true, "MAIL FROM:<s@a.test>\r\nBDAT 5 " },
			{ LIMIT_COMMAND_LINE + 1, "220 250 500 250", false, "BDATA 5 " },
		};

		for (size_t k = 0; k < sizeof(lines) / sizeof(lines[0]); k++) {
			struct talk t;

			const char *mail = strstr(lines[k].command, "BDAT");
			size_t before = mail ? (size_t)(mail - lines[k].command) : 0;

			talk_init(&t, WHEN_ASKED);
			talk_turn(&t, S("EHLO t\r\n"), 0);
			buf_clear(&line);
			buf_str(&line, lines[k].command);
			while (line.n < before + lines[k].octets - 2)
				buf_octet(&line, 'x');
			buf_str(&line, "\r\nNOOP\r\n");
			talk_turn(&t, buf_get(&line), pieces[i]);
			talk_codes(&t, 0, &codes);
			assert_string_equal((char *)codes.at, lines[k].codes);
			assert_int_equal(t.closed, lines[k].closed);
			if (t.last.code)
				assert_int_equal(t.last.code, FAULT_LINE_TOO_LONG);
			talk_release(&t);
		}
	}
	buf_release(&line);
	buf_release(&codes);
}

/* What is too big is refused while it comes, dropped to its end, and the session goes on. */
static void refused_content_is_swallowed(void **state)
{
	struct slice turn = S("abc\r\n..d\r\n.e\r\n.\r\nNOOP\r\n");

	(void)state;
	for (size_t cut = 1; cut < 14; cut++) {
		struct fault f = { 0 };
		struct talk t;

		talk_init(&t, AT_ONCE);
		before(&t, "MAIL FROM:<s@a.test>\r\nRCPT TO:<r@c.test>\r\nDATA\r\n|", 0);
		buf_clear(&t.replies);
		fault_set(&f, FAULT_TOO_BIG, 0);
		talk_part(&t, slice_sub(turn, 0, cut), false);
		srv_refuse_content(t.srv, &f);
		srv_refuse_content(t.srv, &f);
		talk_part(&t, slice_sub(turn, cut, SIZE_MAX), true);
		WANT_SLICE(buf_get(&t.replies), S("552 5.3.4 message too big\r\n250 2.0.0 ok\r\n"));
		assert_int_equal(srv_state(t.srv), SRV_IDLE);
		assert_int_equal(t.messages, 0);
		talk_release(&t);
	}
}

static void swallowing_ends(void **state)
{
	static unsigned char block[65536];
	struct fault f = { 0 };
	size_t fed = 0;
	struct talk t;

	(void)state;
	memset(block, 'x', sizeof(block));
	talk_init(&t, AT_ONCE);
	before(&t, "MAIL FROM:<s@a.test>\r\nRCPT TO:<r@c.test>\r\nDATA\r\n|", 0);
	fault_set(&f, FAULT_TOO_BIG, 0);
	srv_refuse_content(t.srv, &f);
	for (; !t.closed; fed += sizeof(block))
		talk_part(&t, slice_of(block, sizeof(block)), true);
	assert_in_range(fed, LIMIT_SWALLOW, LIMIT_SWALLOW + 2 * sizeof(block));
	assert_int_equal(t.last.code, FAULT_TOO_BIG);
	talk_release(&t);
}

static void the_end_comes_at_the_next_border(void **state)
{
	struct fault f = { 0 };
	struct srv_event ev;
	struct talk t;
	struct slice in = S("MAIL FROM:<s@a.test>\r\n");
	const struct reply yes = { .code = 250, .text = S("yes") }, leave = { .code = 421, .text = S("bye") };

	(void)state;
	fault_set(&f, FAULT_SHUTTING_DOWN, 0);
	talk_init(&t, AT_ONCE);
	srv_end(t.srv, &f);
	WANT_SLICE(buf_get(srv_out(t.srv)), S("220 mx.c.test ESMTP\r\n421 4.3.2 service is closing\r\n"));
	assert_int_equal(srv_state(t.srv), SRV_GONE);
	assert_int_equal(srv_feed(t.srv, &in, &t.tx, &ev), SRV_EV_CLOSE);
	assert_int_equal(ev.fault.code, FAULT_SHUTTING_DOWN);
	talk_release(&t);

	/* an answer is owed: it comes first */
	talk_init(&t, AT_ONCE);
	talk_turn(&t, S("EHLO t\r\n"), 0);
	assert_int_equal(srv_feed(t.srv, &in, &t.tx, &ev), SRV_EV_MAIL);
	srv_end(t.srv, &f);
	assert_int_not_equal(srv_state(t.srv), SRV_GONE);
	srv_answer(t.srv, ev.seq, &yes);
	WANT_SLICE(buf_get(srv_out(t.srv)), S("250 yes\r\n421 4.3.2 service is closing\r\n"));
	assert_int_equal(srv_state(t.srv), SRV_GONE);
	talk_release(&t);

	/* in content at once */
	talk_init(&t, AT_ONCE);
	before(&t, "MAIL FROM:<s@a.test>\r\nRCPT TO:<r@c.test>\r\nDATA\r\n|half a mess", 0);
	assert_int_equal(srv_awaits(t.srv), SRV_AWAITS_CONTENT);
	srv_end(t.srv, &f);
	WANT_SLICE(buf_get(srv_out(t.srv)), S("421 4.3.2 service is closing\r\n"));
	assert_int_equal(srv_state(t.srv), SRV_GONE);
	talk_release(&t);

	/* a next hop's 421 ends the session here as well */
	in = S("MAIL FROM:<s@a.test>\r\n");
	talk_init(&t, AT_ONCE);
	talk_turn(&t, S("EHLO t\r\n"), 0);
	assert_int_equal(srv_feed(t.srv, &in, &t.tx, &ev), SRV_EV_MAIL);
	srv_answer(t.srv, ev.seq, &leave);
	assert_int_equal(srv_feed(t.srv, &in, &t.tx, &ev), SRV_EV_CLOSE);
	talk_release(&t);

	/* no session at all */
	t.srv = srv_new(&t.conf);
	memset(&f, 0, sizeof(f));
	fault_set(&f, FAULT_TOO_MANY_SESSIONS, 0);
	srv_greet(t.srv, &f);
	WANT_SLICE(buf_get(srv_out(t.srv)), S("421 4.7.0 too many connections\r\n"));
	assert_int_equal(srv_state(t.srv), SRV_GONE);
	srv_free(&t.srv);
}

/* While DATA waits for its go the client has nothing to say. */
static void octets_before_the_354_are_early(void **state)
{
	struct slice in = S("DATA\r\n");
	struct srv_event ev;
	struct talk t;

	(void)state;
	talk_init(&t, AT_ONCE);
	before(&t, "MAIL FROM:<s@a.test>\r\nRCPT TO:<r@c.test>\r\n|", 0);
	assert_int_equal(srv_feed(t.srv, &in, &t.tx, &ev), SRV_EV_DATA);
	in = S("S");
	assert_int_equal(srv_feed(t.srv, &in, &t.tx, &ev), SRV_EV_CLOSE);
	assert_int_equal(ev.fault.code, FAULT_EARLY_TALK);
	srv_data_go(t.srv, 3);
	WANT_SLICE(buf_get(srv_out(t.srv)), S("554 5.5.0 spoke before its turn\r\n"));
	talk_release(&t);
}

static void data_may_be_refused(void **state)
{
	struct slice in = S("DATA\r\n");
	struct fault f = { 0 };
	struct srv_event ev;
	struct talk t;

	(void)state;
	talk_init(&t, AT_ONCE);
	before(&t, "MAIL FROM:<s@a.test>\r\nRCPT TO:<r@c.test>\r\n|", 0);
	assert_int_equal(srv_feed(t.srv, &in, &t.tx, &ev), SRV_EV_DATA);
	fault_set(&f, FAULT_NO_DISK, 0);
	srv_answer_fault(t.srv, ev.seq, &f);
	WANT_SLICE(buf_get(srv_out(t.srv)), S("452 4.3.1 insufficient system storage\r\n"));
	assert_int_equal(srv_state(t.srv), SRV_IDLE);
	talk_release(&t);
}

static void an_idle_session_is_small(void **state)
{
	struct talk t;
	size_t before_octets, after;

	(void)state;
	talk_init(&t, AT_ONCE);
	srv_free(&t.srv);
	before_octets = mallinfo2().uordblks;
	t.srv = srv_new(&t.conf);
	srv_greet(t.srv, NULL);
	talk_turn(&t, S("EHLO t.a.test\r\n"), 5);
	buf_release(&t.in);
	buf_release(&t.log);
	buf_release(&t.replies);
	after = mallinfo2().uordblks;
	if (after > before_octets) /* not so under AddressSanitizer */
		assert_in_range(after - before_octets, 1, 512);
	talk_release(&t);
}

/* ---- chance ---- */

static uint64_t roll(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005U + 1442695040888963407U;
	return *seed >> 33;
}

static const char *const turns[] = {
	"MAIL FROM:<s@a.test>\r\n", "MAIL FROM:<>\r\n", "MAIL FROM:<s@a.test> SIZE=5 SMTPUTF8\r\n", "MAIL FROM:<bad\r\n",
	"MAIL FROM:<s@a.test> FOO\r\n", "RCPT TO:<r@c.test>\r\n", "RCPT TO:<no@c.test>\r\n", "RCPT TO:<later@c.test>\r\n",
	"RCPT TO:<bad\r\n", "RCPT TO:<\"a\nb\"@c.test>\r\n", "RCPT TO:<r@c.test> NOTIFY=NEVER\r\n", "RSET\r\n", "NOOP\r\n", "EHLO x\r\n",
	"HELO y\r\n", "BOGUS\r\n", "VRFY z\r\n", "\r\n", "NO\rOP\r\n", "MAIL FROM:<s@a.test>\r\nRCPT TO:<r@c.test>\r\n",
};
static const char *const contents[] = {
	".\r\n", "a: b\r\n\r\nbody\r\n.\r\n", "..\r\n...\r\n.\r\nNOOP\r\n", "x\r\n..y\r\n\r\n.\r\nMAIL FROM:<s@a.test>\r\nRCPT TO:<r@c.test>\r\n",
};

/*
 * The same dialogue for the same seed; `pieces` has a seed of its own, 0: each turn whole. "refuse" is left out, since what a
 * recipient behind a refused MAIL is told depends on when.
 */
static void chance(struct talk *t, uint64_t seed, uint64_t pieces)
{
	struct buf turn;

	buf_init(&turn, 65536);
	buf_str(&turn, "EHLO t\r\n");
	for (int i = 0; i < 30 && !t->closed; i++) {
		bool data = false;

		for (uint64_t n = roll(&seed) % 5; n; n--)
			buf_str(&turn, turns[roll(&seed) % (sizeof(turns) / sizeof(turns[0]))]);
		if (roll(&seed) % 3 == 0) {
			buf_str(&turn, "DATA\r\n");
			data = true;
		}
		for (size_t at = 0; at < turn.n && !t->closed;) {
			size_t n = pieces ? 1 + roll(&pieces) % 9 : turn.n;

			talk_part(t, slice_sub(buf_get(&turn), at, n), at + n >= turn.n);
			at += n;
		}
		buf_clear(&turn);
		if (data) {
			const char *text = contents[roll(&seed) % 4];

			if (srv_state(t->srv) == SRV_BODY)
				buf_str(&turn, text);
		}
	}
	buf_release(&turn);
}

static void chance_dialogues_are_the_same_however_cut(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 400; seed++) {
		struct talk whole, other;

		talk_init(&whole, AT_ONCE);
		chance(&whole, seed, 0);
		for (uint64_t k = 0; k < 6; k++) {
			talk_init(&other, (enum talk_answers)(k % 3));
			chance(&other, seed, k < 3 ? 0 : seed * 31 + k);
			WANT_SLICE(buf_get(&other.replies), buf_get(&whole.replies));
			WANT_SLICE(buf_get(&other.log), buf_get(&whole.log));
			talk_release(&other);
		}
		talk_release(&whole);
	}
}

/* ---- STARTTLS (RFC 3207) ---- */

static const struct tls_row {
	const char *name;
	enum srv_tls tls;
	const char *send;  /* from the banner on; "|": the end of a turn */
	const char *codes;
	const char *fault; /* of the last refusal */
	bool closed;
} tls_rows[] = {
	{ "it is taken before EHLO too", SRV_TLS_MAY, "STARTTLS\r\n|EHLO t\r\n", "220 250", "", false },
	{ "all before it is forgotten", SRV_TLS_MAY, "EHLO t\r\nSTARTTLS\r\n|MAIL FROM:<s@a.test>\r\n", "250 220 503", "bad_sequence", false },
	{ "a transaction after it", SRV_TLS_REQUIRE, "EHLO t\r\n|STARTTLS\r\n|EHLO t\r\nMAIL FROM:<s@a.test>\r\nRCPT TO:<r@c.test>\r\nDATA\r\n|.\r\n",
	    "250 220 250 250 250 354 250", "", false },
	{ "not in a transaction", SRV_TLS_MAY, "EHLO t\r\nMAIL FROM:<s@a.test>\r\n|STARTTLS\r\n|RSET\r\nSTARTTLS\r\n", "250 250 503 250 220", "bad_sequence", false },
	{ "not twice", SRV_TLS_MAY, "EHLO t\r\nSTARTTLS\r\n|EHLO t\r\nSTARTTLS\r\nNOOP\r\n", "250 220 250 503 250", "bad_sequence", false },
	{ "not inside implicit TLS", SRV_TLS_ON, "EHLO t\r\nSTARTTLS\r\n", "250 503", "bad_sequence", false },
	{ "not with an argument", SRV_TLS_MAY, "STARTTLS now\r\nNOOP\r\n", "501 250", "command_syntax", false },
	{ "not where there is none", SRV_TLS_NONE, "EHLO t\r\nSTARTTLS\r\nNOOP\r\n", "250 502 250", "command_later", false },
	{ "no mail before it where it is required", SRV_TLS_REQUIRE, "EHLO t\r\nMAIL FROM:<s@a.test>\r\nRCPT TO:<r@c.test>\r\nVRFY u\r\nRSET\r\n",
	    "250 530 530 530 530", "tls_required", false },
	{ "what may be said before it", SRV_TLS_REQUIRE, "EHLO t\r\nNOOP\r\nQUIT\r\n", "250 250 221", "none", true },
	{ "HELO inside it", SRV_TLS_REQUIRE, "STARTTLS\r\n|HELO t\r\nMAIL FROM:<s@a.test>\r\n", "220 250 250", "", false },
};

static void starttls_at_every_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(tls_rows) / sizeof(tls_rows[0]); i++) {
		const struct tls_row *r = &tls_rows[i];
		size_t n = strlen(r->send);

		for (size_t piece = 0; piece <= n; piece++) {
			struct slice rest = slice_str(r->send), turn;
			char name[FAULT_NAME_OCTETS] = "";
			struct buf codes;
			struct talk t;
			size_t from;

			buf_init(&codes, 65536);
			talk_init(&t, AT_ONCE);
			srv_tls(t.srv, r->tls);
			talk_replies(&t);
			from = t.replies.n;
			while (rest.n) {
				(void)slice_cut(&rest, '|', &turn);
				talk_turn(&t, turn, piece);
			}
			talk_codes(&t, from, &codes);
			if (t.last.code || t.closed)
				fault_name(t.last.code, name);
			if (strcmp((char *)codes.at, r->codes) != 0 || strcmp(name, r->fault) != 0 || t.closed != r->closed) {
				print_error("%s (pieces of %zu): wanted %s %s %d, got %s %s %d\n", r->name, piece, r->codes, r->fault, r->closed,
				    (char *)codes.at, name, t.closed);
				fail();
			}
			talk_release(&t);
			buf_release(&codes);
		}
	}
}

/* However much of the text behind it came with it, one octet or all of it. */
static void octets_behind_starttls_are_early(void **state)
{
	static const char behind[] = "STARTTLS\r\nMAIL FROM:<e@evil.test>\r\n";

	(void)state;
	for (size_t n = 11; n < sizeof(behind); n++)
		for (size_t cut = 0; cut < 10; cut++) {
			struct talk t;

			talk_init(&t, AT_ONCE);
			srv_tls(t.srv, SRV_TLS_MAY);
			talk_turn(&t, S("EHLO t\r\n"), 0);
			buf_clear(&t.replies);
			talk_cut(&t, slice_of(behind, n), cut);
			assert_true(t.closed);
			assert_int_equal(t.last.code, FAULT_TLS_EARLY_DATA);
			assert_int_equal(srv_state(t.srv), SRV_GONE);
			WANT_SLICE(buf_get(&t.replies), S("554 5.5.0 spoke in clear behind STARTTLS\r\n"));
			talk_release(&t);
		}
}

static void starttls_is_announced_until_it_is_done(void **state)
{
	static const struct {
		enum srv_tls tls;
		bool before;
	} cases[] = { { SRV_TLS_NONE, false }, { SRV_TLS_MAY, true }, { SRV_TLS_REQUIRE, true }, { SRV_TLS_ON, false } };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct talk t;

		talk_init(&t, AT_ONCE);
		srv_tls(t.srv, cases[i].tls);
		talk_turn(&t, S("EHLO t\r\n"), 0);
		buf_octet(&t.replies, '\0');
		assert_int_equal(strstr((char *)t.replies.at, "STARTTLS") != NULL, cases[i].before);
		buf_clear(&t.replies);
		if (cases[i].before) {
			talk_turn(&t, S("STARTTLS\r\n"), 0);
			assert_true(slice_eq(srv_helo(t.srv), SLICE_NONE));
			assert_false(srv_esmtp(t.srv));
			talk_turn(&t, S("EHLO t\r\n"), 0);
			buf_octet(&t.replies, '\0');
			assert_null(strstr((char *)t.replies.at, "STARTTLS"));
		}
		talk_release(&t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_hold_at_every_cut),
		cmocka_unit_test(the_words_are_these),
		cmocka_unit_test(what_was_said_reaches_the_caller),
		cmocka_unit_test(nothing_before_a_greeting),
		cmocka_unit_test(a_dropped_transaction_is_told),
		cmocka_unit_test(answers_go_out_in_the_order_of_the_commands),
		cmocka_unit_test(a_refused_mail_takes_its_recipients_along),
		cmocka_unit_test(pipelining_has_a_ceiling),
		cmocka_unit_test(junk_is_cut_off),
		cmocka_unit_test(an_accepted_message_wipes_the_slate),
		cmocka_unit_test(recipients_refused_by_the_next_hop_are_counted),
		cmocka_unit_test(a_source_route_is_forgotten),
		cmocka_unit_test(a_flood_of_recipients_ends_and_is_told_once),
		cmocka_unit_test(each_transaction_may_try_anew),
		cmocka_unit_test(senders_refused_by_the_next_hop_are_counted),
		cmocka_unit_test(long_lines_are_dropped),
		cmocka_unit_test(refused_content_is_swallowed),
		cmocka_unit_test(swallowing_ends),
		cmocka_unit_test(the_end_comes_at_the_next_border),
		cmocka_unit_test(octets_before_the_354_are_early),
		cmocka_unit_test(data_may_be_refused),
		cmocka_unit_test(an_idle_session_is_small),
		cmocka_unit_test(starttls_at_every_cut),
		cmocka_unit_test(octets_behind_starttls_are_early),
		cmocka_unit_test(starttls_is_announced_until_it_is_done),
		cmocka_unit_test(chance_dialogues_are_the_same_however_cut),
	};

	return RUN_TESTS(tests);
}
