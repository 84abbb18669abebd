/*
 * dovecot.h - a client of Dovecot's authentication service: one connection to its socket for all exchanges of a listener and worker. What
 * its lines say is smtp/authd's.
 *
 * When it is lost it is made anew, at once for an exchange and else after a time that grows; what was under way then has no answer. That
 * it is down, and up again, is in the log: auth_down, auth_up.
 */
#ifndef NET_DOVECOT_H
#define NET_DOVECOT_H

#include "net/loop.h"
#include "smtp/authd.h"

struct dovecot;

/* path: of the socket, at most DOVECOT_PATH octets; borrowed. Connects at once, to know its mechanisms. NULL: no memory. */
enum { DOVECOT_PATH = 107 };
struct dovecot *dovecot_new(struct loop *l, const char *path);
void dovecot_free(struct dovecot **d);
/* What it has of ours; while that is not known PLAIN, which it has but for odd reasons. */
unsigned dovecot_mechs(const struct dovecot *d);

struct dovecot_answer {
	enum { DOVECOT_ASKS, DOVECOT_YES, DOVECOT_NO, DOVECOT_LATER } kind;
	struct slice octets; /* ASKS: the challenge; YES: the user */
	const char *why;     /* NO, LATER: static */
};

/* An exchange. The caller's storage, zeroed; it is under way while .id is not 0. */
struct dovecot_exchange {
	struct dovecot *dovecot;
	struct dovecot_exchange *next;
	struct loop_timer late;
	uint32_t id;
	void (*on)(void *arg, const struct dovecot_answer *answer);
	void *arg;
};

/*
 * dovecot_begin - the first message of a client; `on` hears what is said to it, never before this returns, and begins no other
 * In:    client, server: addresses as text. After DOVECOT_ASKS it goes on by dovecot_go_on(), after any other it is over
 * Out:   false: too many are under way, no memory, no descriptor
 */
bool dovecot_begin(struct dovecot *d, struct dovecot_exchange *x, enum auth_mech mech, const char *client, const char *server, struct slice message,
    void (*on)(void *arg, const struct dovecot_answer *answer), void *arg) HS_MUST_USE;
void dovecot_go_on(struct dovecot_exchange *x, struct slice message);
/* Nobody waits for it any more; the last thing done to its storage, whether it is under way or not. */
void dovecot_drop(struct dovecot_exchange *x);

#endif
