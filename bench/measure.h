/* What the programs of the benchmarks begin with: a clock, and an end at the first that is not right. */
#ifndef MEASURE_H
#define MEASURE_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline double now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

/* Ends the program unless `holds`, with what was done and what errno says. */
static inline void check(int holds, const char *what)
{
	if (holds)
		return;
	perror(what);
	exit(1);
}

#endif
