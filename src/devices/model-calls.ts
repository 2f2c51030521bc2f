/**
 * ModelCalls: how one device model is called, what it says, and what becomes of it when it fails.
 *
 * Models are written by people, and run in the thread that serves everybody. So a call is a boundary. What is
 * thrown in it, and a promise that comes back, is a failure of this model alone. Bytes are lent as copies:
 * whatever the model keeps, changes or transfers of them is nobody else's. What it leaves behind on Node's
 * queues against the rules, a timer or a promise, is still known to be its own when it fails: `ofNow`.
 *
 * Nobody is called when a model fails. The number of failures only grows: a driver that owes somebody word of
 * it (VFIO's ERR), and whoever prints the stack, compare.
 *
 * Models stay in this thread because DMA and registers are called too often for another: a call and its
 * answer take 0.03 us here; 10 us by futex from a worker, 8 us by pipes from a process, and that at each
 * register access and each DMA, of which an ioctl, 14 us as a whole, may make many. The price is that a model
 * that loops stops everything, until somebody who watches the call words ends the process.
 */
import { AsyncLocalStorage, createHook } from 'node:async_hooks';
import { isPromise } from 'node:util/types';
import { EventLog } from '../iommu/event-log.js';
import { BrokenInvariant } from '../linux/invariant.js';
import { CallWord, callWords, Method, methodNames, nameOwner, noteAccess } from './call-words.js';

const owners = new AsyncLocalStorage<ModelCalls>();

/** Notes of one device that are kept. */
const NOTES = 64;

/** What a model has thrown. */
interface Failure {
  readonly reason: string;
  readonly stack: string;
}

export class ModelCalls {
  /** The device's name. */
  readonly name: string;
  /** The same with that of its module, for sentences about the model: `vfio0 (./x.mjs)`. */
  readonly title: string;
  /** What the device says of what it drops, ignores or finds wrong: a sentence each. */
  readonly notes = new EventLog<{ readonly sentence: string }>(NOTES);
  readonly #number: number;
  readonly #parts: ModelCalls[] = [];
  /** Calls that are under way, of this and all that it has its state in common with. */
  readonly #under: { calls: number };
  /** What runs when it does on its own: its import, or what it has left behind. */
  #alone: Method = Method.LATER;
  #failure: Failure | undefined;
  #failed: Failure | undefined;
  #failures = 0;

  constructor(name: string, title = name, under = { calls: 0 }) {
    this.name = name;
    this.title = title;
    this.#under = under;
    this.#number = nameOwner(title);
  }

  /** Whose call, timer or promise this is; undefined when it is known to be no model's. */
  static ofNow(): ModelCalls | undefined {
    return owners.getStore();
  }

  /** From now on the words say whose callbacks are called, too. */
  static tellCallbacks(): void {
    createHook({
      before: () => {
        const owner = owners.getStore();
        const before = callWords[CallWord.LATER];
        callWords[CallWord.LATER] = owner === undefined ? 0 : owner.#number + owner.#alone;
        // Those of a model that make each other, without end, are one.
        if (owner !== undefined && before !== 0) return;
        if (callWords[CallWord.CALL] === 0) callWords[CallWord.COUNT] = (callWords[CallWord.COUNT]! + 1) | 0;
      },
    }).enable();
  }

  /** Why the model has failed, or undefined while it works. */
  get failure(): string | undefined {
    return this.#failure && `the device model of ${this.title} failed: ${this.#failure.reason}`;
  }

  /** Does code of it run, or of what has its state? That may do DMA, which must not lead to another call. */
  get running(): boolean {
    const running = ModelCalls.ofNow();
    return this.#under.calls > 0 || (running !== undefined && running.#under === this.#under);
  }

  /** How often it has failed since it was made. */
  get failures(): number {
    return this.#failures;
  }

  /** What it has thrown when it failed last, with its stack; undefined: it has never failed. */
  get stack(): string | undefined {
    return this.#failed?.stack;
  }

