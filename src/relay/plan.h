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
	const char *dkim;         /* domain whose active keys sign with DKIM (NOTHING, ORIGINATE); NULL: nobody does */
	const char *bridge;       /* EXTEND: one that signs a hop with nd= d before that, since MAIL FROM does not follow from the last rt=; NULL: none */
	bool content_later;       /* the bridge leaves what changed to the hop behind it, for whose d= From is Authentic */
	bool exploded;            /* the hop says so */
	bool arranged;            /* EXTEND: the chain is not Fully Verified, and is extended by arrangement with the client */
	bool may_pass;            /* EXTEND: a copy that cannot be sealed leaves as it came */
	bool bound;               /* EXTEND: and that only with a newest seal that fits the envelope */
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
	bool arranged;                    /* the client is one whose chains are extended unverified */
	bool changed;                     /* content or envelope leave otherwise than they came */
	bool from_changed;                /* a From field is among that */
	size_t wanted;                    /* recipients the client named, those that were put off too */
};

/* Did it come with anything of a chain? */
bool plan_chain(const struct dkim2_verdict *came);

struct plan plan_make(const struct plan_facts *f);

/*
 * plan_domain - an active key's domain that all of these follow, the longest; NULL: none. Empty slices are skipped.
 * Two of one length that both fit are the same name, so the answer is one.
 */
const char *plan_domain(const struct conf *conf, const struct slice *from, size_t from_count, struct slice mail_from_domain);

#endif
