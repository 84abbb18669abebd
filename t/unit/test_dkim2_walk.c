/* Chains whose content changed on the way: every instance by its recipe, and who answers for From (spec 10.8, 10.9). */
#include "test.h"

#include "auth/dkim2/past.h"
#include "base/limits.h"
#include "dkim2_hops.h"

/* What a hop turns the message into: `find` becomes `put`, and the recipe that says how to undo it. */
struct change {
	const char *find, *put, *json;
};

static struct slice revised(struct slice message, unsigned m, const struct change *c)
{
	struct slice r = b64_text(&arena, slice_str(c->json)), tag;

	if (c->find)
		message = replaced(message, c->find, slice_str(c->put));
	tag = arena_printf(&arena, "m=%u; r=%.*s;", m, SLICE_FMT(r));
	return replaced(forge_instance(message, m), (const char *)arena_string(&arena, arena_printf(&arena, "m=%u;", m)), tag);
}

static const struct hop first = { .d = "a.test", .rt = "<l@list.test>" };
static const struct hop second = { .d = "list.test", .rt = "<r1@c.test>", .m = 2 };

static struct slice author(void)
{
	return add_hop(forge_instance(slice_str(base_message), 1), 1, &first);
}

static const struct change footer = { "hello\r\n", "hello\r\n--\r\nfooter\r\n", "{\"b\":[{\"c\":[1,1]}]}" };

static struct slice with_footer(void)
{
	return add_hop(revised(author(), 2, &footer), 2, &second);
}

static const struct dkim2_verdict *at_c(struct slice message)
{
	return judged(message, "<s@list.test>", "<r1@c.test>", NOW + 10, 9);
}

