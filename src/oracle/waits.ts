/**
 * Waits of a sequence for what a device does in its own time: long where it is expected, short where it would
 * be a surprise, so that most sequences take no time. Invariant: no difference counts that a short wait may
 * have made.
 */
import type { Patient } from './comparison.js';
import { type Line, type PlainLine, plain } from './language.js';

/** How long is waited for what will come, and for what would be a surprise. */
export const SURE_MS = 3_000;
export const UNLIKELY_MS = 50;

/**
 * The sequence with no short waits, when one of them stands before what differs: what nobody expected may
 * have come on both sides, and on one of them just too late.
 */
export const patient: Patient = (sequence, { at }) => {
  const lines = sequence.lines.map((line) => (isShort(line) ? withWait(line, SURE_MS) : line));
  return sequence.lines.slice(0, at + 1).some(isShort) ? { ...sequence, lines } : undefined;
};

const isShort = (line: Line): line is PlainLine =>
  (line.verb === 'until' || line.verb === 'hear') && line.words.at(-1) === `${UNLIKELY_MS}`;

const withWait = ({ verb, words }: PlainLine, wait: number) => plain(verb, ...words.slice(0, -1), wait);
