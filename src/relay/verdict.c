#include <stdio.h>

#include "auth/outcome.h"
#include "base/limits.h"
#include "mail/domain.h"
#include "out/log.h"
#include "relay/verdict.h"
#include "relay/view.h"

static struct slice yes_no(bool yes)
{
	return yes ? S("yes") : S("no");
}

/* ---- DKIM2 ---- */

/* The event of each kind of finding: what an operator searches for, whatever level the exact string follows. */
static const char *const chain_events[DKIM2_KINDS] = {
	[DKIM2_ABOUT_STRUCTURE] = "dkim2_structure",
	[DKIM2_ABOUT_LIMIT] = "dkim2_too_many",
	[DKIM2_ABOUT_TIME] = "dkim2_time",
	[DKIM2_ABOUT_ENVELOPE] = "dkim2_envelope",
	[DKIM2_ABOUT_CUSTODY] = "dkim2_custody",
	[DKIM2_ABOUT_KEY] = "dkim2_key",
	[DKIM2_ABOUT_ALGORITHM] = "dkim2_algorithm",
	[DKIM2_ABOUT_SIGNATURE] = "dkim2_signature",
	[DKIM2_ABOUT_MIXED] = "dkim2_mixed",
	[DKIM2_ABOUT_HASH] = "dkim2_hash",
	[DKIM2_ABOUT_RECIPE] = "dkim2_recipe",
	[DKIM2_ABOUT_WORK] = "dkim2_limit",
	[DKIM2_ABOUT_FROM] = "dkim2_from",
};

void verdict_chain_event(const struct tx *t, const char *name, const struct dkim2_verdict *v)
{
	struct log_line l = log_begin(LOG_LEVEL_WARNING, name);

	log_str(&l, "tx", t->name);
	log_str(&l, "listener", t->pair->listener->conf->name);
	view_log(t->pair, &l);
	log_u64(&l, "draft", v->draft);
	log_text(&l, "reason", v->reason);
	if (v->detail.n)
		log_text(&l, "note", v->detail);
	log_end(&l);
}

bool verdict_arranged(const struct tx *t)
{
	const struct conf_listener *l = t->pair->listener->conf;

	for (size_t i = 0; i < l->extend_unverified_from_count; i++)
		if (cidr_holds(&l->extend_unverified_from[i], t->pair->client))
			return true;
	return false;
}

static void log_result(const struct tx *t, const char *method, const char *result, struct slice reason)
{
	struct log_line l = log_begin(LOG_LEVEL_INFO, "auth_result");

	log_str(&l, "tx", t->name);
	log_str(&l, "method", method);
	log_str(&l, "result", result);
	if (reason.n)
		log_text(&l, "reason", reason);
	log_end(&l);
}

static void take_dkim2(struct tx *t, const struct dkim2_verdict *v)
{
	static const enum count by_state[] = {
		[DKIM2_NONE] = COUNT_DKIM2_NONE, [DKIM2_PASS] = COUNT_DKIM2_PASS, [DKIM2_TEMPERROR] = COUNT_DKIM2_TEMPERROR,
		[DKIM2_FAIL] = COUNT_DKIM2_FAIL, [DKIM2_PERMERROR] = COUNT_DKIM2_PERMERROR,
	};
	struct facts *f = &t->facts;
	struct log_line l;

	count_add(t->pair->relay->counts, t->pair->relay->slot, by_state[v->state], 1);
	facts_set(f, FACT_DKIM2, slice_str(dkim2_state_name(v->state)));
	facts_set(f, FACT_DKIM2_REASON, v->reason);
	facts_set(f, FACT_DKIM2_LEVEL, v->state == DKIM2_NONE ? S("none") : slice_str(dkim2_level_name(v->level)));
	facts_set(f, FACT_DKIM2_DOMAIN, v->hop_count ? v->hops[0].d_normal : SLICE_NONE);
	facts_set(f, FACT_DKIM2_SEALER, v->hop_count ? v->hops[v->hop_count - 1].d_normal : SLICE_NONE);
	facts_set(f, FACT_DKIM2_HOPS, arena_printf(&t->pair->arena, "%zu", v->hop_count));
	facts_set(f, FACT_DKIM2_EXPLODED, yes_no(v->exploded));
	facts_set(f, FACT_DKIM2_TESTING, yes_no(v->testing));
	if (chain_events[v->about])
		verdict_chain_event(t, chain_events[v->about], v);
	/* A chain we did not verify is one we do not sign on top of, whoever refuses the message first. */
	if (t->pair->listener->conf->sealing && plan_chain(v) && !dkim2_fully_verified(v) && !verdict_arranged(t))
		verdict_chain_event(t, "dkim2_not_signed", v);
	if (v->state == DKIM2_PASS || v->state == DKIM2_NONE)
		return;
	l = log_begin(LOG_LEVEL_INFO, "auth_result");
	log_str(&l, "tx", t->name);
	log_str(&l, "method", "dkim2");
	log_str(&l, "result", dkim2_state_name(v->state));
	log_u64(&l, "draft", v->draft);
	log_text(&l, "reason", v->reason);
	log_end(&l);
}

