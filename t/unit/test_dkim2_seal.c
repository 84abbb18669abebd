/* Sealing: the fields made, the round trip, what is refused, and the last look at the copy about to leave. */
#include "test.h"

#include "dkim2_world.h"

static struct slice without_blanks(struct slice s)
{
	unsigned char *p = arena_take(&arena, s.n);
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		if (s.at[i] != ' ' && s.at[i] != '\t' && s.at[i] != '\r' && s.at[i] != '\n')
			p[n++] = s.at[i];
	return slice_of(p, n);
}

/* Unfolding deletes CRLF and nothing else. */
static struct slice unfolded(struct slice s)
{
	unsigned char *p = arena_take(&arena, s.n);
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		if (s.at[i] != '\r' && s.at[i] != '\n')
			p[n++] = s.at[i];
	return slice_of(p, n);
}

/* ---- golden ---- */

/* Spec section 5.4: Ed25519 is deterministic, so each octet is known. */
static void originating_makes_the_published_fields(void **state)
{
	struct slice rcpt, instance, signature;
	struct dkim2_seal_conf conf = alice(&rcpt);
	struct fault f = { 0 };

	(void)state;
	assert_true(seal_with(slice_str(lunch), NULL, &conf, &instance, &signature, &f).n > 0);
	WANT_SLICE(without_blanks(instance), without_blanks(slice_str(golden_instance)));
	WANT_SLICE(without_blanks(signature), without_blanks(slice_str(golden_seal)));
	/* and as they are written, in 78 columns */
	WANT_SLICE(join(instance, signature, SLICE_NONE),
	    S("Message-Instance: m=1; h=sha256:i0py6DxSgpCWRLaYLPkYnPew3s91zR2j7CcDHpq4EF4=:s\r\n"
	      " Lss2NT3VLLQ5EV+7ffnvMJ+SJQ08RGd4jnp4RFtEcc=;\r\n"
	      "DKIM2-Signature: i=1; m=1; t=1795255200; d=example.com; mf=PGFsaWNlQGV4YW1wbGU\r\n"
	      " uY29tPg==; rt=PGxpc3RAbGlzdHMuZXhhbXBsZS5vcmc+; s=s1:ed25519-sha256:jclxtHC7A\r\n"
	      " cgVV/0Dirv1UxeVdNYmvtwT57iu3ill2gP7ZFZXFHPp/Rkrm22HW7YtgOGJAWlMmpiPZ9sELssFCw\r\n"
	      " ==;\r\n"));
}

/* Spec sections 5.4 and 5.5 as received. */
static void published_messages_verify(void **state)
{
	static const char second_instance[] =
	    "Message-Instance: m=2; h=sha256:sg5CbwklInAe74oRdopiyUXo98f7XDZl4CIoLAqEahE=:2VWro3eQgxyNNghyZNO0zEasBG9w3zo5/NiX93aRn7U=; "
	    "r=eyJoIjp7Imxpc3QtaWQiOltdLCJzdWJqZWN0IjpbeyJkIjpbIiBMdW5jaCJdfV19LCJiIjpbeyJjIjpbMSwyXX1dfQ==;\r\n";
	static const char second_seal[] =
	    "DKIM2-Signature: i=2; m=2; t=1795255260; d=lists.example.org; mf=PGxpc3QtYm91bmNlc0BsaXN0cy5leGFtcGxlLm9yZz4=; "
	    "rt=PGJvYkBleGFtcGxlLm5ldD4=; f=exploded; s=l1:ed25519-sha256:NLn5fZZykBIjjMskaBY/Nc1cjuYka9/evP534esk5hUu21yKFgwhHUhjPejMMxfevIxdzfDGuRoyWdLEC1V+Cg==;\r\n";
	static const char changed[] = "From: Alice <alice@example.com>\r\nTo: list@lists.example.org\r\nSubject: [L] Lunch\r\n"
	                              "Message-ID: <1@example.com>\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\n"
	                              "List-Id: <list.lists.example.org>\r\n\r\nHello\r\nWorld\r\n--\r\nfooter\r\n";
	struct slice rcpt, head = join(slice_str(golden_seal), S("\r\n"), join(slice_str(golden_instance), S("\r\n"), SLICE_NONE));
	struct dkim2_seal_conf conf = alice(&rcpt);
	const struct dkim2_verdict *v;

	(void)state;
	json_object_set_new(zone, owners[0], json_pack("[s]", "v=DKIM1; k=ed25519; p=ebVWLo/mVPlAeLES6KmLp5AfhTrmlb7X4OORC60ElmQ="));
	json_object_set_new(zone, owners[1], json_pack("[s]", "v=DKIM1; k=ed25519; p=5/FioQvsVZr+oZXk3OhLaVaNXSywlj60RsBoXisX8vA="));
	v = arrive(join(head, slice_str(lunch), SLICE_NONE), &conf);
	want_verdict(v, DKIM2_PASS, "");
	assert_true(dkim2_fully_verified(v));
	conf = list(&rcpt);
	v = arrive(join(join(slice_str(second_seal), slice_str(second_instance), head), slice_str(changed), SLICE_NONE), &conf);
	want_verdict(v, DKIM2_PASS, "");
	assert_true(dkim2_fully_verified(v));
	assert_true(v->exploded);
	assert_false(v->feedback);
	assert_int_equal(v->hop_count, 2);
	assert_int_equal(v->instance_count, 2);
	assert_true(v->instances[1].recipe);
	assert_int_equal(v->instances[1].state, DKIM2_PASS);
	assert_int_equal(v->instances[0].state, DKIM2_PASS);
	WANT_SLICE(v->hops[1].mf, S("<list-bounces@lists.example.org>"));
	WANT_SLICE(v->hops[1].rt[0], S("<bob@example.net>"));
	WANT_SLICE(v->hops[0].d, S("example.com"));
	assert_int_equal(v->hops[0].t, NOW);
}

