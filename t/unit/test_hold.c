/* Content while it is judged: one boundary, memory then a file, limits. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "test.h"

#include "net/listen.h"
#include "net/rate.h"
#include "relay/hold.h"

static struct conf conf;
static struct hold_budget budget;
static char dir[] = "/tmp/hold.XXXXXX";

static int set_up(void **state)
{
	(void)state;
	conf.limits.message_octets = 1 << 20;
	conf.limits.header_octets = 65536;
	conf.limits.header_fields = 30000;
	conf.limits.body_memory_octets = 100000;
	budget = (struct hold_budget){ .conf = &conf, .body_octets = 1 << 30, .ceiling_octets = 1U << 31, .counts = count_page_new() };
	if (!budget.counts || !mkdtemp(dir))
		return -1;
	budget.spool_fd = open(dir, O_RDONLY | O_DIRECTORY);
	return budget.spool_fd < 0;
}

/* Nothing may be left in it: body files have no name. */
static int tear_down(void **state)
{
	(void)state;
	close(budget.spool_fd);
	return rmdir(dir);
}

/* Adds in pieces of `step` octets; gives everything back as one buffer. */
static struct hold *feed(struct slice all, size_t step, struct buf *body_seen, struct fault *f)
{
	struct hold *h = hold_new(&budget, 0);
	struct slice piece, body;

	assert_non_null(h);
	while (all.n) {
		assert_true(slice_take(&all, step < all.n ? step : all.n, &piece));
		if (!hold_add(h, piece, &body, f))
			return h;
		buf_slice(body_seen, body);
	}
	assert_true(hold_end(h, f));
	return h;
}

static void gather(struct hold *h, struct buf *out)
{
	struct slice run;
	bool done;

	buf_slice(out, hold_header(h, &done));
	assert_true(done);
	for (size_t i = 0; hold_run(h, i, &run); i++)
		buf_slice(out, run);
}

static void any_split_gives_the_same(void **state)
{
	static const char *const messages[] = { "A: b\r\n\r\nbody\r\n", "\r\nbody\r\n", "A: b\r\n", "A: b\r\n\r\n", "A: b\r\n\r\n\r\n\r\nx\r\n", "" };

	(void)state;
	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++)
		for (size_t step = 1; step <= strlen(messages[i]) + 1; step++) {
			struct slice all = slice_str(messages[i]);
			const char *split = strncmp(messages[i], "\r\n", 2) == 0 ? messages[i] : strstr(messages[i], "\r\n\r\n");
			struct buf body, out;
			struct fault f = { 0 };
			struct hold *h;

			buf_init(&body, 1000);
			buf_init(&out, 1000);
			h = feed(all, step, &body, &f);
			gather(h, &out);
			WANT_SLICE(buf_get(&out), all);
			assert_int_equal(hold_octets(h), all.n);
			WANT_SLICE(buf_get(&body), split ? slice_str(split == messages[i] ? split + 2 : split + 4) : SLICE_NONE);
			hold_free(&h);
			buf_release(&body);
			buf_release(&out);
		}
	assert_int_equal(budget.held_octets, 0);
}

static void big_content_goes_to_a_file_unchanged(void **state)
{
	struct fault f = { 0 };
	struct buf in, body, out;
	struct hold *h;

	(void)state;
	buf_init(&in, 1 << 20);
	buf_init(&body, 1 << 20);
	buf_init(&out, 1 << 20);
	buf_str(&in, "Subject: x\r\n\r\n");
	for (unsigned i = 0; in.n < 300000; i++)
		buf_printf(&in, "line %u\r\n", i);
	h = feed(buf_get(&in), 4096, &body, &f);
	assert_true(hold_in_file(h));
	gather(h, &out);
	assert_true(slice_eq(buf_get(&out), buf_get(&in)));
	assert_true(budget.held_octets < 100); /* the header */
	hold_free(&h);
	/* and the same when the worker's memory is used up */
	conf.limits.body_memory_octets = 1 << 20;
	budget.body_octets = 65536;
	h = feed(buf_get(&in), 5000, &body, &f);
	assert_true(hold_in_file(h));
	hold_free(&h);
	budget.body_octets = 1 << 30;
	h = feed(buf_get(&in), 65536, &body, &f);
	assert_false(hold_in_file(h));
	assert_true(budget.held_octets >= 300000);
	hold_free(&h);
	assert_int_equal(budget.held_octets, 0);
	conf.limits.body_memory_octets = 100000;
	buf_release(&in);
	buf_release(&body);
	buf_release(&out);
}

