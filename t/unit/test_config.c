/* hopseal.conf: what is in force, and the exact text of every mistake. */
#include "files.h"

#include "config/conf.h"
#include "config/endpoint.h"
#include "config/row.h"

/* libconfig 1.5 loses the string it holds when a syntax error follows. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:strbuf_append\n";
}
const char *__lsan_default_options(void);
const char *__lsan_default_options(void)
{
	return "print_suppressions=0";
}

/* Stands for lines 1 and 2 of most rows. */
#define HOST "hostname = \"mx.test\";\n"
#define PASS(name, address, hop) \
	name ": { address = [\"" address "\"]; service = \"pass\"; next-hop = \"" hop "\"; };"
#define ONE "listener: { " PASS("a", "127.0.0.1:2525", "127.0.0.1:2526") " };\n"
#define GOOD HOST ONE
/* What a next hop may be. */
#define A_SERVER "host:port, lmtp:host:port, table:FILE, mx, or a list of the first two in order of preference"
#define KEY "{ domain = \"a.test\"; selector = \"s1\"; file = \"ed.pem\"; }"

static char dir[] = "/tmp/hopseal-config-XXXXXX";
static char start[4096];

static void put_key(const char *name, enum key_type type, unsigned bits, mode_t mode)
{
	struct key *k = key_generate(type, bits);
	struct buf pem;

	assert_non_null(k);
	buf_init(&pem, 65536);
	assert_true(key_pem(k, &pem));
	put(name, buf_get(&pem), mode);
	buf_release(&pem);
	key_drop(&k);
}

static int setup(void **state)
{
	(void)state;
	if (!getcwd(start, sizeof(start)) || !mkdtemp(dir) || chdir(dir) != 0)
		return -1;
	put_key("ed.pem", KEY_ED25519, 0, 0600);
	put_key("open.pem", KEY_ED25519, 0, 0640);
	put_key("world.pem", KEY_ED25519, 0, 0604);
	put_key("rsa.pem", KEY_RSA, 2048, 0400);
	put_key("short.pem", KEY_RSA, 1024, 0600);
	put("no.pem", S("-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"), 0600);
	put("answers.json", S("{\"a.test\": [\"x\"]}"), 0644);
	put("bad.json", S("{\n\"a.test\": [1]}"), 0644);
	put("part.conf", S("limits: {\n  sessions = 0;\n  memory = 4294967296;\n};\n"), 0644);
	put("self.conf", S("@include \"self.conf\"\n"), 0644);
	put("pool.conf", S("pool: { idle = 7; };\n"), 0644);
	return mkdir("folder", 0755);
}

static int teardown(void **state)
{
	(void)state;
	return chdir(start) != 0 || !files_remove(dir);
}

/* The temporary folder reads "@" in what is compared. */
static void plain(struct buf *b)
{
	struct buf out;
	size_t n = strlen(dir);

	buf_init(&out, 1 << 20);
	for (size_t i = 0; i < b->n; i++) {
		bool here = slice_starts(slice_sub(buf_get(b), i, SIZE_MAX), slice_of(dir, n));

		buf_octet(&out, here ? '@' : b->at[i]);
		i += here ? n - 1 : 0;
	}
	buf_octet(&out, '\0');
	buf_release(b);
	*b = out;
}

static void want_mistakes(const char *title, const char *text, const char *want)
{
	struct conf_errors e;
	struct conf *c;

	conf_errors_init(&e);
	put("c", slice_str(text), 0644);
	c = conf_load("c", &e);
	plain(&e.text);
	if (strcmp((const char *)e.text.at, want) != 0 || (c == NULL) != (want[0] != '\0'))
		fail_msg("%s\nwanted: %s\n   got: %s", title, want, (const char *)e.text.at);
	conf_free(&c);
	conf_errors_release(&e);
}

struct row {
	const char *title, *text, *want;
};

static void want_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		want_mistakes(rows[i].title, rows[i].text, rows[i].want);
}

#define ROWS(rows) want_rows(rows, sizeof(rows) / sizeof(rows[0]))

static void the_text_itself(void **state)
{
	static const struct row rows[] = {
		{ "the smallest configuration is none", GOOD, "" },
		{ "a syntax error has its line", GOOD "x = ;\n", "c:3: syntax error, expected name = value; or name: { ... };\n" },
		{ "a string has no end", GOOD "user = \"x;\nworkers = 1;\n\n", "c:3: string that has no end, expected \"\n" },
		{ "a quote behind a backslash is none", GOOD "user = \"x\\", "c:3: string that has no end, expected \"\n" },
		{ "a comment has no end", GOOD "\n/* x\n\n", "c:4: comment that has no end, expected */\n" },
		{ "a file name has no end", GOOD "@include \"x\n", "c:3: file name that has no end, expected \"\n" },
		{ "yes is no boolean", HOST "listener: { a: { shadow = yes; }; };\n",
		    "c:2: syntax error, expected name = value; or name: { ... };\n" },
		{ "a brace is missing", HOST "listener: {\n",
		    "c:3: syntax error, expected name = value; or name: { ... };\n" },
		{ "the same name twice", GOOD "hostname = \"b.test\";\n",
		    "c:3: duplicate setting name, expected name = value; or name: { ... };\n" },
		{ "a number libconfig would cut to 0", GOOD "limits: { memory = 4294967296; };\n",
		    "c:3: the number 4294967296 is cut to 32 bits, expected it with the suffix L, 4294967296L\n" },
		{ "one that would turn negative", GOOD "limits: {\n memory = 2147483648; };\n",
		    "c:4: the number 2147483648 is cut to 32 bits, expected it with the suffix L, 2147483648L\n" },
		{ "the greatest that fits", GOOD "limits: { memory = 2147483647; };\n", "" },
		{ "the suffix makes room", GOOD "limits: { memory = 4294967296L; };\n", "" },
		{ "negative ones too", GOOD "workers = -2147483649;\n",
		    "c:3: the number 2147483649 is cut to 32 bits, expected it with the suffix L, 2147483649L\n" },
		{ "the smallest that fits", GOOD "workers = -2147483648;\n",
		    "c:3: workers = -2147483648, expected 0..64 processes\n" },
		{ "hexadecimal", GOOD "limits: { memory = 0x100000000; };\n",
		    "c:3: the number 0x100000000 is cut to 32 bits, expected it with the suffix L, 0x100000000L\n" },
		{ "beyond 64 bits", GOOD "limits: { memory = 99999999999999999999L; };\n",
		    "c:3: the number 99999999999999999999 is cut to 64 bits, expected at most 9223372036854775807L\n" },
		{ "not in strings, names and comments",
		    GOOD "# 4294967296\n// 4294967296\n/* 4294967296\n*/ log: { to = \"/tmp/\\\"4294967296\"; };\n", "" },
		{ "a NUL in a string", GOOD "user = \"a\\x00b\";\n", "c:3: NUL octet in a string, expected text\n" },
		{ "in an included file, with its line", GOOD "@include \"part.conf\"\n",
		    "part.conf:3: the number 4294967296 is cut to 32 bits, expected it with the suffix L, 4294967296L\n"
		    "part.conf:2: limits.sessions = 0, expected 1..1000000 sessions\n" },
		{ "an included file counts", GOOD "  @include \"pool.conf\"\n", "" },
		{ "an included file is missing", GOOD "\n@include \"nope.conf\"\n",
		    "c:4: nope.conf cannot be read: No such file or directory, expected a readable file\n" },
		{ "a folder is included", GOOD "@include \"folder\"\n",
		    "c:3: folder cannot be read: Not a regular file, expected a readable file\n" },
		{ "a file includes itself", GOOD "@include \"self.conf\"\n",
		    "self.conf:1: self.conf is included too deep, expected at most 10 levels\n" },
		{ "an include in a comment is none", GOOD "# @include \"nope.conf\"\n/*\n@include \"nope.conf\"\n*/", "" },
	};

	(void)state;
	ROWS(rows);
}