/* ---- round trips ---- */

static void every_kind_of_seal_verifies(void **state)
{
	static const struct {
		const char *name, *d, *mail_from;
		const struct dkim2_seal_set *sets;
		size_t set_count, rcpt_count, flag_count;
		const char *nonce;
	} rows[] = {
		{ "Ed25519", "example.com", "<alice@example.com>", set_s1, 1, 1, 0, "" },
		{ "RSA", "example.com", "<alice@example.com>", set_r1, 1, 1, 0, "" },
		{ "both", "example.com", "<alice@example.com>", set_both, 2, 1, 0, "" },
		{ "domain in capitals", "EXAMPLE.com.", "<alice@Example.COM>", set_s1, 1, 1, 0, "" },
		{ "bounce subdomain", "example.com", "<b+1@bounce.example.com>", set_s1, 1, 1, 0, "" },
		{ "null sender", "example.com", "<>", set_s1, 1, 1, 0, "" },
		{ "quoted local part", "example.com", "<\"a;b @\"@example.com>", set_s1, 1, 1, 0, "" },
		{ "UTF-8 local part", "example.com", "<d\xc3\xb6rte@example.com>", set_s1, 1, 1, 0, "" },
		{ "many recipients", "example.com", "<alice@example.com>", set_s1, 1, 50, 0, "" },
		{ "flags and nonce", "example.com", "<alice@example.com>", set_both, 2, 2, 2, "0123456789012345678901234567890123456789012345678901234567890123" },
	};
	static const struct slice flags[] = { { (const unsigned char *)"exploded", 8 }, { (const unsigned char *)"feedback", 8 } };

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct slice rcpts[50], message, instance, signature, line;
		struct dkim2_seal_conf conf = alice(&rcpts[0]);
		const struct dkim2_verdict *v;
		struct fault f = { 0 };
		bool more;

		for (size_t k = 0; k < rows[i].rcpt_count; k++)
			rcpts[k] = arena_printf(&arena, "<user%zu.with.a.name@lists.example.org>", k);
		conf.d = slice_str(rows[i].d);
		conf.mail_from = slice_str(rows[i].mail_from);
		conf.sets = rows[i].sets;
		conf.set_count = rows[i].set_count;
		conf.rcpt_count = rows[i].rcpt_count;
		conf.flags = flags;
		conf.flag_count = rows[i].flag_count;
		conf.nonce = slice_str(rows[i].nonce);
		message = seal_with(slice_str(lunch), NULL, &conf, &instance, &signature, &f);
		if (!message.n)
			fail_msg("%s: %s", rows[i].name, f.text);
		for (struct slice rest = join(signature, instance, SLICE_NONE); rest.n;) {
			more = slice_cut(&rest, '\n', &line);
			assert_true(more && line.n >= 2 && line.n <= 79);
			/* no separator by itself at the start of a line */
			assert_false(line.n > 1 && line.at[0] == ' ' && strchr(";,:", line.at[1]));
		}
		v = arrive(message, &conf);
		if (!dkim2_fully_verified(v))
			fail_msg("%s: %.*s", rows[i].name, SLICE_FMT(v->reason));
		assert_int_equal(v->exploded, rows[i].flag_count > 0);
		assert_int_equal(v->hops[0].rt_count, rows[i].rcpt_count);
		WANT_SLICE(v->hops[0].mf, conf.mail_from);
		for (unsigned draft = 6; draft <= 9; draft++) {
			struct dkim2_envelope e = { conf.mail_from, conf.rcpt_to, conf.rcpt_count };

			v = vector_verify(&arena, message, &e, NOW, draft, zone);
			if (!dkim2_fully_verified(v) || v->draft != draft)
				fail_msg("%s at %u", rows[i].name, draft);
		}
	}
}

