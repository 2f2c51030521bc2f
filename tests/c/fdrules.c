/*
 * fdrules: a process that does what it is told, for tests of the rules that only real processes can show.
 *
 * It reads commands from standard input, one per line, and answers each with one line on standard output:
 *
 *   ok VALUE... it was done err EBUSY ... the system call failed so bad TEXT the command itself is wrong
 *
 * Numbers may be decimal or hexadecimal (0x). Memory is written as hexadecimal digits, two for each byte.
 * Addresses are never checked before they are used: a command that meets SIGSEGV or SIGBUS answers `err
 * EFAULT`. The table at the end lists the commands; `help` prints it.
 *
 * `fork NAME` makes a child that is such an actor too; `@NAME COMMAND` has it do COMMAND and passes the
 * answer on, `post NAME COMMAND` does not wait for the answer, which `collect NAME` gets later. Parent and
 * child share their open files, as after every fork. `repeat N COMMAND ; COMMAND ...` does a sequence N times
 * and counts the outcomes: `ok 10 ok/ok=7 err:ENOENT/err:ENOENT=3`. In a sequence, `$` stands for the first
 * value of the answer before. `thread` does things at the same time as all this, until `stop`.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ioasid.h"

enum { MAX_WORDS = 64, MAX_CHILDREN = 32, MAX_THREADS = 16, MAX_OUTCOMES = 32, MAX_STEPS = 8, CONTROL_FD = 500 };

/* ---- Answers ---- */

/* What a command answers; `text` grows as needed and is reused. */
struct answer {
	char *text;
	size_t length, capacity;
};

static void put(struct answer *answer, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct answer *answer, const char *format, ...)
{
	for (;;) {
		size_t room = answer->capacity - answer->length;
		va_list args;
		va_start(args, format);
		int n = vsnprintf(answer->text + answer->length, room, format, args);
		va_end(args);
		if (n >= 0 && (size_t)n < room) {
			answer->length += (size_t)n;
			return;
		}
		answer->capacity = answer->capacity * 2 + (size_t)n + 256;
		answer->text = realloc(answer->text, answer->capacity);
		if (answer->text == NULL)
			abort();
	}
}

static void start_over(struct answer *answer)
{
	answer->length = 0;
	put(answer, "%s", "");
}

static void ok(struct answer *answer)
{
	put(answer, "ok");
}

static void bad(struct answer *answer, const char *what)
{
	start_over(answer);
	put(answer, "bad %s", what);
}

/* The answer of a call that failed with `error`. */
static void failed(struct answer *answer, int error)
{
	const char *name = strerrorname_np(error);
	start_over(answer);
	if (name != NULL)
		put(answer, "err %s", name);
	else
		put(answer, "err %d", error);
}

/* The answer of a system call that returned `result`: `err`, or `ok RESULT`. */
static void returned(struct answer *answer, long long result)
{
	if (result < 0)
		failed(answer, errno);
	else
		put(answer, "ok %lld", result);
}

/* The answer of a system call that has nothing to say when it succeeds. */
static void done(struct answer *answer, int result)
{
	if (result < 0)
		failed(answer, errno);
	else
		ok(answer);
}

static void put_hex(struct answer *answer, const unsigned char *bytes, size_t length)
{
	static const char digits[] = "0123456789abcdef";
	put(answer, " ");
	while (answer->capacity - answer->length < 2 * length + 1) {
		answer->capacity = answer->capacity * 2 + 2 * length;
		answer->text = realloc(answer->text, answer->capacity);
		if (answer->text == NULL)
			abort();
	}
	for (size_t i = 0; i < length; i++) {
		answer->text[answer->length++] = digits[bytes[i] >> 4];
		answer->text[answer->length++] = digits[bytes[i] & 15];
	}
	answer->text[answer->length] = 0;
}

/* ---- Words of a command ---- */

struct words {
	int count;
	char *at[MAX_WORDS];
};

static struct words split(char *line)
{
	struct words words = {.count = 0};
	char *rest = NULL;
	for (char *word = strtok_r(line, " \t\r\n", &rest); word != NULL && words.count < MAX_WORDS; word = strtok_r(NULL, " \t\r\n", &rest))
		words.at[words.count++] = word;
	return words;
}

