/*
 * The PROXY header: octet by octet it ends as it does whole, decides within its limits, and never takes more than there is.
 */
#include "base/limits.h"
#include "fuzz.h"
#include "smtp/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	struct proxy_header whole = { 0 }, part = { 0 };
	const char *why = NULL;
	enum proxy_status end = proxy_read(slice_of(at, n), &whole, &why), got = PROXY_MORE;
	size_t came = 0;

	WANT(end != PROXY_MORE || n < LIMIT_PROXY_V2);
	WANT(end != PROXY_BAD || why);
	while (got == PROXY_MORE && came < n)
		got = proxy_read(slice_of(at, ++came), &part, &why);
	WANT(n == 0 || got == end);
	if (end != PROXY_DONE)
		return 0;
	WANT(whole.octets <= n && came == whole.octets && part.octets == whole.octets && part.given == whole.given);
	WANT(part.port == whole.port && memcmp(part.client, whole.client, sizeof(part.client)) == 0);
	return 0;
}
