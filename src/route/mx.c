#include <stdlib.h>

#include "base/limits.h"
#include "base/map.h"
#include "mail/domain.h"
#include "route/mx.h"

struct host {
	unsigned preference;
	uint64_t lot; /* of the name, so that it stands beside itself if it is there twice */
	struct slice name;
};

static int host_cmp(const void *x, const void *y)
{
	const struct host *a = x, *b = y;

	if (a->preference != b->preference)
		return a->preference < b->preference ? -1 : 1;
	if (a->lot != b->lot)
		return a->lot < b->lot ? -1 : 1;
	return slice_cmp(a->name, b->name);
}

/* RFC 952, RFC 1123 2.1: no hyphen at either end of a label, and the last label is no number, or it is an address. */
static bool can_be_host(struct slice name)
{
	struct slice label;
	size_t digits = 0;
	bool more = true;

	if (!domain_valid(name))
		return false;
	while (more) {
		more = slice_cut(&name, '.', &label);
		if (label.at[0] == '-' || label.at[label.n - 1] == '-')
			return false;
	}
	while (digits < label.n && ascii_digit(label.at[digits]))
		digits++;
	return digits < label.n;
}

static bool ours(struct slice name, const struct slice *self, size_t self_count)
{
	if (domain_follows(name, S("localhost")))
		return true;
	for (size_t i = 0; i < self_count; i++)
		if (slice_eq(name, self[i]))
			return true;
	return false;
}

static bool have(const struct mx_hosts *hosts, struct slice name)
{
	for (size_t i = 0; i < hosts->n; i++)
		if (slice_eq(hosts->hosts[i], name))
			return true;
	return false;
}

/* The best of them, in their order; a name that stands twice counts by its better preference. */
static bool take_best(struct arena *a, const struct host *hosts, size_t n, struct mx_hosts *out)
{
	out->hosts = ARENA_ARRAY(a, n < LIMIT_MX_HOSTS ? n : LIMIT_MX_HOSTS, struct slice);
	for (size_t i = 0; out->hosts && i < n && out->n < LIMIT_MX_HOSTS; i++)
		if (!have(out, hosts[i].name))
			out->hosts[out->n++] = arena_copy(a, hosts[i].name);
	return !arena_failed(a);
}

static bool order_records(struct arena *a, const struct slice *records, size_t count, const struct slice *self, size_t self_count, uint64_t seed,
    struct mx_hosts *out, struct fault *f)
{
	const uint64_t key[2] = { seed, 0 };
	struct host *hosts = ARENA_ARRAY(a, count, struct host);
	unsigned own = UINT16_MAX + 1; /* the best preference of ours */
	size_t n = 0, roots = 0, kept = 0;

	if (!hosts)
		return fault_set(f, FAULT_NO_MEMORY, 0);
	for (size_t i = 0; i < count; i++) {
		struct slice name = records[i], preference;

		if (!slice_take(&name, 2, &preference))
			continue;
		roots += name.n == 0;
		if (!can_be_host(name))
			continue;
		hosts[n] = (struct host){ (unsigned)preference.at[0] << 8 | preference.at[1], map_hash(key, name), name };
		if (ours(name, self, self_count) && hosts[n].preference < own)
			own = hosts[n].preference;
		n++;
	}
	if (n == 0)
		return roots && roots == count ? fault_set(f, FAULT_NULL_MX, 0) : fault_note(f, FAULT_NO_ROUTE, 0, "no MX names a host");
	for (size_t i = 0; i < n; i++)
		if (hosts[i].preference < own)
			hosts[kept++] = hosts[i];
	if (kept == 0)
		return fault_note(f, FAULT_MAIL_LOOP, 0, "no MX is better than this host");
	qsort(hosts, kept, sizeof(*hosts), host_cmp);
	return take_best(a, hosts, kept, out) || fault_set(f, FAULT_NO_MEMORY, 0);
}

/* RFC 5321 5.1: as if there were one MX, the domain itself. */
static bool order_implicit(struct arena *a, struct slice domain, const struct slice *self, size_t self_count, struct mx_hosts *out, struct fault *f)
{
	const struct host host = { .name = domain };

	if (!can_be_host(domain))
		return fault_note(f, FAULT_NO_ROUTE, 0, "no MX, and the domain is no host name");
	if (ours(domain, self, self_count))
		return fault_note(f, FAULT_MAIL_LOOP, 0, "no MX, and the domain is this host");
	out->implicit = true;
	return take_best(a, &host, 1, out) || fault_set(f, FAULT_NO_MEMORY, 0);
}

bool mx_order(struct arena *a, struct slice domain, enum dns_status status, const struct slice *records, size_t count,
    const struct slice *self, size_t self_count, uint64_t seed, struct mx_hosts *out, struct fault *f)
{
	struct mx_hosts hosts = { 0 };
	bool good = false;

	switch (status) {
	case DNS_OK:
		good = count ? order_records(a, records, count, self, self_count, seed, &hosts, f)
			     : fault_note(f, FAULT_NEXT_HOP_DNS, 0, "MX answer without a record");
		break;
	case DNS_NODATA:
		good = order_implicit(a, domain, self, self_count, &hosts, f);
		break;
	case DNS_NXDOMAIN:
		return fault_set(f, FAULT_NO_DOMAIN, 0);
	case DNS_TIMEOUT:
		return fault_note(f, FAULT_NEXT_HOP_DNS, 0, "no answer of the DNS in time");
	case DNS_SERVFAIL:
		return fault_note(f, FAULT_NEXT_HOP_DNS, 0, "the DNS failed");
	case DNS_BOGUS:
		return fault_note(f, FAULT_NEXT_HOP_DNS, 0, "DNSSEC validation failed");
	}
	if (good)
		*out = hosts;
	return good;
}
