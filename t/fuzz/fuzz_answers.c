/* The offline DNS file: any octets are refused with a line that says why, or answer what is asked. */
#include "config/answers.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	static const char *const names[] = { "a.test", "A.TEST.", "b.test", "..", "" };
	const struct slice *records;
	struct answers *a;
	struct buf error;
	bool secure;
	size_t count;

	buf_init(&error, SIZE_MAX / 2);
	a = answers_new(slice_of(at, n), &error);
	WANT((a == NULL) == (error.n > 0));
	WANT(a || error.at[error.n - 1] == '\n');
	for (size_t i = 0; a && i < sizeof(names) / sizeof(names[0]); i++)
		for (int type = 0; type < ANSWERS_TYPES; type++) {
			enum dns_status status = answers_find(a, slice_str(names[i]), (enum answers_type)type, &records, &count, &secure);

			WANT((status == DNS_OK) == (count > 0));
		}
	answers_free(&a);
	buf_release(&error);
	return 0;
}
