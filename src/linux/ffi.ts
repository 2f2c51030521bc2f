/**
 * The C library, called directly. This file is the only one that loads koffi, and it loads it at the first
 * call, so that an in-process machine needs no native code at all.
 *
 * Addresses and sizes are plain numbers (`uintptr_t`), never koffi structs: a call costs about 0.2 µs that
 * way and several times that with conversions. Buffers that cross the boundary are prepared once and their
 * address kept (`address`). Every function returns what the C function returns; `lastErrno()` says why it was
 * -1.
 */
import { createRequire } from 'node:module';
import { Errno, Refusal } from './errno.js';

type Koffi = typeof import('koffi');

const signatures = {
  open: 'int open(const char *path, int flags, int mode)',
  close: 'int close(int fd)',
  read: 'long read(int fd, uintptr_t buffer, ulong length)',
  write: 'long write(int fd, uintptr_t buffer, ulong length)',
  pread: 'long pread64(int fd, uintptr_t buffer, ulong length, long offset)',
  pwrite: 'long pwrite64(int fd, uintptr_t buffer, ulong length, long offset)',
  splice: 'long splice(int from, uintptr_t at, int to, uintptr_t at2, ulong length, uint32_t flags)',
  writev: 'long writev(int fd, uintptr_t iov, int count)',
  poll: 'int poll(uintptr_t fds, ulong count, int timeout)',
  ioctl: 'int ioctl(int fd, ulong cmd, uintptr_t arg)',
  fcntl: 'int fcntl(int fd, int cmd, long arg)',
  access: 'int access(const char *path, int mode)',
  fstat: 'int fstat(int fd, uintptr_t stat)',
  statx: 'int statx(int dirfd, const char *path, int flags, uint32_t mask, uintptr_t statx)',
  epoll_create1: 'int epoll_create1(int flags)',
  epoll_ctl: 'int epoll_ctl(int set, int operation, int fd, uintptr_t event)',
  epoll_wait: 'int epoll_wait(int set, uintptr_t events, int most, int timeout)',
  getrandom: 'long getrandom(uintptr_t buffer, ulong length, uint32_t flags)',
  pipe2: 'int pipe2(uintptr_t fds, int flags)',
  eventfd: 'int eventfd(uint32_t initial, int flags)',
  memfd_create: 'int memfd_create(const char *name, uint32_t flags)',
  ftruncate: 'int ftruncate64(int fd, long length)',
  fallocate: 'int fallocate64(int fd, int mode, long offset, long length)',
  mmap: 'uintptr_t mmap(uintptr_t address, ulong length, int protection, int flags, int fd, long offset)',
  munmap: 'int munmap(uintptr_t address, ulong length)',
  mprotect: 'int mprotect(uintptr_t address, ulong length, int protection)',
  madvise: 'int madvise(uintptr_t address, ulong length, int advice)',
  memcpy: 'uintptr_t memcpy(uintptr_t target, uintptr_t source, ulong length)',
  process_vm_readv:
    'long process_vm_readv(int pid, uintptr_t local, ulong n, uintptr_t remote, ulong m, ulong flags)',
  process_vm_writev:
    'long process_vm_writev(int pid, uintptr_t local, ulong n, uintptr_t remote, ulong m, ulong flags)',
  mount: 'int mount(const char *source, const char *target, const char *type, ulong flags, const char *data)',
  umount2: 'int umount2(const char *target, int flags)',
  unshare: 'int unshare(int flags)',
  getsid: 'int getsid(int pid)',
  sched_yield: 'int sched_yield()',
  prctl: 'int prctl(int option, ulong a, ulong b, ulong c, ulong d)',
  getsockopt: 'int getsockopt(int fd, int level, int name, uintptr_t value, uintptr_t length)',
  setsockopt: 'int setsockopt(int fd, int level, int name, uintptr_t value, uint length)',
  socket: 'int socket(int domain, int type, int protocol)',
  bind: 'int bind(int fd, uintptr_t address, uint length)',
  listen: 'int listen(int fd, int backlog)',
  accept4: 'int accept4(int fd, uintptr_t address, uintptr_t length, int flags)',
  connect: 'int connect(int fd, uintptr_t address, uint length)',
  recvmsg: 'long recvmsg(int fd, uintptr_t message, int flags)',
  sendmsg: 'long sendmsg(int fd, uintptr_t message, int flags)',
  send: 'long send(int fd, uintptr_t buffer, ulong length, int flags)',
  syscall: 'long syscall(long number, long a, long b, long c)',
  preadv2: 'long syscall(long number, long fd, uintptr_t iov, long n, long offset, long zero, long flags)',
  syscall5: 'long syscall(long number, long a, long b, long c, long d, long e)',
  syscall6: 'long syscall(long number, long a, long b, long c, long d, long e, long f)',
  ptrace: 'long ptrace(long request, int pid, uintptr_t address, uintptr_t data)',
  waitid: 'int waitid(int kind, int id, uintptr_t info, int options)',
  posix_spawnp:
    'int posix_spawnp(uintptr_t pid, uintptr_t file, uintptr_t a, uintptr_t b, uintptr_t argv, uintptr_t e)',
  posix_spawn_file_actions_init: 'int posix_spawn_file_actions_init(uintptr_t actions)',
  posix_spawn_file_actions_adddup2:
    'int posix_spawn_file_actions_adddup2(uintptr_t actions, int fd, int target)',
  posix_spawn_file_actions_destroy: 'int posix_spawn_file_actions_destroy(uintptr_t actions)',
  posix_spawnattr_init: 'int posix_spawnattr_init(uintptr_t attributes)',
  posix_spawnattr_setflags: 'int posix_spawnattr_setflags(uintptr_t attributes, short flags)',
  posix_spawnattr_setsigmask: 'int posix_spawnattr_setsigmask(uintptr_t attributes, uintptr_t set)',
  posix_spawnattr_setsigdefault: 'int posix_spawnattr_setsigdefault(uintptr_t attributes, uintptr_t set)',
  posix_spawnattr_destroy: 'int posix_spawnattr_destroy(uintptr_t attributes)',
  execve: 'int execve(uintptr_t path, uintptr_t argv, uintptr_t envp)',
  pthread_sigmask: 'int pthread_sigmask(int how, uintptr_t set, uintptr_t before)',
  signal: 'uintptr_t signal(int number, uintptr_t handler)',
  sigaction: 'int sigaction(int number, const void *action, void *before)',
  prlimit64: 'int prlimit64(int pid, int resource, uintptr_t fresh, uintptr_t old)',
  capget: 'int capget(uintptr_t header, uintptr_t data)',
  capset: 'int capset(uintptr_t header, uintptr_t data)',
  _exit: 'void _exit(int status)',
  dup2: 'int dup2(int fd, int target)',
  socketpair: 'int socketpair(int domain, int type, int protocol, uintptr_t fds)',
} as const;

