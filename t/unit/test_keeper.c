/* The keeper, as a process of its own. */
#include "child.h"

#include <fcntl.h>

#include "crypt/sign.h"

enum { RSA, ED, RETIRED, KEYS };

static struct {
	char dir[32];
	char files[KEYS][64];
	struct key *keys[KEYS];
	struct conf_key conf_keys[KEYS];
	struct conf_listener listener;
	struct conf conf;
	unsigned char octets[LIMIT_IPC];
	struct buf out;
} w;

static void write_file(const char *path, struct slice octets)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, octets.at, octets.n), (ssize_t)octets.n);
	close(fd);
}

static int make_keys(void **state)
{
	static const char *const selectors[KEYS] = { "r1", "e1", "old" };

	(void)state;
	strcpy(w.dir, "/tmp/test_keeper.XXXXXX");
	if (mkdtemp(w.dir) == NULL)
		return -1;
	for (size_t i = 0; i < KEYS; i++) {
		struct buf pem;

		snprintf(w.files[i], sizeof(w.files[i]), "%s/%s.pem", w.dir, selectors[i]);
		w.keys[i] = key_generate(i == RSA ? KEY_RSA : KEY_ED25519, 2048);
		assert_non_null(w.keys[i]);
		buf_init(&pem, 65536);
		assert_true(key_pem(w.keys[i], &pem));
		write_file(w.files[i], buf_get(&pem));
		buf_release(&pem);
		w.conf_keys[i] = (struct conf_key){ .domain = "a.example", .selector = selectors[i], .file = w.files[i],
			.active = i != RETIRED, .where = "hopseal.conf:1" };
	}
	w.listener.sealing = true;
	w.conf = (struct conf){ .keys = w.conf_keys, .key_count = KEYS, .listeners = &w.listener, .listener_count = 1 };
	buf_init(&w.out, LIMIT_IPC);
	return 0;
}

static int remove_keys(void **state)
{
	(void)state;
	for (size_t i = 0; i < KEYS; i++) {
		key_drop(&w.keys[i]);
		unlink(w.files[i]);
	}
	rmdir(w.dir);
	buf_release(&w.out);
	return 0;
}

static struct child start(bool output)
{
	struct child c = child_start(keeper_main, (struct child_args){ .conf = &w.conf, .resolver_fd = -1, .keeper_fd = -1,
	    .control_fd = -1, .uid = (uid_t)-1, .gid = (gid_t)-1 }, output);

	return c;
}

static void begin(void)
{
	buf_clear(&w.out);
	ipc_begin(&w.out, IPC_SIGN);
}

static void add(uint64_t ticket, enum key_type type, const char *domain, const char *selector, const unsigned char digest[32])
{
	assert_true(ipc_add_sign(&w.out, &(struct ipc_sign){ ticket, type, slice_str(domain), slice_str(selector), digest }));
}

/* Answers one request and gives the outcome. */
static struct ipc_signed one(int fd, enum key_type type, const char *domain, const char *selector, const unsigned char digest[32])
{
	struct ipc_signed s;
	struct ipc_in in;

	begin();
	add(77, type, domain, selector, digest);
	child_send(fd, &w.out);
	child_receive(fd, IPC_SIGNED, w.octets, &in);
	assert_int_equal(in.left, 1);
	assert_true(ipc_next_signed(&in, &s));
	assert_int_equal(s.ticket, 77);
	return s;
}

static void signs_what_its_keys_verify(void **state)
{
	unsigned char digest[32] = { 1, 2, 3 }, other[32] = { 1, 2, 4 };
	struct child c = start(false);
	struct ipc_signed s;
	int fd;

	(void)state;
	child_ready(&c);
	fd = child_client(&c);
	s = one(fd, KEY_ED25519, "a.example", "e1", digest);
	assert_int_equal(s.status, IPC_SIGNED_DONE);
	assert_true(verify_sha256(w.keys[ED], digest, s.signature, NULL));
	assert_false(verify_sha256(w.keys[ED], other, s.signature, NULL));
	s = one(fd, KEY_RSA, "a.example", "r1", digest);
	assert_int_equal(s.status, IPC_SIGNED_DONE);
	assert_true(verify_sha256(w.keys[RSA], digest, s.signature, NULL));
	assert_false(verify_sha256(w.keys[RSA], other, s.signature, NULL));
	close(fd);
	assert_int_equal(child_stop(&c), 0);
}

