#include "base/ip.h"
#include "config/endpoint.h"
#include "mail/domain.h"

enum { V4_AT = 12 }; /* in ::ffff:a.b.c.d */

static const unsigned char v4_head[V4_AT] = { [10] = 0xff, [11] = 0xff };

/* Host without brackets, and the port's text behind the colon; empty port: there was no colon. */
static bool split(struct slice text, struct slice *host_out, struct slice *port_out)
{
	struct slice host, port = text;

	if (text.n && text.at[0] == '[') {
		port = slice_sub(text, 1, SIZE_MAX);
		if (!slice_cut(&port, ']', &host) || slice_find(host, ':') == host.n)
			return false;
		if (port.n == 1 || (port.n && port.at[0] != ':'))
			return false;
		port = slice_sub(port, 1, SIZE_MAX);
	} else if (slice_cut(&port, ':', &host) && (port.n == 0 || slice_find(port, ':') != port.n)) {
		return false;
	}
	*host_out = host;
	*port_out = port;
	return true;
}

void endpoint_make(const unsigned char address[16], uint16_t port, struct sockaddr_storage *sa_out, socklen_t *len_out)
{
	memset(sa_out, 0, sizeof(*sa_out));
	if (ip_is_v4(address)) {
		struct sockaddr_in *sa = (struct sockaddr_in *)sa_out;

		sa->sin_family = AF_INET;
		sa->sin_port = htons(port);
		memcpy(&sa->sin_addr, address + V4_AT, 4);
		*len_out = sizeof(*sa);
	} else {
		struct sockaddr_in6 *sa = (struct sockaddr_in6 *)sa_out;

		sa->sin6_family = AF_INET6;
		sa->sin6_port = htons(port);
		memcpy(&sa->sin6_addr, address, 16);
		*len_out = sizeof(*sa);
	}
}

bool endpoint_octets(const struct sockaddr_storage *sa, unsigned char address_out[16])
{
	if (sa->ss_family == AF_INET) {
		memcpy(address_out, v4_head, V4_AT);
		memcpy(address_out + V4_AT, &((const struct sockaddr_in *)sa)->sin_addr, 4);
		return true;
	}
	if (sa->ss_family != AF_INET6)
		return false;
	memcpy(address_out, &((const struct sockaddr_in6 *)sa)->sin6_addr, 16);
	return true;
}

bool endpoint_parse(struct slice text, unsigned default_port, struct sockaddr_storage *sa_out, socklen_t *len_out)
{
	struct slice host, port_text;
	unsigned char address[16];
	uint64_t port = default_port;

	if (!split(text, &host, &port_text) || !ip_parse(host, address))
		return false;
	if (port_text.n && (port_text.n > 5 || !slice_u64(port_text, 65535, &port)))
		return false;
	if (port == 0 || (ip_is_v4(address) && text.at[0] == '['))
		return false;
	endpoint_make(address, (uint16_t)port, sa_out, len_out);
	return true;
}

/* RFC 1123 2.1: what ends in a number was meant to be an address. */
static bool ends_in_number(struct slice host)
{
	size_t n = 0;

	while (n < host.n && host.at[host.n - 1 - n] != '.')
		if (!ascii_digit(host.at[host.n - 1 - n++]))
			return false;
	return true;
}

bool endpoint_name(struct slice text, struct slice *host_out, uint16_t *port_out)
{
	struct slice host, port_text;
	uint64_t port;

	if (!split(text, &host, &port_text) || !domain_valid(host) || ends_in_number(host))
		return false;
	if (port_text.n > 5 || !slice_u64(port_text, 65535, &port) || port == 0)
		return false;
	*host_out = host;
	*port_out = (uint16_t)port;
	return true;
}

struct slice endpoint_host(struct slice text)
{
	struct slice host, port;

	return split(text, &host, &port) ? host : text;
}

static struct slice octets(const struct sockaddr_storage *sa)
{
	if (sa->ss_family == AF_INET)
		return slice_of(&((const struct sockaddr_in *)sa)->sin_addr, 4);
	return slice_of(&((const struct sockaddr_in6 *)sa)->sin6_addr, 16);
}

uint16_t endpoint_port(const struct sockaddr_storage *sa)
{
	if (sa->ss_family == AF_INET)
		return ntohs(((const struct sockaddr_in *)sa)->sin_port);
	return ntohs(((const struct sockaddr_in6 *)sa)->sin6_port);
}

bool endpoint_loopback(const struct sockaddr_storage *sa)
{
	static const unsigned char one[16] = { [15] = 1 };
	struct slice s = octets(sa);

	return s.n == 4 ? s.at[0] == 127 : slice_eq(s, slice_of(one, sizeof(one)));
}

bool endpoint_wild(const struct sockaddr_storage *sa)
{
	struct slice s = octets(sa);

	for (size_t i = 0; i < s.n; i++)
		if (s.at[i])
			return false;
	return true;
}

bool endpoint_clash(const struct sockaddr_storage *x, const struct sockaddr_storage *y)
{
	if (x->ss_family != y->ss_family || endpoint_port(x) != endpoint_port(y))
		return false;
	return slice_eq(octets(x), octets(y)) || endpoint_wild(x) || endpoint_wild(y);
}

bool endpoint_reaches(const struct sockaddr_storage *to, const struct sockaddr_storage *on)
{
	if (to->ss_family != on->ss_family || endpoint_port(to) != endpoint_port(on))
		return false;
	return slice_eq(octets(to), octets(on)) || (endpoint_wild(on) && endpoint_loopback(to));
}
