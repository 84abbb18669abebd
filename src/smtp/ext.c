#include "smtp/auth.h"
#include "smtp/ext.h"
#include "smtp/xclient.h"

/* Words of an EHLO answer, in the order they are written. */
static const struct word {
	enum ext_bit bit;
	struct slice text;
} words[] = {
	{ EXT_PIPELINING, { (const unsigned char *)"PIPELINING", 10 } },
	{ EXT_SIZE, { (const unsigned char *)"SIZE", 4 } },
	{ EXT_8BITMIME, { (const unsigned char *)"8BITMIME", 8 } },
	{ EXT_ENHANCED, { (const unsigned char *)"ENHANCEDSTATUSCODES", 19 } },
	{ EXT_SMTPUTF8, { (const unsigned char *)"SMTPUTF8", 8 } },
	{ EXT_DSN, { (const unsigned char *)"DSN", 3 } },
	{ EXT_CHUNKING, { (const unsigned char *)"CHUNKING", 8 } },
	{ EXT_STARTTLS, { (const unsigned char *)"STARTTLS", 8 } },
	{ EXT_REQUIRETLS, { (const unsigned char *)"REQUIRETLS", 10 } },
	{ EXT_PRDR, { (const unsigned char *)"PRDR", 4 } },
	{ EXT_LIMITS, { (const unsigned char *)"LIMITS", 6 } },
	{ EXT_XCLIENT, { (const unsigned char *)"XCLIENT", 7 } },
	{ EXT_XFORWARD, { (const unsigned char *)"XFORWARD", 8 } },
	{ EXT_AUTH, { (const unsigned char *)"AUTH", 4 } },
};
enum { WORDS = sizeof(words) / sizeof(words[0]) };

/* RFC 9422 3: "LIMITS name=value ...", in any case; what cannot be read is not named. */
static void read_limits(struct ext *e, struct slice rest)
{
	enum { MOST = 999999 };
	struct slice word;
	bool more;

	e->rcpt_max = e->mail_max = 0;
	do {
		struct slice value, name;
		uint64_t n;

		more = slice_cut(&rest, ' ', &word);
		value = word;
		if (!slice_cut(&value, '=', &name) || !slice_u64(value, MOST, &n))
			continue;
		if (slice_ieq(name, S("RCPTMAX")))
			e->rcpt_max = (uint32_t)n;
		else if (slice_ieq(name, S("MAILMAX")))
			e->mail_max = (uint32_t)n;
	} while (more);
}

void ext_read(struct ext *e, struct slice line)
{
	struct slice rest = line, word;

	(void)slice_cut(&rest, ' ', &word);
	for (size_t i = 0; i < WORDS; i++) {
		if (!slice_ieq(word, words[i].text))
			continue;
		e->bits |= words[i].bit;
		/* RFC 1870 3: a number that is missing or none means no limit is named */
		if (words[i].bit == EXT_SIZE && !slice_u64(slice_trim(rest), UINT64_MAX, &e->size_octets))
			e->size_octets = 0;
		if (words[i].bit == EXT_LIMITS)
			read_limits(e, rest);
		return;
	}
}

static uint64_t limit_of(const struct ext *e)
{
	return e->bits & EXT_SIZE && e->size_octets ? e->size_octets : UINT64_MAX;
}

bool ext_same(const struct ext *x, const struct ext *y)
{
	return x->bits == y->bits && x->size_octets == y->size_octets && x->rcpt_max == y->rcpt_max && x->mail_max == y->mail_max;
}

struct ext ext_both(const struct ext *x, const struct ext *y)
{
	struct ext both = { .bits = x->bits & y->bits };
	uint64_t least = limit_of(x) < limit_of(y) ? limit_of(x) : limit_of(y);

	if (least < UINT64_MAX) {
		both.bits |= EXT_SIZE;
		both.size_octets = least;
	}
	both.rcpt_max = !y->rcpt_max || (x->rcpt_max && x->rcpt_max < y->rcpt_max) ? x->rcpt_max : y->rcpt_max;
	return both;
}

struct ext ext_offer(uint64_t message_octets, const struct ext *next_hop)
{
	struct ext e = { .bits = EXT_PIPELINING | EXT_SIZE | EXT_ENHANCED | EXT_CHUNKING | EXT_LIMITS, .size_octets = message_octets };

	if (!next_hop)
		return e;
	e.bits |= next_hop->bits & (EXT_8BITMIME | EXT_SMTPUTF8 | EXT_DSN | EXT_PRDR | EXT_REQUIRETLS);
	e.rcpt_max = next_hop->rcpt_max;
	if ((next_hop->bits & EXT_SIZE) && next_hop->size_octets) {
		uint64_t theirs = next_hop->size_octets > EXT_ADDED_OCTETS ? next_hop->size_octets - EXT_ADDED_OCTETS : 1;

		if (!message_octets || theirs < message_octets)
			e.size_octets = theirs;
	}
	return e;
}

void ext_write(struct buf *out, struct slice hostname, const struct ext *e, size_t rcpt_max)
{
	const struct word *offered[WORDS];
	size_t n = 0;

	for (size_t i = 0; i < WORDS; i++)
		if ((e->bits & words[i].bit) && (words[i].bit != EXT_AUTH || e->auth))
			offered[n++] = &words[i];
	buf_str(out, n ? "250-" : "250 ");
	buf_slice(out, hostname);
	buf_str(out, "\r\n");
	for (size_t i = 0; i < n; i++) {
		buf_str(out, i + 1 < n ? "250-" : "250 ");
		buf_slice(out, offered[i]->text);
		if (offered[i]->bit == EXT_SIZE && e->size_octets) {
			buf_octet(out, ' ');
			buf_u64(out, e->size_octets);
		}
		if (offered[i]->bit == EXT_LIMITS) {
			buf_str(out, " RCPTMAX=");
			buf_u64(out, e->rcpt_max && e->rcpt_max < rcpt_max ? e->rcpt_max : rcpt_max);
		}
		for (unsigned m = 0; offered[i]->bit == EXT_AUTH && m < AUTH_MECHS; m++)
			if (e->auth & 1U << m)
				buf_printf(out, " %s", auth_mech_name((enum auth_mech)m));
		if (offered[i]->bit == EXT_XCLIENT || offered[i]->bit == EXT_XFORWARD)
			xclient_list(out, offered[i]->bit == EXT_XCLIENT ? XCLIENT_OURS : XFORWARD_OURS);
		buf_str(out, "\r\n");
	}
}
