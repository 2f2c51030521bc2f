#define _GNU_SOURCE
#include "fdkinds.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <mqueue.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { BYTES = 1 << 16, SYSCALL_MEMFD_SECRET = 447, SYSCALL_FSOPEN = 430, SYSCALL_LANDLOCK = 444 };

static int foreign = -1;

void open_foreign(const char *path)
{
	foreign = open(path, O_RDWR);
}

static int foreign_file(void)
{
	return foreign < 0 ? -1 : dup(foreign);
}

static int sized(int fd, off_t bytes)
{
	return fd >= 0 && ftruncate(fd, bytes) != 0 ? -1 : fd;
}

/* `fd` opened once more, and closed. */
static int again(int fd, int flags)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	int other = fd < 0 ? -1 : open(path, flags);
	close(fd);
	return other;
}

static int memfd(void) { return sized(memfd_create("kinds", MFD_ALLOW_SEALING), BYTES); }

static int sealed(void)
{
	int fd = memfd();
	fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW);
	return fd;
}

static int read_only(void) { return again(memfd(), O_RDONLY); }
static int on_disk(void) { return sized(open("/tmp", O_TMPFILE | O_RDWR, 0600), BYTES); }
static int secret(void) { return sized(syscall(SYSCALL_MEMFD_SECRET, 0), BYTES); }
static int event(void) { return eventfd(0, EFD_NONBLOCK); }
static int semaphore(void) { return eventfd(3, EFD_SEMAPHORE); }

/* An eventfd to which nobody can add any more. */
static int full_event(void)
{
	const uint64_t most = UINT64_MAX - 1;
	int fd = event();
	return write(fd, &most, sizeof most) == sizeof most ? fd : -1;
}

static int event_name(void) { return again(event(), O_PATH); }
static int memory_name(void) { return again(memfd(), O_PATH); }
static int folder_name(void) { return open("/", O_PATH); }
static int context_name(void) { return open_ours("ioasid", O_PATH); }
static int iommu_name(void) { return open_ours("iommu", O_PATH); }
static int folder(void) { return open("/", O_RDONLY); }
static int processes(void) { return open("/proc", O_RDONLY); }
static int areas(void) { return open("/proc/self/maps", O_RDONLY); }
static int own_memory(void) { return open("/proc/self/mem", O_RDWR); }
static int attribute(void) { return open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY); }
static int mounts(void) { return open("/proc/self/ns/mnt", O_RDONLY); }
static int users(void) { return open("/proc/self/ns/user", O_RDONLY); }
static int zeros(void) { return open("/dev/zero", O_RDWR); }
static int fuse(void) { return open("/dev/fuse", O_RDWR); }
static int disk(void) { return open("/dev/loop0", O_RDONLY); }
static int terminal(void) { return posix_openpt(O_RDWR | O_NOCTTY); }
static int controlling(void) { return open("/dev/tty", O_RDWR); }
static int machines(void) { return open("/dev/kvm", O_RDWR); }
static int status(void) { return open("/proc/self/status", O_RDONLY); }
static int statuses(void) { return open("/proc/self/fdinfo", O_RDONLY); }
static int timer(void) { return timerfd_create(CLOCK_MONOTONIC, 0); }
static int process(void) { return syscall(SYS_pidfd_open, getpid(), 0); }
static int watch(void) { return inotify_init1(0); }
static int watch_all(void) { return fanotify_init(FAN_CLASS_NOTIF, O_RDONLY); }
static int faults(void) { return syscall(SYS_userfaultfd, UFFD_USER_MODE_ONLY); }
static int stream(void) { return socket(AF_UNIX, SOCK_STREAM, 0); }
static int internet(void) { return socket(AF_INET, SOCK_STREAM, 0); }
static int datagrams(void) { return socket(AF_INET6, SOCK_DGRAM, 0); }
static int netlink(void) { return socket(AF_NETLINK, SOCK_RAW, 0); }
static int packets(void) { return socket(AF_PACKET, SOCK_RAW, 0); }
static int filesystem(void) { return syscall(SYSCALL_FSOPEN, "tmpfs", 0); }

static int pipe_end(void)
{
	int ends[2];
	if (pipe(ends) != 0)
		return -1;
	close(ends[1]);
	return ends[0];
}

static int messages(void)
{
	char name[32];

	snprintf(name, sizeof name, "/ioasid-kinds-%d", getpid());
	int fd = mq_open(name, O_CREAT | O_RDWR, 0600, NULL);
	mq_unlink(name);
	return fd;
}

/* A set of a set of sets. */
static int sets(void)
{
	struct epoll_event any = { .events = EPOLLIN };
	int inner = epoll_create1(0);
	for (int depth = 0; depth < 3; depth++) {
		int outer = epoll_create1(0);
		epoll_ctl(outer, EPOLL_CTL_ADD, inner, &any);
		close(inner);
		inner = outer;
	}
	return inner;
}

