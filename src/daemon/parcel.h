/*
 * parcel.h - texts of any length over a SOCK_SEQPACKET pair between two of our processes, in pieces. It watches nothing: who has a
 * loop, and who polls, calls it when the descriptor can be read or written.
 *
 * A packet is a ticket (4 octets), 1 if more of its text follows, else 0 (4 octets; both as the machine has them), and a piece of text.
 * Pieces of two texts are never mixed.
 */
#ifndef DAEMON_PARCEL_H
#define DAEMON_PARCEL_H

#include "base/buf.h"

struct parcel {
	int fd;         /* -1: there is no channel */
	struct buf in;  /* pieces of the text that comes */
	bool whole;     /* it was handed out */
	struct buf out; /* packets that are still to go, each behind its length */
	size_t out_at;
};

/* No channel yet. */
void parcel_init(struct parcel *p);
/* fd: owned, in the place of the one before, of which nothing is left; -1: none. */
void parcel_set(struct parcel *p, int fd);
void parcel_release(struct parcel *p);

/* Text on its way: parcel_write(). False: there is no channel, or more waits there than it may (LIMIT_PARCEL_UNSENT): it is not sent. */
bool parcel_send(struct parcel *p, uint32_t ticket, struct slice text) HS_MUST_USE;
/* Does something wait until the descriptor can be written? */
bool parcel_waits(const struct parcel *p);
/* Neither blocks. False: the other end is gone; the caller closes this one, with parcel_set(). */
bool parcel_write(struct parcel *p);
/* 1: a whole text, borrowed until the next call; 0: nothing yet; -1: the other end is gone, or says what is no parcel. */
int parcel_read(struct parcel *p, uint32_t *ticket_out, struct slice *text_out);

#endif
