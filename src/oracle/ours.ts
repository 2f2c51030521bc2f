/**
 * Our side: the line language over the in-process machine, with the answers that `oracle/executor.c` gives
 * over the kernel.
 *
 * Every sequence is a process of its own on one machine, and it exits at the end of its sequence.
 */
import { InProcess } from '../client/in-process.js';
import { errnoName, Refusal } from '../linux/errno.js';
import type { Machine } from '../machine.js';
import { setBig } from '../uapi/struct.js';
import {
  changes,
  fromHex,
  type IoctlLine,
  type Line,
  type PlainLine,
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

export class Ours {
  readonly #machine: Machine;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** One answer for each line. */
  ask(sequence: Sequence): readonly string[] {
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
  readonly #process: InProcess;
  readonly #descriptors = new Map<string, number>();
  readonly #buffers = new Map<string, Buffer>();
  readonly #values = new Map<string, bigint>();
  readonly #struct: Buffer;

  constructor(machine: Machine) {
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

  #plain({ verb, words }: PlainLine): string {
    const [first = '', second = '', third = ''] = words;
    switch (verb) {
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
        this.#descriptors.delete(first);
        return '0';
      case 'buf':
        this.#buffers.set(first, this.#allocate(Number(second), Number(third)));
        return '0';
      case 'fill':
        this.#buffers.get(first)?.bytes.set(fromHex(third), Number(second));
        return '0';
      case 'read': {
        const target = new Uint8Array(Number(second));
        const got = this.#process.read(this.#fd(first), target);
        return got === 0 ? '0' : `${got} ${toHex(target.subarray(0, got))}`;
      }
      case 'pread': {
        const target = new Uint8Array(Number(third));
        const got = this.#process.pread(this.#fd(first), Number(second), target);
        return got === 0 ? '0' : `${got} ${toHex(target.subarray(0, got))}`;
      }
      case 'write':
        return `${this.#process.write(this.#fd(first), fromHex(second))}`;
      case 'poll':
        return `0x${this.#process.poll(this.#fd(first), POLLIN | POLLOUT).toString(16)}`;
    }
  }

  #ioctl(line: IoctlLine): string {
    const bytes = this.#struct.bytes.fill(0, 0, STRUCT_SHOWN).subarray(0, line.bytes.length);
    bytes.set(line.bytes);
    for (const { offset, size, value } of line.patches) this.#patch(offset, size, this.#evaluate(value));
    const before = bytes.slice();
    const watched = line.watches.map((name) => ({ name, before: this.#watched(name).slice() }));
    const argument = line.address === undefined ? this.#struct.address : Number(this.#evaluate(line.address));
    const result = this.#result(() => this.#process.ioctlAt(this.#fd(line.fd), line.cmd, argument));
    const fdAt = /^\d/.test(result) ? this.#save(line) : undefined;
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

  /** @returns the offset of the descriptor among what was saved. */
  #save(line: IoctlLine): number | undefined {
    let fdAt: number | undefined;
    for (const { name, offset, size } of line.saves) {
      const value = this.#saved(offset, size === 'fd' ? 4 : size);
      if (size === 'fd') {
        this.#descriptors.set(name, Number(value));
        fdAt = offset;
      } else this.#values.set(name, value);
    }
    return fdAt;
  }

  #saved(offset: number, size: number): bigint {
    const bytes = this.#struct.bytes.subarray(offset, offset + size);
    return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
  }

  #patch(offset: number, size: number, value: bigint): void {
    const whole = new Uint8Array(8);
    setBig(whole, 0, value);
    this.#struct.bytes.set(whole.subarray(0, size), offset);
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
    return this.#descriptors.get(name) ?? NO_FD;
  }

  #descriptor(name: string, fd: number): string {
    this.#descriptors.set(name, fd);
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

function failure(error: unknown): string {
  if (error instanceof Refusal) return errnoName(error.errno);
  return `threw ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}`;
}
