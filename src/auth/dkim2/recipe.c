#include <jansson.h>

#include "auth/dkim2/recipe.h"
#include "base/b64.h"
#include "base/limits.h"
#include "mail/utf8.h"

/* What is being read, and what is wrong with it. */
struct reading {
	struct arena *arena;
	const struct dkim2_draft *draft;
	const char *why;
};

static bool bad(struct reading *r, const char *why)
{
	r->why = why;
	return false;
}

/* --- before jansson sees it ----------------------------------------------------------------------------------- */

/* Behind the quote that ends the string, its first quote is at `at`. No end: text.n. */
static size_t string_end(struct slice text, size_t at)
{
	for (size_t i = at + 1; i < text.n; i++) {
		if (text.at[i] == '\\')
			i++;
		else if (text.at[i] == '"')
			return i + 1;
	}
	return text.n;
}

/*
 * Is it small enough? This is no parser: as far as the text is JSON it counts what jansson will build of it, and where
 * it is JSON no longer jansson stops. Each octet is looked at once.
 *
 * Steps are the objects below h and b, literals the strings in an array; what is nested elsewhere counts alike.
 *
 * jansson forgets a NUL behind a number or a word, so control octets are found here; in strings it finds them itself.
 */
static enum recipe_state scan(struct slice text, const char **why_out)
{
	struct {
		bool array;
		size_t members;
	} open[LIMIT_RECIPE_DEPTH + 1] = { { .array = false } };
	size_t depth = 0, steps = 0;

	for (size_t i = 0; i < text.n;) {
		unsigned char c = text.at[i];

		if (c == '"') {
			steps += open[depth].array;
			i = string_end(text, i);
		} else {
			i++;
		}
		if (c == '{' || c == '[') {
			if (depth == LIMIT_RECIPE_DEPTH) {
				*why_out = "nested too deep";
				return RECIPE_BIG;
			}
			steps += c == '{' ? depth >= 2 : open[depth].array;
			depth++;
			open[depth].array = c == '[';
			open[depth].members = 0;
		} else if (c == '}' || c == ']') {
			if (depth == 0) {
				*why_out = "not JSON";
				return RECIPE_BAD;
			}
			depth--;
		} else if (c == ':') {
			if (++open[depth].members > LIMIT_RECIPE_NAMES) {
				*why_out = "too many members";
				return RECIPE_BIG;
			}
		} else if (c < ' ' && c != '\t' && c != '\r' && c != '\n') {
			*why_out = "not JSON";
			return RECIPE_BAD;
		}
		if (steps > LIMIT_RECIPE_STEPS) {
			*why_out = "too many steps";
			return RECIPE_BIG;
		}
	}
	return RECIPE_OK;
}

/* --- keys ----------------------------------------------------------------------------------------------------- */

static struct slice key_of(void *member)
{
	return slice_of(json_object_iter_key(member), json_object_iter_key_len(member));
}

static int by_name(const void *a, const void *b)
{
	return slice_icmp(*(const struct slice *)a, *(const struct slice *)b);
}

/* At most LIMIT_RECIPE_NAMES members, so the time for putting them in order is linear in their number. */
static bool key_twice(json_t *object)
{
	struct slice keys[LIMIT_RECIPE_NAMES];
	size_t n = 0;

	if (json_object_size(object) < 2)
		return false;
	for (void *m = json_object_iter(object); m && n < LIMIT_RECIPE_NAMES; m = json_object_iter_next(object, m))
		keys[n++] = key_of(m);
	qsort(keys, n, sizeof(keys[0]), by_name);
	for (size_t i = 1; i < n; i++)
		if (slice_ieq(keys[i - 1], keys[i]))
			return true;
	return false;
}

/* Anywhere, also in what is ignored. Calls itself LIMIT_RECIPE_DEPTH times at most. */
static bool any_key_twice(json_t *value)
{
	if (json_is_object(value)) {
		if (key_twice(value))
			return true;
		for (void *m = json_object_iter(value); m; m = json_object_iter_next(value, m))
			if (any_key_twice(json_object_iter_value(m)))
				return true;
	}
	for (size_t i = 0; i < json_array_size(value); i++)
		if (any_key_twice(json_array_get(value, i)))
			return true;
	return false;
}

/* ASCII only: no other letter becomes one of these. */
static struct slice lower(struct arena *a, struct slice s)
{
	unsigned char *p = arena_take(a, s.n);

	for (size_t i = 0; p && i < s.n; i++)
		p[i] = ascii_lower(s.at[i]);
	return p ? slice_of(p, s.n) : SLICE_NONE;
}

/* The letter of a key of one letter, in lower case; 0: another key. Up to -06 another case is another key. */
static char letter(const struct reading *r, struct slice key)
{
	if (key.n != 1)
		return 0;
	return (char)(r->draft->recipe_any_case ? ascii_lower(key.at[0]) : key.at[0]);
}

/* --- steps ---------------------------------------------------------------------------------------------------- */

/* `last` is the end of the copy before. jansson takes "1" for an integer, 1.0 and 1e0 for none. */
static bool read_copy(struct reading *r, json_t *range, uint64_t *last, struct recipe_step *out)
{
	json_t *start = json_array_get(range, 0), *end = json_array_get(range, 1);

	if (json_array_size(range) != 2 || !json_is_integer(start) || !json_is_integer(end))
		return bad(r, "a copy that is not two numbers");
	if (json_integer_value(start) < 1 || json_integer_value(end) < json_integer_value(start))
		return bad(r, "a copy of nothing");
	out->from = (uint64_t)json_integer_value(start);
	out->count = (uint64_t)json_integer_value(end) - out->from + 1;
	if (out->from <= *last)
		return bad(r, "copies that overlap or do not ascend");
	*last = (uint64_t)json_integer_value(end);
	return true;
}

