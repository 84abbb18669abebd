/*
 * files.h - files of a test in a temporary folder.
 */
#ifndef FILES_H
#define FILES_H

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

static inline void put(const char *name, struct slice octets, mode_t mode)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, octets.n ? (const char *)octets.at : "", octets.n), (ssize_t)octets.n);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static inline int files_drop(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

/* The folder and all in it; false: something is left. */
static inline bool files_remove(const char *folder)
{
	return nftw(folder, files_drop, 8, FTW_DEPTH | FTW_PHYS) == 0;
}

#endif
