/*
 * ask.h - the worker's questions to resolver and keeper: tickets, deadlines, the cache of answers.
 *
 * An answer never comes before the call returns, even when it was at hand. After ask_cancel() it never comes.
 * When a process dies the supervisor starts another and hands in a new descriptor. What the old one owed is asked once more; until
 * then it waits, for as long as the answer may take (a signature: five seconds). After that, until there is a new one, what is asked
 * fails at once (unreachable, or no signature).
 */
#ifndef NET_ASK_H
#define NET_ASK_H

#include "auth/dkim2/dkim2.h"
#include "auth/dnsrec.h"
#include "base/limits.h"
#include "net/loop.h"
#include "out/count.h"

struct ask;

/* fd: SOCK_SEQPACKET to each, non-blocking, owned from now on; -1: not there yet. NULL: no memory. */
struct ask *ask_new(struct loop *l, int resolver_fd, int keeper_fd, unsigned dns_timeout_ms, size_t cache_max);
void ask_free(struct ask **a);
/* In the place of the old one. */
void ask_set_resolver(struct ask *a, int fd);
void ask_set_keeper(struct ask *a, int fd);

/* Where its questions are counted; before it nowhere. */
void ask_counts(struct ask *a, struct count_page *counts, unsigned slot);

typedef uint64_t ask_ticket; /* 0: no memory, no answer will come */

/*
 * ask_dns - what the DNS says of `name`, which is normal (dns_name_normal()). `rec` is borrowed for the call (dnsrec_hold() to
 * keep); of DNSREC_KEY it has the key record.
 * Same name and type asked while a question is open: one question. Cached by the answer's TTL (5 s..1 day; negative 5..300 s;
 * timed out 1 s; other failures not, but by the resolver, five seconds), as many as cache_max and LIMIT_DNS_CACHE_OCTETS allow.
 *
 * The time-out is that of one question, begun when it was first asked. Who asks one after the other and has that time for all
 * of them together (a message, once it is whole) runs one timer of as long, cancels what is open then, and takes it for timed out;
 * the questions go on to the end of their own time, and their answers are cached for whoever asks next.
 */
ask_ticket ask_dns(struct ask *a, enum dnsrec_type type, struct slice name, void (*on)(void *arg, struct dnsrec *rec), void *arg);
/* The record if the cache has it, borrowed until the loop turn ends; else NULL. */
struct dnsrec *ask_dns_cached(struct ask *a, enum dnsrec_type type, struct slice name);

/* What a host name has of one family; IPv4 addresses as ::ffff:a.b.c.d. */
struct ask_addresses {
	enum dns_status status; /* DNS_OK: at least one address; DNS_TIMEOUT also when nobody could be asked */
	unsigned ttl_s;         /* 5 s..1 day, negative 5..300 s, timed out 1 s, other failures 0 */
	size_t count;           /* at most LIMIT_ADDRESSES, the first of the answer */
	unsigned char at[LIMIT_ADDRESSES][16];
};
/* ask_addresses - of `name` (as above; A records, or AAAA with v6). Not cached: who asks keeps them as long as they are good. */
ask_ticket ask_addresses(struct ask *a, struct slice name, bool v6, void (*on)(void *arg, const struct ask_addresses *got), void *arg);

/*
 * ask_sign - a signature by the keeper; `what` is copied, the signature borrowed for the call. Empty signature: the keeper
 * refused that key (`refused`), or is not there, or was silent for ASK_SIGN_MS. Requests of one loop turn travel together.
 */
enum { ASK_SIGN_MS = 20000 };
ask_ticket ask_sign(struct ask *a, const struct dkim2_sign_ask *what, void (*on)(void *arg, struct slice signature, bool refused), void *arg);

/* Any ticket; one that was answered or never given is no fault. Callbacks may ask and cancel, but not ask_free(). */
void ask_cancel(struct ask *a, ask_ticket ticket);
/* Tickets not yet answered. */
size_t ask_open(const struct ask *a);

#endif
