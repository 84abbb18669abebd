/*
 * The queue at work: a spool in a temporary folder, a next hop that the test plays, the clock in the test's hands, and calls to the
 * system that fail when told. What becomes of each copy, whatever comes between.
 */
#include "store_world.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "out/log.h"
#include "queue/queue_in.h"

enum { FARS = 512, TURNS_MAX = 4000, NOW_S = 1790000000, HOUR_MS = 3600000, RCPTS = 1000 };

/* A connection to the next hop. */
struct far {
	int fd;
	bool content;
	struct buf got;
	char sender[64];
	char rcpts[8][64];
	size_t rcpt_count;
};

static struct engine {
	struct queue *queue;
	struct ask *ask;
	struct count_page *counts;
	struct conf conf;
	struct conf_listener listener;
	struct conf_next_hop hop;
	struct conf_route route;
	size_t hops[1];
	int door, log;
	struct far fars[FARS];
	size_t far_count;
	/* What the next hop says, 0: 250. */
	int mail_code, rcpt_code, final_code;
	const char *refused;       /* a recipient that it says 550 to */
	const char *put_off;       /* and one that it says 450 to */
	bool silent;               /* says nothing to the final dot */
	struct buf taken;          /* recipients of what it has taken, in order */
	struct buf content;        /* of the last */
	unsigned dots;             /* final dots that it has heard */
	unsigned mails;            /* transactions that were begun */
	unsigned more_fields;      /* of messages */
} g;

/* ---- memory ---- */

/* In a turn of the queue's: allocations so far, and which of them fails, counted from 1; 0: none. */
static struct {
	bool counted;
	unsigned n, fails;
} memory;

static bool none_left(void)
{
	return memory.counted && ++memory.n == memory.fails;
}

void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_malloc(size_t n)
{
	return none_left() ? NULL : __real_malloc(n);
}

void *__real_calloc(size_t k, size_t n);
void *__wrap_calloc(size_t k, size_t n);
void *__wrap_calloc(size_t k, size_t n)
{
	return none_left() ? NULL : __real_calloc(k, n);
}

void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n)
{
	return none_left() ? NULL : __real_realloc(p, n);
}

/* ---- the next hop ---- */

static void say(struct far *p, int code)
{
	char line[64];
	int n = snprintf(line, sizeof(line), "%d %d.0.0 x\r\n", code, code / 100);

	if (code == 354)
		n = snprintf(line, sizeof(line), "354 go\r\n");
	assert_int_equal(send(p->fd, line, (size_t)n, MSG_NOSIGNAL), n);
}

static int code_of(const char *rcpt)
{
	if (g.refused && strstr(rcpt, g.refused))
		return 550;
	if (g.put_off && strstr(rcpt, g.put_off))
		return 450;
	return g.rcpt_code ? g.rcpt_code : 250;
}

static void take_line(struct far *p, struct slice line)
{
	static const char hello[] = "250-x\r\n250-PIPELINING\r\n250 8BITMIME\r\n";

	if (slice_istarts(line, S("EHLO"))) {
		assert_int_equal(send(p->fd, hello, sizeof(hello) - 1, MSG_NOSIGNAL), (ssize_t)sizeof(hello) - 1);
	} else if (slice_istarts(line, S("MAIL"))) {
		p->rcpt_count = 0;
		g.mails++;
		snprintf(p->sender, sizeof(p->sender), "%.*s", SLICE_FMT(slice_sub(line, 10, SIZE_MAX)));
		say(p, g.mail_code ? g.mail_code : 250);
	} else if (slice_istarts(line, S("RCPT"))) {
		char *to = p->rcpts[p->rcpt_count];
		int code;

		snprintf(to, sizeof(p->rcpts[0]), "%.*s", SLICE_FMT(slice_sub(line, 8, SIZE_MAX)));
		to[strcspn(to, " ")] = '\0';
		code = code_of(to);
		p->rcpt_count += code == 250;
		say(p, code);
	} else if (slice_istarts(line, S("DATA"))) {
		p->content = p->rcpt_count > 0;
		say(p, p->content ? 354 : 554);
	} else if (!slice_istarts(line, S("QUIT"))) {
		say(p, 250);
	}
}

static bool content_has(const char *text)
{
	return memmem(g.content.at, g.content.n, text, strlen(text)) != NULL;
}

