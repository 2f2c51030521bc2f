/* Accesses at the edges of mappings, by no known instruction, and of programs that try to get away. */
#define _GNU_SOURCE
#include "mapped.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static __thread sigjmp_buf back;
static volatile int caught;

static void faulted(int signal)
{
	caught = signal;
	siglongjmp(back, 1);
}

static void catch_faults(void)
{
	struct sigaction action = { .sa_handler = faulted };

	CHECK(sigaction(SIGBUS, &action, NULL) == 0 && sigaction(SIGSEGV, &action, NULL) == 0);
}

#define FAULTS(access)                          \
	do {                                    \
		caught = 0;                     \
		if (sigsetjmp(back, 1) == 0)    \
			access;                 \
		CHECK(caught == SIGBUS || caught == SIGSEGV); \
	} while (0)

/* What lies in two pages of the BAR is accessed, what lies half outside of a mapping faults. */
static void crossing(void)
{
	const int both = PROT_READ | PROT_WRITE, fixed = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
	volatile uint8_t *page = bar + PAGE;
	uint64_t value = 0x1122334455667788, there;
	struct access seen[4];

	catch_faults();
	*(volatile uint64_t *)(page - 4) = value;
	CHECK(*(volatile uint64_t *)(page - 4) == value);
	asm volatile("lock addq %1, (%0)" ::"r"(page - 4), "r"(1ull) : "memory");
	peek(PAGE - 4, &there, 8);
	CHECK(there == value + 1);
	/* Behind the BAR is nothing. */
	FAULTS(*(volatile uint64_t *)(bar + BAR_BYTES - 4));
	FAULTS(*(volatile uint64_t *)(bar + BAR_BYTES - 4) = 1);
	/* Memory before the BAR, and behind a part of it. */
	CHECK(mmap((void *)bar, PAGE, both, fixed, -1, 0) == bar);
	CHECK(mmap((void *)(page + PAGE), PAGE, both, fixed, -1, 0) == page + PAGE);
	forget();
	for (int i = 0; i < 2; i++) {
		volatile uint64_t *word = (volatile uint64_t *)(page + i * PAGE - 4);

		FAULTS((void)*word);
		FAULTS(*word = 1);
		FAULTS(asm volatile("lock addq %1, (%0)" ::"r"(word), "r"(1ull) : "memory"));
	}
	CHECK(accesses(seen, 4) == 0);
	*(volatile uint32_t *)page = 7;
	CHECK(*(volatile uint32_t *)page == 7 && accesses(seen, 4) == 2);
}

/* What nobody decodes is SIGBUS, with one sentence from the server, and the program goes on. */
static void unknown(void)
{
	catch_faults();
	FAULTS(asm volatile("xchg %%rax, (%%rax)" ::"a"(bar) : "memory"));
	if (__builtin_cpu_supports("avx2"))
		FAULTS(asm volatile("vpxor %%xmm1, %%xmm1, %%xmm1; vpcmpeqd %%xmm2, %%xmm2, %%xmm2;"
				    "vpgatherdd %%xmm2, (%0,%%xmm1,1), %%xmm0" ::"r"(bar)
				    : "xmm0", "xmm1", "xmm2", "memory"));
	if (__builtin_cpu_supports("avx512f"))
		FAULTS(asm volatile("vpxor %%xmm1, %%xmm1, %%xmm1; kxnorw %%k1, %%k1, %%k1;"
				    "vpscatterdd %%zmm0, (%0,%%zmm1,1)%{%%k1%}" ::"r"(bar)
				    : "xmm0", "xmm1", "memory"));
	/* The whole state of a unit: some of its bytes are not written. */
	FAULTS(asm volatile("fxsave (%0)" ::"r"(bar) : "memory"));
	FAULTS(asm volatile("fxrstor (%0)" ::"r"(bar) : "memory"));
	*(volatile uint32_t *)bar = 9;
	CHECK(*(volatile uint32_t *)bar == 9);
}

static volatile int over;

static void *accesses_window(void *window)
{
	volatile uint32_t *word = window;

	while (!over) {
		if (sigsetjmp(back, 1) != 0)
			continue;
		word[2] = 1;
		asm volatile("lock orl %1, (%0)" ::"r"(word + 2), "r"(2) : "memory");
	}
	return NULL;
}

