/**
 * An engine: executes one descriptor from a work queue of its group at a time, or one batch, whose
 * descriptors it takes in order.
 *
 * An engine is idle, or holds a descriptor of `wq`; if that is a batch, `#inner` is the descriptor of the
 * batch that is being executed. Descriptors of a batch never overlap each other, so a fence has only to look
 * at whether an earlier one failed. Every descriptor that an engine takes ends in exactly one call of `#end`,
 * unless it is aborted.
 */
import type { DmaPort } from '../device-model.js';
import { Access } from './access.js';
import { Written, writeCompletion } from './completion.js';
import { DESCRIPTOR_SIZE, Flag, Opcode, Status } from './descriptor.js';
import { checkDescriptor, invalidFlags } from './descriptor-check.js';
import { advance } from './operations.js';
import { Task } from './task.js';
import { whyItFailed } from './words.js';
import type { WorkQueue } from './work-queue.js';

/**
 * What a descriptor costs beside its data, in bytes: it makes a slice of small descriptors as long as one of
 * large ones.
 */
export const DESCRIPTOR_COST = 0x1000;

/** What an engine needs of its device. */
export interface EngineContext {
  /** May this descriptor ask for interrupt `handle`? */
  mayInterrupt(handle: number, handleKind: number, wq: WorkQueue, pasid: number): boolean;
  /** A descriptor has ended that asked for interrupt `handle`, and may. */
  interrupt(handle: number): void;
  /** As DeviceHost.note. */
  note(sentence: string): void;
  /** Reports what no completion record can say. */
  reportError(
    code: number,
    task: Task,
    wq: WorkQueue,
    batchIndex: number,
    faultAddress: number,
    write: boolean,
  ): void;
}

export class Engine {
  /** The work queue whose descriptor it executes; undefined while idle. */
  wq: WorkQueue | undefined;
  /** That descriptor's number in the work queue. */
  number = 0;
  readonly #access: Access;
  readonly #dma: DmaPort;
  readonly #context: EngineContext;
  readonly #outer = new Task();
  readonly #inner = new Task();
  #handleKind = 0;
  #innerRuns = false;
  /** A descriptor of the batch has ended with something else than success. */
  #batchFailed = false;

  constructor(dma: DmaPort, context: EngineContext) {
    this.#dma = dma;
    this.#access = new Access(dma);
    this.#context = context;
  }

  get pasid(): number {
    return this.#outer.pasid;
  }

