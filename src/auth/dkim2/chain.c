#include "auth/dkim2/chain.h"
#include "auth/taglist.h"
#include "base/b64.h"
#include "base/limits.h"
#include "mail/addr.h"
#include "mail/domain.h"

enum { NUMBER_MAX = 9999, SHA256_OCTETS = 32, SHA512_OCTETS = 64 };

struct reader {
	struct arena *arena;
	struct chain *chain;
	uint64_t number; /* i= or m= of the field being read, 0: not known yet */
};

/* ---- faults ---- */

static void blame(struct reader *r, struct reason reason, uint64_t hop)
{
	if (!r->chain->broken) {
		r->chain->broken = true;
		r->chain->reason = reason;
		r->chain->blamed = hop;
	}
}

/* Both return false. */
static bool bad_seal(struct reader *r, struct seal *s, enum draft_text text, struct slice value)
{
	struct reason reason = draft_reason(r->arena, text, r->number, 0, value, SLICE_NONE);

	s->hop->state = DKIM2_PERMERROR;
	s->hop->reason = reason.words;
	blame(r, reason, r->number);
	return false;
}

static bool bad_instance(struct reader *r, struct instance *in, enum draft_text text, struct slice value)
{
	struct reason reason = draft_reason(r->arena, text, r->number, 0, value, SLICE_NONE);

	in->seen->state = DKIM2_PERMERROR;
	in->seen->reason = reason.words;
	blame(r, reason, 0);
	return false;
}

/* ---- values ---- */

/* i=, m=: 1..9999 without leading zero */
static bool number(const struct tag *tag, uint64_t *out)
{
	return taglist_solid(tag->value) && tag->value.at[0] != '0' && slice_u64(tag->value, NUMBER_MAX, out);
}

static bool timestamp(const struct tag *tag, uint64_t *out)
{
	return taglist_solid(tag->value) && (tag->value.n == 1 || tag->value.at[0] != '0') &&
	    slice_u64(tag->value, UINT64_MAX, out);
}

static bool domain_tag(struct arena *a, const struct tag *tag, struct slice *normal_out)
{
	return tag->value.n && tag->value.at[0] != '[' && domain_normal(a, tag->value, normal_out);
}

/* text of section 2.1: letters, digits, '-' and '_' */
static bool word(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_alpha(s.at[i]) && !ascii_digit(s.at[i]) && s.at[i] != '-' && s.at[i] != '_')
			return false;
	return s.n > 0;
}

struct slice chain_path_domain(struct arena *a, struct slice path)
{
	struct path p;
	struct slice domain = SLICE_NONE, normal;

	if (path_parse(path, &p)) {
		domain = p.domain;
	} else if (path.n > 2) {
		/* not as SMTP has it, such as two dots in a row: what follows the last '@' is its domain all the same */
		for (size_t i = path.n - 1; i > 0 && !domain.n; i--)
			if (path.at[i - 1] == '@')
				domain = slice_sub(path, i, path.n - 1 - i);
	}
	return domain.n && domain_normal(a, domain, &normal) ? normal : SLICE_NONE;
}

/* Angle brackets around, and no path as SMTP has it only if nothing in it could be read as a second one. */
static bool path_shape(struct slice path)
{
	struct path p;

	if (path.n < 2 || path.at[0] != '<' || path.at[path.n - 1] != '>')
		return false;
	if (path_parse(path, &p))
		return true;
	for (size_t i = 1; i < path.n - 1; i++)
		if (path.at[i] <= 0x20 || path.at[i] == 0x7f || path.at[i] == '<' || path.at[i] == '>' || path.at[i] == '"')
			return false;
	return path.n <= LIMIT_PATH;
}

static bool path_value(struct arena *a, struct slice text, struct slice *path_out)
{
	return b64_decode(a, text, true, path_out) && path_shape(*path_out);
}

