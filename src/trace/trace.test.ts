import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FaultQueue } from '../client/fault-queue.js';
import { InProcess } from '../client/in-process.js';
import { Iommufd } from '../client/iommufd.js';
import { type Attribute, openAttribute } from '../file/attributes.js';
import { finished } from '../file/work.js';
import { Errno, Refusal } from '../linux/errno.js';
import { Machine } from '../machine/machine.js';
import { SysfsTree } from '../testkit/sysfs-tree.js';
import { DescriptorStruct } from '../uapi/idxd.js';
import {
  AllocStruct,
  AuthorizeStruct,
  ioctlNumber,
  MAP_FIXED_IOVA,
  MAP_READ,
  MAP_WRITE,
  MapStruct,
} from '../uapi/ioasid.js';
import { IoasMapStruct, iommufdNumber } from '../uapi/iommufd.js';
import { sized } from '../uapi/struct.js';
import { REGION_SPAN } from '../uapi/vfio-call.js';
import { BindStruct, VFIO_DEVICE_BIND_IOMMUFD } from '../uapi/vfio-cdev.js';
import { CONFIG_REGION } from '../vfio/device.js';
import { parseFilter } from './filter.js';
import { lineOf } from './lines.js';
import { TraceReader } from './reader.js';

/** A machine with a dsa, a process on it, and who reads its trace. */
async function scene(device = 'dsa,ready=1') {
  const machine = await Machine.create({ devices: [device] });
  const reader = new TraceReader(machine.logs);
  const lines = () =>
    reader.read().map((event) => lineOf(event, { times: false }).replace(/ <\d+\.\d+>/, ''));
  return { machine, reader, process: new InProcess(machine), lines };
}

const attempt = (act: () => unknown) => assert.throws(act, Refusal);

