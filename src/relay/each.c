/*
 * each.c - the answer to the content where every recipient has one of its own: LMTP (RFC 2033 4.2), PRDR (draft-hall-prdr-00).
 *
 * To the client it is 353, an answer for each recipient that was accepted, in their order, and a last word, which is 2yz when any of them
 * took the message: else the client would send it again to those as well (draft-hall-prdr-00; so does Exim's client). Answers are
 * told as they come, so a client that waits for slow ones hears something.
 */
#include <stdio.h>

#include "base/bug.h"
#include "out/log.h"
#include "relay/each.h"

size_t each_count(const struct tx *t)
{
	size_t n = 0;

	for (size_t i = 1; i < t->command_count; i++)
		n += t->commands[i].code / 100 == 2 || t->commands[i].ruled;
	return n;
}

/* What an operator looks for who asks what became of one recipient's mail; those that took it stand in the line of the transaction. */
static void log_refused(const struct tx *t, const struct tx_command *c, short code, const char *enhanced, struct slice text)
{
	struct log_line l = log_begin(LOG_LEVEL_INFO, "rcpt_refused");

	log_str(&l, "tx", t->name);
	log_text(&l, "rcpt_to", c->path.raw);
	log_u64(&l, "code", (uint64_t)code);
	log_str(&l, "enhanced", enhanced[0] ? enhanced : NULL);
	log_text(&l, "text", text);
	log_end(&l);
}

static void tell(struct tx *t, struct tx_command *c, const struct reply *r, const struct fault *f)
{
	short code = r ? r->code : f->basic;

	t->each.on = true;
	if (code / 100 == 2) {
		t->each.took++;
	} else {
		t->each.refused += code / 100 == 5;
		t->each.deferred += code / 100 != 5;
		log_refused(t, c, code, r ? r->enhanced : f->enhanced, r ? r->text : slice_str(f->text));
	}
	c->code = code;
	srv_answer_rcpt(t->pair->srv, t->end_seq, r, r ? NULL : f);
}

/* Those that a rule refused have their answer already; it is told in its place. */
static struct tx_command *next(struct tx *t)
{
	while (++t->each.at < t->command_count) {
		struct tx_command *c = &t->commands[t->each.at];

		if (!c->ruled && c->code / 100 == 2)
			return c;
		if (c->ruled)
			tell(t, c, NULL, c->ruled);
	}
	return NULL;
}

static void told(struct tx *t)
{
	t->whole_ms = loop_now_ms(t->pair->relay->loop); /* it waits anew for the next one (RFC 5321 4.5.3.2.6) */
	pair_deadline(t->pair);
	pair_go_on(t->pair);
}

/* Everybody has an answer. */
static void end(struct tx *t)
{
	char text[80];
	struct reply r = { .code = 250 };
	struct fault f = { 0 };
	int n;

	t->each.on = false;
	t->accepted = t->each.took;
	if (t->each.took) {
		n = snprintf(text, sizeof(text), "2.0.0 taken for %zu of %zu recipients", t->each.took,
		    t->each.took + t->each.refused + t->each.deferred);
		r.text = slice_of(text, n > 0 ? (size_t)n : 0);
		memcpy(r.enhanced, "2.0.0", sizeof("2.0.0"));
		tx_end_reply(t, &r);
		return;
	}
	fault_set(&f, t->each.deferred ? FAULT_NOBODY_YET : FAULT_NOBODY_TAKES, 0);
	tx_end_fault(t, &f);
}

void each_ruled(struct tx *t)
{
	struct tx_command *c = next(t);

	BUG_ON(c);
	end(t);
}

void each_reply(struct tx *t, const struct reply *r, bool last)
{
	struct tx_command *c;

	if (last && !t->each.on && each_count(t) == 1) {
		tx_end_reply(t, r);
		return;
	}
	BUG_ON(!t->commands[0].params.prdr);
	c = next(t);
	BUG_ON(!c);
	tell(t, c, r, NULL);
	if (!last) {
		told(t);
		return;
	}
	(void)next(t);
	end(t);
}

void each_end(struct tx *t, const struct reply *r)
{
	bool ours = false;

	for (size_t i = 1; i < t->command_count; i++)
		ours |= t->commands[i].ruled != NULL;
	if (t->each.on) {
		(void)next(t);
		t->each.on = false;
		t->accepted = r->code / 100 == 2 ? t->each.took : 0;
		tx_end_reply(t, r);
		return;
	}
	if (!ours) {
		tx_end_reply(t, r);
		return;
	}
	for (struct tx_command *c; (c = next(t));)
		tell(t, c, r, NULL);
	end(t);
}

void each_fault(struct tx *t, const struct fault *f)
{
	for (struct tx_command *c; (c = next(t));)
		tell(t, c, NULL, f);
	if (t->each.took && next_hop_lmtp(t->hop)) {
		end(t); /* each answer of LMTP is the last word for its recipient */
		return;
	}
	t->each.on = false;
	t->accepted = 0;
	tx_end_fault(t, f);
}
