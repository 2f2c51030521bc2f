/** The command line: what there is to say, and which file does it, which is imported when it is asked for. */
import { readFileSync } from 'node:fs';
import { Argument, Command, CommanderError, Option } from 'commander';
import { DEFAULT_PASID_QUOTA } from '../ioasid/pasid-space.js';
import { DEFAULT_MAPPING_QUOTA, DEFAULT_TABLE_QUOTA } from '../iommu/quota.js';
import { DEFAULT_OBJECT_QUOTA } from '../iommufd/objects.js';
import { DEFAULT_FILL_SHARE } from '../linux/memory-room.js';
import { ownFile } from '../linux/own-package.js';
import { containerKinds } from '../machine/container-kinds.js';
import { kinds } from '../trace/filter.js';
import type { CheckArguments } from './check.js';
import { type Shell, shells } from './completion.js';
import { failures } from './fail-on.js';
import { exitStatusHelp, runExamples, serveExamples } from './help-texts.js';
import type { InspectArguments } from './inspect.js';
import { OUR_FAULT } from './launch-plan.js';
import type { LsArguments } from './ls.js';
import { complainOf, print } from './messages.js';
import {
  count,
  failuresIn,
  helpAskedFor,
  keepsSeparator,
  percent,
  port,
  seed,
  timeScale,
  tracedBy,
} from './option-values.js';
import type { RunArguments } from './run.js';
import type { ServeArguments } from './serve.js';
import type { MachineArguments } from './service.js';
import type { StopArguments } from './stop.js';
import type { Traced } from './trace.js';
import type { TraceArguments } from './trace-arguments.js';

const { version } = JSON.parse(readFileSync(ownFile('package.json'), 'utf8')) as { version: string };

const RECORD = [
  '--record <file>',
  'all that happens to a file, for its owner alone: `ioasid trace FILE` prints it; it has memory of programs',
] as const;

const recordData = () =>
  new Option('--record-data <what>', 'whether contents of memory are in a recording')
    .choices(['all', 'none'])
    .default('all');

const LOG = [
  '--log <file>',
  'refusals, DMA faults and notes to a file, for its owner alone, beside any trace',
] as const;

const INSPECT = [
  '--inspect [port]',
  'a page that shows it in a browser, on this machine alone: --inspect=PORT, or a free port',
] as const;

/** Adds the options that describe a machine: those of `run` and `serve`. */
function describesMachine(command: Command): Command {
  return describesLimits(command)
    .showHelpAfterError(`(ioasid ${command.name()} --help says what there is)`)
    .addOption(
      new Option(
        '-d, --device <spec>',
        'a device: its model and options, `dsa,mdevs=2`, `virtio-blk,file=disk.img` or `./my-device.js`; ' +
          'there may be several; `dsa,help` says what it takes',
      )
        .default([] as string[], 'dsa,ready=1')
        .argParser((spec: string, all: string[]) => [...all, spec]),
    )
    .option('--config <file>', 'what does not fit here, as JSON: docs/config.schema.json')
    .addOption(
      new Option(
        '--link <name=kind:path>',
        'where the link of a device (`link=wire0`) goes on: `unix:PATH` with frames, `bytes:PATH` without',
      )
        .default([] as string[], 'nowhere')
        .argParser((link: string, all: string[]) => [...all, link]),
    )
    .addOption(
      new Option('--time <scale=n>', 'what devices wait for takes n times as long')
        .default(1, 'scale=1')
        .argParser(timeScale),
    )
    .option('--iommu-test', "/dev/iommu with Linux's test interface for iommufd, mock devices included")
    .addOption(
      new Option('--container <kind>', 'what /dev/vfio/vfio is: real type1, or an iommufd in its place')
        .choices(containerKinds)
        .default('type1'),
    )
    .option(
      '--bind-first',
      'device files do nothing before VFIO_DEVICE_BIND_IOMMUFD (or IOASID_AUTHORIZE), as those of Linux',
    )
    .option(
      '--memlock',
      'memory that is locked for devices counts against RLIMIT_MEMLOCK of who maps it, as in Linux',
    )
    .option(
      '--strict',
      'all that hardware and Linux do and ioasid does more kindly, --bind-first and --memlock among it',
    )
    .option('--trace', 'every call on the devices with what it said and why it was refused, and all DMA')
    .option('-v, --verbose', 'a trace of refusals, DMA faults and notes of devices: -e error,fault,note');
}

/** Adds those of what one open file may have, and of memory. */
function describesLimits(command: Command): Command {
  return command
    .option('--pasid-quota <n>', 'PASIDs that one open /dev/ioasid may have', count, DEFAULT_PASID_QUOTA)
    .option(
      '--mapping-quota <n>',
      'mappings that one open /dev/ioasid, /dev/iommu or vhost-vdpa may have',
      count,
      DEFAULT_MAPPING_QUOTA,
    )
    .option('--object-quota <n>', 'objects that one open /dev/iommu may have', count, DEFAULT_OBJECT_QUOTA)
    .option(
      '--table-quota <n>',
      'pages (4 KiB) for the tables, dirty logs and IOTLBs of one open /dev/ioasid or /dev/iommu',
      count,
      DEFAULT_TABLE_QUOTA,
    )
    .option(
      '--fill-share <percent>',
      'of memory that may be in use when DMA fills a hole of a file that its owner has not mapped',
      percent,
      DEFAULT_FILL_SHARE,
    );
}

