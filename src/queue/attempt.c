/*
 * attempt.c - one copy on its way: where to, sealed, sent, marked, reported on.
 *
 * What a next hop has taken is marked at once. What will not be delivered is marked once the report on it is safe in the spool; until
 * then the copy is on its way. What is put off goes back to the scheduler, and what was sealed is kept for the next attempt.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/limits.h"
#include "mail/from.h"
#include "mail/domain.h"
#include "out/log.h"
#include "queue/bounce.h"
#include "queue/queue_in.h"
#include "relay/copy.h"
#include "relay/deliver.h"

enum attempt_state {  /* only enter() writes it */
	ATTEMPT_BEGUN,
	ATTEMPT_WHERE,  /* an answer of the DNS is awaited */
	ATTEMPT_SEAL,   /* signatures are awaited */
	ATTEMPT_SEND,   /* the next hop has it */
	ATTEMPT_REPORT, /* a report is on its way to the disk */
	ATTEMPT_OVER
};

enum attempt_kind { ATTEMPT_TO_SEND, ATTEMPT_TO_EXPIRE, ATTEMPT_TO_WARN };

enum { SEAL_GOOD_S = 7 * 86400, BESIDE_MS = 1000, AGAIN_MS = 10000, BROKEN_MS = 60000, ARENA_OCTETS = 64 << 20 };

struct attempt {
	struct queue *queue;
	struct queue_message *message;
	struct queue_copy *copy;
	struct attempt *next, **at;
	enum attempt_state state;
	enum attempt_kind kind;
	bool given;                  /* the scheduler gave it out, and wants to hear of its end */
	struct arena arena;
	struct spool_envelope envelope;
	struct slice marks;
	struct deliver_rcpt *rcpts;  /* of the copy, those that wait */
	size_t *places;              /* theirs in the envelope */
	size_t *marked;              /* room for as many: those that are marked at once */
	size_t rcpt_count;
	json_t *note;                /* NULL: not read */
	struct note_copy noted;
	bool opened;
	struct slice header_text, body;
	struct header header;
	const struct dkim2_verdict *came;
	struct where_ask asking;
	struct where where;
	struct plan plan;
	struct edit *edit;
	struct copy *seal;
	int64_t sealed_s;            /* when it was; 0: nothing was put on top */
	struct slice fields;         /* what was put on top */
	bool enforce;
	bool again;                  /* by an earlier attempt */
	struct deliver *deliver;
	struct deliver_end end;
	struct bounce_rcpt *told;
	size_t *told_of;             /* in rcpts */
	size_t told_count;
	struct bounce_report report;
	struct store_put put;
	enum sched_outcome outcome;
	int64_t due_ms;              /* with SCHED_STOPPED */
	struct loop_later later;
};

static void enter(struct attempt *t, enum attempt_state to)
{
	static const unsigned moves[] = {
		[ATTEMPT_BEGUN] = 1u << ATTEMPT_WHERE | 1u << ATTEMPT_SEAL | 1u << ATTEMPT_SEND | 1u << ATTEMPT_REPORT | 1u << ATTEMPT_OVER,
		[ATTEMPT_WHERE] = 1u << ATTEMPT_SEAL | 1u << ATTEMPT_SEND | 1u << ATTEMPT_REPORT | 1u << ATTEMPT_OVER,
		[ATTEMPT_SEAL] = 1u << ATTEMPT_SEAL | 1u << ATTEMPT_SEND | 1u << ATTEMPT_REPORT | 1u << ATTEMPT_OVER,
		[ATTEMPT_SEND] = 1u << ATTEMPT_REPORT | 1u << ATTEMPT_OVER,
		[ATTEMPT_REPORT] = 1u << ATTEMPT_OVER,
		[ATTEMPT_OVER] = 0,
	};

	BUG_ON(!(moves[t->state] & 1u << to));
	t->state = to;
}

/* ---- begin and end ---- */

static struct attempt *attempt_new(struct queue_copy *c, enum attempt_kind kind)
{
	struct queue *q = c->message->queue;
	struct attempt *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->queue = q;
	t->message = c->message;
	t->copy = c;
	t->kind = kind;
	t->given = kind == ATTEMPT_TO_SEND;
	t->outcome = SCHED_STOPPED;
	t->due_ms = loop_now_ms(q->loop) + AGAIN_MS;
	arena_init(&t->arena, ARENA_OCTETS);
	t->next = q->attempts;
	t->at = &q->attempts;
	if (t->next)
		t->next->at = &t->next;
	q->attempts = t;
	q->attempt_count++;
	c->attempt = t;
	return t;
}

