#include "base/limits.h"
#include "mail/addr.h"
#include "mail/cfws.h"
#include "mail/domain.h"
#include "mail/utf8.h"

/* RFC 5322 3.2.3, RFC 6532 3.2 */
static bool atext(unsigned char c)
{
	return ascii_alpha(c) || ascii_digit(c) || c >= 0x80 || (c > ' ' && c < 0x7f && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

/* ---- paths, RFC 5321 4.1.2 ---- */

/* Octets of a Local-part at the front of s, 0: none. */
static size_t local_part(struct slice s)
{
	size_t i = 0;

	if (s.n && s.at[0] == '"') {
		for (i = 1; i < s.n && s.at[i] != '"'; i++) {
			if (s.at[i] == '\\')
				i++;
			if (i == s.n || s.at[i] < 0x20 || s.at[i] == 0x7f)
				return 0;
		}
		return i < s.n ? i + 1 : 0;
	}
	for (;;) {
		size_t from = i;

		while (i < s.n && atext(s.at[i]))
			i++;
		if (i == from)
			return 0;
		if (i == s.n || s.at[i] != '.')
			return i;
		i++;
	}
}

/* Host names and U-labels alike; what they mean is domain_normal's business. */
static bool name_shape(struct slice s)
{
	size_t label = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = s.at[i];

		if (c == '.') {
			if (label == 0)
				return false;
			label = 0;
		} else if (ascii_alpha(c) || ascii_digit(c) || c == '-' || c == '_' || c >= 0x80) {
			label++;
		} else {
			return false;
		}
	}
	return label != 0;
}

static bool ipv4_shape(struct slice s)
{
	struct slice part;
	size_t parts = 0;
	bool more;

	do {
		uint64_t v;

		more = slice_cut(&s, '.', &part);
		if (part.n > 3 || !slice_u64(part, 255, &v))
			return false;
		parts++;
	} while (more);
	return parts == 4;
}

/* RFC 5321 4.1.3: dotted quad, or tag ":" text */
static bool literal_shape(struct slice s)
{
	struct slice inner, tag;

	if (s.n < 3 || s.at[0] != '[' || s.at[s.n - 1] != ']')
		return false;
	inner = slice_sub(s, 1, s.n - 2);
	for (size_t i = 0; i < inner.n; i++)
		if (inner.at[i] < 0x21 || inner.at[i] > 0x7e || (inner.at[i] >= '[' && inner.at[i] <= ']'))
			return false;
	if (ipv4_shape(inner))
		return true;
	if (!slice_cut(&inner, ':', &tag) || inner.n == 0 || tag.n == 0)
		return false;
	for (size_t i = 0; i < tag.n; i++)
		if (!ascii_alpha(tag.at[i]) && !ascii_digit(tag.at[i]) && tag.at[i] != '-')
			return false;
	if (!slice_ieq(tag, S("IPv6")))
		return true;
	for (size_t i = 0; i < inner.n; i++) {
		unsigned char c = ascii_lower(inner.at[i]);

		if (!ascii_digit(c) && !(c >= 'a' && c <= 'f') && c != ':' && c != '.')
			return false;
	}
	return true;
}

static bool domain_shape(struct slice s)
{
	return s.n <= LIMIT_PATH && (literal_shape(s) || name_shape(s));
}

/* Skips "@one,@two:". */
static bool skip_route(struct slice *inner)
{
	struct slice route, hop;
	bool more;

	if (!slice_cut(inner, ':', &route))
		return false;
	do {
		more = slice_cut(&route, ',', &hop);
		if (hop.n < 2 || hop.at[0] != '@' || !domain_shape(slice_sub(hop, 1, SIZE_MAX)))
			return false;
	} while (more);
	return true;
}

bool path_parse(struct slice text, struct path *path_out)
{
	struct path p = { .raw = text };
	struct slice inner;
	size_t local;

	if (text.n < 2 || text.n > LIMIT_PATH || text.at[0] != '<' || text.at[text.n - 1] != '>')
		return false;
	inner = slice_sub(text, 1, text.n - 2);
	if (inner.n == 0) {
		p.null = true;
		*path_out = p;
		return true;
	}
	for (size_t i = 0; i < inner.n && !p.utf8; i++)
		p.utf8 = inner.at[i] >= 0x80;
	if (p.utf8 && !utf8_valid(inner))
		return false;
	if (inner.at[0] == '@' && !skip_route(&inner))
		return false;
	local = local_part(inner);
	if (local == 0)
		return false;
	p.local = slice_sub(inner, 0, local);
	if (local == inner.n) {
		if (!slice_ieq(inner, S("postmaster")))
			return false;
	} else {
		if (inner.at[local] != '@')
			return false;
		p.domain = slice_sub(inner, local + 1, SIZE_MAX);
		if (!domain_shape(p.domain))
			return false;
	}
	*path_out = p;
	return true;
}

struct slice path_key(struct arena *a, struct slice text)
{
	struct path p;
	struct slice domain;
	unsigned char *key;
	size_t n = 0;

	if (!path_parse(text, &p))
		return text;
	if (p.null || p.domain.n == 0)
		return p.local;
	if (!domain_normal(a, p.domain, &domain))
		return text;
	/* as it stands, nothing to undo: the common case */
	if (p.local.at[0] != '"' && domain.at == p.domain.at)
		return slice_of(p.local.at, p.local.n + 1 + domain.n);
	key = arena_take(a, p.local.n + 1 + domain.n);
	if (!key)
		return SLICE_NONE;
	if (p.local.at[0] == '"') {
		for (size_t i = 1; i < p.local.n - 1; i++) {
			if (p.local.at[i] == '\\')
				i++;
			key[n++] = p.local.at[i];
		}
	} else {
		memcpy(key, p.local.at, p.local.n);
		n = p.local.n;
	}
	key[n++] = '@';
	memcpy(key + n, domain.at, domain.n);
	return slice_of(key, n + domain.n);
}

bool path_same(struct arena *a, struct slice x, struct slice y)
{
	struct slice p, q;

	if (slice_eq(x, y))
		return true;
	p = path_key(a, x);
	q = path_key(a, y);
	return !arena_failed(a) && slice_eq(p, q);
}

/* ---- address lists, RFC 5322 3.4 and 4.4 ---- */

enum token_kind {
	TOKEN_ATOM,
	TOKEN_QUOTED,
	TOKEN_LITERAL,
	TOKEN_SPECIAL, /* one of <>@,;:. */
	TOKEN_END
};

struct token {
	enum token_kind kind;
	struct slice text;
};

struct reader {
	struct arena *arena;
	struct token *tokens; /* the last one is TOKEN_END */
	size_t at;
	struct addr *list;
	size_t n;
};

static bool special(const struct reader *r, unsigned char c)
{
	const struct token *t = &r->tokens[r->at];

	return t->kind == TOKEN_SPECIAL && t->text.at[0] == c;
}

static bool word(const struct reader *r)
{
	enum token_kind k = r->tokens[r->at].kind;

	return k == TOKEN_ATOM || k == TOKEN_QUOTED;
}

/* Index behind a "quoted string" or [literal] that starts at i, 0: it has no end. */
static size_t enclosed(struct slice s, size_t i, unsigned char end)
{
	for (i++; i < s.n; i++) {
		unsigned char c = s.at[i];

		if (c == end)
			return i + 1;
		if (c == '\r') {
			if (s.n - i < 3 || s.at[i + 1] != '\n' || (s.at[i + 2] != ' ' && s.at[i + 2] != '\t'))
				return 0;
			i += 2;
			continue;
		}
		if (c == '\\') {
			if (++i == s.n)
				return 0;
			c = s.at[i];
		}
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return 0;
	}
	return 0;
}

static bool tokenize(struct reader *r, struct slice s)
{
	size_t n = 0, i = 0;

	/* no token is shorter than one octet */
	r->tokens = ARENA_ARRAY(r->arena, s.n + 1, struct token);
	if (!r->tokens)
		return false;
	for (;;) {
		struct token *t = &r->tokens[n++];
		struct slice rest = slice_sub(s, i, SIZE_MAX);
		size_t from;

		if (!cfws_skip(&rest))
			return false;
		i = s.n - rest.n;
		if (i == s.n) {
			t->kind = TOKEN_END;
			return true;
		}
		from = i;
		if (atext(s.at[i])) {
			while (i < s.n && atext(s.at[i]))
				i++;
			t->kind = TOKEN_ATOM;
		} else if (s.at[i] == '"' || s.at[i] == '[') {
			t->kind = s.at[i] == '"' ? TOKEN_QUOTED : TOKEN_LITERAL;
			i = enclosed(s, i, s.at[i] == '"' ? '"' : ']');
			if (!i)
				return false;
		} else if (s.at[i] && strchr("<>@,;:.", s.at[i])) {
			t->kind = TOKEN_SPECIAL;
			i++;
		} else {
			return false;
		}
		t->text = slice_sub(s, from, i - from);
	}
}

/* The tokens from..to written without what stood between them. */
static struct slice joined(struct reader *r, size_t from, size_t to)
{
	const struct token *first = &r->tokens[from], *last = &r->tokens[to - 1];
	size_t span = (size_t)(last->text.at + last->text.n - first->text.at), n = 0;
	unsigned char *p;

	for (size_t i = from; i < to; i++)
		n += r->tokens[i].text.n;
	if (n == span)
		return slice_of(first->text.at, n);
	p = arena_take(r->arena, n);
	if (!p)
		return SLICE_NONE;
	n = 0;
	for (size_t i = from; i < to; i++) {
		memcpy(p + n, r->tokens[i].text.at, r->tokens[i].text.n);
		n += r->tokens[i].text.n;
	}
	return slice_of(p, n);
}

/* word *("." word), or with `atoms` only: false and nothing promised about r->at */
static bool dotted(struct reader *r, bool atoms)
{
	for (;;) {
		if (atoms ? r->tokens[r->at].kind != TOKEN_ATOM : !word(r))
			return false;
		r->at++;
		if (!special(r, '.'))
			return true;
		r->at++;
	}
}

static bool domain_tokens(struct reader *r, struct slice *normal_out)
{
	size_t from = r->at;

	if (r->tokens[from].kind == TOKEN_LITERAL)
		r->at++;
	else if (!dotted(r, true))
		return false;
	return domain_normal(r->arena, joined(r, from, r->at), normal_out);
}

/* local-part "@" domain */
static bool addr_spec(struct reader *r)
{
	struct addr *out = &r->list[r->n];
	size_t from = r->at;

	if (!dotted(r, false))
		return false;
	out->local = joined(r, from, r->at);
	if (!special(r, '@'))
		return false;
	r->at++;
	if (!domain_tokens(r, &out->domain))
		return false;
	r->n++;
	return true;
}

/* "<" [route] addr-spec ">" */
static bool angle_addr(struct reader *r)
{
	r->at++;
	if (special(r, '@') || special(r, ',')) {
		struct slice ignored;

		while (!special(r, ':')) {
			if (special(r, ',')) {
				r->at++;
			} else if (special(r, '@')) {
				r->at++;
				if (!domain_tokens(r, &ignored))
					return false;
			} else {
				return false;
			}
		}
		r->at++;
	}
	if (!addr_spec(r) || !special(r, '>'))
		return false;
	r->at++;
	return true;
}

static bool address(struct reader *r, bool in_group);

/* Elements up to ';' or the end; empty ones are an obsolete form (RFC 5322 4.4). */
static bool addresses(struct reader *r, bool in_group)
{
	for (;;) {
		while (special(r, ','))
			r->at++;
		if (r->tokens[r->at].kind == TOKEN_END)
			return !in_group;
		if (in_group && special(r, ';')) {
			r->at++;
			return true;
		}
		if (!address(r, in_group))
			return false;
		if (!special(r, ',') && !(in_group && special(r, ';')) && r->tokens[r->at].kind != TOKEN_END)
			return false;
	}
}

static bool address(struct reader *r, bool in_group)
{
	size_t from = r->at;

	/* a phrase may hold dots (RFC 5322 4.1), a local part too: what follows tells them apart */
	while (word(r) || (r->at > from && special(r, '.')))
		r->at++;
	if (special(r, '<'))
		return angle_addr(r);
	if (special(r, '@')) {
		r->at = from;
		return addr_spec(r);
	}
	if (!special(r, ':') || in_group || r->at == from)
		return false;
	r->at++;
	return addresses(r, true);
}

bool addr_list(struct arena *a, struct slice value, struct addr **list_out, size_t *n_out)
{
	struct reader r = { .arena = a };
	size_t ats = 0;

	if (value.n > LIMIT_ADDR_LIST || !tokenize(&r, value))
		return false;
	for (size_t i = 0; r.tokens[i].kind != TOKEN_END; i++)
		ats += r.tokens[i].kind == TOKEN_SPECIAL && r.tokens[i].text.at[0] == '@';
	r.list = ARENA_ARRAY(a, ats + 1, struct addr);
	if (!r.list || !addresses(&r, false) || r.n == 0 || arena_failed(a))
		return false;
	*list_out = r.list;
	*n_out = r.n;
	return true;
}
