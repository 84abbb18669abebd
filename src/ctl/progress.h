/*
 * progress.h - how far a long run is: a line on stderr while that is a terminal, as wide as it is at the moment.
 */
#ifndef CTL_PROGRESS_H
#define CTL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	bool shown;            /* there is somebody to see it */
	bool drawn;            /* a line stands on the screen */
	uint64_t all;          /* octets there are, 0: not known */
	int64_t began_ms, drawn_ms;
};

void progress_init(struct progress *p);
/* Draws anew, at most ten times a second. */
void progress_draw(struct progress *p, uint64_t messages, uint64_t octets);
/* Takes the line off, before anything else is printed and at the end. */
void progress_hide(struct progress *p);
int64_t progress_elapsed_ms(const struct progress *p);

#endif
