#include "auth/authres_in.h"
#include "base/limits.h"
#include "mail/cfws.h"
#include "mail/utf8.h"

/* ---- words ---- */

static bool next_is(struct slice s, unsigned char c)
{
	return s.n > 0 && s.at[0] == c;
}

/* False: malformed. *any_out: was there something? */
static bool skip(struct slice *s, bool *any_out)
{
	size_t before = s->n;

	if (!cfws_skip(s))
		return false;
	*any_out = s->n < before;
	return true;
}

/* [CFWS] c [CFWS] */
static bool take_sign(struct slice *s, unsigned char c)
{
	struct slice sign;

	return cfws_skip(s) && next_is(*s, c) && slice_take(s, 1, &sign) && cfws_skip(s);
}

static bool take_keyword(struct slice *s, struct slice *out)
{
	size_t n = 0;

	while (n < s->n && authres_keyword_octet(s->at[n]))
		n++;
	return n > 0 && s->at[n - 1] != '-' && slice_take(s, n, out);
}

/* 1*DIGIT: is it version 1, the only one there is? False: no digit. */
static bool take_version(struct slice *s, bool *known_out)
{
	struct slice digits;
	uint64_t version;
	size_t n = 0;

	while (n < s->n && ascii_digit(s->at[n]))
		n++;
	if (!slice_take(s, n, &digits) || n == 0)
		return false;
	*known_out = slice_u64(digits, 1, &version) && version == 1;
	return true;
}

static bool take_token(struct slice *s, struct slice *out)
{
	size_t n = 0;

	while (n < s->n && authres_token_octet(s->at[n]))
		n++;
	return n > 0 && slice_take(s, n, out);
}

/* RFC 2045 value */
static bool take_value(struct arena *a, struct slice *s, struct slice *out)
{
	return next_is(*s, '"') ? authres_quoted(a, s, true, out) : take_token(s, out);
}

/* ---- addresses: [local-part] "@" domain-name ---- */

static bool atext(unsigned char c)
{
	return ascii_alpha(c) || ascii_digit(c) || c >= 0x80 || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

static bool domain_octet(unsigned char c)
{
	return ascii_alpha(c) || ascii_digit(c) || c == '-' || c == '_' || c >= 0x80;
}

/* Words of such octets with a dot between any two; how many octets that is. */
static size_t dotted(struct slice s, bool (*octet)(unsigned char))
{
	size_t n = 0, word = 0;

	for (; n < s.n; n++) {
		if (octet(s.at[n]))
			word++;
		else if (s.at[n] == '.' && word && n + 1 < s.n && octet(s.at[n + 1]))
			word = 0;
		else
			break;
	}
	return n;
}

/* From the '@' on. */
static bool take_at_domain(struct slice *s)
{
	size_t n = dotted(slice_sub(*s, 1, SIZE_MAX), domain_octet);

	*s = slice_sub(*s, 1 + n, SIZE_MAX);
	return n > 0;
}

static struct slice unfolded(struct arena *a, struct slice s)
{
	unsigned char *p = arena_take(a, s.n);
	size_t n = 0;

	for (size_t i = 0; p && i < s.n; i++)
		if (s.at[i] != '\r' && s.at[i] != '\n')
			p[n++] = s.at[i];
	return slice_of(p, n);
}

static bool take_pvalue(struct arena *a, struct slice *s, struct slice *out)
{
	struct slice whole = *s;
	size_t n;

	if (next_is(*s, '"')) {
		if (!authres_quoted(a, s, true, out))
			return false;
		if (!next_is(*s, '@'))
			return true;
		if (!take_at_domain(s))
			return false;
		*out = unfolded(a, slice_sub(whole, 0, whole.n - s->n));
		return !arena_failed(a);
	}
	n = dotted(*s, atext);
	if (n < s->n && s->at[n] == '@') {
		*s = slice_sub(*s, n, SIZE_MAX);
		if (!take_at_domain(s))
			return false;
		*out = slice_sub(whole, 0, whole.n - s->n);
		return true;
	}
	return take_token(s, out);
}

/* ---- results ---- */

struct reader {
	struct arena *arena;
	struct slice rest;
	bool lenient;
	struct authres_prop *props; /* of all results */
	size_t prop_room, prop_count;
};

/* As servers write values that are neither tokens nor quoted: header.b=ab/cd== */
static bool take_run(struct slice *s, struct slice *out)
{
	size_t n = 0;

	while (n < s->n && s->at[n] > 0x20 && s->at[n] != 0x7f && !strchr("\"(),;<>[\\]", s->at[n]))
		n++;
	return n > 0 && slice_take(s, n, out);
}

static bool read_value(struct reader *r, struct slice *out)
{
	return r->lenient && !next_is(r->rest, '"') ? take_run(&r->rest, out) : take_pvalue(r->arena, &r->rest, out);
}

/* ptype is taken. */
static bool read_prop(struct reader *r, struct slice ptype, size_t of_this)
{
	struct authres_prop prop = { .ptype = ptype };

	if (!take_sign(&r->rest, '.') || !take_keyword(&r->rest, &prop.property) || !take_sign(&r->rest, '='))
		return false;
	if (!read_value(r, &prop.value) || of_this == LIMIT_AUTHRES_PROPS || r->prop_count == r->prop_room)
		return false;
	r->props[r->prop_count++] = prop;
	return true;
}

/* What stands behind the result: reason, then properties. */
static bool read_rest(struct reader *r, struct authres_result *out)
{
	bool reason = false, blank;
	struct slice word;

	out->props = r->props + r->prop_count;
	for (;;) {
		if (!skip(&r->rest, &blank))
			return false;
		if (r->rest.n == 0 || next_is(r->rest, ';'))
			return true;
		/* a property that ends in a quote is followed by the next one without a blank, if somebody likes */
		if ((!blank && out->prop_count == 0) || !take_keyword(&r->rest, &word) || !cfws_skip(&r->rest))
			return false;
		if (next_is(r->rest, '=') && r->lenient && !slice_ieq(word, S("reason"))) {
			if (!take_sign(&r->rest, '=') || !read_value(r, &word)) /* action=none: no property, and nobody's harm */
				return false;
		} else if (next_is(r->rest, '=')) {
			if (reason || out->prop_count || !slice_ieq(word, S("reason")))
				return false;
			if (!take_sign(&r->rest, '=') || !take_value(r->arena, &r->rest, &out->reason))
				return false;
			reason = true;
		} else if (!read_prop(r, word, out->prop_count)) {
			return false;
		} else {
			out->prop_count++;
		}
	}
}

/* method is taken. */
static bool read_result(struct reader *r, struct slice method, struct authres_result *out, bool *known_out)
{
	*out = (struct authres_result){ .method = method };
	*known_out = true;
	if (!cfws_skip(&r->rest))
		return false;
	if (next_is(r->rest, '/') && (!take_sign(&r->rest, '/') || !take_version(&r->rest, known_out)))
		return false;
	return take_sign(&r->rest, '=') && take_keyword(&r->rest, &out->result) && read_rest(r, out);
}

static size_t counted(struct slice s, unsigned char c, size_t most)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n && n < most; i++)
		n += s.at[i] == c;
	return n;
}

