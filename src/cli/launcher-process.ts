/**
 * The launcher as the server sees it: a child process that hands over its FUSE connection, is told to go on,
 * and is the user's command from then on.
 */
import { closeSync, readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import { createInterface } from 'node:readline';
import { copyDescriptor } from '../linux/fd-identity.js';
import { socketPair } from '../linux/fd-passing.js';
import { openFolder } from '../linux/namespaces.js';
import { JOIN, type TrapDescriptors } from '../linux/nested-trap.js';
import { ownScript } from '../linux/own-package.js';
import { RAISED_BY_ACCESSES, whyNotTraceable } from '../linux/ptrace.js';
import { emptyReadRule, ioctlRule, sharedMappingRule, signalActionRule } from '../linux/seccomp.js';
import { spawn } from '../linux/spawn.js';
import { Change, WaitStates } from '../linux/wait-states.js';
import type {
  LauncherDescriptors,
  LauncherMessage,
  LaunchFailure,
  LaunchMode,
  LaunchPlan,
} from './launch-plan.js';

const script = ownScript('cli/launcher.js');
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

/** So often the launcher is looked for without a signal; that keeps Node's loop going as long as it lives. */
const LOOK_MS = 1000;

export class LauncherProcess {
  /** Rejected when there will be none. */
  readonly connection: Promise<Connection>;
  readonly ending: Promise<Ending>;
  readonly pid: number;
  readonly #control: Socket;
  /** What becomes of its process, and of those that are traced. */
  readonly states = new WaitStates();
  #ended = false;
  #failure: LaunchFailure | undefined;

  /**
   * `inherited`: descriptors that the command is given, beside the standard streams; `trapped`: the ioctls
   * that return new ones. @throws Refusal as `spawn`.
   */
  constructor(inherited: readonly number[], trapped: readonly number[]) {
    const [own, theirs] = socketPair();
    const mode = launchMode();
    // The lowest numbers are those that the launcher's Node keeps from the processes that it starts.
    const control = lowestFree(inherited);
    const command = [process.execPath, script, String(control), mode, String(process.pid)];
    const rules = [
      ioctlRule([...trapped, JOIN]),
      emptyReadRule(),
      ...(whyNotTraceable() === undefined ? [sharedMappingRule(), signalActionRule(RAISED_BY_ACCESSES)] : []),
    ];
    const argv = unshareCommand(mode, [...command, JSON.stringify(rules)]);
    const same = [0, 1, 2, ...inherited].map((fd) => [fd, fd] as const);
    const descriptors = new Map([...same, [control, theirs]]);
    process.on('SIGCHLD', this.#look);
    this.pid = spawn(argv, launcherEnvironment(), descriptors);
    closeSync(theirs);
    this.#control = new Socket({ fd: own, readable: true, writable: true });
    this.ending = this.#end();
    this.connection = this.#connect();
    this.connection.catch(() => undefined);
  }

  /** Lets the launcher become the command. */
  proceed(plan: LaunchPlan): void {
    this.#control.write(`${JSON.stringify(plan)}\n`);
  }

  kill(signal: NodeJS.Signals): void {
    if (!this.#ended) process.kill(this.pid, signal);
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

  /** It has ended when its process has, and all that it had to say is read. */
  #end(): Promise<Ending> {
    const said = new Promise((resolve) => this.#control.on('close', resolve));
    const timer = setInterval(this.#look, LOOK_MS);
    const changed = new Promise<Omit<Ending, 'failure'>>((resolve) =>
      this.states.watch(this.pid, (change, status) => {
        if (change > Change.DUMPED) return;
        this.#ended = true;
        clearInterval(timer);
        process.off('SIGCHLD', this.#look);
        resolve(
          change === Change.EXITED ? { status, signal: null } : { status: null, signal: nameOf(status) },
        );
      }),
    );
    return changed.then((ending) => said.then(() => ({ ...ending, failure: this.#failure })));
  }

  readonly #look = () => this.states.look();
}

function lowestFree(taken: readonly number[]): number {
  let fd = 3;
  while (taken.includes(fd)) fd++;
  return fd;
}

function nameOf(signal: number): NodeJS.Signals {
  const found = Object.entries(constants.signals).find(([, number]) => number === signal);
  return (found?.[0] ?? 'SIGKILL') as NodeJS.Signals;
}
