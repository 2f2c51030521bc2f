/**
 * Telling: what the server of `run` or `serve` says of its own machine, as it happens.
 *
 * It looks at the machine's trace from the beginning, so that no call is missed, and reads it after each turn
 * of the server's loop. The options are judged, and files opened, before anything else is made.
 */
import type { Machine } from '../machine/machine.js';
import { TraceReader } from '../trace/reader.js';
import { LineOutput } from './line-output.js';
import { type TraceArguments, TracePrinter, wantsColours, wantsTrace } from './trace-printer.js';

export class Telling {
  readonly #output: LineOutput;
  readonly #printer: TracePrinter;
  #machine: Machine | undefined;
  #reader: TraceReader | undefined;

  /** @throws Refusal one sentence: an option is not understood, or its file cannot be written. */
  constructor(options: TraceArguments) {
    this.#output = new LineOutput(options.output, wantsColours);
    this.#printer = new TracePrinter(this.#output, options);
  }

  /** What the options ask for; undefined: nothing. @throws Refusal as the constructor. */
  static of(options: TraceArguments): Telling | undefined {
    return wantsTrace(options) ? new Telling(options) : undefined;
  }

  begin(machine: Machine): void {
    this.#machine = machine;
    this.#reader = new TraceReader(machine.logs, this.#printer.filter);
  }

  /** Tells what has happened since the last time. */
  tell(): void {
    const machine = this.#machine;
    if (machine !== undefined) this.#printer.print(this.#reader!.read(), (rid) => machine.namesOf(rid));
  }

  end(): void {
    this.tell();
    this.#reader?.end();
    this.#printer.end();
    this.#output.close();
  }
}