/* A white-space-free break inside an atom would show as a blank inside a name once unfolded. */
static void folding_never_cuts_a_name(void **state)
{
	char d[300], selector[70];

	(void)state;
	for (size_t n = 1; n < 60; n++) {
		struct slice rcpt, instance, signature, text;
		struct dkim2_seal_conf conf = alice(&rcpt);
		struct dkim2_seal_set sets[2] = { { .type = KEY_RSA }, { .selector = S("s1"), .type = KEY_ED25519 } };
		struct fault f = { 0 };
		struct header *h = ARENA_NEW(&arena, struct header);
		struct slice body, want;
		struct dkim2_seal *s;

		memset(selector, 'r', n);
		selector[n] = '\0';
		snprintf(d, sizeof(d), "%s.%s.example.com", selector, selector);
		sets[0].selector = slice_str(selector);
		conf.d = slice_str(d);
		conf.mail_from = arena_printf(&arena, "<a@%s>", d);
		conf.sets = sets;
		conf.set_count = 2;
		split(arena_printf(&arena, "From: a@%s\r\n\r\n", d), h, &body);
		s = dkim2_seal_new(&arena, h, body_hash(body, DIGEST_SHA256), NULL, &conf, &f);
		assert_non_null(s);
		dkim2_seal_answer(s, 0, slice_of(d, 256));
		dkim2_seal_answer(s, 1, slice_of(d, 64));
		assert_true(dkim2_seal_fields(s, &instance, &signature, &f));
		text = unfolded(signature);
		want = arena_printf(&arena, " d=%s;", d);
		assert_non_null(memmem(text.at, text.n, want.at, want.n));
		want = arena_printf(&arena, "%s:rsa-sha256:", selector);
		assert_non_null(memmem(text.at, text.n, want.at, want.n));
		assert_non_null(memmem(text.at, text.n, "s1:ed25519-sha256:", 18));
	}
}

static void a_chain_grows_hop_by_hop(void **state)
{
	struct slice rcpts[3], message = slice_str(lunch), instance, signature;
	struct dkim2_seal_conf conf = alice(&rcpts[0]);
	const struct dkim2_verdict *v;
	struct fault f = { 0 };

	(void)state;
	message = seal(message, NULL, &conf);
	v = arrive(message, &conf);
	assert_true(dkim2_fully_verified(v));
	conf = list(&rcpts[1]);
	message = seal_with(message, v, &conf, &instance, &signature, &f);
	assert_true(message.n > 0);
	WANT_SLICE(instance, SLICE_NONE); /* the content is the same */
	v = arrive(message, &conf);
	assert_true(dkim2_fully_verified(v));
	assert_int_equal(v->hop_count, 2);
	assert_int_equal(v->instance_count, 1);
	/* an nd= hop for another domain, then the hop it names: only a peer that knows us may leave it on top */
	rcpts[2] = S("<carol@lists.example.org>");
	message = seal(slice_str(lunch), NULL, &(struct dkim2_seal_conf){ .d = S("example.com"), .mail_from = S("<alice@example.com>"),
	    .rcpt_to = &rcpts[2], .rcpt_count = 1, .sets = set_s1, .set_count = 1, .now = NOW });
	v = vector_verify(&arena, message, &(struct dkim2_envelope){ S("<alice@example.com>"), &rcpts[2], 1 }, NOW, 9, zone);
	assert_true(dkim2_fully_verified(v));
	message = seal(message, v, &(struct dkim2_seal_conf){ .d = S("lists.example.org"), .nd = S("Elsewhere.example"), .sets = set_l1,
	    .set_count = 1, .now = NOW });
	v = vector_verify(&arena, message, NULL, NOW, 9, zone);
	want_verdict(v, DKIM2_PERMERROR, "DKIM2-Signature i=2 unexpected nd= tag");
	rcpts[1] = S("<dave@example.net>");
	conf = (struct dkim2_seal_conf){ .d = S("elsewhere.example"), .mail_from = S("<x@elsewhere.example>"), .rcpt_to = &rcpts[1],
		.rcpt_count = 1, .sets = set_e1, .set_count = 1, .now = NOW };
	assert_int_equal(seal_with(message, v, &conf, &instance, &signature, &f).n, 0);
	assert_int_equal(f.code, FAULT_CHAIN_BROKEN);
	conf.out_of_band = true;
	message = seal(message, v, &conf);
	v = arrive(message, &conf);
	want_verdict(v, DKIM2_PASS, "");
	assert_true(dkim2_fully_verified(v));
	WANT_SLICE(v->hops[1].nd, S("elsewhere.example"));
	assert_int_equal(v->hops[1].rt_count, 0);
}

