/*
 * command.c - what an operator asks of the queue (proto/control.md). Answers are bounded: lists come in pages, content in pieces.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/b64.h"
#include "base/limits.h"
#include "queue/queue_in.h"

/* PAGE_OCTETS: of an answer, about: the page ends there. PIECE: octets of content. LIST_RCPTS: told of in a list. DESTINATIONS: told of. */
enum { PAGE_OCTETS = 524288, PIECE = 65536, LIST_RCPTS = 20, DESTINATIONS = 100, NEXT_OCTETS = 24 };

static json_t *refuse(const char *words)
{
	return json_pack("{ss}", "error", words);
}

static json_t *no_such(const json_t *id)
{
	return json_pack("{ss s[O]}", "error", "no such message", "missing", id);
}

static size_t limit_of(const json_t *request)
{
	json_int_t limit = json_integer_value(json_object_get(request, "limit"));

	return limit > 0 && limit < LIMIT_QUEUE_PAGE ? (size_t)limit : LIMIT_QUEUE_PAGE;
}

/* Where a page begins: a serial number, or a recipient's place. */
static int64_t after_of(const json_t *request)
{
	uint64_t after;

	return slice_u64(slice_str(json_string_value(json_object_get(request, "after"))), INT64_MAX, &after) ? (int64_t)after : 0;
}

static void next_set(json_t *answer, int64_t after)
{
	char text[NEXT_OCTETS];

	snprintf(text, sizeof(text), "%lld", (long long)after);
	json_object_set_new(answer, "next", json_string(text));
}

/* As JSON has it: what is no UTF-8, and controls, stand as \xNN. */
static json_t *text(struct slice s)
{
	json_t *t = json_stringn((const char *)s.at, s.n);
	bool plain = t != NULL;
	struct buf b;

	for (size_t i = 0; i < s.n && plain; i++)
		plain = s.at[i] >= 0x20 && s.at[i] != 0x7f;
	if (plain || s.n == 0)
		return t ? t : json_string("");
	json_decref(t);
	buf_init(&b, s.n * 4);
	for (size_t i = 0; i < s.n; i++)
		if (s.at[i] < 0x20 || s.at[i] > 0x7e)
			buf_printf(&b, "\\x%02x", s.at[i]);
		else
			buf_octet(&b, s.at[i]);
	t = json_stringn((const char *)b.at, b.n);
	buf_release(&b);
	return t;
}

static const char *state_of(const struct queue_message *m)
{
	for (uint32_t i = 0; i < m->copy_count; i++)
		if (m->copies[i].attempt)
			return "active";
	return m->held ? "held" : "waiting";
}

static const char *rcpt_state(const struct queue_message *m, const struct spool_rcpt *r, unsigned char mark)
{
	switch (mark) {
	case SPOOL_DELIVERED:
		return "delivered";
	case SPOOL_FAILED:
		return "failed";
	case SPOOL_REMOVED:
		return "removed";
	default:
		return m->copies[r->group].attempt ? "active" : "waiting";
	}
}

static json_t *rcpt_told(struct queue_message *m, const struct spool_rcpt *r, unsigned char mark, size_t place, const json_t *note)
{
	const struct queue_copy *c = &m->copies[r->group];
	bool waits = mark == SPOOL_WAITING && c->job.destination && !c->attempt;
	int64_t wait_ms = waits ? sched_job_due_ms(&c->job) - loop_now_ms(m->queue->loop) : 0;
	struct note_rcpt last = { .text = NULL };

	if (note && mark == SPOOL_WAITING)
		(void)note_rcpt_get(note, place, &last);
	return json_pack("{so sI ss sI sI sI so}", "path", text(r->path), "copy", (json_int_t)r->group, "state", rcpt_state(m, r, mark),
	    "next_s", (json_int_t)(wait_ms > 0 ? (wait_ms + 999) / 1000 : 0), "attempts", (json_int_t)c->job.attempts, "code",
	    (json_int_t)last.code, "text", text(slice_str(last.text)));
}

/*
 * What a list tells of a message: the first recipients that something is left to be done for; with `all` any, from *at on, which is moved
 * to the first that is not told of, or to their number.
 */
