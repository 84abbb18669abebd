#include "base/limits.h"
#include "ctl/story.h"
#include "mail/utf8.h"

enum {
	RCPTS = 100,        /* paths of an rt= that are shown */
	CELL_OCTETS = 1000, /* of a value or a line: cut */
	BODY_OCTETS = 8388608, /* of the page, after which no more values and lines are added */
	AROUND = 3,         /* equal lines that stay in sight before and after a change */
	FOLDED = 200,       /* equal lines that can be unfolded, at the beginning and the end of a run */
};

static const char style[] =
    ":root{color-scheme:light dark;--ink:#1d2329;--dim:#66707a;--paper:#fff;--line:#d5dae0;--soft:#f4f6f8;--good:#1a7f37;"
    "--bad:#c02b2b;--wait:#9a6700;--old:#ffe3e1;--oldx:#ffb3ae;--new:#dcf7e1;--newx:#97e2a8}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e3e7eb;--dim:#98a2ad;--paper:#15191d;--line:#363d45;--soft:#1e2429;"
    "--good:#4ac26b;--bad:#ff7b72;--wait:#d8a53a;--old:#3f1f20;--oldx:#7d2f2f;--new:#16351f;--newx:#1f6a35}}"
    "*{box-sizing:border-box}body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:72rem;"
    "margin:0 auto;padding:1.5rem}h1{font-size:1.4rem;margin:0 0 .25rem;overflow-wrap:anywhere}h2{font-size:1.1rem;margin:0}"
    "h3{font-size:.95rem;margin:1rem 0 .25rem}p{margin:.25rem 0}.dim{color:var(--dim)}.pass{color:var(--good)}"
    ".fail,.permerror{color:var(--bad)}.temperror{color:var(--wait)}.none,.skipped{color:var(--dim)}.state{font-weight:600}"
    ".verdict{border-left:.35rem solid;padding:.5rem .9rem;margin:1rem 0;background:var(--soft)}.verdict b{font-size:1.15rem}"
    ".verdict span{color:var(--ink)}dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:.75rem 0}"
    "dt{color:var(--dim)}dd{margin:0;overflow-wrap:anywhere}"
    ".line{list-style:none;display:flex;flex-wrap:wrap;gap:1rem 0;padding:0;margin:1.5rem 0}"
    ".line li{flex:1 1 9rem;position:relative;padding:1.4rem .75rem 0 0;border-top:2px solid var(--line)}"
    ".line li::before{content:\"\";position:absolute;top:-.5rem;left:0;width:.9rem;height:.9rem;border-radius:50%;"
    "background:currentColor;border:2px solid var(--paper)}.line a{color:var(--ink);font-weight:600;overflow-wrap:anywhere}"
    ".line small{display:block;color:var(--dim)}"
    "section{border:1px solid var(--line);border-radius:.4rem;padding:1rem;margin:1rem 0}"
    "table{width:100%;border-collapse:collapse;table-layout:fixed;font:13px/1.45 ui-monospace,monospace;margin:.25rem 0}"
    "th{text-align:left;font-weight:400;color:var(--dim);border-bottom:1px solid var(--line)}"
    "td,th{padding:.1rem .5rem;vertical-align:top;white-space:pre-wrap;overflow-wrap:anywhere}"
    ".no{width:4.5rem;text-align:right;color:var(--dim)}.name{width:11rem}.old{background:var(--old)}.new{background:var(--new)}"
    "del{text-decoration:none;background:var(--oldx)}ins{text-decoration:none;background:var(--newx)}"
    "details{border-top:1px dashed var(--line);border-bottom:1px dashed var(--line)}summary{cursor:pointer;color:var(--dim);"
    "padding:.15rem .5rem}i.octet{font-style:normal;color:var(--paper);background:var(--dim);border-radius:.2rem;padding:0 .15rem}"
    "footer{color:var(--dim);font-size:.85rem;margin-top:2rem}"
    "@media print{body{max-width:none;padding:0;font-size:11pt}section{break-inside:auto}tr{break-inside:avoid}"
    ".old,.new,del,ins,.verdict,.line li::before{print-color-adjust:exact;-webkit-print-color-adjust:exact}}";

/* ---- text of others ---- */

