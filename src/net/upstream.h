/*
 * upstream.h - connections to a next hop: opened when a transaction needs one, kept for the next, probed for what it offers.
 */
#ifndef NET_UPSTREAM_H
#define NET_UPSTREAM_H

#include "base/ip.h"
#include "config/conf.h"
#include "net/ask.h"
#include "net/conn.h"
#include "out/count.h"
#include "smtp/cli.h"

struct next_hop;
struct upstream;

/* Octets that a connection may begin with, before the greeting. */
enum { UPSTREAM_HEAD = 52 };

/* Who uses a connection. lost() comes at most once and is the last call. */
struct upstream_user {
	void (*event)(void *arg, const struct cli_event *ev);
	/* Content runs to write once upstream_content() was said; at most max; 0: none for now. */
	size_t (*content)(void *arg, struct iovec *iov, size_t max);
	void (*wrote)(void *arg, size_t n);
	void (*lost)(void *arg, const struct fault *f);
	/* What the next hop said as it refused to serve or took its leave; lost() follows unless another address is tried. May be NULL. */
	void (*refused)(void *arg, const struct reply *r);
};

/*
 * One a server that a listener names, and worker. Starts a probe at once, so that EHLO can announce what the next hop has; a next hop that is down is
 * tried again with growing delay.
 */
struct next_hop *next_hop_new(struct loop *l, struct ask *ask, const struct conf *conf, const struct conf_listener *listener,
    const struct conf_next_hop *to, struct count_page *counts, unsigned slot);
/*
 * The same, quietly: nothing is done before somebody takes a connection, nor to find out whether it is back once it is down, which is
 * forgotten after a minute. One that has connected may take the time that RFC 5321 4.5.3.2.1 gives it for its greeting: no client waits.
 * In:    to: outlives it; its host may be an address as text though sa_len is 0. With by_mx an address at which any listener of ours is
 *        is ourselves (MAIL_LOOP), loopback is no host of mail unless such hosts have a port for tests, and a name that surely has no
 *        address will not get one soon (NO_ADDRESS)
 *        tls: borrowed, outlives it; NULL: the listener wants none
 */
struct next_hop *next_hop_new_quiet(struct loop *l, struct ask *ask, const struct conf *conf, const struct conf_listener *listener,
    const struct conf_next_hop *to, struct tls_context *tls, struct count_page *counts, unsigned slot);
/* What the next hops of a listener have in common of TLS, to be handed to quiet ones. NULL in tls_out: it wants none. False: logged. */
bool next_hop_make_tls(const struct conf_listener *listener, const char *name, struct tls_context **tls_out) HS_MUST_USE;
/* Closes every connection; users are not told. */
void next_hop_free(struct next_hop **h);
enum next_hop_state {
	NEXT_HOP_NEW, /* its first probe has not ended, or, quiet, nothing is known of it */
	NEXT_HOP_UP,
	NEXT_HOP_DOWN /* probed until it comes back, unless it is a quiet one; it may be tried all the same */
};
enum next_hop_state next_hop_state(const struct next_hop *h);
/* Somebody is going to use it: next_hop_unused() is false until it is let go as often. */
void next_hop_hold(struct next_hop *h);
void next_hop_let_go(struct next_hop *h);
/* Nobody holds it or waits for a connection, none is open and no address is asked for: it may be freed. */
bool next_hop_unused(const struct next_hop *h);
/* Where the supervisor reads how it is; NULL: nowhere. */
void next_hop_show(struct next_hop *h, struct count_hop *shown);
/* It connects, but serves no mail (or, in `f`, what else it did): down. That it does not connect is known without being said. */
void next_hop_bad(struct next_hop *h, const struct fault *f);
/* State, or what it announces, is another than before. One `on` each; it may not take a connection. */
void next_hop_on_change(struct next_hop *h, void (*on)(void *arg), void *arg);
/* What it announced last; NULL: not up. */
const struct ext *next_hop_ext(const struct next_hop *h);
const char *next_hop_name(const struct next_hop *h); /* as the configuration has it */
bool next_hop_lmtp(const struct next_hop *h);        /* speaks LMTP (RFC 2033) */
bool next_hop_by_mx(const struct next_hop *h);       /* as its conf_next_hop says */
/* What a connection of our own begins with, nobody's client: a PROXY header of the kind LOCAL where the listener has one. In `room`. */
struct slice next_hop_head(const struct next_hop *h, unsigned char room[UPSTREAM_HEAD]);
/* A connection came or failed to: `on` hears when the first probe has ended, whatever its outcome. */
void next_hop_on_probe(struct next_hop *h, void (*on)(void *arg), void *arg);

/*
 * upstream_must_wait - has the next hop as many connections of this worker as it may have (pool.max, LIMIT_OPENING)?
 * In:    woken: it was just told that there is room; else those that wait already come first
 */
bool upstream_must_wait(const struct next_hop *h, bool woken);
/*
 * upstream_wait - to be called once there may be one (room), or after `ms` (not room); never before this returns
 * In:    w: caller's storage, zeroed before its first use; w->hop is NULL when it does not wait; before it goes, upstream_unwait()
 */
struct upstream_wait {
	struct next_hop *hop;
	struct upstream_wait *next, **at;
	struct loop_timer timer;
	void (*on)(void *arg, bool room);
	void *arg;
};
void upstream_wait(struct next_hop *h, struct upstream_wait *w, int64_t ms, void (*on)(void *arg, bool room), void *arg);
void upstream_unwait(struct upstream_wait *w);

/*
 * upstream_take - a connection for one transaction; `fresh`: not one from the pool
 * In:    head: at most UPSTREAM_HEAD octets for the front of the connection; one from the pool began with the very same
 * Out:   ready ones may be commanded at once (cli_ready()); else CLI_EV_READY comes. NULL: no descriptor or memory.
 */
struct upstream *upstream_take(struct next_hop *h, bool fresh, struct slice head, const struct upstream_user *user, void *arg);
/*
 * upstream_give - the user is done with it; no further calls. It goes to the pool: at once when `clean` (no transaction is open
 * there), else after RSET; when content was under way it is closed.
 */
void upstream_give(struct upstream **u, bool clean);
/* Not to be used again: closed at once. */
void upstream_drop(struct upstream **u);

/* The user waits no longer than this for what the next hop owes, from now on; 0: as long as the protocol says. */
void upstream_within(struct upstream *u, int64_t ms);

struct cli *upstream_cli(struct upstream *u);
const struct tls *upstream_tls(const struct upstream *u); /* NULL: in clear */
bool upstream_reused(const struct upstream *u); /* came from the pool */
/* Of the address that it leads to, or was tried last; good in lost() as well. Empty: none yet. */
void upstream_address(const struct upstream *u, char out[IP_TEXT]);
/* After the 354: pull content from the user, after what the machine has to say. */
void upstream_content(struct upstream *u);
/* Something was commanded: write it. */
void upstream_push(struct upstream *u);

#endif
