/* The octets of the spool: round trips, and nothing that was touched goes unnoticed. */
#include "arena.h"
#include "example.h"
#include "spool_sample.h"

#include "base/map.h"
#include "crypt/digest.h"

static struct spool_file file = { .key = "0123456789abcdef", .messages = 2, .octets = 1536 };

static struct slice written(const struct spool_envelope *e)
{
	struct slice octets;
	struct buf b;

	buf_init(&b, 2 << 20);
	assert_true(spool_envelope_write(&b, e));
	octets = arena_copy(&arena, buf_get(&b));
	buf_release(&b);
	return octets;
}

static void an_envelope_comes_back(void **state)
{
	struct spool_envelope e = sample_envelope(), got;
	struct slice octets = written(&e);

	(void)state;
	assert_true(spool_envelope_read(&arena, octets, &got));
	want_same_envelope(&got, &e);
	WANT_SLICE(written(&got), octets);
}

static void the_least_envelope_comes_back(void **state)
{
	struct spool_rcpt r = { .path = S("<r@r.example>") };
	struct spool_envelope e = { .id = S("1"), .listener = S("l"), .mail_from = S("<>"), .rcpts = &r, .rcpt_count = 1 }, got;

	(void)state;
	assert_true(spool_envelope_read(&arena, written(&e), &got));
	want_same_envelope(&got, &e);
}

/* ---- what is no envelope ---- */

static char long_path[LIMIT_PATH + 2], long_orcpt[LIMIT_ORCPT + 2];
static unsigned char hash[64];

static void no_id(struct spool_envelope *e) { e->id = SLICE_NONE; }
static void id_with_a_slash(struct spool_envelope *e) { e->id = S("../x"); }
static void id_in_upper_case(struct spool_envelope *e) { e->id = S("4F"); }
static void id_of_33(struct spool_envelope *e) { e->id = S("012345678901234567890123456789012"); }
static void no_listener(struct spool_envelope *e) { e->listener = SLICE_NONE; }
static void line_end_in_listener(struct spool_envelope *e) { e->listener = S("a\nb"); }
static void before_1970(struct spool_envelope *e) { e->arrived_s = -1; }
static void no_sender(struct spool_envelope *e) { e->mail_from = SLICE_NONE; }
static void sender_without_brackets(struct spool_envelope *e) { e->mail_from = S("s@s.example"); }
static void sender_with_a_line_end(struct spool_envelope *e) { e->mail_from = S("<s@s.example>\r\nRCPT TO:<x>"); }
static void sender_with_nul(struct spool_envelope *e) { e->mail_from = slice_of("<\0>", 3); }
static void sender_too_long(struct spool_envelope *e) { e->mail_from = slice_str(long_path); }
static void ret_of_two_words(struct spool_envelope *e) { e->ret = S("FULL SIZE=1"); }
static void envid_with_a_space(struct spool_envelope *e) { e->envid = S("a b"); }
static void report_to_without_brackets(struct spool_envelope *e) { e->report_to = S("s@s.example"); }
static void no_recipient(struct spool_envelope *e) { e->rcpt_count = 0; }
static void empty_recipient(struct spool_envelope *e) { e->rcpts[1].path = SLICE_NONE; }
static void notify_of_two_words(struct spool_envelope *e) { e->rcpts[0].notify = S("NEVER X"); }
static void orcpt_too_long(struct spool_envelope *e) { e->rcpts[0].orcpt = slice_str(long_orcpt); }
static void group_too_high(struct spool_envelope *e) { e->rcpts[2].group = LIMIT_RCPT; }
static void found_but_not_judged(struct spool_envelope *e) { e->judged = false; }
static void no_such_state(struct spool_envelope *e) { e->chain_state = (enum dkim2_state)6; }
static void no_such_arc_state(struct spool_envelope *e) { e->arc_state = (enum arc_state)5; }
static void no_sha256(struct spool_envelope *e) { e->body_sha256 = slice_of(hash, 31); }
static void no_sha512(struct spool_envelope *e) { e->body_sha512 = slice_of(hash, 32); }

