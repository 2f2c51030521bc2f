/**
 * LineOutput: where lines are written to, standard error or a file of the user's, as far as it takes them.
 *
 * What is written there says what programs do, so a file is for its owner alone (0600), and no link leads
 * elsewhere. What was there before is replaced, but not before there is something to write: a command that is
 * refused leaves it alone.
 */
import { closeSync, constants, fchmodSync, fstatSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { inWords, refuse } from '../linux/errno.js';
import { complain } from './messages.js';

const { O_WRONLY, O_CREAT, O_NOFOLLOW, O_NOCTTY, O_NONBLOCK, O_APPEND } = constants;
const OWN = 0o600;
const STDERR = 2;
/** Text that is kept until it is written. */
const MOST_KEPT = 1 << 16;
/** Until a descriptor that takes nothing now, and says so, is asked again. */
const AGAIN_MS = 10;

/** Where lines are written to: a descriptor, and the file that it is, when that is the user's. */
export interface LineTarget {
  readonly fd: number;
  readonly file: string | undefined;
  /** Does it want colours? */
  readonly colours: boolean;
}

/** Opens `file`, or takes the descriptor `otherwise`. @throws Refusal one sentence: it cannot be opened. */
export function openLines(
  file: string | undefined,
  wantsColours: (fd: number) => boolean,
  otherwise = STDERR,
): LineTarget {
  const fd = file === undefined ? otherwise : openOwn(file);
  return { fd, file, colours: wantsColours(fd) };
}

/** Takes lines. */
export interface Lines {
  /** Does it want colours? */
  readonly colours: boolean;
  /** Does it keep all that it can keep for who takes lines slowly? No more is to be written now. */
  readonly full: boolean;
  write(line: string): void;
  /** Hands on what was written. */
  flush(): void;
}

/** Waits for who takes lines. */
export class LineOutput implements Lines {
  readonly #target: LineTarget;
  #text = '';
  #failed = false;
  #incomplete = false;

  /** The target is its own from now on: it closes a file. */
  constructor(target: LineTarget) {
    this.#target = target;
    if (target.file !== undefined) empty(target.fd);
  }

  get colours(): boolean {
    return this.#target.colours;
  }

  get full(): boolean {
    return false;
  }

  write(line: string): void {
    this.#text += `${line}\n`;
    if (this.#text.length >= MOST_KEPT) this.flush();
  }

  /** Does nobody take what is written any more? */
  get failed(): boolean {
    return this.#failed;
  }

  /** Has it failed, and not because its reader has what he wanted? */
  get incomplete(): boolean {
    return this.#incomplete;
  }

  /** A reader that has gone is no reason to end what is traced. */
  flush(): void {
    const bytes = Buffer.from(this.#text);
    this.#text = '';
    for (let done = 0; done < bytes.length && !this.#failed; ) {
      try {
        done += writeSync(this.#target.fd, bytes, done);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EAGAIN') pause(AGAIN_MS);
        else this.#fail(error as NodeJS.ErrnoException);
      }
    }
  }

  close(): void {
    this.flush();
    if (this.#target.file !== undefined) closeSync(this.#target.fd);
  }

  #fail(error: NodeJS.ErrnoException): void {
    this.#failed = true;
    const { fd, file } = this.#target;
    this.#incomplete = file !== undefined || (fd !== STDERR && error.code !== 'EPIPE');
    const name = file === undefined ? 'standard output' : `"${file}"`;
    if (this.#incomplete) complain(`nothing more is written to ${name}: ${inWords(error)}`);
  }
}

/** The descriptor of whoever started us may be one that does not wait. */
function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** Drops what was in the file, if it is one. */
export function empty(fd: number): void {
  if (fstatSync(fd).isFile()) ftruncateSync(fd);
}

/** What an errno says of a file that is opened like that. */
const meant: Readonly<Record<string, string>> = {
  ELOOP: 'it is a symbolic link, which is not followed',
  ENXIO: 'nobody reads it',
};

/** Opens a file for its owner alone; `empty` drops what it has. @throws Refusal EACCES, ELOOP, EEXIST. */
export function openOwn(file: string): number {
  let fd: number;
  try {
    fd = openSync(file, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NOCTTY | O_APPEND | O_NONBLOCK, OWN);
  } catch (error) {
    const why = meant[(error as NodeJS.ErrnoException).code ?? ''] ?? inWords(error);
    return refuse('EACCES', `"${file}" cannot be written: ${why}`);
  }
  const { nlink, uid } = fstatSync(fd);
  if (fstatSync(fd).isFile()) {
    if (nlink > 1 || uid !== process.geteuid?.()) {
      closeSync(fd);
      const why = nlink > 1 ? 'it has other names (hard links)' : `it belongs to user ${uid}`;
      refuse('EACCES', `"${file}" is not written: ${why}`);
    }
    fchmodSync(fd, OWN);
  }
  return fd;
}
