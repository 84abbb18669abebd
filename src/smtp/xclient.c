#include "base/ip.h"
#include "smtp/cmd.h"
#include "smtp/xclient.h"

static const struct attribute {
	enum xclient_attribute bit;
	struct slice name;
} attributes[] = {
	{ XCLIENT_NAME, { (const unsigned char *)"NAME", 4 } },
	{ XCLIENT_ADDR, { (const unsigned char *)"ADDR", 4 } },
	{ XCLIENT_PORT, { (const unsigned char *)"PORT", 4 } },
	{ XCLIENT_PROTO, { (const unsigned char *)"PROTO", 5 } },
	{ XCLIENT_HELO, { (const unsigned char *)"HELO", 4 } },
	{ XCLIENT_IDENT, { (const unsigned char *)"IDENT", 5 } },
	{ XCLIENT_SOURCE, { (const unsigned char *)"SOURCE", 6 } },
};
enum { ATTRIBUTES = sizeof(attributes) / sizeof(attributes[0]) };

static unsigned attribute_of(struct slice name)
{
	for (size_t i = 0; i < ATTRIBUTES; i++)
		if (slice_ieq(name, attributes[i].name))
			return attributes[i].bit;
	return 0;
}

static int hex(unsigned char c)
{
	if (ascii_digit(c))
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* RFC 3461 4 xtext to the text it stands for: printable US-ASCII without blanks, 1..255 octets. */
static bool from_xtext(struct slice s, char out[XCLIENT_TEXT], struct slice *text_out)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		int c = s.at[i];

		if (c == '+') {
			if (s.n - i < 3 || hex(s.at[i + 1]) < 0 || hex(s.at[i + 2]) < 0)
				return false;
			c = hex(s.at[i + 1]) * 16 + hex(s.at[i + 2]);
			i += 2;
		} else if (c == '=') {
			return false;
		}
		if (c <= 0x20 || c >= 0x7f || n == XCLIENT_TEXT - 1)
			return false;
		out[n++] = (char)c;
	}
	out[n] = '\0';
	*text_out = slice_of(out, n);
	return n > 0;
}

/* Letters, digits, hyphen, underline and dot: what goes into a log or a header without a second look. */
static bool host_name(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_alpha(s.at[i]) && !ascii_digit(s.at[i]) && s.at[i] != '-' && s.at[i] != '_' && s.at[i] != '.')
			return false;
	return true;
}

static bool address(struct slice s, unsigned char out[16])
{
	bool v6 = slice_istarts(s, S("IPV6:"));

	if (v6)
		s = slice_sub(s, 5, SIZE_MAX);
	return (slice_find(s, ':') != s.n) == v6 && ip_parse(s, out);
}

static bool set(struct xclient *who, unsigned bit, struct slice value)
{
	uint64_t n;

	switch (bit) {
	case XCLIENT_NAME:
		xclient_text(who->name, value);
		return host_name(value);
	case XCLIENT_ADDR:
		return address(value, who->address);
	case XCLIENT_PORT:
		if (!slice_u64(value, UINT16_MAX, &n))
			return false;
		who->port = (uint16_t)n;
		return true;
	case XCLIENT_PROTO:
		who->esmtp = slice_ieq(value, S("ESMTP"));
		return who->esmtp || slice_ieq(value, S("SMTP"));
	case XCLIENT_HELO:
		xclient_text(who->helo, value);
		return cmd_hello(value);
	case XCLIENT_IDENT:
		xclient_text(who->ident, value);
		return true;
	case XCLIENT_SOURCE:
		who->local = slice_ieq(value, S("LOCAL"));
		return who->local || slice_ieq(value, S("REMOTE"));
	default:
		return false;
	}
}

static bool take(struct xclient *who, unsigned ours, struct slice word, unsigned *seen)
{
	struct slice value = word, name, text;
	char room[XCLIENT_TEXT];
	unsigned bit;

	if (!slice_cut(&value, '=', &name))
		return false;
	bit = attribute_of(name) & ours;
	if (!bit || *seen & bit)
		return false;
	*seen |= bit;
	who->said |= bit;
	who->known &= ~bit;
	/* written in xtext it means the same: else it would be known here, and unknown to the next hop */
	if (!from_xtext(value, room, &text))
		return false;
	if (slice_ieq(text, S("[UNAVAILABLE]")))
		return true;
	if (slice_ieq(text, S("[TEMPUNAVAIL]")))
		return bit == XCLIENT_NAME;
	who->known |= bit;
	return set(who, bit, text);
}

bool xclient_read(struct slice arg, unsigned ours, struct xclient *who, struct fault *f)
{
	struct xclient next = *who;
	struct slice rest = arg, word;
	unsigned seen = 0;
	bool more;

	do {
		more = slice_cut(&rest, ' ', &word);
		if ((word.n || !more) && !take(&next, ours, word, &seen))
			return fault_set(f, FAULT_COMMAND_SYNTAX, word.n ? (size_t)(word.at - arg.at) : arg.n);
	} while (more);
	*who = next;
	return true;
}

unsigned xclient_listed(struct slice words)
{
	unsigned bits = 0;
	struct slice word;
	bool more;

	do {
		more = slice_cut(&words, ' ', &word);
		bits |= attribute_of(word);
	} while (more);
	return bits;
}

void xclient_list(struct buf *out, unsigned bits)
{
	for (size_t i = 0; i < ATTRIBUTES; i++) {
		if (!(bits & attributes[i].bit))
			continue;
		buf_octet(out, ' ');
		buf_slice(out, attributes[i].name);
	}
}

static void to_xtext(struct buf *out, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c > 0x20 && c < 0x7f && c != '+' && c != '=')
			buf_octet(out, c);
		else
			buf_printf(out, "+%02X", c);
	}
}

static void write_value(struct buf *out, unsigned bit, const struct xclient *who)
{
	char text[IP_TEXT];

	switch (bit) {
	case XCLIENT_NAME:
		to_xtext(out, who->name);
		break;
	case XCLIENT_ADDR:
		ip_text(who->address, text);
		if (!ip_is_v4(who->address))
			buf_str(out, "IPV6:");
		buf_str(out, text);
		break;
	case XCLIENT_PORT:
		buf_u64(out, who->port);
		break;
	case XCLIENT_PROTO:
		buf_str(out, who->esmtp ? "ESMTP" : "SMTP");
		break;
	case XCLIENT_HELO:
		to_xtext(out, who->helo);
		break;
	case XCLIENT_IDENT:
		to_xtext(out, who->ident);
		break;
	default:
		buf_str(out, who->local ? "LOCAL" : "REMOTE");
		break;
	}
}

void xclient_write(struct buf *out, unsigned bits, const struct xclient *who)
{
	for (size_t i = 0; i < ATTRIBUTES; i++) {
		if (!(bits & attributes[i].bit))
			continue;
		buf_octet(out, ' ');
		buf_slice(out, attributes[i].name);
		buf_octet(out, '=');
		if (who->known & attributes[i].bit)
			write_value(out, attributes[i].bit, who);
		else
			buf_str(out, "[UNAVAILABLE]");
	}
}

void xclient_text(char to[XCLIENT_TEXT], struct slice from)
{
	size_t n = from.n < XCLIENT_TEXT ? from.n : XCLIENT_TEXT - 1;

	if (n)
		memcpy(to, from.at, n);
	to[n] = '\0';
}
