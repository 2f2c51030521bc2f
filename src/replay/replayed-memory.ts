/**
 * ReplayedMemory: memory of a program that was recorded: each transfer finds what it found then, and costs as
 * much. There are no bytes behind it: what was written is compared by the replay, as all that the machine has
 * asked for.
 */
import type { Backing, Memory } from '../iommu/memory.js';
import { costs } from '../linux/access-cost.js';
import { Ask, type Asked, MemoryIs } from '../trace/input.js';
import type { NumberedMemory } from '../trace/recorded-memory.js';
import type { Answers } from './answers.js';

type InSlices<T> = Generator<undefined, T, unknown>;

/** The memories of a recording, by their numbers. */
export class ReplayedMemories {
  readonly answers: Answers;
  readonly #memories = new Map<number, ReplayedMemory>();

  constructor(answers: Answers) {
    this.answers = answers;
  }

  /** The memory that an answer names: its number and, last, what it is. */
  of({ answer, text = '' }: Asked): ReplayedMemory {
    const number = answer[0]!;
    const memory = this.#memories.get(number) ?? new ReplayedMemory(number, answer[2]!, text, this);
    this.#memories.set(number, memory);
    return memory;
  }
}

export class ReplayedMemory implements NumberedMemory {
  readonly recordedAs: number;
  readonly description: string;
  readonly ofProcess: boolean;
  readonly onDisk: boolean;
  readonly backing?: (offset: number) => InSlices<Backing>;
  readonly held?: (offset: number, length: number, access: number) => InSlices<Memory | undefined>;
  shortfall: string | undefined;
  readonly #memories: ReplayedMemories;

  /** @param is bits of MemoryIs. */
  constructor(number: number, is: number, description: string, memories: ReplayedMemories) {
    this.recordedAs = number;
    this.description = description;
    this.ofProcess = (is & MemoryIs.OF_PROCESS) !== 0;
    this.onDisk = (is & MemoryIs.ON_DISK) !== 0;
    this.#memories = memories;
    if (is & MemoryIs.BACKED) this.backing = (offset) => this.#backing(offset);
    if (is & MemoryIs.HELD) this.held = (...range) => this.#held(...range);
  }

  read(offset: number, target: Uint8Array, at: number, length: number): number {
    const asked = this.#answers.next(Ask.READ, [this.recordedAs, offset, length]);
    const done = this.#transferred(asked, length);
    if (asked?.bytes === undefined) return 0;
    if (asked.bytes.length < done) this.#answers.missContent();
    target.fill(0, at, at + done);
    target.set(asked.bytes.subarray(0, done), at);
    return done;
  }

  write(offset: number, _source: Uint8Array, _at: number, length: number): number {
    const asked = this.#answers.next(Ask.WRITE, [this.recordedAs, offset, length]);
    return this.#transferred(asked, length);
  }

  reaches(offset: number, length: number, access: number): boolean | InSlices<boolean> {
    const of = [this.recordedAs, offset, length, access];
    const asked = this.#answers.next(Ask.REACHES, of);
    return asked === undefined ? this.#reaches(of) : asked.answer[0] === 1;
  }

  close(): void {}

  get #answers(): Answers {
    return this.#memories.answers;
  }

  #transferred(asked: Asked | undefined, length: number): number {
    this.shortfall = asked?.text;
    const [done = 0, effort = 0, kept = 0] = asked?.answer ?? [];
    costs(effort, kept);
    return Math.min(done, length);
  }

  *#reaches(of: readonly number[]): InSlices<boolean> {
    return (yield* awaited(this.#answers, Ask.REACHES, of)).answer[0] === 1;
  }

  *#backing(offset: number): InSlices<Backing> {
    const { answer, text } = yield* awaited(this.#answers, Ask.BACKING, [this.recordedAs, offset]);
    return { file: text, offset: answer[0]!, length: answer[1]! };
  }

  *#held(...range: readonly number[]): InSlices<Memory | undefined> {
    const asked = yield* awaited(this.#answers, Ask.HELD, [this.recordedAs, ...range]);
    return asked.answer.length === 0 ? undefined : this.#memories.of(asked);
  }
}

/** The answer, in the piece in which it was given. */
export function* awaited(answers: Answers, what: Asked['what'], of: readonly number[]): InSlices<Asked> {
  for (;;) {
    const asked = answers.next(what, of);
    if (asked !== undefined) return asked;
    yield;
  }
}
