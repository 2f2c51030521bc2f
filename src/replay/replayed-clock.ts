/** The clock of a replay: it tells the times that were told. */
import { Clock } from '../devices/clock.js';
import type { Answers } from './answers.js';

export function replayedClock(answers: Answers): Clock {
  let [told, pieces, before] = [0, 0, 0];
  const clock: Clock = new Clock(() => {
    const { total } = clock.readings;
    if (answers.pieces !== pieces) [pieces, before] = [answers.pieces, total];
    told = answers.time(total - before) ?? told;
    return told;
  });
  return clock;
}
