#include "auth/dkim2/draft.h"
#include "base/limits.h"
#include "mail/utf8.h"

static const struct dkim2_draft drafts[] = {
	{
	    .level = 6,
	    .unknown_ignored = true,
	    .absent_ignored = true,
	    .mixed_text = true,
	    .same_algorithm_max = 2,
	    .recipe_octets = 'b', /* outside the text, agreed on by peers */
	    .body_lost = true,
	    .time = DKIM2_PERMERROR,
	    .envelope = DKIM2_PERMERROR,
	    .custody = DKIM2_PERMERROR,
	},
	{
	    .level = 7,
	    .unknown_ignored = true,
	    .absent_ignored = true,
	    .mixed_text = true,
	    .same_algorithm_max = 2,
	    .from_judged = true,
	    .recipe_any_case = true,
	    .recipe_octets = 'u',
	    .body_lost = true,
	    .time = DKIM2_PERMERROR,
	    .envelope = DKIM2_PERMERROR,
	    .custody = DKIM2_PERMERROR,
	    .from = DKIM2_FAIL,
	},
	{
	    .level = 8,
	    .groups = true,
	    .mldsa44 = true,
	    .from_judged = true,
	    .recipe_any_case = true,
	    .recipe_octets = 'u',
	    .body_lost = true,
	    .time = DKIM2_FAIL,
	    .envelope = DKIM2_FAIL,
	    .custody = DKIM2_FAIL,
	    .from = DKIM2_FAIL,
	},
	{
	    .level = 9,
	    .groups = true,
	    .mldsa44 = true,
	    .from_judged = true,
	    .recipe_any_case = true,
	    .recipe_octets = 'u',
	    .time = DKIM2_FAIL,
	    .envelope = DKIM2_FAIL,
	    .custody = DKIM2_FAIL,
	    .from = DKIM2_FAIL,
	},
};

const struct dkim2_draft *draft_of(unsigned level)
{
	if (level < DRAFT_OLDEST || level > DRAFT_NEWEST)
		level = DRAFT_NEWEST;
	return &drafts[level - DRAFT_OLDEST];
}

/* Names in lower case; `last` is the newest level that leaves the field out. A final '*' stands for any rest. */
static const struct {
	const char *name;
	unsigned last;
} unsigned_fields[] = {
	/* trace */
	{ "received", DRAFT_NEWEST },
	{ "received-*", DRAFT_NEWEST },
	{ "return-path", DRAFT_NEWEST },
	{ "delivered-to", DRAFT_NEWEST },
	{ "dl-expansion-history", DRAFT_NEWEST },
	{ "original-recipient", DRAFT_NEWEST },
	{ "sio-label-history", DRAFT_NEWEST },
	{ "x400-trace", DRAFT_NEWEST },
	{ "x400-received", DRAFT_NEWEST },
	{ "apparently-to", DRAFT_NEWEST },
	/* other authentication */
	{ "dkim-signature", DRAFT_NEWEST },
	{ "arc-authentication-results", DRAFT_NEWEST },
	{ "arc-message-signature", DRAFT_NEWEST },
	{ "arc-seal", DRAFT_NEWEST },
	/* local */
	{ "authentication-results", DRAFT_NEWEST },
	{ "x-*", DRAFT_NEWEST },
	/* its own */
	{ "message-instance", DRAFT_NEWEST },
	{ "dkim2-signature", DRAFT_NEWEST },
	/* signed since -08 */
	{ "auto-submitted", 7 },
	{ "vbr-info", 7 },
};

bool draft_unsigned(const struct dkim2_draft *draft, struct slice name)
{
	for (size_t i = 0; i < sizeof(unsigned_fields) / sizeof(unsigned_fields[0]); i++) {
		struct slice row = slice_str(unsigned_fields[i].name);
		bool open = row.at[row.n - 1] == '*';

		if (open)
			row.n--;
		if (draft->level <= unsigned_fields[i].last && (open ? slice_istarts(name, row) : slice_ieq(name, row)))
			return true;
	}
	return false;
}

bool dkim2_covers(struct slice name)
{
	return !draft_unsigned(draft_of(DRAFT_NEWEST), name);
}

