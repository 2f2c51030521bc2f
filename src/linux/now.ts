/** Asked once: what answers is not quick. */
const { timeOrigin } = performance;

/**
 * When something happens: milliseconds since the epoch, to the microsecond. It never goes back while the
 * process lives, also when somebody sets the system's clock.
 */
export function now(): number {
  return sinceEpoch(performance.now());
}

/** The same of a reading of `performance.now`. */
export function sinceEpoch(reading: number): number {
  return Math.floor((timeOrigin + reading) * 1000) / 1000;
}
