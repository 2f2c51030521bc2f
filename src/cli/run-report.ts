/**
 * RunReport: what a run leaves for a CI job: a JUnit file, annotations. Its file is opened before anything
 * else is made, and written when the run has ended.
 */
import { closeSync, writeFileSync } from 'node:fs';
import { inWords } from '../linux/errno.js';
import type { Machine } from '../machine/machine.js';
import { annotationsOf, junitOf, type RunOutcome } from './ci-reports.js';
import { Findings } from './findings.js';
import { empty, openOwn } from './line-output.js';
import { sayLine } from './messages.js';

/** What the options of `run` say of it. */
export interface ReportArguments {
  readonly junit?: string;
  readonly github?: boolean;
}

export class RunReport {
  readonly #junit: { readonly fd: number; readonly file: string } | undefined;
  readonly #github: boolean;
  readonly #began = performance.now();
  #findings: Findings | undefined;

  private constructor({ junit, github = false }: ReportArguments) {
    this.#junit = junit === undefined ? undefined : { fd: openOwn(junit), file: junit };
    this.#github = github;
  }

  /** What the options ask for; undefined: nothing. @throws Refusal EACCES its file cannot be written. */
  static of(options: ReportArguments): RunReport | undefined {
    return options.junit === undefined && options.github !== true ? undefined : new RunReport(options);
  }

  begin(machine: Machine): void {
    this.#findings = new Findings(machine);
  }

  /** Takes what has happened since the last time. */
  look(): void {
    this.#findings?.look();
  }

  /** Writes it. @throws the file takes no more. */
  end(outcome: Omit<RunOutcome, 'seconds'>): void {
    const findings = this.#findings!;
    findings.look();
    if (this.#github) annotationsOf(outcome.failOn, findings).forEach(sayLine);
    if (this.#junit === undefined) return;
    const seconds = (performance.now() - this.#began) / 1000;
    const { fd, file } = this.#junit;
    try {
      empty(fd);
      writeFileSync(fd, junitOf({ ...outcome, seconds }, findings));
    } catch (error) {
      throw new Error(`"${file}" is not complete: ${inWords(error)}`);
    } finally {
      closeSync(fd);
    }
  }
}
