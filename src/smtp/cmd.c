#include "base/limits.h"
#include "mail/utf8.h"
#include "smtp/cmd.h"

static bool blank(unsigned char c)
{
	return c == ' ' || c == '\t';
}

static bool control(unsigned char c)
{
	return c < 0x20 || c == 0x7f;
}

struct slice cmd_verb(struct slice line, struct slice *arg_out)
{
	size_t n = 0, from, end = line.n;

	while (n < line.n && !blank(line.at[n]))
		n++;
	for (from = n; from < end && blank(line.at[from]); from++)
		;
	while (end > from && blank(line.at[end - 1]))
		end--;
	*arg_out = slice_sub(line, from, end - from);
	return slice_sub(line, 0, n);
}

bool cmd_text(struct slice line, struct fault *f)
{
	for (size_t i = 0; i < line.n; i++) {
		unsigned char c = line.at[i];

		if (!control(c) || c == '\t')
			continue;
		fault_set(f, c == '\n' ? FAULT_BARE_LF : c == '\r' ? FAULT_BARE_CR : c == '\0' ? FAULT_NUL : FAULT_COMMAND_SYNTAX, i);
		f->basic = 500;
		memcpy(f->enhanced, "5.5.2", sizeof("5.5.2"));
		return false;
	}
	return true;
}

bool cmd_hello(struct slice arg)
{
	if (arg.n == 0 || arg.n > LIMIT_DOMAIN)
		return false;
	if (arg.at[0] == '[') {
		if (arg.n < 3 || arg.at[arg.n - 1] != ']')
			return false;
		arg = slice_sub(arg, 1, arg.n - 2);
	}
	for (size_t i = 0; i < arg.n; i++) {
		unsigned char c = arg.at[i];

		if (!ascii_alpha(c) && !ascii_digit(c) && c != '-' && c != '_' && c != '.' && c != ':')
			return false;
	}
	return true;
}

/* Octets from '<' to its '>', 0: there is none. A '>' in a quoted string does not end a path. */
static size_t path_octets(struct slice s)
{
	bool quoted = false;

	if (s.n == 0 || s.at[0] != '<')
		return 0;
	for (size_t i = 1; i < s.n; i++) {
		if (quoted && s.at[i] == '\\')
			i++;
		else if (s.at[i] == '"')
			quoted = !quoted;
		else if (s.at[i] == '>' && !quoted)
			return i + 1;
	}
	return 0;
}

/* The rest of a command line behind its path. */
struct params {
	struct slice arg, rest;
	const struct ext *offer;
	bool utf8;
	struct srv_params *out;
	struct fault *f;
};

static size_t place(const struct params *p, struct slice s)
{
	return s.n ? (size_t)(s.at - p->arg.at) : p->arg.n;
}

/* "FROM:" or "TO:", then the path. */
static bool take_path(struct params *p, struct slice keyword, enum fault_code bad, struct path *path_out)
{
	struct slice text;
	size_t n, i = keyword.n;

	if (!slice_istarts(p->arg, keyword))
		return fault_set(p->f, FAULT_COMMAND_SYNTAX, 0);
	while (i < p->arg.n && p->arg.at[i] == ' ')
		i++;
	text = slice_sub(p->arg, i, SIZE_MAX);
	n = path_octets(text);
	p->rest = slice_sub(text, n, SIZE_MAX);
	if (n == 0 || !path_parse(slice_sub(text, 0, n), path_out))
		return fault_set(p->f, bad, i);
	if (p->rest.n && !blank(p->rest.at[0]))
		return fault_note(p->f, bad, i + n, "text behind the path");
	return true;
}

static bool keyword_valid(struct slice s)
{
	if (s.n == 0 || !(ascii_alpha(s.at[0]) || ascii_digit(s.at[0])))
		return false;
	for (size_t i = 1; i < s.n; i++)
		if (!ascii_alpha(s.at[i]) && !ascii_digit(s.at[i]) && s.at[i] != '-')
			return false;
	return true;
}

static int hex(unsigned char c)
{
	if (ascii_digit(c))
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/*
 * RFC 3461 4: xtext whose octets are printable US-ASCII. RFC 6533 3: with SMTPUTF8 a utf-8 address may hold UTF-8 as it is
 * (`raw`). Postfix writes a UTF-8 address as rfc822 with its octets encoded (`high`): they harm nobody in this form.
 */
static bool xtext(struct slice s, bool raw, bool high)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = s.at[i];
		int upper, lower, octet;

		if (c != '+') {
			if (c <= 0x20 || c == '=' || c == 0x7f || (c >= 0x80 && !raw))
				return false;
			continue;
		}
		if (s.n - i < 3)
			return false;
		upper = hex(s.at[i + 1]);
		lower = hex(s.at[i + 2]);
		octet = upper * 16 + lower;
		if (upper < 2 || lower < 0 || octet == 0x7f || (octet >= 0x80 && !high))
			return false;
		i += 2;
	}
	return true;
}

