/**
 * Files of vhost-vdpa answer as Linux's simulators did (`npm run test:vdpa-oracle`): the same program asks
 * the same, over real files.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { missingActors } from '../../testkit/availability.js';
import { oracleExecutor } from '../../testkit/c-program.js';
import { compareAnswers, formatDifference } from '../compare.js';
import { Served } from '../served.js';
import { formatTranscripts, parseTranscripts } from '../transcript.js';
import { explained } from './explained.js';
import { makeDevices } from './machine.js';

const recorded = readFileSync(new URL('../../../tests/oracle/vdpa/linux-7.3.txt', import.meta.url), 'utf8');

test('every call of tests/oracle/vdpa is answered as Linux answered it', {
  skip: await missingActors(),
}, async () => {
  const transcripts = parseTranscripts(recorded);
  const ours = new Served(oracleExecutor(), makeDevices);
  const answered = await ours.ask(transcripts.map(({ sequence }) => sequence));
  assert.ok(transcripts.length > 0);
  for (const [n, { sequence, answers }] of transcripts.entries()) {
    const mine = answered[n]!;
    assert.ok(mine.kind === 'answered', `sequence ${sequence.name} was not answered`);
    const { left } = compareAnswers(sequence, answers, mine.answers, explained);
    if (left !== undefined) assert.fail(formatDifference(sequence, answers, left));
  }
});

test('tests/oracle/vdpa reads back as it was written', () => {
  assert.equal(formatTranscripts(parseTranscripts(recorded)), recorded);
});