static void refuses_what_the_configuration_does_not_sign_with(void **state)
{
	static const struct {
		const char *name;
		enum key_type type;
		const char *domain, *selector;
		enum ipc_signed_status status;
	} rows[] = {
		{ "another selector", KEY_ED25519, "a.example", "e2", IPC_SIGNED_REFUSED },
		{ "a longer selector", KEY_ED25519, "a.example", "e11", IPC_SIGNED_REFUSED },
		{ "another domain", KEY_ED25519, "b.example", "e1", IPC_SIGNED_REFUSED },
		{ "a domain below", KEY_ED25519, "x.a.example", "e1", IPC_SIGNED_REFUSED },
		{ "another type", KEY_RSA, "a.example", "e1", IPC_SIGNED_REFUSED },
		{ "a retired key", KEY_ED25519, "a.example", "old", IPC_SIGNED_REFUSED },
		{ "an active key", KEY_ED25519, "a.example", "e1", IPC_SIGNED_DONE },
	};
	unsigned char digest[32] = { 0 };
	struct child c = start(false);
	int fd;

	(void)state;
	child_ready(&c);
	fd = child_client(&c);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ipc_signed s = one(fd, rows[i].type, rows[i].domain, rows[i].selector, digest);

		if (s.status != rows[i].status)
			fail_msg("%s: status %d", rows[i].name, s.status);
	}
	close(fd);
	assert_int_equal(child_stop(&c), 0);
}

static void holds_no_key_without_a_sealing_listener(void **state)
{
	unsigned char digest[32] = { 0 };
	struct child c;
	int fd;

	(void)state;
	w.listener.sealing = false;
	c = start(false);
	w.listener.sealing = true;
	child_ready(&c);
	fd = child_client(&c);
	assert_int_equal(one(fd, KEY_ED25519, "a.example", "e1", digest).status, IPC_SIGNED_REFUSED);
	close(fd);
	assert_int_equal(child_stop(&c), 0);
}

static void survives_what_is_no_message(void **state)
{
	unsigned char digest[32] = { 0 };
	static unsigned char big[LIMIT_IPC + 1000];
	struct child c = start(true);
	char text[4096];
	int fd, room = 2 * LIMIT_IPC;

	(void)state;
	child_ready(&c);
	fd = child_client(&c);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	assert_int_equal(send(fd, "x", 1, 0), 1);
	assert_int_equal(send(fd, "\1\3\0\0", 4, 0), 4);
	assert_int_equal(send(fd, "\1\3\377\377", 4, 0), 4);
	assert_int_equal(send(fd, big, sizeof(big), 0), (ssize_t)sizeof(big));
	begin();
	add(1, KEY_ED25519, "a.example", "e1", digest);
	add(2, KEY_ED25519, "a.example", "e1", digest);
	for (size_t cut = 1; cut < w.out.n; cut++) {
		child_wait(fd, POLLOUT);
		assert_int_equal(send(fd, w.out.at, cut, 0), (ssize_t)cut);
	}
	/* None of them was answered, not even in part; what comes next is the answer to this. */
	assert_int_equal(one(fd, KEY_ED25519, "a.example", "e1", digest).status, IPC_SIGNED_DONE);
	/* A client that goes with work undone. */
	begin();
	for (unsigned i = 0; i < 100; i++)
		add(i, KEY_RSA, "a.example", "r1", digest);
	child_send(fd, &w.out);
	close(fd);
	fd = child_client(&c);
	assert_int_equal(one(fd, KEY_ED25519, "a.example", "e1", digest).status, IPC_SIGNED_DONE);
	close(fd);
	assert_true(boss_send(c.boss, BOSS_STOP, 0, NULL, -1));
	child_output(&c, text, sizeof(text));
	assert_non_null(strstr(text, "ipc_malformed"));
	assert_null(strstr(strstr(text, "ipc_malformed") + 1, "ipc_malformed")); /* said once a client */
	assert_int_equal(child_code(&c), 0);
}

