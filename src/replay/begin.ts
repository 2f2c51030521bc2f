/** The beginning of a replay: a machine like the one that its first record describes. */
import type { Recorded } from '../trace/raw.js';
import { Answers } from './answers.js';
import { CannotReplay } from './cannot-replay.js';
import { machineLike } from './recorded-machine.js';
import { Replay } from './replay.js';
import { ReplayedDisks } from './replayed-disks.js';
import { joinLinks } from './replayed-links.js';

/** @param first of a recording. @throws CannotReplay, Refusal one sentence: why there is no such machine. */
export async function beginReplay(first: Recorded): Promise<Replay> {
  if (first.kind !== 'machine') throw new CannotReplay('the recording does not say what it is of');
  const answers = new Answers();
  const { machine } = first;
  const { outside = { disks: [], random: [], links: [] } } = machine;
  const disks = new ReplayedDisks(outside, answers);
  const made = await machineLike(machine, answers, disks);
  joinLinks(made, outside);
  return new Replay(made, { answers, disks }, machine.withoutContents ?? false);
}
