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
	/*
	 * What only DKIM and ARC ask for (RFC 6376 3.6.1; draft-ietf-dkim-dkim2-dns retired it), as far as the record could be read.
	 * The tag g= of RFC 4871 is a note to all.
	 */
	struct key *odd;  /* KEYREC_SYNTAX only for the exponent of this RSA key, which is odd, of 3 to 2^64-1, and not 65537; else NULL */
	unsigned bits;    /* of an RSA modulus, also of a key that is refused for its size or exponent; 0: none could be read */
	bool no_sha256;   /* h= is there and does not list it */
	bool no_email;    /* s= is there and lists neither "*" nor "email" */
	bool same_domain; /* t=s: i= must be in d= itself */
	unsigned holders;
};

/* The key for a signature of DKIM or ARC, or NULL: there is none. */
const struct key *keyrec_dkim(const struct keyrec *k);
/* Is there none because of the size or the exponent of the key? RFC 8301 3.2 */
bool keyrec_refused(const struct keyrec *k);

/* What DNS said. */
enum dns_status { DNS_OK, DNS_NXDOMAIN, DNS_NODATA, DNS_TIMEOUT, DNS_SERVFAIL, DNS_BOGUS };

/* One record per TXT, its strings already joined. NULL: no memory. Start with one holder. */
struct keyrec *keyrec_new(enum dns_status status, const struct slice *txt, size_t txt_count, bool secure);
struct keyrec *keyrec_hold(struct keyrec *k);
void keyrec_drop(struct keyrec **k);

/* TXT content for a key: "v=DKIM1; k=ed25519; p=...". */
struct slice keyrec_text(struct arena *a, const struct key *k);

#endif
