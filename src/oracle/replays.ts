/**
 * What a real kernel answered, once: recorded transcripts, replayed on a machine of our own. The files are
 * made by `-- --record FILE` of an oracle and hold facts only: calls, and the kernel's answers.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Machine } from '../machine/machine.js';
import { compareAnswers, type Explained, formatDifference } from './compare.js';
import { Ours } from './ours.js';
import { formatTranscripts, parseTranscripts, type Transcript } from './transcript.js';

/** Tests of each file in `folder`, which is below the repository's own. @param meant what may differ. */
export function replays(folder: string, machine: () => Promise<Machine>, meant: readonly Explained[]): void {
  const place = new URL(`../../${folder}/`, import.meta.url);
  for (const name of readdirSync(place).filter((each) => each.endsWith('.txt'))) {
    const text = readFileSync(new URL(name, place), 'utf8');
    let parsed: Transcript[] | undefined;
    const transcripts = () => (parsed ??= parseTranscripts(text));

    test(`every call of ${folder}/${name} is answered as Linux answered it`, async () => {
      const ours = new Ours(await machine());
      const differing = transcripts().flatMap((each) => difference(ours, each, meant) ?? []);
      assert.ok(transcripts().length > 0);
      const found = `${differing.length} of ${transcripts().length} differ, first:\n${differing[0]}`;
      assert.equal(differing.length, 0, found);
    });

    test(`${folder}/${name} reads back as it was written`, () => {
      assert.equal(formatTranscripts(transcripts()), text);
    });
  }
}

function difference(
  ours: Ours,
  { sequence, answers }: Transcript,
  meant: readonly Explained[],
): string | undefined {
  const { left } = compareAnswers(sequence, answers, ours.answer(sequence), meant);
  return left && `sequence ${sequence.name}\n${formatDifference(sequence, answers, left)}`;
}
