/* The resolver, as a process of its own that asks a DNS server made here, or the offline file; and hopsealctl's look-ups. */
#include "child.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <fcntl.h>
#include <netinet/in.h>

#include "daemon/lookup.h"
#include "daemon/resolver_dns.h"

enum { TTL = 300, QUESTION_MS = 15000, SILENT_MS = 400, CROWD = 4000 };

/* All that a label may have (dns_name_normal()); to a text form of names some of it means more than itself. */
#define ODD_1 " john+tag !\"#$%&'()*,-/"
#define ODD_2 "09:;<=>?@[]^_`{|}~"
#define ODD_NAME ODD_1 "." ODD_2 "._spf.odd.test"

static struct {
	pid_t servers[2];
	char addresses[2][32]; /* with their ports; the second lets the root's signatures through */
	char *address;         /* the first */
	bool with_signatures;  /* of the server that runs here */
	struct conf conf;
	unsigned char octets[LIMIT_IPC];
	struct buf out;
} w;

/* the server */

static void put16(struct buf *b, unsigned v)
{
	buf_octet(b, (unsigned char)(v >> 8));
	buf_octet(b, (unsigned char)v);
}

static void put_name(struct buf *b, const char *name)
{
	struct slice rest = slice_str(name), label;
	bool more = true;

	while (more) {
		more = slice_cut(&rest, '.', &label);
		buf_octet(b, (unsigned char)label.n);
		buf_slice(b, label);
	}
	buf_octet(b, 0);
}

/* A record of the name at `owner`, an offset into the message. */
static void put_record(struct buf *b, unsigned owner, unsigned type, unsigned ttl_s, struct slice data)
{
	put16(b, 0xc000 | owner);
	put16(b, type);
	put16(b, ns_c_in);
	put16(b, ttl_s >> 16);
	put16(b, ttl_s & 0xffff);
	put16(b, (unsigned)data.n);
	buf_slice(b, data);
}

static void put_soa(struct buf *b, unsigned owner)
{
	struct buf soa;

	buf_init(&soa, 512);
	put_name(&soa, "ns.test");
	put_name(&soa, "host.test");
	for (unsigned i = 0; i < 4; i++)
		buf_add(&soa, "\0\0\0\1", 4);
	buf_add(&soa, "\0\0\0\62", 4); /* minimum: 50 */
	put_record(b, owner, ns_t_soa, 100, buf_get(&soa));
	buf_release(&soa);
}

#define TXT(text) S(text)

/* CROWD records of 12 octets and two in the data, or in full: of TXT those two, of PTR a name of 200 octets that is compressed. */
static unsigned put_crowd(struct buf *b, unsigned type)
{
	unsigned target = (unsigned)b->n + 12;
	struct buf name;

	if (type == ns_t_ptr) {
		buf_init(&name, 512);
		for (unsigned i = 0; i < 4; i++) {
			buf_octet(&name, 48);
			for (unsigned k = 0; k < 48; k++)
				buf_octet(&name, 'n');
		}
		buf_add(&name, "\0", 1);
		put_record(b, 12, type, TTL, buf_get(&name));
		buf_release(&name);
	}
	for (unsigned i = 0; i < CROWD; i++) {
		unsigned char data[5] = { 2, (unsigned char)(i >> 8), (unsigned char)i, (unsigned char)(0xc0 | target >> 8), (unsigned char)target };

		if (type == ns_t_txt)
			put_record(b, 12, type, TTL, slice_of(data, 3));
		else
			put_record(b, 12, type, TTL, slice_of(data, 5));
	}
	return type == ns_t_txt ? CROWD : CROWD + 1;
}

