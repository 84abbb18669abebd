#include "daemon/sandbox_files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ABI_LEAST = 2, ABI_TRUNCATE = 3, ABI_DEVICES = 5, ABI_SCOPES = 6 };

/* What came after the headers of Debian 12. */
#define FS_TRUNCATE (1ULL << 14)
#define FS_IOCTL_DEV (1ULL << 15)
#define SCOPE_ABSTRACT_UNIX_SOCKET (1ULL << 0)
#define SCOPE_SIGNAL (1ULL << 1)

#define FS_ALL                                                                                                                           \
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |        \
	    LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | \
	    LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |   \
	    LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_REFER)
/* Of the spool: regular files and the folders they lie in, no more. */
#define FS_SPOOL                                                                                                                       \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | \
	    LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REFER)

/* struct landlock_ruleset_attr as it is now; an older kernel is told of so much of it as it has. */
struct ruleset {
	uint64_t fs, net, scoped;
};

static int abi(void)
{
	long n = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return n < 0 ? 0 : (int)n;
}

bool sandbox_files_can(void)
{
	return abi() >= ABI_LEAST;
}

static bool allow(int ruleset, int fd, uint64_t access)
{
	struct landlock_path_beneath_attr beneath = { .allowed_access = access, .parent_fd = fd };

	return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) == 0;
}

static bool allow_file(int ruleset, const char *file)
{
	int fd = open(file, O_PATH | O_CLOEXEC);
	bool ok;

	if (fd < 0)
		return true;
	ok = allow(ruleset, fd, LANDLOCK_ACCESS_FS_READ_FILE);
	close(fd);
	return ok;
}

bool sandbox_files_lock(int folder_fd, const char *file)
{
	int level = abi(), fd;
	uint64_t later = level >= ABI_TRUNCATE ? FS_TRUNCATE : 0;
	struct ruleset all = { .fs = FS_ALL | later | (level >= ABI_DEVICES ? FS_IOCTL_DEV : 0) };
	bool ok;

	/* Sockets without a file, and signals to whoever has the same user: nobody is beyond the walls but the supervisor's children. */
	if (level >= ABI_SCOPES)
		all.scoped = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL;
	fd = (int)syscall(SYS_landlock_create_ruleset, &all, level >= ABI_SCOPES ? sizeof(all) : sizeof(all.fs), 0);
	if (fd < 0)
		return false;
	ok = (folder_fd < 0 || allow(fd, folder_fd, FS_SPOOL | later)) && (!file || allow_file(fd, file)) &&
	    syscall(SYS_landlock_restrict_self, fd, 0) == 0;
	if (!ok) {
		int error = errno;

		close(fd);
		errno = error;
		return false;
	}
	close(fd);
	return true;
}
