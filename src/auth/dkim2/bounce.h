/*
 * bounce.h - bounces of sealed messages: may a report be made and for whom, may one that came be believed, and what of it
 * goes on to the hop before us. Pure, keys are asked for and answered from outside.
 * Source: spec section 15 (draft-ietf-dkim-dkim2-spec-09 sections 16.2 to 16.4)
 *
 * Make:    bounce_due -> bounce_make.
 * Believe: bounce_new -> answer each ask -> bounce_finding -> bounce_onward -> bounce_release.
 * What either makes is a message of its own that has yet to be sealed, m=1 and i=1, with MAIL FROM <>.
 */
#ifndef AUTH_DKIM2_BOUNCE_H
#define AUTH_DKIM2_BOUNCE_H

#include "auth/dkim2/dkim2.h"
#include "mail/dsn.h"

/* ---- a message as it goes out ---- */

/* Which domains have a key of ours, and which are ours at all. */
struct bounce_domains {
	bool (*has_key)(struct slice d, const void *arg); /* d normal; only that very domain counts */
	bool (*ours)(struct slice d, const void *arg);    /* likewise */
	const void *arg;
	struct slice fallback; /* that of our host name, normal: what is sealed for when no key fits */
};

/* What the caller puts on a report. */
struct bounce_form {
	struct slice host;       /* our name: Reporting-MTA */
	struct slice message_id; /* bracketed */
	struct slice boundary;   /* by mime_boundary() */
	int64_t now;
};

struct bounce_message {
	struct dsn_message message;
	struct slice rcpt_to;    /* bracketed, its only recipient */
	struct slice d;          /* to seal it with, normal */
	bool aligned;            /* false: d is the fallback, and who verifies the report need not believe it (16.2) */
};

/* ---- a report on a message that we could not deliver (15.1) ---- */

enum bounce_due {
	BOUNCE_DUE,
	BOUNCE_UNSEALED,   /* there is no chain: the rules of mail without one apply */
	BOUNCE_UNVERIFIED, /* its newest hop was not even provisionally verified when it came */
	BOUNCE_NOBODY      /* that hop has mf=<> */
};

/* In: the verdict on the message as it came. Out: mf= of the newest hop, exactly as it stands there; with BOUNCE_DUE only. */
enum bounce_due bounce_due(const struct dkim2_verdict *came, struct slice *to_out);

/*
 * bounce_signer - d= of a report to the hop `to` about its recipient `failed` (16.2, 20.22)
 * Out:   normal: the domain of that recipient or one above it that has a key, else of any other rt=; *aligned: it is not the fallback
 */
struct slice bounce_signer(struct arena *a, const struct dkim2_hop *to, struct slice failed, const struct bounce_domains *domains,
    bool *aligned);

/*
 * bounce_make
 * In:    the newest hop of a message for which a report is due; recipients that failed, the first decides about d=;
 *        what is returned as for dsn_write(): the very octets that the hop sent
 * Out:   d= is the domain of that recipient or one above it that has a key, else of any other rt= of the hop (20.22)
 */
enum dsn_write_state bounce_make(struct arena *a, const struct dkim2_hop *newest, const struct bounce_domains *domains,
    const struct bounce_form *form, const struct dsn_recipient *failed, size_t failed_count, const struct slice *runs,
    size_t run_count, size_t header_octets, bool header_only, struct bounce_message *out);

/* ---- a report that came (15.2) ---- */

enum bounce_state {
	BOUNCE_NOT_APPLICABLE, /* no report, or it returns no sealed message */
	BOUNCE_BELIEVED,
	BOUNCE_TEMPORARY,      /* a key could not be fetched: 4xx, and it may be believed later */
	BOUNCE_NOT_BELIEVED
};

