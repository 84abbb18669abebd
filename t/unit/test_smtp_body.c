/* The dot form of content, read and written: every cut of every odd input gives the same. */
#include "test.h"

#include "base/buf.h"
#include "smtp/body.h"

/* What a reader made of a stream. */
struct taken {
	struct buf content;
	enum fault_code fault;
	size_t fault_at;
	bool ended;
	size_t left; /* octets of the stream behind the end */
	size_t runs;
};

static void taken_clear(struct taken *t)
{
	buf_clear(&t->content);
	t->fault = FAULT_NONE;
	t->fault_at = t->left = t->runs = 0;
	t->ended = false;
}

static bool leading_dot(struct slice s)
{
	return slice_starts(s, S(".")) || (s.n > 2 && memmem(s.at, s.n, "\r\n.", 3));
}

static void read_piece(struct body_reader *r, struct slice piece, struct taken *t)
{
	struct slice run;

	while (!t->ended) {
		enum body_status status = body_read(r, &piece, &run);

		if (status == BODY_MORE) {
			assert_int_equal(piece.n, 0);
			break;
		}
		if (status == BODY_END) {
			t->ended = true;
			break;
		}
		assert_int_not_equal(run.n, 0);
		buf_slice(&t->content, run);
		t->runs++;
	}
	t->left += piece.n;
	t->fault = r->fault.code;
	t->fault_at = r->fault.at;
	assert_true(r->octets == t->content.n);
	assert_int_equal(r->dots, leading_dot(buf_get(&t->content)));
}

/* Fed in two pieces cut at `cut`; SIZE_MAX: octet by octet. */
static void read_cut(struct slice s, size_t cut, struct taken *t)
{
	struct body_reader r;

	taken_clear(t);
	body_reader_init(&r);
	if (cut == SIZE_MAX) {
		for (size_t i = 0; i < s.n; i++)
			read_piece(&r, slice_sub(s, i, 1), t);
		return;
	}
	read_piece(&r, slice_sub(s, 0, cut), t);
	read_piece(&r, slice_sub(s, cut, SIZE_MAX), t);
}

/* What the documents say, written down another way: search for the end, then look at each octet of what is before it. */
static void read_plainly(struct slice s, struct taken *t)
{
	static unsigned char line[4096];
	const unsigned char *end;
	size_t n;

	taken_clear(t);
	assert_true(s.n + 2 <= sizeof(line));
	memcpy(line, "\r\n", 2);
	if (s.n)
		memcpy(line + 2, s.at, s.n);
	end = memmem(line, s.n + 2, "\r\n.\r\n", 5);
	t->ended = end != NULL;
	n = end ? (size_t)(end - line) + 2 : s.n + 2; /* the CRLF before the dot is content */
	t->left = end ? s.n + 2 - n - 3 : 0;
	for (size_t i = 2; i < n && !t->fault; i++) {
		bool undecided = i + 1 == s.n + 2;

		if (line[i] == '\0')
			t->fault = FAULT_NUL;
		else if (line[i] == '\n' && line[i - 1] != '\r')
			t->fault = FAULT_BARE_LF;
		else if (line[i] == '\r' && !undecided && line[i + 1] != '\n')
			t->fault = FAULT_BARE_CR;
		if (t->fault || (line[i] == '\r' && undecided))
			break;
		if (line[i] == '.' && line[i - 1] == '\n' && line[i - 2] == '\r')
			continue;
		if (line[i] != '\r')
			buf_add(&t->content, line[i] == '\n' ? "\r\n" : (const char *)&line[i], line[i] == '\n' ? 2 : 1);
	}
}

static void want_same(struct slice stream, size_t cut, const struct taken *got, const struct taken *want)
{
	if (got->ended == want->ended && got->fault == want->fault && got->left == want->left &&
	    slice_eq(buf_get(&got->content), buf_get(&want->content)))
		return;
	for (size_t i = 0; i < stream.n; i++)
		print_error("%02x ", stream.at[i]);
	print_error("\ncut %zu: end %d/%d fault %d/%d left %zu/%zu content %zu/%zu (got/wanted)\n", cut, got->ended, want->ended,
	    (int)got->fault, (int)want->fault, got->left, want->left, got->content.n, want->content.n);
	fail();
}

