/**
 * Telling: what the server of `run` or `serve` says of its own machine, as it happens: a trace, a log of what
 * went wrong (`--log`), and a recording.
 *
 * It looks at the machine's logs from the beginning, so that no call is missed, and reads them after turns of
 * the server's loop, but not too often (soon.ts). All that costs time is done by another thread
 * (telling-thread.ts), which has records through a ring, and is waited for at the end, also where this
 * process ends early. The options are judged, and files opened, before anything else is made.
 */
import { now } from '../linux/now.js';
import { startThread } from '../linux/own-thread.js';
import type { Machine } from '../machine/machine.js';
import { recordedMachine } from '../machine/recorded-machine.js';
import { type Filter, together } from '../trace/filter.js';
import { TraceReader } from '../trace/reader.js';
import { ByteRing } from '../trace/recording/byte-ring.js';
import { Encoder } from '../trace/recording/encoder.js';
import { openLines } from './line-output.js';
import { complain } from './messages.js';
import { openRecord, type RecordTarget } from './record-file.js';
import { Soon } from './soon.js';
import type { Print, TellingThreadData } from './telling-thread.js';
import { type TraceArguments, wantsTrace } from './trace-arguments.js';
import { filterOf, wantsColours } from './trace-printer.js';

/** Records that are handed on together, in bytes. */
const MESSAGE = 1 << 16;

export class Telling {
  readonly #prints: readonly Print[];
  readonly #record: RecordTarget | undefined;
  readonly #filters: readonly Filter[];
  readonly #withoutContents: boolean;
  readonly #ring = new ByteRing();
  readonly #encoder = new Encoder();
  #reader: TraceReader | undefined;
  readonly #soon = new Soon(() => this.#tellNow());

  private constructor(prints: readonly Print[], record: RecordTarget | undefined, withoutContents: boolean) {
    this.#withoutContents = withoutContents;
    this.#prints = prints;
    this.#record = record;
    this.#filters = [...prints.map(({ options }) => filterOf(options)), ...(record ? [filterOf({})] : [])];
  }

  /** @throws Refusal one sentence: an option is not understood, or its file cannot be written. */
  static of(options: TraceArguments): Telling {
    const prints: Print[] = [];
    if (wantsTrace(options)) prints.push(printOf(options.output, options));
    if (options.log !== undefined) prints.push(printOf(options.log, { verbose: true }));
    const record = options.record === undefined ? undefined : openRecord(options.record);
    return new Telling(prints, record, options.recordData === 'none');
  }

  begin(machine: Machine): void {
    const recorded = recordedMachine(machine, this.#withoutContents);
    this.#encoder.add({ kind: 'machine', machine: recorded, time: now() });
    const workerData: TellingThreadData = {
      ring: this.#ring.memory,
      prints: this.#prints,
      record: this.#record,
    };
    const worker = startThread('cli/telling-thread', { workerData, stdout: true, stderr: true });
    worker.unref();
    worker.on('error', (error) => {
      this.#ring.endReading();
      complain(`the trace has ended: ${String(error)}`);
    });
    const inputs = this.#record !== undefined;
    this.#reader = new TraceReader(machine.logs, together(this.#filters), inputs);
    process.once('exit', () => this.end());
  }

  /** Tells what has happened since the last time, or soon. */
  tell(): void {
    this.#soon.tell();
  }

  #tellNow(): void {
    for (const raw of this.#reader?.raw() ?? []) {
      this.#encoder.add(raw);
      if (this.#encoder.length >= MESSAGE) this.#hand();
    }
    if (this.#encoder.length > 0) this.#hand();
  }

  /** Returns when all of it has been said. */
  end(): void {
    if (this.#reader === undefined) return;
    this.#soon.now();
    this.#reader.end();
    this.#reader = undefined;
    this.#ring.endWriting();
  }

  #hand(): void {
    this.#ring.write(this.#encoder.takeMessage());
  }
}

function printOf(file: string | undefined, options: TraceArguments): Print {
  const { trace, verbose, show, pid, json } = options;
  filterOf(options);
  return {
    target: openLines(file, wantsColours),
    options: { trace, verbose, show, pid, json } as TraceArguments,
  };
}
