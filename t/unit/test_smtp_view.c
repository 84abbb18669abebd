/* Who the client is: the PROXY header, XCLIENT and XFORWARD, from whoever speaks for it and towards the next hop. */
#include "smtp_talk.h"

#include "base/ip.h"
#include "smtp/cli.h"
#include "smtp/proxy.h"

#define SIG "\r\n\r\n\0\r\nQUIT\n"
#define V4 "\xc0\0\x02\x07\xc0\0\x02\x01\x30\x39\0\x19"
#define V6 "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x30\x39\0\x19"
#define MAPPED "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x07\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x01\x30\x39\0\x19"
#define X10 "xxxxxxxxxx"
#define X80 X10 X10 X10 X10 X10 X10 X10 X10
#define ROW(name, text, client, port) { name, { (const unsigned char *)(text), sizeof(text) - 1 }, client, port }

/* client: NULL bad, "" its own, "more" not whole */
static const struct proxy_row {
	const char *name;
	struct slice in;
	const char *client;
	unsigned port;
} proxies[] = {
	ROW("version 1", "PROXY TCP4 192.0.2.7 192.0.2.1 12345 25\r\n", "192.0.2.7", 12345),
	ROW("version 1, IPv6", "PROXY TCP6 2001:db8::7 2001:db8::1 0 65535\r\n", "2001:db8::7", 0),
	ROW("version 1, unknown", "PROXY UNKNOWN\r\n", "", 0),
	ROW("version 1, unknown with anything behind it", "PROXY UNKNOWN ffff:: x y z\r\n", "", 0),
	ROW("version 1 of 107 octets", "PROXY UNKNOWN " X80 "123456789 1\r\n", "", 0),
	ROW("version 1 of 108 octets", "PROXY UNKNOWN " X80 "123456789 12\r\n", NULL, 0),
	ROW("version 1, LF alone", "PROXY TCP4 192.0.2.7 192.0.2.1 12345 25\n", NULL, 0),
	ROW("version 1, lower case", "proxy TCP4 192.0.2.7 192.0.2.1 12345 25\r\n", NULL, 0),
	ROW("version 1, two blanks", "PROXY TCP4  192.0.2.7 192.0.2.1 12345 25\r\n", NULL, 0),
	ROW("version 1, a word more", "PROXY TCP4 192.0.2.7 192.0.2.1 12345 25 x\r\n", NULL, 0),
	ROW("version 1, a word less", "PROXY TCP4 192.0.2.7 192.0.2.1 12345\r\n", NULL, 0),
	ROW("version 1, the other family", "PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n", NULL, 0),
	ROW("version 1, IPv4 as TCP6", "PROXY TCP6 192.0.2.7 192.0.2.1 1 2\r\n", NULL, 0),
	ROW("version 1, no address", "PROXY TCP4 192.0.2.256 192.0.2.1 1 2\r\n", NULL, 0),
	ROW("version 1, port above 65535", "PROXY TCP4 192.0.2.7 192.0.2.1 65536 2\r\n", NULL, 0),
	ROW("version 1, port with a zero in front", "PROXY TCP4 192.0.2.7 192.0.2.1 01 2\r\n", NULL, 0),
	ROW("version 1, no such family", "PROXY UDP4 192.0.2.7 192.0.2.1 1 2\r\n", NULL, 0),
	ROW("version 1, NUL", "PROXY TCP4 192.0.2.7\0 192.0.2.1 1 2\r\n", NULL, 0),
	ROW("half of version 1", "PROXY TCP4 192.0.2.7", "more", 0),
	ROW("version 2", SIG "\x21\x11\0\x0c" V4, "192.0.2.7", 12345),
	ROW("version 2, IPv6", SIG "\x21\x21\0\x24" V6, "2001:db8::7", 12345),
	ROW("version 2, IPv4 within IPv6", SIG "\x21\x21\0\x24" MAPPED, "192.0.2.7", 12345),
	ROW("version 2 with a TLV", SIG "\x21\x11\0\x10" V4 "\x04\0\x01x", "192.0.2.7", 12345),
	ROW("version 2, local", SIG "\x20\0\0\0", "", 0),
	ROW("version 2, local with addresses", SIG "\x20\x11\0\x0c" V4, "", 0),
	ROW("version 2, of no family", SIG "\x21\0\0\0", "", 0),
	ROW("version 2, a datagram", SIG "\x21\x12\0\x0c" V4, NULL, 0),
	ROW("version 2, no such command", SIG "\x22\x11\0\x0c" V4, NULL, 0),
	ROW("version 3", SIG "\x31\x11\0\x0c" V4, NULL, 0),
	ROW("version 2, too short for its addresses", SIG "\x21\x11\0\x0b" V4, NULL, 0),
	ROW("version 2, too long", SIG "\x21\x11\x02\x09" V4, NULL, 0),
	ROW("version 2, of 65551 octets", SIG "\x21\x11\xff\xff\x7f\0\0\x01", NULL, 0),
	ROW("version 2, not whole", SIG "\x21\x11\x02\x08" V4, "more", 0),
	ROW("the signature alone", SIG, "more", 0),
	ROW("SMTP", "EHLO t.a.test\r\n", NULL, 0),
	ROW("nothing", "", "more", 0),
};

