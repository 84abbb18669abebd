/*
 * load_in.h - what the files of load share. I/O.
 */
#ifndef CONFIG_LOAD_IN_H
#define CONFIG_LOAD_IN_H

#include <sys/stat.h>

#include "config/conf.h"

enum { LOAD_KEY_OCTETS = 1 << 16 };

/*
 * Whole content of a regular file into *content (initialised); all its room at once, so that growing leaves no copy of a key behind.
 * False: *why_out. st_out may be NULL.
 */
bool load_file(const char *name, struct buf *content, struct stat *st_out, const char **why_out);

/* Certificates and keys of every listener, into the conf. */
void load_tls(struct conf *c, struct conf_errors *errors);
/* Their files of passwords likewise. */
void load_auth(struct conf *c, struct conf_errors *errors);

#endif
