/**
 * Granted: a page table of either kind, as something that entries of PASID tables lead to.
 *
 * Invariant: it is closed when no entry leads to it any more. What is closed before would be walked by the
 * next DMA, and the places that it gives back are another table's by then.
 */
import { broken } from '../linux/invariant.js';

export abstract class Granted {
  #entries = 0;

  /** An entry leads here from now on. */
  enter(): void {
    this.#entries++;
  }

  /** An entry that has led here is gone. */
  leave(): void {
    if (this.#entries === 0) broken('a page table is left by more entries of PASID tables than lead to it');
    this.#entries--;
  }

  /** To be asked before anything is given back: what a walk may come to is better lost than another's. */
  protected requireLeft(): void {
    if (this.#entries > 0) broken(`a page table is closed while ${this.#entries} entries lead to it`);
  }
}
