#include <stdio.h>

#include "base/limits.h"
#include "out/log.h"
#include "relay/copy.h"

struct sign_ask {
	struct copy *copy;
	ask_ticket ticket; /* 0: answered */
};

struct copy {
	struct copy_job job;
	struct dkim2_seal_conf conf; /* as long as the seal, which borrows it */
	struct dkim2_seal *seal;
	struct sign_ask *asks;
	size_t ask_count, open;
	enum copy_state state;
	struct fault fault;
	bool refused;   /* the keeper has no such key for us */
	bool silent;    /* the keeper is not there */
	unsigned seals;
	void (*on)(void *arg);
	void *arg;
};

/* Reads what is about to leave anew; nothing of what sealed it is trusted. */
static void enforce(struct copy *c)
{
	const struct header *h = edit_header(c->job.edit);

	bool fits = h && (!c->job.plan.enforce || dkim2_enforce(c->job.arena, h, &c->job.envelope, &c->fault));

	if (!h)
		fault_set(&c->fault, FAULT_NO_MEMORY, 0);
	c->state = fits && c->fault.code == FAULT_NONE ? COPY_READY : COPY_REFUSED;
}

static void finish(struct copy *c)
{
	struct slice instance = SLICE_NONE, signature = SLICE_NONE;

	if (c->silent)
		fault_set(&c->fault, FAULT_KEEPER_DOWN, 0);
	else if (c->refused)
		fault_note(&c->fault, FAULT_INTERNAL, 0, "keeper refused to sign");
	else if (dkim2_seal_fields(c->seal, &instance, &signature, &c->fault)) {
		edit_prepend(c->job.edit, signature);
		if (instance.n)
			edit_prepend(c->job.edit, instance);
		c->seals++;
	}
	enforce(c);
}

static void on_signature(void *arg, struct slice signature, bool refused)
{
	struct sign_ask *a = arg;
	struct copy *c = a->copy;

	a->ticket = 0;
	c->open--;
	if (signature.n == 0 && refused)
		c->refused = true;
	else if (signature.n == 0)
		c->silent = true;
	else
		dkim2_seal_answer(c->seal, (size_t)(a - c->asks), signature);
	if (c->open == 0) {
		finish(c);
		c->on(c->arg);
	}
}

/* The first active key of each algorithm, in the order of the configuration. */
static size_t pick_sets(const struct copy *c, struct dkim2_seal_set sets[LIMIT_SIG_SETS])
{
	const struct conf *conf = c->job.conf;
	size_t n = 0;

	for (size_t i = 0; i < conf->key_count && n < LIMIT_SIG_SETS; i++) {
		const struct conf_key *k = &conf->keys[i];
		bool again = !k->active || strcmp(k->domain, c->job.plan.d) != 0;

		for (size_t j = 0; j < n && !again; j++)
			again = sets[j].type == k->type;
		if (!again)
			sets[n++] = (struct dkim2_seal_set){ .selector = slice_str(k->selector), .type = k->type };
	}
	return n;
}

static void ask_signatures(struct copy *c)
{
	const struct dkim2_sign_ask *asks = NULL;

	c->ask_count = dkim2_seal_asks(c->seal, &asks);
	c->asks = ARENA_ARRAY(c->job.arena, c->ask_count, struct sign_ask);
	c->state = c->asks ? COPY_WAIT : COPY_REFUSED;
	c->open = c->ask_count;
	for (size_t i = 0; i < c->ask_count && c->state == COPY_WAIT; i++) {
		c->asks[i].copy = c;
		c->asks[i].ticket = ask_sign(c->job.ask, &asks[i], on_signature, &c->asks[i]);
		if (!c->asks[i].ticket) /* those that are asked are cancelled with the copy */
			c->state = COPY_REFUSED;
	}
	if (c->state == COPY_REFUSED)
		fault_set(&c->fault, FAULT_NO_MEMORY, 0);
}

struct copy *copy_start(const struct copy_job *job, void (*on)(void *arg), void *arg)
{
	struct copy *c = ARENA_NEW(job->arena, struct copy);
	struct dkim2_seal_set *sets = ARENA_ARRAY(job->arena, LIMIT_SIG_SETS, struct dkim2_seal_set);
	const struct header *h;

	if (!c || !sets)
		return NULL;
	c->job = *job;
	c->on = on;
	c->arg = arg;
	if (job->plan.kind == PLAN_REFUSE) {
		c->fault = job->plan.fault;
		c->state = COPY_REFUSED;
		return c;
	}
	if (job->plan.kind == PLAN_NOTHING) {
		enforce(c);
		return c;
	}
	/* A Bcc field of mail that starts here is for nobody's eyes (RFC 5322 3.6.3). */
	if (job->plan.kind == PLAN_ORIGINATE)
		for (size_t i = header_find(job->came, S("Bcc"), 0); i < job->came->n; i = header_find(job->came, S("Bcc"), i + 1))
			edit_remove(job->edit, i);
	c->conf = (struct dkim2_seal_conf){
		.d = slice_str(job->plan.d),
		.mail_from = job->envelope.mail_from,
		.rcpt_to = job->envelope.rcpt_to,
		.rcpt_count = job->envelope.rcpt_count,
		.sets = sets,
		.set_count = pick_sets(c, sets),
		.now = job->now,
	};
	h = edit_header(job->edit);
	if (h)
		c->seal = dkim2_seal_new(job->arena, h, job->body_sha256, job->plan.kind == PLAN_EXTEND ? job->verdict : NULL, &c->conf, &c->fault);
	else
		fault_set(&c->fault, FAULT_NO_MEMORY, 0);
	if (c->seal)
		ask_signatures(c);
	else
		c->state = COPY_REFUSED;
	return c;
}

enum copy_state copy_result(const struct copy *c, struct fault *f_out)
{
	if (c->state == COPY_REFUSED)
		*f_out = c->fault;
	return c->state;
}

void copy_free(struct copy **cp)
{
	struct copy *c = *cp;

	*cp = NULL;
	if (!c)
		return;
	for (size_t i = 0; c->asks && i < c->ask_count; i++)
		if (c->asks[i].ticket)
			ask_cancel(c->job.ask, c->asks[i].ticket);
}

unsigned copy_seals(const struct copy *c)
{
	return c->seals;
}
