import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { bin, Running, until, withoutFuse } from '../testkit/processes.js';

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

/** Modules of Node's for sockets, and those that have them loaded. */
const forSockets = ['net', 'stream', 'child_process', 'cluster', 'dgram', 'tty'];

it('an idle server of `ioasid serve` has none of the modules of Node for sockets and processes', {
  skip: withoutFuse,
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'ioasid-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const [hook, output] = [join(folder, 'hook.cjs'), join(folder, 'modules')];
  writeFileSync(
    hook,
    `const { renameSync, writeFileSync } = require('node:fs');
    process.once('SIGUSR2', () => {
      writeFileSync('${output}.new', process.moduleLoadList.join());
      renameSync('${output}.new', '${output}');
    });`,
  );
  const serve = `${bin} serve --ready-fd 2 ${folder}/dev >${folder}/list`;
  const server = new Running(['sh', '-c', `exec ${process.execPath} --require ${hook} ${serve}`]);
  await server.says('\n');
  server.kill('SIGUSR2');
  await until(() => existsSync(output), 'the list of modules');
  server.kill('SIGTERM');
  await server.ended;
  const names = readFileSync(output, 'utf8').split(',');
  assert.ok(names.includes('NativeModule fs'), 'these are the modules');
  assert.deepEqual(
    forSockets.filter((name) => names.includes(`NativeModule ${name}`)),
    [],
  );
});
