/**
 * README as somebody follows it who has the packed package and an empty folder: its programs are saved there,
 * its commands are run there, by what npm has installed and nothing of this checkout.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { before, describe, it } from 'node:test';
import { listingsOf, listingWith, plainCommands, shownCommands } from '../../testkit/listings.js';
import { runner } from '../../testkit/processes.js';
import { Project, packed } from '../../testkit/project.js';

const README = 'README.md';
const programs = ['dsa.py', 'fill.py'] as const;
const python = spawnSync('python3', ['--version']).status === 0 ? false : 'there is no python3';

describe(`README from the packed package, as ${runner.name}`, { skip: runner.skip || python }, () => {
  let project: Project;
  before(() => {
    project = Project.empty();
    copyFileSync(packed(), join(project.folder, basename(packed())));
    const { status, stderr } = project.run(`npm install --no-audit --no-fund -D ./${basename(packed())}`);
    assert.equal(status, 0, stderr);
  });

  const listings = listingsOf(README).filter(({ language }) => language === 'python');
  for (const [n, name] of programs.entries())
    it(`${name} prints what is shown`, () => {
      project.write(name, listings[n]!.text);
      const [{ command, output } = assert.fail()] = shownCommands(listingWith(README, `python3 ${name}`));
      const { status, stdout, stderr } = project.run(command);
      assert.deepEqual([status, stdout, stderr], [0, output, '']);
    });

  it('a shell finds the files at their paths', () => {
    const [{ command } = assert.fail(), inner = assert.fail()] = shownCommands(
      listingWith(README, 'ls /dev/ioasid'),
    );
    const { stdout } = project.run(command, `${inner.command}\n`);
    assert.deepEqual(stdout.split(/\s+/), inner.output.split(/\s+/));
  });

  it('the examples are beside the reader after the command of docs/examples.md', () => {
    const [copies = ''] = plainCommands(listingWith('docs/examples.md', 'cp -r node_modules'));
    const run = shownCommands(listingWith('docs/examples.md', 'checksum.c')).at(-1)!;
    assert.match(run.command, /python3 examples\/fill\.py$/);
    const { status, stdout, stderr } = project.run(`${copies} && ${run.command}`);
    assert.deepEqual([status, stdout, stderr], [0, run.output, '']);
  });
});