static void a_body_in_memory_costs_about_what_it_is(void **state)
{
	static const size_t sizes[] = { 1, 4096, 4097, 10240, 70000, 99000 }, steps[] = { 700, 4097, 10300, 65536 };
	struct fault f = { 0 };
	struct buf in, body, out;

	(void)state;
	buf_init(&in, 1 << 20);
	buf_init(&body, 1 << 20);
	buf_init(&out, 1 << 20);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (size_t k = 0; k < sizeof(steps) / sizeof(steps[0]); k++) {
			struct hold *h;

			buf_clear(&in);
			buf_clear(&out);
			buf_clear(&body);
			buf_str(&in, "Subject: x\r\n\r\n");
			for (size_t n = 0; n < sizes[i]; n++)
				buf_octet(&in, (unsigned char)(n * 31 + n / 251));
			h = feed(buf_get(&in), steps[k], &body, &f);
			assert_false(hold_in_file(h));
			assert_in_range(budget.held_octets, sizes[i], sizes[i] * 2 + 4096 + 100);
			gather(h, &out);
			assert_true(slice_eq(buf_get(&out), buf_get(&in)));
			hold_free(&h);
			assert_int_equal(budget.held_octets, 0);
		}
	buf_release(&in);
	buf_release(&body);
	buf_release(&out);
}

static void a_size_that_was_said_is_worth_more_memory(void **state)
{
	static const struct {
		uint64_t said;
		size_t in_memory;
	} rows[] = { { 0, 100000 }, { 50000, 100000 }, { 300000, 300000 }, { 5000000, 100000 * HOLD_SAID } };
	static const unsigned char block[1000];
	struct slice body;
	struct fault f = { 0 };

	(void)state;
	conf.limits.message_octets = 1 << 24;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct hold *h = hold_new(&budget, rows[i].said);
		size_t n = 0;

		assert_true(hold_add(h, S("A: b\r\n\r\n"), &body, &f));
		for (; !hold_in_file(h); n += sizeof(block))
			assert_true(hold_add(h, slice_of(block, sizeof(block)), &body, &f));
		assert_int_equal(n, rows[i].in_memory + sizeof(block));
		hold_free(&h);
	}
	conf.limits.message_octets = 1 << 20;
}

static long resident_file_kib(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[200];
	long kib = -1;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		(void)sscanf(line, "RssFile: %ld", &kib);
	fclose(f);
	assert_true(kib >= 0);
	return kib;
}

static void a_file_is_in_memory_a_part_at_a_time(void **state)
{
	struct fault f = { 0 };
	struct buf in, body;
	struct slice run, rest;
	struct hold *h;
	long before, most = 0;

	(void)state;
	conf.limits.message_octets = 1 << 24;
	buf_init(&in, 1 << 24);
	buf_init(&body, 1 << 24);
	buf_str(&in, "Subject: x\r\n\r\n");
	for (unsigned i = 0; in.n < 8000000; i++)
		buf_printf(&in, "line %u\r\n", i);
	h = feed(buf_get(&in), 65536, &body, &f);
	assert_true(hold_in_file(h));
	rest = slice_sub(buf_get(&in), in.n - body.n - 2, SIZE_MAX);
	before = resident_file_kib();
	for (size_t i = 0; hold_run(h, i, &run); i++) {
		struct slice piece;

		assert_true(slice_take(&rest, run.n, &piece) && slice_eq(run, piece));
		most = resident_file_kib() - before > most ? resident_file_kib() - before : most;
	}
	assert_int_equal(rest.n, 0);
	assert_in_range(most, 256, 1024);
	hold_free(&h);
	conf.limits.message_octets = 1 << 20;
	buf_release(&in);
	buf_release(&body);
}

