/*
 * Both fields of a header as a chain, read at all four levels: what the reader promises of it holds, the levels differ by their
 * rules only, neither the order of the fields nor the way they are folded matters, and what is written is read back the same.
 */
#include "auth/dkim2/chain.h"
#include "auth/dkim2/custody.h"
#include "auth/fold.h"
#include "auth/dkim2/input.h"
#include "base/limits.h"
#include "fuzz.h"
#include "mail/domain.h"

enum { LEVELS = DRAFT_NEWEST - DRAFT_OLDEST + 1, ROOM = 1 << 25 };

static bool inside(struct slice text, struct slice part)
{
	return part.n > 0 && part.at >= text.at && part.at + part.n <= text.at + text.n;
}

static bool bracketed(struct slice path)
{
	return path.n >= 2 && path.at[0] == '<' && path.at[path.n - 1] == '>';
}

/* ---- what is promised of one chain ---- */

static void want_sets(const struct dkim2_draft *draft, const struct seal *s)
{
	unsigned group = 0, same;

	WANT(s->set_count > 0 && s->set_count <= LIMIT_SIG_SETS);
	for (size_t k = 0; k < s->set_count; k++) {
		const struct seal_set *set = &s->sets[k];

		WANT(domain_valid(set->selector) && set->algorithm.n > 0 && set->signature.n > 0);
		WANT(inside(s->field->value, set->hole) && inside(s->field->value, set->selector));
		WANT(k == 0 || set->hole.at > s->sets[k - 1].hole.at + s->sets[k - 1].hole.n);
		WANT(set->group == group || (k > 0 && set->group == group + 1));
		WANT(draft->groups || set->group == 0);
		WANT(set->type != KEY_MLDSA44 || (draft->mldsa44 && key_type_known(KEY_MLDSA44)));
		group = set->group;
		same = 0;
		for (size_t i = 0; i < s->set_count; i++) {
			same += slice_eq(s->sets[i].algorithm, set->algorithm);
			WANT(i == k || !slice_ieq(s->sets[i].selector, set->selector));
		}
		WANT(!draft->same_algorithm_max || same <= draft->same_algorithm_max);
	}
}

static void want_seal(const struct dkim2_draft *draft, const struct chain *c, size_t index)
{
	const struct seal *s = &c->seals[index];
	const struct dkim2_hop *hop = s->hop;

	WANT(hop == &c->hops[index] && hop->i == index + 1 && hop->state == DKIM2_SKIPPED && hop->reason.n == 0);
	WANT(hop->m >= 1 && hop->m <= c->m && (index == 0 || hop->m >= c->hops[index - 1].m));
	WANT(hop->d.n > 0 && hop->d_normal.n > 0 && hop->d_normal.n <= 253);
	WANT(s->has_nd == (hop->rt_count == 0) && s->has_nd == (hop->mf.n == 0) && s->has_nd == (hop->nd_normal.n > 0) && hop->rt_count <= LIMIT_RT);
	WANT(s->mf_null == slice_eq(hop->mf, S("<>")));
	if (!s->has_nd)
		WANT(bracketed(hop->mf));
	for (size_t k = 0; k < hop->rt_count; k++)
		WANT(bracketed(hop->rt[k]) && hop->rt[k].n > 2 && hop->rt[k].n <= LIMIT_PATH);
	want_sets(draft, s);
}

static void want_instance(const struct dkim2_draft *draft, const struct chain *c, size_t index)
{
	const struct instance *in = &c->instances[index];
	unsigned group = 0;

	WANT(in->seen == &c->seen[index] && in->seen->m == index + 1 && in->seen->recipe == (in->recipe.n > 0));
	WANT(in->set_count > 0 && in->set_count <= LIMIT_HASH_SETS && chain_hop_of(c, c->m) > 0);
	for (size_t k = 0; k < in->set_count; k++) {
		const struct hash_set *set = &in->sets[k];

		WANT(set->group == group || (k > 0 && set->group == group + 1));
		WANT(draft->groups || set->group == 0);
		group = set->group;
		WANT(set->alg != DIGEST_SHA256 || (set->header.n == 32 && set->body.n == 32));
		WANT(set->alg != DIGEST_SHA512 || (set->header.n == 64 && set->body.n == 64));
		WANT((set->alg == DIGEST_SHA256) == slice_eq(set->name, S("sha256")));
		WANT((set->alg == DIGEST_SHA512) == slice_eq(set->name, S("sha512")));
	}
}

static void want_chain(struct arena *a, const struct dkim2_draft *draft, const struct chain *c)
{
	WANT(c->n <= c->seal_fields && c->m <= c->instance_fields && c->broken == (c->reason.words.n > 0));
	if (c->broken || c->seal_fields == 0) {
		WANT(c->seal_fields > 0 || (c->n == 0 && c->m == 0 && !c->broken));
		return;
	}
	WANT(c->n == c->seal_fields && c->n <= LIMIT_HOPS && c->m == c->instance_fields && c->m <= LIMIT_INSTANCES && c->m > 0);
	WANT(c->hops[c->n - 1].m == c->m && c->blamed == 0);
	for (size_t k = 0; k < c->n; k++) {
		struct reason broken = custody_break(a, c, k);

		want_seal(draft, c, k);
		WANT(broken.words.n == 0 || draft_kind(broken.text) == DKIM2_ABOUT_CUSTODY);
	}
	for (size_t k = 0; k < c->m; k++)
		want_instance(draft, c, k);
}