enum bounce_rule { /* the one that decided */
	BOUNCE_RULE_NONE,
	BOUNCE_RULE_REPORT,    /* not a delivery status notification */
	BOUNCE_RULE_FORM,      /* one that breaks the rules of these */
	BOUNCE_RULE_SEALED,    /* the returned message has no DKIM2-Signature */
	BOUNCE_RULE_VERIFIED,  /* the report itself is Fully Verified, and comes from <> */
	BOUNCE_RULE_CHAIN,     /* structure of the returned chain */
	BOUNCE_RULE_ADDRESS,   /* it came to mf= of the newest hop, which follows its d= */
	BOUNCE_RULE_TIME,      /* that hop was neither expired nor in the future when the report was sealed */
	BOUNCE_RULE_HASH,      /* what is returned has the hashes of the newest instance */
	BOUNCE_RULE_SIGNATURE,
	BOUNCE_RULE_OURS,
	BOUNCE_RULE_ALIGNED,   /* d= of the report covers one of that hop's rt= */
	BOUNCE_RULE_LINKED,    /* the status part is about one of that hop's rt= */
	BOUNCE_RULE_MEMORY
};

struct bounce_finding {
	enum bounce_state state;
	enum bounce_rule rule;
	struct slice reason;     /* exact words, empty when believed */
	const struct dsn *report; /* NULL: none that could be read */
	bool verified;           /* the newest returned hop is right by itself: chain, address, time, hashes, signature */
	bool ours, aligned, linked; /* what came out of these rules, whichever decided */
	uint64_t hop;            /* i= of the newest returned hop, 0: none */
	size_t run;              /* hops of ours from it downwards */
	const struct dsn_recipient *recipient; /* linked if one is, failed if one is; NULL: no report */
};

struct bounce_conf {
	const struct dkim2_verdict *verdict; /* on the report as it came, judged with its envelope */
	const struct slice *rcpt_to;         /* of that envelope, bracketed */
	size_t rcpt_count;
	const struct bounce_domains *domains;
	bool link;                           /* demand that it is about one of rt= */
	int64_t future_s;                    /* as in struct dkim2_clock */
	unsigned draft;                      /* 6..9 */
	size_t field_max;                    /* of the returned header */
	uint64_t undo_octets;                /* of all bodies that are undone, as for dkim2_verify_ceiling() */
};

struct bounce;

/*
 * bounce_new - all that needs no key
 * In:    the message that came; borrowed with conf until bounce_release()
 * Out:   lives in the arena with all it gives out; NULL: no memory
 */
struct bounce *bounce_new(struct arena *a, const struct header *h, struct slice body, const struct bounce_conf *conf);

/* Names to ask TXT for, as in dkim2_verify_asks(). */
size_t bounce_asks(const struct bounce *b, const struct slice **names_out);
void bounce_answer(struct bounce *b, size_t ask, struct keyrec *rec);
const struct bounce_finding *bounce_finding(struct bounce *b);
void bounce_release(struct bounce *b); /* NULL is fine */

/* ---- what of it goes on (15.3) ---- */

enum bounce_onward {
	BOUNCE_ONWARD,       /* made */
	BOUNCE_STOP_BELIEF,  /* not believed */
	BOUNCE_STOP_ACTION,  /* about no failure */
	BOUNCE_STOP_ORIGIN,  /* all hops are ours: it is for mf= of the first, and stays here */
	BOUNCE_STOP_NOBODY,  /* the hop before us has mf=<> */
	BOUNCE_STOP_CHAIN,   /* a hop of ours further down is not right, or the one before us has no envelope (nd=) */
	BOUNCE_STOP_DOUBT,   /* which of its rt= was ours is not known, */
	BOUNCE_STOP_CONTENT, /* or undoing our recipes does not lead to its header */
	BOUNCE_STOP_WRITE    /* dsn_write() has none: *write_out says why */
};

/*
 * bounce_onward - the report for the hop before us, once the finding is there
 * In:    original: for which recipient the message came to us, one of rt= of the hop before (bracketed); empty: not
 *        known, then the rt= that our hop follows, if that is one only
 * Out:   nothing in it tells where the message was going: our hops, what we changed, unsigned trace fields above the
 *        seal of that hop, servers and their words are left out. The header alone if the body before ours is not to be had.
 *        With BOUNCE_STOP_ORIGIN rcpt_to alone is set: mf= of hop 1.
 */
enum bounce_onward bounce_onward(struct bounce *b, struct slice original, const struct bounce_form *form,
    struct bounce_message *out, enum dsn_write_state *write_out);

#endif