void attempt_free(struct attempt *t)
{
	struct queue *q = t->queue;

	*t->at = t->next;
	if (t->next)
		t->next->at = t->at;
	q->attempt_count--;
	t->copy->attempt = NULL;
	loop_later_cancel(q->loop, &t->later);
	where_cancel(&t->asking);
	copy_free(&t->seal);
	deliver_free(&t->deliver);
	where_release(&t->where);
	store_unput(&t->put);
	if (t->opened)
		store_close(q->store, t->message->entry);
	json_decref(t->note);
	arena_clear(&t->arena);
	free(t);
}

/* Are others of the message on their way? */
static bool message_busy(const struct queue_message *m)
{
	for (uint32_t i = 0; i < m->copy_count; i++)
		if (m->copies[i].attempt)
			return true;
	return false;
}

static void tell_later(const struct attempt *t, const struct deliver_rcpt *r, int64_t next_ms)
{
	tell_rcpt(&(struct tell){ .event = "deferred", .message = t->message, .copy = t->copy->group, .mail_from = t->envelope.mail_from,
	    .rcpt_to = r->path, .next_hop = t->end.next_hop, .address = t->end.address, .code = r->code ? r->code : r->why.basic,
	    .enhanced = r->code ? r->enhanced : r->why.enhanced, .text = r->code ? r->text : slice_str(r->why.text), .note = r->why.note,
	    .attempts = t->copy->job.attempts, .next_ms = next_ms, .duplicate = t->end.lost_final });
}

/* What of a text may stand in JSON, which is UTF-8: other octets than printable ASCII are '?'. */
static const char *plain(struct arena *a, struct slice text)
{
	char *out = arena_string(a, slice_sub(text, 0, LIMIT_REASON));

	for (char *p = out; p && *p; p++)
		if (*p < 0x20 || *p > 0x7e)
			*p = '?';
	return out;
}

static void keep_note(struct attempt *t, int64_t next_ms)
{
	struct queue *q = t->queue;
	struct note_copy c;
	bool good;

	if (!t->note)
		t->note = note_read(t->message, t->copy->group, &t->arena);
	if (!t->note)
		return;
	(void)note_copy_get(t->note, &t->arena, &c);
	c.warned = t->copy->warned;
	if (c.attempts < t->copy->job.attempts)
		c.attempts = t->copy->job.attempts;
	if (t->kind == ATTEMPT_TO_SEND)
		c.next_s = queue_unix_s(q) + (next_ms + 999) / 1000;
	if (t->sealed_s) {
		c.sealed_s = t->sealed_s;
		c.fields = t->fields;
		c.enforce = t->enforce;
	}
	good = note_copy_set(t->note, &c);
	for (size_t i = 0; i < t->rcpt_count && t->kind == ATTEMPT_TO_SEND; i++) {
		const struct deliver_rcpt *r = &t->rcpts[i];
		const struct note_rcpt n = { .code = r->code ? r->code : r->why.basic, .enhanced = r->code ? r->enhanced : r->why.enhanced,
			.text = plain(&t->arena, r->code ? r->text : slice_str(r->why.text)), .ours = r->code == 0 };

		if (r->outcome == DELIVER_LATER)
			good &= note_rcpt_set(t->note, t->places[i], &n);
	}
	if (good && note_write(t->message, t->copy->group, t->note))
		t->copy->kept = true;
}

/* At the end of the turn: whoever called is out of it by then. */
static void over(void *arg)
{
	struct attempt *t = arg;
	struct queue *q = t->queue;
	struct queue_copy *c = t->copy;
	struct queue_message *m = t->message;
	int64_t now_ms = loop_now_ms(q->loop), next_ms = -1;
	bool on_its_way = t->kind == ATTEMPT_TO_SEND;

	c->tried |= t->given && t->outcome != SCHED_STOPPED;
	if (t->given && c->job.destination && (c->left || t->outcome != SCHED_STOPPED)) {
		/* That nothing is left of it says nothing of a destination that was not reached. */
		queue_job_ended(q, &c->job, c->left == 0 && t->outcome == SCHED_AGAIN ? SCHED_DONE : t->outcome, t->due_ms);
		next_ms = c->left ? sched_job_due_ms(&c->job) - now_ms : -1;
	}
	if (t->rcpts && c->left && !m->removing && (t->state == ATTEMPT_OVER)) {
		bool sent = on_its_way && t->outcome != SCHED_STOPPED;

		for (size_t i = 0; i < t->rcpt_count && on_its_way; i++)
			if (t->rcpts[i].outcome == DELIVER_LATER && (t->rcpts[i].code || t->rcpts[i].why.code != FAULT_NONE))
				tell_later(t, &t->rcpts[i], next_ms);
		if (sent || t->sealed_s || t->kind == ATTEMPT_TO_WARN)
			keep_note(t, next_ms < 0 ? 0 : next_ms);
	}
	attempt_free(t);
	if (m->removing || m->damaged) {
		if (!message_busy(m) && m->damaged) {
			store_damaged(q->store, &m->entry, "its content is not what was written");
			message_free(m, false);
		} else if (m->removing) {
			(void)message_remove(m);
		}
	} else if (c->left == 0) {
		message_copy_done(c);
	} else if (m->held) {
		sched_remove(q->sched, &c->job, now_ms);
	} else if (!c->job.destination) {
		message_wait(c, now_ms + AGAIN_MS);
	}
	queue_ended(q);
}

