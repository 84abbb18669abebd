/*
 * test.h - what every unit test includes. Tests speak TAP (CMOCKA_MESSAGE_OUTPUT is set by main).
 */
#ifndef TEST_H
#define TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/slice.h"

/* Shows wanted and got octets, not only that they differ. */
#define WANT_SLICE(got, want) want_slice(__FILE__, __LINE__, (got), (want))

static inline void want_slice(const char *file, int line, struct slice got, struct slice want)
{
	if (slice_eq(got, want))
		return;
	print_error("%s:%d: wanted %zu octets \"%.*s\"\n      got %zu octets \"%.*s\"\n", file, line, want.n,
	    SLICE_FMT(want), got.n, SLICE_FMT(got));
	fail();
}

#define RUN_TESTS(tests) (cmocka_set_message_output(CM_OUTPUT_TAP), cmocka_run_group_tests(tests, NULL, NULL))

#endif