  /**
   * The calls of `name`, which fails when this one does: what a function is cut into, a device of a module.
   * @param inState it has its state in common with this one and the other such parts.
   */
  part(name: string, inState = false): ModelCalls {
    const part = new ModelCalls(name, `${name} (${this.title})`, inState ? this.#under : undefined);
    this.#parts.push(part);
    if (this.#failure !== undefined) part.#fail(this.#failure);
    return part;
  }

  /** Imports its module: what that does, and leaves behind, is its own. @throws what `load` rejects with. */
  async importing<T>(load: () => Promise<T>): Promise<T> {
    this.#alone = Method.IMPORT;
    try {
      return await owners.run(this, load);
    } finally {
      this.#alone = Method.LATER;
    }
  }

  /**
   * Calls `body`, which is `method` of the model. @returns what it does, or `otherwise` when it throws or
   * answers with a promise: then the model has failed, and is not called before it is reset. In a DMA of one
   * model another may be called, as a part of the first one's call.
   * @throws BrokenInvariant when that was what it ran into: it was not the model's fault.
   */
  call<R, A, B, C>(method: Method, otherwise: R, body: (a: A, b: B, c: C) => R, a?: A, b?: B, c?: C): R {
    if (this.#failure !== undefined) return otherwise;
    const outer = callWords[CallWord.CALL]!;
    const dma = callWords[CallWord.DMA]!;
    this.#begin(method);
    this.#under.calls++;
    try {
      const result = owners.run(this, body, a!, b!, c!);
      if (typeof result === 'object' && isPromise(result)) refusePromise(methodNames[method], result);
      return result;
    } catch (error) {
      this.fail(error);
      if (error instanceof BrokenInvariant) throw error;
      return otherwise;
    } finally {
      this.#under.calls--;
      callWords[CallWord.DMA] = dma;
      callWords[CallWord.CALL] = outer;
    }
  }

  /** As noteAccess: `method` is called for it next. */
  access(method: Method, bar: number, offset: number, length: number, source?: Uint8Array): void {
    noteAccess(this.#number + method, bar, offset, length, source);
  }

  /** The device says `sentence`. */
  note(sentence: string): void {
    this.notes.record({ sentence: String(sentence) });
  }

  /** Calls a factory. @throws what it throws. */
  make<T>(factory: () => T): T {
    this.#begin(Method.FACTORY);
    try {
      return owners.run(this, factory);
    } finally {
      callWords[CallWord.CALL] = 0;
    }
  }

  /** The model has thrown `error`, here or on its own. */
  fail(error: unknown): void {
    // It may be made so that to print it runs code of the model: once, and here.
    this.#fail({ reason: printed(error, 'message'), stack: printed(error, 'stack') });
  }

  /** The model is reset: what it has failed at is over. */
  recover(): void {
    this.#failure = undefined;
  }

  #fail(failure: Failure): void {
    this.#failure = this.#failed = failure;
    this.#failures++;
    for (const part of this.#parts) part.#fail(failure);
  }

  #begin(method: Method): void {
    callWords[CallWord.DMA] = 0;
    if (callWords[CallWord.CALL] === 0) callWords[CallWord.COUNT] = (callWords[CallWord.COUNT]! + 1) | 0;
    callWords[CallWord.CALL] = this.#number + method;
  }
}

function refusePromise(name: string, promise: Promise<unknown>): never {
  // It may be rejected later, which is no second failure.
  promise.catch(() => undefined);
  throw ofModel(`${name} returned a promise; what a model does is done when its method returns`);
}

/** A mistake that is seen here, and not where it was made: its stack is none of the model's. */
export function ofModel(sentence: string): TypeError {
  const error = new TypeError(sentence);
  error.stack = `TypeError: ${sentence}`;
  return error;
}

function printed(error: unknown, part: 'message' | 'stack'): string {
  try {
    return error instanceof Error ? String(error[part] ?? error.message) : String(error);
  } catch {
    return 'it threw what cannot be printed';
  }
}
