/*
 * Paths, two of them with a LF between. One that is accepted holds nothing that could end a line or a path, is the sum of its parts,
 * is the same mailbox without its source route, and is taken from a command line as it stands.
 */
#include "base/buf.h"
#include "base/limits.h"
#include "fuzz.h"
#include "mail/addr.h"
#include "mail/domain.h"
#include "mail/utf8.h"
#include "smtp/cmd.h"

static bool inside(struct slice part, struct slice whole)
{
	return part.n == 0 || (part.at >= whole.at && part.at + part.n <= whole.at + whole.n);
}

/* '<' local '@' domain '>' */
static void print(struct buf *out, const struct path *p)
{
	buf_octet(out, '<');
	buf_slice(out, p->local);
	if (p->domain.n) {
		buf_octet(out, '@');
		buf_slice(out, p->domain);
	}
	buf_octet(out, '>');
}

static void want_parts(struct arena *a, const struct path *p)
{
	struct slice normal;
	struct path again;
	struct buf text;

	buf_init(&text, SIZE_MAX / 2);
	print(&text, p);
	WANT(path_parse(buf_get(&text), &again));
	WANT(slice_eq(again.local, p->local) && slice_eq(again.domain, p->domain) && again.null == p->null);
	WANT(slice_eq(again.raw, buf_get(&text)) && slice_ends(p->raw, slice_sub(buf_get(&text), 1, SIZE_MAX)));
	if (p->domain.n && domain_normal(a, p->domain, &normal)) {
		struct slice key = path_key(a, p->raw);

		WANT(path_same(a, p->raw, again.raw) && path_same(a, again.raw, p->raw));
		WANT(key.n > normal.n && slice_ends(key, normal) && key.at[key.n - normal.n - 1] == '@');
	}
	buf_release(&text);
}

/* What a client may say is what path_parse() takes; in a domain literal a quote or '>' is a syntax error there. */
static void want_command(const struct path *p)
{
	static const struct ext offer = { .bits = EXT_SMTPUTF8 };
	struct slice head = slice_sub(p->raw, 1, (size_t)((p->null ? p->raw.at + 1 : p->local.at) - p->raw.at) - 1);
	bool odd = memchr(head.n ? head.at : p->raw.at, '"', head.n) || memchr(head.n ? head.at : p->raw.at, '>', head.n);
	struct srv_params params;
	struct fault f = { 0 };
	struct path got;
	struct buf line;

	odd |= slice_find(p->domain, '"') < p->domain.n || slice_find(p->domain, '>') < p->domain.n;
	buf_init(&line, SIZE_MAX / 2);
	buf_str(&line, "FROM:");
	buf_slice(&line, p->raw);
	buf_str(&line, " SMTPUTF8");
	if (cmd_mail(buf_get(&line), &offer, &got, &params, &f)) {
		WANT(slice_eq(got.raw, p->raw) && slice_eq(got.local, p->local) && slice_eq(got.domain, p->domain));
		WANT(params.smtputf8 && got.utf8 == p->utf8);
	} else {
		WANT(odd || (!p->null && p->domain.n == 0));
	}
	buf_release(&line);
}

static void read_one(struct arena *a, struct slice text)
{
	bool high = false;
	struct path p = { 0 };

	if (!path_parse(text, &p)) {
		WANT(!p.raw.at && !p.null && slice_eq(path_key(a, text), text));
		return;
	}
	WANT(slice_eq(p.raw, text) && text.n <= LIMIT_PATH && text.at[0] == '<' && text.at[text.n - 1] == '>');
	for (size_t i = 0; i < text.n; i++) {
		WANT(text.at[i] >= 0x20 && text.at[i] != 0x7f);
		high |= text.at[i] >= 0x80;
	}
	WANT(p.utf8 == high && (!high || utf8_valid(text)));
	WANT(inside(p.local, text) && inside(p.domain, text));
	WANT(p.null ? p.local.n == 0 && p.domain.n == 0 && text.n == 2 : p.local.n > 0);
	WANT(p.null || p.domain.n || slice_ieq(p.local, S("postmaster")));
	want_parts(a, &p);
	want_command(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	struct slice second = slice_of(at, n), first;
	struct arena a;

	arena_init(&a, LIMIT_TX_ARENA);
	(void)slice_cut(&second, '\n', &first);
	read_one(&a, first);
	read_one(&a, second);
	WANT(path_same(&a, first, second) == path_same(&a, second, first));
	WANT(path_same(&a, first, second) == slice_eq(path_key(&a, first), path_key(&a, second)));
	WANT(path_same(&a, first, first) && !arena_failed(&a));
	arena_clear(&a);
	return 0;
}
