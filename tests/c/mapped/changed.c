/* Between two accesses the program does instructions alone, and still something else is there. */
#define _GNU_SOURCE
#include "mapped.h"

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 20, STACK = 65536 };

typedef void function(volatile void *at, uint32_t value);

/* Code that the program writes itself at `written` is what is executed at `code`, each time. */
static void rewrite(uint8_t *written, uint8_t *code)
{
	static const uint8_t bytes[][3] = {
		{ 0x89, 0x37, 0xc3 }, /* mov %esi, (%rdi); ret */
		{ 0xf7, 0x17, 0xc3 }, /* notl (%rdi); ret */
		{ 0x01, 0x37, 0xc3 }, /* add %esi, (%rdi); ret */
	};
	volatile uint32_t *word = (volatile uint32_t *)bar;
	uint32_t expected = 0;
	function *run;

	memcpy(&run, &code, sizeof run);
	*word = 0;
	for (uint32_t i = 0; i < ROUNDS; i++) {
		memcpy(written, bytes[i % 3], 3);
		atomic_signal_fence(memory_order_seq_cst);
		for (uint32_t j = 0; j < 4; j++) {
			run(word, i);
			expected = i % 3 == 0 ? i : i % 3 == 1 ? ~expected : expected + i;
			CHECK(*word == expected);
		}
	}
}

/* In place, and by another mapping of the same memory. */
static void rewritten(void)
{
	const int all = PROT_READ | PROT_WRITE | PROT_EXEC;
	int memory = memfd_create("code", 0);
	uint8_t *one = mmap(NULL, PAGE, all, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *two[2];

	CHECK(one != MAP_FAILED && memory >= 0 && ftruncate(memory, PAGE) == 0);
	rewrite(one, one);
	two[0] = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	two[1] = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, memory, 0);
	CHECK(two[0] != MAP_FAILED && two[1] != MAP_FAILED);
	rewrite(two[0], two[1]);
}

static atomic_int step;

/* In a process of its own, which has the same memory: another page of the BAR, then memory. */
static int replace(void *unused)
{
	const int both = PROT_READ | PROT_WRITE;
	void *at = (void *)(bar + PAGE);

	(void)unused;
	usleep(2000);
	CHECK(mmap(at, PAGE, both, MAP_SHARED | MAP_FIXED, device, 2 * PAGE) == at);
	step = 1;
	while (step == 1)
		usleep(1000);
	CHECK(mmap(at, PAGE, both, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at);
	step = 3;
	_exit(0);
}

static uint32_t at_page(int page)
{
	uint32_t value;

	peek(page * PAGE, &value, 4);
	return value;
}

/* A process that shares the memory maps something else there: that is what the next access reaches. */
static void replaced(void)
{
	volatile uint32_t *word = (volatile uint32_t *)(bar + PAGE);
	uint8_t *stack = malloc(STACK);
	pid_t child;

	CHECK(stack != NULL);
	*word = 1;
	child = clone(replace, stack + STACK, CLONE_VM | SIGCHLD, NULL);
	CHECK(child > 0);
	while (step == 0)
		*word = 1;
	*word = 2;
	CHECK(*word == 2 && at_page(1) == 1 && at_page(2) == 2);
	step = 2;
	while (step == 2)
		*word = 3;
	*word = 4;
	CHECK(*word == 4 && at_page(1) == 1 && at_page(2) < 4);
	CHECK(waitpid(child, NULL, 0) == child);
}

const struct task change_tasks[] = { { "rewritten", rewritten }, { "replaced", replaced }, { NULL, NULL } };
