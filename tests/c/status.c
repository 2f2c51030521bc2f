/*
 * What stat(2) and its kin say of device files, called in every way, by a program that has much else to do.
 *
 * usage: status TASK
 */
#define _GNU_SOURCE
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEVICE "/dev/vfio/devices/vfio0"
enum { MANY = 200, THREADS = 4, GUARD = 0xa5 };
#define NUMBER makedev(511, 0)

static int device;

/* The struct alone is written, and says what it says of a character device. */
static int is_device(long result, unsigned char *bytes, size_t size)
{
	struct stat status;

	CHECK(result == 0);
	CHECK(bytes[size] == GUARD);
	memcpy(&status, bytes, sizeof(status));
	CHECK(status.st_ino != 0 && status.st_nlink == 1 && (status.st_mode & 07777) == 0666);
	if (!S_ISCHR(status.st_mode))
		return 0;
	CHECK(status.st_rdev == NUMBER && status.st_size == 0 && status.st_blocks == 0);
	return 1;
}

static int is_device_to_statx(int folder, const char *path, int flags)
{
	struct statx status = { 0 };

	CHECK(syscall(SYS_statx, folder, path, flags, STATX_BASIC_STATS | STATX_BTIME, &status) == 0);
	CHECK(status.stx_ino != 0 && status.stx_nlink == 1 && (status.stx_mode & 07777) == 0666);
	if (!S_ISCHR(status.stx_mode))
		return 0;
	CHECK(status.stx_rdev_major == 511 && status.stx_rdev_minor == 0);
	CHECK(status.stx_size == 0 && status.stx_blocks == 0);
	return 1;
}

/* The system call `nr` with the struct as argument `last`. */
static int call(long nr, long first, long second, long flags)
{
	unsigned char bytes[sizeof(struct stat) + 1];
	int is_third = nr == SYS_newfstatat;
	long at = (long)bytes;

	memset(bytes, GUARD, sizeof(bytes));
	return is_device(syscall(nr, first, is_third ? second : at, is_third ? at : 0, flags), bytes,
	                 sizeof(struct stat));
}

static int by_all_calls(void)
{
	int count = 0;

	count += call(SYS_stat, (long)DEVICE, 0, 0);
	count += call(SYS_lstat, (long)DEVICE, 0, 0);
	count += call(SYS_fstat, device, 0, 0);
	count += call(SYS_newfstatat, AT_FDCWD, (long)DEVICE, 0);
	count += call(SYS_newfstatat, device, (long)"", AT_EMPTY_PATH);
	count += is_device_to_statx(AT_FDCWD, DEVICE, 0);
	count += is_device_to_statx(device, "", AT_EMPTY_PATH);
	return count;
}

static void calls(void)
{
	CHECK(by_all_calls() == 7);
}

static int fstat_says(void)
{
	return call(SYS_fstat, device, 0, 0);
}

static void *asks(void *nothing)
{
	for (int i = 0; i < MANY; i++)
		CHECK(fstat_says());
	return nothing;
}

/* Maps the first BAR: the process is traced from then on. */
static volatile uint32_t *map(void)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = 0 };
	uint16_t command = 6;
	void *at;

	CHECK(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info) == 0);
	at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, device, info.offset);
	CHECK(at != MAP_FAILED);
	info.index = 7;
	CHECK(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info) == 0);
	CHECK(pwrite(device, &command, 2, info.offset + 4) == 2);
	return at;
}

/* One thread maps the device while others ask: they come to be traced as they are being told. */
static void mapping(void)
{
	pthread_t threads[THREADS];
	volatile uint32_t *bar;

	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, asks, NULL) == 0);
	CHECK(fstat_says());
	bar = map();
	for (int i = 0; i < MANY; i++)
		CHECK(bar[0] == 0x010000ed);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	calls();
}

static volatile sig_atomic_t alarms;

static void alarmed(int signal)
{
	(void)signal;
	alarms++;
}

