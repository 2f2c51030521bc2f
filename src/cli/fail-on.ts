/**
 * `run --fail-on fault,note`: a command that has succeeded fails when a device faulted, or had something to
 * say. The logs of both count all that there ever was, so nothing has to be watched for it.
 */
import type { Machine } from '../machine/machine.js';

/** What a run can fail on. */
export const failures = ['fault', 'note'] as const;
export type Failure = (typeof failures)[number];

/** The exit status of a run whose command has succeeded. */
export const FAILED_ON = 99;

const words: Readonly<Record<Failure, string>> = { fault: 'DMA fault', note: 'note' };
const counted = (count: number, what: string) => `${count} ${what}${count === 1 ? '' : 's'}`;

/** What there was of `kinds`, as a sentence; undefined: nothing. */
export function failureOf(machine: Machine, kinds: readonly Failure[]): string | undefined {
  const notes = machine.devices.reduce((sum, { driver }) => sum + driver.life.work.calls.notes.total, 0);
  const counts = { fault: machine.iommu.faults.total, note: notes };
  const found = kinds.filter((kind) => counts[kind] > 0);
  if (found.length === 0) return undefined;
  const list = found.map((kind) => counted(counts[kind], words[kind]));
  const had = `the command has succeeded, but devices had ${list.join(' and ')}`;
  return `${had}: exit status ${FAILED_ON} (--fail-on)`;
}