static bool read_id(struct reader *r, struct slice *id_out)
{
	bool blank, known = true;

	if (!cfws_skip(&r->rest) || !take_value(r->arena, &r->rest, id_out) || id_out->n == 0 || !skip(&r->rest, &blank))
		return false;
	if (blank && r->rest.n && ascii_digit(r->rest.at[0]) && (!take_version(&r->rest, &known) || !cfws_skip(&r->rest)))
		return false;
	return known && next_is(r->rest, ';');
}

static bool begin(struct reader *r, struct slice value, struct authres_result **results_out, size_t *room_out, struct slice *id_out)
{
	size_t room = counted(value, ';', LIMIT_AUTHRES_RESULTS);

	r->rest = value;
	r->prop_room = counted(value, '=', (size_t)LIMIT_AUTHRES_RESULTS * LIMIT_AUTHRES_PROPS);
	*room_out = room;
	*results_out = ARENA_ARRAY(r->arena, room, struct authres_result);
	r->props = ARENA_ARRAY(r->arena, r->prop_room, struct authres_prop);
	return *results_out && r->props && utf8_valid(value) && read_id(r, id_out);
}

bool authres_parse(struct arena *a, struct slice value, struct slice *id_out, const struct authres_result **results_out, size_t *n_out)
{
	struct reader r = { .arena = a };
	struct authres_result *results;
	struct slice id, word;
	size_t room, n = 0;
	bool first = true, known;

	if (!begin(&r, value, &results, &room, &id))
		return false;
	for (; r.rest.n; first = false) {
		if (!take_sign(&r.rest, ';'))
			return false;
		if (r.rest.n == 0 && !first)
			break;
		if (!take_keyword(&r.rest, &word) || !cfws_skip(&r.rest))
			return false;
		if (first && r.rest.n == 0 && slice_ieq(word, S("none")))
			break;
		if (n == room || !read_result(&r, word, &results[n], &known))
			return false;
		n += known;
	}
	*id_out = id;
	*results_out = results;
	*n_out = n;
	return true;
}

/* Up to the next ';' that stands in no comment and no quoted string; it is dropped. */
static struct slice next_part(struct slice *rest)
{
	struct slice part;
	size_t n = 0, depth = 0;
	bool quoted = false;

	for (; n < rest->n; n++) {
		unsigned char c = rest->at[n];

		if (c == '\\' && (quoted || depth))
			n++;
		else if (c == '"' && !depth)
			quoted = !quoted;
		else if (c == '(' && !quoted)
			depth++;
		else if (c == ')' && depth)
			depth--;
		else if (c == ';' && !quoted && !depth)
			break;
	}
	part = slice_sub(*rest, 0, n);
	*rest = slice_sub(*rest, n < rest->n ? n + 1 : rest->n, SIZE_MAX);
	return part;
}

bool authres_glean(struct arena *a, struct slice value, struct slice *id_out, const struct authres_result **results_out, size_t *n_out)
{
	struct reader r = { .arena = a, .lenient = true };
	struct authres_result *results;
	struct slice id, word, left;
	size_t room, n = 0, props;
	bool known;

	if (!begin(&r, value, &results, &room, &id))
		return false;
	left = slice_sub(r.rest, 1, SIZE_MAX);
	while (left.n && n < room) {
		r.rest = next_part(&left);
		props = r.prop_count;
		if (cfws_skip(&r.rest) && take_keyword(&r.rest, &word) && read_result(&r, word, &results[n], &known) && known)
			n++;
		else
			r.prop_count = props;
	}
	*id_out = id;
	*results_out = results;
	*n_out = n;
	return true;
}