/* A pipe with a name. */
static int fifo(void)
{
	char path[] = "/tmp/ioasid-kinds-XXXXXX";
	int fd = -1;

	if (mkdtemp(path) == NULL)
		return -1;
	char name[sizeof path + 5];
	snprintf(name, sizeof name, "%s/fifo", path);
	if (mkfifo(name, 0600) == 0)
		fd = open(name, O_RDWR);
	unlink(name);
	rmdir(path);
	return fd;
}

static int rules(void)
{
	const uint64_t all = 1;
	return syscall(SYSCALL_LANDLOCK, &all, sizeof all, 0);
}

static int ring(void)
{
	struct io_uring_params parameters = { 0 };
	return syscall(SYS_io_uring_setup, 8, &parameters);
}

static int signals(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	return signalfd(-1, &set, 0);
}

static int map_of_bpf(void)
{
	union bpf_attr map = {
		.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1,
	};
	return syscall(SYS_bpf, BPF_MAP_CREATE, &map, sizeof map);
}

static int counter(void)
{
	struct perf_event_attr dummy = {
		.type = PERF_TYPE_SOFTWARE, .size = sizeof dummy, .config = PERF_COUNT_SW_DUMMY,
	};
	return syscall(SYS_perf_event_open, &dummy, 0, -1, -1, 0);
}

static int same_context(void) { return dup(context); }
static int iommu(void) { return open_ours("iommu", O_RDWR); }
static int container(void) { return open_ours("vfio/vfio", O_RDWR); }
static int device(void) { return open_ours("vfio/devices/vfio1", O_RDWR); }
static int queues(void) { return open_ours("vhost-vdpa-1", O_RDWR); }
static int our_folder(void) { return open_ours("vfio", O_RDONLY); }

/* Its number is not one of the next files'. */
static int closed(void)
{
	int fd = fcntl(0, F_DUPFD, 500);
	close(fd);
	return fd;
}

static int huge(void) { return INT_MAX; }

const struct kind kinds[] = {
	{ "eventfd", event, EVENT }, { "semaphore", semaphore, EVENT },
	{ "full eventfd", full_event, EVENT }, { "memfd", memfd, MEMORY },
	{ "sealed memfd", sealed, MEMORY }, { "memfd opened for reading", read_only, MEMORY },
	{ "file on a disk", on_disk, MEMORY }, { "name of an eventfd", event_name, NAME },
	{ "name of a memfd", memory_name, NAME }, { "name of a folder", folder_name, NAME },
	{ "name of a context", context_name, NAME }, { "name of an iommufd", iommu_name, NAME },
	{ "secret memory", secret, OTHER }, { "folder", folder, OTHER },
	{ "/proc", processes, OTHER }, { "maps", areas, OTHER }, { "mem", own_memory, OTHER },
	{ "attribute", attribute, OTHER }, { "mount namespace", mounts, OTHER },
	{ "user namespace", users, OTHER }, { "/dev/zero", zeros, OTHER },
	{ "/dev/fuse", fuse, OTHER }, { "block device", disk, OTHER },
	{ "terminal", terminal, OTHER }, { "controlling terminal", controlling, OTHER },
	{ "/dev/kvm", machines, OTHER }, { "status", status, OTHER }, { "fdinfo", statuses, OTHER },
	{ "pipe", pipe_end, OTHER }, { "pipe with a name", fifo, OTHER },
	{ "rules of Landlock", rules, OTHER },
	{ "epoll sets", sets, OTHER }, { "io_uring", ring, OTHER }, { "timerfd", timer, OTHER },
	{ "signalfd", signals, OTHER }, { "pidfd", process, OTHER }, { "inotify", watch, OTHER },
	{ "fanotify", watch_all, OTHER }, { "userfaultfd", faults, OTHER },
	{ "map of BPF", map_of_bpf, OTHER }, { "perf event", counter, OTHER },
	{ "unix socket", stream, OTHER }, { "TCP socket", internet, OTHER },
	{ "UDP socket", datagrams, OTHER }, { "netlink", netlink, OTHER },
	{ "packet socket", packets, OTHER }, { "message queue", messages, OTHER },
	{ "filesystem context", filesystem, OTHER },
	{ "file of a silent server", foreign_file, OTHER },
	{ "the context", same_context, CONTEXT }, { "iommufd", iommu, IOMMU },
	{ "container", container, CONTAINER }, { "device file", device, OTHER },
	{ "vhost-vdpa", queues, OTHER }, { "folder of ours", our_folder, OTHER },
	{ "closed descriptor", closed, CLOSED }, { "highest number", huge, CLOSED },
	{ 0 },
};
