#include "auth/arc/sets.h"
#include "auth/fold.h"
#include "base/b64.h"
#include "crypt/sign.h"
#include "mail/domain.h"

enum {
	SIGNED_OCTETS = 2 * SIGNATURE_OCTETS, /* a signature of the longest key, folded */
	COLUMNS = 78
};

enum stage { MESSAGE, SEAL, READY };

struct arc_seal {
	struct arena *arena;
	const struct field_index *index;
	struct arc_seal_conf conf;
	struct arc_sets sets;
	enum stage stage;        /* what is to be signed next */
	unsigned i;
	struct slice d;          /* normal */
	struct field_list names; /* h= */
	struct slice aar, ams, seal;
	unsigned char digest[32];
};

/* Returns false, with the words in place of the table's. */
static bool refuse(struct fault *f, enum fault_code code, struct slice words)
{
	if (f->code != FAULT_NONE)
		return false;
	fault_set(f, code, 0);
	if (words.n)
		fault_text(f, words);
	return false;
}

/* ---- may it be sealed? ---- */

static bool may_seal(struct arc_seal *s, const struct header *h, const struct arc_verdict *came, struct fault *f)
{
	struct arena *a = s->arena;

	if (came->state != ARC_NONE && came->state != ARC_PASS)
		return refuse(f, FAULT_UNSEALED, arena_printf(a, "ARC chain is %s: %.*s", arc_state_name(came->state), SLICE_FMT(came->reason)));
	if (s->sets.n == LIMIT_ARC_SETS)
		return refuse(f, FAULT_UNSEALED, arena_printf(a, "ARC chain has %d sets already", LIMIT_ARC_SETS));
	if (s->sets.about != ARC_ABOUT_NOTHING || s->sets.n != came->instances)
		return refuse(f, FAULT_UNSEALED, S("ARC chain is not the one that came"));
	/* it would go on where our last field ends */
	if (h->n && (h->fields[0].raw.at[0] == ' ' || h->fields[0].raw.at[0] == '\t'))
		return refuse(f, FAULT_UNSEALED, S("header begins with a blank"));
	return true;
}

static bool conf_ok(struct arc_seal *s)
{
	const struct arc_seal_conf *conf = &s->conf;

	for (size_t k = 0; k < conf->authres.n; k++)
		if (conf->authres.at[k] == 0x7f || (conf->authres.at[k] < ' ' && !strchr("\t\r\n", conf->authres.at[k] ? conf->authres.at[k] : 'x')))
			return false;
	return domain_normal(s->arena, conf->d, &s->d) && domain_valid(s->d) && domain_valid(conf->selector) &&
	    (conf->type == KEY_RSA || conf->type == KEY_ED25519) && conf->body_sha256.n == 32 && conf->authres.n;
}

/* ---- what the message signature covers ---- */

/* Names as RFC 8617 4.1.2 allows them, From among them (RFC 6376 5.4). */
static bool names_ok(const struct field_list *names)
{
	for (size_t k = 0; k < names->n; k++)
		if (arc_part_of(names->names[k]) != ARC_PARTS || slice_ieq(names->names[k], S("Authentication-Results")))
			return false;
	return field_listed(names, S("From")) > 0;
}

/* RFC 8617 4.1.2: DKIM-Signature too. */
static bool choose_names(struct arc_seal *s, struct fault *f)
{
	bool ok = s->conf.h.n ? field_list_parse(s->arena, s->conf.h, &s->names) && names_ok(&s->names) :
	                         field_list_usual(s->arena, s->index, S("DKIM-Signature"), &s->names);

	return ok || refuse(f, arena_failed(s->arena) ? FAULT_NO_MEMORY : FAULT_INTERNAL, SLICE_NONE);
}

/* ---- the fields ---- */

static void begin(const struct arc_seal *s, struct fold *fold, struct buf *out, struct slice name, struct slice signature)
{
	fold_start(fold, out, name);
	fold_tag(fold, s->conf.type == KEY_RSA ? S("a=rsa-sha256;") : S("a=ed25519-sha256;"));
	fold_tag(fold, S("b="));
	fold_b64(fold, signature, S(";"));
}

