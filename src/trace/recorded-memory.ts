/**
 * RecordedMemory: a program's memory, whose every transfer is noted with its bytes (Input): what stood there
 * when a device or a table read it cannot be found out later. So is what it has cost, by which devices end
 * their steps (linux/access-cost.ts).
 *
 * A memory has one RecordedMemory, with one number, as long as anybody has it.
 */
import type { WatchedLog } from '../iommu/event-log.js';
import type { Backing, Memory } from '../iommu/memory.js';
import { effortOfAccesses, keptByAccesses } from '../linux/access-cost.js';
import { copied } from './copied.js';
import { Ask, type Asked, type Input, MemoryIs } from './input.js';

type InSlices<T> = Generator<undefined, T, unknown>;

/** A memory that is of a recording, and has a number there: it keeps that. */
export interface NumberedMemory extends Memory {
  readonly recordedAs: number;
}

/** The memories of a machine's programs, by the numbers by which they are noted in `inputs`. */
export class RecordedMemories {
  readonly inputs: WatchedLog<Input>;
  readonly #known = new WeakMap<Memory, RecordedMemory>();
  #last = 0;

  constructor(inputs: WatchedLog<Input>) {
    this.inputs = inputs;
  }

  of(memory: Memory): RecordedMemory {
    if (memory instanceof RecordedMemory) return memory;
    const known = this.#known.get(memory);
    if (known !== undefined) return known;
    const number = 'recordedAs' in memory ? (memory as NumberedMemory).recordedAs : ++this.#last;
    const recorded = new RecordedMemory(memory, number, this);
    this.#known.set(memory, recorded);
    return recorded;
  }
}

export class RecordedMemory implements Memory {
  readonly inner: Memory;
  readonly number: number;
  readonly description: string;
  readonly ofProcess: boolean;
  readonly onDisk: boolean;
  readonly backing?: (offset: number) => Backing | InSlices<Backing>;
  readonly held?: (offset: number, length: number, access: number) => InSlices<Memory | undefined>;
  readonly #memories: RecordedMemories;

  constructor(inner: Memory, number: number, memories: RecordedMemories) {
    this.inner = inner;
    this.number = number;
    this.description = inner.description;
    this.ofProcess = inner.ofProcess;
    this.onDisk = inner.onDisk ?? false;
    this.#memories = memories;
    if (inner.backing !== undefined) this.backing = (offset) => this.#backing(offset);
    if (inner.held !== undefined) this.held = (...range) => this.#held(...range);
  }

  /** What it is, as bits of MemoryIs. */
  get is(): number {
    return (
      (this.ofProcess ? MemoryIs.OF_PROCESS : 0) |
      (this.onDisk ? MemoryIs.ON_DISK : 0) |
      (this.backing ? MemoryIs.BACKED : 0) |
      (this.held ? MemoryIs.HELD : 0)
    );
  }

  get shortfall(): string | undefined {
    return this.inner.shortfall;
  }

  read(offset: number, target: Uint8Array, at: number, length: number): number {
    const [effort, kept] = [effortOfAccesses(), keptByAccesses()];
    const done = this.inner.read(offset, target, at, length);
    const { inputs } = this.#memories;
    if (inputs.on) {
      const answer = withCost(done, effort, kept);
      inputs.record(this.#transfer(Ask.READ, offset, length, answer, copied(target, at, at + done)));
    }
    return done;
  }

  write(offset: number, source: Uint8Array, at: number, length: number): number {
    const [effort, kept] = [effortOfAccesses(), keptByAccesses()];
    const done = this.inner.write(offset, source, at, length);
    const { inputs } = this.#memories;
    if (inputs.on) {
      const answer = withCost(done, effort, kept);
      inputs.record(this.#transfer(Ask.WRITE, offset, length, answer, copied(source, at, at + length)));
    }
    return done;
  }

  reaches(offset: number, length: number, access: number): boolean | InSlices<boolean> {
    const reached = this.inner.reaches(offset, length, access);
    if (typeof reached !== 'boolean') return this.#reaches(reached, offset, length, access);
    this.#noteReach(offset, length, access, reached);
    return reached;
  }

  close(): void {
    this.inner.close();
  }

  *#reaches(work: InSlices<boolean>, offset: number, length: number, access: number): InSlices<boolean> {
    const reached = yield* work;
    this.#noteReach(offset, length, access, reached);
    return reached;
  }

  *#backing(offset: number): InSlices<Backing> {
    const asked = this.inner.backing!(offset);
    const backing = 'next' in asked ? yield* asked : asked;
    const { inputs } = this.#memories;
    const answer = [backing.offset, backing.length];
    const of = [this.number, offset];
    if (inputs.on) inputs.record({ kind: 'asked', what: Ask.BACKING, of, answer, text: backing.file });
    return backing;
  }

  *#held(offset: number, length: number, access: number): InSlices<Memory | undefined> {
    const held = yield* this.inner.held!(offset, length, access);
    const recorded = held && this.#memories.of(held);
    const { inputs } = this.#memories;
    const of = [this.number, offset, length, access];
    const answer = recorded === undefined ? [] : [recorded.number, 0, recorded.is];
    if (inputs.on) inputs.record({ kind: 'asked', what: Ask.HELD, of, answer, text: recorded?.description });
    return recorded;
  }

  #noteReach(offset: number, length: number, access: number, reached: boolean): void {
    const { inputs } = this.#memories;
    const of = [this.number, offset, length, access];
    if (inputs.on) inputs.record({ kind: 'asked', what: Ask.REACHES, of, answer: [Number(reached)] });
  }

  /** What has gone through, with its bytes; why it ended early, when it did. */
  #transfer(
    what: typeof Ask.READ | typeof Ask.WRITE,
    offset: number,
    length: number,
    answer: readonly number[],
    bytes: Uint8Array,
  ): Asked {
    const text = answer[0]! < length ? this.shortfall : undefined;
    return { kind: 'asked', what, of: [this.number, offset, length], answer, text, bytes };
  }
}

/** Bytes that have gone through, and what that has cost since `effort` and `kept` were read, if anything. */
function withCost(done: number, effort: number, kept: number): readonly number[] {
  const more = effortOfAccesses() - effort;
  return more === 0 ? [done] : [done, more, keptByAccesses() - kept];
}
