/*
 * command.c - what an operator asks of the queue (proto/control.md). Answers are bounded: lists come in pages, content in pieces.
 */
#include <stdlib.h>
#include <string.h>

#include "base/b64.h"
#include "base/limits.h"
#include "queue/queue_in.h"

/* PAGE: messages of a list at most. PAGE_OCTETS: of its text, about: the page ends there. PIECE: octets of content. DESTINATIONS: told of. */
enum { PAGE = 200, PAGE_OCTETS = 262144, PIECE = 65536, DESTINATIONS = 100 };

static json_t *refuse(const char *words, bool missing)
{
	return missing ? json_pack("{ss sb}", "error", words, "missing", 1) : json_pack("{ss}", "error", words);
}

/* As JSON has it; octets that are no UTF-8 are '?'. */
static json_t *text(struct slice s)
{
	json_t *t = json_stringn((const char *)s.at, s.n);
	char out[LIMIT_PATH + 1];
	size_t n = s.n < LIMIT_PATH ? s.n : LIMIT_PATH;

	if (t || s.n == 0)
		return t ? t : json_string("");
	for (size_t i = 0; i < n; i++)
		out[i] = s.at[i] < 0x20 || s.at[i] > 0x7e ? '?' : (char)s.at[i];
	return json_stringn(out, n);
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
		return m->copies[r->group].attempt ? "active" : m->held ? "held" : "waiting";
	}
}

static json_t *rcpt_told(struct queue_message *m, const struct spool_rcpt *r, unsigned char mark, size_t place, const json_t *note)
{
	const struct queue_copy *c = &m->copies[r->group];
	json_t *o = json_pack("{so sI ss}", "path", text(r->path), "copy", (json_int_t)r->group, "state", rcpt_state(m, r, mark));
	struct note_rcpt last;

	if (!o || mark != SPOOL_WAITING)
		return o;
	json_object_set_new(o, "attempts", json_integer(c->job.attempts));
	if (c->job.destination && !c->attempt) {
		int64_t wait_ms = sched_job_due_ms(&c->job) - loop_now_ms(m->queue->loop);

		json_object_set_new(o, "next_s", json_integer(wait_ms > 0 ? (wait_ms + 999) / 1000 : 0));
	}
	if (note && note_rcpt_get(note, place, &last) && last.code) {
		json_object_set_new(o, "code", json_integer(last.code));
		json_object_set_new(o, "enhanced", json_string(last.enhanced ? last.enhanced : ""));
		json_object_set_new(o, "text", json_string(last.text ? last.text : ""));
	}
	return o;
}

/* All that is told of a message; `all`: also of recipients that nothing is left to be done for. */
static json_t *message_told(struct queue_message *m, struct arena *a, bool all, struct spool_envelope *e)
{
	json_t *rcpts = json_array(), *note, *o;
	struct slice marks;

	if (!rcpts || !store_envelope(m->queue->store, m->entry, a, e, &marks)) {
		json_decref(rcpts);
		return NULL;
	}
	note = note_read(m, a);
	for (size_t i = 0; i < e->rcpt_count; i++)
		if (all || marks.at[1 + i] == SPOOL_WAITING)
			json_array_append_new(rcpts, rcpt_told(m, &e->rcpts[i], marks.at[1 + i], i, note));
	json_decref(note);
	o = json_pack("{ss sI sI so so ss so}", "id", m->id, "age_s", (json_int_t)((loop_now_ms(m->queue->loop) - m->arrived_ms) / 1000),
	    "octets", (json_int_t)store_octets(m->entry), "mail_from", text(e->mail_from), "listener", text(e->listener), "state", state_of(m),
	    "rcpts", rcpts);
	return o;
}

static struct queue_message *find(struct queue *q, const json_t *id)
{
	const char *name = json_string_value(id);

	return name ? map_get(&q->ids, slice_str(name)) : NULL;
}