static void tag(const struct arc_seal *s, struct fold *fold, const char *name, struct slice value)
{
	fold_tag(fold, arena_printf(s->arena, "%s=%.*s;", name, SLICE_FMT(value)));
}

static void finish(const struct arc_seal *s, struct fold *fold)
{
	tag(s, fold, "i", arena_printf(s->arena, "%u", s->i));
	tag(s, fold, "s", s->conf.selector);
	fold_tag(fold, arena_printf(s->arena, "t=%lld", (long long)s->conf.now));
	fold_end(fold);
}

/*
 * Tags stand in the order of the alphabet: any is right, and this is the one that public vectors have. Lines may end
 * elsewhere once there is a signature, but only inside of it and where there is a blank anyway: what is signed stays.
 */
static void write_ams(const struct arc_seal *s, struct buf *out, struct slice signature)
{
	struct fold fold;

	begin(s, &fold, out, S("ARC-Message-Signature:"), signature);
	tag(s, &fold, "bh", b64_text(s->arena, s->conf.body_sha256));
	tag(s, &fold, "c", S("relaxed/relaxed"));
	tag(s, &fold, "d", s->d);
	fold.column = COLUMNS; /* h= begins a line, so that it always ends its lines at the same places */
	for (size_t k = 0; k < s->names.n; k++) {
		struct slice name = s->names.names[k];
		char end = k + 1 < s->names.n ? ':' : ';';

		if (k == 0)
			fold_tag(&fold, arena_printf(s->arena, "h=%.*s%c", SLICE_FMT(name), end));
		else
			fold_whole(&fold, arena_printf(s->arena, "%.*s%c", SLICE_FMT(name), end));
	}
	finish(s, &fold);
}

static void write_seal(const struct arc_seal *s, struct buf *out, struct slice signature)
{
	struct fold fold;

	begin(s, &fold, out, S("ARC-Seal:"), signature);
	tag(s, &fold, "cv", s->i == 1 ? S("none") : S("pass"));
	tag(s, &fold, "d", s->d);
	finish(s, &fold);
}

/* Words as they stand in the value, with one blank between: its own folds go. */
static void write_aar(const struct arc_seal *s, struct buf *out, struct slice signature)
{
	struct slice left = s->conf.authres;
	struct fold fold;

	(void)signature;
	fold_start(&fold, out, S("ARC-Authentication-Results:"));
	fold_tag(&fold, arena_printf(s->arena, "i=%u;", s->i));
	for (left = slice_trim(left); left.n; left = slice_trim(left)) {
		size_t n = 0;

		while (n < left.n && !strchr(" \t\r\n", left.at[n] ? left.at[n] : 'x'))
			n++;
		fold_tag(&fold, slice_sub(left, 0, n));
		left = slice_sub(left, n, SIZE_MAX);
	}
	fold_end(&fold);
}

/* Empty: longer than `most`, or no memory. */
static struct slice written(const struct arc_seal *s, void (*write)(const struct arc_seal *, struct buf *, struct slice),
    struct slice signature, size_t most)
{
	struct slice text = SLICE_NONE;
	struct buf out;

	buf_init(&out, most);
	write(s, &out, signature);
	if (!buf_failed(&out))
		text = arena_copy(s->arena, buf_get(&out));
	else if (!buf_full(&out))
		s->arena->failed = true; /* one word for all memory */
	buf_release(&out);
	return arena_failed(s->arena) ? SLICE_NONE : text;
}

/* Why something is empty. */
static bool unwritten(const struct arc_seal *s, struct fault *f)
{
	if (arena_failed(s->arena))
		return refuse(f, FAULT_NO_MEMORY, SLICE_NONE);
	return refuse(f, FAULT_UNSEALED, arena_printf(s->arena, "ARC field would be longer than %d octets", LIMIT_ARC_FIELD_OUT));
}

/* ---- what is signed ---- */

static struct field own_field(struct slice raw)
{
	struct field f = { .raw = raw };

