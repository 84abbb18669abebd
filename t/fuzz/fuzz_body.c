/*
 * Content in its dot form, and framed. The first octet says how the rest is cut; any cut gives the same, and what was read without a
 * fault is written and read again as it was.
 */
#include "base/buf.h"
#include "fuzz.h"
#include "smtp/body.h"

struct taken {
	struct buf content;
	struct fault fault;
	bool ended, dots;
	size_t left;
};

static void take(struct slice s, size_t piece, struct taken *t)
{
	struct body_reader r;
	struct slice part, run;

	buf_init(&t->content, SIZE_MAX / 2);
	t->ended = false;
	body_reader_init(&r);
	while (!t->ended && s.n) {
		enum body_status status = BODY_RUN;

		(void)slice_take(&s, piece < s.n ? piece : s.n, &part);
		while (status == BODY_RUN) {
			status = body_read(&r, &part, &run);
			if (status == BODY_RUN)
				buf_slice(&t->content, run);
		}
		WANT(status == BODY_END || part.n == 0);
		t->ended = status == BODY_END;
		t->left = part.n + s.n;
	}
	WANT(r.octets == t->content.n);
	t->fault = r.fault;
	t->dots = r.dots;
}

static void round_trip(struct slice content, bool dots)
{
	struct slice rest = content, run;
	struct body_writer w;
	struct taken again;
	struct buf sent;

	buf_init(&sent, SIZE_MAX / 2);
	body_writer_init(&w);
	while (dots ? body_write(&w, &rest, &run) : body_write_dotless(&w, &rest, &run))
		buf_slice(&sent, run);
	buf_slice(&sent, body_finish(&w));
	take(buf_get(&sent), SIZE_MAX, &again);
	WANT(again.ended && again.left == 0 && again.fault.code == FAULT_NONE);
	WANT(slice_eq(buf_get(&again.content), content));
	buf_release(&again.content);
	buf_release(&sent);
}

static void take_framed(struct slice s, size_t piece, struct taken *t)
{
	struct body_reader r;
	struct slice part, run;

	buf_init(&t->content, SIZE_MAX / 2);
	body_reader_init_framed(&r);
	while (s.n) {
		(void)slice_take(&s, piece < s.n ? piece : s.n, &part);
		while (body_read(&r, &part, &run) == BODY_RUN)
			buf_slice(&t->content, run);
		WANT(part.n == 0);
	}
	while (body_read_end(&r, &run) == BODY_RUN)
		buf_slice(&t->content, run);
	WANT(r.octets == t->content.n);
	t->fault = r.fault;
}

static void framed(struct slice s, size_t piece)
{
	struct taken whole, cut;

	take_framed(s, SIZE_MAX, &whole);
	take_framed(s, piece, &cut);
	WANT(whole.fault.code == cut.fault.code && whole.fault.at == cut.fault.at);
	WANT(slice_eq(buf_get(&whole.content), buf_get(&cut.content)));
	if (whole.fault.code == FAULT_NONE) {
		WANT(slice_starts(buf_get(&whole.content), s) && whole.content.n - s.n == (slice_ends(s, S("\r\n")) || s.n == 0 ? 0 : 2));
		round_trip(buf_get(&whole.content), true);
	}
	buf_release(&whole.content);
	buf_release(&cut.content);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	struct taken whole, cut;
	struct slice s;

	if (n < 2)
		return 0;
	s = slice_of(at + 1, n - 1);
	take(s, SIZE_MAX, &whole);
	take(s, at[0] ? at[0] : 1, &cut);
	WANT(whole.ended == cut.ended && (!whole.ended || whole.left == cut.left));
	WANT(whole.fault.code == cut.fault.code && whole.fault.at == cut.fault.at && whole.dots == cut.dots);
	WANT(slice_eq(buf_get(&whole.content), buf_get(&cut.content)));
	if (whole.ended && whole.fault.code == FAULT_NONE)
		round_trip(buf_get(&whole.content), whole.dots);
	buf_release(&whole.content);
	buf_release(&cut.content);
	framed(s, at[0] ? at[0] : 1);
	return 0;
}
