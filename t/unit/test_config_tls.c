/* The TLS of hopseal.conf: what certificates and keys must be to be taken, and the exact text of every mistake. */
#include "certs.h"
#include "files.h"

#include "config/conf.h"

static char dir[] = "/tmp/hopseal-config-XXXXXX";

/* NAME.pem and NAME.key */
static void put_pair(const char *name, struct made m)
{
	char file[64];

	snprintf(file, sizeof(file), "%s.pem", name);
	put(file, made_octets(m.cert_pem), 0644);
	snprintf(file, sizeof(file), "%s.key", name);
	put(file, made_octets(m.key_pem), 0600);
	made_free(&m);
}

#define SCRAM "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==," \
	      "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

#define TEN "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

enum { DAY = 86400 };

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(dir) || chdir(dir) != 0)
		return -1;
	put_pair("a", made_valid("P-256", "DNS:a.test,DNS:*.a.test"));
	put_pair("a2", made_valid("P-256", "DNS:x.test,DNS:*.a.test"));
	put_pair("ar", made_valid("RSA", "DNS:a.test"));
	put_pair("ae", made_valid("ED25519", "DNS:a.test"));
	put_pair("b", made_valid("P-256", "DNS:b.test"));
	put_pair("none", made_valid("P-256", NULL));
	put_pair("address", made_valid("P-256", "IP:192.0.2.1"));
	put_pair("old", made_new("P-256", "DNS:old.test", -9 * DAY, -2 * DAY - 60, NULL));
	put_pair("soon", made_new("P-256", "DNS:soon.test", -60, 13 * DAY + 600, NULL));
	put_pair("later", made_new("P-256", "DNS:later.test", -60, 14 * DAY + 600, NULL));
	put_pair("early", made_new("P-256", "DNS:early.test", DAY, 90 * DAY, NULL));
	put_pair("open", made_valid("P-256", "DNS:open.test"));
	put("users", S("# who may send\n\nann:" SCRAM "\n\xc3\xa4nne@a.test:" SCRAM "\r\n"), 0600);
	put("users.open", S("ann:" SCRAM "\n"), 0644);
	put("users.none", S("# nobody yet\n"), 0600);
	put("users.bad", S("ann:" SCRAM "\nbob\nbob:secret\n:" SCRAM "\nnone:" SCRAM "\nann:" SCRAM "\nb\xff" ":" SCRAM "\nbob:" SCRAM ":\n"), 0600);
	return chmod("open.key", 0640);
}

static int teardown(void **state)
{
	(void)state;
	return chdir("/") != 0 || !files_remove(dir);
}

/* The temporary folder reads "@" in what is compared. */
static char *plain(struct slice s)
{
	static char out[8192];
	size_t n = strlen(dir), at = 0;

	for (size_t i = 0; i < s.n && at < sizeof(out) - 1; i++) {
		bool here = slice_starts(slice_sub(s, i, SIZE_MAX), slice_of(dir, n));

		out[at++] = here ? '@' : (char)s.at[i];
		i += here ? n - 1 : 0;
	}
	out[at] = '\0';
	return out;
}

/* Mistakes, or what there are only warnings about. */
static struct conf *want(const char *title, const char *settings, const char *mistakes, const char *warnings)
{
	struct conf_errors e;
	struct conf *c;
	char text[4096];

	conf_errors_init(&e);
	snprintf(text, sizeof(text), "hostname = \"mx.test\";\nlistener: { a: { address = [\"127.0.0.1:2525\"]; service = \"pass\"; next-hop = "
	    "\"127.0.0.1:2526\";\n%s\n}; };\n", settings);
	put("c", slice_str(text), 0644);
	c = conf_load("c", &e);
	if (strcmp(plain(buf_get(&e.text)), mistakes) != 0 || (c == NULL) != (mistakes[0] != '\0'))
		fail_msg("%s\nwanted: %s\n   got: %s", title, mistakes, plain(buf_get(&e.text)));
	if (strcmp(plain(c ? c->warnings : buf_get(&e.warnings)), warnings) != 0)
		fail_msg("%s\nwanted: %s\n   got: %s", title, warnings, plain(buf_get(&e.warnings)));
	conf_errors_release(&e);
	return c;
}