/* Octets of one character at the front; 1 for what is none. */
static size_t character(struct slice s)
{
	size_t n = s.at[0] < 0x80 ? 1 : s.at[0] < 0xe0 ? 2 : s.at[0] < 0xf0 ? 3 : 4;

	return n <= s.n && utf8_valid(slice_sub(s, 0, n)) ? n : 1;
}

static void put_numbers(struct buf *b, struct slice s)
{
	buf_str(b, "<i class=\"octet\">");
	for (size_t i = 0; i < s.n; i++)
		buf_printf(b, "%02x", s.at[i]);
	buf_str(b, "</i>");
}

/* Nothing that a browser takes for anything but text. */
static void put_text(struct buf *b, struct slice s)
{
	while (s.n) {
		size_t n = character(s), hidden = s.at[0] == '\t' ? 0 : s.at[0] >= 0x80 && n == 1 ? 1 : ctl_unprintable(s);

		if (hidden)
			put_numbers(b, slice_sub(s, 0, hidden));
		else if (s.at[0] == '<')
			buf_str(b, "&lt;");
		else if (s.at[0] == '>')
			buf_str(b, "&gt;");
		else if (s.at[0] == '&')
			buf_str(b, "&amp;");
		else if (s.at[0] == '"')
			buf_str(b, "&quot;");
		else if (s.at[0] == '\'')
			buf_str(b, "&#39;");
		else
			buf_slice(b, slice_sub(s, 0, n));
		s = slice_sub(s, hidden ? hidden : n, SIZE_MAX);
	}
}

/* The same for a value or a line, of which enough is shown. */
static struct slice cut(struct slice s)
{
	return utf8_head(s, CELL_OCTETS);
}

static void put_left_out(struct buf *b, struct slice s)
{
	if (s.n > CELL_OCTETS)
		buf_printf(b, " <span class=\"dim\">and %zu octets more</span>", s.n - cut(s).n);
}

static void put_cut(struct buf *b, struct slice s)
{
	put_text(b, cut(s));
	put_left_out(b, s);
}

static void put_row(struct buf *b, const char *name, struct slice value)
{
	if (!value.n)
		return;
	buf_printf(b, "<dt>%s</dt><dd>", name);
	put_cut(b, value);
	buf_str(b, "</dd>\n");
}

static void put_state(struct buf *b, enum dkim2_state state)
{
	buf_printf(b, "<span class=\"state %s\">%s</span>", dkim2_state_name(state), dkim2_state_name(state));
}

/* ---- side by side ---- */

/* Where the two differ, when they are two of the same line: [*head, n - *tail). */
static void differ(struct slice before, struct slice after, size_t *head, size_t *tail)
{
	size_t least = before.n < after.n ? before.n : after.n, h = 0, t = 0;

	while (h < least && before.at[h] == after.at[h])
		h++;
	while (h > 0 && h < before.n && (before.at[h] & 0xc0) == 0x80)
		h--;
	while (t < least - h && before.at[before.n - 1 - t] == after.at[after.n - 1 - t])
		t++;
	while (t > 0 && (before.at[before.n - t] & 0xc0) == 0x80)
		t--;
	*head = h;
	*tail = t;
}

/* One half of a row: the line, and in it what only this side has. */
static void put_half(struct buf *b, const char *side, const char *mark, struct slice line, const struct slice *other)
{
	struct slice all = cut(line);
	size_t head = 0, tail = 0;

	buf_printf(b, "<td class=\"%s\">", side);
	if (other)
		differ(all, cut(*other), &head, &tail);
	if (head + tail) {
		put_text(b, slice_sub(all, 0, head));
		if (head + tail < all.n) {
			buf_printf(b, "<%s>", mark);
			put_text(b, slice_sub(all, head, all.n - head - tail));
			buf_printf(b, "</%s>", mark);
		}
		put_text(b, slice_sub(all, all.n - tail, tail));
	} else {
		put_text(b, all);
	}
	put_left_out(b, line);
	buf_str(b, "</td>");
}

static bool full(const struct buf *b)
{
	return b->n > BODY_OCTETS;
}

static const char too_long[] = "<p class=\"dim\">What follows is left out, the page is long enough.</p>\n";

