/* hopsealctl check, hopsealctl show config */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "config/answers.h"
#include "config/conf.h"
#include "ctl/ctl.h"
#include "ctl/private_key.h"
#include "daemon/lookup.h"

enum { ARENA_OCTETS = 1 << 26, SHOWN_OCTETS = 1 << 28 };

struct config_options {
	const char *file;
	bool dns, json, changed;
};

static int options_read(struct config_options *o, int argc, char **argv, const struct option *options)
{
	int option;

	while ((option = ctl_option(argc, argv, options)) >= 0) {
		switch (option) {
		case 'c':
			o->file = optarg;
			break;
		case 'd':
			o->dns = true;
			break;
		case 'j':
			o->json = true;
			break;
		case 'C':
			o->changed = true;
			break;
		default:
			return CTL_USAGE;
		}
	}
	return CTL_DONE;
}

/* A file that is not there is no bad configuration. */
static int file_there(const char *file)
{
	struct stat st;

	if (stat(file, &st) == 0 || (errno != ENOENT && errno != ENOTDIR))
		return CTL_DONE;
	ctl_complain("%s: %s", file, strerror(errno));
	return CTL_NO_INPUT;
}

/* ---- keys against their records ---- */

/* All names at once. False: there is no way to ask, complained. */
static bool ask(const struct conf *c, struct arena *a, struct lookup_ask *asks, size_t n, struct answers *answers)
{
	struct lookup *lookup;
	char error[256];

	for (size_t i = 0; answers && i < n; i++)
		asks[i].status = answers_txt(answers, asks[i].name, &asks[i].records, &asks[i].count, &asks[i].secure);
	if (answers)
		return true;
	lookup = lookup_new(c->dns.resolver, c->dns.trust_anchor, c->dns.timeout_ms, error);
	if (!lookup) {
		ctl_complain("%s", error);
		return false;
	}
	if (lookup_warning(lookup))
		ctl_complain("%s", lookup_warning(lookup));
	lookup_many(lookup, a, asks, n);
	lookup_free(&lookup);
	return true;
}

static bool same_key(struct arena *a, const struct key *x, const struct key *y)
{
	struct slice p, q;

	return key_type(x) == key_type(y) && key_public_octets(a, x, &p) && key_public_octets(a, y, &q) && slice_eq(p, q);
}

/* NULL: the record is as it should be. */
static const char *record_fault(struct arena *a, const struct keyrec *r, const struct key *key)
{
	switch (r->state) {
	case KEYREC_OK:
		return same_key(a, r->key, key) ? NULL : "holds another key";
	case KEYREC_UNREACHABLE:
		return "cannot be asked for";
	case KEYREC_ABSENT:
		return "is not there";
	case KEYREC_MULTIPLE:
		return "is there several times";
	case KEYREC_SYNTAX:
		return "has a syntax error";
	case KEYREC_TYPE:
		return "is of a key type not known here";
	case KEYREC_REVOKED:
		return "is revoked";
	}
	return NULL;
}

/* CTL_DONE, CTL_CONFIGURATION, or CTL_TEMPORARY when nothing worse was found than a record that could not be asked for. */
static int check_record(struct arena *a, const struct conf_key *k, const struct lookup_ask *got, struct conf_errors *errors)
{
	int code = CTL_DONE;
	struct key *key = ctl_private_key(k->file, &code);
	struct keyrec *r = key ? keyrec_new(got->status, got->records, got->count, got->secure) : NULL;
	const char *fault = r ? record_fault(a, r, key) : NULL;
	struct slice want = key ? keyrec_text(a, key) : SLICE_NONE;

	if (fault) {
		conf_mistake(errors, k->where, "record %.*s %s, expected TXT \"%.*s\"", SLICE_FMT(got->name), fault,
		    SLICE_FMT(want));
		code = r->state == KEYREC_UNREACHABLE ? CTL_TEMPORARY : CTL_CONFIGURATION;
	}
	keyrec_drop(&r);
	key_drop(&key);
	return code;
}

static struct answers *answers_read(const char *file)
{
	struct answers *answers = NULL;
	struct buf text, error;

	buf_init(&text, CTL_INPUT_OCTETS);
	buf_init(&error, 65536);
	if (ctl_read(file, &text) == CTL_DONE) {
		answers = answers_new(buf_get(&text), &error);
		if (!answers)
			ctl_complain("%s: %.*s", file, SLICE_FMT(slice_trim(buf_get(&error))));
	}
	buf_release(&text);
	buf_release(&error);
	return answers;
}