static void names_types_and_ranges(void **state)
{
	static const struct row rows[] = {
		{ "an unknown setting", GOOD "worker = 1;\n",
		    "c:3: unknown setting worker, expected one of hostname, authserv-id, workers, user, drain, sandbox, dns, state, "
		    "spool, queue, run, log, http, limits, rates, timeouts, dkim2, dkim, arc, pool, keys, listener, policy\n" },
		{ "an unknown one in a group", GOOD "run: {\n  dir = \"/run/x\";\n  mode = 1;\n};\n",
		    "c:5: unknown setting run.mode, expected one of dir\n" },
		{ "a group that is a number", GOOD "run = 1;\n", "c:3: run is not a group, expected run: { ... };\n" },
		{ "a number that is a string", GOOD "workers = \"2\";\n", "c:3: workers is a string, expected 0..64 processes\n" },
		{ "a number with a fraction", GOOD "workers = 1.5;\n",
		    "c:3: workers is a number with a fraction, expected 0..64 processes\n" },
		{ "a string that is a number", GOOD "user = 1;\n", "c:3: user is a number, expected a string in quotes\n" },
		{ "an empty string", GOOD "user = \"\";\n", "c:3: user is empty, expected a string in quotes\n" },
		{ "a range", GOOD "workers = 65;\n", "c:3: workers = 65, expected 0..64 processes\n" },
		{ "a range from below", GOOD "dns: { timeout = 99; };\n",
		    "c:3: dns.timeout = 99, expected 100..120000 milliseconds\n" },
		{ "64 bits are compared as such", GOOD "limits: { message-size = 1099511627777L; };\n",
		    "c:3: limits.message-size = 1099511627777, expected 1024..1099511627776 octets\n" },
		{ "a word", GOOD "log: { format = \"xml\"; };\n",
		    "c:3: log.format = \"xml\", expected format = \"text\" or \"json\"\n" },
		{ "four words", GOOD "dkim2: { draft = \"10\"; };\n",
		    "c:3: dkim2.draft = \"10\", expected draft = \"06\", \"07\", \"08\" or \"09\"\n" },
		{ "a host name", "hostname = \"mx_1..test\";\n" ONE,
		    "c:1: hostname = \"mx_1..test\", expected a domain name in quotes\n" },
		{ "a host name with blanks", "hostname = \"mx test\";\n" ONE,
		    "c:1: hostname = \"mx test\", expected a domain name in quotes\n" },
		{ "no listener", HOST, "c:1: no listener, expected at least one in group listener\n" },
		{ "listener is no group", HOST "listener = 1;\n",
		    "c:2: listener is not a group, expected listener: { NAME: { ... }; };\n"
		    "c:1: no listener, expected at least one in group listener\n" },
		{ "a listener is no group", HOST "listener: {\n mx = 1; };\n",
		    "c:3: listener.mx is not a group, expected mx: { ... };\n"
		    "c:1: no listener, expected at least one in group listener\n" },
		{ "an empty listener", HOST "listener: {\n  mx: { }; };\n",
		    "c:3: listener.mx has no address, expected a list of strings, [\"...\", \"...\"]\n"
		    "c:3: listener.mx has no service, expected service = \"pass\", \"inbound\" or \"outbound\"\n"
		    "c:3: listener.mx has no next-hop, expected " A_SERVER "\n" },
		{ "an address that is no list",
		    HOST "listener: { a: { address = \"127.0.0.1:25\"; service = \"pass\"; next-hop = \"127.0.0.1:26\"; }; };\n",
		    "c:2: listener.a.address is a string, expected a list of strings, [\"...\", \"...\"]\n" },
		{ "a list of numbers",
		    HOST "listener: { a: { address = [25]; service = \"pass\"; next-hop = \"127.0.0.1:26\"; }; };\n",
		    "c:2: listener.a.address is a list, expected a list of strings, [\"...\", \"...\"]\n" },
		{ "keys is no list", GOOD "keys: { };\n",
		    "c:3: keys is not a list of groups, expected keys = ( { ... }, { ... } );\n" },
		{ "a key is no group", GOOD "keys = (\n 1 );\n", "c:4: keys[0] is not a group, expected { ... }\n" },
		{ "more memory for a body than there is", GOOD "limits: { memory = 16777216; body-memory = 33554432; };\n",
		    "c:3: limits.body-memory = 33554432, expected at most limits.memory, 16777216\n" },
		{ "a log file in no folder", GOOD "log: { to = \"nowhere/x.log\"; };\n",
		    "c:3: log.to = \"@/nowhere/x.log\" is in no folder, expected one that is there\n" },
		{ "a log that looks like a word", GOOD "log: { to = \"stdout\"; };\n",
		    "c:3: log.to = \"stdout\", expected stderr, syslog, or a file with a / in its name\n" },
		{ "a resolver by name", GOOD "dns: { resolver = \"dns.test\"; };\n",
		    "c:3: dns.resolver = \"dns.test\", expected auto, or the address[:port] of a server\n" },
		{ "a missing trust anchor", GOOD "dns: { trust-anchor = \"root.key\"; };\n",
		    "c:3: dns.trust-anchor = \"@/root.key\" cannot be read: No such file or directory, expected a readable file\n" },
		{ "missing answers", GOOD "dns: { answers = \"nope.json\"; };\n",
		    "c:3: dns.answers = \"@/nope.json\" cannot be read: No such file or directory, expected a readable file\n" },
		{ "bad answers", GOOD "dns: { answers = \"bad.json\"; };\n",
		    "c:3: dns.answers = \"@/bad.json\": name \"a.test\": a record that is no string, expected a list of strings\n" },
		{ "a clock", GOOD "dkim2: { clock = \"noon\"; };\n",
		    "c:3: dkim2.clock = \"noon\", expected machine, or seconds since 1970\n" },
		{ "control octets do not reach the terminal", GOOD "user = 1;\nlog: { format = \"a\\x1b[2J\\nb\"; };\n",
		    "c:3: user is a number, expected a string in quotes\n"
		    "c:4: log.format = \"a?[2J?b\", expected format = \"text\" or \"json\"\n" },
	};

	(void)state;
	ROWS(rows);
}

#define LISTENER(service, more) \
	HOST "listener: { a: { address = [\"127.0.0.1:25\"]; next-hop = \"127.0.0.1:26\"; service = \"" service "\";\n" more " }; };\n"
#define HOP(value) \
	HOST "listener: { a: { address = [\"127.0.0.1:25\"]; service = \"pass\";\n next-hop = " value "; }; };\n"

static void what_is_not_there_yet(void **state)
{
	static const struct row rows[] = {
		{ "outbound in mode proxy", LISTENER("outbound", "mode = \"proxy\"; clients = [\"10.0.0.0/8\"];") "keys = (" KEY ");\n", "" },
		{ "forward", LISTENER("forward", "mode = \"proxy\";"),
		    "c:2: listener.a.service = \"forward\" is not there yet, expected service = \"pass\", \"inbound\" or "
		    "\"outbound\"\n" },
		{ "list-in", LISTENER("list-in", ""),
		    "c:2: listener.a.service = \"list-in\" is not there yet, expected service = \"pass\", \"inbound\" or "
		    "\"outbound\"\n" },
		{ "no such service", LISTENER("relay", ""),
		    "c:2: listener.a.service = \"relay\", expected service = \"pass\", \"inbound\" or \"outbound\"\n" },
		{ "mx in mode proxy", HOP("\"mx\""),
		    "c:3: listener.a.next-hop = \"mx\" in mode \"proxy\", where one server answers for all recipients, expected mode = \"queue\", or a server\n" },
		{ "mx beside a server", HOP("[\"mx\", \"127.0.0.1:26\"]"), "c:3: listener.a.next-hop holds \"mx\" beside others, expected " A_SERVER "\n" },
		{ "lmtp", HOP("\"lmtp:127.0.0.1:24\""), "" },
		{ "lmtp on the port of SMTP", HOP("\"lmtp:127.0.0.1:25\""),
		    "c:3: listener.a.next-hop = \"lmtp:127.0.0.1:25\" is LMTP on the port of SMTP, expected " A_SERVER "\n" },
		{ "REQUIRETLS by a field, within this machine", LISTENER("inbound", "requiretls = \"header\";"), "" },
		{ "REQUIRETLS by a field, from a service that adds none", LISTENER("pass", "requiretls = \"header\";"),
		    "c:3: listener.a.requiretls = \"header\" adds a field, which service \"pass\" does not, expected another service\n" },
		{ "REQUIRETLS by a field, in clear over a network",
		    HOST "listener: { a: { address = [\"127.0.0.1:25\"]; service = \"inbound\"; next-hop = \"10.0.0.1:26\";\n"
			 " requiretls = \"header\"; next-hop-tls: { mode = \"may\"; }; }; };\n",
		    "c:3: listener.a.requiretls = \"header\" and a next hop that may be spoken to in clear, expected next-hop-tls.mode = "
		    "\"require\" or \"verify\"\n" },
		{ "REQUIRETLS by a field, in TLS",
		    HOST "listener: { a: { address = [\"127.0.0.1:25\"]; service = \"inbound\"; next-hop = \"10.0.0.1:26\";\n"
			 " requiretls = \"header\"; next-hop-tls: { mode = \"require\"; }; }; };\n", "" },
		{ "a missing table", HOP("\"table:/nowhere/routes\""),
		    "c:3: table /nowhere/routes cannot be read: No such file or directory, expected a readable file\n" },
		{ "a table without a name", HOP("\"table:\""), "c:3: listener.a.next-hop = \"table:\", expected " A_SERVER "\n" },
		{ "a table in a list", HOP("[\"table:routes\", \"127.0.0.1:26\"]"),
		    "c:3: listener.a.next-hop holds \"table:routes\", expected " A_SERVER "\n" },
		{ "a host name", HOP("\"relay.test:25\""), "" },
		{ "a host name without a port", HOP("\"relay.test\""), "c:3: listener.a.next-hop = \"relay.test\", expected " A_SERVER "\n" },
		{ "no host name", HOP("\"relay..test:25\""), "c:3: listener.a.next-hop = \"relay..test:25\", expected " A_SERVER "\n" },
		{ "nor this", HOP("\"127.0.0.256:25\""), "c:3: listener.a.next-hop = \"127.0.0.256:25\", expected " A_SERVER "\n" },
		{ "a port there is not", HOP("\"relay.test:65536\""),
		    "c:3: listener.a.next-hop = \"relay.test:65536\", expected " A_SERVER "\n" },
		{ "several next hops", HOP("[\"127.0.0.1:26\", \"127.0.0.1:27\"]"), "" },
		{ "one of them twice", HOP("[\"127.0.0.1:26\", \"[::1]:26\", \"127.0.0.1:26\"]"),
		    "c:3: listener.a.next-hop holds \"127.0.0.1:26\" twice, expected " A_SERVER "\n" },
		{ "one of them wrong", HOP("[\"127.0.0.1:26\", \"127.0.0.1\"]"),
		    "c:3: listener.a.next-hop holds \"127.0.0.1\", expected " A_SERVER "\n" },
		{ "too many of them", HOP("[\"127.0.0.1:1\", \"127.0.0.1:2\", \"127.0.0.1:3\", \"127.0.0.1:4\", \"127.0.0.1:5\", \"127.0.0.1:6\","
		    "\"127.0.0.1:7\", \"127.0.0.1:8\", \"127.0.0.1:9\", \"127.0.0.1:10\", \"127.0.0.1:11\", \"127.0.0.1:12\","
		    "\"127.0.0.1:13\", \"127.0.0.1:14\", \"127.0.0.1:15\", \"127.0.0.1:16\", \"127.0.0.1:17\"]"),
		    "c:3: listener.a.next-hop is a list of 17, expected at most 16\n" },
		{ "no next hop", HOP("[]"), "c:3: listener.a.next-hop is a list of strings, expected " A_SERVER "\n" },
		{ "no port", HOP("\"127.0.0.1\""), "c:3: listener.a.next-hop = \"127.0.0.1\", expected " A_SERVER "\n" },
		{ "no address of a server", HOP("\"0.0.0.0:26\""),
		    "c:3: listener.a.next-hop = \"0.0.0.0:26\", expected " A_SERVER "\n" },
		{ "TLS without its key", LISTENER("pass", "tls: { mode = \"may\"; certificate = \"c.pem\"; };"),
		    "c:3: listener.a.tls.mode = \"may\" without key, expected the name of a file in quotes\n"
		    "c:3: certificate @/c.pem cannot be read: No such file or directory, expected a file this user may read\n" },
		{ "TLS without a certificate", LISTENER("pass", "tls: { mode = \"require\"; key = \"nokey\"; };"),
		    "c:3: listener.a.tls.mode = \"require\" without certificate, expected the name of a file in quotes\n"
		    "c:3: key file @/nokey cannot be read: No such file or directory, expected a file this user may read\n" },
		{ "no TLS", LISTENER("pass", "tls: { mode = \"none\"; }; next-hop-tls: { mode = \"none\"; }; next-hop-client = \"none\";"),
		    "" },
		{ "TLS to the next hop", LISTENER("pass", "next-hop-tls: { mode = \"dane\"; };"),
		    "c:3: listener.a.next-hop-tls.mode = \"dane\" is not there yet, expected mode = \"none\", \"may\", \"require\", \"verify\" or \"implicit\"\n" },
		{ "TLS to no name", LISTENER("pass", "next-hop-tls: { mode = \"may\"; name = \"a b\"; };"),
		    "c:3: listener.a.next-hop-tls.name = \"a b\", expected a host name or an address\n" },
		{ "TLS to be verified by nothing", LISTENER("pass", "next-hop-tls: { mode = \"verify\"; ca = \"noca\"; };"),
		    "c:3: trusted certificates @/noca cannot be read: No such file or directory, expected a file this user may read\n" },
		{ "a shared state", GOOD "state: { url = \"redis://10.0.0.5:6379/0\"; };\n",
		    "c:3: state.url is not there yet, expected it to be left out\n" },
		{ "metrics", GOOD "http: { address = \"127.0.0.1:9425\"; };\n",
		    "c:3: http.address is not there yet, expected it to be left out\n" },
		{ "From rewriting", LISTENER("pass", "unsealed = \"rewrite-from\";"),
		    "c:3: listener.a.unsealed = \"rewrite-from\" is not there yet, expected unsealed = \"pass\" or \"refuse\"\n" },
	};

	(void)state;
	ROWS(rows);
}

