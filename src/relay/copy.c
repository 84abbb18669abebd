#include "auth/dkim1/dkim.h"
#include "auth/dkim2/make.h"
#include "auth/fieldhash.h"
#include "base/limits.h"
#include "out/log.h"
#include "relay/copy.h"

enum { DKIM_KEYS = 2 }; /* of a domain: one a type */

/* A signature that was asked for, and whose it is. */
enum sign_for { SIGN_DKIM, SIGN_ARC, SIGN_SEAL };
struct sign_ask {
	struct copy *copy;
	enum sign_for what;
	size_t index;          /* of SIGN_DKIM, SIGN_SEAL */
	ask_ticket ticket;     /* 0: answered */
	struct sign_ask *next;
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
	bool hop_asked;        /* the signatures of hops[at] are on their way */
	struct dkim_sign *dkim[DKIM_KEYS];
	struct slice dkim_signatures[DKIM_KEYS];
	const struct conf_key *dkim_keys[DKIM_KEYS];
	size_t dkim_count;
	struct arc_seal *arc;  /* NULL: no set is added */
	const struct conf_key *arc_key;
	struct sign_ask *asks;
	size_t open;
	enum copy_state state;
	struct fault fault;
	bool refused;   /* the keeper has no such key for us */
	bool silent;    /* the keeper is not there */
	struct fault unsealed; /* why it leaves as it came, though a seal was planned; NONE: it does not */
	struct fault no_arc;   /* why no ARC set was added */
	unsigned seals, dkim_added, arc_added;
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

/* The three fields of an ARC set, the seal topmost. */
static void add_set(struct copy *c)
{
	struct header set;
	struct fault f = { .code = FAULT_NONE };

	if (!header_parse(c->job.arena, arc_seal_fields(c->arc), 3, &set, &f))
		return; /* no memory: the arena says so when the header is listed */
	for (size_t i = set.n; i-- > 0;)
		edit_prepend(c->job.edit, set.fields[i].raw);
	c->arc_added = 1;
}

/* DKIM and ARC fields go on top last: neither covers the other's, nor does the chain cover any of them (spec section 3). */
static void finish(struct copy *c)
{
	for (size_t i = 0; i < c->dkim_count; i++) {
		edit_prepend(c->job.edit, dkim_sign_field(c->dkim[i], c->dkim_signatures[i]));
		c->dkim_added++;
	}
	if (c->arc)
		add_set(c);
	enforce(c);
}

/* The hop at hand cannot be sealed. */
static void refuse(struct copy *c)
{
	enum fault_code code = c->fault.code;

	/* Only where nothing was put on top yet: the copy is as it came. */
	if (!c->job.plan.may_pass || c->seals || (code != FAULT_UNSEALED && code != FAULT_CHAIN_BROKEN && code != FAULT_CUSTODY_GAP)) {
		c->state = COPY_REFUSED;
		return;
	}
	c->unsealed = c->fault;
	c->fault = (struct fault){ .code = FAULT_NONE };
	c->job.plan.enforce = c->job.plan.bound;
	c->at = c->hop_count;
}

static void on_signature(void *arg, struct slice signature, bool refused);

static void ask(struct copy *c, enum sign_for what, size_t index, const struct dkim2_sign_ask *wanted)
{
	struct sign_ask *a = ARENA_NEW(c->job.arena, struct sign_ask);

	if (c->state == COPY_REFUSED)
		return;
	if (a) {
		*a = (struct sign_ask){ .copy = c, .what = what, .index = index, .next = c->asks };
		a->ticket = ask_sign(c->job.ask, wanted, on_signature, a);
	}
	if (!a || !a->ticket) { /* those that are asked are cancelled with the copy */
		c->state = COPY_REFUSED;
		fault_set(&c->fault, FAULT_NO_MEMORY, 0);
		return;
	}
	c->asks = a;
	c->open++;
}

static void ask_with(struct copy *c, enum sign_for what, size_t index, const struct conf_key *key, const unsigned char digest[32])
{
	struct dkim2_sign_ask wanted = { .domain = slice_str(key->domain), .selector = slice_str(key->selector), .type = key->type };

	memcpy(wanted.digest, digest, sizeof(wanted.digest));
	ask(c, what, index, &wanted);
}

/* All that was asked for the hop is there. */
static void hop_end(struct copy *c)
{
	struct slice instance = SLICE_NONE, signature = SLICE_NONE;

	c->hop_asked = false;
	if (!dkim2_seal_fields(c->hops[c->at].seal, &instance, &signature, &c->fault)) {
		c->state = COPY_REFUSED;
		return;
	}
	edit_prepend(c->job.edit, signature);
	if (instance.n)
		edit_prepend(c->job.edit, instance);
	c->seals++;
	c->at++;
}

/* The hop whose turn it is, over the header as the one before left it. */
static void hop_begin(struct copy *c)
{
	struct hop *hop = &c->hops[c->at];
	const struct header *h = edit_header(c->job.edit);
	const struct dkim2_sign_ask *asks = NULL;
	size_t n;

	if (c->at)
		hop->conf.after = c->hops[c->at - 1].seal;
	if (h)
		hop->seal = dkim2_seal_new(c->job.arena, h, c->job.body_sha256, c->job.plan.kind == PLAN_EXTEND ? c->job.verdict : NULL,
		    &hop->conf, &c->fault);
	else
		fault_set(&c->fault, FAULT_NO_MEMORY, 0);
	if (!hop->seal) {
		refuse(c);
		return;
	}
	n = dkim2_seal_asks(hop->seal, &asks);
	for (size_t i = 0; i < n; i++)
		ask(c, SIGN_SEAL, i, &asks[i]);
	c->hop_asked = true;
}

/* What can be signed now is asked for; when nothing is any more, the copy is ready. */
static void go_on(struct copy *c)
{
	const unsigned char *digest;

	if (c->silent || c->refused) {
		c->state = COPY_REFUSED;
		if (c->silent)
			fault_set(&c->fault, FAULT_KEEPER_DOWN, 0);
		else
			fault_note(&c->fault, FAULT_INTERNAL, 0, "keeper refused to sign");
		return;
	}
	if (c->hop_asked)
		hop_end(c);
	if (c->state != COPY_REFUSED && c->at < c->hop_count)
		hop_begin(c);
	if (c->state != COPY_REFUSED && c->arc && (digest = arc_seal_digest(c->arc)))
		ask_with(c, SIGN_ARC, 0, c->arc_key, digest);
	if (c->state == COPY_REFUSED)
		return;
	if (c->open)
		c->state = COPY_WAIT;
	else
		finish(c);
}

static void take(struct copy *c, const struct sign_ask *a, struct slice signature)
{
	switch (a->what) {
	case SIGN_DKIM:
		c->dkim_signatures[a->index] = arena_copy(c->job.arena, signature);
		break;
	case SIGN_ARC:
		if (!arc_seal_answer(c->arc, signature))
			c->arc = NULL; /* no memory: the arena says so when the header is listed */
		break;
	case SIGN_SEAL:
		dkim2_seal_answer(c->hops[c->at].seal, a->index, signature);
		break;
	}
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
		take(c, a, signature);
	if (c->open)
		return;
	go_on(c);
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

/* The first active key of each type of the domain; 0: there is none. */
static size_t pick_keys(const struct conf *conf, const char *d, const struct conf_key *keys[DKIM_KEYS])
{
	size_t n = 0;

	for (size_t i = 0; i < conf->key_count && n < DKIM_KEYS; i++) {
		const struct conf_key *k = &conf->keys[i];

		if (k->active && strcmp(k->domain, d) == 0 && (n == 0 || keys[0]->type != k->type))
			keys[n++] = k;
	}
	return n;
}

static bool dkim_begin(struct copy *c, const struct header *h, const struct field_index *index)
{
	size_t n = pick_keys(c->job.conf, c->job.plan.dkim, c->dkim_keys);

	for (size_t i = 0; i < n; i++) {
		struct dkim_sign_conf conf = {
			.d = slice_str(c->job.plan.dkim),
			.selector = slice_str(c->dkim_keys[i]->selector),
			.type = c->dkim_keys[i]->type,
			.body_sha256 = c->job.body_relaxed_sha256,
			.now = c->job.now,
		};

		c->dkim[i] = dkim_sign_new(c->job.arena, h, index, &conf, &c->fault);
		if (!c->dkim[i])
			return false;
		ask_with(c, SIGN_DKIM, i, c->dkim_keys[i], dkim_sign_digest(c->dkim[i]));
		c->dkim_count++;
	}
	return true;
}

/* A chain that is not to be sealed leaves as it is. */
static bool arc_begin(struct copy *c, const struct header *h, const struct field_index *index)
{
	const struct conf_key *keys[DKIM_KEYS];

	if (!c->job.arc_came || pick_keys(c->job.conf, c->job.arc, keys) == 0)
		return true;
	c->arc_key = keys[0];
	c->arc = arc_seal_new(c->job.arena, h, index, c->job.arc_came,
	    &(struct arc_seal_conf){
		.d = slice_str(c->job.arc),
		.selector = slice_str(keys[0]->selector),
		.type = keys[0]->type,
		.authres = c->job.authres,
		.body_sha256 = c->job.body_relaxed_sha256,
		.now = c->job.now,
	    },
	    &c->fault);
	if (c->arc || c->fault.code == FAULT_NO_MEMORY)
		return c->arc != NULL;
	c->no_arc = c->fault;
	c->fault = (struct fault){ .code = FAULT_NONE };
	return true;
}

/* What covers the header as it is now. */
static bool sign_begin(struct copy *c)
{
	const struct header *now;
	struct header *h;
	struct field_index *index;

	if (!c->job.plan.dkim && !c->job.arc)
		return true;
	now = edit_header(c->job.edit);
	h = now ? ARENA_NEW(c->job.arena, struct header) : NULL; /* the edit log's own is good until the next edit */
	if (!h)
		return fault_set(&c->fault, FAULT_NO_MEMORY, 0);
	*h = *now;
	index = field_index_new(c->job.arena, h);
	if (!index)
		return fault_set(&c->fault, FAULT_NO_MEMORY, 0);
	return (!c->job.plan.dkim || dkim_begin(c, h, index)) && (!c->job.arc || arc_begin(c, h, index));
}

void copy_hide(struct edit *e, const struct header *came)
{
	for (size_t i = 0; i < came->n; i++)
		if (slice_ieq(came->fields[i].name, S("Bcc")) || slice_ieq(came->fields[i].name, S("Resent-Bcc")))
			edit_remove(e, i);
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
	if (job->now < COPY_EARLIEST_S && (job->plan.kind != PLAN_NOTHING || job->plan.dkim || job->arc)) {
		fault_note(&c->fault, FAULT_CLOCK_WRONG, 0, "it says %lld", (long long)job->now);
		c->state = COPY_REFUSED;
		return c;
	}
	if (job->plan.kind == PLAN_ORIGINATE)
		copy_hide(job->edit, job->came);
	c->hops = ARENA_ARRAY(job->arena, 2, struct hop);
	if (!c->hops)
		return NULL;
	if (job->plan.kind != PLAN_NOTHING && job->plan.bridge)
		hop_init(c, &c->hops[c->hop_count++], true);
	if (job->plan.kind != PLAN_NOTHING)
		hop_init(c, &c->hops[c->hop_count++], false);
	if (!sign_begin(c))
		c->state = COPY_REFUSED;
	else
		go_on(c);
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
	for (const struct sign_ask *a = c->asks; a; a = a->next)
		if (a->ticket)
			ask_cancel(c->job.ask, a->ticket);
}

unsigned copy_seals(const struct copy *c)
{
	return c->seals;
}

unsigned copy_dkim(const struct copy *c)
{
	return c->dkim_added;
}

unsigned copy_arc(const struct copy *c)
{
	return c->arc_added;
}

const struct fault *copy_no_arc(const struct copy *c)
{
	return c->no_arc.code == FAULT_NONE ? NULL : &c->no_arc;
}

const struct fault *copy_unsealed(const struct copy *c)
{
	return c->unsealed.code == FAULT_NONE ? NULL : &c->unsealed;
}
