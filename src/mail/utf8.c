#include "mail/utf8.h"

/* Octets of the sequence that starts at p, 0: none. RFC 3629 section 4. */
static size_t sequence(const unsigned char *p, size_t left)
{
	unsigned char c = p[0], low = 0x80, high = 0xbf;
	size_t n;

	if (c < 0x80)
		return 1;
	if (c < 0xc2 || c > 0xf4)
		return 0;
	n = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	if (n > left)
		return 0;
	if (c == 0xe0)
		low = 0xa0;
	else if (c == 0xed)
		high = 0x9f;
	else if (c == 0xf0)
		low = 0x90;
	else if (c == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

bool utf8_valid(struct slice s)
{
	for (size_t i = 0; i < s.n;) {
		size_t n = sequence(s.at + i, s.n - i);

		if (!n)
			return false;
		i += n;
	}
	return true;
}

struct slice utf8_head(struct slice s, size_t n)
{
	if (s.n <= n)
		return s;
	/* a cut in front of a continuation octet would leave half a sequence */
	for (size_t back = 0; back < 3 && n > 0 && (s.at[n] & 0xc0) == 0x80; back++)
		n--;
	return slice_sub(s, 0, n);
}
