import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  compareAnswers,
  type Difference,
  explanation as explanationAmong,
  firstDifference,
  formatDifference,
  signature,
} from './compare.js';
import { explained } from './explained.js';
import { address, plain } from './language.js';
import { call } from './layouts.js';

const explanation = (difference: Difference) => explanationAmong(difference, explained);
const open = plain('open', 'f', '/dev/iommu');
const alloc = call('IOAS_ALLOC', {});
const sequence = { name: 'x', lines: [open, alloc] };

test('only the first difference of a sequence counts', () => {
  assert.equal(firstDifference(sequence, ['0', '0'], ['0', '0']), undefined);
  assert.deepEqual(firstDifference(sequence, ['0', '0'], ['EPERM', 'EBADF']), {
    at: 0,
    before: [],
    answers: [],
    own: [],
    line: open,
    kernel: '0',
    ours: 'EPERM',
    after: ['EBADF'],
  });
});

test('what is explained ends a comparison, unless both sides go on alike', () => {
  const lines = [open, alloc, open];
  const sequence = { name: '1', lines };
  const compare = (goesOn: boolean, ours: readonly string[]) => {
    const opens = { name: 'opens', reason: '', matches: ({ line }: { line: object }) => line === open };
    const meant = [goesOn ? { ...opens, goesOn } : opens] as const;
    const { explained, left } = compareAnswers(sequence, ['0', '0', '0'], ours, meant);
    return [explained.map(({ name }) => name), left?.at];
  };
  assert.deepEqual(compare(false, ['0', '0', '0']), [[], undefined]);
  assert.deepEqual(compare(false, ['1', '2', '3']), [['opens'], undefined]);
  assert.deepEqual(compare(true, ['1', '0', '3']), [['opens', 'opens'], undefined]);
  assert.deepEqual(compare(true, ['1', '2', '3']), [['opens'], 1]);
});

test('a signature is the call and the two results', () => {
  const both = { at: 1, before: [open], answers: [], line: alloc };
  assert.equal(
    signature({ ...both, kernel: '0 +8=01000000', ours: 'ENOMEM' }),
    'IOAS_ALLOC: kernel 0, ours ENOMEM',
  );
  assert.equal(
    signature({ ...both, kernel: '0 +8=01000000', ours: '0 +8=02000000' }),
    'IOAS_ALLOC: 0 on both sides, but not the same bytes',
  );
});

test('a difference is printed with what led to it', () => {
  const difference = firstDifference(sequence, ['0', '0 +8=01000000'], ['0', 'ENOMEM']);
  assert.ok(difference !== undefined);
  assert.equal(
    formatDifference(sequence, ['0', '0 +8=01000000'], difference),
    '  open f /dev/iommu\n    = 0\n  IOAS_ALLOC f\n    kernel: 0 +8=01000000\n    ours:   ENOMEM',
  );
});

test('a picked IOVA may differ only where more than a page of alignment was to be had', () => {
  const picked = (plus: number, length: number, flags = 6) => ({
    at: 0,
    before: [],
    answers: [],
    line: call('IOAS_MAP', { flags, user_va: address('b', plus), length }),
    kernel: '0 +32=00100000',
    ours: '0 +32=00200000',
  });
  assert.notEqual(explanation(picked(0x1000, 0x4000)), undefined);
  assert.equal(explanation(picked(0, 0x4000)), undefined, 'the buffer begins at an odd page');
  assert.equal(
    explanation(picked(0x1000, 0x1000)),
    undefined,
    'one page needs no more than a page of alignment',
  );
  assert.equal(explanation(picked(0x1000, 0x4000, 7)), undefined, 'the IOVA was given');
});
