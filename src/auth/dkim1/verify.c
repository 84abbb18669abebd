#include "auth/dkim1/signature.h"
#include "base/limits.h"
#include "crypt/sign.h"

struct judged {
	struct dkim_field field;
	int handle; /* of its body hash */
	bool done;
};

struct dkim {
	struct arena *arena;
	struct asks *asks;
	const struct field_index *index;
	struct dkim_terms terms;
	struct judged *judged;
	struct dkim_signature *signatures;
	struct {
		enum canon_form form;
		uint64_t octets;
	} hashes[LIMIT_BODY_HASHES]; /* of the body, that signatures want */
	size_t hash_count;
	struct dkim_verdict verdict;
};

const char *dkim_state_name(enum dkim_state state)
{
	static const char *const names[DKIM_STATES] = { "none", "pass", "neutral", "policy", "fail", "permerror", "temperror" };

	return names[state];
}

static void found(struct dkim *d, size_t k, enum dkim_state state, enum dkim_kind about, struct slice reason)
{
	d->judged[k].done = true;
	d->signatures[k].state = state;
	d->signatures[k].about = about;
	d->signatures[k].reason = reason;
}

/* ---- what needs neither key nor body ---- */

/* May its body hash be made? The first LIMIT_BODY_HASHES different ones: an attacker chooses l= (RFC 6376 8.2). */
static bool body_hash_fits(struct dkim *d, const struct dkim_field *f)
{
	size_t i = 0;

	while (i < d->hash_count && (d->hashes[i].form != f->body || d->hashes[i].octets != f->octets))
		i++;
	if (i == LIMIT_BODY_HASHES)
		return false;
	d->hashes[i].form = f->body;
	d->hashes[i].octets = f->octets;
	d->hash_count += i == d->hash_count;
	return true;
}

static void read_one(struct dkim *d, size_t k, const struct field *f)
{
	struct judged *j = &d->judged[k];
	bool whole = dkim_field_read(d->arena, f, &d->terms, &j->field, &d->signatures[k]);

	if (k >= d->terms.signatures_max)
		found(d, k, DKIM_POLICY, DKIM_ABOUT_LIMIT, S("too many signatures"));
	else if (!whole)
		j->done = true;
	else if (!body_hash_fits(d, &j->field))
		found(d, k, DKIM_POLICY, DKIM_ABOUT_LIMIT, S("too many different body hashes"));
	else
		asks_want(d->asks, DNSREC_KEY, j->field.key_name);
}

struct dkim *dkim_new(struct arena *a, struct asks *asks, const struct header *h, const struct field_index *index,
    const struct dkim_terms *terms)
{
	static const struct slice name = { (const unsigned char *)"DKIM-Signature", 14 };
	size_t room = field_count(index, name), at = 0;
	struct dkim *d = ARENA_NEW(a, struct dkim);

	if (room > LIMIT_DKIM_SHOWN)
		room = LIMIT_DKIM_SHOWN;
	if (!d || !(d->judged = ARENA_ARRAY(a, room, struct judged)) || !(d->signatures = ARENA_ARRAY(a, room, struct dkim_signature)))
		return NULL;
	d->arena = a;
	d->asks = asks;
	d->index = index;
	d->terms = *terms;
	for (size_t k = 0; k < room; k++, at++) {
		at = header_find(h, name, at);
		d->signatures[k].field = at;
		read_one(d, k, &h->fields[at]);
	}
	d->verdict.signatures = d->signatures;
	d->verdict.n = room;
	return arena_failed(a) ? NULL : d;
}

void dkim_body_wants(struct dkim *d, struct canon_body *body)
{
	for (size_t k = 0; k < d->verdict.n; k++) {
		struct judged *j = &d->judged[k];

		if (j->done)
			continue;
		j->handle = canon_body_want(body, j->field.body, DIGEST_SHA256, j->field.octets);
		if (j->handle == CANON_LIMIT)
			found(d, k, DKIM_POLICY, DKIM_ABOUT_LIMIT, S("too many different body hashes"));
	}
}

/* ---- keys ---- */

