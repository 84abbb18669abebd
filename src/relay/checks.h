/*
 * checks.h - the engines run on one message: questions go out as soon as the header is whole, hashes run as the body arrives, and from
 * its end on one deadline is for all questions together. Before it each has its own (net/ask.h), and nobody waits.
 */
#ifndef RELAY_CHECKS_H
#define RELAY_CHECKS_H

#include "auth/engines.h"
#include "net/ask.h"

struct checks;

/*
 * checks_new - starts on a whole header
 * In:    everything borrowed until checks_free(), but the terms; budget_ms: what is not answered so long after the end of the body is a time-out
 * Out:   NULL: no memory
 */
struct checks *checks_new(struct arena *a, struct loop *l, struct ask *ask, const struct header *h, const struct engines_terms *terms,
    unsigned budget_ms);
/* Cancels what is still asked. */
void checks_free(struct checks **c);
void checks_body(struct checks *c, struct slice octets);
/* The body is whole. True: all is found; else `on` comes once it is. */
bool checks_end(struct checks *c, void (*on)(void *arg), void *arg);

struct engines *checks_engines(const struct checks *c);
/* Each found once checks_end() was true or `on` came. */
const struct findings *checks_findings(const struct checks *c);

#endif
