/*
 * judge.h - a message from a file, and what its chain and signatures are worth: what verify, bulk, sign and explain share.
 */
#ifndef CTL_JUDGE_H
#define CTL_JUDGE_H

#include "auth/engines.h"
#include "ctl/ctl.h"
#include "ctl/dns.h"

enum { JUDGE_ARENA = 1 << 28, CTL_DKIM_SIGNATURES = 10 };

struct ctl_message {
	struct arena arena; /* of everything that is known about it */
	struct buf octets;  /* the file */
	struct header header;
	struct slice body;
	bool lf_only;       /* LF line ends throughout: no field can be seen (spec 20.31) */
};

/* Empty; its arena can be used. */
void ctl_message_init(struct ctl_message *m);
/* CTL_DONE, or complained: no such file, empty, a header beyond all limits. */
int ctl_message_read(struct ctl_message *m, const char *path);
/* Finds header and body in the octets that are there. False: a header beyond all limits. */
bool ctl_message_split(struct ctl_message *m, struct fault *f) HS_MUST_USE;
/* Empty again, for the next one; keeps the room for octets. */
void ctl_message_clear(struct ctl_message *m);
void ctl_message_release(struct ctl_message *m);

/* What the command line says about a check: --mail-from --rcpt --now --dns --draft. */
struct judge_options {
	const char *mail_from; /* as typed, NULL: none */
	const char **rcpts;
	size_t rcpt_count;
	struct dkim2_clock clock;
	const char *dns;
	unsigned draft;
	unsigned only;         /* ENGINE_... bits; 0: not said */
	const char *helo;
	bool client_known;
	unsigned char client[16];
	bool json;
};

/* The rows of judge_option() for a verb's own table. */
enum { JUDGE_MAIL_FROM = 1000, JUDGE_RCPT, JUDGE_NOW, JUDGE_DNS, JUDGE_DRAFT, JUDGE_JSON, JUDGE_ONLY, JUDGE_HELO, JUDGE_CLIENT_IP };
#define JUDGE_OPTIONS                                              \
	{ "mail-from", required_argument, NULL, JUDGE_MAIL_FROM }, \
	{ "rcpt", required_argument, NULL, JUDGE_RCPT },           \
	{ "now", required_argument, NULL, JUDGE_NOW },             \
	{ "dns", required_argument, NULL, JUDGE_DNS },             \
	{ "draft", required_argument, NULL, JUDGE_DRAFT },         \
	{ "json", no_argument, NULL, JUDGE_JSON }
/* Of the verbs that judge all mechanisms. */
#define JUDGE_ALL_OPTIONS                                          \
	JUDGE_OPTIONS,                                             \
	{ "only", required_argument, NULL, JUDGE_ONLY },           \
	{ "helo", required_argument, NULL, JUDGE_HELO },           \
	{ "client-ip", required_argument, NULL, JUDGE_CLIENT_IP }

/* argc: as many recipients as there can be. False: no memory. */
bool judge_options_init(struct arena *a, struct judge_options *o, int argc);
/* Takes one of these options; CTL_DONE, or complained. */
int judge_option(struct judge_options *o, int option, const char *value);
/* The envelope they name, NULL in *envelope_out when none; CTL_DONE, or complained. */
int judge_envelope(struct arena *a, const struct judge_options *o, const struct dkim2_envelope **envelope_out);
/* A list of paths as typed behind an option to bracketed ones. */
int judge_paths(struct arena *a, const char *option, const char *const *texts, size_t n, const struct slice **paths_out);
/* What --only names, as bits: CTL_DONE, or complained of. */
int ctl_only(const char *list, unsigned *only_out);
/* A draft level as typed. */
int judge_draft(const char *text, unsigned *draft_out);
int judge_now(const char *text, bool none_allowed, int64_t *now_out);

/*
 * ctl_judge - what these engines find
 * In:    terms, but for From, which is read here
 * Out:   in the message's arena. NULL: complained, no memory or no way to ask.
 */
const struct findings *ctl_judge(struct ctl_message *m, struct ctl_dns *dns, const struct engines_terms *terms);
/* The chain alone. */
const struct dkim2_verdict *ctl_judge_chain(struct ctl_message *m, struct ctl_dns *dns, const struct dkim2_envelope *envelope,
    struct dkim2_clock clock, unsigned draft);
/* "user@example.net" of a bracketed path; empty: the null path. */
struct slice judge_mailbox(struct arena *a, struct slice bracketed);
/* What the options say, for these engines. */
struct engines_terms judge_terms(struct arena *a, const struct judge_options *o, const struct dkim2_envelope *envelope, unsigned run);
/* The exit code: of the chain, or with `only` the worst of what it names. */
int ctl_judge_code(enum dkim2_state state);
int ctl_findings_code(const struct findings *f, unsigned only);

/* What was held against what, for people. */
const char *ctl_level_text(enum dkim2_level level);
/* The "dkim2" object of verify --json. */
json_t *ctl_verdict_json(struct arena *a, const struct dkim2_verdict *v);
/* All of what verify --json says of the engines that were to run; id NULL: the name of this host. */
json_t *ctl_judged_json(struct arena *a, const struct findings *f, unsigned run, const char *authserv_id);
/* The value of the Authentication-Results field. */
struct slice ctl_authres(struct arena *a, const struct findings *f, const char *authserv_id);

#endif
