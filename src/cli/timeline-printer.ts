/**
 * TimelinePrinter: writes the events of a trace that a filter shows as a file that ui.perfetto.dev opens
 * (trace/timeline.ts): JSON, an event a line. One that is cut off is read up to there too.
 */
import type { TraceEvent } from '../trace/event.js';
import { type DevicesOf, type Filter, shows } from '../trace/filter.js';
import { Timeline } from '../trace/timeline.js';
import type { LineOutput } from './line-output.js';
import type { EventPrinter } from './printed-records.js';
import type { TraceArguments } from './trace-arguments.js';
import { filterOf } from './trace-printer.js';

export class TimelinePrinter implements EventPrinter {
  readonly #output: LineOutput;
  readonly #filter: Filter;
  readonly #timeline = new Timeline();
  #separator = '';

  /** @throws Refusal EINVAL what to show is not understood. */
  constructor(output: LineOutput, options: TraceArguments) {
    this.#output = output;
    this.#filter = filterOf(options);
    output.write('{"traceEvents":[');
  }

  add(event: TraceEvent, devicesOf: DevicesOf): void {
    if (!shows(this.#filter, event, devicesOf)) return;
    for (const made of this.#timeline.add(event, devicesOf)) {
      this.#output.write(this.#separator + JSON.stringify(made));
      this.#separator = ',';
    }
  }

  /** Each has its place in time. */
  again(): boolean {
    return false;
  }

  flush(): void {
    this.#output.flush();
  }

  end(): void {
    this.#output.write(']}');
    this.#output.flush();
  }
}
