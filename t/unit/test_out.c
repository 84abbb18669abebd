/* Log lines and counters: what reaches a file, octet for octet where it can be said. */
#include <fcntl.h>
#include <jansson.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limits.h"
#include "out/count.h"
#include "out/log.h"
#include "test.h"

static char path[] = "/tmp/hopseal-test-log.XXXXXX";

static struct conf conf_to(enum conf_log_format format)
{
	struct conf c = { .hostname = "h" };

	c.log.format = format;
	c.log.to = LOG_FILE;
	c.log.file = path;
	return c;
}

/* The file's lines since the last call. */
static struct slice said(void)
{
	static char text[40000];
	int fd = open(path, O_RDWR);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	assert_true(n >= 0);
	text[n] = '\0';
	assert_int_equal(ftruncate(fd, 0), 0);
	close(fd);
	return slice_of(text, (size_t)n);
}

static void start(enum conf_log_format format, const char *role, unsigned index)
{
	struct conf c = conf_to(format);

	assert_true(log_open(&c, false));
	log_start(&c, role, index);
}

/* Behind "2026-11-21T10:00:00.123Z ", which must have that shape. */
static struct slice behind_time(struct slice line)
{
	static const char shape[] = "dddd-dd-ddTdd:dd:dd.dddZ ";
	struct slice head;

	assert_true(slice_take(&line, sizeof(shape) - 1, &head));
	for (size_t i = 0; i < head.n; i++)
		assert_true(shape[i] == 'd' ? ascii_digit(head.at[i]) : head.at[i] == (unsigned char)shape[i]);
	return line;
}

static const struct {
	const char *name;
	struct slice value, text, json;
} values[] = {
	{ "plain stays as it is", S("<s@a.test>"), S("<s@a.test>"), S("<s@a.test>") },
	{ "a blank asks for quotes", S("a b"), S("\"a b\""), S("a b") },
	{ "blanks at the ends count", S(" a "), S("\" a \""), S(" a ") },
	{ "nothing is seen to be nothing", S(""), S("\"\""), S("") },
	{ "a quote does not end the value", S("a\" x=1"), S("\"a\\x22 x=1\""), S("a\" x=1") },
	{ "a backslash is no escape", S("a\\x41"), S("\"a\\x5cx41\""), S("a\\x41") },
	{ "a line end starts no line", S("a\r\nb"), S("\"a\\x0d\\x0ab\""), S("a\r\nb") },
	{ "a terminal is not driven", S("\033[2J\177"), S("\"\\x1b[2J\\x7f\""), S("\033[2J\177") },
	{ "UTF-8 is text in JSON", S("\303\274"), S("\"\\xc3\\xbc\""), S("\303\274") },
	{ "an octet that is no UTF-8", S("a\374b"), S("\"a\\xfcb\""), S("a\\xfcb") },
	{ "an overlong form is no UTF-8", S("\300\257"), S("\"\\xc0\\xaf\""), S("\\xc0\\xaf") },
	{ "a surrogate is no UTF-8", S("\355\240\200"), S("\"\\xed\\xa0\\x80\""), S("\\xed\\xa0\\x80") },
	{ "a character cut at the end", S("x\303"), S("\"x\\xc3\""), S("x\\xc3") },
	{ "C1 controls do not reach a terminal", S("\302\233"), S("\"\\xc2\\x9b\""), S("\302\233") },
};

static void test_text(void **state)
{
	(void)state;
	start(LOG_TEXT, "worker", 3);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct log_line l = log_begin(LOG_LEVEL_INFO, "test");
		char want[200];

		log_text(&l, "k", values[i].value);
		log_u64(&l, "n", UINT64_MAX);
		log_i64(&l, "i", INT64_MIN);
		log_str(&l, "absent", NULL);
		log_end(&l);
		snprintf(want, sizeof(want), "worker[3] test k=%.*s n=18446744073709551615 i=-9223372036854775808\n",
		    SLICE_FMT(values[i].text));
		WANT_SLICE(behind_time(said()), slice_str(want));
	}
}

/* Nothing that drives the terminal of who reads the log. */
static void want_harmless(struct slice line)
{
	for (size_t i = 0; i < line.n - 1; i++) {
		assert_true(line.at[i] >= 0x20 && line.at[i] != 0x7f);
		assert_false(line.at[i] == 0xc2 && line.at[i + 1] < 0xa0);
	}
}

static json_t *said_json(void)
{
	struct slice line = said();
	json_t *o = json_loadb((const char *)line.at, line.n, JSON_REJECT_DUPLICATES, NULL);

	assert_int_equal(line.at[line.n - 1], '\n');
	assert_int_equal(slice_find(line, '\n'), line.n - 1);
	assert_non_null(o);
	want_harmless(line);
	return o;
}

static void want_string(const json_t *o, const char *key, struct slice want)
{
	const json_t *s = json_object_get(o, key);

	assert_true(json_is_string(s));
	WANT_SLICE(slice_of(json_string_value(s), json_string_length(s)), want);
}

