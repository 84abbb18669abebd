/*
 * group.h - which recipients of a message share a copy, and so one rt= (DESIGN.md section 3). Pure.
 *
 * Those that stand in To or Cc and have one recipient domain may know each other. Every other one has a copy of its own: a Bcc or list
 * recipient is named to nobody. In a message that was sent on, Resent-To and Resent-Cc of the last time count instead (RFC 5322 3.6.6):
 * to whom it was sent first, or before, says nothing of whom this sender lets know of each other.
 */
#ifndef REWRITE_GROUP_H
#define REWRITE_GROUP_H

#include "mail/header.h"

/*
 * group_make - a number for each recipient, 0.. in the order of their first
 * In:    bracketed paths; one that stands twice (path_same()) is told by the number of the first, with *again_out set; share: false: nobody
 *        shares
 *        rcpt_max: of a copy (LIMIT_RT): more make another one
 * Out:   group_out and again_out have `n` places, all written; how many groups there are; 0: no memory
 *        Nobody shares by a field that is no address list, or is above LIMIT_ADDR_LIST or LIMIT_VISIBLE; nor at all if a line of the header
 *        is no field.
 * Cost:  linear in octets of the header and n log n in recipients
 */
uint32_t group_make(struct arena *a, const struct header *h, const struct slice *rcpts, size_t n, bool share, size_t rcpt_max,
    uint32_t *group_out, bool *again_out) HS_MUST_USE;

#endif
