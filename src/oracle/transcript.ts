/**
 * Transcripts: sequences with the kernel's answers, as text. They are what `npm test` compares with when
 * there is no kernel.
 *
 *     seq 17
 *     same 2
 *     IOAS_ALLOC f >ioas1@out_ioas_id
 *     = 0 +8=01000000
 *
 * `same` says how many of its first lines a sequence has in common with the one before, answers and all.
 */
import type { Line, Sequence } from './language.js';
import { parseReadable, readable } from './readable.js';

/** A sequence and one answer for each of its lines. */
export interface Transcript {
  readonly sequence: Sequence;
  readonly answers: readonly string[];
}

export function formatTranscripts(transcripts: readonly Transcript[]): string {
  let before: readonly string[] = [];
  const blocks = transcripts.map(({ sequence, answers }) => {
    const lines = sequence.lines.map((line, n) => `${readable(line)}\n= ${answers[n]}`);
    const differing = lines.findIndex((line, n) => line !== before[n]);
    const same = differing < 0 ? lines.length : differing;
    before = lines;
    return [`seq ${sequence.name}`, ...(same === 0 ? [] : [`same ${same}`]), ...lines.slice(same)].join('\n');
  });
  return `${blocks.join('\n\n')}\n`;
}

/** @throws Error when a line is not in the language. */
export function parseTranscripts(text: string): Transcript[] {
  const transcripts: Transcript[] = [];
  for (const block of text.split(/\n(?=seq )/)) {
    if (block.startsWith('seq ')) transcripts.push(parseTranscript(block, transcripts.at(-1)));
  }
  return transcripts;
}

function parseTranscript(block: string, before: Transcript | undefined): Transcript {
  const [name = '', ...rest] = block.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  const same = rest[0]?.startsWith('same ') === true ? Number(rest.shift()!.slice(5)) : 0;
  const lines: Line[] = before?.sequence.lines.slice(0, same) ?? [];
  const answers = before?.answers.slice(0, same) ?? [];
  for (const line of rest) {
    if (line.startsWith('= ')) answers.push(line.slice(2));
    else lines.push(parseReadable(line));
  }
  if (lines.length !== answers.length)
    throw new Error(`${name} has ${lines.length} lines and ${answers.length} answers`);
  return { sequence: { name: name.slice(4), lines }, answers };
}
