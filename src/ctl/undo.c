/* undo: the message as it was before hops changed it. */
#include <stdio.h>

#include "auth/dkim2/past.h"
#include "base/limits.h"
#include "ctl/judge.h"

struct undo_options {
	uint64_t to; /* 0: one back */
	unsigned draft;
};

static int options_read(struct undo_options *o, int argc, char **argv)
{
	enum { TO = 1, DRAFT };
	static const struct option options[] = {
		{ "to", required_argument, NULL, TO },
		{ "draft", required_argument, NULL, DRAFT },
		{ NULL, 0, NULL, 0 },
	};
	int option, code = CTL_DONE;

	while (code == CTL_DONE && (option = ctl_option(argc, argv, options)) >= 0) {
		if (option == TO) {
			if (!slice_u64(slice_str(optarg), 9999, &o->to) || o->to == 0)
				code = ctl_usage("--to %s: the number of an instance was expected", optarg);
		} else {
			code = option == DRAFT ? judge_draft(optarg, &o->draft) : CTL_USAGE;
		}
	}
	if (code == CTL_DONE && argc - optind != 1)
		return ctl_usage(argc == optind ? "a FILE, or - for standard input, is missing" : "one FILE at a time");
	return code;
}

static void put(struct slice s)
{
	if (s.n)
		fwrite(s.at, 1, s.n, stdout);
}

static int undo(const struct undo_options *o, struct ctl_message *m, const char *file)
{
	struct past_message was;
	struct slice reason;
	int code = ctl_message_read(m, file);

	if (code == CTL_DONE && (m->lf_only || m->header.malformed))
		return CTL_BAD; /* it was said why */
	if (code != CTL_DONE)
		return code;
	switch (past_message(&m->arena, o->draft, &m->header, m->body, o->to, LIMIT_UNDO, &was, &reason)) {
	case PAST_DONE:
		break;
	case PAST_BAD:
		ctl_complain("%s: %.*s", file, SLICE_FMT(ctl_plain(&m->arena, reason, false)));
		return CTL_BAD;
	case PAST_MEMORY:
		ctl_complain("%s: no memory", file);
		return CTL_TEMPORARY;
	}
	if (was.header == &m->header) {
		put(buf_get(&m->octets));
		return CTL_DONE;
	}
	for (size_t i = 0; i < was.header->n; i++)
		put(was.header->fields[i].raw);
	put(S("\r\n"));
	for (size_t i = 0; i < was.runs; i++)
		put(was.body[i]);
	return CTL_DONE;
}

int ctl_undo(int argc, char **argv)
{
	struct undo_options o = { .draft = 9 };
	struct ctl_message m;
	int code;

	ctl_message_init(&m);
	code = options_read(&o, argc, argv);
	if (code == CTL_DONE)
		code = undo(&o, &m, argv[optind]);
	ctl_message_release(&m);
	return ctl_end(code);
}
