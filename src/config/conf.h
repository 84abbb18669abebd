/*
 * conf.h - checked settings (hopseal.conf(5)). Pure; config/load reads the file.
 *
 * A conf is immutable once loaded and lives in its own arena; a reload makes a new one. Strings are NUL-terminated and normal:
 * domains by domain_normal(), addresses parsed. Every setting is one row of conf_key.def.
 */
#ifndef CONFIG_CONF_H
#define CONFIG_CONF_H

#include <netinet/in.h>

#include "base/arena.h"
#include "config/mistake.h"
#include "config/passwords.h"
#include "crypt/key.h"
#include "policy/rule.h"
#include "route/table.h"

/* Of one generation: four may live at a time, and a worker has a slot in out/count for itself. */
enum { CONF_WORKERS = 64 };

enum conf_service { SERVICE_PASS, SERVICE_INBOUND, SERVICE_OUTBOUND, SERVICE_FORWARD, SERVICE_LIST_IN, SERVICE_LIST_OUT };
enum conf_mode { MODE_PROXY, MODE_QUEUE };
enum conf_seal { SEAL_NEEDED, SEAL_ALWAYS };
enum conf_from { FROM_READABLE, FROM_ANY };
enum conf_unsealed { UNSEALED_PASS, UNSEALED_REFUSE };
enum conf_next_hop_client { NEXT_HOP_CLIENT_NONE, NEXT_HOP_CLIENT_XCLIENT, NEXT_HOP_CLIENT_XFORWARD, NEXT_HOP_CLIENT_PROXY };
enum conf_tls_mode { TLS_NONE, TLS_MAY, TLS_REQUIRE, TLS_IMPLICIT };
enum conf_client_certificate { CLIENT_CERTIFICATE_NONE, CLIENT_CERTIFICATE_ASK, CLIENT_CERTIFICATE_REQUIRE };
enum conf_next_hop_tls_mode { NEXT_HOP_TLS_NONE, NEXT_HOP_TLS_MAY, NEXT_HOP_TLS_REQUIRE, NEXT_HOP_TLS_VERIFY, NEXT_HOP_TLS_IMPLICIT };
enum conf_requiretls { REQUIRETLS_NONE, REQUIRETLS_PASS, REQUIRETLS_HEADER };
enum conf_log_format { LOG_TEXT, LOG_JSON };
enum conf_log_to { LOG_STDERR, LOG_SYSLOG, LOG_FILE };

/* Flags of a seal (f=) that a listener may set, as bits in the order of their names. */
enum { CONF_FLAG_EXPLODED = 1, CONF_FLAG_FEEDBACK = 2, CONF_FLAG_FEEDHERE = 4, CONF_FLAGS = 3 };
extern const char *const conf_flag_names[CONF_FLAGS];

struct conf_address {
	struct sockaddr_storage sa; /* port in it */
	socklen_t sa_len;
	const char *text;           /* as written */
	const char *where;          /* "file:line" */
};

struct conf_key {
	const char *domain, *selector, *file;
	bool active;                /* else retired: published, no longer signs */
	unsigned group;             /* keys of one sign together, another is an alternative */
	enum key_type type;         /* filled by load, which reads the file's public half only to check it */
	const char *where;
};

/* A file of PEM, and what it held when the configuration was read (malloced; conf_forget_tls() wipes it). */
struct conf_pem {
	const char *file;  /* NULL: none */
	const char *where; /* "file:line" of the setting */
	struct buf held;
};

/* A certificate, with those between it and a root, and its key. */
struct conf_certificate {
	struct conf_pem chain, key;
};

/* A listener's TLS. */
struct conf_tls {
	enum conf_tls_mode mode;
	struct conf_certificate *certificates; /* the first is for clients that name no server, or another one; none with TLS_NONE */
	size_t certificate_count;
	enum conf_client_certificate client_certificate;
	struct conf_pem *client_ca;            /* NULL: any certificate will do */
	const char **clients;                  /* fingerprints of certificates: who holds one is in `clients` */
	size_t client_count;
	bool clients_verified;                 /* and so is who holds one that client_ca verifies, which there is then */
	unsigned timeout_ms;                   /* of the handshake */
};

