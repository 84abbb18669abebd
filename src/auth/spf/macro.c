#include "auth/spf/macro.h"
#include "base/limits.h"

/* A run of octets that stand for themselves, or one macro-expand. */
struct token {
	struct slice literal;  /* what it stands for, unless there is a letter */
	bool expand;           /* written with a '%' */
	unsigned char letter;  /* lower case; 0: none */
	bool escape, reverse;
	size_t parts;          /* how many are used; 0: all */
	uint64_t delimiters;   /* bits, from '+' on; 0: not split at all */
};

enum { PARTS_MOST = 65536 }; /* more parts than a value has */

static uint64_t delimiter_bit(unsigned char c)
{
	return c >= '+' && c < '+' + 64 ? UINT64_C(1) << (c - '+') : 0;
}

static bool is_delimiter(unsigned char c)
{
	return c == '.' || c == '-' || c == '+' || c == ',' || c == '/' || c == '_' || c == '=';
}

/* "d2r.-}", behind the opening brace. */
static bool take_braced(struct slice *rest, struct token *out)
{
	struct slice s = *rest;
	bool digits = false;

	if (s.n == 0 || !ascii_alpha(s.at[0]))
		return false;
	out->letter = ascii_lower(s.at[0]);
	out->escape = out->letter != s.at[0];
	for (s = slice_sub(s, 1, s.n); s.n && ascii_digit(s.at[0]); s = slice_sub(s, 1, s.n)) {
		digits = true;
		if (out->parts < PARTS_MOST)
			out->parts = out->parts * 10 + (size_t)(s.at[0] - '0');
	}
	if (digits && out->parts == 0)
		return false;
	if (s.n && ascii_lower(s.at[0]) == 'r') {
		out->reverse = true;
		s = slice_sub(s, 1, s.n);
	}
	for (; s.n && is_delimiter(s.at[0]); s = slice_sub(s, 1, s.n))
		out->delimiters |= delimiter_bit(s.at[0]);
	if (s.n == 0 || s.at[0] != '}')
		return false;
	if (out->delimiters == 0 && (digits || out->reverse))
		out->delimiters = delimiter_bit('.');
	*rest = slice_sub(s, 1, s.n);
	return true;
}

/* The first token of a text that is not empty. False: a '%' that begins none. */
static bool take_token(struct slice *rest, struct token *out)
{
	size_t n = slice_find(*rest, '%');

	*out = (struct token){ .expand = n == 0 };
	if (n > 0)
		return slice_take(rest, n, &out->literal);
	if (rest->n < 2)
		return false;
	n = rest->at[1];
	*rest = slice_sub(*rest, 2, rest->n);
	switch (n) {
	case '%':
		out->literal = S("%");
		return true;
	case '_':
		out->literal = S(" ");
		return true;
	case '-':
		out->literal = S("%20");
		return true;
	case '{':
		return take_braced(rest, out);
	default:
		return false;
	}
}

/* Is the '%' before at[n] one that begins a macro, and not the second of "%%"? */
static bool begins_macro(const unsigned char *at, size_t n)
{
	size_t percents = 0;

	while (percents < n && at[n - 1 - percents] == '%')
		percents++;
	return percents % 2 == 1;
}

/* Where the last token of a valid text begins; of a run of literal octets only the last is taken. */
static size_t last_token(struct slice text)
{
	unsigned char c = text.at[text.n - 1];
	size_t n = text.n - 1;

	if (c == '%')
		return n - 1;
	if ((c == '_' || c == '-') && begins_macro(text.at, n))
		return n - 1;
	if (c != '}')
		return n;
	while (n > 0 && (ascii_alpha(text.at[n - 1]) || ascii_digit(text.at[n - 1]) || is_delimiter(text.at[n - 1])))
		n--;
	return n > 1 && text.at[n - 1] == '{' && begins_macro(text.at, n - 1) ? n - 2 : text.n - 1;
}

static bool literal_valid(struct slice s, enum macro_text where)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.at[i] < (where == MACRO_EXPLAIN ? 0x20 : 0x21) || s.at[i] > 0x7e)
			return false;
	return true;
}

static bool letter_valid(unsigned char letter, enum macro_text where)
{
	struct slice all = S("slodiphv"), only_explain = S("crt");

	return slice_find(all, letter) < all.n || (where != MACRO_NAME && slice_find(only_explain, letter) < only_explain.n);
}

bool macro_valid(struct slice text, enum macro_text where)
{
	struct token t;

	while (text.n) {
		if (!take_token(&text, &t))
			return false;
		if (t.letter ? !letter_valid(t.letter, where) : !t.expand && !literal_valid(t.literal, where))
			return false;
	}
	return true;
}

/* toplabel: letters, digits and inner hyphens, not digits alone. */
static bool top_label(struct slice s)
{
	bool other = false;

	if (s.n == 0 || s.at[0] == '-' || s.at[s.n - 1] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!ascii_alpha(s.at[i]) && !ascii_digit(s.at[i]) && s.at[i] != '-')
			return false;
		other |= !ascii_digit(s.at[i]);
	}
	return other;
}

