/* The DKIM2 suites of t/data. */
#include "test.h"

#include "dkim2_suite.h"

static void generated_09(void **state)
{
	(void)state;
	run_suite("dkim2-generated09", 9);
}

static void interop_06(void **state)
{
	(void)state;
	run_suite("dkim2-spec06-interop", 6);
}

static void negative_06(void **state)
{
	(void)state;
	run_suite("dkim2-spec06-negative", 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(generated_09),
		cmocka_unit_test(interop_06),
		cmocka_unit_test(negative_06),
	};

	return RUN_TESTS(tests);
}
