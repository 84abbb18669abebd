/*
 * rates.h - how much may be sent: messages of a client or user and of a sender's domain, recipients of a domain (the group rates). All
 * workers count together (net/rate).
 */
#ifndef RELAY_RATES_H
#define RELAY_RATES_H

#include "relay/relay.h"

/*
 * rates_mail, rates_rcpt - one more message from there, one more recipient
 * In:    path: of MAIL, of RCPT; a null path, and a recipient without domain, has no domain that is counted
 * Fault: CLIENT_RATE, SENDER_RATE; RECIPIENT_RATE: 450 4.7.1. Never in shadow, where only the log tells
 */
bool rates_mail(struct pair *p, const struct path *path, struct fault *f) HS_MUST_USE;
bool rates_rcpt(struct pair *p, const struct path *path, struct fault *f) HS_MUST_USE;

#endif
