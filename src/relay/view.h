/*
 * view.h - who the client of a session is: the peer itself, whom a PROXY header or XCLIENT names, and what the next hop hears of it.
 */
#ifndef RELAY_VIEW_H
#define RELAY_VIEW_H

#include "out/log.h"
#include "relay/relay.h"
#include "smtp/xclient.h"

/* The client is who has connected. */
void view_peer(struct pair *p, const struct sockaddr_storage *from);
/* Must a PROXY header come first? */
bool view_headless(const struct pair *p);
/* May it say XCLIENT? Asked once, before it could. */
bool view_trusted(const struct pair *p);
/*
 * One more session of the client, while it has room (limits.sessions-per-client) and does not come too often (connects-per-client):
 * FAULT_NONE, TOO_MANY_SESSIONS or TOO_MANY_CONNECTS. And one less.
 */
enum fault_code view_count(struct pair *p) HS_MUST_USE;
void view_uncount(struct pair *p);

/* The header named the client, or nobody (its own address). What view_count() says. */
enum fault_code view_fronted(struct pair *p, const unsigned char address[16], uint16_t port) HS_MUST_USE;
/* So did XCLIENT. */
enum fault_code view_named(struct pair *p, const struct xclient *who) HS_MUST_USE;
/* XFORWARD, of which there may be several; view_forget() with the end of the transaction. */
void view_forward(struct pair *p, const struct xclient *who);
void view_forget(struct pair *p);

/* client=, peer= and forwarded= */
void view_log(const struct pair *p, struct log_line *l);

/* Something came that may make it one of the listener's clients: TLS with a certificate, authentication. */
void view_known(struct pair *p);
/* What policy may know of TLS with it. */
void view_facts(const struct pair *p, struct facts *f);
/* client_cert= and client_cert_verified= */
void view_log_certificate(const struct pair *p, struct log_line *l);

/* Our own address, to which it came. */
void view_server(const struct pair *p, char text_out[46]);

/* What the next hop is told: the client of the session; with what XFORWARD said of it; as a PROXY header, its octets or 0. */
void view_client(const struct pair *p, struct xclient *who_out);
void view_forwarded(const struct pair *p, struct xclient *who_out);
size_t view_head(const struct pair *p, unsigned char out[UPSTREAM_HEAD]);
/* The next hop announces nothing by which it could be told: logged once a worker. */
void view_lacks(const struct pair *p, const struct next_hop *h, const char *keyword);

#endif
