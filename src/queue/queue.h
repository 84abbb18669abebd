/*
 * queue.h - the queue process's work: what is in the spool is scheduled, sealed, sent, marked, reported on. daemon/queue.c is its process.
 */
#ifndef QUEUE_QUEUE_H
#define QUEUE_QUEUE_H

#include <jansson.h>

#include "config/conf.h"
#include "net/ask.h"
#include "spool/store.h"

struct queue;

/* NULL: no memory, or the spool cannot be used: error_out. It starts to look at the spool at once. spool_fd: owned. */
struct queue *queue_new(struct loop *l, const struct conf *conf, struct ask *ask, struct count_page *counts, unsigned slot, int spool_fd,
    char error_out[256]);
void queue_free(struct queue **q);
/* All that was in the spool at the start is known. */
void queue_on_ready(struct queue *q, void (*on)(void *arg), void *arg);
/* A packet of a worker (spool/format.h). */
void queue_notice(struct queue *q, struct slice packet);
/* Starts no more deliveries; `on` comes when those under way have ended, or after so many seconds. */
void queue_drain(struct queue *q, unsigned seconds, void (*on)(void *arg), void *arg);
/*
 * queue_command - what hopsealctl wants (proto/control.md): {"do": "list" | "show" | "flush" | "hold" | "release" | "remove" | "destinations", ...}
 * Out:   a new reference; NULL: no memory. {"error": "..."} when it cannot be done. A list comes in pages: "next" says where the next begins.
 */
json_t *queue_command(struct queue *q, const json_t *request);

#endif
