#include "base/ip.h"
#include "base/limits.h"
#include "smtp/proxy.h"

enum { V2_HEAD = 16, V2_TCP4 = 12, V2_TCP6 = 36, V2_UNIX = 216 };

static const unsigned char signature[12] = { '\r', '\n', '\r', '\n', '\0', '\r', '\n', 'Q', 'U', 'I', 'T', '\n' };

static enum proxy_status bad(const char *why, const char **why_out)
{
	*why_out = why;
	return PROXY_BAD;
}

/* 0..65535, no leading zero. */
static bool port_number(struct slice text, uint16_t *out)
{
	uint64_t n;

	if ((text.n > 1 && text.at[0] == '0') || !slice_u64(text, UINT16_MAX, &n))
		return false;
	*out = (uint16_t)n;
	return true;
}

/* "SRC DST SPORT DPORT" */
static bool read_text(struct slice rest, bool v6, struct proxy_header *h)
{
	struct slice word[4];
	unsigned char server[16];
	uint16_t server_port;

	for (int i = 0; i < 4; i++)
		if (slice_cut(&rest, ' ', &word[i]) != (i < 3))
			return false;
	for (int i = 0; i < 2; i++)
		if ((slice_find(word[i], ':') != word[i].n) != v6)
			return false;
	return ip_parse(word[0], h->client) && ip_parse(word[1], server) && port_number(word[2], &h->port) && port_number(word[3], &server_port);
}

static enum proxy_status read_v1(struct slice in, struct proxy_header *out, const char **why_out)
{
	struct slice line = slice_sub(in, 0, LIMIT_PROXY_V1), rest, family;
	struct proxy_header h = { 0 };
	size_t end = slice_find(line, '\n');

	if (end == line.n)
		return line.n < LIMIT_PROXY_V1 ? PROXY_MORE : bad("version 1 header too long", why_out);
	if (line.at[end - 1] != '\r') /* there is a P in front of it */
		return bad("version 1 header ends without CR", why_out);
	h.octets = end + 1;
	rest = slice_sub(line, 6, end - 7);
	(void)slice_cut(&rest, ' ', &family);
	if (slice_eq(family, S("TCP4")) || slice_eq(family, S("TCP6"))) {
		h.given = true;
		if (!read_text(rest, family.at[3] == '6', &h))
			return bad("version 1 header is malformed", why_out);
	} else if (!slice_eq(family, S("UNKNOWN"))) {
		return bad("version 1 header of no known family", why_out);
	}
	*out = h;
	return PROXY_DONE;
}

static uint16_t two(const unsigned char *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

/* What the addresses of a PROXY command need at least; 0: no such family. */
static size_t v2_addresses(unsigned char family)
{
	switch (family) {
	case 0x11:
		return V2_TCP4;
	case 0x21:
		return V2_TCP6;
	case 0x31:
		return V2_UNIX;
	default:
		return 0;
	}
}

static enum proxy_status read_v2(struct slice in, struct proxy_header *out, const char **why_out)
{
	struct proxy_header h = { 0 };
	const unsigned char *p = in.at;
	unsigned char command, family;
	size_t length;

	if (in.n < V2_HEAD)
		return PROXY_MORE;
	command = p[12];
	family = p[13];
	length = two(p + 14);
	if (command != 0x20 && command != 0x21)
		return bad("version 2 header of no known command", why_out);
	if (V2_HEAD + length > LIMIT_PROXY_V2)
		return bad("version 2 header too long", why_out);
	if (command == 0x21 && family != 0 && (v2_addresses(family) == 0 || length < v2_addresses(family)))
		return bad("version 2 header without TCP addresses", why_out);
	if (in.n < V2_HEAD + length)
		return PROXY_MORE;
	h.octets = V2_HEAD + length;
	h.given = command == 0x21 && (family == 0x11 || family == 0x21);
	if (h.given && family == 0x11) {
		h.client[10] = h.client[11] = 0xff;
		memcpy(h.client + 12, p + V2_HEAD, 4);
		h.port = two(p + V2_HEAD + 8);
	} else if (h.given) {
		memcpy(h.client, p + V2_HEAD, 16);
		h.port = two(p + V2_HEAD + 32);
	}
	*out = h;
	return PROXY_DONE;
}

enum proxy_status proxy_read(struct slice in, struct proxy_header *out, const char **why_out)
{
	struct slice v2 = slice_of(signature, sizeof(signature)), v1 = S("PROXY ");

	if (slice_starts(in, v2))
		return read_v2(in, out, why_out);
	if (slice_starts(in, v1))
		return read_v1(in, out, why_out);
	if ((in.n < v2.n && slice_starts(v2, in)) || (in.n < v1.n && slice_starts(v1, in)))
		return PROXY_MORE;
	return bad("no PROXY header", why_out);
}

size_t proxy_write_local(unsigned char out[PROXY_OUT])
{
	memcpy(out, signature, sizeof(signature));
	memcpy(out + sizeof(signature), "\x20\0\0", 4);
	return V2_HEAD;
}

size_t proxy_write(const unsigned char client[16], uint16_t port, const unsigned char server[16], uint16_t server_port,
    unsigned char out[PROXY_OUT])
{
	bool v4 = ip_is_v4(client) && ip_is_v4(server);
	size_t from = v4 ? 12 : 0, n = 16 - from;
	unsigned char *p = out + V2_HEAD;

	(void)proxy_write_local(out);
	out[12] = 0x21;
	out[13] = v4 ? 0x11 : 0x21;
	out[15] = v4 ? V2_TCP4 : V2_TCP6;
	memcpy(p, client + from, n);
	memcpy(p + n, server + from, n);
	p += 2 * n;
	p[0] = (unsigned char)(port >> 8);
	p[1] = (unsigned char)port;
	p[2] = (unsigned char)(server_port >> 8);
	p[3] = (unsigned char)server_port;
	return V2_HEAD + out[15];
}
