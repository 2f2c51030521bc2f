/**
 * What Linux's vDPA simulators answer, once: tests/c/vdpa asks the devices of an `ioasid run` the same, call
 * by call, and every difference is one that docs/differences.md tells.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { missingCompiler, testProgram } from '../../testkit/c-program.js';
import { bin, ioasid, runner } from '../../testkit/processes.js';

const root = new URL('../../../', import.meta.url);
const recorded = readFileSync(new URL('tests/vdpa/linux-7.3.tsv', root), 'utf8');
const documented = readFileSync(new URL('docs/differences.md', root), 'utf8').split('## vhost-vdpa')[1]!;

const directory = mkdtempSync(join(tmpdir(), 'ioasid-vdpa-'));
after(() => rmSync(directory, { recursive: true, force: true }));
const disk = join(directory, 'disk.img');
writeFileSync(disk, '');
truncateSync(disk, 128 << 20);

const devices = {
  net: 'virtio-net,mac=00:00:00:00:00:00',
  blk: `virtio-blk,file=${disk},serial=vdpa_blk_sim`,
} as const;

/** A difference that is known: where, what is answered here, and its row in docs/differences.md. */
interface Known {
  readonly where: RegExp;
  readonly ours: RegExp;
  readonly row: string;
}

const both: readonly Known[] = [
  { where: /^open\tfstat/, ours: /char=[01] mode=666$/, row: "the file's mode" },
  { where: /^mmap\tmmap\t4096 WRITE PRIVATE/, ours: /\t0\t-\t-$/, row: '`mmap` of a doorbell' },
  { where: /^mmap\tmmap\t.*SHARED/, ours: /\t-1\tENODEV\t-$/, row: '`mmap` of a doorbell' },
  { where: /\tVHOST_VDPA_GET_IOVA_RANGE\t/, ours: /\t0{16}f{12}0000$/, row: 'IOVA range' },
  { where: /\tUPDATE whole space but 0 /, ours: /\tEFAULT\t-$/, row: 'IOVA range' },
  {
    where: /\tUPDATE (va=0x1000|perm RW of a read-only)/,
    ours: /\tEFAULT\t-$/,
    row: 'an UPDATE of memory that is not there, or read-only',
  },
  {
    where: /\tUPDATE of the same again asid=0 iova=0xa00000/,
    ours: /\tEFAULT\t-$/,
    row: 'private anonymous memory in an UPDATE',
  },
  { where: /\twrite\(msg_v2\)\t40 bytes/, ours: /\t40\t-\t-$/, row: 'a message of 40 bytes' },
  { where: /\twrite\t0 bytes/, ours: /\t0\t-\t-$/, row: 'a `write` of no bytes' },
];

const limits = 'features, and limits in the configuration space';
const sizes = 'sizes of a queue (blk)';

const known: Readonly<Record<keyof typeof devices, readonly Known[]>> = {
  net: [
    ...both,
    { where: /\tVHOST_GET_FEATURES\t/, ours: /\t288097300f000000$/, row: limits },
    { where: /\tVHOST_VDPA_GET_CONFIG\toff=0 /, ours: /\t(00|52|02){6}01000100dc05(00)*$/, row: limits },
    { where: /\tRX data/, ours: /\t0{20}0100f{12}/, row: '`num_buffers` of a received packet' },
  ],
  blk: [
    ...both,
    { where: /\tVHOST_GET_FEATURES\t/, ours: /\t4676003007000000$/, row: limits },
    { where: /\tVHOST_VDPA_GET_CONFIG\toff=0 /, ours: /\t0000040000000000/, row: limits },
    { where: /\tVHOST_VDPA_GET_VRING_NUM\t/, ours: /\t0004$/, row: sizes },
    { where: /\tVHOST_SET_VRING_NUM\tindex=0 num=512\t/, ours: /\t0\t-\t0{11}20{4}$/, row: sizes },
    { where: /\tGET_ID short/, ours: /status=00 used.len=5 call=1 /, row: 'a GET_ID of 4 bytes (blk)' },
    {
      where: /\trequest\t(type 99|GET_LIFETIME|SECURE_ERASE) /,
      ours: /status=02 used.len=1 call=1 /,
      row: 'requests of unknown types (blk)',
    },
    {
      where: /\theader of 8 bytes/,
      ours: /status=01 used.len=1 call=1 /,
      row: 'a request with a header of less than 16 bytes (blk)',
    },
    { where: /\tIN after it/, ours: /status=00 used.len=513 call=1 data=0{48}$/, row: 'a DISCARD (blk)' },
    {
      where: /^rings and data in private anonymous memory\trequest/,
      ours: /status=00 used.len=21 call=1 /,
      row: 'private anonymous memory in an UPDATE',
    },
    {
      where: /^rings and data in private anonymous memory\tVHOST_GET_VRING_BASE/,
      ours: /\t0000000001000000$/,
      row: 'private anonymous memory in an UPDATE',
    },
    { where: /^bad ring\tVHOST_VDPA_GET_STATUS/, ours: /\t4f$/, row: 'a ring that makes no sense' },
  ],
};