static void want_proxy(const struct proxy_row *r, size_t piece, struct slice behind)
{
	struct proxy_header h = { 0 };
	enum proxy_status got = PROXY_MORE;
	unsigned char all[1024];
	char text[IP_TEXT] = "";
	const char *why = "";
	size_t total = r->in.n + behind.n, n = 0;

	assert_true(total <= sizeof(all));
	if (r->in.n)
		memcpy(all, r->in.at, r->in.n);
	if (behind.n)
		memcpy(all + r->in.n, behind.at, behind.n);
	do {
		n = n + piece < total ? n + piece : total;
		got = proxy_read(slice_of(all, n), &h, &why);
	} while (got == PROXY_MORE && n < total);
	if (got == PROXY_DONE && h.given)
		ip_text(h.client, text);
	if (got != (r->client == NULL ? PROXY_BAD : strcmp(r->client, "more") == 0 ? PROXY_MORE : PROXY_DONE) ||
	    (got == PROXY_DONE && (strcmp(text, r->client) != 0 || h.port != r->port || h.octets != r->in.n)) ||
	    (got == PROXY_BAD && !why[0])) {
		print_error("%s (pieces of %zu): got %d %s %u %zu\n", r->name, piece, (int)got, text, h.port, h.octets);
		fail();
	}
}

static void a_proxy_header_in_any_pieces(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(proxies) / sizeof(proxies[0]); i++) {
		bool whole = proxies[i].client && strcmp(proxies[i].client, "more") != 0;

		for (size_t piece = 1; piece <= proxies[i].in.n + 1; piece++)
			want_proxy(&proxies[i], piece, SLICE_NONE);
		if (whole)
			for (size_t piece = 1; piece <= proxies[i].in.n + 8; piece++)
				want_proxy(&proxies[i], piece, S("EHLO x\r\n"));
	}
}

static void a_header_we_write_is_read_again(void **state)
{
	static const char *const clients[] = { "192.0.2.7", "2001:db8::7" }, *const servers[] = { "127.0.0.1", "::1" };
	unsigned char out[PROXY_OUT], client[16], server[16];
	struct proxy_header h;
	const char *why;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		size_t n;

		assert_true(ip_parse(slice_str(clients[i / 2]), client) && ip_parse(slice_str(servers[i % 2]), server));
		n = proxy_write(client, 4711, server, 25, out);
		assert_int_equal(proxy_read(slice_of(out, n), &h, &why), PROXY_DONE);
		assert_true(h.given && h.octets == n && h.port == 4711);
		assert_memory_equal(h.client, client, 16);
	}
	assert_int_equal(proxy_read(slice_of(out, proxy_write_local(out)), &h, &why), PROXY_DONE);
	assert_false(h.given);
}

