/*
 * Two messages, the recipe from the second back to the first, written, read again and applied: the hashes are those of
 * the first. They stand behind two octets, an RS (0x1e) between them. Of the first octet, 1: an LF stands for CRLF,
 * 2: each octet of a body stands for a line; the second says how bodies are cut.
 */
#include "auth/canon.h"
#include "auth/dkim2/make.h"
#include "auth/dkim2/undo.h"
#include "base/limits.h"
#include "fuzz.h"

enum { LINE_ENDS = 1, LINES = 2, OCTETS_MAX = 20000 };

struct message {
	struct header *header;
	struct slice body;
	struct slice *runs;
	size_t n;
};

static struct slice spread(struct arena *a, struct slice text, unsigned char mode)
{
	struct slice s;
	struct buf b;

	buf_init(&b, SIZE_MAX / 2);
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = text.at[i];

		if (mode & LINES)
			buf_printf(&b, "%*u\r\n", c % 4 * 10 + 1, (unsigned)c);
		else if (c == '\n' && mode & LINE_ENDS)
			buf_str(&b, "\r\n");
		else
			buf_octet(&b, c);
	}
	s = arena_copy(a, buf_get(&b));
	buf_release(&b);
	return s;
}

static bool message_of(struct arena *a, struct slice text, unsigned char mode, size_t piece, struct message *m)
{
	size_t seen = 0, block, body;
	struct fault f = { 0 };

	text = spread(a, text, mode & LINE_ENDS);
	block = body = text.n;
	header_end(text, &seen, &block, &body);
	m->header = ARENA_NEW(a, struct header);
	if (!header_parse(a, slice_sub(text, 0, block), LIMIT_RECIPE_NAMES, m->header, &f))
		return false;
	m->body = text = spread(a, slice_sub(text, body, SIZE_MAX), mode & LINES);
	m->runs = ARENA_ARRAY(a, text.n / piece + 1, struct slice);
	while (text.n)
		(void)slice_take(&text, piece < text.n ? piece : text.n, &m->runs[m->n++]);
	return true;
}

static bool left_out(struct slice name, const void *draft)
{
	return draft_unsigned(draft, name);
}

static void hash(struct arena *a, const struct dkim2_draft *draft, const struct message *m, unsigned char header[DIGEST_OCTETS], unsigned char body[DIGEST_OCTETS])
{
	unsigned char all[DIGEST_ALGS][DIGEST_OCTETS];
	struct canon_body *c = canon_body_new(1U << DIGEST_SHA256);

	WANT(canon_header(a, m->header, left_out, draft, 1U << DIGEST_SHA256, all));
	memcpy(header, all[DIGEST_SHA256], 32);
	canon_body_add(c, m->body);
	canon_body_end(c);
	memcpy(body, canon_body_digest(c, DIGEST_SHA256).at, 32);
	canon_body_free(&c);
}

/* All old lines as literals take no less; of lines that are text, since others are not priced exactly. */
static void want_short(const struct recipe *r, struct slice body)
{
	uint64_t literal = sizeof("{\"b\":[{\"d\":[]}]}") - 1;
	struct recipe only = { .has_body = true, .body = r->body };
	struct buf json;

	while (body.n) {
		size_t n = slice_find(body, '\r');

		literal += n + 3;
		body = slice_sub(body, n + 2, SIZE_MAX);
	}
	buf_init(&json, SIZE_MAX / 2);
	recipe_write(&only, &json);
	WANT(json.n <= literal);
	buf_release(&json);
}

static bool bare(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((s.at[i] == '\n' && (i == 0 || s.at[i - 1] != '\r')) || (s.at[i] == '\r' && (i + 1 == s.n || s.at[i + 1] != '\n')))
			return true;
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	const struct dkim2_draft *draft = draft_of(DRAFT_NEWEST);
	const unsigned algs[2] = { 0, 1U << DIGEST_SHA256 };
	unsigned char want[2][DIGEST_OCTETS], got[2][DIGEST_OCTETS];
	struct recipe made = { 0 }, read = { 0 };
	const struct recipe *r = NULL;
	struct message before = { 0 }, now = { 0 };
	struct content x, y;
	struct slice left, right, digest;
	enum make_state state;
	struct arena a;
	struct undo *u;
	struct buf json;
	const char *why;

	if (n < 2 || n > OCTETS_MAX)
		return 0;
	right = slice_of(at + 2, n - 2);
	(void)slice_cut(&right, 0x1e, &left);
	arena_init(&a, SIZE_MAX / 2);
	buf_init(&json, SIZE_MAX / 2);
	if (!message_of(&a, left, at[0], at[1] + 1U, &before) || !message_of(&a, right, at[0], at[1] + 1U, &now))
		goto out;
	x = (struct content){ before.header, before.runs, before.n };
	y = (struct content){ now.header, now.runs, now.n };
	state = make_recipe(&a, draft, &x, &y, SIZE_MAX / 2, &made);
	if (state == MAKE_NEVER) {
		WANT(bare(before.header->raw) || bare(before.body) || before.header->malformed || now.header->malformed);
		goto out;
	}
	WANT(state == MAKE_DONE || state == MAKE_SAME);
	if (state == MAKE_DONE) {
		recipe_write(&made, &json);
		WANT(recipe_parse(&a, draft, buf_get(&json), &read, &why) == RECIPE_OK);
		r = &read;
		if (at[0] & LINES && read.has_body)
			want_short(&read, before.body);
	}
	hash(&a, draft, &before, want[0], want[1]);
	hash(&a, draft, &now, got[0], got[1]);
	u = undo_new(&a, draft, now.header, &r, algs, 1, UINT64_MAX);
	WANT(u && undo_header_hash(u, 1, DIGEST_SHA256, got[0]) == UNDO_DONE);
	undo_body(u, now.body);
	undo_end(u);
	WANT(undo_body_hash(u, 1, DIGEST_SHA256, &digest) == UNDO_DONE);
	if (digest.n)
		memcpy(got[1], digest.at, 32);
	WANT(memcmp(got[0], want[0], 32) == 0 && memcmp(got[1], want[1], 32) == 0);
	undo_release(u);
out:
	buf_release(&json);
	arena_clear(&a);
	return 0;
}