static json_t *message_told(struct queue_message *m, struct arena *a, bool all, size_t *at, size_t limit, struct spool_envelope *e)
{
	json_t *rcpts = json_array(), *note = NULL;
	json_int_t left = 0;
	uint32_t whose = UINT32_MAX; /* the copy that `note` is about */
	struct slice marks;
	size_t octets = 0;

	if (!rcpts || !message_read(m, a, e, &marks)) {
		json_decref(rcpts);
		return NULL;
	}
	for (size_t i = 0; i < e->rcpt_count; i++)
		left += marks.at[1 + i] == SPOOL_WAITING;
	for (; *at < e->rcpt_count && json_array_size(rcpts) < limit && octets < PAGE_OCTETS; (*at)++) {
		if (!all && marks.at[1 + *at] != SPOOL_WAITING)
			continue;
		if (e->rcpts[*at].group != whose) {
			whose = e->rcpts[*at].group;
			json_decref(note);
			note = note_read(m, whose, a);
		}
		json_array_append_new(rcpts, rcpt_told(m, &e->rcpts[*at], marks.at[1 + *at], *at, note));
		octets += 400 + e->rcpts[*at].path.n * 4;
	}
	json_decref(note);
	return json_pack("{ss sI sI so so ss sI so}", "id", m->id, "age_s",
	    (json_int_t)((loop_now_ms(m->queue->loop) - m->arrived_ms) / 1000), "octets", (json_int_t)store_octets(m->entry), "mail_from",
	    text(e->mail_from), "listener", text(e->listener), "state", state_of(m), "left", left, "rcpts", rcpts);
}

static struct queue_message *find(struct queue *q, const json_t *id)
{
	const char *name = json_string_value(id);

	return name ? map_get(&q->ids, slice_str(name)) : NULL;
}

static struct queue_message *behind(struct queue *q, int64_t serial)
{
	struct queue_message *m = q->messages;

	while (m && m->serial <= serial)
		m = m->next;
	return m;
}

static json_t *list(struct queue *q, const json_t *request)
{
	struct queue_message *m = behind(q, after_of(request));
	json_t *all = json_array(), *answer;
	size_t octets = 0, limit = limit_of(request);
	int64_t last = 0;

	for (; m && limit > 0 && octets < PAGE_OCTETS; m = m->next, limit--) {
		struct spool_envelope e;
		struct arena a;
		size_t at = 0;
		json_t *o;

		arena_init(&a, LIMIT_SPOOL_ENVELOPE * 8);
		o = message_told(m, &a, false, &at, LIST_RCPTS, &e);
		octets += 1000 + (o ? json_array_size(json_object_get(o, "rcpts")) * 1000 : 0);
		last = m->serial;
		if (o)
			json_array_append_new(all, o);
		arena_clear(&a);
	}
	answer = json_pack("{so}", "messages", all);
	if (answer && m)
		next_set(answer, last);
	return answer;
}

static json_t *show(struct queue *q, const json_t *request)
{
	struct queue_message *m = find(q, json_object_get(request, "id"));
	size_t at = (size_t)after_of(request);
	struct slice header, body;
	struct spool_envelope e;
	struct fault f = { 0 };
	struct arena a;
	json_t *o, *answer = NULL;

	if (!m)
		return no_such(json_object_get(request, "id"));
	arena_init(&a, LIMIT_SPOOL_ENVELOPE * 8);
	o = message_told(m, &a, true, &at, limit_of(request), &e);
	if (o && store_open(q->store, m->entry, &header, &body, &f)) {
		json_t *more = json_pack("{sI sI so so sb sb sb sb sb so so so}", "arrived_s", (json_int_t)e.arrived_s, "header_octets",
		    (json_int_t)header.n, "file", text(store_name(m->entry)), "client", text(e.client), "known_client", e.known_client, "report",
		    e.report, "body_8bit", e.body_8bit, "smtputf8", e.smtputf8, "requiretls", e.requiretls, "ret", text(e.ret), "envid",
		    text(e.envid), "report_to", text(e.report_to));

		store_close(q->store, m->entry);
		if (more && json_object_update(o, more) == 0)
			answer = json_pack("{sO}", "message", o);
		json_decref(more);
		if (answer && at < e.rcpt_count)
			next_set(answer, (int64_t)at);
	}
	json_decref(o);
	arena_clear(&a);
	return answer ? answer : refuse("the message cannot be read now");
}