static void end(struct attempt *t)
{
	if (t->state == ATTEMPT_OVER)
		return;
	enter(t, ATTEMPT_OVER);
	loop_later(t->queue->loop, &t->later, over, t);
}

/* Nothing became of it, for reasons of our own. */
static void stop(struct attempt *t, int64_t after_ms)
{
	t->outcome = SCHED_STOPPED;
	t->due_ms = loop_now_ms(t->queue->loop) + after_ms;
	if (t->kind != ATTEMPT_TO_SEND)
		t->message->quiet_ms = t->due_ms;
	end(t);
}

static void all(struct attempt *t, enum deliver_outcome outcome, const struct fault *f)
{
	for (size_t i = 0; i < t->rcpt_count; i++) {
		t->rcpts[i].outcome = outcome;
		t->rcpts[i].code = 0;
		t->rcpts[i].why = *f;
	}
}

/* ---- reports ---- */

static void mark_failed(struct attempt *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->told_count; i++) {
		const struct deliver_rcpt *r = &t->rcpts[t->told_of[i]];
		const struct bounce_rcpt *b = &t->told[i];
		bool expired = r->outcome == DELIVER_LATER;

		if (b->action != DSN_FAILED)
			continue;
		tell_rcpt(&(struct tell){ .event = expired ? "expired" : "bounced", .message = t->message, .copy = t->copy->group,
		    .mail_from = t->envelope.mail_from, .rcpt_to = r->path, .next_hop = t->end.next_hop, .address = t->end.address,
		    .code = r->code ? r->code : r->why.basic, .enhanced = r->code ? r->enhanced : r->why.enhanced,
		    .text = r->code ? r->text : slice_str(r->why.text), .note = r->why.note, .attempts = t->copy->job.attempts, .next_ms = -1 });
		count_add(t->queue->counts, t->queue->slot, expired ? COUNT_EXPIRED : COUNT_BOUNCED, 1);
		t->marked[n++] = t->places[t->told_of[i]];
		t->copy->left--;
	}
	message_mark(t->message, t->marked, n, SPOOL_FAILED);
}

/* Whoever is to hear of it does, or nobody is. */
static void told(struct attempt *t)
{
	if (t->kind == ATTEMPT_TO_WARN)
		t->copy->warned = true;
	else
		mark_failed(t);
	end(t);
}

static void log_report(const struct attempt *t, const char *event, enum log_level level, const char *why)
{
	struct log_line l = log_begin(level, event);

	log_str(&l, "id", t->message->id);
	log_u64(&l, "copy", t->copy->group);
	if (why) {
		log_str(&l, "why", why);
		log_u64(&l, "rcpts", t->report.rcpts ? t->report.rcpts : t->told_count);
	} else {
		log_text(&l, "report", t->report.envelope.id);
		log_text(&l, "to", t->report.envelope.rcpts[0].path);
		log_u64(&l, "rcpts", t->report.rcpts);
	}
	log_end(&l);
}

static void on_report(void *arg, const struct fault *f)
{
	struct attempt *t = arg;

	if (f) {
		/* Without a report nobody would know: those who failed are tried again later. */
		log_report(t, "dsn_failed", LOG_LEVEL_ERROR, f->note[0] ? f->note : f->text);
		for (size_t i = 0; i < t->told_count; i++)
			if (t->told[i].action == DSN_FAILED)
				t->rcpts[t->told_of[i]].outcome = DELIVER_LATER;
		stop(t, BROKEN_MS);
		return;
	}
	count_add(t->queue->counts, t->queue->slot, COUNT_REPORTS, 1);
	log_report(t, "dsn_queued", LOG_LEVEL_INFO, NULL);
	if (!t->report.aligned)
		log_report(t, "dsn_unaligned", LOG_LEVEL_INFO, NULL);
	told(t);
}

