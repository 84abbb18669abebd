#include "auth/authres_in.h"
#include "base/buf.h"
#include "base/limits.h"
#include "mail/utf8.h"

enum {
	COLUMNS = 78,
	HOPS_OCTETS = 1500,             /* of the list of hops in the comment; what follows is "..." */
	COMMENT_OCTETS = 2600,          /* room for those and a reason */
	REASON_OCTETS = 2 * LIMIT_REASON,
	RUN_OCTETS = REASON_OCTETS,     /* of a comment between two blanks: a line of it stays below 998 octets when all is escaped */
	KEYWORD_OCTETS = 63,
	LONG_OCTETS = 16384,            /* of a value; behind it results are bare */
	VALUE_OCTETS = 65536            /* what the last one that is not, and a hundred that are, take at most */
};

/* ---- values ---- */

/* Without control octets, and UTF-8 or ASCII: nothing in it can end a line, or a string it is put into. */
static struct slice cleaned(struct arena *a, struct slice text, size_t most)
{
	bool utf8 = utf8_valid(text);
	unsigned char *p;
	size_t n = 0;

	text = utf8_head(text, most);
	p = arena_take(a, text.n);
	for (size_t i = 0; p && i < text.n; i++) {
		unsigned char c = text.at[i];

		if (c < 0x20 || c == 0x7f)
			continue;
		p[n++] = c >= 0x80 && !utf8 ? '?' : c;
	}
	return slice_of(p, n);
}

static bool any(struct slice s, bool (*octet)(unsigned char))
{
	for (size_t i = 0; i < s.n; i++)
		if (octet(s.at[i]))
			return true;
	return false;
}

static bool high(unsigned char c)
{
	return c >= 0x80;
}

/* What no reader takes for anything else, however it splits words: less than the grammar lets stand without quotes. */
static bool plain(unsigned char c)
{
	return ascii_alpha(c) || ascii_digit(c) || c >= 0x80 || (c && strchr("-._+", c));
}

static bool all_plain(struct slice s, bool equals)
{
	for (size_t i = 0; i < s.n; i++)
		if (!plain(s.at[i]) && !(equals && s.at[i] == '='))
			return false;
	return true;
}

/* Words with a dot between any two. */
static bool dotted(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.at[i] == '.' && (i == 0 || i + 1 == s.n || s.at[i + 1] == '.'))
			return false;
	return true;
}

/* domain-name of RFC 6376 3.5, U-labels too */
static bool domain_name(struct slice s)
{
	size_t labels = 0;
	bool more;

	do {
		struct slice label;

		more = slice_cut(&s, '.', &label);
		if (label.n == 0 || label.at[0] == '-' || label.at[label.n - 1] == '-')
			return false;
		for (size_t i = 0; i < label.n; i++)
			if (!authres_keyword_octet(label.at[i]) && !high(label.at[i]))
				return false;
		labels++;
	} while (more);
	return labels > 1;
}

/* [local-part] "@" domain-name that may stand as it is. Some take U+00A0 for a blank: no '=' beside what is not ASCII. */
static bool plain_address(struct slice value)
{
	struct slice local, domain = value;

	return slice_cut(&domain, '@', &local) && domain_name(domain) && dotted(local) && all_plain(local, !any(value, high));
}

static void add_quoted(struct buf *b, struct slice text)
{
	buf_octet(b, '"');
	for (size_t i = 0; i < text.n; i++) {
		if (text.at[i] == '"' || text.at[i] == '\\')
			buf_octet(b, '\\');
		buf_octet(b, text.at[i]);
	}
	buf_octet(b, '"');
}

static void add_value(struct arena *a, struct buf *b, struct slice value, bool address)
{
	value = cleaned(a, value, LIMIT_AUTHRES_VALUE);
	if ((value.n && all_plain(value, false)) || (address && plain_address(value)))
		buf_slice(b, value);
	else
		add_quoted(b, value);
}

