/* What of a bounce goes on to the hop before, and the whole way back (spec section 15.3). */
#include "test.h"

#include "auth/dkim2/make.h"
#include "bounce_world.h"

static const struct bounce_form form = { { (const unsigned char *)"mx.host.test", 12 }, { (const unsigned char *)"<9@mx.host.test>", 16 },
	{ (const unsigned char *)"=_onward", 8 }, NOW + 120 };

/* The changed message with the Message-Instance that tells how to get back. */
static struct slice revised(struct slice before, struct slice now, unsigned m)
{
	struct header was, is;
	struct slice was_body, is_body, text;
	struct content old, new;
	struct recipe recipe;
	struct buf json;

	split(before, &was, &was_body);
	split(now, &is, &is_body);
	old = (struct content){ &was, &was_body, 1 };
	new = (struct content){ &is, &is_body, 1 };
	assert_int_equal(make_recipe(&arena, draft_of(9), &old, &new, 60000, &recipe), MAKE_DONE);
	buf_init(&json, 60000);
	recipe_write(&recipe, &json);
	text = arena_printf(&arena, "; r=%.*s;\r\n", SLICE_FMT(b64_text(&arena, buf_get(&json))));
	buf_release(&json);
	return replaced(forge_instance(now, m), ";\r\n", text);
}

/* What a list does, and a trace of its inside. */
static struct slice tagged(struct slice message, const char *tag)
{
	struct slice now = replaced(message, "Subject: ", arena_printf(&arena, "Subject: [%s] ", tag));

	now = join(arena_printf(&arena, "Received: from inside.%s by secret.%s\r\nX-Inside: secret.%s\r\nList-Id: <%s>\r\n", tag, tag, tag, tag),
	    now,
	    arena_printf(&arena, "-- \r\nfooter of %s\r\n", tag));
	return now;
}

/* ---- the whole way back ---- */

static const char *const way[] = { "a.test", "list.test", "b.test", "evil.test", "c.test" };

/* sent[k]: as way[k] sent it. */
static void travel(size_t hops, unsigned revisers, struct slice *sent)
{
	unsigned m = 1;

	for (size_t k = 0; k < hops; k++) {
		struct hop hop = { .d = way[k], .t = NOW + (int64_t)k };
		struct slice message = k ? join(S("Received: on its way\r\n"), sent[k - 1], SLICE_NONE) : forge_instance(slice_str(base_message), 1);

		if (k && (revisers >> k & 1))
			message = revised(message, tagged(message, way[k]), ++m);
		hop.m = m;
		hop.mf = arena_string(&arena, arena_printf(&arena, "<bounce@%s>", way[k]));
		hop.rt = arena_string(&arena, arena_printf(&arena, "<in%zu@%s>", k, way[k + 1]));
		sent[k] = add_hop(message, (unsigned)k + 1, &hop);
	}
}

/* Sealed by the product's own hand. */
static struct slice sealed(const struct bounce_message *m)
{
	static const struct dkim2_seal_set set = { .selector = { (const unsigned char *)"e", 1 }, .type = KEY_ED25519 };
	struct slice message = whole(m), body, instance, signature, rcpt = m->rcpt_to;
	struct dkim2_seal_conf conf = { .d = m->d, .mail_from = S("<>"), .rcpt_to = &rcpt, .rcpt_count = 1, .sets = &set, .set_count = 1, .now = NOW + 120 };
	const struct dkim2_sign_ask *asked;
	unsigned char out[SIGNATURE_OCTETS];
	struct fault f = { 0 };
	struct dkim2_seal *s;
	struct header h;

	split(message, &h, &body);
	s = dkim2_seal_new(&arena, &h, body_hash(body, DIGEST_SHA256), NULL, &conf, &f);
	if (!s)
		fail_msg("%s", f.text);
	assert_int_equal(dkim2_seal_asks(s, &asked), 1);
	for (size_t i = 0; i < ROWS(domains); i++)
		if (slice_eq(asked[0].domain, slice_str(domains[i])))
			dkim2_seal_answer(s, 0, slice_of(out, sign_sha256(domain_keys[i], asked[0].digest, out)));
	assert_true(dkim2_seal_fields(s, &instance, &signature, &f));
	return join(signature, instance, message);
}

