#include "auth/fold.h"
#include "base/b64.h"

enum { COLUMNS = 78 };

static void put(struct fold *f, struct slice text)
{
	buf_slice(f->out, text);
	f->column += text.n;
}

static void new_line(struct fold *f)
{
	buf_str(f->out, "\r\n ");
	f->column = 1;
}

void fold_start(struct fold *f, struct buf *out, struct slice name)
{
	f->out = out;
	f->column = 0;
	put(f, name);
}

void fold_tag(struct fold *f, struct slice text)
{
	if (f->column + 1 + text.n > COLUMNS)
		new_line(f);
	else
		put(f, S(" "));
	put(f, text);
}

void fold_whole(struct fold *f, struct slice text)
{
	if (f->column > 1 && f->column + text.n > COLUMNS)
		new_line(f);
	put(f, text);
}

void fold_b64(struct fold *f, struct slice octets, struct slice tail)
{
	struct buf text;
	struct slice left;

	buf_init(&text, octets.n / 3 * 4 + 8 + tail.n);
	if (octets.n)
		b64_encode(&text, octets);
	buf_slice(&text, tail);
	if (buf_failed(&text)) /* it has room for all of it */
		f->out->failed = f->out->no_memory = true;
	left = buf_get(&text);
	while (f->column + left.n > COLUMNS && left.n > tail.n + 1) {
		size_t room = f->column < COLUMNS ? COLUMNS - f->column : 0, most = left.n - tail.n - 1;

		if (room > most)
			room = most;
		put(f, slice_sub(left, 0, room));
		left = slice_sub(left, room, SIZE_MAX);
		new_line(f);
	}
	fold_whole(f, left);
	buf_release(&text);
}

void fold_end(struct fold *f)
{
	buf_str(f->out, "\r\n");
}
