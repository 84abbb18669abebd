/* An octet that chooses a type, and a response: what is read of it fits its type, and comes through our own messages as it is. */
#include "auth/dnsrec.h"
#include "base/limits.h"
#include "daemon/resolver_dns.h"
#include "fuzz.h"
#include "net/ipc.h"

static void want_name(struct slice name)
{
	unsigned char octets[DNS_NAME_OCTETS], on_wire[DNS_NAME_OCTETS + 2];
	struct slice normal, label, wire;
	size_t labels = 0;

	WANT(dns_name_normal(name, octets, &normal) && slice_eq(normal, name));
	wire = slice_of(on_wire, dns_name_wire(normal, on_wire));
	WANT(wire.n == name.n + 2);
	while (slice_take(&wire, 1, &label) && label.at[0]) {
		WANT(slice_take(&wire, label.at[0], &label));
		labels++;
	}
	WANT(labels > 0 && wire.n == 0);
}

static void want_record(enum dnsrec_type type, struct slice record)
{
	switch (type) {
	case DNSREC_A:
	case DNSREC_AAAA:
		WANT(record.n == 16);
		break;
	case DNSREC_MX:
		WANT(record.n >= 2);
		if (record.n > 2)
			want_name(slice_sub(record, 2, SIZE_MAX));
		break;
	case DNSREC_PTR:
		want_name(record);
		break;
	case DNSREC_TXT:
	case DNSREC_KEY:
	case DNSREC_TYPES:
		break;
	}
}

static void want_rec(enum dnsrec_type type, const struct dns_answer *got)
{
	struct dnsrec *rec = dnsrec_new(type, got->status, got->records, got->count, got->secure);

	WANT(rec && (rec->key != NULL) == (type == DNSREC_KEY));
	WANT(type == DNSREC_KEY || (rec->status == DNS_OK) == (rec->count > 0));
	WANT(rec->count <= got->count && rec->octets >= sizeof(*rec));
	for (size_t i = 0; i < rec->count; i++)
		want_record(type, rec->records[i]);
	dnsrec_drop(&rec);
}

static void want_same(const struct dns_answer *got, uint16_t qtype)
{
	struct ipc_answer answer = { .ticket = 7, .qtype = qtype, .status = got->status, .ttl_s = got->ttl_s, .records = got->records,
		.record_count = got->count };
	struct slice record;
	struct ipc_in in;
	struct buf b;

	buf_init(&b, LIMIT_IPC);
	ipc_begin(&b, IPC_ANSWERS);
	if (ipc_add_answer(&b, &answer)) {
		WANT(ipc_open(buf_get(&b), IPC_ANSWERS, &in) && ipc_next_answer(&in, &answer));
		WANT(answer.status == got->status && answer.ttl_s == got->ttl_s && answer.record_count == got->count);
		for (size_t i = 0; i < got->count; i++)
			WANT(ipc_record(&answer, &record) && slice_eq(record, got->records[i]));
	} else {
		/* Names that were compressed, and no others (proto/resolver.md). */
		WANT(qtype == IPC_TYPE_MX || qtype == IPC_TYPE_PTR);
	}
	buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	enum dnsrec_type type;
	struct dns_answer got;
	struct arena a;
	uint16_t qtype;

	if (n == 0)
		return 0;
	type = (enum dnsrec_type)(at[0] % DNSREC_TYPES);
	qtype = (uint16_t)dnsrec_qtype(type);
	arena_init(&a, 1 << 20);
	dns_packet_answer(&a, slice_of(at + 1, n - 1), qtype, &got);
	WANT(got.status == DNS_OK || got.status == DNS_NXDOMAIN || got.status == DNS_NODATA || got.status == DNS_SERVFAIL);
	WANT((got.status == DNS_OK) == (got.count > 0));
	want_same(&got, qtype);
	want_rec(type, &got);
	arena_clear(&a);
	return 0;
}