/* Word `i` as a number; `otherwise` when there is none. */
static unsigned long long number_or(const struct words *words, int i, unsigned long long otherwise)
{
	if (i >= words->count)
		return otherwise;
	return words->at[i][0] == '-' ? (unsigned long long)strtoll(words->at[i], NULL, 0) : strtoull(words->at[i], NULL, 0);
}

static unsigned long long number(const struct words *words, int i)
{
	return number_or(words, i, 0);
}

static int fd_at(const struct words *words, int i)
{
	return (int)number_or(words, i, (unsigned long long)-1);
}

static const char *word_or(const struct words *words, int i, const char *otherwise)
{
	return i < words->count ? words->at[i] : otherwise;
}

static void *pointer(unsigned long long address)
{
	return (void *)(uintptr_t)address;
}

/**
 * Hexadecimal digits to at least `room` zeroed bytes, which the caller frees; `*length` is how many the
 * digits gave. NULL: bad digits.
 */
static unsigned char *from_hex(const char *digits, size_t room, size_t *length)
{
	size_t n = strlen(digits) / 2;
	unsigned char *bytes = calloc(1, n > room ? n : room + 1);
	for (size_t i = 0; bytes != NULL && i < n; i++) {
		char pair[3] = {digits[2 * i], digits[2 * i + 1], 0};
		if (!isxdigit((unsigned char)pair[0]) || !isxdigit((unsigned char)pair[1])) {
			free(bytes);
			return NULL;
		}
		bytes[i] = (unsigned char)strtoul(pair, NULL, 16);
	}
	*length = n;
	return bytes;
}

/* ---- Memory accesses that may fault ---- */

static __thread sigjmp_buf fault_return;
static __thread volatile sig_atomic_t fault_expected;

static void on_fault(int signal_number)
{
	if (fault_expected)
		siglongjmp(fault_return, 1);
	signal(signal_number, SIG_DFL);
	raise(signal_number);
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

/* ---- Commands: descriptors ---- */

static void cmd_open(const struct words *words, struct answer *answer)
{
	const char *mode = word_or(words, 2, "rw");
	int flags = strcmp(mode, "r") == 0 ? O_RDONLY : strcmp(mode, "w") == 0 ? O_WRONLY : O_RDWR;
	if (strcmp(mode, "create") == 0)
		flags |= O_CREAT;
	returned(answer, open(word_or(words, 1, ""), flags, 0600));
}

static void cmd_close(const struct words *words, struct answer *answer)
{
	done(answer, close(fd_at(words, 1)));
}

static void cmd_dup(const struct words *words, struct answer *answer)
{
	returned(answer, dup(fd_at(words, 1)));
}

static void cmd_dup2(const struct words *words, struct answer *answer)
{
	returned(answer, dup2(fd_at(words, 1), fd_at(words, 2)));
}

static void cmd_cloexec(const struct words *words, struct answer *answer)
{
	done(answer, fcntl(fd_at(words, 1), F_SETFD, FD_CLOEXEC));
}

static void cmd_inode(const struct words *words, struct answer *answer)
{
	struct stat status;
	if (fstat(fd_at(words, 1), &status) < 0)
		failed(answer, errno);
	else
		put(answer, "ok %llu %u:%u", (unsigned long long)status.st_ino, major(status.st_dev), minor(status.st_dev));
}

static void cmd_pread(const struct words *words, struct answer *answer)
{
	size_t length = number(words, 3);
	unsigned char *bytes = calloc(1, length + 1);
	ssize_t n = bytes == NULL ? -1 : pread(fd_at(words, 1), bytes, length, (off_t)number(words, 2));
	if (n < 0) {
		failed(answer, errno);
	} else {
		ok(answer);
		put_hex(answer, bytes, (size_t)n);
	}
	free(bytes);
}

static void cmd_pwrite(const struct words *words, struct answer *answer)
{
	size_t length;
	unsigned char *bytes = from_hex(word_or(words, 3, ""), 0, &length);
	if (bytes == NULL)
		bad(answer, "hexadecimal digits");
	else
		returned(answer, pwrite(fd_at(words, 1), bytes, length, (off_t)number(words, 2)));
	free(bytes);
}

static void cmd_eventfd(const struct words *words, struct answer *answer)
{
	returned(answer, eventfd((unsigned)number(words, 1), EFD_NONBLOCK));
}

static void cmd_readevent(const struct words *words, struct answer *answer)
{
	unsigned long long count;
	if (read(fd_at(words, 1), &count, sizeof count) == (ssize_t)sizeof count)
		put(answer, "ok %llu", count);
	else
		failed(answer, errno);
}

/* Answers `ok REVENTS`; 0 when nothing came within the time. */
static void cmd_poll(const struct words *words, struct answer *answer)
{
	struct pollfd entry = {.fd = fd_at(words, 1), .events = POLLIN};
	if (poll(&entry, 1, (int)number(words, 2)) < 0)
		failed(answer, errno);
	else
		put(answer, "ok %d", entry.revents);
}

/* ---- Commands: descriptors between processes ---- */

static void cmd_socketpair(const struct words *words, struct answer *answer)
{
	int pair[2];
	(void)words;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0)
		failed(answer, errno);
	else
		put(answer, "ok %d %d", pair[0], pair[1]);
}

