#include "auth/engines.h"
#include "auth/fieldhash.h"
#include "base/ip.h"
#include "base/limits.h"

struct engines {
	struct arena *arena;
	struct engines_terms terms;
	struct asks *asks;
	struct canon_body *body;
	struct field_index *index;
	int relaxed; /* handle of also_relaxed */
	bool body_ended;

	struct dkim2_verify *dkim2;
	const struct slice *dkim2_names;
	size_t dkim2_count;
	struct dkim *dkim;
	struct arc *arc;
	struct spf *spf, *spf_helo;
	struct dmarc *dmarc;
	bool told; /* DMARC knows what DKIM and SPF found */

	struct findings found;
};

const char *const engine_names[ENGINES] = { "dkim2", "dkim", "arc", "spf", "dmarc" };

static bool wants(const struct engines *e, unsigned engine)
{
	return (e->terms.run & engine) != 0;
}

static bool start_dkim2(struct engines *e, const struct header *h)
{
	struct dkim2_clock clock = { .now = e->terms.now, .future_s = e->terms.future_s };

	e->dkim2 = dkim2_verify_new(e->arena, h, e->terms.envelope, clock, e->terms.draft);
	if (!e->dkim2)
		return false;
	if (e->terms.undo_octets)
		dkim2_verify_ceiling(e->dkim2, e->terms.undo_octets);
	e->dkim2_count = dkim2_verify_asks(e->dkim2, &e->dkim2_names);
	for (size_t i = 0; i < e->dkim2_count; i++)
		asks_want(e->asks, DNSREC_KEY, e->dkim2_names[i]);
	return true;
}

static struct spf *start_spf(struct engines *e, enum spf_scope scope)
{
	struct spf_terms terms = {
		.helo = e->terms.helo,
		.mail_from = e->terms.mail_from,
		.scope = scope,
		.hostname = e->terms.hostname,
		.now = e->terms.now,
		.explain = e->terms.explain,
	};
	struct spf *s;

	memcpy(terms.client, e->terms.client, sizeof(terms.client));
	s = spf_new(e->arena, e->asks, &terms);
	if (s)
		(void)spf_step(s);
	return s;
}

/* Questions of all of them stand together before anybody waits. */
static bool start(struct engines *e, const struct header *h)
{
	struct dkim_terms dkim = { .signatures_max = e->terms.signatures_max, .trust_l = e->terms.trust_l, .now = e->terms.now,
		.future_s = e->terms.future_s };
	struct dmarc_terms dmarc = { .from = e->terms.from, .from_count = e->terms.from_count, .from_single = e->terms.from_single };

	if (wants(e, ENGINE_DKIM2) && !start_dkim2(e, h))
		return false;
	e->body = canon_body_new((e->dkim2 ? dkim2_verify_digests(e->dkim2) : 0) | e->terms.also_simple);
	if (!e->body)
		return false;
	e->relaxed = e->terms.also_relaxed ? canon_body_want(e->body, CANON_RELAXED, DIGEST_SHA256, CANON_WHOLE) : CANON_LIMIT;
	if (e->relaxed == CANON_NO_MEMORY)
		return false;
	if (wants(e, ENGINE_DKIM)) {
		e->dkim = dkim_new(e->arena, e->asks, h, e->index, &dkim);
		if (!e->dkim)
			return false;
		dkim_body_wants(e->dkim, e->body);
	}
	if (wants(e, ENGINE_ARC)) {
		e->arc = arc_new(e->arena, e->asks, h, e->index, e->terms.now);
		if (!e->arc)
			return false;
		arc_body_wants(e->arc, e->body);
	}
	if (wants(e, ENGINE_SPF) && e->terms.client_known) {
		e->spf = start_spf(e, SPF_MFROM);
		/* A null path is judged by HELO already. */
		e->spf_helo = e->spf && e->terms.mail_from.n ? start_spf(e, SPF_HELO) : NULL;
		if (!e->spf || (e->terms.mail_from.n && !e->spf_helo))
			return false;
	}
	if (wants(e, ENGINE_DMARC)) {
		e->dmarc = dmarc_new(e->arena, e->asks, &dmarc);
		if (!e->dmarc)
			return false;
		(void)dmarc_step(e->dmarc);
	}
	return true;
}

static struct slice client_text(struct arena *a, const unsigned char client[16])
{
	char text[IP_TEXT];

	ip_text(client, text);
	return arena_copy(a, slice_str(text));
}

struct engines *engines_new(struct arena *a, const struct header *h, const struct engines_terms *terms)
{
	struct engines *e = ARENA_NEW(a, struct engines);

	if (!e)
		return NULL;
	e->arena = a;
	e->terms = *terms;
	if (wants(e, ENGINE_DMARC))
		e->terms.run |= ENGINE_DKIM | ENGINE_SPF;
	e->found.mail_from = terms->mail_from;
	e->found.helo = terms->helo;
	e->found.from_domain = terms->from_count ? terms->from[0] : SLICE_NONE;
	if (terms->client_known)
		e->found.client = client_text(a, terms->client);
	e->asks = asks_new(a, LIMIT_DNS_MESSAGE);
	if (e->asks && (e->terms.run & (ENGINE_DKIM | ENGINE_ARC) || terms->also_relaxed))
		e->index = field_index_new(a, h);
	/* all that came before start() is in the arena */
	if (!arena_failed(a) && start(e, h) && !arena_failed(a))
		return e;
	engines_release(e);
	return NULL;
}

