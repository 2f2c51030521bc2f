/**
 * Wakes: signals that wake whoever waits for a file of an account, in the kernel and on our time. A program
 * may have thousands of epoll sets wait for one file.
 *
 * So it is measured how long they take. Those of an account whose last one took long are made one by one,
 * and after each there is none for REST times as long: whoever would make one asks `rest` first, and keeps it
 * for later. `looksLater` has the event loop come again then. Invariant: nothing is lost by it.
 */
import type { Account } from './account.js';

/** A signal that takes so long wakes thousands. */
const LONG_MS = 0.5;
/** After one that took long there is none for so many times as long. */
const REST = 20;
/** How often it is looked whether they have rested. */
const LOOK_MS = 10;

/** How the signals of one account are paced. */
interface Pace {
  /** None is made before; performance.now(). */
  until: number;
}

/** Those whose last signal took long, be it because this process did not run meanwhile. */
const paces = new WeakMap<Account, Pace>();
let looks: NodeJS.Timeout | undefined;

/** Are signals of `account` to be made one by one? */
export function takesLong(account: Account): boolean {
  return paces.has(account);
}

/** May none be made now? */
export function rests(account: Account): boolean {
  const pace = paces.get(account);
  return pace !== undefined && performance.now() < pace.until;
}

/**
 * Makes `times` signals of `account`, by `signal`. What is suspected to take long is measured by the time
 * that it has the processor.
 */
export function wakeBy(account: Account, times: number, signal: () => void): void {
  const pace = paces.get(account);
  const before = pace && process.cpuUsage();
  const begun = performance.now();
  signal();
  const took = performance.now() - begun;
  if (took <= LONG_MS * times) {
    if (pace !== undefined) paces.delete(account);
  } else if (pace === undefined) paces.set(account, { until: 0 });
  else {
    const { user, system } = process.cpuUsage(before);
    const busy = Math.min(took, (user + system) / 1000);
    pace.until = busy > LONG_MS ? begun + took + REST * busy : 0;
  }
}

/** Something waits for an account that rests: the event loop wakes for it. */
export function looksLater(): void {
  looks ??= setTimeout(() => (looks = undefined), LOOK_MS).unref();
}