/* The response to a query; false: none is sent. */
static bool respond(struct slice query, bool tcp, struct buf *b)
{
	unsigned rcode = ns_r_noerror, answers = 0, authority = 0, type, at = 12;
	char name[256] = "";
	struct buf data;
	size_t n = 0;

	while (at < query.n && query.at[at] != 0) {
		n += (size_t)snprintf(name + n, sizeof(name) - n, "%s%.*s", n ? "." : "", query.at[at], (const char *)query.at + at + 1);
		at += 1U + query.at[at];
	}
	if (at + 5 > query.n)
		return false;
	type = (unsigned)(query.at[at + 1] << 8 | query.at[at + 2]);
	at += 5;
	buf_init(&data, 65536);
	buf_clear(b);
	buf_slice(b, slice_sub(query, 0, 2));
	put16(b, 0x8180); /* response, recursion desired and available */
	put16(b, 1);
	put16(b, 0);
	put16(b, 0);
	put16(b, 0);
	buf_slice(b, slice_sub(query, 12, at - 12));
	if (strcmp(name, "silent.test") == 0) {
		return false;
	} else if (name[0] == '\0' && type == ns_t_dnskey) {
		/* No key that any anchor knows: it matters only whether signatures come along. */
		put_record(b, 12, ns_t_dnskey, TTL, S("\1\1\3\17keykeykeykeykeykeykeykeykeykeyke"));
		answers = 1;
		if (w.with_signatures) {
			put16(&data, ns_t_dnskey);
			buf_add(&data, "\17\0\0\0\1\54\177\377\377\377\0\0\0\1\1\1\0", 17);
			buf_add(&data, "signaturesignaturesignaturesignaturesignaturesignaturesignatures", 64);
			put_record(b, 12, ns_t_rrsig, TTL, buf_get(&data));
			answers = 2;
		}
	} else if (strcmp(name, "absent.test") == 0) {
		rcode = ns_r_nxdomain;
		put_soa(b, 12 + 7);
		authority = 1;
	} else if (strcmp(name, "broken.test") == 0) {
		rcode = ns_r_servfail;
	} else if (strcmp(name, "mail.test") == 0 && type == ns_t_mx) {
		put16(&data, 10);
		buf_add(&data, "\2mx\300\14", 5); /* mx.mail.test, compressed */
		put_record(b, 12, ns_t_mx, TTL, buf_get(&data));
		answers = 1;
	} else if (strcmp(name, "null.test") == 0 && type == ns_t_mx) {
		put_record(b, 12, ns_t_mx, TTL, S("\0\0\0"));
		answers = 1;
	} else if (strcmp(name, "1.2.0.192.in-addr.arpa") == 0 && type == ns_t_ptr) {
		put_record(b, 12, ns_t_ptr, TTL, S("\1a\4test\0"));
		put_record(b, 12, ns_t_ptr, TTL, S("\3a\0.\4test\0"));
		answers = 2;
	} else if (strncmp(name, "crowd.", 6) == 0 && (type == ns_t_ptr || type == ns_t_txt) && !tcp) {
		b->at[2] |= 0x02;
	} else if (strncmp(name, "crowd.", 6) == 0 && (type == ns_t_ptr || type == ns_t_txt)) {
		answers = put_crowd(b, type);
	} else if (strcmp(name, "address.test") == 0 && type == ns_t_a) {
		put_record(b, 12, ns_t_a, TTL, S("\300\0\2\1"));
		answers = 1;
	} else if (type != ns_t_txt || strcmp(name, "nodata.test") == 0) {
		put_soa(b, 12 + 7);
		authority = 1;
	} else if (strcmp(name, "alias.test") == 0) {
		unsigned target = (unsigned)b->n + 12;

		put_name(&data, "one.other.test");
		put_record(b, 12, ns_t_cname, 30, buf_get(&data));
		put_record(b, target, ns_t_txt, TTL, TXT("\13v=DKIM1; p="));
		answers = 2;
	} else if (strcmp(name, "one.test") == 0 || strcmp(name, "one.other.test") == 0) {
		put_record(b, 12, ns_t_txt, TTL, TXT("\13v=DKIM1; p="));
		answers = 1;
	} else if (strcmp(name, ODD_NAME) == 0) {
		put_record(b, 12, ns_t_txt, TTL, TXT("\3odd"));
		answers = 1;
	} else if (strcmp(name, "empty.test") == 0) {
		for (unsigned i = 0; i < 255; i++)
			buf_octet(&data, 0);
		put_record(b, 12, ns_t_txt, TTL, buf_get(&data));
		answers = 1;
	} else if (strcmp(name, "joined.test") == 0) {
		put_record(b, 12, ns_t_txt, TTL, TXT("\3v=D\0\4KIM1\4; p="));
		answers = 1;
	} else if (strcmp(name, "several.test") == 0) {
		put_record(b, 12, ns_t_txt, TTL, TXT("\3one"));
		put_record(b, 12, ns_t_txt, TTL, TXT("\3two"));
		answers = 2;
	} else if (strcmp(name, "binary.test") == 0) {
		put_record(b, 12, ns_t_txt, TTL, TXT("\4a\0\377\""));
		answers = 1;
	} else if (strcmp(name, "lying.test") == 0) {
		put_record(b, 12, ns_t_txt, TTL, TXT("\144too short"));
		answers = 1;
	} else if (strcmp(name, "cut.test") == 0 && !tcp) {
		b->at[2] |= 0x02; /* truncated: ask by TCP */
	} else if (strcmp(name, "cut.test") == 0) {
		for (unsigned i = 0; i < 200; i++) {
			buf_octet(&data, 255);
			for (unsigned j = 0; j < 255; j++)
				buf_octet(&data, 'k');
		}
		put_record(b, 12, ns_t_txt, TTL, buf_get(&data));
		answers = 1;
	} else {
		rcode = ns_r_nxdomain;
		put_soa(b, 12);
		authority = 1;
	}
	b->at[3] = (unsigned char)(0x80 | rcode);
	b->at[6] = (unsigned char)(answers >> 8);
	b->at[7] = (unsigned char)answers;
	b->at[9] = (unsigned char)authority;
	buf_release(&data);
	return !buf_failed(b);
}