/* What a trusted client says once it has said EHLO, and what comes of it. */
static const struct row {
	const char *name, *send, *codes, *log;
} rows[] = {
	{ "XCLIENT", "XCLIENT NAME=mx.a.test ADDR=192.0.2.7 PORT=4711 PROTO=ESMTP HELO=a.test\r\n", "220 ",
	    "xclient NAME=mx.a.test ADDR=192.0.2.7 PORT=4711 PROTO=ESMTP HELO=a.test\n" },
	{ "IPv6", "XCLIENT ADDR=IPV6:2001:db8::7\r\n", "220 ", "xclient ADDR=IPV6:2001:db8::7\n" },
	{ "what is not known", "xclient name=[tempunavail] ADDR=[UNAVAILABLE] HELO=[UNAVAILABLE]\r\n", "220 ",
	    "xclient NAME=[UNAVAILABLE] ADDR=[UNAVAILABLE] HELO=[UNAVAILABLE]\n" },
	{ "what is not known, in xtext", "XCLIENT HELO=+5Bunavailable+5D\r\n", "220 ", "xclient HELO=[UNAVAILABLE]\n" },
	{ "xtext", "XCLIENT NAME=+6D+78\r\n", "220 ", "xclient NAME=mx\n" },
	{ "an address is never for later", "XCLIENT ADDR=[TEMPUNAVAIL]\r\n", "501 ", "refused command_syntax\n" },
	{ "no attribute", "XCLIENT\r\n", "501 ", "refused command_syntax\n" },
	{ "an attribute nobody offered", "XCLIENT LOGIN=ceo\r\n", "501 ", "refused command_syntax\n" },
	{ "an attribute of the other command", "XCLIENT SOURCE=LOCAL\r\n", "501 ", "refused command_syntax\n" },
	{ "an attribute twice", "XCLIENT ADDR=192.0.2.7 ADDR=192.0.2.8\r\n", "501 ", "refused command_syntax\n" },
	{ "no value", "XCLIENT ADDR=\r\n", "501 ", "refused command_syntax\n" },
	{ "IPv6 without its prefix", "XCLIENT ADDR=2001:db8::7\r\n", "501 ", "refused command_syntax\n" },
	{ "IPv4 with the prefix", "XCLIENT ADDR=IPV6:192.0.2.7\r\n", "501 ", "refused command_syntax\n" },
	{ "a port too high", "XCLIENT PORT=65536\r\n", "501 ", "refused command_syntax\n" },
	{ "no such protocol", "XCLIENT PROTO=HTTP\r\n", "501 ", "refused command_syntax\n" },
	{ "a line end in xtext", "XCLIENT NAME=a+0D+0ARSET\r\n", "501 ", "refused command_syntax\n" },
	{ "broken xtext", "XCLIENT NAME=a+4\r\n", "501 ", "refused command_syntax\n" },
	{ "a name for the header", "XCLIENT NAME=a)(b\r\n", "501 ", "refused command_syntax\n" },
	{ "a HELO that EHLO would not take", "XCLIENT HELO=a(b\r\n", "501 ", "refused command_syntax\n" },
	{ "in a transaction", "MAIL FROM:<s@a.test>\r\nXCLIENT ADDR=192.0.2.7\r\nXFORWARD ADDR=192.0.2.7\r\n", "250 503 503 ",
	    "mail <s@a.test> ret= envid=\nrefused bad_sequence\nrefused bad_sequence\n" },
	{ "EHLO is forgotten", "XCLIENT ADDR=192.0.2.7\r\nMAIL FROM:<s@a.test>\r\n", "220 503 ",
	    "xclient ADDR=192.0.2.7\nrefused bad_sequence\n" },
	{ "HELO stands for it, without extensions", "XCLIENT HELO=a.test PROTO=ESMTP\r\nMAIL FROM:<s@a.test> SIZE=1\r\nMAIL FROM:<s@a.test>\r\n",
	    "220 555 250 ", "xclient PROTO=ESMTP HELO=a.test\nrefused param_unknown\nmail <s@a.test> ret= envid=\n" },
	{ "XFORWARD", "XFORWARD NAME=a.test ADDR=192.0.2.7 PORT=1 PROTO=SMTP\r\nXFORWARD HELO=h IDENT=4711 SOURCE=LOCAL\r\n", "250 250 ",
	    "xforward NAME=a.test ADDR=192.0.2.7 PORT=1 PROTO=SMTP\nxforward HELO=h IDENT=4711 SOURCE=LOCAL\n" },
	{ "RSET takes XFORWARD back", "XFORWARD ADDR=192.0.2.7\r\nRSET\r\nRSET\r\n", "250 250 250 ", "xforward ADDR=192.0.2.7\nreset\n" },
	{ "EHLO does too", "XFORWARD ADDR=192.0.2.7\r\nHELO x\r\n", "250 250 ", "xforward ADDR=192.0.2.7\nreset\n" },
};

