/*
 * auth-bench - what judging a message by all mechanisms costs beside what cannot be saved: one hash of each canonical form of its body,
 * its header once, and bare cryptography. The answers of the DNS are at hand, as from a worker's cache. CPU time, the least of several rounds.
 */
#include <string.h>

#include "auth/engines.h"
#include "auth/fieldhash.h"
#include "base/ip.h"
#include "crypt/sign.h"
#include "dkim2.h"
#include "mail/from.h"

enum { ROUNDS = 15, TIMES = 200, ZONE = 16 };

static const char headers[] = "Received: from a.test by b.test; Sat, 21 Nov 2026 10:00:00 +0000\r\n"
                              "From: Alice <a@bench.test>\r\nTo: Bob <a@bench.test>\r\nSubject: Lunch, and what comes after it\r\n"
                              "Message-ID: <1.2.3@bench.test>\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\n"
                              "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n";

static const struct slice path = { (const unsigned char *)"<a@bench.test>", 14 };

/* What the cache has: made at the first question. */
static struct zone_row {
	enum dnsrec_type type;
	struct slice name;
	struct dnsrec *rec;
} zone[ZONE];
static size_t zone_count;

static struct dnsrec *found(enum dnsrec_type type, struct slice name)
{
	static const struct {
		const char *name, *text;
	} texts[] = {
		{ "bench.test", "v=spf1 include:_spf.bench.test -all" },
		{ "_spf.bench.test", "v=spf1 ip4:198.51.100.0/24 ip4:203.0.113.0/24 ip4:192.0.2.0/24 -all" },
		{ "_dmarc.bench.test", "v=DMARC1; p=reject; rua=mailto:d@bench.test" },
	};
	struct slice text = SLICE_NONE;
	struct arena a;

	for (size_t i = 0; i < zone_count; i++)
		if (zone[i].type == type && slice_eq(zone[i].name, name))
			return zone[i].rec;
	MUST(zone_count < ZONE);
	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (slice_eq(name, slice_str(texts[i].name)))
			text = slice_str(texts[i].text);
	for (size_t k = 0; type == DNSREC_KEY && k < BENCH_KEYS; k++)
		if (slice_starts(name, slice_str(bench_keys[k].selector)))
			text = keyrec_text(&a, bench_keys[k].key);
	zone[zone_count] = (struct zone_row){ .type = type, .name = slice_of(memcpy(malloc(name.n), name.at, name.n), name.n),
		.rec = dnsrec_new(type, text.n ? DNS_OK : DNS_NXDOMAIN, &text, text.n != 0, false) };
	MUST(zone[zone_count].rec);
	arena_clear(&a);
	return zone[zone_count++].rec;
}

static struct engines *judge(struct arena *a, struct slice block, struct slice body, unsigned run)
{
	static const struct dkim2_envelope envelope = { { (const unsigned char *)"<a@bench.test>", 14 }, &path, 1 };
	struct engines_terms terms = { .run = run, .now = BENCH_NOW + 100, .envelope = &envelope, .draft = 9, .future_s = 300, .signatures_max = 10,
		.client_known = true, .helo = S("mx.bench.test"), .mail_from = S("a@bench.test"), .hostname = S("mx.c.test"), .explain = true };
	struct header *h = ARENA_NEW(a, struct header);
	enum dnsrec_type type;
	struct slice name, *from;
	struct fault f = { 0 };
	struct engines *e;
	size_t index;

	MUST(ip_parse(S("192.0.2.1"), terms.client) && header_parse(a, block, 1000, h, &f));
	terms.from_single = from_domains(a, h, &from, &terms.from_count);
	terms.from = from;
	e = engines_new(a, h, &terms);
	MUST(e);
	for (size_t at = 0; at < body.n; at += 16384)
		engines_body(e, slice_sub(body, at, 16384));
	engines_body_end(e);
	while (!engines_step(e))
		while (asks_next(engines_asks(e), &index, &type, &name))
			asks_answer(engines_asks(e), index, found(type, name));
	return e;
}

static struct slice on_top(struct arena *a, struct slice field, struct slice block)
{
	unsigned char *p = arena_take(a, field.n + block.n);

	MUST(p && field.n);
	memcpy(p, field.at, field.n);
	memcpy(p + field.n, block.at, block.n);
	return slice_of(p, field.n + block.n);
}

static struct header parsed(struct arena *a, struct slice block)
{
	struct fault f = { 0 };
	struct header h;

	MUST(header_parse(a, block, 1000, &h, &f));
	return h;
}

static struct slice with_dkim(struct arena *a, struct slice block, struct slice relaxed)
{
	struct dkim_sign_conf conf = { .d = S("bench.test"), .selector = S("r1"), .type = KEY_RSA, .body_sha256 = relaxed, .now = BENCH_NOW };
	unsigned char signature[SIGNATURE_OCTETS];
	struct header *h = ARENA_NEW(a, struct header);
	struct fault f = { 0 };
	struct dkim_sign *s;

	*h = parsed(a, block);
	s = dkim_sign_new(a, h, field_index_new(a, h), &conf, &f);
	MUST(s);
	return on_top(a, dkim_sign_field(s, slice_of(signature, sign_sha256(bench_keys[0].key, dkim_sign_digest(s), signature))), block);
}

