/**
 * RecordedCaller: the caller of a call that is recorded for a replay: all that it answers is noted (Input),
 * refusals too, in the order in which it was asked.
 */

import type { Caller, Doorbell, MemoryRange, OpenFile, Signal } from '../file/open-file.js';
import { isWork, type Sliced, type Work } from '../file/work.js';
import type { Access } from '../iommu/iommu.js';
import type { Memory } from '../iommu/memory.js';
import type { Account } from '../linux/account.js';
import { Refusal } from '../linux/errno.js';
import { copied } from './copied.js';
import { type Answer, Ask, type AskKind } from './input.js';
import { RecordedDoorbell } from './recorded-doorbell.js';
import { RecordedMemory } from './recorded-memory.js';
import type { Trace } from './trace.js';

const plain = { answer: [] };
const one = (value: number | boolean): Answer => ({ answer: [Number(value)] });

export class RecordedCaller implements Required<Caller> {
  readonly #caller: Caller;
  readonly #trace: Trace;
  readonly #notes: boolean;

  /** Without `notes` it answers so, and nothing is noted. */
  constructor(caller: Caller, trace: Trace, notes = true) {
    this.#caller = caller;
    this.#trace = trace;
    this.#notes = notes;
  }

  get pid(): number {
    return this.#asked(Ask.PID, [], () => this.#caller.pid, one);
  }

  get tid(): number {
    return this.#caller.tid ?? 0;
  }

  get rawIo(): boolean {
    return this.#asked(Ask.RAW_IO, [], () => this.#caller.rawIo ?? true, one);
  }

  /** No device file asks for it. */
  get payer(): Account | undefined {
    return this.#caller.payer;
  }

  get isAdmin(): boolean {
    return this.#asked(Ask.ADMIN, [], () => this.#caller.isAdmin ?? true, one);
  }

  get mapsFiles(): boolean {
    return this.#asked(Ask.MAPS_FILES, [], () => this.#caller.mapsFiles ?? false, one);
  }

  descriptorOf(file: OpenFile): number | undefined {
    return this.#caller.descriptorOf?.(file);
  }

  parts(length: number): Sliced<readonly number[] | undefined> {
    const parts = () => this.#caller.parts?.(length);
    return this.#sliced(Ask.PARTS, [length], parts, (answer) => ({ answer: answer ?? [] }));
  }

  readMemory(address: number, target: Uint8Array): void {
    const read = () => this.#caller.readMemory(address, target);
    const answer = () => ({ answer: [], bytes: copied(target) });
    this.#asked(Ask.READ_CALLER, [address, target.length], read, answer);
  }

  writeMemory(address: number, source: Uint8Array): void {
    const write = () => this.#caller.writeMemory(address, source);
    const answer = () => ({ answer: [], bytes: copied(source) });
    this.#asked(Ask.WRITE_CALLER, [address, source.length], write, answer);
  }

  memory(address: number, length: number, access: Access): Sliced<MemoryRange> {
    const range = () => this.#caller.memory(address, length, access);
    return this.#ranges(Ask.MEMORY, [address, length, access], range) as Sliced<MemoryRange>;
  }

  mappedFile(address: number, length: number, access: Access): Sliced<MemoryRange | undefined> {
    const range = () => this.#caller.mappedFile?.(address, length, access);
    const told = (found: MemoryRange | undefined) =>
      found === undefined ? one(false) : { answer: [1, ...this.#trace.mappedAt(found)] };
    return this.#sliced(Ask.MAPPED_FILE, [address, length, access], range, told);
  }

  addressSpace(): Memory {
    return this.#asked(
      Ask.ADDRESS_SPACE,
      [],
      () => this.#trace.memories.of(this.#caller.addressSpace()),
      (memory) => this.#range({ memory, offset: 0 }),
    );
  }

  livesIn(memory: Memory): boolean {
    const recorded = memory instanceof RecordedMemory ? memory : undefined;
    const lives = () => this.#caller.livesIn(recorded?.inner ?? memory);
    return this.#asked(Ask.LIVES_IN, [recorded?.number ?? 0], lives, one);
  }

  fileMemory(fd: number, offset: number, length: number, access: Access): MemoryRange {
    const range = () => this.#caller.fileMemory(fd, offset, length, access);
    return this.#ranges(Ask.FILE_MEMORY, [fd, offset, length, access], range) as MemoryRange;
  }

  eventfd(fd: number): Signal {
    return this.#asked(
      Ask.EVENTFD,
      [fd],
      () => this.#caller.eventfd(fd),
      () => plain,
    );
  }

  doorbell(fd: number): Doorbell {
    const number = this.#trace.nextDoorbell();
    const bell = this.#asked(
      Ask.DOORBELL,
      [fd],
      () => this.#caller.doorbell(fd),
      () => one(number),
    );
    return new RecordedDoorbell(bell, number, this.#trace.inputs);
  }

  presented(fd: number): object {
    const presented = () => this.#caller.presented(fd);
    return this.#asked(Ask.PRESENTED, [fd], presented, (object) => one(this.#trace.numberOf(object)));
  }

  install(file: OpenFile): Sliced<number> {
    return this.#sliced(Ask.INSTALL, [this.#trace.numberOf(file)], () => this.#caller.install(file), one);
  }

  #ranges(what: AskKind, of: readonly number[], act: () => Sliced<MemoryRange>): Sliced<MemoryRange> {
    const found = this.#sliced(what, of, act, (range) => this.#range(range));
    return isWork(found) ? this.#later(found) : this.#recorded(found);
  }

  *#later(work: Work<MemoryRange>): Work<MemoryRange> {
    return this.#recorded(yield* work);
  }

  #recorded({ memory, offset }: MemoryRange): MemoryRange {
    return { memory: this.#trace.memories.of(memory), offset };
  }

  #range({ memory, offset }: MemoryRange): Answer {
    const { number, is, description } = this.#trace.memories.of(memory);
    return { answer: [number, offset, is], text: description };
  }

  #asked<T>(what: AskKind, of: readonly number[], act: () => T, told: (answer: T) => Answer): T {
    try {
      const answer = act();
      this.#note(what, of, told(answer));
      return answer;
    } catch (error) {
      this.#noteRefusal(what, of, error);
      throw error;
    }
  }

  #sliced<T>(
    what: AskKind,
    of: readonly number[],
    act: () => Sliced<T>,
    told: (answer: T) => Answer,
  ): Sliced<T> {
    try {
      const answer = act();
      if (isWork(answer)) return this.#goingOn(what, of, answer, told);
      this.#note(what, of, told(answer));
      return answer;
    } catch (error) {
      this.#noteRefusal(what, of, error);
      throw error;
    }
  }

  *#goingOn<T>(what: AskKind, of: readonly number[], work: Work<T>, told: (answer: T) => Answer): Work<T> {
    try {
      const answer = yield* work;
      this.#note(what, of, told(answer));
      return answer;
    } catch (error) {
      this.#noteRefusal(what, of, error);
      throw error;
    }
  }

  #noteRefusal(what: AskKind, of: readonly number[], error: unknown): void {
    if (!(error instanceof Refusal)) return;
    this.#note(what, of, { answer: [], text: error.reason, errno: error.errno });
  }

  #note(what: AskKind, of: readonly number[], { answer, text, bytes, errno }: Answer): void {
    const { inputs } = this.#trace;
    if (this.#notes && inputs.on) inputs.record({ kind: 'asked', what, of, answer, text, bytes, errno });
  }
}
