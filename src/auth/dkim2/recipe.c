#include <stdlib.h>

#include "auth/dkim2/recipe.h"
#include "base/b64.h"
#include "base/limits.h"
#include "mail/utf8.h"

/*
 * A reader of its own, in one pass. Steps of few octets make the tree of jansson up to seventy times the text and take it
 * ten times as long; it takes "Subject" beside "subject", forgets a NUL behind a number, and calls a text that it finds no
 * memory for bad. t/fuzz holds the two against each other.
 *
 * What is read is a copy in the arena, and in there a string without its escapes takes the place of the one with them:
 * texts of the recipe are slices of that copy.
 */
struct reading {
	struct arena *arena;
	const struct dkim2_draft *draft;
	unsigned char *text;
	size_t n, at;      /* octets of it, and those that were read */
	size_t depth;      /* objects and arrays that are open */
	size_t count;      /* steps and literals */
	struct buf fields; /* of h */
	struct buf steps;  /* of the list that is open */
	struct buf texts;  /* of the literal that is open */
	struct buf keys;   /* of the objects that are open, the innermost last */
	enum recipe_state state;
	const char *why;
};

/* The first word counts. */
static bool stop(struct reading *r, enum recipe_state state, const char *why)
{
	if (r->state == RECIPE_OK) {
		r->state = state;
		r->why = why;
	}
	return false;
}

static bool bad(struct reading *r, const char *why)
{
	return stop(r, RECIPE_BAD, why);
}

static bool no_json(struct reading *r)
{
	return bad(r, "not JSON");
}

/* --- JSON (RFC 8259) ------------------------------------------------------------------------------------------ */

/* The next octet that is no blank; 0 at the end, for NUL is nowhere allowed. */
static unsigned char peek(struct reading *r)
{
	while (r->at < r->n && (r->text[r->at] == ' ' || r->text[r->at] == '\t' || r->text[r->at] == '\r' || r->text[r->at] == '\n'))
		r->at++;
	return r->at < r->n ? r->text[r->at] : 0;
}

static bool take(struct reading *r, unsigned char c)
{
	if (peek(r) != c)
		return false;
	r->at++;
	return true;
}

/* Into an object or array; its first octet was taken. */
static bool enter(struct reading *r)
{
	return ++r->depth <= LIMIT_RECIPE_DEPTH || stop(r, RECIPE_BIG, "nested too deep");
}

/* Is there another element or member, behind i of them? Else the object or array is left, or something is wrong. */
static bool more(struct reading *r, unsigned char end, size_t i)
{
	if (take(r, end)) {
		r->depth--;
		return false;
	}
	return i == 0 || take(r, ',') || no_json(r);
}

static bool read_hex(struct reading *r, uint32_t *out)
{
	uint32_t v = 0;

	if (r->n - r->at < 4)
		return no_json(r);
	for (size_t i = 0; i < 4; i++) {
		unsigned char c = r->text[r->at++], low = ascii_lower(c);

		if (!ascii_digit(c) && (low < 'a' || low > 'f'))
			return no_json(r);
		v = v << 4 | (uint32_t)(ascii_digit(c) ? c - '0' : low - 'a' + 10);
	}
	*out = v;
	return true;
}

/* Behind \u. What comes of it is shorter than it was. */
static bool read_code(struct reading *r, size_t *to)
{
	unsigned char *p = r->text + *to;
	uint32_t c, low;

	if (!read_hex(r, &c))
		return false;
	if (c >= 0xd800 && c < 0xdc00) {
		if (r->n - r->at < 2 || r->text[r->at] != '\\' || r->text[r->at + 1] != 'u')
			return no_json(r);
		r->at += 2;
		if (!read_hex(r, &low) || low < 0xdc00 || low > 0xdfff)
			return no_json(r);
		c = 0x10000 + ((c & 0x3ff) << 10 | (low & 0x3ff));
	} else if (c == 0 || (c >= 0xdc00 && c < 0xe000)) {
		return no_json(r);
	}
	if (c < 0x80) {
		*p++ = (unsigned char)c;
	} else {
		if (c >= 0x10000) {
			*p++ = (unsigned char)(0xf0 | c >> 18);
			*p++ = (unsigned char)(0x80 | (c >> 12 & 0x3f));
		} else if (c >= 0x800) {
			*p++ = (unsigned char)(0xe0 | c >> 12);
		}
		if (c >= 0x800)
			*p++ = (unsigned char)(0x80 | (c >> 6 & 0x3f));
		else
			*p++ = (unsigned char)(0xc0 | c >> 6);
		*p++ = (unsigned char)(0x80 | (c & 0x3f));
	}
	*to = (size_t)(p - r->text);
	return true;
}

