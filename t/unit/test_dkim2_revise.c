/* A hop that changed something: the instance and the recipe it adds, and what it refuses. */
#include "test.h"

#include "base/limits.h"
#include "dkim2_world.h"

static const char revised[] = "From: Alice <alice@example.com>\r\nTo: list@lists.example.org\r\nSubject: [L] Lunch\r\n"
                              "Message-ID: <1@example.com>\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\n"
                              "List-Id: <list.lists.example.org>\r\n\r\nHello\r\nWorld\r\n--\r\nfooter\r\n";

static const char second_instance[] =
    "Message-Instance: m=2; h=sha256:sg5CbwklInAe74oRdopiyUXo98f7XDZl4CIoLAqEahE=:2VWro3eQgxyNNghyZNO0zEasBG9w3zo5/NiX93aRn7U=; "
    "r=eyJoIjp7Imxpc3QtaWQiOltdLCJzdWJqZWN0IjpbeyJkIjpbIiBMdW5jaCJdfV19LCJiIjpbeyJjIjpbMSwyXX1dfQ==;";
static const char second_seal[] =
    "DKIM2-Signature: i=2; m=2; t=1795255260; d=lists.example.org; mf=PGxpc3QtYm91bmNlc0BsaXN0cy5leGFtcGxlLm9yZz4=; "
    "rt=PGJvYkBleGFtcGxlLm5ldD4=; f=exploded; "
    "s=l1:ed25519-sha256:NLn5fZZykBIjjMskaBY/Nc1cjuYka9/evP534esk5hUu21yKFgwhHUhjPejMMxfevIxdzfDGuRoyWdLEC1V+Cg==;";
/* The same as we write it. */
static const char written[] =
    "Message-Instance: m=2; h=sha256:sg5CbwklInAe74oRdopiyUXo98f7XDZl4CIoLAqEahE=:2\r\n"
    " VWro3eQgxyNNghyZNO0zEasBG9w3zo5/NiX93aRn7U=; r=eyJoIjp7Imxpc3QtaWQiOltdLCJzdW\r\n"
    " JqZWN0IjpbeyJkIjpbIiBMdW5jaCJdfV19LCJiIjpbeyJjIjpbMSwyXX1dfQ==;\r\n"
    "DKIM2-Signature: i=2; m=2; t=1795255260; d=lists.example.org; mf=PGxpc3QtYm91b\r\n"
    " mNlc0BsaXN0cy5leGFtcGxlLm9yZz4=; rt=PGJvYkBleGFtcGxlLm5ldD4=; f=exploded;\r\n"
    " s=l1:ed25519-sha256:NLn5fZZykBIjjMskaBY/Nc1cjuYka9/evP534esk5hUu21yKFgwhHUhjP\r\n"
    " ejMMxfevIxdzfDGuRoyWdLEC1V+Cg==;\r\n";

/* Without a blank or a line end. */
static struct slice bare(struct slice field)
{
	unsigned char *p = arena_take(&arena, field.n);
	size_t n = 0;

	for (size_t i = 0; i < field.n; i++)
		if (!memchr(" \r\n", field.at[i], 3))
			p[n++] = field.at[i];
	return slice_of(p, n);
}

static struct slice recipe_of(struct slice instance)
{
	struct slice flat = bare(instance), out;
	const unsigned char *at = instance.n ? memmem(flat.at, flat.n, ";r=", 3) : NULL;

	if (!at)
		return SLICE_NONE;
	assert_true(b64_decode(&arena, slice_of(at + 3, (size_t)(flat.at + flat.n - at) - 4), false, &out));
	return out;
}

/* Alice's message as the list got it. */
static struct slice posted(const char *message, const struct dkim2_verdict **came)
{
	struct slice rcpt, first;
	struct dkim2_seal_conf conf = alice(&rcpt);

	first = seal(slice_str(message), NULL, &conf);
	*came = arrive(first, &conf);
	assert_true(dkim2_fully_verified(*came));
	return first;
}

