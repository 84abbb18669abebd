/* Next hops that DNS names: which of them are one, how long they are known, and which addresses mail goes to. The test is the resolver. */
#include "test.h"

#include <arpa/inet.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "config/endpoint.h"
#include "net/ipc.h"
#include "net/upstream_in.h"
#include "relay/hosts.h"

static struct world {
	struct loop *loop;
	struct ask *ask;
	struct count_page *counts;
	struct conf conf;
	struct conf_listener listeners[2];
	struct conf_address home;  /* of the second listener */
	struct conf_next_hop named;
	struct hosts *hosts;
	int resolver;
	char fault[FAULT_NAME_OCTETS]; /* of the connection that was lost */
	short basic;
} w;

static void stop(void *arg)
{
	loop_stop(arg);
}

static void turns(unsigned n)
{
	while (n--) {
		struct loop_later last = { 0 };

		loop_later(w.loop, &last, stop, w.loop);
		loop_run(w.loop);
	}
}

static void later(int64_t seconds)
{
	loop_clock_advance(w.loop, seconds * 1000);
	turns(3);
}

static int set_up(void **state)
{
	int fds[2];

	(void)state;
	w = (struct world){ .loop = loop_new(), .counts = count_page_new() };
	assert_true(w.loop && w.counts);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	w.resolver = fds[1];
	loop_clock_advance(w.loop, 0);
	w.ask = ask_new(w.loop, fds[0], -1, 25000, 3);
	assert_non_null(w.ask);
	w.home = (struct conf_address){ .text = "home" };
	endpoint_make((const unsigned char *)"\0\0\0\0\0\0\0\0\0\0\377\377\300\0\2\1", 25, &w.home.sa, &w.home.sa_len);
	w.named = (struct conf_next_hop){ .address = { .text = "mx.c.test:26" }, .host = "mx.c.test", .port = 26, .tls_name = "c.test" };
	w.listeners[0] = (struct conf_listener){ .name = "one", .mode = MODE_QUEUE, .next_hops = &w.named, .next_hop_count = 1,
		.next_hop_tls = { .mode = NEXT_HOP_TLS_MAY, .name = "c.test" } };
	w.listeners[1] = (struct conf_listener){ .name = "two", .mode = MODE_QUEUE, .addresses = &w.home, .address_count = 1 };
	w.conf = (struct conf){ .hostname = "me.test", .listeners = w.listeners, .listener_count = 2, .queue = { .mx_port = 25 },
		.pool = { .idle_ms = 10000, .idle_max = 100, .max = 1000, .connect_ms = 30000 } };
	w.hosts = hosts_new(w.loop, w.ask, &w.conf, w.counts, 0);
	assert_non_null(w.hosts);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	hosts_free(&w.hosts);
	assert_null(w.hosts);
	ask_free(&w.ask);
	loop_free(&w.loop);
	munmap(w.counts, sizeof(*w.counts));
	close(w.resolver);
	return 0;
}

/* ---- the registry ---- */

static void who_asks_for_the_same_gets_the_same(void **state)
{
	const struct conf_listener *one = &w.listeners[0], *two = &w.listeners[1];
	struct next_hop *all[] = { hosts_get(w.hosts, one, S("mx.c.test"), 25, false), hosts_get(w.hosts, two, S("mx.c.test"), 25, false),
		hosts_get(w.hosts, one, S("mx.c.test"), 26, false), hosts_get(w.hosts, one, S("mx.c.test"), 26, true),
		hosts_mx(w.hosts, one, S("mx.c.test")), hosts_next_hop(w.hosts, one, &w.named), hosts_get(w.hosts, one, S("mx2.c.test"), 25, false),
		hosts_get(w.hosts, one, S("2001:db8::1"), 26, false) };
	static const char *const names[] = { "mx.c.test", "mx.c.test", "mx.c.test:26", "mx.c.test:26", "mx.c.test", "mx.c.test:26", "mx2.c.test",
		"[2001:db8::1]:26" };
	enum { ALL = sizeof(all) / sizeof(all[0]) };

	(void)state;
	for (size_t i = 0; i < ALL; i++) {
		assert_non_null(all[i]);
		assert_string_equal(next_hop_name(all[i]), names[i]);
		assert_int_equal(next_hop_state(all[i]), NEXT_HOP_NEW);
		for (size_t k = 0; k < i; k++)
			assert_ptr_not_equal(all[i], all[k]);
	}
	assert_true(next_hop_lmtp(all[3]) && !next_hop_lmtp(all[2]));
	assert_true(next_hop_by_mx(all[4]) && !next_hop_by_mx(all[0]));
	assert_int_equal(hosts_count(w.hosts), ALL);
	assert_ptr_equal(hosts_get(w.hosts, one, S("mx.c.test"), 25, false), all[0]);
	assert_ptr_equal(hosts_mx(w.hosts, one, S("mx.c.test")), all[4]);
	assert_ptr_equal(hosts_next_hop(w.hosts, one, &w.named), all[5]);
	assert_int_equal(hosts_count(w.hosts), ALL);
}

