/*
 * What must hold for every message: what is sealed verifies, and memory that runs out is neither a verdict nor a permission.
 */
#include "test.h"

#include "base/limits.h"
#include "dkim2_world.h"

/* ---- messages by lot, the same ones each time ---- */

static uint64_t lot;

static unsigned pick(unsigned n)
{
	lot ^= lot << 13;
	lot ^= lot >> 7;
	lot ^= lot << 17;
	return (unsigned)(lot >> 33) % n;
}

static const char *one_of(const char *const *list, size_t n)
{
	return list[pick((unsigned)n)];
}

#define ONE_OF(list) one_of((list), ROWS(list))

/* Octets of a value: printable, 8-bit, blanks, folds and, seldom, what SMTP would have refused. */
static void add_text(struct buf *b, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		switch (pick(24)) {
		case 0:
			buf_str(b, "\r\n ");
			buf_octet(b, 'f'); /* no line of blanks */
			break;
		case 1:
			buf_str(b, "\t");
			break;
		case 2:
		case 3:
			buf_octet(b, (unsigned char)(0x80 + pick(0x80)));
			break;
		case 4:
			buf_str(b, "  ");
			break;
		case 5:
			buf_octet(b, pick(40) ? 'o' : pick(2) ? '\r' : '\n');
			buf_octet(b, 'o');
			break;
		default:
			buf_octet(b, (unsigned char)(0x21 + pick(0x5e)));
		}
	}
}

static void add_fields(struct buf *b, unsigned n)
{
	static const char *const names[] = { "Subject", "SUBJECT", "subject ", "Comments", "Comments", "X-Spam", "Received", "received-spf", "ARC-Foo",
		"Auto-Submitted", "To", "Cc", "List-Id", "~!#$%", "Authentication-Results", "DKIM-Signature", "a" };

	for (unsigned i = 0; i < n; i++) {
		buf_str(b, ONE_OF(names));
		buf_str(b, pick(3) ? ": " : pick(2) ? ":" : ":\r\n\t.");
		add_text(b, pick(20) ? pick(60) : pick(3000));
		buf_str(b, "\r\n");
	}
}

static void add_body(struct buf *b)
{
	static const char *const ends[] = { "", "\r\n", "\r\n\r\n\r\n", "\r", "\n", " \r\n", "\r\n \r\n" };

	if (pick(8) == 0)
		return;
	for (unsigned i = pick(6); i > 0; i--) {
		add_text(b, pick(10) ? pick(80) : pick(5000));
		buf_str(b, pick(6) ? "\r\n" : "\r\n\r\n");
	}
	buf_str(b, ONE_OF(ends));
}

static struct slice message_by_lot(void)
{
	static const char *const from[] = { "From: alice@example.com\r\n", "FROM:Alice <alice@Example.COM>\r\n",
		"From:\r\n \"A, B\" <a@x.example.com>\r\n", "From: =?utf-8?q?D=C3=B6rte?= <d@example.com> (c)\r\n",
		"From: D\xc3\xb6rte <d\xc3\xb6rte@b\xc3\xbcrger.example.com>\r\n", "From: a@example.com, b@y.example.com\r\n",
		"From: g:a@example.com,\r\n b@example.com;\r\n", "From: a@example.com\r\nFrom: b@example.com\r\n" };
	struct buf b;
	struct slice out;

	buf_init(&b, 1 << 20);
	add_fields(&b, pick(5));
	buf_str(&b, ONE_OF(from));
	add_fields(&b, pick(5));
	buf_str(&b, "\r\n");
	add_body(&b);
	out = arena_copy(&arena, buf_get(&b));
	buf_release(&b);
	return out;
}

static struct slice path_by_lot(const char *domain)
{
	static const char *const locals[] = { "a", "Alice.B", "\"a b\"", "\"a\\\"b@c;d\"", "d\xc3\xb6rte", "\"alice\"", "x+y=z/!#$%&'*?^`{|}~", "@r.example:a",
		"0123456789012345678901234567890123456789012345678901234567890123" };
	static const char *const below[] = { "", "bounce.", "B\xc3\x9crger.", "XN--BCHER-KVA.", "a.b.c.d.e." };

