#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "auth/taglist.h"
#include "ctl/judge.h"

/* How lines and states look: by the locale, and coloured on a terminal unless NO_COLOR is set (no-color.org). */
struct look {
	bool utf8;
	bool colour;
	const char *branch, *last, *along, *bare, *to;
};

static struct look look_now(void)
{
	static const struct look utf8 = { .utf8 = true, .branch = "├─ ", .last = "└─ ", .along = "│  ", .bare = "│", .to = "→" };
	static const struct look ascii = { .branch = "+- ", .last = "`- ", .along = "|  ", .bare = "|", .to = "->" };
	const char *no_colour = getenv("NO_COLOR");
	struct look l;

	setlocale(LC_CTYPE, "");
	l = strcmp(nl_langinfo(CODESET), "UTF-8") == 0 ? utf8 : ascii;
	l.colour = isatty(STDOUT_FILENO) && !(no_colour && *no_colour);
	return l;
}

static const char *colour_of(enum dkim2_state state)
{
	switch (state) {
	case DKIM2_PASS:
		return "\033[32m";
	case DKIM2_FAIL:
	case DKIM2_PERMERROR:
		return "\033[31m";
	case DKIM2_TEMPERROR:
		return "\033[33m";
	case DKIM2_NONE:
	case DKIM2_SKIPPED:
		break;
	}
	return "\033[2m";
}

static void print_state(const struct look *l, enum dkim2_state state)
{
	printf("%s%s%s", l->colour ? colour_of(state) : "", dkim2_state_name(state), l->colour ? "\033[0m" : "");
}

static void print_peer(const struct look *l, struct arena *a, struct slice s)
{
	printf("%.*s", SLICE_FMT(ctl_plain(a, s, l->utf8)));
}

static void print_time(uint64_t t)
{
	time_t seconds = (time_t)t;
	struct tm tm;
	char text[32];

	/* Above the year 9999 the number says more. */
	if (t > 253402300799U || !gmtime_r(&seconds, &tm)) {
		printf("t=%llu", (unsigned long long)t);
		return;
	}
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm);
	fputs(text, stdout);
}

/* "s1 rsa-sha256, s2 ed25519-sha256" of the s= of one DKIM2-Signature. */
static void print_sets(const struct look *l, struct arena *a, struct slice sets)
{
	const char *before = "signed with ";

	while (sets.n) {
		size_t end = 0;
		struct slice set, selector, algorithm;

		while (end < sets.n && sets.at[end] != ',' && sets.at[end] != '|')
			end++;
		slice_take(&sets, end, &set);
		if (sets.n)
			slice_take(&sets, 1, &selector);
		slice_cut(&set, ':', &selector);
		slice_cut(&set, ':', &algorithm);
		fputs(before, stdout);
		print_peer(l, a, slice_trim(selector));
		putchar(' ');
		print_peer(l, a, slice_trim(algorithm));
		before = ", ";
	}
}

/* s= of hop i as written in its field. */
static struct slice sets_of(struct arena *a, const struct header *h, uint64_t i)
{
	struct slice name = S("DKIM2-Signature");

	for (size_t at = header_find(h, name, 0); at < h->n; at = header_find(h, name, at + 1)) {
		const struct tag *number, *sets;
		struct taglist tags;
		uint64_t n;

		if (!taglist_parse(a, h->fields[at].value, TAGLIST_ANY_CASE, &tags))
			continue;
		number = taglist_find(&tags, TAGLIST_ANY_CASE, S("i"));
		sets = taglist_find(&tags, TAGLIST_ANY_CASE, S("s"));
		if (number && sets && slice_u64(number->value, UINT64_MAX, &n) && n == i)
			return sets->value;
	}
	return SLICE_NONE;
}

static void print_envelope(const struct look *l, struct arena *a, const struct dkim2_hop *h)
{
	enum { SHOWN = 5 };

	if (h->nd.n) {
		printf("next domain ");
		print_peer(l, a, h->nd);
		return;
	}
	print_peer(l, a, h->mf);
	printf(" %s", l->to);
	for (size_t i = 0; i < h->rt_count && i < SHOWN; i++) {
		putchar(' ');
		print_peer(l, a, h->rt[i]);
	}
	if (h->rt_count > SHOWN)
		printf(" and %zu more", h->rt_count - SHOWN);
}

static const struct dkim2_instance *instance_of(const struct dkim2_verdict *v, uint64_t m)
{
	for (size_t i = 0; i < v->instance_count; i++)
		if (v->instances[i].m == m)
			return &v->instances[i];
	return NULL;
}

