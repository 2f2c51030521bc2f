/**
 * TracePrinter: prints the events of a trace that a filter shows, a line each.
 *
 * A line that is the same as the one before, but for its times, is counted, and the count told before the
 * next other line, or after a second, and a note that is the reason of a refusal is told as that alone. As
 * JSON every event is a line of its own.
 */
import { isatty } from 'node:tty';
import color from 'picocolors';
import type { CallEvent, TraceEvent } from '../trace/event.js';
import { type DevicesOf, type Filter, parseFilter, shows } from '../trace/filter.js';
import { lineOf, noPaint, type Paint } from '../trace/lines.js';
import type { LineOutput } from './line-output.js';
import type { TraceArguments } from './trace-arguments.js';

const SECOND = 1000;
const VERBOSE = ['error', 'fault', 'note'];

/** What the options say is to be shown. @throws Refusal EINVAL what of it is not understood. */
export function filterOf({ verbose = false, show = [], pid = [] }: TraceArguments): Filter {
  return parseFilter(verbose ? [...show, ...VERBOSE] : show, pid);
}

export class TracePrinter {
  readonly #output: LineOutput;
  readonly #filter: Filter;
  readonly #json: boolean;
  readonly #paint: Paint;
  #last: TraceEvent | undefined;
  #lastText = '';
  #repeats = 0;
  #printed = 0;

  /** @throws Refusal EINVAL what to show is not understood. */
  constructor(output: LineOutput, options: TraceArguments) {
    this.#output = output;
    this.#filter = filterOf(options);
    this.#json = options.json ?? false;
    this.#paint = output.colours ? coloured : noPaint;
  }

  /** Prints those of `events` that are to be shown. `devicesOf`: who has a requester id. */
  print(events: readonly TraceEvent[], devicesOf: DevicesOf): void {
    const shown = events.filter((event) => shows(this.#filter, event, devicesOf));
    for (const event of this.#json ? shown : withoutReasons(shown)) this.#event(event);
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
    if (this.#isAgain(event)) {
      this.#repeats++;
      return;
    }
    if (this.#repeats > 0) this.end();
    this.#write(lineOf(event, { paint: this.#paint }));
  }

  /** Is it as the one before, but for its times? Most that are have the very same fields. */
  #isAgain(event: TraceEvent): boolean {
    if (this.#last !== undefined && sameCall(this.#last, event)) return true;
    const text = lineOf(event.kind === 'call' ? { ...event, duration: 0 } : event, { times: false });
    const again = text === this.#lastText;
    this.#last = event;
    this.#lastText = text;
    return again;
  }

  #write(line: string): void {
    this.#output.write(line);
    this.#printed = Date.now();
  }
}

/** Are both calls, of which every field is the same, but for the times? */
function sameCall(one: TraceEvent, other: TraceEvent): boolean {
  return one.kind === 'call' && other.kind === 'call' && covers(one, other) && covers(other, one);
}

function covers(one: CallEvent, other: CallEvent): boolean {
  for (const name in one) {
    if (name === 'time' || name === 'duration') continue;
    if (one[name as keyof CallEvent] !== other[name as keyof CallEvent]) return false;
  }
  return true;
}

/** `events` without the notes that the next call has as its reason. */
function withoutReasons(events: readonly TraceEvent[]): readonly TraceEvent[] {
  if (!events.some(({ kind }) => kind === 'note')) return events;
  let reason = '';
  const told = events.toReversed().filter((event) => {
    if (event.kind === 'call') reason = event.reason ?? '';
    return event.kind !== 'note' || !reason.includes(event.sentence);
  });
  return told.reverse();
}

/** Colours, whatever else Node's own streams are connected to. */
const { dim, cyan, red, yellow } = color.createColors(true);
const coloured: Paint = { dim, call: cyan, bad: red, note: yellow };

/** Is `fd` a terminal that wants colours? */
export function wantsColours(fd: number): boolean {
  return isatty(fd) && (process.env.NO_COLOR ?? '') === '';
}