static bool size_value(struct params *p, struct slice v)
{
	for (size_t i = 0; i < v.n; i++)
		if (!ascii_digit(v.at[i]))
			return false;
	if (v.n == 0)
		return false;
	p->out->size_named = true;
	/* a number beyond 64 bits is well formed, and too big for anybody */
	if (!slice_u64(v, UINT64_MAX, &p->out->size_octets) ||
	    (p->offer->size_octets && p->out->size_octets > p->offer->size_octets))
		return fault_set(p->f, FAULT_TOO_BIG, place(p, v));
	return true;
}

static bool body_value(struct params *p, struct slice v)
{
	p->out->body_named = true;
	p->out->body_8bit = slice_ieq(v, S("8BITMIME"));
	return p->out->body_8bit || slice_ieq(v, S("7BIT"));
}

static bool smtputf8_value(struct params *p, struct slice v)
{
	p->out->smtputf8 = true;
	return v.n == 0;
}

static bool prdr_value(struct params *p, struct slice v)
{
	p->out->prdr = true;
	return v.n == 0;
}

static bool requiretls_value(struct params *p, struct slice v)
{
	p->out->requiretls = true;
	return v.n == 0;
}

/* RFC 4954 5: who submitted it, which nobody here is to believe: an address, or <>. */
static bool auth_value(struct params *p, struct slice v)
{
	(void)p;
	return xtext(v, false, false);
}

static bool ret_value(struct params *p, struct slice v)
{
	p->out->ret = v;
	return slice_ieq(v, S("FULL")) || slice_ieq(v, S("HDRS"));
}

static bool envid_value(struct params *p, struct slice v)
{
	p->out->envid = v;
	return v.n > 0 && v.n <= LIMIT_ENVID && xtext(v, false, false);
}

static bool notify_value(struct params *p, struct slice v)
{
	struct slice rest = v, word;
	bool more;

	p->out->notify = v;
	if (slice_ieq(v, S("NEVER")))
		return true;
	do {
		more = slice_cut(&rest, ',', &word);
		if (!slice_ieq(word, S("SUCCESS")) && !slice_ieq(word, S("FAILURE")) && !slice_ieq(word, S("DELAY")))
			return false;
	} while (more);
	return true;
}

static bool orcpt_value(struct params *p, struct slice v)
{
	struct slice rest = v, type;

	p->out->orcpt = v;
	if (v.n > LIMIT_ORCPT || !slice_cut(&rest, ';', &type) || !keyword_valid(type) || rest.n == 0)
		return false;
	return xtext(rest, p->utf8 && slice_ieq(type, S("utf-8")), true);
}

