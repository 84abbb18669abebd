#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "mail/utf8.h"
#include "out/log.h"
#include "out/sink.h"

enum { LINE_OCTETS = 16384, LINE_TAIL = 32 /* kept for cut=1 and what ends a line */ };

static struct {
	enum conf_log_format format;
	enum conf_log_to to;
	char process[32];
	char path[1024];
	struct buf line, lost;
	bool cut;
	time_t second; /* what `stamp` says */
	char stamp[32];
	char syslog_head[64];
	char last_error[256];
} out = { .process = "hopseal", .second = -1 };

bool log_open(const struct conf *conf, bool background)
{
	enum conf_log_to to = conf->log.to;

	if (to == LOG_STDERR && background)
		to = LOG_SYSLOG;
	if (to == LOG_FILE && strlen(conf->log.file) >= sizeof(out.path)) {
		errno = ENAMETOOLONG;
		return false;
	}
	if (!sink_open(to == LOG_FILE ? SINK_FILE : to == LOG_SYSLOG ? SINK_SYSLOG : SINK_STDERR, conf->log.file))
		return false;
	out.to = to;
	out.format = conf->log.format;
	if (to == LOG_FILE)
		snprintf(out.path, sizeof(out.path), "%s", conf->log.file);
	return true;
}

void log_start(const struct conf *conf, const char *role, unsigned index)
{
	out.format = conf->log.format;
	out.second = -1; /* the syslog head holds the pid */
	sink_forget();
	if (strcmp(role, "worker") == 0)
		snprintf(out.process, sizeof(out.process), "%s[%u]", role, index);
	else
		snprintf(out.process, sizeof(out.process), "%s", role);
}

bool log_reopen(int fd)
{
	if (fd < 0)
		return out.to != LOG_FILE || sink_open(SINK_FILE, out.path);
	sink_take(fd);
	return true;
}

int log_fd(void)
{
	return sink_fd();
}

bool log_to_file(void)
{
	return out.to == LOG_FILE;
}

/* Octets of the UTF-8 character at the front of s, 0: none. */
static size_t utf8_octets(struct slice s)
{
	unsigned char c = s.at[0];
	size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

	return n <= s.n && utf8_valid(slice_sub(s, 0, n)) ? n : 0;
}

