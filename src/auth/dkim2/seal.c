#include "auth/dkim2/combine.h"
#include "auth/dkim2/custody.h"
#include "auth/dkim2/seal_in.h"
#include "base/limits.h"
#include "mail/addr.h"
#include "mail/domain.h"

bool seal_refuse(struct fault *f, enum fault_code code, struct slice words)
{
	if (f->code == FAULT_NONE) {
		fault_set(f, code, 0);
		if (words.n)
			fault_text(f, words);
	}
	return false;
}

/* ---- is this a seal at all? ---- */

static bool path_ok(struct slice path)
{
	struct path p;

	return path_parse(path, &p);
}

static bool text_ok(struct slice s)
{
	for (size_t k = 0; k < s.n; k++)
		if (s.at[k] < 0x21 || s.at[k] > 0x7e || s.at[k] == ';' || s.at[k] == ',')
			return false;
	return s.n > 0;
}

static bool conf_ok(struct dkim2_seal *s, struct fault *f)
{
	const struct dkim2_seal_conf *c = s->conf;
	bool ok = domain_normal(s->arena, c->d, &s->d) && s->d.at[0] != '[' && c->now >= 0 && c->set_count > 0 &&
	    c->set_count <= LIMIT_KEYS_HOP && c->nonce.n <= LIMIT_NONCE;

	for (size_t k = 0; k < c->nonce.n; k++)
		ok &= c->nonce.at[k] > 0x20 && c->nonce.at[k] < 0x7f && c->nonce.at[k] != ';';
	for (size_t k = 0; k < c->flag_count; k++)
		ok &= text_ok(c->flags[k]);
	for (size_t k = 0; ok && k < c->set_count; k++) {
		ok &= domain_valid(c->sets[k].selector) && (c->sets[k].type == KEY_RSA || c->sets[k].type == KEY_ED25519) &&
		    (k == 0 || c->sets[k].group >= c->sets[k - 1].group);
		for (size_t other = 0; other < k; other++)
			ok &= !slice_ieq(c->sets[k].selector, c->sets[other].selector);
	}
	if (c->nd.n) {
		ok &= c->rcpt_count == 0 && domain_normal(s->arena, c->nd, &s->nd) && s->nd.at[0] != '[';
	} else {
		ok &= !c->content_later && path_ok(c->mail_from) && c->rcpt_count > 0 && c->rcpt_count <= LIMIT_RT;
		for (size_t k = 0; ok && k < c->rcpt_count; k++)
			ok &= path_ok(c->rcpt_to[k]) && !slice_eq(c->rcpt_to[k], S("<>"));
	}
	return ok || seal_refuse(f, FAULT_INTERNAL, SLICE_NONE);
}

/* ---- may this hop be added? ---- */

/* Is what is extended what was judged, with the hops on top that we added since? */
static bool chain_is(struct dkim2_seal *s, const struct dkim2_verdict *came)
{
	const struct dkim2_seal *after = s->conf->after;

	s->own_hops = after ? after->own_hops + 1 : 0;
	s->own_instances = after ? after->own_instances + (after->instance.n > 0) : 0;
	if (s->chain.n == 0 || s->chain.n != (came ? came->hop_count : 0) + s->own_hops ||
	    s->chain.m != (came ? came->instance_count : 0) + s->own_instances)
		return false;
	if (!after)
		return true;
	return slice_eq(s->chain.seals[s->chain.n - 1].field->raw, after->field) &&
	    (!after->instance.n || slice_eq(s->chain.instances[s->chain.m - 1].field->raw, after->instance));
}

static bool chain_fits(struct dkim2_seal *s, const struct dkim2_verdict *came, struct fault *f)
{
	bool none = !came || came->state == DKIM2_NONE;

	if (s->chain.broken)
		return seal_refuse(f, FAULT_CHAIN_BROKEN, s->chain.reason.words);
	if (none && !s->conf->after) {
		if (s->chain.seal_fields || s->chain.instance_fields)
			return seal_refuse(f, FAULT_UNSEALED, S("message already holds fields of a chain"));
		return true;
	}
	if (!none && !dkim2_fully_verified(came) && !s->conf->out_of_band) {
		if (came->state == DKIM2_TEMPERROR)
			return seal_refuse(f, FAULT_KEY_SILENT, came->reason);
		return seal_refuse(f, FAULT_CHAIN_BROKEN, came->reason);
	}
	if (!chain_is(s, none ? NULL : came))
		return seal_refuse(f, FAULT_CHAIN_BROKEN, S("chain changed since it was verified"));
	if (s->chain.n == LIMIT_HOPS)
		return seal_refuse(f, FAULT_CHAIN_BROKEN, S("chain has as many hops as allowed"));
	return true;
}

static bool custody_fits(struct dkim2_seal *s, struct fault *f)
{
	struct slice mf_domain = SLICE_NONE;
	struct reason broken = { 0 };
	bool mf_null = false;

	if (!s->nd.n) {
		mf_null = slice_eq(s->conf->mail_from, S("<>"));
		mf_domain = chain_path_domain(s->arena, s->conf->mail_from);
		if (!mf_null && !domain_follows(mf_domain, s->d))
			broken = draft_reason(s->arena, TEXT_SEAL_MF_D, s->i, 0, SLICE_NONE, SLICE_NONE);
	}
	if (!broken.words.n && s->chain.n)
		broken = custody_follows(s->arena, s->chain.seals[s->chain.n - 1].hop, s->i, s->d, mf_domain, mf_null,
		    s->nd.n > 0);
	return broken.words.n == 0 || seal_refuse(f, FAULT_CUSTODY_GAP, broken.words);
}

bool seal_left_out(struct slice name, const void *draft)
{
	return draft_unsigned(draft, name);
}

