#include "auth/findings.h"
#include "base/buf.h"
#include "base/limits.h"

enum {
	B_OCTETS = 8,                     /* RFC 6008 4 */
	RESULTS = 1 + LIMIT_AUTHRES_DKIM + 1 + 2 + 1,
	PROPS = 5,
	COMMENT_OCTETS = 1024
};

struct list {
	struct arena *arena;
	struct authres_result *results;
	size_t n;
};

static struct authres_result *add(struct list *l, struct slice method, const char *result, struct slice reason)
{
	struct authres_result *r = &l->results[l->n++];

	*r = (struct authres_result){ .method = method, .result = slice_str(result), .reason = reason };
	r->props = ARENA_ARRAY(l->arena, PROPS, struct authres_prop);
	return r;
}

/* A property without a value is left out. */
static void prop(struct authres_result *r, struct slice ptype, struct slice property, struct slice value)
{
	struct authres_prop *props = (struct authres_prop *)r->props; /* ours, from add() */

	if (value.n && props)
		props[r->prop_count++] = (struct authres_prop){ ptype, property, value };
}

/* ---- dkim ---- */

/* The start of b= that no other signature shares. */
static struct slice b_start(const struct dkim_verdict *v, size_t which)
{
	struct slice b = v->signatures[which].b;
	size_t n = B_OCTETS;

	for (size_t i = 0; i < v->n && i < LIMIT_AUTHRES_DKIM; i++) {
		struct slice other = v->signatures[i].b;

		while (i != which && n < b.n && !slice_eq(b, other) && slice_eq(slice_sub(b, 0, n), slice_sub(other, 0, n)))
			n++;
	}
	return slice_sub(b, 0, n);
}

static void word(struct buf *b, const char *text)
{
	if (b->n)
		buf_str(b, ", ");
	buf_str(b, text);
}

static struct slice dkim_comment(struct arena *a, const struct dkim_signature *s, size_t more)
{
	struct slice out;
	struct buf b;

	buf_init(&b, COMMENT_OCTETS);
	if (s->key_bits)
		buf_printf(&b, "%u-bit key", s->key_bits);
	if (s->testing)
		word(&b, "testing");
	if (s->l_present) {
		word(&b, "l=");
		buf_u64(&b, s->l);
	}
	if (s->from_unsigned)
		word(&b, "a From is not signed");
	if (more) {
		word(&b, "too many signatures: ");
		buf_u64(&b, more);
		/* a verdict ends there, a header may not */
		buf_str(&b, more + LIMIT_AUTHRES_DKIM == LIMIT_DKIM_SHOWN ? " or more not shown" : " more not shown");
	}
	out = arena_copy(a, buf_get(&b));
	buf_release(&b);
	return out;
}

static void add_dkim(struct list *l, const struct dkim_verdict *v)
{
	if (v->n == 0)
		add(l, S("dkim"), dkim_state_name(v->state), SLICE_NONE);
	for (size_t i = 0; i < v->n && i < LIMIT_AUTHRES_DKIM; i++) {
		const struct dkim_signature *s = &v->signatures[i];
		struct authres_result *r = add(l, S("dkim"), dkim_state_name(s->state), s->reason);

		r->comment = dkim_comment(l->arena, s, i + 1 == LIMIT_AUTHRES_DKIM ? v->n - LIMIT_AUTHRES_DKIM : 0);
		prop(r, S("header"), S("d"), s->d);
		prop(r, S("header"), S("i"), s->i);
		prop(r, S("header"), S("s"), s->s);
		prop(r, S("header"), S("a"), s->a);
		prop(r, S("header"), S("b"), b_start(v, i));
	}
}

/* ---- the others ---- */

static void add_arc(struct list *l, const struct arc_verdict *v, struct slice client)
{
	struct authres_result *r = add(l, S("arc"), arc_state_name(v->state), v->reason);

	if (v->instances)
		r->comment = arena_printf(l->arena, "i=%llu", (unsigned long long)v->instances);
	if (v->state == ARC_PASS)
		prop(r, S("header"), S("oldest-pass"), arena_printf(l->arena, "%llu", (unsigned long long)v->oldest_pass));
	prop(r, S("smtp"), S("remote-ip"), client);
}

static void add_spf(struct list *l, const struct spf_verdict *v, const struct findings *f)
{
	struct authres_result *r = add(l, S("spf"), spf_state_name(v->state), v->reason);

	r->comment = v->mechanism;
	if (v->scope == SPF_HELO)
		prop(r, S("smtp"), S("helo"), f->helo.n ? f->helo : v->domain);
	else
		prop(r, S("smtp"), S("mailfrom"), f->mail_from.n ? f->mail_from : v->domain);
}

static void add_dmarc(struct list *l, const struct dmarc_verdict *v, const struct findings *f)
{
	bool error = v->state == DMARC_TEMPERROR || v->state == DMARC_PERMERROR;
	struct authres_result *r = add(l, S("dmarc"), dmarc_state_name(v->state), error ? v->reason : SLICE_NONE);
	const char *disposition = dmarc_policy_name(f->override ? DMARC_POLICY_NONE : v->disposition);

	prop(r, S("header"), S("from"), v->author.n ? v->author : f->from_domain);
	if (!*v->tag)
		return;
	if (error) {
		/* no policy is applied to what neither passes nor fails (RFC 9989 5.3.6) */
		r->comment = arena_printf(l->arena, "%s=%s", v->tag, dmarc_policy_name(v->policy));
		return;
	}
	r->comment = arena_printf(l->arena, "%s=%s dis=%s%s%s%s", v->tag, dmarc_policy_name(v->policy), disposition,
	    v->testing ? " t=y" : "", f->override ? " override=" : "", f->override ? f->override : "");
	prop(r, S("policy"), S("dmarc"), slice_str(disposition));
}

bool findings_results(struct arena *a, const struct findings *f, struct authres_result **out, size_t *n_out)
{
	struct list l = { .arena = a, .results = ARENA_ARRAY(a, RESULTS, struct authres_result) };

	if (!l.results)
		return false;
	if (f->dkim2)
		l.results[l.n++] = authres_dkim2(a, f->dkim2);
	if (f->dkim)
		add_dkim(&l, f->dkim);
	if (f->arc)
		add_arc(&l, f->arc, f->client);
	if (f->spf)
		add_spf(&l, f->spf, f);
	/* with a null path the former is about HELO too */
	if (f->spf_helo && !(f->spf && f->spf->scope == SPF_HELO))
		add_spf(&l, f->spf_helo, f);
	if (f->dmarc)
		add_dmarc(&l, f->dmarc, f);
	*out = l.results;
	*n_out = l.n;
	return !arena_failed(a);
}
