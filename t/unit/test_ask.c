/* The worker's questions: the test is resolver and keeper, on a clock that it moves. */
#include "test.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "net/ask.h"
#include "net/ipc.h"

enum { TIMEOUT_MS = 25000, CACHE = 3 };

struct world {
	struct loop *loop;
	struct ask *ask;
	int resolver, keeper; /* the far ends */
	unsigned char octets[LIMIT_IPC];
	struct ipc_in in;     /* of the packet seen last */
	struct buf out;
	struct arena arena;
	struct slice record;  /* a good key record */
};

struct seen {
	struct world *world;
	unsigned calls;
	enum keyrec_state state;
	struct dnsrec *rec; /* held */
	unsigned char signature[64];
	size_t signature_n;
	bool refused;
	ask_ticket cancels; /* what the call cancels */
	struct slice asks;  /* what the call asks */
	struct seen *other; /* for whom */
};

static void stop(void *arg)
{
	loop_stop(arg);
}

static void turn(struct world *w)
{
	struct loop_later last = { 0 };

	loop_later(w->loop, &last, stop, w->loop);
	loop_run(w->loop);
}

/* Two: what the first one's calls asked for goes out in the second. */
static void turns(struct world *w)
{
	turn(w);
	turn(w);
}

static int pair(int fds[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds);
}

static int start(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	int r[2], k[2];
	struct key *key = key_generate(KEY_ED25519, 0);

	assert_non_null(w);
	assert_non_null(key);
	assert_int_equal(pair(r), 0);
	assert_int_equal(pair(k), 0);
	w->resolver = r[1];
	w->keeper = k[1];
	w->loop = loop_new();
	assert_non_null(w->loop);
	w->ask = ask_new(w->loop, r[0], k[0], TIMEOUT_MS, CACHE);
	assert_non_null(w->ask);
	buf_init(&w->out, LIMIT_IPC);
	arena_init(&w->arena, 65536);
	w->record = keyrec_text(&w->arena, key);
	key_drop(&key);
	*state = w;
	return 0;
}

static int end(void **state)
{
	struct world *w = *state;

	ask_free(&w->ask);
	assert_null(w->ask);
	loop_free(&w->loop);
	if (w->resolver >= 0)
		close(w->resolver);
	if (w->keeper >= 0)
		close(w->keeper);
	buf_release(&w->out);
	arena_clear(&w->arena);
	free(w);
	return 0;
}

static void on_key(void *arg, struct dnsrec *rec)
{
	struct seen *s = arg;

	s->calls++;
	assert_non_null(rec);
	assert_non_null(rec->key);
	s->state = rec->key->state;
	dnsrec_drop(&s->rec);
	s->rec = dnsrec_hold(rec);
	if (s->cancels != 0)
		ask_cancel(s->world->ask, s->cancels);
	if (s->asks.n > 0)
		assert_true(ask_dns(s->world->ask, DNSREC_KEY, s->asks, on_key, s->other) != 0);
}

static void on_sign(void *arg, struct slice signature, bool refused)
{
	struct seen *s = arg;

	s->calls++;
	s->refused = refused;
	assert_true(signature.n <= sizeof(s->signature));
	s->signature_n = signature.n;
	if (signature.n != 0)
		memcpy(s->signature, signature.at, signature.n);
	if (s->cancels != 0)
		ask_cancel(s->world->ask, s->cancels);
}

static void seen_release(struct seen *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dnsrec_drop(&s[i].rec);
}

