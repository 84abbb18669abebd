/*
 * What a client says in an exchange, a message a line, or what Dovecot's service says; the first octet tells which. No exchange ends well
 * without the password, and nothing that can be asked twice is answered differently.
 */
#include "base/limits.h"
#include "fuzz.h"
#include "smtp/authd.h"

static const char text[] = "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"
			   "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

static bool holds(struct slice s, struct slice what)
{
	for (size_t i = 0; i + what.n <= s.n; i++)
		if (slice_eq(slice_sub(s, i, what.n), what))
			return true;
	return false;
}

static void want_text(struct slice s, bool ascii)
{
	for (size_t i = 0; i < s.n; i++)
		WANT(s.at[i] >= 0x20 && s.at[i] != 0x7f && (!ascii || s.at[i] < 0x80));
}

static void exchange(enum auth_mech mech, struct slice in, uint32_t part)
{
	struct auth *a = auth_new(mech, S("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"));
	enum auth_step step = AUTH_ASK;
	struct scram_verifier v;
	struct slice line, rest = in;
	const char *why;

	WANT(a && scram_read(slice_str(text), &v, &why));
	while (step == AUTH_ASK) {
		(void)slice_cut(&rest, '\n', &line);
		step = auth_feed(a, line);
		if (step == AUTH_LOOKUP) {
			WANT(auth_user(a).n && auth_user(a).n <= LIMIT_AUTH_NAME);
			step = auth_verifier(a, &v, slice_eq(auth_user(a), S("user")));
		}
		while (step == AUTH_WORK)
			step = auth_work(a, part);
		WANT(step != AUTH_LOOKUP);
		if (step == AUTH_ASK)
			want_text(auth_challenge(a), true);
	}
	want_text(auth_user(a), false);
	if (step == AUTH_NO)
		WANT(auth_fault(a)->code != FAULT_NONE && !holds(slice_str(auth_fault(a)->note), S("pencil")));
	else /* who has not the password has the published proof, for the published words */
		WANT(slice_eq(auth_user(a), S("user")) && (holds(in, S("pencil")) || holds(in, S("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="))));
	auth_free(&a);
}

static void service(struct slice in)
{
	struct authd d = { .version = false };
	struct slice line;
	struct arena a;

	arena_init(&a, 1 << 20);
	while (in.n) {
		struct authd_line said;

		(void)slice_cut(&in, '\n', &line);
		switch (authd_read(&d, &a, line, &said)) {
		case AUTHD_OK:
			WANT(d.done && said.user.n && said.user.n <= LIMIT_AUTH_NAME);
			want_text(said.user, false);
			break;
		case AUTHD_CONT:
			WANT(d.done && said.octets.n <= LIMIT_AUTHD_CHALLENGE);
			break;
		case AUTHD_FAIL:
			WANT(d.done && said.why);
			break;
		case AUTHD_DONE:
			WANT(d.done && d.version);
			break;
		case AUTHD_ITSELF:
		case AUTHD_BAD:
			break;
		}
		arena_clear(&a);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	struct slice in;

	if (n < 1 || n > 65536)
		return 0;
	in = slice_of(at + 1, n - 1);
	if (at[0] % 3 == 2)
		service(in);
	else
		exchange((enum auth_mech)(at[0] % 3), in, at[0] < 128 ? UINT32_MAX : at[0]);
	return 0;
}
