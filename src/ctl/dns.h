/*
 * dns.h - what the DNS says, for hopsealctl: from an offline file (--dns) or from the DNS. Each name and type is asked once a run.
 */
#ifndef CTL_DNS_H
#define CTL_DNS_H

#include "auth/asks.h"

struct ctl_dns;

/* file NULL: the DNS, through the system's resolver. NULL: complained, *code_out is the exit code. */
struct ctl_dns *ctl_dns_new(const char *file, int *code_out);
void ctl_dns_free(struct ctl_dns **d);

/* Answers what is asked now, all of it at once. False: no memory, or no way to ask (complained). */
bool ctl_dns_answer(struct ctl_dns *d, struct asks *q) HS_MUST_USE;

/* The key records at these names, borrowed until the next call. False: no memory, or no way to ask (complained). */
bool ctl_dns_keys(struct ctl_dns *d, const struct slice *names, size_t n, struct keyrec **records_out);

#endif