static void serve_tcp(int listener, struct buf *b)
{
	unsigned char query[2048], length[2];
	int fd = accept(listener, NULL, NULL);
	size_t n = 0;
	ssize_t got;

	while (fd >= 0 && (n < 2 || n < 2 + (size_t)(query[0] << 8 | query[1])) && (got = read(fd, query + n, sizeof(query) - n)) > 0)
		n += (size_t)got;
	if (n > 2 && respond(slice_of(query + 2, n - 2), true, b)) {
		length[0] = (unsigned char)(b->n >> 8);
		length[1] = (unsigned char)b->n;
		(void)!write(fd, length, 2);
		(void)!write(fd, b->at, b->n);
	}
	if (fd >= 0)
		close(fd);
}

static void serve_forever(int udp, int tcp)
{
	struct pollfd p[2] = { { .fd = udp, .events = POLLIN }, { .fd = tcp, .events = POLLIN } };
	unsigned char query[2048];
	struct buf b;

	buf_init(&b, 65535);
	for (;;) {
		struct sockaddr_in from;
		socklen_t n = sizeof(from);
		ssize_t got;

		poll(p, 2, -1);
		if (p[1].revents)
			serve_tcp(tcp, &b);
		if (!p[0].revents)
			continue;
		got = recvfrom(udp, query, sizeof(query), 0, (struct sockaddr *)&from, &n);
		if (got > 0 && respond(slice_of(query, (size_t)got), false, &b))
			sendto(udp, b.at, b.n, 0, (struct sockaddr *)&from, n);
	}
}

static int start_server(size_t which)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);
	int udp = -1, tcp = -1;

	/* A port that is free for both. */
	for (unsigned i = 0; i < 100; i++) {
		at.sin_port = 0;
		udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (bind(udp, (struct sockaddr *)&at, sizeof(at)) == 0 && getsockname(udp, (struct sockaddr *)&at, &n) == 0 &&
		    bind(tcp, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(tcp, 16) == 0)
			break;
		close(udp);
		close(tcp);
		udp = tcp = -1;
	}
	if (udp < 0)
		return -1;
	w.servers[which] = fork();
	if (w.servers[which] == 0) {
		w.with_signatures = which == 1;
		serve_forever(udp, tcp);
		_exit(0);
	}
	close(udp);
	close(tcp);
	snprintf(w.addresses[which], sizeof(w.addresses[which]), "127.0.0.1:%u", ntohs(at.sin_port));
	return 0;
}

static int start_servers(void **state)
{
	(void)state;
	buf_init(&w.out, LIMIT_IPC);
	w.address = w.addresses[0];
	w.conf = (struct conf){ .dns = { .resolver = w.address, .trust_anchor = "none" } };
	return start_server(0) == 0 && start_server(1) == 0 ? 0 : -1;
}

static int stop_servers(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		kill(w.servers[i], SIGKILL);
		waitpid(w.servers[i], NULL, 0);
	}
	buf_release(&w.out);
	return 0;
}

/* the tests */

static struct child start(const struct conf *conf, bool output)
{
	return child_start(resolver_main, (struct child_args){ .conf = conf, .resolver_fd = -1, .keeper_fd = -1, .control_fd = -1,
	    .uid = (uid_t)-1, .gid = (gid_t)-1 }, output);
}

static void begin(void)
{
	buf_clear(&w.out);
	ipc_begin(&w.out, IPC_QUESTIONS);
}

