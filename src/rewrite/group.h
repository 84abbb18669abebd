/*
 * group.h - which recipients of a message share a copy, and so one rt= (DESIGN.md section 3). Pure.
 *
 * Those that stand in To or Cc (Resent-To and Resent-Cc where the message has such, RFC 5322 3.6.6) and have one recipient domain may
 * know each other. Every other one has a copy of its own: a Bcc or list recipient is named to nobody.
 */
#ifndef REWRITE_GROUP_H
#define REWRITE_GROUP_H

#include "mail/header.h"

/*
 * group_make - a number for each recipient, 0.. in the order of their first
 * In:    bracketed paths; one that stands twice (path_same()) is told by the number of the first, with *again_out set; share: false: nobody
 *        shares (a header that cannot be read shares nothing either)
 *        rcpt_max: of a copy (LIMIT_RT): more make another one
 * Out:   group_out and again_out have `n` places; how many groups there are; 0: no memory
 * Cost:  linear in octets of the header and n log n in recipients
 */
uint32_t group_make(struct arena *a, const struct header *h, const struct slice *rcpts, size_t n, bool share, size_t rcpt_max,
    uint32_t *group_out, bool *again_out);

#endif
