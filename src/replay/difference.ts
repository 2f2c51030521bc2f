/**
 * What of a replay is not as it was recorded, and how a record is shown to people.
 *
 * Who made a call, when and how long it took are not compared, nor how its descriptors were called: a replay
 * has no processes.
 */
import { errnoName, hex } from '../linux/errno.js';
import { Ask, type Asked, type Input } from '../trace/input.js';
import { escaped, lineOf } from '../trace/lines.js';
import { eventOf, type Recorded } from '../trace/raw.js';

const notCompared = new Set(
  'time duration pid tid program fd descriptors shape layout place sequence order'.split(' '),
);

/** Is `replayed` as `recorded`, which has been read from a recording; `withoutContents`: without bytes. */
export function same(recorded: unknown, replayed: unknown, withoutContents: boolean): boolean {
  if (recorded === replayed) return true;
  if (typeof recorded === 'string') return typeof replayed === 'string' && recorded === escaped(replayed);
  if (typeof recorded !== 'object' || recorded === null) return false;
  if (recorded instanceof Uint8Array) return sameBytes(recorded, replayed, withoutContents);
  if (typeof replayed !== 'object' || replayed === null) return false;
  if (Array.isArray(recorded) && recorded.length !== (replayed as { length?: number }).length) return false;
  const [one, other] = [recorded, replayed] as Readonly<Record<string, unknown>>[];
  for (const key in one)
    if (one[key] !== other![key] && !notCompared.has(key) && !same(one[key], other![key], withoutContents))
      return false;
  return true;
}

/** As `same`, of two records, quick for those that there are most of. */
export function sameRecord(
  recorded: Recorded | undefined,
  replayed: Recorded | undefined,
  withoutContents: boolean,
): boolean {
  if (recorded?.kind !== 'input' || replayed?.kind !== 'input')
    return same(recorded, replayed, withoutContents);
  const [one, other] = [recorded.entry, replayed.entry];
  if (one.kind !== 'asked' || other.kind !== 'asked') return same(one, other, withoutContents);
  return (
    one.what === other.what &&
    one.errno === other.errno &&
    same(one.text, other.text, withoutContents) &&
    sameNumbers(one.of, other.of) &&
    sameNumbers(one.answer, other.answer) &&
    (one.bytes === other.bytes ||
      (one.bytes !== undefined && sameBytes(one.bytes, other.bytes, withoutContents)))
  );
}

function sameNumbers(one: readonly number[], other: readonly number[]): boolean {
  for (let n = 0; n < one.length; n++) if (one[n] !== other[n]) return false;
  return one.length === other.length;
}

function sameBytes(recorded: Uint8Array, replayed: unknown, withoutContents: boolean): boolean {
  if (!(replayed instanceof Uint8Array)) return false;
  return (withoutContents && recorded.length === 0) || Buffer.compare(recorded, replayed) === 0;
}

/** A line for a record, without its time. */
export function describe(record: Recorded): string {
  if (record.kind === 'machine') return '-- the machine';
  return record.kind === 'input' ? inputLine(record.entry) : lineOf(eventOf(record), { times: false });
}

function inputLine(input: Input): string {
  switch (input.kind) {
    case 'asked':
      return askedLine(input);
    case 'begun':
      return `-- goes on in pieces: ${describe({ kind: 'call', entry: input.call, time: 0 })}`;
    case 'part':
      return `-- a piece of call ${input.part}`;
    case 'postponed':
      return '-- the call is put off';
    case 'step':
      return '-- devices work';
  }
}

const names = new Map<number, string>(
  Object.entries(Ask).map(([name, number]) => [number, name.toLowerCase().replaceAll('_', ' ')]),
);

function askedLine({ what, of, answer, errno, text, bytes }: Asked): string {
  const found = errno === undefined ? answer.map(hex).join(', ') : `-1 ${errnoName(errno)}`;
  const content = bytes === undefined ? '' : ` 0x${Buffer.from(bytes.subarray(0, 64)).toString('hex')}`;
  const why = text === undefined ? '' : `: ${escaped(text)}`;
  return `-- asks for ${names.get(what)}(${of.map(hex).join(', ')}) = ${found}${content}${why}`;
}