	return arena_printf(&arena, "<%s@%s%s>", ONE_OF(locals), ONE_OF(below), domain);
}

static struct dkim2_seal_conf conf_by_lot(const char *d, const struct dkim2_seal_set *sets, size_t set_count, const char *to)
{
	static const struct slice flags[] = { { (const unsigned char *)"exploded", 8 }, { (const unsigned char *)"feedback", 8 },
		{ (const unsigned char *)"x=y:z|", 6 } };
	size_t rcpts = pick(10) ? 1 + pick(4) : 1 + pick(400);
	struct slice *rcpt = ARENA_ARRAY(&arena, rcpts, struct slice);
	char *nonce = arena_take(&arena, LIMIT_NONCE);
	size_t nonce_octets = pick(2) ? pick(LIMIT_NONCE + 1) : 0;

	for (size_t k = 0; k < rcpts; k++)
		rcpt[k] = k ? path_by_lot(to) : arena_printf(&arena, "<next@%s>", to); /* who goes on from here */
	for (size_t k = 0; k < nonce_octets; k++) {
		nonce[k] = (char)(0x21 + pick(0x5e));
		if (nonce[k] == ';')
			nonce[k] = ',';
	}
	return (struct dkim2_seal_conf){ .d = slice_str(d),
		.mail_from = pick(8) ? path_by_lot(d) : S("<>"),
		.rcpt_to = rcpt,
		.rcpt_count = rcpts,
		.sets = sets,
		.set_count = set_count,
		.flags = flags,
		.flag_count = pick(4),
		.nonce = slice_of(nonce, nonce_octets),
		.now = NOW };
}

static void want_enforced(struct slice message, const struct dkim2_seal_conf *conf)
{
	struct dkim2_envelope e = { conf->mail_from, conf->rcpt_to, conf->rcpt_count };
	struct slice stranger = S("<stranger@lists.example.org>");
	struct header h;
	struct slice body;
	struct fault f = { 0 };

	split(message, &h, &body);
	if (!dkim2_enforce(&arena, &h, &e, &f))
		fail_msg("%s", f.text);
	e.rcpt_to = &stranger;
	e.rcpt_count = 1;
	assert_false(dkim2_enforce(&arena, &h, &e, &f));
	f = (struct fault){ 0 };
	e.rcpt_to = conf->rcpt_to;
	e.mail_from = S("<stranger@example.com>");
	assert_false(dkim2_enforce(&arena, &h, &e, &f));
}

static void what_is_sealed_verifies(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		bool rsa = i % 10 == 0;
		struct dkim2_seal_conf first, next;
		const struct dkim2_verdict *v;
		struct slice message, sealed;

		arena_clear(&arena);
		lot = 0x9e3779b97f4a7c15U * (i + 1);
		message = message_by_lot();
		first = conf_by_lot(pick(4) ? "example.com" : "EXAMPLE.Com.", rsa ? set_both : set_s1, rsa ? 2 : 1, "lists.example.org");
		if (slice_ends(first.mail_from, S(".>")))
			continue; /* no path of SMTP */
		sealed = seal(message, NULL, &first);
		v = arrive(sealed, &first);
		if (!dkim2_fully_verified(v))
			fail_msg("message %u: %.*s", i, SLICE_FMT(v->reason));
		want_enforced(sealed, &first);
		/* on the way more trace is added, lines at the end of the body come and go */
		sealed = join(S("Received: by x\r\nX-Y: z\r\n"), sealed, SLICE_NONE);
		next = conf_by_lot("lists.example.org", set_l1, 1, "example.net");
		sealed = seal(sealed, arrive(sealed, &first), &next);
		v = arrive(sealed, &next);
		if (!dkim2_fully_verified(v) || v->hop_count != 2)
			fail_msg("message %u, second hop: %.*s", i, SLICE_FMT(v->reason));
		want_enforced(sealed, &next);
	}
}

