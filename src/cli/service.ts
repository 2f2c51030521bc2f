/**
 * A machine behind a FUSE connection: what `run` and `serve` have in common. Its files are answered, its
 * devices work, `ioasid ls` and `ioasid trace` are told about it.
 */
import { FuseServer, type TreeEntry } from '../devfs/fuse-server.js';
import { StandIn } from '../devfs/stand-in.js';
import { Clock } from '../devices/clock.js';
import { mayKeepUs, type PlacedSpec } from '../devices/load.js';
import { ModelCalls } from '../devices/model-calls.js';
import { saidOf } from '../devices/thrown.js';
import { Account, type Holdings } from '../linux/account.js';
import { doorbellSource } from '../linux/doorbells.js';
import { inWords, refuse } from '../linux/errno.js';
import { type LoopSource, runLoop } from '../linux/event-loop.js';
import { countFileWaits } from '../linux/file-waits.js';
import { notHeld } from '../linux/held-area.js';
import { fillUpTo } from '../linux/memory-room.js';
import { haveOwnProc } from '../linux/own-proc.js';
import { beginPool } from '../linux/pool-threads.js';
import { servesAlone } from '../linux/process-memory.js';
import type { WaitStates } from '../linux/wait-states.js';
import type { ContainerKind } from '../machine/container-kinds.js';
import { Machine } from '../machine/machine.js';
import type { MachineSnapshot } from '../machine/snapshot.js';
import { Alarm } from './alarm.js';
import { askers, publish } from './control-socket.js';
import { hostFunctions } from './host-sysfs.js';
import { Inspected } from './inspected.js';
import type { LastStep } from './last-steps.js';
import { launchMode, type NewFdDescriptors } from './launcher-process.js';
import { Lookers } from './lookers.js';
import { complain } from './messages.js';
import type { ModelFaults } from './model-faults.js';
import { disksOf } from './own-limits.js';
import { Quiet } from './quiet.js';
import type { RunReport } from './run-report.js';
import type { Telling } from './telling.js';
import { type TraceArguments, tells } from './trace-arguments.js';
import { TurnOrder } from './turn-order.js';
import { parseLink, UnixLink } from './unix-link.js';

export interface ServiceOptions {
  readonly extra?: readonly TreeEntry[];
  /** Folders of device nodes are listed by their owner and root alone. */
  readonly unlisted?: boolean | undefined;
  /** What is told as it happens, and where. */
  readonly telling?: Telling | undefined;
  readonly report?: RunReport | undefined;
  /** The descriptors by which ioctls that return new ones are served, with the mounted root directory. */
  readonly newFd?: NewFdDescriptors | undefined;
  /** What becomes of the processes that are served, when they may be traced. */
  readonly states?: WaitStates;
  /** What else wakes this thread. */
  readonly watched?: readonly LoopSource[];
  readonly faults: ModelFaults;
}

/** One that can be used at once. */
export const DEFAULT_DEVICE = 'dsa,ready=1';

/** A `--link` argument, and where it is written (PlacedSpec). */
export interface PlacedLink {
  readonly link: string;
  readonly from: string;
}

/** What the options of `run` and `serve` say of the machine. */
export interface MachineArguments extends TraceArguments {
  readonly device: readonly (string | PlacedSpec)[];
  readonly pasidQuota: number;
  readonly mappingQuota: number;
  readonly tableQuota: number;
  readonly objectQuota: number;
  readonly fillShare: number;
  readonly iommuTest?: boolean;
  readonly container: ContainerKind;
  readonly bindFirst?: boolean;
  readonly memlock?: boolean;
  readonly strict?: boolean;
  readonly link: readonly (string | PlacedLink)[];
  /** What devices wait for takes so many times as long. */
  readonly time: number;
  /** A page shows it at this port of the loopback addresses, 0: at a free one; true: the same. */
  readonly inspect?: number | true;
}

/** A machine, where its wires go on, and who stands in for the thread that will serve it. */
export interface MadeMachine {
  readonly machine: Machine;
  readonly links: readonly UnixLink[];
  readonly standIn: StandIn;
  readonly alarm: Alarm;
  /** Is memory that is locked for devices counted (linux/locked-memory.ts)? */
  readonly memlock: boolean;
}

/**
 * The machine that the options describe; with one `dsa,ready=1` when they name no device. Modules and models
 * are watched from now on. `alone`: as of StandInData. @throws Refusal which option is wrong.
 */
export async function makeMachine(options: MachineArguments, alone: boolean): Promise<MadeMachine> {
  // Programs of a run keep nobody but themselves.
  if (!alone) haveOwnProc();
  const standIn = new StandIn({ alone });
  const { device, iommuTest, container, bindFirst, memlock, strict, fillShare, link, time } = options;
  const { pasidQuota, mappingQuota, tableQuota, objectQuota } = options;
  // Another thread writes what is told, and may wait for who reads.
  if (device.some(mayKeepUs) || tells(options)) standIn.start();
  fillUpTo(fillShare);
  servesAlone(alone);
  countFileWaits(!alone);
  ModelCalls.tellCallbacks();
  const shared = beginPool(disksOf(device));
  if (shared !== undefined) complain(shared);
  const machine = await Machine.create({
    devices: device.length === 0 ? [DEFAULT_DEVICE] : device,
    baseDirectory: ownFolder(),
    pasidQuota,
    mappingQuota,
    tableQuota,
    objectQuota,
    iommuTest: iommuTest ?? false,
    container,
    bindFirst: bindFirst ?? false,
    strict: strict ?? false,
    // Under `run` ours are beside the host's, in /sys.
    ...(alone && { hostFunctions: hostFunctions() }),
    clock: Clock.running(time),
  });
  const links: UnixLink[] = [];
  for (const each of link) links.push(await connect(machine, each));
  const alarm = new Alarm(machine.clock, time);
  return { machine, links, standIn, alarm, memlock: (memlock ?? false) || (strict ?? false) };
}

