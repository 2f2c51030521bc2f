import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { bin, withoutFuse } from '../testkit/processes.js';

/** What is loaded at a first call, or when it is asked for (scripts/bundle.js). */
const later = [
  ...['files', 'vdpa', 'idxd', 'tested', 'looks', 'telling', 'config', 'inspect'],
  ...['edu', 'nvme', 'blk', 'net'],
];

/** Which of that a server has loaded when the command of `ioasid run` has ended. */
function loaded(options: readonly string[], command: string): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'ioasid-'));
  try {
    const [hook, output] = [join(folder, 'hook.cjs'), join(folder, 'parts')];
    const parts = JSON.stringify(join(bin, '../../lib/parts/load.cjs'));
    const tell = `require('node:fs').writeFileSync(${JSON.stringify(output)}, [...scripts.keys()].join())`;
    // The command's end is the first that the server hears of a child.
    writeFileSync(hook, `const { scripts } = require(${parts});\nprocess.once('SIGCHLD', () => ${tell});\n`);
    execFileSync(process.execPath, ['--require', hook, bin, 'run', ...options, '--', 'sh', '-c', command]);
    const names = readFileSync(output, 'utf8').split(',');
    assert.ok(names.includes('run'), 'these are the parts');
    return later.filter((name) => names.includes(name));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe('the code of a server', { skip: withoutFuse }, () => {
  it('that serves files of which none is open is neither that of the files nor of other devices', () => {
    assert.deepEqual(loaded([], 'true'), []);
  });

  it('is loaded when a program opens a file', () => {
    for (const path of ['ioasid', 'iommu', 'vfio/vfio', 'vfio/1', 'vfio/devices/vfio0'])
      assert.deepEqual(loaded([], `: </dev/${path}`), ['files'], path);
    assert.deepEqual(loaded(['--iommu-test'], ': </dev/iommu'), ['files', 'tested']);
  });

  it('is loaded when a device is made', () => {
    assert.deepEqual(loaded(['--device', 'virtio-net'], 'true'), ['vdpa', 'net']);
    assert.deepEqual(loaded(['--device', 'dsa,idxd=1'], 'true'), ['idxd']);
    assert.deepEqual(loaded(['--device', 'edu'], 'true'), ['edu']);
  });

  it('is loaded when an option asks for what it does', () => {
    assert.deepEqual(loaded(['--device', 'edu', '--log', '/dev/null'], 'true'), ['looks', 'telling', 'edu']);
    assert.deepEqual(loaded(['--device', 'edu', '--inspect'], 'true'), ['looks', 'inspect', 'edu']);
  });
});
