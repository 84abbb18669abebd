/*
 * table.h - which next hops mail for a domain has, by the lines of a file (hopseal.conf(5)). Pure.
 *
 *     # comment
 *     a.example     192.0.2.1:25, mx2.example.net:25
 *     .a.example    lmtp:127.0.0.1:24        every name below a.example, but not a.example
 *     *             [2001:db8::1]:25         every domain that nothing above it fits
 *
 * Domain and next hops are separated by blanks, next hops by commas. The longest name that fits decides, wherever it stands.
 */
#ifndef ROUTE_TABLE_H
#define ROUTE_TABLE_H

#include "base/arena.h"

struct table;

/* Next hops in order of preference, as they are written; the same list behind several domains is one. */
struct table_list {
	struct slice *hops;
	size_t hop_count;      /* 1..LIMIT_ROUTE */
	unsigned line;         /* that has it first, from 1 */
};

/* `what` is wrong with `word` of a line; both borrowed for the call. */
typedef void table_mistake(void *arg, unsigned line, struct slice word, const char *what);

/*
 * table_new - from the whole content of a file, which is borrowed as long as the table, in the arena
 * Out:   what could be read; with a mistake told it is not to be used but to look for more of them
 * Fault: every mistake up to the hundredth is told; NULL: the arena failed
 */
struct table *table_new(struct arena *a, struct slice text, table_mistake *mistake, void *arg);

size_t table_list_count(const struct table *t);
const struct table_list *table_list(const struct table *t, size_t list);

/*
 * table_find - the list of a domain
 * In:    a normal domain (domain_normal()), or what is none: only '*' fits that
 * Fault: false: there is none
 */
bool table_find(const struct table *t, struct slice domain, size_t *list_out) HS_MUST_USE;

#endif
