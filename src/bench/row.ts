/**
 * A row of the table that is measured in the process of whoever asks for it: passes of ours, in turns with
 * those of what they are compared with.
 *
 * A row can be begun as often as one likes, and each time makes all that it wants anew. So it can be measured
 * in a process of its own (row-process.ts), and in one that has done all other work before (after-all.ts).
 */
import type { Measurement, Outcome } from './measurement.js';
import { compareTo, type References, type Side } from './reference.js';

/** What makes measured passes, and what it is compared with. */
export interface Begun extends Side {
  /** Starts what it is compared with; undefined: there is nothing. */
  reference(): Side | undefined | Promise<Side | undefined>;
}

export interface Row extends Pick<Measurement, 'name' | 'maxRatio' | 'max'> {
  readonly rounds: number;
  /** Why it cannot be measured on this machine; undefined: it can. */
  whyNot?(references: References): string | undefined;
  begin(references: References): Begun | Promise<Begun>;
}

/** `row` beside its reference. */
export async function compared(row: Row, references: References): Promise<Outcome> {
  const { name, rounds, maxRatio, max } = row;
  const skipped = row.whyNot?.(references);
  if (skipped !== undefined) return { name, skipped };
  const begun = await row.begin(references);
  const result = await compareTo(begun, await begun.reference(), rounds);
  return { name, unit: 'ns', ...result, maxRatio, max };
}
