#include "auth/arc/sets.h"
#include "base/b64.h"
#include "crypt/sign.h"
#include "mail/domain.h"

/* One signature of a set, of either kind. */
struct signature {
	const char *wrong;     /* in its tags, whatever its key is; NULL: nothing */
	enum key_type type;
	struct slice d, s, d_normal;
	struct slice owner;    /* of the key */
	struct slice b;        /* octets */
	/* of a message signature */
	struct slice bh;
	struct field_list fields;
	enum canon_form header, body;
	uint64_t l;            /* CANON_WHOLE: not there */
	int64_t t, x;          /* negative: not there */
	int hash;              /* what the body hasher calls it */
	struct slice hole;     /* b= in its field */
};

struct arc {
	struct arena *arena;
	struct asks *asks;
	const struct field_index *index;
	int64_t now;
	struct arc_sets sets;
	/* one a set: most messages have none */
	struct signature *ams, *seal;
	struct arc_set *shown; /* those of sets that have a field, in their order */
	struct arc_set **set_of;
	struct arc_verdict verdict;
	size_t header_octets;
	bool done, memory_lost;
};

static const char *const state_names[] = {
	[ARC_NONE] = "none",
	[ARC_PASS] = "pass",
	[ARC_FAIL] = "fail",
	[ARC_PERMERROR] = "permerror",
	[ARC_TEMPERROR] = "temperror",
};

const char *arc_state_name(enum arc_state state)
{
	return state_names[state];
}

/* ---- tags ---- */

static bool wrong(struct signature *s, const char *words)
{
	s->wrong = words;
	return false;
}

static struct slice value_of(const struct taglist *tags, const char *name)
{
	const struct tag *tag = taglist_find(tags, TAGLIST_UTF8, slice_str(name));

	return tag ? tag->value : SLICE_NONE;
}

/* Seconds; -1: there is no such tag. RFC 6376 3.5: 1*12DIGIT. */
static bool read_time(const struct taglist *tags, const char *name, int64_t *out)
{
	const struct tag *tag = taglist_find(tags, TAGLIST_UTF8, slice_str(name));
	uint64_t seconds;

	*out = -1;
	if (!tag)
		return true;
	if (tag->value.n > 12 || !slice_u64(tag->value, INT64_MAX, &seconds))
		return false;
	*out = (int64_t)seconds;
	return true;
}

/* What both kinds have: RFC 6376 3.5, and 8301 and 8463 for which algorithms there are. */
static bool read_common(struct arena *a, const struct field *f, const struct taglist *tags, struct signature *s)
{
	struct slice b = value_of(tags, "b"), algorithm = value_of(tags, "a"), d = value_of(tags, "d"), selector = value_of(tags, "s"), s_normal;

	if (domain_name_normal(a, d, &s->d_normal))
		s->d = d;
	else
		s->d_normal = SLICE_NONE;
	if (domain_name_normal(a, selector, &s_normal))
		s->s = selector;
	if (!s->d.n)
		return wrong(s, "no domain in d=");
	if (!s->s.n)
		return wrong(s, "no selector in s=");
	if (slice_eq(algorithm, S("rsa-sha256")))
		s->type = KEY_RSA;
	else if (slice_eq(algorithm, S("ed25519-sha256")))
		s->type = KEY_ED25519;
	else
		return wrong(s, algorithm.n ? "algorithm that is not to be used" : "no a=");
	if (!b64_decode(a, b, true, &s->b) || !s->b.n)
		return wrong(s, "no signature in b=");
	s->hole = field_hole(f, b);
	if (!read_time(tags, "t", &s->t))
		return wrong(s, "t= is no time");
	s->owner = arena_printf(a, "%.*s._domainkey.%.*s", SLICE_FMT(s_normal), SLICE_FMT(s->d_normal));
	return true;
}

