/**
 * `--memlock`: tests/c/memlock asks for the borders of RLIMIT_MEMLOCK. What Linux 7.3 answered to the same
 * program is in tests/c/memlock.txt: of iommufd in User-Mode Linux, with a mock device (`npm run test:oracle`
 * builds it), and of type1 in the guest of `npm run test:vfio-oracle`, with QEMU's edu.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { missingCompiler, testProgram } from '../../testkit/c-program.js';
import { ioasid, runner } from '../../testkit/processes.js';

const answers = fileURLToPath(new URL('../../../tests/c/memlock.txt', import.meta.url));
const ofLinux = readFileSync(answers, 'utf8').trimEnd().split('\n');
const [iommufd, type1] = ['iommufd', 'type1'].map((what) =>
  ofLinux.filter((line) => line.startsWith(what)),
) as [string[], string[]];

/** By reading: pinned_vm alone counts, and CAP_IPC_LOCK does not; a message that fails is EFAULT. */
const ofVdpa = [
  ...['8 pages of 8: ok', 'one of them again: EFAULT', 'unmapped: ok', '9 pages of 8: EFAULT', '4 pages: ok'],
  ...['the same 4: ok', 'one of them: EFAULT', '4 unmapped: ok', 'one of them: ok', 'unmapped: ok'],
  ...['unmapped: ok', '7 pages beside 2 of mlock: ok', '6 pages beside 2 of mlock: ok'],
  ...['one more, and the limit is lower: EFAULT', 'one more of 7: ok', 'unmapped: ok', 'unmapped: ok'],
  ...['16 pages with CAP_IPC_LOCK: EFAULT', 'one without: ok', '8 pages of 7: EFAULT', '7 pages: ok'],
  'unmapped: ok',
].map((line) => `vhost-vdpa: ${line}`);

/** A plain user has no CAP_IPC_LOCK that he could show. */
const comparable = (lines: readonly string[]) =>
  runner.uid === 0
    ? lines
    : lines.filter((line) => !/: (16 pages with CAP_IPC_LOCK|one without): /.test(line));

const devices = ['--iommu-test', '--device', 'edu', '--device', 'virtio-net'];

function said(options: readonly string[], script: string): readonly string[] {
  const program = testProgram('memlock');
  const { status, stdout, stderr } = ioasid(
    ['run', ...options, ...devices, '--', 'sh', '-c', script, 'sh', program],
    runner,
  );
  assert.deepEqual([status, stderr], [0, '']);
  return comparable(stdout.trimEnd().split('\n'));
}

describe(`memory that is locked for devices as ${runner.name}`, {
  skip: runner.skip || missingCompiler(),
}, () => {
  for (const option of ['--memlock', '--strict']) {
    it(`is counted as Linux counts it, with ${option}: iommufd, once more, and type1`, () => {
      const script = '"$1" mock && "$1" mock && "$1" /dev/vfio/1';
      assert.deepEqual(said([option], script), comparable([...iommufd, ...iommufd, ...type1]));
    });
  }

  it('is counted for a device as for a mock one', () => {
    assert.deepEqual(said(['--memlock'], '"$1" /dev/vfio/devices/vfio0'), comparable(iommufd));
  });

  it('is counted for vhost-vdpa, whatever the capabilities', () => {
    assert.deepEqual(said(['--memlock'], '"$1" /dev/vhost-vdpa-0'), comparable(ofVdpa));
  });

  it('is not counted without the option', () => {
    const refused = said([], '"$1" mock && "$1" /dev/vfio/1').filter((line) => line.endsWith('ENOMEM'));
    assert.deepEqual(refused, []);
  });

  it('has a limit whose refusal says what there is, what is wanted, and what to do', () => {
    const command = ['run', '--memlock', '-v', ...devices, '--', testProgram('memlock'), '/dev/vfio/1'];
    const { stderr } = ioasid(command, runner);
    assert.match(stderr, /process \d+ has 32 KiB locked, and 4 KiB more are above the limit of 32 KiB /);
    assert.match(stderr, /\(RLIMIT_MEMLOCK, `ulimit -l`, which is to be raised\)/);
  });
});
