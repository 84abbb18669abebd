#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/keyrec.h"
#include "ctl/ctl.h"
#include "ctl/private_key.h"
#include "mail/domain.h"

enum {
	RSA_BITS = 2048,
	RSA_BITS_MAX = 8192,
	STRING_OCTETS = 255, /* of a TXT record; RFC 1035 3.3 */
	ARENA_OCTETS = 1 << 20,
};

struct keygen {
	struct slice domain, selector; /* normal */
	const char *domain_said, *selector_said, *out, *key;
	enum key_type type;
	unsigned bits;
	bool json;
};

/* One line of a zone file; the text holds neither quotes nor backslashes. */
static void record_line(struct buf *b, struct slice name, struct slice text)
{
	struct slice one;
	bool split = text.n > STRING_OCTETS;

	buf_printf(b, "%.*s. IN TXT %s", SLICE_FMT(name), split ? "( " : "");
	while (text.n) {
		slice_take(&text, text.n < STRING_OCTETS ? text.n : STRING_OCTETS, &one);
		buf_printf(b, "\"%.*s\"%s", SLICE_FMT(one), text.n ? " " : "");
	}
	buf_str(b, split ? " )\n" : "\n");
}

static json_t *record_strings(struct arena *a, struct slice text)
{
	json_t *strings = json_array();
	struct slice one;

	while (text.n) {
		slice_take(&text, text.n < STRING_OCTETS ? text.n : STRING_OCTETS, &one);
		json_array_append_new(strings, ctl_json(a, one));
	}
	return strings;
}

/* Prints the record; file: the key's, for JSON, or NULL. The line is also given to the caller. */
static bool record_print(struct arena *a, const struct keygen *o, const struct key *key, const char *file, struct buf *line_out)
{
	struct slice text = keyrec_text(a, key), name;

	name = arena_printf(a, "%.*s._domainkey.%.*s", SLICE_FMT(o->selector), SLICE_FMT(o->domain));
	record_line(line_out, name, text);
	if (arena_failed(a) || buf_failed(line_out)) {
		ctl_complain("no memory");
		return false;
	}
	if (o->json) {
		json_t *all = json_pack("{s:o, s:s, s:o, s:s, s:i}", "name", ctl_json(a, name), "type", "TXT", "strings",
		    record_strings(a, text), "key_type", key_type(key) == KEY_RSA ? "rsa" : "ed25519", "bits", (int)key_bits(key));

		if (file)
			json_object_set_new(all, "file", json_string(file));
		ctl_print_json(all);
	} else {
		fwrite(line_out->at, 1, line_out->n, stdout);
	}
	return true;
}

static bool write_new(const char *path, struct slice octets, int flags, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | flags, mode);
	bool ok = fd >= 0;

	while (ok && octets.n) {
		ssize_t n = write(fd, octets.at, octets.n);
		struct slice done;

		ok = n > 0 || (n < 0 && errno == EINTR);
		if (n > 0)
			slice_take(&octets, (size_t)n, &done);
	}
	ok = ok && fsync(fd) == 0;
	if (fd >= 0 && close(fd) < 0)
		ok = false;
	if (!ok)
		ctl_complain("%s: %s", path, errno == EEXIST ? "exists already; a selector is never used for a second key" : strerror(errno));
	if (!ok && fd >= 0)
		unlink(path);
	return ok;
}

static int key_write(const struct keygen *o, struct arena *a, const struct key *key)
{
	const char *file = arena_string(a, arena_printf(a, "%s/%.*s.%.*s.pem", o->out, SLICE_FMT(o->domain), SLICE_FMT(o->selector)));
	const char *zone = arena_string(a, arena_printf(a, "%s/%.*s.%.*s.dns", o->out, SLICE_FMT(o->domain), SLICE_FMT(o->selector)));
	struct buf pem, line;
	int code = CTL_CANNOT_WRITE;

	if (!file || !zone)
		return CTL_TEMPORARY;
	if (mkdir(o->out, 0700) < 0 && errno != EEXIST) {
		ctl_complain("%s: %s", o->out, strerror(errno));
		return CTL_CANNOT_WRITE;
	}
	buf_init(&pem, 65536);
	buf_init(&line, 65536);
	if (key_pem(key, &pem) && write_new(file, buf_get(&pem), O_EXCL, 0600)) {
		code = record_print(a, o, key, file, &line) ? CTL_DONE : CTL_TEMPORARY;
		if (code == CTL_DONE && !write_new(zone, buf_get(&line), O_TRUNC, 0644))
			code = CTL_CANNOT_WRITE;
	}
	if (pem.n)
		explicit_bzero(pem.at, pem.n);
	buf_release(&pem);
	buf_release(&line);
	return code;
}

