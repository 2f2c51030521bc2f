import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as turn } from 'node:timers/promises';
import { finish } from '../file/work.js';
import { account, Child, PAGE, stackOf } from '../testkit/child.js';
import { randomAddress } from './aux-vector.js';
import { processMemory } from './process-memory.js';

const READ = 1;
const BOTH = 3;

function hasCompiler(): boolean {
  try {
    execFileSync('cc', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

test('a program that changes its own random bytes is known again', async () => {
  const other = new Child();
  const address = await other.map(PAGE);
  const random = randomAddress(other.pid, other.pid);
  const { memory } = finish(processMemory(account, other.pid, address, PAGE, READ));
  for (const bytes of [new Uint8Array(16), new Uint8Array(16).fill(9)]) {
    await other.poke(random, bytes);
    const same = finish(processMemory(account, other.pid, address, PAGE, READ)).memory;
    assert.equal(same, memory);
    same.close();
  }
  memory.close();
  await other.kill();
});

/**
 * Keeps its address space alive in another process, then executes `sleep`, its argument: itself, at the same
 * addresses. With a second argument it has first let its auxiliary vector say that its random bytes are at an
 * address where both programs have the same bytes.
 */
const sharer = `
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>
static const char same[16] = "the same in both";
static char stack[65536], text[4096];
static unsigned long vector[128], field[64];
static int wait_for_ever(void *unused) { for (;;) pause(); return 0; }
static long slurp(const char *path, void *to, long size) {
  int fd = open(path, O_RDONLY);
  long length = read(fd, to, size);
  close(fd);
  return length;
}
static int fake(void) {
  long bytes = slurp("/proc/self/auxv", vector, sizeof vector);
  for (long at = 0; at < bytes / 8; at += 2)
    if (vector[at] == AT_RANDOM) vector[at + 1] = (unsigned long)same;
  slurp("/proc/self/stat", text, sizeof text - 1);
  int n = 3;
  for (char *word = strtok(strrchr(text, ')') + 1, " "); word; word = strtok(0, " "))
    field[n++] = strtoul(word, 0, 10);
  struct prctl_mm_map map = {
    .start_code = field[26], .end_code = field[27], .start_stack = field[28],
    .start_data = field[45], .end_data = field[46], .start_brk = field[47], .brk = (unsigned long)sbrk(0),
    .arg_start = field[48], .arg_end = field[49], .env_start = field[50], .env_end = field[51],
    .auxv = (void *)vector, .auxv_size = bytes, .exe_fd = -1,
  };
  return prctl(PR_SET_MM, PR_SET_MM_MAP, (unsigned long)&map, sizeof map, 0);
}
int main(int argc, char **argv) {
  if (argc == 1) wait_for_ever(0);
  int faked = argc > 2 ? fake() : 0;
  char *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  printf("%lu\\n", faked ? 0 : (unsigned long)page);
  fflush(stdout);
  getchar();
  clone(wait_for_ever, stack + sizeof stack, CLONE_VM | SIGCHLD, 0);
  execl(argv[1], argv[1], (char *)0);
  return 1;
}
`;

for (const [name, more] of [
  ['an old address space that lives on in another process is not taken for the new one', []],
  ['nor is one that lies about where its random bytes are', ['fake']],
] as const) {
  test(name, { skip: hasCompiler() ? false : 'needs a C compiler' }, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'ioasid-'));
    writeFileSync(join(folder, 'sharer.c'), sharer);
    const sleep = join(folder, 'sleep');
    execFileSync('cc', ['-no-pie', '-o', sleep, join(folder, 'sharer.c')]);
    const program = spawn(sleep, [sleep, ...more], {
      argv0: 'sharer',
      stdio: ['pipe', 'pipe', 'inherit'],
      detached: true,
    });
    const pid = program.pid!;
    try {
      const address = Number(await new Promise<Buffer>((resolve) => program.stdout.once('data', resolve)));
      if (address === 0) return t.skip('the kernel has no PR_SET_MM_MAP');
      const old = finish(processMemory(account, pid, address, PAGE, BOTH)).memory;
      const before = readFileSync(`/proc/${pid}/auxv`);
      program.stdin.write('\n');
      while (readFileSync(`/proc/${pid}/auxv`).equals(before)) await turn(5);
      assert.equal(old.read(address, new Uint8Array(64), 0, 64), 64);
      const fresh = finish(processMemory(account, pid, stackOf(pid), PAGE, BOTH)).memory;
      assert.notEqual(fresh, old);
      old.close();
      fresh.close();
    } finally {
      process.kill(-pid, 'SIGKILL');
      rmSync(folder, { recursive: true });
    }
  });
}
