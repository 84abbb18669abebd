/*
 * A header that claims to be sealed. No key is given, so it never passes; a copy that enforcement lets go has a newest seal that
 * names the envelope; what is said about it fits one field of RFC 8601.
 */
#include "auth/authres.h"
#include "auth/dkim2/chain.h"
#include "auth/taglist.h"
#include "base/limits.h"
#include "fuzz.h"
#include "mail/addr.h"

static void want_tags(struct arena *a, struct slice value)
{
	struct taglist list;

	if (!taglist_parse(a, value, TAGLIST_ANY_CASE, &list))
		return;
	WANT(list.n <= LIMIT_TAGS);
	for (size_t i = 0; i < list.n; i++) {
		WANT(list.tags[i].name.n > 0 && taglist_find(&list, TAGLIST_ANY_CASE, list.tags[i].name) == &list.tags[i]);
		WANT(!memchr(list.tags[i].value.n ? list.tags[i].value.at : (const void *)"", ';', list.tags[i].value.n));
	}
}

/* One field, no line of blanks, no line end that is no fold, a comment that ends. */
static void want_field(struct arena *a, const struct dkim2_verdict *v)
{
	struct authres_result result = authres_dkim2(a, v);
	struct slice field = authres_field(a, S("Authentication-Results"), S("mx.c.test"), &result, 1), value, line;
	struct header h;
	struct fault f = { 0 };
	size_t depth = 0;

	WANT(header_parse(a, field, 1, &h, &f) && !h.malformed && h.n == 1);
	value = h.fields[0].value;
	WANT(authres_is_ours(a, value, S("mx.c.test")));
	for (size_t i = 0; i < value.n; i++) {
		if (value.at[i] == '\\')
			i++;
		else if (value.at[i] == '(')
			depth++;
		else if (value.at[i] == ')')
			WANT(depth-- > 0);
	}
	WANT(depth == 0);
	while (field.n) {
		WANT(slice_cut(&field, '\n', &line));
		WANT(line.n < 998 && line.at[line.n - 1] == '\r' && slice_trim(line).n > 0);
		WANT(!memchr(line.at, '\r', line.n - 1));
	}
}

static void judge(struct arena *a, const struct header *h, const struct dkim2_envelope *e, unsigned draft)
{
	struct dkim2_verify *v = dkim2_verify_new(a, h, e, (struct dkim2_clock){ 1795255200, 300 }, draft);
	const struct dkim2_verdict *verdict;
	const struct slice *names;
	struct canon_body *body;
	size_t n;

	WANT(v);
	n = dkim2_verify_asks(v, &names);
	WANT(n <= LIMIT_KEYS);
	for (size_t i = 0; i < n; i++)
		WANT(names[i].n <= 253);
	body = canon_body_new(dkim2_verify_digests(v));
	WANT(body);
	canon_body_end(body);
	dkim2_verify_body(v, body);
	canon_body_free(&body);
	verdict = dkim2_verify_verdict(v);
	WANT(verdict->state != DKIM2_PASS);
	WANT((verdict->state == DKIM2_NONE) == (header_find(h, S("dkim2-signature"), 0) == h->n));
	WANT(verdict->state == DKIM2_NONE || verdict->reason.n > 0);
	want_field(a, verdict);
	dkim2_verify_release(v);
}

/* Found by other means than enforcement's own: the highest i= of all fields of that name. */
static void want_named(struct arena *a, const struct header *h, const struct dkim2_envelope *e)
{
	const struct dkim2_hop *newest = NULL;
	struct chain c;
	bool found = false;

	WANT(chain_read(a, draft_of(9), h, true, &c) && !c.broken);
	for (size_t i = 0; i < c.n; i++)
		if (!newest || c.hops[i].i > newest->i)
			newest = &c.hops[i];
	WANT(newest && path_same(a, newest->mf, e->mail_from));
	for (size_t i = 0; i < newest->rt_count; i++)
		found |= path_same(a, newest->rt[i], e->rcpt_to[0]);
	WANT(found);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	static const struct slice rcpt = { (const unsigned char *)"<r1@c.test>", 11 };
	const struct dkim2_envelope e = { S("<s@a.test>"), &rcpt, 1 };
	struct arena a;
	struct header h;
	struct fault f = { 0 };

	if (n < 2)
		return 0;
	arena_init(&a, LIMIT_TX_ARENA);
	if (header_parse(&a, slice_of(at + 1, n - 1), 200, &h, &f)) {
		for (size_t i = 0; i < h.n; i++)
			want_tags(&a, h.fields[i].value);
		judge(&a, &h, at[0] & 4 ? NULL : &e, 6 + (at[0] & 3));
		if (dkim2_enforce(&a, &h, &e, &f))
			want_named(&a, &h, &e);
		else
			WANT(f.code != FAULT_NONE);
	}
	WANT(!arena_failed(&a));
	arena_clear(&a);
	return 0;
}
