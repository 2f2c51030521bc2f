/**
 * What the launcher (launcher.ts) has to be told to become the user's command, and why it could not.
 *
 * Strings that belong to the user (arguments, environment) are bytes, not text: they have one character per
 * byte (latin1).
 */

/** Exit statuses, as env(1) uses them. The first one is for all failures of ioasid's own, wrong usage too. */
export const OUR_FAULT = 125;
export const NOT_EXECUTABLE = 126;
export const NOT_FOUND = 127;

/** Where, below the new /dev, the old one is kept as a whole. */
export const hostFolder = '.host';

/** Where, below the new /dev, what is served of /sys is, to be bound there. */
export const sysfsFolder = '.sys';

/** All that the launcher must know to become the user's command. */
export interface LaunchPlan {
  /** Paths below the old /dev that are bound over the placeholders in the new one. */
  readonly binds: readonly string[];
  /** Folders of /sys that are served, by their paths below it. */
  readonly sysfs: readonly string[];
  readonly argv: readonly string[];
  readonly env: readonly string[];
  /** The soft limit of open files that the command gets; null: as it is. */
  readonly softFiles: number | null;
}

/** Why there is no command: the exit status, one of those above, and one sentence. */
export interface LaunchFailure {
  readonly status: number;
  readonly reason: string;
}

/** How the launcher comes by its namespaces: made by itself as root, or around it by unshare(1). */
export type LaunchMode = 'root' | 'user';
