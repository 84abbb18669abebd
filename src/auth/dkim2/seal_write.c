#include "auth/fold.h"
#include "auth/dkim2/input.h"
#include "auth/dkim2/seal_in.h"
#include "base/limits.h"
#include "crypt/sign.h"

enum {
	ENVELOPE_OCTETS = 2 * LIMIT_RT * LIMIT_PATH,      /* more than the base64 of any */
	SET_OCTETS = 64 + SIGNATURE_OCTETS / 3 * 4 / 76 * 79 /* a signature of the longest key, folded */
};

bool seal_write_instance(struct dkim2_seal *s, struct fault *f)
{
	struct buf out;
	struct fold fold;
	bool full;

	buf_init(&out, LIMIT_DKIM2_FIELD_OUT);
	fold_start(&fold, &out, S("Message-Instance:"));
	fold_tag(&fold, arena_printf(s->arena, "m=%llu;", (unsigned long long)s->m));
	fold_tag(&fold, S("h=sha256:"));
	fold_b64(&fold, slice_of(s->header[DIGEST_SHA256], 32), S(":"));
	fold_b64(&fold, s->body[DIGEST_SHA256], S(";"));
	if (s->recipe.n) {
		fold_tag(&fold, S("r="));
		fold_b64(&fold, s->recipe, S(";"));
	}
	fold_end(&fold);
	full = buf_full(&out);
	s->instance = buf_failed(&out) ? SLICE_NONE : arena_copy(s->arena, buf_get(&out));
	buf_release(&out);
	if (full)
		return seal_refuse(f, FAULT_UNSEALED, arena_printf(s->arena, "instance would be longer than %d octets", LIMIT_DKIM2_FIELD_OUT));
	return s->instance.n > 0 || fault_set(f, FAULT_NO_MEMORY, 0);
}

static const char *algorithm_name(enum key_type type)
{
	return type == KEY_RSA ? "rsa-sha256" : "ed25519-sha256";
}

/* What stands behind set k. */
static struct slice set_end(const struct dkim2_seal_conf *c, size_t k)
{
	if (k + 1 == c->set_count)
		return S(";");
	return c->sets[k].group == c->sets[k + 1].group ? S(",") : S("|");
}

void seal_write(struct dkim2_seal *s, struct buf *out, const struct slice *signatures)
{
	const struct dkim2_seal_conf *c = s->conf;
	struct fold fold;

	fold_start(&fold, out, S("DKIM2-Signature:"));
	fold_tag(&fold, arena_printf(s->arena, "i=%llu;", (unsigned long long)s->i));
	fold_tag(&fold, arena_printf(s->arena, "m=%llu;", (unsigned long long)s->m));
	fold_tag(&fold, arena_printf(s->arena, "t=%lld;", (long long)c->now));
	fold_tag(&fold, arena_printf(s->arena, "d=%.*s;", SLICE_FMT(s->d)));
	if (s->nd.n) {
		fold_tag(&fold, arena_printf(s->arena, "nd=%.*s;", SLICE_FMT(s->nd)));
	} else {
		fold_tag(&fold, S("mf="));
		fold_b64(&fold, c->mail_from, S(";"));
		for (size_t k = 0; k < c->rcpt_count; k++) {
			if (k == 0)
				fold_tag(&fold, S("rt="));
			fold_b64(&fold, c->rcpt_to[k], k + 1 < c->rcpt_count ? S(",") : S(";"));
		}
	}
	if (c->nonce.n)
		fold_tag(&fold, arena_printf(s->arena, "n=%.*s;", SLICE_FMT(c->nonce)));
	for (size_t k = 0; k < c->flag_count; k++) {
		struct slice flag = arena_printf(s->arena, "%s%.*s%s", k ? "" : "f=", SLICE_FMT(c->flags[k]),
		    k + 1 < c->flag_count ? "," : ";");

		if (k == 0)
			fold_tag(&fold, flag);
		else
			fold_whole(&fold, flag);
	}
	for (size_t k = 0; k < c->set_count; k++) {
		struct slice set = arena_printf(s->arena, "%s%.*s:%s:", k ? "" : "s=", SLICE_FMT(c->sets[k].selector),
		    algorithm_name(c->sets[k].type));

		if (k == 0)
			fold_tag(&fold, set);
		else
			fold_whole(&fold, set);
		fold_b64(&fold, signatures ? signatures[k] : SLICE_NONE, set_end(c, k));
	}
	fold_end(&fold);
}

static struct field own_field(struct slice raw)
{
	struct field f = { .raw = raw };

	f.name = slice_sub(raw, 0, slice_find(raw, ':'));
	f.value = slice_sub(raw, f.name.n + 1, raw.n - f.name.n - 3);
	return f;
}

bool seal_input(struct dkim2_seal *s, unsigned char out[32], struct fault *f)
{
	struct field instance = s->instance.n ? own_field(s->instance) : (struct field){ 0 }, blanked;
	struct digest *to[DIGEST_ALGS] = { NULL };
	struct canon_sink sink;
	struct input input;
	struct buf text;
	unsigned char octets[DIGEST_OCTETS];

	buf_init(&text, ENVELOPE_OCTETS);
	seal_write(s, &text, NULL);
	input_init(&input, &s->chain);
	if (text.n + s->conf->set_count * SET_OCTETS > LIMIT_DKIM2_FIELD_OUT)
		seal_refuse(f, FAULT_UNSEALED, arena_printf(s->arena, "seal would be longer than %d octets", LIMIT_DKIM2_FIELD_OUT));
	else if (!buf_failed(&text) && !arena_failed(s->arena))
		to[DIGEST_SHA256] = input_whole(&input, s->instance.n ? &instance : NULL);
	if (to[DIGEST_SHA256]) {
		blanked = own_field(buf_get(&text));
		canon_sink_init(&sink, to);
		canon_bare(&sink, &blanked, NULL, 0);
		canon_sink_flush(&sink);
		digest_end(to[DIGEST_SHA256], octets);
		memcpy(out, octets, 32);
	}
	input_release(&input);
	buf_release(&text);
	if (!to[DIGEST_SHA256])
		return false;
	digest_free(&to[DIGEST_SHA256]);
	return true;
}