static void every_short_stream_at_every_cut(void **state)
{
	static const unsigned char alphabet[] = { '\r', '\n', '.', 'x', '\0' };
	struct taken want, got;
	unsigned char text[7];

	(void)state;
	buf_init(&want.content, 65536);
	buf_init(&got.content, 65536);
	for (size_t n = 0; n <= sizeof(text); n++) {
		size_t count = 1;

		for (size_t i = 0; i < n; i++)
			count *= sizeof(alphabet);
		for (size_t k = 0; k < count; k++) {
			size_t v = k;

			for (size_t i = 0; i < n; i++, v /= sizeof(alphabet))
				text[i] = alphabet[v % sizeof(alphabet)];
			read_plainly(slice_of(text, n), &want);
			for (size_t cut = 0; cut <= n; cut++) {
				read_cut(slice_of(text, n), cut, &got);
				want_same(slice_of(text, n), cut, &got, &want);
			}
			read_cut(slice_of(text, n), SIZE_MAX, &got);
			want_same(slice_of(text, n), SIZE_MAX, &got, &want);
		}
	}
	buf_release(&want.content);
	buf_release(&got.content);
}

/*
 * The alphabet of t/data/smtp-smuggling: a dot with up to two of these on either side, in a stream that goes on and ends. Cut at every
 * place, and octet by octet.
 */
static void every_marker_at_every_cut(void **state)
{
	static const struct slice alphabet[] = {
		S(""), S("\r"), S("\n"), S("\r\n"), S("."), S("\0"), S(" "), S("\t"), S("\b"), S("\v"), S("\f"), S("\x85"), S("\xff"), S("\xe2\x80\xa8"),
		S("x"),
	};
	enum { LETTERS = sizeof(alphabet) / sizeof(alphabet[0]) };
	struct taken want, got;
	struct buf text;
	size_t done = 0;

	(void)state;
	buf_init(&want.content, 65536);
	buf_init(&got.content, 65536);
	buf_init(&text, 4096);
	for (size_t k = 0; k < LETTERS * LETTERS * LETTERS * LETTERS; k++) {
		size_t v = k;

		if ((k % LETTERS == 0 && k / LETTERS % LETTERS) || (k / (LETTERS * LETTERS) % LETTERS == 0 && k / (LETTERS * LETTERS * LETTERS)))
			continue; /* nothing and a letter is a letter and nothing */
		buf_clear(&text);
		buf_str(&text, "a");
		for (size_t i = 0; i < 4; i++, v /= LETTERS) {
			if (i == 2)
				buf_str(&text, ".");
			buf_slice(&text, alphabet[v % LETTERS]);
		}
		buf_str(&text, "MAIL\r\n.\r\n");
		read_plainly(buf_get(&text), &want);
		for (size_t cut = 0; cut <= text.n; cut++) {
			read_cut(buf_get(&text), cut, &got);
			want_same(buf_get(&text), cut, &got, &want);
		}
		read_cut(buf_get(&text), SIZE_MAX, &got);
		want_same(buf_get(&text), SIZE_MAX, &got, &want);
		done++;
	}
	print_message("# %zu streams\n", done);
	assert_int_equal(done, (1 + 14 + 14 * 14) * (1 + 14 + 14 * 14));
	buf_release(&text);
	buf_release(&want.content);
	buf_release(&got.content);
}

/* The same tricks behind plain text, so that they fall on every place of the reader's strides. */
static void tricks_at_every_offset(void **state)
{
	static const struct slice tricks[] = {
		S("\r\n.\r\n"), S("\r\n..\r\n"), S("\n.\r\n"), S("\r\n.\n"), S("\r.\r"), S("\r\r\n.\r\n"), S("\r\n.\r\r\n"),
		S("\r\n..\r\n.\r\nNOOP\r\n"), S("\n"), S("\r"), S("\r\n.x\r\n"), S("\0"), S("\r\n.\0\r\n"), S("\r\n\0.\r\n"),
	};
	struct taken want, got;
	char text[600];

	(void)state;
	buf_init(&want.content, 65536);
	buf_init(&got.content, 65536);
	for (size_t t = 0; t < sizeof(tricks) / sizeof(tricks[0]); t++) {
		for (size_t before = 0; before < 300; before++) {
			size_t n = before;
			struct slice s;

			memset(text, 'y', before);
			memcpy(text + n, tricks[t].at, tricks[t].n);
			n += tricks[t].n;
			memcpy(text + n, "tail\r\n.\r\nQUIT\r\n", 15);
			s = slice_of(text, n + 15);
			read_plainly(s, &want);
			for (size_t cut = before > 8 ? before - 8 : 0; cut <= s.n; cut++) {
				read_cut(s, cut, &got);
				want_same(s, cut, &got, &want);
			}
			read_cut(s, SIZE_MAX, &got);
			want_same(s, SIZE_MAX, &got, &want);
		}
	}
	buf_release(&want.content);
	buf_release(&got.content);
}