static struct slice first_report(struct slice message, size_t hops)
{
	struct bounce_domains keyed = { named, named, way[hops], S("host.test") };
	struct dsn_recipient failed = { .final = { S("rfc822"), arena_printf(&arena, "in%zu@%s", hops - 1, way[hops]) },
		.action = DSN_FAILED,
		.status = S("5.1.1"),
		.remote_mta = { S("dns"), S("secret.inside.test") },
		.diagnostic = { S("smtp"), S("550 5.1.1 secret words") } };
	const char *from = arena_string(&arena, arena_printf(&arena, "<bounce@%s>", way[hops - 1]));
	const struct dkim2_verdict *came = judged(message, from, arena_string(&arena, arena_printf(&arena, "<in%zu@%s>", hops - 1, way[hops])), NOW + 30, 9);
	struct slice runs[1] = { message }, to = SLICE_NONE;
	struct bounce_message m;
	size_t seen = 0, block, body;

	assert_true(dkim2_fully_verified(came));
	assert_int_equal(bounce_due(came, &to), BOUNCE_DUE);
	WANT_SLICE(to, slice_str(from));
	assert_true(header_end(message, &seen, &block, &body));
	assert_int_equal(bounce_make(&arena, &came->hops[hops - 1], &keyed, &form, &failed, 1, runs, 1, block, false, &m), DSN_WRITTEN);
	assert_true(m.aligned);
	return sealed(&m);
}

/* The returned part is what way[k] sent, as good as on the first day, but for the traces that it got on its way. */
static void want_as_sent(struct slice report, struct slice sent, size_t k)
{
	struct header h, was;
	struct slice body, was_body;
	const struct dkim2_verdict *v;
	const char *why = "";
	struct dsn d;

	split(report, &h, &body);
	if (dsn_read(&arena, &h, body, 1000, &d, &why) != DSN_READ)
		fail_msg("%s", why);
	split(sent, &was, &was_body);
	WANT_SLICE(d.body, was_body);
	v = judged(d.returned, arena_string(&arena, arena_printf(&arena, "<bounce@%s>", way[k])),
	    arena_string(&arena, arena_printf(&arena, "<in%zu@%s>", k, way[k + 1])), NOW + 120, 9);
	if (!dkim2_fully_verified(v))
		fail_msg("hop %zu: %.*s in %.*s", k, SLICE_FMT(v->reason), SLICE_FMT(d.returned));
	assert_int_equal(v->hop_count, k + 1);
	assert_int_equal(d.header.n, was.n);
	assert_int_equal(d.n, 1);
	WANT_SLICE(d.recipients[0].final.text, arena_printf(&arena, "in%zu@%s", k, way[k + 1]));
	WANT_SLICE(d.recipients[0].status, S("5.1.1"));
	assert_int_equal(d.recipients[0].remote_mta.text.n + d.recipients[0].diagnostic.text.n + d.recipients[0].original.text.n, 0);
	for (size_t later = k + 1; later < ROWS(way); later++)
		if (holds(report, arena_string(&arena, arena_printf(&arena, "secret.%s", way[later]))))
			fail_msg("the report to %s tells of the inside of %s", way[k], way[later]);
	for (size_t later = k + 2; later < ROWS(way); later++)
		if (holds(report, arena_string(&arena, arena_printf(&arena, "in%zu@%s", later - 1, way[later]))) ||
		    holds(report, arena_string(&arena, arena_printf(&arena, "bounce@%s", way[later]))) ||
		    holds(report, arena_string(&arena, arena_printf(&arena, "footer of %s", way[later]))))
			fail_msg("the report to %s tells of %s", way[k], way[later]);
}

