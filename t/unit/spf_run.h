/*
 * spf_run.h - an SPF check from its first question to its verdict, answered by whoever runs the test.
 */
#ifndef SPF_RUN_H
#define SPF_RUN_H

#include "auth/spf/spf.h"
#include "base/ip.h"

/* One holder. */
typedef struct dnsrec *spf_answer(const void *zone, struct arena *a, enum dnsrec_type type, struct slice name);

/* Which of the open questions are answered before the check goes on. */
enum spf_order { SPF_ALL_AT_ONCE, SPF_OLDEST_FIRST, SPF_NEWEST_FIRST, SPF_ORDERS };

struct spf_run {
	const struct spf_verdict *verdict;
	size_t questions;
	size_t waits; /* times the check stood still: at once, round trips */
};

enum { SPF_OPEN_QUESTIONS = 256 };

static inline struct spf_run spf_run(struct arena *a, struct asks *q, const struct spf_terms *terms, enum spf_order order,
    spf_answer *answer, const void *zone)
{
	size_t open[SPF_OPEN_QUESTIONS], n = 0;
	enum dnsrec_type types[SPF_OPEN_QUESTIONS];
	struct slice names[SPF_OPEN_QUESTIONS];
	struct spf *s = spf_new(a, q, terms);
	struct spf_run run = { 0 };

	assert_non_null(s);
	while (!spf_step(s)) {
		while (n < SPF_OPEN_QUESTIONS && asks_next(q, &open[n], &types[n], &names[n]))
			n++;
		if (n == 0)
			fail_msg("waits for no answer");
		for (size_t left = order == SPF_ALL_AT_ONCE ? n : 1; left > 0; left--) {
			size_t i = order == SPF_OLDEST_FIRST ? 0 : n - 1;
			struct dnsrec *rec = answer(zone, a, types[i], names[i]);

			assert_non_null(rec);
			asks_answer(q, open[i], rec);
			dnsrec_drop(&rec);
			n--;
			memmove(open + i, open + i + 1, (n - i) * sizeof(open[0]));
			memmove(types + i, types + i + 1, (n - i) * sizeof(types[0]));
			memmove(names + i, names + i + 1, (n - i) * sizeof(names[0]));
		}
		run.waits++;
	}
	run.verdict = spf_verdict(s);
	run.questions = asks_count(q);
	return run;
}

/* The same verdict, whichever answer came first? */
static inline void spf_same(const char *name, const struct spf_verdict *a, const struct spf_verdict *b)
{
	if (a->state != b->state || a->scope != b->scope || a->lookups != b->lookups || a->voids != b->voids)
		fail_msg("%s: %s after %u lookups and %u void ones in one order, %s after %u and %u in another", name, spf_state_name(a->state),
		    a->lookups, a->voids, spf_state_name(b->state), b->lookups, b->voids);
	WANT_SLICE(b->domain, a->domain);
	WANT_SLICE(b->mechanism, a->mechanism);
	WANT_SLICE(b->explanation, a->explanation);
	WANT_SLICE(b->reason, a->reason);
}

static inline void spf_client(struct spf_terms *terms, const char *address)
{
	if (!ip_parse(slice_str(address), terms->client))
		fail_msg("%s is no address", address);
}

#endif
