/* Requests to the queue process: what goes through has the shapes that the engine relies on. */
#include <string.h>

#include "base/limits.h"
#include "daemon/request.h"
#include "fuzz.h"

static void id_good(const json_t *id)
{
	size_t n = json_string_length(id);

	WANT(json_is_string(id) && n >= 1 && n <= 32 && strlen(json_string_value(id)) == n);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	const char *why = NULL;
	json_t *request = request_read(slice_of(at, n), &why), *value;
	size_t i;

	WANT((request == NULL) == (why != NULL));
	if (!request)
		return 0;
	WANT(json_is_object(request) && json_is_string(json_object_get(request, "do")));
	if ((value = json_object_get(request, "id")) != NULL)
		id_good(value);
	if ((value = json_object_get(request, "limit")) != NULL)
		WANT(json_integer_value(value) >= 1 && json_integer_value(value) <= LIMIT_QUEUE_PAGE);
	if ((value = json_object_get(request, "at")) != NULL)
		WANT(json_is_integer(value) && json_integer_value(value) >= 0);
	if ((value = json_object_get(request, "ids")) != NULL) {
		const json_t *id;

		WANT(json_array_size(value) >= 1 && json_array_size(value) <= LIMIT_QUEUE_PAGE);
		json_array_foreach(value, i, id)
			id_good(id);
	}
	json_decref(request);
	return 0;
}
