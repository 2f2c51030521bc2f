/**
 * `ioasid trace`: what happens at a server that runs already, until it ends, or Ctrl-C; and what has happened
 * in a run that was recorded.
 *
 * What a server says is not trusted: it may be another user's, have any shape, and control the terminal.
 */
import type { Socket } from 'node:net';
import { Refusal } from '../linux/errno.js';
import { escaped } from '../trace/lines.js';
import { checkHeader, HEADER_BYTES } from '../trace/recording/chunks.js';
import { Messages } from '../trace/recording/message.js';
import { ofFile, recordsIn } from '../trace/recording/recording.js';
import { attachTrace, serverMeant } from './control-socket.js';
import { OUR_FAULT } from './launch-plan.js';
import { LineOutput, openLines } from './line-output.js';
import { type EventPrinter, PrintedRecords } from './printed-records.js';
import { TimelinePrinter } from './timeline-printer.js';
import type { TraceArguments } from './trace-arguments.js';
import { filterOf, TracePrinter, wantsColours } from './trace-printer.js';

const STDOUT = 1;
/** Bytes that a message of a server may have. */
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

/** What prints as the options say, and where to. */
function printing(options: TraceArguments): { readonly output: LineOutput; readonly printer: EventPrinter } {
  filterOf(options);
  const { perfetto } = options;
  const output = new LineOutput(openLines(perfetto ?? options.output, wantsColours, STDOUT));
  const printer = new (perfetto === undefined ? TracePrinter : TimelinePrinter)(output, options);
  return { output, printer };
}

function traceFile(file: string, options: TraceArguments): void {
  const { output, printer } = printing(options);
  const lines = new PrintedRecords([printer], escaped);
  try {
    for (const records of recordsIn(file)) {
      print(lines, records, file);
      if (output.failed) break;
    }
  } finally {
    lines.end();
    end(output);
  }
}

/** Closes it, and says by the exit status that what is there is not all. */
function end(output: LineOutput): void {
  output.close();
  if (output.incomplete) process.exitCode = OUR_FAULT;
}

function print(lines: PrintedRecords, records: Uint8Array, file: string): void {
  try {
    lines.add(records);
  } catch (error) {
    throw ofFile(file, error);
  }
  lines.flush();
}

async function traceServer(pid: number | undefined, options: TraceArguments): Promise<void> {
  const { output, printer } = printing(options);
  const name = serverMeant(pid);
  const socket = await attachTrace(name);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => socket.destroy());
  const lines = new PrintedRecords([printer], escaped);
  try {
    await printAll(socket, lines, output);
  } finally {
    lines.end();
    end(output);
  }
}

/** Prints what comes, until nothing does any more. @throws Error one sentence: it was not the server's. */
function printAll(socket: Socket, lines: PrintedRecords, output: LineOutput): Promise<void> {
  const [heard, messages] = [new Heard(), new Messages(LONGEST)];
  let wrong: string | undefined;
  socket.on('data', (part: Buffer) => {
    try {
      for (const records of messages.add(heard.afterHeader(part))) lines.add(records);
      lines.flush();
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      wrong = 'the server does not speak as this version of ioasid does';
      socket.destroy();
    }
    if (output.failed) socket.destroy();
  });
  socket.on('error', () => undefined);
  return new Promise((resolve, reject) => {
    socket.on('close', () => {
      if (!lines.begun) wrong ??= 'the server has ended, or lets nobody more of this user look';
      if (wrong === undefined) resolve();
      else reject(new Error(wrong));
    });
  });
}

/** The header of what a server says, which may come in parts. */
class Heard {
  #header: Buffer | undefined = Buffer.alloc(0);

  /** What of `part` is behind the header. @throws Refusal EINVAL, EOPNOTSUPP it is none of this version. */
  afterHeader(part: Buffer): Uint8Array {
    if (this.#header === undefined) return part;
    const all = Buffer.concat([this.#header, part]);
    this.#header = all;
    if (all.length < HEADER_BYTES) return new Uint8Array(0);
    checkHeader((at, length) => all.subarray(at, at + length));
    this.#header = undefined;
    return all.subarray(HEADER_BYTES);
  }
}
