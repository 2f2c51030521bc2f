/** A filesystem of fake device files, mounted for the tests and served by the test's own process. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { FuseServer, type FuseServerOptions } from '../devfs/fuse-server.js';
import type { DeviceNode } from '../file/device-node.js';
import type { Caller, IoctlCall, OpenFile } from '../file/open-file.js';
import type { Sliced, Work } from '../file/work.js';
import { type Refusal, refuse } from '../linux/errno.js';
import { runLoop } from '../linux/event-loop.js';
import { mountedDevice } from '../linux/fd-identity.js';
import { libc } from '../linux/ffi.js';
import { mountFuse } from '../linux/fuse-mount.js';
import { callEvent } from '../trace/call-record.js';
import type { CallEvent } from '../trace/event.js';
import { Trace } from '../trace/trace.js';
import { tracedNodes } from '../trace/traced-nodes.js';

const TYPE = 0x3b;

/** An ioctl number: direction 0 none, 1 write, 2 read, 3 both. */
export function ioctl(direction: number, nr: number, size: number): number {
  return direction * 2 ** 30 + (size << 16) + (TYPE << 8) + nr;
}

/** What the fake files understand. */
export const Cmd = {
  /** Adds 1 to every byte of the struct. @returns its length. */
  ADD: 1,
  /** `arg` is a descriptor. @returns the number of the open file that it means. */
  PRESENTED: 2,
  /**
   * `arg` is the address of two descriptors (s32). @returns 100 times the number of the first, plus that of
   * the second.
   */
  PRESENTED_TWO: 3,
  /** Doubles the byte at address `arg`. */
  DOUBLE: 4,
  /** Throws what is no Refusal. */
  BUG: 5,
  /** Refuses with ENOSYS. */
  NOT_IMPLEMENTED: 6,
  /** Kills the calling process, then answers. */
  KILL: 7,
  /** @returns the caller's process id. */
  PID: 8,
  /** Puts a new fake file into the caller. */
  INSTALL: 9,
  /** Goes on in slices until `working` is false. */
  WORK: 10,
} as const;

/** An open file with a number, which counts what happens to it. */
export class FakeFile implements OpenFile {
  readonly object = this;
  lastRefusal: Refusal | undefined;
  readonly number: number;
  flushes = 0;
  releases = 0;
  /** What it has tried to put into a caller. */
  made: FakeFile | undefined;
  working = false;
  written: { offset: number; bytes: string } | undefined;

  constructor(number: number) {
    this.number = number;
  }

  ioctl(caller: Caller, call: IoctlCall): Sliced<number> {
    const { cmd, arg, data } = call;
    switch (cmd & 0xff) {
      case Cmd.ADD:
        for (let i = 0; i < data.length; i++) data[i]! += 1;
        return data.length;
      case Cmd.PRESENTED:
        return numberOf(caller.presented(arg));
      case Cmd.PRESENTED_TWO: {
        const bytes = new Uint8Array(8);
        caller.readMemory(arg, bytes);
        const [a, b] = new Int32Array(bytes.buffer);
        return numberOf(caller.presented(a!)) * 100 + numberOf(caller.presented(b!));
      }
      case Cmd.DOUBLE: {
        const byte = new Uint8Array(1);
        caller.readMemory(arg, byte);
        byte[0]! *= 2;
        caller.writeMemory(arg, byte);
        return 0;
      }
      case Cmd.BUG:
        throw new TypeError('a bug');
      case Cmd.NOT_IMPLEMENTED:
        return refuse('ENOSYS', 'not implemented');
      case Cmd.KILL:
        process.kill(caller.pid, 'SIGKILL');
        return 0;
      case Cmd.PID:
        return caller.pid;
      case Cmd.INSTALL:
        this.made = new FakeFile(0);
        return caller.install(this.made);
      case Cmd.WORK:
        this.working = true;
        return this.#work(call);
      default:
        return refuse('ENOTTY', `no ioctl ${cmd}`);
    }
  }

  read(_caller: Caller, offset: number, target: Uint8Array): number {
    const text = Buffer.from(`at ${offset}`);
    const length = Math.min(text.length, target.length);
    target.set(text.subarray(0, length));
    return length;
  }