/* Spec section 5.5: each octet of the list's hop is known. */
static void revising_makes_the_published_fields(void **state)
{
	static const struct slice flag[] = { { (const unsigned char *)"exploded", 8 } };
	const struct dkim2_verdict *came;
	struct slice rcpt, instance, signature, first = posted(lunch, &came), now = under(first, lunch, revised);
	struct dkim2_seal_conf next = list(&rcpt);
	struct fault f = { 0 };

	(void)state;
	next.flags = flag;
	next.flag_count = 1;
	bodies(&next, first, now);
	assert_true(seal_with(now, came, &next, &instance, &signature, &f).n > 0);
	WANT_SLICE(recipe_of(instance), S("{\"h\":{\"list-id\":[],\"subject\":[{\"d\":[\" Lunch\"]}]},\"b\":[{\"c\":[1,2]}]}"));
	/* unfolded, blanks inside base64 gone, they are the published ones */
	WANT_SLICE(bare(instance), bare(slice_str(second_instance)));
	WANT_SLICE(bare(signature), bare(slice_str(second_seal)));
	/* and as written they stand in 78 columns, broken in front of base64 and behind ';' only */
	WANT_SLICE(join(instance, signature, SLICE_NONE), slice_str(written));
}

/* By every hop, instance and the envelope. */
static void want_full(const struct dkim2_verdict *v)
{
	want_verdict(v, DKIM2_PASS, "");
	if (!dkim2_fully_verified(v))
		fail_msg("level %s", dkim2_level_name(v->level));
}

#define HEAD "From: Alice <alice@example.com>\r\nTo: list@lists.example.org\r\n"

