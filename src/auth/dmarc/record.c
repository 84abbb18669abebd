#include "auth/dmarc/record.h"
#include "base/limits.h"

static bool blank(unsigned char c)
{
	return c == ' ' || c == '\t';
}

static struct slice trimmed(struct slice s)
{
	while (s.n && blank(s.at[0]))
		s = slice_sub(s, 1, SIZE_MAX);
	while (s.n && blank(s.at[s.n - 1]))
		s = slice_sub(s, 0, s.n - 1);
	return s;
}

/* The first tag, and nothing in front of it. */
static bool take_version(struct slice *text)
{
	struct slice first, name, rest = *text;

	slice_cut(&rest, ';', &first);
	if (!slice_cut(&first, '=', &name) || name.n == 0 || blank(name.at[0]))
		return false;
	if (!slice_ieq(trimmed(name), S("v")) || !slice_eq(trimmed(first), S("DMARC1")))
		return false;
	*text = rest;
	return true;
}

static bool printable(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.at[i] < 0x20 || s.at[i] > 0x7e)
			return false;
	return true;
}

/* RFC 3986: the octets of an URI, commas and exclamation points left out (4.8) */
static bool uri_octet(unsigned char c)
{
	return ascii_alpha(c) || ascii_digit(c) || (c && strchr("-._~:/?#[]@$&'()*+;=%", c));
}

/* Could a report go there? A scheme, and with mailto: an address. */
static bool uri_valid(struct slice uri)
{
	struct slice scheme, local;

	uri = slice_sub(uri, 0, slice_find(uri, '!')); /* what follows is a size, which is obsolete */
	if (!slice_cut(&uri, ':', &scheme) || scheme.n == 0 || uri.n == 0 || !ascii_alpha(scheme.at[0]))
		return false;
	for (size_t i = 1; i < scheme.n; i++)
		if (!ascii_alpha(scheme.at[i]) && !ascii_digit(scheme.at[i]) && !strchr("+-.", scheme.at[i]))
			return false;
	for (size_t i = 0; i < uri.n; i++)
		if (!uri_octet(uri.at[i]))
			return false;
	return !slice_ieq(scheme, S("mailto")) || (slice_cut(&uri, '@', &local) && local.n && uri.n);
}

static bool any_uri(struct slice list)
{
	struct slice uri;
	bool more;

	do {
		more = slice_cut(&list, ',', &uri);
		if (uri_valid(trimmed(uri)))
			return true;
	} while (more);
	return false;
}

/* A list of URIs above the limit loses those behind it, whole ones. */
static struct slice bounded_list(struct slice list)
{
	size_t n = LIMIT_DMARC_URIS;

	if (list.n <= LIMIT_DMARC_URIS)
		return list;
	while (n > 0 && list.at[n] != ',')
		n--;
	return trimmed(slice_sub(list, 0, n));
}

static bool fo_valid(struct slice list)
{
	struct slice one;
	bool more;

	do {
		more = slice_cut(&list, ':', &one);
		one = trimmed(one);
		if (one.n != 1 || !strchr("01ds", ascii_lower(one.at[0])) || one.at[0] == '\0')
			return false;
	} while (more);
	return true;
}

static bool policy_read(struct slice value, enum dmarc_policy *out)
{
	for (int i = DMARC_POLICY_NONE; i <= DMARC_POLICY_REJECT; i++) {
		if (slice_ieq(value, slice_str(dmarc_policy_name((enum dmarc_policy)i)))) {
			*out = (enum dmarc_policy)i;
			return true;
		}
	}
	return false;
}

enum { P, SP, NP, ADKIM, ASPF, T, PSD, RUA, RUF, FO, TAGS };

static int tag_of(struct slice name)
{
	static const char *const names[TAGS] = { "p", "sp", "np", "adkim", "aspf", "t", "psd", "rua", "ruf", "fo" };

	for (int i = 0; i < TAGS; i++)
		if (slice_ieq(name, slice_str(names[i])))
			return i;
	return TAGS;
}

/* Its values are literals, which have no case (RFC 5234 2.3). */
static bool is(struct slice value, const char *word)
{
	return slice_ieq(value, slice_str(word));
}

static void read_tag(struct dmarc_record *r, int tag, struct slice value, bool *misspelt)
{
	switch (tag) {
	case P:
		*misspelt |= !policy_read(value, &r->p);
		break;
	case SP:
		r->has_sp = policy_read(value, &r->sp);
		*misspelt |= !r->has_sp;
		break;
	case NP:
		r->has_np = policy_read(value, &r->np);
		*misspelt |= !r->has_np;
		break;
	case ADKIM:
		r->adkim_strict = is(value, "s");
		break;
	case ASPF:
		r->aspf_strict = is(value, "s");
		break;
	case T:
		r->testing = is(value, "y");
		break;
	case PSD:
		r->psd = is(value, "y") ? DMARC_PSD_YES : is(value, "n") ? DMARC_PSD_NO : DMARC_PSD_UNKNOWN;
		break;
	case RUA:
		r->rua = any_uri(value) ? bounded_list(value) : SLICE_NONE;
		break;
	case RUF:
		r->ruf = any_uri(value) ? bounded_list(value) : SLICE_NONE;
		break;
	default:
		r->fo = fo_valid(value) ? bounded_list(value) : SLICE_NONE;
	}
}

bool dmarc_record_read(struct slice text, struct dmarc_record *out)
{
	struct dmarc_record r = { 0 };
	bool seen[TAGS] = { false }, misspelt = false, rua = false, more;
	struct slice value, name;

	if (!take_version(&text))
		return false;
	do {
		int tag;

		more = slice_cut(&text, ';', &value);
		if (!slice_cut(&value, '=', &name))
			continue;
		tag = tag_of(trimmed(name));
		if (tag == TAGS || seen[tag])
			continue;
		seen[tag] = true;
		value = trimmed(value);
		if (!printable(value))
			value = SLICE_NONE;
		rua |= tag == RUA && any_uri(value);
		read_tag(&r, tag, value, &misspelt);
	} while (more);
	if (!seen[P] || misspelt) {
		r.p = DMARC_POLICY_NONE;
		r.has_sp = r.has_np = false;
		r.usable = rua;
	} else {
		r.usable = true;
	}
	if (!seen[RUF] || r.ruf.n == 0)
		r.fo = SLICE_NONE;
	*out = r;
	return true;
}