/* %i the number, %j the other one, %s the value, %t the second value. Those marked (ours) are not in any draft we read. */
static const char *const texts[DRAFT_TEXTS] = {
	[TEXT_INSTANCE_MISSING] = "Message-Instance m=%i missing",
	[TEXT_INSTANCE_SYNTAX] = "Message-Instance m=%i syntax error",
	[TEXT_INSTANCE_TAG_MISSING] = "Message-Instance m=%i tag=%s missing",
	[TEXT_INSTANCE_UNSIGNED] = "Message-Instance m=%i is not signed",
	[TEXT_INSTANCE_HASH_TWICE] = "Message-Instance m=%i has a duplicate hash algorithm",
	[TEXT_INSTANCE_HASH_UNKNOWN] = "Message-Instance m=%i unknown hash algorithm %s", /* (ours) */
	[TEXT_INSTANCE_RECIPE] = "Message-Instance m=%i contains invalid JSON",
	[TEXT_INSTANCE_WORK] = "Message-Instance m=%i syntax error", /* a cap of ours (10.10) */
	[TEXT_SEAL_MISSING] = "DKIM2-Signature i=%i missing",
	[TEXT_SEAL_SYNTAX] = "DKIM2-Signature i=%i syntax error",
	[TEXT_SEAL_TAG_MISSING] = "DKIM2-Signature i=%i tag=%s missing",
	[TEXT_SEAL_TAG_UNEXPECTED] = "DKIM2-Signature i=%i tag=%s was unexpected",
	[TEXT_SEAL_SELECTOR_TWICE] = "DKIM2-Signature i=%i has a duplicate selector",
	[TEXT_SEAL_TOO_MANY_SELECTORS] = "DKIM2-Signature i=%i has more selectors than allowed",
	[TEXT_SEAL_EXPIRED] = "DKIM2-Signature i=%i signature expired",
	[TEXT_SEAL_FUTURE] = "DKIM2-Signature i=%i signature timestamp is in the future", /* (ours) */
	[TEXT_SEAL_MAIL_FROM] = "DKIM2-Signature i=%i MAIL FROM %s did not match",
	[TEXT_SEAL_RCPT_TO] = "DKIM2-Signature i=%i RCPT TO %s did not match",
	[TEXT_SEAL_MF_D] = "DKIM2-Signature i=%i MAIL FROM and d= do not match",
	[TEXT_SEAL_ND] = "DKIM2-Signature i=%i MAIL nd= does not match",
	[TEXT_SEAL_ND_UNEXPECTED] = "DKIM2-Signature i=%i unexpected nd= tag",
	[TEXT_SEAL_CUSTODY_MF] = "DKIM2-Signature i=%i MAIL FROM does not match RCPT TO of i=%j", /* (ours) */
	[TEXT_SEAL_CUSTODY_D] = "DKIM2-Signature i=%i d= does not match RCPT TO of i=%j",         /* (ours) */
	[TEXT_SEAL_ALGORITHM_UNKNOWN] = "DKIM2-Signature i=%i %s unknown algorithm",              /* (ours) */
	[TEXT_KEY_UNREACHABLE] = "DKIM2-Signature i=%i public key %s could not be fetched",
	[TEXT_KEY_ABSENT] = "DKIM2-Signature i=%i public key %s does not exist",
	[TEXT_KEY_MULTIPLE] = "DKIM2-Signature i=%i public key %s has multiple records",
	[TEXT_KEY_SYNTAX] = "DKIM2-Signature i=%i public key %s has a syntax error",
	[TEXT_KEY_ALGORITHM] = "DKIM2-Signature i=%i public key %s algorithm mismatch",
	[TEXT_KEY_REVOKED] = "DKIM2-Signature i=%i public key %s has been revoked",
	[TEXT_SIGNATURE_WRONG] = "DKIM2-Signature i=%i %s incorrect signature",
	[TEXT_SIGNATURE_MIXED] = "DKIM2-Signature i=%i %s signature passed, %t signature failed",
	[TEXT_HEADER_HASH] = "Message Instance m=%i header hash %s mismatch", /* no hyphen, so the draft */
	[TEXT_BODY_HASH] = "Message Instance m=%i body hash %s mismatch",
	[TEXT_FROM] = "From header field is not Authentic for d=%s", /* (ours) */
	[TEXT_HEADER_MALFORMED] = "header holds a line that is no field", /* (ours) */
};

