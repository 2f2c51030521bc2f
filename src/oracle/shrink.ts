/**
 * Shrinking: the shortest sequence, with the plainest numbers, that still shows a difference.
 *
 * A kernel answers hundreds of candidates in one boot, so candidates are tried by the hundred: first without
 * some of the lines, then with single fields made plainer. Invariant: whatever is returned shows the
 * difference that was asked for.
 */
import type { IoctlLine, Line, Sequence, Value } from './language.js';
import { fieldsOf, fieldValue, withField } from './layouts.js';

/** Which of the candidates still show the difference. */
export type Shows = (candidates: readonly Sequence[]) => Promise<readonly boolean[]>;

const PLAIN: readonly bigint[] = [0n, 1n, 4096n, 0x2000000n];

export async function shrink(sequence: Sequence, shows: Shows): Promise<Sequence> {
  let best = sequence;
  for (;;) {
    const shorter = await fewerLines(best, shows);
    const plainer = await plainerFields(shorter, shows);
    if (plainer === best) return best;
    best = plainer;
  }
}

async function fewerLines(sequence: Sequence, shows: Shows): Promise<Sequence> {
  let best = sequence;
  for (let size = Math.ceil(best.lines.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (;;) {
      const starts = Array.from({ length: Math.ceil(best.lines.length / size) }, (_, n) => n * size);
      const next = await firstOrAll(
        best,
        starts.map((start) => without(start, size)),
        shows,
      );
      if (next === undefined) break;
      best = next;
    }
  }
  return best;
}

type Change = (lines: readonly (Line | undefined)[]) => (Line | undefined)[];

/**
 * Lines that are taken out leave their place free until all changes are made, so that changes can be
 * combined.
 */
const without =
  (start: number, size: number): Change =>
  (lines) =>
    lines.map((line, n) => (n >= start && n < start + size ? undefined : line));

async function plainerFields(sequence: Sequence, shows: Shows): Promise<Sequence> {
  let best = sequence;
  for (;;) {
    const changes = best.lines.flatMap((line, n) =>
      plainer(line).map(
        (made): Change =>
          (lines) =>
            lines.map((each, m) => (m === n ? merged(each, line, made) : each)),
      ),
    );
    const next = await firstOrAll(best, changes, shows);
    if (next === undefined) return best;
    best = next;
  }
}

/**
 * All changes that show the difference by themselves, together; the first of them, when they do not show it
 * together.
 */
async function firstOrAll(
  sequence: Sequence,
  changes: readonly Change[],
  shows: Shows,
): Promise<Sequence | undefined> {
  const apply = (chosen: readonly Change[]): Sequence => {
    const lines = chosen.reduce<readonly (Line | undefined)[]>(
      (made, change) => change(made),
      sequence.lines,
    );
    return { ...sequence, lines: lines.filter((line) => line !== undefined) };
  };
  const shown = await shows(changes.map((change) => apply([change])));
  const good = changes.filter((_, n) => shown[n]);
  if (good.length === 0) return undefined;
  const together = apply(good);
  if (good.length > 1 && (await shows([together]))[0]) return together;
  return apply(good.slice(0, 1));
}

/** One field made plainer, when another change has not touched the line already. */
function merged(now: Line | undefined, was: Line, made: Line): Line | undefined {
  return now === was ? made : now;
}

/** `line` with a single thing made plainer, in every way there is. */
function plainer(line: Line): Line[] {
  if (line.verb !== 'ioctl') return [];
  const made: Line[] = fieldsOf(line)
    .filter(({ name }) => name !== 'op')
    .flatMap((field) =>
      plainerValues(fieldValue(line, field)!, field.name === 'size').map((value) =>
        withField(line, field, value),
      ),
    );
  return [...made, ...fewerParts(line)];
}

function plainerValues(value: Value, isSize: boolean): (Value | bigint)[] {
  if (isSize) return [];
  if (value.kind === 'number') {
    const fewerBits = [
      value.value & (value.value - 1n),
      BigInt.asUintN(value.value.toString(2).length - 1, value.value),
    ];
    return [...PLAIN, ...fewerBits].filter((each) => weight(each) < weight(value.value));
  }
  return value.kind === 'descriptor' || value.plus === 0n ? [0n] : [0n, { ...value, plus: 0n }];
}

/** 0 is plainest, then the other plain numbers, then those with few bits set. */
function weight(value: bigint): number {
  const place = PLAIN.indexOf(value);
  return place >= 0 ? place : 8 + value.toString(2).replaceAll('0', '').length;
}

function fewerParts(line: IoctlLine): Line[] {
  return [
    ...line.watches.map((name) => ({ ...line, watches: line.watches.filter((each) => each !== name) })),
    ...line.saves.map((save) => ({ ...line, saves: line.saves.filter((each) => each !== save) })),
  ];
}
