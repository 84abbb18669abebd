/*
 * dkim2.h - verify a chain, seal a copy, hold a copy against its newest seal. Pure: keys and signatures are asked for
 * and answered from outside. Source: draft-ietf-dkim-dkim2-spec-09.
 *
 * Verify:  new -> answer each ask (any order, any time), octets of the body -> body digest -> verdict.
 * Seal:    new -> answer each ask -> fields.
 */
#ifndef AUTH_DKIM2_DKIM2_H
#define AUTH_DKIM2_DKIM2_H

#include "auth/canon.h"
#include "auth/keyrec.h"
#include "base/fault.h"
#include "mail/header.h"

enum dkim2_state { /* in order of severity, spec 10.1 */
	DKIM2_NONE,
	DKIM2_PASS,
	DKIM2_TEMPERROR,
	DKIM2_FAIL,
	DKIM2_PERMERROR,
	DKIM2_SKIPPED /* of a hop only: not judged because an earlier finding ended the work */
};
const char *dkim2_state_name(enum dkim2_state state); /* "pass" */

enum dkim2_level {
	DKIM2_FULL,        /* every hop and instance checked */
	DKIM2_PROVISIONAL, /* newest seal, its instance and the envelope; a body before cannot be had (b null, up to -08) */
	DKIM2_NO_ENVELOPE  /* no envelope to hold the newest seal against */
};
const char *dkim2_level_name(enum dkim2_level level); /* "full", "provisional", "no-envelope" */

enum dkim2_kind { /* what a finding is about */
	DKIM2_ABOUT_NOTHING,   /* pass, none; no memory */
	DKIM2_ABOUT_STRUCTURE, /* fields, tags and numbers */
	DKIM2_ABOUT_LIMIT,     /* more of something than is taken */
	DKIM2_ABOUT_TIME,
	DKIM2_ABOUT_ENVELOPE,  /* MAIL FROM or RCPT TO are not those of the newest seal */
	DKIM2_ABOUT_CUSTODY,   /* a hop does not follow from the one before it */
	DKIM2_ABOUT_KEY,
	DKIM2_ABOUT_ALGORITHM, /* of a signature or a hash: not known */
	DKIM2_ABOUT_SIGNATURE,
	DKIM2_ABOUT_MIXED,     /* of one seal a signature is right and another wrong */
	DKIM2_ABOUT_HASH,
	DKIM2_ABOUT_RECIPE,    /* not one by the draft, or it copies what is not there */
	DKIM2_ABOUT_WORK,      /* undoing the changes would cost more than is spent on a message */
	DKIM2_ABOUT_FROM,
	DKIM2_KINDS
};

/* Is a field of that name covered by the header hash (spec 3)? */
bool dkim2_covers(struct slice name);

struct dkim2_envelope {
	struct slice mail_from;      /* bracketed, no parameters */
	const struct slice *rcpt_to; /* every accepted one, bracketed */
	size_t rcpt_count;
};

struct dkim2_clock {
	int64_t now;      /* seconds since 1970; negative: time checks off */
	int64_t future_s; /* how far ahead t= may be, 300 by default */
};

struct dkim2_hop {
	uint64_t i, m, t;
	struct slice d;           /* as written; d_normal for comparing */
	struct slice d_normal;
	struct slice mf;          /* decoded, bracketed; empty with nd */
	struct slice *rt;         /* decoded, bracketed */
	struct slice *rt_domains; /* their domains, normal; an empty one matches nothing */
	size_t rt_count;
	struct slice nd;          /* empty: none */
	struct slice nd_normal;
	struct slice flags;       /* f= as written */
	enum dkim2_state state;
	struct slice reason;      /* exact string without the state word; empty: none */
};

struct dkim2_instance {
	uint64_t m;
	enum dkim2_state state;
	struct slice reason;
	bool recipe;              /* has r= */
	/* What its recipe undoes, once the verdict is there and the recipe could be applied. */
	struct slice *changed;    /* names of fields, lower case */
	size_t changed_count;
	uint64_t body_lines;      /* of it and the instance before, those that the recipe does not copy: no fewer than differ */
};

