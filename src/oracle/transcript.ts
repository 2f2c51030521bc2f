/**
 * Transcripts: sequences with the kernel's answers, as text. They are what `npm test` compares with when
 * there is no kernel.
 *
 *     seq 17
 *     open f /dev/iommu
 *     = 0
 *     IOAS_ALLOC f >ioas1@out_ioas_id
 *     = 0 +8=01000000
 */
import type { Sequence } from './language.js';
import { parseReadable, readable } from './readable.js';

/** A sequence and one answer for each of its lines. */
export interface Transcript {
  readonly sequence: Sequence;
  readonly answers: readonly string[];
}

export function formatTranscripts(transcripts: readonly Transcript[]): string {
  return transcripts
    .map(({ sequence, answers }) =>
      [
        `seq ${sequence.name}`,
        ...sequence.lines.flatMap((line, n) => [readable(line), `= ${answers[n]}`]),
      ].join('\n'),
    )
    .join('\n\n')
    .concat('\n');
}

/** @throws Error when a line is not in the language. */
export function parseTranscripts(text: string): Transcript[] {
  return text
    .split(/\n(?=seq )/)
    .filter((block) => block.startsWith('seq '))
    .map((block) => {
      const [name = '', ...rest] = block.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
      const lines = rest.filter((line) => !line.startsWith('= '));
      const answers = rest.filter((line) => line.startsWith('= ')).map((line) => line.slice(2));
      if (lines.length !== answers.length)
        throw new Error(`${name} has ${lines.length} lines and ${answers.length} answers`);
      return { sequence: { name: name.slice(4), lines: lines.map(parseReadable) }, answers };
    });
}
