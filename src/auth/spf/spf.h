/*
 * spf.h - may this client speak for this domain? SPF (RFC 7208), all of check_host(). Pure.
 *
 * What a record asks for travels together: the evaluation goes on past a question without an answer, as if the term it belongs to did
 * not match, and asks what comes behind it too. Limits are counted in the order of the record all the same, so no verdict depends on
 * which answer came first.
 */
#ifndef AUTH_SPF_SPF_H
#define AUTH_SPF_SPF_H

#include "auth/asks.h"

enum spf_state { SPF_NONE, SPF_PASS, SPF_NEUTRAL, SPF_SOFTFAIL, SPF_FAIL, SPF_PERMERROR, SPF_TEMPERROR };
/* "none", "pass", ... as RFC 8601 2.7.2 has them. */
const char *spf_state_name(enum spf_state state);
enum spf_scope { SPF_MFROM, SPF_HELO };

struct spf_terms {
	unsigned char client[16];   /* IPv4 as ::ffff:a.b.c.d */
	struct slice helo;          /* as the client said it; may be empty, an address literal, or no name at all */
	struct slice mail_from;     /* the mailbox without brackets and parameters; empty: null path, the HELO identity is checked */
	enum spf_scope scope;       /* HELO: mail_from is not looked at */
	struct slice hostname;      /* ours, for %{r}; empty: "unknown" */
	int64_t now;                /* for %{t} */
	bool explain;               /* look exp= up */
};

struct spf_verdict {
	enum spf_state state;
	enum spf_scope scope;       /* HELO for a null path too */
	struct slice domain;        /* that was checked, normal; empty: none */
	struct slice mechanism;     /* that matched, as written in the record, printable ASCII, LIMIT_REASON; empty: none */
	struct slice explanation;   /* of a fail, printable ASCII, LIMIT_SPF_EXPLANATION; empty: none */
	struct slice reason;        /* our words for permerror and temperror, printable ASCII */
	unsigned lookups;           /* terms that asked, at most LIMIT_SPF_TERMS; exp= is not counted */
	unsigned voids;             /* of them, those whose name or type was not there */
};

struct spf;
/* The terms are copied. NULL: no memory. */
struct spf *spf_new(struct arena *a, struct asks *asks, const struct spf_terms *terms);
/*
 * spf_step - as far as the answers go
 * Out:   false: call again when asks has more answers. True: the verdict is there, and stays.
 * Fault: no memory is a temperror, and so is a question that asks may not ask any more
 */
bool spf_step(struct spf *s);
/* After spf_step() was true. */
const struct spf_verdict *spf_verdict(const struct spf *s);

#endif