static struct sockaddr_un socket_name(const char *path)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	strncpy(name.sun_path, path, sizeof name.sun_path - 1);
	return name;
}

static void cmd_listen(const struct words *words, struct answer *answer)
{
	struct sockaddr_un name = socket_name(word_or(words, 1, ""));
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	if (bind(fd, (struct sockaddr *)&name, sizeof name) < 0 || listen(fd, 8) < 0) {
		failed(answer, errno);
		close(fd);
	} else {
		put(answer, "ok %d", fd);
	}
}

static void cmd_accept(const struct words *words, struct answer *answer)
{
	returned(answer, accept(fd_at(words, 1), NULL, NULL));
}

static void cmd_connect(const struct words *words, struct answer *answer)
{
	struct sockaddr_un name = socket_name(word_or(words, 1, ""));
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	if (connect(fd, (struct sockaddr *)&name, sizeof name) < 0) {
		failed(answer, errno);
		close(fd);
	} else {
		put(answer, "ok %d", fd);
	}
}

/* A message of one byte, with room for one descriptor. */
struct fd_message {
	struct msghdr header;
	struct iovec part;
	char byte;
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
};

static void prepare(struct fd_message *message)
{
	memset(message, 0, sizeof *message);
	message->part.iov_base = &message->byte;
	message->part.iov_len = 1;
	message->header.msg_iov = &message->part;
	message->header.msg_iovlen = 1;
	message->header.msg_control = message->control;
	message->header.msg_controllen = sizeof message->control;
}

static void cmd_sendfd(const struct words *words, struct answer *answer)
{
	struct fd_message message;
	int fd = fd_at(words, 2);
	prepare(&message);
	struct cmsghdr *control = CMSG_FIRSTHDR(&message.header);
	control->cmsg_level = SOL_SOCKET;
	control->cmsg_type = SCM_RIGHTS;
	control->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(control), &fd, sizeof fd);
	done(answer, sendmsg(fd_at(words, 1), &message.header, 0) < 0 ? -1 : 0);
}

static void cmd_recvfd(const struct words *words, struct answer *answer)
{
	struct fd_message message;
	int fd;
	prepare(&message);
	ssize_t n = recvmsg(fd_at(words, 1), &message.header, 0);
	struct cmsghdr *control = n < 0 ? NULL : CMSG_FIRSTHDR(&message.header);
	if (n < 0) {
		failed(answer, errno);
	} else if (control == NULL || control->cmsg_type != SCM_RIGHTS) {
		failed(answer, ENODATA);
	} else {
		memcpy(&fd, CMSG_DATA(control), sizeof fd);
		put(answer, "ok %d", fd);
	}
}

/* ---- Commands: memory ---- */

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
	put_mapping(answer, mmap(NULL, number(words, 3), protection(word_or(words, 4, "rw")), MAP_SHARED, fd_at(words, 1),
				 (off_t)number(words, 2)));
}

