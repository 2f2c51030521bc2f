import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { options as dsaOptionTable } from '../devices/dsa/options.js';
import { builtInDevices } from '../devices/load.js';
import { pipe } from '../linux/fd-passing.js';
import { modelOfTests } from '../testkit/faulty-model.js';
import { withoutLate } from '../testkit/late-servers.js';
import { bin, ioasid, runner, withoutFuse } from '../testkit/processes.js';
import type { Finding } from './doctor.js';

describe('the command line', () => {
  it('prints its version and its help with status 0', () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string;
    };
    assert.deepEqual(ioasid(['--version']), { status: 0, signal: null, stdout: `${version}\n`, stderr: '' });
    const help = ioasid(['--help']);
    assert.equal(help.status, 0);
    for (const command of ['run', 'serve', 'devices', 'ls', 'doctor', 'demo'])
      assert.match(help.stdout, new RegExp(`^ +${command}\\b`, 'm'));
  });

  it('ends with status 125 and a sentence when it makes no sense', () => {
    const wrong = [
      ['no-such-command'],
      ['run'],
      ['run', '--no-such-option', 'true'],
      ['ls', 'extra'],
      ['run', '--device'],
    ];
    for (const args of wrong) {
      const { status, stderr } = ioasid(args);
      assert.equal(status, 125, args.join(' '));
      assert.match(stderr, /^error: /);
      if (args[0] === 'run') assert.match(stderr, /ioasid run --help/);
    }
  });

  it('leaves the -- to the command where an option has no value before it', () => {
    for (const option of ['--config', '-d', '-o', '--record', '--link', '--pasid-quota', '--time']) {
      const { status, stdout, stderr } = ioasid(['run', option, '--', 'echo', 'started']);
      assert.deepEqual([status, stdout], [125, ''], option);
      assert.match(
        stderr,
        /^error: option '.*(has no value before the `--`|argument '--' is invalid)/,
        option,
      );
    }
  });

  it('says in words, and not by an errno, why a file or command cannot be had', () => {
    const scratch = mkdtempSync(join(tmpdir(), 'ioasid-words-'));
    const file = join(scratch, 'script');
    writeFileSync(file, '#!/nowhere/sh\n', { mode: 0o755 });
    const words: readonly (readonly [args: readonly string[], status: number, sentence: RegExp])[] = [
      [['replay', `${file}.no`], 125, /cannot be read: no such file or directory$/],
      [['run', '-o', `${file}/trace`, '--trace', '--', 'true'], 125, /cannot be written: not a directory$/],
      [['run', '--config', scratch, '--', 'true'], 125, /is no file/],
      [['run', '--device', '../no.js', '--', 'true'], 125, /there is no file/],
      ...(runner.skip
        ? []
        : ([
            [['run', '--', `${file}.no`], 127, /there is no command \/.*\/script.no$/],
            [['run', '--', 'no-such-command'], 127, /no-such-command: command not found$/],
            [['run', '--', scratch], 126, /cannot be executed: permission denied$/],
            [['run', '--', file], 127, /cannot be executed: .* an interpreter or loader, is not there$/],
          ] as const)),
    ];
    for (const [args, expected, sentence] of words) {
      const { status, stderr } = ioasid([...args]);
      const [said = ''] = stderr.split('\n', 1);
      assert.equal(status, expected, said);
      assert.match(said, sentence);
      assert.doesNotMatch(said.replaceAll(scratch, ''), /\bE[A-Z]{3,}\b/);
    }
    rmSync(scratch, { recursive: true });
  });

  it('prints as far as its reader takes it, and says nothing of one that has gone', () => {
    for (const args of [
      ['run', '--help'],
      ['devices'],
      ['man'],
      ['completion', 'bash'],
      ['ls'],
      ['doctor'],
    ]) {
      const [reader, writer] = pipe();
      closeSync(reader);
      const { stderr } = spawnSync(bin, args, { stdio: ['ignore', writer, 'pipe'], encoding: 'utf8' });
      closeSync(writer);
      assert.equal(withoutLate(stderr), '', args.join(' '));
    }
  });

  it('tells what each device takes, and of those that are asked for by help', () => {
    const all = ioasid(['devices']);
    assert.equal(all.status, 0);
    for (const name of builtInDevices) assert.match(all.stdout, new RegExp(`^${name}  \\S`, 'm'));
    const dsa = ioasid(['devices', 'dsa']);
    for (const key of Object.keys(dsaOptionTable))
      assert.match(dsa.stdout, new RegExp(`^ +${key}=.*\\(default `, 'm'));
    const keys = (name: string) => [...ioasid(['devices', name]).stdout.matchAll(/^ +([\w-]+)=/gm)];
    const named = (name: string) => keys(name).map(([, key]) => key!);
    assert.match(ioasid(['devices', 'virtio-blk']).stdout, /^ +file=PATH +its medium \(required\)$/m);
    for (const name of ['dsa', 'virtio-blk']) {
      const { stderr } = ioasid(['run', '--device', `${name},nonsense=1`, '--', 'true']);
      assert.ok(
        stderr.includes(`${name} has no option "nonsense" (it has ${named(name).join(', ')})\n`),
        stderr,
      );
    }
    assert.deepEqual(named('edu'), ['dma-mask', 'bdf', 'port', 'mdevs', 'idxd']);
    assert.deepEqual(ioasid(['run', '--device', 'dsa,help']), dsa);
    const unknown = ioasid(['devices', 'dsaa']);
    assert.equal(unknown.status, 125);
    assert.match(unknown.stderr, /did you mean dsa\?/);
  });

  it('tells a mistake in a module by its line and its stack, once, with status 125', () => {
    const { status, stderr } = ioasid(['devices', modelOfTests('throws-at-import')]);
    assert.equal(status, 125);
    const [sentence, ...stack] = stderr.trimEnd().split('\n');
    assert.match(
      sentence!,
      /^ioasid: device .* cannot be loaded: .*read prop.* \(.*\/throws-at-import\.js:2\)$/,
    );
    assert.equal(stack.length, 1, stderr);
    assert.match(stack[0]!, /^ +at .*\/throws-at-import\.js:2:\d+\)?$/);
  });

  it('can be called through a symbolic link, as installed packages are', () => {
    const scratch = mkdtempSync(join(tmpdir(), 'ioasid-link-'));
    try {
      symlinkSync(bin, join(scratch, 'ioasid'));
      assert.equal(spawnSync(join(scratch, 'ioasid'), ['--version']).status, 0);
    } finally {
      rmSync(scratch, { recursive: true });
    }
  });
});

describe('doctor', () => {
  it('has an answer to every question, and something to do about every no', () => {
    const { status, stdout } = ioasid(['doctor', '--json']);
    const findings = JSON.parse(stdout) as Finding[];
    for (const { name, ok, detail, remedy } of findings) {
      assert.notEqual(detail, '', name);
      if (!ok) assert.ok(remedy, name);
    }
    assert.equal(status, findings.some(({ ok, required }) => required && !ok) ? 1 : 0);
    assert.equal(status, withoutFuse ? 1 : 0);
  });

  it('says in words whether run can work', () => {
    const { stdout } = ioasid(['doctor']);
    assert.match(stdout, withoutFuse ? /`ioasid run` cannot work here/ : /`ioasid run` works here/);
  });
});
