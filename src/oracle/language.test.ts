import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { partNames, sequences } from './generate.js';
import { address, changes, formatLine, parseLine, plain, saved } from './language.js';
import { call } from './layouts.js';
import { parseReadable, readable } from './readable.js';
import { formatTranscripts, parseTranscripts } from './transcript.js';

const generated = sequences(partNames);

test('a line of the language reads back as it was written', () => {
  fc.assert(
    fc.property(generated, ({ lines }) => {
      for (const line of lines) assert.deepEqual(parseLine(formatLine(line)), line);
    }),
    { numRuns: 50 },
  );
});

test('a readable line means the bytes that it was made of', () => {
  fc.assert(
    fc.property(generated, ({ lines }) => {
      for (const line of lines) assert.equal(formatLine(parseReadable(readable(line))), formatLine(line));
    }),
    { numRuns: 50 },
  );
});

test('transcripts read back as they were written', () => {
  fc.assert(
    fc.property(generated, (sequence) => {
      const text = formatTranscripts([{ sequence, answers: sequence.lines.map((_, n) => `${n}`) }]);
      assert.equal(formatTranscripts(parseTranscripts(text)), text);
    }),
    { numRuns: 50 },
  );
});

test('a readable line leaves out what is 0 and the size that is right', () => {
  const line = call(
    'IOAS_MAP',
    { flags: 7, ioas_id: saved('ioas'), user_va: address('b', 0x1000), length: 4096 },
    { saves: { at: 'iova' } },
  );
  assert.equal(readable(line), 'IOAS_MAP f flags=7 ioas_id=$ioas user_va=&b+0x1000 length=0x1000 >at@iova');
  assert.equal(readable(plain('close', 'f')), 'close f');
});

test('changes are the runs of words that differ, without the skipped word', () => {
  const before = Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
  const now = Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 16]);
  assert.equal(changes('b', before, now), ' b+4=05060700090a0b00');
  assert.equal(changes('', before, now, 4), ' +8=090a0b00');
  assert.equal(changes('b', before, before), '');
});
