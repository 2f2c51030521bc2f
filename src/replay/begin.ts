/** The beginning of a replay: a machine like the one that its first record describes. */
import type { Recorded } from '../trace/raw.js';
import { Answers } from './answers.js';
import { machineLike } from './recorded-machine.js';
import { CannotReplay, Replay } from './replay.js';

/** @param first of a recording. @throws CannotReplay, Refusal one sentence: why there is no such machine. */
export async function beginReplay(first: Recorded): Promise<Replay> {
  if (first.kind !== 'machine') throw new CannotReplay('the recording does not say what it is of');
  const answers = new Answers();
  const { machine } = first;
  return new Replay(await machineLike(machine, answers), answers, machine.withoutContents ?? false);
}
