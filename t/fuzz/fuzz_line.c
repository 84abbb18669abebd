/*
 * Lines. The first octet says how the stream is cut, the second how long a line may be, whether a bare LF is told, and whether a very
 * long line stands in front. Any cut gives the same, giving a line back gives it again, and lines are what stands between two CRLF.
 */
#include "base/buf.h"
#include "base/limits.h"
#include "fuzz.h"
#include "smtp/line.h"

/* Each line as the kind of its end, a blank, its octets and a LF. */
static enum line_status next(struct line_reader *r, struct slice *in, size_t max, bool twice, struct slice *line)
{
	struct slice before = *in;
	enum line_status status = line_read(r, in, max, line);

	WANT(before.n - in->n <= before.n && slice_ends(before, *in));
	if (status == LINE_WHOLE && twice) {
		line_unread(r, before.n - in->n);
		*in = before;
		status = line_read(r, in, max, line);
		WANT(status == LINE_WHOLE);
	}
	return status;
}

static void read_all(struct slice in, size_t piece, size_t max, bool strict, bool twice, struct buf *log)
{
	struct line_reader r;
	struct slice part, line;
	bool over = false;

	line_reader_init(&r, strict);
	while (in.n && !over) {
		(void)slice_take(&in, piece < in.n ? piece : in.n, &part);
		for (;;) {
			enum line_status status = next(&r, &part, max, twice, &line);

			if (status == LINE_MORE) {
				WANT(part.n == 0);
				break;
			}
			WANT(status != LINE_NO_MEMORY);
			over = status == LINE_ENDLESS || status == LINE_BARE_LF;
			buf_printf(log, "%d ", (int)status);
			if (status == LINE_WHOLE) {
				WANT(line.n + 2 <= max && !line_partial(&r));
				buf_slice(log, line);
			}
			buf_octet(log, '\n');
			if (over)
				break;
		}
		WANT(r.held.n <= max);
	}
	if (!over)
		buf_printf(log, "%d", line_partial(&r));
	line_reader_release(&r);
}

/* The same said in the plainest way. */
static void model(struct slice in, size_t max, bool strict, struct buf *log)
{
	size_t from = 0;

	for (size_t i = 0; i < in.n; i++) {
		bool pair = i > from && in.at[i] == '\n' && in.at[i - 1] == '\r';

		if (i - from >= max + (strict ? 0 : LIMIT_LINE_DROP)) {
			buf_printf(log, "%d \n", (int)LINE_ENDLESS);
			return;
		}
		if (in.at[i] == '\n' && !pair && strict) {
			buf_printf(log, "%d \n", (int)LINE_BARE_LF);
			return;
		}
		if (!pair)
			continue;
		if (i + 1 - from > max) {
			buf_printf(log, "%d ", (int)LINE_LONG);
		} else {
			buf_printf(log, "%d ", (int)LINE_WHOLE);
			buf_add(log, in.at + from, i - 1 - from);
		}
		buf_octet(log, '\n');
		from = i + 1;
	}
	buf_printf(log, "%d", from < in.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	struct buf in, whole, cut, plain;
	size_t max, piece;
	bool strict;

	if (n < 2)
		return 0;
	piece = at[0] ? at[0] : 1;
	max = 2 + (at[1] & 0x3f);
	strict = at[1] & 0x40;
	buf_init(&in, SIZE_MAX / 2);
	if (at[1] & 0x80) {
		size_t far = LIMIT_LINE_DROP + max - (n & 7);
		unsigned char *room = buf_room(&in, far);

		WANT(room);
		memset(room, 'x', far);
		buf_grew(&in, far);
		piece *= 251;
	}
	buf_add(&in, at + 2, n - 2);
	buf_init(&whole, SIZE_MAX / 2);
	buf_init(&cut, SIZE_MAX / 2);
	buf_init(&plain, SIZE_MAX / 2);
	read_all(buf_get(&in), SIZE_MAX, max, strict, false, &whole);
	read_all(buf_get(&in), piece, max, strict, true, &cut);
	model(buf_get(&in), max, strict, &plain);
	WANT(slice_eq(buf_get(&whole), buf_get(&plain)));
	WANT(slice_eq(buf_get(&cut), buf_get(&plain)));
	buf_release(&plain);
	buf_release(&cut);
	buf_release(&whole);
	buf_release(&in);
	return 0;
}
