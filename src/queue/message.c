/*
 * message.c - a message of the spool in memory: its copies become jobs, and end one by one.
 */
#include <stdlib.h>

#include "base/bug.h"
#include "base/limits.h"
#include "mail/domain.h"
#include "out/log.h"
#include "queue/queue_in.h"
#include "relay/copy.h"

enum { QUIET_MS = 60000 };
#define WAITS "it waits until it is looked at again"

static struct queue_listener *listener_of(struct queue *q, struct slice name)
{
	for (size_t i = 0; i < q->conf->listener_count; i++)
		if (slice_eq(name, slice_str(q->conf->listeners[i].name)))
			return &q->listeners[i];
	return NULL;
}

/*
 * Nobody hears what becomes of a report, so that one whose listener is not configured any more does not wait for it: any listener that
 * knows a way will do.
 */
static struct queue_listener *listener_for(struct queue *q, const struct spool_envelope *e)
{
	struct queue_listener *own = listener_of(q, e->listener);
	struct slice name;
	struct arena a;

	for (size_t i = 0; !own && e->report && i < q->conf->listener_count; i++) {
		if (q->conf->listeners[i].mode != MODE_QUEUE)
			continue;
		arena_init(&a, LIMIT_SPOOL_ENVELOPE);
		name = where_name(&a, &q->listeners[i], &e->rcpts[0], q->conf);
		if (name.n && !slice_eq(name, WHERE_NOBODY))
			own = &q->listeners[i];
		arena_clear(&a);
	}
	return own;
}

static void event(const struct queue_message *m, enum log_level level, const char *name, const char *note)
{
	struct log_line l = log_begin(level, name);

	log_str(&l, "id", m->id);
	log_str(&l, "note", note);
	log_end(&l);
}

/* ---- what is read of it, and marked ---- */

bool message_read(struct queue_message *m, struct arena *a, struct spool_envelope *out, struct slice *marks_out)
{
	struct slice marks;
	unsigned char *at;

	if (!store_envelope(m->queue->store, m->entry, a, out, &marks))
		return false;
	if (m->unmarked) {
		at = arena_take(a, marks.n);
		if (!at)
			return false;
		memcpy(at, marks.at, marks.n);
		for (size_t i = 0; i < out->rcpt_count; i++)
			if (m->unmarked[i])
				at[1 + i] = m->unmarked[i];
		marks = slice_of(at, marks.n);
	}
	*marks_out = marks;
	return true;
}

void message_mark(struct queue_message *m, const size_t *rcpts, size_t n, enum spool_mark mark)
{
	struct queue *q = m->queue;

	if (n == 0 || store_mark_all(q->store, m->entry, rcpts, n, mark))
		return;
	count_add(q->counts, q->slot, COUNT_UNMARKED, (int64_t)n);
	if (!m->unmarked)
		m->unmarked = calloc(LIMIT_RCPT, sizeof(*m->unmarked));
	for (size_t i = 0; m->unmarked && i < n; i++)
		m->unmarked[rcpts[i]] = (unsigned char)mark;
}

void message_mark_again(struct queue_message *m)
{
	for (size_t i = 0; m->unmarked && i < LIMIT_RCPT; i++)
		if (m->unmarked[i] && !store_mark(m->queue->store, m->entry, (int)i, m->unmarked[i]))
			return;
		else
			m->unmarked[i] = 0;
	free(m->unmarked);
	m->unmarked = NULL;
}

/* ---- what waits ---- */

void message_wait(struct queue_copy *c, int64_t due_ms)
{
	struct queue_message *m = c->message;
	struct queue *q = m->queue;
	struct spool_envelope envelope;
	struct slice marks, name = SLICE_NONE;
	struct arena a;
	bool read;

	if (m->held || !m->listener || c->left == 0)
		return;
	arena_init(&a, LIMIT_SPOOL_ENVELOPE * 4);
	read = message_read(m, &a, &envelope, &marks);
	if (read)
		for (size_t i = 0; i < envelope.rcpt_count && !name.n; i++)
			if (envelope.rcpts[i].group == c->group)
				name = where_name(&a, m->listener, &envelope.rcpts[i], q->conf);
	if (!name.n || !sched_add(q->sched, &c->job, name, due_ms, loop_now_ms(q->loop))) {
		event(m, LOG_LEVEL_ERROR, read ? "oom" : "spool_unreadable", WAITS);
		m->quiet_ms = loop_now_ms(q->loop) + QUIET_MS;
	}
	arena_clear(&a);
}