/* Over whatever is there. */
static void cmd_mapover(const struct words *words, struct answer *answer)
{
	put_mapping(answer, mmap(pointer(number(words, 4)), number(words, 3), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED,
				 fd_at(words, 1), (off_t)number(words, 2)));
}

static void cmd_munmap(const struct words *words, struct answer *answer)
{
	done(answer, munmap(pointer(number(words, 1)), number(words, 2)));
}

static void cmd_mprotect(const struct words *words, struct answer *answer)
{
	done(answer, mprotect(pointer(number(words, 1)), number(words, 2), protection(word_or(words, 3, ""))));
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

/* ---- Commands: ioctls of ioasid.h ---- */

static void cmd_info(const struct words *words, struct answer *answer)
{
	struct ioasid_info info = {.size = sizeof info};
	if (ioctl(fd_at(words, 1), IOASID_GET_INFO, &info) < 0)
		failed(answer, errno);
	else
		put(answer, "ok pasid_bits=%u address_bits=%u page_sizes=%#llx kinds=%#x table_formats=%#x faults=%#x pasid_quota=%u pasids=%u "
			    "mapping_quota=%u mappings=%u",
		    info.pasid_bits, info.address_bits, (unsigned long long)info.page_sizes, info.kinds, info.table_formats, info.faults,
		    info.pasid_quota, info.pasids, info.mapping_quota, info.mappings);
}

static void cmd_alloc(const struct words *words, struct answer *answer)
{
	struct ioasid_alloc alloc = {.size = sizeof alloc, .kind = (__u32)number(words, 2), .parent = (__u32)number(words, 3)};
	if (ioctl(fd_at(words, 1), IOASID_ALLOC, &alloc) < 0)
		failed(answer, errno);
	else
		put(answer, "ok %u", alloc.pasid);
}

static void cmd_free(const struct words *words, struct answer *answer)
{
	struct ioasid_free request = {.size = sizeof request, .pasid = (__u32)number(words, 2)};
	done(answer, ioctl(fd_at(words, 1), IOASID_FREE, &request));
}

static void cmd_map(const struct words *words, struct answer *answer)
{
	struct ioasid_map map = {.size = sizeof map, .pasid = (__u32)number(words, 2), .user_va = number(words, 3),
				 .length = number(words, 4), .flags = (__u32)number(words, 5), .iova = number(words, 6)};
	if (ioctl(fd_at(words, 1), IOASID_MAP, &map) < 0)
		failed(answer, errno);
	else
		put(answer, "ok %#llx", (unsigned long long)map.iova);
}

static void cmd_mapfile(const struct words *words, struct answer *answer)
{
	struct ioasid_map_file map = {.size = sizeof map, .pasid = (__u32)number(words, 2), .fd = fd_at(words, 3),
				      .offset = number(words, 4), .length = number(words, 5), .flags = (__u32)number(words, 6),
				      .iova = number(words, 7)};
	if (ioctl(fd_at(words, 1), IOASID_MAP_FILE, &map) < 0)
		failed(answer, errno);
	else
		put(answer, "ok %#llx", (unsigned long long)map.iova);
}

static void cmd_unmap(const struct words *words, struct answer *answer)
{
	struct ioasid_unmap unmap = {.size = sizeof unmap, .pasid = (__u32)number(words, 2), .iova = number(words, 3),
				     .length = number(words, 4), .flags = (__u32)number(words, 5)};
	if (ioctl(fd_at(words, 1), IOASID_UNMAP, &unmap) < 0)
		failed(answer, errno);
	else
		put(answer, "ok %#llx", (unsigned long long)unmap.length);
}

static void cmd_copy(const struct words *words, struct answer *answer)
{
	struct ioasid_copy copy = {.size = sizeof copy, .dst_pasid = (__u32)number(words, 2), .src_pasid = (__u32)number(words, 3),
				   .src_iova = number(words, 4), .length = number(words, 5), .flags = (__u32)number(words, 6),
				   .dst_iova = number(words, 7)};
	if (ioctl(fd_at(words, 1), IOASID_COPY, &copy) < 0)
		failed(answer, errno);
	else
		put(answer, "ok %#llx", (unsigned long long)copy.dst_iova);
}

/* Answers `ok ERRNO REASON`, or `ok none`. */
static void cmd_explain(const struct words *words, struct answer *answer)
{
	struct ioasid_explain explain = {.size = sizeof explain};
	if (ioctl(fd_at(words, 1), IOASID_EXPLAIN, &explain) < 0)
		failed(answer, errno);
	else if (explain.error == 0)
		put(answer, "ok none");
	else
		put(answer, "ok %s %.*s", strerrorname_np(explain.error), (int)sizeof explain.reason, explain.reason);
}

static void cmd_authorize(const struct words *words, struct answer *answer)
{
	struct ioasid_authorize request = {.size = sizeof request, .ioasid_fd = fd_at(words, 2), .pasid = (__u32)number(words, 3),
					   .vpasid = (__u32)number(words, 4)};
	done(answer, ioctl(fd_at(words, 1), IOASID_AUTHORIZE, &request));
}

static void cmd_revoke(const struct words *words, struct answer *answer)
{
	struct ioasid_revoke request = {.size = sizeof request, .pasid = (__u32)number(words, 2)};
	done(answer, ioctl(fd_at(words, 1), IOASID_REVOKE, &request));
}

/**
 * Any ioctl on a struct given as bytes. Answers `ok RESULT BYTES` or `err ERRNO BYTES`, with the bytes as
 * they are afterwards.
 */
static void cmd_ioctl(const struct words *words, struct answer *answer)
{
	size_t length;
	unsigned char *bytes = from_hex(word_or(words, 3, ""), 1u << _IOC_SIZEBITS, &length);
	if (bytes == NULL) {
		bad(answer, "hexadecimal digits");
		return;
	}
	returned(answer, ioctl(fd_at(words, 1), (unsigned long)number(words, 2), bytes));
	put_hex(answer, bytes, length);
	free(bytes);
}

/* Any ioctl with any argument, valid or not. */
static void cmd_ioctlat(const struct words *words, struct answer *answer)
{
	returned(answer, ioctl(fd_at(words, 1), (unsigned long)number(words, 2), pointer(number(words, 3))));
}

/* ---- Commands: ioctls of linux/vfio.h ---- */

static void cmd_vfio_info(const struct words *words, struct answer *answer)
{
	struct vfio_device_info info = {.argsz = sizeof info};
	if (ioctl(fd_at(words, 1), VFIO_DEVICE_GET_INFO, &info) < 0)
		failed(answer, errno);
	else
		put(answer, "ok flags=%#x regions=%u irqs=%u", info.flags, info.num_regions, info.num_irqs);
}

static void cmd_vfio_region(const struct words *words, struct answer *answer)
{
	struct vfio_region_info region = {.argsz = sizeof region, .index = (__u32)number(words, 2)};
	if (ioctl(fd_at(words, 1), VFIO_DEVICE_GET_REGION_INFO, &region) < 0)
		failed(answer, errno);
	else
		put(answer, "ok flags=%#x size=%#llx offset=%#llx", region.flags, (unsigned long long)region.size,
		    (unsigned long long)region.offset);
}

static void cmd_vfio_irq(const struct words *words, struct answer *answer)
{
	struct vfio_irq_info irq = {.argsz = sizeof irq, .index = (__u32)number(words, 2)};
	if (ioctl(fd_at(words, 1), VFIO_DEVICE_GET_IRQ_INFO, &irq) < 0)
		failed(answer, errno);
	else
		put(answer, "ok flags=%#x count=%u", irq.flags, irq.count);
}

/**
 * `irqset FD INDEX FLAGS START COUNT [FD...]`: as many eventfds as are given follow the struct, -1 for none.
 */
static void cmd_vfio_irqset(const struct words *words, struct answer *answer)
{
	union {
		struct vfio_irq_set set;
		char room[sizeof(struct vfio_irq_set) + MAX_WORDS * sizeof(__s32)];
	} request;
	memset(&request, 0, sizeof request);
	int fds = words->count > 6 ? words->count - 6 : 0;
	request.set.argsz = (__u32)(sizeof request.set + (size_t)fds * sizeof(__s32));
	request.set.index = (__u32)number(words, 2);
	request.set.flags = (__u32)number(words, 3);
	request.set.start = (__u32)number(words, 4);
	request.set.count = (__u32)number(words, 5);
	for (int i = 0; i < fds; i++) {
		__s32 fd = fd_at(words, 6 + i);
		memcpy(request.room + sizeof request.set + (size_t)i * sizeof fd, &fd, sizeof fd);
	}
	done(answer, ioctl(fd_at(words, 1), VFIO_DEVICE_SET_IRQS, &request));
}

static void cmd_vfio_reset(const struct words *words, struct answer *answer)
{
	done(answer, ioctl(fd_at(words, 1), VFIO_DEVICE_RESET));
}

/* ---- Commands: processes ---- */

/**
 * The children that still are actors of ours. `control` is our end of the socket that is their standard input
 * and output.
 */
static struct child {
	char name[32];
	pid_t pid;
	int control;
} children[MAX_CHILDREN];

static _Atomic int stopping;
static int thread_count;

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
	thread_count = 0;
	stopping = 0;
	dup2(control, 0);
	dup2(control, 1);
	close(control);
}

