/** What a controller has done since it was made: what the health log tells (Base 2.0 §5.16.1.3). */
export class Statistics {
  readCommands = 0;
  writeCommands = 0;
  /** Bytes between host and namespaces. */
  bytesRead = 0;
  bytesWritten = 0;
  /** Times that a file could not be read or written. */
  mediaErrors = 0;
  readonly #born = performance.now();

  /** Whole hours. */
  get hours(): number {
    return Math.floor((performance.now() - this.#born) / 3_600_000);
  }
}
