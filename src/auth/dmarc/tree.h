/*
 * tree.h - the DNS tree walk (RFC 9989 4.10): the record that applies to a domain, and its organisational domain. Pure,
 * allocates nothing.
 */
#ifndef AUTH_DMARC_TREE_H
#define AUTH_DMARC_TREE_H

#include "auth/dmarc/record.h"

struct dmarc_tree {
	bool sure;                   /* false: a name did not answer before the walk was to end */
	struct slice silent;         /* that name; empty: none */
	bool exists;                 /* something stands below the domain, so it exists (RFC 8020) */
	struct slice organisational; /* sure only: the domain itself or what it ends in, borrowed */
	bool found;                  /* sure, or at the domain itself: there is a record that applies */
	bool own;                    /* it stands at the domain itself */
	struct slice domain;         /* where it stands */
	struct dmarc_record record;  /* borrows from the answers */
};

/* The names of a walk, without "_dmarc.": the domain, then what it ends in from 7 labels down to 1. In: domain_valid() */
enum { DMARC_TREE_QUERIES = 8 };
size_t dmarc_tree_names(struct slice domain, struct slice names[DMARC_TREE_QUERIES]);
/* Asks for all of them. */
void dmarc_tree_want(struct asks *asks, struct slice domain);
/* False: an answer is awaited (and asked for, with all that come behind it). */
bool dmarc_tree_walk(struct asks *asks, struct slice domain, struct dmarc_tree *out) HS_MUST_USE;

#endif