static bool read_ams(struct arena *a, const struct field *f, const struct taglist *tags, struct signature *s)
{
	const struct tag *c = taglist_find(tags, TAGLIST_UTF8, S("c")), *l = taglist_find(tags, TAGLIST_UTF8, S("l")),
	    *q = taglist_find(tags, TAGLIST_UTF8, S("q"));

	if (!read_common(a, f, tags, s))
		return false;
	if (!b64_decode(a, value_of(tags, "bh"), true, &s->bh) || s->bh.n != 32)
		return wrong(s, "no SHA-256 in bh=");
	if (!canon_forms(c ? c->value : S("simple"), &s->header, &s->body))
		return wrong(s, "c= names no canonical form");
	if (!field_list_parse(a, value_of(tags, "h"), &s->fields))
		return wrong(s, "no list of fields in h=");
	/* RFC 6376 6.1.1 */
	if (!field_listed(&s->fields, S("From")))
		return wrong(s, "h= does not name From");
	/*
	 * RFC 8617 4.1.2 bars all three ARC fields from it, and Authentication-Results. Those who wrote before it was an RFC name the others,
	 * which does no harm; with ARC-Seal no seal could be added behind it.
	 */
	if (field_listed(&s->fields, S("ARC-Seal")))
		return wrong(s, "h= names ARC-Seal");
	s->l = CANON_WHOLE;
	if (l && !slice_u64(l->value, CANON_WHOLE - 1, &s->l))
		return wrong(s, "l= is no number");
	if (!read_time(tags, "x", &s->x) || (s->x >= 0 && s->x <= s->t))
		return wrong(s, "x= is no time, or not after t=");
	if (q && !taglist_lists(q->value, S("dns/txt")))
		return wrong(s, "q= does not offer dns/txt");
	return true;
}

/* ---- what is right ---- */

/* NULL: it can be used. */
static const char *key_wrong(const struct keyrec *rec, enum key_type type)
{
	const struct key *key = keyrec_dkim(rec);

	if (key && rec->no_sha256)
		return "key is not for SHA-256";
	if (key && rec->no_email)
		return "key is not for mail";
	if (key)
		return key_type(key) == type ? NULL : "key is of another type";
	if (keyrec_refused(rec))
		return "key is too short, too long or weak"; /* RFC 8301 3.2 */
	switch (rec->state) {
	case KEYREC_UNREACHABLE:
		return "no answer yet for the key";
	case KEYREC_ABSENT:
		return "there is no key";
	case KEYREC_MULTIPLE:
		return "more than one key record";
	case KEYREC_REVOKED:
		return "key is revoked";
	case KEYREC_TYPE:
		return "key is of an unknown type";
	case KEYREC_OK:
	case KEYREC_SYNTAX:
		break;
	}
	return "key record cannot be used";
}

/* What a check came to. */
struct finding {
	enum arc_state state;
	enum arc_kind about;
	const char *words;
};

static struct finding found(enum arc_state state, enum arc_kind about, const char *words)
{
	return (struct finding){ state, about, words };
}

static struct finding no_memory(struct arc *c)
{
	c->memory_lost = true;
	return found(ARC_TEMPERROR, ARC_ABOUT_LIMIT, "no memory");
}

static struct finding check_key(struct arc *c, const struct signature *s, const unsigned char digest[32])
{
	const struct keyrec *rec = asks_get(c->asks, DNSREC_KEY, s->owner)->key;
	const char *words = key_wrong(rec, s->type);
	bool starved = false;

	if (words)
		return found(rec->state == KEYREC_UNREACHABLE ? ARC_TEMPERROR : ARC_PERMERROR, ARC_ABOUT_KEY, words);
	if (verify_sha256(keyrec_dkim(rec), digest, s->b, &starved))
		return found(ARC_PASS, ARC_ABOUT_NOTHING, "");
	return starved ? no_memory(c) : found(ARC_FAIL, ARC_ABOUT_SIGNATURE, "signature is wrong");
}

static struct finding check_body(struct arc *c, const struct signature *s, const struct canon_body *body)
{
	if (s->hash == CANON_NO_MEMORY)
		return no_memory(c);
	if (s->hash < 0)
		return found(ARC_FAIL, ARC_ABOUT_LIMIT, "more body hashes than are looked at");
	/* what stands behind l= is nobody's word: RFC 6376 8.2 */
	if (s->l != CANON_WHOLE && canon_body_octets(body, s->body) > s->l)
		return found(ARC_FAIL, ARC_ABOUT_BODY, "l= leaves a part of the body out");
	if (!slice_eq(canon_body_got(body, s->hash), s->bh))
		return found(ARC_FAIL, ARC_ABOUT_BODY, "body hash is wrong");
	return found(ARC_PASS, ARC_ABOUT_NOTHING, "");
}

