/**
 * LongCalls: whose calls have taken long lately, so that others are served between those.
 *
 * A call whose struct lies in memory of its program takes some 0.1 ms, also when it is refused, and more when
 * that memory comes late; and a program may have as many calls come at once as it has threads. An opener
 * whose long calls have taken SHARE_MS is a busy one for LATELY_MS. Whenever those of all have taken that
 * again, each busy opener waits for his turn before his next call.
 *
 * Invariant: whoever is not busy waits for long calls of SHARE_MS and one more at most, however many threads
 * and openers make them, and for what it takes to put aside those that came before his. That costs as much as
 * a short call does, so short ones are not counted.
 */
import type { Account } from '../linux/account.js';
import type { Turns } from './turns.js';

/** From how many milliseconds on a call is long. */
const LONG_MS = 0.05;
/** How many milliseconds of long calls are done before others are served. */
const SHARE_MS = 0.5;
/** For how many milliseconds an opener is busy. */
const LATELY_MS = 100;

export class LongCalls {
  readonly #turns: Turns;
  /** What those of an opener have taken since he was found busy last, in milliseconds, and those of all. */
  readonly #taken = new WeakMap<Account, number>();
  #ofAll = 0;
  /** Busy openers, and since when. */
  readonly #busy = new Map<Account, number>();

  constructor(turns: Turns) {
    this.#turns = turns;
  }

  /**
   * A request on a file that `opener` has opened (undefined: on none) was handled from `began` until `ended`,
   * in milliseconds.
   */
  count(opener: Account | undefined, began: number, ended: number): void {
    const ms = ended - began;
    if (ms < LONG_MS || opener === undefined) return;
    this.#ofAll += ms;
    const taken = (this.#taken.get(opener) ?? 0) + ms;
    const isBusy = taken >= SHARE_MS;
    this.#taken.set(opener, isBusy ? 0 : taken);
    if (isBusy) this.#busy.set(opener, ended);
    if (isBusy || this.#ofAll >= SHARE_MS) this.#takeTurns(ended);
  }

  #takeTurns(now: number): void {
    this.#ofAll = 0;
    for (const [opener, since] of this.#busy) {
      if (now - since > LATELY_MS) this.#busy.delete(opener);
      else if (!this.#turns.claimed([opener])) this.#turns.goOn(opener, [opener], () => true);
    }
  }
}