static bool read_escape(struct reading *r, size_t *to)
{
	static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
	unsigned char c = r->at < r->n ? r->text[r->at++] : 0;
	const char *hit;

	if (c == 'u')
		return read_code(r, to);
	hit = c ? strchr(from, c) : NULL;
	if (!hit)
		return no_json(r);
	r->text[(*to)++] = (unsigned char)into[hit - from];
	return true;
}

static bool read_string(struct reading *r, struct slice *out)
{
	size_t from, to;

	if (!take(r, '"'))
		return no_json(r);
	for (from = to = r->at; r->at < r->n;) {
		unsigned char c = r->text[r->at++];

		if (c == '"') {
			*out = slice_of(r->text + from, to - from);
			return true;
		}
		if (c < ' ')
			return no_json(r);
		if (c != '\\')
			r->text[to++] = c;
		else if (!read_escape(r, &to))
			return false;
	}
	return no_json(r);
}

static bool skip_digits(struct reading *r)
{
	size_t from = r->at;

	while (r->at < r->n && ascii_digit(r->text[r->at]))
		r->at++;
	return r->at > from || no_json(r);
}

/* *out: as it stands there */
static bool read_number(struct reading *r, struct slice *out)
{
	size_t from;

	peek(r);
	from = r->at;
	take(r, '-');
	if (r->at < r->n && r->text[r->at] == '0')
		r->at++;
	else if (!skip_digits(r))
		return false;
	if (r->at < r->n && r->text[r->at] == '.') {
		r->at++;
		if (!skip_digits(r))
			return false;
	}
	if (r->at < r->n && ascii_lower(r->text[r->at]) == 'e') {
		r->at++;
		if (r->at < r->n && (r->text[r->at] == '+' || r->text[r->at] == '-'))
			r->at++;
		if (!skip_digits(r))
			return false;
	}
	*out = slice_of(r->text + from, r->at - from);
	return true;
}

static bool read_word(struct reading *r, struct slice word)
{
	peek(r);
	if (!slice_starts(slice_of(r->text + r->at, r->n - r->at), word))
		return no_json(r);
	r->at += word.n;
	return true;
}

/* --- keys ----------------------------------------------------------------------------------------------------- */

static int by_any_case(const void *a, const void *b)
{
	return slice_icmp(*(const struct slice *)a, *(const struct slice *)b);
}

