/**
 * The first part of docs/devices.md, followed as it is written: from an empty folder beside the package to a
 * device that is checked, tested and driven.
 *
 * Listings whose first line is a comment with a name are files. Commands use what npm has installed there,
 * and nothing of this checkout.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { before, describe, it } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { type Listing, listingsOf, shownCommands } from '../../testkit/listings.js';
import { runner } from '../../testkit/processes.js';
import { Project, packed, root } from '../../testkit/project.js';

const DOCUMENT = 'docs/devices.md';
const source = readFileSync(join(root, DOCUMENT), 'utf8');
const end = source.slice(0, source.indexOf('\n## Subject by subject')).split('\n').length;
const listings = listingsOf(DOCUMENT).filter(({ line }) => line < end);
const python = spawnSync('python3', ['--version']).status === 0 ? false : 'there is no python3';

describe(`docs/devices.md, from nothing, as ${runner.name}`, { skip: runner.skip || python }, () => {
  let project: Project;
  before(() => {
    project = Project.empty();
    copyFileSync(packed(), join(project.folder, basename(packed())));
  });

  it('has files, commands and what they print, and nothing else', () => {
    assert.equal(listings.filter((each) => nameOf(each) === undefined && !isCommands(each)).length, 0);
    assert.ok(listings.length >= 12, `${listings.length}`);
  });

  for (const [n, listing] of listings.entries())
    it(`at line ${listing.line}: ${nameOf(listing) ?? listing.text.split('\n')[0]}`, () => {
      const name = nameOf(listing);
      if (name !== undefined) return project.write(`copier/${name}`, listing.text);
      const folder = n === 0 ? '.' : 'copier';
      if (listing.language === 'sh') return succeeds(`set -e; cd ${folder}\n${listing.text}`);
      for (const { command, output } of shownCommands(listing)) {
        const { stdout, stderr } = project.run(`cd ${folder}\n${command}`);
        const said = stripVTControlCharacters(stdout).replaceAll(project.folder, '/home/you');
        assert.deepEqual({ command, said, stderr }, { command, said: output, stderr: '' });
      }
    });

  function succeeds(script: string): void {
    const { status, stdout, stderr } = project.run(script);
    assert.equal(status, 0, stdout + stderr);
  }
});

function isCommands({ language }: Listing): boolean {
  return language === 'sh' || language === 'console';
}

/** What its file is called, when it is one. */
function nameOf(listing: Listing): string | undefined {
  return isCommands(listing) ? undefined : /^(?:\/\/|#) ([\w.-]+): /.exec(listing.text)?.[1];
}
