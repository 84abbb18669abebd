/*
 * ctl.h - the verbs of hopsealctl and what they share. Every verb gets its own name as argv[0] and returns the exit code;
 * facts go to stdout, complaints to stderr.
 */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include <getopt.h>
#include <jansson.h>

#include "base/arena.h"
#include "base/buf.h"

enum ctl_exit {
	CTL_DONE = 0,
	CTL_NONE = 1,          /* no signature to judge */
	CTL_USAGE = 64,
	CTL_BAD = 65,          /* fail, permerror, bad input */
	CTL_NO_INPUT = 66,
	CTL_CANNOT_WRITE = 73,
	CTL_TEMPORARY = 75,
	CTL_CONFIGURATION = 78,
};

struct ctl_verb {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *usage; /* behind "hopsealctl ", further lines indented */
	const char *about; /* a line */
};

int ctl_check(int argc, char **argv);
int ctl_show(int argc, char **argv);
int ctl_verify(int argc, char **argv);
int ctl_sign(int argc, char **argv);
int ctl_undo(int argc, char **argv);
int ctl_explain(int argc, char **argv);
int ctl_bulk(int argc, char **argv);
int ctl_keygen(int argc, char **argv);
int ctl_dns_record(int argc, char **argv);
int ctl_password(int argc, char **argv);
int ctl_status(int argc, char **argv);
int ctl_top(int argc, char **argv);
int ctl_reload(int argc, char **argv);
int ctl_queue(int argc, char **argv);

/* The verb that complaints speak for. */
void ctl_begin(const struct ctl_verb *verb);
/* "hopsealctl VERB: ..." on stderr, one line: what names of files and arguments hold that is not printable stands as \xNN. */
void ctl_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same, and how the verb is called; returns CTL_USAGE. */
int ctl_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The next option's val, long ones and -c where the table has a 'c'; -1: no more, optind stands at the rest; '?' and ':': complained, leave with CTL_USAGE. */
int ctl_option(int argc, char **argv, const struct option *options);

/* A whole file, "-" for standard input, into a buf with a ceiling. Else complains and returns the exit code; CTL_DONE: read. */
enum { CTL_INPUT_OCTETS = 1 << 30 };
int ctl_read(const char *path, struct buf *octets_out);

/* Ends stdout: CTL_CANNOT_WRITE, with a complaint, when what was printed did not get out, else `code`. */
int ctl_end(int code);

/* A path as typed, with brackets or without, to one with; false: it is none. */
bool ctl_path(struct arena *a, const char *text, bool null_allowed, struct slice *path_out);

/* The value of a field on one line, without blanks around it: a fold with its blank becomes a space. */
struct slice ctl_unfolded(struct arena *a, struct slice value);
/*
 * Octets at the front of UTF-8 that are to be shown by number: controls, also those of C1 and those that turn the
 * direction of writing or cannot be seen. 0: what is there can be shown.
 */
size_t ctl_unprintable(struct slice s);
/* A peer's octets for a terminal: what is not printable stands as \xNN, UTF-8 passes with `utf8`. */
struct slice ctl_plain(struct arena *a, struct slice s, bool utf8);
/* The same as a JSON string; UTF-8 passes as it is. */
json_t *ctl_json(struct arena *a, struct slice s);
/* Indented, on stdout. */
void ctl_print_json(json_t *take_object);

#endif
