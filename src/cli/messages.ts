/**
 * What went wrong, said to people. By a plain write: opening Node's own streams would change the terminal and
 * the pipes that the user's command shares with this process.
 */
import { writeSync } from 'node:fs';

/** One sentence about what went wrong, to standard error, as far as its reader takes it. */
export function complain(sentence: string): void {
  try {
    writeSync(2, `ioasid: ${sentence}\n`);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EPIPE' && code !== 'EAGAIN' && code !== 'EIO' && code !== 'EBADF') throw error;
  }
}
