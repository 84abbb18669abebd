/*
 * plan.h - what a sealing listener does to a copy (DESIGN.md section 4). No I/O: a table in code.
 */
#ifndef RELAY_PLAN_H
#define RELAY_PLAN_H

#include "auth/dkim2/dkim2.h"
#include "config/conf.h"

enum plan_kind {
	PLAN_NOTHING,   /* leaves as it is */
	PLAN_ORIGINATE, /* m=1, i=1 */
	PLAN_EXTEND,    /* next i= */
	PLAN_REFUSE     /* fault */
};

struct plan {
	enum plan_kind kind;
	bool enforce;             /* the newest seal must fit the envelope when it leaves */
	const char *d;            /* ORIGINATE, EXTEND: domain whose active keys sign */
	const char *why;          /* for the log: a word */
	struct fault fault;
};

struct plan_facts {
	const struct conf *conf;
	const struct conf_listener *listener;
	const struct dkim2_verdict *came; /* the message as it came */
	struct slice mail_from_domain;    /* normal; empty: null sender */
	bool mail_from_null;
	const struct slice *from;         /* domains of every From field, normal; 0: none, or none that can be read */
	size_t from_count;
	bool from_single;                 /* there is one From field, and it can be read */
	bool known_client;
};

/* Did it come with anything of a chain? */
bool plan_chain(const struct dkim2_verdict *came);

struct plan plan_make(const struct plan_facts *f);

/* An active key's domain that all of these follow, the longest; NULL: none. Empty slices are skipped. */
const char *plan_domain(const struct conf *conf, const struct slice *from, size_t from_count, struct slice mail_from_domain);

#endif