static void a_host_of_strangers_has_a_certificate_of_its_own(void **state)
{
	const struct conf_listener *one = &w.listeners[0];
	const struct next_hop *mx = hosts_mx(w.hosts, one, S("mx.c.test")), *named = hosts_get(w.hosts, one, S("mx.c.test"), 25, false),
	    *other = hosts_mx(w.hosts, one, S("mx2.c.test")), *clear = hosts_mx(w.hosts, &w.listeners[1], S("mx.c.test"));

	(void)state;
	assert_string_equal(mx->to->tls_name, "mx.c.test");
	assert_string_equal(named->to->tls_name, "c.test"); /* as the listener says of its next hops */
	assert_true(mx->tls && mx->tls == named->tls && mx->tls == other->tls);
	assert_null(clear->tls);
}

static void a_name_that_is_too_long_is_none(void **state)
{
	char name[LIMIT_DOMAIN + 2];

	(void)state;
	memset(name, 'a', sizeof(name));
	assert_non_null(hosts_mx(w.hosts, &w.listeners[0], slice_of(name, LIMIT_DOMAIN)));
	assert_null(hosts_mx(w.hosts, &w.listeners[0], slice_of(name, LIMIT_DOMAIN + 1)));
	assert_null(hosts_mx(w.hosts, &w.listeners[0], SLICE_NONE));
}

static void who_is_not_used_is_forgotten_after_minutes(void **state)
{
	struct next_hop *held = hosts_mx(w.hosts, &w.listeners[0], S("held.test"));

	(void)state;
	next_hop_hold(held);
	assert_non_null(hosts_mx(w.hosts, &w.listeners[0], S("a.test")));
	later(240);
	assert_non_null(hosts_mx(w.hosts, &w.listeners[0], S("b.test")));
	later(60);
	later(60);
	assert_int_equal(hosts_count(w.hosts), 2); /* a is gone */
	assert_ptr_equal(hosts_mx(w.hosts, &w.listeners[0], S("held.test")), held);
	later(600);
	later(60);
	assert_int_equal(hosts_count(w.hosts), 1);
	next_hop_let_go(held);
	later(360);
	later(60);
	assert_int_equal(hosts_count(w.hosts), 0);
	assert_non_null(hosts_mx(w.hosts, &w.listeners[0], S("c.test")));
	later(360);
	later(60);
	assert_int_equal(hosts_count(w.hosts), 0); /* the timer goes again */
}

static struct next_hop *numbered(unsigned i)
{
	char name[32];

	snprintf(name, sizeof(name), "mx%u.test", i);
	return hosts_mx(w.hosts, &w.listeners[0], slice_str(name));
}

static void there_is_room_for_so_many_and_who_is_in_use_stays(void **state)
{
	struct next_hop *first = numbered(0), *second;

	(void)state;
	next_hop_hold(first);
	for (unsigned i = 1; i < LIMIT_HOSTS; i++)
		assert_non_null(numbered(i));
	second = numbered(1); /* again: 2 is the one that was asked for longest ago, but for the one that is held */
	assert_int_equal(hosts_count(w.hosts), LIMIT_HOSTS);
	assert_non_null(numbered(LIMIT_HOSTS));
	assert_int_equal(hosts_count(w.hosts), LIMIT_HOSTS);
	assert_ptr_equal(numbered(0), first);
	assert_ptr_equal(numbered(1), second);
	assert_int_equal(hosts_count(w.hosts), LIMIT_HOSTS);
	assert_non_null(numbered(2)); /* and 3 had to go for it */
	next_hop_let_go(first);
}

/* Mail has to go somewhere: those that are in use are not counted against the others. */
static void all_of_them_may_be_in_use(void **state)
{
	(void)state;
	for (unsigned i = 0; i < LIMIT_HOSTS + 20; i++)
		next_hop_hold(numbered(i));
	assert_int_equal(hosts_count(w.hosts), LIMIT_HOSTS + 20);
	for (unsigned i = 0; i < LIMIT_HOSTS + 20; i++)
		next_hop_let_go(numbered(i));
	for (unsigned i = 0; i < 10; i++)
		assert_non_null(numbered(LIMIT_HOSTS + 20 + i));
	assert_true(hosts_count(w.hosts) <= LIMIT_HOSTS);
}

/* ---- addresses ---- */

struct row {
	const char *name;
	const char *host;          /* an address: nothing is asked */
	enum dns_status v4, v6;
	const char *address;       /* of IPv4, where it is DNS_OK */
	bool named;                /* by the operator, not by MX */
	uint16_t port;             /* for mail; 0: 25 */
	const char *fault;         /* empty: it is connected to */
	short basic;
};