  write(_caller: Caller, offset: number, source: Uint8Array): number {
    this.written = { offset, bytes: Buffer.from(source).toString() };
    return source.length;
  }

  flush(): void {
    this.flushes++;
  }

  release(): void {
    this.releases++;
  }

  /** @returns the argument, as it is in the end. */
  *#work(call: IoctlCall): Work<number> {
    while (this.working) yield;
    return call.arg;
  }
}

function numberOf(object: object): number {
  return object instanceof FakeFile ? object.number : refuse('EINVAL', 'not a fake file');
}

/** A device node whose files are fake; all it ever opened are in `files`. */
export class FakeNode implements DeviceNode {
  readonly path: string;
  readonly flushes: boolean;
  readonly files: FakeFile[] = [];
  readonly #count: () => number;

  constructor(path: string, flushes: boolean, count: () => number) {
    this.path = path;
    this.flushes = flushes;
    this.#count = count;
  }

  open(): FakeFile {
    const file = new FakeFile(this.#count());
    this.files.push(file);
    return file;
  }
}

/** A mount with `plain` (never flushes) and `sub/dir/flushing`. */
export class Mounted {
  readonly directory = mkdtempSync(join(tmpdir(), 'ioasid-devfs-'));
  readonly plain = new FakeNode('plain', false, () => ++this.#files);
  readonly flushing = new FakeNode('sub/dir/flushing', true, () => ++this.#files);
  readonly server: FuseServer;
  readonly ended: Promise<void>;
  readonly #trace = new Trace();
  readonly #look = this.#trace.calls.look();
  #calls: CallEvent[] = [];
  #files = 0;

  constructor(options: FuseServerOptions = {}) {
    const fd = mountFuse(this.directory, { allowOther: true });
    this.server = new FuseServer(fd, tracedNodes(this.#trace, [this.plain, this.flushing]), {
      device: mountedDevice(this.directory),
      trace: this.#trace,
      ...options,
    });
    const source = { fd, ready: (between: () => boolean) => this.server.serve(between) };
    this.ended = runLoop([source], (hurried) => this.server.step(hurried)).then(() => void libc().close(fd));
  }

  /** The calls since `forgetCalls`. */
  get calls(): readonly CallEvent[] {
    const { events, times, at, end } = this.#look.unread();
    for (let n = at; n < end; n++) this.#calls.push(callEvent(events[n]!, times[n]!));
    this.#look.done();
    return this.#calls;
  }

  forgetCalls(): void {
    this.#look.done();
    this.#calls = [];
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  /** Ends all calls that go on until they are told: whoever waits in one cannot be killed. */
  endWork(): void {
    for (const { files } of [this.plain, this.flushing]) for (const file of files) file.working = false;
  }

  /** Unmounts; to be called when no file is open. */
  async stop(): Promise<void> {
    const MNT_DETACH = 2;
    libc().umount2(this.directory, MNT_DETACH);
    await this.ended;
    rmdirSync(this.directory);
  }
}

/** Waits until `condition` holds. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(1);
}

/**
 * May the tests of `file` mount? Root may. Otherwise they are one test here, which runs the whole file again
 * as root of a user namespace.
 */
export function mountingIsAllowed(file: string): boolean {
  if (process.geteuid?.() === 0) return true;
  test('as root of a user namespace', async (t) => {
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const command = ['-rm', '--', process.execPath, fileURLToPath(file)];
    if ((await run('unshare', ['-rm', '--', 'test', '-w', '/dev/fuse'], env)).status !== 0) {
      t.skip('neither root, nor user namespaces with a /dev/fuse for everybody');
      return;
    }
    const { status, output } = await run('unshare', command, env);
    if (status !== 0) throw new Error(output);
  });
  return false;
}

function run(
  command: string,
  args: string[],
  env: NodeJS.ProcessEnv,
): Promise<{ status: number | null; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (text) => (output += text));
    child.stderr.on('data', (text) => (output += text));
    child.on('error', () => resolve({ status: 127, output: `${command} is missing` }));
    child.on('close', (status) => resolve({ status, output }));
  });
}
