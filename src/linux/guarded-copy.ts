/**
 * A copy that survives memory that is not there.
 *
 * To touch a page of a mapped file that the file does not have (it shrank; its filesystem or its pool of huge
 * pages is full; its disk does not answer) raises SIGBUS, which ends the process. The kernel's own copies to
 * and from user memory have the same problem and solve it with a table of the instructions that may fault.
 *
 * So does this: the copy is a routine of our own, and the handler of SIGBUS looks where the processor was. In
 * that routine: it goes on at the routine's end, which returns how far it came. Anywhere else: the signal is
 * handled as if we were not there. No state is shared between copy and handler, so threads do not matter, nor
 * does who else has mapped what.
 *
 * Both must be machine code, because no JavaScript can run there (machine-code.ts). Where there is none for
 * the processor, or no page may become executable, there is no such copy.
 *
 * A copy moves 32 (past the caches 64), 16, 8, 4, 2 and 1 bytes at a time as far as they go, so that an
 * aligned word never appears half written. (`rep movsq` would be shorter, and takes three times as long where
 * the source lies 16 bytes further in its page than the target, as arrays of JavaScript do.)
 */
import { address, callable } from './ffi.js';
import { installHandler, type MachineCode } from './machine-code.js';

const SIGBUS = 7;

/**
 * Copies `length` bytes between addresses. @returns how many it copied; fewer where there was no memory, on
 * either side. Nothing behind them is written: what lies there may be a part of the source, to be read again.
 */
export type GuardedCopy = (target: number, source: number, length: number) => number;

interface CopyCode extends MachineCode {
  /** Offset of the copy. */
  readonly copy: number;
  /** Offset of that past the caches; the same where there is none. */
  readonly stream: number;
}

