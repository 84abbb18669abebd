#include <stdlib.h>

#include "auth/dnsrec.h"

enum { LABEL_OCTETS = 63 };

unsigned dnsrec_qtype(enum dnsrec_type type)
{
	static const unsigned numbers[DNSREC_TYPES] = { [DNSREC_KEY] = 16, [DNSREC_TXT] = 16, [DNSREC_A] = 1, [DNSREC_AAAA] = 28,
		[DNSREC_MX] = 15, [DNSREC_PTR] = 12 };

	return numbers[type];
}

/* Octets that a name may have as text and be the same name again: no dot inside a label, nothing that needs an escape. */
static bool name_octet(unsigned char c)
{
	return c > 0x20 && c < 0x7f && c != '\\' && c != '.';
}

bool dns_name_normal(struct slice name, unsigned char out[DNS_NAME_OCTETS], struct slice *normal_out)
{
	size_t label = 0;

	if (slice_ends(name, S(".")))
		name.n--;
	if (name.n > DNS_NAME_OCTETS)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		out[i] = ascii_lower(name.at[i]);
		if (out[i] == '.' ? label == 0 : !name_octet(out[i]) && out[i] != ' ')
			return false;
		label = out[i] == '.' ? 0 : label + 1;
		if (label > LABEL_OCTETS)
			return false;
	}
	if (label == 0)
		return false;
	*normal_out = slice_of(out, name.n);
	return true;
}

size_t dns_name_wire(struct slice normal, unsigned char out[DNS_NAME_OCTETS + 2])
{
	struct slice label;
	size_t n = 0;
	bool more = normal.n > 0;

	while (more) {
		more = slice_cut(&normal, '.', &label);
		out[n++] = (unsigned char)label.n;
		memcpy(out + n, label.at, label.n);
		n += label.n;
	}
	out[n++] = 0;
	return n;
}

/* A name on the wire as text behind what is there already. False: no such name. */
static bool wire_name(struct slice wire, unsigned char *out, size_t *n)
{
	size_t start = *n;
	struct slice length, label;

	while (slice_take(&wire, 1, &length) && length.at[0] != 0) {
		if (length.at[0] > LABEL_OCTETS || !slice_take(&wire, length.at[0], &label) || *n - start + 1 + label.n > DNS_NAME_OCTETS + 1)
			return false;
		if (*n != start)
			out[(*n)++] = '.';
		for (size_t i = 0; i < label.n; i++) {
			if (!name_octet(label.at[i]))
				return false;
			out[(*n)++] = ascii_lower(label.at[i]);
		}
	}
	return length.n == 1 && length.at[0] == 0 && wire.n == 0;
}

/* One record as it is kept; *n is how long. `out` has room for its octets and 16 more. */
static bool record_read(enum dnsrec_type type, struct slice data, unsigned char *out, size_t *n)
{
	struct slice preference;

	*n = 0;
	switch (type) {
	case DNSREC_TXT:
		if (data.n)
			memcpy(out, data.at, data.n);
		*n = data.n;
		return true;
	case DNSREC_A:
		if (data.n != 4)
			return false;
		memset(out, 0, 10);
		out[10] = out[11] = 0xff;
		memcpy(out + 12, data.at, 4);
		*n = 16;
		return true;
	case DNSREC_AAAA:
		if (data.n != 16)
			return false;
		memcpy(out, data.at, 16);
		*n = 16;
		return true;
	case DNSREC_MX:
		if (!slice_take(&data, 2, &preference))
			return false;
		memcpy(out, preference.at, 2);
		*n = 2;
		return wire_name(data, out, n);
	case DNSREC_PTR:
		return wire_name(data, out, n) && *n != 0;
	case DNSREC_KEY:
	case DNSREC_TYPES:
		break;
	}
	return false;
}

struct dnsrec *dnsrec_new(enum dnsrec_type type, enum dns_status status, const struct slice *records, size_t count, bool secure)
{
	size_t octets = sizeof(struct dnsrec) + count * sizeof(struct slice);
	struct dnsrec *r;
	struct slice *kept;
	unsigned char *to;

	if (type == DNSREC_KEY || status != DNS_OK)
		octets = sizeof(struct dnsrec);
	else
		for (size_t i = 0; i < count; i++)
			octets += records[i].n + 16;
	r = calloc(1, octets);
	if (!r)
		return NULL;
	r->holders = 1;
	r->status = status;
	r->secure = secure;
	r->octets = octets;
	if (type == DNSREC_KEY) {
		r->key = keyrec_new(status, records, count, secure);
		r->octets += sizeof(struct keyrec) + 2048; /* a parsed key */
		if (!r->key)
			dnsrec_drop(&r);
		return r;
	}
	if (status != DNS_OK)
		return r;
	kept = (struct slice *)(void *)(r + 1);
	to = (unsigned char *)(kept + count);
	r->records = kept;
	for (size_t i = 0; i < count; i++) {
		size_t n;

		if (!record_read(type, records[i], to, &n))
			continue;
		kept[r->count++] = slice_of(to, n);
		to += n;
	}
	if (r->count == 0)
		r->status = DNS_SERVFAIL;
	return r;
}

struct dnsrec *dnsrec_hold(struct dnsrec *r)
{
	r->holders++;
	return r;
}

void dnsrec_drop(struct dnsrec **r)
{
	if (*r && --(*r)->holders == 0) {
		keyrec_drop(&(*r)->key);
		free(*r);
	}
	*r = NULL;
}
