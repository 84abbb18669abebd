/* Replies read and written, EHLO words, lines. */
#include "test.h"

#include "base/limits.h"
#include "smtp/ext.h"
#include "smtp/reply.h"

static const struct row {
	const char *name, *in;
	const char *want; /* "code enhanced text|..." with '/' for the line joint; "BAD note" at the end */
} rows[] = {
	{ "one line", "250 2.1.0 ok\r\n", "250 2.1.0 2.1.0 ok|" },
	{ "several replies", "250 a\r\n354 b\r\n", "250  a|354  b|" },
	{ "code only", "250\r\n", "250  |" },
	{ "code and blank", "250 \r\n", "250  |" },
	{ "enhanced code without text", "550 5.7.2\r\n", "550 5.7.2 5.7.2|" },
	{ "enhanced code of another class", "550 2.7.2 no\r\n", "550  2.7.2 no|" },
	{ "enhanced code with text stuck to it", "550 5.7.2x no\r\n", "550  5.7.2x no|" },
	{ "enhanced code too long", "550 5.7777.1 no\r\n", "550  5.7777.1 no|" },
	{ "several lines", "250-a\r\n250-\r\n250 c\r\n", "250  a/c|" },
	{ "last line is a code only", "250-a\r\n250\r\n", "250  a/|" },
	{ "codes that disagree", "250-ok\r\n550 no\r\n", "BAD reply code changed between lines" },
	{ "no code", "hello\r\n", "BAD reply line without a reply code" },
	{ "two digits", "25\r\n", "BAD reply line without a reply code" },
	{ "four digits", "2500 x\r\n", "BAD reply line without a reply code" },
	{ "code out of range", "999 x\r\n", "BAD reply line without a reply code" },
	{ "code below the range", "199 x\r\n", "BAD reply line without a reply code" },
	{ "empty line", "\r\n", "BAD reply line without a reply code" },
	{ "bare LF", "250\n", "BAD bare LF in a reply" },
	{ "bare LF in the text", "250 a\nb\r\n", "BAD bare LF in a reply" },
	{ "bare CR and escapes are kept and told", "550 no\r250 fake\x1b[2J\xff\r\n", "550  no\r250 fake\x1b[2J\xff odd|" },
	{ "UTF-8 is nothing odd", "550 \xc3\xbc\r\n", "550  \xc3\xbc|" },
	{ "half of it is", "550 \xc3\r\n", "550  \xc3 odd|" },
	{ "and so are its controls", "550 \xc2\x9b\r\n", "550  \xc2\x9b odd|" },
	{ "a good reply in front of a bad one", "250 a\r\nx\r\n", "250  a|BAD reply line without a reply code" },
};

static void read_piece(struct reply_reader *r, struct slice piece, struct buf *log, bool *bad)
{
	while (piece.n && !*bad) {
		struct reply reply;
		struct fault f = { 0 };

		switch (reply_read(r, &piece, &reply, &f)) {
		case REPLY_MORE:
			assert_int_equal(piece.n, 0);
			return;
		case REPLY_BAD:
			assert_int_equal(f.code, FAULT_NEXT_HOP_REPLY);
			buf_printf(log, "BAD %s", f.note);
			*bad = true;
			return;
		case REPLY_WHOLE:
			buf_printf(log, "%d %s ", reply.code, reply.enhanced);
			for (size_t i = 0; i < reply.text.n; i++)
				if (reply.text.at[i] != '\n')
					buf_octet(log, reply.text.at[i]);
				else if (log->at[log->n - 1] != '/')
					buf_octet(log, '/');
			buf_str(log, reply.odd ? " odd|" : "|");
			assert_false(reply_partial(r));
		}
	}
}

static void replies_at_every_cut(void **state)
{
	struct buf log;

	(void)state;
	buf_init(&log, 65536);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct slice in = slice_str(rows[i].in);

		for (size_t cut = 0; cut <= in.n + 1; cut++) {
			struct reply_reader r;
			bool bad = false;

			buf_clear(&log);
			reply_reader_init(&r);
			if (cut <= in.n) {
				read_piece(&r, slice_sub(in, 0, cut), &log, &bad);
				read_piece(&r, slice_sub(in, cut, SIZE_MAX), &log, &bad);
			} else {
				for (size_t k = 0; k < in.n; k++)
					read_piece(&r, slice_sub(in, k, 1), &log, &bad);
			}
			if (!slice_eq(buf_get(&log), slice_str(rows[i].want)))
				print_error("%s, cut %zu\n", rows[i].name, cut);
			WANT_SLICE(buf_get(&log), slice_str(rows[i].want));
			reply_reader_release(&r);
		}
	}
	buf_release(&log);
}

