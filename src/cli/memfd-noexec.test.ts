/** Where no memfd may be executed (vm.memfd_noexec): a pid namespace may have that for itself alone. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { bin, withoutFuse } from '../testkit/processes.js';

/** A command in a pid namespace whose memfds cannot be executed. */
const strict = [
  '--pid',
  '--fork',
  '--mount-proc',
  'sh',
  '-c',
  'echo 2 >/proc/sys/vm/memfd_noexec && exec "$@"',
];
const inside = (args: readonly string[], env: NodeJS.ProcessEnv = process.env) =>
  spawnSync('unshare', [...strict, 'sh', ...args], { encoding: 'utf8', env });
const skip =
  withoutFuse || (inside(['true']).status === 0 ? false : 'needs root, and a kernel with vm.memfd_noexec');

test('a command is started from a file without a name where no memfd may be executed', { skip }, () => {
  const { status, stdout, stderr } = inside([process.execPath, bin, 'run', '--', 'ls', '/dev/ioasid']);
  assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: '/dev/ioasid\n', stderr: '' });
});

test('where there is no place for that either, run says so', { skip }, () => {
  const env = { ...process.env, TMPDIR: '/proc' };
  const { status, stderr } = inside([process.execPath, bin, 'run', '--', 'true'], env);
  assert.equal(status, 125);
  assert.match(
    stderr,
    /no memfd may be executed here \(vm\.memfd_noexec\), and no file can be made in \/proc/,
  );
});