static void add(uint64_t ticket, unsigned type, const char *name, unsigned timeout_ms)
{
	assert_true(ipc_add_question(&w.out, &(struct ipc_question){ ticket, (uint16_t)type, timeout_ms, slice_str(name) }));
}

static void ask(int fd, uint64_t ticket, unsigned type, const char *name, unsigned timeout_ms)
{
	begin();
	add(ticket, type, name, timeout_ms);
	child_send(fd, &w.out);
}

static struct ipc_answer next(int fd)
{
	struct ipc_answer a;
	struct ipc_in in;

	child_receive(fd, IPC_ANSWERS, w.octets, &in);
	assert_int_equal(in.left, 1);
	assert_true(ipc_next_answer(&in, &a));
	return a;
}

static struct ipc_answer one(int fd, unsigned type, const char *name)
{
	struct ipc_answer a;

	ask(fd, 5, type, name, QUESTION_MS);
	a = next(fd);
	assert_int_equal(a.ticket, 5);
	assert_int_equal(a.qtype, type);
	return a;
}

static const struct row {
	const char *name;
	enum dns_status status;
	unsigned ttl_s; /* at most; and not much less */
	unsigned count;
	struct slice records[2];
} rows[] = {
	{ "one.test", DNS_OK, TTL, 1, { TXT("v=DKIM1; p=") } },
	{ "joined.test", DNS_OK, TTL, 1, { TXT("v=DKIM1; p=") } },
	{ "several.test", DNS_OK, TTL, 2, { TXT("one"), TXT("two") } },
	{ "binary.test", DNS_OK, TTL, 1, { TXT("a\0\377\"") } },
	{ ODD_NAME, DNS_OK, TTL, 1, { TXT("odd") } },
	{ "empty.test", DNS_OK, TTL, 1, { TXT("") } },
	{ "alias.test", DNS_OK, 30, 1, { TXT("v=DKIM1; p=") } },
	{ "absent.test", DNS_NXDOMAIN, 50, 0, { { NULL, 0 } } },
	{ "nodata.test", DNS_NODATA, 50, 0, { { NULL, 0 } } },
	{ "broken.test", DNS_SERVFAIL, 0, 0, { { NULL, 0 } } },
	{ "a..test", DNS_NXDOMAIN, 0, 0, { { NULL, 0 } } },
	{ "back\\slash.test", DNS_NXDOMAIN, 0, 0, { { NULL, 0 } } },
	{ "a\\046b.test", DNS_NXDOMAIN, 0, 0, { { NULL, 0 } } },
	{ "t\tab.test", DNS_NXDOMAIN, 0, 0, { { NULL, 0 } } },
	{ "\303\274.test", DNS_NXDOMAIN, 0, 0, { { NULL, 0 } } },
	{ "label-of-more-than-sixty-three-octets-is-not-a-name-that-can-be-asked.test", DNS_NXDOMAIN, 0, 0, { { NULL, 0 } } },
};

static void want_row(const struct row *row, enum dns_status status, const struct slice *records, size_t count)
{
	if (status != row->status || count != row->count)
		fail_msg("%s: status %d with %zu records", row->name, status, count);
	for (size_t i = 0; i < count; i++)
		if (!slice_eq(records[i], row->records[0]) && !(row->count == 2 && slice_eq(records[i], row->records[1])))
			fail_msg("%s: record %zu is \"%.*s\"", row->name, i, SLICE_FMT(records[i]));
	if (count == 2)
		assert_false(slice_eq(records[0], records[1]));
}

static void answers_say_what_the_server_said(void **state)
{
	struct child c = start(&w.conf, false);
	int fd;

	(void)state;
	child_ready(&c);
	fd = child_client(&c);
	for (unsigned twice = 0; twice < 2; twice++) { /* the second time from libunbound's cache */
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			struct ipc_answer a = one(fd, ns_t_txt, rows[i].name);
			struct slice records[2];
			size_t n = 0;

			while (n < 2 && ipc_record(&a, &records[n]))
				n++;
			want_row(&rows[i], a.status, records, a.record_count);
			assert_false(a.secure);
			if (a.ttl_s > rows[i].ttl_s || a.ttl_s + 20 < rows[i].ttl_s)
				fail_msg("%s: TTL %u", rows[i].name, a.ttl_s);
		}
	}
	close(fd);
	assert_int_equal(child_stop(&c), 0);
}

