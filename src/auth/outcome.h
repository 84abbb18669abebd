/*
 * outcome.h - what DMARC's result comes to, seen together with the chains that explain a failure (RFC 9989, RFC 8617 section 9). Pure.
 */
#ifndef AUTH_OUTCOME_H
#define AUTH_OUTCOME_H

#include "auth/findings.h"

enum outcome_override { /* what the report calls it: RFC 9990, PolicyOverrideType */
	OVERRIDE_NONE,
	OVERRIDE_DKIM2,       /* a chain that is Fully Verified tells what was changed and who sent it on */
	OVERRIDE_ARC          /* a sealer that is trusted says that the author's domain passed */
};
const char *outcome_override_name(enum outcome_override override); /* "none", "dkim2", "arc" */

struct outcome {
	enum dmarc_policy disposition;
	/* It cannot be told yet: an answer that is missing decides between refusing and not. */
	bool temporary;
	enum outcome_override override;
	bool arc_trusted;     /* the newest seal of a chain that passes is of a trusted sealer */
	bool arc_vouches;     /* and one of the trusted sets on top says dmarc=pass for the author's domain, the only one there is */
};

/*
 * outcome_make - from what was found; a mechanism that was not looked for says nothing
 * In:    trusted: domains (normal) whose ARC sets are believed, also below them
 */
struct outcome outcome_make(struct arena *a, const struct findings *f, const char *const *trusted, size_t trusted_count);

#endif
