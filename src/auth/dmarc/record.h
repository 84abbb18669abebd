/*
 * record.h - a DMARC policy record (RFC 9989 4.7, 4.8). Pure, allocates nothing.
 */
#ifndef AUTH_DMARC_RECORD_H
#define AUTH_DMARC_RECORD_H

#include "auth/dmarc/dmarc.h"

enum dmarc_psd { DMARC_PSD_UNKNOWN, DMARC_PSD_YES, DMARC_PSD_NO };

struct dmarc_record {
	enum dmarc_policy p, sp, np;
	bool has_sp, has_np;
	/* p= is there, and no policy is misspelt; or rua= stands in for that, and all is p=none (4.10.1). Else DMARC does not apply. */
	bool usable;
	bool adkim_strict, aspf_strict, testing;
	enum dmarc_psd psd;
	struct slice rua, ruf, fo; /* borrowed, printable ASCII, at most LIMIT_DMARC_URIS octets; empty: none */
};

/*
 * dmarc_record_read
 * In:    the strings of one TXT record joined, any octets
 * Out:   tags that are unknown, misspelt or there for the second time are as if absent (4.8)
 * Fault: false: it does not begin with "v=DMARC1", so it is no DMARC record
 */
bool dmarc_record_read(struct slice text, struct dmarc_record *out) HS_MUST_USE;

#endif
