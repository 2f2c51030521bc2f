/*
 * A guest that is all of a virtual machine's software: it finds edu on the PCI bus, uses its registers, and has it do DMA to the guest's own
 * memory. It says on the serial port what it has seen, and ends the machine through port 0xf4 (QEMU's isa-debug-exit).
 *
 * A multiboot kernel, entered in 32-bit protected mode without paging: addresses are guest physical ones, which the device knows as IOVAs.
 * test.sh compiles and starts it.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;

__attribute__((section(".text.start"), used, aligned(4))) static const u32 header[] = {0x1badb002, 0, -0x1badb002};

enum { SERIAL = 0x3f8, CONFIG_ADDRESS = 0xcf8, CONFIG_DATA = 0xcfc, END = 0xf4, EDU = 0x11e81234 };
/* edu: registers in BAR 0, and its internal buffer as its DMA engine addresses it */
enum { IDENTIFICATION = 0x00, LIVENESS = 0x04, SOURCE = 0x80, DESTINATION = 0x88, COUNT = 0x90, COMMAND = 0x98, BUFFER = 0x40000 };

static u8 stack[4096] __attribute__((aligned(16), used));
static volatile u8 *bar;
static u8 from[256], to[256];

static void out8(u16 port, u8 value) { __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port)); }
static void out32(u16 port, u32 value) { __asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port)); }
static u32 in32(u16 port)
{
	u32 value;
	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static void say(const char *text)
{
	while (*text)
		out8(SERIAL, (u8)*text++);
}

static void say_number(const char *what, u32 value)
{
	say(what);
	for (int shift = 28; shift >= 0; shift -= 4)
		out8(SERIAL, (u8)"0123456789abcdef"[value >> shift & 15]);
	say("\n");
}

static u32 config(u32 device, u32 offset)
{
	out32(CONFIG_ADDRESS, 0x80000000u | device << 11 | offset);
	return in32(CONFIG_DATA);
}

static void set_config(u32 device, u32 offset, u32 value)
{
	out32(CONFIG_ADDRESS, 0x80000000u | device << 11 | offset);
	out32(CONFIG_DATA, value);
}

static u32 reg(u32 offset) { return *(volatile u32 *)(bar + offset); }
static void set_reg(u32 offset, u32 value) { *(volatile u32 *)(bar + offset) = value; }

/* One DMA, to its end. The command: 1 into the device, 3 out of it. */
static void dma(u32 source, u32 destination, u32 command)
{
	set_reg(SOURCE, source);
	set_reg(DESTINATION, destination);
	set_reg(COUNT, sizeof from);
	set_reg(COMMAND, command);
	while (reg(COMMAND) & 1)
		;
}

static int same(void)
{
	for (u32 i = 0; i < sizeof from; i++)
		if (from[i] != to[i])
			return 0;
	return 1;
}

static void work(void)
{
	u32 device = 0;
	while (device < 32 && config(device, 0) != EDU)
		device++;
	if (device == 32) {
		say("no edu\n");
		return;
	}
	bar = (volatile u8 *)(config(device, 0x10) & ~15u);
	set_config(device, 4, config(device, 4) | 2); /* memory space, but no bus mastering yet */
	say_number("identification ", reg(IDENTIFICATION));
	set_reg(LIVENESS, 0x12345678);
	say_number("liveness ", reg(LIVENESS));

	for (u32 i = 0; i < sizeof from; i++)
		from[i] = (u8)(i * 7 + 1);
	dma((u32)from, BUFFER, 1);
	dma(BUFFER, (u32)to, 3);
	say(same() ? "DMA without bus mastering\n" : "no DMA without bus mastering\n");
	set_config(device, 4, config(device, 4) | 6);
	dma((u32)from, BUFFER, 1);
	dma(BUFFER, (u32)to, 3);
	say(same() ? "DMA through guest memory\n" : "no DMA\n");
}

__attribute__((used)) static void guest_main(void)
{
	work();
	say("end\n");
	out8(END, 0);
	for (;;)
		__asm__ volatile("hlt");
}

__asm__(".globl _start\n_start:\n\tmov $stack + 4096, %esp\n\tcall guest_main\n");
