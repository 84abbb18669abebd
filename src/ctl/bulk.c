/* bulk: many messages, one at a time, and what they came to. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/folder.h"
#include "ctl/judge.h"
#include "ctl/mbox.h"
#include "ctl/progress.h"
#include "ctl/tally.h"

enum { MESSAGE_OCTETS = 1 << 28 };

struct bulk {
	struct judge_options judge;
	const char *authserv_id;
	bool delivered; /* the envelope is what the delivery wrote into the message */
	bool each;
	const struct dkim2_envelope *envelope;
	struct ctl_dns *dns;
	struct ctl_message message;
	struct tally *tally;
	struct progress progress;
	uint64_t octets; /* of the files that are done */
	int code;        /* the worst so far */
	bool printed;    /* a message, as JSON */
	bool stopped;    /* no way to ask for keys, or no memory */
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signo)
{
	interrupted = signo;
}

/* From good to bad. */
static void worse(struct bulk *b, int code)
{
	static const int order[] = { CTL_DONE, CTL_NONE, CTL_TEMPORARY, CTL_NO_INPUT, CTL_BAD };
	size_t was = 0, is = 0;

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		was = order[i] == b->code ? i : was;
		is = order[i] == code ? i : is;
	}
	if (b->code < 0 || is > was)
		b->code = code;
}

/* One message as a line of the list, or what kept it from being one. */
static void print_json(struct bulk *b, const char *file, uint64_t number, json_t *take_facts)
{
	json_t *o = json_pack("{s:o, s:o}", "file", ctl_json(&b->message.arena, slice_str(file)), "number",
	    number ? json_integer((json_int_t)number) : json_null());

	json_object_update(o, take_facts);
	json_decref(take_facts);
	fputs(b->printed ? ",\n" : "\n", stdout);
	json_dumpf(o, stdout, JSON_COMPACT);
	json_decref(o);
	b->printed = true;
}

/* "FILE", "FILE message 3" */
static struct slice where_is(struct arena *a, const char *file, uint64_t number)
{
	return number ? arena_printf(a, "%s message %llu", file, (unsigned long long)number) : arena_copy(a, slice_str(file));
}

static void cannot(struct bulk *b, const char *file, uint64_t number, int code, const char *why)
{
	struct arena *a = &b->message.arena;

	arena_clear(a); /* it may be full: that may be why */
	b->tally->unreadable++;
	worse(b, code);
	progress_hide(&b->progress);
	ctl_complain("%.*s: %s", SLICE_FMT(ctl_plain(a, where_is(a, file, number), true)), why);
	if (b->judge.json)
		print_json(b, file, number, json_pack("{s:s}", "error", why));
}

/* ---- the envelope of a delivered message ---- */

static struct slice path_in(struct arena *a, const struct header *h, struct slice name, bool null_allowed)
{
	size_t at = header_find(h, name, 0);
	struct slice text, path;

	if (at == h->n)
		return SLICE_NONE;
	text = slice_trim(h->fields[at].value);
	return ctl_path(a, arena_string(a, text), null_allowed, &path) ? path : SLICE_NONE;
}

/* What Return-Path and X-Original-To or Delivered-To say; NULL: they are not there. */
static const struct dkim2_envelope *envelope_of(struct ctl_message *m)
{
	struct dkim2_envelope *e = ARENA_NEW(&m->arena, struct dkim2_envelope);
	struct slice *rcpt = ARENA_NEW(&m->arena, struct slice);

	if (!e || !rcpt)
		return NULL;
	e->mail_from = path_in(&m->arena, &m->header, S("Return-Path"), true);
	*rcpt = path_in(&m->arena, &m->header, S("X-Original-To"), false);
	if (!rcpt->n)
		*rcpt = path_in(&m->arena, &m->header, S("Delivered-To"), false);
	e->rcpt_to = rcpt;
	e->rcpt_count = 1;
	return e->mail_from.n && rcpt->n ? e : NULL;
}

/* ---- messages ---- */

