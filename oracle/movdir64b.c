/*
 * A module for guests on processors without MOVDIR64B, ENQCMD and ENQCMDS, which store a descriptor to a work
 * queue: makes eight stores of eight bytes of each, in the order of their addresses. It knows the one form of
 * them that the kernel and Intel's programs have, from (%rdx) to (%rax).
 *
 * ENQCMD puts the PASID of its process into the descriptor. What it and ENQCMDS are to be told, that the work
 * queue is full, a store cannot say: they always have success.
 */
#include <linux/io.h>
#include <linux/iommu.h>
#include <linux/kdebug.h>
#include <linux/module.h>
#include <linux/ptrace.h>
#include <linux/uaccess.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>

#define LENGTH 5
#define WORDS 8
/* Of a descriptor's first word: the PASID, and whether it is the kernel's. */
#define PASID 0xfffffULL
#define PRIVILEGED (1ULL << 31)

enum instruction { OTHER, MOVDIR64B, ENQCMD, ENQCMDS };

static const u8 codes[][LENGTH] = {
	[MOVDIR64B] = { 0x66, 0x0f, 0x38, 0xf8, 0x02 },
	[ENQCMD] = { 0xf2, 0x0f, 0x38, 0xf8, 0x02 },
	[ENQCMDS] = { 0xf3, 0x0f, 0x38, 0xf8, 0x02 },
};

static enum instruction decode(struct pt_regs *regs)
{
	u8 code[LENGTH];

	if (user_mode(regs) ? copy_from_user_nofault(code, (void __user *)regs->ip, LENGTH)
			    : copy_from_kernel_nofault(code, (void *)regs->ip, LENGTH))
		return OTHER;
	for (enum instruction each = MOVDIR64B; each <= ENQCMDS; each++)
		if (!memcmp(code, codes[each], LENGTH))
			return each;
	return OTHER;
}

static void store_for_kernel(struct pt_regs *regs)
{
	for (int n = 0; n < WORDS; n++)
		__raw_writeq(((const u64 *)regs->dx)[n], (void __iomem *)(regs->ax + n * sizeof(u64)));
}

/* The portal of a user is mapped since mmap, and the descriptor was just written: neither faults. */
static bool store_for_user(struct pt_regs *regs, bool enqueue)
{
	u64 words[WORDS], __user *portal = (u64 __user *)regs->ax;
	bool stored = true;

	if (copy_from_user_nofault(words, (void __user *)regs->dx, sizeof(words)))
		return false;
	if (enqueue)
		words[0] = (words[0] & ~(PASID | PRIVILEGED)) | current->mm->iommu_mm->pasid;
	pagefault_disable();
	for (int n = 0; n < WORDS && stored; n++)
		stored = !put_user(words[n], portal + n);
	pagefault_enable();
	return stored;
}

static int on_trap(struct notifier_block *block, unsigned long value, void *data)
{
	struct pt_regs *regs = ((struct die_args *)data)->regs;
	enum instruction instruction;

	if (value != DIE_TRAP || ((struct die_args *)data)->trapnr != X86_TRAP_UD)
		return NOTIFY_DONE;
	instruction = decode(regs);
	if (instruction == OTHER || (instruction == ENQCMDS && user_mode(regs)) ||
	    (instruction == ENQCMD && (!user_mode(regs) || !current->mm->iommu_mm)))
		return NOTIFY_DONE;
	if (!user_mode(regs))
		store_for_kernel(regs);
	else if (!store_for_user(regs, instruction == ENQCMD))
		return NOTIFY_DONE;
	if (instruction != MOVDIR64B)
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
MODULE_DESCRIPTION("MOVDIR64B, ENQCMD and ENQCMDS as eight stores");
MODULE_LICENSE("Dual MIT/GPL");
