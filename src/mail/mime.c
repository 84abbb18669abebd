#include "mail/mime.h"
#include "base/limits.h"
#include "mail/cfws.h"

enum { BOUNDARY_OCTETS = 70 };

/* ---- a content type ---- */

/* RFC 2045 5.1 */
static bool token_octet(unsigned char c)
{
	return c > ' ' && c < 0x7f && !strchr("()<>@,;:\\\"/[]?=", c);
}

static struct slice take_token(struct slice *s)
{
	struct slice token;
	size_t n = 0;

	while (n < s->n && token_octet(s->at[n]))
		n++;
	token = slice_sub(*s, 0, n);
	*s = slice_sub(*s, n, SIZE_MAX);
	return token;
}

static bool take_octet(struct slice *s, unsigned char c)
{
	if (s->n == 0 || s->at[0] != c)
		return false;
	*s = slice_sub(*s, 1, SIZE_MAX);
	return true;
}

/* Behind the first quote. A fold inside is a blank line end left out (RFC 5322 3.2.4). */
static bool take_quoted(struct arena *a, struct slice *s, struct slice *value_out)
{
	size_t i, n = 0;
	unsigned char *text;

	for (i = 0; i < s->n && s->at[i] != '"'; i++)
		if (s->at[i] == '\\')
			i++;
	if (i >= s->n)
		return false;
	text = arena_take(a, i);
	if (!text)
		return false;
	for (size_t k = 0; k < i; k++) {
		if (s->at[k] == '\r' && i - k > 2 && s->at[k + 1] == '\n' && (s->at[k + 2] == ' ' || s->at[k + 2] == '\t'))
			k += 2;
		else if (s->at[k] == '\\')
			k++;
		if (s->at[k] == '\r' || s->at[k] == '\n' || s->at[k] == '\0')
			return false;
		text[n++] = s->at[k];
	}
	*value_out = slice_of(text, n);
	*s = slice_sub(*s, i + 1, SIZE_MAX);
	return true;
}

static bool take_param(struct arena *a, struct slice *s, struct mime_param *out)
{
	out->name = take_token(s);
	if (out->name.n == 0 || !cfws_skip(s) || !take_octet(s, '=') || !cfws_skip(s))
		return false;
	if (take_octet(s, '"'))
		return take_quoted(a, s, &out->value);
	out->value = take_token(s);
	return out->value.n > 0;
}

static size_t count_params(struct slice value)
{
	size_t n = 0;

	for (size_t i = 0; i < value.n && n < LIMIT_MIME_PARAMS; i++)
		n += value.at[i] == ';';
	return n;
}

bool mime_type_parse(struct arena *a, struct slice value, struct mime_type *out)
{
	struct mime_type t = { .params = NULL };

	if (!cfws_skip(&value))
		return false;
	t.type = take_token(&value);
	if (!cfws_skip(&value) || !take_octet(&value, '/') || !cfws_skip(&value))
		return false;
	t.subtype = take_token(&value);
	if (t.type.n == 0 || t.subtype.n == 0 || !cfws_skip(&value))
		return false;
	t.params = ARENA_ARRAY(a, count_params(value), struct mime_param);
	if (!t.params)
		return false;
	while (value.n) {
		if (!take_octet(&value, ';') || !cfws_skip(&value))
			return false;
		if (value.n == 0)
			break;
		if (t.n == LIMIT_MIME_PARAMS || !take_param(a, &value, &t.params[t.n]) || !cfws_skip(&value))
			return false;
		t.n++;
	}
	*out = t;
	return true;
}

bool mime_is(const struct mime_type *t, struct slice type, struct slice subtype)
{
	return slice_ieq(t->type, type) && (subtype.n == 0 || slice_ieq(t->subtype, subtype));
}

struct slice mime_param(const struct mime_type *t, struct slice name)
{
	struct slice value = SLICE_NONE;
	size_t met = 0;

	for (size_t i = 0; i < t->n; i++) {
		/* boundary*, boundary*0, boundary*0*: RFC 2231 */
		struct slice base = slice_sub(t->params[i].name, 0, slice_find(t->params[i].name, '*'));

		if (!slice_ieq(base, name))
			continue;
		met++;
		if (base.n == t->params[i].name.n)
			value = t->params[i].value;
	}
	return met == 1 ? value : SLICE_NONE;
}

bool mime_boundary(struct slice boundary)
{
	for (size_t i = 0; i < boundary.n; i++) {
		unsigned char c = boundary.at[i];

		if (!ascii_alpha(c) && !ascii_digit(c) && (c == '\0' || !strchr("'()+_,-./:=? ", c)))
			return false;
	}
	return boundary.n > 0 && boundary.n <= BOUNDARY_OCTETS && boundary.at[boundary.n - 1] != ' ';
}

