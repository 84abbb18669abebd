/* DMARC: records, the tree walk, alignment, and what comes of it (RFC 9989). */
#include "test.h"

#include "arena.h"
#include "auth/dmarc/tree.h"
#include "base/limits.h"
#include "zone.h"

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

/* What is found, as words: "a.test b.test". */
static size_t words(const char *text, struct slice *out, size_t room)
{
	struct slice rest = slice_str(text), word;
	size_t n = 0;
	bool more = rest.n > 0;

	while (more) {
		more = slice_cut(&rest, ' ', &word);
		assert_true(n < room);
		out[n++] = word;
	}
	return n;
}

struct found {
	const char *dkim, *spf, *unsure;
	bool temporary;
	size_t asked; /* out */
};

/* Answers come one round after the other; the engine starts before anybody knows what DKIM and SPF found. */
static const struct dmarc_verdict *judged(const char *zone_text, const char *from, struct found *found)
{
	struct answers *zone = zone_new(zone_text);
	struct asks *asks = asks_new(&arena, 100);
	struct slice domains[16], dkim[32], unsure[8];
	struct dmarc_terms terms = { .from = domains, .from_count = words(from, domains, 16), .from_single = true };
	size_t n = words(found->dkim ? found->dkim : "", dkim, 32), m = words(found->unsure ? found->unsure : "", unsure, 8);
	struct dmarc *d = dmarc_new(&arena, asks, &terms);
	const struct dmarc_verdict *v;

	assert_non_null(d);
	while (!dmarc_step(d) && zone_answer(zone, &arena, asks))
		;
	dmarc_unsure(d, unsure, m);
	dmarc_found(d, dkim, n, slice_str(found->spf), found->temporary, false);
	while (!dmarc_step(d))
		assert_true(zone_answer(zone, &arena, asks) > 0);
	v = dmarc_verdict(d);
	found->asked = asks_count(asks);
	asks_release(asks);
	answers_free(&zone);
	return v;
}

static void records(void **state)
{
	static const struct {
		const char *name, *text;
		bool record, usable;
		enum dmarc_policy p;
	} rows[] = {
		{ "plain", "v=DMARC1; p=reject", true, true, DMARC_POLICY_REJECT },
		{ "blanks where they may be", "v = DMARC1 ;\tp\t=  quarantine ; ", true, true, DMARC_POLICY_QUARANTINE },
		{ "no blanks", "v=DMARC1;p=none;", true, true, DMARC_POLICY_NONE },
		{ "policy words have no case", "v=DMARC1; P=ReJect", true, true, DMARC_POLICY_REJECT },
		{ "the version has", "v=dmarc1; p=reject", false, false, DMARC_POLICY_NONE },
		{ "version with more behind", "v=DMARC1x; p=reject", false, false, DMARC_POLICY_NONE },
		{ "version without separator", "v=DMARC1 p=reject", false, false, DMARC_POLICY_NONE },
		{ "version is not first", "p=reject; v=DMARC1", false, false, DMARC_POLICY_NONE },
		{ "blank in front of it", " v=DMARC1; p=reject", false, false, DMARC_POLICY_NONE },
		{ "another record", "v=spf1 -all", false, false, DMARC_POLICY_NONE },
		{ "nothing", "", false, false, DMARC_POLICY_NONE },
		{ "version alone", "v=DMARC1", true, false, DMARC_POLICY_NONE },
		{ "unknown tags", "v=DMARC1; pct=0; rf=afrf; ri=1; x; =; p=reject", true, true, DMARC_POLICY_REJECT },
		{ "the first of two counts", "v=DMARC1; p=reject; p=none", true, true, DMARC_POLICY_REJECT },
		{ "misspelt policy", "v=DMARC1; p=block", true, false, DMARC_POLICY_NONE },
		{ "misspelt policy, reports wanted", "v=DMARC1; p=block; rua=mailto:a@b.test", true, true, DMARC_POLICY_NONE },
		{ "no policy, reports wanted", "v=DMARC1; rua=mailto:a@b.test!10m", true, true, DMARC_POLICY_NONE },
		{ "misspelt sp spoils p", "v=DMARC1; p=reject; sp=all; rua=mailto:a@b.test", true, true, DMARC_POLICY_NONE },
		{ "misspelt np, no reports wanted", "v=DMARC1; p=reject; np=; ", true, false, DMARC_POLICY_NONE },
		{ "an address is no URI", "v=DMARC1; rua=a@b.test", true, false, DMARC_POLICY_NONE },
		{ "mailto without an address", "v=DMARC1; rua=mailto:", true, false, DMARC_POLICY_NONE },
		{ "one good URI is enough", "v=DMARC1; rua=x, mailto:a@b.test", true, true, DMARC_POLICY_NONE },
		{ "another scheme", "v=DMARC1; rua=https://b.test/r", true, true, DMARC_POLICY_NONE },
		{ "8-bit in a value", "v=DMARC1; p=reject\xc3\xa4", true, false, DMARC_POLICY_NONE },
		{ "8-bit in one not used", "v=DMARC1; x=\xc3\xa4; p=reject", true, true, DMARC_POLICY_REJECT },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct dmarc_record r = { 0 };
		bool is = dmarc_record_read(slice_str(rows[i].text), &r);

		if (is != rows[i].record || r.usable != rows[i].usable || r.p != rows[i].p)
			fail_msg("%s: record %d usable %d p %s", rows[i].name, is, r.usable, dmarc_policy_name(r.p));
	}
}

