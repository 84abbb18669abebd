/*
 * each.h - the answer to the content where every recipient has one of its own. Under PRDR; without it by LMTP for one recipient only.
 */
#ifndef RELAY_EACH_H
#define RELAY_EACH_H

#include "relay/tx.h"

/* Recipients the client was told 2yz for. */
size_t each_count(const struct tx *t);
/* Rules have refused every one of them. */
void each_ruled(struct tx *t);
/* The next hop's answer for the next one of those it accepted; `last`: it has no word for all. */
void each_reply(struct tx *t, const struct reply *r, bool last);
/* And its word for all. */
void each_end(struct tx *t, const struct reply *r);
/* Some have their answer and no more of the next hop's will come: the others get f. */
void each_fault(struct tx *t, const struct fault *f);

#endif
