/* hopseal(8): reads its two options and becomes the supervisor. */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

#include "config/conf.h"
#include "daemon/supervisor.h"

enum { EXIT_USAGE = 64 };

static const char usage[] = "usage: hopseal [-c FILE] [-f]\n"
			    "  -c, --config FILE   configuration (" CONF_PATH ")\n"
			    "  -f, --foreground    stay in the foreground and log to stderr\n"
			    "  -V, --version\n"
			    "  -h, --help\n";

/* A socket that became descriptor 2 would be sent what is written to stderr. */
static void descriptors_fill(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "foreground", no_argument, NULL, 'f' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *file = CONF_PATH;
	bool foreground = false;
	int option;

	descriptors_fill();
	while ((option = getopt_long(argc, argv, "c:fVh", options, NULL)) >= 0) {
		switch (option) {
		case 'c':
			file = optarg;
			break;
		case 'f':
			foreground = true;
			break;
		case 'V':
			puts("hopseal " HOPSEAL_VERSION);
			return 0;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "hopseal: unexpected argument: %s\n%s", argv[optind], usage);
		return EXIT_USAGE;
	}
	return supervisor_run(file, foreground);
}
