/**
 * The fault log: what DMA was refused, newest last.
 *
 * A ring of fixed length, like the fault recording registers of a hardware IOMMU, but with a reason for each.
 * Nobody is called when a fault is recorded; whoever wants to know reads from the sequence number that it has
 * seen last. `total` never falls.
 */

/** A DMA access that did not happen, or not to its end. IOVAs in bytes. */
export interface DmaFault {
  /** The first IOVA that could not be reached. */
  readonly iova: number;
  /** Bytes transferred before it. */
  readonly done: number;
  readonly pasid: number;
  /** True when a write was attempted. */
  readonly write: boolean;
  /** One sentence: why. */
  readonly reason: string;
}

/** One entry of the log. `rid` is the requester id as text, `0000:6a:01.0`. */
export interface FaultRecord {
  readonly sequence: number;
  /** Milliseconds since the epoch. */
  readonly time: number;
  readonly rid: string;
  readonly pasid: number;
  readonly iova: number;
  readonly write: boolean;
  readonly reason: string;
}

export class FaultLog {
  readonly #ring: FaultRecord[] = [];
  readonly #capacity: number;
  #total = 0;

  constructor(capacity = 1024) {
    this.#capacity = capacity;
  }

  /** Faults recorded since the beginning. */
  get total(): number {
    return this.#total;
  }

  record(fault: Omit<FaultRecord, 'sequence' | 'time'>): void {
    this.#ring[this.#total % this.#capacity] = { sequence: this.#total, time: Date.now(), ...fault };
    this.#total++;
  }

  /** The records from number `sequence` on that the ring still holds, oldest first. */
  since(sequence: number): FaultRecord[] {
    const records: FaultRecord[] = [];
    for (let n = Math.max(sequence, this.#total - this.#capacity, 0); n < this.#total; n++)
      records.push(this.#ring[n % this.#capacity]!);
    return records;
  }
}