static json_t *content(struct queue *q, const json_t *request)
{
	struct queue_message *m = find(q, json_object_get(request, "id"));
	json_int_t at = json_integer_value(json_object_get(request, "at"));
	struct slice parts[3] = { SLICE_NONE };
	struct fault f = { 0 };
	struct buf piece;
	uint64_t all = 0, skip;
	json_t *o = NULL;
	struct arena a;

	if (!m)
		return no_such(json_object_get(request, "id"));
	if (at < 0 || !store_open(q->store, m->entry, &parts[0], &parts[2], &f))
		return refuse("the message cannot be read now");
	if (store_octets(m->entry) > parts[0].n)
		parts[1] = S("\r\n");
	buf_init(&piece, PIECE);
	skip = (uint64_t)at;
	for (size_t i = 0; i < 3; i++) {
		size_t from = skip < parts[i].n ? (size_t)skip : parts[i].n;

		buf_slice(&piece, slice_sub(parts[i], from, PIECE - piece.n));
		skip -= from;
		all += parts[i].n;
	}
	arena_init(&a, PIECE * 2);
	if (!buf_failed(&piece))
		o = json_pack("{so sI sI sI}", "octets", text(b64_text(&a, buf_get(&piece))), "at", at, "total", (json_int_t)all, "header_octets",
		    (json_int_t)(parts[0].n + parts[1].n));
	if (o && (uint64_t)at + piece.n < all)
		json_object_set_new(o, "next", json_integer(at + (json_int_t)piece.n));
	store_close(q->store, m->entry);
	arena_clear(&a);
	buf_release(&piece);
	return o;
}

/* ---- what changes something ---- */

/* Each gives how many it counts for. */
static json_int_t hurry(struct queue_message *m)
{
	int64_t now_ms = loop_now_ms(m->queue->loop);
	json_int_t n = 0;

	for (uint32_t i = 0; i < m->copy_count; i++)
		if (m->copies[i].job.destination && !m->copies[i].attempt) {
			m->copies[i].hurried = true;
			sched_hurry(m->queue->sched, &m->copies[i].job, now_ms);
			n++;
		}
	queue_pump(m->queue);
	return n;
}

static json_int_t hold(struct queue_message *m)
{
	bool before = m->held;

	message_hold(m);
	return m->held && !before;
}

static json_int_t release(struct queue_message *m)
{
	bool before = m->held;

	message_release(m);
	return before && !m->held;
}

static json_int_t take_away(struct queue_message *m)
{
	(void)message_remove(m);
	return 1;
}

static json_t *each_named(struct queue *q, const json_t *ids, json_int_t (*act)(struct queue_message *m))
{
	json_t *missing = json_array(), *id;
	json_int_t done = 0;
	size_t i;

	json_array_foreach(ids, i, id) {
		struct queue_message *m = find(q, id);

		if (m)
			done += act(m);
		else
			json_array_append(missing, id);
	}
	return json_pack("{sI so}", "done", done, "missing", missing);
}

static json_t *each(struct queue *q, const json_t *request, json_int_t (*act)(struct queue_message *m))
{
	struct queue_message *m, *next;
	size_t limit = limit_of(request);
	json_int_t done = 0;
	int64_t last = 0;
	json_t *answer;

	if (!json_is_true(json_object_get(request, "all")))
		return each_named(q, json_object_get(request, "ids"), act);
	for (m = behind(q, after_of(request)); m && limit > 0; m = next, limit--) {
		next = m->next;
		last = m->serial;
		done += act(m);
	}
	answer = json_pack("{sI}", "done", done);
	if (answer && m)
		next_set(answer, last);
	return answer;
}

