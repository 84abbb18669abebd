/*
 * from.h - whose is the From field? (spec section 10.9) Pure. For this room only; dkim2_from_authentic() is public.
 */
#ifndef AUTH_DKIM2_FROM_H
#define AUTH_DKIM2_FROM_H

#include "auth/dkim2/dkim2.h"

/*
 * All domains of all From fields, normal, in the arena. False: no From field, one that is no address list, or more than
 * LIMIT_ADDR_LIST octets of them: that message has no Authentic From under any domain.
 */
bool from_domains(struct arena *a, const struct header *h, struct slice **domains_out, size_t *n_out) HS_MUST_USE;

#endif
