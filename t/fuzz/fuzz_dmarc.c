/*
 * A DMARC record, and a domain whose walk finds it, or other parts of the input, wherever it asks: first line the author domain,
 * second one an identifier, then a record each. What comes out can be printed, is bounded, and never passes a stranger.
 */
#include "auth/dmarc/tree.h"
#include "base/limits.h"
#include "fuzz.h"
#include "mail/domain.h"

static void want_printable(struct slice s)
{
	WANT(s.n <= LIMIT_DMARC_URIS);
	for (size_t i = 0; i < s.n; i++)
		WANT(s.at[i] >= 0x20 && s.at[i] <= 0x7e);
}

static void want_record(struct slice text)
{
	struct dmarc_record r;

	if (!dmarc_record_read(text, &r))
		return;
	WANT(!r.usable ? r.p == DMARC_POLICY_NONE && !r.has_sp && !r.has_np : true);
	want_printable(r.rua);
	want_printable(r.ruf);
	want_printable(r.fo);
}

static void answer(struct asks *asks, struct slice *lines)
{
	enum dnsrec_type type;
	struct slice name, line;
	size_t index;

	while (asks_next(asks, &index, &type, &name)) {
		enum dns_status status = DNS_OK;
		struct dnsrec *rec;

		slice_cut(lines, '\n', &line);
		if (line.n == 0)
			status = DNS_NXDOMAIN;
		else if (line.at[0] == '!')
			status = DNS_SERVFAIL;
		rec = dnsrec_new(type, type == DNSREC_TXT ? status : DNS_NXDOMAIN, &line, status == DNS_OK, false);
		WANT(rec);
		asks_answer(asks, index, rec);
		dnsrec_drop(&rec);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	struct slice lines = slice_of(at, n), author, id, normal, other;
	const struct dmarc_verdict *v;
	struct asks *asks;
	struct dmarc *d;
	struct arena a;

	want_record(lines);
	arena_init(&a, LIMIT_TX_ARENA);
	slice_cut(&lines, '\n', &author);
	slice_cut(&lines, '\n', &id);
	asks = asks_new(&a, 100);
	if (domain_normal(&a, author, &normal) && domain_normal(&a, id, &other)) {
		d = dmarc_new(&a, asks, &(struct dmarc_terms){ .from = &normal, .from_count = 1, .from_single = true });
		WANT(d);
		WANT(asks_count(asks) <= DMARC_TREE_QUERIES);
		dmarc_found(d, &other, 1, SLICE_NONE, false, false);
		while (!dmarc_step(d)) {
			WANT(asks_open(asks) > 0);
			answer(asks, &lines);
		}
		v = dmarc_verdict(d);
		WANT(asks_count(asks) <= 2 * DMARC_TREE_QUERIES + 1);
		WANT(v->state != DMARC_PASS || (v->dkim_aligned && slice_eq(v->dkim_domain, other) && v->disposition == DMARC_POLICY_NONE));
		if (v->state == DMARC_PASS && !slice_eq(normal, other))
			WANT(domain_follows(normal, v->organisational) && domain_follows(other, v->organisational));
		WANT(v->state == DMARC_FAIL || v->disposition == DMARC_POLICY_NONE);
		want_printable(v->rua);
		want_printable(v->reason);
	}
	asks_release(asks);
	WANT(!arena_failed(&a));
	arena_clear(&a);
	return 0;
}
