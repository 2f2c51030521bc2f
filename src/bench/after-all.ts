/**
 * The rows of a process that has done all other work before: because what the engine has seen of one row can
 * slow the next, as in a server that has lived. Each is compared with the same row in a new process, pass by
 * pass in turns, so that what the machine does meanwhile meets both.
 */
import { passesAlone } from './alone.js';
import type { Measurement, Outcome } from './measurement.js';
import { type Comparison, compareTo, type References } from './reference.js';
import type { Row } from './row.js';

/** How many times what it takes alone a row may take. */
const MOST = 1.15;

/** Does what `row` measures, a few times. */
export async function work(row: Row, references: References): Promise<void> {
  if (row.whyNot?.(references) !== undefined) return;
  await compareTo(await row.begin(references), undefined, 1);
}

/** `row` in this process, beside the same alone. */
export async function afterAll(row: Row, references: References): Promise<Outcome[]> {
  const skipped = row.whyNot?.(references);
  if (skipped !== undefined) return [{ name: nameOf(row), skipped }];
  return besideAlone(row, await compareTo(await row.begin(references), passesAlone(row), row.rounds));
}

/** What is expected of what `row` came to beside the same alone. */
export function besideAlone(row: Row, result: Comparison): Measurement[] {
  const name = nameOf(row);
  const beside = { name, unit: 'ns', ...result, maxRatio: MOST } as const;
  if (row.max === undefined) return [beside];
  // What may take so many nanoseconds may take no more in such a process.
  return [beside, { name: `${name}, at most`, unit: 'ns', ours: result.ours, max: row.max }];
}

function nameOf({ name }: Row): string {
  return `${name}, after all`;
}