/* ---- DKIM ---- */

static const char *const dkim_events[DKIM_KINDS] = {
	[DKIM_ABOUT_SYNTAX] = "dkim_syntax",
	[DKIM_ABOUT_ALGORITHM] = "dkim_algorithm",
	[DKIM_ABOUT_TIME] = "dkim_time",
	[DKIM_ABOUT_PARTIAL] = "dkim_l_partial",
	[DKIM_ABOUT_LIMIT] = "dkim_too_many",
	[DKIM_ABOUT_KEY] = "dkim_key",
	[DKIM_ABOUT_KEY_SYNTAX] = "dkim_key_syntax",
	[DKIM_ABOUT_KEY_REFUSED] = "dkim_key_refused",
	[DKIM_ABOUT_BODY] = "dkim_body_hash",
	[DKIM_ABOUT_SIGNATURE] = "dkim_signature",
};

static void log_signature(const struct tx *t, const struct dkim_signature *s)
{
	struct log_line l = log_begin(LOG_LEVEL_INFO, dkim_events[s->about]);

	log_str(&l, "tx", t->name);
	log_text(&l, "d", s->d);
	log_text(&l, "s", s->s);
	log_str(&l, "result", dkim_state_name(s->state));
	log_text(&l, "reason", s->reason);
	log_end(&l);
}

static void take_dkim(struct tx *t, const struct dkim_verdict *v)
{
	struct facts *f = &t->facts;
	struct slice domain = SLICE_NONE;
	bool testing = false, too_many = false;

	for (size_t i = 0; i < v->n; i++) {
		const struct dkim_signature *s = &v->signatures[i];

		testing |= s->testing;
		if (s->state == DKIM_PASS && !domain.n)
			domain = s->d_normal;
		/* One line for all that were not looked at. */
		if (dkim_events[s->about] && !(s->about == DKIM_ABOUT_LIMIT && too_many))
			log_signature(t, s);
		too_many |= s->about == DKIM_ABOUT_LIMIT;
	}
	facts_set(f, FACT_DKIM, slice_str(dkim_state_name(v->state)));
	facts_set(f, FACT_DKIM_DOMAIN, domain);
	facts_set(f, FACT_DKIM_SIGNATURES, arena_printf(&t->pair->arena, "%zu", v->n));
	facts_set(f, FACT_DKIM_TESTING, yes_no(testing));
}

/* ---- ARC ---- */

static const char *const arc_events[ARC_KINDS] = {
	[ARC_ABOUT_STRUCTURE] = "arc_structure",
	[ARC_ABOUT_CV] = "arc_cv",
	[ARC_ABOUT_SYNTAX] = "arc_syntax",
	[ARC_ABOUT_KEY] = "arc_key",
	[ARC_ABOUT_BODY] = "arc_body_hash",
	[ARC_ABOUT_SIGNATURE] = "arc_signature",
	[ARC_ABOUT_LIMIT] = "arc_limit",
};