static void add_id(struct arena *a, struct buf *b, struct slice id)
{
	bool token;

	id = cleaned(a, id, LIMIT_AUTHRES_VALUE);
	token = id.n > 0;
	for (size_t i = 0; i < id.n; i++)
		token &= authres_token_octet(id.at[i]);
	if (token)
		buf_slice(b, id);
	else
		add_quoted(b, id);
}

/* Into a comment: RFC 5322 ctext with quoted pairs. */
static void add_comment(struct arena *a, struct buf *b, struct slice text)
{
	size_t run = 0;
	bool dropped = false;

	text = cleaned(a, text, COMMENT_OCTETS);
	buf_str(b, " (");
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = text.at[i];

		if (c == ' ')
			run = 0;
		if ((c & 0xc0) != 0x80) /* a sequence stays whole */
			dropped = run >= RUN_OCTETS;
		if (c != ' ')
			run++;
		if (dropped)
			continue;
		if (c == '(' || c == ')' || c == '\\')
			buf_octet(b, '\\');
		buf_octet(b, c);
	}
	buf_octet(b, ')');
}

/* ---- results ---- */

static bool keyword(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!authres_keyword_octet(s.at[i]))
			return false;
	return s.n > 0 && s.n <= KEYWORD_OCTETS && s.at[s.n - 1] != '-';
}

static void add_result(struct arena *a, struct buf *b, const struct authres_result *r, bool bare)
{
	size_t props = 0;

	buf_slice(b, r->method);
	buf_octet(b, '=');
	buf_slice(b, r->result);
	if (bare)
		return;
	if (r->comment.n)
		add_comment(a, b, r->comment);
	if (r->reason.n) {
		buf_str(b, " reason=");
		add_value(a, b, r->reason, false);
	}
	for (size_t i = 0; i < r->prop_count && props < LIMIT_AUTHRES_PROPS; i++) {
		const struct authres_prop *prop = &r->props[i];

		if (!keyword(prop->ptype) || !keyword(prop->property))
			continue;
		buf_octet(b, ' ');
		buf_slice(b, prop->ptype);
		buf_octet(b, '.');
		buf_slice(b, prop->property);
		buf_octet(b, '=');
		add_value(a, b, prop->value, true);
		props++;
	}
}

/* Where each result begins is in starts[0..*n_out). */
static void write_value(struct arena *a, struct buf *b, struct slice id, const struct authres_result *results, size_t n,
    size_t starts[LIMIT_AUTHRES_RESULTS], size_t *n_out)
{
	size_t k = 0;

	add_id(a, b, id);
	for (size_t i = 0; i < n && k < LIMIT_AUTHRES_RESULTS; i++) {
		if (!keyword(results[i].method) || !keyword(results[i].result))
			continue;
		buf_str(b, "; ");
		starts[k++] = b->n;
		add_result(a, b, &results[i], b->n > LONG_OCTETS);
	}
	if (k == 0)
		buf_str(b, "; none");
	*n_out = k;
}

struct slice authres_value(struct arena *a, struct slice authserv_id, const struct authres_result *results, size_t n)
{
	size_t starts[LIMIT_AUTHRES_RESULTS], written;
	struct slice out = SLICE_NONE;
	struct buf b;

	buf_init(&b, VALUE_OCTETS);
	write_value(a, &b, authserv_id, results, n, starts, &written);
	if (!buf_failed(&b))
		out = arena_copy(a, buf_get(&b));
	buf_release(&b);
	return arena_failed(a) ? SLICE_NONE : out;
}

/* Folds in front of each result, and of words that would not fit; never behind blanks only, for no line is all blanks. */
static void add_folded(struct buf *b, struct slice value, const size_t *starts, size_t n)
{
	struct slice rest = value, word;
	size_t column = b->n, k = 0;
	bool more = true;

	while (more) {
		bool border = k < n && value.n - rest.n == starts[k];

		k += border;
		more = slice_cut(&rest, ' ', &word);
		if (border || (word.n && column + 1 + word.n > COLUMNS)) {
			buf_str(b, "\r\n");
			column = 0;
		}
		buf_octet(b, ' ');
		buf_slice(b, word);
		column += 1 + word.n;
	}
	buf_str(b, "\r\n");
}

