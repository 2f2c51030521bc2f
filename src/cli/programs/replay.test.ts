/** Programs on devices that have something of the outside, recorded and done again. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { compile, missingCompiler, testProgram } from '../../testkit/c-program.js';
import { ioasid, runner } from '../../testkit/processes.js';
import { typescriptModel } from '../../testkit/typescript-model.js';
import { isOfSysfs } from '../../trace/event.js';
import { Ask, type Asked } from '../../trace/input.js';
import type { Recorded } from '../../trace/raw.js';
import { chunk, header } from '../../trace/recording/chunks.js';
import { Encoder } from '../../trace/recording/encoder.js';
import { recordedIn } from '../../trace/recording/recording.js';

const folder = mkdtempSync(join(tmpdir(), 'ioasid-replay-'));
after(() => rmSync(folder, { recursive: true }));
const recording = join(folder, 'run.ioasid');
const disk = join(folder, 'disk.img');
const blocks = join(folder, 'blocks');

function record(options: readonly string[], command: readonly string[]): void {
  const { status, stderr } = ioasid(['run', '--record', recording, ...options, '--', ...command]);
  assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
}

/** What replay says, where there are no files of the run any more. */
function replay(): { readonly status: number | null; readonly said: string } {
  rmSync(disk, { force: true });
  const { status, stdout, stderr } = ioasid(['replay', recording]);
  return { status, said: stdout + stderr };
}

/** The recording, with each record as `change` has it; undefined: as it is. */
function change(change: (record: Recorded, asked: Asked | undefined) => unknown): void {
  const encoder = new Encoder();
  for (const each of [...recordedIn(recording)].flat()) {
    const asked = each.kind === 'input' && each.entry.kind === 'asked' ? each.entry : undefined;
    encoder.add((change(each, asked) as Recorded | undefined) ?? each);
  }
  writeFileSync(recording, Buffer.concat([header(), chunk(encoder.take())]));
}

/** What was asked of the outside. */
function asked(): Asked[] {
  return [...recordedIn(recording)].flat().flatMap((each) => {
    return each.kind === 'input' && each.entry.kind === 'asked' ? [each.entry] : [];
  });
}

const nvme = () =>
  compile('nvme.c', readFileSync(new URL('../../../examples/nvme.c', import.meta.url), 'utf8'));

/** The driver of examples/nvme.c reads 100 blocks from block 3 on. */
function recordNvme(...options: string[]): void {
  const content = randomBytes(512 * 8192);
  writeFileSync(disk, content);
  const command = `"${nvme()}" 3 100 >"${blocks}"`;
  record(['-d', `nvme,file=${disk}`, ...options], ['sh', '-c', command]);
  assert.ok(readFileSync(blocks).equals(content.subarray(3 * 512, 103 * 512)));
}

/** tests/c/vdpa drives a virtio-blk, whose owners before were killed in the middle of requests. */
function recordBlk(...options: string[]): void {
  writeFileSync(disk, '');
  truncateSync(disk, 128 << 20);
  const program = [testProgram('vdpa'), '/dev/vhost-vdpa-0', 'blk'];
  const script =
    'for wait in 0.3 0.5; do "$@" & sleep $wait; kill -9 $!; wait $!; done 2>/dev/null; exec "$@"';
  record(['-d', `virtio-blk,file=${disk}`, ...options], ['sh', '-c', script, 'sh', ...program]);
}

/** A work queue is configured and its function unbound, bound, written to and reset, in /sys. */
function recordSysfs(...options: string[]): void {
  const script = [
    'cd /sys/bus/dsa/devices; echo 8 >wq0.0/size; echo user >wq0.0/type; echo dedicated >wq0.0/mode',
    'echo a-name-of-some-length >wq0.0/name; echo user >wq0.0/driver_name; echo 10 >wq0.0/priority',
    'echo 0 >wq0.0/group_id; echo 0 >engine0.0/group_id; echo dsa0 >../drivers/idxd/bind',
    'echo wq0.0 >../drivers/user/bind && exec 3<>/dev/dsa/wq0.0 && exec 3<&-',
    'echo wq0.0 >../drivers/user/unbind; (echo nonsense >wq0.0/size) 2>/dev/null',
    'cd /sys/bus/pci/drivers/vfio-pci; edu=$(echo 0000:*); printf "\\002" >$edu/config; echo 1 >$edu/reset',
    'echo $edu >unbind; echo $edu >bind; test -e $edu/config',
  ];
  record(['-d', 'dsa,idxd=1', '-d', 'edu', ...options], ['sh', '-c', script.join('\n')]);
}