/* The key, or NULL with the finding. RFC 6376 6.1.2 */
static const struct key *usable_key(struct dkim *d, size_t k, const struct keyrec *rec)
{
	const struct dkim_field *f = &d->judged[k].field;
	const struct key *key = keyrec_dkim(rec);
	struct dkim_signature *shown = &d->signatures[k];

	shown->testing = rec->testing;
	shown->secure = rec->secure;
	shown->key_bits = key ? key_bits(key) : rec->bits;
	switch (rec->state) {
	case KEYREC_OK:
		break;
	case KEYREC_UNREACHABLE:
		found(d, k, DKIM_TEMPERROR, DKIM_ABOUT_KEY, S("no answer for the key"));
		return NULL;
	case KEYREC_ABSENT:
		found(d, k, DKIM_PERMERROR, DKIM_ABOUT_KEY, S("no key"));
		return NULL;
	case KEYREC_MULTIPLE:
		found(d, k, DKIM_PERMERROR, DKIM_ABOUT_KEY_SYNTAX, S("several key records"));
		return NULL;
	case KEYREC_TYPE:
		found(d, k, DKIM_PERMERROR, DKIM_ABOUT_KEY, S("key is of an unknown type"));
		return NULL;
	case KEYREC_REVOKED:
		found(d, k, DKIM_PERMERROR, DKIM_ABOUT_KEY, S("key is revoked"));
		return NULL;
	case KEYREC_SYNTAX:
		if (key)
			break;
		if (keyrec_refused(rec))
			found(d, k, DKIM_PERMERROR, DKIM_ABOUT_KEY_REFUSED, arena_printf(d->arena, "key of %u bits is refused", rec->bits));
		else
			found(d, k, DKIM_PERMERROR, DKIM_ABOUT_KEY_SYNTAX, S("key record cannot be read"));
		return NULL;
	}
	if (key_type(key) != f->type)
		found(d, k, DKIM_PERMERROR, DKIM_ABOUT_KEY, S("key is of another type than a="));
	else if (rec->no_sha256)
		found(d, k, DKIM_PERMERROR, DKIM_ABOUT_KEY, S("key is not for SHA-256"));
	else if (rec->no_email)
		found(d, k, DKIM_PERMERROR, DKIM_ABOUT_KEY, S("key is not for mail"));
	else if (rec->same_domain && f->below)
		found(d, k, DKIM_PERMERROR, DKIM_ABOUT_KEY, S("key is not for subdomains"));
	else
		return key;
	return NULL;
}

/* ---- body and signature ---- */

/* False: the body has it decided. */
static bool body_fits(struct dkim *d, size_t k, const struct canon_body *body)
{
	const struct judged *j = &d->judged[k];
	struct slice got = canon_body_got(body, j->handle);

	if (j->handle < 0)
		found(d, k, DKIM_TEMPERROR, DKIM_ABOUT_NOTHING, S("no memory"));
	else if (j->field.octets != CANON_WHOLE && j->field.octets > canon_body_octets(body, j->field.body))
		found(d, k, DKIM_PERMERROR, DKIM_ABOUT_SYNTAX, S("l= is more than the body has"));
	else if (got.n == 0)
		found(d, k, DKIM_TEMPERROR, DKIM_ABOUT_NOTHING, S("no memory"));
	else if (!slice_eq(got, j->field.bh))
		found(d, k, DKIM_FAIL, DKIM_ABOUT_BODY, S("body does not match"));
	return !j->done;
}

static void judge_signature(struct dkim *d, size_t k, const struct key *key, const struct canon_body *body)
{
	const struct dkim_field *f = &d->judged[k].field;
	unsigned char digest[32];
	bool no_memory = false;

	if (!field_hash(d->arena, d->index, &f->names, f->header, f->field, f->hole, digest))
		found(d, k, DKIM_TEMPERROR, DKIM_ABOUT_NOTHING, S("no memory"));
	else if (!verify_sha256(key, digest, f->signature, &no_memory))
		found(d, k, no_memory ? DKIM_TEMPERROR : DKIM_FAIL, no_memory ? DKIM_ABOUT_NOTHING : DKIM_ABOUT_SIGNATURE,
		    no_memory ? S("no memory") : S("signature does not match"));
	else if (f->octets < canon_body_octets(body, f->body) && !d->terms.trust_l)
		found(d, k, DKIM_POLICY, DKIM_ABOUT_PARTIAL, S("body goes on behind what is signed"));
	else
		found(d, k, DKIM_PASS, DKIM_ABOUT_NOTHING, SLICE_NONE);
	d->signatures[k].from_unsigned = d->signatures[k].state == DKIM_PASS && !field_covered(&f->names, d->index, S("From"));
}

/* ---- of all ---- */

static void judge_all(struct dkim *d)
{
	static const unsigned char hope[DKIM_STATES] = { [DKIM_PERMERROR] = 1, [DKIM_NEUTRAL] = 2, [DKIM_POLICY] = 3, [DKIM_FAIL] = 4,
		[DKIM_TEMPERROR] = 5, [DKIM_PASS] = 6 };

	for (size_t k = 0; k < d->verdict.n; k++)
		if (hope[d->signatures[k].state] > hope[d->verdict.state])
			d->verdict.state = d->signatures[k].state;
}

bool dkim_step(struct dkim *d, const struct canon_body *body)
{
	bool whole = true;

	for (size_t k = 0; k < d->verdict.n; k++) {
		const struct dnsrec *rec;
		const struct key *key;

		if (d->judged[k].done)
			continue;
		rec = asks_get(d->asks, DNSREC_KEY, d->judged[k].field.key_name);
		whole &= rec != NULL;
		key = rec ? usable_key(d, k, rec->key) : NULL; /* in the order of RFC 6376 6.1 */
		if (key && body_fits(d, k, body))
			judge_signature(d, k, key, body);
	}
	if (whole)
		judge_all(d);
	return whole;
}

const struct dkim_verdict *dkim_verdict(const struct dkim *d)
{
	return &d->verdict;
}

void dkim_release(struct dkim *d)
{
	(void)d;
}