static void what_is_no_envelope_is_not_written(void **state)
{
	static const struct {
		const char *name;
		void (*spoil)(struct spool_envelope *e);
	} rows[] = {
#define ROW(f) { #f, f }
		ROW(no_id), ROW(id_with_a_slash), ROW(id_in_upper_case), ROW(id_of_33), ROW(no_listener), ROW(line_end_in_listener),
		ROW(before_1970), ROW(no_sender), ROW(sender_without_brackets), ROW(sender_with_a_line_end), ROW(sender_with_nul),
		ROW(sender_too_long), ROW(ret_of_two_words), ROW(envid_with_a_space), ROW(report_to_without_brackets), ROW(no_recipient),
		ROW(empty_recipient), ROW(notify_of_two_words), ROW(orcpt_too_long), ROW(group_too_high), ROW(found_but_not_judged),
		ROW(no_such_state), ROW(no_such_arc_state), ROW(no_sha256), ROW(no_sha512),
#undef ROW
	};

	(void)state;
	memset(long_path, 'x', LIMIT_PATH + 1);
	long_path[0] = '<';
	long_path[LIMIT_PATH] = '>';
	memset(long_orcpt, 'x', LIMIT_ORCPT + 1);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct spool_envelope e = sample_envelope();
		struct buf b;

		buf_init(&b, 1 << 20);
		rows[i].spoil(&e);
		if (spool_envelope_write(&b, &e))
			fail_msg("%s: written", rows[i].name);
		buf_release(&b);
	}
}

/* Items as they stand in the octets, so that they can be arranged otherwise. */
struct items {
	struct slice at[64];
	size_t n;
};

static struct items items_of(struct slice octets)
{
	struct items i = { .n = 0 };

	while (octets.n) {
		size_t n = 5 + ((size_t)octets.at[1] << 24 | (size_t)octets.at[2] << 16 | (size_t)octets.at[3] << 8 | octets.at[4]);

		assert_true(slice_take(&octets, n, &i.at[i.n++]));
	}
	return i;
}

static struct slice join(const struct items *i)
{
	struct slice octets;
	struct buf b;

	buf_init(&b, 1 << 20);
	for (size_t k = 0; k < i->n; k++)
		buf_slice(&b, i->at[k]);
	octets = arena_copy(&arena, buf_get(&b));
	buf_release(&b);
	return octets;
}

static bool is_rcpt(struct slice item)
{
	return item.at[0] == 17;
}

static void items_stand_in_order_and_once(void **state)
{
	struct spool_envelope e = sample_envelope(), got;
	struct items whole = items_of(written(&e));

	(void)state;
	for (size_t k = 0; k + 1 < whole.n; k++) {
		struct items i = whole;

		i.at[k] = whole.at[k + 1];
		i.at[k + 1] = whole.at[k];
		assert_int_equal(spool_envelope_read(&arena, join(&i), &got), is_rcpt(i.at[k]) && is_rcpt(i.at[k + 1]));
		i.at[k] = i.at[k + 1] = whole.at[k];
		if (!is_rcpt(whole.at[k]))
			assert_false(spool_envelope_read(&arena, join(&i), &got));
	}
}

static void what_is_needed_is_needed(void **state)
{
	static const unsigned char needed[] = { 1, 2, 3, 4, 5, 9, 12 };
	struct spool_envelope e = sample_envelope(), got;
	struct items whole = items_of(written(&e));

	(void)state;
	for (size_t k = 0; k < whole.n; k++) {
		struct items i = whole;

		memmove(i.at + k, i.at + k + 1, (i.n - k - 1) * sizeof(i.at[0]));
		i.n--;
		assert_int_equal(spool_envelope_read(&arena, join(&i), &got), memchr(needed, whole.at[k].at[0], sizeof(needed)) == NULL);
	}
}

