/* The worst message there is: what a peer can make us spend, for each MiB it sends. */
#include <string.h>

#include "base/limits.h"
#include "dkim2.h"

static const char headers[] = "From: Alice <a@bench.test>\r\nTo: Bob <a@bench.test>\r\nSubject: Lunch\r\n"
                              "Message-ID: <1.2.3@bench.test>\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\n";

/*
 * Steps that keep the number of lines, so that recipes can follow each other: copies and literals turn by turn over the
 * first lines, then the rest. The places move with `turn`, or the runs of one state would be those of the next.
 */
static struct recipe *recipe_of(struct arena *a, size_t lines, size_t steps, size_t turn)
{
	struct recipe *r = ARENA_NEW(a, struct recipe);
	struct recipe_step *s = ARENA_ARRAY(a, steps + 1, struct recipe_step);
	struct slice *texts = ARENA_ARRAY(a, steps, struct slice);
	struct recipe_field *field = ARENA_NEW(a, struct recipe_field);
	struct recipe_step *subject = ARENA_NEW(a, struct recipe_step);
	struct slice *text = ARENA_NEW(a, struct slice);
	size_t each = lines / (steps / 2 + 1), at = 1, n = 0;

	MUST(each >= 2);
	while (n + 2 <= steps) {
		size_t keep = n == 0 ? each - 1 - turn % (each - 1) : each - 1;

		texts[n] = turn % 2 ? S("x") : S("");
		s[n++] = (struct recipe_step){ .from = at, .count = keep };
		s[n] = (struct recipe_step){ .texts = &texts[n - 1], .count = 1 };
		n++;
		at += keep + 1;
	}
	s[n++] = (struct recipe_step){ .from = at, .count = lines - at + 1 };
	*text = arena_printf(a, "Lunch %zu", turn);
	*subject = (struct recipe_step){ .texts = text, .count = 1 };
	*field = (struct recipe_field){ S("subject"), { subject, 1 } };
	*r = (struct recipe){ .fields = field, .field_count = 1, .has_body = true, .body = { s, n } };
	return r;
}

static void worst(const char *what, size_t octets, size_t instances, size_t steps, double goal)
{
	const struct recipe *recipes[LIMIT_INSTANCES];
	struct bench_message m;
	struct arena a;
	double ms = 1e9, mib;
	size_t before, extra;
	bool limit = false;

	arena_init(&a, SIZE_MAX);
	for (size_t k = 0; k + 1 < instances; k++)
		recipes[k] = recipe_of(&a, octets / 76, steps, k);
	m = bench_message_make(&a, slice_str(headers), bench_body(&a, octets, 4), recipes, instances, LIMIT_HOPS, 15, 4, true);
	mib = (double)(m.block.n + m.body.n) / 1048576;
	before = bench_peak_begin();
	for (int round = 0; round < 5; round++) {
		double once = bench_verify(&m, &limit);

		ms = once < ms ? once : ms;
	}
	extra = bench_peak(before);
	printf("%-44s %9.1f ms   %6.2f MiB, %5.1f of them header   %7.1f ms a MiB, goal %3.0f   %5.1f MiB memory, goal 64%s\n", what, ms, mib,
	    (double)m.block.n / 1048576, ms / mib, goal, (double)extra / 1048576, limit ? "   (refused as too much work)" : "");
	arena_clear(&a);
}

void bench_worst(void)
{
	const size_t ten = 138000 * 76, one = 13800 * 76;

	puts("50 hops of 8 signature sets with 4 keys, 4 hash sets of which 2 are known:");
	worst("  10 MiB, 8 instances, 100 steps each", ten, 8, 100, 40);
	worst("  10 MiB, 8 instances, 10000 steps each", ten, 8, 10000, 40);
	worst("  10 MiB, 50 instances, 100 steps each", ten, 50, 100, 250);
	worst("  10 MiB, 50 instances, 800 steps each", ten, 50, 800, 250);
	worst("  10 MiB, 50 instances, 10000 steps each", ten, 50, 10000, 250);
	worst("  1 MiB, 8 instances, 100 steps each", one, 8, 100, 40);
	worst("  1 MiB, 8 instances, 10000 steps each", one, 8, 10000, 40);
	worst("  1 MiB, 50 instances, 100 steps each", one, 50, 100, 250);
	worst("  1 MiB, 50 instances, 800 steps each", one, 50, 800, 250);
}
