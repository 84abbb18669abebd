/* All mechanisms on one message: what is asked when, in which order answers may come, and what is said when they do not. */
#include "arena.h"
#include "zone.h"

#include "auth/engines.h"
#include "auth/fieldhash.h"
#include "base/ip.h"
#include "crypt/sign.h"
#include "mail/from.h"

enum { NOW = 1790812800 };

static struct key *key;
static struct answers *zone;
static char message[4096];

#define TEXT "From: s@a.test\r\nTo: r@c.test\r\nSubject: t\r\nDate: Thu, 01 Oct 2026 00:00:00 +0000\r\n\r\nhello  \t there \r\n\r\n"

static struct header *header_of(struct slice whole, struct slice *body_out)
{
	struct header *h = ARENA_NEW(&arena, struct header);
	struct fault f = { 0 };
	size_t seen = 0, block, body;

	assert_true(header_end(whole, &seen, &block, &body));
	assert_true(header_parse(&arena, slice_sub(whole, 0, block), 1000, h, &f));
	*body_out = slice_sub(whole, body, SIZE_MAX);
	return h;
}

/* The message signed by d= a.test, and the zone that knows the key. */
static int make(void **state)
{
	unsigned char signature[SIGNATURE_OCTETS];
	struct slice body, field, record;
	struct canon_body *c = canon_body_new(0);
	int relaxed = canon_body_want(c, CANON_RELAXED, DIGEST_SHA256, CANON_WHOLE);
	struct dkim_sign_conf conf = { .d = S("a.test"), .selector = S("s"), .type = KEY_ED25519, .now = NOW };
	struct fault f = { 0 };
	struct header *h;
	struct dkim_sign *s;
	char json[4096];

	(void)state;
	arena_init(&arena, 1 << 20);
	key = key_generate(KEY_ED25519, 0);
	h = header_of(S(TEXT), &body);
	canon_body_add(c, body);
	canon_body_end(c);
	conf.body_sha256 = canon_body_got(c, relaxed);
	s = dkim_sign_new(&arena, h, field_index_new(&arena, h), &conf, &f);
	assert_non_null(s);
	field = dkim_sign_field(s, slice_of(signature, sign_sha256(key, dkim_sign_digest(s), signature)));
	snprintf(message, sizeof(message), "%.*s" TEXT, SLICE_FMT(field));
	record = keyrec_text(&arena, key);
	snprintf(json, sizeof(json),
	    "{\"s._domainkey.a.test\": [\"%.*s\"], \"a.test\": [\"v=spf1 include:spf.a.test -all\"], \"spf.a.test\": [\"v=spf1 ip4:192.0.2.1 -all\"],"
	    " \"mx.a.test\": [\"v=spf1 a -all\"], \"_dmarc.a.test\": [\"v=DMARC1; p=reject\"]}",
	    SLICE_FMT(record));
	zone = zone_new(json);
	canon_body_free(&c);
	arena_clear(&arena);
	return 0;
}

static int unmake(void **state)
{
	(void)state;
	answers_free(&zone);
	key_drop(&key);
	return 0;
}

static struct engines *start(unsigned run, const char *text, const char *client)
{
	struct engines_terms terms = { .run = run, .now = NOW, .draft = 9, .future_s = 300, .signatures_max = 10, .helo = S("mx.a.test"),
		.mail_from = S("s@a.test"), .hostname = S("mx.c.test"), .explain = true };
	struct slice body, *from;
	struct header *h = header_of(slice_str(text), &body);
	struct engines *e;

	terms.client_known = client && ip_parse(slice_str(client), terms.client);
	terms.from_single = from_domains(&arena, h, &from, &terms.from_count);
	terms.from = from;
	e = engines_new(&arena, h, &terms);
	assert_non_null(e);
	engines_body(e, body);
	return e;
}

static void finish(struct engines *e)
{
	engines_body_end(e);
	while (!engines_step(e))
		assert_true(zone_answer(zone, &arena, engines_asks(e)) > 0);
}

