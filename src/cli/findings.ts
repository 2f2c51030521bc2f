/**
 * Findings: the DMA faults of a run, and what its devices said, each once with its number: what a report for
 * a CI job is made of.
 */
import type { Machine } from '../machine/machine.js';
import { parseFilter } from '../trace/filter.js';
import { lineOf } from '../trace/lines.js';
import { TraceReader } from '../trace/reader.js';
import type { Failure } from './fail-on.js';

/** Different ones that are kept of each kind. */
const MOST = 100;

export interface Finding {
  readonly text: string;
  readonly count: number;
}

export class Findings {
  readonly #reader: TraceReader;
  readonly #counts: Readonly<Record<Failure, Map<string, number>>> = { fault: new Map(), note: new Map() };

  constructor(machine: Machine) {
    this.#reader = new TraceReader(machine.logs, parseFilter(['fault,note']));
  }

  /** Takes what has happened since the last time. What came too fast to be kept is in no report. */
  look(): void {
    for (const event of this.#reader.read()) {
      if (event.kind !== 'fault' && event.kind !== 'note') continue;
      const counts = this.#counts[event.kind];
      const text = lineOf(event, { times: false }).replace(/^-- /, '');
      const count = counts.get(text);
      if (count !== undefined || counts.size < MOST) counts.set(text, (count ?? 0) + 1);
    }
  }

  /** What there was of a kind, in the order in which it was first found. */
  of(kind: Failure): Finding[] {
    return [...this.#counts[kind]].map(([text, count]) => ({ text, count }));
  }
}

/** With its number, when that is not 1. */
export function counted({ text, count }: Finding): string {
  return count === 1 ? text : `${text} (${count.toLocaleString('en')} times)`;
}