static void walk_back(size_t hops, unsigned revisers)
{
	struct slice sent[4], report;

	travel(hops, revisers, sent);
	report = first_report(sent[hops - 1], hops);
	for (size_t k = hops; k-- > 0;) {
		struct world w = { .ours = way[k], .now = NOW + 150, .link = true, .mail_from = S("<>") };
		const struct bounce_finding *f = arrived(&w, report, arena_printf(&arena, "<bounce@%s>", way[k]));
		struct bounce_message m = { .d = SLICE_NONE };
		enum dsn_write_state write = DSN_WRITTEN;
		enum bounce_onward onward;

		if (f->state != BOUNCE_BELIEVED)
			fail_msg("%s: %.*s", way[k], SLICE_FMT(f->reason));
		onward = bounce_onward(w.bounce, SLICE_NONE, &form, &m, &write);
		if (k == 0) {
			assert_int_equal(onward, BOUNCE_STOP_ORIGIN);
			WANT_SLICE(m.rcpt_to, S("<bounce@a.test>"));
		} else {
			if (onward != BOUNCE_ONWARD)
				fail_msg("%s: stopped by %d, %d", way[k], onward, write);
			WANT_SLICE(m.rcpt_to, arena_printf(&arena, "<bounce@%s>", way[k - 1]));
			WANT_SLICE(m.d, slice_str(way[k]));
			assert_true(m.aligned);
			assert_false(m.message.eight_bit || m.message.utf8);
			report = sealed(&m);
			assert_false(holds(report, "secret words") || holds(report, "secret.inside"));
			want_as_sent(report, sent[k - 1], k - 1);
		}
		left(&w);
	}
}

static void back_to_where_it_came_from(void **state)
{
	(void)state;
	for (size_t hops = 2; hops <= 4; hops++)
		for (unsigned revisers = 0; revisers < 1U << hops; revisers += 2) {
			walk_back(hops, revisers);
			arena_clear(&arena);
		}
}

/* ---- one report that came, one thing about it changed ---- */

struct row {
	const char *name;
	struct hop hops[3];      /* the last is list.test's, over what the one before sent */
	const char *ours;
	const char *original;
	const char *find, *put;  /* in the report, before it is sealed */
	const char *type;        /* of what is returned */
	const char *recipe;      /* in place of the list's own, which tags */
	bool plain;              /* it changes nothing */
	bool utf8;               /* the author's header */
	size_t cut;              /* octets off the end of what is returned */
	enum bounce_onward onward;
	const char *to, *final;
	bool header_only;
	const char *kept, *gone; /* what the report holds, and what not */
};

static struct slice chain_of(const struct row *row, struct slice *body)
{
	static const struct hop author = { .d = "a.test", .rt = "<l@list.test>" }, forwarder = { .d = "list.test", .rt = "<hidden@c.test>" };
	struct slice message = join(row->utf8 ? S("Comments: \xc3\xbc\r\n") : SLICE_NONE, slice_str(base_message), SLICE_NONE), before;
	unsigned n = row->hops[2].d ? 3 : 2;

	message = join(S("Received: below\r\n"), forge_instance(message, 1), SLICE_NONE);
	for (unsigned k = 1; k <= n; k++) {
		struct hop hop = row->hops[k - 1].d ? row->hops[k - 1] : k == 1 ? author : forwarder;

		if (k == n && !row->plain) {
			before = join(S("Received: secret\r\nAuthentication-Results: secret\r\nX-Inside: secret\r\n"), message, SLICE_NONE);
			message = revised(before, tagged(before, "list.test"), 2);
			if (row->recipe) {
				struct slice text = message, r;

				assert_true(slice_cut(&text, ';', &r) && slice_cut(&text, ';', &r));
				message = join(slice_sub(message, 0, (size_t)(text.at - message.at)),
				    arena_printf(&arena, " r=%.*s;", SLICE_FMT(b64_text(&arena, slice_str(row->recipe)))),
				    slice_sub(text, slice_find(text, ';') + 1, SIZE_MAX));
			}
			hop.m = 2;
		}
		message = add_hop(message, k, &hop);
	}
	split(message, ARENA_NEW(&arena, struct header), body);
	return message;
}

