/*
 * dkim2-bench - what DKIM2 costs beside what cannot be saved: hashing, copying, bare cryptography. Every figure is a ratio of two
 * that were taken in turns, each the least of several rounds, in CPU time.
 */
#include <string.h>

#include "auth/dkim2/make.h"
#include "auth/dkim2/undo.h"
#include "base/limits.h"
#include "crypt/sign.h"
#include "dkim2.h"

enum { ROUNDS = 15, BODY = 138000 * 76 /* 10 MiB, nearly */ };

static double least(double a, double b)
{
	return a < b ? a : b;
}

static void line(const char *what, double ms, const char *against, double bare, const char *goal)
{
	printf("%-44s %9.3f ms   %-34s %9.3f ms   ratio %5.2f  %s\n", what, ms, against, bare, ms / bare, goal);
}

/* ---- one hop, 10 KiB ---- */

static const char headers[] = "Received: from a.test by b.test; Sat, 21 Nov 2026 10:00:00 +0000\r\n"
                              "From: Alice <a@bench.test>\r\nTo: Bob <a@bench.test>\r\nSubject: Lunch, and what comes after it\r\n"
                              "Message-ID: <1.2.3@bench.test>\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\n"
                              "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n";

static void one_hop(size_t key, const char *what)
{
	enum { TIMES = 400 };
	double ours = 1e9, bare = 1e9, begin;
	unsigned char digest[DIGEST_OCTETS], signature[SIGNATURE_OCTETS];
	struct bench_message m;
	struct slice body, signed_octets;
	struct arena a;

	arena_init(&a, SIZE_MAX);
	body = bench_body(&a, 134 * 76, 1);
	m = bench_message_make(&a, slice_str(headers), body, NULL, 1, 1, 1U << key, 0, false);
	MUST(digest_once(DIGEST_SHA256, body, digest) == 32);
	signed_octets = slice_of(signature, sign_sha256(bench_keys[key].key, digest, signature));
	for (int round = 0; round < ROUNDS; round++) {
		double sum = 0;

		for (int i = 0; i < TIMES; i++)
			sum += bench_verify(&m, NULL);
		ours = least(ours, sum / TIMES);
		begin = bench_ms();
		for (int i = 0; i < TIMES; i++) {
			unsigned char out[DIGEST_OCTETS];

			MUST(digest_once(DIGEST_SHA256, m.body, out) == 32 && digest_once(DIGEST_SHA256, m.block, out) == 32);
			MUST(verify_sha256(bench_keys[key].rec->key, digest, signed_octets, NULL));
		}
		bare = least(bare, (bench_ms() - begin) / TIMES);
	}
	printf("%-44s %9.4f ms   %-34s %9.4f ms   %5.1f %%  goal 70 %%\n", what, ours, "verify and hash, bare", bare, 100 * bare / ours);
	arena_clear(&a);
}

/* ---- recipes ---- */

/* Turn by turn some lines that stay and one that was there before; `lines` in all. */
static struct recipe *steps_over(struct arena *a, size_t lines, size_t steps)
{
	struct recipe *r = ARENA_NEW(a, struct recipe);
	struct recipe_step *s = ARENA_ARRAY(a, steps, struct recipe_step);
	struct slice *text = ARENA_NEW(a, struct slice);
	size_t each = 2 * lines / steps;

	*text = S("a line that was there before");
	for (size_t i = 0; i < steps; i++) {
		if (i % 2)
			s[i] = (struct recipe_step){ .texts = text, .count = 1 };
		else
			s[i] = (struct recipe_step){ .from = i / 2 * each + 1, .count = each - 1 };
	}
	*r = (struct recipe){ .has_body = true, .body = { s, steps } };
	return r;
}

static double apply(const struct recipe *r, const struct header *h, struct slice body)
{
	const unsigned algs[2] = { 0, 1U << DIGEST_SHA256 };
	double begin = bench_ms();
	struct slice hash;
	struct arena a;
	struct undo *u;

	arena_init(&a, LIMIT_TX_ARENA);
	u = undo_new(&a, draft_of(9), h, &r, algs, 1, UINT64_MAX);
	MUST(u);
	for (size_t at = 0; at < body.n; at += 16384)
		undo_body(u, slice_sub(body, at, 16384));
	undo_end(u);
	MUST(undo_body_hash(u, 1, DIGEST_SHA256, &hash) == UNDO_DONE && hash.n == 32);
	undo_release(u);
	arena_clear(&a);
	return bench_ms() - begin;
}

static double hash_of(struct slice body)
{
	unsigned char out[DIGEST_OCTETS];
	double begin = bench_ms();

	MUST(digest_once(DIGEST_SHA256, body, out) == 32);
	return bench_ms() - begin;
}

