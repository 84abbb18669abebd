/*
 * control.h - one question to a running daemon (proto/control.md), for the verbs that ask it.
 */
#ifndef CTL_CONTROL_H
#define CTL_CONTROL_H

#include "ctl/ctl.h"

struct control {
	const char *file; /* of the configuration, which names run.dir */
	const char *path; /* of the socket, NULL: by file */
	bool json;
};

/* What every such verb takes. */
#define CONTROL_OPTIONS                                                                                                             \
	{ "config", required_argument, NULL, 'c' }, { "control", required_argument, NULL, CONTROL_PATH }, { "json", no_argument, NULL, CONTROL_JSON }
enum { CONTROL_PATH = 1, CONTROL_JSON, CONTROL_OWN /* the first that is the verb's own */ };
/* True: it was one of them. */
bool control_option(struct control *o, int option);

/* The answer to a request that ends in LF; NULL: complained, and *code_out is the exit code. */
json_t *control_ask(const struct control *o, const char *request, int *code_out);
/* What the daemon refused to do, complained of; CTL_DONE: nothing. */
int control_refused(const json_t *answer, const char *verb);

/* Of an answer; "?" and 0 where it is not there. */
const char *control_text(const json_t *object, const char *key);
long long control_number(const json_t *object, const char *key);

#endif