static void a_truncated_answer_is_asked_for_by_tcp(void **state)
{
	struct child c = start(&w.conf, false);
	struct ipc_answer a;
	struct slice record;
	int fd;

	(void)state;
	child_ready(&c);
	fd = child_client(&c);
	a = one(fd, ns_t_txt, "cut.test");
	assert_int_equal(a.status, DNS_OK);
	assert_true(ipc_record(&a, &record));
	assert_int_equal(record.n, 200 * 255);
	for (size_t i = 0; i < record.n; i++)
		assert_int_equal(record.at[i], 'k');
	close(fd);
	assert_int_equal(child_stop(&c), 0);
}

static void a_record_that_lies_about_its_length_is_no_answer(void **state)
{
	struct child c = start(&w.conf, false);
	struct ipc_answer a;
	int fd;

	(void)state;
	child_ready(&c);
	fd = child_client(&c);
	a = one(fd, ns_t_txt, "lying.test");
	assert_int_not_equal(a.status, DNS_OK);
	assert_int_equal(a.record_count, 0);
	assert_int_equal(one(fd, ns_t_txt, "one.test").status, DNS_OK);
	close(fd);
	assert_int_equal(child_stop(&c), 0);
}

static void other_types_come_as_on_the_wire_uncompressed(void **state)
{
	struct child c = start(&w.conf, false);
	struct ipc_answer a;
	struct slice record;
	int fd;

	(void)state;
	child_ready(&c);
	fd = child_client(&c);
	a = one(fd, ns_t_mx, "mail.test");
	assert_int_equal(a.status, DNS_OK);
	assert_true(ipc_record(&a, &record));
	WANT_SLICE(record, S("\0\12\2mx\4mail\4test\0"));
	a = one(fd, ns_t_mx, "null.test");
	assert_true(ipc_record(&a, &record));
	WANT_SLICE(record, S("\0\0\0"));
	a = one(fd, ns_t_ptr, "1.2.0.192.in-addr.arpa");
	assert_int_equal(a.record_count, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_true(ipc_record(&a, &record));
		if (record.n == 8) /* in either order */
			WANT_SLICE(record, S("\1a\4test\0"));
		else
			WANT_SLICE(record, S("\3a\0.\4test\0"));
	}
	a = one(fd, ns_t_a, "address.test");
	assert_true(ipc_record(&a, &record));
	WANT_SLICE(record, S("\300\0\2\1"));
	close(fd);
	assert_int_equal(child_stop(&c), 0);
}

/* What a DNS message holds fits into one of ours; what it holds compressed may not, and is a failure then. */
static void thousands_of_records_are_one_answer(void **state)
{
	struct child c = start(&w.conf, false);
	struct ipc_answer a;
	struct slice record;
	int fd;

	(void)state;
	child_ready(&c);
	fd = child_client(&c);
	a = one(fd, ns_t_txt, "crowd.test");
	assert_int_equal(a.status, DNS_OK);
	assert_int_equal(a.record_count, CROWD);
	for (size_t i = 0; i < CROWD; i++) {
		assert_true(ipc_record(&a, &record));
		assert_int_equal(record.n, 2);
	}
	a = one(fd, ns_t_ptr, "crowd.test");
	assert_int_equal(a.status, DNS_SERVFAIL);
	assert_int_equal(a.record_count, 0);
	assert_int_equal(one(fd, ns_t_txt, "one.test").status, DNS_OK);
	close(fd);
	assert_int_equal(child_stop(&c), 0);
}

static void silence_ends_with_the_askers_patience(void **state)
{
	struct child c = start(&w.conf, false);
	struct ipc_answer a;
	int fd, other;

	(void)state;
	child_ready(&c);
	fd = child_client(&c);
	other = child_client(&c);
	ask(fd, 1, ns_t_txt, "silent.test", SILENT_MS);
	/* nobody else waits for it */
	assert_int_equal(one(other, ns_t_txt, "one.test").status, DNS_OK);
	a = next(fd);
	assert_int_equal(a.ticket, 1);
	assert_int_equal(a.status, DNS_TIMEOUT);
	/* An asker that goes takes its questions with it; the sanitizers tell if one ends without an owner. */
	ask(fd, 2, ns_t_txt, "silent.test", SILENT_MS / 2);
	close(fd);
	fd = child_client(&c);
	ask(fd, 3, ns_t_txt, "silent.test", SILENT_MS);
	assert_int_equal(next(fd).ticket, 3);
	assert_int_equal(one(fd, ns_t_txt, "several.test").status, DNS_OK);
	close(fd);
	/* It leaves with a question open. */
	ask(other, 4, ns_t_txt, "silent.test", QUESTION_MS);
	assert_int_equal(one(other, ns_t_txt, "joined.test").status, DNS_OK);
	close(other);
	assert_int_equal(child_stop(&c), 0);
}