static void replies_are_bounded(void **state)
{
	static const struct {
		size_t lines, octets; /* of a line with CRLF */
		bool bad;
	} sizes[] = {
		{ 1, LIMIT_REPLY_LINE, false },
		{ 1, LIMIT_REPLY_LINE + 1, true },
		{ LIMIT_REPLY_LINES, 20, false },
		{ LIMIT_REPLY_LINES + 1, 20, true },
		{ 50, LIMIT_REPLY_LINE, true },
	};
	struct buf in, log;

	(void)state;
	buf_init(&in, 1 << 20);
	buf_init(&log, 1 << 20);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct reply_reader r;
		bool bad = false;

		buf_clear(&in);
		buf_clear(&log);
		for (size_t k = 1; k <= sizes[i].lines; k++) {
			buf_str(&in, k == sizes[i].lines ? "250 " : "250-");
			for (size_t n = 6; n < sizes[i].octets; n++)
				buf_octet(&in, 'x');
			buf_str(&in, "\r\n");
		}
		reply_reader_init(&r);
		for (size_t at = 0; at < in.n; at += 7)
			read_piece(&r, slice_sub(buf_get(&in), at, 7), &log, &bad);
		assert_int_equal(bad, sizes[i].bad);
		reply_reader_release(&r);
	}
	buf_release(&in);
	buf_release(&log);
}

static void a_line_without_end_is_bad_at_once(void **state)
{
	struct reply_reader r;
	struct buf in, log;
	bool bad = false;

	(void)state;
	buf_init(&in, 1 << 20);
	buf_init(&log, 1 << 20);
	while (in.n < LIMIT_REPLY_LINE + 1)
		buf_str(&in, "2");
	reply_reader_init(&r);
	read_piece(&r, buf_get(&in), &log, &bad);
	assert_true(bad);
	reply_reader_release(&r);

	/* what comes behind it changes nothing */
	bad = false;
	buf_clear(&log);
	buf_str(&in, "\n");
	reply_reader_init(&r);
	read_piece(&r, buf_get(&in), &log, &bad);
	WANT_SLICE(buf_get(&log), S("BAD reply line too long"));
	reply_reader_release(&r);
	buf_release(&in);
	buf_release(&log);
}

static void want_written(struct reply r, bool utf8, const char *want)
{
	struct buf out;

	buf_init(&out, 65536);
	reply_write(&out, &r, utf8);
	WANT_SLICE(buf_get(&out), slice_str(want));
	buf_release(&out);
}

