/*
 * A message that says it has an ARC chain; every name has the same two keys, which any set can be made with. However the body is cut,
 * the verdict is the same; what cannot be a chain asks nobody; a set of ours on what was not found wrong makes a chain that passes.
 */
#include "auth/arc/arc.h"
#include "crypt/sign.h"
#include "fuzz.h"

enum { ASKS = 200, FIELDS = 1000 };

static const char record[] = "v=DKIM1; k=ed25519; p=TLWr9q15+/WrvMr8wmnYXNJlHtS4hbWGnyQa7fCluik=";

static struct key *our_key(void)
{
	/* PKCS#8 of the seed 00 .. 00 01 */
	static const unsigned char der[48] = { 0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20, [47] = 1 };
	static struct key *key;

	if (!key)
		key = key_private(slice_of(der, sizeof(der)));
	WANT(key);
	return key;
}

static void answer(struct asks *q)
{
	struct slice text = slice_str(record);
	enum dnsrec_type type;
	struct slice name;
	size_t index;

	while (asks_next(q, &index, &type, &name)) {
		struct dnsrec *rec = dnsrec_new(type, DNS_OK, &text, 1, false);

		WANT(rec && rec->key->state == KEYREC_OK);
		asks_answer(q, index, rec);
		dnsrec_drop(&rec);
	}
}

/* Octets of the body at a time. */
static const struct arc_verdict *judge(struct arena *a, const struct header *h, struct slice body, size_t most)
{
	struct asks *q = asks_new(a, ASKS);
	struct canon_body *c = canon_body_new(0);
	struct arc *arc = arc_new(a, q, h, field_index_new(a, h), 1795255200);
	const struct arc_verdict *v;

	WANT(q && c && arc);
	arc_body_wants(arc, c);
	while (body.n) {
		struct slice piece = slice_sub(body, 0, most);

		canon_body_add(c, piece);
		body = slice_sub(body, piece.n, SIZE_MAX);
	}
	canon_body_end(c);
	if (!arc_step(arc, c)) {
		WANT(asks_open(q) > 0);
		answer(q);
		WANT(arc_step(arc, c));
	}
	v = arc_verdict(arc);
	WANT(asks_count(q) <= 2 * v->instances && !asks_too_many(q));
	WANT(v->about != ARC_ABOUT_STRUCTURE || asks_count(q) == 0);
	arc_release(arc);
	canon_body_free(&c);
	asks_release(q);
	return v;
}

static void want_verdict(const struct arc_verdict *v)
{
	uint64_t before = 0;

	WANT(v->state == ARC_NONE || v->state == ARC_PASS || v->state == ARC_FAIL);
	WANT((v->about == ARC_ABOUT_NOTHING) == (v->state <= ARC_PASS) && (v->reason.n == 0) == (v->state <= ARC_PASS));
	WANT(v->n <= v->instances && v->instances <= LIMIT_ARC_SETS && v->oldest_pass <= v->instances);
	WANT(v->state != ARC_PASS || (v->n > 0 && v->n == v->instances));
	for (size_t k = 0; k < v->n; k++) {
		const struct arc_set *set = &v->sets[k];

		WANT(set->i > before && set->i <= v->instances);
		before = set->i;
		if (v->state == ARC_PASS)
			WANT(set->seal == ARC_PASS && set->d_normal.n && (set->i < v->oldest_pass || set->ams == ARC_PASS));
	}
	for (size_t i = 0; i < v->reason.n; i++)
		WANT(v->reason.at[i] >= ' ' && v->reason.at[i] <= '~');
}

static void want_sealed(struct arena *a, const struct header *h, struct slice body, const struct arc_verdict *came)
{
	struct arc_seal_conf conf = { .d = S("c.test"), .selector = S("s"), .type = KEY_ED25519, .authres = S("mx.c.test; none"), .now = 1795255200 };
	struct canon_body *c = canon_body_new(0);
	int hash = canon_body_want(c, CANON_RELAXED, DIGEST_SHA256, CANON_WHOLE);
	struct fault f = { 0 };
	struct slice fields;
	struct header after;
	unsigned char *octets;
	struct arc_seal *s;

	canon_body_add(c, body);
	canon_body_end(c);
	conf.body_sha256 = canon_body_got(c, hash);
	s = arc_seal_new(a, h, field_index_new(a, h), came, &conf, &f);
	WANT(s ? came->state <= ARC_PASS : came->state > ARC_PASS || came->instances == LIMIT_ARC_SETS || h->fields[0].raw.at[0] <= ' ');
	WANT(s || f.code == FAULT_UNSEALED);
	while (s && arc_seal_digest(s)) {
		unsigned char out[SIGNATURE_OCTETS];

		WANT(arc_seal_answer(s, slice_of(out, sign_sha256(our_key(), arc_seal_digest(s), out))));
	}
	canon_body_free(&c);
	if (!s)
		return;
	fields = arc_seal_fields(s);
	octets = arena_take(a, fields.n + h->raw.n);
	WANT(fields.n && octets);
	memcpy(octets, fields.at, fields.n);
	if (h->raw.n)
		memcpy(octets + fields.n, h->raw.at, h->raw.n);
	WANT(header_parse(a, slice_of(octets, fields.n + h->raw.n), FIELDS + 3, &after, &f));
	came = judge(a, &after, body, SIZE_MAX);
	WANT(came->state == ARC_PASS);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	struct slice message = slice_of(at, n), body;
	size_t seen = 0, block = n, rest = n;
	const struct arc_verdict *v, *cut;
	struct fault f = { 0 };
	struct header h;
	struct arena a;

	arena_init(&a, 1 << 26);
	header_end(message, &seen, &block, &rest);
	body = slice_sub(message, rest, SIZE_MAX);
	if (header_parse(&a, slice_sub(message, 0, block), FIELDS, &h, &f)) {
		v = judge(&a, &h, body, SIZE_MAX);
		want_verdict(v);
		cut = judge(&a, &h, body, 1);
		WANT(cut->state == v->state && cut->about == v->about && slice_eq(cut->reason, v->reason));
		want_sealed(&a, &h, body, v);
	}
	arena_clear(&a);
	return 0;
}
