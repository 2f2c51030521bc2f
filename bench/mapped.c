/*
 * The client of the benchmark `mapped`: an access to a mapped BAR, beside the same one by the device file.
 *
 * Usage: mapped FILE WAY COUNT, with WAY one of
 *   load, store  a register of edu: beside pread, pwrite
 *   submit       a descriptor that does nothing, to a dsa, by MOVDIR64B: beside pwrite
 *   memory       a page of memory in the BAR of src/testkit/ringing-device.ts is written, and read: beside a
 *                page of the program's own
 *   map          FILE is an ordinary one: mmap and munmap of a shared page of it, beside nothing
 *   spawn, fork  FILE is a program, which is started by posix_spawn(3), or by fork(2) and execve(2), and
 *                waited for, beside nothing
 *   write        a descriptor that does nothing, to a dsa, by pwrite alone
 *   raise        MOVDIR64B to memory of its own: where the processor has not got it, that raises SIGILL, and
 *                a handler sends a byte to another process and has it back: nobody else could do it for less
 * Of the lines that it reads from stdin the first, third, ... are for the call, the others for the mapping
 * (with the last five all are the same): it makes COUNT accesses and prints the nanoseconds of one. A wrong
 * result ends the program with status 1.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>
#include "measure.h"

enum { PAGE = 4096, LIVENESS = 4, SWERR = 0xc0, MEMORY = 0x2000 };
#define BAR(n) ((off_t)(n) << 40)

static int file;
static volatile uint8_t *mapped;
static const char *way;
static _Alignas(64) uint8_t descriptor[64];
static _Alignas(PAGE) uint8_t own[PAGE], copy[PAGE];

static void map_page(void)
{
	void *page = mmap(0, PAGE, PROT_READ, MAP_SHARED, file, 0);
	check(page != MAP_FAILED, "mmap");
	munmap(page, PAGE);
}

static void start_program(const char *path, int forks)
{
	char *arguments[] = { (char *)path, NULL }, *environment[] = { NULL };
	pid_t pid;
	int status;

	if (!forks)
		check(posix_spawn(&pid, path, NULL, NULL, arguments, environment) == 0, path);
	else if ((pid = fork()) == 0)
		_exit(execve(path, arguments, environment));
	check(waitpid(pid, &status, 0) == pid && status == 0, "its status");
}

static void movdir64b(volatile void *target, const void *source)
{
	__asm__ volatile(".byte 0x66, 0x0f, 0x38, 0xf8, 0x02" ::"a"(target), "d"(source) : "memory");
}

static int there[2], back[2];

/* MOVDIR64B has 5 bytes. */
static void step_over(int signal, siginfo_t *info, void *context)
{
	char byte = 0;

	(void)signal;
	(void)info;
	check(write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1, "the other process");
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 5;
}

/* Has SIGILL handled, and another process that sends back what it is sent. */
static void begin_raising(void)
{
	struct sigaction action = { .sa_sigaction = step_over, .sa_flags = SA_SIGINFO };
	char byte;

	check(pipe(there) == 0 && pipe(back) == 0, "pipe");
	pid_t pid = fork();
	check(pid >= 0, "fork");
	if (pid == 0) {
		close(there[1]);
		while (read(there[0], &byte, 1) == 1 && write(back[1], &byte, 1) == 1)
			;
		_exit(0);
	}
	check(sigaction(SIGILL, &action, NULL) == 0, "sigaction");
}

/* Writes a page, and reads it. */
static void use_page(volatile uint8_t *page, uint32_t i)
{
	memset((void *)page, (int)i, PAGE);
	memcpy(copy, (void *)page, PAGE);
	check(copy[PAGE - 1] == (uint8_t)i, "the page");
}

static void by_mapping(uint32_t i)
{
	volatile uint32_t *liveness = (volatile uint32_t *)(mapped + LIVENESS);
	uint32_t value = 0;

	if (way[0] == 'm')
		use_page(mapped + MEMORY, i);
	else if (way[0] == 'l')
		value = *liveness;
	else if (strcmp(way, "store") == 0)
		*liveness = i;
	else
		movdir64b(mapped, descriptor);
	(void)value;
}

static void by_call(uint32_t i)
{
	if (way[0] == 'm')
		use_page(own, i);
	else if (way[0] == 'l')
		check(pread(file, &i, 4, BAR(0) + LIVENESS) == 4, "pread");
	else if (strcmp(way, "store") == 0)
		check(pwrite(file, &i, 4, BAR(0) + LIVENESS) == 4, "pwrite");
	else
		check(pwrite(file, descriptor, 64, BAR(2)) == 64, "pwrite");
}

/* What was done last has been done: edu inverts what is stored; a dsa that was not content says so. */
static void check_device(uint32_t last)
{
	uint32_t value;

	if (strcmp(way, "store") == 0) {
		check(pread(file, &value, 4, BAR(0) + LIVENESS) == 4 && value == ~last, "the register");
	} else if (strcmp(way, "submit") == 0 || strcmp(way, "write") == 0) {
		check(pread(file, &value, 4, BAR(0) + SWERR) == 4 && (value & 1) == 0, "SWERR");
	}
}

/* One of those that are counted. */
static void once(uint32_t i, int calls, const char *path)
{
	if (strcmp(way, "spawn") == 0 || strcmp(way, "fork") == 0)
		start_program(path, way[0] == 'f');
	else if (strcmp(way, "map") == 0)
		map_page();
	else if (strcmp(way, "raise") == 0)
		movdir64b(own, descriptor);
	else if (calls)
		by_call(i);
	else
		by_mapping(i);
}

int main(int argc, char **argv)
{
	uint16_t command = 6;
	uint32_t count = argc == 4 ? (uint32_t)strtoul(argv[3], 0, 10) : 0;

	if (count == 0)
		return 2;
	way = argv[2];
	int starts = strcmp(way, "spawn") == 0 || strcmp(way, "fork") == 0;
	int other = starts || strcmp(way, "map") == 0 || strcmp(way, "raise") == 0;
	if (strcmp(way, "raise") == 0)
		begin_raising();
	file = open(argv[1], other ? O_RDONLY : O_RDWR);
	check(file >= 0, argv[1]);
	if (!other) {
		check(pwrite(file, &command, 2, BAR(7) + 4) == 2, "the command register");
	}
	if (!other && strcmp(way, "write") != 0) {
		off_t bar = BAR(strcmp(way, "submit") == 0 ? 2 : 0);
		size_t size = strcmp(way, "memory") == 0 ? 2 * MEMORY : PAGE;
		mapped = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, bar);
		check(mapped != MAP_FAILED, "mmap");
	}
	for (int c, line = 0; (c = getchar()) != EOF;) {
		if (c != '\n')
			continue;
		int calls = line % 2 == 0 || strcmp(way, "write") == 0;
		double begin = now_ns();
		for (uint32_t i = 0; i < count; i++)
			once(i, calls, argv[1]);
		printf("%.1f\n", (now_ns() - begin) / count);
		fflush(stdout);
		if (!other)
			check_device(count - 1);
		line++;
	}
	return 0;
}