static void replies_are_written_line_by_line(void **state)
{
	struct fault f = { 0 };
	struct buf out, text;
	struct slice rest, line;

	(void)state;
	want_written((struct reply){ .code = 250, .text = S("2.0.0 ok") }, false, "250 2.0.0 ok\r\n");
	want_written((struct reply){ .code = 550, .text = S("a\n\nc") }, false, "550-a\r\n550-\r\n550 c\r\n");
	want_written((struct reply){ .code = 250 }, false, "250\r\n");
	want_written((struct reply){ .code = 550, .text = S("no\r250 fake\x1b[2J\0\xff") }, false, "550 no?250 fake?[2J??\r\n");
	/* RFC 6531 3.7.4.2 */
	want_written((struct reply){ .code = 550, .text = S("5.1.1 <\xc3\xbc@c.test>") }, false, "550 5.1.1 <??@c.test>\r\n");
	want_written((struct reply){ .code = 550, .text = S("5.1.1 <\xc3\xbc@c.test>") }, true, "550 5.1.1 <\xc3\xbc@c.test>\r\n");
	want_written((struct reply){ .code = 550, .text = S("\xc3\xbc \x1b\r\n\xfc \xc3\xbc") }, true, "550-\xc3\xbc ??\r\n550 ? ??\r\n");
	want_written((struct reply){ .code = 550, .text = S("\xc2\x9b" "2J \xc2\xa0") }, true, "550 ??2J ??\r\n"); /* a terminal's CSI */
	buf_init(&out, 65536);
	buf_init(&text, 65536);
	fault_set(&f, FAULT_BARE_LF, 0);
	reply_fault(&out, &f);
	WANT_SLICE(buf_get(&out), S("550 5.5.2 line ended by LF without CR\r\n"));
	buf_clear(&out);
	f.enhanced[0] = '\0';
	fault_text(&f, S("a\r\nb"));
	reply_fault(&out, &f);
	WANT_SLICE(buf_get(&out), S("550 a??b\r\n"));

	/* no line above 512 octets, no text above the limit */
	buf_clear(&out);
	for (int i = 0; i < 5000; i++)
		buf_str(&text, i % 900 == 899 ? "\n" : "y");
	reply_write(&out, &(struct reply){ .code = 250, .text = buf_get(&text) }, false);
	assert_in_range(out.n, 512, LIMIT_REPLY_TEXT + 60);
	rest = buf_get(&out);
	while (rest.n) {
		(void)slice_cut(&rest, '\n', &line);
		assert_in_range(line.n + 1, 6, 512);
		assert_int_equal(line.at[3], rest.n ? '-' : ' ');
	}
	buf_clear(&text);
	buf_clear(&out);
	buf_str(&text, "x");
	for (int i = 0; i < 600; i++)
		buf_str(&text, "\xc3\xbc");
	reply_write(&out, &(struct reply){ .code = 250, .text = buf_get(&text) }, true);
	WANT_SLICE(slice_sub(buf_get(&out), out.n - 4, 4), S("\xc3\xbc\r\n"));
	assert_int_equal(out.n, 4 + 505 + 2);
	buf_release(&out);
	buf_release(&text);
}