static json_t *list(struct queue *q, const json_t *request)
{
	json_int_t after = json_integer_value(json_object_get(request, "after")), limit = json_integer_value(json_object_get(request, "limit"));
	json_t *all = json_array(), *answer;
	struct queue_message *m = q->messages;
	size_t octets = 0;
	json_int_t last = 0;

	while (m && m->serial <= after)
		m = m->next;
	if (limit <= 0 || limit > PAGE)
		limit = PAGE;
	for (; m && limit > 0 && octets < PAGE_OCTETS; m = m->next, limit--) {
		struct spool_envelope e;
		struct arena a;
		json_t *o;

		arena_init(&a, LIMIT_SPOOL_ENVELOPE * 8);
		o = message_told(m, &a, false, &e);
		octets += 300 + (o ? json_array_size(json_object_get(o, "rcpts")) * 200 : 0);
		last = m->serial;
		if (o)
			json_array_append_new(all, o);
		arena_clear(&a);
	}
	answer = json_pack("{so}", "messages", all);
	if (answer && m && last)
		json_object_set_new(answer, "next", json_integer(last));
	return answer;
}

static json_t *show(struct queue *q, const json_t *request)
{
	struct queue_message *m = find(q, json_object_get(request, "id"));
	struct slice header, body;
	struct spool_envelope e;
	struct fault f = { 0 };
	struct arena a;
	json_t *o;

	if (!m)
		return refuse("no such message in the queue", true);
	arena_init(&a, LIMIT_SPOOL_ENVELOPE * 8);
	o = message_told(m, &a, true, &e);
	if (o) {
		json_object_set_new(o, "file", text(store_name(m->entry)));
		json_object_set_new(o, "arrived", json_integer(e.arrived_s));
		json_object_set_new(o, "client", text(e.client));
		json_object_set_new(o, "ret", text(e.ret));
		json_object_set_new(o, "envid", text(e.envid));
		json_object_set_new(o, "body_8bit", json_boolean(e.body_8bit));
		json_object_set_new(o, "smtputf8", json_boolean(e.smtputf8));
		json_object_set_new(o, "requiretls", json_boolean(e.requiretls));
		json_object_set_new(o, "report", json_boolean(e.report));
		json_object_set_new(o, "report_to", text(e.report_to));
		json_object_set_new(o, "dkim2", json_string(e.judged ? dkim2_state_name(e.chain_state) : "none"));
	}
	if (o && store_open(q->store, m->entry, &header, &body, &f)) {
		json_t *h = json_stringn((const char *)header.at, header.n < PIECE ? header.n : PIECE);

		json_object_set_new(o, "header", h ? h : json_null());
		store_close(q->store, m->entry);
	}
	arena_clear(&a);
	return o ? o : refuse("the message cannot be read now", false);
}

static json_t *content(struct queue *q, const json_t *request)
{
	struct queue_message *m = find(q, json_object_get(request, "id"));
	json_int_t at = json_integer_value(json_object_get(request, "at"));
	struct slice header, body, empty = SLICE_NONE, parts[3];
	struct fault f = { 0 };
	struct buf piece;
	uint64_t all = 0, skip;
	json_t *o = NULL;
	struct arena a;

	if (!m)
		return refuse("no such message in the queue", true);
	if (at < 0 || !store_open(q->store, m->entry, &header, &body, &f))
		return refuse("the message cannot be read now", false);
	if (store_octets(m->entry) > header.n)
		empty = S("\r\n");
	parts[0] = header;
	parts[1] = empty;
	parts[2] = body;
	buf_init(&piece, PIECE);
	skip = (uint64_t)at;
	for (size_t i = 0; i < 3; i++) {
		struct slice rest = slice_sub(parts[i], skip < parts[i].n ? (size_t)skip : parts[i].n, PIECE - piece.n);

		skip -= skip < parts[i].n ? skip : parts[i].n;
		all += parts[i].n;
		buf_slice(&piece, rest);
	}
	store_close(q->store, m->entry);
	arena_init(&a, PIECE * 2);
	if (!buf_failed(&piece)) {
		o = json_pack("{so sI}", "octets", text(b64_text(&a, buf_get(&piece))), "at", at);
		if (o && (uint64_t)at + piece.n < all)
			json_object_set_new(o, "next", json_integer(at + (json_int_t)piece.n));
	}
	arena_clear(&a);
	buf_release(&piece);
	return o;
}

/* ---- what changes something ---- */

static void hurry(struct queue_message *m)
{
	int64_t now_ms = loop_now_ms(m->queue->loop);

	for (uint32_t i = 0; i < m->copy_count; i++)
		if (m->copies[i].job.destination && !m->copies[i].attempt)
			sched_hurry(m->queue->sched, &m->copies[i].job, now_ms);
	queue_pump(m->queue);
}

