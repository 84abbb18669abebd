/*
 * record.h - an SPF record (RFC 7208 section 12), cut down to what one client makes of it. Pure, allocates nothing.
 */
#ifndef AUTH_SPF_RECORD_H
#define AUTH_SPF_RECORD_H

#include "auth/spf/spf.h"
#include "base/limits.h"

enum term_kind { TERM_SETTLED, TERM_INCLUDE, TERM_A, TERM_MX, TERM_PTR, TERM_EXISTS };

struct record_term {
	enum term_kind kind;      /* SETTLED: "all", or an "ip4" or "ip6" that holds the client */
	enum spf_state qualifier; /* what a match means */
	struct slice text;        /* as written */
	struct slice spec;        /* a valid domain-spec; empty: the domain itself */
	unsigned bits4, bits6;    /* A and MX */
	struct slice name;        /* for the caller: what spec stands for; empty: not known yet */
};

/* Borrows from the text. */
struct record {
	/*
	 * In order, and only those that can be reached: what needs no question is settled here, nothing stands behind a SETTLED one, nor
	 * behind the first that asks more than may be asked. So a record of any length is one of a few terms once it was read.
	 */
	struct record_term terms[LIMIT_SPF_TERMS + 1];
	size_t n;
	struct slice redirect, explanation; /* domain-specs; empty: none */
	struct slice fault;                 /* the term that is wrong */
};

/* Does this TXT say "v=spf1", and nothing or a blank behind it? */
bool record_is_spf(struct slice text);

/*
 * record_parse - all of it, also what is not kept
 * In:    record_is_spf(text); any octets behind that
 * Fault: false: a term that is none, redirect= or exp= twice, octets outside printable ASCII; out->fault says where
 * Cost:  linear
 */
bool record_parse(struct slice text, const unsigned char client[16], struct record *out) HS_MUST_USE;

/* Is the address in the network? `bits` of the 32 if the address is IPv4, else of the 128. */
bool record_holds(const unsigned char network[16], unsigned bits, const unsigned char address[16]);

#endif