static void test_json(void **state)
{
	(void)state;
	start(LOG_JSON, "keeper", 3);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct log_line l = log_begin(LOG_LEVEL_WARNING, "test");
		json_t *o;

		log_text(&l, "k", values[i].value);
		log_u64(&l, "n", 7);
		log_end(&l);
		o = said_json();
		want_string(o, "process", S("keeper"));
		want_string(o, "level", S("warning"));
		want_string(o, "event", S("test"));
		want_string(o, "k", values[i].json);
		assert_int_equal(json_integer_value(json_object_get(o, "n")), 7);
		json_decref(o);
	}
}

static void test_level(void **state)
{
	(void)state;
	start(LOG_TEXT, "supervisor", 0);
	log_note(LOG_LEVEL_ERROR, "test", "%d of %s", 1, "two");
	WANT_SLICE(behind_time(said()), S("supervisor test level=error text=\"1 of two\"\n"));
}

static void test_fault(void **state)
{
	struct fault f = { .code = FAULT_NONE };
	struct log_line l;

	(void)state;
	start(LOG_TEXT, "supervisor", 0);
	fault_note(&f, FAULT_BARE_LF, 5, "at octet %d", 5);
	l = log_begin(LOG_LEVEL_INFO, "test");
	log_fault(&l, &f);
	log_end(&l);
	WANT_SLICE(behind_time(said()),
	    S("supervisor test fault=bare_lf note=\"at octet 5\" reply=\"550 5.5.2 line ended by LF without CR\"\n"));
}

/* A peer that fills every field cannot break the line or the object. */
static void test_long(void **state)
{
	static unsigned char big[LIMIT_LOG_VALUE * 2];
	char key[8];

	(void)state;
	memset(big, 0x01, sizeof(big));
	for (enum conf_log_format format = LOG_TEXT; format <= LOG_JSON; format++) {
		struct log_line l;
		struct slice line;

		start(format, "worker", 0);
		l = log_begin(LOG_LEVEL_INFO, "test");
		for (int i = 0; i < 10; i++) {
			snprintf(key, sizeof(key), "k%d", i);
			log_text(&l, key, slice_of(big, sizeof(big)));
		}
		log_str(&l, "last", "fits");
		log_end(&l);
		if (format == LOG_JSON) {
			json_t *o = said_json();

			assert_int_equal(json_string_length(json_object_get(o, "k0")), LIMIT_LOG_VALUE);
			assert_null(json_object_get(o, "k9"));
			assert_int_equal(json_integer_value(json_object_get(o, "cut")), 1);
			want_string(o, "last", S("fits"));
			json_decref(o);
			continue;
		}
		line = said();
		assert_true(slice_ends(line, S(" last=fits cut=1\n")));
		assert_int_equal(slice_find(line, '\n'), line.n - 1);
	}
}

static void test_reopen(void **state)
{
	char old[64];
	struct slice line;

	(void)state;
	start(LOG_TEXT, "supervisor", 0);
	snprintf(old, sizeof(old), "%s.old", path);
	assert_int_equal(rename(path, old), 0);
	assert_true(log_reopen(-1));
	log_note(LOG_LEVEL_INFO, "test", "new");
	line = said();
	assert_true(slice_ends(line, S("test text=new\n")));
	assert_int_equal(unlink(old), 0);
}

static void test_not_opened(void **state)
{
	struct conf c = conf_to(LOG_JSON);

	(void)state;
	start(LOG_TEXT, "supervisor", 0);
	c.log.file = "/nonexistent/log";
	assert_false(log_open(&c, false));
	log_note(LOG_LEVEL_INFO, "test", "old");
	assert_true(slice_ends(said(), S("supervisor test text=old\n")));
}

/* Reads on from fd into text while lines still wait; NUL-ended. */
static void take(int fd, struct buf *text)
{
	for (;;) {
		unsigned char *at = buf_room(text, 4096);
		ssize_t n;

		assert_non_null(at);
		n = read(fd, at, 4096);
		if (n > 0) {
			buf_grew(text, (size_t)n);
			continue;
		}
		if (!log_pending())
			break;
		log_flush();
	}
	buf_octet(text, '\0');
	assert_false(buf_failed(text));
}

/* Whole lines "n=0" upwards, then how many are missing, then the last: every line is there or counted. */
static void want_all(const char *text, unsigned lines)
{
	unsigned seen = 0, lost = 0, next = 0;

	while (*text) {
		const char *end = strchr(text, '\n'), *at;

		assert_non_null(end);
		at = strstr(text, " log_lost ");
		if (at && at < end) {
			assert_int_equal(lost, 0);
			assert_int_equal(sscanf(strstr(at, "count="), "count=%u", &lost), 1);
			next += lost;
		} else {
			unsigned n;

			at = strstr(text, " filler=");
			assert_true(at && at < end && strspn(at + 8, "x") == 200);
			assert_int_equal(sscanf(strstr(text, " n=") + 3, "%u", &n), 1);
			assert_int_equal(n, next);
			next++;
			seen++;
		}
		text = end + 1;
	}
	assert_int_equal(seen + lost, lines);
	assert_true(lost > 0 && seen > 1000);
}

