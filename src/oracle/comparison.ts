/**
 * Sequences asked of both sides, and what came of it.
 *
 * Differences are gathered by their signature, with the first sequence that showed each: a hundred sequences
 * that stumble over one rule are one finding.
 */
import type { Answers, Side } from './answers.js';
import { compareAnswers, type Difference, type Explained, formatDifference, signature } from './compare.js';
import type { Sequence } from './language.js';
import { shrink } from './shrink.js';
import type { Transcript } from './transcript.js';

export interface Finding {
  readonly signature: string;
  readonly first: Sequence;
  /** That sequence, up to the difference, as it was answered then. */
  readonly shown: string;
  count: number;
}

/**
 * The same sequence with longer waits, when a wait that was too short may be why it differs; undefined: it is
 * not.
 */
export type Patient = (sequence: Sequence, difference: Difference) => Sequence | undefined;

export class Comparison {
  readonly findings = new Map<string, Finding>();
  readonly explained = new Map<Explained, number>();
  /** Sequences with the kernel's answers, when they are to be kept. */
  readonly transcripts: Transcript[] = [];
  compared = 0;
  calls = 0;
  /** Sequences in which the kernel warned of itself, or fell over. */
  dropped = 0;
  /** Sequences that differed only because one side was not waited for long enough. */
  hasty = 0;
  readonly #kernel: Side;
  readonly #ours: Side;
  readonly #meant: readonly Explained[];
  readonly #keep: boolean;
  readonly #patient: Patient;

  /**
   * @param meant the differences that are explained.
   * @param patient what is asked again before a difference counts. Absent: each counts at once.
   */
  constructor(
    kernel: Side,
    ours: Side,
    {
      meant,
      keep,
      patient = () => undefined,
    }: { readonly meant: readonly Explained[]; readonly keep: boolean; readonly patient?: Patient },
  ) {
    this.#kernel = kernel;
    this.#ours = ours;
    this.#meant = meant;
    this.#keep = keep;
    this.#patient = patient;
  }

  async compare(sequences: readonly Sequence[]): Promise<void> {
    const [theirs, mine] = await this.#ask(sequences);
    const again = sequences.flatMap((sequence, n) => this.#take(sequence, theirs[n]!, mine[n]!) ?? []);
    if (again.length > 0) await this.#askAgain(again);
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
    const [[kernel], [ours]] = await this.#ask([small]);
    const theirs = answersOf(kernel!);
    const { left: difference } = compareAnswers(small, theirs, answersOf(ours!), this.#meant);
    return difference === undefined
      ? `it does not show again; it was\n${finding.shown}`
      : formatDifference(small, theirs, difference);
  }

  async #differences(sequences: readonly Sequence[]): Promise<readonly (Difference | undefined)[]> {
    const [theirs, mine] = await this.#ask(sequences);
    return sequences.map((sequence, n) => this.#differenceOf(sequence, theirs[n]!, mine[n]!));
  }

  async #ask(sequences: readonly Sequence[]): Promise<[readonly Answers[], readonly Answers[]]> {
    return [await this.#kernel.ask(sequences), await this.#ours.ask(sequences)];
  }

  /** What differed for want of patience differs no more. */
  async #askAgain(sequences: readonly Sequence[]): Promise<void> {
    const differences = await this.#differences(sequences);
    for (const [n, sequence] of sequences.entries()) {
      const left = differences[n];
      if (left === undefined) this.hasty++;
      else this.#found(left, sequence);
    }
  }

  /** @returns what is to be asked again, with more patience. */
  #take(sequence: Sequence, answers: Answers, ours: Answers): Sequence | undefined {
    if (answers.kind !== 'answered') {
      this.dropped++;
      return undefined;
    }
    this.compared++;
    this.calls += sequence.lines.length;
    if (this.#keep) this.transcripts.push({ sequence, answers: answers.answers });
    const { explained, left } = compareAnswers(sequence, answers.answers, answersOf(ours), this.#meant);
    for (const reason of explained) this.explained.set(reason, (this.explained.get(reason) ?? 0) + 1);
    if (left === undefined) return undefined;
    const patient = this.#patient(sequence, left);
    if (patient === undefined) this.#found(left, sequence);
    return patient;
  }

  /** What is not explained. Our side may fall over too: every line without an answer differs. */
  #differenceOf(sequence: Sequence, theirs: Answers, ours: Answers): Difference | undefined {
    if (theirs.kind !== 'answered') return undefined;
    return compareAnswers(sequence, theirs.answers, answersOf(ours), this.#meant).left;
  }

  #found(difference: Difference, first: Sequence): void {
    const name = signature(difference);
    const shown = formatDifference(first, difference.answers, difference);
    const finding = this.findings.get(name) ?? { signature: name, first, shown, count: 0 };
    finding.count++;
    this.findings.set(name, finding);
  }
}

function answersOf(answers: Answers): readonly string[] {
  return answers.kind === 'answered' ? answers.answers : [];
}
