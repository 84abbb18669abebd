/*
 * settings.c - writes the part of hopseal.conf.5 that comes from src/config/conf_key.def.
 *
 * settings --check PAGE   does the page hold it? exit 1 if not
 * settings --write PAGE   puts it there
 */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "config/row.h"

#define FIRST ".\\\" from here on: conf_key.def (ninja man-settings)\n"
#define LAST ".\\\" to here: conf_key.def\n"

enum { PAGE_OCTETS = 1 << 20, LINE_OCTETS = 76 };

/*
 * Text that roff takes as it is, folded at blanks: a backslash would begin an escape, a dot or quote at the start of
 * a line a request.
 */
static void put(struct buf *b, const char *text)
{
	size_t line = 0;

	for (; *text; text++) {
		size_t word = 1 + strcspn(text + 1, " ");

		if (*text == ' ' && line + word > LINE_OCTETS) {
			buf_octet(b, '\n');
			line = 0;
			continue;
		}
		if (line == 0 && (*text == '.' || *text == '\''))
			buf_str(b, "\\&");
		buf_str(b, *text == '\\' ? "\\" : "");
		buf_octet(b, *text == '\\' ? 'e' : (unsigned char)*text);
		line++;
	}
}

/* "a b" as "a, b" */
static void put_words(struct buf *b, const char *words)
{
	struct slice left = slice_str(words), word;

	while (left.n) {
		slice_cut(&left, ' ', &word);
		buf_printf(b, ".Cm %.*s%s\n", SLICE_FMT(word), left.n ? " ," : " .");
	}
}

static const char *value_name(const struct conf_row *row)
{
	switch (row->type) {
	case CONF_INT:
		return row->unit;
	case CONF_BOOL:
		return "true | false";
	case CONF_WORD:
		return "word";
	case CONF_TEXT:
		return "text";
	case CONF_DOMAIN:
		return "domain";
	case CONF_FILE:
		return "file";
	case CONF_DIR:
		return "folder";
	case CONF_LIST:
		return "list";
	case CONF_TEXTS:
		return "text | list";
	}
	return "";
}

static void put_key(struct buf *b, const struct conf_row *row)
{
	buf_printf(b, ".It Ic %s No = Ar %s\n", row->name, value_name(row));
	put(b, row->help);
	buf_str(b, ".\n");
	if (row->need == NEED_LATER) {
		buf_str(b, "Not there yet: must be left out.\n");
		return;
	}
	if (row->type == CONF_INT)
		buf_printf(b, "From %lld to %lld.\n", (long long)row->low, (long long)row->high);
	if (row->type == CONF_WORD) {
		buf_str(b, "One of\n");
		put_words(b, row->here);
	}
	if (row->type == CONF_WORD && row->later[0]) {
		buf_str(b, "Not there yet:\n");
		put_words(b, row->later);
	}
	if ((row->type == CONF_TEXT || row->type == CONF_TEXTS) && row->here[0]) {
		buf_str(b, "Expects ");
		put(b, row->here);
		buf_str(b, ".\n");
	}
	if (row->need == NEED_MUST)
		buf_str(b, "Must be there.\n");
	else if (row->fallback)
		buf_printf(b, "Default:\n.Li %s .\n", row->fallback);
	if (row->apply == APPLY_RESTART)
		buf_str(b, "A reload keeps the value of the start.\n");
}

/* "listener: { NAME: { tls: { ... }; }; };" */
static void put_group(struct buf *b, enum conf_group group)
{
	const struct conf_group_row *row = conf_group_row(group);
	const char *parent = row->parent == GROUP_ROOT ? "" : conf_group_row(row->parent)->name;
	enum conf_key_id first;
	size_t n = conf_group_keys(group, &first);

	if (group == GROUP_ROOT)
		buf_str(b, ".Ss Outside of all groups\n.Bl -tag -width Ds\n");
	else
		buf_printf(b, ".Ss Ic %s%s%s\n%c", parent, parent[0] ? ": " : "", row->name,
		    row->help[0] >= 'a' && row->help[0] <= 'z' ? row->help[0] - 'a' + 'A' : row->help[0]);
	if (group != GROUP_ROOT) {
		put(b, row->help + 1);
		buf_printf(b, ".\n%s.Bl -tag -width Ds\n",
		    row->shape == SHAPE_NAMED      ? "A group of groups, each with a name of its own.\n"
			: row->shape == SHAPE_LISTED ? "A list of groups.\n"
						     : "");
	}
	for (size_t i = 0; i < n; i++)
		put_key(b, conf_row((enum conf_key_id)(first + i)));
	buf_str(b, ".El\n");
}

static bool read_page(const char *name, struct buf *page)
{
	FILE *f = fopen(name, "r");
	unsigned char *room;
	size_t n;

	if (!f)
		return false;
	do {
		room = buf_room(page, 4096);
		n = room ? fread(room, 1, 4096, f) : 0;
		buf_grew(page, n);
	} while (n);
	fclose(f);
	return room != NULL;
}

static bool find(struct slice all, const char *what, size_t *at_out)
{
	for (*at_out = 0; *at_out < all.n; ++*at_out)
		if (slice_starts(slice_sub(all, *at_out, SIZE_MAX), slice_str(what)))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	struct buf page, out;
	size_t first, last;
	bool same;
	FILE *f;

	buf_init(&page, PAGE_OCTETS);
	buf_init(&out, PAGE_OCTETS);
	if (argc != 3 || !read_page(argv[2], &page) || !find(buf_get(&page), FIRST, &first) ||
	    !find(buf_get(&page), LAST, &last)) {
		fprintf(stderr, "usage: settings --check|--write PAGE, with two lines that mark the part\n");
		return 64;
	}
	buf_slice(&out, slice_sub(buf_get(&page), 0, first));
	buf_str(&out, FIRST);
	for (size_t i = 0; i < CONF_GROUPS; i++)
		put_group(&out, (enum conf_group)i);
	buf_slice(&out, slice_sub(buf_get(&page), last, SIZE_MAX));
	same = slice_eq(buf_get(&page), buf_get(&out));
	if (!same && strcmp(argv[1], "--write") == 0) {
		f = fopen(argv[2], "w");
		same = f && fwrite(out.at, 1, out.n, f) == out.n;
		same = f && fclose(f) == 0 && same;
	}
	if (!same)
		fprintf(stderr, "%s does not say what conf_key.def says; ninja man-settings writes it anew\n", argv[2]);
	buf_release(&page);
	buf_release(&out);
	return same ? 0 : 1;
}
