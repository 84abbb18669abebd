/* The case lists of t/data/smtp-smuggling and t/data/smtp-protocol against the server machine. */
#include <jansson.h>

#include "smtp_talk.h"

#include "smtp/body.h"

static json_t *load(const char *suite)
{
	const char *dir = getenv("SRCDIR");
	json_error_t e;
	char path[4096];
	json_t *list;

	snprintf(path, sizeof(path), "%s/t/data/%s/INDEX.json", dir ? dir : ".", suite);
	list = json_load_file(path, JSON_ALLOW_NUL, &e);
	if (!list)
		fail_msg("%s: %s", path, e.text);
	return list;
}

/* Each character U+0000..U+00FF is one octet. */
static void octets(json_t *text, struct buf *out)
{
	const unsigned char *p = (const unsigned char *)json_string_value(text);
	size_t n = json_string_length(text);

	buf_clear(out);
	for (size_t i = 0; i < n; i++) {
		if (p[i] < 0x80) {
			buf_octet(out, p[i]);
		} else {
			assert_true((p[i] == 0xc2 || p[i] == 0xc3) && i + 1 < n);
			buf_octet(out, (unsigned char)((p[i] & 3) << 6 | (p[i + 1] & 0x3f)));
			i++;
		}
	}
}

static const char *text_of(json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static size_t count(struct slice s, const char *what)
{
	size_t n = 0, len = strlen(what);

	for (size_t i = 0; i + len <= s.n; i++)
		n += memcmp(s.at + i, what, len) == 0;
	return n;
}

/* What would be sent on holds no CR or LF alone, and one end, at its end. */
static void want_safe(const char *name, struct slice content)
{
	struct body_writer w;
	struct slice run;
	struct buf out;

	buf_init(&out, 1 << 20);
	buf_str(&out, "\r\n");
	body_writer_init(&w);
	while (body_write(&w, &content, &run))
		buf_slice(&out, run);
	buf_slice(&out, body_finish(&w));
	if (count(buf_get(&out), "\r\n") != count(buf_get(&out), "\n") || count(buf_get(&out), "\r") != count(buf_get(&out), "\n") ||
	    count(buf_get(&out), "\r\n.\r\n") != 1 || !slice_ends(buf_get(&out), S("\r\n.\r\n")))
		fail_msg("%s: unsafe to send on", name);
	buf_release(&out);
}

static void feed(struct talk *t, struct slice octets, size_t cut)
{
	if (cut == SIZE_MAX)
		talk_turn(t, octets, 1);
	else
		talk_cut(t, octets, cut);
}

/* By DATA, fed in two parts; SIZE_MAX: octet by octet. */
static void smuggle(const char *name, const char *expect, struct slice stream, size_t cut, struct buf *log_out)
{
	bool refused, taken;
	struct talk t;

	talk_init(&t, AT_ONCE);
	talk_turn(&t, S("EHLO t.a.test\r\n"), 0);
	talk_turn(&t, S("MAIL FROM:<s@a.test>\r\nRCPT TO:<r1@c.test>\r\nDATA\r\n"), 0);
	buf_clear(&t.log);
	buf_clear(&t.replies);
	feed(&t, stream, cut);
	refused = t.messages == 0 && t.closed &&
	    (slice_starts(buf_get(&t.replies), S("550 5.5.2 ")) || slice_starts(buf_get(&t.replies), S("550 5.6.0 NUL ")));
	taken = t.messages == 1 && !t.closed && slice_eq(buf_get(&t.replies), S("250 2.1.0 taken\r\n"));
	if (taken)
		want_safe(name, buf_get(&t.content));
	if (!strcmp(expect, "accept-literal") || !strcmp(expect, "accept") ? !taken : !refused && !taken)
		fail_msg("%s cut at %zu: messages %zu, closed %d, %.*s", name, cut, t.messages, t.closed, SLICE_FMT(buf_get(&t.log)));
	/* whatever was in there, no command was run */
	assert_null(memmem(t.log.at, t.log.n, "mail ", 5));
	assert_int_equal(count(buf_get(&t.replies), "\r\n"), 1);
	buf_clear(log_out);
	buf_slice(log_out, buf_get(&t.log));
	talk_release(&t);
}

/* The stream as chunks that begin at 0 and at each of `borders`, with their commands. */
static void as_chunks(struct slice stream, const size_t *borders, size_t border_count, struct buf *out)
{
	size_t from = 0;

	buf_clear(out);
	for (size_t i = 0; i <= border_count; i++) {
		size_t to = i < border_count ? borders[i] : stream.n;

		buf_printf(out, "BDAT %zu%s\r\n", to - from, i < border_count ? "" : " LAST");
		buf_slice(out, slice_sub(stream, from, to - from));
		from = to;
	}
}

static bool clean(struct slice s)
{
	return count(s, "\r\n") == count(s, "\n") && count(s, "\r") == count(s, "\n") && (s.n == 0 || !memchr(s.at, '\0', s.n));
}

/* In chunks the stream has no end but its length: it is the message, or refused, and the session goes on behind it. */
static void smuggle_chunks(const char *name, struct slice stream, const size_t *borders, size_t border_count, size_t cut)
{
	struct buf turn;
	struct talk t;

	buf_init(&turn, 1 << 20);
	as_chunks(stream, borders, border_count, &turn);
	buf_str(&turn, "NOOP\r\n");
	talk_init(&t, AT_ONCE);
	talk_turn(&t, S("EHLO t.a.test\r\n"), 0);
	talk_turn(&t, S("MAIL FROM:<s@a.test>\r\nRCPT TO:<r1@c.test>\r\n"), 0);
	buf_clear(&t.log);
	feed(&t, buf_get(&turn), cut);
	if (t.closed || t.messages != clean(stream) || !slice_ends(buf_get(&t.replies), S("\r\n250 2.0.0 ok\r\n")))
		fail_msg("%s cut at %zu: messages %zu, closed %d, %.*s", name, cut, t.messages, t.closed, SLICE_FMT(buf_get(&t.replies)));
	if (t.messages) {
		WANT_SLICE(buf_get(&t.content), stream);
		want_safe(name, buf_get(&t.content));
	}
	assert_null(memmem(t.log.at, t.log.n, "mail ", 5));
	talk_release(&t);
	buf_release(&turn);
}

/* As the case says, then in two chunks with every border, then an octet a chunk. */
static void smuggle_chunks_every_way(json_t *c, struct slice stream)
{
	static size_t all[4096];
	json_t *split = json_object_get(c, "split");
	const char *name = text_of(c, "name");
	size_t borders[8], n = json_array_size(split);

	assert_true(n <= 8 && stream.n <= 4096);
	for (size_t i = 0; i < n; i++)
		borders[i] = (size_t)json_integer_value(json_array_get(split, i));
	for (size_t cut = 0; cut < stream.n + 40; cut++)
		smuggle_chunks(name, stream, borders, n, cut);
	smuggle_chunks(name, stream, borders, n, SIZE_MAX);
	for (size_t border = 0; border <= stream.n; border++)
		smuggle_chunks(name, stream, &border, 1, border & 1 ? 0 : SIZE_MAX);
	for (size_t i = 0; i < stream.n; i++)
		all[i] = i;
	smuggle_chunks(name, stream, all, stream.n, 0);
}

static void nothing_is_smuggled(void **state)
{
	json_t *list = load("smtp-smuggling"), *c;
	struct buf stream, whole, cut_log;
	size_t i, done = 0;

	(void)state;
	buf_init(&stream, 1 << 20);
	buf_init(&whole, 1 << 20);
	buf_init(&cut_log, 1 << 20);
	json_array_foreach(list, i, c) {
		const char *name = text_of(c, "name"), *expect = text_of(c, "expect");

		octets(json_object_get(c, "stream"), &stream);
		done++;
		if (!strcmp(text_of(c, "verb"), "BDAT")) {
			smuggle_chunks_every_way(c, buf_get(&stream));
			continue;
		}
		smuggle(name, expect, buf_get(&stream), 0, &whole);
		for (size_t cut = 1; cut <= stream.n; cut++) {
			smuggle(name, expect, buf_get(&stream), cut, &cut_log);
			WANT_SLICE(buf_get(&cut_log), buf_get(&whole));
		}
		smuggle(name, expect, buf_get(&stream), SIZE_MAX, &cut_log);
		WANT_SLICE(buf_get(&cut_log), buf_get(&whole));
	}
	print_message("# smtp-smuggling: %zu cases at every cut\n", done);
	assert_int_equal(done, json_array_size(list));
	json_decref(list);
	buf_release(&stream);
	buf_release(&whole);
	buf_release(&cut_log);
}

static bool code_fits(struct slice code, struct slice want)
{
	struct slice one;
	bool more;

	do {
		more = slice_cut(&want, '|', &one);
		if (slice_eq(code, one) || (slice_eq(one, S("5xx")) && code.at[0] == '5'))
			return true;
	} while (more);
	return false;
}

/* "a list of codes, in order of preference when one reply is due, or one per command when send holds several" */
static bool codes_fit(struct slice codes, json_t *expect)
{
	struct slice rest = codes, code;
	size_t n = 0, total = codes.n ? count(codes, " ") + 1 : 0;
	bool pairwise = total == json_array_size(expect), flood = !strcmp(json_string_value(json_array_get(expect, 0)), "250*1000");
	bool more = true;

	while (more && codes.n) {
		more = slice_cut(&rest, ' ', &code);
		if (flood) {
			if (!slice_eq(code, S("250")) && (more || !slice_eq(code, S("421"))))
				return false;
		} else if (total == 1) {
			for (size_t i = 0; i < json_array_size(expect); i++)
				if (code_fits(code, slice_str(json_string_value(json_array_get(expect, i)))))
					return true;
			return false;
		} else if (!pairwise || !code_fits(code, slice_str(json_string_value(json_array_get(expect, n++))))) {
			return false;
		}
	}
	return codes.n > 0;
}

static void protocol_case(json_t *c, size_t piece)
{
	/* the cases know no DSN */
	const struct ext hop = { .bits = EXT_8BITMIME | EXT_SMTPUTF8 };
	struct ext offer = ext_offer(1000000, &hop);
	struct buf send, codes;
	json_t *step;
	struct talk t;
	size_t i;

	buf_init(&send, 1 << 20);
	buf_init(&codes, 1 << 20);
	talk_init(&t, AT_ONCE);
	talk_replies(&t);
	srv_offer(t.srv, &offer);
	json_array_foreach(json_object_get(c, "steps"), i, step) {
		json_t *expect = json_object_get(step, "expect");
		size_t from = t.replies.n;

		octets(json_object_get(step, "send"), &send);
		talk_turn(&t, buf_get(&send), piece);
		if (!strcmp(json_string_value(json_array_get(expect, 0)), "(close)")) {
			assert_int_equal(t.messages, 0);
			continue;
		}
		talk_codes(&t, from, &codes);
		if (!codes_fit(buf_get(&codes), expect))
			fail_msg("%s, step %zu, pieces of %zu: got %s", text_of(c, "name"), i, piece, (char *)codes.at);
	}
	talk_release(&t);
	buf_release(&send);
	buf_release(&codes);
}

static void the_protocol_cases_hold(void **state)
{
	static const size_t pieces[] = { 0, 1, 2, 3, 5, 100 };
	json_t *list = load("smtp-protocol"), *c;
	size_t i, done = 0;

	(void)state;
	json_array_foreach(list, i, c) {
		for (size_t k = 0; k < sizeof(pieces) / sizeof(pieces[0]); k++)
			protocol_case(c, pieces[k]);
		done++;
	}
	print_message("# smtp-protocol: %zu cases\n", done);
	assert_int_equal(done, json_array_size(list));
	json_decref(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_smuggled),
		cmocka_unit_test(the_protocol_cases_hold),
	};

	return RUN_TESTS(tests);
}
