/*
 * mx.h - which hosts mail for a domain goes to (RFC 5321 5.1, RFC 7505). Pure.
 */
#ifndef ROUTE_MX_H
#define ROUTE_MX_H

#include "auth/keyrec.h"
#include "base/arena.h"
#include "base/fault.h"

struct mx_hosts {
	struct slice *hosts;   /* normal names in the arena, in the order they are to be tried in, none twice */
	size_t n;              /* 1..LIMIT_MX_HOSTS */
	bool implicit;         /* there is no MX: the domain itself */
};

/*
 * mx_order - what an MX answer comes to
 * In:    domain: normal, no address literal (that has no MX); status and records as struct dnsrec (auth/dnsrec.h) has them, so a record is two
 *        octets of preference and the name, lower case, empty for "."; self: names of ours, normal; seed: decides among hosts of equal
 *        preference, whatever order the answer came in
 * Out:   hosts in ascending preference. Left out are ours, and all that are not better than ours (RFC 5321 5.1); "localhost" and what is
 *        below it is ours on every machine (RFC 6761 6.3). So are names that no host can have: "." among others, an address, a hyphen at
 *        the end of a label. An underscore may stand in a name, as other servers let it.
 * Fault: NULL_MX (556 5.1.10, RFC 7505: only "."), NO_DOMAIN (550 5.1.2: NXDOMAIN), MAIL_LOOP (554 5.4.6: none is better than we are),
 *        NEXT_HOP_DNS (451 4.4.3: no answer), NO_ROUTE (550 5.1.2: no name that a host can have), NO_MEMORY
 */
bool mx_order(struct arena *a, struct slice domain, enum dns_status status, const struct slice *records, size_t count,
    const struct slice *self, size_t self_count, uint64_t seed, struct mx_hosts *out, struct fault *f) HS_MUST_USE;

#endif