/* A worker with one question does not wait for a full message of another's. */
static void workers_are_served_in_turn(void **state)
{
	unsigned char digest[32] = { 0 };
	struct child c = start(false);
	struct ipc_signed s;
	struct ipc_in in;
	unsigned before = 0, after = 0;
	int busy, quick;

	(void)state;
	child_ready(&c);
	busy = child_client(&c);
	quick = child_client(&c);
	assert_int_equal(one(quick, KEY_ED25519, "a.example", "e1", digest).status, IPC_SIGNED_DONE);
	begin();
	for (unsigned i = 0; i < LIMIT_IPC_BATCH; i++)
		add(i, KEY_RSA, "a.example", "r1", digest);
	child_send(busy, &w.out);
	child_receive(busy, IPC_SIGNED, w.octets, &in); /* it is at work */
	before += in.left;
	assert_int_equal(one(quick, KEY_RSA, "a.example", "r1", digest).status, IPC_SIGNED_DONE);
	for (ssize_t n; (n = recv(busy, w.octets, LIMIT_IPC, 0)) > 0;) {
		assert_true(ipc_open(slice_of(w.octets, (size_t)n), IPC_SIGNED, &in));
		before += in.left;
	}
	assert_true(before < LIMIT_IPC_BATCH / 2);
	for (after = before; after < LIMIT_IPC_BATCH;) {
		child_receive(busy, IPC_SIGNED, w.octets, &in);
		while (ipc_next_signed(&in, &s)) {
			assert_int_equal(s.ticket, after);
			assert_int_equal(s.status, IPC_SIGNED_DONE);
			after++;
		}
	}
	close(busy);
	close(quick);
	assert_int_equal(child_stop(&c), 0);
}

/* A worker that does not read its answers keeps nobody from theirs; it gets what was held for it later. */
static void a_worker_that_does_not_read_stops_nobody(void **state)
{
	unsigned char digest[32] = { 0 };
	struct child c = start(false);
	struct ipc_signed s;
	struct ipc_in in;
	unsigned asked = 0, got = 0;
	int deaf, other, small = 4096;

	(void)state;
	child_ready(&c);
	deaf = child_client(&c);
	other = child_client(&c);
	setsockopt(deaf, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	for (unsigned i = 0; i < 16; i++) {
		begin();
		for (unsigned j = 0; j < LIMIT_IPC_BATCH; j++)
			add(asked++, KEY_ED25519, "a.example", "e1", digest);
		child_send(deaf, &w.out);
		assert_int_equal(one(other, KEY_ED25519, "a.example", "e1", digest).status, IPC_SIGNED_DONE);
	}
	while (got < asked) {
		child_receive(deaf, IPC_SIGNED, w.octets, &in);
		for (; ipc_next_signed(&in, &s); got++)
			assert_int_equal(s.ticket, got);
	}
	close(deaf);
	close(other);
	assert_int_equal(child_stop(&c), 0);
}

static void leaves_when_the_supervisor_is_gone(void **state)
{
	struct child c = start(false);
	int fd;

	(void)state;
	child_ready(&c);
	fd = child_client(&c);
	close(c.boss);
	c.boss = -1;
	assert_int_equal(child_code(&c), 0);
	close(fd);
}

static void signals_to_the_group_do_not_end_it(void **state)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1 };
	unsigned char digest[32] = { 0 };
	struct child c = start(false);
	int fd;

	(void)state;
	child_ready(&c);
	fd = child_client(&c);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		assert_int_equal(kill(c.pid, signals[i]), 0);
	assert_int_equal(one(fd, KEY_ED25519, "a.example", "e1", digest).status, IPC_SIGNED_DONE);
	close(fd);
	assert_int_equal(child_stop(&c), 0);
}