static struct finding check_ams(struct arc *c, size_t k, const struct canon_body *body)
{
	const struct signature *s = &c->ams[k];
	struct finding r;
	unsigned char digest[32];

	if (s->wrong)
		return found(ARC_FAIL, ARC_ABOUT_SYNTAX, s->wrong);
	/* RFC 6376 3.5 lets a t= from the future count or not, RFC 8617 says nothing of it: one bad clock on the way breaks no chain. */
	if (c->now >= 0 && s->x >= 0 && s->x < c->now)
		return found(ARC_FAIL, ARC_ABOUT_SIGNATURE, "signature has expired");
	r = check_body(c, s, body);
	if (r.state != ARC_PASS)
		return r;
	if (!field_hash(c->arena, c->index, &s->fields, s->header, c->sets.links[k].fields[ARC_AMS], s->hole, digest))
		return no_memory(c);
	return check_key(c, s, digest);
}

/* ---- the chain ---- */

static bool settle(struct arc *c, enum arc_state state, enum arc_kind about, struct slice reason)
{
	c->verdict.state = state;
	c->verdict.about = about;
	c->verdict.reason = reason;
	c->done = true;
	return true;
}

/* The finding decides unless an earlier one does: a failure always, a missing answer if there is no failure. False: it was a failure. */
static bool weigh(struct arc *c, const char *name, size_t k, struct finding r)
{
	if (r.state == ARC_PASS)
		return true;
	if (r.state == ARC_TEMPERROR && c->verdict.state == ARC_TEMPERROR)
		return true;
	c->verdict.state = r.state == ARC_TEMPERROR ? ARC_TEMPERROR : ARC_FAIL;
	c->verdict.about = r.about;
	c->verdict.reason = arena_printf(c->arena, "%s i=%zu: %s", name, k + 1, r.words);
	return c->verdict.state == ARC_TEMPERROR;
}

/* RFC 8617 5.1.1: what each seal covers is what the one below it covers, and more. */
static bool seal_digests(struct arc *c, unsigned char (*out)[32])
{
	struct digest *run = digest_new(DIGEST_SHA256);
	bool ok = run != NULL;

	for (size_t k = 0; ok && k < c->sets.n; k++)
		ok = arc_seal_input(run, &c->sets.links[k], c->seal[k].hole, out[k]);
	digest_free(&run);
	return ok;
}

static bool check_seals(struct arc *c)
{
	unsigned char (*digests)[32] = arena_array(c->arena, c->sets.n, sizeof(*digests));
	bool good = true;

	if (!digests || !seal_digests(c, digests)) {
		c->memory_lost = true;
		return false;
	}
	for (size_t k = c->sets.n; good && k-- > 0;) {
		struct finding r = check_key(c, &c->seal[k], digests[k]);

		c->set_of[k]->seal = r.state;
		good = weigh(c, "ARC-Seal", k, r);
	}
	return good;
}

/*
 * RFC 8617 5.2 step 5. Below the newest, a message signature that fails tells only how far back the message is unchanged. A header may be
 * long and 50 of them may cover all of it: those beyond a limit count as failed.
 */
static void find_oldest_pass(struct arc *c, const struct canon_body *body)
{
	size_t left = LIMIT_ARC_HEADERS;

	for (size_t k = c->sets.n - 1; k-- > 0;) {
		enum arc_state state;

		if (c->header_octets > left) {
			c->verdict.oldest_pass = k + 2;
			return;
		}
		left -= c->header_octets;
		state = check_ams(c, k, body).state;
		c->set_of[k]->ams = state;
		if (state != ARC_PASS) {
			c->verdict.oldest_pass = k + 2;
			return;
		}
	}
}

static void show(struct arc *c)
{
	for (size_t k = 0; k < c->sets.n; k++) {
		const struct arc_link *link = &c->sets.links[k];
		struct arc_set *set = &c->shown[c->verdict.n];

		if (!link->fields[ARC_AAR] && !link->fields[ARC_AMS] && !link->fields[ARC_SEAL])
			continue;
		*set = (struct arc_set){ .i = k + 1, .aar = link->aar };
		if (link->fields[ARC_SEAL]) {
			read_common(c->arena, link->fields[ARC_SEAL], &link->seal, &c->seal[k]);
			set->d = c->seal[k].d;
			set->s = c->seal[k].s;
			set->d_normal = c->seal[k].d_normal;
			set->cv = value_of(&link->seal, "cv");
		}
		c->set_of[k] = set;
		c->verdict.n++;
	}
	c->verdict.sets = c->shown;
	c->verdict.instances = c->sets.n;
}