static void remove_it(struct queue_message *m)
{
	(void)message_remove(m);
}

static json_t *each(struct queue *q, const json_t *request, void (*act)(struct queue_message *m))
{
	const json_t *ids = json_object_get(request, "ids"), *id;
	struct queue_message *m, *next;
	json_int_t done = 0;
	size_t i;

	if (json_is_true(json_object_get(request, "all")))
		for (m = q->messages; m; m = next, done++) {
			next = m->next;
			act(m);
		}
	json_array_foreach(ids, i, id) {
		m = find(q, id);
		if (!m)
			continue;
		act(m);
		done++;
	}
	if (!done && json_array_size(ids))
		return refuse("no such message in the queue", true);
	return json_pack("{sI}", "done", done);
}

static json_t *flush(struct queue *q, const json_t *request)
{
	const char *destination = json_string_value(json_object_get(request, "destination"));
	size_t n;

	if (!destination && !json_is_true(json_object_get(request, "all")))
		return each(q, request, hurry);
	n = sched_flush(q->sched, slice_str(destination), loop_now_ms(q->loop));
	queue_pump(q);
	return json_pack("{sI}", "done", (json_int_t)n);
}

/* ---- destinations ---- */

struct shown {
	const struct queue *queue;
	struct sched_view views[DESTINATIONS];
	size_t n;
};

/* Those that most waits for. */
static bool show_view(void *arg, const struct sched_view *v)
{
	struct shown *s = arg;
	size_t at = s->n < DESTINATIONS ? s->n++ : DESTINATIONS - 1;

	if (at == DESTINATIONS - 1 && s->n == DESTINATIONS && s->views[at].waiting + s->views[at].active >= v->waiting + v->active &&
	    s->views[at].name.n)
		return true;
	for (; at && s->views[at - 1].waiting + s->views[at - 1].active < v->waiting + v->active; at--)
		s->views[at] = s->views[at - 1];
	s->views[at] = *v;
	return true;
}

static json_t *destinations(struct queue *q)
{
	struct shown *s = calloc(1, sizeof(*s));
	json_t *all = json_array();
	int64_t now_ms = loop_now_ms(q->loop);

	if (!s || !all) {
		free(s);
		json_decref(all);
		return NULL;
	}
	sched_walk(q->sched, show_view, s);
	for (size_t i = 0; i < s->n; i++) {
		const struct sched_view *v = &s->views[i];

		json_array_append_new(all, json_pack("{so sI sI sI sI sI}", "name", text(v->name), "waiting", (json_int_t)v->waiting, "active",
		    (json_int_t)v->active, "limit", (json_int_t)v->limit, "failures", (json_int_t)v->failures, "dead_s",
		    (json_int_t)(v->dead_until_ms > now_ms ? (v->dead_until_ms - now_ms + 999) / 1000 : 0)));
	}
	free(s);
	return json_pack("{sI sI sI sI sI so}", "messages", (json_int_t)q->message_count, "held", (json_int_t)q->held_count, "waiting",
	    (json_int_t)sched_waiting(q->sched), "active", (json_int_t)sched_active(q->sched), "destination_count",
	    (json_int_t)sched_destinations(q->sched), "destinations", all);
}

json_t *queue_command(struct queue *q, const json_t *request)
{
	const char *what = json_string_value(json_object_get(request, "do"));

	if (!what)
		return refuse("what is to be done?", false);
	if (strcmp(what, "list") == 0)
		return list(q, request);
	if (strcmp(what, "show") == 0)
		return show(q, request);
	if (strcmp(what, "content") == 0)
		return content(q, request);
	if (strcmp(what, "destinations") == 0)
		return destinations(q);
	if (q->draining)
		return refuse("the queue is stopping, try again in a moment", false);
	if (strcmp(what, "flush") == 0)
		return flush(q, request);
	if (strcmp(what, "hold") == 0)
		return each(q, request, message_hold);
	if (strcmp(what, "release") == 0)
		return each(q, request, message_release);
	if (strcmp(what, "remove") == 0)
		return each(q, request, remove_it);
	return refuse("no such request", false);
}