static const struct row rows[] = {
	{ "loopback is nobody's", "mx.c.test", DNS_OK, DNS_NODATA, "127.0.0.1", .fault = "no_address", .basic = 550 },
	{ "all of loopback", "mx.c.test", DNS_OK, DNS_NODATA, "127.255.0.9", .fault = "no_address", .basic = 550 },
	{ "a literal on loopback", "127.0.0.1", .fault = "no_address", .basic = 550 },
	{ "a literal on loopback, IPv6", "::1", .fault = "no_address", .basic = 550 },
	{ "loopback in tests, and nobody listens", "mx.c.test", DNS_OK, DNS_NODATA, "127.0.0.1", .port = 1, .fault = "next_hop_down", .basic = 451 },
	{ "loopback that the operator names", "mx.c.test", DNS_OK, DNS_NODATA, "127.0.0.1", .named = true, .port = 1, .fault = "next_hop_down",
	    .basic = 451 },
	{ "no host", "mx.c.test", DNS_OK, DNS_NODATA, "0.0.0.0", .fault = "no_address", .basic = 550 },
	{ "another listener of ours", "mx.c.test", DNS_OK, DNS_NODATA, "192.0.2.1", .fault = "mail_loop", .basic = 554 },
	{ "a literal that is ours", "192.0.2.1", .fault = "mail_loop", .basic = 554 },
	{ "no such name", "mx.c.test", DNS_NXDOMAIN, DNS_NXDOMAIN, .fault = "no_address", .basic = 550 },
	{ "no address", "mx.c.test", DNS_NODATA, DNS_NODATA, .fault = "no_address", .basic = 550 },
	{ "no address of one kind, no answer for the other", "mx.c.test", DNS_NODATA, DNS_SERVFAIL, .fault = "next_hop_dns", .basic = 451 },
	{ "no such name, where the operator says so", "mx.c.test", DNS_NXDOMAIN, DNS_NXDOMAIN, .named = true, .fault = "next_hop_down", .basic = 451 },
};

static void on_event(void *arg, const struct cli_event *ev)
{
	(void)arg;
	(void)ev;
}

static void on_lost(void *arg, const struct fault *f)
{
	struct upstream **u = arg;

	*u = NULL;
	fault_name(f->code, w.fault);
	w.basic = f->basic;
}

static const struct upstream_user user = { .event = on_event, .lost = on_lost };

/* Says what DNS has, if it is asked. */
static void answer(const struct row *row)
{
	static unsigned char octets[LIMIT_IPC];
	unsigned char address[4] = { 0 };
	struct slice record = slice_of(address, sizeof(address));
	struct ipc_question q;
	struct ipc_in in;
	struct buf out;
	ssize_t n;

	if (row->address)
		assert_int_equal(inet_pton(AF_INET, row->address, address), 1);
	n = recv(w.resolver, octets, sizeof(octets), 0);
	if (n < 0)
		return;
	assert_true(ipc_open(slice_of(octets, (size_t)n), IPC_QUESTIONS, &in));
	buf_init(&out, LIMIT_IPC);
	ipc_begin(&out, IPC_ANSWERS);
	while (ipc_next_question(&in, &q)) {
		bool v4 = q.qtype == IPC_TYPE_A;
		enum dns_status status = v4 ? row->v4 : row->v6;
		struct ipc_answer a = { .ticket = q.ticket, .qtype = q.qtype, .status = status, .ttl_s = 60 };

		WANT_SLICE(q.name, slice_str(row->host));
		if (status == DNS_OK) {
			a.records = &record;
			a.record_count = 1;
		}
		assert_true(ipc_add_answer(&out, &a));
	}
	assert_int_equal(send(w.resolver, out.at, out.n, 0), (ssize_t)out.n);
	buf_release(&out);
}

static void run(const struct row *row)
{
	struct slice name = slice_str(row->host);
	struct next_hop *h;
	struct upstream *u;

	w.conf.queue.mx_port = row->port ? row->port : 25;
	h = row->named ? hosts_get(w.hosts, &w.listeners[0], name, w.conf.queue.mx_port, false) : hosts_mx(w.hosts, &w.listeners[0], name);
	assert_non_null(h);
	w.fault[0] = '\0';
	u = upstream_take(h, true, SLICE_NONE, &user, &u);
	assert_non_null(u);
	assert_false(next_hop_unused(h));
	for (int i = 0; i < 50 && u; i++) {
		turns(1);
		answer(row);
	}
	if (strcmp(w.fault, row->fault) != 0 || w.basic != row->basic)
		fail_msg("%s: %s %d, wanted %s %d", row->name, w.fault, w.basic, row->fault, row->basic);
	upstream_drop(&u);
	turns(2);
	assert_true(next_hop_unused(h));
}

static void mail_goes_to_usable_addresses_only(void **state)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(set_up(state), 0);
		run(&rows[i]);
		assert_int_equal(tear_down(state), 0);
	}
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		ROW(who_asks_for_the_same_gets_the_same),
		ROW(a_host_of_strangers_has_a_certificate_of_its_own),
		ROW(a_name_that_is_too_long_is_none),
		ROW(who_is_not_used_is_forgotten_after_minutes),
		ROW(there_is_room_for_so_many_and_who_is_in_use_stays),
		ROW(all_of_them_may_be_in_use),
		cmocka_unit_test(mail_goes_to_usable_addresses_only),
	};

	return RUN_TESTS(tests);
}
