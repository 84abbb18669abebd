/*
 * arc_world.h - keys, a zone and messages for the tests of auth/arc; and a second hand that writes sets, right or wrong, which shares no
 * line with the engine. Included once by each of them.
 */
#ifndef ARC_WORLD_H
#define ARC_WORLD_H

#include "arena.h"
#include "auth/arc/arc.h"
#include "base/b64.h"
#include "crypt/sign.h"
#include "zone.h"

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))
#define NOW 1795255200

enum { ED, RSA, KEYS };

static struct key *keys[KEYS];
static struct answers *zone;

static const char post[] = "From: Alice <alice@a.test>\r\nTo: list@b.test\r\nSubject: Lunch\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\n"
                           "Message-ID: <1@a.test>\r\nDKIM-Signature: v=1; d=a.test; b=\r\n\r\nHello  there\r\nWorld\r\n";

static inline int make_world(void **state)
{
	static const unsigned char der[16] = { 0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20 };
	unsigned char file[48] = { 0 };

	(void)state;
	memcpy(file, der, sizeof(der));
	file[47] = 1;
	keys[ED] = key_private(slice_of(file, sizeof(file)));
	keys[RSA] = key_generate(KEY_RSA, 2048);
	return !keys[ED] || !keys[RSA];
}

static inline int end_world(void **state)
{
	(void)state;
	for (size_t k = 0; k < KEYS; k++)
		key_drop(&keys[k]);
	return 0;
}

static inline int end_test(void **state)
{
	answers_free(&zone);
	return drop_arena(state);
}

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
	size_t seen = 0, block = message.n, at = message.n;
	struct fault f = { 0 };

	header_end(message, &seen, &block, &at);
	assert_true(header_parse(&arena, slice_sub(message, 0, block), 10000, h, &f));
	*body = slice_sub(message, at, SIZE_MAX);
}

/* Of so many octets of the relaxed form, CANON_WHOLE: of all. */
static inline struct slice body_hash(struct slice body, uint64_t octets)
{
	struct canon_body *c = canon_body_new(0);
	int hash = canon_body_want(c, CANON_RELAXED, DIGEST_SHA256, octets);
	struct slice out;

	canon_body_add(c, body);
	canon_body_end(c);
	out = arena_copy(&arena, canon_body_got(c, hash));
	canon_body_free(&c);
	return out;
}

/* Keys of both kinds, under the selectors "ed" and "rsa", of these domains and no others. */
static inline void zone_holds(const char *const *domains, size_t n)
{
	static const char *const selectors[KEYS] = { "ed", "rsa" };
	struct buf json;

	buf_init(&json, 1 << 20);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < KEYS; k++) {
			struct slice text = keyrec_text(&arena, keys[k]);

			buf_printf(&json, "%s\"%s._domainkey.%s\": [\"%.*s\"]", json.n ? ", " : "{", selectors[k], domains[i], SLICE_FMT(text));
		}
	buf_printf(&json, "}%c", 0);
	assert_false(buf_failed(&json));
	answers_free(&zone);
	zone = zone_new((const char *)json.at);
	buf_release(&json);
}

/* ---- the engine ---- */

struct judged {
	const struct arc_verdict *v;
	size_t questions, rounds;
};

/* `most`: octets of the body at a time, 0: whole. */
static inline struct judged judge_cut(struct slice message, int64_t now, size_t most)
{
	struct asks *asks = asks_new(&arena, 300);
	struct header *h = ARENA_NEW(&arena, struct header);
	struct canon_body *c;
	struct judged j = { 0 };
	struct slice body;
	struct arc *arc;

	split(message, h, &body);
	arc = arc_new(&arena, asks, h, field_index_new(&arena, h), now);
	assert_non_null(arc);
	c = canon_body_new(0);
	arc_body_wants(arc, c);
	while (body.n) {
		struct slice piece = slice_sub(body, 0, most ? most : SIZE_MAX);

		canon_body_add(c, piece);
		body = slice_sub(body, piece.n, SIZE_MAX);
	}
	canon_body_end(c);
	while (!arc_step(arc, c)) {
		assert_true(zone_answer(zone, &arena, asks) > 0);
		assert_true(++j.rounds < 3);
	}
	j.v = arc_verdict(arc);
	j.questions = asks_count(asks);
	arc_release(arc);
	canon_body_free(&c);
	asks_release(asks);
	return j;
}