/* Whatever is wrong for good without a key is said before anybody is asked for one. */
static void start(struct arc *c)
{
	size_t newest = c->sets.n - 1;

	if (c->sets.about != ARC_ABOUT_NOTHING) {
		settle(c, ARC_FAIL, c->sets.about, c->sets.reason);
		return;
	}
	if (c->sets.n == 0) {
		settle(c, ARC_NONE, ARC_ABOUT_NOTHING, SLICE_NONE);
		return;
	}
	for (size_t k = 0; k < c->sets.n; k++)
		read_ams(c->arena, c->sets.links[k].fields[ARC_AMS], &c->sets.links[k].ams, &c->ams[k]);
	if (c->ams[newest].wrong)
		c->done = !weigh(c, "ARC-Message-Signature", newest, found(ARC_FAIL, ARC_ABOUT_SYNTAX, c->ams[newest].wrong));
	for (size_t k = c->sets.n; !c->done && k-- > 0;)
		if (c->seal[k].wrong)
			c->done = !weigh(c, "ARC-Seal", k, found(ARC_FAIL, ARC_ABOUT_SYNTAX, c->seal[k].wrong));
	for (size_t k = c->sets.n; !c->done && k-- > 0;) {
		asks_want(c->asks, DNSREC_KEY, c->seal[k].owner);
		if (!c->ams[k].wrong)
			asks_want(c->asks, DNSREC_KEY, c->ams[k].owner);
	}
}

struct arc *arc_new(struct arena *a, struct asks *asks, const struct header *h, const struct field_index *index, int64_t now)
{
	struct arc *c = ARENA_NEW(a, struct arc);

	if (!c || !index)
		return NULL;
	c->arena = a;
	c->asks = asks;
	c->index = index;
	c->now = now;
	for (size_t k = 0; k < h->n; k++)
		c->header_octets += h->fields[k].raw.n;
	if (!arc_sets_read(&c->sets, a, h))
		return NULL;
	c->ams = ARENA_ARRAY(a, c->sets.n, struct signature);
	c->seal = ARENA_ARRAY(a, c->sets.n, struct signature);
	c->shown = ARENA_ARRAY(a, c->sets.n, struct arc_set);
	c->set_of = ARENA_ARRAY(a, c->sets.n, struct arc_set *);
	if (arena_failed(a))
		return NULL;
	show(c);
	start(c);
	return arena_failed(a) ? NULL : c;
}

void arc_body_wants(struct arc *c, struct canon_body *body)
{
	/* the newest counts most, and comes first if there are more than may be wanted */
	for (size_t k = c->sets.n; !c->done && k-- > 0;)
		if (!c->ams[k].wrong)
			c->ams[k].hash = canon_body_want(body, c->ams[k].body, DIGEST_SHA256, c->ams[k].l);
}

static bool answered(const struct arc *c, const struct signature *s)
{
	return s->wrong || asks_get(c->asks, DNSREC_KEY, s->owner);
}

bool arc_step(struct arc *c, const struct canon_body *body)
{
	size_t newest = c->sets.n - 1;
	struct finding r;
	bool all = true;

	if (c->done)
		return true;
	/* the verdict shall not depend on the order that answers come in */
	for (size_t k = 0; k < c->sets.n; k++)
		all &= answered(c, &c->seal[k]) && answered(c, &c->ams[k]);
	if (!all)
		return false;
	c->done = true;
	c->verdict.state = ARC_PASS;
	r = check_ams(c, newest, body);
	c->set_of[newest]->ams = r.state;
	if (weigh(c, "ARC-Message-Signature", newest, r) && check_seals(c) && c->verdict.state == ARC_PASS)
		find_oldest_pass(c, body);
	if (c->memory_lost || arena_failed(c->arena)) {
		c->verdict.oldest_pass = 0;
		return settle(c, ARC_TEMPERROR, ARC_ABOUT_LIMIT, S("no memory"));
	}
	return true;
}

const struct arc_verdict *arc_verdict(const struct arc *c)
{
	return &c->verdict;
}

void arc_release(struct arc *c)
{
	(void)c; /* all of it is in the arena */
}
