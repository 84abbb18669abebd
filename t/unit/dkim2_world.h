/*
 * dkim2_world.h - keys, a zone and a message for the tests of auth/dkim2. Included once by each of them.
 */
#ifndef DKIM2_WORLD_H
#define DKIM2_WORLD_H

#include "base/b64.h"
#include "crypt/sign.h"
#include "auth/dkim2/input.h"
#include "auth/dkim2/make.h"
#include "vectors.h"

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))
#define NOW 1795255200

static struct arena arena;
static json_t *zone;
static struct key *keys[4]; /* alice and list Ed25519, alice RSA, elsewhere Ed25519 */
static const char *const owners[4] = { "s1._domainkey.example.com", "l1._domainkey.lists.example.org",
	"r1._domainkey.example.com", "e1._domainkey.elsewhere.example" };

static inline struct key *ed25519_of(unsigned char first)
{
	unsigned char der[48] = { 0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20 };

	for (unsigned i = 0; i < 32; i++)
		der[16 + i] = (unsigned char)(first + i);
	return key_private(slice_of(der, sizeof(der)));
}

static inline int make_world(void **state)
{
	(void)state;
	arena_init(&arena, 1 << 26);
	zone = json_object();
	keys[0] = ed25519_of(0x01);
	keys[1] = ed25519_of(0x21);
	keys[2] = key_generate(KEY_RSA, 2048);
	keys[3] = ed25519_of(0x41);
	for (size_t i = 0; i < 4; i++) {
		struct slice text = keyrec_text(&arena, keys[i]);

		assert_non_null(keys[i]);
		json_object_set_new(zone, owners[i], json_pack("[s%]", text.at, text.n));
	}
	return 0;
}

static inline int end_world(void **state)
{
	(void)state;
	for (size_t i = 0; i < 4; i++)
		key_drop(&keys[i]);
	json_decref(zone);
	arena_clear(&arena);
	return 0;
}

static inline int fresh_arena(void **state)
{
	(void)state;
	arena_clear(&arena);
	return 0;
}

/* ---- a message on its way ---- */

static const char lunch[] = "From: Alice <alice@example.com>\r\nTo: list@lists.example.org\r\nSubject: Lunch\r\n"
                            "Message-ID: <1@example.com>\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\n\r\nHello\r\nWorld\r\n";

/* Not inline: gcc 12 sees lengths below nothing in it where one part is constant. */
static __attribute__((noinline, unused)) struct slice join(struct slice a, struct slice b, struct slice c)
{
	unsigned char *p = arena_take(&arena, a.n + b.n + c.n);

	assert_non_null(p);
	if (a.n)
		memcpy(p, a.at, a.n);
	if (b.n)
		memcpy(p + a.n, b.at, b.n);
	if (c.n)
		memcpy(p + a.n + b.n, c.at, c.n);
	return slice_of(p, a.n + b.n + c.n);
}

static inline void split(struct slice message, struct header *h, struct slice *body)
{
	size_t seen = 0, block, at;
	struct fault f = { 0 };

	assert_true(header_end(message, &seen, &block, &at));
	assert_true(header_parse(&arena, slice_sub(message, 0, block), 10000, h, &f));
	*body = slice_sub(message, at, SIZE_MAX);
}

static inline struct slice body_hash(struct slice body, enum digest_alg alg)
{
	struct canon_body *c = canon_body_new(1U << alg);
	struct slice out;

	canon_body_add(c, body);
	canon_body_end(c);
	out = arena_copy(&arena, canon_body_digest(c, alg));
	canon_body_free(&c);
	return out;
}

static inline struct key *key_of(struct slice selector)
{
	for (size_t i = 0; i < 4; i++)
		if (slice_starts(slice_str(owners[i]), selector))
			return keys[i];
	fail_msg("no key %.*s", SLICE_FMT(selector));
	return NULL;
}

static struct dkim2_seal *last_seal; /* by the last seal_with() */

