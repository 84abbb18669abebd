#include "mail/header.h"
#include "base/limits.h"

static bool blank(unsigned char c)
{
	return c == ' ' || c == '\t';
}

/* Index behind the next CRLF at or after `from`, or s.n. */
static size_t line_end(struct slice s, size_t from)
{
	while (from < s.n) {
		const unsigned char *lf = memchr(s.at + from, '\n', s.n - from);

		if (!lf)
			break;
		from = (size_t)(lf - s.at) + 1;
		if (from >= 2 && s.at[from - 2] == '\r')
			return from;
	}
	return s.n;
}

/* Splits one whole field; false: it is none (RFC 5322 2.2). */
static bool split(struct field *f)
{
	size_t n = 0, end = f->raw.n, name;

	if (end >= 2 && f->raw.at[end - 1] == '\n' && f->raw.at[end - 2] == '\r')
		end -= 2;
	while (n < end && f->raw.at[n] > 0x20 && f->raw.at[n] < 0x7f && f->raw.at[n] != ':')
		n++;
	name = n;
	while (n < end && blank(f->raw.at[n]))
		n++;
	if (name == 0 || n == end || f->raw.at[n] != ':') {
		f->value = slice_sub(f->raw, 0, end);
		return false;
	}
	f->name = slice_sub(f->raw, 0, name);
	f->blank_name = n > name;
	f->value = slice_sub(f->raw, n + 1, end - n - 1);
	return true;
}

/* Fields that begin in a block, at most `max`. */
static size_t begun(struct slice block, size_t max)
{
	size_t n = 0;

	for (size_t at = 0; at < block.n && n < max; at = line_end(block, at))
		n += at == 0 || !blank(block.at[at]);
	return n;
}

bool header_parse(struct arena *a, struct slice block, size_t field_max, struct header *header_out, struct fault *f)
{
	struct header h = { .raw = block };
	size_t at = 0;

	h.fields = ARENA_ARRAY(a, begun(block, field_max), struct field);
	if (!h.fields)
		return fault_set(f, FAULT_NO_MEMORY, 0);
	while (at < block.n) {
		size_t end = line_end(block, at);
		struct field *field;

		while (end < block.n && blank(block.at[end]))
			end = line_end(block, end);
		if (h.n == field_max || end - at > LIMIT_HEADER_LINE)
			return fault_set(f, FAULT_HEADER_TOO_BIG, at);
		field = &h.fields[h.n++];
		field->raw = slice_sub(block, at, end - at);
		if (!split(field))
			h.malformed = true;
		at = end;
	}
	*header_out = h;
	return true;
}

/* The first octets of the line at line_at are here: what do they begin? False: too many fields. */
static bool begin_line(struct header_count *c, struct slice octets, size_t field_max)
{
	struct slice line = slice_sub(octets, c->line_at, SIZE_MAX);

	if (line.n == 1 && line.at[0] == '\r')
		return true; /* the empty line, or no line at all yet */
	c->whole = slice_starts(line, S("\r\n"));
	c->begun = true;
	if (c->whole || (blank(line.at[0]) && c->fields))
		return true;
	c->field_at = c->line_at;
	return c->fields++ < field_max;
}

bool header_fits(struct header_count *c, struct slice octets, size_t field_max, struct fault *f)
{
	while (!c->whole && c->seen < octets.n) {
		const unsigned char *lf;
		size_t end;

		if (!c->begun && !begin_line(c, octets, field_max))
			return fault_set(f, FAULT_HEADER_TOO_BIG, c->line_at);
		if (!c->begun || c->whole)
			break;
		lf = memchr(octets.at + c->seen, '\n', octets.n - c->seen);
		c->seen = end = lf ? (size_t)(lf - octets.at) + 1 : octets.n;
		if (end - c->field_at > LIMIT_HEADER_LINE)
			return fault_set(f, FAULT_HEADER_TOO_BIG, c->field_at);
		if (lf && end - c->line_at >= 2 && lf[-1] == '\r') {
			c->line_at = end;
			c->begun = false;
		}
	}
	return true;
}

size_t header_find(const struct header *h, struct slice name, size_t from)
{
	while (from < h->n && !slice_ieq(h->fields[from].name, name))
		from++;
	return from < h->n ? from : h->n;
}

bool header_end(struct slice octets, size_t *seen, size_t *block_out, size_t *body_out)
{
	const unsigned char *p;

	if (slice_starts(octets, S("\r\n"))) {
		*block_out = 0;
		*body_out = 2;
		return true;
	}
	p = octets.n - *seen >= 4 ? memmem(octets.at + *seen, octets.n - *seen, "\r\n\r\n", 4) : NULL;
	if (p) {
		*block_out = (size_t)(p - octets.at) + 2;
		*body_out = *block_out + 2;
		return true;
	}
	if (octets.n > 3 && octets.n - 3 > *seen)
		*seen = octets.n - 3;
	return false;
}
