/**
 * The last word of a run: what went wrong last, in one line, for who has not asked to be told. It may be why
 * the command has failed, or waits for ever: a call that was refused, a DMA fault, or what a device said.
 *
 * A command that has succeeded may have been refused something on purpose: of that nothing is said, and of
 * its devices only to a person at a terminal.
 */
import { isatty } from 'node:tty';
import type { Logged } from '../iommu/event-log.js';
import type { FaultRecord } from '../iommu/fault-log.js';
import type { Machine } from '../machine/machine.js';
import { fullPath } from '../trace/event.js';
import { escaped, lineOf } from '../trace/lines.js';
import { eventOf, type Raw } from '../trace/raw.js';
import type { RefusedCall } from '../trace/trace.js';

const STDERR = 2;
/** A fault that only shows that the command has ended before its device. */
const AFTER_THE_END = /^process \d+ .*cannot be reached/;

/** Something that went wrong, with its place among all that has happened. */
interface Wrong {
  readonly order: number;
  readonly text: string;
  /** Of a fault: why. */
  readonly reason?: string;
}

/** @param badly the command has failed @returns undefined: there is nothing to say */
export function lastWord(machine: Machine, badly: boolean): string | undefined {
  if (!badly && !isatty(STDERR)) return undefined;
  const { trace, iommu, devices } = machine;
  const all = iommu.faults.since(0);
  const faults = all.filter(({ reason }) => !AFTER_THE_END.test(reason));
  const late = new Set(all.filter(({ reason }) => AFTER_THE_END.test(reason)).map(({ order }) => order + 1));
  const notes = devices.map(({ driver: { life } }) => ({ device: life.name, log: life.work.calls.notes }));
  const wrong = [
    ...faults.slice(-1).map(ofFault),
    ...notes.flatMap(({ device, log }) =>
      log
        .since(0)
        .filter(({ order }) => !late.has(order))
        .slice(-1)
        .map((entry) => ofNote(device, entry)),
    ),
    ...(badly ? trace.refusals.since(0).map(ofRefusal) : []),
  ].sort((a, b) => b.order - a.order);
  const [last, before] = wrong;
  if (last === undefined) return undefined;
  // What a device says right after a fault it says of that fault; it may have said why.
  const reason = before?.order === last.order - 1 ? before.reason : undefined;
  const why = reason === undefined || last.text.includes(reason) ? last : before!;
  const refusals = badly ? trace.refusals.total : 0;
  const count = notes.reduce((sum, { log }) => sum + log.total, iommu.faults.total + refusals);
  const more = count === 1 ? '' : ` (the last of ${count.toLocaleString('en')}: \`run -v\` tells all)`;
  return why.text + more;
}

function ofFault(entry: FaultRecord): Wrong {
  const { order, time, reason } = entry;
  return { order, reason, text: textOf({ kind: 'fault', entry, time }) };
}

function ofNote(device: string, entry: Logged<{ readonly sentence: string }>): Wrong {
  const { order, time } = entry;
  return { order, text: textOf({ kind: 'note', device, entry, time }) };
}

function ofRefusal({ order, path, refusal }: Logged<RefusedCall>): Wrong {
  return { order, text: `${escaped(fullPath(path))}: ${escaped(refusal.message)}` };
}

function textOf(raw: Raw): string {
  return lineOf(eventOf(raw), { times: false }).replace(/^-- /, '');
}
