/**
 * What Linux answered, once: the recorded transcripts, replayed on our own /dev/iommu.
 *
 * The files are made by `npm run test:oracle -- --record FILE` and hold facts only: calls, and the answers of
 * a real kernel.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { compareAnswers, formatDifference } from './compare.js';
import { explained } from './explained.js';
import { oracleMachine } from './machine.js';
import { Ours } from './ours.js';
import { formatTranscripts, parseTranscripts, type Transcript } from './transcript.js';

const folder = new URL('../../tests/oracle/', import.meta.url);
const recorded = readdirSync(folder)
  .filter((name) => name.endsWith('.txt'))
  .map((name) => ({ name, text: readFileSync(new URL(name, folder), 'utf8') }));

function difference(ours: Ours, { sequence, answers }: Transcript): string | undefined {
  const { left } = compareAnswers(sequence, answers, ours.answer(sequence), explained);
  return left === undefined
    ? undefined
    : `sequence ${sequence.name}\n${formatDifference(sequence, answers, left)}`;
}

for (const { name, text } of recorded) {
  test(`every call of tests/oracle/${name} is answered as Linux answered it`, async () => {
    const ours = new Ours(await oracleMachine());
    const transcripts = parseTranscripts(text);
    const differing = transcripts.map((each) => difference(ours, each)).filter((each) => each !== undefined);
    assert.ok(transcripts.length > 0);
    assert.equal(
      differing.length,
      0,
      `${differing.length} of ${transcripts.length} differ, first:\n${differing[0]}`,
    );
  });

  test(`tests/oracle/${name} reads back as it was written`, () => {
    assert.equal(formatTranscripts(parseTranscripts(text)), text);
  });
}
