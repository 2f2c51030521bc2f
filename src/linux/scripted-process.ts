/**
 * ScriptedProcess: a process of ours that makes the system calls that it is told, one list after the other,
 * and becomes another program by one of them. What has to be done in the process that becomes a user's
 * command (namespaces, mounts, a filter) is decided here and done there: it has no Node to be started, and
 * this thread, which serves the files that it looks at, never waits for it.
 *
 * Invariant: it is in the middle of one list at most. It ends with this process, and when its socket is
 * closed (scripted-code.ts).
 */
import { closeSync, readSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { Refusal, refuse } from './errno.js';
import { socketPair } from './fd-passing.js';
import { check, libc } from './ffi.js';
import { SHARED_AT } from './helper-code.js';
import { executable } from './helper-start.js';
import { SHARED_BYTES, scriptedFile } from './scripted-code.js';
import { spawn } from './spawn.js';
import { arrayBytes, putStrings } from './string-array.js';

/** System calls by name: their numbers here. */
const numbers =
  process.arch === 'arm64'
    ? {
        ...{ capset: 91, chdir: 49, clone: 220, close: 57, dup3: 24, execve: 221, exit_group: 94 },
        ...{
          faccessat: 48,
          fcntl: 25,
          ioctl: 29,
          mkdirat: 34,
          mknodat: 33,
          mount: 40,
          openat: 56,
          prctl: 167,
        },
        ...{ prlimit64: 261, seccomp: 277, setsid: 157, socketpair: 199, statx: 291, symlinkat: 36 },
        ...{ umount2: 39, unshare: 97, wait4: 260 },
      }
    : {
        ...{ capset: 126, chdir: 80, clone: 56, close: 3, dup3: 292, execve: 59, exit_group: 231 },
        ...{
          faccessat: 269,
          fcntl: 72,
          ioctl: 16,
          mkdirat: 258,
          mknodat: 259,
          mount: 165,
          openat: 257,
          prctl: 157,
        },
        ...{ prlimit64: 302, seccomp: 317, setsid: 112, socketpair: 53, statx: 332, symlinkat: 266 },
        ...{ umount2: 166, unshare: 272, wait4: 61 },
      };
const CLOSE_RANGE = 436;

/**
 * An argument: a number; text, as a C string; bytes, whose address is given, and which have afterwards what
 * the call has written; an array of strings, as bytes; or what its own address has to be known for.
 */
export type Argument = number | string | Uint8Array | readonly Buffer[] | ((at: number) => Uint8Array);

/** A system call to be made. */
export interface Step {
  readonly call: keyof typeof numbers | 'close_range';
  readonly args: readonly Argument[];
  /** What is wrong when it fails. */
  readonly what: string;
  /** An error that may be. */
  readonly despite?: number;
  /**
   * What the new process does that the call, clone, makes: it ends, or becomes another program, before the
   * list has come to its end. Both write the result of the call, so there is none.
   */
  readonly child?: readonly Step[];
}

/** It has ended, or is another program now. */
export class Gone extends Error {}
const GONE = 'the launcher ended before the command began';

/** Where the calls begin; of each, its result and what follows (scripted-code.ts). */
const CALLS = 64;
const CALL_BYTES = 64;
const RESULT = 48;
const DESPITE = 56;
const CHILD = 60;
const PARENT = 8;
const MFD_CLOEXEC = 1;
const F_DUPFD_CLOEXEC = 1030;

export interface Surroundings {
  /** Descriptors for it, by their numbers there. */
  readonly descriptors: ReadonlyMap<number, number>;
  readonly env: Readonly<NodeJS.ProcessEnv>;
  /** A command that starts `program`, for what has to be around it. */
  readonly within: (program: string) => readonly string[];
}

export class ScriptedProcess {
  readonly pid: number;
  /** Descriptors of its own, which are not for other programs: its socket, the memory, and its code. */
  readonly own: readonly number[];
  readonly env: Readonly<NodeJS.ProcessEnv>;
  /** Resolves when it has ended, or is another program. */
  readonly gone: Promise<void>;
  readonly #socket: Socket;
  readonly #memory: number;
  #answered: (() => void) | undefined;
  #over = false;

  /** @throws Refusal as `spawn`; ENOSYS not on this processor; EMFILE. */
  constructor({ descriptors, env, within }: Surroundings) {
    this.own = freeNumbers([...descriptors.keys()], 3);
    this.env = env;
    const [socket, memory, code] = this.own as [number, number, number];
    const program =
      scriptedFile(memory, socket) ?? refuse('ENOSYS', `no process can be prepared on ${process.arch}`);
    const taken = [...descriptors.keys(), ...this.own];
    const [ours, theirs] = socketPair();
    this.#memory = check(libc().memfd_create('ioasid script', MFD_CLOEXEC), 'no memory can be shared');
    const file = executable(program, 'ioasid-launcher');
    const given = [theirs, this.#memory, file].map((fd) => copy(fd, taken)) as [number, number, number];
    const parent = Buffer.alloc(4);
    parent.writeInt32LE(process.pid);
    writeSync(this.#memory, parent, 0, 4, PARENT);
    const all = new Map([...descriptors, [socket, given[0]], [memory, given[1]], [code, given[2]]]);
    try {
      this.pid = spawn(within(`/proc/self/fd/${code}`), env, all);
    } finally {
      for (const fd of [theirs, file, ...given]) libc().close(fd);
    }
    this.#socket = new Socket({ fd: ours, readable: true, writable: true });
    this.#socket.on('error', () => undefined);
    this.#socket.on('data', () => this.#answered?.());
    this.gone = new Promise((resolve) => this.#socket.once('close', () => resolve()));
    void this.gone.then(() => {
      this.#over = true;
      closeSync(this.#memory);
    });
  }

  /**
   * Has it make the calls. @returns their results. @throws Refusal the first error that may not be, and what
   * is wrong then: none of the calls behind it was made. Gone.
   */
  async run(steps: readonly Step[]): Promise<readonly number[]> {
    if (this.#over) throw new Gone(GONE);
    if (steps.length === 0) return [];
    const script = new Script(steps);
    const { length } = script.bytes;
    if (writeSync(this.#memory, script.bytes, 0, length, CALLS) < length)
      refuse('EFBIG', `a file has no room for the ${length} bytes of what is to be done (ulimit -f)`);
    const answer = new Promise<void>((resolve) => {
      this.#answered = resolve;
    });
    const gone = this.gone.then(() => {
      throw new Gone(GONE);
    });
    this.#socket.write('.');
    await Promise.race([answer, gone]);
    readSync(this.#memory, script.bytes, 0, script.bytes.length, CALLS);
    return script.results();
  }

  /** It ends, if it is no other program yet. */
  end(): void {
    this.#socket.destroy();
  }
}

/**
 * A list of calls as it lies in the memory from CALLS on, with what the calls read and write behind, texts at
 * the end. A run has some 450 made while its command waits, so they are put as words, and texts all at once.
 */
class Script {
  readonly bytes: Buffer;
  readonly #words: Int32Array;
  readonly #steps: readonly Step[];
  /** Where the bytes of arguments are. */
  readonly #copies: { readonly bytes: Uint8Array; readonly at: number }[] = [];
  /** Addresses of arrays of strings: one that is given to several calls is there once. */
  readonly #arrays = new Map<Argument, number>();
  #end: number;
  readonly #texts: string[] = [];
  #textEnd: number;

  constructor(steps: readonly Step[]) {
    this.#steps = steps;
    const lists = [steps];
    for (const list of lists)
      lists.push(...list.flatMap(({ child }) => (child === undefined ? [] : [child])));
    const calls = lists.reduce((sum, list) => sum + list.length + 1, 0);
    this.#end = calls * CALL_BYTES;
    let length = this.#end;
    const all = lists.flatMap((list) => list.flatMap(({ args }) => args));
    for (const each of new Set(all.filter(isArray))) length += roomOf(each);
    for (const each of all) if (!isArray(each)) length += roomOf(each);
    const texts = length;
    this.#textEnd = texts;
    for (const each of all) if (typeof each === 'string') length += Buffer.byteLength(each) + 1;
    this.bytes = Buffer.alloc(length);
    this.#words = new Int32Array(this.bytes.buffer, this.bytes.byteOffset, texts / 4);
    if (this.bytes.length > SHARED_BYTES - CALLS)
      refuse('E2BIG', 'the arguments and the environment of the command are too long');
    let at = 0;
    let next = 1;
    const starts = lists.map((list) => {
      const start = at;
      at += (list.length + 1) * CALL_BYTES;
      return start;
    });
    for (const [index, list] of lists.entries()) {
      for (const [place, step] of list.entries()) {
        const child = step.child === undefined ? 0 : CALLS + starts[next++]!;
        this.#put(starts[index]! + place * CALL_BYTES, step, child);
      }
      this.#words[(starts[index]! + list.length * CALL_BYTES) / 4] = -1;
    }
    this.bytes.write(this.#texts.join(''), texts);
  }

  /** @throws Refusal the first error that may not be. */
  results(): number[] {
    for (const { bytes, at } of this.#copies) bytes.set(this.bytes.subarray(at, at + bytes.length));
    return this.#steps.map(({ what, despite = 0 }, index) => {
      const at = (index * CALL_BYTES + RESULT) / 4;
      const result = this.#words[at + 1]! * 2 ** 32 + (this.#words[at]! >>> 0);
      if (result < 0 && result !== -despite) throw new Refusal(-result, what);
      return result;
    });
  }

  #put(at: number, { call, args, despite = 0 }: Step, child: number): void {
    const words = this.#words;
    words[at / 4] = call === 'close_range' ? CLOSE_RANGE : numbers[call];
    let place = at / 4 + 2;
    for (const argument of args) {
      const value = this.#valueOf(argument);
      words[place++] = value;
      words[place++] = Math.floor(value / 2 ** 32);
    }
    words[(at + DESPITE) / 4] = -despite;
    words[(at + CHILD) / 4] = child;
  }

  #valueOf(argument: Argument): number {
    if (typeof argument === 'number') return argument;
    if (typeof argument === 'string') return this.#addressOf(argument);
    const known = this.#arrays.get(argument);
    if (known !== undefined) return known;
    const at = this.#end;
    const address = SHARED_AT + CALLS + at;
    this.#end += roomOf(argument);
    if (typeof argument === 'function') this.bytes.set(argument(address), at);
    else if (argument instanceof Uint8Array) {
      this.bytes.set(argument, at);
      this.#copies.push({ bytes: argument, at });
    } else {
      putStrings(argument, this.bytes.subarray(at), address);
      this.#arrays.set(argument, address);
    }
    return address;
  }

  #addressOf(text: string): number {
    const at = this.#textEnd;
    this.#texts.push(text, '\0');
    this.#textEnd += Buffer.byteLength(text) + 1;
    return SHARED_AT + CALLS + at;
  }
}

function isArray(argument: Argument): argument is readonly Buffer[] {
  return Array.isArray(argument);
}

/** The bytes of memory before the texts that an argument takes; the next begins at a multiple of 8. */
function roomOf(argument: Argument): number {
  const none = typeof argument === 'number' || typeof argument === 'string';
  return none ? 0 : (lengthOf(argument) + 7) & ~7;
}

function lengthOf(argument: Exclude<Argument, number | string>): number {
  if (typeof argument === 'function') return argument(0).length;
  return argument instanceof Uint8Array ? argument.length : arrayBytes(argument);
}

/** `count` numbers from 4 up that are not `taken`: 3 is for programs that want something there. */
export function freeNumbers(taken: readonly number[], count: number): number[] {
  const free: number[] = [];
  for (let fd = 4; free.length < count; fd++) if (!taken.includes(fd)) free.push(fd);
  return free;
}

/** A copy of `fd`, close-on-exec, at none of the numbers that are `taken` there. */
function copy(fd: number, taken: readonly number[]): number {
  for (let from = 3; ; from++) {
    if (taken.includes(from)) continue;
    const found = check(libc().fcntl(fd, F_DUPFD_CLOEXEC, from), 'no process can be given descriptors');
    if (!taken.includes(found)) return found;
    libc().close(found);
  }
}