describe('a trace of calls', () => {
  test('names the ioctl, its fields by their meaning, and what the call has changed', async () => {
    const { process, lines } = await scene();
    const fd = process.open('ioasid');
    const memory = process.allocate(8192);
    process.ioctl(fd, ioctlNumber('IOASID_ALLOC'), sized(AllocStruct, {}));
    const map = { flags: MAP_READ, pasid: 1, user_va: memory.address, length: 4096 };
    process.ioctl(fd, ioctlNumber('IOASID_MAP'), sized(MapStruct, map));
    const { pid } = process;
    assert.deepEqual(lines(), [
      `[${pid}] open("/dev/ioasid") = 0`,
      `[${pid}] ioctl(3</dev/ioasid>, IOASID_ALLOC, {size=24, flags=0, kind=IOASID_KIND_MAPPED, parent=0, ` +
        'pasid=0} => {pasid=1}) = 0',
      `[${pid}] ioctl(3</dev/ioasid>, IOASID_MAP, {size=40, flags=IOASID_MAP_READ, pasid=1, ` +
        `user_va=0x${memory.address.toString(16)}, length=0x1000, iova=0x0} => {iova=0x1000}) = 0`,
    ]);
  });

  test('says why a call was refused, and what each descriptor that it named is', async () => {
    const { process, lines } = await scene();
    const [ioasid, device] = [process.open('ioasid'), process.open('vfio/devices/vfio0')];
    lines();
    attempt(() =>
      process.ioctl(
        device,
        ioctlNumber('IOASID_AUTHORIZE'),
        sized(AuthorizeStruct, { ioasid_fd: ioasid, pasid: 7 }),
      ),
    );
    const [line] = lines();
    assert.match(
      line!,
      /ioctl\(4<\/dev\/vfio\/devices\/vfio0>, IOASID_AUTHORIZE, \{.*ioasid_fd=3<\/dev\/ioasid>/,
    );
    assert.match(line!, / = -1 ENOENT: PASID 7 is not in this context/);
  });

  test('an argument in memory is shown as it was read, and its answer as it was written', async () => {
    const { process, lines } = await scene();
    const [iommufd, device] = [process.open('iommu'), process.open('vfio/devices/vfio0')];
    lines();
    const bind = BindStruct.encode({ argsz: BindStruct.size, iommufd });
    process.ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, bind);
    attempt(() =>
      process.ioctl(iommufd, iommufdNumber('IOMMU_IOAS_MAP'), sized(IoasMapStruct, { flags: 9, ioas_id: 5 })),
    );
    const [bound, mapped] = lines();
    assert.match(
      bound!,
      /BIND_IOMMUFD, \{argsz=24, flags=0, iommufd=3<\/dev\/iommu>, out_devid=0.*\} => \{out_devid=1\}\) = 0$/,
    );
    assert.match(
      mapped!,
      /IOMMU_IOAS_MAP, \{size=40, flags=IOMMU_IOAS_MAP_FIXED_IOVA\|0x8, .*EOPNOTSUPP: flags 0x8/,
    );
  });

  test('an ioctl that the file does not have is told by its number', async () => {
    const { process, lines } = await scene();
    const fd = process.open('ioasid');
    attempt(() => process.ioctl(fd, 0x3b72, new Uint8Array(0)));
    assert.match(
      lines()[1]!,
      /ioctl\(3<.dev.ioasid>, 0x3b72\) = -1 ENOTTY: .* VFIO_IOMMU_UNMAP_DMA \(0x3b72\), which is for another/,
    );
  });

  test('an open that is refused is told', async () => {
    const { process, lines } = await scene();
    process.open('vfio/devices/vfio0');
    attempt(() => process.open('vfio/devices/vfio0'));
    assert.match(lines()[1]!, /open\("\/dev\/vfio\/devices\/vfio0"\) = -1 EBUSY: vfio0 is open already/);
  });

  test('has faults and notes between the calls in their order', async () => {
    const { machine, process, lines } = await scene();
    const fd = process.open('ioasid');
    machine.iommu.faults.record({ rid: '0000:6a:01.0', pasid: 1, iova: 8192, write: true, reason: 'no' });
    machine.devices[0]!.driver.life.work.calls.note('a\u001b[2J register');
    process.close(fd);
    assert.deepEqual(lines().slice(1, 4), [
      '-- DMA fault: 0000:6a:01.0 PASID 1 write at 0x2000: no',
      '-- vfio0: a\\x1b[2J register',
      'close(</dev/ioasid>) = 0',
    ]);
  });

  test('has DMA, interrupts and authorizations in their order', async () => {
    const { machine, process, lines } = await scene();
    const [context, device] = [process.open('ioasid'), process.open('vfio/devices/vfio0')];
    const { address } = process.allocate(8192);
    process.ioctl(context, ioctlNumber('IOASID_ALLOC'), sized(AllocStruct, {}));
    const map = { flags: MAP_READ | MAP_WRITE | MAP_FIXED_IOVA, pasid: 1, user_va: address, length: 8192 };
    process.ioctl(context, ioctlNumber('IOASID_MAP'), sized(MapStruct, { ...map, iova: 0x4000 }));
    process.pwrite(device, CONFIG_REGION * REGION_SPAN + 4, Uint8Array.of(6, 0));
    lines();
    const both = sized(AuthorizeStruct, { ioasid_fd: context, pasid: 1 });
    process.ioctl(device, ioctlNumber('IOASID_AUTHORIZE'), both);
    const fill = DescriptorStruct.encode({
      pasid: 1,
      flags: (4 << 24) | 0xc,
      completion_addr: 0x5000,
      dst_addr: 0x4000,
      xfer_size: 24,
    });
    process.pwrite(device, 2 * REGION_SPAN, fill);
    const told = lines().filter((line) => line.startsWith('--'));
    const { rid } = machine.devices[0]!.driver.life;
    assert.equal(told[0], '-- vfio0: authorized for PASID 1');
    assert.ok(told.includes(`-- DMA ${rid} PASID 1 write 0x4000+24`), told.join('\n'));
    assert.match(told.at(-1)!, /PASID 1 write 0x5000\+\d+$/);
    process.close(device);
    assert.ok(lines().includes('-- vfio0: no more authorized for PASID 1'));
  });

  test('tells a store of 64 bytes to a mapped BAR as a write', async () => {
    const { machine, process, lines } = await scene();
    const node = machine.nodes.find(({ path }) => path === 'vfio/devices/vfio0')!;
    const file = node.open(process);
    finished(file.write(process, CONFIG_REGION * REGION_SPAN + 4, Uint8Array.of(6, 0)));
    lines();
    assert.ok(file.mapping!.write64(process, 2 * REGION_SPAN, new Uint8Array(64)));
    const told = lines().filter((line) => line.startsWith('pwrite'));
    assert.match(
      told[0]!,
      /^pwrite\(<\/dev\/vfio\/devices\/vfio0>, \{pasid=0, .*\}, 64, BAR2\+0x0 .*\) = 64$/,
    );
  });

  test('names registers, and decodes the descriptor that a portal of a dsa is given', async () => {
    const { process, lines } = await scene();
    const device = process.open('vfio/devices/vfio0');
    process.pwrite(device, CONFIG_REGION * REGION_SPAN + 4, Uint8Array.of(6, 0));
    lines();
    process.pread(device, 0x92, new Uint8Array(2));
    process.pwrite(device, 2 * REGION_SPAN, DescriptorStruct.encode({ pasid: 1, flags: (4 << 24) | 0x2c }));
    process.pwrite(device, CONFIG_REGION * REGION_SPAN + 4, Uint8Array.of(6, 0));
    const [read, submitted, command] = lines().filter((line) => !line.startsWith('--'));
    assert.match(read!, /BAR0\+0x92 GENSTS\+2\)/);
    const flags = 'DSA_OPCODE_MEMFILL|IDXD_OP_FLAG_CRAV|IDXD_OP_FLAG_RCR|IDXD_OP_FLAG_CRSTS';
    assert.ok(submitted!.includes(`{pasid=1, flags=${flags}, completion_addr=0x0, `), submitted);
    assert.match(submitted!, /BAR2\+0x0 portal of WQ 0\) = 64$/);
    assert.match(command!, /CONFIG\+0x4 command\) = 2$/);
  });

  test('says who reads and writes what below /sys, and why a write is refused', async () => {
    const { process, lines, machine } = await scene('edu');
    const tree = new SysfsTree(machine.sysfs);
    const at = (path: string) => openAttribute(tree.at(path) as Attribute, process);
    const [vendor, unbind] = [
      at('bus/pci/devices/0000:6a:01.0/vendor'),
      at('bus/pci/drivers/vfio-pci/unbind'),
    ];
    finished(vendor.read(process, 0, new Uint8Array(64)));
    finished(unbind.write(process, 0, Buffer.from('0000:6a:01.0\n')));
    attempt(() => finished(unbind.write(process, 0, Buffer.from('\x1b\n'))));
    finished(unbind.release());
    const { pid } = process;
    const [device, driver] = ['/sys/devices/pci0000:6a/0000:6a:01.0', '/sys/bus/pci/drivers/vfio-pci'];
    assert.deepEqual(lines(), [
      `[${pid}] open("${device}/vendor") = 0`,
      `[${pid}] open("${driver}/unbind") = 0`,
      `[${pid}] read(<${device}/vendor>, "0x1234\\n", 64) = 7`,
      `[${pid}] write(<${driver}/unbind>, "0000:6a:01.0\\n", 13) = 13`,
      `[${pid}] write(<${driver}/unbind>, 0x1b0a, 2) = -1 ENODEV: the bus has no device "\\x1b\\x0a"`,
      `release(<${driver}/unbind>) = 0`,
    ]);
  });

  test('nothing is recorded while nobody looks, nor before', async () => {
    const { machine, process, reader } = await scene();
    reader.end();
    process.open('ioasid');
    assert.equal(machine.trace.calls.total, 0);
    const next = new TraceReader(machine.logs);
    assert.deepEqual(next.read(), []);
    process.open('ioasid');
    assert.equal(next.read().length, 1);
  });

  test('notes that came faster than they are told are counted', async () => {
    const { machine, reader } = await scene();
    for (let n = 0; n < 100; n++) machine.devices[0]!.driver.life.work.calls.note(`note ${n}`);
    const [lost, ...told] = reader.read();
    assert.ok(lost!.kind === 'lost' && lost.count === 36);
    assert.equal(told.length, 64);
  });

  test('only what the filter may show is looked at', async () => {
    const { machine, reader } = await scene();
    reader.end();
    const next = new TraceReader(machine.logs, parseFilter(['error,fault']));
    const { happenings } = machine.devices[0]!.driver.life;
    assert.deepEqual(
      [machine.trace.calls.on, machine.iommu.transfers.on, happenings.on],
      [true, false, false],
    );
    machine.devices[0]!.driver.life.work.calls.note('nobody asks');
    machine.iommu.faults.record({ rid: '0000:6a:01.0', pasid: 1, iova: 8192, write: true, reason: 'no' });
    assert.deepEqual(
      next.read().map(({ kind }) => kind),
      ['fault'],
    );
  });

  test('a file that an ioctl has made while nobody looked is traced as soon as somebody does', async () => {
    const { machine, process, reader } = await scene();
    reader.end();
    const queue = FaultQueue.alloc(Iommufd.open(process));
    const next = new TraceReader(machine.logs);
    process.close(queue.fd);
    const paths = next
      .read()
      .flatMap((event) => (event.kind === 'call' ? [`${event.call} ${event.path}`] : []));
    assert.ok(paths.includes('release iommu:fault queue 1'), paths.join('\n'));
  });

  test('a program sees the same with and without it', async () => {
    const outcomes = [true, false].map(async (looking) => {
      const { process, reader } = await scene();
      if (!looking) reader.end();
      const fd = process.open('ioasid');
      const data = sized(AllocStruct, {});
      process.ioctl(fd, ioctlNumber('IOASID_ALLOC'), data);
      let refusal: unknown;
      try {
        process.ioctl(fd, ioctlNumber('IOASID_ALLOC'), sized(AllocStruct, { kind: 9 }));
      } catch (error) {
        refusal = error;
      }
      assert.ok(refusal instanceof Refusal && refusal.errno === Errno.EINVAL);
      return [data, refusal.reason];
    });
    assert.deepEqual(await outcomes[0], await outcomes[1]);
  });
});
