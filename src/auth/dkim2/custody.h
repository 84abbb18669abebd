/*
 * custody.h - does each hop follow from the one before, and the envelope from the newest? Pure. For this room only.
 * Source: spec sections 10.5 and 10.6
 */
#ifndef AUTH_DKIM2_CUSTODY_H
#define AUTH_DKIM2_CUSTODY_H

#include "auth/dkim2/chain.h"

/*
 * custody_break - what is wrong with seals[index] and what it says of the hop before, and of its own d=
 * Out:   no words: nothing
 */
struct reason custody_break(struct arena *a, const struct chain *c, size_t index);

/*
 * custody_follows - may a hop signed d= (normal), with this mf= (or nd=), come after `before`?
 * In:    mf_domain empty with mf_null for <>; has_nd: the new hop has nd= instead
 * Out:   the words for what is wrong, with i= of the new hop; none: nothing
 */
struct reason custody_follows(struct arena *a, const struct dkim2_hop *before, uint64_t i, struct slice d,
    struct slice mf_domain, bool mf_null, bool has_nd);

/*
 * custody_envelope - does it match mf= and rt= of the seal?
 * Out:   the words for the first mismatch; none: none
 * Cost:  n log n of both lists
 */
struct reason custody_envelope(struct arena *a, const struct seal *s, const struct dkim2_envelope *envelope);

#endif
