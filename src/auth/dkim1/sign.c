#include "auth/dkim1/dkim.h"
#include "auth/fold.h"
#include "base/b64.h"
#include "base/limits.h"
#include "crypt/sign.h"

struct dkim_sign {
	struct arena *arena;
	struct dkim_sign_conf conf;
	struct field_list names;
	unsigned char digest[32];
};

static void put_tag(struct fold *fold, struct arena *a, const char *name, struct slice value)
{
	fold_tag(fold, arena_printf(a, "%s=%.*s;", name, SLICE_FMT(value)));
}

/* Up to b=, whose place does not depend on what is in it. */
static void write_field(const struct dkim_sign *s, struct slice signature, struct buf *out)
{
	const struct dkim_sign_conf *c = &s->conf;
	struct fold fold;

	fold_start(&fold, out, S("DKIM-Signature:"));
	fold_tag(&fold, S("v=1;"));
	fold_tag(&fold, c->type == KEY_RSA ? S("a=rsa-sha256;") : S("a=ed25519-sha256;"));
	fold_tag(&fold, S("c=relaxed/relaxed;"));
	put_tag(&fold, s->arena, "d", c->d);
	put_tag(&fold, s->arena, "s", c->selector);
	fold_tag(&fold, arena_printf(s->arena, "t=%lld;", (long long)c->now));
	if (c->expire_s)
		fold_tag(&fold, arena_printf(s->arena, "x=%lld;", (long long)(c->now + c->expire_s)));
	for (size_t i = 0; i < s->names.n; i++) {
		struct slice name = s->names.names[i];
		char end = i + 1 < s->names.n ? ':' : ';';

		if (i == 0)
			fold_tag(&fold, arena_printf(s->arena, "h=%.*s%c", SLICE_FMT(name), end));
		else
			fold_whole(&fold, arena_printf(s->arena, "%.*s%c", SLICE_FMT(name), end));
	}
	fold_tag(&fold, S("bh="));
	fold_b64(&fold, c->body_sha256, S(";"));
	fold_tag(&fold, S("b="));
	fold_b64(&fold, signature, SLICE_NONE);
	fold_end(&fold);
}

struct dkim_sign *dkim_sign_new(struct arena *a, const struct header *h, const struct field_index *index,
    const struct dkim_sign_conf *conf, struct fault *f)
{
	struct dkim_sign *s = ARENA_NEW(a, struct dkim_sign);
	struct field own = { 0 };
	struct buf text;
	bool ok;

	(void)h;
	if (!s || conf->body_sha256.n != sizeof(s->digest)) { /* no hash of the body: there was no memory for it */
		fault_set(f, FAULT_NO_MEMORY, 0);
		return NULL;
	}
	s->arena = a;
	s->conf = *conf;
	buf_init(&text, LIMIT_DKIM2_FIELD_OUT);
	ok = field_list_usual(a, index, SLICE_NONE, &s->names);
	if (ok) {
		write_field(s, SLICE_NONE, &text);
		own.raw = buf_get(&text);
		own.name = slice_sub(own.raw, 0, slice_find(own.raw, ':'));
		own.value = slice_sub(own.raw, own.name.n + 1, own.raw.n - own.name.n - 3);
		ok = !buf_failed(&text) && field_hash(a, index, &s->names, CANON_RELAXED, &own, SLICE_NONE, s->digest);
	}
	if (!ok || arena_failed(a)) {
		if (buf_full(&text))
			fault_note(f, FAULT_UNSEALED, 0, "DKIM-Signature would be longer than %d octets", LIMIT_DKIM2_FIELD_OUT);
		else
			fault_set(f, FAULT_NO_MEMORY, 0);
		s = NULL;
	}
	buf_release(&text);
	return s;
}

const unsigned char *dkim_sign_digest(const struct dkim_sign *s)
{
	return s->digest;
}

struct slice dkim_sign_field(struct dkim_sign *s, struct slice signature)
{
	struct slice field = SLICE_NONE;
	struct buf text;

	buf_init(&text, LIMIT_DKIM2_FIELD_OUT + SIGNATURE_OCTETS * 2);
	write_field(s, signature, &text);
	if (!buf_failed(&text) && !arena_failed(s->arena))
		field = arena_copy(s->arena, buf_get(&text));
	buf_release(&text);
	return field;
}
