/** What shells and man(1) are told is what `--help` says. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ioasid } from '../testkit/processes.js';
import { exitStatuses } from './exit-statuses.js';

const commands = ['run', 'serve', 'devices', 'ls', 'trace', 'stop', 'doctor', 'demo', 'completion', 'man'];
const output = (...args: string[]) => ioasid(args).stdout;
/** Long options, as a help text or a script has them. */
const optionsIn = (text: string) => new Set(text.match(/(?<![\w-])--[a-z][a-z-]+/g));

test('the man page has each command with each option of its help', () => {
  const page = output('man').replaceAll('\\-', '-');
  const [first] = page.split('\n');
  assert.match(first!, /^\.TH IOASID 1 /);
  for (const command of commands) assert.ok(page.includes(`.SS ioasid ${command} `), command);
  for (const option of optionsIn(output('run', '--help'))) assert.ok(page.includes(option), option);
  for (const [status, when] of exitStatuses)
    assert.ok(page.includes(`.B ${status}\n${when.replaceAll('`', '')}\n`), status);
  assert.ok(!/^[.'](?!TH|SH|SS|TP|B |br)/m.test(page));
});

test('docs and the help of run have the exit statuses of the man page', () => {
  const documented = readFileSync(new URL('../../docs/trace.md', import.meta.url), 'utf8');
  const table = documented.slice(documented.indexOf('## Exit status'));
  const rows = [...table.matchAll(/^\| `?([\w+]+)`? +\| (.*?) +\|$/gm)].slice(1);
  assert.deepEqual(
    rows.map(([, status, when]) => [status, when]),
    exitStatuses,
  );
  const help = output('run', '--help');
  for (const [status] of exitStatuses)
    assert.match(help, new RegExp(`^  ${status.replace('+', '\\+')} `, 'm'));
});

const bash = spawnSync('bash', ['--version']).status === 0;

test('bash completes commands, options and what they take, and commands after --', {
  skip: bash ? false : 'there is no bash',
}, () => {
  const script = join(mkdtempSync(join(tmpdir(), 'ioasid-')), 'completion');
  writeFileSync(script, output('completion', 'bash'));
  const completed = (...words: string[]) => {
    const list = ['ioasid', ...words].map((word) => `'${word}'`).join(' ');
    const line = `COMP_WORDS=(${list}); COMP_CWORD=${words.length}; _ioasid; echo "\${COMPREPLY[*]}"`;
    const { stdout, stderr } = spawnSync('bash', ['-c', `. ${script}; ${line}`], { encoding: 'utf8' });
    assert.equal(stderr, '');
    return stdout.trimEnd().split(' ');
  };
  assert.deepEqual(completed('se'), ['serve']);
  assert.deepEqual(
    commands.filter((command) => !completed('').includes(command)),
    [],
  );
  assert.deepEqual(completed('run', '--tr'), ['--trace']);
  assert.deepEqual(completed('run', '--container', 't'), ['type1']);
  assert.deepEqual(completed('completion', 'f'), ['fish']);
  assert.ok(completed('run', '--', 'bas').includes('bash'));
  assert.deepEqual(completed('run', '--log', script), [script]);
});

test('fish and zsh are told the same options', () => {
  const asked = optionsIn(output('run', '--help'));
  const fish = output('completion', 'fish');
  for (const option of asked) assert.ok(fish.includes(` -l ${option.slice(2)} `), option);
  assert.ok(output('completion', 'zsh').startsWith('autoload -U +X bashcompinit'));
});