static void a_later_version_may_add_what_can_be_skipped(void **state)
{
	struct spool_envelope e = sample_envelope(), got;
	struct items i = items_of(written(&e));

	(void)state;
	i.at[i.n++] = S("\x80\0\0\0\3new");
	assert_true(spool_envelope_read(&arena, join(&i), &got));
	want_same_envelope(&got, &e);
	i.at[i.n - 1] = S("\x12\0\0\0\3new");
	assert_false(spool_envelope_read(&arena, join(&i), &got));
}

static void every_length_of_an_envelope_but_one_is_refused(void **state)
{
	struct spool_envelope e = sample_envelope(), got;
	struct slice octets = written(&e);

	(void)state;
	for (size_t n = 0; n < octets.n; n++) {
		/* Cut behind a recipient, it is one with fewer: what keeps that from happening is the length in the head, and its checksum. */
		bool fewer = spool_envelope_read(&arena, slice_sub(octets, 0, n), &got);

		assert_true(!fewer || got.rcpt_count < e.rcpt_count);
	}
}

/* ---- property ---- */

static struct slice random_text(uint64_t *seed, size_t least, size_t most, bool spaces)
{
	size_t n = least + sample_random(seed) % (most - least + 1);
	unsigned char *at = arena_take(&arena, n);

	for (size_t i = 0; i < n; i++)
		do
			at[i] = (unsigned char)sample_random(seed);
		while (at[i] < 0x20 || at[i] == 0x7f || (at[i] == ' ' && !spaces));
	return slice_of(at, n);
}

static struct slice random_path(uint64_t *seed)
{
	struct slice text = random_text(seed, 0, 80, true);

	return arena_printf(&arena, "<%.*s>", SLICE_FMT(text));
}

static struct slice maybe(uint64_t *seed, struct slice s)
{
	return sample_random(seed) % 2 ? s : SLICE_NONE;
}

static struct spool_envelope random_envelope(uint64_t *seed)
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	struct spool_envelope e = { .arrived_s = sample_random(seed), .wanted = sample_random(seed), .judged = sample_random(seed) % 2 };
	uint32_t flags = sample_random(seed);

	e.id = slice_of(digits + sample_random(seed) % 4, 1 + sample_random(seed) % 32);
	e.listener = random_text(seed, 1, 255, true);
	e.mail_from = random_path(seed);
	e.body_8bit = flags & 1;
	e.smtputf8 = flags & 2;
	e.requiretls = flags & 4;
	e.known_client = flags & 8;
	e.arranged = flags & 16;
	e.report = flags & 32;
	e.dots = flags & 64;
	e.ret = maybe(seed, S("FULL"));
	e.envid = random_text(seed, 0, LIMIT_ENVID, false);
	e.client = maybe(seed, S("2001:db8::1"));
	e.report_to = maybe(seed, random_path(seed));
	e.report_why = maybe(seed, S("null_path"));
	if (e.judged) {
		e.chain_state = (enum dkim2_state)(sample_random(seed) % 6);
		e.chain_newest = (enum dkim2_state)(sample_random(seed) % 6);
		e.chain_level = (enum dkim2_level)(sample_random(seed) % 3);
		e.arc_state = (enum arc_state)(sample_random(seed) % 5);
		e.hop_count = sample_random(seed);
		e.instance_count = sample_random(seed);
		e.arc_instances = sample_random(seed);
		e.chain_exploded = flags & 128;
		e.authres = maybe(seed, random_text(seed, 1, 3000, true));
		e.body_sha256 = maybe(seed, random_text(seed, 32, 32, true));
		e.body_sha512 = maybe(seed, random_text(seed, 64, 64, true));
		e.body_relaxed_sha256 = maybe(seed, random_text(seed, 32, 32, true));
	}
	e.rcpt_count = 1 + sample_random(seed) % (sample_random(seed) % 20 ? 10 : LIMIT_RCPT);
	e.rcpts = ARENA_ARRAY(&arena, e.rcpt_count, struct spool_rcpt);
	for (size_t i = 0; i < e.rcpt_count; i++)
		e.rcpts[i] = (struct spool_rcpt){ random_path(seed), maybe(seed, S("NEVER")), random_text(seed, 0, 90, false), sample_random(seed) % LIMIT_RCPT };
	return e;
}