/* ---- a header ---- */

/* The only field of that name, NULL: none. False: several. */
static bool only_field(const struct header *h, struct slice name, const struct field **out)
{
	size_t i = header_find(h, name, 0);

	*out = i < h->n ? &h->fields[i] : NULL;
	return i == h->n || header_find(h, name, i + 1) == h->n;
}

bool mime_head(struct arena *a, const struct header *h, struct mime_type *type_out, enum mime_encoding *encoding_out)
{
	const struct field *type, *encoding;
	enum mime_encoding e = MIME_PLAIN;

	if (!only_field(h, S("Content-Type"), &type) || !only_field(h, S("Content-Transfer-Encoding"), &encoding))
		return false;
	if (encoding) {
		struct slice rest = encoding->value, word;

		if (!cfws_skip(&rest))
			return false;
		word = take_token(&rest);
		if (word.n == 0 || !cfws_skip(&rest) || rest.n)
			return false;
		if (!slice_ieq(word, S("7bit")) && !slice_ieq(word, S("8bit")) && !slice_ieq(word, S("binary")))
			e = MIME_ENCODED;
	}
	if (type) {
		if (!mime_type_parse(a, type->value, type_out))
			return false;
	} else {
		*type_out = (struct mime_type){ .type = S("text"), .subtype = S("plain") };
	}
	*encoding_out = e;
	return true;
}

/* ---- the parts of a multipart ---- */

enum line_kind {
	LINE_NONE,  /* there is no further one */
	LINE_BAD,   /* begins with the boundary, and is no delimiter */
	LINE_NEXT,
	LINE_CLOSE
};

struct line {
	size_t at;  /* where its "--" is */
	size_t end; /* behind its CRLF */
};

/* What follows the boundary in a line. */
static enum line_kind line_tail(struct slice body, size_t at, struct line *out)
{
	enum line_kind kind = LINE_NEXT;

	if (slice_starts(slice_sub(body, at, 2), S("--"))) {
		kind = LINE_CLOSE;
		at += 2;
	}
	while (at < body.n && (body.at[at] == ' ' || body.at[at] == '\t'))
		at++;
	if (at == body.n)
		out->end = at;
	else if (slice_starts(slice_sub(body, at, 2), S("\r\n")))
		out->end = at + 2;
	else
		return LINE_BAD;
	return kind;
}

/* The next line at or after `from` that begins with "--" and the boundary. */
static enum line_kind next_line(struct slice body, size_t from, struct slice boundary, struct line *out)
{
	unsigned char wanted[BOUNDARY_OCTETS + 2] = "--";
	size_t n = boundary.n + 2;

	memcpy(wanted + 2, boundary.at, boundary.n);
	while (from < body.n) {
		const unsigned char *met = memmem(body.at + from, body.n - from, wanted, n);
		size_t at;

		if (!met)
			return LINE_NONE;
		at = (size_t)(met - body.at);
		if (at == 0 || (at >= 2 && body.at[at - 2] == '\r' && body.at[at - 1] == '\n')) {
			out->at = at;
			return line_tail(body, at + n, out);
		}
		from = at + 1;
	}
	return LINE_NONE;
}

bool mime_split(struct slice body, struct slice boundary, struct slice *parts_out, size_t part_max, size_t *n_out)
{
	struct line line, next;
	enum line_kind kind = next_line(body, 0, boundary, &line);
	size_t n = 0;

	while (kind == LINE_NEXT) {
		kind = next_line(body, line.end, boundary, &next);
		if (kind <= LINE_BAD || n == part_max || next.at < line.end + 2)
			return false;
		parts_out[n++] = slice_sub(body, line.end, next.at - 2 - line.end);
		line = next;
	}
	if (kind != LINE_CLOSE || n == 0)
		return false;
	*n_out = n;
	return true;
}

bool mime_part_parse(struct arena *a, struct slice raw, size_t field_max, struct mime_part *out)
{
	struct mime_part p = { .raw = raw };
	size_t seen = 0, block = raw.n, body = raw.n;
	struct fault f = { 0 };

	(void)header_end(raw, &seen, &block, &body); /* without an empty line it is a header and no more */
	if (!header_parse(a, slice_sub(raw, 0, block), field_max, &p.header, &f) || p.header.malformed ||
	    !mime_head(a, &p.header, &p.type, &p.encoding))
		return false;
	p.body = slice_sub(raw, body, SIZE_MAX);
	*out = p;
	return true;
}
