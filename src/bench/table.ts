/**
 * The figures as a table for people: one row a measurement, the numbers right-aligned, each with the unit
 * that suits its size.
 */
import { type Measurement, type Outcome, verdict } from './measurement.js';

const NAME = 64;
const COLUMNS = [12, 12, 9, 11, 7];

export const header = row('', ['ours', 'reference', 'ratio', 'expected', '']);

export function rowOf(outcome: Outcome): string {
  if ('skipped' in outcome) return `${outcome.name.padEnd(NAME)}    not measured: ${outcome.skipped}`;
  if ('told' in outcome) return `${outcome.name.padEnd(NAME)}    ${outcome.told}`;
  const { name, unit, ours, reference, ratio } = outcome;
  const known = reference === undefined ? '-' : quantity(reference, unit);
  return row(name, [
    quantity(ours, unit),
    known,
    ratio === undefined ? '-' : times(ratio),
    expectation(outcome),
    verdict(outcome),
  ]);
}

function row(name: string, cells: readonly string[]): string {
  return name.padEnd(NAME) + cells.map((cell, n) => cell.padStart(COLUMNS[n]!)).join('');
}

function expectation({ unit, maxRatio, max }: Measurement): string {
  if (maxRatio !== undefined) return `<= ${times(maxRatio)}`;
  return max === undefined ? '' : `<= ${quantity(max, unit)}`;
}

function times(ratio: number): string {
  return `${ratio.toFixed(2)} x`;
}

function quantity(value: number, unit: Measurement['unit']): string {
  const scale = unit === 'ns' ? ['ns', 'µs', 'ms', 's'] : ['B', 'kB', 'MB', 'GB'];
  let step = 0;
  let scaled = value;
  while (Math.abs(scaled) >= 1000 && step < scale.length - 1) {
    scaled /= 1000;
    step++;
  }
  return `${scaled.toPrecision(3)} ${scale[step]!}`;
}