/** By process.arch. */
export const machineCodes: Readonly<Record<string, CopyCode>> = {
  x64: {
    stream: 0,
    copy: 0x62,
    handler: 0xe0,
    previous: 0x140,
    text: `
                           | stream:                        | a copy past the caches
      4c 8b 05 41 01 00 00 |   mov r8, [rip + previous + 8] | what is to be copied: target, source, length
      f2 49 0f 2c 38       |   cvttsd2si rdi, [r8]          | numbers of JavaScript
      f2 49 0f 2c 70 08    |   cvttsd2si rsi, [r8 + 8]      |
      f2 49 0f 2c 50 10    |   cvttsd2si rdx, [r8 + 16]     |
      40 f6 c7 0f          |   test dil, 15                 | such stores want an aligned target
      75 5c                |   jnz 3f                       |
      48 83 ea 40          |   sub rdx, 64                  |
      72 38                |   jb 2f                        |
      0f 10 06             | 1: movups xmm0, [rsi]          | 64 bytes
      0f 10 4e 10          |   movups xmm1, [rsi + 16]      |
      0f 10 56 20          |   movups xmm2, [rsi + 32]      |
      0f 10 5e 30          |   movups xmm3, [rsi + 48]      |
      0f 2b 07             |   movntps [rdi], xmm0          | rdi says at each store what is written
      48 83 c7 10          |   add rdi, 16                  |
      0f 2b 0f             |   movntps [rdi], xmm1          |
      48 83 c7 10          |   add rdi, 16                  |
      0f 2b 17             |   movntps [rdi], xmm2          |
      48 83 c7 10          |   add rdi, 16                  |
      0f 2b 1f             |   movntps [rdi], xmm3          |
      48 83 c7 10          |   add rdi, 16                  |
      48 83 c6 40          |   add rsi, 64                  |
      48 83 ea 40          |   sub rdx, 64                  |
      73 cb                |   jae 1b                       |
      0f ae f8             |   sfence                       | before whatever is written next
      48 83 c2 40          | 2: add rdx, 64                 | the rest
      eb 18                |   jmp 3f                       |
                           | copy:                          | a copy by way of the caches
      4c 8b 05 df 00 00 00 |   mov r8, [rip + previous + 8] |
      f2 49 0f 2c 38       |   cvttsd2si rdi, [r8]          |
      f2 49 0f 2c 70 08    |   cvttsd2si rsi, [r8 + 8]      |
      f2 49 0f 2c 50 10    |   cvttsd2si rdx, [r8 + 16]     |
      48 83 ea 20          | 3: sub rdx, 32                 |
      72 1f                |   jb 2f                        |
      0f 10 06             | 1: movups xmm0, [rsi]          | 32 bytes
      0f 10 4e 10          |   movups xmm1, [rsi + 16]      |
      0f 11 07             |   movups [rdi], xmm0           |
      48 83 c7 10          |   add rdi, 16                  |
      0f 11 0f             |   movups [rdi], xmm1           |
      48 83 c7 10          |   add rdi, 16                  |
      48 83 c6 20          |   add rsi, 32                  |
      48 83 ea 20          |   sub rdx, 32                  |
      73 e1                |   jae 1b                       |
      f6 c2 10             | 2: test dl, 16                 | the low bits of rdx are those of the length
      74 0e                |   jz 3f                        |
      0f 10 06             |   movups xmm0, [rsi]           |
      0f 11 07             |   movups [rdi], xmm0           | 16 bytes
      48 83 c6 10          |   add rsi, 16                  |
      48 83 c7 10          |   add rdi, 16                  |
      f6 c2 08             | 3: test dl, 8                  |
      74 02                |   jz 4f                        |
      48 a5                |   movsq                        | 8 bytes; rdi and rsi go along
      f6 c2 04             | 4: test dl, 4                  |
      74 01                |   jz 5f                        |
      a5                   |   movsd                        | 4 bytes
      f6 c2 02             | 5: test dl, 2                  |
      74 02                |   jz 6f                        |
      66 a5                |   movsw                        | 2 bytes
      f6 c2 01             | 6: test dl, 1                  |
      74 01                |   jz exit                      |
      a4                   |   movsb                        | 1 byte
                           | exit:                          |
      f2 49 0f 2c 00       |   cvttsd2si rax, [r8]          |
      48 29 c7             |   sub rdi, rax                 | how far the copy has come
      f2 48 0f 2a c7       |   cvtsi2sd xmm0, rdi           |
      f2 41 0f 11 40 18    |   movsd [r8 + 24], xmm0        |
      c3                   |   ret                          |
                           | handler:                       | edi signal, rsi siginfo, rdx ucontext
      48 8b 82 a8 00 00 00 |   mov rax, [rdx + 0xa8]        | rip of the fault, uc_mcontext.gregs[REG_RIP]
      48 8d 0d 12 ff ff ff |   lea rcx, [rip + stream]      |
      48 39 c8             |   cmp rax, rcx                 |
      72 14                |   jb chain                     | before the copy: not ours
      48 8d 0d d2 ff ff ff |   lea rcx, [rip + exit]        |
      48 39 c8             |   cmp rax, rcx                 |
      73 08                |   jae chain                    | past what can fault: not ours
      48 89 8a a8 00 00 00 |   mov [rdx + 0xa8], rcx        | go on at exit
      c3                   |   ret                          |
                           | chain:                         |
      48 8b 05 32 00 00 00 |   mov rax, [rip + previous]    | the handler that was there before
      48 83 f8 01          |   cmp rax, 1                   |
      76 02                |   jbe default                  | SIG_DFL 0 and SIG_IGN 1 are no handlers
      ff e0                |   jmp rax                      | it finds its arguments where we did
                           | default:                       | rt_sigaction(signal, &previous, 0, 8)
      57                   |   push rdi                     |
      48 8d 35 22 00 00 00 |   lea rsi, [rip + previous]    |
      31 d2                |   xor edx, edx                 |
      41 ba 08 00 00 00    |   mov r10d, 8                  |
      b8 0d 00 00 00       |   mov eax, 13                  |
      0f 05                |   syscall                      |
      b8 27 00 00 00       |   mov eax, 39                  | kill(getpid(), signal): when we return
      0f 05                |   syscall                      |
      89 c7                |   mov edi, eax                 |
      5e                   |   pop rsi                      |
      b8 3e 00 00 00       |   mov eax, 62                  |
      0f 05                |   syscall                      |
      c3                   |   ret                          |
                           | .balign 8                      |
                           | previous:                      |`,
  },
  arm64: {
    stream: 0,
    copy: 0,
    handler: 0x88,
    previous: 0xf0,
    text: `
                            | stream:                  | there is none past the caches
                            | copy:                    |
      580007c4              |   ldr x4, previous + 8   | what is to be copied: target, source, length
      6d400480              |   ldp d0, d1, [x4]       | numbers of JavaScript
      fd400882              |   ldr d2, [x4, #16]      |
      9e780000              |   fcvtzs x0, d0          |
      9e780021              |   fcvtzs x1, d1          |
      9e780042              |   fcvtzs x2, d2          |
      f1008042              |   subs x2, x2, #32       |
      540000c3              |   b.lo 2f                |
      acc10420              | 1: ldp q0, q1, [x1], #32 | 32 bytes
      3c810400              |   str q0, [x0], #16      | x0 says at each store what is written
      3c810401              |   str q1, [x0], #16      |
      f1008042              |   subs x2, x2, #32       |
      54ffff82              |   b.hs 1b                |
      36200062              | 2: tbz w2, #4, 3f        | the low bits of x2 are those of the length
      3cc10420              |   ldr q0, [x1], #16      | 16 bytes
      3c810400              |   str q0, [x0], #16      |
      36180062              | 3: tbz w2, #3, 4f        |
      f8408423              |   ldr x3, [x1], #8       | 8 bytes
      f8008403              |   str x3, [x0], #8       |
      36100062              | 4: tbz w2, #2, 5f        |
      b8404423              |   ldr w3, [x1], #4       | 4 bytes
      b8004403              |   str w3, [x0], #4       |
      36080062              | 5: tbz w2, #1, 6f        |
      78402423              |   ldrh w3, [x1], #2      | 2 bytes
      78002403              |   strh w3, [x0], #2      |
      36000062              | 6: tbz w2, #0, exit      |
      38401423              |   ldrb w3, [x1], #1      | 1 byte
      38001403              |   strb w3, [x0], #1      |
                            | exit:                    |
      fd400080              |   ldr d0, [x4]           |
      9e780003              |   fcvtzs x3, d0          |
      cb030000              |   sub x0, x0, x3         | how far the copy has come
      9e620000              |   scvtf d0, x0           |
      fd000c80              |   str d0, [x4, #24]      |
      d65f03c0              |   ret                    |
                            | handler:                 | w0 signal, x1 siginfo, x2 ucontext
      f940dc43              |   ldr x3, [x2, #440]     | pc of the fault, uc_mcontext.pc
      10fffba4              |   adr x4, copy           |
      eb04007f              |   cmp x3, x4             |
      540000c3              |   b.lo chain             | before the copy: not ours
      10fffec4              |   adr x4, exit           |
      eb04007f              |   cmp x3, x4             |
      54000062              |   b.hs chain             | past what can fault: not ours
      f900dc44              |   str x4, [x2, #440]     | go on at exit
      d65f03c0              |   ret                    |
                            | chain:                   |
      58000223              |   ldr x3, previous       | the handler that was there before
      f100047f              |   cmp x3, #1             |
      54000049              |   b.ls default           | SIG_DFL 0 and SIG_IGN 1 are no handlers
      d61f0060              |   br x3                  | it finds its arguments where we did
                            | default:                 | rt_sigaction(signal, &previous, 0, 8)
      aa0003e4              |   mov x4, x0             |
      10000181              |   adr x1, previous       |
      d2800002              |   mov x2, #0             |
      d2800103              |   mov x3, #8             |
      d28010c8              |   mov x8, #134           |
      d4000001              |   svc #0                 |
      d2801588              |   mov x8, #172           | kill(getpid(), signal): when we return
      d4000001              |   svc #0                 |
      aa0403e1              |   mov x1, x4             |
      d2801028              |   mov x8, #129           |
      d4000001              |   svc #0                 |
      d65f03c0              |   ret                    |
                            | .balign 8                |
                            | previous:                |`,
  },
};

