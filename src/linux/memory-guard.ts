/**
 * Memory of ours whose pages may be taken from under us, because a program has them too (device-memory.ts).
 *
 * All of it lies in one stretch of addresses. Where a page is missing there, to touch it raises SIGBUS, and
 * the handler puts an empty page of ours in its place: whoever has taken it has emptied the memory of his own
 * device, and ends nobody. The handler must be machine code (machine-code.ts); without it there is no such
 * memory. An address is used once.
 */
import { libc } from './ffi.js';
import { installHandler, type MachineCode } from './machine-code.js';

const SIGBUS = 7;
const PROT_NONE = 0;
/** MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE. */
const MAP_NOTHING = 0x4022;
const MAP_FAILED = 2 ** 63;
const ADDRESSES = 2 ** 36;
/** Behind `previous`: the rest of a struct sigaction, the first address, and how many there are. */
const DATA_BYTES = 40;

/** By process.arch. */
export const guardCodes: Readonly<Record<string, MachineCode>> = {
  x64: {
    handler: 0,
    previous: 0x88,
    text: `
                            | handler:                     | edi signal, rsi siginfo, rdx ucontext
      48 8b 46 10           |   mov rax, [rsi + 0x10]      | si_addr
      48 89 c1              |   mov rcx, rax               |
      48 2b 0d 9a 00 00 00  |   sub rcx, [rip + previous + 32] |
      48 3b 0d 9b 00 00 00  |   cmp rcx, [rip + previous + 40] |
      73 34                 |   jae chain                  | not in our addresses
      57                    |   push rdi                   |
      56                    |   push rsi                   |
      52                    |   push rdx                   |
      48 89 c7              |   mov rdi, rax               | mmap(page, 4096, read and write,
      48 81 e7 00 f0 ff ff  |   and rdi, -4096             |   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
      be 00 10 00 00        |   mov esi, 4096              |
      ba 03 00 00 00        |   mov edx, 3                 |
      41 ba 32 00 00 00     |   mov r10d, 0x32             |
      49 83 c8 ff           |   or r8, -1                  |
      45 31 c9              |   xor r9d, r9d               |
      b8 09 00 00 00        |   mov eax, 9                 |
      0f 05                 |   syscall                    |
      48 39 f8              |   cmp rax, rdi               |
      5a                    |   pop rdx                    |
      5e                    |   pop rsi                    |
      5f                    |   pop rdi                    |
      75 01                 |   jne chain                  | there is no memory
      c3                    |   ret                        | the access is made again
                            | chain:                       |
      48 8b 05 36 00 00 00  |   mov rax, [rip + previous]  | the handler that was there before
      48 83 f8 01           |   cmp rax, 1                 |
      76 02                 |   jbe default                | SIG_DFL 0 and SIG_IGN 1 are no handlers
      ff e0                 |   jmp rax                    | it finds its arguments where we did
                            | default:                     | rt_sigaction(signal, &previous, 0, 8)
      57                    |   push rdi                   |
      48 8d 35 26 00 00 00  |   lea rsi, [rip + previous]  |
      31 d2                 |   xor edx, edx               |
      41 ba 08 00 00 00     |   mov r10d, 8                |
      b8 0d 00 00 00        |   mov eax, 13                |
      0f 05                 |   syscall                    |
      b8 27 00 00 00        |   mov eax, 39                | kill(getpid(), signal): delivered when we return
      0f 05                 |   syscall                    |
      89 c7                 |   mov edi, eax               |
      5e                    |   pop rsi                    |
      b8 3e 00 00 00        |   mov eax, 62                |
      0f 05                 |   syscall                    |
      c3                    |   ret                        |
                            | .balign 8                    |
                            | previous:                    |`,
  },
};

let addresses: { next: number; readonly end: number } | undefined;

/** The first of `length` guarded addresses, with nothing there; undefined where there are none. */
export function guardedAddresses(length: number): number | undefined {
  addresses ??= reserved();
  if (addresses.end - addresses.next < length) return undefined;
  const at = addresses.next;
  addresses.next += length;
  return at;
}

function reserved(): { next: number; end: number } {
  const code = guardCodes[process.arch];
  const none = { next: 0, end: 0 };
  const at = code === undefined ? MAP_FAILED : libc().mmap(0, ADDRESSES, PROT_NONE, MAP_NOTHING, -1, 0);
  if (code === undefined || at >= MAP_FAILED) return none;
  const data = new Uint8Array(DATA_BYTES);
  const view = new DataView(data.buffer);
  view.setBigUint64(24, BigInt(at), true);
  view.setBigUint64(32, BigInt(ADDRESSES), true);
  if (installHandler(SIGBUS, code, data) !== undefined) return { next: at, end: at + ADDRESSES };
  libc().munmap(at, ADDRESSES);
  return none;
}