static int name_check(struct arena *a, struct keygen *o)
{
	if (!o->domain_said || !o->selector_said)
		return ctl_usage("--domain and --selector are both needed");
	if (!domain_normal(a, slice_str(o->domain_said), &o->domain) || !domain_valid(o->domain))
		return ctl_usage("--domain %s: not a domain", o->domain_said);
	if (!domain_normal(a, slice_str(o->selector_said), &o->selector) || !domain_valid(o->selector))
		return ctl_usage("--selector %s: letters, digits and '-' in labels were expected", o->selector_said);
	return CTL_DONE;
}

static int bits_read(const char *text, unsigned *bits_out)
{
	uint64_t bits;

	if (!slice_u64(slice_str(text), RSA_BITS_MAX, &bits) || bits < RSA_BITS || bits % 8)
		return ctl_usage("--bits %s: %d to %d in steps of 8 was expected", text, RSA_BITS, RSA_BITS_MAX);
	*bits_out = (unsigned)bits;
	return CTL_DONE;
}

enum { DOMAIN = 1, SELECTOR, TYPE, BITS, OUT, KEY, JSON };

static int options_read(struct keygen *o, struct arena *a, const struct option *options, int argc, char **argv)
{
	int option, code = CTL_DONE;

	while (code == CTL_DONE && (option = ctl_option(argc, argv, options)) >= 0) {
		switch (option) {
		case DOMAIN:
			o->domain_said = optarg;
			break;
		case SELECTOR:
			o->selector_said = optarg;
			break;
		case TYPE:
			if (strcmp(optarg, "rsa") == 0)
				o->type = KEY_RSA;
			else if (strcmp(optarg, "ed25519") == 0)
				o->type = KEY_ED25519;
			else
				code = ctl_usage("--type %s: ed25519 or rsa was expected", optarg);
			break;
		case BITS:
			code = bits_read(optarg, &o->bits);
			break;
		case OUT:
			o->out = optarg;
			break;
		case KEY:
			o->key = optarg;
			break;
		case JSON:
			o->json = true;
			break;
		default:
			return CTL_USAGE;
		}
	}
	if (code == CTL_DONE && optind < argc)
		return ctl_usage("unexpected argument: %s", argv[optind]);
	return code == CTL_DONE ? name_check(a, o) : code;
}

static int keygen(struct keygen *o, struct arena *a, int argc, char **argv)
{
	static const struct option options[] = {
		{ "domain", required_argument, NULL, DOMAIN },
		{ "selector", required_argument, NULL, SELECTOR },
		{ "type", required_argument, NULL, TYPE },
		{ "bits", required_argument, NULL, BITS },
		{ "out", required_argument, NULL, OUT },
		{ "json", no_argument, NULL, JSON },
		{ NULL, 0, NULL, 0 },
	};
	struct key *key;
	int code = options_read(o, a, options, argc, argv);

	if (code != CTL_DONE)
		return code;
	if (!o->out)
		return ctl_usage("--out is missing: the folder for the key");
	if (o->bits && o->type != KEY_RSA)
		return ctl_usage("--bits goes with --type rsa");
	key = key_generate(o->type, o->bits ? o->bits : RSA_BITS);
	if (!key) {
		ctl_complain("libcrypto made no key");
		return CTL_TEMPORARY;
	}
	code = key_write(o, a, key);
	key_drop(&key);
	return code;
}

static int dns_record(struct keygen *o, struct arena *a, int argc, char **argv)
{
	static const struct option options[] = {
		{ "key", required_argument, NULL, KEY },
		{ "domain", required_argument, NULL, DOMAIN },
		{ "selector", required_argument, NULL, SELECTOR },
		{ "json", no_argument, NULL, JSON },
		{ NULL, 0, NULL, 0 },
	};
	struct key *key;
	struct buf line;
	int code = options_read(o, a, options, argc, argv);

	if (code != CTL_DONE)
		return code;
	if (!o->key)
		return ctl_usage("--key is missing: the file with the private key");
	key = ctl_private_key(o->key, &code);
	if (!key)
		return code;
	buf_init(&line, 65536);
	code = record_print(a, o, key, NULL, &line) ? CTL_DONE : CTL_TEMPORARY;
	buf_release(&line);
	key_drop(&key);
	return code;
}

int ctl_keygen(int argc, char **argv)
{
	struct keygen o = { .type = KEY_ED25519 };
	struct arena a;
	int code;

	arena_init(&a, ARENA_OCTETS);
	code = keygen(&o, &a, argc, argv);
	arena_clear(&a);
	return ctl_end(code);
}

int ctl_dns_record(int argc, char **argv)
{
	struct keygen o = { .type = KEY_NONE };
	struct arena a;
	int code;

	arena_init(&a, ARENA_OCTETS);
	code = dns_record(&o, &a, argc, argv);
	arena_clear(&a);
	return ctl_end(code);
}