bool macro_domain_spec(struct slice text)
{
	size_t n;

	if (text.n == 0 || !macro_valid(text, MACRO_NAME))
		return false;
	if (text.n - last_token(text) > 1)
		return true;
	if (slice_ends(text, S(".")))
		text.n--;
	/* No dot that is part of a macro has only letters, digits and hyphens behind it. */
	for (n = text.n; n > 0 && text.at[n - 1] != '.';)
		n--;
	return n > 0 && top_label(slice_sub(text, n, text.n));
}

bool macro_uses(struct slice text, unsigned char letter)
{
	struct token t;

	while (text.n && take_token(&text, &t))
		if (t.letter == letter)
			return true;
	return false;
}

static bool splits(const struct token *t, unsigned char c)
{
	return (t->delimiters & delimiter_bit(c)) != 0;
}

/* The parts that are used: so many from the right once they are reversed, so the first of a value that is (RFC 7208 7.3). */
static struct slice used_parts(struct slice value, const struct token *t)
{
	size_t left = t->parts, n;

	if (left == 0)
		return value;
	for (n = 0; n < value.n; n++)
		if (splits(t, value.at[t->reverse ? n : value.n - 1 - n]) && --left == 0)
			break;
	return t->reverse ? slice_sub(value, 0, n) : slice_sub(value, value.n - n, n);
}

/* What a token stands for, not yet escaped; borrowed until the next one. */
static struct slice token_value(const struct token *t, const struct macro_values *values)
{
	struct slice value = t->letter ? values->of[t->letter - 'a'] : t->literal;
	unsigned char *out = values->room;
	size_t end, n = 0;

	if (t->delimiters == 0)
		return value;
	value = used_parts(value, t);
	if (!t->reverse) {
		for (size_t i = 0; i < value.n; i++)
			out[i] = splits(t, value.at[i]) ? '.' : value.at[i];
		return slice_of(out, value.n);
	}
	for (end = value.n;;) {
		size_t from = end;

		while (from > 0 && !splits(t, value.at[from - 1]))
			from--;
		if (end > from)
			memcpy(out + n, value.at + from, end - from);
		n += end - from;
		if (from == 0)
			return slice_of(out, n);
		out[n++] = '.';
		end = from - 1;
	}
}

/* RFC 3986 2.3. */
static bool unreserved(unsigned char c)
{
	return ascii_alpha(c) || ascii_digit(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

/* An octet as it goes out. Returns how many it is now. */
static size_t octet_out(const struct token *t, unsigned char c, unsigned char out[3])
{
	static const char digits[] = "0123456789ABCDEF";

	out[0] = c;
	if (!t->escape || unreserved(c))
		return 1;
	out[0] = '%';
	out[1] = (unsigned char)digits[c >> 4];
	out[2] = (unsigned char)digits[c & 15];
	return 3;
}

struct slice macro_name(struct slice text, const struct macro_values *values, unsigned char out[DNS_NAME_OCTETS])
{
	/* Filled from its end: what fits no name any more need not be expanded. Room for a final dot and one octet too many. */
	unsigned char tail[DNS_NAME_OCTETS + 2], octets[3];
	size_t at = sizeof(tail), from;
	struct slice name;

	while (text.n && at > 0) {
		struct slice last, value;
		struct token t;

		from = last_token(text);
		last = slice_sub(text, from, text.n);
		text = slice_sub(text, 0, from);
		if (!take_token(&last, &t))
			return SLICE_NONE;
		value = token_value(&t, values);
		for (size_t i = value.n; i > 0 && at > 0; i--)
			for (size_t n = octet_out(&t, value.at[i - 1], octets); n > 0 && at > 0; n--)
				tail[--at] = octets[n - 1];
	}
	name = slice_of(tail + at, sizeof(tail) - at);
	if (slice_ends(name, S(".")))
		name.n--;
	for (from = 0; name.n - from > DNS_NAME_OCTETS;) {
		while (from < name.n && name.at[from] != '.')
			from++;
		if (from == name.n)
			return SLICE_NONE;
		from++;
	}
	if (name.n)
		memcpy(out, name.at + from, name.n - from);
	return slice_of(out, name.n - from);
}

struct slice macro_explain(struct arena *a, struct slice text, const struct macro_values *values)
{
	unsigned char *out, octets[3];
	size_t n = 0;

	if (!macro_valid(text, MACRO_EXPLAIN) || !(out = arena_take(a, LIMIT_SPF_EXPLANATION)))
		return SLICE_NONE;
	while (text.n && n < LIMIT_SPF_EXPLANATION) {
		struct slice value;
		struct token t;

		if (!take_token(&text, &t))
			return SLICE_NONE;
		value = token_value(&t, values);
		for (size_t i = 0; i < value.n; i++) {
			bool text_octet = t.escape || (value.at[i] >= 0x20 && value.at[i] <= 0x7e);
			size_t more = octet_out(&t, text_octet ? value.at[i] : '?', octets);

			if (more > LIMIT_SPF_EXPLANATION - n)
				return slice_of(out, n);
			memcpy(out + n, octets, more);
			n += more;
		}
	}
	return slice_of(out, n);
}
