/* Calls to the system that fail while mail is put: who is told what, what is left behind, and when mail is taken again. */
#include "store_world.h"

#include <stdarg.h>

static struct sent m[4];

/* One before, the one it fails for, one behind. */
static void put_three(enum fault_code want)
{
	assert_int_equal(put_mail(&m[0], "a", 3000), FAULT_NONE);
	assert_int_equal(put_mail(&m[1], "b", 3000), want);
	assert_int_equal(put_mail(&m[2], "c", 3000), FAULT_NONE);
}

static void nothing_behind(void)
{
	assert_int_equal(count_in("mail") + count_in("tmp") + count_in("damaged"), 0);
}

/* ---- writing ---- */

static void a_message_that_cannot_be_written_leaves_the_others(void **state)
{
	static const struct {
		int error;
		enum fault_code code;
	} rows[] = { { ENOSPC, FAULT_NO_DISK }, { EDQUOT, FAULT_NO_DISK }, { EFBIG, FAULT_NO_DISK }, { EIO, FAULT_SPOOL_FAILED } };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		/* The second one, wholly or behind its first half. */
		for (int half = 0; half < 2; half++) {
			assert_int_equal(put_mail(&m[0], "a", 3000), FAULT_NONE);
			if (half) {
				FAIL(writev, 0, 1, 0);
				assert_int_equal(put_mail(&m[3], "d", 3000), FAULT_NONE);
				FAIL(writev, 0, 2, rows[i].error);
			} else {
				FAIL(writev, 0, 1, rows[i].error);
			}
			assert_int_equal(put_mail(&m[1], "b", 3000), rows[i].code);
			call_writev.fails = 0;
			assert_null(m[1].put.store);
			wait_ms(1001);
			assert_int_equal(put_mail(&m[2], "c", 3000), FAULT_NONE);
			turn();
			assert_int_equal(m[0].told, 1);
			assert_int_equal(m[1].told, 0);
			assert_int_equal(m[2].told, 1);
			scan_again();
			assert_int_equal(seen.n, half ? 3 : 2);
			for (size_t k = 0; k < seen.n; k++) {
				want_content(seen.at[k].entry, 3000);
				store_done(w.store, &seen.at[k].entry);
			}
			nothing_behind();
		}
	}
}

/* A write may end anywhere. */
static void short_writes_are_gone_on_with(void **state)
{
	(void)state;
	for (unsigned n = 1; n < 12; n++) {
		FAIL(writev, 0, n, 0);
		mail("a", 3000);
		FAIL(writev, 0, n, EINTR);
		assert_int_equal(put_mail(&m[0], "b", 10), FAULT_NONE);
		FAIL(writev, 1, n, 0);
		assert_int_equal(put_mail(&m[1], "c", 3 << 20), FAULT_NONE);
		turn();
		scan();
		want_seen("a b c");
		want_content(seen.at[0].entry, 3000);
		want_content(seen.at[1].entry, 10);
		want_content(seen.at[2].entry, 3 << 20);
		for (size_t i = 0; i < 3; i++)
			store_done(w.store, &seen.at[i].entry);
		store_rescan(w.store);
		arena_clear(&arena);
	}
}

static void a_file_that_cannot_be_cut_back_fails_whole(void **state)
{
	(void)state;
	assert_int_equal(put_mail(&m[0], "a", 3000), FAULT_NONE);
	FAIL(writev, 0, 1, EIO);
	FAIL(ftruncate64, 0, 1, EIO);
	assert_int_equal(put_mail(&m[1], "b", 3000), FAULT_SPOOL_FAILED);
	assert_int_equal(put_mail(&m[2], "c", 3000), FAULT_NONE);
	turn();
	assert_int_equal(m[0].told, 1);
	assert_int_equal(m[0].code, FAULT_SPOOL_FAILED);
	assert_int_equal(m[2].told, 1);
	assert_int_equal(m[2].code, FAULT_NONE);
	scan_again();
	want_seen("c");
	assert_int_equal(count_in("tmp"), 0);
}

static void the_head_of_a_big_one_may_fail(void **state)
{
	(void)state;
	FAIL(pwrite64, 0, 1, EIO);
	assert_int_equal(put_mail(&m[0], "a", 3 << 20), FAULT_SPOOL_FAILED);
	turn();
	assert_int_equal(m[0].told, 0);
	nothing_behind();
}

