/*
 * chain.h - the two fields of a header as a chain: read, numbered, and held against the rules that need nothing else
 * (spec sections 2 and 10.3). Pure. For this room only.
 */
#ifndef AUTH_DKIM2_CHAIN_H
#define AUTH_DKIM2_CHAIN_H

#include "auth/dkim2/draft.h"

struct seal_set {
	struct slice selector;  /* as written */
	struct slice algorithm; /* as written */
	struct slice signature; /* decoded */
	struct slice hole;      /* where it stands in the field value: blanked in its own signature input */
	enum key_type type;     /* KEY_NONE: unknown algorithm */
	unsigned group;         /* rises with each '|' */
};

struct seal {
	const struct field *field;
	struct dkim2_hop *hop; /* what others see of it */
	struct seal_set *sets;
	size_t set_count;
	bool has_nd;
	struct slice mf_domain; /* normal; empty: null sender, or none that could be read */
	bool mf_null;
};

struct hash_set {
	struct slice name;
	enum digest_alg alg; /* DIGEST_ALGS: unknown */
	struct slice header, body;
	unsigned group;
};

struct instance {
	const struct field *field;
	struct dkim2_instance *seen;
	struct hash_set *sets;
	size_t set_count;
	struct slice recipe; /* r= decoded */
};

struct chain {
	const struct dkim2_draft *draft;
	size_t seal_fields;          /* DKIM2-Signature fields there are */
	size_t instance_fields;
	struct seal *seals;          /* ascending i; those whose i= could be read */
	struct dkim2_hop *hops;      /* in step with seals */
	size_t n;
	struct instance *instances;  /* ascending m; those whose m= could be read */
	struct dkim2_instance *seen; /* in step with instances */
	size_t m;
	bool broken;                 /* PERMERROR; then nothing else about it is promised */
	struct reason reason;        /* of the first fault */
	uint64_t blamed;             /* hop number, 0: unknown */
};

/*
 * chain_read
 * In:    a header; borrowed by *out. With `seals_only` instances are neither read nor asked for.
 * Fault: false: no memory. A chain that breaks a rule is true with out->broken.
 */
bool chain_read(struct arena *a, const struct dkim2_draft *draft, const struct header *h, bool seals_only,
    struct chain *out) HS_MUST_USE;

/* The lowest hop that signed with instance m there, 0: none. */
uint64_t chain_hop_of(const struct chain *c, uint64_t m);

/* Normal domain of a bracketed path, empty: it has none. */
struct slice chain_path_domain(struct arena *a, struct slice path);

/* Does domain follow (relaxed match) one of the rt= domains of the hop? */
bool chain_follows_rt(const struct dkim2_hop *hop, struct slice domain);
/* The same in either direction: where a made-up mf= could join the two (spec 10.5, 20.6). */
bool chain_fits_rt(const struct dkim2_hop *hop, struct slice domain);

/*
 * chain_time - is t= of the hop too old at `now`, or more than future_s (negative: 0) ahead of it? (spec 10.4)
 * Out:   no words: neither
 */
struct reason chain_time(struct arena *a, const struct dkim2_hop *hop, uint64_t now, int64_t future_s);

/* Is the word one of the flags of an f= value? */
bool chain_flag(struct slice flags, struct slice word);

#endif