/* Cuts one set off the front; *group rises behind a '|'. False: there is no more. */
static bool next_set(struct slice *rest, bool *more, bool *bar, struct slice *set)
{
	size_t i = 0;

	if (!*more)
		return false;
	while (i < rest->n && rest->at[i] != ',' && rest->at[i] != '|')
		i++;
	*set = slice_trim(slice_sub(*rest, 0, i));
	*more = i < rest->n;
	*bar = *more && rest->at[i] == '|';
	*rest = slice_sub(*rest, i + 1, SIZE_MAX);
	return true;
}

static size_t count_sets(struct slice value)
{
	size_t n = 1;

	for (size_t i = 0; i < value.n; i++)
		n += value.at[i] == ',' || value.at[i] == '|';
	return n;
}

/* first ":" second ":" third, no more */
static bool three_parts(struct slice set, struct slice part[3])
{
	if (!slice_cut(&set, ':', &part[0]) || !slice_cut(&set, ':', &part[1]) || memchr(set.at ? set.at : (const void *)"", ':', set.n))
		return false;
	part[2] = slice_trim(set);
	part[0] = slice_trim(part[0]);
	part[1] = slice_trim(part[1]);
	return true;
}

/* ---- DKIM2-Signature ---- */

static enum key_type algorithm_type(const struct dkim2_draft *draft, struct slice name)
{
	if (slice_eq(name, S("rsa-sha256")))
		return KEY_RSA;
	if (slice_eq(name, S("ed25519-sha256")))
		return KEY_ED25519;
	return draft->mldsa44 && slice_eq(name, S("mldsa44")) && key_type_known(KEY_MLDSA44) ? KEY_MLDSA44 : KEY_NONE;
}

static bool read_sets(struct reader *r, struct seal *s, struct slice value)
{
	unsigned group = 0;
	bool more = true, bar = false;
	struct slice text, part[3];
	size_t sets = count_sets(value);

	if (sets > LIMIT_SIG_SETS)
		return bad_seal(r, s, TEXT_SEAL_TOO_MANY_SELECTORS, SLICE_NONE);
	s->sets = ARENA_ARRAY(r->arena, sets, struct seal_set);
	if (!s->sets)
		return false;
	while (next_set(&value, &more, &bar, &text)) {
		struct seal_set *set = &s->sets[s->set_count];
		unsigned same = 1;

		if (!three_parts(text, part) || !domain_valid(part[0]) || !word(part[1]) || part[2].n == 0 ||
		    !b64_decode(r->arena, part[2], true, &set->signature) || (bar && !r->chain->draft->groups))
			return bad_seal(r, s, TEXT_SEAL_SYNTAX, SLICE_NONE);
		set->selector = part[0];
		set->algorithm = part[1];
		set->hole = part[2];
		set->type = algorithm_type(r->chain->draft, part[1]);
		set->group = group;
		group += bar;
		for (size_t k = 0; k < s->set_count; k++) {
			if (slice_ieq(s->sets[k].selector, set->selector))
				return bad_seal(r, s, TEXT_SEAL_SELECTOR_TWICE, SLICE_NONE);
			same += slice_eq(s->sets[k].algorithm, set->algorithm);
		}
		if (r->chain->draft->same_algorithm_max && same > r->chain->draft->same_algorithm_max)
			return bad_seal(r, s, TEXT_SEAL_TOO_MANY_SELECTORS, SLICE_NONE);
		s->set_count++;
	}
	return true;
}

static bool read_rt(struct reader *r, struct seal *s, struct slice value)
{
	size_t n = 1;
	struct slice one;
	bool more;

	for (size_t i = 0; i < value.n; i++)
		n += value.at[i] == ',';
	if (n > LIMIT_RT)
		return bad_seal(r, s, TEXT_SEAL_SYNTAX, SLICE_NONE);
	s->hop->rt = ARENA_ARRAY(r->arena, n, struct slice);
	s->hop->rt_domains = ARENA_ARRAY(r->arena, n, struct slice);
	if (!s->hop->rt || !s->hop->rt_domains)
		return false;
	n = 0;
	do {
		more = slice_cut(&value, ',', &one);
		if (!path_value(r->arena, one, &s->hop->rt[n]) || slice_eq(s->hop->rt[n], S("<>"))) {
			s->hop->rt_count = 0;
			return bad_seal(r, s, TEXT_SEAL_SYNTAX, SLICE_NONE);
		}
		s->hop->rt_domains[n] = chain_path_domain(r->arena, s->hop->rt[n]);
		s->hop->rt_count = ++n;
	} while (more);
	return true;
}

