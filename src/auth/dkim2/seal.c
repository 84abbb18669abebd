#include "auth/dkim2/chain.h"
#include "auth/dkim2/combine.h"
#include "auth/dkim2/custody.h"
#include "auth/dkim2/fold.h"
#include "auth/dkim2/input.h"
#include "auth/taglist.h"
#include "base/limits.h"
#include "crypt/sign.h"
#include "mail/addr.h"
#include "mail/domain.h"

enum {
	ENVELOPE_OCTETS = 2 * LIMIT_RT * LIMIT_PATH,      /* more than the base64 of any */
	SET_OCTETS = 64 + SIGNATURE_OCTETS / 3 * 4 / 76 * 79 /* a signature of the longest key, folded */
};

struct dkim2_seal {
	struct arena *arena;
	const struct dkim2_seal_conf *conf;
	struct chain chain; /* as it came; no seal in it: originate */
	struct slice d, nd; /* normal */
	uint64_t i, m;
	unsigned char header[DIGEST_ALGS][DIGEST_OCTETS];
	struct slice body[DIGEST_ALGS];
	struct slice instance; /* folded, empty: none is added */
	struct dkim2_sign_ask *asks;
	struct slice *signatures;
};

/* Returns false, with the words in place of the table's. */
static bool refuse(struct fault *f, enum fault_code code, struct slice words)
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
		ok &= domain_valid(c->sets[k].selector) && (c->sets[k].type == KEY_RSA || c->sets[k].type == KEY_ED25519);
		for (size_t other = 0; other < k; other++)
			ok &= !slice_ieq(c->sets[k].selector, c->sets[other].selector);
	}
	if (c->nd.n) {
		ok &= c->rcpt_count == 0 && domain_normal(s->arena, c->nd, &s->nd) && s->nd.at[0] != '[';
	} else {
		ok &= path_ok(c->mail_from) && c->rcpt_count > 0 && c->rcpt_count <= LIMIT_RT;
		for (size_t k = 0; ok && k < c->rcpt_count; k++)
			ok &= path_ok(c->rcpt_to[k]) && !slice_eq(c->rcpt_to[k], S("<>"));
	}
	return ok || refuse(f, FAULT_INTERNAL, SLICE_NONE);
}

/* ---- may this hop be added? ---- */

static bool chain_fits(struct dkim2_seal *s, const struct dkim2_verdict *came, struct fault *f)
{
	if (s->chain.broken)
		return refuse(f, FAULT_CHAIN_BROKEN, s->chain.reason.words);
	if (!came || came->state == DKIM2_NONE) {
		if (s->chain.seal_fields || s->chain.instance_fields)
			return refuse(f, FAULT_UNSEALED, S("message already holds fields of a chain"));
		return true;
	}
	if (!dkim2_fully_verified(came) && !s->conf->out_of_band) {
		if (came->state == DKIM2_TEMPERROR)
			return refuse(f, FAULT_KEY_SILENT, came->reason);
		return refuse(f, FAULT_CHAIN_BROKEN, came->reason);
	}
	/* what is extended is what was judged */
	if (s->chain.n == 0 || s->chain.n != came->hop_count || s->chain.m != came->instance_count)
		return refuse(f, FAULT_CHAIN_BROKEN, S("chain changed since it was verified"));
	if (s->chain.n == LIMIT_HOPS)
		return refuse(f, FAULT_CHAIN_BROKEN, S("chain has as many hops as allowed"));
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
		broken = custody_follows(s->arena, &s->chain.seals[s->chain.n - 1], s->i, s->d, mf_domain, mf_null,
		    s->nd.n > 0);
	return broken.words.n == 0 || refuse(f, FAULT_CUSTODY_GAP, broken.words);
}

static bool left_out(struct slice name, const void *draft)
{
	return draft_unsigned(draft, name);
}

