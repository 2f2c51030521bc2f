/**
 * The thread that says what the server's has noted: it takes records from the ring, prints lines of those
 * that are to be shown, and keeps recordings (telling.ts).
 */
import { fstatSync } from 'node:fs';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { workerData } from 'node:worker_threads';
import { ByteRing } from '../trace/recording/byte-ring.js';
import { Messages } from '../trace/recording/message.js';
import { LineOutput, type LineTarget } from './line-output.js';
import { PatientOutput } from './patient-output.js';
import { PrintedRecords } from './printed-records.js';
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

/** What takes its time is asked again so soon. */
const BUSY_MS = 5;

ring.beginReading();
void tell().finally(() => ring.endReading());

async function tell(): Promise<void> {
  const outputs = prints.map(({ target }) => outputOf(target));
  const printers = prints.map(({ options }, n) => new TracePrinter(outputs[n]!, options));
  const lines = printers.length > 0 ? new PrintedRecords(printers) : undefined;
  const recording = record && new RecordFile(record);
  const messages = new Messages();
  const isBusy = () => outputs.some((output) => output instanceof PatientOutput && output.busy);
  for (;;) {
    const bytes = ring.read(isBusy() ? 0 : IDLE_MS);
    if (bytes === undefined) break;
    for (const records of messages.add(bytes)) {
      recording?.add(records);
      lines?.add(records);
    }
    lines?.flush();
    recording?.flushOld();
    if (ring.waiting === 0) ring.rest(PACE_MS);
    // What was written meanwhile is known after a turn of the loop.
    if (isBusy()) await setImmediate();
    if (isBusy()) await setTimeout(BUSY_MS);
  }
  lines?.end();
  recording?.close();
  for (const output of outputs) await output.close();
}

/** A file on a disk takes what it is given at once. */
function outputOf(target: LineTarget): LineOutput | PatientOutput {
  return fstatSync(target.fd).isFile() ? new LineOutput(target) : new PatientOutput(target);
}
