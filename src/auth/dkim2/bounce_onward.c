#include "auth/dkim2/bounce_in.h"
#include "base/limits.h"
#include "mail/addr.h"
#include "mail/domain.h"

/* The returned message as the hop before ours sent it. */
struct rebuilt {
	struct undo *undo;      /* NULL: there is nothing to undo */
	size_t state;           /* of the undo */
	const struct header *header;
	bool header_only;
};

/* ---- which recipient of theirs was ours ---- */

static bool led_here(const struct seal *theirs, size_t rt, const struct seal *ours)
{
	struct slice domain = theirs->hop->rt_domains[rt];

	if (domain.n == 0)
		return false;
	if (ours->has_nd)
		return domain_follows(ours->hop->d_normal, domain) || domain_follows(domain, ours->hop->d_normal);
	return domain_follows(ours->mf_domain, domain);
}

/* Empty: not one, or several. */
static struct slice their_recipient(struct arena *a, const struct seal *theirs, const struct seal *ours, struct slice original)
{
	struct slice found = SLICE_NONE;

	for (size_t k = 0; k < theirs->hop->rt_count; k++) {
		if (original.n ? !path_same(a, theirs->hop->rt[k], original) : !led_here(theirs, k, ours))
			continue;
		if (found.n && !path_same(a, found, theirs->hop->rt[k]))
			return SLICE_NONE;
		found = theirs->hop->rt[k];
	}
	return found;
}

/* ---- the content before ours ---- */

/* Again, without a body: it was not returned, or undoing does not lead to the one that was there. */
static bool rebuild_header(struct bounce *b, struct walk *again)
{
	static const struct slice none[DIGEST_ALGS];
	size_t lowest = b->walk.lowest;

	walk_start(again, b->arena, &b->chain, &b->report.header, lowest, b->conf->undo_octets);
	again->header_only = true;
	walk_end(again, none);
	return !again->memory_lost && again->found[lowest].state == DKIM2_PASS;
}

/* `again` is zeroed and the caller's to release. */
static bool rebuild(struct bounce *b, struct walk *again, struct rebuilt *out)
{
	const struct walk *walk = &b->walk;

	*out = (struct rebuilt){ .header = &b->report.header, .header_only = b->report.header_only };
	if (walk->found[walk->lowest].state != DKIM2_PASS) {
		if (!rebuild_header(b, again))
			return false;
		walk = again;
		out->header_only = true;
	}
	if (!walk->undo)
		return true;
	out->undo = walk->undo;
	out->state = b->chain.m - 1 - walk->lowest;
	out->header = undo_header(walk->undo, out->state);
	return out->header != NULL;
}

/* ---- what of it is returned ---- */

/* By their octets, since undoing copies them; no two fields of a chain are the same. */
static bool is_field(const struct field *f, const struct field *of)
{
	return slice_eq(f->value, of->value) && slice_ieq(f->name, of->name);
}

static bool is_ours(const struct chain *c, const struct dkim2_hop *before, const struct field *f)
{
	for (size_t k = (size_t)before->i; k < c->n; k++)
		if (is_field(f, c->seals[k].field))
			return true;
	for (size_t k = (size_t)before->m; k < c->m; k++)
		if (is_field(f, c->instances[k].field))
			return true;
	return false;
}

static bool chain_field(struct slice name)
{
	return slice_ieq(name, S("DKIM2-Signature")) || slice_ieq(name, S("Message-Instance"));
}

/* The header as runs, each a field with its CRLF; the count and octets. False: no memory. */
static bool list_header(struct bounce *b, const struct seal *before, const struct rebuilt *r, struct slice *runs, size_t *n,
    size_t *octets)
{
	size_t below = 0;

	while (below < r->header->n && !is_field(&r->header->fields[below], before->field))
		below++;
	for (size_t k = 0; k < r->header->n; k++) {
		const struct field *f = &r->header->fields[k];

		if (is_ours(&b->chain, before->hop, f) || (k < below && !chain_field(f->name) && draft_unsigned(b->draft, f->name)))
			continue;
		runs[*n] = f->raw;
		*octets += f->raw.n;
		(*n)++;
		if (slice_ends(f->raw, S("\r\n")))
			continue;
		runs[*n] = S("\r\n"); /* the last one, whose CRLF went to the delimiter */
		*octets += 2;
		(*n)++;
	}
	return !arena_failed(b->arena);
}

