/*
 * addr.h - paths (RFC 5321 4.1.2, RFC 6531) and the addresses of a From field (RFC 5322 3.4). Pure.
 */
#ifndef MAIL_ADDR_H
#define MAIL_ADDR_H

#include "base/arena.h"
#include "base/fault.h"

struct path {
	struct slice raw;    /* as on the wire, with its brackets */
	struct slice local;  /* local part as written, quotes kept; empty for <> */
	struct slice domain; /* as written; empty for <> and <postmaster> */
	bool null;           /* <> */
	bool utf8;           /* holds octets above 127 */
};

/*
 * path_parse - one bracketed path and nothing behind it
 * In:    octets from '<' to '>'; a source route is skipped; borrowed by *path_out
 * Fault: false: not a path. RFC 5321 4.1.2 syntax, LIMIT_PATH; <postmaster> in any case needs no domain.
 */
bool path_parse(struct slice text, struct path *path_out) HS_MUST_USE;

/*
 * path_same - is it the same mailbox? spec section 10.6: domains as A-labels without regard to case, local parts
 * octet for octet once needless quotes are gone; source routes are dropped.
 */
bool path_same(struct arena *a, struct slice x, struct slice y);

/*
 * path_key - the octets by which mailboxes are told apart: two paths are the same mailbox exactly when their keys are
 * equal octets. For sorted look-ups where path_same() would be quadratic.
 * Out:   borrowed from text or in the arena; a text that is no path, or whose domain has no normal form, is its own
 *        key, source route and all. Empty for <>, or when the arena failed.
 */
struct slice path_key(struct arena *a, struct slice text);

/*
 * The addr-specs of a From (or other address list) field value, unfolded or not: comments, display names, groups and
 * quoted strings understood, obsolete forms too. Each domain is given in normal form (domain_normal).
 * False: no address at all, an address without domain, text that is no address list, or above LIMIT_ADDR_LIST.
 */
struct addr {
	struct slice local;
	struct slice domain; /* normal form */
};
bool addr_list(struct arena *a, struct slice value, struct addr **list_out, size_t *n_out) HS_MUST_USE;

#endif