static int check_dns(const struct conf *c, struct conf_errors *errors)
{
	struct answers *answers = c->dns.answers ? answers_read(c->dns.answers) : NULL;
	struct lookup_ask *asks;
	struct arena a;
	int code = CTL_TEMPORARY, one;

	arena_init(&a, ARENA_OCTETS);
	asks = ARENA_ARRAY(&a, c->key_count, struct lookup_ask);
	for (size_t i = 0; asks && i < c->key_count; i++) {
		asks[i].qtype = dnsrec_qtype(DNSREC_KEY);
		asks[i].name = arena_printf(&a, "%s._domainkey.%s", c->keys[i].selector, c->keys[i].domain);
	}
	if (asks && (answers || !c->dns.answers) && ask(c, &a, asks, c->key_count, answers)) {
		code = CTL_DONE;
		for (size_t i = 0; i < c->key_count; i++) {
			one = check_record(&a, &c->keys[i], &asks[i], errors);
			if (code == CTL_DONE || one == CTL_CONFIGURATION)
				code = one == CTL_DONE ? code : one;
		}
	}
	answers_free(&answers);
	arena_clear(&a);
	return code;
}

/* ---- what is said ---- */

/* {"file": ..., "errors": [{"where": "file:line", "text": ...}], "warnings": [the same with "event"]} */
static void print_json(const char *file, struct slice errors, struct slice warnings)
{
	json_t *object = json_object(), *list = json_array(), *warned = json_array();
	struct slice line, event, where, text;
	struct arena a;

	arena_init(&a, ARENA_OCTETS);
	json_object_set_new(object, "file", ctl_json(&a, slice_str(file)));
	while (errors.n) {
		json_t *one = json_object();
		size_t colon = 0;

		slice_cut(&errors, '\n', &line);
		while (colon < line.n && !slice_starts(slice_sub(line, colon, SIZE_MAX), S(": ")))
			colon++;
		json_object_set_new(one, "where", ctl_json(&a, slice_sub(line, 0, colon)));
		json_object_set_new(one, "text", ctl_json(&a, slice_sub(line, colon + 2, SIZE_MAX)));
		json_array_append_new(list, one);
	}
	while (conf_warning_next(&warnings, &event, &where, &text)) {
		json_t *one = json_object();

		json_object_set_new(one, "event", ctl_json(&a, event));
		json_object_set_new(one, "where", ctl_json(&a, where));
		json_object_set_new(one, "text", ctl_json(&a, text));
		json_array_append_new(warned, one);
	}
	json_object_set_new(object, "errors", list);
	json_object_set_new(object, "warnings", warned);
	ctl_print_json(object);
	arena_clear(&a);
}

static void print_warnings(struct slice warnings)
{
	struct slice event, where, text;

	while (conf_warning_next(&warnings, &event, &where, &text))
		fprintf(stderr, "%.*s: warning: %.*s\n", SLICE_FMT(where), SLICE_FMT(text));
}

int ctl_check(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "dns", no_argument, NULL, 'd' },
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	struct config_options o = { .file = CONF_PATH };
	int code = options_read(&o, argc, argv, options);
	struct conf_errors errors;
	struct conf *c;

	if (code == CTL_DONE && optind < argc)
		code = ctl_usage("unexpected argument: %s", argv[optind]);
	if (code == CTL_DONE)
		code = file_there(o.file);
	if (code != CTL_DONE)
		return code;
	conf_errors_init(&errors);
	c = conf_load_start(o.file, &errors);
	code = c ? CTL_DONE : CTL_CONFIGURATION;
	if (c && o.dns)
		code = check_dns(c, &errors);
	if (o.json) {
		print_json(o.file, buf_get(&errors.text), buf_get(&errors.warnings));
	} else {
		print_warnings(buf_get(&errors.warnings));
		fwrite(errors.text.at, 1, errors.text.n, stderr);
		if (code == CTL_DONE)
			printf("%s: no mistakes, %zu listener%s, %zu key%s\n", o.file, c->listener_count,
			    c->listener_count == 1 ? "" : "s", c->key_count, c->key_count == 1 ? "" : "s");
	}
	conf_free(&c);
	conf_errors_release(&errors);
	return ctl_end(code);
}

int ctl_show(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "changed", no_argument, NULL, 'C' },
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	struct config_options o = { .file = CONF_PATH };
	struct conf_errors errors;
	struct conf *c;
	struct buf out;
	int code;

	if (argc < 2 || strcmp(argv[1], "config") != 0)
		return ctl_usage("what to show is not said, expected config");
	code = options_read(&o, argc - 1, argv + 1, options);
	if (code == CTL_DONE && optind < argc - 1)
		code = ctl_usage("unexpected argument: %s", argv[1 + optind]);
	if (code == CTL_DONE)
		code = file_there(o.file);
	if (code != CTL_DONE)
		return code;
	conf_errors_init(&errors);
	buf_init(&out, SHOWN_OCTETS);
	c = conf_load(o.file, &errors);
	if (!c) {
		fwrite(errors.text.at, 1, errors.text.n, stderr);
		code = CTL_CONFIGURATION;
	} else if (conf_show(c, o.changed, o.json, &out)) {
		fwrite(out.at, 1, out.n, stdout);
	} else {
		ctl_complain("out of memory");
		code = CTL_TEMPORARY;
	}
	buf_release(&out);
	conf_free(&c);
	conf_errors_release(&errors);
	return ctl_end(code);
}
