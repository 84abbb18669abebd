/*
 * mx.h - which hosts mail for a domain goes to (RFC 5321 5.1, RFC 7505, RFC 2782's idea of equal preference). Pure.
 */
#ifndef ROUTE_MX_H
#define ROUTE_MX_H

#include "auth/keyrec.h"
#include "base/arena.h"
#include "base/fault.h"

struct mx_hosts {
	struct slice *hosts;   /* normal names, in the order they are to be tried in, none twice */
	size_t n;              /* at most LIMIT_MX_HOSTS */
	bool implicit;         /* there is no MX: the domain itself */
};

/*
 * mx_order - what an MX answer comes to
 * In:    domain normal; status and records as the DNS said (record data on the wire, names in full); self: names of ours, normal; seed:
 *        shuffles hosts of equal preference
 * Out:   hosts in ascending preference; ours, and all that are not better than ours, are left out (RFC 5321 5.1); a name that cannot be a
 *        host is left out
 * Fault: NULL_MX (556 5.1.10, RFC 7505), NO_DOMAIN (550 5.1.2: NXDOMAIN), MAIL_LOOP (554 5.4.6: we are the best of them), NEXT_HOP_DNS
 *        (451 4.4.3: no answer), NO_ROUTE (550 5.1.2? every host unusable), NO_MEMORY
 */
bool mx_order(struct arena *a, struct slice domain, enum dns_status status, const struct slice *records, size_t count,
    const struct slice *self, size_t self_count, uint64_t seed, struct mx_hosts *out, struct fault *f) HS_MUST_USE;

#endif
