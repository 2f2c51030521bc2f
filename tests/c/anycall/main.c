/*
 * Usage: anycall FOLDER. For each line on stdin, `SEED PROCESSES ACTS`, that many processes make that many
 * random acts each (anycall.h), and one of three is killed in the middle. When all have ended prints, for
 * each call of the table, how many there were and how many succeeded, and a line `done`.
 */
#define _GNU_SOURCE
#include "anycall.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_CALLS = 128 };

/* Shared with the processes, which add to it. */
static struct tally {
	unsigned long done, made;
} *tally;

/* Every kind of file is there before the first act. */
static void furnish(void)
{
	for (int round = 0; round < 4; round++)
		for (int kind = 0; kind < KINDS; kind++)
			keep(kind, open_one(kind));
}

static void count(void)
{
	for (int i = 0; calls[i].name != NULL; i++) {
		__atomic_add_fetch(&tally[i].done, calls[i].done, __ATOMIC_RELAXED);
		__atomic_add_fetch(&tally[i].made, calls[i].made, __ATOMIC_RELAXED);
		calls[i].done = calls[i].made = 0;
	}
}

static void child(uint64_t seed, long acts)
{
	long end = acts;

	seed_dice(seed);
	furnish();
	if (one_in(3))
		end = below(acts);
	for (long i = 0; i < end; i++) {
		act();
		if (i % 64 == 0)
			count();
	}
	count();
	if (end < acts)
		raise(SIGKILL);
	_exit(0);
}

int main(int argc, char **argv)
{
	unsigned long long seed;
	long processes, acts;

	char server[16];

	if (argc != 2)
		return 2;
	snprintf(server, sizeof server, "%d", getppid());
	setenv("IOASID_SERVER", server, 1);
	start_pool(argv[1]);
	tally = mmap(NULL, sizeof *tally * MOST_CALLS, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	while (scanf("%llu %ld %ld", &seed, &processes, &acts) == 3) {
		for (long i = 0; i < processes; i++)
			if (fork() == 0)
				child(seed * 1000 + i, acts);
		while (wait(NULL) > 0)
			;
		for (int i = 0; calls[i].name != NULL; i++)
			printf("%s: %lu of %lu\n", calls[i].name, tally[i].done, tally[i].made);
		puts("done");
		fflush(stdout);
	}
	return 0;
}
