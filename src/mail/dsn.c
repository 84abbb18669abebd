#include "mail/dsn.h"
#include "base/limits.h"
#include "mail/addr.h"

static const char *const actions[DSN_ACTIONS] = { "failed", "delayed", "delivered", "relayed", "expanded" };

const char *dsn_action_name(enum dsn_action action)
{
	return actions[action];
}

/* ---- values ---- */

/* Trimmed, folds undone. False: a line end that is no fold. */
static bool text_value(struct arena *a, struct slice value, struct slice *out)
{
	unsigned char *text;
	size_t n = 0;

	value = slice_trim(value);
	if (value.n == 0 || (!memchr(value.at, '\r', value.n) && !memchr(value.at, '\n', value.n))) {
		*out = value;
		return true;
	}
	text = arena_take(a, value.n);
	if (!text)
		return false;
	for (size_t i = 0; i < value.n; i++) {
		if (value.at[i] == '\r' && value.n - i > 2 && value.at[i + 1] == '\n' &&
		    (value.at[i + 2] == ' ' || value.at[i + 2] == '\t'))
			i += 2;
		if (value.at[i] == '\r' || value.at[i] == '\n')
			return false;
		text[n++] = value.at[i];
	}
	*out = slice_of(text, n);
	return true;
}

/* "type; text" */
static bool typed_value(struct slice value, struct dsn_typed *out)
{
	struct slice rest = value, type;

	if (!slice_cut(&rest, ';', &type))
		return false;
	out->type = slice_trim(type);
	out->text = slice_trim(rest);
	for (size_t i = 0; i < out->type.n; i++)
		if (out->type.at[i] <= ' ' || out->type.at[i] >= 0x7f)
			return false;
	return out->type.n > 0 && out->text.n > 0;
}

/* A word, and behind it nothing but a comment. */
static struct slice one_word(struct slice value)
{
	size_t n = 0;
	struct slice rest;

	while (n < value.n && value.at[n] > ' ' && value.at[n] != '(')
		n++;
	rest = slice_trim(slice_sub(value, n, SIZE_MAX));
	if (rest.n && (rest.at[0] != '(' || rest.at[rest.n - 1] != ')'))
		return SLICE_NONE;
	return slice_sub(value, 0, n);
}

static bool action_value(struct slice value, enum dsn_action *out)
{
	struct slice word = one_word(value);

	for (unsigned k = 0; k < DSN_ACTIONS; k++)
		if (slice_ieq(word, slice_str(actions[k]))) {
			*out = (enum dsn_action)k;
			return true;
		}
	return false;
}

bool dsn_status_valid(struct slice status)
{
	struct slice class, subject;
	uint64_t n;

	return slice_cut(&status, '.', &class) && slice_cut(&status, '.', &subject) && class.n == 1 &&
	    (class.at[0] == '2' || class.at[0] == '4' || class.at[0] == '5') && subject.n <= 3 && status.n <= 3 &&
	    slice_u64(subject, 999, &n) && slice_u64(status, 999, &n);
}

static bool status_value(struct slice value, struct slice *out)
{
	*out = one_word(value);
	return dsn_status_valid(*out);
}

/* ---- the status part ---- */

struct reader {
	struct arena *arena;
	struct dsn *dsn;
	const char *why;
};

static bool bad(struct reader *r, const char *why)
{
	if (!r->why)
		r->why = why;
	return false;
}

/* The value of a field of a group, empty: it is not there. False: twice, or it cannot be read. */
static bool group_value(struct reader *r, const struct header *group, struct slice name, struct slice *out)
{
	size_t i = header_find(group, name, 0);

	*out = SLICE_NONE;
	if (i == group->n)
		return true;
	if (header_find(group, name, i + 1) < group->n)
		return bad(r, "field of the status part twice");
	if (!text_value(r->arena, group->fields[i].value, out))
		return bad(r, "line end in the status part");
	return true;
}

static bool group_typed(struct reader *r, const struct header *group, struct slice name, struct dsn_typed *out)
{
	struct slice value;

	if (!group_value(r, group, name, &value))
		return false;
	if (value.n && !typed_value(value, out))
		return bad(r, "field of the status part without type");
	return true;
}

static bool take_message_group(struct reader *r, const struct header *group)
{
	struct dsn *d = r->dsn;

	if (!group_typed(r, group, S("Reporting-MTA"), &d->reporting_mta) ||
	    !group_value(r, group, S("Original-Envelope-Id"), &d->envelope_id) ||
	    !group_value(r, group, S("Arrival-Date"), &d->arrival))
		return false;
	return d->reporting_mta.text.n > 0 || bad(r, "no Reporting-MTA");
}

