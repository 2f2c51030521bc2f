/*
 * fdrules: a process that does what it is told, for tests of the rules that only real processes can show.
 *
 * It reads commands from standard input, one per line, and answers each with one line on standard output:
 *
 *   ok VALUE...     it was done
 *   err EBUSY ...   the system call failed so
 *   bad TEXT        the command itself is wrong
 *
 * Numbers may be decimal or hexadecimal (0x). Memory is written as hexadecimal digits, two for each byte.
 * Addresses are never checked before they are used: a command that meets SIGSEGV or SIGBUS answers `err
 * EFAULT`. Each file of commands ends with their table; `help` prints them all.
 *
 * `fork NAME` makes a child that is such an actor too; `@NAME COMMAND` has it do COMMAND and passes the
 * answer on, `post NAME COMMAND` does not wait for the answer, which `collect NAME` gets later. Parent and
 * child share their open files, as after every fork. `repeat N COMMAND ; COMMAND ...` does a sequence N times
 * and counts the outcomes: `ok 10 ok/ok=7 err:ENOENT/err:ENOENT=3`. In a sequence, `$` stands for the first
 * value of the answer before. `thread` does things at the same time as all this, until `stop`.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "fdrules.h"

static void cmd_help(const struct words *words, struct answer *answer);

static const struct command own_commands[] = {
	{"help", cmd_help, "-> this"},
	{NULL, NULL, NULL},
};

/* Tables of commands, each of which ends with one without a name. */
static const struct command *const tables[] = {
	descriptor_commands, socket_commands, memory_commands, ioasid_commands, vfio_commands,
	process_commands, sequence_commands, own_commands, NULL,
};

static void cmd_help(const struct words *words, struct answer *answer)
{
	(void)words;
	ok(answer);
	for (const struct command *const *table = tables; *table != NULL; table++)
		for (const struct command *command = *table; command->name != NULL; command++)
			put(answer, " [%s %s]", command->name, command->usage);
}

static const struct command *find_command(const char *name)
{
	for (const struct command *const *table = tables; *table != NULL; table++)
		for (const struct command *command = *table; command->name != NULL; command++)
			if (strcmp(command->name, name) == 0)
				return command;
	return NULL;
}

void execute(const struct words *words, struct answer *answer)
{
	if (words->count == 0) {
		bad(answer, "empty command");
		return;
	}
	if (words->at[0][0] == '@') {
		forward(words, answer);
		return;
	}
	const struct command *command = find_command(words->at[0]);
	if (command == NULL)
		bad(answer, words->at[0]);
	else
		command->run(words, answer);
}

static void reply(struct answer *answer)
{
	put(answer, "\n");
	if (write_all(1, answer->text, answer->length) < 0)
		_exit(1);
}

void run_actor(void)
{
	struct answer line = {0}, answer = {0};
	while (read_line(0, &line) >= 0) {
		struct words words = split(line.text);
		start_over(&answer);
		execute(&words, &answer);
		reply(&answer);
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	struct answer answer = {0};
	(void)argv;
	answer_faults();
	signal(SIGPIPE, SIG_IGN);
	if (argc > 1) { /* `exec` is answered by the program that it started */
		start_over(&answer);
		ok(&answer);
		reply(&answer);
	}
	run_actor();
}
