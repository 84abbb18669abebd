/*
 * endpoint.h - address and port, as listeners, next hops and resolvers are written. Pure, allocates nothing.
 */
#ifndef CONFIG_ENDPOINT_H
#define CONFIG_ENDPOINT_H

#include <netinet/in.h>

#include "base/slice.h"

/*
 * endpoint_parse - "192.0.2.1:25", "[2001:db8::1]:25"
 * In:    default_port 0: a port must be there
 * Fault: false: a host name, no port or one outside 1..65535, an IPv6 address without brackets or that maps an IPv4 one
 */
bool endpoint_parse(struct slice text, unsigned default_port, struct sockaddr_storage *sa_out, socklen_t *len_out)
    HS_MUST_USE;

/*
 * endpoint_name - "mx.example.net:25"
 * Out:   host_out as it is written, borrowed
 * Fault: false: an address, a name no host can have (one that ends like an address, in a number, is none), no port or one outside 1..65535
 */
bool endpoint_name(struct slice text, struct slice *host_out, uint16_t *port_out) HS_MUST_USE;

/* What stands before the port, without brackets; all of it where there is none. */
struct slice endpoint_host(struct slice text);

/* From an address as base/ip.h has it, and back; false: it is of neither family. */
void endpoint_make(const unsigned char address[16], uint16_t port, struct sockaddr_storage *sa_out, socklen_t *len_out);
bool endpoint_octets(const struct sockaddr_storage *sa, unsigned char address_out[16]);
uint16_t endpoint_port(const struct sockaddr_storage *sa);
/* 0.0.0.0 or [::] */
bool endpoint_wild(const struct sockaddr_storage *sa);
/* 127.0.0.0/8 or [::1] */
bool endpoint_loopback(const struct sockaddr_storage *sa);
/* Could both not be listened on? The same port and family, and the same address or one of them wild. */
bool endpoint_clash(const struct sockaddr_storage *x, const struct sockaddr_storage *y);
/* Does a connection to `to` reach a listener on `on`? A wild one is reached by loopback; its other addresses are not known here. */
bool endpoint_reaches(const struct sockaddr_storage *to, const struct sockaddr_storage *on);

#endif
