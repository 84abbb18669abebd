#include <malloc.h>
#include <string.h>
#include <time.h>

#include "auth/dkim2/input.h"
#include "auth/dkim2/undo.h"
#include "base/b64.h"
#include "base/limits.h"
#include "crypt/sign.h"
#include "dkim2.h"

struct bench_key bench_keys[BENCH_KEYS];

double bench_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static size_t status_kib(const char *name)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[200];
	size_t kib = 0;

	MUST(f);
	while (fgets(line, sizeof(line), f))
		if (strncmp(line, name, strlen(name)) == 0)
			kib = strtoul(line + strlen(name), NULL, 10);
	fclose(f);
	return kib;
}

size_t bench_peak_begin(void)
{
	FILE *f = fopen("/proc/self/clear_refs", "w");

	malloc_trim(0); /* what was freed before must not serve unseen */
	if (f) {
		fputs("5", f); /* the peak starts anew, see proc(5) */
		fclose(f);
	}
	return status_kib("VmRSS:") * 1024;
}

size_t bench_peak(size_t before)
{
	size_t peak = status_kib("VmHWM:") * 1024;

	return peak > before ? peak - before : 0;
}

void bench_keys_make(void)
{
	static const char *const selectors[BENCH_KEYS] = { "r1", "r2", "e1", "e2" };
	struct arena a;

	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < BENCH_KEYS; i++) {
		struct bench_key *k = &bench_keys[i];
		struct slice text;

		k->selector = selectors[i];
		k->algorithm = i < 2 ? "rsa-sha256" : "ed25519-sha256";
		k->key = key_generate(i < 2 ? KEY_RSA : KEY_ED25519, 2048);
		MUST(k->key);
		text = keyrec_text(&a, k->key);
		k->rec = keyrec_new(DNS_OK, &text, 1, false);
		MUST(k->rec && k->rec->state == KEYREC_OK);
	}
	arena_clear(&a);
}

struct slice bench_body(struct arena *a, size_t octets, unsigned salt)
{
	unsigned char *at = arena_take(a, octets);
	char number[40];

	MUST(at && octets % 76 == 0);
	for (size_t i = 0; i < octets; i += 76) {
		memcpy(at + i, "00000000 0000000000 of a text that somebody wrote and others pass on as is\r\n", 76);
		snprintf(number, sizeof(number), "%08x %010zu", salt, i / 76);
		memcpy(at + i, number, 19);
	}
	return slice_of(at, octets);
}

static struct header parse(struct arena *a, struct slice block)
{
	struct header h;
	struct fault f = { 0 };

	MUST(header_parse(a, block, 1000000, &h, &f));
	return h;
}

/* Base64 in lines, as a field has it. */
static void folded(struct buf *out, struct slice octets)
{
	struct buf text;

	buf_init(&text, SIZE_MAX / 2);
	b64_encode(&text, octets);
	for (size_t at = 0; at < text.n; at += 72) {
		if (at)
			buf_str(out, "\r\n ");
		buf_slice(out, slice_sub(buf_get(&text), at, 72));
	}
	buf_release(&text);
}

static void write_instance(struct buf *out, struct undo *u, size_t m, size_t instances, const struct recipe *recipe, struct slice body, bool all)
{
	static const char *const names[DIGEST_ALGS] = { "sha256", "sha512" };
	struct buf json;

	buf_printf(out, "Message-Instance: m=%zu; h=", m);
	for (unsigned alg = 0; alg < (all ? DIGEST_ALGS : 1U); alg++) {
		struct canon_body *c = canon_body_new(1U << alg);
		unsigned char hash[DIGEST_OCTETS];
		struct slice body_hash = SLICE_NONE;
		enum undo_result result = undo_body_hash(u, instances - m, (enum digest_alg)alg, &body_hash);

		MUST(undo_header_hash(u, instances - m, (enum digest_alg)alg, hash) == UNDO_DONE);
		MUST(result == UNDO_DONE || result == UNDO_LIMIT); /* then any hash will do */
		canon_body_add(c, body);
		canon_body_end(c);
		if (!body_hash.n)
			body_hash = canon_body_digest(c, (enum digest_alg)alg);
		buf_printf(out, "%s%s:", alg ? ",\r\n " : "", names[alg]);
		folded(out, slice_of(hash, body_hash.n));
		buf_str(out, ":\r\n ");
		folded(out, body_hash);
		canon_body_free(&c);
	}
	if (all)
		buf_str(out, "|other1:AAAA:AAAA|other2:AAAA:AAAA");
	if (recipe) {
		buf_init(&json, SIZE_MAX / 2);
		recipe_write(recipe, &json);
		buf_str(out, ";\r\n r=");
		folded(out, buf_get(&json));
		buf_release(&json);
	}
	buf_str(out, ";\r\n");
}

