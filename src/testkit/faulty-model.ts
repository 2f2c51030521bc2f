/**
 * Programs on devices whose model does what none may (tests/models/faulty.js), with real processes: a Node
 * script that opens devices by number, and says what becomes of each access.
 */
import { fileURLToPath } from 'node:url';
import { ioasid, type Result } from './processes.js';

/** The module of a device in tests/models. */
export function modelOfTests(name: string): string {
  return fileURLToPath(new URL(`../../tests/models/${name}.js`, import.meta.url));
}

export const faulty = modelOfTests('faulty');
/** Two of the faulty ones, and one that knows nothing of them. */
export const devices = ['-d', faulty, '-d', faulty, '-d', 'edu'];

/** `open` turns memory space and bus mastering on. */
const prelude = `
  const fs = require('node:fs');
  const open = (n) => {
    const fd = fs.openSync(\`\${process.argv[1]}/vfio/devices/vfio\${n}\`, 'r+');
    fs.writeSync(fd, Uint8Array.of(6, 0), 0, 2, 7 * 2 ** 40 + 4);
    return fd;
  };
  const say = (what, call) => {
    try { console.log(what, call()); } catch (error) { console.log(what, error.code); }
  };
  const write = (fd, what) => say('write', () => fs.writeSync(fd, Uint8Array.of(what, 0, 0, 0), 0, 4, 0));
  const read = (fd) => say('read', () => {
    const bytes = Buffer.alloc(4);
    fs.readSync(fd, bytes, 0, 4, 0);
    return bytes.toString('hex');
  });
  const later = (then) => setTimeout(then, 100);
`;

/** The command that does `script` on the device files below `dev`. */
export function client(script: string, dev = '/dev'): string[] {
  return [process.execPath, '-e', prelude + script, dev];
}

/** Runs `script` below an `ioasid run`, to its end. */
export function runClient(script: string, device: readonly string[] = devices): Result {
  return ioasid(['run', ...device, '--', ...client(script)]);
}
