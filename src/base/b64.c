#include "base/b64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* 0..63, or 64 for everything else */
static unsigned value_of(unsigned char c)
{
	if (c >= 'A' && c <= 'Z')
		return (unsigned)(c - 'A');
	if (c >= 'a' && c <= 'z')
		return (unsigned)(c - 'a' + 26);
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0' + 52);
	return c == '+' ? 62 : c == '/' ? 63 : 64;
}

bool b64_decode(struct arena *a, struct slice text, bool blanks, struct slice *octets_out)
{
	unsigned char *out = arena_take(a, text.n / 4 * 3 + 3);
	size_t n = 0, pads = 0;
	unsigned bits = 0, held = 0;

	if (!out)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = text.at[i];
		unsigned v;

		if (blanks && (c == ' ' || c == '\t' || c == '\r' || c == '\n'))
			continue;
		if (c == '=') {
			pads++;
			continue;
		}
		v = value_of(c);
		if (v == 64 || pads)
			return false;
		bits = bits << 6 | v;
		held++;
		if (held == 4) {
			out[n++] = (unsigned char)(bits >> 16);
			out[n++] = (unsigned char)(bits >> 8);
			out[n++] = (unsigned char)bits;
			bits = held = 0;
		}
	}
	if (held == 0 ? pads != 0 : held + pads != 4 || held == 1)
		return false;
	if (held == 2) {
		if (bits & 0xf)
			return false;
		out[n++] = (unsigned char)(bits >> 4);
	} else if (held == 3) {
		if (bits & 0x3)
			return false;
		out[n++] = (unsigned char)(bits >> 10);
		out[n++] = (unsigned char)(bits >> 2);
	}
	*octets_out = slice_of(out, n);
	return true;
}

static size_t encode(unsigned char *out, struct slice s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i += 3) {
		size_t left = s.n - i;
		unsigned v = (unsigned)s.at[i] << 16;

		if (left > 1)
			v |= (unsigned)s.at[i + 1] << 8;
		if (left > 2)
			v |= s.at[i + 2];
		out[n++] = (unsigned char)alphabet[v >> 18];
		out[n++] = (unsigned char)alphabet[v >> 12 & 63];
		out[n++] = left > 1 ? (unsigned char)alphabet[v >> 6 & 63] : '=';
		out[n++] = left > 2 ? (unsigned char)alphabet[v & 63] : '=';
	}
	return n;
}

void b64_encode(struct buf *b, struct slice octets)
{
	unsigned char *p = buf_room(b, (octets.n + 2) / 3 * 4);

	if (p)
		buf_grew(b, encode(p, octets));
}

struct slice b64_text(struct arena *a, struct slice octets)
{
	unsigned char *p = arena_take(a, (octets.n + 2) / 3 * 4);

	return p ? slice_of(p, encode(p, octets)) : SLICE_NONE;
}
