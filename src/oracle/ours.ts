/**
 * Our side: the line language over the in-process machine, with the answers that `oracle/executor.c` gives
 * over the kernel.
 *
 * Every sequence is a process of its own on one machine, and it exits at the end of its sequence.
 */
import { InProcess } from '../client/in-process.js';
import { inParts } from '../file/parts.js';
import { finish } from '../file/work.js';
import { errnoName, Refusal, refuse } from '../linux/errno.js';
import { BrokenInvariant } from '../linux/invariant.js';
import type { Machine } from '../machine/machine.js';
import { getU16, getU32, setBig } from '../uapi/struct.js';
import type { Answers, Side } from './answers.js';
import { attributeAnswer } from './attributes.js';
import { CONFIG, findCapability, findExtended, type ReadConfig } from './capabilities.js';
import {
  changes,
  fromHex,
  type IoctlLine,
  type Line,
  type PlainLine,
  parsePatch,
  parseValue,
  type Sequence,
  toHex,
  type Value,
} from './language.js';

const PAGE = 4096;
const STRUCT_BYTES = 4 * PAGE;
/** What an ioctl's struct can be long; the rest of its memory stays 0. */
const STRUCT_SHOWN = 512;
const GAP_BYTES = 1 << 20;
/** More bytes of a watched buffer are not looked at. */
const WATCHED_BYTES = 1 << 20;
/** No descriptor has this number. */
const NO_FD = -1;
/** What `poll` asks for. */
const POLLIN = 1;
const POLLOUT = 4;

export class Ours implements Side {
  readonly #machine: Machine;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  ask(sequences: readonly Sequence[]): Promise<readonly Answers[]> {
    return Promise.resolve(
      sequences.map((sequence) => ({ kind: 'answered', answers: this.answer(sequence) })),
    );
  }

  /** One answer for each line. */
  answer(sequence: Sequence): readonly string[] {
    const executor = new Executor(this.#machine);
    const answers = sequence.lines.map((line) => executor.answer(line));
    executor.exit();
    return answers;
  }
}

interface Buffer {
  readonly address: number;
  readonly bytes: Uint8Array;
}

