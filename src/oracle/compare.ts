/**
 * The comparison of two lists of answers to one sequence.
 *
 * After a first difference the two sides are in different states, so only the first one of a sequence means
 * anything. Differences that are meant are explained, each with its reason.
 */
import { basename } from 'node:path';
import {
  formatLine,
  formatValue,
  type IoctlLine,
  type Line,
  type PlainLine,
  type Sequence,
} from './language.js';
import { fieldOf, fieldValue, layoutOf } from './layouts.js';
import { readable } from './readable.js';

export interface Difference {
  /** The place of the first line whose answers differ. */
  readonly at: number;
  readonly line: Line;
  /** The lines before it, and what the kernel has answered to them. */
  readonly before: readonly Line[];
  readonly answers: readonly string[];
  /** What we have answered to them: the same, but for what was explained. */
  readonly own?: readonly string[];
  readonly kernel: string;
  readonly ours: string;
  /** What we have answered to the lines after it. */
  readonly after?: readonly string[];
}

/** A deliberate difference. */
export interface Explained {
  readonly name: string;
  readonly reason: string;
  readonly matches: (difference: Difference) => boolean;
  /** Both sides are in the same state after it, so what comes then is compared too. */
  readonly goesOn?: true;
}

/** The first difference from line `from` on. */
export function firstDifference(
  sequence: Sequence,
  kernel: readonly string[],
  ours: readonly string[],
  from = 0,
): Difference | undefined {
  for (const [at, line] of sequence.lines.entries()) {
    if (at < from) continue;
    const [theirs = '', mine = ''] = [kernel[at], ours[at]];
    if (theirs === mine) continue;
    const [before, answers] = [sequence.lines.slice(0, at), kernel.slice(0, at)];
    const own = ours.slice(0, at);
    return { at, line, before, answers, own, kernel: theirs, ours: mine, after: ours.slice(at + 1) };
  }
  return undefined;
}

/** The differences that are explained, up to the first that is not, or that leaves the sides apart. */
export interface Compared {
  readonly explained: readonly Explained[];
  readonly left: Difference | undefined;
}

export function compareAnswers(
  sequence: Sequence,
  kernel: readonly string[],
  ours: readonly string[],
  meant: readonly Explained[],
): Compared {
  const explained: Explained[] = [];
  for (let from = 0; ; ) {
    const left = firstDifference(sequence, kernel, ours, from);
    const reason = left === undefined ? undefined : explanation(left, meant);
    if (left === undefined || reason === undefined) return { explained, left };
    explained.push(reason);
    if (reason.goesOn === undefined) return { explained, left: undefined };
    from = left.at + 1;
  }
}

export function explanation(difference: Difference, explained: readonly Explained[]): Explained | undefined {
  return explained.find((each) => each.matches(difference));
}

/** Differences with one signature are taken for one: the same call, the same two results. */
export function signature({ line, kernel, ours }: Difference): string {
  const name = line.verb === 'ioctl' ? callName(line) : placeName(line);
  const [theirs = '', mine = ''] = [result(kernel), result(ours)];
  return theirs === mine
    ? `${name}: ${theirs} on both sides, but not the same bytes`
    : `${name}: kernel ${theirs}, ours ${mine}`;
}

/** The sequence up to its first difference, with the answers. */
export function formatDifference(
  sequence: Sequence,
  kernel: readonly string[],
  difference: Difference,
): string {
  const before = sequence.lines
    .slice(0, difference.at)
    .flatMap((line, n) => [`  ${readable(line)}`, `    = ${kernel[n]}`]);
  return [
    ...before,
    `  ${readable(difference.line)}`,
    `    kernel: ${difference.kernel}`,
    `    ours:   ${difference.ours}`,
  ].join('\n');
}

/** The call, with what a difference would say too little without. */
function callName(line: IoctlLine): string {
  const layout = layoutOf(line);
  if (layout === undefined) return `ioctl 0x${line.cmd.toString(16)}`;
  const told = (layout.telling ?? []).map((field) => {
    const value = fieldValue(line, fieldOf(layout, field));
    return ` ${field}=${value === undefined ? 'none' : formatValue(value)}`;
  });
  return `${layout.name}${told.join('')}`;
}

/** Of a transfer at an offset: where, and how long. */
function placeName(line: PlainLine): string {
  const [, place = '', first = ''] = line.words;
  if (line.verb === 'pread') return formatLine({ ...line, words: line.words.slice(1) });
  if (line.verb === 'pwrite') return `pwrite ${place} of ${first.length / 2} bytes`;
  if (line.verb === 'show' || line.verb === 'store') return `${line.verb} ${basename(line.words[0] ?? '')}`;
  return line.verb;
}

/** The result or errno that an answer begins with. */
export function result(answer: string): string {
  return answer.split(' ', 1)[0] ?? '';
}