/* Is the content that of the newest instance? Its body alone? */
static bool unchanged(const struct dkim2_seal *s, bool body_alone)
{
	const struct instance *in = &s->chain.instances[s->chain.m - 1];
	struct combine all = { 0 };
	struct reason ignored;

	for (size_t k = 0; k < in->set_count; k++) {
		const struct hash_set *set = &in->sets[k];
		bool same = set->alg != DIGEST_ALGS && slice_eq(s->body[set->alg], set->body) &&
		    (body_alone || slice_eq(slice_of(s->header[set->alg], set->header.n), set->header));

		combine_add(&all, set->group, same ? DKIM2_PASS : DKIM2_FAIL, (struct reason){ 0 });
	}
	return combine_end(&all, &ignored) == DKIM2_PASS;
}

static unsigned algorithms(const struct dkim2_seal *s)
{
	unsigned algs = 1U << DIGEST_SHA256;

	if (s->chain.m)
		for (size_t k = 0; k < s->chain.instances[s->chain.m - 1].set_count; k++)
			if (s->chain.instances[s->chain.m - 1].sets[k].alg == DIGEST_SHA512)
				algs |= 1U << DIGEST_SHA512;
	return algs;
}

/* The instance this hop adds: none, the first, or the next one with its recipe. */
static bool account(struct dkim2_seal *s, const struct header *h, struct fault *f)
{
	bool from = true;

	if (s->chain.n && (s->conf->content_later || unchanged(s, false)))
		return true;
	if (s->chain.n) {
		if (!s->conf->before)
			return seal_refuse(f, FAULT_UNSEALED, S("content changed since the newest Message-Instance"));
		if (s->chain.m == LIMIT_INSTANCES)
			return seal_refuse(f, FAULT_UNSEALED, S("chain has as many instances as allowed"));
		if (!seal_recipe(s, h, unchanged(s, true), &from, f))
			return false;
		s->m++;
	}
	if (from && !dkim2_from_authentic(s->arena, h, s->d))
		return seal_refuse(f, FAULT_UNSEALED, draft_reason(s->arena, TEXT_FROM, 0, 0, s->d, SLICE_NONE).words);
	return seal_write_instance(s, f);
}

/* ---- the interface ---- */

static bool make_asks(struct dkim2_seal *s, struct fault *f)
{
	unsigned char digest[32];

	s->asks = ARENA_ARRAY(s->arena, s->conf->set_count, struct dkim2_sign_ask);
	s->signatures = ARENA_ARRAY(s->arena, s->conf->set_count, struct slice);
	if (!s->asks || !s->signatures || !seal_input(s, digest, f))
		return false;
	for (size_t k = 0; k < s->conf->set_count; k++) {
		s->asks[k].domain = s->d;
		s->asks[k].selector = s->conf->sets[k].selector;
		s->asks[k].type = s->conf->sets[k].type;
		memcpy(s->asks[k].digest, digest, sizeof(digest));
	}
	return true;
}

struct dkim2_seal *dkim2_seal_new(struct arena *a, const struct header *h, struct slice body_sha256,
    const struct dkim2_verdict *came, const struct dkim2_seal_conf *conf, struct fault *f)
{
	const struct dkim2_draft *draft = draft_of(DRAFT_NEWEST);
	struct dkim2_seal *s = ARENA_NEW(a, struct dkim2_seal);

	if (!s || !chain_read(a, draft, h, false, &s->chain)) {
		fault_set(f, FAULT_NO_MEMORY, 0);
		return NULL;
	}
	s->arena = a;
	s->conf = conf;
	s->body[DIGEST_SHA256] = body_sha256;
	s->body[DIGEST_SHA512] = conf->body_sha512;
	s->i = s->chain.n + 1;
	s->m = s->chain.n ? s->chain.m : 1;
	if (h->malformed) {
		fault_set(f, FAULT_MALFORMED, 0);
		return NULL;
	}
	if (!conf_ok(s, f) || !chain_fits(s, came, f) || !custody_fits(s, f))
		return NULL;
	if (!canon_header(a, h, seal_left_out, draft, algorithms(s), s->header)) {
		fault_set(f, FAULT_NO_MEMORY, 0);
		return NULL;
	}
	if (!account(s, h, f))
		return NULL;
	if (!make_asks(s, f) || arena_failed(a)) {
		fault_set(f, FAULT_NO_MEMORY, 0);
		return NULL;
	}
	return s;
}

size_t dkim2_seal_asks(const struct dkim2_seal *s, const struct dkim2_sign_ask **asks_out)
{
	*asks_out = s->asks;
	return s->conf->set_count;
}

void dkim2_seal_answer(struct dkim2_seal *s, size_t ask, struct slice signature)
{
	if (ask < s->conf->set_count)
		s->signatures[ask] = arena_copy(s->arena, signature);
}

bool dkim2_seal_fields(struct dkim2_seal *s, struct slice *instance_out, struct slice *signature_out, struct fault *f)
{
	struct buf out;
	struct slice text = SLICE_NONE;

	for (size_t k = 0; k < s->conf->set_count; k++)
		if (s->signatures[k].n == 0)
			return fault_set(f, FAULT_KEEPER_DOWN, 0);
	buf_init(&out, LIMIT_DKIM2_FIELD_OUT);
	seal_write(s, &out, s->signatures);
	if (!buf_failed(&out) && !arena_failed(s->arena))
		text = arena_copy(s->arena, buf_get(&out));
	buf_release(&out);
	if (text.n == 0)
		return fault_set(f, FAULT_NO_MEMORY, 0);
	s->field = text;
	*instance_out = s->instance;
	*signature_out = text;
	return true;
}
