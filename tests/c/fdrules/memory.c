/* Commands on memory, whose accesses may fault. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>
#include <linux/userfaultfd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fdrules.h"

static __thread sigjmp_buf fault_return;
static __thread volatile sig_atomic_t fault_expected;

static void on_fault(int signal_number)
{
	if (fault_expected)
		siglongjmp(fault_return, 1);
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

void answer_faults(void)
{
	struct sigaction on_access = {.sa_handler = on_fault, .sa_flags = SA_NODEFER};
	sigaction(SIGSEGV, &on_access, NULL);
	sigaction(SIGBUS, &on_access, NULL);
}

/* Copies byte by byte. Returns 0, or -1 with EFAULT when either side cannot be accessed. */
static int copy_memory(volatile unsigned char *target, const volatile unsigned char *source, size_t length)
{
	if (sigsetjmp(fault_return, 1) != 0) {
		fault_expected = 0;
		errno = EFAULT;
		return -1;
	}
	fault_expected = 1;
	for (size_t i = 0; i < length; i++)
		target[i] = source[i];
	fault_expected = 0;
	return 0;
}

/* One load or store of `width` bytes, as a driver accesses a register. Returns as copy_memory does. */
static int access_register(volatile void *address, int width, unsigned long long *value, int store)
{
	if (sigsetjmp(fault_return, 1) != 0) {
		fault_expected = 0;
		errno = EFAULT;
		return -1;
	}
	fault_expected = 1;
	switch (width * 2 + store) {
	case 2: *value = *(volatile __u8 *)address; break;
	case 3: *(volatile __u8 *)address = (__u8)*value; break;
	case 4: *value = *(volatile __u16 *)address; break;
	case 5: *(volatile __u16 *)address = (__u16)*value; break;
	case 8: *value = *(volatile __u32 *)address; break;
	case 9: *(volatile __u32 *)address = (__u32)*value; break;
	case 16: *value = *(volatile __u64 *)address; break;
	case 17: *(volatile __u64 *)address = *value; break;
	default:
		fault_expected = 0;
		errno = EINVAL;
		return -1;
	}
	fault_expected = 0;
	return 0;
}

static int protection(const char *word)
{
	return (strchr(word, 'r') ? PROT_READ : 0) | (strchr(word, 'w') ? PROT_WRITE : 0);
}

static void put_mapping(struct answer *answer, void *address)
{
	if (address == MAP_FAILED)
		failed(answer, errno);
	else
		put(answer, "ok %#llx", (unsigned long long)(uintptr_t)address);
}

static void cmd_mmap(const struct words *words, struct answer *answer)
{
	unsigned long long at = number(words, 2);
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | (at != 0 ? MAP_FIXED_NOREPLACE : 0);
	put_mapping(answer, mmap(pointer(at), number(words, 1), PROT_READ | PROT_WRITE, flags, -1, 0));
}

static void cmd_mmapfd(const struct words *words, struct answer *answer)
{
	int access = protection(word_or(words, 4, "rw"));
	off_t offset = (off_t)number(words, 2);
	put_mapping(answer, mmap(NULL, number(words, 3), access, MAP_SHARED, fd_at(words, 1), offset));
}

/* Over whatever is there. */
static void cmd_mapover(const struct words *words, struct answer *answer)
{
	void *at = pointer(number(words, 4));
	off_t offset = (off_t)number(words, 2);
	int flags = MAP_PRIVATE | MAP_FIXED;
	put_mapping(answer, mmap(at, number(words, 3), PROT_READ | PROT_WRITE, flags,
				 fd_at(words, 1), offset));
}

static void cmd_munmap(const struct words *words, struct answer *answer)
{
	done(answer, munmap(pointer(number(words, 1)), number(words, 2)));
}

static void cmd_mprotect(const struct words *words, struct answer *answer)
{
	int access = protection(word_or(words, 3, ""));
	done(answer, mprotect(pointer(number(words, 1)), number(words, 2), access));
}

static void cmd_memfd(const struct words *words, struct answer *answer)
{
	int fd = memfd_create("fdrules", 0);
	if (fd < 0 || ftruncate(fd, (off_t)number(words, 1)) < 0)
		failed(answer, errno);
	else
		put(answer, "ok %d", fd);
}

static void cmd_truncate(const struct words *words, struct answer *answer)
{
	done(answer, ftruncate(fd_at(words, 1), (off_t)number(words, 2)));
}

static void cmd_peek(const struct words *words, struct answer *answer)
{
	size_t length = number(words, 2);
	unsigned char *bytes = calloc(1, length + 1);
	if (bytes == NULL || copy_memory(bytes, pointer(number(words, 1)), length) < 0) {
		failed(answer, errno);
	} else {
		ok(answer);
		put_hex(answer, bytes, length);
	}
	free(bytes);
}

static void cmd_poke(const struct words *words, struct answer *answer)
{
	size_t length;
	unsigned char *bytes = from_hex(word_or(words, 2, ""), 0, &length);
	if (bytes == NULL)
		bad(answer, "hexadecimal digits");
	else
		done(answer, copy_memory(pointer(number(words, 1)), bytes, length));
	free(bytes);
}

static void cmd_fill(const struct words *words, struct answer *answer)
{
	size_t length = number(words, 2);
	unsigned char *bytes = malloc(length + 1);
	if (bytes == NULL) {
		failed(answer, errno);
		return;
	}
	memset(bytes, (int)number(words, 3), length);
	done(answer, copy_memory(pointer(number(words, 1)), bytes, length));
	free(bytes);
}

static void cmd_load(const struct words *words, struct answer *answer)
{
	unsigned long long value = 0;
	if (access_register(pointer(number(words, 1)), (int)number_or(words, 2, 4), &value, 0) < 0)
		failed(answer, errno);
	else
		put(answer, "ok %#llx", value);
}

static void cmd_store(const struct words *words, struct answer *answer)
{
	unsigned long long value = number(words, 3);
	done(answer, access_register(pointer(number(words, 1)), (int)number(words, 2), &value, 1));
}

/* Who touches a missing page there waits for whoever has the descriptor: for ever, as nobody reads it. */
static void cmd_uffd(const struct words *words, struct answer *answer)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register range = {
		.range = {.start = number(words, 1), .len = number(words, 2)},
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) < 0 || ioctl(fd, UFFDIO_REGISTER, &range) < 0)
		failed(answer, errno);
	else
		put(answer, "ok %d", fd);
}

const struct command memory_commands[] = {
	{"mmap", cmd_mmap, "BYTES [ADDRESS] -> address"},
	{"mmapfd", cmd_mmapfd, "FD OFFSET BYTES [r|w|rw] -> address"},
	{"mapover", cmd_mapover, "FD OFFSET BYTES ADDRESS -> address (private)"},
	{"munmap", cmd_munmap, "ADDRESS BYTES"},
	{"mprotect", cmd_mprotect, "ADDRESS BYTES r|w|rw|none"},
	{"uffd", cmd_uffd, "ADDRESS BYTES -> fd"},
	{"memfd", cmd_memfd, "BYTES -> fd"},
	{"truncate", cmd_truncate, "FD BYTES"},
	{"peek", cmd_peek, "ADDRESS LENGTH -> bytes"},
	{"poke", cmd_poke, "ADDRESS BYTES"},
	{"fill", cmd_fill, "ADDRESS LENGTH VALUE"},
	{"load", cmd_load, "ADDRESS [1|2|4|8] -> value"},
	{"store", cmd_store, "ADDRESS 1|2|4|8 VALUE"},
	{NULL, NULL, NULL},
};
