/*
 * cidr.h - networks. Pure, allocates nothing.
 */
#ifndef POLICY_CIDR_H
#define POLICY_CIDR_H

#include "base/slice.h"

struct cidr {
	unsigned char octets[16]; /* IPv4 as ::ffff:a.b.c.d */
	unsigned bits;            /* of the 128 */
};

/* "192.0.2.0/24", "2001:db8::/32", a single address; false: neither, or host bits set. */
bool cidr_parse(struct slice text, struct cidr *out) HS_MUST_USE;
bool cidr_holds(const struct cidr *c, const unsigned char address[16]);

#endif
