/**
 * The benchmarks whose rows are measured in the process that asks for them, on the same code: all kinds of
 * memory and of tables, and both ABIs.
 */
import { authorize } from './authorize.js';
import { dma } from './dma.js';
import { nested } from './nested.js';
import { pieces } from './pieces.js';
import type { Row } from './row.js';
import { translate } from './translate.js';
import { unmapMap } from './unmap-map.js';

/** `quick` leaves out the largest tables. */
export const core: ReadonlyMap<string, (quick: boolean) => readonly Row[]> = new Map([
  ['translate', translate],
  ['nested', nested],
  ['dma', dma],
  ['authorize', authorize],
  ['unmap-map', unmapMap],
  ['pieces', pieces],
]);

/** @throws Error when there is none. */
export function rowNamed(name: string): Row {
  for (const rows of core.values())
    for (const row of [...rows(false), ...rows(true)]) if (row.name === name) return row;
  throw new Error(`no row is named ${name}`);
}