static void end_content(struct far *p, size_t n)
{
	p->content = false;
	g.dots++;
	buf_clear(&g.content);
	buf_slice(&g.content, slice_sub(buf_get(&p->got), 0, n));
	if (g.silent)
		return;
	for (size_t i = 0; i < p->rcpt_count && !g.final_code; i++)
		buf_printf(&g.taken, "%s%s", g.taken.n ? " " : "", p->rcpts[i]);
	say(p, g.final_code ? g.final_code : 250);
}

static void play(struct far *p)
{
	char octets[65536];
	ssize_t n;

	while (p->fd >= 0 && (n = recv(p->fd, octets, sizeof(octets), MSG_DONTWAIT)) >= 0) {
		if (n == 0) {
			close(p->fd);
			p->fd = -1;
			return;
		}
		buf_add(&p->got, octets, (size_t)n);
	}
	while (p->got.n) {
		const char *end = p->content ? "\r\n.\r\n" : "\r\n";
		const unsigned char *at = memmem(p->got.at, p->got.n, end, strlen(end));
		size_t all;

		if (!at)
			return;
		all = (size_t)(at - p->got.at);
		if (p->content)
			end_content(p, all);
		else
			take_line(p, slice_of(p->got.at, all));
		buf_drop(&p->got, all + strlen(end));
	}
}

static void one_turn(void)
{
	int fd, one = 1;

	memory.counted = memory.fails > 0;
	turn();
	memory.counted = false;
	while ((fd = accept4(g.door, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		struct far *p = &g.fars[g.far_count++];

		assert_true(g.far_count <= FARS);
		assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), 0);
		p->fd = fd;
		buf_init(&p->got, 1 << 22);
		say(p, 220);
	}
	for (size_t i = 0; i < g.far_count; i++)
		play(&g.fars[i]);
}

/* Until nothing goes on any more. */
static void settle(void)
{
	for (int i = 0; i < 80; i++) {
		one_turn();
		sched_yield();
	}
}

/* In steps, so that timers fire as they would. */
static void later(int64_t ms)
{
	settle();
	for (int64_t step; ms > 0; ms -= step) {
		step = ms < 1000 ? ms : ms > 20000 ? ms / 4 : 1000;
		loop_clock_advance(w.loop, step);
		one_turn();
		one_turn();
	}
	settle();
}

/* Until this has come. */
static void until(bool (*come)(void))
{
	for (int i = 0; i < TURNS_MAX && !come(); i++) {
		one_turn();
		sched_yield();
	}
	assert_true(come());
}

/* ---- begin and end ---- */

static void queue_open(void)
{
	int fd = open(w.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char error[256] = "";

	g.queue = queue_new(w.loop, &g.conf, g.ask, g.counts, 9, fd, error);
	if (!g.queue)
		fail_msg("%s", error);
	settle();
}

static void queue_again(void)
{
	queue_free(&g.queue);
	queue_open();
}

static int begin(void **state)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);
	static char log_name[32];

	if (world_start(state) != 0)
		return -1;
	g = (struct engine){ .counts = count_page_new() };
	g.door = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(g.counts && g.door >= 0 && bind(g.door, (struct sockaddr *)&at, n) == 0 && listen(g.door, 64) == 0);
	assert_int_equal(getsockname(g.door, (struct sockaddr *)&at, &n), 0);
	loop_clock_advance(w.loop, 0);
	g.ask = ask_new(w.loop, -1, -1, 1000, 10);
	g.log = memfd_create("log", MFD_CLOEXEC);
	snprintf(log_name, sizeof(log_name), "/proc/self/fd/%d", g.log);
	g.hop = (struct conf_next_hop){ .address = { .sa_len = sizeof(at), .text = "next.test" }, .host = "127.0.0.1", .port = 1 };
	memcpy(&g.hop.address.sa, &at, sizeof(at));
	g.route = (struct conf_route){ .hops = g.hops, .hop_count = 1 };
	g.listener = (struct conf_listener){ .name = "main", .mode = MODE_QUEUE, .next_hops = &g.hop, .next_hop_count = 1, .routes = &g.route,
		.route_count = 1 };
	g.conf = (struct conf){ .hostname = "me.test", .listeners = &g.listener, .listener_count = 1,
		.pool = { .idle_ms = 1000, .idle_max = 100, .max = 1000, .connect_ms = 30000 },
		.queue = { .retry_min_s = 300, .retry_max_s = 3600, .expire_s = 432000, .warn_s = 14400, .concurrency = 20, .deliveries = 100 },
		.dkim2 = { .draft = 9, .now = NOW_S }, .limits = { .header_fields = 100 },
		.log = { .to = LOG_FILE, .file = log_name } };
	assert_true(log_open(&g.conf, false));
	buf_init(&g.taken, 1 << 20);
	buf_init(&g.content, 1 << 22);
	queue_open();
	return 0;
}