static void numbered(unsigned n)
{
	struct log_line l = log_begin(LOG_LEVEL_INFO, "test");
	char filler[201];

	memset(filler, 'x', 200);
	filler[200] = '\0';
	log_u64(&l, "n", n);
	log_str(&l, "filler", filler);
	log_end(&l);
}

enum { LINES = 5000 };

static void blocked(int reader)
{
	struct buf text;

	buf_init(&text, 8 << 20);
	for (unsigned i = 0; i < LINES; i++)
		numbered(i); /* returns, whatever the reader does */
	assert_true(log_pending());
	assert_int_equal(fcntl(reader, F_SETFL, O_NONBLOCK), 0);
	take(reader, &text);
	text.n--;
	numbered(LINES);
	take(reader, &text);
	want_all((const char *)text.at, LINES + 1);
	buf_release(&text);
}

static void test_reader_stops(void **state)
{
	struct conf c = conf_to(LOG_TEXT);
	char fifo[64];
	int reader;

	(void)state;
	snprintf(fifo, sizeof(fifo), "%s.fifo", path);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	reader = open(fifo, O_RDONLY | O_NONBLOCK);
	c.log.file = fifo;
	assert_true(log_open(&c, false));
	blocked(reader);
	close(reader);
	unlink(fifo);
}

/* The descriptor is shared with whoever started us: they may rely on it to block. */
static void test_stderr_is_left_as_it_was(void **state)
{
	struct conf c = conf_to(LOG_TEXT);
	int own = dup(STDERR_FILENO), ends[2];

	(void)state;
	c.log.to = LOG_STDERR;
	for (int socket = 0; socket < 2; socket++) {
		if (socket)
			assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
		else
			assert_int_equal(pipe(ends), 0);
		dup2(ends[1], STDERR_FILENO);
		close(ends[1]);
		assert_true(log_open(&c, false));
		blocked(ends[0]);
		assert_int_equal(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
		dup2(own, STDERR_FILENO);
		close(ends[0]);
	}
	close(own);
	start(LOG_TEXT, "supervisor", 0);
}

static void test_disk_full(void **state)
{
	struct conf c = conf_to(LOG_TEXT);
	struct slice lines, line;

	(void)state;
	start(LOG_TEXT, "supervisor", 0);
	(void)said();
	c.log.file = "/dev/full";
	assert_true(log_open(&c, false));
	for (unsigned i = 0; i < 3; i++)
		log_note(LOG_LEVEL_INFO, "test", "%u", i);
	assert_true(log_pending());
	c.log.file = path;
	assert_true(log_open(&c, false));
	log_flush();
	assert_false(log_pending());
	lines = said();
	for (unsigned i = 0; i < 3; i++) {
		assert_true(slice_cut(&lines, '\n', &line));
		assert_int_equal(line.at[line.n - 1], '0' + i);
	}
	assert_int_equal(lines.n, 0);
}

/* What waits in the parent is not written by its children as well. */
static void test_a_child_owes_nothing(void **state)
{
	struct conf c = conf_to(LOG_TEXT);

	(void)state;
	c.log.file = "/dev/full";
	assert_true(log_open(&c, false));
	log_note(LOG_LEVEL_INFO, "test", "parent's");
	assert_true(log_pending());
	log_start(&c, "worker", 0);
	assert_false(log_pending());
	start(LOG_TEXT, "supervisor", 0);
}

static void test_count(void **state)
{
	struct count_page *p = count_page_new();
	pid_t child;
	int status;

	(void)state;
	assert_non_null(p);
	count_add(p, 0, COUNT_SESSIONS, 2);
	count_add(p, 0, COUNT_SESSIONS_OPEN, 2);
	child = fork();
	if (child == 0) {
		count_add(p, COUNT_SLOTS - 1, COUNT_SESSIONS, 3);
		count_add(p, COUNT_SLOTS - 1, COUNT_SESSIONS_OPEN, 3);
		count_add(p, COUNT_SLOTS - 1, COUNT_SESSIONS_OPEN, -1);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(count_sum(p, COUNT_SESSIONS), 5);
	assert_int_equal(count_sum(p, COUNT_SESSIONS_OPEN), 4);
	p->clients[COUNT_SLOTS - 1][0].sessions = 2;
	count_slot_left(p, COUNT_SLOTS - 1);
	assert_int_equal(count_sum(p, COUNT_SESSIONS), 5);
	assert_int_equal(count_sum(p, COUNT_SESSIONS_OPEN), 2);
	assert_int_equal(p->clients[COUNT_SLOTS - 1][0].sessions, 0);
	assert_string_equal(count_name(COUNT_DKIM2_PASS), "dkim2_pass");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_level),
		cmocka_unit_test(test_fault),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_reopen),
		cmocka_unit_test(test_not_opened),
		cmocka_unit_test(test_reader_stops),
		cmocka_unit_test(test_stderr_is_left_as_it_was),
		cmocka_unit_test(test_disk_full),
		cmocka_unit_test(test_a_child_owes_nothing),
		cmocka_unit_test(test_count),
	};
	int fd = mkstemp(path), failed;

	if (fd < 0)
		return 1;
	close(fd);
	failed = RUN_TESTS(tests);
	unlink(path);
	return failed;
}
