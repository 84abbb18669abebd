/*
 * queue.c - the queue as a whole: what is in the spool is found, what is due is begun, what grew old is told of.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "base/limits.h"
#include "out/log.h"
#include "queue/queue_in.h"
#include "relay/relay.h"

/*
 * SCAN_FILES: looked at in a loop turn. START: attempts begun in one. AGE_MS, AGE_MESSAGES: how often so many are looked at whether they
 * are too old. REPORTS: made at a time of those that are. LOOK_MS: the folder is looked at anew, should a notice have been lost; SOON_MS:
 * should a file that there is notice of not have been readable, for want of a descriptor for example.
 */
enum { SCAN_FILES = 32, START = 64, AGE_MS = 1000, AGE_MESSAGES = 2000, REPORTS = 64, LOOK_MS = 300000, SOON_MS = 10000, DEAD_MIN_MS = 60000 };

int64_t queue_unix_s(const struct queue *q)
{
	return q->conf->dkim2.now >= 0 ? q->conf->dkim2.now : (int64_t)time(NULL);
}

/* ---- what is due ---- */

static void on_due(void *arg)
{
	queue_pump(arg);
}

static void arm(struct queue *q)
{
	int64_t due_ms = sched_due_ms(q->sched, loop_now_ms(q->loop));

	if (q->draining || due_ms == INT64_MAX)
		loop_timer_stop(&q->due);
	else
		loop_timer_set(q->loop, &q->due, due_ms - loop_now_ms(q->loop), on_due, q);
}

static void pump(void *arg)
{
	struct queue *q = arg;
	int64_t now_ms = loop_now_ms(q->loop);

	for (unsigned n = 0; n < START && !q->draining; n++) {
		struct sched_job *j = sched_next(q->sched, now_ms);

		if (!j)
			break;
		attempt_send(j->owner);
	}
	arm(q);
}

void queue_pump(struct queue *q)
{
	if (!q->draining)
		loop_later(q->loop, &q->pump, pump, q);
}

void queue_job_ended(struct queue *q, struct sched_job *j, enum sched_outcome outcome, int64_t due_ms)
{
	int64_t now_ms = loop_now_ms(q->loop);
	struct sched_view before = { 0 }, now = { 0 };
	char name[256];
	enum sched_change change;
	struct log_line l;

	snprintf(name, sizeof(name), "%s", "");
	if (sched_job_view(j, &before))
		snprintf(name, sizeof(name), "%.*s", SLICE_FMT(before.name));
	change = sched_end(q->sched, j, outcome, due_ms, now_ms);
	if (change == SCHED_SAME || change == SCHED_STILL_DEAD)
		return;
	l = log_begin(change == SCHED_DIED ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, change == SCHED_DIED ? "destination_dead" : "destination_back");
	log_str(&l, "destination", name);
	if (change == SCHED_DIED && sched_look(q->sched, slice_str(name), &now))
		log_i64(&l, "next_ms", now.dead_until_ms - now_ms);
	if (change == SCHED_BACK)
		log_i64(&l, "dead_ms", now_ms - before.dead_since_ms);
	log_end(&l);
}

static void drained(void *arg)
{
	struct queue *q = arg;
	void (*on)(void *arg) = q->on_drained;

	loop_timer_stop(&q->drain);
	q->on_drained = NULL;
	if (on)
		on(q->on_drained_arg);
}

static void on_age(void *arg);

void queue_ended(struct queue *q)
{
	if (q->draining && q->attempt_count == 0)
		loop_later(q->loop, &q->last, drained, q);
	else
		queue_pump(q);
	if (q->walk_waits && !q->draining)
		loop_timer_set(q->loop, &q->age, 0, on_age, q);
	q->walk_waits = false;
}