static int end(void **state)
{
	queue_free(&g.queue);
	ask_free(&g.ask);
	for (size_t i = 0; i < g.far_count; i++) {
		if (g.fars[i].fd >= 0)
			close(g.fars[i].fd);
		buf_release(&g.fars[i].got);
	}
	buf_release(&g.taken);
	buf_release(&g.content);
	close(g.door);
	close(g.log);
	munmap(g.counts, sizeof(*g.counts));
	return world_end(state);
}

/* ---- messages ---- */

static struct spool_envelope envelope_of(const char *id, struct spool_rcpt *rcpts, size_t n)
{
	return (struct spool_envelope){ .id = slice_str(id), .listener = S("main"), .arrived_s = g.conf.dkim2.now, .mail_from = S("<s@a.test>"),
		.known_client = true, .report_to = S("<s@a.test>"), .wanted = (uint32_t)n, .judged = true, .chain_state = DKIM2_NONE,
		.chain_newest = DKIM2_NONE, .arc_state = ARC_NONE, .rcpts = rcpts, .rcpt_count = n };
}

/* Puts it and tells the queue, as a worker does. */
static void submit(const struct spool_envelope *e)
{
	struct slice runs[] = { arena_copy(&arena, S("Subject: t\r\nFrom: s@a.test\r\n")), S("\r\nhello\r\n") };
	struct store_message m = { .envelope = e, .runs = runs, .run_count = 2 };
	struct fault f = { 0 };
	struct sent sent = { .told = 0 };
	unsigned fails = memory.fails;

	for (unsigned i = 0; i < g.more_fields; i++)
		runs[0] = arena_printf(&arena, "%.*sX-More: %u\r\n", SLICE_FMT(runs[0]), i);
	m.header_octets = (uint32_t)runs[0].n;
	memory.fails = 0;
	if (!store_put(w.store, &sent.put, &m, on_put, &sent, &f))
		fail_msg("%s", f.note);
	one_turn();
	assert_int_equal(sent.told, 1);
	memory.fails = fails;
	memory.counted = memory.fails > 0;
	queue_notice(g.queue, S("L"));
	memory.counted = false;
	one_turn();
}

/* To "<r1@c.test>" and so on; `shared`: all in one copy. */
static void mail_to(const char *id, size_t n, bool shared)
{
	static char paths[RCPTS][24];
	static struct spool_rcpt rcpts[RCPTS];
	struct spool_envelope e = envelope_of(id, rcpts, n);

	for (size_t i = 0; i < n; i++) {
		snprintf(paths[i], sizeof(paths[i]), "<r%zu@c.test>", i + 1);
		rcpts[i] = (struct spool_rcpt){ .path = slice_str(paths[i]), .group = shared ? 0 : (uint32_t)i };
	}
	submit(&e);
}

