#include "auth/dmarc/tree.h"
#include "base/bug.h"
#include "base/limits.h"
#include "mail/domain.h"

const char *dmarc_state_name(enum dmarc_state state)
{
	static const char *const names[] = {
		[DMARC_NONE] = "none", [DMARC_PASS] = "pass", [DMARC_FAIL] = "fail", [DMARC_PERMERROR] = "permerror", [DMARC_TEMPERROR] = "temperror",
	};

	return names[state];
}

const char *dmarc_policy_name(enum dmarc_policy policy)
{
	static const char *const names[] = {
		[DMARC_POLICY_NONE] = "none", [DMARC_POLICY_QUARANTINE] = "quarantine", [DMARC_POLICY_REJECT] = "reject",
	};

	return names[policy];
}

struct author {
	struct slice domain;
	bool done;
	struct dmarc_verdict verdict;
};

struct domains {
	struct slice *at;
	size_t n;
};

struct dmarc {
	struct arena *arena;
	struct asks *asks;
	struct author authors[LIMIT_DMARC_AUTHORS];
	size_t author_count;
	bool told; /* dmarc_found() */
	struct domains dkim, unsure;
	struct slice spf;
	bool dkim_temporary, spf_temporary;
	bool done;
	struct dmarc_verdict verdict;
};

static void permerror(struct dmarc *d, struct slice reason)
{
	d->verdict = (struct dmarc_verdict){ .state = DMARC_PERMERROR, .reason = reason, .tag = "" };
	d->done = true;
}

static bool add_author(struct dmarc *d, struct slice domain)
{
	for (size_t i = 0; i < d->author_count; i++)
		if (slice_eq(d->authors[i].domain, domain))
			return true;
	if (d->author_count == LIMIT_DMARC_AUTHORS)
		return false;
	d->authors[d->author_count++].domain = arena_copy(d->arena, domain);
	return true;
}

struct dmarc *dmarc_new(struct arena *a, struct asks *asks, const struct dmarc_terms *terms)
{
	struct dmarc *d = ARENA_NEW(a, struct dmarc);
	bool few = true;

	if (!d)
		return NULL;
	d->arena = a;
	d->asks = asks;
	if (!terms->from_single || terms->from_count == 0) {
		/* RFC 9989 4.4, 11.5: whoever chooses one of them chooses what is judged */
		permerror(d, S("no single From field that can be read"));
		return d;
	}
	for (size_t i = 0; few && i < terms->from_count; i++)
		few = add_author(d, terms->from[i]);
	if (!few) {
		permerror(d, S("too many author domains"));
		return d;
	}
	for (size_t i = 0; i < d->author_count; i++)
		if (domain_valid(d->authors[i].domain))
			dmarc_tree_want(asks, d->authors[i].domain);
	return arena_failed(a) ? NULL : d;
}

static struct domains copied(struct arena *a, const struct slice *from, size_t n)
{
	struct domains out = { .at = ARENA_ARRAY(a, n, struct slice) };

	for (; out.at && out.n < n; out.n++)
		out.at[out.n] = arena_copy(a, from[out.n]);
	return out;
}

void dmarc_unsure(struct dmarc *d, const struct slice *domains, size_t count)
{
	d->unsure = copied(d->arena, domains, count);
}

void dmarc_found(struct dmarc *d, const struct slice *dkim, size_t dkim_count, struct slice spf, bool dkim_temporary, bool spf_temporary)
{
	d->dkim = copied(d->arena, dkim, dkim_count);
	d->spf = arena_copy(d->arena, spf);
	d->dkim_temporary = dkim_temporary;
	d->spf_temporary = spf_temporary;
	d->told = true;
}

/* ---- alignment, RFC 9989 4.4, 4.10.2 ---- */

enum alignment { APART, ALIGNED, UNSURE, WAITS };

static struct slice last_label(struct slice name)
{
	size_t i = name.n;

	while (i > 0 && name.at[i - 1] != '.')
		i--;
	return slice_sub(name, i, SIZE_MAX);
}

/* What can be said without asking. WAITS: its own walk has to say. */
static enum alignment at_sight(const struct dmarc_tree *t, struct slice author, struct slice id, bool strict)
{
	if (id.n == 0)
		return APART;
	if (slice_eq(id, author))
		return ALIGNED;
	if (strict || !domain_valid(id))
		return APART;
	if (!t->sure)
		return slice_eq(last_label(id), last_label(author)) ? UNSURE : APART;
	/* An organisational domain is what the name ends in, so what does not end in the author's has another one. */
	if (slice_eq(id, t->organisational))
		return ALIGNED;
	return domain_follows(id, t->organisational) ? WAITS : APART;
}

/* The author's walk has shown the names they share; those below its organisational domain are new. */
static enum alignment by_walk(struct dmarc *d, const struct dmarc_tree *t, struct slice id)
{
	struct dmarc_tree its;

