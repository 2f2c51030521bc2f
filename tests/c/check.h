/*
 * Programs whose first argument names what to do: each task prints one line that ends in "ok", or what went
 * wrong, and where.
 */
#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                        \
	do {                                                                                    \
		if (!(condition)) {                                                             \
			printf("%s:%d: %s: %s\n", __FILE__, __LINE__, #condition, strerror(errno)); \
			exit(1);                                                                \
		}                                                                               \
	} while (0)

/* Tables of tasks end with one without a name. */
struct task {
	const char *name;
	void (*run)(void);
};

/* Does the task of that name. Returns the status to exit with. */
static inline int run_task(const struct task *task, const char *name)
{
	for (; task->name != NULL; task++) {
		if (strcmp(name, task->name) != 0)
			continue;
		task->run();
		printf("%s ok\n", name);
		return 0;
	}
	printf("no such task\n");
	return 2;
}

#endif
