/*
 * supervisor.h - the process that owns the listening sockets and the lock, starts the others, restarts what dies and reloads
 * without dropping a session. It speaks to no peer.
 */
#ifndef DAEMON_SUPERVISOR_H
#define DAEMON_SUPERVISOR_H

#include <stdbool.h>

/*
 * supervisor_run - the daemon
 * In:    file: the configuration, read again at each reload; foreground: stay, else go to the background once the workers serve
 * Out:   the exit code: 0, 71 (port in use, lock held, a process that cannot start), 78 (configuration); the reason is on stderr
 */
int supervisor_run(const char *file, bool foreground);

#endif