/* Of one server that hopseal answers for; queue mode. */
#define QUEUED(service, more) LISTENER(service, "mode = \"queue\"; " more) "keys = (" KEY ");\n"
#define MX(more) \
	HOST "listener: { a: { address = [\"127.0.0.1:25\"]; next-hop = \"mx\"; service = \"outbound\";\n" more " }; };\nkeys = (" KEY ");\n"

static void mode_queue(void **state)
{
	static const struct row rows[] = {
		{ "outbound", QUEUED("outbound", ""), "" },
		{ "it is the mode of outbound", MX(""), "" },
		{ "inbound", QUEUED("inbound", "domains = [\"a.test\"];"), "" },
		{ "pass", QUEUED("pass", "clients = [\"192.0.2.0/24\"];"), "" },
		{ "no such mode", LISTENER("pass", "mode = \"spool\";"), "c:3: listener.a.mode = \"spool\", expected mode = \"proxy\" or \"queue\"\n" },
		{ "the numbers of the queue", GOOD "queue: { retry-min = 0; retry-max = 0; expire = 0; warn = -1; concurrency = 0; deliveries = 10001; };\n",
		    "c:3: queue.retry-min = 0, expected 1..86400 seconds\n"
		    "c:3: queue.retry-max = 0, expected 1..604800 seconds\n"
		    "c:3: queue.expire = 0, expected 1..31536000 seconds\n"
		    "c:3: queue.warn = -1, expected 0..31536000 seconds\n"
		    "c:3: queue.concurrency = 0, expected 1..1000 deliveries\n"
		    "c:3: queue.deliveries = 10001, expected 1..10000 deliveries\n" },
		{ "the first retry comes after the last", GOOD "queue: {\n retry-min = 20000; };\n",
		    "c:4: queue.retry-min = 20000, expected at most queue.retry-max, 14400\n" },
		{ "the same from the other side", GOOD "queue: {\n retry-max = 299; };\n", "c:4: queue.retry-min = 300, expected at most queue.retry-max, 299\n" },
		{ "told of a delay after the end", GOOD "queue: { expire = 3600;\n warn = 3600; };\n",
		    "c:4: queue.warn = 3600, expected 0, or less than queue.expire, 3600\n" },
		{ "nobody said when", GOOD "queue: { expire = 3600; };\n", "" },
		{ "room on the disk", GOOD "spool: { reserve = -1; };\n", "c:3: spool.reserve = -1, expected 0..1099511627776 octets\n" },
		{ "the next hop cannot be told of a client that has gone", QUEUED("outbound", "next-hop-client = \"xforward\";"),
		    "c:3: listener.a.next-hop-client = \"xforward\" in mode \"queue\", where the client has gone before its message goes out, "
		    "expected \"none\"\n" },
		{ "who shares a copy is not asked", QUEUED("outbound", "share = \"all\";"),
		    "c:3: listener.a.share = \"all\" in mode \"queue\", where those share a copy whom the message itself names, expected \"none\"\n" },
		{ "a field for a next hop nobody knows yet", QUEUED("outbound", "requiretls = \"header\";"),
		    "c:3: listener.a.requiretls = \"header\" in mode \"queue\", where a message is kept before it is known which next hop needs the "
		    "field, expected \"none\" or \"pass\"\n" },
		{ "shadow", QUEUED("outbound", "shadow = true;"), "" },
		{ "MX in TLS", MX("next-hop-tls: { mode = \"require\"; };"), "" },
		{ "MX have names of their own", MX("next-hop-tls: { mode = \"may\"; name = \"x.test\"; };"),
		    "c:3: listener.a.next-hop-tls.name with next-hop = \"mx\", whose servers have names of their own, expected it to be left out\n" },
		{ "MX say STARTTLS", MX("next-hop-tls: { mode = \"implicit\"; };"),
		    "c:3: listener.a.next-hop-tls begins with TLS and next-hop = \"mx\", whose servers wait for STARTTLS, expected mode = \"may\", "
		    "\"require\" or \"verify\"\n" },
		{ "in other words", MX("next-hop-tls: { mode = \"require\";\n implicit = true; };"),
		    "c:4: listener.a.next-hop-tls begins with TLS and next-hop = \"mx\", whose servers wait for STARTTLS, expected mode = \"may\", "
		    "\"require\" or \"verify\"\n" },
		{ "a table of domains that is not there", QUEUED("inbound", "domains = \"table:/nowhere/domains\";"),
		    "c:3: table /nowhere/domains cannot be read: No such file or directory, expected a readable file\n" },
		{ "a table of domains beside others", QUEUED("inbound", "domains = [\"a.test\", \"table:domains\"];"),
		    "c:3: listener.a.domains holds \"table:domains\" beside other names, expected it alone\n" },
		{ "a table of domains without a name", QUEUED("inbound", "domains = \"table:\";"),
		    "c:3: listener.a.domains holds \"table:\" beside other names, expected it alone\n" },
		{ "domains that are a number", QUEUED("inbound", "domains = 1;"), "c:3: listener.a.domains is a number, expected domain names, or table:FILE\n" },
		{ "no domains", QUEUED("inbound", "domains = [];"), "" },
	};

	(void)state;
	ROWS(rows);
}

