/**
 * What a process in this JavaScript process has beside device files: memory files, eventfds, and memory of
 * its own at addresses.
 */
import { type Doorbell, READABLE, type Signal, WRITABLE } from '../file/open-file.js';
import type { Memory } from '../iommu/memory.js';
import { refuse } from '../linux/errno.js';
import { getU64, setU64 } from '../uapi/struct.js';

const PAGE = 4096;

/** The bytes of a memory file; as Memory, it ends where it was truncated. */
export class FileBytes implements Memory {
  readonly ofProcess = false;
  readonly description = 'memfd:in-process';
  bytes: Uint8Array;

  constructor(length: number) {
    this.bytes = new Uint8Array(length);
  }

  truncate(length: number): void {
    const bytes = new Uint8Array(length);
    bytes.set(this.bytes.subarray(0, length));
    this.bytes = bytes;
  }

  read(offset: number, target: Uint8Array, at: number, length: number): number {
    const part = this.bytes.subarray(offset, offset + length);
    target.set(part, at);
    return part.length;
  }

  write(offset: number, source: Uint8Array, at: number, length: number): number {
    const count = Math.max(0, Math.min(length, this.bytes.length - offset));
    if (count > 0) this.bytes.set(source.subarray(at, at + count), offset);
    return count;
  }

  reaches(offset: number, length: number): boolean {
    return offset >= 0 && offset + length <= this.bytes.length;
  }

  close(): void {}
}

/** An eventfd, not blocking. */
export class Counter implements Signal {
  count = 0;
  /** How often something was added. */
  additions = 0;

  raise(): void {
    this.count++;
    this.additions++;
  }

  close(): void {}

  /** read(2): the count, which is 0 then. @throws Refusal EAGAIN when it is 0; EINVAL below 8 bytes. */
  read(target: Uint8Array): number {
    if (target.length < 8)
      refuse('EINVAL', `${target.length} bytes have no room for the count of an eventfd`);
    if (this.count === 0) refuse('EAGAIN', 'the count of the eventfd is 0');
    setU64(target, 0, this.count);
    this.count = 0;
    return 8;
  }

  /** write(2): adds. @throws Refusal EINVAL below 8 bytes. */
  write(source: Uint8Array): number {
    if (source.length < 8) refuse('EINVAL', `${source.length} bytes are less than the number of an eventfd`);
    this.count += getU64(source, 0);
    this.additions++;
    return 8;
  }

  ready(): number {
    return (this.count > 0 ? READABLE : 0) | WRITABLE;
  }
}

/** A Counter to which somebody listens from now on. */
export class CounterBell implements Doorbell {
  readonly #counter: Counter;
  readonly #before: number;

  constructor(counter: Counter) {
    this.#counter = counter;
    this.#before = counter.count > 0 ? counter.additions - 1 : counter.additions;
  }

  get rings(): number {
    return this.#counter.additions - this.#before;
  }

  listen(): void {}

  empty(): void {
    this.#counter.count = 0;
  }

  close(): void {}
}

/**
 * The process's memory: blocks at addresses. As Memory, its offsets are addresses, as with a real process.
 */
export class Blocks implements Memory {
  readonly ofProcess = true;
  readonly description: string;
  readonly #blocks = new Map<number, Uint8Array>();
  #next = 0x7000_0000_0000;

  constructor(pid: number) {
    this.description = `process ${pid} (in-process)`;
  }

  add(length: number, at = this.#reserve(length)): number {
    this.#blocks.set(at, new Uint8Array(length));
    return at;
  }

  remove(address: number): void {
    this.#blocks.delete(address);
  }

  bytes(address: number): Uint8Array {
    return this.#blocks.get(address)!;
  }

  read(offset: number, target: Uint8Array, at: number, length: number): number {
    return this.#each(offset, length, (part, done) => target.set(part, at + done));
  }

  write(offset: number, source: Uint8Array, at: number, length: number): number {
    return this.#each(offset, length, (part, done) =>
      part.set(source.subarray(at + done, at + done + part.length)),
    );
  }

  close(): void {}

  reaches(offset: number, length: number): boolean {
    return this.hole(offset, length) === undefined;
  }

  /** The first address in [address, address+length) where nothing is, or undefined. */
  hole(address: number, length: number): number | undefined {
    const reached = this.#each(address, length, () => {});
    return reached === length ? undefined : address + reached;
  }

  #each(address: number, length: number, use: (part: Uint8Array, done: number) => void): number {
    let done = 0;
    while (done < length) {
      const here = address + done;
      const block = [...this.#blocks].find(([start, bytes]) => start <= here && here < start + bytes.length);
      if (block === undefined) break;
      const part = block[1].subarray(here - block[0], here - block[0] + length - done);
      use(part, done);
      done += part.length;
    }
    return done;
  }

  // A page stays free behind each block, so that running over an end is seen.
  #reserve(length: number): number {
    const at = this.#next;
    this.#next += (Math.ceil(length / PAGE) + 1) * PAGE;
    return at;
  }
}