/* None of the signals that come meanwhile is lost, and no call is cut short by one. */
static void signals(void)
{
	struct sigaction action = { .sa_handler = alarmed };
	struct itimerval often = { { 0, 500 }, { 0, 500 } }, never = { { 0, 0 }, { 0, 0 } };
	sigset_t all;

	CHECK(sigaction(SIGALRM, &action, NULL) == 0);
	CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
	asks(NULL);
	CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
	CHECK(alarms > 0);

	alarms = 0;
	for (int i = 0; i < MANY; i++) {
		CHECK(kill(getpid(), SIGALRM) == 0);
		CHECK(fstat_says());
	}
	CHECK(alarms == MANY);
	sigfillset(&all);
	CHECK(sigprocmask(SIG_SETMASK, &all, NULL) == 0);
	CHECK(fstat_says());
	CHECK(kill(getpid(), SIGALRM) == 0);
	CHECK(fstat_says());
	CHECK(alarms == MANY);
}

/* A child that is stopped and goes on while it asks, as its parent sees it. */
static void stops(void)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		asks(NULL);
		_exit(0);
	}
	for (int stopped = 0; stopped < MANY / 4;) {
		CHECK(kill(child, SIGSTOP) == 0);
		CHECK(waitpid(child, &status, WUNTRACED) == child);
		if (WIFEXITED(status))
			break;
		CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
		stopped++;
		CHECK(kill(child, SIGCONT) == 0);
	}
	CHECK(WIFEXITED(status) || waitpid(child, &status, 0) == child);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void *asks_for_ever(void *nothing)
{
	for (;;)
		syscall(SYS_fstat, device, alloca(sizeof(struct stat)));
	return nothing;
}

/* What asks is killed, or becomes another program, and its parent hears of it as ever. */
static void ends(void)
{
	for (int i = 0; i < 20; i++) {
		pid_t child = fork();
		pthread_t thread;
		int status;

		if (child == 0) {
			CHECK(pthread_create(&thread, NULL, asks_for_ever, NULL) == 0);
			for (int j = 0; j < i; j++)
				fstat_says();
			if (i % 2 == 0)
				execl("/bin/true", "true", (char *)NULL);
			asks_for_ever(NULL);
		}
		usleep(1000 * i);
		CHECK(i % 2 == 0 || kill(child, SIGKILL) == 0);
		CHECK(waitpid(child, &status, 0) == child);
		CHECK(i % 2 == 0 ? WIFEXITED(status) && WEXITSTATUS(status) == 0
		                 : WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	}
}

/* Memory that is not there, descriptors that are not open, files that are none of the devices. */
static void refusals(void)
{
	struct stat status;

	CHECK(syscall(SYS_fstat, device, NULL) == -1 && errno == EFAULT);
	CHECK(syscall(SYS_stat, DEVICE, (void *)8) == -1 && errno == EFAULT);
	CHECK(syscall(SYS_fstat, 1000, &status) == -1 && errno == EBADF);
	CHECK(syscall(SYS_stat, DEVICE "0", &status) == -1 && errno == ENOENT);
	CHECK(stat("/dev/vfio/devices", &status) == 0 && S_ISDIR(status.st_mode));
	CHECK(stat("/dev/null", &status) == 0 && status.st_rdev == makedev(1, 3));
	calls();
}

/* Whoever has a debugger already is told of a regular file, and its debugger sees nothing else. */
static void debugged(void)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		CHECK(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
		CHECK(raise(SIGSTOP) == 0);
		_exit(by_all_calls());
	}
	CHECK(waitpid(child, &status, 0) == child && WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	CHECK(ptrace(PTRACE_CONT, child, NULL, NULL) == 0);
	CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static const struct task tasks[] = {
	{ "calls", calls }, { "mapping", mapping }, { "signals", signals }, { "stops", stops },
	{ "ends", ends }, { "refusals", refusals }, { "debugged", debugged }, { NULL, NULL },
};

int main(int argc, char **argv)
{
	device = open(DEVICE, O_RDWR);
	CHECK(device >= 0);
	return run_task(tasks, argc > 1 ? argv[1] : "");
}
