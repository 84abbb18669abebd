/*
 * What stands behind MAIL, RCPT, BDAT and EHLO. The first octet says what was offered. Parameters that are taken go to a next hop
 * that offers the same and are read there as they were meant here; the line that carries them is one line.
 */
#include "base/buf.h"
#include "base/limits.h"
#include "fuzz.h"
#include "smtp/cli.h"
#include "smtp/cmd.h"

enum { OFFERS = EXT_SIZE | EXT_8BITMIME | EXT_SMTPUTF8 | EXT_DSN | EXT_PRDR | EXT_REQUIRETLS };

static bool inside(struct slice part, struct slice whole)
{
	return part.n == 0 || (part.at >= whole.at && part.at + part.n <= whole.at + whole.n);
}

static void want_refusal(const struct fault *f, struct slice arg)
{
	WANT(f->code == FAULT_COMMAND_SYNTAX || f->code == FAULT_BAD_SENDER || f->code == FAULT_BAD_RECIPIENT || f->code == FAULT_BAD_PARAM ||
	    f->code == FAULT_PARAM_UNKNOWN || f->code == FAULT_NEEDS_SMTPUTF8 || f->code == FAULT_TOO_BIG ||
	    f->code == FAULT_REQUIRETLS);
	WANT(f->at <= arg.n && f->basic >= 500);
}

static void want_same(const struct srv_params *x, const struct srv_params *y)
{
	WANT(x->body_8bit == y->body_8bit && x->smtputf8 == y->smtputf8 && x->prdr == y->prdr && x->requiretls == y->requiretls);
	WANT(x->size_named == y->size_named && x->size_octets == y->size_octets);
	WANT(slice_eq(x->ret, y->ret) && slice_eq(x->envid, y->envid) && slice_eq(x->notify, y->notify) && slice_eq(x->orcpt, y->orcpt));
}

/* A next hop that greets and offers all there is, inside TLS. */
static struct cli *next_hop(void)
{
	struct slice talk = S("220 c.test\r\n250-c.test\r\n250 STARTTLS\r\n220 go\r\n");
	struct cli *c = cli_new(S("me.test"));
	struct cli_event ev;

	WANT(c);
	cli_tls(c, CLI_TLS_VERIFY);
	WANT(cli_feed(c, &talk, &ev) == CLI_EV_STARTTLS);
	cli_secured(c);
	talk = S("250-c.test\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-PRDR\r\n250-REQUIRETLS\r\n250 DSN\r\n");
	WANT(cli_feed(c, &talk, &ev) == CLI_EV_READY);
	buf_release(cli_out(c));
	return c;
}

/* The one line that `c` sends, without verb. */
static struct slice sent(struct cli *c, struct slice verb)
{
	struct slice out = buf_get(cli_out(c));

	WANT(slice_ends(out, S("\r\n")) && slice_starts(out, verb));
	out = slice_sub(out, 0, out.n - 2);
	for (size_t i = 0; i < out.n; i++)
		WANT(out.at[i] >= 0x20 && out.at[i] != 0x7f);
	return slice_sub(out, verb.n, SIZE_MAX);
}

static void try_mail(struct slice arg, const struct ext *offer)
{
	static const struct ext all = { .bits = OFFERS };
	struct srv_params params = { 0 }, again = { 0 };
	struct path path = { 0 }, same = { 0 };
	struct fault f = { 0 };
	struct cli *c;

	if (!cmd_mail(arg, offer, &path, &params, &f)) {
		WANT(!path.raw.at);
		want_refusal(&f, arg);
		return;
	}
	WANT(inside(path.raw, arg) && inside(params.ret, arg) && inside(params.envid, arg) && params.envid.n <= LIMIT_ENVID);
	WANT((path.null || path.domain.n) && (!path.utf8 || params.smtputf8));
	WANT(!params.size_named || !offer->size_octets || params.size_octets <= offer->size_octets);
	WANT(!params.notify.at && !params.orcpt.at);
	c = next_hop();
	WANT(cli_mail(c, 1, path.raw, &params, &f));
	WANT(cmd_mail(sent(c, S("MAIL ")), &all, &same, &again, &f));
	WANT(slice_eq(same.raw, path.raw));
	want_same(&params, &again);
	cli_free(&c);
}

