/** `ioasid` where the machine gives little: limits of the process, full disks, standard streams that fail. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { Refusal } from '../linux/errno.js';
import { bin, Running, shell, withoutFuse } from '../testkit/processes.js';
import { checkOwnLimits } from './own-limits.js';

const folder = mkdtempSync(join(tmpdir(), 'ioasid-limits-'));
after(() => rmSync(folder, { recursive: true }));
const options = { skip: withoutFuse };
/** A user whom no other test is, wherever it runs: the processes of all tests of a user would count. */
const uid = 20_000 + (process.pid % 20_000);
const other = `setpriv --reuid=${uid} --regid=${uid} --clear-groups --inh-caps=-all`;
const asOther = { skip: withoutFuse || (process.geteuid?.() !== 0 && 'needs root to be another user') };
const full = existsSync('/dev/full') ? options : { skip: 'no /dev/full here' };

/** What `commands` say, of which each ends with `status`. */
function said(limit: string, commands: readonly string[], status: number): string {
  const results = commands.map((command) => shell(`${limit}; exec timeout 60 $IOASID ${command}`));
  for (const result of results) assert.equal(result.status, status, result.stderr);
  return results.map(({ stderr }) => stderr).join('');
}

describe('a server whose own limits are too small', options, () => {
  const commands = [`run --record ${folder}/recording -- true`, `serve ${folder}/served`];
  const twice = (line: string) => `ioasid: ${line}\n`.repeat(2);

  it('says which limit of file sizes it is, how large, and how large it must be', () => {
    // Of dash in blocks of 512 bytes.
    assert.equal(
      said('ulimit -f 16', commands, 125),
      twice('the limit of file size is 8192 bytes (ulimit -f), and at least 1048576 are needed'),
    );
    assert.equal(said('ulimit -f 2048', ['run -d edu -- true'], 0), '');
  });

  it('says which limit of addresses it is, and ends as Node would not', () => {
    assert.equal(
      said('ulimit -v 3000000', commands, 125),
      twice(
        'the limit of address space is 3072000000 bytes (ulimit -v), and at least 15032385536 are needed',
      ),
    );
    assert.equal(said(`ulimit -v ${14 << 20}`, [`run -d edu --record ${folder}/more -- true`], 0), '');
  });

  it('says which limit of data it is', () => {
    assert.equal(
      said('ulimit -d 100000', commands, 125),
      twice('the limit of data size is 102400000 bytes (ulimit -d), and at least 1073741824 are needed'),
    );
  });

  it('says which limit of processes it is, of whom it is one', asOther, () => {
    const said = /^ioasid: the limit of processes and threads is 20 \(ulimit -u\), the user has \d+, and at /;
    for (const command of commands) {
      const { status, stderr } = shell(`exec ${other} prlimit --nproc=20 $IOASID ${command}`);
      assert.match(stderr, said);
      assert.equal(status, 125);
    }
    assert.equal(shell('exec prlimit --nproc=20 $IOASID run -d edu -- true').status, 0);
  });

  it('counts the threads that wait for disks, without which Node ends itself', asOther, () => {
    const devices = Array.from({ length: 10 }, (_, n) => `-d virtio-blk,file=${folder}/disk${n}`).join(' ');
    const { status, stderr } = shell(`exec ${other} prlimit --nproc=50 $IOASID run ${devices} -- true`);
    assert.match(
      stderr,
      /^ioasid: the limit of processes and threads is 50 .*, and at least 64 more are needed$/m,
    );
    assert.equal(status, 125);
  });

  it('leaves nothing', () => assert.deepEqual([existsSync(`${folder}/served`)], [false]));
});

describe('where nothing more can be written', full, () => {
  it('a command that tells something says so and is 125; one whose reader has gone is not', () => {
    const no = 'ioasid: standard output takes no more: no space left on device\n';
    for (const command of ['devices', 'doctor', 'man'])
      assert.deepEqual(shell(`$IOASID ${command} >/dev/full`), {
        status: 125,
        signal: null,
        stdout: '',
        stderr: no,
      });
    assert.equal(shell('$IOASID man | head -n 1 >/dev/null').stderr, '');
  });

  it('a command that is refused has its status, though nobody can be told why', () => {
    assert.equal(shell('$IOASID run -d edu -- ./none 2>/dev/full').status, 127);
    assert.equal(shell('$IOASID run -d none -- true 2>/dev/full').status, 125);
  });

  it('a run says which of its files is not complete', () => {
    const run = (option: string) => shell(`$IOASID run -d edu ${option} /dev/full -- sh -c ': </dev/ioasid'`);
    const junit = run('--junit');
    assert.equal(junit.status, 125);
    assert.equal(
      junit.stderr,
      'ioasid: the end went wrong: "/dev/full" is not complete: no space left on device\n',
    );
    const { status, stderr } = run('--trace -o');
    assert.equal(status, 0);
    assert.equal(stderr, 'ioasid: nothing more is written to "/dev/full": no space left on device\n');
  });

  it('a trace of a recording that has no room is 125', () => {
    const run = `$IOASID run -d edu --record ${folder}/short -- sh -c ': </dev/ioasid'`;
    const { stderr } = shell(`${run} && $IOASID trace ${folder}/short >/dev/full; echo $? >&2`);
    assert.equal(
      stderr,
      'ioasid: nothing more is written to standard output: no space left on device\n125\n',
    );
  });

  it('a serve goes on, and says that its list of files has no room', async () => {
    const serve = [process.execPath, bin, 'serve', join(folder, 'dev')];
    const running = new Running(['sh', '-c', 'exec "$@" >/dev/full', 'sh', ...serve]);
    await running.says('standard output takes no list of the files: no space left on device');
    running.kill('SIGTERM');
    assert.equal((await running.ended).status, 0);
  });
});

it('a serve ends where its folder cannot be made, or is none', options, () => {
  const why = {
    '/proc/none/dev': 'ENOENT: the folder /proc/none cannot be made: no such file or directory',
    '/proc/self/maps': 'ENOTDIR: nothing can be mounted on /proc/self/maps: not a directory',
    [`${bin}/dev`]: `ENOTDIR: the folder ${bin}/dev cannot be made: not a directory`,
  };
  for (const [path, reason] of Object.entries(why)) {
    const { status, stderr } = shell(`exec timeout -s KILL 30 $IOASID serve ${path}`);
    assert.equal(stderr, `ioasid: ${reason.replace(/^\w+: /, '')}\n`);
    assert.equal(status, 125);
  }
});

it('a demo without a folder for a compiled program has another one', options, () => {
  const { status, stdout } = shell('TMPDIR=/none exec timeout -s KILL 60 $IOASID demo');
  assert.equal(status, 0);
  assert.match(stdout, /a Node program \(nothing can be written in \/none: no such file or directory\)/);
});

it('who removes the folder that it is started in is told so', options, () => {
  const { status, stderr } = shell(
    `mkdir ${folder}/gone && cd ${folder}/gone && rmdir ../gone && $IOASID run true`,
  );
  assert.equal(status, 125);
  assert.equal(
    stderr,
    'ioasid: the folder that ioasid was started in cannot be found: no such file or directory\n',
  );
});

it('limits that are large enough, or none, are not told of', () => {
  checkOwnLimits(
    0,
    'Max file size   unlimited   unlimited   bytes\nMax address space   15032385536  unlimited bytes\n',
  );
  checkOwnLimits(0, '');
  assert.throws(
    () => checkOwnLimits(0, 'Max file size             1048575              unlimited            bytes\n'),
    (error) => error instanceof Refusal && error.code === 'EFBIG',
  );
});
