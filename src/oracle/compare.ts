/**
 * The comparison of two lists of answers to one sequence.
 *
 * After a first difference the two sides are in different states, so only the first one of a sequence means anything. Differences that are meant stand
 * in `explained`, each with its reason; docs/differences.md tells them to people.
 */
import type { Line, Sequence } from './language.js';
import { layoutOf } from './layouts.js';
import { readable } from './readable.js';

export interface Difference {
  /** The place of the first line whose answers differ. */
  readonly at: number;
  readonly line: Line;
  readonly kernel: string;
  readonly ours: string;
}

/** A deliberate difference. */
export interface Explained {
  readonly name: string;
  readonly reason: string;
  readonly matches: (difference: Difference) => boolean;
}

export const explained: readonly Explained[] = [];

export function firstDifference(sequence: Sequence, kernel: readonly string[], ours: readonly string[]): Difference | undefined {
  for (const [at, line] of sequence.lines.entries()) {
    const [theirs = '', mine = ''] = [kernel[at], ours[at]];
    if (theirs !== mine) return { at, line, kernel: theirs, ours: mine };
  }
  return undefined;
}

export function explanation(difference: Difference): Explained | undefined {
  return explained.find((each) => each.matches(difference));
}

/** Differences with one signature are taken for one: the same call, the same two results. */
export function signature({ line, kernel, ours }: Difference): string {
  const name = line.verb === 'ioctl' ? (layoutOf(line)?.name ?? `ioctl 0x${line.cmd.toString(16)}`) : line.verb;
  const [theirs = '', mine = ''] = [result(kernel), result(ours)];
  return theirs === mine ? `${name}: ${theirs} on both sides, but not the same bytes` : `${name}: kernel ${theirs}, ours ${mine}`;
}

/** The sequence up to its first difference, with the answers. */
export function formatDifference(sequence: Sequence, kernel: readonly string[], difference: Difference): string {
  const before = sequence.lines.slice(0, difference.at).flatMap((line, n) => [`  ${readable(line)}`, `    = ${kernel[n]}`]);
  return [...before, `  ${readable(difference.line)}`, `    kernel: ${difference.kernel}`, `    ours:   ${difference.ours}`].join('\n');
}

function result(answer: string): string {
  return answer.split(' ', 1)[0] ?? '';
}