static void many_questions_in_one_message_are_answered_each(void **state)
{
	struct child c = start(&w.conf, false);
	bool seen[LIMIT_IPC_BATCH] = { false };
	unsigned n = 0;
	int fd;

	(void)state;
	child_ready(&c);
	fd = child_client(&c);
	assert_int_equal(send(fd, "garbage", 7, 0), 7);
	begin();
	for (unsigned i = 0; i < LIMIT_IPC_BATCH; i++) {
		char name[32];

		snprintf(name, sizeof(name), "n%u.test", i);
		add(i, ns_t_txt, i % 2 ? "one.test" : name, QUESTION_MS);
	}
	child_send(fd, &w.out);
	while (n < LIMIT_IPC_BATCH) {
		struct ipc_answer a;
		struct ipc_in in;

		child_receive(fd, IPC_ANSWERS, w.octets, &in);
		for (; ipc_next_answer(&in, &a); n++) {
			assert_true(a.ticket < LIMIT_IPC_BATCH && !seen[a.ticket]);
			seen[a.ticket] = true;
			assert_int_equal(a.status, a.ticket % 2 ? DNS_OK : DNS_NXDOMAIN);
		}
	}
	close(fd);
	assert_int_equal(child_stop(&c), 0);
}

/* More than LIMIT_IPC in three records. */
static void write_big(int fd)
{
	static char text[60000];

	memset(text, 'b', sizeof(text));
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(write(fd, i ? ",\"" : "\"big.test\": [\"", i ? 2 : 14), i ? 2 : 14);
		assert_int_equal(write(fd, text, sizeof(text)), (ssize_t)sizeof(text));
		assert_int_equal(write(fd, "\"", 1), 1);
	}
	assert_int_equal(write(fd, "]}\n", 3), 3);
}

static void offline_answers_come_from_the_file(void **state)
{
	static const struct {
		unsigned qtype;
		const char *name;
		enum dns_status status;
		struct slice record;
	} others[] = {
		{ ns_t_a, "mx.test", DNS_OK, S("\300\0\2\1") },
		{ ns_t_aaaa, "mx.test", DNS_OK, S("\40\1\15\270\0\0\0\0\0\0\0\0\0\0\0\1") },
		{ ns_t_mx, "two.test", DNS_OK, S("\0\12\2mx\4test\0") },
		{ ns_t_mx, "null.test", DNS_OK, S("\0\0\0") },
		{ ns_t_ptr, "1.2.0.192.in-addr.arpa", DNS_OK, S("\2mx\4test\0") },
		{ ns_t_ptr, "mx.test", DNS_NODATA, { NULL, 0 } },
		{ ns_t_mx, "slow.test", DNS_TIMEOUT, { NULL, 0 } },
		{ ns_t_soa, "mx.test", DNS_NODATA, { NULL, 0 } },
		{ ns_t_txt, "big.test", DNS_SERVFAIL, { NULL, 0 } },
	};
	static const char text[] =
	    "{\"s._domainkey.a.test\": [\"v=DKIM1; p=\"],\n"
	    " \"two.test\": {\"TXT\": [\"one\", \"two\"], \"MX\": [\"10 mx.test\"], \"secure\": true},\n"
	    " \"null.test\": {\"MX\": [\"0 .\"]},\n"
	    " \"mx.test\": {\"A\": [\"192.0.2.1\"], \"AAAA\": [\"2001:db8::1\"]},\n"
	    " \"1.2.0.192.in-addr.arpa\": {\"PTR\": [\"mx.test\"]},\n"
	    " \"alias.test\": {\"CNAME\": \"two.test\"},\n"
	    " \"slow.test\": {\"error\": \"timeout\"},\n"
	    " \"broken.test\": {\"error\": \"servfail\"},\n ";
	char file[] = "/tmp/test_resolver.XXXXXX";
	int fd = mkstemp(file), client;
	struct conf conf = { .dns = { .resolver = "auto", .trust_anchor = "auto", .answers = file } };
	struct child c;
	struct ipc_answer a;
	struct slice record;

	(void)state;
	assert_int_equal(write(fd, text, sizeof(text) - 1), (ssize_t)sizeof(text) - 1);
	write_big(fd);
	close(fd);
	c = start(&conf, false);
	child_ready(&c);
	unlink(file); /* read once, before privileges are dropped */
	client = child_client(&c);
	a = one(client, ns_t_txt, "s._domainkey.a.test");
	assert_int_equal(a.status, DNS_OK);
	assert_int_equal(a.record_count, 1);
	assert_true(a.ttl_s > 0 && !a.secure);
	assert_true(ipc_record(&a, &record));
	WANT_SLICE(record, S("v=DKIM1; p="));
	a = one(client, ns_t_txt, "two.test");
	assert_int_equal(a.record_count, 2);
	assert_true(a.secure);
	assert_int_equal(one(client, ns_t_txt, "alias.test").record_count, 2);
	assert_int_equal(one(client, ns_t_txt, "absent.test").status, DNS_NXDOMAIN);
	assert_int_equal(one(client, ns_t_txt, "slow.test").status, DNS_TIMEOUT); /* at once */
	assert_int_equal(one(client, ns_t_txt, "broken.test").status, DNS_SERVFAIL);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		a = one(client, others[i].qtype, others[i].name);
		if (a.status != others[i].status || a.record_count != (a.status == DNS_OK))
			fail_msg("%s, type %u: status %d, %zu records", others[i].name, others[i].qtype, a.status, a.record_count);
		if (ipc_record(&a, &record))
			WANT_SLICE(record, others[i].record);
	}
	close(client);
	assert_int_equal(child_stop(&c), 0);
}