/** Adds the options that say what of a trace is shown, and where: those of `run`, `serve` and `trace`. */
function describesTrace(command: Command): Command {
  const list =
    <T>(parse: (text: string) => T) =>
    (text: string, all: readonly T[]) => [...all, parse(text)];
  return command
    .addOption(
      new Option(
        '-e, --show <what>',
        `of a trace: ${kinds.join(', ')}, call=NAME or device=NAME; may be repeated`,
      )
        .default([] as string[], 'everything')
        .argParser(list(String)),
    )
    .addOption(
      new Option('-p, --pid <pid>', 'of a trace: calls of this process or thread; may be repeated')
        .default([] as number[], 'all')
        .argParser(list(count)),
    )
    .option('--json', 'the trace as a JSON object for each event, a line each')
    .option('-o, --output <file>', 'the trace to a file, for its owner alone');
}

function program(): Command {
  const ioasid = new Command('ioasid')
    .description(
      'I/O address spaces, PASIDs and emulated devices behind real files in /dev, for unmodified programs',
    )
    .version(version)
    .configureOutput({ writeOut: print })
    .enablePositionalOptions()
    .showHelpAfterError('(ioasid --help says what there is)');
  addMachines(ioasid);
  addModels(ioasid);
  addReports(ioasid);
  addServers(ioasid);
  addReplay(ioasid);
  addTexts(ioasid);
  for (const command of ioasid.commands) keepsSeparator(command);
  return ioasid;
}

/** `run` and `serve`, which make a machine. */
function addMachines(ioasid: Command): void {
  describesTrace(describesMachine(ioasid.command('run')))
    .option(...LOG)
    .option(...INSPECT, port)
    .option(...RECORD)
    .addOption(recordData())
    .addOption(
      new Option(
        '--fail-on <what>',
        `end with 99 when the command succeeds but devices had any: ${failures.join(', ')}`,
      ).argParser(failuresIn),
    )
    .option('--junit <file>', 'how it went as a JUnit file: the command, DMA faults, notes of devices')
    .option('--github', 'DMA faults and notes of devices as annotations of a job of GitHub Actions')
    .description('run a command that sees /dev/ioasid, /dev/iommu and /dev/vfio; ends with its exit status')
    .argument('[command...]', 'the command and its arguments')
    .passThroughOptions()
    .addHelpText('after', runExamples + exitStatusHelp())
    .action(async (words: string[], options: RunArguments & Arguments, command: Command) => {
      if (await helps(options)) return;
      if (words.length === 0) command.error("error: missing required argument 'command'");
      const { run } = await import('./run.js');
      await run(words, await configured(options, command));
    });

  describesTrace(describesMachine(ioasid.command('serve')))
    .option(...LOG)
    .option(...INSPECT, port)
    .option(...RECORD)
    .addOption(recordData())
    .option(
      '--ready-fd <n>',
      'a newline is written to this descriptor, and it is closed, when the files are there',
      count,
    )
    .option('--listed', 'all users may list the folder, and so have it locked; else this user and root')
    .description('the same files for every process of the machine, below a folder, until Ctrl-C')
    .argument('[folder]', 'where; default $XDG_RUNTIME_DIR/ioasid, or /run/ioasid')
    .addHelpText('after', serveExamples)
    .action(async (folder: string | undefined, options: ServeArguments & Arguments, command: Command) => {
      if (await helps(options)) return;
      const { serve } = await import('./serve.js');
      await serve(folder, await configured(options, command));
    });
}

/** As Commander has taken them apart. */
type Arguments = MachineArguments & { readonly device: readonly string[]; readonly config?: string };

/** `options`, with what the file that they name says. @throws Error naming what of it is wrong. */
async function configured<T extends Arguments>(options: T, command: Command): Promise<T> {
  if (options.config === undefined) return options;
  const { withConfig } = await import('./config-file.js');
  return withConfig(options, options.config, (key) => command.getOptionValueSource(key) !== 'default');
}

/** Tells of the devices that help is asked for. @returns whether any is. */
async function helps({ device }: Arguments): Promise<boolean> {
  const asked = helpAskedFor(device);
  if (asked.length > 0) await (await import('./devices.js')).devices(asked);
  return asked.length > 0;
}

