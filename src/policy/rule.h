/*
 * rule.h - policy: facts in, ruling out (INTERFACE.md section 3). Pure.
 *
 * Rules run in order, each as soon as all its facts are known; the first that matches rules. A condition is
 *   FACT = VALUE | FACT != VALUE | FACT in LIST        LIST: values separated by blanks or commas
 * and all conditions of a rule's `when` must hold; an empty `when` always does. A ruling is
 *   accept | bypass | refuse CODE ENHANCED TEXT | defer CODE ENHANCED TEXT         {fact} in TEXT is replaced
 * refuse takes 5xx and 5.x.x, defer 4xx and 4.x.x; TEXT, or all three, may be left out. `bypass` is accept, and
 * asks that no check be made that has not been made yet.
 *
 * A value is, by the type of its fact: a word; an address or network; a domain, or ".domain" for all below it; a
 * path, brackets or not; a number, or N..M with `in`; a SHA-256 fingerprint in hexadecimal, with or without colons, or "none"; for
 * a text anything, without `in`.
 */
#ifndef POLICY_RULE_H
#define POLICY_RULE_H

#include "base/arena.h"
#include "base/fault.h"
#include "policy/cidr.h"

/* fact.def rows: name in the configuration, enum, type, when it is known, values. */
enum fact {
#define FACT(id, name, type, stage, words) FACT_##id,
#include "policy/fact.def"
#undef FACT
	FACT_COUNT
};

/* Stages in order; a fact of a later stage is not known at an earlier one. */
enum fact_stage { STAGE_CONNECT, STAGE_HELO, STAGE_MAIL, STAGE_RCPT, STAGE_JUDGE };

struct facts {
	bool known[FACT_COUNT];
	struct slice value[FACT_COUNT]; /* text of each, borrowed; an address for `client` */
};

void facts_set(struct facts *f, enum fact fact, struct slice value);

enum ruling_kind { RULING_NONE /* not decided yet */, RULING_ACCEPT, RULING_BYPASS, RULING_REFUSE, RULING_DEFER };
const char *ruling_name(enum ruling_kind kind); /* "refuse" */

struct ruling {
	enum ruling_kind kind;
	const char *rule;      /* name of the rule, "otherwise" */
	struct fault fault;    /* with REFUSE and DEFER: what the client is told, printable ASCII */
};

struct policy;

struct rule_text {
	const char *name;
	const char *const *when;
	size_t when_count;
	const char *then;
};

/*
 * policy_new - one policy from its parts, all text borrowed for the policy's life
 * In:    otherwise NULL: "accept"
 * Fault: NULL and *error_out (static or arena text): "what, what was expected" of rule `*rule_out` (rule_count: of
 *        otherwise). NULL and "out of memory" too.
 */
struct policy *policy_new(struct arena *a, const char *name, const struct rule_text *rules, size_t rule_count,
    const char *otherwise, const char **error_out, size_t *rule_out);

/* Its parts as they were handed in, for showing. */
const char *policy_name(const struct policy *p);
size_t policy_text(const struct policy *p, const struct rule_text **rules_out, const char **otherwise_out);

/* The rules an `inbound` listener has when its configuration names none. NULL: no memory. */
struct policy *policy_built_in(struct arena *a);

/*
 * policy_rule - the first rule that matches, RULING_NONE while an earlier rule still lacks a fact
 * In:    p NULL accepts; `last`: no more facts will come, an unknown fact makes its condition false, and there is
 *        always a ruling
 * Out:   a fault whose text is cut and cleaned; rule borrowed from the policy. Without memory for the comparison: a
 *        defer with NO_MEMORY.
 */
struct ruling policy_rule(const struct policy *p, const struct facts *f, bool last);

/*
 * Does a rule look at a fact that becomes known at this stage or later? (No work for nothing, and a service that
 * never gets there can be told at load.) p NULL: no.
 */
bool policy_wants(const struct policy *p, enum fact_stage stage);
/* Does a rule look at a fact of that name, or one whose name goes on behind it with a dot ("spf", "spf.domain")? p NULL: no. */
bool policy_looks_at(const struct policy *p, struct slice name);

#endif