static void a_fault_is_told_where_it_stands(void **state)
{
	struct taken got;

	(void)state;
	buf_init(&got.content, 65536);
	for (size_t cut = 0; cut < 16; cut++) {
		read_cut(S("ab\r\n..c\r\nd\ne\r\n.\r\n"), cut, &got);
		assert_int_equal(got.fault, FAULT_BARE_LF);
		assert_int_equal(got.fault_at, 9);
		WANT_SLICE(buf_get(&got.content), S("ab\r\n.c\r\nd"));
		assert_true(got.ended);
	}
	buf_release(&got.content);
}

/* Counted by somebody else: no dot ends it or goes, and what is missing at the end is a CRLF. */
static void framed_content_is_what_came(void **state)
{
	static const struct {
		struct slice came, given;
		enum fault_code fault;
	} rows[] = {
		{ S(""), S(""), FAULT_NONE },
		{ S("\r\n.\r\n..\r\n"), S("\r\n.\r\n..\r\n"), FAULT_NONE },
		{ S("."), S(".\r\n"), FAULT_NONE },
		{ S("a\r\n.b"), S("a\r\n.b\r\n"), FAULT_NONE },
		{ S("a\r"), S("a"), FAULT_BARE_CR },
		{ S(".\r.\r\nb"), S("."), FAULT_BARE_CR },
		{ S("\n\r\n.\r\nb\r\n.\r\n"), S(""), FAULT_BARE_LF },
		{ S("a\0\r\n.\r\nb"), S("a"), FAULT_NUL },
	};
	struct buf got;

	(void)state;
	buf_init(&got, 4096);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t cut = 0; cut <= rows[i].came.n; cut++) {
			struct slice piece[2] = { slice_sub(rows[i].came, 0, cut), slice_sub(rows[i].came, cut, SIZE_MAX) }, run;
			struct body_reader r;

			buf_clear(&got);
			body_reader_init_framed(&r);
			for (int k = 0; k < 2; k++) {
				enum body_status status;

				while ((status = body_read(&r, &piece[k], &run)) == BODY_RUN)
					buf_slice(&got, run);
				assert_int_equal(status, BODY_MORE);
				assert_int_equal(piece[k].n, 0);
			}
			while (body_read_end(&r, &run) == BODY_RUN)
				buf_slice(&got, run);
			assert_int_equal(r.fault.code, rows[i].fault);
			WANT_SLICE(buf_get(&got), rows[i].given);
			assert_true(r.octets == got.n);
			assert_true(r.dots); /* for all it knows */
		}
	buf_release(&got);
}

/* 64 KiB of lines; every `dots` lines one that begins with a dot (0: none). */
static void fill(struct buf *b, size_t dots)
{
	for (size_t i = 1; b->n < 65536 - 80; i++)
		buf_str(b, dots && i % dots == 0 ? ".. a line that begins with a dot, stuffed\r\n" :
		    "a line of text. and one more sentence. it is as long as lines are\r\n");
}

static void long_content_is_few_runs(void **state)
{
	static const size_t dots[] = { 0, 100, 1 };
	struct body_reader r;
	struct slice in, run;

	(void)state;
	for (size_t k = 0; k < 3; k++) {
		size_t runs = 0, stuffed = 0;
		struct buf b;

		buf_init(&b, 1 << 20);
		fill(&b, dots[k]);
		for (size_t i = 0; i + 2 < b.n; i++)
			stuffed += memcmp(b.at + i, "\n..", 3) == 0;
		stuffed += b.at[0] == '.';
		body_reader_init(&r);
		in = buf_get(&b);
		while (body_read(&r, &in, &run) == BODY_RUN)
			runs++;
		assert_in_range(runs, 1, stuffed + 1);
		buf_release(&b);
	}
}

static void write_cut(struct slice s, size_t cut, struct buf *out, size_t *runs)
{
	struct slice piece[2] = { slice_sub(s, 0, cut), slice_sub(s, cut, SIZE_MAX) }, run;
	struct body_writer w;

	buf_clear(out);
	body_writer_init(&w);
	for (int i = 0; i < 2; i++) {
		while (body_write(&w, &piece[i], &run)) {
			assert_int_not_equal(run.n, 0);
			buf_slice(out, run);
			++*runs;
		}
	}
	buf_slice(out, body_finish(&w));
}