/* No configuration lets strangers send to anyone unless it says so. */
static void open_relays(void **state)
{
#define OPEN "strangers could send to anyone"
#define SPOKEN "strangers could pass for clients"
#define V4 ", expected networks of your own, of /8 or longer, or open-relay = true\n"
#define V6 ", expected networks of your own, of /16 or longer, or open-relay = true\n"
	static const struct row rows[] = {
		{ "all of IPv4", QUEUED("outbound", "clients = [\"0.0.0.0/0\"];"), "c:3: listener.a.clients holds \"0.0.0.0/0\": " OPEN V4 },
		{ "everything", QUEUED("outbound", "clients = [\"::/0\"];"), "c:3: listener.a.clients holds \"::/0\": " OPEN V6 },
		{ "half of IPv4", QUEUED("outbound", "clients = [\"10.0.0.0/8\", \"128.0.0.0/1\"];"),
		    "c:3: listener.a.clients holds \"128.0.0.0/1\": " OPEN V4 },
		{ "all of IPv4, written as IPv6", QUEUED("outbound", "clients = [\"::ffff:0:0/96\"];"),
		    "c:3: listener.a.clients holds \"::ffff:0:0/96\": " OPEN V4 },
		{ "a network of IPv6 with all of IPv4 in it", QUEUED("outbound", "clients = [\"::/64\"];"),
		    "c:3: listener.a.clients holds \"::/64\": " OPEN V4 },
		{ "what IPv6 has been given out", QUEUED("outbound", "clients = [\"2000::/3\"];"), "c:3: listener.a.clients holds \"2000::/3\": " OPEN V6 },
		{ "all of IPv4 behind a translator", QUEUED("outbound", "clients = [\"64:ff9b::/96\"];"),
		    "c:3: listener.a.clients holds \"64:ff9b::/96\": " OPEN ", expected networks of your own, without that of NAT64, or open-relay = true\n" },
		{ "all of IPv4 through tunnels", QUEUED("outbound", "clients = [\"2002::/16\"];"),
		    "c:3: listener.a.clients holds \"2002::/16\": " OPEN ", expected networks of your own, without that of 6to4, or open-relay = true\n" },
		{ "and others", QUEUED("outbound", "clients = [\"2001::/32\"];"),
		    "c:3: listener.a.clients holds \"2001::/32\": " OPEN ", expected networks of your own, without that of Teredo, or open-relay = true\n" },
		{ "who is not known", QUEUED("outbound", "clients = [\"0.0.0.0\"];"),
		    "c:3: listener.a.clients holds \"0.0.0.0\", in which 0.0.0.0 is whoever is not known: " OPEN ", expected networks without it, or "
		    "open-relay = true\n" },
		{ "IPv4 in pieces", QUEUED("outbound", "clients = [\"1.0.0.0/8\", \"2.0.0.0/8\", \"3.0.0.0/8\", \"4.0.0.0/8\", \"5.0.0.0/8\", \"6.0.0.0/8\","
		    "\"7.0.0.0/8\", \"8.0.0.0/8\", \"9.0.0.0/8\", \"11.0.0.0/8\", \"12.0.0.0/8\", \"13.0.0.0/8\", \"14.0.0.0/8\", \"15.0.0.0/8\","
		    "\"16.0.0.0/8\", \"17.0.0.0/8\", \"18.0.0.0/9\"];"),
		    "c:3: listener.a.clients holds much of the Internet in pieces: " OPEN V4 },
		{ "a large network", QUEUED("outbound", "clients = [\"17.0.0.0/8\", \"2001:db8::/32\", \"2620::/16\", \"127.0.0.0/8\", \"::1\"];"), "" },
		{ "anyone may speak for clients", QUEUED("outbound", "xclient-from = [\"0.0.0.0/0\"];"),
		    "c:3: listener.a.xclient-from holds \"0.0.0.0/0\": " SPOKEN V4 },
		{ "in front of anything", QUEUED("outbound", "proxy-from = [\"::/0\"];"), "c:3: listener.a.proxy-from holds \"::/0\": " SPOKEN V6 },
		{ "to the mail servers of anyone", QUEUED("inbound", "domains = [\"a.test\"]; clients = [\"::/0\"];"),
		    "c:3: listener.a.clients holds \"::/0\": " OPEN V6 },
		{ "through a service that does nothing", QUEUED("pass", "clients = [\"0.0.0.0/0\"];"), "c:3: listener.a.clients holds \"0.0.0.0/0\": " OPEN V4 },
		{ "with a seal of ours, in mode proxy", LISTENER("outbound", "mode = \"proxy\"; clients = [\"0.0.0.0/0\"];") "keys = (" KEY ");\n",
		    "c:3: listener.a.clients holds \"0.0.0.0/0\": " OPEN V4 },
		{ "said so", QUEUED("outbound", "clients = [\"0.0.0.0/0\", \"::/0\"]; xclient-from = [\"::/0\"]; open-relay = true;"), "" },
		{ "and nothing else", MX("open-relay = true;"), "" },
		{ "said that it is none", QUEUED("outbound", "clients = [\"0.0.0.0/0\"]; open-relay = false;"),
		    "c:3: listener.a.clients holds \"0.0.0.0/0\": " OPEN V4 },
		{ "said where the next hop decides", LISTENER("inbound", "open-relay = true;"),
		    "c:3: listener.a.open-relay = true in mode \"proxy\" of service \"inbound\", where the next hop says who may send to whom, expected "
		    "it to be left out\n" },
		{ "where the next hop decides", LISTENER("inbound", "clients = [\"0.0.0.0/0\"]; xclient-from = [\"0.0.0.0/0\"];"), "" },
	};

	(void)state;
	ROWS(rows);
}