/* What a body of stuffed lines is cut into. */
static void small_runs_keep_their_order(void **state)
{
	static const size_t steps[] = { 1, 60, 1024, 1025, 5000, 9000, 70000 };
	struct fault f = { 0 };
	struct buf in, body, out;

	(void)state;
	conf.limits.body_memory_octets = 4096;
	buf_init(&in, 1 << 20);
	buf_init(&body, 1 << 20);
	buf_init(&out, 1 << 20);
	buf_str(&in, "Subject: x\r\n\r\n");
	for (unsigned i = 0; in.n < 200000; i++)
		buf_printf(&in, "line %u\r\n", i);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) * 2; i++) {
		struct slice all = buf_get(&in), piece, part;
		struct hold *h = hold_new(&budget, 0);

		for (size_t k = 0; all.n; k++) { /* of two sizes in turn, or of one */
			size_t n = k % 2 && i % 2 ? steps[(i / 2 + 3) % 7] : steps[i / 2];

			assert_true(slice_take(&all, n < all.n ? n : all.n, &piece));
			assert_true(hold_add(h, piece, &part, &f));
		}
		assert_true(hold_end(h, &f) && hold_in_file(h));
		buf_clear(&out);
		gather(h, &out);
		assert_true(slice_eq(buf_get(&out), buf_get(&in)));
		assert_true(budget.held_octets < 100);
		hold_free(&h);
		assert_int_equal(budget.held_octets, 0);
	}
	conf.limits.body_memory_octets = 100000;
	buf_release(&in);
	buf_release(&body);
	buf_release(&out);
}

/* A body of n octets `fill`, taken in and read back right. The hold, still there. */
static struct hold *body_of(size_t n, char fill)
{
	struct hold *h = hold_new(&budget, 0);
	struct fault f = { 0 };
	struct slice part;
	struct buf in, out;

	buf_init(&in, 1 << 25);
	buf_init(&out, 1 << 25);
	buf_str(&in, "Subject: x\r\n\r\n");
	while (in.n < n)
		buf_octet(&in, (unsigned char)fill);
	assert_true(hold_add(h, buf_get(&in), &part, &f) && hold_end(h, &f) && hold_in_file(h));
	gather(h, &out);
	assert_true(slice_eq(buf_get(&out), buf_get(&in)));
	buf_release(&in);
	buf_release(&out);
	return h;
}

static void a_file_is_used_again(void **state)
{
	static unsigned char octets[200000] = "\r\n";
	struct hold *many[HOLD_SPARES + 1], *h;
	struct fault f = { 0 };
	struct slice part;

	(void)state;
	conf.limits.message_octets = 1 << 24;
	hold_spares_drop(&budget);
	h = body_of(900000, 'a');
	hold_free(&h);
	assert_int_equal(budget.spare_count, 1);
	h = body_of(300000, 'b'); /* in front of what is left of the other */
	assert_int_equal(budget.spare_count, 0);
	hold_free(&h);
	h = body_of(1200000, 'c');
	assert_int_equal(budget.spare_count, 0);
	hold_free(&h);
	assert_int_equal(budget.spare_count, 1);
	for (size_t i = 0; i <= HOLD_SPARES; i++)
		many[i] = body_of(200000, (char)('d' + i));
	for (size_t i = 0; i <= HOLD_SPARES; i++)
		hold_free(&many[i]);
	assert_int_equal(budget.spare_count, HOLD_SPARES);
	h = hold_new(&budget, 0); /* a write that fails: what they hold is wanted back */
	assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &(struct rlimit){ 1000, RLIM_INFINITY }), 0);
	assert_false(hold_add(h, slice_of(octets, sizeof(octets)), &part, &f));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &(struct rlimit){ RLIM_INFINITY, RLIM_INFINITY }), 0);
	assert_int_equal(f.code, FAULT_NO_DISK);
	hold_free(&h);
	assert_int_equal(budget.spare_count, 0);
	h = body_of(HOLD_SPARE_OCTETS + 100, 'z'); /* too big to be kept */
	hold_free(&h);
	assert_int_equal(budget.spare_count, 0);
	conf.limits.message_octets = 1 << 20;
}

