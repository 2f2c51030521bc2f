/* Every form of instruction that drivers use, on the BAR and on plain memory beside each other. */
#include "mapped.h"

#include <signal.h>

enum { AREA = 256 };

static uint8_t plain[AREA] __attribute__((aligned(64)));

/* What an instruction can see and change. The operand is at rbx. */
struct state {
	uint64_t rax, rcx, rdx, rsi, rdi, rbx, flags;
	uint8_t vector[64] __attribute__((aligned(64)));
};

static const struct state start = { 0x8877665544332211, 3, 0xf0e0d0c0b0a09080, 2, 1, 0, 0, { 1, 2, 3 } };

/* CF, PF, AF, ZF, SF, OF. */
#define FLAGS 0x8d5

static void same(const struct state *a, const struct state *b, const char *code)
{
	uint8_t there[AREA];

	peek(0, there, AREA);
	if (a->rax == b->rax && a->rcx == b->rcx && a->rdx == b->rdx && a->rsi == b->rsi &&
	    a->rdi == b->rdi && (a->flags & FLAGS) == (b->flags & FLAGS) &&
	    memcmp(a->vector, b->vector, 64) == 0 && memcmp(there, plain, AREA) == 0)
		return;
	printf("%s: rax %lx %lx rcx %lx %lx rdx %lx %lx flags %lx %lx memory %d vector %d\n", code, a->rax,
	       b->rax, a->rcx, b->rcx, a->rdx, b->rdx, a->flags & FLAGS, b->flags & FLAGS,
	       memcmp(there, plain, AREA), memcmp(a->vector, b->vector, 64));
	exit(1);
}

static void fill(void)
{
	for (int i = 0; i < AREA; i++)
		plain[i] = i * 37 + 129;
	poke(0, plain, AREA);
}

/*
 * rbx is the operand's address; rsi, rdi are small numbers; the vector is in xmm1/ymm1/zmm1. The flags are
 * known before, and the red zone is out of the way.
 */
#define BEFORE "\n\tlea -128(%%rsp), %%rsp\n\txor %%r12d, %%r12d\n\t"
#define AFTER "\n\tpushfq\n\tpop %5\n\tlea 128(%%rsp), %%rsp\n\t"
#define RUN(s, at, load, code, save)                                                                  \
	asm volatile(load BEFORE code AFTER save                                                      \
		     : "+a"(s.rax), "+c"(s.rcx), "+d"(s.rdx), "+S"(s.rsi), "+D"(s.rdi), "=&r"(s.flags) \
		     : "b"(at), "r"(s.vector)                                                         \
		     : "memory", "cc", "r12", "xmm1", "xmm2")

#define BOTH(load, code, save)                       \
	do {                                         \
		struct state a = start, b = start;   \
		fill();                              \
		RUN(a, plain + 64, load, code, save); \
		RUN(b, bar + 64, load, code, save);  \
		same(&a, &b, code);                  \
	} while (0)

#define FORM(code) BOTH("", code, "")
#define SSE(code) BOTH("movups (%7), %%xmm1", code, "movups %%xmm1, (%7)")
#define AVX(code) BOTH("vmovups (%7), %%ymm1", code, "vmovups %%ymm1, (%7)")
#define AVX512(code) BOTH("vmovups (%7), %%zmm1", code, "vmovups %%zmm1, (%7)")

static void moves(void)
{
	FORM("movb (%%rbx), %%al");
	FORM("movb (%%rbx), %%ah");
	FORM("movw (%%rbx), %%ax");
	FORM("movl (%%rbx), %%eax");
	FORM("movq (%%rbx), %%rax");
	FORM("movl 4(%%rbx,%%rsi,4), %%edx");
	FORM("movl -16(%%rbx,%%rdi,8), %%edx");
	FORM("movb %%al, (%%rbx)");
	FORM("movb %%ah, (%%rbx)");
	FORM("movw %%ax, (%%rbx)");
	FORM("movl %%eax, (%%rbx)");
	FORM("movq %%rax, (%%rbx)");
	FORM("movb $0x5a, 1(%%rbx)");
	FORM("movw $0x5aa5, 2(%%rbx)");
	FORM("movl $-2, (%%rbx)");
	FORM("movq $-2, (%%rbx)");
	FORM("movzbl (%%rbx), %%eax");
	FORM("movzbw (%%rbx), %%ax");
	FORM("movzwl (%%rbx), %%eax");
	FORM("movzbq (%%rbx), %%rax");
	FORM("movsbl 1(%%rbx), %%eax");
	FORM("movsbw 1(%%rbx), %%ax");
	FORM("movswl 1(%%rbx), %%eax");
	FORM("movsbq 1(%%rbx), %%rax");
	FORM("movslq 2(%%rbx), %%rax");
	FORM("movq (%%rbx), %%rbx; movq %%rbx, %%rax");
	FORM("movnti %%eax, (%%rbx)");
	FORM("movnti %%rax, (%%rbx)");
	FORM("movl 1(%%rbx), %%eax");
	FORM("movq %%rax, 3(%%rbx)");
}

