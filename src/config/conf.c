#include <stdlib.h>

#include "config/conf.h"

void conf_free(struct conf **c)
{
	if (!*c)
		return;
	arena_clear(&(*c)->arena);
	free(*c);
	*c = NULL;
}
