/* Accesses change nothing of the signals that they raise, whatever the program has set for them. */
#define _GNU_SOURCE
#include "mapped.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static const int raised[] = { SIGBUS, SIGILL };
static volatile int caught;

static void notes(int signal)
{
	caught = signal;
}

/* One of each kind that raises SIGBUS, and one that may raise SIGILL. */
static void access_all(void)
{
	static uint8_t source[64];
	static uint32_t value;
	volatile uint32_t *word = (volatile uint32_t *)(bar + 64);

	*word = ++value;
	CHECK(*word == value);
	asm volatile("lock addl %1, (%0)" ::"r"(word), "r"(2) : "memory");
	CHECK(*word == value + 2);
	/* movdir64b (%rcx), %rdx */
	asm volatile(".byte 0x66, 0x0f, 0x38, 0xf8, 0x11" ::"c"(source), "d"(bar + PORTAL) : "memory");
}

static void set_mask(int how, const sigset_t *set)
{
	CHECK(pthread_sigmask(how, set, NULL) == 0);
}

/* Accesses with this mask leave it, bit by bit, and the actions. */
static void with_mask(const sigset_t *set)
{
	sigset_t before, after;
	struct sigaction was[2], is[2];

	set_mask(SIG_SETMASK, set);
	set_mask(SIG_SETMASK, NULL);
	CHECK(pthread_sigmask(SIG_SETMASK, NULL, &before) == 0);
	for (int i = 0; i < 2; i++)
		CHECK(sigaction(raised[i], NULL, &was[i]) == 0);
	for (int i = 0; i < 3; i++)
		access_all();
	CHECK(pthread_sigmask(SIG_SETMASK, NULL, &after) == 0);
	CHECK(memcmp(&before, &after, 8) == 0);
	for (int i = 0; i < 2; i++) {
		CHECK(sigaction(raised[i], NULL, &is[i]) == 0);
		CHECK(is[i].sa_handler == was[i].sa_handler && is[i].sa_flags == was[i].sa_flags);
		CHECK(memcmp(&is[i].sa_mask, &was[i].sa_mask, 8) == 0);
	}
}

static void with_all_masks(void)
{
	sigset_t set;

	sigemptyset(&set);
	with_mask(&set);
	for (int i = 0; i < 2; i++) {
		sigemptyset(&set);
		sigaddset(&set, raised[i]);
		with_mask(&set);
	}
	sigfillset(&set);
	with_mask(&set);
	for (int i = 0; i < 2; i++) {
		sigdelset(&set, raised[i]);
		with_mask(&set);
	}
	sigemptyset(&set);
	set_mask(SIG_SETMASK, &set);
}

static void set_actions(void (*handler)(int), int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags };

	sigaddset(&action.sa_mask, SIGUSR1);
	for (int i = 0; i < 2; i++)
		CHECK(sigaction(raised[i], &action, NULL) == 0);
}

/* Signals with the default action are blocked or not, and stay so. */
static void blocked(void)
{
	struct sigaction action;

	with_all_masks();
	CHECK(sigaction(SIGBUS, NULL, &action) == 0 && action.sa_handler == SIG_DFL && action.sa_flags == 0);
	/* What is the default action kills. */
	for (int i = 0; i < 2; i++) {
		int status;
		pid_t child = fork();

		if (child == 0) {
			access_all();
			raise(raised[i]);
			_exit(1);
		}
		CHECK(waitpid(child, &status, 0) == child);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == raised[i]);
	}
}