static void any_envelope_comes_back(void **state)
{
	uint64_t seed = 5;

	(void)state;
	for (int i = 0; i < 400; i++) {
		struct spool_envelope e = random_envelope(&seed), got;
		struct slice octets = written(&e);

		assert_true(spool_envelope_read(&arena, octets, &got));
		want_same_envelope(&got, &e);
		WANT_SLICE(written(&got), octets);
		arena_clear(&arena);
	}
}

static void an_envelope_that_does_not_fit_its_buf_fails(void **state)
{
	struct spool_envelope e = sample_envelope();
	size_t n = written(&e).n;

	(void)state;
	for (size_t ceiling = 0; ceiling <= n; ceiling++) {
		struct buf b;

		buf_init(&b, ceiling);
		assert_int_equal(spool_envelope_write(&b, &e), ceiling == n);
		assert_int_equal(buf_failed(&b), ceiling < n);
		buf_release(&b);
	}
}

/* ---- heads ---- */

/* Head, envelope, marks, content, filled up. */
static struct slice message(const struct spool_envelope *e, struct slice content, uint32_t header_octets, struct spool_head *h)
{
	struct slice envelope = written(e);
	unsigned char sum[DIGEST_OCTETS], *at;

	*h = (struct spool_head){ .envelope_octets = (uint32_t)envelope.n, .marks = (uint32_t)(1 + e->rcpt_count), .content_octets = content.n,
		.header_octets = header_octets };
	assert_int_equal(digest_once(DIGEST_SHA256, content, sum), 32);
	memcpy(h->content_sha256, sum, 32);
	at = arena_take(&arena, (size_t)spool_end_at(h));
	spool_head_write(at, &file, h, envelope);
	memcpy(at + SPOOL_HEAD, envelope.at, envelope.n);
	memset(at + spool_marks_at(h), SPOOL_WAITING, h->marks);
	memcpy(at + spool_content_at(h), content.at, content.n);
	return slice_of(at, (size_t)spool_end_at(h));
}

/* As a reader of files does it. */
static bool good(struct slice octets, const struct spool_file *of)
{
	unsigned char sum[DIGEST_OCTETS];
	struct spool_envelope e;
	struct spool_head h;
	struct slice envelope;

	if (!spool_head_read(octets, &h) || spool_end_at(&h) > octets.n)
		return false;
	envelope = slice_sub(octets, SPOOL_HEAD, h.envelope_octets);
	return spool_head_fits(of, octets, envelope) && spool_marks(slice_sub(octets, (size_t)spool_marks_at(&h), h.marks)) &&
	    spool_envelope_read(&arena, envelope, &e) &&
	    digest_once(DIGEST_SHA256, slice_sub(octets, (size_t)spool_content_at(&h), (size_t)h.content_octets), sum) == 32 &&
	    memcmp(sum, h.content_sha256, 32) == 0;
}

static void every_flipped_bit_is_noticed(void **state)
{
	struct spool_envelope e = sample_envelope();
	struct spool_head h;
	struct slice m = message(&e, S("Subject: x\r\n\r\nbody\r\n"), 12, &h);
	unsigned char *at = (unsigned char *)(uintptr_t)m.at;
	size_t end = (size_t)(spool_content_at(&h) + h.content_octets);

	(void)state;
	assert_true(good(m, &file));
	for (size_t i = 0; i < end; i++)
		for (int bit = 0; bit < 8; bit++) {
			at[i] ^= (unsigned char)(1 << bit);
			if (good(m, &file))
				fail_msg("octet %zu, bit %d", i, bit);
			at[i] ^= (unsigned char)(1 << bit);
		}
	assert_true(good(m, &file));
}

static void every_cut_is_noticed(void **state)
{
	struct spool_envelope e = sample_envelope();
	struct spool_head h;
	struct slice m = message(&e, S("Subject: x\r\n\r\nbody\r\n"), 12, &h);

	(void)state;
	for (size_t n = 0; n < m.n; n++)
		assert_false(good(slice_sub(m, 0, n), &file));
}

