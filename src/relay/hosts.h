/*
 * hosts.h - next hops as the queue process comes upon them: made when mail is to go there, kept with what is known of them and with
 * their connections, and forgotten when nothing has gone there for a while.
 */
#ifndef RELAY_HOSTS_H
#define RELAY_HOSTS_H

#include "net/upstream.h"

struct hosts;

/* Makes the TLS contexts of all listeners in mode queue, for which conf must still hold their certificates. NULL: no memory, or logged. */
struct hosts *hosts_new(struct loop *l, struct ask *ask, const struct conf *conf, struct count_page *counts, unsigned slot);
/* Nobody may hold a next hop of it any more. */
void hosts_free(struct hosts **h);

/*
 * hosts_get - the next hop of that name, whoever asks for it: the same one, quiet, with TLS as the listener has it for its next hops
 * In:    listener: of conf, in mode queue; name: normal, or an address as text (base/ip.h)
 * Out:   to be held (next_hop_hold(), as deliver_start() does) before the loop turn ends: it may be freed later. NULL: no memory
 */
struct next_hop *hosts_get(struct hosts *h, const struct conf_listener *listener, struct slice name, uint16_t port, bool lmtp);
/* The same of a host that DNS names for the recipients' domain, or of their address literal: conf_next_hop.by_mx, at queue.mx_port. */
struct next_hop *hosts_mx(struct hosts *h, const struct conf_listener *listener, struct slice name);
/* The same of one that the configuration names: an element of listener->next_hops. */
struct next_hop *hosts_next_hop(struct hosts *h, const struct conf_listener *listener, const struct conf_next_hop *to);

size_t hosts_count(const struct hosts *h);

#endif