static void no_file_can_be_made(void **state)
{
	static const struct {
		int error;
		enum fault_code code;
	} rows[] = { { ENOSPC, FAULT_NO_DISK }, { EMFILE, FAULT_NO_DISK }, { ENFILE, FAULT_NO_DISK }, { EDQUOT, FAULT_NO_DISK },
		{ EROFS, FAULT_SPOOL_FAILED }, { EIO, FAULT_SPOOL_FAILED }, { ENOMEM, FAULT_NO_MEMORY } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		FAIL(openat64, 0, 1, rows[i].error);
		assert_int_equal(put_mail(&m[0], "a", 10), rows[i].code);
		turn();
		nothing_behind();
		wait_ms(1001);
		mail("b", 10);
		scan();
		want_seen("b");
		store_done(w.store, &seen.at[0].entry);
		store_rescan(w.store);
	}
}

static void a_name_that_is_taken_is_made_another(void **state)
{
	(void)state;
	FAIL(openat64, 0, 2, EEXIST);
	mail("a", 10);
	FAIL(renameat2, 0, 3, EEXIST);
	mail("b", 10);
	FAIL(renameat2, 0, 100, EEXIST);
	assert_int_equal(put_mail(&m[0], "c", 10), FAULT_NONE);
	turn();
	assert_int_equal(m[0].code, FAULT_SPOOL_FAILED);
	scan_again();
	want_seen("a b");
	assert_int_equal(count_in("tmp"), 0);
}

/* ---- the end of the turn ---- */

