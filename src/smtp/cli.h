/*
 * cli.h - the client side of SMTP without a socket, towards the next hop. Pure.
 *
 * Commands are queued and go out together where the next hop offers PIPELINING, one by one where it does not. Each reply comes
 * back as an event with the tag of its command, in order.
 */
#ifndef SMTP_CLI_H
#define SMTP_CLI_H

#include "smtp/srv.h"

enum cli_event_kind {
	CLI_EV_MORE,   /* all input taken */
	CLI_EV_READY,  /* greeting and EHLO (or HELO) done, ext known; also after an RSET that was asked for */
	CLI_EV_REPLY,  /* answer to MAIL, RCPT, DATA or content; tag, what, reply */
	CLI_EV_LOST    /* refused to serve, 421, out of protocol, unasked octets: fault; close, feed no more */
};
enum cli_what { CLI_MAIL, CLI_RCPT, CLI_DATA, CLI_CONTENT };

struct cli_event {
	enum cli_event_kind kind;
	enum cli_what what;
	uint32_t tag;
	struct reply reply;   /* borrowed until the next feed */
	struct fault fault;
};

struct cli;

struct cli *cli_new(struct slice hostname); /* borrowed; NULL: no memory */
void cli_free(struct cli **c);

enum cli_event_kind cli_feed(struct cli *c, struct slice *in, struct cli_event *ev_out);

/* Parameters the next hop did not offer are left out when that loses nothing (SIZE, DSN); false and a fault when it would (8BITMIME, SMTPUTF8). */
bool cli_mail(struct cli *c, uint32_t tag, struct slice path, const struct srv_params *p, struct fault *f) HS_MUST_USE;
bool cli_rcpt(struct cli *c, uint32_t tag, struct slice path, const struct srv_params *p, struct fault *f) HS_MUST_USE;
void cli_data(struct cli *c, uint32_t tag);
/* After the 354: the caller writes content behind what cli_out() holds, ends it by body_finish(), then says so; the final reply comes as CLI_CONTENT. */
void cli_content_sent(struct cli *c, uint32_t tag);
void cli_rset(struct cli *c);
void cli_quit(struct cli *c);

bool cli_idle(const struct cli *c);           /* ready, nothing awaited: fit for the pool */
bool cli_ready(const struct cli *c);          /* READY has come */
const struct ext *cli_ext(const struct cli *c);
struct buf *cli_out(struct cli *c);
unsigned cli_deadline_s(const struct cli *c); /* as srv_deadline_s: for what the next hop owes us */

#endif
