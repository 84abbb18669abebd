/*
 * Whatever is signed here is accepted here: a message is made up and signed, changed and signed by a list, changed and
 * signed by who forwards it, and at each step verified to the first hop. HOPSEAL_ROUNDS says how often.
 */
#include "test.h"

#include "auth/dkim2/make.h"
#include "auth/dkim2/undo.h"
#include "base/limits.h"
#include "dkim2_world.h"
#include "edits.h"

enum { ROUNDS = 300 };

static struct draft_message first, changed;
static struct slice last_recipe; /* JSON of the newest r= that want_undone() saw */

static void add_from(struct draft_message *m)
{
	for (size_t i = 0; i < m->field_n; i++)
		if (slice_starts(m->fields[i], S("From:")))
			return;
	edit_add_field(m, 0, S("From: Alice <alice@example.com>"));
}

static void change(struct dice *d, struct draft_message *m)
{
	for (uint32_t k = dice_roll(d, 4); k > 0; k--)
		edit_header(&arena, d, m);
	for (uint32_t k = dice_roll(d, 4); k > 0; k--)
		edit_body(&arena, d, m);
	add_from(m); /* who takes it away has to answer for it, which is another test */
}

static struct slice message_of(const struct draft_message *m)
{
	return join(edit_header_block(&arena, m), S("\r\n"), edit_body_octets(&arena, m));
}

static void want_full(const char *who, const struct dkim2_verdict *v)
{
	if (!dkim2_fully_verified(v))
		fail_msg("%s: %s, %s \"%.*s\" (%.*s)", who, dkim2_state_name(v->state), dkim2_level_name(v->level), SLICE_FMT(v->reason),
		    SLICE_FMT(v->detail));
}

/* Undone as text, not only as hashes: what the r= of the newest instance makes of a message is the one before. */
static void want_undone(struct slice instance, struct slice now, struct slice before)
{
	unsigned char got[DIGEST_ALGS][DIGEST_OCTETS], want[DIGEST_ALGS][DIGEST_OCTETS];
	struct slice body, before_body, text, *runs, all = SLICE_NONE;
	struct header h, before_h, field;
	const struct recipe *r = NULL;
	struct fault f = { 0 };
	const char *why;
	struct undo *u;
	size_t n;

	split(now, &h, &body);
	split(before, &before_h, &before_body);
	if (instance.n) {
		struct recipe *read = ARENA_NEW(&arena, struct recipe);
		const unsigned char *at;

		assert_true(header_parse(&arena, instance, 1, &field, &f));
		at = memmem(instance.at, instance.n, "; r=", 4);
		assert_non_null(at);
		text = slice_of(at + 4, (size_t)(instance.at + instance.n - at) - 4);
		assert_true(b64_decode(&arena, slice_sub(text, 0, slice_find(text, ';')), true, &text));
		assert_int_equal(recipe_parse(&arena, draft_of(DRAFT_NEWEST), text, read, &why), RECIPE_OK);
		last_recipe = text;
		r = read;
	}
	u = undo_new(&arena, draft_of(DRAFT_NEWEST), &h, &r, (const unsigned[]){ 0, 0 }, 1, UINT64_MAX);
	assert_non_null(u);
	undo_body(u, body);
	undo_end(u);
	assert_int_equal(undo_runs(u, 1, body, &runs, &n), UNDO_DONE);
	for (size_t i = 0; i < n; i++)
		all = join(all, runs[i], SLICE_NONE);
	WANT_SLICE(body_hash(all, DIGEST_SHA256), body_hash(before_body, DIGEST_SHA256));
	assert_true(canon_header(&arena, undo_header(u, 1), forge_left_out, NULL, 1U << DIGEST_SHA256, got));
	assert_true(canon_header(&arena, &before_h, forge_left_out, NULL, 1U << DIGEST_SHA256, want));
	assert_memory_equal(got[DIGEST_SHA256], want[DIGEST_SHA256], 32);
	undo_release(u);
}

/* `came` changed to `m`, its DKIM2 fields kept, signed by the next hop. */
static struct slice next_hop(struct slice came, size_t content_octets, const struct draft_message *m, const struct dkim2_verdict *verdict,
    struct dkim2_seal_conf *conf)
{
	struct slice now = join(slice_sub(came, 0, came.n - content_octets), message_of(m), SLICE_NONE), instance, signature, out;
	struct header *before_h = ARENA_NEW(&arena, struct header), now_h;
	struct slice before_body, now_body;
	struct content before = { .header = before_h, .body = &before_body, .runs = 1 };
	struct fault f = { 0 };

	split(came, before_h, &before_body);
	split(now, &now_h, &now_body);
	conf->before = &before;
	conf->body = &now_body;
	conf->body_runs = 1;
	out = seal_with(now, verdict, conf, &instance, &signature, &f);
	if (!out.n)
		fail_msg("not signed: %s", f.text);
	want_undone(instance, now, came);
	return out;
}

