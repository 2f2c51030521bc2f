/**
 * Answers: what the machine of a replay is told when it asks, as the recording has it.
 *
 * Answers are in the order in which they were given, and belong to the piece that is done again now (a call,
 * a part of one, a step). Who asks for anything but the next is told nothing: what he has asked for is noted
 * by the replay's own machine as well, and is the difference that is reported.
 */
import { Ask, type Asked, type AskKind } from '../trace/input.js';

/** What is not told in the order in which it was asked for, or not at all. */
const aside = new Set<AskKind>([Ask.PID, Ask.TIME, Ask.LINK_OUT]);

export class Answers {
  #asked: readonly Asked[] = [];
  #at = 0;
  #times: readonly number[] = [];
  readonly #rings = new Map<number, number>();
  #stop: string | undefined;
  #leftOut = false;
  #pieces = 0;
  #pid: number | undefined;

  /** The next piece, for which there are these. */
  begin(asked: readonly Asked[]): void {
    this.#at = 0;
    this.#pieces++;
    this.#asked = asked.filter(({ what }) => !aside.has(what));
    this.#pid = asked.find(({ what }) => what === Ask.PID)?.answer[0];
    this.#times = asked.filter(({ what }) => what === Ask.TIME).map(({ answer }) => answer[0]!);
  }

  /** The answer, when it is the next one that was asked for. */
  next(what: AskKind, of: readonly number[]): Asked | undefined {
    const asked = this.#asked[this.#at];
    if (asked?.what !== what || !of.every((number, n) => number === asked.of[n])) return undefined;
    this.#at++;
    return asked;
  }

  /** Whose call this piece is; undefined: nobody has asked. */
  get pid(): number | undefined {
    return this.#pid;
  }

  /** Pieces that were begun. */
  get pieces(): number {
    return this.#pieces;
  }

  /** A doorbell has been rung. */
  ring({ of, answer }: Asked): void {
    this.#rings.set(of[0]!, answer[0]!);
  }

  /** How often a doorbell has been found rung by now. */
  rings(doorbell: number): number {
    return this.#rings.get(doorbell) ?? 0;
  }

  /** The time that was told `n`th in this piece, from 0. */
  time(n: number): number | undefined {
    return this.#times[n];
  }

  /** Why nothing behind this piece can be done again; undefined: it can. */
  get stopped(): string | undefined {
    return this.#stop;
  }

  stop(sentence: string): void {
    this.#stop ??= sentence;
  }

  /** Has something been read by now whose content is left out? */
  get leftOut(): boolean {
    return this.#leftOut;
  }

  missContent(): void {
    this.#leftOut = true;
  }
}
