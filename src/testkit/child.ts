/** Another real process, a Node child that makes libc calls for the tests: no compiler needed. */
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Account } from '../linux/account.js';
import { helpersOf } from './helper-processes.js';

export const PAGE = 4096;
const PROT_READ_WRITE = 3;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const MFD_ALLOW_SEALING = 2;
const F_ADD_SEALS = 1033;
/** Numbers of system calls (asm/unistd.h). */
const calls = process.arch === 'x64' ? { ioctl: 16, pwrite: 18 } : { ioctl: 29, pwrite: 68 };

/** Whom the tests have pay. */
export const account = Account.of('the test');

export class Child {
  readonly pid: number;
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, (result: unknown) => void>();
  #next = 0;

  constructor() {
    this.#process = fork(new URL('child-main.js', import.meta.url), { serialization: 'advanced' });
    this.#process.on('message', ({ id, result }: { id: number; result: unknown }) => {
      this.#waiting.get(id)!(result);
      this.#waiting.delete(id);
    });
    this.pid = this.#process.pid!;
  }

  order<T>(name: string, ...args: (number | string | Uint8Array)[]): Promise<T> {
    const id = this.#next++;
    this.#process.send({ id, name, args });
    return new Promise((resolve) => this.#waiting.set(id, resolve as (result: unknown) => void));
  }

  /** Calls a C function there. @returns its result, or -errno. */
  call(name: string, ...args: (number | string)[]): Promise<number> {
    return this.order('call', name, ...args);
  }

  poke(at: number, bytes: Uint8Array): Promise<void> {
    return this.order('poke', at, bytes);
  }

  peek(at: number, length: number): Promise<Uint8Array> {
    return this.order('peek', at, length);
  }

  /** Anonymous memory, readable and writable. @returns its address. */
  map(length: number): Promise<number> {
    return this.call('mmap', 0, length, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0);
  }

  async memfd(name: string, size: number, seals = 0): Promise<number> {
    const fd = await this.call('memfd_create', name, MFD_ALLOW_SEALING);
    assert.equal(await this.call('ftruncate', fd, size), 0);
    if (seals !== 0) assert.equal(await this.call('fcntl', fd, F_ADD_SEALS, seals), 0);
    return fd;
  }

  /** How many of its threads are in that system call. */
  threadsIn(call: keyof typeof calls): number {
    const tasks = `/proc/${this.pid}/task`;
    const numbers = readdirSync(tasks).map((tid) =>
      Number(readFileSync(`${tasks}/${tid}/syscall`, 'latin1').split(' ')[0]),
    );
    return numbers.filter((number) => number === calls[call]).length;
  }

  /** Sends SIGKILL and waits until nothing is left. */
  async kill(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const exited = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill('SIGKILL');
    await exited;
  }
}

/** Waits until process `pid` runs the program `name`. */
export async function runs(pid: number, name: string): Promise<void> {
  while (readFileSync(`/proc/${pid}/comm`, 'utf8').trim() !== name) await sleep(5);
}

/** The address of the stack of process `pid`. */
export function stackOf(pid: number): number {
  return Number.parseInt(/^(\w+)-.*\[stack\]$/m.exec(readFileSync(`/proc/${pid}/maps`, 'utf8'))![1]!, 16);
}

/**
 * The descriptors that this process has open, as what they are, but for what it has of helper processes that
 * live: any of those may be given up, where it gets no processor, and the next access begins another.
 */
export function descriptors(): string[] {
  const helpers = helpersOf(process.pid);
  return readdirSync('/proc/self/fd')
    .filter((fd) => !helpers.includes(processOf(fd)))
    .map((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`);
      } catch {
        return '';
      }
    })
    .filter((name) => name !== '')
    .sort();
}

/** The process that our descriptor `fd` is for: by its pidfd, or by its state in some procfs; else NaN. */
function processOf(fd: string): number {
  try {
    const [, inPath] = /\/(\d+)\/stat$/.exec(readlinkSync(`/proc/self/fd/${fd}`)) ?? [];
    return Number(inPath ?? /^Pid:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1]);
  } catch {
    return Number.NaN;
  }
}
