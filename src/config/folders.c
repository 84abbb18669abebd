#include "config/folders.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * May `user` make files there? 0, or errno. Only the kernel knows (lists of rights, folders above it, read-only file systems), so a
 * process that has become that user asks. A user that does not exist is told of elsewhere.
 */
static int wrong_for(const char *dir, const char *user)
{
	const struct passwd *pw = geteuid() == 0 && strcmp(user, "root") != 0 ? getpwnam(user) : NULL;
	int status = 0;
	pid_t child;

	if (!pw)
		return access(dir, W_OK | X_OK) == 0 ? 0 : errno;
	child = fork();
	if (child == 0) {
		if (setgroups(1, &pw->pw_gid) < 0 || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0 ||
		    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0)
			_exit(0);
		_exit(access(dir, W_OK | X_OK) == 0 ? 0 : errno);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return 0;
	return WEXITSTATUS(status);
}

static void check(struct conf_tree *tree, struct arena *a, struct conf_errors *e, enum conf_group group, enum conf_key_id key,
    const char *user, bool only_given)
{
	const struct conf_value *v = conf_value(conf_tree_one(tree, group, tree->first), key);
	const char *setting = conf_group_row(group)->name;
	char *above, *slash;
	struct stat st;
	int wrong;

	if (v->bad || !v->text || (only_given && !v->given))
		return;
	if (stat(v->text, &st) == 0) {
		wrong = S_ISDIR(st.st_mode) ? wrong_for(v->text, user) : ENOTDIR;
		if (wrong)
			conf_mistake(e, v->where, "%s.dir = \"%s\" cannot be written to%s%s: %s, expected a folder of the daemon's own",
			    setting, v->text, geteuid() == 0 && strcmp(user, "root") != 0 ? " by " : "",
			    geteuid() == 0 && strcmp(user, "root") != 0 ? user : "", strerror(wrong));
		return;
	}
	if (errno != ENOENT) {
		conf_mistake(e, v->where, "%s.dir = \"%s\": %s, expected a folder of the daemon's own", setting, v->text, strerror(errno));
		return;
	}
	above = arena_string(a, slice_str(v->text));
	slash = above ? strrchr(above, '/') : NULL;
	if (!slash)
		return;
	slash[slash == above] = '\0';
	if (access(above, W_OK | X_OK) != 0)
		conf_mistake(e, v->where, "%s.dir = \"%s\" is not there and cannot be made in %s: %s, expected a folder of the daemon's own",
		    setting, v->text, above, strerror(errno));
}

void folders_check(const struct conf *c, struct conf_tree *tree, struct arena *a, struct conf_errors *errors)
{
	const char *user = c->user ? c->user : "root";

	check(tree, a, errors, GROUP_SPOOL, KEY_SPOOL_DIR, user, false);
	check(tree, a, errors, GROUP_RUN, KEY_RUN_DIR, "root", false);
	/* Nothing is kept there yet: a default that is missing harms nobody. */
	check(tree, a, errors, GROUP_STATE, KEY_STATE_DIR, user, true);
}
