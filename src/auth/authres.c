#include "auth/authres_in.h"
#include "mail/cfws.h"
#include "mail/domain.h"

/* whose field is it? RFC 8601 2.2 and 5 */


/* A fold in front of a blank, at i. */
static bool fold(struct slice s, size_t i)
{
	return s.n - i >= 3 && s.at[i] == '\r' && s.at[i + 1] == '\n' && (s.at[i + 2] == ' ' || s.at[i + 2] == '\t');
}

bool authres_quoted(struct arena *a, struct slice *s, bool folds, struct slice *out)
{
	unsigned char *p;
	size_t end = 1, n = 0;

	if (s->n == 0 || s->at[0] != '"')
		return false;
	while (end < s->n && s->at[end] != '"')
		end += s->at[end] == '\\' ? 2 : 1;
	if (end >= s->n)
		return false;
	p = arena_take(a, end);
	if (!p)
		return false;
	for (size_t i = 1; i < end; i++) {
		if (folds && fold(*s, i)) {
			i++;
			continue;
		}
		if (s->at[i] == '\\')
			i++;
		if ((s->at[i] < 0x20 && s->at[i] != '\t') || s->at[i] == 0x7f)
			return false;
		p[n++] = s->at[i];
	}
	*out = slice_of(p, n);
	*s = slice_sub(*s, end + 1, SIZE_MAX);
	return true;
}

/* token or quoted-string, without quotes. False: neither. */
static bool take_value(struct arena *a, struct slice *s, struct slice *out)
{
	size_t i = 0;

	if (s->n && s->at[0] == '"')
		return authres_quoted(a, s, false, out);
	while (i < s->n && authres_token_octet(s->at[i]))
		i++;
	*out = slice_sub(*s, 0, i);
	*s = slice_sub(*s, i, SIZE_MAX);
	return out->n > 0;
}

/* authserv-id [version] (";" / end), strictly */
static bool read_id(struct arena *a, struct slice value, struct slice *id_out)
{
	struct slice rest = value, version;

	if (!cfws_skip(&rest) || !take_value(a, &rest, id_out) || !cfws_skip(&rest))
		return false;
	if (rest.n && ascii_digit(rest.at[0])) {
		size_t n = 0;

		while (n < rest.n && ascii_digit(rest.at[n]))
			n++;
		if (!slice_take(&rest, n, &version) || !cfws_skip(&rest))
			return false;
	}
	return rest.n == 0 || rest.at[0] == ';';
}

static struct slice without_dot(struct slice s)
{
	return s.n && s.at[s.n - 1] == '.' ? slice_sub(s, 0, s.n - 1) : s;
}

static bool same_id(struct arena *a, struct slice x, struct slice y)
{
	struct slice p, q;

	x = without_dot(slice_trim(x));
	y = without_dot(slice_trim(y));
	return slice_ieq(x, y) || (domain_normal(a, x, &p) && domain_normal(a, y, &q) && slice_eq(p, q));
}

static bool holds(struct slice text, struct slice word)
{
	for (size_t i = 0; word.n && word.n <= text.n && i <= text.n - word.n; i++)
		if (ascii_lower(text.at[i]) == ascii_lower(word.at[0]) && slice_ieq(slice_sub(text, i, word.n), word))
			return true;
	return false;
}

/* The text as a reader might see it that skips what it does not understand: only ASCII, no comments, quotes, blanks. */
static struct slice squeezed(struct arena *a, struct slice value)
{
	unsigned char *p = arena_take(a, value.n);
	size_t n = 0, depth = 0;

	for (size_t i = 0; p && i < value.n; i++) {
		unsigned char c = value.at[i];

		if (c == '(')
			depth++;
		else if (c == ')')
			depth -= depth > 0;
		else if (!depth && c > 0x20 && c < 0x7f && c != '"' && c != '\\')
			p[n++] = c;
	}
	return slice_of(p, n);
}

bool authres_is_ours(struct arena *a, struct slice value, struct slice authserv_id)
{
	struct slice id, ours = without_dot(authserv_id), normal, text;

	/* an encoded word has no place here, but some decode it wherever it stands (RFC 2047 5) */
	if (holds(slice_sub(value, 0, slice_find(value, ';')), S("=?")))
		return true;
	if (read_id(a, value, &id))
		return same_id(a, id, authserv_id) || same_id(a, squeezed(a, id), authserv_id);
	text = squeezed(a, value);
	if (holds(value, ours) || holds(text, ours))
		return true;
	if (!domain_normal(a, ours, &normal))
		return false;
	if (holds(value, normal) || holds(text, normal))
		return true;
	/* a U-label may be ours in another spelling */
	for (size_t i = 0; holds(normal, S("xn--")) && i < value.n; i++)
		if (value.at[i] >= 0x80)
			return true;
	return false;
}
