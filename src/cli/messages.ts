/**
 * What went wrong, said to people. By a plain write: opening Node's own streams would change the terminal and
 * the pipes that the user's command shares with this process.
 */
import { writeSync } from 'node:fs';
import { Writable } from 'node:stream';
import { framesOf } from '../devices/thrown.js';
import { inWords, Refusal } from '../linux/errno.js';
import { CannotReplay } from '../replay/cannot-replay.js';
import { OUR_FAULT } from './launch-plan.js';

/** One sentence about what went wrong, to standard error, as far as its reader takes it. */
export function complain(sentence: string): void {
  write(`ioasid: ${sentence}\n`);
}

/**
/**
 * What `error` says, an errno being for programs; beneath it, where it comes of a mistake in code, its place:
 * of a model, the cause of a Refusal, the frames of the model's own; of ours the stack.
 */
export function complainOf(error: Error): void {
  complain(error instanceof Refusal ? error.reason : error.message);
  const { cause } = error;
  const meant = error instanceof Refusal || error instanceof CannotReplay || error.constructor === Error;
  const stack = cause instanceof Error ? framesOf(String(cause.stack)) : meant ? '' : error.stack;
  if (stack) write(`${stack}\n`);
}

/**
 * Standard output, for what was asked for. Who stops reading, as `head` does, ends this process; what cannot
 * be written for another reason has failed.
 */
export function standardOutput(): typeof process.stdout {
  const { stdout } = process;
  if (stdout.listenerCount('error') === 0)
    stdout.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit();
      complain(`standard output takes no more: ${inWords(error)}`);
      process.exit(OUR_FAULT);
    });
  return stdout;
}

export function print(text: string): void {
  standardOutput().write(text);
}

/** A line for another program, to standard error. */
export function sayLine(line: string): void {
  write(`${line}\n`);
}

/**
 * Node's own stream for standard error would make a pipe nonblocking that the command shares, and Node makes
 * it whenever any socket is closed. From now on it is one that does not.
 */
export function keepErrorsBlocking(): void {
  const stream = new Writable({
    write: (part: Uint8Array, _encoding, done) => {
      write(part);
      done();
    },
  });
  Object.defineProperty(process, 'stderr', { value: stream, configurable: true });
}

function write(text: string | Uint8Array): void {
  try {
    if (typeof text === 'string') writeSync(2, text);
    else writeSync(2, text);
  } catch {
    // Its reader has gone, or its disk is full: there is nobody else to tell.
  }
}