/* Unmapped, mapped and replaced while others access it: they fault, or reach what is there. */
static void unmapped(void)
{
	const int both = PROT_READ | PROT_WRITE, memory = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
	uint8_t *window = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_t all[2];

	catch_faults();
	for (int i = 0; i < 2; i++)
		CHECK(pthread_create(&all[i], NULL, accesses_window, window) == 0);
	for (int i = 0; i < 100; i++) {
		CHECK(mmap(window, PAGE, both, MAP_SHARED | MAP_FIXED, device, PAGE) == window);
		sched_yield();
		CHECK(munmap(window, PAGE) == 0);
		CHECK(mmap(window, PAGE, both, memory, -1, 0) == window);
	}
	over = 1;
	for (int i = 0; i < 2; i++)
		CHECK(pthread_join(all[i], NULL) == 0);
}

static int tracer(const char *path)
{
	char line[256];
	int pid = -1;
	FILE *file = fopen(path, "r");

	while (file != NULL && fgets(line, sizeof line, file) != NULL)
		if (sscanf(line, "TracerPid: %d", &pid) == 1)
			break;
	if (file != NULL)
		fclose(file);
	return pid;
}

static void run_child(void (*child)(int), int argument)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		child(argument);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void use_bar(int unused)
{
	(void)unused;
	*(volatile uint32_t *)bar = 3;
	CHECK(*(volatile uint32_t *)bar == 3);
}

/* In namespaces of its own it is served, or its access faults. */
static void leave(int flags)
{
	catch_faults();
	if (unshare(flags) != 0)
		return;
	if (sigsetjmp(back, 1) == 0)
		use_bar(0);
	run_child(use_bar, 0);
}

/* Memory that nobody may look at is its own affair: its accesses fault, or are made. */
static void hide(int unused)
{
	catch_faults();
	CHECK(prctl(PR_SET_DUMPABLE, 0) == 0);
	if (sigsetjmp(back, 1) == 0)
		use_bar(unused);
	if (sigsetjmp(back, 1) == 0)
		asm volatile("lock orl %1, (%0)" ::"r"(bar), "r"(2) : "memory");
}

/* Whoever becomes another program is traced no more. */
static void become(int unused)
{
	(void)unused;
	execl("/bin/sh", "sh", "-c", "grep -q '^TracerPid:\\s0$' /proc/self/status", (char *)NULL);
	_exit(2);
}

/* The descriptor of a stranger: he is traced when he maps it, not before. */
static void receive(int socket)
{
	const int both = PROT_READ | PROT_WRITE;
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec data = { &byte, 1 };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = control,
				  .msg_controllen = sizeof control };

	CHECK(recvmsg(socket, &message, 0) == 1);
	memcpy(&device, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof device);
	CHECK(tracer("/proc/self/status") == 0);
	bar = mmap(NULL, PAGE, both, MAP_SHARED, device, 0);
	CHECK(bar != MAP_FAILED && tracer("/proc/self/status") > 0);
	use_bar(0);
	_exit(0);
}

static int stranger_socket;
static pid_t stranger;

/* Before the device is opened, so that the stranger has no part in it. */
void start_stranger(void)
{
	int pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	stranger = fork();
	if (stranger == 0)
		receive(pair[1]);
	stranger_socket = pair[0];
	close(pair[1]);
}

static void send_away(void)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec data = { "x", 1 };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = control,
				  .msg_controllen = sizeof control };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	char path[64];
	int status;

	snprintf(path, sizeof path, "/proc/%d/status", stranger);
	CHECK(tracer(path) == 0 && tracer("/proc/self/status") > 0);
	*header = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
	memcpy(CMSG_DATA(header), &device, sizeof device);
	CHECK(sendmsg(stranger_socket, &message, 0) == 1);
	CHECK(waitpid(stranger, &status, 0) == stranger && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Whatever a program does that maps a BAR: it and nobody else is traced, and all goes on. */
static void escapes(void)
{
	send_away();
	run_child(use_bar, 0);
	run_child(become, 0);
	run_child(hide, 0);
	run_child(leave, CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID);
	run_child(leave, CLONE_NEWNS);
	run_child(leave, CLONE_FILES | CLONE_FS);
	use_bar(0);
}

const struct task edge_tasks[] = {
	{ "crossing", crossing }, { "unknown", unknown }, { "unmapped", unmapped }, { "escapes", escapes },
	{ NULL, NULL },
};
