/**
 * The launcher as the server sees it: a child process that hands over its FUSE connection, is told to go on,
 * and is the user's command from then on.
 */
import { closeSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { copyDescriptor } from '../linux/fd-identity.js';
import { pipe } from '../linux/fd-passing.js';
import { openFolder } from '../linux/namespaces.js';
import { JOIN, type TrapDescriptors } from '../linux/nested-trap.js';
import { RAISED_BY_ACCESSES, whyNotTraceable } from '../linux/ptrace.js';
import { freeNumbers, Gone, ScriptedProcess } from '../linux/scripted-process.js';
import { emptyReadRule, ioctlRule, sharedMappingRule, signalActionRule } from '../linux/seccomp.js';
import { Change, WaitStates } from '../linux/wait-states.js';
import { nameToGuard } from './guard.js';
import { type LaunchFailure, type LaunchMode, type LaunchPlan, OUR_FAULT } from './launch-plan.js';
import { become, type LauncherDescriptors, prepare } from './launcher.js';

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
 * The environment without what would change how the guard's Node runs. The command gets the original through
 * the plan.
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
  readonly #mode = launchMode();
  readonly #process: ScriptedProcess;
  #descriptors: LauncherDescriptors | undefined;
  /** What becomes of its process, and of those that are traced. */
  readonly states = new WaitStates();
  #ended = false;
  #failure: LaunchFailure | undefined;

  /**
   * `inherited`: descriptors that the command is given, beside the standard streams; `trapped`: the ioctls
   * that return new ones. @throws Refusal as ScriptedProcess.
   */
  constructor(inherited: readonly number[], trapped: readonly number[]) {
    const [end, lifeline] = pipe();
    const theirEnd = freeNumbers(inherited, 1)[0]!;
    const same = [0, 1, 2, ...inherited].map((fd) => [fd, fd] as const);
    process.on('SIGCHLD', this.#look);
    this.#process = new ScriptedProcess({
      descriptors: new Map([...same, [theirEnd, end]]),
      env: launcherEnvironment(),
      within: (program) => unshareCommand(this.#mode, [program]),
    });
    this.pid = this.#process.pid;
    closeSync(end);
    const rules = [
      ioctlRule([...trapped, JOIN]),
      emptyReadRule(),
      ...(whyNotTraceable() === undefined ? [sharedMappingRule(), signalActionRule(RAISED_BY_ACCESSES)] : []),
    ];
    this.ending = this.#end();
    const prepared = prepare(this.#process, this.#mode, rules, theirEnd);
    this.connection = prepared.then((descriptors) => this.#take(descriptors, lifeline));
    this.connection.catch(() => undefined);
  }

  /** Lets the launcher become the command. */
  proceed(plan: LaunchPlan): void {
    const failed = become(this.#process, this.#descriptors!, this.#mode, plan);
    failed.then(
      (failure) => this.#fail(failure),
      (error: Error) => error instanceof Gone || this.#fail({ status: OUR_FAULT, reason: error.message }),
    );
  }

  kill(signal: NodeJS.Signals): void {
    if (!this.#ended) process.kill(this.pid, signal);
  }

  #fail(failure: LaunchFailure): void {
    this.#failure = failure;
    this.#process.end();
  }

  /** The launcher waits, and sees the fresh /dev with nothing over it. */
  #take(descriptors: LauncherDescriptors, lifeline: number): Connection {
    const { fuse, device, trap } = descriptors;
    this.#descriptors = descriptors;
    nameToGuard(lifeline, device);
    const copy = (fd: number) => copyDescriptor(this.pid, fd);
    const own = { fuse: copy(fuse), device, lifeline };
    if (trap === undefined) return { ...own, newFd: undefined };
    const listener = copy(trap.listener);
    const calls = trap.calls === trap.listener ? listener : copy(trap.calls);
    return {
      ...own,
      newFd: { listener, calls, root: openFolder(`/proc/${this.pid}/root/dev`) },
    };
  }

  /** It has ended when its process has, and it is known whether that was the command. */
  #end(): Promise<Ending> {
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
    return changed.then(async (ending) => {
      await this.#process.gone;
      return { ...ending, failure: this.#failure };
    });
  }

  readonly #look = () => this.states.look();
}

function nameOf(signal: number): NodeJS.Signals {
  const found = Object.entries(constants.signals).find(([, number]) => number === signal);
  return (found?.[0] ?? 'SIGKILL') as NodeJS.Signals;
}
