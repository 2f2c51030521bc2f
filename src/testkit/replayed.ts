/** A machine in this process that is recorded, and done again, as by `--record` and `replay`. */
import assert from 'node:assert/strict';
import type { Machine } from '../machine/machine.js';
import { recordedMachine } from '../machine/recorded-machine.js';
import { beginReplay } from '../replay/begin.js';
import { describe } from '../replay/difference.js';
import type { Difference } from '../replay/replay.js';
import { everything } from '../trace/filter.js';
import { escaped } from '../trace/lines.js';
import type { Recorded } from '../trace/raw.js';
import { TraceReader } from '../trace/reader.js';
import { Decoder } from '../trace/recording/decoder.js';
import { Encoder } from '../trace/recording/encoder.js';

export class RecordedRun {
  readonly #reader: TraceReader;
  readonly #all: Recorded[] = [];

  /** Begins before anything is opened. */
  constructor(machine: Machine, withoutContents = false) {
    this.#all.push({ kind: 'machine', machine: recordedMachine(machine, withoutContents), time: 0 });
    this.#reader = new TraceReader(machine.logs, everything, true);
  }

  /** What has been recorded by now, as it is read from a file. */
  records(): Recorded[] {
    this.#all.push(...this.#reader.raw());
    const encoder = new Encoder();
    for (const each of this.#all) encoder.add(each);
    return new Decoder(escaped).all(encoder.take());
  }
}

/** Does `records` again. @returns the first difference, and how many calls were the same. */
export async function replayOf(records: readonly Recorded[]): Promise<Difference | undefined> {
  const [first, ...rest] = records;
  const replay = await beginReplay(first!);
  for (const record of rest) {
    const difference = replay.add(record);
    if (difference !== undefined) return difference;
  }
  replay.end();
  return undefined;
}

/** Fails when `run` is not the same when it is done again. */
export async function assertReplays(run: RecordedRun): Promise<void> {
  const difference = await replayOf(run.records());
  if (difference === undefined) return;
  const { recorded, replayed } = difference;
  const [was, is] = [recorded, replayed].map((each) => (each ? describe(each) : 'nothing'));
  assert.fail(`the replay differs\n- ${was}\n+ ${is}`);
}