static const struct param {
	const char *name;
	unsigned bit;        /* the extension it comes with */
	bool rcpt, value;    /* of RCPT, else of MAIL; has a value */
	bool (*take)(struct params *p, struct slice value); /* false: bad value, unless it set a fault */
} rows[] = {
	{ "SIZE", EXT_SIZE, false, true, size_value },
	{ "BODY", EXT_8BITMIME, false, true, body_value },
	{ "SMTPUTF8", EXT_SMTPUTF8, false, false, smtputf8_value },
	{ "PRDR", EXT_PRDR, false, false, prdr_value },
	{ "REQUIRETLS", EXT_REQUIRETLS, false, false, requiretls_value },
	{ "AUTH", EXT_AUTH, false, true, auth_value },
	{ "RET", EXT_DSN, false, true, ret_value },
	{ "ENVID", EXT_DSN, false, true, envid_value },
	{ "NOTIFY", EXT_DSN, true, true, notify_value },
	{ "ORCPT", EXT_DSN, true, true, orcpt_value },
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

/* One parameter, "keyword" or "keyword=value"; `seen` has a bit for each row that came. */
static bool take_param(struct params *p, struct slice word, bool rcpt, unsigned *seen)
{
	struct slice value = word, name;
	bool has = slice_cut(&value, '=', &name);

	if (!keyword_valid(name) || (has && value.n == 0))
		return fault_set(p->f, FAULT_BAD_PARAM, place(p, word));
	for (size_t i = 0; i < value.n; i++)
		if (control(value.at[i]))
			return fault_set(p->f, FAULT_BAD_PARAM, place(p, value) + i);
	for (unsigned i = 0; i < ROWS; i++) {
		if (rows[i].rcpt != rcpt || !(p->offer->bits & rows[i].bit) || !slice_ieq(name, slice_str(rows[i].name)))
			continue;
		if (*seen & 1U << i)
			return fault_note(p->f, FAULT_BAD_PARAM, place(p, word), "%s given twice", rows[i].name);
		*seen |= 1U << i;
		if (has != rows[i].value || !rows[i].take(p, value))
			return fault_note(p->f, FAULT_BAD_PARAM, place(p, word), "%s", rows[i].name);
		return true;
	}
	/* RFC 8689 6 has a word for this one, since the sender cannot do without. */
	if (!rcpt && !has && p->offer->bits && slice_ieq(name, S("REQUIRETLS")))
		return fault_set(p->f, FAULT_REQUIRETLS, place(p, word));
	return fault_set(p->f, FAULT_PARAM_UNKNOWN, place(p, word));
}

static bool take_params(struct params *p, bool rcpt)
{
	unsigned seen = 0, count = 0;

	for (;;) {
		struct slice word;

		while (p->rest.n && blank(p->rest.at[0]))
			p->rest = slice_sub(p->rest, 1, SIZE_MAX);
		if (p->rest.n == 0)
			return true;
		(void)slice_cut(&p->rest, ' ', &word);
		if (++count > LIMIT_PARAMS)
			return fault_set(p->f, FAULT_PARAM_UNKNOWN, place(p, word));
		if (!take_param(p, word, rcpt, &seen))
			return false;
	}
}

bool cmd_mail(struct slice arg, const struct ext *offer, struct path *path_out, struct srv_params *params_out, struct fault *f)
{
	struct srv_params out = { 0 };
	struct params p = { .arg = arg, .offer = offer, .out = &out, .f = f };
	struct path path = { 0 };

	if (!take_path(&p, S("FROM:"), FAULT_BAD_SENDER, &path))
		return false;
	if (!path.null && path.domain.n == 0)
		return fault_note(f, FAULT_BAD_SENDER, 0, "no domain");
	if (!take_params(&p, false))
		return false;
	if (path.utf8 && !out.smtputf8)
		return fault_set(f, FAULT_NEEDS_SMTPUTF8, 0);
	*path_out = path;
	*params_out = out;
	return true;
}

bool cmd_rcpt(struct slice arg, const struct ext *offer, bool utf8, struct path *path_out, struct srv_params *params_out,
    struct fault *f)
{
	struct srv_params out = { 0 };
	struct params p = { .arg = arg, .offer = offer, .utf8 = utf8, .out = &out, .f = f };
	struct path path = { 0 };

	if (!take_path(&p, S("TO:"), FAULT_BAD_RECIPIENT, &path))
		return false;
	if (path.null)
		return fault_note(f, FAULT_BAD_RECIPIENT, 0, "null path");
	if (!take_params(&p, true))
		return false;
	if (path.utf8 && !utf8)
		return fault_set(f, FAULT_NEEDS_SMTPUTF8, 0);
	*path_out = path;
	*params_out = out;
	return true;
}

bool cmd_vrfy(struct slice arg, const struct ext *offer, struct fault *f)
{
	static const struct slice word = { (const unsigned char *)" SMTPUTF8", 9 };
	bool param = (offer->bits & EXT_SMTPUTF8) && arg.n > word.n && slice_ieq(slice_sub(arg, arg.n - word.n, word.n), word);

	if (arg.n == 0)
		return fault_set(f, FAULT_COMMAND_SYNTAX, 0);
	for (size_t i = 0; i < arg.n; i++) {
		if (arg.at[i] < 0x80)
			continue;
		return !param ? fault_set(f, FAULT_NEEDS_SMTPUTF8, i) : utf8_valid(arg) || fault_set(f, FAULT_COMMAND_SYNTAX, i);
	}
	return true;
}

bool cmd_bdat(struct slice arg, uint64_t *octets_out, bool *last_out, struct fault *f)
{
	struct slice rest = arg, number;
	bool more = slice_cut(&rest, ' ', &number);
	uint64_t octets;

	if (number.n > LIMIT_CHUNK_DIGITS || !slice_u64(number, INT64_MAX, &octets))
		return fault_set(f, FAULT_BDAT_BAD, 0);
	if (more && !slice_ieq(rest, S("LAST")))
		return fault_note(f, FAULT_BDAT_BAD, number.n + 1, "not LAST");
	*octets_out = octets;
	*last_out = more;
	return true;
}
