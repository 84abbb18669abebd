/*
 * bounce.h - a report to whoever is to hear what became of recipients (RFC 3461 to 3464, 6533; DESIGN.md section 4), as a message that
 * goes into the spool like any other. No I/O: the caller puts it there.
 */
#ifndef QUEUE_BOUNCE_H
#define QUEUE_BOUNCE_H

#include "config/conf.h"
#include "mail/dsn.h"
#include "spool/format.h"

/* One recipient, and what became of it. */
struct bounce_rcpt {
	const struct spool_rcpt *rcpt;
	enum dsn_action action;    /* FAILED, DELAYED, DELIVERED or RELAYED */
	short code;                /* of the next hop's answer; 0: ours */
	const char *enhanced;      /* RFC 3463; empty: by code */
	struct slice text;         /* its words, or ours */
	const char *next_hop;      /* NULL: none */
	int64_t last_attempt_s;    /* 0: there was none */
};

struct bounce_terms {
	const struct conf *conf;
	const struct spool_envelope *envelope; /* of the message that is reported on */
	const struct dkim2_verdict *came;      /* its chain when it came; NULL: not judged */
	struct slice header, body;             /* as it was sent, or is kept */
	int64_t now_s;
	int64_t retry_until_s;                 /* for DELAYED */
	struct slice id;                       /* of the report: its name in the spool */
	struct slice boundary_seed;            /* any octets, another each time */
};

enum bounce_made {
	BOUNCE_MADE,
	BOUNCE_NOT_WANTED, /* nobody asked: NOTIFY (RFC 3461 4.1); nothing is to be logged */
	BOUNCE_SUPPRESSED, /* nobody hears of it: why_out, a word for the log (dsn_suppressed) */
	BOUNCE_CANNOT      /* no memory, or a value that no report can hold: why_out */
};

struct bounce_report {
	struct spool_envelope envelope; /* of the report */
	struct slice header;            /* its fields, without the empty line */
	const struct slice *body;       /* runs */
	size_t runs;
	bool aligned;                   /* false: dsn_unaligned */
	struct slice d;                 /* who seals it */
	size_t rcpts;                   /* how many it tells of */
};

/*
 * bounce_write - one report on those of the recipients that somebody is to hear of
 * Out:   names only recipients of `rcpts` that it tells of: the caller hands in those of one copy
 */
enum bounce_made bounce_write(struct arena *a, const struct bounce_terms *t, const struct bounce_rcpt *rcpts, size_t n,
    struct bounce_report *out, const char **why_out);

/* Does anybody want to hear this of the recipient? NOTIFY, NEVER included; without NOTIFY failures and delays. */
bool bounce_wanted(const struct spool_rcpt *r, enum dsn_action action);

#endif
