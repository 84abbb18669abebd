/*
 * queue.c - the messages a running daemon is to deliver: told of page by page, and let go, held or taken away (proto/control.md).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/b64.h"
#include "base/limits.h"
#include "config/conf.h"
#include "ctl/control.h"

enum {
	SCRATCH_OCTETS = 16 << 20, /* of what one page is printed from */
	HEADER_OCTETS = 64 << 20,
};

struct order {
	struct control control;
	const char *destination;
	unsigned limit; /* 0: all */
	bool content, yes;
	char **ids;
	int id_count;
};

/* --- questions --- */

/* The answer; NULL: complained, and *code_out is the exit code. */
static json_t *ask(const struct order *o, json_t *take_request, int *code_out)
{
	char *text = take_request ? json_dumps(take_request, JSON_COMPACT) : NULL, *line = NULL;
	json_t *answer = NULL;
	const char *error;

	json_decref(take_request);
	if (text && asprintf(&line, "queue %s\n", text) >= 0) {
		answer = control_ask(&o->control, line, code_out);
		free(line);
	} else {
		ctl_complain("no memory");
		*code_out = CTL_TEMPORARY;
	}
	free(text);
	error = json_string_value(json_object_get(answer, "error"));
	if (!error)
		return answer;
	ctl_complain("%s", error);
	*code_out = json_object_get(answer, "missing") ? CTL_NO_INPUT : CTL_TEMPORARY;
	json_decref(answer);
	return NULL;
}

/* Begins where the page before ended, if there was one. */
static json_t *page_after(json_t *request, const char *after, unsigned limit)
{
	if (request && after)
		json_object_set_new(request, "after", json_string(after));
	if (request && limit)
		json_object_set_new(request, "limit", json_integer(limit));
	return request;
}

/* Where the next page begins, of an answer that is not needed any more. Freed: the one before. */
static char *page_next(char *take_before, json_t *take_answer)
{
	const char *next = json_string_value(json_object_get(take_answer, "next"));
	char *after = next ? strdup(next) : NULL;

	free(take_before);
	json_decref(take_answer);
	return after;
}

/* --- what is printed --- */

static const char *plain(struct arena *a, const json_t *object, const char *key)
{
	const char *text = arena_string(a, ctl_plain(a, slice_str(control_text(object, key)), true));

	return text ? text : "?";
}

/* "12 s", "3 min", "2 h 5 min", "3 d 4 h" */
static const char *span(char out[32], long long s)
{
	if (s < 60)
		snprintf(out, 32, "%lld s", s < 0 ? 0 : s);
	else if (s < 3600)
		snprintf(out, 32, "%lld min", s / 60);
	else if (s < 86400)
		snprintf(out, 32, "%lld h %lld min", s / 3600, s / 60 % 60);
	else
		snprintf(out, 32, "%lld d %lld h", s / 86400, s / 3600 % 24);
	return out;
}

static void print_rcpt(struct arena *a, const json_t *r, bool copy)
{
	const char *state = control_text(r, "state"), *text = plain(a, r, "text");
	long long attempts = control_number(r, "attempts"), code = control_number(r, "code");
	char next[32];

	printf("    %s", plain(a, r, "path"));
	if (copy)
		printf(" copy %lld", control_number(r, "copy"));
	printf(" %s", state);
	if (strcmp(state, "waiting") == 0)
		printf(", next in %s", span(next, control_number(r, "next_s")));
	if (attempts)
		printf(", %lld attempt%s", attempts, attempts == 1 ? "" : "s");
	if (code)
		printf(": %lld %s", code, text);
	else if (text[0] && strcmp(text, "?") != 0)
		printf(": %s", text);
	printf("\n");
}

static void print_message(const json_t *m)
{
	const json_t *r, *rcpts = json_object_get(m, "rcpts");
	long long more = control_number(m, "left") - (long long)json_array_size(rcpts);
	struct arena a;
	char age[32];
	size_t i;

	arena_init(&a, SCRATCH_OCTETS);
	printf("%s %s, %lld octets of %s, %s old, %s\n", plain(&a, m, "id"), control_text(m, "state"), control_number(m, "octets"),
	    plain(&a, m, "mail_from"), span(age, control_number(m, "age_s")), plain(&a, m, "listener"));
	json_array_foreach(rcpts, i, r)
		print_rcpt(&a, r, false);
	if (more > 0)
		printf("    and %lld more\n", more);
	arena_clear(&a);
}

/* --- list --- */

