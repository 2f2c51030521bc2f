/**
 * CallWatch: the eye that another thread has on the code of a device model that the serving thread is in: a
 * call, the import of its module, or what it has left behind on Node's queues.
 *
 * A model that loops cannot be cut off: to end a running script from another thread is not safe in Node, and
 * the state that all devices share lives in that thread. So the process ends. It rests while a debugger is
 * attached, at whose breakpoints a call may take as long as it likes.
 *
 * What is left behind may be many callbacks, one made by the other without end: they count as one, until Node
 * calls back somebody else. It always does when it gets round its loop.
 *
 * Time counts in which the thread gets on: what it computes, and what it waits by itself. A process that is
 * stopped, or gets no processor, has as much time as it wants.
 */
import { readFileSync } from 'node:fs';
import { CallWord, describeCall, describeLastAccess, METHODS, Method } from '../devices/call-words.js';
import type { Progress } from './standstill.js';

/** What takes so long does not return any more: a call may take a millisecond. */
export const LONGEST_CALL_MS = 2000;

/**
 * The same of what is done once, before anybody is served: to import a module, and to make a model. It is a
 * longer time on the clock alone.
 */
export const LONGEST_LOAD_MS = 10_000;

/**
 * A DMA that takes so long waits for memory of others, which is no fault of the model that does it. Shorter
 * ones are looked at as part of the call: a model may loop around them.
 */
const LONGEST_DMA_MS = 500;
/** So much of a wait is counted at one look: whoever looks was stopped with the thread if it took longer. */
const LONGEST_LOOK_MS = 100;

/** The words of the serving thread. */
export interface WatchedCalls {
  readonly words: Int32Array;
  readonly names: Uint8Array;
}

export class CallWatch {
  readonly #calls: WatchedCalls;
  readonly #progress: () => Progress;
  #count = 0;
  /** How long the call has gone on at the last look, and how much of that its thread could run. */
  #lasted = 0;
  #spent = 0;
  /** When that was, and what the thread had computed then. */
  #looked = 0;
  #computed: number | undefined;
  #dma = 0;
  #dmaSince = 0;

  /** `progress` tells of the thread that makes `calls`. */
  constructor(calls: WatchedCalls, progress: () => Progress) {
    this.#calls = calls;
    this.#progress = progress;
  }

  /** Looks. @returns what has gone on for as long as nothing may, as a sentence. */
  overdue(now: number): string | undefined {
    const { words, names } = this.#calls;
    const call = this.#running;
    const count = Atomics.load(words, CallWord.COUNT);
    const dma = Atomics.load(words, CallWord.DMA);
    if (dma !== this.#dma) this.#dmaSince = now;
    this.#dma = dma;
    if (call === 0 || count !== this.#count || (this.#inDma && now - this.#dmaSince >= LONGEST_DMA_MS)) {
      this.#count = count;
      this.#lasted = this.#spent = 0;
      this.#computed = undefined;
      return undefined;
    }
    this.#spend(now);
    const longest = longestOf(call % METHODS);
    if (this.#lasted < longest || this.#spent < LONGEST_CALL_MS || this.debugged) return undefined;
    const where = describeLastAccess(call, words);
    return `${describeCall(call, names)} has not returned for ${longest / 1000} s${where}`;
  }

  /** The code of a model that runs now, or waits for memory, in words. */
  get current(): string | undefined {
    const call = this.#running;
    return call === 0 ? undefined : describeCall(call, this.#calls.names);
  }

  /** Does a model run, and is not waiting for memory? */
  get running(): boolean {
    return this.#running !== 0 && !this.#inDma;
  }

  /** The call goes on: as long as its thread has computed since the last look, or has waited. */
  #spend(now: number): void {
    const { computed, waits } = this.#progress();
    if (this.#computed !== undefined) {
      const passed = Math.min(now - this.#looked, LONGEST_LOOK_MS);
      const ran = Math.max(waits ? passed : 0, computed - this.#computed);
      this.#spent += ran;
      this.#lasted += Math.max(passed, ran);
    }
    this.#computed = computed;
    this.#looked = now;
  }

  get #running(): number {
    const { words } = this.#calls;
    return Atomics.load(words, CallWord.CALL) || Atomics.load(words, CallWord.LATER);
  }

  get #inDma(): boolean {
    return this.#dma % 2 !== 0;
  }

  /** May a debugger stop the thread? */
  get debugged(): boolean {
    if (Atomics.load(this.#calls.words, CallWord.DEBUGGED) !== 0) return true;
    return !/^TracerPid:\t0$/m.test(readFileSync('/proc/self/status', 'latin1'));
  }
}

function longestOf(method: number): number {
  return method === Method.IMPORT || method === Method.FACTORY ? LONGEST_LOAD_MS : LONGEST_CALL_MS;
}