static void run_actor(void) __attribute__((noreturn));

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

/* Reads one line, without what follows it. Returns its length, or -1 at the end of the input. */
static ssize_t read_line(int fd, struct answer *line)
{
	start_over(line);
	for (;;) {
		char c;
		ssize_t n = read(fd, &c, 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		if (c == '\n')
			return (ssize_t)line->length;
		if (line->length + 2 > line->capacity) {
			line->capacity = line->capacity * 2 + 4096;
			line->text = realloc(line->text, line->capacity);
			if (line->text == NULL)
				abort();
		}
		line->text[line->length++] = c;
		line->text[line->length] = 0;
	}
}

static int write_all(int fd, const char *text, size_t length)
{
	while (length > 0) {
		ssize_t n = write(fd, text, length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		text += n;
		length -= (size_t)n;
	}
	return 0;
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
static void forward(const struct words *words, struct answer *answer)
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

/* ---- Commands: sequences and threads ---- */

static void execute(const struct words *words, struct answer *answer);

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
			length += (size_t)snprintf(outcome + length, room - length, "%s%s", i == 0 ? "" : "/", status);
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

/* ---- The table ---- */

static void cmd_help(const struct words *words, struct answer *answer);

static const struct command {
	const char *name;
	void (*run)(const struct words *words, struct answer *answer);
	const char *usage;
} commands[] = {
	{"open", cmd_open, "PATH [r|w|rw|create] -> fd"},
	{"close", cmd_close, "FD"},
	{"dup", cmd_dup, "FD -> fd"},
	{"dup2", cmd_dup2, "FROM TO -> fd"},
	{"cloexec", cmd_cloexec, "FD"},
	{"inode", cmd_inode, "FD -> inode major:minor"},
	{"pread", cmd_pread, "FD OFFSET LENGTH -> bytes"},
	{"pwrite", cmd_pwrite, "FD OFFSET BYTES -> count"},
	{"eventfd", cmd_eventfd, "[INITIAL] -> fd"},
	{"readevent", cmd_readevent, "FD -> count (EAGAIN: none)"},
	{"poll", cmd_poll, "FD MS -> revents (0: none in time)"},
	{"socketpair", cmd_socketpair, "-> fd fd"},
	{"listen", cmd_listen, "PATH -> fd"},
	{"accept", cmd_accept, "FD -> fd"},
	{"connect", cmd_connect, "PATH -> fd"},
	{"sendfd", cmd_sendfd, "SOCKET FD"},
	{"recvfd", cmd_recvfd, "SOCKET -> fd"},
	{"mmap", cmd_mmap, "BYTES [ADDRESS] -> address"},
	{"mmapfd", cmd_mmapfd, "FD OFFSET BYTES [r|w|rw] -> address"},
	{"mapover", cmd_mapover, "FD OFFSET BYTES ADDRESS -> address (private)"},
	{"munmap", cmd_munmap, "ADDRESS BYTES"},
	{"mprotect", cmd_mprotect, "ADDRESS BYTES r|w|rw|none"},
	{"memfd", cmd_memfd, "BYTES -> fd"},
	{"truncate", cmd_truncate, "FD BYTES"},
	{"peek", cmd_peek, "ADDRESS LENGTH -> bytes"},
	{"poke", cmd_poke, "ADDRESS BYTES"},
	{"fill", cmd_fill, "ADDRESS LENGTH VALUE"},
	{"load", cmd_load, "ADDRESS [1|2|4|8] -> value"},
	{"store", cmd_store, "ADDRESS 1|2|4|8 VALUE"},
	{"info", cmd_info, "FD -> name=value..."},
	{"alloc", cmd_alloc, "FD KIND [PARENT] -> pasid"},
	{"free", cmd_free, "FD PASID"},
	{"map", cmd_map, "FD PASID ADDRESS LENGTH FLAGS [IOVA] -> iova"},
	{"mapfile", cmd_mapfile, "FD PASID FILE OFFSET LENGTH FLAGS [IOVA] -> iova"},
	{"unmap", cmd_unmap, "FD PASID IOVA LENGTH [FLAGS] -> length"},
	{"copy", cmd_copy, "FD TO_PASID FROM_PASID FROM_IOVA LENGTH FLAGS [IOVA] -> iova"},
	{"explain", cmd_explain, "FD -> errno reason, or none"},
	{"authorize", cmd_authorize, "DEVICE IOASID PASID [VPASID]"},
	{"revoke", cmd_revoke, "DEVICE PASID"},
	{"ioctl", cmd_ioctl, "FD NUMBER BYTES -> result bytes"},
	{"ioctlat", cmd_ioctlat, "FD NUMBER ARGUMENT -> result"},
	{"vfioinfo", cmd_vfio_info, "DEVICE -> name=value..."},
	{"region", cmd_vfio_region, "DEVICE INDEX -> name=value..."},
	{"irq", cmd_vfio_irq, "DEVICE INDEX -> name=value..."},
	{"irqset", cmd_vfio_irqset, "DEVICE INDEX FLAGS START COUNT [EVENTFD...]"},
	{"reset", cmd_vfio_reset, "DEVICE"},
	{"fork", cmd_fork, "NAME -> pid"},
	{"post", cmd_post, "NAME COMMAND..."},
	{"collect", cmd_collect, "NAME -> its answer"},
	{"kill", cmd_kill, "NAME [SIGNAL]"},
	{"wait", cmd_wait, "NAME -> exit STATUS | signal NUMBER"},
	{"exec", cmd_exec, "-> (this program again, in the same process)"},
	{"pid", cmd_pid, "-> pid"},
	{"exit", cmd_exit, "[STATUS]"},
	{"sleep", cmd_sleep, "MS"},
	{"repeat", cmd_repeat, "N COMMAND [; COMMAND...] -> N outcome=count..."},
	{"thread", cmd_thread, "dup2loop A B C | loop COMMAND [; COMMAND...]"},
	{"stop", cmd_stop, "-> rounds..."},
	{"help", cmd_help, "-> this"},
};

static void cmd_help(const struct words *words, struct answer *answer)
{
	(void)words;
	ok(answer);
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
		put(answer, " [%s %s]", commands[i].name, commands[i].usage);
}

static void execute(const struct words *words, struct answer *answer)
{
	if (words->count == 0) {
		bad(answer, "empty command");
		return;
	}
	if (words->at[0][0] == '@') {
		forward(words, answer);
		return;
	}
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
		if (strcmp(commands[i].name, words->at[0]) == 0) {
			commands[i].run(words, answer);
			return;
		}
	}
	bad(answer, words->at[0]);
}

static void reply(struct answer *answer)
{
	put(answer, "\n");
	if (write_all(1, answer->text, answer->length) < 0)
		_exit(1);
}

static void run_actor(void)
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
	struct sigaction on_access = {.sa_handler = on_fault, .sa_flags = SA_NODEFER};
	struct answer answer = {0};
	(void)argv;
	sigaction(SIGSEGV, &on_access, NULL);
	sigaction(SIGBUS, &on_access, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (argc > 1) { /* `exec` is answered by the program that it started */
		start_over(&answer);
		ok(&answer);
		reply(&answer);
	}
	run_actor();
}
