/**
 * A preadv or pwritev on a device file is one transfer for each buffer, as on a character device, although
 * FUSE asks for all at once. The program is this runtime's own; the device is testkit/register-file.ts.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ioasid, runner } from '../../testkit/processes.js';

const device = fileURLToPath(new URL('../../testkit/register-file.js', import.meta.url));

/** Prints which accesses of BAR 0 `calls` have made, as the device's BAR 2 tells them. */
const program = (calls: string) => `
  const fs = require('fs');
  const file = fs.openSync('/dev/vfio/devices/vfio0', 'r+');
  const [BAR2, CONFIG] = [2 * 2 ** 40, 7 * 2 ** 40];
  const of = (...lengths) => lengths.map((length) => new Uint8Array(length));
  fs.writeSync(file, Uint8Array.of(6), 0, 1, CONFIG + 4);
  fs.writeSync(file, of(4)[0], 0, 4, BAR2);
  ${calls}
  const log = new Uint32Array(64);
  fs.readSync(file, log, 0, 256, BAR2);
  const each = Array.from({ length: log[0] }, (_, n) => log.slice(2 + 2 * n, 4 + 2 * n));
  const shown = ([at, how]) => (how >>> 31 ? 'w' : 'r') + (how & 0xffff) + '@' + at.toString(16);
  console.log(each.map(shown).join(' '));
`;

function accesses(calls: string): string {
  const command = ['run', '--device', device, '--', process.execPath, '-e', program(calls)];
  const { status, stdout, stderr } = ioasid(command, runner);
  assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
  return stdout.trim();
}

describe(`transfers in parts as ${runner.name}`, { skip: runner.skip }, () => {
  it('are an access for each buffer that is one register, whatever they are together', () => {
    const calls = `
      fs.readvSync(file, of(4, 4), 0);
      fs.readSync(file, of(8)[0], 0, 8, 0);
      fs.writevSync(file, of(4, 8, 4), 0x10);
      fs.readvSync(file, of(2, 0, 6), 0x20);`;
    assert.equal(accesses(calls), 'r4@0 r4@4 r8@0 w4@10 w4@14 w4@18 w4@1c r2@20 r2@22 r4@24');
  });

  it('end with the part that does not fit', () => {
    const calls = `
      if (fs.readvSync(file, of(4, 8, 4), 0x3ff8) !== 8) throw new Error('read');
      if (fs.readvSync(file, of(4, 4), CONFIG + 4092) !== 4) throw new Error('configuration');`;
    assert.equal(accesses(calls), 'r4@3ff8 r4@3ffc');
  });

  it('to a portal are one', () => {
    assert.equal(accesses('fs.writevSync(file, of(32, 32), 0x3000);'), 'w64@3000');
  });
});
