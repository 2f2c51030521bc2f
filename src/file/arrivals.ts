/**
 * Arrivals: how often something has come into a stream of events. Nobody is told; who serves polls compares,
 * and one number says whether there is anything to compare. Both only grow.
 */
let ofAll = 0;

export class Arrivals {
  #count = 0;

  /** Of all streams there are. */
  static get all(): number {
    return ofAll;
  }

  /** Of this one. */
  get count(): number {
    return this.#count;
  }

  /** Something has come. */
  add(): void {
    this.#count++;
    ofAll++;
  }
}