void queue_drain(struct queue *q, unsigned seconds, void (*on)(void *arg), void *arg)
{
	q->draining = true;
	q->on_drained = on;
	q->on_drained_arg = arg;
	loop_timer_stop(&q->due);
	loop_timer_stop(&q->age);
	loop_timer_stop(&q->look);
	loop_later_cancel(q->loop, &q->scan);
	if (q->attempt_count == 0 || seconds == 0)
		loop_later(q->loop, &q->last, drained, q);
	else
		loop_timer_set(q->loop, &q->drain, (int64_t)seconds * 1000, drained, q);
}

/* ---- what grew old ---- */

/*
 * Nothing is given up, or said to be late, because we were away: this process has tried it, or its destination, in vain, or would have if
 * so many were not before it.
 */
static bool had_its_turn(const struct queue *q, const struct queue_copy *c)
{
	struct sched_view v;

	return c->tried || !c->message->listener || (sched_job_view(&c->job, &v) && v.failures > 0) ||
	    loop_now_ms(q->loop) - c->message->found_ms >= (int64_t)q->conf->queue.retry_max_s * 1000;
}

/* False: as many reports are being made as can be at a time. */
static bool look_at(struct queue *q, struct queue_message *m)
{
	bool expired = message_expired(m), late = message_late(m) && !m->report, tried = false;

	message_mark_again(m);
	if (m->held || m->removing || m->damaged || loop_now_ms(q->loop) < m->quiet_ms)
		return true;
	for (uint32_t i = 0; i < m->copy_count; i++) {
		struct queue_copy *c = &m->copies[i];

		if (c->left == 0 || c->attempt)
			continue;
		/* There was no memory to schedule it, or it could not be read; one that has no listener is not. */
		if (!c->job.destination && m->listener && !tried) {
			tried = true;
			message_schedule(m);
		}
		if (!(expired || (late && !c->warned)) || !had_its_turn(q, c))
			continue;
		if (q->attempt_count - sched_active(q->sched) >= REPORTS)
			return false;
		if (expired)
			attempt_expire(c);
		else
			attempt_warn(c);
	}
	return true;
}

static void on_age(void *arg)
{
	struct queue *q = arg;
	struct queue_message *m = q->walk ? q->walk : q->messages;

	q->walk_waits = false;
	for (size_t n = 0; m && n < AGE_MESSAGES && !q->walk_waits; n++) {
		q->walk_waits = !look_at(q, m);
		m = q->walk_waits ? m : m->next;
	}
	q->walk = m;
	loop_timer_set(q->loop, &q->age, AGE_MS, on_age, q);
}

/* ---- what is there ---- */

static void log_recovered(const struct queue *q)
{
	struct log_line l = log_begin(LOG_LEVEL_INFO, "spool_recovered");

	log_u64(&l, "messages", q->found);
	log_u64(&l, "files", store_files(q->store));
	log_i64(&l, "ms", loop_now_ms(q->loop) - q->started_ms);
	log_end(&l);
}

static void on_scan(void *arg)
{
	struct queue *q = arg;

	if (store_scan(q->store, SCAN_FILES, message_found, q)) {
		loop_later(q->loop, &q->scan, on_scan, q);
		return;
	}
	if (q->ready)
		return;
	q->ready = true;
	log_recovered(q);
	if (q->on_ready)
		q->on_ready(q->on_ready_arg);
}

static void on_look(void *arg)
{
	struct queue *q = arg;

	queue_look(q);
}

void queue_look(struct queue *q)
{
	store_rescan(q->store);
	loop_later(q->loop, &q->scan, on_scan, q);
	q->look_soon = false;
	loop_timer_set(q->loop, &q->look, LOOK_MS, on_look, q);
}

static void take(struct queue *q, struct slice name)
{
	if (store_take(q->store, name, message_found, q) || q->look_soon)
		return;
	q->look_soon = true;
	loop_timer_set(q->loop, &q->look, SOON_MS, on_look, q);
}

/* A report of ours is safe. */
static void on_commit(void *arg, struct slice name)
{
	struct queue *q = arg;

	if (!q->draining)
		take(q, name);
}

