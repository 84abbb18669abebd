/*
 * macro.h - macro strings of SPF records and explanations (RFC 7208 section 7). Pure.
 */
#ifndef AUTH_SPF_MACRO_H
#define AUTH_SPF_MACRO_H

#include "auth/dnsrec.h"
#include "base/arena.h"

enum macro_text {
	MACRO_NAME,    /* in a domain-spec: no c, r, t */
	MACRO_TERM,    /* the value of a modifier nobody knows */
	MACRO_EXPLAIN  /* an explain-string: blanks too */
};

/* What letters stand for, by letter: of['d' - 'a']. Any octets. */
struct macro_values {
	struct slice of[26];
	unsigned char *room; /* for the longest of them */
};

/* Is it a macro-string, of visible ASCII only? An empty one is. */
bool macro_valid(struct slice text, enum macro_text where);
/* Is it a domain-spec: a macro-string that ends in a macro or in a dot and a top label? */
bool macro_domain_spec(struct slice text);
/* Does it hold this letter as a macro? In: valid. */
bool macro_uses(struct slice text, unsigned char letter);

/*
 * macro_name - a domain-spec as the name it stands for
 * In:    valid
 * Out:   in `out`, without a final dot; of a name above 253 octets as many labels from the right as fit (RFC 7208 7.3). Any octets, so
 *        it may be no name that can be asked for; empty if not one label fits.
 * Cost:  what the text is long, and what stands in the name; not what all its macros would expand to
 */
struct slice macro_name(struct slice text, const struct macro_values *values, unsigned char out[DNS_NAME_OCTETS]);

/*
 * macro_explain - an explanation
 * In:    as the DNS gave it, any octets
 * Out:   in the arena, at most LIMIT_SPF_EXPLANATION octets of printable ASCII, others that a macro brought in are '?'. Empty: it is no
 *        explain-string (RFC 7208 6.2: go on as if there were none), or no memory.
 */
struct slice macro_explain(struct arena *a, struct slice text, const struct macro_values *values);

#endif