static int list(const struct order *o)
{
	unsigned long long shown = 0;
	int code = CTL_DONE;
	char *after = NULL;
	bool more;

	if (o->control.json)
		printf("{\"messages\": [");
	do {
		unsigned limit = o->limit && o->limit - shown < LIMIT_QUEUE_PAGE ? (unsigned)(o->limit - shown) : LIMIT_QUEUE_PAGE;
		json_t *answer = ask(o, page_after(json_pack("{s:s}", "do", "list"), after, limit), &code);
		const json_t *m;
		size_t i;

		json_array_foreach(json_object_get(answer, "messages"), i, m) {
			if (o->control.json) {
				printf(shown ? ",\n" : "\n");
				json_dumpf(m, stdout, JSON_COMPACT);
			} else {
				print_message(m);
			}
			shown++;
		}
		after = page_next(after, answer);
		more = after != NULL;
	} while (more && (o->limit == 0 || shown < o->limit) && !ferror(stdout));
	free(after);
	/* What began as JSON ends as JSON, also when the daemon went meanwhile: the exit code tells. */
	if (o->control.json)
		printf("\n], \"more\": %s}\n", more || code != CTL_DONE ? "true" : "false");
	else if (code == CTL_DONE)
		printf("%llu message%s%s\n", shown, shown == 1 ? "" : "s", more ? ", and there are more" : "");
	return code;
}

/* --- show --- */

/* The octets from 0 to `total_out`, or only those of the header, into a buf or on stdout. */
static int content(const struct order *o, bool header, struct buf *into)
{
	json_int_t at = 0;
	int code = CTL_DONE;
	bool more = true;

	while (more) {
		json_t *answer = ask(o, json_pack("{s:s, s:s, s:I}", "do", "content", "id", o->ids[0], "at", at), &code);
		const json_t *next = json_object_get(answer, "next");
		json_int_t end = json_integer_value(json_object_get(answer, "header_octets"));
		struct slice octets = SLICE_NONE;
		struct arena a;

		if (!answer)
			return code;
		arena_init(&a, SCRATCH_OCTETS);
		if (!b64_decode(&a, slice_str(control_text(answer, "octets")), false, &octets) ||
		    json_integer_value(json_object_get(answer, "at")) != at || (next && json_integer_value(next) != at + (json_int_t)octets.n) ||
		    (next && octets.n == 0)) {
			ctl_complain("the daemon gave no answer that can be read");
			code = CTL_TEMPORARY;
		}
		if (header && (json_int_t)octets.n > end - at)
			octets = slice_of(octets.at, at < end ? (size_t)(end - at) : 0);
		at += (json_int_t)octets.n;
		more = next && code == CTL_DONE && (!header || at < end) && !ferror(stdout);
		if (code == CTL_DONE && into)
			buf_slice(into, octets);
		else if (code == CTL_DONE && octets.n)
			fwrite(octets.at, 1, octets.n, stdout);
		arena_clear(&a);
		json_decref(answer);
	}
	return code;
}

/* The message with all of its recipients. */
static json_t *message_get(const struct order *o, int *code_out)
{
	json_t *message = NULL;
	char *after = NULL;

	do {
		json_t *answer = ask(o, page_after(json_pack("{s:s, s:s}", "do", "show", "id", o->ids[0]), after, 0), code_out);
		json_t *part = json_object_get(answer, "message");

		if (!answer) {
			json_decref(message);
			message = NULL;
		} else if (!message) {
			message = json_incref(part);
		} else {
			json_array_extend(json_object_get(message, "rcpts"), json_object_get(part, "rcpts"));
		}
		after = page_next(after, answer);
	} while (after && message);
	free(after);
	return message;
}

/* As it would be said with MAIL. */
static void print_params(struct arena *a, const json_t *m)
{
	static const struct {
		const char *key, *said;
	} flags[] = { { "body_8bit", " BODY=8BITMIME" }, { "smtputf8", " SMTPUTF8" }, { "requiretls", " REQUIRETLS" } };

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (json_is_true(json_object_get(m, flags[i].key)))
			printf("%s", flags[i].said);
	if (control_text(m, "ret")[0])
		printf(" RET=%s", plain(a, m, "ret"));
	if (control_text(m, "envid")[0])
		printf(" ENVID=%s", plain(a, m, "envid"));
	printf("\n");
}