  /** Takes the descriptor at the head of `wq`, which there is. The engine is idle. */
  take(wq: WorkQueue): void {
    this.wq = wq;
    this.number = wq.headNumber;
    this.#handleKind = wq.headHandleKind;
    const pasid = wq.headPasid;
    wq.shift(this.#outer.descriptor.bytes);
    this.#innerRuns = false;
    this.#batchFailed = false;
    this.#begin(this.#outer, wq, pasid, false);
  }

  /** Drops what it does, wherever it stands. */
  abort(): void {
    this.wq = undefined;
  }

  /** Does what it holds wait for a page? */
  waits(): boolean {
    return this.wq !== undefined && !(this.#outer.ready() && (!this.#innerRuns || this.#inner.ready()));
  }

  /** One slice of its work. The engine is not idle, and does not wait. @returns its cost in bytes. */
  run(): number {
    const wq = this.wq!;
    const outer = this.#outer;
    let cost = 0;
    if (outer.status === Status.NONE) {
      cost = outer.descriptor.opcode === Opcode.BATCH ? this.#runBatch(wq) : this.#advance(outer);
    }
    if (this.waits() || outer.status === Status.NONE) return cost;
    this.#end(outer, wq, -1);
    this.wq = undefined;
    return DESCRIPTOR_COST + cost;
  }

  /** One slice of one descriptor of the batch. `#outer.done` is the number of those that have ended. */
  #runBatch(wq: WorkQueue): number {
    const inner = this.#inner;
    if (!this.#innerRuns && !this.#fetch(wq)) return 0;
    const bytes = inner.status === Status.NONE ? this.#advance(inner) : 0;
    if (this.waits() || inner.status === Status.NONE) return bytes;
    if (!this.#end(inner, wq, this.#outer.done)) this.#batchFailed = true;
    this.#innerRuns = false;
    this.#outer.done++;
    return DESCRIPTOR_COST + bytes;
  }

  #advance(task: Task): number {
    const bytes = advance(task, this.#access);
    task.block(this.#dma);
    return bytes;
  }

  /**
   * Reads and begins the next descriptor of the batch. @returns false when the batch has ended, with its
   * status set.
   */
  #fetch(wq: WorkQueue): boolean {
    const outer = this.#outer;
    if (outer.remaining === 0) return this.#endBatch();
    const inner = this.#inner;
    this.#access.read(
      outer.pasid,
      outer.descriptor.source + outer.done * DESCRIPTOR_SIZE,
      inner.descriptor.bytes,
      DESCRIPTOR_SIZE,
    );
    if (this.#access.faulted) {
      outer.status = Status.BATCH_PAGE_FAULT;
      outer.faultAddress = this.#access.faultAddress;
      return false;
    }
    this.#begin(inner, wq, outer.pasid, true);
    // After a failure the fence, and all that it protects, is abandoned.
    if (this.#batchFailed && inner.descriptor.has(Flag.FENCE)) return this.#endBatch();
    this.#innerRuns = true;
    return true;
  }

  #endBatch(): boolean {
    this.#outer.status = this.#batchFailed ? Status.BATCH_FAILED : Status.SUCCESS;
    return false;
  }

  /** Parses and checks the bytes in `task`. One that breaks a rule has its status at once. */
  #begin(task: Task, wq: WorkQueue, pasid: number, inBatch: boolean): void {
    const d = task.descriptor;
    d.parse();
    task.begin(pasid);
    const status = this.#check(task, wq, inBatch);
    if (status === Status.SUCCESS) return;
    task.status = status;
    if (status === Status.INVALID_FLAGS) task.invalidFlags = invalidFlags(d, wq.limits, inBatch);
  }

  #check(task: Task, wq: WorkQueue, inBatch: boolean): number {
    const status = checkDescriptor(task.descriptor, wq.limits, inBatch);
    if (status !== Status.SUCCESS || !task.descriptor.has(Flag.REQUEST_INTERRUPT)) return status;
    return this.#mayInterrupt(task, wq) ? Status.SUCCESS : Status.INTERRUPT_HANDLE;
  }

  #mayInterrupt(task: Task, wq: WorkQueue): boolean {
    return this.#context.mayInterrupt(task.descriptor.interruptHandle, this.#handleKind, wq, task.pasid);
  }

  /**
   * Reports the end of `task`: completion record, error register, interrupt. @returns whether it counts as a
   * success in a batch.
   */
  #end(task: Task, wq: WorkQueue, batchIndex: number): boolean {
    const written = writeCompletion(task, this.#access);
    if (written === Written.FAULTED)
      this.#report(Status.COMPLETION_FAULT, task, wq, batchIndex, task.descriptor.completionAddress, true);
    // An interrupt handle that is none is reported in both places.
    if (written === Written.NONE || task.status === Status.INTERRUPT_HANDLE) {
      const write = (task.status & Status.WRITE_FAULT) !== 0;
      this.#report(task.status & ~Status.WRITE_FAULT, task, wq, batchIndex, task.faultAddress, write);
    }
    const fine = task.status === Status.SUCCESS && written !== Written.FAULTED;
    const complaint = fine ? undefined : whyItFailed(task, wq, written);
    if (complaint !== undefined) this.#context.note(complaint);
    if (task.descriptor.has(Flag.REQUEST_INTERRUPT) && this.#mayInterrupt(task, wq))
      this.#context.interrupt(task.descriptor.interruptHandle);
    return task.status === Status.SUCCESS && written <= Written.WRITTEN;
  }

  #report(
    code: number,
    task: Task,
    wq: WorkQueue,
    batchIndex: number,
    faultAddress: number,
    write: boolean,
  ): void {
    this.#context.reportError(code, task, wq, batchIndex, faultAddress, write);
  }
}
