/*
 * A module for guests on processors without MOVDIR64B and ENQCMDS, which idxd's driver stores descriptors by:
 * makes eight stores of eight bytes of each, in the order of their addresses. It knows the one form of both
 * that the kernel has, from (%rdx) to (%rax).
 *
 * What ENQCMDS is to be told, that the work queue is full, a store cannot say: it always has success.
 */
#include <linux/io.h>
#include <linux/kdebug.h>
#include <linux/module.h>
#include <linux/ptrace.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>

#define LENGTH 5
#define WORDS 8

static const u8 dedicated[LENGTH] = { 0x66, 0x0f, 0x38, 0xf8, 0x02 };
static const u8 shared[LENGTH] = { 0xf3, 0x0f, 0x38, 0xf8, 0x02 };

static int on_trap(struct notifier_block *block, unsigned long value, void *data)
{
	struct pt_regs *regs = ((struct die_args *)data)->regs;
	const u8 *code = (const u8 *)regs->ip;
	bool enqueue;

	if (value != DIE_TRAP || ((struct die_args *)data)->trapnr != X86_TRAP_UD || user_mode(regs))
		return NOTIFY_DONE;
	enqueue = !memcmp(code, shared, LENGTH);
	if (!enqueue && memcmp(code, dedicated, LENGTH))
		return NOTIFY_DONE;
	for (int n = 0; n < WORDS; n++)
		__raw_writeq(((const u64 *)regs->dx)[n], (void __iomem *)(regs->ax + n * sizeof(u64)));
	if (enqueue)
		regs->flags &= ~X86_EFLAGS_ZF;
	regs->ip += LENGTH;
	return NOTIFY_STOP;
}

static struct notifier_block block = { .notifier_call = on_trap };

static int __init begin(void)
{
	return register_die_notifier(&block);
}

static void __exit end(void)
{
	unregister_die_notifier(&block);
}

module_init(begin);
module_exit(end);
MODULE_DESCRIPTION("MOVDIR64B and ENQCMDS as eight stores");
MODULE_LICENSE("Dual MIT/GPL");