static void want_row(const struct row *r, size_t piece)
{
	struct buf codes;
	struct talk t;
	size_t from, log;

	buf_init(&codes, 4096);
	talk_init(&t, AT_ONCE);
	srv_trust(t.srv);
	talk_turn(&t, S("EHLO t.a.test\r\n"), 0);
	from = t.replies.n;
	log = t.log.n;
	talk_turn(&t, slice_str(r->send), piece);
	for (size_t i = from; i < t.replies.n; i++)
		if (i == from || t.replies.at[i - 1] == '\n') {
			buf_add(&codes, t.replies.at + i, 3);
			buf_octet(&codes, ' ');
		}
	if (!slice_eq(buf_get(&codes), slice_str(r->codes)) || !slice_eq(slice_sub(buf_get(&t.log), log, SIZE_MAX), slice_str(r->log))) {
		print_error("%s (pieces of %zu): got %.*s and %.*s\n", r->name, piece, SLICE_FMT(buf_get(&codes)),
		    SLICE_FMT(slice_sub(buf_get(&t.log), log, SIZE_MAX)));
		fail();
	}
	talk_release(&t);
	buf_release(&codes);
}

static void what_a_trusted_client_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t piece = 0; piece < 3; piece++)
			want_row(&rows[i], piece);
}

static void only_the_trusted_are_offered_it(void **state)
{
	struct slice both = S("250-XCLIENT NAME ADDR PORT PROTO HELO\r\n250 XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE\r\n");

	(void)state;
	for (int trusted = 0; trusted < 2; trusted++) {
		struct talk t;

		talk_init(&t, AT_ONCE);
		if (trusted)
			srv_trust(t.srv);
		talk_turn(&t, S("EHLO t\r\n"), 0);
		assert_int_equal(slice_ends(buf_get(&t.replies), both), trusted);
		if (!trusted)
			assert_null(memmem(t.replies.at, t.replies.n, "250-X", 5));
		talk_release(&t);
	}
}

/* In one breath with the header of the one in front, or by whoever is behind it. */
static void a_second_header_is_told_from_a_first(void **state)
{
	(void)state;
	for (int fronted = 0; fronted < 2; fronted++) {
		struct talk t;

		talk_init(&t, AT_ONCE);
		if (fronted)
			srv_fronted(t.srv);
		talk_turn(&t, S("PROXY TCP4 10.0.0.1 192.0.2.2 1 25\r\nEHLO t\r\n"), 0);
		assert_true(t.closed);
		WANT_SLICE(buf_get(&t.log), fronted ? S("close proxy_again\n") : S("close not_smtp\n"));
		talk_release(&t);
	}
}

/* ---- towards the next hop ---- */

static const struct xclient alice = { .known = XCLIENT_ADDR | XCLIENT_HELO | XCLIENT_PROTO, .address = { [10] = 0xff, 0xff, 192, 0, 2, 7 },
	.esmtp = true, .helo = "alice.test" };
static const struct xclient bob = { .known = XCLIENT_ADDR | XCLIENT_HELO, .address = { [10] = 0xff, 0xff, 192, 0, 2, 8 }, .helo = "bob.test" };

static enum cli_event_kind hop(struct cli *c, const char *text, struct cli_event *ev)
{
	struct slice in = slice_str(text);
	enum cli_event_kind kind = cli_feed(c, &in, ev);