static bool put_report(struct attempt *t)
{
	struct queue *q = t->queue;
	const struct bounce_report *r = &t->report;
	struct slice *runs = ARENA_ARRAY(&t->arena, r->runs + 2, struct slice);
	struct store_message message = { .envelope = &r->envelope, .runs = runs, .run_count = r->runs + 2,
		.header_octets = (uint32_t)r->header.n };
	struct fault f = { 0 };

	if (!runs)
		return false;
	runs[0] = r->header;
	runs[1] = S("\r\n");
	memcpy(runs + 2, r->body, r->runs * sizeof(*runs));
	enter(t, ATTEMPT_REPORT);
	if (store_put(q->store, &t->put, &message, on_report, t, &f))
		return true;
	on_report(t, &f);
	return true;
}

/* Who failed, and whose success is to be told. False: nothing is to be told, and nobody failed. */
static bool collect(struct attempt *t)
{
	int64_t now_s = queue_unix_s(t->queue);

	t->told = ARENA_ARRAY(&t->arena, t->rcpt_count, struct bounce_rcpt);
	t->told_of = ARENA_ARRAY(&t->arena, t->rcpt_count, size_t);
	for (size_t i = 0; t->told && t->told_of && i < t->rcpt_count; i++) {
		const struct deliver_rcpt *r = &t->rcpts[i];
		const struct spool_rcpt *rcpt = &t->envelope.rcpts[t->places[i]];
		bool failed = r->outcome == DELIVER_NEVER || (r->outcome == DELIVER_LATER && t->kind == ATTEMPT_TO_EXPIRE);
		enum dsn_action action = failed ? DSN_FAILED : r->outcome == DELIVER_LATER ? DSN_DELAYED :
		    t->where.hop_count && next_hop_lmtp(t->where.hops[0]) ? DSN_DELIVERED : DSN_RELAYED;

		if (action == DSN_DELAYED ? t->kind != ATTEMPT_TO_WARN : !failed && !r->relayed)
			continue;
		if (action != DSN_FAILED && !bounce_wanted(rcpt, action))
			continue;
		t->told_of[t->told_count] = i;
		t->told[t->told_count++] = (struct bounce_rcpt){ .rcpt = rcpt, .action = action, .code = r->code,
			.enhanced = r->code ? r->enhanced : r->why.enhanced, .text = r->code ? r->text : slice_str(r->why.text),
			.next_hop = t->end.next_hop, .last_attempt_s = t->end.next_hop ? now_s : 0 };
	}
	return t->told_count > 0;
}

/* All is known of every recipient; those that a next hop took are marked. */
static void report(struct attempt *t)
{
	struct queue *q = t->queue;
	struct bounce_terms terms = { .conf = q->conf, .envelope = &t->envelope, .came = t->came, .body = t->body, .now_s = queue_unix_s(q) };
	const char *why = "no memory";

	if (!collect(t)) {
		t->copy->warned |= t->kind == ATTEMPT_TO_WARN;
		end(t);
		return;
	}
	terms.header = t->header_text;
	if (t->envelope.report_to.n && flood_full(q->flood, t->envelope.report_to, loop_now_ms(q->loop))) {
		log_report(t, "dsn_suppressed", LOG_LEVEL_WARNING, "flood");
		told(t);
		return;
	}
	terms.retry_until_s = t->message->arrived_s + q->conf->queue.expire_s;
	terms.id = arena_printf(&t->arena, "r%011llx%02x%x", (unsigned long long)q->start_ms, q->slot, ++q->report_count);
	terms.boundary_seed = arena_printf(&t->arena, "%016llx%x", (unsigned long long)q->ids.seed[0], q->report_count);
	switch (bounce_write(&t->arena, &terms, t->told, t->told_count, &t->report, &why)) {
	case BOUNCE_MADE:
		if (put_report(t))
			return;
		break;
	case BOUNCE_CANNOT:
		if (strcmp(why, "memory") == 0)
			break;
		/* it will not be possible later either */
		/* fall through */
	case BOUNCE_SUPPRESSED:
		log_report(t, "dsn_suppressed", LOG_LEVEL_INFO, why);
		/* fall through */
	case BOUNCE_NOT_WANTED:
		told(t);
		return;
	}
	log_report(t, "dsn_failed", LOG_LEVEL_ERROR, why);
	stop(t, BROKEN_MS);
}

/* ---- what the next hop said ---- */

