/**
 * What the server and the launcher say to each other, over a socket pair, one JSON object per line:
 *
 *     launcher → server   {"fuse": 21, ...}        descriptor 21 of mine is the FUSE connection of my new /dev
 *     server → launcher   LaunchPlan               I have taken it and answer it: go on
 *     launcher → server   {"status": 127, ...}     the command could not be started; nothing more when it was
 *
 * Strings that belong to the user (arguments, environment) are bytes, not text: they travel as one character per byte (latin1).
 */

/** Exit statuses, as shells and env(1) use them. */
export const USAGE = 2;
export const OUR_FAULT = 125;
export const NOT_EXECUTABLE = 126;
export const NOT_FOUND = 127;

/** Where, below the new /dev, the old one is kept as a whole. */
export const hostFolder = '.host';

/** All that the launcher must know to become the user's command. */
export interface LaunchPlan {
  /** Paths below the old /dev that are bound over the placeholders in the new one. */
  readonly binds: readonly string[];
  readonly argv: readonly string[];
  readonly env: readonly string[];
  /** Descriptors from 3 up that the command inherits. */
  readonly keep: readonly number[];
  /** The soft limit of open files that the command gets; null: as it is. */
  readonly softFiles: number | null;
}

/** Why there is no command: the exit status, one of those above, and one sentence. */
export interface LaunchFailure {
  readonly status: number;
  readonly reason: string;
}

/** The FUSE connection of the new /dev: its descriptor, and the device number of the filesystem. */
export interface Connection {
  readonly fuse: number;
  readonly device: number;
}

export type LauncherMessage = Connection | LaunchFailure;

/** How the launcher comes by its namespaces: made by itself as root, or around it by unshare(1). */
export type LaunchMode = 'root' | 'user';
