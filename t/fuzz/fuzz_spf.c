/*
 * SPF against a zone made of the input. A line each: the sender, the HELO, then TXT texts; which name has which, and what addresses and
 * hosts there are, comes from the name that is asked for. The first octet says how.
 */
#include "auth/spf/macro.h"
#include "auth/spf/record.h"
#include "fuzz.h"

enum { LINES = 16, ARENA_OCTETS = 1 << 26, QUESTIONS = 400 };

struct world {
	unsigned char client[16];
	struct slice lines[LINES];
	size_t n;
};

static uint32_t sum_of(struct slice name, uint32_t sum)
{
	for (size_t i = 0; i < name.n; i++)
		sum = (sum ^ name.at[i]) * 16777619U;
	return sum ^ sum >> 15;
}

static struct dnsrec *hosts(enum dnsrec_type type, uint32_t sum)
{
	static unsigned char wire[16][2 + DNS_NAME_OCTETS + 2];
	struct slice records[16];
	size_t n = sum % 16, head = type == DNSREC_MX ? 2 : 0;

	for (size_t i = 0; i < n; i++) {
		unsigned char text[] = { (unsigned char)('a' + i), '.', (unsigned char)('a' + sum % 3), '.', 't' };

		memset(wire[i], 0, head);
		records[i] = slice_of(wire[i], head + dns_name_wire(slice_of(text, sizeof(text)), wire[i] + head));
	}
	return dnsrec_new(type, n ? DNS_OK : DNS_NODATA, records, n, false);
}

static struct dnsrec *answer(const struct world *w, enum dnsrec_type type, struct slice name)
{
	uint32_t sum = sum_of(name, 2166136261U + (uint32_t)type);
	struct slice records[2];
	unsigned char other[16] = { [10] = 0xff, [11] = 0xff, [12] = 192, [15] = (unsigned char)sum };

	if (sum % 16 < 4)
		return dnsrec_new(type, sum % 4 ? DNS_NXDOMAIN : (enum dns_status)(DNS_TIMEOUT + sum / 16 % 3), NULL, 0, false);
	sum >>= 8;
	if (type == DNSREC_TXT) {
		/* The first question is for a.t; two texts are rare. */
		records[0] = slice_eq(name, S("a.t")) ? w->lines[0] : w->lines[sum % w->n];
		records[1] = w->lines[sum / 16 % w->n];
		return dnsrec_new(type, DNS_OK, records, sum % 16 == 0 ? 2 : 1, false);
	}
	if (type != DNSREC_A && type != DNSREC_AAAA)
		return hosts(type, sum);
	records[0] = slice_of(other + (type == DNSREC_A ? 12 : 0), type == DNSREC_A ? 4 : 16);
	records[1] = slice_of(w->client + (type == DNSREC_A ? 12 : 0), type == DNSREC_A ? 4 : 16);
	return dnsrec_new(type, DNS_OK, records, sum % 4 == 0 ? 2 : 1, false);
}

/* All that is open at once, or the newest alone. */
static const struct spf_verdict *run(struct arena *a, struct asks *q, const struct spf_terms *terms, const struct world *w, bool at_once)
{
	size_t open[QUESTIONS], n = 0, steps = 0;
	enum dnsrec_type types[QUESTIONS];
	struct slice names[QUESTIONS];
	struct spf *s = spf_new(a, q, terms);

	WANT(s);
	while (!spf_step(s)) {
		while (n < QUESTIONS && asks_next(q, &open[n], &types[n], &names[n]))
			n++;
		WANT(n > 0 && steps++ < QUESTIONS);
		do {
			struct dnsrec *rec = answer(w, types[n - 1], names[n - 1]);

			n--;
			WANT(rec);
			asks_answer(q, open[n], rec);
			dnsrec_drop(&rec);
		} while (at_once && n > 0);
	}
	/* Ten terms and nine asked ahead, of ten hosts each; the client's names; the explanation. */
	WANT(!asks_too_many(q) && asks_count(q) <= 1 + 19 + 100 + 1 + 10 + 1);
	WANT(!arena_failed(a));
	return spf_verdict(s);
}