/* All that is returned. */
static bool list_runs(struct bounce *b, const struct seal *before, struct rebuilt *r, struct slice **runs_out, size_t *n_out,
    size_t *header_octets)
{
	struct slice *body = &b->report.body, *runs;
	size_t body_runs = 1;

	if (r->undo && !r->header_only && undo_runs(r->undo, r->state, b->report.body, &body, &body_runs) != UNDO_DONE) {
		r->header_only = true; /* a recipe says that it cannot be had */
		body_runs = 0;
	}
	runs = ARENA_ARRAY(b->arena, r->header->n + 2 + body_runs, struct slice);
	*n_out = 0;
	*header_octets = 0;
	if (!runs || !list_header(b, before, r, runs, n_out, header_octets))
		return false;
	if (!r->header_only) {
		runs[(*n_out)++] = S("\r\n");
		for (size_t k = 0; k < body_runs; k++)
			runs[(*n_out)++] = body[k];
	}
	*runs_out = runs;
	return true;
}

/* ---- the interface ---- */

/* Where it would go; BOUNCE_ONWARD: to `before`. */
static enum bounce_onward way(struct bounce *b, const struct seal **before)
{
	const struct bounce_finding *f = bounce_finding(b);

	if (f->state != BOUNCE_BELIEVED)
		return BOUNCE_STOP_BELIEF;
	if (f->recipient->action != DSN_FAILED)
		return BOUNCE_STOP_ACTION;
	if (b->run_broken)
		return BOUNCE_STOP_CHAIN;
	if (f->run == b->chain.n)
		return BOUNCE_STOP_ORIGIN;
	*before = &b->chain.seals[b->chain.n - 1 - f->run];
	if ((*before)->has_nd)
		return BOUNCE_STOP_CHAIN;
	return (*before)->mf_null ? BOUNCE_STOP_NOBODY : BOUNCE_ONWARD;
}

static enum bounce_onward make(struct bounce *b, const struct seal *before, struct slice recipient, const struct bounce_form *form,
    struct rebuilt *r, struct bounce_message *out, enum dsn_write_state *write_out)
{
	struct dsn_recipient failed = { .final = dsn_address(recipient),
		.action = DSN_FAILED,
		.status = b->finding.recipient->status };
	struct slice *runs;
	size_t n, header_octets;

	if (!list_runs(b, before, r, &runs, &n, &header_octets)) {
		*write_out = DSN_WRITE_MEMORY;
		return BOUNCE_STOP_WRITE;
	}
	*write_out = bounce_make(b->arena, before->hop, b->conf->domains, form, &failed, 1, runs, n, header_octets, r->header_only, out);
	return *write_out == DSN_WRITTEN ? BOUNCE_ONWARD : BOUNCE_STOP_WRITE;
}

enum bounce_onward bounce_onward(struct bounce *b, struct slice original, const struct bounce_form *form,
    struct bounce_message *out, enum dsn_write_state *write_out)
{
	const struct seal *before = NULL;
	enum bounce_onward where = way(b, &before);
	struct walk again = { 0 };
	struct slice recipient;
	struct rebuilt r;

	if (where == BOUNCE_STOP_ORIGIN)
		*out = (struct bounce_message){ .rcpt_to = b->chain.hops[0].mf };
	if (where != BOUNCE_ONWARD)
		return where;
	recipient = their_recipient(b->arena, before, before + 1, original);
	if (!recipient.n)
		where = BOUNCE_STOP_DOUBT;
	else if (!rebuild(b, &again, &r))
		where = BOUNCE_STOP_CONTENT;
	else
		where = make(b, before, recipient, form, &r, out, write_out);
	if (arena_failed(b->arena) || again.memory_lost) {
		*write_out = DSN_WRITE_MEMORY;
		where = BOUNCE_STOP_WRITE;
	}
	walk_release(&again);
	return where;
}
