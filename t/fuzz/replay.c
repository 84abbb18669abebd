/* Feeds every file of the folders named to the target it is linked with. */
#include <dirent.h>

#include "fuzz.h"

enum { FILE_MAX_OCTETS = 1 << 22 };

static void replay(const char *path, uint8_t *room)
{
	FILE *file = fopen(path, "rb");
	uint8_t *exact;
	size_t n;

	WANT(file);
	n = fread(room, 1, FILE_MAX_OCTETS, file);
	fclose(file);
	/* memory of just that length, so that a sanitizer sees a read behind it */
	exact = malloc(n ? n : 1);
	WANT(exact);
	for (size_t i = 0; i < n; i++)
		exact[i] = room[i];
	LLVMFuzzerTestOneInput(exact, n);
	free(exact);
}

int main(int argc, char **argv)
{
	uint8_t *room = malloc(FILE_MAX_OCTETS);
	size_t files = 0;

	WANT(room);
	for (int i = 1; i < argc; i++) {
		DIR *dir = opendir(argv[i]);
		struct dirent *entry;

		WANT(dir);
		while ((entry = readdir(dir))) {
			char path[4096];

			if (entry->d_name[0] == '.')
				continue;
			snprintf(path, sizeof(path), "%s/%s", argv[i], entry->d_name);
			replay(path, room);
			files++;
		}
		closedir(dir);
	}
	free(room);
	printf("%zu files\n", files);
	return files ? 0 : 1;
}
