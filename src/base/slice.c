#include "base/slice.h"

bool slice_take(struct slice *from, size_t n, struct slice *head_out)
{
	if (n > from->n)
		return false;
	*head_out = slice_of(from->at, n);
	*from = slice_sub(*from, n, SIZE_MAX);
	return true;
}

struct slice slice_sub(struct slice s, size_t from, size_t n)
{
	if (from >= s.n)
		return SLICE_NONE;
	if (n > s.n - from)
		n = s.n - from;
	return slice_of(s.at + from, n);
}

bool slice_cut(struct slice *from, unsigned char c, struct slice *head_out)
{
	size_t at = slice_find(*from, c);
	struct slice all = *from;

	*head_out = slice_sub(all, 0, at);
	if (at == all.n) {
		*from = SLICE_NONE;
		return false;
	}
	*from = slice_sub(all, at + 1, SIZE_MAX);
	return true;
}

int slice_icmp(struct slice a, struct slice b)
{
	size_t n = a.n < b.n ? a.n : b.n;

	for (size_t i = 0; i < n; i++) {
		int d = ascii_lower(a.at[i]) - ascii_lower(b.at[i]);

		if (d)
			return d;
	}
	return a.n < b.n ? -1 : a.n > b.n;
}

bool slice_ieq(struct slice a, struct slice b)
{
	return a.n == b.n && slice_icmp(a, b) == 0;
}

int slice_cmp(struct slice a, struct slice b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int d = n ? memcmp(a.at, b.at, n) : 0;

	return d ? d : a.n < b.n ? -1 : a.n > b.n;
}

bool slice_starts(struct slice s, struct slice head)
{
	return s.n >= head.n && slice_eq(slice_sub(s, 0, head.n), head);
}

bool slice_istarts(struct slice s, struct slice head)
{
	return s.n >= head.n && slice_ieq(slice_sub(s, 0, head.n), head);
}

bool slice_ends(struct slice s, struct slice tail)
{
	return s.n >= tail.n && slice_eq(slice_sub(s, s.n - tail.n, tail.n), tail);
}

size_t slice_find(struct slice s, unsigned char c)
{
	const unsigned char *p = s.n ? memchr(s.at, c, s.n) : NULL;

	return p ? (size_t)(p - s.at) : s.n;
}

static bool is_blank(unsigned char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct slice slice_trim(struct slice s)
{
	while (s.n && is_blank(s.at[0]))
		s = slice_sub(s, 1, SIZE_MAX);
	while (s.n && is_blank(s.at[s.n - 1]))
		s.n--;
	return slice_of(s.at, s.n);
}

bool slice_u64(struct slice s, uint64_t max, uint64_t *value_out)
{
	uint64_t v = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		uint64_t d;

		if (!ascii_digit(s.at[i]))
			return false;
		d = (uint64_t)(s.at[i] - '0');
		if (v > (UINT64_MAX - d) / 10)
			return false;
		v = v * 10 + d;
		if (v > max)
			return false;
	}
	*value_out = v;
	return true;
}
