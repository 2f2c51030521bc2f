/**
 * The thread that says what the server's has noted: it takes records from the ring, prints lines of those
 * that are to be shown, and keeps recordings (telling.ts).
 */
import { workerData } from 'node:worker_threads';
import type { DevicesOf } from '../trace/filter.js';
import { eventsOf, requestersIn } from '../trace/raw.js';
import { ByteRing } from '../trace/recording/byte-ring.js';
import { Decoder } from '../trace/recording/decoder.js';
import { Messages } from '../trace/recording/message.js';
import { LineOutput, type LineTarget } from './line-output.js';
import { RecordFile, type RecordTarget } from './record-file.js';
import type { TraceArguments } from './trace-arguments.js';
import { TracePrinter } from './trace-printer.js';

/** What is printed, and where. */
export interface Print {
  readonly target: LineTarget;
  readonly options: TraceArguments;
}

export interface TellingThreadData {
  readonly ring: SharedArrayBuffer;
  readonly prints: readonly Print[];
  readonly record: RecordTarget | undefined;
}

/** Records are taken together that come within so many milliseconds. */
const PACE_MS = 20;
/** While nothing comes: a line that was said again is counted for a while. */
const IDLE_MS = 500;

const { ring: memory, prints, record } = workerData as TellingThreadData;
const ring = new ByteRing(memory);

ring.beginReading();
try {
  tell();
} finally {
  ring.endReading();
}

function tell(): void {
  const outputs = prints.map(({ target }) => new LineOutput(target));
  const printers = prints.map(({ options }, n) => new TracePrinter(outputs[n]!, options));
  const recording = record && new RecordFile(record);
  const [messages, decoder] = [new Messages(), new Decoder()];
  let devicesOf: DevicesOf = () => [];
  for (let bytes = ring.read(IDLE_MS); bytes !== undefined; bytes = ring.read(IDLE_MS)) {
    for (const records of messages.add(bytes)) {
      recording?.add(records);
      if (printers.length === 0) continue;
      const all = decoder.all(records);
      devicesOf = requestersIn(all) ?? devicesOf;
      for (const printer of printers) printer.print(eventsOf(all), devicesOf);
    }
    if (bytes.length === 0) for (const printer of printers) printer.print([], devicesOf);
    recording?.flushOld();
    if (ring.waiting === 0) ring.rest(PACE_MS);
  }
  for (const printer of printers) printer.end();
  for (const output of outputs) output.close();
  recording?.close();
}
