/**
 * What a benchmark reports: our figure, the reference's figure from the same run, and what is expected of
 * their ratio.
 *
 * Absolute times depend on the machine and on the minute; the ratio is what the expectations speak of. A
 * figure with no reference to compare with (memory used, start-up time) has its expectation on the figure
 * itself.
 */
export interface Measurement {
  readonly name: string;
  readonly unit: 'ns' | 'bytes';
  readonly ours: number;
  /** The reference's figure, in the same unit; absent where there is none, or no compiler to build it. */
  readonly reference?: number | undefined;
  /**
   * How many times worse than the reference we are: the median over pairs of runs, not the quotient of the
   * medians.
   */
  readonly ratio?: number | undefined;
  /** The most that `ratio` may be. */
  readonly maxRatio?: number | undefined;
  /** The most that `ours` may be. */
  readonly max?: number | undefined;
}

/** A benchmark that this machine cannot run, and why. */
export interface Skipped {
  readonly name: string;
  readonly skipped: string;
}

/** A result that is no figure: what was looked for, and what came of it. */
export interface Told {
  readonly name: string;
  readonly told: string;
}

export type Outcome = Measurement | Skipped | Told;

export function isMeasurement(outcome: Outcome): outcome is Measurement {
  return 'ours' in outcome;
}

/**
 * `over` when an expectation is missed, `ok` when one is met, nothing when there is none or it could not be
 * looked at.
 */
export function verdict(m: Measurement): 'ok' | 'over' | '' {
  if (m.maxRatio !== undefined) return m.ratio === undefined ? '' : m.ratio <= m.maxRatio ? 'ok' : 'over';
  if (m.max !== undefined) return m.ours <= m.max ? 'ok' : 'over';
  return '';
}

/** The median; of an even number of values the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
