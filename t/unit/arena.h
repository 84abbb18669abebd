/*
 * arena.h - one arena for a test file, empty at the start of each test: cmocka_unit_test_setup_teardown(f, fresh_arena,
 * drop_arena).
 */
#ifndef ARENA_H
#define ARENA_H

#include "test.h"

#include "base/arena.h"

static struct arena arena;

static inline int fresh_arena(void **state)
{
	(void)state;
	arena_init(&arena, 1 << 26);
	return 0;
}

static inline int drop_arena(void **state)
{
	(void)state;
	arena_clear(&arena);
	return 0;
}

#endif
