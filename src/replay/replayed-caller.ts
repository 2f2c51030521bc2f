/**
 * ReplayedCaller: the process that made a call, as a recording has it: it answers what it answered then.
 *
 * Where the machine asks for something else, it gets an answer that says so, and the replay ends with this
 * piece.
 */
import type { Caller, Doorbell, MemoryRange, OpenFile, Signal } from '../file/open-file.js';
import type { Work } from '../file/work.js';
import type { Access } from '../iommu/iommu.js';
import type { Memory } from '../iommu/memory.js';
import { Refusal, refuse } from '../linux/errno.js';
import { Ask, type Asked, type AskKind } from '../trace/input.js';
import type { Answers } from './answers.js';
import { awaited, type ReplayedMemories, ReplayedMemory } from './replayed-memory.js';

/** An eventfd that nobody waits for. */
const silent: Signal = { raise: () => undefined, close: () => undefined };

/** An eventfd that is rung as it was found rung. */
class ReplayedDoorbell implements Doorbell {
  readonly #number: number;
  readonly #answers: Answers;

  constructor(number: number, answers: Answers) {
    this.#number = number;
    this.#answers = answers;
  }

  get rings(): number {
    return this.#answers.rings(this.#number);
  }

  listen(): void {}

  empty(): void {}

  close(): void {}
}

export class ReplayedCaller implements Required<Caller> {
  readonly pid: number;
  readonly tid = 0;
  /** No device file asks for it. */
  readonly payer = undefined;
  readonly #answers: Answers;
  readonly #memories: ReplayedMemories;
  readonly #files: Map<number, OpenFile>;

  /** @param files those that are open, by their numbers. */
  constructor(pid: number, memories: ReplayedMemories, files: Map<number, OpenFile>) {
    this.pid = pid;
    this.#answers = memories.answers;
    this.#memories = memories;
    this.#files = files;
  }

  get rawIo(): boolean {
    return this.#asked(Ask.RAW_IO, []).answer[0] === 1;
  }

  get isAdmin(): boolean {
    return this.#asked(Ask.ADMIN, []).answer[0] === 1;
  }

  get mapsFiles(): boolean {
    return this.#asked(Ask.MAPS_FILES, []).answer[0] === 1;
  }

  descriptorOf(): undefined {
    return undefined;
  }

  *parts(length: number): Work<readonly number[] | undefined> {
    const { answer } = yield* this.#awaited(Ask.PARTS, [length]);
    return answer.length === 0 ? undefined : answer;
  }

  readMemory(address: number, target: Uint8Array): void {
    const { bytes } = this.#asked(Ask.READ_CALLER, [address, target.length]);
    if (bytes !== undefined) target.set(bytes.subarray(0, target.length));
  }

  writeMemory(address: number, source: Uint8Array): void {
    this.#asked(Ask.WRITE_CALLER, [address, source.length]);
  }

  *memory(address: number, length: number, access: Access): Work<MemoryRange> {
    return this.#range(yield* this.#awaited(Ask.MEMORY, [address, length, access]));
  }

  /** What lies behind a mapped BAR is the model's, which is here too. */
  *mappedFile(address: number, length: number, access: Access): Work<MemoryRange | undefined> {
    const { answer } = yield* this.#awaited(Ask.MAPPED_FILE, [address, length, access]);
    const [isOne, file, offset] = answer;
    if (isOne !== 1) return undefined;
    const mapping = this.#files.get(file!)?.mapping;
    if (mapping !== undefined && offset !== undefined) return mapping.memory(offset);
    this.#answers.stop('the recording does not say which mapped BAR a device was given as memory');
    return undefined;
  }

  addressSpace(): Memory {
    return this.#memories.of(this.#asked(Ask.ADDRESS_SPACE, []));
  }

  livesIn(memory: Memory): boolean {
    const number = memory instanceof ReplayedMemory ? memory.recordedAs : 0;
    return this.#asked(Ask.LIVES_IN, [number]).answer[0] === 1;
  }

  fileMemory(fd: number, offset: number, length: number, access: Access): MemoryRange {
    return this.#range(this.#asked(Ask.FILE_MEMORY, [fd, offset, length, access]));
  }

  eventfd(fd: number): Signal {
    this.#asked(Ask.EVENTFD, [fd]);
    return silent;
  }

  doorbell(fd: number): Doorbell {
    const [number] = this.#asked(Ask.DOORBELL, [fd]).answer;
    return new ReplayedDoorbell(number!, this.#answers);
  }

  presented(fd: number): object {
    const [number] = this.#asked(Ask.PRESENTED, [fd]).answer;
    const file = this.#files.get(number!);
    return file?.object ?? refuse('EIO', `the recording has no file ${number}, which fd ${fd} is`);
  }

  *install(file: OpenFile): Work<number> {
    const { of, answer } = yield* this.#awaited(Ask.INSTALL, []);
    this.#files.set(of[0]!, file);
    return answer[0]!;
  }

  #range(asked: Asked): MemoryRange {
    return { memory: this.#memories.of(asked), offset: asked.answer[1]! };
  }

  /** @throws Refusal what was refused then; EIO it was not asked for. */
  #asked(what: AskKind, of: readonly number[]): Asked {
    const asked = this.#answers.next(what, of);
    return asked === undefined ? refuse('EIO', 'the recording has no answer to what is asked') : said(asked);
  }

  *#awaited(what: AskKind, of: readonly number[]): Work<Asked> {
    return said(yield* awaited(this.#answers, what, of));
  }
}

function said(asked: Asked): Asked {
  if (asked.errno !== undefined) throw new Refusal(asked.errno, asked.text ?? '');
  return asked;
}