static bool simple(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* What cannot stand in a JSON string as it is, n octets of it: a character, or 1 octet that is none (n 0). */
static void json_escape(struct buf *b, const unsigned char *at, size_t n)
{
	if (*at == '"' || *at == '\\')
		buf_printf(b, "\\%c", *at);
	else if (*at < 0x20 || *at == 0x7f)
		buf_printf(b, "\\u%04x", *at);
	else if (n == 2 && at[0] == 0xc2 && at[1] < 0xa0) /* C1 controls drive terminals too */
		buf_printf(b, "\\u%04x", at[1]);
	else if (n == 0)
		buf_printf(b, "\\\\x%02x", *at);
	else
		buf_add(b, at, n);
}

static void json_string(struct buf *b, struct slice s)
{
	buf_octet(b, '"');
	while (s.n) {
		struct slice head;
		size_t n = 0;

		while (n < s.n && simple(s.at[n]))
			n++;
		buf_add(b, s.at, n);
		slice_take(&s, n, &head);
		if (s.n == 0)
			break;
		n = utf8_octets(s);
		json_escape(b, s.at, n);
		slice_take(&s, n ? n : 1, &head);
	}
	buf_octet(b, '"');
}

static void plain_string(struct buf *b, struct slice s)
{
	bool plain = s.n > 0;

	for (size_t i = 0; i < s.n && plain; i++)
		plain = simple(s.at[i]) && s.at[i] != ' ';
	if (plain) {
		buf_slice(b, s);
		return;
	}
	buf_octet(b, '"');
	while (s.n) {
		struct slice word;
		bool blank = slice_cut(&s, ' ', &word);

		buf_escaped(b, word);
		if (blank)
			buf_octet(b, ' ');
	}
	buf_octet(b, '"');
}

/* Whole seconds are formatted once; a line adds its milliseconds. */
static void stamp(struct timespec *now_out)
{
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, now_out);
	if (now_out->tv_sec == out.second)
		return;
	out.second = now_out->tv_sec;
	gmtime_r(&now_out->tv_sec, &tm);
	strftime(out.stamp, sizeof(out.stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	if (out.to == LOG_SYSLOG) {
		char local[32];

		localtime_r(&now_out->tv_sec, &tm);
		strftime(local, sizeof(local), "%h %e %T", &tm);
		snprintf(out.syslog_head, sizeof(out.syslog_head), "%s hopseal[%ld]: ", local, (long)getpid());
	}
}

static const char *const level_names[] = {
	[LOG_LEVEL_INFO] = "info", [LOG_LEVEL_WARNING] = "warning", [LOG_LEVEL_ERROR] = "error"
};

static void key_add(struct log_line *l, const char *key)
{
	if (out.format == LOG_JSON) {
		buf_str(l->b, ",\"");
		buf_str(l->b, key);
		buf_str(l->b, "\":");
	} else {
		buf_octet(l->b, ' ');
		buf_str(l->b, key);
		buf_octet(l->b, '=');
	}
}

/* A field that does not fit is taken back; the line stays whole. */
static void field_end(struct log_line *l, size_t before)
{
	if (!buf_failed(l->b) && l->b->n <= LINE_OCTETS - LINE_TAIL)
		return;
	l->b->n = before;
	l->b->failed = false;
	out.cut = true;
}

static struct log_line begin(struct buf *b, enum log_level level, const char *event)
{
	struct log_line l = { .b = b, .level = level };
	struct timespec now;
	unsigned ms;
	char fraction[5];

	if (b->ceiling == 0)
		buf_init(b, LINE_OCTETS);
	buf_clear(l.b);
	stamp(&now);
	ms = (unsigned)(now.tv_nsec / 1000000);
	fraction[0] = '.';
	fraction[1] = (char)('0' + ms / 100 % 10);
	fraction[2] = (char)('0' + ms / 10 % 10);
	fraction[3] = (char)('0' + ms % 10);
	fraction[4] = 'Z';
	if (out.format == LOG_JSON) {
		buf_str(l.b, "{\"time\":\"");
		buf_str(l.b, out.stamp);
		buf_add(l.b, fraction, sizeof(fraction));
		buf_str(l.b, "\",\"level\":\"");
		buf_str(l.b, level_names[level]);
		buf_str(l.b, "\",\"process\":\"");
		buf_str(l.b, out.process);
		buf_str(l.b, "\",\"event\":\"");
		buf_str(l.b, event);
		buf_octet(l.b, '"');
		return l;
	}
	if (out.to != LOG_SYSLOG) {
		buf_str(l.b, out.stamp);
		buf_add(l.b, fraction, sizeof(fraction));
		buf_octet(l.b, ' ');
	}
	buf_str(l.b, out.process);
	buf_octet(l.b, ' ');
	buf_str(l.b, event);
	if (level != LOG_LEVEL_INFO)
		log_str(&l, "level", level_names[level]);
	return l;
}

struct log_line log_begin(enum log_level level, const char *event)
{
	out.cut = false;
	return begin(&out.line, level, event);
}

void log_text(struct log_line *l, const char *key, struct slice value)
{
	size_t before = l->b->n;

	if (value.n > LIMIT_LOG_VALUE)
		value.n = LIMIT_LOG_VALUE;
	key_add(l, key);
	if (out.format == LOG_JSON)
		json_string(l->b, value);
	else
		plain_string(l->b, value);
	field_end(l, before);
}

void log_str(struct log_line *l, const char *key, const char *value)
{
	if (value)
		log_text(l, key, slice_str(value));
}

void log_u64(struct log_line *l, const char *key, uint64_t value)
{
	size_t before = l->b->n;

	key_add(l, key);
	buf_u64(l->b, value);
	field_end(l, before);
}

void log_i64(struct log_line *l, const char *key, int64_t value)
{
	size_t before = l->b->n;

	key_add(l, key);
	if (value < 0)
		buf_octet(l->b, '-');
	buf_u64(l->b, value < 0 ? ~(uint64_t)value + 1 : (uint64_t)value);
	field_end(l, before);
}

void log_fault(struct log_line *l, const struct fault *f)
{
	char name[FAULT_NAME_OCTETS], reply[sizeof(f->text) + 32];

	fault_name(f->code, name);
	log_str(l, "fault", name);
	if (f->note[0])
		log_str(l, "note", f->note);
	if (f->basic == 0)
		return;
	snprintf(reply, sizeof(reply), "%d %s%s%s", f->basic, f->enhanced, f->enhanced[0] ? " " : "", f->text);
	log_str(l, "reply", reply);
}

/* What stands in front of a line for syslog. */
static struct slice syslog_head(enum log_level level, char room[96])
{
	/* Facility mail, severity of RFC 5424 6.2.1; <syslog.h> and the names of the configuration do not go together. */
	static const int priorities[] = {
		[LOG_LEVEL_INFO] = 2 * 8 + 6, [LOG_LEVEL_WARNING] = 2 * 8 + 4, [LOG_LEVEL_ERROR] = 2 * 8 + 3
	};
	int n = snprintf(room, 96, "<%d>%s", priorities[level], out.syslog_head);

	return slice_of(room, n < 0 ? 0 : (size_t)n);
}

static void write_line(struct log_line *l)
{
	char head[96];

	if (out.format == LOG_JSON)
		buf_octet(l->b, '}');
	buf_octet(l->b, '\n');
	sink_put(out.to == LOG_SYSLOG ? syslog_head(l->level, head) : SLICE_NONE, buf_get(l->b));
}

/* Lines that were lost are told of in their place: before the first that gets through again. */
static void tell_lost(void)
{
	struct log_line l;

	if (sink_pending() || !sink_lost())
		return;
	l = begin(&out.lost, LOG_LEVEL_WARNING, "log_lost");
	log_u64(&l, "count", sink_lost_take());
	write_line(&l);
}

void log_flush(void)
{
	sink_flush();
	tell_lost();
}

bool log_pending(void)
{
	return sink_pending() || sink_lost();
}

void log_end(struct log_line *l)
{
	if (out.cut)
		buf_str(l->b, out.format == LOG_JSON ? ",\"cut\":1" : " cut=1");
	if (log_pending())
		log_flush();
	write_line(l);
}

void log_note(enum log_level level, const char *event, const char *format, ...)
{
	struct log_line l = log_begin(level, event);
	char text[LIMIT_LOG_VALUE + 1];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (level == LOG_LEVEL_ERROR)
		snprintf(out.last_error, sizeof(out.last_error), "%.*s", (int)sizeof(out.last_error) - 1, text);
	log_str(&l, "text", text);
	log_end(&l);
}

const char *log_last_error(void)
{
	return out.last_error;
}