static void changes_are_undone(void **state)
{
	static const struct change rows[] = {
		{ "hello\r\n", "hello\r\n--\r\nfooter\r\n", "{\"b\":[{\"c\":[1,1]}]}" },
		{ "Subject: t\r\n", "Subject: [l] t\r\nList-Id: <l.list.test>\r\n", "{\"h\":{\"list-id\":[],\"subject\":[{\"d\":[\" t\"]}]}}" },
		{ "hello\r\n", "bye\r\n", "{\"B\":[{\"D\":[\"hello\"]}]}" },
		{ "hello\r\n", "", "{\"b\":[{\"d\":[\"hello\"]}]}" },
		{ "hello\r\n", "\xff\r\n", "{\"b\":[{\"u\":[\"aGVsbG8=\"]}]}" },
		{ NULL, NULL, "{\"h\":{\"x-nobody\":[]}}" },
		{ NULL, NULL, "{\"b\":[{\"c\":[1,1]}],\"other\":[1]}" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		const struct dkim2_verdict *v = at_c(add_hop(revised(author(), 2, &rows[i]), 2, &second));

		if (!dkim2_fully_verified(v))
			fail_msg("%s: %s %.*s", rows[i].json, dkim2_state_name(v->state), SLICE_FMT(v->reason));
		assert_int_equal(v->newest, DKIM2_PASS);
		for (size_t k = 0; k < 2; k++) {
			assert_int_equal(v->hops[k].state, DKIM2_PASS);
			assert_int_equal(v->instances[k].state, DKIM2_PASS);
		}
	}
}

/* In the order of section 10.2, so that one fault has one name, wherever else it shows. */
static void the_first_fault_is_told(void **state)
{
	static const char hash[] = "Message Instance m=1 body hash sha256 mismatch", json[] = "Message-Instance m=2 contains invalid JSON";
	static const struct {
		const char *name;
		struct change change;
		const char *find, *put; /* once all is sealed */
		enum dkim2_state state;
		const char *reason;
		uint64_t blamed;
		enum dkim2_state newest, one; /* of the provisional check, of instance 1 */
	} rows[] = {
		{ "another body than before", { "hello\r\n", "bye\r\n", "{\"b\":[{\"d\":[\"helo\"]}]}" }, NULL, NULL, DKIM2_FAIL, hash, 1, DKIM2_PASS, DKIM2_FAIL },
		{ "a recipe says nothing", { "hello\r\n", "bye\r\n", "{\"h\":{\"foo\":[]}}" }, NULL, NULL, DKIM2_FAIL, hash, 1, DKIM2_PASS, DKIM2_FAIL },
		{ "another header than before", { "Subject: t", "Subject: u", "{\"h\":{\"subject\":[{\"d\":[\"v\"]}]}}" }, NULL, NULL, DKIM2_FAIL,
		  "Message Instance m=1 header hash sha256 mismatch", 1, DKIM2_PASS, DKIM2_FAIL },
		{ "lines that are not there", { "hello\r\n", "bye\r\n", "{\"b\":[{\"c\":[1,2]}]}" }, NULL, NULL, PERM, json, 2, DKIM2_PASS, DKIM2_SKIPPED },
		{ "fields that are not there", { "hello\r\n", "bye\r\n", "{\"h\":{\"to\":[{\"c\":[2,2]}]}}" }, NULL, NULL, PERM, json, 2, DKIM2_PASS, DKIM2_SKIPPED },
		{ "lines that were cut off since", { "hello\r\n", "hello\r\nbye\r\n", "{\"b\":[{\"c\":[1,1]},{\"c\":[2,2]}]}" }, "bye\r\n", "", DKIM2_FAIL,
		  "Message Instance m=2 body hash sha256 mismatch", 2, DKIM2_FAIL, DKIM2_SKIPPED },
		{ "no JSON", { "hello\r\n", "bye\r\n", "{\"b\"" }, NULL, NULL, PERM, json, 2, DKIM2_NONE, DKIM2_SKIPPED },
		{ "the body before is not to be had", { "hello\r\n", "bye\r\n", "{\"b\":null}" }, NULL, NULL, PERM, json, 2, DKIM2_NONE, DKIM2_SKIPPED },
		{ "a signature, before what lies deeper", { "hello\r\n", "bye\r\n", "{\"b\":[{\"d\":[\"helo\"]}]}" }, "m=2; t=", "m=2; x=1; t=", DKIM2_FAIL,
		  "DKIM2-Signature i=2 e incorrect signature", 2, DKIM2_FAIL, DKIM2_FAIL },
		{ "From, last of all", { "From: s@a.test", "From: x@evil.test", "{\"h\":{\"from\":[{\"d\":[\"s@a.test\"]}]}}" }, NULL, NULL, DKIM2_FAIL,
		  "From header field is not Authentic for d=list.test", 2, DKIM2_PASS, DKIM2_PASS },
		{ "From that was forged before", { "From: s@a.test", "From: x@list.test", "{\"h\":{\"from\":[{\"d\":[\"s@b.test\"]}]}}" }, NULL, NULL, DKIM2_FAIL,
		  "Message Instance m=1 header hash sha256 mismatch", 1, DKIM2_PASS, DKIM2_FAIL },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct slice message = add_hop(revised(author(), 2, &rows[i].change), 2, &second);
		const struct dkim2_verdict *v = at_c(rows[i].find ? replaced(message, rows[i].find, slice_str(rows[i].put)) : message);

		if (v->state != rows[i].state || !slice_eq(v->reason, slice_str(rows[i].reason)) || v->blamed != rows[i].blamed || v->newest != rows[i].newest ||
		    (v->instance_count == 2 && v->instances[0].state != rows[i].one))
			fail_msg("%s: %s %.*s i=%llu, provisionally %s, m=1 %s", rows[i].name, dkim2_state_name(v->state), SLICE_FMT(v->reason),
			    (unsigned long long)v->blamed, dkim2_state_name(v->newest),
			    v->instance_count ? dkim2_state_name(v->instances[0].state) : "?");
	}
}

/* The hop that put a From there answers for it: in each state, not only the newest (10.9). */
static void from_is_judged_where_it_changed(void **state)
{
	static const struct change munged = { "From: s@a.test", "From: s via l <l@list.test>", "{\"h\":{\"from\":[{\"d\":[\"s@a.test\"]}]}}" };
	static const struct change folded = { "From: s@a.test", "FROM:\r\n  s@a.test  ", "{\"h\":{\"from\":[{\"c\":[1,1]}]}}" };
	static const struct hop evil = { .d = "evil.test", .rt = "<l@list.test>" };
	const struct dkim2_verdict *v = at_c(add_hop(revised(author(), 2, &munged), 2, &second));
	struct slice message;

	(void)state;
	want_verdict(v, DKIM2_PASS, "");
	assert_true(dkim2_fully_verified(v));
	want_verdict(at_c(add_hop(revised(author(), 2, &folded), 2, &second)), DKIM2_PASS, "");
	message = add_hop(forge_instance(slice_str(base_message), 1), 1, &evil);
	v = at_c(add_hop(revised(message, 2, &munged), 2, &second));
	want_verdict(v, DKIM2_FAIL, "From header field is not Authentic for d=evil.test");
	assert_int_equal(v->blamed, 1);
	assert_int_equal(v->about, DKIM2_ABOUT_FROM);
}

/* Five instances, and one in the middle is not what it says. */
static void the_walk_ends_at_the_first_that_is_wrong(void **state)
{
	static const char *const names[] = { "a.test", "b.test", "c.test", "list.test", "evil.test" };

	(void)state;
	for (unsigned wrong = 0; wrong < 5; wrong++) {
		struct slice message = slice_str(base_message);
		const struct dkim2_verdict *v;

		for (unsigned m = 1; m <= 5; m++) {
			struct change c = { "\r\n\r\n", "\r\n\r\nline\r\n", "{\"b\":[{\"c\":[2,9]}]}" };
			char json[64], rt[32];

			snprintf(json, sizeof(json), "{\"b\":[{\"c\":[2,%u]}]}", m);
			c.json = json;
			message = m == 1 ? forge_instance(message, 1) : revised(message, m, &c);
			if (m == wrong) { /* another hash of the body, rightly signed by all */
				unsigned char *at = memmem(message.at, message.n, "sha256:", 7);
				at += 7 + 44 + 1;
				*at = *at == 'A' ? 'B' : 'A';
			}
			snprintf(rt, sizeof(rt), "<x@%s>", m == 5 ? "c.test" : names[m]);
			message = add_hop(message, m, &(struct hop){ .d = names[m - 1], .rt = rt, .m = m });
		}
		v = judged(message, "<s@evil.test>", "<x@c.test>", NOW + 10, 9);
		if (wrong == 0) {
			want_verdict(v, DKIM2_PASS, "");
			continue;
		}
		want_verdict(v, DKIM2_FAIL, (const char *)arena_string(&arena, arena_printf(&arena, "Message Instance m=%u body hash sha256 mismatch", wrong)));
		assert_int_equal(v->blamed, wrong);
		for (unsigned m = 1; m <= 5; m++) {
			assert_int_equal(v->hops[m - 1].state, DKIM2_PASS);
			assert_int_equal(v->instances[m - 1].state, m > wrong ? DKIM2_PASS : m == wrong ? DKIM2_FAIL : DKIM2_SKIPPED);
		}
	}
}

/* What the newest hop alone is worth, when an older one is not what it should be. */
static void the_provisional_check_stands_by_itself(void **state)
{
	struct slice message = with_footer();
	const struct dkim2_verdict *v;

	(void)state;
	v = judged(message, "<s@list.test>", "<r2@c.test>", NOW + 10, 9);
	assert_int_equal(v->newest, DKIM2_FAIL);
	v = judged(message, "<s@list.test>", "<r1@c.test>", NOW + 1209601, 9);
	assert_int_equal(v->newest, DKIM2_FAIL);
	v = at_c(replaced(message, "e:ed25519", S("f:ed25519")));
	assert_int_equal(v->newest, PERM);
	message = add_hop(revised(add_hop(forge_instance(slice_str(base_message), 1), 1,
	    &(struct hop){ .d = "a.test", .rt = "<l@list.test>", .s = "nokey:ed25519-sha256:*" }), 2, &footer), 2, &second);
	v = at_c(message);
	want_verdict(v, PERM, "DKIM2-Signature i=1 public key nokey does not exist");
	assert_int_equal(v->newest, DKIM2_PASS);
	message = add_hop(revised(add_hop(forge_instance(slice_str(base_message), 1), 1,
	    &(struct hop){ .d = "a.test", .rt = "<l@b.test>" }), 2, &footer), 2, &second);
	v = at_c(message);
	want_verdict(v, DKIM2_FAIL, "DKIM2-Signature i=2 MAIL FROM does not match RCPT TO of i=1");
	assert_int_equal(v->newest, DKIM2_PASS);
}

struct run {
	size_t cut;         /* octets of the body that come at a time */
	uint64_t ceiling;   /* 0: as it is */
	size_t arena;       /* octets it may have, 0: enough */
	bool changes;
};

/* NULL: no memory for a verifier. Lives in *a. */
static const struct dkim2_verdict *judged_by(struct arena *a, struct slice message, const struct run *run)
{
	struct slice rcpt = S("<r1@c.test>"), body;
	struct dkim2_envelope e = { S("<s@list.test>"), &rcpt, 1 };
	const struct dkim2_verdict *verdict;
	const struct slice *names;
	struct canon_body *c;
	struct dkim2_verify *v;
	struct header *h = ARENA_NEW(&arena, struct header);

	split(message, h, &body);
	arena_init(a, run->arena ? run->arena : 1 << 26);
	v = dkim2_verify_new(a, h, &e, (struct dkim2_clock){ NOW, 300 }, 9);
	if (!v)
		return NULL;
	if (run->ceiling)
		dkim2_verify_ceiling(v, run->ceiling);
	for (size_t i = dkim2_verify_asks(v, &names); i-- > 0;) {
		struct keyrec *rec = vector_keyrec(&arena, zone, names[i]);

		dkim2_verify_answer(v, i, rec);
		keyrec_drop(&rec);
	}
	c = canon_body_new(dkim2_verify_digests(v));
	canon_body_add(c, body);
	for (size_t at = 0; at < body.n; at += run->cut)
		dkim2_verify_octets(v, slice_sub(body, at, run->cut));
	canon_body_end(c);
	dkim2_verify_body(v, c);
	canon_body_free(&c);
	verdict = dkim2_verify_verdict(v);
	if (run->changes)
		assert_true(dkim2_verify_changes(v));
	dkim2_verify_release(v);
	return verdict;
}

static void any_split_of_the_body_is_the_same(void **state)
{
	struct slice message = with_footer();

	(void)state;
	for (size_t cut = 1; cut < 24; cut++) {
		struct arena a;
		const struct dkim2_verdict *v = judged_by(&a, message, &(struct run){ .cut = cut });

		want_verdict(v, DKIM2_PASS, "");
		arena_clear(&a);
	}
}

static void more_work_than_allowed_is_a_permerror(void **state)
{
	struct slice message = with_footer();

	(void)state;
	for (size_t cut = 1; cut < 24; cut++) {
		struct arena a;
		const struct dkim2_verdict *v = judged_by(&a, message, &(struct run){ .cut = cut, .ceiling = 6 });

		want_verdict(v, PERM, "Message-Instance m=2 syntax error");
		assert_int_equal(v->about, DKIM2_ABOUT_WORK);
		assert_int_equal(v->instances[1].state, PERM);
		assert_int_equal(v->instances[0].state, DKIM2_SKIPPED);
		arena_clear(&a);
		want_verdict(judged_by(&a, message, &(struct run){ .cut = cut, .ceiling = 7 }), DKIM2_PASS, "");
		arena_clear(&a);
	}
}

/* Recipes of 60,001 steps and literals: the first eight are held together, a ninth is not. */
static void recipes_are_limited_together(void **state)
{
	struct buf json;

	(void)state;
	buf_init(&json, 1 << 20);
	buf_str(&json, "{\"b\":[{\"d\":[\"hello\"");
	for (size_t i = 1; i < 60000; i++)
		buf_str(&json, ",\"\"");
	buf_str(&json, "]}]}");
	for (unsigned recipes = 8; recipes <= 9; recipes++) {
		struct slice r = b64_text(&arena, buf_get(&json));
		struct hop last = second;
		struct slice message = author();
		const struct dkim2_verdict *v;

		for (unsigned m = 2; m <= recipes + 1; m++) {
			const char *number = arena_string(&arena, arena_printf(&arena, "m=%u;", m));

			message = replaced(forge_instance(message, m), number, join(slice_str(number), join(S(" r="), r, S(";")), SLICE_NONE));
		}
		last.m = recipes + 1;
		v = at_c(add_hop(message, 2, &last));
		if (recipes == 8) {
			want_verdict(v, DKIM2_PASS, "");
		} else {
			want_verdict(v, PERM, "Message-Instance m=2 syntax error");
			assert_int_equal(v->about, DKIM2_ABOUT_WORK);
		}
		fresh_arena(NULL);
	}
	buf_release(&json);
}

/* Without memory there is no verdict about the message. */
static void memory_runs_out_anywhere(void **state)
{
	struct slice message = add_hop(revised(author(), 2, &(struct change){ "Subject: t\r\n", "Subject: [l] t\r\nList-Id: <l.list.test>\r\n",
	    "{\"h\":{\"list-id\":[],\"subject\":[{\"d\":[\" t\"]}]},\"b\":[{\"c\":[1,1]}]}" }), 2, &second);
	unsigned none = 0, temporary = 0, passed = 0;

	(void)state;
	for (size_t ceiling = 16; ceiling < 131072; ceiling += 64) {
		struct arena a;
		const struct dkim2_verdict *v = judged_by(&a, message, &(struct run){ .cut = 64, .arena = ceiling });

		none += !v;
		temporary += v && v->state == DKIM2_TEMPERROR;
		passed += v && v->state == DKIM2_PASS;
		if (v && v->state != DKIM2_TEMPERROR && v->state != DKIM2_PASS)
			fail_msg("with %zu octets: %s %.*s", ceiling, dkim2_state_name(v->state), SLICE_FMT(v->reason));
		arena_clear(&a);
	}
	assert_true(none && temporary && passed);
}

/* From of each instance is a list of 5,001 addresses, 60 kB: what they are read into goes again before the next is. */
static void long_lists_of_authors_are_not_held(void **state)
{
	static const struct hop only = { .d = "list.test", .rt = "<r1@c.test>", .m = 5 };
	struct slice message = slice_str(base_message), before = SLICE_NONE;
	const struct dkim2_verdict *v;
	struct arena a;

	(void)state;
	for (unsigned m = 1; m <= only.m; m++) {
		struct slice now, number = arena_printf(&arena, "m=%u;", m), json;
		struct buf list;

		buf_init(&list, 1 << 17);
		buf_u64(&list, m);
		for (size_t i = 0; i < 5000; i++)
			buf_str(&list, "@list.test,s");
		buf_str(&list, "@list.test");
		now = arena_copy(&arena, buf_get(&list));
		buf_release(&list);
		message = replaced(message, m == 1 ? "s@a.test" : arena_string(&arena, before), now);
		if (m == 1) {
			message = forge_instance(message, m);
		} else {
			json = join(S("{\"h\":{\"from\":[{\"d\":[\""), before, S("\"]}]}}"));
			message = replaced(forge_instance(message, m), arena_string(&arena, number),
			    join(number, join(S(" r="), b64_text(&arena, json), S(";")), SLICE_NONE));
		}
		before = now;
	}
	v = judged_by(&a, add_hop(message, 1, &only), &(struct run){ .cut = 64, .arena = 1 << 22 });
	want_verdict(v, DKIM2_PASS, "");
	arena_clear(&a);
}

static void what_was_changed_is_known(void **state)
{
	struct slice message = add_hop(revised(author(), 2, &(struct change){ "Subject: t\r\n", "Subject: [l] t\r\nList-Id: <l.list.test>\r\n",
	    "{\"h\":{\"list-id\":[],\"subject\":[{\"d\":[\" t\"]}],\"to\":[{\"c\":[1,1]}]},\"b\":[{\"d\":[\"hello\"]}]}" }), 2, &second);
	struct arena a;
	const struct dkim2_verdict *v = judged_by(&a, message, &(struct run){ .cut = 64, .changes = true });

	(void)state;
	want_verdict(v, DKIM2_PASS, "");
	assert_int_equal(v->instances[0].changed_count, 0);
	assert_int_equal(v->instances[1].changed_count, 2);
	WANT_SLICE(v->instances[1].changed[0], S("list-id"));
	WANT_SLICE(v->instances[1].changed[1], S("subject"));
	assert_int_equal(v->instances[1].body_lines, 2);
	arena_clear(&a);
}

/* Of the first instance nobody knows what was before: its recipe is read, and that is all (20.8). */
static void a_recipe_of_the_first_instance(void **state)
{
	static const struct hop only = { .d = "a.test", .rt = "<r1@c.test>" };

	(void)state;
	want("fine", add_hop(revised(slice_str(base_message), 1, &(struct change){ NULL, NULL, "{\"b\":[{\"c\":[7,9]}]}" }), 1, &only), DKIM2_PASS, "");
	want("none", add_hop(revised(slice_str(base_message), 1, &(struct change){ NULL, NULL, "{\"b\":[{\"c\":[7,1]}]}" }), 1, &only), PERM,
	    "Message-Instance m=1 contains invalid JSON");
}

/* ---- the message before (past.h) ---- */

static enum past_result past_at(struct arena *a, struct slice message, uint64_t m, struct slice *text_out, struct slice *reason_out)
{
	struct past_message past = { .header = NULL };
	enum past_result result;
	struct slice body;
	struct header h;

	split(message, &h, &body);
	result = past_message(a, 9, &h, body, m, LIMIT_UNDO, &past, reason_out);
	*text_out = SLICE_NONE;
	if (result != PAST_DONE)
		return result;
	for (size_t i = 0; i < past.header->n; i++)
		*text_out = join(*text_out, past.header->fields[i].raw, SLICE_NONE);
	*text_out = join(*text_out, S("\r\n"), SLICE_NONE);
	for (size_t i = 0; i < past.runs; i++)
		*text_out = join(*text_out, past.body[i], SLICE_NONE);
	return PAST_DONE;
}

/* Octet for octet, as far as literals can say it. */
static void the_message_before_is_given_back(void **state)
{
	static const struct change tag = { "Subject: t\r\n", "Subject: [l] t\r\nList-Id: <l.list.test>\r\n",
		"{\"h\":{\"list-id\":[],\"subject\":[{\"d\":[\" t\"]}]}}" };
	struct slice one = author(), two = add_hop(revised(one, 2, &footer), 2, &second), text, reason;
	struct slice three = add_hop(revised(two, 3, &tag), 3, &(struct hop){ .d = "c.test", .rt = "<r2@a.test>", .m = 3 });

	(void)state;
	assert_int_equal(past_at(&arena, three, 3, &text, &reason), PAST_DONE);
	WANT_SLICE(text, three);
	assert_int_equal(past_at(&arena, three, 0, &text, &reason), PAST_DONE);
	WANT_SLICE(text, two);
	assert_int_equal(past_at(&arena, three, 1, &text, &reason), PAST_DONE);
	WANT_SLICE(text, one);
	for (size_t ceiling = 64; ceiling < 65536; ceiling += 64) {
		struct arena a;

		arena_init(&a, ceiling);
		if (past_at(&a, three, 1, &text, &reason) == PAST_DONE)
			WANT_SLICE(text, one);
		else
			assert_true(arena_failed(&a));
		arena_clear(&a);
	}
}

static void no_message_before_is_made_up(void **state)
{
	struct slice lie = add_hop(revised(author(), 2, &(struct change){ "hello\r\n", "bye\r\n", "{\"b\":[{\"d\":[\"helo\"]}]}" }), 2, &second), text, reason;
	const struct {
		const char *name;
		struct slice message;
		uint64_t m;
		const char *reason;
	} rows[] = {
		{ "no fields", slice_str(base_message), 0, "no Message-Instance, so there is nothing to undo" },
		{ "no seal", forge_instance(slice_str(base_message), 1), 1, "no DKIM2-Signature, so its Message-Instance fields are no chain" },
		{ "a chain that is none", join(S("DKIM2-Signature: x\r\n"), author(), SLICE_NONE), 1, "DKIM2-Signature i=? syntax error" },
		{ "nothing before the first", author(), 0, "there is no instance before m=1" },
		{ "none so new", author(), 2, "there is no instance m=2, the newest is m=1" },
		{ "another content", join(with_footer(), S("x\r\n"), SLICE_NONE), 0, "Message Instance m=2 body hash sha256 mismatch" },
		{ "another content, as it is", join(with_footer(), S("x\r\n"), SLICE_NONE), 2, "Message Instance m=2 body hash sha256 mismatch" },
		{ "a recipe that leads elsewhere", lie, 1, "Message Instance m=1 body hash sha256 mismatch" },
		{ "no recipe at all", replaced(with_footer(), "r=ey", S("r=AA")), 1, "Message-Instance m=2 contains invalid JSON" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++)
		if (past_at(&arena, rows[i].message, rows[i].m, &text, &reason) != PAST_BAD || !slice_eq(reason, slice_str(rows[i].reason)))
			fail_msg("%s: \"%.*s\"", rows[i].name, SLICE_FMT(reason));
	assert_int_equal(past_at(&arena, lie, 2, &text, &reason), PAST_DONE);
	WANT_SLICE(text, lie);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_domains, end_domains)
		TEST(changes_are_undone),
		TEST(the_first_fault_is_told),
		TEST(from_is_judged_where_it_changed),
		TEST(the_walk_ends_at_the_first_that_is_wrong),
		TEST(the_provisional_check_stands_by_itself),
		TEST(any_split_of_the_body_is_the_same),
		TEST(more_work_than_allowed_is_a_permerror),
		TEST(recipes_are_limited_together),
		TEST(memory_runs_out_anywhere),
		TEST(long_lists_of_authors_are_not_held),
		TEST(what_was_changed_is_known),
		TEST(a_recipe_of_the_first_instance),
		TEST(the_message_before_is_given_back),
		TEST(no_message_before_is_made_up),
	};

	return RUN_TESTS(tests);
}
