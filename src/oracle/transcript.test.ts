import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plain } from './language.js';
import { formatTranscripts, parseTranscripts } from './transcript.js';

const [open, memfd, dup] = [
  plain('open', 'f', '/dev/iommu'),
  plain('memfd', 'm', 4096),
  plain('dup', 'g', 'f'),
];
const transcript = (
  name: string,
  lines: readonly ReturnType<typeof plain>[],
  answers: readonly string[],
) => ({
  sequence: { name, lines },
  answers,
});

test('a sequence says how much of it is as in the one before, answers and all', () => {
  const transcripts = [
    transcript('1', [open, memfd, dup], ['0', '0', 'EBADF']),
    transcript('2', [open, memfd], ['0', '0']),
    transcript('3', [open, memfd, dup], ['0', 'ENOMEM', 'EBADF']),
    transcript('4', [memfd], ['0']),
  ];
  const text = formatTranscripts(transcripts);
  assert.equal(
    text,
    'seq 1\nopen f /dev/iommu\n= 0\nmemfd m 4096\n= 0\ndup g f\n= EBADF\n\nseq 2\nsame 2\n\n' +
      'seq 3\nsame 1\nmemfd m 4096\n= ENOMEM\ndup g f\n= EBADF\n\nseq 4\nmemfd m 4096\n= 0\n',
  );
  assert.deepEqual(parseTranscripts(text), transcripts);
});

test('a line without an answer is no transcript', () => {
  assert.throws(() => parseTranscripts('seq 1\nopen f /dev/iommu\n'), /1 lines and 0 answers/);
});