static inline const struct arc_verdict *judge(struct slice message)
{
	return judge_cut(message, NOW, 0).v;
}

/* The message with our set on top; empty: refused. */
static inline struct slice seal_with(struct slice message, const struct arc_verdict *came, const struct arc_seal_conf *conf, const struct key *key,
    struct slice *fields_out, struct fault *f)
{
	struct header *h = ARENA_NEW(&arena, struct header);
	struct arc_seal_conf *full = ARENA_NEW(&arena, struct arc_seal_conf);
	const unsigned char *digest;
	struct arc_seal *s;
	struct slice body;

	split(message, h, &body);
	*full = *conf;
	full->body_sha256 = body_hash(body, CANON_WHOLE);
	s = arc_seal_new(&arena, h, field_index_new(&arena, h), came, full, f);
	if (!s)
		return SLICE_NONE;
	assert_int_equal(arc_seal_fields(s).n, 0);
	for (unsigned n = 0; (digest = arc_seal_digest(s)); n++) {
		unsigned char out[SIGNATURE_OCTETS];
		size_t octets = sign_sha256(key, digest, out);

		assert_true(n < 2 && octets);
		assert_true(arc_seal_answer(s, slice_of(out, octets)));
	}
	*fields_out = arc_seal_fields(s);
	return join(*fields_out, message, SLICE_NONE);
}

/* Our set over what the engine says of the message. */
static inline struct slice seal(struct slice message, const char *d, unsigned which)
{
	struct arc_seal_conf conf = { .d = slice_str(d), .selector = which == ED ? S("ed") : S("rsa"), .type = which == ED ? KEY_ED25519 : KEY_RSA,
		.authres = arena_printf(&arena, "mx.%s; spf=pass smtp.mailfrom=a.test; dkim=pass (2048 bit) header.d=a.test", d), .now = NOW };
	struct slice fields, out;
	struct fault f = { 0 };

	out = seal_with(message, judge(message), &conf, keys[which], &fields, &f);
	if (!out.n)
		fail_msg("not sealed: %s", f.text);
	return out;
}

/* ---- the second hand ---- */

struct forged {
	const char *i;         /* as written; NULL: no i= */
	const char *d;         /* default a.test */
	const char *ams_d;     /* default d */
	unsigned which;        /* of the keys */
	const char *cv;        /* as written; NULL: no cv= */
	const char *seal_tags; /* further ones, "h=from; " */
	const char *ams_tags;  /* likewise */
	const char *ams_l;     /* l=, and the hash is of as much; NULL: no l= */
	const char *ams_h;     /* default From:To:Subject */
	const char *ams_c;     /* default relaxed/relaxed; the signature is made as if it were */
	const char *aar;       /* whole value; default one that fits */
	const char *drop;      /* name of a field that is left out, "ARC-Seal" */
};

