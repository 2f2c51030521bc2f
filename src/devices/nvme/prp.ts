/**
 * Physical region pages (NVM Express Base 2.0 §4.1.1): data named by pages. The first page may be used from
 * an offset on; what the second entry of a command names is the second page, or a list of all that follow. A
 * list ends with its page; when more entries are needed the last one there is the address of the next list.
 *
 * Only the first list of a command may begin inside a page. So each list after it brings at least all but one
 * of the entries of a page, and the length of the data bounds the walk whatever the lists say.
 */
import type { Memory } from './memory.js';
import type { ScatterList } from './scatter-list.js';
import { Status } from './status.js';

const ENTRY_BYTES = 8;
/** Entries that are read at a time. */
const CHUNK = 512;

export class PrpWalk {
  readonly #memory: Memory;
  readonly #bytes = new Uint8Array(CHUNK * ENTRY_BYTES);
  readonly #view = new DataView(this.#bytes.buffer);

  constructor(memory: Memory) {
    this.#memory = memory;
  }

  /** Adds the `length` bytes that `prp1` and `prp2` name, with pages of `page` bytes, to `list`. */
  walk(list: ScatterList, prp1: number, prp2: number, length: number, page: number): Status {
    if (prp1 % 4 !== 0) return Status.INVALID_PRP_OFFSET;
    const first = Math.min(length, page - (prp1 % page));
    list.add(prp1, first);
    const rest = length - first;
    if (rest === 0) return Status.SUCCESS;
    if (rest > page) return this.walkList(list, prp2, rest, page);
    if (prp2 % page !== 0) return Status.INVALID_PRP_OFFSET;
    list.add(prp2, rest);
    return Status.SUCCESS;
  }

  /** Adds the `length` bytes that the list at `pointer` names. */
  walkList(list: ScatterList, pointer: number, length: number, page: number): Status {
    let left = length;
    return this.walkEntries(pointer, Math.ceil(length / page), page, (_index, iova) => {
      list.add(iova, Math.min(left, page));
      left -= page;
    });
  }

  /** Calls `each` with the `count` pages that the list at `pointer` names. */
  walkEntries(
    pointer: number,
    count: number,
    page: number,
    each: (index: number, iova: number) => void,
  ): Status {
    if (pointer % ENTRY_BYTES !== 0) return Status.INVALID_PRP_OFFSET;
    let at = pointer;
    for (let done = 0; done < count; ) {
      const wanted = count - done;
      const here = (page - (at % page)) / ENTRY_BYTES;
      const chunk = Math.min(wanted, here, CHUNK);
      if (!this.#memory.read(at, this.#bytes, 0, chunk * ENTRY_BYTES)) return Status.DATA_TRANSFER_ERROR;
      const isPointer = chunk === here && wanted > here;
      const entries = isPointer ? chunk - 1 : chunk;
      for (let i = 0; i < entries; i++) {
        const iova = this.#entry(i);
        if (iova % page !== 0) return Status.INVALID_PRP_OFFSET;
        each(done++, iova);
      }
      at = isPointer ? this.#entry(entries) : at + chunk * ENTRY_BYTES;
      if (isPointer && at % page !== 0) return Status.INVALID_PRP_OFFSET;
    }
    return Status.SUCCESS;
  }

  #entry(index: number): number {
    const at = index * ENTRY_BYTES;
    return this.#view.getUint32(at, true) + this.#view.getUint32(at + 4, true) * 2 ** 32;
  }
}
