/**
 * The program of a helper process (helper-process.ts): an executable file of one page, made here.
 *
 * It maps the memory that it shares with us, and goes on for as long as its parent lives: it sleeps until a
 * number in it, what it is asked, is no longer the one that it has answered, does the system calls that lie
 * there one after the other, up to the first that returns less than it should, and says that it has. It has
 * no stack, no C library and no other decision to take.
 *
 * The memory that is shared has 32-bit words at 0 what is asked, at 4 what is answered, at 8 the parent's
 * process id, at 12 the number of calls; from 64 on, for each call, 64 bytes: its number, five arguments, its
 * result as the kernel gives it, and the least result with which it goes on, 64 bits each.
 */
import { assembled } from './machine-code.js';

/** Where it has the memory that is shared, which is its descriptor 0. */
export const SHARED_AT = 0x10000000;
export const SHARED_BYTES = 0x20000;

/** Where the file lies in its memory: on a boundary of the largest pages, 64 KiB. */
const LOAD_AT = 0x400000;
const LARGEST_PAGE = 0x10000;
const HEADER_BYTES = 64;
const SEGMENT_BYTES = 56;
const MACHINE: Readonly<Record<string, number>> = { x64: 62, arm64: 183 };

/** By process.arch. */
export const helperCodes: Readonly<Record<string, { readonly text: string }>> = {
  x64: {
    text: `
      bf 00 00 00 10        |   mov edi, 0x10000000        | mmap(SHARED_AT, SHARED_BYTES, read and write,
      be 00 00 02 00        |   mov esi, 0x20000           |
      ba 03 00 00 00        |   mov edx, 3                 |
      41 ba 11 00 00 00     |   mov r10d, 0x11             | MAP_SHARED | MAP_FIXED,
      45 31 c0              |   xor r8d, r8d               | descriptor 0,
      45 31 c9              |   xor r9d, r9d               | offset 0)
      b8 09 00 00 00        |   mov eax, 9                 |
      0f 05                 |   syscall                    |
      48 89 c3              |   mov rbx, rax               |
      bf 01 00 00 00        |   mov edi, 1                 | prctl(PR_SET_PDEATHSIG, SIGKILL)
      be 09 00 00 00        |   mov esi, 9                 |
      b8 9d 00 00 00        |   mov eax, 157               |
      0f 05                 |   syscall                    |
      b8 6e 00 00 00        |   mov eax, 110               | getppid(): has it died before?
      0f 05                 |   syscall                    |
      3b 43 08              |   cmp eax, [rbx + 8]         |
      75 6e                 |   jne exit                   |
                            | wait:                        |
      8b 53 04              |   mov edx, [rbx + 4]         | what is answered
      3b 13                 |   cmp edx, [rbx]             | what is asked
      75 11                 |   jne work                   |
      48 89 df              |   mov rdi, rbx               | futex(asked, FUTEX_WAIT, answered, no timeout)
      31 f6                 |   xor esi, esi               |
      45 31 d2              |   xor r10d, r10d             |
      b8 ca 00 00 00        |   mov eax, 202               |
      0f 05                 |   syscall                    |
      eb e8                 |   jmp wait                   |
                            | work:                        |
      8b 6b 0c              |   mov ebp, [rbx + 12]        | how many calls
      4c 8d 63 40           |   lea r12, [rbx + 64]        | the first
                            | call:                        |
      49 8b 04 24           |   mov rax, [r12]             |
      49 8b 7c 24 08        |   mov rdi, [r12 + 8]         |
      49 8b 74 24 10        |   mov rsi, [r12 + 16]        |
      49 8b 54 24 18        |   mov rdx, [r12 + 24]        |
      4d 8b 54 24 20        |   mov r10, [r12 + 32]        |
      4d 8b 44 24 28        |   mov r8, [r12 + 40]         |
      0f 05                 |   syscall                    |
      49 89 44 24 30        |   mov [r12 + 48], rax        |
      49 3b 44 24 38        |   cmp rax, [r12 + 56]        | less than it should
      7c 08                 |   jl answer                  |
      49 83 c4 40           |   add r12, 64                |
      ff cd                 |   dec ebp                    |
      75 cd                 |   jnz call                   |
                            | answer:                      |
      8b 03                 |   mov eax, [rbx]             |
      89 43 04              |   mov [rbx + 4], eax         | answered
      48 8d 7b 04           |   lea rdi, [rbx + 4]         | futex(answered, FUTEX_WAKE, 1)
      be 01 00 00 00        |   mov esi, 1                 |
      ba 01 00 00 00        |   mov edx, 1                 |
      b8 ca 00 00 00        |   mov eax, 202               |
      0f 05                 |   syscall                    |
      eb 92                 |   jmp wait                   |
                            | exit:                        |
      b8 e7 00 00 00        |   mov eax, 231               | exit_group()
      0f 05                 |   syscall                    |`,
  },
  arm64: {
    text: `
      d2a20000              |   mov x0, #0x10000000        | mmap(SHARED_AT, SHARED_BYTES, read and write,
      d2a00041              |   mov x1, #0x20000           |
      d2800062              |   mov x2, #3                 |
      d2800223              |   mov x3, #0x11              | MAP_SHARED | MAP_FIXED,
      d2800004              |   mov x4, #0                 | descriptor 0,
      d2800005              |   mov x5, #0                 | offset 0)
      d2801bc8              |   mov x8, #222               |
      d4000001              |   svc #0                     |
      aa0003f3              |   mov x19, x0                |
      d2800020              |   mov x0, #1                 | prctl(PR_SET_PDEATHSIG, SIGKILL)
      d2800121              |   mov x1, #9                 |
      d28014e8              |   mov x8, #167               |
      d4000001              |   svc #0                     |
      d28015a8              |   mov x8, #173               | getppid(): has it died before?
      d4000001              |   svc #0                     |
      b9400a61              |   ldr w1, [x19, #8]          |
      6b01001f              |   cmp w0, w1                 |
      54000421              |   b.ne exit                  |
                            | wait:                        |
      88dffe62              |   ldar w2, [x19]             | what is asked
      b9400663              |   ldr w3, [x19, #4]          | what is answered
      6b03005f              |   cmp w2, w3                 |
      54000101              |   b.ne work                  |
      aa1303e0              |   mov x0, x19                | futex(asked, FUTEX_WAIT, answered, no timeout)
      d2800001              |   mov x1, #0                 |
      aa0303e2              |   mov x2, x3                 |
      d2800003              |   mov x3, #0                 |
      d2800c48              |   mov x8, #98                |
      d4000001              |   svc #0                     |
      17fffff6              |   b wait                     |
                            | work:                        |
      b9400e74              |   ldr w20, [x19, #12]        | how many calls
      91010275              |   add x21, x19, #64          | the first
                            | call:                        |
      a94002a8              |   ldp x8, x0, [x21]          |
      a9410aa1              |   ldp x1, x2, [x21, #16]     |
      a94212a3              |   ldp x3, x4, [x21, #32]     |
      d4000001              |   svc #0                     |
      f9001aa0              |   str x0, [x21, #48]         |
      f9401ea9              |   ldr x9, [x21, #56]         | less than it should
      eb09001f              |   cmp x0, x9                 |
      5400008b              |   b.lt answer                |
      910102b5              |   add x21, x21, #64          |
      71000694              |   subs w20, w20, #1          |
      54fffec1              |   b.ne call                  |
                            | answer:                      |
      b9400262              |   ldr w2, [x19]              |
      91001260              |   add x0, x19, #4            | answered
      889ffc02              |   stlr w2, [x0]              | futex(answered, FUTEX_WAKE, 1)
      d2800021              |   mov x1, #1                 |
      d2800022              |   mov x2, #1                 |
      d2800c48              |   mov x8, #98                |
      d4000001              |   svc #0                     |
      17ffffe1              |   b wait                     |
                            | exit:                        |
      d2800bc8              |   mov x8, #94                | exit_group()
      d4000001              |   svc #0                     |`,
  },
};