static bool flags_shape(struct slice value)
{
	struct slice one;
	bool more;

	do {
		more = slice_cut(&value, ',', &one);
		if (!taglist_solid(slice_trim(one)))
			return false;
	} while (more);
	return true;
}

/* mf= and rt=, or nd= by itself (2.3, 20.27) */
static bool read_envelope(struct reader *r, struct seal *s, const struct taglist *list)
{
	const struct tag *mf = taglist_find(list, TAGLIST_ANY_CASE, S("mf"));
	const struct tag *rt = taglist_find(list, TAGLIST_ANY_CASE, S("rt"));
	const struct tag *nd = taglist_find(list, TAGLIST_ANY_CASE, S("nd"));

	if (nd) {
		if (mf || rt)
			return bad_seal(r, s, TEXT_SEAL_TAG_UNEXPECTED, mf ? S("mf") : S("rt"));
		if (!domain_tag(r->arena, nd, &s->hop->nd_normal))
			return bad_seal(r, s, TEXT_SEAL_SYNTAX, SLICE_NONE);
		s->has_nd = true;
		s->hop->nd = nd->value;
		return true;
	}
	if (!mf || !rt)
		return bad_seal(r, s, TEXT_SEAL_TAG_MISSING, mf ? S("rt") : S("mf"));
	if (!path_value(r->arena, mf->value, &s->hop->mf)) {
		s->hop->mf = SLICE_NONE;
		return bad_seal(r, s, TEXT_SEAL_SYNTAX, SLICE_NONE);
	}
	s->mf_null = slice_eq(s->hop->mf, S("<>"));
	s->mf_domain = chain_path_domain(r->arena, s->hop->mf);
	return read_rt(r, s, rt->value);
}

/* All of a field but its i=. False: it broke a rule, which is noted, or no memory. */
static bool read_seal(struct reader *r, struct seal *s, const struct taglist *list)
{
	static const struct slice needed[] = { { (const unsigned char *)"m", 1 }, { (const unsigned char *)"t", 1 },
		{ (const unsigned char *)"d", 1 }, { (const unsigned char *)"s", 1 } };
	const struct tag *tags[4], *n, *f;

	for (size_t k = 0; k < 4; k++) {
		tags[k] = taglist_find(list, TAGLIST_ANY_CASE, needed[k]);
		if (!tags[k])
			return bad_seal(r, s, TEXT_SEAL_TAG_MISSING, needed[k]);
	}
	n = taglist_find(list, TAGLIST_ANY_CASE, S("n"));
	f = taglist_find(list, TAGLIST_ANY_CASE, S("f"));
	if (!number(tags[0], &s->hop->m) || !timestamp(tags[1], &s->hop->t) ||
	    !domain_tag(r->arena, tags[2], &s->hop->d_normal) ||
	    (n && n->value.n && (n->value.n > LIMIT_NONCE || !taglist_solid(n->value))) || (f && !flags_shape(f->value)))
		return bad_seal(r, s, TEXT_SEAL_SYNTAX, SLICE_NONE);
	s->hop->d = tags[2]->value;
	s->hop->flags = f ? f->value : SLICE_NONE;
	return read_envelope(r, s, list) && read_sets(r, s, tags[3]->value);
}

/* ---- Message-Instance ---- */

static enum digest_alg hash_alg(struct slice name)
{
	return slice_eq(name, S("sha256")) ? DIGEST_SHA256 : slice_eq(name, S("sha512")) ? DIGEST_SHA512 : DIGEST_ALGS;
}

static bool hash_octets(enum digest_alg alg, size_t n)
{
	return alg == DIGEST_SHA256 ? n == SHA256_OCTETS : alg == DIGEST_SHA512 ? n == SHA512_OCTETS : n > 0;
}

