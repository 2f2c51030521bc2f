/**
 * Telling: what the server of `run` or `serve` says of its own machine, as it happens: a trace, and a log of
 * what went wrong (`--log`).
 *
 * It looks at the machine's trace from the beginning, so that no call is missed, and reads it after each turn
 * of the server's loop. The options are judged, and files opened, before anything else is made.
 */
import type { Machine } from '../machine/machine.js';
import { TraceReader } from '../trace/reader.js';
import { LineOutput } from './line-output.js';
import { type TraceArguments, TracePrinter, wantsColours, wantsTrace } from './trace-printer.js';

/** One of what is said, and where. */
interface Told {
  readonly output: LineOutput;
  readonly printer: TracePrinter;
  reader?: TraceReader;
}

export class Telling {
  readonly #told: readonly Told[];
  #machine: Machine | undefined;

  private constructor(told: readonly Told[]) {
    this.#told = told;
  }

  /**
   * What the options ask for; undefined: nothing. @throws Refusal one sentence: an option is not understood,
   * or its file cannot be written.
   */
  static of(options: TraceArguments): Telling | undefined {
    const told: Told[] = [];
    if (wantsTrace(options)) told.push(toldTo(options.output, options));
    if (options.log !== undefined) told.push(toldTo(options.log, { verbose: true }));
    return told.length === 0 ? undefined : new Telling(told);
  }

  begin(machine: Machine): void {
    this.#machine = machine;
    for (const told of this.#told) told.reader = new TraceReader(machine.logs, told.printer.filter);
  }

  /** Tells what has happened since the last time. */
  tell(): void {
    const machine = this.#machine;
    if (machine === undefined) return;
    for (const { printer, reader } of this.#told)
      printer.print(reader!.read(), (rid) => machine.namesOf(rid));
  }

  end(): void {
    this.tell();
    for (const { output, printer, reader } of this.#told) {
      reader?.end();
      printer.end();
      output.close();
    }
  }
}

function toldTo(file: string | undefined, options: TraceArguments): Told {
  const output = new LineOutput(file, wantsColours);
  return { output, printer: new TracePrinter(output, options) };
}