/* Mail for lists.example.org leaves from elsewhere.example: two hops of ours, the first with nd= for the second. */
static void two_hops_of_ours_join_two_domains(void **state)
{
	struct slice rcpts[2], first, message, bridged, instance, signature;
	struct dkim2_seal_conf conf = alice(&rcpts[0]);
	struct dkim2_seal_conf bridge = { .d = S("lists.example.org"), .nd = S("elsewhere.example"), .sets = set_l1, .set_count = 1, .now = NOW };
	struct dkim2_seal_conf next = { .d = S("elsewhere.example"), .mail_from = S("<x@b.elsewhere.example>"), .rcpt_to = &rcpts[1],
		.rcpt_count = 1, .sets = set_e1, .set_count = 1, .now = NOW };
	const struct dkim2_verdict *came, *v;
	const struct dkim2_seal *other;
	struct fault f = { 0 };

	(void)state;
	rcpts[1] = S("<dave@example.net>");
	first = seal(slice_str(lunch), NULL, &conf);
	came = arrive(first, &conf);
	assert_true(dkim2_may_follow(&came->hops[0], S("lists.example.org"), SLICE_NONE, false, true));
	assert_false(dkim2_may_follow(&came->hops[0], S("elsewhere.example"), S("b.elsewhere.example"), false, false));
	bridged = seal(first, came, &bridge);
	next.after = last_seal;
	message = seal(bridged, came, &next);
	v = arrive(message, &next);
	want_verdict(v, DKIM2_PASS, "");
	assert_true(dkim2_fully_verified(v));
	assert_int_equal(v->hop_count, 3);
	assert_int_equal(v->instance_count, 1);
	WANT_SLICE(v->hops[1].nd, S("elsewhere.example"));
	/* nothing else may have come between */
	assert_int_equal(seal_with(message, came, &next, &instance, &signature, &f).n, 0);
	assert_string_equal(f.text, "chain changed since it was verified");
	f = (struct fault){ 0 };
	bridge.nonce = S("another");
	bridged = seal(first, came, &bridge);
	other = last_seal;
	assert_int_equal(seal_with(bridged, came, &next, &instance, &signature, &f).n, 0);
	assert_string_equal(f.text, "chain changed since it was verified");
	/* nor is the hop that follows another than nd= says */
	f = (struct fault){ 0 };
	next.after = other;
	next.d = S("lists.example.org");
	next.mail_from = S("<x@lists.example.org>");
	next.sets = set_l1;
	assert_int_equal(seal_with(bridged, came, &next, &instance, &signature, &f).n, 0);
	assert_string_equal(f.text, "DKIM2-Signature i=3 MAIL nd= does not match");
	/* both where mail begins */
	bridge = (struct dkim2_seal_conf){ .d = S("example.com"), .nd = S("elsewhere.example"), .sets = set_s1, .set_count = 1, .now = NOW };
	message = seal(slice_str(lunch), NULL, &bridge);
	next = (struct dkim2_seal_conf){ .d = S("elsewhere.example"), .mail_from = S("<x@elsewhere.example>"), .rcpt_to = &rcpts[1],
		.rcpt_count = 1, .sets = set_e1, .set_count = 1, .now = NOW, .after = last_seal };
	assert_true(dkim2_fully_verified(arrive(seal(message, NULL, &next), &next)));
}

/* Alternatives are told apart by '|', which only drafts since -08 know. */
static void groups_are_alternatives(void **state)
{
	static const struct dkim2_seal_set sets[] = {
		{ .selector = { (const unsigned char *)"r1", 2 }, .type = KEY_RSA },
		{ .selector = { (const unsigned char *)"s1", 2 }, .type = KEY_ED25519, .group = 3 },
	};
	static const struct dkim2_seal_set falling[] = {
		{ .selector = { (const unsigned char *)"r1", 2 }, .type = KEY_RSA, .group = 1 },
		{ .selector = { (const unsigned char *)"s1", 2 }, .type = KEY_ED25519 },
	};
	struct slice rcpt, message, instance, signature, flat;
	struct dkim2_seal_conf conf = alice(&rcpt);
	const struct dkim2_verdict *v;
	struct fault f = { 0 };

	(void)state;
	conf.sets = sets;
	conf.set_count = 2;
	message = seal_with(slice_str(lunch), NULL, &conf, &instance, &signature, &f);
	flat = without_blanks(signature);
	assert_non_null(memmem(flat.at, flat.n, "|s1:ed25519-sha256:", 19));
	assert_null(memchr(flat.at, ',', flat.n));
	assert_true(dkim2_fully_verified(arrive(message, &conf)));
	v = vector_verify(&arena, message, &(struct dkim2_envelope){ conf.mail_from, &rcpt, 1 }, NOW, 7, zone);
	want_verdict(v, DKIM2_PERMERROR, "DKIM2-Signature i=1 syntax error");
	/* one of the two is enough */
	json_object_set_new(zone, owners[2], json_array());
	v = arrive(message, &conf);
	json_object_set_new(zone, owners[2], json_pack("[s%]", keyrec_text(&arena, keys[2]).at, keyrec_text(&arena, keys[2]).n));
	want_verdict(v, DKIM2_PASS, "");
	conf.sets = falling;
	assert_int_equal(seal_with(slice_str(lunch), NULL, &conf, &instance, &signature, &f).n, 0);
	assert_int_equal(f.code, FAULT_INTERNAL);
}

/*
 * The negative twin: every octet of a sealed message, changed, must be noticed, unless what it stands for is the same:
 * white space, letter case of a name that has none, an unsigned field.
 */
static void no_octet_can_change(void **state)
{
	static const char unsigned_top[] = "X-Note: who cares\r\nReceived: by mx\r\n";
	struct slice rcpt, message, head = slice_str(unsigned_top);
	struct dkim2_seal_conf conf = alice(&rcpt);
	struct arena outer;
	unsigned char *p;
	size_t passed = 0, top;

	(void)state;
	conf.sets = set_both;
	conf.set_count = 2;
	message = join(head, seal(slice_str(lunch), NULL, &conf), SLICE_NONE);
	arena_init(&outer, 1 << 20);
	message = arena_copy(&outer, message);
	top = head.n;
	p = arena_take(&outer, message.n);
	for (size_t i = 0; i < message.n; i++) {
		static const unsigned char flips[] = { 0x01, 0x20, 0x80 };

		for (size_t k = 0; k < ROWS(flips); k++) {
			const struct dkim2_verdict *v;
			unsigned char was = message.at[i];

			memcpy(p, message.at, message.n);
			p[i] = (unsigned char)(was ^ flips[k]);
			if (!memmem(p, message.n, "\r\n\r\n", 4))
				continue; /* no message any more */
			arena_clear(&arena);
			conf = alice(&rcpt);
			v = arrive(slice_of(p, message.n), &conf);
			if (v->state != DKIM2_PASS)
				continue;
			passed++;
			if (i < top)
				continue;
			/* letter case of field names */
			if (flips[k] == 0x20 && (ascii_lower(was) >= 'a' && ascii_lower(was) <= 'z')) {
				size_t line = i;

				while (line > 0 && p[line - 1] != '\n')
					line--;
				if (p[line] != ' ' && !memchr(p + line, ':', i - line))
					continue;
			}
			fail_msg("octet %zu (%c to 0x%02x) of \"%.*s\"", i, was, p[i], (int)(i > 20 ? 20 : i), message.at + i - (i > 20 ? 20 : i));
		}
	}
	assert_true(passed > 0); /* the unsigned fields at least */
	arena_clear(&outer);
}