static bool take_recipient_group(struct reader *r, const struct header *group)
{
	struct dsn_recipient *to = &r->dsn->recipients[r->dsn->n];
	struct slice action, status;

	if (!group_typed(r, group, S("Original-Recipient"), &to->original) ||
	    !group_typed(r, group, S("Final-Recipient"), &to->final) || !group_value(r, group, S("Action"), &action) ||
	    !group_value(r, group, S("Status"), &status) || !group_typed(r, group, S("Remote-MTA"), &to->remote_mta) ||
	    !group_typed(r, group, S("Diagnostic-Code"), &to->diagnostic) ||
	    !group_value(r, group, S("Last-Attempt-Date"), &to->last_attempt) ||
	    !group_value(r, group, S("Will-Retry-Until"), &to->retry_until))
		return false;
	if (to->final.text.n == 0)
		return bad(r, "no Final-Recipient");
	if (!action_value(action, &to->action))
		return bad(r, "no Action that is known");
	if (!status_value(status, &to->status))
		return bad(r, "no Status");
	r->dsn->n++;
	return true;
}

/* Cuts a group and the empty lines around it off the front. False: there is none. */
static bool next_group(struct slice *rest, struct slice *group_out)
{
	const unsigned char *end;

	while (slice_starts(*rest, S("\r\n")))
		*rest = slice_sub(*rest, 2, SIZE_MAX);
	if (rest->n == 0)
		return false;
	end = memmem(rest->at, rest->n, "\r\n\r\n", 4);
	*group_out = end ? slice_sub(*rest, 0, (size_t)(end - rest->at) + 2) : *rest;
	*rest = slice_sub(*rest, group_out->n, SIZE_MAX);
	return true;
}

static size_t count_groups(struct slice status)
{
	struct slice group;
	size_t n = 0;

	while (next_group(&status, &group))
		n++;
	return n;
}

static bool read_status(struct reader *r, struct slice status)
{
	size_t groups = status.n <= LIMIT_REPORT_STATUS ? count_groups(status) : 0;
	struct slice text;

	if (status.n > LIMIT_REPORT_STATUS || groups > LIMIT_RCPT + 1)
		return bad(r, "status part too big");
	if (groups < 2)
		return bad(r, "status part without a recipient");
	r->dsn->recipients = ARENA_ARRAY(r->arena, groups - 1, struct dsn_recipient);
	if (!r->dsn->recipients)
		return false;
	for (size_t k = 0; next_group(&status, &text); k++) {
		struct header group;
		struct fault f = { 0 };

		if (!header_parse(r->arena, text, LIMIT_REPORT_FIELDS, &group, &f))
			return bad(r, "group of the status part too big");
		if (group.malformed)
			return bad(r, "line of the status part that is no field");
		if (!(k ? take_recipient_group(r, &group) : take_message_group(r, &group)))
			return false;
	}
	return true;
}

/* ---- the three parts ---- */

static bool blank_lines(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.at[i] != '\r' && s.at[i] != '\n')
			return false;
	return true;
}

static bool read_returned(struct reader *r, const struct mime_part *part, size_t field_max)
{
	struct dsn *d = r->dsn;
	size_t seen = 0, block = part->body.n, body = part->body.n;
	struct fault f = { 0 };

	if (mime_is(&part->type, S("message"), S("rfc822")) || mime_is(&part->type, S("message"), S("global")))
		d->header_only = false;
	else if (mime_is(&part->type, S("text"), S("rfc822-headers")) || mime_is(&part->type, S("message"), S("global-headers")))
		d->header_only = true;
	else
		return bad(r, "third part is no message");
	d->utf8 |= slice_istarts(part->type.subtype, S("global"));
	if (part->encoding != MIME_PLAIN)
		return bad(r, "third part is encoded");
	d->returned = part->body;
	(void)header_end(d->returned, &seen, &block, &body); /* without an empty line there is a header only */
	d->body = slice_sub(d->returned, body, SIZE_MAX);
	if (!header_parse(r->arena, slice_sub(d->returned, 0, block), field_max, &d->header, &f))
		return bad(r, "returned header too big");
	if (d->header.malformed)
		return bad(r, "returned header has a line that is no field");
	if (d->header_only && !blank_lines(d->body))
		return bad(r, "more than a header is returned as a header");
	return true;
}

