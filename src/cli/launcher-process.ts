/**
 * The launcher as the server sees it: a child process that hands over its FUSE connection, is told to go on,
 * and is the user's command from then on.
 */
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { copyDescriptor } from '../linux/fd-identity.js';
import { openFolder } from '../linux/namespaces.js';
import { JOIN, type TrapDescriptors } from '../linux/nested-trap.js';
import {
  type LauncherDescriptors,
  type LauncherMessage,
  type LaunchFailure,
  type LaunchMode,
  type LaunchPlan,
  OUR_FAULT,
} from './launch-plan.js';

const script = fileURLToPath(new URL('./launcher.js', import.meta.url));
const CAP_SYS_ADMIN = 21n;

/** How the command ended. `failure` when it was never started. */
export interface Ending {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly failure: LaunchFailure | undefined;
}

/** May this process make mount namespaces by itself, or only inside a user namespace? */
export function launchMode(): LaunchMode {
  const capabilities =
    /^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '0';
  return (BigInt(`0x${capabilities}`) >> CAP_SYS_ADMIN) & 1n ? 'root' : 'user';
}

/** `command` in the namespaces that `mode` needs around it; as root it makes them itself. */
export function unshareCommand(mode: LaunchMode, command: readonly string[]): string[] {
  if (mode === 'root') return [...command];
  return [
    'unshare',
    '--user',
    '--map-current-user',
    '--keep-caps',
    '--mount',
    '--propagation',
    'unchanged',
    '--',
    ...command,
  ];
}

/**
 * The environment without what would change how the launcher's own Node runs. The command gets the original
 * through the plan.
 */
function launcherEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('NODE_')));
}

/**
 * Its standard streams are ours, so are the inherited descriptors; the socket takes the first number that is
 * free.
 */
function descriptors(inherited: readonly number[]): { stdio: StdioOptions; control: number } {
  const stdio: ('inherit' | 'ignore' | 'pipe' | number)[] = ['inherit', 'inherit', 'inherit'];
  let control = 3;
  while (inherited.includes(control)) control++;
  for (let fd = 3; fd <= Math.max(control, ...inherited); fd++) {
    stdio.push(fd === control ? 'pipe' : inherited.includes(fd) ? fd : 'ignore');
  }
  return { stdio, control };
}

/** What it takes to serve ioctls that return new descriptors; `root` is the mounted root directory. */
export type NewFdDescriptors = TrapDescriptors & { readonly root: number };

/** The launcher's descriptors, copied into this process. */
export interface Connection {
  /** The FUSE connection of the command's /dev. */
  readonly fuse: number;
  /** The device number of that filesystem. */
  readonly device: number;
  /** How its ioctls that return new descriptors are served; undefined when they cannot be trapped here. */
  readonly newFd: NewFdDescriptors | undefined;
  /** What keeps the guard waiting (guard.ts). */
  readonly lifeline: number;
}

export class LauncherProcess {
  /** Rejected when there will be none. */
  readonly connection: Promise<Connection>;
  readonly ending: Promise<Ending>;
  readonly #child: ChildProcess;
  readonly #control: Socket;
  #failure: LaunchFailure | undefined;

  /** `trapped`: the ioctls that return new descriptors. */
  constructor(inherited: readonly number[], trapped: readonly number[]) {
    const mode = launchMode();
    const { stdio, control } = descriptors(inherited);
    const [file, ...args] = unshareCommand(mode, [
      process.execPath,
      script,
      String(control),
      mode,
      String(process.pid),
      [...trapped, JOIN].join(','),
    ]);
    this.#child = spawn(file!, args, { stdio, env: launcherEnvironment() });
    this.#control = this.#child.stdio[control as 3] as unknown as Socket;
    this.ending = this.#end(file!);
    this.connection = this.#connect();
    this.connection.catch(() => undefined);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Lets the launcher become the command. */
  proceed(plan: LaunchPlan): void {
    this.#control.write(`${JSON.stringify(plan)}\n`);
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  #connect(): Promise<Connection> {
    return new Promise((resolve, reject) => {
      this.#control.on('error', () => undefined);
      createInterface(this.#control).on('line', (line) => {
        const message = JSON.parse(line) as LauncherMessage;
        if (!('fuse' in message)) {
          this.#failure = message;
          return;
        }
        try {
          resolve(this.#take(message));
        } catch (error) {
          reject(error);
        }
      });
      this.ending.then(({ failure }) =>
        reject(new Error(failure?.reason ?? 'the launcher ended before the command began')),
      );
    });
  }

  /** The launcher waits, and sees the fresh /dev with nothing over it. */
  #take({ fuse, device, trap, lifeline }: LauncherDescriptors): Connection {
    const copy = (fd: number) => copyDescriptor(this.pid, fd);
    const own = { fuse: copy(fuse), device, lifeline: copy(lifeline) };
    if (trap === null) return { ...own, newFd: undefined };
    const listener = copy(trap.listener);
    const calls = trap.calls === trap.listener ? listener : copy(trap.calls);
    return {
      ...own,
      newFd: { listener, calls, root: openFolder(`/proc/${this.pid}/root/dev`) },
    };
  }

  #end(file: string): Promise<Ending> {
    return new Promise((resolve) => {
      this.#child.on('error', (error) => {
        const failure = { status: OUR_FAULT, reason: `${file} cannot be started: ${error.message}` };
        resolve({ status: null, signal: null, failure });
      });
      this.#child.on('close', (status, signal) => resolve({ status, signal, failure: this.#failure }));
    });
  }
}
