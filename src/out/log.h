/*
 * log.h - one event, one line: `name key=value ...` or a JSON object (log.format). Field names come from proto/log.schema.json.
 *
 * Peer octets are escaped. Lines are written whole (one write a line). Nothing here blocks on a peer.
 */
#ifndef OUT_LOG_H
#define OUT_LOG_H

#include "base/fault.h"
#include "config/conf.h"

/* Of this process; before it lines go to stderr as text. Syslog and files are opened by the supervisor and inherited. `role`: "worker", "keeper" ... */
void log_start(const struct conf *conf, const char *role, unsigned index);
/* SIGUSR1: the log file anew (supervisor), or a handed-in descriptor. */
bool log_reopen(int fd);
int log_fd(void);

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

/* A line with one text field, for starts and stops. */
void log_note(enum log_level level, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
