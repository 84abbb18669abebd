/*
 * ctl.h - the verbs of hopsealctl and what they share. Every verb gets its own name as argv[0] and returns the exit code;
 * facts go to stdout, complaints to stderr.
 */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include <getopt.h>

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

int ctl_check(int argc, char **argv);
int ctl_show(int argc, char **argv);
int ctl_verify(int argc, char **argv);
int ctl_sign(int argc, char **argv);
int ctl_explain(int argc, char **argv);
int ctl_keygen(int argc, char **argv);
int ctl_dns_record(int argc, char **argv);
int ctl_status(int argc, char **argv);
int ctl_reload(int argc, char **argv);

/* "hopsealctl VERB: ..." on stderr. */
void ctl_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same, and how the verb is called; returns CTL_USAGE. */
int ctl_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A whole file, "-" for standard input; its ceiling is CTL_INPUT_OCTETS. Else complains and returns the exit code; CTL_DONE: read. */
enum { CTL_INPUT_OCTETS = 1 << 30 };
int ctl_read(const char *path, struct buf *octets_out);

/* Ends stdout: CTL_CANNOT_WRITE, with a complaint, when what was printed did not get out, else `code`. */
int ctl_end(int code);

#endif
