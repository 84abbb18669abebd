/* The spool in a real folder: put, told, found, read, marked, removed; and calls to the system that fail on the way. */
#include "store_world.h"

#include <sys/socket.h>
#include <sys/wait.h>

/* ---- putting ---- */

static void what_was_put_is_found_after_a_restart(void **state)
{
	(void)state;
	mail("a", 100);
	mail("b", 0);
	assert_int_equal(count_in("mail"), 2);
	assert_int_equal(count_in("tmp"), 0);
	scan_again();
	want_seen("a b");
	assert_string_equal(seen.at[0].marks, "....");
	want_content(seen.at[0].entry, 100);
	want_content(seen.at[1].entry, 0);
	assert_int_equal(store_files(w.store), 2);
	assert_int_equal(store_entries(w.store), 2);
}

static void a_turn_is_one_file_and_one_sync(void **state)
{
	static struct sent m[50];

	(void)state;
	for (int i = 0; i < 50; i++)
		assert_int_equal(put_mail(&m[i], (const char *)arena_printf(&arena, "m%02d%c", i, 0).at, 4096), FAULT_NONE);
	assert_int_equal(call_fsync.n, 1); /* of the spool itself, when folders were made */
	turn();
	for (int i = 0; i < 50; i++) {
		assert_int_equal(m[i].told, 1);
		assert_int_equal(m[i].code, FAULT_NONE);
	}
	assert_int_equal(call_fsync.n, 3);
	assert_int_equal(call_writev.n, 50);
	assert_int_equal(count_in("mail"), 1);
	scan_again();
	assert_int_equal(seen.n, 50);
	for (size_t i = 0; i < 50; i++)
		want_content(seen.at[i].entry, 4096);
}

static void nobody_is_told_before_the_turn_ends(void **state)
{
	struct sent m;

	(void)state;
	assert_int_equal(put_mail(&m, "a", 10), FAULT_NONE);
	assert_int_equal(m.told, 0);
	assert_int_equal(count_in("mail"), 0);
	turn();
	assert_int_equal(m.told, 1);
	assert_int_equal(count_in("mail"), 1);
}

static void a_file_has_no_more_than_it_may(void **state)
{
	static struct sent m[300];

	(void)state;
	for (int i = 0; i < 300; i++)
		assert_int_equal(put_mail(&m[i], (const char *)arena_printf(&arena, "m%03d%c", i, 0).at, 10), FAULT_NONE);
	turn();
	assert_int_equal(count_in("mail"), 2);
	for (int i = 0; i < 5; i++)
		assert_int_equal(put_mail(&m[i], (const char *)arena_printf(&arena, "n%03d%c", i, 0).at, 300000), FAULT_NONE);
	turn();
	assert_int_equal(count_in("mail"), 4);
	scan_again();
	assert_int_equal(seen.n, 305);
}

/* ... and the small ones around it share one. */
static void a_big_one_has_a_file_of_its_own(void **state)
{
	static struct sent m[3];

	(void)state;
	assert_int_equal(put_mail(&m[0], "a", 10), FAULT_NONE);
	assert_int_equal(put_mail(&m[1], "b", 3 << 20), FAULT_NONE);
	assert_int_equal(put_mail(&m[2], "c", 10), FAULT_NONE);
	turn();
	assert_int_equal(count_in("mail"), 2);
	scan_again();
	want_seen("a b c");
	want_content(seen.at[0].entry, 10);
	want_content(seen.at[1].entry, 3 << 20);
	want_content(seen.at[2].entry, 10);
}

static void many_big_ones_in_a_turn_need_few_descriptors(void **state)
{
	static struct sent m[100];
	struct slice content = sample_content((1 << 20) + 1);

	(void)state;
	for (int i = 0; i < 100; i++)
		assert_int_equal(put_content(&m[i], (const char *)arena_printf(&arena, "m%03d%c", i, 0).at, content), FAULT_NONE);
	assert_true(call_fsync.n >= 60 && call_fsync.n < 75);
	turn();
	assert_int_equal(count_in("mail"), 100);
	for (int i = 0; i < 100; i++)
		assert_int_equal(m[i].told, 1);
}

/* ---- content in runs ---- */

struct pieces {
	struct slice rest;
	size_t step, next;
};

