/** A difference counts, unless both sides agree as soon as they are waited for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Side } from './answers.js';
import { Comparison } from './comparison.js';
import { type Line, plain, type Sequence } from './language.js';
import { patient } from './waits.js';

/** Answers what `answer` says of each line. */
const side = (answer: (line: Line) => string): Side => ({
  ask: async (sequences) =>
    sequences.map(({ lines }) => ({ kind: 'answered', answers: lines.map((line) => answer(line)) })),
});

const punctual = side(() => '0');
/** What comes after a second is there for who waits so long. */
const late = side((line) => (line.verb === 'until' && Number(line.words.at(-1)) < 1000 ? 'ETIMEDOUT' : '0'));
const wrong = side(({ verb }) => (verb === 'until' ? 'ETIMEDOUT' : '0'));

async function compared(ours: Side, ...lines: readonly Line[]): Promise<{ found: number; hasty: number }> {
  const comparison = new Comparison(punctual, ours, { meant: [], keep: false, patient });
  const sequence: Sequence = { name: 'a', lines };
  await comparison.compare([sequence, { name: 'b', lines: [plain('close', 'd')] }]);
  assert.equal(comparison.compared, 2);
  return { found: [...comparison.findings.values()].length, hasty: comparison.hasty };
}

test('what one side just did not come to in a short wait is waited for on both sides', async () => {
  assert.deepEqual(await compared(late, plain('until', 'b', 0, 1, 50)), { found: 0, hasty: 1 });
});

test('what one side does not come to in a long wait either is a difference', async () => {
  assert.deepEqual(await compared(wrong, plain('until', 'b', 0, 1, 50)), { found: 1, hasty: 0 });
});

test('what no short wait stands before is a difference at once', async () => {
  const closes = side(({ verb }) => (verb === 'close' ? 'EBADF' : '0'));
  const lines = [plain('close', 'd'), plain('until', 'b', 0, 1, 50)];
  const comparison = new Comparison(punctual, closes, { meant: [], keep: false, patient });
  await comparison.compare([{ name: 'a', lines }]);
  assert.deepEqual([comparison.findings.size, comparison.hasty], [1, 0]);
});