static void a_message_of_another_file_does_not_fit(void **state)
{
	struct spool_envelope e = sample_envelope();
	struct spool_file other = file;
	struct spool_head h;
	struct slice m = message(&e, S("\r\nbody\r\n"), 0, &h);

	(void)state;
	other.key[15] ^= 1;
	assert_true(good(m, &file));
	assert_false(good(m, &other));
}

static void lengths_are_within_limits(void **state)
{
	static const struct {
		const char *name;
		struct spool_head h;
		bool good;
	} rows[] = {
		{ "least", { 1, 2, 0, 0, { 0 } }, true },
		{ "most", { LIMIT_SPOOL_ENVELOPE, 1 + LIMIT_RCPT, (uint64_t)1 << 40, UINT32_MAX, { 0 } }, true },
		{ "no envelope", { 0, 2, 0, 0, { 0 } }, false },
		{ "envelope too big", { LIMIT_SPOOL_ENVELOPE + 1, 2, 0, 0, { 0 } }, false },
		{ "no recipient's mark", { 1, 1, 0, 0, { 0 } }, false },
		{ "too many marks", { 1, 2 + LIMIT_RCPT, 0, 0, { 0 } }, false },
		{ "content that would wrap", { 1, 2, UINT64_MAX, 0, { 0 } }, false },
		{ "header longer than content", { 1, 2, 9, 10, { 0 } }, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unsigned char octets[SPOOL_HEAD];
		struct spool_head got;

		spool_head_write(octets, &file, &rows[i].h, S("x"));
		if (spool_head_read(slice_of(octets, SPOOL_HEAD), &got) != rows[i].good)
			fail_msg("%s", rows[i].name);
		if (rows[i].good) {
			assert_int_equal(spool_end_at(&got) % SPOOL_ALIGN, 0);
			assert_true(spool_end_at(&got) - spool_content_at(&got) - got.content_octets < SPOOL_ALIGN);
		}
	}
}

static void marks_are_what_they_may_be(void **state)
{
	static const struct {
		const char *marks;
		bool good;
	} rows[] = { { "..", true }, { "H.", true }, { "x.", true }, { ".dFr.", true }, { "", false }, { ".", false }, { "d.", false }, { ".H", false },
		{ ".x", false }, { ". ", false }, { "..D", false } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (spool_marks(slice_str(rows[i].marks)) != rows[i].good)
			fail_msg("\"%s\"", rows[i].marks);
}

static void every_flipped_bit_of_a_mark_is_noticed(void **state)
{
	static const char *const rows[] = { ".....", "H.dFr", "x.dFr" };

	(void)state;
	for (size_t i = 0; i < 3; i++)
		for (size_t bit = 0; bit < 40; bit++) {
			unsigned char marks[5];

			memcpy(marks, rows[i], 5);
			assert_true(spool_marks(slice_of(marks, 5)));
			marks[bit / 8] ^= (unsigned char)(1 << bit % 8);
			if (spool_marks(slice_of(marks, 5)))
				fail_msg("%s, bit %zu", rows[i], bit);
		}
}

static void the_head_of_a_file_comes_back_or_is_noticed(void **state)
{
	unsigned char octets[SPOOL_ALIGN];
	struct spool_file got;

	(void)state;
	spool_file_write(octets, &file);
	assert_true(spool_file_read(slice_of(octets, SPOOL_ALIGN), &got));
	assert_memory_equal(got.key, file.key, SPOOL_KEY);
	assert_int_equal(got.messages, file.messages);
	assert_int_equal(got.octets, file.octets);
	for (size_t n = 0; n < SPOOL_ALIGN; n++)
		assert_false(spool_file_read(slice_of(octets, n), &got));
	for (size_t i = 0; i < SPOOL_ALIGN * 8; i++) {
		octets[i / 8] ^= (unsigned char)(1 << i % 8);
		if (spool_file_read(slice_of(octets, SPOOL_ALIGN), &got))
			fail_msg("octet %zu, bit %zu", i / 8, i % 8);
		octets[i / 8] ^= (unsigned char)(1 << i % 8);
	}
}

static void the_key_of_a_damaged_head_can_be_had(void **state)
{
	unsigned char octets[SPOOL_ALIGN];
	struct spool_file got;

	(void)state;
	spool_file_write(octets, &file);
	octets[25] ^= 1;
	assert_false(spool_file_read(slice_of(octets, SPOOL_ALIGN), &got));
	assert_true(spool_file_key(slice_of(octets, SPOOL_ALIGN), &got));
	assert_memory_equal(got.key, file.key, SPOOL_KEY);
	assert_false(spool_file_key(slice_of(octets, SPOOL_ALIGN - 1), &got));
}

/* ---- names, notices, notes ---- */

static void names_are_24_hexadecimal_digits(void **state)
{
	static const struct {
		const char *name;
		bool good;
	} rows[] = { { "0192f0c1a2b3000700000001", true }, { "0192f0c1a2b300070000000", false }, { "0192f0c1a2b30007000000011", false },
		{ "0192F0C1A2B3000700000001", false }, { "0192f0c1a2b30007000000/1", false }, { "", false } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(spool_name(slice_str(rows[i].name)), rows[i].good);
}

static void a_notice_holds_names_until_it_is_full(void **state)
{
	struct buf b;
	struct slice packet, name;
	size_t n = 0;

	(void)state;
	buf_init(&b, SPOOL_NOTICE * 2);
	assert_false(spool_notice_add(&b, S("x")));
	assert_int_equal(b.n, 0);
	for (; spool_notice_add(&b, arena_printf(&arena, "%024zx", n)); n++)
		;
	assert_int_equal(n, (SPOOL_NOTICE - 1) / SPOOL_NAME);
	assert_int_equal(b.at[0], SPOOL_FILES);
	packet = slice_sub(buf_get(&b), 1, SIZE_MAX);
	for (size_t i = 0; i < n; i++) {
		assert_true(spool_notice_next(&packet, &name));
		WANT_SLICE(name, arena_printf(&arena, "%024zx", i));
	}
	assert_false(spool_notice_next(&packet, &name));
	packet = S("0192f0c1a2b30007000000010192");
	assert_true(spool_notice_next(&packet, &name));
	assert_false(spool_notice_next(&packet, &name));
	assert_int_equal(packet.n, 4);
	buf_release(&b);
}

static void a_note_comes_back_or_is_noticed(void **state)
{
	static const size_t lengths[] = { 0, 1, 77 };

	(void)state;
	for (size_t k = 0; k < 3; k++) {
		unsigned char octets[SPOOL_NOTE_HEAD + 77] = { 0 };
		size_t n = SPOOL_NOTE_HEAD + lengths[k];
		struct slice got;

		memset(octets + SPOOL_NOTE_HEAD, 'n', 77);
		spool_note_write(octets, slice_of(octets + SPOOL_NOTE_HEAD, lengths[k]));
		assert_true(spool_note_read(slice_of(octets, n), &got));
		WANT_SLICE(got, slice_of(octets + SPOOL_NOTE_HEAD, lengths[k]));
		for (size_t cut = 0; cut < n; cut++)
			assert_false(spool_note_read(slice_of(octets, cut), &got));
		for (size_t i = 0; i < n * 8; i++) {
			octets[i / 8] ^= (unsigned char)(1 << i % 8);
			if (spool_note_read(slice_of(octets, n), &got))
				fail_msg("octet %zu, bit %zu", i / 8, i % 8);
			octets[i / 8] ^= (unsigned char)(1 << i % 8);
		}
	}
}

/* ---- proto/spool.md ---- */

static void the_contract_shows_what_is_written(void **state)
{
	static const unsigned char digits[] = "0123456789abcdef";
	struct spool_rcpt rcpts[] = { { S("<b@b.example>"), S("NEVER"), SLICE_NONE, 0 }, { S("<c@c.example>"), SLICE_NONE, S("rfc822;x@c.example"), 1 } };
	struct spool_envelope e = {
		.id = S("4f7a1c9k2"), .listener = S("out"), .arrived_s = 1790000000, .mail_from = S("<a@a.example>"), .body_8bit = true,
		.known_client = true, .client = S("192.0.2.7"), .wanted = 2, .report_to = S("<a@a.example>"), .judged = true, .chain_state = DKIM2_PASS,
		.chain_newest = DKIM2_PASS, .hop_count = 1, .instance_count = 1, .rcpts = rcpts, .rcpt_count = 2,
	};
	struct spool_file example_file = { .messages = 1, .octets = 1024 };
	unsigned char octets[SPOOL_ALIGN];
	struct slice whole, name = S("0192f0c1a2b3000700000001");
	struct spool_head h;
	struct buf b;

	(void)state;
	memcpy(example_file.key, digits, SPOOL_KEY);
	memcpy(file.key, digits, SPOOL_KEY);
	spool_file_write(octets, &example_file);
	buf_init(&b, EXAMPLE_OCTETS);
	buf_add(&b, octets, 64);
	want_example(&b, "spool.md", "head of a file");
	whole = message(&e, S("Subject: x\r\n\r\nbody\r\n"), 12, &h);
	assert_int_equal(whole.n, example_file.octets - SPOOL_ALIGN);
	buf_init(&b, EXAMPLE_OCTETS);
	buf_slice(&b, slice_sub(whole, 0, (size_t)(spool_content_at(&h) + h.content_octets)));
	want_example(&b, "spool.md", "message");
	buf_init(&b, EXAMPLE_OCTETS);
	assert_true(spool_notice_add(&b, name));
	want_example(&b, "spool.md", "notice");
	spool_note_write(octets, S("note"));
	buf_init(&b, EXAMPLE_OCTETS);
	buf_add(&b, octets, SPOOL_NOTE_HEAD);
	buf_str(&b, "note");
	want_example(&b, "spool.md", "note");
}

/* Vectors of SipHash-2-4 by its authors: what proto/spool.md says is what another program would compute. */
static void the_checksum_is_siphash(void **state)
{
	static const uint64_t seed[2] = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };
	unsigned char octets[15];

	(void)state;
	for (unsigned char i = 0; i < 15; i++)
		octets[i] = i;
	assert_true(map_hash(seed, SLICE_NONE) == 0x726fdb47dd0e0e31);
	assert_true(map_hash(seed, slice_of(octets, 8)) == 0x93f5f5799a932462);
	assert_true(map_hash(seed, slice_of(octets, 15)) == 0xa129ca6149be45e5);
}

#define T(f) cmocka_unit_test_setup_teardown(f, fresh_arena, drop_arena)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(an_envelope_comes_back),
		T(the_least_envelope_comes_back),
		T(what_is_no_envelope_is_not_written),
		T(items_stand_in_order_and_once),
		T(what_is_needed_is_needed),
		T(a_later_version_may_add_what_can_be_skipped),
		T(every_length_of_an_envelope_but_one_is_refused),
		T(any_envelope_comes_back),
		T(an_envelope_that_does_not_fit_its_buf_fails),
		T(every_flipped_bit_is_noticed),
		T(every_cut_is_noticed),
		T(a_message_of_another_file_does_not_fit),
		T(lengths_are_within_limits),
		T(marks_are_what_they_may_be),
		T(every_flipped_bit_of_a_mark_is_noticed),
		T(the_head_of_a_file_comes_back_or_is_noticed),
		T(the_key_of_a_damaged_head_can_be_had),
		T(names_are_24_hexadecimal_digits),
		T(a_notice_holds_names_until_it_is_full),
		T(a_note_comes_back_or_is_noticed),
		T(the_contract_shows_what_is_written),
		T(the_checksum_is_siphash),
	};

	return RUN_TESTS(tests);
}
