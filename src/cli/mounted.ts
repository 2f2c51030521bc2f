/** What is mounted on the folder of a `serve`, asked without waiting for a server that may be dead. */
import { readdirSync, readFileSync } from 'node:fs';

/**
 * Is one of our file systems mounted on `folder`? Asks the kernel's list, not the file system, which may have
 * no server any more.
 */
export function isMounted(folder: string): boolean {
  const escaped = folder.replaceAll(
    /[\\\t\n ]/g,
    (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`,
  );
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .some((line) => line.split(' ')[4] === escaped && / - fuse\S* ioasid\S* /.test(line));
}

/** Has the file system that is mounted on `folder` a server? */
export function isAlive(folder: string): boolean {
  try {
    readdirSync(folder);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOTCONN';
  }
}