/* Lines of the log that hold all these words. */
static size_t lines(const char *event, const char *more)
{
	struct stat st;
	char *all, *line, *rest;
	size_t n = 0;

	log_flush();
	assert_int_equal(fstat(g.log, &st), 0);
	all = calloc(1, (size_t)st.st_size + 1);
	assert_int_equal(lseek(g.log, 0, SEEK_SET), 0);
	assert_int_equal(read(g.log, all, (size_t)st.st_size), st.st_size);
	for (line = strtok_r(all, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		const char *at = strstr(line, event);

		n += at && at > line && at[-1] == ' ' && at[strlen(event)] == ' ' && (!more || strstr(line, more));
	}
	free(all);
	return n;
}

/* What the log has, for who looks for the reason. */
static void dump(void)
{
	char octets[4096];
	ssize_t n;

	log_flush();
	for (off_t at = 0; (n = pread(g.log, octets, sizeof(octets), at)) > 0; at += n)
		fwrite(octets, 1, (size_t)n, stderr);
}

static void want_taken(const char *rcpts)
{
	WANT_SLICE(buf_get(&g.taken), slice_str(rcpts));
}

static json_int_t command(const char *text, const char *number)
{
	json_t *request = json_loads(text, 0, NULL), *answer;
	json_int_t n;

	assert_non_null(request);
	answer = queue_command(g.queue, request);
	assert_non_null(answer);
	n = json_integer_value(json_object_get(answer, number));
	json_decref(request);
	json_decref(answer);
	return n;
}

static size_t messages(void)
{
	return g.queue->message_count;
}

static bool empty(void)
{
	return messages() == 0 && g.queue->attempt_count == 0;
}

/* ---- the plain way ---- */

static void delivered_and_gone(void **state)
{
	(void)state;
	mail_to("m1", 2, true);
	until(empty);
	want_taken("<r1@c.test> <r2@c.test>");
	assert_int_equal(lines("delivered", "id=m1"), 2);
	assert_int_equal(count_in("mail"), 0);
}

static void each_recipient_its_own_end(void **state)
{
	(void)state;
	g.refused = "r2@";
	g.put_off = "r3@";
	mail_to("m1", 3, true);
	later(1000);
	assert_int_equal(messages(), 1);
	g.put_off = NULL;
	later(HOUR_MS);
	until(empty);
	want_taken("<r1@c.test> <s@a.test> <r3@c.test>");
	assert_int_equal(lines("bounced", "<r2@c.test>"), 1);
}

/* ---- one thing while another goes on ---- */

static bool two_dots(void)
{
	return g.dots == 2;
}

/* A report that it is late is on its way to the disk when its turn to be sent comes: it has one attempt at a time. */
static void told_of_and_sent_at_once(void **state)
{
	(void)state;
	g.put_off = "r1@";
	mail_to("m1", 1, true);
	later(1000);
	assert_int_equal(lines("deferred", "id=m1"), 1);
	g.put_off = NULL;
	g.silent = true;
	assert_int_equal(command("{\"do\": \"flush\", \"ids\": [\"m1\"]}", "done"), 1);
	loop_clock_advance(w.loop, g.conf.queue.warn_s * 1000);
	for (int i = 0; i < 20; i++) {
		one_turn();
		assert_true(messages() == 0 || g.queue->attempt_count <= messages());
	}
	later(2000);
	assert_int_equal(lines("dsn_queued", "id=m1"), 1);
	until(two_dots); /* of the message, and of the report */
	assert_int_equal(command("{\"do\": \"remove\", \"ids\": [\"m1\"]}", "done"), 1);
	settle();
	assert_int_equal(messages(), 2); /* it may be taken any moment */
}

/* What an operator takes away while a part of it cannot be stopped: nothing else of it is sent. */
static void removed_while_a_copy_is_being_taken(void **state)
{
	(void)state;
	g.silent = true;
	mail_to("m1", 3, false);
	until(two_dots);
	assert_int_equal(command("{\"do\": \"remove\", \"ids\": [\"m1\"]}", "done"), 1);
	g.silent = false;
	close(g.fars[0].fd);
	g.fars[0].fd = -1;
	settle();
	assert_int_equal(g.mails, 2);
	assert_int_equal(messages(), 1);
	say(&g.fars[1], 250);
	until(empty);
	assert_int_equal(g.mails, 2);
	assert_int_equal(lines("removed", "id=m1"), 1);
	assert_int_equal(count_in("mail"), 0);
}

/* ---- a disk that fails ---- */

/* Whom a next hop took is not told to it again because no mark could be written. */
static void a_mark_that_cannot_be_written(void **state)
{
	(void)state;
	g.put_off = "r2@";
	mail_to("m1", 2, true);
	FAIL(pwrite64, 0, 1, EIO);
	later(1000);
	assert_int_equal(call_pwrite64.fails, 0);
	assert_int_equal(lines("deferred", "id=m1"), 1);
	g.put_off = NULL;
	later(HOUR_MS);
	until(empty);
	want_taken("<r1@c.test> <r2@c.test>");
	assert_int_equal(lines("delivered", "id=m1"), 2);
}

/* ... and the mark is made when it can be. */
static void a_mark_that_is_made_later(void **state)
{
	(void)state;
	g.put_off = "r2@";
	mail_to("m1", 2, true);
	FAIL(pwrite64, 0, 2, EIO);
	later(5000);
	queue_again();
	g.put_off = NULL;
	assert_int_equal(command("{\"do\": \"flush\", \"all\": true}", "done"), 1);
	until(empty);
	want_taken("<r1@c.test> <r2@c.test>");
}

/* ---- grown old ---- */

static void mail_of_age(const char *id, int64_t age_s)
{
	struct spool_rcpt to = { .path = S("<r1@c.test>") };
	struct spool_envelope e = envelope_of(id, &to, 1);

	e.arrived_s -= age_s;
	submit(&e);
}

/* We were away, not the next hop: it is tried before it is given up. */
static void old_mail_is_tried_first(void **state)
{
	(void)state;
	g.silent = true;
	mail_of_age("m1", 0);
	mail_of_age("m2", 0);
	until(two_dots);
	mail_of_age("m3", 6 * 86400);
	later(10000);
	assert_int_equal(messages(), 3);
	g.silent = false;
	say(&g.fars[0], 250);
	say(&g.fars[1], 250);
	until(empty);
	want_taken("<r1@c.test>");
	assert_int_equal(lines("expired", NULL), 0);
	assert_int_equal(lines("dsn_queued", NULL), 0);
}

static void old_mail_is_given_up(void **state)
{
	(void)state;
	g.put_off = "r1@";
	mail_of_age("m1", 6 * 86400);
	later(2000);
	until(empty);
	want_taken("<s@a.test>");
	assert_int_equal(lines("expired", "id=m1"), 1);
}

/* More of them than reports are made at a time, and in copies of one message. */
static void many_grow_old_at_once(void **state)
{
	char id[8];

	(void)state;
	g.put_off = "@c.test";
	for (int i = 0; i < 20; i++) {
		snprintf(id, sizeof(id), "m%d", i);
		mail_to(id, 20, false);
	}
	later(5 * 86400000LL - HOUR_MS);
	assert_int_equal(messages(), 20 + lines("dsn_queued", NULL));
	later(HOUR_MS);
	for (int i = 0; i < 40; i++)
		later(1000);
	assert_int_equal(lines("expired", NULL), 400);
}

/* No report can be made: said once a minute, and nothing is lost. */
static void no_room_for_a_report(void **state)
{
	size_t n;

	(void)state;
	g.refused = "r1@";
	mail_of_age("m1", 0);
	FAIL(writev, 0, 1000000, ENOSPC);
	later(3000);
	g.refused = NULL;
	g.put_off = "r1@";
	later(5 * 86400000LL + HOUR_MS);
	assert_int_equal(messages(), 1);
	n = lines("dsn_failed", "id=m1");
	later(300000);
	assert_in_range(lines("dsn_failed", "id=m1") - n, 2, 6);
	call_writev.fails = 0;
	later(120000);
	until(empty);
	want_taken("<s@a.test>");
}

/* Nor can be read what is to be reported. */
static void no_envelope_can_be_read(void **state)
{
	size_t n;

	(void)state;
	g.put_off = "r1@";
	mail_of_age("m1", 0);
	later(3000);
	FAIL(pread64, 0, 1000000, EIO);
	later(5 * 86400000LL + HOUR_MS);
	n = lines("spool_unreadable", "id=m1");
	for (int i = 0; i < 10; i++)
		later(19000);
	assert_in_range(lines("spool_unreadable", "id=m1") - n, 2, 10);
	assert_int_equal(lines("oom", NULL), 0);
	call_pread64.fails = 0;
	later(60000);
	until(empty);
	want_taken("<s@a.test>");
}

/* What we said ourselves is no next hop's word. */
static void given_up_for_reasons_of_our_own(void **state)
{
	struct note_rcpt r = { .code = 451, .enhanced = "4.4.3", .text = "nobody knows where", .ours = true };
	struct arena a;
	json_t *note;

	(void)state;
	g.put_off = "r1@";
	mail_of_age("m1", 0);
	later(3000);
	arena_init(&a, 1 << 20);
	note = note_read(g.queue->messages, 0, &a);
	assert_true(note && note_rcpt_set(note, 0, &r) && note_write(g.queue->messages, 0, note));
	json_decref(note);
	arena_clear(&a);
	loop_clock_advance(w.loop, 5 * 86400000LL);
	until(empty);
	want_taken("<s@a.test>");
	assert_true(content_has("Status: 4.4.3\r\n"));
	assert_true(content_has("nobody knows where"));
	assert_false(content_has("Diagnostic-Code"));
}

/* Its clock was not set, or ours was not: it is as old as it can be known to be. */
static void mail_of_another_age(void **state)
{
	(void)state;
	g.put_off = "r1@";
	mail_of_age("m1", NOW_S - 1000);
	mail_of_age("m2", -86400);
	later(5000);
	assert_int_equal(messages(), 2);
	assert_int_equal(lines("expired", NULL) + lines("dsn_queued", NULL), 0);
	later(5 * 86400000LL);
	assert_int_equal(lines("expired", NULL), 2);
}

/* Held for longer than it may grow old: whoever releases it wants it sent, and not given up. */
static void released_when_it_is_old(void **state)
{
	(void)state;
	g.put_off = "r1@";
	mail_of_age("m1", 0);
	later(1000);
	assert_int_equal(command("{\"do\": \"hold\", \"ids\": [\"m1\"]}", "done"), 1);
	later(6 * 86400000LL);
	assert_int_equal(lines("expired", NULL), 0);
	g.put_off = NULL;
	g.silent = true;
	mail_to("m2", 1, true);
	mail_to("m3", 1, true);
	until(two_dots);
	assert_int_equal(command("{\"do\": \"release\", \"ids\": [\"m1\"]}", "done"), 1);
	later(10000);
	assert_int_equal(messages(), 3);
	g.silent = false;
	for (size_t i = 0; i < g.far_count; i++)
		if (g.fars[i].fd >= 0 && g.fars[i].rcpt_count)
			say(&g.fars[i], 250);
	until(empty);
	want_taken("<r1@c.test>");
	assert_int_equal(lines("expired", NULL), 0);
}

/* What was taken once is sent, and may be given up, whatever limits for new mail are now. */
static void taken_under_another_limit(void **state)
{
	(void)state;
	g.more_fields = 100;
	mail_to("m1", 1, true);
	until(empty);
	want_taken("<r1@c.test>");
	buf_clear(&g.taken);
	g.conf.limits.header_fields = 10;
	mail_to("m2", 1, true);
	later(1000);
	until(empty);
	want_taken("<r1@c.test>");
}

/* The listener it came by is not configured any more: it waits for one, is given up, and the report goes by another. */
static void nobody_sends_it(void **state)
{
	struct spool_rcpt to = { .path = S("<r1@c.test>") };
	struct spool_envelope e = envelope_of("m1", &to, 1);

	(void)state;
	e.listener = S("gone");
	submit(&e);
	later(HOUR_MS);
	assert_int_equal(lines("no_listener", "id=m1"), 1);
	assert_int_equal(messages(), 1);
	later(5 * 86400000LL);
	later(5000);
	until(empty);
	want_taken("<s@a.test> <s@a.test>"); /* that it is late, and that it is given up */
}

/* Whoever is given up while nobody is reached there does not bring the destination back. */
static void given_up_is_no_success(void **state)
{
	int fd = g.door;

	(void)state;
	g.door = open("/dev/null", O_RDONLY | O_CLOEXEC);
	close(fd);
	mail_of_age("m1", 0);
	later(5000);
	assert_int_equal(lines("destination_dead", NULL), 1);
	mail_of_age("m2", 6 * 86400);
	assert_int_equal(command("{\"do\": \"flush\", \"ids\": [\"m2\"]}", "done"), 1);
	later(5000);
	assert_int_equal(lines("expired", "id=m2"), 1);
	assert_int_equal(lines("destination_back", NULL), 0);
}

/* ---- no memory ---- */

/* Wherever it is wanting: nothing is lost, nothing comes twice, and the sender hears of who was refused once. */
static void any_allocation_fails(void **state)
{
	char id[16];
	unsigned fails = 0;

	(void)state;
	g.refused = "r2@";
	g.conf.queue.warn_s = 0;
	do {
		size_t reports = lines("dsn_queued", NULL), twice = lines("deferred", "duplicate=possible");

		snprintf(id, sizeof(id), "m%u", ++fails);
		memory.n = 0;
		memory.fails = fails;
		mail_to(id, 2, true);
		later(1000);
		memory.fails = 0;
		for (int i = 0; i < 8 && !(empty() && count_in("mail") == 0); i++)
			later(HOUR_MS / 4);
		/* What was lost behind the final dot may have been taken, which is said. */
		twice = lines("deferred", "duplicate=possible") - twice;
		if (!empty() || g.taken.n < 22 || g.taken.n > 22 + twice * 12 || lines("dsn_queued", NULL) != reports + 1) {
			dump();
			fail_msg("allocation %u: %zu messages, taken \"%.*s\"", fails, messages(), SLICE_FMT(buf_get(&g.taken)));
		}
		buf_clear(&g.taken);
	} while (memory.n >= fails);
	assert_in_range(fails, 50, 2000);
}

/* ---- notes ---- */

static struct queue_message *only_message(void)
{
	assert_int_equal(messages(), 1);
	return g.queue->messages;
}

static void a_note_says_what_it_was_told(void **state)
{
	struct note_copy c = { .attempts = 3, .next_s = NOW_S + 60, .sealed_s = NOW_S, .fields = S("A: b\r\n\0\xff"), .enforce = true, .warned = true };
	struct note_rcpt r = { .code = 451, .enhanced = "4.7.1", .text = "later" };
	struct queue_message *m;
	json_t *note;

	(void)state;
	g.mail_code = 451;
	mail_to("m1", 3, false);
	m = only_message();
	note = json_object();
	assert_false(note_copy_get(note, &arena, &c));
	c = (struct note_copy){ .attempts = 3, .next_s = NOW_S + 60, .sealed_s = NOW_S, .fields = S("A: b\r\n\0\xff"), .enforce = true, .warned = true };
	assert_true(note_copy_set(note, &c) && note_rcpt_set(note, 2, &r) && note_write(m, 1, note));
	json_decref(note);
	note = note_read(m, 1, &arena);
	assert_true(note_copy_get(note, &arena, &c));
	assert_int_equal(c.attempts, 3);
	assert_int_equal(c.next_s, NOW_S + 60);
	assert_int_equal(c.sealed_s, NOW_S);
	assert_true(c.enforce && c.warned);
	WANT_SLICE(c.fields, S("A: b\r\n\0\xff"));
	assert_false(note_rcpt_get(note, 1, &r));
	assert_true(note_rcpt_get(note, 2, &r));
	assert_int_equal(r.code, 451);
	assert_string_equal(r.enhanced, "4.7.1");
	assert_string_equal(r.text, "later");
	/* What was sealed is kept though nothing is sealed this time. */
	assert_true(note_copy_set(note, &(struct note_copy){ .attempts = 4 }) && note_copy_get(note, &arena, &c));
	assert_int_equal(c.attempts, 4);
	assert_false(c.warned);
	WANT_SLICE(c.fields, S("A: b\r\n\0\xff"));
	json_decref(note);
}

/* Whatever stands in a note, it is read as one or as none. */
static void a_note_of_somebody_else(void **state)
{
	static const char *const rows[] = { "", "x", "[]", "{", "{\"attempts\": -1, \"next\": \"x\", \"fields\": \"*\", \"rcpts\": []}",
		"{\"attempts\": 99999999999, \"fields\": 7, \"rcpts\": {\"0\": {\"code\": 70000, \"text\": 3}}}" };

	(void)state;
	g.mail_code = 451;
	mail_to("m1", 1, true);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct note_copy c;
		struct note_rcpt r;
		json_t *note;

		assert_true(store_note(g.queue->store, only_message()->entry, 0, slice_str(rows[i])));
		note = note_read(only_message(), 0, &arena);
		assert_non_null(note);
		(void)note_copy_get(note, &arena, &c);
		assert_int_equal(c.attempts, 0);
		assert_int_equal(c.next_s, 0);
		assert_int_equal(c.fields.n, 0);
		(void)note_rcpt_get(note, 0, &r);
		assert_int_equal(r.code, 0);
		assert_null(r.text);
		json_decref(note);
	}
}