/** @throws Refusal ENOENT nobody can say what a relative path means. */
function ownFolder(): string {
  try {
    return process.cwd();
  } catch (error) {
    return refuse('ENOENT', `the folder that ioasid was started in cannot be found: ${inWords(error)}`);
  }
}

async function connect({ wires }: Machine, given: string | PlacedLink): Promise<UnixLink> {
  const { link, from } = typeof given === 'string' ? { link: given, from: undefined } : given;
  try {
    const { name, path, framed } = parseLink(link);
    return await UnixLink.connect(wires.outside(name), path, framed);
  } catch (error) {
    return saidOf(from, error);
  }
}

/** Shows the machine that is served in a browser, if it is to be. @throws Error one sentence: it cannot. */
export async function inspectIf({ inspect }: MachineArguments): Promise<void> {
  if (inspect === undefined) return;
  const { inspectThis } = await import('./inspect.js');
  await inspectThis(inspect === true ? 0 : inspect);
}

/** A FUSE connection: its descriptor, the filesystem's device number, and what keeps its guard waiting. */
export interface FuseConnection {
  readonly fuse: number;
  readonly device: number;
  readonly lifeline: number;
}

/** What `ls` is told: what the machine holds, and what its files cost this process, by opener. */
export interface ServiceState extends MachineSnapshot {
  readonly openers: readonly Holdings[];
}

/** A machine that is being served. */
export interface Service {
  /** Resolves when the file system is gone. */
  readonly gone: Promise<void>;
  /**
   * Resolves when nothing more is asked or worked on: what a process that has ended had open is released.
   * Others may go on for ever, so it waits SETTLE_MS at most.
   */
  settled(): Promise<void>;
  /** Files that programs have open. */
  open(): number;
  /** End the file system and dismiss the guard: to be done before this process ends. */
  readonly ending: readonly LastStep[];
}

/** Tells each time when twice as many areas of shared memory could not be held as when it told last. */
function tellNotHeld(): void {
  if (notHeld.areas < untold) return;
  untold = 2 * notHeld.areas;
  complain(
    `memory is reached only as long as its owner has it mapped (${notHeld.areas} so far), the last of ` +
      notHeld.reason,
  );
}

let untold = 1;

/** What else wakes the thread: doorbells, who asks, ioctls that are trapped, and programs that are traced. */
function sourcesOf(server: FuseServer, newFd: NewFdDescriptors | undefined): LoopSource[] {
  const trapped = newFd === undefined ? [] : [server.trapped(newFd)];
  const traced = server.tracer === undefined ? [] : [server.tracer];
  return [...trapped, ...traced, doorbellSource(), askers()];
}

/** Serves `machine` through the connection `fuse`. */
export function serveMachine(
  { machine, links, standIn, alarm, memlock }: MadeMachine,
  { fuse, device, lifeline }: FuseConnection,
  { extra, unlisted = false, telling, report, newFd, states, watched, faults }: ServiceOptions,
): Service {
  standIn.serve(fuse, lifeline);
  const server = new FuseServer(fuse, machine.nodes, {
    device,
    owner: { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 },
    extra: extra ?? [],
    unlisted,
    standIn,
    openers: launchMode() === 'root' ? 'users' : 'sessions',
    ...(newFd !== undefined && states !== undefined && { states }),
    trace: machine.trace,
    memlock,
  });
  faults.machine = machine;
  telling?.begin(machine);
  report?.begin(machine);
  const order = new TurnOrder();
  // What broke has been put out of work (true).
  const workOfDevices = () => server.attempt('the work of devices', () => machine.step()) ?? true;
  const work = (hurried: boolean) => {
    // What takes long goes on between batches of requests.
    order.begin(hurried, workOfDevices);
    telling?.tell();
    report?.look();
    lookers.tell();
    const looks = !hurried && inspected.step();
    faults.tell();
    tellNotHeld();
    for (const link of links) link.step();
    const goesOn = server.step(!order.callsGoOn(hurried));
    alarm.set();
    quiet.pass(order.more || !server.idle);
    return order.more || goesOn || looks;
  };
  const quiet = new Quiet();
  const lookers = new Lookers(machine);
  const inspected = new Inspected({ machine, opened: () => server.opened() });
  publish((): ServiceState => ({ ...machine.snapshot(), openers: Account.all() }));
  const serve = (between: () => boolean) => {
    quiet.served();
    return server.serve(between);
  };
  const requests = [fuse, standIn.bell].map((fd) => ({ fd, ready: serve }));
  const sources = [...requests, ...sourcesOf(server, newFd), ...(watched ?? [])];
  return {
    settled: () => quiet.comes(),
    open: () => server.opens,
    gone: runLoop(sources, work, { pulse: standIn, onTurn: () => standIn.turned() }),
    ending: [
      () => alarm.end(),
      ...links.map((link) => () => link.close()),
      () => telling?.end(),
      () => server.end(),
    ],
  };
}
