/*
 * mistake.h - mistakes in a configuration, all of them, a line each. Pure.
 */
#ifndef CONFIG_MISTAKE_H
#define CONFIG_MISTAKE_H

#include "base/buf.h"

/* "file:line: what, what was expected", LF-ended, in the order they were found. */
struct conf_errors {
	struct buf text;
	size_t n;
	size_t keys;         /* of them about files of private keys */
	struct buf warnings; /* "event file:line: what", LF-ended: what is no mistake yet */
};

void conf_errors_init(struct conf_errors *e);
void conf_errors_release(struct conf_errors *e);

/* where: "file:line". Control octets of what was written there become '?'. */
void conf_mistake(struct conf_errors *e, const char *where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Something to be told that forbids nothing; event: its name in the log. */
void conf_warning(struct conf_errors *e, const char *event, const char *where, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Takes the next one off *from; false: there is none. */
bool conf_warning_next(struct slice *from, struct slice *event_out, struct slice *where_out, struct slice *text_out);

#endif
