/*
 * taglist.h - "name=value; ..." as the DKIM2 fields and key records hold it. Pure.
 * Source: draft-ietf-dkim-dkim2-spec-09 tag lists (spec section 2.1), draft-ietf-dkim-dkim2-dns (spec section 7)
 */
#ifndef AUTH_TAGLIST_H
#define AUTH_TAGLIST_H

#include "base/arena.h"

struct tag {
	struct slice name;  /* as written */
	struct slice value; /* without white space at both ends; folds inside are kept */
};

struct taglist {
	struct tag *tags; /* in the order they stand in */
	size_t n;
};

enum taglist_names {
	TAGLIST_ANY_CASE, /* fields: names that differ in case only are the same tag */
	TAGLIST_EXACT,    /* key records */
	TAGLIST_UTF8      /* fields of DKIM and ARC: exact too, and octets from 0x80 on may stand in a value (RFC 8616 3) */
};

/*
 * taglist_parse
 * In:    text; borrowed by *out. White space is SP, HTAB and CRLF in front of one of them, anything else printable ASCII.
 *        Empty fragments are skipped.
 * Fault: false: a fragment that is not name=value, a name twice, an octet that is not allowed, above LIMIT_TAGS, no
 *        memory (arena_failed())
 */
bool taglist_parse(struct arena *a, struct slice text, enum taglist_names names, struct taglist *out) HS_MUST_USE;

/* NULL: there is none. */
const struct tag *taglist_find(const struct taglist *list, enum taglist_names names, struct slice name);

/* Is `word` one of those that stand between colons in a value, white space around them left out? */
bool taglist_lists(struct slice value, struct slice word);

/* No white space at all inside: what numbers, domains, selectors and names must be. Empty is not solid. */
bool taglist_solid(struct slice value);

#endif
