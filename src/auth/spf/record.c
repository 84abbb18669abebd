#include "auth/spf/macro.h"
#include "auth/spf/record.h"
#include "base/ip.h"

static const struct slice version = { (const unsigned char *)"v=spf1", 6 };

bool record_is_spf(struct slice text)
{
	return slice_istarts(text, version) && (text.n == version.n || text.at[version.n] == ' ');
}

bool record_holds(const unsigned char network[16], unsigned bits, const unsigned char address[16])
{
	size_t first = ip_is_v4(address) ? 12 : 0;
	unsigned octets = bits / 8, rest = bits % 8;

	if ((first && !ip_is_v4(network)) || memcmp(network + first, address + first, octets) != 0)
		return false;
	return rest == 0 || (network[first + octets] ^ address[first + octets]) >> (8 - rest) == 0;
}

/* "0", or digits that do not begin with one. */
static bool prefix_length(struct slice digits, unsigned most, unsigned *bits_out)
{
	uint64_t v;

	if ((digits.n > 1 && digits.at[0] == '0') || !slice_u64(digits, most, &v))
		return false;
	*bits_out = (unsigned)v;
	return true;
}

/* Octets of the "/digits" that a text ends in; 0: none. */
static size_t length_at_end(struct slice s)
{
	size_t n = s.n;

	while (n > 0 && ascii_digit(s.at[n - 1]))
		n--;
	return n > 0 && n < s.n && s.at[n - 1] == '/' ? s.n - n + 1 : 0;
}

/* Takes "/24", "//64" or "/24//64" off the end: no domain-spec ends like that. */
static bool dual_cidr(struct slice *s, unsigned *bits4, unsigned *bits6)
{
	size_t n = length_at_end(*s);

	*bits4 = 32;
	*bits6 = 128;
	if (n && n < s->n && s->at[s->n - n - 1] == '/') {
		if (!prefix_length(slice_sub(*s, s->n - n + 1, n), 128, bits6))
			return false;
		s->n -= n + 1;
		n = length_at_end(*s);
	}
	if (n) {
		if (!prefix_length(slice_sub(*s, s->n - n + 1, n), 32, bits4))
			return false;
		s->n -= n;
	}
	return true;
}

/* ":192.0.2.0/24"; is the client in it? An IPv4 client is in no IPv6 network, mapped or not (RFC 7208 5). */
static bool network(struct slice rest, bool v6, const unsigned char client[16], bool *holds_out)
{
	unsigned bits = v6 ? 128 : 32;
	unsigned char octets[16];
	struct slice address;

	if (!slice_take(&rest, 1, &address) || address.at[0] != ':')
		return false;
	if (slice_cut(&rest, '/', &address) && !prefix_length(rest, bits, &bits))
		return false;
	if ((slice_find(address, ':') != address.n) != v6 || !ip_parse(address, octets))
		return false;
	*holds_out = ip_is_v4(client) != v6 && record_holds(octets, bits, client);
	return true;
}

struct mechanism {
	const char *name;
	enum term_kind kind;
	enum { SPEC_NONE, SPEC_MAY, SPEC_MUST } spec;
	bool cidr;
};

static const struct mechanism mechanisms[] = {
	{ "all", TERM_SETTLED, SPEC_NONE, false },
	{ "include", TERM_INCLUDE, SPEC_MUST, false },
	{ "a", TERM_A, SPEC_MAY, true },
	{ "mx", TERM_MX, SPEC_MAY, true },
	{ "ptr", TERM_PTR, SPEC_MAY, false },
	{ "exists", TERM_EXISTS, SPEC_MUST, false },
};

static const struct mechanism *find_mechanism(struct slice name)
{
	for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++)
		if (slice_ieq(name, slice_str(mechanisms[i].name)))
			return &mechanisms[i];
	return NULL;
}

static void keep(struct record *r, const struct record_term *t)
{
	if (r->n == LIMIT_SPF_TERMS + 1 || (r->n && r->terms[r->n - 1].kind == TERM_SETTLED))
		return;
	r->terms[r->n++] = *t;
}

static enum spf_state take_qualifier(struct slice *s)
{
	struct slice c;
	enum spf_state state = SPF_PASS;

	if (s->n == 0)
		return state;
	switch (s->at[0]) {
	case '+':
		break;
	case '-':
		state = SPF_FAIL;
		break;
	case '~':
		state = SPF_SOFTFAIL;
		break;
	case '?':
		state = SPF_NEUTRAL;
		break;
	default:
		return state;
	}
	(void)slice_take(s, 1, &c);
	return state;
}

static bool directive(struct slice text, const unsigned char client[16], struct record *r)
{
	struct record_term t = { .text = text };
	const struct mechanism *m;
	struct slice name, rest = text;
	size_t n = 0;
	bool v6, holds;

	t.qualifier = take_qualifier(&rest);
	while (n < rest.n && rest.at[n] != ':' && rest.at[n] != '/')
		n++;
	(void)slice_take(&rest, n, &name);
	v6 = slice_ieq(name, S("ip6"));
	if (v6 || slice_ieq(name, S("ip4"))) {
		if (!network(rest, v6, client, &holds))
			return false;
		if (holds)
			keep(r, &t);
		return true;
	}
	m = find_mechanism(name);
	if (!m || (m->cidr && !dual_cidr(&rest, &t.bits4, &t.bits6)))
		return false;
	t.kind = m->kind;
	if (m->spec == SPEC_NONE ? rest.n != 0 : m->spec == SPEC_MUST ? rest.n == 0 : false)
		return false;
	if (rest.n) {
		t.spec = slice_sub(rest, 1, rest.n);
		if (rest.at[0] != ':' || !macro_domain_spec(t.spec))
			return false;
	}
	keep(r, &t);
	return true;
}

static bool once(struct slice value, struct slice *out)
{
	if (out->n || !macro_domain_spec(value))
		return false;
	*out = value;
	return true;
}

/* Octets of the name of a modifier; 0: it is none, for no "=" stands behind a name. */
static size_t modifier_name(struct slice text)
{
	size_t n = 0;

	if (text.n == 0 || !ascii_alpha(text.at[0]))
		return 0;
	while (n < text.n && (ascii_alpha(text.at[n]) || ascii_digit(text.at[n]) || text.at[n] == '-' || text.at[n] == '_' || text.at[n] == '.'))
		n++;
	return n < text.n && text.at[n] == '=' ? n : 0;
}

static bool term(struct slice text, const unsigned char client[16], struct record *r)
{
	size_t n = modifier_name(text);
	struct slice name = slice_sub(text, 0, n), value = slice_sub(text, n + 1, text.n);

	if (n == 0)
		return directive(text, client, r);
	if (slice_ieq(name, S("redirect")))
		return once(value, &r->redirect);
	if (slice_ieq(name, S("exp")))
		return once(value, &r->explanation);
	return macro_valid(value, MACRO_TERM);
}

bool record_parse(struct slice text, const unsigned char client[16], struct record *out)
{
	struct slice one;
	bool more = true;

	*out = (struct record){ 0 };
	text = slice_sub(text, version.n, text.n);
	while (more) {
		more = slice_cut(&text, ' ', &one);
		if (one.n && !term(one, client, out)) {
			out->fault = one;
			return false;
		}
	}
	return true;
}