static void print_instance(const struct look *l, struct arena *a, const struct dkim2_verdict *v, const struct dkim2_hop *h,
    const struct dkim2_hop *before)
{
	const struct dkim2_instance *one = instance_of(v, h->m);

	if (before && before->m == h->m) {
		printf("content as hop %llu left it", (unsigned long long)before->i);
		return;
	}
	printf("content m=%llu: %s, ", (unsigned long long)h->m,
	    h->m == 1 ? "the first form" : one && one->recipe ? "changed here, undone by a recipe" : "written anew");
	print_state(l, one ? one->state : DKIM2_SKIPPED);
	if (one && one->reason.n) {
		fputs(", ", stdout);
		print_peer(l, a, one->reason);
	}
}

static void print_hop(const struct look *l, struct ctl_message *m, const struct dkim2_verdict *v, size_t index)
{
	const struct dkim2_hop *h = &v->hops[index];

	printf("%shop %llu  ", l->branch, (unsigned long long)h->i);
	print_peer(l, &m->arena, h->d);
	fputs("  ", stdout);
	print_state(l, h->state);
	if (h->reason.n) {
		fputs(": ", stdout);
		print_peer(l, &m->arena, h->reason);
	}
	printf("\n%s   ", l->along);
	print_envelope(l, &m->arena, h);
	printf("\n%s   ", l->along);
	print_time(h->t);
	fputs(", ", stdout);
	print_sets(l, &m->arena, sets_of(&m->arena, &m->header, h->i));
	if (h->flags.n) {
		fputs(", ", stdout);
		print_peer(l, &m->arena, h->flags);
	}
	printf("\n%s   ", l->along);
	print_instance(l, &m->arena, v, h, index ? &v->hops[index - 1] : NULL);
	printf("\n%s\n", l->bare);
}

static void print_subject(const struct look *l, struct ctl_message *m, const char *file)
{
	size_t at = header_find(&m->header, S("Subject"), 0);

	fputs(strcmp(file, "-") == 0 ? "message" : file, stdout);
	if (at < m->header.n) {
		fputs(": ", stdout);
		print_peer(l, &m->arena, slice_sub(slice_trim(m->header.fields[at].value), 0, 70));
	}
	printf("\n%s\n", l->bare);
}

static void print_tree(struct ctl_message *m, const char *file, const struct dkim2_verdict *v)
{
	struct look l = look_now();

	print_subject(&l, m, file);
	for (size_t i = 0; i < v->hop_count; i++)
		print_hop(&l, m, v, i);
	fputs(l.last, stdout);
	print_state(&l, v->state);
	if (v->state == DKIM2_NONE)
		fputs(": no DKIM2-Signature", stdout);
	else if (v->reason.n)
		fputs(": ", stdout);
	print_peer(&l, &m->arena, v->reason);
	if (v->state == DKIM2_PASS)
		printf(": %s", ctl_level_text(v->level));
	putchar('\n');
}

static int options_read(struct judge_options *o, struct arena *a, int argc, char **argv)
{
	enum { HTML = 1 };
	static const struct option options[] = {
		JUDGE_OPTIONS,
		{ "html", required_argument, NULL, HTML },
		{ NULL, 0, NULL, 0 },
	};
	int option, code = CTL_DONE;

	if (!judge_options_init(a, o, argc))
		return CTL_TEMPORARY;
	while (code == CTL_DONE && (option = ctl_option(argc, argv, options)) >= 0)
		code = option == HTML ? ctl_usage("--html: this version draws on the terminal only") : judge_option(o, option, optarg);
	if (code == CTL_DONE && argc - optind != 1)
		return ctl_usage(argc == optind ? "a FILE, or - for standard input, is missing" : "one FILE at a time");
	return code;
}

static int explain(const struct judge_options *o, struct ctl_message *m, const char *file)
{
	const struct dkim2_envelope *envelope;
	const struct dkim2_verdict *v;
	struct ctl_dns *dns;
	int code = judge_envelope(&m->arena, o, &envelope);

	if (code == CTL_DONE)
		code = ctl_message_read(m, file);
	if (code != CTL_DONE)
		return code;
	dns = ctl_dns_new(o->dns, &code);
	if (!dns)
		return code;
	v = ctl_judge(m, dns, envelope, o->clock, o->draft);
	ctl_dns_free(&dns);
	if (!v)
		return CTL_TEMPORARY;
	if (o->json)
		ctl_print_json(json_pack("{s:o}", "dkim2", ctl_verdict_json(&m->arena, v)));
	else
		print_tree(m, file, v);
	return ctl_judge_code(v->state);
}

int ctl_explain(int argc, char **argv)
{
	struct judge_options o;
	struct ctl_message m;
	int code;

	ctl_message_init(&m);
	code = options_read(&o, &m.arena, argc, argv);
	if (code == CTL_DONE)
		code = explain(&o, &m, argv[optind]);
	ctl_message_release(&m);
	return ctl_end(code);
}
