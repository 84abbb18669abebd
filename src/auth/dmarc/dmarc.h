/*
 * dmarc.h - DMARC (RFC 9989): which policy is there for the author domain, and does what DKIM and SPF found align with it? Pure.
 *
 * No public suffix list: policy and organisational domain come from the DNS alone, by tree walk. What was decided where RFC 9989
 * leaves it open:
 *
 *   - several author domains in one From field: each is judged, and the strictest outcome is the result (11.5 names it); above
 *     LIMIT_DMARC_AUTHORS the result is permerror
 *   - a temporary failure that the result depends on is temperror, never none, pass or fail (5.3.6). A record at the author domain
 *     is the policy whatever fails above it, and an identifier equal to the author domain then aligns (4.10.1, 4.10.2)
 *   - a tag twice: the first one counts, the other is a syntax error in the remainder (4.8)
 *   - a record without a valid policy and without rua ends the matter, no other one is looked for (4.10.1)
 */
#ifndef AUTH_DMARC_DMARC_H
#define AUTH_DMARC_DMARC_H

#include "auth/asks.h"

enum dmarc_state { DMARC_NONE, DMARC_PASS, DMARC_FAIL, DMARC_PERMERROR, DMARC_TEMPERROR };
const char *dmarc_state_name(enum dmarc_state state); /* "pass" */
enum dmarc_policy { DMARC_POLICY_NONE, DMARC_POLICY_QUARANTINE, DMARC_POLICY_REJECT };
const char *dmarc_policy_name(enum dmarc_policy policy); /* "quarantine" */

struct dmarc_terms {
	const struct slice *from;   /* domains of every From field, normal (from_domains()), duplicates possible */
	size_t from_count;
	bool from_single;           /* one From field, and it can be read; else the result is permerror and never pass */
};

struct dmarc_verdict {
	enum dmarc_state state;
	struct slice reason;        /* our words, printable ASCII; empty: none */
	struct slice author;        /* the domain it was evaluated for; of several the one with the strictest outcome */
	bool several;               /* there are others: what speaks for this one does not speak for them */
	struct slice domain;        /* where the policy record that applies stands; empty: none */
	struct slice organisational;/* of the author domain; empty: not known */
	enum dmarc_policy policy;   /* what the record asks for this domain: p, sp or np. With pass nobody asked whether the domain exists: never np */
	const char *tag;            /* "p", "sp", "np": which that was; "" without a record */
	enum dmarc_policy disposition; /* what the outcome asks for: none unless it is fail; one step milder with t=y */
	bool testing;               /* t=y */
	bool dkim_aligned, spf_aligned; /* by which it passes */
	struct slice dkim_domain, spf_domain; /* that aligned; empty: none */
	bool adkim_strict, aspf_strict;
	struct slice rua, ruf, fo;  /* for the reports to come, as written, printable, at most LIMIT_DMARC_URIS octets; empty: none */
};

struct dmarc;
/* Asks for the records of the From domains right away: at most 8 a domain (4.10). In: copied. NULL: no memory. */
struct dmarc *dmarc_new(struct arena *a, struct asks *asks, const struct dmarc_terms *terms);
/*
 * dmarc_found - what DKIM and SPF found, once they are done
 * In:    domains that pass, normal, copied. spf: of the MAIL FROM identity, which a null path takes from HELO (RFC 7208 2.4),
 *        never of the HELO identity (4.4.2); empty: none. *_temporary: one of them is a temperror, of whatever domain: without
 *        alignment the result is temperror then, for it might pass later (5.3.6)
 */
void dmarc_found(struct dmarc *d, const struct slice *dkim, size_t dkim_count, struct slice spf, bool dkim_temporary, bool spf_temporary);
/*
 * The same for callers that know the domains of what is a temperror (d= of the signature, domain of MAIL FROM), normal, copied:
 * only those count that could align, so that no stranger's unreachable key softens a fail. Before dmarc_found(), which gets
 * false then.
 */
void dmarc_unsure(struct dmarc *d, const struct slice *domains, size_t count);
/* False: awaits answers or dmarc_found(); without a record it does not need the latter. */
bool dmarc_step(struct dmarc *d);
const struct dmarc_verdict *dmarc_verdict(const struct dmarc *d);

#endif