static int by_octets(const void *a, const void *b)
{
	return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

/*
 * The key of the next member, behind i of this object. false: there is none, and all were different, or something is wrong.
 * At most LIMIT_RECIPE_NAMES are put in order, so that this is linear in the number of members.
 */
static bool next_key(struct reading *r, size_t i, struct slice *out)
{
	int (*order)(const void *, const void *) = r->draft->recipe_any_case ? by_any_case : by_octets;
	struct slice *keys;

	if (more(r, '}', i)) {
		if (i == LIMIT_RECIPE_NAMES)
			return stop(r, RECIPE_BIG, "too many members");
		if (!read_string(r, out) || !(take(r, ':') || no_json(r)))
			return false;
		buf_add(&r->keys, out, sizeof(*out));
		return !buf_failed(&r->keys) || stop(r, RECIPE_MEMORY, "no memory");
	}
	if (r->state != RECIPE_OK || i == 0)
		return false;
	r->keys.n -= i * sizeof(*keys);
	if (i == 1)
		return false;
	keys = (struct slice *)(void *)(r->keys.at + r->keys.n);
	qsort(keys, i, sizeof(*keys), order);
	for (size_t k = 1; k < i; k++)
		if (order(&keys[k - 1], &keys[k]) == 0)
			return bad(r, "a key twice");
	return false;
}

/* The letter of a key of one letter, in lower case; 0: another key. Up to -06 another case is another key. */
static char letter(const struct reading *r, struct slice key)
{
	if (key.n != 1)
		return 0;
	return (char)(r->draft->recipe_any_case ? ascii_lower(key.at[0]) : key.at[0]);
}

/* What nobody looks at; JSON all the same, and no key twice. Calls itself LIMIT_RECIPE_DEPTH times at most. */
static bool skip_value(struct reading *r)
{
	struct slice ignored;
	unsigned char c = peek(r);

	if (c == '"')
		return read_string(r, &ignored);
	if (c == '-' || ascii_digit(c))
		return read_number(r, &ignored);
	if (c != '{' && c != '[')
		return read_word(r, c == 't' ? S("true") : c == 'f' ? S("false") : S("null"));
	r->at++;
	if (!enter(r))
		return false;
	for (size_t i = 0; c == '{' ? next_key(r, i, &ignored) : more(r, ']', i); i++)
		if (!skip_value(r))
			return false;
	return r->state == RECIPE_OK;
}

/* --- steps ---------------------------------------------------------------------------------------------------- */

static bool counted(struct reading *r)
{
	return ++r->count <= LIMIT_RECIPE_STEPS || stop(r, RECIPE_BIG, "too many steps");
}

/* The elements of a list that is over, in the arena. */
static const void *kept(struct reading *r, struct buf *list)
{
	struct slice s;

	if (buf_failed(list)) {
		stop(r, RECIPE_MEMORY, "no memory");
		return NULL;
	}
	s = arena_copy(r->arena, buf_get(list));
	if (list->n && !s.n)
		stop(r, RECIPE_MEMORY, "no memory");
	buf_clear(list);
	return s.at;
}

/* In its place, as an escape is: hundreds of thousands of short ones would take five times their octets. */
static bool decode_over(struct reading *r, struct slice *text)
{
	size_t n = 0;

	if (text->n && !b64_decode_over(r->text + (text->at - r->text), text->n, &n))
		return false;
	*text = slice_of(text->at, n);
	return true;
}

/* `last` is the end of the copy before. Of the forms a number may have only digits are meant. */
static bool read_copy(struct reading *r, uint64_t *last, struct recipe_step *out)
{
	uint64_t ends[2] = { 0, 0 };
	size_t n = 0;

	if (!take(r, '['))
		return bad(r, "a copy that is not two numbers");
	if (!enter(r))
		return false;
	for (; more(r, ']', n); n++) {
		struct slice text;
		unsigned char c = peek(r);

		if (n == 2 || (c != '-' && !ascii_digit(c)))
			return bad(r, "a copy that is not two numbers");
		if (!read_number(r, &text))
			return false;
		if (!slice_u64(text, INT64_MAX, &ends[n]))
			return bad(r, "a copy that is not two numbers");
	}
	if (n < 2)
		return bad(r, "a copy that is not two numbers");
	if (ends[0] < 1 || ends[1] < ends[0])
		return bad(r, "a copy of nothing");
	if (ends[0] <= *last)
		return bad(r, "copies that overlap or do not ascend");
	*last = ends[1];
	*out = (struct recipe_step){ .from = ends[0], .count = ends[1] - ends[0] + 1 };
	return r->state == RECIPE_OK;
}

static bool read_texts(struct reading *r, bool base64, struct recipe_step *out)
{
	size_t n = 0;

	if (!take(r, '['))
		return bad(r, "a literal that is no list");
	if (!enter(r))
		return false;
	for (; more(r, ']', n); n++) {
		struct slice text;

		if (peek(r) != '"')
			return bad(r, "a literal that is no string");
		if (!counted(r) || !read_string(r, &text))
			return false;
		if (base64 && !decode_over(r, &text))
			return bad(r, "a literal that is not canonical base64");
		if (slice_find(text, '\r') < text.n || slice_find(text, '\n') < text.n)
			return bad(r, "a literal with a line end");
		buf_add(&r->texts, &text, sizeof(text));
	}
	if (n == 0)
		return bad(r, "a literal without a text");
	*out = (struct recipe_step){ .texts = kept(r, &r->texts), .count = n };
	return r->state == RECIPE_OK;
}

static bool read_step(struct reading *r, uint64_t *last)
{
	struct recipe_step step = { .texts = NULL };
	struct slice key;
	size_t i = 0;

	if (!take(r, '{'))
		return bad(r, "a step without exactly one key");
	if (!enter(r) || !counted(r))
		return false;
	for (; next_key(r, i, &key); i++) {
		char which = letter(r, key);

		if (i == 1)
			return bad(r, "a step without exactly one key");
		if (which != 'c' && which != 'd' && (!which || which != r->draft->recipe_octets))
			return bad(r, "an unknown step");
		if (which == 'c' ? !read_copy(r, last, &step) : !read_texts(r, which != 'd', &step))
			return false;
	}
	if (i == 0)
		return bad(r, "a step without exactly one key");
	buf_add(&r->steps, &step, sizeof(step));
	return r->state == RECIPE_OK;
}

static bool read_steps(struct reading *r, struct recipe_steps *out)
{
	uint64_t last = 0;
	size_t n = 0;

	if (!take(r, '['))
		return bad(r, "no list of steps");
	if (!enter(r))
		return false;
	for (; more(r, ']', n); n++)
		if (!read_step(r, &last))
			return false;
	*out = (struct recipe_steps){ .steps = kept(r, &r->steps), .n = n };
	return r->state == RECIPE_OK;
}

/* --- its parts ------------------------------------------------------------------------------------------------ */

/* ftext (RFC 5322 3.6.8) */
static bool field_name(struct slice name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.at[i] <= ' ' || name.at[i] >= 0x7f || name.at[i] == ':')
			return false;
	return name.n != 0;
}