	if (!dmarc_tree_walk(d->asks, id, &its))
		return WAITS;
	if (!its.sure)
		return UNSURE;
	return slice_eq(its.organisational, t->organisational) ? ALIGNED : APART;
}

static enum alignment spf_alignment(struct dmarc *d, const struct dmarc_tree *t, struct slice author)
{
	enum alignment is = at_sight(t, author, d->spf, t->record.aspf_strict);

	return is == WAITS ? by_walk(d, t, d->spf) : is;
}

/* Walks only when no signature aligns without one; all of them at once. */
static enum alignment dkim_alignment(struct dmarc *d, const struct dmarc_tree *t, struct slice author, struct slice *which_out)
{
	struct slice walked[LIMIT_DMARC_IDENTIFIERS];
	enum alignment best = APART;
	size_t n = 0;

	for (size_t i = 0; i < d->dkim.n; i++) {
		enum alignment is = at_sight(t, author, d->dkim.at[i], t->record.adkim_strict);
		size_t k = 0;

		if (is == ALIGNED) {
			*which_out = d->dkim.at[i];
			return ALIGNED;
		}
		if (is == UNSURE)
			best = UNSURE;
		while (is == WAITS && k < n && !slice_eq(walked[k], d->dkim.at[i]))
			k++;
		if (is == WAITS && k == n && n < LIMIT_DMARC_IDENTIFIERS)
			walked[n++] = d->dkim.at[i];
	}
	for (size_t i = 0; i < n; i++) {
		enum alignment is = by_walk(d, t, walked[i]);

		if (is == ALIGNED && best != ALIGNED)
			*which_out = walked[i];
		if (is == ALIGNED || (best != ALIGNED && is > best))
			best = is;
	}
	return best;
}

/* Might one whose check is a temperror align once that is over? */
static bool might_align(const struct dmarc *d, const struct dmarc_tree *t, struct slice author)
{
	bool strict = t->record.adkim_strict && t->record.aspf_strict;

	for (size_t i = 0; i < d->unsure.n; i++)
		if (at_sight(t, author, d->unsure.at[i], strict) != APART)
			return true;
	return d->dkim_temporary || d->spf_temporary;
}

/* ---- policy, RFC 9989 4.10.1 ---- */

enum existence { EXISTS, MISSING, EXISTENCE_UNSURE, EXISTENCE_WAITS };

/* A.4: any record is enough, so NXDOMAIN for one type says it all. */
static enum existence existence(struct dmarc *d, const struct dmarc_tree *t, struct slice author)
{
	const struct dnsrec *rec;

	if (t->exists)
		return EXISTS;
	rec = asks_get(d->asks, DNSREC_A, author);
	if (!rec)
		return EXISTENCE_WAITS;
	if (dnsrec_temporary(rec))
		return EXISTENCE_UNSURE;
	return rec->status == DNS_NXDOMAIN ? MISSING : EXISTS;
}

static void set_policy(struct dmarc_verdict *v, const struct dmarc_tree *t, bool missing)
{
	const struct dmarc_record *r = &t->record;

	v->policy = r->p;
	v->tag = "p";
	if (t->own)
		return;
	if (missing && r->has_np) {
		v->policy = r->np;
		v->tag = "np";
	} else if (r->has_sp) {
		v->policy = r->sp;
		v->tag = "sp";
	}
}

static enum dmarc_policy milder(enum dmarc_policy p)
{
	return p == DMARC_POLICY_REJECT ? DMARC_POLICY_QUARANTINE : DMARC_POLICY_NONE;
}

/* ---- one author domain ---- */

static void end(struct dmarc_verdict *v, enum dmarc_state state, struct slice reason)
{
	v->state = state;
	v->reason = reason;
}

static struct slice about(struct dmarc *d, const char *head, struct slice name, const char *behind)
{
	return arena_printf(d->arena, "%s%.*s%s", head, SLICE_FMT(slice_sub(name, 0, LIMIT_REASON)), behind);
}

/* The policy is there. False: waits. */
static bool judge_alignment(struct dmarc *d, const struct dmarc_tree *t, struct dmarc_verdict *v)
{
	struct slice author = v->author;
	enum alignment dkim, spf;

	/* both, so that their questions travel together */
	dkim = dkim_alignment(d, t, author, &v->dkim_domain);
	spf = spf_alignment(d, t, author);
	if (dkim == WAITS || spf == WAITS)
		return false;
	v->dkim_aligned = dkim == ALIGNED;
	v->spf_aligned = spf == ALIGNED;
	if (v->spf_aligned)
		v->spf_domain = d->spf;
	if (v->dkim_aligned || v->spf_aligned)
		end(v, DMARC_PASS, SLICE_NONE);
	else if (dkim == UNSURE || spf == UNSURE)
		end(v, DMARC_TEMPERROR, t->sure ? S("no answer yet for the organisational domain of an identifier") :
		    about(d, "no answer yet for _dmarc.", t->silent, ""));
	else if (might_align(d, t, author))
		end(v, DMARC_TEMPERROR, S("DKIM or SPF has no answer yet"));
	else
		end(v, DMARC_FAIL, S("neither DKIM nor SPF aligns"));
	return true;
}

