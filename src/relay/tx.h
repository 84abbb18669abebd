/*
 * tx.h - one mail transaction: what tx.c (envelope), judge.c, send.c and accept.c share. DESIGN.md sections 3 and 5.
 */
#ifndef RELAY_TX_H
#define RELAY_TX_H

#include "auth/outcome.h"
#include "relay/checks.h"
#include "relay/content.h"
#include "relay/copy.h"
#include "relay/relay.h"
#include "spool/store.h"

enum tx_state {     /* only tx_enter() writes it */
	TX_ENVELOPE, /* MAIL and RCPT, answers of the next hop awaited */
	TX_CONTENT,  /* octets of the message */
	TX_JUDGE,    /* content whole, keys awaited */
	TX_SEAL,     /* signatures awaited */
	TX_OPEN,     /* the next hop is (re)connected, MAIL and RCPT replayed */
	TX_DATA,     /* DATA said, 354 awaited */
	TX_SEND,     /* content on its way */
	TX_FINAL,    /* final dot said, answer awaited */
	TX_STORE     /* mode queue: written, and to be made durable */
};

/* MAIL (index 0) and each RCPT. */
struct tx_command {
	struct path path;
	struct srv_params params;
	uint32_t seq;
	short code;      /* what the client was told; 0: not yet */
	struct fault *ruled; /* a rule refused this recipient once the message was known, the others not; NULL */
};

/* Which next hops were tried, and how the connection there is now came to be (hop.c). */
struct tx_hops {
	const struct conf_route *route; /* NULL: no recipient has chosen one */
	size_t at;                 /* of tx.hop in it */
	uint32_t tried;            /* a bit each: not to be tried again */
	unsigned failed;           /* how many of them */
	struct fault why;          /* of the one that failed; NEXT_HOP_DOWN when several did, unless all for the same lasting reason */
	unsigned takes;            /* connections taken to tx.hop */
	bool opened;               /* the connection was ready */
	bool reused;               /* it came from the pool */
	bool answered;             /* and has answered MAIL */
	int64_t until_ms;          /* one must have answered MAIL; 0: nobody is asked */
};

struct tx {
	struct pair *pair;
	enum tx_state state;
	char name[32];
	struct tx_hops hops;
	struct next_hop *hop;      /* that has the transaction, or had it last; NULL: none yet */
	bool mail_ours;            /* the 250 to MAIL was ours: no next hop has answered it */
	struct upstream *up;
	struct upstream_wait wait; /* for a connection, where there are too many */
	bool introduced;           /* the next hop knows whose mail comes on the connection there is now */
	bool mail_open;            /* the next hop accepted MAIL on the connection there is now */
	bool lost_final;           /* the next hop was lost after the final dot */
	struct tx_command *commands; /* 0: MAIL; none that was answered here */
	size_t command_count, command_room;
	size_t sent, awaited;      /* on the connection there is now: commands looked at, answers that are due */
	size_t accepted, refused;  /* recipients, by the next hop */
	bool told_split;           /* that recipients were put off to transactions of their own */
	struct {
		size_t at;         /* command that was looked at last */
		size_t took, refused, deferred;
		bool on;           /* the client is hearing them */
	} each;                    /* answers to the content, one a recipient */
	bool by_field;             /* the next hop hears of REQUIRETLS by a field of the message, so far as it knows no better */
	bool no_field;             /* which this message cannot have */
	struct fault broken;       /* nothing more can come of this transaction */
	uint32_t end_seq;          /* of the end of content */

	struct hold *hold;
	bool header_seen;
	struct header header;
	struct dkim2_envelope envelope;
	struct slice *rcpts;
	struct checks *checks;
	struct slice *from;        /* domains */
	size_t from_count;
	bool from_single;          /* one From field, which can be read */
	struct fault found;        /* a fault of the message, told after its end */
	struct outcome outcome;    /* once the checks are done */
	struct findings findings;  /* likewise: what they found, and what explains it, as every field of ours tells it */
	struct facts facts;
	struct ruling ruling;
	struct edit *edit;
	struct copy *copy;
	struct plan plan;
	bool unshadowed;           /* the listener is not in shadow: rulings count */

	/* mode queue */
	struct spool_envelope *kept;
	struct store_put put;      /* the message on its way to the disk */

	/* what is sent: header runs, then the hold's */
	struct slice *runs;
	size_t run_count, run_at;
	size_t hold_at;
	bool dots;                 /* a line of the content as it came may begin with a dot */
	struct content content;
	int64_t begin_ms;
	int64_t whole_ms;          /* the client's final dot came, or what it heard since */
};

void tx_enter(struct tx *t, enum tx_state to);
/* The last word: tells the client (r or f), logs, gives the connection back, forgets the transaction. */
void tx_end_reply(struct tx *t, const struct reply *r);
void tx_end_fault(struct tx *t, const struct fault *f);
/* MAIL was refused by the next hop, and the client told. */
void tx_end_mail(struct tx *t, const struct reply *r);
int64_t tx_now_s(const struct tx *t);

/* judge.c */
/* The header is whole: limits, facts, and the engines start. False: t->found tells. */
void judge_header(struct tx *t);
void judge_whole(struct tx *t);
/* Rules whose facts are known by now; true: there is a refusal for the client in *f_out. */
bool judge_rules(struct tx *t, const struct tx_command *c, bool last, struct fault *f_out);

/* hop.c */
/* Gives the transaction its route, for its first recipient where there is a table (NULL: there is none yet), and the next hop to try first. */
void hop_first(struct tx *t);
/* A recipient's, where there is a table: false: it cannot be in this transaction, and f_out tells. */
bool hop_for(struct tx *t, const struct path *rcpt, struct fault *f_out);
/* MAIL was refused, or nobody took it, and no recipient is left: the next recipient may choose anew. */
void hop_forget(struct tx *t);
/* May another be tried if this one fails? */
bool hop_left(const struct tx *t);
/* The connection was lost before content: goes on to what is tried now, tx.hop again or another. False: nothing is, and why_out tells. */
bool hop_after(struct tx *t, const struct fault *f, struct fault *why_out);
/* What the command needs and this connection's next hop does not announce, beyond what cli_mail() and cli_rcpt() refuse; 4xx where
 * another might. False: nothing. */
bool hop_lacks(const struct tx *t, const struct tx_command *c, struct fault *f_out);
/* In `f` cli told what it lacks: is it for now only? */
void hop_lacks_now(const struct tx *t, struct fault *f);

/* send.c */
void send_start(struct tx *t);
/* Sends MAIL and RCPT that are not on their way yet; takes a connection if there is none. */
void send_envelope(struct tx *t);
/* The next hop is to forget the envelope: send_start() says it anew, less those who were refused since. */
void send_again(struct tx *t);
extern const struct upstream_user send_user;

#endif