/* In its place: keys are compared without regard to case, or are in lower case already. */
static void make_lower(struct reading *r, struct slice name)
{
	unsigned char *p = r->text + (name.at - r->text);

	for (size_t i = 0; i < name.n; i++)
		p[i] = ascii_lower(p[i]);
}

static bool has_upper(struct slice name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.at[i] != ascii_lower(name.at[i]))
			return true;
	return false;
}

static bool read_header(struct reading *r, struct recipe *out)
{
	struct recipe_field field;
	size_t i = 0;

	if (!take(r, '{'))
		return bad(r, "h without a field name");
	if (!enter(r))
		return false;
	for (; next_key(r, i, &field.name); i++) {
		if (!field_name(field.name))
			return bad(r, "a field name that is none");
		if (!r->draft->recipe_any_case && has_upper(field.name))
			return bad(r, "a field name in upper case");
		make_lower(r, field.name);
		if (!read_steps(r, &field.steps))
			return false;
		if (!draft_unsigned(r->draft, field.name))
			buf_add(&r->fields, &field, sizeof(field));
	}
	if (i == 0)
		return bad(r, "h without a field name");
	out->field_count = r->fields.n / sizeof(field);
	out->fields = kept(r, &r->fields);
	return r->state == RECIPE_OK;
}

static bool read_body(struct reading *r, struct recipe *out)
{
	out->has_body = true;
	if (peek(r) != 'n')
		return read_steps(r, &out->body);
	out->body_lost = true;
	return read_word(r, S("null")) && (r->draft->body_lost || bad(r, "b is null"));
}

static bool read_recipe(struct reading *r, struct recipe *out)
{
	bool found = false;
	struct slice key;

	if (!take(r, '{'))
		return bad(r, "no object");
	if (!enter(r))
		return false;
	for (size_t i = 0; next_key(r, i, &key); i++) {
		char which = letter(r, key);

		found |= which == 'h' || which == 'b';
		if (which != 'h' && which != 'b' && (slice_ieq(key, S("h")) || slice_ieq(key, S("b"))))
			return bad(r, "a key in upper case");
		if (!(which == 'h' ? read_header(r, out) : which == 'b' ? read_body(r, out) : skip_value(r)))
			return false;
	}
	peek(r);
	if (r->at < r->n)
		return no_json(r);
	return found || bad(r, "neither h nor b");
}

