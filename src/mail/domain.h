/*
 * domain.h - domain names as the mail protocols compare them. Pure.
 */
#ifndef MAIL_DOMAIN_H
#define MAIL_DOMAIN_H

#include "base/arena.h"

/*
 * domain_normal - lower case A-labels without a final dot (RFC 5890, via libidn2)
 * In:    a domain as it stands in a path, a From field or a d= tag; 8-bit octets are UTF-8 U-labels
 * Out:   1..253 octets in the arena, or, for a pure ASCII lower-case name, the input itself
 * Fault: false for an empty name, an empty or overlong label, octets no host name or address literal holds.
 *        An address literal ("[...]") is given back in lower case.
 */
bool domain_normal(struct arena *a, struct slice name, struct slice *normal_out) HS_MUST_USE;

/* domain-name, and selector, of RFC 6376 3.1 and 3.5, or the same in U-labels (RFC 8616 3): as above, but no literal and no final dot. */
bool domain_name_normal(struct arena *a, struct slice name, struct slice *normal_out) HS_MUST_USE;

/*
 * domain_follows - the relaxed domain match: x equals y, or does once labels are dropped from its left
 * In:    two normal domains (domain_normal)
 * Source: draft-ietf-dkim-dkim2-spec-09, relaxed domain match
 */
bool domain_follows(struct slice x, struct slice y);

/* Letters, digits, '-', '_' in labels of 1..63 octets joined by '.', 1..253 octets in all; no final dot. Case is free. */
bool domain_valid(struct slice name);

#endif
