/*
 * status.h - what runs, as the JSON object of proto/status.schema.json without its counters, which the control process adds.
 */
#ifndef DAEMON_STATUS_H
#define DAEMON_STATUS_H

#include "daemon/generation.h"

struct status_view {
	const char *file;
	int64_t now_ms, started_ms;
	const struct generation *newest; /* all living ones */
	const struct generation *serving;
	const struct process *control;
	const struct count_page *counts;
	int64_t reload_ms;       /* when the last one ended; 0: there was none */
	const char *reload_error; /* its first mistake; empty: it is in force */
};

/* To be freed; NULL: no memory. */
char *status_text(const struct status_view *s);

#endif