static void holds_no_descriptor_but_its_own(void **state)
{
	struct child c;
	char x;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	c = start(false);
	child_ready(&c);
	close(fds[1]);
	child_wait(fds[0], POLLIN); /* the end of file, once the last writer is gone */
	assert_int_equal(read(fds[0], &x, 1), 0);
	close(fds[0]);
	assert_int_equal(child_stop(&c), 0);
}

static struct slice weak_key(struct buf *pem)
{
	struct key *k = key_generate(KEY_RSA, 1024);

	buf_init(pem, 65536);
	assert_true(key_pem(k, pem));
	key_drop(&k);
	return buf_get(pem);
}

static void an_unreadable_key_is_named_and_ends_it(void **state)
{
	struct buf pem;
	const struct {
		const char *name;
		struct slice content;
	} rows[] = {
		{ "no PEM", { (const unsigned char *)"nonsense\n", 9 } },
		{ "empty", { NULL, 0 } },
		{ "too short to sign", weak_key(&pem) },
	};
	struct conf_key broken = w.conf_keys[ED];
	struct conf_key kept = w.conf_keys[ED];
	char file[80], text[4096];

	(void)state;
	snprintf(file, sizeof(file), "%s/broken.pem", w.dir);
	broken.file = file;
	for (size_t i = 0; i <= sizeof(rows) / sizeof(rows[0]); i++) {
		struct child c;

		if (i < sizeof(rows) / sizeof(rows[0]))
			write_file(file, rows[i].content);
		w.conf_keys[ED] = broken;
		c = start(true);
		w.conf_keys[ED] = kept;
		child_output(&c, text, sizeof(text));
		if (strstr(text, "key_unusable") == NULL || strstr(text, "hopseal.conf:1") == NULL || strstr(text, "broken.pem") == NULL)
			fail_msg("row %zu: log says %s", i, text);
		assert_int_equal(child_code(&c), 78);
		unlink(file);
	}
	buf_release(&pem);
}

/* As root: the keys are read first, then it is nobody. */
static void privileges_are_dropped_after_reading(void **state)
{
	unsigned char digest[32] = { 0 };
	struct child c;
	char path[64], line[256];
	bool nobody = false;
	FILE *f;
	int fd;

	(void)state;
	if (geteuid() != 0)
		skip();
	c = child_start(keeper_main, (struct child_args){ .conf = &w.conf, .resolver_fd = -1, .keeper_fd = -1, .control_fd = -1,
	    .uid = 65534, .gid = 65534 }, false);
	child_ready(&c);
	fd = child_client(&c);
	assert_int_equal(one(fd, KEY_RSA, "a.example", "r1", digest).status, IPC_SIGNED_DONE);
	snprintf(path, sizeof(path), "/proc/%d/status", (int)c.pid);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL)
		nobody |= strcmp(line, "Uid:\t65534\t65534\t65534\t65534\n") == 0;
	fclose(f);
	assert_true(nobody);
	close(fd);
	assert_int_equal(child_stop(&c), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signs_what_its_keys_verify),
		cmocka_unit_test(refuses_what_the_configuration_does_not_sign_with),
		cmocka_unit_test(holds_no_key_without_a_sealing_listener),
		cmocka_unit_test(survives_what_is_no_message),
		cmocka_unit_test(workers_are_served_in_turn),
		cmocka_unit_test(a_worker_that_does_not_read_stops_nobody),
		cmocka_unit_test(leaves_when_the_supervisor_is_gone),
		cmocka_unit_test(signals_to_the_group_do_not_end_it),
		cmocka_unit_test(holds_no_descriptor_but_its_own),
		cmocka_unit_test(an_unreadable_key_is_named_and_ends_it),
		cmocka_unit_test(privileges_are_dropped_after_reading),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make_keys, remove_keys);
}