type CFunction = (...args: (number | string | null | Uint8Array)[]) => number;

/** A C function; `.async` runs it on another thread, for calls that this thread itself must answer. */
export interface LibcFunction extends CFunction {
  async(
    ...args: [...(number | string | null | Uint8Array)[], (error: Error | null, result: number) => void]
  ): void;
}

export type Libc = { readonly [name in keyof typeof signatures]: LibcFunction };

let koffi: Koffi | undefined;
let functions: Libc | undefined;

/** koffi itself. @throws Refusal ENOSYS where it does not run. */
export function loadKoffi(): Koffi {
  if (koffi === undefined) {
    try {
      koffi = found();
    } catch (error) {
      throw new Refusal(
        Errno.ENOSYS,
        `koffi cannot be loaded on ${process.platform} ${process.arch}: ${(error as Error).message}`,
      );
    }
  }
  return koffi;
}

/** The version of koffi that package.json names. */
export const KOFFI = '3.3.4';

/**
 * Koffi's package for this platform is its native part. It is asked for at once: to look for it, koffi has
 * Node load its rules for what packages export, which makes 20 million instructions of 13. Where it is not
 * beside us, or lies there for somebody else's koffi, that is left to koffi.
 */
function found(): Koffi {
  const require = createRequire(import.meta.url);
  try {
    const native = require(`@koromix/koffi-${process.platform}-${process.arch}`) as Koffi;
    if (native.version === KOFFI) return native;
  } catch {
    // Koffi looks in more places, and says what it lacks.
  }
  return require('koffi') as Koffi;
}

/** The functions of the C library. The first call loads them. */
export function libc(): Libc {
  if (functions === undefined) {
    const library = loadKoffi().load(null);
    const table: Record<string, unknown> = {};
    for (const [name, signature] of Object.entries(signatures)) table[name] = library.func(signature);
    functions = table as unknown as Libc;
    const location = library.func('uintptr_t __errno_location()')() as number;
    errnos = new Int32Array(viewMemory(location, 4).buffer);
  }
  return functions;
}

/** The function at an address, of these C types. */
export function callable(
  at: number,
  result: string,
  parameters: readonly string[],
): (...args: number[]) => number {
  const koffi = loadKoffi();
  return koffi.decode(at, koffi.proto(result, [...parameters])) as (...args: number[]) => number;
}

/** errno, where the C library has that of this thread. */
let errnos: Int32Array | undefined;

/**
 * errno of the last C call of this thread: ask at once. It is a load, where another call would take longer,
 * and leave V8 more time to make system calls of its own in between.
 */
export function lastErrno(): number {
  return errnos === undefined ? loadKoffi().errno() : errnos[0]!;
}

/**
 * The address of `buffer`'s first byte. Good as long as the buffer lives: keep a reference. A short array is
 * made in V8's heap, where things move; to ask for its address takes it out of there, for good.
 */
export function address(buffer: Uint8Array): number {
  return Number(loadKoffi().address(buffer));
}

const addresses = new WeakMap<Uint8Array, number>();

/** `address(buffer)`, remembered: for buffers that are used again and again. */
export function addressOf(buffer: Uint8Array): number {
  const known = addresses.get(buffer);
  if (known !== undefined) return known;
  const found = address(buffer);
  addresses.set(buffer, found);
  return found;
}

/** `result` if it is not -1. @throws Refusal with the current errno and `what` failed. */
export function check(result: number, what: string): number {
  if (result === -1) {
    const errno = lastErrno();
    throw new Refusal(errno, what);
  }
  return result;
}

/**
 * The `length` bytes at `at`, as an array over that very memory. Touching it after the memory was unmapped
 * ends this process.
 */
export function viewMemory(at: number, length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(loadKoffi().view(at, length) as ArrayBuffer);
}
