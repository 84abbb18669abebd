#include <stdlib.h>
#include <string.h>

#include "base/ip.h"
#include "net/rate.h"
#include "relay/login.h"
#include "relay/view.h"
#include "smtp/proxy.h"

static bool holds(const struct cidr *nets, size_t count, const unsigned char address[16])
{
	for (size_t i = 0; i < count; i++)
		if (cidr_holds(&nets[i], address))
			return true;
	return false;
}

static void from_socket(const struct sockaddr_storage *sa, unsigned char address[16], uint16_t *port)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)sa;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)sa;

	memset(address, 0, 16);
	if (sa->ss_family == AF_INET6) {
		memcpy(address, &in6->sin6_addr, 16);
		*port = ntohs(in6->sin6_port);
	} else {
		address[10] = address[11] = 0xff;
		memcpy(address + 12, &in->sin_addr, 4);
		*port = ntohs(in->sin_port);
	}
}

/* The client's: who speaks for it by XCLIENT showed his own, while TLS behind a PROXY header is with the client. NULL: there is none. */
static const char *certificate(const struct pair *p)
{
	return p->conn.tls && !p->spoken_for ? tls_fingerprint(p->conn.tls) : NULL;
}

void view_known(struct pair *p)
{
	const struct conf_listener *l = p->listener->conf;
	const char *fingerprint = certificate(p);

	p->known_client = p->user || holds(l->clients, l->client_count, p->client) ||
	    (fingerprint && l->tls.clients_verified && tls_verified(p->conn.tls));
	for (size_t i = 0; fingerprint && i < l->tls.client_count; i++)
		p->known_client |= strcmp(l->tls.clients[i], fingerprint) == 0;
}

static void set(struct pair *p, const unsigned char address[16], uint16_t port)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct sockaddr_storage sa = { 0 };

	memmove(p->client, address, 16);
	p->client_port = port;
	ip_text(p->client, p->client_text);
	memcpy(&in6.sin6_addr, p->client, 16);
	memcpy(&sa, &in6, sizeof(in6));
	clients_key(&sa, p->client_key);
	if (p->listener)
		view_known(p);
}

void view_peer(struct pair *p, const struct sockaddr_storage *from)
{
	unsigned char address[16];
	uint16_t port;

	from_socket(from, address, &port);
	set(p, address, port);
}

bool view_headless(const struct pair *p)
{
	return holds(p->listener->conf->proxy_from, p->listener->conf->proxy_from_count, p->client);
}

bool view_trusted(const struct pair *p)
{
	return holds(p->listener->conf->xclient_from, p->listener->conf->xclient_from_count, p->client);
}

enum fault_code view_count(struct pair *p)
{
	struct relay *r = p->relay;
	struct clients *c = &r->clients;

	if (!rate_take(r->counts, RATE_CONNECTS, slice_of(p->client_key, sizeof(p->client_key)), loop_now_ms(r->loop), r->conf->limits.connects_per_client, &p->rate_told))
		return FAULT_TOO_MANY_CONNECTS;
	p->client_counted = clients_sessions(c, p->client_key) < r->conf->limits.sessions_per_client && clients_add(c, p->client_key);
	return p->client_counted ? FAULT_NONE : FAULT_TOO_MANY_SESSIONS;
}

void view_uncount(struct pair *p)
{
	if (p->client_counted)
		clients_drop(&p->relay->clients, p->client_key);
	p->client_counted = false;
}

/* Somebody else than the peer, unless it is the peer again. */
static enum fault_code become(struct pair *p, const unsigned char address[16], uint16_t port)
{
	char before[IP_TEXT];

	view_uncount(p);
	memcpy(before, p->client_text, sizeof(before));
	set(p, address, port);
	if (!p->peer_text[0] && strcmp(before, p->client_text) != 0)
		memcpy(p->peer_text, before, sizeof(before));
	return view_count(p);
}

enum fault_code view_fronted(struct pair *p, const unsigned char address[16], uint16_t port)
{
	return become(p, address, port);
}

enum fault_code view_named(struct pair *p, const struct xclient *who)
{
	static const unsigned char nobody[16] = { [10] = 0xff, [11] = 0xff }; /* 0.0.0.0, as Postfix has it */

	/* Attributes that it does not name stay as they were, except that a new address has no old name. */
	if (who->said & (XCLIENT_ADDR | XCLIENT_NAME)) {
		free(p->named);
		p->named = who->known & XCLIENT_NAME ? malloc(sizeof(*p->named)) : NULL;
		if (p->named)
			*p->named = *who;
	}
	view_forget(p);
	login_forget(p);
	view_known(p);
	if (!(who->said & XCLIENT_ADDR)) {
		if (who->said & XCLIENT_PORT)
			p->client_port = who->known & XCLIENT_PORT ? who->port : 0;
		return FAULT_NONE;
	}
	p->spoken_for = true;
	return become(p, who->known & XCLIENT_ADDR ? who->address : nobody, who->known & XCLIENT_PORT ? who->port : 0);
}

