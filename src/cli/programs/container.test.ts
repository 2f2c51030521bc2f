/**
 * Programs that reach their device through container, group and /sys, and what they find in /sys: real ones,
 * under `ioasid run`.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { missingCompiler, testProgram } from '../../testkit/c-program.js';
import { bin, ioasid, runner, shell } from '../../testkit/processes.js';

const folders = '/sys/kernel/iommu_groups /sys/bus/pci/devices /sys/module';

/** How the program is linked, and what its container is. */
const programs = [
  ['dynamic', 'type1'],
  ['static', 'type1'],
  ['dynamic', 'iommufd'],
] as const;

describe(`container and group as ${runner.name}`, { skip: runner.skip || missingCompiler() }, () => {
  for (const [name, type] of Object.entries({ type1: '1', type1v2: '3' })) {
    for (const [linkage, kind] of programs) {
      it(`a ${linkage} program has memory copied in a container of kind ${kind} (${name})`, () => {
        const compat = kind === 'iommufd' ? [kind] : [];
        const command = [testProgram('container', { linkage }), type, ...compat];
        const devices = ['--device', 'dsa', '--device', 'edu'];
        const { status, stdout, stderr } = ioasid(
          ['run', ...devices, '--container', kind, '--', ...command],
          runner,
        );
        assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: 'ok\n', stderr: '' });
      });
    }
  }
});

const skip = runner.skip || missingCompiler() || (process.arch === 'x64' ? false : `not on ${process.arch}`);

describe(`mapped BARs in containers as ${runner.name}`, { skip }, () => {
  const ringing = fileURLToPath(new URL('../../testkit/ringing-device.js', import.meta.url));
  const devices = ['--device', 'edu,bdf=0000:3b:00.0', '--device', `${ringing},bdf=0000:3b:01.0`];
  for (const [kind, rule] of [
    ['type1', 'type1 takes one for DMA: of its memory, of its registers, and of those of the same device'],
    ['iommufd', 'an iommufd refuses the address of each of its pages'],
    ['dma-buf', 'an IOAS takes a file of its ranges, and loses it when the device stops to decode'],
  ] as const) {
    it(rule, () => {
      const container = kind === 'iommufd' ? kind : 'type1';
      const command = ['run', ...devices, '--container', container, '--', testProgram('peer'), kind];
      const { status, stdout, stderr } = ioasid(command, runner);
      assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: 'ok\n', stderr: '' });
    });
  }
});

describe(`/sys as ${runner.name}`, { skip: runner.skip }, () => {
  const inside = (script: string) =>
    ioasid(['run', '--device', 'edu', '--device', 'edu,bdf=0000:3b:00.1', '--', 'sh', '-c', script], runner)
      .stdout;

  it('has what was there before, and our functions', () => {
    const devices = (path: string) => (existsSync(path) ? readdirSync(path) : []);
    const before = shell('cd /sys/bus/pci/devices && for f in 0000:0*; do cat $f/vendor; done').stdout;
    const listed = inside('ls /sys/bus/pci/devices').trim().split('\n').sort();
    assert.deepEqual(
      listed,
      [...new Set([...devices('/sys/bus/pci/devices'), '0000:6a:01.0', '0000:3b:00.1'])].sort(),
    );
    assert.equal(inside('cd /sys/bus/pci/devices && for f in 0000:0*; do cat $f/vendor; done'), before);
  });

  it('leads from function to group and back', () => {
    const script =
      'for f in 0000:6a:01.0 0000:3b:00.1; do ' +
      'cd -P /sys/bus/pci/devices/$f/iommu_group/devices/$f && pwd; readlink -f ../../../kernel; done';
    assert.match(
      inside(script),
      /^\/sys\/devices\/pci0000:6a\/0000:6a:01\.0\n.*\n\/sys\/devices\/pci0000:3b\/0000:3b:00\.1\n/,
    );
    assert.equal(inside('ls /sys/kernel/iommu_groups/*/devices | grep :3b:'), '0000:3b:00.1\n');
    assert.equal(inside('basename $(readlink /sys/bus/pci/devices/0000:3b:00.1/driver)'), 'vfio-pci\n');
  });

  it('says of a function what its configuration space says', () => {
    const files = 'class vendor device subsystem_vendor subsystem_device revision';
    const rest = 'ls vfio-dev && head -n 1 resource && od -An -tx1 -N4 config';
    const script = `cd /sys/bus/pci/devices/0000:6a:01.0 && cat ${files} && ${rest}`;
    assert.equal(
      inside(script),
      '0x00ff00\n0x1234\n0x11e8\n0x1af4\n0x1100\n0x10\nvfio0\n' +
        '0x0000000080000000 0x00000000800fffff 0x0000000000040200\n 34 12 e8 11\n',
    );
  });

  it('has the modules of VFIO, beside those that there are', () => {
    const modules = 'vfio vfio_iommu_type1 vfio_pci';
    const old = shell('cd /sys/module && ls -d * | grep -v vfio').stdout;
    assert.equal(inside(`cd /sys/module && ls -d ${modules}`), `${modules.split(' ').join('\n')}\n`);
    assert.equal(inside('cd /sys/module && ls -d * | grep -v vfio'), old);
  });

  it('has mediated devices beside the functions, with their groups, under the names that groups have', () => {
    const name = '00000000-0000-0000-0000-000000000000';
    const script =
      `cd -P /sys/bus/mdev/devices/${name} && pwd -P && basename $(readlink iommu_group) && ls vfio-dev && ` +
      'readlink -f subsystem iommu_group/devices/* && ' +
      'cat /sys/bus/pci/devices/0000:3b:00.1/vendor && ls /sys/bus';
    const devices = ['--device', 'dsa,mdevs=1', '--device', 'edu,bdf=0000:3b:00.1'];
    const { stdout } = ioasid(['run', ...devices, '--', 'sh', '-c', script], runner);
    const folder = `/sys/devices/pci0000:6a/0000:6a:01.0/${name}`;
    const buses = shell('ls /sys/bus').stdout.trim().split('\n');
    const [all, first] = [[...new Set([...buses, 'mdev', 'pci'])].sort(), stdout.trim().split('\n')];
    assert.deepEqual(first.slice(0, 6), [folder, '1', 'vfio0', '/sys/bus/mdev', folder, '0x1234']);
    assert.deepEqual(first.slice(6).sort(), all);
  });

  it('has the devices of the inner run only, in a run inside a run', () => {
    const inner = [
      'run',
      '--device',
      'edu,bdf=0000:3b:00.1',
      '--',
      'sh',
      '-c',
      'ls -d /sys/bus/pci/devices/*:[36][ab]:* /sys/kernel/iommu_groups/*/devices/* && ls /sys/bus/mdev',
    ];
    const { stdout } = ioasid(
      ['run', '--device', 'edu', '--device', 'dsa,mdevs=2', '--', process.execPath, bin, ...inner],
      runner,
    );
    assert.equal(
      stdout,
      '/sys/bus/pci/devices/0000:3b:00.1\n/sys/kernel/iommu_groups/1/devices/0000:3b:00.1\n',
    );
  });

  it('is as it was outside', () => {
    const list = `find ${folders} | sort`;
    const before = shell(list).stdout;
    inside('true');
    assert.equal(shell(list).stdout, before);
  });
});
