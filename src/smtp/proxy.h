/*
 * proxy.h - the header of the PROXY protocol, versions 1 and 2: who a load balancer speaks for. Pure, allocates nothing.
 * Source: HAProxy, "The PROXY protocol", versions 1 & 2
 */
#ifndef SMTP_PROXY_H
#define SMTP_PROXY_H

#include "base/slice.h"

enum proxy_status { PROXY_MORE, PROXY_DONE, PROXY_BAD };

struct proxy_header {
	size_t octets;             /* of the header */
	bool given;                /* else LOCAL or UNKNOWN: the connection's own address counts */
	unsigned char client[16];  /* IPv4 as ::ffff:a.b.c.d */
	uint16_t port;
};

/*
 * proxy_read - the header at the front of a connection
 * In:    everything that came so far, from its first octet. Either version; LIMIT_PROXY_V1, LIMIT_PROXY_V2
 * Out:   DONE: *out; what follows its octets is the client's. MORE: not whole yet. Asked with more each time, any split ends alike
 * Fault: BAD: it is none, too long, or speaks of no TCP connection; *why_out is a word for the log
 */
enum proxy_status proxy_read(struct slice in, struct proxy_header *out, const char **why_out);

enum { PROXY_OUT = 52 }; /* octets of the longest header that we write */

/* A version 2 header for a TCP connection; the octets it has. */
size_t proxy_write(const unsigned char client[16], uint16_t port, const unsigned char server[16], uint16_t server_port,
    unsigned char out[PROXY_OUT]);
/* The same for a connection of our own (LOCAL). */
size_t proxy_write_local(unsigned char out[PROXY_OUT]);

#endif