/* They are ignored, and stay so. A program that it becomes ignores them too. */
static void ignored(void)
{
	int status;
	pid_t child;

	set_actions(SIG_IGN, 0);
	with_all_masks();
	access_all();
	for (int i = 0; i < 2; i++)
		CHECK(raise(raised[i]) == 0);
	child = fork();
	if (child == 0) {
		access_all();
		execl("/bin/sh", "sh", "-c", "kill -BUS $$; kill -ILL $$; exit 7", (char *)NULL);
	}
	CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

/* A handler that is set after the mapping is kept, and called for what is not the device's. */
static void handlers(void)
{
	struct sigaction action = { .sa_handler = notes, .sa_flags = SA_RESTART }, old;

	sigaddset(&action.sa_mask, SIGUSR2);
	for (int i = 0; i < 2; i++) {
		CHECK(sigaction(raised[i], &action, &old) == 0 && old.sa_handler == SIG_DFL);
		caught = 0;
		CHECK(raise(raised[i]) == 0 && caught == raised[i]);
	}
	with_all_masks();
	for (int i = 0; i < 2; i++) {
		caught = 0;
		CHECK(raise(raised[i]) == 0 && caught == raised[i]);
		CHECK(sigaction(raised[i], NULL, &old) == 0);
		CHECK(old.sa_handler == notes && (old.sa_flags & SA_RESTART) != 0);
		CHECK(sigismember(&old.sa_mask, SIGUSR2) == 1);
	}
	set_actions(SIG_DFL, 0);
	with_all_masks();
	set_actions(SIG_IGN, 0);
	with_all_masks();
}

/* A handler for once is called once. */
static void once(void)
{
	int status;
	pid_t child;

	set_actions(notes, SA_RESETHAND);
	with_all_masks();
	child = fork();
	if (child == 0) {
		struct sigaction old;

		CHECK(raise(SIGBUS) == 0 && caught == SIGBUS);
		CHECK(sigaction(SIGBUS, NULL, &old) == 0 && old.sa_handler == SIG_DFL);
		with_all_masks();
		raise(SIGBUS);
		_exit(1);
	}
	CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
}

/* Signals that wait, for the thread or for the process, go on to wait; sigwait and signalfd get them. */
static void waiting(void)
{
	sigset_t set, pending;

	for (int i = 0; i < 2; i++) {
		struct signalfd_siginfo info;
		siginfo_t got;
		int fd, number;

		sigemptyset(&set);
		sigaddset(&set, raised[i]);
		set_mask(SIG_SETMASK, &set);
		access_all();
		CHECK(syscall(SYS_tgkill, getpid(), gettid(), raised[i]) == 0);
		access_all();
		CHECK(sigpending(&pending) == 0 && sigismember(&pending, raised[i]) == 1);
		CHECK(sigwaitinfo(&set, &got) == raised[i]);
		CHECK(got.si_code == SI_USER && got.si_pid == getpid());
		CHECK(sigqueue(getpid(), raised[i], (union sigval){ .sival_int = 77 }) == 0);
		access_all();
		CHECK(sigwaitinfo(&set, &got) == raised[i] && got.si_value.sival_int == 77);
		fd = signalfd(-1, &set, SFD_NONBLOCK);
		CHECK(fd >= 0);
		access_all();
		CHECK(read(fd, &info, sizeof(info)) == -1 && errno == EAGAIN);
		CHECK(raise(raised[i]) == 0);
		access_all();
		CHECK(read(fd, &info, sizeof(info)) == sizeof(info) && (int)info.ssi_signo == raised[i]);
		access_all();
		CHECK(kill(getpid(), raised[i]) == 0);
		access_all();
		CHECK(sigwait(&set, &number) == 0 && number == raised[i]);
		CHECK(sigpending(&pending) == 0 && sigismember(&pending, raised[i]) == 0);
		close(fd);
	}
}

static volatile int blocks, ticks;

static void makes_one(int signal)
{
	sigset_t is;

	(void)signal;
	*(volatile uint32_t *)(bar + 128) = (uint32_t)ticks;
	CHECK(pthread_sigmask(SIG_SETMASK, NULL, &is) == 0);
	CHECK(sigismember(&is, SIGBUS) == blocks);
	ticks++;
}

/* Handlers that interrupt accesses, and block or do not block the signal, make accesses themselves. */
static void interrupting(void)
{
	struct itimerval often = { { 0, 500 }, { 0, 500 } }, never = { { 0, 0 }, { 0, 0 } };

	for (blocks = 0; blocks < 2; blocks++) {
		struct sigaction action = { .sa_handler = makes_one };

		if (blocks)
			sigfillset(&action.sa_mask);
		ticks = 0;
		CHECK(sigaction(SIGALRM, &action, NULL) == 0);
		CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
		while (ticks < 20)
			*(volatile uint32_t *)(bar + 64) = 1;
		CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
	}
}

static atomic_int running;

static void *keeps_mask(void *argument)
{
	sigset_t set, is;

	sigemptyset(&set);
	if (argument != NULL)
		sigfillset(&set);
	set_mask(SIG_SETMASK, &set);
	running++;
	while (running < 4)
		sched_yield();
	for (int i = 0; i < 100; i++) {
		*(volatile uint32_t *)(bar + 64) = i;
		CHECK(pthread_sigmask(SIG_SETMASK, NULL, &is) == 0);
		CHECK(sigismember(&is, SIGBUS) == (argument != NULL));
	}
	return NULL;
}

/* Threads that block all and threads that block none, at the same time. */
static void mixed(void)
{
	pthread_t all[4];

	for (int i = 0; i < 4; i++)
		CHECK(pthread_create(&all[i], NULL, keeps_mask, i & 1 ? &all : NULL) == 0);
	for (int i = 0; i < 4; i++)
		CHECK(pthread_join(all[i], NULL) == 0);
}

/* A fault of its own kills a thread that blocks or ignores the signal, as always. */
static void forced(void)
{
	char *nothing = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	static const int expected[] = { SIGSEGV, SIGILL, SIGBUS };
	sigset_t set;

	sigfillset(&set);
	for (int i = 0; i < 6; i++) {
		int status;
		uint16_t command = 6;
		pid_t child;

		CHECK(pwrite(device, &command, 2, (7ll << 40) + 4) == 2);
		child = fork();
		if (child == 0) {
			command = 0;
			if (i >= 3)
				set_actions(SIG_IGN, 0);
			else
				set_mask(SIG_SETMASK, &set);
			access_all();
			if (i % 3 == 0)
				asm volatile("movsl" ::"S"(bar), "D"(nothing + 8) : "memory");
			else if (i % 3 == 1)
				asm volatile("ud2");
			CHECK(pwrite(device, &command, 2, (7ll << 40) + 4) == 2);
			asm volatile("lock addl %1, (%0)" ::"r"(bar), "r"(1) : "memory");
			_exit(1);
		}
		CHECK(waitpid(child, &status, 0) == child);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == expected[i % 3]);
	}
}

const struct task state_tasks[] = {
	{ "blocked", blocked }, { "ignored", ignored }, { "handlers", handlers }, { "once", once },
	{ "waiting", waiting }, { "mixed", mixed },     { "forced", forced },
	{ "interrupting", interrupting }, { NULL, NULL },
};