static void all_of_it_passes(void **state)
{
	struct engines *e = start(ENGINES_ALL, message, "192.0.2.1");
	const struct findings *f = engines_findings(e);

	(void)state;
	finish(e);
	assert_int_equal(f->dkim2->state, DKIM2_NONE);
	assert_int_equal(f->dkim->state, DKIM_PASS);
	assert_int_equal(f->arc->state, ARC_NONE);
	assert_int_equal(f->spf->state, SPF_PASS);
	assert_int_equal(f->spf_helo->state, SPF_FAIL); /* it has no address */
	assert_int_equal(f->dmarc->state, DMARC_PASS);
	assert_true(f->dmarc->dkim_aligned && f->dmarc->spf_aligned);
	engines_release(e);
}

/* A key, SPF of both identities, and the DMARC walk: before anybody has had an answer. */
static void what_is_known_to_be_needed_is_asked_at_once(void **state)
{
	static const char *const wanted[] = { "s._domainkey.a.test", "a.test", "mx.a.test", "_dmarc.a.test", "_dmarc.test" };
	struct engines *e = start(ENGINES_ALL, message, "192.0.2.1");
	enum dnsrec_type type;
	struct slice name;
	size_t index, n = 0;

	(void)state;
	while (asks_next(engines_asks(e), &index, &type, &name)) {
		assert_true(n < sizeof(wanted) / sizeof(wanted[0]));
		WANT_SLICE(name, slice_str(wanted[n]));
		n++;
	}
	assert_int_equal(n, sizeof(wanted) / sizeof(wanted[0]));
	engines_release(e);
}

static void without_a_client_there_is_no_spf(void **state)
{
	struct engines *e = start(ENGINES_ALL, message, NULL);

	(void)state;
	finish(e);
	assert_null(engines_findings(e)->spf);
	assert_int_equal(engines_findings(e)->dmarc->state, DMARC_PASS);
	assert_false(engines_findings(e)->dmarc->spf_aligned);
	engines_release(e);
}

