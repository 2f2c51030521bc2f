/** The loop of a real server sets the alarm of its devices' timers. What it is set to: ../alarm.test.ts. */
import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, it } from 'node:test';
import { modelOfTests } from '../../testkit/faulty-model.js';
import { Running, self, until, withoutFuse } from '../../testkit/processes.js';
import { launchMode } from '../launcher-process.js';

const directory = mkdtempSync(join(tmpdir(), 'ioasid-time-'));
after(() => rmSync(directory, { recursive: true }));
/** poll(2) on x86-64, as /proc/PID/syscall has it. */
const POLL = '7';
const skip = process.arch === 'x64' ? withoutMount() : 'only x86-64 has poll(2) as a system call';

function withoutMount(): string | false {
  return withoutFuse || (launchMode() === 'root' ? false : 'mounting for all needs root here');
}

/**
 * Waits until the thread sleeps in poll(2) for as many milliseconds as are `wanted`, as it has said; -1: for
 * ever. @throws Error it never does: `what`, and in which calls it was instead.
 */
async function sleeps(pid: number, wanted: (ms: number) => boolean, what: string): Promise<void> {
  const seen = new Map<string, number>();
  const isSeen = () => {
    const [number, , , timeout] = readFileSync(`/proc/${pid}/syscall`, 'latin1').trim().split(' ');
    const call = `${number} ${number === POLL ? Number(timeout) | 0 : ''}`;
    seen.set(call, (seen.get(call) ?? 0) + 1);
    return number === POLL && wanted(Number(timeout) | 0);
  };
  await until(isSeen, what).catch((cause) => {
    throw new Error(`${what}: its thread was in ${JSON.stringify([...seen])}`, { cause });
  });
}

it('a server without timers sleeps for ever, and with one no longer than until then', { skip }, async () => {
  const [folder, file] = [join(directory, 'dev'), join(directory, 'came')];
  // Under `run` the launcher would wake it, and where others see it, whoever asks all servers.
  const device = `${modelOfTests('timer')},file=${file}`;
  const alone = { ...self, prefix: ['unshare', '--net'] };
  const server = Running.ioasid(['serve', '--device', device, '--time', 'scale=1000', folder], alone);
  await server.says(`${folder}/vfio/devices/vfio0`);
  await sleeps(server.pid, (ms) => ms === -1, 'the sleep of a server without timers');
  const fd = openSync(`${folder}/vfio/devices/vfio0`, 'r+');
  // Memory space, then 200 ms, which are 200 seconds.
  writeSync(fd, Uint8Array.of(2, 0), 0, 2, 7 * 2 ** 40 + 4);
  writeSync(fd, Uint8Array.of(200), 0, 1, 0);
  await sleeps(server.pid, (ms) => ms > 10_000 && ms <= 200_000, 'a sleep until the timer');
  closeSync(fd);
  server.kill('SIGINT');
  assert.deepEqual(await server.ended, { status: 0, signal: null });
});
