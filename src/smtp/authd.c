#include "base/b64.h"
#include "base/limits.h"
#include "mail/utf8.h"
#include "smtp/authd.h"

static bool number(struct slice *rest, uint32_t *out)
{
	struct slice word;
	uint64_t n;

	(void)slice_cut(rest, '\t', &word);
	if (!slice_u64(word, UINT32_MAX, &n))
		return false;
	*out = (uint32_t)n;
	return true;
}

/* "\001t" is a TAB, and so on; what these stand for is in no name of ours, but for the escape that escapes nothing. */
static bool take_user(struct arena *a, struct slice s, struct slice *user_out)
{
	unsigned char *at = arena_take(a, s.n);
	size_t n = 0;

	if (!at)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = s.at[i];

		if (c == '\001') {
			if (++i == s.n || memchr("01trl", s.at[i], 5))
				return false;
			c = s.at[i];
		}
		if (c < 0x20 || c == 0x7f)
			return false;
		at[n++] = c;
	}
	*user_out = slice_of(at, n);
	return n > 0 && n <= LIMIT_AUTH_NAME && utf8_valid(*user_out);
}

static enum authd_kind take_ok(struct arena *a, struct slice rest, struct authd_line *out)
{
	struct slice word;
	bool more, good = false;

	if (!number(&rest, &out->id))
		return AUTHD_BAD;
	do {
		more = slice_cut(&rest, '\t', &word);
		if (slice_starts(word, S("user=")) && !take_user(a, slice_sub(word, 5, SIZE_MAX), &out->user))
			return AUTHD_BAD;
		good |= slice_starts(word, S("user="));
	} while (more);
	return good ? AUTHD_OK : AUTHD_BAD;
}

static enum authd_kind take_fail(struct slice rest, struct authd_line *out)
{
	static const struct {
		const char *word, *why;
		bool temporary;
	} words[] = {
		{ "temp", "temporary failure of the service", true },
		{ "code=temp_fail", "temporary failure of the service", true },
		{ "authz", "not authorized", false },
		{ "code=authz_fail", "not authorized", false },
		{ "user_disabled", "user disabled", false },
		{ "code=user_disabled", "user disabled", false },
		{ "pass_expired", "password expired", false },
		{ "code=pass_expired", "password expired", false },
	};
	struct slice word;
	bool more;

	if (!number(&rest, &out->id))
		return AUTHD_BAD;
	out->why = "wrong user or password";
	do {
		more = slice_cut(&rest, '\t', &word);
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if (slice_eq(word, slice_str(words[i].word))) {
				out->why = words[i].why;
				out->temporary |= words[i].temporary;
			}
	} while (more);
	return AUTHD_FAIL;
}

static enum authd_kind take_cont(struct arena *a, struct slice rest, struct authd_line *out)
{
	struct slice text;

	if (!number(&rest, &out->id))
		return AUTHD_BAD;
	(void)slice_cut(&rest, '\t', &text);
	return b64_decode(a, text, false, &out->octets) && out->octets.n <= LIMIT_AUTHD_CHALLENGE ? AUTHD_CONT : AUTHD_BAD;
}

/* Before DONE: who it is. */
static enum authd_kind take_itself(struct authd *d, struct slice name, struct slice rest)
{
	enum auth_mech mech;
	struct slice word;
	uint32_t major;

	if (slice_eq(name, S("VERSION"))) {
		d->version = number(&rest, &major) && major == 1;
		return d->version ? AUTHD_ITSELF : AUTHD_BAD;
	}
	if (slice_eq(name, S("MECH"))) {
		(void)slice_cut(&rest, '\t', &word);
		if (auth_mech_find(word, &mech))
			d->mechs |= 1U << mech;
		return AUTHD_ITSELF;
	}
	if (!slice_eq(name, S("DONE")))
		return AUTHD_ITSELF;
	d->done = d->version;
	return d->done ? AUTHD_DONE : AUTHD_BAD;
}

enum authd_kind authd_read(struct authd *d, struct arena *a, struct slice line, struct authd_line *out)
{
	struct slice rest = line, name;

	*out = (struct authd_line){ .kind = AUTHD_ITSELF };
	(void)slice_cut(&rest, '\t', &name);
	if (!d->done)
		out->kind = take_itself(d, name, rest);
	else if (slice_eq(name, S("OK")))
		out->kind = take_ok(a, rest, out);
	else if (slice_eq(name, S("FAIL")))
		out->kind = take_fail(rest, out);
	else if (slice_eq(name, S("CONT")))
		out->kind = take_cont(a, rest, out);
	return out->kind;
}

void authd_hello(struct buf *b, uint32_t pid)
{
	buf_printf(b, "VERSION\t1\t1\nCPID\t%lu\n", (unsigned long)pid);
}

void authd_begin(struct buf *b, uint32_t id, enum auth_mech mech, const char *client, const char *server, struct slice response)
{
	buf_printf(b, "AUTH\t%lu\t%s\tservice=smtp\tnologin\tlip=%s\trip=%s\tsecured\tresp=", (unsigned long)id, auth_mech_name(mech), server, client);
	b64_encode(b, response);
	buf_octet(b, '\n');
}

void authd_go_on(struct buf *b, uint32_t id, struct slice response)
{
	buf_printf(b, "CONT\t%lu\t", (unsigned long)id);
	b64_encode(b, response);
	buf_octet(b, '\n');
}

void authd_cancel(struct buf *b, uint32_t id)
{
	buf_printf(b, "CANCEL\t%lu\n", (unsigned long)id);
}
