/*
 * verdict.h - what the engines found, told: to the log, to the counters, and to the rules as facts.
 */
#ifndef RELAY_VERDICT_H
#define RELAY_VERDICT_H

#include "relay/tx.h"

/* Once all is found: events of its findings, counters, facts; t->outcome and t->findings are there afterwards. */
void verdict_take(struct tx *t);
/* Once the rules have spoken: what a DMARC report will need of this message (proto/log.schema.json, dmarc_result). */
void verdict_report(struct tx *t);
/* An event about the chain, with its reason. */
void verdict_chain_event(const struct tx *t, const char *name, const struct dkim2_verdict *v);
/* Does the client have its chains extended whatever they are worth (spec 9.3, 20.16)? */
bool verdict_arranged(const struct tx *t);

#endif