static void want_printable(struct slice s, size_t most)
{
	WANT(s.n <= most);
	for (size_t i = 0; i < s.n; i++)
		WANT(s.at[i] >= 0x20 && s.at[i] <= 0x7e);
}

static void want_verdict(const struct spf_verdict *v)
{
	want_printable(v->domain, DNS_NAME_OCTETS);
	want_printable(v->mechanism, LIMIT_REASON);
	want_printable(v->explanation, LIMIT_SPF_EXPLANATION);
	want_printable(v->reason, 3 * LIMIT_REASON);
	WANT(v->lookups <= LIMIT_SPF_TERMS && v->voids <= LIMIT_SPF_VOIDS && v->voids <= v->lookups);
	WANT((v->reason.n > 0) == (v->state == SPF_PERMERROR || v->state == SPF_TEMPERROR));
	WANT(v->explanation.n == 0 || v->state == SPF_FAIL);
	WANT(v->domain.n > 0 || v->state == SPF_NONE);
}

/* Expanded from its end or from its beginning, a short name is the same. */
static void want_macro(struct arena *a, struct slice text)
{
	unsigned char room[64], out[DNS_NAME_OCTETS];
	struct macro_values values = { .room = room };
	struct slice name, forward;

	for (size_t i = 0; i < 26; i++)
		values.of[i] = i % 3 == 0 ? S("some-one.a+b..example.test") : i % 3 == 1 ? S("x") : SLICE_NONE;
	if (!macro_domain_spec(text))
		return;
	WANT(macro_valid(text, MACRO_NAME) && macro_valid(text, MACRO_TERM) && macro_valid(text, MACRO_EXPLAIN));
	name = macro_name(text, &values, out);
	WANT(name.n <= DNS_NAME_OCTETS);
	forward = macro_explain(a, text, &values);
	if (forward.n < DNS_NAME_OCTETS && slice_ends(forward, S(".")))
		forward.n--;
	if (forward.n <= DNS_NAME_OCTETS)
		WANT(slice_eq(name, forward));
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	struct slice rest = slice_of(at, n), how;
	struct spf_terms terms = { .hostname = S("mx.example.net"), .now = 1700000000, .explain = true };
	struct spf_verdict first;
	struct world w = { .client = { 0x20, 1, 0x0d, 0xb8, [15] = 1 } };
	struct asks *q;
	struct arena a;

	if (!slice_take(&rest, 1, &how))
		return 0;
	if (how.at[0] & 1)
		memcpy(w.client, (unsigned char[16]){ [10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2, [15] = 1 }, 16);
	terms.scope = how.at[0] & 2 ? SPF_HELO : SPF_MFROM;
	memcpy(terms.client, w.client, 16);
	slice_cut(&rest, '\n', &terms.mail_from);
	slice_cut(&rest, '\n', &terms.helo);
	do
		slice_cut(&rest, '\n', &w.lines[w.n++]);
	while (rest.n && w.n < LINES);
	arena_init(&a, ARENA_OCTETS);
	for (size_t i = 0; i < w.n; i++)
		want_macro(&a, w.lines[i]);
	want_macro(&a, terms.helo);

	q = asks_new(&a, QUESTIONS);
	WANT(q);
	first = *run(&a, q, &terms, &w, true);
	want_verdict(&first);
	asks_release(q);
	q = asks_new(&a, QUESTIONS);
	WANT(q);
	{
		const struct spf_verdict *second = run(&a, q, &terms, &w, false);

		WANT(first.state == second->state && first.lookups == second->lookups && first.voids == second->voids);
		WANT(slice_eq(first.mechanism, second->mechanism) && slice_eq(first.explanation, second->explanation));
		WANT(slice_eq(first.reason, second->reason));
	}
	asks_release(q);
	arena_clear(&a);
	return 0;
}
