/*
 * srv.h - the server side of SMTP without a socket (RFC 5321, 1870, 2034, 2920, 3030, 3461, 4954, 6152, 6531, 8689,
 * 9422, draft-hall-prdr-00). Pure.
 *
 * Octets go in by srv_feed(), events come out, reply octets collect in srv_out(). MAIL, RCPT, DATA and the end of the content are
 * the caller's to answer, each by its seq; answers go to the client in the order of the commands whatever order they are given in.
 * MAIL and RCPT may wait together (pipelining); any other command is held back until they are answered. When MAIL is refused, the
 * RCPT that wait behind it are answered 503 here; an answer to them that comes later is ignored, as is one to any unknown seq.
 * Content comes by DATA or in chunks by BDAT, and the events are the same: DATA stands at the first chunk, which is read once it is
 * answered; chunks but the last are answered here, the last ends as END does. The octets of a refused chunk are read and dropped, then
 * its answer is said, and the transaction is over: further chunks are dropped and answered 503, with no event for each. A BDAT whose
 * size cannot be read is 501 and the end.
 * REQUIRETLS is announced inside TLS only, whatever srv_offer() says. Under PRDR the end of the content may be answered for each
 * recipient, by srv_answer_rcpt(), and then for all by srv_answer(), or at once for all.
 * Octets behind DATA before its 354 are a fault (RFC 2920 3.1): 554 5.5.0 and the end. Behind a DATA that is refused they are the end
 * too, after its own answer.
 * AUTH is announced and taken inside TLS only, outside of a transaction, once; what is said in it is the caller's to judge. A client that
 * gives up its exchange, or whose line is none, is answered here: SRV_EV_REFUSED, and what the caller holds of it is over.
 * No command is taken while srv_out() holds more than LIMIT_OUT_PENDING: SRV_EV_WAIT, feed again once it is less.
 *
 * States and what each awaits: SRV_GREET (banner not sent), SRV_IDLE (no transaction), SRV_MAIL (sender known), SRV_RCPT (a recipient
 * accepted), SRV_BODY (octets up to CRLF . CRLF, or of a chunk), SRV_CHUNKS (the next chunk of a message), SRV_SWALLOW (as SRV_BODY,
 * content refused), SRV_JUDGE (content whole, the caller's answer awaited), SRV_SHAKE (220 to STARTTLS said,
 * srv_secured() awaited), SRV_AUTH (the caller's word on a message of AUTH awaited), SRV_AUTH_LINE (a line of the client),
 * SRV_GONE (nothing more is sent).
 */
#ifndef SMTP_SRV_H
#define SMTP_SRV_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/fault.h"
#include "mail/addr.h"
#include "smtp/auth.h"
#include "smtp/cmd.h"
#include "smtp/ext.h"
#include "smtp/reply.h"
#include "smtp/xclient.h"

enum srv_state { SRV_GREET, SRV_IDLE, SRV_MAIL, SRV_RCPT, SRV_BODY, SRV_CHUNKS, SRV_SWALLOW, SRV_JUDGE, SRV_SHAKE, SRV_AUTH, SRV_AUTH_LINE, SRV_GONE };

enum srv_tls {
	SRV_TLS_NONE,    /* no STARTTLS here */
	SRV_TLS_MAY,     /* announced */
	SRV_TLS_REQUIRE, /* and no mail before it: 530 5.7.0 (RFC 3207 4) */
	SRV_TLS_ON       /* octets come through it */
};

/* One a listener, shared by its sessions; outlives them. */
struct srv_conf {
	struct slice hostname;
	size_t rcpt_max;        /* at most LIMIT_RCPT: above it 452 here */
	size_t rcpt_told;       /* what LIMITS names when the caller takes fewer; 0: rcpt_max */
};

enum srv_event_kind {
	SRV_EV_MORE,     /* all input taken, nothing to do */
	SRV_EV_WAIT,     /* input left, but an answer must come or replies be written first: feed the same octets again after it */
	SRV_EV_MAIL,     /* path, params; answer seq */
	SRV_EV_RCPT,     /* path, params; answer seq */
	SRV_EV_DATA,     /* srv_data_go() or srv_answer_fault() */
	SRV_EV_CONTENT,  /* content: octets of the message, dots unstuffed, borrowed from the input or constant */
	SRV_EV_BAD,      /* content is refused (fault): drop what came; the rest is swallowed and answered by srv itself */
	SRV_EV_END,      /* content whole (dots, crlf_added); answer seq, which ends the transaction */
	SRV_EV_RESET,    /* RSET, or EHLO/HELO in a transaction or behind XFORWARD, already answered: drop both */
	SRV_EV_CLOSE,    /* QUIT or fault: close once srv_out() is written; no further feed. Drop any transaction. */
	SRV_EV_XCLIENT,  /* who, already answered by a new greeting: from now on the client is that one, and has not said EHLO */
	SRV_EV_XFORWARD, /* who, already answered: the next transaction came from that one */
	SRV_EV_STARTTLS, /* 220 is said: nothing is read in clear any more; once it is written the handshake, then srv_secured() */
	SRV_EV_AUTH,     /* mech, first, content: a message of the client's exchange, decoded, in the tx arena; srv_auth_ask() or srv_auth_end() */
	SRV_EV_REFUSED   /* a command was refused and answered here (fault): for the log, nothing to do, feed on; not for each of many RCPT */
};

