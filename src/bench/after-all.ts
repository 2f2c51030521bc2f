/**
 * The rows of a process that has done all other work before, beside the same rows of a process of their own.
 *
 * Both have been compared with the same reference where there is one, so that what the machine did meanwhile
 * does not count.
 */
import { isMeasurement, type Measurement, type Outcome } from './measurement.js';

/** How many times its own figure a row may take. */
const MOST = 1.15;

/** @param alone among others, what was measured alone, by the same names */
export function afterAll(outcomes: readonly Outcome[], alone: readonly Outcome[]): Outcome[] {
  return outcomes.flatMap((outcome): Outcome[] => {
    const own = alone.filter(isMeasurement).find(({ name }) => name === outcome.name);
    const name = `${outcome.name}, after all`;
    return isMeasurement(outcome) && own !== undefined
      ? rowsOf({ ...outcome, name }, own)
      : [{ ...outcome, name }];
  });
}

function rowsOf({ name, unit, ours, ratio, max }: Measurement, own: Measurement): Measurement[] {
  const times =
    ratio === undefined || own.ratio === undefined || max !== undefined ? ours / own.ours : ratio / own.ratio;
  const beside = { name, unit, ours, reference: own.ours, ratio: times, maxRatio: MOST };
  // What may take so many nanoseconds may take no more in such a process.
  return max === undefined ? [beside] : [beside, { name: `${name}, at most`, unit, ours, max }];
}
