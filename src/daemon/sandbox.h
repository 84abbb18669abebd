/*
 * sandbox.h - each process locks itself in once it has what it needs: what it may ask of the kernel (seccomp), and which files it may
 * touch (Landlock; chroot where the kernel has none). Neither can be undone, and a child inherits both.
 */
#ifndef DAEMON_SANDBOX_H
#define DAEMON_SANDBOX_H

#include <stdbool.h>
#include <sys/types.h>

struct conf;

enum sandbox_role { SANDBOX_SUPERVISOR, SANDBOX_KEEPER, SANDBOX_RESOLVER, SANDBOX_QUEUE, SANDBOX_WORKER, SANDBOX_CONTROL, SANDBOX_ROLES };

/*
 * sandbox_start - of the supervisor, before it starts anybody: decides by sandbox = true and the build whether there is a sandbox at
 * all until the daemon ends, and enters its own, which holds for its children too. False: errno tells.
 */
bool sandbox_start(const struct conf *conf);

/* Tells of what there is not, for a configuration that is about to run: events sandbox_off and sandbox_partial. uid: -1 nobody else's. */
void sandbox_tell(const struct conf *conf, uid_t uid);

/*
 * sandbox_root - of a worker or queue process that is root still and is to give that up: its spool becomes its root where the kernel
 * has no Landlock and nothing else stands in the way. What it needs of other files it has to have by then.
 */
void sandbox_root(enum sandbox_role role, const struct conf *conf, uid_t uid, int spool_fd);

/*
 * sandbox_enter - of a child, with all it needs: keys read, sockets and folders open, another user
 * In:    spool_fd: workers' and queue's; else -1; file: what the resolver reads again, an anchor; else NULL
 * Out:   true also where there is to be no sandbox, or the kernel has no part of it
 * Fault: errno tells; the process is locked in half and must leave
 */
bool sandbox_enter(enum sandbox_role role, const struct conf *conf, int spool_fd, const char *file);

/* Is this build one that cannot run in a sandbox? Its sanitizer's name for it; NULL: it can. */
const char *sandbox_hindered(void);

#endif