interface Copies {
  readonly copy: GuardedCopy;
  readonly stream: GuardedCopy;
}

let made: { readonly copies: Copies | undefined } | undefined;

/** The copy, and its handler in force; undefined where they cannot be had. */
export function guardedCopy(): GuardedCopy | undefined {
  return copies()?.copy;
}

/**
 * The same, for much that goes from memory to memory. The target is written past the caches, where that can
 * be: it is not read before, which saves a third of the time, and what the caches have stays there.
 */
export function streamingCopy(): GuardedCopy | undefined {
  return copies()?.stream;
}

function copies(): Copies | undefined {
  made ??= { copies: make(machineCodes[process.arch]) };
  return made.copies;
}

function make(code: CopyCode | undefined): Copies | undefined {
  // Target, source, length, and what was copied: handing them over as arguments takes longer.
  const block = new Float64Array(4);
  const at = new BigUint64Array([BigInt(address(new Uint8Array(block.buffer)))]);
  const page = code && installHandler(SIGBUS, code, new Uint8Array(at.buffer));
  if (code === undefined || page === undefined) return undefined;
  const called = (offset: number): GuardedCopy => {
    const copy = callable(page + offset, 'void', []);
    return (target, source, length) => {
      block[0] = target;
      block[1] = source;
      block[2] = length;
      copy();
      return block[3]!;
    };
  };
  return { copy: called(code.copy), stream: called(code.stream) };
}