static void applying(void)
{
	double ours = 1e9, bare = 1e9, ms[3] = { 1e9, 1e9, 1e9 };
	struct header none = { .n = 0 };
	struct arena a;
	struct slice body;
	unsigned char *to;
	const struct recipe *r;

	arena_init(&a, SIZE_MAX);
	body = bench_body(&a, BODY, 2);
	to = arena_take(&a, BODY);
	r = steps_over(&a, BODY / 76, 100);
	for (int round = 0; round < ROUNDS; round++) {
		double begin;

		ours = least(ours, apply(r, &none, body));
		begin = bench_ms();
		memcpy(to, body.at, body.n);
		bare = least(bare, bench_ms() - begin + hash_of(slice_of(to, body.n)));
	}
	line("100 steps applied to 10 MiB", ours, "memcpy and SHA-256", bare, "goal 2");
	for (size_t k = 0; k < 3; k++) {
		size_t octets = BODY / 4 * ((size_t)1 << k) / 76 * 76;
		const struct recipe *of = steps_over(&a, octets / 76, (size_t)1000 << k);

		for (int round = 0; round < ROUNDS; round++)
			ms[k] = least(ms[k], apply(of, &none, slice_sub(body, 0, octets)));
	}
	printf("%-44s %9.3f ms %9.3f ms %9.3f ms   ratios %5.2f %5.2f\n", "  n, 2n, 4n lines and steps", ms[0], ms[1], ms[2], ms[1] / ms[0], ms[2] / ms[1]);
	arena_clear(&a);
}

static double diff(struct slice before, struct slice now)
{
	double begin = bench_ms();
	struct make_work work = { 0 };
	struct recipe_steps steps;
	struct arena a;

	arena_init(&a, SIZE_MAX);
	MUST(make_body(&a, &before, 1, &now, 1, &steps, &work) == MAKE_DONE);
	arena_clear(&a);
	return bench_ms() - begin;
}

static void diffing(void)
{
	double ours = 1e9, bare = 1e9, ms[3] = { 1e9, 1e9, 1e9 };
	struct arena a;
	struct slice before, now;
	unsigned char *change;

	arena_init(&a, SIZE_MAX);
	before = bench_body(&a, BODY, 3);
	now = arena_copy(&a, before);
	change = (unsigned char *)now.at;
	change[BODY / 2 / 76 * 76] = '#';
	for (int round = 0; round < ROUNDS; round++) {
		ours = least(ours, diff(before, now));
		bare = least(bare, hash_of(before) + hash_of(now));
	}
	line("diff of 10 MiB, one line changed", ours, "SHA-256 of both", bare, "goal 3");
	for (size_t i = 0; i < BODY; i += (size_t)76 * 997)
		change[i] = '#';
	for (size_t k = 0; k < 3; k++) {
		size_t octets = BODY / 4 * ((size_t)1 << k) / 76 * 76;

		for (int round = 0; round < ROUNDS; round++)
			ms[k] = least(ms[k], diff(slice_sub(before, 0, octets), slice_sub(now, 0, octets)));
	}
	printf("%-44s %9.3f ms %9.3f ms %9.3f ms   ratios %5.2f %5.2f\n", "  n, 2n, 4n, every 997th line changed", ms[0], ms[1], ms[2], ms[1] / ms[0], ms[2] / ms[1]);
	arena_clear(&a);
}

/* Fields of one name, every tenth taken away; the recipe made, and undone. */
static double header_recipe(struct slice block)
{
	const unsigned algs[2] = { 0 };
	unsigned char hash[DIGEST_OCTETS];
	double begin = bench_ms();
	struct make_work work = { 0 };
	struct header before, now;
	struct fault f = { 0 };
	struct recipe r = { .field_count = 0 };
	const struct recipe *recipe = &r;
	struct arena a;
	struct undo *u;

	arena_init(&a, SIZE_MAX);
	MUST(header_parse(&a, block, 1000000, &before, &f));
	now = before;
	now.fields = ARENA_ARRAY(&a, before.n, struct field);
	now.n = 0;
	for (size_t i = 0; i < before.n; i++)
		if (i % 10)
			now.fields[now.n++] = before.fields[i];
	MUST(make_header(&a, draft_of(9), &before, &now, &r.fields, &r.field_count, &work) == MAKE_DONE);
	u = undo_new(&a, draft_of(9), &now, &recipe, algs, 1, UINT64_MAX);
	MUST(u && undo_header_hash(u, 1, DIGEST_SHA256, hash) == UNDO_DONE);
	undo_release(u);
	arena_clear(&a);
	return bench_ms() - begin;
}

static void headers_linear(void)
{
	double ms[3] = { 1e9, 1e9, 1e9 };
	struct buf block;

	buf_init(&block, SIZE_MAX / 2);
	for (size_t k = 0; k < 3; k++) {
		while (block.n < ((size_t)16000 << k) * 20)
			buf_str(&block, "Comments: identical\r\n");
		for (int round = 0; round < ROUNDS; round++)
			ms[k] = least(ms[k], header_recipe(buf_get(&block)));
	}
	buf_release(&block);
	printf("%-44s %9.3f ms %9.3f ms %9.3f ms   ratios %5.2f %5.2f\n", "header recipe, n, 2n, 4n equal fields", ms[0], ms[1], ms[2], ms[1] / ms[0], ms[2] / ms[1]);
}

int main(int argc, char **argv)
{
	bench_keys_make();
	if (argc > 1 && strcmp(argv[1], "worst") == 0) {
		bench_worst();
		return 0;
	}
	one_hop(2, "1 hop, Ed25519, 10 KiB verified");
	one_hop(0, "1 hop, RSA-2048, 10 KiB verified");
	applying();
	diffing();
	headers_linear();
	bench_worst();
	return 0;
}
