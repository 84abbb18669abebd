/*
 * A message that claims to be signed. Every key is the first of RFC 8032 7.1, whose private half is known too: what we sign of it passes,
 * whatever its fields are. The first octet says how the body is cut, and what is allowed.
 */
#include "auth/dkim1/dkim.h"
#include "base/b64.h"
#include "base/limits.h"
#include "crypt/sign.h"
#include "fuzz.h"
#include "mail/domain.h"

#define NOW 1000000

static const char private_key[] = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
                                  "-----END PRIVATE KEY-----\n";

static void answer_all(struct asks *asks)
{
	struct slice text = S("v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
	enum dnsrec_type type;
	struct slice name;
	size_t index;

	while (asks_next(asks, &index, &type, &name)) {
		struct dnsrec *rec = dnsrec_new(type, DNS_OK, &text, 1, true);

		WANT(rec && type == DNSREC_KEY);
		asks_answer(asks, index, rec);
		dnsrec_drop(&rec);
	}
}

static void want_shown(const struct dkim_signature *s, const struct header *h, struct arena *a)
{
	struct slice normal;

	WANT((s->state == DKIM_PASS) == (s->reason.n == 0) && s->reason.n <= LIMIT_REASON && s->about < DKIM_KINDS);
	for (size_t i = 0; i < s->reason.n; i++)
		WANT(s->reason.at[i] >= ' ' && s->reason.at[i] <= '~');
	WANT(s->state != DKIM_NONE && s->state <= DKIM_TEMPERROR && s->field < h->n && slice_ieq(h->fields[s->field].name, S("DKIM-Signature")));
	WANT((s->d.n == 0) == (s->d_normal.n == 0));
	if (s->d.n)
		WANT(domain_normal(a, s->d, &normal) && slice_eq(normal, s->d_normal) && domain_valid(normal));
	WANT(s->b.n <= 72);
	for (size_t i = 0; i < s->b.n; i++)
		WANT(s->b.at[i] > ' ');
	for (size_t i = 0; i < s->i.n; i++)
		WANT(s->i.at[i] > ' ' && s->i.at[i] != 0x7f);
	if (s->state == DKIM_PASS)
		WANT(slice_eq(s->a, S("ed25519-sha256")) && s->key_bits == 256 && s->secure && s->d.n && s->s.n);
}

/* NULL: no header. */
static const struct dkim_verdict *judged(struct arena *a, struct slice message, size_t piece, const struct dkim_terms *terms)
{
	size_t seen = 0, block = message.n, body = message.n;
	struct header *h = ARENA_NEW(a, struct header);
	struct asks *asks = asks_new(a, 60);
	const struct dkim_verdict *v;
	struct canon_body *c;
	struct fault f = { 0 };
	struct dkim *d;

	header_end(message, &seen, &block, &body);
	if (!header_parse(a, slice_sub(message, 0, block), 200, h, &f))
		return NULL;
	d = dkim_new(a, asks, h, field_index_new(a, h), terms);
	c = canon_body_new(0);
	WANT(d && c);
	WANT(asks_count(asks) <= terms->signatures_max);
	dkim_body_wants(d, c);
	for (; body < message.n; body += piece < message.n - body ? piece : message.n - body)
		canon_body_add(c, slice_sub(message, body, piece));
	canon_body_end(c);
	while (!dkim_step(d, c)) {
		WANT(asks_open(asks) > 0);
		answer_all(asks);
	}
	v = dkim_verdict(d);
	WANT(v->n <= LIMIT_DKIM_SHOWN && (v->n == 0) == (v->state == DKIM_NONE));
	for (size_t i = 0; i < v->n; i++)
		want_shown(&v->signatures[i], h, a);
	dkim_release(d);
	canon_body_free(&c);
	asks_release(asks);
	return v;
}

static void want_round(struct arena *a, struct slice message, const struct key *key)
{
	size_t seen = 0, block = message.n, body = message.n;
	struct dkim_sign_conf conf = { .d = S("a.test"), .selector = S("s1"), .type = KEY_ED25519, .now = NOW };
	struct dkim_terms terms = { .signatures_max = 1, .now = NOW };
	unsigned char signature[SIGNATURE_OCTETS];
	const struct dkim_verdict *v;
	struct slice field, both;
	struct canon_body *c = canon_body_new(0);
	struct dkim_sign *s;
	struct header h;
	struct fault f = { 0 };
	unsigned char *p;
	int handle = canon_body_want(c, CANON_RELAXED, DIGEST_SHA256, CANON_WHOLE);

	if (!header_end(message, &seen, &block, &body) || !header_parse(a, slice_sub(message, 0, block), 150, &h, &f) ||
	    (block && (message.at[0] == ' ' || message.at[0] == '\t'))) {
		canon_body_free(&c);
		return;
	}
	canon_body_add(c, slice_sub(message, body, SIZE_MAX));
	canon_body_end(c);
	conf.body_sha256 = canon_body_got(c, handle);
	s = dkim_sign_new(a, &h, field_index_new(a, &h), &conf, &f);
	WANT(s);
	field = dkim_sign_field(s, slice_of(signature, sign_sha256(key, dkim_sign_digest(s), signature)));
	canon_body_free(&c);
	p = arena_take(a, field.n + message.n);
	memcpy(p, field.at, field.n);
	memcpy(p + field.n, message.at, message.n);
	both = slice_of(p, field.n + message.n);
	v = judged(a, both, 7, &terms);
	WANT(v && v->n && v->signatures->state == DKIM_PASS);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	static const struct slice pem = { (const unsigned char *)private_key, sizeof(private_key) - 1 };
	const struct dkim_verdict *whole, *cut;
	struct dkim_terms terms = { .signatures_max = 10, .now = NOW, .future_s = 300 };
	struct key *key = key_private(pem);
	struct slice message;
	struct arena a;

	if (n < 1 || !key) {
		key_drop(&key);
		return 0;
	}
	terms.trust_l = at[0] & 1;
	terms.now = at[0] & 2 ? -1 : NOW;
	message = slice_of(at + 1, n - 1);
	arena_init(&a, LIMIT_TX_ARENA);
	whole = judged(&a, message, SIZE_MAX, &terms);
	cut = judged(&a, message, (at[0] >> 2) + 1U, &terms);
	WANT((whole != NULL) == (cut != NULL));
	for (size_t i = 0; whole && i < whole->n; i++)
		WANT(whole->signatures[i].state == cut->signatures[i].state && whole->signatures[i].about == cut->signatures[i].about);
	want_round(&a, message, key);
	arena_clear(&a);
	key_drop(&key);
	return 0;
}
