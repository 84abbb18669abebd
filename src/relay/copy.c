#include <stdio.h>

#include "auth/dkim2/make.h"
#include "base/limits.h"
#include "out/log.h"
#include "relay/copy.h"

struct sign_ask {
	struct copy *copy;
	ask_ticket ticket; /* 0: answered */
};

/* One seal, with what it borrows. */
struct hop {
	struct dkim2_seal_conf conf;
	struct dkim2_seal_set sets[LIMIT_KEYS_HOP];
	struct slice flags[CONF_FLAGS];
	struct content came;   /* no body: the one that leaves is the one that came */
	struct dkim2_seal *seal;
};

struct copy {
	struct copy_job job;
	struct hop *hops;      /* the bridge first, where there is one */
	size_t hop_count, at;
	struct sign_ask *asks;
	size_t ask_count, open;
	enum copy_state state;
	struct fault fault;
	bool refused;   /* the keeper has no such key for us */
	bool silent;    /* the keeper is not there */
	struct fault unsealed; /* why it leaves as it came, though a seal was planned; NONE: it does not */
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

static void refuse(struct copy *c)
{
	enum fault_code code = c->fault.code;

	c->state = COPY_REFUSED;
	/* Only where nothing was put on top yet: the copy is as it came. */
	if (!c->job.plan.may_pass || c->seals || (code != FAULT_UNSEALED && code != FAULT_CHAIN_BROKEN && code != FAULT_CUSTODY_GAP))
		return;
	c->unsealed = c->fault;
	c->fault = (struct fault){ .code = FAULT_NONE };
	c->job.plan.enforce = c->job.plan.bound;
	enforce(c);
}

static void seal_next(struct copy *c);

/* All signatures of a hop are there, or none will come. */
static void finish(struct copy *c)
{
	struct slice instance = SLICE_NONE, signature = SLICE_NONE;

	if (c->silent)
		fault_set(&c->fault, FAULT_KEEPER_DOWN, 0);
	else if (c->refused)
		fault_note(&c->fault, FAULT_INTERNAL, 0, "keeper refused to sign");
	else if (dkim2_seal_fields(c->hops[c->at].seal, &instance, &signature, &c->fault)) {
		edit_prepend(c->job.edit, signature);
		if (instance.n)
			edit_prepend(c->job.edit, instance);
		c->seals++;
		if (++c->at < c->hop_count) {
			seal_next(c);
			return;
		}
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
		dkim2_seal_answer(c->hops[c->at].seal, (size_t)(a - c->asks), signature);
	if (c->open)
		return;
	finish(c);
	if (c->state != COPY_WAIT)
		c->on(c->arg);
}

/* Of each group the first active key of each algorithm, in the order of the configuration; groups ascend. */
static size_t pick_sets(const struct conf *conf, const char *d, struct dkim2_seal_set sets[LIMIT_KEYS_HOP])
{
	size_t n = 0;

	for (size_t i = 0; i < conf->key_count && n < LIMIT_KEYS_HOP; i++) {
		const struct conf_key *k = &conf->keys[i];
		bool again = !k->active || strcmp(k->domain, d) != 0;
		size_t at = n;

		for (size_t j = 0; j < n && !again; j++)
			again = sets[j].type == k->type && sets[j].group == k->group;
		if (again)
			continue;
		for (; at && sets[at - 1].group > k->group; at--)
			sets[at] = sets[at - 1];
		sets[at] = (struct dkim2_seal_set){ .selector = slice_str(k->selector), .type = k->type, .group = k->group };
		n++;
	}
	return n;
}

static size_t pick_flags(const struct copy *c, struct slice flags[CONF_FLAGS])
{
	unsigned bits = c->job.flags | (c->job.plan.exploded ? CONF_FLAG_EXPLODED : 0);
	size_t n = 0;

	for (size_t i = 0; i < CONF_FLAGS; i++)
		if (bits & 1u << i)
			flags[n++] = slice_str(conf_flag_names[i]);
	return n;
}

static void hop_init(struct copy *c, struct hop *hop, bool bridge)
{
	const struct copy_job *job = &c->job;
	const char *d = bridge ? job->plan.bridge : job->plan.d;

	hop->came = (struct content){ .header = job->came };
	hop->conf = (struct dkim2_seal_conf){
		.d = slice_str(d),
		.sets = hop->sets,
		.set_count = pick_sets(job->conf, d, hop->sets),
		.now = job->now,
		.out_of_band = job->plan.arranged,
		.body_sha512 = job->body_sha512,
		.before = &hop->came,
	};
	if (bridge) {
		hop->conf.nd = slice_str(job->plan.d);
		hop->conf.content_later = job->plan.content_later;
		return;
	}
	hop->conf.mail_from = job->envelope.mail_from;
	hop->conf.rcpt_to = job->envelope.rcpt_to;
	hop->conf.rcpt_count = job->envelope.rcpt_count;
	hop->conf.flags = hop->flags;
	hop->conf.flag_count = pick_flags(c, hop->flags);
}

static void ask_signatures(struct copy *c)
{
	const struct dkim2_sign_ask *asks = NULL;

	c->ask_count = dkim2_seal_asks(c->hops[c->at].seal, &asks);
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

/* The hop whose turn it is, over the header as the one before left it. */
static void seal_next(struct copy *c)
{
	struct hop *hop = &c->hops[c->at];
	const struct header *h = edit_header(c->job.edit);

	if (c->at)
		hop->conf.after = c->hops[c->at - 1].seal;
	if (h)
		hop->seal = dkim2_seal_new(c->job.arena, h, c->job.body_sha256, c->job.plan.kind == PLAN_EXTEND ? c->job.verdict : NULL,
		    &hop->conf, &c->fault);
	else
		fault_set(&c->fault, FAULT_NO_MEMORY, 0);
	if (hop->seal)
		ask_signatures(c);
	else
		refuse(c);
}

struct copy *copy_start(const struct copy_job *job, void (*on)(void *arg), void *arg)
{
	struct copy *c = ARENA_NEW(job->arena, struct copy);

	if (!c)
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
	c->hops = ARENA_ARRAY(job->arena, 2, struct hop);
	if (!c->hops)
		return NULL;
	if (job->plan.bridge)
		hop_init(c, &c->hops[c->hop_count++], true);
	hop_init(c, &c->hops[c->hop_count++], false);
	seal_next(c);
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

const struct fault *copy_unsealed(const struct copy *c)
{
	return c->unsealed.code == FAULT_NONE ? NULL : &c->unsealed;
}