static void what_cannot_be_set_up_is_named_and_ends_it(void **state)
{
	static const struct {
		const char *resolver, *anchor, *answers, *says;
	} bad[] = {
		{ "auto", "auto", "/nonexistent/answers.json", "/nonexistent/answers.json" },
		{ "auto", "auto", "/dev/null", "/dev/null" },
		{ "not-an-address", "none", NULL, "not-an-address" },
		{ "127.0.0.1:0", "none", NULL, "127.0.0.1:0" },
		{ "127.0.0.1", "/nonexistent/anchor", NULL, "/nonexistent/anchor" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct conf conf = { .dns = { .resolver = bad[i].resolver, .trust_anchor = bad[i].anchor, .answers = bad[i].answers } };
		struct child c = start(&conf, true);
		char text[4096];

		child_output(&c, text, sizeof(text));
		if (strstr(text, bad[i].says) == NULL)
			fail_msg("row %zu: log says %s", i, text);
		assert_int_equal(child_code(&c), 78);
	}
}

static void lookups_wait_for_all_their_answers(void **state)
{
	struct lookup_ask asks[sizeof(rows) / sizeof(rows[0]) + 1];
	char error[256] = "";
	struct lookup *l = lookup_new(w.address, "none", 1500, error);
	const struct slice *records;
	struct arena a;
	bool secure;
	size_t n;

	(void)state;
	assert_string_equal(l != NULL ? "" : error, "");
	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		asks[i] = (struct lookup_ask){ .name = slice_str(rows[i].name), .qtype = ns_t_txt };
	asks[sizeof(rows) / sizeof(rows[0])] = (struct lookup_ask){ .name = S("silent.test"), .qtype = ns_t_txt };
	lookup_many(l, &a, asks, sizeof(rows) / sizeof(rows[0]) + 1);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		want_row(&rows[i], asks[i].status, asks[i].records, asks[i].count);
	/* libunbound 1.22 gives up by itself within that time, 1.17 does not */
	assert_in_range(asks[sizeof(rows) / sizeof(rows[0])].status, DNS_TIMEOUT, DNS_SERVFAIL);
	assert_int_equal(lookup_txt(l, S("One.TEST."), &a, &records, &n, &secure), DNS_OK);
	assert_int_equal(n, 1);
	WANT_SLICE(records[0], S("v=DKIM1; p="));
	asks[0] = (struct lookup_ask){ .name = S("mail.test"), .qtype = ns_t_mx };
	asks[1] = (struct lookup_ask){ .name = S("mail.test"), .qtype = ns_t_txt };
	lookup_many(l, &a, asks, 2);
	assert_int_equal(asks[0].status, DNS_OK);
	WANT_SLICE(asks[0].records[0], S("\0\12\2mx\4mail\4test\0"));
	assert_int_equal(asks[1].status, DNS_NXDOMAIN);
	assert_null(lookup_warning(l));
	arena_clear(&a);
	lookup_free(&l);
	assert_null(lookup_new("nowhere", "none", 1500, error));
	assert_non_null(strstr(error, "nowhere"));
}

/* Validation by the root's anchor would make all data of a server that strips signatures bogus. */
static void a_server_that_strips_signatures_is_found_out(void **state)
{
	char error[256] = "";
	const struct slice *records;
	struct lookup *l;
	struct arena a;
	bool secure;
	size_t n;

	(void)state;
	if (access("/usr/share/dns/root.key", R_OK) != 0)
		skip(); /* dns-root-data */
	arena_init(&a, 1 << 20);
	l = lookup_new(w.addresses[0], "auto", QUESTION_MS, error);
	assert_non_null(l);
	assert_int_equal(lookup_txt(l, S("one.test"), &a, &records, &n, &secure), DNS_OK);
	assert_false(secure);
	assert_non_null(lookup_warning(l));
	assert_non_null(strstr(lookup_warning(l), "strips"));
	lookup_free(&l);
	/* One that does not is held to the anchor, and fails here. */
	l = lookup_new(w.addresses[1], "auto", QUESTION_MS, error);
	assert_non_null(l);
	assert_int_equal(lookup_txt(l, S("one.test"), &a, &records, &n, &secure), DNS_BOGUS);
	assert_null(lookup_warning(l));
	lookup_free(&l);
	arena_clear(&a);
}

/* Pure: a response whole, cut anywhere, and with any octet changed. Its own allocation lets a sanitizer see reads beyond it. */
static void a_packet_is_read_within_its_bounds(void **state)
{
	static const char *const names[] = { "alias.test", "several.test", "absent.test", "mail.test" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		unsigned type = i == 3 ? ns_t_mx : ns_t_txt;
		struct buf query, packet;
		struct dns_answer answer;
		struct arena a;

		arena_init(&a, 1 << 20);
		buf_init(&query, 512);
		buf_init(&packet, 65535);
		for (unsigned j = 0; j < 6; j++)
			put16(&query, j == 2);
		put_name(&query, names[i]);
		put16(&query, type);
		put16(&query, ns_c_in);
		assert_true(respond(buf_get(&query), true, &packet));
		dns_packet_answer(&a, buf_get(&packet), (uint16_t)type, &answer);
		assert_int_equal(answer.status, i == 2 ? DNS_NXDOMAIN : DNS_OK);
		assert_int_equal(answer.count, i == 1 ? 2 : i != 2);
		assert_int_equal(answer.ttl_s, i == 0 ? 30 : i == 2 ? 50 : TTL);
		for (size_t cut = 0; cut < packet.n; cut++) {
			unsigned char *copy = malloc(cut > 0 ? cut : 1);

			assert_non_null(copy);
			memcpy(copy, packet.at, cut);
			dns_packet_answer(&a, slice_of(copy, cut), (uint16_t)type, &answer);
			assert_int_equal(answer.status, DNS_SERVFAIL);
			free(copy);
			arena_clear(&a);
		}
		for (size_t at = 0; at < packet.n; at++) {
			for (unsigned v = 0; v < 256; v++) {
				unsigned char *copy = malloc(packet.n);

				assert_non_null(copy);
				memcpy(copy, packet.at, packet.n);
				copy[at] = (unsigned char)v;
				dns_packet_answer(&a, slice_of(copy, packet.n), (uint16_t)type, &answer);
				assert_true(answer.status == DNS_OK ? answer.count > 0 : answer.count == 0);
				free(copy);
				arena_clear(&a);
			}
		}
		buf_release(&query);
		buf_release(&packet);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_say_what_the_server_said),
		cmocka_unit_test(a_truncated_answer_is_asked_for_by_tcp),
		cmocka_unit_test(a_record_that_lies_about_its_length_is_no_answer),
		cmocka_unit_test(other_types_come_as_on_the_wire_uncompressed),
		cmocka_unit_test(thousands_of_records_are_one_answer),
		cmocka_unit_test(silence_ends_with_the_askers_patience),
		cmocka_unit_test(many_questions_in_one_message_are_answered_each),
		cmocka_unit_test(offline_answers_come_from_the_file),
		cmocka_unit_test(what_cannot_be_set_up_is_named_and_ends_it),
		cmocka_unit_test(lookups_wait_for_all_their_answers),
		cmocka_unit_test(a_server_that_strips_signatures_is_found_out),
		cmocka_unit_test(a_packet_is_read_within_its_bounds),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, start_servers, stop_servers);
}