static struct slice with_arc(struct arena *a, struct slice block, struct slice body, struct slice relaxed)
{
	struct arc_seal_conf conf = { .d = S("bench.test"), .selector = S("r2"), .type = KEY_RSA,
		.authres = S("mx.bench.test; dkim=pass header.d=bench.test; spf=pass smtp.mailfrom=a@bench.test; dmarc=pass header.from=bench.test"),
		.body_sha256 = relaxed, .now = BENCH_NOW };
	struct engines *e = judge(a, block, body, ENGINE_ARC);
	struct header *h = ARENA_NEW(a, struct header);
	unsigned char signature[SIGNATURE_OCTETS];
	const unsigned char *digest;
	struct fault f = { 0 };
	struct arc_seal *s;

	*h = parsed(a, block);
	s = arc_seal_new(a, h, field_index_new(a, h), engines_findings(e)->arc, &conf, &f);
	MUST(s);
	while ((digest = arc_seal_digest(s)))
		MUST(arc_seal_answer(s, slice_of(signature, sign_sha256(bench_keys[1].key, digest, signature))));
	engines_release(e);
	return on_top(a, arc_seal_fields(s), block);
}

static void want_all_pass(const struct findings *f)
{
	MUST(f->dkim2->state == DKIM2_PASS && f->dkim2->hop_count == 2);
	MUST(f->dkim->state == DKIM_PASS && f->arc->state == ARC_PASS && f->arc->n == 2);
	MUST(f->spf->state == SPF_PASS && f->dmarc->state == DMARC_PASS);
}

/* CPU time of one message, judged by `run`. */
static double ours(struct slice block, struct slice body, unsigned run)
{
	double best = 1e9;

	for (int round = 0; round < ROUNDS; round++) {
		double begin = bench_ms();

		for (int i = 0; i < TIMES; i++) {
			struct engines *e;
			struct arena a;

			arena_init(&a, 1 << 26);
			e = judge(&a, block, body, run);
			if (run == ENGINES_ALL)
				want_all_pass(engines_findings(e));
			engines_release(e);
			arena_clear(&a);
		}
		begin = (bench_ms() - begin) / TIMES;
		best = begin < best ? begin : best;
	}
	return best;
}

/* The body hashed once a form, the header once, and so many signatures of each key. */
static double bare(struct slice block, struct slice body, unsigned forms, unsigned rsa, unsigned ed25519)
{
	unsigned char digest[DIGEST_OCTETS], out[DIGEST_OCTETS], signatures[2][SIGNATURE_OCTETS];
	struct slice signed_rsa, signed_ed25519;
	double best = 1e9;

	MUST(digest_once(DIGEST_SHA256, body, digest) == 32);
	signed_rsa = slice_of(signatures[0], sign_sha256(bench_keys[0].key, digest, signatures[0]));
	signed_ed25519 = slice_of(signatures[1], sign_sha256(bench_keys[2].key, digest, signatures[1]));
	for (int round = 0; round < ROUNDS; round++) {
		double begin = bench_ms();

		for (int i = 0; i < TIMES; i++) {
			for (unsigned k = 0; k < forms; k++)
				MUST(digest_once(DIGEST_SHA256, body, out) == 32);
			MUST(digest_once(DIGEST_SHA256, block, out) == 32);
			for (unsigned k = 0; k < rsa; k++)
				MUST(verify_sha256(bench_keys[0].rec->key, digest, signed_rsa, NULL));
			for (unsigned k = 0; k < ed25519; k++)
				MUST(verify_sha256(bench_keys[2].rec->key, digest, signed_ed25519, NULL));
		}
		begin = (bench_ms() - begin) / TIMES;
		best = begin < best ? begin : best;
	}
	return best;
}

static void line(const char *what, double ms, double floor)
{
	printf("%-52s %8.4f ms   bare %8.4f ms   ratio %5.2f\n", what, ms, floor, ms / floor);
}

int main(void)
{
	struct slice body, block, relaxed;
	struct canon_body *c = canon_body_new(0);
	struct arena a;
	int handle = canon_body_want(c, CANON_RELAXED, DIGEST_SHA256, CANON_WHOLE);

	arena_init(&a, SIZE_MAX);
	bench_keys_make();
	body = bench_body(&a, 134 * 76, 1);
	canon_body_add(c, body);
	canon_body_end(c);
	relaxed = canon_body_got(c, handle);
	block = with_dkim(&a, slice_str(headers), relaxed);
	line("DKIM RSA-2048, 10 KiB", ours(block, body, ENGINE_DKIM), bare(block, body, 1, 1, 0));
	line("the same with SPF and DMARC", ours(block, body, ENGINE_DMARC), bare(block, body, 1, 1, 0));
	block = with_arc(&a, with_arc(&a, block, body, relaxed), body, relaxed);
	line("two ARC sets", ours(block, body, ENGINE_ARC), bare(block, body, 1, 4, 0));
	block = bench_message_make(&a, block, body, NULL, 1, 2, 1U << 2, 0, false).block;
	line("all: DKIM, two ARC sets, SPF, DMARC, two DKIM2 hops", ours(block, body, ENGINES_ALL), bare(block, body, 2, 5, 2));
	canon_body_free(&c);
	arena_clear(&a);
	return 0;
}