static void judge_row(const struct row *row)
{
	struct slice body, message = chain_of(row, &body), report, text;
	struct world w = { .ours = row->ours ? row->ours : "list.test", .now = NOW + 120, .link = true, .mail_from = S("<>") };
	const struct hop *top = row->hops[2].d ? &row->hops[2] : &row->hops[1];
	struct slice to = top->mf ? slice_str(top->mf) : arena_printf(&arena, "<s@%s>", top->d ? top->d : "list.test");
	struct bounce_message m = { .d = SLICE_NONE };
	enum dsn_write_state write = DSN_WRITTEN;
	const struct bounce_finding *f;
	enum bounce_onward onward;

	if (row->type && strstr(row->type, "header"))
		message = slice_sub(message, 0, message.n - body.n - 2 - row->cut);
	report = report_text(message, "c.test", row->type ? row->type : "message/rfc822");
	if (row->find)
		report = replaced(report, row->find, slice_str(row->put));
	report = sealed_report(report, "c.test", "<>", to, NOW + 60);
	f = arrived(&w, report, to);
	if (f->state != BOUNCE_BELIEVED && row->onward != BOUNCE_STOP_BELIEF)
		fail_msg("%s: %.*s", row->name, SLICE_FMT(f->reason));
	onward = bounce_onward(w.bounce, slice_str(row->original), &form, &m, &write);
	if (onward != row->onward)
		fail_msg("%s: %d, write %d", row->name, onward, write);
	if (row->to)
		WANT_SLICE(m.rcpt_to, slice_str(row->to));
	if (onward == BOUNCE_ONWARD) {
		const char *final = row->final ? row->final : "l@list.test", *why;
		struct dsn d;
		struct header h;

		text = whole(&m);
		split(text, &h, &body);
		assert_int_equal(dsn_read(&arena, &h, body, 1000, &d, &why), DSN_READ);
		if (!slice_eq(d.recipients[0].final.text, slice_str(final)) || d.header_only != row->header_only)
			fail_msg("%s: %.*s", row->name, SLICE_FMT(text));
		if (holds(text, "secret") || holds(text, "hidden") || holds(text, "deep") || (row->gone && holds(text, row->gone)))
			fail_msg("%s tells too much: %.*s", row->name, SLICE_FMT(text));
		if (!holds(text, row->kept ? row->kept : "Received: below\r\n"))
			fail_msg("%s leaves too much out: %.*s", row->name, SLICE_FMT(text));
	}
	left(&w);
}

#define TWO "<l@list.test>,<m@list.test>"

