/**
 * What the server and the launcher say to each other, over a socket pair, one JSON object per line:
 *
 *     launcher → server   {"fuse": 21, ...}        LauncherDescriptors: the FUSE of my new /dev, ...
 *     server → launcher   LaunchPlan               I have taken them and answer: go on
 *     launcher → server   {"status": 127, ...}     the command could not be started; nothing more when it was
 *
 * Strings that belong to the user (arguments, environment) are bytes, not text: they travel as one character
 * per byte (latin1).
 */

import type { TrapDescriptors } from '../linux/nested-trap.js';

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

/** What the launcher has for the server: descriptors of its own to be copied, and what they are. */
export interface LauncherDescriptors {
  /** The FUSE connection of the new /dev. */
  readonly fuse: number;
  /** The device number of that filesystem. */
  readonly device: number;
  /**
   * How ioctls that return new descriptors arrive and are answered (linux/seccomp.ts); null when they cannot
   * be trapped here.
   */
  readonly trap: TrapDescriptors | null;
  /** What keeps the guard waiting (guard.ts). */
  readonly lifeline: number;
}

export type LauncherMessage = LauncherDescriptors | LaunchFailure;

/** How the launcher comes by its namespaces: made by itself as root, or around it by unshare(1). */
export type LaunchMode = 'root' | 'user';
