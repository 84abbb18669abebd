#include "auth/dkim1/signature.h"
#include "auth/taglist.h"
#include "base/b64.h"
#include "base/limits.h"
#include "crypt/sign.h"
#include "mail/domain.h"

enum {
	B_SHOWN = 72,
	A_SHOWN = 64,         /* octets of an algorithm's name; RFC 6376 has none above 14 */
	L_DIGITS = 76,        /* RFC 6376 3.5 */
	TIME_DIGITS = 12,     /* likewise */
	SHA256_OCTETS = 32,
};

/* A field in the making, and the list its tags stand in. */
struct reading {
	struct arena *arena;
	const struct dkim_terms *terms;
	struct taglist list;
	struct dkim_field *out;
	struct dkim_signature *shown;
};

static bool found(struct reading *r, enum dkim_state state, enum dkim_kind about, struct slice reason)
{
	r->shown->state = state;
	r->shown->about = about;
	r->shown->reason = reason;
	return false;
}

static bool syntax(struct reading *r, struct slice reason)
{
	return found(r, DKIM_PERMERROR, DKIM_ABOUT_SYNTAX, reason);
}

/* Empty: not there, or nothing in it. */
static struct slice value_of(const struct reading *r, struct slice name)
{
	const struct tag *t = taglist_find(&r->list, TAGLIST_UTF8, name);

	return t ? t->value : SLICE_NONE;
}

