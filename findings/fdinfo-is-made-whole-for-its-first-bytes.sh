#!/bin/sh
# The first bytes of /proc/PID/fdinfo/FD ("pos", "flags", "mnt_id", "ino") take as long to read as all of that
# text, and how long that is the file decides: of an inotify with 20,000 watches they take thousands of times
# as long as of one with a single watch.
#
# A good guess is that these few lines, which each descriptor has, cost a few microseconds: they are what
# tells an O_PATH descriptor, an append mode or the mount of another process's file, and a small buffer is
# enough for them. But the kernel makes the whole text before it hands out its first byte, in a buffer that it
# doubles, beginning anew each time, until everything fits; and the file adds what it likes to the text. An
# inotify adds a line for each watch, with the handle of what is watched. So whoever looks at a descriptor of
# somebody else's in fdinfo lets him choose how long that takes.
#
# Seen with Linux 6.18, beside other work: 64 bytes take 4 us with one watch and 84 ms with 20,000, and all of
# the 2.4 MB then 98 ms. Prints the medians of nine reads; fails when those of many watches take less than 20
# times as long, or less than a quarter of what all of the text takes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >watches.c <<'C'
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define MANY 20000
#define READS 9

static void check(int holds, const char *what)
{
	if (!holds) {
		perror(what);
		exit(1);
	}
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* An inotify that watches `count` files, which it makes. */
static int watching(int count)
{
	int set = inotify_init1(0);

	for (int i = 0; i < count; i++) {
		char name[32];
		int file;

		snprintf(name, sizeof name, "file%d", i);
		file = open(name, O_CREAT | O_RDONLY, 0600);
		check(file >= 0 && close(file) == 0, name);
		check(inotify_add_watch(set, name, IN_MODIFY) >= 0, "fs.inotify.max_user_watches");
	}
	return set;
}

/* The median of microseconds that the first `size` bytes of its fdinfo take; *length: how many there are. */
static double reading(int fd, size_t size, size_t *length)
{
	static char text[1 << 24];
	double took[READS];
	char path[64];

	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
	for (int i = 0; i < READS; i++) {
		struct timespec begin, end;
		int info = open(path, O_RDONLY);
		ssize_t bytes;

		check(info >= 0, path);
		*length = 0;
		clock_gettime(CLOCK_MONOTONIC, &begin);
		while (*length < size && (bytes = read(info, text + *length, size - *length)) > 0)
			*length += bytes;
		clock_gettime(CLOCK_MONOTONIC, &end);
		close(info);
		took[i] = (end.tv_sec - begin.tv_sec) * 1e6 + (end.tv_nsec - begin.tv_nsec) / 1e3;
	}
	qsort(took, READS, sizeof took[0], compare);
	return took[READS / 2];
}

int main(void)
{
	int one = watching(1), many = watching(MANY);
	size_t length;
	struct utsname name;
	double of_one = reading(one, 64, &length), of_many = reading(many, 64, &length);
	double all = reading(many, 1 << 24, &length);

	uname(&name);
	printf("Linux %s: 64 bytes of fdinfo with 1 watch %.0f us, with %d watches %.0f us,\n", name.release,
	       of_one, MANY, of_many);
	printf("all of those %zu bytes %.0f us\n", length, all);
	return of_many > 20 * of_one && of_many > all / 4 ? 0 : 1;
}
C
cc -O2 -Wall -Wextra -o watches watches.c
./watches
