/* What in the spool is no mail, or no longer: set aside, never opened when it is no file, never deleted; good messages beside it live on. */
#include "store_world.h"

#include <sys/wait.h>

/* Three messages in a file. */
static const char *three(size_t body_octets)
{
	static struct sent m[3];

	assert_int_equal(put_mail(&m[0], "a", body_octets), FAULT_NONE);
	assert_int_equal(put_mail(&m[1], "b", body_octets), FAULT_NONE);
	assert_int_equal(put_mail(&m[2], "c", body_octets), FAULT_NONE);
	turn();
	return name_in("mail");
}

static size_t message_octets(size_t body_octets)
{
	struct spool_envelope e = sample_envelope();
	struct spool_head h = { .marks = 4, .content_octets = SAMPLE_HEADER + 2 + body_octets };
	struct buf b;

	buf_init(&b, 65536);
	e.id = S("a");
	assert_true(spool_envelope_write(&b, &e));
	h.envelope_octets = (uint32_t)b.n;
	buf_release(&b);
	return (size_t)spool_end_at(&h);
}

static unsigned char *octets_of(const char *name, size_t *n_out)
{
	struct slice octets = content_of("mail", name);

	*n_out = octets.n;
	return (unsigned char *)(uintptr_t)octets.at;
}

/* Nothing of it is gone. */
static void want_aside(const char *name, struct slice octets)
{
	struct slice got = content_of("damaged", name);

	assert_int_equal(got.n, octets.n);
}

/* ---- what is no file ---- */

static void make_fifo(const char *path)
{
	assert_int_equal(mkfifo(path, 0600), 0);
}

static void make_symlink(const char *path)
{
	put(in_dir("..", (const char *)arena_printf(&arena, "%s.target%c", strrchr(w.dir, '/') + 1, 0).at), S("x"), 0600);
	assert_int_equal(symlink((const char *)arena_printf(&arena, "%s.target%c", w.dir, 0).at, path), 0);
}

static void make_folder(const char *path)
{
	assert_int_equal(mkdir(path, 0700), 0);
	put((const char *)arena_printf(&arena, "%s/inside%c", path, 0).at, S("x"), 0600);
}

static void make_link(const char *path)
{
	put(in_dir("", "other"), S("x"), 0600);
	assert_int_equal(link(in_dir("", "other"), path), 0);
}

static void make_others(const char *path)
{
	put(path, S("x"), 0644);
	assert_int_equal(chown(path, 65534, 65534), 0);
}

static void make_empty(const char *path)
{
	put(path, SLICE_NONE, 0600);
}

static void make_short(const char *path)
{
	put(path, S("hopseal spool\r\n"), 0600);
}

static void make_zeros(const char *path)
{
	put(path, slice_of(arena_take(&arena, 4096), 4096), 0600);
}