struct srv_event {
	enum srv_event_kind kind;
	uint32_t seq;            /* MAIL, RCPT, DATA, END */
	struct path path;        /* MAIL, RCPT: slices live in the tx arena; without a source route */
	struct srv_params params;
	struct slice content;
	bool dots;               /* END: a line of the content may begin with a dot */
	bool crlf_added;         /* END: the last octets of the content are a CRLF that did not come */
	enum auth_mech mech;     /* AUTH */
	bool first;              /* AUTH: the exchange begins; one that was under way is over */
	const struct xclient *who; /* XCLIENT, XFORWARD: the attributes of this command; in the tx arena */
	struct fault fault;      /* BAD, REFUSED, CLOSE (after QUIT: FAULT_NONE); unset with the others */
};

struct srv;

/* NULL: no memory. Small while idle (well below 1 KiB with nothing buffered). */
struct srv *srv_new(const struct srv_conf *conf);
void srv_free(struct srv **s);

/* Queues the 220 banner (or, with a fault, that reply and SRV_GONE). */
void srv_greet(struct srv *s, const struct fault *instead);
/* Before the first octet is fed. */
void srv_tls(struct srv *s, enum srv_tls tls);
/* The handshake is done: all that was said before it is forgotten (RFC 3207 4.2). */
void srv_secured(struct srv *s);
/* What the next EHLO announces (STARTTLS comes from srv_tls()), and what MAIL parameters are judged by after it. */
void srv_offer(struct srv *s, const struct ext *offer);

/* This client may say who another one is: XCLIENT and XFORWARD are announced and taken. */
void srv_trust(struct srv *s);
/* A PROXY header came before the first octet that is fed: a second one is refused as such. */
void srv_fronted(struct srv *s);

/* Mechanisms that the next EHLO inside TLS announces, bits 1 << enum auth_mech; 0: there is no AUTH. */
void srv_auth(struct srv *s, unsigned mechs);
/* The answer to SRV_EV_AUTH: octets to say, whose answer is the next event; or the end, NULL: the client is who it says it is. Ignored when
 * the session has come to its end meanwhile. */
void srv_auth_ask(struct srv *s, struct slice challenge);
void srv_auth_end(struct srv *s, const struct fault *f);

/* Takes octets off *in until there is an event. `tx` is the arena that what it parses lives in. */
enum srv_event_kind srv_feed(struct srv *s, struct slice *in, struct arena *tx, struct srv_event *ev_out);

/*
 * The answer to an event. Accepted MAIL or RCPT (2xx) moves the state; after END, or DATA refused, the session is idle again.
 * An answer of 421 is the last one: SRV_GONE. The answer to DATA is 4xx or 5xx, else it is srv_data_go().
 */
void srv_answer(struct srv *s, uint32_t seq, const struct reply *r);
void srv_answer_fault(struct srv *s, uint32_t seq, const struct fault *f);
/*
 * One recipient's part of the answer to END, to be followed by srv_answer() for all. In the order of the RCPT accepted.
 * In:    MAIL said PRDR; f: instead of r
 */
void srv_answer_rcpt(struct srv *s, uint32_t seq, const struct reply *r, const struct fault *f);
/* The content may come; says 354 when it was DATA. */
void srv_data_go(struct srv *s, uint32_t seq);
/* Refuse content while it is still coming (too big, no room): the rest is swallowed, then this is the answer; the session stays. */
void srv_refuse_content(struct srv *s, const struct fault *f);
/*
 * Says 421 (or what the fault says) at the next border and goes: timeout, shutdown. SRV_GONE at once, in content too, unless answers
 * are owed: then after the last of them.
 */
void srv_end(struct srv *s, const struct fault *f);

enum srv_state srv_state(const struct srv *s);
bool srv_esmtp(const struct srv *s);          /* EHLO, not HELO */
bool srv_authenticated(const struct srv *s);
struct slice srv_helo(const struct srv *s);   /* empty: none yet */
size_t srv_rcpt_over(const struct srv *s);    /* recipients of this transaction, or the last, refused here for being too many */
size_t srv_pending(const struct srv *s);      /* answers the caller owes */
/* Replies not yet written; drop what was written by buf_drop(), or release the buf when it is empty. */
struct buf *srv_out(struct srv *s);
/* What the peer owes: deadlines cover the whole of it (RFC 5321 4.5.3.2.7). Chunks are content from the first to the last. */
enum srv_awaits { SRV_AWAITS_NOTHING, SRV_AWAITS_COMMAND, SRV_AWAITS_CONTENT };
enum srv_awaits srv_awaits(const struct srv *s);

#endif
