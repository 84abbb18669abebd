/*
 * lookup.h - questions that wait for their answers, for hopsealctl. The resolver's settings and code, on a loop of its own.
 */
#ifndef DAEMON_LOOKUP_H
#define DAEMON_LOOKUP_H

#include "auth/keyrec.h"

struct lookup;

/*
 * lookup_new - resolver and trust_anchor as in the configuration's dns group; timeout_ms: of one call
 * Fault: NULL with the reason in error_out (one line, no line end)
 */
struct lookup *lookup_new(const char *resolver, const char *trust_anchor, unsigned timeout_ms, char error_out[256]);
void lookup_free(struct lookup **l);
/* What the operator should know about validation, one line; NULL: nothing. */
const char *lookup_warning(const struct lookup *l);

struct lookup_ask {
	struct slice name; /* any case, final dot optional */
	unsigned qtype;    /* RFC 1035 number */
	enum dns_status status;
	const struct slice *records; /* as on the wire, names in full, a TXT record's strings joined; in the arena */
	size_t count;
	bool secure;
};

/* Asks all of them at once and returns when each has its answer; what does not come in time is DNS_TIMEOUT. */
void lookup_many(struct lookup *l, struct arena *a, struct lookup_ask *asks, size_t n);
enum dns_status lookup_txt(struct lookup *l, struct slice name, struct arena *a, const struct slice **records_out, size_t *n_out,
    bool *secure_out);

#endif
