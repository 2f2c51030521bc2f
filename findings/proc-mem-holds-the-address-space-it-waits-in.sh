#!/bin/sh
# Who writes to the memory of a process by /proc/PID/mem, and has to wait for a page there, keeps that process
# from changing its own address space meanwhile: its mmap(2) does not come back. The same write by
# process_vm_writev(2) waits as long, and the process goes on.
#
# A good guess is that both are one: each finds the pages of the other process, waits where one has to come,
# and copies. But process_vm_writev lets go of the lock of the address space before it sleeps, and looks again
# afterwards; /proc/PID/mem keeps it. Here the page is one of a memfd of which pages are being taken out
# (fallocate, FALLOC_FL_PUNCH_HOLE), for which whoever touches one of them waits until all are gone. So a
# helper that is to wait for such pages in place of its parent makes the parent wait in whatever it maps next.
#
# Seen with Linux 6.18: taking out 512 MiB takes 200 to 700 ms; with /proc/PID/mem the
# longest mmap of the process takes as long, with process_vm_writev under a tenth of that. Prints the medians
# of five turns; fails when it is otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >waits.c <<'C'
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SIZE (512l << 20)
#define TURNS 5

static char *mapped;
static int file;

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

/* Writes to page after page of its parent's mapping, for ever. */
static void write_there(int by_file)
{
	char path[64], byte = 1;
	int memory;

	snprintf(path, sizeof(path), "/proc/%d/mem", getppid());
	memory = open(path, O_RDWR);
	for (long page = 0;; page = (page + 4099) % (SIZE / 4096)) {
		char *place = mapped + page * 4096;
		struct iovec from = {&byte, 1}, to = {place, 1};

		if (by_file ? pwrite(memory, &byte, 1, (intptr_t)place) < 0
			    : process_vm_writev(getppid(), &from, 1, &to, 1, 0) < 0)
			perror("write"), exit(1);
	}
}

/* How long the pages take to be taken out, and the longest mmap meanwhile, in ms. */
static void turn(int by_file, double *punch, double *longest)
{
	int done[2];
	pid_t writer, puncher;
	double took;

	if (fallocate(file, 0, 0, SIZE) || pipe(done))
		perror("fallocate"), exit(1);
	writer = fork();
	if (!writer)
		write_there(by_file);
	puncher = fork();
	if (!puncher) {
		usleep(20000);
		took = now();
		if (fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, SIZE))
			perror("punch");
		took = now() - took;
		_exit(write(done[1], &took, sizeof(took)) != sizeof(took));
	}
	fcntl(done[0], F_SETFL, O_NONBLOCK);
	for (*longest = 0; read(done[0], punch, sizeof(*punch)) < 0;) {
		double began = now();
		void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		took = now() - began;
		if (took > *longest)
			*longest = took;
		munmap(page, 4096);
		usleep(1000);
	}
	kill(writer, SIGKILL);
	waitpid(writer, NULL, 0);
	waitpid(puncher, NULL, 0);
	close(done[0]);
	close(done[1]);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

int main(void)
{
	double part[2][TURNS], punch, longest;
	struct utsname system;

	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	file = memfd_create("pages", 0);
	if (ftruncate(file, SIZE))
		return perror("ftruncate"), 1;
	mapped = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	for (int i = 0; i < TURNS; i++)
		for (int by_file = 0; by_file < 2; by_file++) {
			turn(by_file, &punch, &longest);
			part[by_file][i] = longest / punch;
		}
	for (int by_file = 0; by_file < 2; by_file++)
		qsort(part[by_file], TURNS, sizeof(double), by_value);
	uname(&system);
	printf("Linux %.4s: the longest mmap takes %.2f of the time by /proc/PID/mem, %.2f by process_vm_writev\n",
	       system.release, part[1][TURNS / 2], part[0][TURNS / 2]);
	return part[1][TURNS / 2] > 0.5 && part[0][TURNS / 2] < 0.25 ? 0 : 1;
}
C
gcc -O1 -Wall -o waits waits.c
timeout 120 ./waits
