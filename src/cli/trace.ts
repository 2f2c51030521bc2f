/**
 * `ioasid trace`: what happens at a server that runs already, until it ends, or Ctrl-C; and what has happened
 * in a run that was recorded.
 *
 * What a server says is not trusted: it may be another user's, have any shape, and control the terminal.
 */
import type { Socket } from 'node:net';
import type { TraceEvent } from '../trace/event.js';
import type { DevicesOf } from '../trace/filter.js';
import { escaped } from '../trace/lines.js';
import { eventsOf, requestersIn } from '../trace/raw.js';
import { recordedIn } from '../trace/recording/recording.js';
import { attachTrace, serverMeant } from './control-socket.js';
import { LineOutput, openLines } from './line-output.js';
import type { TraceGreeting } from './lookers.js';
import { TimelinePrinter } from './timeline-printer.js';
import type { TraceArguments } from './trace-arguments.js';
import { filterOf, TracePrinter, wantsColours } from './trace-printer.js';

const STDOUT = 1;
/** Characters that a line may have. */
const LONGEST = 1 << 24;

/** What is traced: a server, by its process id, the only one, or a recording. */
export type Traced = { readonly pid: number | undefined } | { readonly file: string };

/**
 * Prints the trace of `traced`. @throws Error one sentence: which server is unclear, an option is not
 * understood, a file cannot be written, or a recording is not good to its end.
 */
export async function trace(traced: Traced, options: TraceArguments): Promise<void> {
  if ('file' in traced) traceFile(traced.file, options);
  else await traceServer(traced.pid, options);
}

type Printer = TracePrinter | TimelinePrinter;

/** What prints as the options say, and where to. */
function printing(options: TraceArguments): { readonly output: LineOutput; readonly printer: Printer } {
  filterOf(options);
  const { perfetto } = options;
  const output = new LineOutput(openLines(perfetto ?? options.output, wantsColours, STDOUT));
  const printer = new (perfetto === undefined ? TracePrinter : TimelinePrinter)(output, options);
  return { output, printer };
}

function traceFile(file: string, options: TraceArguments): void {
  const { output, printer } = printing(options);
  let devicesOf: DevicesOf = () => [];
  try {
    for (const all of recordedIn(file)) {
      devicesOf = requestersIn(all) ?? devicesOf;
      printer.print(eventsOf(all), devicesOf);
      if (output.failed) break;
    }
  } finally {
    printer.end();
    output.close();
  }
}

async function traceServer(pid: number | undefined, options: TraceArguments): Promise<void> {
  const { output, printer } = printing(options);
  const name = serverMeant(pid);
  const socket = await attachTrace(name);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => socket.destroy());
  try {
    await printAll(socket, printer, output);
  } finally {
    printer.end();
    output.close();
  }
}

/** Prints what comes, until nothing does any more. @throws Error one sentence: it was not the server's. */
function printAll(socket: Socket, printer: Printer, output: LineOutput): Promise<void> {
  let [rest, devicesOf, wrong] = ['', undefined as DevicesOf | undefined, undefined as string | undefined];
  const print = (lines: readonly string[]) => {
    const said = lines.map(parsed);
    if (said.length > 0) devicesOf ??= greeted(said.shift() as TraceGreeting);
    if (devicesOf !== undefined) printer.print(said as TraceEvent[], devicesOf);
  };
  socket.setEncoding('utf8').on('data', (part: string) => {
    const lines = (rest + part).split('\n');
    rest = lines.pop()!;
    try {
      if (rest.length > LONGEST) throw new RangeError('a line without end');
      print(lines);
    } catch {
      wrong = 'the server does not speak as this version of ioasid does';
      socket.destroy();
    }
    if (output.failed) socket.destroy();
  });
  socket.on('error', () => undefined);
  return new Promise((resolve, reject) => {
    socket.on('close', () => {
      if (devicesOf === undefined) wrong ??= 'the server has ended, or lets nobody more of this user look';
      if (wrong === undefined) resolve();
      else reject(new Error(wrong));
    });
  });
}

function greeted({ devices }: TraceGreeting): DevicesOf {
  const all = devices.map(({ name, rid }) => ({ name, rid }));
  return (rid) => all.filter((device) => device.rid === rid).map(({ name }) => name);
}

/** Nothing in it moves a cursor: no text, and no name of a field. */
function parsed(line: string): unknown {
  return JSON.parse(line, (_key, value: unknown) => {
    if (typeof value === 'string') return escaped(value);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [escaped(name), each]));
  });
}