static void put_fields(struct buf *b, const struct change *c)
{
	if (!c->field_n)
		return;
	buf_str(b, "<table class=\"fields\"><thead><tr><th class=\"name\">field</th><th>before</th><th>after</th></tr></thead><tbody>\n");
	for (size_t i = 0; i < c->field_n; i++) {
		const struct change_field *f = &c->fields[i];
		size_t rows = f->before_n > f->after_n ? f->before_n : f->after_n;

		for (size_t k = 0; k < rows && !full(b); k++) {
			const struct slice *before = k < f->before_n ? &f->before[k] : NULL, *after = k < f->after_n ? &f->after[k] : NULL;

			buf_str(b, "<tr><td class=\"name\">");
			put_cut(b, k ? SLICE_NONE : f->name);
			buf_str(b, "</td>");
			if (before)
				put_half(b, "old", "del", *before, after);
			else
				buf_str(b, "<td></td>");
			if (after)
				put_half(b, "new", "ins", *after, before);
			else
				buf_str(b, "<td></td>");
			buf_str(b, "</tr>\n");
		}
	}
	buf_str(b, "</tbody></table>\n");
	if (full(b))
		buf_str(b, too_long);
}

static void table_begin(struct buf *b)
{
	buf_str(b, "<table class=\"body\"><tbody>\n");
}

static void table_end(struct buf *b)
{
	buf_str(b, "</tbody></table>\n");
}

static void put_same(struct buf *b, const struct change_block *block, size_t from, size_t n)
{
	for (size_t i = from; i < from + n && !full(b); i++) {
		buf_printf(b, "<tr><td class=\"no\">%llu</td><td>", (unsigned long long)(block->before_at + i));
		put_cut(b, block->after[i]);
		buf_printf(b, "</td><td class=\"no\">%llu</td><td>", (unsigned long long)(block->after_at + i));
		put_cut(b, block->after[i]);
		buf_str(b, "</td></tr>\n");
	}
}

/* Equal lines: those around a change stand there, the rest is folded, of which the middle may be too much. */
static void put_equal(struct buf *b, const struct change_block *block, bool first, bool last)
{
	size_t head = first ? 0 : AROUND, tail = last ? 0 : AROUND, folded;

	if (block->after_n <= head + tail + 1) {
		put_same(b, block, 0, block->after_n);
		return;
	}
	folded = block->after_n - head - tail;
	put_same(b, block, 0, head);
	table_end(b);
	buf_printf(b, "<details><summary>%zu equal lines</summary>\n", folded);
	table_begin(b);
	if (folded <= 2 * FOLDED) {
		put_same(b, block, head, folded);
	} else {
		put_same(b, block, head, FOLDED);
		buf_printf(b, "<tr><td class=\"no\"></td><td class=\"dim\" colspan=\"3\">%zu lines are left out</td></tr>\n", folded - 2 * FOLDED);
		put_same(b, block, head + folded - FOLDED, FOLDED);
	}
	table_end(b);
	buf_str(b, "</details>\n");
	table_begin(b);
	put_same(b, block, head + folded, tail);
}

static void put_different(struct buf *b, const struct change_block *block)
{
	size_t rows = block->before_n > block->after_n ? block->before_n : block->after_n;
	bool paired = block->before_n == block->after_n;

	for (size_t i = 0; i < rows && !full(b); i++) {
		if (i < block->before_n) {
			buf_printf(b, "<tr><td class=\"no\">%llu</td>", (unsigned long long)(block->before_at + i));
			put_half(b, "old", "del", block->before[i], paired ? &block->after[i] : NULL);
		} else {
			buf_str(b, "<tr><td class=\"no\"></td><td></td>");
		}
		if (i < block->after_n) {
			buf_printf(b, "<td class=\"no\">%llu</td>", (unsigned long long)(block->after_at + i));
			put_half(b, "new", "ins", block->after[i], paired ? &block->before[i] : NULL);
		} else {
			buf_str(b, "<td class=\"no\"></td><td></td>");
		}
		buf_str(b, "</tr>\n");
	}
}

static void put_count(struct buf *b, const char *before, uint64_t n, const char *what)
{
	buf_printf(b, "%s%llu line%s %s", before, (unsigned long long)n, n == 1 ? "" : "s", what);
}

