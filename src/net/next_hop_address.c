/*
 * next_hop_address.c - the addresses of a next hop that is a host name, for as long as DNS says they are good.
 *
 * A and AAAA are asked for at once. An answer with addresses waits one second for the other one: there are servers that never answer for
 * AAAA. IPv6 comes first, as RFC 6724 has it; what no mail can go to is left out, and so is the listener itself. Of a host that somebody
 * else's MX record names any listener of ours is ourselves (RFC 5321 5.1), and loopback is nobody's: it would hand strangers' mail to
 * servers that take whoever connects from there for a friend.
 */
#include <stdio.h>

#include "base/ip.h"
#include "config/endpoint.h"
#include "net/upstream_in.h"
#include "out/log.h"

enum { OTHER_MS = 1000, SHORT_MS = 1000, HALF_KNOWN_S = 60, LITERAL_MS = 3600000 };
enum { MX_PORT = 25 }; /* of mail servers that DNS names, but in tests */

static void log_refused(const struct next_hop *h, const char *address, const char *why)
{
	struct log_line l = log_begin(LOG_LEVEL_WARNING, "route_refused");
	char note[96];

	snprintf(note, sizeof(note), "%s: %s", address, why);
	log_str(&l, "listener", h->listener->name);
	log_str(&l, "next_hop", next_hop_name(h));
	log_str(&l, "note", note);
	log_end(&l);
}

/* NULL: it can be connected to. */
static const char *unusable(const unsigned char address[16])
{
	static const unsigned char none[16];

	if (ip_is_v4(address))
		return address[12] == 0 ? "is no host" : address[12] >= 224 ? "is multicast or reserved" : NULL;
	if (memcmp(address, none, 16) == 0)
		return "is no host";
	return address[0] == 0xff ? "is multicast" : address[0] == 0xfe && (address[1] & 0xc0) == 0x80 ? "is link-local" : NULL;
}

/* Is the address one of this listener's? `here`: it is known to be this machine's. */
static bool listener_on(const struct conf_listener *l, const struct sockaddr_storage *sa, bool here)
{
	for (size_t i = 0; i < l->address_count; i++) {
		const struct sockaddr_storage *on = &l->addresses[i].sa;

		if (endpoint_reaches(sa, on) || (here && endpoint_wild(on) && endpoint_port(on) == endpoint_port(sa)))
			return true;
	}
	return false;
}

static bool listens_on(const struct next_hop *h, const struct sockaddr_storage *sa, bool here)
{
	if (!h->to->by_mx)
		return listener_on(h->listener, sa, here);
	for (size_t i = 0; i < h->conf->listener_count; i++)
		if (listener_on(&h->conf->listeners[i], sa, here))
			return true;
	return false;
}

static const char *itself(const struct next_hop *h)
{
	return h->to->by_mx ? "is a listener of our own" : "is the listener itself";
}

static void add_address(struct next_hop *h, const unsigned char octets[16])
{
	const char *why = unusable(octets);
	struct conf_address a = { .text = next_hop_name(h) };
	char text[IP_TEXT];

	endpoint_make(octets, h->to->port, &a.sa, &a.sa_len);
	if (!why && listens_on(h, &a.sa, false)) {
		why = itself(h);
		h->self = true;
	} else if (!why && h->to->by_mx && h->to->port == MX_PORT && endpoint_loopback(&a.sa)) {
		why = "is loopback";
	}
	if (why) {
		ip_text(octets, text);
		log_refused(h, text, why);
	} else if (h->address_count < LIMIT_ADDRESSES) {
		h->addresses[h->address_count++] = a;
	}
}

bool next_hop_is_self(const struct next_hop *h, int fd)
{
	struct sockaddr_storage here = { 0 }, there = { 0 };
	socklen_t here_n = sizeof(here), there_n = sizeof(there);
	unsigned char from[16], to[16];
	char text[IP_TEXT];

	if (getpeername(fd, (struct sockaddr *)&there, &there_n) != 0 || !listens_on(h, &there, true) ||
	    getsockname(fd, (struct sockaddr *)&here, &here_n) != 0 || !endpoint_octets(&here, from) || !endpoint_octets(&there, to) ||
	    memcmp(from, to, 16) != 0)
		return false;
	ip_text(to, text);
	log_refused(h, text, itself(h));
	return true;
}

static bool failed(enum dns_status status)
{
	return status != DNS_OK && status != DNS_NXDOMAIN && status != DNS_NODATA;
}

static enum fault_code no_address(const struct next_hop *h, bool dns_failed)
{
	if (h->self)
		return FAULT_MAIL_LOOP;
	return dns_failed ? FAULT_NEXT_HOP_DNS : h->to->by_mx ? FAULT_NO_ADDRESS : FAULT_NEXT_HOP_DOWN;
}

