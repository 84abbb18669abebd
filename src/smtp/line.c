#include "base/limits.h"
#include "smtp/line.h"

void line_reader_init(struct line_reader *r, bool strict)
{
	*r = (struct line_reader){ .strict = strict };
	buf_init(&r->held, SIZE_MAX / 2);
}

void line_reader_release(struct line_reader *r)
{
	buf_release(&r->held);
}

bool line_partial(const struct line_reader *r)
{
	return r->dropped > 0 || (r->held.n > 0 && !r->given);
}

void line_unread(struct line_reader *r, size_t octets)
{
	if (!r->given)
		return;
	r->held.n -= octets;
	r->given = false;
}

/* Octets up to and with the LF of the first CRLF (or the first LF at all), 0 when there is none; `cr`: the octet before s was CR. */
static size_t line_octets(struct slice s, bool cr, bool any_lf, bool *pair_out)
{
	size_t from = 0;

	while (from < s.n) {
		const unsigned char *lf = memchr(s.at + from, '\n', s.n - from);
		size_t i;

		if (!lf)
			return 0;
		i = (size_t)(lf - s.at);
		*pair_out = i ? lf[-1] == '\r' : cr;
		if (*pair_out || any_lf)
			return i + 1;
		from = i + 1;
	}
	return 0;
}

/* What there is of the line is about to be let go. */
static void keep_head(struct line_reader *r, struct slice more)
{
	struct slice held = slice_sub(buf_get(&r->held), 0, LINE_HEAD);

	memset(r->head, 0, sizeof(r->head));
	if (held.n)
		memcpy(r->head, held.at, held.n);
	more = slice_sub(more, 0, LINE_HEAD - held.n);
	if (more.n)
		memcpy(r->head + held.n, more.at, more.n);
}

static enum line_status part(struct line_reader *r, struct slice more, size_t seen, size_t max)
{
	if (r->dropped || more.n > max - seen) {
		if (!r->dropped)
			keep_head(r, more);
		buf_release(&r->held);
		r->dropped = seen + more.n;
		r->cr = more.at[more.n - 1] == '\r';
		return LINE_MORE;
	}
	buf_slice(&r->held, more);
	return buf_failed(&r->held) ? LINE_NO_MEMORY : LINE_MORE;
}

static enum line_status whole(struct line_reader *r, struct slice end, size_t seen, size_t max, struct slice *line_out)
{
	if (r->dropped || end.n > max - seen) {
		if (!r->dropped)
			keep_head(r, end);
		buf_release(&r->held);
		r->dropped = 0;
		return LINE_LONG;
	}
	if (seen == 0) {
		*line_out = slice_of(end.at, end.n - 2);
		return LINE_WHOLE;
	}
	buf_slice(&r->held, end);
	if (buf_failed(&r->held))
		return LINE_NO_MEMORY;
	r->given = true;
	*line_out = slice_of(r->held.at, r->held.n - 2);
	return LINE_WHOLE;
}

enum line_status line_read(struct line_reader *r, struct slice *in, size_t max, struct slice *line_out)
{
	struct slice piece;
	size_t seen, n, most = max + (r->strict ? 0 : LIMIT_LINE_DROP);
	bool cr, pair = true;

	if (r->given) {
		buf_release(&r->held);
		r->given = false;
	}
	if (in->n == 0)
		return LINE_MORE;
	seen = r->dropped ? r->dropped : r->held.n;
	cr = r->dropped ? r->cr : seen && r->held.at[seen - 1] == '\r';
	n = line_octets(*in, cr, r->strict, &pair);
	if ((n ? n : in->n) > most - seen)
		return LINE_ENDLESS;
	if (n && !pair)
		return LINE_BARE_LF;
	(void)slice_take(in, n ? n : in->n, &piece);
	return n ? whole(r, piece, seen, max, line_out) : part(r, piece, seen, max);
}
