/*
 * auth.h - who a client says it is, and whether that is so: the exchanges of PLAIN (RFC 4616) and SCRAM-SHA-256 (RFC 5802, 7677), our side
 * of them, held against verifiers of passwords. Pure.
 *
 * Messages are octets here; base64, 334 and the rest of AUTH (RFC 4954) are srv's. In both the client speaks first. There is no channel
 * binding: "y" and "n" are taken, "p=" is refused. A client that wants to act for another than itself is refused. Names and passwords are
 * UTF-8 and compared as they come, as the passwords were when their verifiers were made: they are not prepared (RFC 4013).
 *
 * States and what each awaits: AUTH_FIRST (the client's first message), AUTH_NAME (the verifier of auth_user()), AUTH_STRETCH (time to work,
 * PLAIN), AUTH_PROOF (client-final-message), AUTH_LAST (the empty message that acknowledges server-final-message), AUTH_OVER.
 */
#ifndef SMTP_AUTH_H
#define SMTP_AUTH_H

#include "base/fault.h"
#include "crypt/scram.h"

enum auth_mech { AUTH_PLAIN, AUTH_SCRAM_SHA_256, AUTH_MECHS };
/* "PLAIN"; static. */
const char *auth_mech_name(enum auth_mech mech);
/* In any letter case. False: none of ours. */
bool auth_mech_find(struct slice name, enum auth_mech *mech_out);

struct auth;

enum auth_step {
	AUTH_LOOKUP, /* auth_verifier() for auth_user() */
	AUTH_ASK,    /* auth_challenge() goes to the client, its answer to auth_feed() */
	AUTH_WORK,   /* auth_work(), until it is something else */
	AUTH_YES,    /* it is auth_user() */
	AUTH_NO      /* auth_fault() */
};

/* nonce: ours, printable and without a comma, never used before; borrowed. NULL: no memory. */
struct auth *auth_new(enum auth_mech mech, struct slice nonce);
/* Wipes what was said. */
void auth_free(struct auth **a);

/* A message of the client; borrowed for the call. */
enum auth_step auth_feed(struct auth *a, struct slice message);
/*
 * The verifier that was asked for; copied.
 * In:    known: no stand-in (scram_unknown()): a proof that fits counts
 */
enum auth_step auth_verifier(struct auth *a, const struct scram_verifier *v, bool known);
/* So many iterations more of what a password costs. */
enum auth_step auth_work(struct auth *a, uint32_t iterations);

/* All live as long as the exchange. The name: UTF-8 without control octets, 1..LIMIT_AUTH_NAME octets; empty: none yet. */
struct slice auth_user(const struct auth *a);
struct slice auth_challenge(const struct auth *a);
/* AUTH_FAILED, with a note on what was wrong that says nothing of the password, or AUTH_TEMPORARY. */
const struct fault *auth_fault(const struct auth *a);

#endif
