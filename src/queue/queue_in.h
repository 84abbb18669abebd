/*
 * queue_in.h - what the files of this room share: the queue, its messages and their copies, and one attempt to send a copy.
 *
 * A message is known by its entry in the store; what it says is read from there each time it is needed. A copy with recipients that wait
 * is a job of the scheduler, unless its message is held or has no listener.
 */
#ifndef QUEUE_QUEUE_IN_H
#define QUEUE_QUEUE_IN_H

#include "base/map.h"
#include "queue/flood.h"
#include "queue/queue.h"
#include "queue/scheduler.h"
#include "relay/hosts.h"

struct attempt;
struct queue_message;

struct queue_listener {
	const struct conf_listener *conf;
};

/* One copy: the recipients of one group. */
struct queue_copy {
	struct sched_job job;
	struct queue_message *message;
	struct attempt *attempt;   /* on its way; NULL: none */
	uint32_t group;
	uint32_t left;             /* recipients that wait */
	bool noted;                /* the note of an earlier process was looked at */
	bool kept;                 /* there is one of this process */
	bool hurried;              /* an operator wants it tried, whatever a note says */
	bool warned;               /* its delay was reported, or nobody wants to hear of it */
	bool tried;                /* by this process, and put off */
};

struct queue_message {
	struct queue *queue;
	struct queue_message *next, **at;
	struct store_entry *entry;
	int64_t serial;            /* rises with each message found */
	struct queue_listener *listener; /* NULL: the configuration has none of that name */
	int64_t arrived_s;
	int64_t arrived_ms;        /* on the monotonic clock; may be negative */
	int64_t found_ms;          /* or released */
	int64_t quiet_ms;          /* what failed for reasons of our own is not tried before */
	bool held;
	bool report;               /* one of ours */
	bool removing;             /* an operator said so while it was on its way */
	bool damaged;              /* and so did its content */
	uint32_t copy_count, copies_left;
	struct queue_copy *copies;
	unsigned char *unmarked;   /* of each recipient: the mark that the disk did not take; 0: none. NULL: it took all */
	char id[36];
};

struct queue {
	struct loop *loop;
	const struct conf *conf;
	struct ask *ask;
	struct count_page *counts;
	unsigned slot;
	struct store *store;
	struct scheduler *sched;
	struct hosts *hosts;
	struct flood *flood;
	struct queue_listener *listeners;
	struct map ids;            /* of messages */
	struct queue_message *messages, **messages_end;
	size_t message_count, held_count;
	int64_t serial;
	struct queue_message *walk; /* whose age is looked at next; NULL: from the beginning */
	bool walk_waits;           /* for reports to be made of those before it */
	struct attempt *attempts;
	size_t attempt_count;
	struct loop_later scan, pump, last;
	struct loop_timer due, age, drain, look;
	uint64_t start_ms;         /* names reports, with report_count */
	uint32_t report_count;
	int64_t started_ms;
	bool ready, draining;
	void (*on_ready)(void *arg);
	void *on_ready_arg;
	void (*on_drained)(void *arg);
	void *on_drained_arg;
	size_t found;              /* messages, before it was ready */
	bool look_soon;            /* the folder is looked at earlier than usual */
};

/* queue.c */
int64_t queue_unix_s(const struct queue *q);
/* Something may be startable. */
void queue_pump(struct queue *q);
/* The folder is looked at anew. */
void queue_look(struct queue *q);
/* sched_end(), and a line when the destination died by it or came back. */
void queue_job_ended(struct queue *q, struct sched_job *j, enum sched_outcome outcome, int64_t due_ms);
/* An attempt is over. */
void queue_ended(struct queue *q);

