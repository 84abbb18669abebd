#include <arpa/inet.h>

#include "base/ip.h"

static const unsigned char v4_head[12] = { [10] = 0xff, [11] = 0xff };

bool ip_parse(struct slice text, unsigned char out[16])
{
	char copy[INET6_ADDRSTRLEN];
	unsigned char octets[16] = { [10] = 0xff, [11] = 0xff };

	if (text.n == 0 || text.n >= sizeof(copy) || slice_find(text, '\0') != text.n)
		return false;
	memcpy(copy, text.at, text.n);
	copy[text.n] = '\0';
	if (slice_find(text, ':') == text.n) {
		if (inet_pton(AF_INET, copy, octets + 12) != 1)
			return false;
	} else if (inet_pton(AF_INET6, copy, octets) != 1) {
		return false;
	}
	memcpy(out, octets, sizeof(octets));
	return true;
}

bool ip_is_v4(const unsigned char address[16])
{
	return memcmp(address, v4_head, sizeof(v4_head)) == 0;
}

void ip_text(const unsigned char address[16], char out[IP_TEXT])
{
	if (ip_is_v4(address))
		inet_ntop(AF_INET, address + 12, out, IP_TEXT);
	else
		inet_ntop(AF_INET6, address, out, IP_TEXT);
}