/* ---- two readings ---- */

static void want_same(const struct chain *x, const struct chain *y)
{
	WANT(x->n == y->n && x->m == y->m);
	for (size_t k = 0; k < x->n; k++) {
		const struct seal *s = &x->seals[k], *t = &y->seals[k];

		WANT(s->hop->i == t->hop->i && s->hop->m == t->hop->m && s->hop->t == t->hop->t);
		WANT(slice_eq(s->hop->d_normal, t->hop->d_normal) && slice_eq(s->hop->nd_normal, t->hop->nd_normal) && slice_eq(s->hop->mf, t->hop->mf));
		WANT(slice_eq(s->mf_domain, t->mf_domain) && s->hop->rt_count == t->hop->rt_count && s->set_count == t->set_count);
		for (size_t i = 0; i < s->hop->rt_count; i++)
			WANT(slice_eq(s->hop->rt[i], t->hop->rt[i]) && slice_eq(s->hop->rt_domains[i], t->hop->rt_domains[i]));
		WANT(chain_flag(s->hop->flags, S("exploded")) == chain_flag(t->hop->flags, S("exploded")));
		for (size_t i = 0; i < s->set_count; i++) {
			WANT(slice_eq(s->sets[i].selector, t->sets[i].selector) && slice_eq(s->sets[i].algorithm, t->sets[i].algorithm));
			WANT(slice_eq(s->sets[i].signature, t->sets[i].signature) && s->sets[i].group == t->sets[i].group);
		}
	}
	for (size_t k = 0; k < x->m; k++) {
		const struct instance *s = &x->instances[k], *t = &y->instances[k];

		WANT(s->seen->m == t->seen->m && slice_eq(s->recipe, t->recipe) && s->set_count == t->set_count);
		for (size_t i = 0; i < s->set_count; i++) {
			WANT(slice_eq(s->sets[i].name, t->sets[i].name) && s->sets[i].alg == t->sets[i].alg && s->sets[i].group == t->sets[i].group);
			WANT(slice_eq(s->sets[i].header, t->sets[i].header) && slice_eq(s->sets[i].body, t->sets[i].body));
		}
	}
}

/* A bar, or more sets of one algorithm than -07 takes: all that a newer level may read and an older one may not. */
static bool newer_only(const struct chain *c)
{
	for (size_t k = 0; k < c->n; k++) {
		const struct seal *s = &c->seals[k];

		for (size_t i = 0; i < s->set_count; i++) {
			unsigned same = 0;

			for (size_t j = 0; j < s->set_count; j++)
				same += slice_eq(s->sets[i].algorithm, s->sets[j].algorithm);
			if (s->sets[i].group > 0 || same > 2)
				return true;
		}
	}
	for (size_t k = 0; k < c->m; k++)
		if (c->instances[k].sets[c->instances[k].set_count - 1].group > 0)
			return true;
	return false;
}

static void want_levels_agree(const struct chain c[LEVELS])
{
	for (size_t k = 1; k < LEVELS; k++) {
		bool same_rules = draft_of((unsigned)k + DRAFT_OLDEST)->groups == draft_of((unsigned)k + DRAFT_OLDEST - 1)->groups;

		WANT(!c[k].broken || c[k - 1].broken);
		WANT(!same_rules || c[k].broken == c[k - 1].broken);
		if (!c[k].broken && !c[k - 1].broken)
			want_same(&c[k], &c[k - 1]);
		else if (!c[k].broken)
			WANT(newer_only(&c[k]));
	}
}

/* ---- the signature input ---- */

static void want_inputs(const struct chain *c, const struct chain *turned)
{
	struct input in, other;

	input_init(&in, c);
	input_init(&other, turned);
	for (size_t k = 0; k < c->n; k++) {
		unsigned char digest[32], again[DIGEST_OCTETS];
		struct slice octets;

		WANT(input_octets(&in, k, &octets) && input_digest(&in, k, digest));
		WANT(octets.n > 0 && slice_find(octets, ' ') == octets.n && slice_find(octets, '\t') == octets.n);
		WANT(digest_once(DIGEST_SHA256, octets, again) == 32 && memcmp(digest, again, 32) == 0);
		WANT(input_digest(&other, k, again) && memcmp(digest, again, 32) == 0);
	}
	input_release(&in);
	input_release(&other);
}

/* ---- written and read again ---- */

static struct slice separator(unsigned group, unsigned next, bool last)
{
	return last ? S(";") : group == next ? S(",") : S("|");
}

