/*
 * answers.h - the offline DNS file (INTERFACE.md section 2): what names answer, from JSON text. Pure.
 *
 * jansson reads random octets from the system on its first use: a sandboxed process calls json_object_seed() before.
 */
#ifndef CONFIG_ANSWERS_H
#define CONFIG_ANSWERS_H

#include "auth/dnsrec.h"
#include "base/buf.h"

struct answers;

enum answers_type {
	ANSWERS_TXT,
	ANSWERS_MX,    /* "10 mx.a.test" */
	ANSWERS_A,
	ANSWERS_AAAA,
	ANSWERS_PTR,
	ANSWERS_TLSA,  /* "3 1 1 hexadecimal" */
	ANSWERS_CNAME,
	ANSWERS_TYPES
};

/*
 * answers_new - from the whole content of a file
 * Fault: NULL; error_out says what is wrong ("line 3: what", or "name "a.test": what, what was expected"), LF-ended.
 *        Names twice, also in another case, and values that are not of their type are errors.
 */
struct answers *answers_new(struct slice json, struct buf *error_out);
void answers_free(struct answers **a);

/*
 * answers_find - records of a name (any case, final dot ignored); CNAMEs followed, at most 8
 * Out:   one slice a record, with DNS_OK at least one, borrowed until answers_free; secure_out: every name on the way
 *        is marked DNSSEC-validated
 */
enum dns_status answers_find(const struct answers *a, struct slice name, enum answers_type type,
    const struct slice **records_out, size_t *n_out, bool *secure_out);

/*
 * answers_wire - the same by RFC 1035 number, as a resolver answers: record data on the wire, a TXT record's strings joined
 * Out:   in the arena or borrowed as above. A type that the file does not know: DNS_NODATA. DNS_SERVFAIL: no memory as well.
 */
enum dns_status answers_wire(const struct answers *a, struct arena *to, struct slice name, unsigned qtype,
    const struct slice **records_out, size_t *n_out, bool *secure_out);
/* The same as engines see it, one holder. NULL: no memory. */
struct dnsrec *answers_rec(const struct answers *a, struct arena *scratch, struct slice name, enum dnsrec_type type);

static inline enum dns_status answers_txt(const struct answers *a, struct slice name, const struct slice **records_out,
    size_t *n_out, bool *secure_out)
{
	return answers_find(a, name, ANSWERS_TXT, records_out, n_out, secure_out);
}

#endif
