/*
 * bug.h - our own broken promise, never a peer's. Ends the process with where it was.
 */
#ifndef BASE_BUG_H
#define BASE_BUG_H

#include <stdlib.h>

#define BUG_ON(condition)                \
	do {                             \
		if (condition)           \
			abort();         \
	} while (0)

#endif
