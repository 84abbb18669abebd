/*
 * then.h - what a rule does: accept, bypass, or a reply with its text. Pure; inside the room.
 */
#ifndef POLICY_THEN_H
#define POLICY_THEN_H

#include "policy/rule.h"

enum { THEN_TEXT = 200 }; /* octets of the configured text */

struct then {
	enum ruling_kind kind;
	short basic;
	char enhanced[12];
	struct slice text; /* {fact} in it stands for known names only; empty: the default of the kind */
};

/* "refuse 550 5.7.1 TEXT"; false: *error_out says what is wrong. */
bool then_parse(struct arena *a, struct slice text, struct then *out, const char **error_out) HS_MUST_USE;

/* Are all facts known that stand in its text? */
bool then_ready(const struct then *t, const struct facts *f);
/* Does one of them become known at this stage or later? */
bool then_wants(const struct then *t, enum fact_stage stage);
bool then_looks_at(const struct then *t, struct slice name);

/* The reply: an unknown fact reads "unknown", octets that are not printable ASCII become '?'. */
void then_fault(const struct then *t, const struct facts *f, struct fault *out);

#endif
