/**
 * The other process of the tests: does what it is told, one libc call at a time. See child.ts.
 */
import { readlinkSync } from 'node:fs';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { address, lastErrno, libc, loadKoffi } from '../linux/ffi.js';

interface Order {
  readonly id: number;
  readonly name: string;
  readonly args: (number | string | Uint8Array)[];
}

const kept: Uint8Array[] = [];

/** Bytes at a lasting address. */
function keep(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(Math.max(128, bytes.length));
  copy.set(bytes);
  kept.push(copy);
  return copy;
}

/** C functions that only tests need. */
function extra(): Record<string, (...args: (number | string)[]) => number> {
  const c = loadKoffi().load(null);
  return {
    mprotect: c.func('int mprotect(uintptr_t address, ulong length, int protection)'),
    fsync: c.func('int fsync(int fd)'),
    fallocate: c.func('int fallocate64(int fd, int mode, long offset, long length)'),
    lseek: c.func('long lseek64(int fd, long offset, int whence)'),
  };
}

const orders: Record<string, (...args: never[]) => unknown> = {
  call(name: string, ...args: (number | string)[]) {
    const result = (extra()[name] ?? libc()[name as 'read'])(...args);
    return result === -1 ? -lastErrno() : result;
  },
  /** The same on another thread: four at once, while others are called. */
  callAside: (name: 'ioctl' | 'pwrite' | 'epoll_ctl', ...args: (number | string)[]) =>
    new Promise((resolve) => libc()[name].async(...args, (_error, result) => resolve(result))),
  poke(at: number, bytes: Uint8Array) {
    libc().memcpy(at, address(keep(bytes)), bytes.length);
  },
  peek(at: number, length: number) {
    const bytes = new Uint8Array(Math.max(128, length));
    libc().memcpy(address(bytes), at, length);
    return bytes.subarray(0, length);
  },
  /** The address of memory that holds `bytes`. */
  buffer: (bytes: Uint8Array) => address(keep(bytes)),
  /** A forked child fills memory with 0xee and exits before the answer. */
  forkAndFill(at: number, length: number) {
    const c = loadKoffi().load(null);
    const fork = c.func('int fork()');
    const wait = c.func('int waitpid(int pid, uintptr_t status, int options)');
    const source = address(keep(new Uint8Array(length).fill(0xee)));
    const pid = fork() as number;
    if (pid === 0) {
      libc().memcpy(at, source, length);
      libc()._exit(0);
    }
    return wait(pid, 0, 0);
  },
  /**
   * Opens `path` `count` times, closes it as often in one system call (close_range), and opens it again.
   * @returns the descriptor.
   */
  closeAllAndOpen(path: string, count: number) {
    const fds = Array.from({ length: count }, () => libc().open(path, 2, 0));
    libc().syscall(436, fds[0]!, fds[count - 1]!, 0);
    return libc().open(path, 2, 0);
  },
  /** Becomes `sleep 60`, in the same process. */
  becomeSleep() {
    const exec = loadKoffi()
      .load(null)
      .func('int execl(const char *path, const char *a, const char *b, void *end)');
    exec('/bin/sleep', 'sleep', '60', null);
  },
  /** A thread that lives on. @returns its id. */
  thread: () => answerOf(new Worker(new URL(import.meta.url), { workerData: {} })),
  /** A thread that lets the file behind `fd` have `size` bytes and none in turn, for ever. */
  resize: (fd: number, size: number) =>
    answerOf(new Worker(new URL(import.meta.url), { workerData: { resize: [fd, size] } })),
  /** A thread that lets `fd` be `a` and `b` in turn, for ever. */
  swap: (fd: number, a: number, b: number) =>
    answerOf(new Worker(new URL(import.meta.url), { workerData: { swap: [fd, a, b] } })),
};

function answerOf(worker: Worker): Promise<number> {
  worker.unref();
  return new Promise((resolve) => worker.once('message', resolve));
}

if (isMainThread) {
  process.on('message', async ({ id, name, args }: Order) => {
    process.send!({ id, result: await orders[name]!(...(args as never[])) });
  });
} else {
  parentPort!.postMessage(Number(readlinkSync('/proc/thread-self').split('/')[2]));
  const { swap, resize } = workerData as { swap?: [number, number, number]; resize?: [number, number] };
  if (swap !== undefined) {
    const [fd, a, b] = swap;
    for (;;) {
      libc().dup2(a, fd);
      libc().dup2(b, fd);
    }
  }
  if (resize !== undefined) {
    const [fd, size] = resize;
    for (;;) {
      libc().ftruncate(fd, 0);
      libc().ftruncate(fd, size);
    }
  }
  setInterval(() => {}, 1000);
}