static void put_body(struct buf *b, const struct change *c)
{
	if (!c->block_n)
		return;
	buf_str(b, "<h3>Body: ");
	if (c->removed)
		put_count(b, "", c->removed, "removed");
	if (c->added)
		put_count(b, c->removed ? ", " : "", c->added, "added");
	buf_str(b, "</h3>\n<table class=\"body\"><thead><tr><th class=\"no\">line</th><th>before</th><th class=\"no\">line</th><th>after</th></tr></thead><tbody>\n");
	for (size_t i = 0; i < c->block_n && !full(b); i++) {
		if (c->blocks[i].same)
			put_equal(b, &c->blocks[i], i == 0, i + 1 == c->block_n);
		else
			put_different(b, &c->blocks[i]);
	}
	table_end(b);
	if (full(b))
		buf_str(b, too_long);
}

/* ---- hops ---- */

static void put_instance(struct buf *b, struct story *s, const struct dkim2_instance *in)
{
	struct change c;

	buf_printf(b, "<h3>Content m=%llu: %s, ", (unsigned long long)in->m, story_kind(in));
	put_state(b, in->state);
	buf_str(b, "</h3>\n");
	if (in->reason.n) {
		buf_printf(b, "<p class=\"%s\">", dkim2_state_name(in->state));
		put_cut(b, in->reason);
		buf_str(b, "</p>\n");
	}
	if (full(b) || !story_change(s, in, &c))
		return;
	if (in->state != DKIM2_PASS)
		buf_str(b, "<p class=\"dim\">What its recipe says; that this is what was there before is not proven.</p>\n");
	put_fields(b, &c);
	put_body(b, &c);
	if (c.why_not)
		buf_printf(b, "<p class=\"dim\">Not shown: %s.</p>\n", c.why_not);
	else if (!c.field_n && !c.block_n)
		buf_str(b, "<p class=\"dim\">Nothing that is signed differs.</p>\n");
}

static void put_recipients(struct buf *b, const struct dkim2_hop *h)
{
	buf_printf(b, "<dt>to</dt><dd>");
	for (size_t i = 0; i < h->rt_count && i < RCPTS; i++) {
		buf_str(b, i ? "<br>" : "");
		put_cut(b, h->rt[i]);
	}
	if (h->rt_count > RCPTS)
		buf_printf(b, "<br><span class=\"dim\">and %zu more</span>", h->rt_count - RCPTS);
	buf_str(b, "</dd>\n");
}

static void put_domain(struct buf *b, const struct dkim2_hop *h)
{
	put_cut(b, h->d.n ? h->d : S("(no domain)"));
}

static void put_hop(struct buf *b, struct story *s, size_t index)
{
	const struct dkim2_verdict *v = s->verdict;
	const struct dkim2_hop *h = &v->hops[index];
	struct arena *a = &s->message->arena;
	const struct dkim2_instance *instances;
	size_t n = story_instances(s, index, &instances);

	buf_printf(b, "<section id=\"hop-%zu\">\n<h2>Hop %llu: ", index, (unsigned long long)h->i);
	put_domain(b, h);
	buf_str(b, " ");
	put_state(b, h->state);
	buf_str(b, "</h2>\n");
	if (h->reason.n) {
		buf_printf(b, "<p class=\"%s\">", dkim2_state_name(h->state));
		put_cut(b, h->reason);
		buf_str(b, "</p>\n");
	}
	buf_str(b, "<dl>\n");
	put_row(b, "next domain", h->nd);
	put_row(b, "from", h->mf);
	if (h->rt_count)
		put_recipients(b, h);
	put_row(b, "signed at", story_time(a, h->t));
	put_row(b, "signed with", story_sets(s, h));
	put_row(b, "flags", h->flags);
	buf_str(b, "</dl>\n");
	if (index && v->hops[index - 1].m == h->m)
		buf_printf(b, "<p class=\"dim\">The content is as hop %llu left it.</p>\n", (unsigned long long)v->hops[index - 1].i);
	for (size_t i = 0; i < n; i++)
		put_instance(b, s, &instances[i]);
	buf_str(b, "</section>\n");
}

/* The worst of a hop and the instances that came with it: what its place on the line looks like. */
static enum dkim2_state worst(const struct story *s, size_t index, bool *changed_out)
{
	static const int order[] = { [DKIM2_PASS] = 1, [DKIM2_SKIPPED] = 2, [DKIM2_TEMPERROR] = 3, [DKIM2_FAIL] = 4, [DKIM2_PERMERROR] = 5 };
	const struct dkim2_instance *instances;
	size_t n = story_instances(s, index, &instances);
	enum dkim2_state state = s->verdict->hops[index].state;