static void limits_have_their_answers(void **state)
{
	struct buf in, body;
	struct fault f = { 0 };
	struct hold *h;

	(void)state;
	buf_init(&in, 1 << 22);
	buf_init(&body, 1 << 22);
	while (in.n < 70000)
		buf_str(&in, "A: b\r\n");
	h = feed(buf_get(&in), 1000, &body, &f);
	assert_int_equal(f.code, FAULT_HEADER_TOO_BIG);
	hold_free(&h);
	f = (struct fault){ 0 };
	conf.limits.header_fields = 1000; /* and no more of it is held than it takes to see that */
	h = feed(buf_get(&in), 100, &body, &f);
	assert_int_equal(f.code, FAULT_HEADER_TOO_BIG);
	assert_in_range(hold_octets(h), 6000, 6100);
	hold_free(&h);
	conf.limits.header_fields = 30000;
	f = (struct fault){ 0 };
	buf_clear(&in);
	buf_str(&in, "A: b\r\n\r\n");
	while (in.n <= conf.limits.message_octets)
		buf_str(&in, "0123456789abcdef\r\n");
	h = feed(buf_get(&in), 65536, &body, &f);
	assert_int_equal(f.code, FAULT_TOO_BIG);
	hold_free(&h);
	f = (struct fault){ 0 };
	budget.ceiling_octets = 20000; /* headers of many sessions together */
	buf_clear(&in);
	while (in.n < 30000)
		buf_str(&in, "A: b\r\n");
	h = feed(buf_get(&in), 1000, &body, &f);
	assert_int_equal(f.code, FAULT_NO_MEMORY);
	assert_int_equal(f.basic, 452);
	hold_free(&h);
	assert_int_equal(budget.held_octets, 0);
	budget.ceiling_octets = 1U << 31;
	f = (struct fault){ 0 };
	buf_clear(&in);
	buf_str(&in, "A: b\r\n\r\n");
	while (in.n <= 300000)
		buf_str(&in, "0123456789abcdef\r\n");
	{ /* no such directory any more: the disk's fault, told as 452 */
		int fd = budget.spool_fd;

		hold_spares_drop(&budget);
		budget.spool_fd = -1;
		h = feed(slice_sub(buf_get(&in), 0, 200000), 65536, &body, &f);
		assert_int_equal(f.basic, 452);
		hold_free(&h);
		budget.spool_fd = fd;
	}
	buf_release(&in);
	buf_release(&body);
}

static void clients_are_counted_over_all_workers(void **state)
{
	struct sockaddr_storage sa = { .ss_family = AF_INET };
	unsigned char one[16], other[16];
	struct clients a, b;

	(void)state;
	((struct sockaddr_in *)(void *)&sa)->sin_addr.s_addr = htonl(0xc0000201);
	clients_key(&sa, one);
	((struct sockaddr_in *)(void *)&sa)->sin_addr.s_addr = htonl(0xc0000202);
	clients_key(&sa, other);
	clients_start(&a, budget.counts, 0);
	clients_start(&b, budget.counts, 1);
	count_add(budget.counts, 0, COUNT_SESSIONS_OPEN, 2);
	assert_true(clients_add(&a, one));
	assert_true(clients_add(&a, one));
	assert_true(clients_add(&b, one));
	assert_int_equal(clients_sessions(&b, one), 3);
	assert_int_equal(clients_sessions(&b, other), 0);
	clients_drop(&a, one);
	assert_int_equal(clients_sessions(&b, one), 2);
	/* a dead worker's sessions go with its table */
	clients_start(&a, budget.counts, 0);
	assert_int_equal(clients_sessions(&b, one), 1);
	/* places that were given up are found again and do not hide others */
	for (unsigned i = 0; i < 3 * COUNT_CLIENTS; i++) {
		unsigned char key[16] = { 1, (unsigned char)i, (unsigned char)(i >> 8), (unsigned char)(i >> 16) };

		assert_true(clients_add(&a, key));
		clients_drop(&a, key);
	}
	assert_int_equal(clients_sessions(&b, one), 1);
	/* and forgotten in the end, so that a search stays short */
	for (size_t i = 0; i < COUNT_CLIENTS; i++)
		assert_memory_equal(budget.counts->clients[0][i].address, (unsigned char[16]){ 0 }, 16);
	/* also those in the middle of a chain, once what is behind them goes */
	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = 0; i < COUNT_CLIENTS; i++) {
			unsigned char key[16] = { 2, (unsigned char)i, (unsigned char)(i >> 8) };

			if (round == 0)
				assert_true(clients_add(&a, key));
			else
				clients_drop(&a, key);
		}
	assert_int_equal(clients_sessions(&b, one), 1);
}

