import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { sequences } from './generate.js';
import { type Line, plain, type Sequence } from './language.js';
import { call, fieldValue, layoutOf } from './layouts.js';
import { readable } from './readable.js';
import { shrink } from './shrink.js';

/**
 * As many candidates at a time as the shrinker likes; how often it asks is what a boot of the kernel costs.
 */
function oracle(shows: (sequence: Sequence) => boolean): {
  ask: (candidates: readonly Sequence[]) => Promise<boolean[]>;
  boots: () => number;
} {
  let asked = 0;
  return {
    ask: async (candidates) => {
      asked++;
      return candidates.map(shows);
    },
    boots: () => asked,
  };
}

const isWriteableMap = (line: Line): boolean => {
  if (line.verb !== 'ioctl' || layoutOf(line)?.name !== 'IOAS_MAP') return false;
  const flags = fieldValue(line, { offset: 4, size: 4 });
  return flags?.kind === 'number' && (flags.value & 2n) !== 0n;
};

test('a sequence shrinks to the lines and the bits that a difference needs', async () => {
  const lines = [
    plain('open', 'f', '/dev/iommu'),
    call('IOAS_ALLOC', {}),
    call('IOAS_MAP', { flags: 7, ioas_id: 1, length: 0x3000, iova: 0x1234000 }),
    plain('close', 'f'),
  ];
  const { ask } = oracle(
    (sequence) => sequence.lines.some(isWriteableMap) && sequence.lines[0]?.verb === 'open',
  );
  const small = await shrink({ name: 'x', lines }, ask);
  assert.deepEqual(small.lines.map(readable), ['open f /dev/iommu', 'IOAS_MAP f flags=2']);
});

test('what is returned always shows the difference, in few boots', async () => {
  const long = sequences(['ioas', 'hwpt']).filter(({ lines }) => lines.filter(isWriteableMap).length >= 2);
  await fc.assert(
    fc.asyncProperty(long, async (sequence) => {
      const shows = ({ lines }: Sequence): boolean => lines.filter(isWriteableMap).length >= 2;
      const { ask, boots } = oracle(shows);
      const small = await shrink(sequence, ask);
      assert.ok(shows(small));
      assert.equal(small.lines.length, 2);
      assert.ok(boots() < 100);
    }),
    { numRuns: 10 },
  );
});
