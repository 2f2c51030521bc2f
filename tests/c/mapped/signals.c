/* Signals go to the program as if nobody traced it: its own faults, those of others, stops. */
#include "mapped.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static sigjmp_buf back;
static volatile int caught, code, ticks;
static void *volatile where;

static void faulted(int signal, siginfo_t *info, void *context)
{
	(void)context;
	caught = signal;
	where = info->si_addr;
	code = info->si_code;
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

/* movdir64b (%rcx), %rdx */
#define MOVDIR64B(from, to) \
	asm volatile(".byte 0x66, 0x0f, 0x38, 0xf8, 0x11" ::"c"(from), "d"(to) : "memory")
/* enqcmd (%rcx), %rdx */
#define ENQCMD(from, to) \
	asm volatile(".byte 0xf2, 0x0f, 0x38, 0xf8, 0x11" ::"c"(from), "d"(to) : "memory", "cc")
#define CAUGHT(access)                       \
	do {                                 \
		caught = 0;                  \
		if (sigsetjmp(back, 1) == 0) \
			access;              \
	} while (0)

static void submits_badly(int how)
{
	static uint8_t source[64];

	if (how == 0)
		MOVDIR64B(source, bar + PORTAL + 8);
	else
		ENQCMD(source, bar + PORTAL + 8);
}

/* Stores of 64 bytes have the faults that they have where the processor makes them, and no others. */
static void submissions(void)
{
	char *nothing = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	static uint8_t source[64], target[64] __attribute__((aligned(64)));
	struct sigaction action;
	struct access seen[4];

	handle(SIGSEGV, faulted);
	handle(SIGBUS, faulted);
	handle(SIGILL, faulted);
	CAUGHT(MOVDIR64B(source, bar + PORTAL));
	CHECK(caught == 0);
	CAUGHT(ENQCMD(source, bar + PORTAL));
	CHECK(caught == 0 && sigaction(SIGSEGV, NULL, &action) == 0 && action.sa_sigaction == faulted);
	forget();
	for (int how = 0; how < 2; how++) {
		CAUGHT(submits_badly(how));
		CHECK(caught == SIGSEGV && where == NULL && code == SI_KERNEL);
	}
	CAUGHT(MOVDIR64B(nothing + 8, bar + PORTAL));
	CHECK(caught == SIGSEGV && where == nothing + 8 && code == SEGV_ACCERR);
	CAUGHT(ENQCMD(nothing + 8, bar + PORTAL));
	CHECK(caught == SIGSEGV && where == nothing + 8 && code == SEGV_ACCERR);
	CHECK(munmap(nothing, PAGE) == 0);
	CAUGHT(ENQCMD(nothing + 8, bar + PORTAL));
	CHECK(caught == SIGSEGV && where == nothing + 8 && code == SEGV_MAPERR);
	CHECK(accesses(seen, 4) == 0);
	/* From the device to memory, which nobody makes for it. */
	CAUGHT(MOVDIR64B(bar + 128, target));
	CHECK(caught == SIGBUS || caught == SIGILL);
	CHECK(target[0] == 0 && accesses(seen, 4) == 0);
	/* Whoever blocks or ignores the signal dies by it. */
	for (int how = 0; how < 4; how++) {
		pid_t child = fork();
		sigset_t all;
		int status;

		if (child == 0) {
			sigfillset(&all);
			if (how < 2)
				CHECK(sigprocmask(SIG_SETMASK, &all, NULL) == 0);
			else
				CHECK(signal(SIGSEGV, SIG_IGN) != SIG_ERR);
			submits_badly(how & 1);
			_exit(1);
		}
		CHECK(waitpid(child, &status, 0) == child);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	}
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
	{ "submissions", submissions }, { NULL, NULL },
};
