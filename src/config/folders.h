/*
 * folders.h - the folders a daemon needs before it starts: spool.dir, run.dir, and state.dir where it is given. I/O.
 */
#ifndef CONFIG_FOLDERS_H
#define CONFIG_FOLDERS_H

#include "config/conf.h"
#include "config/tree.h"

/*
 * folders_check - each is there, or can be made, and whoever will write there may: run.dir this user, the others the `user` that
 * the daemon becomes when this user is root
 */
void folders_check(const struct conf *c, struct conf_tree *tree, struct arena *a, struct conf_errors *errors);

#endif
