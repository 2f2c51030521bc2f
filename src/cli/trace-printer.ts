/**
 * TracePrinter: prints the events of a trace that a filter shows, a line each.
 *
 * A line that is the same as the one before, but for its times, is counted, and the count told before the
 * next other line, or after a second. As JSON every event is a line of its own.
 */
import { isatty } from 'node:tty';
import color from 'picocolors';
import type { TraceEvent } from '../trace/event.js';
import { type DevicesOf, type Filter, parseFilter, shows } from '../trace/filter.js';
import { lineOf, noPaint, type Paint } from '../trace/lines.js';
import type { LineOutput } from './line-output.js';

/** What the options of `run`, `serve` and `trace` say of a trace. */
export interface TraceArguments {
  readonly trace?: boolean;
  readonly show?: readonly string[];
  readonly pid?: readonly number[];
  readonly json?: boolean;
  readonly output?: string;
}

const SECOND = 1000;

/** Do the options ask for a trace? */
export function wantsTrace({ trace, show = [], pid = [], json, output }: TraceArguments): boolean {
  return trace === true || show.length + pid.length > 0 || json === true || output !== undefined;
}

export class TracePrinter {
  readonly #output: LineOutput;
  readonly #filter: Filter;
  readonly #json: boolean;
  readonly #paint: Paint;
  #last = '';
  #repeats = 0;
  #printed = 0;

  /** @throws Refusal EINVAL what to show is not understood. */
  constructor(output: LineOutput, { show = [], pid = [], json = false }: TraceArguments) {
    this.#output = output;
    this.#filter = parseFilter(show, pid);
    this.#json = json;
    this.#paint = output.terminal ? coloured : noPaint;
  }

  /** Prints those of `events` that are to be shown. `devicesOf`: who has a requester id. */
  print(events: readonly TraceEvent[], devicesOf: DevicesOf): void {
    for (const event of events) if (shows(this.#filter, event, devicesOf)) this.#event(event);
    if (this.#repeats > 0 && Date.now() - this.#printed >= SECOND) this.end();
    this.#output.flush();
  }

  /** Tells how often the last line was said again. */
  end(): void {
    if (this.#repeats > 0) this.#write(`… ${this.#repeats.toLocaleString('en')} times more`);
    this.#repeats = 0;
    this.#output.flush();
  }

  #event(event: TraceEvent): void {
    if (this.#json) {
      this.#write(JSON.stringify(event));
      return;
    }
    const same = lineOf(event.kind === 'call' ? { ...event, duration: 0 } : event, { times: false });
    if (same === this.#last) {
      this.#repeats++;
      return;
    }
    if (this.#repeats > 0) this.end();
    this.#write(lineOf(event, { paint: this.#paint }));
    this.#last = same;
  }

  #write(line: string): void {
    this.#output.write(line);
    this.#printed = Date.now();
  }
}

/** Colours, whatever else Node's own streams are connected to. */
const { dim, cyan, red, yellow } = color.createColors(true);
const coloured: Paint = { dim, call: cyan, bad: red, note: yellow };

/** Is `fd` a terminal that wants colours? */
export function wantsColours(fd: number): boolean {
  return isatty(fd) && (process.env.NO_COLOR ?? '') === '';
}