struct dkim2_verdict {
	enum dkim2_state state;
	enum dkim2_level level;
	unsigned draft;           /* 6..9 */
	struct slice reason;      /* empty: none */
	enum dkim2_kind about;    /* what the reason is about */
	struct slice detail;      /* what the exact string does not say, for the log; empty: nothing */
	uint64_t blamed;          /* hop number for header.i, 0: none */
	enum dkim2_state newest;  /* the provisional check (13.2) of newest seal, its instance and the envelope; NONE: not made */
	const struct dkim2_hop *hops; /* ascending i; those that could be read */
	size_t hop_count;
	const struct dkim2_instance *instances; /* ascending m */
	size_t instance_count;
	bool testing;             /* a key in use says t=y */
	bool strict;              /* or f=strict: told, and nothing else follows from it (spec 20.18) */
	bool exploded, feedback;
};

static inline bool dkim2_fully_verified(const struct dkim2_verdict *v)
{
	return v->state == DKIM2_PASS && v->level == DKIM2_FULL;
}

struct dkim2_verify;

/*
 * dkim2_verify_new - reads and judges everything that needs neither key nor body
 * In:    the header as received, borrowed until the verdict is no longer needed; envelope (read now only) NULL: not
 *        known; draft 6..9
 * Out:   lives in the arena with all it gives out. NULL: no memory.
 */
struct dkim2_verify *dkim2_verify_new(struct arena *a, const struct header *h, const struct dkim2_envelope *envelope,
    struct dkim2_clock clock, unsigned draft);

/* Names to ask TXT for, lower case, each once; none when the verdict cannot depend on a key any more. */
size_t dkim2_verify_asks(const struct dkim2_verify *v, const struct slice **names_out);
/* Holds rec for as long as it needs; each ask is answered once. */
void dkim2_verify_answer(struct dkim2_verify *v, size_t ask, struct keyrec *rec);
/* Bits (1u << enum digest_alg) of the body hashes it needs; known right after _new. */
unsigned dkim2_verify_digests(const struct dkim2_verify *v);
/* Octets of earlier bodies that may be hashed for this message, LIMIT_UNDO if not told: above it PERMERROR. Before the body. */
void dkim2_verify_ceiling(struct dkim2_verify *v, uint64_t undone_octets);
/* The body as it arrives, any split, for what recipes make of it. */
void dkim2_verify_octets(struct dkim2_verify *v, struct slice octets);
/* Once the body is whole. */
void dkim2_verify_body(struct dkim2_verify *v, const struct canon_body *digests);
/* All asks answered and the body given. Borrowed from the arena. */
const struct dkim2_verdict *dkim2_verify_verdict(struct dkim2_verify *v);
/* Fills what each instance changed, for those the walk came to; after the verdict. False: no memory. */
bool dkim2_verify_changes(struct dkim2_verify *v) HS_MUST_USE;
/* Drops key records it holds; call before the arena is cleared. NULL is fine. */
void dkim2_verify_release(struct dkim2_verify *v);

/*
 * dkim2_recall - the verdict on a message that was judged when it came, and has lain with us since: hops and instances are read anew
 * from its header, nothing is verified
 * In:    said: what was kept of the verdict: state, newest, level; draft 6..9, which hop_count and instance_count were read by
 * Out:   borrowed from h, in the arena; state PERMERROR where these numbers are not those kept. NULL: no memory
 */
const struct dkim2_verdict *dkim2_recall(struct arena *a, const struct header *h, unsigned draft, const struct dkim2_verdict *said);

/* Which instance of "Authentic From": do all From domains follow d? (spec 10.9). Both normal. */
bool dkim2_from_authentic(struct arena *a, const struct header *h, struct slice d);

/*
 * dkim2_may_follow - may a hop signed d= (normal), with this domain in mf= (or nd= in its place), come after `last`?
 * In:    mf_domain normal, empty with mf_null for <>; of an nd= hop neither is looked at (spec 10.5, 20.6)
 */
