/*
 * bounce.h - a report to whoever is to hear what became of recipients (RFC 3461 to 3464, 6522, 6533; DESIGN.md section 4), as a message
 * that goes into the spool like any other. Pure: the caller puts it there.
 *
 * Who hears of it was decided when the message came, and stands in its envelope (report_to, report_why): mf= of the newest seal of a chain
 * that verified, or MAIL FROM of a client that is known. A report comes from <>, so nobody hears what becomes of it (RFC 5321 6.1).
 *
 * It is sealed as a message of ours, m=1 and i=1: From is in the domain whose key signs, one that fits a recipient of the hop it goes back
 * to where there is such a key, else that of our host name (spec 15.1).
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
	const char *enhanced;      /* RFC 3463; NULL or empty, or of a class that does not fit the action: by code */
	struct slice text;         /* its words, an enhanced code in front of them if it said one, or ours */
	const char *next_hop;      /* as conf_next_hop has it, host or address, a port or not; NULL: none */
	int64_t last_attempt_s;    /* 0: there was none */
};

struct bounce_terms {
	const struct conf *conf;
	const struct spool_envelope *envelope; /* of the message that is reported on */
	const struct dkim2_verdict *came;      /* its chain when it came; NULL: not judged */
	/*
	 * As the spool keeps it, not as the copy left: what goes back to a hop is what that hop handed over (spec 15.1), and only its own seal
	 * on top lets it believe the report (15.2). Our Received stands in no hash. header: without the empty line
	 */
	struct slice header, body;
	int64_t now_s;
	int64_t retry_until_s;                 /* for DELAYED; 0: not told */
	struct slice id;                       /* of the report: its name in the spool */
	struct slice boundary_seed;            /* any octets, another each time, not to be guessed by who wrote the message */
};

enum bounce_made {
	BOUNCE_MADE,
	BOUNCE_NOT_WANTED, /* nobody asked: NOTIFY (RFC 3461 4.1); nothing is to be logged */
	BOUNCE_SUPPRESSED, /* nobody hears of it: why_out, a word for the log (dsn_suppressed) */
	BOUNCE_CANNOT      /* likewise: "memory"; "address", longer than a line holds (RFC 5322 2.1.1); "boundary" */
};

struct bounce_report {
	struct spool_envelope envelope; /* of the report; hashes of its body are not known; borrows from the one reported on */
	struct slice header;            /* its fields, without the empty line */
	const struct slice *body;       /* runs, those of the message borrowed */
	size_t runs;
	bool aligned;                   /* false: dsn_unaligned, who checks it against what is returned need not believe it */
	struct slice d;                 /* who seals it; empty: no key of ours fits, it leaves as mail of nobody's */
	size_t rcpts;                   /* how many it tells of; of SUPPRESSED and CANNOT, how many it would have told of */
};

/*
 * bounce_write - one report on those of the recipients that somebody is to hear of
 * In:    1..LIMIT_RCPT recipients of one copy
 * Out:   why_out: with SUPPRESSED and CANNOT. It names only recipients of `rcpts` that it tells of, besides those named in what is returned.
 *        One whose address no line holds is left out while there are others.
 *        Returned is the whole message if one of them failed and RET says so, or does not say and the message is small and can go where the
 *        sender's own did (RFC 3461 4.3); never of one that came with REQUIRETLS (RFC 8689 5); else its header.
 */
enum bounce_made bounce_write(struct arena *a, const struct bounce_terms *t, const struct bounce_rcpt *rcpts, size_t n,
    struct bounce_report *out, const char **why_out);

/* Does anybody want to hear this of the recipient? By NOTIFY; without it failures and delays. */
bool bounce_wanted(const struct spool_rcpt *r, enum dsn_action action);

#endif