static void tables_of_domains(void **state)
{
	static const struct {
		const char *name, *table, *want;
	} rows[] = {
		{ "a good one", "# ours\n\na.test\n\tB.test # theirs\n", "" },
		{ "nothing", "", "" },
		{ "no domains", "a.test\na b\na.test,b.test\n*\n.a.test\n[192.0.2.1]\n",
		    "@/domains:2: \"a b\" is no domain, expected a domain name a line\n"
		    "@/domains:3: \"a.test,b.test\" is no domain, expected a domain name a line\n"
		    "@/domains:4: \"*\" is no domain, expected a domain name a line\n"
		    "@/domains:5: \".a.test\" is no domain, expected a domain name a line\n"
		    "@/domains:6: \"[192.0.2.1]\" is no domain, expected a domain name a line\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		put("domains", slice_str(rows[i].table), 0644);
		want_mistakes(rows[i].name, QUEUED("inbound", "domains = \"table:domains\";"), rows[i].want);
	}
}

static void what_anyone_may_send_to(void **state)
{
	static const char *const lists[] = { "domains = \"table:domains\";", "domains = [\"c.test\", \"a.test\", \"B.test\", \"a.test\"];" };

	(void)state;
	put("domains", S("c.test\na.test\nB.TEST\na.test"), 0644);
	for (size_t i = 0; i < 2; i++) {
		struct conf_errors e;
		char text[1024];
		struct conf *c;

		snprintf(text, sizeof(text), QUEUED("inbound", "%s"), lists[i]);
		conf_errors_init(&e);
		put("c", slice_str(text), 0644);
		c = conf_load("c", &e);
		WANT_SLICE(buf_get(&e.text), S(""));
		assert_non_null(c);
		assert_int_equal(c->listeners[0].domain_count, 3);
		assert_true(conf_guards(&c->listeners[0]));
		assert_true(conf_takes(&c->listeners[0], S("a.test")));
		assert_true(conf_takes(&c->listeners[0], S("b.test")));
		assert_true(conf_takes(&c->listeners[0], S("c.test")));
		assert_false(conf_takes(&c->listeners[0], S("d.test")));
		assert_false(conf_takes(&c->listeners[0], S("x.a.test")));
		assert_false(conf_takes(&c->listeners[0], S("a.tes")));
		assert_false(conf_takes(&c->listeners[0], S("a.test\0")));
		assert_false(conf_takes(&c->listeners[0], S("")));
		conf_free(&c);
		conf_errors_release(&e);
	}
}

/* What is wrong in a table is told by its own file and line. */
static void tables(void **state)
{
#define TABLE_SERVER "expected host:port or lmtp:host:port\n"
	static const struct {
		const char *name, *table, *want;
	} rows[] = {
		{ "a good one", "a.test 127.0.0.1:26\n.a.test lmtp:127.0.0.1:24, mx.test:26\n", "" },
		{ "no domain", "# comment\na b 127.0.0.1:26\na..b 127.0.0.1:26\n",
		    "@/routes:2: \"b 127.0.0.1:26\" is no next hop, expected next hops with commas between them\n"
		    "@/routes:3: \"a..b\" is no domain, expected a domain, .domain for what is below it, or *\n" },
		{ "no next hop", "a.test 127.0.0.1:26\nb.test 127.0.0.1\n", "@/routes:2: next hop \"127.0.0.1\", " TABLE_SERVER },
		{ "mx", "a.test mx\n", "@/routes:1: next hop \"mx\" in a table is not there yet, " TABLE_SERVER },
		{ "a table", "a.test table:routes\n", "@/routes:1: next hop \"table:routes\", " TABLE_SERVER },
		{ "lines and next hops", "a.test 127.0.0.1:26\nb.test 127.0.0.1\na.test 127.0.0.1:27\n",
		    "@/routes:3: \"a.test\" stands in a line above it already, expected each domain once\n"
		    "@/routes:2: next hop \"127.0.0.1\", " TABLE_SERVER },
		{ "one twice", "a.test 127.0.0.1:26,127.0.0.1:26\n", "@/routes:1: next hop \"127.0.0.1:26\" twice, " TABLE_SERVER },
		{ "the listener itself", "a.test 127.0.0.1:26\nb.test 127.0.0.1:25\n",
		    "@/routes:2: listener.a.next-hop = \"127.0.0.1:25\" is the listener itself, expected another server\n" },
		{ "nothing", "\n", "@/routes:1: \"\" names no domain at all, expected a line or more\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		put("routes", slice_str(rows[i].table), 0644);
		want_mistakes(rows[i].name, HOP("\"table:routes\""), rows[i].want);
	}
}

static void a_table_names_its_servers_once(void **state)
{
	struct conf_errors e;
	struct conf *c;
	size_t list;

	(void)state;
	conf_errors_init(&e);
	put("routes", S("a.test 127.0.0.1:26\n.a.test 127.0.0.1:27, 127.0.0.1:26\nb.test 127.0.0.1:26\n* 127.0.0.1:28"), 0644);
	put("c", S(HOP("\"table:routes\"")), 0644);
	c = conf_load("c", &e);
	WANT_SLICE(buf_get(&e.text), S(""));
	assert_non_null(c);
	assert_int_equal(c->listeners[0].next_hop_count, 3);
	assert_int_equal(c->listeners[0].route_count, 3);
	assert_true(table_find(c->listeners[0].table, S("x.a.test"), &list));
	assert_int_equal(c->listeners[0].routes[list].hop_count, 2);
	assert_string_equal(c->listeners[0].next_hops[c->listeners[0].routes[list].hops[0]].address.text, "127.0.0.1:27");
	assert_string_equal(c->listeners[0].next_hops[c->listeners[0].routes[list].hops[1]].address.text, "127.0.0.1:26");
	conf_free(&c);
	conf_errors_release(&e);
}

static void addresses(void **state)
{
#define TWO(a, ha, b, hb) HOST "listener: {\n" PASS("a", a, ha) "\n" PASS("b", b, hb) "\n};\n"
#define OTHER "127.0.0.1:9"
	static const struct row rows[] = {
		{ "two listeners", TWO("127.0.0.1:25", OTHER, "127.0.0.1:26", OTHER), "" },
		{ "both families of all addresses", TWO("0.0.0.0:25", OTHER, "[::]:25", OTHER), "" },
		{ "one address twice", TWO("127.0.0.1:25", OTHER, "127.0.0.1:25", OTHER),
		    "c:4: listener.b.address \"127.0.0.1:25\" is taken by \"127.0.0.1:25\" of listener.a at c:3, expected one "
		    "listener an address\n" },
		{ "one address in two ways", TWO("[::1]:25", OTHER, "[0:0::0:1]:25", OTHER),
		    "c:4: listener.b.address \"[0:0::0:1]:25\" is taken by \"[::1]:25\" of listener.a at c:3, expected one "
		    "listener an address\n" },
		{ "all addresses and one of them", TWO("127.0.0.1:25", OTHER, "0.0.0.0:25", OTHER),
		    "c:4: listener.b.address \"0.0.0.0:25\" is taken by \"127.0.0.1:25\" of listener.a at c:3, expected one "
		    "listener an address\n" },
		{ "twice in one listener",
		    HOST "listener: { a: { address = [\"127.0.0.1:25\", \"127.0.0.1:25\"]; service = \"pass\"; next-hop = \"" OTHER
			 "\"; }; };\n",
		    "c:2: listener.a.address \"127.0.0.1:25\" is taken by \"127.0.0.1:25\" of listener.a at c:2, expected one "
		    "listener an address\n" },
		{ "no address at all",
		    HOST "listener: { a: { address = []; service = \"pass\"; next-hop = \"" OTHER "\"; }; };\n",
		    "c:2: listener.a.address is an empty list, expected an address:port\n" },
		{ "an address by name",
		    HOST "listener: {\n" PASS("a", "localhost:25", OTHER) "};\n",
		    "c:3: listener.a.address holds \"localhost:25\", expected address:port, an IPv6 address in brackets, a port of "
		    "1..65535\n" },
		{ "the next hop is the listener", HOST "listener: {\n" PASS("a", "127.0.0.1:25", "127.0.0.1:25") "};\n",
		    "c:3: listener.a.next-hop = \"127.0.0.1:25\" is the listener itself, expected another server\n" },
		{ "through all addresses", HOST "listener: {\n" PASS("a", "0.0.0.0:25", "127.9.9.9:25") "};\n",
		    "c:3: listener.a.next-hop = \"127.9.9.9:25\" is the listener itself, expected another server\n" },
		{ "through all addresses of IPv6", HOST "listener: {\n" PASS("a", "[::]:25", "[::1]:25") "};\n",
		    "c:3: listener.a.next-hop = \"[::1]:25\" is the listener itself, expected another server\n" },
		{ "all of another family", HOST "listener: {\n" PASS("a", "[::]:25", "127.0.0.1:25") "};\n", "" },
		{ "another machine", HOST "listener: {\n" PASS("a", "0.0.0.0:25", "192.0.2.1:25") "};\n", "" },
		{ "from listener to listener", TWO("127.0.0.1:25", "127.0.0.1:26", "127.0.0.1:26", OTHER), "" },
		{ "round in a circle", TWO("127.0.0.1:25", "127.0.0.1:26", "127.0.0.1:26", "127.0.0.1:25"),
		    "c:3: listener.a.next-hop = \"127.0.0.1:26\" leads back to the listener through listener.b, expected another "
		    "server\n"
		    "c:4: listener.b.next-hop = \"127.0.0.1:25\" leads back to the listener through listener.a, expected another "
		    "server\n" },
		{ "clients with host bits", LISTENER("pass", "clients = [\"10.0.0.0/8\", \"10.0.0.1/8\", \"lan\"];"),
		    "c:3: listener.a.clients holds \"10.0.0.1/8\", expected addresses, or networks without host bits\n"
		    "c:3: listener.a.clients holds \"lan\", expected addresses, or networks without host bits\n" },
		{ "networks of who speaks for others", LISTENER("pass", "proxy-from = [\"192.0.2.0/24\", \"lb\"]; xclient-from = [\"::1/64\"];"),
		    "c:3: listener.a.proxy-from holds \"lb\", expected addresses, or networks without host bits\n"
		    "c:3: listener.a.xclient-from holds \"::1/64\", expected addresses, or networks without host bits\n" },
		{ "networks of whose chains go on unverified, and flags", LISTENER("pass", "extend-unverified-from = [\"peer\"]; flags = [\"feedback\", \"donotmodify\"];"),
		    "c:3: listener.a.flags holds \"donotmodify\", expected exploded, feedback or feedhere\n"
		    "c:3: listener.a.extend-unverified-from holds \"peer\", expected addresses, or networks without host bits\n" },
		{ "who the next hop takes for the client", LISTENER("pass", "next-hop-client = \"ident\";"),
		    "c:3: listener.a.next-hop-client = \"ident\", expected next-hop-client = \"none\", \"xclient\", \"xforward\" or \"proxy\"\n" },
		{ "a domain that is none", LISTENER("pass", "domains = [\"a.test\", \"b test\"];"),
		    "c:3: listener.a.domains holds \"b test\", expected domain names\n" },
	};

	(void)state;
	ROWS(rows);
}

static void endpoints(void **state)
{
	static const struct {
		const char *text;
		unsigned port;
		bool want;
	} rows[] = {
		{ "127.0.0.1:25", 0, true },      { "[::1]:25", 0, true },         { "127.0.0.1:65535", 0, true },
		{ "127.0.0.1", 53, true },        { "[::1]", 53, true },           { "127.0.0.1:65536", 0, false },
		{ "127.0.0.1:0", 53, false },     { "127.0.0.1:", 53, false },     { "127.0.0.1:25 ", 0, false },
		{ "127.0.0.1: 25", 0, false },    { "127.0.0.1:+25", 0, false },   { "::1:25", 0, false },
		{ "::1", 53, false },             { "[::1]", 0, false },           { "[::1]25", 0, false },
		{ "[::1]:", 53, false },          { "[::1", 53, false },           { "[127.0.0.1]:25", 0, false },
		{ "[::ffff:127.0.0.1]:25", 0, false }, { ":25", 0, false },        { "", 53, false },
		{ "[]:25", 0, false },            { "[fe80::1%eth0]:25", 0, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sockaddr_storage sa;
		socklen_t len;

		if (endpoint_parse(slice_str(rows[i].text), rows[i].port, &sa, &len) != rows[i].want)
			fail_msg("\"%s\"", rows[i].text);
	}
}

static void keys(void **state)
{
#define KEYS(list) GOOD "keys = (\n" list "\n);\n"
#define FILED(name) KEYS("{ domain = \"a.test\"; selector = \"s1\"; file = \"" name "\"; }")
	static const struct row rows[] = {
		{ "Ed25519", FILED("ed.pem"), "" },
		{ "RSA", FILED("rsa.pem"), "" },
		{ "a key for no domain", KEYS("{ selector = \"s1\"; file = \"ed.pem\"; }"),
		    "c:4: keys[0] has no domain, expected a domain name in quotes\n" },
		{ "a missing file", FILED("nope.pem"),
		    "c:4: key file @/nope.pem cannot be read: No such file or directory, expected a file this user may read\n" },
		{ "a folder", FILED("folder"),
		    "c:4: key file @/folder cannot be read: Not a regular file, expected a file this user may read\n" },
		{ "readable by its group", FILED("open.pem"), "c:4: key file @/open.pem has mode 0640, expected 0600 or 0400\n" },
		{ "readable by others", FILED("world.pem"), "c:4: key file @/world.pem has mode 0604, expected 0600 or 0400\n" },
		{ "no key", FILED("no.pem"),
		    "c:4: key file @/no.pem holds no private key, expected Ed25519 or RSA in PEM or DER without passphrase\n" },
		{ "a short key", FILED("short.pem"), "c:4: key file @/short.pem holds an RSA key of 1024 bits, expected 2048..8192\n" },
		{ "use", KEYS("{ domain = \"a.test\"; selector = \"s1\"; file = \"ed.pem\"; use = \"old\"; }"),
		    "c:4: keys[0].use = \"old\", expected use = \"active\" or \"retired\"\n" },
		{ "one selector twice", KEYS(KEY ",\n{ domain = \"A.test\"; selector = \"S1\"; file = \"rsa.pem\"; use = \"retired\"; }"),
		    "c:5: selector \"s1\" of domain \"a.test\" is also that of the key at c:4, expected one key a selector\n" },
		{ "the same selector of another domain",
		    KEYS(KEY ",\n{ domain = \"b.test\"; selector = \"s1\"; file = \"rsa.pem\"; }"), "" },
		{ "three keys of one type",
		    KEYS(KEY ",\n{ domain = \"a.test\"; selector = \"s2\"; file = \"ed.pem\"; },\n"
			     "{ domain = \"a.test\"; selector = \"s3\"; file = \"ed.pem\"; },\n"
			     "{ domain = \"a.test\"; selector = \"s4\"; file = \"ed.pem\"; use = \"retired\"; },\n"
			     "{ domain = \"a.test\"; selector = \"s5\"; file = \"rsa.pem\"; }"),
		    "c:6: a third active Ed25519 key of domain \"a.test\", expected at most 2, the others with use = \"retired\"\n" },
		{ "sealing without a key", LISTENER("outbound", "mode = \"proxy\"; clients = [\"::1\"];"),
		    "c:2: listener.a seals and there is no active key, expected one in keys\n" },
		{ "sealing for this machine alone", LISTENER("outbound", "mode = \"proxy\";") "keys = (" KEY ");\n", "" },
		{ "sealing for some domains", LISTENER("outbound", "mode = \"proxy\"; domains = [\"a.test\"];") "keys = (" KEY ");\n", "" },
		{ "sealing with a retired key",
		    LISTENER("outbound", "mode = \"proxy\"; clients = [\"::1\"];") "keys = ({ domain = \"a.test\"; selector = \"s1\"; file = \"ed.pem\"; use = \"retired\"; });",
		    "c:2: listener.a seals and there is no active key, expected one in keys\n" },
	};

	(void)state;
	ROWS(rows);
}

static void policies(void **state)
{
#define POLICY(text) GOOD "policy: {\n p: {\n" text "\n }; };\n"
#define RULE(name, when, then) "{ name = \"" name "\"; when = [" when "]; then = \"" then "\"; }"
	static const struct row rows[] = {
		{ "one that does not exist", LISTENER("inbound", "policy = \"strict\";"),
		    "c:3: listener.a.policy = \"strict\" does not exist, expected the name of a group of policy, built-in or none\n" },
		{ "the built-in one by name", LISTENER("inbound", "policy = \"built-in\";"), "" },
		{ "none", LISTENER("inbound", "policy = \"none\";"), "" },
		{ "an empty one", POLICY(""), "" },
		{ "mistakes of several rules",
		    POLICY("rules = (\n" RULE("x", "\"dkm2 = fail\"", "refuse") ",\n" RULE("y", "", "accept") ",\n" RULE(
			"z", "", "refuse 451 4.7.1 no") ");\n otherwise = \"maybe\";"),
		    "c:6: policy.p.rules[0] \"x\": unknown fact \"dkm2\", expected one of listener, service, client, helo, "
		    "tls, client-certificate, client-certificate.verified, auth.user, mail-from, mail-from.domain, rcpt, rcpt.domain, from.domain, dkim2, dkim2.reason, dkim2.level, dkim2.domain, "
		    "dkim2.sealer, dkim2.hops, dkim2.exploded, dkim2.testing, dkim, dkim.domain, dkim.signatures, dkim.aligned, dkim.testing, "
		    "arc, arc.sealer, arc.instances, arc.trusted, arc.vouches, spf, spf.domain, spf.aligned, spf.explanation, spf.helo, dmarc, "
		    "dmarc.domain, dmarc.policy, dmarc.disposition, dmarc.reason\n"
		    "c:8: policy.p.rules[2] \"z\": reply code \"451\", expected 500..559 but not 521\n"
		    "c:9: policy.p.otherwise: unknown ruling \"maybe\", expected accept, bypass, refuse or defer\n" },
		{ "a rule without a name", POLICY("rules = ( { then = \"accept\"; } );"),
		    "c:5: policy.p.rules[0] has no name, expected a string in quotes\n" },
		{ "a rule without a ruling", POLICY("rules = ( { name = \"x\"; } );"),
		    "c:5: policy.p.rules[0] has no then, expected a string in quotes\n" },
		{ "two rules of one name", POLICY("rules = (" RULE("x", "", "accept") ",\n" RULE("x", "", "accept") ");"),
		    "c:6: policy.p.rules[1] is called \"x\" like the rule at c:5, expected another name\n" },
		{ "a reserved name for a rule", POLICY("rules = (" RULE("otherwise", "", "accept") ");"),
		    "c:5: policy.p.rules[0] is called \"otherwise\", expected another name\n" },
		{ "a reserved name for a policy", GOOD "policy: { none: { }; };\n",
		    "c:3: policy.none has a reserved name, expected any but built-in and none\n" },
		{ "rules that are a group", POLICY("rules: { };"),
		    "c:5: policy.p.rules is not a list of groups, expected rules = ( { ... }, { ... } );\n" },
		{ "a service that never judges",
		    LISTENER("pass", "policy = \"built-in\";"),
		    "c:3: listener.a.policy = \"built-in\" looks at what service \"pass\" does not check, expected the name of a "
		    "group of policy, built-in or none\n" },
	};

	(void)state;
	ROWS(rows);
}

static void what_is_verified_and_signed(void **state)
{
#define LOOKS(when) "policy: { p: { rules = (" RULE("x", "\"" when "\"", "accept") "); }; };\n"
	static const struct row rows[] = {
		{ "all of it", LISTENER("inbound", "verify = [\"dkim2\", \"dkim\", \"arc\", \"spf\", \"dmarc\"];"), "" },
		{ "nothing", LISTENER("inbound", "verify = [];"), "" },
		{ "a mechanism that is none", LISTENER("inbound", "verify = [\"dkim3\"];"),
		    "c:3: listener.a.verify holds \"dkim3\", expected dkim2, dkim, arc, spf or dmarc\n" },
		{ "by a service that verifies nothing", LISTENER("pass", "verify = [\"dkim\"];"),
		    "c:3: listener.a.verify, but service \"pass\" verifies nothing, expected another service\n" },
		{ "without the chain, where it is to be extended", LISTENER("outbound", "mode = \"proxy\"; verify = [\"dkim\"];") "keys = (" KEY ");\n",
		    "c:3: listener.a.verify without dkim2 on a service that seals, expected it among them\n" },
		{ "without what a rule looks at", LISTENER("inbound", "policy = \"p\"; verify = [\"dkim2\", \"dkim\"];") LOOKS("spf = fail"),
		    "c:3: listener.a.verify without spf, at which policy \"p\" looks, expected it among them\n" },
		{ "DMARC brings DKIM and SPF along", LISTENER("inbound", "policy = \"p\"; verify = [\"dmarc\"];") LOOKS("spf = fail"), "" },
		{ "the built-in policy does with what there is", LISTENER("inbound", "verify = [\"dkim2\"];"), "" },
		{ "a rule of a service that seals", LISTENER("outbound", "mode = \"proxy\"; policy = \"p\";") "keys = (" KEY ");\n" LOOKS("spf = fail"), "" },
		{ "signatures by a service that makes none", LISTENER("inbound", "dkim = true;"),
		    "c:3: listener.a.dkim = true, but service \"inbound\" signs nothing, expected outbound\n" },
		{ "an ARC set", LISTENER("inbound", "arc-seal = \"a.test\";") "keys = (" KEY ");\n", "" },
		{ "an ARC set without a key", LISTENER("inbound", "arc-seal = \"b.test\";") "keys = (" KEY ");\n",
		    "c:3: listener.a.arc-seal = \"b.test\", and there is no active key of that domain, expected one in keys\n" },
		{ "an ARC set without a look at those below", LISTENER("inbound", "arc-seal = \"a.test\"; verify = [\"dkim2\"];") "keys = (" KEY ");\n",
		    "c:3: listener.a.verify without arc, on which arc-seal builds, expected it among them\n" },
		{ "an ARC set of a service that adds nothing", LISTENER("pass", "arc-seal = \"a.test\";") "keys = (" KEY ");\n",
		    "c:3: listener.a.arc-seal, but service \"pass\" adds nothing, expected another service\n" },
		{ "a trusted sealer that is no domain", GOOD "arc: { trusted = [\"a..b\"]; };\n",
		    "c:3: arc.trusted holds \"a..b\", expected domain names\n" },
		{ "no signature at all", GOOD "dkim: { signatures = 0; };\n", "c:3: dkim.signatures = 0, expected 1..50 signatures\n" },
		{ "more than a verdict tells of", GOOD "dkim: { signatures = 51; };\n", "c:3: dkim.signatures = 51, expected 1..50 signatures\n" },
	};

	(void)state;
	ROWS(rows);
}

static void what_is_verified_by_default(void **state)
{
	static const struct {
		const char *listener;
		unsigned want;
	} rows[] = {
		{ "service = \"inbound\";", 31 },
		{ "service = \"pass\";", 0 },
		{ "service = \"outbound\"; mode = \"proxy\";", 1 },
		{ "service = \"outbound\"; mode = \"proxy\"; policy = \"p\";", 1 | 8 },
		{ "service = \"outbound\"; mode = \"proxy\"; policy = \"q\";", 1 | 2 | 8 | 16 },
		{ "service = \"inbound\"; verify = [\"dmarc\", \"dkim2\"];", 1 | 2 | 8 | 16 },
		{ "service = \"outbound\"; mode = \"proxy\"; arc-seal = \"a.test\";", 31 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[1024];
		struct conf_errors e;
		struct conf *c;

		snprintf(text, sizeof(text), "hostname = \"mx.test\"; keys = (" KEY ");\n"
		    "listener: { a: { address = [\"127.0.0.1:25\"]; next-hop = \"127.0.0.1:26\"; %s }; };\n"
		    "policy: { p: { rules = (" RULE("x", "\"spf = fail\"", "accept") "); };"
		    " q: { rules = (" RULE("x", "\"client = 192.0.2.1\"", "refuse 550 5.7.1 {dmarc.reason}") "); }; };\n", rows[i].listener);
		conf_errors_init(&e);
		put("c", slice_str(text), 0644);
		c = conf_load("c", &e);
		assert_non_null(c);
		if (c->listeners[0].verify != rows[i].want)
			fail_msg("%s: %#x", rows[i].listener, c->listeners[0].verify);
		conf_free(&c);
		conf_errors_release(&e);
	}
}

static void the_file_itself(void **state)
{
	static const struct {
		const char *file, *want;
	} rows[] = {
		{ "nope.conf", "nope.conf:1: nope.conf cannot be read: No such file or directory, expected a readable file\n" },
		{ "nowhere/x.conf", "nowhere/x.conf:1: cannot be read: No such file or directory, expected a readable file\n" },
		{ "folder", "folder:1: folder cannot be read: Not a regular file, expected a readable file\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct conf_errors e;

		conf_errors_init(&e);
		assert_null(conf_load(rows[i].file, &e));
		assert_int_equal(e.n, 1);
		WANT_SLICE(buf_get(&e.text), slice_str(rows[i].want));
		conf_errors_release(&e);
	}
}

static void included_files_start_from_the_main_one(void **state)
{
	struct conf_errors e;
	struct conf *c;

	(void)state;
	conf_errors_init(&e);
	put("folder/main.conf", S(GOOD "@include \"sub.conf\"\nkeys = ( { domain = \"a.test\"; selector = \"s1\"; file = "
				  "\"../ed.pem\"; } );\n"),
	    0644);
	put("folder/sub.conf", S("pool: { idle = 7; };\n"), 0644);
	c = conf_load("folder/main.conf", &e);
	WANT_SLICE(buf_get(&e.text), S(""));
	assert_non_null(c);
	assert_int_equal(c->pool.idle_ms, 7);
	assert_int_equal(c->key_count, 1);
	assert_int_equal(c->keys[0].type, KEY_ED25519);
	assert_true(c->keys[0].file[0] == '/');
	conf_free(&c);
	put("folder/sub.conf", S("\npool: { idle = -1; };\n"), 0644);
	assert_null(conf_load("folder/main.conf", &e));
	WANT_SLICE(buf_get(&e.text), S("folder/sub.conf:2: pool.idle = -1, expected 0..3600000 milliseconds\n"));
	conf_errors_release(&e);
}

static void what_is_in_force(void **state)
{
	static const char text[] =
	    "hostname = \"MX.test\";\nworkers = 3;\nuser = \"mail\";\nauthserv-id = \"id.test\";\ndrain = 5; sandbox = false;\n"
	    "dns: { resolver = \"127.0.0.1:5353\"; trust-anchor = \"none\"; answers = \"answers.json\"; timeout = 900; cache = 9; };\n"
	    "state: { dir = \"st\"; };\nspool: { dir = \"/sp\"; reserve = 4000000000L; };\nrun: { dir = \"r\"; };\n"
	    "log: { format = \"json\"; to = \"./x.log\"; };\n"
	    "limits: { message-size = 1000000; header = 2000; header-fields = 20; sessions = 7; sessions-per-client = 2;\n"
	    "  memory = 5000000000L; body-memory = 5000; }; timeouts: { command = 1001; content = 1002; crowded = 1003; };\n"
	    "dkim2: { draft = \"07\"; future = 60; clock = \"1790000000\"; };\n"
	    "pool: { idle = 1; idle-max = 2; max = 7; messages = 3; connect = 300; };\n"
	    "queue: { retry-min = 11; retry-max = 12; expire = 13; warn = 1; concurrency = 14; deliveries = 15; };\n"
	    "keys = ( " KEY ", { domain = \"b.test\"; selector = \"r\"; file = \"rsa.pem\"; use = \"retired\"; group = 7; } );\n"
	    "listener: {\n"
	    "  mx: { address = [\"0.0.0.0:2500\", \"[::]:2500\"]; service = \"inbound\"; next-hop = \"[2001:db8::1]:26\";\n"
	    "        greet-pause = 4; shadow = true; policy = \"p\"; };\n"
	    "  out: { address = [\"127.0.0.1:2501\"]; service = \"outbound\"; mode = \"proxy\"; next-hop = \"192.0.2.1:25\";\n"
	    "         clients = [\"10.0.0.0/8\", \"::1\"]; domains = [\"B\xc3\xbc"
	    "cher.test\"]; share = \"all\"; seal = \"always\";\n"
	    "         unsealed = \"refuse\"; flags = [\"feedhere\", \"feedback\"]; extend-unverified-from = [\"192.0.2.0/24\"]; authserv-id = \"out.test\"; };\n"
	    "};\n"
	    "policy: { p: { rules = ( { name = \"r\"; when = [\"client = 192.0.2.9\"]; then = \"bypass\"; } ); otherwise = \"refuse\"; }; };\n";
	struct facts f = { .known = { false } };
	struct conf_errors e;
	struct conf *c;

	(void)state;
	conf_errors_init(&e);
	put("c", slice_str(text), 0644);
	c = conf_load("c", &e);
	WANT_SLICE(buf_get(&e.text), S(""));
	assert_non_null(c);
	assert_string_equal(c->hostname, "mx.test");
	assert_int_equal(c->workers, 3);
	assert_string_equal(c->user, "mail");
	assert_int_equal(c->drain_s, 5);
	assert_false(c->sandbox);
	assert_string_equal(c->dns.resolver, "127.0.0.1:5353");
	assert_string_equal(c->dns.trust_anchor, "none");
	assert_string_equal(strrchr(c->dns.answers, '/'), "/answers.json");
	assert_int_equal(c->dns.timeout_ms, 900);
	assert_int_equal(c->dns.cache_max, 9);
	assert_string_equal(strrchr(c->state_dir, '/'), "/st");
	assert_true(c->state_dir[0] == '/');
	assert_string_equal(c->spool_dir, "/sp");
	assert_string_equal(strrchr(c->run_dir, '/'), "/r");
	assert_int_equal(c->log.format, LOG_JSON);
	assert_int_equal(c->log.to, LOG_FILE);
	assert_string_equal(strrchr(c->log.file, '/'), "/x.log");
	assert_int_equal(c->limits.message_octets, 1000000);
	assert_int_equal(c->limits.header_octets, 2000);
	assert_int_equal(c->limits.header_fields, 20);
	assert_int_equal(c->limits.sessions, 7);
	assert_int_equal(c->limits.sessions_per_client, 2);
	assert_true(c->limits.memory_octets == 5000000000);
	assert_int_equal(c->limits.body_memory_octets, 5000);
	assert_int_equal(c->timeouts.command_ms, 1001);
	assert_int_equal(c->timeouts.content_ms, 1002);
	assert_int_equal(c->timeouts.crowded_ms, 1003);
	assert_int_equal(c->dkim2.draft, 7);
	assert_int_equal(c->dkim2.future_s, 60);
	assert_true(c->dkim2.now == 1790000000);
	assert_int_equal(c->pool.idle_ms, 1);
	assert_int_equal(c->pool.idle_max, 2);
	assert_int_equal(c->pool.messages, 3);
	assert_int_equal(c->pool.max, 7);
	assert_int_equal(c->pool.connect_ms, 300);
	assert_true(c->spool_reserve_octets == 4000000000);
	assert_int_equal(c->queue.retry_min_s, 11);
	assert_int_equal(c->queue.retry_max_s, 12);
	assert_int_equal(c->queue.expire_s, 13);
	assert_int_equal(c->queue.warn_s, 1);
	assert_int_equal(c->queue.concurrency, 14);
	assert_int_equal(c->queue.deliveries, 15);
	assert_int_equal(c->key_count, 2);
	assert_true(c->keys[0].active);
	assert_int_equal(c->keys[0].type, KEY_ED25519);
	assert_false(c->keys[1].active);
	assert_int_equal(c->keys[1].type, KEY_RSA);
	assert_int_equal(c->keys[1].group, 7);
	assert_string_equal(c->keys[1].where, "c:16");
	assert_int_equal(c->listener_count, 2);
	assert_string_equal(c->listeners[0].name, "mx");
	assert_string_equal(c->listeners[0].where, "c:18");
	assert_int_equal(c->listeners[0].address_count, 2);
	assert_int_equal(c->listeners[0].addresses[1].sa.ss_family, AF_INET6);
	assert_int_equal(c->listeners[0].service, SERVICE_INBOUND);
	assert_int_equal(c->listeners[0].mode, MODE_PROXY);
	assert_false(conf_guards(&c->listeners[0]));
	assert_int_equal(c->listeners[0].next_hops[0].address.sa.ss_family, AF_INET6);
	assert_int_equal(c->listeners[0].next_hops[0].address.sa_len, sizeof(struct sockaddr_in6));
	assert_int_equal(c->listeners[0].next_hop_count, 1);
	assert_string_equal(c->listeners[0].next_hops[0].address.text, "[2001:db8::1]:26");
	assert_string_equal(c->listeners[0].next_hops[0].host, "2001:db8::1");
	assert_string_equal(c->listeners[0].next_hops[0].tls_name, "2001:db8::1");
	assert_int_equal(c->listeners[0].next_hops[0].port, 26);
	assert_false(c->listeners[0].next_hops[0].lmtp);
	assert_int_equal(c->listeners[0].greet_pause_ms, 4);
	assert_true(c->listeners[0].shadow);
	assert_false(c->listeners[0].sealing);
	assert_string_equal(c->listeners[0].authserv_id, "id.test");
	assert_string_equal(c->listeners[0].policy_name, "p");
	facts_set(&f, FACT_CLIENT, S("192.0.2.9"));
	assert_int_equal(policy_rule(c->listeners[0].policy, &f, false).kind, RULING_BYPASS);
	facts_set(&f, FACT_CLIENT, S("192.0.2.8"));
	assert_int_equal(policy_rule(c->listeners[0].policy, &f, false).kind, RULING_REFUSE);
	assert_true(c->listeners[1].sealing);
	assert_true(c->listeners[1].share_all);
	assert_int_equal(c->listeners[1].seal, SEAL_ALWAYS);
	assert_int_equal(c->listeners[1].unsealed, UNSEALED_REFUSE);
	assert_int_equal(c->listeners[1].flags, CONF_FLAG_FEEDBACK | CONF_FLAG_FEEDHERE);
	assert_int_equal(c->listeners[1].extend_unverified_from_count, 1);
	assert_string_equal(c->listeners[1].authserv_id, "out.test");
	assert_int_equal(c->listeners[1].client_count, 2);
	assert_int_equal(c->listeners[1].domain_count, 1);
	assert_string_equal(c->listeners[1].domains[0], "xn--bcher-kva.test");
	assert_null(c->listeners[1].policy);
	assert_string_equal(c->listeners[1].policy_name, "none");
	conf_free(&c);
	conf_errors_release(&e);
}

static void defaults(void **state)
{
	struct facts f = { .known = { false } };
	struct conf_errors e;
	struct conf *c;

	(void)state;
	conf_errors_init(&e);
	put("c", S(LISTENER("inbound", "")), 0644);
	c = conf_load("c", &e);
	assert_non_null(c);
	assert_true(c->workers >= 1 && c->workers <= CONF_WORKERS);
	assert_true(c->sandbox);
	assert_string_equal(c->user, "hopseal");
	assert_string_equal(c->dns.resolver, "auto");
	assert_string_equal(c->dns.trust_anchor, "auto");
	assert_null(c->dns.answers);
	assert_int_equal(c->dns.timeout_ms, 25000);
	assert_string_equal(c->state_dir, "/var/lib/hopseal");
	assert_string_equal(c->spool_dir, "/var/spool/hopseal");
	assert_string_equal(c->run_dir, "/run/hopseal");
	assert_int_equal(c->log.format, LOG_TEXT);
	assert_int_equal(c->log.to, LOG_STDERR);
	assert_int_equal(c->limits.message_octets, 52428800);
	assert_int_equal(c->limits.header_octets, 4194304);
	assert_int_equal(c->limits.header_fields, 10000);
	assert_int_equal(c->limits.sessions, 5000);
	assert_int_equal(c->limits.sessions_per_client, 50);
	assert_int_equal(c->timeouts.command_ms, 300000);
	assert_int_equal(c->timeouts.content_ms, 180000);
	assert_int_equal(c->timeouts.crowded_ms, 10000);
	assert_int_equal(c->limits.connects_per_client, 0);
	assert_int_equal(c->limits.memory_octets, 268435456);
	assert_int_equal(c->spool_reserve_octets, 67108864);
	assert_int_equal(c->queue.retry_min_s, 300);
	assert_int_equal(c->queue.retry_max_s, 14400);
	assert_int_equal(c->queue.expire_s, 432000);
	assert_int_equal(c->queue.warn_s, 14400);
	assert_int_equal(c->queue.concurrency, 20);
	assert_int_equal(c->queue.deliveries, 500);
	assert_false(c->listeners[0].open_relay);
	assert_false(c->listeners[0].route_mx);
	assert_int_equal(c->dkim2.draft, 9);
	assert_int_equal(c->dkim2.future_s, 300);
	assert_true(c->dkim2.now == -1);
	assert_int_equal(c->listeners[0].seal, SEAL_NEEDED);
	assert_int_equal(c->listeners[0].unsealed, UNSEALED_PASS);
	assert_int_equal(c->listeners[0].from, FROM_READABLE);
	assert_false(c->listeners[0].share_all);
	assert_string_equal(c->listeners[0].authserv_id, "mx.test");
	assert_string_equal(c->listeners[0].policy_name, "built-in");
	facts_set(&f, FACT_DKIM2, S("fail"));
	facts_set(&f, FACT_DKIM2_REASON, S("why"));
	assert_int_equal(policy_rule(c->listeners[0].policy, &f, false).kind, RULING_REFUSE);
	conf_free(&c);
	conf_errors_release(&e);
}

static void want_shown(const char *text, bool changed, bool json, const char *want)
{
	struct conf_errors e;
	struct conf *c;
	struct buf out;

	conf_errors_init(&e);
	buf_init(&out, 1 << 20);
	put("c", slice_str(text), 0644);
	c = conf_load("c", &e);
	WANT_SLICE(buf_get(&e.text), S(""));
	assert_non_null(c);
	assert_true(conf_show(c, changed, json, &out));
	plain(&out);
	if (changed)
		assert_string_equal((const char *)out.at, want);
	else if (!strstr((const char *)out.at, want))
		fail_msg("wanted in it: %s\ngot: %s", want, (const char *)out.at);
	buf_release(&out);
	conf_free(&c);
	conf_errors_release(&e);
}

static void show(void **state)
{
#define SHOWN LISTENER("inbound", "shadow = true; seal = \"needed\";") \
	"workers = 2;\nlimits: { memory = 3000000000L; sessions = 5000; };\nlog: { to = \"./a\\\\b\\\"\\tc\"; };\nkeys = (" KEY ");\n"

	(void)state;
	want_shown(SHOWN, true, false,
	    "hostname = \"mx.test\";\nworkers = 2;\nlog.to = \"@/./a\\\\b\\\"\\x09c\";\nlimits.memory = 3000000000L;\n"
	    "listener.a.address = [\"127.0.0.1:25\"];\nlistener.a.service = \"inbound\";\n"
	    "listener.a.next-hop = \"127.0.0.1:26\";\nlistener.a.shadow = true;\n"
	    "keys[0].domain = \"a.test\";\nkeys[0].selector = \"s1\";\nkeys[0].file = \"@/ed.pem\";\n");
	want_shown(SHOWN, false, false, "limits.sessions = 5000;\n");
	want_shown(SHOWN, false, false, "listener.a.mode = \"proxy\";\n");
	want_shown(SHOWN, false, false, "listener.a.policy = \"built-in\";\n");
	want_shown(SHOWN, false, false, "policy.built-in.rules[2].name = \"key unreachable\";\n"
					"policy.built-in.rules[2].when = [\"dkim2 = temperror\"];\n"
					"policy.built-in.rules[2].then = \"defer 451 4.7.5 {dkim2.reason}\";\n");
	want_shown(SHOWN, true, true,
	    "{\n  \"hostname\": \"mx.test\",\n  \"workers\": 2,\n  \"log\": {\n    \"to\": \"@/./a\\\\b\\\"\\tc\"\n  },\n"
	    "  \"limits\": {\n    \"memory\": 3000000000\n  },\n"
	    "  \"keys\": [\n    {\n      \"domain\": \"a.test\",\n      \"selector\": \"s1\",\n      \"file\": \"@/ed.pem\"\n    }\n  ],\n"
	    "  \"listener\": {\n    \"a\": {\n      \"address\": [\n        \"127.0.0.1:25\"\n      ],\n"
	    "      \"service\": \"inbound\",\n      \"next-hop\": \"127.0.0.1:26\",\n      \"shadow\": true\n    }\n  }\n}\n");
	want_shown(SHOWN, false, true, "\"then\": \"defer 451 4.7.5 {dkim2.reason}\"\n");
	want_shown(SHOWN, false, true, "\"answers\": null,\n");
	put("domains", S("a.test\n"), 0644);
	want_shown(MX("domains = \"table:domains\"; open-relay = true;"), true, false,
	    "hostname = \"mx.test\";\nlistener.a.address = [\"127.0.0.1:25\"];\nlistener.a.service = \"outbound\";\nlistener.a.next-hop = \"mx\";\n"
	    "listener.a.domains = \"table:@/domains\";\nlistener.a.open-relay = true;\n"
	    "keys[0].domain = \"a.test\";\nkeys[0].selector = \"s1\";\nkeys[0].file = \"@/ed.pem\";\n");
	want_shown(MX(""), false, false, "listener.a.mode = \"queue\";\n");
}

/* Whatever stands there, it is loaded or refused, never worse. */
static void cut_at_every_octet(void **state)
{
	static const char text[] = HOST "workers = -12; /* c */ # d\n@include \"pool.conf\"\nkeys = ( " KEY " );\n"
				   "limits: { memory = 3000000000L; };\nlistener: { a: { address = [ \"127.0.0.1:25\", \"[::1]:25\" ];\n"
				   "service = \"inbound\"; next-hop = \"127.0.0.1:26\"; shadow = true; policy = \"p\"; }; };\n"
				   "policy: { p: { rules = ( " RULE("x", "\"dkim2 = fail\"", "refuse 550 5.7.1 {dkim2.reason}") "); }; };\n";
	static const char junk[] = "\"{];@\n\0";
	char changed[sizeof(text)];
	struct conf_errors e;

	(void)state;
	conf_errors_init(&e);
	for (size_t n = 0; n <= sizeof(text) - 1; n++) {
		struct conf *c;

		put("c", slice_of(text, n), 0644);
		c = conf_load("c", &e);
		assert_null(c);
		assert_true(e.n > 0 && !buf_failed(&e.text));
		buf_clear(&e.text);
		e.n = 0;
	}
	for (size_t n = 0; n < sizeof(text) - 1; n++)
		for (size_t j = 0; j < sizeof(junk) - 1; j++) {
			struct conf *c;

			memcpy(changed, text, sizeof(text));
			changed[n] = junk[j];
			put("c", slice_of(changed, sizeof(text) - 1), 0644);
			c = conf_load("c", &e);
			assert_true((c == NULL) == (e.n > 0));
			conf_free(&c);
			buf_clear(&e.text);
			e.n = 0;
		}
	conf_errors_release(&e);
}

/* Rows are what the parser, the checks and the manual rely on. */
static void the_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < CONF_KEYS; i++) {
		const struct conf_row *row = conf_row((enum conf_key_id)i);
		enum conf_key_id first;
		size_t count = conf_group_keys(row->group, &first);

		if (i < first || i >= first + count)
			fail_msg("%s does not stand with its group", row->name);
		if (!row->help || strchr(row->help, '\n') || row->help[strlen(row->help) - 1] == '.')
			fail_msg("%s: help", row->name);
		if (row->need == NEED_MUST && row->fallback)
			fail_msg("%s must be given and has a default", row->name);
		if (row->type == CONF_INT &&
		    (row->low >= row->high || !row->unit || !row->fallback || atoll(row->fallback) < row->low ||
			atoll(row->fallback) > row->high))
			fail_msg("%s: default or range", row->name);
		if (row->type == CONF_WORD && row->fallback && !conf_word(row->here, slice_str(row->fallback), NULL))
			fail_msg("%s: default is no word of it", row->name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_text_itself),
		cmocka_unit_test(names_types_and_ranges),
		cmocka_unit_test(what_is_not_there_yet),
		cmocka_unit_test(mode_queue),
		cmocka_unit_test(open_relays),
		cmocka_unit_test(tables_of_domains),
		cmocka_unit_test(what_anyone_may_send_to),
		cmocka_unit_test(tables),
		cmocka_unit_test(a_table_names_its_servers_once),
		cmocka_unit_test(addresses),
		cmocka_unit_test(endpoints),
		cmocka_unit_test(keys),
		cmocka_unit_test(policies),
		cmocka_unit_test(what_is_verified_and_signed),
		cmocka_unit_test(what_is_verified_by_default),
		cmocka_unit_test(the_file_itself),
		cmocka_unit_test(included_files_start_from_the_main_one),
		cmocka_unit_test(what_is_in_force),
		cmocka_unit_test(defaults),
		cmocka_unit_test(show),
		cmocka_unit_test(cut_at_every_octet),
		cmocka_unit_test(the_table),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, teardown);
}