static bool judge_existence(struct dmarc *d, const struct dmarc_tree *t, struct dmarc_verdict *v)
{
	const struct dmarc_record *r = &t->record;
	enum dmarc_policy otherwise = r->has_sp ? r->sp : r->p;
	enum existence is = EXISTS;

	if (v->state == DMARC_FAIL && !t->own && r->has_np && r->np != otherwise)
		is = existence(d, t, v->author);
	if (is == EXISTENCE_WAITS)
		return false;
	if (is == EXISTENCE_UNSURE)
		end(v, DMARC_TEMPERROR, about(d, "no answer yet whether ", v->author, " exists"));
	/* of two that it may be the stricter: whoever keeps the answer away is not to choose the milder */
	set_policy(v, t, is == MISSING || (is == EXISTENCE_UNSURE && r->np > otherwise));
	if (v->state == DMARC_FAIL)
		v->disposition = r->testing ? milder(v->policy) : v->policy;
	return true;
}

/* False: waits. */
static bool judge(struct dmarc *d, struct author *author)
{
	struct dmarc_verdict *v = &author->verdict;
	struct dmarc_tree t;

	*v = (struct dmarc_verdict){ .author = author->domain, .tag = "" };
	if (!domain_valid(author->domain)) {
		end(v, DMARC_NONE, S("the author domain is no domain name"));
		return true;
	}
	if (!dmarc_tree_walk(d->asks, author->domain, &t))
		return false;
	if (!t.found && !t.sure) {
		end(v, DMARC_TEMPERROR, about(d, "no answer yet for _dmarc.", t.silent, ""));
		return true;
	}
	v->organisational = t.organisational;
	if (!t.found) {
		end(v, DMARC_NONE, S("no policy record"));
		return true;
	}
	if (!t.record.usable) {
		end(v, DMARC_NONE, about(d, "the record of ", t.domain, " has no policy"));
		return true;
	}
	if (!d->told)
		return false;
	if (!judge_alignment(d, &t, v) || !judge_existence(d, &t, v))
		return false;
	v->domain = arena_copy(d->arena, t.domain);
	v->testing = t.record.testing;
	v->adkim_strict = t.record.adkim_strict;
	v->aspf_strict = t.record.aspf_strict;
	v->rua = arena_copy(d->arena, t.record.rua);
	v->ruf = arena_copy(d->arena, t.record.ruf);
	v->fo = arena_copy(d->arena, t.record.fo);
	return true;
}

/* ---- the strictest of several, RFC 9989 11.5 ---- */

/* May what is not known yet have to be refused? Nobody knows what a policy that did not answer asks for. */
static bool may_refuse(const struct dmarc_verdict *v)
{
	return !v->domain.n || (v->policy == DMARC_POLICY_REJECT && !v->testing);
}

/*
 * What is known to be refused comes before what may have to be, and that before anything that may go on: a domain that asks for little and
 * does not answer hides no other one.
 */
static int severity(const struct dmarc_verdict *v)
{
	switch (v->state) {
	case DMARC_PERMERROR:
		return 7;
	case DMARC_TEMPERROR:
		return may_refuse(v) ? 5 : 3;
	case DMARC_FAIL:
		return v->disposition == DMARC_POLICY_REJECT ? 6 : v->disposition == DMARC_POLICY_QUARANTINE ? 4 : 2;
	case DMARC_NONE:
		return 1;
	default:
		return 0;
	}
}

static bool no_memory(struct dmarc *d)
{
	d->verdict = (struct dmarc_verdict){ .state = DMARC_TEMPERROR, .author = d->authors[0].domain, .reason = S("no memory"), .tag = "" };
	d->done = true;
	return true;
}

bool dmarc_step(struct dmarc *d)
{
	const struct author *worst = d->authors;
	bool all = true;

	if (d->done)
		return true;
	for (size_t i = 0; i < d->author_count; i++) {
		struct author *author = &d->authors[i];

		author->done = author->done || judge(d, author);
		all &= author->done;
		if (severity(&author->verdict) > severity(&worst->verdict))
			worst = author;
	}
	/* an identifier that could not be kept may be the one that aligns */
	if (arena_failed(d->arena))
		return no_memory(d);
	if (!all)
		return false;
	d->verdict = worst->verdict;
	d->verdict.several = d->author_count > 1;
	d->done = true;
	return true;
}

const struct dmarc_verdict *dmarc_verdict(const struct dmarc *d)
{
	BUG_ON(!d->done);
	return &d->verdict;
}