static void stops(void **state)
{
	static const struct row rows[] = {
		{ .name = "goes on", .onward = BOUNCE_ONWARD, .to = "<s@a.test>", .gone = "footer" },
		{ .name = "goes on, nothing to undo", .plain = true, .onward = BOUNCE_ONWARD, .to = "<s@a.test>" },
		{ .name = "a header was returned", .type = "text/rfc822-headers", .onward = BOUNCE_ONWARD, .header_only = true, .gone = "List-Id" },
		{ .name = "a header, nothing to undo", .type = "text/rfc822-headers", .plain = true, .onward = BOUNCE_ONWARD, .header_only = true },
		{ .name = "a header whose last line end was the delimiter's", .type = "text/rfc822-headers", .cut = 2, .plain = true, .onward = BOUNCE_ONWARD,
		    .header_only = true, .kept = "Message-ID: <1@a.test>\r\n\r\n--=_onward--" },
		{ .name = "the same, and something to undo", .type = "text/rfc822-headers", .cut = 2, .onward = BOUNCE_ONWARD, .header_only = true,
		    .kept = "Message-ID: <1@a.test>\r\n\r\n--=_onward--" },
		{ .name = "a header in UTF-8", .utf8 = true, .type = "message/global", .onward = BOUNCE_ONWARD, .kept = "Content-Type: message/global\r\n" },
		{ .name = "a header in UTF-8 alone", .utf8 = true, .plain = true, .type = "message/global-headers", .onward = BOUNCE_ONWARD, .header_only = true,
		    .kept = "Content-Type: message/global-headers\r\n" },
		{ .name = "not believed", .ours = "b.test", .onward = BOUNCE_STOP_BELIEF },
		{ .name = "delayed", .find = "Action: failed", .put = "Action: delayed", .onward = BOUNCE_STOP_ACTION },
		{ .name = "delivered", .find = "Action: failed", .put = "Action: delivered", .onward = BOUNCE_STOP_ACTION },
		{ .name = "expanded", .find = "Action: failed", .put = "Action: expanded", .onward = BOUNCE_STOP_ACTION },
		{ .name = "another recipient failed", .find = "Action: failed\r\nStatus: 5.1.1\r\n",
		    .put = "Action: delayed\r\nStatus: 4.1.1\r\n\r\nFinal-Recipient: rfc822; x@c.test\r\nAction: failed\r\nStatus: 5.1.1\r\n", .onward = BOUNCE_STOP_ACTION },
		{ .name = "another recipient was late", .find = "Final-Recipient", .put = "Final-Recipient: rfc822; x@c.test\r\nAction: delayed\r\nStatus: 4.1.1\r\n\r\nFinal-Recipient",
		    .onward = BOUNCE_ONWARD },
		{ .name = "all hops are ours", .ours = "a.test list.test", .onward = BOUNCE_STOP_ORIGIN, .to = "<s@a.test>" },
		{ .name = "a report of a report", .hops = { { .d = "a.test", .mf = "<>", .rt = "<l@list.test>" } }, .onward = BOUNCE_STOP_NOBODY },
		{ .name = "an nd= hop of ours in between", .hops = { { .d = "a.test", .rt = "<l@b.test>" }, { .d = "b.test", .nd = "list.test" },
		    { .d = "list.test", .rt = "<hidden@c.test>" } }, .ours = "b.test list.test", .onward = BOUNCE_ONWARD, .to = "<s@a.test>", .final = "l@b.test", .gone = "nd=" },
		{ .name = "an nd= hop of another in between", .hops = { { .d = "a.test", .rt = "<l@b.test>" }, { .d = "b.test", .nd = "list.test" },
		    { .d = "list.test", .rt = "<hidden@c.test>" } }, .onward = BOUNCE_STOP_CHAIN },
		{ .name = "a hop of ours that is not right", .hops = { { .d = "a.test", .rt = "<l@b.test>" }, { .d = "b.test", .nd = "list.test", .s = "forged:ed25519-sha256:*" },
		    { .d = "list.test", .rt = "<hidden@c.test>" } }, .ours = "b.test list.test", .onward = BOUNCE_STOP_CHAIN },
		{ .name = "a hop of ours that does not follow", .hops = { { .d = "a.test", .rt = "<l@c.test>" }, { .d = "b.test", .nd = "list.test" },
		    { .d = "list.test", .rt = "<hidden@c.test>" } }, .ours = "b.test list.test", .onward = BOUNCE_STOP_CHAIN },
		{ .name = "a hop of ours that is too old", .hops = { { .d = "a.test", .rt = "<l@b.test>" }, { .d = "b.test", .nd = "list.test", .t = NOW - 2000000 },
		    { .d = "list.test", .rt = "<hidden@c.test>" } }, .ours = "b.test list.test", .onward = BOUNCE_STOP_CHAIN },
		{ .name = "ours twice", .hops = { { .d = "a.test", .rt = "<l@b.test>" }, { .d = "b.test", .rt = "<l@list.test>" },
		    { .d = "list.test", .rt = "<hidden@c.test>" } }, .ours = "b.test list.test", .onward = BOUNCE_ONWARD, .to = "<s@a.test>", .final = "l@b.test" },
		{ .name = "two of ours", .hops = { { .d = "a.test", .rt = TWO } }, .onward = BOUNCE_STOP_DOUBT },
		{ .name = "two of ours, and it is known which", .hops = { { .d = "a.test", .rt = TWO } }, .original = "<m@LIST.test>", .onward = BOUNCE_ONWARD, .final = "m@list.test" },
		{ .name = "one that is none of them", .hops = { { .d = "a.test", .rt = TWO } }, .original = "<n@list.test>", .onward = BOUNCE_STOP_DOUBT },
		{ .name = "the same twice", .hops = { { .d = "a.test", .rt = "<l@list.test>,<l@LIST.test>" } }, .onward = BOUNCE_ONWARD, .final = "l@LIST.test" },
		{ .name = "one of ours, one of another", .hops = { { .d = "a.test", .rt = "<x@b.test>,<l@list.test>" } }, .onward = BOUNCE_ONWARD },
		{ .name = "a recipe that leads elsewhere", .recipe = "{\"h\":{\"subject\":[{\"d\":[\"x\"]}]}}", .onward = BOUNCE_STOP_CONTENT },
		{ .name = "a recipe that takes what is not there", .recipe = "{\"h\":{\"subject\":[{\"c\":[7,7]}]}}", .onward = BOUNCE_STOP_CONTENT },
		{ .name = "a recipe that leads to another body", .recipe = "{\"h\":{\"list-id\":[],\"subject\":[{\"d\":[\"t\"]}]},\"b\":[{\"d\":[\"x\"]}]}", .onward = BOUNCE_ONWARD,
		    .header_only = true, .gone = "footer" },
		{ .name = "a recipe that takes lines that are not there", .recipe = "{\"h\":{\"list-id\":[],\"subject\":[{\"d\":[\"t\"]}]},\"b\":[{\"c\":[7,7]}]}", .onward = BOUNCE_ONWARD,
		    .header_only = true, .gone = "footer" },
		{ .name = "no recipe at all by the draft", .recipe = "{\"b\":null}", .onward = BOUNCE_STOP_BELIEF },
	};

	(void)state;
	for (size_t k = 0; k < ROWS(rows); k++) {
		judge_row(&rows[k]);
		arena_clear(&arena);
	}
}

