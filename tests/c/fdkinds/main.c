/*
 * Gives every kind of descriptor to every call that takes one, for each line that it reads, and says what was
 * not as it must be. Our files are in the folder argv[1]; it says `open` when they are open, and the file
 * argv[2], if there is one.
 */
#define _GNU_SOURCE
#include "fdkinds.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include "check.h"
#include "ioasid.h"

static int expected(const struct call *call, enum is is)
{
	if (is == NAME || is == CLOSED)
		return EBADF;
	return is & call->takes ? 0 : call->otherwise;
}

/* Does the sentence of the refusal name the descriptor? */
static void explained(const struct call *call, const struct kind *kind, int fd, int error)
{
	struct ioasid_explain why = { .size = sizeof why };
	char number[32];

	snprintf(number, sizeof number, " %d ", fd);
	CHECK(!ioctl(*call->on, IOASID_EXPLAIN, &why));
	if (why.error != error || strstr((char *)why.reason, number) == NULL)
		printf("%s, %s: told as \"%s\", errno %d\n", call->name, kind->name, why.reason, why.error);
}

static void make(const struct call *call, const struct kind *kind, int fd)
{
	int wanted = fd == -1 ? call->of_none : expected(call, kind->is), error = call->make(fd);

	if (error != wanted)
		printf("%s, %s: errno %d instead of %d\n", call->name, kind->name, error, wanted);
	else if (error != 0 && fd != -1)
		explained(call, kind, fd, error);
}

static void make_all(void)
{
	static const struct kind none = { "-1", NULL, CLOSED };
	static const struct kind itself = { "the file that is called", NULL, OTHER };

	for (const struct call *call = calls; call->name != NULL; call++) {
		make(call, &none, -1);
		make(call, &itself, *call->on);
	}
	for (const struct kind *kind = kinds; kind->name != NULL; kind++) {
		int fd = kind->open();
		if (fd < 0)
			printf("%s: not on this system\n", kind->name);
		for (const struct call *call = calls; fd >= 0 && call->name != NULL; call++)
			make(call, kind, fd);
		if (fd >= 0 && kind->is != CLOSED)
			close(fd);
	}
	puts("done");
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	CHECK(argc > 1);
	open_files(argv[1]);
	if (argc > 2)
		open_foreign(argv[2]);
	puts("open");
	while (getchar() != EOF)
		make_all();
	_exit(0);
}