/* ---- what sealing refuses ---- */

static void sealing_refuses_what_would_not_verify(void **state)
{
	static const struct {
		const char *name, *message, *d, *mail_from;
		enum fault_code code;
		const char *text;
	} rows[] = {
		{ "foreign From", "From: ceo@elsewhere.example\r\n\r\n", "example.com", "<a@example.com>", FAULT_UNSEALED, "From header field is not Authentic for d=example.com" },
		{ "one foreign From of two", "From: a@example.com, ceo@elsewhere.example\r\n\r\n", "example.com", "<a@example.com>", FAULT_UNSEALED, "From header field is not Authentic for d=example.com" },
		{ "two From fields", "From: a@example.com\r\nFrom: ceo@elsewhere.example\r\n\r\n", "example.com", "<a@example.com>", FAULT_UNSEALED, "From header field is not Authentic for d=example.com" },
		{ "From above d=", "From: a@example.com\r\n\r\n", "mail.example.com", "<a@mail.example.com>", FAULT_UNSEALED, "From header field is not Authentic for d=mail.example.com" },
		{ "no From", "Subject: x\r\n\r\n", "example.com", "<a@example.com>", FAULT_UNSEALED, "From header field is not Authentic for d=example.com" },
		{ "From only in the body", "\r\nFrom: a@example.com\r\n", "example.com", "<a@example.com>", FAULT_UNSEALED, "From header field is not Authentic for d=example.com" },
		{ "foreign MAIL FROM", "From: a@example.com\r\n\r\n", "example.com", "<a@elsewhere.example>", FAULT_CUSTODY_GAP, "DKIM2-Signature i=1 MAIL FROM and d= do not match" },
		{ "MAIL FROM above d=", "From: a@x.example.com\r\n\r\n", "x.example.com", "<a@example.com>", FAULT_CUSTODY_GAP, "DKIM2-Signature i=1 MAIL FROM and d= do not match" },
		{ "MAIL FROM without domain", "From: a@example.com\r\n\r\n", "example.com", "<postmaster>", FAULT_CUSTODY_GAP, "DKIM2-Signature i=1 MAIL FROM and d= do not match" },
		{ "instance left over", "Message-Instance: m=1;\r\nFrom: a@example.com\r\n\r\n", "example.com", "<a@example.com>", FAULT_UNSEALED, "message already holds fields of a chain" },
		{ "seal left over", "DKIM2-Signature: i=1; m=1; t=1; d=b.example; nd=c.example; s=a:b:AAAA;\r\nMessage-Instance: m=1; h=x:AAAA:AAAA;\r\nFrom: a@example.com\r\n\r\n", "example.com", "<a@example.com>", FAULT_UNSEALED, "message already holds fields of a chain" },
		{ "line without colon", "junk\r\nFrom: a@example.com\r\n\r\n", "example.com", "<a@example.com>", FAULT_MALFORMED, "message header is malformed" },
		{ "no path", "From: a@example.com\r\n\r\n", "example.com", "a@example.com", FAULT_INTERNAL, "internal error" },
	};
	struct slice rcpt, instance, signature;

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct dkim2_seal_conf conf = alice(&rcpt);
		struct fault f = { 0 };

		conf.d = slice_str(rows[i].d);
		conf.mail_from = slice_str(rows[i].mail_from);
		if (seal_with(slice_str(rows[i].message), NULL, &conf, &instance, &signature, &f).n || f.code != rows[i].code ||
		    strcmp(f.text, rows[i].text) != 0)
			fail_msg("%s: %s", rows[i].name, f.text);
	}
}

