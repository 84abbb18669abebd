#include <stdio.h>

#include "mail/domain.h"
#include "relay/plan.h"

const char *plan_domain(const struct conf *conf, const struct slice *from, size_t from_count, struct slice mail_from_domain)
{
	const char *best = NULL;

	for (size_t i = 0; i < conf->key_count; i++) {
		struct slice d = slice_str(conf->keys[i].domain);
		bool fits = conf->keys[i].active && (!best || d.n > strlen(best));

		for (size_t k = 0; k < from_count && fits; k++)
			fits = domain_follows(from[k], d);
		if (fits && (mail_from_domain.n == 0 || domain_follows(mail_from_domain, d)))
			best = conf->keys[i].domain;
	}
	return best;
}

static struct plan refuse(enum fault_code code, const char *why, struct slice reason)
{
	struct plan p = { .kind = PLAN_REFUSE, .why = why };
	char text[256];

	fault_set(&p.fault, code, 0);
	if (reason.n) {
		int n = snprintf(text, sizeof(text), "%s: %.*s", p.fault.text, SLICE_FMT(reason));

		fault_text(&p.fault, slice_of(text, n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1));
	}
	return p;
}

/* From and sender both ours: such a copy leaves bound to its envelope or not at all (DESIGN.md section 4), whatever `unsealed` says. */
static bool bound(const struct plan_facts *f)
{
	return f->from_count > 0 && plan_domain(f->conf, f->from, f->from_count, SLICE_NONE) &&
	    (f->mail_from_null || plan_domain(f->conf, NULL, 0, f->mail_from_domain));
}

/* Whose it is nobody can say for sure: not we, and whoever reads it later may say that it is ours. */
static bool nobodys(const struct plan_facts *f)
{
	return !f->from_single && f->listener->from == FROM_READABLE;
}

/* A chain that is not verified does not lift what holds of a message without one: any line can look like a seal. */
static struct plan unsealed(const struct plan_facts *f, enum fault_code code, const char *why, struct slice reason)
{
	if (f->listener->unsealed == UNSEALED_REFUSE)
		return refuse(code, why, reason);
	if (nobodys(f))
		return refuse(FAULT_NO_AUTHOR, "no_author", SLICE_NONE);
	return (struct plan){ .kind = PLAN_NOTHING, .enforce = bound(f), .why = why };
}

/* Spec 13: this content goes to more than one address; that of a list always may. */
static bool explodes(const struct plan_facts *f)
{
	return f->wanted > 1 || f->listener->service == SERVICE_LIST_OUT;
}

/* DKIM asks nothing of the sender: what counts is that it aligns with From (RFC 9989). */
static const char *signer(const struct plan_facts *f)
{
	return f->listener->dkim ? plan_domain(f->conf, f->from, f->from_count, SLICE_NONE) : NULL;
}

static struct plan without_chain(const struct plan_facts *f)
{
	bool ours = f->from_count > 0 && plan_domain(f->conf, f->from, f->from_count, SLICE_NONE);
	const char *d;

	if (nobodys(f))
		return refuse(FAULT_NO_AUTHOR, "no_author", SLICE_NONE);
	if (!ours)
		return (struct plan){ .kind = PLAN_NOTHING, .why = "foreign_from" };
	d = plan_domain(f->conf, f->from, f->from_count, f->mail_from_domain);
	if (!d && bound(f))
		return refuse(FAULT_UNSEALED, "no_key", S("no key fits both From and MAIL FROM"));
	if (!d) {
		struct plan p = unsealed(f, FAULT_UNSEALED, "foreign_sender", S("no key fits both From and MAIL FROM"));

		if (p.kind == PLAN_NOTHING && f->known_client)
			p.dkim = signer(f);
		return p;
	}
	if (!f->known_client)
		/* Our seal is our word: only who may send to anyone gets it. And without it this copy must not leave. */
		return refuse(FAULT_UNSEALED, "foreign_client", S("client may not send for this domain"));
	return (struct plan){ .kind = PLAN_ORIGINATE, .enforce = true, .d = d, .dkim = signer(f), .exploded = explodes(f), .why = "originate" };
}

bool plan_chain(const struct dkim2_verdict *came)
{
	return came->state != DKIM2_NONE || came->instance_count > 0;
}

/* ---- the next hop of a chain ---- */

enum { WANT_SENDER = 1, WANT_FROM = 2, WANT_DIRECT = 4, WANT_BRIDGE = 8 };

