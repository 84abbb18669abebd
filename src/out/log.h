/*
 * log.h - one event, one line: `name key=value ...` or a JSON object (log.format). Field names come from proto/log.schema.json.
 *
 * Text: `2026-11-21T10:00:00.123Z worker[0] transaction tx=1a custody=ok`; anything but an info line has level= as its first field.
 * A value that is not plain printable ASCII stands in quotes, other octets than 0x20..0x7e as \xNN. JSON: strings are UTF-8,
 * an octet that is none stands as \xNN in the text. Values are cut at LIMIT_LOG_VALUE, a field that does not fit the line is
 * left out and cut=1 added.
 *
 * Lines are written whole (one write a line). Nothing here blocks: what the log does not take waits, up to LIMIT_LOG_BACKLOG, and
 * what is above is lost and counted; log_lost says how many, where they would have stood.
 */
#ifndef OUT_LOG_H
#define OUT_LOG_H

#include "base/buf.h"
#include "base/fault.h"
#include "config/conf.h"

/*
 * log_open - where lines go from now on, as conf says; the supervisor's. Children inherit it
 * In:    background: nobody reads stderr, so that stderr means syslog
 * Fault: false, errno tells, and lines go where they went
 */
bool log_open(const struct conf *conf, bool background) HS_MUST_USE;

/* Form and process name of the lines of this process; before it they are text. `role`: "worker", "keeper" ...; only a worker shows its index. */
void log_start(const struct conf *conf, const char *role, unsigned index);

/* SIGUSR1: the log file anew (supervisor, fd -1), or a handed-in descriptor, owned from now on. False: errno tells, the old one stays. */
bool log_reopen(int fd);
/* The descriptor a child must keep besides standard error; -1: none. */
int log_fd(void);
/* Are lines written to a file, which SIGUSR1 opens anew? */
bool log_to_file(void);

enum log_level { LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR };

struct log_line {
	struct buf *b;
	enum log_level level;
};

/* log_begin("transaction"); log_text(..); log_end(). Only one line is open at a time. */
struct log_line log_begin(enum log_level level, const char *event);
void log_text(struct log_line *l, const char *key, struct slice value);
void log_str(struct log_line *l, const char *key, const char *value); /* NULL: left out */
void log_u64(struct log_line *l, const char *key, uint64_t value);
void log_i64(struct log_line *l, const char *key, int64_t value);
/* fault=name note="..." reply="550 5.5.2 ..." */
void log_fault(struct log_line *l, const struct fault *f);
void log_end(struct log_line *l);

/* Do lines wait? Then log_flush() is to be called now and then: net/loop does, twice a second. */
bool log_pending(void);
void log_flush(void);
enum { LOG_FLUSH_MS = 500 };

/* A line with one text field, `text`, for starts and stops. */
void log_note(enum log_level level, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The words of the last error so noted, empty: none. A process that cannot start tells them to the supervisor. */
const char *log_last_error(void);

#endif
