#include <stdlib.h>

#include "base/b64.h"
#include "base/bug.h"
#include "base/limits.h"
#include "mail/utf8.h"
#include "smtp/auth.h"

enum auth_state { AUTH_FIRST, AUTH_NAME, AUTH_STRETCH, AUTH_PROOF, AUTH_LAST, AUTH_OVER }; /* only enter() writes it */

struct auth {
	enum auth_mech mech;
	enum auth_state state;
	unsigned char nonce[64];
	size_t nonce_n;
	unsigned char user[LIMIT_AUTH_NAME];
	size_t user_n;
	unsigned char *first;      /* the client's first message, whole; malloced */
	size_t first_n;
	struct slice password;     /* PLAIN: in it */
	struct slice gs2, bare;    /* SCRAM: gs2-header and client-first-message-bare, in it */
	struct slice client_nonce; /* likewise */
	struct scram_verifier verifier;
	bool known;
	struct scram_stretch *stretch;
	struct buf challenge;      /* server-first-message, then server-final-message */
	struct fault fault;
};

static const char *const names[AUTH_MECHS] = { [AUTH_PLAIN] = "PLAIN", [AUTH_SCRAM_SHA_256] = "SCRAM-SHA-256" };

const char *auth_mech_name(enum auth_mech mech)
{
	return names[mech];
}

bool auth_mech_find(struct slice name, enum auth_mech *mech_out)
{
	for (size_t i = 0; i < AUTH_MECHS; i++)
		if (slice_ieq(name, slice_str(names[i]))) {
			*mech_out = (enum auth_mech)i;
			return true;
		}
	return false;
}

static void enter(struct auth *a, enum auth_state to)
{
#define FROM(state) (1U << (state))
	static const unsigned from[] = {
		[AUTH_FIRST] = 0,
		[AUTH_NAME] = FROM(AUTH_FIRST),
		[AUTH_STRETCH] = FROM(AUTH_NAME),
		[AUTH_PROOF] = FROM(AUTH_NAME),
		[AUTH_LAST] = FROM(AUTH_PROOF),
		[AUTH_OVER] = ~0U,
	};

	BUG_ON(!(from[to] & FROM(a->state)));
#undef FROM
	a->state = to;
}

struct auth *auth_new(enum auth_mech mech, struct slice nonce)
{
	struct auth *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	BUG_ON(nonce.n == 0 || nonce.n > sizeof(a->nonce));
	a->mech = mech;
	memcpy(a->nonce, nonce.at, nonce.n);
	a->nonce_n = nonce.n;
	buf_init(&a->challenge, 2048);
	return a;
}

void auth_free(struct auth **a)
{
	struct auth *x = *a;

	if (!x)
		return;
	if (x->first)
		explicit_bzero(x->first, x->first_n);
	free(x->first);
	scram_stretch_free(&x->stretch);
	buf_release(&x->challenge);
	explicit_bzero(x, sizeof(*x));
	free(x);
	*a = NULL;
}

struct slice auth_user(const struct auth *a)
{
	return slice_of(a->user, a->user_n);
}

struct slice auth_challenge(const struct auth *a)
{
	return buf_get(&a->challenge);
}

const struct fault *auth_fault(const struct auth *a)
{
	return &a->fault;
}

/* ---- how it ends ---- */

static enum auth_step no(struct auth *a, const char *why)
{
	enter(a, AUTH_OVER);
	fault_note(&a->fault, FAULT_AUTH_FAILED, 0, "%s", why);
	return AUTH_NO;
}

static enum auth_step no_memory(struct auth *a)
{
	enter(a, AUTH_OVER);
	fault_note(&a->fault, FAULT_AUTH_TEMPORARY, 0, "no memory");
	return AUTH_NO;
}

static enum auth_step yes(struct auth *a)
{
	enter(a, AUTH_OVER);
	return AUTH_YES;
}

/* What is told to the log alone: a client hears the same of both. */
static enum auth_step mismatch(struct auth *a)
{
	return no(a, a->known ? "wrong password" : "unknown user");
}

/* ---- names ---- */

static bool text_valid(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.at[i] < 0x20 || s.at[i] == 0x7f)
			return false;
	return utf8_valid(s);
}

static bool take_user(struct auth *a, struct slice name)
{
	if (name.n == 0 || name.n > sizeof(a->user) || !text_valid(name))
		return false;
	memcpy(a->user, name.at, name.n);
	a->user_n = name.n;
	return true;
}

/* saslname of RFC 5802 5.1: "=2C" is a comma and "=3D" an equals sign, which stands for itself nowhere. */
static bool unescape(struct slice s, unsigned char out[LIMIT_AUTH_NAME], size_t *n_out)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = s.at[i];

		if (c == '=') {
			struct slice code = slice_sub(s, i + 1, 2);

			if (!slice_eq(code, S("2C")) && !slice_eq(code, S("3D")))
				return false;
			c = code.at[0] == '2' ? ',' : '=';
			i += 2;
		}
		if (n == LIMIT_AUTH_NAME)
			return false;
		out[n++] = c;
	}
	*n_out = n;
	return true;
}