static void changes(void)
{
	FORM("orl %%eax, (%%rbx)");
	FORM("lock orl %%eax, (%%rbx)");
	FORM("andb $0x0f, (%%rbx)");
	FORM("xorq %%rax, (%%rbx)");
	FORM("addl $5, (%%rbx)");
	FORM("subw %%ax, (%%rbx)");
	FORM("adcl %%eax, (%%rbx)");
	FORM("incl (%%rbx)");
	FORM("negq (%%rbx)");
	FORM("notb (%%rbx)");
	FORM("xchgl %%eax, (%%rbx)");
	FORM("xchgb %%ah, (%%rbx)");
	FORM("lock xaddl %%eax, (%%rbx)");
	FORM("lock cmpxchgl %%ecx, (%%rbx)");
	FORM("movl (%%rbx), %%eax; lock cmpxchgl %%ecx, (%%rbx)");
	FORM("mov %%rbx, %%r12; mov $5, %%ebx; lock cmpxchg8b (%%r12); mov %%r12, %%rbx");
	FORM("btsl $3, (%%rbx)");
	FORM("btl $3, (%%rbx)");
	FORM("mov $100, %%eax; btl %%eax, (%%rbx)");
	FORM("mov $-40, %%eax; btsl %%eax, (%%rbx)");
	FORM("mov $0x10064, %%eax; lock btcw %%ax, (%%rbx)");
	FORM("mov $1000, %%rax; lock btrq %%rax, (%%rbx)");
	FORM("mov %%rbx, %%r12; mov $5, %%ebx; lock cmpxchg16b (%%r12); mov %%r12, %%rbx");
	FORM("cmpl %%eax, (%%rbx)");
	FORM("testl $0x80, (%%rbx)");
	FORM("addl (%%rbx), %%eax");
	FORM("cmpl (%%rbx), %%eax");
	FORM("imull (%%rbx), %%eax");
	FORM("shll $2, (%%rbx)");
	FORM("sete (%%rbx)");
	FORM("bswap %%eax; movbel %%eax, (%%rbx)");
	FORM("pushq (%%rbx); popq %%rax");
	FORM("pushq %%rax; popq (%%rbx)");
	FORM("cmovel (%%rbx), %%eax");
}

static void strings(void)
{
	FORM("mov %%rbx, %%rdi; rep stosb; sub %%rbx, %%rdi");
	FORM("mov %%rbx, %%rdi; rep stosl; sub %%rbx, %%rdi");
	FORM("mov %%rbx, %%rdi; stosq; sub %%rbx, %%rdi");
	FORM("mov %%rbx, %%rsi; lodsl; sub %%rbx, %%rsi");
	FORM("mov %%rbx, %%rsi; lea 32(%%rbx), %%rdi; rep movsl; sub %%rbx, %%rsi; sub %%rbx, %%rdi");
	FORM("mov %%rbx, %%rdi; lea 32(%%rbx), %%rsi; rep movsq; sub %%rbx, %%rsi; sub %%rbx, %%rdi");
	FORM("std; lea 32(%%rbx), %%rdi; rep stosl; cld; sub %%rbx, %%rdi");
	FORM("mov %%rbx, %%rsi; lea 32(%%rbx), %%rdi; repe cmpsb; sub %%rbx, %%rsi; sub %%rbx, %%rdi");
	FORM("mov %%rbx, %%rdi; repne scasb; sub %%rbx, %%rdi");
}

