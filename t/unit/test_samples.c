/* Each configuration of conf/ loads, the files it names beside it. */
#include "certs.h"
#include "files.h"

#include <dirent.h>

#include "config/conf.h"

static char dir[] = "/tmp/hopseal-samples-XXXXXX";
static char start[4096];

static int setup(void **state)
{
	(void)state;
	return !getcwd(start, sizeof(start)) || !mkdtemp(dir) || chdir(dir) != 0 || mkdir("keys", 0755) != 0 || mkdir("tls", 0755) != 0;
}

static int teardown(void **state)
{
	(void)state;
	return chdir(start) != 0 || !files_remove(dir);
}

static void copy(const char *from, const char *to)
{
	char octets[65536];
	FILE *f = fopen(from, "r");
	size_t n;

	assert_non_null(f);
	n = fread(octets, 1, sizeof(octets), f);
	fclose(f);
	put(to, slice_of(octets, n), 0644);
}

static void make_key(const char *name)
{
	struct key *k = key_generate(KEY_ED25519, 0);
	struct buf pem;

	assert_non_null(k);
	buf_init(&pem, 65536);
	assert_true(key_pem(k, &pem));
	put(name, buf_get(&pem), 0600);
	buf_release(&pem);
	key_drop(&k);
}

/* What stands behind `what = ` on a line. */
static bool named(const char *line, const char *what, char name[512])
{
	const char *at = strstr(line, what);

	return at && sscanf(at + strlen(what), " = \"%500[^\"]", name) == 1;
}

/* Every file that a sample names: of a key, of certificate and key on one line, of a trusted certificate, of passwords. */
static void make_files(const char *sample)
{
	char line[1024], name[512], key[512], dns[64];
	FILE *f = fopen(sample, "r");
	unsigned count = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		struct made m;

		if (line[strspn(line, " \t")] == '#')
			continue;
		if (named(line, " file", name))
			make_key(name);
		snprintf(dns, sizeof(dns), "DNS:n%u.test", ++count);
		if (named(line, " certificate", name) && named(line, "key", key)) {
			m = made_valid("P-256", dns);
			put(name, made_octets(m.cert_pem), 0644);
			put(key, made_octets(m.key_pem), 0600);
			made_free(&m);
		}
		if (named(line, "passwords", name))
			put(name, S("ann:{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"
				    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\n"), 0600);
		if (named(line, " ca", name) || named(line, "client-ca", name)) {
			m = made_valid("P-256", dns);
			put(name, made_octets(m.cert_pem), 0644);
			made_free(&m);
		}
	}
	fclose(f);
}

static void samples(void **state)
{
	const char *root = getenv("SRCDIR");
	char from[8192];
	struct dirent *d;
	unsigned loaded = 0;
	DIR *folder;

	(void)state;
	snprintf(from, sizeof(from), "%s/conf", root ? root : start);
	folder = opendir(from);
	assert_non_null(folder);
	while ((d = readdir(folder)) != NULL) {
		snprintf(from, sizeof(from), "%s/conf/%s", root ? root : start, d->d_name);
		if (d->d_name[0] != '.')
			copy(from, d->d_name);
	}
	rewinddir(folder);
	while ((d = readdir(folder)) != NULL) {
		struct conf_errors e;
		struct conf *c;

		if (!slice_ends(slice_str(d->d_name), S(".conf")))
			continue;
		make_files(d->d_name);
		conf_errors_init(&e);
		c = conf_load(d->d_name, &e);
		WANT_SLICE(buf_get(&e.text), S(""));
		assert_non_null(c);
		WANT_SLICE(c->warnings, S(""));
		conf_free(&c);
		conf_errors_release(&e);
		loaded++;
	}
	closedir(folder);
	assert_true(loaded >= 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(samples),
	};

	return cmocka_set_message_output(CM_OUTPUT_TAP), cmocka_run_group_tests(tests, setup, teardown);
}
