/**
 * Report: what is wrong with a model, as it comes out: each kind once, with the calls that led to it. What
 * may be right, and is worth a look, is a remark.
 */
import type { ModelCalls } from '../../devices/model-calls.js';
import { framesOf } from '../../devices/thrown.js';

const MOST_FINDINGS = 20;
/** After so many failures the model is known well enough. */
const MOST_FAILURES = 100;
/** Calls that are told of each finding. */
const TOLD = 4;
/** A step is at most about a millisecond; what takes so long is told, as other work of the machine may. */
const LONG_MS = 50;
/** Once or twice it may be Node, which compiles and cleans up. */
const LONG_TIMES = 3;

/** Something that is wrong. */
export interface Finding {
  readonly sentence: string;
  /** What was done before, the last thing last. */
  readonly after: readonly string[];
  /** Of what was thrown. */
  readonly stack?: string;
}

/** What came out of a model. */
export interface Exercised {
  /** What it is, in a few words. */
  readonly what: string;
  /** What was done, in numbers. */
  readonly counts: string;
  readonly findings: readonly Finding[];
  readonly remarks: readonly string[];
}

export class Report {
  readonly #calls: ModelCalls;
  readonly #findings = new Map<string, Finding>();
  readonly #remarks = new Map<string, string>();
  readonly #done: string[] = [];
  #failures = 0;
  #long = 0;

  constructor(calls: ModelCalls) {
    this.#calls = calls;
  }

  get findings(): readonly Finding[] {
    return [...this.#findings.values()];
  }

  get remarks(): readonly string[] {
    return [...this.#remarks.values()];
  }

  /** It has failed so often that the rest would be more of the same. */
  get isEnough(): boolean {
    return this.#calls.failures >= MOST_FAILURES;
  }

  /** What is done next. */
  say(what: string): void {
    this.#done.push(what);
    if (this.#done.length > TOLD) this.#done.shift();
  }

  /** One call, as `what`. */
  do(what: string, call: () => void): void {
    this.say(what);
    const begin = process.cpuUsage();
    call();
    const { user, system } = process.cpuUsage(begin);
    const took = Math.round((user + system) / 1000);
    if (took >= LONG_MS && ++this.#long === LONG_TIMES)
      this.remark(`${what.replace(/ of .*/, '')} took ${took} ms: everybody waits, and a step is about one`);
  }

  /** Has the model failed since this was asked last? What it has thrown is a finding. */
  hasFailed(): boolean {
    if (this.#calls.failures === this.#failures) return false;
    this.#failures = this.#calls.failures;
    const { stack = '' } = this.#calls;
    const [sentence = ''] = stack.split('\n', 1);
    this.find(sentence, framesOf(stack).split('\n').slice(0, 4).join('\n'));
    return true;
  }

  /** Failures until now are known. */
  skipFailures(): void {
    this.#failures = this.#calls.failures;
  }

  /** Findings that differ in numbers only are one. */
  find(sentence: string, stack?: string): void {
    const kind = kindOf(sentence);
    if (this.#findings.has(kind) || this.#findings.size >= MOST_FINDINGS) return;
    this.#findings.set(kind, { sentence, after: [...this.#done], ...(stack && { stack }) });
  }

  /** As `find`: the first of each kind. */
  remark(sentence: string): void {
    const kind = kindOf(sentence);
    if (!this.#remarks.has(kind)) this.#remarks.set(kind, sentence);
  }
}

function kindOf(sentence: string): string {
  return sentence.replace(/0x[0-9a-f]+|\d+/g, 'N');
}
