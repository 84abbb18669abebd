#include "auth/authres.h"
#include "base/buf.h"
#include "base/limits.h"
#include "mail/cfws.h"
#include "mail/domain.h"
#include "mail/utf8.h"

enum {
	COLUMNS = 78,
	HOPS_OCTETS = 1500, /* of the list of hops in the comment; what follows is "..." */
	VALUE_OCTETS = 8192
};

/* ---- whose field is it? RFC 8601 2.2 and 5 ---- */

/* RFC 2045 token, with the octets of RFC 6532 */
static bool token_octet(unsigned char c)
{
	return c > 0x20 && c != 0x7f && !strchr("()<>@,;:\\\"/[]?=", c);
}

/* token or quoted-string, without quotes. False: neither. */
static bool take_value(struct arena *a, struct slice *s, struct slice *out)
{
	unsigned char *p;
	size_t i = 0, n = 0;

	if (s->n == 0 || s->at[0] != '"') {
		while (i < s->n && token_octet(s->at[i]))
			i++;
		*out = slice_sub(*s, 0, i);
		*s = slice_sub(*s, i, SIZE_MAX);
		return out->n > 0;
	}
	p = arena_take(a, s->n);
	if (!p)
		return false;
	for (i = 1; i < s->n && s->at[i] != '"'; i++) {
		if (s->at[i] == '\\' && ++i == s->n)
			return false;
		if ((s->at[i] < 0x20 && s->at[i] != '\t') || s->at[i] == 0x7f)
			return false;
		p[n++] = s->at[i];
	}
	if (i >= s->n)
		return false;
	*out = slice_of(p, n);
	*s = slice_sub(*s, i + 1, SIZE_MAX);
	return true;
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

/* ---- our own ---- */

/* Into a comment: RFC 5322 ctext with quoted pairs, UTF-8 as it is (RFC 6532). */
static void add_comment(struct buf *b, struct slice text)
{
	bool utf8 = utf8_valid(text);

	text = utf8_head(text, 2 * LIMIT_REASON); /* a line of it stays below 998 octets when all is escaped */
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = text.at[i];

		if (c < 0x20 || c == 0x7f)
			continue;
		if (c == '(' || c == ')' || c == '\\')
			buf_octet(b, '\\');
		buf_octet(b, c >= 0x80 && !utf8 ? '?' : c);
	}
}

static void add_id(struct buf *b, struct slice id)
{
	bool plain = id.n > 0;

	for (size_t i = 0; i < id.n; i++)
		plain &= token_octet(id.at[i]);
	if (plain) {
		buf_slice(b, id);
		return;
	}
	buf_octet(b, '"');
	for (size_t i = 0; i < id.n; i++) {
		if (id.at[i] < 0x20 || id.at[i] == 0x7f)
			continue;
		if (id.at[i] == '"' || id.at[i] == '\\')
			buf_octet(b, '\\');
		buf_octet(b, id.at[i]);
	}
	buf_octet(b, '"');
}

static void add_hops(struct buf *b, const struct dkim2_verdict *v)
{
	size_t start = b->n;

	for (size_t k = 0; k < v->hop_count; k++) {
		const struct dkim2_hop *hop = &v->hops[k];

		if (k)
			buf_str(b, ", ");
		if (b->n - start > HOPS_OCTETS) {
			buf_str(b, "...");
			return;
		}
		buf_printf(b, "i=%llu ", (unsigned long long)hop->i);
		add_comment(b, hop->d_normal.n ? hop->d_normal : S("?"));
		buf_printf(b, " %s", dkim2_state_name(hop->state));
	}
}

static void add_dkim2(struct buf *b, const struct dkim2_verdict *v)
{
	bool found = v->state != DKIM2_PASS;

	buf_printf(b, "dkim2=%s", dkim2_state_name(v->state));
	if (v->state == DKIM2_NONE)
		return;
	buf_str(b, " (");
	add_hops(b, v);
	if (found && v->reason.n) {
		buf_printf(b, "%s%s: ", v->hop_count ? "; " : "",
		    v->state == DKIM2_FAIL ? "FAIL" : v->state == DKIM2_TEMPERROR ? "TEMPERROR" : "PERMERROR");
		add_comment(b, v->reason);
	} else if (v->level == DKIM2_PROVISIONAL) {
		buf_str(b, "; provisional");
	} else if (v->level == DKIM2_NO_ENVELOPE) {
		buf_str(b, "; envelope not checked");
	}
	buf_octet(b, ')');
	/* What came provisionally may have been rewritten since hop 1: nobody is to give that domain the credit for it. */
	if (!(v->state == DKIM2_PASS && v->level == DKIM2_PROVISIONAL) && v->hop_count && v->hops[0].i == 1 && v->hops[0].d_normal.n) {
		buf_str(b, " header.d=");
		buf_slice(b, v->hops[0].d_normal);
	}
	if (found && v->blamed)
		buf_printf(b, " header.i=%llu", (unsigned long long)v->blamed);
}

struct slice authres_value(struct arena *a, struct slice authserv_id, const struct dkim2_verdict *dkim2)
{
	struct buf b;
	struct slice out = SLICE_NONE;

	buf_init(&b, VALUE_OCTETS);
	add_id(&b, authserv_id);
	buf_str(&b, "; ");
	add_dkim2(&b, dkim2);
	if (!buf_failed(&b))
		out = arena_copy(a, buf_get(&b));
	buf_release(&b);
	return out;
}

struct slice authres_field(struct arena *a, struct slice authserv_id, const struct dkim2_verdict *dkim2)
{
	struct slice rest = authres_value(a, authserv_id, dkim2), word, out = SLICE_NONE;
	struct buf b;
	size_t column;
	bool more = rest.n > 0, first = true;

	buf_init(&b, 2 * VALUE_OCTETS);
	buf_str(&b, "Authentication-Results:");
	column = b.n;
	while (more) {
		bool border = !first && buf_get(&b).at[b.n - 1] == ';' && slice_starts(rest, S("dkim2="));

		more = slice_cut(&rest, ' ', &word);
		/* in front of a word only: no line is all blanks */
		if (border || (word.n && column + 1 + word.n > COLUMNS)) {
			buf_str(&b, "\r\n");
			column = 0;
		}
		buf_octet(&b, ' ');
		buf_slice(&b, word);
		column += 1 + word.n;
		first = false;
	}
	buf_str(&b, "\r\n");
	if (!buf_failed(&b) && !first)
		out = arena_copy(a, buf_get(&b));
	buf_release(&b);
	return out;
}