void view_forward(struct pair *p, const struct xclient *who)
{
	struct xclient *f = p->forwarded;

	if (!f)
		f = p->forwarded = calloc(1, sizeof(*f));
	if (!f) {
		log_note(LOG_LEVEL_ERROR, "oom", "session=%s XFORWARD", p->name);
		return;
	}
	f->said |= who->said;
	f->known = (f->known & ~who->said) | who->known;
	if (who->known & XCLIENT_ADDR)
		memcpy(f->address, who->address, sizeof(f->address));
	if (who->known & XCLIENT_PORT)
		f->port = who->port;
	if (who->known & XCLIENT_PROTO)
		f->esmtp = who->esmtp;
	if (who->known & XCLIENT_SOURCE)
		f->local = who->local;
	if (who->known & XCLIENT_NAME)
		memcpy(f->name, who->name, sizeof(f->name));
	if (who->known & XCLIENT_HELO)
		memcpy(f->helo, who->helo, sizeof(f->helo));
	if (who->known & XCLIENT_IDENT)
		memcpy(f->ident, who->ident, sizeof(f->ident));
}

void view_forget(struct pair *p)
{
	free(p->forwarded);
	p->forwarded = NULL;
}

void view_log(const struct pair *p, struct log_line *l)
{
	char text[IP_TEXT];

	log_str(l, "client", p->client_text);
	if (p->peer_text[0])
		log_str(l, "peer", p->peer_text);
	if (p->forwarded && p->forwarded->known & XCLIENT_ADDR) {
		ip_text(p->forwarded->address, text);
		log_str(l, "forwarded", text);
	}
}

void view_facts(const struct pair *p, struct facts *f)
{
	const struct tls *tls = p->conn.tls;
	const char *fingerprint = certificate(p);

	facts_set(f, FACT_TLS, tls ? slice_str(tls_version(tls)) : S("none"));
	facts_set(f, FACT_CLIENT_CERTIFICATE, fingerprint ? slice_str(fingerprint) : S("none"));
	facts_set(f, FACT_CLIENT_CERTIFICATE_VERIFIED, fingerprint && tls_verified(tls) ? S("yes") : S("no"));
}

void view_log_certificate(const struct pair *p, struct log_line *l)
{
	const char *fingerprint = certificate(p);

	if (!fingerprint)
		return;
	log_str(l, "client_cert", fingerprint);
	if (p->listener->conf->tls.client_ca)
		log_str(l, "client_cert_verified", tls_verified(p->conn.tls) ? "yes" : "no");
}

void view_client(const struct pair *p, struct xclient *who)
{
	struct slice helo = srv_helo(p->srv);

	*who = (struct xclient){ .known = XCLIENT_ADDR | XCLIENT_PROTO, .esmtp = srv_esmtp(p->srv), .port = p->client_port };
	memcpy(who->address, p->client, sizeof(who->address));
	if (p->client_port)
		who->known |= XCLIENT_PORT;
	if (helo.n) {
		who->known |= XCLIENT_HELO;
		xclient_text(who->helo, helo);
	}
	if (p->named) {
		who->known |= XCLIENT_NAME;
		memcpy(who->name, p->named->name, sizeof(who->name));
	}
}

void view_forwarded(const struct pair *p, struct xclient *who)
{
	if (p->forwarded) /* what it does not say of that client is not known: it would be said of another */
		*who = *p->forwarded;
	else
		view_client(p, who);
}

static void server_address(const struct pair *p, unsigned char address[16], uint16_t *port)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t n = sizeof(sa);

	if (getsockname(p->conn.fd, (struct sockaddr *)&sa, &n) != 0)
		sa = p->listener->conf->addresses[0].sa;
	from_socket(&sa, address, port);
}

void view_server(const struct pair *p, char text[IP_TEXT])
{
	unsigned char address[16];
	uint16_t port;

	server_address(p, address, &port);
	ip_text(address, text);
}

size_t view_head(const struct pair *p, unsigned char out[UPSTREAM_HEAD])
{
	unsigned char server[16];
	uint16_t port;

	if (p->listener->conf->next_hop_client != NEXT_HOP_CLIENT_PROXY)
		return 0;
	server_address(p, server, &port);
	return proxy_write(p->client, p->client_port, server, port, out);
}

void view_lacks(const struct pair *p, const struct next_hop *h, const char *keyword)
{
	if (p->listener->told_lacks)
		return;
	p->listener->told_lacks = true;
	log_note(LOG_LEVEL_WARNING, "up_lacks", "%s announces no %s: it takes us for the client", next_hop_name(h), keyword);
}
