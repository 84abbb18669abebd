#include "daemon/request.h"

#include <string.h>

#include "base/limits.h"

enum {
	ID_OCTETS = 32,      /* as spool/format.h has it */
	CURSOR_OCTETS = 64,
	NAME_OCTETS = 4352,  /* of a destination: a domain, or a list of LIMIT_ROUTE next hops */
};

/* What may stand beside "do". */
enum {
	HAS_ID = 1,
	HAS_WHICH = 2,       /* one of: ids, all, destination where HAS_DESTINATION */
	HAS_DESTINATION = 4,
	HAS_AFTER = 8,
	HAS_LIMIT = 16,
	HAS_AT = 32,
};

static const struct verb {
	const char *name;
	unsigned has;
} verbs[] = {
	{ "list", HAS_AFTER | HAS_LIMIT },
	{ "show", HAS_ID | HAS_AFTER | HAS_LIMIT },
	{ "content", HAS_ID | HAS_AT },
	{ "flush", HAS_WHICH | HAS_DESTINATION },
	{ "hold", HAS_WHICH | HAS_AFTER | HAS_LIMIT },
	{ "release", HAS_WHICH | HAS_AFTER | HAS_LIMIT },
	{ "remove", HAS_WHICH | HAS_AFTER | HAS_LIMIT },
	{ "destinations", HAS_LIMIT },
};

static bool is_text(const json_t *value, size_t most)
{
	size_t n = json_is_string(value) ? json_string_length(value) : 0;

	return n >= 1 && n <= most;
}

static bool is_id(const json_t *value)
{
	return is_text(value, ID_OCTETS) &&
	    strspn(json_string_value(value), "0123456789abcdefghijklmnopqrstuvwxyz") == json_string_length(value);
}

static bool is_ids(const json_t *value)
{
	size_t n = json_array_size(value);

	for (size_t i = 0; i < n; i++)
		if (!is_id(json_array_get(value, i)))
			return false;
	return n >= 1 && n <= LIMIT_QUEUE_PAGE;
}

/* Is it a member of that name that may stand there? *which counts what says of which messages it is. */
static bool member_fits(const char *name, const json_t *value, unsigned has, unsigned *which)
{
	if (strcmp(name, "do") == 0)
		return true;
	if (strcmp(name, "id") == 0)
		return has & HAS_ID && is_id(value);
	if (strcmp(name, "after") == 0)
		return has & HAS_AFTER && is_text(value, CURSOR_OCTETS);
	if (strcmp(name, "limit") == 0)
		return has & HAS_LIMIT && json_integer_value(value) >= 1 && json_integer_value(value) <= LIMIT_QUEUE_PAGE;
	if (strcmp(name, "at") == 0)
		return has & HAS_AT && json_is_integer(value) && json_integer_value(value) >= 0;
	++*which;
	if (strcmp(name, "ids") == 0)
		return has & HAS_WHICH && is_ids(value);
	if (strcmp(name, "all") == 0)
		return has & HAS_WHICH && json_is_true(value);
	return strcmp(name, "destination") == 0 && has & HAS_DESTINATION && is_text(value, NAME_OCTETS);
}

static const struct verb *verb_find(const json_t *request)
{
	const char *name = json_string_value(json_object_get(request, "do"));

	for (size_t i = 0; name && i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(name, verbs[i].name) == 0)
			return &verbs[i];
	return NULL;
}

static const char *request_wrong(json_t *request)
{
	const struct verb *verb = verb_find(request);
	unsigned which = 0;
	const char *name;
	json_t *value;

	if (!verb)
		return "unknown request to the queue process";
	json_object_foreach(request, name, value)
		if (!member_fits(name, value, verb->has, &which))
			return "request to the queue process with a member that does not fit";
	if (which != (verb->has & HAS_WHICH ? 1 : 0) || (verb->has & HAS_ID && !json_object_get(request, "id")))
		return "request to the queue process that does not say for which messages";
	if (verb->has & HAS_LIMIT && !json_object_get(request, "limit") &&
	    json_object_set_new(request, "limit", json_integer(LIMIT_QUEUE_PAGE)) < 0)
		return "no memory";
	return NULL;
}

json_t *request_read(struct slice text, const char **why_out)
{
	json_t *request = json_loadb((const char *)text.at, text.n, JSON_REJECT_DUPLICATES, NULL);
	const char *why = request ? request_wrong(request) : "request to the queue process that is no JSON object";

	if (!why)
		return request;
	json_decref(request);
	*why_out = why;
	return NULL;
}