static void only_a_verified_unchanged_chain_is_extended(void **state)
{
	struct slice rcpt, rcpt2, first, instance, signature, answers;
	struct dkim2_seal_conf conf = alice(&rcpt), next = list(&rcpt2);
	const struct dkim2_verdict *came;
	struct fault f = { 0 };

	(void)state;
	first = seal(slice_str(lunch), NULL, &conf);
	came = arrive(first, &conf);
	/* custody: the sender must follow from rt= */
	next.mail_from = S("<x@elsewhere.example>");
	next.d = S("elsewhere.example");
	next.sets = set_e1;
	assert_int_equal(seal_with(first, came, &next, &instance, &signature, &f).n, 0);
	assert_int_equal(f.code, FAULT_CUSTODY_GAP);
	assert_string_equal(f.text, "DKIM2-Signature i=2 MAIL FROM does not match RCPT TO of i=1");
	/* a null sender, judged on d= */
	f = (struct fault){ 0 };
	next.mail_from = S("<>");
	assert_int_equal(seal_with(first, came, &next, &instance, &signature, &f).n, 0);
	assert_string_equal(f.text, "DKIM2-Signature i=2 d= does not match RCPT TO of i=1");
	next = list(&rcpt2);
	next.mail_from = S("<>");
	assert_true(dkim2_fully_verified(arrive(seal(first, came, &next), &next)));
	/* changed content */
	next = list(&rcpt2);
	f = (struct fault){ 0 };
	assert_int_equal(seal_with(join(S("Reply-To: x@b.example\r\n"), first, SLICE_NONE), came, &next, &instance, &signature, &f).n, 0);
	assert_int_equal(f.code, FAULT_UNSEALED);
	f = (struct fault){ 0 };
	assert_int_equal(seal_with(join(first, S("footer\r\n"), SLICE_NONE), came, &next, &instance, &signature, &f).n, 0);
	assert_int_equal(f.code, FAULT_UNSEALED);
	/* an unsigned field is no change */
	assert_true(dkim2_fully_verified(arrive(seal(join(S("Received: by l\r\n"), first, SLICE_NONE), came, &next), &next)));
	/* another message than the one that was judged */
	f = (struct fault){ 0 };
	assert_int_equal(seal_with(slice_str(lunch), came, &next, &instance, &signature, &f).n, 0);
	assert_int_equal(f.code, FAULT_CHAIN_BROKEN);
	f = (struct fault){ 0 };
	assert_int_equal(seal_with(seal(first, came, &next), came, &next, &instance, &signature, &f).n, 0);
	assert_int_equal(f.code, FAULT_CHAIN_BROKEN);
	assert_string_equal(f.text, "chain changed since it was verified");
	/* broken, silent, unjudged */
	f = (struct fault){ 0 };
	came = arrive(join(first, S("x\r\n"), SLICE_NONE), &conf);
	assert_int_equal(seal_with(first, came, &next, &instance, &signature, &f).n, 0);
	assert_int_equal(f.code, FAULT_CHAIN_BROKEN);
	assert_string_equal(f.text, "Message Instance m=1 body hash sha256 mismatch");
	answers = keyrec_text(&arena, keys[0]);
	json_object_set_new(zone, owners[0], json_pack("{s:s}", "error", "timeout"));
	f = (struct fault){ 0 };
	came = arrive(first, &conf);
	want_verdict(came, DKIM2_TEMPERROR, "DKIM2-Signature i=1 public key s1 could not be fetched");
	assert_int_equal(seal_with(first, came, &next, &instance, &signature, &f).n, 0);
	assert_int_equal(f.code, FAULT_KEY_SILENT);
	assert_int_equal(f.basic, 451);
	json_object_set_new(zone, owners[0], json_pack("[s%]", answers.at, answers.n));
	f = (struct fault){ 0 };
	came = vector_verify(&arena, first, NULL, NOW, 9, zone);
	assert_int_equal(seal_with(first, came, &next, &instance, &signature, &f).n, 0);
	assert_int_equal(f.code, FAULT_CHAIN_BROKEN);
	/* by arrangement all the same, custody still holds */
	next.out_of_band = true;
	assert_true(dkim2_fully_verified(arrive(seal(first, came, &next), &next)));
}

/* A newest instance that knows only sha512 is compared by that, if its digest is at hand. */
static void a_chain_of_sha512_is_extended(void **state)
{
	unsigned char out[DIGEST_ALGS][DIGEST_OCTETS];
	struct slice rcpt, body, header_hash, body_text, sha512, message = S("From: a@example.com\r\n\r\nbody\r\n");
	struct dkim2_seal_conf next = list(&rcpt);
	const struct dkim2_verdict *came;
	struct slice to = S("<list@lists.example.org>");
	struct header h;
	struct fault f = { 0 };

	(void)state;
	split(message, &h, &body);
	assert_true(canon_header(&arena, &h, forge_left_out, NULL, 1U << DIGEST_SHA512, out));
	sha512 = body_hash(body, DIGEST_SHA512);
	header_hash = b64_text(&arena, slice_of(out[DIGEST_SHA512], 64));
	body_text = b64_text(&arena, sha512);
	message = join(arena_printf(&arena, "Message-Instance: m=1; h=sha512:%.*s:%.*s;\r\n", SLICE_FMT(header_hash),
	    SLICE_FMT(body_text)), message, SLICE_NONE);
	message = forge_seal(message, 1, "m=1; t=1795255200; d=example.com; mf=PGFsaWNlQGV4YW1wbGUuY29tPg==; rt=PGxpc3RAbGlzdHMuZXhhbXBsZS5vcmc+", "s1");
	came = vector_verify(&arena, message, &(struct dkim2_envelope){ S("<alice@example.com>"), &to, 1 }, NOW, 9, zone);
	want_verdict(came, DKIM2_PASS, "");
	split(message, &h, &body);
	assert_null(dkim2_seal_new(&arena, &h, body_hash(body, DIGEST_SHA256), came, &next, &f));
	assert_int_equal(f.code, FAULT_UNSEALED);
	f = (struct fault){ 0 };
	next.body_sha512 = sha512;
	assert_non_null(dkim2_seal_new(&arena, &h, body_hash(body, DIGEST_SHA256), came, &next, &f));
}

