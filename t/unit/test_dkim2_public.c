/* A DKIM2 suite that may not be copied into the tree: run where HOPSEAL_VECTORS says. */
#include "test.h"

#include "dkim2_suite.h"

/* Of -05; nothing it holds changed in -06. */
static void public_05(void **state)
{
	(void)state;
	run_suite("dkim2-spec05-public", 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(public_05),
	};
	char folder[500];

	if (!vector_folder("dkim2-spec05-public", folder, sizeof(folder))) {
		printf("1..0 # SKIP HOPSEAL_VECTORS names no folder that holds dkim2-spec05-public\n");
		return 0;
	}
	return RUN_TESTS(tests);
}
