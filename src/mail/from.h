/*
 * from.h - under which domains does the author write? (RFC 5322 3.6.2; spec section 10.9) Pure.
 */
#ifndef MAIL_FROM_H
#define MAIL_FROM_H

#include "mail/header.h"

/*
 * All domains of all From fields, normal, in the arena; several fields count together. False: no From field, one that is
 * no address list, or more than LIMIT_ADDR_LIST octets of them: that message has no author anybody could vouch for.
 */
bool from_domains(struct arena *a, const struct header *h, struct slice **domains_out, size_t *n_out) HS_MUST_USE;

#endif
