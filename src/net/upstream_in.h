/*
 * upstream_in.h - what upstream.c (one connection) and next_hop.c (the server, its health, its pool) know of each other.
 */
#ifndef NET_UPSTREAM_IN_H
#define NET_UPSTREAM_IN_H

#include "base/limits.h"
#include "net/ask.h"
#include "net/trouble.h"
#include "net/upstream.h"

enum upstream_state {
	UP_OPENING, /* connect, banner, EHLO */
	UP_USED,    /* a transaction has it */
	UP_RESET,   /* given back, RSET not answered yet */
	UP_POOL,    /* idle, anybody's */
	UP_GONE     /* closed; freed at the end of the turn */
};

struct upstream {
	struct conn conn;
	struct cli *cli;
	struct next_hop *hop;
	struct upstream *next, **at;           /* in hop->all */
	struct upstream *pool_next, **pool_at; /* in hop->pool */
	const struct upstream_user *user;
	void *arg;
	struct loop_timer deadline;
	struct loop_later write; /* once a turn, so that commands travel together */
	struct loop_later again; /* opening: another address, or the same in clear */
	struct loop_later doom;
	enum upstream_state state;
	unsigned armed_s;      /* the machine's deadline that the timer was set for */
	int64_t open_until_ms; /* opening: for all of it */
	int64_t within_ms;     /* and when the user has no more time for it; 0: the time there is is his */
	int64_t hurry_until_ms; /* the user has no more time than this; 0: the machine's deadline alone */
	int64_t granted_ms;    /* by the deadline that runs */
	size_t address;        /* of the next hop */
	size_t addresses_tried; /* before it */
	unsigned messages;     /* transactions that have had it */
	size_t block_octets;   /* of content since the deadline was set */
	bool naming;           /* opening: waits for addresses */
	bool content;          /* the user has octets to send */
	bool probe;            /* nobody's yet */
	bool spare;            /* counted in hop->spare */
	bool opening;          /* in hop->opening */
	bool half_closed;      /* lost by the end of what it had to say */
	bool reused;
	bool late;             /* lost by its deadline */
	bool addressed;        /* `ip` is where it leads to, or was to lead to last */
	unsigned char ip[16];
	unsigned char head_octets;
	unsigned char head[UPSTREAM_HEAD]; /* what it began with: whose connection it is */
};

/* A question for addresses, and its answer. */
struct next_hop_name {
	ask_ticket ticket; /* 0: answered */
	struct ask_addresses got;
};

struct next_hop {
	struct loop *loop;
	struct ask *ask;
	const struct conf *conf;
	const struct conf_listener *listener;
	const struct conf_next_hop *to;
	struct tls_context *tls;   /* NULL: none; a quiet one's is another's */
	int64_t clear_until_ms;    /* with NEXT_HOP_TLS_MAY */
	struct count_page *counts;
	unsigned slot;
	bool quiet;                /* it is left alone unless somebody uses it */

	struct upstream *all;
	struct upstream *pool; /* idle ones, the last used first */
	size_t pooled, spare;
	size_t open, opening;      /* all of them; those not ready yet */
	size_t held;               /* by how many who are going to use it */
	struct upstream_wait *waiting, **waiting_end; /* for room, the first to come first; the end only while there is one */
	struct loop_later wake;
	struct trouble full;
	struct count_hop *shown;   /* NULL: nobody looks */

	struct conf_address addresses[LIMIT_ADDRESSES];
	size_t address_count;
	size_t first_address;      /* the one that answered last */
	struct next_hop_name names[2]; /* A, AAAA */
	struct loop_timer other;   /* for the second of them */
	int64_t known_until_ms;    /* what DNS said is good */
	struct fault unknown;      /* why there is no address */
	bool self;                 /* it led to the listener itself */

	enum next_hop_state state;
	struct ext ext;            /* while it is up */
	int64_t up_since_ms;
	struct loop_timer retry;   /* down: a probe, or, quiet, oblivion */
	int64_t retry_ms;
	struct loop_later no_probe; /* the probe could not even be opened */
	void (*on_probe)(void *arg);
	void *on_probe_arg;
	void (*on_change)(void *arg);
	void *on_change_arg;
};

/* upstream.c */
/* NULL: no descriptor or memory. */
struct upstream *upstream_open(struct next_hop *h, struct slice head, const struct upstream_user *user, void *arg);
void upstream_doom(struct upstream *u);
/* What it waits for, addresses or none, is known now. */
void upstream_named(struct upstream *u);
/* It is doomed already, and the loop goes: frees it. */
void upstream_destroy(void *arg);

/* next_hop.c */
/* One of its connections is ready, and offers this; NULL: in somebody's name, which says nothing to others. */
void next_hop_ready(struct next_hop *h, const struct ext *ext);
/* One could not be made, or next_hop_bad() was said. */
void next_hop_failed(struct next_hop *h, const struct fault *f);
/* Its state, or the number of its connections, has changed. */
void next_hop_changed(const struct next_hop *h);
/* The end of an opening, whatever came of it. */
void next_hop_probed(struct next_hop *h);

/* next_hop_pool.c */
/* A connection is idle or gone, or in the making no more: somebody who waits may have one. */
void next_hop_wake(struct next_hop *h);

/* next_hop_address.c */
enum next_hop_known {
	NEXT_HOP_KNOWN,   /* address_count of them, at least one */
	NEXT_HOP_ASKED,   /* upstream_named() comes */
	NEXT_HOP_UNKNOWN  /* and will be for a while: h->unknown tells */
};
enum next_hop_known next_hop_known(struct next_hop *h);
/* Is it the listener that this connected socket leads to, or, by MX, any listener of ours? */
bool next_hop_is_self(const struct next_hop *h, int fd);
void next_hop_unask(struct next_hop *h);

#endif
