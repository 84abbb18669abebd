/*
 * dnsrec.h - what the DNS said of one name and type, as the engines see it. Pure.
 */
#ifndef AUTH_DNSREC_H
#define AUTH_DNSREC_H

#include "auth/keyrec.h"

enum dnsrec_type {
	DNSREC_KEY,  /* TXT, read as one key record */
	DNSREC_TXT,
	DNSREC_A,
	DNSREC_AAAA,
	DNSREC_MX,
	DNSREC_PTR,
	DNSREC_TYPES
};

/* Counted and immutable once made: a cache shares it with every message that asks. */
struct dnsrec {
	enum dns_status status;      /* DNS_OK: at least one record */
	bool secure;                 /* DNSSEC-validated */
	struct keyrec *key;          /* DNSREC_KEY: always there; else NULL */
	/*
	 * The others. TXT: the strings of one record joined, any octets. A, AAAA: 16 octets, IPv4 as ::ffff:a.b.c.d. PTR: the name
	 * as text, lower case, no final dot, at most 253 octets. MX: two octets of preference, then such a name; none for ".".
	 */
	const struct slice *records;
	size_t count;
	size_t octets;               /* of memory, about: what a cache charges */
	unsigned holders;
};

/*
 * dnsrec_new - from an answer
 * In:    records as on the wire, names in full (TXT: strings joined); copied. Those that are not of their type are left out, as
 *        are names that are no text (a dot or a control character in a label).
 * Out:   one holder. DNS_OK without a record that can be used is DNS_SERVFAIL. NULL: no memory.
 */
struct dnsrec *dnsrec_new(enum dnsrec_type type, enum dns_status status, const struct slice *records, size_t count, bool secure);
struct dnsrec *dnsrec_hold(struct dnsrec *r);
void dnsrec_drop(struct dnsrec **r);

/* RFC 1035 number. */
unsigned dnsrec_qtype(enum dnsrec_type type);

/* It may be another one later (RFC 8601 2.7: temperror). */
static inline bool dnsrec_temporary(const struct dnsrec *r)
{
	return r->status == DNS_TIMEOUT || r->status == DNS_SERVFAIL || r->status == DNS_BOGUS;
}

/*
 * dns_name_normal - may this be asked for? Lower case, without a final dot, in `out`.
 * False: empty, above 253 octets, an empty label or one above 63, octets outside printable ASCII, a backslash. A blank is none of
 *        these: RFC 7208 7.2 writes it as "%_".
 */
enum { DNS_NAME_OCTETS = 253 };
bool dns_name_normal(struct slice name, unsigned char out[DNS_NAME_OCTETS], struct slice *normal_out) HS_MUST_USE;
/* The same name on the wire, for tests and offline answers. Returns how many octets. In: normal, or empty for the root. */
size_t dns_name_wire(struct slice normal, unsigned char out[DNS_NAME_OCTETS + 2]);

#endif
