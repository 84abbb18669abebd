/*
 * A header block: its fields are the block again, whatever is changed is the sum of its parts; its values as address lists and paths.
 * The first octet says how the message is cut while its end is looked for.
 */
#include "auth/canon.h"
#include "base/limits.h"
#include "fuzz.h"
#include "mail/addr.h"
#include "mail/domain.h"
#include "mail/edit.h"
#include "mail/header.h"

static void want_end(struct slice message, size_t piece)
{
	size_t seen = 0, block = 0, body = 0, cut_seen = 0, cut_block = 0, cut_body = 0;
	bool whole = header_end(message, &seen, &block, &body), cut = false;

	for (size_t n = 0; !cut && n < message.n;) {
		n = piece < message.n - n ? n + piece : message.n;
		cut = header_end(slice_of(message.at, n), &cut_seen, &cut_block, &cut_body);
	}
	WANT(whole == cut && block == cut_block && body == cut_body);
	WANT(!whole || body == block + 2);
}

/* Told as it comes, the same as of the whole. */
static void want_fits(struct arena *a, struct slice block, size_t piece)
{
	struct header_count count = { 0 };
	struct fault f = { 0 };
	struct header h;
	size_t seen = 0, body;
	bool fits = true;

	(void)header_end(block, &seen, &block.n, &body);
	for (size_t n = 0; fits && n < block.n;) {
		n = piece < block.n - n ? n + piece : block.n;
		fits = header_fits(&count, slice_of(block.at, n), 5, &f);
	}
	/* A CR at the very end may be half of the empty line. */
	WANT(fits == header_parse(a, block, 5, &h, &f) || (fits && slice_ends(block, S("\n\r"))));
}

static void want_domain(struct arena *a, struct slice domain)
{
	struct slice again;

	WANT(domain_normal(a, domain, &again) && slice_eq(again, domain));
	WANT(domain.at[0] == '[' || domain_valid(domain));
	WANT(domain_follows(domain, domain));
}

static void read_value(struct arena *a, struct slice value)
{
	struct slice path = slice_trim(value), key;
	struct addr *list;
	struct path p;
	size_t n;

	if (addr_list(a, value, &list, &n)) {
		WANT(n > 0);
		for (size_t i = 0; i < n; i++)
			want_domain(a, list[i].domain);
	}
	if (!path_parse(path, &p))
		return;
	WANT(p.null ? p.local.n == 0 && p.domain.n == 0 : p.local.n > 0);
	key = path_key(a, path);
	WANT(path_same(a, path, path));
	WANT(p.null == (key.n == 0));
	for (size_t i = 0; i < path.n; i++)
		WANT(path.at[i] >= 0x20 && path.at[i] != 0x7f);
}

static void want_edits(struct arena *a, const struct header *h, unsigned which)
{
	struct edit *e = edit_new(a, h);
	size_t octets = 5, at = 0, n;
	struct slice *runs;

	WANT(e);
	for (size_t i = 0; i < h->n; i++) {
		if ((which >> (i & 7)) & 1)
			edit_remove(e, i);
		else
			octets += h->fields[i].raw.n;
	}
	edit_prepend(e, S("A:b\r\n"));
	WANT(edit_octets(e) == octets && edit_list(e, &runs, &n));
	for (size_t i = 0; i < n; i++)
		at += runs[i].n;
	WANT(at == octets && slice_starts(runs[0], S("A:b\r\n")));
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	struct slice block;
	struct arena a;
	struct header h;
	struct fault f = { 0 };
	size_t sum = 0;

	if (n < 2)
		return 0;
	block = slice_of(at + 1, n - 1);
	want_end(block, at[0] ? at[0] : 1);
	arena_init(&a, LIMIT_TX_ARENA);
	want_fits(&a, block, at[0] ? at[0] : 1);
	if (!header_parse(&a, block, 100, &h, &f)) {
		WANT(f.code == FAULT_HEADER_TOO_BIG);
		arena_clear(&a);
		return 0;
	}
	for (size_t i = 0; i < h.n; i++) {
		const struct field *field = &h.fields[i];

		WANT(field->raw.at == block.at + sum && field->raw.n > 0);
		sum += field->raw.n;
		WANT(field->name.n > 0 || h.malformed);
		WANT(field->name.n + field->value.n <= field->raw.n);
		WANT(i + 1 == h.n || slice_ends(field->raw, S("\r\n")));
		for (size_t k = 0; k < field->name.n; k++)
			WANT(field->name.at[k] > 0x20 && field->name.at[k] < 0x7f && field->name.at[k] != ':');
		read_value(&a, field->value);
	}
	WANT(sum == block.n && !arena_failed(&a));
	want_edits(&a, &h, at[0]);
	arena_clear(&a);
	return 0;
}
