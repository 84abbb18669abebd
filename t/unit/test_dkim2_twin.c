/*
 * Negative twins: each octet of a sealed message, changed, is noticed by the part of the chain that covers it; and what a change may
 * not matter to passes. Chains of one hop, of two with a recipe, and of three with an nd= hop.
 */
#include "test.h"

#include "dkim2_world.h"

#define BIT(kind) (1u << (DKIM2_ABOUT_##kind))

struct chained {
	const char *name;
	struct slice message;
	struct dkim2_envelope envelope;
	struct slice rcpt;
	uint64_t hops, instances;
};

static struct arena chains;
static struct chained list_of_chains[3];

static const char lunch_at_list[] = "From: Alice <alice@example.com>\r\nTo: list@lists.example.org\r\nSubject: [L] Lunch\r\n"
                                    "Message-ID: <1@example.com>\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\n"
                                    "List-Id: <list.lists.example.org>\r\n\r\nHello\r\nWorld\r\n--\r\nfooter\r\n";

static void keep(struct chained *c, const char *name, struct slice message, const struct dkim2_seal_conf *last, uint64_t hops, uint64_t instances)
{
	*c = (struct chained){ .name = name, .hops = hops, .instances = instances };
	c->message = arena_copy(&chains, message);
	c->rcpt = arena_copy(&chains, last->rcpt_to[0]);
	c->envelope = (struct dkim2_envelope){ arena_copy(&chains, last->mail_from), &c->rcpt, 1 };
}

static const struct dkim2_verdict *judge(const struct chained *c, struct slice message)
{
	return vector_verify(&arena, message, &c->envelope, NOW + 90, 9, zone);
}

static int make_chains(void **state)
{
	struct slice rcpt, first, second, now;
	struct dkim2_seal_conf conf, next;
	const struct dkim2_verdict *came;

	make_world(state);
	arena_init(&chains, 1 << 20);
	conf = alice(&rcpt);
	first = seal(slice_str(lunch), NULL, &conf);
	came = arrive(first, &conf);
	keep(&list_of_chains[0], "one hop", first, &conf, 1, 1);
	now = under(first, lunch, lunch_at_list);
	next = list(&rcpt);
	bodies(&next, first, now);
	keep(&list_of_chains[1], "two hops and a recipe", seal(now, came, &next), &next, 2, 2);
	next = (struct dkim2_seal_conf){ .d = S("lists.example.org"), .nd = S("elsewhere.example"), .sets = set_l1, .set_count = 1, .now = NOW + 30 };
	bodies(&next, first, now);
	second = seal(now, came, &next);
	rcpt = S("<dave@example.net>");
	next = (struct dkim2_seal_conf){ .d = S("elsewhere.example"), .mail_from = S("<x@elsewhere.example>"), .rcpt_to = &rcpt,
		.rcpt_count = 1, .sets = set_e1, .set_count = 1, .now = NOW + 60, .after = last_seal };
	keep(&list_of_chains[2], "three hops, one of nd=", seal(second, came, &next), &next, 3, 2);
	for (size_t i = 0; i < ROWS(list_of_chains); i++)
		if (!dkim2_fully_verified(judge(&list_of_chains[i], list_of_chains[i].message)))
			fail_msg("%s: %.*s", list_of_chains[i].name, SLICE_FMT(judge(&list_of_chains[i], list_of_chains[i].message)->reason));
	return 0;
}

static int end_chains(void **state)
{
	arena_clear(&chains);
	return end_world(state);
}

/* ---- what an octet is part of ---- */

enum place { OUTSIDE, NAME, COVERED, BODY, INSTANCE, SIGNATURE };

struct spot {
	enum place place;
	unsigned char tag;    /* of INSTANCE and SIGNATURE: first letter of the one it stands in, '-': between tags */
	bool name;            /* and it is in the name of the tag */
	bool newest;          /* of INSTANCE and SIGNATURE */
};

static struct slice tag_number(struct slice value, char letter)
{
	struct slice rest = value, one;
	bool more = true;

	while (more) {
		more = slice_cut(&rest, ';', &one);
		one = slice_trim(one);
		if (one.n > 2 && one.at[0] == (unsigned char)letter && one.at[1] == '=')
			return slice_sub(one, 2, SIZE_MAX);
	}
	return SLICE_NONE;
}

static struct spot spot_of(const struct chained *c, const struct header *h, size_t at)
{
	struct spot s = { .place = OUTSIDE, .tag = '-' };
	const unsigned char *octet = c->message.at + at;
	const struct field *f = NULL;
	uint64_t number = 0;
	bool tag_open = false;

