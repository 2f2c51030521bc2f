/*
 * The client of the benchmark `neighbours`: how long IOASID_GET_INFO takes, call by call.
 *
 * Usage: latency FILE MILLISECONDS SERVER. For every line that it reads from stdin it makes calls for that
 * long, one each 100 µs at most, and prints the median, the 99th percentile and the longest in nanoseconds.
 * What this process and the thread SERVER have waited for a processor meanwhile (schedstat in /proc) is not
 * counted: that is what else goes on in the machine.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "../include/ioasid.h"
#include "measure.h"

enum { MOST = 1000000, PAUSE_US = 100 };

static double taken[MOST];

static int schedstats[2];

static double waited_ns(void)
{
	double all = 0;

	for (int i = 0; i < 2; i++) {
		char text[128] = "";
		unsigned long long run, waited;

		if (pread(schedstats[i], text, sizeof text - 1, 0) <= 0)
			continue;
		if (sscanf(text, "%llu %llu", &run, &waited) == 2)
			all += waited;
	}
	return all;
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
		double waited = waited_ns(), begin = now_ns(), length;

		if (ioctl(fd, IOASID_GET_INFO, &info) != 0) {
			perror("GET_INFO");
			exit(1);
		}
		length = now_ns() - begin;
		length -= waited_ns() - waited;
		taken[count++] = length > 0 ? length : 0;
		usleep(PAUSE_US);
	} while (count < MOST && now_ns() < end);
	qsort(taken, count, sizeof taken[0], by_length);
	printf("%.0f %.0f %.0f\n", taken[count / 2], taken[(long)count * 99 / 100], taken[count - 1]);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	char path[64];
	int fd;

	if (argc != 4)
		return 2;
	snprintf(path, sizeof path, "/proc/%s/schedstat", argv[3]);
	schedstats[0] = open(path, O_RDONLY);
	schedstats[1] = open("/proc/thread-self/schedstat", O_RDONLY);
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
