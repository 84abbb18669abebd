/* Content in chunks (RFC 3030): what is a chunk is never a command, what is a command never a chunk. */
#include "smtp_talk.h"

#define ENVELOPE "MAIL FROM:<s@a.test>\r\nRCPT TO:<r@c.test>\r\n"

enum { NO_DATA = 1, NO_CONTENT = 2, HELO = 4 };

static const struct row {
	const char *name;
	const char *send;  /* all in one go: BDAT is pipelined */
	const char *codes;
	const char *log;   /* what the caller is told */
	bool closed;
	unsigned how;
} rows[] = {
	{ "a message in one chunk", ENVELOPE "BDAT 7 LAST\r\na: b\r\n\nQUIT\r\n", "250 250 550 221",
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\nbad bare_lf\nclose none\n", true, 0 },
	{ "the envelope, a chunk and QUIT in one packet", ENVELOPE "BDAT 8 LAST\r\na: b\r\n\r\nQUIT\r\n", "250 250 250 221",
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\nend a:\\x20b\\x0d\\x0a\\x0d\\x0a\nclose none\n", true, 0 },
	{ "three chunks", ENVELOPE "BDAT 1\r\naBDAT 2\r\n: bdat 3 last\r\nb\r\nNOOP\r\n", "250 250 250 250 250 250",
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\nend a:\\x20b\\x0d\\x0a\n", false, 0 },
	{ "commands in a chunk are content", ENVELOPE "BDAT 12 LAST\r\nQUIT\r\nRSET\r\nNOOP\r\n", "250 250 250 250",
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\nend QUIT\\x0d\\x0aRSET\\x0d\\x0a\n", false, 0 },
	{ "the end of DATA is content", ENVELOPE "BDAT 9 LAST\r\n\r\n.\r\n..\r\nNOOP\r\n", "250 250 250 250",
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\nend \\x0d\\x0a.\\x0d\\x0a..\\x0d\\x0a\n", false, 0 },
	{ "no octets at all", ENVELOPE "BDAT 0 LAST\r\n", "250 250 250",
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\nend \n", false, 0 },
	{ "empty chunks around content", ENVELOPE "BDAT 0\r\nBDAT 3\r\nx\r\nBDAT 0\r\nBDAT 0 LAST\r\n", "250 250 250 250 250 250",
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\nend x\\x0d\\x0a\n", false, 0 },
	{ "leading zeros are decimal", ENVELOPE "BDAT 010 LAST\r\n12345678\r\nNOOP\r\n", "250 250 250 250",
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\nend 12345678\\x0d\\x0a\n", false, 0 },
	{ "a line without its end gets one", ENVELOPE "BDAT 2 LAST\r\nhiNOOP\r\n", "250 250 250 250",
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\nend hi\\x0d\\x0a crlf added\n", false, 0 },
	{ "CRLF across two chunks", ENVELOPE "BDAT 2\r\nx\rBDAT 1 LAST\r\n\n", "250 250 250 250",
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\nend x\\x0d\\x0a\n", false, 0 },
	{ "CR at the end of a chunk, no LF in the next", ENVELOPE "BDAT 2\r\nx\rBDAT 1\r\nyBDAT 1 LAST\r\nzNOOP\r\n", "250 250 250 550 503 250",
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\nbad bare_cr\n", false, 0 },
	{ "CR at the end of all", ENVELOPE "BDAT 2\r\nx\rBDAT 0 LAST\r\nNOOP\r\n", "250 250 250 550 250",
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\nbad bare_cr\n", false, 0 },
	{ "CR at the end of the only chunk", ENVELOPE "BDAT 2 LAST\r\nx\rNOOP\r\n", "250 250 550 250",
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\nbad bare_cr\n", false, 0 },
	{ "LF at the start of a chunk", ENVELOPE "BDAT 1\r\nxBDAT 2 LAST\r\n\nyNOOP\r\n", "250 250 250 550 250",
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\nbad bare_lf\n", false, 0 },
	{ "NUL", ENVELOPE "BDAT 3\r\n\\0yBDAT 0 LAST\r\nNOOP\r\n", "250 250 550 503 250",
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\nbad nul\n", false, 0 },
	{ "a refused chunk takes the transaction along", ENVELOPE "BDAT 1\r\n\nRCPT TO:<r@c.test>\r\nDATA\r\n", "250 250 550 503 503",
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\nbad bare_lf\nrefused bad_sequence\nrefused bad_sequence\n", false, 0 },
	{ "RSET ends the swallowing", ENVELOPE "BDAT 1\r\n\nBDAT 1\r\nxRSET\r\n" ENVELOPE "BDAT 2 LAST\r\n\r\n", "250 250 550 503 250 250 250 250",
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\nbad bare_lf\n"
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\nend \\x0d\\x0a\n", false, 0 },
	{ "so does MAIL", ENVELOPE "BDAT 1\r\n\nBDAT 1\r\nx" ENVELOPE "BDAT 2 LAST\r\n\r\n", "250 250 550 503 250 250 250",
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\nbad bare_lf\n"
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\nend \\x0d\\x0a\n", false, 0 },
	{ "MAIL that is refused does not", ENVELOPE "BDAT 1\r\n\nMAIL FROM:<bad\r\nBDAT 6 LAST\r\nQUIT\r\n", "250 250 550 501 503",
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\nbad bare_lf\nrefused bad_sender\n", false, 0 },
	{ "no recipient is left", "MAIL FROM:<s@a.test>\r\nRCPT TO:<no@c.test>\r\nBDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", "250 550 554 503 250",
	    "mail <s@a.test> ret= envid=\nrcpt <no@c.test> notify= orcpt=\nbad no_rcpt\n", false, 0 },
	{ "no recipient was named", "MAIL FROM:<s@a.test>\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", "250 503 250", "mail <s@a.test> ret= envid=\nbad bad_sequence\n",
	    false, 0 },
	{ "no sender", "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", "503 250", "refused bad_sequence\n", false, 0 },
	{ "a refused sender", "MAIL FROM:<refuse@a.test>\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", "550 503 250",
	    "mail <refuse@a.test> ret= envid=\nrefused bad_sequence\n", false, 0 },
	{ "a chunk behind the last one", ENVELOPE "BDAT 2 LAST\r\n\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", "250 250 250 503 250",
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\nend \\x0d\\x0a\nrefused bad_sequence\n", false, 0 },
	{ "a client that said HELO", ENVELOPE "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", "250 250 503 250",
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\nbad bad_sequence\n", false, HELO },
	{ "DATA between chunks", ENVELOPE "BDAT 5\r\nhelloDATA\r\n", "250 250 250 503",
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\nrefused bad_sequence\n", false, 0 },
	{ "MAIL and RCPT between chunks", ENVELOPE "BDAT 1\r\nx" ENVELOPE "BDAT 2 LAST\r\n\r\n", "250 250 250 503 503 250",
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\nrefused bad_sequence\nrefused bad_sequence\nend x\\x0d\\x0a\n", false, 0 },
	{ "NOOP and VRFY between chunks", ENVELOPE "BDAT 1\r\nxNOOP\r\nVRFY u\r\nBDAT 2 LAST\r\n\r\n", "250 250 250 250 252 250",
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\nend x\\x0d\\x0a\n", false, 0 },
	{ "RSET between chunks", ENVELOPE "BDAT 1\r\nxRSET\r\n" ENVELOPE "BDAT 3 LAST\r\ny\r\n", "250 250 250 250 250 250 250",
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\nreset\n"
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\nend y\\x0d\\x0a\n", false, 0 },
	{ "EHLO between chunks", ENVELOPE "BDAT 1\r\nxEHLO t\r\nBDAT 1 LAST\r\nxNOOP\r\n", "250 250 250 250 503 250",
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\nreset\nrefused bad_sequence\n", false, 0 },
	{ "QUIT between chunks", ENVELOPE "BDAT 1\r\nxQUIT\r\n", "250 250 250 221",
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\nclose none\n", true, 0 },
	{ "DATA after a message in chunks", ENVELOPE "BDAT 2 LAST\r\n\r\n" ENVELOPE "DATA\r\n", "250 250 250 250 250 354",
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\nend \\x0d\\x0a\n"
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\n", false, 0 },
	{ "the caller has no room", ENVELOPE "BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", "250 250 452 503 250",
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\n", false, NO_DATA },
	{ "the caller refuses content as it comes", ENVELOPE "BDAT 6\r\nQUIT\r\nBDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", "250 250 250 552 503 250",
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\n", false, NO_CONTENT },
	{ "the caller refuses the CRLF that was added", ENVELOPE "BDAT 8 LAST\r\n\r\n\r\nRSETNOOP\r\n", "250 250 552 250",
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\n", false, NO_CONTENT },
	{ "above what SIZE allows", ENVELOPE "BDAT 6\r\nx\r\nx\r\nBDAT 999995 LAST\r\nQUIT\r\n", "250 250 250",
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\nbad too_big\n", false, 0 },
	{ "as much as SIZE allows", ENVELOPE "BDAT 6\r\nx\r\nx\r\nBDAT 999994 LAST\r\nQUIT\r\n", "250 250 250",
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\ndata\n", false, 0 },
	{ "the first chunk is too big", ENVELOPE "BDAT 1000001\r\nQUIT\r\n", "250 250", "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\nbad too_big\n",
	    false, 0 },
	{ "the biggest number", ENVELOPE "BDAT 9223372036854775807 LAST\r\nQUIT\r\n", "250 250",
	    "mail <s@a.test> ret= envid=\nrcpt <r@c.test> notify= orcpt=\nbad too_big\n", false, 0 },
};

/* Each ends the session at once, and what stands behind it is never looked at. */
static const char *const unreadable[] = {
	"BDAT", "BDAT ", "BDAT LAST", "BDAT -1", "BDAT +5", "BDAT 0x10", "BDAT 5a", "BDAT 5 LASTX", "BDAT 5 LAST extra", "BDAT 5 LAS", "BDAT 5  LAST",
	"BDAT 5\tLAST", "BDAT 3 LAST X", "BDAT 1 2", "BDAT 1,000", "BDAT 1.0", "BDAT 9223372036854775808", "BDAT 9223372036854775808 LAST",
	"BDAT 18446744073709551615", "BDAT 18446744073709551616 LAST", "BDAT 18446744073709551617", "BDAT 99999999999999999999999999",
	"BDAT 00000000000000000001", "BDAT 5\x01", "BDAT 5\n", "BDAT 5\r", "BDAT 5\nLAST", "BDAT \xd9\xa5",
};

static void want(const char *name, const char *what, struct slice got, struct slice wanted, size_t cut, enum talk_answers answers)
{
	if (slice_eq(got, wanted))
		return;
	print_error("%s (cut %zu, answers %d), %s: wanted\n%.*s\ngot\n%.*s\n", name, cut, (int)answers, what, SLICE_FMT(wanted), SLICE_FMT(got));
	fail();
}

static void run_row(const struct row *r, size_t cut, enum talk_answers answers)
{
	struct slice send = slice_str(r->send);
	char room[400];
	struct buf codes;
	struct talk t;
	char *nul;
	size_t from;

	/* a NUL stands as \0 in a row */
	assert_true(send.n <= sizeof(room));
	memcpy(room, send.at, send.n);
	nul = memmem(room, send.n, "\\0", 2);
	if (nul)
		memcpy(nul, "x", 2);
	send = slice_of(room, send.n);
	buf_init(&codes, 65536);
	talk_init(&t, answers);
	t.no_data = r->how & NO_DATA;
	t.no_content = r->how & NO_CONTENT ? FAULT_TOO_BIG : FAULT_NONE;
	t.content_max = 8;
	talk_turn(&t, r->how & HELO ? S("HELO t\r\n") : S("EHLO t.a.test\r\n"), 0);
	from = t.replies.n;
	if (cut == SIZE_MAX)
		talk_turn(&t, send, 1);
	else
		talk_cut(&t, send, cut);
	talk_codes(&t, from, &codes);
	want(r->name, "codes", buf_get(&codes), slice_str(r->codes), cut, answers);
	want(r->name, "log", buf_get(&t.log), slice_str(r->log), cut, answers);
	assert_int_equal(t.closed, r->closed);
	talk_release(&t);
	buf_release(&codes);
}

static void rows_hold_at_every_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t cut = 0; cut <= strlen(rows[i].send); cut++)
			for (enum talk_answers a = AT_ONCE; a <= NEWEST_FIRST; a++)
				run_row(&rows[i], cut, a);
		for (enum talk_answers a = AT_ONCE; a <= NEWEST_FIRST; a++)
			run_row(&rows[i], SIZE_MAX, a);
	}
}

static void a_size_that_cannot_be_read_is_the_end(void **state)
{
	struct buf send;

	(void)state;
	buf_init(&send, 4096);
	for (size_t i = 0; i < sizeof(unreadable) / sizeof(unreadable[0]); i++) {
		static const char *const before[] = { "", ENVELOPE, ENVELOPE "BDAT 1\r\nx", ENVELOPE "BDAT 1\r\n\n" };

		for (size_t k = 0; k < 4; k++) {
			buf_clear(&send);
			buf_str(&send, before[k]);
			buf_str(&send, unreadable[i]);
			buf_str(&send, "\r\nabcRSET\r\nDATA\r\n");
			for (size_t piece = 0; piece <= 3; piece++) {
				struct talk t;

				talk_init(&t, WHEN_ASKED);
				talk_turn(&t, S("EHLO t\r\n"), 0);
				talk_turn(&t, buf_get(&send), piece);
				want(unreadable[i], "end", SLICE_NONE, t.closed && t.last.code == FAULT_BDAT_BAD ? SLICE_NONE : S("BDAT_BAD, close"), piece,
				    WHEN_ASKED);
				assert_true(slice_ends(buf_get(&t.replies), S("\r\n501 5.5.4 bad chunk size\r\n")));
				assert_int_equal(t.messages, 0);
				talk_release(&t);
			}
		}
	}
	buf_release(&send);
}

static void the_words_are_these(void **state)
{
	struct talk t;

	(void)state;
	talk_init(&t, AT_ONCE);
	talk_turn(&t, S("EHLO t\r\n"), 0);
	buf_clear(&t.replies);
	talk_turn(&t, S(ENVELOPE "BDAT 0\r\nBDAT 3\r\nx\r\nBDAT 1 LAST\r\n\nBDAT 0\r\n"), 0);
	WANT_SLICE(buf_get(&t.replies), S("250 2.1.0 taken\r\n250 2.1.0 taken\r\n250 2.0.0 0 octets received\r\n250 2.0.0 3 octets received\r\n"
	    "550 5.6.0 line ended by LF without CR\r\n503 5.5.1 bad sequence of commands\r\n"));
	talk_release(&t);
}

/* What a reader of the whole says of it. */
static enum fault_code plainly(const unsigned char *at, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (at[i] == '\0')
			return FAULT_NUL;
		if (at[i] == '\n' && (i == 0 || at[i - 1] != '\r'))
			return FAULT_BARE_LF;
		if (at[i] == '\r' && (i + 1 == n || at[i + 1] != '\n'))
			return FAULT_BARE_CR;
	}
	return FAULT_NONE;
}

/* Bit i of `borders`: a chunk ends behind octet i. */
static void want_chunks(struct slice content, unsigned borders, size_t piece)
{
	enum fault_code fault = plainly(content.at, content.n);
	struct buf send, wanted;
	struct talk t;
	size_t from = 0;

	buf_init(&send, 65536);
	buf_init(&wanted, 65536);
	for (size_t i = 0; i <= content.n; i++) {
		if (i < content.n && !(borders >> i & 1))
			continue;
		buf_printf(&send, "BDAT %zu%s\r\n", (i < content.n ? i + 1 : i) - from, i < content.n ? "" : " LAST");
		buf_slice(&send, slice_sub(content, from, (i < content.n ? i + 1 : i) - from));
		from = i + 1;
	}
	buf_slice(&wanted, content);
	if (content.n && !slice_ends(content, S("\r\n")))
		buf_str(&wanted, "\r\n");
	talk_init(&t, AT_ONCE);
	talk_turn(&t, S("EHLO t\r\n" ENVELOPE), 0);
	talk_turn(&t, buf_get(&send), piece);
	assert_int_equal(t.last.code, fault);
	assert_int_equal(t.messages, fault == FAULT_NONE);
	if (fault == FAULT_NONE)
		WANT_SLICE(buf_get(&t.content), buf_get(&wanted));
	assert_false(t.closed);
	assert_int_equal(srv_state(t.srv), SRV_IDLE);
	talk_release(&t);
	buf_release(&send);
	buf_release(&wanted);
}

static void every_short_content_in_every_chunks(void **state)
{
	static const unsigned char alphabet[] = { '\r', '\n', '.', 'x', '\0' };
	unsigned char text[5];

	(void)state;
	for (size_t n = 0; n <= sizeof(text); n++) {
		size_t count = 1;

		for (size_t i = 0; i < n; i++)
			count *= sizeof(alphabet);
		for (size_t k = 0; k < count; k++) {
			size_t v = k;

			for (size_t i = 0; i < n; i++, v /= sizeof(alphabet))
				text[i] = alphabet[v % sizeof(alphabet)];
			for (unsigned borders = 0; borders < 1U << n; borders++)
				want_chunks(slice_of(text, n), borders, borders & 1 ? 0 : 1);
		}
	}
}

/* Plain text, longer than the reader's strides, and its CRLFs cut by the borders of chunks. */
static void long_content_in_chunks_of_every_size(void **state)
{
	struct buf text, send;

	(void)state;
	buf_init(&text, 1 << 20);
	buf_init(&send, 1 << 22);
	for (size_t i = 0; i < 60; i++) {
		for (size_t k = 0; k < i * 7 % 150; k++)
			buf_octet(&text, i % 3 ? 'x' : '.');
		buf_str(&text, "\r\n");
	}
	for (size_t size = 1; size < 400; size += size < 140 ? 1 : 37) {
		struct talk t;

		buf_clear(&send);
		for (size_t at = 0; at < text.n; at += size) {
			struct slice chunk = slice_sub(buf_get(&text), at, size);

			buf_printf(&send, "BDAT %zu\r\n", chunk.n);
			buf_slice(&send, chunk);
		}
		buf_str(&send, "BDAT 0 LAST\r\n");
		talk_init(&t, AT_ONCE);
		talk_turn(&t, S("EHLO t\r\n" ENVELOPE), 0);
		talk_turn(&t, buf_get(&send), size % 2 ? 1000 : 0);
		assert_int_equal(t.messages, 1);
		WANT_SLICE(buf_get(&t.content), buf_get(&text));
		talk_release(&t);
	}
	buf_release(&text);
	buf_release(&send);
}

/* MAIL and RCPT wait for the next hop: not an octet of the chunk may be looked at. */
static void a_chunk_waits_for_the_answers_before_it(void **state)
{
	struct slice in = S(ENVELOPE "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n");
	const struct reply yes = { .code = 250, .text = S("yes") };
	struct srv_event ev;
	struct talk t;

	(void)state;
	talk_init(&t, AT_ONCE);
	talk_turn(&t, S("EHLO t\r\n"), 0);
	buf_release(srv_out(t.srv));
	assert_int_equal(srv_feed(t.srv, &in, &t.tx, &ev), SRV_EV_MAIL);
	assert_int_equal(srv_feed(t.srv, &in, &t.tx, &ev), SRV_EV_RCPT);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(srv_feed(t.srv, &in, &t.tx, &ev), SRV_EV_WAIT);
		WANT_SLICE(in, S("BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"));
	}
	srv_answer(t.srv, 1, &yes);
	assert_int_equal(srv_feed(t.srv, &in, &t.tx, &ev), SRV_EV_WAIT);
	srv_answer(t.srv, 2, &yes);
	assert_int_equal(srv_feed(t.srv, &in, &t.tx, &ev), SRV_EV_DATA);
	WANT_SLICE(in, S("QUIT\r\nNOOP\r\n"));
	/* nor before the caller is ready for it */
	assert_int_equal(srv_feed(t.srv, &in, &t.tx, &ev), SRV_EV_WAIT);
	WANT_SLICE(in, S("QUIT\r\nNOOP\r\n"));
	assert_int_equal(srv_pending(t.srv), 1);
	srv_data_go(t.srv, 3);
	WANT_SLICE(buf_get(srv_out(t.srv)), S("250 yes\r\n250 yes\r\n"));
	assert_int_equal(srv_state(t.srv), SRV_BODY);
	assert_int_equal(srv_feed(t.srv, &in, &t.tx, &ev), SRV_EV_CONTENT);
	WANT_SLICE(ev.content, S("QUIT\r\n"));
	assert_int_equal(srv_feed(t.srv, &in, &t.tx, &ev), SRV_EV_END);
	assert_false(ev.crlf_added);
	assert_int_equal(srv_feed(t.srv, &in, &t.tx, &ev), SRV_EV_WAIT);
	srv_answer(t.srv, ev.seq, &yes);
	assert_int_equal(srv_feed(t.srv, &in, &t.tx, &ev), SRV_EV_MORE);
	WANT_SLICE(buf_get(srv_out(t.srv)), S("250 yes\r\n250 yes\r\n250 yes\r\n250 2.0.0 ok\r\n"));
	talk_release(&t);
}

/* A client that says much and reads nothing: its commands stay where they are. */
static void replies_nobody_takes_stop_the_commands(void **state)
{
	enum { CHUNKS = 7000 };
	struct srv_event ev;
	struct buf said;
	struct slice in;
	size_t replies = 0, stops = 0;
	struct talk t;

	(void)state;
	talk_init(&t, AT_ONCE);
	talk_turn(&t, S("EHLO t\r\n"), 0);
	talk_turn(&t, S(ENVELOPE "BDAT 1\r\nx"), 0);
	buf_init(&said, 1 << 20);
	for (int i = 0; i < CHUNKS; i++)
		buf_str(&said, "BDAT 1\r\nx");
	in = buf_get(&said);
	for (;;) {
		enum srv_event_kind kind = srv_feed(t.srv, &in, &t.tx, &ev);
		struct buf *out = srv_out(t.srv);

		assert_in_range(out->room, 0, 2 * LIMIT_OUT_PENDING);
		if (kind == SRV_EV_CONTENT)
			continue;
		assert_int_equal(kind, in.n ? SRV_EV_WAIT : SRV_EV_MORE);
		for (size_t i = 0; i < out->n; i++)
			replies += out->at[i] == '\n';
		if (in.n == 0)
			break;
		stops++;
		assert_in_range(out->n, LIMIT_OUT_PENDING + 1, LIMIT_OUT_PENDING + 40);
		assert_int_equal(srv_feed(t.srv, &in, &t.tx, &ev), SRV_EV_WAIT);
		buf_release(out);
	}
	assert_int_equal(replies, CHUNKS);
	assert_int_equal(stops, (size_t)CHUNKS * 29 / LIMIT_OUT_PENDING);
	buf_release(&said);
	talk_release(&t);
}

static void the_end_comes_in_a_chunk_too(void **state)
{
	static const char *const before[] = { ENVELOPE "BDAT 6\r\nQU", ENVELOPE "BDAT 2\r\nQU", ENVELOPE "BDAT 6\r\n\n", "BDAT 5\r\n", ENVELOPE "BDAT 9\r\nx" };

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		struct fault f = { 0 };
		struct talk t;

		fault_set(&f, FAULT_COMMAND_TIMEOUT, 0);
		talk_init(&t, AT_ONCE);
		t.no_data = i == 4;
		talk_turn(&t, S("EHLO t\r\n"), 0);
		talk_turn(&t, slice_str(before[i]), 0);
		assert_int_equal(srv_awaits(t.srv), SRV_AWAITS_CONTENT);
		buf_clear(&t.replies);
		srv_end(t.srv, &f);
		assert_int_equal(srv_state(t.srv), SRV_GONE);
		WANT_SLICE(buf_get(srv_out(t.srv)), S("421 4.4.2 timeout\r\n"));
		talk_run(&t);
		assert_true(t.closed);
		talk_release(&t);
	}
}

/* 421 for the first chunk is the last word; its octets are not waited for. */
static void a_421_does_not_wait_for_the_chunk(void **state)
{
	struct slice in = S(ENVELOPE "BDAT 6\r\nQ");
	const struct reply yes = { .code = 250, .text = S("yes") }, leave = { .code = 421, .text = S("bye") };
	struct srv_event ev;
	struct talk t;

	(void)state;
	talk_init(&t, AT_ONCE);
	talk_turn(&t, S("EHLO t\r\n"), 0);
	buf_release(srv_out(t.srv));
	for (uint32_t seq = 1; seq < 3; seq++) {
		srv_feed(t.srv, &in, &t.tx, &ev);
		srv_answer(t.srv, seq, &yes);
	}
	assert_int_equal(srv_feed(t.srv, &in, &t.tx, &ev), SRV_EV_DATA);
	srv_answer(t.srv, ev.seq, &leave);
	WANT_SLICE(buf_get(srv_out(t.srv)), S("250 yes\r\n250 yes\r\n421 bye\r\n"));
	assert_int_equal(srv_feed(t.srv, &in, &t.tx, &ev), SRV_EV_CLOSE);
	talk_release(&t);
}

static void a_refusal_waits_for_the_chunk(void **state)
{
	struct slice in = S(ENVELOPE "BDAT 6\r\nQUIT");
	const struct reply yes = { .code = 250, .text = S("yes") }, no = { .code = 452, .text = S("no") };
	struct srv_event ev;
	struct talk t;

	(void)state;
	talk_init(&t, AT_ONCE);
	talk_turn(&t, S("EHLO t\r\n"), 0);
	buf_release(srv_out(t.srv));
	for (uint32_t seq = 1; seq < 3; seq++) {
		srv_feed(t.srv, &in, &t.tx, &ev);
		srv_answer(t.srv, seq, &yes);
	}
	assert_int_equal(srv_feed(t.srv, &in, &t.tx, &ev), SRV_EV_DATA);
	buf_release(srv_out(t.srv));
	srv_answer(t.srv, ev.seq, &no);
	assert_int_equal(srv_pending(t.srv), 0);
	assert_int_equal(srv_state(t.srv), SRV_SWALLOW);
	assert_int_equal(srv_feed(t.srv, &in, &t.tx, &ev), SRV_EV_MORE);
	assert_int_equal(srv_out(t.srv)->n, 0);
	in = S("\r\nNOOP\r\n");
	assert_int_equal(srv_feed(t.srv, &in, &t.tx, &ev), SRV_EV_MORE);
	WANT_SLICE(buf_get(srv_out(t.srv)), S("452 no\r\n250 2.0.0 ok\r\n"));
	talk_release(&t);
}

static void chunks_without_end_are_cut_off(void **state)
{
	static const struct {
		const char *before, *of;
	} floods[] = { { ENVELOPE, "BDAT 1\r\nx" }, { ENVELOPE, "BDAT 0\r\n" }, { ENVELOPE "BDAT 1\r\n\n", "BDAT 1\r\nx" }, { "", "BDAT 1\r\nx" },
		{ "MAIL FROM:<s@a.test>\r\n", "BDAT 0 LAST\r\n" } };

	(void)state;
	for (size_t i = 0; i < sizeof(floods) / sizeof(floods[0]); i++) {
		size_t fed = 0;
		struct talk t;

		talk_init(&t, AT_ONCE);
		talk_turn(&t, S("EHLO t\r\n"), 0);
		talk_turn(&t, slice_str(floods[i].before), 0);
		for (; !t.closed && fed < LIMIT_CHUNKS + 2; fed++) {
			talk_turn(&t, slice_str(floods[i].of), 0);
			if (!t.closed)
				buf_clear(&t.replies);
		}
		assert_in_range(fed, LIMIT_CHUNKS, LIMIT_CHUNKS + 1);
		assert_int_equal(t.last.code, FAULT_BDAT_LIMIT);
		WANT_SLICE(buf_get(&t.replies), S("554 5.5.0 too many chunks\r\n"));
		talk_release(&t);
	}
}

static void swallowing_ends(void **state)
{
	static unsigned char block[65536];
	static const char *const begin[] = { ENVELOPE "BDAT 9000000000\r\n", "BDAT 9000000000\r\n" };

	(void)state;
	memset(block, 'x', sizeof(block));
	for (size_t i = 0; i < 3; i++) {
		size_t fed = 0;
		struct talk t;

		talk_init(&t, AT_ONCE);
		talk_turn(&t, S("EHLO t\r\n"), 0);
		talk_turn(&t, slice_str(begin[i & 1]), 0);
		buf_clear(&t.replies);
		for (; !t.closed && fed < 2 * (size_t)LIMIT_SWALLOW; fed += sizeof(block))
			talk_part(&t, slice_of(block, sizeof(block)), true);
		assert_in_range(fed, LIMIT_SWALLOW, LIMIT_SWALLOW + 2 * sizeof(block));
		assert_int_equal(t.last.code, i & 1 ? FAULT_BAD_SEQUENCE : FAULT_TOO_BIG);
		assert_int_equal(t.replies.n, i & 1 ? strlen("503 5.5.1 bad sequence of commands\r\n") : strlen("552 5.3.4 message too big\r\n"));
		talk_release(&t);
	}
	/* many small ones count together */
	{
		size_t fed = 0;
		struct talk t;

		talk_init(&t, AT_ONCE);
		talk_turn(&t, S("EHLO t\r\n"), 0);
		for (; !t.closed && fed < 2 * (size_t)LIMIT_SWALLOW; fed += sizeof(block)) {
			talk_turn(&t, S("BDAT 65536\r\n"), 0);
			talk_part(&t, slice_of(block, sizeof(block)), true);
		}
		assert_in_range(fed, LIMIT_SWALLOW, LIMIT_SWALLOW + 2 * sizeof(block));
		talk_release(&t);
	}
}

static void refused_chunks_count_once(void **state)
{
	struct talk t;

	(void)state;
	/* RFC 3030 4.2: what was on its way when one was refused is no reason to hang up */
	talk_init(&t, AT_ONCE);
	talk_turn(&t, S("EHLO t\r\n" ENVELOPE "BDAT 1\r\n\n"), 0);
	for (int i = 0; i < 5 * LIMIT_BAD_COMMANDS; i++)
		talk_turn(&t, S("BDAT 1\r\nx"), 0);
	assert_false(t.closed);
	talk_release(&t);

	talk_init(&t, AT_ONCE);
	talk_turn(&t, S("EHLO t\r\n"), 0);
	for (int i = 0; i < LIMIT_BAD_COMMANDS; i++)
		talk_turn(&t, S(ENVELOPE "BDAT 1\r\n\n"), 0);
	assert_false(t.closed);
	talk_turn(&t, S("BDAT 6\r\nQUIT\r\n"), 0);
	assert_true(t.closed);
	assert_int_equal(t.last.code, FAULT_TOO_MANY_ERRORS);
	talk_release(&t);
}

static void limits_may_tell_less(void **state)
{
	struct talk t;

	(void)state;
	talk_init(&t, AT_ONCE);
	t.conf.rcpt_told = 1;
	talk_turn(&t, S("EHLO t\r\nMAIL FROM:<s@a.test>\r\nRCPT TO:<r@c.test>\r\nRCPT TO:<q@c.test>\r\n"), 0);
	assert_non_null(memmem(t.replies.at, t.replies.n, "\r\n250 LIMITS RCPTMAX=1\r\n250 2.1.0 taken\r\n250 2.1.0 taken\r\n250 2.1.0", 60));
	talk_release(&t);
}

/* ---- chance ---- */

static uint64_t roll(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005U + 1442695040888963407U;
	return *seed >> 33;
}

static const char *const commands[] = {
	ENVELOPE, ENVELOPE, ENVELOPE, "RCPT TO:<r@c.test>\r\n", "RCPT TO:<no@c.test>\r\n", "RSET\r\n", "NOOP\r\n", "BOGUS\r\n", "EHLO x\r\n", "MAIL FROM:<bad\r\n",
	"MAIL FROM:<s@a.test>\r\n",
};
static const char *const chunks[] = { "", "x", "\r\n", "\r", "\n", ".", "QUIT\r\n", "\r\n.\r\n", "a: b\r\n\r\nbody", "DATA\r\n.\r\n" };

/* The same stream of octets for the same seed, in pieces; BDAT waits for nothing. */
static void chance(struct talk *t, uint64_t seed, uint64_t pieces)
{
	struct buf all;

	buf_init(&all, 65536);
	buf_str(&all, "EHLO t\r\n");
	for (int i = 0; i < 60; i++) {
		const char *chunk = chunks[roll(&seed) % (sizeof(chunks) / sizeof(chunks[0]))];

		if (roll(&seed) % 3 == 0) {
			buf_str(&all, commands[roll(&seed) % (sizeof(commands) / sizeof(commands[0]))]);
		} else {
			buf_printf(&all, "BDAT %zu%s\r\n%s", strlen(chunk), roll(&seed) % 3 ? "" : " LAST", chunk);
		}
	}
	for (size_t at = 0; at < all.n && !t->closed;) {
		size_t n = pieces ? 1 + roll(&pieces) % 9 : all.n;

		talk_part(t, slice_sub(buf_get(&all), at, n), at + n >= all.n || (pieces && roll(&pieces) % 4 == 0));
		at += n;
	}
	buf_release(&all);
}

static void chance_dialogues_are_the_same_however_cut(void **state)
{
	size_t messages = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 400; seed++) {
		struct talk whole, other;

		talk_init(&whole, AT_ONCE);
		chance(&whole, seed, 0);
		messages += whole.messages;
		for (uint64_t k = 0; k < 6; k++) {
			talk_init(&other, (enum talk_answers)(k % 3));
			chance(&other, seed, k < 3 ? 0 : seed * 31 + k);
			WANT_SLICE(buf_get(&other.replies), buf_get(&whole.replies));
			WANT_SLICE(buf_get(&other.log), buf_get(&whole.log));
			talk_release(&other);
		}
		talk_release(&whole);
	}
	assert_in_range(messages, 400, 100000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_hold_at_every_cut),
		cmocka_unit_test(a_size_that_cannot_be_read_is_the_end),
		cmocka_unit_test(the_words_are_these),
		cmocka_unit_test(every_short_content_in_every_chunks),
		cmocka_unit_test(long_content_in_chunks_of_every_size),
		cmocka_unit_test(a_chunk_waits_for_the_answers_before_it),
		cmocka_unit_test(the_end_comes_in_a_chunk_too),
		cmocka_unit_test(a_421_does_not_wait_for_the_chunk),
		cmocka_unit_test(a_refusal_waits_for_the_chunk),
		cmocka_unit_test(chunks_without_end_are_cut_off),
		cmocka_unit_test(swallowing_ends),
		cmocka_unit_test(refused_chunks_count_once),
		cmocka_unit_test(replies_nobody_takes_stop_the_commands),
		cmocka_unit_test(limits_may_tell_less),
		cmocka_unit_test(chance_dialogues_are_the_same_however_cut),
	};

	return RUN_TESTS(tests);
}