void engines_release(struct engines *e)
{
	if (!e)
		return;
	canon_body_free(&e->body);
	dkim2_verify_release(e->dkim2);
	if (e->dkim)
		dkim_release(e->dkim);
	if (e->arc)
		arc_release(e->arc);
	asks_release(e->asks);
}

struct asks *engines_asks(struct engines *e)
{
	return e->asks;
}

void engines_body(struct engines *e, struct slice octets)
{
	canon_body_add(e->body, octets);
	if (e->dkim2)
		dkim2_verify_octets(e->dkim2, octets);
}

void engines_body_end(struct engines *e)
{
	canon_body_end(e->body);
	e->body_ended = true;
}

/* All keys, or none: its order of findings is its own. */
static void step_dkim2(struct engines *e)
{
	for (size_t i = 0; i < e->dkim2_count; i++)
		if (!asks_get(e->asks, DNSREC_KEY, e->dkim2_names[i]))
			return;
	for (size_t i = 0; i < e->dkim2_count; i++)
		dkim2_verify_answer(e->dkim2, i, asks_get(e->asks, DNSREC_KEY, e->dkim2_names[i])->key);
	dkim2_verify_body(e->dkim2, e->body);
	e->found.dkim2 = dkim2_verify_verdict(e->dkim2);
}

static void step_spf(struct engines *e)
{
	if (e->spf && !e->found.spf && spf_step(e->spf))
		e->found.spf = spf_verdict(e->spf);
	if (e->spf_helo && !e->found.spf_helo && spf_step(e->spf_helo))
		e->found.spf_helo = spf_verdict(e->spf_helo);
}

/* Each DKIM domain that passes, and what SPF found for MAIL FROM, or for HELO in place of a null path; and what may still pass. */
static void tell_dmarc(struct engines *e)
{
	const struct dkim_verdict *v = e->found.dkim;
	const struct spf_verdict *spf = e->found.spf;
	struct slice *domains = ARENA_ARRAY(e->arena, v->n + 1, struct slice), *unsure = ARENA_ARRAY(e->arena, v->n + 1, struct slice);
	size_t n = 0, unsure_n = 0;

	e->told = true;
	if (!domains || !unsure) {
		dmarc_found(e->dmarc, NULL, 0, SLICE_NONE, true, true);
		return;
	}
	for (size_t i = 0; i < v->n; i++)
		if (v->signatures[i].state == DKIM_PASS)
			domains[n++] = v->signatures[i].d_normal;
		else if (v->signatures[i].state == DKIM_TEMPERROR && v->signatures[i].d_normal.n)
			unsure[unsure_n++] = v->signatures[i].d_normal;
	if (spf && spf->state == SPF_TEMPERROR && spf->domain.n)
		unsure[unsure_n++] = spf->domain;
	dmarc_unsure(e->dmarc, unsure, unsure_n);
	dmarc_found(e->dmarc, domains, n, spf && spf->state == SPF_PASS ? spf->domain : SLICE_NONE, false, false);
}

static void step_dmarc(struct engines *e)
{
	if (!e->told && e->found.dkim && (e->found.spf || !e->spf))
		tell_dmarc(e);
	if (dmarc_step(e->dmarc))
		e->found.dmarc = dmarc_verdict(e->dmarc);
}

bool engines_step(struct engines *e)
{
	if (e->body_ended) {
		if (e->dkim2 && !e->found.dkim2)
			step_dkim2(e);
		if (e->dkim && !e->found.dkim && dkim_step(e->dkim, e->body))
			e->found.dkim = dkim_verdict(e->dkim);
		if (e->arc && !e->found.arc && arc_step(e->arc, e->body))
			e->found.arc = arc_verdict(e->arc);
	}
	step_spf(e);
	if (e->dmarc && !e->found.dmarc)
		step_dmarc(e);
	return e->body_ended && (!e->dkim2 || e->found.dkim2) && (!e->dkim || e->found.dkim) && (!e->arc || e->found.arc) &&
	    (!e->spf || e->found.spf) && (!e->spf_helo || e->found.spf_helo) && (!e->dmarc || e->found.dmarc);
}

const struct findings *engines_findings(const struct engines *e)
{
	return &e->found;
}

struct slice engines_simple(const struct engines *e, enum digest_alg alg)
{
	return canon_body_digest(e->body, alg);
}

struct slice engines_relaxed_sha256(const struct engines *e)
{
	return e->relaxed < 0 ? SLICE_NONE : canon_body_got(e->body, e->relaxed);
}

bool engines_dkim2_changes(struct engines *e)
{
	return !e->dkim2 || dkim2_verify_changes(e->dkim2);
}