static void log_arc(const struct tx *t, const char *event, const struct arc_verdict *v)
{
	struct log_line l = log_begin(LOG_LEVEL_INFO, event);

	log_str(&l, "tx", t->name);
	log_str(&l, "result", arc_state_name(v->state));
	log_u64(&l, "instances", v->instances);
	if (v->n)
		log_text(&l, "sealer", v->sets[v->n - 1].d_normal);
	log_str(&l, "trusted", t->outcome.arc_trusted ? "yes" : "no");
	if (v->reason.n)
		log_text(&l, "reason", v->reason);
	log_end(&l);
}

static void take_arc(struct tx *t, const struct arc_verdict *v)
{
	struct facts *f = &t->facts;

	facts_set(f, FACT_ARC, slice_str(arc_state_name(v->state)));
	facts_set(f, FACT_ARC_SEALER, v->n ? v->sets[v->n - 1].d_normal : SLICE_NONE);
	facts_set(f, FACT_ARC_INSTANCES, arena_printf(&t->pair->arena, "%llu", (unsigned long long)v->instances));
	facts_set(f, FACT_ARC_TRUSTED, yes_no(t->outcome.arc_trusted));
	facts_set(f, FACT_ARC_VOUCHES, yes_no(t->outcome.arc_vouches));
	if (v->state == ARC_NONE)
		return;
	log_arc(t, "arc_result", v);
	if (arc_events[v->about])
		log_arc(t, arc_events[v->about], v);
}

/* ---- SPF and DMARC ---- */

static void take_spf(struct tx *t, const struct spf_verdict *v, const struct spf_verdict *helo)
{
	struct facts *f = &t->facts;
	bool told = v->state != SPF_PASS && v->state != SPF_NONE && v->state != SPF_NEUTRAL;

	facts_set(f, FACT_SPF, slice_str(spf_state_name(v->state)));
	facts_set(f, FACT_SPF_DOMAIN, v->domain);
	facts_set(f, FACT_SPF_EXPLANATION, v->explanation);
	/* Of a null path the result is that of HELO. */
	facts_set(f, FACT_SPF_HELO, slice_str(spf_state_name(helo ? helo->state : v->scope == SPF_HELO ? v->state : SPF_NONE)));
	if (told)
		log_result(t, "spf", spf_state_name(v->state), v->reason);
}

static struct slice disposition(const struct outcome *o)
{
	return o->temporary ? S("temperror") : slice_str(dmarc_policy_name(o->disposition));
}

static void take_dmarc(struct tx *t, const struct dmarc_verdict *v)
{
	const struct findings *found = checks_findings(t->checks);
	struct facts *f = &t->facts;

	facts_set(f, FACT_DKIM_ALIGNED, yes_no(v->dkim_aligned));
	facts_set(f, FACT_SPF_ALIGNED, yes_no(v->spf_aligned));
	facts_set(f, FACT_DMARC, slice_str(dmarc_state_name(v->state)));
	facts_set(f, FACT_DMARC_DOMAIN, v->domain);
	facts_set(f, FACT_DMARC_POLICY, slice_str(dmarc_policy_name(v->policy)));
	facts_set(f, FACT_DMARC_DISPOSITION, disposition(&t->outcome));
	facts_set(f, FACT_DMARC_REASON, v->reason);
	if (v->state == DMARC_TEMPERROR) {
		struct log_line l = log_begin(LOG_LEVEL_INFO, "dmarc_temperror");

		log_str(&l, "tx", t->name);
		log_text(&l, "header_from", v->author);
		log_text(&l, "reason", v->reason);
		log_end(&l);
	} else if (v->state != DMARC_PASS && v->state != DMARC_NONE) {
		log_result(t, "dmarc", dmarc_state_name(v->state), v->reason);
	}
	/* A chain that passes, of somebody who is not believed, on mail that it would have saved. */
	if (v->state == DMARC_FAIL && found->arc && found->arc->state == ARC_PASS && !t->outcome.arc_trusted)
		log_arc(t, "arc_untrusted", found->arc);
}