void queue_notice(struct queue *q, struct slice packet)
{
	struct slice kind, name;

	if (q->draining || !slice_take(&packet, 1, &kind))
		return;
	if (kind.at[0] == SPOOL_LOOK) {
		queue_look(q);
		return;
	}
	while (spool_notice_next(&packet, &name))
		take(q, name);
}

void queue_on_ready(struct queue *q, void (*on)(void *arg), void *arg)
{
	q->on_ready = on;
	q->on_ready_arg = arg;
	if (q->ready)
		on(arg);
}

/* ---- begin and end ---- */

static bool make_listeners(struct queue *q)
{
	q->listeners = calloc(q->conf->listener_count, sizeof(*q->listeners));
	for (size_t i = 0; q->listeners && i < q->conf->listener_count; i++)
		q->listeners[i].conf = &q->conf->listeners[i];
	return q->listeners != NULL;
}

static struct scheduler *make_scheduler(const struct queue *q)
{
	struct sched_conf conf = {
		.retry_min_ms = (int64_t)q->conf->queue.retry_min_s * 1000,
		.retry_max_ms = (int64_t)q->conf->queue.retry_max_s * 1000,
		.concurrency = q->conf->queue.concurrency,
		.deliveries = q->conf->queue.deliveries,
	};

	conf.dead_min_ms = conf.retry_min_ms < DEAD_MIN_MS ? conf.retry_min_ms : DEAD_MIN_MS;
	conf.dead_max_ms = conf.retry_max_ms;
	if (getrandom(conf.seed, sizeof(conf.seed), 0) != sizeof(conf.seed))
		return NULL;
	return sched_new(&conf);
}

struct queue *queue_new(struct loop *l, const struct conf *conf, struct ask *ask, struct count_page *counts, unsigned slot, int spool_fd,
    char error_out[256])
{
	struct store_conf store = { .dir_fd = spool_fd, .reserve_octets = conf->spool_reserve_octets, .counts = counts, .slot = slot };
	struct queue *q = calloc(1, sizeof(*q));
	uint64_t seed[2];

	snprintf(error_out, 256, "no memory");
	if (!q || getrandom(seed, sizeof(seed), 0) != sizeof(seed)) {
		free(q);
		return NULL;
	}
	q->loop = l;
	q->conf = conf;
	q->ask = ask;
	q->counts = counts;
	q->slot = slot;
	q->start_ms = relay_start_ms();
	q->started_ms = loop_now_ms(l);
	q->messages_end = &q->messages;
	map_init(&q->ids, seed);
	q->store = store_new(l, &store, error_out);
	if (q->store)
		q->sched = make_scheduler(q);
	if (q->sched)
		q->flood = flood_new(seed);
	if (q->flood)
		q->hosts = hosts_new(l, ask, conf, counts, slot);
	if (!q->hosts || !make_listeners(q)) {
		queue_free(&q);
		return NULL;
	}
	store_on_commit(q->store, on_commit, q);
	loop_later(l, &q->scan, on_scan, q);
	if (!loop_timer_set(l, &q->age, AGE_MS, on_age, q) || !loop_timer_set(l, &q->look, LOOK_MS, on_look, q)) {
		queue_free(&q);
		return NULL;
	}
	return q;
}

void queue_free(struct queue **qp)
{
	struct queue *q = *qp;

	*qp = NULL;
	if (!q)
		return;
	while (q->attempts)
		attempt_free(q->attempts);
	while (q->messages)
		message_free(q->messages, false);
	free(q->listeners);
	hosts_free(&q->hosts);
	flood_free(&q->flood);
	sched_free(&q->sched);
	store_free(&q->store);
	map_release(&q->ids, NULL);
	loop_later_cancel(q->loop, &q->scan);
	loop_later_cancel(q->loop, &q->pump);
	loop_later_cancel(q->loop, &q->last);
	loop_timer_release(&q->due);
	loop_timer_release(&q->age);
	loop_timer_release(&q->drain);
	loop_timer_release(&q->look);
	free(q);
}