/* Items of the next packet the far end got; 0: none came. */
static unsigned packet(struct world *w, int fd, enum ipc_kind kind)
{
	ssize_t n = recv(fd, w->octets, sizeof(w->octets), MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return 0;
	assert_true(n > 0);
	assert_true(ipc_open(slice_of(w->octets, (size_t)n), kind, &w->in));
	return w->in.left;
}

static unsigned questions(struct world *w)
{
	return packet(w, w->resolver, IPC_QUESTIONS);
}

/* The next question of that packet, which must be for `name`; its ticket. */
static uint64_t question(struct world *w, struct slice name)
{
	struct ipc_question q;

	assert_true(ipc_next_question(&w->in, &q));
	WANT_SLICE(q.name, name);
	assert_int_equal(q.qtype, IPC_TYPE_TXT);
	return q.ticket;
}

static void answer_many(struct world *w, uint64_t ticket, enum dns_status status, uint32_t ttl_s, const struct slice *records, size_t n)
{
	buf_clear(&w->out);
	ipc_begin(&w->out, IPC_ANSWERS);
	assert_true(ipc_add_answer(&w->out, &(struct ipc_answer){ .ticket = ticket, .qtype = IPC_TYPE_TXT, .status = status,
	    .secure = true, .ttl_s = ttl_s, .records = records, .record_count = n }));
	assert_int_equal(send(w->resolver, w->out.at, w->out.n, 0), (ssize_t)w->out.n);
}

static void answer(struct world *w, uint64_t ticket, enum dns_status status, uint32_t ttl_s)
{
	answer_many(w, ticket, status, ttl_s, &w->record, status == DNS_OK ? 1 : 0);
}

/* Asks, sees it asked and answered. */
static void learn(struct world *w, struct slice name, enum dns_status status, uint32_t ttl_s)
{
	struct seen s = { .world = w };

	assert_true(ask_dns(w->ask, DNSREC_KEY, name, on_key, &s) != 0);
	turn(w);
	assert_int_equal(questions(w), 1);
	answer(w, question(w, name), status, ttl_s);
	turns(w);
	assert_int_equal(s.calls, 1);
	dnsrec_drop(&s.rec);
}

static void questions_of_a_turn_travel_together_each_name_once(void **state)
{
	struct world *w = *state;
	struct seen s[4] = { { 0 } };
	uint64_t first, second;

	ask_dns(w->ask, DNSREC_KEY, S("a.test"), on_key, &s[0]);
	ask_dns(w->ask, DNSREC_KEY, S("b.test"), on_key, &s[1]);
	ask_dns(w->ask, DNSREC_KEY, S("a.test"), on_key, &s[2]);
	assert_int_equal(questions(w), 0);
	turn(w);
	assert_int_equal(questions(w), 2);
	first = question(w, S("a.test"));
	second = question(w, S("b.test"));
	/* still the same question while it is open */
	ask_dns(w->ask, DNSREC_KEY, S("a.test"), on_key, &s[3]);
	turn(w);
	assert_int_equal(questions(w), 0);
	assert_int_equal(ask_open(w->ask), 4);
	answer(w, second, DNS_NXDOMAIN, 60);
	answer(w, first, DNS_OK, 60);
	turns(w);
	turns(w);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(s[i].calls, 1);
	assert_int_equal(s[0].state, KEYREC_OK);
	assert_true(s[0].rec->secure);
	assert_int_equal(s[1].state, KEYREC_ABSENT);
	assert_ptr_equal(s[0].rec, s[2].rec);
	assert_ptr_equal(s[0].rec, s[3].rec);
	assert_int_equal(ask_open(w->ask), 0);
	seen_release(s, 4);
}

static void an_answer_at_hand_comes_after_the_call(void **state)
{
	struct world *w = *state;
	struct seen s[3] = { { .world = w, .asks = S("a.test"), .other = &s[1] }, { 0 }, { 0 } };

	assert_null(ask_dns_cached(w->ask, DNSREC_KEY, S("a.test")));
	learn(w, S("a.test"), DNS_OK, 60);
	assert_int_equal(ask_dns_cached(w->ask, DNSREC_KEY, S("a.test"))->key->state, KEYREC_OK);
	ask_dns(w->ask, DNSREC_KEY, S("a.test"), on_key, &s[0]);
	assert_int_equal(s[0].calls, 0);
	turns(w);
	assert_int_equal(s[0].calls, 1);
	assert_int_equal(s[1].calls, 1);
	assert_int_equal(questions(w), 0);
	/* a name that no question can carry */
	ask_dns(w->ask, DNSREC_KEY, SLICE_NONE, on_key, &s[2]);
	assert_int_equal(s[2].calls, 0);
	turn(w);
	assert_int_equal(s[2].state, KEYREC_UNREACHABLE);
	seen_release(s, 3);
}

struct found {
	unsigned calls;
	struct ask_addresses got;
	struct ask *asks; /* asks once more */
};

static void on_addresses(void *arg, const struct ask_addresses *got)
{
	struct found *f = arg;

	f->calls++;
	f->got = *got;
	if (f->asks != NULL)
		assert_true(ask_addresses(f->asks, S("again.test"), false, on_addresses, f) != 0);
	f->asks = NULL;
}

/* The next question, which must be for addresses of mx.test. */
static uint64_t address_question(struct world *w, uint16_t qtype)
{
	struct ipc_question q;

	assert_true(ipc_next_question(&w->in, &q));
	WANT_SLICE(q.name, S("mx.test"));
	assert_int_equal(q.qtype, qtype);
	return q.ticket;
}

static void answer_addresses(struct world *w, uint64_t ticket, uint16_t qtype, enum dns_status status, const struct slice *records, size_t n)
{
	buf_clear(&w->out);
	ipc_begin(&w->out, IPC_ANSWERS);
	assert_true(ipc_add_answer(&w->out, &(struct ipc_answer){ .ticket = ticket, .qtype = qtype, .status = status, .ttl_s = 60,
	    .records = records, .record_count = n }));
	assert_int_equal(send(w->resolver, w->out.at, w->out.n, 0), (ssize_t)w->out.n);
}

static void addresses_come_of_each_family(void **state)
{
	static const unsigned char v6[16] = { 0x20, 1, 0xd, 0xb8, [15] = 1 }, v4[16] = { [10] = 0xff, 0xff, 192, 0, 2, 1 };
	struct world *w = *state;
	struct found f[3] = { { 0 } };
	struct slice records[40];
	uint64_t a, aaaa;

	assert_true(ask_addresses(w->ask, S("mx.test"), false, on_addresses, &f[0]) != 0);
	assert_true(ask_addresses(w->ask, S("mx.test"), true, on_addresses, &f[1]) != 0);
	turn(w);
	assert_int_equal(questions(w), 2);
	a = address_question(w, IPC_TYPE_A);
	aaaa = address_question(w, IPC_TYPE_AAAA);
	/* an answer to another question than was asked is none; a record of another length is no address; there are never too many */
	answer_addresses(w, a, IPC_TYPE_AAAA, DNS_OK, &(struct slice){ v6, 16 }, 1);
	records[0] = slice_of(v6, 16);
	for (size_t i = 1; i < 40; i++)
		records[i] = slice_of(v4 + 12, 4);
	answer_addresses(w, a, IPC_TYPE_A, DNS_OK, records, 40);
	answer_addresses(w, aaaa, IPC_TYPE_AAAA, DNS_OK, records, 2);
	turns(w);
	turns(w);
	assert_int_equal(f[0].calls, 1);
	assert_int_equal(f[0].got.count, LIMIT_ADDRESSES);
	assert_memory_equal(f[0].got.at[LIMIT_ADDRESSES - 1], v4, 16);
	assert_int_equal(f[0].got.ttl_s, 60);
	assert_int_equal(f[1].calls, 1);
	assert_int_equal(f[1].got.count, 1);
	assert_memory_equal(f[1].got.at[0], v6, 16);
	/* what is no address at all is a failure of who says so */
	assert_true(ask_addresses(w->ask, S("mx.test"), true, on_addresses, &f[2]) != 0);
	turn(w);
	assert_int_equal(questions(w), 1);
	answer_addresses(w, address_question(w, IPC_TYPE_AAAA), IPC_TYPE_AAAA, DNS_OK, &records[1], 1);
	turns(w);
	assert_int_equal(f[2].got.status, DNS_SERVFAIL);
	assert_int_equal(ask_open(w->ask), 0);
}

static void addresses_that_do_not_come(void **state)
{
	struct world *w = *state;
	struct found f[4] = { { 0 } };
	ask_ticket gone;
	uint64_t late;

	/* cancelled: open, and answered but not told */
	gone = ask_addresses(w->ask, S("mx.test"), false, on_addresses, &f[0]);
	turn(w);
	assert_int_equal(questions(w), 1);
	late = address_question(w, IPC_TYPE_A);
	ask_cancel(w->ask, gone);
	answer_addresses(w, late, IPC_TYPE_A, DNS_NXDOMAIN, NULL, 0);
	gone = ask_addresses(w->ask, SLICE_NONE, false, on_addresses, &f[0]);
	ask_cancel(w->ask, gone);
	turns(w);
	assert_int_equal(f[0].calls, 0);
	assert_int_equal(ask_open(w->ask), 0);
	/* silence */
	ask_addresses(w->ask, S("mx.test"), false, on_addresses, &f[1]);
	turn(w);
	assert_int_equal(questions(w), 1);
	loop_clock_advance(w->loop, TIMEOUT_MS);
	turns(w);
	assert_int_equal(f[1].calls, 1);
	assert_int_equal(f[1].got.status, DNS_TIMEOUT);
	/* nobody to ask any more: who asks again when he hears so hears so again, but not for ever in one turn */
	f[2].asks = w->ask;
	ask_addresses(w->ask, S("mx.test"), false, on_addresses, &f[2]);
	turn(w);
	close(w->resolver);
	w->resolver = -1;
	turns(w);
	loop_clock_advance(w->loop, TIMEOUT_MS);
	turns(w);
	turns(w);
	assert_int_equal(f[2].calls, 2);
	assert_int_equal(f[2].got.status, DNS_TIMEOUT);
	/* and one that is open when all ends */
	ask_addresses(w->ask, S("mx.test"), true, on_addresses, &f[3]);
}

static void answers_are_kept_as_long_as_they_say(void **state)
{
	static const struct {
		const char *name;
		enum dns_status status;
		uint32_t ttl_s;
		int64_t kept_s;
	} rows[] = {
		{ "its TTL", DNS_OK, 60, 60 },
		{ "at least 5 s", DNS_OK, 0, 5 },
		{ "at most a day", DNS_OK, UINT32_MAX, 86400 },
		{ "absent: its TTL", DNS_NXDOMAIN, 120, 120 },
		{ "absent: at least 5 s", DNS_NODATA, 1, 5 },
		{ "absent: at most 300 s", DNS_NXDOMAIN, 3600, 300 },
		{ "failed: by the resolver", DNS_SERVFAIL, 3600, 0 },
		{ "bogus: by the resolver", DNS_BOGUS, 3600, 0 },
		{ "timed out: 1 s", DNS_TIMEOUT, 3600, 1 },
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char name[16];

		snprintf(name, sizeof(name), "n%zu.test", i);
		learn(w, slice_str(name), rows[i].status, rows[i].ttl_s);
		/* The machine's clock goes on as well: a second of room for a slow one. */
		if (rows[i].kept_s > 0) {
			loop_clock_advance(w->loop, rows[i].kept_s * 1000 - 900);
			if (ask_dns_cached(w->ask, DNSREC_KEY, slice_str(name)) == NULL)
				fail_msg("%s: forgotten too early", rows[i].name);
			loop_clock_advance(w->loop, 900);
		}
		if (ask_dns_cached(w->ask, DNSREC_KEY, slice_str(name)) != NULL)
			fail_msg("%s: kept too long", rows[i].name);
	}
}

static void the_least_recently_used_answer_goes_first(void **state)
{
	struct world *w = *state;

	learn(w, S("a.test"), DNS_OK, 600);
	learn(w, S("b.test"), DNS_OK, 600);
	learn(w, S("c.test"), DNS_OK, 600);
	assert_non_null(ask_dns_cached(w->ask, DNSREC_KEY, S("a.test")));
	learn(w, S("d.test"), DNS_OK, 600);
	assert_null(ask_dns_cached(w->ask, DNSREC_KEY, S("b.test")));
	assert_non_null(ask_dns_cached(w->ask, DNSREC_KEY, S("a.test")));
	assert_non_null(ask_dns_cached(w->ask, DNSREC_KEY, S("c.test")));
	assert_non_null(ask_dns_cached(w->ask, DNSREC_KEY, S("d.test")));
}

struct records {
	unsigned calls;
	struct dnsrec *rec; /* held */
};

static void on_records(void *arg, struct dnsrec *rec)
{
	struct records *r = arg;

	r->calls++;
	dnsrec_drop(&r->rec);
	r->rec = dnsrec_hold(rec);
}

/* The next question of the packet, of which only the type tells. */
static uint64_t question_of(struct world *w, unsigned qtype)
{
	struct ipc_question q;

	assert_true(ipc_next_question(&w->in, &q));
	WANT_SLICE(q.name, S("a.test"));
	assert_int_equal(q.qtype, qtype);
	return q.ticket;
}

static void answer_of(struct world *w, uint64_t ticket, unsigned qtype, const struct slice *records, size_t n)
{
	buf_clear(&w->out);
	ipc_begin(&w->out, IPC_ANSWERS);
	assert_true(ipc_add_answer(&w->out, &(struct ipc_answer){ .ticket = ticket, .qtype = (uint16_t)qtype, .status = DNS_OK,
	    .secure = true, .ttl_s = 60, .records = records, .record_count = n }));
	assert_int_equal(send(w->resolver, w->out.at, w->out.n, 0), (ssize_t)w->out.n);
}

static void each_type_of_a_name_is_a_question_of_its_own(void **state)
{
	static const struct {
		enum dnsrec_type type;
		unsigned qtype;
		struct slice on_wire, kept;
	} rows[] = {
		{ DNSREC_KEY, IPC_TYPE_TXT, S("v=DKIM1; p="), { NULL, 0 } },
		{ DNSREC_TXT, IPC_TYPE_TXT, S("v=spf1\0-all"), S("v=spf1\0-all") },
		{ DNSREC_A, IPC_TYPE_A, S("\300\0\2\1"), S("\0\0\0\0\0\0\0\0\0\0\377\377\300\0\2\1") },
		{ DNSREC_AAAA, IPC_TYPE_AAAA, S("0123456789abcdef"), S("0123456789abcdef") },
		{ DNSREC_MX, IPC_TYPE_MX, S("\0\12\2MX\4test\0"), S("\0\12mx.test") },
		{ DNSREC_PTR, IPC_TYPE_PTR, S("\2mx\4test\0"), S("mx.test") },
	};
	enum { N = sizeof(rows) / sizeof(rows[0]) };
	struct world *w = *state;
	struct records r[N] = { { 0 } }, again[N] = { { 0 } };
	uint64_t tickets[N];

	for (size_t i = 0; i < N; i++)
		assert_true(ask_dns(w->ask, rows[i].type, S("a.test"), on_records, &r[i]) != 0);
	turn(w);
	assert_int_equal(questions(w), N);
	for (size_t i = 0; i < N; i++)
		tickets[i] = question_of(w, rows[i].qtype);
	for (size_t i = 0; i < N; i++)
		answer_of(w, tickets[i], rows[i].qtype, &rows[i].on_wire, 1);
	for (size_t i = 0; i < N; i++)
		turn(w);
	turn(w);
	for (size_t i = 0; i < N; i++) {
		assert_int_equal(r[i].calls, 1);
		assert_int_equal(r[i].rec->status, DNS_OK);
		assert_true(r[i].rec->secure);
		assert_int_equal(r[i].rec->key != NULL, rows[i].type == DNSREC_KEY);
		assert_int_equal(r[i].rec->count, rows[i].type != DNSREC_KEY);
		if (r[i].rec->count == 1)
			WANT_SLICE(r[i].rec->records[0], rows[i].kept);
		/* Nobody's answer is another's: three are kept (CACHE), the last ones. */
		assert_ptr_equal(ask_dns_cached(w->ask, rows[i].type, S("a.test")), i + CACHE < N ? NULL : r[i].rec);
		if (i + CACHE < N)
			continue;
		ask_dns(w->ask, rows[i].type, S("a.test"), on_records, &again[i]);
		turn(w);
		assert_ptr_equal(again[i].rec, r[i].rec);
	}
	assert_int_equal(questions(w), 0);
	assert_null(ask_dns_cached(w->ask, DNSREC_TXT, SLICE_NONE));
	for (size_t i = 0; i < N; i++) {
		dnsrec_drop(&r[i].rec);
		dnsrec_drop(&again[i].rec);
	}
}

static void what_is_not_of_its_type_is_a_failure(void **state)
{
	struct world *w = *state;
	struct records r = { 0 };

	ask_dns(w->ask, DNSREC_A, S("a.test"), on_records, &r);
	turn(w);
	assert_int_equal(questions(w), 1);
	answer_of(w, question_of(w, IPC_TYPE_A), IPC_TYPE_A, &S("five!"), 1);
	turns(w);
	assert_int_equal(r.rec->status, DNS_SERVFAIL);
	assert_int_equal(r.rec->count, 0);
	assert_null(ask_dns_cached(w->ask, DNSREC_A, S("a.test")));
	/* nobody to ask: each type has its own kind of silence */
	close(w->resolver);
	w->resolver = -1;
	turns(w);
	loop_clock_advance(w->loop, TIMEOUT_MS);
	turns(w);
	ask_dns(w->ask, DNSREC_PTR, S("a.test"), on_records, &r);
	turns(w);
	assert_int_equal(r.calls, 2);
	assert_int_equal(r.rec->status, DNS_TIMEOUT);
	assert_null(r.rec->key);
	dnsrec_drop(&r.rec);
}

/* A peer chooses what we ask, and whoever it asks for gives 64 KiB a name. */
static void the_cache_is_bounded_by_octets_too(void **state)
{
	enum { OCTETS = 65000, NAMES = 2 * LIMIT_DNS_CACHE_OCTETS / OCTETS };
	static unsigned char text[OCTETS];
	struct world *w = *state;
	struct ask *small = w->ask;
	int r[2];
	size_t kept = 0;

	assert_int_equal(pair(r), 0);
	close(w->resolver);
	w->resolver = r[1];
	w->ask = ask_new(w->loop, r[0], -1, TIMEOUT_MS, LIMIT_DNS_CACHE);
	assert_non_null(w->ask);
	memset(text, 'x', sizeof(text));
	for (size_t i = 0; i < NAMES; i++) {
		struct records one = { 0 };
		char name[16];

		snprintf(name, sizeof(name), "n%zu.test", i);
		ask_dns(w->ask, DNSREC_TXT, slice_str(name), on_records, &one);
		turn(w);
		assert_int_equal(questions(w), 1);
		answer_of(w, question(w, slice_str(name)), IPC_TYPE_TXT, &(struct slice){ text, sizeof(text) }, 1);
		turns(w);
		assert_int_equal(one.rec->records[0].n, sizeof(text));
		dnsrec_drop(&one.rec);
	}
	for (size_t i = 0; i < NAMES; i++) {
		char name[16];

		snprintf(name, sizeof(name), "n%zu.test", i);
		if (ask_dns_cached(w->ask, DNSREC_TXT, slice_str(name)) != NULL)
			kept++;
		else
			assert_int_equal(kept, 0); /* those that came last are there */
	}
	assert_in_range(kept, LIMIT_DNS_CACHE_OCTETS / OCTETS - 2, LIMIT_DNS_CACHE_OCTETS / OCTETS);
	ask_free(&w->ask);
	w->ask = small;
}

static void silence_is_unreachable_and_a_late_answer_has_no_owner(void **state)
{
	struct world *w = *state;
	struct seen s[3] = { { 0 } };
	uint64_t late;

	ask_dns(w->ask, DNSREC_KEY, S("slow.test"), on_key, &s[0]);
	turn(w);
	assert_int_equal(questions(w), 1);
	late = question(w, S("slow.test"));
	loop_clock_advance(w->loop, TIMEOUT_MS - 1000);
	turns(w);
	assert_int_equal(s[0].calls, 0);
	/* a question of its own, with a later deadline */
	ask_dns(w->ask, DNSREC_KEY, S("other.test"), on_key, &s[1]);
	turn(w);
	loop_clock_advance(w->loop, 1000);
	turns(w);
	assert_int_equal(s[0].calls, 1);
	assert_int_equal(s[0].state, KEYREC_UNREACHABLE);
	assert_int_equal(s[1].calls, 0);
	answer(w, late, DNS_OK, 60);
	turns(w);
	assert_int_equal(s[0].calls, 1);
	loop_clock_advance(w->loop, 1000);
	assert_null(ask_dns_cached(w->ask, DNSREC_KEY, S("slow.test")));
	assert_int_equal(questions(w), 1);
	/* asked again it is another question, which the late answer does not touch */
	ask_dns(w->ask, DNSREC_KEY, S("slow.test"), on_key, &s[2]);
	turn(w);
	assert_int_equal(questions(w), 1);
	assert_true(question(w, S("slow.test")) != late);
	answer(w, late, DNS_OK, 60);
	turns(w);
	assert_int_equal(s[2].calls, 0);
	loop_clock_advance(w->loop, TIMEOUT_MS);
	turns(w);
	assert_int_equal(s[2].state, KEYREC_UNREACHABLE);
	assert_int_equal(s[1].state, KEYREC_UNREACHABLE);
	seen_release(s, 3);
}

static void the_resolver_is_told_how_long_to_try(void **state)
{
	struct world *w = *state;
	struct seen s = { 0 };
	struct ipc_question q;

	ask_dns(w->ask, DNSREC_KEY, S("a.test"), on_key, &s);
	turn(w);
	assert_int_equal(questions(w), 1);
	assert_true(ipc_next_question(&w->in, &q));
	assert_true(q.timeout_ms <= TIMEOUT_MS && q.timeout_ms > TIMEOUT_MS - 1000);
}

static void after_cancel_nothing_comes(void **state)
{
	struct world *w = *state;
	struct seen s[5] = { { .world = w }, { .world = w }, { 0 }, { 0 }, { 0 } };
	ask_ticket t;

	/* before it is sent, while it is open, and once it is answered but not told */
	t = ask_dns(w->ask, DNSREC_KEY, S("a.test"), on_key, &s[0]);
	ask_cancel(w->ask, t);
	t = ask_dns(w->ask, DNSREC_KEY, S("a.test"), on_key, &s[0]);
	turn(w);
	assert_int_equal(questions(w), 1);
	ask_cancel(w->ask, t);
	ask_cancel(w->ask, t);
	assert_int_equal(ask_open(w->ask), 0);
	answer(w, question(w, S("a.test")), DNS_OK, 60);
	turns(w);
	assert_non_null(ask_dns_cached(w->ask, DNSREC_KEY, S("a.test"))); /* the answer was not for nothing */
	t = ask_dns(w->ask, DNSREC_KEY, S("a.test"), on_key, &s[0]);
	ask_cancel(w->ask, t);
	turns(w);
	assert_int_equal(s[0].calls, 0);
	/* by another's call, of the same name */
	ask_dns(w->ask, DNSREC_KEY, S("b.test"), on_key, &s[1]);
	s[1].cancels = ask_dns(w->ask, DNSREC_KEY, S("b.test"), on_key, &s[2]);
	ask_dns(w->ask, DNSREC_KEY, S("b.test"), on_key, &s[3]);
	turn(w);
	assert_int_equal(questions(w), 1);
	answer(w, question(w, S("b.test")), DNS_OK, 60);
	turns(w);
	assert_int_equal(s[1].calls, 1);
	assert_int_equal(s[2].calls, 0);
	assert_int_equal(s[3].calls, 1);
	seen_release(s, 5);
}

static void resolver_dies(struct world *w)
{
	close(w->resolver);
	w->resolver = -1;
	turns(w);
}

static void resolver_comes(struct world *w)
{
	int fds[2];

	assert_int_equal(pair(fds), 0);
	w->resolver = fds[1];
	ask_set_resolver(w->ask, fds[0]);
	turns(w);
}

static void questions_outlive_a_resolver_once(void **state)
{
	struct world *w = *state;
	struct seen s[4] = { { 0 } };

	learn(w, S("known.test"), DNS_OK, 600);
	ask_dns(w->ask, DNSREC_KEY, S("a.test"), on_key, &s[0]);
	turn(w);
	assert_int_equal(questions(w), 1);
	resolver_dies(w);
	/* while it is away */
	ask_dns(w->ask, DNSREC_KEY, S("b.test"), on_key, &s[1]);
	ask_dns(w->ask, DNSREC_KEY, S("known.test"), on_key, &s[2]);
	turns(w);
	assert_int_equal(s[0].calls + s[1].calls, 0);
	assert_int_equal(s[2].state, KEYREC_OK);
	resolver_comes(w);
	assert_int_equal(questions(w), 2);
	(void)question(w, S("a.test"));
	/* a question that two did not survive is not asked of a third */
	resolver_dies(w);
	assert_int_equal(s[0].calls, 1);
	assert_int_equal(s[0].state, KEYREC_UNREACHABLE);
	assert_int_equal(s[1].calls, 0);
	resolver_comes(w);
	assert_int_equal(questions(w), 1);
	answer(w, question(w, S("b.test")), DNS_OK, 60);
	turns(w);
	assert_int_equal(s[1].state, KEYREC_OK);
	/* nothing of the outage was kept */
	ask_dns(w->ask, DNSREC_KEY, S("a.test"), on_key, &s[3]);
	turn(w);
	assert_int_equal(questions(w), 1);
	answer(w, question(w, S("a.test")), DNS_OK, 60);
	turns(w);
	assert_int_equal(s[3].state, KEYREC_OK);
	seen_release(s, 4);
}

static void no_question_waits_for_a_resolver_for_ever(void **state)
{
	struct world *w = *state;
	struct seen s[3] = { { 0 } };

	resolver_dies(w);
	loop_clock_advance(w->loop, TIMEOUT_MS - 1000);
	ask_dns(w->ask, DNSREC_KEY, S("a.test"), on_key, &s[0]);
	turns(w);
	assert_int_equal(s[0].calls, 0);
	loop_clock_advance(w->loop, 1000);
	turns(w);
	assert_int_equal(s[0].state, KEYREC_UNREACHABLE);
	ask_dns(w->ask, DNSREC_KEY, S("a.test"), on_key, &s[1]);
	turns(w);
	assert_int_equal(s[1].state, KEYREC_UNREACHABLE);
	resolver_comes(w);
	loop_clock_advance(w->loop, 2 * TIMEOUT_MS);
	turns(w);
	ask_dns(w->ask, DNSREC_KEY, S("a.test"), on_key, &s[2]);
	turns(w);
	assert_int_equal(questions(w), 1);
	answer(w, question(w, S("a.test")), DNS_OK, 60);
	turns(w);
	assert_int_equal(s[2].state, KEYREC_OK);
	seen_release(s, 3);
}

static void what_is_no_answer_changes_nothing(void **state)
{
	static const struct slice two[] = { { (const unsigned char *)"a", 1 }, { (const unsigned char *)"b", 1 } };
	struct world *w = *state;
	struct seen s[2] = { { 0 } };
	uint64_t ticket;

	ask_dns(w->ask, DNSREC_KEY, S("a.test"), on_key, &s[0]);
	turn(w);
	assert_int_equal(questions(w), 1);
	ticket = question(w, S("a.test"));
	assert_int_equal(send(w->resolver, "garbage", 7, 0), 7);
	turns(w);
	answer(w, ticket + 1, DNS_OK, 60);
	turns(w);
	answer(w, 0, DNS_OK, 60);
	turns(w);
	buf_clear(&w->out);
	ipc_begin(&w->out, IPC_ANSWERS);
	assert_true(ipc_add_answer(&w->out, &(struct ipc_answer){ .ticket = ticket, .qtype = 15, .status = DNS_NXDOMAIN }));
	assert_int_equal(send(w->resolver, w->out.at, w->out.n, 0), (ssize_t)w->out.n);
	turns(w);
	assert_int_equal(s[0].calls, 0);
	answer_many(w, ticket, DNS_OK, 60, two, 2);
	turns(w);
	assert_int_equal(s[0].state, KEYREC_MULTIPLE);
	answer(w, ticket, DNS_OK, 60);
	turns(w);
	assert_int_equal(s[0].calls, 1);
	assert_int_equal(ask_dns_cached(w->ask, DNSREC_KEY, S("a.test"))->key->state, KEYREC_MULTIPLE);
	seen_release(s, 2);
}

/* More than the socket takes: the rest waits for it, up to the limit, and nothing is lost or sent twice. */
static void questions_wait_for_a_resolver_that_does_not_read(void **state)
{
	struct world *w = *state;
	static struct seen s[LIMIT_DNS_PENDING + 1];
	unsigned got = 0, n;
	char name[128];

	memset(s, 0, sizeof(s));
	for (unsigned i = 0; i < LIMIT_DNS_PENDING; i++) {
		snprintf(name, sizeof(name), "n%u.long-enough-to-fill-the-socket.selector._domainkey.example.test", i);
		assert_true(ask_dns(w->ask, DNSREC_KEY, slice_str(name), on_key, &s[i]) != 0);
	}
	assert_true(ask_dns(w->ask, DNSREC_KEY, S("one-too-many.test"), on_key, &s[LIMIT_DNS_PENDING]) != 0);
	turn(w);
	assert_int_equal(s[LIMIT_DNS_PENDING].calls, 1);
	assert_int_equal(s[LIMIT_DNS_PENDING].state, KEYREC_UNREACHABLE);
	assert_int_equal(ask_open(w->ask), LIMIT_DNS_PENDING);
	for (unsigned rounds = 0; got < LIMIT_DNS_PENDING && rounds < 1000; rounds++) {
		while ((n = questions(w)) > 0) {
			snprintf(name, sizeof(name), "n%u.long-enough-to-fill-the-socket.selector._domainkey.example.test", got);
			question(w, slice_str(name));
			got += n;
		}
		if (rounds == 0)
			assert_true(got < LIMIT_DNS_PENDING);
		turns(w);
	}
	assert_int_equal(got, LIMIT_DNS_PENDING);
	assert_int_equal(questions(w), 0);
	loop_clock_advance(w->loop, TIMEOUT_MS);
	turns(w);
	for (unsigned i = 0; i <= LIMIT_DNS_PENDING; i++)
		assert_int_equal(s[i].calls, 1);
	seen_release(s, LIMIT_DNS_PENDING + 1);
}

static ask_ticket sign(struct world *w, unsigned char first, struct seen *s)
{
	struct dkim2_sign_ask what = { .domain = S("a.example"), .selector = S("s1"), .type = KEY_ED25519, .digest = { first } };
	ask_ticket t = ask_sign(w->ask, &what, on_sign, s);

	assert_true(t != 0);
	return t;
}

static uint64_t signing(struct world *w, unsigned char first)
{
	struct ipc_sign s;

	assert_true(ipc_next_sign(&w->in, &s));
	WANT_SLICE(s.domain, S("a.example"));
	WANT_SLICE(s.selector, S("s1"));
	assert_int_equal(s.type, KEY_ED25519);
	assert_int_equal(s.digest[0], first);
	return s.ticket;
}

static void signed_as(struct world *w, uint64_t ticket, enum ipc_signed_status status, struct slice signature)
{
	buf_clear(&w->out);
	ipc_begin(&w->out, IPC_SIGNED);
	assert_true(ipc_add_signed(&w->out, &(struct ipc_signed){ ticket, status, signature }));
	assert_int_equal(send(w->keeper, w->out.at, w->out.n, 0), (ssize_t)w->out.n);
}

static void signatures_of_a_turn_travel_together(void **state)
{
	struct world *w = *state;
	struct seen s[5] = { { 0 } };
	uint64_t t[4];

	sign(w, 1, &s[0]);
	sign(w, 2, &s[1]);
	ask_cancel(w->ask, sign(w, 9, &s[4]));
	sign(w, 3, &s[2]);
	sign(w, 4, &s[3]);
	turn(w);
	assert_int_equal(packet(w, w->keeper, IPC_SIGN), 4);
	for (unsigned char i = 0; i < 4; i++)
		t[i] = signing(w, (unsigned char)(i + 1));
	signed_as(w, t[1], IPC_SIGNED_DONE, S("signature"));
	signed_as(w, t[0], IPC_SIGNED_REFUSED, SLICE_NONE);
	signed_as(w, t[2], IPC_SIGNED_FAILED, SLICE_NONE);
	signed_as(w, t[2], IPC_SIGNED_DONE, S("twice"));
	turns(w);
	turns(w);
	assert_int_equal(s[0].calls, 1);
	assert_true(s[0].refused && s[0].signature_n == 0);
	assert_int_equal(s[1].calls, 1);
	WANT_SLICE(slice_of(s[1].signature, s[1].signature_n), S("signature"));
	assert_int_equal(s[2].calls, 1);
	assert_true(!s[2].refused && s[2].signature_n == 0);
	/* the keeper is silent */
	loop_clock_advance(w->loop, ASK_SIGN_MS);
	turns(w);
	assert_int_equal(s[3].calls, 1);
	assert_true(!s[3].refused && s[3].signature_n == 0);
	signed_as(w, t[3], IPC_SIGNED_DONE, S("late"));
	turns(w);
	assert_int_equal(s[3].calls, 1);
	assert_int_equal(s[4].calls, 0);
	assert_int_equal(ask_open(w->ask), 0);
}

static void keeper_dies(struct world *w)
{
	close(w->keeper);
	w->keeper = -1;
	turns(w);
}

static void keeper_comes(struct world *w)
{
	int fds[2];

	assert_int_equal(pair(fds), 0);
	w->keeper = fds[1];
	ask_set_keeper(w->ask, fds[0]);
	turns(w);
}

static void a_signature_outlives_a_keeper_once(void **state)
{
	struct world *w = *state;
	struct seen s[4] = { { 0 }, { .world = w }, { 0 }, { 0 } };

	sign(w, 1, &s[0]);
	turn(w);
	keeper_dies(w);
	sign(w, 2, &s[1]);
	s[1].cancels = sign(w, 3, &s[2]);
	turns(w);
	assert_int_equal(s[0].calls + s[1].calls, 0);
	keeper_comes(w);
	assert_int_equal(packet(w, w->keeper, IPC_SIGN), 3);
	(void)signing(w, 1);
	signed_as(w, signing(w, 2), IPC_SIGNED_DONE, S("x"));
	turns(w);
	assert_int_equal(s[1].signature_n, 1);
	assert_int_equal(s[2].calls, 0);
	keeper_dies(w);
	assert_int_equal(s[0].calls, 1);
	assert_true(!s[0].refused && s[0].signature_n == 0);
	/* a client waits for this one: not for long */
	sign(w, 4, &s[3]);
	turns(w);
	assert_int_equal(s[3].calls, 0);
	loop_clock_advance(w->loop, ASK_SIGN_MS / 2);
	turns(w);
	assert_int_equal(s[3].calls, 1);
	assert_true(!s[3].refused && s[3].signature_n == 0);
}

/* Nobody is called, nothing leaks (the sanitizers tell). */
static void freeing_forgets_what_is_open(void **state)
{
	struct world *w = *state;
	struct seen s[4] = { { 0 } };

	learn(w, S("a.test"), DNS_OK, 60);
	ask_dns(w->ask, DNSREC_KEY, S("a.test"), on_key, &s[0]);
	ask_dns(w->ask, DNSREC_KEY, S("b.test"), on_key, &s[1]);
	sign(w, 1, &s[2]);
	turn(w);
	ask_dns(w->ask, DNSREC_KEY, S("a.test"), on_key, &s[3]);
	sign(w, 1, &s[3]);
	ask_free(&w->ask);
	assert_int_equal(s[0].calls, 1);
	assert_int_equal(s[1].calls + s[2].calls + s[3].calls, 0);
	seen_release(s, 4);
}

#define ROW(name) cmocka_unit_test_setup_teardown(name, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(questions_of_a_turn_travel_together_each_name_once),
		ROW(an_answer_at_hand_comes_after_the_call),
		ROW(addresses_come_of_each_family),
		ROW(addresses_that_do_not_come),
		ROW(answers_are_kept_as_long_as_they_say),
		ROW(the_least_recently_used_answer_goes_first),
		ROW(each_type_of_a_name_is_a_question_of_its_own),
		ROW(what_is_not_of_its_type_is_a_failure),
		ROW(the_cache_is_bounded_by_octets_too),
		ROW(silence_is_unreachable_and_a_late_answer_has_no_owner),
		ROW(the_resolver_is_told_how_long_to_try),
		ROW(after_cancel_nothing_comes),
		ROW(questions_outlive_a_resolver_once),
		ROW(no_question_waits_for_a_resolver_for_ever),
		ROW(what_is_no_answer_changes_nothing),
		ROW(questions_wait_for_a_resolver_that_does_not_read),
		ROW(signatures_of_a_turn_travel_together),
		ROW(a_signature_outlives_a_keeper_once),
		ROW(freeing_forgets_what_is_open),
	};

	return RUN_TESTS(tests);
}
