/**
 * When something happens: milliseconds since the epoch, to the microsecond. It never goes back while the
 * process lives, also when somebody sets the system's clock.
 */
export function now(): number {
  return Math.floor((performance.timeOrigin + performance.now()) * 1000) / 1000;
}
