/*
 * The client of the benchmark `neighbours`: how long IOASID_GET_INFO takes, call by call.
 *
 * Usage: latency FILE MILLISECONDS. For every line that it reads from stdin it makes calls for that long, one
 * each 100 µs at most, and prints the median, the 99th percentile and the longest in nanoseconds.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include "../include/ioasid.h"

enum { MOST = 1000000, PAUSE_US = 100 };

static double taken[MOST];

static double now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static int by_length(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void measure(int fd, double ns)
{
	double end = now_ns() + ns;
	int count = 0;

	do {
		struct ioasid_info info = { .size = sizeof info };
		double begin = now_ns();

		if (ioctl(fd, IOASID_GET_INFO, &info) != 0) {
			perror("GET_INFO");
			exit(1);
		}
		taken[count++] = now_ns() - begin;
		usleep(PAUSE_US);
	} while (count < MOST && now_ns() < end);
	qsort(taken, count, sizeof taken[0], by_length);
	printf("%.0f %.0f %.0f\n", taken[count / 2], taken[(long)count * 99 / 100], taken[count - 1]);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	int fd;

	if (argc != 3)
		return 2;
	fd = open(argv[1], O_RDWR);
	if (fd < 0) {
		perror(argv[1]);
		return 1;
	}
	for (int c; (c = getchar()) != EOF;)
		if (c == '\n')
			measure(fd, strtod(argv[2], 0) * 1e6);
	return 0;
}