/* The message with this hop's fields on top; empty: refused, f says why. */
static inline struct slice seal_with(struct slice message, const struct dkim2_verdict *came, const struct dkim2_seal_conf *conf,
    struct slice *instance, struct slice *signature, struct fault *f)
{
	struct header *h = ARENA_NEW(&arena, struct header);
	const struct dkim2_sign_ask *asks;
	struct dkim2_seal *s;
	struct slice body;
	size_t n;

	split(message, h, &body);
	last_seal = s = dkim2_seal_new(&arena, h, body_hash(body, DIGEST_SHA256), came, conf, f);
	if (!s)
		return SLICE_NONE;
	n = dkim2_seal_asks(s, &asks);
	assert_int_equal(n, conf->set_count);
	for (size_t i = n; i-- > 0;) {
		unsigned char out[SIGNATURE_OCTETS];

		assert_int_equal(asks[i].type, conf->sets[i].type);
		dkim2_seal_answer(s, i, slice_of(out, sign_sha256(key_of(asks[i].selector), asks[i].digest, out)));
	}
	assert_true(dkim2_seal_fields(s, instance, signature, f));
	return join(*signature, *instance, message);
}

static inline struct slice seal(struct slice message, const struct dkim2_verdict *came, const struct dkim2_seal_conf *conf)
{
	struct slice instance, signature, out;
	struct fault f = { 0 };

	out = seal_with(message, came, conf, &instance, &signature, &f);
	if (!out.n)
		fail_msg("%s", f.text);
	return out;
}

static const struct dkim2_seal_set set_s1[] = { { .selector = { (const unsigned char *)"s1", 2 }, .type = KEY_ED25519 } };
static const struct dkim2_seal_set set_r1[] = { { .selector = { (const unsigned char *)"r1", 2 }, .type = KEY_RSA } };
static const struct dkim2_seal_set set_both[] = { { .selector = { (const unsigned char *)"r1", 2 }, .type = KEY_RSA },
	{ .selector = { (const unsigned char *)"s1", 2 }, .type = KEY_ED25519 } };
static const struct dkim2_seal_set set_l1[] = { { .selector = { (const unsigned char *)"l1", 2 }, .type = KEY_ED25519 } };
static const struct dkim2_seal_set set_e1[] = { { .selector = { (const unsigned char *)"e1", 2 }, .type = KEY_ED25519 } };

static inline struct dkim2_seal_conf alice(struct slice *rcpt)
{
	*rcpt = S("<list@lists.example.org>");
	return (struct dkim2_seal_conf){ .d = S("example.com"),
		.mail_from = S("<alice@example.com>"),
		.rcpt_to = rcpt,
		.rcpt_count = 1,
		.sets = set_s1,
		.set_count = 1,
		.now = NOW };
}

static inline struct dkim2_seal_conf list(struct slice *rcpt)
{
	*rcpt = S("<bob@example.net>");
	return (struct dkim2_seal_conf){ .d = S("lists.example.org"),
		.mail_from = S("<list-bounces@lists.example.org>"),
		.rcpt_to = rcpt,
		.rcpt_count = 1,
		.sets = set_l1,
		.set_count = 1,
		.now = NOW + 60 };
}

/* The fields of the message that came, on top of another one. */
static inline struct slice under(struct slice came, const char *original, const char *now)
{
	size_t n = strlen(original);

	return join(slice_sub(came, 0, came.n > n ? came.n - n : 0), slice_str(now), SLICE_NONE);
}

/* What a message is, for a recipe back to it. */
static inline const struct content *content_of(struct slice message)
{
	struct content *c = ARENA_NEW(&arena, struct content);
	struct header *h = ARENA_NEW(&arena, struct header);
	struct slice *body = ARENA_NEW(&arena, struct slice);

	split(message, h, body);
	*c = (struct content){ .header = h, .body = body, .runs = 1 };
	return c;
}