#define MINE "tls: { mode = \"require\"; certificate = \"a.pem\"; key = \"a.key\"; "
#define BESIDE(name) "{ certificate = \"" name ".pem\"; key = \"" name ".key\"; }"
#define TO "next-hop-tls: { "
#define NO_FILE "No such file or directory, expected a file this user may read\n"
#define FP "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void mistakes(void **state)
{
	static const struct {
		const char *title, *settings, *want;
	} rows[] = {
		{ "as it should be", MINE "};", "" },
		{ "a list beside it", MINE "certificates = ( " BESIDE("b") ", " BESIDE("soon") " ); };", "" },
		{ "a list alone", "tls: { mode = \"may\"; certificates = ( " BESIDE("none") ", " BESIDE("a") " ); };", "" },
		{ "kinds of key side by side", MINE "certificates = ( " BESIDE("ar") ", " BESIDE("ae") " ); };", "" },
		{ "a key without its certificate beside a list", "tls: { mode = \"may\"; key = \"a.key\"; certificates = ( " BESIDE("b") " ); };",
		    "c:3: listener.a.tls.mode = \"may\" without certificate, expected the name of a file in quotes\n" },
		{ "nothing of it", "tls: { mode = \"implicit\"; };",
		    "c:3: listener.a.tls.mode = \"implicit\" without certificate, expected the name of a file in quotes\n"
		    "c:3: listener.a.tls.mode = \"implicit\" without key, expected the name of a file in quotes\n" },
		{ "half of one in the list", MINE "\ncertificates = (\n{ certificate = \"b.pem\"; } ); };",
		    "c:5: listener.a.tls.certificates[0] has no key, expected the name of a file in quotes\n" },
		{ "a file that is not there", MINE "certificates = ( { certificate = \"no.pem\"; key = \"b.key\"; } ); };",
		    "c:3: certificate @/no.pem cannot be read: " NO_FILE },
		{ "the key of another", MINE "certificates = (\n{ certificate = \"b.pem\";\nkey = \"a.key\"; } ); };",
		    "c:5: key file @/a.key holds the key of another certificate, expected the private key of the certificate\n" },
		{ "a key its group may read", MINE "certificates = (\n" BESIDE("open") " ); };", "c:4: key file @/open.key has mode 0640, expected 0600 or 0400\n" },
		{ "two for one name", MINE "\ncertificates = (\n" BESIDE("b") ",\n" BESIDE("a2") " ); };",
		    "c:6: certificate @/a2.pem is for *.a.test, as is @/a.pem at c:3, expected one of a name and kind of key (EC)\n" },
		{ "one twice", MINE "certificates = ( " BESIDE("a") " ); };",
		    "c:3: certificate @/a.pem is for a.test, as is @/a.pem at c:3, expected one of a name and kind of key (EC)\n" },
		{ "one nobody can ask for", MINE "certificates = ( " BESIDE("none") " ); };",
		    "c:3: certificate @/none.pem has no DNS name, so that no client could ask for it, expected a subjectAltName\n" },
		{ "nor by an address", MINE "certificates = ( " BESIDE("address") " ); };",
		    "c:3: certificate @/address.pem has no DNS name, so that no client could ask for it, expected a subjectAltName\n" },

		{ "clients are asked", MINE "client-certificate = \"ask\"; clients = [\"" FP "\"]; };", "" },
		{ "and held against somebody's word", MINE "client-certificate = \"require\"; client-ca = \"b.pem\"; };", "" },
		{ "asked without TLS", "tls: { client-certificate = \"ask\"; };",
		    "c:3: listener.a.tls.client-certificate without TLS, expected mode = \"none\", \"may\", \"require\" or \"implicit\"\n" },
		{ "required where TLS is not",
		    "tls: { mode = \"may\"; certificate = \"a.pem\"; key = \"a.key\";\nclient-certificate = \"require\"; };",
		    "c:4: listener.a.tls.client-certificate = \"require\" where TLS is optional, expected mode = \"require\" or \"implicit\"\n" },
		{ "a word for nobody", MINE "client-ca = \"b.pem\"; };",
		    "c:3: listener.a.tls.client-ca without client-certificate, expected client-certificate = \"none\", \"ask\" or \"require\"\n" },
		{ "clients nobody asks", MINE "clients = [\"" FP "\"]; };",
		    "c:3: listener.a.tls.clients without client-certificate, expected client-certificate = \"none\", \"ask\" or \"require\"\n" },
		{ "whoever is verified", MINE "client-certificate = \"ask\"; client-ca = \"b.pem\"; clients-verified = true; };", "" },
		{ "and not", MINE "clients-verified = false; };", "" },
		{ "verified by nobody", MINE "client-certificate = \"ask\"; clients-verified = true; };",
		    "c:3: listener.a.tls.clients-verified without client-ca, expected the name of a file in quotes\n" },
		{ "verified, and not asked", MINE "client-ca = \"b.pem\"; clients-verified = true; };",
		    "c:3: listener.a.tls.client-ca without client-certificate, expected client-certificate = \"none\", \"ask\" or \"require\"\n" },
		{ "no fingerprint", MINE "client-certificate = \"ask\"; clients = [\"" FP "\", \"00:11\"]; };",
		    "c:3: listener.a.tls.clients holds \"00:11\", expected SHA-256 fingerprints of 64 hexadecimal digits\n" },
		{ "trust that is not there", MINE "client-certificate = \"ask\"; client-ca = \"no.pem\"; };",
		    "c:3: trusted certificates @/no.pem cannot be read: " NO_FILE },
		{ "trust in a key", MINE "client-certificate = \"ask\"; client-ca = \"a.key\"; };",
		    "c:3: trusted certificates @/a.key holds no certificate, expected certificates in PEM\n" },
		{ "PROXY before implicit TLS", "proxy-from = [\"192.0.2.10\"]; tls: { mode = \"implicit\"; certificate = \"a.pem\"; key = \"a.key\"; };", "" },

		{ "who may authenticate", MINE "}; auth: { passwords = \"users\"; };", "" },
		{ "and how often", MINE "}; auth: { passwords = \"users\"; attempts = 0; };", "" },
		{ "how often, but not who", MINE "}; auth: { attempts = 5; };", "c:3: listener.a.auth.attempts without passwords or dovecot, expected who may authenticate\n" },
		{ "Dovecot says who", MINE "}; auth: { dovecot = \"/run/dovecot/auth-client\"; attempts = 7; };", "" },
		{ "both say", MINE "}; auth: { passwords = \"users\";\ndovecot = \"auth-client\"; };",
		    "c:4: listener.a.auth.dovecot beside passwords, expected one of them\n" },
		{ "a socket whose name is too long", MINE "}; auth: { dovecot = \"/" HUNDRED "1234567\"; };",
		    "c:3: listener.a.auth.dovecot = \"/" HUNDRED "1234567\" is longer than a socket's name may be, expected at most 107 octets\n" },
		{ "one that fits", MINE "}; auth: { dovecot = \"/" HUNDRED "123456\"; };", "" },
		{ "authentication in clear", "auth: { passwords = \"users\"; };",
		    "c:3: listener.a.auth where there is no TLS, inside of which alone it is announced, expected a mode in listener.a.tls\n" },
		{ "passwords that are not there", MINE "};\nauth: { passwords = \"no\"; };", "c:4: passwords @/no cannot be read: " NO_FILE },
		{ "passwords that others may read", MINE "}; auth: { passwords = \"users.open\"; };",
		    "c:3: passwords @/users.open has mode 0644, expected 0600 or 0400\n" },
		{ "passwords of nobody", MINE "}; auth: { passwords = \"users.none\"; };", "@/users.none:1: nobody, expected a line for each user\n" },
		{ "mistakes in a file of passwords", MINE "}; auth: { passwords = \"users.bad\"; };",
		    "@/users.bad:2: no user and password, expected user:{SCRAM-SHA-256}... as hopsealctl password prints it\n"
		    "@/users.bad:3: the password is another scheme than {SCRAM-SHA-256}, expected {SCRAM-SHA-256}iterations,salt,StoredKey,ServerKey\n"
		    "@/users.bad:4: no name of a user, expected 1 to 255 octets of UTF-8 in front of the colon\n"
		    "@/users.bad:5: the user is called \"none\", as is who is none, expected another name\n"
		    "@/users.bad:7: no name of a user, expected 1 to 255 octets of UTF-8 in front of the colon\n"
		    "@/users.bad:8: the password is no ServerKey of 32 octets in base64, expected {SCRAM-SHA-256}iterations,salt,StoredKey,ServerKey\n"
		    "@/users.bad:6: user ann is there already at line 1, expected one password a user\n" },

		{ "implicit to the next hop", TO "mode = \"implicit\"; };", "" },
		{ "implicit beside what cannot do without", TO "mode = \"verify\"; ca = \"a.pem\"; implicit = true; };", "" },
		{ "implicit beside what can", TO "mode = \"may\"; implicit = true; };",
		    "c:3: listener.a.next-hop-tls.implicit = true where TLS is optional, expected mode = \"require\" or \"verify\"\n" },
		{ "implicit beside nothing", TO "implicit = true; };",
		    "c:3: listener.a.next-hop-tls.implicit = true where TLS is optional, expected mode = \"require\" or \"verify\"\n" },
		{ "our own certificate", TO "mode = \"may\"; certificate = \"none.pem\"; key = \"none.key\"; };", "" },
		{ "without its key", TO "mode = \"may\"; certificate = \"a.pem\"; };",
		    "c:3: listener.a.next-hop-tls.certificate without key, expected the name of a file in quotes\n" },
		{ "without its certificate", TO "mode = \"may\"; key = \"a.key\"; };",
		    "c:3: listener.a.next-hop-tls.key without certificate, expected the name of a file in quotes\n" },
		{ "without TLS", TO "certificate = \"a.pem\"; key = \"a.key\"; };",
		    "c:3: listener.a.next-hop-tls.certificate without TLS, expected mode = \"none\", \"may\", \"require\", \"verify\" or \"implicit\"\n" },
		{ "with another's key", TO "mode = \"may\"; certificate = \"a.pem\"; key = \"b.key\"; };",
		    "c:3: key file @/b.key holds the key of another certificate, expected the private key of the certificate\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool soon = strstr(rows[i].settings, "soon.pem") != NULL;
		struct conf *c = want(rows[i].title, rows[i].settings, rows[i].want,
		    soon ? "certificate_expires c:3: certificate @/soon.pem expires in 13 day(s)\n" : "");

		conf_free(&c);
	}
}

static void ages(void **state)
{
	struct conf *c;

	(void)state;
	c = want("ages", MINE "certificates = (\n" BESIDE("old") ",\n" BESIDE("soon") ",\n" BESIDE("later") ",\n" BESIDE("early") " ); };\n"
	    TO "mode = \"may\"; certificate = \"old.pem\"; key = \"old.key\"; };", "",
	    "certificate_expired c:4: certificate @/old.pem expired 2 day(s) ago\n"
	    "certificate_expires c:5: certificate @/soon.pem expires in 13 day(s)\n"
	    "certificate_early c:7: certificate @/early.pem is not valid yet\n"
	    "certificate_expired c:8: certificate @/old.pem expired 2 day(s) ago\n");
	conf_free(&c);
}

static void what_workers_are_handed(void **state)
{
	struct conf *c = want("all of it", MINE "client-certificate = \"ask\"; client-ca = \"b.pem\"; certificates = ( " BESIDE("b") " ); clients = "
	    "[\"00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff\"]; };"
	    TO "mode = \"verify\"; implicit = true; ca = \"b.pem\"; certificate = \"none.pem\"; key = \"none.key\"; };", "", "");
	const struct conf_tls *tls = &c->listeners[0].tls;
	const struct conf_next_hop_tls *next = &c->listeners[0].next_hop_tls;

	(void)state;
	assert_int_equal(tls->certificate_count, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_true(slice_starts(buf_get(&tls->certificates[i].chain.held), S("-----BEGIN CERTIFICATE-----\n")));
		assert_true(slice_starts(buf_get(&tls->certificates[i].key.held), S("-----BEGIN PRIVATE KEY-----\n")));
	}
	assert_int_equal(tls->client_certificate, CLIENT_CERTIFICATE_ASK);
	assert_true(tls->client_ca->held.n > 0);
	assert_int_equal(tls->client_count, 1);
	assert_string_equal(tls->clients[0], FP);
	assert_int_equal(next->mode, NEXT_HOP_TLS_VERIFY);
	assert_true(next->implicit && next->ca->held.n > 0 && next->certificate->key.held.n > 0);
	conf_forget_tls(c);
	assert_true(tls->certificates[1].key.held.n == 0 && tls->client_ca->held.n == 0 && next->certificate->key.held.n == 0);
	conf_free(&c);
	c = want("implicit", TO "mode = \"implicit\"; };", "", "");
	assert_int_equal(c->listeners[0].next_hop_tls.mode, NEXT_HOP_TLS_REQUIRE);
	assert_true(c->listeners[0].next_hop_tls.implicit);
	conf_free(&c);
}

static void want_user(const struct passwords *p, struct slice user, bool known)
{
	struct scram_verifier v, again;
	bool is = !known;

	assert_true(passwords_find(p, user, &v, &is));
	assert_int_equal(is, known);
	assert_int_equal(v.iterations, 4096);
	assert_int_equal(v.salt_n, 16);
	assert_true(passwords_find(p, user, &again, &is));
	assert_memory_equal(&v, &again, sizeof(v));
}

static void who_is_in_a_file_of_passwords(void **state)
{
	struct conf *c = want("users", MINE "}; auth: { passwords = \"users\"; };", "", "");
	const struct conf_auth *auth = &c->listeners[0].auth;
	struct scram_verifier before, after;
	bool known;

	(void)state;
	assert_int_equal(auth->attempts, 60);
	want_user(auth->passwords, S("ann"), true);
	want_user(auth->passwords, S("\xc3\xa4nne@a.test"), true);
	want_user(auth->passwords, S("Ann"), false);
	want_user(auth->passwords, S("an"), false);
	want_user(auth->passwords, S("anna"), false);
	want_user(auth->passwords, S("bob"), false);
	/* Who asks again behind a reload learns nothing of who is there. */
	assert_true(passwords_find(auth->passwords, S("bob"), &before, &known));
	conf_free(&c);
	c = want("users", MINE "}; auth: { passwords = \"users\"; };", "", "");
	assert_true(passwords_find(c->listeners[0].auth.passwords, S("bob"), &after, &known));
	assert_memory_equal(&before, &after, sizeof(before));
	conf_forget_passwords(c);
	assert_null(c->listeners[0].auth.passwords);
	conf_free(&c);
}

#define VERIFIED(mode, ca, more) "mode = \"" mode "\"; " MINE "client-certificate = \"ask\"; clients-verified = true;\n client-ca = \"" ca "\"; }; " more
#define OPEN ": strangers could send to anyone, expected authorities of your own, clients by fingerprint, or open-relay = true\n"

/* Who vouches for everybody says nothing of who may send to anyone. */
static void whose_word_makes_clients(void **state)
{
	struct buf many;
	struct made m = made_valid("P-256", "DNS:b.test");

	(void)state;
	buf_init(&many, 1 << 20);
	for (int i = 0; i < 16; i++)
		buf_slice(&many, made_octets(m.cert_pem));
	put("sixteen.pem", buf_get(&many), 0644);
	buf_slice(&many, made_octets(m.cert_pem));
	put("many.pem", buf_get(&many), 0644);
	buf_release(&many);
	made_free(&m);
	conf_free(&(struct conf *){ want("one of our own", VERIFIED("queue", "b.pem", ""), "", "") });
	conf_free(&(struct conf *){ want("some of our own", VERIFIED("queue", "sixteen.pem", ""), "", "") });
	want("many", VERIFIED("queue", "many.pem", ""),
	    "c:4: listener.a.tls.clients-verified with client-ca @/many.pem, which holds very many authorities" OPEN, "");
	conf_free(&(struct conf *){ want("many, said so", VERIFIED("queue", "many.pem", "open-relay = true;"), "", "") });
	conf_free(&(struct conf *){ want("many, where the next hop decides", VERIFIED("proxy", "many.pem", ""), "", "") });
}

static void no_word_of_the_public_web(void **state)
{
	static const char root[] = "/usr/share/ca-certificates/mozilla/ISRG_Root_X1.crt";
	char settings[16384], mistake[1024], pem[8192];
	struct made m;
	FILE *f = fopen(root, "r");
	size_t n;

	(void)state;
	if (!f)
		skip();
	n = fread(pem, 1, sizeof(pem), f);
	fclose(f);
	snprintf(settings, sizeof(settings), VERIFIED("queue", "%s", ""), root);
	snprintf(mistake, sizeof(mistake), "c:4: listener.a.tls.clients-verified with client-ca %s, which holds the public %s" OPEN, root, root);
	want("as it is", settings, mistake, "");
	m = made_valid("P-256", "DNS:b.test");
	snprintf(settings, sizeof(settings), "%.*s%.*s", SLICE_FMT(made_octets(m.cert_pem)), (int)n, pem);
	put("both.pem", slice_of(settings, strlen(settings)), 0644);
	made_free(&m);
	snprintf(mistake, sizeof(mistake), "c:4: listener.a.tls.clients-verified with client-ca @/both.pem, which holds the public %s" OPEN, root);
	want("behind one of our own", VERIFIED("queue", "both.pem", ""), mistake, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whose_word_makes_clients),
		cmocka_unit_test(no_word_of_the_public_web),
		cmocka_unit_test(mistakes),
		cmocka_unit_test(ages),
		cmocka_unit_test(what_workers_are_handed),
		cmocka_unit_test(who_is_in_a_file_of_passwords),
	};

	return cmocka_set_message_output(CM_OUTPUT_TAP), cmocka_run_group_tests(tests, setup, teardown);
}