static bool read_hashes(struct reader *r, struct instance *in, struct slice value)
{
	unsigned group = 0;
	bool more = true, bar = false;
	struct slice text, part[3];
	size_t sets = count_sets(value);

	if (sets > LIMIT_HASH_SETS)
		return bad_instance(r, in, TEXT_INSTANCE_SYNTAX, SLICE_NONE);
	in->sets = ARENA_ARRAY(r->arena, sets, struct hash_set);
	if (!in->sets)
		return false;
	while (next_set(&value, &more, &bar, &text)) {
		struct hash_set *set = &in->sets[in->set_count];

		if (!three_parts(text, part) || !word(part[0]) || !b64_decode(r->arena, part[1], true, &set->header) ||
		    !b64_decode(r->arena, part[2], true, &set->body) || (bar && !r->chain->draft->groups))
			return bad_instance(r, in, TEXT_INSTANCE_SYNTAX, SLICE_NONE);
		set->name = part[0];
		set->alg = hash_alg(part[0]);
		set->group = group;
		group += bar;
		if (!hash_octets(set->alg, set->header.n) || !hash_octets(set->alg, set->body.n))
			return bad_instance(r, in, TEXT_INSTANCE_SYNTAX, SLICE_NONE);
		for (size_t k = 0; k < in->set_count; k++)
			if (slice_ieq(in->sets[k].name, set->name)) /* names are exact; one in two spellings is an attack */
				return bad_instance(r, in, TEXT_INSTANCE_HASH_TWICE, SLICE_NONE);
		in->set_count++;
	}
	return true;
}

static bool read_instance(struct reader *r, struct instance *in, const struct taglist *list)
{
	const struct tag *h = taglist_find(list, TAGLIST_ANY_CASE, S("h"));
	const struct tag *recipe = taglist_find(list, TAGLIST_ANY_CASE, S("r"));

	if (!h)
		return bad_instance(r, in, TEXT_INSTANCE_TAG_MISSING, S("h"));
	if (recipe) {
		in->seen->recipe = true;
		if (recipe->value.n == 0 || !b64_decode(r->arena, recipe->value, true, &in->recipe))
			return bad_instance(r, in, TEXT_INSTANCE_SYNTAX, SLICE_NONE);
	}
	return read_hashes(r, in, h->value);
}

/* ---- the chain ---- */

/* The number a field seems to have though its tag list is broken; for words only. 0: none. */
static uint64_t seeming_number(struct slice value, struct slice name)
{
	struct slice fragment, text;
	uint64_t n = 0;

	for (size_t tags = 0; value.n && tags < LIMIT_TAGS; tags++) {
		struct tag tag;

		slice_cut(&value, ';', &fragment);
		text = fragment;
		if (!slice_cut(&text, '=', &tag.name) || !slice_ieq(slice_trim(tag.name), name))
			continue;
		tag.value = slice_trim(text);
		return number(&tag, &n) ? n : 0;
	}
	return 0;
}

/*
 * The number tag of a field. False: it has none that can be read; then it is told whether the tag is missing or the
 * syntax is wrong, and r->number is for words only.
 */
static bool numbered(struct reader *r, const struct field *f, struct slice name, struct taglist *list, bool *missing)
{
	const struct tag *tag;

	r->number = 0;
	*missing = false;
	if (f->raw.n > LIMIT_DKIM2_FIELD || !taglist_parse(r->arena, f->value, TAGLIST_ANY_CASE, list)) {
		r->number = seeming_number(f->value, name);
		return false;
	}
	tag = taglist_find(list, TAGLIST_ANY_CASE, name);
	*missing = !tag;
	return tag && number(tag, &r->number);
}

