/*
 * What XCLIENT and XFORWARD say, a command a line; the first octet says which. A command that is refused leaves what was known, one
 * that is taken holds nothing that a log or a header could choke on, and is read as it was when it is told to the next hop.
 */
#include "base/limits.h"
#include "fuzz.h"
#include "smtp/cmd.h"
#include "smtp/xclient.h"

static void want_text(const char *text)
{
	size_t n = strnlen(text, XCLIENT_TEXT);

	WANT(n < XCLIENT_TEXT);
	for (size_t i = 0; i < n; i++)
		WANT((unsigned char)text[i] > 0x20 && (unsigned char)text[i] < 0x7f);
}

static void want_same(const struct xclient *x, const struct xclient *y)
{
	WANT(x->known == y->known);
	if (x->known & XCLIENT_NAME)
		WANT(strcmp(x->name, y->name) == 0);
	if (x->known & XCLIENT_ADDR)
		WANT(memcmp(x->address, y->address, sizeof(x->address)) == 0);
	if (x->known & XCLIENT_PORT)
		WANT(x->port == y->port);
	if (x->known & XCLIENT_PROTO)
		WANT(x->esmtp == y->esmtp);
	if (x->known & XCLIENT_HELO)
		WANT(strcmp(x->helo, y->helo) == 0 && cmd_hello(slice_str(x->helo)));
	if (x->known & XCLIENT_IDENT)
		WANT(strcmp(x->ident, y->ident) == 0);
	if (x->known & XCLIENT_SOURCE)
		WANT(x->local == y->local);
}

static void told(const struct xclient *who, unsigned ours)
{
	struct xclient again = { 0 };
	struct fault f = { 0 };
	struct buf out;

	buf_init(&out, SIZE_MAX / 2);
	xclient_write(&out, ours, who);
	WANT(!buf_failed(&out) && out.n < LIMIT_COMMAND_LINE);
	for (size_t i = 0; i < out.n; i++)
		WANT(out.at[i] >= 0x20 && out.at[i] < 0x7f);
	WANT(xclient_read(buf_get(&out), ours, &again, &f));
	WANT(again.said == ours);
	want_same(who, &again);
	buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	struct xclient who = { 0 }, before;
	struct slice rest, line;
	unsigned ours;
	bool more;

	if (n < 1 || n > LIMIT_COMMAND_LINE)
		return 0;
	ours = at[0] & 1 ? XFORWARD_OURS : XCLIENT_OURS;
	rest = slice_of(at + 1, n - 1);
	do {
		struct fault f = { 0 };

		more = slice_cut(&rest, '\n', &line);
		before = who;
		if (!xclient_read(line, ours, &who, &f)) {
			WANT(f.code == FAULT_COMMAND_SYNTAX && f.at <= line.n);
			WANT(memcmp(&who, &before, sizeof(who)) == 0);
			continue;
		}
		WANT((who.said & ~ours) == 0 && (who.known & ~who.said) == 0 && who.said);
		want_text(who.name);
		want_text(who.helo);
		want_text(who.ident);
		told(&who, ours);
	} while (more);
	WANT((xclient_listed(slice_of(at + 1, n - 1)) & ~(unsigned)XFORWARD_OURS) == 0);
	return 0;
}