/** The writes below /sys, with what came of them. */
function sysfsWrites(): string[] {
  return [...recordedIn(recording)].flat().flatMap((each) => {
    if (each.kind !== 'call' || each.entry.call !== 'write' || !isOfSysfs(each.entry.path)) return [];
    return [`${each.entry.path.split('/').slice(-2).join('/')} ${each.entry.error ?? each.entry.result}`];
  });
}

/** Somebody who sends back all that comes, at a socket. */
async function echo(context: TestContext): Promise<string> {
  const path = join(folder, 'wire');
  rmSync(path, { force: true });
  const listen = `listen(${JSON.stringify(path)}, () => console.log('listening'))`;
  const server = `require('node:net').createServer((socket) => socket.pipe(socket)).${listen}`;
  const peer = spawn(process.execPath, ['-e', server], { stdio: ['ignore', 'pipe', 'inherit'] });
  context.after(() => peer.kill());
  await once(peer.stdout, 'data');
  return path;
}

/** tests/c/vdpa drives a virtio-net, whose frames come back. */
async function recordNet(context: TestContext, ...options: string[]): Promise<void> {
  const link = ['--link', `w=unix:${await echo(context)}`];
  record(['-d', 'virtio-net,link=w', ...link, ...options], [testProgram('vdpa'), '/dev/vhost-vdpa-0', 'net']);
}

/** A program sends a text by the serial port of examples/serial.js, and receives it. */
async function recordSerial(context: TestContext): Promise<void> {
  const model = fileURLToPath(new URL('../../../examples/serial.js', import.meta.url));
  const link = ['--link', `tty0=bytes:${await echo(context)}`];
  const program = [
    'import os',
    'fd = os.open("/dev/vfio/devices/vfio0", os.O_RDWR)',
    'os.pwrite(fd, b"\\x02\\x00", (7 << 40) + 4)',
    'for c in b"hello":',
    '    os.pwrite(fd, bytes([c]), 0)',
    'got = b""',
    'while len(got) < 5:',
    '    if os.pread(fd, 1, 5)[0] & 1: got += os.pread(fd, 1, 0)',
    'exit(got != b"hello")',
  ];
  record(['-d', `${model},link=tty0`, ...link], ['python3', '-c', program.join('\n')]);
}

/** Three packets go out by examples/nic.ts, come back, and are announced by an interrupt after a while. */
const nicProgram = `
import array, ctypes, fcntl, mmap, os, struct
def call(fd, number, layout, *values):
    request = bytearray(struct.pack('<I' + layout, struct.calcsize('<I' + layout), *values))
    fcntl.ioctl(fd, 3 << 30 | len(request) << 16 | ord(';') << 8 | number, request)
    return struct.unpack('<I' + layout, request)[1:]
ioasid, nic = os.open('/dev/ioasid', os.O_RDWR), os.open('/dev/vfio/devices/vfio0', os.O_RDWR)
memory = mmap.mmap(-1, 16384)
pasid = call(ioasid, 0xC1, '5I', 0, 0, 0, 0, 0)[3]
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
iova = call(ioasid, 0xC3, '3I3Q', 3, pasid, 0, address, 16384, 0)[5]
call(nic, 0xCA, 'IiIII', 0, ioasid, pasid, 0, 0)
bell = os.eventfd(0)
fcntl.ioctl(nic, 0x3B6E, array.array('I', [24, 0x24, 2, 0, 1, bell]))
os.pwrite(nic, struct.pack('<H', 6), (7 << 40) + 4)
set = lambda offset, value: os.pwrite(nic, struct.pack('<I', value), offset)
set(4, pasid), set(8, 300)
packets = [bytes([n]) * (60 + n) for n in (1, 2, 3)]
for queue in 0, 1:
    for n, packet in enumerate(packets):
        place = 8192 * queue + 1024 * (n + 1)
        room = 1024 if queue else len(packet)
        struct.pack_into('<QII', memory, 8192 * queue + 16 * n, iova + place, room, 0)
        if not queue: memory[place:place + len(packet)] = packet
    os.pwrite(nic, struct.pack('<Q', iova + 8192 * queue), 32 + 32 * queue)
    set(40 + 32 * queue, 4)
while not os.pread(nic, 4, 0)[0]: pass
set(0x4c, 3), set(0x2c, 3)
status = lambda n: struct.unpack_from('<II', memory, 8192 + 16 * n + 8)
while not all(status(n)[1] for n in range(3)): os.read(bell, 8)
exit([status(n) for n in range(3)] != [(61, 1), (62, 1), (63, 1)]
     or any(memory[8192 + 1024 * (n + 1):][:len(packet)] != packet for n, packet in enumerate(packets)))
`;