/* A thousand answers do not fit: the seal stays, they go. */
static void a_note_that_is_too_long(void **state)
{
	char text[LIMIT_REASON + 1];
	struct note_copy c = { .fields = slice_of(arena_take(&arena, 100000), 100000), .sealed_s = NOW_S };
	struct note_rcpt r = { .code = 450, .text = text };
	json_t *note = json_object();

	(void)state;
	memset(text, 'x', LIMIT_REASON);
	text[LIMIT_REASON] = '\0';
	g.mail_code = 451;
	mail_to("m1", 1, true);
	assert_true(note_copy_set(note, &c));
	for (size_t i = 0; i < RCPTS; i++)
		assert_true(note_rcpt_set(note, i, &r));
	assert_true(note_write(only_message(), 0, note));
	json_decref(note);
	note = note_read(only_message(), 0, &arena);
	assert_true(note_copy_get(note, &arena, &c));
	assert_int_equal(c.fields.n, 100000);
	assert_false(note_rcpt_get(note, 0, &r));
	json_decref(note);
}

/* An earlier process has said when: not sooner, and it goes on counting. */
static void what_an_earlier_process_said(void **state)
{
	(void)state;
	g.mail_code = 451;
	mail_to("m1", 1, true);
	later(1000);
	assert_int_equal(g.mails, 1);
	queue_again();
	later(60000);
	assert_int_equal(g.mails, 1);
	later(600000);
	assert_int_equal(g.mails, 2);
	assert_int_equal(only_message()->copies[0].job.attempts, 2);
}