/* Any octet of a line turned into another one is found out. */
static void want_no_other(struct dice *d, struct slice message, const struct dkim2_seal_conf *conf)
{
	struct slice copy = arena_copy(&arena, message), body;
	unsigned char *octets;
	struct header h;
	size_t at;

	split(copy, &h, &body);
	if (!body.n)
		return;
	at = dice_roll(d, (uint32_t)body.n);
	octets = (unsigned char *)(uintptr_t)body.at;
	if (octets[at] <= ' ')
		return;
	octets[at] ^= 1;
	if (octets[at] <= ' ')
		return;
	assert_int_equal(arrive(copy, conf)->state, DKIM2_FAIL);
	assert_int_equal(arrive(copy, conf)->about, DKIM2_ABOUT_HASH);
}

static void what_is_signed_is_accepted(void **state)
{
	const char *wish = getenv("HOPSEAL_ROUNDS");
	unsigned long rounds = wish && *wish ? strtoul(wish, NULL, 10) : ROUNDS;
	size_t recipes = 0;

	(void)state;
	assert_true(rounds > 0);
	for (unsigned long round = 1; round <= rounds; round++) {
		struct dice d = dice_of(round);
		struct slice rcpt[3], message, sent;
		const struct dkim2_verdict *v;
		struct dkim2_seal_conf conf = alice(&rcpt[0]);
		size_t octets;

		arena_clear(&arena);
		print_message("# round %lu\n", round);
		edit_new(&arena, &d, &first, dice_roll(&d, 60));
		message = message_of(&first);
		octets = message.n;
		if (dice_roll(&d, 20) == 0) {
			conf.sets = set_both;
			conf.set_count = 2;
		}
		sent = seal(message, NULL, &conf);
		v = arrive(sent, &conf);
		want_full("alice", v);

		changed = first;
		change(&d, &changed);
		conf = list(&rcpt[1]);
		rcpt[1] = S("<bob@elsewhere.example>");
		sent = next_hop(sent, octets, &changed, v, &conf);
		octets = message_of(&changed).n;
		v = arrive(sent, &conf);
		want_full("list", v);
		want_no_other(&d, sent, &conf);

		change(&d, &changed);
		rcpt[2] = S("<bob@far.example>");
		conf = (struct dkim2_seal_conf){ .d = S("elsewhere.example"), .mail_from = S("<bob@elsewhere.example>"), .rcpt_to = &rcpt[2],
			.rcpt_count = 1, .sets = set_e1, .set_count = 1, .now = NOW + 120 };
		sent = next_hop(sent, octets, &changed, v, &conf);
		v = arrive(sent, &conf);
		want_full("bob", v);
		recipes += v->instance_count - 1;
	}
	print_message("# %zu recipes in %lu rounds\n", recipes, rounds);
	assert_true(recipes > rounds); /* most changes are some */
}

/* Charsets that are no UTF-8, an end without CRLF, a line over 998 octets: appended to, and then converted. */
static void lines_of_any_charset_come_back(void **state)
{
	static const struct slice odd[] = { { (const unsigned char *)"\x1b$B$3$s\x1b(B", 10 }, { (const unsigned char *)"\x81\x30\x81\x30", 4 },
		{ (const unsigned char *)"Gr\xfc\xdf" "e", 5 } };
	struct slice rcpt[3], message, sent;
	struct dkim2_seal_conf conf = alice(&rcpt[0]);
	const struct dkim2_verdict *v;
	struct dice d = dice_of(1);

	(void)state;
	edit_new(&arena, &d, &first, 0);
	for (size_t i = 0; i < ROWS(odd); i++)
		edit_add_line(&first, i, odd[i]);
	edit_add_line(&first, ROWS(odd), edit_words(&arena, &d, 3000));
	edit_add_line(&first, ROWS(odd) + 1, S("last line without end"));
	edit_add_field(&first, 0, S("Organization: Gr\xfc\xdf" "e"));
	first.unended = true;
	message = message_of(&first);
	sent = seal(message, NULL, &conf);
	v = arrive(sent, &conf);
	want_full("alice", v);

	changed = first;
	edit_add_line(&changed, changed.line_n, S("footer"));
	changed.unended = false;
	conf = list(&rcpt[1]);
	rcpt[1] = S("<bob@elsewhere.example>");
	sent = next_hop(sent, message.n, &changed, v, &conf);
	v = arrive(sent, &conf);
	want_full("list", v);

	message = message_of(&changed);
	changed.fields[0] = S("Organization: Greetings");
	changed.lines[0] = changed.lines[1] = changed.lines[2] = S("?");
	conf = (struct dkim2_seal_conf){ .d = S("elsewhere.example"), .mail_from = S("<bob@elsewhere.example>"), .rcpt_to = &rcpt[2],
		.rcpt_count = 1, .sets = set_e1, .set_count = 1, .now = NOW + 120 };
	rcpt[2] = S("<bob@far.example>");
	sent = next_hop(sent, message.n, &changed, v, &conf);
	v = arrive(sent, &conf);
	want_full("bob", v);
	assert_int_equal(v->instance_count, 3);
	WANT_SLICE(last_recipe, S("{\"h\":{\"organization\":[{\"u\":[\"IEdy/N9l\"]}]},"
	                          "\"b\":[{\"d\":[\"\\u001b$B$3$s\\u001b(B\"]},{\"u\":[\"gTCBMA==\",\"R3L832U=\"]},{\"c\":[4,6]}]}"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_signed_is_accepted, make_world, end_world),
		cmocka_unit_test_setup_teardown(lines_of_any_charset_come_back, make_world, end_world),
	};
	return RUN_TESTS(tests);
}
