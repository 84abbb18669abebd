#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"

void buf_init(struct buf *b, size_t ceiling_octets)
{
	*b = (struct buf){ .ceiling = ceiling_octets };
}

void buf_release(struct buf *b)
{
	free(b->at);
	*b = (struct buf){ .ceiling = b->ceiling };
}

void buf_clear(struct buf *b)
{
	b->n = 0;
	b->failed = b->no_memory = false;
}

unsigned char *buf_room(struct buf *b, size_t n)
{
	size_t want, room;
	unsigned char *p;

	if (b->failed)
		return NULL;
	if (n > b->ceiling - b->n) {
		b->failed = true;
		return NULL;
	}
	want = b->n + n;
	if (want <= b->room && b->at)
		return b->at + b->n;
	room = b->room > b->ceiling / 2 ? b->ceiling : b->room * 2;
	if (room < 64)
		room = 64;
	if (room < want)
		room = want;
	p = realloc(b->at, room);
	if (!p) {
		b->failed = b->no_memory = true;
		return NULL;
	}
	b->at = p;
	b->room = room;
	return b->at + b->n;
}

void buf_fit(struct buf *b)
{
	unsigned char *p = b->n && b->n < b->room ? realloc(b->at, b->n) : NULL;

	if (!p)
		return;
	b->at = p;
	b->room = b->n;
}

void buf_grew(struct buf *b, size_t n)
{
	b->n += n;
}

void buf_add(struct buf *b, const void *at, size_t n)
{
	unsigned char *p;

	if (n == 0)
		return;
	p = buf_room(b, n);
	if (!p)
		return;
	memcpy(p, at, n);
	b->n += n;
}

void buf_slice(struct buf *b, struct slice s)
{
	buf_add(b, s.at, s.n);
}

void buf_str(struct buf *b, const char *text)
{
	buf_add(b, text, strlen(text));
}

void buf_octet(struct buf *b, unsigned char c)
{
	buf_add(b, &c, 1);
}

void buf_printf(struct buf *b, const char *format, ...)
{
	va_list ap;
	char small[256];
	int n;

	va_start(ap, format);
	n = vsnprintf(small, sizeof(small), format, ap);
	va_end(ap);
	if (n < 0) {
		b->failed = true;
	} else if ((size_t)n < sizeof(small)) {
		buf_add(b, small, (size_t)n);
	} else {
		unsigned char *p = buf_room(b, (size_t)n + 1);

		if (!p)
			return;
		va_start(ap, format);
		vsnprintf((char *)p, (size_t)n + 1, format, ap);
		va_end(ap);
		b->n += (size_t)n;
	}
}

void buf_u64(struct buf *b, uint64_t v)
{
	char text[20];
	size_t at = sizeof(text);

	do {
		text[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	buf_add(b, text + at, sizeof(text) - at);
}

void buf_escaped(struct buf *b, struct slice s)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = s.at[i];

		if (c > 0x20 && c < 0x7f && c != '"' && c != '\\') {
			buf_octet(b, c);
		} else {
			char e[4] = { '\\', 'x', hex[c >> 4], hex[c & 15] };

			buf_add(b, e, 4);
		}
	}
}

void buf_drop(struct buf *b, size_t n)
{
	b->n -= n;
	if (b->n && n)
		memmove(b->at, b->at + n, b->n);
}
