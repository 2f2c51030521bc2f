/**
 * Task: one descriptor on its way through an engine, and how far it has come.
 *
 * `done` counts the bytes that are wholly processed: read, and where the operation writes, written. It is
 * what a completion record reports after a fault, so it only ever grows by bytes that are really there. Tasks
 * are reused; `begin` starts the next one.
 */
import type { DmaPort, PageWait } from '../device-model.js';
import { Descriptor, Flag, Opcode, Status } from './descriptor.js';

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
  /** Bytes of a delta record that are written, and the offset of the last delta that was applied. */
  recordSize = 0;
  lastDelta = 0;
  faultAddress = 0;
  invalidFlags = 0;
  /** The page that it has asked for, while that is not answered. */
  #wait: PageWait | undefined;

  begin(pasid: number): void {
    this.pasid = pasid;
    this.status = Status.NONE;
    this.done = 0;
    this.result = 0;
    this.crc = 0;
    this.seeded = false;
    this.recordSize = 0;
    this.lastDelta = 0;
    this.faultAddress = 0;
    this.invalidFlags = 0;
    this.#wait = undefined;
  }

  /**
   * Can it go on? Not while it waits for a page; when that will not come it ends here, with the fault that it
   * asked for the page by.
   */
  ready(): boolean {
    if (this.#wait === undefined) return true;
    if (this.#wait.answer === 'pending') return false;
    const { answer } = this.#wait;
    this.#wait = undefined;
    if (answer === 'success') this.#retry();
    return true;
  }

  /** Bytes to process: of the source, or of the delta record that is applied. */
  get total(): number {
    const d = this.descriptor;
    return d.opcode === Opcode.APPLY_DELTA ? d.word(40) : d.size;
  }

  get remaining(): number {
    return this.total - this.done;
  }

  /**
   * A descriptor that blocks on faults, and has just ended with one, asks for the page instead, if anybody
   * can be asked: it waits.
   */
  block(dma: DmaPort): void {
    if ((this.status & ~Status.WRITE_FAULT) !== Status.PAGE_FAULT_UNRESOLVED) return;
    this.#wait = dma.requestPage(this.pasid, this.faultAddress, (this.status & Status.WRITE_FAULT) !== 0);
  }

  #retry(): void {
    this.status = Status.NONE;
    this.result = 0;
    this.faultAddress = 0;
  }

  /** Ends it with a page fault, which is an unresolved one when the descriptor blocks on faults. */
  fault(address: number, write: boolean): void {
    const status = this.descriptor.has(Flag.BLOCK_ON_FAULT)
      ? Status.PAGE_FAULT_UNRESOLVED
      : Status.PAGE_FAULT;
    this.status = write ? status | Status.WRITE_FAULT : status;
    this.faultAddress = address;
  }
}