struct slice authres_field(struct arena *a, struct slice name, struct slice authserv_id, const struct authres_result *results, size_t n)
{
	size_t starts[LIMIT_AUTHRES_RESULTS], written;
	struct slice out = SLICE_NONE;
	struct buf value, b;

	buf_init(&value, VALUE_OCTETS);
	buf_init(&b, 2 * VALUE_OCTETS);
	write_value(a, &value, authserv_id, results, n, starts, &written);
	buf_slice(&b, name);
	buf_octet(&b, ':');
	add_folded(&b, buf_get(&value), starts, written);
	if (!buf_failed(&b) && !buf_failed(&value))
		out = arena_copy(a, buf_get(&b));
	buf_release(&b);
	buf_release(&value);
	return arena_failed(a) ? SLICE_NONE : out;
}

/* ---- dkim2 ---- */

static void add_hops(struct arena *a, struct buf *b, const struct dkim2_verdict *v)
{
	for (size_t k = 0; k < v->hop_count; k++) {
		const struct dkim2_hop *hop = &v->hops[k];

		if (k)
			buf_str(b, ", ");
		if (b->n > HOPS_OCTETS) {
			buf_str(b, "...");
			return;
		}
		buf_printf(b, "i=%llu ", (unsigned long long)hop->i);
		buf_slice(b, hop->d_normal.n ? cleaned(a, hop->d_normal, REASON_OCTETS) : S("?"));
		buf_printf(b, " %s", dkim2_state_name(hop->state));
	}
}

static struct slice dkim2_comment(struct arena *a, const struct dkim2_verdict *v)
{
	struct slice out = SLICE_NONE;
	struct buf b;

	buf_init(&b, VALUE_OCTETS);
	add_hops(a, &b, v);
	if (v->state != DKIM2_PASS && v->reason.n) {
		buf_printf(&b, "%s%s: ", v->hop_count ? "; " : "",
		    v->state == DKIM2_FAIL ? "FAIL" : v->state == DKIM2_TEMPERROR ? "TEMPERROR" : "PERMERROR");
		buf_slice(&b, cleaned(a, v->reason, REASON_OCTETS));
	} else if (v->level == DKIM2_PROVISIONAL) {
		buf_str(&b, "; provisional");
	} else if (v->level == DKIM2_NO_ENVELOPE) {
		buf_str(&b, "; envelope not checked");
	}
	if (!buf_failed(&b))
		out = arena_copy(a, buf_get(&b));
	buf_release(&b);
	return out;
}

struct authres_result authres_dkim2(struct arena *a, const struct dkim2_verdict *v)
{
	struct authres_result r = { .method = S("dkim2"), .result = slice_str(dkim2_state_name(v->state)) };
	struct authres_prop *props = ARENA_ARRAY(a, 2, struct authres_prop);

	if (v->state == DKIM2_NONE || !props)
		return r;
	r.comment = dkim2_comment(a, v);
	/* What came provisionally may have been rewritten since hop 1: nobody is to give that domain the credit for it. */
	if (!(v->state == DKIM2_PASS && v->level == DKIM2_PROVISIONAL) && v->hop_count && v->hops[0].i == 1 && v->hops[0].d_normal.n)
		props[r.prop_count++] = (struct authres_prop){ S("header"), S("d"), v->hops[0].d_normal };
	if (v->state != DKIM2_PASS && v->blamed)
		props[r.prop_count++] = (struct authres_prop){ S("header"), S("i"), arena_printf(a, "%llu", (unsigned long long)v->blamed) };
	r.props = props;
	return r;
}
