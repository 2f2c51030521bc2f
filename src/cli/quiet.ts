/**
 * Quiet: looks for a pass of the server's loop in which nothing was asked and nothing is left to be done.
 */
const SETTLE_MS = 1000;

export class Quiet {
  #passes = 0;
  #served = false;

  /** Something was asked for. */
  served(): void {
    this.#served = true;
  }

  /** A pass begins. */
  pass(busy: boolean): void {
    this.#passes = busy || this.#served ? 0 : this.#passes + 1;
    this.#served = false;
  }

  /** Before the first of the two passes that it waits for, nothing was looked for yet. */
  async comes(): Promise<void> {
    const deadline = performance.now() + SETTLE_MS;
    this.#passes = 0;
    while (this.#passes < 2 && performance.now() < deadline)
      await new Promise((resolve) => setImmediate(resolve));
  }
}
