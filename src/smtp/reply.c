#include "base/limits.h"
#include "mail/utf8.h"
#include "smtp/reply.h"

/* RFC 5321 4.5.3.1.5: 512 octets with code, separator and CRLF. */
enum { TEXT_OF_LINE = 512 - 6 };

static bool text_octet(unsigned char c)
{
	return (c >= 0x20 && c < 0x7f) || c == '\t';
}

/* UTF-8 without the controls U+0080 to U+009F, which some terminals obey. */
static bool plain_utf8(struct slice text)
{
	for (size_t i = 0; i + 1 < text.n; i++)
		if (text.at[i] == 0xc2 && text.at[i + 1] < 0xa0)
			return false;
	return utf8_valid(text);
}

static void write_line(struct buf *out, short code, bool last, struct slice text, bool utf8)
{
	struct slice head = utf8 ? utf8_head(text, TEXT_OF_LINE) : slice_sub(text, 0, TEXT_OF_LINE);
	bool high = utf8 && plain_utf8(head);
	unsigned char *p;

	buf_printf(out, "%03d", code);
	if (head.n || !last)
		buf_octet(out, last ? ' ' : '-');
	p = buf_room(out, head.n + 2);
	if (!p)
		return;
	for (size_t i = 0; i < head.n; i++)
		p[i] = text_octet(head.at[i]) || (high && head.at[i] >= 0x80) ? head.at[i] : '?';
	p[head.n] = '\r';
	p[head.n + 1] = '\n';
	buf_grew(out, head.n + 2);
}

void reply_write(struct buf *out, const struct reply *r, bool utf8)
{
	struct slice rest = utf8 ? utf8_head(r->text, LIMIT_REPLY_TEXT) : slice_sub(r->text, 0, LIMIT_REPLY_TEXT), line;
	bool more;

	do {
		more = slice_cut(&rest, '\n', &line);
		write_line(out, r->code, !more, line, utf8);
	} while (more);
}

void reply_fault(struct buf *out, const struct fault *f)
{
	char text[sizeof(f->enhanced) + sizeof(f->text)];
	size_t n = strlen(f->enhanced);

	memcpy(text, f->enhanced, n);
	if (n)
		text[n++] = ' ';
	memcpy(text + n, f->text, strlen(f->text));
	write_line(out, f->basic, true, slice_of(text, n + strlen(f->text)), false);
}

void reply_reader_init(struct reply_reader *r)
{
	*r = (struct reply_reader){ 0 };
	line_reader_init(&r->line, true);
	buf_init(&r->text, LIMIT_REPLY);
}

void reply_reader_release(struct reply_reader *r)
{
	line_reader_release(&r->line);
	buf_release(&r->text);
}

bool reply_partial(const struct reply_reader *r)
{
	return r->lines > 0 || line_partial(&r->line);
}

static bool digits(struct slice *s, size_t max)
{
	size_t n = 0;

	while (n < s->n && ascii_digit(s->at[n]))
		n++;
	*s = slice_sub(*s, n, SIZE_MAX);
	return n >= 1 && n <= max;
}

static bool dot(struct slice *s)
{
	struct slice c;

	return slice_take(s, 1, &c) && c.at[0] == '.';
}

/* RFC 2034 4: class "." subject "." detail, the class being the reply's. */
static void read_enhanced(short code, struct slice text, char enhanced_out[12])
{
	struct slice rest = text;
	size_t n;

	enhanced_out[0] = '\0';
	if (text.n == 0 || text.at[0] != '0' + code / 100)
		return;
	if (!digits(&rest, 1) || !dot(&rest) || !digits(&rest, 3) || !dot(&rest) || !digits(&rest, 3))
		return;
	if (rest.n && rest.at[0] != ' ')
		return;
	n = text.n - rest.n;
	memcpy(enhanced_out, text.at, n);
	enhanced_out[n] = '\0';
}