bool dkim2_may_follow(const struct dkim2_hop *last, struct slice d, struct slice mf_domain, bool mf_null, bool nd);

struct dkim2_seal_set {
	struct slice selector;
	enum key_type type;
	unsigned group; /* never falls; where it rises '|' stands: groups are alternatives, which peers know since -08 (2.4) */
};

struct content; /* make.h */
struct dkim2_seal;

struct dkim2_seal_conf {
	struct slice d;
	struct slice mail_from; /* bracketed, as this copy leaves */
	const struct slice *rcpt_to;
	size_t rcpt_count;
	struct slice nd;        /* instead of the envelope */
	const struct dkim2_seal_set *sets;
	size_t set_count;       /* at most LIMIT_KEYS_HOP, as a verifier asks for no more */
	const struct slice *flags;
	size_t flag_count;
	struct slice nonce;
	int64_t now;
	bool out_of_band;       /* lifts the demand for a Fully Verified chain */
	struct slice body_sha512; /* empty: not at hand; a chain whose newest instance knows no sha256 is then not extended */
	/*
	 * What changed since the newest instance is accounted for by a recipe back to `before`, the message as it came, whose
	 * body is looked at only when the one that leaves hashes differently. NULL: not at hand, what changed is not sealed.
	 */
	const struct content *before;
	const struct slice *body; /* of what leaves, in runs */
	size_t body_runs;
	/* A hop of ours whose fields stand on top of the header already, made with nd= for this one; its fields were given out. */
	const struct dkim2_seal *after;
	bool content_later;     /* with nd: the hop that follows accounts for what changed, since From is Authentic for its d= only */
};

/* One signature wanted. */
struct dkim2_sign_ask {
	struct slice domain, selector;
	enum key_type type;
	unsigned char digest[32];
};

/*
 * dkim2_seal_new - what this hop adds to a copy
 * In:    the header as it leaves but for the two fields, the body digest (sha256), the verdict on the message as it came
 *        (NULL or state none: originate). All borrowed, conf too, until the fields are made.
 * Out:   a new Message-Instance m=1 when it originates; none when the content is that of the newest instance; else the
 *        next m= with a recipe, which was applied to what leaves and gave both hashes of the instance before
 * Fault: NULL, with the reason in f->text: CHAIN_BROKEN (not fully verified; KEY_SILENT if a key was not reachable),
 *        CUSTODY_GAP (custody, d= does not fit mf=), UNSEALED (From is new or changed and not Authentic, no recipe within
 *        LIMIT_DKIM2_FIELD_OUT or none that gives those hashes, fields of a chain where there should be none, a seal above
 *        that limit), INTERNAL (conf is no seal), NO_MEMORY
 */
struct dkim2_seal *dkim2_seal_new(struct arena *a, const struct header *h, struct slice body_sha256,
    const struct dkim2_verdict *came, const struct dkim2_seal_conf *conf, struct fault *f);
size_t dkim2_seal_asks(const struct dkim2_seal *s, const struct dkim2_sign_ask **asks_out);
/* signature empty: the signer refused. */
void dkim2_seal_answer(struct dkim2_seal *s, size_t ask, struct slice signature);
/* Whole folded fields with CRLF; instance_out is empty when none is added. False: a signature is missing. */
bool dkim2_seal_fields(struct dkim2_seal *s, struct slice *instance_out, struct slice *signature_out, struct fault *f) HS_MUST_USE;

/*
 * dkim2_enforce - the rule the product is named for: mf= of the newest seal equals MAIL FROM, each RCPT TO stands in rt=
 * In:    the header about to be sent; each DKIM2-Signature is split anew from its raw octets, nothing of the sealing
 *        code is trusted
 * Fault: CUSTODY_GAP with the words of spec 10.10; a block without any seal is CUSTODY_GAP too
 */
bool dkim2_enforce(struct arena *a, const struct header *about_to_leave, const struct dkim2_envelope *envelope, struct fault *f) HS_MUST_USE;

#endif