/* Who may authenticate to a listener. */
struct conf_auth {
	const char *passwords_file;            /* NULL: none */
	const char *dovecot;                   /* socket of its authentication service; NULL: none. Without either nobody may */
	const char *where;
	struct passwords *passwords;           /* conf_forget_passwords() wipes it */
	unsigned attempts;                     /* of a client address at once, and a minute; 0: any number */
};

/* And that of its next hop. */
struct conf_next_hop_tls {
	enum conf_next_hop_tls_mode mode;     /* never IMPLICIT */
	const char *name;                     /* for all next hops; NULL: each has its own */
	bool implicit;                        /* from the first octet; then the mode is REQUIRE or VERIFY */
	struct conf_pem *ca;                  /* NULL but with NEXT_HOP_TLS_VERIFY */
	struct conf_certificate *certificate; /* our own; NULL: none */
};

/* A server that mail goes to. */
struct conf_next_hop {
	struct conf_address address; /* text: as written, all of it; sa_len 0: a host name, whose addresses DNS knows */
	const char *host;            /* the name, normal, or the address without brackets and port */
	uint16_t port;
	bool lmtp;
	const char *tls_name;        /* asked for, and to be found in its certificate: a host name or an address */
	bool by_mx;                  /* named by the DNS of whoever mail is for, not by the operator */
};

/* Where a message may go: the next hops of one list. */
struct conf_route {
	const size_t *hops;          /* in the listener's next_hops, in order of preference, none twice */
	size_t hop_count;            /* 1..LIMIT_ROUTE */
};

struct conf_listener {
	const char *name;
	const char *where;
	struct conf_address *addresses;
	size_t address_count;
	enum conf_service service;
	enum conf_mode mode;
	struct conf_next_hop *next_hops; /* all it names, at least one but with route_mx */
	size_t next_hop_count;
	struct conf_route *routes;    /* without a table one */
	size_t route_count;
	bool route_mx;                /* next-hop = "mx", mode queue: by DNS; then there are no next_hops, routes and table */
	bool open_relay;              /* said so: anyone may send to anyone */
	const struct table *table;    /* which recipients have which route: its lists, in their order; NULL: all the same */
	const char *table_file, *table_where;
	enum conf_next_hop_client next_hop_client;
	struct cidr *proxy_from;      /* who begins with a PROXY header */
	size_t proxy_from_count;
	struct cidr *xclient_from;    /* who may say XCLIENT and XFORWARD */
	size_t xclient_from_count;
	struct cidr *clients;         /* who may send to anyone */
	size_t client_count;
	const char **domains;         /* sorted, each once: conf_takes() */
	size_t domain_count;
	const char *domains_file, *domains_where; /* domains = "table:FILE"; NULL: a list */
	bool share_all;               /* share = "all" */
	enum conf_seal seal;
	enum conf_unsealed unsealed;
	enum conf_from from;
	unsigned flags;               /* CONF_FLAG_..., set in every seal made here */
	struct cidr *extend_unverified_from; /* whose chains are extended though they are not Fully Verified */
	size_t extend_unverified_from_count;
	unsigned verify;              /* ENGINE_... bits of auth/engines.h */
	bool dkim;                    /* what begins here is signed with DKIM as well */
	const char *arc_seal;         /* domain of an active key; NULL: none */
	const char *arc_seal_where;
	bool shadow;
	unsigned greet_pause_ms;
	const char *authserv_id;      /* hostname by default */
	const struct policy *policy;  /* NULL: accept */
	const char *policy_name;
	struct conf_tls tls;
	struct conf_auth auth;
	struct conf_next_hop_tls next_hop_tls;
	enum conf_requiretls requiretls;
	const char *requiretls_where;
	bool sealing;                 /* service outbound, forward, list-out */
};