static bool next_piece(void *arg, size_t at, struct slice *run_out)
{
	struct pieces *p = arg;

	assert_int_equal(at, p->next++);
	if (p->rest.n == 0)
		return false;
	assert_true(slice_take(&p->rest, p->step < p->rest.n ? p->step : p->rest.n, run_out));
	return true;
}

static void content_comes_in_any_runs(void **state)
{
	static const size_t steps[] = { 1, 7, 4096, 262144 }, bodies[] = { 0, 300, 2000, 3 << 20 };

	(void)state;
	for (size_t i = 0; i < 4; i++)
		for (size_t k = 0; k < 4; k++) {
			struct slice all = sample_content(bodies[k]), runs[3] = { slice_sub(all, 0, 5), SLICE_NONE, slice_sub(all, 5, 7) };
			struct pieces p = { slice_sub(all, 12, SIZE_MAX), steps[i], 0 };
			struct spool_envelope e = sample_envelope();
			struct store_message m = { &e, runs, 3, SAMPLE_HEADER, next_piece, &p };
			struct sent sent = { .told = 0 };
			struct fault f = { 0 };

			if (bodies[k] > 100000 && steps[i] < 4096)
				continue;
			assert_true(store_put(w.store, &sent.put, &m, on_put, &sent, &f));
			turn();
			assert_int_equal(sent.told, 1);
			scan();
			assert_int_equal(seen.n, 1);
			want_content(seen.at[0].entry, bodies[k]);
			store_done(w.store, &seen.at[0].entry);
			store_rescan(w.store);
			assert_int_equal(count_in("mail"), 0);
			arena_clear(&arena);
		}
}