static void tags(void **state)
{
	struct dmarc_record r;
	char text[4096];

	(void)state;
	assert_true(dmarc_record_read(S("v=DMARC1; p=reject; sp=none; np=quarantine; adkim=S; aspf=s; t=Y; psd=N; fo=1:d; rua=mailto:A@b.test , x; ruf=mailto:c@d.test"), &r));
	assert_true(r.has_sp && r.sp == DMARC_POLICY_NONE && r.has_np && r.np == DMARC_POLICY_QUARANTINE);
	assert_true(r.adkim_strict && r.aspf_strict && r.testing && r.psd == DMARC_PSD_NO);
	WANT_SLICE(r.rua, S("mailto:A@b.test , x"));
	WANT_SLICE(r.ruf, S("mailto:c@d.test"));
	WANT_SLICE(r.fo, S("1:d"));
	/* what is misspelt is its default */
	assert_true(dmarc_record_read(S("v=DMARC1; p=reject; adkim=strict; aspf=; t=yes; psd=x; fo=2; ruf=mailto:c@d.test"), &r));
	assert_true(r.usable && !r.adkim_strict && !r.aspf_strict && !r.testing && r.psd == DMARC_PSD_UNKNOWN && r.fo.n == 0);
	/* fo without ruf, a control octet in rua */
	assert_true(dmarc_record_read(S("v=DMARC1; p=none; fo=1; rua=mailto:a\r\n@b.test"), &r));
	assert_true(r.fo.n == 0 && r.rua.n == 0);
	/* a long list loses whole addresses */
	strcpy(text, "v=DMARC1; p=none; rua=");
	for (int i = 0; i < 100; i++)
		strcat(text, "mailto:someone@a.test,");
	assert_true(dmarc_record_read(slice_str(text), &r));
	assert_true(r.rua.n > LIMIT_DMARC_URIS - 30 && r.rua.n <= LIMIT_DMARC_URIS && slice_ends(r.rua, S("@a.test")));
}

