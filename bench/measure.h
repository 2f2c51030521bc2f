/* What the programs of the benchmarks begin with: clocks, and an end at the first that is not right. */
#ifndef MEASURE_H
#define MEASURE_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline double clock_ns(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static inline double now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

/* Time that this process had a processor: for what waits for nobody. */
static inline double cpu_ns(void)
{
	return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
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
