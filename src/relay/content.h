/*
 * content.h - what is written behind a 354: runs of octets as they come, dots doubled, then the final dot. It holds no octet itself, only
 * where those lie that are written next.
 */
#ifndef RELAY_CONTENT_H
#define RELAY_CONTENT_H

#include <sys/uio.h>

#include "smtp/body.h"

enum { CONTENT_RUNS = 32 };

/* The next run of the content, which lies still until it is written. False: there is no more. dots_out: may a line of it begin with a dot? */
typedef bool content_next(void *arg, struct slice *run_out, bool *dots_out);

struct content {
	content_next *next;
	void *arg;
	struct slice run;          /* what is left of the current one */
	bool dots;                 /* of it */
	struct body_writer writer;
	bool finished;             /* everything is in `ring` or behind it */
	struct iovec ring[CONTENT_RUNS];
	size_t ring_at, ring_count;
	size_t ring_octets;
};

void content_begin(struct content *c, content_next *next, void *arg);
/* Runs to write, at most max, as upstream_user.content has it; 0: all is written. */
size_t content_out(struct content *c, struct iovec *iov, size_t max);
/* n octets of them were written. True: that was the final dot. */
bool content_wrote(struct content *c, size_t n);

#endif