static void ehlo_words(void **state)
{
	static const struct {
		const char *line;
		unsigned bits;
		uint64_t size_octets;
		uint32_t rcpt_max, mail_max;
	} words[] = {
		{ "PIPELINING", EXT_PIPELINING, 0, 0, 0 },
		{ "size 1000", EXT_SIZE, 1000, 0, 0 },
		{ "SIZE", EXT_SIZE, 0, 0, 0 },
		{ "SIZE 0", EXT_SIZE, 0, 0, 0 },
		{ "SIZE x", EXT_SIZE, 0, 0, 0 },
		{ "SIZE 99999999999999999999999", EXT_SIZE, 0, 0, 0 },
		{ "AUTH PLAIN LOGIN", EXT_AUTH, 0, 0, 0 },
		{ "XCLIENT NAME ADDR", EXT_XCLIENT, 0, 0, 0 },
		{ "SMTPUTF8", EXT_SMTPUTF8, 0, 0, 0 },
		{ "LIMITS RCPTMAX=20 MAILMAX=5", EXT_LIMITS, 0, 20, 5 },
		{ "limits mailmax=1  RCPTDOMAINMAX=2 rcptmax=3", EXT_LIMITS, 0, 3, 1 },
		{ "LIMITS RCPTMAX=1000000 MAILMAX=-1", EXT_LIMITS, 0, 0, 0 },
		{ "LIMITS RCPTMAX MAILMAX=", EXT_LIMITS, 0, 0, 0 },
		{ "LIMITS", EXT_LIMITS, 0, 0, 0 },
		{ "PRDR", EXT_PRDR, 0, 0, 0 },
		{ "requiretls", EXT_REQUIRETLS, 0, 0, 0 },
		{ "8BITMIMEX", 0, 0, 0, 0 },
		{ "X-UNHEARD of", 0, 0, 0, 0 },
		{ "", 0, 0, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		struct ext e = { 0 };

		ext_read(&e, slice_str(words[i].line));
		assert_int_equal(e.bits, words[i].bits);
		assert_true(e.size_octets == words[i].size_octets);
		assert_int_equal(e.rcpt_max, words[i].rcpt_max);
		assert_int_equal(e.mail_max, words[i].mail_max);
	}
}

static void offers(void **state)
{
	const struct ext big = { .bits = EXT_SIZE | EXT_8BITMIME | EXT_CHUNKING, .size_octets = 10000000 };
	const struct ext small = { .bits = EXT_SIZE, .size_octets = 1000 }, none = { 0 };
	const struct ext unlimited = { .bits = EXT_SIZE | EXT_DSN | EXT_SMTPUTF8 };
	const struct ext each = { .bits = EXT_PRDR | EXT_REQUIRETLS | EXT_XCLIENT | EXT_AUTH | EXT_LIMITS, .rcpt_max = 7, .mail_max = 1 };
	const unsigned ours = EXT_PIPELINING | EXT_SIZE | EXT_ENHANCED | EXT_CHUNKING | EXT_LIMITS;
	struct ext e;
	struct buf out;

	(void)state;
	e = ext_offer(5000, NULL);
	assert_true(e.bits == ours && e.size_octets == 5000);
	e = ext_offer(5000, &none);
	assert_true(e.bits == ours && e.size_octets == 5000);
	e = ext_offer(50000000, &big);
	assert_true(e.bits == (ours | EXT_8BITMIME) && e.size_octets == 10000000 - EXT_ADDED_OCTETS);
	e = ext_offer(50000000, &small);
	assert_true(e.size_octets == 1);
	e = ext_offer(50000000, &unlimited);
	assert_true(e.bits == (ours | EXT_DSN | EXT_SMTPUTF8) && e.size_octets == 50000000);

	e = ext_offer(5000, &each);
	assert_true(e.bits == (ours | EXT_PRDR | EXT_REQUIRETLS) && e.rcpt_max == 7 && e.mail_max == 0);

	buf_init(&out, 4096);
	ext_write(&out, S("h"), &(struct ext){ .bits = EXT_LIMITS | EXT_PRDR, .rcpt_max = 7 }, 8);
	ext_write(&out, S("h"), &(struct ext){ .bits = EXT_LIMITS, .rcpt_max = 7 }, 6);
	WANT_SLICE(buf_get(&out), S("250-h\r\n250-PRDR\r\n250 LIMITS RCPTMAX=7\r\n250-h\r\n250 LIMITS RCPTMAX=6\r\n"));
	buf_clear(&out);
	ext_write(&out, S("h"), &(struct ext){ 0 }, 1);
	WANT_SLICE(buf_get(&out), S("250 h\r\n"));
	buf_clear(&out);
	ext_write(&out, S("h"), &(struct ext){ .bits = EXT_SIZE | EXT_DSN }, 1);
	WANT_SLICE(buf_get(&out), S("250-h\r\n250-SIZE\r\n250 DSN\r\n"));
	buf_clear(&out);
	ext_write(&out, S("h"), &(struct ext){ .bits = EXT_CHUNKING | EXT_LIMITS }, 999999);
	WANT_SLICE(buf_get(&out), S("250-h\r\n250-CHUNKING\r\n250 LIMITS RCPTMAX=999999\r\n"));
	buf_release(&out);
}

static void a_line_given_back_comes_again(void **state)
{
	struct slice in = S("NOO"), line, all = S("P\r\nQUIT\r\n");
	struct line_reader r;
	size_t n;

	(void)state;
	line_reader_init(&r, false);
	assert_int_equal(line_read(&r, &in, 100, &line), LINE_MORE);
	assert_true(line_partial(&r));
	for (int i = 0; i < 3; i++) {
		in = all;
		assert_int_equal(line_read(&r, &in, 100, &line), LINE_WHOLE);
		WANT_SLICE(line, S("NOOP"));
		n = all.n - in.n;
		assert_int_equal(n, 3);
		if (i < 2)
			line_unread(&r, n);
	}
	assert_int_equal(line_read(&r, &in, 100, &line), LINE_WHOLE);
	WANT_SLICE(line, S("QUIT"));
	line_unread(&r, 6); /* it lies in the input: nothing to do */
	assert_int_equal(line_read(&r, &in, 100, &line), LINE_MORE);
	assert_int_equal(r.held.room, 0);
	line_reader_release(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replies_at_every_cut),
		cmocka_unit_test(replies_are_bounded),
		cmocka_unit_test(a_line_without_end_is_bad_at_once),
		cmocka_unit_test(replies_are_written_line_by_line),
		cmocka_unit_test(ehlo_words),
		cmocka_unit_test(offers),
		cmocka_unit_test(a_line_given_back_comes_again),
	};

	return RUN_TESTS(tests);
}