/* message.c */
void message_found(void *arg, struct store_entry *e, const struct spool_envelope *envelope, struct slice marks);
/* Is it old enough to be given up, or to be told of? */
bool message_expired(const struct queue_message *m);
bool message_late(const struct queue_message *m);
/* Envelope and marks, in the arena, with those marks that the disk did not take. */
bool message_read(struct queue_message *m, struct arena *a, struct spool_envelope *out, struct slice *marks_out) HS_MUST_USE;
/* What became of recipients, in ascending order, in place. A mark that the disk does not take holds for this process, and is tried again. */
void message_mark(struct queue_message *m, const size_t *rcpts, size_t n, enum spool_mark mark);
void message_mark_again(struct queue_message *m);
/* A copy of it waits for the time: not before due_ms. */
void message_wait(struct queue_copy *c, int64_t due_ms);
/* All of its copies that are neither scheduled nor on their way are due. */
void message_schedule(struct queue_message *m);
/* One of its copies has no recipients left. The message may be gone afterwards. */
void message_copy_done(struct queue_copy *c);
/* Forgets it: nothing is left to be done (done), or it was set aside. */
void message_free(struct queue_message *m, bool done);
void message_hold(struct queue_message *m);
void message_release(struct queue_message *m);
/* False: one of its copies is just being taken by a next hop; it goes when that is over. */
bool message_remove(struct queue_message *m);

/* where.c: where a copy goes */
/* The name of its destination, in the arena; empty: no memory; WHERE_NOBODY: there is no way to it. */
#define WHERE_NOBODY S("?")
struct slice where_name(struct arena *a, const struct queue_listener *l, const struct spool_rcpt *rcpt, const struct conf *conf);
struct where {
	struct next_hop *hops[LIMIT_MX_HOSTS]; /* held */
	size_t hop_count;
	struct fault fault;        /* why there are none */
};
struct where_ask {
	struct queue *queue;
	const struct queue_listener *listener;
	struct arena *arena;
	struct slice domain;
	ask_ticket ticket;
	void (*on)(void *arg, const struct where *w);
	void *arg;
};
/* True: *out is filled; false: `on` comes later, unless where_cancel(). */
bool where_find(struct where_ask *w, struct queue *q, const struct queue_listener *l, const struct spool_rcpt *rcpt, struct arena *a,
    void (*on)(void *arg, const struct where *w), void *arg, struct where *out);
void where_cancel(struct where_ask *w);
/* Its next hops are not needed any more. */
void where_release(struct where *w);

/* note.c: what is kept of a copy between attempts, JSON */
struct note_rcpt {
	short code;
	const char *enhanced, *text; /* NULL: none */
	bool ours;                 /* no next hop said so */
};
struct note_copy {
	unsigned attempts;
	int64_t next_s;            /* when it is to be tried; 0: not said */
	int64_t sealed_s;
	struct slice fields;       /* what sealing put on top; empty: not kept */
	bool enforce;              /* they hold the seal that the envelope must fit */
	bool warned;
};
/* A new reference; an empty object where there is none. NULL: no memory. */
json_t *note_read(struct queue_message *m, uint32_t copy, struct arena *a);
/* False: nothing is said there. */
bool note_copy_get(const json_t *note, struct arena *a, struct note_copy *out);
bool note_rcpt_get(const json_t *note, size_t rcpt, struct note_rcpt *out);
/* Without fields, those that are kept stay. */
bool note_copy_set(json_t *note, const struct note_copy *c) HS_MUST_USE;
bool note_rcpt_set(json_t *note, size_t rcpt, const struct note_rcpt *r) HS_MUST_USE;
bool note_write(struct queue_message *m, uint32_t copy, json_t *note) HS_MUST_USE;

/* attempt.c */
/* Sends a copy that the scheduler has given out. */
void attempt_send(struct queue_copy *c);
/* A copy that waits: gives its recipients up, or reports that it waits. */
void attempt_expire(struct queue_copy *c);
void attempt_warn(struct queue_copy *c);
/* Stops it where nothing is lost by that; false: the next hop is just taking it. */
bool attempt_stop(struct attempt *t);
void attempt_free(struct attempt *t);

/* tell.c: lines of the log about a recipient */
struct tell {
	const char *event;         /* deferred, delivered, bounced, expired */
	const struct queue_message *message;
	uint32_t copy;
	struct slice mail_from, rcpt_to;
	const char *next_hop, *address;
	short code;
	const char *enhanced;
	struct slice text;
	const char *note;
	unsigned attempts;
	int64_t next_ms;           /* deferred: until it is tried again; negative: not said */
	bool duplicate;            /* it may have been taken all the same */
};
void tell_rcpt(const struct tell *t);

#endif