/* A seal that does not fit is made anew, and nobody hears of it. */
static void a_kept_seal_that_does_not_fit(void **state)
{
	struct note_copy c = { .fields = S("X-Kept: 1\r\n"), .sealed_s = NOW_S, .enforce = true };
	json_t *note = json_object();

	(void)state;
	g.listener.sealing = true;
	g.listener.unsealed = UNSEALED_PASS;
	g.mail_code = 451;
	mail_to("m1", 1, true);
	later(1000);
	assert_true(note_copy_set(note, &c) && note_write(only_message(), 0, note));
	json_decref(note);
	queue_again();
	g.mail_code = 0;
	assert_int_equal(command("{\"do\": \"flush\", \"all\": true}", "done"), 1);
	later(1000);
	until(empty);
	want_taken("<r1@c.test>");
	assert_int_equal(lines("bounced", NULL), 0);
	WANT_SLICE(slice_sub(buf_get(&g.content), 0, 8), S("Subject:"));
}

/* Each copy costs as much as one alone: nothing is read or written of the others. */
static void a_thousand_copies(void **state)
{
	unsigned before;

	(void)state;
	g.mail_code = 451;
	mail_to("m1", RCPTS, false);
	for (int i = 0; i < 200 && lines("deferred", "id=m1") < RCPTS; i++)
		settle();
	assert_int_equal(lines("deferred", "id=m1"), RCPTS);
	assert_int_equal(count_in("note"), RCPTS);
	before = call_openat64.n;
	g.mail_code = 0;
	for (int i = 0; i < 20 && !empty(); i++)
		later(HOUR_MS);
	assert_true(empty());
	assert_in_range(call_openat64.n - before, RCPTS, RCPTS * 4);
	assert_int_equal(count_in("note"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(told_of_and_sent_at_once, begin, end),
		cmocka_unit_test_setup_teardown(removed_while_a_copy_is_being_taken, begin, end),
		cmocka_unit_test_setup_teardown(a_mark_that_cannot_be_written, begin, end),
		cmocka_unit_test_setup_teardown(a_mark_that_is_made_later, begin, end),
		cmocka_unit_test_setup_teardown(old_mail_is_tried_first, begin, end),
		cmocka_unit_test_setup_teardown(old_mail_is_given_up, begin, end),
		cmocka_unit_test_setup_teardown(many_grow_old_at_once, begin, end),
		cmocka_unit_test_setup_teardown(no_room_for_a_report, begin, end),
		cmocka_unit_test_setup_teardown(no_envelope_can_be_read, begin, end),
		cmocka_unit_test_setup_teardown(given_up_for_reasons_of_our_own, begin, end),
		cmocka_unit_test_setup_teardown(mail_of_another_age, begin, end),
		cmocka_unit_test_setup_teardown(released_when_it_is_old, begin, end),
		cmocka_unit_test_setup_teardown(taken_under_another_limit, begin, end),
		cmocka_unit_test_setup_teardown(nobody_sends_it, begin, end),
		cmocka_unit_test_setup_teardown(given_up_is_no_success, begin, end),
		cmocka_unit_test_setup_teardown(any_allocation_fails, begin, end),
		cmocka_unit_test_setup_teardown(a_note_says_what_it_was_told, begin, end),
		cmocka_unit_test_setup_teardown(a_note_of_somebody_else, begin, end),
		cmocka_unit_test_setup_teardown(a_note_that_is_too_long, begin, end),
		cmocka_unit_test_setup_teardown(what_an_earlier_process_said, begin, end),
		cmocka_unit_test_setup_teardown(a_kept_seal_that_does_not_fit, begin, end),
		cmocka_unit_test_setup_teardown(a_thousand_copies, begin, end),
		cmocka_unit_test_setup_teardown(delivered_and_gone, begin, end),
		cmocka_unit_test_setup_teardown(each_recipient_its_own_end, begin, end),
	};

	return RUN_TESTS(tests);
}
