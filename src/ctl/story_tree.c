#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ctl/story.h"
#include "mail/utf8.h"

enum {
	RCPTS = 5,      /* paths of an rt= that are shown */
	VALUES = 4,     /* of a field that differ, before and after */
	DIFF_LINES = 24, /* of the body, an instance */
	CONTEXT = 2,    /* lines around them */
	WIDTH = 160,    /* octets of a line or value: cut */
};

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

static void print_envelope(const struct look *l, struct arena *a, const struct dkim2_hop *h)
{
	if (h->nd.n) {
		printf("next domain ");
		print_peer(l, a, h->nd);
		return;
	}
	print_peer(l, a, h->mf);
	printf(" %s", l->to);
	for (size_t i = 0; i < h->rt_count && i < RCPTS; i++) {
		putchar(' ');
		print_peer(l, a, h->rt[i]);
	}
	if (h->rt_count > RCPTS)
		printf(" and %zu more", h->rt_count - RCPTS);
}

/* ---- what was changed ---- */

/* A line of the body or a value, with what became of it. */
static void print_line(const struct look *l, struct arena *a, const char *indent, char mark, struct slice text)
{
	const char *colour = mark == '-' ? "\033[31m" : mark == '+' ? "\033[32m" : "";
	struct slice head = utf8_head(text, WIDTH);

	printf("%s%s%s%c ", l->along, indent, l->colour ? colour : "", mark);
	print_peer(l, a, head);
	printf("%s%s\n", head.n < text.n ? " ..." : "", l->colour && *colour ? "\033[0m" : "");
}

static void print_values(const struct look *l, struct arena *a, char mark, const struct slice *values, size_t n)
{
	for (size_t i = 0; i < n && i < VALUES; i++)
		print_line(l, a, "       ", mark, values[i]);
	if (n > VALUES)
		printf("%s       %c and %zu more\n", l->along, mark, n - VALUES);
}

static void print_fields(const struct look *l, struct arena *a, const struct change *c)
{
	for (size_t i = 0; i < c->field_n; i++) {
		const struct change_field *f = &c->fields[i];

		printf("%s     ", l->along);
		print_peer(l, a, slice_sub(f->name, 0, WIDTH));
		puts(!f->before_n ? ", added" : !f->after_n ? ", removed" : ":");
		print_values(l, a, '-', f->before, f->before_n);
		print_values(l, a, '+', f->after, f->after_n);
	}
}

/* As many of the lines as may still be shown. */
static void print_some(const struct look *l, struct arena *a, size_t *left, char mark, const struct slice *lines, size_t n)
{
	for (size_t i = 0; i < n && *left; i++, --*left)
		print_line(l, a, "       ", mark, lines[i]);
}

static void print_count(const char *before, uint64_t n, const char *what)
{
	printf("%s%llu line%s %s", before, (unsigned long long)n, n == 1 ? "" : "s", what);
}

static void print_body(const struct look *l, struct arena *a, const struct change *c)
{
	size_t left = DIFF_LINES, shown = 0; /* of the lines between two changes */

	if (!c->block_n)
		return;
	printf("%s     body: ", l->along);
	if (c->removed)
		print_count("", c->removed, "removed");
	if (c->added)
		print_count(c->removed ? ", " : "", c->added, "added");
	putchar('\n');
	for (size_t i = 0; i < c->block_n && left; i++) {
		const struct change_block *b = &c->blocks[i], *before = i ? b - 1 : NULL, *after = i + 1 < c->block_n ? b + 1 : NULL;
		size_t between = before ? before->after_n - shown : 0, lead = between < CONTEXT ? between : CONTEXT;

		if (b->same)
			continue;
		if (between > lead)
			printf("%s       @ line %llu\n", l->along, (unsigned long long)(b->after_at - lead));
		if (lead)
			print_some(l, a, &left, ' ', before->after + before->after_n - lead, lead);
		print_some(l, a, &left, '-', b->before, b->before_n);
		print_some(l, a, &left, '+', b->after, b->after_n);
		shown = after && after->after_n < CONTEXT ? after->after_n : CONTEXT;
		if (after)
			print_some(l, a, &left, ' ', after->after, shown);
	}
	if (!left)
		printf("%s       and so on: see undo, or --html\n", l->along);
}

static void print_instance(const struct look *l, struct story *s, const struct dkim2_instance *in)
{
	struct change c;

	printf("%s   content m=%llu: %s, ", l->along, (unsigned long long)in->m, story_kind(in));
	print_state(l, in->state);
	if (in->reason.n) {
		fputs(", ", stdout);
		print_peer(l, &s->message->arena, in->reason);
	}
	putchar('\n');
	if (!story_change(s, in, &c))
		return;
	print_fields(l, &s->scratch, &c);
	print_body(l, &s->scratch, &c);
	if (c.why_not)
		printf("%s     (%s)\n", l->along, c.why_not);
}

/* ---- the tree ---- */

static void print_hop(const struct look *l, struct story *s, size_t index)
{
	const struct dkim2_verdict *v = s->verdict;
	const struct dkim2_hop *h = &v->hops[index];
	struct arena *a = &s->message->arena;
	const struct dkim2_instance *instances;
	size_t n = story_instances(s, index, &instances);

	printf("%shop %llu  ", l->branch, (unsigned long long)h->i);
	print_peer(l, a, h->d);
	fputs("  ", stdout);
	print_state(l, h->state);
	if (h->reason.n) {
		fputs(": ", stdout);
		print_peer(l, a, h->reason);
	}
	printf("\n%s   ", l->along);
	print_envelope(l, a, h);
	printf("\n%s   %.*s, signed with ", l->along, SLICE_FMT(story_time(a, h->t)));
	print_peer(l, a, story_sets(s, h));
	if (h->flags.n) {
		fputs(", ", stdout);
		print_peer(l, a, h->flags);
	}
	putchar('\n');
	if (index && v->hops[index - 1].m == h->m)
		printf("%s   content as hop %llu left it\n", l->along, (unsigned long long)v->hops[index - 1].i);
	for (size_t i = 0; i < n; i++)
		print_instance(l, s, &instances[i]);
	printf("%s\n", l->bare);
}

void story_tree(struct story *s)
{
	struct look l = look_now();
	struct arena *a = &s->message->arena;
	const struct dkim2_verdict *v = s->verdict;
	struct slice subject = story_field(s, S("Subject"));

	if (strcmp(s->file, "-") == 0)
		fputs("message", stdout);
	else
		print_peer(&l, a, slice_str(s->file));
	if (subject.n) {
		fputs(": ", stdout);
		print_peer(&l, a, utf8_head(subject, 70));
	}
	printf("\n%s\n", l.bare);
	for (size_t i = 0; i < v->hop_count; i++)
		print_hop(&l, s, i);
	fputs(l.last, stdout);
	print_state(&l, v->state);
	if (v->state == DKIM2_NONE)
		fputs(": no DKIM2-Signature", stdout);
	else
		printf(" by draft %02u: %s", v->draft, v->state == DKIM2_PASS ? ctl_level_text(v->level) : "");
	print_peer(&l, a, v->reason);
	putchar('\n');
}