static void connections_are_counted_over_time(void **state)
{
	enum { N = 10 };
	unsigned char one[16] = { [10] = 0xff, [11] = 0xff, [12] = 192, 0, 2, 1 }, other[16] = { [10] = 0xff, [11] = 0xff, [12] = 192, 0, 2, 2 };
	int64_t now = 1000;
	uint32_t told;

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		assert_true(rate_take(budget.counts, RATE_CONNECTS, slice_of(one, 16), now, 0, &told));
	/* as many at once */
	for (unsigned i = 0; i < N; i++)
		assert_true(rate_take(budget.counts, RATE_CONNECTS, slice_of(one, 16), now, N, &told));
	/* told once a minute, with how many there were since */
	assert_false(rate_take(budget.counts, RATE_CONNECTS, slice_of(one, 16), now, N, &told));
	assert_int_equal(told, 1);
	for (unsigned i = 0; i < 5; i++) {
		assert_false(rate_take(budget.counts, RATE_CONNECTS, slice_of(one, 16), now, N, &told));
		assert_int_equal(told, 0);
	}
	assert_true(rate_take(budget.counts, RATE_CONNECTS, slice_of(other, 16), now, N, &told));
	/* what else it does is counted for itself, under a key of any length */
	assert_true(rate_take(budget.counts, RATE_AUTH, slice_of(one, 16), now, N, &told));
	assert_true(rate_take(budget.counts, RATE_USER, SLICE_NONE, now, 1, &told));
	assert_false(rate_take(budget.counts, RATE_USER, SLICE_NONE, now, 1, &told));
	assert_true(rate_take(budget.counts, RATE_SENDER, S("a.test"), now, 1, &told));
	assert_true(rate_take(budget.counts, RATE_SENDER, S("a.tes"), now, 1, &told));
	assert_true(rate_take(budget.counts, RATE_RECIPIENT, S("a.test"), now, 1, &told));
	assert_false(rate_take(budget.counts, RATE_SENDER, S("a.test"), now, 1, &told));
	/* and as many a minute; what was refused is not held against the client */
	now += 60000 / N;
	assert_true(rate_take(budget.counts, RATE_CONNECTS, slice_of(one, 16), now, N, &told));
	assert_false(rate_take(budget.counts, RATE_CONNECTS, slice_of(one, 16), now, N, &told));
	now += 60000;
	for (unsigned i = 0; i < N; i++)
		assert_true(rate_take(budget.counts, RATE_CONNECTS, slice_of(one, 16), now, N, &told));
	assert_false(rate_take(budget.counts, RATE_CONNECTS, slice_of(one, 16), now, N, &told));
	assert_int_equal(told, 7);
	/* the highest limit counts too */
	assert_true(rate_take(budget.counts, RATE_CONNECTS, slice_of(other, 16), now, 1000000, &told));
	/* of more clients than there is room for, who is over it is remembered */
	for (unsigned i = 0; i < 2 * COUNT_RATES; i++) {
		unsigned char key[16] = { 3, (unsigned char)i, (unsigned char)(i >> 8), (unsigned char)(i >> 16) };

		assert_true(rate_take(budget.counts, RATE_CONNECTS, slice_of(key, 16), now, N, &told));
	}
	assert_false(rate_take(budget.counts, RATE_CONNECTS, slice_of(one, 16), now, N, &told));
}

static void small_bodies_keep_the_ceiling_too(void **state)
{
	struct slice out;
	struct fault f = { 0 };
	struct hold *h[50] = { 0 };
	char text[4000];
	size_t files = 0;

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text, "A: b\r\n\r\n", 8);
	budget.ceiling_octets = 100000;
	for (size_t i = 0; i < 50; i++) {
		h[i] = hold_new(&budget, 0);
		assert_true(hold_add(h[i], slice_of((const unsigned char *)text, 100), &out, &f));
		assert_true(hold_add(h[i], slice_of((const unsigned char *)text + 100, sizeof(text) - 100), &out, &f));
		files += hold_in_file(h[i]);
	}
	assert_true(files > 20);
	assert_true(budget.held_octets <= 100000);
	for (size_t i = 0; i < 50; i++)
		hold_free(&h[i]);
	assert_int_equal(budget.held_octets, 0);
	budget.ceiling_octets = 1U << 31;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_split_gives_the_same),
		cmocka_unit_test(big_content_goes_to_a_file_unchanged),
		cmocka_unit_test(a_body_in_memory_costs_about_what_it_is),
		cmocka_unit_test(a_size_that_was_said_is_worth_more_memory),
		cmocka_unit_test(a_file_is_in_memory_a_part_at_a_time),
		cmocka_unit_test(small_runs_keep_their_order),
		cmocka_unit_test(a_file_is_used_again),
		cmocka_unit_test(limits_have_their_answers),
		cmocka_unit_test(small_bodies_keep_the_ceiling_too),
		cmocka_unit_test(clients_are_counted_over_all_workers),
		cmocka_unit_test(connections_are_counted_over_time),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
