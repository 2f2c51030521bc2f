/* Signals go to the program as if nobody traced it: its own faults, those of others, stops. */
#include "mapped.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static sigjmp_buf back;
static volatile int caught, ticks;
static void *volatile where;

static void faulted(int signal, siginfo_t *info, void *context)
{
	(void)context;
	caught = signal;
	where = info->si_addr;
	siglongjmp(back, 1);
}

static void ticked(int signal)
{
	(void)signal;
	ticks++;
}

static void handle(int signal, void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };

	CHECK(sigaction(signal, &action, NULL) == 0);
}

/* What is not the device's fault is the program's: its handlers get signal and address. */
static void own_faults(void)
{
	char *nothing = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	handle(SIGSEGV, faulted);
	handle(SIGBUS, faulted);
	handle(SIGILL, faulted);
	if (sigsetjmp(back, 1) == 0)
		*(volatile char *)(nothing + 5) = 1;
	CHECK(caught == SIGSEGV && where == nothing + 5);
	/* The other operand of an instruction on the device. */
	if (sigsetjmp(back, 1) == 0)
		asm volatile("movsl" ::"S"(bar), "D"(nothing + 8) : "memory");
	CHECK(caught == SIGSEGV && where == nothing + 8);
	if (sigsetjmp(back, 1) == 0)
		asm volatile("ud2");
	CHECK(caught == SIGILL);
}

/* Memory decoding is off: the mapping has nothing behind it. */
static void decode_off(void)
{
	uint16_t command = 0;
	volatile uint32_t *word = (volatile uint32_t *)bar;

	*word = 5;
	handle(SIGBUS, faulted);
	CHECK(pwrite(device, &command, 2, (7ll << 40) + 4) == 2);
	if (sigsetjmp(back, 1) == 0)
		*word = 6;
	CHECK(caught == SIGBUS && where == (void *)word);
	command = 6;
	CHECK(pwrite(device, &command, 2, (7ll << 40) + 4) == 2);
	CHECK(*word == 5);
}

/* A timer interrupts accesses of every kind. */
static void timers(void)
{
	struct itimerval often = { { 0, 500 }, { 0, 500 } };
	volatile uint32_t *word = (volatile uint32_t *)bar;

	signal(SIGALRM, ticked);
	CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
	for (uint32_t i = 0; i < 300; i++) {
		*word = i;
		asm volatile("lock addl %1, (%0)" ::"r"(word), "r"(1) : "memory");
		CHECK(*word == i + 1);
	}
	CHECK(ticks > 0);
}

/* A stopped program stays stopped, and goes on. */
static void stops(void)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		for (uint32_t i = 0;; i++)
			*(volatile uint32_t *)bar = i;
	}
	for (int i = 0; i < 5; i++) {
		usleep(2000);
		CHECK(kill(child, SIGSTOP) == 0);
		CHECK(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status));
		CHECK(WSTOPSIG(status) == SIGSTOP);
		CHECK(kill(child, SIGCONT) == 0);
		CHECK(waitpid(child, &status, WCONTINUED) == child && WIFCONTINUED(status));
	}
	CHECK(kill(child, SIGKILL) == 0);
	CHECK(waitpid(child, &status, 0) == child && WTERMSIG(status) == SIGKILL);
}

const struct task signal_tasks[] = {
	{ "own_faults", own_faults }, { "decode_off", decode_off }, { "timers", timers }, { "stops", stops },
	{ NULL, NULL },
};
