/* explain: the chain for people, as a tree or as a page. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "ctl/story.h"

struct explain {
	struct judge_options judge;
	const char *html; /* where the page goes, "-": standard output; NULL: none */
};

/* Under whatever names: the page would be written over the message. */
static bool same_file(const char *a, const char *b)
{
	struct stat one, other;

	return stat(a, &one) == 0 && stat(b, &other) == 0 && S_ISREG(one.st_mode) && one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

static int options_read(struct explain *o, struct arena *a, int argc, char **argv)
{
	enum { HTML = 1 };
	static const struct option options[] = {
		JUDGE_OPTIONS,
		{ "html", required_argument, NULL, HTML },
		{ NULL, 0, NULL, 0 },
	};
	int option, code = CTL_DONE;

	if (!judge_options_init(a, &o->judge, argc))
		return CTL_TEMPORARY;
	while (code == CTL_DONE && (option = ctl_option(argc, argv, options)) >= 0) {
		if (option == HTML)
			o->html = optarg;
		else
			code = judge_option(&o->judge, option, optarg);
	}
	if (code == CTL_DONE && argc - optind != 1)
		return ctl_usage(argc == optind ? "a FILE, or - for standard input, is missing" : "one FILE at a time");
	if (code == CTL_DONE && o->html && strcmp(o->html, "-") != 0 && same_file(o->html, argv[optind]))
		return ctl_usage("--html %s: that is the message itself", o->html);
	if (code == CTL_DONE && o->html && o->judge.json && strcmp(o->html, "-") == 0)
		return ctl_usage("--json and --html - both want standard output");
	return code;
}

static int page_write(const char *path, struct slice page)
{
	bool standard = strcmp(path, "-") == 0;
	FILE *to = standard ? stdout : fopen(path, "we");
	bool good = to && fwrite(page.at, 1, page.n, to) == page.n;

	if (standard)
		return CTL_DONE; /* ctl_end() looks */
	if (to)
		good &= fclose(to) == 0;
	if (good)
		return CTL_DONE;
	ctl_complain("%s: %s", path, strerror(errno));
	return CTL_CANNOT_WRITE;
}

static int tell(const struct explain *o, struct story *s)
{
	struct buf page;
	int code = CTL_DONE;

	if (o->judge.json)
		ctl_print_json(json_pack("{s:o}", "dkim2", ctl_verdict_json(&s->message->arena, s->verdict)));
	else if (!o->html)
		story_tree(s);
	if (o->html) {
		buf_init(&page, CTL_INPUT_OCTETS);
		code = story_html(s, &page) ? page_write(o->html, buf_get(&page)) : CTL_TEMPORARY;
		buf_release(&page);
	}
	return code == CTL_DONE ? ctl_judge_code(s->verdict->state) : code;
}

static int explain(const struct explain *o, struct ctl_message *m, const char *file)
{
	struct story s = { .file = file, .message = m, .clock = o->judge.clock };
	struct ctl_dns *dns;
	int code = judge_envelope(&m->arena, &o->judge, &s.envelope);

	if (code == CTL_DONE)
		code = ctl_message_read(m, file);
	if (code != CTL_DONE)
		return code;
	dns = ctl_dns_new(o->judge.dns, &code);
	if (!dns)
		return code;
	s.verdict = ctl_judge_chain(m, dns, s.envelope, o->judge.clock, o->judge.draft);
	ctl_dns_free(&dns);
	if (!s.verdict)
		return CTL_TEMPORARY;
	code = story_begin(&s, o->judge.draft) ? tell(o, &s) : CTL_TEMPORARY;
	story_end(&s);
	return code;
}

int ctl_explain(int argc, char **argv)
{
	struct explain o = { .html = NULL };
	struct ctl_message m;
	int code;

	ctl_message_init(&m);
	code = options_read(&o, &m.arena, argc, argv);
	if (code == CTL_DONE)
		code = explain(&o, &m, argv[optind]);
	ctl_message_release(&m);
	return ctl_end(code);
}