static void what_is_no_file_of_messages_is_set_aside(void **state)
{
	static const struct {
		const char *name;
		void (*make)(const char *path);
		bool file;
	} rows[] = {
		{ "fifo", make_fifo, false },
		{ "symlink", make_symlink, false },
		{ "folder", make_folder, false },
		{ "hard link", make_link, false },
		{ "another owner's", make_others, false },
		{ "empty", make_empty, true },
		{ "shorter than a head", make_short, true },
		{ "zeros", make_zeros, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *name = "0192f0c1a2b3000700000001";
		struct stat before, after;
		unsigned opened;

		if (rows[i].make == make_others && geteuid() != 0)
			continue;
		rows[i].make(in_dir("mail", name));
		assert_int_equal(lstat(in_dir("mail", name), &before), 0);
		mail("a", 10);
		world_again();
		opened = call_openat64.n;
		scan();
		/* tmp/ twice for one with two names, mail/, note/, and the good file. */
		assert_int_equal(call_openat64.n - opened, 4 + rows[i].file + (rows[i].make == make_link));
		want_seen("a");
		assert_int_equal(count_in("damaged"), 1);
		if (lstat(in_dir("damaged", name), &after) != 0)
			fail_msg("%s: not set aside", rows[i].name);
		assert_int_equal(after.st_ino, before.st_ino);
		assert_int_equal(after.st_mode, before.st_mode);
		store_done(w.store, &seen.at[0].entry);
		assert_int_equal(count_in("mail"), 0);
		assert_true(files_remove(in_dir("damaged", "")));
		assert_int_equal(mkdir(in_dir("damaged", ""), 0700), 0);
		if (rows[i].make == make_symlink)
			assert_int_equal(unlink((const char *)arena_printf(&arena, "%s.target%c", w.dir, 0).at), 0);
		world_again();
	}
}

static void other_names_are_set_aside(void **state)
{
	static const char *const names[] = { "0192f0c1a2b300070000000", "0192F0C1A2B3000700000001", "core", ".hidden", "check.x",
		"0192f0c1a2b3000700000001.tmp", "a name \n with \x01 octets" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		put(in_dir("mail", names[i]), S("x"), 0600);
	mail("a", 10);
	scan_again();
	want_seen("a");
	assert_int_equal(count_in("mail"), 1);
	assert_int_equal(count_in("damaged"), sizeof(names) / sizeof(names[0]));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		WANT_SLICE(content_of("damaged", names[i]), S("x"));
}

static void what_was_set_aside_before_is_not_replaced(void **state)
{
	struct slice name;

	(void)state;
	for (int i = 0; i < 3; i++) {
		char octet[2] = { (char)('a' + i), '\0' };

		put(in_dir("mail", "x"), slice_str(octet), 0600);
		store_rescan(w.store);
		scan();
	}
	assert_int_equal(names_in("damaged", &name, 1), 3);
	WANT_SLICE(content_of("damaged", "x"), S("a"));
	WANT_SLICE(content_of("damaged", "x.1"), S("b"));
	WANT_SLICE(content_of("damaged", "x.2"), S("c"));
}

static void a_name_as_long_as_can_be_is_set_aside_twice(void **state)
{
	char name[256];

	(void)state;
	memset(name, 'n', 255);
	name[255] = '\0';
	for (int i = 0; i < 2; i++) {
		put(in_dir("mail", name), S("x"), 0600);
		store_rescan(w.store);
		scan();
	}
	assert_int_equal(count_in("damaged"), 2);
	assert_int_equal(count_in("mail"), 0);
}

/* ---- files with damage ---- */

static void of_a_damaged_file_the_good_messages_live(void **state)
{
	enum { BODY = 600 };
	size_t each = message_octets(BODY);
	const struct {
		const char *name;
		size_t at;
		const char *seen;
	} rows[] = {
		{ "magic of the file", 0, "a b c" },
		{ "messages of the file", 23, "a b c" },
		{ "octets of the file", 31, "a b c" },
		{ "key of the file", 40, "" },
		{ "checksum of the file", 48, "a b c" },
		{ "what is zero in its head", 400, "a b c" },
		{ "magic of the first", 512, "b c" },
		{ "a length of the second", 512 + each + 15, "a c" },
		{ "length of the content of the second", 512 + each + 30, "a c" },
		{ "checksum of the second", 512 + each + 120, "a c" },
		{ "envelope of the second", 512 + each + 140, "a c" },
		{ "envelope of the last", 512 + 2 * each + 140, "a b" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *name = three(BODY);
		unsigned char *octets;
		size_t n;

		octets = octets_of(name, &n);
		assert_int_equal(n, 512 + 3 * each);
		octets[rows[i].at] ^= 4;
		change_file(name, slice_of(octets, n));
		scan_again();
		want_seen(rows[i].seen);
		want_aside(name, slice_of(octets, n));
		assert_int_equal(count_in("mail"), seen.n > 0);
		for (size_t k = 0; k < seen.n; k++)
			want_content(seen.at[k].entry, BODY);
		/* The same once more: nothing is found twice. */
		scan_again();
		want_seen(rows[i].seen);
		for (size_t k = 0; k < seen.n; k++)
			store_done(w.store, &seen.at[k].entry);
		assert_int_equal(count_in("mail") + count_in("tmp"), 0);
		assert_int_equal(count_in("damaged"), 1);
		/* Moved back by an operator, it gives out no good message a second time. */
		assert_int_equal(rename(in_dir("damaged", name), in_dir("mail", name)), 0);
		scan_again();
		assert_int_equal(seen.n, 0);
		assert_int_equal(unlink(in_dir("damaged", name)), 0);
	}
}

static void every_bit_of_a_head_or_envelope_is_noticed(void **state)
{
	const char *name = three(10);
	unsigned char *octets;
	struct spool_head h;
	size_t n;

	(void)state;
	octets = octets_of(name, &n);
	assert_true(spool_head_read(slice_of(octets + 512, SPOOL_HEAD), &h));
	for (size_t bit = 0; bit < (512 + (size_t)spool_content_at(&h)) * 8; bit += 29) {
		octets[bit / 8] ^= (unsigned char)(1 << bit % 8);
		change_file(name, slice_of(octets, n));
		scan_again();
		if (count_in("damaged") != 1)
			fail_msg("octet %zu, bit %zu", bit / 8, bit % 8);
		if (bit / 8 >= 512)
			want_seen("b c");
		while (seen.n > 0)
			store_done(w.store, &seen.at[--seen.n].entry);
		assert_int_equal(unlink(in_dir("damaged", name)), 0);
		octets[bit / 8] ^= (unsigned char)(1 << bit % 8);
	}
}

static void a_cut_file_gives_what_is_whole(void **state)
{
	size_t each = message_octets(600), n;
	unsigned char *octets;
	const char *name = three(600);

	(void)state;
	octets = octets_of(name, &n);
	for (size_t cut = 0; cut < n; cut += cut < 1024 ? 97 : 256) {
		change_file(name, slice_of(octets, cut));
		scan_again();
		want_seen(cut < 512 + each ? "" : cut < 512 + 2 * each ? "a" : "a b");
		while (seen.n > 0)
			store_done(w.store, &seen.at[--seen.n].entry);
		assert_int_equal(count_in("damaged"), 1);
		assert_int_equal(unlink(in_dir("damaged", name)), 0);
	}
	assert_int_equal(count_in("mail"), 0);
}

/* At the end of a message too. */
static void a_missing_message_is_noticed(void **state)
{
	size_t each = message_octets(600), n;
	unsigned char *octets;
	const char *name = three(600);

	(void)state;
	octets = octets_of(name, &n);
	change_file(name, slice_of(octets, n - each));
	scan_again();
	want_seen("a b");
	assert_int_equal(count_in("damaged"), 1);
}

static void what_is_behind_the_end_is_noticed(void **state)
{
	const char *name = three(600);
	unsigned char *octets, *more;
	size_t n;

	(void)state;
	octets = octets_of(name, &n);
	more = arena_take(&arena, n + 512);
	memcpy(more, octets, n);
	change_file(name, slice_of(more, n + 512));
	scan_again();
	want_seen("a b c");
	assert_int_equal(count_in("damaged"), 1);
}

static void a_mark_that_is_none_is_noticed(void **state)
{
	const char *name = three(10);
	struct spool_head h;
	unsigned char *octets;
	size_t n;

	(void)state;
	octets = octets_of(name, &n);
	assert_true(spool_head_read(slice_of(octets + 512, SPOOL_HEAD), &h));
	octets[512 + spool_marks_at(&h) + 1] = 'z';
	change_file(name, slice_of(octets, n));
	scan_again();
	want_seen("b c");
	assert_int_equal(count_in("damaged"), 1);
}

static void marks_of_good_messages_are_kept(void **state)
{
	const char *name = three(10);
	unsigned char *octets;
	size_t n;

	(void)state;
	scan();
	assert_true(store_mark(w.store, seen.at[1].entry, 1, SPOOL_DELIVERED));
	assert_true(store_mark(w.store, seen.at[1].entry, STORE_MESSAGE, SPOOL_HELD));
	store_done(w.store, &seen.at[2].entry);
	octets = octets_of(name, &n);
	octets[512] ^= 1;
	change_file(name, slice_of(octets, n));
	scan_again();
	want_seen("b");
	assert_string_equal(seen.at[0].marks, "H.d.");
}

/* A mail whose content is a message of the spool, where one could begin: the damage around it does not let it out. */
static void content_that_looks_like_a_message_is_none(void **state)
{
	struct spool_envelope e = sample_envelope();
	struct spool_file file = { .messages = 1 };
	struct spool_head h;
	struct sent m;
	unsigned char *content = arena_take(&arena, 8192), *octets;
	struct buf b;
	const char *name;
	size_t n, from;

	(void)state;
	buf_init(&b, 65536);
	e.id = S("forged");
	e.known_client = true;
	assert_true(spool_envelope_write(&b, &e));
	h = (struct spool_head){ .envelope_octets = (uint32_t)b.n, .marks = 4 };
	memcpy(content, "Subject: x\r\n\r\n", 14);
	e.id = S("a");
	for (from = 14; from + SPOOL_HEAD + b.n + 4 < 8192; from += SPOOL_ALIGN) {
		/* At every offset it could have. */
		spool_head_write(content + from, &file, &h, buf_get(&b));
		memcpy(content + from + SPOOL_HEAD, b.at, b.n);
		memset(content + from + SPOOL_HEAD + b.n, '.', 4);
	}
	buf_release(&b);
	for (size_t shift = 0; shift < SPOOL_ALIGN; shift += 2) {
		struct slice runs[2] = { slice_of(content, 14), slice_of(content + 14, 8192 - 14) };
		unsigned char *pad = arena_take(&arena, shift + 1);
		struct slice all[3] = { runs[0], slice_of(memset(pad, 'p', shift + 1), shift), runs[1] };
		struct store_message message = { &e, all, 3, SAMPLE_HEADER, NULL, NULL };
		struct fault f = { 0 };

		if (shift % 64 != 0 && shift != 386)
			continue;
		m = (struct sent){ .told = 0 };
		assert_true(store_put(w.store, &m.put, &message, on_put, &m, &f));
		turn();
		name = name_in("mail");
		octets = octets_of(name, &n);
		octets[512 + 120] ^= 1;
		change_file(name, slice_of(octets, n));
		scan_again();
		assert_int_equal(seen.n, 0);
		assert_int_equal(unlink(in_dir("damaged", name)), 0);
	}
}

/* ---- content ---- */

static void spoil_content(const char *name, size_t at)
{
	size_t n;
	unsigned char *octets = octets_of(name, &n);

	octets[at] ^= 1;
	change_file(name, slice_of(octets, n));
}

static void damaged_content_is_noticed_when_it_is_opened(void **state)
{
	static const size_t bodies[] = { 600, 2 << 20 };

	(void)state;
	for (int i = 0; i < 2; i++) {
		const char *name;
		struct slice header, body;
		struct fault f = { 0 };

		mail("a", bodies[i]);
		name = name_in("mail");
		spoil_content(name, message_octets(bodies[i]));
		scan_again();
		want_seen("a");
		assert_false(store_open(w.store, seen.at[0].entry, &header, &body, &f));
		assert_int_equal(f.code, FAULT_MALFORMED);
		store_damaged(w.store, &seen.at[0].entry, "content");
		assert_null(seen.at[0].entry);
		assert_int_equal(store_entries(w.store) + store_files(w.store), 0);
		assert_int_equal(count_in("mail"), 0);
		assert_int_equal(count_in("damaged"), 1);
		assert_int_equal(unlink(in_dir("damaged", name)), 0);
	}
}

static void one_damaged_content_leaves_the_others(void **state)
{
	const char *name = three(30000), *aside;
	size_t each = message_octets(30000);
	struct slice header, body;
	struct fault f = { 0 };

	(void)state;
	spoil_content(name, 512 + 2 * each - 600);
	scan_again();
	want_seen("a b c");
	assert_false(store_open(w.store, seen.at[1].entry, &header, &body, &f));
	store_damaged(w.store, &seen.at[1].entry, "content");
	aside = name_in("damaged");
	assert_memory_equal(aside, name, SPOOL_NAME);
	assert_int_equal(aside[SPOOL_NAME], '.');
	assert_int_equal(content_of("damaged", aside).n, 512 + each);
	want_content(seen.at[0].entry, 30000);
	want_content(seen.at[2].entry, 30000);
	scan_again();
	want_seen("a c");
	/* What lies there is a file of the spool but for the content. */
	put(in_dir("mail", "0192f0c1a2b3000700000001"), content_of("damaged", aside), 0600);
	store_rescan(w.store);
	seen.n = 0;
	scan();
	want_seen("b");
	assert_false(store_open(w.store, seen.at[0].entry, &header, &body, &f));
}

static void without_room_the_file_is_set_aside_in_the_end(void **state)
{
	const char *name = three(600);
	size_t each = message_octets(600);

	(void)state;
	spoil_content(name, 512 + 2 * each - 500);
	scan_again();
	FAIL(writev, 0, 1000, ENOSPC);
	store_damaged(w.store, &seen.at[1].entry, "content");
	assert_int_equal(count_in("damaged") + count_in("tmp"), 0);
	store_done(w.store, &seen.at[0].entry);
	want_content(seen.at[2].entry, 600);
	assert_int_equal(count_in("damaged"), 0);
	store_done(w.store, &seen.at[2].entry);
	assert_int_equal(count_in("damaged"), 1);
	assert_int_equal(count_in("mail"), 0);
}

static void without_room_good_messages_of_a_damaged_file_are_found_in_place(void **state)
{
	const char *name = three(600);
	unsigned char *octets;
	size_t n;

	(void)state;
	octets = octets_of(name, &n);
	octets[512] ^= 1;
	change_file(name, slice_of(octets, n));
	world_again();
	FAIL(writev, 0, 1000, ENOSPC);
	scan();
	want_seen("b c");
	assert_int_equal(count_in("damaged") + count_in("tmp"), 0);
	want_content(seen.at[0].entry, 600);
	store_done(w.store, &seen.at[0].entry);
	store_done(w.store, &seen.at[1].entry);
	want_aside(name, slice_of(octets, n));
	assert_int_equal(count_in("mail"), 0);
}

/* ... of which some have damaged content: these stay in damaged/ alone. */
static void good_is_what_has_good_content(void **state)
{
	const char *name = three(600);
	size_t each = message_octets(600), n;
	unsigned char *octets = octets_of(name, &n);

	(void)state;
	octets[512] ^= 1;
	octets[512 + 2 * each - 500] ^= 1;
	change_file(name, slice_of(octets, n));
	scan_again();
	want_seen("c");
	want_content(seen.at[0].entry, 600);
	assert_int_equal(count_in("damaged"), 1);
}

static void what_cannot_be_read_now_stays(void **state)
{
	struct slice header, body;
	struct fault f = { 0 };

	(void)state;
	three(600);
	world_again();
	FAIL(pread64, 0, 1, EIO);
	scan();
	assert_int_equal(seen.n, 0);
	assert_int_equal(count_in("damaged"), 0);
	store_rescan(w.store);
	scan();
	want_seen("a b c");
	FAIL(pread64, 0, 1, EIO);
	assert_false(store_open(w.store, seen.at[0].entry, &header, &body, &f));
	assert_int_equal(f.code, FAULT_INTERNAL);
	FAIL(pread64, 0, 1, EINTR);
	want_content(seen.at[0].entry, 600);
}

static void a_file_that_is_gone_is_forgotten(void **state)
{
	struct slice header, body;
	struct fault f = { 0 };

	(void)state;
	three(600);
	scan();
	assert_int_equal(unlink(in_dir("mail", name_in("mail"))), 0);
	for (int i = 0; i < 3; i++) {
		f = (struct fault){ 0 };
		assert_false(store_open(w.store, seen.at[i].entry, &header, &body, &f));
		assert_int_equal(f.code, FAULT_MALFORMED);
		store_damaged(w.store, &seen.at[i].entry, "gone");
	}
	assert_int_equal(store_files(w.store) + store_entries(w.store), 0);
	assert_int_equal(count_in("damaged") + count_in("mail") + count_in("tmp"), 0);
}

/* ---- tmp/ ---- */

static pid_t gone(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	return pid;
}

static void left_overs_of_the_dead_are_removed(void **state)
{
	char dead[64], living[64], own[64], old[64];
	struct timespec times[2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000000 } };
	struct sent m;

	(void)state;
	snprintf(dead, sizeof(dead), "%ld.0192f0c1a2b3000700000001", (long)gone());
	snprintf(living, sizeof(living), "%ld.0192f0c1a2b3000700000002", (long)getppid());
	snprintf(old, sizeof(old), "%ld.0192f0c1a2b3000700000003", (long)getppid());
	snprintf(own, sizeof(own), "%ld.0192f0c1a2b3000700000004", (long)getpid());
	put(in_dir("tmp", dead), S("x"), 0600);
	put(in_dir("tmp", living), S("x"), 0600);
	put(in_dir("tmp", own), S("x"), 0600);
	put(in_dir("tmp", old), S("x"), 0600);
	put(in_dir("tmp", "something"), S("x"), 0600);
	assert_int_equal(utimensat(AT_FDCWD, in_dir("tmp", old), times, 0), 0);
	assert_int_equal(put_mail(&m, "a", 10), FAULT_NONE);
	scan();
	assert_int_equal(count_in("tmp"), 3); /* the living one's, the other, ours being written */
	assert_int_equal(access(in_dir("tmp", living), F_OK), 0);
	assert_int_equal(access(in_dir("tmp", "something"), F_OK), 0);
	turn();
	assert_int_equal(m.code, FAULT_NONE);
	store_rescan(w.store);
	scan();
	want_seen("a");
	assert_int_equal(count_in("damaged"), 0);
}

/* Where a file system cannot rename without replacing. */
static void a_file_with_its_name_in_tmp_too_is_looked_at_later(void **state)
{
	const char *name, *tmp;

	(void)state;
	mail("a", 10);
	name = name_in("mail");
	tmp = in_dir("tmp", (const char *)arena_printf(&arena, "%ld.%s%c", (long)getppid(), name, 0).at);
	assert_int_equal(link(in_dir("mail", name), tmp), 0);
	scan_again();
	assert_int_equal(seen.n, 0);
	assert_int_equal(count_in("damaged"), 0);
	assert_int_equal(unlink(tmp), 0);
	assert_true(store_take(w.store, slice_str(name), on_found, NULL));
	want_seen("a");
	/* ... and of one that died between, the other name goes. */
	tmp = in_dir("tmp", (const char *)arena_printf(&arena, "%ld.%s%c", (long)gone(), name, 0).at);
	assert_int_equal(link(in_dir("mail", name), tmp), 0);
	world_again();
	seen.n = 0;
	assert_true(store_take(w.store, slice_str(name), on_found, NULL));
	want_seen("a");
	assert_int_equal(count_in("tmp"), 0);
}

static void folders_are_ours_alone(void **state)
{
	struct store_conf conf = { .slot = 1 };
	char error[256];

	(void)state;
	assert_int_equal(chmod(in_dir("mail", ""), 0777), 0);
	conf.dir_fd = open(w.dir, O_RDONLY | O_DIRECTORY);
	assert_null(store_new(w.loop, &conf, error));
	assert_non_null(strstr(error, "mail"));
	assert_int_equal(chmod(in_dir("mail", ""), 0700), 0);
	assert_int_equal(rename(in_dir("mail", ""), in_dir("", "real")), 0);
	assert_int_equal(symlink("real", in_dir("", "mail")), 0);
	conf.dir_fd = open(w.dir, O_RDONLY | O_DIRECTORY);
	assert_null(store_new(w.loop, &conf, error));
	assert_int_equal(unlink(in_dir("", "mail")), 0);
	assert_int_equal(rename(in_dir("", "real"), in_dir("mail", "")), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, world_start, world_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_is_no_file_of_messages_is_set_aside),
		T(other_names_are_set_aside),
		T(what_was_set_aside_before_is_not_replaced),
		T(a_name_as_long_as_can_be_is_set_aside_twice),
		T(of_a_damaged_file_the_good_messages_live),
		T(every_bit_of_a_head_or_envelope_is_noticed),
		T(a_cut_file_gives_what_is_whole),
		T(a_missing_message_is_noticed),
		T(what_is_behind_the_end_is_noticed),
		T(a_mark_that_is_none_is_noticed),
		T(marks_of_good_messages_are_kept),
		T(content_that_looks_like_a_message_is_none),
		T(damaged_content_is_noticed_when_it_is_opened),
		T(one_damaged_content_leaves_the_others),
		T(without_room_the_file_is_set_aside_in_the_end),
		T(without_room_good_messages_of_a_damaged_file_are_found_in_place),
		T(good_is_what_has_good_content),
		T(what_cannot_be_read_now_stays),
		T(a_file_that_is_gone_is_forgotten),
		T(left_overs_of_the_dead_are_removed),
		T(a_file_with_its_name_in_tmp_too_is_looked_at_later),
		T(folders_are_ours_alone),
	};

	return RUN_TESTS(tests);
}
