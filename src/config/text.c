#include "config/text.h"

struct text {
	struct arena *arena;
	const char *file;
	struct slice all;
	size_t at;
	unsigned line;
	struct conf_errors *errors;
	struct text_notes *notes;
	bool unended; /* a string or comment has no end */
};

static unsigned char peek(const struct text *t, size_t ahead)
{
	return t->at + ahead < t->all.n ? t->all.at[t->at + ahead] : '\0';
}

static bool ended(const struct text *t)
{
	return t->at >= t->all.n;
}

static void step(struct text *t)
{
	if (t->all.at[t->at++] == '\n')
		t->line++;
}

static const char *where(const struct text *t, unsigned line)
{
	struct slice s = arena_printf(t->arena, "%s:%u", t->file, line);
	const char *copy = arena_string(t->arena, s);

	return copy ? copy : t->file;
}

/* Room for one more in an array of n, which doubles whenever n is a power of two. NULL: no memory. */
static void *grow(struct arena *a, void *array, size_t n, size_t each)
{
	void *more;

	if (n & (n - 1))
		return array;
	more = arena_array(a, n ? 2 * n : 1, each);
	if (more && n)
		memcpy(more, array, n * each);
	return more;
}

static void skip_line(struct text *t)
{
	while (!ended(t) && peek(t, 0) != '\n')
		step(t);
}

/* What began on this line runs to the end of the file. */
static void note_unended(struct text *t, unsigned line, const char *what, const char *end)
{
	conf_mistake(t->errors, where(t, line), "%s that has no end, expected %s", what, end);
	t->unended = true;
}

static void skip_block(struct text *t)
{
	unsigned from = t->line;

	t->at += 2;
	while (!ended(t) && !(peek(t, 0) == '*' && peek(t, 1) == '/'))
		step(t);
	if (ended(t))
		note_unended(t, from, "comment", "*/");
	else
		t->at += 2;
}

static unsigned hex(unsigned char c)
{
	if (ascii_digit(c))
		return c - (unsigned)'0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - (unsigned)'a' + 10 : 16;
}

static void read_string(struct text *t)
{
	unsigned from = t->line;

	for (step(t); !ended(t) && peek(t, 0) != '"'; step(t)) {
		if (peek(t, 0) != '\\')
			continue;
		if (peek(t, 1) == 'x' && peek(t, 2) == '0' && peek(t, 3) == '0')
			conf_mistake(t->errors, where(t, t->line), "NUL octet in a string, expected text");
		step(t);
		if (ended(t))
			break;
	}
	if (ended(t))
		note_unended(t, from, "string", "\"");
	else
		step(t);
}

static void read_include(struct text *t)
{
	unsigned from = t->line;
	struct text_include *in = grow(t->arena, t->notes->includes, t->notes->include_count, sizeof(*in));
	unsigned char *name = arena_take(t->arena, t->all.n - t->at);
	size_t n = 0;

	if (!in || !name) {
		skip_line(t);
		return;
	}
	t->notes->includes = in;
	in += t->notes->include_count++;
	while (peek(t, 0) != '"')
		step(t);
	in->line = t->line;
	for (step(t); !ended(t) && peek(t, 0) != '"'; step(t)) {
		if (peek(t, 0) == '\\' && (peek(t, 1) == '\\' || peek(t, 1) == '"'))
			step(t);
		name[n++] = peek(t, 0);
	}
	in->name = slice_of(name, n);
	if (ended(t))
		note_unended(t, from, "file name", "\"");
	else
		step(t);
}

/* "@include", blanks and a quote, with nothing but blanks before it on its line. */
static bool at_include(const struct text *t)
{
	struct slice rest = slice_sub(t->all, t->at, SIZE_MAX);
	size_t i = t->at, n = 8;

	while (i > 0 && (t->all.at[i - 1] == ' ' || t->all.at[i - 1] == '\t'))
		i--;
	if ((i > 0 && t->all.at[i - 1] != '\n') || !slice_starts(rest, S("@include")))
		return false;
	while (n < rest.n && (rest.at[n] == ' ' || rest.at[n] == '\t'))
		n++;
	return n > 8 && n < rest.n && rest.at[n] == '"';
}

static void read_name(struct text *t)
{
	while (ascii_alpha(peek(t, 0)) || ascii_digit(peek(t, 0)) || (peek(t, 0) && strchr("-_*", peek(t, 0))))
		step(t);
}

static void note_cut(struct text *t, struct slice number, bool wide)
{
	unsigned *lines = grow(t->arena, t->notes->cut_lines, t->notes->cut_count, sizeof(*lines));

	if (wide)
		conf_mistake(t->errors, where(t, t->line), "the number %.*s is cut to 64 bits, expected at most 9223372036854775807L",
		    SLICE_FMT(number));
	else
		conf_mistake(t->errors, where(t, t->line), "the number %.*s is cut to 32 bits, expected it with the suffix L, %.*sL",
		    SLICE_FMT(number), SLICE_FMT(number));
	if (!lines)
		return;
	lines[t->notes->cut_count++] = t->line;
	t->notes->cut_lines = lines;
}

/* At the first digit. Its sign hardly matters: the smallest number is one further from 0 than the greatest. */
static void read_number(struct text *t)
{
	size_t from = t->at;
	bool minus = from > 0 && t->all.at[from - 1] == '-', over = false;
	unsigned base = peek(t, 0) == '0' && ascii_lower(peek(t, 1)) == 'x' ? 16 : 10;
	uint64_t v = 0, top;

	if (base == 16)
		t->at += 2;
	for (; hex(peek(t, 0)) < base; step(t)) {
		over = over || v > (UINT64_MAX - hex(peek(t, 0))) / base;
		v = v * base + hex(peek(t, 0));
	}
	if (base == 10 && (peek(t, 0) == '.' || ascii_lower(peek(t, 0)) == 'e')) {
		while (ascii_digit(peek(t, 0)) || (peek(t, 0) && strchr(".eE+-", peek(t, 0))))
			step(t);
		return;
	}
	top = peek(t, 0) == 'L' ? INT64_MAX : INT32_MAX;
	if (over || v > top + minus)
		note_cut(t, slice_sub(t->all, from, t->at - from), peek(t, 0) == 'L');
	while (peek(t, 0) == 'L')
		step(t);
}

bool text_check(struct arena *a, const char *file, struct slice text, struct conf_errors *errors,
    struct text_notes *notes_out)
{
	struct text_notes notes = { .include_count = 0 };
	struct text t = { .arena = a, .file = file, .all = text, .line = 1, .errors = errors, .notes = &notes };

	while (!ended(&t)) {
		unsigned char c = peek(&t, 0);

		if (c == '#' || (c == '/' && peek(&t, 1) == '/'))
			skip_line(&t);
		else if (c == '/' && peek(&t, 1) == '*')
			skip_block(&t);
		else if (c == '"')
			read_string(&t);
		else if (c == '@' && at_include(&t))
			read_include(&t);
		else if (ascii_alpha(c) || c == '*')
			read_name(&t);
		else if (ascii_digit(c))
			read_number(&t);
		else
			step(&t);
	}
	/* Wherever it stands, and once. */
	if (memchr(text.n ? (const void *)text.at : "", 0, text.n)) {
		for (t.at = 0, t.line = 1; peek(&t, 0) != '\0';)
			step(&t);
		conf_mistake(errors, where(&t, t.line), "NUL octet, expected text");
	}
	*notes_out = notes;
	return !t.unended;
}
