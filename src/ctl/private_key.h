/*
 * private_key.h - key files of hopsealctl.
 */
#ifndef CTL_PRIVATE_KEY_H
#define CTL_PRIVATE_KEY_H

#include "crypt/key.h"

/* NULL: complained, *code_out is the exit code. */
struct key *ctl_private_key(const char *path, int *code_out);

#endif
