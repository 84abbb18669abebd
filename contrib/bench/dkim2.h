/* dkim2.h - what the parts of dkim2-bench share: a clock, and sealed messages with any number of hops. */
#ifndef BENCH_DKIM2_H
#define BENCH_DKIM2_H

#include <stdio.h>
#include <stdlib.h>

#include "auth/dkim2/dkim2.h"
#include "auth/dkim2/recipe.h"

#define MUST(condition)                                                                           \
	do {                                                                                      \
		if (!(condition)) {                                                               \
			fprintf(stderr, "dkim2-bench: %s:%d: %s\n", __FILE__, __LINE__, #condition); \
			exit(70);                                                                 \
		}                                                                                 \
	} while (0)

enum { BENCH_KEYS = 4, BENCH_NOW = 1795255200 };

struct bench_key {
	struct key *key;
	struct keyrec *rec;
	const char *selector, *algorithm;
};
extern struct bench_key bench_keys[BENCH_KEYS]; /* two RSA-2048, two Ed25519 */

struct bench_message {
	struct slice block, body; /* header without the empty line */
	size_t hops, instances;
};

/* CPU time of this process, milliseconds. */
double bench_ms(void);
/* Octets of memory above what `before` said: most there was since then. */
size_t bench_peak_begin(void);
size_t bench_peak(size_t before);

void bench_keys_make(void);
/*
 * A message on its way: recipes[k] leads from the content as received to that of k + 1 instances before; each hop adds an
 * instance as long as there are any, with `hash_sets` of them, and signs with those keys (bits) and `unknown` sets more.
 */
struct bench_message bench_message_make(struct arena *a, struct slice block, struct slice body, const struct recipe *const *recipes,
    size_t instances, size_t hops, unsigned keys, unsigned unknown, bool all_hashes);
/*
 * CPU time of one verification, body in pieces of 16 KiB. The verdict must be pass and full; or, where limit_out is not NULL, that
 * undoing is too much work: then it is true.
 */
double bench_verify(const struct bench_message *m, bool *limit_out);

/* Lines of text, `salt` in each. */
struct slice bench_body(struct arena *a, size_t octets, unsigned salt);

void bench_worst(void);

#endif
