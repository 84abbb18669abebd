/*
 * resolver_dns.h - questions to the DNS by libunbound, validating, on our loop. For the resolver process and hopsealctl; the only
 * place that knows libunbound.
 *
 * Trust anchor "auto": the root anchor of dns-root-data, as long as the forwarder lets signatures through: it is asked for
 * `. DNSKEY` first (questions wait, at most DNS_PROBE_MS). One that strips them would make all data bogus: warned of, and
 * nothing is validated. No answer decides nothing: validated, and probed again.
 */
#ifndef DAEMON_RESOLVER_DNS_H
#define DAEMON_RESOLVER_DNS_H

#include "auth/keyrec.h"
#include "net/loop.h"

enum { DNS_PROBE_MS = 5000, DNS_PROBE_AGAIN_MS = 30000 };

struct resolver_dns;

struct dns_answer {
	enum dns_status status;
	bool secure;                 /* DNSSEC-validated */
	bool with_signatures;        /* RRSIG records came along, validated or not */
	uint32_t ttl_s;              /* negative: of the SOA; 0 when there was no answer */
	const struct slice *records; /* TXT: the strings of one record joined; others: record data as on the wire */
	size_t count;
};

/*
 * resolver_dns_new - reads resolv.conf and the trust anchors, so call it before privileges are dropped; sends nothing yet
 * In:    resolver "auto" (nameservers of /etc/resolv.conf, without any: full recursion) or address[:port];
 *        trust_anchor "auto", "none" or a file of DS or DNSKEY records; warn: a line for the log, at any time
 * Fault: NULL with the reason in error_out (one line, no line end)
 */
struct resolver_dns *resolver_dns_new(struct loop *l, const char *resolver, const char *trust_anchor,
    void (*warn)(void *arg, const char *text), void *arg, char error_out[256]);
/* Open questions are forgotten without an answer. */
/* The file it reads its anchors from, now and again; NULL: none. */
const char *resolver_dns_anchor(const struct resolver_dns *d);
void resolver_dns_free(struct resolver_dns **d);

struct dns_query;
/*
 * resolver_dns_ask - name: text, any case, final dot optional; qtype: RFC 1035 number. No name (dns_name_normal()) does not exist.
 * The answer is borrowed for the call of `on`, never comes before this returns, and ends the query. After timeout_ms it is DNS_TIMEOUT.
 * NULL: no memory.
 */
struct dns_query *resolver_dns_ask(struct resolver_dns *d, struct slice name, uint16_t qtype, uint32_t timeout_ms,
    void (*on)(void *arg, const struct dns_answer *answer), void *arg);
void resolver_dns_cancel(struct dns_query *q);

/*
 * dns_packet_answer - what a response on the wire says. Pure; exported for tests and the fuzzer.
 * In:    a whole DNS message
 * Out:   status OK, NXDOMAIN, NODATA or SERVFAIL (any other response code, or no well-formed message); records in the arena
 */
void dns_packet_answer(struct arena *a, struct slice packet, uint16_t qtype, struct dns_answer *answer_out);

#endif
