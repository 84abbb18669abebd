/*
 * relay.h - what the files of this room share: a worker's relay, its listeners, the client sessions and their transactions.
 */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include "net/ask.h"
#include "net/listen.h"
#include "net/upstream.h"
#include "relay/hold.h"
#include "smtp/body.h"
#include "smtp/srv.h"

struct relay;
struct pair;
struct store;
struct tx;
struct login;
struct dovecot;

struct relay_listener {
	struct relay *relay;
	const struct conf_listener *conf;
	struct srv_conf srv;
	struct next_hop **next_hops; /* in the order of conf->next_hops */
	size_t next_hop_count;
	struct ext common;         /* what all that are up announce */
	bool any_up;
	struct tls_context *tls;   /* NULL: none */
	struct dovecot *dovecot;   /* that says who may authenticate; NULL: passwords of ours do, or nobody may */
	struct listen_socket *sockets;
	size_t socket_count;
	bool told_lacks;           /* that the next hop cannot be told who the client is */
};

/* One a worker. */
struct relay {
	struct loop *loop;
	const struct conf *conf;
	struct ask *ask;
	struct count_page *counts;
	unsigned slot;
	struct clients clients;
	struct hold_budget budget;
	struct store *store;       /* NULL: no listener has mode queue */
	struct relay_listener *listeners;
	struct pair *pairs;
	size_t pair_count;
	size_t lingering;          /* of them */
	size_t pair_peak;          /* most of them since memory was given back to the system */
	size_t crowd;              /* so many are a crowd: commands have less time */
	int fd_max;                /* a session whose descriptor lies above is refused */
	struct trouble full;       /* it happens */
	uint64_t refused;          /* sessions, since the log said so */
	uint64_t refused_told;     /* how many that line stood for; 0: there was none yet */
	int64_t refused_told_ms;
	struct login *logins;      /* passwords that are turned into keys, the next one first */
	size_t login_count;
	struct loop_timer work;    /* and the next part of it */
	uint64_t start_ms;         /* makes names of sessions and transactions unique over restarts, however quick */
	uint32_t tx_count;
	size_t unprobed;           /* next hops whose first probe has not ended */
	struct loop_timer probes;  /* how long they are waited for */
	void (*ready)(void *arg);  /* NULL: said */
	void *ready_arg;
	struct loop_timer drain;   /* its deadline */
	bool draining;             /* no new sessions; the rest go at the deadline */
	bool closing;              /* the deadline has come: 421 between transactions */
	void (*empty)(void *arg);  /* draining, and the last session is gone */
	void *empty_arg;
};

/*
 * relay_new - listeners and next hops of a worker
 * In:    listen_fds in the order of the configuration's addresses, owned from now on; spool_fd: directory for body files
 */
struct relay *relay_new(struct loop *l, const struct conf *conf, struct ask *ask, struct count_page *counts, unsigned slot,
    const int *listen_fds, size_t listen_count, int spool_fd);
/* The channel to the queue process from now on (owned; -1: none). */
void relay_set_queue(struct relay *r, int fd);
/* Have all next hops been probed once? `on` comes when they have, or have had time enough. */
void relay_on_ready(struct relay *r, void (*on)(void *arg), void *arg);
/* Takes no new sessions; after `seconds` those that are left get 421 4.3.2 between transactions. `empty` may come at once. */
void relay_drain(struct relay *r, unsigned seconds, void (*empty)(void *arg), void *arg);
int64_t relay_unix_s(const struct relay *r);
/* When this process started, 44 bits: with the slot and a number it names what is to have a name that nothing else ever had. */
uint64_t relay_start_ms(void);
/* May a next hop that lacks REQUIRETLS be told by a field in the message? */
bool relay_by_field(const struct relay_listener *l);

/* One client session (pair.c). */
struct pair {
	struct relay *relay;
	struct relay_listener *listener;
	struct pair *next, **at;
	struct conn conn;
	struct srv *srv;
	struct loop_timer deadline;
	struct loop_later going_on;
	struct loop_later doom;
	struct arena arena;        /* of the transaction */
	struct tx *tx;             /* NULL: none */
	unsigned char client[16];  /* IPv4 as ::ffff:a.b.c.d */
	unsigned char client_key[16];
	char client_text[46];
	char peer_text[46];        /* whom the connection came from, when it speaks for the client; else empty */
	uint16_t client_port;      /* 0: not known */
	struct xclient *named;     /* what XCLIENT said; NULL: nothing */
	struct xclient *forwarded; /* what XFORWARD said for this transaction or the next one; NULL: nothing */
	char name[32];             /* of the session, in logs */
	uint32_t tx_count;
	uint32_t faults;           /* commands and contents refused here */
	size_t block_octets;       /* since the deadline was set, in content */
	bool known_client;         /* in `clients` of the listener, or as good as that: view_known() */
	char *user;                /* it has authenticated as; NULL: it has not */
	struct login *login;       /* it is about to; NULL: it is not */
	bool spoken_for;           /* by XCLIENT: the peer, and what it shows in TLS, is not the client */
	bool counted;
	bool client_counted;       /* in relay->clients, by client_key */
	uint32_t rate_told;        /* connections of the client that were refused since it was told of last; 0: told lately */
	bool headless;             /* its PROXY header has not come yet */
	bool greeted;
	bool secured;              /* counted as inside TLS */
	bool shaking;              /* TLS was asked for and is not there yet */
	bool closing;              /* closes once its replies are written */
	bool cut_off;              /* it may be speaking still, and has not been told before that this is the end */
	bool lingering;            /* the last word is said; what still comes is dropped */
	size_t dropped_octets;     /* of that */
	bool eof;                  /* the client shut down its writing half */
	bool dead;                 /* the client is gone; only the answer to its content is still awaited, for the log */
	bool going;                /* inside what pair_go_on() asked for */
	bool gone;                 /* freed at the end of the turn */
};

/* What its next hops that are up have in common (hop.c), kept as they come and go. */
void hop_watch(struct relay_listener *l);

struct pair *pair_of(void *arg);
/* A reply was queued or something finished: at the end of the turn it writes, goes on reading, closes. */
void pair_go_on(struct pair *p);
void pair_deadline(struct pair *p);
/* A line about what its client did wrong. */
void pair_log(struct pair *p, const struct fault *f);
/* Drops the session at once. */
void pair_doom(struct pair *p);
void pair_accept(struct relay_listener *l, int fd, const struct sockaddr_storage *from);

/* Its transaction (tx.c). */
void tx_mail(struct pair *p, const struct srv_event *ev);
void tx_rcpt(struct pair *p, const struct srv_event *ev);
void tx_data(struct pair *p, const struct srv_event *ev);
void tx_content(struct pair *p, struct slice octets);
/* The content is refused, the rest of it swallowed by the server machine. */
void tx_bad(struct pair *p, const struct fault *f);
void tx_whole(struct pair *p, const struct srv_event *ev);
/* RSET, or the client is gone. */
void tx_abort(struct pair *p, const char *why);
/* The client has waited long for the answer to its content; see tx_late_s(). */
void tx_late(struct pair *p);
/* Seconds from now until tx_late() is due. */
unsigned tx_late_s(const struct pair *p);
/* Has the next hop the whole content? Then its answer is awaited, whoever has gone. */
bool tx_dot_said(const struct pair *p);

#endif