class Executor {
  readonly #machine: Machine;
  readonly #process: InProcess;
  /** A name that is given again stands for the new until that is closed. */
  readonly #descriptors = new Map<string, number[]>();
  readonly #buffers = new Map<string, Buffer>();
  readonly #values = new Map<string, bigint>();
  readonly #struct: Buffer;

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#process = new InProcess(machine);
    this.#struct = this.#process.allocate(STRUCT_BYTES);
  }

  exit(): void {
    this.#process.exit();
  }

  answer(line: Line): string {
    try {
      return line.verb === 'ioctl' ? this.#ioctl(line) : this.#plain(line);
    } catch (error) {
      return failure(error);
    }
  }

  #plain(line: PlainLine): string {
    const [first = '', second = '', third = ''] = line.words;
    switch (line.verb) {
      case 'open':
        return this.#descriptor(first, this.#process.open(second.replace(/^\/dev\//, '')));
      case 'memfd':
        return this.#descriptor(first, this.#process.createMemfd(Number(second)).fd);
      case 'eventfd':
        return this.#descriptor(first, this.#process.createEventfd().fd);
      case 'dup':
        return this.#descriptor(first, this.#process.dup(this.#fd(second)));
      case 'close':
        this.#process.close(this.#fd(first));
        this.#descriptors.get(first)?.pop();
        return '0';
      case 'buf':
        this.#buffers.set(first, this.#allocate(Number(second), Number(third)));
        return '0';
      case 'fill':
        this.#buffers.get(first)?.bytes.set(fromHex(third), Number(second));
        return '0';
      case 'peek':
        return toHex(
          this.#buffers.get(first)!.bytes.subarray(Number(second), Number(second) + Number(third)),
        );
      case 'until':
        return this.#until(this.#buffers.get(first)!.bytes, Number(second), Number(third));
      case 'poll':
        return `0x${this.#process.poll(this.#fd(first), POLLIN | POLLOUT).toString(16)}`;
      case 'hear':
        return this.#read({ verb: 'read', words: [first, '8'] });
      case 'read':
      case 'pread':
      case 'preadv':
        return this.#read(line);
      case 'write':
      case 'pwrite':
      case 'pwritev':
        return this.#write(line);
      case 'cap':
        return this.#capability(first, findCapability(this.#config(second), Number(third)));
      case 'xcap':
        return this.#capability(first, findExtended(this.#config(second), Number(third)));
      case 'await':
        return this.#awaited(this.#fd(first), this.#offset(second), Number(third));
      default:
        return attributeAnswer(this.#machine, this.#process, line) ?? onlyReal(line);
    }
  }

  #read({ verb, words: [fd = '', ...words] }: PlainLine): string {
    if (verb === 'read') {
      const target = new Uint8Array(Number(words[0]));
      return bytesRead(target, this.#process.read(this.#fd(fd), target));
    }
    const offset = this.#offset(words[0]!);
    const target = new Uint8Array(words.slice(1).reduce((total, length) => total + Number(length), 0));
    const lengths = words.slice(1).map(Number);
    return bytesRead(
      target,
      finish(
        inParts(lengths, (at, end) =>
          this.#process.pread(this.#fd(fd), offset + at, target.subarray(at, end)),
        ),
      ),
    );
  }

  #write({ verb, words: [fd = '', ...words] }: PlainLine): string {
    if (verb === 'write') {
      const bytes = fromHex(words[0]!);
      for (const { offset, size, value } of words.slice(1).map(parsePatch))
        patch(bytes, offset, size, this.#evaluate(value));
      return `${this.#process.write(this.#fd(fd), bytes)}`;
    }
    const offset = this.#offset(words[0]!);
    const parts = words.slice(1).map(fromHex);
    const source = Buffer.concat(parts);
    const lengths = parts.map(({ length }) => length);
    const written = inParts(lengths, (at, end) =>
      this.#process.pwrite(this.#fd(fd), offset + at, source.subarray(at, end)),
    );
    return `${finish(written)}`;
  }

  #offset(text: string): number {
    const offset = BigInt.asIntN(64, this.#evaluate(parseValue(text)));
    if (offset < 0n) refuse('EINVAL', `a file has no offset ${offset}`);
    return Number(offset);
  }

  #config(fd: string): ReadConfig {
    return (at) => {
      const word = new Uint8Array(4);
      this.#process.pread(this.#fd(fd), CONFIG + at, word);
      return getU32(word, 0);
    };
  }

  #capability(name: string, at: number): string {
    if (at === 0) return 'ENOENT';
    this.#values.set(name, BigInt(CONFIG + at));
    return '0';
  }

  /** A machine in this process has done all that it had to do when a call returns. */
  #until(bytes: Uint8Array, offset: number, value: number): string {
    return getU16(bytes, offset) === value ? '0' : 'ETIMEDOUT';
  }

  /** As `#until`. */
  #awaited(fd: number, offset: number, bits: number): string {
    const word = new Uint8Array(4);
    this.#process.pread(fd, offset, word);
    return (getU32(word, 0) & bits) === 0 ? '0' : 'ETIMEDOUT';
  }

  #ioctl(line: IoctlLine): string {
    const bytes = this.#struct.bytes.fill(0, 0, STRUCT_SHOWN).subarray(0, line.bytes.length);
    bytes.set(line.bytes);
    for (const { offset, size, value } of line.patches)
      patch(this.#struct.bytes, offset, size, this.#evaluate(value));
    const before = bytes.slice();
    const watched = line.watches.map((name) => ({ name, before: this.#watched(name).slice() }));
    const argument = line.address === undefined ? this.#struct.address : Number(this.#evaluate(line.address));
    const called = this.#result(() => this.#process.ioctlAt(this.#fd(line.fd), line.cmd, argument));
    const result = this.#takeResult(line, called);
    const fdAt = /^\d/.test(called) ? this.#save(line) : undefined;
    const inStruct = changes('', before, bytes, fdAt);
    const inBuffers = watched
      .map((each) => changes(each.name, each.before, this.#watched(each.name)))
      .join('');
    return `${result}${fdAt === undefined ? '' : ` +${fdAt}=fd`}${inStruct}${inBuffers}`;
  }

  #result(act: () => number): string {
    try {
      return `${act()}`;
    } catch (error) {
      return failure(error);
    }
  }

  /** A result that is a new descriptor is kept, and told as `fd`. */
  #takeResult(line: IoctlLine, result: string): string {
    const save = line.saves.find(({ offset }) => offset === 'result');
    if (save === undefined || !/^\d/.test(result)) return result;
    this.#descriptor(save.name, Number(result));
    return 'fd';
  }

  /** @returns the offset of the descriptor among what was saved. */
  #save(line: IoctlLine): number | undefined {
    let fdAt: number | undefined;
    for (const { name, offset, size } of line.saves) {
      if (offset === 'result') continue;
      const value = this.#saved(offset, size === 'fd' ? 4 : size);
      if (size === 'fd') {
        this.#descriptor(name, Number(value));
        fdAt = offset;
      } else this.#values.set(name, value);
    }
    return fdAt;
  }

  #saved(offset: number, size: number): bigint {
    const bytes = this.#struct.bytes.subarray(offset, offset + size);
    return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
  }

  #evaluate(value: Value): bigint {
    switch (value.kind) {
      case 'number':
        return value.value;
      case 'address':
        return BigInt(this.#buffers.get(value.name)?.address ?? 0) + value.plus;
      case 'saved':
        return (this.#values.get(value.name) ?? 0n) + value.plus;
      case 'descriptor':
        return BigInt(this.#fd(value.name));
    }
  }

  #watched(name: string): Uint8Array {
    return this.#buffers.get(name)?.bytes.subarray(0, WATCHED_BYTES) ?? new Uint8Array();
  }

  #fd(name: string): number {
    return this.#descriptors.get(name)?.at(-1) ?? NO_FD;
  }

  #descriptor(name: string, fd: number): string {
    this.#descriptors.set(name, [...(this.#descriptors.get(name) ?? []), fd]);
    return '0';
  }

  /**
   * Memory at an odd multiple of `align`: other memory is allocated, and left, until the next address is one.
   */
  #allocate(length: number, align: number): Buffer {
    // Who goes past the end of a buffer does not get into the next, here as in the executor.
    this.#process.allocate(GAP_BYTES).free();
    for (;;) {
      const block = this.#process.allocate(length);
      const off = (align - (block.address % (2 * align)) + 2 * align) % (2 * align);
      if (off === 0) return block;
      block.free();
      // A block takes its pages and one more; what comes next is then as far on as is needed.
      const taken = (Math.ceil(length / PAGE) + 1) * PAGE;
      const missing = (((off - taken) % (2 * align)) + 2 * align) % (2 * align);
      if (missing > 0) this.#process.allocate(missing - PAGE).free();
    }
  }
}

function onlyReal({ verb }: PlainLine): never {
  throw new Error(`${verb} is a call that only real files answer`);
}

function patch(bytes: Uint8Array, offset: number, size: number, value: bigint): void {
  const whole = new Uint8Array(8);
  setBig(whole, 0, value);
  bytes.set(whole.subarray(0, size), offset);
}

function bytesRead(target: Uint8Array, got: number): string {
  return got === 0 ? '0' : `${got} ${toHex(target.subarray(0, got))}`;
}

function failure(error: unknown): string {
  if (error instanceof Refusal) return errnoName(error.errno);
  // Not an answer to be compared: it ends the run.
  if (error instanceof BrokenInvariant) throw error;
  return `threw ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}`;
}