static void a_header_ends_where_it_is_said_to(void **state)
{
	static const struct {
		const char *name, *content;
		uint32_t header_octets;
		bool good;
	} rows[] = {
		{ "header and body", "A: b\r\n\r\nbody\r\n", 6, true },
		{ "header alone", "A: b\r\n", 6, true },
		{ "no header", "\r\nbody\r\n", 0, true },
		{ "nothing", "", 0, true },
		{ "no empty line", "A: b\r\nbody\r\n", 6, false },
		{ "half an empty line", "A: b\r\n\r", 6, false },
		{ "header longer than all", "A: b\r\n", 7, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t cut = 0; cut <= strlen(rows[i].content); cut++) {
			struct slice all = slice_str(rows[i].content), runs[2] = { slice_sub(all, 0, cut), slice_sub(all, cut, SIZE_MAX) };
			struct spool_envelope e = sample_envelope();
			struct store_message m = { &e, runs, 2, rows[i].header_octets, NULL, NULL };
			struct sent sent = { .told = 0 };
			struct fault f = { 0 };

			if (store_put(w.store, &sent.put, &m, on_put, &sent, &f) != rows[i].good)
				fail_msg("%s, cut at %zu", rows[i].name, cut);
			assert_true(rows[i].good || f.code == FAULT_INTERNAL);
			turn();
		}
}

static void what_is_no_envelope_is_not_put(void **state)
{
	struct spool_envelope e = sample_envelope();
	struct slice content = sample_content(5);
	struct store_message m = { &e, &content, 1, SAMPLE_HEADER, NULL, NULL };
	struct sent sent = { .told = 0 };
	struct fault f = { 0 };

	(void)state;
	e.mail_from = S("nobody");
	assert_false(store_put(w.store, &sent.put, &m, on_put, &sent, &f));
	assert_int_equal(f.code, FAULT_INTERNAL);
	turn();
	assert_int_equal(sent.told + count_in("mail") + count_in("tmp"), 0);
}

/* ---- taken back ---- */

static void what_was_taken_back_is_never_found(void **state)
{
	static struct sent m[3];

	(void)state;
	assert_int_equal(put_mail(&m[0], "a", 10), FAULT_NONE);
	assert_int_equal(put_mail(&m[1], "b", 10), FAULT_NONE);
	assert_int_equal(put_mail(&m[2], "c", 10), FAULT_NONE);
	store_unput(&m[1].put);
	store_unput(&m[1].put);
	turn();
	assert_int_equal(m[0].told, 1);
	assert_int_equal(m[1].told, 0);
	assert_int_equal(m[2].told, 1);
	scan_again();
	want_seen("a c");
}

static void a_file_of_none_is_not_kept(void **state)
{
	static struct sent m[2];

	(void)state;
	assert_int_equal(put_mail(&m[0], "a", 10), FAULT_NONE);
	assert_int_equal(put_mail(&m[1], "b", 10), FAULT_NONE);
	store_unput(&m[1].put);
	store_unput(&m[0].put);
	turn();
	assert_int_equal(count_in("mail") + count_in("tmp"), 0);
	mail("c", 10);
	assert_int_equal(count_in("mail"), 1);
}

static void a_big_one_is_taken_back_until_the_turn_ends(void **state)
{
	static struct sent m[40];
	struct slice content = sample_content((1 << 20) + 1);

	(void)state;
	/* The first of them are synced already. */
	for (int i = 0; i < 40; i++)
		assert_int_equal(put_content(&m[i], "a", content), FAULT_NONE);
	for (int i = 0; i < 40; i++)
		store_unput(&m[i].put);
	turn();
	assert_int_equal(count_in("mail") + count_in("tmp"), 0);
}

static struct sent again, other;

static void on_put_more(void *arg, const struct fault *f)
{
	on_put(arg, f);
	store_unput(&other.put);
	assert_int_equal(put_mail(&again, "again", 10), FAULT_NONE);
}

static void a_callback_may_put_and_take_back(void **state)
{
	struct spool_envelope e = sample_envelope();
	struct slice content = sample_content(5);
	struct store_message m = { &e, &content, 1, SAMPLE_HEADER, NULL, NULL };
	struct sent first = { .told = 0 };
	struct fault f = { 0 };

	(void)state;
	e.id = S("first");
	assert_true(store_put(w.store, &first.put, &m, on_put_more, &first, &f));
	assert_int_equal(put_mail(&other, "other", 10), FAULT_NONE);
	turn();
	assert_int_equal(first.told, 1);
	assert_int_equal(other.told, 0);
	turn();
	assert_int_equal(again.told, 1);
	scan_again();
	want_seen("again first other"); /* it was durable already */
}

static void what_is_under_way_at_the_end_is_dropped(void **state)
{
	struct sent m;

	(void)state;
	assert_int_equal(put_mail(&m, "a", 10), FAULT_NONE);
	store_free(&w.store);
	assert_null(m.put.store);
	store_unput(&m.put);
	assert_int_equal(count_in("mail") + count_in("tmp"), 0);
	world_open();
}

/* ---- marks, done, notes ---- */

static void marks_last(void **state)
{
	(void)state;
	mail("a", 10);
	scan();
	assert_true(store_mark(w.store, seen.at[0].entry, 1, SPOOL_DELIVERED));
	assert_true(store_mark(w.store, seen.at[0].entry, 2, SPOOL_FAILED));
	assert_true(store_mark(w.store, seen.at[0].entry, STORE_MESSAGE, SPOOL_HELD));
	scan_again();
	want_seen("a");
	assert_string_equal(seen.at[0].marks, "H.dF");
	want_content(seen.at[0].entry, 10);
}

static void marks_are_synced_within_a_second(void **state)
{
	struct spool_envelope e;
	struct slice marks;

	(void)state;
	mail("a", 10);
	mail("b", 10);
	scan();
	assert_true(store_mark(w.store, seen.at[0].entry, 0, SPOOL_DELIVERED));
	assert_true(store_mark(w.store, seen.at[0].entry, 1, SPOOL_DELIVERED));
	assert_true(store_mark(w.store, seen.at[1].entry, 0, SPOOL_DELIVERED));
	assert_int_equal(call_fdatasync.n, 0);
	wait_ms(1000);
	assert_int_equal(call_fdatasync.n, 2);
	wait_ms(5000);
	assert_int_equal(call_fdatasync.n, 2);
	assert_true(store_envelope(w.store, seen.at[0].entry, &arena, &e, &marks));
	WANT_SLICE(marks, S(".dd."));
	WANT_SLICE(e.id, S("a"));
}

static void the_last_one_takes_the_file_with_it(void **state)
{
	static struct sent m[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(put_mail(&m[i], i == 0 ? "a" : i == 1 ? "b" : "c", 100000), FAULT_NONE);
	turn();
	scan();
	store_done(w.store, &seen.at[1].entry);
	assert_null(seen.at[1].entry);
	assert_int_equal(store_entries(w.store), 2);
	scan_again();
	want_seen("a c");
	store_done(w.store, &seen.at[0].entry);
	assert_int_equal(count_in("mail"), 1);
	want_content(seen.at[1].entry, 100000);
	store_done(w.store, &seen.at[1].entry);
	assert_int_equal(count_in("mail"), 0);
	assert_int_equal(store_files(w.store) + store_entries(w.store), 0);
}

static void room_is_given_back_when_others_stay(void **state)
{
	static struct sent m[2];
	struct stat before, after;

	(void)state;
	assert_int_equal(put_mail(&m[0], "a", 400000), FAULT_NONE);
	assert_int_equal(put_mail(&m[1], "b", 400000), FAULT_NONE);
	turn();
	scan();
	assert_int_equal(stat(in_dir("mail", name_in("mail")), &before), 0);
	store_done(w.store, &seen.at[0].entry);
	assert_int_equal(call_fallocate64.n, 0);
	wait_ms(1000);
	assert_int_equal(call_fdatasync.n, 1);
	assert_int_equal(call_fallocate64.n, 0);
	wait_ms(30000);
	assert_int_equal(call_fdatasync.n, 1);
	assert_int_equal(call_fallocate64.n, 1);
	wait_ms(60000);
	assert_int_equal(call_fallocate64.n, 1);
	assert_int_equal(stat(in_dir("mail", name_in("mail")), &after), 0);
	assert_int_equal(after.st_size, before.st_size);
	assert_true(after.st_blocks <= before.st_blocks - 390000 / 512);
	want_content(seen.at[1].entry, 400000);
	scan_again();
	want_seen("b");
	want_content(seen.at[0].entry, 400000);
}

static void a_note_is_kept_until_its_message_goes(void **state)
{
	(void)state;
	mail("a", 10);
	mail("b", 10);
	scan();
	WANT_SLICE(store_note_read(w.store, seen.at[0].entry, 0, &arena), SLICE_NONE);
	assert_true(store_note(w.store, seen.at[0].entry, 0, S("one")));
	assert_true(store_note(w.store, seen.at[0].entry, 0, S("two\0three")));
	assert_true(store_note(w.store, seen.at[1].entry, 0, SLICE_NONE));
	WANT_SLICE(store_note_read(w.store, seen.at[0].entry, 0, &arena), S("two\0three"));
	assert_int_equal(count_in("note"), 2);
	assert_int_equal(count_in("tmp"), 0);
	scan_again();
	WANT_SLICE(store_note_read(w.store, seen.at[0].entry, 0, &arena), S("two\0three"));
	store_done(w.store, &seen.at[0].entry);
	assert_int_equal(count_in("note"), 1);
	store_done(w.store, &seen.at[1].entry);
	assert_int_equal(count_in("note"), 0);
}

static void each_copy_has_a_note(void **state)
{
	(void)state;
	mail("a", 10);
	scan();
	assert_true(store_note(w.store, seen.at[0].entry, 0, S("one")));
	assert_true(store_note(w.store, seen.at[0].entry, LIMIT_RCPT - 1, S("last")));
	WANT_SLICE(store_note_read(w.store, seen.at[0].entry, 1, &arena), SLICE_NONE);
	scan_again();
	assert_int_equal(count_in("note"), 2);
	WANT_SLICE(store_note_read(w.store, seen.at[0].entry, 0, &arena), S("one"));
	WANT_SLICE(store_note_read(w.store, seen.at[0].entry, LIMIT_RCPT - 1, &arena), S("last"));
	store_done(w.store, &seen.at[0].entry);
	assert_int_equal(count_in("note"), 0);
}

/* Before the folder was looked through nobody knows how many there are. */
static void notes_of_a_message_that_goes_early(void **state)
{
	(void)state;
	mail("a", 10);
	scan();
	assert_true(store_note(w.store, seen.at[0].entry, 5, S("five")));
	world_again();
	seen.n = 0;
	assert_true(store_take(w.store, slice_str(name_in("mail")), on_found, NULL));
	WANT_SLICE(store_note_read(w.store, seen.at[0].entry, 5, &arena), S("five"));
	store_done(w.store, &seen.at[0].entry);
	scan();
	assert_int_equal(count_in("note"), 0);
}

static void a_note_without_a_message_is_removed(void **state)
{
	(void)state;
	mail("a", 10);
	scan();
	assert_true(store_note(w.store, seen.at[0].entry, 0, S("one")));
	put(in_dir("note", "0192f0c1a2b3000700000001.200"), S("x"), 0600);
	put(in_dir("note", "other"), S("x"), 0600);
	put(in_dir("note", (const char *)arena_printf(&arena, "%s.400.0%c", name_in("mail"), 0).at), S("x"), 0600);
	put(in_dir("note", (const char *)arena_printf(&arena, "%s.200%c", name_in("mail"), 0).at), S("x"), 0600);
	put(in_dir("note", (const char *)arena_printf(&arena, "%s.200.3e8%c", name_in("mail"), 0).at), S("x"), 0600);
	scan_again();
	assert_int_equal(count_in("note"), 1);
	WANT_SLICE(store_note_read(w.store, seen.at[0].entry, 0, &arena), S("one"));
}

static void a_damaged_note_is_none(void **state)
{
	struct slice octets;

	(void)state;
	mail("a", 10);
	scan();
	assert_true(store_note(w.store, seen.at[0].entry, 0, S("one")));
	octets = content_of("note", name_in("note"));
	((unsigned char *)(uintptr_t)octets.at)[octets.n - 1] ^= 1;
	put(in_dir("note", name_in("note")), octets, 0600);
	WANT_SLICE(store_note_read(w.store, seen.at[0].entry, 0, &arena), SLICE_NONE);
}

static void a_note_that_is_too_long_is_not_kept(void **state)
{
	(void)state;
	mail("a", 10);
	scan();
	assert_true(store_note(w.store, seen.at[0].entry, 0, slice_of(arena_take(&arena, LIMIT_SPOOL_NOTE), LIMIT_SPOOL_NOTE)));
	assert_false(store_note(w.store, seen.at[0].entry, 0, slice_of(arena_take(&arena, LIMIT_SPOOL_NOTE + 1), LIMIT_SPOOL_NOTE + 1)));
	assert_int_equal(store_note_read(w.store, seen.at[0].entry, 0, &arena).n, LIMIT_SPOOL_NOTE);
}

/* ---- descriptors ---- */

static size_t descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void descriptors_of_many_files_are_few(void **state)
{
	size_t before = descriptors();

	(void)state;
	for (int i = 0; i < 200; i++)
		mail((const char *)arena_printf(&arena, "m%03d%c", i, 0).at, 10);
	scan();
	assert_int_equal(seen.n, 200);
	assert_int_equal(descriptors(), before);
	for (int k = 0; k < 3; k++)
		for (size_t i = 0; i < 200; i++) {
			want_content(seen.at[i].entry, 10);
			assert_true(store_mark(w.store, seen.at[i].entry, k, SPOOL_DELIVERED));
		}
	assert_int_equal(descriptors(), before + 64);
	for (size_t i = 0; i < 200; i += 2)
		store_done(w.store, &seen.at[i].entry);
	for (size_t i = 1; i < 200; i += 2)
		store_drop(w.store, &seen.at[i].entry);
	wait_ms(1000);
	assert_int_equal(descriptors(), before);
	assert_int_equal(store_files(w.store), 0);
	store_rescan(w.store);
	scan();
	assert_int_equal(seen.n, 100);
	assert_string_equal(seen.at[0].marks, ".ddd");
}

/* ---- the scan ---- */

static unsigned dropped;

static void on_found_too_much(void *arg, struct store_entry *e, const struct spool_envelope *envelope, struct slice marks)
{
	(void)arg, (void)envelope, (void)marks;
	if (seen.n < 5) {
		on_found(NULL, e, envelope, marks);
		return;
	}
	dropped++;
	store_drop(w.store, &e);
	store_rescan(w.store);
}

/* The receiver had no memory for it. */
static void what_was_dropped_is_found_again(void **state)
{
	static struct sent m[6];

	(void)state;
	for (int k = 0; k < 2; k++) {
		for (int i = 0; i < 6; i++)
			assert_int_equal(put_mail(&m[i], "x", 10), FAULT_NONE);
		turn();
	}
	world_again();
	seen.n = 0;
	for (int i = 0; i < 10; i++)
		assert_true(store_scan(w.store, 3, on_found_too_much, NULL));
	assert_true(dropped > 7);
	assert_int_equal(store_entries(w.store), 5);
	while (seen.n > 0)
		store_drop(w.store, &seen.at[--seen.n].entry);
	store_rescan(w.store);
	scan();
	assert_int_equal(seen.n, 12);
}

static void a_scan_takes_a_step_at_a_time(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++)
		mail((const char *)arena_printf(&arena, "m%02d%c", i, 0).at, 10);
	world_again();
	seen.n = 0;
	for (size_t n = 0; n < 20; n += 3) {
		assert_int_equal(seen.n, n);
		assert_int_equal(store_scan(w.store, 3, on_found, NULL), n + 3 <= 20);
	}
	assert_int_equal(seen.n, 20);
	/* What comes while it goes on is found once. */
	world_again();
	seen.n = 0;
	assert_true(store_scan(w.store, 3, on_found, NULL));
	mail("new", 10);
	while (store_scan(w.store, 3, on_found, NULL))
		;
	store_rescan(w.store);
	while (store_scan(w.store, 3, on_found, NULL))
		;
	assert_int_equal(seen.n, 21);
}

/* ---- notices ---- */

static struct slice packet_of(int fd)
{
	unsigned char *octets = arena_take(&arena, SPOOL_NOTICE + 1);
	ssize_t n = recv(fd, octets, SPOOL_NOTICE + 1, MSG_DONTWAIT);

	return slice_of(octets, n > 0 ? (size_t)n : 0);
}

static void names_are_told_once_durable(void **state)
{
	static struct sent m[2];
	struct slice packet, name;
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	store_set_queue(w.store, fds[0]);
	WANT_SLICE(packet_of(fds[1]), S("L"));
	assert_int_equal(put_mail(&m[0], "a", 10), FAULT_NONE);
	assert_int_equal(put_mail(&m[1], "b", 3 << 20), FAULT_NONE);
	WANT_SLICE(packet_of(fds[1]), SLICE_NONE);
	turn();
	packet = packet_of(fds[1]);
	assert_int_equal(packet.n, 1 + 2 * SPOOL_NAME);
	assert_int_equal(packet.at[0], SPOOL_FILES);
	packet = slice_sub(packet, 1, SIZE_MAX);
	seen.n = 0;
	while (spool_notice_next(&packet, &name)) {
		assert_true(store_take(w.store, name, on_found, NULL));
		assert_true(store_take(w.store, name, on_found, NULL));
	}
	assert_int_equal(seen.n, 2);
	assert_false(store_take(w.store, S("0192f0c1a2b3000700000001"), on_found, NULL));
	assert_false(store_take(w.store, S("../mail/x"), on_found, NULL));
	scan();
	assert_int_equal(seen.n, 0);
	close(fds[1]);
	mail("c", 10);
}

static void a_full_channel_is_made_up_for(void **state)
{
	struct slice packet;
	size_t got = 0;
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	store_set_queue(w.store, fds[0]);
	assert_int_equal(packet_of(fds[1]).n, 1);
	FAIL(send, 0, 5, EAGAIN);
	for (int i = 0; i < 3; i++)
		mail((const char *)arena_printf(&arena, "m%d%c", i, 0).at, 10);
	while (call_send.fails)
		turn();
	turn();
	while ((packet = packet_of(fds[1])).n)
		got += packet.n / SPOOL_NAME;
	assert_int_equal(got, 3);
	close(fds[1]);
}

/* Whoever reads nothing for long is told to look instead. */
static void a_channel_nobody_reads_costs_little(void **state)
{
	struct slice packet;
	bool look = false;
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	store_set_queue(w.store, fds[0]);
	assert_int_equal(packet_of(fds[1]).n, 1);
	FAIL(send, 0, UINT_MAX, EAGAIN);
	for (int i = 0; i < 4100; i++) {
		mail("m", 10);
		arena_clear(&arena);
	}
	call_send.fails = 0;
	for (int i = 0; i < 3; i++)
		turn();
	while ((packet = packet_of(fds[1])).n)
		look = look || packet.at[0] == SPOOL_LOOK;
	assert_true(look);
	close(fds[1]);
}

static void a_new_channel_begins_with_look(void **state)
{
	int fds[2];

	(void)state;
	mail("a", 10);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
		store_set_queue(w.store, fds[0]);
		WANT_SLICE(packet_of(fds[1]), S("L"));
		WANT_SLICE(packet_of(fds[1]), SLICE_NONE);
		close(fds[1]);
		mail("b", 10);
	}
	store_set_queue(w.store, -1);
	mail("c", 10);
}

