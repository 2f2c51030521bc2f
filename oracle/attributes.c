/* Lines about files that are named by their paths, such as those of sysfs. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "executor.h"

/* More than an attribute has. */
static uint8_t bytes[2 * PAGE];

/* show PATH: all that a read has. */
static void do_show(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes));

	print_result(got);
	if (got > 0) {
		fputc(' ', out);
		print_hex(bytes, got);
	}
	if (fd >= 0)
		close(fd);
}

/* What write(2) returns, or -1. */
static ssize_t store(const char *path, const char *hex)
{
	size_t length = from_hex(hex, bytes, sizeof(bytes));
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t put = fd < 0 ? -1 : write(fd, bytes, length);
	int number = errno;

	if (fd >= 0)
		close(fd);
	errno = number;
	return put;
}

/* list PATH: what a folder has, in the order of the names. */
static void do_list(const char *path)
{
	struct dirent **entries;
	int count = scandir(path, &entries, NULL, alphasort);

	print_result(count < 0 ? -1 : 0);
	for (int n = 0; n < count; n++) {
		if (entries[n]->d_name[0] != '.')
			fprintf(out, " %s", entries[n]->d_name);
		free(entries[n]);
	}
	if (count >= 0)
		free(entries);
}

#define IS(verb, least) (!strcmp(word[0], verb) && count >= (least))

bool attribute_line(char **word, int count)
{
	if (IS("show", 2)) {
		do_show(word[1]);
	} else if (IS("store", 3)) {
		print_result(store(word[1], word[2]));
	} else if (IS("attempt", 3)) {
		store(word[1], word[2]);
		fputc('0', out);
	} else if (IS("list", 2)) {
		do_list(word[1]);
	} else {
		return false;
	}
	return true;
}