/* As many sets as a verifier asks keys for, and not one more; as long a field as others take, and not longer. */
static void no_seal_is_made_that_nobody_takes(void **state)
{
	struct dkim2_seal_set sets[LIMIT_SIG_SETS];
	struct slice rcpt, body, *many = ARENA_ARRAY(&arena, LIMIT_RT, struct slice);
	struct header h;

	(void)state;
	split(slice_str(lunch), &h, &body);
	body = body_hash(body, DIGEST_SHA256);
	for (size_t n = 1; n <= LIMIT_SIG_SETS; n++) {
		struct dkim2_seal_conf conf = alice(&rcpt);
		struct fault f = { 0 };

		sets[n - 1] = (struct dkim2_seal_set){ .selector = arena_printf(&arena, "s%zu", n), .type = KEY_ED25519 };
		conf.sets = sets;
		conf.set_count = n;
		assert_int_equal(dkim2_seal_new(&arena, &h, body, NULL, &conf, &f) != NULL, n <= LIMIT_KEYS_HOP);
	}
	for (size_t octets = 20; octets < 400; octets += 20) {
		struct dkim2_seal_conf conf = alice(&rcpt);
		struct fault f = { 0 };
		struct dkim2_seal *s;
		struct slice instance, signature;

		for (size_t k = 0; k < LIMIT_RT; k++)
			many[k] = arena_printf(&arena, "<%0*zu@lists.example.org>", (int)octets, k);
		conf.rcpt_to = many;
		conf.rcpt_count = LIMIT_RT;
		s = dkim2_seal_new(&arena, &h, body, NULL, &conf, &f);
		if (s) {
			dkim2_seal_answer(s, 0, slice_str(lunch));
			assert_true(dkim2_seal_fields(s, &instance, &signature, &f));
			assert_true(signature.n <= LIMIT_DKIM2_FIELD_OUT);
			assert_true(octets < 40);
		} else {
			assert_int_equal(f.code, FAULT_UNSEALED);
			assert_string_equal(f.text, "seal would be longer than 61440 octets");
			assert_true(octets > 20);
		}
		arena_clear(&arena);
		many = ARENA_ARRAY(&arena, LIMIT_RT, struct slice);
		split(slice_str(lunch), &h, &body);
		body = body_hash(body, DIGEST_SHA256);
	}
}

/* ---- memory ---- */

/* However little there is: no memory, a temperror, or what the verdict is with enough of it. */
static void lost_memory_is_no_verdict(void **state)
{
	static const struct {
		const char *name, *end, *rcpt;
		enum dkim2_state state;
	} rows[] = {
		{ "right", "", "<list@lists.example.org>", DKIM2_PASS },
		{ "another recipient", "", "<x@lists.example.org>", DKIM2_FAIL },
		{ "another body", "x\r\n", "<list@lists.example.org>", DKIM2_FAIL },
	};
	struct slice rcpt;
	struct dkim2_seal_conf conf = alice(&rcpt);
	struct slice message = seal(slice_str(lunch), NULL, &conf);
	size_t ran_out = 0, held = 0;

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct slice to = slice_str(rows[i].rcpt), body;
		struct dkim2_envelope e = { conf.mail_from, &to, 1 };
		struct header h;

		split(join(message, slice_str(rows[i].end), SLICE_NONE), &h, &body);
		for (size_t ceiling = 0; ceiling < 16384; ceiling += 16) {
			struct arena a;
			struct dkim2_verify *v;
			const struct slice *names;
			struct canon_body *c;
			const struct dkim2_verdict *got;

			arena_init(&a, ceiling);
			v = dkim2_verify_new(&a, &h, &e, (struct dkim2_clock){ NOW, 300 }, 9);
			ran_out += !v;
			if (v) {
				if (dkim2_verify_asks(v, &names)) {
					struct keyrec *rec = vector_keyrec(&arena, zone, names[0]);

					dkim2_verify_answer(v, 0, rec);
					keyrec_drop(&rec);
				}
				c = canon_body_new(dkim2_verify_digests(v));
				canon_body_add(c, body);
				dkim2_verify_octets(v, body);
				canon_body_end(c);
				dkim2_verify_body(v, c);
				canon_body_free(&c);
				got = dkim2_verify_verdict(v);
				ran_out += got->state == DKIM2_TEMPERROR;
				if (got->state != rows[i].state && got->state != DKIM2_TEMPERROR)
					fail_msg("%s with %zu octets: %s %.*s", rows[i].name, ceiling, dkim2_state_name(got->state),
					    SLICE_FMT(got->reason));
				if (ceiling + 16 == 16384)
					assert_int_equal(got->state, rows[i].state);
				dkim2_verify_release(v);
			}
			held = a.held;
			arena_clear(&a);
		}
		assert_true(held < 16384);
	}
	assert_true(ran_out > 300);
}