/* Put in front of `rest`; signed twice: once to see the digest, then for good. */
static void write_seal(struct buf *out, struct slice rest, size_t i, size_t m, unsigned keys, unsigned unknown)
{
	unsigned char digest[32], signature[SIGNATURE_OCTETS];
	struct arena own;

	arena_init(&own, SIZE_MAX);
	for (int round = 0; round < 2; round++) {
		const char *comma = "";

		buf_clear(out);
		buf_printf(out, "DKIM2-Signature: i=%zu; m=%zu; t=%zu; d=bench.test; mf=PGFAYmVuY2gudGVzdD4=;\r\n rt=PGFAYmVuY2gudGVzdD4=; s=", i, m,
		    (size_t)BENCH_NOW + i);
		for (size_t k = 0; k < BENCH_KEYS; k++) {
			if (!(keys & 1U << k))
				continue;
			buf_printf(out, "%s%s:%s:", comma, bench_keys[k].selector, bench_keys[k].algorithm);
			folded(out, round ? slice_of(signature, sign_sha256(bench_keys[k].key, digest, signature)) : S("abc"));
			comma = ",\r\n ";
		}
		for (unsigned k = 0; k < unknown; k++)
			buf_printf(out, "|\r\n x%u:other:AAAA", k);
		buf_str(out, ";\r\n");
		buf_slice(out, rest);
		if (round == 0) {
			struct header h = parse(&own, buf_get(out));
			struct input input;
			struct chain c;

			MUST(chain_read(&own, draft_of(9), &h, false, &c) && !c.broken);
			input_init(&input, &c);
			MUST(input_digest(&input, i - 1, digest));
			input_release(&input);
		}
	}
	arena_clear(&own);
}

struct bench_message bench_message_make(struct arena *a, struct slice block, struct slice body, const struct recipe *const *recipes,
    size_t instances, size_t hops, unsigned keys, unsigned unknown, bool all_hashes)
{
	unsigned algs[LIMIT_INSTANCES + 1];
	struct header h = parse(a, block);
	struct buf seals, whole;
	struct undo *u;
	struct slice now = block;

	for (size_t k = 0; k <= LIMIT_INSTANCES; k++)
		algs[k] = (1U << DIGEST_ALGS) - 1;
	u = undo_new(a, draft_of(9), &h, recipes, algs, instances - 1, UINT64_MAX);
	MUST(u);
	undo_body(u, body);
	undo_end(u);
	buf_init(&seals, SIZE_MAX / 2);
	buf_init(&whole, SIZE_MAX / 2);
	for (size_t i = 1; i <= hops; i++) {
		size_t m = i < instances ? i : instances;

		buf_clear(&whole);
		if (i <= instances)
			write_instance(&whole, u, m, instances, m > 1 ? recipes[instances - m] : NULL, body, all_hashes);
		buf_slice(&whole, now);
		write_seal(&seals, buf_get(&whole), i, m, keys, unknown);
		now = arena_copy(a, buf_get(&seals));
	}
	buf_release(&seals);
	buf_release(&whole);
	undo_release(u);
	return (struct bench_message){ now, body, hops, instances };
}

static struct keyrec *rec_of(struct slice name)
{
	for (size_t k = 0; k < BENCH_KEYS; k++)
		if (slice_starts(name, slice_str(bench_keys[k].selector)))
			return bench_keys[k].rec;
	return NULL;
}

double bench_verify(const struct bench_message *m, bool *limit_out)
{
	static const struct slice path = { (const unsigned char *)"<a@bench.test>", 14 };
	const struct dkim2_envelope envelope = { path, &path, 1 };
	const struct dkim2_clock clock = { BENCH_NOW + 100, 300 };
	const struct dkim2_verdict *verdict;
	struct dkim2_verify *v;
	const struct slice *names;
	struct canon_body *c;
	struct header h;
	struct arena a;
	size_t asks;
	double begin = bench_ms();

	arena_init(&a, LIMIT_TX_ARENA);
	h = parse(&a, m->block);
	v = dkim2_verify_new(&a, &h, &envelope, clock, 9);
	MUST(v);
	dkim2_verify_ceiling(v, UINT64_MAX);
	asks = dkim2_verify_asks(v, &names);
	for (size_t i = 0; i < asks; i++)
		dkim2_verify_answer(v, i, rec_of(names[i]));
	c = canon_body_new(dkim2_verify_digests(v));
	for (size_t at = 0; at < m->body.n; at += 16384) {
		canon_body_add(c, slice_sub(m->body, at, 16384));
		dkim2_verify_octets(v, slice_sub(m->body, at, 16384));
	}
	canon_body_end(c);
	dkim2_verify_body(v, c);
	canon_body_free(&c);
	verdict = dkim2_verify_verdict(v);
	if (limit_out)
		*limit_out = verdict->about == DKIM2_ABOUT_WORK;
	if (verdict->about == DKIM2_ABOUT_WORK && limit_out) {
		MUST(verdict->state == DKIM2_PERMERROR);
	} else if (verdict->state != DKIM2_PASS || verdict->level != DKIM2_FULL || verdict->instance_count != m->instances) {
		fprintf(stderr, "dkim2-bench: %s %.*s (%.*s)\n", dkim2_state_name(verdict->state), SLICE_FMT(verdict->reason), SLICE_FMT(verdict->detail));
		exit(70);
	}
	dkim2_verify_release(v);
	arena_clear(&a);
	return bench_ms() - begin;
}
