/*
 * mbox.h - the messages of one file, one at a time: of an mbox (RFC 4155) when it begins with a From_ line, else the
 * file is one message. As on the wire: LF line ends become CRLF.
 *
 * A From_ line begins with "From ", has a time of day in it and stands at the beginning or behind an empty line. One '>'
 * is taken off body lines that match ^>+From (mboxrd). Content-Length is believed only where a From_ line or the end of
 * the file is found behind it; a body that it delimits and that has a bare From_ in it was not quoted (mboxcl2), and is
 * left as it is.
 */
#ifndef CTL_MBOX_H
#define CTL_MBOX_H

#include <signal.h>

#include "base/buf.h"

struct mbox;

enum mbox_result {
	MBOX_MESSAGE,
	MBOX_BIG,    /* a message that the buf has no room for: passed over */
	MBOX_END,
	MBOX_FAILED, /* errno; nothing more comes */
};

/*
 * NULL: no memory, the descriptor is closed then too. What a SIGINT sets ends the wait for a pipe: MBOX_FAILED with EINTR.
 */
struct mbox *mbox_new(int take_fd, const volatile sig_atomic_t *interrupted);
void mbox_free(struct mbox **m);

/* octets_out is cleared first; lf_out: its lines ended in LF. */
enum mbox_result mbox_next(struct mbox *m, struct buf *octets_out, bool *lf_out);
/* Of the message at hand, from 1; 0: the file is no mbox. */
uint64_t mbox_number(const struct mbox *m);
/* Octets of the file that are behind it. */
uint64_t mbox_octets(const struct mbox *m);

#endif