static void lost_memory_permits_nothing(void **state)
{
	struct slice rcpt, body, to = S("<x@lists.example.org>");
	struct dkim2_seal_conf conf = alice(&rcpt);
	struct dkim2_envelope right = { conf.mail_from, &rcpt, 1 }, wrong = { conf.mail_from, &to, 1 };
	struct header h;
	size_t yes = 0, ran_out = 0;

	(void)state;
	split(seal(slice_str(lunch), NULL, &conf), &h, &body);
	for (size_t ceiling = 0; ceiling < 16384; ceiling += 16) {
		struct arena a;
		struct fault f = { 0 };

		arena_init(&a, ceiling);
		assert_false(dkim2_enforce(&a, &h, &wrong, &f));
		arena_clear(&a);
		f = (struct fault){ 0 };
		if (dkim2_enforce(&a, &h, &right, &f)) {
			yes++;
		} else {
			ran_out++;
			assert_int_equal(f.code, FAULT_NO_MEMORY);
		}
		arena_clear(&a);
	}
	assert_true(yes > 300 && ran_out > 50);
}

/* Memory grows with the octets of a header, whatever they are. */
static void from_fields_cost_what_they_are_long(void **state)
{
	size_t held[3];

	(void)state;
	for (size_t scale = 0; scale < 3; scale++) {
		static const size_t counts[] = { 500, 2000, 9000 };
		struct slice rcpt;
		struct dkim2_seal_conf conf = alice(&rcpt);
		struct slice message = seal(slice_str(lunch), NULL, &conf);
		struct buf b;
		struct slice body;
		struct header h;
		struct fault f = { 0 };
		struct arena a;
		struct dkim2_verify *v;

		buf_init(&b, 1 << 20);
		for (size_t k = 0; k < counts[scale]; k++)
			buf_str(&b, "From: a@example.com\r\n");
		split(message, &h, &body);
		buf_slice(&b, h.raw);
		arena_init(&a, LIMIT_TX_ARENA);
		assert_true(header_parse(&a, buf_get(&b), 10000, &h, &f));
		held[scale] = a.held;
		v = dkim2_verify_new(&a, &h, NULL, (struct dkim2_clock){ NOW, 300 }, 9);
		assert_non_null(v);
		held[scale] = a.held - held[scale];
		want_verdict(dkim2_verify_verdict(v), DKIM2_FAIL, "Message Instance m=1 header hash sha256 mismatch");
		dkim2_verify_release(v);
		held[scale] -= a.held;
		assert_int_equal(dkim2_from_authentic(&a, &h, S("example.com")), counts[scale] < 9000);
		held[scale] += a.held;
		arena_clear(&a);
		buf_release(&b);
	}
	assert_true(held[1] < 8 * held[0]);
	assert_true(held[2] < 8 * held[1]);
	/* many long ones: no list of addresses is made of what cannot be one */
	{
		struct buf b;
		struct header h;
		struct fault f = { 0 };
		struct arena a;

		buf_init(&b, 1 << 23);
		for (size_t k = 0; k < 60; k++) {
			buf_str(&b, "From: a@example.com");
			for (size_t n = 0; n < 5000; n++)
				buf_str(&b, ",a@b.test");
			buf_str(&b, "\r\n");
		}
		arena_init(&a, LIMIT_TX_ARENA);
		assert_true(header_parse(&a, buf_get(&b), 10000, &h, &f));
		assert_false(dkim2_from_authentic(&a, &h, S("example.com")));
		assert_false(arena_failed(&a));
		assert_true(a.held < 4 << 20);
		arena_clear(&a);
		buf_release(&b);
	}
}

#define TEST(f) cmocka_unit_test_setup(f, fresh_arena)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_sealed_verifies),
		TEST(no_seal_is_made_that_nobody_takes),
		TEST(lost_memory_is_no_verdict),
		TEST(lost_memory_permits_nothing),
		TEST(from_fields_cost_what_they_are_long),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make_world, end_world);
}