static bool read_parts(struct reader *r, const struct mime_type *type, struct slice body, size_t field_max)
{
	struct slice boundary = mime_param(type, S("boundary")), raw[3];
	struct mime_part part[3];
	size_t n;

	if (!mime_boundary(boundary))
		return bad(r, "no boundary");
	if (!mime_split(body, boundary, raw, 3, &n) || n != 3)
		return bad(r, "not three parts");
	for (size_t k = 0; k < 3; k++)
		if (!mime_part_parse(r->arena, raw[k], LIMIT_REPORT_FIELDS, &part[k]))
			return bad(r, "part with a broken header");
	if (mime_is(&part[1].type, S("message"), S("global-delivery-status")))
		r->dsn->utf8 = true;
	else if (!mime_is(&part[1].type, S("message"), S("delivery-status")))
		return bad(r, "second part is no delivery status");
	if (part[1].encoding != MIME_PLAIN)
		return bad(r, "second part is encoded");
	return read_status(r, part[1].body) && read_returned(r, &part[2], field_max);
}

enum dsn_state dsn_read(struct arena *a, const struct header *h, struct slice body, size_t field_max, struct dsn *out,
    const char **why_out)
{
	struct dsn d = { .recipients = NULL };
	struct reader r = { .arena = a, .dsn = &d };
	struct mime_type type;
	enum mime_encoding encoding;

	if (!mime_head(a, h, &type, &encoding))
		return arena_failed(a) ? DSN_MEMORY : DSN_NONE;
	if (!mime_is(&type, S("multipart"), S("report")) || !slice_ieq(mime_param(&type, S("report-type")), S("delivery-status")))
		return DSN_NONE;
	if (encoding != MIME_PLAIN)
		(void)bad(&r, "multipart is encoded");
	else if (read_parts(&r, &type, body, field_max) && !arena_failed(a)) {
		*out = d;
		return DSN_READ;
	}
	if (arena_failed(a) || !r.why)
		return DSN_MEMORY;
	*why_out = r.why;
	return DSN_BAD;
}

/* ---- addresses ---- */

static int hex(unsigned char c)
{
	c = ascii_lower(c);
	return ascii_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "x{E9}" behind a backslash: its code point and octets, 0: none (RFC 6533 section 3). */
static size_t embedded(struct slice s, uint32_t *code_out)
{
	uint32_t code = 0;
	size_t n = 2;

	if (s.n < 5 || s.at[0] != 'x' || s.at[1] != '{')
		return 0;
	for (; n < s.n && n < 8 && hex(s.at[n]) >= 0; n++)
		code = code << 4 | (uint32_t)hex(s.at[n]);
	if (n < 4 || n == s.n || s.at[n] != '}' || code > 0x10ffff || code < 0x20 || (code >= 0xd800 && code < 0xe000))
		return 0;
	*code_out = code;
	return n + 1;
}

/* At most four octets. */
static size_t put_utf8(unsigned char *out, uint32_t code)
{
	static const unsigned char heads[5] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;

	for (size_t k = n; k-- > 1; code >>= 6)
		out[k] = (unsigned char)(0x80 | (code & 0x3f));
	out[0] = (unsigned char)(heads[n] | code);
	return n;
}

struct slice dsn_path(struct arena *a, struct dsn_typed address)
{
	bool utf8 = slice_ieq(address.type, S("utf-8")), bracketed = slice_starts(address.text, S("<"));
	unsigned char *text;
	size_t n = 0;
	struct slice path;
	struct path ignored;

	if ((!utf8 && !slice_ieq(address.type, S("rfc822"))) || address.text.n > LIMIT_PATH)
		return SLICE_NONE;
	text = arena_take(a, address.text.n + 2);
	if (!text)
		return SLICE_NONE;
	if (!bracketed)
		text[n++] = '<';
	for (size_t i = 0; i < address.text.n; i++) {
		uint32_t code;
		size_t taken = 0;

		if (utf8 && address.text.at[i] == '\\')
			taken = embedded(slice_sub(address.text, i + 1, SIZE_MAX), &code);
		if (taken)
			n += put_utf8(text + n, code);
		else
			text[n++] = address.text.at[i];
		i += taken;
	}
	if (!bracketed)
		text[n++] = '>';
	path = slice_of(text, n);
	return path_parse(path, &ignored) ? path : SLICE_NONE;
}

struct dsn_typed dsn_address(struct slice path)
{
	struct dsn_typed t = { .type = S("rfc822"), .text = slice_sub(path, 1, path.n < 2 ? 0 : path.n - 2) };

	for (size_t i = 0; i < path.n; i++)
		if (path.at[i] >= 0x80)
			t.type = S("utf-8");
	return t;
}