static void take_seal(struct reader *r, const struct field *f)
{
	struct chain *c = r->chain;
	struct taglist list;
	struct dkim2_hop hop = { .state = DKIM2_SKIPPED };
	struct seal seal = { .field = f };
	bool missing;
	size_t at = c->n;

	if (!numbered(r, f, S("i"), &list, &missing)) {
		enum draft_text text = missing ? TEXT_SEAL_TAG_MISSING : TEXT_SEAL_SYNTAX;

		blame(r, draft_reason(r->arena, text, r->number, 0, S("i"), SLICE_NONE), r->number);
		return;
	}
	hop.i = r->number;
	seal.hop = &hop;
	(void)read_seal(r, &seal, &list); /* a fault is noted */
	while (at > 0 && c->hops[at - 1].i > hop.i) {
		c->seals[at] = c->seals[at - 1];
		c->hops[at] = c->hops[at - 1];
		at--;
	}
	c->seals[at] = seal;
	c->hops[at] = hop;
	c->n++;
}

static void take_instance(struct reader *r, const struct field *f)
{
	struct chain *c = r->chain;
	struct taglist list;
	struct dkim2_instance seen = { .state = DKIM2_SKIPPED };
	struct instance in = { .field = f };
	bool missing;
	size_t at = c->m;

	if (!numbered(r, f, S("m"), &list, &missing)) {
		enum draft_text text = missing ? TEXT_INSTANCE_TAG_MISSING : TEXT_INSTANCE_SYNTAX;

		blame(r, draft_reason(r->arena, text, r->number, 0, S("m"), SLICE_NONE), 0);
		return;
	}
	seen.m = r->number;
	in.seen = &seen;
	(void)read_instance(r, &in, &list);
	while (at > 0 && c->seen[at - 1].m > seen.m) {
		c->instances[at] = c->instances[at - 1];
		c->seen[at] = c->seen[at - 1];
		at--;
	}
	c->instances[at] = in;
	c->seen[at] = seen;
	c->m++;
}

/* 1..n without gap or repeat: the first number that is not where it belongs, 0: none. */
static uint64_t out_of_step(const struct chain *c, bool instances, bool *repeat)
{
	size_t n = instances ? c->m : c->n;

	for (size_t k = 0; k < n; k++) {
		uint64_t got = instances ? c->seen[k].m : c->hops[k].i;

		if (got == k + 1)
			continue;
		*repeat = got <= k;
		return *repeat ? got : k + 1;
	}
	return 0;
}

static void check_numbers(struct reader *r, bool seals_only)
{
	struct chain *c = r->chain;
	bool repeat = false;
	uint64_t at = out_of_step(c, false, &repeat);

	if (at) {
		enum draft_text text = repeat ? TEXT_SEAL_SYNTAX : TEXT_SEAL_MISSING;

		blame(r, draft_reason(r->arena, text, at, 0, SLICE_NONE, SLICE_NONE), at);
		return;
	}
	if (seals_only)
		return;
	at = out_of_step(c, true, &repeat);
	if (at) {
		enum draft_text text = repeat ? TEXT_INSTANCE_SYNTAX : TEXT_INSTANCE_MISSING;

		blame(r, draft_reason(r->arena, text, at, 0, SLICE_NONE, SLICE_NONE), chain_hop_of(c, at));
		return;
	}
	for (size_t k = 0; k < c->n; k++) {
		r->number = c->hops[k].m;
		if (c->hops[k].m > c->m) {
			blame(r, draft_reason(r->arena, TEXT_INSTANCE_MISSING, r->number, 0, SLICE_NONE, SLICE_NONE),
			    c->hops[k].i);
			return;
		}
		if (k && c->hops[k].m < c->hops[k - 1].m) {
			r->number = c->hops[k].i;
			bad_seal(r, &c->seals[k], TEXT_SEAL_SYNTAX, SLICE_NONE);
			return;
		}
	}
	if (c->n && c->hops[c->n - 1].m < c->m) {
		r->number = c->hops[c->n - 1].m + 1;
		bad_instance(r, &c->instances[r->number - 1], TEXT_INSTANCE_UNSIGNED, SLICE_NONE);
	}
}

static bool too_many(struct reader *r)
{
	struct chain *c = r->chain;

	if (c->seal_fields > LIMIT_HOPS)
		blame(r, draft_reason(r->arena, TEXT_SEAL_SYNTAX, LIMIT_HOPS + 1, 0, SLICE_NONE, SLICE_NONE), 0);
	else if (c->instance_fields > LIMIT_INSTANCES)
		blame(r, draft_reason(r->arena, TEXT_INSTANCE_SYNTAX, LIMIT_INSTANCES + 1, 0, SLICE_NONE, SLICE_NONE), 0);
	return c->broken;
}