static void a_missing_signature_is_no_seal(void **state)
{
	struct slice rcpt, body, instance = S("?"), signature = S("?");
	struct dkim2_seal_conf conf = alice(&rcpt);
	struct dkim2_seal *s;
	struct header h;
	struct fault f = { 0 };

	(void)state;
	conf.sets = set_both;
	conf.set_count = 2;
	split(slice_str(lunch), &h, &body);
	s = dkim2_seal_new(&arena, &h, body_hash(body, DIGEST_SHA256), NULL, &conf, &f);
	dkim2_seal_answer(s, 0, S("some octets"));
	dkim2_seal_answer(s, 1, SLICE_NONE);
	assert_false(dkim2_seal_fields(s, &instance, &signature, &f));
	assert_int_equal(f.code, FAULT_KEEPER_DOWN);
	WANT_SLICE(signature, S("?"));
}

static void enforcement_reads_the_copy_anew(void **state)
{
	static const struct {
		const char *name, *top, *text;
	} rows[] = {
		{ "a newer seal decides", "DKIM2-Signature: i=2; m=1; t=1; d=b.example; mf=PHhAYi5leGFtcGxlPg==; rt=PHlAYi5leGFtcGxlPg==; s=a:b:AAAA;\r\n",
		  "DKIM2-Signature i=2 MAIL FROM <alice@example.com> did not match" },
		{ "an nd= seal on top", "DKIM2-Signature: i=2; m=1; t=1; d=b.example; nd=c.example; s=a:b:AAAA;\r\n", "DKIM2-Signature i=2 unexpected nd= tag" },
		{ "a line some take for the end of the header", "junk\r\n", "header holds a line that is no field" },
		{ "a seal nobody can read", "DKIM2-Signature: junk\r\n", "DKIM2-Signature i=? syntax error" },
		{ "a seal with a blank before the colon", "DKIM2-Signature : i=2; m=1; t=1; d=b.example; nd=c.example; s=a:b:AAAA;\r\n", "DKIM2-Signature i=2 unexpected nd= tag" },
	};
	struct slice rcpt, body;
	struct dkim2_seal_conf conf = alice(&rcpt);
	struct dkim2_envelope e = { conf.mail_from, &rcpt, 1 };
	struct slice message = seal(slice_str(lunch), NULL, &conf);
	struct header h;
	struct fault f = { 0 };

	(void)state;
	split(message, &h, &body);
	assert_true(dkim2_enforce(&arena, &h, &e, &f));
	for (size_t i = 0; i < ROWS(rows); i++) {
		f = (struct fault){ 0 };
		split(join(slice_str(rows[i].top), message, SLICE_NONE), &h, &body);
		assert_false(dkim2_enforce(&arena, &h, &e, &f));
		assert_int_equal(f.code, FAULT_CUSTODY_GAP);
		assert_int_equal(f.basic, 550);
		assert_string_equal(f.text, rows[i].text);
	}
	f = (struct fault){ 0 };
	split(slice_str(lunch), &h, &body);
	assert_false(dkim2_enforce(&arena, &h, &e, &f));
	assert_int_equal(f.code, FAULT_CUSTODY_GAP);
	/* what the list of fields says is not believed, only their octets */
	split(message, &h, &body);
	for (size_t i = 0; i < h.n; i++)
		if (slice_ieq(h.fields[i].name, S("dkim2-signature")))
			h.fields[i].raw = S("DKIM2-Signature: junk\r\n");
	f = (struct fault){ 0 };
	assert_false(dkim2_enforce(&arena, &h, &e, &f));
}

/* ---- recalled ---- */

/* What the spool keeps of a verdict. */
static struct dkim2_verdict kept(const struct dkim2_verdict *v)
{
	return (struct dkim2_verdict){ .state = v->state, .newest = v->newest, .level = v->level, .hop_count = v->hop_count,
		.instance_count = v->instance_count, .exploded = v->exploded };
}

static const struct dkim2_verdict *recalled(struct slice message, const struct dkim2_verdict *said)
{
	struct header *h = ARENA_NEW(&arena, struct header);
	const struct dkim2_verdict *v;
	struct slice body;

	split(message, h, &body);
	v = dkim2_recall(&arena, h, 9, said);
	assert_non_null(v);
	return v;
}

/* The message with two hops on it, as it lies in the spool, and what was found when it came. */
static struct slice lying(const struct dkim2_verdict **v_out)
{
	struct slice rcpts[2], message = slice_str(lunch);
	struct dkim2_seal_conf conf = alice(&rcpts[0]);
	const struct dkim2_verdict *v;

	conf.flags = &rcpts[1];
	rcpts[1] = S("exploded");
	conf.flag_count = 1;
	message = seal(message, NULL, &conf);
	v = arrive(message, &conf);
	conf = list(&rcpts[1]);
	message = seal(message, v, &conf);
	*v_out = arrive(message, &conf);
	assert_true(dkim2_fully_verified(*v_out));
	return join(S("Received: by mx.example.net; Sat, 21 Nov 2026 10:00:00 +0000\r\nAuthentication-Results: mx.example.net; dkim2=pass\r\n"),
	    message, SLICE_NONE);
}

