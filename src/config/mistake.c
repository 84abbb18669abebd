#include <stdarg.h>
#include <stdio.h>

#include "config/mistake.h"

enum { TEXT_OCTETS = 1 << 20, LINE_OCTETS = 2048 };

void conf_errors_init(struct conf_errors *e)
{
	e->n = e->keys = 0;
	buf_init(&e->text, TEXT_OCTETS);
	buf_init(&e->warnings, TEXT_OCTETS);
}

void conf_errors_release(struct conf_errors *e)
{
	buf_release(&e->text);
	buf_release(&e->warnings);
	e->n = e->keys = 0;
}

static void add(struct buf *b, const char *where, const char *format, va_list ap) __attribute__((format(printf, 3, 0)));
static void add(struct buf *b, const char *where, const char *format, va_list ap)
{
	char line[LINE_OCTETS];

	vsnprintf(line, sizeof(line), format, ap);
	for (char *p = line; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	buf_printf(b, "%s: %s\n", where, line);
}

void conf_mistake(struct conf_errors *e, const char *where, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	add(&e->text, where, format, ap);
	va_end(ap);
	e->n++;
}

void conf_warning(struct conf_errors *e, const char *event, const char *where, const char *format, ...)
{
	va_list ap;

	buf_printf(&e->warnings, "%s ", event);
	va_start(ap, format);
	add(&e->warnings, where, format, ap);
	va_end(ap);
}

bool conf_warning_next(struct slice *from, struct slice *event_out, struct slice *where_out, struct slice *text_out)
{
	struct slice line;
	size_t colon = 0;

	if (from->n == 0)
		return false;
	(void)slice_cut(from, '\n', &line);
	(void)slice_cut(&line, ' ', event_out);
	while (colon < line.n && !slice_starts(slice_sub(line, colon, SIZE_MAX), S(": ")))
		colon++;
	*where_out = slice_sub(line, 0, colon);
	*text_out = slice_sub(line, colon + 2, SIZE_MAX);
	return true;
}