static void print_envelope(struct arena *a, const json_t *m)
{
	time_t arrived = (time_t)control_number(m, "arrived_s");
	char when[32] = "?", age[32];
	const json_t *r;
	struct tm tm;
	size_t i;

	if (gmtime_r(&arrived, &tm))
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	printf("%s %s\n", plain(a, m, "id"), control_text(m, "state"));
	printf("arrived %s, %s ago, at %s from %s%s\n", when, span(age, control_number(m, "age_s")), plain(a, m, "listener"),
	    json_is_true(json_object_get(m, "report")) ? "ourselves, a report" : control_text(m, "client")[0] ? plain(a, m, "client") : "ourselves",
	    json_is_true(json_object_get(m, "known_client")) ? ", who may send to anyone" : "");
	printf("octets %lld, %lld of them header; file %s\n", control_number(m, "octets"), control_number(m, "header_octets"),
	    plain(a, m, "file"));
	printf("from %s", plain(a, m, "mail_from"));
	print_params(a, m);
	printf("a failure is reported to %s\n", control_text(m, "report_to")[0] ? plain(a, m, "report_to") : "nobody");
	json_array_foreach(json_object_get(m, "rcpts"), i, r)
		print_rcpt(a, r, true);
}

static void print_header(struct arena *a, struct slice header)
{
	struct slice left = header;

	printf("\n");
	while (left.n) {
		const unsigned char *end = memchr(left.at, '\n', left.n);
		size_t n = end ? (size_t)(end - left.at) + 1 : left.n, text = n;
		struct slice shown;

		while (text && (left.at[text - 1] == '\r' || left.at[text - 1] == '\n'))
			text--;
		shown = ctl_plain(a, slice_of(left.at, text), true);

		if (shown.n)
			fwrite(shown.at, 1, shown.n, stdout);
		printf("\n");
		left = slice_of(left.at + n, left.n - n);
	}
}

static int show(const struct order *o)
{
	int code = CTL_DONE;
	struct arena a;
	struct buf header;
	json_t *message;

	if (o->content)
		return content(o, false, NULL);
	message = message_get(o, &code);
	if (!message)
		return code;
	arena_init(&a, HEADER_OCTETS);
	buf_init(&header, HEADER_OCTETS);
	code = content(o, true, &header);
	if (o->control.json) {
		json_object_set_new(message, "header", ctl_json(&a, buf_get(&header)));
		ctl_print_json(json_incref(message));
	} else {
		print_envelope(&a, message);
		print_header(&a, buf_get(&header));
	}
	buf_release(&header);
	arena_clear(&a);
	json_decref(message);
	return code;
}

/* --- flush, hold, release, remove --- */

struct done {
	long long count;
	json_t *missing; /* names */
};

/* Sums up; where the next page begins, NULL: nowhere. */
static char *done_add(struct done *d, char *take_after, json_t *take_answer)
{
	json_array_extend(d->missing, json_object_get(take_answer, "missing"));
	d->count += control_number(take_answer, "done");
	return page_next(take_after, take_answer);
}

static json_t *request_ids(const char *verb, char **ids, int count)
{
	json_t *list = json_array();

	for (int i = 0; i < count; i++)
		json_array_append_new(list, json_string(ids[i]));
	return json_pack("{s:s, s:o}", "do", verb, "ids", list);
}

static int change(const struct order *o, const char *verb, struct done *d)
{
	int code = CTL_DONE;
	char *after = NULL;

	for (int at = 0; at < o->id_count && code == CTL_DONE; at += LIMIT_QUEUE_PAGE) {
		int count = o->id_count - at < LIMIT_QUEUE_PAGE ? o->id_count - at : LIMIT_QUEUE_PAGE;

		after = NULL;
		do
			after = done_add(d, after, ask(o, page_after(request_ids(verb, o->ids + at, count), after, 0), &code));
		while (after);
	}
	if (o->id_count)
		return code;
	do {
		json_t *request = o->destination ? json_pack("{s:s, s:s}", "do", verb, "destination", o->destination)
						 : json_pack("{s:s, s:b}", "do", verb, "all", 1);

		after = done_add(d, after, ask(o, page_after(request, after, 0), &code));
	} while (after);
	return code;
}

static int change_told(const struct order *o, const char *verb, const char *one_done, const char *many_done)
{
	struct done d = { .missing = json_array() };
	int code = change(o, verb, &d);
	const json_t *one;
	size_t i;

	json_array_foreach(d.missing, i, one)
		ctl_complain("no such message: %s", json_is_string(one) ? json_string_value(one) : "?");
	if (code == CTL_DONE && json_array_size(d.missing))
		code = CTL_NO_INPUT;
	if (o->control.json)
		ctl_print_json(json_pack("{s:I, s:O}", "done", (json_int_t)d.count, "missing", d.missing));
	else
		printf("%lld %s\n", d.count, d.count == 1 ? one_done : many_done);
	json_decref(d.missing);
	return code;
}

/* --- the call --- */

static bool is_id(const char *text)
{
	size_t n = strlen(text);

	return n >= 1 && n <= 32 && strspn(text, "0123456789abcdefghijklmnopqrstuvwxyz") == n;
}

