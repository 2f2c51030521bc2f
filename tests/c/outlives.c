/*
 * A process that outlives `ioasid run`, and maps a file then.
 *
 * usage: outlives PIPE FILE RESULT
 *
 * It waits until the other end of PIPE, a named pipe, is closed, and writes "mapped" or an error to RESULT.
 */
#include "check.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int file;
	FILE *result;
	char byte;

	CHECK(argc == 4);
	if (fork() != 0)
		return 0;
	CHECK(setsid() != -1);
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	CHECK(open(argv[1], O_RDONLY) == 0);
	CHECK(read(0, &byte, 1) == 0);
	file = open(argv[2], O_RDWR);
	CHECK(file >= 0);
	errno = 0;
	CHECK((result = fopen(argv[3], "w")) != NULL);
	if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) == MAP_FAILED)
		fprintf(result, "%s\n", strerror(errno));
	else
		fprintf(result, "mapped\n");
	fclose(result);
	return 0;
}
