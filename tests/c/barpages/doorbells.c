/* Doorbells: whatever is stored last arrives, when and however fast it is stored. */
#include "barpages.h"

#include <pthread.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 300, THREADS = 3, ANSWERS = MEMORY + 2 * PAGE };

static uint32_t randomly(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

/* Waits for the answer to a doorbell. A minute is for ever. */
static void await(int n, uint32_t value)
{
	time_t end = time(NULL) + 60;

	while (*at(ANSWERS + 4 * n) != value)
		CHECK(time(NULL) < end);
}

/* Stores bursts of values, and waits for the last one's answer, with pauses in which the device goes idle. */
static void *rings(void *argument)
{
	int n = (int)(uintptr_t)argument;
	uint32_t state = n, value = 0;

	for (int round = 0; round < ROUNDS; round++) {
		for (uint32_t burst = 1 + randomly(&state) % 64; burst > 0; burst--)
			*at(DOORBELLS + 4 * n) = ++value;
		await(n, value);
		if (randomly(&state) % 4 == 0)
			usleep(randomly(&state) % 3000);
	}
	return NULL;
}

static void last(void)
{
	pthread_t all[THREADS];

	for (uintptr_t i = 0; i < THREADS; i++)
		CHECK(pthread_create(&all[i], NULL, rings, (void *)(5 * i)) == 0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(all[i], NULL) == 0);
	CHECK(*at(BACKWARDS) == 0);
}

/* While the device works they are memory: of many stores few stop the program. */
static void fast(void)
{
	uint32_t value = 0;
	long before = switches();

	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 10000; i++)
			*at(DOORBELLS) = ++value;
		await(0, value);
	}
	CHECK(switches() - before < 20000);
	CHECK(*at(BACKWARDS) == 0);
	CHECK(*at(RINGS) > 0);
}

/* What comes by the file and by the mapping is one doorbell. */
static void both(void)
{
	for (uint32_t value = 1; value < 200; value += 2) {
		uint32_t next = value + 1;

		*at(DOORBELLS + 8) = value;
		CHECK(pwrite(device, &next, 4, DOORBELLS + 8) == 4);
		await(2, next);
	}
	CHECK(*at(BACKWARDS) == 0);
}

const struct task doorbell_tasks[] = { { "last", last }, { "fast", fast }, { "both", both }, { NULL, NULL } };