static const enum dkim2_kind kinds[DRAFT_TEXTS] = {
	[TEXT_INSTANCE_MISSING] = DKIM2_ABOUT_STRUCTURE,
	[TEXT_INSTANCE_SYNTAX] = DKIM2_ABOUT_STRUCTURE,
	[TEXT_INSTANCE_TAG_MISSING] = DKIM2_ABOUT_STRUCTURE,
	[TEXT_INSTANCE_UNSIGNED] = DKIM2_ABOUT_STRUCTURE,
	[TEXT_INSTANCE_HASH_TWICE] = DKIM2_ABOUT_STRUCTURE,
	[TEXT_INSTANCE_HASH_UNKNOWN] = DKIM2_ABOUT_ALGORITHM,
	[TEXT_INSTANCE_RECIPE] = DKIM2_ABOUT_RECIPE,
	[TEXT_INSTANCE_WORK] = DKIM2_ABOUT_WORK,
	[TEXT_SEAL_MISSING] = DKIM2_ABOUT_STRUCTURE,
	[TEXT_SEAL_SYNTAX] = DKIM2_ABOUT_STRUCTURE,
	[TEXT_SEAL_TAG_MISSING] = DKIM2_ABOUT_STRUCTURE,
	[TEXT_SEAL_TAG_UNEXPECTED] = DKIM2_ABOUT_STRUCTURE,
	[TEXT_SEAL_SELECTOR_TWICE] = DKIM2_ABOUT_STRUCTURE,
	[TEXT_SEAL_TOO_MANY_SELECTORS] = DKIM2_ABOUT_LIMIT,
	[TEXT_SEAL_EXPIRED] = DKIM2_ABOUT_TIME,
	[TEXT_SEAL_FUTURE] = DKIM2_ABOUT_TIME,
	[TEXT_SEAL_MAIL_FROM] = DKIM2_ABOUT_ENVELOPE,
	[TEXT_SEAL_RCPT_TO] = DKIM2_ABOUT_ENVELOPE,
	[TEXT_SEAL_MF_D] = DKIM2_ABOUT_CUSTODY,
	[TEXT_SEAL_ND] = DKIM2_ABOUT_CUSTODY,
	[TEXT_SEAL_ND_UNEXPECTED] = DKIM2_ABOUT_CUSTODY,
	[TEXT_SEAL_CUSTODY_MF] = DKIM2_ABOUT_CUSTODY,
	[TEXT_SEAL_CUSTODY_D] = DKIM2_ABOUT_CUSTODY,
	[TEXT_SEAL_ALGORITHM_UNKNOWN] = DKIM2_ABOUT_ALGORITHM,
	[TEXT_KEY_UNREACHABLE] = DKIM2_ABOUT_KEY,
	[TEXT_KEY_ABSENT] = DKIM2_ABOUT_KEY,
	[TEXT_KEY_MULTIPLE] = DKIM2_ABOUT_KEY,
	[TEXT_KEY_SYNTAX] = DKIM2_ABOUT_KEY,
	[TEXT_KEY_ALGORITHM] = DKIM2_ABOUT_KEY,
	[TEXT_KEY_REVOKED] = DKIM2_ABOUT_KEY,
	[TEXT_SIGNATURE_WRONG] = DKIM2_ABOUT_SIGNATURE,
	[TEXT_SIGNATURE_MIXED] = DKIM2_ABOUT_MIXED,
	[TEXT_HEADER_HASH] = DKIM2_ABOUT_HASH,
	[TEXT_BODY_HASH] = DKIM2_ABOUT_HASH,
	[TEXT_FROM] = DKIM2_ABOUT_FROM,
	[TEXT_HEADER_MALFORMED] = DKIM2_ABOUT_STRUCTURE,
};

enum dkim2_kind draft_kind(enum draft_text text)
{
	return kinds[text];
}

/* Room for the longest text, two values and two numbers. */
enum { REASON_OCTETS = 128 + 2 * LIMIT_REASON + 2 * 20 };

struct words {
	size_t n;
	unsigned char at[REASON_OCTETS];
};

static void add_octet(struct words *w, unsigned char c)
{
	if (w->n < sizeof(w->at))
		w->at[w->n++] = c;
}

/* A peer's octets fit for one line of a log, a reply or a comment. */
static void add_value(struct words *w, struct slice value)
{
	value = utf8_head(value, LIMIT_REASON);
	for (size_t i = 0; i < value.n; i++)
		add_octet(w, value.at[i] < 0x20 || value.at[i] == 0x7f ? '?' : value.at[i]);
}

static void add_number(struct words *w, uint64_t number)
{
	char digits[20];
	size_t n = 0;

	if (!number)
		add_octet(w, '?');
	for (; number; number /= 10)
		digits[n++] = (char)('0' + number % 10);
	while (n)
		add_octet(w, (unsigned char)digits[--n]);
}

/* On the stack, so that only the arena can fail: to a caller an empty reason means that nothing is wrong. */
struct reason draft_reason(struct arena *a, enum draft_text text, uint64_t number, uint64_t other, struct slice value,
    struct slice more)
{
	struct words w = { .n = 0 };

	for (const char *p = texts[text]; *p; p++) {
		if (*p != '%') {
			add_octet(&w, (unsigned char)*p);
			continue;
		}
		p++;
		if (*p == 'i' || *p == 'j')
			add_number(&w, *p == 'i' ? number : other);
		else
			add_value(&w, *p == 's' ? value : more);
	}
	return (struct reason){ .words = arena_copy(a, slice_of(w.at, w.n)), .text = text };
}