static void what_is_recalled_is_sealed_as_what_was_verified(void **state)
{
	const struct dkim2_verdict *came, *again;
	struct slice message = lying(&came), rcpt = S("<carol@example.com>");
	struct dkim2_verdict said = kept(came);
	struct dkim2_seal_conf conf = { .d = S("example.net"), .mail_from = S("<bob@example.net>"), .rcpt_to = &rcpt, .rcpt_count = 1,
		.sets = set_e1, .set_count = 1, .now = NOW + 86400 };

	(void)state;
	again = recalled(message, &said);
	assert_true(dkim2_fully_verified(again));
	assert_true(again->exploded);
	assert_int_equal(again->hop_count, 2);
	assert_int_equal(again->instance_count, came->instance_count);
	for (size_t i = 0; i < 2; i++) {
		WANT_SLICE(again->hops[i].d, came->hops[i].d);
		WANT_SLICE(again->hops[i].mf, came->hops[i].mf);
		assert_int_equal(again->hops[i].rt_count, came->hops[i].rt_count);
		WANT_SLICE(again->hops[i].rt[0], came->hops[i].rt[0]);
	}
	WANT_SLICE(seal(message, again, &conf), seal(message, came, &conf));
}

static void what_is_not_what_was_verified_is_not_believed(void **state)
{
	static const struct {
		const char *name;
		int hops, instances;
		const char *top;       /* a field that was not there */
		enum dkim2_state state, want;
	} rows[] = {
		{ "one hop more was there",    1, 0, "", DKIM2_PASS, DKIM2_PERMERROR },
		{ "one hop less was there",    -1, 0, "", DKIM2_PASS, DKIM2_PERMERROR },
		{ "one instance more was there", 0, 1, "", DKIM2_PASS, DKIM2_PERMERROR },
		{ "there was none at all",     -2, -1, "", DKIM2_NONE, DKIM2_PERMERROR },
		{ "a seal that is none",       0, 0, "DKIM2-Signature: i=3; junk\r\n", DKIM2_PASS, DKIM2_PERMERROR },
		{ "a seal a second time",      0, 0, "DKIM2-Signature: i=2; m=1; t=1795255200; d=example.com; mf=PD4=; rt=PD4=; s=s1:ed25519-sha256:AAAA\r\n",
		    DKIM2_PASS, DKIM2_PERMERROR },
		{ "an instance that is none",  0, 0, "Message-Instance: junk\r\n", DKIM2_PASS, DKIM2_PERMERROR },
		{ "it had failed",             1, 0, "", DKIM2_FAIL, DKIM2_FAIL },
		{ "nobody knew",               -1, 0, "", DKIM2_TEMPERROR, DKIM2_TEMPERROR },
		{ "nothing was changed",       0, 0, "", DKIM2_PASS, DKIM2_PASS },
	};
	const struct dkim2_verdict *came, *again;
	struct slice message = lying(&came);

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct dkim2_verdict said = kept(came);

		said.hop_count = (size_t)((int)said.hop_count + rows[i].hops);
		said.instance_count = (size_t)((int)said.instance_count + rows[i].instances);
		said.state = rows[i].state;
		again = recalled(join(slice_str(rows[i].top), message, SLICE_NONE), &said);
		if (again->state != rows[i].want)
			fail_msg("%s: %s", rows[i].name, dkim2_state_name(again->state));
		if (dkim2_fully_verified(again) != (rows[i].want == DKIM2_PASS))
			fail_msg("%s: fully verified", rows[i].name);
		if (rows[i].want == DKIM2_PERMERROR && again->newest == DKIM2_PASS)
			fail_msg("%s: its newest seal passes", rows[i].name);
	}
}

static void without_a_chain_none_is_recalled(void **state)
{
	struct dkim2_verdict said = { .state = DKIM2_NONE, .newest = DKIM2_NONE };
	const struct dkim2_verdict *v = recalled(slice_str(lunch), &said);

	(void)state;
	assert_int_equal(v->state, DKIM2_NONE);
	assert_int_equal(v->hop_count, 0);
	assert_int_equal(v->instance_count, 0);
	assert_false(v->exploded);
}

#define TEST(f) cmocka_unit_test_setup(f, fresh_arena)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(originating_makes_the_published_fields),
		TEST(published_messages_verify),
		TEST(every_kind_of_seal_verifies),
		TEST(folding_never_cuts_a_name),
		TEST(a_chain_grows_hop_by_hop),
		TEST(two_hops_of_ours_join_two_domains),
		TEST(groups_are_alternatives),
		TEST(no_octet_can_change),
		TEST(sealing_refuses_what_would_not_verify),
		TEST(only_a_verified_unchanged_chain_is_extended),
		TEST(a_chain_of_sha512_is_extended),
		TEST(a_missing_signature_is_no_seal),
		TEST(enforcement_reads_the_copy_anew),
		TEST(what_is_recalled_is_sealed_as_what_was_verified),
		TEST(what_is_not_what_was_verified_is_not_believed),
		TEST(without_a_chain_none_is_recalled),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make_world, end_world);
}
