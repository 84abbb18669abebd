/* Messages between our processes: the octets that proto/ promises, and nothing that is not well formed. */
#include "example.h"

#include "base/limits.h"
#include "net/ipc.h"
#include "net/ticket.h"

static const unsigned char digest[32] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
	26, 27, 28, 29, 30, 31 };
static const struct slice txt[] = { { (const unsigned char *)"v=spf", 5 }, { NULL, 0 } };

static void questions(struct buf *b)
{
	buf_init(b, LIMIT_IPC);
	ipc_begin(b, IPC_QUESTIONS);
	assert_true(ipc_add_question(b, &(struct ipc_question){ 9, 16, 25000, S("a.test") }));
	assert_true(ipc_add_question(b, &(struct ipc_question){ 10, 15, 1, S("b") }));
}

static void answers(struct buf *b)
{
	buf_init(b, LIMIT_IPC);
	ipc_begin(b, IPC_ANSWERS);
	assert_true(ipc_add_answer(b, &(struct ipc_answer){ .ticket = 9, .qtype = 16, .status = DNS_OK, .secure = true, .ttl_s = 300,
	    .records = txt, .record_count = 2 }));
	assert_true(ipc_add_answer(b, &(struct ipc_answer){ .ticket = 10, .qtype = 15, .status = DNS_NXDOMAIN, .ttl_s = 60 }));
}

static void sign(struct buf *b)
{
	buf_init(b, LIMIT_IPC);
	ipc_begin(b, IPC_SIGN);
	assert_true(ipc_add_sign(b, &(struct ipc_sign){ 0x100000007, KEY_ED25519, S("a.example"), S("s1"), digest }));
}

static void done(struct buf *b)
{
	buf_init(b, LIMIT_IPC);
	ipc_begin(b, IPC_SIGNED);
	assert_true(ipc_add_signed(b, &(struct ipc_signed){ 0x100000007, IPC_SIGNED_DONE, S("\xaa\xbb\xcc") }));
	assert_true(ipc_add_signed(b, &(struct ipc_signed){ 8, IPC_SIGNED_REFUSED, SLICE_NONE }));
}

static void octets_are_those_of_the_contract(void **state)
{
	struct buf b;

	(void)state;
	questions(&b);
	want_example(&b, "resolver.md", "questions");
	answers(&b);
	want_example(&b, "resolver.md", "answers");
	sign(&b);
	want_example(&b, "keeper.md", "sign");
	done(&b);
	want_example(&b, "keeper.md", "signed");
}

static void what_was_written_is_read(void **state)
{
	struct ipc_question q;
	struct ipc_answer a;
	struct ipc_sign s;
	struct ipc_signed d;
	struct ipc_in in;
	struct slice record;
	struct buf b;

	(void)state;
	questions(&b);
	assert_true(ipc_open(buf_get(&b), IPC_QUESTIONS, &in));
	assert_true(ipc_next_question(&in, &q));
	assert_true(q.ticket == 9 && q.qtype == 16 && q.timeout_ms == 25000);
	WANT_SLICE(q.name, S("a.test"));
	assert_true(ipc_next_question(&in, &q));
	assert_true(q.ticket == 10 && q.qtype == 15 && q.timeout_ms == 1);
	assert_false(ipc_next_question(&in, &q));
	buf_release(&b);
	answers(&b);
	assert_true(ipc_open(buf_get(&b), IPC_ANSWERS, &in));
	assert_true(ipc_next_answer(&in, &a));
	assert_true(a.ticket == 9 && a.status == DNS_OK && a.secure && a.ttl_s == 300 && a.record_count == 2);
	assert_true(ipc_record(&a, &record));
	WANT_SLICE(record, S("v=spf"));
	assert_true(ipc_record(&a, &record));
	assert_int_equal(record.n, 0);
	assert_false(ipc_record(&a, &record));
	assert_true(ipc_next_answer(&in, &a));
	assert_true(a.ticket == 10 && a.status == DNS_NXDOMAIN && !a.secure && a.record_count == 0);
	assert_false(ipc_next_answer(&in, &a));
	buf_release(&b);
	sign(&b);
	assert_true(ipc_open(buf_get(&b), IPC_SIGN, &in));
	assert_true(ipc_next_sign(&in, &s));
	assert_true(s.ticket == 0x100000007 && s.type == KEY_ED25519);
	WANT_SLICE(s.domain, S("a.example"));
	WANT_SLICE(s.selector, S("s1"));
	assert_memory_equal(s.digest, digest, 32);
	buf_release(&b);
	done(&b);
	assert_true(ipc_open(buf_get(&b), IPC_SIGNED, &in));
	assert_true(ipc_next_signed(&in, &d));
	assert_true(d.ticket == 0x100000007 && d.status == IPC_SIGNED_DONE);
	WANT_SLICE(d.signature, S("\xaa\xbb\xcc"));
	assert_true(ipc_next_signed(&in, &d));
	assert_true(d.ticket == 8 && d.status == IPC_SIGNED_REFUSED && d.signature.n == 0);
	buf_release(&b);
}

