/*
 * sink.h - where lines of the log go, and where they wait when nobody takes them. For this room only.
 *
 * Nothing here blocks: what a pipe, terminal or socket does not take, and what a full disk has no room for, is kept up to
 * LIMIT_LOG_BACKLOG octets and written later, in order; lines above that are counted and gone.
 */
#ifndef OUT_SINK_H
#define OUT_SINK_H

#include <stdbool.h>

#include "base/slice.h"

enum sink_kind { SINK_STDERR, SINK_FILE, SINK_SYSLOG };

/* From now on. A file that cannot be opened is false, errno tells, and lines go where they went; `path` is borrowed. */
bool sink_open(enum sink_kind kind, const char *path) HS_MUST_USE;
/* The descriptor from now on, owned. */
void sink_take(int fd);
/* What a child must keep besides standard error; -1: nothing. */
int sink_fd(void);
/* In a child: what waits is the parent's to write. */
void sink_forget(void);

/* A line that ends in LF, behind what waits; syslog gets `head` in front and no LF. */
void sink_put(struct slice head, struct slice line);
void sink_flush(void);
bool sink_pending(void);
/* Lines lost and not told of; taken: told of now. */
uint64_t sink_lost(void);
uint64_t sink_lost_take(void);

#endif
