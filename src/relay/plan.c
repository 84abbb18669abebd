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

static struct plan unsealed(const struct plan_facts *f, enum fault_code code, const char *why, struct slice reason)
{
	if (f->listener->unsealed == UNSEALED_REFUSE)
		return refuse(code, why, reason);
	return (struct plan){ .kind = PLAN_NOTHING, .why = why };
}

static struct plan without_chain(const struct plan_facts *f)
{
	bool ours = f->from_count > 0 && plan_domain(f->conf, f->from, f->from_count, SLICE_NONE);
	const char *d;

	/* Whose it is nobody can say for sure: not we, and whoever reads it later may say that it is ours. */
	if (!f->from_single && f->listener->from == FROM_READABLE)
		return refuse(FAULT_NO_AUTHOR, "no_author", SLICE_NONE);
	if (!ours)
		return (struct plan){ .kind = PLAN_NOTHING, .why = "foreign_from" };
	d = plan_domain(f->conf, f->from, f->from_count, f->mail_from_domain);
	/* From and sender both ours: such a copy leaves with a seal or not at all (DESIGN.md section 4), whatever `unsealed` says. */
	if (!d && plan_domain(f->conf, NULL, 0, f->mail_from_domain))
		return refuse(FAULT_UNSEALED, "no_key", S("no key fits both From and MAIL FROM"));
	if (!d)
		return unsealed(f, FAULT_UNSEALED, "foreign_sender", S("no key fits both From and MAIL FROM"));
	if (!f->known_client)
		/* Our seal is our word: only who may send to anyone gets it. And without it this copy must not leave. */
		return refuse(FAULT_UNSEALED, "foreign_client", S("client may not send for this domain"));
	return (struct plan){ .kind = PLAN_ORIGINATE, .enforce = true, .d = d, .why = "originate" };
}

bool plan_chain(const struct dkim2_verdict *came)
{
	return came->state != DKIM2_NONE || came->instance_count > 0;
}

struct plan plan_make(const struct plan_facts *f)
{
	const struct dkim2_verdict *v = f->came;
	const struct dkim2_hop *last;
	const char *d;

	if (!plan_chain(v))
		return without_chain(f);
	if (v->state == DKIM2_TEMPERROR)
		return unsealed(f, FAULT_KEY_SILENT, "chain_unknown", v->reason);
	if (!dkim2_fully_verified(v))
		return unsealed(f, FAULT_CHAIN_BROKEN, "chain_broken", v->state == DKIM2_PASS ? S("it holds a recipe") : v->reason);
	if (f->listener->seal != SEAL_ALWAYS)
		return (struct plan){ .kind = PLAN_NOTHING, .enforce = true, .why = "unchanged" };
	if (!f->known_client)
		return refuse(FAULT_UNSEALED, "foreign_client", S("client may not send for this domain"));
	last = &v->hops[v->hop_count - 1];
	d = plan_domain(f->conf, NULL, 0, f->mail_from_domain);
	if (last->nd.n) /* the hop before says who signs next */
		for (size_t i = 0; i < f->conf->key_count; i++)
			if (f->conf->keys[i].active && slice_ieq(slice_str(f->conf->keys[i].domain), last->nd))
				d = f->conf->keys[i].domain;
	if (!d)
		return refuse(FAULT_UNSEALED, "no_key", S("no key for the sender domain"));
	return (struct plan){ .kind = PLAN_EXTEND, .enforce = true, .d = d, .why = "extend" };
}