static void write_seal(struct arena *a, struct buf *out, const struct seal *s)
{
	const struct dkim2_hop *hop = s->hop;
	struct slice flags = hop->flags, flag;
	struct fold f;
	bool more = flags.n > 0;

	fold_start(&f, out, S("DKIM2-Signature:"));
	fold_tag(&f, arena_printf(a, "i=%llu;", (unsigned long long)hop->i));
	fold_tag(&f, arena_printf(a, "m=%llu;", (unsigned long long)hop->m));
	fold_tag(&f, arena_printf(a, "t=%llu;", (unsigned long long)hop->t));
	fold_tag(&f, arena_printf(a, "d=%.*s;", SLICE_FMT(hop->d)));
	if (s->has_nd) {
		fold_tag(&f, arena_printf(a, "nd=%.*s;", SLICE_FMT(hop->nd)));
	} else {
		fold_tag(&f, S("mf="));
		fold_b64(&f, hop->mf, S(";"));
		fold_tag(&f, S("rt="));
		for (size_t k = 0; k < hop->rt_count; k++)
			fold_b64(&f, hop->rt[k], k + 1 < hop->rt_count ? S(",") : S(";"));
	}
	for (bool first = true; more; first = false) {
		more = slice_cut(&flags, ',', &flag);
		flag = slice_trim(flag);
		fold_tag(&f, arena_printf(a, "%s%.*s%s", first ? "f=" : "", SLICE_FMT(flag), more ? "," : ";"));
	}
	for (size_t k = 0; k < s->set_count; k++) {
		const struct seal_set *set = &s->sets[k];
		bool last = k + 1 == s->set_count;

		fold_tag(&f, arena_printf(a, "%s%.*s:%.*s:", k ? "" : "s=", SLICE_FMT(set->selector), SLICE_FMT(set->algorithm)));
		fold_b64(&f, set->signature, separator(set->group, last ? 0 : set[1].group, last));
	}
	fold_end(&f);
}

static void write_instance(struct arena *a, struct buf *out, const struct instance *in)
{
	struct fold f;

	fold_start(&f, out, S("Message-Instance:"));
	fold_tag(&f, arena_printf(a, "m=%llu;", (unsigned long long)in->seen->m));
	for (size_t k = 0; k < in->set_count; k++) {
		const struct hash_set *set = &in->sets[k];
		bool last = k + 1 == in->set_count;

		fold_tag(&f, arena_printf(a, "%s%.*s:", k ? "" : "h=", SLICE_FMT(set->name)));
		fold_b64(&f, set->header, S(":"));
		fold_b64(&f, set->body, separator(set->group, last ? 0 : set[1].group, last));
	}
	if (in->recipe.n) {
		fold_tag(&f, S("r="));
		fold_b64(&f, in->recipe, S(";"));
	}
	fold_end(&f);
}

/* Folds add octets, so that a field may come to be longer than is taken. */
static bool too_long(const struct header *h)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->fields[i].raw.n > LIMIT_DKIM2_FIELD)
			return true;
	return false;
}

static void want_round_trip(struct arena *a, const struct dkim2_draft *draft, const struct chain *c)
{
	struct chain again;
	struct header h;
	struct fault f = { 0 };
	struct buf text;

	buf_init(&text, ROOM);
	for (size_t k = 0; k < c->n; k++)
		write_seal(a, &text, &c->seals[k]);
	for (size_t k = 0; k < c->m; k++)
		write_instance(a, &text, &c->instances[k]);
	WANT(!buf_failed(&text) && header_parse(a, buf_get(&text), 200, &h, &f) && !h.malformed);
	if (!too_long(&h)) {
		WANT(chain_read(a, draft, &h, false, &again) && !again.broken);
		want_same(c, &again);
	}
	buf_release(&text);
}

/* The same fields, the other way round. */
static struct header turned(struct arena *a, const struct header *h)
{
	struct header out = *h;

	out.fields = ARENA_ARRAY(a, h->n, struct field);
	WANT(out.fields);
	for (size_t i = 0; i < h->n; i++)
		out.fields[i] = h->fields[h->n - 1 - i];
	return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	struct chain c[LEVELS], other;
	struct arena a;
	struct header h, back;
	struct fault f = { 0 };

	arena_init(&a, LIMIT_TX_ARENA);
	if (header_parse(&a, slice_of(at, n), 200, &h, &f)) {
		for (unsigned k = 0; k < LEVELS; k++) {
			const struct dkim2_draft *draft = draft_of(k + DRAFT_OLDEST);

			WANT(chain_read(&a, draft, &h, false, &c[k]));
			want_chain(&a, draft, &c[k]);
			WANT(chain_read(&a, draft, &h, true, &other));
			WANT(c[k].broken || (!other.broken && other.n == c[k].n));
		}
		want_levels_agree(c);
		back = turned(&a, &h);
		WANT(chain_read(&a, draft_of(DRAFT_NEWEST), &back, false, &other) && other.broken == c[LEVELS - 1].broken);
		if (!other.broken && other.n) {
			want_same(&c[LEVELS - 1], &other);
			want_inputs(&c[LEVELS - 1], &other);
			want_round_trip(&a, draft_of(DRAFT_NEWEST), &c[LEVELS - 1]);
		}
	}
	WANT(!arena_failed(&a));
	arena_clear(&a);
	return 0;
}
