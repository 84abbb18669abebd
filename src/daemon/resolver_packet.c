/*
 * resolver_packet.c - what a DNS response says (RFC 1035 section 4). glibc's parser bounds every record by the message.
 */
#include <arpa/nameser.h>
#include <resolv.h>

#include "daemon/resolver_dns.h"

/* The strings of a TXT record (RFC 1035 3.3.14) joined: RFC 6376 3.6.2.2, without white space between them. */
static bool txt_join(struct arena *a, struct slice data, struct slice *text_out)
{
	unsigned char *to = arena_take(a, data.n);
	struct slice length, part;
	size_t n = 0;

	if (to == NULL || data.n == 0)
		return false;
	while (slice_take(&data, 1, &length)) {
		if (!slice_take(&data, length.at[0], &part))
			return false;
		if (part.n != 0)
			memcpy(to + n, part.at, part.n);
		n += part.n;
	}
	*text_out = slice_of(to, n);
	return true;
}

/* Record data in the arena; names in it, which the message may have compressed (RFC 1035 4.1.4), in full. */
static bool data_copy(struct arena *a, ns_msg *m, ns_rr *rr, struct slice *data_out)
{
	struct slice data = slice_of(ns_rr_rdata(*rr), ns_rr_rdlen(*rr)), head;
	unsigned char full[2 + NS_MAXCDNAME];
	size_t n;

	switch (ns_rr_type(*rr)) {
	case ns_t_txt:
		return txt_join(a, data, data_out);
	case ns_t_mx:
		if (!slice_take(&data, 2, &head))
			return false;
		memcpy(full, head.at, 2);
		break;
	case ns_t_ns:
	case ns_t_cname:
	case ns_t_ptr:
		head = SLICE_NONE;
		break;
	default:
		*data_out = arena_copy(a, data);
		return true;
	}
	if (data.n == 0 ||
	    ns_name_unpack(ns_msg_base(*m), ns_msg_end(*m), data.at, full + head.n, NS_MAXCDNAME) != (int)data.n)
		return false;
	for (n = head.n; full[n] != 0; n += 1U + full[n])
		;
	*data_out = arena_copy(a, slice_of(full, n + 1));
	return true;
}

/* How long "there is none" holds: the lower of the SOA's own TTL and its minimum (RFC 2308 section 5). */
static uint32_t negative_ttl(ns_msg *m)
{
	ns_rr rr;

	for (int i = 0; i < ns_msg_count(*m, ns_s_ns); i++) {
		uint32_t minimum;

		if (ns_parserr(m, ns_s_ns, i, &rr) != 0)
			return 0;
		if (ns_rr_type(rr) != ns_t_soa || ns_rr_rdlen(rr) < 4)
			continue;
		minimum = (uint32_t)ns_get32(ns_rr_rdata(rr) + ns_rr_rdlen(rr) - 4);
		return minimum < ns_rr_ttl(rr) ? minimum : ns_rr_ttl(rr);
	}
	return 0;
}

void dns_packet_answer(struct arena *a, struct slice packet, uint16_t qtype, struct dns_answer *answer_out)
{
	struct dns_answer got = { .status = DNS_SERVFAIL, .ttl_s = UINT32_MAX };
	struct slice *records;
	ns_msg m;
	ns_rr rr;

	*answer_out = (struct dns_answer){ .status = DNS_SERVFAIL };
	if (packet.n < NS_HFIXEDSZ || packet.n > NS_MAXMSG || ns_initparse(packet.at, (int)packet.n, &m) != 0 ||
	    (ns_msg_getflag(m, ns_f_rcode) != ns_r_noerror && ns_msg_getflag(m, ns_f_rcode) != ns_r_nxdomain))
		return;
	records = ARENA_ARRAY(a, ns_msg_count(m, ns_s_an), struct slice);
	for (int i = 0; records != NULL && i < ns_msg_count(m, ns_s_an); i++) {
		if (ns_parserr(&m, ns_s_an, i, &rr) != 0)
			return;
		got.with_signatures |= ns_rr_type(rr) == ns_t_rrsig;
		/* An alias on the way ages with what it leads to. */
		if (ns_rr_class(rr) == ns_c_in && ns_rr_ttl(rr) < got.ttl_s)
			got.ttl_s = ns_rr_ttl(rr);
		if (ns_rr_class(rr) != ns_c_in || ns_rr_type(rr) != qtype)
			continue;
		if (!data_copy(a, &m, &rr, &records[got.count]))
			return;
		got.count++;
	}
	if (arena_failed(a))
		return;
	got.status = got.count > 0 ? DNS_OK : ns_msg_getflag(m, ns_f_rcode) == ns_r_nxdomain ? DNS_NXDOMAIN : DNS_NODATA;
	if (got.count == 0)
		got.ttl_s = negative_ttl(&m);
	got.records = records;
	*answer_out = got;
}
