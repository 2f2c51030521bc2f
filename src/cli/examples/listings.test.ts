/**
 * The commands and programs that README and docs show, run as they are shown. What stands for something of
 * the reader's (`./my-driver`, `cargo`) is a program that looks whether its devices are there.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { missingCompiler } from '../../testkit/c-program.js';
import { listingWith, plainCommands, shownCommands } from '../../testkit/listings.js';
import { runner } from '../../testkit/processes.js';
import { Project, root } from '../../testkit/project.js';
import { runExamples } from '../help-texts.js';

const readers = [
  'my-driver',
  'my-test',
  'my-vm',
  'my-vmm',
  'program',
  'tests',
  'configures-it-by-itself',
  'driver',
];
/** Listings of commands without output, by words in them. */
const commands: readonly (readonly [document: string, words: string, devices: RegExp])[] = [
  ['README.md', 'cargo test', /vfio0/],
  ['docs/dsa.md', 'mdevs=2,mode=dedicated', /vfio0|^\/dev\/dsa:$/m],
  ['docs/idxd.md', 'configures-it-by-itself', /wq0\.0|^\/dev\/dsa:$/m],
  ['docs/iommufd.md', 'my-vmm', /vfio0/],
  ['docs/nvme.md', 'queues=16', /vfio0/],
  ['docs/nvme.md', 'cc -o nvme', /^/],
  ['docs/vdpa.md', 'truncate -s 1G', /vhost-vdpa-2/],
];

describe(`what documents show, as ${runner.name}`, { skip: runner.skip || missingCompiler() }, () => {
  let project: Project;
  before(() => {
    project = Project.ofCheckout().compilers();
    const lines = 'test "$IOASID" = 1 && cd /dev && ls -d vhost-vdpa-*; ls /dev/vfio/devices /dev/dsa; true';
    for (const name of ['cargo', 'my-vmm']) project.tool(name, lines);
    for (const name of readers) project.tool(name, lines, project.folder);
    project.run('truncate -s 1M disk.img && cp examples/nvme.c .');
  });

  for (const [document, words, devices] of commands)
    it(`${document}: ${words}`, () => {
      for (const command of plainCommands(listingWith(document, words))) {
        const { status, stdout, stderr } = project.run(command);
        assert.equal(status, 0, `${command}\n${stderr}`);
        if (command.includes('ioasid')) assert.match(stdout, devices, command);
      }
    });

  it('README.md: a shell finds the files at their paths', () => {
    const shown = shownCommands(listingWith('README.md', 'ls /dev/ioasid'));
    const [{ command } = assert.fail(), inner = assert.fail(), lists = assert.fail()] = shown;
    const { stdout } = project.run(command, `${inner.command}\n`);
    assert.deepEqual(stdout.split(/\s+/), inner.output.split(/\s+/));
    const held = project.run(command, `exec 3<>/dev/ioasid\n${lists.command}\n`);
    assert.match(held.stdout, /vfio2 +edu .*\n +context 1 +opened by process \d+/);
  });

  it('README.md: the commands in its sentences, but for a reader of manuals', () => {
    const text = readFileSync(join(root, 'README.md'), 'utf8');
    const shown = [...text.matchAll(/`([^`\n]*npx ioasid [^`\n]+)`/g)].map(([, command]) => command!);
    assert.ok(shown.length >= 4, shown.join());
    project.write('hello.mjs', listingWith('README.md', '// hello.mjs').text);
    for (const command of shown) {
      const runnable = command
        .replace('| man -l -', '| grep .TH')
        .replace(/taskset.*\.{3}/, 'npx ioasid run -- true');
      project.write('said.sh', `set -e -o pipefail\n${runnable}\n`);
      const { status, stderr } = project.run('bash said.sh');
      assert.deepEqual([command, status, stderr], [command, 0, '']);
    }
  });

  it('run --help: its examples', () => {
    const examples = runExamples.match(/(?<=^ {2})ioasid .*?(?= {2,})/gm)!;
    assert.equal(examples.length, 4);
    project.run('cp examples/serial.js my-device.js && touch driver.py');
    for (const example of examples) {
      const { status, stderr } = project.run(`npx ${example}`);
      assert.equal(status, 0, `${example}\n${stderr}`);
    }
  });

  it('README.md: a machine in the same process', () => {
    project.write('machine.mjs', listingWith('README.md', 'new InProcess(machine)').text);
    const { status, stderr } = project.run('node machine.mjs');
    assert.deepEqual([status, stderr], [0, '']);
  });

  it('README.md: the steps of a CI job, but for the installation', () => {
    const [, ...steps] = listingWith('README.md', 'npx ioasid doctor').text.match(
      /(?<=- run: ).*?(?= *(#|$))/gm,
    )!;
    assert.equal(steps.length, 2);
    for (const step of steps) assert.equal(project.run(step).status, 0, step);
  });

  it('docs/abi.md: one program', () => {
    project.write('first.c', listingWith('docs/abi.md', 'int main(void)').text);
    const [command] = plainCommands(listingWith('docs/abi.md', 'first.c'));
    const { status, stdout, stderr } = project.run(command!);
    assert.deepEqual([status, stderr], [0, '']);
    assert.match(stdout, /^the device may use PASID \d+; the memory is at iova 0x[0-9a-f]+\n$/);
  });

  it('docs/abi.md: its pieces are C that compiles where it stands', () => {
    const pieces = [
      'FIXED_IOVA, .pasid',
      '1ull << 30',
      'guest_cr3',
      'ioasid_page_fault fault',
      'mdev, IOASID',
    ];
    const bodies = pieces.map((words, n) => {
      const { text } = listingWith('docs/abi.md', words);
      const map = words.includes('page_fault') ? 'struct ioasid_map map = {0};\n' : '';
      return `void piece${n}(void)\n{\n${map}${text}}\n`;
    });
    const known =
      'extern int ioasid, mdev, memfd;\nextern __u32 pasid, guest_memory;\n' +
      'extern __u64 guest_cr3;\nextern void *ring;\n';
    project.write(
      'pieces.c',
      `#include <ioasid.h>\n#include <sys/ioctl.h>\n#include <unistd.h>\n${known}${bodies.join('')}`,
    );
    const { status, stderr } = project.run('cc -Wno-unused-result -I include -c -o pieces.o pieces.c');
    assert.equal(status, 0, stderr);
  });

  for (const [document, words] of [
    ['docs/devices.md', 'link=tty0'],
    ['docs/vdpa.md', 'wire0=unix'],
  ] as const)
    it(`${document}: a link to a socket that somebody listens at`, () => {
      const [shown] = plainCommands(listingWith(document, words));
      const path = join(project.folder, 'peer.sock');
      // The server is a process of its own: the shell is waited for.
      const listen = 'require("net").createServer().listen(process.argv[1])';
      const server = `node -e '${listen}' ${path} & until [ -S ${path} ]; do sleep 0.05; done`;
      const command = shown!.replace(/(?<=(unix|bytes):)\S+/, path);
      const { status, stderr } = project.run(`${server}; ${command}; s=$?; kill $!; rm -f ${path}; exit $s`);
      assert.equal(status, 0, stderr);
    });
});
