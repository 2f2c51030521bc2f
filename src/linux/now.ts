/** Asked once: what answers is not quick. */
const { timeOrigin } = performance;

/**
 * When something happens: milliseconds since the epoch, to the microsecond. It never goes back while the
 * process lives, also when somebody sets the system's clock.
 */
export function now(): number {
  return Math.floor((timeOrigin + performance.now()) * 1000) / 1000;
}
