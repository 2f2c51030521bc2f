/**
 * Signals between the process that the user started and the command: what one is sent, the other gets once.
 */
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { libc } from '../linux/ffi.js';

/**
 * Signals that are for the command. Those that cannot be caught, that stop, and that tell of the server's own
 * faults are not here.
 */
const forwarded: readonly NodeJS.Signals[] = [
  'SIGTERM',
  'SIGHUP',
  'SIGUSR1',
  'SIGUSR2',
  'SIGCONT',
  'SIGALRM',
];
/** Signals that a terminal sends, to every process of its foreground group. */
const fromTerminal: readonly NodeJS.Signals[] = ['SIGINT', 'SIGQUIT'];

const PR_SET_DUMPABLE = 4;
const SIG_DFL = 0;

/**
 * True when this process is in the terminal's foreground group, whose members have all been sent what the
 * keyboard sent.
 */
function inForeground(): boolean {
  const stat = readFileSync('/proc/self/stat', 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[2] === fields[5];
}

/** From now on, hands signals to `deliver`. */
export function forwardSignals(deliver: (signal: NodeJS.Signals) => void): void {
  for (const signal of forwarded) process.on(signal, () => deliver(signal));
  for (const signal of fromTerminal) {
    process.on(signal, () => {
      if (!inForeground()) deliver(signal);
    });
  }
}

/**
 * Ends this process as `signal` ends one, without a core file: its parent sees what it would have seen of the
 * command.
 */
export function dieBy(signal: NodeJS.Signals): never {
  const number = constants.signals[signal];
  libc().prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  libc().signal(number, SIG_DFL);
  process.kill(process.pid, signal);
  return leave(128 + number);
}

/**
 * Ends this process now. Node's own exit would put the terminal back to what it was at the start and undo the
 * command's `stty`.
 */
export function leave(status: number): never {
  libc()._exit(status);
  throw new Error('a process continued after _exit');
}