static void settle(struct attempt *t)
{
	struct queue *q = t->queue;
	bool later = false;
	size_t n = 0;

	/* Before anything else: until then a copy that was taken would be sent again by whoever comes after us. */
	for (size_t i = 0; i < t->rcpt_count; i++)
		if (t->rcpts[i].outcome == DELIVER_TAKEN)
			t->marked[n++] = t->places[i];
	message_mark(t->message, t->marked, n, SPOOL_DELIVERED);
	for (size_t i = 0; i < t->rcpt_count; i++) {
		struct deliver_rcpt *r = &t->rcpts[i];

		if (r->outcome == DELIVER_LATER) {
			later = true;
			count_add(q->counts, q->slot, COUNT_PUT_OFF, 1);
		}
		if (r->outcome != DELIVER_TAKEN)
			continue;
		t->copy->left--;
		count_add(q->counts, q->slot, COUNT_DELIVERED, 1);
		tell_rcpt(&(struct tell){ .event = "delivered", .message = t->message, .copy = t->copy->group,
		    .mail_from = t->envelope.mail_from, .rcpt_to = r->path, .next_hop = t->end.next_hop, .address = t->end.address, .code = r->code,
		    .enhanced = r->enhanced, .text = r->text, .attempts = t->copy->job.attempts, .next_ms = -1 });
	}
	if (later && message_expired(t->message) && t->outcome != SCHED_STOPPED)
		t->kind = ATTEMPT_TO_EXPIRE;
	report(t);
}

/* Whoever has no memory or descriptors left knows nothing of a destination. */
static bool ours(const struct fault *f)
{
	return f->code == FAULT_NO_MEMORY || f->code == FAULT_INTERNAL;
}

static void on_delivered(void *arg, const struct deliver_end *e)
{
	struct attempt *t = arg;

	t->end = *e;
	t->outcome = e->busy ? SCHED_BUSY : e->reached ? SCHED_AGAIN : SCHED_DOWN;
	for (size_t i = 0; i < t->rcpt_count && !e->reached; i++)
		if (t->rcpts[i].code == 0 && ours(&t->rcpts[i].why)) {
			t->outcome = SCHED_STOPPED;
			t->due_ms = loop_now_ms(t->queue->loop) + AGAIN_MS;
		}
	settle(t);
}

static void send_it(struct attempt *t)
{
	struct queue *q = t->queue;
	bool empty_line = store_octets(t->message->entry) > t->header_text.n;
	struct deliver_job job = { .loop = q->loop, .arena = &t->arena, .hops = t->where.hops, .hop_count = t->where.hop_count,
		.mail_from = t->envelope.mail_from, .rcpts = t->rcpts, .rcpt_count = t->rcpt_count, .dots = t->envelope.dots,
		.listener = t->message->listener->conf->name, .name = t->message->id };
	struct slice *header, *runs;
	size_t n = 0;

	job.params = (struct srv_params){ .body_8bit = t->envelope.body_8bit, .body_named = t->envelope.body_8bit,
		.smtputf8 = t->envelope.smtputf8, .requiretls = t->envelope.requiretls, .ret = t->envelope.ret, .envid = t->envelope.envid };
	runs = edit_list(t->edit, &header, &n) ? ARENA_ARRAY(&t->arena, n + 2, struct slice) : NULL;
	if (!runs) {
		stop(t, AGAIN_MS);
		return;
	}
	memcpy(runs, header, n * sizeof(*runs));
	if (empty_line)
		runs[n++] = S("\r\n");
	if (t->body.n)
		runs[n++] = t->body;
	job.runs = runs;
	job.run_count = n;
	for (size_t i = 0; i < n; i++)
		job.octets += runs[i].n;
	enter(t, ATTEMPT_SEND);
	t->deliver = deliver_start(&job, on_delivered, t);
	if (!t->deliver)
		stop(t, AGAIN_MS);
}

/* ---- the seal ---- */

/* What was put on top of the message as it is kept; none where that lost a field, which would be there at the next attempt. */
static struct slice fields_added(struct attempt *t)
{
	const struct header *now = edit_header(t->edit);
	struct slice all = SLICE_NONE;
	struct buf b;

	if (!now || now->n <= t->header.n)
		return SLICE_NONE;
	for (size_t i = 1; i <= t->header.n; i++)
		if (now->fields[now->n - i].raw.at != t->header.fields[t->header.n - i].raw.at)
			return SLICE_NONE;
	buf_init(&b, LIMIT_SPOOL_NOTE / 2);
	for (size_t i = 0; i < now->n - t->header.n; i++)
		buf_slice(&b, now->fields[i].raw);
	if (!buf_failed(&b))
		all = arena_copy(&t->arena, buf_get(&b));
	buf_release(&b);
	return all;
}

static void seal(struct attempt *t);

