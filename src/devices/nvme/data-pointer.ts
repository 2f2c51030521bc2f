/**
 * The data pointer of a command (NVM Express Base 2.0 §4.1): where its data is in the driver's memory, by PRP
 * entries or by an SGL, made into one list.
 */
import type { Command } from './command.js';
import type { Memory } from './memory.js';
import { PrpWalk } from './prp.js';
import type { ScatterList } from './scatter-list.js';
import { SglWalk } from './sgl.js';
import { Status } from './status.js';

/** Bytes that one command may move, as a power of two of 4 KiB pages (MDTS), and as such. */
export const MAX_TRANSFER_SHIFT = 8;
export const MAX_TRANSFER = 4096 << MAX_TRANSFER_SHIFT;

export class DataPointers {
  readonly prp: PrpWalk;
  readonly #sgl: SglWalk;

  constructor(memory: Memory) {
    this.prp = new PrpWalk(memory);
    this.#sgl = new SglWalk(memory);
  }

  /**
   * Makes `list` the first `length` bytes of the data of `command`. @param page bytes of a memory page.
   * @param toHost they will be written to memory.
   */
  find(list: ScatterList, command: Command, length: number, page: number, toHost: boolean): Status {
    list.clear();
    if (length > MAX_TRANSFER) return Status.INVALID_FIELD;
    if (length === 0) return Status.SUCCESS;
    if (command.pointerKind === 0) return this.prp.walk(list, command.prp1, command.prp2, length, page);
    if (command.pointerKind === 3) return Status.INVALID_FIELD;
    return this.#sgl.walk(list, command.pointer, length, toHost);
  }
}