static int order_read(struct order *o, int argc, char **argv)
{
	enum { LIMIT = CONTROL_OWN, CONTENT, YES, DESTINATION };
	static const struct option options[] = {
		CONTROL_OPTIONS,
		{ "limit", required_argument, NULL, LIMIT },
		{ "content", no_argument, NULL, CONTENT },
		{ "yes", no_argument, NULL, YES },
		{ "destination", required_argument, NULL, DESTINATION },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t limit;
	int option;

	while ((option = ctl_option(argc, argv, options)) >= 0) {
		if (control_option(&o->control, option))
			continue;
		if (option == LIMIT && (!slice_u64(slice_str(optarg), 1000000000, &limit) || limit == 0))
			return ctl_usage("--limit %s, expected 1..1000000000", optarg);
		if (option == LIMIT)
			o->limit = (unsigned)limit;
		else if (option == CONTENT)
			o->content = true;
		else if (option == YES)
			o->yes = true;
		else if (option == DESTINATION)
			o->destination = optarg;
		else
			return CTL_USAGE;
	}
	return CTL_DONE;
}

enum { SAYS_ALL = 1, SAYS_ONE = 2, SAYS_IDS = 4, SAYS_NAME = 8, SAYS_NOTHING = 16 };

/* What stands behind the verb. */
static int order_which(struct order *o, const char *verb, unsigned may)
{
	if (o->destination && !(may & SAYS_NAME && o->id_count == 0))
		return ctl_usage("--destination goes with flush, and nothing else");
	if (o->destination)
		return CTL_DONE;
	if (o->id_count == 0)
		return may & (SAYS_NOTHING | SAYS_NAME) ? CTL_DONE : ctl_usage("%s needs the id of a message%s", verb, may & SAYS_ALL ? ", or all" : "");
	if (may == SAYS_NOTHING || (may & SAYS_ONE && o->id_count > 1))
		return ctl_usage("unexpected argument: %s", o->ids[may == SAYS_NOTHING ? 0 : 1]);
	if (may & SAYS_ALL && o->id_count == 1 && strcmp(o->ids[0], "all") == 0) {
		o->id_count = 0;
		return CTL_DONE;
	}
	if (may & SAYS_NAME && o->id_count == 1 && !is_id(o->ids[0])) {
		o->destination = o->ids[0];
		o->id_count = 0;
		return CTL_DONE;
	}
	for (int i = 0; i < o->id_count; i++)
		if (!is_id(o->ids[i]) || strcmp(o->ids[i], "all") == 0)
			return ctl_usage("%s is no id of a message", o->ids[i]);
	return CTL_DONE;
}

int ctl_queue(int argc, char **argv)
{
	static const struct row {
		const char *name;
		unsigned may;
		const char *one_done, *many_done; /* of what changes something */
	} rows[] = {
		{ "list", SAYS_NOTHING, NULL, NULL },
		{ "show", SAYS_ONE | SAYS_IDS, NULL, NULL },
		{ "flush", SAYS_ALL | SAYS_IDS | SAYS_NAME, "copy is due now", "copies are due now" },
		{ "hold", SAYS_ALL | SAYS_IDS, "message held", "messages held" },
		{ "release", SAYS_ALL | SAYS_IDS, "message released", "messages released" },
		{ "remove", SAYS_ALL | SAYS_IDS, "message removed", "messages removed" },
	};
	struct order o = { .control = { .file = CONF_PATH } };
	const struct row *row = NULL;
	int code = order_read(&o, argc, argv);

	if (code != CTL_DONE)
		return code;
	for (size_t i = 0; optind < argc && i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(argv[optind], rows[i].name) == 0)
			row = &rows[i];
	if (!row)
		return optind < argc ? ctl_usage("unknown: queue %s", argv[optind]) : ctl_usage("expected list, show, flush, hold, release or remove");
	o.ids = argv + optind + 1;
	o.id_count = argc - optind - 1;
	if (o.limit && strcmp(row->name, "list") != 0)
		return ctl_usage("--limit goes with list");
	if (o.content && (strcmp(row->name, "show") != 0 || o.control.json))
		return ctl_usage("--content goes with show, and not with --json");
	code = order_which(&o, row->name, row->may);
	if (code != CTL_DONE)
		return code;
	if (strcmp(row->name, "remove") == 0 && o.id_count == 0 && !o.yes)
		return ctl_usage("remove all takes every message away and tells nobody: say --yes as well");
	if (strcmp(row->name, "list") == 0)
		code = list(&o);
	else if (strcmp(row->name, "show") == 0)
		code = show(&o);
	else
		code = change_told(&o, row->name, row->one_done, row->many_done);
	return ctl_end(code);
}
