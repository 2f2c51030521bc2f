import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { ioasid, Running, runner, until, user, withoutFuse } from '../../testkit/processes.js';
import { serveAskers } from '../../testkit/served-askers.js';
import type { CallRecord } from '../../trace/call-record.js';
import { header } from '../../trace/recording/chunks.js';
import { Encoder } from '../../trace/recording/encoder.js';
import { struct, u32 } from '../../uapi/struct.js';
import { publish, publishTrace } from '../control-socket.js';
import { trace } from '../trace.js';

/** What it says itself would come in the middle of a line. */
const cat = ['--device', 'edu', '--', 'sh', '-c', 'exec cat /dev/ioasid 2>/dev/null'];

/** So many that neither a pipe nor what the server hands on at once holds the half of their lines. */
const READS = 120_000;
const reader = `
import os
fd = os.open('/dev/vfio/devices/vfio0', os.O_RDWR)
for n in range(${READS}):
  os.pread(fd, 64, (7 << 40) + n % 3 * 64)
print('has read', flush=True)
`;

describe('run --trace', { skip: runner.skip }, () => {
  it('prints each call of the command, with its program, descriptor, result and reason', () => {
    const { stderr } = ioasid(['run', '--trace', ...cat], runner);
    assert.match(stderr, /^[\d:.]{12} cat\[\d+\] open\("\/dev\/ioasid"\) = 0 <\d+\.\d{6}>$/m);
    assert.match(
      stderr,
      /^\S+ cat\[\d+\] read\(3<\/dev\/ioasid>, "", \d+\) = -1 EAGAIN <\d+\.\d{6}>: there are no page faults/m,
    );
    assert.match(stderr, /^\S+ release\(<\/dev\/ioasid>\) = 0 <\d+\.\d{6}>$/m);
  });

  it('shows what -e names, as JSON in a file that the command does not get', () => {
    const file = join(mkdtempSync(join(tmpdir(), 'ioasid-')), 'trace');
    const list = ['--device', 'edu', '--', 'sh', '-c', 'ls -l /proc/self/fd; exec cat /dev/ioasid'];
    const { stdout, stderr } = ioasid(['run', '-e', 'error', '--json', '-o', file, ...list]);
    assert.ok(!stdout.includes('trace'), stdout);
    assert.match(stderr, /^cat: .*\n$/);
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
    const [event] = lines.map((line) => JSON.parse(line));
    assert.deepEqual([lines.length, event.call, event.fd, event.error], [1, 'read', 3, 'EAGAIN']);
    assert.equal(statSync(file).mode & 0o777, 0o600);
  });

  it('says who has written what below /sys, and why it was refused', () => {
    const script = 'cd /sys/bus/pci/drivers/vfio-pci; echo 0000:* >unbind; (echo nothing >bind) 2>/dev/null';
    const told = ioasid(['run', '--trace', '-e', 'call=write', '-d', 'edu', '--', 'sh', '-c', script]).stderr;
    const driver = '1</sys/bus/pci/drivers/vfio-pci/';
    const said = told
      .replace(/^\S+ /gm, '')
      .replace(/\[\d+\]/g, '[PID]')
      .replace(/ <[\d.]+>/g, '');
    assert.equal(
      said,
      `sh[PID] write(${driver}unbind>, "0000:6a:01.0\\n", 13) = 13\n` +
        `sh[PID] write(${driver}bind>, "nothing\\n", 8) = -1 ENODEV: the bus has no device "nothing\\x0a"\n`,
    );
  });

  it('no program waits for who takes no lines, and he gets all of them later', async () => {
    const running = Running.ioasid(
      ['run', '--trace', '--device', 'edu', '--', 'python3', '-c', reader],
      runner,
    );
    const { stderr } = running.process;
    stderr.pause();
    await running.says('has read');
    stderr.resume();
    assert.equal((await running.ended).status, 0);
    await until(() => stderr.readableEnded, 'the last line');
    assert.equal(running.output.match(/ pread\(/g)?.length, READS);
    assert.doesNotMatch(running.output, /not told/);
  });

  it('an option that is not understood ends it with 125 before the command', () => {
    for (const wrong of [
      ['-e', 'calls'],
      ['-o', '/no/folder/trace'],
    ]) {
      const { status, stdout, stderr } = ioasid(['run', ...wrong, '--', 'echo', 'here'], runner);
      assert.deepEqual([status, stdout], [125, '']);
      assert.match(stderr, /^ioasid: "/);
    }
  });
});

const opener = [
  'run',
  '--device',
  'edu',
  'sh',
  '-c',
  'echo ready; while read line; do cat /dev/ioasid; done',
];

describe('trace', { skip: withoutFuse }, () => {
  /** A run whose command makes a refused call for each line that it reads, and who looks at it. */
  async function attached(...options: readonly string[]) {
    const running = Running.ioasid(opener);
    await running.says('ready');
    const looker = Running.ioasid(['trace', String(running.pid), ...options]);
    const line = () => {
      running.process.stdin.write('\n');
      return /EAGAIN.*EAGAIN/s.test(looker.output);
    };
    await until(line, 'lines about two calls');
    return { running, looker };
  }

  it('prints what happens at a run that goes on already, until that ends', async () => {
    const { running, looker } = await attached();
    assert.match(looker.output, /^\S+ cat\[\d+\] open\("\/dev\/ioasid"\) = 0 <\d+\.\d{6}>$/m);
    running.process.stdin.end();
    assert.deepEqual(await looker.ended, { status: 0, signal: null });
    assert.equal((await running.ended).signal, null);
  });

  it('is ended by Ctrl-C alone, and what it shows is filtered by it', async () => {
    const { running, looker } = await attached('-e', 'error');
    looker.kill('SIGINT');
    assert.deepEqual(await looker.ended, { status: 0, signal: null });
    assert.ok(!looker.output.includes('open('), looker.output);
    running.process.stdin.end();
    await running.ended;
  });

  it('says which server there is not', () => {
    const { status, stderr } = ioasid(['trace', '1']);
    assert.equal(status, 125);
    assert.match(stderr, /no ioasid server with process id 1 is running for this user/);
  });

  it("is for the server's own user and root", { skip: user.skip }, async () => {
    const running = Running.ioasid(opener);
    await running.says('ready');
    for (const command of ['trace', 'stop']) {
      const { status, stderr } = ioasid([command, String(running.pid)], user);
      assert.deepEqual([command, status], [command, 125]);
      assert.match(stderr, /no ioasid server with process id \d+ is running for this user/);
    }
    running.process.stdin.end();
    await running.ended;
  });

  it('stop ends a server and returns when it is gone', async () => {
    const running = Running.ioasid(opener);
    await running.says('ready');
    const { status, stderr } = ioasid(['stop', String(running.pid)]);
    assert.deepEqual([status, stderr], [0, '']);
    assert.deepEqual(await running.ended, { status: null, signal: 'SIGTERM' });
  });

  it('stop kills a server whose command does not listen, and says so', async () => {
    const deaf = [
      'run',
      '--device',
      'edu',
      'sh',
      '-c',
      "trap '' TERM; echo ready; while :; do sleep 1; done",
    ];
    const running = Running.ioasid(deaf);
    await running.says('ready');
    const { status, stderr } = ioasid(['stop', '--kill-after', '0', String(running.pid)]);
    assert.equal(status, 0);
    assert.match(stderr, /^ioasid: server \d+ has not ended within 0 s, so it is killed, and its command\n$/);
    assert.deepEqual(await running.ended, { status: null, signal: 'SIGKILL' });
  });
});

const output = join(mkdtempSync(join(tmpdir(), 'ioasid-')), 'trace');
let [serves, says] = [false, '' as Uint8Array | string];
let unserve = () => {};
after(() => unserve());

/** This process is a server, to those who look at its trace, which says this. */
function serverSays(bytes: Uint8Array | string): void {
  says = bytes;
  if (serves) return;
  serves = true;
  publish(() => ({}));
  publishTrace((socket) => socket.end(says));
  unserve = serveAskers();
}

it('trace says that a server turns it away, or speaks otherwise', async () => {
  serverSays('');
  await assert.rejects(trace({ pid: process.pid }, { output }), /lets nobody more of this user look/);
  serverSays('{"version":1,"devices":[]}\n');
  await assert.rejects(trace({ pid: process.pid }, { output }), /does not speak as this version/);
});

it('trace shows nothing of a server that moves the cursor, by a text or by the name of a field', async () => {
  const layout = struct('odd', { '\u009b2J': u32 });
  const entry: CallRecord = {
    ...{ call: 'write', path: '\u001b[1m', pid: 1, tid: 1, program: '\u001b[2J', fd: 3, ioctl: undefined },
    transfer: { offset: 0, place: '\u001b[3J', length: 4, layout, bytes: new Uint8Array(4) },
    ...{ result: 0, error: undefined, reason: undefined, file: 1, part: undefined, way: 'call', duration: 1 },
  };
  const encoder = new Encoder();
  encoder.add({ kind: 'machine', machine: { devices: [] }, time: 1 });
  encoder.add({ kind: 'call', entry, time: 1 });
  serverSays(Buffer.concat([header(), encoder.takeMessage()]));
  for (const json of [false, true]) {
    await trace({ pid: process.pid }, { output, json });
    const shown = readFileSync(output, 'utf8');
    assert.ok(shown.includes('x9b2J') && !/[^\P{C}\n]/u.test(shown), shown);
  }
});
