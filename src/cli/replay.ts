/**
 * `ioasid replay`: a recorded run done again by this version of ioasid, without files, programs and rights.
 *
 * What is printed is for people: the first difference, with what was recorded around it.
 */
import { beginReplay } from '../replay/begin.js';
import { describe } from '../replay/difference.js';
import type { Difference, Replay } from '../replay/replay.js';
import type { Recorded } from '../trace/raw.js';
import { recordedIn } from '../trace/recording/recording.js';
import { print } from './messages.js';

/** Lines of what was recorded, before and after a difference. */
const AROUND = 5;

/**
 * @returns the exit status: 0: it is the same; 1: a difference was printed. @throws Error one sentence: it is
 * no recording, is cut off, or needs something that is not there.
 */
export async function replay(file: string): Promise<0 | 1> {
  const before: Recorded[] = [];
  let [calls, records] = [0, 0];
  let going: Replay | undefined;
  try {
    for (const all of recordedIn(file)) {
      for (const [n, record] of all.entries()) {
        records++;
        if (going === undefined) going = await beginReplay(record);
        const difference = going.add(record);
        if (difference !== undefined) {
          print(report(difference, before, all.slice(n + 1), records));
          return 1;
        }
        if (record.kind === 'call') calls++;
        if (record.kind !== 'input' && record.kind !== 'machine') before.push(record);
        if (before.length > AROUND) before.shift();
      }
    }
  } finally {
    going?.end();
  }
  print(`the same: ${calls.toLocaleString('en')} calls, ${records.toLocaleString('en')} records\n`);
  return 0;
}

function report(
  { recorded, replayed, after }: Difference,
  before: readonly Recorded[],
  rest: readonly Recorded[],
  number: number,
): string {
  const past = before.filter((each) => each !== recorded && !after.includes(each));
  const shown = [...after, ...rest].filter(({ kind }) => kind !== 'input').slice(0, AROUND);
  const lines = [
    `the first difference, at record ${(number - after.length).toLocaleString('en')}:`,
    ...past.map((each) => `  ${describe(each)}`),
    `- ${recorded === undefined ? 'nothing' : describe(recorded)}`,
    `+ ${replayed === undefined ? 'nothing' : describe(asRecorded(replayed, recorded))}`,
    ...shown.map((each) => `  ${describe(each)}`),
  ];
  return `${lines.join('\n')}\n`;
}

/** `replayed` with who called and how long it took of what was recorded: a replay knows neither. */
function asRecorded(replayed: Recorded, recorded: Recorded | undefined): Recorded {
  if (replayed.kind !== 'call' || recorded?.kind !== 'call') return replayed;
  const { pid, tid, program, fd, duration } = recorded.entry;
  return { ...replayed, entry: { ...replayed.entry, pid, tid, program, fd, duration } };
}
