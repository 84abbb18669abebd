/*
 * srv_in.h - what the files of the server machine share: srv.c (session, commands), srv_answer.c, srv_auth.c and srv_content.c. Nobody else's.
 */
#ifndef SMTP_SRV_IN_H
#define SMTP_SRV_IN_H

#include "smtp/body.h"
#include "smtp/line.h"
#include "smtp/srv.h"

enum owed_kind {
	OWED_MAIL,
	OWED_RCPT,
	OWED_DATA,
	OWED_BDAT, /* DATA of the caller, by BDAT: nothing is said to go on, and a refusal waits for the end of the chunk */
	OWED_END,
	OWED_LOCAL /* an answer of our own behind others */
};

/* One answer that is not written yet. */
struct owed {
	uint32_t seq;
	enum owed_kind kind;
	bool done;       /* answered, but one before it is not: text is it */
	bool last;       /* a 421 */
	bool each;       /* END: 353 is said, one answer for each recipient on its way */
	struct buf text;
};

struct srv {
	const struct srv_conf *conf;
	enum srv_state state;
	enum srv_tls tls;
	struct ext offer;     /* what the next EHLO announces */
	struct ext offered;   /* what the last one announced */
	struct slice helo;    /* ours; empty: none yet */
	bool esmtp;
	bool utf8;            /* the transaction has SMTPUTF8 */
	bool prdr;            /* and PRDR */
	bool trusted;         /* XCLIENT and XFORWARD are its to say */
	bool fronted;         /* a PROXY header came before it */
	bool forwarded;       /* XFORWARD was said, for the next transaction */
	bool authenticated;
	bool auth_first;      /* of the exchange under way the client has said nothing yet */
	enum auth_mech mech;  /* its mechanism */
	unsigned auth;        /* mechanisms there are, inside TLS: 1 << enum auth_mech */
	uint16_t auth_failures;
	uint16_t bad, bad_rcpt, idle; /* since the last accepted message */
	uint16_t rcpt_tries;  /* RCPT of the transaction */
	uint16_t rcpt_over;   /* those above the limit; kept until the next MAIL */
	uint32_t seq;
	size_t rcpt_ok;       /* recipients accepted */
	struct owed *owed;    /* in the order of the commands */
	size_t owed_at, owed_n, owed_room; /* first one, count, room of the array */
	struct line_reader line;
	struct body_reader *body; /* while there is content */
	struct {
		uint64_t octets, left; /* of the chunk: all, not here yet */
		uint64_t taken;   /* octets of the transaction's chunks so far */
		uint32_t count;   /* BDAT since MAIL */
		bool on;          /* content comes in chunks */
		bool last;
		bool crlf_added;
		bool refused;     /* one was since MAIL: those that follow are no news */
	} chunk;
	uint64_t swallowed;   /* octets of refused content */
	struct fault *why;    /* content is refused for it, or the session ends for it */
	bool ending;          /* once nothing is owed */
	struct buf out;
};

/* A command under way. */
struct call {
	struct srv *s;
	struct slice *in;
	struct arena *tx;
	struct slice line, arg;
	bool last;            /* nothing may come together with what follows it */
	struct srv_event *ev;
};

/* What a step gives when there is no event yet. */
enum { GO_ON = -1 };

/* srv.c */
/* Writes ->state; nobody else does. */
void srv_enter(struct srv *s, enum srv_state to);
/* SRV_GONE, and what was owed with it. */
void srv_go(struct srv *s);
/* The transaction is over, or never was. */
void srv_clear_tx(struct srv *s);
void srv_drop_body(struct srv *s);
/* ->why; false: no memory. */
bool srv_remember(struct srv *s, const struct fault *why);
void srv_forget(struct srv *s);
/* 421 and the end. */
int srv_no_memory(struct call *c);
/* Says why and ends; nothing is owed, or it is forgotten. */
int srv_leave(struct call *c, const struct fault *f);
int srv_leave_for(struct call *c, enum fault_code code);
/* Our own answer to the command, in its place. */
int srv_refuse(struct call *c, enum fault_code code);

/* srv_answer.c */
/* Writes the answers that none is missing in front of. */
void srv_flush(struct srv *s);
/* Room for one more answer; false: no memory. */
bool srv_owe(struct srv *s, enum owed_kind kind, uint32_t *seq_out);
/* None is owed any more. */
void srv_drop_owed(struct srv *s);

/* srv_content.c: an event, or GO_ON */
int srv_content_step(struct call *c);
/* BDAT came. */
int srv_chunk_begin(struct call *c);

/* srv_auth.c: likewise */
int srv_auth_step(struct call *c);
/* AUTH came. */
int srv_auth_begin(struct call *c);

#endif