/* Every shorter cut, an octet too many, another kind, and each octet changed to each value: refused, or still well formed. */
static void nothing_else_is_read(void **state)
{
	static void (*const make[])(struct buf *) = { NULL, questions, answers, sign, done };

	(void)state;
	for (unsigned kind = IPC_QUESTIONS; kind <= IPC_SIGNED; kind++) {
		struct ipc_in in;
		struct buf b;
		size_t n;

		make[kind](&b);
		n = b.n;
		for (size_t cut = 0; cut < n; cut++) {
			/* Its own allocation, so that a sanitizer sees a read behind it. */
			unsigned char *copy = malloc(cut + 1);

			assert_non_null(copy);
			memcpy(copy, b.at, cut);
			copy = realloc(copy, cut > 0 ? cut : 1);
			assert_non_null(copy);
			if (ipc_open(slice_of(copy, cut), (enum ipc_kind)kind, &in))
				fail_msg("kind %u cut at %zu is taken", kind, cut);
			free(copy);
		}
		for (unsigned other = IPC_QUESTIONS; other <= IPC_SIGNED; other++)
			assert_int_equal(ipc_open(buf_get(&b), (enum ipc_kind)other, &in), other == kind);
		for (size_t at = 0; at < n; at++) {
			unsigned char was = b.at[at];

			for (unsigned v = 0; v < 256; v++) {
				struct ipc_answer a;
				struct slice record;

				b.at[at] = (unsigned char)v;
				if (!ipc_open(buf_get(&b), (enum ipc_kind)kind, &in))
					continue;
				assert_true(at >= 2 || v == was);
				while (kind == IPC_ANSWERS && ipc_next_answer(&in, &a)) {
					size_t records = 0;

					while (ipc_record(&a, &record))
						records++;
					assert_int_equal(records, a.record_count);
				}
			}
			b.at[at] = was;
		}
		buf_octet(&b, 0);
		assert_false(ipc_open(buf_get(&b), (enum ipc_kind)kind, &in));
		buf_release(&b);
	}
}

static void a_full_message_stays_whole(void **state)
{
	static unsigned char big[65535];
	struct slice one = slice_of(big, sizeof(big));
	struct ipc_answer a = { .ticket = 1, .qtype = 16, .records = &one, .record_count = 1 };
	struct ipc_in in;
	struct buf b;
	unsigned n = 0;

	(void)state;
	buf_init(&b, LIMIT_IPC);
	ipc_begin(&b, IPC_ANSWERS);
	assert_true(ipc_add_answer(&b, &a));
	assert_false(ipc_add_answer(&b, &a)); /* 24 octets too many */
	assert_false(buf_failed(&b));
	one.n = 65000;
	assert_true(ipc_add_answer(&b, &a));
	assert_true(ipc_open(buf_get(&b), IPC_ANSWERS, &in));
	assert_int_equal(in.left, 2);
	buf_clear(&b);
	assert_int_equal(ipc_count(&b), 0);
	assert_false(ipc_add_question(&b, &(struct ipc_question){ 1, 16, 1, S("a") })); /* not begun */
	ipc_begin(&b, IPC_QUESTIONS);
	while (ipc_add_question(&b, &(struct ipc_question){ 1, 16, 1, S("a") }))
		n++;
	assert_int_equal(n, LIMIT_IPC_BATCH);
	assert_int_equal(ipc_count(&b), LIMIT_IPC_BATCH);
	assert_true(ipc_open(buf_get(&b), IPC_QUESTIONS, &in));
	buf_release(&b);
}

static void a_ticket_stands_for_one_object_once(void **state)
{
	struct tickets t = { 0 };
	int things[200];
	uint64_t first, second, all[200];

	(void)state;
	first = ticket_new(&t, &things[0]);
	assert_true(first != 0);
	assert_ptr_equal(ticket_get(&t, first), &things[0]);
	assert_null(ticket_get(&t, 0));
	assert_null(ticket_get(&t, first + 1));
	assert_null(ticket_get(&t, first + ((uint64_t)1 << 32)));
	assert_ptr_equal(ticket_take(&t, first), &things[0]);
	assert_null(ticket_take(&t, first));
	second = ticket_new(&t, &things[1]); /* the same place */
	assert_int_equal((uint32_t)first, (uint32_t)second);
	assert_null(ticket_get(&t, first));
	assert_ptr_equal(ticket_take(&t, second), &things[1]);
	for (size_t i = 0; i < 200; i++)
		all[i] = ticket_new(&t, &things[i]);
	assert_int_equal(t.open, 200);
	for (size_t i = 0; i < 200; i++)
		assert_ptr_equal(ticket_take(&t, all[i]), &things[i]);
	assert_int_equal(t.open, 0);
	tickets_release(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(octets_are_those_of_the_contract),
		cmocka_unit_test(what_was_written_is_read),
		cmocka_unit_test(nothing_else_is_read),
		cmocka_unit_test(a_full_message_stays_whole),
		cmocka_unit_test(a_ticket_stands_for_one_object_once),
	};

	return RUN_TESTS(tests);
}