/* ---- PLAIN: [authzid] NUL authcid NUL passwd ---- */

static enum auth_step plain_first(struct auth *a)
{
	struct slice rest = slice_of(a->first, a->first_n), authzid, authcid;

	if (!slice_cut(&rest, '\0', &authzid) || !slice_cut(&rest, '\0', &authcid))
		return no(a, "no PLAIN message");
	if (!take_user(a, authcid))
		return no(a, "bad user name");
	if (rest.n == 0 || memchr(rest.at, '\0', rest.n) || !utf8_valid(rest))
		return no(a, "bad password syntax");
	if (authzid.n && !slice_eq(authzid, authcid))
		return no(a, "acts for another");
	a->password = rest;
	enter(a, AUTH_NAME);
	return AUTH_LOOKUP;
}

static enum auth_step plain_verifier(struct auth *a)
{
	a->stretch = scram_stretch_new(a->password, slice_of(a->verifier.salt, a->verifier.salt_n), a->verifier.iterations);
	if (!a->stretch)
		return no_memory(a);
	enter(a, AUTH_STRETCH);
	return AUTH_WORK;
}

enum auth_step auth_work(struct auth *a, uint32_t iterations)
{
	unsigned char stored_key[SCRAM_KEY], server_key[SCRAM_KEY];
	bool same;

	BUG_ON(a->state != AUTH_STRETCH);
	if (!scram_stretch_run(a->stretch, iterations))
		return AUTH_WORK;
	if (!scram_stretch_keys(a->stretch, stored_key, server_key))
		return no_memory(a);
	same = scram_same_key(stored_key, a->verifier.stored_key);
	explicit_bzero(stored_key, sizeof(stored_key));
	explicit_bzero(server_key, sizeof(server_key));
	return same && a->known ? yes(a) : mismatch(a);
}

/* ---- SCRAM (RFC 5802 7) ---- */

/* The next attribute, "x=value", must be this one. */
static bool attribute(struct slice *rest, char name, struct slice *value_out)
{
	struct slice word;

	(void)slice_cut(rest, ',', &word);
	if (word.n < 2 || word.at[0] != (unsigned char)name || word.at[1] != '=')
		return false;
	*value_out = slice_sub(word, 2, SIZE_MAX);
	return true;
}

/* Those that may follow, which mean nothing to us; one that must be understood stands elsewhere ("m="). */
static bool extensions_valid(struct slice rest)
{
	while (rest.n) {
		struct slice word;
		bool more = slice_cut(&rest, ',', &word);

		if (word.n < 3 || !ascii_alpha(word.at[0]) || word.at[0] == 'm' || word.at[1] != '=' || !text_valid(word) || (more && rest.n == 0))
			return false;
	}
	return true;
}

static bool nonce_valid(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.at[i] < 0x21 || s.at[i] > 0x7e || s.at[i] == ',')
			return false;
	return s.n > 0 && s.n <= LIMIT_AUTH_NONCE;
}

/* "n,," or "y,,": what is said of channel binding, then whom the client acts for. NULL: it is well, and *rest is behind it. */
static const char *gs2_wrong(struct slice *rest, struct slice *authzid_out)
{
	struct slice flag;

	if (!slice_cut(rest, ',', &flag) || !slice_cut(rest, ',', authzid_out))
		return "no gs2-header";
	if (slice_starts(flag, S("p=")))
		return "channel binding";
	if (!slice_eq(flag, S("n")) && !slice_eq(flag, S("y")))
		return "no gs2-header";
	if (authzid_out->n && !slice_starts(*authzid_out, S("a=")))
		return "no gs2-header";
	*authzid_out = slice_sub(*authzid_out, 2, SIZE_MAX);
	return NULL;
}

static enum auth_step scram_first(struct auth *a)
{
	struct slice all = slice_of(a->first, a->first_n), rest = all, authzid, name;
	unsigned char text[LIMIT_AUTH_NAME];
	const char *why = gs2_wrong(&rest, &authzid);
	size_t n;

	if (why)
		return no(a, why);
	a->bare = rest;
	a->gs2 = slice_sub(all, 0, all.n - rest.n);
	if (slice_starts(rest, S("m=")))
		return no(a, "an extension that must be understood");
	if (!attribute(&rest, 'n', &name) || !unescape(name, text, &n) || !take_user(a, slice_of(text, n)))
		return no(a, "bad user name");
	if (!attribute(&rest, 'r', &a->client_nonce) || !nonce_valid(a->client_nonce) || !extensions_valid(rest))
		return no(a, "no client-first-message");
	if (authzid.n && !slice_eq(authzid, name))
		return no(a, "acts for another");
	enter(a, AUTH_NAME);
	return AUTH_LOOKUP;
}

