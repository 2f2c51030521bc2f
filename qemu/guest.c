/*
 * The guest of a machine without a virtual IOMMU: it finds edu on the PCI bus, uses its registers, and has it
 * do DMA to the guest's own memory, whose addresses the device knows as IOVAs. test.sh compiles and starts
 * it.
 */
#include "guest.h"

static void work(void)
{
	u32 device = find(EDU);
	if (device == 32)
		return;
	say_number("identification ", reg(IDENTIFICATION));
	set_reg(LIVENESS, 0x12345678);
	say_number("liveness ", reg(LIVENESS));

	for (u32 i = 0; i < sizeof from; i++)
		from[i] = (u8)(i * 7 + 1);
	dma((u32)from, BUFFER, 1);
	dma(BUFFER, (u32)to, 3);
	say(same(from, to) ? "DMA without bus mastering\n" : "no DMA without bus mastering\n");
	set_config(device, 4, config(device, 4) | BUS_MASTER);
	dma((u32)from, BUFFER, 1);
	dma(BUFFER, (u32)to, 3);
	say(same(from, to) ? "DMA through guest memory\n" : "no DMA\n");
}