/* What a hop needs to know that changed something. */
static inline void bodies(struct dkim2_seal_conf *conf, struct slice came, struct slice leaves)
{
	const struct content *now = content_of(leaves);

	conf->before = content_of(came);
	conf->body = now->body;
	conf->body_runs = 1;
}

static inline bool forge_left_out(struct slice name, const void *arg)
{
	(void)arg;
	return draft_unsigned(draft_of(9), name);
}

/* A Message-Instance for the content as it is, and no question asked. */
static inline struct slice forge_instance(struct slice message, unsigned m)
{
	unsigned char out[DIGEST_ALGS][DIGEST_OCTETS];
	struct header h;
	struct slice body, head, tail;

	split(message, &h, &body);
	assert_true(canon_header(&arena, &h, forge_left_out, NULL, 1U << DIGEST_SHA256, out));
	head = b64_text(&arena, slice_of(out[DIGEST_SHA256], 32));
	tail = b64_text(&arena, body_hash(body, DIGEST_SHA256));
	return join(arena_printf(&arena, "Message-Instance: m=%u; h=sha256:%.*s:%.*s;\r\n", m, SLICE_FMT(head), SLICE_FMT(tail)),
	    message, SLICE_NONE);
}

/* A seal with these tags, rightly signed, whatever they say. */
static inline struct slice forge_seal(struct slice message, unsigned i, const char *tags, const char *selector)
{
	struct slice top = arena_printf(&arena, "DKIM2-Signature: i=%u; %s; s=%s:ed25519-sha256:", i, tags, selector);
	unsigned char digest[32], out[SIGNATURE_OCTETS];
	struct header h;
	struct chain chain;
	struct input input;
	struct slice body, text;

	/* the value is blanked in its own input, so any will do for now */
	split(join(top, S("AAAA;\r\n"), message), &h, &body);
	assert_true(chain_read(&arena, draft_of(9), &h, false, &chain));
	assert_int_equal(chain.n, i);
	input_init(&input, &chain);
	assert_true(input_digest(&input, i - 1, digest));
	input_release(&input);
	text = b64_text(&arena, slice_of(out, sign_sha256(key_of(slice_str(selector)), digest, out)));
	return join(top, join(text, S(";\r\n"), SLICE_NONE), message);
}

static inline const struct dkim2_verdict *arrive(struct slice message, const struct dkim2_seal_conf *sent)
{
	struct dkim2_envelope *e = ARENA_NEW(&arena, struct dkim2_envelope);

	*e = (struct dkim2_envelope){ sent->mail_from, sent->rcpt_to, sent->rcpt_count };
	return vector_verify(&arena, message, e, sent->now + 30, 9, zone);
}

static inline void want_verdict(const struct dkim2_verdict *v, enum dkim2_state state, const char *reason)
{
	if (v->state != state || !slice_eq(v->reason, slice_str(reason)))
		fail_msg("wanted %s \"%s\", got %s \"%.*s\"", dkim2_state_name(state), reason, dkim2_state_name(v->state),
		    SLICE_FMT(v->reason));
}

static const char golden_instance[] =
    "Message-Instance: m=1; h=sha256:i0py6DxSgpCWRLaYLPkYnPew3s91zR2j7CcDHpq4EF4=:sLss2NT3VLLQ5EV+7ffnvMJ+SJQ08RGd4jnp4RFtEcc=;";
static const char golden_seal[] =
    "DKIM2-Signature: i=1; m=1; t=1795255200; d=example.com; mf=PGFsaWNlQGV4YW1wbGUuY29tPg==; rt=PGxpc3RAbGlzdHMuZXhhbXBsZS5vcmc+; "
    "s=s1:ed25519-sha256:jclxtHC7AcgVV/0Dirv1UxeVdNYmvtwT57iu3ill2gP7ZFZXFHPp/Rkrm22HW7YtgOGJAWlMmpiPZ9sELssFCw==;";

#endif
