/*
 * background.h - leaves the terminal, and tells the process that was started from it how the start went.
 */
#ifndef DAEMON_BACKGROUND_H
#define DAEMON_BACKGROUND_H

/*
 * background_enter - the caller returns from it in a process without terminal, 0, 1 and 2 at /dev/null; the process that called it
 * waits for background_tell(), prints the text on stderr and leaves with the code
 * Out:   what background_tell() needs; -1: errno tells, nothing was done
 */
int background_enter(void);
/* Once. text may be NULL. */
void background_tell(int fd, int code, const char *text);

#endif