static enum auth_step scram_verifier(struct auth *a)
{
	buf_str(&a->challenge, "r=");
	buf_slice(&a->challenge, a->client_nonce);
	buf_add(&a->challenge, a->nonce, a->nonce_n);
	buf_str(&a->challenge, ",s=");
	b64_encode(&a->challenge, slice_of(a->verifier.salt, a->verifier.salt_n));
	buf_str(&a->challenge, ",i=");
	buf_u64(&a->challenge, a->verifier.iterations);
	if (buf_failed(&a->challenge))
		return no_memory(a);
	enter(a, AUTH_PROOF);
	return AUTH_ASK;
}

/* "c=" says again what was said of channel binding (RFC 5802 5.1): nobody has changed it on its way. */
static bool binding_same(const struct auth *a, struct slice said)
{
	struct buf b;
	bool same;

	buf_init(&b, 1024);
	b64_encode(&b, a->gs2);
	same = !buf_failed(&b) && slice_eq(buf_get(&b), said);
	buf_release(&b);
	return same;
}

static bool our_nonce(const struct auth *a, struct slice said)
{
	return said.n == a->client_nonce.n + a->nonce_n && slice_starts(said, a->client_nonce) &&
	    slice_ends(said, slice_of(a->nonce, a->nonce_n));
}

/* Where ",p=" begins, of which only the last attribute may be. */
static size_t proof_at(struct slice message)
{
	size_t at = message.n;

	while (at && message.at[at - 1] != ',')
		at--;
	return at ? at - 1 : message.n;
}

/* server-final-message: we know the password, or what was made of it, as well. */
static enum auth_step server_final(struct auth *a, struct slice messages)
{
	unsigned char signature[SCRAM_KEY];

	buf_clear(&a->challenge);
	if (!scram_signature(&a->verifier, messages, signature))
		return no_memory(a);
	buf_str(&a->challenge, "v=");
	b64_encode(&a->challenge, slice_of(signature, sizeof(signature)));
	if (buf_failed(&a->challenge))
		return no_memory(a);
	enter(a, AUTH_LAST);
	return AUTH_ASK;
}

static enum auth_step scram_proof(struct auth *a, struct slice message)
{
	struct slice without = slice_sub(message, 0, proof_at(message)), last = slice_sub(message, without.n + 1, SIZE_MAX);
	struct slice rest = without, binding, nonce, text;
	unsigned char proof[(SCRAM_KEY + 2) / 3 * 4];
	enum auth_step step;
	struct buf messages;
	size_t n;

	if (!attribute(&rest, 'c', &binding) || !attribute(&rest, 'r', &nonce) || !extensions_valid(rest) || !attribute(&last, 'p', &text) || last.n ||
	    text.n != sizeof(proof))
		return no(a, "no client-final-message");
	memcpy(proof, text.at, text.n);
	if (!b64_decode_over(proof, text.n, &n) || n != SCRAM_KEY)
		return no(a, "no client-final-message");
	if (!binding_same(a, binding))
		return no(a, "other channel binding than at first");
	if (!our_nonce(a, nonce))
		return no(a, "not our nonce");
	buf_init(&messages, 4 * LIMIT_AUTH_LINE);
	buf_slice(&messages, a->bare);
	buf_octet(&messages, ',');
	buf_slice(&messages, auth_challenge(a));
	buf_octet(&messages, ',');
	buf_slice(&messages, without);
	if (buf_failed(&messages))
		step = no_memory(a);
	else if (!scram_proves(&a->verifier, buf_get(&messages), slice_of(proof, n)) || !a->known)
		step = mismatch(a);
	else
		step = server_final(a, buf_get(&messages));
	buf_release(&messages);
	return step;
}

/* ---- both ---- */

enum auth_step auth_feed(struct auth *a, struct slice message)
{
	BUG_ON(a->state != AUTH_FIRST && a->state != AUTH_PROOF && a->state != AUTH_LAST);
	if (a->state == AUTH_PROOF)
		return scram_proof(a, message);
	if (a->state == AUTH_LAST)
		return message.n == 0 ? yes(a) : no(a, "text behind the exchange");
	a->first = malloc(message.n + 1);
	if (!a->first)
		return no_memory(a);
	if (message.n)
		memcpy(a->first, message.at, message.n);
	a->first_n = message.n;
	return a->mech == AUTH_PLAIN ? plain_first(a) : scram_first(a);
}

enum auth_step auth_verifier(struct auth *a, const struct scram_verifier *v, bool known)
{
	BUG_ON(a->state != AUTH_NAME);
	a->verifier = *v;
	a->known = known;
	return a->mech == AUTH_PLAIN ? plain_verifier(a) : scram_verifier(a);
}