	f.name = slice_sub(raw, 0, slice_find(raw, ':'));
	f.value = slice_sub(raw, f.name.n + 1, raw.n - f.name.n - 3);
	return f;
}

/* The set of ours as the engine would find it in a header. */
static bool ams_digest(struct arc_seal *s, struct fault *f)
{
	struct slice text = written(s, write_ams, SLICE_NONE, LIMIT_ARC_FIELD_OUT - SIGNED_OCTETS);
	struct field own;

	if (!text.n || s->names.n > LIMIT_SIGNED_NAMES)
		return unwritten(s, f);
	own = own_field(text);
	return field_hash(s->arena, s->index, &s->names, CANON_RELAXED, &own, SLICE_NONE, s->digest) || refuse(f, FAULT_NO_MEMORY, SLICE_NONE);
}

static bool seal_digest(struct arc_seal *s)
{
	struct field own[ARC_PARTS];
	struct arc_link link = { 0 };
	struct digest *run = digest_new(DIGEST_SHA256);
	struct slice text = written(s, write_seal, SLICE_NONE, LIMIT_ARC_FIELD_OUT);
	bool ok = run && text.n;

	if (ok) {
		for (size_t k = 0; k < s->sets.n; k++)
			arc_sets_add(run, &s->sets.links[k]);
		own[ARC_AAR] = own_field(s->aar);
		own[ARC_AMS] = own_field(s->ams);
		own[ARC_SEAL] = own_field(text);
		for (enum arc_part part = ARC_AAR; part < ARC_PARTS; part++)
			link.fields[part] = &own[part];
		ok = arc_seal_input(run, &link, SLICE_NONE, s->digest);
	}
	digest_free(&run);
	return ok;
}

/* ---- the interface ---- */

struct arc_seal *arc_seal_new(struct arena *a, const struct header *h, const struct field_index *index, const struct arc_verdict *came,
    const struct arc_seal_conf *conf, struct fault *f)
{
	struct arc_seal *s = ARENA_NEW(a, struct arc_seal);

	if (!s || !index || !arc_sets_read(&s->sets, a, h)) {
		refuse(f, FAULT_NO_MEMORY, SLICE_NONE);
		return NULL;
	}
	s->arena = a;
	s->index = index;
	s->conf = *conf;
	s->i = (unsigned)s->sets.n + 1;
	if (!may_seal(s, h, came, f))
		return NULL;
	if (!conf_ok(s)) {
		refuse(f, arena_failed(a) ? FAULT_NO_MEMORY : FAULT_INTERNAL, SLICE_NONE);
		return NULL;
	}
	if (!choose_names(s, f))
		return NULL;
	s->aar = written(s, write_aar, SLICE_NONE, LIMIT_ARC_FIELD_OUT);
	if (!s->aar.n) {
		unwritten(s, f);
		return NULL;
	}
	return ams_digest(s, f) ? s : NULL;
}

const unsigned char *arc_seal_digest(const struct arc_seal *s)
{
	return s->stage == READY ? NULL : s->digest;
}

bool arc_seal_answer(struct arc_seal *s, struct slice signature)
{
	switch (s->stage) {
	case MESSAGE:
		s->ams = written(s, write_ams, signature, LIMIT_ARC_FIELD_OUT);
		if (!s->ams.n || !seal_digest(s))
			return false;
		s->stage = SEAL;
		return true;
	case SEAL:
		s->seal = written(s, write_seal, signature, LIMIT_ARC_FIELD_OUT);
		if (!s->seal.n)
			return false;
		s->stage = READY;
		return true;
	case READY:
		break;
	}
	return false;
}

struct slice arc_seal_fields(struct arc_seal *s)
{
	unsigned char *p;

	if (s->stage != READY || !(p = arena_take(s->arena, s->seal.n + s->ams.n + s->aar.n)))
		return SLICE_NONE;
	memcpy(p, s->seal.at, s->seal.n);
	memcpy(p + s->seal.n, s->ams.at, s->ams.n);
	memcpy(p + s->seal.n + s->ams.n, s->aar.at, s->aar.n);
	return slice_of(p, s->seal.n + s->ams.n + s->aar.n);
}