/** The executable file (elf(5)); undefined where no code is known for the processor. */
export function helperFile(arch: string = process.arch): Uint8Array | undefined {
  const code = helperCodes[arch];
  return code === undefined ? undefined : programFile(assembled(code), arch);
}

/** An executable file of the machine code `bytes`, which begins at its first. */
export function programFile(bytes: Uint8Array, arch: string): Buffer {
  const start = HEADER_BYTES + SEGMENT_BYTES;
  const file = Buffer.alloc(start + bytes.length);
  file.set(bytes, start);
  // Elf64_Ehdr: 64 bits, little-endian, version 1; an executable.
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  file.writeUInt16LE(2, 16);
  file.writeUInt16LE(MACHINE[arch]!, 18);
  file.writeUInt32LE(1, 20);
  file.writeBigUInt64LE(BigInt(LOAD_AT + start), 24);
  file.writeBigUInt64LE(BigInt(HEADER_BYTES), 32);
  file.writeUInt16LE(HEADER_BYTES, 52);
  file.writeUInt16LE(SEGMENT_BYTES, 54);
  file.writeUInt16LE(1, 56);
  // Elf64_Phdr: PT_LOAD, to be read and executed, of the whole file.
  file.writeUInt32LE(1, HEADER_BYTES);
  file.writeUInt32LE(5, HEADER_BYTES + 4);
  for (const at of [16, 24]) file.writeBigUInt64LE(BigInt(LOAD_AT), HEADER_BYTES + at);
  for (const at of [32, 40]) file.writeBigUInt64LE(BigInt(file.length), HEADER_BYTES + at);
  file.writeBigUInt64LE(BigInt(LARGEST_PAGE), HEADER_BYTES + 48);
  return file;
}
