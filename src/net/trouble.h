/*
 * trouble.h - what goes wrong many times a second, told when it begins, once a minute while it goes on, and when it is over.
 */
#ifndef NET_TROUBLE_H
#define NET_TROUBLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum { TROUBLE_MS = 60000 };

struct trouble {           /* zeroed: none */
	bool told;
	int64_t told_ms, last_ms;
	uint64_t count;    /* since it was told last */
};

/* It happened, to `name` (empty: left out). The line is `event` with name, note (NULL: left out) and how often it happened unsaid. */
void trouble_comes(struct trouble *t, const char *event, struct slice name, const char *note, int64_t now_ms);
/* All is well now: told when it was not, and nothing has happened for a minute. */
void trouble_goes(struct trouble *t, const char *event, int64_t now_ms);

#endif