/* ---- too little memory ---- */

/* NULL: there was not enough. With BOUNCE_STOP_WRITE and DSN_WRITE_MEMORY likewise. */
static struct bounce *in_little(struct arena *little, const struct world *w, struct slice body)
{
	struct bounce *b = bounce_new(little, &w->header, body, &w->conf);
	const struct slice *names;
	size_t n = b ? bounce_asks(b, &names) : 0;

	for (size_t k = 0; k < n; k++) {
		struct keyrec *rec = vector_keyrec(&arena, zone, names[k]);

		bounce_answer(b, k, rec);
		keyrec_drop(&rec);
	}
	return b;
}

/* Whatever the ceiling is, the answer is the right one or that there was no memory. */
static void little_memory(void **state)
{
	static const struct row row = { .name = "" };
	struct slice body, message = chain_of(&row, &body), report;
	struct world w = { .ours = "list.test", .now = NOW + 120, .link = true, .mail_from = S("<>") };
	bool made = false;

	(void)state;
	report = sealed_report(report_text(message, "c.test", "message/rfc822"), "c.test", "<>", S("<s@list.test>"), NOW + 60);
	assert_int_equal(arrived(&w, report, S("<s@list.test>"))->state, BOUNCE_BELIEVED);
	split(report, ARENA_NEW(&arena, struct header), &body);
	for (size_t ceiling = 0; !made; ceiling += 509) {
		struct bounce_message m = { .d = SLICE_NONE };
		enum dsn_write_state write = DSN_WRITTEN;
		const struct bounce_finding *f;
		enum bounce_onward onward;
		struct arena little;
		struct bounce *b;

		arena_init(&little, ceiling);
		b = in_little(&little, &w, body);
		f = b ? bounce_finding(b) : NULL;
		if (f && f->state != BOUNCE_BELIEVED && (f->state != BOUNCE_TEMPORARY || f->rule != BOUNCE_RULE_MEMORY))
			fail_msg("%zu octets: state %d, rule %d, %.*s", ceiling, f->state, f->rule, SLICE_FMT(f->reason));
		onward = f && f->state == BOUNCE_BELIEVED ? bounce_onward(b, SLICE_NONE, &form, &m, &write) : BOUNCE_STOP_BELIEF;
		made = onward == BOUNCE_ONWARD;
		if (!made && onward != BOUNCE_STOP_BELIEF && (onward != BOUNCE_STOP_WRITE || write != DSN_WRITE_MEMORY))
			fail_msg("%zu octets: %d, %d", ceiling, onward, write);
		bounce_release(b);
		arena_clear(&little);
	}
	left(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(back_to_where_it_came_from, make_bounce_world, end_domains),
		cmocka_unit_test_setup_teardown(stops, make_bounce_world, end_domains),
		cmocka_unit_test_setup_teardown(little_memory, make_bounce_world, end_domains),
	};

	return RUN_TESTS(tests);
}
