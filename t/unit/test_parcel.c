/* Texts in pieces over a SOCK_SEQPACKET pair. */
#include "test.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "daemon/parcel.h"

static struct parcel one, other;
static unsigned char octets[LIMIT_PARCEL + 1];

static int pair(void **state)
{
	int ends[2];

	(void)state;
	for (size_t i = 0; i < sizeof(octets); i++)
		octets[i] = (unsigned char)(i * 7 + i / 251);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	parcel_init(&one);
	parcel_init(&other);
	parcel_set(&one, ends[0]);
	parcel_set(&other, ends[1]);
	return 0;
}

static int unpair(void **state)
{
	(void)state;
	parcel_release(&one);
	parcel_release(&other);
	return 0;
}

/* Reads and writes in turn until there is a text. */
static struct slice carried(uint32_t *ticket_out)
{
	struct slice text;
	int got;

	do {
		assert_true(parcel_write(&one));
		got = parcel_read(&other, ticket_out, &text);
	} while (got == 0);
	assert_int_equal(got, 1);
	return text;
}

static void texts_of_any_length(void **state)
{
	static const size_t lengths[] = { 0, 1, 16383, 16384, 16385, 32768, 300000, LIMIT_PARCEL };
	uint32_t ticket;

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		assert_true(parcel_send(&one, (uint32_t)i + 7, slice_of(octets, lengths[i])));
		WANT_SLICE(carried(&ticket), slice_of(octets, lengths[i]));
		assert_int_equal(ticket, i + 7);
		assert_false(parcel_waits(&one));
	}
}

static void texts_behind_each_other(void **state)
{
	uint32_t ticket;

	(void)state;
	for (uint32_t i = 0; i < 20; i++)
		assert_true(parcel_send(&one, i, slice_of(octets + i, 10000 * i)));
	for (uint32_t i = 0; i < 20; i++) {
		WANT_SLICE(carried(&ticket), slice_of(octets + i, 10000 * i));
		assert_int_equal(ticket, i);
	}
}

/* Who is not read holds so much, and not more; what was taken arrives whole. */
static void nobody_reads(void **state)
{
	uint32_t taken = 0, ticket;

	(void)state;
	while (parcel_send(&one, taken, slice_of(octets, 100000))) {
		taken++;
		assert_true(parcel_write(&one) && taken < 100);
	}
	assert_true(taken >= LIMIT_PARCEL_UNSENT / 100100 && parcel_waits(&one));
	for (uint32_t i = 0; i < taken; i++) {
		WANT_SLICE(carried(&ticket), slice_of(octets, 100000));
		assert_int_equal(ticket, i);
	}
	assert_true(parcel_send(&one, 0, S("again")));
	WANT_SLICE(carried(&ticket), S("again"));
}

static void longer_than_it_may_be(void **state)
{
	struct slice text;
	uint32_t ticket;
	int got;

	(void)state;
	assert_true(parcel_send(&one, 1, slice_of(octets, LIMIT_PARCEL + 1)));
	do
		assert_true(parcel_write(&one));
	while ((got = parcel_read(&other, &ticket, &text)) == 0);
	assert_int_equal(got, -1);
}

static void what_is_no_parcel(void **state)
{
	static const struct {
		const char *name;
		struct slice packet;
	} rows[] = {
		{ "shorter than its head", { (const unsigned char *)"1234567", 7 } },
		{ "neither the last piece nor another", { (const unsigned char *)"\0\0\0\0\2\0\0\0x", 9 } },
		{ "longer than a piece", { octets, 16384 + 8 + 1 } },
	};
	struct slice text;
	uint32_t ticket;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(send(one.fd, rows[i].packet.at, rows[i].packet.n, 0), (ssize_t)rows[i].packet.n);
		if (parcel_read(&other, &ticket, &text) != -1)
			fail_msg("%s is taken", rows[i].name);
		unpair(state);
		pair(state);
	}
}

static void the_other_end_is_gone(void **state)
{
	struct slice text;
	uint32_t ticket;

	(void)state;
	assert_true(parcel_send(&one, 1, S("x")));
	parcel_set(&other, -1);
	assert_false(parcel_write(&one));
	assert_int_equal(parcel_read(&one, &ticket, &text), -1);
	/* Without a channel nothing is taken, and nothing comes. */
	parcel_set(&one, -1);
	assert_false(parcel_send(&one, 1, S("x")));
	assert_true(parcel_write(&one));
	assert_int_equal(parcel_read(&one, &ticket, &text), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(texts_of_any_length, pair, unpair),
		cmocka_unit_test_setup_teardown(texts_behind_each_other, pair, unpair),
		cmocka_unit_test_setup_teardown(nobody_reads, pair, unpair),
		cmocka_unit_test_setup_teardown(longer_than_it_may_be, pair, unpair),
		cmocka_unit_test_setup_teardown(what_is_no_parcel, pair, unpair),
		cmocka_unit_test_setup_teardown(the_other_end_is_gone, pair, unpair),
	};

	return RUN_TESTS(tests);
}
