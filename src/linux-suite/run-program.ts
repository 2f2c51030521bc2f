/** Runs a program of a suite, on one CPU, and keeps what it says. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

/** For all cases; the suites themselves stop each after 30 or 60 s. */
const LIMIT = 400_000;

/** What a program has said, and how long it took to say it. */
export interface Said {
  readonly text: string;
  /** The longest time between two cases' ends, in seconds, and the case that ended then. */
  readonly slowest: { readonly seconds: number; readonly line: string };
}

/**
 * A suite's calls go back and forth between it and the server: on one CPU each is a switch, on two a wake-up,
 * which takes several times as long.
 */
function onOneCpu(command: readonly string[]): string[] {
  const cpu = /^Cpus_allowed_list:.*?(\d+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))![1]!;
  return ['taskset', '-c', cpu, process.execPath, ...command];
}

/**
 * Runs Node with `command`, and everything it starts, for no longer than the limit. Standard error goes to
 * `log`.
 */
export function runProgram(command: readonly string[], log: number): Promise<Said> {
  return new Promise((resolve) => {
    const [file, ...args] = onOneCpu(command);
    const child = spawn(file!, args, { stdio: ['ignore', 'pipe', log], detached: true });
    let text = '';
    let slowest = { seconds: 0, line: '' };
    let before = Date.now();
    const timer = setTimeout(() => process.kill(-child.pid!, 'SIGKILL'), LIMIT);
    createInterface(child.stdout!).on('line', (line) => {
      text += `${line}\n`;
      if (!/^(not )?ok /.test(line)) return;
      const seconds = (Date.now() - before) / 1000;
      if (seconds > slowest.seconds) slowest = { seconds, line };
      before = Date.now();
    });
    child.on('close', () => {
      clearTimeout(timer);
      resolve({ text, slowest });
    });
  });
}