/* "250", "250 text" or "250-text". */
static bool split(struct slice line, short *code_out, bool *last_out, struct slice *text_out)
{
	int code;

	if (line.n < 3 || !ascii_digit(line.at[0]) || !ascii_digit(line.at[1]) || !ascii_digit(line.at[2]))
		return false;
	code = (line.at[0] - '0') * 100 + (line.at[1] - '0') * 10 + (line.at[2] - '0');
	if (code < 200 || code > 599)
		return false;
	if (line.n > 3 && line.at[3] != ' ' && line.at[3] != '-')
		return false;
	*code_out = (short)code;
	*last_out = line.n == 3 || line.at[3] == ' ';
	*text_out = slice_sub(line, 4, SIZE_MAX);
	return true;
}

static bool holds_odd(struct slice text)
{
	bool high = false;

	for (size_t i = 0; i < text.n; i++) {
		if (!text_octet(text.at[i]) && text.at[i] < 0x80)
			return true;
		high |= text.at[i] >= 0x80;
	}
	return high && !plain_utf8(text);
}

static enum reply_status bad(struct reply_reader *r, struct fault *f, const char *why)
{
	fault_note(f, FAULT_NEXT_HOP_REPLY, r->octets, "%s", why);
	return REPLY_BAD;
}

/* One whole line of a reply; *text_out is what it says. */
static enum reply_status take_line(struct reply_reader *r, struct slice line, struct slice *text_out, struct fault *f)
{
	bool last = false;
	short code = 0;

	if (!split(line, &code, &last, text_out))
		return bad(r, f, "reply line without a reply code");
	if (r->lines && code != r->code)
		return bad(r, f, "reply code changed between lines");
	if (++r->lines > LIMIT_REPLY_LINES || line.n > LIMIT_REPLY - r->octets)
		return bad(r, f, "reply too long");
	r->octets += line.n;
	if (r->lines == 1) {
		r->code = code;
		r->odd = false;
		read_enhanced(code, *text_out, r->enhanced);
	}
	r->odd |= holds_odd(*text_out);
	if (last && r->lines == 1)
		return REPLY_WHOLE;
	if (r->lines > 1)
		buf_octet(&r->text, '\n');
	buf_slice(&r->text, *text_out);
	if (buf_failed(&r->text)) {
		fault_set(f, FAULT_NO_MEMORY, r->octets);
		return REPLY_BAD;
	}
	*text_out = buf_get(&r->text);
	return last ? REPLY_WHOLE : REPLY_MORE;
}

static enum reply_status read_line(struct reply_reader *r, struct slice *in, struct slice *line_out, struct fault *f)
{
	switch (line_read(&r->line, in, LIMIT_REPLY_LINE, line_out)) {
	case LINE_WHOLE:
		return REPLY_WHOLE;
	case LINE_MORE:
		return REPLY_MORE;
	case LINE_BARE_LF:
		return bad(r, f, "bare LF in a reply");
	case LINE_NO_MEMORY:
		fault_set(f, FAULT_NO_MEMORY, r->octets);
		return REPLY_BAD;
	case LINE_LONG:
	case LINE_ENDLESS:
		break;
	}
	return bad(r, f, "reply line too long");
}

enum reply_status reply_read(struct reply_reader *r, struct slice *in, struct reply *reply_out, struct fault *f)
{
	enum reply_status status;
	struct slice line, text = SLICE_NONE;

	if (r->lines == 0)
		buf_release(&r->text);
	do {
		status = read_line(r, in, &line, f);
		if (status != REPLY_WHOLE)
			return status;
		status = take_line(r, line, &text, f);
	} while (status == REPLY_MORE);
	if (status == REPLY_WHOLE) {
		*reply_out = (struct reply){ .code = r->code, .text = text, .odd = r->odd };
		memcpy(reply_out->enhanced, r->enhanced, sizeof(r->enhanced));
		r->lines = 0;
		r->octets = 0;
	}
	return status;
}
