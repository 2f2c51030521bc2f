/** TraceArguments: what the options of a command say of a trace, a log and a recording. */

/** What the options of `run`, `serve` and `trace` say of a trace. */
export interface TraceArguments {
  readonly trace?: boolean;
  /** The same as to show errors, faults and notes. */
  readonly verbose?: boolean;
  readonly show?: readonly string[];
  readonly pid?: readonly number[];
  readonly json?: boolean;
  readonly output?: string;
  /** A file for a timeline, in place of lines. */
  readonly perfetto?: string;
  /** A file for refusals, faults and notes, whatever else is shown. */
  readonly log?: string;
  /** A file for a recording of all. */
  readonly record?: string;
  /** `none`: contents of memory and transfers are not in it. */
  readonly recordData?: 'all' | 'none';
}

/** Do the options ask for a trace? */
export function wantsTrace(options: TraceArguments): boolean {
  const { trace, verbose, show = [], pid = [], json, output } = options;
  return (
    trace === true ||
    verbose === true ||
    show.length + pid.length > 0 ||
    json === true ||
    output !== undefined
  );
}

/** Do they ask for anything that is told while it happens? */
export function tells(options: TraceArguments): boolean {
  return wantsTrace(options) || options.log !== undefined || options.record !== undefined;
}
