/**
 * Report: what is told, and whether everything was as it must be.
 *
 * A check is one line: what was done and, when it is not as it must be, what was found instead. `failures`
 * counts those.
 */
import color from 'picocolors';
import type { FaultRecord } from '../../iommu/fault-log.js';
import { type ErrnoName, hex, Refusal } from '../../linux/errno.js';

/** What a fault must be. */
export type ExpectedFault = Pick<FaultRecord, 'rid' | 'pasid' | 'iova' | 'write'>;

export class Report {
  readonly #print: (line: string) => void;
  #steps = 0;
  #checks = 0;
  #failures = 0;

  /** @param print takes one line at a time */
  constructor(print: (line: string) => void) {
    this.#print = print;
  }

  get failures(): number {
    return this.#failures;
  }

  heading(text: string): void {
    this.#print(color.bold(text));
  }

  step(title: string): void {
    this.#print(color.bold(`${color.cyan(String(++this.#steps))}  ${title}`));
  }

  note(text: string): void {
    this.#print(`     ${color.dim(text)}`);
  }

  /** Something that cannot go wrong without an error, or whose proof comes later. */
  done(what: string): void {
    this.#result(what);
  }

  /** `actual` must be `expected`: numbers, truths, or flat objects of these. */
  check<T>(what: string, actual: T, expected: T): void {
    const [found, wanted] = [JSON.stringify(actual), JSON.stringify(expected)];
    this.#result(what, found === wanted ? undefined : `found ${found}, must be ${wanted}`);
  }

  /** `attempt` must be refused with `code`, and with a reason. */
  async refused(what: string, code: ErrnoName, attempt: () => Promise<unknown>): Promise<void> {
    const answer = await attempt().then(
      () => undefined,
      (error: Error) => error,
    );
    if (answer instanceof Refusal && answer.code === code && answer.reason !== '') {
      this.#result(what);
      this.#print(`     ${color.yellow(code)}  ${answer.reason}`);
    } else {
      this.#result(
        what,
        `must be refused with ${code}, but ` +
          (answer === undefined ? 'it is granted' : `says ${answer.message}`),
      );
    }
  }

  /** The first of `faults` must be `expected`, with a reason. */
  fault(what: string, faults: readonly FaultRecord[], expected: ExpectedFault): void {
    const fault = faults[0];
    if (fault === undefined) {
      this.#result(what, 'no DMA fault was recorded');
      return;
    }
    const { rid, pasid, iova, write, reason } = fault;
    this.check(what, { rid, pasid, iova, write, reason: reason !== '' }, { ...expected, reason: true });
    this.#print(
      `     ${color.yellow('DMA fault')}  ${rid} PASID ${pasid} ` +
        `${write ? 'write' : 'read'} at ${hex(iova)}: ${reason}`,
    );
  }

  /** The story cannot go on. */
  broken(error: Error): void {
    this.#result('the story goes on', error.message);
  }

  /** The last line. */
  end(): void {
    const verdict =
      this.#failures === 0
        ? color.green('all as they must be')
        : color.red(`${this.#failures} NOT as they must be`);
    this.#print(color.bold(`${this.#checks} checks, ${verdict}`));
  }

  #result(what: string, wrong?: string): void {
    this.#checks++;
    if (wrong === undefined) {
      this.#print(`   ${color.green('✓')} ${what}`);
      return;
    }
    this.#failures++;
    this.#print(`   ${color.red('✗')} ${what}: ${color.red(wrong)}`);
  }
}
