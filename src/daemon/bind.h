/*
 * bind.h - what the supervisor holds for all processes: run folder, locks, listening sockets. Every failure comes with a line for the
 * operator; the daemon's exit code for all of them is 71.
 */
#ifndef DAEMON_BIND_H
#define DAEMON_BIND_H

#include <sys/types.h>

#include "config/conf.h"

enum { BIND_ERROR = 512 };

/*
 * bind_lock - the run folder, made if missing (one level, 0750, group gid when there is one), and run.dir/lock, held by flock
 * Out:   the descriptor that holds the lock, -1: error_out says why (held: by which process)
 */
int bind_lock(const char *run_dir, gid_t gid, char error_out[BIND_ERROR]);
/* Writes this process's number into the lock file. */
void bind_lock_pid(int fd);

/*
 * bind_spool - the spool directory, locked (flock on the directory itself, so that nothing in it can be taken away to undo it)
 * In:    wait_ms: how long for the processes of a daemon that has died to be gone, which hold it too
 * Out:   the descriptor, which those who work in the folder share: as long as one of them lives, it is held; -1: error_out says why
 */
int bind_spool(const struct conf *conf, unsigned wait_ms, bool *locked_out, char error_out[BIND_ERROR]);

/* A listening socket: non-blocking, close-on-exec, SO_REUSEADDR, IPv6 alone on an IPv6 address; -1: error_out says why. */
int bind_listen(const struct conf_address *address, char error_out[BIND_ERROR]);

/* run.dir/control.sock, mode 0660, group gid when there is one; what a daemon that died left there is replaced, so hold the lock. */
int bind_control(const char *run_dir, gid_t gid, char error_out[BIND_ERROR]);
void bind_control_remove(const char *run_dir);

/* As many open files as the sessions and deliveries of conf need; false: less_out is what there is. */
bool bind_files(const struct conf *conf, uint64_t *wanted_out, uint64_t *have_out);

#endif