static bool blank(unsigned char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* At most `most` octets of the text without its white space. */
static struct slice unfolded(struct arena *a, struct slice text, size_t most)
{
	unsigned char *p = arena_take(a, text.n < most ? text.n : most);
	size_t n = 0;

	for (size_t i = 0; p && i < text.n && n < most; i++)
		if (!blank(text.at[i]))
			p[n++] = text.at[i];
	return slice_of(p, n);
}

/* ---- names ---- */

static bool read_domain(struct reading *r)
{
	struct dkim_signature *shown = r->shown;
	struct slice d = value_of(r, S("d")), s = value_of(r, S("s")), selector;

	if (domain_name_normal(r->arena, d, &shown->d_normal) && slice_find(shown->d_normal, '.') < shown->d_normal.n)
		shown->d = d;
	else
		shown->d_normal = SLICE_NONE;
	if (domain_name_normal(r->arena, s, &selector))
		shown->s = s;
	if (!shown->d.n || !shown->s.n)
		return false;
	r->out->key_name = arena_printf(r->arena, "%.*s._domainkey.%.*s", SLICE_FMT(selector), SLICE_FMT(shown->d_normal));
	return true;
}

static int hex_digit(unsigned char c)
{
	return ascii_digit(c) ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* dkim-quoted-printable (RFC 6376 2.11), white space gone already. */
static bool unquoted(struct arena *a, struct slice text, struct slice *octets_out)
{
	unsigned char *p = arena_take(a, text.n);
	size_t n = 0;

	if (!p)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		int high, low;

		if (text.at[i] != '=') {
			p[n++] = text.at[i];
			continue;
		}
		if (text.n - i < 3 || (high = hex_digit(text.at[i + 1])) < 0 || (low = hex_digit(text.at[i + 2])) < 0)
			return false;
		p[n++] = (unsigned char)(high << 4 | low);
		i += 2;
	}
	*octets_out = slice_of(p, n);
	return true;
}

/* i= must be d= or below it. */
static bool read_identity(struct reading *r)
{
	const struct tag *t = taglist_find(&r->list, TAGLIST_UTF8, S("i"));
	struct slice text, octets, domain;
	size_t at;

	if (!t)
		return true;
	text = unfolded(r->arena, t->value, t->value.n);
	if (text.n > LIMIT_PATH || !unquoted(r->arena, text, &octets))
		return syntax(r, S("i= is no identity"));
	for (at = octets.n; at > 0 && octets.at[at - 1] != '@';)
		at--;
	if (at == 0 || !domain_name_normal(r->arena, slice_sub(octets, at, SIZE_MAX), &domain))
		return syntax(r, S("i= is no identity"));
	r->shown->i = text;
	if (!domain_follows(domain, r->shown->d_normal))
		return syntax(r, S("i= is of another domain than d="));
	r->out->below = domain.n != r->shown->d_normal.n;
	return true;
}

/* ---- numbers ---- */

static bool read_digits(struct slice text, size_t digits_max, uint64_t *value_out)
{
	if (text.n == 0 || text.n > digits_max)
		return false;
	for (size_t i = 0; i < text.n; i++)
		if (!ascii_digit(text.at[i]))
			return false;
	if (!slice_u64(text, UINT64_MAX, value_out))
		*value_out = UINT64_MAX;
	return true;
}

static bool read_length(struct reading *r)
{
	const struct tag *t = taglist_find(&r->list, TAGLIST_UTF8, S("l"));

	r->out->octets = CANON_WHOLE;
	if (!t)
		return true;
	if (!read_digits(t->value, L_DIGITS, &r->shown->l))
		return syntax(r, S("l= is no number"));
	r->shown->l_present = true;
	if (r->shown->l > INT64_MAX)
		return syntax(r, S("l= is more than the body has"));
	r->out->octets = r->shown->l;
	return true;
}

static bool read_times(struct reading *r)
{
	const struct tag *made = taglist_find(&r->list, TAGLIST_UTF8, S("t")), *ends = taglist_find(&r->list, TAGLIST_UTF8, S("x"));
	const struct dkim_terms *terms = r->terms;
	uint64_t t = 0, x = UINT64_MAX;

	if (made && !read_digits(made->value, TIME_DIGITS, &t))
		return syntax(r, S("t= is no time"));
	if (ends && !read_digits(ends->value, TIME_DIGITS, &x))
		return syntax(r, S("x= is no time"));
	if (made && x <= t)
		return found(r, DKIM_PERMERROR, DKIM_ABOUT_TIME, S("x= is not later than t="));
	if (terms->now < 0)
		return true;
	if (x < (uint64_t)terms->now)
		return found(r, DKIM_FAIL, DKIM_ABOUT_TIME, S("signature has expired"));
	if (t > (uint64_t)terms->now && t - (uint64_t)terms->now > (uint64_t)terms->future_s)
		return found(r, DKIM_FAIL, DKIM_ABOUT_TIME, S("signature is from the future"));
	return true;
}

/* ---- how it was made ---- */

static bool read_algorithm(struct reading *r)
{
	struct slice a = value_of(r, S("a"));

	r->out->type = slice_eq(a, S("rsa-sha256")) ? KEY_RSA : slice_eq(a, S("ed25519-sha256")) ? KEY_ED25519 : KEY_NONE;
	if (r->out->type != KEY_NONE)
		return true;
	if (slice_eq(a, S("rsa-sha1")))
		return found(r, DKIM_PERMERROR, DKIM_ABOUT_ALGORITHM, S("rsa-sha1 is not to be used"));
	return found(r, DKIM_PERMERROR, DKIM_ABOUT_ALGORITHM, S("algorithm is unknown"));
}

static bool read_forms(struct reading *r)
{
	const struct tag *t = taglist_find(&r->list, TAGLIST_UTF8, S("c"));

	return canon_forms(t ? t->value : S("simple"), &r->out->header, &r->out->body) || syntax(r, S("c= is unknown"));
}

/* One of the ways to get the key must be the one there is; others are passed over. */
static bool read_query(struct reading *r)
{
	const struct tag *t = taglist_find(&r->list, TAGLIST_UTF8, S("q"));

	return !t || taglist_lists(t->value, S("dns/txt")) || syntax(r, S("q= has no way to the key that is known"));
}

static bool read_names(struct reading *r)
{
	if (!field_list_parse(r->arena, value_of(r, S("h")), &r->out->names))
		return syntax(r, S("h= is no list of field names"));
	return field_listed(&r->out->names, S("From")) > 0 || syntax(r, S("h= is without From"));
}

static bool read_octets(struct reading *r)
{
	struct slice b = value_of(r, S("b"));

	if (!b64_decode(r->arena, value_of(r, S("bh")), true, &r->out->bh) || r->out->bh.n != SHA256_OCTETS)
		return syntax(r, S("bh= is no SHA-256"));
	if (!b64_decode(r->arena, b, true, &r->out->signature) || r->out->signature.n > SIGNATURE_OCTETS)
		return syntax(r, S("b= is no signature"));
	r->out->hole = field_hole(r->out->field, b);
	return true;
}

/* ---- all of it ---- */

static bool read_required(struct reading *r)
{
	static const struct slice required[] = { S("v"), S("a"), S("b"), S("bh"), S("d"), S("h"), S("s") };

	for (size_t i = 0; i < sizeof(required) / sizeof(*required); i++)
		if (!value_of(r, required[i]).n)
			return syntax(r, arena_printf(r->arena, "no %.*s=", SLICE_FMT(required[i])));
	return slice_eq(value_of(r, S("v")), S("1")) || syntax(r, S("v= is not 1"));
}

bool dkim_field_read(struct arena *a, const struct field *f, const struct dkim_terms *terms, struct dkim_field *out,
    struct dkim_signature *shown)
{
	struct reading r = { .arena = a, .terms = terms, .out = out, .shown = shown };
	struct slice algorithm;
	bool domain;

	out->field = f;
	if (!taglist_parse(a, f->value, TAGLIST_UTF8, &r.list))
		return syntax(&r, S("field is no list of tags"));
	algorithm = value_of(&r, S("a"));
	if (taglist_solid(algorithm) && algorithm.n <= A_SHOWN)
		shown->a = algorithm;
	shown->b = unfolded(a, value_of(&r, S("b")), B_SHOWN);
	domain = read_domain(&r);
	if (!read_required(&r))
		return false;
	if (!domain)
		return syntax(&r, shown->d.n ? S("s= is no selector") : S("d= is no domain"));
	if (out->key_name.n > DNS_NAME_OCTETS)
		return syntax(&r, S("name of the key is too long"));
	return read_algorithm(&r) && read_identity(&r) && read_names(&r) && read_forms(&r) && read_query(&r) && read_length(&r) &&
	    read_octets(&r) && read_times(&r);
}