static void on_sealed(void *arg)
{
	struct attempt *t = arg;
	struct fault f = { 0 };

	if (copy_result(t->seal, &f) == COPY_REFUSED) {
		if (t->again) {
			/* What was kept does not fit what leaves: it is sealed anew. */
			t->noted.fields = t->fields = SLICE_NONE;
			t->sealed_s = 0;
			copy_free(&t->seal);
			seal(t);
		} else if (f.code == FAULT_KEEPER_DOWN || f.code == FAULT_NO_MEMORY || f.basic / 100 == 4) {
			all(t, DELIVER_LATER, &f);
			/* All copies alike: no more than a thousand a second. */
			stop(t, AGAIN_MS + (int64_t)t->queue->message_count);
		} else {
			all(t, DELIVER_NEVER, &f);
			t->outcome = SCHED_STOPPED;
			report(t);
		}
		return;
	}
	count_add(t->queue->counts, t->queue->slot, COUNT_SEALED, copy_seals(t->seal));
	if (copy_seals(t->seal) || copy_dkim(t->seal) || copy_arc(t->seal)) {
		t->fields = fields_added(t);
		t->sealed_s = t->fields.n ? queue_unix_s(t->queue) : 0;
		t->enforce = copy_unsealed(t->seal) ? t->plan.bound : t->plan.enforce;
	}
	send_it(t);
}

/* What an earlier attempt put on top, put there again. False: there is nothing that can be used. */
static bool seal_again(struct attempt *t)
{
	int64_t age_s = queue_unix_s(t->queue) - t->noted.sealed_s;
	struct header fields;
	struct fault f = { 0 };

	if (!t->noted.fields.n || age_s < 0 || age_s >= SEAL_GOOD_S)
		return false;
	if (!header_parse(&t->arena, t->noted.fields, LIMIT_HOPS * 2, &fields, &f) || fields.malformed)
		return false;
	for (size_t i = fields.n; i-- > 0;)
		edit_prepend(t->edit, fields.fields[i].raw);
	t->sealed_s = t->noted.sealed_s;
	t->fields = t->noted.fields;
	t->enforce = t->noted.enforce;
	return true;
}

static const struct dkim2_verdict *recall(struct attempt *t)
{
	const struct spool_envelope *e = &t->envelope;
	struct dkim2_verdict said = { .state = e->chain_state, .newest = e->chain_newest, .level = e->chain_level, .hop_count = e->hop_count,
		.instance_count = e->instance_count, .exploded = e->chain_exploded };

	return dkim2_recall(&t->arena, &t->header, t->queue->conf->dkim2.draft, &said);
}

static bool plan(struct attempt *t)
{
	const struct conf_listener *l = t->message->listener->conf;
	struct plan_facts facts = { .conf = t->queue->conf, .listener = l, .came = t->came, .known_client = t->envelope.known_client,
		.arranged = t->envelope.arranged, .wanted = t->envelope.wanted };
	struct slice *from = NULL;
	struct path sender;
	size_t first = header_find(&t->header, S("From"), 0);

	t->plan = (struct plan){ .kind = PLAN_NOTHING, .why = "none" };
	/* A report is mail of ours, whatever service the message came by. */
	if ((!l->sealing && !t->envelope.report) || l->shadow)
		return true;
	if (from_domains(&t->arena, &t->header, &from, &facts.from_count)) {
		facts.from = from;
		facts.from_single = header_find(&t->header, S("From"), first + 1) >= t->header.n;
	} else {
		facts.from_count = 0;
	}
	if (!path_parse(t->envelope.mail_from, &sender))
		return false;
	facts.mail_from_null = sender.null;
	if (sender.domain.n && !domain_normal(&t->arena, sender.domain, &facts.mail_from_domain))
		facts.mail_from_domain = sender.domain;
	t->plan = plan_make(&facts);
	return !arena_failed(&t->arena);
}

/* Those that were not made when it came: of reports. */
static bool hash_body(struct attempt *t)
{
	struct spool_envelope *e = &t->envelope;
	struct canon_body *c;
	int relaxed;

	if (e->body_sha256.n && e->body_relaxed_sha256.n)
		return true;
	c = canon_body_new(1U << DIGEST_SHA256);
	if (!c)
		return false;
	relaxed = canon_body_want(c, CANON_RELAXED, DIGEST_SHA256, CANON_WHOLE);
	canon_body_add(c, t->body);
	canon_body_end(c);
	e->body_sha256 = arena_copy(&t->arena, canon_body_digest(c, DIGEST_SHA256));
	e->body_relaxed_sha256 = arena_copy(&t->arena, canon_body_got(c, relaxed));
	canon_body_free(&c);
	return e->body_sha256.n && e->body_relaxed_sha256.n;
}

