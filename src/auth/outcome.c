#include "auth/authres.h"
#include "auth/outcome.h"
#include "mail/domain.h"

const char *outcome_override_name(enum outcome_override override)
{
	static const char *const names[] = { "none", "dkim2", "arc" };

	return names[override];
}

static bool is_trusted(struct slice d, const char *const *trusted, size_t count)
{
	for (size_t i = 0; d.n && i < count; i++)
		if (domain_follows(d, slice_str(trusted[i])))
			return true;
	return false;
}

/* Do the results of a set say that DMARC passed for that author? */
static bool says_pass(struct arena *a, struct slice aar, struct slice author)
{
	const struct authres_result *results;
	struct slice id, domain;
	size_t n;

	if (!authres_glean(a, aar, &id, &results, &n))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!slice_ieq(results[i].method, S("dmarc")) || !slice_ieq(results[i].result, S("pass")))
			continue;
		for (size_t k = 0; k < results[i].prop_count; k++) {
			const struct authres_prop *p = &results[i].props[k];

			if (slice_ieq(p->ptype, S("header")) && slice_ieq(p->property, S("from")) &&
			    domain_normal(a, p->value, &domain) && slice_eq(domain, author))
				return true;
		}
	}
	return false;
}

/* Sets on top, as long as their sealers are trusted: what is below the first other one could be of its making. */
static bool vouches(struct arena *a, const struct arc_verdict *v, struct slice author, const char *const *trusted, size_t count)
{
	for (size_t i = v->n; i-- > 0 && is_trusted(v->sets[i].d_normal, trusted, count);)
		if (says_pass(a, v->sets[i].aar, author))
			return true;
	return false;
}

/* What the policy would come to if the result were fail. Nobody knows what one that could not be read asks for. */
static enum dmarc_policy asked(const struct dmarc_verdict *d)
{
	if (d->state == DMARC_FAIL)
		return d->disposition;
	if (!d->domain.n)
		return DMARC_POLICY_REJECT;
	return d->testing && d->policy != DMARC_POLICY_NONE ? d->policy - 1 : d->policy;
}

struct outcome outcome_make(struct arena *a, const struct findings *f, const char *const *trusted, size_t trusted_count)
{
	const struct dmarc_verdict *d = f->dmarc;
	const struct arc_verdict *v = f->arc;
	struct outcome o = { .override = OVERRIDE_NONE };
	bool sealed = v && v->n && is_trusted(v->sets[v->n - 1].d_normal, trusted, trusted_count);
	bool claimed = sealed && d && !d->several && vouches(a, v, d->author, trusted, trusted_count);
	bool open;

	/* of several authors a sealer that looked at one of them said nothing of the others */
	o.arc_trusted = sealed && v->state == ARC_PASS;
	o.arc_vouches = claimed && v->state == ARC_PASS;
	if (!d || d->state == DMARC_NONE || d->state == DMARC_PASS || d->state == DMARC_PERMERROR)
		return o;
	if (f->dkim2 && dkim2_fully_verified(f->dkim2)) {
		o.override = OVERRIDE_DKIM2;
		return o;
	}
	if (o.arc_vouches) {
		o.override = OVERRIDE_ARC;
		return o;
	}
	o.disposition = asked(d);
	open = d->state == DMARC_TEMPERROR || (f->dkim2 && f->dkim2->state == DKIM2_TEMPERROR) || (claimed && v->state == ARC_TEMPERROR);
	o.temporary = open && o.disposition == DMARC_POLICY_REJECT;
	if (o.temporary || d->state == DMARC_TEMPERROR)
		o.disposition = DMARC_POLICY_NONE;
	return o;
}
