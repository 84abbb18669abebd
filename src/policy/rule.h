/*
 * rule.h - policy: facts in, ruling out (INTERFACE.md section 3). Pure.
 *
 * Rules run in order, each as soon as all its facts are known; the first that matches rules. A condition is
 *   FACT = VALUE | FACT != VALUE | FACT in LIST        LIST: values or networks separated by blanks or commas
 * and all conditions of a rule's `when` must hold; an empty `when` always does. A ruling is
 *   accept | bypass | refuse CODE ENHANCED TEXT | defer CODE ENHANCED TEXT         {fact} in TEXT is replaced
 * refuse takes 5xx and 5.x.x, defer 4xx and 4.x.x.
 */
#ifndef POLICY_RULE_H
#define POLICY_RULE_H

#include <netinet/in.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/fault.h"

/* fact.def rows: name in the configuration, enum, type (text, word, domain, path, address, number), when it is known. */
enum fact {
#define FACT(id, name, type, stage) FACT_##id,
#include "policy/fact.def"
#undef FACT
	FACT_COUNT
};

/* Stages in order; a fact of a later stage is not known at an earlier one. */
enum fact_stage { STAGE_CONNECT, STAGE_HELO, STAGE_MAIL, STAGE_RCPT, STAGE_JUDGE };

struct facts {
	bool known[FACT_COUNT];
	struct slice value[FACT_COUNT]; /* text of each; an address for `client` */
};

void facts_set(struct facts *f, enum fact fact, struct slice value);

struct cidr {
	unsigned char octets[16]; /* IPv4 as ::ffff:a.b.c.d */
	unsigned bits;            /* of the 128 */
};
/* "192.0.2.0/24", "2001:db8::/32", a single address; false: neither, or host bits set. */
bool cidr_parse(struct slice text, struct cidr *out) HS_MUST_USE;
bool cidr_holds(const struct cidr *c, const unsigned char address[16]);
/* Text of an address to 16 octets. */
bool cidr_address(struct slice text, unsigned char out[16]) HS_MUST_USE;

enum ruling_kind { RULING_NONE /* not decided yet */, RULING_ACCEPT, RULING_BYPASS, RULING_REFUSE, RULING_DEFER };

struct ruling {
	enum ruling_kind kind;
	const char *rule;      /* name of the rule, "otherwise" */
	struct fault fault;    /* with REFUSE and DEFER: what the client is told */
};

struct policy;

/*
 * policy_new - one policy from its parts, all text borrowed for the policy's life
 * Fault: NULL and *error_out (static or arena text): what is wrong with rule `*rule_out` (rule_count: with otherwise)
 */
struct rule_text {
	const char *name;
	const char *const *when;
	size_t when_count;
	const char *then;
};
struct policy *policy_new(struct arena *a, const char *name, const struct rule_text *rules, size_t rule_count, const char *otherwise,
    const char **error_out, size_t *rule_out);

/*
 * policy_rule - the first rule that matches, RULING_NONE while an earlier rule still lacks a fact. `last`: no more facts will come, an
 * unknown fact makes its condition false, and there is always a ruling.
 */
struct ruling policy_rule(const struct policy *p, const struct facts *f, bool last);

/* Is there a rule that could still depend on a fact of this stage, given what is known? (bypass early: no work for nothing) */
bool policy_wants(const struct policy *p, enum fact_stage stage);

#endif