static void seal(struct attempt *t)
{
	const struct conf_listener *l = t->message->listener->conf;
	struct slice *rcpts = ARENA_ARRAY(&t->arena, t->rcpt_count, struct slice);
	struct arc_verdict *arc = ARENA_NEW(&t->arena, struct arc_verdict);
	struct copy_job job = { .arena = &t->arena, .ask = t->queue->ask, .conf = t->queue->conf, .came = &t->header, .verdict = t->came,
		.body_sha512 = t->envelope.body_sha512, .flags = l->flags, .now = queue_unix_s(t->queue) };
	const char *arc_seal = l->shadow ? NULL : l->arc_seal;
	bool sign;

	t->edit = edit_new(&t->arena, &t->header);
	if (!t->edit || !rcpts || !arc || !plan(t)) {
		stop(t, AGAIN_MS);
		return;
	}
	t->again = !l->shadow && seal_again(t);
	if (t->again)
		t->plan = (struct plan){ .kind = PLAN_NOTHING, .enforce = t->enforce, .why = "again" };
	sign = !t->again && (arc_seal || t->plan.kind != PLAN_NOTHING || t->plan.dkim);
	if (sign && !hash_body(t)) {
		stop(t, AGAIN_MS);
		return;
	}
	for (size_t i = 0; i < t->rcpt_count; i++)
		rcpts[i] = t->rcpts[i].path;
	job.edit = t->edit;
	job.plan = t->plan;
	job.envelope = (struct dkim2_envelope){ .mail_from = t->envelope.mail_from, .rcpt_to = rcpts, .rcpt_count = t->rcpt_count };
	job.body_sha256 = t->envelope.body_sha256;
	job.body_relaxed_sha256 = t->envelope.body_relaxed_sha256;
	if (!t->again && arc_seal && t->envelope.authres.n) {
		*arc = (struct arc_verdict){ .state = t->envelope.arc_state, .instances = t->envelope.arc_instances };
		job.arc = arc_seal;
		job.arc_came = arc;
		job.authres = t->envelope.authres;
	}
	enter(t, ATTEMPT_SEAL);
	t->seal = copy_start(&job, on_sealed, t);
	if (!t->seal)
		stop(t, AGAIN_MS);
	else if (copy_result(t->seal, &(struct fault){ 0 }) != COPY_WAIT)
		on_sealed(t);
}

/* ---- the beginning ---- */

static bool open_content(struct attempt *t)
{
	struct queue *q = t->queue;
	struct fault f = { 0 };

	/* Limits for new mail are none for what was taken. */
	t->opened = store_open(q->store, t->message->entry, &t->header_text, &t->body, &f);
	if (t->opened && header_parse(&t->arena, t->header_text, SIZE_MAX, &t->header, &f)) {
		t->came = recall(t);
		if (t->came)
			return true;
	}
	if (f.code == FAULT_MALFORMED) {
		t->message->damaged = true;
		stop(t, 0);
	} else {
		log_note(LOG_LEVEL_ERROR, "spool_unreadable", "id=%s %s", t->message->id, f.note[0] ? f.note : f.text);
		stop(t, BROKEN_MS);
	}
	return false;
}

static void on_where(void *arg, const struct where *w)
{
	struct attempt *t = arg;

	t->where = *w;
	if (w->hop_count) {
		if (open_content(t))
			seal(t);
		return;
	}
	if (w->fault.basic / 100 == 5) {
		all(t, DELIVER_NEVER, &w->fault);
		t->outcome = SCHED_STOPPED;
		if (open_content(t))
			report(t);
		return;
	}
	all(t, DELIVER_LATER, &w->fault);
	if (ours(&w->fault)) {
		stop(t, AGAIN_MS);
		return;
	}
	t->outcome = SCHED_DOWN;
	if (message_expired(t->message)) {
		t->kind = ATTEMPT_TO_EXPIRE;
		if (open_content(t))
			report(t);
		return;
	}
	end(t);
}

/* The envelope, and the recipients of the copy that wait. */
static bool read_envelope(struct attempt *t)
{
	if (!message_read(t->message, &t->arena, &t->envelope, &t->marks))
		return false;
	t->rcpts = ARENA_ARRAY(&t->arena, t->envelope.rcpt_count, struct deliver_rcpt);
	t->places = ARENA_ARRAY(&t->arena, t->envelope.rcpt_count, size_t);
	t->marked = ARENA_ARRAY(&t->arena, t->envelope.rcpt_count, size_t);
	if (!t->rcpts || !t->places || !t->marked)
		return false;
	for (size_t i = 0; i < t->envelope.rcpt_count; i++) {
		const struct spool_rcpt *r = &t->envelope.rcpts[i];

		if (r->group != t->copy->group || t->marks.at[1 + i] != SPOOL_WAITING)
			continue;
		t->places[t->rcpt_count] = i;
		t->rcpts[t->rcpt_count++] = (struct deliver_rcpt){ .path = r->path, .outcome = DELIVER_LATER,
			.params = { .notify = r->notify, .orcpt = r->orcpt } };
	}
	t->copy->left = (uint32_t)t->rcpt_count;
	return t->rcpt_count > 0;
}

