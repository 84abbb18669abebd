#include "base/ip.h"
#include "policy/cidr.h"

enum { V4_BITS = 96 }; /* before the IPv4 part of ::ffff:a.b.c.d */

bool cidr_parse(struct slice text, struct cidr *out)
{
	struct slice address;
	struct cidr c = { .bits = 128 };
	uint64_t bits;
	bool width = slice_cut(&text, '/', &address);
	bool v4 = slice_find(address, ':') == address.n;

	if (!ip_parse(address, c.octets))
		return false;
	if (width) {
		if (text.n > 1 && text.at[0] == '0')
			return false;
		if (!slice_u64(text, v4 ? 32 : 128, &bits))
			return false;
		c.bits = (unsigned)bits + (v4 ? V4_BITS : 0);
	}
	for (unsigned i = c.bits; i < 128; i++)
		if (c.octets[i / 8] & (0x80u >> i % 8))
			return false;
	*out = c;
	return true;
}

bool cidr_holds(const struct cidr *c, const unsigned char address[16])
{
	unsigned whole = c->bits / 8, rest = c->bits % 8;

	if (memcmp(c->octets, address, whole) != 0)
		return false;
	return rest == 0 || (unsigned)(c->octets[whole] ^ address[whole]) >> (8 - rest) == 0;
}