/* The copies that have recipients left become jobs. */
static void schedule(struct queue_message *m, const struct spool_envelope *e, int64_t due_ms)
{
	struct queue *q = m->queue;
	int64_t now_ms = loop_now_ms(q->loop);
	bool good = true;

	if (m->held || !m->listener)
		return;
	for (size_t i = 0; i < e->rcpt_count && good; i++) {
		struct queue_copy *c = &m->copies[e->rcpts[i].group];
		struct slice name;
		struct arena a;

		if (c->left == 0 || c->attempt || c->job.destination)
			continue;
		arena_init(&a, LIMIT_SPOOL_ENVELOPE);
		name = where_name(&a, m->listener, &e->rcpts[i], q->conf);
		good = name.n && sched_add(q->sched, &c->job, name, due_ms, now_ms);
		arena_clear(&a);
	}
	if (good)
		return;
	event(m, LOG_LEVEL_ERROR, "oom", WAITS);
	m->quiet_ms = now_ms + QUIET_MS;
}

void message_schedule(struct queue_message *m)
{
	struct spool_envelope envelope;
	struct slice marks;
	struct arena a;

	arena_init(&a, LIMIT_SPOOL_ENVELOPE * 4);
	if (message_read(m, &a, &envelope, &marks)) {
		schedule(m, &envelope, loop_now_ms(m->queue->loop));
	} else {
		event(m, LOG_LEVEL_ERROR, "spool_unreadable", WAITS);
		m->quiet_ms = loop_now_ms(m->queue->loop) + QUIET_MS;
	}
	arena_clear(&a);
	queue_pump(m->queue);
}

static uint32_t groups(const struct spool_envelope *e)
{
	uint32_t n = 0;

	for (size_t i = 0; i < e->rcpt_count; i++)
		if (e->rcpts[i].group >= n)
			n = e->rcpts[i].group + 1;
	return n;
}

static struct queue_message *message_new(struct queue *q, struct store_entry *entry, const struct spool_envelope *e, struct slice marks)
{
	struct queue_message *m = calloc(1, sizeof(*m));
	int64_t age_s = queue_unix_s(q) - e->arrived_s;

	if (!m)
		return NULL;
	m->queue = q;
	m->entry = entry;
	m->listener = listener_for(q, e);
	m->copy_count = groups(e);
	m->copies = calloc(m->copy_count, sizeof(*m->copies));
	if (!m->copies) {
		free(m);
		return NULL;
	}
	memcpy(m->id, e->id.at, e->id.n < sizeof(m->id) ? e->id.n : sizeof(m->id) - 1);
	/* A clock that was wrong then, or is now, must not make a message old at once: it is as old as it can be known to be. */
	if (age_s < 0 || e->arrived_s < COPY_EARLIEST_S)
		age_s = 0;
	m->found_ms = loop_now_ms(q->loop);
	m->arrived_s = e->arrived_s;
	m->arrived_ms = loop_now_ms(q->loop) - age_s * 1000;
	m->report = e->report;
	m->held = marks.at[0] == SPOOL_HELD;
	for (uint32_t i = 0; i < m->copy_count; i++) {
		m->copies[i].message = m;
		m->copies[i].group = i;
		m->copies[i].job.owner = &m->copies[i];
	}
	for (size_t i = 0; i < e->rcpt_count; i++)
		m->copies[e->rcpts[i].group].left += marks.at[1 + i] == SPOOL_WAITING;
	for (uint32_t i = 0; i < m->copy_count; i++)
		m->copies_left += m->copies[i].left > 0;
	return m;
}

