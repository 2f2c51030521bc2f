/**
 * Task: one descriptor on its way through an engine, and how far it has come.
 *
 * `done` counts the bytes that are wholly processed: read, and where the operation writes, written. It is what a completion record
 * reports after a fault, so it only ever grows by bytes that are really there. Tasks are reused; `begin` starts the next one.
 */
import { Descriptor, Flag, Status } from './descriptor.js';

export class Task {
  readonly descriptor = new Descriptor();
  /** The PASID that its memory accesses carry: the descriptor's own, the work queue's, or the batch's. */
  pasid = 0;
  /** How it ended; NONE while it runs. */
  status: number = Status.NONE;
  done = 0;
  /** What a compare found, or the direction of a move that stopped halfway. */
  result = 0;
  /** The CRC register (crc32c.ts), valid from the moment the seed is known. */
  crc = 0;
  seeded = false;
  faultAddress = 0;
  invalidFlags = 0;

  begin(pasid: number): void {
    this.pasid = pasid;
    this.status = Status.NONE;
    this.done = 0;
    this.result = 0;
    this.crc = 0;
    this.seeded = false;
    this.faultAddress = 0;
    this.invalidFlags = 0;
  }

  /** Bytes still to process. */
  get remaining(): number {
    return this.descriptor.size - this.done;
  }

  /**
   * Ends it with a page fault. A descriptor that blocks on faults would have asked for the page and waited; there is no page request
   * service here, so that ends as a request ends that is answered with "invalid".
   */
  fault(address: number, write: boolean): void {
    const status = this.descriptor.has(Flag.BLOCK_ON_FAULT) ? Status.PAGE_FAULT_UNRESOLVED : Status.PAGE_FAULT;
    this.status = write ? status | Status.WRITE_FAULT : status;
    this.faultAddress = address;
  }
}
