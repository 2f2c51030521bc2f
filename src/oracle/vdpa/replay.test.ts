/**
 * Files of vhost-vdpa answer as Linux's simulators did: the same program asks the same, over real files.
 *
 * Sequences are generated ones (`npm run test:vdpa-oracle`), and such as were thought of. Of the latter those
 * that are called "differs: ROW" end with an answer that is not Linux's; ROW is one of docs/differences.md.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { missingActors } from '../../testkit/availability.js';
import { oracleExecutor } from '../../testkit/c-program.js';
import type { Answers } from '../answers.js';
import { compareAnswers, formatDifference } from '../compare.js';
import { Served } from '../served.js';
import { formatTranscripts, parseTranscripts, type Transcript } from '../transcript.js';
import { explained } from './explained.js';
import { makeDevices } from './machine.js';

const root = new URL('../../../', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), 'utf8');
const documented = read('docs/differences.md').split('## vhost-vdpa')[1]!;
const generated = read('tests/oracle/vdpa/linux-7.3.txt');
const byHand = read('tests/oracle/vdpa/by-hand-7.3.txt');
const DIFFERS = 'differs: ';

/** @param row the difference that is meant; undefined: those that are explained everywhere. */
function compare({ sequence, answers }: Transcript, ours: Answers, row?: string): void {
  assert.ok(ours.kind === 'answered', `sequence ${sequence.name} was not answered`);
  const { left } = compareAnswers(sequence, answers, ours.answers, row === undefined ? explained : []);
  if (row === undefined && left !== undefined) assert.fail(formatDifference(sequence, answers, left));
  if (row === undefined) return;
  assert.equal(left?.at, sequence.lines.length - 1, row);
  assert.ok(documented.includes(`| ${row} `), row);
}

test('every call of tests/oracle/vdpa is answered as Linux answered it, or as docs/differences.md says', {
  skip: await missingActors(),
}, async () => {
  const transcripts = [generated, byHand].flatMap(parseTranscripts);
  const ours = new Served(oracleExecutor(), makeDevices);
  const answered = await ours.ask(transcripts.map(({ sequence }) => sequence));
  assert.ok(transcripts.length > 0);
  for (const [n, transcript] of transcripts.entries()) {
    const { name } = transcript.sequence;
    compare(transcript, answered[n]!, name.startsWith(DIFFERS) ? name.slice(DIFFERS.length) : undefined);
  }
});

test('tests/oracle/vdpa reads back as it was written', () => {
  for (const text of [generated, byHand]) assert.equal(formatTranscripts(parseTranscripts(text)), text);
});
