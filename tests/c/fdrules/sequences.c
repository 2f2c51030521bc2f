/* Commands that do sequences of commands, in this thread or another. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fdrules.h"

enum { MAX_THREADS = 16, MAX_OUTCOMES = 32, MAX_STEPS = 8 };

/* Commands separated by `;`, as `repeat` and `thread loop` have them. */
struct sequence {
	int count;
	struct words steps[MAX_STEPS];
};

/* words[from..] as a sequence. Returns -1 when there are too many steps, or none. */
static int parse_sequence(const struct words *words, int from, struct sequence *sequence)
{
	sequence->count = 0;
	struct words *step = NULL;
	for (int i = from; i < words->count; i++) {
		if (strcmp(words->at[i], ";") == 0) {
			step = NULL;
			continue;
		}
		if (step == NULL) {
			if (sequence->count == MAX_STEPS)
				return -1;
			step = &sequence->steps[sequence->count++];
			step->count = 0;
		}
		step->at[step->count++] = words->at[i];
	}
	return sequence->count == 0 ? -1 : 0;
}

/* The status in an answer: `ok`, `err:EBUSY`, `bad`. */
static void status_of(const char *answer, char *status, size_t room)
{
	char name[32] = "";
	if (sscanf(answer, "err %31s", name) == 1)
		snprintf(status, room, "err:%s", name);
	else
		snprintf(status, room, "%.*s", (int)strcspn(answer, " "), answer);
}

/* Does the steps once. `outcome` becomes their statuses, separated by `/`. */
static void run_sequence(const struct sequence *sequence, struct answer *answer, char *outcome, size_t room)
{
	char previous[64] = "", status[48];
	size_t length = 0;
	outcome[0] = 0;
	for (int i = 0; i < sequence->count; i++) {
		struct words words = sequence->steps[i];
		for (int j = 1; j < words.count; j++)
			if (strcmp(words.at[j], "$") == 0)
				words.at[j] = previous;
		start_over(answer);
		execute(&words, answer);
		status_of(answer->text, status, sizeof status);
		if (length < room)
			length += (size_t)snprintf(outcome + length, room - length, "%s%s", i == 0 ? "" : "/",
						   status);
		if (sscanf(answer->text, "ok %63s", previous) != 1)
			previous[0] = 0;
	}
}

static void cmd_repeat(const struct words *words, struct answer *answer)
{
	struct outcome {
		char text[160];
		unsigned long long count;
	} outcomes[MAX_OUTCOMES];
	struct sequence sequence;
	unsigned long long rounds = number(words, 1);
	char text[160];
	int known = 0;
	if (parse_sequence(words, 2, &sequence) < 0) {
		bad(answer, "repeat N COMMAND ; COMMAND ...");
		return;
	}
	for (unsigned long long round = 0; round < rounds; round++) {
		int i = 0;
		run_sequence(&sequence, answer, text, sizeof text);
		while (i < known && strcmp(outcomes[i].text, text) != 0)
			i++;
		if (i == known && known < MAX_OUTCOMES) {
			strcpy(outcomes[known].text, text);
			outcomes[known++].count = 0;
		}
		if (i < known)
			outcomes[i].count++;
	}
	start_over(answer);
	put(answer, "ok %llu", rounds);
	for (int i = 0; i < known; i++)
		put(answer, " %s=%llu", outcomes[i].text, outcomes[i].count);
}

static _Atomic int stopping;
static int thread_count;

/* A thread that goes round until `stop`. */
static struct worker {
	pthread_t thread;
	int swap[3]; /* dup2loop: sources A and B, target C */
	char *line;  /* loop: the words of `sequence` */
	struct sequence sequence;
	unsigned long long rounds;
} workers[MAX_THREADS];

static void *dup2_loop(void *argument)
{
	struct worker *worker = argument;
	while (!stopping) {
		dup2(worker->swap[worker->rounds & 1], worker->swap[2]);
		worker->rounds++;
	}
	return NULL;
}

static void *command_loop(void *argument)
{
	struct worker *worker = argument;
	struct answer answer = {0};
	char outcome[160];
	while (!stopping) {
		run_sequence(&worker->sequence, &answer, outcome, sizeof outcome);
		worker->rounds++;
	}
	free(answer.text);
	return NULL;
}

/* The words of the worker's sequence must outlive the line that they came in. */
static int keep_sequence(struct worker *worker, const struct words *words, int from)
{
	struct answer line = {0};
	start_over(&line);
	for (int i = from; i < words->count; i++)
		put(&line, "%s ", words->at[i]);
	worker->line = line.text;
	struct words kept = split(worker->line);
	return parse_sequence(&kept, 0, &worker->sequence);
}

static void cmd_thread(const struct words *words, struct answer *answer)
{
	const char *what = word_or(words, 1, "");
	if (thread_count == MAX_THREADS || words->count < 3) {
		bad(answer, "thread dup2loop A B C, thread loop COMMAND ; COMMAND ...");
		return;
	}
	struct worker *worker = &workers[thread_count];
	memset(worker, 0, sizeof *worker);
	int swaps = strcmp(what, "dup2loop") == 0;
	for (int i = 0; i < 3; i++)
		worker->swap[i] = fd_at(words, 2 + i);
	if (!swaps && (strcmp(what, "loop") != 0 || keep_sequence(worker, words, 2) < 0)) {
		free(worker->line);
		bad(answer, "thread dup2loop A B C, thread loop COMMAND ; COMMAND ...");
		return;
	}
	int error = pthread_create(&worker->thread, NULL, swaps ? dup2_loop : command_loop, worker);
	if (error != 0) {
		free(worker->line);
		failed(answer, error);
		return;
	}
	thread_count++;
	ok(answer);
}

/* Ends all threads. Answers `ok ROUNDS...`, in the order in which they were started. */
static void cmd_stop(const struct words *words, struct answer *answer)
{
	(void)words;
	stopping = 1;
	ok(answer);
	for (int i = 0; i < thread_count; i++) {
		pthread_join(workers[i].thread, NULL);
		put(answer, " %llu", workers[i].rounds);
		free(workers[i].line);
	}
	thread_count = 0;
	stopping = 0;
}

/* In a new child: its threads are the parent's. */
void forget_threads(void)
{
	thread_count = 0;
	stopping = 0;
}

const struct command sequence_commands[] = {
	{"repeat", cmd_repeat, "N COMMAND [; COMMAND...] -> N outcome=count..."},
	{"thread", cmd_thread, "dup2loop A B C | loop COMMAND [; COMMAND...]"},
	{"stop", cmd_stop, "-> rounds..."},
	{NULL, NULL, NULL},
};