/** `devices` and `check`, which tell of models. */
function addModels(ioasid: Command): void {
  ioasid
    .command('devices')
    .description('the devices that there are, with what `--device` may say of each')
    .argument('[device...]', 'of these only: names, or modules of yours')
    .action(async (names: string[]) => {
      const { devices } = await import('./devices.js');
      await devices(names);
    });

  ioasid
    .command('check')
    .description(
      'a device model of yours, with random accesses, resets, closes and DMA faults: what it does wrong; ' +
        'exit status 1 when anything is',
    )
    .argument('<device>', 'as after `--device`: `./my-device.js`, with its options')
    .option('--seed <n>', 'of the random numbers, which make the same accesses again', seed)
    .option('--accesses <n>', 'random ones, after each of the first registers', count, 20_000)
    .action(async (spec: string, options: CheckArguments) => {
      const { check } = await import('./check.js');
      await check(spec, options);
    });
}

/** `ls`, `trace`, `stop`, `doctor` and `demo`, which tell of machines. */
function addReports(ioasid: Command): void {
  ioasid
    .command('ls')
    .description(
      'contexts, PASIDs, mappings, devices and who is authorized for what, of every server of this user',
    )
    .option('--json', 'as a JSON array')
    .option('-w, --watch', 'again every second, until Ctrl-C')
    .action(async (options: LsArguments) => {
      const { ls } = await import('./ls.js');
      await ls(options);
    });

  ioasid
    .command('doctor')
    .description(
      'what this machine can do, and what to do about what it cannot; exit status 0 when `run` can work',
    )
    .option('--json', 'as a JSON array')
    .action(async (options: { json?: boolean }) => {
      const { doctor } = await import('./doctor.js');
      process.exitCode = await doctor(options);
    });

  ioasid
    .command('demo')
    .description('the whole model with real processes: what they did, what was refused and why')
    .option('--in-process', 'without device files and processes, as where there is no FUSE')
    .action(async (options: { inProcess?: boolean }) => {
      const { demo } = await import('./demo.js');
      process.exitCode = await demo(options);
    });
}

/** `replay`, for a run that was recorded. */
function addReplay(ioasid: Command): void {
  ioasid
    .command('replay')
    .description(
      'a recorded run again, without its programs: exit status 1 and the first difference, if there is any',
    )
    .argument('<file>', 'the recording: of `run --record` or `serve --record`')
    .action(async (file: string) => {
      const { replay } = await import('./replay.js');
      process.exitCode = await replay(file);
    });
}

const serverOrRecording = 'a server by its pid, as `ls` names it, default the only one; or a recording';

/** `trace`, `inspect` and `stop`, for a server that runs; the first two for a recording too. */
function addServers(ioasid: Command): void {
  describesTrace(ioasid.command('trace'))
    .description(
      'what happens at a server that runs already: calls, DMA, faults; until it ends, or Ctrl-C; ' +
        'or what has happened in a run that was recorded',
    )
    .argument('[what]', serverOrRecording, tracedBy)
    .addOption(
      new Option('--perfetto <file>', 'a timeline that ui.perfetto.dev opens, in place of lines').conflicts([
        'json',
        'output',
      ]),
    )
    .action(async (traced: Traced = { pid: undefined }, options: TraceArguments) => {
      const { trace } = await import('./trace.js');
      await trace(traced, options);
    });

  ioasid
    .command('inspect')
    .description(
      'a page that shows a server that runs already, or a run that was recorded, in a browser; ' +
        'until the server ends, or Ctrl-C',
    )
    .argument('[what]', serverOrRecording, tracedBy)
    .option('--port <n>', 'where, on the loopback addresses; 0: a free one', port, 0)
    .action(async (traced: Traced = { pid: undefined }, options: InspectArguments) => {
      const { inspect } = await import('./inspect.js');
      await inspect(traced, options);
    });

  ioasid
    .command('stop')
    .description('end a server of this user, as Ctrl-C does, and wait until it has ended')
    .argument('[pid]', 'the server, as `ls` names it; default the only one', count)
    .option(
      '-k, --kill-after <seconds>',
      'so long it may take; then it is killed, with its command',
      count,
      10,
    )
    .action(async (pid: number | undefined, options: StopArguments) => {
      const { stop } = await import('./stop.js');
      await stop(pid, options);
    });
}

/** What is made of these definitions. */
function addTexts(ioasid: Command): void {
  ioasid
    .command('completion')
    .description('what a shell completes after `ioasid`: source <(ioasid completion bash)')
    .addArgument(new Argument('<shell>', 'which').choices(shells))
    .action(async (shell: Shell) => {
      const { completion } = await import('./completion.js');
      print(completion(ioasid, shell));
    });

  ioasid
    .command('man')
    .description('the manual page: ioasid man | man -l -')
    .action(async () => {
      const { manPage } = await import('./man-page.js');
      print(manPage(ioasid, version));
    });
}

/**
 * Does what the arguments of this process say. Commander's errors have been printed by Commander; all others
 * are one sentence here.
 */
export async function main(): Promise<void> {
  try {
    const ioasid = program();
    for (const command of [ioasid, ...ioasid.commands]) command.exitOverride();
    await ioasid.parseAsync();
  } catch (error) {
    const told = error instanceof CommanderError;
    if (!told) complainOf(error as Error);
    process.exitCode = told && error.exitCode === 0 ? 0 : OUR_FAULT;
  }
}