	for (size_t i = 0; i < h->n && !f; i++)
		if (octet < h->fields[i].raw.at + h->fields[i].raw.n)
			f = &h->fields[i];
	if (!f) {
		s.place = at < (size_t)(h->raw.at + h->raw.n + 2 - c->message.at) ? OUTSIDE : BODY; /* the empty line is no part of either */
		return s;
	}
	if (octet < f->value.at) { /* its colon too */
		s.place = NAME;
		return s;
	}
	if (!slice_ieq(f->name, S("Message-Instance")) && !slice_ieq(f->name, S("DKIM2-Signature"))) {
		s.place = COVERED;
		return s;
	}
	s.place = slice_ieq(f->name, S("Message-Instance")) ? INSTANCE : SIGNATURE;
	assert_true(slice_u64(tag_number(f->value, s.place == INSTANCE ? 'm' : 'i'), 99, &number));
	s.newest = number == (s.place == INSTANCE ? c->instances : c->hops);
	for (const unsigned char *p = f->value.at; p <= octet && p < f->value.at + f->value.n; p++) {
		if (*p == ';')
			tag_open = s.name = false, s.tag = '-';
		else if (!tag_open && *p > ' ')
			tag_open = s.name = true, s.tag = *p;
		else if (*p == '=')
			s.name = false;
	}
	return s;
}

/* What may be said of a changed octet there. */
static unsigned allowed(struct spot s)
{
	bool last = s.newest;

	if (s.name && s.place > BODY) /* case of a tag's name is signed; another letter is another tag */
		return BIT(STRUCTURE) | BIT(SIGNATURE);
	switch (s.place) {
	case NAME:
		return BIT(STRUCTURE) | BIT(HASH) | BIT(SIGNATURE) | BIT(ENVELOPE) | BIT(CUSTODY);
	case COVERED:
		return BIT(STRUCTURE) | BIT(HASH);
	case BODY:
		return BIT(HASH);
	case INSTANCE:
		if (s.tag == 'h')
			return BIT(STRUCTURE) | BIT(ALGORITHM) | (last ? BIT(HASH) : BIT(SIGNATURE));
		return BIT(STRUCTURE) | BIT(SIGNATURE) | (s.tag == 'r' ? BIT(RECIPE) : 0);
	case SIGNATURE:
		switch (s.tag) {
		case 't':
			return BIT(STRUCTURE) | BIT(TIME) | BIT(SIGNATURE);
		case 'd':
			return BIT(STRUCTURE) | BIT(CUSTODY) | BIT(KEY) | BIT(SIGNATURE);
		case 'n': /* nd= */
			return BIT(STRUCTURE) | BIT(CUSTODY) | BIT(SIGNATURE);
		case 'm': /* m=, mf= */
		case 'r':
			return BIT(STRUCTURE) | BIT(SIGNATURE) | BIT(CUSTODY) | (last ? BIT(ENVELOPE) : 0);
		case 's':
			return BIT(STRUCTURE) | BIT(SIGNATURE) | BIT(KEY) | BIT(ALGORITHM);
		default:
			return BIT(STRUCTURE) | BIT(SIGNATURE);
		}
	case OUTSIDE:
		break;
	}
	return ~0u;
}

static bool says(const struct dkim2_verdict *v, const char *words)
{
	return memmem(v->reason.at, v->reason.n, words, strlen(words)) != NULL;
}

/* A name may be written in any case, and so may the domain of a path. */
static bool same_name(const struct spot *s, unsigned char was, unsigned char flip)
{
	return s->place == NAME && flip == 0x20 && ascii_lower(was) >= 'a' && ascii_lower(was) <= 'z';
}

static void every_octet_is_covered(void **state)
{
	static const unsigned char flips[] = { 0x01, 0x20 };
	unsigned seen[DKIM2_KINDS] = { 0 };

	(void)state;
	for (size_t n = 0; n < ROWS(list_of_chains); n++) {
		struct chained *c = &list_of_chains[n];
		unsigned char *p = arena_take(&chains, c->message.n);
		size_t passed = 0;

		for (size_t i = 0; i < c->message.n; i++) {
			for (size_t k = 0; k < ROWS(flips); k++) {
				const struct dkim2_verdict *v;
				struct spot s;
				struct slice body;
				struct header h;
				bool none;

				arena_clear(&arena);
				memcpy(p, c->message.at, c->message.n);
				p[i] ^= flips[k];
				split(c->message, &h, &body);
				s = spot_of(c, &h, i);
				if (!memmem(p, c->message.n, "\r\n\r\n", 4) || s.place == OUTSIDE)
					continue;
				v = judge(c, slice_of(p, c->message.n));
				if (same_name(&s, c->message.at[i], flips[k])) {
					if (v->state != DKIM2_PASS)
						fail_msg("%s: case of octet %zu: %.*s", c->name, i, SLICE_FMT(v->reason));
					passed++;
					continue;
				}
				none = s.place == NAME && c->hops == 1 && v->state == DKIM2_NONE; /* without its only seal it is like any other */
				if (!none && (v->state <= DKIM2_PASS || !(allowed(s) & 1u << v->about)))
					fail_msg("%s: octet %zu (%.12s) ^ %02x, place %d tag %c: %s %.*s", c->name, i, c->message.at + i, flips[k], (int)s.place, s.tag,
					    dkim2_state_name(v->state), SLICE_FMT(v->reason));
				if ((s.place == BODY && !says(v, "body hash")) || (s.place == COVERED && v->about == DKIM2_ABOUT_HASH && !says(v, "header hash")))
					fail_msg("%s: octet %zu: %.*s", c->name, i, SLICE_FMT(v->reason));
				seen[v->about]++;
			}
		}
		assert_true(passed > 40);
	}
	/* and none of the parts was idle */
	for (unsigned kind = DKIM2_ABOUT_STRUCTURE; kind < DKIM2_KINDS; kind++)
		if (kind != DKIM2_ABOUT_LIMIT && kind != DKIM2_ABOUT_MIXED && kind != DKIM2_ABOUT_WORK && kind != DKIM2_ABOUT_FROM && !seen[kind])
			fail_msg("nothing was told of kind %u", kind);
}

