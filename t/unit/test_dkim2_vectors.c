/* The DKIM2 suites of t/data: as each says at the level it was written for, and at others but for the rules that changed. */
#include "test.h"

#include "dkim2_cut.h"

static void generated_09(void **state)
{
	(void)state;
	assert_int_equal(run_suite("dkim2-generated09", 9), 0);
}

static void interop_06(void **state)
{
	(void)state;
	run_levels("dkim2-spec06-interop");
}

static void negative_06(void **state)
{
	(void)state;
	run_levels("dkim2-spec06-negative");
}

/* Older ones than any level there is: the rules that changed up to -06 stand in the table as well. */
static void spec_04(void **state)
{
	(void)state;
	run_levels("dkim2-spec04");
}

static void spec_02(void **state)
{
	(void)state;
	run_levels("dkim2-spec02");
}

static void however_they_arrive(void **state)
{
	(void)state;
	cut_suite("dkim2-generated09", 9);
	cut_suite("dkim2-spec06-interop", 6);
	cut_suite("dkim2-spec06-negative", 6);
	cut_suite("dkim2-spec04", 6);
	cut_suite("dkim2-spec02", 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(generated_09),
		cmocka_unit_test(interop_06),
		cmocka_unit_test(negative_06),
		cmocka_unit_test(spec_04),
		cmocka_unit_test(spec_02),
		cmocka_unit_test(however_they_arrive),
	};

	return RUN_TESTS(tests);
}
