/**
 * Sequences asked of both sides, and what came of it.
 *
 * Differences are gathered by their signature, with the first sequence that showed each: a hundred sequences
 * that stumble over one rule are one finding.
 */
import {
  type Difference,
  type Explained,
  explanation,
  firstDifference,
  formatDifference,
  signature,
} from './compare.js';
import type { Answers, Kernel } from './kernel.js';
import type { Sequence } from './language.js';
import type { Ours } from './ours.js';
import { shrink } from './shrink.js';
import type { Transcript } from './transcript.js';

export interface Finding {
  readonly signature: string;
  readonly first: Sequence;
  count: number;
}

export class Comparison {
  readonly findings = new Map<string, Finding>();
  readonly explained = new Map<Explained, number>();
  /** Sequences with the kernel's answers, when they are to be kept. */
  readonly transcripts: Transcript[] = [];
  compared = 0;
  calls = 0;
  /** Sequences in which the kernel warned of itself, or fell over. */
  dropped = 0;
  readonly #kernel: Kernel;
  readonly #ours: Ours;
  readonly #keep: boolean;

  constructor(kernel: Kernel, ours: Ours, { keep }: { readonly keep: boolean }) {
    this.#kernel = kernel;
    this.#ours = ours;
    this.#keep = keep;
  }

  async compare(sequences: readonly Sequence[]): Promise<void> {
    const answers = await this.#kernel.ask(sequences);
    for (const [n, sequence] of sequences.entries()) this.#take(sequence, answers[n]!);
  }

  /**
   * Makes the first sequence of a finding as short and plain as it goes. @returns it as text, with the
   * answers of both sides.
   */
  async explain(finding: Finding): Promise<string> {
    const small = await shrink(finding.first, async (candidates) => {
      const differences = await this.#differences(candidates);
      return differences.map(
        (difference) => difference !== undefined && signature(difference) === finding.signature,
      );
    });
    const [answers] = await this.#kernel.ask([small]);
    const theirs = answers?.kind === 'answered' ? answers.answers : [];
    const difference = firstDifference(small, theirs, this.#ours.ask(small));
    return difference === undefined ? 'it does not show again' : formatDifference(small, theirs, difference);
  }

  async #differences(sequences: readonly Sequence[]): Promise<readonly (Difference | undefined)[]> {
    const answers = await this.#kernel.ask(sequences);
    return sequences.map((sequence, n) => this.#difference(sequence, answers[n]!));
  }

  #difference(sequence: Sequence, answers: Answers): Difference | undefined {
    return answers.kind === 'answered'
      ? firstDifference(sequence, answers.answers, this.#ours.ask(sequence))
      : undefined;
  }

  #take(sequence: Sequence, answers: Answers): void {
    if (answers.kind !== 'answered') {
      this.dropped++;
      return;
    }
    this.compared++;
    this.calls += sequence.lines.length;
    if (this.#keep) this.transcripts.push({ sequence, answers: answers.answers });
    const difference = this.#difference(sequence, answers);
    if (difference === undefined) return;
    const reason = explanation(difference);
    if (reason !== undefined) this.explained.set(reason, (this.explained.get(reason) ?? 0) + 1);
    else this.#found(signature(difference), sequence);
  }

  #found(name: string, first: Sequence): void {
    const finding = this.findings.get(name) ?? { signature: name, first, count: 0 };
    finding.count++;
    this.findings.set(name, finding);
  }
}