static void vectors(void)
{
	SSE("movups (%%rbx), %%xmm1");
	SSE("movaps (%%rbx), %%xmm1");
	SSE("movups %%xmm1, 3(%%rbx)");
	SSE("movaps %%xmm1, (%%rbx)");
	SSE("movdqa %%xmm1, (%%rbx)");
	SSE("movntdq %%xmm1, (%%rbx)");
	SSE("movd %%xmm1, (%%rbx)");
	SSE("movq (%%rbx), %%xmm1");
	SSE("paddd (%%rbx), %%xmm1");
	if (__builtin_cpu_supports("avx2")) {
		AVX("vmovdqu (%%rbx), %%ymm1");
		AVX("vmovdqa %%ymm1, (%%rbx)");
		AVX("vmovntdq %%ymm1, (%%rbx)");
		AVX("vpcmpeqd %%ymm2, %%ymm2, %%ymm2; vpsrlq $33, %%ymm2, %%ymm2;"
		    "vpmaskmovd %%ymm1, %%ymm2, (%%rbx)");
		AVX("vpcmpeqd %%ymm2, %%ymm2, %%ymm2; vpmaskmovd (%%rbx), %%ymm2, %%ymm1");
	}
	if (__builtin_cpu_supports("avx512bw")) {
		AVX512("vmovdqu64 (%%rbx), %%zmm1");
		AVX512("vmovdqa64 %%zmm1, (%%rbx)");
		AVX512("vmovntdq %%zmm1, (%%rbx)");
		AVX512("mov $0x5a5a5a, %%r12d; kmovd %%r12d, %%k1; vmovdqu8 %%zmm1, (%%rbx)%{%%k1%}");
	}
}

/* The device sees an access once, with the width that it has; vectors in aligned words of 8. */
static void widths(void)
{
	struct access seen[16];
	uint32_t value = 1;

	forget();
	*(volatile uint32_t *)(bar + 8) = value;
	value = *(volatile uint16_t *)(bar + 2);
	value += *(volatile uint64_t *)(bar + 16);
	*(volatile uint8_t *)(bar + 5) = value;
	asm volatile("movups %%xmm1, (%0)" ::"r"(bar + 68) : "memory");
	asm volatile("lock orl %1, (%0)" ::"r"(bar + 32), "r"(1) : "memory");
	CHECK(accesses(seen, 16) == 9);
	CHECK(seen[0].offset == 8 && seen[0].length_and_write == (WRITE | 4));
	CHECK(seen[1].offset == 2 && seen[1].length_and_write == 2);
	CHECK(seen[2].offset == 16 && seen[2].length_and_write == 8);
	CHECK(seen[3].offset == 5 && seen[3].length_and_write == (WRITE | 1));
	CHECK(seen[4].offset == 68 && seen[4].length_and_write == (WRITE | 4));
	CHECK(seen[5].offset == 72 && seen[5].length_and_write == (WRITE | 8));
	CHECK(seen[6].offset == 80 && seen[6].length_and_write == (WRITE | 4));
	CHECK(seen[7].offset == 32 && seen[7].length_and_write == 4);
	CHECK(seen[8].offset == 32 && seen[8].length_and_write == (WRITE | 4));
}

/* MOVDIR64B and ENQCMD, whether the processor has them or not: 64 bytes at once. ENQCMD tells by ZF. */
static void wide(void)
{
	uint8_t source[64], there[64];
	struct access seen[4];
	uint8_t zf;

	for (int i = 0; i < 64; i++)
		source[i] = 255 - i;
	forget();
	/* movdir64b (%rcx), %rdx */
	asm volatile(".byte 0x66, 0x0f, 0x38, 0xf8, 0x11" ::"c"(source), "d"(bar + PORTAL + 128) : "memory");
	CHECK(accesses(seen, 4) == 1);
	CHECK(seen[0].offset == PORTAL + 128 && seen[0].length_and_write == (WRITE | 64));
	peek(PORTAL + 128, there, 64);
	CHECK(memcmp(source, there, 64) == 0);
	forget();
	/* enqcmd (%rcx), %rdx */
	asm volatile("cmp %%eax, %%eax\n\t.byte 0xf2, 0x0f, 0x38, 0xf8, 0x11\n\tsetz %0"
		     : "=r"(zf)
		     : "c"(source), "d"(bar + PORTAL + 64)
		     : "memory", "cc");
	CHECK(zf == 0);
	CHECK(accesses(seen, 4) == 1 && seen[0].length_and_write == (WRITE | 64));
}

const struct task form_tasks[] = {
	{ "moves", moves },     { "changes", changes }, { "strings", strings },
	{ "vectors", vectors }, { "widths", widths },   { "wide", wide },
	{ NULL, NULL },
};
