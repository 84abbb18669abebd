/* hopsealctl(8): finds the verb. */
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"

static const struct ctl_verb verbs[] = {
	{ "check", ctl_check, "check [-c FILE] [--dns] [--json]", "parse and verify a configuration" },
	{ "show", ctl_show, "show config [-c FILE] [--changed] [--json]", "what is in force, with defaults" },
	{ "verify", ctl_verify,
	    "verify [--only LIST] [--mail-from PATH] [--rcpt PATH]... [--helo NAME] [--client-ip IP]\n"
	    "         [--now UNIX|none] [--dns FILE] [--draft 06|07|08|09] [--authserv-id NAME] [--json] FILE",
	    "judge a message" },
	{ "sign", ctl_sign,
	    "sign --domain D --selector S --key FILE [--selector S2 --key FILE2]\n"
	    "         (--mail-from PATH --rcpt PATH [--rcpt PATH]... | --next-domain D) [--previous FILE]\n"
	    "         [--flag NAME]... [--received-mail-from PATH] [--received-rcpt PATH]... [--nonce TEXT] [--now UNIX]\n"
	    "         [--dns FILE] [--out-of-band] FILE",
	    "print the message with this hop's fields added" },
	{ "undo", ctl_undo, "undo [--to M] [--draft 06|07|08|09] FILE", "print the message as it was at an earlier instance" },
	{ "explain", ctl_explain,
	    "explain [--mail-from PATH] [--rcpt PATH]... [--now UNIX|none] [--dns FILE] [--draft 06|07|08|09]\n"
	    "         [--html PAGE] [--json] FILE",
	    "draw the chain: hops, envelopes, times, verdicts, changes" },
	{ "bulk", ctl_bulk,
	    "bulk [--only LIST] [--mail-from PATH --rcpt PATH... | --delivered] [--now UNIX|none] [--dns FILE]\n"
	    "         [--draft 06|07|08|09] [--authserv-id NAME] [--each | --json] DIR|MBOX",
	    "judge many messages" },
	{ "keygen", ctl_keygen, "keygen --domain D --selector S [--type ed25519|rsa] [--bits N] --out DIR [--json]",
	    "make a key file and the DNS record to publish" },
	{ "dns-record", ctl_dns_record, "dns-record --key FILE --domain D --selector S [--json]", "the DNS record of a key" },
	{ "password", ctl_password, "password [--iterations N] [USER]", "a line for a file of passwords, of the password that standard input has" },
	{ "status", ctl_status, "status [-c FILE | --control PATH] [--json]", "what the daemon runs, and its counters" },
	{ "top", ctl_top, "top [-c FILE | --control PATH] [--interval S] [--count N] [--json]", "what the daemon does now, again and again" },
	{ "queue", ctl_queue,
	    "queue list [-c FILE | --control PATH] [--limit N] [--json]\n"
	    "       hopsealctl queue show [-c FILE | --control PATH] [--content | --json] ID\n"
	    "       hopsealctl queue flush [-c FILE | --control PATH] [--json] [all | ID... | --destination NAME | NAME]\n"
	    "       hopsealctl queue hold|release|remove [-c FILE | --control PATH] [--yes] [--json] all | ID...",
	    "the messages that are to be delivered, and what becomes of them" },
	{ "reload", ctl_reload, "reload [-c FILE | --control PATH] [--json]", "let the daemon read its configuration again" },
};

enum { VERBS = sizeof(verbs) / sizeof(verbs[0]) };

static void help(FILE *to)
{
	fputs("usage: hopsealctl VERB [OPTION]... [FILE]\n"
	      "       hopsealctl VERB --help\n"
	      "       hopsealctl --version\n\n",
	    to);
	for (size_t i = 0; i < VERBS; i++)
		fprintf(to, "  %-11s %s\n", verbs[i].name, verbs[i].about);
}

static bool asks_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--help") == 0)
			return true;
	return false;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		help(stderr);
		return CTL_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		help(stdout);
		return ctl_end(CTL_DONE);
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		puts("hopsealctl " HOPSEAL_VERSION);
		return ctl_end(CTL_DONE);
	}
	for (size_t i = 0; i < VERBS; i++) {
		if (strcmp(argv[1], verbs[i].name) != 0)
			continue;
		ctl_begin(&verbs[i]);
		if (asks_help(argc - 1, argv + 1)) {
			printf("%s\n\nusage: hopsealctl %s\n", verbs[i].about, verbs[i].usage);
			return ctl_end(CTL_DONE);
		}
		json_object_seed(0);
		return verbs[i].run(argc - 1, argv + 1);
	}
	fprintf(stderr, "hopsealctl: unknown verb: %s\n", argv[1]);
	help(stderr);
	return CTL_USAGE;
}