static inline bool blank_octet(unsigned char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* RFC 6376 3.4.2, with its CRLF. */
static inline struct slice relaxed(struct slice raw)
{
	unsigned char *p = arena_take(&arena, raw.n + 3);
	size_t n = 0, i = 0, begin;

	for (; raw.at[i] != ':'; i++)
		if (!blank_octet(raw.at[i]))
			p[n++] = ascii_lower(raw.at[i]);
	p[n++] = ':';
	begin = n;
	for (i++; i < raw.n; i++) {
		if (!blank_octet(raw.at[i]))
			p[n++] = raw.at[i];
		else if (n > begin && p[n - 1] != ' ')
			p[n++] = ' ';
	}
	n -= n > begin && p[n - 1] == ' ';
	p[n++] = '\r';
	p[n++] = '\n';
	return slice_of(p, n);
}

/* The fields an h= names, then the field itself. */
static inline struct slice forged_input(const struct header *h, const char *names, struct slice own)
{
	struct slice left = slice_str(names), name, out = SLICE_NONE;
	size_t *used = ARENA_ARRAY(&arena, h->n, size_t);
	bool more;

	do {
		more = slice_cut(&left, ':', &name);
		for (size_t k = h->n; k-- > 0;) {
			if (used[k] || !slice_ieq(h->fields[k].name, slice_trim(name)))
				continue;
			used[k] = 1;
			out = join(out, relaxed(h->fields[k].raw), SLICE_NONE);
			break;
		}
	} while (more);
	own = relaxed(own);
	return join(out, slice_sub(own, 0, own.n - 2), SLICE_NONE);
}

/* Puts the signature over the octets where the field has "b=". */
static inline struct slice forged_signed(struct slice field, struct slice octets, unsigned which)
{
	unsigned char digest[DIGEST_OCTETS], out[SIGNATURE_OCTETS];
	size_t at = 0;

	digest_once(DIGEST_SHA256, octets, digest);
	while (!slice_starts(slice_sub(field, at, SIZE_MAX), S(" b=;")))
		at++;
	return join(slice_sub(field, 0, at + 3), b64_text(&arena, slice_of(out, sign_sha256(keys[which], digest, out))),
	    slice_sub(field, at + 3, SIZE_MAX));
}

static inline struct slice forged_tag(const char *name, const char *value)
{
	return value && value[0] ? arena_printf(&arena, " %s=%s;", name, value) : SLICE_NONE;
}

/* The message with one more set on top, whatever is wrong with it signed as if it were right. */
static __attribute__((noinline, unused)) struct slice forge(struct slice message, const struct forged *f)
{
	const char *d = f->d ? f->d : "a.test", *names = f->ams_h ? f->ams_h : "From:To:Subject", *a = f->which == ED ? "ed25519" : "rsa",
	           *s = f->which == ED ? "ed" : "rsa";
	struct slice body, aar, ams, as, hash, i = forged_tag("i", f->i);
	struct buf chain;
	struct header *h = ARENA_NEW(&arena, struct header);

	split(message, h, &body);
	hash = b64_text(&arena, body_hash(body, f->ams_l ? strtoull(f->ams_l, NULL, 10) : CANON_WHOLE));
	aar = f->aar ? arena_printf(&arena, "ARC-Authentication-Results: %s\r\n", f->aar) :
	               arena_printf(&arena, "ARC-Authentication-Results:%.*s mx.%s; spf=none\r\n", SLICE_FMT(i), d);
	ams = arena_printf(&arena, "ARC-Message-Signature:%.*s%.*s %sa=%s-sha256; d=%s; s=%s; c=%s;\r\n h=%s; bh=%.*s; b=;\r\n", SLICE_FMT(i),
	    SLICE_FMT(forged_tag("l", f->ams_l)), f->ams_tags ? f->ams_tags : "", a, f->ams_d ? f->ams_d : d, s, f->ams_c ? f->ams_c : "relaxed/relaxed", names, SLICE_FMT(hash));
	ams = forged_signed(ams, forged_input(h, names, ams), f->which);
	as = arena_printf(&arena, "ARC-Seal:%.*s %sa=%s-sha256; d=%s; s=%s;%.*s b=;\r\n", SLICE_FMT(i), f->seal_tags ? f->seal_tags : "", a, d, s,
	    SLICE_FMT(forged_tag("cv", f->cv)));
	buf_init(&chain, 1 << 24);
	for (size_t k = h->n; k-- > 0;)
		if (slice_istarts(h->fields[k].name, S("ARC-")))
			buf_slice(&chain, relaxed(h->fields[k].raw));
	buf_slice(&chain, relaxed(aar));
	buf_slice(&chain, relaxed(ams));
	buf_slice(&chain, slice_sub(relaxed(as), 0, relaxed(as).n - 2));
	as = forged_signed(as, buf_get(&chain), f->which);
	buf_release(&chain);
	if (f->drop && strcmp(f->drop, "ARC-Seal") == 0)
		as = SLICE_NONE;
	else if (f->drop && strcmp(f->drop, "ARC-Message-Signature") == 0)
		ams = SLICE_NONE;
	else if (f->drop)
		aar = SLICE_NONE;
	return join(join(as, ams, aar), message, SLICE_NONE);
}

#endif
