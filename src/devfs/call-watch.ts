/**
 * CallWatch: the eye that another thread has on the call of a device model that the serving thread is in.
 *
 * A model that loops cannot be cut off: to end a running script from another thread is not safe in Node, and
 * the state that all devices share lives in that thread. So the process ends. It rests while a debugger is
 * attached, at whose breakpoints a call may take as long as it likes.
 */
import { readFileSync } from 'node:fs';
import { CallWord, describeCall } from '../devices/call-words.js';

/** A call that takes so long does not return any more: it may take a millisecond. */
export const LONGEST_CALL_MS = 2000;

/**
 * A DMA that takes so long waits for memory of others, which is no fault of the model that does it. Shorter
 * ones are looked at as part of the call: a model may loop around them.
 */
const LONGEST_DMA_MS = 500;

/** The words of the serving thread. */
export interface WatchedCalls {
  readonly words: Int32Array;
  readonly names: Uint8Array;
}

export class CallWatch {
  readonly #calls: WatchedCalls;
  #count = 0;
  #since = 0;
  #dma = 0;
  #dmaSince = 0;

  constructor(calls: WatchedCalls) {
    this.#calls = calls;
  }

  /** Looks. @returns the call that has gone on for LONGEST_CALL_MS of looking, in words. */
  overdue(now: number): string | undefined {
    const { words, names } = this.#calls;
    const call = Atomics.load(words, CallWord.CALL);
    const count = Atomics.load(words, CallWord.COUNT);
    const dma = Atomics.load(words, CallWord.DMA);
    if (dma !== this.#dma) this.#dmaSince = now;
    this.#dma = dma;
    if (call === 0 || count !== this.#count || (this.#inDma && now - this.#dmaSince >= LONGEST_DMA_MS)) {
      this.#count = count;
      this.#since = now;
      return undefined;
    }
    if (now - this.#since < LONGEST_CALL_MS || this.#debugged()) return undefined;
    return describeCall(call, names);
  }

  /** Does a model run, and is not waiting for memory? */
  get running(): boolean {
    return Atomics.load(this.#calls.words, CallWord.CALL) !== 0 && !this.#inDma;
  }

  get #inDma(): boolean {
    return this.#dma % 2 !== 0;
  }

  #debugged(): boolean {
    if (Atomics.load(this.#calls.words, CallWord.DEBUGGED) !== 0) return true;
    return !/^TracerPid:\t0$/m.test(readFileSync('/proc/self/status', 'latin1'));
  }
}
