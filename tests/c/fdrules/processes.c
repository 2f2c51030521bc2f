/* Commands on processes: children that are actors too, and this one. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fdrules.h"

enum { MAX_CHILDREN = 32, CONTROL_FD = 500 };

/**
 * The children that still are actors of ours. `control` is our end of the socket that is their standard input
 * and output.
 */
static struct child {
	char name[32];
	pid_t pid;
	int control;
} children[MAX_CHILDREN];

static struct child *find_child(const char *name)
{
	for (int i = 0; i < MAX_CHILDREN; i++)
		if (children[i].pid != 0 && strcmp(children[i].name, name) == 0)
			return &children[i];
	return NULL;
}

static struct child *free_child(void)
{
	for (int i = 0; i < MAX_CHILDREN; i++)
		if (children[i].pid == 0)
			return &children[i];
	return NULL;
}

/* In a new child: only the calling thread exists, and the siblings are none of its business. */
static void become_child(int control)
{
	for (int i = 0; i < MAX_CHILDREN; i++)
		if (children[i].pid != 0)
			close(children[i].control);
	memset(children, 0, sizeof children);
	forget_threads();
	dup2(control, 0);
	dup2(control, 1);
	close(control);
}

static void cmd_fork(const struct words *words, struct answer *answer)
{
	struct child *child = free_child();
	int pair[2], control[2];
	if (child == NULL || words->count < 2 || find_child(words->at[1]) != NULL) {
		bad(answer, "a new name is needed");
		return;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) {
		failed(answer, errno);
		return;
	}
	/* Out of the way of the numbers that tests see. */
	for (int i = 0; i < 2; i++) {
		control[i] = fcntl(pair[i], F_DUPFD_CLOEXEC, CONTROL_FD);
		close(pair[i]);
	}
	pid_t pid = fork();
	if (pid == 0) {
		close(control[0]);
		become_child(control[1]);
		run_actor();
	}
	close(control[1]);
	if (pid < 0) {
		close(control[0]);
		failed(answer, errno);
		return;
	}
	snprintf(child->name, sizeof child->name, "%s", words->at[1]);
	child->pid = pid;
	child->control = control[0];
	put(answer, "ok %d", pid);
}

/* Sends words[from..] to the child as one line. */
static int post(struct child *child, const struct words *words, int from)
{
	struct answer line = {0};
	start_over(&line);
	for (int i = from; i < words->count; i++)
		put(&line, "%s%s", words->at[i], i + 1 < words->count ? " " : "\n");
	int result = write_all(child->control, line.text, line.length);
	free(line.text);
	return result;
}

static void collect(struct child *child, struct answer *answer)
{
	if (read_line(child->control, answer) < 0)
		failed(answer, ESRCH);
}

static void cmd_post(const struct words *words, struct answer *answer)
{
	struct child *child = find_child(word_or(words, 1, ""));
	if (child == NULL)
		bad(answer, "no child of this name");
	else if (post(child, words, 2) < 0)
		failed(answer, ESRCH);
	else
		ok(answer);
}

static void cmd_collect(const struct words *words, struct answer *answer)
{
	struct child *child = find_child(word_or(words, 1, ""));
	if (child == NULL)
		bad(answer, "no child of this name");
	else
		collect(child, answer);
}

/* `@NAME COMMAND...` */
void forward(const struct words *words, struct answer *answer)
{
	struct child *child = find_child(words->at[0] + 1);
	if (child == NULL || words->count < 2)
		bad(answer, "no child of this name, or no command");
	else if (post(child, words, 1) < 0)
		failed(answer, ESRCH);
	else
		collect(child, answer);
}

static void cmd_kill(const struct words *words, struct answer *answer)
{
	struct child *child = find_child(word_or(words, 1, ""));
	if (child == NULL)
		bad(answer, "no child of this name");
	else
		done(answer, kill(child->pid, (int)number_or(words, 2, SIGKILL)));
}

/* Answers `ok exit STATUS` or `ok signal NUMBER` once the child is gone; its name is free again. */
static void cmd_wait(const struct words *words, struct answer *answer)
{
	struct child *child = find_child(word_or(words, 1, ""));
	int status;
	if (child == NULL) {
		bad(answer, "no child of this name");
		return;
	}
	if (waitpid(child->pid, &status, 0) < 0)
		failed(answer, errno);
	else if (WIFSIGNALED(status))
		put(answer, "ok signal %d", WTERMSIG(status));
	else
		put(answer, "ok exit %d", WEXITSTATUS(status));
	close(child->control);
	child->pid = 0;
}

static void cmd_exec(const struct words *words, struct answer *answer)
{
	char name[] = "fdrules", resumed[] = "resumed";
	char *arguments[] = {name, resumed, NULL};
	(void)words;
	execv("/proc/self/exe", arguments);
	failed(answer, errno);
}

static void cmd_pid(const struct words *words, struct answer *answer)
{
	(void)words;
	put(answer, "ok %d", getpid());
}

static void cmd_exit(const struct words *words, struct answer *answer)
{
	(void)answer;
	_exit((int)number(words, 1));
}

static void cmd_sleep(const struct words *words, struct answer *answer)
{
	unsigned long long ms = number(words, 1);
	struct timespec time = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
	nanosleep(&time, NULL);
	ok(answer);
}

/* For good: the saved id too. */
static void cmd_setuid(const struct words *words, struct answer *answer)
{
	uid_t uid = (uid_t)number(words, 1);
	done(answer, setresuid(uid, uid, uid));
}

static void cmd_dumpable(const struct words *words, struct answer *answer)
{
	done(answer, prctl(PR_SET_DUMPABLE, number(words, 1), 0, 0, 0));
}

static void cmd_setsid(const struct words *words, struct answer *answer)
{
	(void)words;
	returned(answer, setsid());
}

const struct command process_commands[] = {
	{"fork", cmd_fork, "NAME -> pid"},
	{"post", cmd_post, "NAME COMMAND..."},
	{"collect", cmd_collect, "NAME -> its answer"},
	{"kill", cmd_kill, "NAME [SIGNAL]"},
	{"wait", cmd_wait, "NAME -> exit STATUS | signal NUMBER"},
	{"exec", cmd_exec, "-> (this program again, in the same process)"},
	{"pid", cmd_pid, "-> pid"},
	{"exit", cmd_exit, "[STATUS]"},
	{"setuid", cmd_setuid, "UID"},
	{"dumpable", cmd_dumpable, "0|1"},
	{"setsid", cmd_setsid, "-> session"},
	{"sleep", cmd_sleep, "MS"},
	{NULL, NULL, NULL},
};
