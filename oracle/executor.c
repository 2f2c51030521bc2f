/*
 * The executor: reads a script of system calls, one per line, and prints one answer
 * per line. src/oracle/language.ts describes the language; src/oracle/ours.ts is the
 * same executor over our own files, and its answers must be the same.
 *
 * A sequence is everything between two `seq` lines. Its names (descriptors, buffers, values)
 * belong to it alone: at its end every descriptor is closed and all memory is unmapped.
 *
 * Answers name only what changed in the memory that a call was given, in words of
 * four bytes. Addresses are inputs only, so none is ever printed. The last line is `end`, or
 * `tainted` when the kernel warned of itself since the first sequence began.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "executor.h"

/* Bits of /proc/sys/kernel/tainted: the kernel died, or warned. */
#define TAINT_DIE (1ul << 7)
#define TAINT_WARN (1ul << 9)

/* Bits of what the kernel has complained of, of itself. */
static uint64_t complaints(void)
{
	char text[32] = "";
	int fd = open("/proc/sys/kernel/tainted", O_RDONLY);

	if (fd >= 0 && read(fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	close(fd);
	return number(text) & (TAINT_DIE | TAINT_WARN);
}

/* Whether it has complained since the executor began: its answers are then worth nothing. */
static bool tainted(void)
{
	static uint64_t before = UINT64_MAX;

	if (before == UINT64_MAX)
		before = complaints();
	return complaints() != before;
}

static void run(char **word, int count)
{
	if (!ioctl_line(word, count) && !file_line(word, count) && !memory_line(word, count) &&
	    !device_line(word, count) && !attribute_line(word, count))
		fputs("what?", out);
}

static void run_script(FILE *in)
{
	char *line = NULL;
	char *word[WORDS];
	char *rest;
	size_t room = 0;
	int count;

	while (getline(&line, &room, in) > 0) {
		count = 0;
		char *at = line;
		for (; count < WORDS && (word[count] = strtok_r(at, " \t\n", &rest)); at = NULL)
			count++;
		if (count == 0 || word[0][0] == '#')
			continue;
		if (!strcmp(word[0], "seq")) {
			end_sequence();
			fflush(out);
			if (tainted())
				break;
			fprintf(out, "seq %s", count > 1 ? word[1] : "");
		} else {
			run(word, count);
		}
		fputc('\n', out);
	}
	end_sequence();
}

int main(int argc, char **argv)
{
	FILE *in;

	if (argc != 3 || !(in = fopen(argv[1], "r")) || !(out = fopen(argv[2], "w"))) {
		fprintf(stderr, "usage: executor SCRIPT ANSWERS\n");
		return 1;
	}
	if (mmap((void *)STRUCT_ADDRESS, STRUCT_BYTES, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED) {
		perror("struct");
		return 1;
	}
	tainted();
	run_script(in);
	fputs(tainted() ? "tainted\n" : "end\n", out);
	return fclose(out) ? 1 : 0;
}
