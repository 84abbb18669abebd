/*
 * deliver.h - one copy on its way out of the spool: a connection to the first of its next hops that serves, the envelope, the content, and
 * what became of each recipient. It knows nothing of the spool, of seals, of retries.
 *
 * A next hop that cannot be reached, puts off MAIL or is lost before the content is followed by the next one of the list; what else it says
 * of MAIL, and later, counts. One that is known to lack what the message needs comes last, and before it one that was down within the last
 * minute. After the final dot a lost answer is DELIVER_LATER with `lost_final`: it may have been taken.
 */
#ifndef RELAY_DELIVER_H
#define RELAY_DELIVER_H

#include "net/upstream.h"

struct deliver;

enum deliver_outcome {
	DELIVER_TAKEN,
	DELIVER_LATER, /* 4yz, or nobody was reached */
	DELIVER_NEVER  /* 5yz, or the next hop lacks what the message needs: 5.6.3, 5.6.7, 5.3.4, 5.7.30 */
};

struct deliver_rcpt {
	struct slice path;         /* bracketed */
	struct srv_params params;  /* notify, orcpt */
	/* when it is over */
	enum deliver_outcome outcome;
	short code;                /* of the answer that decided (LATER though it is 5yz: it would not greet, or spoke before its turn); 0: no
	                            * answer, `why` tells. 452 with `why`: not said to the next hop, which takes no more at a time (RFC 9422) */
	char enhanced[12];         /* empty: none was said */
	struct slice text;         /* of that answer, in the arena; lines joined by a blank */
	struct fault why;          /* ours, where it decided */
	bool relayed;              /* taken by a next hop that has no DSN: who asked for a report of success gets ours (RFC 3461 5.2.2) */
};

struct deliver_job {
	struct loop *loop;
	struct arena *arena;
	struct next_hop *const *hops;  /* in order of preference; copied, and held until deliver_free() */
	size_t hop_count;              /* 1..LIMIT_MX_HOSTS */
	struct slice mail_from;        /* bracketed */
	struct srv_params params;      /* of MAIL; size_octets is set here */
	struct deliver_rcpt *rcpts;    /* borrowed until the end */
	size_t rcpt_count;
	const struct slice *runs;      /* fields, the empty line, body: borrowed until the end */
	size_t run_count;
	bool dots;                     /* a line of it may begin with a dot */
	uint64_t octets;               /* of all runs */
	const char *listener, *name;   /* for the log */
};

struct deliver_end {
	const char *next_hop;          /* name of the last one tried; NULL: none */
	char address[64];              /* its address; empty: not known */
	const char *tls_version, *tls_cipher; /* NULL: in clear; good during the callback */
	bool reached;                  /* one of them has answered EHLO: it is not the destination that is down */
	bool busy;                     /* it refused the connection or transaction for there being too many, 421, or we have pool.max to it */
	bool reused;                   /* the connection had carried another message before */
	bool lost_final;
	struct fault why;              /* where none was reached */
};

/*
 * `on` comes once, never before this returns; then every recipient has its outcome, and the connection is given back when it returns. NULL:
 * no memory.
 */
struct deliver *deliver_start(const struct deliver_job *job, void (*on)(void *arg, const struct deliver_end *end), void *arg);
/* Before `on` came: stops at once (connection dropped); `on` does not come. After it: frees what is left. */
void deliver_free(struct deliver **d);
/* Has its final dot gone out? It is not to be stopped then, if that can be helped. */
bool deliver_dot_said(const struct deliver *d);

#endif
