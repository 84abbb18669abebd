/*
 * authd.h - lines of the protocol that Dovecot's authentication service speaks with its clients, version 1 (doc.dovecot.org, "Dovecot
 * Authentication Protocol"). Pure.
 *
 * Words are separated by TAB, octets that cannot stand in them escaped by \001; what is not known is passed over. Lines end with LF.
 */
#ifndef SMTP_AUTHD_H
#define SMTP_AUTHD_H

#include "base/arena.h"
#include "base/buf.h"
#include "smtp/auth.h"

/* What it has said of itself. Zeroed: nothing. */
struct authd {
	bool version;    /* one that we speak */
	bool done;       /* all of it */
	unsigned mechs;  /* of ours, that it has: bits 1 << enum auth_mech */
};

enum authd_kind {
	AUTHD_ITSELF,    /* a part of what it says of itself, or nothing of interest */
	AUTHD_DONE,      /* the last of that */
	AUTHD_CONT,      /* id, octets: a challenge */
	AUTHD_OK,        /* id, user */
	AUTHD_FAIL,      /* id, temporary, why */
	AUTHD_BAD        /* none of its lines: no more can be said to it */
};

struct authd_line {
	enum authd_kind kind;
	uint32_t id;
	struct slice octets; /* decoded */
	struct slice user;   /* as auth_user() */
	bool temporary;
	const char *why;     /* static: what the log may tell */
};

/*
 * authd_read - what it says
 * In:    a line without LF
 * Out:   line->...: slices in the arena. No memory is AUTHD_BAD as well
 */
enum authd_kind authd_read(struct authd *d, struct arena *a, struct slice line, struct authd_line *out);

/* What we say. pid: some number of our own. */
void authd_hello(struct buf *b, uint32_t pid);
/*
 * An exchange begins.
 * In:    id: not 0, of no other exchange on this connection; client, server: addresses as text
 */
void authd_begin(struct buf *b, uint32_t id, enum auth_mech mech, const char *client, const char *server, struct slice response);
void authd_go_on(struct buf *b, uint32_t id, struct slice response);
void authd_cancel(struct buf *b, uint32_t id);

#endif