	*changed_out = false;
	for (size_t i = 0; i < n; i++) {
		*changed_out |= instances[i].m > 1;
		if (instances[i].state != DKIM2_SKIPPED && order[instances[i].state] > order[state])
			state = instances[i].state;
	}
	return state;
}

static void put_line(struct buf *b, const struct story *s)
{
	const struct dkim2_verdict *v = s->verdict;

	if (!v->hop_count)
		return;
	buf_str(b, "<ol class=\"line\">\n");
	for (size_t i = 0; i < v->hop_count; i++) {
		const struct dkim2_hop *h = &v->hops[i];
		bool changed;
		enum dkim2_state state = worst(s, i, &changed);

		buf_printf(b, "<li class=\"%s\"><a href=\"#hop-%zu\">", dkim2_state_name(state), i);
		put_domain(b, h);
		buf_str(b, "</a><small>");
		put_text(b, story_time(&s->message->arena, h->t));
		buf_printf(b, "</small><small>hop %llu, %s%s</small></li>\n", (unsigned long long)h->i, dkim2_state_name(state),
		    changed ? ", changed the content" : "");
	}
	buf_str(b, "</ol>\n");
}

/* ---- the page ---- */

static void put_verdict(struct buf *b, const struct dkim2_verdict *v)
{
	buf_printf(b, "<div class=\"verdict %s\"><b>dkim2=%s</b> <span>", dkim2_state_name(v->state), dkim2_state_name(v->state));
	if (v->state == DKIM2_NONE)
		buf_str(b, "There is no DKIM2-Signature.");
	else if (v->reason.n)
		put_cut(b, v->reason);
	else
		buf_printf(b, "What was checked: %s.", ctl_level_text(v->level));
	buf_str(b, "</span></div>\n");
}

static void put_judged(struct buf *b, const struct story *s)
{
	const struct dkim2_envelope *e = s->envelope;
	struct arena *a = &s->message->arena;

	buf_str(b, "<dl>\n");
	if (strcmp(s->file, "-") != 0)
		put_row(b, "file", slice_str(s->file));
	put_row(b, "From", story_field(s, S("From")));
	put_row(b, "To", story_field(s, S("To")));
	put_row(b, "Date", story_field(s, S("Date")));
	put_row(b, "Message-ID", story_field(s, S("Message-ID")));
	if (e) {
		put_row(b, "MAIL FROM", e->mail_from);
		for (size_t i = 0; i < e->rcpt_count && i < RCPTS; i++)
			put_row(b, "RCPT TO", e->rcpt_to[i]);
	} else {
		put_row(b, "envelope", S("not given"));
	}
	put_row(b, "judged", s->clock.now < 0 ? arena_printf(a, "by draft %02u, times not checked", s->verdict->draft) :
						arena_printf(a, "by draft %02u, as of %.*s", s->verdict->draft, SLICE_FMT(story_time(a, (uint64_t)s->clock.now))));
	buf_str(b, "</dl>\n");
}

bool story_html(struct story *s, struct buf *b)
{
	struct slice subject = story_field(s, S("Subject"));

	if (!subject.n)
		subject = S("(no subject)");
	buf_str(b, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		   "<meta name=\"viewport\" content=\"width=device-width\">\n"
		   "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<title>");
	buf_printf(b, "%s: ", dkim2_state_name(s->verdict->state));
	put_text(b, utf8_head(subject, 100));
	buf_printf(b, "</title>\n<style>%s</style>\n</head>\n<body>\n<header>\n<h1>", style);
	put_cut(b, subject);
	buf_str(b, "</h1>\n");
	put_verdict(b, s->verdict);
	put_judged(b, s);
	buf_str(b, "</header>\n<main>\n");
	put_line(b, s);
	for (size_t i = 0; i < s->verdict->hop_count; i++)
		put_hop(b, s, i);
	buf_str(b, "</main>\n<footer>hopsealctl " HOPSEAL_VERSION "; octets that are no text, or that would turn or hide it, stand as "
		   "<i class=\"octet\">numbers</i>.</footer>\n</body>\n</html>\n");
	if (buf_failed(b) || arena_failed(&s->message->arena)) {
		ctl_complain("no memory");
		return false;
	}
	return true;
}