static void only_what_is_wanted_runs(void **state)
{
	static const struct {
		unsigned run;
		bool dkim2, dkim, arc, spf, dmarc;
	} rows[] = {
		{ ENGINE_DKIM2, true, false, false, false, false },
		{ ENGINE_DKIM, false, true, false, false, false },
		{ ENGINE_ARC, false, false, true, false, false },
		{ ENGINE_SPF, false, false, false, true, false },
		{ ENGINE_DMARC, false, true, false, true, true },
		{ 0, false, false, false, false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct engines *e = start(rows[i].run, message, "192.0.2.1");
		const struct findings *f = engines_findings(e);

		finish(e);
		assert_int_equal(f->dkim2 != NULL, rows[i].dkim2);
		assert_int_equal(f->dkim != NULL, rows[i].dkim);
		assert_int_equal(f->arc != NULL, rows[i].arc);
		assert_int_equal(f->spf != NULL, rows[i].spf);
		assert_int_equal(f->dmarc != NULL, rows[i].dmarc);
		engines_release(e);
	}
}

/* Time is over with some of the answers there: what hangs on one that is missing is a temperror, and nothing fails. */
static void silence_is_a_temperror_and_nothing_else(void **state)
{
	(void)state;
	for (unsigned answered = 0; answered < 1u << 6; answered++) {
		struct engines *e = start(ENGINES_ALL, message, "192.0.2.1");
		const struct findings *f = engines_findings(e);
		struct asks *q = engines_asks(e);
		bool key_there = false;
		enum dnsrec_type type;
		struct slice name;
		size_t index, n = 0;

		engines_body_end(e);
		while (!engines_step(e)) {
			bool any = false;

			for (; asks_next(q, &index, &type, &name); n++) {
				struct dnsrec *rec = answers_rec(zone, &arena, name, type);

				assert_non_null(rec);
				if (n < 6 && answered & 1u << n) {
					asks_answer(q, index, rec);
					key_there |= type == DNSREC_KEY;
					any = true;
				}
				dnsrec_drop(&rec);
			}
			if (!any)
				asks_give_up(q);
		}
		assert_int_equal(f->dkim->state, key_there ? DKIM_PASS : DKIM_TEMPERROR);
		assert_true(f->spf->state == SPF_PASS || f->spf->state == SPF_TEMPERROR);
		assert_true(f->dmarc->state == DMARC_PASS || f->dmarc->state == DMARC_TEMPERROR);
		assert_int_equal(f->dkim2->state, DKIM2_NONE);
		engines_release(e);
		arena_clear(&arena);
	}
}

/* One answer at a time, in any order: the same verdicts, and each name asked once. */
static void the_order_of_answers_changes_nothing(void **state)
{
	uint64_t seed = 1;

	(void)state;
	for (int round = 0; round < 500; round++) {
		struct engines *e = start(ENGINES_ALL, message, round & 1 ? "192.0.2.1" : "192.0.2.2");
		const struct findings *f = engines_findings(e);
		struct asks *q = engines_asks(e);
		struct {
			size_t index;
			enum dnsrec_type type;
			struct slice name;
		} open[64];
		size_t n = 0;

		engines_body_end(e);
		while (!engines_step(e)) {
			struct dnsrec *rec;
			size_t at;

			while (n < 64 && asks_next(q, &open[n].index, &open[n].type, &open[n].name))
				n++;
			assert_true(n > 0);
			seed = seed * 6364136223846793005U + 1442695040888963407U;
			at = (size_t)(seed >> 33) % n;
			rec = answers_rec(zone, &arena, open[at].name, open[at].type);
			asks_answer(q, open[at].index, rec);
			dnsrec_drop(&rec);
			open[at] = open[--n];
		}
		assert_int_equal(f->dkim->state, DKIM_PASS);
		assert_int_equal(f->spf->state, round & 1 ? SPF_PASS : SPF_FAIL);
		assert_int_equal(f->dmarc->state, DMARC_PASS);
		assert_true(asks_count(q) <= 7);
		engines_release(e);
		arena_clear(&arena);
	}
}

/* A stranger's signature whose key is out of reach does not make a temperror of what DMARC would refuse. */
static void a_strangers_silence_softens_nothing(void **state)
{
	char text[4096];
	struct engines *e;
	const struct findings *f;
	struct asks *q;
	enum dnsrec_type type;
	struct slice name;
	size_t index;

	(void)state;
	snprintf(text, sizeof(text), "DKIM-Signature: v=1; a=ed25519-sha256; d=evil.test; s=s; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;"
	    " b=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==\r\n" TEXT);
	e = start(ENGINES_ALL, text, "192.0.2.66");
	f = engines_findings(e);
	q = engines_asks(e);
	engines_body_end(e);
	while (!engines_step(e))
		while (asks_next(q, &index, &type, &name)) {
			struct dnsrec *rec = slice_ends(name, S("evil.test")) ? dnsrec_new(type, DNS_SERVFAIL, NULL, 0, false) :
			    answers_rec(zone, &arena, name, type);

			asks_answer(q, index, rec);
			dnsrec_drop(&rec);
		}
	assert_int_equal(f->dkim->state, DKIM_TEMPERROR);
	assert_int_equal(f->dmarc->state, DMARC_FAIL);
	engines_release(e);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh_arena, drop_arena)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(all_of_it_passes),
		TEST(what_is_known_to_be_needed_is_asked_at_once),
		TEST(without_a_client_there_is_no_spf),
		TEST(only_what_is_wanted_runs),
		TEST(silence_is_a_temperror_and_nothing_else),
		TEST(the_order_of_answers_changes_nothing),
		TEST(a_strangers_silence_softens_nothing),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make, unmake);
}
