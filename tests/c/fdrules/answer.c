/* What a command answers, line by line. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fdrules.h"

void put(struct answer *answer, const char *format, ...)
{
	for (;;) {
		size_t room = answer->capacity - answer->length;
		va_list args;
		va_start(args, format);
		int n = vsnprintf(answer->text + answer->length, room, format, args);
		va_end(args);
		if (n >= 0 && (size_t)n < room) {
			answer->length += (size_t)n;
			return;
		}
		answer->capacity = answer->capacity * 2 + (size_t)n + 256;
		answer->text = realloc(answer->text, answer->capacity);
		if (answer->text == NULL)
			abort();
	}
}

void start_over(struct answer *answer)
{
	answer->length = 0;
	put(answer, "%s", "");
}

void ok(struct answer *answer)
{
	put(answer, "ok");
}

void bad(struct answer *answer, const char *what)
{
	start_over(answer);
	put(answer, "bad %s", what);
}

/* The answer of a call that failed with `error`. */
void failed(struct answer *answer, int error)
{
	const char *name = strerrorname_np(error);
	start_over(answer);
	if (name != NULL)
		put(answer, "err %s", name);
	else
		put(answer, "err %d", error);
}

/* The answer of a system call that returned `result`: `err`, or `ok RESULT`. */
void returned(struct answer *answer, long long result)
{
	if (result < 0)
		failed(answer, errno);
	else
		put(answer, "ok %lld", result);
}

/* The answer of a system call that has nothing to say when it succeeds. */
void done(struct answer *answer, int result)
{
	if (result < 0)
		failed(answer, errno);
	else
		ok(answer);
}

void put_hex(struct answer *answer, const unsigned char *bytes, size_t length)
{
	static const char digits[] = "0123456789abcdef";
	put(answer, " ");
	while (answer->capacity - answer->length < 2 * length + 1) {
		answer->capacity = answer->capacity * 2 + 2 * length;
		answer->text = realloc(answer->text, answer->capacity);
		if (answer->text == NULL)
			abort();
	}
	for (size_t i = 0; i < length; i++) {
		answer->text[answer->length++] = digits[bytes[i] >> 4];
		answer->text[answer->length++] = digits[bytes[i] & 15];
	}
	answer->text[answer->length] = 0;
}

/* Reads one line, without what follows it. Returns its length, or -1 at the end of the input. */
ssize_t read_line(int fd, struct answer *line)
{
	start_over(line);
	for (;;) {
		char c;
		ssize_t n = read(fd, &c, 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		if (c == '\n')
			return (ssize_t)line->length;
		if (line->length + 2 > line->capacity) {
			line->capacity = line->capacity * 2 + 4096;
			line->text = realloc(line->text, line->capacity);
			if (line->text == NULL)
				abort();
		}
		line->text[line->length++] = c;
		line->text[line->length] = 0;
	}
}

int write_all(int fd, const char *text, size_t length)
{
	while (length > 0) {
		ssize_t n = write(fd, text, length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		text += n;
		length -= (size_t)n;
	}
	return 0;
}