	assert_int_equal(in.n, 0);
	return kind;
}

static void want_sent(struct cli *c, const char *text)
{
	WANT_SLICE(buf_get(cli_out(c)), slice_str(text));
	buf_release(cli_out(c));
}

static struct cli *ready(const char *ehlo)
{
	struct cli *c = cli_new(S("me.test"));
	struct cli_event ev;

	assert_non_null(c);
	assert_int_equal(hop(c, "220 up\r\n", &ev), CLI_EV_MORE);
	want_sent(c, "EHLO me.test\r\n");
	assert_int_equal(hop(c, ehlo, &ev), CLI_EV_READY);
	return c;
}

static void the_next_hop_hears_who_it_is(void **state)
{
	struct cli *c = ready("250-up\r\n250 XCLIENT NAME ADDR HELO DESTADDR\r\n");
	struct cli_event ev;

	(void)state;
	assert_int_equal(cli_xclient_listed(c), XCLIENT_NAME | XCLIENT_ADDR | XCLIENT_HELO);
	assert_false(cli_xclient_is(c, &alice) || cli_xclient_said(c));
	cli_xclient(c, &alice);
	assert_false(cli_ready(c) || cli_idle(c));
	want_sent(c, "XCLIENT NAME=[UNAVAILABLE] ADDR=192.0.2.7 HELO=alice.test\r\n");
	assert_int_equal(hop(c, "220 up again\r\n", &ev), CLI_EV_MORE);
	want_sent(c, "EHLO alice.test\r\n");
	/* it does not announce it a second time: whom it knows stays known */
	assert_int_equal(hop(c, "250 up\r\n", &ev), CLI_EV_READY);
	assert_true(cli_ready(c) && cli_idle(c) && cli_xclient_is(c, &alice) && cli_xclient_said(c) && !cli_xclient_listed(c));
	assert_false(cli_xclient_is(c, &bob));
	cli_free(&c);
}

static void whom_it_refuses_is_nobody(void **state)
{
	struct cli *c = ready("250-up\r\n250 XCLIENT ADDR\r\n");
	struct cli_event ev;

	(void)state;
	cli_xclient(c, &bob);
	assert_int_equal(hop(c, "501 what\r\n", &ev), CLI_EV_LOST);
	assert_int_equal(ev.fault.code, FAULT_NEXT_HOP_REPLY);
	cli_free(&c);
}

static void xforward_goes_in_front_of_mail(void **state)
{
	struct cli *c = ready("250-up\r\n250-PIPELINING\r\n250 XFORWARD ADDR PROTO SOURCE\r\n");
	struct fault f = { 0 };
	struct cli_event ev;

	(void)state;
	assert_int_equal(cli_xforward_listed(c), XCLIENT_ADDR | XCLIENT_PROTO | XCLIENT_SOURCE);
	cli_xforward(c, &alice);
	assert_true(cli_mail(c, 7, S("<s@a.test>"), NULL, &f));
	want_sent(c, "XFORWARD ADDR=192.0.2.7 PROTO=ESMTP SOURCE=[UNAVAILABLE]\r\nMAIL FROM:<s@a.test>\r\n");
	assert_int_equal(hop(c, "250 noted\r\n", &ev), CLI_EV_MORE);
	assert_int_equal(hop(c, "250 ok\r\n", &ev), CLI_EV_REPLY);
	assert_int_equal(ev.tag, 7);
	cli_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_proxy_header_in_any_pieces),
		cmocka_unit_test(a_header_we_write_is_read_again),
		cmocka_unit_test(what_a_trusted_client_says),
		cmocka_unit_test(only_the_trusted_are_offered_it),
		cmocka_unit_test(a_second_header_is_told_from_a_first),
		cmocka_unit_test(the_next_hop_hears_who_it_is),
		cmocka_unit_test(whom_it_refuses_is_nobody),
		cmocka_unit_test(xforward_goes_in_front_of_mail),
	};

	return RUN_TESTS(tests);
}