static void on_commit(void *arg, struct slice name)
{
	seen.n = 0;
	assert_true(store_take(w.store, name, on_found, NULL));
	assert_int_equal(((struct sent *)arg)->told, 1);
}

static void the_queue_process_hears_of_its_own(void **state)
{
	struct sent m;

	(void)state;
	store_on_commit(w.store, on_commit, &m);
	assert_int_equal(put_mail(&m, "a", 10), FAULT_NONE);
	turn();
	want_seen("a");
}

/* ---- two processes ---- */

static void another_process_puts_what_this_one_finds(void **state)
{
	struct slice packet, name;
	int fds[2], status;
	pid_t pid;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		static struct sent m[10];
		struct store_conf conf = { .dir_fd = open(w.dir, O_RDONLY | O_DIRECTORY), .slot = 8 };
		char error[256];
		bool good = true;

		w.loop = loop_new();
		w.store = store_new(w.loop, &conf, error);
		memset(&w.stop, 0, sizeof(w.stop));
		store_set_queue(w.store, fds[0]);
		for (int k = 0; k < 20; k++) {
			for (int i = 0; i < 10; i++)
				good = put_mail(&m[i], "x", 5000) == FAULT_NONE && good;
			turn();
			for (int i = 0; i < 10; i++)
				good = m[i].told == 1 && m[i].code == FAULT_NONE && good;
		}
		_exit(good ? 0 : 1);
	}
	close(fds[0]);
	seen.n = 0;
	for (;;) {
		unsigned char octets[SPOOL_NOTICE];
		ssize_t n = recv(fds[1], octets, sizeof(octets), 0);

		if (n <= 0)
			break;
		packet = slice_of(octets + 1, (size_t)n - 1);
		while (spool_notice_next(&packet, &name))
			assert_true(store_take(w.store, name, on_found, NULL));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(seen.n, 200);
	for (size_t i = 0; i < 200; i++) {
		want_content(seen.at[i].entry, 5000);
		store_done(w.store, &seen.at[i].entry);
	}
	assert_int_equal(count_in("mail") + count_in("tmp"), 0);
	close(fds[1]);
}

