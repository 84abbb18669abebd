/*
 * draft.h - all that differs between the drafts peers speak, in one table: draft-ietf-dkim-dkim2-spec-06 to -09; and
 * the words of spec section 10.10. Pure, constant.
 */
#ifndef AUTH_DKIM2_DRAFT_H
#define AUTH_DKIM2_DRAFT_H

#include "auth/dkim2/dkim2.h"

struct dkim2_draft {
	unsigned level;
	bool groups;                 /* '|' between sets (2.4) */
	bool unknown_ignored;        /* unknown algorithms and hash names do not count; FAIL if nothing else is there (2.4) */
	bool mldsa44;                /* the name of an algorithm (5.3); where libcrypto lacks it, an unknown one all the same */
	bool absent_ignored;         /* an absent key does not count beside a set that verified (7) */
	bool mixed_text;             /* one set passed and one failed has a text of its own (10.10) */
	unsigned same_algorithm_max; /* sets of one algorithm in a field, 0: no such rule (2.3, 20.11) */
	bool from_judged;            /* Authentic From (10.9) */
	bool recipe_any_case;        /* keys of a recipe, in any letter case (6.1) */
	char recipe_octets;          /* the step whose literals are base64 (6.1) */
	bool body_lost;              /* a recipe may say that the body before cannot be had (20.9) */
	enum dkim2_state time;       /* expired, in the future (10.4, 20.7) */
	enum dkim2_state envelope;   /* MAIL FROM, RCPT TO (10.6) */
	enum dkim2_state custody;    /* mf= and d=, nd=, rt= of the hop before (10.5) */
	enum dkim2_state from;       /* From not Authentic (20.30) */
};

enum { DRAFT_OLDEST = 6, DRAFT_NEWEST = 9 };

/* A level outside 6..9 is judged as the newest. */
const struct dkim2_draft *draft_of(unsigned level);

/* Is the field left out of the header hash? (section 3) */
bool draft_unsigned(const struct dkim2_draft *draft, struct slice name);

enum { DRAFT_AGE_S = 1209600 }; /* 14 days (10.4) */

enum draft_text {
	TEXT_INSTANCE_MISSING,
	TEXT_INSTANCE_SYNTAX,
	TEXT_INSTANCE_TAG_MISSING,
	TEXT_INSTANCE_UNSIGNED,
	TEXT_INSTANCE_HASH_TWICE,
	TEXT_INSTANCE_HASH_UNKNOWN,
	TEXT_INSTANCE_RECIPE,
	TEXT_INSTANCE_WORK,
	TEXT_SEAL_MISSING,
	TEXT_SEAL_SYNTAX,
	TEXT_SEAL_TAG_MISSING,
	TEXT_SEAL_TAG_UNEXPECTED,
	TEXT_SEAL_SELECTOR_TWICE,
	TEXT_SEAL_TOO_MANY_SELECTORS,
	TEXT_SEAL_EXPIRED,
	TEXT_SEAL_FUTURE,
	TEXT_SEAL_MAIL_FROM,
	TEXT_SEAL_RCPT_TO,
	TEXT_SEAL_MF_D,
	TEXT_SEAL_ND,
	TEXT_SEAL_ND_UNEXPECTED,
	TEXT_SEAL_CUSTODY_MF,
	TEXT_SEAL_CUSTODY_D,
	TEXT_SEAL_ALGORITHM_UNKNOWN,
	TEXT_KEY_UNREACHABLE,
	TEXT_KEY_ABSENT,
	TEXT_KEY_MULTIPLE,
	TEXT_KEY_SYNTAX,
	TEXT_KEY_ALGORITHM,
	TEXT_KEY_REVOKED,
	TEXT_SIGNATURE_WRONG,
	TEXT_SIGNATURE_MIXED,
	TEXT_HEADER_HASH,
	TEXT_BODY_HASH,
	TEXT_FROM,
	TEXT_HEADER_MALFORMED,
	DRAFT_TEXTS
};

/* A finding: the words that are told, and which of the texts it is. */
struct reason {
	struct slice words;  /* empty: nothing is wrong */
	enum draft_text text;
	struct slice detail; /* as in struct dkim2_verdict */
};

enum dkim2_kind draft_kind(enum draft_text text);

/*
 * draft_reason - the exact string, without the state word
 * In:    number for i= or m= (0: could not be read, shown as "?"), a second number, two values; what the text has no
 *        place for is ignored. Values are cut at LIMIT_REASON octets and their control octets become '?'.
 * Out:   in the arena; empty words when it failed
 */
struct reason draft_reason(struct arena *a, enum draft_text text, uint64_t number, uint64_t other, struct slice value,
    struct slice more);

#endif