static bool read_texts(struct reading *r, json_t *list, bool base64, struct recipe_step *out)
{
	size_t n = json_array_size(list);
	struct slice *texts;

	if (n == 0)
		return bad(r, "a literal without a text");
	texts = ARENA_ARRAY(r->arena, n, struct slice);
	for (size_t i = 0; texts && i < n; i++) {
		json_t *value = json_array_get(list, i);
		struct slice text = slice_of(json_string_value(value), json_string_length(value));

		if (!json_is_string(value))
			return bad(r, "a literal that is no string");
		if (!base64)
			texts[i] = arena_copy(r->arena, text);
		else if (!b64_decode(r->arena, text, false, &texts[i]))
			return bad(r, "a literal that is not canonical base64");
		if (slice_find(texts[i], '\r') < texts[i].n || slice_find(texts[i], '\n') < texts[i].n)
			return bad(r, "a literal with a line end");
	}
	out->texts = texts;
	out->count = n;
	return true;
}

static bool read_step(struct reading *r, json_t *step, uint64_t *last, struct recipe_step *out)
{
	void *member = json_object_iter(step);
	char key;

	if (json_object_size(step) != 1) /* 0: no object either */
		return bad(r, "a step without exactly one key");
	key = letter(r, key_of(member));
	if (key == 'c')
		return read_copy(r, json_object_iter_value(member), last, out);
	if (key == 'd' || (key && key == r->draft->recipe_octets))
		return read_texts(r, json_object_iter_value(member), key != 'd', out);
	return bad(r, "an unknown step");
}

static bool read_steps(struct reading *r, json_t *list, struct recipe_steps *out)
{
	size_t n = json_array_size(list);
	struct recipe_step *steps;
	uint64_t last = 0;

	if (!json_is_array(list))
		return bad(r, "no list of steps");
	steps = ARENA_ARRAY(r->arena, n, struct recipe_step);
	for (size_t i = 0; steps && i < n; i++)
		if (!read_step(r, json_array_get(list, i), &last, &steps[i]))
			return false;
	*out = (struct recipe_steps){ .steps = steps, .n = n };
	return true;
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

static bool read_header(struct reading *r, json_t *h, struct recipe *out)
{
	struct recipe_field *fields;
	size_t n = 0;

	if (json_object_size(h) == 0) /* no object either */
		return bad(r, "h without a field name");
	fields = ARENA_ARRAY(r->arena, json_object_size(h), struct recipe_field);
	for (void *m = json_object_iter(h); fields && m; m = json_object_iter_next(h, m)) {
		struct slice key = key_of(m);
		struct recipe_field field = { .name = lower(r->arena, key) };

		if (!field_name(key))
			return bad(r, "a field name that is none");
		if (!r->draft->recipe_any_case && !arena_failed(r->arena) && !slice_eq(field.name, key))
			return bad(r, "a field name in upper case");
		if (!read_steps(r, json_object_iter_value(m), &field.steps))
			return false;
		if (!draft_unsigned(r->draft, key))
			fields[n++] = field;
	}
	out->fields = fields;
	out->field_count = n;
	return true;
}

static bool read_body(struct reading *r, json_t *b, struct recipe *out)
{
	out->has_body = true;
	if (!json_is_null(b))
		return read_steps(r, b, &out->body);
	out->body_lost = true;
	return r->draft->body_lost || bad(r, "b is null");
}

static bool read_recipe(struct reading *r, json_t *root, struct recipe *out)
{
	bool found = false;

	if (!json_is_object(root))
		return bad(r, "no object");
	if (r->draft->recipe_any_case && any_key_twice(root))
		return bad(r, "a key twice");
	for (void *m = json_object_iter(root); m; m = json_object_iter_next(root, m)) {
		struct slice key = key_of(m);
		char which = letter(r, key);

		if (which == 'h' || which == 'b') {
			found = true;
			if (which == 'h' ? !read_header(r, json_object_iter_value(m), out) : !read_body(r, json_object_iter_value(m), out))
				return false;
		} else if (slice_ieq(key, S("h")) || slice_ieq(key, S("b"))) {
			return bad(r, "a key in upper case");
		}
	}
	return found || bad(r, "neither h nor b");
}

enum recipe_state recipe_parse(struct arena *a, const struct dkim2_draft *draft, struct slice json, struct recipe *out, const char **why_out)
{
	struct reading r = { .arena = a, .draft = draft };
	struct recipe recipe = { .fields = NULL };
	enum recipe_state state = scan(json, why_out);
	json_error_t error = { .line = 0 };
	json_t *root;
	bool fine;

	if (state != RECIPE_OK)
		return state;
	root = json_loadb(json.n ? (const char *)json.at : "", json.n, JSON_REJECT_DUPLICATES, &error);
	/* What is wrong with a text has a code; jansson that could not allocate may go without. */
	if (!root && (json_error_code(&error) == json_error_out_of_memory || json_error_code(&error) == json_error_unknown)) {
		*why_out = "no memory";
		return RECIPE_MEMORY;
	}
	if (!root) {
		*why_out = json_error_code(&error) == json_error_duplicate_key ? "a key twice" : "not JSON";
		return RECIPE_BAD;
	}
	fine = read_recipe(&r, root, &recipe);
	json_decref(root);
	if (arena_failed(a)) {
		*why_out = "no memory";
		return RECIPE_MEMORY;
	}
	if (!fine) {
		*why_out = r.why;
		return RECIPE_BAD;
	}
	*out = recipe;
	return RECIPE_OK;
}

/* --- written -------------------------------------------------------------------------------------------------- */

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
