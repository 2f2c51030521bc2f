import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { describe, it } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { withoutLate } from '../../testkit/late-servers.js';
import { bin, ioasid, Running, until, user, withoutFuse } from '../../testkit/processes.js';
import { MOST_ASKERS } from '../control-socket.js';
import { launchMode } from '../launcher-process.js';

interface Listed {
  readonly uid: number;
  readonly pid: number;
  readonly contexts: readonly { pid: number }[];
  readonly devices: readonly { name: string }[];
}

const listed = (runner?: typeof user) => JSON.parse(ioasid(['ls', '--json'], runner).stdout) as Listed[];
const opener = ['run', '--device', 'edu', 'sh', '-c', 'exec 3<>/dev/ioasid; echo opened $$; read line'];

/** Asks a server, and stays when it has answered. */
function ask(uid: number, pid: number): Socket {
  const path = `\0ioasid/${uid}/${pid}`.padEnd(108, '\0');
  return connect({ path, allowHalfOpen: true })
    .on('error', () => undefined)
    .resume();
}

describe('ls', () => {
  it('shows the context and the devices of a run, and that they are gone afterwards', {
    skip: withoutFuse,
  }, async () => {
    const running = Running.ioasid(opener);
    await running.says('opened');
    const command = Number(/opened (\d+)/.exec(running.output)![1]);

    const server = listed().find(({ pid }) => pid === running.pid);
    assert.deepEqual(
      server?.contexts.map(({ pid }) => pid),
      [command],
    );
    assert.deepEqual(
      server?.devices.map(({ name }) => name),
      ['vfio0'],
    );
    const text = ioasid(['ls']).stdout;
    assert.match(text, new RegExp(`server ${running.pid} `));
    assert.match(text, new RegExp(`opened by process ${command}`));

    running.process.stdin.end('\n');
    await running.ended;
    assert.equal(
      listed().some(({ pid }) => pid === running.pid),
      false,
    );
  });

  it('--watch shows each device with what was refused last, again and again', {
    skip: withoutFuse,
  }, async () => {
    const script = 'exec 3<>/dev/vfio/devices/vfio0; cat <&3 >/dev/null; echo opened; read line';
    const running = Running.ioasid(['run', '--device', 'edu', 'sh', '-c', script]);
    await running.says('opened');
    const watching = Running.ioasid(['ls', '--watch']);
    const refused = new RegExp(`server ${running.pid} .*?refused EINVAL: offset `, 's');
    await until(() => watching.output.split(refused).length > 2, 'two lists');
    watching.kill('SIGINT');
    assert.equal((await watching.ended).signal, 'SIGINT');
    running.process.stdin.end('\n');
    await running.ended;
  });

  it('says of a server that is stopped why it does not answer, while it waits for it', {
    skip: withoutFuse,
  }, async () => {
    const running = Running.ioasid(opener);
    await running.says('opened');
    running.kill('SIGSTOP');
    const server = `server ${running.pid} of user ${process.getuid!()}`;
    const said = `${server} has not answered for a second, for it is stopped`;
    const [once, watching, drawing] = [
      Running.ioasid(['ls']),
      Running.ioasid(['ls', '--watch', '--json']),
      Running.onTerminal(['ls', '--watch'], 'stty cols 200 rows 50'),
    ];
    for (const each of [once, watching, drawing]) await each.says(said);
    running.kill('SIGCONT');
    await once.says(`${server}: 1 context`);
    for (const each of [watching, drawing]) await each.says('vfio0');
    for (const each of [watching, drawing]) each.kill('SIGINT');
    running.process.stdin.end('\n');
    assert.equal((await running.ended).status, 0);
  });

  it('--watch draws in one place of a terminal as much as it has room for, until the server has gone', {
    skip: withoutFuse,
  }, async () => {
    const running = Running.ioasid(opener);
    await running.says('opened');
    const watching = Running.onTerminal(['ls', '--watch'], 'stty cols 40 rows 4');
    const room = /and \d+ more lines?: all of them by `ioasid ls`/;
    await until(() => watching.output.split(room).length > 2, 'two drawings');
    for (const drawing of watching.output.split('\u001b[H\u001b[J').slice(1, -1)) {
      const rows = stripVTControlCharacters(drawing).split('\r\n').slice(0, -1);
      const used = rows.reduce((sum, row) => sum + Math.max(1, Math.ceil(row.length / 40)), 0);
      assert.ok(used <= 3, drawing);
    }
    assert.equal(watching.output.includes('\u001b[3J'), false, 'what scrolled away stays');
    running.process.stdin.end('\n');
    await running.ended;
    await until(
      () => !watching.output.split('\u001b[H\u001b[J').at(-1)!.includes(`${running.pid}`),
      'it has gone',
    );
    watching.process.stdin.write('\u0003');
    await watching.ended;
  });

  it('costs a server few descriptors, however many ask and do not go', { skip: withoutFuse }, async () => {
    const running = Running.ioasid(opener);
    await running.says('opened');
    const descriptors = () => readdirSync(`/proc/${running.pid}/fd`).length;
    const before = descriptors();
    const askers = Array.from({ length: 5 * MOST_ASKERS }, () => ask(process.geteuid!(), running.pid));
    await Promise.all(askers.map((asker) => once(asker, 'end').catch(() => undefined)));
    assert.ok(descriptors() <= before + MOST_ASKERS, `${before}, then ${descriptors()}`);
    for (const asker of askers) asker.destroy();
    await until(() => descriptors() <= before, 'all are gone');
    assert.ok(listed().some(({ pid }) => pid === running.pid));
    running.process.stdin.end('\n');
    await running.ended;
  });

  it('answers a user, however many of another ask and do not go', { skip: user.skip }, async () => {
    const running = Running.ioasid(opener, user);
    await running.says('opened');
    const askers = Array.from({ length: 2 * MOST_ASKERS }, () => ask(user.uid, running.pid));
    await Promise.all(askers.map((asker) => once(asker, 'end').catch(() => undefined)));
    assert.ok(listed(user).some(({ pid }) => pid === running.pid));
    for (const asker of askers) asker.destroy();
    running.process.stdin.end('\n');
    await running.ended;
  });

  it('does not show the server of another user, except to root', { skip: user.skip }, async () => {
    const [ofRoot, ofUser] = [Running.ioasid(opener), Running.ioasid(opener, user)];
    await ofRoot.says('opened');
    await ofUser.says('opened');
    const pids = [ofRoot.pid, ofUser.pid];
    const seenBy = (runner?: typeof user) =>
      listed(runner)
        .map(({ pid }) => pid)
        .filter((pid) => pids.includes(pid));
    assert.deepEqual(seenBy().sort(), pids.sort());
    assert.deepEqual(seenBy(user), [ofUser.pid]);
    for (const running of [ofRoot, ofUser]) {
      running.process.stdin.end('\n');
      await running.ended;
    }
  });

  it('does not believe a socket that carries the name of another process', {
    skip: process.platform !== 'linux',
  }, async () => {
    const impostor = createServer((socket) => {
      // The asker hangs up as soon as it sees who this is.
      socket.on('error', () => undefined);
      socket.end('{"contexts":[],"devices":[]}');
    });
    const name = `\0ioasid/${process.geteuid!()}/1`.padEnd(108, '\0');
    await new Promise<void>((resolve) => impostor.listen(name, resolve));
    const running = Running.ioasid(['ls', '--json']);
    await running.ended;
    impostor.close();
    assert.equal(
      (JSON.parse(withoutLate(running.output)) as Listed[]).some(({ pid }) => pid === 1),
      false,
    );
  });

  for (const [what, answer, expected] of [
    ['no JSON', 'nonsense', undefined],
    [
      'another shape',
      '{"contexts":7}',
      /server \d+ of user \d+ does not speak as this version of ioasid does/,
    ],
    [
      'control characters',
      '{"pasids":{"used":0},"contexts":[],"devices":[{"name":"\\u001b[2J","authorizations":[],"notes":[]}],' +
        '"faults":{"recent":[]}}',
      / {2}\?\[2J /,
    ],
  ] as const) {
    it(`is not harmed by a server that answers ${what}`, { skip: process.platform !== 'linux' }, async () => {
      const server = createServer((socket) => socket.on('error', () => undefined).end(answer));
      const name = `\0ioasid/${process.geteuid!()}/${process.pid}`.padEnd(108, '\0');
      await new Promise<void>((resolve) => server.listen(name, resolve));
      const running = Running.ioasid(['ls']);
      const { status } = await running.ended;
      server.close();
      assert.equal(status, 0);
      assert.doesNotMatch(running.output, /\p{C}(?<!\n)/u);
      if (expected === undefined) assert.doesNotMatch(running.output, new RegExp(`server ${process.pid} `));
      else assert.match(running.output, expected);
    });
  }

  it('says so, with status 0, when there is no server', {
    skip: launchMode() === 'root' ? false : 'needs root for an empty network namespace',
  }, () => {
    const alone = (args: string[]) =>
      spawnSync('unshare', ['--net', process.execPath, bin, 'ls', ...args], { encoding: 'utf8' });
    assert.match(alone([]).stdout, /no ioasid server is running/);
    assert.equal(alone([]).status, 0);
    assert.equal(alone(['--json']).stdout, '[]\n');
  });
});