static void judge(struct bulk *b, const char *file, uint64_t number, bool lf)
{
	struct ctl_message *m = &b->message;
	struct fault f = { .code = FAULT_NONE };
	const struct dkim2_envelope *envelope;
	const struct findings *found;
	const struct dkim2_verdict *v;
	struct engines_terms terms;
	unsigned run = b->judge.only ? b->judge.only : ENGINES_ALL;
	struct slice where;

	if (m->octets.n == 0) {
		cannot(b, file, number, CTL_BAD, "empty, a message was expected");
		return;
	}
	if (!ctl_message_split(m, &f)) {
		cannot(b, file, number, CTL_BAD, f.text);
		return;
	}
	envelope = b->delivered ? envelope_of(m) : b->envelope;
	terms = judge_terms(&m->arena, &b->judge, envelope, run);
	if (envelope)
		terms.mail_from = judge_mailbox(&m->arena, envelope->mail_from);
	found = ctl_judge(m, b->dns, &terms);
	if (!found && arena_failed(&m->arena)) {
		cannot(b, file, number, CTL_TEMPORARY, "not judged");
		return;
	}
	if (!found) {
		b->stopped = true;
		worse(b, CTL_TEMPORARY);
		return;
	}
	v = found->dkim2;
	where = where_is(&m->arena, file, number);
	tally_add(b->tally, found, where);
	b->tally->lf += lf;
	worse(b, ctl_findings_code(found, b->judge.only));
	if (b->judge.json) {
		print_json(b, file, number, ctl_judged_json(&m->arena, found, run, b->authserv_id));
	} else if (b->each && !v) {
		progress_hide(&b->progress);
		printf("%.*s: %.*s\n", SLICE_FMT(ctl_plain(&m->arena, where, true)),
		    SLICE_FMT(ctl_plain(&m->arena, ctl_authres(&m->arena, found, b->authserv_id), false)));
	} else if (b->each) {
		progress_hide(&b->progress);
		printf("%-9s  %.*s", dkim2_state_name(v->state), SLICE_FMT(ctl_plain(&m->arena, where, true)));
		printf(v->reason.n ? ": %.*s\n" : "\n", SLICE_FMT(ctl_plain(&m->arena, v->reason, false)));
	}
}

static void judge_file(struct bulk *b, const char *file)
{
	bool standard = strcmp(file, "-") == 0;
	int fd = standard ? dup(STDIN_FILENO) : open(file, O_RDONLY | O_CLOEXEC);
	struct mbox *mbox = fd < 0 ? NULL : mbox_new(fd, &interrupted);
	enum mbox_result got;
	bool lf;

	if (fd < 0 || !mbox) {
		cannot(b, file, 0, CTL_NO_INPUT, strerror(errno));
		return;
	}
	while (!interrupted && !b->stopped) {
		ctl_message_clear(&b->message);
		got = mbox_next(mbox, &b->message.octets, &lf);
		if (got == MBOX_END || (got == MBOX_FAILED && interrupted))
			break;
		if (got == MBOX_MESSAGE)
			judge(b, file, mbox_number(mbox), lf);
		else if (got == MBOX_BIG)
			cannot(b, file, mbox_number(mbox), CTL_BAD, "bigger than 256 MiB");
		else
			cannot(b, file, mbox_number(mbox), CTL_NO_INPUT, strerror(errno));
		progress_draw(&b->progress, b->tally->messages, b->octets + mbox_octets(mbox));
		if (got == MBOX_FAILED)
			break;
	}
	b->octets += mbox_octets(mbox);
	mbox_free(&mbox);
}

/* For the progress only: what there is to do. */
static int measure(struct bulk *b, const char *path)
{
	enum folder_result got;
	const char *file, *why;
	struct folder *folder;
	uint64_t octets;
	int code;

	folder = folder_new(path, &code);
	while (folder && !interrupted && (got = folder_next(folder, &file, &octets, &why)) != FOLDER_END)
		b->progress.all += octets;
	folder_free(&folder);
	return code;
}

static int walk(struct bulk *b, const char *path)
{
	enum folder_result got;
	const char *file, *why;
	struct folder *folder;
	uint64_t octets;
	int code = b->progress.shown ? measure(b, path) : CTL_DONE;

	folder = code == CTL_DONE ? folder_new(path, &code) : NULL;
	if (!folder)
		return code;
	progress_draw(&b->progress, 0, 0);
	if (b->judge.json)
		fputs("{\"messages\": [", stdout);
	while (!interrupted && !b->stopped && (got = folder_next(folder, &file, &octets, &why)) != FOLDER_END) {
		if (got == FOLDER_FILE)
			judge_file(b, file);
		else if (got == FOLDER_PASSED)
			b->tally->passed_over++;
		else
			cannot(b, file, 0, CTL_NO_INPUT, why);
	}
	folder_free(&folder);
	progress_hide(&b->progress);
	return CTL_DONE;
}

/* ---- the summary ---- */

static void counted(uint64_t n, const char *one, const char *many)
{
	if (n)
		printf("%llu %s\n", (unsigned long long)n, n == 1 ? one : many);
}

