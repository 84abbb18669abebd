/* How many reports go to one address and to one domain, and when (LIMIT_REPORTS_...). */
#include "arena.h"

#include "base/limits.h"
#include "queue/flood.h"

static const uint64_t seed[2] = { 20261121, 7 };
static struct flood *flood;

enum {
	STEP_MS = 60000 / LIMIT_REPORTS_MINUTE,
	DOMAIN_STEP_MS = 60000 / LIMIT_REPORTS_DOMAIN_MINUTE,
	AHEAD_MS = LIMIT_REPORTS_AHEAD_S * 1000,
	NOW = 5000
};

static int set_up(void **state)
{
	flood = flood_new(seed);
	return fresh_arena(state) || !flood;
}

static int tear_down(void **state)
{
	flood_free(&flood);
	assert_null(flood);
	flood_free(&flood);
	return drop_arena(state);
}

static void a_burst_and_then_a_pace(void **state)
{
	(void)state;
	for (int k = 0; k < LIMIT_REPORTS_BURST; k++)
		assert_int_equal(flood_due_ms(flood, S("<s@a.test>"), NOW), NOW);
	for (int k = 1; k < 500; k++)
		assert_int_equal(flood_due_ms(flood, S("<s@a.test>"), NOW), NOW + k * STEP_MS);
	/* a neighbour does not wait for that */
	assert_int_equal(flood_due_ms(flood, S("<q@a.test>"), NOW), NOW);
	assert_int_equal(flood_due_ms(flood, S("<s@b.test>"), NOW), NOW);
}

static void is_forgiven(void **state)
{
	int64_t now = NOW;

	(void)state;
	for (int k = 0; k < LIMIT_REPORTS_BURST + 60; k++)
		(void)flood_due_ms(flood, S("<s@a.test>"), now);
	now += 60 * STEP_MS; /* those that waited have gone */
	assert_int_equal(flood_due_ms(flood, S("<s@a.test>"), now), now + STEP_MS);
	now += 10 * STEP_MS;
	for (int k = 0; k < 9; k++)
		assert_int_equal(flood_due_ms(flood, S("<s@a.test>"), now), now);
	assert_int_equal(flood_due_ms(flood, S("<s@a.test>"), now), now + STEP_MS);
	now += 1000 * STEP_MS;
	for (int k = 0; k < LIMIT_REPORTS_BURST; k++)
		assert_int_equal(flood_due_ms(flood, S("<s@a.test>"), now), now);
	assert_int_equal(flood_due_ms(flood, S("<s@a.test>"), now), now + STEP_MS);
}

static void one_mailbox_however_it_is_written(void **state)
{
	static const char *const names[] = { "<s@a.test>", "<s@A.TEST>", "<\"s\"@a.test>", "<@relay.test:s@a.test>" };

	(void)state;
	for (int k = 0; k < LIMIT_REPORTS_BURST; k++)
		assert_int_equal(flood_due_ms(flood, slice_str(names[k % 4]), NOW), NOW);
	for (int k = 0; k < 4; k++)
		assert_int_equal(flood_due_ms(flood, slice_str(names[k]), NOW), NOW + (k + 1) * STEP_MS);
	assert_int_equal(flood_due_ms(flood, S("<S@a.test>"), NOW), NOW); /* local parts are their host's to compare */
}

static void a_domain_of_many(void **state)
{
	int64_t now = NOW;

	(void)state;
	for (int k = 0; k < LIMIT_REPORTS_DOMAIN_BURST; k++)
		assert_int_equal(flood_due_ms(flood, arena_printf(&arena, "<s%d@%s>", k, k % 2 ? "a.test" : "A.test"), now), now);
	for (int k = 1; k < 100; k++)
		assert_int_equal(flood_due_ms(flood, arena_printf(&arena, "<t%d@a.test>", k), now), now + k * DOMAIN_STEP_MS);
	assert_int_equal(flood_due_ms(flood, S("<s@x.a.test>"), now), now);
	assert_int_equal(flood_due_ms(flood, S("<postmaster>"), now), now);
}