static void what_changed_is_undone(void **state)
{
	static const struct {
		const char *name, *before, *now, *recipe;
	} rows[] = {
		{ "a field added", HEAD "\r\nx\r\n", "List-Id: <l>\r\n" HEAD "\r\nx\r\n", "{\"h\":{\"list-id\":[]}}" },
		{ "a field removed", "Reply-To: a@b.example\r\n" HEAD "\r\nx\r\n", HEAD "\r\nx\r\n", "{\"h\":{\"reply-to\":[{\"d\":[\" a@b.example\"]}]}}" },
		{ "one of two equal ones removed", "Comments: a\r\nComments: b\r\n" HEAD "\r\nx\r\n", "Comments: b\r\n" HEAD "\r\nx\r\n", NULL },
		{ "two change places", "Comments: a\r\nComments: b\r\n" HEAD "\r\nx\r\n", "Comments: b\r\nComments: a\r\n" HEAD "\r\nx\r\n", NULL },
		{ "a field in Latin-1", "Comments: caf\xe9\r\n" HEAD "\r\nx\r\n", HEAD "\r\nx\r\n", "{\"h\":{\"comments\":[{\"u\":[\"IGNhZuk=\"]}]}}" },
		{ "a footer", HEAD "\r\nx\r\n", HEAD "\r\nx\r\n-- \r\nfoot\r\n", "{\"b\":[{\"c\":[1,1]}]}" },
		{ "a header line in the body", HEAD "\r\nx\r\ny\r\n", HEAD "\r\ntop\r\n\r\nx\r\ny\r\n", "{\"b\":[{\"c\":[3,4]}]}" },
		{ "a line replaced", HEAD "\r\na line that stays\r\nb\r\nanother that stays\r\n", HEAD "\r\na line that stays\r\nB\r\nanother that stays\r\n",
		  "{\"b\":[{\"c\":[1,1]},{\"d\":[\"b\"]},{\"c\":[3,3]}]}" },
		{ "a body that was empty", HEAD "\r\n", HEAD "\r\nfoot\r\n", "{\"b\":[]}" },
		{ "a body that is empty now", HEAD "\r\na\r\n", HEAD "\r\n", "{\"b\":[{\"d\":[\"a\"]}]}" },
		{ "the last line end was missing", HEAD "\r\na", HEAD "\r\na\r\nfoot", "{\"b\":[{\"c\":[1,1]}]}" },
		{ "both", HEAD "\r\nx\r\n", "Sender: l@lists.example.org\r\n" HEAD "\r\nx\r\nfoot\r\n", "{\"h\":{\"sender\":[]},\"b\":[{\"c\":[1,1]}]}" },
		{ "only what no hash covers", HEAD "\r\nx\r\n", "Received: by l\r\nX-Spam: no\r\n" HEAD "\r\nx\r\n\r\n\r\n", "" },
		{ "only blanks that no hash sees", HEAD "\r\nx\r\n", "From:  Alice\r\n <alice@example.com> \r\nTo:list@lists.example.org\r\n\r\nx\r\n", "" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		const struct dkim2_verdict *came, *v;
		struct slice rcpt, instance, signature, first = posted(rows[i].before, &came), now = under(first, rows[i].before, rows[i].now);
		struct dkim2_seal_conf next = list(&rcpt);
		struct fault f = { 0 };

		bodies(&next, first, now);
		now = seal_with(now, came, &next, &instance, &signature, &f);
		if (!now.n)
			fail_msg("%s: %s", rows[i].name, f.text);
		if (rows[i].recipe && !slice_eq(recipe_of(instance), slice_str(rows[i].recipe)))
			fail_msg("%s: %.*s", rows[i].name, SLICE_FMT(recipe_of(instance)));
		v = arrive(now, &next);
		if (!dkim2_fully_verified(v) || v->hop_count != 2 || v->instance_count != (instance.n ? 2 : 1))
			fail_msg("%s: %s %.*s", rows[i].name, dkim2_state_name(v->state), SLICE_FMT(v->reason));
	}
}

/* Without one octet of it: that its hash is the same is enough. */
static void an_unchanged_body_is_not_looked_at(void **state)
{
	const struct dkim2_verdict *came;
	struct slice rcpt, instance, signature, first = posted(lunch, &came), now = join(S("Sender: l@lists.example.org\r\n"), first, SLICE_NONE);
	struct dkim2_seal_conf next = list(&rcpt);
	struct content before = { .header = content_of(first)->header };
	struct fault f = { 0 };

	(void)state;
	next.before = &before;
	assert_true(seal_with(now, came, &next, &instance, &signature, &f).n > 0);
	WANT_SLICE(recipe_of(instance), S("{\"h\":{\"sender\":[]}}"));
}

/* Whoever puts a From in answers for it; one that stays is the business of who did (spec 9.3, 10.9). */
static void a_new_from_must_be_authentic(void **state)
{
	static const struct {
		const char *name, *now;
		bool ok;
	} rows[] = {
		{ "to the list's domain", "From: Alice via List <list@lists.example.org>\r\nTo: list@lists.example.org\r\n\r\nx\r\n", true },
		{ "below it", "From: a@x.lists.example.org\r\nTo: list@lists.example.org\r\n\r\nx\r\n", true },
		{ "only its name", "From: Bob <alice@example.com>\r\nTo: list@lists.example.org\r\n\r\nx\r\n", false },
		{ "to somebody's", "From: ceo@elsewhere.example\r\nTo: list@lists.example.org\r\n\r\nx\r\n", false },
		{ "to two, one of them ours", "From: l@lists.example.org, ceo@elsewhere.example\r\nTo: list@lists.example.org\r\n\r\nx\r\n", false },
		{ "a second field", "From: l@lists.example.org\r\n" HEAD "\r\nx\r\n", false },
		{ "away", "To: list@lists.example.org\r\n\r\nx\r\n", false },
		{ "not at all", HEAD "Subject: x\r\n\r\nx\r\n", true },
		{ "its fold only", "From: Alice\r\n\t<alice@example.com>\r\nTo: list@lists.example.org\r\nSubject: x\r\n\r\nx\r\n", true },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		const struct dkim2_verdict *came;
		struct slice rcpt, instance, signature, first = posted(HEAD "\r\nx\r\n", &came), now = under(first, HEAD "\r\nx\r\n", rows[i].now);
		struct dkim2_seal_conf next = list(&rcpt);
		struct fault f = { 0 };

		bodies(&next, first, now);
		now = seal_with(now, came, &next, &instance, &signature, &f);
		if (rows[i].ok != (now.n > 0) || (!rows[i].ok && (f.code != FAULT_UNSEALED || strcmp(f.text, "From header field is not Authentic for d=lists.example.org") != 0)))
			fail_msg("%s: %s", rows[i].name, f.text);
		if (now.n)
			want_full(arrive(now, &next));
	}
}

static void what_cannot_be_undone_is_not_signed(void **state)
{
	const struct dkim2_verdict *came;
	struct slice rcpt, instance, signature, first, now, lines = SLICE_NONE;
	struct dkim2_seal_conf next = list(&rcpt);
	struct fault f = { 0 };
	const char *message;

	(void)state;
	/* a body that no recipe of a length peers take makes again */
	for (size_t i = 0; i < 1200; i++)
		lines = join(lines, arena_printf(&arena, "%zu of lines that are gone %zu\r\n", i * i, i), SLICE_NONE);
	message = arena_string(&arena, join(S(HEAD), S("\r\n"), join(lines, lines, SLICE_NONE)));
	first = posted(message, &came);
	now = under(first, message, HEAD "\r\nredacted\r\n");
	bodies(&next, first, now);
	assert_int_equal(seal_with(now, came, &next, &instance, &signature, &f).n, 0);
	assert_int_equal(f.code, FAULT_UNSEALED);
	assert_int_equal(f.basic, 550);
	assert_string_equal(f.text, "what changed needs a longer recipe than peers are sure to take");
	/* nor one that holds what no JSON text may */
	f = (struct fault){ 0 };
	first = posted(HEAD "\r\na\rb\r\n", &came);
	now = under(first, HEAD "\r\na\rb\r\n", HEAD "\r\nc\r\n");
	bodies(&next, first, now);
	assert_int_equal(seal_with(now, came, &next, &instance, &signature, &f).n, 0);
	assert_string_equal(f.text, "no recipe has words for what changed");
	/* by arrangement a chain may be extended unverified, but not to something its newest instance does not say */
	f = (struct fault){ 0 };
	first = posted(HEAD "\r\nx\r\n", &came);
	now = under(first, HEAD "\r\nx\r\n", HEAD "\r\nx\r\nfoot\r\n");
	next.out_of_band = true;
	bodies(&next, now, now);
	assert_int_equal(seal_with(now, came, &next, &instance, &signature, &f).n, 0);
	assert_string_equal(f.text, "message as it came is not what its newest Message-Instance says");
	f = (struct fault){ 0 };
	bodies(&next, under(first, HEAD "\r\nx\r\n", HEAD "\r\ny\r\n"), now);
	assert_int_equal(seal_with(now, came, &next, &instance, &signature, &f).n, 0);
	assert_string_equal(f.text, "message as it came is not what its newest Message-Instance says");
	f = (struct fault){ 0 };
	bodies(&next, join(first, S("foot\r\n"), SLICE_NONE), join(S("Sender: s@lists.example.org\r\n"), first, S("foot\r\n")));
	assert_int_equal(seal_with(join(S("Sender: s@lists.example.org\r\n"), first, S("foot\r\n")), came, &next, &instance, &signature, &f).n, 0);
	assert_string_equal(f.text, "message as it came is not what its newest Message-Instance says");
	f = (struct fault){ 0 };
	bodies(&next, under(first, HEAD "\r\nx\r\n", "Subject: x\r\n" HEAD "\r\nx\r\n"), join(S("Sender: s@lists.example.org\r\n"), first, SLICE_NONE));
	assert_int_equal(seal_with(join(S("Sender: s@lists.example.org\r\n"), first, SLICE_NONE), came, &next, &instance, &signature, &f).n, 0);
	assert_string_equal(f.text, "message as it came is not what its newest Message-Instance says");
}

static void as_long_a_recipe_as_peers_take(void **state)
{
	const struct dkim2_verdict *came;
	struct slice rcpt, instance, signature, lines = SLICE_NONE;
	struct dkim2_seal_conf next = list(&rcpt);
	size_t longest = 0, refused = 0;

	(void)state;
	for (size_t i = 0; i < 1000; i++)
		lines = join(lines, arena_printf(&arena, "%zu of lines that are gone %zu\r\n", i * i, i), SLICE_NONE);
	for (size_t n = 40000; n < 47000; n += 101) { /* one that ends between CR and LF has a bare CR, which no recipe makes */
		const char *message = arena_string(&arena, join(S(HEAD), S("\r\n"), slice_sub(join(lines, lines, SLICE_NONE), 0, n)));
		struct slice first = posted(message, &came), now = under(first, message, HEAD "\r\nredacted\r\n");
		struct fault f = { 0 };

		bodies(&next, first, now);
		if (seal_with(now, came, &next, &instance, &signature, &f).n) {
			assert_true(instance.n <= LIMIT_DKIM2_FIELD_OUT);
			longest = instance.n > longest ? instance.n : longest;
			assert_int_equal(refused, 0);
		} else {
			assert_int_equal(f.code, FAULT_UNSEALED);
			refused += slice_eq(slice_str(f.text), S("what changed needs a longer recipe than peers are sure to take"));
		}
	}
	assert_true(refused > 0);
	assert_true(longest > LIMIT_DKIM2_FIELD_OUT - 2000);
}

/* The instance goes with the first of two hops, or with the one whose d= the new From needs. */
static void two_hops_of_ours_share_a_change(void **state)
{
	static const char munged[] = "From: x@elsewhere.example\r\nTo: list@lists.example.org\r\n\r\nx\r\n";
	struct slice rcpt = S("<dave@example.net>"), instance, signature;
	struct dkim2_seal_conf bridge = { .d = S("lists.example.org"), .nd = S("elsewhere.example"), .sets = set_l1, .set_count = 1, .now = NOW };
	struct dkim2_seal_conf next = { .d = S("elsewhere.example"), .mail_from = S("<x@elsewhere.example>"), .rcpt_to = &rcpt,
		.rcpt_count = 1, .sets = set_e1, .set_count = 1, .now = NOW };

	(void)state;
	for (unsigned later = 0; later < 2; later++) {
		const struct dkim2_verdict *came, *v;
		struct slice first = posted(HEAD "\r\nx\r\n", &came);
		struct slice now = under(first, HEAD "\r\nx\r\n", later ? munged : HEAD "\r\nx\r\nfoot\r\n");
		struct fault f = { 0 };

		bridge.content_later = false;
		bodies(&bridge, first, now);
		bodies(&next, first, now);
		if (later) {
			assert_int_equal(seal_with(now, came, &bridge, &instance, &signature, &f).n, 0);
			assert_string_equal(f.text, "From header field is not Authentic for d=lists.example.org");
			f = (struct fault){ 0 };
		}
		bridge.content_later = later;
		now = seal_with(now, came, &bridge, &instance, &signature, &f);
		assert_int_equal(instance.n > 0, !later);
		next.after = last_seal;
		now = seal_with(now, came, &next, &instance, &signature, &f);
		assert_int_equal(instance.n > 0, later);
		v = arrive(now, &next);
		want_full(v);
		assert_int_equal(v->hop_count, 3);
		assert_int_equal(v->hops[1].m, later ? 1 : 2);
		assert_int_equal(v->hops[2].m, 2);
	}
}

/* Only its own hash names are at hand for the instance before. */
static void a_chain_of_sha512_is_revised(void **state)
{
	unsigned char out[DIGEST_ALGS][DIGEST_OCTETS];
	struct slice rcpt, to = S("<list@lists.example.org>"), body, head, tail, first, now, instance, signature;
	struct dkim2_seal_conf next = list(&rcpt);
	const struct dkim2_verdict *came;
	struct fault f = { 0 };
	struct header h;

	(void)state;
	split(slice_str(lunch), &h, &body);
	assert_true(canon_header(&arena, &h, forge_left_out, NULL, 1U << DIGEST_SHA512, out));
	head = b64_text(&arena, slice_of(out[DIGEST_SHA512], 64));
	tail = b64_text(&arena, body_hash(body, DIGEST_SHA512));
	first = join(arena_printf(&arena, "Message-Instance: m=1; h=sha512:%.*s:%.*s;\r\n", SLICE_FMT(head), SLICE_FMT(tail)), slice_str(lunch), SLICE_NONE);
	first = forge_seal(first, 1, "m=1; t=1795255200; d=example.com; mf=PGFsaWNlQGV4YW1wbGUuY29tPg==; rt=PGxpc3RAbGlzdHMuZXhhbXBsZS5vcmc+", "s1");
	came = vector_verify(&arena, first, &(struct dkim2_envelope){ S("<alice@example.com>"), &to, 1 }, NOW, 9, zone);
	assert_true(dkim2_fully_verified(came));
	now = under(first, lunch, revised);
	bodies(&next, first, now);
	now = seal_with(now, came, &next, &instance, &signature, &f);
	if (!now.n)
		fail_msg("%s", f.text);
	want_full(arrive(now, &next));
}

static void a_chain_of_many_instances_ends(void **state)
{
	const struct dkim2_verdict *came;
	struct slice rcpt, instance, signature, first = posted(lunch, &came);
	struct dkim2_seal_conf next = list(&rcpt);
	struct fault f = { 0 };

	(void)state;
	rcpt = S("<list@lists.example.org>");
	for (unsigned m = 2; m <= LIMIT_INSTANCES + 1; m++) {
		struct slice now = join(arena_printf(&arena, "Comments: %u\r\n", m), first, SLICE_NONE);

		bodies(&next, first, now);
		now = seal_with(now, came, &next, &instance, &signature, &f);
		if (m > LIMIT_INSTANCES) {
			assert_int_equal(now.n, 0);
			assert_int_equal(f.basic, 550);
			break;
		}
		assert_true(now.n > 0);
		first = now;
		came = arrive(first, &next);
		want_full(came);
	}
	assert_string_equal(f.text, "chain has as many hops as allowed");
}

/* ---- by lot ---- */

static uint32_t lot_state;

static uint32_t lot(uint32_t n)
{
	lot_state = lot_state * 1664525u + 1013904223u;
	return (lot_state >> 8) % n;
}

static struct slice line_by_lot(bool field)
{
	static const char *const names[] = { "Comments", "comments", "Keywords", "Subject", "List-Id", "X-Note", "Received", "Reply-To" };
	static const char *const texts[] = { "one", "two two", "", "a \" quote \\ and back", "\xc3\xa9t\xc3\xa9", "caf\xe9", ".", "  deep", "tail  ", "\ttab" };

	if (field)
		return arena_printf(&arena, "%s: %s\r\n", names[lot(8)], texts[lot(10)]);
	return lot(4) ? arena_printf(&arena, "%s %u\r\n", texts[lot(10)], lot(50)) : arena_printf(&arena, "%s\r\n", texts[lot(10)]);
}

/* Some lines of s go, some come, some twice; fields start in the first column, so a line is one. */
static struct slice edited(struct slice s, bool field)
{
	struct slice out = SLICE_NONE, line;
	bool more = s.n > 0;

	while (more) {
		bool own = false;

		more = slice_cut(&s, '\n', &line) && s.n;
		line.n += line.at[line.n] == '\n';
		/* From and the two fields stay; of folds as well, which only they have here */
		own = field && (line.at[0] == ' ' || slice_istarts(line, S("From")) || slice_istarts(line, S("DKIM2-Sig")) || slice_istarts(line, S("Message-In")));
		if (own || lot(6))
			out = join(out, line, SLICE_NONE);
		if ((!own || (slice_istarts(line, S("From")))) && lot(8) == 0)
			out = join(out, line_by_lot(field), lot(3) ? SLICE_NONE : line_by_lot(field));
	}
	return join(out, lot(4) ? SLICE_NONE : line_by_lot(field), SLICE_NONE);
}

static struct slice edited_message(struct slice message)
{
	const unsigned char *end = memmem(message.at, message.n, "\r\n\r\n", 4);
	size_t head = (size_t)(end - message.at) + 2;
	unsigned what = lot(3);
	struct slice top = slice_sub(message, 0, head), body = slice_sub(message, head + 2, SIZE_MAX);

	return join(what == 1 ? top : edited(top, true), S("\r\n"), what == 0 ? body : edited(body, false));
}

/* Three lists in a row, each of which changes what it likes: every chain verifies to its first instance. */
static void any_change_is_undone(void **state)
{
	unsigned instances = 0;

	(void)state;
	lot_state = 4711;
	for (unsigned round = 0; round < 150; round++) {
		struct slice rcpt, message = S(HEAD "\r\n"), instance, signature;
		struct dkim2_seal_conf conf = alice(&rcpt), next = list(&rcpt);
		const struct dkim2_verdict *came;
		struct fault f = { 0 };

		arena_clear(&arena);
		for (unsigned n = lot(30); n; n--)
			message = join(message, line_by_lot(false), SLICE_NONE);
		rcpt = S("<list@lists.example.org>");
		message = seal(edited_message(message), NULL, &conf);
		came = arrive(message, &conf);
		for (unsigned hop = 2; hop <= 4; hop++) {
			struct slice now = edited_message(message);

			bodies(&next, message, now);
			message = seal_with(now, came, &next, &instance, &signature, &f);
			if (!message.n)
				fail_msg("round %u, hop %u: %s\n%.*s", round, hop, f.text, SLICE_FMT(now));
			came = arrive(message, &next);
			if (!dkim2_fully_verified(came))
				fail_msg("round %u, hop %u: %.*s\n%.*s\n%.*s", round, hop, SLICE_FMT(came->reason), SLICE_FMT(recipe_of(instance)), SLICE_FMT(message));
			instances += instance.n > 0;
		}
	}
	assert_true(instances > 300);
}

#define TEST(f) cmocka_unit_test_setup(f, fresh_arena)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(revising_makes_the_published_fields),
		TEST(what_changed_is_undone),
		TEST(an_unchanged_body_is_not_looked_at),
		TEST(a_new_from_must_be_authentic),
		TEST(what_cannot_be_undone_is_not_signed),
		TEST(as_long_a_recipe_as_peers_take),
		TEST(two_hops_of_ours_share_a_change),
		TEST(a_chain_of_sha512_is_revised),
		TEST(a_chain_of_many_instances_ends),
		TEST(any_change_is_undone),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make_world, end_world);
}
