/*
 * The PROXY header: octet by octet it ends as it does whole, decides within its limits, and never takes more than there is. A client
 * that was told is told on by a header that reads the same.
 */
#include "base/limits.h"
#include "fuzz.h"
#include "smtp/proxy.h"

static void told(const struct proxy_header *h)
{
	static const unsigned char server[16] = { [10] = 0xff, 0xff, 127, 0, 0, 1 };
	unsigned char out[PROXY_OUT];
	struct proxy_header again = { 0 };
	const char *why = NULL;
	size_t n = proxy_write(h->client, h->port, server, 25, out);

	WANT(n <= PROXY_OUT && proxy_read(slice_of(out, n), &again, &why) == PROXY_DONE);
	WANT(again.octets == n && again.given && again.port == h->port);
	WANT(memcmp(again.client, h->client, sizeof(again.client)) == 0);
}

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
	if (whole.given)
		told(&whole);
	return 0;
}
