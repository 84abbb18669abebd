/* Custody and the envelope by themselves (spec 8, 10.5, 10.6): fields as text, no key, no content. */
#include "arena.h"

#include "auth/dkim2/custody.h"
#include "base/b64.h"
#include "mail/header.h"

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

struct hop {
	const char *d;
	const char *mf; /* NULL: nd= */
	const char *rt; /* paths with ' ' between, or the domain of nd= */
};

static struct slice b64(struct slice text)
{
	return b64_text(&arena, text);
}

static struct slice envelope_tags(const struct hop *hop)
{
	struct slice mf = hop->mf ? b64(slice_str(hop->mf)) : SLICE_NONE, rest = slice_str(hop->rt), one, rt = SLICE_NONE;
	bool more = true;

	if (!hop->mf)
		return arena_printf(&arena, "nd=%s", hop->rt);
	while (more) {
		more = slice_cut(&rest, ' ', &one);
		one = b64(one);
		rt = arena_printf(&arena, "%.*s%.*s%s", SLICE_FMT(rt), SLICE_FMT(one), more ? "," : "");
	}
	return arena_printf(&arena, "mf=%.*s; rt=%.*s", SLICE_FMT(mf), SLICE_FMT(rt));
}

/* One instance, these hops, at this level. */
static void chain_of(const struct hop *hops, size_t n, unsigned draft, struct chain *out)
{
	static const char hash[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
	struct slice text = arena_printf(&arena, "Message-Instance: m=1; h=sha256:%s:%s;\r\n", hash, hash), tags;
	struct header *h = ARENA_NEW(&arena, struct header);
	struct fault f = { 0 };

	for (size_t k = 0; k < n; k++) {
		tags = envelope_tags(&hops[k]);
		text = arena_printf(&arena, "DKIM2-Signature: i=%zu; m=1; t=1; d=%s; %.*s; s=a:b:AAAA;\r\n%.*s", k + 1, hops[k].d,
		    SLICE_FMT(tags), SLICE_FMT(text));
	}
	assert_true(header_parse(&arena, text, 100, h, &f));
	assert_true(chain_read(&arena, draft_of(draft), h, false, out));
	if (out->broken)
		fail_msg("%.*s", SLICE_FMT(out->reason.words));
}

static void each_hop_follows(void **state)
{
	static const struct {
		const char *name;
		struct hop hops[5];
		const char *reason; /* of the last hop */
	} rows[] = {
		{ "one hop", { { "o.test", "<a@o.test>", "<b@r.test>" } }, "" },
		{ "sender below d=", { { "o.test", "<a@x.y.o.test>", "<b@r.test>" } }, "" },
		{ "sender above d=", { { "x.o.test", "<a@o.test>", "<b@r.test>" } }, "DKIM2-Signature i=1 MAIL FROM and d= do not match" },
		{ "no whole label", { { "o.test", "<a@no.test>", "<b@r.test>" } }, "DKIM2-Signature i=1 MAIL FROM and d= do not match" },
		{ "no sender", { { "o.test", "<>", "<b@r.test>" } }, "" },
		{ "sender without domain", { { "o.test", "<postmaster>", "<b@r.test>" } }, "DKIM2-Signature i=1 MAIL FROM and d= do not match" },
		{ "sender at an address", { { "o.test", "<a@[192.0.2.1]>", "<b@r.test>" } }, "DKIM2-Signature i=1 MAIL FROM and d= do not match" },
		{ "case", { { "O.test", "<a@o.TEST>", "<b@r.test>" } }, "" },
		{ "final dot of d=", { { "o.test.", "<a@o.test>", "<b@r.test>" } }, "" },
		{ "quoted local part", { { "o.test", "<\"a@evil.test\"@o.test>", "<b@r.test>" } }, "" },
		{ "source route", { { "o.test", "<@evil.test,@more.test:a@o.test>", "<b@r.test>" } }, "" },
		{ "source route alone is of o.test", { { "o.test", "<@o.test:a@evil.test>", "<b@r.test>" } },
		  "DKIM2-Signature i=1 MAIL FROM and d= do not match" },
		{ "U-label of the sender", { { "xn--tst-qla.test", "<a@t\xc3\xa4st.test>", "<b@r.test>" } }, "" },

		{ "sender equals", { { "o.test", "<a@o.test>", "<b@r.test>" }, { "r.test", "<b@r.test>", "<c@f.test>" } }, "" },
		{ "sender below", { { "o.test", "<a@o.test>", "<b@r.test>" }, { "r.test", "<b@x.r.test>", "<c@f.test>" } }, "" },
		{ "sender above", { { "o.test", "<a@o.test>", "<b@x.r.test>" }, { "r.test", "<b@r.test>", "<c@f.test>" } },
		  "DKIM2-Signature i=2 MAIL FROM does not match RCPT TO of i=1" },
		{ "near miss", { { "o.test", "<a@o.test>", "<b@r.test>" }, { "er.test", "<b@er.test>", "<c@f.test>" } },
		  "DKIM2-Signature i=2 MAIL FROM does not match RCPT TO of i=1" },
		{ "one of several", { { "o.test", "<a@o.test>", "<x@a.test> <b@r.test> <y@b.test>" }, { "r.test", "<b@r.test>", "<c@f.test>" } }, "" },
		{ "local parts do not matter", { { "o.test", "<a@o.test>", "<b@r.test>" }, { "r.test", "<z@r.test>", "<c@f.test>" } }, "" },
		{ "U-label of the recipient", { { "o.test", "<a@o.test>", "<b@t\xc3\xa4st.test>" }, { "xn--tst-qla.test", "<b@xn--tst-qla.test>", "<c@f.test>" } }, "" },
		{ "source route of the recipient", { { "o.test", "<a@o.test>", "<@evil.test:b@r.test>" }, { "evil.test", "<b@evil.test>", "<c@f.test>" } },
		  "DKIM2-Signature i=2 MAIL FROM does not match RCPT TO of i=1" },
		{ "quotes in the recipient", { { "o.test", "<a@o.test>", "<\"b@evil.test\"@r.test>" }, { "evil.test", "<b@evil.test>", "<c@f.test>" } },
		  "DKIM2-Signature i=2 MAIL FROM does not match RCPT TO of i=1" },
		{ "recipient without domain", { { "o.test", "<a@o.test>", "<postmaster>" }, { "o.test", "<postmaster@o.test>", "<c@f.test>" } },
		  "DKIM2-Signature i=2 MAIL FROM does not match RCPT TO of i=1" },
		{ "the hop's own d= first", { { "o.test", "<a@o.test>", "<b@r.test>" }, { "f.test", "<b@r.test>", "<c@f.test>" } },
		  "DKIM2-Signature i=2 MAIL FROM and d= do not match" },

		{ "no sender, d= equals", { { "o.test", "<a@o.test>", "<b@r.test>" }, { "r.test", "<>", "<c@f.test>" } }, "" },
		{ "no sender, d= below", { { "o.test", "<a@o.test>", "<b@r.test>" }, { "x.r.test", "<>", "<c@f.test>" } }, "" },
		{ "no sender, d= above", { { "o.test", "<a@o.test>", "<b@x.r.test>" }, { "r.test", "<>", "<c@f.test>" } }, "" },
		{ "no sender, another d=", { { "o.test", "<a@o.test>", "<b@r.test>" }, { "er.test", "<>", "<c@f.test>" } },
		  "DKIM2-Signature i=2 d= does not match RCPT TO of i=1" },

		{ "nd= by the recipient's domain", { { "o.test", "<a@o.test>", "<b@r.test>" }, { "r.test", NULL, "f.test" } }, "" },
		{ "nd= by one below", { { "o.test", "<a@o.test>", "<b@r.test>" }, { "x.r.test", NULL, "f.test" } }, "" },
		{ "nd= by one above", { { "o.test", "<a@o.test>", "<b@x.r.test>" }, { "r.test", NULL, "f.test" } }, "" },
		{ "nd= by another", { { "o.test", "<a@o.test>", "<b@r.test>" }, { "evil.test", NULL, "f.test" } },
		  "DKIM2-Signature i=2 d= does not match RCPT TO of i=1" },
		{ "behind nd=", { { "o.test", "<a@o.test>", "<b@r.test>" }, { "r.test", NULL, "f.test" }, { "f.test", "<b@x.f.test>", "<c@g.test>" } }, "" },
		{ "behind nd=, no sender", { { "o.test", "<a@o.test>", "<b@r.test>" }, { "r.test", NULL, "f.test" }, { "f.test", "<>", "<c@g.test>" } }, "" },
		{ "behind nd=, one below", { { "o.test", "<a@o.test>", "<b@r.test>" }, { "r.test", NULL, "f.test" }, { "x.f.test", "<b@x.f.test>", "<c@g.test>" } },
		  "DKIM2-Signature i=3 MAIL nd= does not match" },
		{ "behind nd=, the domain before it", { { "o.test", "<a@o.test>", "<b@r.test>" }, { "r.test", NULL, "f.test" }, { "r.test", "<b@r.test>", "<c@g.test>" } },
		  "DKIM2-Signature i=3 MAIL nd= does not match" },
		{ "nd= with a final dot and capitals", { { "o.test", "<a@o.test>", "<b@r.test>" }, { "r.test", NULL, "F.test." }, { "f.TEST", "<b@f.test>", "<c@g.test>" } }, "" },
		{ "a run of nd=", { { "o.test", "<a@o.test>", "<b@r.test>" }, { "r.test", NULL, "m.test" }, { "m.test", NULL, "f.test" }, { "f.test", "<b@f.test>", "<c@g.test>" } }, "" },
		{ "a run of nd= that jumps", { { "o.test", "<a@o.test>", "<b@r.test>" }, { "r.test", NULL, "m.test" }, { "n.test", NULL, "f.test" } },
		  "DKIM2-Signature i=3 MAIL nd= does not match" },
		{ "nd= from the first hop on", { { "o.test", NULL, "r.test" }, { "r.test", "<b@r.test>", "<c@f.test>" } }, "" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		for (unsigned draft = DRAFT_OLDEST; draft <= DRAFT_NEWEST; draft++) { /* what it is called differs, not what it is */
			struct chain chain;
			struct reason broken;
			size_t n = 0;

			while (n < ROWS(rows[i].hops) && rows[i].hops[n].d)
				n++;
			chain_of(rows[i].hops, n, draft, &chain);
			for (size_t k = 0; k + 1 < n; k++) {
				broken = custody_break(&arena, &chain, k);
				if (broken.words.n)
					fail_msg("%s, hop %zu: %.*s", rows[i].name, k + 1, SLICE_FMT(broken.words));
			}
			broken = custody_break(&arena, &chain, n - 1);
			if (!slice_eq(broken.words, slice_str(rows[i].reason)))
				fail_msg("%s: \"%.*s\"", rows[i].name, SLICE_FMT(broken.words));
		}
		arena_clear(&arena);
	}
}

static void the_envelope_is_that_of_the_seal(void **state)
{
	static const struct {
		const char *name, *mf, *rt, *mail_from, *rcpt_to, *reason;
	} rows[] = {
		{ "the same", "<a@o.test>", "<b@r.test>", "<a@o.test>", "<b@r.test>", "" },
		{ "domains in another case", "<a@o.test>", "<b@r.test>", "<a@O.test>", "<b@R.TEST>", "" },
		{ "local part in another case", "<a@o.test>", "<b@r.test>", "<A@o.test>", "<b@r.test>", "DKIM2-Signature i=1 MAIL FROM <A@o.test> did not match" },
		{ "recipient in another case", "<a@o.test>", "<b@r.test>", "<a@o.test>", "<B@r.test>", "DKIM2-Signature i=1 RCPT TO <B@r.test> did not match" },
		{ "a domain below is another", "<a@o.test>", "<b@r.test>", "<a@x.o.test>", "<b@r.test>", "DKIM2-Signature i=1 MAIL FROM <a@x.o.test> did not match" },
		{ "recipients left out", "<a@o.test>", "<b@r.test> <c@r.test> <d@s.test>", "<a@o.test>", "<c@r.test>", "" },
		{ "in another order", "<a@o.test>", "<b@r.test> <c@r.test>", "<a@o.test>", "<c@r.test> <b@r.test>", "" },
		{ "one too many", "<a@o.test>", "<b@r.test>", "<a@o.test>", "<b@r.test> <c@r.test>", "DKIM2-Signature i=1 RCPT TO <c@r.test> did not match" },
		{ "needless quotes", "<\"a\"@o.test>", "<b@r.test>", "<a@o.test>", "<\"b\"@r.test>", "" },
		{ "quotes that are needed", "<\"a b\"@o.test>", "<b@r.test>", "<\"a b\"@o.test>", "<b@r.test>", "" },
		{ "needless escape", "<\"a\\b\"@o.test>", "<b@r.test>", "<ab@o.test>", "<b@r.test>", "" },
		{ "source route", "<@x.test:a@o.test>", "<@y.test,@z.test:b@r.test>", "<a@o.test>", "<b@r.test>", "" },
		{ "source route on the wire", "<a@o.test>", "<b@r.test>", "<@x.test:a@o.test>", "<@x.test:b@r.test>", "" },
		{ "U-labels", "<a@t\xc3\xa4st.test>", "<b@xn--tst-qla.test>", "<a@xn--tst-qla.test>", "<b@t\xc3\xa4st.test>", "" },
		{ "both without sender", "<>", "<b@r.test>", "<>", "<b@r.test>", "" },
		{ "a sender where there was none", "<>", "<b@r.test>", "<a@o.test>", "<b@r.test>", "DKIM2-Signature i=1 MAIL FROM <a@o.test> did not match" },
		{ "none where there was one", "<a@o.test>", "<b@r.test>", "<>", "<b@r.test>", "DKIM2-Signature i=1 MAIL FROM <> did not match" },
		{ "postmaster", "<a@o.test>", "<postmaster>", "<a@o.test>", "<postmaster>", "" },
		{ "postmaster of a domain is another", "<a@o.test>", "<postmaster>", "<a@o.test>", "<postmaster@r.test>", "DKIM2-Signature i=1 RCPT TO <postmaster@r.test> did not match" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		const struct hop hop = { "o.test", rows[i].mf, rows[i].rt };
		struct dkim2_envelope envelope = { .mail_from = slice_str(rows[i].mail_from) };
		struct slice rest = slice_str(rows[i].rcpt_to), to[4];
		struct chain chain;
		struct reason broken;
		bool more = true;

		while (more)
			more = slice_cut(&rest, ' ', &to[envelope.rcpt_count++]);
		envelope.rcpt_to = to;
		chain_of(&hop, 1, DRAFT_NEWEST, &chain);
		broken = custody_envelope(&arena, &chain.seals[0], &envelope);
		if (!slice_eq(broken.words, slice_str(rows[i].reason)))
			fail_msg("%s: \"%.*s\"", rows[i].name, SLICE_FMT(broken.words));
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh_arena, drop_arena)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_hop_follows),
		TEST(the_envelope_is_that_of_the_seal),
	};

	return RUN_TESTS(tests);
}