#define T(f) cmocka_unit_test_setup_teardown(f, world_start, world_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_was_put_is_found_after_a_restart),
		T(a_turn_is_one_file_and_one_sync),
		T(nobody_is_told_before_the_turn_ends),
		T(a_file_has_no_more_than_it_may),
		T(a_big_one_has_a_file_of_its_own),
		T(many_big_ones_in_a_turn_need_few_descriptors),
		T(content_comes_in_any_runs),
		T(a_header_ends_where_it_is_said_to),
		T(what_is_no_envelope_is_not_put),
		T(what_was_taken_back_is_never_found),
		T(a_file_of_none_is_not_kept),
		T(a_big_one_is_taken_back_until_the_turn_ends),
		T(a_callback_may_put_and_take_back),
		T(what_is_under_way_at_the_end_is_dropped),
		T(marks_last),
		T(marks_are_synced_within_a_second),
		T(the_last_one_takes_the_file_with_it),
		T(room_is_given_back_when_others_stay),
		T(a_note_is_kept_until_its_message_goes),
		T(each_copy_has_a_note),
	T(notes_of_a_message_that_goes_early),
	T(a_note_without_a_message_is_removed),
		T(a_damaged_note_is_none),
		T(a_note_that_is_too_long_is_not_kept),
		T(descriptors_of_many_files_are_few),
		T(what_was_dropped_is_found_again),
		T(a_scan_takes_a_step_at_a_time),
		T(names_are_told_once_durable),
		T(a_full_channel_is_made_up_for),
		T(a_channel_nobody_reads_costs_little),
		T(a_new_channel_begins_with_look),
		T(the_queue_process_hears_of_its_own),
		T(another_process_puts_what_this_one_finds),
	};

	return RUN_TESTS(tests);
}