/** The lines about one device. What a descriptor's number and a device's number are says nothing. */
function linesAbout(device: string, text: string): string[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${device}\t`))
    .map((line) =>
      line
        .slice(device.length + 1)
        .replace(/\topen\tO_RDWR\t\d+\t/, '\topen\tO_RDWR\tN\t')
        .replace(/ rdev-major-dynamic minor=\d+$/, ''),
    );
}

/** Every answer is Linux's, or a known difference; and every known difference is met. */
function judge(device: keyof typeof devices, stdout: string): void {
  const [linux, ours] = [linesAbout(device, recorded), linesAbout(device, stdout)];
  assert.equal(ours.length, linux.length);
  const met = new Set<Known>();
  for (const [n, line] of ours.entries()) {
    if (line === linux[n]) continue;
    const difference = known[device].find(({ where, ours }) => where.test(linux[n]!) && ours.test(line));
    assert.ok(difference !== undefined, `line ${n + 1}\nLinux: ${linux[n]}\nours:  ${line}`);
    met.add(difference);
  }
  assert.deepEqual(
    known[device].filter((each) => !met.has(each)).map(({ where }) => where),
    [],
  );
}

describe(`vhost-vdpa as ${runner.name}`, { skip: runner.skip || missingCompiler() }, () => {
  const everyCall = "every call is answered as Linux's simulator does, or as is told";

  it(`net: ${everyCall}`, () => {
    const program = [testProgram('vdpa'), '/dev/vhost-vdpa-0', 'net'];
    const { status, stdout, stderr } = ioasid(['run', '-d', devices.net, '--', ...program], runner);
    assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
    judge('net', stdout);
  });

  it(`blk: ${everyCall}, by a device whose owners before were killed in the middle of requests`, () => {
    const program = [testProgram('vdpa'), '/dev/vhost-vdpa-0', 'blk'];
    const script =
      'for wait in 0.3 0.5 0.7 0.9; do "$@" >/dev/null & sleep $wait; kill -9 $!; wait $!; done; exec "$@"';
    const command = ['sh', '-c', script, 'sh', ...program];
    const { status, stdout } = ioasid(['run', '-d', devices.blk, '--', ...command], runner);
    assert.equal(status, 0);
    judge('blk', stdout);
  });

  it('net over a link: what an echo at the other end sends back is what a loop would', async (context) => {
    const path = join(directory, 'wire');
    const listen = `listen(${JSON.stringify(path)}, () => console.log('listening'))`;
    const echo = `require('node:net').createServer((socket) => socket.pipe(socket)).${listen}`;
    const peer = spawn(process.execPath, ['-e', echo], { stdio: ['ignore', 'pipe', 'inherit'] });
    context.after(() => peer.kill());
    await once(peer.stdout, 'data');
    const program = [testProgram('vdpa'), '/dev/vhost-vdpa-0', 'net'];
    const options = ['-d', `${devices.net},link=w`, '--link', `w=unix:${path}`];
    const { status, stdout, stderr } = ioasid(['run', ...options, '--', ...program], runner);
    assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
    judge('net', stdout);
  });

  it('a link to where nobody listens, and one that no device has, are told before anything is run', () => {
    for (const [link, reason] of [
      ['w=unix:/nowhere', /nobody listens at "\/nowhere": no such file/],
      ['other=unix:/nowhere', /0 devices have link "other"/],
      ['w', /link "w" is not like wire0=unix:PATH/],
    ] as const) {
      const { status, stderr } = ioasid(
        ['run', '-d', 'virtio-net,link=w', '--link', link, '--', 'true'],
        runner,
      );
      assert.equal(status, 125);
      assert.match(stderr, reason);
    }
  });

  it('ls shows an ASID that its owner has mapped', () => {
    // Asked again and again, while the program stands still, until it has mapped something: what is said of
    // this server, for there may be others.
    const script =
      '"$@" >/dev/null & while kill -STOP $! && ' +
      'said=$($IOASID ls | sed -n "/^server $PPID /,/^server /p"); do ' +
      'case $said in *"as ASID"*) break; esac; kill -CONT $!; sleep 0.05; done; ' +
      'echo "$said"; kill -9 $!; wait $!; exit 0';
    const command = ['sh', '-c', script, 'sh', testProgram('vdpa'), '/dev/vhost-vdpa-0', 'blk'];
    const { stdout } = ioasid(['run', '-d', devices.blk, '--', 'env', `IOASID=${bin}`, ...command], runner);
    assert.match(stdout, /vhost-vdpa-0 {2}virtio-blk,.* open in process \d+/);
    assert.match(stdout, /may use PASID \d+ as ASID 0 by IOTLB messages/);
  });

  it('every difference that is known has a row in docs/differences.md', () => {
    for (const { row } of [...known.net, ...known.blk]) assert.ok(documented.includes(`| ${row} `), row);
  });
});
