import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  constants as fileConstants,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { childrenOf } from '../testkit/descendants.js';
import {
  bin,
  guardsOf,
  ioasid,
  isAlive,
  mountsBelow,
  quote,
  type Runner,
  Running,
  runner,
  shell,
  until,
  withoutFuse,
} from '../testkit/processes.js';

const edu = ['run', '--device', 'edu', '--'];
/** What a file in /dev is, without what only looks different to a user of another namespace. */
const describeDev =
  'cd /dev; for f in * pts/* shm/. ; do case $f in ioasid|iommu|vfio|ptmx|pts/[0-9]*) ;; ' +
  `*) stat -c '%n %F %t:%T %a %N' "$f"; esac; done`;

describe(`run as ${runner.name}`, { skip: runner.skip }, () => {
  it('ends with the exit status of the command', () => {
    for (const status of [0, 1, 42, 255])
      assert.equal(ioasid([...edu, 'sh', '-c', `exit ${status}`], runner).status, status);
  });

  it('ends with 127 when there is no such command, and with 126 when it cannot be executed', () => {
    const missing = ioasid([...edu, 'no-such-command'], runner);
    assert.equal(missing.status, 127);
    assert.match(missing.stderr, /no-such-command: command not found/);
    assert.equal(ioasid([...edu, '/etc/passwd'], runner).status, 126);
  });

  it('dies of the signal that the command died of', () => {
    for (const signal of ['SIGTERM', 'SIGKILL', 'SIGINT', 'SIGSEGV', 'SIGUSR1', 'SIGPIPE'] as const) {
      const result = ioasid([...edu, 'sh', '-c', `kill -${constants.signals[signal]} $$`], runner);
      assert.equal(result.signal, signal);
    }
  });

  it('shows the files at their paths, and they answer', () => {
    const { stdout } = ioasid(
      [...edu, 'sh', '-c', 'ls /dev/ioasid /dev/vfio/devices/*; exec 3<>/dev/ioasid && echo open'],
      runner,
    );
    assert.equal(stdout, '/dev/ioasid\n/dev/vfio/devices/vfio0\nopen\n');
  });

  it('shows the rest of /dev as it was', () => {
    const outside = outsideAs(runner, describeDev);
    assert.match(outside, /^null character special file 1:3 666/m);
    assert.equal(ioasid([...edu, 'sh', '-c', describeDev], runner).stdout, outside);
  });

  it('leaves the devices and folders of /dev working', () => {
    const name = `ioasid-test-${process.pid}`;
    const script =
      'echo x >/dev/null && head -c 3 /dev/zero | wc -c && echo in | cat /dev/stdin && ' +
      `echo shared >/dev/shm/${name} && echo ok`;
    try {
      assert.equal(ioasid([...edu, 'sh', '-c', script], runner).stdout, '3\nin\nok\n');
      assert.equal(readFileSync(`/dev/shm/${name}`, 'latin1'), 'shared\n');
    } finally {
      rmSync(`/dev/shm/${name}`, { force: true });
    }
  });

  it('leaves the standard streams blocking, as they were', () => {
    const script = 'grep flags /proc/self/fdinfo/[012]; exec 3<>/dev/ioasid; sleep 0.2';
    const command = ['sh', '-c', `${script}; ${script}`];
    const flags = [...ioasid([...edu, ...command], runner).stdout.matchAll(/flags:\s*([0-7]+)/g)];
    assert.equal(flags.length, 6);
    for (const [, each] of flags) assert.equal(Number.parseInt(each!, 8) & fileConstants.O_NONBLOCK, 0);
  });

  it('lets the command make terminals', () => {
    const { status, stdout } = ioasid(
      [...edu, 'script', '-qec', 'test -t 0 && echo terminal', '/dev/null'],
      runner,
    );
    assert.equal(status, 0);
    assert.match(stdout, /terminal/);
  });

  it('passes standard input and output through unchanged', () => {
    const bytes = randomBytes(1 << 20);
    assert.equal(ioasid([...edu, 'cat'], runner, bytes).stdout, bytes.toString('latin1'));
  });

  it('gives the command no capability, signal mask or ignored signal that it would not have had', () => {
    const fields = '^(Sig(Blk|Ign)|Cap(Inh|Prm|Eff|Amb)):';
    const inside = ioasid([...edu, 'grep', '-E', fields, '/proc/self/status'], runner).stdout;
    assert.equal(inside, outsideAs(runner, `exec grep -E '${fields}' /proc/self/status`));
  });

  it('hands signals on to the command', async () => {
    const signals = ['SIGTERM', 'SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const;
    const traps = signals.map((signal) => `trap 'n=$((n+1)); echo has ${signal}' ${signal.slice(3)}`);
    const script = `n=0; ${traps.join('; ')}; echo ready; while [ $n -lt 6 ]; do sleep 0.02; done; exit 9`;
    const running = Running.ioasid([...edu, 'sh', '-c', script], runner);
    await running.says('ready');
    for (const signal of signals) {
      running.kill(signal);
      await running.says(`has ${signal}`);
    }
    assert.deepEqual(await running.ended, { status: 9, signal: null });
  });

  it('leaves nothing when the server is killed: not the command, nor what it started, no mount', async () => {
    const running = Running.ioasid([...edu, 'sh', '-c', 'sleep 1000 & echo started $!; sleep 1000'], runner);
    await running.says('started');
    const [command] = childrenOf(running.pid);
    await until(() => childrenOf(command!).length === 2, 'both processes of the command');
    const all = [command!, ...guardsOf(command!), ...childrenOf(command!)];
    assert.equal(all.length, 4, 'the command, the guard, and both processes of the command');
    running.kill('SIGKILL');
    await running.ended;
    await until(() => !all.some(isAlive), `the end of processes ${all}`);
    assert.deepEqual(mountsBelow('/dev'), []);
  });

  it('leaves nothing behind when the command is killed', async () => {
    const running = Running.ioasid([...edu, 'sh', '-c', 'echo ready; exec sleep 1000'], runner);
    await running.says('ready');
    const [command] = childrenOf(running.pid);
    const children = [command!, ...guardsOf(command!)];
    assert.equal(children.length, 2);
    process.kill(command!, 'SIGKILL');
    assert.deepEqual(await running.ended, { status: null, signal: 'SIGKILL' });
    await until(() => !children.some(isAlive), `the end of processes ${children}`);
  });

  it('works inside itself', () => {
    const { status, stdout } = ioasid([...edu, process.execPath, bin, ...edu, 'ls', '/dev/vfio'], runner);
    assert.deepEqual([status, stdout], [0, '1\ndevices\nvfio\n']);
  });
});

/** What `script` prints outside of ioasid, for the same user. */
function outsideAs(runner: Runner, script: string): string {
  return shell(quote([...runner.prefix, 'sh', '-c', script])).stdout;
}

describe('run', { skip: withoutFuse }, () => {
  it('shows nothing outside', async () => {
    const before = existsSync('/dev/ioasid');
    const running = Running.ioasid([...edu, 'sh', '-c', 'echo ready; exec sleep 1000']);
    await running.says('ready');
    assert.equal(existsSync('/dev/ioasid'), before);
    assert.deepEqual(mountsBelow('/dev'), []);
    running.kill('SIGTERM');
    assert.equal((await running.ended).signal, 'SIGTERM');
  });

  it('passes arguments and environment on as bytes, also those that are not UTF-8', () => {
    const script =
      `X=$(printf '\\377\\376'); export X; exec $IOASID ${edu.join(' ')} ` +
      `printf '%s|' "$X" '' "$(printf 'a\\nb')" --device "$(printenv X)"`;
    assert.equal(shell(script).stdout, '\xff\xfe||a\nb|--device|\xff\xfe|');
    assert.equal(
      shell(
        `X=$(printf '\\377\\376') NODE_OPTIONS=--no-warnings $IOASID ${edu.join(' ')} ` +
          'printenv X NODE_OPTIONS',
      ).stdout,
      '\xff\xfe\n--no-warnings\n',
    );
  });

  it('tells libudev not to look whether /sys is sysfs, unless somebody has told it something', () => {
    const name = 'SYSTEMD_DEVICE_VERIFY_SYSFS';
    const told = (before: string) => shell(`${before} $IOASID ${edu.join(' ')} printenv ${name}`).stdout;
    assert.deepEqual([told(`unset ${name};`), told(`${name}=1`)], ['0\n', '1\n']);
  });

  it('leaves the files dead to a process that outlives the command: ENOTCONN', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ioasid-orphan-'));
    const [said, opened, over] = ['said', 'opened', 'over'].map((name) => join(folder, name));
    const waits = (file: string) => `while [ ! -e ${file} ]; do sleep 0.02; done`;
    const looks = 'ls /dev; cat <&3; cat /dev/ioasid; echo end';
    const orphan = `exec 3<>/dev/ioasid; : >${opened}; ${waits(over!)}; ${looks}`;
    const command = `(${orphan}) >${said} 2>&1 & ${waits(opened!)}`;
    const { status, stderr } = ioasid([...edu, 'sh', '-c', command]);
    assert.equal(status, 0);
    assert.match(stderr, /^ioasid: sh \(process \d+\) goes on with \/dev\/ioasid open: it answers ENOTCONN/);
    writeFileSync(over!, '');
    await until(() => existsSync(said!) && readFileSync(said!, 'utf8').endsWith('end\n'), 'the orphan ends');
    assert.equal(readFileSync(said!, 'utf8').match(/not connected/g)?.length, 3);
    rmSync(folder, { recursive: true });
  });

  it('says so where too few files may be open, and starts nothing', () => {
    for (const limit of [20, 32, 40, 64]) {
      const { status, stderr } = shell(`ulimit -n ${limit}; exec timeout 20 $IOASID ${edu.join(' ')} true`);
      assert.equal(status, 125);
      assert.equal(
        stderr,
        `ioasid: the limit of open files is ${limit} (ulimit -Hn), and at least 96 are needed\n`,
      );
    }
  });

  it('passes inherited descriptors on, and the limit of open files', () => {
    const { stdout } = shell(
      `exec 3</etc/hostname; $IOASID ${edu.join(' ')} sh -c 'cat <&3; echo out >&7' 7>&1; true`,
    );
    assert.equal(stdout, `${readFileSync('/etc/hostname', 'latin1')}out\n`);
    assert.equal(shell(`ulimit -Sn 512; $IOASID ${edu.join(' ')} sh -c 'ulimit -Sn'; true`).stdout, '512\n');
  });

  it('keeps the logs of its own V8, and does not pass them on', () => {
    const folder = mkdtempSync(join(tmpdir(), 'ioasid-v8-'));
    const options = '--perf-prof --prof';
    try {
      const { stdout, stderr, status } = shell(
        `cd ${folder}; set -- $IOASID; $1 ${options} $2 ${edu.join(' ')} ` +
          "sh -c 'exec 9<>/dev/ioasid; readlink /proc/$$/fd/* || :'",
      );
      assert.deepEqual([status, stderr], [0, '']);
      assert.match(stdout, /\/dev\/ioasid\n/);
      assert.ok(!stdout.includes(folder), stdout);
      const written = readdirSync(folder).map((name) => statSync(join(folder, name)).size);
      assert.ok(written.length >= 2 && written.every((size) => size > 0), String(written));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('does not deliver an interrupt from the keyboard twice', async () => {
    const count = `let n = 0;
      process.on('SIGINT', () => n++ || setTimeout(() => process.exit(n), 200));
      process.stdin.on('data', () => undefined);
      console.log('ready');`;
    const running = Running.onTerminal([...edu, process.execPath, '-e', count]);
    await running.says('ready');
    running.process.stdin.write('\x03');
    assert.equal((await running.ended).status, 1);
  });

  it('lets go of standard output as soon as the command does', async () => {
    const running = Running.ioasid([...edu, 'sh', '-c', 'exec >&-; read line']);
    await new Promise((resolve) => running.process.stdout.on('end', resolve));
    assert.equal(running.process.exitCode, null);
    running.process.stdin.end('go\n');
    assert.equal((await running.ended).status, 0);
  });

  it('refuses a device that cannot be made with status 125 and a reason, and starts no command', () => {
    const { status, stdout, stderr } = ioasid(['run', '--device', 'no-such-device', '--', 'echo', 'started']);
    assert.equal(status, 125);
    assert.equal(stdout, '');
    assert.match(stderr, /^ioasid: there is no device "no-such-device".*\n$/);
  });

  it('tells refusals as they happen with --verbose', () => {
    const { stderr } = ioasid(['run', '--verbose', '--device', 'edu', 'cat', '/dev/ioasid']);
    assert.match(
      stderr,
      / cat\[\d+\] read\(3<\/dev\/ioasid>, .* = -1 EAGAIN <\S+>: there are no page faults/,
    );
  });

  it('fails with 99 on what --fail-on names, when the command has succeeded', () => {
    const dma =
      'import os, struct; fd = os.open("/dev/vfio/devices/vfio0", os.O_RDWR); ' +
      'os.pwrite(fd, b"\\6", (7 << 40) + 4); ' +
      '[os.pwrite(fd, struct.pack("<Q", value), offset) for value, offset in ' +
      '((0x40000, 0x80), (0x1000, 0x88), (8, 0x90), (3, 0x98))]';
    const run = (failOn: string, end: string) =>
      ioasid(
        ['run', '--fail-on', failOn, '--device', 'edu', '--', 'python3', '-c', `${dma}; ${end}`],
        runner,
      );
    const failed = run('fault,note', 'pass');
    assert.match(failed.stderr, /^ioasid: the command has succeeded, but devices had 1 DMA fault.*99/m);
    assert.equal(failed.status, 99);
    // The DMA of a device that works is done before its file is released, which may be after the command.
    assert.equal(run('fault', 'os._exit(0)').status, 99);
    assert.equal(run('fault', 'exit(3)').status, 3);
    assert.equal(ioasid(['run', '--fail-on', 'fault,note', '--', 'true'], runner).status, 0);
    assert.equal(ioasid(['run', '--fail-on', 'faults', '--', 'true'], runner).status, 125);
  });

  it('leaves what a CI job keeps: a log, a JUnit file, annotations', () => {
    const folder = mkdtempSync(join(tmpdir(), 'ioasid-'));
    const [log, junit] = [join(folder, 'log'), join(folder, 'junit.xml')];
    const files = ['--log', log, '--junit', junit, '--github'];
    const script = 'cat /dev/ioasid; exit 3';
    const { status, stderr } = ioasid(['run', ...files, '--device', 'edu', 'sh', '-c', script]);
    assert.equal(status, 3);
    assert.doesNotMatch(stderr, /^::/m);
    assert.match(readFileSync(log, 'utf8'), /^\S+ cat\[\d+\] read\(.* = -1 EAGAIN .*: there are no page/);
    assert.match(readFileSync(junit, 'utf8'), /failures="1".*\n.*<testcase .*\n.*message="exit status 3"/s);
    for (const file of [log, junit]) assert.equal(statSync(file).mode & 0o777, 0o600);
    const nowhere = ioasid(['run', '--junit', '/no/folder/file', 'echo', 'here']);
    assert.deepEqual([nowhere.status, nowhere.stdout], [125, '']);
  });

  it('tells the command that it runs here', () => {
    assert.equal(ioasid([...edu, 'printenv', 'IOASID'], runner).stdout, '1\n');
  });
});
