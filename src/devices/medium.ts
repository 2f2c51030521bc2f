/** Medium: what the bytes of a Disk are on, and the jobs that it does. */

export type JobKind = 'read' | 'write' | 'sync' | 'zero' | 'punch';

/** Where what is read finally goes. */
export interface ReadTarget {
  /**
   * Takes bytes [position, position+length) of our file `fd`, for its byte `offset` on. @returns false when
   * that would have to wait: then they go into the buffer.
   */
  receive(offset: number, fd: number, position: number, length: number): boolean;
}

/** One thing to do to the file. Used again and again by one request. */
export class Job {
  kind: JobKind = 'read';
  /** Bytes of the file; for `sync` nothing. */
  offset = 0;
  length = 0;
  /** Takes what is read and has what is to be written, from its start. */
  buffer: Uint8Array = new Uint8Array();
  /** Has taken what was read, at `targetOffset`, when the job has ended `delivered`; then not the buffer. */
  target: ReadTarget | undefined;
  targetOffset = 0;
  delivered = false;
  /** Why it failed, once it has ended; undefined: it has not. */
  error: string | undefined;
}

/** How a job has ended: a sentence, why it failed. */
export type Ended = (error: string | undefined) => void;

/** What a Disk is on. */
export interface Medium {
  /** What people call it. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  readonly writable: boolean;
  /**
   * Begins `job`, the `number`th of this medium. `mayNow`: it may be done at once where nobody has to wait
   * for that. @returns whether it has been; if not, `ended` is called later.
   */
  begin(job: Job, number: number, mayNow: boolean, ended: Ended): boolean;
  /** Does `job` now. @returns why it failed. */
  run(job: Job): string | undefined;
}
