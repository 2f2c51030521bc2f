/** What a guard is told, by whoever starts it (guard.ts), and by its shell (guard-main.ts). */

/** What is left to do when a server is dead, beside aborting its connection. */
export interface GuardOrder {
  /** What mountinfo calls the server's filesystem, and no other: it is unmounted. */
  readonly source: string;
  /** Kill who lives in this mount namespace. */
  readonly kill?: boolean;
  /** Remove this folder, which the server has made. */
  readonly made?: string;
}

/** A guard that is told KNOWN has this descriptor: a 1 written to it aborts the connection. */
export const ABORT = 4;
export const KNOWN = 'known';