/* ---- what does not matter ---- */

static struct slice put_in(struct slice message, size_t at, const char *text, size_t instead_of)
{
	return join(slice_sub(message, 0, at), slice_str(text), slice_sub(message, at + instead_of, SIZE_MAX));
}

/* White space in the two fields: where none may stand the syntax is wrong, anywhere else nothing changes. */
static void blanks_in_a_seal_do_not_matter(void **state)
{
	static const char *const blanks[] = { " ", "\t", "\r\n ", " \r\n\t " };
	size_t passed = 0, wrong = 0;

	(void)state;
	for (size_t n = 0; n < ROWS(list_of_chains); n++) {
		const struct chained *c = &list_of_chains[n];

		for (size_t i = 0; i < c->message.n; i++) {
			const struct dkim2_verdict *v;
			struct slice body, message;
			struct spot s;
			struct header h;

			arena_clear(&arena);
			split(c->message, &h, &body);
			s = spot_of(c, &h, i);
			if ((s.place != INSTANCE && s.place != SIGNATURE) || c->message.at[i] == '\n')
				continue; /* behind CR a blank parts the line end */
			message = put_in(c->message, i, blanks[i % ROWS(blanks)], 0);
			v = judge(c, message);
			passed += dkim2_fully_verified(v);
			wrong += v->state == DKIM2_PERMERROR && v->about == DKIM2_ABOUT_STRUCTURE;
			if (!dkim2_fully_verified(v) && (v->state != DKIM2_PERMERROR || v->about != DKIM2_ABOUT_STRUCTURE))
				fail_msg("%s: blanks in front of octet %zu (%.20s): %s %.*s", c->name, i, c->message.at + i, dkim2_state_name(v->state), SLICE_FMT(v->reason));
			/* base64 is most of it, and never minds */
			if ((c->message.at[i] == ';' || (s.place == INSTANCE && s.tag == 'r')) && !dkim2_fully_verified(v) && s.tag != '-' &&
			    c->message.at[i] != '=' && c->message.at[i] != 'r')
				fail_msg("%s: blanks in front of octet %zu (%.20s): %.*s", c->name, i, c->message.at + i, SLICE_FMT(v->reason));
		}
	}
	assert_true(passed > 1000 && wrong > 100);
}

/* In covered fields: folds, runs of blanks, those at the end; behind the body: empty lines. */
static void blanks_in_a_message_may_change(void **state)
{
	(void)state;
	for (size_t n = 0; n < ROWS(list_of_chains); n++) {
		const struct chained *c = &list_of_chains[n];
		size_t changes = 0;

		for (size_t i = 0; i < c->message.n; i++) {
			static const char *const runs[] = { "\t", "  ", "\r\n ", " \r\n\t" };
			struct slice body;
			struct spot s;
			struct header h;
			bool end;

			arena_clear(&arena);
			split(c->message, &h, &body);
			s = spot_of(c, &h, i);
			end = c->message.at[i] == '\r';
			if (s.place != COVERED || (c->message.at[i] != ' ' && !end))
				continue;
			for (size_t k = 0; k < ROWS(runs); k++) {
				const struct dkim2_verdict *v = judge(c, put_in(c->message, i, runs[k], !end));

				if (!dkim2_fully_verified(v))
					fail_msg("%s: blanks at octet %zu (%.20s): %.*s", c->name, i, c->message.at + i, SLICE_FMT(v->reason));
				changes++;
			}
		}
		assert_true(changes > 50);
		assert_true(dkim2_fully_verified(judge(c, join(c->message, S("\r\n\r\n"), SLICE_NONE))));
		assert_true(dkim2_fully_verified(judge(c, slice_sub(c->message, 0, c->message.n - 2))));
		assert_false(dkim2_fully_verified(judge(c, join(c->message, S(" \r\n"), SLICE_NONE))));
	}
}

#define TEST(f) cmocka_unit_test_setup(f, fresh_arena)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_octet_is_covered),
		TEST(blanks_in_a_seal_do_not_matter),
		TEST(blanks_in_a_message_may_change),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make_chains, end_chains);
}