/* What is full lets nobody wait longer, and takes more as time goes by. */
static void a_day_is_full(void **state)
{
	struct slice s = S("<s@a.test>");
	int64_t now = NOW, due = NOW, was = 0;
	long n = 0;

	(void)state;
	while (!flood_full(flood, s, now)) {
		assert_int_equal(flood_due_ms(flood, S("<q@else.test>"), now + n * STEP_MS), now + n * STEP_MS);
		due = flood_due_ms(flood, s, now);
		assert_true(due >= was);
		was = due;
		n++;
	}
	assert_int_equal(n, LIMIT_REPORTS_BURST + AHEAD_MS / STEP_MS);
	assert_int_equal(due, now + AHEAD_MS);
	assert_false(flood_full(flood, S("<q@else.test>"), now + n * STEP_MS));
	/* such as are in the spool all the same are not counted */
	for (int k = 0; k < 100; k++)
		assert_int_equal(flood_due_ms(flood, s, now), now + AHEAD_MS);
	now += STEP_MS;
	assert_false(flood_full(flood, s, now));
	assert_int_equal(flood_due_ms(flood, s, now), now + AHEAD_MS);
	assert_true(flood_full(flood, s, now));
}

static void asking_counts_nothing(void **state)
{
	(void)state;
	for (int k = 0; k < 10 * LIMIT_REPORTS_BURST; k++)
		assert_false(flood_full(flood, S("<s@a.test>"), NOW));
	for (int k = 0; k < LIMIT_REPORTS_BURST; k++)
		assert_int_equal(flood_due_ms(flood, S("<s@a.test>"), NOW), NOW);
}

/* The table is bounded: strangers do not make it forget who is in the middle of a flood. */
static void strangers_do_not_hide_a_flood(void **state)
{
	(void)state;
	for (int k = 0; k < LIMIT_REPORTS_BURST + 100; k++)
		(void)flood_due_ms(flood, S("<s@a.test>"), NOW);
	for (int k = 0; k < 100000; k++) {
		char path[64];
		int n = snprintf(path, sizeof(path), "<s@%d.test>", k);

		assert_int_equal(flood_due_ms(flood, slice_of(path, (size_t)n), NOW), NOW);
	}
	assert_int_equal(flood_due_ms(flood, S("<s@a.test>"), NOW), NOW + 101 * STEP_MS);
}

/* At any time, whatever comes when: so many at once, and as many more as steps have gone by. */
static void never_more_than_that(void **state)
{
	enum { N = 4000 };
	static int64_t due[N];
	int64_t now = NOW;
	uint32_t dice = 11;

	(void)state;
	for (int k = 0; k < N; k++) {
		dice = dice * 1664525U + 1013904223U;
		if (dice >> 28 == 0)
			now += (dice >> 8) % 40000;
		due[k] = flood_due_ms(flood, S("<s@a.test>"), now);
		assert_true(due[k] >= now && (k == 0 || due[k] >= due[k - 1]));
	}
	for (int k = LIMIT_REPORTS_BURST; k < N; k++)
		for (int back = LIMIT_REPORTS_BURST; back <= k; back += 97)
			assert_true(due[k] - due[k - back] >= (int64_t)(back - LIMIT_REPORTS_BURST + 1) * STEP_MS - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_burst_and_then_a_pace, set_up, tear_down),
		cmocka_unit_test_setup_teardown(is_forgiven, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_mailbox_however_it_is_written, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_domain_of_many, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_day_is_full, set_up, tear_down),
		cmocka_unit_test_setup_teardown(asking_counts_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(strangers_do_not_hide_a_flood, set_up, tear_down),
		cmocka_unit_test_setup_teardown(never_more_than_that, set_up, tear_down),
	};

	return RUN_TESTS(tests);
}