enum recipe_state recipe_parse(struct arena *a, const struct dkim2_draft *draft, struct slice json, struct recipe *out, const char **why_out)
{
	struct reading r = { .arena = a, .draft = draft, .text = arena_take(a, json.n), .n = json.n };
	struct buf *lists[] = { &r.fields, &r.steps, &r.texts, &r.keys };
	struct recipe recipe = { .fields = NULL };

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		buf_init(lists[i], SIZE_MAX);
	if (!r.text) {
		stop(&r, RECIPE_MEMORY, "no memory");
	} else if (!utf8_valid(json)) {
		no_json(&r);
	} else {
		if (json.n)
			memcpy(r.text, json.at, json.n);
		read_recipe(&r, &recipe);
	}
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		buf_release(lists[i]);
	if (r.state == RECIPE_OK)
		*out = recipe;
	else
		*why_out = r.why;
	return r.state;
}

/* --- written -------------------------------------------------------------------------------------------------- */

static uint64_t steps_size(struct recipe_steps list)
{
	uint64_t n = list.n;

	for (size_t i = 0; i < list.n; i++)
		n += list.steps[i].texts ? list.steps[i].count : 0;
	return n;
}

uint64_t recipe_size(const struct recipe *r)
{
	uint64_t n = steps_size(r->body);

	for (size_t i = 0; i < r->field_count; i++)
		n += steps_size(r->fields[i].steps);
	return n;
}

/* As `d`? U+0000 in a string is refused by many readers, ours among them. */
static bool is_text(struct slice s)
{
	return slice_find(s, 0) == s.n && utf8_valid(s);
}

/* RFC 8259 section 7: what has to be escaped, and no more. */
static void write_string(struct buf *b, struct slice s)
{
	static const char hex[] = "0123456789abcdef";
	size_t plain = 0;

	buf_octet(b, '"');
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = s.at[i];

		if (c >= ' ' && c != '"' && c != '\\')
			continue;
		buf_slice(b, slice_sub(s, plain, i - plain));
		plain = i + 1;
		buf_octet(b, '\\');
		if (c == '"' || c == '\\') {
			buf_octet(b, c);
		} else if (c == '\t') {
			buf_octet(b, 't');
		} else {
			buf_str(b, "u00");
			buf_octet(b, (unsigned char)hex[c >> 4]);
			buf_octet(b, (unsigned char)hex[c & 15]);
		}
	}
	buf_slice(b, slice_sub(s, plain, s.n - plain));
	buf_octet(b, '"');
}

/* A literal of both kinds becomes a step for each run of one kind. */
static void write_texts(struct buf *b, const struct recipe_step *step)
{
	bool before = false;

	for (uint64_t i = 0; i < step->count; i++) {
		bool text = is_text(step->texts[i]);

		if (i && text == before)
			buf_octet(b, ',');
		else
			buf_str(b, i == 0 ? (text ? "{\"d\":[" : "{\"u\":[") : text ? "]},{\"d\":[" : "]},{\"u\":[");
		if (text) {
			write_string(b, step->texts[i]);
		} else {
			buf_octet(b, '"');
			b64_encode(b, step->texts[i]);
			buf_octet(b, '"');
		}
		before = text;
	}
	buf_str(b, "]}");
}

static void write_steps(struct buf *b, struct recipe_steps list)
{
	buf_octet(b, '[');
	for (size_t i = 0; i < list.n && !buf_failed(b); i++) {
		const struct recipe_step *step = &list.steps[i];

		if (i)
			buf_octet(b, ',');
		if (step->texts) {
			write_texts(b, step);
			continue;
		}
		buf_str(b, "{\"c\":[");
		buf_u64(b, step->from);
		buf_octet(b, ',');
		buf_u64(b, step->from + step->count - 1);
		buf_str(b, "]}");
	}
	buf_octet(b, ']');
}

void recipe_write(const struct recipe *r, struct buf *out)
{
	buf_octet(out, '{');
	for (size_t i = 0; i < r->field_count; i++) {
		buf_str(out, i ? "," : "\"h\":{");
		write_string(out, r->fields[i].name);
		buf_octet(out, ':');
		write_steps(out, r->fields[i].steps);
	}
	if (r->field_count)
		buf_octet(out, '}');
	if (r->has_body) {
		buf_str(out, r->field_count ? ",\"b\":" : "\"b\":");
		if (r->body_lost)
			buf_str(out, "null");
		else
			write_steps(out, r->body);
	}
	buf_octet(out, '}');
}