/* Is the content that of the newest instance? */
static bool unchanged(const struct dkim2_seal *s)
{
	const struct instance *in = &s->chain.instances[s->chain.m - 1];
	struct combine all = { 0 };
	struct reason ignored;

	for (size_t k = 0; k < in->set_count; k++) {
		const struct hash_set *set = &in->sets[k];
		bool same = set->alg != DIGEST_ALGS && slice_eq(slice_of(s->header[set->alg], set->header.n), set->header) &&
		    slice_eq(s->body[set->alg], set->body);

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

/* ---- the fields ---- */

static bool write_instance(struct dkim2_seal *s)
{
	struct buf out;
	struct fold fold;

	buf_init(&out, LIMIT_DKIM2_FIELD_OUT);
	fold_start(&fold, &out, S("Message-Instance:"));
	fold_tag(&fold, arena_printf(s->arena, "m=%llu;", (unsigned long long)s->m));
	fold_tag(&fold, S("h=sha256:"));
	fold_b64(&fold, slice_of(s->header[DIGEST_SHA256], 32), S(":"));
	fold_b64(&fold, s->body[DIGEST_SHA256], S(";"));
	fold_end(&fold);
	if (!buf_failed(&out))
		s->instance = arena_copy(s->arena, buf_get(&out));
	buf_release(&out);
	return s->instance.n > 0;
}

static const char *algorithm_name(enum key_type type)
{
	return type == KEY_RSA ? "rsa-sha256" : "ed25519-sha256";
}

/* signatures NULL: the signature input, in which each is empty */
static void write_seal(struct dkim2_seal *s, struct buf *out, const struct slice *signatures)
{
	const struct dkim2_seal_conf *c = s->conf;
	struct fold fold;

	fold_start(&fold, out, S("DKIM2-Signature:"));
	fold_tag(&fold, arena_printf(s->arena, "i=%llu;", (unsigned long long)s->i));
	fold_tag(&fold, arena_printf(s->arena, "m=%llu;", (unsigned long long)s->m));
	fold_tag(&fold, arena_printf(s->arena, "t=%lld;", (long long)c->now));
	fold_tag(&fold, arena_printf(s->arena, "d=%.*s;", SLICE_FMT(s->d)));
	if (s->nd.n) {
		fold_tag(&fold, arena_printf(s->arena, "nd=%.*s;", SLICE_FMT(s->nd)));
	} else {
		fold_tag(&fold, S("mf="));
		fold_b64(&fold, c->mail_from, S(";"));
		for (size_t k = 0; k < c->rcpt_count; k++) {
			if (k == 0)
				fold_tag(&fold, S("rt="));
			fold_b64(&fold, c->rcpt_to[k], k + 1 < c->rcpt_count ? S(",") : S(";"));
		}
	}
	if (c->nonce.n)
		fold_tag(&fold, arena_printf(s->arena, "n=%.*s;", SLICE_FMT(c->nonce)));
	for (size_t k = 0; k < c->flag_count; k++) {
		struct slice flag = arena_printf(s->arena, "%s%.*s%s", k ? "" : "f=", SLICE_FMT(c->flags[k]),
		    k + 1 < c->flag_count ? "," : ";");

		if (k == 0)
			fold_tag(&fold, flag);
		else
			fold_whole(&fold, flag);
	}
	for (size_t k = 0; k < c->set_count; k++) {
		struct slice set = arena_printf(s->arena, "%s%.*s:%s:", k ? "" : "s=", SLICE_FMT(c->sets[k].selector),
		    algorithm_name(c->sets[k].type));

		if (k == 0)
			fold_tag(&fold, set);
		else
			fold_whole(&fold, set);
		fold_b64(&fold, signatures ? signatures[k] : SLICE_NONE, k + 1 < c->set_count ? S(",") : S(";"));
	}
	fold_end(&fold);
}

static struct field own_field(struct slice raw)
{
	struct field f = { .raw = raw };

	f.name = slice_sub(raw, 0, slice_find(raw, ':'));
	f.value = slice_sub(raw, f.name.n + 1, raw.n - f.name.n - 3);
	return f;
}

/* SHA-256 of the signature input (spec 5.2): all instances, all seals, this one blanked. */
static bool hash_input(struct dkim2_seal *s, unsigned char out[32], struct fault *f)
{
	struct field instance = s->instance.n ? own_field(s->instance) : (struct field){ 0 }, blanked;
	struct digest *to[DIGEST_ALGS] = { NULL };
	struct canon_sink sink;
	struct input input;
	struct buf text;
	unsigned char octets[DIGEST_OCTETS];

	buf_init(&text, ENVELOPE_OCTETS);
	write_seal(s, &text, NULL);
	input_init(&input, &s->chain);
	if (text.n + s->conf->set_count * SET_OCTETS > LIMIT_DKIM2_FIELD_OUT)
		refuse(f, FAULT_UNSEALED, arena_printf(s->arena, "seal would be longer than %d octets", LIMIT_DKIM2_FIELD_OUT));
	else if (!buf_failed(&text) && !arena_failed(s->arena))
		to[DIGEST_SHA256] = input_whole(&input, s->instance.n ? &instance : NULL);
	if (to[DIGEST_SHA256]) {
		blanked = own_field(buf_get(&text));
		canon_sink_init(&sink, to);
		canon_bare(&sink, &blanked, NULL, 0);
		canon_sink_flush(&sink);
		digest_end(to[DIGEST_SHA256], octets);
		memcpy(out, octets, 32);
	}
	input_release(&input);
	buf_release(&text);
	if (!to[DIGEST_SHA256])
		return false;
	digest_free(&to[DIGEST_SHA256]);
	return true;
}

static bool make_asks(struct dkim2_seal *s, struct fault *f)
{
	unsigned char digest[32];

	s->asks = ARENA_ARRAY(s->arena, s->conf->set_count, struct dkim2_sign_ask);
	s->signatures = ARENA_ARRAY(s->arena, s->conf->set_count, struct slice);
	if (!s->asks || !s->signatures || !hash_input(s, digest, f))
		return false;
	for (size_t k = 0; k < s->conf->set_count; k++) {
		s->asks[k].domain = s->d;
		s->asks[k].selector = s->conf->sets[k].selector;
		s->asks[k].type = s->conf->sets[k].type;
		memcpy(s->asks[k].digest, digest, sizeof(digest));
	}
	return true;
}

/* ---- the interface ---- */

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
	if (!canon_header(a, h, left_out, draft, algorithms(s), s->header)) {
		fault_set(f, FAULT_NO_MEMORY, 0);
		return NULL;
	}
	if (s->chain.n && !unchanged(s)) {
		refuse(f, FAULT_UNSEALED, S("content changed since the newest Message-Instance"));
		return NULL;
	}
	if (!s->chain.n && !dkim2_from_authentic(a, h, s->d)) {
		refuse(f, FAULT_UNSEALED, draft_reason(a, TEXT_FROM, 0, 0, s->d, SLICE_NONE).words);
		return NULL;
	}
	if ((!s->chain.n && !write_instance(s)) || !make_asks(s, f) || arena_failed(a)) {
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
	write_seal(s, &out, s->signatures);
	if (!buf_failed(&out) && !arena_failed(s->arena))
		text = arena_copy(s->arena, buf_get(&out));
	buf_release(&out);
	if (text.n == 0)
		return fault_set(f, FAULT_NO_MEMORY, 0);
	*instance_out = s->instance;
	*signature_out = text;
	return true;
}
