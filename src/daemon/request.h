/*
 * request.h - what hopsealctl may ask the queue process for (proto/control.md, "queue"). Octets come from whoever may write to the
 * control socket; what passes here has the shapes that queue_command() needs not look at again.
 */
#ifndef DAEMON_REQUEST_H
#define DAEMON_REQUEST_H

#include <jansson.h>

#include "base/slice.h"

/*
 * request_read - an object with "do", one of those known, and beside it only members that go with that, each of its type and range
 * Out:   a new reference, "limit" filled in where it may stand; NULL: *why_out says what is wrong, or there was no memory
 */
json_t *request_read(struct slice text, const char **why_out);

#endif
