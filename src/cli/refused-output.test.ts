/** Files that options name, and a command that is refused. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Running } from '../testkit/processes.js';

test('what an option wants and cannot have is told in one line', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'ioasid-refused-'));
  const taken = createServer().listen(0, '127.0.0.1');
  t.after(() => {
    taken.close();
    rmSync(folder, { recursive: true });
  });
  await once(taken, 'listening');
  const { port } = taken.address() as AddressInfo;
  symlinkSync('elsewhere', join(folder, 'link'));
  const functions = '/sys/bus/pci/devices';
  const host = existsSync(functions) ? readdirSync(functions)[0] : undefined;
  const refused: (readonly [readonly string[], RegExp])[] = [
    [['--record', join(folder, 'link')], /symbolic link/],
    [['--log', folder], /illegal operation on a directory/],
    [['-o', join(folder, 'none', 'trace'), '--trace'], /no such file/],
    [['-e', 'nothing'], /-e takes call, error/],
    [['--device', 'dsa,wqs=99'], /not a number from 1 to 64/],
    [['--device', `virtio-blk,file=${folder}/none`], /does not exist/],
    [['--link', 'w=unix:none'], /0 devices have link "w"/],
    [[`--inspect=${port}`], /^ioasid: --inspect: port \d+ of 127\.0\.0\.1 is in use$/],
  ];
  const commands = refused.flatMap(([options, said]) => [
    { command: ['run', ...options, '--', 'true'], said },
    { command: ['serve', ...options, join(folder, 'dev')], said },
  ]);
  // Under serve ours are not beside the host's.
  if (host !== undefined)
    commands.push({ command: ['run', '-d', `edu,bdf=${host}`, 'true'], said: /has a function there/ });
  await Promise.all(
    commands.map(async ({ command, said }) => {
      const running = Running.ioasid(command);
      assert.equal((await running.ended).status, 125, command.join(' '));
      const lines = running.output.split('\n').filter((line) => line.startsWith('ioasid: '));
      assert.equal(lines.length, 1, running.output);
      assert.match(lines[0]!, said);
    }),
  );
});

test('a command that is refused leaves what its output files had', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'ioasid-refused-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = (name: string) => join(folder, name);
  const outputs = ['--record', '--log', '--junit', '-o'].map((option) => [option, file(option)] as const);
  for (const [, path] of outputs) writeFileSync(path, 'before');
  const words = ['run', '--device', 'dsa,wqs=99', '--trace', ...outputs.flat(), '--', 'true'];
  assert.equal((await Running.ioasid(words).ended).status, 125);
  for (const [, path] of outputs) assert.equal(readFileSync(path, 'utf8'), 'before');
});
