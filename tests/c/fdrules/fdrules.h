/* What the files of fdrules share: a command is words in, and an answer out. */
#ifndef FDRULES_H
#define FDRULES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { MAX_WORDS = 64 };

/* ---- answer.c ---- */

/* What a command answers; `text` grows as needed and is reused. */
struct answer {
	char *text;
	size_t length, capacity;
};

void put(struct answer *answer, const char *format, ...) __attribute__((format(printf, 2, 3)));
void start_over(struct answer *answer);
void ok(struct answer *answer);
void bad(struct answer *answer, const char *what);
void failed(struct answer *answer, int error);
void returned(struct answer *answer, long long result);
void done(struct answer *answer, int result);
void put_hex(struct answer *answer, const unsigned char *bytes, size_t length);

/* Lines, which answers are and come from. */
ssize_t read_line(int fd, struct answer *line);
int write_all(int fd, const char *text, size_t length);

/* ---- words.c ---- */

struct words {
	int count;
	char *at[MAX_WORDS];
};

struct words split(char *line);
unsigned long long number_or(const struct words *words, int i, unsigned long long otherwise);
unsigned long long number(const struct words *words, int i);
int fd_at(const struct words *words, int i);
const char *word_or(const struct words *words, int i, const char *otherwise);
void *pointer(unsigned long long address);
unsigned char *from_hex(const char *digits, size_t room, size_t *length);

/* ---- The commands, in tables that end with one without a name ---- */

struct command {
	const char *name;
	void (*run)(const struct words *words, struct answer *answer);
	const char *usage;
};

extern const struct command descriptor_commands[], socket_commands[], memory_commands[], ioasid_commands[],
	vfio_commands[], process_commands[], sequence_commands[];

/* Has accesses of memory that is not there be answered with EFAULT. */
void answer_faults(void);
/* `@NAME COMMAND...` */
void forward(const struct words *words, struct answer *answer);
void forget_threads(void);
void execute(const struct words *words, struct answer *answer);
void run_actor(void) __attribute__((noreturn));

#endif
