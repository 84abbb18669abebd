#include <stdarg.h>
#include <stdio.h>

#include "config/mistake.h"

enum { TEXT_OCTETS = 1 << 20, LINE_OCTETS = 2048 };

void conf_errors_init(struct conf_errors *e)
{
	e->n = e->keys = 0;
	buf_init(&e->text, TEXT_OCTETS);
}

void conf_errors_release(struct conf_errors *e)
{
	buf_release(&e->text);
	e->n = e->keys = 0;
}

void conf_mistake(struct conf_errors *e, const char *where, const char *format, ...)
{
	char line[LINE_OCTETS];
	va_list ap;

	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	for (char *p = line; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	buf_printf(&e->text, "%s: %s\n", where, line);
	e->n++;
}
