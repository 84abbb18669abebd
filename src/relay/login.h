/*
 * login.h - a client that authenticates: its exchange, held against the passwords of its listener, or led by Dovecot. What is said by whom
 * is smtp/auth's.
 *
 * A password of PLAIN costs thousands of hashes, by intent: those of all sessions are turned into keys a part at a time, between whatever
 * else a worker has to do.
 */
#ifndef RELAY_LOGIN_H
#define RELAY_LOGIN_H

#include "out/log.h"
#include "relay/relay.h"

/* What the next EHLO announces. */
void login_offer(struct pair *p);
/* A message of an exchange; the arena of the session is wiped of it. */
void login_message(struct pair *p, const struct srv_event *ev);
/* The exchange is over, if there is one, whatever has come of it. */
void login_drop(struct pair *p);
/* Somebody else speaks now, who has not authenticated. */
void login_forget(struct pair *p);

/* What a client that may not send hears: NOT_ALLOWED, or that it may if it authenticates. */
enum fault_code login_wanted(const struct pair *p);
/* user= */
void login_log(const struct pair *p, struct log_line *l);
void login_facts(const struct pair *p, struct facts *f);

#endif