bool chain_read(struct arena *a, const struct dkim2_draft *draft, const struct header *h, bool seals_only,
    struct chain *out)
{
	struct reader r = { .arena = a, .chain = out };
	static const struct slice seal_name = { (const unsigned char *)"dkim2-signature", 15 };
	static const struct slice instance_name = { (const unsigned char *)"message-instance", 16 };

	*out = (struct chain){ .draft = draft };
	for (size_t i = 0; i < h->n; i++) {
		out->seal_fields += slice_ieq(h->fields[i].name, seal_name);
		out->instance_fields += slice_ieq(h->fields[i].name, instance_name);
	}
	if (out->seal_fields == 0)
		return true;
	if (h->malformed)
		blame(&r, draft_reason(a, TEXT_HEADER_MALFORMED, 0, 0, SLICE_NONE, SLICE_NONE), 0);
	if (too_many(&r))
		return !arena_failed(a);
	out->seals = ARENA_ARRAY(a, out->seal_fields, struct seal);
	out->hops = ARENA_ARRAY(a, out->seal_fields, struct dkim2_hop);
	out->instances = ARENA_ARRAY(a, out->instance_fields, struct instance);
	out->seen = ARENA_ARRAY(a, out->instance_fields, struct dkim2_instance);
	if (arena_failed(a))
		return false;
	for (size_t i = 0; i < h->n; i++) {
		if (slice_ieq(h->fields[i].name, seal_name))
			take_seal(&r, &h->fields[i]);
		else if (!seals_only && slice_ieq(h->fields[i].name, instance_name))
			take_instance(&r, &h->fields[i]);
	}
	for (size_t k = 0; k < out->n; k++)
		out->seals[k].hop = &out->hops[k];
	for (size_t k = 0; k < out->m; k++)
		out->instances[k].seen = &out->seen[k];
	if (!out->broken)
		check_numbers(&r, seals_only);
	for (size_t k = 0; k < out->m && out->broken && !out->blamed; k++)
		if (slice_eq(out->seen[k].reason, out->reason.words))
			out->blamed = chain_hop_of(out, out->seen[k].m);
	return !arena_failed(a);
}

uint64_t chain_hop_of(const struct chain *c, uint64_t m)
{
	for (size_t k = 0; k < c->n; k++)
		if (c->hops[k].m >= m)
			return c->hops[k].i;
	return 0;
}

bool chain_follows_rt(const struct dkim2_hop *hop, struct slice domain)
{
	for (size_t k = 0; k < hop->rt_count; k++)
		if (domain_follows(domain, hop->rt_domains[k]))
			return true;
	return false;
}

bool chain_fits_rt(const struct dkim2_hop *hop, struct slice domain)
{
	for (size_t k = 0; k < hop->rt_count; k++)
		if (domain_follows(domain, hop->rt_domains[k]) || domain_follows(hop->rt_domains[k], domain))
			return true;
	return false;
}

struct reason chain_time(struct arena *a, const struct dkim2_hop *hop, uint64_t now, int64_t future_s)
{
	enum draft_text text;

	if (hop->t < now && now - hop->t > DRAFT_AGE_S)
		text = TEXT_SEAL_EXPIRED;
	else if (hop->t > now && hop->t - now > (future_s < 0 ? 0 : (uint64_t)future_s))
		text = TEXT_SEAL_FUTURE;
	else
		return (struct reason){ 0 };
	return draft_reason(a, text, hop->i, 0, SLICE_NONE, SLICE_NONE);
}

bool chain_flag(struct slice flags, struct slice word_wanted)
{
	struct slice one;
	bool more;

	if (flags.n == 0)
		return false;
	do {
		more = slice_cut(&flags, ',', &one);
		if (slice_eq(slice_trim(one), word_wanted))
			return true;
	} while (more);
	return false;
}