void verdict_take(struct tx *t)
{
	const struct findings *found = checks_findings(t->checks);
	const struct conf *conf = t->pair->relay->conf;

	t->outcome = outcome_make(&t->pair->arena, found, conf->arc.trusted, conf->arc.trusted_count);
	t->findings = *found;
	if (t->outcome.override != OVERRIDE_NONE)
		t->findings.override = outcome_override_name(t->outcome.override);
	if (found->dkim2)
		take_dkim2(t, found->dkim2);
	if (found->dkim)
		take_dkim(t, found->dkim);
	if (found->arc)
		take_arc(t, found->arc);
	if (found->spf)
		take_spf(t, found->spf, found->spf_helo);
	if (found->dmarc)
		take_dmarc(t, found->dmarc);
	if (asks_too_many(engines_asks(checks_engines(t->checks)))) {
		struct log_line l = log_begin(LOG_LEVEL_WARNING, "dns_too_many");

		log_str(&l, "tx", t->name);
		view_log(t->pair, &l);
		log_u64(&l, "questions", LIMIT_DNS_MESSAGE);
		log_end(&l);
	}
}

/* "a.example/s1=pass b.example/s=fail" */
static void report_dkim(struct tx *t, struct log_line *l, const struct dkim_verdict *v)
{
	struct slice all = SLICE_NONE;

	for (size_t i = 0; i < v->n && all.n < LIMIT_LOG_VALUE; i++)
		if (v->signatures[i].about != DKIM_ABOUT_LIMIT)
			all = arena_printf(&t->pair->arena, "%.*s%s%.*s/%.*s=%s", SLICE_FMT(all), i ? " " : "", SLICE_FMT(v->signatures[i].d),
			    SLICE_FMT(v->signatures[i].s), dkim_state_name(v->signatures[i].state));
	log_text(l, "dkim_auth", all);
}

void verdict_report(struct tx *t)
{
	const struct findings *found = checks_findings(t->checks);
	const struct dmarc_verdict *d = found->dmarc;
	struct log_line l;

	if (!d)
		return;
	l = log_begin(LOG_LEVEL_INFO, "dmarc_result");
	log_str(&l, "tx", t->name);
	log_str(&l, "client", t->pair->client_text);
	log_text(&l, "header_from", d->author);
	log_text(&l, "mail_from", t->commands[0].path.raw);
	log_text(&l, "helo", srv_helo(t->pair->srv));
	log_str(&l, "result", dmarc_state_name(d->state));
	if (d->domain.n) {
		log_text(&l, "policy_domain", d->domain);
		log_str(&l, "policy", dmarc_policy_name(d->policy));
		log_str(&l, "policy_tag", d->tag);
		log_str(&l, "adkim", d->adkim_strict ? "s" : "r");
		log_str(&l, "aspf", d->aspf_strict ? "s" : "r");
		if (d->testing)
			log_str(&l, "testing", "yes");
	}
	log_text(&l, "disposition", disposition(&t->outcome));
	log_str(&l, "override", outcome_override_name(t->outcome.override));
	log_str(&l, "ruling", ruling_name(t->ruling.kind));
	if (found->dkim)
		report_dkim(t, &l, found->dkim);
	log_str(&l, "dkim_aligned", d->dkim_aligned ? "yes" : "no");
	if (found->spf) {
		log_str(&l, "spf", spf_state_name(found->spf->state));
		log_str(&l, "spf_scope", found->spf->scope == SPF_HELO ? "helo" : "mfrom");
		log_text(&l, "spf_domain", found->spf->domain);
	}
	log_str(&l, "spf_aligned", d->spf_aligned ? "yes" : "no");
	if (found->arc) {
		log_str(&l, "arc", arc_state_name(found->arc->state));
		if (found->arc->n)
			log_text(&l, "sealer", found->arc->sets[found->arc->n - 1].d_normal);
	}
	if (found->dkim2) {
		log_str(&l, "dkim2", dkim2_state_name(found->dkim2->state));
		if (found->dkim2->hop_count)
			log_text(&l, "dkim2_domain", found->dkim2->hops[0].d_normal);
	}
	log_end(&l);
}