static void try_rcpt(struct slice arg, const struct ext *offer, bool utf8)
{
	static const struct ext all = { .bits = OFFERS };
	struct srv_params params = { 0 }, again = { 0 };
	struct path path = { 0 }, same = { 0 };
	struct fault f = { 0 };
	struct cli *c;

	if (!cmd_rcpt(arg, offer, utf8, &path, &params, &f)) {
		WANT(!path.raw.at);
		want_refusal(&f, arg);
		return;
	}
	WANT(inside(path.raw, arg) && inside(params.notify, arg) && inside(params.orcpt, arg) && params.orcpt.n <= LIMIT_ORCPT);
	WANT(!path.null && (!path.utf8 || utf8));
	WANT(!params.size_named && !params.ret.at && !params.envid.at);
	c = next_hop();
	WANT(cli_mail(c, 1, S("<>"), NULL, &f));
	buf_release(cli_out(c));
	WANT(cli_rcpt(c, 2, path.raw, &params, &f));
	WANT(cmd_rcpt(sent(c, S("RCPT ")), &all, utf8, &same, &again, &f));
	WANT(slice_eq(same.raw, path.raw));
	want_same(&params, &again);
	cli_free(&c);
}

static void try_rest(struct slice line)
{
	uint64_t octets = 0;
	bool last = false;
	struct fault f = { 0 };
	struct slice arg, verb = cmd_verb(line, &arg);

	WANT(inside(verb, line) && inside(arg, line) && verb.n + arg.n <= line.n);
	WANT(arg.n == 0 || (arg.at[0] != ' ' && arg.at[0] != '\t' && arg.at[arg.n - 1] != ' ' && arg.at[arg.n - 1] != '\t'));
	if (cmd_bdat(line, &octets, &last, &f)) {
		char text[64];
		uint64_t again;
		bool same;

		WANT(octets <= INT64_MAX && line.n <= LIMIT_CHUNK_DIGITS + 5);
		snprintf(text, sizeof(text), "%llu%s", (unsigned long long)octets, last ? " LAST" : "");
		WANT(cmd_bdat(slice_str(text), &again, &same, &f) && again == octets && same == last);
	} else {
		WANT(f.code == FAULT_BDAT_BAD && f.at <= line.n + 1);
	}
	f = (struct fault){ 0 };
	if (!cmd_text(line, &f))
		WANT(f.at < line.n && f.basic == 500 && (line.at[f.at] < 0x20 || line.at[f.at] == 0x7f));
	if (cmd_hello(line))
		for (size_t i = 0; i < line.n; i++)
			WANT(line.at[i] > 0x20 && line.at[i] < 0x7f && line.at[i] != '<' && line.at[i] != '(' && line.at[i] != ';');
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t n)
{
	struct ext offer = { 0 };
	struct slice arg;

	if (n < 1 || n > LIMIT_COMMAND_LINE)
		return 0;
	offer.bits = (at[0] & 1 ? EXT_SIZE : 0) | (at[0] & 2 ? EXT_8BITMIME : 0) | (at[0] & 4 ? EXT_SMTPUTF8 : 0) | (at[0] & 8 ? EXT_DSN : 0) |
	    (at[0] & 64 ? EXT_PRDR | EXT_REQUIRETLS : 0);
	offer.size_octets = at[0] & 16 ? 1000 : 0;
	arg = slice_of(at + 1, n - 1);
	try_mail(arg, &offer);
	try_rcpt(arg, &offer, at[0] & 32);
	try_rest(arg);
	return 0;
}
