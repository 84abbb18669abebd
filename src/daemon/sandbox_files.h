/*
 * sandbox_files.h - which files a process may touch.
 *
 * Landlock has no function in the C library; what the kernel knows of it differs by its ABI, and a ruleset may not name what it does
 * not know. Before ABI 2 (Linux 5.19) no file could be moved from one folder of the spool to another, so that one counts as none.
 */
#ifndef DAEMON_SANDBOX_FILES_H
#define DAEMON_SANDBOX_FILES_H

#include <stdbool.h>

bool sandbox_files_can(void);

/*
 * sandbox_files_lock - from now on nothing but what is below a folder, to be read, written, made, moved and removed, and one file, to
 * be read. What is open stays open.
 * In:    folder_fd: -1: none; file: NULL: none, as is one that is not there; no_new_privs is set
 * Fault: errno tells
 */
bool sandbox_files_lock(int folder_fd, const char *file);

#endif