static bool from_fits(const struct plan_facts *f, struct slice d)
{
	bool fits = f->from_count > 0;

	for (size_t k = 0; k < f->from_count; k++)
		fits &= domain_follows(f->from[k], d);
	return fits;
}

static bool fits(const struct plan_facts *f, struct slice d, unsigned want)
{
	const struct dkim2_hop *last = &f->came->hops[f->came->hop_count - 1];

	if (want & WANT_SENDER && !f->mail_from_null && !domain_follows(f->mail_from_domain, d))
		return false;
	if (want & WANT_FROM && f->from_changed && !from_fits(f, d))
		return false;
	if (want & WANT_DIRECT && !dkim2_may_follow(last, d, f->mail_from_domain, f->mail_from_null, false))
		return false;
	return !(want & WANT_BRIDGE) || dkim2_may_follow(last, d, SLICE_NONE, false, true);
}

/* The longest domain of an active key that fits; of two of one length the first of the file. */
static const char *key_domain(const struct plan_facts *f, unsigned want)
{
	const char *best = NULL;

	for (size_t i = 0; i < f->conf->key_count; i++) {
		const struct conf_key *k = &f->conf->keys[i];

		if (k->active && (!best || strlen(k->domain) > strlen(best)) && fits(f, slice_str(k->domain), want))
			best = k->domain;
	}
	return best;
}

/*
 * Which hop, or which two: a key that fits MAIL FROM, the last rt= and a From that is new; else one that fits MAIL FROM behind an nd= hop
 * of one that fits the last rt=. The first of them accounts for what changed, unless a new From is Authentic for the other only.
 */
static bool choose(const struct plan_facts *f, struct plan *p)
{
	p->d = key_domain(f, WANT_SENDER | WANT_FROM | WANT_DIRECT);
	if (p->d)
		return true;
	if (f->mail_from_null) { /* where no key follows directly, none can before it either: both are judged on d= */
		p->why = "no_key";
		return false;
	}
	p->bridge = key_domain(f, WANT_BRIDGE | WANT_FROM);
	p->d = key_domain(f, WANT_SENDER | WANT_FROM);
	if (!p->bridge && p->d) {
		p->bridge = key_domain(f, WANT_BRIDGE);
		p->content_later = p->bridge && f->from_changed;
	} else if (p->bridge && !p->d) {
		p->d = key_domain(f, WANT_SENDER);
	}
	p->why = key_domain(f, WANT_SENDER) ? "no_bridge" : "no_key";
	return p->d && p->bridge; /* which may be one: its domain is above both */
}

static struct plan extend(const struct plan_facts *f, bool arranged)
{
	struct plan p = { .kind = PLAN_EXTEND, .enforce = true, .exploded = explodes(f), .arranged = arranged,
		.may_pass = arranged && f->listener->unsealed == UNSEALED_PASS && !nobodys(f),
		.bound = bound(f) };
	bool chosen = f->known_client && choose(f, &p);
	struct slice words = S("no key for the domain that the message came for");

	if (chosen) {
		p.why = arranged ? "arranged" : p.bridge ? "bridge" : "extend";
		return p;
	}
	if (!f->known_client) {
		p.why = "foreign_client";
		words = S("client may not send for this domain");
	} else if (strcmp(p.why, "no_key") == 0) {
		words = S("no key for the sender domain");
	}
	return arranged ? unsealed(f, FAULT_UNSEALED, p.why, words) : refuse(FAULT_UNSEALED, p.why, words);
}

struct plan plan_make(const struct plan_facts *f)
{
	const struct dkim2_verdict *v = f->came;
	bool full = dkim2_fully_verified(v);

	if (!plan_chain(v))
		return without_chain(f);
	if (!full && f->arranged && v->state != DKIM2_NONE && v->hop_count)
		return extend(f, true);
	if (v->state == DKIM2_TEMPERROR)
		return unsealed(f, FAULT_KEY_SILENT, "chain_unknown", v->reason);
	if (!full)
		return unsealed(f, FAULT_CHAIN_BROKEN, "chain_broken", v->state == DKIM2_PASS ? S("an earlier body cannot be had") : v->reason);
	if (!f->changed && f->listener->seal != SEAL_ALWAYS)
		return (struct plan){ .kind = PLAN_NOTHING, .enforce = true, .why = "unchanged" };
	return extend(f, false);
}
