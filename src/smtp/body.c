#include "smtp/body.h"

enum reader_state {
	AT_START,   /* of a line */
	IN_LINE,
	AT_CR,      /* CR taken, held back until what follows is known */
	AT_DOT,     /* a dot at the start of a line taken */
	AT_DOT_CR   /* the same and a CR */
};

/* Wide enough for vectors, a constant so that the compiler uses them. */
enum { STRIDE = 128 };

void body_reader_init(struct body_reader *r)
{
	*r = (struct body_reader){ .state = AT_START };
}

void body_reader_init_framed(struct body_reader *r)
{
	*r = (struct body_reader){ .state = AT_START, .framed = true, .dots = true };
}

static bool odd(unsigned char before, unsigned char c)
{
	return (c == '\n') != (before == '\r') || c == '\0' || (c == '.' && before == '\n');
}

/*
 * Index of the first octet that is not plain content behind the one before it (a NUL, CR and LF that are no pair, a dot at the
 * start of a line), or s.n. The first octet is taken to be in order.
 */
static size_t first_odd(struct slice s)
{
	size_t i = 1;

	while (i < s.n) {
		if (s.n - i >= STRIDE) {
			const unsigned char *p = s.at + i, *before = p - 1;
			unsigned char any = 0;

			for (size_t j = 0; j < STRIDE; j++)
				any |= (unsigned char)(((p[j] == '\n') ^ (before[j] == '\r')) | (p[j] == '\0') |
				    ((p[j] == '.') & (before[j] == '\n')));
			if (!any) {
				i += STRIDE;
				continue;
			}
		}
		for (size_t end = s.n - i < STRIDE ? s.n : i + STRIDE; i < end; i++)
			if (odd(s.at[i - 1], s.at[i]))
				return i;
	}
	return s.n;
}

/* Plain content from the front of *in, which begins at the start of a line or in one. */
static struct slice take_plain(struct body_reader *r, struct slice *in)
{
	unsigned char c = in->at[0];
	struct slice run = SLICE_NONE;
	size_t n;

	if (c == '\n' || c == '\0' || (c == '.' && r->state == AT_START && !r->framed))
		return SLICE_NONE;
	n = first_odd(*in);
	if (in->at[n - 1] == '\r')
		n--; /* its LF has not come, or never will */
	(void)slice_take(in, n, &run);
	if (n)
		r->state = run.at[n - 1] == '\n' ? AT_START : IN_LINE;
	return run;
}

static void spoiled(struct body_reader *r, enum fault_code code)
{
	fault_set(&r->fault, code, (size_t)r->octets);
}

/* One octet that is no plain content, or that stands behind a CR or dot held back. True: the content has ended. */
static bool take_octet(struct body_reader *r, unsigned char c)
{
	bool cr = r->state == AT_CR || r->state == AT_DOT_CR;

	if (c == '\n' && r->state == AT_DOT_CR)
		return true;
	if (cr && c != '\n')
		spoiled(r, FAULT_BARE_CR);
	if (!cr && c == '\n')
		spoiled(r, FAULT_BARE_LF);
	if (c == '\0')
		spoiled(r, FAULT_NUL);
	if (c == '\r')
		r->state = r->state == AT_DOT ? AT_DOT_CR : AT_CR;
	else if (c == '\n' && cr)
		r->state = AT_START;
	else if (c == '.' && r->state == AT_START && !r->framed)
		r->state = AT_DOT;
	else
		r->state = IN_LINE;
	return false;
}

static void step(struct slice *in, size_t n)
{
	in->at += n;
	in->n -= n;
}

/* The content is refused: find its real end, give nothing out. */
static enum body_status swallow(struct body_reader *r, struct slice *in)
{
	while (in->n) {
		size_t n = r->state == IN_LINE ? slice_find(*in, '\r') : 0;

		if (n == 0) {
			bool end = take_octet(r, in->at[0]);

			step(in, 1);
			if (end)
				return BODY_END;
		} else {
			step(in, n);
		}
	}
	return BODY_MORE;
}

enum body_status body_read(struct body_reader *r, struct slice *in, struct slice *run_out)
{
	while (in->n && r->fault.code == FAULT_NONE) {
		unsigned char c = in->at[0];
		struct slice run = SLICE_NONE;
		bool end;

		if (r->state == AT_CR && c == '\n') {
			step(in, 1);
			r->state = AT_START;
			run = S("\r\n");
		} else if (r->state == AT_DOT && c != '\r') {
			/* the dot in front goes; what follows is content, a second dot as well */
			r->state = IN_LINE;
			r->dots |= c == '.';
			run = take_plain(r, in);
		} else if (r->state == AT_START || r->state == IN_LINE) {
			run = take_plain(r, in);
		}
		if (run.n) {
			r->octets += run.n;
			*run_out = run;
			return BODY_RUN;
		}
		end = take_octet(r, c);
		step(in, 1);
		if (end)
			return BODY_END;
	}
	return swallow(r, in);
}

enum body_status body_read_end(struct body_reader *r, struct slice *run_out)
{
	if (r->state == AT_CR)
		spoiled(r, FAULT_BARE_CR);
	if (r->state != IN_LINE || r->fault.code != FAULT_NONE)
		return BODY_END;
	r->state = AT_START;
	r->octets += 2;
	*run_out = S("\r\n");
	return BODY_RUN;
}

enum writer_state {
	LINE_START,
	LINE_INSIDE,
	LINE_STUFFED /* the dot that goes in front of the next octet, a dot, is written */
};

void body_writer_init(struct body_writer *w)
{
	*w = (struct body_writer){ .state = LINE_START };
}

/* Index of the first dot behind a LF, or s.n. */
static size_t leading_dot(struct slice s)
{
	size_t i = 1;

	while (i < s.n) {
		if (s.n - i >= STRIDE) {
			const unsigned char *p = s.at + i, *before = p - 1;
			unsigned char any = 0;

			for (size_t j = 0; j < STRIDE; j++)
				any |= (unsigned char)((p[j] == '.') & (before[j] == '\n'));
			if (!any) {
				i += STRIDE;
				continue;
			}
		}
		for (size_t end = s.n - i < STRIDE ? s.n : i + STRIDE; i < end; i++)
			if (s.at[i] == '.' && s.at[i - 1] == '\n')
				return i;
	}
	return s.n;
}

bool body_write(struct body_writer *w, struct slice *in, struct slice *run_out)
{
	size_t n;

	if (in->n == 0)
		return false;
	if (w->state == LINE_START && in->at[0] == '.') {
		w->state = LINE_STUFFED;
		*run_out = slice_of(in->at, 1);
		return true;
	}
	n = leading_dot(*in);
	if (n < in->n) {
		/* the run takes the dot along, the next one begins with it: that stuffs it */
		w->state = LINE_STUFFED;
		*run_out = slice_of(in->at, n + 1);
	} else {
		w->state = in->at[n - 1] == '\n' ? LINE_START : LINE_INSIDE;
		*run_out = *in;
	}
	step(in, n);
	return true;
}

bool body_write_dotless(struct body_writer *w, struct slice *in, struct slice *run_out)
{
	if (in->n == 0)
		return false;
	w->state = in->at[in->n - 1] == '\n' ? LINE_START : LINE_INSIDE;
	*run_out = *in;
	step(in, in->n);
	return true;
}

struct slice body_finish(struct body_writer *w)
{
	return w->state == LINE_START ? S(".\r\n") : S("\r\n.\r\n");
}
