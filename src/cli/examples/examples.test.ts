/** The programs in examples/ do what docs/examples.md says, by the commands that are shown there. */
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { before, describe, it } from 'node:test';
import { missingCompiler } from '../../testkit/c-program.js';
import { listingsOf, listingWith, plainCommands, shownCommands } from '../../testkit/listings.js';
import { runner } from '../../testkit/processes.js';
import { Project, packed, root, script } from '../../testkit/project.js';

const DOCUMENT = 'docs/examples.md';
const text = readFileSync(join(root, DOCUMENT), 'utf8');
const examples = readdirSync(join(root, 'examples'));
const skip = runner.skip || missingCompiler() || (process.arch === 'x64' ? false : `not on ${process.arch}`);

describe(`docs/examples.md as ${runner.name}`, { skip }, () => {
  let project: Project;
  before(() => {
    project = Project.ofCheckout().compilers();
  });

  for (const listing of listingsOf(DOCUMENT).filter(({ language }) => language === 'console'))
    it(`shows what is printed at line ${listing.line}`, () => {
      for (const { command, output } of shownCommands(listing))
        assert.deepEqual(
          { command, ...project.run(command) },
          { command, status: 0, signal: null, stdout: output, stderr: '' },
        );
    });

  it('names every example, and each in a table', () => {
    for (const name of examples) assert.ok(text.includes(`](../examples/${name})`), name);
  });

  it('shows how its tests are run, in a project with the package', () => {
    const mine = Project.withCommands();
    for (const name of ['mdevs.spec.mjs', 'nic.spec.ts', 'nic.ts'])
      mine.write(name, readFileSync(join(root, 'examples', name), 'utf8'));
    const made = mine.run(`npm init -y && npm install --no-audit --no-fund -D ${packed()} vitest@3.2.7`);
    assert.equal(made.status, 0, made.stderr);
    for (const command of plainCommands(listingWith(DOCUMENT, 'npx vitest run'))) {
      const { status, stdout, stderr } = mine.run(command);
      assert.equal(status, 0, stdout + stderr);
      assert.match(stdout, /# pass 1$|1 passed/m);
    }
  });

  it('has a workflow whose commands work, but for those of its machine', () => {
    const workflow = readFileSync(join(root, 'examples/github.yml'), 'utf8');
    const commands = [...workflow.matchAll(/^ +- run: (.*?)(?: #.*)?$/gm)].map(([, command]) => command!);
    const ofMachine = commands.filter((command) => /^npm ci$|^sudo /.test(command));
    assert.equal(ofMachine.length, 2);
    project.tool('tests', 'test "$IOASID" = 1 && ls /dev/vfio/devices', project.folder);
    for (const command of commands.filter((each) => !ofMachine.includes(each))) {
      const { status, stdout, stderr } = project.run(command);
      assert.equal(status, 0, stdout + stderr);
    }
    assert.match(readFileSync(join(project.folder, 'ioasid.xml'), 'utf8'), /<testsuite .*failures="0"/);
    assert.equal(readFileSync(join(project.folder, 'ioasid.log'), 'utf8'), '');
  });
});

describe("Linux's headers", { skip }, () => {
  const suites = ['trixie', 'bookworm'] as const;

  it('of two Debians lack what docs/examples.md says, and no more of it', () => {
    for (const [, header, ...cells] of text.matchAll(/^\| `<(linux\/\w+\.h)>` +\| (.*?) +\| (.*?) +\|$/gm))
      for (const [n, suite] of suites.entries()) {
        const path = join(script('linux-headers.sh', suite), header!);
        if (cells[n]!.startsWith('is not there')) assert.ok(!existsSync(path), `${suite} ${header}`);
        else {
          const words = new Set(readFileSync(path, 'utf8').match(/\w+/g));
          const lacking = namesIn(cells[n]!).concat(/these/.test(cells[n]!) ? namesIn(cells[0]!) : []);
          assert.deepEqual(
            namesIn(cells.join()).filter((name) => !words.has(name)),
            [...new Set(lacking)].sort(),
            `${suite} ${header}`,
          );
        }
      }
  });

  it('of Debian 12 are enough for all examples but iommufd.c', () => {
    const project = Project.ofCheckout().compilers('bookworm');
    const wanting = examples.filter(
      (name) =>
        name.endsWith('.c') && project.run(`cc -I include -fsyntax-only examples/${name}`).status !== 0,
    );
    assert.deepEqual(wanting, ['iommufd.c']);
  });

  it('of Debian 13 backports are unpacked beside the machine’s own, as docs/examples.md shows', () => {
    const kept = script(
      'debian-package.sh',
      join(script('cache.sh'), 'linux-7.3'),
      'linux-libc-dev',
      'trixie-backports',
    );
    const project = Project.ofCheckout();
    copyFileSync(kept, join(project.folder, basename(kept)));
    for (const command of plainCommands(listingWith(DOCUMENT, 'dpkg-deb')))
      assert.deepEqual(project.run(command), { status: 0, signal: null, stdout: '', stderr: '' });
  });
});

/** The definitions that a cell names, sorted. */
function namesIn(cell: string): string[] {
  return [...new Set([...cell.matchAll(/`([A-Z0-9_]+)`/g)].map(([, name]) => name!))].sort();
}