/* Those of a destination, or all. */
static void hurry_all(struct queue *q, struct slice destination)
{
	struct sched_view v;

	for (struct queue_message *m = q->messages; m; m = m->next)
		for (uint32_t i = 0; i < m->copy_count; i++)
			if (sched_job_view(&m->copies[i].job, &v))
				m->copies[i].hurried |= destination.n == 0 || slice_eq(v.name, destination);
}

static json_t *flush(struct queue *q, const json_t *request)
{
	const char *destination = json_string_value(json_object_get(request, "destination"));
	size_t n;

	if (!destination && !json_is_true(json_object_get(request, "all")))
		return each_named(q, json_object_get(request, "ids"), hurry);
	if (!destination)
		queue_look(q);
	hurry_all(q, slice_str(destination));
	n = sched_flush(q->sched, slice_str(destination), loop_now_ms(q->loop));
	queue_pump(q);
	return json_pack("{sI}", "done", (json_int_t)n);
}

/* ---- destinations ---- */

struct shown {
	struct sched_view views[DESTINATIONS];
	size_t n;
};

/* Those that most waits for, most first. */
static bool show_view(void *arg, const struct sched_view *v)
{
	struct shown *s = arg;
	size_t at = s->n;

	if (at == DESTINATIONS) {
		if (s->views[at - 1].waiting >= v->waiting)
			return true;
		at--;
	} else {
		s->n++;
	}
	for (; at && s->views[at - 1].waiting < v->waiting; at--)
		s->views[at] = s->views[at - 1];
	s->views[at] = *v;
	return true;
}

/* Copies that wait and were tried before. */
static json_int_t deferred(const struct queue *q)
{
	json_int_t n = 0;

	for (const struct queue_message *m = q->messages; m; m = m->next)
		for (uint32_t i = 0; i < m->copy_count && !m->held; i++)
			n += m->copies[i].left && !m->copies[i].attempt && m->copies[i].job.attempts;
	return n;
}

static json_t *destinations(struct queue *q, const json_t *request)
{
	struct shown *s = calloc(1, sizeof(*s));
	json_t *all = json_array();
	int64_t now_ms = loop_now_ms(q->loop);
	size_t limit = limit_of(request), known = sched_destinations(q->sched);

	if (!s || !all) {
		free(s);
		json_decref(all);
		return NULL;
	}
	sched_walk(q->sched, show_view, s);
	for (size_t i = 0; i < s->n && i < limit; i++) {
		const struct sched_view *v = &s->views[i];

		json_array_append_new(all, json_pack("{so sI sI sI sI}", "name", text(v->name), "waiting", (json_int_t)v->waiting, "active",
		    (json_int_t)v->active, "limit", (json_int_t)v->limit, "dead_s",
		    (json_int_t)(v->dead_until_ms > now_ms ? (v->dead_until_ms - now_ms + 999) / 1000 : 0)));
	}
	free(s);
	return json_pack("{sb sI sI sI sI sI so sI}", "ready", q->ready, "messages", (json_int_t)q->message_count, "held",
	    (json_int_t)q->held_count, "waiting", (json_int_t)sched_waiting(q->sched), "active", (json_int_t)sched_active(q->sched), "deferred",
	    deferred(q), "destinations", all, "more", (json_int_t)(known - json_array_size(all)));
}

json_t *queue_command(struct queue *q, const json_t *request)
{
	const char *what = json_string_value(json_object_get(request, "do"));

	if (!what)
		return refuse("what is to be done?");
	if (strcmp(what, "list") == 0)
		return list(q, request);
	if (strcmp(what, "show") == 0)
		return show(q, request);
	if (strcmp(what, "content") == 0)
		return content(q, request);
	if (strcmp(what, "destinations") == 0)
		return destinations(q, request);
	if (q->draining)
		return refuse("the queue is stopping, try again in a moment");
	if (strcmp(what, "flush") == 0)
		return flush(q, request);
	if (strcmp(what, "hold") == 0)
		return each(q, request, hold);
	if (strcmp(what, "release") == 0)
		return each(q, request, release);
	if (strcmp(what, "remove") == 0)
		return each(q, request, take_away);
	return refuse("no such request");
}
