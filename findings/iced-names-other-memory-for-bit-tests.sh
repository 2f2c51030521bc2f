#!/bin/sh
# iced-x86, asked which memory `bts [rax], ecx` reads and writes, says: four bytes at RAX. The processor
# accesses the bit that ECX numbers, counted from RAX, which may be 256 MiB away in both directions.
#
# A good guess is that usedMemory() is complete, as it is for string moves, gathers, MOVDIR64B's destination
# and the stack: whoever emulates or checks an access by it (a tracer, a sandbox, a sanitizer) relies on that.
# Bit tests with a register (BT, BTS, BTR, BTC) are the exception: base, index and displacement stand for the
# address before the bit's own offset, size and access for the operand that would be there, and nothing in the
# answer tells such an instruction from one whose address is all there is. They need a rule of their own:
# address + (the register, signed, arithmetically shifted right by 5 for 32 bits) * 4.
#
# Seen with iced-x86 1.21.0 (npm), and the processor asked by a C program. Prints both; fails when otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >bit.c <<'C'
#include <stdio.h>
static unsigned char memory[16384];
int main(void)
{
	__asm__ volatile("bts %1, (%0)" : : "r"(memory), "r"(100003) : "memory");
	for (int at = 0; at < (int)sizeof memory; at++)
		if (memory[at])
			printf("%d\n", at);
}
C
gcc -O1 -o bit bit.c

cat >ask.mjs <<'JS'
import { execFileSync } from 'node:child_process';
import iced from 'iced-x86';

const { Decoder, DecoderOptions, InstructionInfoFactory, MemorySize, OpAccess, Register } = iced;
// bts dword ptr [rax], ecx
const instruction = new Decoder(64, Uint8Array.of(0x0f, 0xab, 0x08), DecoderOptions.None).decode();
const [memory, ...more] = new InstructionInfoFactory().info(instruction).usedMemory();
const place = [Register[memory.base], Register[memory.index], Number(memory.displacement)];
const said = [...place, MemorySize[memory.memorySize], OpAccess[memory.access]];
const touched = Number(execFileSync('./bit', { encoding: 'utf8' }));
console.log(`${instruction}: iced says base, index, displacement, size, access: ${said.join(', ')}`);
console.log(`with bit 100003 the processor has changed the byte at base + ${touched}`);
const expected = 'RAX,None,0,UInt32,ReadWrite';
process.exit(said.join() === expected && more.length === 0 && touched === 12500 ? 0 : 1);
JS

npm init -y >/dev/null
npm install --silent --no-audit --no-fund iced-x86@1.21.0 >/dev/null
timeout 60 node ask.mjs