/* Both answers are here, or one and no more time for the other. */
static void conclude(struct next_hop *h)
{
	static const char *const words[] = { [DNS_OK] = "no usable address", [DNS_NXDOMAIN] = "no such name", [DNS_NODATA] = "no address",
		[DNS_TIMEOUT] = "no answer in time", [DNS_SERVFAIL] = "failure of a DNS server", [DNS_BOGUS] = "DNSSEC proves the answer false" };
	const struct ask_addresses *v4 = &h->names[0].got, *v6 = &h->names[1].got;
	enum dns_status worst = failed(v4->status) || v4->status == DNS_OK ? v4->status : v6->status;
	bool half = failed(v4->status) || failed(v6->status);
	unsigned ttl_s = v4->ttl_s < v6->ttl_s ? v4->ttl_s : v6->ttl_s;
	struct upstream *next;

	loop_timer_stop(&h->other);
	h->address_count = h->first_address = 0;
	h->self = false;
	for (size_t i = 0; i < v6->count; i++)
		add_address(h, v6->at[i]);
	for (size_t i = 0; i < v4->count; i++)
		add_address(h, v4->at[i]);
	if (half && !failed(worst) && h->address_count == 0)
		worst = failed(v6->status) ? v6->status : v4->status;
	h->unknown = (struct fault){ 0 };
	if (h->address_count == 0)
		fault_note(&h->unknown, no_address(h, failed(worst)), 0, "%s: %s", h->to->host, words[worst]);
	if (half && h->address_count)
		ttl_s = HALF_KNOWN_S; /* the other half is asked for again soon */
	h->known_until_ms = loop_now_ms(h->loop) + (half && !h->address_count ? SHORT_MS : (int64_t)ttl_s * 1000);
	for (struct upstream *u = h->all; u; u = next) {
		next = u->next; /* one that is lost stays in the list until the end of the turn */
		if (u->naming)
			upstream_named(u);
	}
}

static void on_other(void *arg)
{
	struct next_hop *h = arg;

	for (size_t i = 0; i < 2; i++) {
		ask_cancel(h->ask, h->names[i].ticket);
		if (h->names[i].ticket)
			h->names[i].got = (struct ask_addresses){ .status = DNS_TIMEOUT };
		h->names[i].ticket = 0;
	}
	conclude(h);
}

static void on_name(struct next_hop *h, size_t which, const struct ask_addresses *got)
{
	struct next_hop_name *n = &h->names[which];

	n->ticket = 0;
	n->got = *got;
	if (!h->names[!which].ticket)
		conclude(h);
	else if (got->count)
		loop_timer_set(h->loop, &h->other, OTHER_MS, on_other, h);
}

static void on_v4(void *arg, const struct ask_addresses *got)
{
	on_name(arg, 0, got);
}

static void on_v6(void *arg, const struct ask_addresses *got)
{
	on_name(arg, 1, got);
}

/* The host is an address as text: there is nothing to ask. */
static enum next_hop_known literal(struct next_hop *h, const unsigned char octets[16])
{
	h->address_count = h->first_address = 0;
	h->self = false;
	add_address(h, octets);
	h->known_until_ms = loop_now_ms(h->loop) + LITERAL_MS;
	h->unknown = (struct fault){ 0 };
	if (h->address_count)
		return NEXT_HOP_KNOWN;
	fault_note(&h->unknown, no_address(h, false), 0, "%s: no usable address", h->to->host);
	return NEXT_HOP_UNKNOWN;
}

enum next_hop_known next_hop_known(struct next_hop *h)
{
	struct slice name = slice_str(h->to->host);
	unsigned char octets[16];

	if (h->to->address.sa_len)
		return NEXT_HOP_KNOWN;
	if (loop_now_ms(h->loop) < h->known_until_ms)
		return h->address_count ? NEXT_HOP_KNOWN : NEXT_HOP_UNKNOWN;
	if (h->names[0].ticket || h->names[1].ticket)
		return NEXT_HOP_ASKED;
	if (ip_parse(name, octets))
		return literal(h, octets);
	for (size_t i = 0; i < 2; i++) {
		h->names[i].ticket = ask_addresses(h->ask, name, i == 1, i ? on_v6 : on_v4, h);
		h->names[i].got = (struct ask_addresses){ .status = DNS_TIMEOUT };
	}
	if (h->names[0].ticket || h->names[1].ticket)
		return NEXT_HOP_ASKED;
	h->unknown = (struct fault){ 0 };
	fault_set(&h->unknown, FAULT_NO_MEMORY, 0);
	h->address_count = 0;
	return NEXT_HOP_UNKNOWN;
}

void next_hop_unask(struct next_hop *h)
{
	for (size_t i = 0; i < 2; i++)
		ask_cancel(h->ask, h->names[i].ticket);
	loop_timer_release(&h->other);
}
