/*
 * Stores ever larger numbers into the page of file 3, as fast as it can. When the page is taken away, it says
 * in the page of file 4 how often that has been (word 0) and what it has stored last (word 1), and goes on
 * when the page is there again (word 2 says as many); or ends, when it is to (word 3).
 */
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

static volatile uint32_t number;
static volatile uint32_t *page;
static _Atomic uint32_t *told;

static void taken(int signal)
{
	(void)signal;
	told[1] = number - 1;
	uint32_t times = ++told[0];
	while (told[2] < times)
		usleep(10);
	if (told[3] != 0)
		_exit(0);
}

int main(void)
{
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, 3, 0);
	told = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, 4, 0);
	CHECK(page != MAP_FAILED && told != MAP_FAILED);
	signal(SIGBUS, taken);
	for (number = 1;; number++)
		*page = number;
}
