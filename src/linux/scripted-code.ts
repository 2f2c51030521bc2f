/**
 * The program of a scripted process (scripted-process.ts): an executable file of one page, made here.
 *
 * It maps the memory that it shares with us, and goes on for as long as its parent lives: it sleeps until a
 * byte comes through its socket, does the system calls that lie in the memory one after the other, sends a
 * byte back and sleeps again. When the socket ends it ends too. It has no stack, no C library and no decision
 * to take but these: an error ends the list, unless it is the one that may be; and where a call returns 0,
 * which clone(2) does in the new process, that may go on at another place.
 *
 * The memory that is shared has 32-bit words at 8 the parent's process id, at 12 what was read; from 64 on,
 * for each call, 64 bytes: its number, five arguments, and its result as the kernel gives it, 64 bits each;
 * then, in 32 bits each, the error that may be, and the offset at which goes on who gets a 0; or 0. A call of
 * number -1 ends the list. The descriptors of memory and socket are in the file's head, where nobody looks.
 */
import { programFile } from './helper-code.js';
import { assembled } from './machine-code.js';

export const SHARED_BYTES = 0x800000;

/** Where the head of the file has room (elf(5), EI_PAD). */
const MEMORY = 8;
const SOCKET = 12;

/** By process.arch. */
export const scriptedCodes: Readonly<Record<string, { readonly text: string }>> = {
  x64: {
    text: `
      bf 00 00 00 10          |   mov edi, 0x10000000       | mmap(SHARED_AT, SHARED_BYTES, read and write,
      be 00 00 80 00          |   mov esi, 0x800000         |
      ba 03 00 00 00          |   mov edx, 3                |
      41 ba 11 00 00 00       |   mov r10d, 0x11            | MAP_SHARED | MAP_FIXED,
      44 8b 04 25 08 00 40 00 |   mov r8d, [0x400008]       | descriptor, offset 0)
      45 31 c9                |   xor r9d, r9d              |
      b8 09 00 00 00          |   mov eax, 9                |
      0f 05                   |   syscall                   |
      48 89 c3                |   mov rbx, rax              |
      bf 01 00 00 00          |   mov edi, 1                | prctl(PR_SET_PDEATHSIG, SIGKILL)
      be 09 00 00 00          |   mov esi, 9                |
      b8 9d 00 00 00          |   mov eax, 157              |
      0f 05                   |   syscall                   |
      b8 6e 00 00 00          |   mov eax, 110              | getppid(): has it died before?
      0f 05                   |   syscall                   |
      3b 43 08                |   cmp eax, [rbx + 8]        |
      0f 85 87 00 00 00       |   jne exit                  |
                              | wait:                       |
      8b 3c 25 0c 00 40 00    |   mov edi, [0x40000c]       |
      48 8d 73 0c             |   lea rsi, [rbx + 12]       | read(its socket, a word, 1)
      ba 01 00 00 00          |   mov edx, 1                |
      31 c0                   |   xor eax, eax              |
      0f 05                   |   syscall                   |
      83 f8 01                |   cmp eax, 1                |
      75 6e                   |   jne exit                  |
      4c 8d 63 40             |   lea r12, [rbx + 64]       | the first call
                              | call:                       |
      49 8b 04 24             |   mov rax, [r12]            |
      85 c0                   |   test eax, eax             |
      78 47                   |   js answer                 | there are no more
      49 8b 7c 24 08          |   mov rdi, [r12 + 8]        |
      49 8b 74 24 10          |   mov rsi, [r12 + 16]       |
      49 8b 54 24 18          |   mov rdx, [r12 + 24]       |
      4d 8b 54 24 20          |   mov r10, [r12 + 32]       |
      4d 8b 44 24 28          |   mov r8, [r12 + 40]        |
      45 31 c9                |   xor r9d, r9d              |
      0f 05                   |   syscall                   |
      49 89 44 24 30          |   mov [r12 + 48], rax       |
      48 85 c0                |   test rax, rax             |
      79 07                   |   jns done                  |
      41 3b 44 24 38          |   cmp eax, [r12 + 56]       | the error that may be
      75 18                   |   jne answer                |
                              | done:                       |
      41 8b 4c 24 3c          |   mov ecx, [r12 + 60]       | where a child goes on
      49 83 c4 40             |   add r12, 64               |
      48 85 c0                |   test rax, rax             |
      75 bb                   |   jnz call                  |
      85 c9                   |   test ecx, ecx             |
      74 b7                   |   jz call                   |
      4c 8d 24 0b             |   lea r12, [rbx + rcx]      |
      eb b1                   |   jmp call                  |
                              | answer:                     |
      8b 3c 25 0c 00 40 00    |   mov edi, [0x40000c]       |
      48 89 de                |   mov rsi, rbx              | write(its socket, a byte, 1)
      ba 01 00 00 00          |   mov edx, 1                |
      b8 01 00 00 00          |   mov eax, 1                |
      0f 05                   |   syscall                   |
      e9 79 ff ff ff          |   jmp wait                  |
                              | exit:                       |
      b8 e7 00 00 00          |   mov eax, 231              | exit_group()
      0f 05                   |   syscall                   |`,
  },
  arm64: {
    text: `
      d2a20000                |   mov x0, #0x10000000       | mmap(SHARED_AT, SHARED_BYTES, read and write,
      d2a01001                |   mov x1, #0x800000         |
      d2800062                |   mov x2, #3                |
      d2800223                |   mov x3, #0x11             | MAP_SHARED | MAP_FIXED,
      d2a00809                |   mov x9, #0x400000         |
      b9400924                |   ldr w4, [x9, #8]          | descriptor, offset 0)
      d2800005                |   mov x5, #0                |
      d2801bc8                |   mov x8, #222              |
      d4000001                |   svc #0                    |
      aa0003f3                |   mov x19, x0               |
      d2800020                |   mov x0, #1                | prctl(PR_SET_PDEATHSIG, SIGKILL)
      d2800121                |   mov x1, #9                |
      d28014e8                |   mov x8, #167              |
      d4000001                |   svc #0                    |
      d28015a8                |   mov x8, #173              | getppid(): has it died before?
      d4000001                |   svc #0                    |
      b9400a61                |   ldr w1, [x19, #8]         |
      6b01001f                |   cmp w0, w1                |
      54000421                |   b.ne exit                 |
                              | wait:                       |
      d2a00809                |   mov x9, #0x400000         |
      b9400d20                |   ldr w0, [x9, #12]         |
      91003261                |   add x1, x19, #12          | read(its socket, a word, 1)
      d2800022                |   mov x2, #1                |
      d28007e8                |   mov x8, #63               |
      d4000001                |   svc #0                    |
      f100041f                |   cmp x0, #1                |
      54000321                |   b.ne exit                 |
      91010275                |   add x21, x19, #64         | the first call
                              | call:                       |
      a94002a8                |   ldp x8, x0, [x21]         |
      37f801e8                |   tbnz w8, #31, answer      | there are no more
      a9410aa1                |   ldp x1, x2, [x21, #16]    |
      a94212a3                |   ldp x3, x4, [x21, #32]    |
      d2800005                |   mov x5, #0                |
      d4000001                |   svc #0                    |
      f9001aa0                |   str x0, [x21, #48]        |
      29470aa1                |   ldp w1, w2, [x21, #56]    | the error that may be, where a child goes on
      910102b5                |   add x21, x21, #64         |
      b6f80060                |   tbz x0, #63, done         |
      6b01001f                |   cmp w0, w1                |
      540000a1                |   b.ne answer               |
                              | done:                       |
      b5fffe80                |   cbnz x0, call             |
      34fffe62                |   cbz w2, call              |
      8b020275                |   add x21, x19, x2          |
      17fffff1                |   b call                    |
                              | answer:                     |
      d2a00809                |   mov x9, #0x400000         |
      b9400d20                |   ldr w0, [x9, #12]         |
      aa1303e1                |   mov x1, x19               | write(its socket, a byte, 1)
      d2800022                |   mov x2, #1                |
      d2800808                |   mov x8, #64               |
      d4000001                |   svc #0                    |
      17ffffe1                |   b wait                    |
                              | exit:                       |
      d2800bc8                |   mov x8, #94               | exit_group()
      d4000001                |   svc #0                    |`,
  },
};

/**
 * The executable file, for who finds the memory and its socket at these descriptors; undefined where no code
 * is known for the processor.
 */
export function scriptedFile(memory: number, socket: number, arch = process.arch): Uint8Array | undefined {
  const code = scriptedCodes[arch];
  if (code === undefined) return undefined;
  const file = programFile(assembled(code), arch);
  file.writeInt32LE(memory, MEMORY);
  file.writeInt32LE(socket, SOCKET);
  return file;
}
