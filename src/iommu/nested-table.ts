/**
 * NestedTable: a page table of a first stage, which its user owns and writes. It translates to addresses that
 * `parent`, the second stage, translates further; so whatever the user writes, nothing is reached that
 * `parent` does not lead to.
 *
 * What its entries look like is a matter of its format: each format is a subclass.
 */
import type { Access } from './access.js';
import { Granted } from './granted.js';
import type { PageTable } from './page-table.js';

export abstract class NestedTable extends Granted {
  /** The second stage. */
  readonly parent: PageTable;
  /** The tree that a requester may walk without asking, as it may walk a PageTable's: the table of zeros. */
  readonly root = 0;
  /** Why the last lookup was refused. */
  refusal = '';

  constructor(parent: PageTable) {
    super();
    this.parent = parent;
  }

  /**
   * Translates IOVA (hi, lo) for `access`. @returns `slot << 2 | rights` of a mapping in the table memory,
   * with all of `access`; or REFUSED, and `refusal` says why.
   */
  abstract lookup(hi: number, lo: number, access: Access): number;

  /** Gives back what it has cached. No requester has the table any more. */
  abstract close(): void;
}

/** What an entry of a PASID table can lead to. */
export type Translation = PageTable | NestedTable;
