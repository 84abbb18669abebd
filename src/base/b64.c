#include "base/b64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The value and one: 1..64, 0 for everything else. */
#define FOUR(c, v) [c] = (v) + 1, [(c) + 1] = (v) + 2, [(c) + 2] = (v) + 3, [(c) + 3] = (v) + 4
static const unsigned char values[256] = {
	FOUR('A', 0), FOUR('E', 4), FOUR('I', 8), FOUR('M', 12), FOUR('Q', 16), FOUR('U', 20), ['Y'] = 25, ['Z'] = 26,
	FOUR('a', 26), FOUR('e', 30), FOUR('i', 34), FOUR('m', 38), FOUR('q', 42), FOUR('u', 46), ['y'] = 51, ['z'] = 52,
	FOUR('0', 52), FOUR('4', 56), ['8'] = 61, ['9'] = 62, ['+'] = 63, ['/'] = 64,
};

/* Groups of four from *i on, as long as nothing else stands between; returns octets written. */
static size_t decode_groups(struct slice text, size_t *i, unsigned char *out)
{
	size_t n = 0;

	for (; text.n - *i >= 4; *i += 4) {
		const unsigned char *at = text.at + *i;
		unsigned a = values[at[0]], b = values[at[1]], c = values[at[2]], d = values[at[3]], bits;

		if (!a || !b || !c || !d)
			break;
		bits = (a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6 | (d - 1);
		out[n++] = (unsigned char)(bits >> 16);
		out[n++] = (unsigned char)(bits >> 8);
		out[n++] = (unsigned char)bits;
	}
	return n;
}

/* out may be the text itself: what is written stands in front of what is still to be read. */
static bool decode(unsigned char *out, struct slice text, bool blanks, size_t *octets_out)
{
	size_t n = 0, pads = 0, i = 0;
	unsigned bits = 0, held = 0;

	while (i < text.n) {
		unsigned char c;

		if (held == 0 && pads == 0) {
			n += decode_groups(text, &i, out + n);
			if (i == text.n)
				break;
		}
		c = text.at[i++];
		if (blanks && (c == ' ' || c == '\t' || c == '\r' || c == '\n'))
			continue;
		if (c == '=') {
			pads++;
			continue;
		}
		if (!values[c] || pads)
			return false;
		bits = bits << 6 | (values[c] - 1U);
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
	*octets_out = n;
	return true;
}

bool b64_decode(struct arena *a, struct slice text, bool blanks, struct slice *octets_out)
{
	unsigned char *out = arena_take(a, text.n / 4 * 3 + 3);
	size_t n;

	if (!out || !decode(out, text, blanks, &n))
		return false;
	*octets_out = slice_of(out, n);
	return true;
}

bool b64_decode_over(unsigned char *text, size_t n, size_t *octets_out)
{
	return decode(text, slice_of(text, n), false, octets_out);
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
