/*
 * keyrec.h - key records: <selector>._domainkey.<domain> TXT (RFC 6376 3.6.1, draft-ietf-dkim-dkim2-dns). Pure.
 */
#ifndef AUTH_KEYREC_H
#define AUTH_KEYREC_H

#include "crypt/key.h"

enum keyrec_state {
	KEYREC_OK,
	KEYREC_UNREACHABLE, /* time-out, SERVFAIL, bogus: temperror */
	KEYREC_ABSENT,      /* NXDOMAIN, NODATA */
	KEYREC_MULTIPLE,    /* several TXT records */
	KEYREC_SYNTAX,      /* record or key octets not usable */
	KEYREC_TYPE,        /* k= of a type we do not know */
	KEYREC_REVOKED,     /* p= empty */
};

/* Counted and immutable once made: a cache shares it with every message that asks. */
struct keyrec {
	enum keyrec_state state;
	struct key *key;  /* only with KEYREC_OK */
	bool testing;     /* t=y */
	bool strict;      /* f=strict; logged, ignored by default */
	bool secure;      /* DNSSEC-validated */
	unsigned holders;
};

/* What DNS said. */
enum dns_status { DNS_OK, DNS_NXDOMAIN, DNS_NODATA, DNS_TIMEOUT, DNS_SERVFAIL, DNS_BOGUS };

/* One record per TXT, its strings already joined. NULL: no memory. Start with one holder. */
struct keyrec *keyrec_new(enum dns_status status, const struct slice *txt, size_t txt_count, bool secure);
struct keyrec *keyrec_hold(struct keyrec *k);
void keyrec_drop(struct keyrec **k);

/* TXT content for a key: "v=DKIM1; k=ed25519; p=...". */
struct slice keyrec_text(struct arena *a, const struct key *k);

#endif