static void what_fails_before_the_name_fails_for_all_of_the_file(void **state)
{
	static const struct {
		const char *name;
		struct call *call;
		int error;
		enum fault_code code;
	} rows[] = {
		{ "head of the file, no room", &call_pwrite64, ENOSPC, FAULT_NO_DISK },
		{ "head of the file", &call_pwrite64, EIO, FAULT_SPOOL_FAILED },
		{ "sync", &call_fsync, EIO, FAULT_SPOOL_FAILED },
		{ "sync, no room", &call_fsync, ENOSPC, FAULT_SPOOL_FAILED },
		{ "close", &call_close, EIO, FAULT_SPOOL_FAILED },
		{ "close, quota", &call_close, EDQUOT, FAULT_NO_DISK },
		{ "rename, no room", &call_renameat2, ENOSPC, FAULT_NO_DISK },
		{ "rename", &call_renameat2, EIO, FAULT_SPOOL_FAILED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		put_three(FAULT_NONE);
		assert_int_equal(put_mail(&m[3], "d", 2 << 20), FAULT_NONE); /* in a file of its own */
		rows[i].call->fails = 1;
		rows[i].call->error = rows[i].error;
		turn();
		for (int k = 0; k < 4; k++) {
			if (m[k].told != 1 || m[k].code != (k < 3 ? rows[i].code : FAULT_NONE))
				fail_msg("%s: message %d: told %u, code %d", rows[i].name, k, m[k].told, (int)m[k].code);
		}
		scan_again();
		want_seen("d");
		store_done(w.store, &seen.at[0].entry);
		nothing_behind();
	}
}

static void a_signal_is_no_failure(void **state)
{
	(void)state;
	put_three(FAULT_NONE);
	FAIL(fsync, 0, 3, EINTR);
	FAIL(close, 0, 1, EINTR);
	FAIL(pwrite64, 0, 1, EINTR);
	turn();
	for (int k = 0; k < 3; k++)
		assert_int_equal(m[k].code, FAULT_NONE);
	FAIL(fsync, 1, 3, EINTR);
	mail("d", 10);
	scan_again();
	want_seen("a b c d");
}

static void a_file_system_may_not_know_how_to_rename_without_replacing(void **state)
{
	static const int errors[] = { EINVAL, ENOSYS };

	(void)state;
	for (int i = 0; i < 2; i++) {
		FAIL(renameat2, 0, 1, errors[i]);
		mail("a", 10);
		FAIL(renameat2, 0, 1, errors[i]);
		FAIL(linkat, 0, 1, EIO);
		assert_int_equal(put_mail(&m[0], "b", 10), FAULT_NONE);
		turn();
		assert_int_equal(m[0].code, FAULT_SPOOL_FAILED);
		scan_again();
		want_seen("a");
		store_done(w.store, &seen.at[0].entry);
		nothing_behind();
	}
}

/* ---- the folder ---- */

static void when_the_folder_cannot_be_synced_nothing_is_taken_until_it_can(void **state)
{
	struct fault f = { 0 };

	(void)state;
	mail("before", 10);
	put_three(FAULT_NONE);
	FAIL(fsync, 1, 1, EIO);
	turn();
	for (int k = 0; k < 3; k++) {
		assert_int_equal(m[k].told, 1);
		assert_int_equal(m[k].code, FAULT_SPOOL_FAILED);
	}
	assert_int_equal(count_in("mail"), 1);
	assert_int_equal(count_in("tmp"), 0);
	assert_false(store_room(w.store, 1, &f));
	assert_int_equal(f.code, FAULT_SPOOL_FAILED);
	assert_int_equal(put_mail(&m[0], "x", 10), FAULT_SPOOL_FAILED);
	turn();
	/* The check fails at each of its steps, then passes. */
	FAIL(openat64, 0, 1, EIO);
	wait_ms(5000);
	FAIL(writev, 0, 1, EIO);
	wait_ms(5000);
	FAIL(fsync, 0, 1, EIO);
	wait_ms(5000);
	FAIL(close, 0, 1, EIO);
	wait_ms(5000);
	FAIL(fsync, 1, 1, EIO);
	wait_ms(5000);
	assert_int_equal(put_mail(&m[0], "x", 10), FAULT_SPOOL_FAILED);
	assert_int_equal(call_openat64.fails + call_writev.fails + call_fsync.fails + call_close.fails, 0);
	wait_ms(5000);
	mail("after", 10);
	assert_int_equal(count_in("tmp"), 0);
	scan_again();
	want_seen("after before");
	assert_int_equal(count_in("damaged"), 0);
}

static void a_check_under_way_is_left_alone(void **state)
{
	char ours[32];

	(void)state;
	snprintf(ours, sizeof(ours), "check.%ld", (long)getppid());
	put(in_dir("mail", ours), S("x"), 0600);
	scan();
	assert_int_equal(count_in("mail"), 1);
	assert_int_equal(count_in("damaged"), 0);
}

/* ---- room ---- */

static uint64_t free_octets(void)
{
	struct statvfs v;
	int fd = open(w.dir, O_RDONLY | O_DIRECTORY);

	assert_int_equal(__real_fstatvfs64(fd, &v), 0);
	close(fd);
	return (uint64_t)v.f_bavail * v.f_frsize;
}

static void a_reserve_is_left(void **state)
{
	struct fault f = { 0 };

	(void)state;
	w.reserve_octets = free_octets() / 2;
	world_again();
	assert_true(store_room(w.store, 1000, &f));
	assert_true(store_room(w.store, w.reserve_octets / 2, &f));
	assert_false(store_room(w.store, w.reserve_octets * 2, &f));
	assert_int_equal(f.code, FAULT_NO_DISK);
	f = (struct fault){ 0 };
	assert_false(store_room(w.store, UINT64_MAX, &f));
	mail("a", 10);
	w.reserve_octets = UINT64_MAX;
	world_again();
	f = (struct fault){ 0 };
	assert_false(store_room(w.store, 0, &f));
	assert_int_equal(f.code, FAULT_NO_DISK);
	assert_int_equal(put_mail(&m[0], "b", 10), FAULT_NO_DISK);
	turn();
	scan();
	want_seen("a");
	/* What needs no room goes on. */
	assert_true(store_mark(w.store, seen.at[0].entry, 0, SPOOL_DELIVERED));
	want_content(seen.at[0].entry, 10);
	store_done(w.store, &seen.at[0].entry);
	nothing_behind();
}

static void the_disk_is_asked_once_a_second(void **state)
{
	struct fault f = { 0 };
	unsigned n = call_fstatvfs64.n;

	(void)state;
	loop_clock_advance(w.loop, 0);
	for (int i = 0; i < 100; i++)
		assert_true(store_room(w.store, 1000, &f));
	assert_int_equal(call_fstatvfs64.n, n + 1);
	wait_ms(999);
	assert_true(store_room(w.store, 1000, &f));
	wait_ms(1);
	assert_true(store_room(w.store, 1000, &f));
	assert_int_equal(call_fstatvfs64.n, n + 2);
}

static void mail_is_taken_again_when_the_disk_has_room(void **state)
{
	struct fault f = { 0 };

	(void)state;
	loop_clock_advance(w.loop, 0);
	FAIL(writev, 0, 1, ENOSPC);
	assert_int_equal(put_mail(&m[0], "a", 10), FAULT_NO_DISK);
	assert_false(store_room(w.store, 1, &f));
	assert_int_equal(f.code, FAULT_NO_DISK);
	turn();
	wait_ms(999);
	f = (struct fault){ 0 };
	assert_false(store_room(w.store, 1, &f));
	wait_ms(1);
	f = (struct fault){ 0 };
	assert_true(store_room(w.store, 1, &f));
	mail("a", 10);
}

static void a_disk_that_cannot_be_asked_takes_nothing(void **state)
{
	struct fault f = { 0 };

	(void)state;
	FAIL(fstatvfs64, 0, 1, EIO);
	assert_false(store_room(w.store, 1, &f));
	assert_int_equal(f.code, FAULT_SPOOL_FAILED);
	f = (struct fault){ 0 };
	assert_true(store_room(w.store, 1, &f));
}

/* ---- marks, notes, removing ---- */

static void a_mark_that_cannot_be_written_is_told(void **state)
{
	(void)state;
	mail("a", 10);
	scan();
	FAIL(pwrite64, 0, 1, EIO);
	assert_false(store_mark(w.store, seen.at[0].entry, 0, SPOOL_DELIVERED));
	scan_again();
	FAIL(openat64, 0, 1, EMFILE);
	assert_false(store_mark(w.store, seen.at[0].entry, 0, SPOOL_DELIVERED));
	scan_again();
	want_seen("a");
	assert_string_equal(seen.at[0].marks, "....");
	FAIL(pwrite64, 0, 1, EINTR);
	assert_true(store_mark(w.store, seen.at[0].entry, 0, SPOOL_DELIVERED));
}

static void a_file_that_cannot_be_unlinked_is_done_all_the_same(void **state)
{
	(void)state;
	mail("a", 10);
	scan();
	assert_true(store_mark(w.store, seen.at[0].entry, 0, SPOOL_DELIVERED));
	FAIL(unlinkat, 0, 1, EIO);
	store_done(w.store, &seen.at[0].entry);
	assert_int_equal(store_files(w.store), 0);
	assert_int_equal(count_in("mail"), 1);
	/* Not marked done, for the file was to go: its recipients' marks are there. */
	scan_again();
	want_seen("a");
	assert_string_equal(seen.at[0].marks, ".d..");
}

static void a_failed_sync_of_marks_is_tried_no_more(void **state)
{
	(void)state;
	mail("a", 400000);
	assert_int_equal(put_mail(&m[0], "b", 400000), FAULT_NONE);
	assert_int_equal(put_mail(&m[1], "c", 400000), FAULT_NONE);
	turn();
	scan();
	FAIL(fdatasync, 0, 1, EIO);
	store_done(w.store, &seen.at[1].entry);
	wait_ms(1000);
	wait_ms(40000);
	/* A hole might last and the mark not. */
	assert_int_equal(call_fallocate64.n, 0);
	want_content(seen.at[2].entry, 400000);
}

static void a_note_that_cannot_be_written_leaves_the_one_before(void **state)
{
	(void)state;
	mail("a", 10);
	scan();
	assert_true(store_note(w.store, seen.at[0].entry, 0, S("one")));
	FAIL(writev, 0, 1, ENOSPC);
	assert_false(store_note(w.store, seen.at[0].entry, 0, S("two")));
	FAIL(openat64, 0, 1, ENOSPC);
	assert_false(store_note(w.store, seen.at[0].entry, 0, S("two")));
	FAIL(close, 0, 1, EIO);
	assert_false(store_note(w.store, seen.at[0].entry, 0, S("two")));
	assert_int_equal(count_in("tmp"), 0);
	WANT_SLICE(store_note_read(w.store, seen.at[0].entry, 0, &arena), S("one"));
}

static void room_that_cannot_be_given_back_is_no_failure(void **state)
{
	(void)state;
	assert_int_equal(put_mail(&m[0], "a", 400000), FAULT_NONE);
	assert_int_equal(put_mail(&m[1], "b", 400000), FAULT_NONE);
	turn();
	scan();
	FAIL(fallocate64, 0, 1, EOPNOTSUPP);
	store_done(w.store, &seen.at[0].entry);
	wait_ms(40000);
	assert_int_equal(call_fallocate64.n, 1);
	want_content(seen.at[1].entry, 400000);
}

#define T(f) cmocka_unit_test_setup_teardown(f, world_start, world_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_message_that_cannot_be_written_leaves_the_others),
		T(short_writes_are_gone_on_with),
		T(a_file_that_cannot_be_cut_back_fails_whole),
		T(the_head_of_a_big_one_may_fail),
		T(no_file_can_be_made),
		T(a_name_that_is_taken_is_made_another),
		T(what_fails_before_the_name_fails_for_all_of_the_file),
		T(a_signal_is_no_failure),
		T(a_file_system_may_not_know_how_to_rename_without_replacing),
		T(when_the_folder_cannot_be_synced_nothing_is_taken_until_it_can),
		T(a_check_under_way_is_left_alone),
		T(a_reserve_is_left),
		T(the_disk_is_asked_once_a_second),
		T(mail_is_taken_again_when_the_disk_has_room),
		T(a_disk_that_cannot_be_asked_takes_nothing),
		T(a_mark_that_cannot_be_written_is_told),
		T(a_file_that_cannot_be_unlinked_is_done_all_the_same),
		T(a_failed_sync_of_marks_is_tried_no_more),
		T(a_note_that_cannot_be_written_leaves_the_one_before),
		T(room_that_cannot_be_given_back_is_no_failure),
	};

	return RUN_TESTS(tests);
}