void message_found(void *arg, struct store_entry *e, const struct spool_envelope *envelope, struct slice marks)
{
	struct queue *q = arg;
	struct queue_message *m;
	int64_t due_ms = loop_now_ms(q->loop);

	if (map_get(&q->ids, envelope->id)) {
		/* A process that set a damaged file aside died before it was out of the way: its messages are there twice. */
		store_damaged(q->store, &e, "a message of that id is there already");
		return;
	}
	m = message_new(q, e, envelope, marks);
	if (!m || !map_put(&q->ids, slice_str(m->id), m, NULL)) {
		log_note(LOG_LEVEL_ERROR, "oom", "id=%.*s stays in the spool until the next look at it", SLICE_FMT(envelope->id));
		if (m)
			free(m->copies);
		free(m);
		store_drop(q->store, &e);
		return;
	}
	m->at = q->messages_end;
	*m->at = m;
	q->messages_end = &m->next;
	m->serial = ++q->serial;
	q->message_count++;
	q->held_count += m->held;
	q->found++;
	if (m->copies_left == 0) {
		message_free(m, true);
		return;
	}
	if (!m->listener)
		event(m, LOG_LEVEL_WARNING, "no_listener", "no listener of the name it came by: it waits for one");
	if (m->report)
		due_ms = flood_due_ms(q->flood, envelope->rcpts[0].path, due_ms);
	schedule(m, envelope, due_ms);
	queue_pump(q);
}

void message_free(struct queue_message *m, bool done)
{
	struct queue *q = m->queue;

	for (uint32_t i = 0; i < m->copy_count; i++) {
		BUG_ON(m->copies[i].attempt);
		sched_remove(q->sched, &m->copies[i].job, loop_now_ms(q->loop));
	}
	*m->at = m->next;
	if (m->next)
		m->next->at = m->at;
	else
		q->messages_end = m->at;
	if (q->walk == m)
		q->walk = m->next;
	q->message_count--;
	q->held_count -= m->held;
	if (map_get(&q->ids, slice_str(m->id)) == m)
		map_take(&q->ids, slice_str(m->id));
	if (m->entry && done)
		store_done(q->store, &m->entry);
	else if (m->entry)
		store_drop(q->store, &m->entry);
	free(m->unmarked);
	free(m->copies);
	free(m);
}

void message_copy_done(struct queue_copy *c)
{
	struct queue_message *m = c->message;

	BUG_ON(c->left);
	sched_remove(m->queue->sched, &c->job, loop_now_ms(m->queue->loop));
	if (--m->copies_left == 0)
		message_free(m, true);
}

bool message_expired(const struct queue_message *m)
{
	return loop_now_ms(m->queue->loop) - m->arrived_ms >= (int64_t)m->queue->conf->queue.expire_s * 1000;
}

bool message_late(const struct queue_message *m)
{
	int64_t warn_s = m->queue->conf->queue.warn_s;

	return warn_s && loop_now_ms(m->queue->loop) - m->arrived_ms >= warn_s * 1000;
}

void message_hold(struct queue_message *m)
{
	if (m->held || !store_mark(m->queue->store, m->entry, STORE_MESSAGE, SPOOL_HELD))
		return;
	m->held = true;
	m->queue->held_count++;
	/* One that is on its way just now goes on to its end. */
	for (uint32_t i = 0; i < m->copy_count; i++)
		if (!m->copies[i].attempt)
			sched_remove(m->queue->sched, &m->copies[i].job, loop_now_ms(m->queue->loop));
	event(m, LOG_LEVEL_INFO, "held", NULL);
}

void message_release(struct queue_message *m)
{
	if (!m->held || !store_mark(m->queue->store, m->entry, STORE_MESSAGE, SPOOL_WAITING))
		return;
	m->held = false;
	m->queue->held_count--;
	/* However old it has grown: whoever releases it wants it tried. */
	m->found_ms = loop_now_ms(m->queue->loop);
	for (uint32_t i = 0; i < m->copy_count; i++) {
		m->copies[i].hurried |= !m->copies[i].attempt;
		m->copies[i].tried = false;
	}
	message_schedule(m);
	event(m, LOG_LEVEL_INFO, "released", NULL);
}

bool message_remove(struct queue_message *m)
{
	bool stays = false;

	m->removing = true;
	for (uint32_t i = 0; i < m->copy_count; i++)
		if (m->copies[i].attempt && !attempt_stop(m->copies[i].attempt))
			stays = true;
		else
			sched_remove(m->queue->sched, &m->copies[i].job, loop_now_ms(m->queue->loop));
	if (stays)
		return false;
	event(m, LOG_LEVEL_INFO, "removed", NULL);
	message_free(m, true);
	return true;
}
