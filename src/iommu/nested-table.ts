/**
 * NestedTable: a page table of a first stage, which its user owns and writes. It translates to addresses that `parent`, the second stage,
 * translates further; so whatever the user writes, nothing is reached that `parent` does not lead to.
 *
 * What its entries look like is a matter of its format: each format is a subclass.
 */
import type { PageTable } from './page-table.js';

export abstract class NestedTable {
  /** The second stage. */
  readonly parent: PageTable;

  constructor(parent: PageTable) {
    this.parent = parent;
  }
}

/** What an entry of a PASID table can lead to. */
export type Translation = PageTable | NestedTable;
