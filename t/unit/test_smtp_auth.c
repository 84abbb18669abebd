/* AUTH: what a client says to prove who it is, in any pieces, and what it is told. */
#include "smtp_talk.h"

#include "base/b64.h"

static void begin(struct talk *t)
{
	talk_init(t, AT_ONCE);
	srv_tls(t->srv, SRV_TLS_ON);
	srv_auth(t->srv, 1U << AUTH_PLAIN | 1U << AUTH_SCRAM_SHA_256);
}

/*
 * One turn a line behind EHLO, the messages of an exchange in clear: "=text" is sent in base64, anything else as it is. A backslash and 0
 * are NUL.
 */
struct row {
	const char *name;
	const char *turns[5];
	const char *codes;
	const char *note;   /* of the failure, or the fault */
};

#define FIRST "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
#define NONCE "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define PROOF "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="

static const struct row rows[] = {
	{ "PLAIN in the command", { "AUTH PLAIN AHVzZXIAcGVuY2ls" }, "235", "" },
	{ "PLAIN behind it", { "AUTH PLAIN", "=\\0user\\0pencil" }, "334 235", "" },
	{ "in any letter case", { "auth plain AHVzZXIAcGVuY2ls" }, "235", "" },
	{ "PLAIN for oneself by name", { "AUTH PLAIN", "=user\\0user\\0pencil" }, "334 235", "" },
	{ "PLAIN for another", { "AUTH PLAIN", "=other\\0user\\0pencil" }, "334 535", "acts for another" },
	{ "another password", { "AUTH PLAIN", "=\\0user\\0pencils" }, "334 535", "wrong password" },
	{ "nobody's password", { "AUTH PLAIN", "=\\0nobody\\0pencil" }, "334 535", "unknown user" },
	{ "a name in another case", { "AUTH PLAIN", "=\\0User\\0pencil" }, "334 535", "unknown user" },
	{ "no password", { "AUTH PLAIN", "=\\0user\\0" }, "334 535", "bad password syntax" },
	{ "no name", { "AUTH PLAIN", "=\\0\\0pencil" }, "334 535", "bad user name" },
	{ "NUL in the password", { "AUTH PLAIN", "=\\0user\\0pencil\\0" }, "334 535", "bad password syntax" },
	{ "no NUL", { "AUTH PLAIN", "=user" }, "334 535", "no PLAIN message" },
	{ "one NUL", { "AUTH PLAIN", "=user\\0pencil" }, "334 535", "no PLAIN message" },
	{ "nothing", { "AUTH PLAIN", "=" }, "334 535", "no PLAIN message" },
	{ "nothing in the command", { "AUTH PLAIN =" }, "535", "no PLAIN message" },
	{ "a name of no UTF-8", { "AUTH PLAIN", "=\\0us\xff" "er\\0pencil" }, "334 535", "bad user name" },
	{ "a name with a line end", { "AUTH PLAIN", "=\\0user\nX\\0pencil" }, "334 535", "bad user name" },

	{ "SCRAM as published", { "AUTH SCRAM-SHA-256", "=" FIRST, "=c=biws,r=" NONCE "," PROOF, "=" }, "334 334 334 235", "" },
	{ "SCRAM in the command", { "AUTH SCRAM-SHA-256 biwsbj11c2VyLHI9ck9wck5HZndFYmVSV2diTkVrcU8=", "=c=biws,r=" NONCE "," PROOF, "=" },
	    "334 334 235", "" },
	{ "text behind it", { "AUTH SCRAM-SHA-256", "=" FIRST, "=c=biws,r=" NONCE "," PROOF, "=x" }, "334 334 334 535", "behind" },
	{ "a proof of another exchange", { "AUTH SCRAM-SHA-256", "=" FIRST ",x=y", "=c=biws,r=" NONCE "," PROOF }, "334 334 535", "wrong password" },
	{ "a proof in base64 with odd bits", { "AUTH SCRAM-SHA-256", "=" FIRST, "=c=biws,r=" NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVR=" },
	    "334 334 535", "no client-final" },
	{ "a proof with an octet flipped", { "AUTH SCRAM-SHA-256", "=" FIRST, "=c=biws,r=" NONCE ",p=eHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=" }, "334 334 535",
	    "wrong password" },
	{ "an unknown user has a salt as well", { "AUTH SCRAM-SHA-256", "=n,,n=nobody,r=rOprNGfwEbeRWgbNEkqO", "=c=biws,r=" NONCE "," PROOF },
	    "334 334 535", "unknown user" },
	{ "the client could bind a channel: other words, another proof", { "AUTH SCRAM-SHA-256", "=y,,n=user,r=rOprNGfwEbeRWgbNEkqO",
	    "=c=eSws,r=" NONCE "," PROOF }, "334 334 535", "wrong password" },
	{ "it was taken for one that could not", { "AUTH SCRAM-SHA-256", "=y,,n=user,r=rOprNGfwEbeRWgbNEkqO", "=c=biws,r=" NONCE "," PROOF },
	    "334 334 535", "other channel binding" },
	{ "binding of a channel", { "AUTH SCRAM-SHA-256", "=p=tls-unique,,n=user,r=rOprNGfwEbeRWgbNEkqO" }, "334 535", "channel binding" },
	{ "a word that is none of the three", { "AUTH SCRAM-SHA-256", "=x,,n=user,r=rOprNGfwEbeRWgbNEkqO" }, "334 535", "no gs2-header" },
	{ "for oneself by name", { "AUTH SCRAM-SHA-256", "=n,a=user,n=user,r=rOprNGfwEbeRWgbNEkqO", "=c=bixhPXVzZXIs,r=" NONCE "," PROOF },
	    "334 334 535", "wrong password" },
	{ "for another", { "AUTH SCRAM-SHA-256", "=n,a=other,n=user,r=rOprNGfwEbeRWgbNEkqO" }, "334 535", "acts for another" },
	{ "an authzid that is none", { "AUTH SCRAM-SHA-256", "=n,user,n=user,r=rOprNGfwEbeRWgbNEkqO" }, "334 535", "no gs2-header" },
	{ "what must be understood", { "AUTH SCRAM-SHA-256", "=n,,m=x,n=user,r=rOprNGfwEbeRWgbNEkqO" }, "334 535", "must be understood" },
	{ "no header", { "AUTH SCRAM-SHA-256", "=n=user,r=rOprNGfwEbeRWgbNEkqO" }, "334 535", "no gs2-header" },
	{ "nothing at all", { "AUTH SCRAM-SHA-256", "=" }, "334 535", "no gs2-header" },
	{ "no nonce", { "AUTH SCRAM-SHA-256", "=n,,n=user" }, "334 535", "no client-first" },
	{ "an empty one", { "AUTH SCRAM-SHA-256", "=n,,n=user,r=" }, "334 535", "no client-first" },
	{ "a blank in it", { "AUTH SCRAM-SHA-256", "=n,,n=user,r=a b" }, "334 535", "no client-first" },
	{ "no name, SCRAM", { "AUTH SCRAM-SHA-256", "=n,,n=,r=abc" }, "334 535", "bad user name" },
	{ "a comma and an equals sign in a name", { "AUTH SCRAM-SHA-256", "=n,,n=a=2Cb=3Dc,r=abc", "*" }, "334 334 501", "auth_cancelled" },
	{ "an equals sign that is none", { "AUTH SCRAM-SHA-256", "=n,,n=a=b,r=abc" }, "334 535", "bad user name" },
	{ "half a code", { "AUTH SCRAM-SHA-256", "=n,,n=a=2,r=abc" }, "334 535", "bad user name" },
	{ "a code in lower case", { "AUTH SCRAM-SHA-256", "=n,,n=a=2c,r=abc" }, "334 535", "bad user name" },
	{ "attributes in another order", { "AUTH SCRAM-SHA-256", "=n,,r=abc,n=user" }, "334 535", "bad user name" },
	{ "an extension without a value", { "AUTH SCRAM-SHA-256", "=n,,n=user,r=abc,x=" }, "334 535", "no client-first" },
	{ "a comma at its end", { "AUTH SCRAM-SHA-256", "=n,,n=user,r=abc,x=y," }, "334 535", "no client-first" },
	{ "the nonce of the client alone", { "AUTH SCRAM-SHA-256", "=" FIRST, "=c=biws,r=rOprNGfwEbeRWgbNEkqO," PROOF }, "334 334 535", "not our nonce" },
	{ "our nonce with an octet more", { "AUTH SCRAM-SHA-256", "=" FIRST, "=c=biws,r=" NONCE "x," PROOF }, "334 334 535", "not our nonce" },
	{ "no proof", { "AUTH SCRAM-SHA-256", "=" FIRST, "=c=biws,r=" NONCE }, "334 334 535", "no client-final" },
	{ "a proof that is not the last", { "AUTH SCRAM-SHA-256", "=" FIRST, "=c=biws,r=" NONCE "," PROOF ",x=y" }, "334 334 535", "no client-final" },
	{ "a short proof", { "AUTH SCRAM-SHA-256", "=" FIRST, "=c=biws,r=" NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndQ==" }, "334 334 535",
	    "no client-final" },
	{ "a proof and nothing", { "AUTH SCRAM-SHA-256", "=" FIRST, "=" PROOF }, "334 334 535", "no client-final" },
	{ "an empty final message", { "AUTH SCRAM-SHA-256", "=" FIRST, "=" }, "334 334 535", "no client-final" },

	{ "a mechanism we have not", { "AUTH LOGIN" }, "504", "auth_mechanism" },
	{ "one with channel binding", { "AUTH SCRAM-SHA-256-PLUS" }, "504", "auth_mechanism" },
	{ "no mechanism", { "AUTH" }, "501", "command_syntax" },
	{ "given up", { "AUTH PLAIN", "*" }, "334 501", "auth_cancelled" },
	{ "no base64", { "AUTH PLAIN", "user" "!" }, "334 501", "auth_base64" },
	{ "base64 in two words", { "AUTH PLAIN AHVzZXIA cGVuY2ls" }, "501", "auth_base64" },
	{ "base64 without padding", { "AUTH PLAIN", "AHVzZXI" }, "334 501", "auth_base64" },
	{ "a command in place of an answer", { "AUTH PLAIN", "MAIL FROM:<s@a.test>" }, "334 501", "auth_base64" },
	{ "mail behind a failure", { "AUTH PLAIN", "*", "MAIL FROM:<s@a.test>" }, "334 501 250", "auth_cancelled" },
	{ "again behind a failure", { "AUTH PLAIN", "*", "AUTH PLAIN AHVzZXIAcGVuY2ls" }, "334 501 235", "auth_cancelled" },
	{ "twice", { "AUTH PLAIN AHVzZXIAcGVuY2ls", "AUTH PLAIN AHVzZXIAcGVuY2ls" }, "235 503", "bad_sequence" },
	{ "twice, with EHLO between", { "AUTH PLAIN AHVzZXIAcGVuY2ls", "EHLO t", "AUTH PLAIN AHVzZXIAcGVuY2ls" }, "235 250 503", "bad_sequence" },
	{ "in a transaction", { "MAIL FROM:<s@a.test>", "AUTH PLAIN AHVzZXIAcGVuY2ls" }, "250 503", "bad_sequence" },
	{ "behind HELO", { "HELO t", "AUTH PLAIN AHVzZXIAcGVuY2ls" }, "250 503", "bad_sequence" },
	{ "AUTH= is taken, with and without having authenticated", { "MAIL FROM:<s@a.test> AUTH=<>", "RSET", "AUTH PLAIN AHVzZXIAcGVuY2ls",
	    "MAIL FROM:<s@a.test> AUTH=e+3Dmc2@a.test" }, "250 250 235 250", "" },
	{ "AUTH= that is no xtext", { "MAIL FROM:<s@a.test> AUTH=a+3b" }, "501", "bad_param" },
	{ "AUTH= without a value", { "MAIL FROM:<s@a.test> AUTH" }, "501", "bad_param" },
};

/* The line of a turn, with its end. */
static void add_turn(struct buf *b, const char *turn)
{
	struct buf text;

	if (turn[0] != '=') {
		buf_str(b, turn);
		buf_str(b, "\r\n");
		return;
	}
	buf_init(&text, 65536);
	for (const char *p = turn + 1; *p; p++)
		if (p[0] == '\\' && p[1] == '0') {
			buf_octet(&text, '\0');
			p++;
		} else {
			buf_octet(&text, (unsigned char)*p);
		}
	b64_encode(b, buf_get(&text));
	buf_str(b, "\r\n");
	buf_release(&text);
}

static void want_row(const struct row *r, size_t piece)
{
	char name[FAULT_NAME_OCTETS] = "";
	struct buf codes, turn;
	struct talk t;
	size_t from;

	buf_init(&codes, 65536);
	buf_init(&turn, 65536);
	begin(&t);
	talk_turn(&t, S("EHLO t.a.test\r\n"), 0);
	from = t.replies.n;
	for (size_t i = 0; i < 5 && r->turns[i]; i++) {
		buf_clear(&turn);
		add_turn(&turn, r->turns[i]);
		talk_turn(&t, buf_get(&turn), piece);
	}
	talk_codes(&t, from, &codes);
	if (t.last.code)
		fault_name(t.last.code, name);
	if (strcmp((char *)codes.at, r->codes) != 0 || !(t.last.code == FAULT_AUTH_FAILED ? strstr(t.last.note, r->note) && r->note[0] : strcmp(name, r->note) == 0)) {
		print_error("%s (pieces of %zu): wanted %s \"%s\", got %s %s \"%s\"\n", r->name, piece, r->codes, r->note, (char *)codes.at, name, t.last.note);
		fail();
	}
	assert_int_equal(srv_authenticated(t.srv), strstr(r->codes, "235") != NULL);
	talk_release(&t);
	buf_release(&codes);
	buf_release(&turn);
}

static void exchanges_in_any_pieces(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		want_row(&rows[i], 0);
		want_row(&rows[i], 1);
		want_row(&rows[i], 7);
	}
}

static void want_reply(struct talk *t, const char *line)
{
	struct slice all = buf_get(&t->replies), want = slice_str(line);

	assert_true(all.n >= want.n);
	WANT_SLICE(slice_sub(all, all.n - want.n, want.n), want);
}

/* RFC 7677 section 3, octet by octet. */
static void the_published_exchange(void **state)
{
	struct buf turn, want;
	struct talk t;

	(void)state;
	begin(&t);
	buf_init(&turn, 4096);
	buf_init(&want, 4096);
	talk_turn(&t, S("EHLO t\r\nAUTH SCRAM-SHA-256\r\n"), 0);
	want_reply(&t, "\r\n334 \r\n");
	add_turn(&turn, "=" FIRST);
	talk_turn(&t, buf_get(&turn), 0);
	buf_str(&want, "\r\n334 ");
	add_turn(&want, "=r=" NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
	buf_octet(&want, '\0');
	want_reply(&t, (char *)want.at);
	buf_clear(&turn);
	buf_clear(&want);
	add_turn(&turn, "=c=biws,r=" NONCE "," PROOF);
	talk_turn(&t, buf_get(&turn), 0);
	buf_str(&want, "\r\n334 ");
	add_turn(&want, "=v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
	buf_octet(&want, '\0');
	want_reply(&t, (char *)want.at);
	talk_turn(&t, S("\r\n"), 0);
	want_reply(&t, "\r\n235 2.7.0 authentication successful\r\n");
	assert_true(srv_authenticated(t.srv));
	talk_release(&t);
	buf_release(&turn);
	buf_release(&want);
}

static bool announced(const struct talk *t, const char *line)
{
	struct slice rest = buf_get(&t->replies), one;

	while (rest.n) {
		(void)slice_cut(&rest, '\n', &one);
		if (slice_eq(slice_sub(slice_trim(one), 4, SIZE_MAX), slice_str(line)))
			return true;
	}
	return false;
}

static void it_is_there_inside_tls_only(void **state)
{
	static const struct {
		const char *name;
		enum srv_tls tls;
		unsigned mechs;
		const char *line, *codes;
	} cases[] = {
		{ "no AUTH here", SRV_TLS_ON, 0, NULL, "502" },
		{ "no AUTH here, in clear", SRV_TLS_MAY, 0, NULL, "502" },
		{ "in clear, with TLS to be had", SRV_TLS_MAY, 3, NULL, "538" },
		{ "in clear, where TLS comes first", SRV_TLS_REQUIRE, 3, NULL, "530" },
		{ "in clear for ever", SRV_TLS_NONE, 3, NULL, "538" },
		{ "both", SRV_TLS_ON, 3, "AUTH PLAIN SCRAM-SHA-256", "235" },
		{ "SCRAM alone", SRV_TLS_ON, 2, "AUTH SCRAM-SHA-256", "504" },
		{ "PLAIN alone", SRV_TLS_ON, 1, "AUTH PLAIN", "235" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf codes;
		struct talk t;
		size_t from;

		buf_init(&codes, 4096);
		talk_init(&t, AT_ONCE);
		srv_tls(t.srv, cases[i].tls);
		srv_auth(t.srv, cases[i].mechs);
		talk_turn(&t, S("EHLO t\r\n"), 0);
		from = t.replies.n;
		talk_turn(&t, S("AUTH PLAIN AHVzZXIAcGVuY2ls\r\n"), 0);
		talk_codes(&t, from, &codes);
		if (strcmp((char *)codes.at, cases[i].codes) != 0 || !announced(&t, cases[i].line ? cases[i].line : "PIPELINING") ||
		    (!cases[i].line && memmem(t.replies.at, t.replies.n, "250-AUTH", 8))) {
			print_error("%s: wanted %s, got %.*s\n", cases[i].name, cases[i].codes, SLICE_FMT(buf_get(&t.replies)));
			fail();
		}
		talk_release(&t);
		buf_release(&codes);
	}
}

/* RFC 3207 4.2: what was said in clear is forgotten, and AUTH comes after a new EHLO. */
static void starttls_then_auth(void **state)
{
	struct buf codes;
	struct talk t;

	(void)state;
	buf_init(&codes, 4096);
	talk_init(&t, AT_ONCE);
	srv_tls(t.srv, SRV_TLS_MAY);
	srv_auth(t.srv, 3);
	talk_turn(&t, S("EHLO t\r\nSTARTTLS\r\n"), 0);
	talk_turn(&t, S("AUTH PLAIN AHVzZXIAcGVuY2ls\r\n"), 0);
	talk_turn(&t, S("EHLO t\r\nAUTH PLAIN AHVzZXIAcGVuY2ls\r\n"), 0);
	talk_codes(&t, 0, &codes);
	assert_string_equal((char *)codes.at, "220 250 220 503 250 235");
	talk_release(&t);
	buf_release(&codes);
}

/* A front end's next client has not authenticated. */
static void xclient_is_somebody_else(void **state)
{
	struct talk t;

	(void)state;
	begin(&t);
	srv_trust(t.srv);
	talk_turn(&t, S("EHLO t\r\nAUTH PLAIN AHVzZXIAcGVuY2ls\r\n"), 0);
	assert_true(srv_authenticated(t.srv));
	talk_turn(&t, S("XCLIENT NAME=x.test\r\n"), 0);
	assert_false(srv_authenticated(t.srv));
	talk_turn(&t, S("EHLO t\r\nAUTH PLAIN AHVzZXIAcGVuY2ls\r\n"), 0);
	assert_true(srv_authenticated(t.srv));
	talk_release(&t);
}

static void add_run(struct buf *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_octet(b, 'A');
}

static void want_long(const char *head, size_t octets, const char *tail, const char *want)
{
	struct buf turn, codes;
	struct talk t;
	size_t from;

	buf_init(&turn, 1 << 20);
	buf_init(&codes, 4096);
	begin(&t);
	talk_turn(&t, S("EHLO t\r\n"), 0);
	from = t.replies.n;
	buf_str(&turn, head);
	add_run(&turn, octets);
	buf_str(&turn, tail);
	for (size_t piece = 0; piece < 2; piece++) {
		talk_turn(&t, buf_get(&turn), piece * 1000);
		talk_codes(&t, from, &codes);
		if (strcmp((char *)codes.at, want) != 0) {
			print_error("%s and %zu octets: wanted %s, got %s\n", head, octets, want, (char *)codes.at);
			fail();
		}
		from = t.replies.n;
	}
	talk_release(&t);
	buf_release(&turn);
	buf_release(&codes);
}

/* RFC 4954 4: 12288 octets with CRLF for AUTH and what follows it; other commands have no more room for it. */
static void long_lines(void **state)
{
	(void)state;
	want_long("AUTH PLAIN ", LIMIT_AUTH_LINE - 13 - 3, "\r\n", "535");
	want_long("AUTH PLAIN ", LIMIT_AUTH_LINE - 13 + 1, "\r\n", "500");
	want_long("AUTH PLAIN\r\n", LIMIT_AUTH_LINE - 4, "\r\n", "334 535");
	want_long("AUTH PLAIN\r\n", LIMIT_AUTH_LINE - 1, "\r\n", "334 500");
	want_long("NOOP ", LIMIT_COMMAND_LINE - 7, "\r\n", "250");
	want_long("NOOP ", LIMIT_COMMAND_LINE - 6, "\r\n", "500");
	want_long("NOOP ", LIMIT_AUTH_LINE - 7, "\r\n", "500");
	want_long("NOOP ", LIMIT_AUTH_LINE - 6, "\r\n", "500");
}

static void an_endless_line_is_the_end(void **state)
{
	struct buf turn;
	struct talk t;

	(void)state;
	buf_init(&turn, 1 << 20);
	begin(&t);
	talk_turn(&t, S("EHLO t\r\nAUTH PLAIN\r\n"), 0);
	add_run(&turn, LIMIT_AUTH_LINE + LIMIT_LINE_DROP + 1);
	talk_turn(&t, buf_get(&turn), 0);
	assert_true(t.closed);
	want_reply(&t, "\r\n500 5.5.6 authentication exchange line is too long\r\n");
	talk_release(&t);
	buf_release(&turn);
}

static void failures_have_an_end(void **state)
{
	struct talk t;

	(void)state;
	begin(&t);
	talk_turn(&t, S("EHLO t\r\n"), 0);
	for (int i = 0; i < LIMIT_AUTH_FAILURES; i++) {
		assert_false(t.closed);
		if (i % 2)
			talk_turn(&t, S("AUTH PLAIN AHVzZXIAcGVuY2lz\r\n"), 0);
		else
			talk_turn(&t, S("AUTH PLAIN\r\n*\r\n"), 0);
	}
	talk_turn(&t, S("NOOP\r\n"), 0);
	want_reply(&t, "\r\n250 2.0.0 ok\r\n");
	talk_turn(&t, S("AUTH PLAIN AHVzZXIAcGVuY2ls\r\n"), 0);
	want_reply(&t, "\r\n421 4.7.0 too many errors\r\n");
	assert_true(t.closed);
	talk_release(&t);
}

/* The caller takes its time: nothing is read meanwhile, and a line that is there already waits. */
static void the_answer_may_take_long(void **state)
{
	struct srv_conf conf = { .hostname = S("mx.c.test"), .rcpt_max = 5 };
	struct slice in = S("EHLO t\r\nAUTH PLAIN AHVzZXIAcGVuY2ls\r\nNOOP\r\n");
	struct ext offer = ext_offer(1000, NULL);
	struct srv *srv = srv_new(&conf);
	struct fault f = { 0 };
	struct srv_event ev;
	struct arena tx;

	(void)state;
	arena_init(&tx, 1 << 20);
	srv_offer(srv, &offer);
	srv_tls(srv, SRV_TLS_ON);
	srv_auth(srv, 1);
	srv_greet(srv, NULL);
	assert_int_equal(srv_feed(srv, &in, &tx, &ev), SRV_EV_AUTH);
	assert_int_equal(srv_state(srv), SRV_AUTH);
	assert_true(ev.first);
	WANT_SLICE(ev.content, S("\0user\0pencil"));
	assert_int_equal(srv_awaits(srv), SRV_AWAITS_NOTHING);
	assert_int_equal(srv_feed(srv, &in, &tx, &ev), SRV_EV_WAIT);
	WANT_SLICE(in, S("NOOP\r\n"));
	fault_set(&f, FAULT_AUTH_TEMPORARY, 0);
	srv_auth_end(srv, &f);
	assert_int_equal(srv_awaits(srv), SRV_AWAITS_COMMAND);
	assert_int_equal(srv_feed(srv, &in, &tx, &ev), SRV_EV_MORE);
	assert_true(slice_ends(buf_get(srv_out(srv)), S("454 4.7.0 temporary authentication failure\r\n250 2.0.0 ok\r\n")));
	srv_free(&srv);
	arena_clear(&tx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exchanges_in_any_pieces),
		cmocka_unit_test(the_published_exchange),
		cmocka_unit_test(it_is_there_inside_tls_only),
		cmocka_unit_test(starttls_then_auth),
		cmocka_unit_test(xclient_is_somebody_else),
		cmocka_unit_test(long_lines),
		cmocka_unit_test(an_endless_line_is_the_end),
		cmocka_unit_test(failures_have_an_end),
		cmocka_unit_test(the_answer_may_take_long),
	};

	return RUN_TESTS(tests);
}