struct conf {
	struct arena arena;
	const char *file;
	const char *hostname;
	unsigned workers;             /* resolved: 1..CONF_WORKERS */
	const char *user;
	struct {
		const char *resolver;     /* "auto" or address[:port] */
		const char *trust_anchor; /* "auto", "none" or a file */
		const char *answers;      /* offline file, or NULL */
		unsigned timeout_ms;      /* budget of all questions of a message, 25000 */
		unsigned cache_max;       /* answers a worker keeps */
	} dns;
	const char *state_dir, *spool_dir, *run_dir;
	const char *spool_where;      /* "file:line" of spool.dir, or of where it could stand */
	uint64_t spool_reserve_octets; /* spool.reserve: so much is left free on the disk */
	struct {
		unsigned retry_min_s, retry_max_s; /* between attempts of a copy */
		unsigned expire_s;        /* a message that is older is reported as failed */
		unsigned warn_s;          /* a message that is older is reported as delayed, once, to those who ask; 0: never */
		unsigned concurrency;     /* deliveries to one destination at a time */
		unsigned deliveries;      /* and to all of them */
		uint16_t mx_port;         /* 25 but in tests */
	} queue;
	struct {
		enum conf_log_format format;
		enum conf_log_to to;
		const char *file;
	} log;
	struct {
		uint64_t message_octets;  /* message-size */
		uint64_t header_octets;   /* header */
		unsigned header_fields;
		unsigned sessions, sessions_per_client, connects_per_client;
		uint64_t memory_octets;   /* memory: all workers together */
		uint64_t body_memory_octets; /* body-memory: a message's content above this goes to an unlinked file */
	} limits;
	struct {
		unsigned client, sender_domain, recipient_domain; /* a minute; 0: no limit */
	} rates;
	struct {
		unsigned command_ms, content_ms, crowded_ms;
	} timeouts;
	struct {
		unsigned draft;           /* 6..9, verification */
		unsigned future_s;        /* 300 */
		uint64_t undo_octets;     /* undo: of earlier bodies, hashed for a message */
		int64_t now;              /* clock = "UNIX" for tests; -1: the machine's */
	} dkim2;
	struct {
		unsigned signatures_max;
		bool trust_l;             /* partial */
	} dkim;
	struct {
		const char **trusted;     /* domains */
		size_t trusted_count;
	} arc;
	struct {
		unsigned idle_ms, idle_max, max, messages, connect_ms; /* next-hop pool; messages: 0 is any number */
	} pool;
	bool sandbox;
	unsigned drain_s;             /* a reload's old workers get this long */
	struct conf_key *keys;
	size_t key_count;
	struct conf_listener *listeners;
	size_t listener_count;
	struct slice warnings;        /* what conf_warning_next() takes */
	const struct conf_tree *tree; /* the settings as they were said, for conf_show() */
};

/*
 * conf_load - reads, checks and completes a configuration (I/O: files only, no sockets)
 * In:    errors initialised (conf_errors_init); relative names in the file start from its folder
 * Fault: NULL with every mistake in *errors; 78 is the caller's exit code
 * Key files, trust anchors and offline answers are opened to be checked; nothing of them is kept. The listeners' certificates and
 * TLS keys are: workers, which may not read the files, are forked with them.
 */
struct conf *conf_load(const char *file, struct conf_errors *errors);
/* The same for a daemon that is to start with it: its folders must be there, or places to make them (folders.h). */
struct conf *conf_load_start(const char *file, struct conf_errors *errors);
/*
 * Where the daemon of that file runs, malloced: run.dir alone, whatever else is wrong in it, and no key is opened, so that who
 * may talk to the daemon need not be allowed to read its keys. NULL: it cannot be told, and *errors tells why.
 */
char *conf_run_dir(const char *file, struct conf_errors *errors);
void conf_free(struct conf **c);
/* Is the listener one whose clients alone may send to anyone? Everybody else: conf_takes(). */
bool conf_guards(const struct conf_listener *l);
/* May anyone send to this domain (normal) through it? */
bool conf_takes(const struct conf_listener *l, struct slice domain);
/* Wipes the TLS keys and certificates in this process, which has no use for them, or has made what it needs of them. */
void conf_forget_tls(const struct conf *c);
/* Wipes passwords in a process that has no use for them. */
void conf_forget_passwords(const struct conf *c);

/* Where it is unless the caller says so. */
#define CONF_PATH "/etc/hopseal/hopseal.conf"

/* What is in force, a "name = value;" line each (only what differs from the default with `changed`), or JSON. */
bool conf_show(const struct conf *c, bool changed, bool json, struct buf *out) HS_MUST_USE;

#endif