/* The writer that need not look, where the reader said so. */
static void write_dotless(struct slice s, size_t cut, struct buf *out)
{
	struct slice piece[2] = { slice_sub(s, 0, cut), slice_sub(s, cut, SIZE_MAX) }, run;
	struct body_writer w;

	buf_clear(out);
	body_writer_init(&w);
	for (int i = 0; i < 2; i++)
		while (body_write_dotless(&w, &piece[i], &run))
			buf_slice(out, run);
	buf_slice(out, body_finish(&w));
}

static void write_plainly(struct slice s, struct buf *out)
{
	buf_clear(out);
	for (size_t i = 0; i < s.n; i++) {
		if (s.at[i] == '.' && (i == 0 || s.at[i - 1] == '\n'))
			buf_octet(out, '.');
		buf_octet(out, s.at[i]);
	}
	if (s.n && s.at[s.n - 1] != '\n')
		buf_str(out, "\r\n");
	buf_str(out, ".\r\n");
}

/* Content made of whole CRLFs: what is written reads back as it was. */
static void content_goes_round(void **state)
{
	static const char *const parts[] = { "\r\n", ".", "x" };
	struct buf content, got, want;
	struct taken back;
	size_t runs = 0;

	(void)state;
	buf_init(&content, 65536);
	buf_init(&got, 65536);
	buf_init(&want, 65536);
	buf_init(&back.content, 65536);
	for (size_t k = 0; k < 6561; k++) { /* 3^8 */
		size_t v = k;

		buf_clear(&content);
		for (size_t n = 0; n < 8 && v; n++, v /= 3)
			buf_str(&content, parts[v % 3]);
		write_plainly(buf_get(&content), &want);
		for (size_t cut = 0; cut <= content.n; cut++) {
			if (!leading_dot(buf_get(&content))) {
				write_dotless(buf_get(&content), cut, &got);
				WANT_SLICE(buf_get(&got), buf_get(&want));
			}
			write_cut(buf_get(&content), cut, &got, &runs);
			WANT_SLICE(buf_get(&got), buf_get(&want));
		}
		read_cut(buf_get(&got), SIZE_MAX, &back);
		assert_true(back.ended && !back.fault && back.left == 0);
		if (content.n && content.at[content.n - 1] != '\n')
			buf_str(&content, "\r\n");
		WANT_SLICE(buf_get(&back.content), buf_get(&content));
	}
	buf_release(&content);
	buf_release(&got);
	buf_release(&want);
	buf_release(&back.content);
}

/* A leading dot on every place of the writer's strides. */
static void every_leading_dot_is_doubled(void **state)
{
	struct buf content, got, want;
	size_t runs = 0;

	(void)state;
	buf_init(&content, 65536);
	buf_init(&got, 65536);
	buf_init(&want, 65536);
	for (size_t before = 0; before < 300; before++) {
		buf_clear(&content);
		for (size_t i = 0; i < before; i++)
			buf_octet(&content, 'y');
		buf_str(&content, "\r\n.a\r\n..\r\n.\r\nx.y");
		write_plainly(buf_get(&content), &want);
		for (size_t cut = 0; cut <= content.n; cut++) {
			write_cut(buf_get(&content), cut, &got, &runs);
			WANT_SLICE(buf_get(&got), buf_get(&want));
		}
	}
	buf_release(&content);
	buf_release(&got);
	buf_release(&want);
}

static void written_content_is_few_runs(void **state)
{
	struct buf b, out;
	size_t runs = 0;

	(void)state;
	buf_init(&b, 1 << 20);
	buf_init(&out, 1 << 20);
	fill(&b, 0);
	write_cut(buf_get(&b), b.n, &out, &runs);
	assert_int_equal(runs, 1);
	buf_release(&b);
	buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_short_stream_at_every_cut),
		cmocka_unit_test(every_marker_at_every_cut),
		cmocka_unit_test(tricks_at_every_offset),
		cmocka_unit_test(a_fault_is_told_where_it_stands),
		cmocka_unit_test(framed_content_is_what_came),
		cmocka_unit_test(long_content_is_few_runs),
		cmocka_unit_test(content_goes_round),
		cmocka_unit_test(every_leading_dot_is_doubled),
		cmocka_unit_test(written_content_is_few_runs),
	};

	return RUN_TESTS(tests);
}