static void names_of_a_walk(void **state)
{
	static const struct {
		const char *domain, *names;
	} rows[] = {
		{ "test", "test" },
		{ "a.test", "a.test test" },
		{ "a.b.c.d.e.f.g.test", "a.b.c.d.e.f.g.test b.c.d.e.f.g.test c.d.e.f.g.test d.e.f.g.test e.f.g.test f.g.test g.test test" },
		{ "x.a.b.c.d.e.f.g.test", "x.a.b.c.d.e.f.g.test b.c.d.e.f.g.test c.d.e.f.g.test d.e.f.g.test e.f.g.test f.g.test g.test test" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct slice names[DMARC_TREE_QUERIES], want[DMARC_TREE_QUERIES];
		size_t n = dmarc_tree_names(slice_str(rows[i].domain), names);

		assert_int_equal(n, words(rows[i].names, want, DMARC_TREE_QUERIES));
		for (size_t k = 0; k < n; k++)
			WANT_SLICE(names[k], want[k]);
	}
}

static void outcomes(void **state)
{
#define REC(name, text) "\"_dmarc." name "\": [\"v=DMARC1; " text "\"]"
#define DOWN(name) "\"_dmarc." name "\": {\"error\": \"servfail\"}"
	static const struct {
		const char *name, *zone, *from, *dkim, *spf, *want;
	} rows[] = {
		/* want: state, policy and its tag, disposition, where the record stands, organisational domain */
		{ "no record", "", "a.test", "a.test", "a.test", "none none  none - a.test" },
		{ "identical", REC("a.test", "p=reject"), "a.test", "a.test", NULL, "pass reject p none a.test a.test" },
		{ "nothing found", REC("a.test", "p=reject"), "a.test", NULL, NULL, "fail reject p reject a.test a.test" },
		{ "another domain", REC("a.test", "p=quarantine"), "a.test", "b.test", "b.test", "fail quarantine p quarantine a.test a.test" },
		{ "SPF alone", REC("a.test", "p=reject"), "a.test", "b.test", "bounce.a.test", "pass reject p none a.test a.test" },
		{ "a shared suffix is no organisation", REC("a.test", "p=reject"), "a.test", "xa.test", "test", "fail reject p reject a.test a.test" },
		{ "strict DKIM", REC("a.test", "p=reject; adkim=s"), "a.test", "x.a.test", NULL, "fail reject p reject a.test a.test" },
		{ "strict SPF", REC("a.test", "p=reject; aspf=s"), "a.test", NULL, "x.a.test", "fail reject p reject a.test a.test" },
		{ "strict is not said of the other", REC("a.test", "p=reject; aspf=s"), "a.test", "x.a.test", NULL, "pass reject p none a.test a.test" },
		{ "inherited, relaxed", REC("a.test", "p=reject"), "x.a.test", "y.a.test", NULL, "pass reject p none a.test a.test" },
		{ "sp", REC("a.test", "p=reject; sp=quarantine"), "x.a.test", NULL, NULL, "fail quarantine sp quarantine a.test a.test" },
		{ "sp is for subdomains", REC("a.test", "p=reject; sp=none"), "a.test", NULL, NULL, "fail reject p reject a.test a.test" },
		{ "sp above a record of its own", REC("a.test", "p=none; sp=none") ", " REC("x.a.test", "p=reject; sp=none"), "x.a.test", NULL, NULL, "fail reject p reject x.a.test a.test" },
		{ "of two above, the one with fewest labels", REC("a.test", "p=reject") ", " REC("x.a.test", "p=none"), "y.x.a.test", NULL, NULL, "fail reject p reject a.test a.test" },
		{ "np for what does not exist", REC("a.test", "p=reject; sp=none; np=quarantine"), "x.a.test", NULL, NULL, "fail quarantine np quarantine a.test a.test" },
		{ "np and something exists", REC("a.test", "p=reject; sp=none; np=quarantine") ", \"x.a.test\": {\"MX\": [\"1 m.test\"]}", "x.a.test", NULL, NULL, "fail none sp none a.test a.test" },
		{ "np and something below exists", REC("a.test", "p=reject; sp=none; np=quarantine") ", \"_dmarc.x.a.test\": [\"x\"]", "x.a.test", NULL, NULL, "fail none sp none a.test a.test" },
		{ "np is not for the domain itself", REC("a.test", "p=none; np=reject"), "a.test", NULL, NULL, "fail none p none a.test a.test" },
		{ "np and nobody knows", REC("a.test", "p=none; np=reject") ", \"x.a.test\": {\"error\": \"timeout\"}", "x.a.test", NULL, NULL, "temperror reject np none a.test a.test" },
		{ "nobody knows, and np is milder", REC("a.test", "p=reject; np=none") ", \"x.a.test\": {\"error\": \"timeout\"}", "x.a.test", NULL, NULL, "temperror reject p none a.test a.test" },
		{ "np and a pass needs no answer", REC("a.test", "p=none; np=reject") ", \"x.a.test\": {\"error\": \"timeout\"}", "x.a.test", "a.test", NULL, "pass none p none a.test a.test" },
		{ "t=y is one step milder", REC("a.test", "p=reject; t=y"), "a.test", NULL, NULL, "fail reject p quarantine a.test a.test" },
		{ "and again", REC("a.test", "p=quarantine; t=y"), "a.test", NULL, NULL, "fail quarantine p none a.test a.test" },
		{ "several records are none", "\"_dmarc.a.test\": [\"v=DMARC1; p=reject\", \"v=DMARC1; p=none\"]", "a.test", "a.test", NULL, "none none  none - a.test" },
		{ "of which one is no DMARC", "\"_dmarc.a.test\": [\"x\", \"v=DMARC1; p=reject\"]", "a.test", NULL, NULL, "fail reject p reject a.test a.test" },
		{ "several, and one above", "\"_dmarc.x.a.test\": [\"v=DMARC1; p=none\", \"v=DMARC1; p=none\"], " REC("a.test", "p=reject"), "x.a.test", NULL, NULL, "fail reject p reject a.test a.test" },
		{ "a record without policy ends it", REC("x.a.test", "adkim=s") ", " REC("a.test", "p=reject"), "x.a.test", NULL, NULL, "none none  none - a.test" },
		{ "reports wanted, so p=none", REC("a.test", "rua=mailto:r@a.test"), "a.test", NULL, NULL, "fail none p none a.test a.test" },
		{ "psd=n ends the walk", REC("b.a.test", "p=reject; psd=n") ", " REC("a.test", "p=none"), "x.b.a.test", "a.test", "b.a.test", "pass reject p none b.a.test b.a.test" },
		{ "psd=n: the parent is a stranger", REC("b.a.test", "p=reject; psd=n") ", " REC("a.test", "p=none"), "x.b.a.test", "a.test", "y.a.test", "fail reject p reject b.a.test b.a.test" },
		{ "psd=n below the author's organisation", REC("b.a.test", "p=reject; psd=n") ", " REC("a.test", "p=reject"), "a.test", "b.a.test", "x.b.a.test", "fail reject p reject a.test a.test" },
		{ "psd=y: registrants are strangers", REC("bank.test", "p=reject; psd=y"), "giant.bank.test", "mega.bank.test", "bank.test", "fail reject p reject bank.test giant.bank.test" },
		{ "psd=y: one label below", REC("bank.test", "p=reject; sp=quarantine; psd=y"), "m.giant.bank.test", "giant.bank.test", NULL, "pass quarantine sp none bank.test giant.bank.test" },
		{ "psd=y, and the organisation has its own", REC("bank.test", "p=reject; psd=y") ", " REC("giant.bank.test", "p=none"), "m.giant.bank.test", NULL, NULL, "fail none p none giant.bank.test giant.bank.test" },
		{ "psd=y ends the walk", REC("bank.test", "p=reject; psd=y") ", " REC("test", "p=none"), "giant.bank.test", NULL, NULL, "fail reject p reject bank.test giant.bank.test" },
		{ "psd=y that sends itself", REC("bank.test", "p=reject; sp=none; psd=y"), "bank.test", "m.bank.test", NULL, "fail reject p reject bank.test bank.test" },
		{ "psd=y and a record between", REC("bank.test", "p=none; psd=y") ", " REC("x.giant.bank.test", "p=reject"), "y.x.giant.bank.test", NULL, NULL, "fail none p none bank.test giant.bank.test" },
		{ "deep: the walk jumps", REC("a.test", "p=reject") ", " REC("8.7.6.5.4.3.2.1.a.test", "p=none"), "9.8.7.6.5.4.3.2.1.a.test", "s.a.test", NULL, "pass reject p none a.test a.test" },
		{ "deep: one label below a public suffix that is far", REC("5.4.3.2.1.a.test", "p=reject; psd=y"), "8.7.6.5.4.3.2.1.a.test", "6.5.4.3.2.1.a.test", NULL, "pass reject p none 5.4.3.2.1.a.test 6.5.4.3.2.1.a.test" },
		{ "author does not answer", DOWN("a.test"), "a.test", "a.test", NULL, "temperror none  none - -" },
		{ "parent does not answer", DOWN("a.test"), "x.a.test", "x.a.test", NULL, "temperror none  none - -" },
		{ "above its own record, identical", REC("a.test", "p=reject") ", " DOWN("test"), "a.test", "a.test", NULL, "pass reject p none a.test -" },
		{ "above its own record, relaxed", REC("a.test", "p=reject") ", " DOWN("test"), "a.test", "x.a.test", NULL, "temperror reject p none a.test -" },
		{ "above its own record, a stranger", REC("a.test", "p=reject") ", " DOWN("test"), "a.test", "evil.example", "evil.example", "fail reject p reject a.test -" },
		{ "above its own record, strict", REC("a.test", "p=reject; adkim=s; aspf=s") ", " DOWN("test"), "a.test", "x.a.test", "x.a.test", "fail reject p reject a.test -" },
		{ "behind the end of the walk", REC("a.test", "p=reject; psd=n") ", " DOWN("test"), "x.a.test", "y.a.test", NULL, "pass reject p none a.test a.test" },
		{ "an identifier's walk", REC("a.test", "p=reject") ", " DOWN("y.a.test"), "a.test", "y.a.test", NULL, "temperror reject p none a.test a.test" },
		{ "... and another one aligns", REC("a.test", "p=reject") ", " DOWN("y.a.test"), "a.test", "y.a.test", "z.a.test", "pass reject p none a.test a.test" },
		{ "address literal", "", "[192.0.2.1]", NULL, NULL, "none none  none - -" },
		{ "one label", REC("test", "p=reject"), "test", "test", NULL, "pass reject p none test test" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct slice zone = arena_printf(&arena, "{%s}", rows[i].zone), got;
		struct found found = { .dkim = rows[i].dkim, .spf = rows[i].spf };
		const struct dmarc_verdict *v = judged(arena_string(&arena, zone), rows[i].from, &found);
		struct slice none = S("-");

		got = arena_printf(&arena, "%s %s %s %s %.*s %.*s", dmarc_state_name(v->state), dmarc_policy_name(v->policy), v->tag,
		    dmarc_policy_name(v->disposition), SLICE_FMT(v->domain.n ? v->domain : none),
		    SLICE_FMT(v->organisational.n ? v->organisational : none));
		if (!slice_eq(got, slice_str(rows[i].want)))
			fail_msg("%s: wanted \"%s\", got \"%.*s\" (%.*s)", rows[i].name, rows[i].want, SLICE_FMT(got), SLICE_FMT(v->reason));
		if (v->state != DMARC_PASS && v->reason.n == 0)
			fail_msg("%s: no reason", rows[i].name);
	}
}

/* Which identifier aligned is for the reports, so both are looked at. */
static void both_mechanisms_are_reported(void **state)
{
	struct found found = { .dkim = "b.test y.a.test", .spf = "z.a.test" };
	const struct dmarc_verdict *v = judged("{" REC("a.test", "p=reject; rua=mailto:r@a.test; ruf=mailto:f@a.test; fo=1; adkim=r") "}", "x.a.test", &found);

	(void)state;
	assert_true(v->state == DMARC_PASS && v->dkim_aligned && v->spf_aligned && !v->adkim_strict && !v->testing);
	WANT_SLICE(v->dkim_domain, S("y.a.test"));
	WANT_SLICE(v->spf_domain, S("z.a.test"));
	WANT_SLICE(v->rua, S("mailto:r@a.test"));
	WANT_SLICE(v->ruf, S("mailto:f@a.test"));
	WANT_SLICE(v->fo, S("1"));
	WANT_SLICE(v->author, S("x.a.test"));
}

/* RFC 9989 5.3.6: what might pass once its key answers does not fail. Only what could align can. */
static void temporary_failures(void **state)
{
	static const char zone[] = "{" REC("a.test", "p=reject") ", " REC("s.test", "p=reject; adkim=s; aspf=s") "}";
	static const struct {
		const char *name, *from;
		struct found found;
		enum dmarc_state want;
	} rows[] = {
		{ "somebody's", "a.test", { .temporary = true }, DMARC_TEMPERROR },
		{ "somebody's, and another one aligns", "a.test", { .dkim = "a.test", .temporary = true }, DMARC_PASS },
		{ "the author's", "a.test", { .unsure = "a.test" }, DMARC_TEMPERROR },
		{ "of the author's organisation", "a.test", { .unsure = "b.test x.a.test" }, DMARC_TEMPERROR },
		{ "a stranger's", "a.test", { .unsure = "evil.test b.example" }, DMARC_FAIL },
		{ "strict: a relative's", "s.test", { .unsure = "x.s.test" }, DMARC_FAIL },
		{ "strict: the author's", "s.test", { .unsure = "s.test" }, DMARC_TEMPERROR },
		{ "no record", "n.test", { .temporary = true }, DMARC_NONE },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct found found = rows[i].found;
		const struct dmarc_verdict *v = judged(zone, rows[i].from, &found);

		if (v->state != rows[i].want || v->disposition != (v->state == DMARC_FAIL ? DMARC_POLICY_REJECT : DMARC_POLICY_NONE))
			fail_msg("%s: %s", rows[i].name, dmarc_state_name(v->state));
	}
}

static void several_authors(void **state)
{
	static const char zone[] = "{" REC("none.test", "p=none") ", " REC("quarantine.test", "p=quarantine") ", " REC("reject.test", "p=reject")
	    ", " REC("t.test", "p=reject; t=y") ", " DOWN("down.test") "}";
	static const struct {
		const char *name, *from, *dkim, *author;
		enum dmarc_state want;
		const char *unsure;
	} rows[] = {
		{ "the same twice", "none.test none.test", "none.test", "none.test", DMARC_PASS, NULL },
		{ "all pass", "none.test reject.test", "none.test reject.test", "none.test", DMARC_PASS, NULL },
		{ "one fails", "none.test reject.test", "none.test", "reject.test", DMARC_FAIL, NULL },
		{ "the other way round", "reject.test none.test", "none.test", "reject.test", DMARC_FAIL, NULL },
		{ "the strictest fails", "quarantine.test reject.test none.test", NULL, "reject.test", DMARC_FAIL, NULL },
		{ "only what fails counts", "quarantine.test reject.test", "reject.test", "quarantine.test", DMARC_FAIL, NULL },
		{ "nobody says anything of one", "reject.test open.test", "reject.test", "open.test", DMARC_NONE, NULL },
		{ "one does not answer", "none.test down.test", "none.test", "down.test", DMARC_TEMPERROR, NULL },
		{ "quarantine waits for the other", "quarantine.test down.test", NULL, "down.test", DMARC_TEMPERROR, NULL },
		{ "reject does not", "down.test reject.test", NULL, "reject.test", DMARC_FAIL, NULL },
		{ "one that asks for nothing hides no quarantine", "none.test quarantine.test", NULL, "quarantine.test", DMARC_FAIL, "none.test" },
		{ "nor one that waits and may be refused", "none.test reject.test", NULL, "reject.test", DMARC_TEMPERROR, "none.test reject.test" },
		{ "nor one that is not known", "none.test down.test", NULL, "down.test", DMARC_TEMPERROR, "none.test" },
		{ "it counts more than what may go on", "reject.test none.test", "reject.test", "none.test", DMARC_TEMPERROR, "none.test" },
		{ "what is tested is milder", "t.test reject.test", NULL, "reject.test", DMARC_FAIL, NULL },
		{ "five", "a.test b.test c.test d.test e.test", NULL, "", DMARC_PERMERROR, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct found found = { .dkim = rows[i].dkim, .unsure = rows[i].unsure };
		const struct dmarc_verdict *v = judged(zone, rows[i].from, &found);

		if (v->state != rows[i].want || !slice_eq(v->author, slice_str(rows[i].author)))
			fail_msg("%s: %s for %.*s", rows[i].name, dmarc_state_name(v->state), SLICE_FMT(v->author));
		assert_int_equal(v->several, i > 0 && v->state != DMARC_PERMERROR);
	}
}

/* Two From fields, or one that two parsers would split differently, are judged for nobody and ask for nothing. */
static void no_single_author(void **state)
{
	struct slice from[1] = { S("a.test") };
	struct asks *asks = asks_new(&arena, 10);
	struct dmarc *d = dmarc_new(&arena, asks, &(struct dmarc_terms){ .from = from, .from_count = 1 });

	(void)state;
	assert_true(dmarc_step(d));
	assert_int_equal(dmarc_verdict(d)->state, DMARC_PERMERROR);
	d = dmarc_new(&arena, asks, &(struct dmarc_terms){ .from_single = true });
	assert_true(dmarc_step(d));
	assert_int_equal(dmarc_verdict(d)->state, DMARC_PERMERROR);
	assert_int_equal(asks_count(asks), 0);
	asks_release(asks);
}

static void few_questions(void **state)
{
	static const struct {
		const char *name, *zone, *from, *dkim, *spf;
		size_t asked;
	} rows[] = {
		{ "22 labels", "", "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.test", NULL, NULL, 8 },
		{ "22 labels, does it exist", REC("a.test", "p=none; np=reject"), "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.test", NULL, NULL, 9 },
		{ "no question for an equal one", REC("a.test", "p=reject"), "a.test", "a.test", "a.test", 2 },
		{ "nor for strangers", REC("a.test", "p=reject"), "a.test", "b.test c.example", "d.example", 2 },
		{ "one for a subdomain", REC("a.test", "p=reject"), "a.test", "x.a.test", NULL, 3 },
		{ "none when another signature aligns", REC("a.test", "p=reject"), "a.test", "x.a.test a.test", NULL, 2 },
		{ "none for a record without np", REC("a.test", "p=none; sp=reject"), "x.a.test", NULL, NULL, 3 },
		{ "none when np says the same", REC("a.test", "p=none; sp=reject; np=reject"), "x.a.test", NULL, NULL, 3 },
		{ "none for strict", REC("a.test", "p=none; adkim=s; aspf=s"), "a.test", "x.a.test", "y.a.test", 2 },
		{ "a flood of signatures", REC("a.test", "p=reject; psd=n") ", " REC("s.a.test", "p=none; psd=n"), "a.test",
		    "1.s.a.test 2.s.a.test 3.s.a.test 4.s.a.test 5.s.a.test 6.s.a.test 7.s.a.test 8.s.a.test 9.s.a.test 10.s.a.test 11.s.a.test 12.s.a.test", NULL, 13 },
		{ "not a name", "", "[192.0.2.1]", NULL, NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct slice zone = arena_printf(&arena, "{%s}", rows[i].zone);
		struct found found = { .dkim = rows[i].dkim, .spf = rows[i].spf };

		judged(arena_string(&arena, zone), rows[i].from, &found);
		if (found.asked != rows[i].asked)
			fail_msg("%s: %zu questions", rows[i].name, found.asked);
	}
}

/* All questions of a walk are there at once, and a record that ends it does not wait for what is behind. */
static void a_walk_asks_once(void **state)
{
	struct slice from[1] = { S("x.b.a.test") };
	struct asks *asks = asks_new(&arena, 10);
	struct dmarc *d = dmarc_new(&arena, asks, &(struct dmarc_terms){ .from = from, .from_count = 1, .from_single = true });
	enum dnsrec_type type;
	struct slice name;
	size_t index;

	(void)state;
	assert_int_equal(asks_count(asks), 4);
	dmarc_found(d, NULL, 0, SLICE_NONE, false, false);
	for (int i = 0; i < 2; i++) {
		struct slice text = S("v=DMARC1; p=reject; psd=n");
		struct dnsrec *rec = dnsrec_new(DNSREC_TXT, i ? DNS_OK : DNS_NXDOMAIN, &text, (size_t)i, false);

		assert_false(dmarc_step(d));
		assert_true(asks_next(asks, &index, &type, &name));
		asks_answer(asks, index, rec);
		dnsrec_drop(&rec);
	}
	assert_true(dmarc_step(d));
	assert_int_equal(dmarc_verdict(d)->state, DMARC_FAIL);
	WANT_SLICE(dmarc_verdict(d)->organisational, S("b.a.test"));
	asks_release(asks);
}

/* When time is over, what is missing is a temporary failure. */
static void time_is_over(void **state)
{
	struct slice from[1] = { S("a.test") };
	struct asks *asks = asks_new(&arena, 10);
	struct dmarc *d = dmarc_new(&arena, asks, &(struct dmarc_terms){ .from = from, .from_count = 1, .from_single = true });

	(void)state;
	assert_false(dmarc_step(d));
	asks_give_up(asks);
	assert_true(dmarc_step(d));
	assert_int_equal(dmarc_verdict(d)->state, DMARC_TEMPERROR);
	asks_release(asks);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh_arena, drop_arena)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(records),
		TEST(tags),
		TEST(names_of_a_walk),
		TEST(outcomes),
		TEST(both_mechanisms_are_reported),
		TEST(temporary_failures),
		TEST(several_authors),
		TEST(no_single_author),
		TEST(few_questions),
		TEST(a_walk_asks_once),
		TEST(time_is_over),
	};

	return RUN_TESTS(tests);
}
