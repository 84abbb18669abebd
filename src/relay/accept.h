/*
 * accept.h - a transaction of mode queue: MAIL and RCPT are answered here, and the message is ours once it is durable (DESIGN.md section 3).
 *
 * What stands in the spool is the message as it is to be kept: with Received and results, without Bcc where it begins here, and with
 * all that those who deliver it must know of how it came. Seals are made when a copy leaves.
 */
#ifndef RELAY_ACCEPT_H
#define RELAY_ACCEPT_H

#include "relay/tx.h"

/* Is it one of mode queue? */
bool accept_here(const struct tx *t);
/* May a message be taken now, of the size that MAIL says? Fault: NO_DISK, SPOOL_FAILED */
bool accept_mail(struct tx *t, struct fault *f_out) HS_MUST_USE;
/* Is it the postmaster of this host (RFC 5321 4.5.1), whom everybody may write to? Of no listener of mode proxy: there the next hop says so. */
bool accept_always(const struct pair *p, struct arena *a, const struct path *rcpt);
/* Is there a way to go for mail to this recipient? What DNS says of the domain is found out later. Fault: NO_ROUTE */
bool accept_route(struct tx *t, const struct path *rcpt, struct fault *f_out);
/* MAIL, or a recipient, is accepted. */
void accept_answer(struct tx *t, struct tx_command *c);
/* Of recipients named twice the first is left. Once no more come. Fault: NO_MEMORY */
bool accept_distinct(struct tx *t, struct fault *f_out) HS_MUST_USE;
/* The message is judged and edited: it is kept, or refused for all, and the transaction ends. */
void accept_message(struct tx *t);

#endif