/* What an earlier process, or attempt, has left. True: it is not to be tried yet. */
static bool too_soon(struct attempt *t)
{
	struct queue *q = t->queue;
	bool first = !t->copy->noted && !t->copy->hurried;
	int64_t wait_s;

	if (t->copy->noted && !t->copy->kept)
		return false;
	t->copy->noted = true;
	t->copy->hurried = false;
	t->note = note_read(t->message, t->copy->group, &t->arena);
	if (!t->note || !note_copy_get(t->note, &t->arena, &t->noted))
		return false;
	t->copy->warned |= t->noted.warned;
	if (t->copy->job.attempts < t->noted.attempts)
		t->copy->job.attempts = t->noted.attempts;
	if (!first)
		return false;
	wait_s = t->noted.next_s - queue_unix_s(q);
	if (wait_s <= 1 || message_expired(t->message) || wait_s > (int64_t)q->conf->queue.retry_max_s * 2)
		return false;
	stop(t, wait_s * 1000);
	return true;
}

static struct attempt *begin(struct queue_copy *c, enum attempt_kind kind)
{
	struct attempt *t = attempt_new(c, kind);

	if (!t) {
		if (c->job.destination && kind == ATTEMPT_TO_SEND)
			queue_job_ended(c->message->queue, &c->job, SCHED_STOPPED, loop_now_ms(c->message->queue->loop) + AGAIN_MS);
		return NULL;
	}
	if (read_envelope(t))
		return t;
	log_note(LOG_LEVEL_ERROR, "spool_unreadable", "id=%s its envelope cannot be read now", c->message->id);
	t->rcpt_count = 0;
	stop(t, BROKEN_MS);
	return NULL;
}

void attempt_send(struct queue_copy *c)
{
	struct queue *q = c->message->queue;
	struct attempt *t;
	struct where where;

	/* A report on it is on its way to the disk, whose attempt this copy has until then. */
	if (c->attempt) {
		queue_job_ended(q, &c->job, SCHED_STOPPED, loop_now_ms(q->loop) + BESIDE_MS);
		return;
	}
	t = begin(c, ATTEMPT_TO_SEND);
	if (!t || too_soon(t))
		return;
	if (where_find(&t->asking, q, t->message->listener, &t->envelope.rcpts[t->places[0]], &t->arena, on_where, t, &where))
		on_where(t, &where);
	else
		enter(t, ATTEMPT_WHERE);
}

/* The last answer to each recipient, from the note. */
static void last_answers(struct attempt *t)
{
	t->note = note_read(t->message, t->copy->group, &t->arena);
	for (size_t i = 0; i < t->rcpt_count; i++) {
		struct deliver_rcpt *r = &t->rcpts[i];
		struct note_rcpt n = { 0 };

		if (!t->note || !note_rcpt_get(t->note, t->places[i], &n) || !n.code || !n.text) {
			fault_set(&r->why, FAULT_NEXT_HOP_DOWN, 0);
		} else if (n.ours) {
			/* No Diagnostic-Code, which is a server's word (RFC 3464 2.3.6). */
			fault_set(&r->why, FAULT_NEXT_HOP_DOWN, 0);
			r->why.basic = n.code;
			snprintf(r->why.enhanced, sizeof(r->why.enhanced), "%s", n.enhanced ? n.enhanced : "");
			fault_text(&r->why, slice_str(n.text));
		} else {
			r->code = n.code;
			snprintf(r->enhanced, sizeof(r->enhanced), "%s", n.enhanced ? n.enhanced : "");
			r->text = arena_copy(&t->arena, slice_str(n.text));
		}
	}
}

void attempt_expire(struct queue_copy *c)
{
	struct attempt *t;

	sched_remove(c->message->queue->sched, &c->job, loop_now_ms(c->message->queue->loop));
	t = begin(c, ATTEMPT_TO_EXPIRE);
	if (!t)
		return;
	last_answers(t);
	if (open_content(t))
		report(t);
}

void attempt_warn(struct queue_copy *c)
{
	struct attempt *t = begin(c, ATTEMPT_TO_WARN);

	if (!t)
		return;
	last_answers(t);
	if (t->note && note_copy_get(t->note, &t->arena, &t->noted) && t->noted.warned) {
		c->warned = true;
		stop(t, 0);
		return;
	}
	if (open_content(t))
		report(t);
}

bool attempt_stop(struct attempt *t)
{
	struct queue_copy *c = t->copy;
	struct queue *q = t->queue;

	if (t->state == ATTEMPT_REPORT || t->state == ATTEMPT_OVER || (t->deliver && deliver_dot_said(t->deliver)))
		return false;
	if (t->given && c->job.destination)
		queue_job_ended(q, &c->job, SCHED_STOPPED, loop_now_ms(q->loop));
	attempt_free(t);
	return true;
}