describe('replay', { skip: runner.skip || missingCompiler() }, () => {
  it('has the disk of an nvme answer as it did, and its file is needed no more', () => {
    recordNvme();
    assert.match(replay().said, /^the same: \d+ calls, \d+ records\n$/);
  });

  it('has the disk of a virtio-blk answer as it did, also jobs that nobody waited for any more', () => {
    recordBlk();
    assert.match(replay().said, /^the same: [\d,]+ calls, [\d,]+ records\n$/);
  });

  it('finds what is written to a disk otherwise, and what comes of a block that held something else', () => {
    recordBlk();
    change((record, asked) => {
      if (asked?.what !== Ask.DISK_START || asked.of[1] !== 1) return undefined;
      return { ...record, entry: { ...asked, bytes: asked.bytes!.with(0, asked.bytes![0]! ^ 1) } };
    });
    const written = replay();
    assert.equal(written.status, 1);
    assert.match(
      written.said,
      /^- -- asks for disk start\(0x0, 0x1, .*\n\+ -- asks for disk start\(0x0, 0x1, /m,
    );
    recordNvme();
    change((record, asked) => {
      if (asked?.what !== Ask.DISK_START && asked?.what !== Ask.DISK_END) return undefined;
      return (
        asked.bytes && { ...record, entry: { ...asked, bytes: asked.bytes.with(0, asked.bytes[0]! ^ 1) } }
      );
    });
    const read = replay();
    assert.equal(read.status, 1);
    assert.match(read.said, /^- -- asks for write\(/m);
  });

  it('has the frames that came by a link come again, without anybody at the other end', async (context) => {
    await recordNet(context);
    const frames = asked().filter(({ what }) => what === Ask.LINK_IN || what === Ask.LINK_OUT);
    assert.ok(frames.some(({ what }) => what === Ask.LINK_IN));
    assert.match(replay().said, /^the same: \d+ calls, [\d,]+ records\n$/);
  });

  it('has the bytes that came by a serial line come again', async (context) => {
    await recordSerial(context);
    const come = asked().filter(({ what }) => what === Ask.LINK_IN);
    assert.equal(Buffer.concat(come.map(({ bytes }) => bytes!)).toString(), 'hello');
    assert.match(replay().said, /^the same: [\d,]+ calls, [\d,]+ records\n$/);
  });

  it('has the packets and timers of a network card of ours, in TypeScript, come again', async (context) => {
    const link = ['--link', `wire0=unix:${await echo(context)}`];
    record(
      ['-d', `${typescriptModel('examples/nic.ts')},link=wire0`, ...link],
      ['python3', '-c', nicProgram],
    );
    const frames = asked().filter(({ what }) => what === Ask.LINK_IN || what === Ask.LINK_OUT);
    assert.equal(frames.length, 6);
    const rung = [...recordedIn(recording)].flat().filter(({ kind }) => kind === 'device');
    assert.ok(rung.length >= 2, 'authorized, and an interrupt');
    assert.match(replay().said, /^the same: \d+ calls, [\d,]+ records\n$/);
    change((record, asked) => {
      if (asked?.what !== Ask.LINK_IN) return undefined;
      return { ...record, entry: { ...asked, bytes: asked.bytes!.with(20, 9) } };
    });
    const { status, said } = replay();
    assert.equal(status, 1, said);
    assert.match(said, /^- -- asks for write\(.*\n\+ -- asks for write\(/m);
  });

  it('finds a frame that is sent otherwise, and what comes of another that came', async (context) => {
    for (const [what, found] of [
      [Ask.LINK_OUT, /^- -- asks for link out\(0x0, .*\n\+ -- asks for link out\(0x0, /m],
      [Ask.LINK_IN, /^- -- asks for write\(/m],
    ] as const) {
      await recordNet(context);
      change((record, asked) => {
        if (asked?.what !== what) return undefined;
        const bytes = asked.bytes!.with(20, asked.bytes![20]! ^ 1);
        return { ...record, entry: { ...asked, bytes } };
      });
      const { status, said } = replay();
      assert.equal(status, 1, said);
      assert.match(said, found);
    }
  });

  it('ends with a sentence where a link is not in the recording, or frames are left out', async (context) => {
    await recordNet(context);
    change((record, asked) => {
      return asked?.what === Ask.LINK_IN ? { ...record, entry: { ...asked, of: [7, 0, 60] } } : undefined;
    });
    assert.match(replay().said, /^ioasid: the recording has something of link 7, which is not there\n$/);
    await recordNet(context, '--record-data', 'none');
    assert.ok(asked().every(({ what, bytes }) => what !== Ask.LINK_IN || bytes!.length === 0));
    assert.match(replay().said, /^ioasid: what a device has read is left out of the recording/);
  });

  it('reads and writes files below /sys again, of work queues and PCI functions, bound and unbound', () => {
    recordSysfs();
    const writes = sysfsWrites();
    for (const write of ['wq0.0/type 5', 'idxd/bind 5', 'user/bind 6', 'user/unbind 6', 'wq0.0/size EINVAL'])
      assert.ok(writes.includes(write), `${write} is not among ${writes.join(', ')}`);
    for (const file of [/config 1$/, /reset 2$/, /vfio-pci\/unbind 13$/, /vfio-pci\/bind 13$/])
      assert.ok(
        writes.some((write) => file.test(write)),
        `${file} is not among ${writes.join(', ')}`,
      );
    assert.match(replay().said, /^the same: \d+ calls, \d+ records\n$/);
    recordSysfs('--record-data', 'none');
    assert.match(replay().said, /^the same: \d+ calls, \d+ records\n$/);
  });

  it('finds what comes otherwise of a write below /sys, and one to what is not there any more', () => {
    for (const [from, to, found] of [
      ['user', 'kernel', /^- sh\S+ write\(1<\/sys\/.*\n\+ (sh\S+ write\(1<\/sys\/|nothing)/m],
      ['wq0.0/type', 'wq0.0/tape', /^- sh\S+ open\("\/sys\/.*wq0\.0\/tape.*\n\+ nothing$/m],
    ] as const) {
      recordSysfs();
      change((record) => {
        if (record.kind !== 'call' || !record.entry.path.endsWith('wq0.0/type')) return undefined;
        const { transfer } = record.entry;
        const bytes = Buffer.from(
          Buffer.from(transfer?.bytes ?? [])
            .toString()
            .replace(from, to),
        );
        const path = record.entry.path.replace(from, to);
        return { ...record, entry: { ...record.entry, path, transfer: transfer && { ...transfer, bytes } } };
      });
      const { status, said } = replay();
      assert.equal(status, 1, said);
      assert.match(said, found);
    }
  });

  const elsewhere = process.arch === 'x64' ? false : `not on ${process.arch}`;
  it("does what was done with idxd's files again, portals too", { skip: elsewhere }, () => {
    const tasks = ['writes', 'identity', 'lengths', 'dedicated', 'faults', 'polled', 'enqueues', 'stores'];
    const more = ['batches', 'narrow', 'forked', 'executed', 'killed', 'threads'];
    const devices = ['-d', 'dsa,idxd=1,ready=1', '-d', 'dsa,idxd=1,ready=1,mode=dedicated'];
    const program = [testProgram('idxd'), ...tasks, ...more];
    const { stdout } = ioasid(['run', '--record', recording, ...devices, '--', ...program]);
    for (const task of [...tasks, ...more]) assert.match(stdout, new RegExp(`^${task} ok$`, 'm'));
    assert.match(replay().said, /^the same: \d+ calls, [\d,]+ records\n$/);
  });

  it('ends with a sentence where a disk, or a job of it, is not in the recording', () => {
    recordNvme();
    change((record) => {
      if (record.kind !== 'machine') return undefined;
      const { outside: _, ...machine } = record.machine;
      return { ...record, machine };
    });
    const without = replay();
    assert.equal(without.status, 125);
    assert.match(without.said, /^ioasid: .*the recording has no disk for ".*disk\.img"\n$/);
    recordBlk();
    change((record, asked) => {
      return (
        (asked?.what === Ask.DISK_END && { ...record, entry: { ...asked, of: [0, 99_999] } }) || undefined
      );
    });
    const odd = replay();
    assert.equal(odd.status, 125);
    assert.match(odd.said, /^ioasid: job 99999 of ".*disk\.img" ends in the recording, and was not begun\n$/);
  });

  it('without contents says so where something depends on what a disk held', () => {
    recordNvme('--record-data', 'none');
    assert.ok(statSync(recording).size < 100 * 512);
    const disks = asked().filter(({ what }) => what === Ask.DISK_START || what === Ask.DISK_END);
    assert.ok(disks.length > 0 && disks.every(({ bytes }) => !bytes?.length));
    const { status, said } = replay();
    assert.equal(status, 125);
    assert.match(
      said,
      /^ioasid: what a device has read is left out of the recording, and its results depend on it\n$/,
    );
  });
});
