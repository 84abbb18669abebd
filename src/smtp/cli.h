/*
 * cli.h - the client side of SMTP or LMTP (RFC 2033) without a socket, towards the next hop. Pure.
 *
 * Commands are queued and go out together where the next hop offers PIPELINING, one by one where it does not. Each reply comes
 * back as an event with the tag of its command, in order. The content is answered once, or once for each recipient accepted: by LMTP
 * always, and by SMTP under PRDR when the next hop so chooses, which then says a last word for all.
 */
#ifndef SMTP_CLI_H
#define SMTP_CLI_H

#include "smtp/srv.h"

enum cli_event_kind {
	CLI_EV_MORE,   /* all input taken */
	CLI_EV_READY,  /* greeting and EHLO (or HELO) done, ext known; also after an RSET that was asked for */
	CLI_EV_STARTTLS, /* 220 has come: nothing is read in clear any more; the handshake, then cli_secured() */
	CLI_EV_REPLY,  /* answer to MAIL, RCPT, DATA or content; tag, what, reply */
	CLI_EV_LOST    /* close, feed no more; reply, if one was the cause (else code 0), and fault: NEXT_HOP_DOWN it refused to serve,
	                * NEXT_HOP_TLS it does not do what is required, NEXT_HOP_EARLY octets behind the 220 to STARTTLS, NEXT_HOP_421, NEXT_HOP_REPLY out of protocol, NEXT_HOP_DESYNC octets nobody asked for, NO_MEMORY; FAULT_NONE
	                * when it answered QUIT */
};
enum cli_what {
	CLI_MAIL,
	CLI_RCPT,
	CLI_DATA,
	CLI_EACH,    /* content, for one recipient; in the order they were accepted in */
	CLI_CONTENT  /* content, for all */
};

struct cli_event {
	enum cli_event_kind kind;
	enum cli_what what;
	uint32_t tag;
	bool last;            /* CLI_EACH: no CLI_CONTENT follows, and this is the last recipient: LMTP */
	struct reply reply;   /* borrowed until the next feed */
	struct fault fault;
};

struct cli;

struct cli *cli_new(struct slice hostname); /* borrowed; NULL: no memory */
void cli_free(struct cli **c);

/*
 * STARTTLS (RFC 3207): not at all, where it is offered, nothing without it, or nothing but with a server whose certificate the
 * caller verifies; only that one may announce REQUIRETLS (RFC 8689 2). Before the first octet is fed.
 */
enum cli_tls {
	CLI_TLS_NONE,
	CLI_TLS_MAY,
	CLI_TLS_REQUIRE,
	CLI_TLS_VERIFY,
	CLI_TLS_VERIFIED /* there from the first octet, as VERIFY has it: nothing is asked for */
};
void cli_tls(struct cli *c, enum cli_tls want);
/* It speaks LMTP: LHLO, and PRDR is among what it announces, since its answers are of that kind anyway. Before the first octet is fed. */
void cli_lmtp(struct cli *c);
/* The handshake is done: what was announced before it is forgotten, EHLO is said again, READY follows. */
void cli_secured(struct cli *c);

enum cli_event_kind cli_feed(struct cli *c, struct slice *in, struct cli_event *ev_out);

/*
 * Parameters the next hop did not offer are left out when that loses nothing (SIZE, DSN, PRDR); false and a fault when it would
 * (NEXT_HOP_LACKS: 8BITMIME 5.6.3, SMTPUTF8 5.6.7, and, but with the null path, REQUIRETLS 5.7.30). `p` may be NULL: none. Call them once READY has come; before it nothing is offered.
 */
bool cli_mail(struct cli *c, uint32_t tag, struct slice path, const struct srv_params *p, struct fault *f) HS_MUST_USE;
bool cli_rcpt(struct cli *c, uint32_t tag, struct slice path, const struct srv_params *p, struct fault *f) HS_MUST_USE;
void cli_data(struct cli *c, uint32_t tag);
/*
 * After the 354: the caller writes content behind what cli_out() holds, ends it by body_finish(), then says so; the final reply comes
 * as CLI_CONTENT, or what is said of each recipient as CLI_EACH. No other command may be given in between, and a reply that comes in between is CLI_EV_LOST.
 */
void cli_content_sent(struct cli *c, uint32_t tag);
void cli_rset(struct cli *c);
/*
 * cli_xclient - the next hop shall see this client instead of us: XCLIENT with what it lists, then a new EHLO in the client's name
 * In:    who: `said` is not looked at. Only while idle, and when cli_xclient_listed()
 * Out:   READY comes again; until then cli_ready() is false. A refusal is LOST: whom it takes us for is not known then
 */
void cli_xclient(struct cli *c, const struct xclient *who);
/* Has this client been told by XCLIENT, and nobody else since? */
bool cli_xclient_is(const struct cli *c, const struct xclient *who);
/* XFORWARD in front of MAIL; pipelined with it. A refusal is LOST. */
void cli_xforward(struct cli *c, const struct xclient *who);
/* Attributes the next hop lists; 0: it does not announce the command. */
unsigned cli_xclient_listed(const struct cli *c);
unsigned cli_xforward_listed(const struct cli *c);
/* Has anybody been told by XCLIENT on this connection? */
bool cli_xclient_said(const struct cli *c);
/* At any time; does nothing while content is on its way (closing is all that is left then). */
void cli_quit(struct cli *c);

bool cli_idle(const struct cli *c);           /* ready, nothing awaited or begun, no transaction open: fit for the pool */
bool cli_ready(const struct cli *c);          /* READY has come */
bool cli_failed(const struct cli *c);         /* there was no memory for what it was to say: nothing more comes of it but CLI_EV_LOST */
bool cli_spent(const struct cli *c);          /* it has had as many MAIL as it takes (RFC 9422 4.1) */
const struct ext *cli_ext(const struct cli *c);
struct buf *cli_out(struct cli *c);
unsigned cli_deadline_s(const struct cli *c); /* seconds RFC 5321 4.5.3.2 gives the next hop for all of what it owes us; 0: nothing */

#endif