static void print_summary(struct bulk *b)
{
	const struct tally *t = b->tally;
	int64_t ms = progress_elapsed_ms(&b->progress);

	if (interrupted)
		puts("interrupted, this is what was judged so far");
	printf("%llu message%s in %lld.%lld s, judged by draft %02u%s\n", (unsigned long long)t->messages, t->messages == 1 ? "" : "s",
	    (long long)(ms / 1000), (long long)(ms / 100 % 10), b->judge.draft,
	    b->delivered    ? " against the envelope of its delivery"
	    : b->envelope   ? " against the envelope that was given"
			    : " without envelope");
	counted(t->lf, "had LF line ends, taken as the CRLF of the wire", "had LF line ends, taken as the CRLF of the wire");
	counted(t->unreadable, "could not be judged, named on standard error", "could not be judged, named on standard error");
	counted(t->passed_over, "file or folder passed over, a Maildir's own", "files and folders passed over, a Maildir's own");
	tally_print(t);
}

static void print_summary_json(struct bulk *b)
{
	json_t *summary;
	struct arena a;

	arena_init(&a, JUDGE_ARENA);
	summary = tally_json(&a, b->tally);
	json_object_set_new(summary, "draft", json_sprintf("%02u", b->judge.draft));
	json_object_set_new(summary, "interrupted", json_boolean(interrupted));
	printf("%s],\n\"summary\": ", b->printed ? "\n" : "");
	json_dumpf(summary, stdout, JSON_INDENT(1));
	puts("}");
	json_decref(summary);
	arena_clear(&a);
}

static int bulk(struct bulk *b, const char *path)
{
	struct sigaction on = { .sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND };
	int code;

	b->dns = ctl_dns_new(b->judge.dns, &code);
	if (!b->dns)
		return code;
	b->tally = tally_new();
	if (!b->tally) {
		ctl_complain("no memory");
		ctl_dns_free(&b->dns);
		return CTL_TEMPORARY;
	}
	b->code = -1;
	/* The second one ends it at once. */
	sigaction(SIGINT, &on, NULL);
	progress_init(&b->progress);
	code = walk(b, path);
	if (code == CTL_DONE) {
		tally_sort(b->tally);
		if (b->judge.json)
			print_summary_json(b);
		else
			print_summary(b);
		code = b->code < 0 ? CTL_NONE : b->code;
	}
	tally_free(&b->tally);
	ctl_dns_free(&b->dns);
	return code;
}

static int options_read(struct bulk *b, struct arena *a, int argc, char **argv)
{
	enum { AUTHSERV_ID = 1, DELIVERED, EACH };
	static const struct option options[] = {
		JUDGE_ALL_OPTIONS,
		{ "authserv-id", required_argument, NULL, AUTHSERV_ID },
		{ "delivered", no_argument, NULL, DELIVERED },
		{ "each", no_argument, NULL, EACH },
		{ NULL, 0, NULL, 0 },
	};
	int option, code = CTL_DONE;

	if (!judge_options_init(a, &b->judge, argc))
		return CTL_TEMPORARY;
	while (code == CTL_DONE && (option = ctl_option(argc, argv, options)) >= 0) {
		switch (option) {
		case AUTHSERV_ID:
			b->authserv_id = optarg;
			break;
		case DELIVERED:
			b->delivered = true;
			break;
		case EACH:
			b->each = true;
			break;
		default:
			code = judge_option(&b->judge, option, optarg);
			break;
		}
	}
	if (code != CTL_DONE)
		return code;
	if (argc - optind != 1)
		return ctl_usage(argc == optind ? "a folder or an mbox is missing" : "one folder or mbox at a time");
	if (b->delivered && (b->judge.mail_from || b->judge.rcpt_count))
		return ctl_usage("--delivered takes the envelope from each message, --mail-from and --rcpt give one");
	return judge_envelope(a, &b->judge, &b->envelope);
}

int ctl_bulk(int argc, char **argv)
{
	struct bulk b = { .authserv_id = NULL };
	struct arena arena;
	int code;

	arena_init(&arena, JUDGE_ARENA);
	ctl_message_init(&b.message);
	buf_init(&b.message.octets, MESSAGE_OCTETS);
	code = options_read(&b, &arena, argc, argv);
	if (code == CTL_DONE)
		code = bulk(&b, argv[optind]);
	ctl_message_release(&b.message);
	arena_clear(&arena);
	code = ctl_end(code);
	/* So that whoever called sees that it was interrupted. */
	if (interrupted)
		raise(SIGINT);
	return code;
}
