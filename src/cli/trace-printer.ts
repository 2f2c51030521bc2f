/**
 * TracePrinter: prints the events of a trace that a filter shows, a line each.
 *
 * A line that is the same as the one before, but for its times, is counted, and the count told before the
 * next other line, or after a second, and a note that is the reason of a refusal is told as that alone. As
 * JSON every event is a line of its own.
 */
import { isatty } from 'node:tty';
import color from 'picocolors';
import { now } from '../linux/now.js';
import type { CallEvent, TraceEvent } from '../trace/event.js';
import { type DevicesOf, type Filter, parseFilter, shows } from '../trace/filter.js';
import { type Line, noPaint, type Paint, partsOf, timeOf } from '../trace/lines.js';
import type { Lines } from './line-output.js';
import type { EventPrinter } from './printed-records.js';
import type { TraceArguments } from './trace-arguments.js';

const SECOND = 1000;
const VERBOSE = ['error', 'fault', 'note'];

/** What the options say is to be shown. @throws Refusal EINVAL what of it is not understood. */
export function filterOf({ verbose = false, show = [], pid = [] }: TraceArguments): Filter {
  return parseFilter(verbose ? [...show, ...VERBOSE] : show, pid);
}

export class TracePrinter implements EventPrinter {
  readonly #output: Lines;
  readonly #filter: Filter;
  readonly #json: boolean;
  readonly #paint: Paint;
  /** A note and what has come since, until a call may have it as its reason. */
  #held: TraceEvent[] = [];
  #last: Line | undefined;
  /** The last event is a call that is shown, or one that is not; undefined: neither. */
  #shown: boolean | undefined;
  #repeats = 0;
  #printed = 0;
  /** Events that nobody was there to take. */
  #lost = 0;

  /** @throws Refusal EINVAL what to show is not understood. */
  constructor(output: Lines, options: TraceArguments) {
    this.#output = output;
    this.#filter = filterOf(options);
    this.#json = options.json ?? false;
    this.#paint = output.colours ? coloured : noPaint;
  }

  add(event: TraceEvent, devicesOf: DevicesOf): void {
    const shown = shows(this.#filter, event, devicesOf);
    const lost = shown && this.#output.full;
    this.#shown = event.kind === 'call' && !lost ? shown : undefined;
    if (lost) this.#lost++;
    else if (shown) this.#show(event);
  }

  again(): boolean {
    if (this.#json || this.#shown === undefined) return false;
    if (this.#shown) this.#repeats++;
    return true;
  }

  flush(): void {
    this.#release('');
    if (this.#repeats > 0 && Date.now() - this.#printed >= SECOND) this.#tellRepeats();
    this.#output.flush();
  }

  end(): void {
    this.#release('');
    this.#tellRepeats();
    this.#tellLost();
    this.#output.flush();
  }

  #show(event: TraceEvent): void {
    if (this.#lost > 0) this.#tellLost();
    if (this.#json) this.#output.write(JSON.stringify(event));
    else if (event.kind === 'call') this.#call(event);
    else if (event.kind === 'note' || this.#held.length > 0) this.#held.push(event);
    else this.#line(event);
  }

  #tellLost(): void {
    const count = this.#lost;
    this.#lost = 0;
    if (count > 0) this.#show({ kind: 'lost', count, time: now() });
  }

  #call(event: CallEvent & TraceEvent): void {
    if (this.#held.length > 0) this.#release(event.reason ?? '');
    this.#line(event);
  }

  /** Prints what is held, without the notes that `reason` tells. */
  #release(reason: string): void {
    for (const event of this.#held)
      if (event.kind !== 'note' || !reason.includes(event.sentence)) this.#line(event);
    this.#held = [];
  }

  #line(event: TraceEvent): void {
    const line = partsOf(event, this.#paint);
    if (line.what === this.#last?.what && line.why === this.#last.why) {
      this.#repeats++;
      return;
    }
    this.#tellRepeats();
    this.#last = line;
    this.#output.write(`${timeOf(event, this.#paint)}${line.what}${line.took}${line.why}`);
    this.#printed = Date.now();
  }

  /** Tells how often the last line was said again. */
  #tellRepeats(): void {
    if (this.#repeats === 0) return;
    this.#output.write(`… ${this.#repeats.toLocaleString('en')} times more`);
    this.#printed = Date.now();
    this.#repeats = 0;
  }
}

/** Colours, whatever else Node's own streams are connected to. */
const { dim, cyan, red, yellow } = color.createColors(true);
const coloured: Paint = { dim, call: cyan, bad: red, note: yellow };

/** Is `fd` a terminal that wants colours? */
export function wantsColours(fd: number): boolean {
  return isatty(fd) && (process.env.NO_COLOR ?? '') === '';
}
