/**
 * `ioasid run`: one command that sees the machine's files in its /dev.
 *
 * Two processes: this one is the server, with the command as its direct child in the same process group. The
 * child builds its /dev (launcher.ts) while the machine is made here; then the connection is taken over and
 * the child becomes the command. This process ends as the command ends. If it is killed, the command is
 * killed with it (launcher.ts) and so is what the command has started (guard.ts).
 */
import { closeSync, openSync } from 'node:fs';
import { CallListener } from '../linux/call-listener.js';
import { libc } from '../linux/ffi.js';
import type { TrapDescriptors } from '../linux/nested-trap.js';
import { ownScript } from '../linux/own-package.js';
import { spawn } from '../linux/spawn.js';
import type { Machine } from '../machine/machine.js';
import { newFdIoctls, newFdTestIoctls } from '../uapi/new-fd.js';
import { FAILED_ON, type Failure, failureOf } from './fail-on.js';
import { hostDev } from './host-dev.js';
import { environment, inheritedDescriptors, lastArguments, softFileLimit } from './inheritance.js';
import { type LastStep, lastSteps } from './last-steps.js';
import { lastWord } from './last-word.js';
import { type LaunchFailure, OUR_FAULT } from './launch-plan.js';
import { type Connection, type Ending, LauncherProcess } from './launcher-process.js';
import { complain, complainOf, keepErrorsBlocking } from './messages.js';
import { checkOwnLimits, disksOf } from './own-limits.js';
import { type ReportArguments, RunReport } from './run-report.js';
import type { MachineArguments, Service } from './service.js';
import { dieBy, forwardSignals, leave } from './signals.js';
import { survivors } from './survivors.js';
import type { Telling } from './telling.js';
import { tellingOf } from './told.js';
import { wantsTrace } from './trace-arguments.js';

const lacks = '`ioasid doctor` says what this machine lacks';
const VERIFY_SYSFS = 'SYSTEMD_DEVICE_VERIFY_SYSFS';
const heir = ownScript('cli/trap-heir.js');

/** What the options of `run` say. */
export interface RunArguments extends MachineArguments, ReportArguments {
  readonly failOn?: readonly Failure[];
}

interface Told {
  readonly telling: Telling | undefined;
  readonly report: RunReport | undefined;
}

/** Runs `command`. Never returns: this process ends with the command's status. */
export async function run(command: readonly string[], options: RunArguments): Promise<never> {
  keepErrorsBlocking();
  const inherited = inheritedDescriptors();
  const softFiles = softFileLimit();
  const { telling, report } = await toldOf(options);
  const launcher = start(inherited, options);
  // At once: whoever opens something from now on may be given these numbers.
  for (const fd of inherited) libc().close(fd);
  forwardSignals((signal) => launcher.kill(signal));

  // While the launcher starts, so that neither waits for the other.
  const loaded = Promise.all([import('./service.js'), import('./model-faults.js'), import('./sysfs.js')]);
  const [{ inspectIf, makeMachine, serveMachine }, { ModelFaults }, { servedEntries, servedFolders }] =
    await loaded.catch((error: Error) => giveUp(launcher, error));
  const faults = new ModelFaults((status) => {
    launcher.kill('SIGKILL');
    return leave(status);
  });
  let service: Service | undefined;
  // A signal is for the command, and for the launcher before: that ends, whatever a module still waits for.
  launcher.ending.then((ending) => ending.signal !== null && service === undefined && endAs(ending));
  const made = await makeMachine(options, true).catch((error: Error) => refused(launcher, error));
  const connection = await launcher.connection.catch((error: Error) => giveUp(launcher, error));
  const { newFd } = connection;
  const host = hostDev(made.machine.nodes.map((node) => node.path));
  const sysfs = servedFolders(made.machine);
  service = serveMachine(made, connection, {
    extra: [...host.entries, ...servedEntries(sysfs)],
    telling,
    report,
    newFd,
    states: launcher.states,
    faults,
  });
  service.gone.catch((error: Error) => giveUp(launcher, error));
  await inspectIf(options).catch((error: Error) => refused(launcher, error));
  releaseStreams();
  launcher.proceed({
    binds: host.binds,
    sysfs: sysfs.map(([path]) => path),
    argv: lastArguments(command.length),
    env: commandEnvironment(),
    softFiles,
  });

  const ending = await launcher.ending;
  await service.settled();
  const failed = failureOf(made.machine, options.failOn ?? []);
  const ended = lastSteps([
    () => sayLastWord(made.machine, failed !== undefined || badEnd(ending) !== undefined, options),
    () => report?.end({ command, failed: badEnd(ending), failOn: options.failOn ?? [] }),
    ...lastWords(service, connection),
    ...service.ending,
    () => newFd !== undefined && leaveHeir(newFd),
  ]);
  return ended ? endOn(failed, ending) : leave(OUR_FAULT);
}

/**
 * libudev takes what is below /sys for nothing when it is served by us and not by the kernel, unless it is
 * told not to look (systemd's docs/ENVIRONMENT.md).
 */
function commandEnvironment(): string[] {
  const given = environment().filter((each) => !each.startsWith('IOASID='));
  const isTold = given.some((each) => each.startsWith(`${VERIFY_SYSFS}=`));
  return [...given, ...(isTold ? [] : [`${VERIFY_SYSFS}=0`]), 'IOASID=1'];
}

/** Says why the command has perhaps failed, to who has not asked what happens. */
function sayLastWord(machine: Machine, badly: boolean, options: RunArguments): void {
  if (wantsTrace(options)) return;
  const word = lastWord(machine, badly);
  if (word !== undefined) complain(word);
}

/** Says who goes on with files open that are dead from now on. */
function lastWords(service: Service, { device }: Connection): LastStep[] {
  return service.open() === 0 ? [] : [() => survivors(device).forEach(complain)];
}

/** Before anything else is made. What it opens is nothing for the command. */
async function toldOf(options: RunArguments): Promise<Told> {
  try {
    checkOwnLimits(disksOf(options.device));
    return { telling: await tellingOf(options), report: RunReport.of(options) };
  } catch (error) {
    complainOf(error as Error);
    return leave(OUR_FAULT);
  }
}

function start(inherited: readonly number[], { iommuTest }: MachineArguments): LauncherProcess {
  try {
    return new LauncherProcess(inherited, iommuTest ? [...newFdIoctls, ...newFdTestIoctls] : newFdIoctls);
  } catch (error) {
    return failWith(error as Error);
  }
}

/** Lets go of the command's standard input and output, so that their other ends see when it closes them. */
function releaseStreams(): void {
  const nothing = openSync('/dev/null', 'r+');
  for (const fd of [0, 1]) libc().dup2(nothing, fd);
  closeSync(nothing);
}

/** Processes that outlive us keep making calls that are trapped. A nested server's come to the outer one. */
function leaveHeir({ listener, calls }: TrapDescriptors): void {
  if (calls !== listener || new CallListener({ listener, calls }).state === 'ended') return;
  const descriptors = new Map([[3, listener]]);
  try {
    spawn([process.execPath, heir, '3'], {}, descriptors, { apart: 'session' });
  } catch (error) {
    complain(`processes that go on will miss some system calls: ${(error as Error).message}`);
  }
}

/** What the options want cannot be had: there will be no command. */
function refused(launcher: LauncherProcess, error: Error): never {
  launcher.kill('SIGKILL');
  complainOf(error);
  return leave(OUR_FAULT);
}

/** There will be no command, or no more of it. */
function giveUp(launcher: LauncherProcess, error: Error): never {
  launcher.kill('SIGKILL');
  return failWith(error);
}

function failWith(error: Error): never {
  complainOf(error);
  complain(lacks);
  return leave(OUR_FAULT);
}

/** How the command ended; undefined: well. */
function badEnd({ status, signal, failure }: Ending): string | undefined {
  if (failure !== undefined) return failure.reason;
  return status === 0 ? undefined : (signal ?? `exit status ${status}`);
}

/** Ends this process as the command ended, or for what it has `failed` on. */
function endOn(failed: string | undefined, ending: Ending): never {
  if (failed === undefined || ending.status !== 0 || ending.failure !== undefined) return endAs(ending);
  complain(failed);
  return leave(FAILED_ON);
}

/** The command has not been started. */
function failAs({ status, reason }: LaunchFailure): never {
  complain(reason);
  if (status === OUR_FAULT) complain(lacks);
  return leave(status);
}

/** Ends this process as the command ended. */
function endAs({ status, signal, failure }: Ending): never {
  if (failure !== undefined) return failAs(failure);
  return signal === null ? leave(status ?? OUR_FAULT) : dieBy(signal);
}
